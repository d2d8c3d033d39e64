//! The platform whose agents speak: 4 regions of 8 servers and a head-end, two agents each, and what is wrong on it.

use std::{collections::BTreeMap, time::Duration};

use tallylight_decide::{
    ChangedBy, PanelChannel, PanelServer, PanelState, ServerState,
    action::Command,
    lineup::{
        Agent, Channel, Delivery, Lineup, Parts, Provider, Region, Server, Source, SourceRole,
    },
};
use tallylight_model::{
    Batch, ChannelId, Counters, Epoch, FaultKind, FaultPhase, FaultRecord, MonoTime, NodeId,
    NodeReport, Observed, ProviderId, RegionId, ServerId, Severity, Slice, StreamId, WallTime,
};

pub(super) const REGIONS: usize = 4;
const SERVERS: usize = 8;
const PROVIDERS: usize = 10;
/// Deliveries of a channel, in turn from the least to the most.
const DELIVERIES: [usize; 2] = [4, 8];
/// Slices that an agent sends at a time.
const PIECE: usize = 500;
const DELAY: Duration = Duration::from_millis(500);
/// From the onset of a fault until it is declared.
const HOLD: Duration = Duration::from_secs(1);
const SECOND: Duration = Duration::from_secs(1);
const KIND: FaultKind = FaultKind::NoData;

/// Two agents see each stream.
const WITNESSES: [char; 2] = ['a', 'b'];

/// Something that is wrong with a stream.
#[derive(Clone, Copy)]
struct Trouble {
    since: MonoTime,
    until: Option<MonoTime>,
    told: Told,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Begin,
    End,
}

/// What of a channel stops.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The source that it is on.
    Source,
    /// What makes its deliveries.
    Processing,
    /// A source that it is not on.
    Backup,
}

/// What the agents of one region watch.
struct Watch {
    nodes: Vec<NodeId>,
    streams: Vec<StreamId>,
}

pub(super) struct Platform {
    pub(super) channels: Vec<Channel>,
    watches: Vec<Watch>,
    troubles: BTreeMap<StreamId, Trouble>,
    active: Vec<PanelChannel>,
    servers: Vec<PanelServer>,
    version: u64,
    seq: u64,
}

impl Platform {
    pub(super) fn new(channels: usize) -> anyhow::Result<(Self, Lineup)> {
        let parts = parts(channels)?;
        let lineup = Lineup::new(parts.clone())
            .map_err(|problems| anyhow::anyhow!("the lineup has problems: {problems:?}"))?;
        let watches = parts.regions.iter().map(|region| Watch {
            nodes: parts
                .agents
                .iter()
                .filter(|it| it.region == region.id)
                .map(|it| it.node.clone())
                .collect(),
            streams: lineup
                .streams()
                .filter(|(_, it)| *it.region() == region.id)
                .map(|(id, _)| id.clone())
                .collect(),
        });
        let active = parts.channels.iter().map(|it| PanelChannel {
            channel: it.id.clone(),
            active: it.sources.first().map(|it| it.stream.clone()),
            changed_by: ChangedBy::Operator,
            sessions: BTreeMap::new(),
            egress_bytes: BTreeMap::new(),
        });
        let servers = parts.servers.iter().map(|it| PanelServer {
            server: it.id.clone(),
            state: ServerState::Active,
            sessions: 100,
            share: None,
            can_restart: false,
        });
        let platform = Self {
            active: active.collect(),
            servers: servers.collect(),
            watches: watches.collect(),
            channels: parts.channels,
            troubles: BTreeMap::new(),
            version: 1,
            seq: 0,
        };
        Ok((platform, lineup))
    }

    /// Observations that all agents together make in a second.
    pub(super) fn slices_per_second(&self) -> usize {
        self.watches.iter().map(|it| it.nodes.len() * it.streams.len()).sum()
    }

    /// Which piece of which agent comes when within a second: all evenly, the agents in turn.
    pub(super) fn pieces(&self) -> Vec<(Duration, Piece)> {
        let mut pieces = Vec::new();
        for (region, watch) in self.watches.iter().enumerate() {
            let count = watch.streams.len().div_ceil(PIECE).max(1);
            for agent in 0..watch.nodes.len() {
                for number in 0..count {
                    let at = SECOND * u32::try_from(number).unwrap_or(0)
                        / u32::try_from(count).unwrap_or(1);
                    pieces.push((at, Piece { region, agent, first: number * PIECE }));
                }
            }
        }
        pieces.sort_by_key(|(at, piece)| (*at, piece.agent, piece.region));
        pieces
    }

