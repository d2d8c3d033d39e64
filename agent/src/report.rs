//! What waits for the collector: slices, fault records and the node's own report, in order, within a limit.
//!
//! The queue lives in memory. When it is full the oldest slices go first and are counted; a fault record goes only when no
//! slice is left to give up, because a slice is one second among many but a lost fault record is a fault that nobody hears of.
//! Of node reports only the newest is kept: an old one says nothing.

use std::collections::VecDeque;

use tallylight_model::{Batch, Epoch, FaultRecord, NodeId, NodeReport, Slice};

/// Slices and fault records that may wait: half an hour of 20 streams, some 20 MB.
pub const MAX_WAITING: usize = 40_000;
/// Entries offered at a time; the sender cuts further by size.
pub const MAX_OFFERED: usize = 1_000;

/// A bounded queue of everything that the agent has to say.
#[derive(Debug)]
pub struct Queue {
    node: NodeId,
    epoch: Epoch,
    limit: usize,
    next_seq: u64,
    slices: VecDeque<Slice>,
    faults: VecDeque<FaultRecord>,
    report: Option<NodeReport>,
    lost_slices: u64,
    lost_faults: u64,
}

impl Queue {
    /// An empty queue of one agent's run that holds at most `limit` slices and fault records.
    #[must_use]
    pub fn new(node: NodeId, epoch: Epoch, limit: usize) -> Self {
        Self {
            node,
            epoch,
            limit,
            next_seq: 0,
            slices: VecDeque::new(),
            faults: VecDeque::new(),
            report: None,
            lost_slices: 0,
            lost_faults: 0,
        }
    }

    /// Queues a slice.
    pub fn push_slice(&mut self, slice: Slice) {
        self.slices.push_back(slice);
        self.make_room();
    }

    /// Queues a fault record and gives it its number.
    pub fn push_fault(&mut self, mut record: FaultRecord) {
        record.seq = self.next_seq;
        self.next_seq += 1;
        self.faults.push_back(record);
        self.make_room();
    }

    /// Replaces the node's report.
    pub fn push_report(&mut self, mut report: NodeReport) {
        report.lost_slices = self.lost_slices;
        if let Some(older) = &self.report {
            report.receive_dropped += older.receive_dropped;
        }
        self.report = Some(report);
    }

    /// Takes the oldest fault records.
    pub fn take_faults(&mut self) -> Option<Batch> {
        let count = self.faults.len().min(MAX_OFFERED);
        let faults: Vec<_> = self.faults.drain(..count).collect();
        (!faults.is_empty()).then(|| Batch { faults, ..self.batch() })
    }

    /// Takes the oldest slices and the node's report.
    pub fn take_slices(&mut self) -> Option<Batch> {
        let count = self.slices.len().min(MAX_OFFERED);
        let slices: Vec<_> = self.slices.drain(..count).collect();
        let reports: Vec<_> = self.report.take().into_iter().collect();
        let empty = slices.is_empty() && reports.is_empty();
        (!empty).then(|| Batch { slices, reports, ..self.batch() })
    }

    /// Puts back what was taken and not delivered, in front of everything else.
    pub fn put_back(&mut self, batch: Batch) {
        batch.slices.into_iter().rev().for_each(|slice| self.slices.push_front(slice));
        batch.faults.into_iter().rev().for_each(|fault| self.faults.push_front(fault));
        for older in batch.reports {
            match &mut self.report {
                Some(report) => report.receive_dropped += older.receive_dropped,
                None => self.report = Some(older),
            }
        }
        self.make_room();
    }

    /// Slices and fault records that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slices.len() + self.faults.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slices given up since the start.
    #[must_use]
    pub fn lost_slices(&self) -> u64 {
        self.lost_slices
    }

    /// Fault records given up since the start.
    #[must_use]
    pub fn lost_faults(&self) -> u64 {
        self.lost_faults
    }

    /// Counts what the collector refused for good.
    pub fn count_refused(&mut self, batch: &Batch) {
        self.lost_slices += batch.slices.len() as u64;
        self.lost_faults += batch.faults.len() as u64;
    }

    fn batch(&self) -> Batch {
        Batch {
            node: self.node.clone(),
            epoch: self.epoch,
            slices: Vec::new(),
            faults: Vec::new(),
            reports: Vec::new(),
        }
    }

    fn make_room(&mut self) {
        while self.len() > self.limit {
            if self.slices.pop_front().is_some() {
                self.lost_slices += 1;
            } else if self.faults.pop_front().is_some() {
                self.lost_faults += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tallylight_model::{
        Counters, FaultKind, FaultPhase, MonoTime, Observed, Severity, StreamId, WallTime,
    };

    fn slice(second: i64) -> Slice {
        Slice {
            stream: StreamId::parse("one/primary").unwrap(),
            start: WallTime::from_unix_millis(second * 1000),
            end: MonoTime::ZERO,
            length: Duration::from_secs(1),
            observed: Observed::default(),
            conditions: Default::default(),
            standing: Default::default(),
            counters: Counters::default(),
            latencies: Vec::new(),
            fingerprint: Default::default(),
        }
    }

    fn fault() -> FaultRecord {
        FaultRecord {
            seq: 99,
            stream: StreamId::parse("one/primary").unwrap(),
            kind: FaultKind::NoData,
            phase: FaultPhase::Begin,
            severity: Severity::Critical,
            pid: None,
            onset: MonoTime::ZERO,
            declared: MonoTime::ZERO,
            evidence: String::new(),
        }
    }

    fn queue(limit: usize) -> Queue {
        Queue::new(NodeId::new("n").unwrap(), Epoch(1), limit)
    }

    fn seconds(batch: &Batch) -> Vec<i64> {
        batch.slices.iter().map(|slice| slice.start.unix_millis() / 1000).collect()
    }

    #[test]
    fn slices_go_before_any_fault_record_does() {
        let mut q = queue(4);
        for second in 0..3 {
            q.push_slice(slice(second));
            q.push_fault(fault());
        }
        assert_eq!((q.len(), q.lost_slices(), q.lost_faults()), (4, 2, 0));
        assert_eq!(seconds(&q.take_slices().unwrap()), [2]);
        for _ in 0..3 {
            q.push_fault(fault());
        }
        assert_eq!(q.lost_faults(), 2);
        let left: Vec<u64> = q.take_faults().unwrap().faults.iter().map(|f| f.seq).collect();
        assert_eq!(left, [2, 3, 4, 5]);
    }

    #[test]
    fn what_could_not_be_delivered_is_delivered_later_in_order() {
        let mut q = queue(100);
        for second in 0..3 {
            q.push_slice(slice(second));
        }
        let taken = q.take_slices().unwrap();
        q.push_slice(slice(3));
        q.put_back(taken);
        assert_eq!(seconds(&q.take_slices().unwrap()), [0, 1, 2, 3]);
        assert!(q.take_slices().is_none());
    }

    #[test]
    fn only_the_newest_report_is_kept_but_no_drop_is_forgotten() {
        let mut q = queue(1);
        q.push_slice(slice(0));
        q.push_slice(slice(1));
        for dropped in [5, 7] {
            q.push_report(NodeReport { receive_dropped: dropped, ..NodeReport::default() });
        }
        let taken = q.take_slices().unwrap();
        assert_eq!(taken.reports.len(), 1);
        assert_eq!((taken.reports[0].receive_dropped, taken.reports[0].lost_slices), (12, 1));
        q.push_report(NodeReport { receive_dropped: 3, ..NodeReport::default() });
        q.put_back(taken);
        assert_eq!(q.take_slices().unwrap().reports[0].receive_dropped, 15);
    }
}
