//! A platform with a head-end and one or two regions, whose agents say each second what they see and whose panel obeys.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tallylight_decide::{
    ChangedBy, Decider, Input, Mode, Outcome, Output, PanelChannel, PanelEncoder, PanelRegion,
    PanelServer, PanelState, Policy, Scope, ServerState,
    action::{ActionKind, Command, Feed, Reason, Target},
    incident::Incident,
    journal::{Record, Remembered},
    lineup::{
        Agent, Channel, Delivery, Lineup, Parts, Provider, Region, Server, Source, SourceRole,
    },
};
use tallylight_model::{
    Batch, ChannelId, CodedFrame, Counters, Epoch, FaultKind, Fingerprint, MonoTime, NodeId,
    NodeReport, Observed, ProviderId, Ratio, RegionId, Resource, ServerId, Severity, Slice,
    StreamId, WallTime,
};

const SECOND: Duration = Duration::from_secs(1);

/// When a stage begins, in seconds: journals are older.
const START: u64 = 100_000;

/// After so many seconds backups are known to be ready.
pub(crate) const WARM: u64 = 75;

/// What a stream shows, from when to when.
struct Fault {
    stream: String,
    /// The only agent that sees it, where it comes from that one's own path.
    by: Option<&'static str>,
    kind: FaultKind,
    begin: u64,
    end: u64,
}

pub(crate) struct Stage {
    pub(crate) decider: Decider,
    pub(crate) policy: Policy,
    pub(crate) lineup: Lineup,
    pub(crate) second: u64,
    faults: Vec<Fault>,
    /// Streams of which nobody says anything.
    pub(crate) unseen: BTreeSet<String>,
    /// Streams that show a fifth of each second without data, which nobody has declared.
    pub(crate) flicker: BTreeSet<&'static str>,
    /// What the panel answers to these kinds of action, instead of doing them.
    pub(crate) refuses: BTreeMap<ActionKind, Outcome>,
    /// How many of the next commands do not get as far as the panel.
    pub(crate) held_back: usize,
    /// Servers and encoders that the panel can restart.
    pub(crate) restartable: BTreeSet<&'static str>,
    /// Sessions on servers.
    pub(crate) sessions: BTreeMap<ServerId, u64>,
    active: BTreeMap<ChannelId, (StreamId, ChangedBy)>,
    pub(crate) drained: BTreeMap<ServerId, bool>,
    /// What servers have of their viewers, if the panel knows shares.
    pub(crate) shares: BTreeMap<ServerId, u8>,
    pub(crate) knows_shares: bool,
    /// How far each node says that it is used.
    pub(crate) saturation: f64,
    /// Whose viewers are elsewhere, and whether the panel says so.
    pub(crate) tells_regions: bool,
    moved: BTreeMap<RegionId, RegionId>,
    pub(crate) sent: Vec<(u64, Command)>,
    pub(crate) journal: BTreeMap<String, (MonoTime, Record)>,
    epoch: u64,
    /// An agent that sees nothing wrong with anything.
    pub(crate) deaf: Option<&'static str>,
    /// What sources sound like: which programme, and how many tenths of a second late. Deliveries sound like what feeds them.
    pub(crate) sounds: BTreeMap<&'static str, (u64, u64)>,
    /// Streams whose faults are informational: cues announced a break on them.
    pub(crate) announced: BTreeSet<&'static str>,
    /// Whether each second has a fifth of silence, as speech has.
    pub(crate) pauses: bool,
    /// A delivery that goes on with a source whatever the panel says.
    pub(crate) stuck: Option<(&'static str, &'static str)>,
}

/// The moment of a second of the stage.
pub(crate) fn at(second: u64) -> MonoTime {
    MonoTime::from_nanos((START + second) * 1_000_000_000)
}

pub(crate) fn channel(name: &str) -> ChannelId {
    ChannelId::new(name).unwrap()
}

pub(crate) fn server(name: &str) -> ServerId {
    ServerId::new(name).unwrap()
}

