//! Agents that say what they are told to, and a panel that carries commands out.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::logs_service_client::LogsServiceClient,
        metrics::v1::metrics_service_client::MetricsServiceClient,
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    trace::v1::Span,
};
use serde_json::{Value, json};
use tallylight_model::{
    Batch, Counters, Epoch, FaultKind, FaultPhase, FaultRecord, LatencySample, MonoTime, NodeId,
    NodeReport, Observed, Ratio, Resource, Severity, Slice, StreamId, WallTime,
};
use tallylight_wire::{encode_logs, encode_metrics};
use tokio::net::TcpListener;
use tonic::{
    Request, Response as Answer, Status,
    transport::{Channel, Server, server::TcpIncoming},
};

use crate::support::token;

/// Which node watches which streams in the lineup of the tests.
const WATCH: [(&str, [&str; 2]); 4] = [
    ("head-1", ["one/primary", "one/backup"]),
    ("head-2", ["one/primary", "one/backup"]),
    ("north-a", ["one/n1", "one/n2"]),
    ("north-b", ["one/n1", "one/n2"]),
];
const SECOND: Duration = Duration::from_secs(1);

/// All agents of the lineup, on one clock.
pub(crate) struct Agents {
    start: Instant,
    wall_ms: i64,
    next_slice: u64,
    seq: u64,
    /// What stands on which stream, since when.
    standing: BTreeMap<&'static str, (FaultKind, MonoTime)>,
    metrics: MetricsServiceClient<Channel>,
    logs: LogsServiceClient<Channel>,
}

impl Agents {
    /// Says of the last seconds that all was well.
    pub(crate) async fn connect(grpc: SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{grpc}")).unwrap().connect().await;
        let channel = channel.unwrap();
        let mut agents = Self {
            start: Instant::now(),
            wall_ms: jiff::Timestamp::now().as_millisecond(),
            next_slice: 0,
            seq: 0,
            standing: BTreeMap::new(),
            metrics: MetricsServiceClient::new(channel.clone()),
            logs: LogsServiceClient::new(channel),
        };
        for _ in 0..HISTORY {
            agents.slice().await;
        }
        agents
    }

    fn now(&self) -> MonoTime {
        MonoTime::ZERO + SECOND * 100 + self.start.elapsed()
    }

    /// Says a slice for each whole second that has passed; call it often.
    pub(crate) async fn catch_up(&mut self) {
        while self.slice_end(self.next_slice) <= self.now() {
            self.slice().await;
        }
    }

    fn slice_end(&self, number: u64) -> MonoTime {
        let since = SECOND * u32::try_from(number + 1).unwrap();
        MonoTime::ZERO + SECOND * 100 - SECOND * HISTORY + since
    }

    async fn slice(&mut self) {
        let end = self.slice_end(self.next_slice);
        let start_ms = self.wall_ms + i64::try_from(self.next_slice).unwrap() * 1000;
        self.next_slice += 1;
        for (node, streams) in WATCH {
            let slices = streams.map(|stream| self.slice_of(stream, start_ms, end)).to_vec();
            let saturation = [(Resource::Cpu, Ratio::new(0.25))].into();
            let report = NodeReport { at: end, saturation, ..NodeReport::default() };
            let batch = Batch { reports: vec![report], slices, ..empty(node) };
            let request = authorised(node, encode_metrics(&batch, self.now()));
            self.metrics.export(request).await.unwrap();
        }
    }

    fn slice_of(&self, stream: &str, start_ms: i64, end: MonoTime) -> Slice {
        let fault = self.standing.get(stream).filter(|(_, since)| *since < end);
        let bad = fault.map_or(Duration::ZERO, |(_, since)| end.since(*since).min(SECOND));
        let (transport, picture) = (SECOND, SECOND - bad);
        Slice {
            stream: StreamId::parse(stream).unwrap(),
            start: WallTime::from_unix_millis(start_ms),
            end,
            length: SECOND,
            observed: Observed { transport, picture, sound: picture, delivery: SECOND },
            conditions: fault.map(|(kind, _)| (*kind, bad)).into_iter().collect(),
            standing: fault.map(|(kind, _)| (*kind, Severity::Critical)).into_iter().collect(),
            counters: Counters { packets: 100, decoded_pictures: 1, ..Counters::default() },
            latencies: vec![LatencySample::FirstByte(Duration::from_millis(20))],
            fingerprint: Default::default(),
        }
    }

