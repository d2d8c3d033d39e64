//! What an agent says: one slice per stream and second, faults at once, and how its own node is.
//!
//! All [`MonoTime`]s here are by the clock of whoever holds the value. The wire carries ages, so that a receiver ends up with
//! moments of its own clock and no two clocks are ever compared.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::time::Duration;

use crate::{
    FaultKind, Fingerprint, Layer, MonoTime, NodeId, Pid, Ratio, Severity, StreamId, WallTime,
};

/// Names one run of an agent: it grows with every start, so that sequence numbers and slices of two runs do not collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// What one agent sends at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Who speaks.
    pub node: NodeId,
    /// Which run of it.
    pub epoch: Epoch,
    /// One per stream and second.
    pub slices: Vec<Slice>,
    /// Fault begins, changes and ends.
    pub faults: Vec<FaultRecord>,
    /// At most one per second.
    pub reports: Vec<NodeReport>,
}

/// What one agent saw of one stream in one slice of time. Its key is (node, epoch, stream, start).
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The stream.
    pub stream: StreamId,
    /// The slice's begin by the agent's wall clock: its key and its stamp, never compared with another clock.
    pub start: WallTime,
    /// The moment up to which the slice's *media was produced*. For live packets the time of arrival; for a segment of
    /// duration `d` that was complete at `t`, media at offset `o` was produced at `t - d + o`.
    pub end: MonoTime,
    /// How long the slice is: 1 s, or more where slices were merged.
    pub length: Duration,
    /// How much of it was observed, by layer.
    pub observed: Observed,
    /// For how long each fault's *condition* held in this slice, declared or not yet. Each at most `length`.
    pub conditions: BTreeMap<FaultKind, Duration>,
    /// Faults that stood declared at the slice's end, with their severity then.
    pub standing: BTreeMap<FaultKind, Severity>,
    /// What was counted.
    pub counters: Counters,
    /// Latencies measured in this slice; at most 16.
    pub latencies: Vec<LatencySample>,
    /// What the second before it sounded like; empty where slices were merged.
    pub fingerprint: Fingerprint,
}

/// How much of a slice was observed at each layer. What nobody watched is neither good nor bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Packets and tables.
    pub transport: Duration,
    /// Decoded picture.
    pub picture: Duration,
    /// Decoded sound.
    pub sound: Duration,
    /// Requests and buffer.
    pub delivery: Duration,
}

impl Observed {
    /// Returns the observed time of one layer.
    #[must_use]
    pub const fn layer(&self, layer: Layer) -> Duration {
        match layer {
            Layer::Transport => self.transport,
            Layer::Picture => self.picture,
            Layer::Sound => self.sound,
            Layer::Delivery => self.delivery,
        }
    }

    /// Returns the place of one layer.
    pub const fn layer_mut(&mut self, layer: Layer) -> &mut Duration {
        match layer {
            Layer::Transport => &mut self.transport,
            Layer::Picture => &mut self.picture,
            Layer::Sound => &mut self.sound,
            Layer::Delivery => &mut self.delivery,
        }
    }

    /// The longest of the layers: zero means that nobody watched.
    #[must_use]
    pub fn any(&self) -> Duration {
        self.transport.max(self.picture).max(self.sound).max(self.delivery)
    }
}

/// Events counted in one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes of transport stream.
    pub bytes: u64,
    /// Transport packets, null packets included.
    pub packets: u64,
    /// Continuity errors (TR 101 290, 1.4).
    pub continuity_errors: u64,
    /// Packets missing by the continuity counter.
    pub missing_packets: u64,
    /// Packets with the transport error indicator.
    pub transport_errors: u64,
    /// Scrambled packets.
    pub scrambled_packets: u64,
    /// Pictures decoded.
    pub decoded_pictures: u64,
    /// Those whose decoder would have said that they are damaged: none of HEVC.
    pub damage_checked_pictures: u64,
    /// Pictures and audio frames that the decoder found damaged.
    pub decode_errors: u64,
    /// HTTP requests made.
    pub http_requests: u64,
    /// HTTP requests that failed or were answered with an error.
    pub http_errors: u64,
    /// Datagrams that the agent's own socket dropped: unobserved, not the stream's fault.
    pub receive_dropped: u64,
    /// Datagrams lost on the way by RTP's sequence numbers.
    pub rtp_lost: u64,
}

impl Counters {
    /// Adds what another slice counted. Stops at the largest number.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.bytes, other.bytes),
            (&mut self.packets, other.packets),
            (&mut self.continuity_errors, other.continuity_errors),
            (&mut self.missing_packets, other.missing_packets),
            (&mut self.transport_errors, other.transport_errors),
            (&mut self.scrambled_packets, other.scrambled_packets),
            (&mut self.decoded_pictures, other.decoded_pictures),
            (&mut self.damage_checked_pictures, other.damage_checked_pictures),
            (&mut self.decode_errors, other.decode_errors),
            (&mut self.http_requests, other.http_requests),
            (&mut self.http_errors, other.http_errors),
            (&mut self.receive_dropped, other.receive_dropped),
            (&mut self.rtp_lost, other.rtp_lost),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// One latency, measured once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LatencySample {
    /// From the request or join to the first byte of the stream.
    FirstByte(Duration),
    /// From the request or join to the first picture: what a viewer's zap takes.
    Startup(Duration),
    /// A segment's fetch time over its duration.
    SegmentFetch(Ratio),
    /// How far the newest media is behind its production, by the playlist's programme date and time.
    LiveDelay(Duration),
}

/// What happened to a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPhase {
    /// It was declared.
    Begin,
    /// Its severity rose.
    Raise,
    /// It ended at this moment: of production, as for [`Slice::end`].
    End(MonoTime),
}

/// A fault on one stream as one agent sees it. Its key is (node, epoch, seq).
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRecord {
    /// Counts up by one with each record of an agent's run.
    pub seq: u64,
    /// The stream.
    pub stream: StreamId,
    /// The kind.
    pub kind: FaultKind,
    /// What happened.
    pub phase: FaultPhase,
    /// How bad it is; at the end, how bad it was.
    pub severity: Severity,
    /// The PID, where the fault is of one PID.
    pub pid: Option<Pid>,
    /// When the faulty media was produced: the start of the condition, before any hold.
    pub onset: MonoTime,
    /// When the hold was over and the fault was declared.
    pub declared: MonoTime,
    /// What was measured, against which limit; at most 200 bytes, without addresses.
    pub evidence: String,
}

/// A resource of a node that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Processor time over all cores.
    Cpu,
    /// Memory that is not available.
    Memory,
    /// The fullest file system that Tallylight writes to.
    Disk,
    /// The busiest interface, against its stated or link speed.
    Network,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Disk, Self::Network];

    /// Returns the label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
        }
    }

    /// Reads what [`name`](Self::name) wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }
}

/// How an agent's own node is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeReport {
    /// When, by the holder's clock.
    pub at: MonoTime,
    /// How much of each resource is used.
    pub saturation: BTreeMap<Resource, Ratio>,
    /// Packets that this node's sockets and interfaces dropped since the last report.
    pub receive_dropped: u64,
    /// Batches and slices that had to be given up since the agent's start, because the queue was full.
    pub lost_slices: u64,
}
