//! The conformance suite of the panel contract (docs/panel.md), run on the reference panel with real datagrams.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tallylight_tests::panel::{
    Ready,
    config::{Channel, Config, Server},
    signature::{ID, SIGNATURE, Secret, TIMESTAMP},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use url::Url;

/// Long enough for a loaded machine; nothing waits this long where all is well.
const DEADLINE: Duration = Duration::from_secs(10);

/// Sends datagrams that begin with a letter to a group on loopback until told otherwise.
struct Source {
    on_air: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Source {
    fn start(group: Ipv4Addr, port: u16, letter: u8) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        let socket = UdpSocket::from(socket);
        let (on_air, over) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (air, end) = (Arc::clone(&on_air), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                if air.load(Ordering::Relaxed) {
                    socket.send_to(&[letter; 1316], (group, port)).unwrap();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { on_air, over, thread: Some(thread) }
    }

    fn set_on_air(&self, on_air: bool) {
        self.on_air.store(on_air, Ordering::Relaxed);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A panel with one channel of two sources, and the link that its output goes to.
struct Rig {
    dir: TempDir,
    panel: Child,
    ready: Ready,
    http: Client,
    secret: Secret,
    link: UdpSocket,
    primary: Source,
    backup: Source,
    /// Where the output of channel two goes, which is on one encoder with channel one.
    link_two: UdpSocket,
    next_id: AtomicU64,
}

impl Rig {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = TempDir::new().unwrap();
        let secret = Secret::from_bytes(vec![42; 32]).unwrap();
        std::fs::write(dir.path().join("secret"), secret.to_text()).unwrap();
        let link = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let link_two = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // A port that is free keeps tests that run at the same time apart, whatever their groups.
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let groups = [Ipv4Addr::new(239, 255, 77, 1), Ipv4Addr::new(239, 255, 77, 2)];
        let links = [&link, &link_two].map(|it| it.local_addr().unwrap());
        let config = config(&dir, links, groups, port);
        std::fs::write(dir.path().join("panel.json"), serde_json::to_vec(&config).unwrap())
            .unwrap();
        let (panel, ready) = launch(&dir).await;
        let rig = Self {
            dir,
            panel,
            ready,
            http: Client::builder().timeout(DEADLINE).build().unwrap(),
            secret,
            link,
            primary: Source::start(groups[0], port, b'p'),
            backup: Source::start(groups[1], port, b'b'),
            link_two,
            next_id: AtomicU64::new(0),
        };
        rig.wait_for_datagram(b'p');
        rig
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ready.listen)
    }

    fn signed(&self, request: RequestBuilder, body: Vec<u8>) -> RequestBuilder {
        let id = format!("msg-{}", self.next_id.fetch_add(1, Ordering::Relaxed));
        let now_s = Timestamp::now().as_second();
        with_headers(request, &id, now_s, &self.secret.sign(&id, now_s, &body)).body(body)
    }

    /// Sends a command with these changes to a good one.
    async fn send(&self, changes: Value) -> Response {
        let request = self.http.post(self.url("/commands"));
        self.signed(request, command(&changes)).send().await.unwrap()
    }

    async fn status(&self, changes: Value) -> u16 {
        self.send(changes).await.status().as_u16()
    }

    async fn state(&self) -> Value {
        let request = self.http.get(self.url("/state"));
        self.signed(request, Vec::new()).send().await.unwrap().json().await.unwrap()
    }

    async fn control(&self, path: &str, body: Value) -> StatusCode {
        let url = format!("http://{}/control/{path}", self.ready.control);
        self.http.post(url).json(&body).send().await.unwrap().status()
    }

    async fn output_pid(&self, channel: &str) -> u32 {
        let url = format!("http://{}/control/outputs", self.ready.control);
        let pids: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        u32::try_from(pids[channel].as_u64().unwrap()).unwrap()
    }

    /// Empties the link's queue and returns the letters that stood in it.
    fn queued(&self) -> Vec<u8> {
        let mut letters = Vec::new();
        let mut datagram = [0; 2048];
        self.link.set_nonblocking(true).unwrap();
        while self.link.recv(&mut datagram).is_ok() {
            letters.push(datagram[0]);
        }
        letters
    }

    fn wait_for_datagram(&self, letter: u8) {
        let deadline = Instant::now() + DEADLINE;
        let mut datagram = [0; 2048];
        self.link.set_nonblocking(false).unwrap();
        self.link.set_read_timeout(Some(DEADLINE)).unwrap();
        while Instant::now() < deadline {
            self.link.recv(&mut datagram).expect("the link gets nothing");
            if datagram[0] == letter {
                return;
            }
        }
        panic!("the link gets nothing of {}", char::from(letter));
    }
}

fn config(dir: &TempDir, links: [SocketAddr; 2], groups: [Ipv4Addr; 2], port: u16) -> Config {
    let url = |group| Url::parse(&format!("udp://{group}:{port}")).unwrap();
    let server = |server: &str| Server {
        server: server.into(),
        region: "north".into(),
        watch: BTreeMap::from([(
            "one".to_owned(),
            Url::parse(&format!("http://{server}/one")).unwrap(),
        )]),
        control: None,
        restart: Vec::new(),
    };
    let mut restartable = server("n1");
    let mark = dir.path().join("restarted").display().to_string();
    restartable.restart = ["/bin/sh", "-c", "echo x >> \"$0\"", &mark].map(Into::into).into();
    let channel = |id: &str, link| Channel {
        channel: id.into(),
        sources: BTreeMap::from([
            ("primary".to_owned(), url(groups[0])),
            ("backup".to_owned(), url(groups[1])),
        ]),
        active: "primary".into(),
        links: vec![link],
        encoder: Some("rack".to_owned()),
    };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config {
        listen: any,
        control: any,
        secret_file: dir.path().join("secret"),
        epoch_file: Some(dir.path().join("epoch")),
        interface: "lo".into(),
        channels: vec![channel("one", links[0]), channel("two", links[1])],
        servers: vec![restartable, server("n2")],
    }
}

async fn launch(dir: &TempDir) -> (Child, Ready) {
    let mut panel = Command::new(env!("CARGO_BIN_EXE_tallylight-world"))
        .args(["panel", "--config"])
        .arg(dir.path().join("panel.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(panel.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let ready = serde_json::from_str(line.strip_prefix("ready ").unwrap()).unwrap();
    (panel, ready)
}

fn with_headers(
    request: RequestBuilder,
    id: &str,
    timestamp_s: i64,
    signature: &str,
) -> RequestBuilder {
    request.header(ID, id).header(TIMESTAMP, timestamp_s).header(SIGNATURE, signature)
}

fn command(changes: &Value) -> Vec<u8> {
    let expires_at = Timestamp::now() + SignedDuration::from_secs(10);
    let mut body = json!({
        "action_id": "17", "epoch": 1, "expires_at": expires_at.to_string(),
        "expires_in_ms": 10_000, "action": "switch_source", "target": { "channel": "one" },
        "from": "primary", "to": "backup",
        "reason": { "incident": "12", "cause": "source", "evidence": ["black for 5 s"] },
        "dry_run": false,
    });
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    serde_json::to_vec(&body).unwrap()
}

fn is_running(pid: u32) -> bool {
    // A zombie has ended; only its parent has yet to hear of it.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}

async fn wait_until_gone(pid: u32) {
    let deadline = Instant::now() + DEADLINE;
    while is_running(pid) {
        assert!(Instant::now() < deadline, "process {pid} is left behind");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn only_what_is_signed_in_time_and_for_the_first_time_is_taken() {
    let rig = Rig::start().await;
    let now_s = Timestamp::now().as_second();
    let body = command(&json!({ "dry_run": true }));
    let forger = Secret::from_bytes(vec![43; 32]).unwrap();
    let send = async |id: &str, stamp_s: i64, signature: String, body: &[u8]| {
        let request = rig.http.post(rig.url("/commands")).body(body.to_owned());
        with_headers(request, id, stamp_s, &signature).send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("a", now_s, forger.sign("a", now_s, &body), &body).await, 401, "forged");
    let late = now_s - 310;
    assert_eq!(send("b", late, rig.secret.sign("b", late, &body), &body).await, 401, "late");
    let early = now_s + 310;
    assert_eq!(send("c", early, rig.secret.sign("c", early, &body), &body).await, 401, "early");
    let good = rig.secret.sign("d", now_s, &body);
    assert_eq!(send("d", now_s, good.clone(), &body).await, 200);
    assert_eq!(send("d", now_s, good.clone(), &body).await, 200, "a retry");
    let real = command(&json!({}));
    assert_eq!(send("d", now_s, good.clone(), &real).await, 401, "another body");
    let resigned = rig.secret.sign("d", now_s, &real);
    assert_eq!(send("d", now_s, resigned, &real).await, 401, "another body under a used id");
    let unsigned = rig.http.post(rig.url("/commands")).body(real.clone()).send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    let unsigned = rig.http.get(rig.url("/state")).send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    assert_eq!(rig.state().await["channels"][0]["active"], "primary");
}

#[tokio::test]
async fn a_switch_is_done_when_a_datagram_of_the_new_source_went_out() {
    let rig = Rig::start().await;
    rig.queued();
    let answer = rig.send(json!({})).await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["state"]["active"], "backup");
    assert_eq!(answer["state"]["changed_by"], "17");
    assert!(rig.queued().contains(&b'b'), "nothing of the backup was forwarded before the answer");
    rig.wait_for_datagram(b'b');
    assert!(!rig.queued().contains(&b'p'), "the primary is forwarded still");
    let state = rig.state().await;
    assert_eq!(state["channels"][0]["active"], "backup");
    assert_eq!(state["channels"][0]["changed_by"], "17");
}

#[tokio::test]
async fn a_switch_to_a_silent_source_fails_and_leaves_the_channel_where_it_was() {
    let rig = Rig::start().await;
    rig.backup.set_on_air(false);
    assert_eq!(rig.status(json!({})).await, 500);
    assert_eq!(rig.state().await["channels"][0]["active"], "primary");
    rig.backup.set_on_air(true);
    rig.queued();
    rig.wait_for_datagram(b'p');
    assert!(!rig.queued().contains(&b'b'), "the switch happened after it was called failed");
    assert_eq!(rig.status(json!({})).await, 500, "the same action is not tried again");
    assert_eq!(rig.status(json!({ "action_id": "18" })).await, 200);
}

#[tokio::test]
async fn a_restart_ends_a_hung_output_process() {
    let rig = Rig::start().await;
    let before = rig.output_pid("one").await;
    assert_eq!(rig.control("hang", json!({ "channel": "one" })).await, 200);
    rig.queued();
    rig.link.set_nonblocking(false).unwrap();
    rig.link.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut datagram = [0; 2048];
    assert!(rig.link.recv(&mut datagram).is_err(), "a hung process forwards nothing");
    assert_eq!(rig.status(json!({ "action": "restart_stream" })).await, 200);
    rig.wait_for_datagram(b'p');
    assert_ne!(rig.output_pid("one").await, before);
    wait_until_gone(before).await;
}

#[tokio::test]
async fn restarting_an_encoder_starts_all_that_runs_on_it() {
    let rig = Rig::start().await;
    let state = rig.state().await;
    assert_eq!(state["encoders"], json!([{ "encoder": "rack", "can_restart": true }]));
    let before = [rig.output_pid("one").await, rig.output_pid("two").await];
    for channel in ["one", "two"] {
        assert_eq!(rig.control("hang", json!({ "channel": channel })).await, 200);
    }
    let restart = json!({ "action": "restart_service", "from": null, "to": null,
                          "target": { "encoder": "rack", "channels": ["one", "two"] } });
    let answer = rig.send(restart).await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["state"], json!({ "encoder": "rack", "channels": ["one", "two"] }));
    rig.queued();
    rig.wait_for_datagram(b'p');
    let mut datagram = [0; 2048];
    rig.link_two.set_read_timeout(Some(DEADLINE)).unwrap();
    rig.link_two.recv(&mut datagram).unwrap();
    for (channel, before) in ["one", "two"].into_iter().zip(before) {
        assert_ne!(rig.output_pid(channel).await, before, "{channel}");
        wait_until_gone(before).await;
    }
}

#[tokio::test]
async fn restarting_a_server_runs_what_restarts_it() {
    let rig = Rig::start().await;
    let restarts = || std::fs::read_to_string(rig.dir.path().join("restarted")).ok();
    let state = rig.state().await;
    assert_eq!(state["servers"][0]["can_restart"], true);
    assert_eq!(state["servers"][1]["can_restart"], false);
    assert_eq!(restarts(), None);
    let restart = json!({ "action": "restart_service", "target": { "servers": ["n1"] } });
    assert_eq!(rig.status(restart.clone()).await, 200);
    assert_eq!(restarts().as_deref(), Some("x\n"));
    assert_eq!(rig.status(restart).await, 200, "the same action, sent again");
    assert_eq!(restarts().as_deref(), Some("x\n"));
}

#[tokio::test]
async fn a_restart_on_a_silent_source_is_not_called_done() {
    let rig = Rig::start().await;
    rig.primary.set_on_air(false);
    assert_eq!(rig.status(json!({ "action": "restart_stream" })).await, 500);
}

#[tokio::test]
async fn each_refusal_has_its_status_and_changes_nothing() {
    let rig = Rig::start().await;
    let gone = (Timestamp::now() - SignedDuration::from_secs(1)).to_string();
    assert_eq!(rig.status(json!({ "epoch": 5, "dry_run": true })).await, 200);
    for (mut changes, expected) in [
        (json!({ "epoch": 4 }), 409),
        (json!({ "expires_at": gone }), 410),
        (json!({ "expires_in_ms": 0 }), 410),
        (json!({ "from": "backup", "to": "primary" }), 412),
        (json!({ "target": { "channel": "three" } }), 404),
        (json!({ "target": {} }), 400),
        (json!({ "target": { "channel": "*" } }), 400),
        (json!({ "action": "drain_server", "target": { "servers": [] } }), 400),
        (json!({ "action": "drain_server", "target": { "servers": ["*"] } }), 400),
        (json!({ "action": "drain_server", "target": { "servers": ["n9"] } }), 404),
        (json!({ "action": "drain_server", "target": { "channel": "one" } }), 400),
        (json!({ "action": "restart_service", "target": { "servers": [] } }), 400),
        (json!({ "action": "restart_service", "target": { "servers": ["n2"] } }), 404),
        (json!({ "action": "restart_service", "target": { "encoder": "rack" } }), 400),
        (
            json!({ "action": "restart_service",
                    "target": { "encoder": "rock", "channels": ["one"] } }),
            404,
        ),
        (
            json!({ "action": "restart_service",
                    "target": { "encoder": "rack", "channels": ["one"] } }),
            412,
        ),
        (json!({ "action": "rm" }), 400),
        (json!({ "unknown": true }), 400),
    ] {
        if changes.get("epoch").is_none() {
            changes["epoch"] = 5.into();
        }
        assert_eq!(rig.status(changes.clone()).await, expected, "{changes}");
    }
    let state = rig.state().await;
    assert_eq!(state["channels"][0]["active"], "primary");
    assert_eq!(state["version"], 0);
    for body in [&b""[..], b"{", b"[]", b"\xff\xfe"] {
        let request = rig.http.post(rig.url("/commands"));
        let answer = rig.signed(request, body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{body:?}");
    }
    let huge = rig.signed(rig.http.post(rig.url("/commands")), vec![b' '; 100_000]);
    assert_eq!(huge.send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn an_action_acts_once_however_often_it_is_sent() {
    let rig = Rig::start().await;
    let (first, second) = tokio::join!(rig.send(json!({})), rig.send(json!({})));
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let bodies: (Value, Value) = (first.json().await.unwrap(), second.json().await.unwrap());
    assert_eq!(bodies.0, bodies.1);
    assert_eq!(rig.control("switch", json!({ "channel": "one", "to": "primary" })).await, 200);
    assert_eq!(rig.status(json!({})).await, 200);
    let state = rig.state().await;
    assert_eq!(state["channels"][0]["active"], "primary");
    assert_eq!(state["channels"][0]["changed_by"], "operator");
    assert_eq!(state["version"], 2);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_does_nothing() {
    let rig = Rig::start().await;
    let answer: Value = rig.send(json!({ "dry_run": true })).await.json().await.unwrap();
    assert_eq!(answer["state"]["active"], "backup");
    assert_eq!(rig.state().await["version"], 0);
}

#[tokio::test]
async fn the_epoch_outlives_the_panel() {
    let mut rig = Rig::start().await;
    assert_eq!(rig.status(json!({ "epoch": 7 })).await, 200);
    rig.panel.kill().await.unwrap();
    (rig.panel, rig.ready) = launch(&rig.dir).await;
    assert_eq!(rig.status(json!({ "epoch": 6, "action_id": "18" })).await, 409);
    assert_eq!(rig.status(json!({ "epoch": 7, "action_id": "19" })).await, 200);
}

#[tokio::test]
async fn viewers_are_sent_to_active_servers_only() {
    let rig = Rig::start().await;
    let browser = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let watch = async || {
        let answer = browser.get(rig.url("/watch/north/one")).send().await.unwrap();
        let location = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location)
    };
    let both = [watch().await, watch().await];
    for server in ["n1", "n2"] {
        assert!(both.contains(&(302, Some(format!("http://{server}/one")))), "{both:?}");
    }
    let drain = json!({ "action": "drain_server", "target": { "servers": ["n1"] } });
    assert_eq!(rig.status(drain).await, 200);
    for _ in 0..4 {
        assert_eq!(watch().await, (302, Some("http://n2/one".to_owned())));
    }
    assert_eq!(rig.control("server", json!({ "server": "n2", "state": "drained" })).await, 200);
    assert_eq!(watch().await.0, 503);
    let back = json!({ "action": "return_server", "target": { "servers": ["n1"] }, "share": 25,
                       "action_id": "19" });
    let answer: Value = rig.send(back).await.json().await.unwrap();
    let expected = json!([{ "server": "n1", "state": "active", "share": 25 }]);
    assert_eq!(answer["state"]["servers"], expected);
    assert_eq!(rig.state().await["servers"][0]["share"], 25);
    assert_eq!(watch().await, (302, Some("http://n1/one".to_owned())));
    let undrain = json!({ "action": "undrain_server", "target": { "servers": ["n1"] },
                          "action_id": "18" });
    assert_eq!(rig.status(undrain).await, 200);
    assert_eq!(watch().await, (302, Some("http://n1/one".to_owned())));
    let unknown = browser.get(rig.url("/watch/north/three")).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn the_panel_misbehaves_only_as_told() {
    let rig = Rig::start().await;
    assert_eq!(rig.control("misbehave", json!({ "mode": "lie" })).await, 200);
    let lied: Value = rig.send(json!({})).await.json().await.unwrap();
    assert_eq!(lied["state"]["active"], "backup");
    assert_eq!(rig.state().await["channels"][0]["active"], "primary");
    assert_eq!(rig.control("misbehave", json!({ "mode": "error" })).await, 200);
    assert_eq!(rig.status(json!({ "action_id": "18" })).await, 500);
    assert_eq!(rig.control("misbehave", json!({ "mode": "hang" })).await, 200);
    let request = rig.signed(
        rig.http.post(rig.url("/commands")).timeout(Duration::from_millis(200)),
        command(&json!({ "action_id": "19" })),
    );
    assert!(request.send().await.unwrap_err().is_timeout());
    assert_eq!(rig.control("misbehave", json!({ "mode": "none" })).await, 200);
    let by_itself = json!({ "channel": "one", "to": "backup", "by": "panel" });
    assert_eq!(rig.control("switch", by_itself).await, 200);
    assert_eq!(rig.state().await["channels"][0]["changed_by"], "panel");
}

#[tokio::test]
async fn an_accepted_command_tells_its_outcome_at_its_status_url() {
    let rig = Rig::start().await;
    assert_eq!(rig.control("misbehave", json!({ "mode": "slow" })).await, 200);
    let answer = rig.send(json!({})).await;
    assert_eq!(answer.status(), 202);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let request = rig.signed(rig.http.get(rig.url(&location)), Vec::new());
        let status: Value = request.send().await.unwrap().json().await.unwrap();
        if status["status"] == "done" {
            assert_eq!(status["state"]["active"], "backup");
            break;
        }
        assert_eq!(status["status"], "running");
        assert!(Instant::now() < deadline, "the command never ends");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn no_output_process_outlives_the_panel_not_even_a_hung_one() {
    let mut rig = Rig::start().await;
    let pid = rig.output_pid("one").await;
    assert_eq!(rig.control("hang", json!({ "channel": "one" })).await, 200);
    assert!(is_running(pid));
    rig.panel.kill().await.unwrap();
    wait_until_gone(pid).await;
    (rig.panel, rig.ready) = launch(&rig.dir).await;
    let pid = rig.output_pid("one").await;
    drop(rig.panel.stdin.take());
    assert!(rig.panel.wait().await.unwrap().success());
    wait_until_gone(pid).await;
}
