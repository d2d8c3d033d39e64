//! HLS playlists (RFC 8216): bytes in, a playlist and findings out.
//!
//! The reader is our own because a probe must see what players forgive: the libraries at hand drop a whole list over one
//! Latin-1 byte in a title, or take `#EXTINF:abc` for a duration. A damaged list is the normal case here, so reading never
//! fails: whatever was understood comes out, and each broken rule beside it with its line. [`Rule::breaks_playback`] tells
//! what stops real players from what is merely wrong.

use std::{collections::VecDeque, fmt, time::Duration};

use tallylight_model::{Bitrate, WallTime};

use super::fetch::looks_like_html;

mod attribute;
mod reader;

pub use reader::read;

/// Segments kept of one list, the newest: a day of 6 s segments and then some.
pub const MAX_SEGMENTS: usize = 20_000;
/// Variants and renditions kept of one list.
pub const MAX_VARIANTS: usize = 500;
/// Findings kept of one list, the first.
pub const MAX_FINDINGS: usize = 50;

/// What was understood of a playlist, and what was wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// `None` if it is no playlist at all.
    pub playlist: Option<Playlist>,
    /// In the order of the lines, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
}

impl Reading {
    /// Returns the first finding that stops players.
    #[must_use]
    pub fn broken(&self) -> Option<Finding> {
        self.findings.iter().copied().find(|finding| finding.rule.breaks_playback())
    }
}

/// Either kind of playlist.
#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    /// Lists variants of one presentation (RFC 8216, 4.3.4).
    Master(Master),
    /// Lists segments (RFC 8216, 4.3.3).
    Media(Media),
}

/// A master playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Master {
    /// In the order of the list.
    pub variants: Vec<Variant>,
    /// In the order of the list.
    pub renditions: Vec<Rendition>,
}

/// One `EXT-X-STREAM-INF` (RFC 8216, 4.3.4.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// As written, relative or not.
    pub uri: String,
    /// The peak bit rate; zero if it cannot be read.
    pub bandwidth: Bitrate,
    /// RFC 6381 codecs as written, without blanks.
    pub codecs: Option<String>,
    /// Width and height in pixels.
    pub resolution: Option<(u32, u32)>,
    /// The group of renditions that carries its sound.
    pub audio: Option<String>,
}

/// One `EXT-X-MEDIA` (RFC 8216, 4.3.4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Rendition {
    /// `AUDIO`, `VIDEO`, `SUBTITLES` or `CLOSED-CAPTIONS`.
    pub kind: String,
    /// The group it belongs to.
    pub group: String,
    /// BCP 47.
    pub language: Option<String>,
    /// As written; `None` where it is part of the variant's own stream.
    pub uri: Option<String>,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// `EXT-X-VERSION`, 1 if absent.
    pub version: u32,
    /// `EXT-X-TARGETDURATION`; where it is missing, the longest segment.
    pub target: Duration,
    /// The media sequence number of the first segment of the list.
    pub sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// Oldest first, at most [`MAX_SEGMENTS`].
    pub segments: VecDeque<MediaSegment>,
    /// `EXT-X-ENDLIST`: nothing will be added.
    pub ended: bool,
}

impl Media {
    /// Returns the media sequence number that comes after the last segment.
    #[must_use]
    pub fn edge(&self) -> u64 {
        self.segments.back().map_or(self.sequence, |segment| segment.sequence.saturating_add(1))
    }
}

/// One segment.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaSegment {
    /// As written.
    pub uri: String,
    /// Its media sequence number.
    pub sequence: u64,
    /// `EXTINF`; the target duration where it cannot be read.
    pub duration: Duration,
    /// `EXT-X-DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// `EXT-X-PROGRAM-DATE-TIME`, carried on from the segment before by its duration where it has none of its own.
    pub programme_date_time: Option<WallTime>,
    /// The method by which it is encrypted, as written (`AES-128`, `SAMPLE-AES`, ...).
    pub encryption: Option<String>,
    /// It needs an `EXT-X-MAP`: it is fragmented MP4, not a transport stream.
    pub mapped: bool,
    /// `EXT-X-GAP`: the server says that the media is absent (RFC 8216bis, 4.4.4.7).
    pub gap: bool,
    /// The part of the resource that it is.
    pub range: Option<ByteRange>,
}

