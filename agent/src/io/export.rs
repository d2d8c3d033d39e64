//! Carries the queue to the collector: OTLP over gRPC, faults and slices on lanes of their own.
//!
//! A fault record leaves as soon as it is there; slices wait a moment for those of the other streams, whose seconds end at the
//! same time. What the collector cannot take now goes back to the front of the queue and is encoded anew at the next try, since
//! its age has grown. What it refuses for good is dropped, counted, and told once for each cause: to offer it again would only block
//! what follows, and a collector that does not know this agent's version refuses some of every second.
//!
//! The service stubs are made by hand: all that a generated one adds is the path.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
};
use tallylight_model::Batch;
use tokio::sync::watch;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::CompressionEncoding,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{clock, outbox::Outbox, reason};
use crate::{
    config::{Config, Token},
    exposition::ExportResult,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first slice of a second waits for the others.
const GATHER: Duration = Duration::from_millis(50);
/// Delays between tries: the first, doubled up to the longest. A collector that comes back is wanted back soon.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Causes of refusals that are told on a lane; the rest is only counted.
const MAX_CAUSES: usize = 16;

/// A way to the collector.
#[derive(Clone, Debug)]
pub struct Collector {
    channel: Channel,
    authorization: MetadataValue<Ascii>,
}

impl Collector {
    /// Prepares a connection; it is made when first needed, and again whenever it breaks.
    ///
    /// # Errors
    /// The address is none that can be connected to. Must be called within a tokio runtime.
    pub fn new(config: &Config, token: &Token) -> anyhow::Result<Self> {
        let mut endpoint = Endpoint::from_shared(config.collector.to_string())
            .context("collector: not an endpoint")?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .tcp_nodelay(true)
            .local_address(config.source_address)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(REQUEST_TIMEOUT);
        if config.collector.scheme() == "https" {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint = endpoint.tls_config(tls).context("collector: cannot set up TLS")?;
        }
        let mut authorization: MetadataValue<Ascii> =
            format!("Bearer {}", token.reveal()).parse().context("token: not a header value")?;
        authorization.set_sensitive(true);
        Ok(Self { channel: endpoint.connect_lazy(), authorization })
    }

    async fn call<Q, A>(&self, path: &'static str, gzip: bool, message: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let encoding = if gzip { CompressionEncoding::Gzip } else { CompressionEncoding::Zstd };
        let mut client = Grpc::new(self.channel.clone()).send_compressed(encoding);
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        client.ready().await.map_err(|error| {
            let mut status = Status::unavailable(error.to_string());
            status.set_source(Arc::new(error));
            status
        })?;
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(path);
        Ok(client.unary(request, path, codec).await?.into_inner())
    }
}

/// What travels on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Fault records, as logs.
    Faults,
    /// Slices and node reports, as metrics.
    Slices,
}

/// Carries one lane for ever.
#[derive(Debug)]
pub struct Exporter {
    lane: Lane,
    outbox: Arc<Outbox>,
    collector: watch::Receiver<Collector>,
    /// The collector does not understand zstd.
    gzip: AtomicBool,
    in_flight: Arc<AtomicU64>,
    refusals: Causes,
}

/// Why the collector refused something for good, as far as that was told.
#[derive(Debug, Default)]
struct Causes(Mutex<BTreeSet<String>>);

impl Causes {
    /// Whether a cause is to be told: it was not, and there is room for it.
    fn is_new(&self, cause: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_CAUSES && told.insert(cause.to_owned())
    }
}

/// What of a report the collector refused for good (OTLP specification, partial success): it must not be offered again.
#[derive(Debug)]
struct Rejected {
    count: i64,
    reason: String,
}

impl Exporter {
    /// Takes the lane and what it connects. `in_flight` counts batches that are out of the queue and not yet delivered.
    #[must_use]
    pub fn new(
        lane: Lane,
        outbox: Arc<Outbox>,
        collector: watch::Receiver<Collector>,
        in_flight: Arc<AtomicU64>,
    ) -> Self {
        Self {
            lane,
            outbox,
            collector,
            gzip: AtomicBool::new(false),
            in_flight,
            refusals: Causes::default(),
        }
    }

    /// Delivers what comes, in order, for ever.
    pub async fn run(self) {
        let mut delay = FIRST_DELAY;
        let mut away = false;
        loop {
            match self.lane {
                Lane::Faults => self.outbox.faults.notified().await,
                Lane::Slices => {
                    self.outbox.slices.notified().await;
                    tokio::time::sleep(GATHER).await;
                }
            }
            while let Some(batch) = self.take() {
                match self.deliver(batch).await {
                    Ok(()) => {
                        if std::mem::take(&mut away) {
                            tracing::info!(lane = ?self.lane, "the collector takes reports again");
                        }
                        delay = FIRST_DELAY;
                    }
                    Err(status) => {
                        if !std::mem::replace(&mut away, true) {
                            let (code, reason) = (status.code(), reason_of(&status));
                            tracing::warn!(lane = ?self.lane, ?code, reason, "the collector takes no reports; they are kept");
                        }
                        tokio::time::sleep(jittered(delay)).await;
                        delay = (delay * 2).min(LONGEST_DELAY);
                    }
                }
            }
        }
    }

