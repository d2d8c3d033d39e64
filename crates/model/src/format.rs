//! What a picture is made of: as a lineup expects it, and as a stream has it.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use crate::Codec;

/// How the lines of a picture were scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// All at one moment.
    Progressive,
    /// Every other line half a picture later.
    Interlaced,
}

impl Scan {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Progressive, Self::Interlaced];

    /// Returns the name in configuration and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Progressive => "progressive",
            Self::Interlaced => "interlaced",
        }
    }

    /// Reads what [`name`](Self::name) wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scan| scan.name() == name)
    }
}

/// Which tools of a video codec may be used: what a decoder must know. The words are those of the standards, whichever codec's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodingProfile {
    /// MPEG-2 (ISO/IEC 13818-2, 8.2).
    Simple,
    /// H.264 (ISO/IEC 14496-10, A.2).
    Baseline,
    /// H.264.
    ConstrainedBaseline,
    /// All codecs.
    Main,
    /// H.264.
    Extended,
    /// MPEG-2 and H.264.
    High,
    /// H.264: 10 bits.
    High10,
    /// H.264, and MPEG-2 of that name without "high".
    High422,
    /// H.264.
    High444,
    /// HEVC (ISO/IEC 23008-2, A.3).
    Main10,
    /// HEVC.
    MainStillPicture,
    /// HEVC: range extensions.
    RangeExtensions,
    /// MPEG-2.
    SnrScalable,
    /// MPEG-2.
    SpatiallyScalable,
}

impl CodingProfile {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Simple,
        Self::Baseline,
        Self::ConstrainedBaseline,
        Self::Main,
        Self::Extended,
        Self::High,
        Self::High10,
        Self::High422,
        Self::High444,
        Self::Main10,
        Self::MainStillPicture,
        Self::RangeExtensions,
        Self::SnrScalable,
        Self::SpatiallyScalable,
    ];

    /// Returns the name in configuration and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Baseline => "baseline",
            Self::ConstrainedBaseline => "constrained_baseline",
            Self::Main => "main",
            Self::Extended => "extended",
            Self::High => "high",
            Self::High10 => "high_10",
            Self::High422 => "high_422",
            Self::High444 => "high_444",
            Self::Main10 => "main_10",
            Self::MainStillPicture => "main_still_picture",
            Self::RangeExtensions => "range_extensions",
            Self::SnrScalable => "snr_scalable",
            Self::SpatiallyScalable => "spatially_scalable",
        }
    }

    /// Reads what [`name`](Self::name) wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }
}

/// The shape of the whole picture as it is shown: width to height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aspect {
    width: u32,
    height: u32,
}

impl Aspect {
    /// Returns a shape; `None` if a side is nothing, or one is over 10,000 times the other.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Option<Self> {
        let sane = width > 0 && height > 0 && width / 10_000 <= height && height / 10_000 <= width;
        if sane { Some(Self { width, height }) } else { None }
    }

    /// Reads `16:9`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.split_once(':')?;
        Self::new(width.parse().ok()?, height.parse().ok()?)
    }

    /// Whether two shapes are the same within 3 %: standard definition is 720 samples wide, of which some take 704 for the
    /// whole width.
    #[must_use]
    pub fn is_like(self, other: Self) -> bool {
        let across = u64::from(self.width) * u64::from(other.height);
        let down = u64::from(other.width) * u64::from(self.height);
        across.abs_diff(down) * 100 <= across.max(down) * 3
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.width, self.height)
    }
}

/// What a picture is made of, as far as it is stated or known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureFormat {
    /// How it is coded.
    pub codec: Option<Codec>,
    /// With which of the codec's tools.
    pub profile: Option<CodingProfile>,
    /// Luma samples in a row.
    pub width: Option<u32>,
    /// Rows of a frame.
    pub height: Option<u32>,
    /// Frames per 1,000 seconds.
    pub frame_rate_milli: Option<u32>,
    /// How it was scanned.
    pub scan: Option<Scan>,
    /// Its shape.
    pub aspect: Option<Aspect>,
}

