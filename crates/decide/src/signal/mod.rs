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
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{
    Batch, ChannelId, FaultClass, LatencySample, Layer, MonoTime, NodeId, Ratio, RegionId,
    ServerId, Slice, StreamId,
};

use crate::{
    facts::{DROPS_SILENCE, Facts},
    journal::{self, Record},
    ledger::Ledger,
    lineup::{AgentNo, Lineup, StreamNo, StreamRef},
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

    fn save(&mut self, now: MonoTime, (channel, region): (&ChannelId, &RegionId)) -> Record {
        self.unsaved_since = None;
        journal::budget_record(now, &(channel.clone(), region.clone()), &self.budget)
    }

    fn sample(&mut self, at: MonoTime, sample: LatencySample) {
        let (latency, value) = measured(sample);
        self.latencies[latency as usize].add(at, value);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// By place: see [`Lineup::cell`].
    sums: Vec<Option<Box<Sums>>>,
    /// By number.
    deliveries: Vec<Option<Box<Seconds>>>,
    regions: BTreeMap<RegionId, Histograms>,
    servers: BTreeMap<ServerId, Histograms>,
    /// Up to which second the journal's sums count: what comes of earlier ones was counted before the restart.
    counted: BTreeMap<Key, u64>,
    /// Seconds in which each node's own host dropped packets.
    drops: BTreeMap<NodeId, BTreeSet<u64>>,
    swept: Option<StreamId>,
    /// The place of the last error budget that was looked at.
    looked_at: Option<usize>,
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
        let Some(agent) = facts.lineup.agent_no(node) else { return };
        let mut touched = Vec::with_capacity(batch.faults.len() + batch.slices.len());
        for record in &batch.faults {
            let Some(no) = delivery(facts, agent, &record.stream) else { continue };
            self.seconds(facts, no).fault(now, node, epoch, record);
            touched.push(no);
        }
        for slice in &batch.slices {
            if slice.counters.receive_dropped > 0 {
                self.drop_between(node, slice.end.min(now) - slice.length, slice.end.min(now));
            }
            let Some(no) = delivery(facts, agent, &slice.stream) else { continue };
            self.samples(now, facts, no, slice);
            limits.late_seconds += self.seconds(facts, no).slice(now, node, epoch, slice);
            touched.push(no);
        }
        for report in batch.reports.iter().filter(|it| it.receive_dropped > 0) {
            let at = report.at.min(now);
            self.drop_between(node, at - Duration::from_secs(1), at);
        }
        touched.sort_unstable();
        touched.dedup();
        for no in touched {
            self.count(now, facts, ledger, no);
        }
        self.sweep(now, facts, ledger);
    }

    fn samples(&mut self, now: MonoTime, facts: &Facts, no: StreamNo, slice: &Slice) {
        let StreamRef::Delivery(.., server) = facts.lineup.at(no) else { return };
        for &sample in &slice.latencies {
            if let Some(sums) = self.sums_of(facts, no) {
                sums.sample(slice.end.min(now), sample);
            }
            self.regions.entry(server.region.clone()).or_default().add(sample);
            self.servers.entry(server.id.clone()).or_default().add(sample);
        }
    }

    /// What a node's agent saw just after its host dropped packets is no evidence.
    fn drop_between(&mut self, node: &NodeId, from: MonoTime, to: MonoTime) {
        let drops = self.drops.entry(node.clone()).or_default();
        for second in second_of(from)..=second_of(to - Duration::from_nanos(1)) {
            if drops.insert(second) {
                let until = second + DROPS_SILENCE.as_secs();
                self.deliveries.iter_mut().flatten().for_each(|it| it.doubt(second, until));
            }
        }
        while drops.len() > MAX_DROPS {
            drops.pop_first();
        }
    }

    /// Adds what is new about a delivery's seconds to the sums of its channel and region.
    fn count(&mut self, now: MonoTime, facts: &Facts, ledger: &Ledger, no: StreamNo) {
        let found = facts.lineup.at(no);
        let Some(seconds) = &mut self.deliveries[no.index()] else { return };
        let votes = |node: &NodeId, second: u64| {
            let silenced = second.saturating_sub(DROPS_SILENCE.as_secs())..=second;
            self.drops.get(node).is_none_or(|it| it.range(silenced).next().is_none())
        };
        let terms = |second| Terms {
            weight: weight(facts, no),
            maintenance: maintenance::covers(ledger, found, begin(second)),
        };
        let changes = seconds.settle(now, votes, terms);
        if changes.is_empty() {
            return;
        }
        if let Some(sums) = self.sums_of(facts, no) {
            changes.iter().for_each(|change| sums.add(now, change));
        }
    }

    /// Settles some deliveries, in turn: nothing may come from them any more.
    pub(crate) fn sweep(&mut self, now: MonoTime, facts: &Facts, ledger: &Ledger) {
        let next = facts.lineup.numbers_after(self.swept.as_ref());
        let known = next.filter(|it| self.deliveries[it.index()].is_some());
        let streams: Vec<StreamNo> = known.take(SWEPT_AT_ONCE).collect();
        for &no in &streams {
            self.count(now, facts, ledger, no);
        }
        let last = streams.get(SWEPT_AT_ONCE - 1);
        self.swept = last.map(|&no| facts.lineup.id(no).clone());
    }

    /// Takes what belongs to the numbers of one lineup over to another, and forgets what is gone: its series end.
    pub(crate) fn relist(&mut self, old: &Lineup, new: &Lineup) {
        let (mut deliveries, mut sums) = (Vec::new(), Vec::new());
        deliveries.resize_with(new.streams().count(), || None);
        sums.resize_with(new.cells(), || None);
        for (no, seconds) in old.numbers().zip(&mut self.deliveries) {
            let to = new.no(old.id(no)).filter(|it| new.cell_of(*it).is_some());
            if let Some(to) = to {
                deliveries[to.index()] = seconds.take();
            }
        }
        for (cell, own) in self.sums.iter_mut().enumerate() {
            let (channel, region) = old.cell_at(cell);
            if let Some(to) = new.cell(channel, region) {
                sums[to] = own.take();
            }
        }
        (self.deliveries, self.sums) = (deliveries, sums);
        self.counted.retain(|(channel, region), _| new.cell(channel, region).is_some());
        self.regions.retain(|region, _| new.channels_in(region) > 0);
        self.servers.retain(|server, _| new.server(server).is_some());
        self.drops.retain(|node, _| new.agent(node).is_some());
    }

    /// Error budgets that the journal should have by now, of some channels, in turn.
    pub(crate) fn save(&mut self, now: MonoTime, lineup: &Lineup) -> Vec<Record> {
        let first = self.looked_at.map_or(0, |it| it + 1);
        let known = self.sums.iter_mut().enumerate().skip(first);
        let known = known.filter_map(|(cell, it)| Some((cell, it.as_deref_mut()?)));
        let (mut records, mut last) = (Vec::new(), None);
        for (at, (cell, sums)) in known.take(SAVED_AT_ONCE).enumerate() {
            if sums.unsaved_since.is_some_and(|since| now.since(since) >= SAVED_EVERY) {
                records.push(sums.save(now, lineup.cell_at(cell)));
            }
            last = (at + 1 == SAVED_AT_ONCE).then_some(cell);
        }
        self.looked_at = last;
        records
    }

    /// All error budgets that the journal has not got as they are.
    pub(crate) fn save_all(&mut self, now: MonoTime, lineup: &Lineup) -> Vec<Record> {
        let known = self.sums.iter_mut().enumerate();
        let known = known.filter_map(|(cell, it)| Some((cell, it.as_deref_mut()?)));
        let unsaved = known.filter(|(_, it)| it.unsaved_since.is_some());
        unsaved.map(|(cell, it)| it.save(now, lineup.cell_at(cell))).collect()
    }

    /// Takes back an error budget that the journal remembered, as of a moment.
    pub(crate) fn restore(&mut self, lineup: &Lineup, key: Key, budget: Budget, written: MonoTime) {
        let Some(cell) = lineup.cell(&key.0, &key.1) else { return };
        self.counted.insert(key, second_of(written));
        self.sums[cell].get_or_insert_default().budget = budget;
    }

    fn seconds(&mut self, facts: &Facts, no: StreamNo) -> &mut Seconds {
        let fresh = || {
            let key = facts.lineup.cell_of(no).map(|it| facts.lineup.cell_at(it));
            let key = key.map(|(channel, region)| (channel.clone(), region.clone()));
            let counted = key.and_then(|it| self.counted.get(&it)).copied();
            Box::new(Seconds::since(counted.unwrap_or(0)))
        };
        self.deliveries[no.index()].get_or_insert_with(fresh)
    }

    /// The sums that a delivery counts in.
    fn sums_of(&mut self, facts: &Facts, no: StreamNo) -> Option<&mut Sums> {
        let cell = facts.lineup.cell_of(no)?;
        Some(self.sums[cell].get_or_insert_default())
    }

    /// What each region's latencies were, by region.
    pub(crate) fn region_latencies(&self) -> impl Iterator<Item = (&RegionId, HistogramView)> {
        self.regions.iter().flat_map(|(id, it)| it.views().map(move |view| (id, view)))
    }

    /// What each server's latencies were, by server.
    pub(crate) fn server_latencies(&self) -> impl Iterator<Item = (&ServerId, HistogramView)> {
        self.servers.iter().flat_map(|(id, it)| it.views().map(move |view| (id, view)))
    }

    pub(crate) fn sums(
        &self,
        lineup: &Lineup,
        channel: &ChannelId,
        region: &RegionId,
    ) -> Option<&Sums> {
        self.sums[lineup.cell(channel, region)?].as_deref()
    }
}

