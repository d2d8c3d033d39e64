//! What the checks of a transport stream cost, beside other tools that read the same file.
//!
//! Whole processes in turn, each with the file in memory, and the processor time that the kernel counted for them. What
//! reading alone takes, with the same buffer, is measured among them. The other tools do less or other work than the
//! analyser, each says what; they are what an operator would otherwise run. One that is not installed is named as missing.

mod clip;

use std::{
    fmt::Write as _,
    fs,
    io::ErrorKind,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;

use self::clip::Recipe;
use super::{Measured, spread::Spread, spreads, tell};
use crate::world::clip::default_folder;

const PACKET: u64 = 188;
const READ: &str = "reading alone";
const OURS: &str = "Tallylight: all checks of the profile broadcast";
/// What the project promises: CPU seconds above reading 300 MB of one program, and how much more a packet of many may cost.
const ABOVE: f64 = 0.030;
const RATIO: f64 = 1.5;

/// Something that reads a file.
struct Tool {
    name: &'static str,
    program: String,
    arguments: Vec<String>,
    /// Whether it may be missing: it is another project's.
    foreign: bool,
}

/// What a stream came to.
struct Stream {
    what: &'static str,
    packets: u64,
    tools: Vec<(&'static str, Spread)>,
    missing: Vec<&'static str>,
}

/// Reads both streams so many times with each tool.
///
/// # Errors
/// A stream cannot be made, or what is installed cannot read it.
pub(super) fn measure(bin: &Path, runs: usize) -> anyhow::Result<Measured> {
    tell("ts: preparing two streams; the first time they are encoded, which takes a minute or two");
    let folder = default_folder();
    let single = Recipe::single().prepare(&folder)?;
    let many = Recipe::many().prepare(&folder)?;
    let streams = [
        read("one program at 8 Mb/s", &single, bin, runs)?,
        read("twelve programs on 40 PIDs at 28 Mb/s", &many, bin, runs)?,
    ];
    conclude(&streams)
}

impl Tool {
    /// All that read a stream, with the file's name in their arguments.
    fn all(bin: &Path, file: &str) -> Vec<Self> {
        let own = |name, program: &str, arguments| {
            let program = bin.join("examples").join(program).to_string_lossy().into_owned();
            Self { foreign: false, ..Self::new(name, &program, arguments, file) }
        };
        let peer = |name, program, arguments| Self::new(name, program, arguments, file);
        vec![
            own(READ, "scan", "FILE read"),
            own(OURS, "scan", "FILE"),
            own("mpeg2ts-reader: PID, counter and PCR of each packet", "packets", "FILE"),
            peer("tstools: tsreport", "tsreport", "FILE"),
            peer(
                "GStreamer: tsparse",
                "gst-launch-1.0",
                "-q filesrc location=FILE blocksize=263200 ! tsparse ! fakesink",
            ),
            peer(
                "GStreamer: tsdemux of one program",
                "gst-launch-1.0",
                "-q filesrc location=FILE blocksize=263200 ! tsdemux name=d \
                 d. ! queue ! fakesink d. ! queue ! fakesink",
            ),
            peer(
                "ffmpeg: all components copied to null",
                "ffmpeg",
                "-nostdin -v error -i FILE -map 0 -c copy -f null -",
            ),
        ]
    }

    fn new(name: &'static str, program: &str, arguments: &str, file: &str) -> Self {
        let word = |word: &str| word.replace("FILE", file);
        let arguments = arguments.split_ascii_whitespace().map(word).collect();
        Self { name, program: program.to_owned(), arguments, foreign: true }
    }

    /// Processor time of one run, in seconds; `None` where the program is not installed.
    fn run(&self) -> anyhow::Result<Option<f64>> {
        let before = children_time()?;
        let output =
            Command::new(&self.program).args(&self.arguments).stdin(Stdio::null()).output();
        let output = match output {
            Err(error) if error.kind() == ErrorKind::NotFound && self.foreign => {
                return Ok(None);
            }
            output => output.with_context(|| format!("cannot run {}", self.program))?,
        };
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} failed: {said}", self.program);
        Ok(Some((children_time()? - before).as_secs_f64()))
    }
}

/// Processor time, of programs and of the kernel for them, of all children that have ended.
fn children_time() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("the kernel does not say")?;
    let micros = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64);
    Ok(Duration::from_micros(micros.iter().sum()))
}

