//! The lineup: what there is to watch, where from, and what is expected of it.
//!
//! A [`Lineup`] exists only if every reference in it resolves, so that nothing downstream has to doubt one. The constructor
//! takes the lists as they stand in the file and answers *all* problems, each with its place, so that the reader of the file
//! can point at lines.

mod check;

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::{fmt, ops::Bound, time::Duration};

use tallylight_model::{ChannelId, NodeId, ProfileName, ProviderId, RegionId, ServerId, StreamId};

/// What kind of service a channel is: decides which conditions are faults at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChannelKind {
    /// Moving pictures with sound.
    #[default]
    Tv,
    /// Sound alone.
    Radio,
    /// A still picture with sound.
    Still,
    /// A slate or loop that repeats on purpose.
    Loop,
}

/// Whether the service is expected to be scrambled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encryption {
    /// In the clear.
    #[default]
    None,
    /// Scrambled: picture and sound stay unobserved.
    Expected,
}

/// What an audio track is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AudioRole {
    /// The main sound; its silence is a fault.
    #[default]
    Main,
    /// Audio description.
    Description,
    /// Anything else.
    Other,
}

/// The part a source plays for its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceRole {
    /// What the channel is normally on.
    Primary,
    /// What it may be switched to.
    Backup,
    /// What it is switched to only when nothing else is ready.
    LastResort,
}

/// Whether one vantage point alone may be what an action rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SingleWitness {
    /// It may not, except where the quorum rule says otherwise.
    #[default]
    Refused,
    /// It may, where the lineup has just one.
    Allowed,
}

/// Whether a backup must be known to carry the same programme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProgrammeMatch {
    /// It must: its programme offset is stated.
    #[default]
    Required,
    /// Any picture is better than none.
    NotRequired,
}

macro_rules! names {
    ($($name:ident { $($variant:ident $text:literal)* })*) => {$(
        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the word in configuration, labels and JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads what [`name`](Self::name) wrote.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.name() == name)
            }
        }
    )*};
}
pub(crate) use names;

names! {
    ChannelKind { Tv "tv" Radio "radio" Still "still" Loop "loop" }
    Encryption { None "none" Expected "expected" }
    AudioRole { Main "main" Description "description" Other "other" }
    SourceRole { Primary "primary" Backup "backup" LastResort "last_resort" }
    SingleWitness { Refused "refused" Allowed "allowed" }
    ProgrammeMatch { Required "required" NotRequired "not_required" }
}

/// A place that streams are seen from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its id.
    pub id: RegionId,
}

/// A machine or CDN that serves deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// Where its viewers are.
    pub region: RegionId,
    /// The node it runs on, whose agent says how saturated it is. `None`: the node that is named like the server, if any is.
    pub node: Option<NodeId>,
}

/// Whose network, account or CDN carries sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its id.
    pub id: ProviderId,
}

/// An agent. It watches every stream of its region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its node, and its name.
    pub node: NodeId,
    /// Where it stands.
    pub region: RegionId,
    /// Its network path. Agents on one path are one vantage point.
    pub path: String,
}

/// An expected audio track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioTrack {
    /// ISO 639-2 code, as in the PMT.
    pub language: String,
    /// What it is for.
    pub role: AudioRole,
}

/// One feed of a channel into the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `channel/name`.
    pub stream: StreamId,
    /// The part it plays.
    pub role: SourceRole,
    /// Lower is preferred.
    pub priority: u32,
    /// Whose it is.
    pub provider: Option<ProviderId>,
    /// Where it is seen: the head-end.
    pub region: RegionId,
    /// How far its programme is behind the channel's reference; `None` if nobody stated it.
    pub offset: Option<Duration>,
}

/// One place viewers get a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `channel/name`.
    pub stream: StreamId,
    /// What serves it.
    pub server: ServerId,
    /// From production at the source to being seen here, beyond segment duration.
    pub delay: Duration,
}

