//! The access network: a TCP relay in front of delivery servers that breaks the path of single clients.
//!
//! Agents connect from addresses of their own (127.0.0.x), so a rule for one address is one agent's broken path. A path that
//! is cut swallows: connections are made and nothing comes back, those that exist stall, as when a router drops packets. The
//! relay connects to the server from the client's own address, so that the server still sees who asks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, watch},
};

use super::process::{self, Refusal, named_addresses};

/// Connections at one time over all servers; more are closed at once and counted.
const MAX_CONNECTIONS: usize = 2_000;
/// Clients that may have a rule.
const MAX_RULES: usize = 1_000;
const BUFFER: usize = 16 << 10;

/// Arguments of `access`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A delivery server to stand in front of; may stand several times
    #[arg(long = "front", required = true, value_name = "SERVER=ADDRESS")]
    fronts: Vec<String>,
    /// Address of the control API
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
}

#[derive(Serialize)]
struct Ready {
    control: String,
    /// Where each server is reached through the access network.
    fronts: BTreeMap<String, SocketAddr>,
}

/// What happens to a client's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// All goes through.
    #[default]
    Pass,
    /// Nothing goes through; connections stay.
    Cut,
    /// Each direction of each connection carries so much.
    Slow {
        /// From 1 up.
        bytes_per_second: u32,
    },
}

type Rules = BTreeMap<IpAddr, Rule>;

#[derive(Clone)]
struct Access {
    rules: watch::Sender<Rules>,
    room: Arc<Semaphore>,
    refused: Arc<AtomicU64>,
}

