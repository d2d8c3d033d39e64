//! What the agent talks to: a station that plays a clip, the collector's API and its OTLP receiver.

use std::{
    collections::BTreeSet,
    fs,
    future::Future,
    io::Read as _,
    net::{Ipv4Addr, TcpListener as StdListener},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tallylight_model::{Batch, FaultRecord, MonoTime, Slice};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tonic::{
    Request, Response, Status,
    codec::CompressionEncoding,
    transport::{Server, server::TcpIncoming},
};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let until = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Plays a clip over HTTP to whoever connects, at its own pace and without end.
pub(crate) struct Station {
    port: u16,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Station {
    pub(crate) async fn start(clip: Vec<u8>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let clip: Arc<[u8]> = clip.into();
        let task = tokio::spawn(async move {
            // Dropped with the task, and all viewers with it.
            let mut viewers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                viewers.spawn(play(stream, Arc::clone(&clip)));
            }
        });
        Self { port, connections, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/one.ts", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

async fn play(mut stream: TcpStream, clip: Arc<[u8]>) -> std::io::Result<()> {
    let mut request = [0; 2048];
    let _ = stream.read(&mut request).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n").await?;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    for piece in clip.chunks(5_000) {
        tick.tick().await;
        stream.write_all(piece).await?;
    }
    std::future::pending().await
}

/// Answers `GET /api/v1/assignment`.
pub(crate) struct Assignments {
    port: u16,
    task: JoinHandle<()>,
}

impl Assignments {
    /// `url` is the stream's.
    pub(crate) async fn start(token: &str, url: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let json = format!(
            r#"{{"version":1,"node":"n1","region":"north","streams":[{{"stream":"one/a","channel":"one",
            "kind":"delivery","url":"{url}","interface":null,"service_id":null,"profile":"default",
            "channel_kind":"tv","encryption":"none","audio":[],"on_air":true,"zap_interval_ms":5000}}]}}"#
        );
        let authorization = format!("authorization: bearer {token}");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = assign(stream, &authorization, &json).await;
            }
        });
        Self { port, task }
    }

    /// Takes connections and says nothing.
    pub(crate) async fn hang() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Self { port, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

async fn assign(mut stream: TcpStream, authorization: &str, json: &str) -> std::io::Result<()> {
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await?;
    let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
    let known = request.starts_with("get /api/v1/assignment ") && request.contains(authorization);
    let head = "Connection: close\r\nETag: \"v1\"\r\nContent-Length:";
    let answer = if !known {
        format!("HTTP/1.1 401 Unauthorized\r\n{head} 0\r\n\r\n")
    } else if request.contains("if-none-match: \"v1\"") {
        format!("HTTP/1.1 304 Not Modified\r\n{head} 0\r\n\r\n")
    } else {
        format!("HTTP/1.1 200 OK\r\n{head} {}\r\n\r\n{json}", json.len())
    };
    stream.write_all(answer.as_bytes()).await
}

/// What the OTLP receiver does with what it gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    /// Takes reports but for a point of each.
    TakePart,
    Deny,
}

/// An OTLP receiver.
pub(crate) struct Collector {
    got: Arc<Mutex<Vec<Batch>>>,
}

#[derive(Clone)]
struct Receiver {
    authorization: String,
    verdict: Verdict,
    got: Arc<Mutex<Vec<Batch>>>,
}

impl Collector {
    pub(crate) async fn start(port: u16, token: &str, verdict: Verdict) -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let authorization = format!("Bearer {token}");
        let receiver = Receiver { authorization, verdict, got: Arc::clone(&got) };
        let metrics = MetricsServiceServer::new(receiver.clone())
            .accept_compressed(CompressionEncoding::Zstd);
        let logs = LogsServiceServer::new(receiver).accept_compressed(CompressionEncoding::Zstd);
        let server = Server::builder().add_service(metrics).add_service(logs);
        tokio::spawn(server.serve((Ipv4Addr::LOCALHOST, port).into()));
        Self { got }
    }

    pub(crate) fn slices(&self) -> Vec<Slice> {
        self.got.lock().unwrap().iter().flat_map(|batch| batch.slices.clone()).collect()
    }

    pub(crate) fn faults(&self) -> Vec<FaultRecord> {
        self.got.lock().unwrap().iter().flat_map(|batch| batch.faults.clone()).collect()
    }

    pub(crate) fn epochs(&self) -> BTreeSet<u64> {
        self.got.lock().unwrap().iter().map(|batch| batch.epoch.0).collect()
    }
}

