//! What can be read off the judgement, for exposition, API and wall. Nothing here changes anything.

use alloc::vec::Vec;
use core::time::Duration;

use tallylight_model::{
    ChannelId, FaultClass, FaultKind, Layer, MonoTime, NodeId, Ratio, RegionId, Resource, Severity,
    StreamId,
};

use crate::{
    incident::Vote,
    input::{ChangedBy, OnAir},
    lineup::{SourceRole, names},
    others::HandsOff,
    signal::BurnWindow,
};

/// The golden signals of one channel in one region. Seconds only grow while the channel and region are in the lineup.
#[derive(Clone, Debug)]
pub struct SignalView<'a> {
    /// The channel.
    pub channel: &'a ChannelId,
    /// The region.
    pub region: &'a RegionId,
    /// Seconds observed at each layer, in the order of [`Layer::ALL`]; means over the deliveries. Outside maintenance, as the
    /// next three.
    pub observed: [(Layer, f64); 4],
    /// Seconds observed at any layer.
    pub observed_any: f64,
    /// Observed seconds that were bad.
    pub bad: f64,
    /// Seconds of each class, in the order of [`FaultClass::ALL`].
    pub faults: [(FaultClass, f64); 8],
    /// Seconds observed at any layer in maintenance.
    pub maintenance_observed: f64,
    /// Those of them that were bad.
    pub maintenance_bad: f64,
    /// Where it stands to its objective.
    pub slo: SloView,
    /// Whether it is good; `None` while nobody watches.
    pub up: Option<Up>,
    /// Zap times in seconds.
    pub startup: Summary,
    /// First byte times in seconds.
    pub first_byte: Summary,
    /// Segment fetch time over segment duration.
    pub segment_fetch: Summary,
    /// Live delay in seconds.
    pub live_delay: Summary,
    /// Viewers; `None` where the panel does not say.
    pub sessions: Option<u64>,
    /// Bytes to viewers; `None` where the panel does not say.
    pub egress_bytes: Option<u64>,
    /// The worst saturation over its servers; `None` where no agent runs on their nodes.
    pub saturation: Option<Ratio>,
}

/// Where a channel stands to its objective in a region. Seconds in maintenance are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SloView {
    /// The share of the observed seconds that must be good.
    pub objective: Ratio,
    /// Since when seconds count, at most [`BUDGET_WINDOW`](crate::BUDGET_WINDOW) and a day; `None` if none do.
    pub since: Option<MonoTime>,
    /// Seconds observed since then, as they are known by now: unlike a counter they may be corrected.
    pub observed: f64,
    /// Those of them that were bad.
    pub bad: f64,
    /// The share of the error budget that is left, negative where it is overspent; `None` while nothing was observed.
    pub budget_left: Option<f64>,
    /// How many times as fast as it lasts the budget was burnt, in the order of [`BurnWindow::ALL`]; `None` where nothing was
    /// observed.
    pub burn: [(BurnWindow, Option<f64>); 4],
}

names! {
    Latency {
        Startup "startup" FirstByte "first_byte" SegmentFetch "segment_fetch" LiveDelay "live_delay"
    }
}

/// What a latency is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Latency {
    /// From a fresh join to the first picture, in seconds.
    Startup,
    /// From the request to the first byte, in seconds.
    FirstByte,
    /// A segment's fetch time over its duration.
    SegmentFetch,
    /// How far the newest media is behind its production, in seconds.
    LiveDelay,
}

/// A distribution since the start.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramView {
    /// What it is of.
    pub latency: Latency,
    /// Upper bounds, the last infinite, with how many samples lie below each.
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all samples.
    pub sum: f64,
}

/// Whether a channel is good in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Up {
    /// Most of its deliveries are good.
    Good,
    /// Most of its deliveries are bad.
    Bad,
}

/// A distribution over the last minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many samples, ever.
    pub count: u64,
    /// Their sum, ever.
    pub sum: f64,
    /// The 0.5, 0.95 and 0.99 quantiles over the last minute, or over the fewest minutes up to 10 that have 20 samples;
    /// `None` if those have not.
    pub quantiles: Option<[(f64, f64); 3]>,
}

