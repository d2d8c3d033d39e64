//! Everything that is known at one moment: what agents see, what the panel says, what is meant to be.
//!
//! Facts never decide. Causes and guards read them and nothing else, so a decision can be repeated from the facts alone.
//!
//! All of it is bounded by the lineup: a sight for each pair of a stream and an agent that watches it, with the last 96 slices,
//! at most one standing fault of each kind and texts of 200 bytes, which is about 4 KiB while nothing is wrong. What comes for
//! anything else is counted and forgotten.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{
    Batch, ChannelId, EncoderId, Epoch, FaultKind, MonoTime, NodeId, NodeReport, Ratio, RegionId,
    Resource, ServerId, Slice, StreamId,
};

use crate::{
    input::{ChangedBy, KillSwitch, OnAir, PanelChannel, PanelServer, PanelState, ServerState},
    likeness::{Lag, Likeness, Programme},
    lineup::{AgentNo, Channel, Lineup, Source, StreamNo},
    policy::Policy,
    sight::{Calm, Glance, Sight, is_streams_own},
    view::Limits,
};

/// An agent has no vote for this long after its own host dropped packets.
pub(crate) const DROPS_SILENCE: Duration = Duration::from_secs(5);

/// An agent that is heard may say nothing of a stream for this long: the media of a segment comes all at once.
const STREAM_QUIET: Duration = Duration::from_secs(15);

/// What a delivery shows is told by its frames of so long.
const SHOWN_LATELY: Duration = Duration::from_secs(20);

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
    /// By place: see [`Lineup::watchers`].
    sights: Vec<Option<Box<Sight>>>,
    /// What matters most of each sight.
    glances: Vec<Glance>,
    /// What those of a stream come to, by number.
    calm: Vec<Calm>,
    /// When the newest slice begins of a stream that everybody sees well; `ZERO` of others. It is all that is asked of the
    /// thousands of streams that a large cause would break, so it lies closer together than the rest.
    well_from: Vec<MonoTime>,
    /// Streams on which some agent has a standing fault of the stream's own.
    faulty: BTreeSet<StreamNo>,
    witnesses: BTreeMap<NodeId, Witness>,
    off_air: BTreeSet<ChannelId>,
    /// When the panel last answered; `None` before and while it is down.
    pub(crate) panel_at: Option<MonoTime>,
    /// In the order of channels.
    panel_channels: Vec<Option<PanelChannel>>,
    /// Since when the panel was seen to have each channel on which source, whoever put it there; `ZERO` for the first. In the
    /// order of channels.
    feeds: Vec<VecDeque<(MonoTime, StreamId)>>,
    /// The source that each channel is on as far as anybody knows, in the order of channels.
    feeding: Vec<Option<StreamNo>>,
    panel_servers: BTreeMap<ServerId, PanelServer>,
    /// Encoders that the panel can restart.
    restartable: BTreeSet<EncoderId>,
    /// By whose servers each region's viewers are served.
    served_by: BTreeMap<RegionId, RegionId>,
    likeness: Likeness,
}

impl Facts {
    pub(crate) fn new(lineup: Lineup, policy: Policy) -> Self {
        let mut new = Self { policy, ..Self::default() };
        new.relist(lineup);
        new
    }

    /// Takes in what an agent said; false if the agent is not one of the lineup's.
    pub(crate) fn batch(&mut self, now: MonoTime, batch: &Batch) -> bool {
        let Some(agent) = self.lineup.agent_no(&batch.node) else {
            self.limits.foreign_nodes += 1;
            return false;
        };
        let witness = self.witnesses.entry(batch.node.clone()).or_default();
        if witness.epoch.is_some_and(|epoch| batch.epoch < epoch) {
            return true;
        }
        if witness.epoch != Some(batch.epoch) {
            witness.epoch = Some(batch.epoch);
            self.forget(agent);
        }
        let witness = self.witnesses.entry(batch.node.clone()).or_default();
        witness.last_seen = Some(now);
        for report in &batch.reports {
            note_report(now, witness, report);
        }
        let newest = newest(batch).min(now);
        let confirmed = if now.since(newest) <= PRESENT { newest } else { MonoTime::ZERO };
        for record in &batch.faults {
            self.touch(agent, &record.stream, |sight| sight.record(now, record));
        }
        let mut dropped = None;
        for slice in &batch.slices {
            self.listen(agent, slice);
            self.touch(agent, &slice.stream, |sight| {
                sight.slice(now, confirmed, slice);
                if slice.counters.receive_dropped > 0 {
                    dropped = dropped.max(Some(slice.end.min(now)));
                }
            });
        }
        if let (Some(at), Some(witness)) = (dropped, self.witnesses.get_mut(&batch.node)) {
            note_drop(witness, at);
        }
        true
    }