/// Runs the access network until it is told to stop.
///
/// # Errors
/// Addresses cannot be read or had.
pub fn run(arguments: Arguments) -> Result<()> {
    process::run(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<()> {
    let access = Access {
        rules: watch::Sender::new(Rules::new()),
        room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        refused: Arc::default(),
    };
    let mut fronts = BTreeMap::new();
    for text in &arguments.fronts {
        let (server, list) = named_addresses(text).map_err(anyhow::Error::msg)?;
        let &[target] = list.as_slice() else { bail!("--front {text}: one address is wanted") };
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot open a front")?;
        let address = listener.local_addr()?;
        if fronts.insert(server, address).is_some() {
            bail!("--front {text}: the server stands twice");
        }
        tokio::spawn(accept(listener, target, access.clone()));
    }
    let api = Router::new()
        .route("/state", get(state))
        .route("/rules", post(set_rule))
        .with_state(access);
    let control = process::serve(arguments.control, api).await?;
    process::announce(&Ready { control: format!("http://{control}"), fronts })?;
    process::stopped().await
}

async fn accept(listener: TcpListener, target: SocketAddr, access: Access) {
    loop {
        let Ok((client, from)) = listener.accept().await else {
            // Out of file descriptors: trying on at once would not help.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(room) = Arc::clone(&access.room).try_acquire_owned() else {
            access.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let rules = access.rules.subscribe();
        tokio::spawn(async move {
            // A connection that fails is closed on both sides, which is all that its ends can see.
            let _ = relay(client, from.ip(), target, rules).await;
            drop(room);
        });
    }
}

async fn relay(
    client: TcpStream,
    from: IpAddr,
    target: SocketAddr,
    rules: watch::Receiver<Rules>,
) -> std::io::Result<()> {
    let mut path = Path { from, rules };
    path.open().await;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let server = socket.connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    // When one direction ends, so does the connection: neither players nor HTTP servers use half of one.
    tokio::select! {
        ended = copy(client_reads, server_writes, path.clone()) => ended,
        ended = copy(server_reads, client_writes, path) => ended,
    }
}

/// One client's path.
#[derive(Clone)]
struct Path {
    from: IpAddr,
    rules: watch::Receiver<Rules>,
}

impl Path {
    /// Waits while the path is cut.
    async fn open(&mut self) -> Rule {
        let from = self.from;
        let rule = move |rules: &Rules| rules.get(&from).copied().unwrap_or_default();
        match self.rules.wait_for(|rules| rule(rules) != Rule::Cut).await {
            Ok(rules) => rule(&rules),
            // Nobody can set rules any more: the process ends.
            Err(_) => Rule::Pass,
        }
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut path: Path,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        path.open().await;
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        // What was read while the path broke waits, too.
        if let Rule::Slow { bytes_per_second } = path.open().await {
            let seconds = length as f64 / f64::from(bytes_per_second.max(1));
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

#[derive(Deserialize)]
struct Order {
    client: IpAddr,
    #[serde(flatten)]
    rule: Rule,
}

async fn set_rule(
    State(access): State<Access>,
    Json(order): Json<Order>,
) -> Result<Json<serde_json::Value>, Refusal> {
    if matches!(order.rule, Rule::Slow { bytes_per_second: 0 }) {
        return Err(Refusal::invalid("bytes_per_second is at least 1; use cut for none"));
    }
    let mut full = false;
    access.rules.send_modify(|rules| {
        if order.rule == Rule::Pass {
            rules.remove(&order.client);
        } else if rules.len() < MAX_RULES || rules.contains_key(&order.client) {
            rules.insert(order.client, order.rule);
        } else {
            full = true;
        }
    });
    if full {
        return Err(Refusal::invalid(format!("there are {MAX_RULES} rules already")));
    }
    Ok(Json(serde_json::json!({ "at_unix_ms": process::unix_ms() })))
}

async fn state(State(access): State<Access>) -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "rules": *access.rules.borrow(),
        "connections": MAX_CONNECTIONS - access.room.available_permits(),
        "refused": access.refused.load(Ordering::Relaxed),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo_server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, from) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let hello = format!("{:>15}", from.ip().to_string());
                    stream.write_all(hello.as_bytes()).await.unwrap();
                    let (mut reads, mut writes) = stream.split();
                    let _ = tokio::io::copy(&mut reads, &mut writes).await;
                });
            }
        });
        address
    }

    async fn connect(from: &str, front: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(front).await.unwrap()
    }

    async fn read(stream: &mut TcpStream, length: usize) -> Option<String> {
        let mut data = vec![0; length];
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut data));
        read.await.ok().map(|done| done.map(|_| String::from_utf8(data).unwrap()).unwrap())
    }

    #[tokio::test]
    async fn a_cut_path_stalls_one_client_alone_and_goes_on_where_it_stopped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = listener.local_addr().unwrap();
        let access = Access {
            rules: watch::Sender::new(Rules::new()),
            room: Arc::new(Semaphore::new(10)),
            refused: Arc::default(),
        };
        tokio::spawn(accept(listener, echo_server().await, access.clone()));
        let (mut a, mut b) =
            (connect("127.0.0.13", front).await, connect("127.0.0.14", front).await);
        assert_eq!(read(&mut a, 15).await.unwrap().trim(), "127.0.0.13");
        assert_eq!(read(&mut b, 15).await.unwrap().trim(), "127.0.0.14");
        access.rules.send_modify(|rules| {
            rules.insert("127.0.0.13".parse().unwrap(), Rule::Cut);
        });
        a.write_all(b"one").await.unwrap();
        b.write_all(b"two").await.unwrap();
        assert_eq!(read(&mut b, 3).await.unwrap(), "two");
        let mut late = connect("127.0.0.13", front).await;
        assert_eq!(read(&mut a, 3).await, None, "an old connection stalls");
        assert_eq!(read(&mut late, 15).await, None, "a new one hangs");
        access.rules.send_modify(Rules::clear);
        assert_eq!(read(&mut a, 3).await.unwrap(), "one");
        assert_eq!(read(&mut late, 15).await.unwrap().trim(), "127.0.0.13");
    }

    #[test]
    fn rules_read_as_documented() {
        let read = |json: &str| serde_json::from_str::<Order>(json).map(|order| order.rule);
        assert_eq!(read(r#"{"client":"127.0.0.13","rule":"cut"}"#).unwrap(), Rule::Cut);
        let slow = read(r#"{"client":"127.0.0.13","rule":"slow","bytes_per_second":9}"#).unwrap();
        assert_eq!(slow, Rule::Slow { bytes_per_second: 9 });
        assert!(read(r#"{"client":"here","rule":"cut"}"#).is_err());
    }
}
