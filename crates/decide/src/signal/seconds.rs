//! The open seconds of one delivery: who saw what in each, until nothing about it can change any more.
//!
//! What a second counts as follows from everything that was said of it and from nothing else, not from the order in which it
//! came: slices are late by a segment or by an outage, faults are declared seconds after their onset. So what agents say is
//! gathered, the verdict is taken afresh whenever a word is added, and a sum is corrected in either direction.
//!
//! A slice is laid over the seconds that it covers, in proportion. Were it counted in the one second that holds its middle,
//! the jitter of the way here would lay two slices on one second and none on the next, and what any of several agents saw
//! would then add up to more than there was.

use alloc::{collections::VecDeque, vec::Vec};
use core::time::Duration;

use tallylight_model::{
    Epoch, FaultKind, FaultPhase, FaultRecord, Layer, MonoTime, NodeId, Severity, Slice,
};

use super::verdict::{PARTS, Share, WHOLE, Word, verdict};
use crate::sight::is_streams_own;

/// A second is judged once somebody has spoken of it for this long, so that the other agents can have spoken.
const JUDGED_AFTER: Duration = Duration::from_secs(3);

/// A second stays open for this long: longer than any fault's hold, and for what a short outage delays.
const OPEN_FOR: Duration = Duration::from_secs(60);

/// Seconds open at once. In a longer backlog the oldest are judged by what has come of them.
const MAX_OPEN: usize = 600;

/// Runs of seconds that are known to be over; what lies before the oldest of them is over as well.
const MAX_CLOSED: usize = 64;

/// Runs of agents remembered of one delivery.
const MAX_RUNS: usize = 32;

/// Fault records remembered of one run.
const MAX_RECORDS: usize = 64;

/// A slice longer than this is cut: no agent merges more.
const MAX_LENGTH: Duration = Duration::from_secs(60);

const SECOND: u64 = 1_000_000_000;

/// What one run of an agent saw in one second, in milliseconds.
#[derive(Clone, Debug)]
struct Said {
    run: u32,
    any: u16,
    observed: [u16; Layer::ALL.len()],
    held: Vec<Held>,
}

/// A condition that held, declared or not.
#[derive(Clone, Copy, Debug)]
struct Held {
    kind: FaultKind,
    span: u16,
    /// A slice said that the fault stood declared at its end.
    standing: bool,
}

/// One run of one agent, with what it declared.
#[derive(Clone, Debug)]
struct Run {
    id: u32,
    node: NodeId,
    epoch: Epoch,
    /// The newest second that it spoke of.
    last: u64,
    /// By sequence number.
    records: VecDeque<Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    seq: u64,
    kind: FaultKind,
    onset: MonoTime,
    end: Option<MonoTime>,
}

impl Run {
    fn note(&mut self, record: Record) {
        let at = self.records.partition_point(|it| it.seq < record.seq);
        if self.records.get(at).is_none_or(|it| it.seq != record.seq) {
            self.records.insert(at, record);
        }
        if self.records.len() > MAX_RECORDS {
            self.records.pop_front();
        }
    }

    /// Whether a fault of this kind was declared whose onset and end leave some of the second to it.
    fn declared(&self, kind: FaultKind, second: u64) -> bool {
        let (from, to) = (begin(second), begin(second + 1));
        let mut since: Option<MonoTime> = None;
        for record in self.records.iter().filter(|it| it.kind == kind) {
            let onset = since.map_or(record.onset, |it| it.min(record.onset));
            match record.end {
                Some(end) if onset < to && end > from => return true,
                Some(_) => since = None,
                None => since = Some(onset),
            }
        }
        since.is_some_and(|it| it < to)
    }
}

/// How a second enters the sums: settled when it is first judged, so that a later correction takes back what was added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Terms {
    /// The delivery's share in its channel and region.
    pub(super) weight: f64,
    /// Whether it was announced that the channel may be bad there then.
    pub(super) maintenance: bool,
}

#[derive(Clone, Debug)]
struct Second {
    at: u64,
    opened: MonoTime,
    said: Vec<Said>,
    counted: Share,
    terms: Option<Terms>,
    changed: bool,
}

impl Second {
    /// When it is to be looked at although nothing more comes of it: to be judged, or to be closed.
    fn due(&self) -> MonoTime {
        self.opened + if self.changed { JUDGED_AFTER } else { OPEN_FOR }
    }

