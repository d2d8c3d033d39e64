//! Reading of `lineup.toml`. The rules between entries are `decide`'s; this puts their problems on the file's lines and
//! keeps what only agents need: addresses, interfaces, service ids, hours.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use tallylight_config::{
    Document, Place, Problems, Table,
    stream::{language, picture},
    value::{self, named},
};
use tallylight_decide::{
    OnAir,
    lineup::{
        Agent, AudioRole, AudioTrack, Channel, ChannelKind, Delivery, Encoder, Encryption, Lineup,
        Parts, Place as At, ProgrammeMatch, Provider, Region, Server, SingleWitness, Source,
        SourceRole,
    },
    maintenance::MAX_WINDOWS,
};
use tallylight_model::{
    Bitrate, ChannelId, EncoderId, NodeId, PictureFormat, ProfileName, ProviderId, RegionId,
    ServerId, StreamId, WindowId,
};
use toml_span::value::ValueInner;

use super::{Hours, Scheduled};

/// Schemes that an agent can open.
const STREAM_SCHEMES: &[&str] = &["udp", "rtp", "http", "https"];
/// Between two fresh joins of a delivery, unless stated.
const ZAP_INTERVAL: Duration = Duration::from_secs(60);
/// The longest name of a channel or path, in bytes.
const MAX_NAME: usize = 100;
/// The most audio tracks and the most spans of hours of one channel.
const MAX_ENTRIES: usize = 32;

/// The lineup with what only agents need.
#[derive(Clone, Debug, Default)]
pub struct LineupFile {
    /// What is judged by.
    pub lineup: Lineup,
    /// How to open each stream.
    pub streams: BTreeMap<StreamId, StreamExtra>,
    /// When each channel is on the air; absent means always.
    pub on_air: BTreeMap<ChannelId, Vec<Hours>>,
    /// When what is worked on.
    pub maintenance: Vec<Scheduled>,
    /// How often each channel's deliveries are joined afresh.
    pub zap_interval: BTreeMap<ChannelId, Duration>,
    /// What is expected of each channel's main sound.
    pub sound: BTreeMap<ChannelId, SoundExtra>,
    /// How much it matters that agents without time for all look at a channel: `low`, `normal` or `high`; absent where nobody says.
    pub priority: BTreeMap<ChannelId, &'static str>,
    /// The channels' own profiles, as agents have them in their files; absent where it is one of the program.
    pub profile: BTreeMap<ChannelId, String>,
    /// What 100 % of a node's network is; absent where nobody says.
    pub uplink: BTreeMap<NodeId, Bitrate>,
}

impl LineupFile {
    /// Whether the channel is meant to be there at that moment.
    #[must_use]
    pub fn on_air(&self, channel: &ChannelId, at: Timestamp) -> OnAir {
        match self.on_air.get(channel) {
            Some(hours) if !hours.iter().any(|hours| hours.contain(at)) => OnAir::Off,
            _ => OnAir::On,
        }
    }
}

/// How to open a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamExtra {
    /// Its address; may hold credentials, so it is for agents alone.
    pub url: String,
    /// The interface to receive multicast on.
    pub interface: Option<String>,
    /// The service within a multiplex.
    pub service_id: Option<u16>,
    /// What its picture is made of, as far as stated.
    pub picture: PictureFormat,
}

/// What is expected of a main sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoundExtra {
    /// Whether it may be silent: `fault` or `expected`.
    pub silence: Option<&'static str>,
    /// How many channels differ: `mono` or `stereo`.
    pub layout: Option<&'static str>,
}

