//! Transport streams as a head-end sends them: moving, noisy pictures at a constant rate, with sound.
//!
//! Forty seconds are encoded, more than the longest loop that is a fault, in which the hue goes round once: the patterns alone come again
//! after twelve. Left and right are different noise. ffmpeg repeats them without encoding again and writes clocks and counters through,
//! so that nothing shows where they join. It is as long as the longest measurement, so it needs no loop at playing.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, ensure};

use crate::bench::ffmpeg::make;

const SECONDS: u32 = 40;
/// Times that they are repeated after the first.
const REPEATS: u32 = 4;
/// Raised when a recipe changes.
const VERSION: u32 = 4;

/// How pictures are coded, with size and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    Hevc,
    Mpeg2,
}

impl Codec {
    pub(super) const ALL: [Self; 3] = [Self::H264, Self::Hevc, Self::Mpeg2];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Mpeg2 => "mpeg2",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::H264 => "H.264 1080p25 at 6 Mb/s",
            Self::Hevc => "HEVC 1080p25 at 4 Mb/s",
            Self::Mpeg2 => "MPEG-2 576i25 at 4 Mb/s",
        }
    }

    /// Channels a core: to reach, and to aim for.
    pub(super) const fn aims(self) -> (f64, f64) {
        match self {
            Self::H264 => (60.0, 140.0),
            Self::Hevc => (55.0, 120.0),
            Self::Mpeg2 => (190.0, 300.0),
        }
    }

    /// Bits per second of the whole multiplex, null packets included.
    pub(super) const fn rate(self) -> u64 {
        match self {
            Self::H264 => 6_900_000,
            Self::Hevc | Self::Mpeg2 => 4_900_000,
        }
    }

    /// What is encoded, and how: a key picture each second of H.264, each two of HEVC, every twelfth of MPEG-2, and two B pictures
    /// between others.
    const fn recipe(self) -> [&'static str; 3] {
        match self {
            Self::H264 => [
                "testsrc2=s=1920x1080:r=25",
                "hue=h=9*t,noise=alls=14:allf=t",
                "-pix_fmt yuv420p -c:v libx264 -preset veryfast -profile:v high -bf 2 -g 25 -keyint_min 25 -sc_threshold 0 \
                 -b:v 6000k -maxrate 6000k -bufsize 3000k -x264-params nal-hrd=cbr:open-gop=0:aud=1 -c:a aac -b:a 128k",
            ],
            Self::Hevc => [
                "testsrc2=s=1920x1080:r=25",
                "hue=h=9*t,noise=alls=8:allf=t",
                "-pix_fmt yuv420p -c:v libx265 -preset superfast -b:v 4000k -maxrate 4000k -bufsize 4000k \
                 -x265-params log-level=error:keyint=50:min-keyint=50:scenecut=0:bframes=2:open-gop=0:aud=1 -c:a aac -b:a 128k",
            ],
            Self::Mpeg2 => [
                "testsrc2=s=720x576:r=50",
                "hue=h=9*t,noise=alls=6:allf=t,interlace",
                "-pix_fmt yuv420p -aspect 16:9 -c:v mpeg2video -flags +ildct+ilme -g 12 -bf 2 -sc_threshold 1000000000 \
                 -b:v 4000k -maxrate 4000k -bufsize 1835k -c:a mp2 -b:a 192k",
            ],
        }
    }

    /// Returns the clip's bytes; encodes it if it is not in `folder`.
    ///
    /// # Errors
    /// ffmpeg is missing or fails, or the folder cannot be written.
    pub(super) fn prepare(self, folder: &Path) -> anyhow::Result<Arc<[u8]>> {
        fs::create_dir_all(folder).context("cannot make the folder of clips")?;
        let lock = fs::File::create(folder.join("bench.lock"))?;
        lock.lock().context("cannot lock the folder of clips")?;
        let name = |part: &str| folder.join(format!("bench-{}-{part}-v{VERSION}.ts", self.name()));
        let (once, whole) = (name("once"), name("whole"));
        if !whole.exists() {
            let [picture, filter, coding] = self.recipe();
            let sound = "anoisesrc=c=pink:a=0.2:seed=7:r=48000[l];\
                         anoisesrc=c=pink:a=0.2:seed=8:r=48000[r];[l][r]join=channel_layout=stereo";
            let seconds = SECONDS.to_string();
            let arguments =
                ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-vf", filter]
                    .into_iter()
                    .chain(coding.split_ascii_whitespace())
                    .chain(["-ar", "48000", "-ac", "2", "-t", &seconds])
                    .chain(["-metadata:s:a:0", "language=eng"]);
            make(&arguments.collect::<Vec<_>>(), &once)?;
            let (repeats, rate) = (REPEATS.to_string(), self.rate().to_string());
            let input = once.to_str().context("the folder's name is not text")?;
            let arguments = ["-stream_loop", &repeats, "-i", input, "-map", "0", "-c", "copy"];
            let muxing = ["-muxrate", &rate, "-pcr_period", "30"];
            make(&arguments.into_iter().chain(muxing).collect::<Vec<_>>(), &whole)?;
            fs::remove_file(&once).context("cannot remove what the clip was made of")?;
        }
        let bytes = fs::read(&whole).context("cannot read the clip")?;
        ensure!(bytes.first() == Some(&0x47) && bytes.len() % 188 == 0, "the clip is no stream");
        Ok(bytes.into())
    }
}
