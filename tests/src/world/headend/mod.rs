//! The head-end: plays every source without a break over UDP multicast on loopback, with faults by its control API.
//!
//! One thread keeps the time and sends, so that nothing the API does can delay a packet; the API talks to it over a bounded
//! channel. Every source has a group and a port of its own, derived from a run of free ports, so parallel worlds keep apart.

mod playout;

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    path::PathBuf,
    sync::{Arc, mpsc},
};

use anyhow::{Context, Result, bail};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::sync::oneshot;

use self::playout::{Order, Playout, Shared};
use super::{
    clip::{self, CHANNELS, Channel},
    loss::{Loss, Random},
    mux::{Mux, Service},
    process::{self, Refusal},
    programme::{Clips, Programme},
};

pub use self::playout::{Applied, SourceState};

/// Arguments of `headend`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder of the clips; default is a folder of the user's cache.
    #[arg(long)]
    clips: Option<PathBuf>,
    /// Play only the first so many channels.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    channels: u8,
    /// How much later the backup shows the same programme.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    backup_offset_ms: u64,
    /// Seed of loss and of where the sources' clocks begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Address of the control API.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
}

/// Address and role of one source, as `ready` states it.
#[derive(Clone, Debug, Serialize)]
pub struct SourceAddress {
    /// Channel id.
    pub channel: String,
    /// `primary` or `backup`.
    pub source: String,
    /// `udp://GROUP:PORT`.
    pub url: String,
    /// Name of the interface.
    pub interface: String,
    /// service_id in the stream.
    pub service_id: u16,
    /// How much later than the primary it shows the same programme.
    pub offset_ms: u64,
}

#[derive(Serialize)]
struct Ready<'a> {
    control: String,
    sources: &'a [SourceAddress],
    clips: clip::Prepared,
}

/// What can be ordered of a source. Picture and sound change at the next group of pictures, the rest at once.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Nothing is wrong: picture, sound, no loss, on the air.
    Normal,
    /// Total black.
    Black,
    /// The picture stands still, bit for bit.
    Frozen,
    /// The picture stands still under slight noise.
    FrozenNoisy,
    /// Digital silence.
    Silent,
    /// One fade with 1.5 s of total black; normal again by itself.
    Fade,
    /// 20 s of sound at -50 dBFS; normal again by itself.
    Quiet,
    /// A dark moving scene with a bright logo.
    Dark,
    /// Datagrams are lost after the counters were stamped.
    Loss {
        /// Which share, 0 to 1.
        fraction: f64,
    },
    /// The video's packets are missing; PCR, counters and rate stay legal.
    NoVideo,
    /// The sound's packets are missing; all else stays legal.
    NoAudio,
    /// Nothing is sent. The clock goes on, as when a link breaks.
    Stop,
    /// Sending goes on.
    Resume,
}

/// Runs the head-end until it is told to stop.
///
/// # Errors
/// Clips cannot be made, or addresses not be had.
pub fn run(arguments: Arguments) -> Result<()> {
    process::run(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<()> {
    let folder = arguments.clips.clone().unwrap_or_else(clip::default_folder);
    let channels = &CHANNELS[..usize::from(arguments.channels)];
    let clips = clip::prepare(&folder, channels, |done, all| {
        process::progress(&format!("clip {done} of {all}"));
    })?;
    let (playout, addresses) = build(&folder, channels, &arguments)?;
    let shared = playout.shared();
    let (orders, inbox) = mpsc::sync_channel(64);
    let desk = Desk { orders, shared, addresses: Arc::new(addresses) };
    let api = Router::new()
        .route("/state", get(state))
        .route("/sources/{channel}/{source}", post(order_source))
        .route("/channels/{channel}", post(order_channel))
        .with_state(desk.clone());
    let control = process::serve(arguments.control, api).await?;
    std::thread::Builder::new().name("playout".to_owned()).spawn(move || playout.run(&inbox))?;
    process::announce(&Ready {
        control: format!("http://{control}"),
        sources: &desk.addresses,
        clips,
    })?;
    process::stopped().await
}

/// The service of the channel at that place of [`CHANNELS`].
#[must_use]
pub fn service(place: usize) -> Service {
    let number = place as u16 + 1;
    Service {
        id: number,
        name: CHANNELS[place].name.to_owned(),
        provider: "Tallylight".to_owned(),
        map_pid: number * 0x100,
    }
}

/// Puts the sources together: primary and backup of each channel in turn.
fn build(
    folder: &std::path::Path,
    channels: &[Channel],
    arguments: &Arguments,
) -> Result<(Playout, Vec<SourceAddress>)> {
    let sockets = free_groups(channels.len() * 2)?;
    let mut random = Random::new(arguments.seed);
    let (mut playout, mut addresses) = (Playout::default(), Vec::new());
    let mut sockets = sockets.into_iter();
    for (number, channel) in channels.iter().enumerate() {
        let clips: Arc<Clips> = Arc::new(clip::load(folder, channel)?);
        let service = service(number);
        for (source, offset_ms) in [("primary", 0), ("backup", arguments.backup_offset_ms)] {
            let (socket, group) = sockets.next().context("too few sockets")?;
            // Up to a day, so that no clock wraps around during a demo.
            let clock_base = random.next_u64() % (12 * 3_600 * 90_000);
            let mux = Mux::new(&service, Programme::new(Arc::clone(&clips)), clock_base);
            let loss = Loss::new(random.next_u64());
            playout.add((channel.id, source), mux, loss, socket, offset_ms);
            addresses.push(SourceAddress {
                channel: channel.id.to_owned(),
                source: source.to_owned(),
                url: format!("udp://{group}"),
                interface: "lo".to_owned(),
                service_id: service.id,
                offset_ms,
            });
        }
    }
    Ok((playout, addresses))
}

/// Sockets that send to one multicast group each, on loopback. They keep their port on 127.0.0.1 while they live, which
/// is how parallel worlds see that a group is taken.
///
/// # Errors
/// No run of free ports was found.
pub fn free_groups(count: usize) -> Result<Vec<(UdpSocket, SocketAddrV4)>> {
    const ATTEMPTS: usize = 200;
    for _ in 0..ATTEMPTS {
        let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let first = probe.local_addr()?.port();
        drop(probe);
        if let Ok(run) = groups_from(first, count) {
            return Ok(run);
        }
    }
    bail!("found no {count} free UDP ports in a row")
}

/// The same from a port on.
///
/// # Errors
/// A port is taken.
pub fn groups_from(first: u16, count: usize) -> Result<Vec<(UdpSocket, SocketAddrV4)>> {
    let port = |n: usize| first.checked_add(u16::try_from(n).ok()?);
    (0..count).map(|n| group_socket(port(n).context("there is no such port")?)).collect()
}

fn group_socket(port: u16) -> Result<(UdpSocket, SocketAddrV4)> {
    let [high, low] = port.to_be_bytes();
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, high, low), port);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)))?;
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_ttl_v4(0)?;
    socket.connect(&SockAddr::from(group))?;
    Ok((socket.into(), group))
}

