//! From conditions to faults: hysteresis, exact onset and exact end.
//!
//! A *condition* is what a check sees at a moment ("no packets", "black"). A *fault* is a condition that lasted as long as the
//! profile asks. The tracker never reads a clock: it moves on a time line that its owner advances, one for each kind of
//! evidence, because what was decoded last may be seconds older than what arrived last, and a black picture proves nothing
//! about the time after it. A fault that has begun ends only after the condition was gone for the profile's `clear`; its end
//! is then the moment at which the condition went, not the moment at which that was believed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tallylight_model::{FaultKind, FaultPhase, Hold, MonoTime, Pid, Profile, Severity};

/// Conditions tracked at a time; a stream with more PIDs in trouble than this is told by those.
const MAX_CONDITIONS: usize = 64;
/// Finished runs kept until the slices they fall in are closed.
const MAX_PAST_RUNS: usize = 512;
/// How long one event counts as a condition (see `Profile::hold`).
const EVENT_LASTS: Duration = Duration::from_secs(1);
/// The longest evidence, in bytes (see `FaultRecord::evidence`).
const MAX_EVIDENCE: usize = 200;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// The kind of fault that it becomes.
    pub kind: FaultKind,
    /// The PID, where it is of one PID.
    pub pid: Option<Pid>,
}

impl From<FaultKind> for Condition {
    fn from(kind: FaultKind) -> Self {
        Self { kind, pid: None }
    }
}

/// A time line of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Requests, datagrams, and the absence of both.
    Arrival,
    /// Packets, as far as they are here: what is in a segment that has not come yet is not known.
    Media,
    /// Decoded pictures.
    Picture,
    /// Decoded sound.
    Sound,
}

impl Evidence {
    /// The time line that a kind is judged on.
    #[must_use]
    pub const fn of(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Black
            | FaultKind::Blank
            | FaultKind::Bars
            | FaultKind::Freeze
            | FaultKind::PartialFreeze
            | FaultKind::Loop
            | FaultKind::FormatChange
            | FaultKind::Slate
            | FaultKind::Placeholder => Self::Picture,
            FaultKind::Silence
            | FaultKind::DeadChannel
            | FaultKind::Mono
            | FaultKind::OutOfPhase
            | FaultKind::Clipping
            | FaultKind::Tone
            | FaultKind::Loudness
            | FaultKind::TruePeak
            | FaultKind::SecondarySilence => Self::Sound,
            FaultKind::Unreachable
            | FaultKind::HttpError
            | FaultKind::NoData
            | FaultKind::RtpLoss
            | FaultKind::DeliveryJitter
            | FaultKind::PlaylistStale
            | FaultKind::PlaylistInvalid
            | FaultKind::SegmentMissing
            | FaultKind::Stall
            | FaultKind::DecoderFailed
            | FaultKind::PathDegraded
            | FaultKind::HostSaturated
            | FaultKind::Shedding => Self::Arrival,
            _ => Self::Media,
        }
    }
}

/// Something that happened to a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The fault.
    pub condition: Condition,
    /// What happened.
    pub phase: FaultPhase,
    /// How bad it is, or was.
    pub severity: Severity,
    /// When the condition began.
    pub onset: MonoTime,
    /// When the hold was over.
    pub declared: MonoTime,
    /// What was measured.
    pub evidence: String,
}

/// Tracks the conditions of one stream.
#[derive(Debug)]
pub struct Tracker {
    profile: Profile,
    states: BTreeMap<Condition, State>,
    past: VecDeque<(FaultKind, Run)>,
    changes: VecDeque<Change>,
    now: BTreeMap<Evidence, MonoTime>,
    refused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    since: MonoTime,
    /// The end where it is known ahead: an event's.
    until: Option<MonoTime>,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    severity: Severity,
    onset: MonoTime,
    declared: MonoTime,
}

#[derive(Debug)]
struct State {
    run: Option<Run>,
    /// The run before, while a fault outlives it.
    last: Option<Run>,
    ended: MonoTime,
    fault: Option<Standing>,
    ceiling: Severity,
    evidence: String,
}

