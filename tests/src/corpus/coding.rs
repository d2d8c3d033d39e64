//! Formats and codecs of clips.

/// Pictures per second, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(pub(super) u32, pub(super) u32);

impl Rate {
    pub(super) const R25: Self = Self(25, 1);
    pub(super) const R50: Self = Self(50, 1);
    pub(super) const R29_97: Self = Self(30_000, 1_001);
    pub(super) const R59_94: Self = Self(60_000, 1_001);

    /// How long one picture is shown.
    pub(super) fn picture_seconds(self) -> f64 {
        f64::from(self.1) / f64::from(self.0)
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// How a picture is sampled in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    Progressive,
    /// Two fields, the upper one first, half a picture apart.
    Interlaced,
    /// The same, the lower one first.
    LowerFirst,
}

/// The format of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) rate: Rate,
    pub(super) scan: Scan,
}

impl Format {
    pub(super) const fn progressive(width: u32, height: u32, rate: Rate) -> Self {
        Self { width, height, rate, scan: Scan::Progressive }
    }

    /// 576i at 25 pictures.
    pub(super) const PAL: Self =
        Self { width: 720, height: 576, rate: Rate::R25, scan: Scan::Interlaced };

    /// Small, so that a clip is made and judged fast.
    pub(super) const SMALL: Self = Self::progressive(640, 360, Rate::R25);
}

/// How a picture is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Video {
    /// Variable rate, groups of 2 s with B pictures.
    H264,
    /// Constant rate, kept by filler.
    H264Filler,
    /// Groups of 10 s, which no cut ends.
    H264Long,
    /// No key pictures: intra blocks wander over the picture.
    H264Refresh,
    /// Groups of 1 s, open.
    Hevc,
    /// The same with 10 bits.
    Hevc10,
    /// Groups of 12, as broadcast has it.
    Mpeg2,
}

impl Video {
    /// ffmpeg's arguments.
    pub(super) fn arguments(self, format: Format) -> String {
        let Format { width, height, rate, scan } = format;
        // 0.16 bits a pixel of 25 pictures, which is what such encoders need for a decent picture.
        let rate_kbps = width * height * (rate.0 / rate.1).min(50) / 6_000;
        let rate = rate_kbps.clamp(500, 12_000);
        let vbv = format!("-b:v {rate}k -maxrate {}k -bufsize {rate}k", rate * 3 / 2);
        let (fields, ilme) = match scan {
            Scan::Progressive => ("", ""),
            Scan::Interlaced => (":tff=1", "-flags +ilme+ildct -top 1"),
            Scan::LowerFirst => (":bff=1", "-flags +ilme+ildct -top 0"),
        };
        let h264 = |keyint: u32, more: &str| {
            format!(
                "-c:v libx264 -preset veryfast -pix_fmt yuv420p -bf 2 {vbv} \
                 -x264-params keyint={keyint}:min-keyint=5:threads=1{more}{fields} {ilme}"
            )
        };
        let hevc = |format: &str| {
            format!(
                "-c:v libx265 -preset ultrafast -pix_fmt {format} {vbv} -x265-params \
                 keyint=25:open-gop=1:bframes=3:log-level=error:pools=none:frame-threads=1"
            )
        };
        match self {
            Self::H264 => h264(50, ""),
            Self::H264Filler => {
                let cbr =
                    format!("-b:v {rate}k -minrate {rate}k -maxrate {rate}k -bufsize {rate}k");
                h264(50, ":nal-hrd=cbr:filler=1") + &format!(" {cbr} -muxrate {}k", rate + 400)
            }
            Self::H264Long => h264(250, ":scenecut=0"),
            Self::H264Refresh => h264(50, ":intra-refresh=1:bframes=0"),
            Self::Hevc => hevc("yuv420p"),
            Self::Hevc10 => hevc("yuv420p10le"),
            Self::Mpeg2 => {
                let rate = rate * 2;
                format!(
                    "-c:v mpeg2video -pix_fmt yuv420p -g 12 -bf 2 -b:v {rate}k -maxrate {}k \
                     -bufsize 1835k {ilme}",
                    rate * 5 / 4
                )
            }
        }
    }

    /// What it is called in names of clips.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H264Filler => "h264-filler",
            Self::H264Long => "h264-long",
            Self::H264Refresh => "h264-refresh",
            Self::Hevc => "hevc",
            Self::Hevc10 => "hevc10",
            Self::Mpeg2 => "mpeg2",
        }
    }
}

/// How sound is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    Aac,
    /// AAC in LATM frames.
    Latm,
    Mp2,
    Ac3,
    Eac3,
}

impl Sound {
    /// ffmpeg's arguments.
    pub(super) const fn arguments(self) -> &'static str {
        match self {
            Self::Aac => "-c:a aac -b:a 128k",
            Self::Latm => "-c:a aac -b:a 128k -mpegts_flags +latm",
            Self::Mp2 => "-c:a mp2 -b:a 192k",
            Self::Ac3 => "-c:a ac3 -b:a 192k",
            Self::Eac3 => "-c:a eac3 -b:a 192k",
        }
    }

    /// What it is called in names of clips.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Latm => "latm",
            Self::Mp2 => "mp2",
            Self::Ac3 => "ac3",
            Self::Eac3 => "eac3",
        }
    }
}