/// Channels `c0`, `c1`, ... on servers `s0`, `s1`, ... of the region `home`.
pub(crate) fn platform(channels: usize, servers: usize) -> Parts {
    let (headend, home) = (RegionId::new("headend").unwrap(), RegionId::new("home").unwrap());
    let agent = |name: &str, region: &RegionId| Agent {
        node: NodeId::new(name).unwrap(),
        region: region.clone(),
        path: name.to_owned(),
    };
    let source = |channel: &str, name: &str, role, provider| Source {
        format: None,
        stream: StreamId::parse(&format!("{channel}/{name}")).unwrap(),
        role,
        priority: 1,
        provider: Some(ProviderId::new(provider).unwrap()),
        region: headend.clone(),
        offset: Some(Duration::ZERO),
    };
    let made = |name: String| Channel {
        encoder: None,
        fail_back: None,
        id: channel(&name),
        kind: Default::default(),
        profile: Default::default(),
        encryption: Default::default(),
        audio: Vec::new(),
        single_witness: Default::default(),
        programme_match: Default::default(),
        sources: vec![
            source(&name, "primary", SourceRole::Primary, "sat-a"),
            source(&name, "backup", SourceRole::Backup, "sat-b"),
        ],
        deliveries: (0..servers)
            .map(|it| Delivery {
                stream: StreamId::parse(&format!("{name}/s{it}")).unwrap(),
                server: server(&format!("s{it}")),
                delay: Duration::ZERO,
            })
            .collect(),
        name,
    };
    Parts {
        encoders: Vec::new(),
        regions: [&headend, &home].map(|it| Region { id: it.clone() }).into(),
        servers: (0..servers)
            .map(|it| Server { id: server(&format!("s{it}")), region: home.clone(), node: None })
            .collect(),
        providers: ["sat-a", "sat-b"]
            .map(|it| Provider { id: ProviderId::new(it).unwrap() })
            .into(),
        agents: vec![agent("head", &headend), agent("a", &home), agent("b", &home)],
        channels: (0..channels).map(|it| made(format!("c{it}"))).collect(),
    }
}

impl Stage {
    pub(crate) fn new(parts: Parts, mode: Mode) -> Self {
        let lineup = Lineup::new(parts).unwrap();
        let mut policy = Policy::default();
        policy.modes.insert(Scope::Global, mode);
        let active =
            |it: &Channel| (it.id.clone(), (it.sources[0].stream.clone(), ChangedBy::Operator));
        let mut stage = Self {
            decider: Decider::new(lineup.clone(), policy.clone(), Epoch(1)),
            policy,
            second: 0,
            faults: Vec::new(),
            unseen: BTreeSet::new(),
            flicker: BTreeSet::new(),
            refuses: BTreeMap::new(),
            held_back: 0,
            restartable: BTreeSet::new(),
            sessions: BTreeMap::new(),
            active: lineup.channels().map(active).collect(),
            lineup,
            drained: BTreeMap::new(),
            shares: BTreeMap::new(),
            knows_shares: false,
            saturation: 0.1,
            tells_regions: false,
            moved: BTreeMap::new(),
            sent: Vec::new(),
            journal: BTreeMap::new(),
            epoch: 1,
            deaf: None,
            sounds: BTreeMap::new(),
            announced: BTreeSet::new(),
            stuck: None,
            pauses: false,
        };
        stage.run(WARM);
        stage
    }

    /// A stream shows something from now on for so long.
    pub(crate) fn breaks(&mut self, stream: &str, kind: FaultKind, seconds: u64) {
        self.show(stream, None, kind, seconds);
    }

    /// One agent alone sees something of a stream from now on for so long.
    pub(crate) fn breaks_for(
        &mut self,
        by: &'static str,
        stream: &str,
        kind: FaultKind,
        seconds: u64,
    ) {
        self.show(stream, Some(by), kind, seconds);
    }

    fn show(&mut self, stream: &str, by: Option<&'static str>, kind: FaultKind, seconds: u64) {
        let (stream, begin) = (stream.to_owned(), self.second);
        self.faults.push(Fault { stream, by, kind, begin, end: begin + seconds });
    }

    /// All of these streams do.
    pub(crate) fn all_break(
        &mut self,
        streams: impl IntoIterator<Item = String>,
        kind: FaultKind,
        seconds: u64,
    ) {
        streams.into_iter().for_each(|it| self.breaks(&it, kind, seconds));
    }

    /// Somebody puts a channel on a source.
    pub(crate) fn switch(&mut self, stream: &str, by: ChangedBy) {
        let stream = StreamId::parse(stream).unwrap();
        self.active.insert(channel(stream.channel()), (stream, by));
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.decider.handle(at(self.second), input);
        self.carry_out();
    }