/// The number of a delivery that the agent is to watch and that is on the air.
fn delivery(facts: &Facts, agent: AgentNo, stream: &StreamId) -> Option<StreamNo> {
    let no = facts.lineup.no(stream)?;
    let found = facts.lineup.at(no);
    let is_delivery = matches!(found, StreamRef::Delivery(..)) && facts.is_watcher(agent, no);
    (is_delivery && !facts.is_off_air(&found.channel().id)).then_some(no)
}

fn second_of(at: MonoTime) -> u64 {
    at.as_nanos() / 1_000_000_000
}

fn begin(second: u64) -> MonoTime {
    MonoTime::ZERO + Duration::from_secs(second)
}

/// A delivery's share in its channel and region: by the viewers of its server where the panel says how many, else equal.
fn weight(facts: &Facts, own: StreamNo) -> f64 {
    let lineup = &facts.lineup;
    let in_cell = |it: &&StreamNo| lineup.cell_of(**it) == lineup.cell_of(own);
    let viewers = |it: StreamNo| match lineup.at(it) {
        StreamRef::Delivery(.., server) => Some(facts.panel_server(&server.id)?.sessions as f64),
        StreamRef::Source(..) => None,
    };
    let deliveries = || lineup.deliveries_of(own).iter().filter(in_cell);
    let all: Option<f64> = deliveries().map(|&it| viewers(it)).sum();
    match (all.filter(|&all| all > 0.0), viewers(own)) {
        (Some(all), Some(own)) => own / all,
        _ => 1.0 / f64::max(deliveries().count() as f64, 1.0),
    }
}