    /// What an agent says at a moment about some of its streams.
    pub(super) fn slices(&self, piece: &Piece, now: MonoTime) -> Batch {
        let watch = &self.watches[piece.region];
        let streams = watch.streams.iter().skip(piece.first).take(PIECE);
        let slices = streams.map(|stream| self.slice(stream, now)).collect();
        let report = NodeReport { at: now, ..NodeReport::default() };
        let reports = if piece.first == 0 { vec![report] } else { Vec::new() };
        let node = watch.nodes[piece.agent].clone();
        Batch { node, epoch: Epoch(1), slices, faults: Vec::new(), reports }
    }

    fn slice(&self, stream: &StreamId, end: MonoTime) -> Slice {
        let start = end - SECOND;
        let trouble = self.troubles.get(stream);
        let bad = trouble.map_or(Duration::ZERO, |it| {
            it.until.unwrap_or(end).min(end).since(it.since.max(start)).min(SECOND)
        });
        let stands = trouble.is_some_and(|it| it.told == Told::Begin);
        let seen = SECOND - bad;
        let observed = Observed { transport: seen, picture: seen, sound: seen, delivery: SECOND };
        Slice {
            stream: stream.clone(),
            start: WallTime::from_unix_millis((start.as_nanos() / 1_000_000) as i64),
            end,
            length: SECOND,
            observed,
            conditions: (!bad.is_zero()).then_some((KIND, bad)).into_iter().collect(),
            standing: stands.then_some((KIND, Severity::Critical)).into_iter().collect(),
            counters: Counters { bytes: 850_000, packets: 4_521, ..Counters::default() },
            latencies: Vec::new(),
            fingerprint: Default::default(),
        }
    }

    /// Something of a channel stops, and what it feeds with it.
    pub(super) fn break_channel(&mut self, channel: usize, broken: Broken, now: MonoTime) {
        let channel = &self.channels[channel];
        let source = match broken {
            Broken::Source => channel.sources.first(),
            Broken::Processing => None,
            Broken::Backup => channel.sources.last(),
        };
        let fed = channel.deliveries.iter().filter(|_| broken != Broken::Backup);
        let fed = fed.map(|it| (&it.stream, it.delay));
        for (stream, delay) in source.map(|it| (&it.stream, Duration::ZERO)).into_iter().chain(fed)
        {
            let trouble = Trouble { since: now + delay, until: None, told: Told::Nothing };
            self.troubles.entry(stream.clone()).or_insert(trouble);
        }
    }

    /// A server stops.
    pub(super) fn break_server(&mut self, now: MonoTime) {
        let Some(dead) = self.servers.first().map(|it| &it.server) else { return };
        for delivery in self.channels.iter().flat_map(|it| &it.deliveries) {
            if delivery.server == *dead {
                let trouble = Trouble { since: now, until: None, told: Told::Nothing };
                self.troubles.entry(delivery.stream.clone()).or_insert(trouble);
            }
        }
    }

    /// A channel's faults end where they are.
    pub(super) fn mend(&mut self, channel: usize, now: MonoTime) {
        for (stream, trouble) in &mut self.troubles {
            if stream.channel() == self.channels[channel].id.as_str() {
                trouble.until.get_or_insert(now);
            }
        }
    }