    fn take(&self) -> Option<Batch> {
        let mut queue = self.outbox.queue();
        let batch = match self.lane {
            Lane::Faults => queue.take_faults(),
            Lane::Slices => queue.take_slices(),
        }?;
        // Counted under the queue's lock, so that nobody sees an empty queue and nothing in flight meanwhile.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        Some(batch)
    }

    /// Sends a batch in pieces. What was not delivered is in the queue again when this returns an error.
    async fn deliver(&self, batch: Batch) -> Result<(), Status> {
        let mut pieces = tallylight_wire::split(batch).into_iter();
        let mut result = Ok(());
        for piece in pieces.by_ref() {
            let status = match self.send(&piece).await {
                Ok(rejected) => {
                    self.accepted(&rejected);
                    continue;
                }
                Err(status) => status,
            };
            if is_final(&status) {
                let (code, reason) = (status.code(), reason_of(&status));
                let (slices, faults) = (piece.slices.len(), piece.faults.len());
                if self.refusals.is_new(&format!("{code:?}: {reason}")) {
                    tracing::error!(
                        ?code,
                        reason,
                        slices,
                        faults,
                        "the collector refused a report for good; it is dropped, and what follows with the same reason is only counted"
                    );
                }
                self.outbox.board().exported(ExportResult::Refused);
                self.outbox.queue().count_refused(&piece);
                continue;
            }
            self.outbox.board().exported(ExportResult::Retried);
            let mut queue = self.outbox.queue();
            pieces.by_ref().rev().for_each(|rest| queue.put_back(rest));
            queue.put_back(piece);
            result = Err(status);
            break;
        }
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn accepted(&self, rejected: &Rejected) {
        let Rejected { count, reason } = rejected;
        let result = if *count > 0 { ExportResult::Partial } else { ExportResult::Accepted };
        self.outbox.board().exported(result);
        if *count > 0 && self.refusals.is_new(reason) {
            tracing::error!(
                rejected = count,
                reason,
                "the collector refused part of a report for good; what follows with the same reason is only counted"
            );
        }
    }

    async fn send(&self, batch: &Batch) -> Result<Rejected, Status> {
        let collector = self.collector.borrow().clone();
        let gzip = self.gzip.load(Ordering::Relaxed);
        let result = match self.lane {
            Lane::Slices => {
                let message = tallylight_wire::encode_metrics(batch, clock::now());
                collector.export_metrics(gzip, message).await
            }
            Lane::Faults => {
                let message = tallylight_wire::encode_logs(batch, clock::now());
                collector.export_logs(gzip, message).await
            }
        };
        if let Err(status) = &result
            && status.code() == Code::Unimplemented
            && !gzip
        {
            self.gzip.store(true, Ordering::Relaxed);
            return Err(Status::unavailable("zstd is not understood; trying gzip"));
        }
        result
    }
}

impl Collector {
    async fn export_metrics(
        &self,
        gzip: bool,
        message: ExportMetricsServiceRequest,
    ) -> Result<Rejected, Status> {
        let path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
        let answer: ExportMetricsServiceResponse = self.call(path, gzip, message).await?;
        let partial = answer.partial_success.unwrap_or_default();
        Ok(Rejected { count: partial.rejected_data_points, reason: partial.error_message })
    }

    async fn export_logs(
        &self,
        gzip: bool,
        message: ExportLogsServiceRequest,
    ) -> Result<Rejected, Status> {
        let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
        let answer: ExportLogsServiceResponse = self.call(path, gzip, message).await?;
        let partial = answer.partial_success.unwrap_or_default();
        Ok(Rejected { count: partial.rejected_log_records, reason: partial.error_message })
    }
}

/// Whether another try could never succeed. A wrong token is put right by people, so what waits for that is kept.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument | Code::PermissionDenied | Code::OutOfRange | Code::Unimplemented
    )
}

/// What a connection failed of, or what the collector said.
fn reason_of(status: &Status) -> String {
    reason::of(status).unwrap_or_else(|| status.message().to_owned())
}

/// Half to all of a delay: agents that lost the same collector do not come back at once.
fn jittered(delay: Duration) -> Duration {
    let share = clock::now().as_nanos() / 1_000 % 512;
    delay / 2 + delay * u32::try_from(share).unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_never_succeed_is_given_up() {
        for (code, gives_up) in [
            (Code::Unavailable, false),
            (Code::DeadlineExceeded, false),
            (Code::Unauthenticated, false),
            (Code::ResourceExhausted, false),
            (Code::Unknown, false),
            (Code::InvalidArgument, true),
            (Code::PermissionDenied, true),
        ] {
            assert_eq!(is_final(&Status::new(code, "")), gives_up, "{code:?}");
        }
    }

    #[test]
    fn a_cause_is_told_once_and_causes_without_end_are_not() {
        let causes = Causes::default();
        assert!(causes.is_new("of a later version"));
        assert!(!causes.is_new("of a later version"));
        let told = (0..100).filter(|n| causes.is_new(&format!("no room for {n}"))).count();
        assert_eq!(told, MAX_CAUSES - 1);
    }
}
