//! The golden signals: what viewers of a channel in a region got, second by second.
//!
//! A second of a delivery is judged by the majority of the agents that have a vote, and is bad for as long as a *declared*
//! fault held in it. A fault is declared late, so a second stays open: its sums may still grow, they never shrink. What
//! nobody watched is in no sum at all. Sources never count, because no viewer sees one.

mod seconds;
mod sketch;

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use tallylight_model::{
    Batch, ChannelId, FaultClass, FaultKind, LatencySample, Layer, MonoTime, NodeId, RegionId,
    StreamId,
};

use crate::{
    facts::Facts,
    lineup::{Lineup, StreamRef},
    sight::is_streams_own,
    view::Summary,
};
use seconds::{Seconds, Share};
use sketch::Windowed;

/// Sums of one channel in one region, in seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) observed: [f64; Layer::ALL.len()],
    pub(crate) observed_any: f64,
    pub(crate) bad: f64,
    pub(crate) faults: [f64; FaultClass::ALL.len()],
    startup: Windowed,
    first_byte: Windowed,
    segment_fetch: Windowed,
    live_delay: Windowed,
}

/// The four latencies of one channel in one region.
pub(crate) struct Latencies {
    pub(crate) startup: Summary,
    pub(crate) first_byte: Summary,
    pub(crate) segment_fetch: Summary,
    pub(crate) live_delay: Summary,
}

impl Sums {
    pub(crate) fn latencies(&self, now: MonoTime) -> Latencies {
        Latencies {
            startup: self.startup.summary(now),
            first_byte: self.first_byte.summary(now),
            segment_fetch: self.segment_fetch.summary(now),
            live_delay: self.live_delay.summary(now),
        }
    }

    fn add(&mut self, share: &Share, weight: f64) {
        for (sum, part) in self.observed.iter_mut().zip(share.observed) {
            *sum += part.as_secs_f64() * weight;
        }
        self.observed_any += share.observed_any.as_secs_f64() * weight;
        self.bad += share.bad.as_secs_f64() * weight;
        for (sum, part) in self.faults.iter_mut().zip(share.faults) {
            *sum += part.as_secs_f64() * weight;
        }
    }

    fn sample(&mut self, now: MonoTime, sample: LatencySample) {
        match sample {
            LatencySample::Startup(span) => self.startup.add(now, span.as_secs_f64()),
            LatencySample::FirstByte(span) => self.first_byte.add(now, span.as_secs_f64()),
            LatencySample::SegmentFetch(ratio) => self.segment_fetch.add(now, ratio.get()),
            LatencySample::LiveDelay(span) => self.live_delay.add(now, span.as_secs_f64()),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Signals {
    sums: BTreeMap<(ChannelId, RegionId), Sums>,
    deliveries: BTreeMap<StreamId, Seconds>,
    swept: MonoTime,
}

impl Signals {
    /// Takes in what an agent said. The facts already have it.
    pub(crate) fn batch(
        &mut self,
        now: MonoTime,
        facts: &Facts,
        batch: &Batch,
        declared: &[(StreamId, FaultKind, MonoTime)],
    ) {
        let mut touched = BTreeSet::new();
        for slice in &batch.slices {
            let Some(StreamRef::Delivery(channel, _, server)) = facts.lineup.stream(&slice.stream)
            else {
                continue;
            };
            if !facts.watches(&batch.node, &slice.stream) || facts.is_off_air(&channel.id) {
                continue;
            }
            let key = (channel.id.clone(), server.region.clone());
            let sums = self.sums.entry(key).or_default();
            for &sample in &slice.latencies {
                sums.sample(now, sample);
            }
            let onsets = onsets(facts, &batch.node, &slice.stream);
            let seconds = self.deliveries.entry(slice.stream.clone()).or_default();
            seconds.slice(now, &batch.node, slice, &onsets);
            touched.insert(slice.stream.clone());
        }
        for (stream, kind, onset) in declared {
            if let Some(seconds) = self.deliveries.get_mut(stream)
                && is_streams_own(*kind)
            {
                seconds.declare(now, &batch.node, *kind, *onset);
                touched.insert(stream.clone());
            }
        }
        for stream in &touched {
            self.count(now, facts, stream);
        }
        if now.since(self.swept) >= Duration::from_secs(1) {
            self.sweep(now, facts);
        }
    }

    /// Adds what has become certain about a delivery's seconds to the sums of its channel and region.
    fn count(&mut self, now: MonoTime, facts: &Facts, stream: &StreamId) {
        let Some(StreamRef::Delivery(channel, _, server)) = facts.lineup.stream(stream) else {
            return;
        };
        let Some(seconds) = self.deliveries.get_mut(stream) else { return };
        let votes = |node: &NodeId| !facts.drops(node, now);
        let share = seconds.settle(now, votes);
        if share.is_empty() {
            return;
        }
        let weight = weight(facts, channel, &server.region, stream);
        let key = (channel.id.clone(), server.region.clone());
        self.sums.entry(key).or_default().add(&share, weight);
    }

    /// Settles deliveries from which nothing comes any more.
    fn sweep(&mut self, now: MonoTime, facts: &Facts) {
        self.swept = now;
        let streams: BTreeSet<StreamId> = self.deliveries.keys().cloned().collect();
        for stream in &streams {
            self.count(now, facts, stream);
        }
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

/// Since when each declared fault stands, as the agent says.
fn onsets(facts: &Facts, node: &NodeId, stream: &StreamId) -> BTreeMap<FaultKind, MonoTime> {
    let mut sights = facts.sights_of(stream).filter(|(it, _)| *it == node);
    let sight = sights.next().map(|(_, sight)| sight);
    sight.into_iter().flat_map(|it| it.faults()).map(|(kind, it)| (kind, it.onset)).collect()
}

/// A delivery's share in its channel and region: by the viewers of its server where the panel says how many, else equal.
fn weight(
    facts: &Facts,
    channel: &crate::lineup::Channel,
    region: &RegionId,
    stream: &StreamId,
) -> f64 {
    let in_region = |it: &&crate::lineup::Delivery| {
        facts.lineup.server(&it.server).is_some_and(|it| it.region == *region)
    };
    let sessions =
        |it: &crate::lineup::Delivery| facts.panel_server(&it.server).map(|it| it.sessions);
    let (mut all, mut own, mut count, mut known) = (0.0, 0.0, 0.0, true);
    for delivery in channel.deliveries.iter().filter(in_region) {
        count += 1.0;
        match sessions(delivery) {
            Some(viewers) => {
                all += viewers as f64;
                if delivery.stream == *stream {
                    own = viewers as f64;
                }
            }
            None => known = false,
        }
    }
    if known && all > 0.0 { own / all } else { 1.0 / f64::max(count, 1.0) }
}
