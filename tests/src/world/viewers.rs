//! Viewers: ask the panel where to watch, watch, and ask again when the connection breaks. Their sessions are the traffic of
//! the world, and what a drained server loses.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::{Json, Router, extract::State, routing::get};
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use url::Url;

use super::{
    loss::Random,
    process::{self, unix_ms},
};

/// A viewer who gets nothing for so long looks elsewhere.
const PATIENCE: Duration = Duration::from_secs(6);
/// Waiting after failures: doubles from the first to the second, with jitter.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// From one viewer's start to the next.
const STAGGER: Duration = Duration::from_millis(100);
const REQUEST: Duration = Duration::from_secs(5);
/// A playlist longer than this is none.
const MAX_PLAYLIST: usize = 64 << 10;

/// Arguments of `viewers`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Address of the panel
    #[arg(long)]
    panel: Url,
    /// What is watched; viewers share these out in turn
    #[arg(long = "watch", required = true, value_name = "REGION/CHANNEL")]
    watch: Vec<String>,
    /// How many viewers there are
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=200))]
    count: u16,
    /// How long a viewer stays before asking the panel anew
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    stay_seconds: u64,
    /// Address of the control API
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
}

#[derive(Serialize)]
struct Ready {
    control: String,
    viewers: u16,
}

/// What all viewers have seen.
#[derive(Clone, Debug, Default, Serialize)]
struct Seen {
    /// Viewers who get pictures at the moment, by what they watch and from which server.
    watching: BTreeMap<String, BTreeMap<String, u64>>,
    /// Bytes of media.
    bytes: u64,
    /// How often a session broke that its viewer did not end.
    interruptions: u64,
    /// How often the panel did not say where to watch.
    unanswered: u64,
    /// When a viewer last began to watch, milliseconds since 1970.
    last_start_unix_ms: u64,
}

type Shared = Arc<Mutex<Seen>>;

/// Runs the viewers until told to stop.
///
/// # Errors
/// Arguments cannot be used.
pub fn run(arguments: Arguments) -> Result<()> {
    process::run(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<()> {
    // Fails only where a provider is set already, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let seen = Shared::default();
    for number in 0..arguments.count {
        let what = arguments.watch[usize::from(number) % arguments.watch.len()].clone();
        if what.split('/').filter(|part| !part.is_empty()).count() != 2 {
            bail!("--watch {what}: REGION/CHANNEL is wanted");
        }
        let ask = arguments.panel.join(&format!("watch/{what}")).context("no such address")?;
        // Each has an address of its own, as players have: an edge knows HLS viewers by it.
        let [high, low] = (number + 1).to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(127, 1, high, low));
        let client = Client::builder()
            .local_address(address)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(REQUEST)
            .build()
            .context("cannot make an HTTP client")?;
        let stay = Duration::from_secs(arguments.stay_seconds);
        let viewer = Viewer { client, ask, what, stay, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            sleep(STAGGER * u32::from(number)).await;
            viewer.live(Random::new(u64::from(number))).await;
        });
    }
    let api = Router::new().route("/state", get(state)).with_state(seen);
    let control = process::serve(arguments.control, api).await?;
    process::announce(&Ready { control: format!("http://{control}"), viewers: arguments.count })?;
    process::stopped().await
}

