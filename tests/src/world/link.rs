//! The link of one region: takes each channel's feed by UDP and passes it on to the region's delivery servers.
//!
//! It is where a region's path breaks. Loss comes before the feed is shared out, as on a real uplink, so that every server
//! of the region loses the same datagrams; what was dropped is counted by channel, as a witness beside the agents.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::{net::UdpSocket, time::Instant};

use super::{
    loss::Loss,
    packet::PACKET,
    process::{self, Refusal, named_addresses},
};

/// Datagrams that wait for their delay to pass; more are dropped and counted.
const MAX_DELAYED: usize = 4_096;
/// The longest delay that [`MAX_DELAYED`] can hold of a feed of 180 datagrams a second.
const MAX_DELAY_MS: u64 = 20_000;
const MAX_DATAGRAM: usize = 2_048;
/// Bridges a scheduling delay; the kernel caps it.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Arguments of `link`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Name of the region
    #[arg(long)]
    region: String,
    /// Where a channel's feed goes; once for each channel
    #[arg(long = "forward", required = true, value_name = "CHANNEL=ADDRESS[,ADDRESS]")]
    forward: Vec<String>,
    /// Seed of the loss
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Address of the control API
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
}

#[derive(Serialize)]
struct Ready {
    region: String,
    control: String,
    /// Where each channel's feed is taken.
    feeds: BTreeMap<String, SocketAddr>,
}

/// Exact counts of one channel's feed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// Datagrams that came in.
    pub datagrams_received: u64,
    /// Datagrams that loss took.
    pub datagrams_dropped: u64,
    /// Transport stream packets in them.
    pub packets_dropped: u64,
    /// Datagrams passed on; once, however many servers there are.
    pub datagrams_forwarded: u64,
    /// Datagrams for which there was no room while they were delayed.
    pub datagrams_overflowed: u64,
}

#[derive(Debug)]
struct Channel {
    loss: Loss,
    delay: Duration,
    counts: Counts,
}

type Channels = Arc<BTreeMap<String, Mutex<Channel>>>;

fn locked(channel: &Mutex<Channel>) -> MutexGuard<'_, Channel> {
    channel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the link until it is told to stop.
///
/// # Errors
/// Addresses cannot be read or had.
pub fn run(arguments: Arguments) -> Result<()> {
    process::run(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<()> {
    let mut targets = BTreeMap::new();
    for text in &arguments.forward {
        let (channel, list) = named_addresses(text).map_err(anyhow::Error::msg)?;
        if targets.insert(channel, list).is_some() {
            bail!("--forward {text}: the channel stands twice");
        }
    }
    let seeded = targets.keys().zip(arguments.seed..).map(|(name, seed)| {
        let loss = Loss::new(seed);
        (
            name.clone(),
            Mutex::new(Channel { loss, delay: Duration::ZERO, counts: Counts::default() }),
        )
    });
    let channels: Channels = Arc::new(seeded.collect());
    let mut feeds = BTreeMap::new();
    for (name, list) in targets {
        let socket = UdpSocket::bind("127.0.0.1:0").await.context("cannot open a feed")?;
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
        feeds.insert(name.clone(), socket.local_addr()?);
        tokio::spawn(relay(socket, list, Arc::clone(&channels), name));
    }
    let api = Router::new()
        .route("/state", get(state))
        .route("/loss", post(set_loss))
        .route("/delay", post(set_delay))
        .with_state(channels);
    let control = process::serve(arguments.control, api).await?;
    let control = format!("http://{control}");
    process::announce(&Ready { region: arguments.region, control, feeds })?;
    process::stopped().await
}

/// Passes one channel's datagrams on, each when its delay has passed.
async fn relay(socket: UdpSocket, targets: Vec<SocketAddr>, channels: Channels, name: String) {
    let Some(channel) = channels.get(&name) else { return };
    let mut delayed: VecDeque<(Instant, Bytes)> = VecDeque::new();
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        let due = delayed.front().map(|(due, _)| *due);
        tokio::select! {
            received = socket.recv(&mut buffer) => {
                let Ok(length) = received else { continue };
                let Some(delay) = admit(channel, length, delayed.len()) else { continue };
                if delay.is_zero() && delayed.is_empty() {
                    pass_on(&socket, &targets, &buffer[..length]).await;
                } else {
                    let datagram = Bytes::copy_from_slice(&buffer[..length]);
                    delayed.push_back((Instant::now() + delay, datagram));
                }
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some((_, datagram)) = delayed.pop_front() {
                    pass_on(&socket, &targets, &datagram).await;
                }
            }
        }
    }
}

/// Counts a datagram; answers its delay unless it is lost.
fn admit(channel: &Mutex<Channel>, length: usize, waiting: usize) -> Option<Duration> {
    let mut channel = locked(channel);
    channel.counts.datagrams_received += 1;
    if channel.loss.drops() {
        channel.counts.datagrams_dropped += 1;
        channel.counts.packets_dropped += (length / PACKET) as u64;
        None
    } else if waiting >= MAX_DELAYED {
        channel.counts.datagrams_overflowed += 1;
        None
    } else {
        channel.counts.datagrams_forwarded += 1;
        Some(channel.delay)
    }
}

/// A server that is away does not stop the others: what cannot be sent is lost, as on any network.
async fn pass_on(socket: &UdpSocket, targets: &[SocketAddr], datagram: &[u8]) {
    for target in targets {
        let _ = socket.send_to(datagram, target).await;
    }
}

#[derive(Serialize)]
struct ChannelState {
    loss: f64,
    delay_ms: u64,
    #[serde(flatten)]
    counts: Counts,
}

async fn state(State(channels): State<Channels>) -> Json<serde_json::Value> {
    let states: BTreeMap<&String, ChannelState> = channels
        .iter()
        .map(|(name, channel)| {
            let channel = locked(channel);
            let delay_ms = channel.delay.as_millis() as u64;
            let (loss, counts) = (channel.loss.fraction(), channel.counts);
            (name, ChannelState { loss, delay_ms, counts })
        })
        .collect();
    Json(serde_json::json!({ "now_unix_ms": process::unix_ms(), "channels": states }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LossOrder {
    /// All channels where none is named.
    channel: Option<String>,
    fraction: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DelayOrder {
    channel: Option<String>,
    ms: u64,
}

#[derive(Serialize)]
struct Applied {
    at_unix_ms: u64,
}

fn named<'a>(
    channels: &'a Channels,
    name: Option<&str>,
) -> Result<Vec<&'a Mutex<Channel>>, Refusal> {
    match name {
        None => Ok(channels.values().collect()),
        Some(name) => {
            channels.get(name).map(|c| vec![c]).ok_or_else(|| Refusal::unknown("channel", name))
        }
    }
}

async fn set_loss(
    State(channels): State<Channels>,
    Json(order): Json<LossOrder>,
) -> Result<Json<Applied>, Refusal> {
    for channel in named(&channels, order.channel.as_deref())? {
        locked(channel).loss.set(order.fraction).map_err(Refusal::invalid)?;
    }
    Ok(Json(Applied { at_unix_ms: process::unix_ms() }))
}

async fn set_delay(
    State(channels): State<Channels>,
    Json(order): Json<DelayOrder>,
) -> Result<Json<Applied>, Refusal> {
    if order.ms > MAX_DELAY_MS {
        return Err(Refusal::invalid(format!("a delay is at most {MAX_DELAY_MS} ms")));
    }
    for channel in named(&channels, order.channel.as_deref())? {
        locked(channel).delay = Duration::from_millis(order.ms);
    }
    Ok(Json(Applied { at_unix_ms: process::unix_ms() }))
}