/// Reads a lineup. `name` is how messages call the file.
///
/// # Errors
/// All problems at once.
pub fn parse_lineup(name: &str, text: &str) -> Result<LineupFile, Problems> {
    let document = Document::parse(name, text)?;
    let mut reader = Reader::default();
    let mut root = document.root();
    for mut table in root.tables("region") {
        let mut entry = Entry::new(&table);
        let id = entry.id(&mut table, "id", RegionId::new);
        table.finish();
        reader.parts.regions.extend(id.map(|id| Region { id }));
        reader.places.regions.push(entry);
    }
    for mut table in root.tables("server") {
        let mut entry = Entry::new(&table);
        let id = entry.id(&mut table, "id", ServerId::new);
        let region = entry.id(&mut table, "region", RegionId::new);
        let node = entry.optional(&mut table, "node", value::parsed(NodeId::new));
        table.finish();
        let server = id.zip(region).map(|(id, region)| Server { id, region, node });
        reader.parts.servers.extend(server);
        reader.places.servers.push(entry);
    }
    for mut table in root.tables("provider") {
        let mut entry = Entry::new(&table);
        let id = entry.id(&mut table, "id", ProviderId::new);
        table.finish();
        reader.parts.providers.extend(id.map(|id| Provider { id }));
        reader.places.providers.push(entry);
    }
    for mut table in root.tables("encoder") {
        let mut entry = Entry::new(&table);
        let id = entry.id(&mut table, "id", EncoderId::new);
        table.finish();
        reader.parts.encoders.extend(id.map(|id| Encoder { id }));
        reader.places.encoders.push(entry);
    }
    for table in root.tables("agent") {
        reader.agent(table);
    }
    if let Some(table) = root.table("profiles") {
        reader.profiles = table.entries(own_profile).into_iter().map(|it| it.value.1).collect();
    }
    for table in root.tables("channel") {
        reader.channel(table);
    }
    let mut names = BTreeSet::new();
    for table in root.tables("maintenance") {
        reader.maintenance(&document, table, &mut names);
    }
    root.finish();
    reader.finish(document)
}

/// The places of an entry's keys, for rules that are found broken later.
struct Entry {
    table: Place,
    keys: BTreeMap<&'static str, Place>,
}

impl Entry {
    fn new(table: &Table<'_>) -> Self {
        Self { table: table.place(), keys: BTreeMap::new() }
    }

    fn id<T, E: std::fmt::Display>(
        &mut self,
        table: &mut Table<'_>,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let placed = table.required_placed(key, value::parsed(parse))?;
        self.keys.insert(key, placed.place);
        Some(placed.value)
    }

    fn optional<T>(
        &mut self,
        table: &mut Table<'_>,
        key: &'static str,
        read: impl FnOnce(&ValueInner<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let placed = table.optional_placed(key, read)?;
        self.keys.insert(key, placed.place);
        Some(placed.value)
    }

    fn at(&self, key: &str) -> &Place {
        self.keys.get(key).unwrap_or(&self.table)
    }
}

#[derive(Default)]
struct Places {
    regions: Vec<Entry>,
    servers: Vec<Entry>,
    providers: Vec<Entry>,
    encoders: Vec<Entry>,
    agents: Vec<Entry>,
    channels: Vec<(Entry, Vec<Entry>, Vec<Entry>)>,
}

impl Places {
    fn find(&self, at: At, key: &str) -> Option<&Place> {
        let entry = match at {
            At::Region(i) => self.regions.get(i)?,
            At::Server(i) => self.servers.get(i)?,
            At::Provider(i) => self.providers.get(i)?,
            At::Encoder(i) => self.encoders.get(i)?,
            At::Agent(i) => self.agents.get(i)?,
            At::Channel(i) => &self.channels.get(i)?.0,
            At::Source { channel, source } => self.channels.get(channel)?.1.get(source)?,
            At::Delivery { channel, delivery } => self.channels.get(channel)?.2.get(delivery)?,
        };
        Some(entry.at(key))
    }
}

#[derive(Default)]
struct Reader {
    parts: Parts,
    places: Places,
    file: LineupFile,
    scheduled_at: Vec<Place>,
    /// Own profiles, with what each is based on.
    profiles: BTreeMap<String, ProfileName>,
    /// An entry could not be read, so that indexes in `parts` and `places` may differ.
    broken: bool,
}

impl Reader {
    fn agent(&mut self, mut table: Table<'_>) {
        let mut entry = Entry::new(&table);
        let node = entry.id(&mut table, "node", NodeId::new);
        let region = entry.id(&mut table, "region", RegionId::new);
        let path = table.required("path", value::parsed(short));
        let uplink = table.optional("uplink", uplink);
        table.finish();
        match (node, region, path) {
            (Some(node), Some(region), Some(path)) => {
                self.file.uplink.extend(uplink.map(|uplink| (node.clone(), uplink)));
                self.parts.agents.push(Agent { node, region, path });
            }
            _ => self.broken = true,
        }
        self.places.agents.push(entry);
    }

