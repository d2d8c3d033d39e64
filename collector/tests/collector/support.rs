//! A collector on free ports in a folder of its own.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use tallylight_collector::{
    auth::TokenHash,
    io::{Addresses, Collector, load},
};
use tempfile::TempDir;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The agent's token in a test.
pub(crate) fn token(node: &str) -> String {
    format!("tl_token-of-{node}")
}

/// Two regions with agents, one channel with two sources and two deliveries.
pub(crate) const LINEUP: &str = r#"
[[region]]
id = "headend"
[[region]]
id = "north"
[[server]]
id = "n1"
region = "north"
[[server]]
id = "n2"
region = "north"
[[agent]]
node = "head-1"
region = "headend"
path = "rack-1"
[[agent]]
node = "head-2"
region = "headend"
path = "rack-2"
[[agent]]
node = "north-a"
region = "north"
path = "isp-1"
uplink = "10Gbps"
[[agent]]
node = "north-b"
region = "north"
path = "isp-2"
[[channel]]
id = "one"
name = "One HD"
audio = [{ language = "eng", role = "main" }]
[[channel.source]]
id = "primary"
role = "primary"
priority = 1
region = "headend"
url = "udp://239.1.1.1:5000"
interface = "lo"
service_id = 1
picture = { codec = "h264", profile = "high", width = 1920, frame_rate = "29.97", scan = "interlaced", aspect = "16:9" }
offset = "0ms"
[[channel.source]]
id = "backup"
role = "backup"
priority = 2
region = "headend"
url = "udp://239.1.1.2:5000"
offset = "0ms"
[[channel.delivery]]
id = "n1"
server = "n1"
url = "http://127.0.0.1:8601/one.ts"
delay = "300ms"
[[channel.delivery]]
id = "n2"
server = "n2"
url = "http://127.0.0.1:8602/one.m3u8"
delay = "300ms"
"#;

/// A folder with the files that a collector starts from.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
}

impl Site {
    /// Writes the files; `more` is added to `collector.toml`.
    pub(crate) fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::from(
            "lineup = 'lineup.toml'\njournal = 'journal.sqlite'\nkill_switch = 'kill'\n\
             [listen]\ngrpc = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\napi = '127.0.0.1:0'\n",
        );
        for node in ["head-1", "head-2", "north-a", "north-b"] {
            let hash = TokenHash::of(&token(node));
            text += &format!("[[agent]]\nnode = '{node}'\ntoken_sha256 = '{hash}'\n");
        }
        text += &format!("[operators]\nops = '{}'\n", TokenHash::of(&token("ops")));
        text += more;
        std::fs::write(folder.path().join("collector.toml"), text).unwrap();
        std::fs::write(folder.path().join("lineup.toml"), LINEUP).unwrap();
        std::fs::write(folder.path().join("panel.secret"), SECRET).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::join(self.folder.path(), name)
    }

    pub(crate) async fn start(&self) -> (Collector, Addresses) {
        let loaded = load(&self.path("collector.toml")).unwrap();
        let collector = Collector::start(loaded).await.unwrap();
        let addresses = collector.addresses();
        (collector, addresses)
    }
}

/// The program itself, running, with its log line by line.
pub(crate) struct Running {
    child: Child,
    log: mpsc::Receiver<String>,
    pub(crate) at: Addresses,
}

impl Running {
    pub(crate) fn start(site: &Site) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_tallylight-collector")), site)
    }

    /// Starts it so that no file of its own may grow beyond this, as if the disk were full.
    pub(crate) fn start_with_little_room(site: &Site, kibibytes: u32) -> Self {
        let mut shell = Command::new("sh");
        // What a shell ignores, so does the program that it becomes: writing beyond the limit then fails instead of killing.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kibibytes * 2);
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_tallylight-collector")]);
        Self::spawn(shell, site)
    }

    fn spawn(mut command: Command, site: &Site) -> Self {
        let mut child = command
            .args(["run", "--config", site.path("collector.toml").to_str().unwrap()])
            .env("RUST_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr: ChildStderr = child.stderr.take().unwrap();
        let (lines, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let line = line_with(&log, "collector runs");
        let address = |name: &str| -> SocketAddr {
            let rest = line.split(name).nth(1).unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        let at = Addresses { grpc: address("grpc="), http: address("http="), api: address("api=") };
        Self { child, log, at }
    }

    pub(crate) fn line_with(&self, text: &str) -> String {
        line_with(&self.log, text)
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

fn line_with(log: &mpsc::Receiver<String>, text: &str) -> String {
    loop {
        let line = log.recv_timeout(Duration::from_secs(20)).expect(text);
        if line.contains(text) {
            return line;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until it holds.
pub(crate) async fn agree(mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "did not come about in 20 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn scrape(api: SocketAddr) -> String {
    text(api, "/metrics").await
}

/// What a path answers as text.
pub(crate) async fn text(api: SocketAddr, path: &str) -> String {
    let response = reqwest::get(format!("http://{api}{path}")).await.unwrap();
    assert_eq!(response.status().as_u16(), 200, "{path}");
    response.text().await.unwrap()
}

/// Has Prometheus's own tool read the text.
pub(crate) fn promtool(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: script/setup installs it with prometheus");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

pub(crate) async fn get(api: SocketAddr, path: &str) -> serde_json::Value {
    serde_json::from_str(&text(api, path).await).unwrap()
}

/// The status of `/healthz`.
pub(crate) async fn health(api: SocketAddr) -> u16 {
    reqwest::get(format!("http://{api}/healthz")).await.unwrap().status().as_u16()
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/collector").join(name)
}

/// A file beside the tests.
pub(crate) fn golden(name: &str) -> String {
    std::fs::read_to_string(golden_path(name)).unwrap_or_default()
}

/// Compares with a file beside the tests; `UPDATE=1` writes it anew.
pub(crate) fn check_golden(name: &str, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(golden_path(name), text).unwrap();
    }
    assert_eq!(text, golden(name), "{name} is out of date; UPDATE=1 cargo test writes it anew");
}
