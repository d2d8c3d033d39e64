//! What both OTLP transports share: who speaks, whether it may say this, and handing it to the judge.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
};
use prost::Message as _;
use tallylight_model::NodeId;
use tallylight_wire::{Decoded, WireError, decode_logs, decode_metrics};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::{Clock, Loaded, judge::JudgeHandle, meters::Meters};
use crate::auth;

/// The largest request, before and after decompression.
pub(super) const MAX_REQUEST: usize = 4 << 20;
/// Requests in work at once, in bytes of all together: what they come to in memory is a few times as much.
const MAX_IN_WORK: usize = 16 * MAX_REQUEST;
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
    pub(super) room: Room,
}

/// Room for requests in work.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_IN_WORK)))
    }
}

impl Room {
    fn take(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Refused> {
        let bytes = u32::try_from(bytes).map_err(|_| Refused::Busy)?;
        self.0.try_acquire_many(bytes).map_err(|_| Refused::Busy)
    }
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
        let _place = self.room.take(request.encoded_len())?;
        let now = self.clock.now();
        self.take(speaker, decode_metrics(request, now), now).await
    }

    pub(super) async fn logs(
        &self,
        speaker: &NodeId,
        request: ExportLogsServiceRequest,
    ) -> Result<Taken, Refused> {
        let _place = self.room.take(request.encoded_len())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_bytes_at_once_and_again_when_they_are_done() {
        let room = Room::default();
        let places: Vec<_> = (0..16).map(|_| room.take(MAX_REQUEST).unwrap()).collect();
        assert!(matches!(room.take(1), Err(Refused::Busy)));
        drop(places);
        assert!(room.take(MAX_REQUEST).is_ok());
    }
}
