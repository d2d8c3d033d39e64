//! What an agent says about the truth: one slice a second and stream, faults as the profile declares them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tallylight_decide::lineup::StreamRef;
use tallylight_model::{
    Batch, Counters, Epoch, FaultKind, FaultPhase, FaultRecord, Layer, MonoTime, NodeId,
    NodeReport, Observed, Profile, ProfileName, Ratio, Resource, Severity, Slice, StreamId,
    WallTime,
};

use super::{
    Dice, STEP,
    platform::{Conditions, Form, Platform},
};

const SECOND: Duration = Duration::from_secs(1);

/// One agent.
#[derive(Debug)]
pub(super) struct Agent {
    node: NodeId,
    epoch: Epoch,
    seq: u64,
    /// Steps until the next second ends.
    phase: u64,
    streams: BTreeMap<StreamId, Probe>,
}

/// One stream of an agent.
#[derive(Debug)]
struct Probe {
    form: Form,
    /// Since when each condition holds, in production time.
    since: BTreeMap<FaultKind, MonoTime>,
    last_held: BTreeMap<FaultKind, MonoTime>,
    standing: BTreeMap<FaultKind, Severity>,
    /// Steps of the second that is not over: what held in each.
    steps: VecDeque<(MonoTime, Conditions)>,
    /// Steps that wait for their segment to be complete.
    segment: VecDeque<(MonoTime, Conditions)>,
    last_segment: MonoTime,
    phase: u64,
}

impl Agent {
    /// An agent that watches every stream of its region.
    pub(super) fn new(node: &NodeId, platform: &Platform, now: MonoTime, dice: &mut Dice) -> Self {
        let agent = platform.lineup.agent(node);
        let own = |it: &StreamRef<'_>| agent.is_some_and(|agent| agent.region == *it.region());
        let streams = platform
            .lineup
            .streams()
            .filter(|(_, it)| own(it))
            .map(|(id, it)| {
                let form = match it {
                    StreamRef::Delivery(.., server) => platform.forms[&server.id],
                    StreamRef::Source(..) => Form::Packets,
                };
                (id.clone(), Probe::new(form, now, dice))
            })
            .collect();
        Self { node: node.clone(), epoch: Epoch(1), seq: 0, phase: dice.below(10), streams }
    }

    /// Starts it anew: it has forgotten what it saw.
    pub(super) fn restart(&mut self, platform: &Platform, now: MonoTime, dice: &mut Dice) {
        let epoch = Epoch(self.epoch.0 + 1);
        *self = Self { epoch, ..Self::new(&self.node, platform, now, dice) };
    }

    /// Goes on by one step. Answers what it says at once.
    pub(super) fn step(&mut self, now: MonoTime, platform: &Platform) -> Batch {
        let mut batch = Batch {
            node: self.node.clone(),
            epoch: self.epoch,
            slices: Vec::new(),
            faults: Vec::new(),
            reports: Vec::new(),
        };
        let drops = platform.drops(&self.node, now);
        let busy = platform.busy(&self.node, now);
        let blind = platform.blind(&self.node, now);
        for (stream, probe) in &mut self.streams {
            let unreachable = platform.unreachable(&self.node, stream, now);
            let mut shows = if unreachable {
                Conditions::from([FaultKind::Unreachable])
            } else {
                platform.shows(stream, now)
            };
            if blind {
                shows.retain(|it| !is_decoded(it.rule().layer));
            }
            let said = probe.step(now, shows, drops);
            for (kind, severity, phase, onset) in said {
                self.seq += 1;
                batch.faults.push(FaultRecord {
                    seq: self.seq,
                    stream: stream.clone(),
                    kind,
                    phase,
                    severity,
                    pid: None,
                    onset,
                    declared: now,
                    evidence: format!("{kind} as simulated"),
                });
            }
        }
        self.phase = (self.phase + 1) % 10;
        if self.phase == 0 {
            for (stream, probe) in &mut self.streams {
                batch.slices.extend(probe.slices(stream, drops));
                for slice in batch.slices.iter_mut().filter(|_| blind) {
                    slice.observed.picture = Duration::ZERO;
                    slice.observed.sound = Duration::ZERO;
                }
            }
            batch.reports.push(NodeReport {
                at: now,
                receive_dropped: if drops { 40 } else { 0 },
                saturation: busy.then_some((Resource::Cpu, Ratio::new(0.9))).into_iter().collect(),
                ..NodeReport::default()
            });
        }
        batch
    }
}

/// Whether a layer is seen only by decoding.
const fn is_decoded(layer: Layer) -> bool {
    matches!(layer, Layer::Picture | Layer::Sound)
}

type Said = Vec<(FaultKind, Severity, FaultPhase, MonoTime)>;

impl Probe {
    fn new(form: Form, now: MonoTime, dice: &mut Dice) -> Self {
        Self {
            form,
            since: BTreeMap::new(),
            last_held: BTreeMap::new(),
            standing: BTreeMap::new(),
            steps: VecDeque::new(),
            segment: VecDeque::new(),
            last_segment: now,
            phase: dice.below(10),
        }
    }

