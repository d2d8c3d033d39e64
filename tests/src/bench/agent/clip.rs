//! A transport stream as a head-end sends it: 1080p25 H.264 at 6 Mb/s of moving, noisy pictures, at a constant rate.
//!
//! Twenty seconds are encoded; ffmpeg repeats them without encoding again and writes clocks and counters through, so that
//! nothing shows where they join. It is as long as the longest measurement, so it needs no loop at playing.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, ensure};

use crate::bench::ffmpeg::make;

/// Bits per second of the whole multiplex, null packets included.
pub(super) const RATE: u64 = 6_900_000;
const SECONDS: u32 = 20;
/// Times that they are repeated after the first.
const REPEATS: u32 = 9;
/// Raised when the recipe changes.
const VERSION: u32 = 1;

/// A key picture each second and two B pictures between others; the rate control keeps the bit rate at 6 Mb/s.
const ENCODE: &str = "-f lavfi -i testsrc2=s=1920x1080:r=25 -f lavfi -i anoisesrc=c=pink:a=0.2:seed=7:r=48000 \
    -vf noise=alls=14:allf=t -pix_fmt yuv420p -c:v libx264 -preset veryfast -profile:v high -bf 2 -g 25 -keyint_min 25 \
    -sc_threshold 0 -b:v 6000k -maxrate 6000k -bufsize 3000k -x264-params nal-hrd=cbr:open-gop=0:aud=1 \
    -c:a aac -b:a 128k -ar 48000 -ac 2";

/// Returns the clip's bytes; encodes it if it is not in `folder`.
///
/// # Errors
/// ffmpeg is missing or fails, or the folder cannot be written.
pub(super) fn prepare(folder: &Path) -> anyhow::Result<Arc<[u8]>> {
    fs::create_dir_all(folder).context("cannot make the folder of clips")?;
    let lock = fs::File::create(folder.join("bench.lock"))?;
    lock.lock().context("cannot lock the folder of clips")?;
    let name = |part: &str| folder.join(format!("bench-1080p25-{part}-v{VERSION}.ts"));
    let (once, whole) = (name("once"), name("whole"));
    if !whole.exists() {
        let seconds = SECONDS.to_string();
        let mut arguments: Vec<&str> = ENCODE.split_ascii_whitespace().collect();
        arguments.extend(["-t", &seconds, "-metadata:s:a:0", "language=eng"]);
        make(&arguments, &once)?;
        let (repeats, rate) = (REPEATS.to_string(), RATE.to_string());
        let input = once.to_str().context("the folder's name is not text")?;
        let arguments = ["-stream_loop", &repeats, "-i", input, "-map", "0", "-c", "copy"];
        let arguments: Vec<&str> =
            arguments.into_iter().chain(["-muxrate", &rate, "-pcr_period", "30"]).collect();
        make(&arguments, &whole)?;
        fs::remove_file(&once).context("cannot remove what the clip was made of")?;
    }
    let bytes = fs::read(&whole).context("cannot read the clip")?;
    ensure!(bytes.first() == Some(&0x47) && bytes.len() % 188 == 0, "the clip is no stream");
    Ok(bytes.into())
}
