//! What both OTLP transports share: who speaks, whether it may say this, and handing it to the judge.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
};
use tallylight_model::NodeId;
use tallylight_wire::{Decoded, WireError, decode_logs, decode_metrics};
use tokio::sync::watch;

use super::{Clock, Loaded, judge::JudgeHandle, meters::Meters};
use crate::auth;

/// The largest request, before and after decompression.
pub(super) const MAX_REQUEST: usize = 4 << 20;
/// When to come again if the collector is busy.
pub(super) const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// No token, or one that nobody has.
    #[error("a bearer token of an agent is needed")]
    Unauthenticated,
    /// The token is of another node.
    #[error("the token is not of this node")]
    OtherNode,
    /// It claims to be ours and cannot be read.
    #[error("cannot be read: {0}")]
    Malformed(#[source] WireError),
    /// Coming again can help.
    #[error("the collector is busy or cannot keep the data; send again")]
    Busy,
}

/// What was taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// Data that is not ours.
    pub(super) skipped: u64,
}

/// Takes in what agents say.
#[derive(Clone, Debug)]
pub(super) struct Ingest {
    pub(super) config: watch::Receiver<Arc<Loaded>>,
    pub(super) clock: Clock,
    pub(super) judge: JudgeHandle,
    pub(super) meters: Arc<Meters>,
}

impl Ingest {
    /// Whose token the `authorization` header carries. Asked before anything of the body is read.
    pub(super) fn authenticate(&self, header: Option<&str>) -> Result<NodeId, Refused> {
        let token = auth::bearer(header).ok_or(Refused::Unauthenticated)?;
        let config = self.config.borrow();
        auth::whose(&config.settings.agents, token).cloned().ok_or(Refused::Unauthenticated)
    }

    pub(super) async fn metrics(
        &self,
        speaker: &NodeId,
        request: ExportMetricsServiceRequest,
    ) -> Result<Taken, Refused> {
        let now = self.clock.now();
        self.take(speaker, decode_metrics(request, now), now).await
    }

    pub(super) async fn logs(
        &self,
        speaker: &NodeId,
        request: ExportLogsServiceRequest,
    ) -> Result<Taken, Refused> {
        let now = self.clock.now();
        self.take(speaker, decode_logs(request, now), now).await
    }

    async fn take(
        &self,
        speaker: &NodeId,
        decoded: Result<Decoded, WireError>,
        arrived: tallylight_model::MonoTime,
    ) -> Result<Taken, Refused> {
        let Decoded { batches, skipped } = decoded.map_err(Refused::Malformed)?;
        if batches.iter().any(|batch| batch.node != *speaker) {
            return Err(Refused::OtherNode);
        }
        for batch in batches {
            self.judge.batch(batch, arrived).await.map_err(|_| Refused::Busy)?;
        }
        Ok(Taken { skipped })
    }
}
