//! A delivery server: takes its channels by UDP and serves them as HTTP-TS, HLS or UDP multicast.
//!
//! It behaves as real servers do when the feed is missing: clients stay connected and get nothing, the playlist stops
//! growing. What it cannot deliver to a slow client in time it does not keep: that client is cut.

mod body;
mod feed;
mod segments;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use bytes::{Bytes, BytesMut};
use serde::Serialize;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
};

use self::{
    body::Endless,
    feed::{Feed, Mark},
    segments::Segments,
};
use super::{
    headend::{free_groups, groups_from},
    packet::PACKET,
    process::{self, named_addresses, unix_ms},
    viewers::is_monitor,
};

/// Clients of one channel; more are refused.
const MAX_CLIENTS: usize = 1_000;
/// Chunks that wait for one client, of about [`CHUNK_BYTES`]: 2 s of 1.9 Mb/s.
const CLIENT_CHUNKS: usize = 90;
/// Datagrams are passed on together: 20 ms of 1.9 Mb/s. Each client costs a system call for each chunk.
const CHUNK_BYTES: usize = 4 * 7 * PACKET;
const CHUNK_WAIT: Duration = Duration::from_millis(25);
/// What the kernel may hold for one client, so that a slow one is noticed.
const SEND_BUFFER: usize = 256 << 10;
/// Bridges a scheduling delay; the kernel caps it.
const RECEIVE_BUFFER: usize = 1 << 20;
const MAX_DATAGRAM: usize = 2_048;
/// An HLS client that has asked for nothing for so many target durations is gone.
const HLS_SESSION_TARGETS: u32 = 3;

/// How an edge delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// `/CHANNEL.ts`, a transport stream without end.
    HttpTs,
    /// `/CHANNEL/index.m3u8` and its segments.
    Hls,
    /// A group of its own for each channel, on loopback.
    Multicast,
}

/// Arguments of `edge`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Name of the server
    #[arg(long)]
    server: String,
    /// How it delivers
    #[arg(long, value_enum)]
    mode: Mode,
    /// A channel it delivers, and where its feed is taken if that matters
    #[arg(long = "channel", required = true, value_name = "CHANNEL[=ADDRESS]")]
    channels: Vec<String>,
    /// Target duration of HLS segments
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=30))]
    segment_seconds: u64,
    /// Where viewers connect
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Port of the first multicast group, if that matters; the others follow
    #[arg(long)]
    group_port: Option<u16>,
    /// Address of the control API
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
}

#[derive(Serialize)]
struct Ready {
    server: String,
    mode: Mode,
    control: String,
    /// Where viewers connect; none for multicast.
    media: Option<SocketAddr>,
    /// Where each channel's feed is taken.
    feeds: BTreeMap<String, SocketAddr>,
    /// Where each channel is watched.
    watch: BTreeMap<String, String>,
}

/// Counts of one channel.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Counts {
    datagrams_received: u64,
    /// Datagrams that hold no whole packets.
    datagrams_malformed: u64,
    egress_bytes: u64,
    clients_cut: u64,
    clients_refused: u64,
}

/// One HTTP-TS client.
#[derive(Debug)]
struct Client {
    sender: mpsc::Sender<Bytes>,
    /// Has been sent a key picture and all that follows.
    started: bool,
    /// Counts as one: monitors do not.
    viewer: bool,
}

#[derive(Debug)]
struct Channel {
    feed: Feed,
    segments: Segments,
    clients: Vec<Client>,
    /// HLS clients by address, with their last request; `None` for one whose session was ended.
    viewers: BTreeMap<IpAddr, Option<Instant>>,
    counts: Counts,
}