impl Tracker {
    /// Tracks by the thresholds of a profile.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            states: BTreeMap::new(),
            past: VecDeque::new(),
            changes: VecDeque::new(),
            now: BTreeMap::new(),
            refused: 0,
        }
    }

    /// A condition holds since this moment, until released. Said again it only renews the evidence.
    pub fn hold(&mut self, what: impl Into<Condition>, since: MonoTime, evidence: String) {
        self.hold_up_to(what, since, Severity::Critical, evidence);
    }

    /// The same for a condition that from now on is at most of the severity `ceiling`; a fault keeps what it had.
    pub fn hold_up_to(
        &mut self,
        what: impl Into<Condition>,
        since: MonoTime,
        ceiling: Severity,
        evidence: String,
    ) {
        let what = what.into();
        self.step(what, since);
        let Some(state) = self.state(what, ceiling) else { return };
        (state.evidence, state.ceiling) = (shortened(evidence), ceiling);
        state.run = Some(Run { since: state.start_of_run(since), until: None });
        self.step_to_known(what);
    }

    /// A condition went at this moment. Nothing happens if it does not hold.
    pub fn release(&mut self, what: impl Into<Condition>, at: MonoTime) {
        let what = what.into();
        if let Some(run) = self.states.get_mut(&what).and_then(|state| state.run.as_mut()) {
            run.until = Some(run.until.map_or(at, |until| until.min(at)).max(run.since));
            self.step(what, at);
            self.step_to_known(what);
        }
    }

    /// What held before this moment counts no more: an informational fault ends here, and a worse one is raised by what follows.
    pub fn recount(&mut self, what: impl Into<Condition>, from: MonoTime) {
        let what = what.into();
        let run = self.states.get(&what).and_then(|state| state.run);
        if run.is_some_and(|run| run.since >= from) {
            return;
        }
        self.release(what, from);
        let informed = |state: &State| state.fault.filter(|it| it.severity == Severity::Info);
        if let Some(state) = self.states.get(&what)
            && let Some(fault) = informed(state)
        {
            self.changes.push_back(change(what, FaultPhase::End(state.ended), fault, state));
            self.states.remove(&what);
        }
    }

    /// What holds by this evidence and is no fault yet counts from this moment on at the earliest.
    pub fn postpone(&mut self, evidence: Evidence, until: MonoTime) {
        let undeclared = |(what, state): &(&Condition, &mut State)| {
            Evidence::of(what.kind) == evidence && state.fault.is_none()
        };
        for run in self.states.iter_mut().filter(undeclared).filter_map(|(_, s)| s.run.as_mut()) {
            run.since = run.since.max(until);
        }
    }

    /// An event that counts as a condition for the following second, at most of the severity `ceiling`. What went before at a
    /// lower one does not count for it.
    pub fn event(
        &mut self,
        what: impl Into<Condition>,
        at: MonoTime,
        ceiling: Severity,
        evidence: String,
    ) {
        let what = what.into();
        self.step(what, at);
        if self.states.get(&what).is_some_and(|state| ceiling > state.ceiling) {
            self.recount(what, at);
        }
        let Some(state) = self.state(what, ceiling) else { return };
        state.evidence = shortened(evidence);
        let until = state.run.and_then(|run| run.until).max(Some(at + EVENT_LASTS));
        state.ceiling = state.ceiling.max(ceiling);
        state.run = Some(Run { since: state.start_of_run(at), until });
        self.step(what, at);
    }

    /// Whether what happens at this moment still belongs to an episode that began before.
    pub fn goes_on(&mut self, what: Condition, at: MonoTime) -> bool {
        self.step(what, at);
        self.states.contains_key(&what)
    }

    /// Evidence of this kind is complete up to this moment.
    pub fn advance(&mut self, evidence: Evidence, now: MonoTime) {
        let known = self.now.entry(evidence).or_insert(now);
        *known = now.max(*known);
        let now = *known;
        let due: Vec<Condition> =
            self.states.keys().copied().filter(|c| Evidence::of(c.kind) == evidence).collect();
        for what in due {
            self.step(what, now);
        }
    }

    /// Nothing can be said about this kind any more: a fault of it ends at once.
    pub fn forget(&mut self, kind: FaultKind, at: MonoTime) {
        let gone: Vec<Condition> = self.states.keys().copied().filter(|c| c.kind == kind).collect();
        for what in gone {
            self.release(what, at);
            if let Some(state) = self.states.remove(&what)
                && let Some(fault) = state.fault
            {
                let end = state.run.map_or(state.ended, |run| run.since.max(at));
                self.changes.push_back(change(what, FaultPhase::End(end), fault, &state));
            }
        }
    }

    /// Ends what is over: nothing more will come that could bring it back. What events came to is told again for those faults
    /// that are not over.
    pub fn finish(&mut self) {
        for (what, state) in &self.states {
            if let Some(fault) = state.fault
                && state.run.is_some_and(|run| run.until.is_some())
            {
                self.changes.push_back(change(*what, FaultPhase::Raise, fault, state));
            }
        }
        let over: Vec<Condition> =
            self.states.iter().filter(|(_, s)| s.run.is_none()).map(|(what, _)| *what).collect();
        for what in over {
            if let Some(state) = self.states.remove(&what)
                && let Some(fault) = state.fault
            {
                self.changes.push_back(change(what, FaultPhase::End(state.ended), fault, &state));
            }
        }
    }

    /// Ends everything at once, as when the stream is not watched any more.
    pub fn forget_all(&mut self, at: MonoTime) {
        for &kind in FaultKind::ALL {
            self.forget(kind, at);
        }
    }

    /// What happened since the last call, in order.
    pub fn poll(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When [`advance`](Self::advance) may declare or end something although nothing arrives.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.states
            .iter()
            .filter(|(what, _)| {
                matches!(Evidence::of(what.kind), Evidence::Arrival | Evidence::Media)
            })
            .filter_map(|(what, state)| state.due(self.profile.hold(what.kind)))
            .min()
    }

    /// Whether a condition holds at the moment.
    #[must_use]
    pub fn holds(&self, what: impl Into<Condition>) -> bool {
        self.states.get(&what.into()).is_some_and(|state| state.run.is_some())
    }

    /// The declared faults by kind, each with its worst severity.
    #[must_use]
    pub fn standing(&self) -> BTreeMap<FaultKind, Severity> {
        let mut all = BTreeMap::new();
        for (what, state) in &self.states {
            if let Some(fault) = state.fault {
                let worst = all.entry(what.kind).or_insert(fault.severity);
                *worst = fault.severity.max(*worst);
            }
        }
        all
    }

    /// The declared faults, each with its onset.
    pub fn faults(&self) -> impl Iterator<Item = (Condition, MonoTime)> + '_ {
        self.states.iter().filter_map(|(what, state)| Some((*what, state.fault?.onset)))
    }

    /// For how long the conditions of each kind held between two moments. A condition that was not released is taken to go on:
    /// what says so comes a little later than what it is about.
    #[must_use]
    pub fn held(&self, from: MonoTime, to: MonoTime) -> BTreeMap<FaultKind, Duration> {
        let mut spans: BTreeMap<FaultKind, Vec<(MonoTime, MonoTime)>> = BTreeMap::new();
        let finished = self.past.iter().copied();
        let running = self.states.iter().filter_map(|(what, state)| Some((what.kind, state.run?)));
        for (kind, run) in finished.chain(running) {
            let (start, end) = (run.since.max(from), run.until.unwrap_or(to).min(to));
            if start < end {
                spans.entry(kind).or_default().push((start, end));
            }
        }
        spans.into_iter().map(|(kind, spans)| (kind, union(spans))).collect()
    }

    /// Lets go of what ended before this moment: the slices up to there are closed.
    pub fn prune(&mut self, before: MonoTime) {
        self.past.retain(|(_, run)| run.until.is_none_or(|until| until > before));
    }

    /// Conditions that found the table full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Up to when evidence of a kind is complete.
    pub(crate) fn known(&self, kind: FaultKind) -> MonoTime {
        self.now.get(&Evidence::of(kind)).copied().unwrap_or(MonoTime::ZERO)
    }

    fn state(&mut self, what: Condition, ceiling: Severity) -> Option<&mut State> {
        if !self.states.contains_key(&what) && self.states.len() >= MAX_CONDITIONS {
            self.refused += 1;
            return None;
        }
        let state = self.states.entry(what).or_insert_with(|| State {
            run: None,
            last: None,
            ended: MonoTime::ZERO,
            fault: None,
            ceiling,
            evidence: String::new(),
        });
        Some(state)
    }

    fn step_to_known(&mut self, what: Condition) {
        self.step(what, self.known(what.kind));
    }

    /// Brings one state up to `now`. A moment in the past changes nothing but what was due by then.
    fn step(&mut self, what: Condition, now: MonoTime) {
        let hold = self.profile.hold(what.kind);
        let Some(state) = self.states.get_mut(&what) else { return };
        if let Some(run) = state.run {
            let lasted = run.until.map_or(now, |until| until.min(now)).since(run.since);
            let reached = if now >= run.since { severity_after(hold, lasted) } else { None };
            if let Some((severity, after)) = reached.map(|(s, after)| (s.min(state.ceiling), after))
            {
                let phase = match state.fault {
                    None => Some(FaultPhase::Begin),
                    Some(fault) if severity > fault.severity => Some(FaultPhase::Raise),
                    Some(_) => None,
                };
                if let Some(phase) = phase {
                    let declared = run.since + after;
                    let onset = state.fault.map_or(run.since, |fault| fault.onset);
                    let fault = Standing { severity, onset, declared };
                    state.fault = Some(fault);
                    self.changes.push_back(change(what, phase, fault, state));
                }
            }
            if let Some(until) = run.until.filter(|&until| until <= now) {
                state.run = None;
                state.last = Some(run);
                state.ended = until;
                if self.past.len() == MAX_PAST_RUNS {
                    self.past.pop_front();
                }
                self.past.push_back((what.kind, run));
            }
        }
        if state.run.is_some() {
            return;
        }
        match state.fault {
            Some(fault) if now.since(state.ended) >= hold.clear => {
                self.changes.push_back(change(what, FaultPhase::End(state.ended), fault, state));
                self.states.remove(&what);
            }
            Some(_) => {}
            None => {
                self.states.remove(&what);
            }
        }
    }
}

