//! The collector's command line.
#![forbid(unsafe_code)]

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tallylight_collector::{
    api::lineup_summary,
    auth::TokenHash,
    io::{Collector, load, token},
};
use tallylight_model::NodeId;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Judges what Tallylight's agents see, and asks the platform's panel to repair what broke.
///
/// Agents send what they see over OTLP. The collector works out what is at fault, shows it at its API and at /metrics, and, as
/// far as the mode in its configuration allows, sends signed commands to the panel. Out of the box it only says what it
/// would do (mode "dry_run").
///
/// A first start: copy examples/collector.toml and examples/lineup.toml, make a token for each agent with
/// `tallylight-collector token NODE`, then `tallylight-collector check --config collector.toml`.
///
/// To stop all acting at once, create the file that `kill_switch` names. RUST_LOG sets what is logged (default "info").
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until SIGINT or SIGTERM. SIGHUP reads the configuration again and keeps the old one if the new one is broken.
    Run {
        /// The configuration; paths in it are relative to its folder.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read the configuration as `run` does, say everything that is wrong with it, and exit 0 if nothing is.
    Check {
        /// The configuration; paths in it are relative to its folder.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Make a random token for an agent, and print it with the entry for collector.toml. Only the hash is stored.
    Token {
        /// The agent's node, as in the lineup; for an operator, any name.
        #[arg(value_name = "NODE", value_parser = node)]
        node: NodeId,
    },
}

fn node(text: &str) -> Result<NodeId, String> {
    NodeId::new(text).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run { config } => run(config),
        Command::Check { config } => check(&config),
        Command::Token { node } => print_token(&node),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(config: &std::path::Path) -> anyhow::Result<()> {
    let loaded = load(config)?;
    println!("{}: in order ({})", config.display(), lineup_summary(&loaded.lineup.lineup));
    Ok(())
}

fn print_token(node: &NodeId) -> anyhow::Result<()> {
    let token = token()?;
    println!("# for the agent's token_file; it is not stored anywhere else\n{token}\n");
    println!("# for collector.toml");
    println!("[[agent]]\nnode = \"{node}\"\ntoken_sha256 = \"{}\"", TokenHash::of(&token));
    Ok(())
}

fn run(config: PathBuf) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let loaded = load(&config)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(config, loaded))
}

async fn serve(config: PathBuf, loaded: tallylight_collector::io::Loaded) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let collector = Collector::start(loaded).await?;
    loop {
        tokio::select! {
            _ = hangup.recv() => match load(&config) {
                Ok(loaded) => collector.reload(loaded),
                Err(error) => tracing::error!(%error, "the new configuration is broken; the old one stays"),
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    collector.stop().await;
    Ok(())
}
