//! Everything that is known at one moment: what agents see, what the panel says, what is meant to be.
//!
//! Facts never decide. Causes and guards read them and nothing else, so a decision can be repeated from the facts alone.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::{ops::Bound, time::Duration};

use tallylight_model::{
    Batch, ChannelId, Epoch, MonoTime, NodeId, NodeReport, Ratio, RegionId, Resource, ServerId,
    StreamId,
};

use crate::{
    input::{ChangedBy, KillSwitch, OnAir, PanelChannel, PanelServer, PanelState, ServerState},
    lineup::{Lineup, StreamRef},
    policy::Policy,
    sight::Sight,
    view::Limits,
};

/// An agent has no vote for this long after its own host dropped packets.
pub(crate) const DROPS_SILENCE: Duration = Duration::from_secs(5);

/// An agent that is heard may say nothing of a stream for this long: the media of a segment comes all at once.
const STREAM_QUIET: Duration = Duration::from_secs(15);

/// A batch speaks of the present if the newest thing in it is at most this old.
const PRESENT: Duration = Duration::from_secs(2);

/// Changes of source remembered of a channel: more than the rates allow within the longest delay.
const MAX_FEEDS: usize = 16;

/// An agent and its node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    epoch: Option<Epoch>,
    pub(crate) last_seen: Option<MonoTime>,
    pub(crate) last_drop: Option<MonoTime>,
    /// Moments of the last drops, for telling a blip from a condition.
    pub(crate) drops: VecDeque<MonoTime>,
    pub(crate) saturation: BTreeMap<Resource, Ratio>,
}

/// What the panel last said of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) stream: Option<StreamId>,
    pub(crate) changed_by: ChangedBy,
}

#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) lineup: Lineup,
    pub(crate) policy: Policy,
    pub(crate) kill_switch: KillSwitch,
    pub(crate) limits: Limits,
    sights: BTreeMap<StreamId, BTreeMap<NodeId, Sight>>,
    /// Streams on which some agent has a standing fault of the stream's own.
    faulty: BTreeSet<StreamId>,
    witnesses: BTreeMap<NodeId, Witness>,
    off_air: BTreeSet<ChannelId>,
    /// When the panel last answered; `None` before and while it is down.
    pub(crate) panel_at: Option<MonoTime>,
    panel_channels: BTreeMap<ChannelId, PanelChannel>,
    /// Since when the panel was seen to have each channel on which source, whoever put it there; `ZERO` for the first.
    feeds: BTreeMap<ChannelId, VecDeque<(MonoTime, StreamId)>>,
    panel_servers: BTreeMap<ServerId, PanelServer>,
    /// By whose servers each region's viewers are served.
    served_by: BTreeMap<RegionId, RegionId>,
}

impl Facts {
    pub(crate) fn new(lineup: Lineup, policy: Policy) -> Self {
        Self { lineup, policy, ..Self::default() }
    }

    /// Takes in what an agent said; false if the agent is not one of the lineup's.
    pub(crate) fn batch(&mut self, now: MonoTime, batch: &Batch) -> bool {
        if self.lineup.agent(&batch.node).is_none() {
            self.limits.foreign_nodes += 1;
            return false;
        }
        let witness = self.witnesses.entry(batch.node.clone()).or_default();
        if witness.epoch.is_some_and(|epoch| batch.epoch < epoch) {
            return true;
        }
        if witness.epoch != Some(batch.epoch) {
            witness.epoch = Some(batch.epoch);
            for sights in self.sights.values_mut() {
                sights.remove(&batch.node);
            }
            let sights = &self.sights;
            self.faulty.retain(|stream| {
                let mut left = sights.get(stream).into_iter().flat_map(BTreeMap::values);
                left.any(|sight| sight.faults().next().is_some())
            });
        }
        witness.last_seen = Some(now);
        for report in &batch.reports {
            note_report(now, witness, report);
        }
        let newest = newest(batch).min(now);
        let confirmed = if now.since(newest) <= PRESENT { newest } else { MonoTime::ZERO };
        for record in &batch.faults {
            if let Some(sight) = self.sight_mut(&batch.node, &record.stream) {
                sight.record(now, record);
            }
        }
        let mut dropped = None;
        for slice in &batch.slices {
            let Some(sight) = self.sight_mut(&batch.node, &slice.stream) else { continue };
            sight.slice(now, confirmed, slice);
            if slice.counters.receive_dropped > 0 {
                dropped = dropped.max(Some(slice.end.min(now)));
            }
        }
        let touched = batch.faults.iter().map(|it| &it.stream);
        for stream in touched.chain(batch.slices.iter().map(|it| &it.stream)) {
            self.note_faulty(stream);
        }
        if let (Some(at), Some(witness)) = (dropped, self.witnesses.get_mut(&batch.node)) {
            note_drop(witness, at);
        }
        true
    }