impl Receiver {
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let stated = request.metadata().get("authorization").and_then(|it| it.to_str().ok());
        if stated != Some(self.authorization.as_str()) {
            return Err(Status::unauthenticated("who is this?"));
        }
        match self.verdict {
            Verdict::Take | Verdict::TakePart => Ok(()),
            Verdict::Deny => Err(Status::permission_denied("not for this node")),
        }
    }

    fn keep(&self, decoded: tallylight_wire::Decoded) {
        assert_eq!(decoded.skipped, 0);
        self.got.lock().unwrap().extend(decoded.batches);
    }
}

/// Later than any age, so that ages can be taken off.
const NOW: MonoTime = MonoTime::from_nanos(1 << 60);

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.check(&request)?;
        self.keep(tallylight_wire::decode_metrics(request.into_inner(), NOW).unwrap());
        let partial = ExportMetricsPartialSuccess {
            rejected_data_points: 1,
            error_message: "of a later version".to_owned(),
        };
        let partial_success = (self.verdict == Verdict::TakePart).then_some(partial);
        Ok(Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.check(&request)?;
        self.keep(tallylight_wire::decode_logs(request.into_inner(), NOW).unwrap());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

/// An OTLP receiver of traces.
#[derive(Clone, Default)]
pub(crate) struct Traces(Arc<Mutex<Vec<Span>>>);

impl Traces {
    pub(crate) async fn start(&self) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = TraceServiceServer::new(self.clone());
        let incoming = TcpIncoming::from(listener);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        port
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Traces {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The agent's process.
pub(crate) struct Agent {
    folder: TempDir,
    child: Child,
    listen: u16,
    roots: Option<PathBuf>,
}

impl Agent {
    pub(crate) async fn start(grpc: u16, assignments: &str, token: &str) -> Self {
        let collector = format!("http://127.0.0.1:{grpc}");
        Self::start_with(&collector, assignments, token, "", None).await
    }

    /// The same with further lines of configuration, and with one more file of roots that are trusted.
    pub(crate) async fn start_with(
        collector: &str,
        assignments: &str,
        token: &str,
        more: &str,
        roots: Option<PathBuf>,
    ) -> Self {
        // For the client that reads /metrics.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let listen = free_port();
        let config = format!(
            "node = 'n1'\ncollector = '{collector}'\nassignment = '{assignments}'\n\
             token = '{token}'\nlisten = '127.0.0.1:{listen}'\nstate_dir = 'state'\n{more}"
        );
        fs::write(folder.path().join("agent.toml"), config).unwrap();
        let child = spawn(&folder, roots.as_ref());
        let agent = Self { folder, child, listen, roots };
        agent.up().await;
        agent
    }

    /// Where its configuration is, and everything that stands in there without a folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.folder, self.roots.as_ref());
        self.up().await;
    }

    async fn up(&self) {
        eventually("the agent answers", || async { !self.page().await.is_empty() }).await;
    }

    /// The text of `/metrics`; empty if there is none.
    pub(crate) async fn page(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.listen);
        let Ok(answer) = reqwest::get(url).await else { return String::new() };
        answer.text().await.unwrap_or_default()
    }

    /// The value of the first series that begins so; 0 without one.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let page = self.page().await;
        let found = page.lines().find(|line| line.starts_with(series));
        found.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    pub(crate) async fn has(&self, line: &str) -> bool {
        self.page().await.lines().any(|found| found == line)
    }

    pub(crate) fn write_config(&self, text: &str) {
        fs::write(self.folder.path().join("agent.toml"), text).unwrap();
    }

    pub(crate) fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub(crate) async fn signal_and_wait(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.signal(), None);
                return status.code();
            }
            assert!(Instant::now() < until, "the agent does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn stop(mut self) -> Option<i32> {
        self.signal_and_wait().await
    }

    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        fs::File::open(log_path(&self.folder)).unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn log_path(folder: &TempDir) -> PathBuf {
    folder.path().join("agent.log")
}

fn spawn(folder: &TempDir, roots: Option<&PathBuf>) -> Child {
    let log = fs::File::options().create(true).append(true).open(log_path(folder)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_tallylight-agent"))
        .envs(roots.map(|roots| ("SSL_CERT_FILE", roots)))
        .args(["run", "--config", "agent.toml"])
        .current_dir(folder.path())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}