impl Channel {
    fn new(target: Duration) -> Self {
        Self {
            feed: Feed::default(),
            segments: Segments::new(target),
            clients: Vec::new(),
            viewers: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Takes whole packets that came in together and passes them on.
    fn deliver(&mut self, chunk: &Bytes, mode: Mode) {
        let now = unix_ms();
        let mut key = false;
        let (packets, _) = chunk.as_chunks::<PACKET>();
        for packet in packets {
            let mark = self.feed.packet(packet);
            key |= matches!(mark, Mark::Key(_));
            if mode == Mode::Hls {
                self.segments.packet(packet, mark, now, || self.feed.tables());
            }
        }
        let start = if key { self.feed.start() } else { Bytes::new() };
        let counts = &mut self.counts;
        self.clients.retain_mut(|client| {
            let part = match (client.started, key) {
                (true, _) => chunk,
                (false, true) => &start,
                (false, false) => return !client.sender.is_closed(),
            };
            client.started = true;
            keep(client, part, counts)
        });
    }

    /// Takes in an HTTP-TS client; it gets the last key picture and all since at once.
    fn join(&mut self, viewer: bool) -> Option<Body> {
        if self.clients.len() >= MAX_CLIENTS {
            self.counts.clients_refused += 1;
            return None;
        }
        let (sender, chunks) = mpsc::channel(CLIENT_CHUNKS);
        let start = self.feed.start();
        let mut client = Client { sender, started: !start.is_empty(), viewer };
        if start.is_empty() || keep(&mut client, &start, &mut self.counts) {
            self.clients.push(client);
        }
        Some(Body::new(Endless(chunks)))
    }

    /// Notes an HLS client's request; false if its session was ended, which it is told once.
    fn visit(&mut self, viewer: IpAddr) -> bool {
        if self.viewers.get(&viewer) == Some(&None) {
            self.viewers.remove(&viewer);
            return false;
        }
        if self.viewers.len() < MAX_CLIENTS || self.viewers.contains_key(&viewer) {
            self.viewers.insert(viewer, Some(Instant::now()));
        } else {
            self.counts.clients_refused += 1;
        }
        true
    }

    fn sessions(&mut self, target: Duration) -> usize {
        self.clients.retain(|client| !client.sender.is_closed());
        let lasting = target * HLS_SESSION_TARGETS;
        self.viewers.retain(|_, last| last.is_none_or(|last| last.elapsed() < lasting));
        let streams = self.clients.iter().filter(|client| client.viewer).count();
        streams + self.viewers.values().flatten().count()
    }

    fn end_sessions(&mut self) {
        self.clients.retain(|client| !client.viewer);
        self.viewers.values_mut().for_each(|last| *last = None);
    }
}

/// Gives a client its part; false if it is gone, or cut because it is too slow.
fn keep(client: &mut Client, part: &Bytes, counts: &mut Counts) -> bool {
    if client.sender.is_closed() {
        return false;
    }
    if client.sender.try_send(part.clone()).is_ok() {
        counts.egress_bytes += if client.viewer { part.len() as u64 } else { 0 };
        return true;
    }
    counts.clients_cut += 1;
    false
}

#[derive(Debug)]
struct Edge {
    mode: Mode,
    target: Duration,
    channels: BTreeMap<String, Mutex<Channel>>,
}

impl Edge {
    fn channel(&self, name: &str) -> Option<MutexGuard<'_, Channel>> {
        self.channels.get(name).map(|c| c.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs the delivery server until it is told to stop.
///
/// # Errors
/// Addresses cannot be read or had.
pub fn run(arguments: Arguments) -> Result<()> {
    process::run(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<()> {
    let wanted = feeds_of(&arguments.channels)?;
    let target = Duration::from_secs(arguments.segment_seconds);
    let channels =
        wanted.keys().map(|name| (name.clone(), Mutex::new(Channel::new(target)))).collect();
    let edge = Arc::new(Edge { mode: arguments.mode, target, channels });
    let mut outputs = outputs_of(&arguments, wanted.len())?.into_iter();
    let media = listen_for_viewers(&arguments, &edge).await?;
    let (mut feeds, mut watch) = (BTreeMap::new(), BTreeMap::new());
    for (name, address) in wanted {
        let socket = UdpSocket::bind(address)
            .await
            .with_context(|| format!("cannot take the feed of {name} on {address}"))?;
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
        feeds.insert(name.clone(), socket.local_addr()?);
        let output = outputs.next();
        let url = match (edge.mode, media, &output) {
            (Mode::HttpTs, Some(media), _) => format!("http://{media}/{name}.ts"),
            (Mode::Hls, Some(media), _) => format!("http://{media}/{name}/index.m3u8"),
            (_, _, Some((_, group))) => format!("udp://{group}"),
            _ => bail!("{name} has no output"),
        };
        watch.insert(name.clone(), url);
        tokio::spawn(take_feed(socket, Arc::clone(&edge), name, output.map(|(socket, _)| socket)));
    }
    let api = Router::new()
        .route("/sessions", get(sessions))
        .route("/sessions/end", post(end_sessions))
        .route("/state", get(state))
        .with_state(Arc::clone(&edge));
    let control = process::serve(arguments.control, api).await?;
    let (server, mode, control) = (arguments.server, arguments.mode, format!("http://{control}"));
    process::announce(&Ready { server, mode, control, media, feeds, watch })?;
    process::stopped().await
}

fn feeds_of(channels: &[String]) -> Result<BTreeMap<String, SocketAddr>> {
    let mut feeds = BTreeMap::new();
    for text in channels {
        let (name, address) = if text.contains('=') {
            let (name, list) = named_addresses(text).map_err(anyhow::Error::msg)?;
            (name, list.first().copied())
        } else {
            (text.clone(), None)
        };
        let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        if feeds.insert(name, address).is_some() {
            bail!("--channel {text}: the channel stands twice");
        }
    }
    Ok(feeds)
}

fn outputs_of(
    arguments: &Arguments,
    count: usize,
) -> Result<Vec<(StdUdpSocket, std::net::SocketAddrV4)>> {
    match (arguments.mode, arguments.group_port) {
        (Mode::Multicast, Some(first)) => groups_from(first, count)
            .with_context(|| format!("{count} groups from port {first} on are not free")),
        (Mode::Multicast, None) => free_groups(count),
        _ => Ok(Vec::new()),
    }
}

async fn listen_for_viewers(arguments: &Arguments, edge: &Arc<Edge>) -> Result<Option<SocketAddr>> {
    let routes = match arguments.mode {
        Mode::Multicast => return Ok(None),
        Mode::HttpTs => Router::new().route("/{file}", get(watch_stream)),
        Mode::Hls => Router::new().route("/{channel}/{file}", get(watch_hls)),
    };
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let media = listener.local_addr()?;
    let listener = listener.tap_io(|connection| {
        // Best effort: a connection that is gone already fails by itself.
        let _ = connection.set_nodelay(true);
        let _ = SockRef::from(&*connection).set_send_buffer_size(SEND_BUFFER);
    });
    let service =
        routes.with_state(Arc::clone(edge)).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(Some(media))
}

/// Receives one channel's feed. For viewers by HTTP, datagrams are put together to chunks; multicast goes on at once.
async fn take_feed(socket: UdpSocket, edge: Arc<Edge>, name: String, output: Option<StdUdpSocket>) {
    let mut buffer = [0; MAX_DATAGRAM];
    let mut chunk = BytesMut::new();
    let mut due = None;
    loop {
        let flush = tokio::select! {
            received = socket.recv(&mut buffer) => {
                let Ok(length) = received else { continue };
                let datagram = &buffer[..length];
                if !count(&edge, &name, datagram, output.as_ref()) {
                    continue;
                }
                chunk.extend_from_slice(datagram);
                due.get_or_insert_with(|| tokio::time::Instant::now() + CHUNK_WAIT);
                chunk.len() >= CHUNK_BYTES
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)),
                if due.is_some() => true,
        };
        if flush {
            due = None;
            let chunk = chunk.split().freeze();
            if let Some(mut channel) = edge.channel(&name).filter(|_| output.is_none()) {
                channel.deliver(&chunk, edge.mode);
            }
        }
    }
}

/// Counts a datagram and sends it to the multicast group, if there is one; false if it holds no whole packets.
fn count(edge: &Edge, name: &str, datagram: &[u8], output: Option<&StdUdpSocket>) -> bool {
    let Some(mut channel) = edge.channel(name) else { return false };
    channel.counts.datagrams_received += 1;
    let (packets, rest) = datagram.as_chunks::<PACKET>();
    if !rest.is_empty() || packets.iter().any(|packet| packet[0] != 0x47) {
        channel.counts.datagrams_malformed += 1;
        return false;
    }
    if let Some(output) = output {
        // On loopback a send that fails is a full buffer, which is loss as on any network.
        channel.counts.egress_bytes += output.send(datagram).unwrap_or(0) as u64;
    }
    true
}

async fn watch_stream(
    State(edge): State<Arc<Edge>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(file): Path<String>,
) -> Response {
    let channel = file.strip_suffix(".ts").and_then(|name| edge.channel(name));
    let Some(mut channel) = channel else { return StatusCode::NOT_FOUND.into_response() };
    match channel.join(!is_monitor(client.ip())) {
        Some(body) => media("video/mp2t", body),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn watch_hls(
    State(edge): State<Arc<Edge>>,
    ConnectInfo(viewer): ConnectInfo<SocketAddr>,
    Path((name, file)): Path<(String, String)>,
) -> Response {
    let Some(mut channel) = edge.channel(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let counts = !is_monitor(viewer.ip());
    if counts && !channel.visit(viewer.ip()) {
        return StatusCode::GONE.into_response();
    }
    let found = if file == "index.m3u8" {
        channel.segments.playlist().map(|list| ("application/vnd.apple.mpegurl", list.into()))
    } else {
        let number = file.strip_suffix(".ts").and_then(|number| number.parse().ok());
        let segment = number.and_then(|number| channel.segments.segment(number));
        segment.map(|segment| ("video/mp2t", segment.data.clone()))
    };
    let Some((kind, data)) = found else { return StatusCode::NOT_FOUND.into_response() };
    channel.counts.egress_bytes += if counts { data.len() as u64 } else { 0 };
    media(kind, Body::from(data))
}

fn media(kind: &'static str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body).into_response()
}

/// Who watches a channel, as the panel asks for it.
#[derive(Serialize)]
struct Sessions {
    channel: String,
    sessions: usize,
    egress_bytes: u64,
}

async fn sessions(State(edge): State<Arc<Edge>>) -> Json<Vec<Sessions>> {
    let of = |name: &String| {
        let mut channel = edge.channel(name)?;
        let sessions = channel.sessions(edge.target);
        let egress_bytes = channel.counts.egress_bytes;
        Some(Sessions { channel: name.clone(), sessions, egress_bytes })
    };
    Json(edge.channels.keys().filter_map(of).collect())
}

async fn end_sessions(State(edge): State<Arc<Edge>>) -> Json<serde_json::Value> {
    for name in edge.channels.keys() {
        if let Some(mut channel) = edge.channel(name) {
            channel.end_sessions();
        }
    }
    Json(serde_json::json!({ "at_unix_ms": unix_ms() }))
}

async fn state(State(edge): State<Arc<Edge>>) -> Json<BTreeMap<String, Counts>> {
    let of = |name: &String| Some((name.clone(), edge.channel(name)?.counts));
    Json(edge.channels.keys().filter_map(of).collect())
}
