//! The command line of `tallylight-agent`.
#![forbid(unsafe_code)]

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tallylight_agent::{
    assignment::Expectation,
    input::InputSpec,
    io::{
        daemon,
        decoding::worker,
        inspect::{self, Options},
        slates,
        terminal::{Form, Terminal},
    },
    picture::Slates,
    probe::Decoding,
    profile::{Profiles, Thresholds},
};
use toml_span::value::ValueInner;
use tracing_subscriber::EnvFilter;

/// The exit code for a command line that cannot be understood (sysexits.h, EX_USAGE).
const USAGE: u8 = 64;

/// Watches TV and radio streams and reports what it sees.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tallylight-agent probe recording.ts
  tallylight-agent probe --duration 30s udp://239.1.1.1:5000 --interface eth0
  tallylight-agent check --config agent.toml
  tallylight-agent run --config agent.toml";

#[derive(Subcommand)]
enum Command {
    /// Watch the streams that the collector assigns, until stopped.
    ///
    /// SIGHUP reads the configuration again; a broken one is reported and the old one stays. SIGINT and SIGTERM stop.
    Run {
        /// The configuration file; see agent/examples/agent.toml.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration file exactly as `run` does, and do nothing else.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Look at one stream for a while, or at a file to its end: what it is, and what is wrong with it.
    ///
    /// Ctrl-C ends it with the report so far. Exit code: 0 clean, 1 faulty (a warning or critical fault), 2 unreadable, 64 wrong
    /// usage. docs/probe.md describes the JSON.
    #[command(after_help = PROBE_EXAMPLES)]
    Probe(ProbeArgs),
    /// Decode for an agent, which starts this by itself.
    #[command(hide = true)]
    DecodeWorker {
        /// The most memory that it may have, in bytes.
        #[arg(long)]
        memory: u64,
    },
}

const PROBE_EXAMPLES: &str = "\
URLs:
  udp://239.1.1.1:5000            multicast group (or udp://10.0.0.1@232.1.1.1:5000 from one source)
  udp://127.0.0.1:5000            datagrams sent to this local address
  rtp://239.1.1.1:5000            the same over RTP
  http://host/path                transport stream over HTTP; HLS if it is a playlist
  recording.ts, file:///a/b.ts    a file; '-' for standard input

Examples:
  tallylight-agent probe recording.ts
  tallylight-agent probe --json --profile sensitive http://127.0.0.1:8601/live.m3u8
  tallylight-agent probe --service 2 --no-decode multiplex.ts
  tallylight-agent probe --follow --every 1min udp://239.1.1.1:5000
  ffmpeg -i rtsp://camera/1 -c copy -f mpegts - | tallylight-agent probe --follow -";

#[derive(clap::Args)]
struct ProbeArgs {
    /// What to look at.
    #[arg(value_name = "URL|FILE")]
    input: String,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Leave picture and sound out: packets and tables alone.
    #[arg(long)]
    no_decode: bool,
    /// The thresholds; sensitive has shorter holds for picture and sound (black 2 s, freeze 4 s, silence 2 s), broadcast tells
    /// every check of TR 101 290, ott leaves out those that only broadcast networks meet. Own ones are in the file of --config.
    #[arg(long, value_name = "default|sensitive|broadcast|ott|NAME", default_value = "default")]
    profile: String,
    /// A configuration file with own profiles: [profiles.NAME]; see docs/ts-checks.md.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder of images of known slates, named for what they mean: failure-*, blackout-*, ad_fill-*, off_air-*.
    #[arg(long, value_name = "FOLDER")]
    slates: Option<PathBuf>,
    /// What is expected of it, in a lineup's words: kind, audio, silence, sound_layout, picture; see docs/probe.md.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// How long to watch, by the clock; without it 10s of what is live, and all of a file, of standard input and of what is followed.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Tell faults and changes as they come, one a line, until Ctrl-C: of live streams, of a file that grows, of standard input.
    #[arg(long)]
    follow: bool,
    /// How often --follow sums up.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, requires = "follow")]
    every: Duration,
    /// The network interface to join a multicast group on.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Look at this service of a multiplex alone.
    #[arg(long, value_name = "NUMBER")]
    service: Option<u16>,
}

fn duration(text: &str) -> Result<Duration, String> {
    match tallylight_config::value::duration(&ValueInner::String(text.into()))? {
        Duration::ZERO => Err("it must be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for, everything else is wrong usage.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match execute(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tallylight-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run { config } => run(config),
        Command::Check { config } => {
            daemon::check(&config)?;
            write(&format!("{} is good\n", config.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Probe(args) => probe(args),
        Command::DecodeWorker { memory } => {
            worker::run(memory)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run(config: PathBuf) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let result = runtime.block_on(daemon::run(config));
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

fn probe(args: ProbeArgs) -> anyhow::Result<ExitCode> {
    let spec = match InputSpec::parse(&args.input, args.interface.as_deref()) {
        Ok(spec) => spec,
        Err(error) => {
            eprintln!("tallylight-agent: {error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let (expectation, slates) = match stated(&args) {
        Ok(stated) => stated,
        Err(error) => {
            eprintln!("tallylight-agent: {error:#}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let options = Options {
        spec,
        expectation,
        slates,
        duration: args.duration,
        follow: args.follow.then_some(args.every),
        service: args.service,
        decoding: if args.no_decode { Decoding::Off } else { Decoding::On },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .context("cannot start")?;
    let terminal = Terminal::new(if args.json { Form::Json } else { Form::Text });
    let mut terminal = if args.follow { terminal.following() } else { terminal };
    let report = runtime.block_on(inspect::inspect(options, &mut terminal));
    runtime.shutdown_background();
    terminal.report(&report).context("cannot print")?;
    Ok(ExitCode::from(report.verdict.exit_code()))
}

/// What a probe's files say.
fn stated(args: &ProbeArgs) -> anyhow::Result<(Expectation, Slates)> {
    let profile = profile(&args.profile, args.config.as_deref())?;
    let expected = match &args.expect {
        None => Expectation::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read what is expected, {}", path.display()))?;
            Expectation::parse(&path.display().to_string(), &text)?
        }
    };
    let slates = args.slates.as_deref().map(slates::read).transpose()?.unwrap_or_default();
    Ok((Expectation { profile, ..expected }, slates))
}

fn profile(name: &str, config: Option<&Path>) -> anyhow::Result<Thresholds> {
    let profiles = match config {
        None => Profiles::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration {}", path.display()))?;
            Profiles::parse(&path.display().to_string(), &text)?
        }
    };
    profiles.find(name).map_err(|unknown| anyhow::anyhow!("{unknown}"))
}

/// Prints; a reader that has seen enough is no error.
fn write(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write as _};
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}
