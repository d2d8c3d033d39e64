//! Viewers: ask the panel where to watch, watch, and ask again when the connection breaks. Their sessions are the traffic of
//! the world, and what a drained server loses. Monitors stay with one server, and no server counts them as viewers.
//!
//! Both look at what they get: they are the witnesses of when a region's deliveries were truly good again.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::{Json, Router, extract::State, routing::get};
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep, timeout, timeout_at},
};
use url::Url;

use super::{
    clip,
    loss::Random,
    process::{self, unix_ms},
    sight::{Known, Sight},
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
const MAX_DATAGRAM: usize = 2_048;
/// Bridges a scheduling delay; the kernel caps it.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The second byte of monitors' addresses, 127.2.x.x.
const MONITORS: u8 = 2;

/// Whether a client is a monitor, which is no viewer.
pub(super) fn is_monitor(client: IpAddr) -> bool {
    matches!(client, IpAddr::V4(address) if address.octets()[..2] == [127, MONITORS])
}

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
    /// What a monitor watches, and where
    #[arg(long = "monitor", value_name = "SERVER/REGION/CHANNEL=URL")]
    monitors: Vec<String>,
    /// Folder of the head-end's clips; default is a folder of the user's cache
    #[arg(long)]
    clips: Option<PathBuf>,
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

/// What one viewer or monitor gets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Receiver {
    /// Where its viewers are.
    pub region: String,
    /// What it watches.
    pub channel: String,
    /// The server of a monitor; viewers go where the panel sends them.
    pub server: Option<String>,
    /// Since when picture and sound have been the programme without a break; `None` while they are not.
    pub good_since_unix_ms: Option<u64>,
    /// When media last arrived.
    pub media_unix_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Everything {
    seen: Seen,
    receivers: Vec<Receiver>,
}

type Shared = Arc<Mutex<Everything>>;

fn locked(shared: &Mutex<Everything>) -> MutexGuard<'_, Everything> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    let shared = Shared::default();
    let folder = arguments.clips.clone().unwrap_or_else(clip::default_folder);
    let mut programmes = BTreeMap::new();
    for (number, (receiver, place)) in (0_u16..).zip(receivers(&arguments)?) {
        // Each has an address of its own, as players have: an edge knows HLS viewers and monitors by it.
        let [high, low] = (number + 1).to_be_bytes();
        let second = if receiver.server.is_some() { MONITORS } else { 1 };
        let client = Client::builder()
            .local_address(IpAddr::V4(Ipv4Addr::new(127, second, high, low)))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(REQUEST)
            .build()
            .context("cannot make an HTTP client")?;
        let stay = Duration::from_secs(arguments.stay_seconds);
        let what = format!("{}/{}", receiver.region, receiver.channel);
        let known = match programmes.get(&receiver.channel) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Known::load(&folder, &receiver.channel)?),
        };
        programmes.insert(receiver.channel.clone(), Arc::clone(&known));
        locked(&shared).receivers.push(receiver);
        let shared = Arc::clone(&shared);
        let viewer =
            Viewer { client, place, what, stay, known, number: usize::from(number), shared };
        tokio::spawn(async move {
            sleep(STAGGER * u32::from(number)).await;
            viewer.live(Random::new(u64::from(number))).await;
        });
    }
    let api = Router::new()
        .route("/state", get(state))
        .route("/receivers", get(seen_by_receivers))
        .with_state(shared);
    let control = process::serve(arguments.control, api).await?;
    process::announce(&Ready { control: format!("http://{control}"), viewers: arguments.count })?;
    process::stopped().await
}

/// Everybody who watches: viewers, then monitors.
fn receivers(arguments: &Arguments) -> Result<Vec<(Receiver, Place)>> {
    let mut all = Vec::new();
    for number in 0..usize::from(arguments.count) {
        let what = &arguments.watch[number % arguments.watch.len()];
        let [region, channel] = what.split('/').collect::<Vec<_>>()[..] else {
            bail!("--watch {what}: REGION/CHANNEL is wanted");
        };
        let ask = arguments.panel.join(&format!("watch/{what}")).context("no such address")?;
        all.push((receiver(region, channel, None), Place::Panel(ask)));
    }
    for text in &arguments.monitors {
        let (what, url) = text.split_once('=').unwrap_or((text, ""));
        let ([server, region, channel], Ok(url)) =
            (&what.split('/').collect::<Vec<_>>()[..], Url::parse(url))
        else {
            bail!("--monitor {text}: SERVER/REGION/CHANNEL=URL is wanted");
        };
        all.push((receiver(region, channel, Some(server)), Place::Server(url)));
    }
    Ok(all)
}

