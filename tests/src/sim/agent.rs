//! What an agent says about the truth, and when: a second's slices at a time, faults at once.

use std::collections::BTreeMap;

use tallylight_model::{
    Batch, Epoch, FaultKind, FaultRecord, Layer, NodeId, NodeReport, Ratio, RegionId, Resource,
    Slice,
};

use super::{
    Dice,
    platform::{Conditions, Event, Platform, Trouble},
    player::SECOND,
    probe::{FIRST, Moment, Probe, Said, moment},
};

/// How many seconds of a stream that nothing will happen to come at a time.
const MERGED: u64 = 10;

/// How often an agent without news says that it lives, in seconds.
const ALIVE: u64 = 2;

/// How closely a stream is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Every second.
    Seconds,
    /// Ten seconds at a time up to a step, then every second.
    SecondsFrom(u64),
    /// Ten seconds at a time, as an agent's full spool has them.
    Merged,
}

/// One agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) node: NodeId,
    epoch: Epoch,
    seq: u64,
    /// Steps until its second ends.
    phase: u64,
    /// How wrong its wall clock is, in milliseconds.
    skew: i64,
    /// By index of the stream.
    pub(super) probes: BTreeMap<usize, Probe>,
    paces: BTreeMap<usize, Pace>,
    /// Its own troubles.
    events: Vec<Event>,
    hot: Vec<usize>,
}

/// What is so of an agent at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    drops: bool,
    cut: bool,
    mute: bool,
    blind: bool,
    busy: bool,
    deaf: bool,
    lies: Option<(FaultKind, u64)>,
}

impl Agent {
    /// An agent that watches every stream of its region, and has done so for long.
    pub(super) fn new(
        node: &NodeId,
        region: &RegionId,
        platform: &Platform,
        dice: &mut Dice,
    ) -> Self {
        let phase = dice.below(SECOND);
        let skew = dice.below(4001) as i64 - 2000;
        let own = platform.streams.iter().enumerate().filter(|(_, it)| it.region == *region);
        let probes = own.map(|(index, stream)| {
            // Servers cut segments at the same moments for all, and agents ask a little later.
            let grid = index as u64 * 37;
            (index, Probe::running(stream.form, FIRST - SECOND + phase, grid, dice.below(SECOND)))
        });
        let events = platform.events.iter().filter(|it| it.what.agent() == Some(node));
        Self {
            node: node.clone(),
            epoch: Epoch(1),
            seq: 0,
            phase,
            skew,
            probes: probes.collect(),
            paces: BTreeMap::new(),
            events: events.cloned().collect(),
            hot: Vec::new(),
        }
    }

    /// Tells of these streams at this pace, of all others every second.
    pub(super) fn pace(&mut self, stream: usize, pace: Pace) {
        self.paces.insert(stream, pace);
    }

    /// Starts it anew: it has forgotten what it saw.
    pub(super) fn restart(&mut self, now: u64, platform: &Platform, dice: &mut Dice) {
        self.epoch = Epoch(self.epoch.0 + 1);
        for (&stream, probe) in &mut self.probes {
            *probe = Probe::starting(platform.streams[stream].form, now, dice.below(SECOND));
        }
        self.phase = now % SECOND;
        self.hot = self.probes.keys().copied().collect();
    }

    /// Looks closely at a stream from now on.
    pub(super) fn heat(&mut self, stream: usize, now: u64) {
        if let Some(probe) = self.probes.get_mut(&stream)
            && !probe.is_hot()
        {
            probe.heat(now);
            self.hot.push(stream);
        }
    }

    /// Stops looking closely at those streams that nothing happens to any more.
    pub(super) fn cool(&mut self, may: impl Fn(usize) -> bool) {
        let probes = &mut self.probes;
        self.hot.retain(|stream| {
            let Some(probe) = probes.get_mut(stream) else { return false };
            if may(*stream) {
                probe.cool();
            }
            probe.is_hot()
        });
    }

    /// Whether it looks closely at nothing.
    pub(super) const fn is_calm(&self) -> bool {
        self.hot.is_empty()
    }