    fn is_over(&self, now: MonoTime) -> bool {
        now.since(self.opened) > OPEN_FOR
    }
}

/// What is to be added to the sums for one second, in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) second: u64,
    pub(super) terms: Terms,
    pub(super) by: [i32; PARTS],
}

#[derive(Clone, Debug, Default)]
pub(super) struct Seconds {
    /// In order. Nearly all come one after the other at the end, and go from the front.
    open: VecDeque<Second>,
    /// Ones that had to make room: to be judged with what is known.
    leaving: Vec<Second>,
    closed: Closed,
    runs: Vec<Run>,
    next_run: u32,
    /// Before this moment time alone settles nothing.
    due: MonoTime,
}

impl Seconds {
    /// Takes all before this second to be over.
    pub(super) fn since(second: u64) -> Self {
        Self { closed: Closed { before: second, runs: Vec::new() }, ..Self::default() }
    }

    /// Takes in a slice; answers how many of its seconds were over.
    pub(super) fn slice(
        &mut self,
        now: MonoTime,
        node: &NodeId,
        epoch: Epoch,
        slice: &Slice,
    ) -> u64 {
        let (end, length) = (slice.end.min(now), slice.length.min(MAX_LENGTH));
        let spread = Spread { from: (end - length).as_nanos(), to: end.as_nanos() };
        if spread.from >= spread.to || slice.observed.any().is_zero() {
            return 0;
        }
        let (first, last) = (spread.from / SECOND, (spread.to - 1) / SECOND);
        let run = self.run(node, epoch, last);
        let mut late = 0;
        for second in first..=last {
            let Some(open) = self.open(now, second) else {
                late += 1;
                continue;
            };
            // Most of what a slice tells of is as long as the slice.
            let whole = spread.part(length, second);
            let part = |span| if span >= length { whole } else { spread.part(span, second) };
            let said = said_by(open, run);
            said.any = said.any.saturating_add(part(slice.observed.any()));
            for (sum, layer) in said.observed.iter_mut().zip(Layer::ALL) {
                *sum = sum.saturating_add(part(slice.observed.layer(layer)));
            }
            for (&kind, &span) in slice.conditions.iter().filter(|it| is_streams_own(*it.0)) {
                let declared = slice.standing.get(&kind) >= Some(&Severity::Warning);
                let (span, standing) = (part(span), declared);
                match said.held.iter_mut().find(|it| it.kind == kind) {
                    Some(held) => {
                        held.span = held.span.saturating_add(span);
                        held.standing |= standing;
                    }
                    None => said.held.push(Held { kind, span, standing }),
                }
            }
        }
        late
    }

    /// Takes in a fault record: a declared fault's seconds count from its onset.
    pub(super) fn fault(&mut self, now: MonoTime, node: &NodeId, epoch: Epoch, it: &FaultRecord) {
        if it.severity < Severity::Warning {
            return;
        }
        let end = match it.phase {
            FaultPhase::End(at) => Some(at.min(now)),
            FaultPhase::Begin | FaultPhase::Raise => None,
        };
        let run = self.run(node, epoch, it.declared.min(now).as_nanos() / SECOND);
        let record = Record { seq: it.seq, kind: it.kind, onset: it.onset.min(now), end };
        if let Some(run) = self.runs.iter_mut().find(|it| it.id == run) {
            run.note(record);
        }
        for second in &mut self.open {
            let mut held = second.said.iter().filter(|it| it.run == run).flat_map(|it| &it.held);
            second.changed |= held.any(|held| held.kind == it.kind);
        }
        self.due = MonoTime::ZERO;
    }

    /// Whose vote counts in these seconds is to be asked again.
    pub(super) fn doubt(&mut self, from: u64, to: u64) {
        let first = self.open.partition_point(|it| it.at < from);
        let doubted = self.open.range_mut(first..).take_while(|it| it.at <= to);
        doubted.for_each(|it| it.changed = true);
        self.due = MonoTime::ZERO;
    }