    /// A fault begins now on these streams, as all who watch them see it.
    pub(crate) async fn begin(&mut self, kind: FaultKind, streams: &[&'static str]) {
        let now = self.now();
        for stream in streams {
            self.standing.insert(stream, (kind, now));
        }
        self.tell(streams, kind, FaultPhase::Begin, now).await;
    }

    /// The head-end's first agent says that a fault began, always with the same record; false if it is to come again.
    pub(crate) async fn try_begin(&mut self, seq: u64) -> bool {
        let mut batch = empty("head-1");
        batch.faults.push(FaultRecord {
            seq,
            stream: StreamId::parse("one/backup").unwrap(),
            kind: FaultKind::Continuity,
            phase: FaultPhase::Begin,
            severity: Severity::Warning,
            pid: None,
            onset: self.now(),
            declared: self.now(),
            evidence: "1 packet lost".to_owned(),
        });
        let request = authorised("head-1", encode_logs(&batch, self.now()));
        self.logs.export(request).await.is_ok()
    }

    /// A fault stands on these streams, and only slices say so.
    pub(crate) fn stands(&mut self, kind: FaultKind, streams: &[&'static str]) {
        let now = self.now();
        self.standing.extend(streams.iter().map(|stream| (*stream, (kind, now))));
    }

    /// The fault on these streams ends now.
    pub(crate) async fn end(&mut self, streams: &[&'static str]) {
        let now = self.now();
        for stream in streams {
            if let Some((kind, onset)) = self.standing.remove(stream) {
                self.tell(&[*stream], kind, FaultPhase::End(now), onset).await;
            }
        }
    }

    async fn tell(
        &mut self,
        streams: &[&'static str],
        kind: FaultKind,
        phase: FaultPhase,
        onset: MonoTime,
    ) {
        for (node, watched) in WATCH {
            let mut batch = empty(node);
            for stream in streams.iter().filter(|stream| watched.contains(stream)) {
                self.seq += 1;
                batch.faults.push(FaultRecord {
                    seq: self.seq,
                    stream: StreamId::parse(stream).unwrap(),
                    kind,
                    phase,
                    severity: Severity::Critical,
                    pid: None,
                    onset,
                    declared: self.now(),
                    evidence: "nothing for 2 s, limit 2 s".to_owned(),
                });
            }
            if !batch.faults.is_empty() {
                let request = authorised(node, encode_logs(&batch, self.now()));
                self.logs.export(request).await.unwrap();
            }
        }
    }
}

/// Seconds that agents say were well before a test begins.
const HISTORY: u32 = 5;

fn empty(node: &str) -> Batch {
    let node = NodeId::new(node).unwrap();
    Batch { node, epoch: Epoch(1), slices: vec![], faults: vec![], reports: vec![] }
}

fn authorised<T>(node: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {}", token(node)).parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// What the panel does with a command after carrying it out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Answers,
    Hangs,
    /// Answers 500 and does nothing.
    Fails,
    /// Says that it is done and does nothing.
    Lies,
    /// Answers with something that is no answer and does nothing.
    Garbage,
}

/// A panel that runs channel `one`.
pub(crate) struct Panel {
    manner: Manner,
    /// Does not answer what state it is in.
    pub(crate) deaf: AtomicBool,
    /// Its clock is ten seconds late.
    pub(crate) late: AtomicBool,
    state: Mutex<(u64, String, String)>,
    pub(crate) commands: Mutex<Vec<Value>>,
}

impl Panel {
    pub(crate) async fn start(manner: Manner) -> (Arc<Self>, String) {
        let state = Mutex::new((1, "primary".to_owned(), "panel".to_owned()));
        let (deaf, late, commands) = (false.into(), false.into(), Mutex::default());
        let panel = Arc::new(Self { manner, deaf, late, state, commands });
        let router = Router::new()
            .route("/commands", post(command))
            .route("/state", get(state_of))
            .with_state(Arc::clone(&panel));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (panel, url)
    }

    pub(crate) fn put_on(&self, source: &str, by: &str) {
        let mut state = self.state.lock().unwrap();
        *state = (state.0 + 1, source.to_owned(), by.to_owned());
    }

    pub(crate) fn count(&self) -> usize {
        self.commands.lock().unwrap().len()
    }
}

async fn command(State(panel): State<Arc<Panel>>, body: Bytes) -> Response {
    let command: Value = serde_json::from_slice(&body).unwrap();
    let known = {
        let mut commands = panel.commands.lock().unwrap();
        let known = commands.iter().any(|it| it["action_id"] == command["action_id"]);
        commands.push(command.clone());
        known
    };
    let obeys = !matches!(panel.manner, Manner::Fails | Manner::Lies | Manner::Garbage);
    if let (true, false, Some(to)) = (obeys, known, command["to"].as_str()) {
        panel.put_on(to, command["action_id"].as_str().unwrap());
    }
    match panel.manner {
        Manner::Hangs => std::future::pending().await,
        Manner::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Manner::Garbage => "<html>".into_response(),
        Manner::Answers | Manner::Lies => {
            Json(json!({ "state": { "channel": "one", "active": command["to"] } })).into_response()
        }
    }
}

async fn state_of(State(panel): State<Arc<Panel>>) -> Response {
    if panel.deaf.load(Ordering::Relaxed) {
        return std::future::pending().await;
    }
    let (version, active, changed_by) = panel.state.lock().unwrap().clone();
    let channel = json!({
        "channel": "one", "active": active, "changed_by": changed_by,
        "sessions": { "north": 3 }, "egress_bytes": { "north": 123 },
    });
    let servers = ["n1", "n2"].map(|id| json!({ "server": id, "state": "active", "sessions": 1 }));
    let body = Json(json!({ "version": version, "channels": [channel], "servers": servers }));
    if panel.late.load(Ordering::Relaxed) {
        let date = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(10);
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        return ([(header::DATE, date)], body).into_response();
    }
    body.into_response()
}

/// Takes traces.
#[derive(Clone, Default)]
pub(crate) struct Traces(Arc<Mutex<Vec<Span>>>);

impl Traces {
    pub(crate) async fn start() -> (Arc<Mutex<Vec<Span>>>, String) {
        let traces = Self::default();
        let spans = Arc::clone(&traces.0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = TraceServiceServer::new(traces);
        let serve = Server::builder().add_service(service);
        tokio::spawn(serve.serve_with_incoming(TcpIncoming::from(listener)));
        (spans, url)
    }
}

#[tonic::async_trait]
impl TraceService for Traces {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Answer<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Answer::new(ExportTraceServiceResponse::default()))
    }
}