    fn note_faulty(&mut self, stream: &StreamId) {
        if self.sights_of(stream).any(|(_, sight)| sight.faults().next().is_some()) {
            self.faulty.insert(stream.clone());
        } else if self.faulty.contains(stream) {
            self.faulty.remove(stream);
        }
    }

    /// Streams on which some agent has a standing fault, with what each agent says about them.
    pub(crate) fn faulty(&self) -> impl Iterator<Item = (&StreamId, &BTreeMap<NodeId, Sight>)> {
        self.faulty.iter().filter_map(|stream| self.sights.get_key_value(stream))
    }

    fn sight_mut(&mut self, node: &NodeId, stream: &StreamId) -> Option<&mut Sight> {
        if !self.watches(node, stream) {
            self.limits.foreign_streams += 1;
            return None;
        }
        Some(self.sights.entry(stream.clone()).or_default().entry(node.clone()).or_default())
    }

    /// Whether the lineup has this agent watch this stream.
    pub(crate) fn watches(&self, node: &NodeId, stream: &StreamId) -> bool {
        match (self.lineup.agent(node), self.lineup.stream(stream)) {
            (Some(agent), Some(stream)) => agent.region == *stream.region(),
            _ => false,
        }
    }

    pub(crate) fn panel(&mut self, now: MonoTime, state: PanelState) {
        self.panel_at = Some(now);
        let lineup = &self.lineup;
        self.panel_channels = state
            .channels
            .into_iter()
            .filter(|it| lineup.channel(&it.channel).is_some())
            .map(|it| (it.channel.clone(), it))
            .collect();
        for (channel, panel) in &self.panel_channels {
            let Some(active) = &panel.active else { continue };
            let feeds = self.feeds.entry(channel.clone()).or_default();
            if feeds.back().is_some_and(|(_, last)| last == active) {
                continue;
            }
            let since = if feeds.is_empty() { MonoTime::ZERO } else { now };
            feeds.push_back((since, active.clone()));
            if feeds.len() > MAX_FEEDS {
                feeds.pop_front();
            }
        }
        self.panel_servers = state
            .servers
            .into_iter()
            .filter(|it| lineup.server(&it.server).is_some())
            .map(|it| (it.server.clone(), it))
            .collect();
        self.served_by = state
            .regions
            .into_iter()
            .filter(|it| lineup.region(&it.region).is_some())
            .map(|it| (it.region, it.served_by))
            .collect();
    }

    pub(crate) fn on_air(&mut self, channel: ChannelId, on_air: OnAir) {
        match on_air {
            OnAir::On => self.off_air.remove(&channel),
            OnAir::Off => self.off_air.insert(channel),
        };
    }

    /// Puts a new lineup in force and forgets what is gone with the old one.
    pub(crate) fn relist(&mut self, lineup: Lineup) {
        self.sights.retain(|stream, _| lineup.stream(stream).is_some());
        self.faulty.retain(|stream| lineup.stream(stream).is_some());
        self.witnesses.retain(|node, _| lineup.agent(node).is_some());
        self.off_air.retain(|channel| lineup.channel(channel).is_some());
        self.panel_channels.retain(|channel, _| lineup.channel(channel).is_some());
        self.feeds.retain(|channel, _| lineup.channel(channel).is_some());
        self.panel_servers.retain(|server, _| lineup.server(server).is_some());
        self.served_by.retain(|region, _| lineup.region(region).is_some());
        self.lineup = lineup;
        for (stream, sights) in &mut self.sights {
            let region = self.lineup.stream(stream).map(|it| it.region().clone());
            sights
                .retain(|node, _| self.lineup.agent(node).map(|it| &it.region) == region.as_ref());
        }
    }

    pub(crate) fn is_off_air(&self, channel: &ChannelId) -> bool {
        self.off_air.contains(channel)
    }

    pub(crate) fn witness(&self, node: &NodeId) -> Option<&Witness> {
        self.witnesses.get(node)
    }