    /// Lets so many seconds pass.
    pub(crate) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second += 1;
            self.tell(Input::Panel(self.panel()));
            let nodes: Vec<NodeId> = self.lineup.agents().map(|it| it.node.clone()).collect();
            for node in nodes {
                self.tell(Input::Batch(self.batch(node)));
            }
        }
    }

    /// The collector is started anew with nothing but its journal.
    pub(crate) fn restart(&mut self) {
        let now = at(self.second);
        let records = self.journal.values().map(|(written, record)| Remembered {
            record: record.clone(),
            age: now.since(*written),
        });
        self.epoch += 1;
        let (lineup, policy) = (self.lineup.clone(), self.policy.clone());
        let (decider, unread) =
            Decider::restore(lineup, policy, Epoch(self.epoch), now, records.collect::<Vec<_>>());
        assert!(unread.is_empty(), "{unread:?}");
        self.decider = decider;
        self.carry_out();
    }

    /// What a stream shows an agent of itself, or of what feeds it.
    fn shows(&self, node: &NodeId, stream: &StreamId) -> Vec<FaultKind> {
        let now = self.second - 1;
        let feed = &self.active[&channel(stream.channel())].0;
        let is_delivery = stream.name().starts_with('s');
        let is_shown = |it: &&Fault| {
            let is_fed = is_delivery && it.by.is_none() && it.stream == feed.as_str();
            (it.begin..it.end).contains(&now)
                && it.by.is_none_or(|by| by == node.as_str())
                && (it.stream == stream.as_str() || is_fed)
        };
        let is_deaf = self.deaf == Some(node.as_str());
        self.faults.iter().filter(|it| !is_deaf && is_shown(it)).map(|it| it.kind).collect()
    }

    /// What a stream sounded like in the second before the last.
    fn sound(&self, stream: &StreamId) -> Fingerprint {
        let feed = match self.stuck {
            Some((delivery, source)) if delivery == stream.as_str() => source,
            _ if stream.name().starts_with('s') => {
                self.active[&channel(stream.channel())].0.as_str()
            }
            _ => stream.as_str(),
        };
        let Some((programme, late)) = self.sounds.get(feed) else { return Fingerprint::default() };
        let dice = |n: u64| {
            let mixed = (n ^ (programme << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ (mixed >> 32)).wrapping_mul(0xd134_2543_de82_ef95) >> 33
        };
        let first = (START + self.second - 2) * 10 - late;
        let level = |n: u64| u8::try_from(100 + dice(n) % 60).unwrap();
        let sound = (first..first + 10).map(level).collect();
        // Two encoders give no frame in common.
        let encoder = u64::from(feed.ends_with("backup")) << 39;
        let frame = |after: u64| CodedFrame {
            hash: dice((first + after) | encoder) as u32,
            after: Duration::from_millis(after * 100),
        };
        Fingerprint { sound, coded: [2, 7].map(frame).into() }
    }

    fn batch(&self, node: NodeId) -> Batch {
        let region = &self.lineup.agent(&node).unwrap().region;
        let is_seen = |it: &StreamId| !self.unseen.contains(it.as_str());
        let own = self.lineup.streams().filter(|(_, it)| it.region() == region);
        let slices = own.filter(|(stream, _)| is_seen(stream)).map(|(stream, _)| {
            let faults = self.shows(&node, stream);
            let flickers = self.flicker.contains(stream.as_str());
            let flicker = flickers.then_some((FaultKind::NoData, SECOND / 5));
            let announced = self.announced.contains(stream.as_str());
            let severity = if announced { Severity::Info } else { Severity::Critical };
            let pause = self.pauses.then_some((FaultKind::Silence, SECOND / 5));
            Slice {
                stream: stream.clone(),
                start: WallTime::from_unix_millis(self.second as i64 * 1000),
                end: at(self.second),
                length: SECOND,
                observed: Observed {
                    transport: SECOND,
                    picture: SECOND,
                    sound: SECOND,
                    delivery: SECOND,
                },
                conditions: faults
                    .iter()
                    .map(|&kind| (kind, SECOND))
                    .chain(flicker)
                    .chain(pause)
                    .collect(),
                standing: faults.iter().map(|&kind| (kind, severity)).collect(),
                counters: Counters::default(),
                latencies: Vec::new(),
                fingerprint: self.sound(stream),
            }
        });
        let slices = slices.collect();
        let cpu = (Resource::Cpu, Ratio::new(self.saturation));
        let saturation = BTreeMap::from([cpu]);
        let report = NodeReport { at: at(self.second), saturation, ..NodeReport::default() };
        Batch { node, epoch: Epoch(1), slices, faults: Vec::new(), reports: vec![report] }
    }

    fn panel(&self) -> PanelState {
        let channels = self.active.iter().map(|(channel, (stream, by))| PanelChannel {
            channel: channel.clone(),
            active: Some(stream.clone()),
            changed_by: by.clone(),
            sessions: BTreeMap::new(),
            egress_bytes: BTreeMap::new(),
        });
        let servers = self.lineup.servers().map(|it| {
            let drained = self.drained.get(&it.id).copied().unwrap_or(false);
            let state = if drained { ServerState::Drained } else { ServerState::Active };
            PanelServer {
                server: it.id.clone(),
                state,
                sessions: self.sessions.get(&it.id).copied().unwrap_or_default(),
                share: self.knows_shares.then(|| {
                    let full = if drained { 0 } else { 100 };
                    self.shares.get(&it.id).copied().unwrap_or(full)
                }),
                can_restart: self.restartable.contains(it.id.as_str()),
            }
        });
        let encoders = self.lineup.encoders().map(|it| PanelEncoder {
            encoder: it.id.clone(),
            can_restart: self.restartable.contains(it.id.as_str()),
        });
        PanelState {
            version: self.second,
            channels: channels.collect(),
            servers: servers.collect(),
            encoders: encoders.collect(),
            regions: self
                .lineup
                .listed_regions()
                .filter(|_| self.tells_regions)
                .map(|it| PanelRegion {
                    region: it.clone(),
                    served_by: self.moved.get(it).unwrap_or(it).clone(),
                })
                .collect(),
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.decider.poll() {
            match output {
                Output::Journal(record) => {
                    self.journal.insert(record.key.clone(), (at(self.second), record));
                }
                Output::Act(command) => {
                    let action = command.action;
                    let refused = self.refuses.get(&command.kind).cloned();
                    let outcome = match self.decider.still_allowed(action, at(self.second)) {
                        Ok(()) if self.held_back > 0 => {
                            self.held_back -= 1;
                            Outcome::NotSent(Reason::PanelCircuitOpen)
                        }
                        Ok(()) => refused.unwrap_or(Outcome::Done),
                        Err(reason) => Outcome::NotSent(reason),
                    };
                    if outcome == Outcome::Done {
                        self.obey(&command);
                    }
                    if !matches!(outcome, Outcome::NotSent(_)) {
                        self.sent.push((self.second, command));
                    }
                    self.decider.handle(at(self.second), Input::Outcome { action, outcome });
                }
                _ => {}
            }
        }
    }

    fn obey(&mut self, command: &Command) {
        match (&command.target, &command.to) {
            (Target::Channel(_), Some(Feed::Source(to))) => {
                self.switch(to.as_str(), ChangedBy::Action(command.action));
            }
            (Target::Servers(ids), _) => {
                let drained = match command.kind {
                    ActionKind::DrainServer => true,
                    ActionKind::RestartService => return,
                    _ => false,
                };
                self.drained.extend(ids.iter().map(|id| (id.clone(), drained)));
                let share = command.share.unwrap_or(if drained { 0 } else { 100 });
                self.shares.extend(ids.iter().map(|id| (id.clone(), share)));
            }
            (Target::Region(left), Some(Feed::Region(to))) => {
                self.moved.insert(left.clone(), to.clone());
            }
            _ => {}
        }
    }

    pub(crate) fn kinds(&self) -> Vec<ActionKind> {
        self.sent.iter().map(|it| it.1.kind).collect()
    }

    pub(crate) fn incident(&self, subject: &str) -> &Incident {
        let found = self.decider.incidents().filter(|it| it.subject.to_string() == subject).last();
        found.unwrap_or_else(|| panic!("{subject} is not named"))
    }

    pub(crate) fn refused(&self, subject: &str) -> Vec<&'static str> {
        self.incident(subject).refusals.iter().map(|it| it.reason.name()).collect()
    }
}
