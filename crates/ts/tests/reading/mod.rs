//! Reads a stream to its end and keeps what was said of it.

use tallylight_model::{FaultKind, MonoTime, Pid, Profile, ProfileName};
use tallylight_ts::{
    AccessUnit, Analyser, AnalyserConfig, CheckReport, ClockReport, Condition, Cue, CueCounters,
    ElementaryReport, Event, Finding, MediaKind, Offset, PidReport, Position, Rates, Service,
    StructureChange, Totals,
};

/// Everything that an analyser said of a stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) units: Vec<AccessUnit>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) services: Vec<Service>,
    pub(crate) pids: Vec<PidReport>,
    pub(crate) elementary: Vec<ElementaryReport>,
    pub(crate) totals: Totals,
    pub(crate) checks: Vec<CheckReport>,
    pub(crate) clocks: Vec<ClockReport>,
    pub(crate) rates: Option<Rates>,
    pub(crate) changes: Vec<StructureChange>,
    pub(crate) cues: Vec<Cue>,
    pub(crate) cue_counters: Vec<(Pid, CueCounters)>,
    /// Where components that are neither video nor audio were first seen.
    pub(crate) seen: Vec<(Pid, Option<Position>)>,
    pub(crate) t2mi: Vec<(Pid, Position)>,
    /// By how much longer before its time picture is sent than sound, by service.
    pub(crate) ahead: Vec<Option<Offset>>,
    pub(crate) service_rates: Vec<(u16, Option<Rates>)>,
}

impl Reading {
    pub(crate) fn of(bytes: &[u8], config: AnalyserConfig) -> Self {
        Self::in_chunks(bytes, config, &[65_536])
    }

    /// Cuts the bytes into chunks of these sizes in turn.
    pub(crate) fn in_chunks(bytes: &[u8], config: AnalyserConfig, sizes: &[usize]) -> Self {
        let mut analyser = Analyser::new(config);
        let mut events = Vec::new();
        let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
        while !rest.is_empty() {
            let size = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
            let (now, later) = rest.split_at(size);
            rest = later;
            analyser.push(MonoTime::ZERO, now);
            events.extend(std::iter::from_fn(|| analyser.poll()));
        }
        analyser.finish();
        events.extend(std::iter::from_fn(|| analyser.poll()));
        Self::collect(events, &analyser)
    }

    /// What the default profile calls a warning or worse.
    pub(crate) fn faults(&self) -> Vec<FaultKind> {
        let found = self.findings.iter().filter_map(|finding| finding.kind.fault());
        let held = self.conditions.iter().map(|condition| condition.check.fault());
        let profile = Profile::new(ProfileName::Default);
        found.chain(held).filter(|&kind| profile.hold(kind).declared().is_some()).collect()
    }

    fn collect(events: Vec<Event>, analyser: &Analyser) -> Self {
        let mut reading = Self {
            units: Vec::new(),
            findings: Vec::new(),
            conditions: Vec::new(),
            services: analyser.services().cloned().collect(),
            pids: analyser.pids(),
            elementary: analyser.elementary().collect(),
            totals: analyser.totals(),
            checks: analyser.checks().collect(),
            clocks: analyser.clocks().collect(),
            rates: analyser.rates(),
            ahead: analyser
                .services()
                .map(|service| analyser.picture_ahead_of_sound(service.program))
                .collect(),
            changes: Vec::new(),
            t2mi: analyser.t2mi().collect(),
            seen: analyser
                .services()
                .flat_map(|service| &service.components)
                .filter(|c| matches!(c.coding.kind(), MediaKind::Text | MediaKind::Data))
                .map(|c| (c.pid, analyser.seen_since(c.pid)))
                .collect(),
            cues: Vec::new(),
            cue_counters: analyser.cues().collect(),
            service_rates: analyser
                .services()
                .map(|service| (service.program, analyser.service_rates(service.program)))
                .collect(),
        };
        for event in events {
            match event {
                Event::Unit(unit) => reading.units.push(unit),
                Event::Finding(finding) => reading.findings.push(finding),
                Event::Condition(condition) => reading.conditions.push(condition),
                Event::Structure(change) => reading.changes.push(change),
                Event::Cue(cue) => reading.cues.push(*cue),
                Event::Services(_) => {}
            }
        }
        reading
    }
}
