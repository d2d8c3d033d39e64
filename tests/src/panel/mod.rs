//! The reference panel: a control plane that obeys the panel contract (docs/panel.md) and really forwards.
//!
//! Each channel has a child process that receives the chosen source and sends it to the regions' links, so that a restart
//! really ends a hung process and a switch is only called done when a datagram of the new source has gone out. A panel that
//! merely noted commands would agree with any client. Operators steer by a listener of its own; what comes there is not
//! Tallylight's doing and is shown so in `changed_by`.

pub mod command;
pub mod config;
mod control;
pub mod forward;
pub mod ledger;
mod output;
pub mod signature;
mod signed;
mod watch;

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use axum::serve::ListenerExt as _;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, time::timeout};

use self::{
    command::Act,
    config::Config,
    ledger::{Answer, Ledger},
    output::{Launch, Output},
    signature::{Secret, Verifier},
};
use crate::world::process;

/// Requests kept for `GET /control/commands`.
const MAX_LOG: usize = 1024;

/// How long a server's restart may take. Within a client's 3 s.
const RESTART: Duration = Duration::from_millis(2500);

/// Runs the reference panel.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Configuration file (JSON)
    #[arg(long)]
    config: PathBuf,
}

/// How the panel misbehaves, for tests of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Misbehaviour {
    /// It obeys.
    #[default]
    None,
    /// It takes commands and never answers.
    Hang,
    /// It answers 500 and does nothing.
    Error,
    /// It answers 200 and does nothing.
    Lie,
    /// It obeys, but answers 202 with a status URL.
    Slow,
}

/// One request to `/commands`, as it was answered.
#[derive(Clone, Debug, Serialize)]
struct Logged {
    received_unix_ms: i64,
    answered_unix_ms: i64,
    status: u16,
    command: serde_json::Value,
}

struct Panel {
    /// Commands are carried out one at a time.
    turn: tokio::sync::Mutex<()>,
    ledger: Mutex<Ledger>,
    verifier: Mutex<Verifier>,
    served: Mutex<watch::Served>,
    log: Mutex<VecDeque<Logged>>,
    misbehaviour: Mutex<Misbehaviour>,
    /// Commands answered with 202: `None` while they run.
    jobs: Mutex<BTreeMap<String, Option<Answer>>>,
    outputs: BTreeMap<String, (config::Channel, tokio::sync::Mutex<Output>)>,
    servers: BTreeMap<String, config::Server>,
    next_server: std::sync::atomic::AtomicUsize,
    epoch_file: Option<PathBuf>,
    http: reqwest::Client,
}

/// Runs until SIGINT, SIGTERM or the end of standard input.
///
/// # Errors
/// Fails where the configuration is wrong or an address is taken.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    process::run(serve(arguments))
}

/// The addresses that the panel took.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Of signed commands and viewers.
    pub listen: SocketAddr,
    /// Of operators.
    pub control: SocketAddr,
}

