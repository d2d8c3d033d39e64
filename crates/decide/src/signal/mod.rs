//! The golden signals: what viewers of a channel in a region got, second by second.
//!
//! A second of a delivery is judged by the majority of the agents that have a vote, and is bad for as long as a *declared*
//! fault held in it. What nobody watched is in no sum at all. Sources never count, because no viewer sees one.
//!
//! A second stays open after it was first judged, and a late word may turn it either way. What is exposed as a counter may
//! not fall, so it waits until the true sum has caught up: over any longer time it tells the truth, where one that never
//! takes back would keep every second that was bad only until the second agent had spoken.

mod seconds;
mod sketch;
mod verdict;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{ops::Bound, time::Duration};

use tallylight_model::{
    Batch, ChannelId, FaultClass, LatencySample, Layer, MonoTime, NodeId, RegionId, StreamId,
};

use crate::{
    facts::{DROPS_SILENCE, Facts},
    lineup::{Channel, Delivery, Lineup, StreamRef},
    view::{Limits, Summary},
};
use seconds::{Change, Seconds, Terms};
use sketch::Windowed;
use verdict::{ANY, BAD, FAULTS, OBSERVED, PARTS};

/// Deliveries settled with each batch although nothing came from them.
const SWEPT_AT_ONCE: usize = 64;

/// Seconds remembered in which a node's host dropped packets.
const MAX_DROPS: usize = 1000;

/// Sums of one channel in one region, in seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    tally: Tally,
    startup: Windowed,
    first_byte: Windowed,
    segment_fetch: Windowed,
    live_delay: Windowed,
}

/// Seconds by part of a verdict.
#[derive(Clone, Debug, Default)]
struct Tally {
    sums: [f64; PARTS],
    /// The most that each sum has been.
    shown: [f64; PARTS],
}

impl Tally {
    fn add(&mut self, change: &Change) {
        for ((sum, shown), by) in self.sums.iter_mut().zip(&mut self.shown).zip(change.by) {
            *sum += f64::from(by) * change.terms.weight / 1000.0;
            *shown = shown.max(*sum);
        }
    }
}

/// The four latencies of one channel in one region.
pub(crate) struct Latencies {
    pub(crate) startup: Summary,
    pub(crate) first_byte: Summary,
    pub(crate) segment_fetch: Summary,
    pub(crate) live_delay: Summary,
}

impl Sums {
    pub(crate) fn observed_any(&self) -> f64 {
        self.tally.shown[ANY]
    }

    pub(crate) fn observed(&self) -> [(Layer, f64); Layer::ALL.len()] {
        core::array::from_fn(|i| (Layer::ALL[i], self.tally.shown[OBSERVED + i]))
    }

    pub(crate) fn bad(&self) -> f64 {
        self.tally.shown[BAD]
    }

    pub(crate) fn faults(&self) -> [(FaultClass, f64); FaultClass::ALL.len()] {
        core::array::from_fn(|i| (FaultClass::ALL[i], self.tally.shown[FAULTS + i]))
    }

    pub(crate) fn latencies(&self, now: MonoTime) -> Latencies {
        Latencies {
            startup: self.startup.summary(now),
            first_byte: self.first_byte.summary(now),
            segment_fetch: self.segment_fetch.summary(now),
            live_delay: self.live_delay.summary(now),
        }
    }