async fn state(State(seen): State<Shared>) -> Json<Seen> {
    Json(seen.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

struct Viewer {
    client: Client,
    ask: Url,
    what: String,
    stay: Duration,
    seen: Shared,
}

/// How a session ended.
enum End {
    /// The viewer had enough.
    Left,
    /// Media stopped coming; whether some had come.
    Broken { began: bool },
}

impl Viewer {
    async fn live(self, mut random: Random) {
        let mut wait = BACKOFF.0;
        loop {
            let began = match self.server().await {
                Some(url) => match self.watch(url).await {
                    End::Left => true,
                    End::Broken { began } => {
                        self.note(|seen| seen.interruptions += u64::from(began));
                        began
                    }
                },
                None => {
                    self.note(|seen| seen.unanswered += 1);
                    false
                }
            };
            wait = if began { BACKOFF.0 } else { (wait * 2).min(BACKOFF.1) };
            sleep(wait.mul_f64(0.5 + random.next_unit())).await;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn get(&self, url: Url) -> Option<Response> {
        timeout(REQUEST, self.client.get(url).send()).await.ok()?.ok()
    }

    /// Asks the panel.
    async fn server(&self) -> Option<Url> {
        let answer = self.get(self.ask.clone()).await?;
        let found = answer.status() == StatusCode::FOUND;
        let location = answer.headers().get("location").filter(|_| found)?.to_str().ok()?;
        self.ask.join(location).ok()
    }

    async fn watch(&self, url: Url) -> End {
        let server = url.authority().to_owned();
        let mut session = Session { viewer: self, server, began: false };
        let end = Instant::now() + self.stay;
        let left = if url.path().ends_with(".m3u8") {
            session.segments(url, end).await
        } else {
            session.stream(url, end).await
        };
        if left.is_some() { End::Left } else { End::Broken { began: session.began } }
    }
}

/// Watching from one server; counted as long as media comes.
struct Session<'a> {
    viewer: &'a Viewer,
    server: String,
    began: bool,
}

impl Session<'_> {
    fn got(&mut self, bytes: usize) {
        let began = std::mem::replace(&mut self.began, true);
        self.viewer.note(|seen| {
            seen.bytes += bytes as u64;
            if !began {
                seen.last_start_unix_ms = unix_ms();
                let servers = seen.watching.entry(self.viewer.what.clone()).or_default();
                *servers.entry(self.server.clone()).or_default() += 1;
            }
        });
    }

    /// Watches a stream without end; `None` when it breaks.
    async fn stream(&mut self, url: Url, end: Instant) -> Option<()> {
        let mut answer = self.viewer.get(url).await.filter(|a| a.status() == StatusCode::OK)?;
        loop {
            let until = end.min(Instant::now() + PATIENCE);
            match timeout_at(until, answer.chunk()).await {
                Ok(chunk) => self.got(chunk.ok()??.len()),
                Err(_) => return (Instant::now() >= end).then_some(()),
            }
        }
    }

    /// Watches segments as they are listed; `None` when nothing new has come for too long.
    async fn segments(&mut self, url: Url, end: Instant) -> Option<()> {
        let mut last: Option<u64> = None;
        let mut patience = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let answer = self.viewer.get(url.clone()).await?;
            if answer.status() != StatusCode::OK {
                return None;
            }
            let list = timeout(REQUEST, answer.text()).await.ok()?.ok()?;
            let list = Playlist::read(&list)?;
            // Players begin three segments before the end.
            let begin = last.map_or_else(
                || (list.first + list.segments.len() as u64).saturating_sub(3),
                |last| last + 1,
            );
            for (number, segment) in (list.first..).zip(&list.segments) {
                if number < begin {
                    continue;
                }
                let answer = self.viewer.get(url.join(segment).ok()?).await?;
                if answer.status() != StatusCode::OK {
                    return None;
                }
                self.got(timeout(REQUEST, answer.bytes()).await.ok()?.ok()?.len());
                last = Some(number);
                patience = Instant::now() + PATIENCE + list.target * 2;
            }
            if Instant::now() > patience {
                return None;
            }
            sleep(list.target / 2).await;
        }
        Some(())
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if self.began {
            self.viewer.note(|seen| {
                let servers = seen.watching.entry(self.viewer.what.clone()).or_default();
                let left = servers.get(&self.server).copied().unwrap_or_default().saturating_sub(1);
                if left == 0 {
                    servers.remove(&self.server);
                } else {
                    servers.insert(self.server.clone(), left);
                }
            });
        }
    }
}

/// What a simple player needs of a playlist.
struct Playlist<'a> {
    target: Duration,
    first: u64,
    segments: Vec<&'a str>,
}

impl<'a> Playlist<'a> {
    fn read(text: &'a str) -> Option<Self> {
        if !text.starts_with("#EXTM3U") || text.len() > MAX_PLAYLIST {
            return None;
        }
        let tag = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
        let target: u64 = tag("#EXT-X-TARGETDURATION:")?;
        let segments = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        let target = Duration::from_secs(target.clamp(1, 60));
        Some(Self { target, first: tag("#EXT-X-MEDIA-SEQUENCE:").unwrap_or(0), segments })
    }
}