    fn maintenance(
        &mut self,
        document: &Document<'_>,
        table: Table<'_>,
        names: &mut BTreeSet<WindowId>,
    ) {
        let place = table.place();
        let Some(scheduled) = Scheduled::read(document, table) else {
            self.broken = true;
            return;
        };
        if !names.insert(scheduled.id.clone()) {
            document.problem(&place, format!("{} stands twice; ids are unique", scheduled.id));
        }
        if names.len() > MAX_WINDOWS {
            document.problem(&place, format!("is one too many; at most {MAX_WINDOWS} are allowed"));
        }
        self.file.maintenance.push(scheduled);
        self.scheduled_at.push(place);
    }

    fn channel(&mut self, mut table: Table<'_>) {
        let mut entry = Entry::new(&table);
        let id = entry.id(&mut table, "id", ChannelId::new);
        let encoder = entry.optional(&mut table, "encoder", value::parsed(EncoderId::new));
        let profile = table.optional("profile", |found| self.profile(found)).unwrap_or_default();
        let (base, own) = profile;
        let channel = read_channel(&mut table, id.clone(), encoder, base);
        let hours: Vec<_> = table.tables("on_air").into_iter().map(Hours::read).collect();
        let zap = table.optional("zap_interval", zap_interval).unwrap_or(ZAP_INTERVAL);
        let sound = SoundExtra {
            silence: table.optional("silence", named(&["fault", "expected"], |it| it)),
            layout: table.optional("sound_layout", named(&["mono", "stereo"], |it| it)),
        };
        let priority = table.optional("priority", named(&["low", "normal", "high"], |it| it));
        // The streams of a channel whose id is broken are read all the same, for their own problems.
        let owner = id.clone().or_else(|| ChannelId::new("unknown").ok());
        let (mut sources, mut deliveries) = (Vec::new(), Vec::new());
        let (mut source_places, mut delivery_places) = (Vec::new(), Vec::new());
        if let Some(owner) = &owner {
            for table in table.tables("source") {
                sources.push(self.source(owner, table, &mut source_places));
            }
            for table in table.tables("delivery") {
                deliveries.push(self.delivery(owner, table, &mut delivery_places));
            }
        }
        table.finish();
        let whole = sources.iter().all(Option::is_some)
            && deliveries.iter().all(Option::is_some)
            && hours.iter().all(Option::is_some);
        match (channel, id) {
            (Some(mut channel), Some(id)) if whole => {
                channel.sources = sources.into_iter().flatten().collect();
                channel.deliveries = deliveries.into_iter().flatten().collect();
                self.parts.channels.push(channel);
                self.file.zap_interval.insert(id.clone(), zap);
                self.file.sound.insert(id.clone(), sound);
                self.file.priority.extend(priority.map(|priority| (id.clone(), priority)));
                self.file.profile.extend(own.map(|own| (id.clone(), own)));
                if !hours.is_empty() {
                    self.file.on_air.insert(id, hours.into_iter().flatten().collect());
                }
            }
            _ => self.broken = true,
        }
        self.places.channels.push((entry, source_places, delivery_places));
    }

