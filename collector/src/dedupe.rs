//! Drops what came before: an agent that did not hear our answer sends again.

use std::collections::{BTreeMap, BTreeSet};

use tallylight_model::{Batch, Epoch, FaultRecord, NodeId, StreamId};

/// Slices remembered for each stream of a run; what is older than all of them counts as known.
const MAX_SLICES: usize = 256;
/// Fault records remembered for each run; what is older than all of them counts as known.
const MAX_FAULTS: usize = 4096;
/// Streams remembered for each run.
const MAX_STREAMS: usize = 20_000;
/// Runs remembered for each node, newest first: what a run before them says is refused.
const MAX_EPOCHS: usize = 4;

/// A bounded set of numbers that mostly grow.
#[derive(Clone, Debug, Default)]
struct Window<T> {
    seen: BTreeSet<T>,
    /// Everything up to here is known.
    floor: Option<T>,
}

impl<T: Ord + Copy> Window<T> {
    /// Whether the value is new; it is remembered.
    fn add(&mut self, value: T, limit: usize) -> bool {
        let fresh = self.floor.is_none_or(|floor| value > floor) && self.seen.insert(value);
        if self.seen.len() > limit {
            self.floor = self.seen.pop_first();
        }
        fresh
    }
}

#[derive(Clone, Debug, Default)]
struct Run {
    slices: BTreeMap<StreamId, Window<i64>>,
    faults: Window<u64>,
    /// Fault records that came in and could not be kept; beyond [`MAX_FAULTS`] the oldest count as kept.
    unkept: BTreeSet<u64>,
}

/// How much of a batch was new.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sifted {
    /// Slices and records that are new.
    pub fresh: u64,
    /// Ones that came before.
    pub duplicate: u64,
    /// Ones of a run long gone, or of more streams than are remembered.
    pub refused: u64,
    /// Records that came before and are still to be kept: they must not be counted a second time.
    pub unkept: Vec<FaultRecord>,
}

/// Whether records are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// They are.
    Yes,
    /// They are not: their sender was told to come again.
    No,
}

/// What came in, by node.
#[derive(Clone, Debug, Default)]
pub struct Dedupe {
    runs: BTreeMap<NodeId, BTreeMap<Epoch, Run>>,
}

impl Dedupe {
    /// Leaves in the batch what is new, and remembers it. Nodes are those that have a token, so their number is bounded.
    pub fn sift(&mut self, batch: &mut Batch) -> Sifted {
        let mut sifted = Sifted::default();
        let Some(run) = self.run(&batch.node, batch.epoch) else {
            sifted.refused = count(batch.slices.len() + batch.faults.len());
            batch.slices.clear();
            batch.faults.clear();
            batch.reports.clear();
            return sifted;
        };
        batch.slices.retain(|slice| {
            if run.slices.len() >= MAX_STREAMS && !run.slices.contains_key(&slice.stream) {
                sifted.refused += 1;
                return false;
            }
            let window = run.slices.entry(slice.stream.clone()).or_default();
            let start = slice.start.unix_millis();
            let fresh = window.add(start, MAX_SLICES);
            sifted.duplicate += u64::from(!fresh);
            fresh
        });
        batch.faults.retain(|fault| {
            let fresh = run.faults.add(fault.seq, MAX_FAULTS);
            if !fresh && run.unkept.contains(&fault.seq) {
                sifted.unkept.push(fault.clone());
            }
            sifted.duplicate += u64::from(!fresh);
            fresh
        });
        sifted.fresh = count(batch.slices.len() + batch.faults.len());
        sifted
    }

    /// Remembers a fault record from before a restart.
    pub fn remember(&mut self, node: &NodeId, epoch: Epoch, seq: u64) {
        if let Some(run) = self.run(node, epoch) {
            run.faults.add(seq, MAX_FAULTS);
        }
    }

    /// Notes whether fault records that came in were kept. The agent sends again what was not, and [`sift`](Self::sift)
    /// then knows it for what it is. Slices are kept nowhere, so they need none of this.
    pub fn note(&mut self, node: &NodeId, epoch: Epoch, seqs: &[u64], kept: Kept) {
        let Some(run) = self.runs.get_mut(node).and_then(|runs| runs.get_mut(&epoch)) else {
            return;
        };
        for seq in seqs {
            match kept {
                Kept::Yes => run.unkept.remove(seq),
                Kept::No => run.unkept.insert(*seq),
            };
        }
        while run.unkept.len() > MAX_FAULTS {
            run.unkept.pop_first();
        }
    }

