//! What an elementary stream carries.

use tallylight_model::Codec;

/// What a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MediaKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Subtitles, teletext, captions.
    Text,
    /// Anything else.
    Data,
}

/// How a component is coded: from the PMT's stream type and descriptors (ISO/IEC 13818-1, table 2-34; ETSI EN 300 468, annexes
/// D and G; ATSC A/53; SCTE 35).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coding {
    /// Cut into access units here.
    Cut(Codec),
    /// H.266 / VVC.
    Vvc,
    /// AV1, by registration.
    Av1,
    /// JPEG 2000 video.
    Jpeg2000,
    /// JPEG XS video.
    JpegXs,
    /// MPEG-4 part 2 video.
    Mpeg4Video,
    /// VC-1, by registration.
    Vc1,
    /// AC-4.
    Ac4,
    /// DTS.
    Dts,
    /// MPEG-H 3D audio.
    MpegH,
    /// Opus, by registration.
    Opus,
    /// SMPTE 302M linear sound, by registration.
    Smpte302m,
    /// DVB subtitles.
    DvbSubtitle,
    /// Teletext.
    Teletext,
    /// TTML subtitles.
    Ttml,
    /// ARIB captions.
    AribCaption,
    /// SCTE-35 cues.
    Scte35,
    /// Timed ID3 metadata, by registration.
    Id3,
    /// SMPTE 2038 ancillary data, by registration.
    Smpte2038,
    /// KLV metadata, by registration.
    Klv,
    /// A DVB-T2 multiplex within this one (T2-MI).
    T2mi,
    /// Sections or private data.
    Data,
    /// A stream type that is none of these.
    Unknown(u8),
}

impl Coding {
    /// What it is for.
    #[must_use]
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Cut(codec) if codec.is_video() => MediaKind::Video,
            Self::Vvc
            | Self::Av1
            | Self::Jpeg2000
            | Self::JpegXs
            | Self::Mpeg4Video
            | Self::Vc1 => MediaKind::Video,
            Self::Cut(_) | Self::Ac4 | Self::Dts | Self::MpegH | Self::Opus | Self::Smpte302m => {
                MediaKind::Audio
            }
            Self::DvbSubtitle | Self::Teletext | Self::Ttml | Self::AribCaption => MediaKind::Text,
            Self::Scte35
            | Self::Id3
            | Self::Smpte2038
            | Self::Klv
            | Self::T2mi
            | Self::Data
            | Self::Unknown(_) => MediaKind::Data,
        }
    }

    /// The codec, where access units are cut.
    #[must_use]
    pub const fn codec(self) -> Option<Codec> {
        match self {
            Self::Cut(codec) => Some(codec),
            _ => None,
        }
    }

    /// Returns the name for output: lower case, without blanks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut(codec) => codec.name(),
            Self::Vvc => "vvc",
            Self::Av1 => "av1",
            Self::Jpeg2000 => "jpeg2000",
            Self::JpegXs => "jpegxs",
            Self::Mpeg4Video => "mpeg4video",
            Self::Vc1 => "vc1",
            Self::Ac4 => "ac4",
            Self::Dts => "dts",
            Self::MpegH => "mpegh",
            Self::Opus => "opus",
            Self::Smpte302m => "smpte302m",
            Self::DvbSubtitle => "dvb_subtitle",
            Self::Teletext => "teletext",
            Self::Ttml => "ttml",
            Self::AribCaption => "arib_caption",
            Self::Scte35 => "scte35",
            Self::Id3 => "id3",
            Self::Smpte2038 => "smpte2038",
            Self::Klv => "klv",
            Self::T2mi => "t2mi",
            Self::Data => "data",
            Self::Unknown(_) => "unknown",
        }
    }
}
