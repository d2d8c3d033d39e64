//! The golden signals: what viewers of a channel in a region got, second by second.
//!
//! A second of a delivery is judged by the majority of the agents that have a vote, and is bad for as long as a *declared*
//! fault held in it. What nobody watched is in no sum at all. Sources never count, because no viewer sees one.
//!
//! A second stays open after it was first judged, and a late word may turn it either way. What is exposed as a counter may
//! not fall, so it waits until the true sum has caught up: over any longer time it tells the truth, where one that never
//! takes back would keep every second that was bad only until the second agent had spoken.

mod budget;
mod histogram;
mod seconds;
mod sketch;
mod verdict;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{ops::Bound, time::Duration};

use tallylight_model::{
    Batch, ChannelId, FaultClass, LatencySample, Layer, MonoTime, NodeId, Ratio, RegionId,
    ServerId, StreamId,
};

use crate::{
    facts::{DROPS_SILENCE, Facts},
    journal::{self, Record},
    ledger::Ledger,
    lineup::{Channel, Delivery, Lineup, StreamRef},
    maintenance,
    view::{HistogramView, Latency, Limits, SloView, Summary},
};
pub(crate) use budget::Budget;
pub use budget::{BUDGET_WINDOW, BurnWindow, Objectives};
use histogram::{Histograms, measured};
use seconds::{Change, Seconds, Terms};
use sketch::Windowed;
use verdict::{ANY, BAD, FAULTS, OBSERVED, PARTS};

/// Deliveries settled with each batch although nothing came from them.
const SWEPT_AT_ONCE: usize = 64;

/// Seconds remembered in which a node's host dropped packets.
const MAX_DROPS: usize = 1000;

/// How often the journal gets a channel's error budget: what a crash loses of it at most. Looked at for so many at once.
const SAVED_EVERY: Duration = Duration::from_secs(600);
const SAVED_AT_ONCE: usize = 64;

type Key = (ChannelId, RegionId);

/// Sums of one channel in one region, in seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    /// Outside maintenance, and in it.
    tallies: [Tally; 2],
    budget: Budget,
    /// When the journal got the budget; `None` while it has all of it.
    unsaved_since: Option<MonoTime>,
    latencies: [Windowed; Latency::ALL.len()],
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

impl Sums {
    /// Seconds observed at any layer, outside maintenance and in it.
    pub(crate) fn observed_any(&self) -> [f64; 2] {
        self.tallies.each_ref().map(|it| it.shown[ANY])
    }

    /// Outside maintenance.
    pub(crate) fn observed(&self) -> [(Layer, f64); Layer::ALL.len()] {
        core::array::from_fn(|i| (Layer::ALL[i], self.tallies[0].shown[OBSERVED + i]))
    }

    /// Outside maintenance and in it.
    pub(crate) fn bad(&self) -> [f64; 2] {
        self.tallies.each_ref().map(|it| it.shown[BAD])
    }

    /// Outside maintenance.
    pub(crate) fn faults(&self) -> [(FaultClass, f64); FaultClass::ALL.len()] {
        core::array::from_fn(|i| (FaultClass::ALL[i], self.tallies[0].shown[FAULTS + i]))
    }

    pub(crate) fn latency(&self, latency: Latency, now: MonoTime) -> Summary {
        self.latencies[latency as usize].summary(now)
    }

    pub(crate) fn slo(&self, now: MonoTime, objective: Ratio) -> SloView {
        self.budget.view(now, objective)
    }

    fn add(&mut self, now: MonoTime, change: &Change) {
        self.tallies[usize::from(change.terms.maintenance)].add(change);
        if !change.terms.maintenance {
            let seconds = |part: usize| f64::from(change.by[part]) * change.terms.weight / 1000.0;
            self.budget.add(change.second, seconds(ANY), seconds(BAD));
            self.unsaved_since.get_or_insert(now);
        }
    }