/// A source with what speaks against switching to it.
#[derive(Clone, Debug)]
pub struct SourceView<'a> {
    /// The source.
    pub stream: &'a StreamId,
    /// Its channel.
    pub channel: &'a ChannelId,
    /// Its role.
    pub role: SourceRole,
    /// Whether the panel says that the channel is on it.
    pub active: bool,
    /// Why it could not be switched to; empty if it is ready.
    pub reasons: Vec<NotReady>,
    /// What is known of its programme beside that of the source that the channel is on; `None` for that one itself.
    pub programme: Option<ProgrammeView>,
    /// The deliveries that have had its very frames lately.
    pub shown_by: Vec<&'a StreamId>,
}

/// What is known of two sources' programmes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProgrammeView {
    /// Nothing.
    Unknown,
    /// It is the same, so many seconds later than the other; negative where it is earlier. Stated in the lineup, or learnt.
    Same(f64),
    /// Another one.
    Other,
}

impl ProgrammeView {
    /// Returns the name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Same(_) => "same",
            Self::Other => "other",
        }
    }

    /// How many seconds later, where it is the same.
    #[must_use]
    pub const fn offset(self) -> Option<f64> {
        match self {
            Self::Same(seconds) => Some(seconds),
            Self::Unknown | Self::Other => None,
        }
    }
}

/// Why a source could not be switched to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotReady {
    /// A fault stands declared on it.
    Faulty,
    /// It had a fault within the last minute.
    RecentFault,
    /// Nobody has seen it lately.
    Unobserved,
    /// It has not been seen well for long enough to be believed.
    TooNew,
    /// Its picture or sound is not being decoded.
    NotDecoded,
    /// It is not known to carry the same programme.
    OffsetUnknown,
    /// It is heard to carry another programme than the source that the channel is on.
    OtherProgramme,
}

names! {
    NotReady {
        Faulty "faulty"
        RecentFault "recent_fault"
        Unobserved "unobserved"
        TooNew "too_new"
        NotDecoded "not_decoded"
        OffsetUnknown "offset_unknown"
        OtherProgramme "other_programme"
    }
}

/// A channel at a glance.
#[derive(Clone, Debug)]
pub struct ChannelView<'a> {
    /// The channel.
    pub channel: &'a ChannelId,
    /// Its name for people.
    pub name: &'a str,
    /// Whether it is meant to be there.
    pub on_air: OnAir,
    /// The source that the panel says it is on.
    pub active: Option<&'a StreamId>,
    /// Who put it there.
    pub changed_by: Option<&'a ChangedBy>,
    /// To whom it is left, if somebody else changed its source a short while ago.
    pub hands_off: Option<HandsOff>,
    /// Whether it is good, by region with deliveries; `None` while nobody watches.
    pub up: Vec<(&'a RegionId, Option<Up>)>,
}

/// A fault that stands declared.
#[derive(Clone, Debug)]
pub struct FaultView<'a> {
    /// Who says so.
    pub node: &'a NodeId,
    /// On which stream.
    pub stream: &'a StreamId,
    /// Which.
    pub kind: FaultKind,
    /// How bad.
    pub severity: Severity,
    /// When the faulty media was produced.
    pub onset: MonoTime,
    /// When it was declared.
    pub declared: MonoTime,
    /// What was measured.
    pub evidence: &'a str,
}

/// A node with its agent.
#[derive(Clone, Debug)]
pub struct NodeView<'a> {
    /// The node.
    pub node: &'a NodeId,
    /// Its region.
    pub region: &'a RegionId,
    /// Its path.
    pub path: &'a str,
    /// Time since anything came from it; `None` if nothing ever did.
    pub last_seen: Option<Duration>,
    /// Whether its word counts.
    pub vote: Vote,
    /// How much of its resources is used.
    pub saturation: Vec<(Resource, Ratio)>,
}

/// What the judgement had to let go because a table was full. Each counts up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Batches of nodes that the lineup does not list.
    pub foreign_nodes: u64,
    /// Slices and faults of streams that the lineup does not list, or that the node does not watch.
    pub foreign_streams: u64,
    /// Seconds of deliveries that an agent spoke of when they were over.
    pub late_seconds: u64,
    /// Closed incidents that were forgotten.
    pub forgotten_incidents: u64,
    /// Final actions that were forgotten.
    pub forgotten_actions: u64,
    /// Outputs that nobody took in time.
    pub dropped_outputs: u64,
}
