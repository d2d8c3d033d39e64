//! The truth: which stream shows what at which moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tallylight_decide::lineup::{
    Agent, Channel, Delivery, Lineup, Parts, Region, Server, Source, SourceRole, StreamRef,
};
use tallylight_model::{
    ChannelId, FaultKind, MonoTime, NodeId, ProviderId, RegionId, ServerId, StreamId,
};

/// Kinds of condition that hold on a stream at a moment.
pub type Conditions = BTreeSet<FaultKind>;

/// How a server delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Packets as they come.
    Packets,
    /// Segments of so many whole seconds, fetched when complete.
    Segments(u64),
}

/// What can be wrong, over a span of time.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// A source shows a condition.
    Source(StreamId, FaultKind),
    /// A delivery alone shows a condition.
    Delivery(StreamId, FaultKind),
    /// A source looks good, and what is made of it is not.
    Unfit(StreamId, FaultKind),
    /// A channel's processing hangs: nothing comes out of it. Restarting it ends it.
    Hang(ChannelId),
    /// A server is dead.
    Dead(ServerId),
    /// The way to a region loses packets.
    Lossy(RegionId),
    /// An agent's own host drops packets.
    Drops(NodeId),
    /// An agent's own way to servers is cut.
    Cut(NodeId),
    /// An agent says nothing.
    Mute(NodeId),
    /// An agent decodes nothing.
    Blind(NodeId),
    /// An agent's own host is used to nine tenths.
    Busy(NodeId),
}

/// A trouble with its time.
#[derive(Clone, Debug)]
pub struct Event {
    /// From when.
    pub from: MonoTime,
    /// To when.
    pub to: MonoTime,
    /// What.
    pub what: Trouble,
}

impl Event {
    fn holds(&self, at: MonoTime) -> bool {
        self.from <= at && at < self.to
    }
}

/// The platform with everything that will go wrong with it.
#[derive(Debug)]
pub struct Platform {
    /// Its lineup.
    pub lineup: Lineup,
    /// How each server delivers.
    pub forms: BTreeMap<ServerId, Form>,
    /// What goes wrong.
    pub events: Vec<Event>,
    /// Which source each channel was put on when, oldest first.
    switched: BTreeMap<ChannelId, Vec<(MonoTime, StreamId)>>,
    /// When a channel's processing was last restarted.
    restarted: BTreeMap<ChannelId, MonoTime>,
}

/// How long a restart leaves a channel without output.
const RESTART: Duration = Duration::from_millis(800);

#[expect(clippy::expect_used, reason = "ids of the simulated world are literals")]
fn id<T, E: std::fmt::Debug>(made: Result<T, E>) -> T {
    made.expect("ids of the simulated world are legal")
}

/// Makes a stream id.
#[must_use]
pub fn stream(text: &str) -> StreamId {
    id(StreamId::parse(text))
}

/// Makes a channel id.
#[must_use]
pub fn channel(text: &str) -> ChannelId {
    id(ChannelId::new(text))
}

/// Makes a server id.
#[must_use]
pub fn server(text: &str) -> ServerId {
    id(ServerId::new(text))
}

/// Makes a node id.
#[must_use]
pub fn node(text: &str) -> NodeId {
    id(NodeId::new(text))
}

/// Makes a region id.
#[must_use]
pub fn region(text: &str) -> RegionId {
    id(RegionId::new(text))
}

/// The lineup of the demo: 4 channels with 2 sources, 2 servers in each of 2 regions, 5 agents.
#[must_use]
pub fn demo_lineup() -> Lineup {
    id(Lineup::new(demo_parts()))
}

/// The same as lists, for worlds that differ in something.
#[must_use]
pub fn demo_parts() -> Parts {
    parts(&["one", "two", "three", "four"])
}