    fn sample(&mut self, at: MonoTime, sample: LatencySample) {
        let (latency, value) = measured(sample);
        self.latencies[latency as usize].add(at, value);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Signals {
    sums: BTreeMap<Key, Sums>,
    deliveries: BTreeMap<StreamId, Seconds>,
    regions: BTreeMap<RegionId, Histograms>,
    servers: BTreeMap<ServerId, Histograms>,
    /// Up to which second the journal's sums count: what comes of earlier ones was counted before the restart.
    counted: BTreeMap<Key, u64>,
    /// Seconds in which each node's own host dropped packets.
    drops: BTreeMap<NodeId, BTreeSet<u64>>,
    swept: Option<StreamId>,
    looked_at: Option<Key>,
}

impl Signals {
    /// Takes in what an agent said. The facts already have it.
    pub(crate) fn batch(
        &mut self,
        now: MonoTime,
        facts: &Facts,
        ledger: &Ledger,
        batch: &Batch,
        limits: &mut Limits,
    ) {
        let (node, epoch) = (&batch.node, batch.epoch);
        let mut touched = BTreeSet::new();
        for record in &batch.faults {
            let Some((key, _)) = delivery(facts, node, &record.stream) else { continue };
            self.seconds(&record.stream, &key).fault(now, node, epoch, record);
            touched.insert(&record.stream);
        }
        for slice in &batch.slices {
            if slice.counters.receive_dropped > 0 {
                self.drop_between(node, slice.end.min(now) - slice.length, slice.end.min(now));
            }
            let Some((key, server)) = delivery(facts, node, &slice.stream) else { continue };
            for &sample in &slice.latencies {
                self.sums.entry(key.clone()).or_default().sample(slice.end.min(now), sample);
                self.regions.entry(key.1.clone()).or_default().add(sample);
                self.servers.entry(server.clone()).or_default().add(sample);
            }
            limits.late_seconds += self.seconds(&slice.stream, &key).slice(now, node, epoch, slice);
            touched.insert(&slice.stream);
        }
        for report in batch.reports.iter().filter(|it| it.receive_dropped > 0) {
            let at = report.at.min(now);
            self.drop_between(node, at - Duration::from_secs(1), at);
        }
        for stream in touched {
            self.count(now, facts, ledger, stream);
        }
        self.sweep(now, facts, ledger);
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
    fn count(&mut self, now: MonoTime, facts: &Facts, ledger: &Ledger, stream: &StreamId) {
        let Some(found @ StreamRef::Delivery(channel, delivery, server)) =
            facts.lineup.stream(stream)
        else {
            return;
        };
        let Some(seconds) = self.deliveries.get_mut(stream) else { return };
        let votes = |node: &NodeId, second: u64| {
            let silenced = second.saturating_sub(DROPS_SILENCE.as_secs())..=second;
            self.drops.get(node).is_none_or(|it| it.range(silenced).next().is_none())
        };
        let terms = |second| Terms {
            weight: weight(facts, channel, &server.region, delivery),
            maintenance: maintenance::covers(ledger, found, begin(second)),
        };
        let changes = seconds.settle(now, votes, terms);
        if changes.is_empty() {
            return;
        }
        let sums = self.sums.entry((channel.id.clone(), server.region.clone())).or_default();
        changes.iter().for_each(|change| sums.add(now, change));
    }

    /// Settles some deliveries, in turn: nothing may come from them any more.
    pub(crate) fn sweep(&mut self, now: MonoTime, facts: &Facts, ledger: &Ledger) {
        let from = self.swept.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.deliveries.range::<StreamId, _>((from, Bound::Unbounded));
        let streams: Vec<StreamId> = next.map(|it| it.0.clone()).take(SWEPT_AT_ONCE).collect();
        for stream in &streams {
            self.count(now, facts, ledger, stream);
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
        self.counted.retain(|key, _| listed.contains(key));
        self.regions.retain(|region, _| listed.iter().any(|(_, it)| it == region));
        self.servers.retain(|server, _| lineup.server(server).is_some());
        self.drops.retain(|node, _| lineup.agent(node).is_some());
    }

    /// Error budgets that the journal should have by now, of some channels, in turn.
    pub(crate) fn save(&mut self, now: MonoTime) -> Vec<Record> {
        let from = self.looked_at.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.sums.range_mut::<Key, _>((from, Bound::Unbounded)).take(SAVED_AT_ONCE);
        let (mut records, mut last) = (Vec::new(), None);
        for (at, (key, sums)) in next.enumerate() {
            let is_due = |since: MonoTime| now.since(since) >= SAVED_EVERY;
            if sums.unsaved_since.is_some_and(is_due) {
                sums.unsaved_since = None;
                records.push(journal::budget_record(now, key, &sums.budget));
            }
            last = (at + 1 == SAVED_AT_ONCE).then(|| key.clone());
        }
        self.looked_at = last;
        records
    }

    /// All error budgets that the journal has not got as they are.
    pub(crate) fn save_all(&mut self, now: MonoTime) -> Vec<Record> {
        let unsaved = self.sums.iter_mut().filter_map(|(key, sums)| {
            sums.unsaved_since.take().map(|_| journal::budget_record(now, key, &sums.budget))
        });
        unsaved.collect()
    }

    /// Takes back an error budget that the journal remembered, as of a moment.
    pub(crate) fn restore(&mut self, key: Key, budget: Budget, written: MonoTime) {
        self.counted.insert(key.clone(), second_of(written));
        self.sums.entry(key).or_default().budget = budget;
    }

    fn seconds(&mut self, stream: &StreamId, key: &Key) -> &mut Seconds {
        let Self { deliveries, counted, .. } = self;
        let fresh = || Seconds::since(counted.get(key).copied().unwrap_or(0));
        deliveries.entry(stream.clone()).or_insert_with(fresh)
    }

    /// What each region's latencies were, by region.
    pub(crate) fn region_latencies(&self) -> impl Iterator<Item = (&RegionId, HistogramView)> {
        self.regions.iter().flat_map(|(id, it)| it.views().map(move |view| (id, view)))
    }

    /// What each server's latencies were, by server.
    pub(crate) fn server_latencies(&self) -> impl Iterator<Item = (&ServerId, HistogramView)> {
        self.servers.iter().flat_map(|(id, it)| it.views().map(move |view| (id, view)))
    }

    pub(crate) fn sums(&self, channel: &ChannelId, region: &RegionId) -> Option<&Sums> {
        self.sums.get(&(channel.clone(), region.clone()))
    }
}

/// The channel and region, and the server, of a delivery that the agent is to watch and that is on the air.
fn delivery<'a>(facts: &'a Facts, node: &NodeId, stream: &StreamId) -> Option<(Key, &'a ServerId)> {
    let Some(StreamRef::Delivery(channel, _, server)) = facts.lineup.stream(stream) else {
        return None;
    };
    let counts = facts.watches(node, stream) && !facts.is_off_air(&channel.id);
    counts.then(|| ((channel.id.clone(), server.region.clone()), &server.id))
}

fn second_of(at: MonoTime) -> u64 {
    at.as_nanos() / 1_000_000_000
}

fn begin(second: u64) -> MonoTime {
    MonoTime::ZERO + Duration::from_secs(second)
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
