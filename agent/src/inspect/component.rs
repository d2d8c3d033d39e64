//! What is said of one component of a service.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer};
use tallylight_model::{Codec, MonoTime, Pid};
use tallylight_ts::{Analyser, AudioRole, Component, MediaKind, Position, Text, TextKind};

use super::{CuesReport, OffsetReport, PicturesReport, RatesReport, SoundReport, kind_of, seconds};
use crate::probe::Scrutiny;

/// One component of a service.
#[derive(Debug, Serialize)]
pub struct ComponentReport {
    /// Where it is carried.
    pub pid: u16,
    /// `video`, `audio`, `text` or `data`.
    pub kind: &'static str,
    /// How it is coded.
    pub codec: &'static str,
    /// The PMT's stream type.
    pub stream_type: u8,
    /// Its language, where stated.
    pub language: Option<String>,
    /// What sound it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Picture size in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Picture size in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames in 1,000 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_rate_milli: Option<u32>,
    /// Channels of sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Samples per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate_hz: Option<u32>,
    /// PES packets seen.
    pub pes_packets: u64,
    /// Its pictures, where they are looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pictures: Option<PicturesReport>,
    /// How long before their presentation its PES packets come, by the program's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead: Option<OffsetReport>,
    /// The texts that its descriptors promise: teletext pages, subtitles, captions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<TextReport>,
    /// When something of it came first, of text and data; to 100 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seconds: Option<f64>,
    /// When CEA-608 captions were first seen in its pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cea608_first_seconds: Option<f64>,
    /// When CEA-708 captions were first seen in its pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cea708_first_seconds: Option<f64>,
    /// Since when it is scrambled, if it is so at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrambled_since_seconds: Option<f64>,
    /// Whether it came scrambled, at least at times, and could not be looked at then.
    pub scrambled: bool,
    /// Pictures or audio frames seen.
    pub units: u64,
    /// What was measured of it, if it is a sound that was decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound: Option<SoundReport>,
    /// What was counted of cues for splices, where it carries them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cues: Option<CuesReport>,
    /// Why its picture or sound says nothing about its faults, if it was to be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_checked: Option<NotChecked>,
    /// Access units in which the decoder found damage; `null` where it does not say: it was not looked at, or is HEVC.
    pub decode_errors: Option<u64>,
    /// Mean rate, in bits per second.
    pub bitrate_bps: Option<u64>,
    /// The rates of its seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<RatesReport>,
}

/// A text that a descriptor promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextReport {
    /// `teletext`, `teletext_subtitle`, `dvb_subtitle`, `cea608` or `cea708`.
    pub kind: &'static str,
    /// Its language, where stated.
    pub language: Option<String>,
    /// Whether it is for the hard of hearing.
    pub hearing_impaired: bool,
    /// The teletext page as it is written, the composition page of DVB subtitles, a CEA-708 service, or a field of line 21.
    pub number: String,
}

impl From<&Text> for TextReport {
    fn from(text: &Text) -> Self {
        let Text { kind, ref language, hearing_impaired, number } = *text;
        let number = match kind {
            TextKind::Teletext | TextKind::TeletextSubtitle => format!("{number:X}"),
            _ => number.to_string(),
        };
        Self { kind: kind.name(), language: language.clone(), hearing_impaired, number }
    }
}

/// Why picture or sound was not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotChecked {
    /// A service is judged by one picture.
    Secondary,
    /// All of it is scrambled.
    Scrambled,
    /// There is no decoder for this coding.
    NoDecoder(&'static str),
    /// The decoder does not take this variant of the coding.
    Variant(&'static str),
    /// No access unit came.
    Nothing,
    /// No access unit could be decoded whole: none was whole, or one that decoding can start at.
    NotWhole,
}

impl fmt::Display for NotChecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secondary => write!(f, "only one picture and eight sounds are"),
            Self::Scrambled => write!(f, "it is scrambled"),
            Self::NoDecoder(coding) => write!(f, "there is no decoder for {coding}"),
            Self::Variant(coding) => write!(f, "this variant of {coding} cannot be decoded"),
            Self::Nothing => write!(f, "nothing came"),
            Self::NotWhole => write!(f, "nothing of it could be decoded whole"),
        }
    }
}