/// The demo's platform with other channels.
#[must_use]
pub fn parts(channels: &[&str]) -> Parts {
    let servers = [("n1", "north"), ("n2", "north"), ("s1", "south"), ("s2", "south")];
    let agents = [
        ("head-1", "headend", "rack"),
        ("north-a", "north", "isp-1"),
        ("north-b", "north", "isp-2"),
        ("south-a", "south", "isp-3"),
        ("south-b", "south", "isp-4"),
    ];
    Parts {
        regions: ["headend", "north", "south"].map(|it| Region { id: region(it) }).into(),
        servers: servers
            .map(|(id, at)| Server { id: server(id), region: region(at), node: None })
            .into(),
        providers: ["sat-a", "sat-b"]
            .map(|it| tallylight_decide::lineup::Provider { id: id(ProviderId::new(it)) })
            .into(),
        agents: agents
            .map(|(name, at, path)| Agent {
                node: node(name),
                region: region(at),
                path: path.to_owned(),
            })
            .into(),
        channels: channels.iter().map(|it| demo_channel(it)).collect(),
    }
}

fn demo_channel(name: &str) -> Channel {
    let source = |id_: &str, role, priority, provider| Source {
        stream: stream(&format!("{name}/{id_}")),
        role,
        priority,
        provider: Some(id(ProviderId::new(provider))),
        region: region("headend"),
        offset: Some(Duration::ZERO),
    };
    let delivery = |at: &str, delay_ms| Delivery {
        stream: stream(&format!("{name}/{at}")),
        server: server(at),
        delay: Duration::from_millis(delay_ms),
    };
    Channel {
        id: channel(name),
        name: name.to_owned(),
        kind: Default::default(),
        profile: Default::default(),
        encryption: Default::default(),
        audio: Vec::new(),
        single_witness: Default::default(),
        programme_match: Default::default(),
        sources: vec![
            source("primary", SourceRole::Primary, 1, "sat-a"),
            source("backup", SourceRole::Backup, 2, "sat-b"),
        ],
        deliveries: vec![
            delivery("n1", 300),
            delivery("n2", 2500),
            delivery("s1", 300),
            delivery("s2", 300),
        ],
    }
}

impl Platform {
    /// Every channel starts on its first source.
    #[must_use]
    pub fn new(lineup: Lineup, events: Vec<Event>, segment: u64, start: MonoTime) -> Self {
        let first = |it: &Channel| (it.id.clone(), vec![(start, it.sources[0].stream.clone())]);
        let switched = lineup.channels().map(first).collect();
        let form = |id: &ServerId| {
            if id.as_str().ends_with('2') && id.as_str().starts_with('n') {
                Form::Segments(segment)
            } else {
                Form::Packets
            }
        };
        let forms = lineup.servers().map(|it| (it.id.clone(), form(&it.id))).collect();
        Self { lineup, forms, events, switched, restarted: BTreeMap::new() }
    }

    /// The source that a channel is on at a moment.
    #[must_use]
    pub fn active(&self, channel: &ChannelId, at: MonoTime) -> Option<&StreamId> {
        let changes = self.switched.get(channel)?;
        changes.iter().rev().find(|(since, _)| *since <= at).or(changes.first()).map(|it| &it.1)
    }

    /// Puts a channel on a source.
    pub fn switch(&mut self, at: MonoTime, channel: &ChannelId, to: StreamId) {
        if let Some(changes) = self.switched.get_mut(channel) {
            changes.push((at, to));
        }
    }

    /// Restarts a channel's processing, which ends its hang.
    pub fn restart(&mut self, at: MonoTime, channel: &ChannelId) {
        self.restarted.insert(channel.clone(), at);
        for event in &mut self.events {
            if matches!(&event.what, Trouble::Hang(it) if it == channel) && event.holds(at) {
                event.to = at;
            }
        }
    }

    fn any(&self, at: MonoTime, is: impl Fn(&Trouble) -> bool) -> bool {
        self.events.iter().any(|it| it.holds(at) && is(&it.what))
    }