fn receiver(region: &str, channel: &str, server: Option<&str>) -> Receiver {
    Receiver {
        region: region.to_owned(),
        channel: channel.to_owned(),
        server: server.map(str::to_owned),
        ..Receiver::default()
    }
}

async fn state(State(shared): State<Shared>) -> Json<Seen> {
    Json(locked(&shared).seen.clone())
}

async fn seen_by_receivers(State(shared): State<Shared>) -> Json<Vec<Receiver>> {
    Json(locked(&shared).receivers.clone())
}

/// Where somebody watches.
enum Place {
    /// Where the panel says, if it is asked here.
    Panel(Url),
    /// Here, always.
    Server(Url),
}

struct Viewer {
    client: Client,
    place: Place,
    what: String,
    stay: Duration,
    known: Arc<Known>,
    /// Its place among the receivers.
    number: usize,
    shared: Shared,
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
                        self.note(|seen, _| seen.interruptions += u64::from(began));
                        began
                    }
                },
                None => {
                    self.note(|seen, _| seen.unanswered += 1);
                    false
                }
            };
            wait = if began { BACKOFF.0 } else { (wait * 2).min(BACKOFF.1) };
            sleep(wait.mul_f64(0.5 + random.next_unit())).await;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen, &mut Receiver)) {
        let everything = &mut *locked(&self.shared);
        change(&mut everything.seen, &mut everything.receivers[self.number]);
    }

    async fn get(&self, url: Url) -> Option<Response> {
        timeout(REQUEST, self.client.get(url).send()).await.ok()?.ok()
    }

    /// Asks the panel, if it is to be asked.
    async fn server(&self) -> Option<Url> {
        let ask = match &self.place {
            Place::Panel(ask) => ask,
            Place::Server(url) => return Some(url.clone()),
        };
        let answer = self.get(ask.clone()).await?;
        let found = answer.status() == StatusCode::FOUND;
        let location = answer.headers().get("location").filter(|_| found)?.to_str().ok()?;
        ask.join(location).ok()
    }

    async fn watch(&self, url: Url) -> End {
        let server = url.authority().to_owned();
        let mut session = Session { viewer: self, server, began: false, sight: Sight::default() };
        let end = Instant::now() + self.stay;
        let left = if url.scheme() == "udp" {
            session.group(&url, end).await
        } else if url.path().ends_with(".m3u8") {
            session.segments(url, end).await
        } else {
            session.stream(url, end).await
        };
        if left.is_some() { End::Left } else { End::Broken { began: session.began } }
    }
}

/// Watching from one server; a viewer is counted as long as media comes.
struct Session<'a> {
    viewer: &'a Viewer,
    server: String,
    began: bool,
    sight: Sight,
}

impl Session<'_> {
    fn got(&mut self, media: &[u8]) {
        let began = std::mem::replace(&mut self.began, true);
        let now = unix_ms();
        self.sight.push(&self.viewer.known, media, now);
        self.viewer.note(|seen, receiver| {
            receiver.good_since_unix_ms = self.sight.good_since();
            receiver.media_unix_ms = Some(now);
            seen.bytes += media.len() as u64;
            if !began && receiver.server.is_none() {
                seen.last_start_unix_ms = now;
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
                Ok(chunk) => self.got(&chunk.ok()??),
                Err(_) => return (Instant::now() >= end).then_some(()),
            }
        }
    }

    /// Watches a multicast group on loopback; `None` when nothing comes any more.
    async fn group(&mut self, url: &Url, end: Instant) -> Option<()> {
        let address = SocketAddrV4::new(url.host_str()?.parse().ok()?, url.port()?);
        let socket = join(address).ok()?;
        let mut datagram = [0; MAX_DATAGRAM];
        loop {
            let until = end.min(Instant::now() + PATIENCE);
            match timeout_at(until, socket.recv(&mut datagram)).await {
                Ok(length) => self.got(&datagram[..length.ok()?]),
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
                self.got(&timeout(REQUEST, answer.bytes()).await.ok()?.ok()?);
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
        self.viewer.note(|seen, receiver| {
            receiver.good_since_unix_ms = None;
            if !self.began || receiver.server.is_some() {
                return;
            }
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

fn join(group: SocketAddrV4) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&group.into())?;
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST)?;
    UdpSocket::from_std(socket.into())
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