    fn sample(&mut self, at: MonoTime, sample: LatencySample) {
        match sample {
            LatencySample::Startup(span) => self.startup.add(at, span.as_secs_f64()),
            LatencySample::FirstByte(span) => self.first_byte.add(at, span.as_secs_f64()),
            LatencySample::SegmentFetch(ratio) => self.segment_fetch.add(at, ratio.get()),
            LatencySample::LiveDelay(span) => self.live_delay.add(at, span.as_secs_f64()),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Signals {
    sums: BTreeMap<(ChannelId, RegionId), Sums>,
    deliveries: BTreeMap<StreamId, Seconds>,
    /// Seconds in which each node's own host dropped packets.
    drops: BTreeMap<NodeId, BTreeSet<u64>>,
    swept: Option<StreamId>,
}

impl Signals {
    /// Takes in what an agent said. The facts already have it.
    pub(crate) fn batch(
        &mut self,
        now: MonoTime,
        facts: &Facts,
        batch: &Batch,
        limits: &mut Limits,
    ) {
        let (node, epoch) = (&batch.node, batch.epoch);
        let mut touched = BTreeSet::new();
        for record in &batch.faults {
            if self.delivery(facts, node, &record.stream).is_some() {
                let seconds = self.deliveries.entry(record.stream.clone()).or_default();
                seconds.fault(now, node, epoch, record);
                touched.insert(&record.stream);
            }
        }
        for slice in &batch.slices {
            if slice.counters.receive_dropped > 0 {
                self.drop_between(node, slice.end.min(now) - slice.length, slice.end.min(now));
            }
            let Some(key) = self.delivery(facts, node, &slice.stream) else { continue };
            let sums = self.sums.entry(key).or_default();
            for &sample in &slice.latencies {
                sums.sample(slice.end.min(now), sample);
            }
            let seconds = self.deliveries.entry(slice.stream.clone()).or_default();
            limits.late_seconds += seconds.slice(now, node, epoch, slice);
            touched.insert(&slice.stream);
        }
        for report in batch.reports.iter().filter(|it| it.receive_dropped > 0) {
            let at = report.at.min(now);
            self.drop_between(node, at - Duration::from_secs(1), at);
        }
        for stream in touched {
            self.count(now, facts, stream);
        }
        self.sweep(now, facts);
    }

    /// The channel and region of a delivery that the agent is to watch and that is on the air.
    fn delivery(
        &self,
        facts: &Facts,
        node: &NodeId,
        stream: &StreamId,
    ) -> Option<(ChannelId, RegionId)> {
        let Some(StreamRef::Delivery(channel, _, server)) = facts.lineup.stream(stream) else {
            return None;
        };
        let counts = facts.watches(node, stream) && !facts.is_off_air(&channel.id);
        counts.then(|| (channel.id.clone(), server.region.clone()))
    }

    /// What a node's agent saw just after its host dropped packets is no evidence.
    fn drop_between(&mut self, node: &NodeId, from: MonoTime, to: MonoTime) {
        let drops = self.drops.entry(node.clone()).or_default();
        for second in second_of(from)..=second_of(to - Duration::from_nanos(1)) {
            if drops.insert(second) {
                let until = second + DROPS_SILENCE.as_secs();
                self.deliveries.values_mut().for_each(|it| it.doubt(second, until));
            }
        }
        while drops.len() > MAX_DROPS {
            drops.pop_first();
        }
    }

    /// Adds what is new about a delivery's seconds to the sums of its channel and region.
    fn count(&mut self, now: MonoTime, facts: &Facts, stream: &StreamId) {
        let Some(StreamRef::Delivery(channel, delivery, server)) = facts.lineup.stream(stream)
        else {
            return;
        };
        let Some(seconds) = self.deliveries.get_mut(stream) else { return };
        let votes = |node: &NodeId, second: u64| {
            let silenced = second.saturating_sub(DROPS_SILENCE.as_secs())..=second;
            self.drops.get(node).is_none_or(|it| it.range(silenced).next().is_none())
        };
        let terms = |_| Terms { weight: weight(facts, channel, &server.region, delivery) };
        let changes = seconds.settle(now, votes, terms);
        if changes.is_empty() {
            return;
        }
        let sums = self.sums.entry((channel.id.clone(), server.region.clone())).or_default();
        changes.iter().for_each(|change| sums.tally.add(change));
    }

    /// Settles some deliveries, in turn: nothing may come from them any more.
    pub(crate) fn sweep(&mut self, now: MonoTime, facts: &Facts) {
        let from = self.swept.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.deliveries.range::<StreamId, _>((from, Bound::Unbounded));
        let streams: Vec<StreamId> = next.map(|it| it.0.clone()).take(SWEPT_AT_ONCE).collect();
        for stream in &streams {
            self.count(now, facts, stream);
        }
        self.swept = streams.into_iter().nth(SWEPT_AT_ONCE - 1);
    }

    /// Forgets what is gone with an old lineup: its series end.
    pub(crate) fn relist(&mut self, lineup: &Lineup) {
        self.deliveries
            .retain(|stream, _| matches!(lineup.stream(stream), Some(StreamRef::Delivery(..))));
        let mut listed = BTreeSet::new();
        for (_, found) in lineup.streams() {
            if let StreamRef::Delivery(channel, _, server) = found {
                listed.insert((channel.id.clone(), server.region.clone()));
            }
        }
        self.sums.retain(|key, _| listed.contains(key));
    }

    pub(crate) fn sums(&self, channel: &ChannelId, region: &RegionId) -> Option<&Sums> {
        self.sums.get(&(channel.clone(), region.clone()))
    }
}

fn second_of(at: MonoTime) -> u64 {
    at.as_nanos() / 1_000_000_000
}

/// A delivery's share in its channel and region: by the viewers of its server where the panel says how many, else equal.
fn weight(facts: &Facts, channel: &Channel, region: &RegionId, own: &Delivery) -> f64 {
    let in_region =
        |it: &&Delivery| facts.lineup.server(&it.server).is_some_and(|it| it.region == *region);
    let viewers = |it: &Delivery| Some(facts.panel_server(&it.server)?.sessions as f64);
    let deliveries = || channel.deliveries.iter().filter(in_region);
    let all: Option<f64> = deliveries().map(viewers).sum();
    match (all.filter(|&all| all > 0.0), viewers(own)) {
        (Some(all), Some(own)) => own / all,
        _ => 1.0 / f64::max(deliveries().count() as f64, 1.0),
    }
}