    /// Whether an agent's own host drops packets.
    #[must_use]
    pub fn drops(&self, agent: &NodeId, at: MonoTime) -> bool {
        self.any(at, |it| matches!(it, Trouble::Drops(node) if node == agent))
    }

    /// Whether an agent says nothing.
    #[must_use]
    pub fn mute(&self, agent: &NodeId, at: MonoTime) -> bool {
        self.any(at, |it| matches!(it, Trouble::Mute(node) if node == agent))
    }

    /// Whether an agent decodes nothing.
    #[must_use]
    pub fn blind(&self, agent: &NodeId, at: MonoTime) -> bool {
        self.any(at, |it| matches!(it, Trouble::Blind(node) if node == agent))
    }

    /// Whether an agent's own host is used to nine tenths.
    #[must_use]
    pub fn busy(&self, agent: &NodeId, at: MonoTime) -> bool {
        self.any(at, |it| matches!(it, Trouble::Busy(node) if node == agent))
    }

    /// What a viewer at an agent's place finds wrong with a stream's media that was produced at a moment.
    #[must_use]
    pub fn shows(&self, id: &StreamId, at: MonoTime) -> Conditions {
        match self.lineup.stream(id) {
            Some(StreamRef::Source(..)) => self.source(id, at),
            Some(StreamRef::Delivery(channel, delivery, server)) => {
                // What was stated is the most; half of it is usual.
                let made = at - delivery.delay / 2;
                let restarted = self.restarted.get(&channel.id);
                let hung = |it: &Trouble| matches!(it, Trouble::Hang(id) if *id == channel.id);
                let silent = self.any(made, hung)
                    || restarted.is_some_and(|&since| since <= made && made < since + RESTART);
                let mut conditions = if silent {
                    Conditions::from([FaultKind::NoData])
                } else {
                    let active = self.active(&channel.id, made);
                    active.map_or_else(Conditions::new, |it| self.made_of(it, made))
                };
                conditions.extend(self.delivery(id, at));
                let lossy = |it: &Trouble| matches!(it, Trouble::Lossy(id) if *id == server.region);
                if !silent && self.any(at, lossy) {
                    conditions.insert(FaultKind::Continuity);
                }
                conditions
            }
            None => Conditions::new(),
        }
    }

    fn conditions(&self, at: MonoTime, of: impl Fn(&Trouble) -> Option<FaultKind>) -> Conditions {
        self.events.iter().filter(|it| it.holds(at)).filter_map(|it| of(&it.what)).collect()
    }

    fn source(&self, id: &StreamId, at: MonoTime) -> Conditions {
        self.conditions(at, |it| match it {
            Trouble::Source(source, kind) if source == id => Some(*kind),
            _ => None,
        })
    }

    /// What is seen of a source where it was made into something.
    fn made_of(&self, id: &StreamId, at: MonoTime) -> Conditions {
        let unfit = self.conditions(at, |it| match it {
            Trouble::Unfit(source, kind) if source == id => Some(*kind),
            _ => None,
        });
        &self.source(id, at) | &unfit
    }

    fn delivery(&self, id: &StreamId, at: MonoTime) -> Conditions {
        self.conditions(at, |it| match it {
            Trouble::Delivery(delivery, kind) if delivery == id => Some(*kind),
            _ => None,
        })
    }

    /// Whether an agent cannot reach a stream at all.
    #[must_use]
    pub fn unreachable(&self, agent: &NodeId, id: &StreamId, at: MonoTime) -> bool {
        let Some(StreamRef::Delivery(.., server)) = self.lineup.stream(id) else { return false };
        // Multicast does not go through the way that is cut.
        let http = server.id.as_str() != "s2";
        self.any(at, |it| match it {
            Trouble::Dead(id) => *id == server.id,
            Trouble::Cut(node) => http && node == agent,
            _ => false,
        })
    }
}