async fn serve(args: Arguments) -> anyhow::Result<()> {
    let text =
        fs::read(&args.config).with_context(|| format!("cannot read {}", args.config.display()))?;
    let config: Config = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a panel's configuration", args.config.display()))?;
    let public = listen(config.listen).await?;
    let control = listen(config.control).await?;
    let panel = Arc::new(Panel::start(config)?);
    let polling = tokio::spawn(watch::poll_edges(Arc::clone(&panel)));
    process::announce(&Ready { listen: public.local_addr()?, control: control.local_addr()? })?;
    let public = public.tap_io(|io| drop(io.set_nodelay(true)));
    let control = control.tap_io(|io| drop(io.set_nodelay(true)));
    let outcome = tokio::select! {
        served = async { axum::serve(public, signed::router(Arc::clone(&panel))).await } => served,
        served = async { axum::serve(control, control::router(Arc::clone(&panel))).await } => served,
        stopped = process::stopped() => return stopped,
    };
    polling.abort();
    outcome.context("cannot serve")
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    ensure!(address.ip().is_loopback(), "{address} is not a loopback address");
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

impl Panel {
    fn start(config: Config) -> anyhow::Result<Self> {
        // Fails where one is installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut ledger = Ledger::new(read_epoch(config.epoch_file.as_deref())?);
        let mut outputs = BTreeMap::new();
        for channel in config.channels {
            let Some(source) = channel.sources.get(&channel.active) else {
                bail!("channel {}: no source is called {}", channel.channel, channel.active);
            };
            let launch = Launch {
                program: program.clone(),
                interface: config.interface.clone(),
                to: channel.links.clone(),
            };
            let output = Output::start(launch, source.as_str())?;
            let sources = channel.sources.keys().cloned().collect();
            ledger.add_channel(&channel.channel, sources, &channel.active);
            ledger.set_encoder(&channel.channel, channel.encoder.clone());
            outputs.insert(channel.channel.clone(), (channel, tokio::sync::Mutex::new(output)));
        }
        let mut servers = BTreeMap::new();
        for server in config.servers {
            ledger.add_server(&server.server, &server.region);
            if !server.restart.is_empty() {
                ledger.allow_restart(&server.server);
            }
            servers.insert(server.server.clone(), server);
        }
        Ok(Self {
            turn: tokio::sync::Mutex::default(),
            ledger: Mutex::new(ledger),
            verifier: Mutex::new(Verifier::new(read_secrets(&config.secret_file)?)),
            served: Mutex::default(),
            log: Mutex::default(),
            misbehaviour: Mutex::default(),
            jobs: Mutex::default(),
            outputs,
            servers,
            next_server: 0.into(),
            epoch_file: config.epoch_file,
            http: reqwest::Client::builder()
                .timeout(std::time::Duration::from_secs(1))
                .build()
                .context("cannot make an HTTP client")?,
        })
    }

    /// Does in the world what an action says. The ledger is not touched.
    async fn carry_out(&self, act: &Act) -> anyhow::Result<()> {
        match act {
            Act::Switch { channel, from, to } => {
                let (config, output) = self.outputs.get(channel).context("no such channel")?;
                let url = |id: &str| config.sources.get(id).context("no such source");
                let mut output = output.lock().await;
                let switched = output.switch(url(to)?.as_str()).await;
                if switched.is_err() {
                    output.stay(url(from)?.as_str()).await;
                }
                switched
            }
            Act::Restart { channel } => self.restart(channel).await,
            Act::RestartEncoder { channels, .. } => {
                // One that sends nothing keeps no other from being started.
                let mut outcome = Ok(());
                for channel in channels {
                    outcome = outcome.and(self.restart(channel).await);
                }
                outcome
            }
            Act::RestartServers { servers } => {
                for id in servers {
                    let server = self.servers.get(id).context("no such server")?;
                    restart_server(&server.restart).await?;
                }
                Ok(())
            }
            // Where viewers are sent follows from the ledger; those who watch are moved afterwards.
            Act::Drain { .. } | Act::Undrain { .. } | Act::Return { .. } | Act::Move { .. } => {
                Ok(())
            }
        }
    }

    async fn restart(&self, channel: &str) -> anyhow::Result<()> {
        let (config, output) = self.outputs.get(channel).context("no such channel")?;
        let active = locked(&self.ledger).active(channel).map(str::to_owned);
        let source = active.and_then(|id| config.sources.get(&id)).context("no source")?;
        output.lock().await.restart(source.as_str()).await
    }

    fn note(&self, entry: Logged) {
        let mut log = locked(&self.log);
        if log.len() >= MAX_LOG {
            log.pop_front();
        }
        log.push_back(entry);
    }

    /// Keeps the epoch where a restart of the panel does not lose it.
    fn save_epoch(&self, epoch: u64) -> io::Result<()> {
        let Some(path) = &self.epoch_file else { return Ok(()) };
        let fresh = path.with_extension("new");
        let mut file = fs::File::create(&fresh)?;
        writeln!(file, "{epoch}")?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    }
}

/// Runs the program that restarts a server.
async fn restart_server(restart: &[String]) -> anyhow::Result<()> {
    let (program, arguments) = restart.split_first().context("the server cannot be restarted")?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let status = timeout(RESTART, command.status()).await.context("the restart takes too long")?;
    let status = status.context("cannot run the program that restarts the server")?;
    ensure!(status.success(), "the program that restarts the server says {status}");
    Ok(())
}

fn read_epoch(path: Option<&Path>) -> anyhow::Result<u64> {
    let Some(path) = path else { return Ok(0) };
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().with_context(|| format!("{} has no epoch", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn read_secrets(path: &Path) -> anyhow::Result<Vec<Secret>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let secrets = text
        .lines()
        .map(Secret::parse)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{}: bad secret", path.display()))?;
    ensure!(!secrets.is_empty(), "{} has no secret", path.display());
    Ok(secrets)
}

/// A panic elsewhere leaves plain data that is still whole: nothing is held across a step that could fail.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
