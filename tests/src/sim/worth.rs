//! What viewers got, and what they would have got had nobody remedied anything.

use std::collections::{BTreeMap, BTreeSet};

use tallylight_decide::action::{ActionKind, Command, Target};
use tallylight_model::{ChannelId, MonoTime, RegionId, ServerId, Severity, StreamId};

use super::{
    panel::Panel,
    platform::{Conditions, History, Platform},
};

/// Viewers of one channel in one region.
#[derive(Debug, Default)]
struct Audience {
    /// The deliveries there, by index of the stream.
    deliveries: Vec<usize>,
    /// Whether trouble or an action can have reached them.
    touched: bool,
    /// Seconds that were bad for one viewer there, over all of its deliveries.
    bad: f64,
    without: f64,
    /// Those that were bad because every server that they could be sent to was drained.
    stranded: f64,
}

/// A run's account of viewers' seconds: one viewer for each delivery of those channels and regions that trouble or an action
/// reaches. For all others both accounts are the same.
#[derive(Debug)]
pub struct Worth {
    audiences: BTreeMap<(ChannelId, RegionId), Audience>,
    /// What would have been done without us.
    others: History,
    /// Servers that people work on, and had drained for it.
    worked_on: BTreeSet<ServerId>,
    /// Before this nothing is wrong.
    from: MonoTime,
    /// Viewers' seconds that were bad.
    pub bad: f64,
    /// Those that would have been bad without remedies.
    pub bad_without: f64,
    /// When viewers first had anything bad.
    pub broke: Option<MonoTime>,
    /// The last moment at which any had.
    pub last_bad: Option<MonoTime>,
    /// The same without remedies.
    pub last_without: Option<MonoTime>,
}

impl Worth {
    pub(super) fn new(platform: &Platform) -> Self {
        let mut audiences: BTreeMap<(ChannelId, RegionId), Audience> = BTreeMap::new();
        for (index, stream) in platform.streams.iter().enumerate() {
            if stream.server.is_some() {
                let key = (stream.channel.clone(), stream.region.clone());
                let audience = audiences.entry(key).or_default();
                audience.deliveries.push(index);
                audience.touched |= !stream.events.is_empty();
            }
        }
        let from = platform.events.iter().map(|it| it.from).min();
        Self {
            audiences,
            others: History::default(),
            worked_on: BTreeSet::new(),
            from: from.unwrap_or_default(),
            bad: 0.0,
            bad_without: 0.0,
            broke: None,
            last_bad: None,
            last_without: None,
        }
    }

    /// What was done by others than us.
    pub(super) const fn others(&self) -> &History {
        &self.others
    }

    pub(super) fn switched_by_others(&mut self, at: MonoTime, channel: &ChannelId, to: &StreamId) {
        self.others.switch(at, channel, to.clone());
        self.from = self.from.min(at);
        self.touch_those(|it, _| it == channel);
    }

    /// Something is done. What is done for people who work on a server they would have had done without us.
    pub(super) fn done(&mut self, platform: &Platform, command: &Command) {
        self.from = MonoTime::ZERO;
        let target = &command.target;
        if let (Some(_), Target::Servers(servers)) = (command.purpose.window(), target) {
            self.worked_on.retain(|it| !servers.contains(it));
            let is_drained = command.kind == ActionKind::DrainServer;
            self.worked_on.extend(servers.iter().filter(|_| is_drained).cloned());
        }
        match target {
            Target::Channel(_) | Target::Encoder { .. } => {
                self.touch_those(|channel, _| target.channels().contains(channel));
            }
            Target::Region(moved) => self.touch_those(|_, region| region == moved),
            Target::Servers(servers) => {
                let lineup = platform.lineup();
                let regions: Vec<&RegionId> =
                    servers.iter().filter_map(|it| Some(&lineup.server(it)?.region)).collect();
                self.touch_those(|_, region| regions.contains(&region));
            }
        }
    }

    fn touch_those(&mut self, which: impl Fn(&ChannelId, &RegionId) -> bool) {
        for ((channel, region), audience) in &mut self.audiences {
            audience.touched |= which(channel, region);
        }
    }

    /// Counts the second that ends at a moment.
    pub(super) fn second(&mut self, now: MonoTime, platform: &Platform, panel: &Panel) {
        if now < self.from {
            return;
        }
        let mut counts = Vec::new();
        for (key, audience) in self.audiences.iter().filter(|it| it.1.touched) {
            let open = open(platform, &audience.deliveries, |it| self.worked_on.contains(it));
            let without = badness(platform, &self.others, &open, now);
            let with = self.badness_with(key, (platform, panel), now);
            counts.push((key.clone(), with, without));
        }
        let (mut bad, mut without) = (0.0, 0.0);
        for (key, with, other) in counts {
            let Some(audience) = self.audiences.get_mut(&key) else { continue };
            let viewers = audience.deliveries.len() as f64;
            audience.stranded += if with.is_none() { 1.0 } else { 0.0 };
            let (with, other) = (with.unwrap_or(1.0), other.unwrap_or(1.0));
            audience.bad += with;
            audience.without += other;
            bad += viewers * with;
            without += viewers * other;
        }
        self.bad += bad;
        self.bad_without += without;
        if bad > 0.0 {
            self.last_bad = Some(now);
        }
        if without > 0.0 {
            self.last_without = Some(now);
        }
        if bad > 0.0 || without > 0.0 {
            self.broke = self.broke.or(Some(now));
        }
    }

    /// The part of an audience that gets nothing good from where the panel sends it.
    fn badness_with(
        &self,
        (channel, region): &(ChannelId, RegionId),
        (platform, panel): (&Platform, &Panel),
        now: MonoTime,
    ) -> Option<f64> {
        let place = panel.served_by.get(region).unwrap_or(region);
        let serving = self.audiences.get(&(channel.clone(), place.clone()));
        let is_drained = |it: &ServerId| panel.drained.get(it).copied().unwrap_or(false);
        let open = open(platform, serving.map_or(&[][..], |it| &it.deliveries), is_drained);
        badness(platform, &platform.history, &open, now)
    }

    /// By how many seconds the worst off viewers were worse off than they would have been without remedies.
    #[must_use]
    pub fn worst_loss(&self) -> f64 {
        self.audiences.values().map(|it| it.bad - it.without).fold(0.0, f64::max)
    }

    /// The same without the seconds in which every server of theirs was drained.
    #[must_use]
    pub fn worst_wrong(&self) -> f64 {
        self.audiences.values().map(|it| it.bad - it.stranded - it.without).fold(0.0, f64::max)
    }
}

/// The deliveries to which the panel sends viewers.
fn open(
    platform: &Platform,
    deliveries: &[usize],
    is_drained: impl Fn(&ServerId) -> bool,
) -> Vec<usize> {
    let is_out = |&it: &usize| platform.streams[it].server.as_ref().is_some_and(&is_drained);
    deliveries.iter().copied().filter(|it| !is_out(it)).collect()
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
