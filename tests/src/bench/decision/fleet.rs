//! Agents that say each second how every stream is, and at once that one has lost its video.
//!
//! They send what `tallylight-agent` sends: a slice of each stream at the end of each second of their own, cut to the size of
//! a request, compressed with zstd; fault records on a way of their own. Their seconds end at different moments.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::{
    logs::v1::logs_service_client::LogsServiceClient,
    metrics::v1::metrics_service_client::MetricsServiceClient,
};
use tallylight_model::{
    Batch, Counters, Epoch, FaultKind, FaultPhase, FaultRecord, MonoTime, NodeId, NodeReport,
    Observed, Profile, ProfileName, Severity, Slice, StreamId, WallTime,
};
use tallylight_wire::{encode_logs, encode_metrics, split};
use tonic::{
    Request,
    codec::CompressionEncoding,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::world::process::unix_ms;

/// From the source to a region.
pub(super) const DELIVERY_DELAY: Duration = Duration::from_millis(300);
const SECOND: Duration = Duration::from_secs(1);
/// The clock's origin lies before everything that is said.
const ORIGIN: Duration = Duration::from_secs(100);
/// How long a broken primary stays broken after its channel was switched; long enough for the switch to be verified.
const REPAIR: Duration = Duration::from_secs(15);
/// The fault of all of them: it is declared once agents have said how the seconds after its onset were, so that it is the
/// record, and nothing after it, that decides.
const KIND: FaultKind = FaultKind::NoVideo;

/// An agent: one at the head-end, two in each region.
pub(super) struct Node {
    pub(super) id: &'static str,
    pub(super) region: &'static str,
    /// When its seconds end, after those of the clock.
    phase: Duration,
    sees: &'static [&'static str],
}

const fn node(
    id: &'static str,
    region: &'static str,
    phase_ms: u64,
    sees: &'static [&'static str],
) -> Node {
    Node { id, region, phase: Duration::from_millis(phase_ms), sees }
}

pub(super) const NODES: [Node; 5] = [
    node("head-1", "headend", 0, &["primary", "backup"]),
    node("north-a", "north", 170, &["n1"]),
    node("north-b", "north", 390, &["n1"]),
    node("south-a", "south", 610, &["s1"]),
    node("south-b", "south", 830, &["s1"]),
];

/// When a record was sent.
pub(super) struct Sent {
    /// Before it was encoded.
    pub(super) at: Instant,
    /// When the collector had answered.
    pub(super) acknowledged: Instant,
}

#[derive(Clone, Copy)]
struct Trouble {
    since: MonoTime,
    declared: Option<MonoTime>,
    until: Option<MonoTime>,
}

/// All agents, on one clock.
pub(super) struct Fleet {
    start: Instant,
    start_unix_ms: u64,
    /// What is wrong, and was until not long ago, as all who watch see it.
    troubles: Mutex<BTreeMap<StreamId, Trouble>>,
    /// The way of the head-end's fault records, one after the other, with the number of the next.
    records: tokio::sync::Mutex<(LogsServiceClient<Channel>, u64)>,
    authorization: MetadataValue<Ascii>,
    slices: AtomicU64,
    problem: Mutex<Option<anyhow::Error>>,
}

impl Fleet {
    /// Connects all agents and begins to report.
    ///
    /// # Errors
    /// The collector cannot be reached.
    pub(super) async fn start(
        grpc: SocketAddr,
        tokens: &BTreeMap<&str, String>,
        channels: &[String],
    ) -> anyhow::Result<Arc<Self>> {
        let header = |node: &str| {
            let token = tokens.get(node).context("no token")?;
            format!("Bearer {token}").parse().context("the token is no header")
        };
        let records =
            LogsServiceClient::new(connect(grpc).await?).send_compressed(CompressionEncoding::Zstd);
        let fleet = Arc::new(Self {
            start: Instant::now(),
            start_unix_ms: unix_ms(),
            troubles: Mutex::default(),
            records: tokio::sync::Mutex::new((records, 1)),
            authorization: header(NODES[0].id)?,
            slices: AtomicU64::new(0),
            problem: Mutex::default(),
        });
        for node in &NODES {
            let streams = channels
                .iter()
                .flat_map(|channel| node.sees.iter().map(move |name| stream(channel, name)))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let client = MetricsServiceClient::new(connect(grpc).await?)
                .send_compressed(CompressionEncoding::Zstd);
            let (fleet, authorization) = (Arc::clone(&fleet), header(node.id)?);
            tokio::spawn(async move {
                if let Err(error) = fleet.report(node, &streams, client, authorization).await {
                    let error = error.context(format!("{} cannot report", node.id));
                    lock(&fleet.problem).get_or_insert(error);
                }
            });
        }
        Ok(fleet)
    }

    /// How many slices were taken in a second, over all agents.
    ///
    /// # Errors
    /// An agent could not report.
    pub(super) fn check(&self) -> anyhow::Result<f64> {
        if let Some(error) = lock(&self.problem).take() {
            return Err(error);
        }
        let slices = self.slices.load(Ordering::Relaxed) as f64;
        ensure!(slices > 0.0, "no slice was taken");
        Ok(slices / self.start.elapsed().as_secs_f64())
    }

