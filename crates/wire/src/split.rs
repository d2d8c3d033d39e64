//! Cutting of batches to a size that a receiver takes.

use prost::Message as _;
use tallylight_model::{Batch, MonoTime};

use crate::{encode_logs, encode_metrics};

/// What an encoded request should not exceed, in bytes: a quarter of what the collector accepts.
pub const BATCH_LIMIT: usize = 1 << 20;

/// Cuts a batch into ones whose metrics request and logs request each stay within [`BATCH_LIMIT`] before compression, in
/// order. A single slice or record is never cut.
#[must_use]
pub fn split(batch: Batch) -> Vec<Batch> {
    let mut whole = Vec::new();
    let mut open = vec![batch];
    while let Some(mut batch) = open.pop() {
        let metrics = encode_metrics(&batch, MonoTime::from_nanos(u64::MAX)).encoded_len();
        let logs = encode_logs(&batch, MonoTime::from_nanos(u64::MAX)).encoded_len();
        let cuttable = batch.slices.len().max(batch.faults.len()).max(batch.reports.len()) > 1;
        if !cuttable || metrics.max(logs) <= BATCH_LIMIT {
            whole.push(batch);
            continue;
        }
        let rest = Batch {
            node: batch.node.clone(),
            epoch: batch.epoch,
            slices: batch.slices.split_off(batch.slices.len().div_ceil(2)),
            faults: batch.faults.split_off(batch.faults.len().div_ceil(2)),
            reports: batch.reports.split_off(batch.reports.len().div_ceil(2)),
        };
        open.push(rest);
        open.push(batch);
    }
    whole
}