    fn run(&mut self, node: &NodeId, epoch: Epoch, last: u64) -> u32 {
        if let Some(run) = self.runs.iter_mut().find(|it| it.epoch == epoch && it.node == *node) {
            run.last = run.last.max(last);
            return run.id;
        }
        if self.runs.len() >= MAX_RUNS {
            let oldest = self.runs.iter().enumerate().min_by_key(|(_, it)| it.last);
            oldest.map(|(at, _)| at).map(|at| self.runs.swap_remove(at));
        }
        let id = self.next_run;
        self.next_run = self.next_run.wrapping_add(1);
        self.runs.push(Run { id, node: node.clone(), epoch, last, records: VecDeque::new() });
        id
    }

    fn open(&mut self, now: MonoTime, second: u64) -> Option<&mut Second> {
        if self.closed.contains(second) {
            return None;
        }
        // Mostly it is one of the last, and to halve would bring in seconds from all over.
        let before = self.open.iter().rposition(|it| it.at <= second);
        let place = match before {
            Some(place) if self.open[place].at == second => place,
            None if self.open.len() >= MAX_OPEN => return None,
            _ => {
                let mut place = before.map_or(0, |it| it + 1);
                if self.open.len() >= MAX_OPEN
                    && let Some(oldest) = self.open.pop_front()
                {
                    self.closed.add(oldest.at);
                    self.leaving.push(oldest);
                    place -= 1;
                }
                // As many will speak of it as of the oldest.
                let speakers = self.open.front().map_or(1, |it| it.said.len());
                let (said, counted) = (Vec::with_capacity(speakers), [0; PARTS]);
                let fresh =
                    Second { at: second, opened: now, said, counted, terms: None, changed: false };
                self.open.insert(place, fresh);
                place
            }
        };
        let open = &mut self.open[place];
        open.changed = true;
        self.due = self.due.min(open.due());
        Some(open)
    }

    /// Judges the seconds that are due and closes those that are over; answers what is to be added to the sums.
    pub(super) fn settle(
        &mut self,
        now: MonoTime,
        votes: impl Fn(&NodeId, u64) -> bool,
        terms: impl Fn(u64) -> Terms,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        if now < self.due && self.leaving.is_empty() {
            return changes;
        }
        let runs = &self.runs;
        let mut judge = |second: &mut Second| {
            let at = second.at;
            let share = verdict(&words(runs, second, &votes));
            second.changed = false;
            if share != second.counted {
                let terms = *second.terms.get_or_insert_with(|| terms(at));
                let by =
                    core::array::from_fn(|i| i32::from(share[i]) - i32::from(second.counted[i]));
                second.counted = share;
                changes.push(Change { second: at, terms, by });
            }
        };
        self.leaving.drain(..).for_each(|mut it| judge(&mut it));
        self.due = MonoTime::from_nanos(u64::MAX);
        let mut any_is_over = false;
        for second in &mut self.open {
            if second.changed && now >= second.due() {
                judge(second);
            }
            any_is_over |= second.is_over(now);
            self.due = self.due.min(second.due());
        }
        if any_is_over {
            self.close(now);
        }
        changes
    }

    /// Closes the seconds that are over: nearly always the first ones.
    fn close(&mut self, now: MonoTime) {
        while let Some(first) = self.open.pop_front_if(|it| it.is_over(now)) {
            self.closed.add(first.at);
        }
        let closed = &mut self.closed;
        self.open.retain(|it| {
            let is_over = it.is_over(now);
            if is_over {
                closed.add(it.at);
            }
            !is_over
        });
    }
}

fn begin(second: u64) -> MonoTime {
    MonoTime::from_nanos(second.saturating_mul(SECOND))
}

fn said_by(second: &mut Second, run: u32) -> &mut Said {
    let at = second.said.iter().position(|it| it.run == run).unwrap_or_else(|| {
        let said = Said { run, any: 0, observed: [0; Layer::ALL.len()], held: Vec::new() };
        // Two agents at a place are the rule, and there are many seconds.
        second.said.reserve_exact(1);
        second.said.push(said);
        second.said.len() - 1
    });
    &mut second.said[at]
}

