//! Observations and faults as OTLP messages, and back.
//!
//! - A *metrics* request carries one `ResourceMetrics` per stream, whose attributes name the agent, its run and the stream,
//!   so that no point has to. In it stands one `ScopeMetrics` per slice; the slice's key and age are the scope's attributes.
//!   Sums are deltas over the slice, and a zero delta is not sent. A resource without a stream is the agent's own node.
//! - A *logs* request carries one record per fault begin, raise and end, with an event name.
//!
//! Attributes, never headers, carry the keys, because an OpenTelemetry Collector in between keeps the former and drops the
//! latter. Such a Collector also delays: time spent in it is not part of an age. Evidence that must be fresh to act on
//! therefore wants a direct connection.
//!
//! Every [`MonoTime`](tallylight_model::MonoTime) travels as an age by the sender's clock; the receiver takes it off its own. Names of points
//! are those of the metric registry where it has the metric; the rest ([`metrics`]) follow its form.
//!
//! What a foreign sender says is skipped and counted; what claims to be ours and is malformed is an error, because a
//! measurement that is half understood is worse than none. All sizes are bounded before anything is kept.
#![forbid(unsafe_code)]

mod attribute;
mod error;
mod logs;
mod metrics;
mod split;
#[cfg(test)]
mod tests;

pub use error::WireError;
pub use logs::{decode_logs, encode_logs};
pub use metrics::{decode_metrics, encode_metrics};
pub use split::{BATCH_LIMIT, split};

use tallylight_model::Batch;

/// The most resources, scopes or records that one request may have.
pub const MAX_ITEMS: usize = 100_000;
/// The most data points that one request may have.
pub const MAX_POINTS: usize = 2_000_000;
/// The longest evidence of a fault, in bytes; what is longer is cut at a character's end.
pub const MAX_EVIDENCE: usize = 200;
/// The most latency samples of one slice; what is more is dropped.
pub const MAX_LATENCIES: usize = 16;
/// The longest slice, and the longest time measured in one.
pub const MAX_SLICE: core::time::Duration = core::time::Duration::from_secs(3600);

/// What a request held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// One batch per node and run, in that order.
    pub batches: Vec<Batch>,
    /// Resources, metrics and records that are not ours, or of a kind that this version does not know.
    pub skipped: u64,
}