    fn run(&mut self, node: &NodeId, epoch: Epoch) -> Option<&mut Run> {
        let runs = self.runs.entry(node.clone()).or_default();
        runs.entry(epoch).or_default();
        while runs.len() > MAX_EPOCHS {
            runs.pop_first();
        }
        runs.get_mut(&epoch)
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use tallylight_model::{
        Counters, FaultKind, FaultPhase, FaultRecord, MonoTime, Observed, Severity, Slice, WallTime,
    };

    fn slice(start: i64) -> Slice {
        Slice {
            stream: StreamId::parse("one/n1").unwrap(),
            start: WallTime::from_unix_millis(start),
            end: MonoTime::ZERO,
            length: Duration::from_secs(1),
            observed: Observed::default(),
            conditions: BTreeMap::new(),
            standing: BTreeMap::new(),
            counters: Counters::default(),
            latencies: Vec::new(),
            fingerprint: Default::default(),
        }
    }

    fn fault(seq: u64) -> FaultRecord {
        FaultRecord {
            seq,
            stream: StreamId::parse("one/n1").unwrap(),
            kind: FaultKind::NoData,
            phase: FaultPhase::Begin,
            severity: Severity::Critical,
            pid: None,
            onset: MonoTime::ZERO,
            declared: MonoTime::ZERO,
            evidence: String::new(),
        }
    }

    fn batch(epoch: u64, slices: Vec<Slice>, faults: Vec<FaultRecord>) -> Batch {
        let node = NodeId::new("north-a").unwrap();
        Batch { node, epoch: Epoch(epoch), slices, faults, reports: Vec::new() }
    }

    #[test]
    fn what_came_before_is_dropped_in_whatever_order_it_comes_again() {
        let mut dedupe = Dedupe::default();
        let mut first = batch(1, vec![slice(2000), slice(1000)], vec![fault(5)]);
        assert_eq!(dedupe.sift(&mut first), Sifted { fresh: 3, duplicate: 0, ..Sifted::default() });
        let mut again = batch(1, vec![slice(1000), slice(3000)], vec![fault(4), fault(5)]);
        assert_eq!(dedupe.sift(&mut again), Sifted { fresh: 2, duplicate: 2, ..Sifted::default() });
        assert_eq!((again.slices, again.faults), (vec![slice(3000)], vec![fault(4)]));
        let mut other_run = batch(2, vec![slice(1000)], vec![fault(5)]);
        assert_eq!(dedupe.sift(&mut other_run).fresh, 2);
    }

    #[test]
    fn what_could_not_be_kept_is_kept_when_it_comes_again_and_is_not_new() {
        let mut dedupe = Dedupe::default();
        let first = batch(1, vec![slice(0)], vec![fault(1)]);
        assert_eq!(dedupe.sift(&mut first.clone()).fresh, 2);
        let note = |dedupe: &mut Dedupe, kept| dedupe.note(&first.node, Epoch(1), &[1], kept);
        note(&mut dedupe, Kept::No);
        let mut again = first.clone();
        let sifted = dedupe.sift(&mut again);
        assert_eq!((sifted.fresh, sifted.duplicate, sifted.unkept), (0, 2, vec![fault(1)]));
        assert!(again.slices.is_empty() && again.faults.is_empty());
        note(&mut dedupe, Kept::Yes);
        assert!(dedupe.sift(&mut first.clone()).unkept.is_empty());
    }

    #[test]
    fn records_that_wait_to_be_kept_are_bounded() {
        let mut dedupe = Dedupe::default();
        let seqs: Vec<u64> = (1..=MAX_FAULTS as u64 + 5).collect();
        let first = batch(1, vec![], seqs.iter().map(|it| fault(*it)).collect());
        dedupe.sift(&mut first.clone());
        dedupe.note(&first.node, Epoch(1), &seqs, Kept::No);
        assert_eq!(dedupe.sift(&mut first.clone()).unkept.len(), MAX_FAULTS);
    }

    #[test]
    fn windows_are_bounded_and_what_is_older_counts_as_known() {
        let mut dedupe = Dedupe::default();
        let faults = (1..=MAX_FAULTS as u64 + 10).map(fault).collect();
        let slices = (1..=MAX_SLICES as i64 + 10).map(slice).collect();
        dedupe.sift(&mut batch(9, slices, faults));
        let mut old = batch(9, vec![slice(3)], vec![fault(3)]);
        assert_eq!(dedupe.sift(&mut old), Sifted { fresh: 0, duplicate: 2, ..Sifted::default() });
        for epoch in 10..20 {
            dedupe.sift(&mut batch(epoch, vec![], vec![fault(1)]));
        }
        let mut gone = batch(9, vec![slice(1)], vec![fault(1)]);
        assert_eq!(dedupe.sift(&mut gone), Sifted { refused: 2, ..Sifted::default() });
        assert!(dedupe.runs.values().all(|runs| runs.len() <= MAX_EPOCHS));
    }
}