/// A TV or radio service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Its name for people.
    pub name: String,
    /// What it is.
    pub kind: ChannelKind,
    /// Which thresholds hold for it.
    pub profile: ProfileName,
    /// Whether it is scrambled.
    pub encryption: Encryption,
    /// Its expected sound.
    pub audio: Vec<AudioTrack>,
    /// Whether one witness is enough.
    pub single_witness: SingleWitness,
    /// Whether backups must carry the same programme.
    pub programme_match: ProgrammeMatch,
    /// At least one.
    pub sources: Vec<Source>,
    /// Where viewers get it; may be empty.
    pub deliveries: Vec<Delivery>,
}

/// The lists of a lineup as they stand in the file, not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// All regions.
    pub regions: Vec<Region>,
    /// All servers.
    pub servers: Vec<Server>,
    /// All providers.
    pub providers: Vec<Provider>,
    /// All agents.
    pub agents: Vec<Agent>,
    /// All channels.
    pub channels: Vec<Channel>,
}

/// Which entry of [`Parts`] a problem is in, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `regions[i]`.
    Region(usize),
    /// `servers[i]`.
    Server(usize),
    /// `providers[i]`.
    Provider(usize),
    /// `agents[i]`.
    Agent(usize),
    /// `channels[i]`.
    Channel(usize),
    /// `channels[channel].sources[source]`.
    Source {
        /// Index of the channel.
        channel: usize,
        /// Index of the source.
        source: usize,
    },
    /// `channels[channel].deliveries[delivery]`.
    Delivery {
        /// Index of the channel.
        channel: usize,
        /// Index of the delivery.
        delivery: usize,
    },
}

/// Which rule of a lineup is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An id stands twice.
    Duplicate(String),
    /// A region is named that is not listed.
    UnknownRegion(RegionId),
    /// A server is named that is not listed.
    UnknownServer(ServerId),
    /// A provider is named that is not listed.
    UnknownProvider(ProviderId),
    /// A node is named that no listed agent runs on.
    UnknownNode(NodeId),
    /// A channel has no source.
    NoSource,
    /// A channel has more than one primary source.
    TwoPrimaries,
    /// A stream id does not begin with its channel's id.
    ForeignStream(StreamId),
    /// A delay or offset is over [`MAX_DELAY`].
    TooLong(Duration),
    /// A list is longer than its limit.
    TooMany {
        /// Its length.
        len: usize,
        /// What is allowed.
        limit: usize,
    },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(id) => write!(f, "{id} stands twice; ids are unique"),
            Self::UnknownRegion(id) => write!(f, "{id} is not a listed region"),
            Self::UnknownServer(id) => write!(f, "{id} is not a listed server"),
            Self::UnknownProvider(id) => write!(f, "{id} is not a listed provider"),
            Self::UnknownNode(id) => write!(f, "{id} is not a listed agent's node"),
            Self::NoSource => write!(f, "the channel has no source; at least one is needed"),
            Self::TwoPrimaries => write!(f, "the channel has two primary sources; one is allowed"),
            Self::ForeignStream(id) => write!(f, "{id} does not begin with its channel's id"),
            Self::TooLong(span) => {
                write!(f, "{} s is too long; at most {} s", span.as_secs(), MAX_DELAY.as_secs())
            }
            Self::TooMany { len, limit } => write!(f, "{len} entries; at most {limit}"),
        }
    }
}

/// One broken rule and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The entry.
    pub place: Place,
    /// The key in the entry, as the file spells it.
    pub key: &'static str,
    /// The rule.
    pub rule: Rule,
}

/// The longest delay of a delivery and the longest programme offset of a source.
pub const MAX_DELAY: Duration = Duration::from_secs(300);

/// The most sources and the most deliveries of one channel.
pub const MAX_STREAMS: usize = 256;

/// What a stream is in its channel.
#[derive(Clone, Copy, Debug)]
pub enum StreamRef<'a> {
    /// A feed into the platform.
    Source(&'a Channel, &'a Source),
    /// A place viewers get it.
    Delivery(&'a Channel, &'a Delivery, &'a Server),
}

impl<'a> StreamRef<'a> {
    /// The channel it belongs to.
    #[must_use]
    pub const fn channel(self) -> &'a Channel {
        match self {
            Self::Source(channel, _) | Self::Delivery(channel, ..) => channel,
        }
    }

    /// The region it is seen from.
    #[must_use]
    pub const fn region(self) -> &'a RegionId {
        match self {
            Self::Source(_, source) => &source.region,
            Self::Delivery(.., server) => &server.region,
        }
    }

    /// From production to being seen, beyond segment duration: zero at a source.
    #[must_use]
    pub const fn delay(self) -> Duration {
        match self {
            Self::Source(..) => Duration::ZERO,
            Self::Delivery(_, delivery, _) => delivery.delay,
        }
    }
}