/// What each agent with a vote says of a second, over all its runs.
fn words(runs: &[Run], second: &Second, votes: &impl Fn(&NodeId, u64) -> bool) -> Vec<Word> {
    let at = second.at;
    let mut words: Vec<(&NodeId, Word)> = Vec::with_capacity(second.said.len());
    for said in &second.said {
        let Some(run) = runs.iter().find(|it| it.id == said.run) else { continue };
        let place = words.iter().position(|(node, _)| **node == run.node);
        let place = match place {
            Some(place) => place,
            None if votes(&run.node, at) => {
                words.push((&run.node, Word::default()));
                words.len() - 1
            }
            None => continue,
        };
        let word = &mut words[place].1;
        let sum = |a: u16, b: u16| a.saturating_add(b).min(WHOLE);
        word.any = sum(word.any, said.any);
        for (own, more) in word.observed.iter_mut().zip(said.observed) {
            *own = sum(*own, more);
        }
        for held in said.held.iter().filter(|it| it.standing || run.declared(it.kind, at)) {
            match word.declared.iter_mut().find(|it| it.0 == held.kind) {
                Some(own) => own.1 = sum(own.1, held.span),
                None => word.declared.push((held.kind, held.span.min(WHOLE))),
            }
        }
    }
    words.into_iter().map(|(_, word)| word).collect()
}

/// A slice's extent, over which everything in it is taken to be even.
struct Spread {
    from: u64,
    to: u64,
}

impl Spread {
    /// The milliseconds of `span` that fall into a second. Those of all seconds add up to the whole span.
    fn part(&self, span: Duration, second: u64) -> u16 {
        let millis = span.as_secs() * 1000 + (u64::from(span.subsec_nanos()) + 500_000) / 1_000_000;
        let until = |second: u64| {
            let at = second.saturating_mul(SECOND).clamp(self.from, self.to) - self.from;
            millis * at / (self.to - self.from)
        };
        u16::try_from(until(second + 1) - until(second)).unwrap_or(u16::MAX)
    }
}

/// Seconds that are over.
#[derive(Clone, Debug, Default)]
struct Closed {
    /// All before this one.
    before: u64,
    /// And from the first to the last of each of these, in order.
    runs: Vec<(u64, u64)>,
}

impl Closed {
    fn contains(&self, second: u64) -> bool {
        let at = self.runs.partition_point(|&(_, last)| last < second);
        second < self.before || self.runs.get(at).is_some_and(|&(first, _)| first <= second)
    }

    fn add(&mut self, second: u64) {
        let at = self.runs.partition_point(|&(_, last)| last + 1 < second);
        match self.runs.get_mut(at) {
            Some(run) if run.0 <= second + 1 => *run = (run.0.min(second), run.1.max(second)),
            _ => self.runs.insert(at, (second, second)),
        }
        if let [(_, last), (next, end), ..] = self.runs[at..]
            && last + 1 >= next
        {
            self.runs[at].1 = end;
            self.runs.remove(at + 1);
        }
        if self.runs.len() > MAX_CLOSED {
            let (_, last) = self.runs.remove(0);
            self.before = self.before.max(last + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_that_are_over_are_kept_as_runs_and_never_forgotten() {
        let mut closed = Closed::default();
        for second in [5, 3, 4, 9, 7, 8, 20] {
            assert!(!closed.contains(second), "{second}");
            closed.add(second);
        }
        assert_eq!(closed.runs, [(3, 5), (7, 9), (20, 20)]);
        for (second, is_over) in [(2, false), (3, true), (6, false), (9, true), (21, false)] {
            assert_eq!(closed.contains(second), is_over, "{second}");
        }
        closed.add(6);
        assert_eq!(closed.runs, [(3, 9), (20, 20)]);
        for second in 0..200 {
            closed.add(100 + 2 * second);
        }
        assert_eq!(closed.runs.len(), MAX_CLOSED);
        assert!(closed.contains(3) && closed.contains(101), "what was forgotten stays over");
        assert!(!closed.contains(100 + 2 * 199 + 1));
    }

    #[test]
    fn a_span_is_spread_over_its_seconds_without_loss() {
        for (from_ms, length_ms, span_ms) in
            [(0, 1000, 1000), (400, 1000, 999), (1, 10_000, 3333), (999, 1, 1), (700, 59_999, 1)]
        {
            let from = from_ms * 1_000_000 + 3;
            let spread = Spread { from, to: from + length_ms * 1_000_000 };
            let parts = (0..=61).map(|it| spread.part(Duration::from_millis(span_ms), it));
            assert_eq!(parts.map(u64::from).sum::<u64>(), span_ms);
        }
    }
}
