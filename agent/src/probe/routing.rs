//! Which of a session's views an event of the analyser concerns, and what it means to each.

use tallylight_model::{ChannelId, Pid, Severity, StreamId};
use tallylight_ts::{
    AccessUnit, Check, Cue, Event, Finding, FindingKind, Indicator, Position, StructureChange,
};

use super::{
    Output,
    expected::must_be_clear,
    session::{Decoding, Session, Watched},
    view::{Claim, Part, View, ViewConfig},
};
use crate::assignment::ChannelKind;

/// Services that are watched of one multiplex when all are.
const MAX_SERVICES: usize = 64;

impl Session {
    /// Hands an event to the views that it concerns.
    pub(super) fn route(&mut self, event: Event) {
        match event {
            Event::Unit(unit) => self.route_unit(unit),
            Event::Finding(finding) => self.route_finding(&finding),
            Event::Condition(condition) => self.route_condition(&condition),
            Event::Services(position) => self.route_services(&position),
            Event::Structure(change) => self.route_structure(&change),
            Event::Cue(cue) => self.route_cue(&cue),
        }
    }

    fn route_structure(&mut self, change: &StructureChange) {
        for view in self.concerned(Some(change.program)) {
            self.outputs.push_back(Output::Structure { view, change: change.clone() });
        }
    }

    fn route_cue(&mut self, cue: &Cue) {
        let of = |view: &&mut View| cue.program.is_some() && view.program() == cue.program;
        self.views.iter_mut().filter(of).for_each(|view| view.cue(cue));
        for view in self.concerned(cue.program) {
            self.outputs.push_back(Output::Cue { view, cue: Box::new(cue.clone()) });
        }
    }

    /// The views to which something of a program is told: its streams, or the multiplex for all of them.
    fn concerned(&self, program: Option<u16>) -> Vec<usize> {
        let only = match &self.config.watched {
            Watched::Everything { only, .. } => *only,
            Watched::Streams(_) => None,
        };
        let concerns = |view: &View| match view.part {
            Part::Stream => program.is_some() && view.config.service.or(view.program()) == program,
            Part::Service => false,
            Part::Multiplex => only.is_none() || only == program,
        };
        (0..self.views.len()).filter(|&index| concerns(&self.views[index])).collect()
    }

    fn route_unit(&mut self, unit: AccessUnit) {
        if self.config.decoding == Decoding::Off {
            return;
        }
        let last = self.views.iter().rposition(|view| view.program() == Some(unit.program));
        let Some(last) = last else { return };
        // Several streams of the lineup may be the same service; the last one gets the unit itself.
        for view in &mut self.views[..last] {
            if view.program() == Some(unit.program) {
                view.unit(unit.clone());
            }
        }
        self.views[last].unit(unit);
    }

    fn route_finding(&mut self, finding: &Finding) {
        let missing = match finding.kind {
            FindingKind::Continuity { missing } => u64::from(missing),
            FindingKind::BoundaryContinuity { .. }
            | FindingKind::ExcessDuplicate
            | FindingKind::TransportError => 0,
            FindingKind::PcrJump { .. } => {
                let program = finding.program;
                for view in self.views.iter_mut().filter(|view| view.program() == program) {
                    view.reset_decoding();
                    if let Some(media) = finding.position.media {
                        view.timeline.restart(finding.position.at, media);
                    }
                }
                return self.note_other(finding);
            }
            // Sync bytes are told by the condition that two of them are.
            FindingKind::SyncByte | FindingKind::NotTransportStream { .. } => return,
            _ => return self.note_other(finding),
        };
        let Some(kind) = finding.kind.fault() else { return };
        let Some(pid) = finding.pid else { return };
        if self.blind.contains(finding.position.at) {
            return;
        }
        let repaired = missing > 0 && self.correction.explains(finding.position.at);
        let claimed = self.claimed(pid);
        for view in &mut self.views {
            let Some(mut ceiling) = view.ceiling(pid, claimed) else { continue };
            if repaired {
                ceiling = ceiling.min(Severity::Info);
            }
            let at = view.moment(&finding.position);
            let counters = view.counters_at(at);
            match finding.kind {
                FindingKind::Continuity { .. } | FindingKind::ExcessDuplicate => {
                    counters.continuity_errors += 1;
                    counters.missing_packets += missing;
                }
                FindingKind::TransportError => counters.transport_errors += 1,
                _ => {}
            }
            view.counted(kind, pid, at, ceiling, finding.kind);
        }
    }

