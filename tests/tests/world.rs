//! The synthetic world as processes on loopback: what it plays, relays and serves is what was ordered.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, routing::get};
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};
use tallylight_tests::world::{
    mux::PACKET_TICKS,
    scan::{PidScan, Scan},
};

const DEADLINE: Duration = Duration::from_secs(60);
const PACKET: usize = 188;

/// A process of the world; it ends with its standard input.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    ready: Value,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Self::launch(arguments);
        let stdout = process.child.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines().map(Result::unwrap);
        let line = lines.find(|line| !line.starts_with("progress ")).unwrap();
        process.ready = serde_json::from_str(line.strip_prefix("ready ").unwrap()).unwrap();
        process
    }

    fn launch(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tallylight-world"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        Self { child, stdin, ready: Value::Null }
    }

    fn text(&self, pointer: &str) -> &str {
        self.ready.pointer(pointer).and_then(Value::as_str).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.text("/control"));
        client().get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.text("/control"));
        let answer = client().post(url).json(&body).send().await.unwrap();
        let status = answer.status();
        let body = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > Duration::from_secs(5) {
                self.child.kill().unwrap();
                assert!(std::thread::panicking(), "a process outlived its standard input");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn receiver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Joins a group given as `udp://GROUP:PORT`, on loopback.
fn join(url: &str) -> UdpSocket {
    let address: SocketAddrV4 = url.strip_prefix("udp://").unwrap().parse().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_recv_buffer_size(4 << 20).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.join_multicast_v4(address.ip(), &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.into()
}

fn receive(socket: &UdpSocket, datagrams: usize) -> Vec<u8> {
    let (mut out, mut buffer) = (Vec::new(), [0; 2048]);
    for _ in 0..datagrams {
        let length = socket.recv(&mut buffer).unwrap();
        out.extend_from_slice(&buffer[..length]);
    }
    out
}

/// Everything that was sent before a source stopped.
fn drain(socket: &UdpSocket) -> Vec<u8> {
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let (mut out, mut buffer) = (Vec::new(), [0; 2048]);
    while let Ok(length) = socket.recv(&mut buffer) {
        out.extend_from_slice(&buffer[..length]);
    }
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    out
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Head-end with channel one, its forward process, the link and an edge of each kind.
struct World {
    edges: BTreeMap<&'static str, Process>,
    link: Process,
    /// Ends with its standard input, too.
    forward: Process,
    headend: Process,
}

impl World {
    fn start() -> Self {
        let headend = Process::start(&["headend", "--channels", "1"]);
        let mut edges = BTreeMap::new();
        for mode in ["http-ts", "hls", "multicast"] {
            let arguments = ["edge", "--server", mode, "--mode", mode, "--channel", "one"];
            edges.insert(mode, Process::start(&arguments));
        }
        let targets: Vec<&str> = edges.values().map(|edge| edge.text("/feeds/one")).collect();
        let forward = format!("one={}", targets.join(","));
        let link = Process::start(&["link", "--region", "north", "--forward", &forward]);
        let arguments =
            ["forward", "--from", headend.text("/sources/0/url"), "--to", link.text("/feeds/one")];
        let forward = Process::launch(&arguments);
        Self { edges, link, forward, headend }
    }

    fn watch(&self, mode: &str) -> &str {
        self.edges[mode].text("/watch/one")
    }
}

fn check_continuity(name: &str, stream: &[u8]) -> Scan {
    let scan = Scan::of(stream);
    assert_eq!((scan.problem_count, scan.stray_bytes), (0, 0), "{name}: {:?}", scan.problems);
    scan
}

const VIDEO: u16 = 0x101;

fn video(scan: &Scan) -> &PidScan {
    &scan.pids[&VIDEO]
}

/// Packets that are missing between the first and the last PCR, by the clock alone: the multiplex has a constant rate.
fn missing_by_clock(scan: &Scan) -> u64 {
    let pcr = &video(scan).pcr;
    let (first, last) = (pcr[0], pcr[pcr.len() - 1]);
    (last.0 - first.0) / PACKET_TICKS - (last.1 - first.1)
}

#[tokio::test]
async fn the_head_end_loses_exactly_what_it_counts_and_nothing_else() {
    let headend = Process::start(&["headend", "--channels", "1"]);
    let order = |fault: Value| headend.post("/sources/one/primary", fault);
    let socket = join(headend.text("/sources/0/url"));
    check_continuity("as it is", &receive(&socket, 300));
    order(json!({ "fault": "stop" })).await;
    drain(&socket);
    order(json!({ "fault": "resume" })).await;
    let mut stream = receive(&socket, 100);
    order(json!({ "fault": "loss", "fraction": 0.1 })).await;
    stream.extend(receive(&socket, 500));
    order(json!({ "fault": "loss", "fraction": 0.0 })).await;
    stream.extend(receive(&socket, 100));
    order(json!({ "fault": "stop" })).await;
    stream.extend(drain(&socket));
    let dropped = until("counters", async || {
        let state = headend.get("/state").await;
        let source = &state["sources"][0];
        (source["on_air"] == false).then(|| source["datagrams_dropped"].as_u64().unwrap())
    })
    .await;
    let scan = Scan::of(&stream);
    assert_eq!(missing_by_clock(&scan), 7 * dropped);
    assert!((20..110).contains(&dropped), "{dropped} of about 555");
    assert!(scan.problem_count > 0, "the counters of the stream show the loss");
}

#[tokio::test]
async fn a_fault_takes_effect_when_the_head_end_says() {
    let headend = Process::start(&["headend", "--channels", "1"]);
    let socket = join(headend.text("/sources/0/url"));
    let sound = join(headend.text("/sources/0/url"));
    let no_video = headend.post("/channels/one", json!({ "fault": "no_video" })).await;
    let sources = no_video["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 2, "primary and backup");
    let at = |place: usize| sources[place]["at_unix_ms"].as_u64().unwrap();
    let apart = at(1) - at(0);
    // Either may have had to wait for a core.
    assert!((200..=1000).contains(&apart), "the backup is 400 ms later, not {apart} ms");
    drop(drain_now(&socket));
    let scan = check_continuity("without video", &receive(&socket, 200));
    assert_eq!((video(&scan).payloads, scan.uneven_pcr(VIDEO, PACKET_TICKS)), (0, 0));
    let normal = headend.post("/sources/one/primary", json!({ "fault": "normal" })).await;
    let scan = check_continuity("from end to end", &drain_now(&sound));
    let first = scan.pids[&VIDEO].units.iter().find(|u| Some(u.pts) == normal["pts"].as_u64());
    assert!(first.unwrap().key, "pictures come back with the key picture that was promised");
    let again = headend.post("/sources/one/primary", json!({ "fault": "normal" })).await;
    assert_eq!(again["pts"], Value::Null, "nothing changed, and that is said at once");
}

/// What waits in a socket.
fn drain_now(socket: &UdpSocket) -> Vec<u8> {
    socket.set_nonblocking(true).unwrap();
    let (mut out, mut buffer) = (Vec::new(), [0; 2048]);
    while let Ok(length) = socket.recv(&mut buffer) {
        out.extend_from_slice(&buffer[..length]);
    }
    socket.set_nonblocking(false).unwrap();
    out
}

#[tokio::test]
async fn a_link_drops_the_same_for_every_server_and_counts_it() {
    const SENT: usize = 3_000;
    let ((a, a_address), (b, b_address)) = (receiver(), receiver());
    let forward = format!("one={a_address},{b_address}");
    let link = Process::start(&["link", "--region", "north", "--forward", &forward, "--seed", "5"]);
    link.post("/loss", json!({ "fraction": 0.2 })).await;
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let feed: SocketAddr = link.text("/feeds/one").parse().unwrap();
    for number in 0..SENT {
        let mut datagram = vec![0x47; 7 * PACKET];
        datagram[4..8].copy_from_slice(&(number as u32).to_be_bytes());
        sender.send_to(&datagram, feed).unwrap();
        if number % 50 == 0 {
            // Its socket must not overflow: that would be loss of another kind.
            until("link to keep up", async || {
                let state = link.get("/state").await;
                (state["channels"]["one"]["datagrams_received"].as_u64()? > number as u64)
                    .then_some(())
            })
            .await;
        }
    }
    let counts = until("all to be received", async || {
        let counts = link.get("/state").await["channels"]["one"].clone();
        (counts["datagrams_received"] == SENT).then_some(counts)
    })
    .await;
    let numbers = |stream: Vec<u8>| -> Vec<u32> {
        let of = |d: &[u8]| u32::from_be_bytes([d[4], d[5], d[6], d[7]]);
        stream.chunks(7 * PACKET).map(of).collect()
    };
    let (at_a, at_b) = (numbers(drain(&a)), numbers(drain(&b)));
    assert_eq!(at_a, at_b);
    assert_eq!(counts["datagrams_dropped"], SENT - at_a.len());
    assert_eq!(counts["packets_dropped"], 7 * (SENT - at_a.len()));
    assert!((500..700).contains(&(SENT - at_a.len())), "{} received", at_a.len());
}

#[tokio::test]
async fn a_delayed_link_keeps_order_and_loses_nothing() {
    let (socket, address) = receiver();
    let forward = format!("one={address}");
    let link = Process::start(&["link", "--region", "north", "--forward", &forward]);
    link.post("/delay", json!({ "ms": 200, "channel": "one" })).await;
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let feed: SocketAddr = link.text("/feeds/one").parse().unwrap();
    let begun = Instant::now();
    for number in 0..50_u8 {
        sender.send_to(&[number], feed).unwrap();
    }
    assert_eq!(receive(&socket, 50), (0..50).collect::<Vec<u8>>());
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn http_clients_begin_with_a_key_picture_and_stay_while_the_feed_is_missing() {
    let world = World::start();
    let edge = &world.edges["http-ts"];
    let mut answer = until("a first picture", async || {
        let mut answer = client().get(world.watch("http-ts")).send().await.unwrap();
        let first = answer.chunk().await.unwrap()?;
        Some((answer, first.to_vec()))
    })
    .await;
    while answer.1.len() < 600_000 {
        answer.1.extend(answer.0.chunk().await.unwrap().unwrap());
    }
    let scan = check_continuity("HTTP-TS", &answer.1[..answer.1.len() / PACKET * PACKET]);
    assert!(video(&scan).units[0].key);
    assert_eq!(video(&scan).units[0].first_packet, 2, "right after PAT and PMT");
    let said = ffprobe("warning", &answer.1);
    assert!(said.contains("h264") && said.contains("aac"), "{said}");

    // Wherever in a group of pictures others join, they begin as well.
    for _ in 0..4 {
        let mut late = client().get(world.watch("http-ts")).send().await.unwrap();
        let mut stream = Vec::new();
        while stream.len() < 70_000 {
            stream.extend(late.chunk().await.unwrap().unwrap());
        }
        let scan = check_continuity("joined late", &stream[..stream.len() / PACKET * PACKET]);
        assert_eq!((video(&scan).units[0].key, video(&scan).units[0].first_packet), (true, 2));
        for _ in 0..12 {
            answer.0.chunk().await.unwrap().unwrap();
        }
    }

    world.headend.post("/sources/one/primary", json!({ "fault": "stop" })).await;
    let silent = async { while answer.0.chunk().await.unwrap().is_some() {} };
    let silent = tokio::time::timeout(Duration::from_secs(2), silent).await;
    assert!(silent.is_err(), "the connection stays, without data");
    let sessions = edge.get("/sessions").await;
    assert_eq!((&sessions[0]["channel"], &sessions[0]["sessions"]), (&json!("one"), &json!(1)));
    assert!(sessions[0]["egress_bytes"].as_u64().unwrap() >= 600_000);
    edge.post("/sessions/end", json!({})).await;
    assert_eq!(answer.0.chunk().await.unwrap(), None, "the server ended the session");
    until("nobody to be left", async || {
        (edge.get("/sessions").await[0]["sessions"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_costs_the_others_nothing() {
    let world = World::start();
    let edge = &world.edges["http-ts"];
    let media: SocketAddr = edge.text("/media").parse().unwrap();
    let mut slow = std::net::TcpStream::connect(media).unwrap();
    socket2::SockRef::from(&slow).set_recv_buffer_size(4_096).unwrap();
    slow.write_all(b"GET /one.ts HTTP/1.1\r\nHost: edge\r\n\r\n").unwrap();
    let mut reader = client().get(world.watch("http-ts")).send().await.unwrap();
    let reader = tokio::spawn(async move {
        let mut stream = Vec::new();
        while let Some(chunk) = reader.chunk().await.unwrap() {
            stream.extend(chunk);
        }
        stream
    });
    until("the slow client to be cut", async || {
        (edge.get("/state").await["one"]["clients_cut"] == 1).then_some(())
    })
    .await;
    assert_eq!(edge.get("/sessions").await[0]["sessions"], 1);
    edge.post("/sessions/end", json!({})).await;
    let stream = reader.await.unwrap();
    assert!(stream.len() > 500_000, "{} bytes", stream.len());
    check_continuity("the other", &stream[..stream.len() / PACKET * PACKET]);
}

#[tokio::test]
async fn segments_are_whole_playable_and_stop_with_the_feed() {
    let world = World::start();
    let list = async || {
        let answer = client().get(world.watch("hls")).send().await.unwrap();
        (answer.status() == StatusCode::OK).then_some(answer.text().await.unwrap())
    };
    let text = until("three segments", async || {
        list().await.filter(|text| text.matches("#EXTINF").count() >= 3)
    })
    .await;
    assert!(text.contains("#EXT-X-TARGETDURATION:2\n"), "{text}");
    assert_eq!(text.matches("#EXTINF:2.000,").count(), 3, "{text}");
    assert_eq!(text.matches("#EXT-X-PROGRAM-DATE-TIME:20").count(), 3, "{text}");
    assert!(!text.contains("DISCONTINUITY\n"), "{text}");
    let base: url::Url = world.watch("hls").parse().unwrap();
    let mut stream = Vec::new();
    for name in text.lines().filter(|line| !line.starts_with('#')) {
        let answer = client().get(base.join(name).unwrap()).send().await.unwrap();
        let segment = answer.bytes().await.unwrap();
        let scan = check_continuity(name, &segment);
        let units = &video(&scan).units;
        assert_eq!((units[0].key, units[0].first_packet, units.len()), (true, 2, 50), "{name}");
        stream.extend_from_slice(&segment);
    }
    check_continuity("over the borders", &stream);
    // Below an error it tells that the last sound frame goes on in the segment that is not there.
    let said = ffprobe("error", &stream);
    assert!(said.contains("h264") && said.contains("aac"), "{said}");
    let direct = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"])
        .arg(world.watch("hls"))
        .output()
        .unwrap();
    assert!(direct.status.success() && direct.stderr.is_empty(), "{direct:?}");

    world.headend.post("/sources/one/primary", json!({ "fault": "stop" })).await;
    let received =
        async || world.edges["hls"].get("/state").await["one"]["datagrams_received"].clone();
    until("the feed to be over", async || {
        let before = received().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        (received().await == before).then_some(())
    })
    .await;
    let before = list().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(list().await.unwrap(), before, "nothing new is listed");
}

#[tokio::test]
async fn a_switched_source_is_a_discontinuity_between_whole_segments() {
    let mut world = World::start();
    let list = async |url: &str| {
        let answer = client().get(url).send().await.unwrap();
        (answer.status() == StatusCode::OK).then_some(answer.text().await.unwrap())
    };
    let url = world.watch("hls").to_owned();
    until("a first segment", async || list(&url).await).await;
    let order = format!("1 {}\n", world.headend.text("/sources/1/url"));
    world.forward.stdin.as_mut().unwrap().write_all(order.as_bytes()).unwrap();
    let text = until("segments of the backup", async || {
        let text = list(&url).await?;
        let (_, after) = text.split_once("#EXT-X-DISCONTINUITY\n")?;
        (after.matches("#EXTINF").count() >= 2).then_some(text)
    })
    .await;
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    let base: url::Url = url.parse().unwrap();
    for name in text.lines().filter(|line| !line.starts_with('#')) {
        let answer = client().get(base.join(name).unwrap()).send().await.unwrap();
        let scan = Scan::of(&answer.bytes().await.unwrap());
        let units = &video(&scan).units;
        assert_eq!((units[0].key, units[0].first_packet), (true, 2), "{name}");
        assert!(units.windows(2).all(|w| w[1].dts - w[0].dts == 3_600), "{name}: one clock");
    }
}

/// What ffprobe finds in a stream; it must have nothing to complain about.
fn ffprobe(level: &str, stream: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), stream).unwrap();
    let output = Command::new("ffprobe")
        .args(["-v", level, "-show_entries", "stream=codec_name,width", "-of", "csv"])
        .arg(file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn multicast_comes_out_as_it_went_in() {
    let world = World::start();
    let (source, out) =
        (join(world.headend.text("/sources/0/url")), join(world.watch("multicast")));
    let (before, after) = (receive(&source, 400), receive(&out, 300));
    check_continuity("multicast", &after);
    let first = after.chunks(7 * PACKET).nth(150).unwrap();
    assert!(before.chunks(7 * PACKET).any(|datagram| datagram == first));
    let loss = world.link.post("/loss", json!({ "fraction": 0.5 })).await;
    assert!(loss["at_unix_ms"].is_u64());
    let scan = Scan::of(&receive(&out, 200));
    assert!(scan.problem_count > 0, "the region's loss shows");
}

#[tokio::test]
async fn viewers_watch_where_they_are_sent_see_what_they_get_and_ask_again_when_cut_off() {
    let world = World::start();
    let sent: BTreeMap<&str, String> = [
        ("/watch/north/one", world.watch("http-ts").to_owned()),
        ("/watch/south/one", world.watch("hls").to_owned()),
    ]
    .into();
    let mut panel = Router::new();
    for (path, url) in sent {
        let answer = move || async move { (StatusCode::FOUND, [("location", url)]) };
        panel = panel.route(path, get(answer));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, panel).await });
    let watched = ["--watch", "north/one", "--watch", "south/one"];
    let monitors = world.edges.keys().map(|mode| format!("{mode}/west/one={}", world.watch(mode)));
    let monitors: Vec<_> = monitors.flat_map(|what| ["--monitor".to_owned(), what]).collect();
    let monitors: Vec<&str> = monitors.iter().map(String::as_str).collect();
    let arguments = [&["viewers", "--panel", &address, "--count", "4"][..], &watched, &monitors];
    let viewers = Process::start(&arguments.concat());
    let good = async |expected: bool| {
        until("everybody to get the programme, or nobody", async || {
            let receivers = viewers.get("/receivers").await;
            let receivers = receivers.as_array().filter(|all| all.len() == 7)?;
            let good = |it: &Value| it["good_since_unix_ms"].is_u64();
            receivers.iter().all(|it| good(it) == expected).then_some(())
        })
        .await;
    };
    let watching = async |interruptions: u64| {
        until("four viewers to watch", async || {
            let state = viewers.get("/state").await;
            let at = |what: &str| -> u64 {
                let servers = state["watching"][what].as_object();
                servers.into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum()
            };
            let interrupted = state["interruptions"].as_u64()? >= interruptions;
            (interrupted && at("north/one") == 2 && at("south/one") == 2).then_some(())
        })
        .await;
    };
    watching(0).await;
    good(true).await;
    world.headend.post("/sources/one/primary", json!({ "fault": "black" })).await;
    good(false).await;
    world.headend.post("/sources/one/primary", json!({ "fault": "normal" })).await;
    good(true).await;
    for mode in ["http-ts", "hls"] {
        let sessions = world.edges[mode].get("/sessions").await;
        assert_eq!(sessions[0]["sessions"], 2, "{mode}: monitors are no viewers");
        world.edges[mode].post("/sessions/end", json!({})).await;
    }
    watching(4).await;
}