impl Serialize for NotChecked {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl ComponentReport {
    /// Writes the report of a component. `scrutiny` is what the decoder made of those that were given to it.
    pub(super) fn new(
        c: &Component,
        analyser: &Analyser,
        scrutiny: Option<&BTreeMap<Pid, Scrutiny>>,
        began: Option<MonoTime>,
        rate: &impl Fn(u64) -> Option<u64>,
    ) -> Self {
        let when = |at: Option<Position>| at.and_then(|at| seconds(at, began));
        let elementary = analyser.elementary().find(|e| e.pid == c.pid);
        let captions = elementary.map(|e| e.captions).unwrap_or_default();
        let parameters = elementary.as_ref().map(|e| e.parameters).unwrap_or_default();
        let carried = analyser.pid(c.pid);
        let counters = carried.map(|report| report.counters).unwrap_or_default();
        let units = elementary.map_or(0, |e| e.units.units);
        let scrambled = counters.scrambled_packets > 0;
        let seen = scrutiny.and_then(|all| all.get(&c.pid));
        let says = c.coding.codec().is_some_and(|codec| codec != Codec::Hevc);
        Self {
            pid: c.pid.get(),
            kind: kind_of(c.coding.kind()),
            codec: c.coding.name(),
            stream_type: c.stream_type,
            language: c.language.clone(),
            role: (c.coding.kind() == MediaKind::Audio).then(|| AudioRole::name(c.role)),
            width: parameters.width,
            height: parameters.height,
            frame_rate_milli: parameters.frame_rate_milli,
            channels: parameters.channels,
            sample_rate_hz: parameters.sample_rate_hz,
            units,
            pes_packets: elementary.map_or(0, |e| e.units.pes),
            pictures: elementary
                .filter(|e| e.coding.codec().is_some_and(Codec::is_video))
                .map(|e| PicturesReport::from(e.pictures)),
            lead: elementary.and_then(|e| e.lead).map(|lead| OffsetReport::new(&lead, began)),
            texts: c.texts.iter().map(TextReport::from).collect(),
            first_seconds: when(analyser.seen_since(c.pid)),
            cea608_first_seconds: when(captions.cea608),
            cea708_first_seconds: when(captions.cea708),
            scrambled_since_seconds: when(elementary.and_then(|e| e.scrambled_since)),
            scrambled,
            sound: seen.and_then(|seen| seen.levels.as_ref()).map(SoundReport::from),
            cues: analyser.cues().find(|(pid, _)| *pid == c.pid).map(|(_, cues)| cues.into()),
            not_checked: scrutiny.and_then(|_| not_checked(c, seen, units, scrambled)),
            decode_errors: seen.filter(|s| says && s.looked_at > 0).map(|s| s.damaged),
            bitrate_bps: rate(counters.packets),
            rates: carried.and_then(|report| report.rates).map(RatesReport::from),
        }
    }
}

fn not_checked(
    c: &Component,
    seen: Option<&Scrutiny>,
    units: u64,
    scrambled: bool,
) -> Option<NotChecked> {
    if !matches!(c.coding.kind(), MediaKind::Video | MediaKind::Audio) {
        return None;
    }
    let name = c.coding.name();
    match seen {
        _ if c.coding.codec().is_none() => Some(NotChecked::NoDecoder(name)),
        None => Some(NotChecked::Secondary),
        Some(seen) if seen.looked_at > 0 => None,
        Some(seen) if seen.unsupported => Some(NotChecked::Variant(name)),
        Some(_) if scrambled => Some(NotChecked::Scrambled),
        Some(_) if units == 0 => Some(NotChecked::Nothing),
        Some(_) => Some(NotChecked::NotWhole),
    }
}