    /// Who answers for a PID.
    fn claimed(&self, pid: Pid) -> Claim {
        let mut selections =
            self.views.iter().filter_map(|view| view.selection.as_ref()).peekable();
        if selections.peek().is_none() {
            Claim::NoTables
        } else if selections.any(|selection| selection.ceiling(pid).is_some()) {
            Claim::Service
        } else {
            Claim::Nobody
        }
    }

    /// Findings that nothing acts on.
    fn note_other(&mut self, finding: &Finding) {
        let Some(kind) = finding.kind.fault() else { return };
        let evidence = match finding.kind {
            FindingKind::PcrGap { gap } => format!("{} ms between two PCR", gap.as_millis()),
            FindingKind::PcrJump { ticks } => format!("PCR jumps by {} ms", ticks / 27_000),
            FindingKind::PcrOff { nanos } => format!("PCR is off by {nanos} ns"),
            FindingKind::ForeignTable { table, table_id } => {
                format!("table 0x{table_id:02X} is in the place of the {}", table.name())
            }
            FindingKind::SectionsTooDense { table_id, gap } => {
                format!("sections of table 0x{table_id:02X} within {} ms", gap.as_millis())
            }
            FindingKind::ScrambledTable { table } => format!("the {} is scrambled", table.name()),
            FindingKind::SectionCrc { table_id } => {
                format!("CRC of table 0x{table_id:02X} is wrong")
            }
            _ => String::new(),
        };
        let pid = finding.pid.unwrap_or(Pid::PAT);
        let claimed = self.claimed(pid);
        for view in &mut self.views {
            if let Some(ceiling) = view.ceiling(pid, claimed) {
                let at = view.moment(&finding.position);
                view.event(kind, finding.pid, at, ceiling, evidence.clone());
            }
        }
    }

    fn route_condition(&mut self, condition: &tallylight_ts::Condition) {
        let kind = condition.check.fault();
        // What this host missed may be what stays out.
        let blind = self.blind.contains(condition.position.at).then_some(self.blind_until);
        for view in &mut self.views {
            let Some(ceiling) = concern(view, condition) else { continue };
            if condition.holds {
                let since = blind.unwrap_or_default().max(view.moment(&condition.since));
                view.hold(kind, condition.pid, since, ceiling, describe(condition.check));
                view.name_component(kind);
                if condition.check == Check::Scrambled {
                    view.reset_decoding();
                }
            } else {
                let at = view.moment(&condition.position);
                view.release(kind, condition.pid, at);
            }
        }
    }

    fn route_services(&mut self, position: &Position) {
        if let Watched::Everything { only, expectation } = &self.config.watched {
            let known: Vec<Option<u16>> = self.views.iter().map(|v| v.config.service).collect();
            let fresh: Vec<ViewConfig> = self
                .analyser
                .services()
                .map(|service| service.program)
                .filter(|program| only.is_none_or(|only| only == *program))
                .filter(|program| !known.contains(&Some(*program)))
                .filter_map(|program| {
                    let stream = stream_id(&program.to_string())?;
                    let expectation = expectation.clone();
                    Some(ViewConfig { stream, service: Some(program), expectation })
                })
                .take(MAX_SERVICES.saturating_sub(known.len()))
                .collect();
            for config in fresh {
                self.add_view(Part::Service, config);
                if let (Some(view), Some(media)) = (self.views.last_mut(), position.media) {
                    view.timeline.observe(position.at, media);
                }
            }
        }
        for view in &mut self.views {
            view.resolve(self.analyser.services(), position.at);
        }
    }
}

