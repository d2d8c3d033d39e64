//! What one agent says about one stream.
//!
//! Fault records come at once, slices a second later or much later; either may be lost, late or out of order. A fault stands
//! from its `Begin` until its `End`, and each slice's list of standing faults mends what a lost record would leave wrong.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
};
use core::time::Duration;

use tallylight_model::{
    FaultKind, FaultPhase, FaultRecord, Layer, MonoTime, Observed, Severity, Slice,
};

/// Slices remembered of each stream and agent: what verifying a restart of a slow delivery looks back over.
const RECENT: usize = 96;

/// Evidence texts are cut to this, as the model promises.
const MAX_EVIDENCE: usize = 200;

/// Two slices further apart than this are no run: nobody knows what was between them.
const HOLE: Duration = Duration::from_secs(5);

/// From this share of a slice on a condition is taken to hold in it.
const HOLDS_FROM: (u32, u32) = (3, 10);

/// A set of fault kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KindSet(u64);

const _: () = assert!(FaultKind::ALL.len() <= u64::BITS as usize, "a bit for each kind");
const _: () = {
    let mut bit = 0;
    while bit < FaultKind::ALL.len() {
        assert!(FaultKind::ALL[bit] as usize == bit, "the list is in order");
        bit += 1;
    }
};

impl KindSet {
    pub(crate) const fn with(self, kind: FaultKind) -> Self {
        Self(self.0 | 1 << kind as u64)
    }

    pub(crate) const fn contains(self, kind: FaultKind) -> bool {
        self.0 & 1 << kind as u64 != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = FaultKind> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let kind = FaultKind::ALL.get(left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            kind.copied()
        })
    }
}

impl FromIterator<FaultKind> for KindSet {
    fn from_iter<T: IntoIterator<Item = FaultKind>>(kinds: T) -> Self {
        kinds.into_iter().fold(Self::default(), Self::with)
    }
}

/// A fault that stands declared.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) severity: Severity,
    pub(crate) onset: MonoTime,
    pub(crate) declared: MonoTime,
    pub(crate) arrived: MonoTime,
    /// The newest moment for which the agent said that it stands.
    pub(crate) confirmed: MonoTime,
    pub(crate) evidence: String,
}

/// The layers at which anything was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerSet(u8);

impl LayerSet {
    fn of(observed: &Observed) -> Self {
        let layers = Layer::ALL.iter().filter(|&&it| !observed.layer(it).is_zero());
        Self(layers.fold(0, |bits, &it| bits | 1 << it as u8))
    }

    pub(crate) const fn contains(self, layer: Layer) -> bool {
        self.0 & 1 << layer as u8 != 0
    }
}

/// One slice, reduced to what judging needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) start: MonoTime,
    pub(crate) end: MonoTime,
    pub(crate) observed: LayerSet,
    /// Bytes of transport stream.
    pub(crate) bytes: u64,
    /// Conditions of the stream itself that held, declared or not.
    pub(crate) conditions: KindSet,
    /// Those of them that make the second bad: declared, or of a kind that needs no comparison.
    pub(crate) bad: KindSet,
    /// Whether any condition of the stream itself held at all, for however short.
    pub(crate) is_touched: bool,
}

impl Seen {
    pub(crate) fn is_observed(&self) -> bool {
        self.observed != LayerSet::default()
    }

    pub(crate) fn is_good(&self) -> bool {
        self.is_observed() && self.bad.is_empty()
    }
}

/// Whether a kind is the stream's own, so that it makes the stream bad.
pub(crate) const fn is_streams_own(kind: FaultKind) -> bool {
    kind.rule().class.is_some()
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    standing: BTreeMap<FaultKind, Standing>,
    last_seq: BTreeMap<FaultKind, u64>,
    ended: BTreeMap<FaultKind, MonoTime>,
    /// By the moment that each ends at, whatever order they came in.
    recent: VecDeque<Seen>,
    spoken_of: Option<MonoTime>,
    last_bad: Option<MonoTime>,
    /// The run of observed slices without any condition and without a hole that lasts until the latest: begin and end.
    good_run: Option<(MonoTime, MonoTime)>,
}

