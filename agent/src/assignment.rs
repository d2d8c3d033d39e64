//! What the collector wants watched: the answer of `GET /api/v1/assignment`.
//!
//! The agent's own file has no streams, so that a lineup is written once. The last answer is kept on disk and used at a start
//! without a collector. An entry that this version cannot understand is left out and told; the others are watched.

use std::time::Duration;

use serde::Deserialize;
use tallylight_config::{Document, Problems, Table, stream, value};
use tallylight_model::{
    Aspect, Bitrate, ChannelId, Codec, CodingProfile, NodeId, PictureFormat, ProfileName, RegionId,
    Scan, StreamId,
};
use tallylight_ts::AudioRole;

use crate::{
    profile::{Profiles, Thresholds},
    sound::{Layout, Silence},
};

/// Streams watched of one assignment; the others are left out.
const MAX_STREAMS: usize = 2_000;
/// Sounds that are expected of one stream; the others are not missed.
const MAX_TRACKS: usize = 32;
/// The largest answer that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Joins closer together than this would be load rather than measurement.
const MIN_ZAP_INTERVAL: Duration = Duration::from_secs(5);

/// All streams of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The region that the agent watches from.
    pub region: RegionId,
    /// What 100 % of the node's network is, where the lineup says so.
    pub uplink: Option<Bitrate>,
    /// The streams, by id.
    pub streams: Vec<Watch>,
    /// Entries that were left out, and why.
    pub left_out: Vec<String>,
}

/// One stream to watch, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Its id.
    pub stream: StreamId,
    /// Where it is. May hold credentials: never shown.
    pub url: String,
    /// The interface to join a multicast group on.
    pub interface: Option<String>,
    /// The service within the multiplex; `None` for the first.
    pub service_id: Option<u16>,
    /// How much it matters that it is looked at.
    pub priority: Priority,
    /// What is expected.
    pub expectation: Expectation,
    /// How often a fresh session joins to measure the start; `None` for never.
    pub zap_interval: Option<Duration>,
}

/// What is expected of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The thresholds.
    pub profile: Thresholds,
    /// What kind of channel it is; `None` where nobody said: then its tables tell.
    pub kind: Option<ChannelKind>,
    /// Whether it may be scrambled; `None` where nobody said.
    pub encryption: Option<Encryption>,
    /// What its picture is made of, as far as stated.
    pub picture: PictureFormat,
    /// The language of the main sound, where stated.
    pub main_language: Option<String>,
    /// The sounds that its tables should list.
    pub tracks: Vec<Track>,
    /// Whether its main sound may be silent.
    pub silence: Silence,
    /// How many channels of its main sound should differ, where stated.
    pub layout: Option<Layout>,
    /// Whether it is on the air at the moment.
    pub on_air: bool,
}

impl Default for Expectation {
    fn default() -> Self {
        Self {
            profile: ProfileName::Default.into(),
            kind: None,
            encryption: None,
            picture: PictureFormat::default(),
            main_language: None,
            tracks: Vec::new(),
            silence: Silence::Fault,
            layout: None,
            on_air: true,
        }
    }
}

/// A sound that tables should list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// ISO 639-2 code of its language, lower case.
    pub language: String,
    /// What sound it is; `None` where any will do.
    pub role: Option<AudioRole>,
}

/// Which streams are looked at less before others, where there is no time for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// First.
    Low,
    /// Before those of high priority.
    #[default]
    Normal,
    /// Last.
    High,
}

impl Priority {
    /// All of them, lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// Reads the collector's word; one of a later version says nothing.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "low" => Some(Self::Low),
            "normal" => Some(Self::Normal),
            "high" => Some(Self::High),
            _ => None,
        }
    }
}

/// What kind of channel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Picture and sound.
    Tv,
    /// Sound alone.
    Radio,
    /// A picture that stands still.
    Still,
    /// A picture that repeats.
    Loop,
}

/// Whether a channel may be scrambled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// It must be in the clear.
    None,
    /// It may be scrambled.
    Expected,
}

/// Why an answer is not an assignment.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentError {
    /// It is not the JSON that was expected.
    #[error("not an assignment")]
    Json(#[source] serde_json::Error),
    /// It is of a later version.
    #[error("assignment is of version {0}, only 1 is known")]
    Version(u32),
    /// It is for another node.
    #[error("assignment is for node {0:?}")]
    Node(String),
    /// Its region is not an id.
    #[error("assignment's region {0:?} is not an id")]
    Region(String),
}