    /// Faults that are declared or over by now, as each agent that sees them says.
    pub(super) fn records(&mut self, now: MonoTime) -> Vec<Batch> {
        let mut batches = Vec::new();
        for watch in &self.watches {
            let mut faults = Vec::new();
            for (stream, trouble) in &mut self.troubles {
                let declared = trouble.since + HOLD;
                let phase = match (trouble.told, trouble.until) {
                    (Told::Nothing, None) if declared <= now => FaultPhase::Begin,
                    (Told::Begin, Some(at)) => FaultPhase::End(at),
                    _ => continue,
                };
                if watch.streams.binary_search(stream).is_err() {
                    continue;
                }
                trouble.told = if phase == FaultPhase::Begin { Told::Begin } else { Told::End };
                self.seq += 1;
                faults.push(FaultRecord {
                    seq: self.seq,
                    stream: stream.clone(),
                    kind: KIND,
                    phase,
                    severity: Severity::Critical,
                    pid: None,
                    onset: trouble.since,
                    declared,
                    evidence: "nothing for 1.0 s, limit 1 s".to_owned(),
                });
            }
            if faults.is_empty() {
                continue;
            }
            batches.extend(watch.nodes.iter().map(|node| Batch {
                node: node.clone(),
                epoch: Epoch(1),
                slices: Vec::new(),
                faults: faults.clone(),
                reports: Vec::new(),
            }));
        }
        let gone = |it: &mut Trouble| {
            it.told == Told::End && it.until.is_some_and(|at| at + SECOND * 2 < now)
        };
        self.troubles.retain(|_, it| !gone(it));
        batches
    }

    /// The panel does what it is told.
    pub(super) fn obey(&mut self, command: &Command) {
        let switched = command.target.channel().zip(command.to.as_ref());
        let Some((channel, to)) = switched else { return };
        if let Ok(at) = self.active.binary_search_by_key(&channel, |it| &it.channel) {
            self.active[at].active = to.source().cloned();
            self.active[at].changed_by = ChangedBy::Action(command.action);
            self.version += 1;
        }
    }

    pub(super) fn panel(&self) -> PanelState {
        PanelState {
            encoders: Vec::new(),
            version: self.version,
            channels: self.active.clone(),
            servers: self.servers.clone(),
            regions: Vec::new(),
        }
    }
}

/// Some streams of one agent.
pub(super) struct Piece {
    region: usize,
    agent: usize,
    first: usize,
}

fn parts(channels: usize) -> anyhow::Result<Parts> {
    let headend = RegionId::new("headend")?;
    let mut parts = Parts { regions: vec![Region { id: headend.clone() }], ..Parts::default() };
    for region in 0..REGIONS {
        let id = RegionId::new(&format!("region-{region}"))?;
        for server in 0..SERVERS {
            let server = ServerId::new(&format!("edge-{region}-{server}"))?;
            parts.servers.push(Server { id: server, region: id.clone(), node: None });
        }
        parts.regions.push(Region { id });
    }
    for region in &parts.regions {
        for witness in WITNESSES {
            let node = NodeId::new(&format!("{}-{witness}", region.id))?;
            let path = node.to_string();
            parts.agents.push(Agent { node, region: region.id.clone(), path });
        }
    }
    for provider in 0..PROVIDERS {
        parts.providers.push(Provider { id: ProviderId::new(&format!("provider-{provider}"))? });
    }
    for number in 0..channels {
        parts.channels.push(channel(number, &headend)?);
    }
    Ok(parts)
}

fn channel(number: usize, headend: &RegionId) -> anyhow::Result<Channel> {
    let id = ChannelId::new(&format!("channel-{number:05}"))?;
    let mut sources = Vec::new();
    for (priority, role) in [(0, SourceRole::Primary), (1, SourceRole::Backup)] {
        let provider = (number + priority * PROVIDERS / 2) % PROVIDERS;
        sources.push(Source {
            stream: StreamId::new(&id, role.name())?,
            role,
            priority: u32::try_from(priority)?,
            provider: Some(ProviderId::new(&format!("provider-{provider}"))?),
            region: headend.clone(),
            offset: Some(Duration::ZERO),
            format: None,
        });
    }
    let [least, most] = DELIVERIES;
    let mut deliveries = Vec::new();
    for delivery in 0..least + number % (most - least + 1) {
        let (region, server) = (delivery % REGIONS, (number + delivery / REGIONS * 3) % SERVERS);
        let server = format!("edge-{region}-{server}");
        deliveries.push(Delivery {
            stream: StreamId::new(&id, &server)?,
            server: ServerId::new(&server)?,
            delay: DELAY,
        });
    }
    Ok(Channel {
        name: id.to_string(),
        id,
        kind: Default::default(),
        profile: Default::default(),
        encryption: Default::default(),
        audio: Vec::new(),
        single_witness: Default::default(),
        programme_match: Default::default(),
        fail_back: None,
        encoder: None,
        sources,
        deliveries,
    })
}
