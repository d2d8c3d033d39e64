//! The coding of an elementary stream, shared by whoever cuts it into access units and whoever decodes them.

use core::fmt;

/// How an elementary stream is coded and framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// ISO/IEC 11172-2.
    Mpeg1Video,
    /// ISO/IEC 13818-2.
    Mpeg2Video,
    /// ISO/IEC 14496-10 as a byte stream (Annex B).
    H264,
    /// ISO/IEC 23008-2 as a byte stream (Annex B).
    Hevc,
    /// MPEG-1 or MPEG-2 audio, any layer (ISO/IEC 11172-3, 13818-3).
    MpegAudio,
    /// AAC in ADTS frames (ISO/IEC 13818-7, 6.2).
    AacAdts,
    /// AAC in LOAS/LATM frames (ISO/IEC 14496-3, 1.7).
    AacLatm,
    /// AC-3 (ETSI TS 102 366).
    Ac3,
    /// Enhanced AC-3 (ETSI TS 102 366, Annex E).
    Eac3,
}

/// How a picture was coded, as far as that shows without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PictureType {
    /// From itself alone.
    I,
    /// From one picture per block.
    P,
    /// From up to two pictures per block.
    B,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Mpeg1Video,
        Self::Mpeg2Video,
        Self::H264,
        Self::Hevc,
        Self::MpegAudio,
        Self::AacAdts,
        Self::AacLatm,
        Self::Ac3,
        Self::Eac3,
    ];

    /// Returns the name in output for people and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mpeg1Video => "mpeg1video",
            Self::Mpeg2Video => "mpeg2video",
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::MpegAudio => "mpeg_audio",
            Self::AacAdts => "aac",
            Self::AacLatm => "aac_latm",
            Self::Ac3 => "ac3",
            Self::Eac3 => "eac3",
        }
    }

    /// Reads what [`name`](Self::name) wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// Whether it carries pictures; else it carries sound.
    #[must_use]
    pub const fn is_video(self) -> bool {
        matches!(self, Self::Mpeg1Video | Self::Mpeg2Video | Self::H264 | Self::Hevc)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