    /// Listens to a slice's fingerprint, if the agent is to watch the stream.
    fn listen(&mut self, agent: AgentNo, slice: &Slice) {
        let Some(no) = self.lineup.no(&slice.stream).filter(|no| self.is_watcher(agent, *no))
        else {
            return;
        };
        // A pause in speech is silence, and a cut is black, until it lasts.
        let lasts = |kind: &&FaultKind| !kind.is_differential();
        let mut wrong = slice.conditions.keys().filter(lasts).chain(slice.standing.keys());
        let well = !wrong.any(|kind| is_streams_own(*kind)) && slice.counters.receive_dropped == 0;
        self.likeness.slice(&self.lineup, agent, no, slice, well);
    }

    /// What is known of the programmes of two sources of a channel: by how much the first is later. What the lineup states of
    /// both counts, unless they are heard to carry different ones.
    pub(crate) fn programme(&self, now: MonoTime, one: &Source, other: &Source) -> Programme {
        let stated = one.offset.zip(other.offset).map(|(a, b)| Lag::between(a, b));
        match (self.heard(now, &one.stream, &other.stream), stated) {
            (Programme::Other, _) => Programme::Other,
            (_, Some(lag)) => Programme::Same(lag),
            (learnt, None) => learnt,
        }
    }

    /// What was learnt of the programmes of a stream and of a source of its channel.
    pub(crate) fn heard(&self, now: MonoTime, stream: &StreamId, source: &StreamId) -> Programme {
        match (self.lineup.no(stream), self.lineup.no(source)) {
            (Some(stream), Some(source)) => self.likeness.of(&self.lineup, stream, source, now),
            _ => Programme::Unknown,
        }
    }

    /// Whether a stream has the very coded frames of a source since a moment.
    pub(crate) fn shows(&self, stream: StreamNo, source: &StreamId, since: MonoTime) -> bool {
        let source = self.lineup.no(source);
        source.is_some_and(|it| self.likeness.is_identical(stream, it, since))
    }

