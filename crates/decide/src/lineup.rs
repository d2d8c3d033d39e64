//! The lineup: what there is to watch, where from, and what is expected of it.
//!
//! A [`Lineup`] exists only if every reference in it resolves, so that nothing downstream has to doubt one. The constructor
//! takes the lists as they stand in the file and answers *all* problems, each with its place, so that the reader of the file
//! can point at lines.

mod check;
mod index;
mod marks;
mod table;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::{fmt, time::Duration};

use tallylight_model::{
    ChannelId, EncoderId, NodeId, ProfileName, ProviderId, RegionId, ServerId, StreamId,
};

pub(crate) use index::{AgentNo, StreamNo, Streams};
use index::{Index, Slot, cell};
pub(crate) use marks::Marks;

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

/// Processing that several channels share: one transcoder, packager or host of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// Its id.
    pub id: EncoderId,
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
    /// What it is made of, in the words of whoever wrote the lineup: sources of one format have the same words.
    pub format: Option<String>,
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
    /// How long the first source must have been good before a channel that was switched away from it is put back by itself;
    /// `None` leaves that to people.
    pub fail_back: Option<Duration>,
    /// What makes its deliveries, where that is shared with other channels.
    pub encoder: Option<EncoderId>,
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
    /// All encoders.
    pub encoders: Vec<Encoder>,
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
    /// `encoders[i]`.
    Encoder(usize),
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
    /// An encoder is named that is not listed.
    UnknownEncoder(EncoderId),
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
            Self::UnknownEncoder(id) => write!(f, "{id} is not a listed encoder"),
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
    servers: Vec<Server>,
    providers: BTreeMap<ProviderId, Provider>,
    encoders: BTreeMap<EncoderId, Encoder>,
    agents: Vec<Agent>,
    channels: Vec<Channel>,
    index: Index,
}