impl Sight {
    /// Takes in a fault record.
    pub(crate) fn record(&mut self, now: MonoTime, record: &FaultRecord) {
        let last = self.last_seq.entry(record.kind).or_insert(0);
        if record.seq < *last {
            return;
        }
        *last = record.seq;
        if let FaultPhase::End(at) = record.phase {
            self.speak_of(at.min(now));
            self.standing.remove(&record.kind);
            self.ended.insert(record.kind, now);
            self.note_bad(record.kind, record.severity, at.min(now));
            return;
        }
        let evidence = cut(&record.evidence);
        // Nothing from outside may lie in the future: it would stay "newest" for ever.
        let (onset, declared) = (record.onset.min(now), record.declared.min(now));
        self.speak_of(declared);
        let fresh = Standing {
            severity: record.severity,
            onset,
            declared,
            arrived: now,
            confirmed: declared,
            evidence: evidence.clone(),
        };
        let standing = self.standing.entry(record.kind).or_insert(fresh);
        standing.severity = standing.severity.max(record.severity);
        standing.confirmed = standing.confirmed.max(declared);
        standing.evidence = evidence;
        self.note_bad(record.kind, record.severity, declared);
    }

    /// Takes in a slice. `confirmed` is the newest moment that the slice's own batch speaks of.
    pub(crate) fn slice(&mut self, now: MonoTime, confirmed: MonoTime, slice: &Slice) {
        let end = slice.end.min(now);
        let conditions: KindSet = slice
            .conditions
            .iter()
            .filter(|&(&kind, &span)| is_streams_own(kind) && holds(span, slice.length))
            .map(|(&kind, _)| kind)
            .collect();
        let is_own =
            |(&kind, span): (&FaultKind, &Duration)| is_streams_own(kind) && !span.is_zero();
        let is_touched = slice.conditions.iter().any(is_own);
        let declared = slice.standing.iter().filter(|(_, it)| **it >= Severity::Warning);
        let standing: KindSet = declared.map(|(&kind, _)| kind).collect();
        let bad = conditions
            .iter()
            .filter(|&kind| !kind.is_differential() || standing.contains(kind))
            .collect();
        let observed = LayerSet::of(&slice.observed);
        let bytes = slice.counters.bytes;
        let start = end - slice.length;
        let seen = Seen { start, end, observed, bytes, conditions, bad, is_touched };
        let is_newest = self.keep(seen);
        self.good_run = extended(self.good_run, &seen, is_newest);
        // What came late counts for its own time and says nothing about what stands by now.
        if is_newest {
            let confirmed = end.max(confirmed);
            self.speak_of(confirmed);
            self.mend(now, end, confirmed, slice);
        }
    }

    /// Answers whether it is the newest.
    fn keep(&mut self, seen: Seen) -> bool {
        let is_newest = self.recent.back().is_none_or(|it| it.end <= seen.end);
        let mut place = if is_newest {
            self.recent.len()
        } else {
            self.recent.partition_point(|it| it.end <= seen.end)
        };
        if self.recent.len() == RECENT {
            if place == 0 {
                return false;
            }
            self.recent.pop_front();
            place -= 1;
        }
        if self.recent.is_empty() {
            self.recent.reserve_exact(RECENT);
        }
        self.recent.insert(place, seen);
        is_newest
    }

    fn speak_of(&mut self, at: MonoTime) {
        self.spoken_of = self.spoken_of.max(Some(at));
    }

