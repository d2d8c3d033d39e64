//! Words that every part of Tallylight shares: ids, units, time, faults, observations, metric names.
//!
//! Nothing here does anything: the crate holds types with their rules and the tables (faults, profiles, metrics) that
//! documents, dashboards and code are checked against. It is `no_std` so that no clock, file or socket can slip in.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod clock;
mod codec;
mod exposition;
mod fault;
mod fingerprint;
mod format;
mod id;
mod metric;
mod observation;
mod profile;
mod time;
mod unit;

pub use clock::{Pcr, Pts};
pub use codec::{Codec, PictureType};
pub use exposition::PrometheusText;
pub use fault::{Acts, FaultClass, FaultKind, FaultRule, Layer, Severity};
pub use fingerprint::{CodedFrame, Fingerprint};
pub use format::{Aspect, CodingProfile, PictureFormat, Scan};
pub use id::{
    ActionId, ChannelId, EncoderId, IdError, IncidentId, NodeId, Pid, ProviderId, RegionId,
    ServerId, StreamId, WindowId,
};
pub use metric::{Exposed, Metric, MetricKind};
pub use observation::{
    Batch, Counters, Epoch, FaultPhase, FaultRecord, LatencySample, NodeReport, Observed, Resource,
    Slice,
};
pub use profile::{Hold, Profile, ProfileName};
pub use time::{MonoTime, WallTime};
pub use unit::{Bitrate, Ratio};