#[derive(Deserialize)]
struct RawAssignment {
    version: u32,
    node: String,
    region: String,
    #[serde(default)]
    uplink_bps: Option<u64>,
    streams: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawWatch {
    stream: String,
    #[serde(default)]
    channel: Option<String>,
    url: String,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default)]
    service_id: Option<u16>,
    #[serde(default)]
    priority: Option<String>,
    profile: String,
    channel_kind: ChannelKind,
    encryption: Encryption,
    #[serde(default)]
    picture: Option<RawPicture>,
    #[serde(default)]
    audio: Vec<RawAudio>,
    #[serde(default)]
    silence: Option<String>,
    #[serde(default)]
    sound_layout: Option<String>,
    on_air: bool,
    #[serde(default)]
    zap_interval_ms: Option<u64>,
}

#[derive(Deserialize)]
struct RawPicture {
    #[serde(default)]
    codec: Option<String>,
    #[serde(default)]
    profile: Option<String>,
    #[serde(default)]
    width: Option<u32>,
    #[serde(default)]
    height: Option<u32>,
    #[serde(default)]
    frame_rate_milli: Option<u32>,
    #[serde(default)]
    scan: Option<String>,
    #[serde(default)]
    aspect: Option<String>,
}

impl RawPicture {
    /// A word of a later version says nothing.
    fn known(&self) -> PictureFormat {
        PictureFormat {
            codec: self.codec.as_deref().and_then(Codec::from_name),
            profile: self.profile.as_deref().and_then(CodingProfile::from_name),
            width: self.width,
            height: self.height,
            frame_rate_milli: self.frame_rate_milli,
            scan: self.scan.as_deref().and_then(Scan::from_name),
            aspect: self.aspect.as_deref().and_then(Aspect::parse),
        }
    }
}

#[derive(Deserialize)]
struct RawAudio {
    language: String,
    role: String,
}

impl From<RawAudio> for Track {
    fn from(RawAudio { language, role }: RawAudio) -> Self {
        let role = match role.as_str() {
            "main" => Some(AudioRole::Main),
            "description" => Some(AudioRole::Description),
            _ => None,
        };
        Self { language, role }
    }
}

impl Expectation {
    /// Reads what is expected of a single stream, in the lineup's words; the profile is not among them.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let document = Document::parse(file, text)?;
        let mut root = document.root();
        let kind = root.optional("kind", value::word(&KINDS));
        let tracks: Vec<Track> =
            root.tables("audio").into_iter().take(MAX_TRACKS).filter_map(track).collect();
        let silence = root.optional("silence", value::word(&SILENCES)).unwrap_or_default();
        let layout = root.optional("sound_layout", value::word(&LAYOUTS));
        let picture = root.table("picture").map(stream::picture).unwrap_or_default();
        root.finish();
        let main_language = main_language(&tracks);
        let base = Self::default();
        document.finish(Some(Self {
            kind,
            tracks,
            main_language,
            silence,
            layout,
            picture,
            ..base
        }))
    }
}

const KINDS: [(&str, ChannelKind); 4] = [
    ("tv", ChannelKind::Tv),
    ("radio", ChannelKind::Radio),
    ("still", ChannelKind::Still),
    ("loop", ChannelKind::Loop),
];
const SILENCES: [(&str, Silence); 2] = [("fault", Silence::Fault), ("expected", Silence::Expected)];
const LAYOUTS: [(&str, Layout); 2] = [("mono", Layout::Mono), ("stereo", Layout::Stereo)];
const ROLES: [(&str, Option<AudioRole>); 3] = [
    ("main", Some(AudioRole::Main)),
    ("description", Some(AudioRole::Description)),
    ("other", None),
];

fn track(mut table: Table<'_>) -> Option<Track> {
    let language = table.required("language", value::parsed(stream::language));
    let role = table.optional("role", value::word(&ROLES)).unwrap_or(Some(AudioRole::Main));
    table.finish();
    Some(Track { language: language?, role })
}

fn main_language(tracks: &[Track]) -> Option<String> {
    let main = tracks.iter().find(|track| track.role == Some(AudioRole::Main));
    main.map(|track| track.language.clone())
}