impl PictureFormat {
    /// Says what a picture has otherwise than this format states; `None` if it has nothing.
    #[must_use]
    pub fn difference(&self, seen: &Self) -> Option<String> {
        let mut all = Vec::new();
        let mut tell = |what: &str, stated: String, seen: String| {
            all.push(format!("{what} {seen} instead of {stated}"));
        };
        if let Some((stated, seen)) = both(self.codec, seen.codec).filter(|(a, b)| a != b) {
            tell("codec", format!("{stated}"), format!("{seen}"));
        }
        if let Some((stated, seen)) = both(self.profile, seen.profile).filter(|(a, b)| a != b) {
            tell("profile", stated.name().into(), seen.name().into());
        }
        for (what, stated, seen) in
            [("width", self.width, seen.width), ("height", self.height, seen.height)]
        {
            if let Some((stated, seen)) = both(stated, seen).filter(|(a, b)| a != b) {
                tell(what, format!("{stated}"), format!("{seen}"));
            }
        }
        let rates = both(self.frame_rate_milli, seen.frame_rate_milli);
        if let Some((stated, seen)) = rates.filter(|(a, b)| !same_rate(*a, *b)) {
            let shown = |milli: u32| format!("{}.{:03}", milli / 1000, milli % 1000);
            tell("frame rate", shown(stated), shown(seen));
        }
        if let Some((stated, seen)) = both(self.scan, seen.scan).filter(|(a, b)| a != b) {
            tell("scan", stated.name().into(), seen.name().into());
        }
        if let Some((stated, seen)) = both(self.aspect, seen.aspect).filter(|(a, b)| !a.is_like(*b))
        {
            tell("aspect", format!("{stated}"), format!("{seen}"));
        }
        (!all.is_empty()).then(|| all.join(", "))
    }
}

fn both<T>(stated: Option<T>, seen: Option<T>) -> Option<(T, T)> {
    stated.zip(seen)
}

/// Within a two-thousandth: 29.97 and 30 are a thousandth apart. What is coded in fields may come twice as often.
fn same_rate(stated: u32, seen: u32) -> bool {
    [stated, stated.saturating_mul(2)].into_iter().any(|rate| rate.abs_diff(seen) <= rate / 2_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_stated_and_known_differs() {
        let stated = PictureFormat {
            codec: Some(Codec::H264),
            profile: Some(CodingProfile::High),
            width: Some(1920),
            frame_rate_milli: Some(25_000),
            scan: Some(Scan::Interlaced),
            aspect: Aspect::parse("16:9"),
            ..PictureFormat::default()
        };
        let difference = |seen: PictureFormat| stated.difference(&seen).unwrap_or_default();
        assert_eq!(difference(PictureFormat::default()), "");
        assert_eq!(difference(PictureFormat { height: Some(7), ..stated }), "");
        for (seen, told) in [
            (PictureFormat { codec: Some(Codec::Hevc), ..stated }, "codec hevc instead of h264"),
            (
                PictureFormat { profile: Some(CodingProfile::Main), ..stated },
                "profile main instead of high",
            ),
            (PictureFormat { width: Some(1280), ..stated }, "width 1280 instead of 1920"),
            (
                PictureFormat { frame_rate_milli: Some(23_976), ..stated },
                "frame rate 23.976 instead of 25.000",
            ),
            (
                PictureFormat {
                    scan: Some(Scan::Progressive),
                    aspect: Aspect::parse("4:3"),
                    ..stated
                },
                "scan progressive instead of interlaced, aspect 4:3 instead of 16:9",
            ),
        ] {
            assert_eq!(difference(seen), told);
        }
        // Fields count as pictures.
        assert_eq!(difference(PictureFormat { frame_rate_milli: Some(50_000), ..stated }), "");
    }

    #[test]
    fn rates_and_shapes_are_alike_as_far_as_they_are_measured() {
        assert!(same_rate(29_970, 29_969) && same_rate(50_000, 50_001));
        assert!(!same_rate(29_970, 30_000) && !same_rate(25_000, 24_975));
        let is_like = |a, b| Aspect::parse(a).unwrap().is_like(Aspect::parse(b).unwrap());
        // 720 by 576 samples of 12:11 and of 16:15.
        assert!(is_like("4:3", "8640:6336") && is_like("4:3", "4:3"));
        assert!(!is_like("4:3", "16:9") && !is_like("16:9", "185:100"));
        for wrong in ["16x9", "0:9", "16:0", "16", "", "1:70000000"] {
            assert_eq!(Aspect::parse(wrong), None, "{wrong}");
        }
    }
}
