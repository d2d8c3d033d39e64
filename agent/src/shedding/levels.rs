//! How much is shed, and of which streams.

use std::{collections::BTreeMap, time::Duration};

use tallylight_model::StreamId;

/// How much is shed of a stream; each level sheds what those before it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    #[default]
    Nothing,
    /// No thumbnails are drawn.
    Thumbnails,
    /// No pictures between key pictures are decoded.
    FullDecoding,
    /// One key picture in 4 s is decoded at most.
    FourSeconds,
    /// One in 6 s.
    SixSeconds,
}

impl Level {
    /// Those that shed anything, least first.
    pub const SHEDDING: [Self; 4] =
        [Self::Thumbnails, Self::FullDecoding, Self::FourSeconds, Self::SixSeconds];

    /// Returns the label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Thumbnails => "thumbnails",
            Self::FullDecoding => "full_decoding",
            Self::FourSeconds => "key_pictures_4s",
            Self::SixSeconds => "key_pictures_6s",
        }
    }

    pub(super) const fn more(self) -> Self {
        match self {
            Self::Nothing => Self::Thumbnails,
            Self::Thumbnails => Self::FullDecoding,
            Self::FullDecoding => Self::FourSeconds,
            Self::FourSeconds | Self::SixSeconds => Self::SixSeconds,
        }
    }

    pub(super) const fn less(self) -> Self {
        match self {
            Self::Nothing | Self::Thumbnails => Self::Nothing,
            Self::FullDecoding => Self::Thumbnails,
            Self::FourSeconds => Self::FullDecoding,
            Self::SixSeconds => Self::FourSeconds,
        }
    }

    /// The time in which one key picture is decoded at most, where that is limited.
    pub(super) const fn key_every(self) -> Option<Duration> {
        match self {
            Self::Nothing | Self::Thumbnails | Self::FullDecoding => None,
            Self::FourSeconds => Some(Duration::from_secs(4)),
            Self::SixSeconds => Some(Duration::from_secs(6)),
        }
    }

    const fn means(self) -> &'static str {
        match self {
            Self::Nothing => "everything",
            Self::Thumbnails => "no thumbnails",
            Self::FullDecoding => "no full decoding",
            Self::FourSeconds => "one key picture in 4 s",
            Self::SixSeconds => "one key picture in 6 s",
        }
    }
}

/// What is shed at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Those streams of which anything is.
    pub shed: BTreeMap<StreamId, Level>,
    /// All that are watched.
    pub streams: usize,
}

impl Levels {
    /// How much is shed of a stream.
    #[must_use]
    pub fn of(&self, stream: &StreamId) -> Level {
        self.shed.get(stream).copied().unwrap_or_default()
    }

    /// Streams of which just so much is shed.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.shed.values().filter(|shed| **shed == level).count()
    }

    /// What is shed of a stream and of how many others as well, for people.
    #[must_use]
    pub fn evidence(&self, stream: &StreamId) -> Option<String> {
        let own = self.of(stream);
        let all = self.streams;
        let what = Level::SHEDDING.into_iter().filter(|level| *level <= own).map(|level| {
            let like = self.shed.values().filter(|shed| **shed >= level).count();
            format!("{} ({like} of {all} streams)", level.means())
        });
        let what = what.reduce(|a, b| format!("{a}, {b}"))?;
        Some(format!("this agent's decoders are late: {what}"))
    }
}