impl Assignment {
    /// Reads the collector's answer, or what was kept of it.
    ///
    /// # Errors
    /// It is not an assignment of this version for this node.
    pub fn parse(json: &[u8], node: &NodeId, profiles: &Profiles) -> Result<Self, AssignmentError> {
        let raw: RawAssignment = serde_json::from_slice(json).map_err(AssignmentError::Json)?;
        if raw.version != 1 {
            return Err(AssignmentError::Version(raw.version));
        }
        if raw.node != node.as_str() {
            return Err(AssignmentError::Node(raw.node));
        }
        let region = RegionId::new(&raw.region).map_err(|_| AssignmentError::Region(raw.region))?;
        let (mut streams, mut left_out) = (Vec::<Watch>::new(), Vec::new());
        if let Some(over) = raw.streams.len().checked_sub(MAX_STREAMS).filter(|over| *over > 0) {
            left_out.push(format!("{over} streams: at most {MAX_STREAMS} are watched"));
        }
        for (at, entry) in raw.streams.into_iter().take(MAX_STREAMS).enumerate() {
            match Watch::read(entry, profiles) {
                Ok(watch) if streams.iter().any(|other| other.stream == watch.stream) => {
                    left_out.push(format!("stream {at}: {} stands twice", watch.stream));
                }
                Ok(watch) => streams.push(watch),
                Err(why) => left_out.push(format!("stream {at}: {why}")),
            }
        }
        streams.sort_by(|a, b| a.stream.cmp(&b.stream));
        let uplink = raw.uplink_bps.filter(|&bps| bps > 0).map(Bitrate::from_bps);
        Ok(Self { region, uplink, streams, left_out })
    }
}