    fn own(&self, now: u64) -> Own {
        let mut own = Own::default();
        for event in self.events.iter().filter(|it| it.holds(moment(now - 1))) {
            match event.what {
                Trouble::Drops(_) => own.drops = true,
                Trouble::Cut(_) => own.cut = true,
                Trouble::Mute(_) => own.mute = true,
                Trouble::Blind(_) => own.blind = true,
                Trouble::Busy(_) => own.busy = true,
                Trouble::Deaf(_) => own.deaf = true,
                Trouble::Lies(_, kind, one_in) => own.lies = Some((kind, one_in)),
                _ => {}
            }
        }
        own
    }

    /// Whether its own troubles change what it sees, so that every stream of it must be looked at closely.
    pub(super) fn is_troubled(&self, now: u64) -> bool {
        let own = self.own(now);
        own.drops || own.cut || own.deaf || own.lies.is_some()
    }

    /// Goes on by one step. `shows` is what is true of a stream, with how much longer its segments take. Answers what it
    /// says; nothing while it is mute.
    pub(super) fn step(
        &mut self,
        now: u64,
        platform: &Platform,
        shows: &mut impl FnMut(usize) -> (Conditions, u64),
    ) -> Option<Batch> {
        let own = self.own(now);
        let mut faults = Vec::new();
        let mut said = Vec::new();
        for &index in &self.hot {
            let Some(probe) = self.probes.get_mut(&index) else { continue };
            let (truth, slow) = shows(index);
            let seen = Moment { shows: seen(own, platform, index, truth), drops: own.drops, slow };
            probe.step(now, seen, &mut said);
            for Said { kind, severity, phase, onset } in said.drain(..) {
                self.seq += 1;
                faults.push(FaultRecord {
                    seq: self.seq,
                    stream: platform.streams[index].id.clone(),
                    kind,
                    phase,
                    severity,
                    pid: None,
                    onset,
                    declared: moment(now),
                    evidence: format!("{kind} as simulated"),
                });
            }
        }
        let mut slices = Vec::new();
        let mut reports = Vec::new();
        if now % SECOND == self.phase {
            self.second(now, platform, own.blind, &mut slices);
            if !slices.is_empty() || (now / SECOND).is_multiple_of(ALIVE) {
                reports.push(NodeReport {
                    at: moment(now),
                    receive_dropped: if own.drops { 40 } else { 0 },
                    saturation: own
                        .busy
                        .then_some((Resource::Cpu, Ratio::new(0.9)))
                        .into_iter()
                        .collect(),
                    ..NodeReport::default()
                });
            }
        }
        let silent = own.mute || slices.is_empty() && faults.is_empty() && reports.is_empty();
        let (node, epoch) = (self.node.clone(), self.epoch);
        (!silent).then_some(Batch { node, epoch, slices, faults, reports })
    }

    fn second(&mut self, now: u64, platform: &Platform, blind: bool, slices: &mut Vec<Slice>) {
        let merges = (now / SECOND).is_multiple_of(MERGED);
        for (&index, probe) in &mut self.probes {
            let merged = match self.paces.get(&index).copied().unwrap_or(Pace::Seconds) {
                Pace::Seconds => false,
                Pace::SecondsFrom(step) => now < step,
                Pace::Merged => true,
            } && !probe.is_hot();
            if !merged || merges {
                let length = if merged { MERGED } else { 1 };
                let id = &platform.streams[index].id;
                probe.slices(now, length, id, self.skew, blind, slices);
            }
        }
    }
}

/// What an agent takes for true.
fn seen(own: Own, platform: &Platform, index: usize, truth: Conditions) -> Conditions {
    if own.deaf {
        return Conditions::NONE;
    }
    let stream = &platform.streams[index];
    let by_request = stream.server.as_ref().is_some_and(|it| !platform.site.multicast.contains(it));
    if own.cut && by_request {
        return Conditions::NONE.with(FaultKind::Unreachable);
    }
    if let Some((kind, one_in)) = own.lies
        && (index as u64).is_multiple_of(one_in)
    {
        return truth.with(kind);
    }
    if own.blind { truth.only(|it| !is_decoded(it.rule().layer)) } else { truth }
}

/// Whether a layer is seen only by decoding.
const fn is_decoded(layer: Layer) -> bool {
    matches!(layer, Layer::Picture | Layer::Sound)
}
