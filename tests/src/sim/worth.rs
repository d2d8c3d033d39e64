//! What viewers got, and what they would have got had nobody remedied anything.

use std::collections::BTreeMap;

use tallylight_model::{ChannelId, MonoTime, RegionId, ServerId, Severity, StreamId};

use super::{
    panel::Panel,
    platform::{Conditions, History, Platform},
};

/// Viewers of one channel in one region.
#[derive(Debug)]
struct Audience {
    region: RegionId,
    /// The deliveries there, by index of the stream.
    deliveries: Vec<usize>,
}

/// A run's account of viewers' seconds: one viewer for each delivery of those channels and regions that trouble can reach.
#[derive(Debug)]
pub struct Worth {
    audiences: BTreeMap<(ChannelId, RegionId), Audience>,
    touched: Vec<(ChannelId, RegionId)>,
    /// What would have been done without us.
    others: History,
    /// Viewers' seconds that were bad.
    pub bad: f64,
    /// Those that would have been bad without remedies.
    pub bad_without: f64,
    /// When viewers first had anything bad.
    pub broke: Option<MonoTime>,
    /// The last moment at which any had.
    pub last_bad: Option<MonoTime>,
}

impl Worth {
    pub(super) fn new(platform: &Platform) -> Self {
        let mut audiences: BTreeMap<(ChannelId, RegionId), Audience> = BTreeMap::new();
        let mut touched = Vec::new();
        for (index, stream) in platform.streams.iter().enumerate() {
            if stream.server.is_none() {
                continue;
            }
            let key = (stream.channel.clone(), stream.region.clone());
            if !stream.events.is_empty() {
                touched.push(key.clone());
            }
            let new = Audience { region: stream.region.clone(), deliveries: Vec::new() };
            audiences.entry(key).or_insert(new).deliveries.push(index);
        }
        touched.sort();
        touched.dedup();
        let others = History::default();
        let (bad, bad_without) = (0.0, 0.0);
        Self { audiences, touched, others, bad, bad_without, broke: None, last_bad: None }
    }

    pub(super) fn switched_by_others(&mut self, at: MonoTime, channel: &ChannelId, to: &StreamId) {
        self.others.switch(at, channel, to.clone());
    }

    /// Counts the second that ends at a moment.
    pub(super) fn second(&mut self, now: MonoTime, platform: &Platform, panel: &Panel) {
        let mut bad = 0.0;
        for key in &self.touched {
            let Some(audience) = self.audiences.get(key) else { continue };
            let viewers = audience.deliveries.len() as f64;
            let without = badness(platform, &self.others, &audience.deliveries, now);
            self.bad_without += viewers * without.unwrap_or(1.0);
            let place = panel.served_by.get(&audience.region).unwrap_or(&audience.region);
            let serving = self.audiences.get(&(key.0.clone(), place.clone()));
            let is_drained = |it: &ServerId| panel.drained.get(it).copied().unwrap_or(false);
            let open: Vec<usize> = serving
                .into_iter()
                .flat_map(|it| &it.deliveries)
                .copied()
                .filter(|&it| !platform.streams[it].server.as_ref().is_some_and(is_drained))
                .collect();
            let with = badness(platform, &platform.history, &open, now);
            bad += viewers * with.unwrap_or(1.0);
        }
        self.bad += bad;
        if bad > 0.0 {
            self.broke = self.broke.or(Some(now));
            self.last_bad = Some(now);
        }
    }
}

/// The part of viewers, spread evenly over deliveries, that get nothing good; `None` if there are no deliveries.
fn badness(
    platform: &Platform,
    history: &History,
    deliveries: &[usize],
    now: MonoTime,
) -> Option<f64> {
    let spoils = |it: Conditions| it.iter().any(|it| it.may_act(Severity::Critical));
    let bad = |&&it: &&usize| {
        spoils(platform.shows(history, it, now)) || !platform.slow(it, now).is_zero()
    };
    let count = deliveries.iter().filter(bad).count();
    (!deliveries.is_empty()).then(|| count as f64 / deliveries.len() as f64)
}