    fn now(&self) -> MonoTime {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> MonoTime {
        MonoTime::ZERO + ORIGIN + instant.saturating_duration_since(self.start)
    }

    async fn report(
        &self,
        node: &Node,
        streams: &[StreamId],
        mut client: MetricsServiceClient<Channel>,
        authorization: MetadataValue<Ascii>,
    ) -> anyhow::Result<()> {
        for number in 1_u32.. {
            let end = SECOND * number + node.phase;
            tokio::time::sleep_until((self.start + end).into()).await;
            let start_ms = self.start_unix_ms + (end - SECOND).as_millis() as u64;
            let end = MonoTime::ZERO + ORIGIN + end;
            let slices: Vec<_> =
                streams.iter().map(|stream| self.slice(stream, start_ms, end)).collect();
            let report = NodeReport { at: end, ..NodeReport::default() };
            for piece in split(Batch { slices, reports: vec![report], ..empty(node)? }) {
                let mut request = Request::new(encode_metrics(&piece, self.now()));
                request.metadata_mut().insert("authorization", authorization.clone());
                client.export(request).await?;
                self.slices.fetch_add(piece.slices.len() as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn slice(&self, stream: &StreamId, start_ms: u64, end: MonoTime) -> Slice {
        let trouble = lock(&self.troubles).get(stream).copied();
        let bad = trouble.map_or(Duration::ZERO, |it| {
            let until = it.until.unwrap_or(end).min(end);
            until.since(it.since.max(end - SECOND))
        });
        let stands = trouble.is_some_and(|it| {
            it.declared.is_some_and(|at| at <= end) && it.until.is_none_or(|at| at > end)
        });
        Slice {
            stream: stream.clone(),
            start: WallTime::from_unix_millis(start_ms as i64),
            end,
            length: SECOND,
            observed: Observed {
                transport: SECOND,
                picture: SECOND - bad,
                sound: SECOND,
                delivery: SECOND,
            },
            conditions: (!bad.is_zero()).then_some((KIND, bad)).into_iter().collect(),
            standing: stands.then_some((KIND, Severity::Critical)).into_iter().collect(),
            counters: Counters {
                bytes: 850_000,
                packets: 4_521,
                decoded_pictures: 1,
                ..Counters::default()
            },
            latencies: Vec::new(),
            fingerprint: Default::default(),
        }
    }

    /// The primary loses its video now and the deliveries follow; answers when that is declared.
    pub(super) fn break_source(&self, channel: &str) -> Instant {
        let now = Instant::now();
        for (name, delay) in
            [("primary", Duration::ZERO), ("n1", DELIVERY_DELAY), ("s1", DELIVERY_DELAY)]
        {
            if let Ok(stream) = stream(channel, name) {
                let trouble = Trouble { since: self.at(now + delay), declared: None, until: None };
                lock(&self.troubles).insert(stream, trouble);
            }
        }
        now + Profile::new(ProfileName::Default).hold(KIND).declared().unwrap_or_default()
    }

    /// The head-end's agent declares the fault: the record that decides.
    ///
    /// # Errors
    /// The collector does not take it.
    pub(super) async fn declare(&self, channel: &str) -> anyhow::Result<Sent> {
        let stream = stream(channel, "primary")?;
        let now = self.now();
        let onset = {
            let mut troubles = lock(&self.troubles);
            let trouble = troubles.get_mut(&stream).context("nothing is wrong")?;
            trouble.declared = Some(now);
            trouble.since
        };
        self.record(stream, FaultPhase::Begin, onset, now).await
    }

    /// The deliveries are good from a command on, the primary a while later; returns then.
    ///
    /// # Errors
    /// The collector does not take that the fault is over.
    pub(super) async fn mend(&self, channel: &str, commanded: Instant) -> anyhow::Result<()> {
        for name in ["n1", "s1"] {
            if let Some(it) = lock(&self.troubles).get_mut(&stream(channel, name)?) {
                it.until = Some(self.at(commanded + DELIVERY_DELAY));
            }
        }
        tokio::time::sleep(REPAIR).await;
        let primary = stream(channel, "primary")?;
        let end = self.now();
        let trouble = lock(&self.troubles).get_mut(&primary).map(|it| {
            it.until = Some(end);
            *it
        });
        let trouble = trouble.context("nothing is wrong")?;
        let declared = trouble.declared.unwrap_or(end);
        self.record(primary, FaultPhase::End(end), trouble.since, declared).await.map(drop)
    }

    async fn record(
        &self,
        stream: StreamId,
        phase: FaultPhase,
        onset: MonoTime,
        declared: MonoTime,
    ) -> anyhow::Result<Sent> {
        let mut lane = self.records.lock().await;
        let seq = lane.1;
        lane.1 += 1;
        let at = Instant::now();
        let fault = FaultRecord {
            seq,
            stream,
            kind: KIND,
            phase,
            severity: Severity::Critical,
            pid: None,
            onset,
            declared,
            evidence: "no picture for 3.0 s, limit 3 s".to_owned(),
        };
        let batch = Batch { faults: vec![fault], ..empty(&NODES[0])? };
        let mut request = Request::new(encode_logs(&batch, self.now()));
        request.metadata_mut().insert("authorization", self.authorization.clone());
        lane.0.export(request).await.context("the collector does not take a fault")?;
        Ok(Sent { at, acknowledged: Instant::now() })
    }
}

async fn connect(grpc: SocketAddr) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{grpc}"))?.tcp_nodelay(true);
    endpoint.connect().await.context("the collector cannot be reached")
}

fn stream(channel: &str, name: &str) -> anyhow::Result<StreamId> {
    StreamId::parse(&format!("{channel}/{name}")).context("not a stream's id")
}

fn empty(node: &Node) -> anyhow::Result<Batch> {
    let node = NodeId::new(node.id)?;
    Ok(Batch { node, epoch: Epoch(1), slices: vec![], faults: vec![], reports: vec![] })
}

/// A panic elsewhere leaves plain data that is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