/// A lineup in which every reference resolves.
#[derive(Clone, Debug, Default)]
pub struct Lineup {
    regions: BTreeMap<RegionId, Region>,
    /// In the order of the file.
    listed_regions: Vec<RegionId>,
    servers: BTreeMap<ServerId, Server>,
    providers: BTreeMap<ProviderId, Provider>,
    agents: BTreeMap<NodeId, Agent>,
    channels: BTreeMap<ChannelId, Channel>,
    streams: BTreeMap<StreamId, (ChannelId, Slot)>,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Source(usize),
    Delivery(usize),
}

impl Lineup {
    /// Checks the lists and joins them.
    ///
    /// # Errors
    /// Answers every broken rule with its place, in the order of the lists.
    pub fn new(parts: Parts) -> Result<Self, Vec<Problem>> {
        let problems = check::check(&parts);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut streams = BTreeMap::new();
        for channel in &parts.channels {
            for (i, source) in channel.sources.iter().enumerate() {
                streams.insert(source.stream.clone(), (channel.id.clone(), Slot::Source(i)));
            }
            for (i, delivery) in channel.deliveries.iter().enumerate() {
                streams.insert(delivery.stream.clone(), (channel.id.clone(), Slot::Delivery(i)));
            }
        }
        Ok(Self {
            listed_regions: parts.regions.iter().map(|it| it.id.clone()).collect(),
            regions: parts.regions.into_iter().map(|it| (it.id.clone(), it)).collect(),
            servers: parts.servers.into_iter().map(|it| (it.id.clone(), it)).collect(),
            providers: parts.providers.into_iter().map(|it| (it.id.clone(), it)).collect(),
            agents: parts.agents.into_iter().map(|it| (it.node.clone(), it)).collect(),
            channels: parts.channels.into_iter().map(|it| (it.id.clone(), it)).collect(),
            streams,
        })
    }

    /// All channels, by id.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// The channels after this one, by id.
    pub fn channels_after(&self, after: Option<&ChannelId>) -> impl Iterator<Item = &Channel> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.channels.range::<ChannelId, _>((from, Bound::Unbounded)).map(|(_, channel)| channel)
    }

    /// All agents, by node.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// All servers, by id.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// All regions, by id.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.values()
    }

    /// All regions in the order in which they were listed.
    pub fn listed_regions(&self) -> impl Iterator<Item = &RegionId> {
        self.listed_regions.iter()
    }

    /// All providers, by id.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }

    /// The channel of that id.
    #[must_use]
    pub fn channel(&self, id: &ChannelId) -> Option<&Channel> {
        self.channels.get(id)
    }

    /// The agent of that node.
    #[must_use]
    pub fn agent(&self, node: &NodeId) -> Option<&Agent> {
        self.agents.get(node)
    }

    /// The region of that id.
    #[must_use]
    pub fn region(&self, id: &RegionId) -> Option<&Region> {
        self.regions.get(id)
    }

    /// The server of that id.
    #[must_use]
    pub fn server(&self, id: &ServerId) -> Option<&Server> {
        self.servers.get(id)
    }

    /// All streams, by id.
    pub fn streams(&self) -> impl Iterator<Item = (&StreamId, StreamRef<'_>)> {
        self.streams.keys().filter_map(|id| Some((id, self.stream(id)?)))
    }

    /// What the stream of that id is.
    #[must_use]
    pub fn stream(&self, id: &StreamId) -> Option<StreamRef<'_>> {
        let (channel, slot) = self.streams.get(id)?;
        let channel = self.channels.get(channel)?;
        match *slot {
            Slot::Source(i) => Some(StreamRef::Source(channel, channel.sources.get(i)?)),
            Slot::Delivery(i) => {
                let delivery = channel.deliveries.get(i)?;
                Some(StreamRef::Delivery(channel, delivery, self.servers.get(&delivery.server)?))
            }
        }
    }
}
