//! A view's slices: what was counted, seen and standing in each second.

use std::time::Duration;

use tallylight_model::{
    Counters, FaultKind, Fingerprint, LatencySample, MonoTime, Observed, Severity, Slice, WallTime,
};

use super::{Output, Progress, Spans, View};

/// The length of a slice.
const SLICE: Duration = Duration::from_secs(1);
/// How long a slice waits for the decoder to say what its pictures show.
const DECODE_GRACE: Duration = Duration::from_millis(300);
/// Latencies in one slice (see `Slice::latencies`).
const MAX_LATENCIES: usize = 16;
/// What takes longer is no slow start but a stream that was away; its faults say so.
const LONGEST_START: Duration = Duration::from_secs(20);
/// Slices that can be counted in before they begin: more than a segment has seconds.
const MAX_AHEAD: usize = 64;
/// Slices made up for at a time after the process was not run.
const MAX_CATCH_UP: u32 = 60;

impl View {
    /// The counters of the slice that a moment falls in; of the open one where that is closed already.
    pub(in crate::probe) fn counters_at(&mut self, at: MonoTime) -> &mut Counters {
        let second = second_of(at);
        if second <= second_of(self.slice_start) || self.ahead.len() >= MAX_AHEAD {
            return &mut self.counters;
        }
        self.ahead.entry(second).or_default()
    }

    /// Adds counts to the slices between two moments, in proportion.
    pub(in crate::probe) fn spread(&mut self, counted: &Counters, from: MonoTime, to: MonoTime) {
        let span = to.since(from).as_nanos().max(1);
        let up_to = |count: u64, at: MonoTime| {
            let share = u128::from(count) * at.since(from).as_nanos().min(span) / span;
            u64::try_from(share).unwrap_or(count)
        };
        let mut start = from;
        for round in 1..=MAX_AHEAD {
            let end = MonoTime::ZERO + Duration::from_secs(second_of(start) + 1);
            let last = end >= to || round == MAX_AHEAD;
            let part = |count: u64| {
                if last {
                    count - up_to(count, start)
                } else {
                    up_to(count, end) - up_to(count, start)
                }
            };
            self.counters_at(start).add(&Counters {
                bytes: part(counted.bytes),
                packets: part(counted.packets),
                scrambled_packets: part(counted.scrambled_packets),
                ..Counters::default()
            });
            if last {
                return;
            }
            start = end;
        }
    }

    /// Adds a latency to the open slice.
    pub(in crate::probe) fn latency(&mut self, sample: LatencySample) {
        let away = match sample {
            LatencySample::FirstByte(took) | LatencySample::Startup(took) => took > LONGEST_START,
            LatencySample::SegmentFetch(_) | LatencySample::LiveDelay(_) => false,
        };
        if !away && self.latencies.len() < MAX_LATENCIES {
            self.latencies.push(sample);
        }
    }

    /// Closes the slices whose time has come. `open` is when packets could be seen, `blind` when this host missed some.
    pub(in crate::probe) fn close_slices(
        &mut self,
        progress: Progress,
        open: &Spans,
        blind: &Spans,
    ) {
        let behind = progress.now.since(self.slice_start).as_secs();
        if behind > u64::from(MAX_CATCH_UP) {
            // Nobody watched, and nobody needs to hear of every single second.
            self.slice_start = self.slice_start + Duration::from_secs(behind - 1);
            let skipped = second_of(self.slice_start);
            while let Some(old) = self.ahead.first_entry().filter(|old| *old.key() <= skipped) {
                self.counters.add(&old.remove());
            }
        }
        while let Some(due) = self.slice_due(progress) {
            if due > progress.now {
                return;
            }
            let (answers, since) = *self.barrier.get_or_insert((self.sent, progress.now));
            if self.handled < answers && progress.now < since + DECODE_GRACE {
                return;
            }
            self.barrier = None;
            self.close_slice(progress.looked, open, blind);
        }
    }

    fn slice_due(&self, progress: Progress) -> Option<MonoTime> {
        let end = self.slice_start + SLICE;
        Some(if progress.complete >= end { end } else { end + progress.patience })
    }

    /// When to look again although nothing arrives.
    pub(in crate::probe) fn deadline(&self, progress: Progress) -> Option<MonoTime> {
        let slice = match self.barrier {
            Some((_, since)) => Some(since + DECODE_GRACE),
            None => self.slice_due(progress),
        };
        // What is due and waits for evidence is looked at when that comes.
        let due = self.tracker.deadline().filter(|due| *due > progress.now);
        [slice, due].into_iter().flatten().min()
    }

    fn close_slice(&mut self, looked: MonoTime, open: &Spans, blind: &Spans) {
        let (from, to) = (self.slice_start, self.slice_start + SLICE);
        self.slice_start = to;
        let seen_to = looked.min(to);
        let mut conditions = self.tracker.held(from, seen_to);
        let standing = self.tracker.standing();
        // While it is informational nobody need miss anything, and no second is bad for it.
        if standing.get(&FaultKind::RtpLoss) < Some(&Severity::Critical) {
            conditions.remove(&FaultKind::RtpLoss);
        }
        let mut observed = Observed::default();
        if blind.within(from, to).is_zero() {
            let unseen = [FaultKind::NoData, FaultKind::NoVideo, FaultKind::SyncLoss]
                .into_iter()
                .filter_map(|kind| conditions.get(&kind).copied())
                .max()
                .unwrap_or_default();
            let transport = open.within(from, to);
            let seen = transport.min(SLICE.saturating_sub(unseen));
            observed = Observed {
                transport,
                picture: self.pictures.within(from, to.min(self.coded_until)).min(seen),
                sound: self.sounds.within(from, to).min(transport),
                delivery: seen_to.since(from.max(self.start.began)),
            };
        } else {
            conditions.retain(|kind, _| kind.rule().class.is_none());
        }
        // Rounded downwards before and after the origin, so that starts are whole seconds apart.
        let nanos = i128::from(from.as_nanos()) - i128::from(self.origin.0.as_nanos());
        let millis = i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(0);
        let start = WallTime::from_unix_millis(self.origin.1.unix_millis().saturating_add(millis));
        let next = self.ahead.remove(&second_of(to)).unwrap_or_default();
        self.outputs.push_back(Output::Slice(Box::new(Slice {
            stream: self.config.stream.clone(),
            start,
            end: to,
            length: SLICE,
            observed,
            conditions,
            standing,
            counters: std::mem::replace(&mut self.counters, next),
            latencies: std::mem::take(&mut self.latencies),
            fingerprint: self.prints.take(second_of(from - Fingerprint::BEHIND)),
        })));
        self.tracker.prune(to);
        self.pictures.prune(to);
        self.sounds.prune(to);
    }
}

fn second_of(at: MonoTime) -> u64 {
    at.since(MonoTime::ZERO).as_secs()
}