    /// Brings the table of standing faults in line with what the slice says. It speaks against a fault only if it begins after
    /// the fault was declared: one that ended just before may come just after the record, for records overtake slices, and each
    /// took its own time on the way.
    fn mend(&mut self, now: MonoTime, end: MonoTime, confirmed: MonoTime, slice: &Slice) {
        let begin = end - slice.length;
        self.standing.retain(|kind, it| slice.standing.contains_key(kind) || it.declared >= begin);
        for (&kind, &severity) in &slice.standing {
            // A slice that was cut before the end came in may still list the fault.
            if self.ended.get(&kind).is_some_and(|&ended| end <= ended) {
                continue;
            }
            let span = slice.conditions.get(&kind).copied().unwrap_or_default().min(slice.length);
            let standing = self.standing.entry(kind).or_insert_with(|| Standing {
                severity,
                onset: end - span,
                declared: end,
                arrived: now,
                confirmed,
                evidence: String::from("listed as standing; its record was not received"),
            });
            standing.severity = standing.severity.max(severity);
            standing.confirmed = standing.confirmed.max(confirmed);
            if slice.conditions.get(&kind).is_some_and(|&span| !span.is_zero()) {
                self.note_bad(kind, severity, end);
            }
        }
    }

    fn note_bad(&mut self, kind: FaultKind, severity: Severity, at: MonoTime) {
        if is_streams_own(kind) && severity >= Severity::Warning {
            self.last_bad = self.last_bad.max(Some(at));
        }
    }

    pub(crate) fn standing(&self) -> impl Iterator<Item = (FaultKind, &Standing)> {
        self.standing.iter().map(|(&kind, standing)| (kind, standing))
    }

    /// Faults of the stream itself, at warning or above.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (FaultKind, &Standing)> {
        self.standing()
            .filter(|(kind, it)| is_streams_own(*kind) && it.severity >= Severity::Warning)
    }

    pub(crate) fn latest(&self) -> Option<&Seen> {
        self.recent.back()
    }

    pub(crate) fn recent(&self) -> impl DoubleEndedIterator<Item = &Seen> {
        self.recent.iter()
    }

    /// Those that do not end before a moment.
    pub(crate) fn recent_since(&self, at: MonoTime) -> impl Iterator<Item = &Seen> + Clone {
        // What is asked for is of the last seconds, mostly.
        let since = self.recent.iter().rev().take_while(|it| it.end >= at).count();
        self.recent.range(self.recent.len() - since..)
    }

    /// The begin of the run of observed slices without any condition and without a hole that lasts until the latest.
    pub(crate) fn good_since(&self) -> Option<MonoTime> {
        self.good_run.map(|(begin, _)| begin)
    }

    /// The newest moment that anything was said of.
    pub(crate) const fn spoken_of(&self) -> Option<MonoTime> {
        self.spoken_of
    }

    /// The newest media that a declared fault was on.
    pub(crate) const fn last_bad(&self) -> Option<MonoTime> {
        self.last_bad
    }
}

/// What is asked of a sight most often, small enough that those of all streams stay near the processor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Glance {
    /// When the newest slice begins and ends.
    pub(crate) start: MonoTime,
    pub(crate) end: MonoTime,
    /// The newest moment that anything was said of.
    pub(crate) spoken_of: MonoTime,
    pub(crate) has_spoken: bool,
    /// Whether a fault of the stream itself stands, at warning or above.
    pub(crate) is_faulty: bool,
    /// Of such faults: the first onset, and the oldest moment for which one was last said to stand.
    pub(crate) onset: MonoTime,
    pub(crate) confirmed: MonoTime,
    /// Of the newest slice.
    pub(crate) is_observed: bool,
    pub(crate) has_conditions: bool,
}

impl Glance {
    pub(crate) fn of(sight: &Sight) -> Self {
        let latest = sight.latest();
        let moment = |it: Option<MonoTime>| it.unwrap_or_default();
        Self {
            start: moment(latest.map(|it| it.start)),
            end: moment(latest.map(|it| it.end)),
            spoken_of: moment(sight.spoken_of),
            has_spoken: sight.spoken_of.is_some(),
            is_faulty: sight.faults().next().is_some(),
            onset: moment(sight.faults().map(|(_, it)| it.onset).min()),
            confirmed: moment(sight.faults().map(|(_, it)| it.confirmed).min()),
            is_observed: latest.is_some_and(Seen::is_observed),
            has_conditions: latest.is_some_and(|it| !it.conditions.is_empty()),
        }
    }
}