/// Runs all tools in turn, so that what slows the machine for a while slows all of them.
fn read(what: &'static str, file: &Path, bin: &Path, runs: usize) -> anyhow::Result<Stream> {
    let bytes = fs::metadata(file).context("the stream is gone")?.len();
    let tools = Tool::all(bin, file.to_str().context("the folder's name is not text")?);
    let mut seconds = vec![Vec::new(); tools.len()];
    // The first round brings file and programs into memory.
    for round in 0..=runs {
        tell(&format!("ts: {what}, round {round} of {runs}"));
        for (tool, seconds) in tools.iter().zip(&mut seconds) {
            let run = tool.run()?;
            seconds.extend(run.filter(|_| round > 0));
        }
    }
    let spreads =
        tools.iter().zip(&seconds).map(|(tool, s)| (tool.name, Spread::of(s.iter().copied())));
    let (found, missing): (Vec<_>, Vec<_>) = spreads.partition(|(_, spread)| spread.is_some());
    Ok(Stream {
        what,
        packets: bytes / PACKET,
        tools: found.into_iter().filter_map(|(name, spread)| Some((name, spread?))).collect(),
        missing: missing.into_iter().map(|(name, _)| name).collect(),
    })
}

impl Stream {
    fn median(&self, name: &str) -> anyhow::Result<f64> {
        let tool = self.tools.iter().find(|(tool, _)| *tool == name);
        Ok(tool.context("a tool of our own was not run")?.1.median)
    }

    /// CPU seconds of our own above reading.
    fn above(&self) -> anyhow::Result<f64> {
        Ok(self.median(OURS)? - self.median(READ)?)
    }

    fn nanos_per_packet(&self) -> anyhow::Result<f64> {
        Ok(self.above()? * 1e9 / self.packets as f64)
    }

    fn text(&self) -> String {
        let rows: Vec<_> = self.tools.iter().map(|(name, spread)| spread.row(name, 3)).collect();
        let title = format!("{}, {} packets: CPU seconds", self.what, self.packets);
        let mut text = spreads(&title, &rows);
        for name in &self.missing {
            let _ = writeln!(text, "not installed, so not measured: {name}");
        }
        text
    }
}

fn conclude(streams: &[Stream; 2]) -> anyhow::Result<Measured> {
    let [single, many] = streams;
    let (above, ratio) = (single.above()?, many.nanos_per_packet()? / single.nanos_per_packet()?);
    let kept = |holds: bool| if holds { "kept" } else { "MISSED" };
    let mut text = format!("{}\n{}", single.text(), many.text());
    let _ = writeln!(
        text,
        "\nAbove reading: {above:.4} s for {}, aim {ABOVE} s {}. A packet of it costs {:.1} ns, of {} {:.1} ns, {ratio:.2} \
         times as much, aim {RATIO} {}.",
        single.what,
        kept(above <= ABOVE),
        single.nanos_per_packet()?,
        many.what,
        many.nanos_per_packet()?,
        kept(ratio <= RATIO),
    );
    let figures = json!({
        "above_reading_s": above, "packet_ratio": ratio, "streams": streams.iter().map(|stream| json!({
            "what": stream.what, "packets": stream.packets, "cpu_seconds": stream.tools, "missing": stream.missing,
        })).collect::<Vec<_>>(),
    });
    Ok(Measured { figures, text, wrong: Vec::new() })
}