/// A range of bytes within a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1; 0 for the list as a whole.
    pub line: usize,
    /// Which.
    pub rule: Rule,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.rule),
            line => write!(f, "line {line}: {}", self.rule),
        }
    }
}

/// A rule of RFC 8216 that a list breaks, or a limit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// A web page came instead (4.1).
    #[error("is a web page (HTML), not a playlist")]
    Html,
    /// The first line is not `#EXTM3U` (4.3.1.1).
    #[error("does not begin with #EXTM3U")]
    NoExtM3u,
    /// It has tags of both kinds of playlist (4.1).
    #[error("mixes the tags of a master and of a media playlist")]
    Mixed,
    /// No `EXT-X-TARGETDURATION` (4.3.3.1).
    #[error("has no EXT-X-TARGETDURATION")]
    NoTargetDuration,
    /// A duration that is not a decimal number (4.3.2.1).
    #[error("EXTINF has no readable duration")]
    Duration,
    /// A segment without `EXTINF` (4.3.2.1).
    #[error("segment without EXTINF")]
    NoDuration,
    /// An `EXTINF` behind which no segment comes (4.3.2.1).
    #[error("EXTINF without a segment")]
    NoUri,
    /// Longer than the target duration, rounded (4.3.3.1).
    #[error("segment is longer than the target duration")]
    OverTarget,
    /// `EXTINF` without its comma (4.3.2.1).
    #[error("EXTINF without a comma")]
    NoComma,
    /// A tag's value cannot be read.
    #[error("{0} has no readable value")]
    Value(&'static str),
    /// An attribute that must be there is not.
    #[error("{0} lacks {1}")]
    Attribute(&'static str, &'static str),
    /// The list must be UTF-8 (4.1).
    #[error("is not UTF-8")]
    NotUtf8,
    /// A byte order mark must not stand in front (4.1).
    #[error("begins with a byte order mark")]
    ByteOrderMark,
    /// A time without a zone (4.3.2.6).
    #[error("EXT-X-PROGRAM-DATE-TIME has no time zone")]
    NoZone,
    /// A range without offset and nothing before it to follow on (4.3.2.2).
    #[error("EXT-X-BYTERANGE has no offset and nothing to follow on")]
    RangeWithoutOffset,
    /// It lists more than we keep.
    #[error("lists more than {0} entries")]
    TooLong(usize),
}

impl Rule {
    /// Whether players in the field refuse such a list or skip what it is about.
    #[must_use]
    pub const fn breaks_playback(self) -> bool {
        match self {
            Self::Html
            | Self::NoExtM3u
            | Self::Mixed
            | Self::NoTargetDuration
            | Self::Duration
            | Self::NoDuration
            | Self::RangeWithoutOffset => true,
            Self::Attribute(tag, _) => matches!(tag.as_bytes(), b"EXT-X-KEY"),
            Self::NoUri
            | Self::OverTarget
            | Self::NoComma
            | Self::Value(_)
            | Self::NotUtf8
            | Self::ByteOrderMark
            | Self::NoZone
            | Self::TooLong(_) => false,
        }
    }
}

/// Tells why bytes that do not begin as a playlist are none.
fn not_a_playlist(bytes: &[u8]) -> Reading {
    let rule = if looks_like_html(bytes) { Rule::Html } else { Rule::NoExtM3u };
    Reading { playlist: None, findings: vec![Finding { line: 1, rule }] }
}

#[cfg(test)]
mod tests;