/// What all who watch a stream say of it where each of them sees it well. Most streams are like that, and a large cause has
/// thousands of them, so that to look at each agent's [`Glance`] would take longer than all else that is decided.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calm {
    /// The first and the last begin of their newest slices.
    pub(crate) first: MonoTime,
    pub(crate) last: MonoTime,
    /// The oldest of the moments up to which they spoke.
    pub(crate) spoken_of: MonoTime,
    /// The number of the region that they are in.
    pub(crate) region: u32,
    /// Whether there are any, and each sees it well.
    pub(crate) holds: bool,
}

impl Calm {
    pub(crate) fn of<'a>(region: u32, glances: impl Iterator<Item = &'a Glance>) -> Self {
        let mut all = Self { first: MonoTime::from_nanos(u64::MAX), region, ..Self::default() };
        all.spoken_of = all.first;
        for glance in glances {
            let sees_well = glance.is_observed && !glance.is_faulty && !glance.has_conditions;
            if !sees_well || !glance.has_spoken {
                return Self { region, ..Self::default() };
            }
            all.first = all.first.min(glance.start);
            all.last = all.last.max(glance.start);
            all.spoken_of = all.spoken_of.min(glance.spoken_of);
            all.holds = true;
        }
        all
    }
}

/// A good run with one more slice, which may have come late.
fn extended(
    run: Option<(MonoTime, MonoTime)>,
    seen: &Seen,
    is_newest: bool,
) -> Option<(MonoTime, MonoTime)> {
    let is_clean = seen.conditions.is_empty();
    match run {
        _ if !seen.is_observed() && is_clean => run,
        _ if is_newest && !is_clean => None,
        Some((begin, end)) if is_newest && seen.start.since(end) <= HOLE => Some((begin, seen.end)),
        _ if is_newest => Some((seen.start, seen.end)),
        Some((begin, end)) if !is_clean => {
            let begin = begin.max(seen.end);
            (begin < end).then_some((begin, end))
        }
        Some((begin, end)) if begin.since(seen.end) <= HOLE => Some((begin.min(seen.start), end)),
        run => run,
    }
}

fn holds(span: Duration, length: Duration) -> bool {
    let (part, whole) = HOLDS_FROM;
    !span.is_zero() && span.saturating_mul(whole) >= length.saturating_mul(part)
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_EVIDENCE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    String::from(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use tallylight_model::{Counters, Observed, StreamId, WallTime};

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_nanos(millis * 1_000_000)
    }

    fn stands(sight: &Sight) -> bool {
        sight.faults().next().is_some()
    }

    #[test]
    fn a_slice_that_a_record_overtook_says_nothing_against_it() {
        let stream = StreamId::parse("one/primary").unwrap();
        let record = FaultRecord {
            seq: 1,
            stream: stream.clone(),
            kind: FaultKind::NoVideo,
            phase: FaultPhase::Begin,
            severity: Severity::Critical,
            pid: None,
            onset: at(7_000),
            declared: at(10_002),
            evidence: String::new(),
        };
        // It ended before the declaration, and took some milliseconds longer than the record.
        let slice = |end: u64| Slice {
            stream: stream.clone(),
            start: WallTime::from_unix_millis(0),
            end: at(end),
            length: Duration::from_secs(1),
            observed: Observed::default(),
            conditions: BTreeMap::new(),
            standing: BTreeMap::new(),
            counters: Counters::default(),
            latencies: Vec::new(),
            fingerprint: Default::default(),
        };
        let mut sight = Sight::default();
        sight.record(at(10_004), &record);
        sight.slice(at(10_008), at(10_008), &slice(10_006));
        assert!(stands(&sight));
        sight.slice(at(11_008), at(11_008), &slice(11_006));
        assert!(!stands(&sight), "the record of its end is lost");
    }
}
