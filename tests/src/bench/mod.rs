//! Benchmarks: what a decision takes, how long viewers see black, what watching a stream costs, how much the judgement can
//! take, and what the checks of a transport stream cost.
//!
//! They run the released programs over real sockets, as an operator would. What is timed inside a process, without gRPC, a
//! synced journal, signatures and a busy neighbour, would be a smaller figure that nobody can ever see. Only the judgement's
//! own limits are measured inside one process: see [`decide`].

mod agent;
mod decide;
mod decision;
mod ffmpeg;
mod heal;
pub mod machine;
pub mod spread;
mod ts;
pub mod usage;

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use self::machine::Machine;
use crate::{
    demo::{self, table},
    world::process::unix_ms,
};

/// Measures and reports; each part can be run alone.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to measure; default is all
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Faults to decide on
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    faults: u32,
    /// Channels that the judgement alone is measured with
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u16).range(1_500..=20_000))]
    channels: u16,
    /// Channels that go black for each length of HLS segments
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    heals: u8,
    /// Streams that the agent watches
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    streams: u16,
    /// Seconds for which the agent is measured
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(5..=120))]
    seconds: u16,
    /// Times that each tool reads each transport stream
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u8).range(1..=100))]
    runs: u8,
    /// Folder of the programs; default is this program's own
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Folder for configurations, logs and results, kept afterwards
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Folder with rules and Alertmanager's configuration
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../alerts"))]
    alerts: PathBuf,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
enum Part {
    /// From the evidence that decides the cause to the command at the panel
    Decision,
    /// From black on a primary to a good picture in the regions, with HLS segments of 2 s and of 6 s
    Heal,
    /// Processor and memory of an agent with many UDP streams, beside ffmpeg
    Agent,
    /// Observations a second, time to a decision and memory of the judgement alone
    Decide,
    /// Processor time of all checks of a transport stream, beside other tools that read it
    Ts,
}

impl Part {
    /// Whether it runs agents and a collector.
    const fn needs_agents(self) -> bool {
        matches!(self, Self::Decision | Self::Heal | Self::Agent)
    }
}

/// What a part came to.
#[derive(Debug, Serialize)]
struct Findings {
    part: Part,
    load_before: String,
    load_after: String,
    /// Everything measured.
    figures: Value,
    /// What must not be and was: then the figures are of something broken.
    wrong: Vec<String>,
    #[serde(skip)]
    text: String,
}

/// What a part measured, and its text.
struct Measured {
    figures: Value,
    text: String,
    wrong: Vec<String>,
}

/// Runs the benchmarks, writes `bench-TIME.json` and prints tables.
///
/// # Errors
/// Fails where a benchmark cannot be run or what it ran came out wrong.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    // More than the world's usual one thread: what stamps a command's receipt must not wait for what encodes batches.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(measure(arguments))
}

async fn measure(mut arguments: Arguments) -> anyhow::Result<()> {
    // Fails where one is installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    fs::create_dir_all(&arguments.folder).context("cannot make the folder")?;
    arguments.folder = arguments.folder.canonicalize().context("cannot find the folder")?;
    let bin = match &arguments.bin {
        Some(bin) => bin.clone(),
        None if arguments.parts.is_empty()
            || arguments.parts.iter().any(|it| it.needs_agents()) =>
        {
            demo::own_folder()?
        }
        None => demo::this_folder()?,
    };
    let machine = Machine::look(&arguments.folder);
    if arguments.parts.is_empty() {
        arguments.parts = vec![Part::Decision, Part::Heal, Part::Agent, Part::Decide, Part::Ts];
    }
    let mut all = Vec::new();
    for part in &arguments.parts {
        let folder = arguments.folder.join(format!("{part:?}").to_lowercase());
        fresh(&folder)?;
        let load_before = machine::load();
        let run = async {
            match part {
                Part::Decision => decision::measure(&bin, &folder, arguments.faults).await,
                Part::Heal => {
                    heal::measure(&bin, &arguments.alerts, &folder, arguments.heals).await
                }
                Part::Agent => {
                    let (streams, seconds) = (arguments.streams, arguments.seconds);
                    agent::measure(&bin, &folder, streams, seconds).await
                }
                Part::Decide => decide::measure(usize::from(arguments.channels), arguments.faults),
                Part::Ts => ts::measure(&bin, usize::from(arguments.runs)),
            }
        };
        // On a signal the handles of all children are dropped, and they end.
        let measured = tokio::select! {
            measured = run => measured.with_context(|| format!("logs are in {}", folder.display()))?,
            stopped = demo::stopped() => {
                stopped?;
                anyhow::bail!("stopped before the end");
            }
        };
        let Measured { figures, text, wrong } = measured;
        let load_after = machine::load();
        all.push(Findings { part: *part, load_before, load_after, figures, wrong, text });
    }
    report(&arguments, &machine, &all)
}

/// An empty folder: a journal of an earlier run must not speak in this one.
fn fresh(folder: &std::path::Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).context("cannot empty the folder")?;
    }
    fs::create_dir_all(folder).context("cannot make a folder")
}

fn report(arguments: &Arguments, machine: &Machine, all: &[Findings]) -> anyhow::Result<()> {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let at = unix_ms() / 1000;
    let path = arguments.folder.join(format!("bench-{at}.json"));
    let report = serde_json::json!({
        "at_unix_s": at, "command": command, "machine": machine, "parts": all,
    });
    fs::write(&path, serde_json::to_vec_pretty(&report)?).context("cannot write the results")?;
    say(&format!("{}\nMeasured with: {}\n", machine.describe(), command.join(" ")));
    let mut wrong = 0;
    for findings in all {
        say(&findings.text);
        let (before, after) = (&findings.load_before, &findings.load_after);
        say(&format!("Load averages (1, 5, 15 min) before {before}, after {after}.\n"));
        for problem in &findings.wrong {
            wrong += 1;
            say(&format!("WRONG: {problem}\n"));
        }
    }
    say(&format!("Everything measured is in {}", path.display()));
    anyhow::ensure!(wrong == 0, "{wrong} things came out wrong");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "tables for the person at the terminal")]
fn say(text: &str) {
    println!("{text}");
}

/// Tells how far a benchmark is, apart from the tables.
#[expect(clippy::print_stderr, reason = "progress for the person at the terminal")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// A table of spreads under a title.
fn spreads(title: &str, rows: &[Vec<String>]) -> String {
    format!("{title}\n\n{}", table::render(&spread::HEADER, rows))
}