impl State {
    /// Where a run begins that goes on or starts at this moment. Events are told late at times, as for a segment: one within
    /// the run before continues it.
    fn start_of_run(&self, at: MonoTime) -> MonoTime {
        let continued = self.run.or(self.last.filter(|_| at < self.ended));
        continued.map_or(at, |run| run.since)
    }

    fn due(&self, hold: Hold) -> Option<MonoTime> {
        let Some(run) = self.run else {
            return self.fault.map(|_| self.ended + hold.clear);
        };
        let severity = self.fault.map(|fault| fault.severity);
        let thresholds = [
            (hold.info, Severity::Info),
            (hold.warning, Severity::Warning),
            (hold.critical, Severity::Critical),
        ];
        let next = thresholds
            .into_iter()
            .filter(|&(_, level)| level <= self.ceiling && severity.is_none_or(|s| level > s))
            .filter_map(|(after, _)| Some(run.since + after?))
            .min();
        next.into_iter().chain(run.until).min()
    }
}

/// The severity of a condition that lasted this long, with the threshold that it passed.
fn severity_after(hold: Hold, lasted: Duration) -> Option<(Severity, Duration)> {
    let passed = |after: Option<Duration>| after.filter(|&after| lasted >= after);
    if let Some(after) = passed(hold.critical) {
        return Some((Severity::Critical, after));
    }
    if let Some(after) = passed(hold.warning) {
        return Some((Severity::Warning, after));
    }
    passed(hold.info).map(|after| (Severity::Info, after))
}