    /// What each agent says about the streams after this one.
    pub(crate) fn sights_after(
        &self,
        after: Option<&StreamId>,
    ) -> impl Iterator<Item = (&StreamId, &BTreeMap<NodeId, Sight>)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sights.range::<StreamId, _>((from, Bound::Unbounded))
    }

    /// What each agent says about a stream.
    pub(crate) fn sights_of(&self, stream: &StreamId) -> impl Iterator<Item = (&NodeId, &Sight)> {
        self.sights.get(stream).into_iter().flatten()
    }

    /// Whether an agent has been heard of lately.
    pub(crate) fn is_heard(&self, node: &NodeId, now: MonoTime) -> bool {
        let within = self.policy.guards.agent_silent_after;
        let seen = self.witness(node).and_then(|it| it.last_seen);
        seen.is_some_and(|at| now.since(at) <= within)
    }

    /// Whether what an agent says about a stream is of the present.
    pub(crate) fn is_fresh(&self, node: &NodeId, sight: &Sight, now: MonoTime) -> bool {
        let young = |at| now.since(at) <= STREAM_QUIET;
        self.is_heard(node, now) && sight.spoken_of().is_some_and(young)
    }

    /// Whether an agent's own host dropped packets just before `now`.
    pub(crate) fn drops(&self, node: &NodeId, now: MonoTime) -> bool {
        let last = self.witness(node).and_then(|it| it.last_drop);
        last.is_some_and(|at| now.since(at) <= DROPS_SILENCE)
    }

    /// The source that the panel says the channel is on.
    pub(crate) fn active(&self, channel: &ChannelId) -> Option<Active> {
        let panel = self.panel_channels.get(channel)?;
        Some(Active { stream: panel.active.clone(), changed_by: panel.changed_by.clone() })
    }

    pub(crate) fn panel_channel(&self, channel: &ChannelId) -> Option<&PanelChannel> {
        self.panel_channels.get(channel)
    }

    pub(crate) fn panel_server(&self, server: &ServerId) -> Option<&PanelServer> {
        self.panel_servers.get(server)
    }

    /// The region whose servers serve a region's viewers, if the panel says so.
    pub(crate) fn served_by(&self, region: &RegionId) -> Option<&RegionId> {
        self.served_by.get(region)
    }

    pub(crate) fn is_drained(&self, server: &ServerId) -> bool {
        self.panel_server(server).is_some_and(|it| it.state == ServerState::Drained)
    }

    /// Whether the channel is on this source as far as anybody knows: without a panel it is on the primary.
    pub(crate) fn is_active(&self, stream: &StreamId) -> bool {
        let Some(StreamRef::Source(channel, source)) = self.lineup.stream(stream) else {
            return false;
        };
        match self.active(&channel.id).and_then(|it| it.stream) {
            Some(active) => active == *stream,
            None => {
                let first = channel.sources.iter().min_by_key(|it| (it.role, it.priority));
                first.is_some_and(|it| it.stream == source.stream)
            }
        }
    }

    /// When the channel was seen to be put on the source that it is on; `None` if it was never seen on another.
    pub(crate) fn on_since(&self, channel: &ChannelId) -> Option<MonoTime> {
        let since = self.feeds.get(channel)?.back()?.0;
        (since > MonoTime::ZERO).then_some(since)
    }

    /// Whether the channel is on this source or was at any time since a moment.
    pub(crate) fn was_active(&self, stream: &StreamId, since: MonoTime) -> bool {
        if self.is_active(stream) {
            return true;
        }
        let channel = self.lineup.stream(stream).map(|it| &it.channel().id);
        let Some(feeds) = channel.and_then(|it| self.feeds.get(it)) else { return false };
        let ends = feeds.iter().skip(1).map(|(end, _)| *end);
        feeds.iter().zip(ends).any(|((_, fed), end)| fed == stream && end >= since)
    }

    /// The worst saturation of the node that a server runs on, while its agent is heard.
    pub(crate) fn server_saturation(&self, server: &ServerId, now: MonoTime) -> Option<Ratio> {
        let stated = self.lineup.server(server).and_then(|it| it.node.as_ref());
        let name = stated.map_or(server.as_str(), NodeId::as_str);
        let node = self.witnesses.keys().find(|node| node.as_str() == name)?;
        let saturation = self.saturation(node, now).map(|(_, ratio)| ratio);
        saturation.reduce(|a, b| if b > a { b } else { a })
    }

    /// How far a node's resources are used, while its agent is heard.
    pub(crate) fn saturation(
        &self,
        node: &NodeId,
        now: MonoTime,
    ) -> impl Iterator<Item = (Resource, Ratio)> {
        let heard = self.witness(node).filter(|_| self.is_heard(node, now));
        heard.into_iter().flat_map(|it| &it.saturation).map(|(resource, ratio)| (*resource, *ratio))
    }

    /// The regions in which a channel has viewers.
    pub(crate) fn regions_of(&self, channel: &ChannelId) -> BTreeSet<RegionId> {
        let channel = self.lineup.channel(channel);
        let deliveries = channel.into_iter().flat_map(|it| &it.deliveries);
        deliveries.filter_map(|it| Some(self.lineup.server(&it.server)?.region.clone())).collect()
    }
}

fn note_report(now: MonoTime, witness: &mut Witness, report: &NodeReport) {
    witness.saturation.clone_from(&report.saturation);
    if report.receive_dropped > 0 {
        note_drop(witness, report.at.min(now));
    }
}

fn note_drop(witness: &mut Witness, at: MonoTime) {
    witness.last_drop = witness.last_drop.max(Some(at));
    witness.drops.push_back(at);
    if witness.drops.len() > 16 {
        witness.drops.pop_front();
    }
}

/// The newest moment that a batch speaks of.
fn newest(batch: &Batch) -> MonoTime {
    let slices = batch.slices.iter().map(|it| it.end);
    let faults = batch.faults.iter().map(|it| it.declared);
    let reports = batch.reports.iter().map(|it| it.at);
    slices.chain(faults).chain(reports).max().unwrap_or(MonoTime::ZERO)
}