/// Names a part of a stream that is in no lineup.
pub(super) fn stream_id(name: &str) -> Option<StreamId> {
    StreamId::new(&ChannelId::new("probe").ok()?, name).ok()
}

/// The worst that a condition can be for a view; `None` if it does not concern it.
fn concern(view: &View, condition: &tallylight_ts::Condition) -> Option<Severity> {
    if condition.program.is_none()
        && matches!(
            condition.check,
            Check::SyncLoss | Check::PatMissing | Check::CatMissing | Check::Si(_)
        )
    {
        return (view.part != Part::Service).then_some(Severity::Critical);
    }
    let selection = view.selection.as_ref()?;
    if condition.program.is_some_and(|program| program != selection.program) {
        return None;
    }
    let ceiling = match condition.pid {
        Some(pid) => selection.ceiling(pid)?,
        None => Severity::Critical,
    };
    if condition.check == Check::Scrambled && !must_be_clear(&view.config.expectation) {
        // Nobody said that it should be clear; a report says that it was not looked into.
        return (view.part == Part::Service).then_some(Severity::Info);
    }
    let concerned = match condition.check {
        Check::Scrambled => ceiling == Severity::Critical,
        // A still picture may come as rarely as it likes; that its PID carries nothing at all is told by another check.
        Check::NoVideo => {
            let still = view.config.expectation.kind == Some(ChannelKind::Still);
            selection.picture.is_some() && !still
        }
        Check::NoAudio => condition.pid.is_none_or(|pid| selection.sound == Some(pid)),
        Check::PidMissing => view.part != Part::Stream || ceiling == Severity::Critical,
        _ => true,
    };
    concerned.then_some(ceiling)
}

const fn describe(check: Check) -> &'static str {
    match check {
        Check::Si(indicator) => lack(indicator),
        Check::Buffer(fault) => fault.name(),
        Check::SyncLoss => "packets are not found at their places",
        Check::PatMissing => "the PAT stays out",
        Check::PmtMissing => "the PMT stays out",
        Check::CatMissing => "packets are scrambled and no CAT comes",
        Check::PcrMissing => "no PCR comes",
        Check::StampsMissing => "no presentation stamp comes",
        Check::PidMissing => "the PMT lists it and nothing comes",
        Check::NoVideo => "no pictures come while the multiplex goes on",
        Check::NoAudio => "no main sound comes while the multiplex goes on",
        Check::Scrambled => "the payload is scrambled and was not looked at",
    }
}

/// What of the service information stays out, or stands against it.
const fn lack(indicator: Indicator) -> &'static str {
    match indicator {
        Indicator::Nit => "no NIT comes (3.1)",
        Indicator::NitActual => "the NIT of this network stays out (3.1.a)",
        Indicator::NitOther => "a section of another network's NIT stays out (3.1.b)",
        Indicator::SiRepetition => "a section comes more seldom than it must (3.2)",
        Indicator::UnreferencedPid => "packets come and no table lists them (3.4)",
        Indicator::SdtActual => "the SDT of this stream stays out (3.5.a)",
        Indicator::SdtOther => "a section of another stream's SDT stays out (3.5.b)",
        Indicator::Eit => "no EIT says what is on now and next (3.6)",
        Indicator::EitActual => "the EIT lacks what is on now, or what is next (3.6.a)",
        Indicator::EitOther => "a section of another stream's EIT stays out (3.6.b)",
        Indicator::EitPf => {
            "an EIT says what is on now without what is next, or the other way round (3.6.c)"
        }
        Indicator::Tdt => "the TDT stays out (3.8)",
        other => other.name(),
    }
}