fn change(what: Condition, phase: FaultPhase, fault: Standing, state: &State) -> Change {
    Change {
        condition: what,
        phase,
        severity: fault.severity,
        onset: fault.onset,
        declared: fault.declared,
        evidence: state.evidence.clone(),
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_EVIDENCE {
        let end = (0..=MAX_EVIDENCE).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// The length of a union of spans.
fn union(mut spans: Vec<(MonoTime, MonoTime)>) -> Duration {
    spans.sort_unstable();
    let mut total = Duration::ZERO;
    let mut covered = MonoTime::ZERO;
    for (start, end) in spans {
        total += end.since(start.max(covered));
        covered = covered.max(end);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallylight_model::ProfileName;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    fn ms(time: MonoTime) -> u64 {
        time.as_nanos() / 1_000_000
    }

    fn tracker() -> Tracker {
        Tracker::new(Profile::new(ProfileName::Default))
    }

    /// What happened, as `phase severity onset`.
    fn told(tracker: &mut Tracker) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(change) = tracker.poll() {
            let what = change.condition.kind.name();
            let severity = change.severity.name();
            all.push(match change.phase {
                FaultPhase::Begin => format!("{what} begin {severity} {}", ms(change.onset)),
                FaultPhase::Raise => format!("{what} raise {severity} {}", ms(change.onset)),
                FaultPhase::End(end) => {
                    format!("{what} end {severity} {}-{}", ms(change.onset), ms(end))
                }
            });
        }
        all
    }

    #[test]
    fn a_condition_becomes_a_fault_after_its_hold_and_worse_later() {
        let mut t = tracker();
        t.hold(FaultKind::Black, at(1_000), "luma 16".into());
        t.advance(Evidence::Picture, at(5_999));
        assert!(told(&mut t).is_empty());
        t.advance(Evidence::Picture, at(6_000));
        assert_eq!(told(&mut t), ["black begin warning 1000"]);
        t.advance(Evidence::Picture, at(11_000));
        assert_eq!(told(&mut t), ["black raise critical 1000"]);
        t.release(FaultKind::Black, at(11_500));
        t.advance(Evidence::Picture, at(14_499));
        assert!(told(&mut t).is_empty());
        t.advance(Evidence::Picture, at(14_500));
        assert_eq!(told(&mut t), ["black end critical 1000-11500"]);
        assert!(t.standing().is_empty());
    }

    #[test]
    fn what_was_informational_does_not_count_for_what_is_more() {
        let mut t = tracker();
        let mut lose = |at_ms: u64, ceiling| {
            t.event(FaultKind::Continuity, at(at_ms), ceiling, String::new());
            told(&mut t)
        };
        for second in 1..10 {
            let begins = ["continuity begin info 1000".to_owned()];
            let expected = if second == 1 { &begins[..] } else { &[] };
            assert_eq!(lose(second * 1_000, Severity::Info), expected);
        }
        let expected = ["continuity end info 1000-9500", "continuity begin warning 9500"];
        assert_eq!(lose(9_500, Severity::Critical), expected);
        // A lower one in between takes nothing back.
        assert_eq!(lose(10_400, Severity::Info), [""; 0]);
        assert_eq!(lose(11_300, Severity::Critical), [""; 0]);
        assert_eq!(lose(12_200, Severity::Info), [""; 0]);
        assert_eq!(lose(12_600, Severity::Info), ["continuity raise critical 9500"]);
        // After a pause in which it was not over yet.
        t.advance(Evidence::Media, at(20_000));
        assert_eq!(told(&mut t), ["continuity end critical 9500-13600"]);
        let mut lose = |at_ms: u64, ceiling| {
            t.event(FaultKind::Continuity, at(at_ms), ceiling, String::new());
            told(&mut t)
        };
        assert_eq!(lose(30_000, Severity::Info), ["continuity begin info 30000"]);
        let expected = ["continuity end info 30000-31000", "continuity begin warning 33000"];
        assert_eq!(lose(33_000, Severity::Critical), expected);
    }

    #[test]
    fn arrival_proves_nothing_about_the_picture() {
        let mut t = tracker();
        t.hold(FaultKind::Black, at(0), String::new());
        t.advance(Evidence::Picture, at(4_000));
        t.advance(Evidence::Arrival, at(60_000));
        assert!(told(&mut t).is_empty());
        assert_eq!(t.deadline(), None);
        assert_eq!(t.held(at(3_000), at(9_000))[&FaultKind::Black], Duration::from_secs(6));
    }

    #[test]
    fn a_short_gap_neither_ends_a_fault_nor_counts_towards_one() {
        let mut t = tracker();
        for start in [0, 4_500, 9_000] {
            t.hold(FaultKind::Black, at(start), String::new());
            t.advance(Evidence::Picture, at(start + 4_400));
            t.release(FaultKind::Black, at(start + 4_400));
        }
        assert!(told(&mut t).is_empty());
        t.hold(FaultKind::Black, at(20_000), String::new());
        t.advance(Evidence::Picture, at(25_000));
        t.release(FaultKind::Black, at(25_100));
        t.hold(FaultKind::Black, at(27_000), String::new());
        t.advance(Evidence::Picture, at(30_000));
        assert_eq!(told(&mut t), ["black begin warning 20000"]);
    }

    #[test]
    fn a_fault_that_is_known_only_afterwards_is_told_whole() {
        let mut t = tracker();
        t.hold(FaultKind::Black, at(1_000), String::new());
        t.release(FaultKind::Black, at(8_000));
        t.advance(Evidence::Picture, at(12_000));
        assert_eq!(told(&mut t), ["black begin warning 1000", "black end warning 1000-8000"]);
    }

    #[test]
    fn a_condition_that_follows_another_at_once_is_held_anew() {
        let mut t = tracker();
        for start in [0, 8_000, 16_000] {
            t.hold(FaultKind::Freeze, at(start), String::new());
            t.release(FaultKind::Freeze, at(start + 8_000));
            t.advance(Evidence::Picture, at(start + 8_000));
        }
        t.advance(Evidence::Picture, at(60_000));
        assert!(told(&mut t).is_empty());
        for start in [100_000, 120_000] {
            t.hold(FaultKind::Freeze, at(start), String::new());
            t.release(FaultKind::Freeze, at(start + 20_000));
        }
        t.advance(Evidence::Picture, at(200_000));
        let one = ["freeze begin warning 100000", "freeze end warning 100000-140000"];
        assert_eq!(told(&mut t), one);
    }

    #[test]
    fn losses_second_after_second_are_critical_and_rare_ones_are_not() {
        let (rare, often) = ([0, 3_000, 6_000, 9_000], [0, 900, 1_800, 2_700]);
        for (events, last) in
            [(rare, "continuity end warning 0-10000"), (often, "continuity end critical 0-3700")]
        {
            let mut t = tracker();
            for event in events {
                t.event(FaultKind::Continuity, at(event), Severity::Critical, String::new());
            }
            t.advance(Evidence::Media, at(30_000));
            let told = told(&mut t);
            assert_eq!(told[0], "continuity begin warning 0");
            assert_eq!(told.last().unwrap(), last);
        }
    }

    #[test]
    fn losses_that_are_told_late_count_like_those_told_at_once() {
        let mut t = tracker();
        for segment in [1_000, 3_000, 5_000] {
            for event in (segment..segment + 2_000).step_by(100) {
                t.event(FaultKind::Continuity, at(event), Severity::Critical, String::new());
            }
            t.advance(Evidence::Media, at(segment + 2_000));
            t.advance(Evidence::Arrival, at(segment + 4_000));
        }
        let told = told(&mut t);
        assert_eq!(told[..2], ["continuity begin warning 1000", "continuity raise critical 1000"]);
    }

    #[test]
    fn a_ceiling_keeps_what_does_not_matter_from_alarming() {
        let mut t = tracker();
        t.event(FaultKind::Continuity, at(0), Severity::Info, String::new());
        t.advance(Evidence::Media, at(10_000));
        assert_eq!(told(&mut t), ["continuity begin info 0", "continuity end info 0-1000"]);
    }

    #[test]
    fn the_deadline_is_when_something_would_change() {
        let mut t = tracker();
        assert_eq!(t.deadline(), None);
        t.hold(FaultKind::NoData, at(500), String::new());
        assert_eq!(t.deadline(), Some(at(2_500)));
        t.advance(Evidence::Arrival, at(2_500));
        assert_eq!(told(&mut t), ["no_data begin critical 500"]);
        assert_eq!(t.deadline(), None);
        t.release(FaultKind::NoData, at(4_000));
        assert_eq!(t.deadline(), Some(at(5_000)));
        t.event(FaultKind::PathDegraded, at(3_500), Severity::Critical, String::new());
        assert_eq!(t.deadline(), Some(at(4_500)));
    }

    #[test]
    fn seconds_of_one_kind_are_a_union_over_pids() {
        let mut t = tracker();
        for (pid, when) in [(0x100, 0), (0x101, 500), (0x102, 2_000)] {
            let what = Condition { kind: FaultKind::Continuity, pid: Some(Pid::from_bits(pid)) };
            t.event(what, at(when), Severity::Critical, String::new());
        }
        t.advance(Evidence::Media, at(10_000));
        assert_eq!(t.held(at(0), at(10_000))[&FaultKind::Continuity], Duration::from_millis(2_500));
        assert_eq!(
            t.held(at(1_000), at(2_000))[&FaultKind::Continuity],
            Duration::from_millis(500)
        );
        t.prune(at(3_000));
        assert!(t.held(at(0), at(10_000)).is_empty());
    }

    #[test]
    fn forgetting_ends_a_fault_at_once() {
        let mut t = tracker();
        t.hold(FaultKind::Black, at(0), String::new());
        t.advance(Evidence::Picture, at(6_000));
        t.forget_all(at(7_000));
        assert_eq!(told(&mut t), ["black begin warning 0", "black end warning 0-7000"]);
        assert!(!t.holds(FaultKind::Black));
    }

    #[test]
    fn the_table_has_a_limit_and_says_when_it_was_hit() {
        let mut t = tracker();
        for pid in 0..100 {
            let what = Condition { kind: FaultKind::PidMissing, pid: Some(Pid::from_bits(pid)) };
            t.hold(what, at(0), "x".repeat(300));
        }
        assert_eq!(t.refused(), 36);
        t.advance(Evidence::Media, at(6_000));
        assert_eq!(t.poll().unwrap().evidence.len(), MAX_EVIDENCE);
    }
}