    /// The deliveries of a channel that have had a source's very frames within the last seconds.
    pub(crate) fn shown_by<'a>(
        &self,
        now: MonoTime,
        channel: &'a Channel,
        source: &StreamId,
    ) -> Vec<&'a StreamId> {
        let lately = |it: &&StreamId| {
            self.lineup.no(it).is_some_and(|no| {
                let since = now - self.lineup.delay(no) - SHOWN_LATELY;
                self.shows(no, source, since)
            })
        };
        channel.deliveries.iter().map(|it| &it.stream).filter(lately).collect()
    }

    /// Changes what an agent says of a stream, if it is to watch it.
    fn touch(&mut self, agent: AgentNo, stream: &StreamId, change: impl FnOnce(&mut Sight)) {
        let found = self.lineup.no(stream).and_then(|no| Some((no, self.place(no, agent)?)));
        let Some((no, place)) = found else {
            self.limits.foreign_streams += 1;
            return;
        };
        let sight = self.sights[place].get_or_insert_default();
        change(sight);
        let was_faulty = self.glances[place].is_faulty;
        self.glances[place] = Glance::of(sight);
        if was_faulty != self.glances[place].is_faulty {
            self.note_faulty(no);
        }
        self.note_calm(no);
    }

    /// Where what an agent sees of a stream is kept; `None` if it does not watch it.
    fn place(&self, stream: StreamNo, agent: AgentNo) -> Option<usize> {
        self.lineup.watchers(stream).find(|(_, it)| *it == agent).map(|(place, _)| place)
    }

    fn note_faulty(&mut self, stream: StreamNo) {
        if self.lineup.watchers(stream).any(|(place, _)| self.glances[place].is_faulty) {
            self.faulty.insert(stream);
        } else {
            self.faulty.remove(&stream);
        }
    }

    fn note_calm(&mut self, stream: StreamNo) {
        let glances = self.lineup.watchers(stream).map(|(place, _)| &self.glances[place]);
        let calm = Calm::of(self.lineup.region_of(stream), glances);
        self.well_from[stream.index()] = if calm.holds { calm.last } else { MonoTime::ZERO };
        self.calm[stream.index()] = calm;
    }

    /// Forgets all that an agent said.
    fn forget(&mut self, agent: AgentNo) {
        for no in self.lineup.numbers() {
            if let Some(place) = self.place(no, agent) {
                self.sights[place] = None;
                self.glances[place] = Glance::default();
                self.note_calm(no);
            }
        }
        let faulty: Vec<StreamNo> = self.faulty.iter().copied().collect();
        faulty.into_iter().for_each(|no| self.note_faulty(no));
    }

    /// Streams on which some agent has a standing fault.
    pub(crate) fn faulty(&self) -> impl Iterator<Item = StreamNo> {
        self.faulty.iter().copied()
    }

    /// Whether nothing is wrong that anybody says: no fault stands, and no host has lost packets lately.
    pub(crate) fn is_quiet(&self, now: MonoTime) -> bool {
        self.faulty.is_empty() && !self.witnesses.keys().any(|node| self.drops(node, now))
    }

    /// Whether an agent is to watch a stream.
    pub(crate) fn is_watcher(&self, agent: AgentNo, stream: StreamNo) -> bool {
        self.place(stream, agent).is_some()
    }

    /// Whether the lineup has this agent watch this stream.
    pub(crate) fn watches(&self, node: &NodeId, stream: &StreamId) -> bool {
        let found = self.lineup.agent_no(node).zip(self.lineup.no(stream));
        found.is_some_and(|(agent, stream)| self.is_watcher(agent, stream))
    }

    /// Takes in what the panel said. Answers the channels that it says are on another source than it said before, if it had
    /// said any.
    pub(crate) fn panel(&mut self, now: MonoTime, state: PanelState) -> Vec<ChannelId> {
        let mut changed = Vec::new();
        self.panel_at = Some(now);
        let lineup = &self.lineup;
        self.panel_channels.fill_with(|| None);
        for panel in state.channels {
            if let Some(at) = lineup.channel_no(&panel.channel) {
                self.panel_channels[at] = Some(panel);
            }
        }
        for (panel, feeds) in self.panel_channels.iter().zip(&mut self.feeds) {
            let Some(panel) = panel else { continue };
            let Some(active) = &panel.active else { continue };
            if feeds.back().is_some_and(|(_, last)| last == active) {
                continue;
            }
            changed.push(panel.channel.clone());
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
        self.restartable = state
            .encoders
            .into_iter()
            .filter(|it| it.can_restart && lineup.encoder(&it.encoder).is_some())
            .map(|it| it.encoder)
            .collect();
        self.served_by = state
            .regions
            .into_iter()
            .filter(|it| lineup.region(&it.region).is_some())
            .map(|it| (it.region, it.served_by))
            .collect();
        self.find_feeding();
        changed
    }

    pub(crate) fn on_air(&mut self, channel: ChannelId, on_air: OnAir) {
        match on_air {
            OnAir::On => self.off_air.remove(&channel),
            OnAir::Off => self.off_air.insert(channel),
        };
    }

    /// Puts a new lineup in force and forgets what is gone with the old one.
    pub(crate) fn relist(&mut self, lineup: Lineup) {
        self.witnesses.retain(|node, _| lineup.agent(node).is_some());
        self.off_air.retain(|channel| lineup.channel(channel).is_some());
        self.panel_servers.retain(|server, _| lineup.server(server).is_some());
        self.restartable.retain(|encoder| lineup.encoder(encoder).is_some());
        self.served_by.retain(|region, _| lineup.region(region).is_some());
        let old = core::mem::replace(&mut self.lineup, lineup);
        self.relist_channels(&old);
        self.likeness.relist(&old, &self.lineup);
        let mut sights = core::mem::take(&mut self.sights);
        self.sights.resize_with(self.lineup.sights(), || None);
        self.glances = alloc::vec![Glance::default(); self.lineup.sights()];
        self.calm = alloc::vec![Calm::default(); self.lineup.numbers().len()];
        self.well_from = alloc::vec![MonoTime::ZERO; self.lineup.numbers().len()];
        self.faulty.clear();
        for was in old.numbers() {
            let Some(no) = self.lineup.no(old.id(was)) else { continue };
            for (from, agent) in old.watchers(was) {
                let agent = self.lineup.agent_no(&old.agent_at(agent).node);
                let Some(to) = agent.and_then(|it| self.place(no, it)) else { continue };
                self.sights[to] = sights[from].take();
                self.glances[to] = self.sights[to].as_deref().map(Glance::of).unwrap_or_default();
            }
            self.note_faulty(no);
            self.note_calm(no);
        }
        self.find_feeding();
    }

    fn relist_channels(&mut self, old: &Lineup) {
        let panel_channels = core::mem::take(&mut self.panel_channels);
        let feeds = core::mem::take(&mut self.feeds);
        let count = self.lineup.channels().count();
        self.panel_channels.resize(count, None);
        self.feeds.resize(count, VecDeque::new());
        for (channel, own) in old.channels().zip(panel_channels.into_iter().zip(feeds)) {
            if let Some(at) = self.lineup.channel_no(&channel.id) {
                (self.panel_channels[at], self.feeds[at]) = own;
            }
        }
    }

    /// Without a panel a channel is on its primary.
    fn find_feeding(&mut self) {
        let channels = self.lineup.channels_with_streams().zip(&self.panel_channels);
        let feeding = channels.map(|((channel, streams), panel)| {
            let said = panel.as_ref().and_then(|it| it.active.as_ref());
            let mut sources = channel.sources.iter().zip(&streams.sources);
            let source = match said {
                Some(active) => sources.find(|(it, _)| it.stream == *active),
                None => sources.min_by_key(|(it, _)| (it.role, it.priority)),
            };
            source.map(|(_, &no)| no)
        });
        self.feeding = feeding.collect();
    }

    pub(crate) fn is_off_air(&self, channel: &ChannelId) -> bool {
        self.off_air.contains(channel)
    }

    pub(crate) fn is_stream_off_air(&self, stream: StreamNo) -> bool {
        !self.off_air.is_empty() && self.is_off_air(&self.lineup.at(stream).channel().id)
    }

    pub(crate) fn witness(&self, node: &NodeId) -> Option<&Witness> {
        self.witnesses.get(node)
    }

    /// What each agent says about a stream.
    pub(crate) fn sights_of(&self, stream: &StreamId) -> impl Iterator<Item = (&NodeId, &Sight)> {
        self.lineup.no(stream).into_iter().flat_map(|no| self.sights_at(no))
    }

    /// What each agent says about a stream.
    pub(crate) fn sights_at(&self, stream: StreamNo) -> impl Iterator<Item = (&NodeId, &Sight)> {
        self.lineup.watchers(stream).filter_map(|(place, agent)| {
            Some((&self.lineup.agent_at(agent).node, self.sight(place)?))
        })
    }

    pub(crate) fn sight(&self, place: usize) -> Option<&Sight> {
        self.sights[place].as_deref()
    }

    pub(crate) fn glance(&self, place: usize) -> &Glance {
        &self.glances[place]
    }

    pub(crate) fn calm(&self, stream: StreamNo) -> &Calm {
        &self.calm[stream.index()]
    }

    /// When the newest slice of a stream begins, if everybody sees it well; else `ZERO`.
    pub(crate) fn well_from(&self, stream: StreamNo) -> MonoTime {
        self.well_from[stream.index()]
    }

    /// From when on a slice is of the present.
    pub(crate) fn present_from(now: MonoTime) -> MonoTime {
        now - STREAM_QUIET
    }

    /// Whether every channel is on the air.
    pub(crate) fn all_on_air(&self) -> bool {
        self.off_air.is_empty()
    }

    /// Whether an agent has been heard of lately.
    pub(crate) fn is_heard(&self, node: &NodeId, now: MonoTime) -> bool {
        let within = self.policy.guards.agent_silent_after;
        let seen = self.witness(node).and_then(|it| it.last_seen);
        seen.is_some_and(|at| now.since(at) <= within)
    }

    /// Whether what an agent says about a stream is of the present.
    pub(crate) fn is_fresh(&self, node: &NodeId, sight: &Sight, now: MonoTime) -> bool {
        self.is_heard(node, now) && sight.spoken_of().is_some_and(|at| is_young(at, now))
    }

    /// Whether an agent's own host dropped packets just before `now`.
    pub(crate) fn drops(&self, node: &NodeId, now: MonoTime) -> bool {
        let last = self.witness(node).and_then(|it| it.last_drop);
        last.is_some_and(|at| now.since(at) <= DROPS_SILENCE)
    }

    /// The source that the panel says the channel is on.
    pub(crate) fn active(&self, channel: &ChannelId) -> Option<Active> {
        let panel = self.panel_channel(channel)?;
        Some(Active { stream: panel.active.clone(), changed_by: panel.changed_by.clone() })
    }

    pub(crate) fn panel_channel(&self, channel: &ChannelId) -> Option<&PanelChannel> {
        self.panel_channels[self.lineup.channel_no(channel)?].as_ref()
    }

    /// What the panel says of each channel of which it says anything.
    pub(crate) fn panel_channels(&self) -> impl Iterator<Item = (&Channel, &PanelChannel)> {
        let all = self.lineup.channels().zip(&self.panel_channels);
        all.filter_map(|(channel, panel)| Some((channel, panel.as_ref()?)))
    }

    pub(crate) fn panel_server(&self, server: &ServerId) -> Option<&PanelServer> {
        self.panel_servers.get(server)
    }

    /// The region whose servers serve a region's viewers, if the panel says so.
    pub(crate) fn served_by(&self, region: &RegionId) -> Option<&RegionId> {
        self.served_by.get(region)
    }

    pub(crate) fn can_restart(&self, encoder: &EncoderId) -> bool {
        self.restartable.contains(encoder)
    }

    pub(crate) fn is_drained(&self, server: &ServerId) -> bool {
        self.panel_server(server).is_some_and(|it| it.state == ServerState::Drained)
    }

    /// Whether the channel is on this source as far as anybody knows: without a panel it is on the primary.
    pub(crate) fn is_active(&self, stream: &StreamId) -> bool {
        self.lineup.no(stream).is_some_and(|no| self.is_feeding(no))
    }

    /// The source that a stream's channel is on as far as anybody knows.
    pub(crate) fn feeding(&self, stream: StreamNo) -> Option<StreamNo> {
        self.feeding[self.lineup.channel_of(stream)]
    }

    /// Whether a stream is the source that its channel is on as far as anybody knows.
    pub(crate) fn is_feeding(&self, stream: StreamNo) -> bool {
        self.feeding(stream) == Some(stream)
    }

    /// When the channel was seen to be put on the source that it is on; `None` if it was never seen on another.
    pub(crate) fn on_since(&self, channel: &ChannelId) -> Option<MonoTime> {
        let since = self.fed_since(self.lineup.channel_no(channel)?);
        (since > MonoTime::ZERO).then_some(since)
    }

    /// The same by the channel's place among all; `ZERO` if it was never seen on another.
    pub(crate) fn fed_since(&self, channel: usize) -> MonoTime {
        self.feeds[channel].back().map_or(MonoTime::ZERO, |it| it.0)
    }

    /// Whether the channel is on this source or was at any time since a moment.
    pub(crate) fn was_active(&self, stream: &StreamId, since: MonoTime) -> bool {
        if self.is_active(stream) {
            return true;
        }
        let Some(no) = self.lineup.no(stream) else { return false };
        let feeds = &self.feeds[self.lineup.channel_of(no)];
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
        self.lineup.regions_of(channel).cloned().unwrap_or_default()
    }
}

/// Whether what was said of a stream up to a moment is of the present.
pub(crate) fn is_young(at: MonoTime, now: MonoTime) -> bool {
    now.since(at) <= STREAM_QUIET
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