impl Lineup {
    /// Checks the lists and joins them.
    ///
    /// # Errors
    /// Answers every broken rule with its place, in the order of the lists.
    pub fn new(mut parts: Parts) -> Result<Self, Vec<Problem>> {
        let problems = check::check(&parts);
        if !problems.is_empty() {
            return Err(problems);
        }
        let listed_regions = parts.regions.iter().map(|it| it.id.clone()).collect();
        let regions = parts.regions.into_iter().map(|it| (it.id.clone(), it)).collect();
        parts.servers.sort_by(|a, b| a.id.cmp(&b.id));
        parts.agents.sort_by(|a, b| a.node.cmp(&b.node));
        parts.channels.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self {
            index: Index::new(&regions, &parts.servers, &parts.agents, &parts.channels),
            listed_regions,
            regions,
            servers: parts.servers,
            providers: parts.providers.into_iter().map(|it| (it.id.clone(), it)).collect(),
            encoders: parts.encoders.into_iter().map(|it| (it.id.clone(), it)).collect(),
            agents: parts.agents,
            channels: parts.channels,
        })
    }

    /// All channels, by id.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter()
    }

    /// The channels after this one, by id.
    pub fn channels_after(&self, after: Option<&ChannelId>) -> impl Iterator<Item = &Channel> {
        let first = self.channels.partition_point(|it| after.is_some_and(|after| it.id <= *after));
        self.channels[first..].iter()
    }

    /// All agents, by node.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter()
    }

    /// All servers, by id.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter()
    }

    /// All regions, by id.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.values()
    }

    /// All regions in the order in which they were listed.
    pub fn listed_regions(&self) -> impl Iterator<Item = &RegionId> {
        self.listed_regions.iter()
    }

    /// All encoders, by id.
    pub fn encoders(&self) -> impl Iterator<Item = &Encoder> {
        self.encoders.values()
    }

    /// All providers, by id.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }

    /// The encoder of that id.
    #[must_use]
    pub fn encoder(&self, id: &EncoderId) -> Option<&Encoder> {
        self.encoders.get(id)
    }

    /// The channels whose deliveries an encoder makes, by id.
    pub fn channels_on<'a>(
        &'a self,
        encoder: &EncoderId,
    ) -> impl Iterator<Item = &'a Channel> + use<'a> {
        self.index.on_encoder(encoder).iter().map(|&at| &self.channels[at])
    }

    /// The channel of that id.
    #[must_use]
    pub fn channel(&self, id: &ChannelId) -> Option<&Channel> {
        self.channel_no(id).map(|at| &self.channels[at])
    }

    /// The agent of that node.
    #[must_use]
    pub fn agent(&self, node: &NodeId) -> Option<&Agent> {
        self.agent_no(node).map(|it| self.agent_at(it))
    }

    /// The region of that id.
    #[must_use]
    pub fn region(&self, id: &RegionId) -> Option<&Region> {
        self.regions.get(id)
    }

    /// The server of that id.
    #[must_use]
    pub fn server(&self, id: &ServerId) -> Option<&Server> {
        self.servers.binary_search_by(|it| it.id.cmp(id)).ok().map(|at| &self.servers[at])
    }

    /// All streams, by id.
    pub fn streams(&self) -> impl Iterator<Item = (&StreamId, StreamRef<'_>)> {
        self.index.all().map(|no| (self.id(no), self.at(no)))
    }

    /// What the stream of that id is.
    #[must_use]
    pub fn stream(&self, id: &StreamId) -> Option<StreamRef<'_>> {
        self.no(id).map(|no| self.at(no))
    }

    /// All streams by number.
    pub(crate) fn numbers(&self) -> impl ExactSizeIterator<Item = StreamNo> + use<> {
        self.index.all()
    }

    /// The streams after this one, by number.
    pub(crate) fn numbers_after(
        &self,
        after: Option<&StreamId>,
    ) -> impl Iterator<Item = StreamNo> + use<> {
        self.index.after(after)
    }

    /// The number of the stream of that id.
    pub(crate) fn no(&self, id: &StreamId) -> Option<StreamNo> {
        self.index.no(id)
    }

    pub(crate) fn id(&self, no: StreamNo) -> &StreamId {
        &self.index.entries[no.index()].id
    }

    pub(crate) fn at(&self, no: StreamNo) -> StreamRef<'_> {
        let entry = &self.index.entries[no.index()];
        let channel = &self.channels[entry.channel];
        match entry.slot {
            Slot::Source(at) => StreamRef::Source(channel, &channel.sources[at]),
            Slot::Delivery { at, server } => {
                StreamRef::Delivery(channel, &channel.deliveries[at], &self.servers[server])
            }
        }
    }

    /// From production to being seen, beyond segment duration: zero at a source.
    pub(crate) fn delay(&self, no: StreamNo) -> Duration {
        self.index.delays[no.index()]
    }

    /// A number for the region that a stream is seen from.
    pub(crate) fn region_of(&self, no: StreamNo) -> u32 {
        u32::try_from(self.index.entries[no.index()].region).unwrap_or(u32::MAX)
    }

    /// The place among all servers of the one that serves a delivery; `None` of a source.
    pub(crate) fn server_of(&self, no: StreamNo) -> Option<usize> {
        match self.index.entries[no.index()].slot {
            Slot::Delivery { server, .. } => Some(server),
            Slot::Source(_) => None,
        }
    }

    /// The agents of each region, by its number.
    pub(crate) fn agents_by_region(&self) -> impl Iterator<Item = &[AgentNo]> {
        self.index.watchers.iter().map(Vec::as_slice)
    }

    /// The place of a stream's channel among all channels.
    pub(crate) fn channel_of(&self, no: StreamNo) -> usize {
        self.index.entries[no.index()].channel
    }

    /// How many pairs of a channel and a region where it is delivered there are.
    pub(crate) fn cells(&self) -> usize {
        self.index.cells.len()
    }

    /// The place of a channel in a region among all such.
    pub(crate) fn cell(&self, channel: &ChannelId, region: &RegionId) -> Option<usize> {
        cell(&self.index.cells, self.channel_no(channel)?, region)
    }

    /// Where a delivery counts; `None` of a source.
    pub(crate) fn cell_of(&self, no: StreamNo) -> Option<usize> {
        self.index.entries[no.index()].cell
    }

    /// The channel and region of a place.
    pub(crate) fn cell_at(&self, cell: usize) -> (&ChannelId, &RegionId) {
        let (channel, region) = &self.index.cells[cell];
        (&self.channels[*channel].id, region)
    }

    /// The streams of a channel.
    pub(crate) fn streams_of(&self, channel: &ChannelId) -> Option<&Streams> {
        self.index.streams.get(self.channel_no(channel)?)
    }

    /// All channels, by id.
    pub(crate) fn channels_with_streams(&self) -> impl Iterator<Item = (&Channel, &Streams)> {
        self.channels.iter().zip(&self.index.streams)
    }

    /// The sources of a stream's channel, in the channel's own order.
    pub(crate) fn sources_beside(&self, stream: StreamNo) -> &[StreamNo] {
        &self.index.streams[self.channel_of(stream)].sources
    }

    /// The deliveries of a stream's channel.
    pub(crate) fn deliveries_of(&self, stream: StreamNo) -> &[StreamNo] {
        &self.index.streams[self.channel_of(stream)].deliveries
    }

    /// The same by number.
    pub(crate) fn deliveries_in_order(&self, stream: StreamNo) -> &[StreamNo] {
        &self.index.streams[self.channel_of(stream)].in_order
    }

    /// The place of a channel among all channels.
    pub(crate) fn channel_no(&self, id: &ChannelId) -> Option<usize> {
        self.index.channels.find(id.as_str(), |at| self.channels[at].id == *id)
    }

    pub(crate) fn agent_no(&self, node: &NodeId) -> Option<AgentNo> {
        self.agents.binary_search_by(|it| it.node.cmp(node)).ok().map(AgentNo::of)
    }

    pub(crate) fn agent_at(&self, no: AgentNo) -> &Agent {
        &self.agents[no.index()]
    }

    /// A number for the path of an agent.
    pub(crate) fn path_of(&self, agent: AgentNo) -> usize {
        self.index.path(agent)
    }

    /// The agents that watch a stream, with the place of what each sees among all [`sights`](Self::sights).
    pub(crate) fn watchers(&self, no: StreamNo) -> impl Iterator<Item = (usize, AgentNo)> + Clone {
        self.index.watchers(no)
    }

    /// How many pairs of a stream and an agent that watches it there are.
    pub(crate) const fn sights(&self) -> usize {
        self.index.sights()
    }

    /// Deliveries of one server, in order.
    pub(crate) fn on_server(&self, id: &ServerId) -> &[StreamNo] {
        self.index.on_server(id)
    }

    /// Deliveries in one region, in order.
    pub(crate) fn in_region(&self, id: &RegionId) -> &[StreamNo] {
        self.index.in_region(id)
    }

    /// Sources of one provider, in order.
    pub(crate) fn of_provider(&self, id: &ProviderId) -> &[StreamNo] {
        self.index.of_provider(id)
    }

    /// How many channels are delivered in a region.
    pub(crate) fn channels_in(&self, region: &RegionId) -> usize {
        self.index.channels_in.get(region).copied().unwrap_or(0)
    }

    /// The regions in which a channel has viewers.
    pub(crate) fn regions_of(&self, channel: &ChannelId) -> Option<&BTreeSet<RegionId>> {
        self.index.regions_of.get(self.channel_no(channel)?)
    }
}