    /// A profile of the program, or one that agents have in their files with the one that it is based on.
    fn profile(&self, found: &ValueInner<'_>) -> Result<(ProfileName, Option<String>), String> {
        let text = value::text(found)?;
        if let Some(profile) = ProfileName::from_name(&text) {
            return Ok((profile, None));
        }
        let base = self.profiles.get(&text).copied().ok_or_else(|| {
            let own = self.profiles.keys().map(String::as_str);
            let names = ProfileName::ALL.map(ProfileName::name).into_iter().chain(own);
            let names: Vec<_> = names.map(|name| format!("{name:?}")).collect();
            format!("{text:?} is not known; allowed are {}", names.join(", "))
        })?;
        Ok((base, Some(text)))
    }

    fn source(
        &mut self,
        channel: &ChannelId,
        mut table: Table<'_>,
        places: &mut Vec<Entry>,
    ) -> Option<Source> {
        let mut entry = Entry::new(&table);
        let stream = entry.id(&mut table, "id", |name| StreamId::new(channel, name));
        let role = table.required("role", role);
        let priority = table.optional("priority", value::integer(0..=1000)).unwrap_or(1);
        let provider = entry.optional(&mut table, "provider", value::parsed(ProviderId::new));
        let region = entry.id(&mut table, "region", RegionId::new);
        let offset = entry.optional(&mut table, "offset", value::duration);
        let format = table.optional("format", value::parsed(short));
        let opened = self.address(stream.as_ref(), &mut table);
        table.finish();
        places.push(entry);
        opened?;
        Some(Source {
            stream: stream?,
            role: role?,
            priority: u32::try_from(priority).unwrap_or(u32::MAX),
            provider,
            region: region?,
            offset,
            format,
        })
    }

    fn delivery(
        &mut self,
        channel: &ChannelId,
        mut table: Table<'_>,
        places: &mut Vec<Entry>,
    ) -> Option<Delivery> {
        let mut entry = Entry::new(&table);
        let stream = entry.id(&mut table, "id", |name| StreamId::new(channel, name));
        let server = entry.id(&mut table, "server", ServerId::new);
        let delay = entry.optional(&mut table, "delay", value::duration).unwrap_or_default();
        let opened = self.address(stream.as_ref(), &mut table);
        table.finish();
        places.push(entry);
        opened?;
        Some(Delivery { stream: stream?, server: server?, delay })
    }

    fn address(&mut self, stream: Option<&StreamId>, table: &mut Table<'_>) -> Option<()> {
        let url = table.required("url", value::url(STREAM_SCHEMES));
        let interface = table.optional("interface", value::parsed(short));
        let service_id = table.optional("service_id", value::integer(1..=65_535));
        let picture = match table.table("picture") {
            Some(table) => picture(table),
            None => PictureFormat::default(),
        };
        let url = url?.to_string();
        let service_id = service_id.and_then(|id| u16::try_from(id).ok());
        let extra = StreamExtra { url, interface, service_id, picture };
        self.file.streams.insert(stream?.clone(), extra);
        Some(())
    }