#[derive(Clone)]
struct Desk {
    orders: mpsc::SyncSender<Order>,
    shared: Shared,
    addresses: Arc<Vec<SourceAddress>>,
}

impl Desk {
    /// Has a fault carried out by the sources at those places, at the same picture of the programme.
    async fn order(&self, sources: Vec<usize>, fault: Fault) -> Result<Vec<Applied>, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.orders.try_send(Order { sources, fault, answer }).map_err(|_| {
            Refusal(StatusCode::TOO_MANY_REQUESTS, "too many orders are waiting".to_owned())
        })?;
        answered
            .await
            .map_err(|_| Refusal(StatusCode::CONFLICT, "a later order took its place".to_owned()))?
            .map_err(Refusal::invalid)
    }
}

async fn state(State(desk): State<Desk>) -> Json<serde_json::Value> {
    let sources = desk.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    Json(serde_json::json!({ "now_unix_ms": process::unix_ms(), "sources": sources }))
}

async fn order_source(
    State(desk): State<Desk>,
    Path((channel, source)): Path<(String, String)>,
    Json(fault): Json<Fault>,
) -> Result<Json<Applied>, Refusal> {
    let place = desk.addresses.iter().position(|a| a.channel == channel && a.source == source);
    let place = place.ok_or_else(|| Refusal::unknown("source", &format!("{channel}/{source}")))?;
    let applied = desk.order(vec![place], fault).await?;
    applied.into_iter().next().map(Json).ok_or_else(|| Refusal::invalid("nothing was done"))
}

#[derive(Serialize)]
struct ChannelApplied {
    /// When the first source changed.
    at_unix_ms: u64,
    sources: Vec<Applied>,
}

async fn order_channel(
    State(desk): State<Desk>,
    Path(channel): Path<String>,
    Json(fault): Json<Fault>,
) -> Result<Json<ChannelApplied>, Refusal> {
    let of_channel = desk.addresses.iter().enumerate().filter(|(_, a)| a.channel == channel);
    let places: Vec<usize> = of_channel.map(|(place, _)| place).collect();
    if places.is_empty() {
        return Err(Refusal::unknown("channel", &channel));
    }
    let sources = desk.order(places, fault).await?;
    let at_unix_ms = sources.iter().map(|applied| applied.at_unix_ms).min().unwrap_or_default();
    Ok(Json(ChannelApplied { at_unix_ms, sources }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_read_as_documented_and_unknown_ones_are_refused() {
        let read = |json: &str| serde_json::from_str::<Fault>(json);
        assert_eq!(read(r#"{"fault":"no_video"}"#).unwrap(), Fault::NoVideo);
        let loss = read(r#"{"fault":"loss","fraction":0.05}"#).unwrap();
        assert_eq!(loss, Fault::Loss { fraction: 0.05 });
        for bad in [r#"{"fault":"blank"}"#, r#"{"fault":"loss"}"#, "{}", "[]"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parallel_worlds_get_groups_of_their_own() {
        let (a, b) = (free_groups(8).unwrap(), free_groups(8).unwrap());
        assert!(a.iter().all(|(_, group)| b.iter().all(|(_, other)| group != other)));
        assert!(a.iter().all(|(_, group)| group.ip().is_multicast()));
    }
}