impl Watch {
    fn read(entry: serde_json::Value, profiles: &Profiles) -> Result<Self, String> {
        // The text of a JSON error repeats a value only for enums and types, never the URL's.
        let raw: RawWatch = serde_json::from_value(entry).map_err(|error| error.to_string())?;
        let stream = StreamId::parse(&raw.stream).map_err(|error| error.to_string())?;
        if let Some(channel) = raw.channel {
            ChannelId::new(&channel).map_err(|error| error.to_string())?;
        }
        let profile =
            profiles.find(&raw.profile).map_err(|unknown| format!("{stream}: {unknown}"))?;
        let tracks: Vec<Track> = raw.audio.into_iter().take(MAX_TRACKS).map(Track::from).collect();
        let silent = raw.silence.as_deref() == Some("expected");
        let silence = if silent { Silence::Expected } else { Silence::Fault };
        let zap = raw.zap_interval_ms.filter(|&ms| ms > 0).map(Duration::from_millis);
        Ok(Self {
            stream,
            url: raw.url,
            interface: raw.interface,
            service_id: raw.service_id,
            priority: raw.priority.as_deref().and_then(Priority::from_name).unwrap_or_default(),
            expectation: Expectation {
                profile,
                kind: Some(raw.channel_kind),
                encryption: Some(raw.encryption),
                main_language: main_language(&tracks),
                tracks,
                silence,
                layout: raw.sound_layout.as_deref().and_then(Layout::from_name),
                picture: raw.picture.map(|picture| picture.known()).unwrap_or_default(),
                on_air: raw.on_air,
            },
            zap_interval: zap.map(|interval| interval.max(MIN_ZAP_INTERVAL)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"stream":"one/primary","channel":"one","kind":"source","url":"udp://239.1.1.1:5000",
        "interface":"lo","service_id":1,"picture":{"codec":"hevc","profile":"main_10","width":3840,"scan":"sideways","aspect":"16:9"},"profile":"sensitive","channel_kind":"tv","encryption":"none",
        "audio":[{"language":"deu","role":"description"},{"language":"eng","role":"main"}],"on_air":true,"zap_interval_ms":1000}"#;

    fn profiles() -> Profiles {
        Profiles::parse("agent.toml", "[profiles.sport]\nbased_on = 'broadcast'\n").unwrap()
    }

    fn parse(streams: &str) -> Result<Assignment, AssignmentError> {
        let json = format!(r#"{{"version":1,"node":"n1","region":"north","streams":[{streams}]}}"#);
        Assignment::parse(json.as_bytes(), &NodeId::new("n1").unwrap(), &profiles())
    }

    #[test]
    fn an_assignment_is_read_as_the_collector_writes_it() {
        let assignment = parse(ONE).unwrap();
        assert!(assignment.left_out.is_empty());
        let watch = &assignment.streams[0];
        let (codec, aspect) = (Some(Codec::Hevc), Aspect::parse("16:9"));
        let profile = Some(CodingProfile::Main10);
        let width = Some(3840);
        let expected = PictureFormat { codec, profile, width, aspect, ..Default::default() };
        assert_eq!(watch.expectation.picture, expected);
        assert_eq!(watch.expectation.main_language.as_deref(), Some("eng"));
        assert_eq!(watch.expectation.profile, ProfileName::Sensitive.into());
        let tracks = watch.expectation.tracks.iter().map(|it| (it.language.as_str(), it.role));
        let (main, description) = (AudioRole::Main, AudioRole::Description);
        assert!(tracks.eq([("deu", Some(description)), ("eng", Some(main))]));
        assert_eq!((watch.expectation.silence, watch.expectation.layout), (Silence::Fault, None));
        let said = ONE
            .replace("\"on_air\"", "\"silence\":\"expected\",\"sound_layout\":\"mono\",\"on_air\"");
        let said = &parse(&said).unwrap().streams[0].expectation;
        assert_eq!((said.silence, said.layout), (Silence::Expected, Some(Layout::Mono)));
        for (said, expected) in [
            ("", Priority::Normal),
            ("\"priority\":null,", Priority::Normal),
            ("\"priority\":\"utmost\",", Priority::Normal),
            ("\"priority\":\"low\",", Priority::Low),
            ("\"priority\":\"high\",", Priority::High),
        ] {
            let said = ONE.replace("\"profile\"", &format!("{said}\"profile\""));
            assert_eq!(parse(&said).unwrap().streams[0].priority, expected);
        }
        let own = parse(&ONE.replace("sensitive", "sport")).unwrap();
        assert_eq!(own.streams[0].expectation.profile, profiles().find("sport").unwrap());
        assert_eq!(watch.zap_interval, Some(MIN_ZAP_INTERVAL));
    }

    #[test]
    fn what_is_expected_of_one_stream_is_read_in_the_words_of_the_lineup() {
        let text = "kind = 'still'\nsilence = 'expected'\nsound_layout = 'stereo'\n\
                    audio = [{ language = 'eng', role = 'description' }, { language = 'deu' }]\n\
                    picture = { codec = 'h264', frame_rate = '29.97' }\n";
        let expected = Expectation::parse("one.toml", text).unwrap();
        assert_eq!(expected.kind, Some(ChannelKind::Still));
        let sound = (expected.silence, expected.layout, expected.main_language.as_deref());
        assert_eq!(sound, (Silence::Expected, Some(Layout::Stereo), Some("deu")));
        assert_eq!(expected.tracks[0].role, Some(AudioRole::Description));
        assert_eq!(expected.picture.frame_rate_milli, Some(29_970));
        assert_eq!(Expectation::parse("none.toml", "").unwrap(), Expectation::default());
        let wrong = "kind = 'film'\naudio = [{ language = 'english' }]\nurl = 'x'\n";
        let problems = Expectation::parse("one.toml", wrong).unwrap_err().to_string();
        for said in ["one.toml:1:", "\"film\"", "one.toml:2:", "ISO 639-2", "one.toml:3:", "url"] {
            assert!(problems.contains(said), "{said} in {problems}");
        }
    }

    #[test]
    fn the_uplink_is_what_the_lineup_says_or_unknown() {
        for (said, expected) in [
            ("", None),
            (r#""uplink_bps":null,"#, None),
            (r#""uplink_bps":0,"#, None),
            (r#""uplink_bps":10000000000,"#, Some(Bitrate::from_bps(10_000_000_000))),
        ] {
            let json =
                format!(r#"{{"version":1,"node":"n1","region":"north",{said}"streams":[]}}"#);
            let node = NodeId::new("n1").unwrap();
            assert_eq!(
                Assignment::parse(json.as_bytes(), &node, &profiles()).unwrap().uplink,
                expected
            );
        }
    }

    #[test]
    fn an_entry_that_is_not_understood_costs_only_itself() {
        let odd = ONE.replace("\"tv\"", "\"hologram\"").replace("one/primary", "one/backup");
        let unknown = parse(&ONE.replace("sensitive", "spotr")).unwrap();
        assert!(unknown.left_out[0].contains("allowed are default"), "{:?}", unknown.left_out);
        let assignment = parse(&format!("{ONE},{odd},{ONE}")).unwrap();
        assert_eq!(assignment.streams.len(), 1);
        assert!(assignment.left_out[0].contains("hologram"), "{:?}", assignment.left_out);
        assert!(assignment.left_out[1].contains("twice"));
    }

    #[test]
    fn more_streams_than_one_agent_watches_are_left_out_and_told() {
        let stream = |n| ONE.replace("one/primary", &format!("one/{n}"));
        let streams: Vec<_> = (0..MAX_STREAMS + 3).map(stream).collect();
        let assignment = parse(&streams.join(",")).unwrap();
        assert_eq!(assignment.left_out, ["3 streams: at most 2000 are watched"]);
        assert_eq!(assignment.streams.len(), MAX_STREAMS);
    }

    #[test]
    fn what_is_not_for_this_agent_is_refused_whole() {
        let node = NodeId::new("n1").unwrap();
        let parse = |json: &str| {
            Assignment::parse(json.as_bytes(), &node, &profiles()).unwrap_err().to_string()
        };
        assert_eq!(parse("<html>"), "not an assignment");
        assert_eq!(
            parse(r#"{"version":2,"node":"n1","region":"r","streams":[]}"#),
            "assignment is of version 2, only 1 is known"
        );
        assert_eq!(
            parse(r#"{"version":1,"node":"n2","region":"r","streams":[]}"#),
            "assignment is for node \"n2\""
        );
    }
}
