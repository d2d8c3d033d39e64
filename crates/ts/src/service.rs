//! What the stream carries, as its tables say.

use alloc::{string::String, vec::Vec};

use tallylight_model::Pid;

use crate::{Coding, MediaKind};

/// One program (service) of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The program number: `service_id` in the lineup.
    pub program: u16,
    /// Where its PMT is; `None` never occurs after the PAT was read.
    pub pmt_pid: Option<Pid>,
    /// How often its PMT came to say something else.
    pub pmt_changes: u64,
    /// Where its clock is; `None` until its PMT was read, or if it has none.
    pub pcr_pid: Option<Pid>,
    /// Its name by the SDT.
    pub name: Option<String>,
    /// Its provider by the SDT.
    pub provider: Option<String>,
    /// Its components in the PMT's order; empty until the PMT was read.
    pub components: Vec<Component>,
}

impl Service {
    /// The main sound: the first audio component that is not a supplementary one, else the first audio component.
    #[must_use]
    pub fn main_audio(&self) -> Option<&Component> {
        let mut audio = self.components.iter().filter(|c| c.coding.kind() == MediaKind::Audio);
        let first = audio.clone().next();
        audio.find(|c| c.role == AudioRole::Main).or(first)
    }
}

/// One component of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Where it is.
    pub pid: Pid,
    /// The PMT's stream type (ISO/IEC 13818-1, table 2-34).
    pub stream_type: u8,
    /// How it is coded, by stream type and descriptors.
    pub coding: Coding,
    /// ISO 639-2 code of its language, lower case, where stated.
    pub language: Option<String>,
    /// What sound it is; `Main` for anything that is not audio or not stated.
    pub role: AudioRole,
    /// Whether pictures may stand still, by its video descriptor (ISO/IEC 13818-1, 2.6.2, 2.6.64 and 2.6.95).
    pub still: bool,
    /// The texts that its descriptors promise, 32 at most.
    pub texts: Vec<Text>,
}

/// A text that a descriptor promises: a teletext page, subtitles or captions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it is.
    pub kind: TextKind,
    /// ISO 639-2 code of its language, lower case.
    pub language: Option<String>,
    /// Whether it is for the hard of hearing.
    pub hearing_impaired: bool,
    /// Which: the teletext page as it is written (888 is 0x888), the composition page of DVB subtitles, the number of a CEA-708
    /// service, or the line 21 field of CEA-608.
    pub number: u16,
}

/// Kinds of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextKind {
    /// A teletext page that is no subtitle.
    Teletext,
    /// A teletext page with subtitles.
    TeletextSubtitle,
    /// DVB subtitles.
    DvbSubtitle,
    /// Captions of line 21.
    Cea608,
    /// Digital captions.
    Cea708,
}

impl TextKind {
    /// Returns the name for output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Teletext => "teletext",
            Self::TeletextSubtitle => "teletext_subtitle",
            Self::DvbSubtitle => "dvb_subtitle",
            Self::Cea608 => "cea608",
            Self::Cea708 => "cea708",
        }
    }
}

/// What an audio component is for (ISO 639 language descriptor's audio type, or the supplementary audio, AC-3 and Enhanced AC-3
/// descriptors of ETSI EN 300 468).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AudioRole {
    /// Main sound.
    #[default]
    Main,
    /// Audio description for the visually impaired.
    Description,
    /// For the hearing impaired.
    HearingImpaired,
    /// Clean effects, spoken subtitles or another supplement.
    Other,
}

impl AudioRole {
    /// Returns the name for output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Description => "description",
            Self::HearingImpaired => "hearing_impaired",
            Self::Other => "other",
        }
    }
}