    fn step(&mut self, now: MonoTime, shows: Conditions, drops: bool) -> Said {
        let mut said = Said::new();
        match self.form {
            Form::Packets => {
                let mut shows = shows;
                if drops {
                    // What its own host lost is not the stream's.
                    shows.clear();
                    shows.insert(FaultKind::PathDegraded);
                }
                self.steps.push_back((now, shows.clone()));
                self.declare(now, now, &shows, &mut said);
            }
            Form::Segments(seconds) => self.segment_step(now, shows, seconds, &mut said),
        }
        said
    }

    /// Media is seen when its segment is complete and was asked for; a dead way is seen at once.
    fn segment_step(&mut self, now: MonoTime, shows: Conditions, seconds: u64, said: &mut Said) {
        let length = Duration::from_secs(seconds);
        let gone = shows.contains(&FaultKind::Unreachable) || shows.contains(&FaultKind::NoData);
        if gone {
            self.segment.clear();
            let mut held = Conditions::new();
            if shows.contains(&FaultKind::Unreachable) {
                held.insert(FaultKind::Unreachable);
            } else if now.since(self.last_segment) > length + length / 2 {
                held.insert(FaultKind::PlaylistStale);
            }
            self.steps.push_back((now, held.clone()));
            self.declare(now, now, &held, said);
            return;
        }
        self.segment.push_back((now, shows));
        let fetched = length + STEP * u32::try_from(self.phase).unwrap_or(0);
        if self.segment.front().is_some_and(|(first, _)| now.since(*first) >= fetched) {
            self.last_segment = now;
            let cut = self.segment[0].0 + length;
            while self.segment.front().is_some_and(|(at, _)| *at < cut) {
                if let Some((at, shows)) = self.segment.pop_front() {
                    self.declare(now, at, &shows, said);
                    self.steps.push_back((at, shows));
                }
            }
        }
    }

    /// Brings faults in line with what held in media produced at a moment.
    fn declare(&mut self, now: MonoTime, at: MonoTime, shows: &Conditions, said: &mut Said) {
        let profile = Profile::new(ProfileName::Default);
        for &kind in shows {
            let since = *self.since.entry(kind).or_insert(at);
            self.last_held.insert(kind, at);
            let hold = profile.hold(kind);
            let lasted = at.since(since) + STEP;
            let severity = match (hold.critical, hold.warning) {
                (Some(critical), _) if lasted >= critical => Some(Severity::Critical),
                (_, Some(warning)) if lasted >= warning => Some(Severity::Warning),
                _ => None,
            };
            let Some(severity) = severity else { continue };
            match self.standing.insert(kind, severity) {
                None => said.push((kind, severity, FaultPhase::Begin, since)),
                Some(before) if before < severity => {
                    said.push((kind, severity, FaultPhase::Raise, since));
                }
                Some(_) => {}
            }
        }
        let over: BTreeSet<FaultKind> =
            self.since.keys().filter(|it| !shows.contains(it)).copied().collect();
        for kind in over {
            let last = self.last_held.get(&kind).copied().unwrap_or(at);
            let declared = self.standing.contains_key(&kind);
            let clear = if declared { profile.hold(kind).clear } else { STEP * 2 };
            if at.since(last) < clear {
                continue;
            }
            let since = self.since.remove(&kind).unwrap_or(now);
            if let Some(severity) = self.standing.remove(&kind) {
                said.push((kind, severity, FaultPhase::End(last), since));
            }
        }
    }

    /// Cuts whole seconds out of the steps.
    fn slices(&mut self, stream: &StreamId, drops: bool) -> Vec<Slice> {
        let mut slices = Vec::new();
        while self.steps.len() >= 10 {
            let steps: Vec<_> = self.steps.drain(..10).collect();
            let first = steps[0].0;
            let mut conditions = BTreeMap::new();
            let mut counters = Counters::default();
            for kind in steps.iter().flat_map(|it| &it.1) {
                *conditions.entry(*kind).or_insert(Duration::ZERO) += STEP;
            }
            let gone = [FaultKind::Unreachable, FaultKind::NoData, FaultKind::PlaylistStale];
            let lost: Duration = gone.iter().filter_map(|it| conditions.get(it)).sum();
            let packets = self.form == Form::Packets;
            let unseen = if drops && packets { SECOND } else { lost.min(SECOND) };
            let seen = SECOND - unseen;
            if drops && packets {
                counters.receive_dropped = 10;
            }
            slices.push(Slice {
                stream: stream.clone(),
                start: WallTime::from_unix_millis((first.as_nanos() / 1_000_000) as i64),
                end: first + SECOND,
                length: SECOND,
                observed: Observed {
                    transport: seen,
                    picture: seen,
                    sound: seen,
                    delivery: if drops && packets { Duration::ZERO } else { SECOND },
                },
                conditions,
                standing: self.standing.clone(),
                counters,
                latencies: Vec::new(),
            });
        }
        slices
    }
}
