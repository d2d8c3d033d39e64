//! Two transport streams of 300 MB: one program at a constant 8 Mb/s, and twelve at 28 Mb/s on 40 PIDs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::bench::ffmpeg::make;

/// Raised when a recipe changes.
const VERSION: u32 = 1;
const PROGRAMS: usize = 12;

/// How a stream is made: twenty seconds are encoded, and repeated without encoding again.
pub(super) struct Recipe {
    name: &'static str,
    repeats: &'static str,
    rate: &'static str,
    encode: Vec<String>,
    /// Which components are which program's.
    programs: Vec<String>,
}

impl Recipe {
    /// One program.
    pub(super) fn single() -> Self {
        let encode = words(
            "-f lavfi -i testsrc2=size=960x540:rate=25:duration=20,noise=alls=25:allf=t \
             -f lavfi -i sine=frequency=440:sample_rate=48000:duration=20 -c:v libx264 -preset ultrafast \
             -g 25 -b:v 7200k -minrate 7200k -maxrate 7200k -bufsize 3600k -c:a aac -b:a 192k",
        );
        Self { name: "8m", repeats: "14", rate: "8000k", encode, programs: Vec::new() }
    }

    /// Twelve programs. A second sound of the last one makes it 40 PIDs: 25 components, 12 PMT, PAT, SDT and null packets.
    pub(super) fn many() -> Self {
        let mut encode = words(
            "-f lavfi -i testsrc2=size=640x360:rate=25:duration=20,noise=alls=25:allf=t \
             -f lavfi -i sine=frequency=440:sample_rate=48000:duration=20 -filter_complex",
        );
        let copies: String = (0..PROGRAMS).map(|i| format!("[v{i}]")).collect();
        encode.push(format!("[0:v]split={PROGRAMS}{copies}"));
        let mut programs = Vec::new();
        for i in 0..PROGRAMS {
            // Key pictures of all programs at once would need more than the rate.
            encode.extend(words(&format!("-map [v{i}] -map 1:a -g:v:{i} {}", 20 + i)));
            let second =
                if i + 1 == PROGRAMS { format!(":st={}", 2 * PROGRAMS) } else { String::new() };
            let components = format!("st={}:st={}{second}", 2 * i, 2 * i + 1);
            programs.extend(words(&format!("-program program_num={}:{components}", i + 1)));
        }
        encode.extend(words(
            "-map 1:a -c:v libx264 -preset ultrafast -b:v 1900k -minrate 1900k -maxrate 1900k -bufsize 950k \
             -c:a aac -b:a 96k",
        ));
        Self { name: "28m", repeats: "3", rate: "28000k", encode, programs }
    }

    /// Makes the stream if it is not in `folder`.
    ///
    /// # Errors
    /// ffmpeg is missing or fails, or the folder cannot be written.
    pub(super) fn prepare(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        fs::create_dir_all(folder).context("cannot make the folder of clips")?;
        let lock = fs::File::create(folder.join("bench.lock"))?;
        lock.lock().context("cannot lock the folder of clips")?;
        let file = |part: &str| folder.join(format!("bench-ts-{}-{part}-v{VERSION}.ts", self.name));
        let (once, whole) = (file("once"), file("whole"));
        if !whole.exists() {
            let encode: Vec<String> = self.encode.iter().chain(&self.programs).cloned().collect();
            make(&encode, &once)?;
            let input = once.to_str().context("the folder's name is not text")?.to_owned();
            let mut copy = words(&format!("-stream_loop {} -i", self.repeats));
            copy.push(input);
            copy.extend(words(&format!("-map 0 -c copy -muxrate {}", self.rate)));
            copy.extend(self.programs.iter().cloned());
            make(&copy, &whole)?;
            fs::remove_file(&once).context("cannot remove what the clip was made of")?;
        }
        Ok(whole)
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}