    fn finish(self, document: Document<'_>) -> Result<LineupFile, Problems> {
        let Self { parts, places, mut file, scheduled_at, broken, .. } = self;
        if broken
            || parts.regions.len() != places.regions.len()
            || parts.servers.len() != places.servers.len()
            || parts.providers.len() != places.providers.len()
            || parts.encoders.len() != places.encoders.len()
        {
            return document.finish(None);
        }
        match Lineup::new(parts) {
            Ok(lineup) => {
                for (scheduled, place) in file.maintenance.iter().zip(&scheduled_at) {
                    if !scheduled.area.is_listed(&lineup) {
                        document.problem(place, format!("{} is not listed", scheduled.area));
                    }
                }
                file.lineup = lineup;
                document.finish(Some(file))
            }
            Err(problems) => {
                let root = document.root().place();
                for problem in problems {
                    let place = places.find(problem.place, problem.key).unwrap_or(&root);
                    document.problem(place, problem.rule.to_string());
                }
                document.finish(None)
            }
        }
    }
}

/// Names a profile of the agents, and which of the program's it is based on.
fn own_profile(name: &str, found: &ValueInner<'_>) -> Result<(String, ProfileName), String> {
    if ProfileName::from_name(name).is_some() {
        return Err("is a profile of the program; take another name".to_owned());
    }
    let base = named(&ProfileName::ALL, ProfileName::name)(found)?;
    Ok((short(name)?, base))
}

/// Everything but streams.
fn read_channel(
    table: &mut Table<'_>,
    id: Option<ChannelId>,
    encoder: Option<EncoderId>,
    profile: ProfileName,
) -> Option<Channel> {
    let name = table.optional("name", value::parsed(short));
    let kind = table.optional("kind", named(ChannelKind::ALL, ChannelKind::name));
    let encryption = table.optional("encryption", named(Encryption::ALL, Encryption::name));
    let witness = table.optional("single_witness", named(SingleWitness::ALL, SingleWitness::name));
    let fail_back = table.optional("fail_back", fail_back).flatten();
    let programme = table.optional("match", named(ProgrammeMatch::ALL, ProgrammeMatch::name));
    let audio: Vec<_> = table.tables("audio").into_iter().take(MAX_ENTRIES).map(track).collect();
    let audio: Option<Vec<_>> = audio.into_iter().collect();
    let id = id?;
    Some(Channel {
        name: name.unwrap_or_else(|| id.to_string()),
        id,
        kind: kind.unwrap_or_default(),
        profile,
        encryption: encryption.unwrap_or_default(),
        audio: audio?,
        single_witness: witness.unwrap_or_default(),
        programme_match: programme.unwrap_or_default(),
        fail_back,
        encoder,
        sources: Vec::new(),
        deliveries: Vec::new(),
    })
}

fn track(mut table: Table<'_>) -> Option<AudioTrack> {
    let language = table.required("language", value::parsed(language));
    let role = table.optional("role", named(AudioRole::ALL, AudioRole::name));
    table.finish();
    Some(AudioTrack { language: language?, role: role.unwrap_or_default() })
}

fn role(found: &ValueInner<'_>) -> Result<SourceRole, String> {
    named(SourceRole::ALL, SourceRole::name)(found)
}

/// How long a source must be good before the channel is put back on it, or that a person does it.
fn fail_back(found: &ValueInner<'_>) -> Result<Option<Duration>, String> {
    let text = value::text(found)?;
    if text == "manual" {
        return Ok(None);
    }
    let span = value::duration(found)
        .map_err(|problem| format!("{problem}; \"manual\" is allowed, too"))?;
    if (Duration::from_secs(60)..=Duration::from_secs(86_400)).contains(&span) {
        Ok(Some(span))
    } else {
        Err("is out of bounds; allowed are \"manual\" and 1m to 24h".to_owned())
    }
}

fn zap_interval(found: &ValueInner<'_>) -> Result<Duration, String> {
    let span = value::duration(found)?;
    if (Duration::from_secs(5)..=Duration::from_secs(3600)).contains(&span) {
        Ok(span)
    } else {
        Err("is out of bounds; allowed are 5s to 1h".to_owned())
    }
}

fn uplink(found: &ValueInner<'_>) -> Result<Bitrate, String> {
    match value::bitrate(found)? {
        zero if zero.bps() == 0 => {
            Err("is zero; write the speed of the line, as in \"10Gbps\"".to_owned())
        }
        uplink => Ok(uplink),
    }
}

pub(super) fn short(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
        Err(format!("1 to {MAX_NAME} bytes without control characters are allowed"))
    } else {
        Ok(text.to_owned())
    }
}
