//! The agent's `/metrics`: totals of every watched stream, of the node and of the agent itself, as Prometheus text 0.0.4.
//!
//! It is written from these totals at each scrape: a stream that leaves the lineup is gone at the next one.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tallylight_model::{
    Counters, FaultKind, LatencySample, Layer, Metric, NodeId, NodeReport, PrometheusText,
    Severity, Slice, StreamId,
};

use crate::{
    decode::{ChannelPlace, Confinement, WorkerFailure},
    input::{
        arrival::{Arrival, Gaps},
        rtp::{FecDirection, RtpCounts},
    },
    shedding::{Cuts, Level},
    sound::Reading,
};

/// Start latencies kept for the quantiles.
const STARTUP_SAMPLES: usize = 128;
/// No quantile is shown under this many.
const STARTUP_QUANTILE_FROM: usize = 20;

/// Results of an offer to the collector, as the label `result` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExportResult {
    /// The collector took it.
    Accepted,
    /// The collector took some of it, and refused the rest for good.
    Partial,
    /// It will be offered again.
    Retried,
    /// The collector refused it for good.
    Refused,
}

impl ExportResult {
    const ALL: [Self; 4] = [Self::Accepted, Self::Partial, Self::Retried, Self::Refused];

    const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Partial => "partial",
            Self::Retried => "retried",
            Self::Refused => "refused",
        }
    }
}

/// What became of a clip, as the label `result` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClipResult {
    /// It was written.
    Written,
    /// It was written, and is shorter than it should be.
    Cut,
    /// Nothing of it is kept.
    Dropped,
    /// It was deleted to make room.
    Deleted,
}

impl ClipResult {
    const ALL: [Self; 4] = [Self::Written, Self::Cut, Self::Dropped, Self::Deleted];

    const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Cut => "cut",
            Self::Dropped => "dropped",
            Self::Deleted => "deleted",
        }
    }
}

/// How the queue for the collector stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Slices and fault records that wait.
    pub waiting: usize,
    /// Slices given up since the start.
    pub lost_slices: u64,
    /// Fault records given up since the start.
    pub lost_faults: u64,
}

/// Everything that `/metrics` shows.
#[derive(Debug)]
pub struct Board {
    node: NodeId,
    streams: BTreeMap<StreamId, Totals>,
    saturation: NodeReport,
    exports: BTreeMap<ExportResult, u64>,
    decode_refused: u64,
    shed_streams: BTreeMap<Level, usize>,
    cuts: Cuts,
    full_decodes_skipped: u64,
    decode_workers_failed: BTreeMap<&'static str, u64>,
    decoders_confined: Option<Confinement>,
    clips: BTreeMap<ClipResult, u64>,
    clip_bytes: u64,
    ring_bytes: u64,
}

#[derive(Debug, Default)]
struct Totals {
    counters: Counters,
    bitrate: f64,
    observed: BTreeMap<Layer, Duration>,
    held: BTreeMap<FaultKind, Duration>,
    standing: BTreeMap<FaultKind, Severity>,
    startups: VecDeque<Duration>,
    startup_sum: Duration,
    startup_count: u64,
    success: bool,
    /// How datagrams arrived of late, and all gaps between them; of datagrams alone.
    arrival: Option<Arrival>,
    /// Packets missing in the last second.
    missing: u64,
    /// What became of RTP packets, beside those that were lost.
    rtp: RtpCounts,
    fec: BTreeMap<FecDirection, u64>,
    /// Changes of what it carries.
    changes: u64,
    /// Cues for splices.
    cues: u64,
    /// How the main sound is.
    reading: Reading,
}

impl Board {
    /// An empty board of one node.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            streams: BTreeMap::new(),
            saturation: NodeReport::default(),
            exports: BTreeMap::new(),
            decode_refused: 0,
            shed_streams: BTreeMap::new(),
            cuts: Cuts::default(),
            full_decodes_skipped: 0,
            decode_workers_failed: BTreeMap::new(),
            decoders_confined: None,
            clips: BTreeMap::new(),
            clip_bytes: 0,
            ring_bytes: 0,
        }
    }

    /// Shows exactly these streams; all others are gone with the next scrape.
    pub fn watch(&mut self, streams: impl IntoIterator<Item = StreamId>) {
        let mut old = std::mem::take(&mut self.streams);
        for stream in streams {
            let totals = old.remove(&stream).unwrap_or_default();
            self.streams.insert(stream, totals);
        }
    }

    /// Adds a slice to its stream's totals. A slice of a stream that is not watched is ignored.
    pub fn add(&mut self, slice: &Slice) {
        let Some(totals) = self.streams.get_mut(&slice.stream) else { return };
        totals.counters.add(&slice.counters);
        let seconds = slice.length.as_secs_f64();
        totals.bitrate = if seconds > 0.0 { slice.counters.bytes as f64 / seconds } else { 0.0 };
        for layer in Layer::ALL {
            *totals.observed.entry(layer).or_default() += slice.observed.layer(layer);
        }
        for (&kind, &held) in &slice.conditions {
            *totals.held.entry(kind).or_default() += held;
        }
        totals.standing.clone_from(&slice.standing);
        totals.success = !slice.observed.any().is_zero();
        totals.missing = slice.counters.missing_packets;
        if let Some(arrival) = totals.arrival.as_mut().filter(|_| slice.counters.packets == 0) {
            // What nothing arrives of arrives in no way.
            *arrival = Arrival { gaps: arrival.gaps, ..Arrival::default() };
        }
        for latency in &slice.latencies {
            if let LatencySample::Startup(startup) = latency {
                totals.start(*startup);
            }
        }
    }

    /// Shows how a stream's main sound is.
    pub fn heard(&mut self, stream: &StreamId, reading: Reading) {
        if let Some(totals) = self.streams.get_mut(stream) {
            totals.reading = reading;
        }
    }

    /// Shows how a stream's datagrams arrived in the last second.
    pub fn arrived(&mut self, stream: &StreamId, arrival: &Arrival) {
        if let Some(totals) = self.streams.get_mut(stream) {
            totals.arrival.get_or_insert_default().add(arrival);
        }
    }

    /// Adds what became of a stream's RTP packets.
    pub fn received(&mut self, stream: &StreamId, counts: RtpCounts) {
        if let Some(totals) = self.streams.get_mut(stream) {
            totals.rtp.add(counts);
        }
    }

    /// Counts a change of what a stream carries.
    pub fn changed(&mut self, stream: &StreamId) {
        if let Some(totals) = self.streams.get_mut(stream) {
            totals.changes += 1;
        }
    }

    /// Counts a cue for a splice.
    pub fn cued(&mut self, stream: &StreamId) {
        if let Some(totals) = self.streams.get_mut(stream) {
            totals.cues += 1;
        }
    }

    /// Counts packets of forward error correction beside a stream; true for the first of their direction.
    pub fn corrected(&mut self, stream: &StreamId, direction: FecDirection, packets: u64) -> bool {
        let Some(totals) = self.streams.get_mut(stream) else { return false };
        let sum = totals.fec.entry(direction).or_default();
        *sum += packets;
        *sum == packets
    }

    /// Shows how the node is.
    pub fn node(&mut self, report: &NodeReport) {
        self.saturation = report.clone();
    }

    /// Counts an offer to the collector.
    pub fn exported(&mut self, result: ExportResult) {
        *self.exports.entry(result).or_default() += 1;
    }

    /// Counts an access unit that no decoder had time for.
    pub const fn decode_refused(&mut self) {
        self.decode_refused += 1;
    }

    /// Shows of how many streams how much is shed.
    pub fn shed_streams(&mut self, streams: BTreeMap<Level, usize>) {
        self.shed_streams = streams;
    }

    /// Counts what was shed.
    pub const fn shed(&mut self, cuts: Cuts) {
        self.cuts.add(cuts);
    }

    /// Counts pictures between key pictures that were not decoded since other streams' were.
    pub const fn full_decodes_skipped(&mut self, spans: u64) {
        self.full_decodes_skipped += spans;
    }

    /// Datagrams of all streams that overflowed the agent's sockets.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.streams.values().map(|totals| totals.counters.receive_dropped).sum()
    }

    /// Counts a process that decoded and failed.
    pub fn decode_worker_failed(&mut self, how: WorkerFailure) {
        *self.decode_workers_failed.entry(how.name()).or_default() += 1;
    }

    /// Shows what the processes that decode are kept from; true if that is news.
    pub fn decoders_confined(&mut self, confinement: Confinement) -> bool {
        self.decoders_confined.replace(confinement) != Some(confinement)
    }

    /// Counts what became of a clip.
    pub fn clip(&mut self, result: ClipResult) {
        *self.clips.entry(result).or_default() += 1;
    }

    /// Shows what clips take up on disk.
    pub const fn clip_bytes(&mut self, bytes: u64) {
        self.clip_bytes = bytes;
    }

    /// Shows that a stream's last seconds take up so much memory, after so much before.
    pub const fn ring_bytes(&mut self, before: u64, bytes: u64) {
        self.ring_bytes = self.ring_bytes.saturating_sub(before).saturating_add(bytes);
    }

    /// Writes the page.
    #[must_use]
    pub fn render(&self, backlog: Backlog) -> String {
        let mut page = PrometheusText::default();
        for &(metric, value) in COUNTERS {
            page.metric(metric);
            for (stream, totals) in &self.streams {
                page.series(&labels(stream), value(&totals.counters) as f64);
            }
        }
        for &(metric, value) in RTP {
            page.metric(metric);
            for (stream, totals) in &self.streams {
                page.series(&labels(stream), value(&totals.rtp) as f64);
            }
        }
        page.metric(Metric::StreamStructureChanges);
        for (stream, totals) in &self.streams {
            page.series(&labels(stream), totals.changes as f64);
        }
        page.metric(Metric::StreamCues);
        for (stream, totals) in &self.streams {
            page.series(&labels(stream), totals.cues as f64);
        }
        page.metric(Metric::StreamDecodeErrors);
        for (stream, totals) in &self.streams {
            let Counters { decode_errors, damage_checked_pictures, .. } = totals.counters;
            // A decoder that never says that a picture is damaged has not found it whole.
            if damage_checked_pictures > 0 || decode_errors > 0 {
                page.series(&labels(stream), decode_errors as f64);
            }
        }
        self.render_states(&mut page);
        self.render_arrival(&mut page);
        self.render_sound(&mut page);
        self.render_startup(&mut page);
        page.metric(Metric::NodeSaturation);
        for (resource, ratio) in &self.saturation.saturation {
            let labels = [("node", self.node.as_str()), ("resource", resource.name())];
            page.series(&labels, ratio.get());
        }
        one(&mut page, Metric::BuildInfo, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        one(&mut page, Metric::AgentStreams, &[], self.streams.len() as f64);
        one(&mut page, Metric::AgentQueueSlices, &[], backlog.waiting as f64);
        one(&mut page, Metric::AgentLostSlices, &[], backlog.lost_slices as f64);
        one(&mut page, Metric::AgentLostFaults, &[], backlog.lost_faults as f64);
        one(&mut page, Metric::AgentDecodeRefused, &[], self.decode_refused as f64);
        self.render_decoding(&mut page);
        one(&mut page, Metric::AgentEvidenceBytes, &[], self.clip_bytes as f64);
        one(&mut page, Metric::AgentEvidenceMemory, &[], self.ring_bytes as f64);
        page.metric(Metric::AgentEvidenceClips);
        for result in ClipResult::ALL {
            let count = self.clips.get(&result).copied().unwrap_or_default();
            page.series(&[("result", result.name())], count as f64);
        }
        page.metric(Metric::AgentExports);
        for result in ExportResult::ALL {
            let count = self.exports.get(&result).copied().unwrap_or_default();
            page.series(&[("result", result.name())], count as f64);
        }
        page.finish()
    }

    fn render_decoding(&self, page: &mut PrometheusText) {
        let skipped = self.full_decodes_skipped as f64;
        one(page, Metric::AgentFullDecodesSkipped, &[], skipped);
        page.metric(Metric::AgentShedStreams);
        for level in Level::SHEDDING {
            let count = self.shed_streams.get(&level).copied().unwrap_or_default();
            page.series(&[("level", level.name())], count as f64);
        }
        page.metric(Metric::AgentShed);
        let Cuts { thumbnails, full_decodes, key_pictures } = self.cuts;
        for (what, count) in [
            ("thumbnails", thumbnails),
            ("full_decodes", full_decodes),
            ("key_pictures", key_pictures),
        ] {
            page.series(&[("what", what)], count as f64);
        }
        page.metric(Metric::AgentDecodeWorkerFailures);
        for reason in WorkerFailure::NAMES {
            let count = self.decode_workers_failed.get(reason).copied().unwrap_or_default();
            page.series(&[("reason", reason)], count as f64);
        }
        page.metric(Metric::AgentDecodeConfined);
        if let Some(confinement) = self.decoders_confined {
            for (from, kept) in confinement.each() {
                page.series(&[("from", from)], if kept { 1.0 } else { 0.0 });
            }
        }
    }

    fn render_states(&self, page: &mut PrometheusText) {
        page.metric(Metric::StreamBitrate);
        for (stream, totals) in &self.streams {
            page.series(&labels(stream), totals.bitrate);
        }
        page.metric(Metric::StreamObservedSeconds);
        for (stream, totals) in &self.streams {
            for (layer, observed) in &totals.observed {
                let [channel, name] = labels(stream);
                let labels = [channel, name, ("layer", layer.name())];
                page.series(&labels, observed.as_secs_f64());
            }
        }
        page.metric(Metric::StreamFaultSeconds);
        for (stream, totals) in &self.streams {
            for (kind, held) in &totals.held {
                let [channel, name] = labels(stream);
                let labels = [channel, name, ("kind", kind.name())];
                page.series(&labels, held.as_secs_f64());
            }
        }
        page.metric(Metric::StreamFault);
        for (stream, totals) in &self.streams {
            for (kind, _) in totals.standing.iter().filter(|(_, s)| **s >= Severity::Warning) {
                let [channel, name] = labels(stream);
                page.series(&[channel, name, ("kind", kind.name())], 1.0);
            }
        }
        page.metric(Metric::AgentProbeSuccess);
        for (stream, totals) in &self.streams {
            let success = if totals.success { 1.0 } else { 0.0 };
            page.series(&labels(stream), success);
        }
    }

    fn render_arrival(&self, page: &mut PrometheusText) {
        let arrivals =
            || self.streams.iter().filter_map(|(id, totals)| Some((id, totals, totals.arrival?)));
        page.metric(Metric::StreamArrivalGap);
        for (stream, _, Arrival { gaps, .. }) in arrivals() {
            let [channel, name] = labels(stream);
            let bounds = Gaps::BOUNDS.map(|bound| bound.as_secs_f64()).into_iter();
            let mut sum = 0;
            for (bound, count) in bounds.chain([f64::INFINITY]).zip(gaps.counts) {
                sum += count;
                let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
                page.suffixed("_bucket", &[channel, name, ("le", &bound)], sum as f64);
            }
            page.suffixed("_sum", &[channel, name], gaps.sum.as_secs_f64());
            page.suffixed("_count", &[channel, name], gaps.count() as f64);
        }
        page.metric(Metric::StreamRtpFec);
        for (stream, totals) in &self.streams {
            for (direction, packets) in &totals.fec {
                let [channel, name] = labels(stream);
                page.series(&[channel, name, ("direction", direction.name())], *packets as f64);
            }
        }
        page.metric(Metric::StreamMediaLoss);
        for (stream, totals, _) in arrivals() {
            page.series(&labels(stream), totals.missing as f64);
        }
        for &(metric, value) in ARRIVALS {
            page.metric(metric);
            for (stream, _, arrival) in arrivals() {
                if let Some(value) = value(&arrival) {
                    page.series(&labels(stream), value);
                }
            }
        }
    }

    fn render_sound(&self, page: &mut PrometheusText) {
        page.metric(Metric::StreamLoudness);
        for (stream, totals) in &self.streams {
            let Reading { momentary, short_term, .. } = totals.reading;
            for (window, value) in [("momentary", momentary), ("short_term", short_term)] {
                let Some(value) = value else { continue };
                let [channel, name] = labels(stream);
                page.series(&[channel, name, ("window", window)], f64::from(value));
            }
        }
        page.metric(Metric::StreamSoundLevel);
        for (stream, totals) in &self.streams {
            // Places that are not told apart would be one series twice.
            let known = totals.reading.channels.iter().filter(|(it, _)| *it != ChannelPlace::Other);
            for (place, level) in known {
                let [channel, name] = labels(stream);
                page.series(&[channel, name, ("position", place.name())], f64::from(*level));
            }
        }
    }

    fn render_startup(&self, page: &mut PrometheusText) {
        let metric = Metric::StreamStartup;
        page.metric(metric);
        for (stream, totals) in &self.streams {
            let [channel, name] = labels(stream);
            if totals.startups.len() >= STARTUP_QUANTILE_FROM {
                let mut sorted: Vec<Duration> = totals.startups.iter().copied().collect();
                sorted.sort_unstable();
                for (quantile, share) in [("0.5", 50), ("0.95", 95), ("0.99", 99)] {
                    let at = (sorted.len() * share).div_ceil(100).saturating_sub(1);
                    let value = sorted.get(at).copied().unwrap_or_default().as_secs_f64();
                    page.series(&[channel, name, ("quantile", quantile)], value);
                }
            }
            page.suffixed("_sum", &[channel, name], totals.startup_sum.as_secs_f64());
            page.suffixed("_count", &[channel, name], totals.startup_count as f64);
        }
    }
}

impl Totals {
    fn start(&mut self, startup: Duration) {
        if self.startups.len() == STARTUP_SAMPLES {
            self.startups.pop_front();
        }
        self.startups.push_back(startup);
        self.startup_sum += startup;
        self.startup_count += 1;
    }
}

type Measure = fn(&Arrival) -> Option<f64>;

const ARRIVALS: &[(Metric, Measure)] = &[
    (Metric::StreamDelayFactor, |a| Some(a.delay_factor?.as_secs_f64())),
    (Metric::StreamPcrArrivalJitter, |a| Some(a.pcr_jitter?.as_secs_f64())),
    (Metric::StreamPcrDrift, |a| Some(a.pcr_drift_ppb? as f64 / 1e9)),
    (Metric::StreamRtpJitter, |a| Some(a.rtp_jitter?.as_secs_f64())),
    (Metric::StreamRtpSpread, |a| Some(a.rtp_spread?.as_secs_f64())),
];

type Count = fn(&Counters) -> u64;

const COUNTERS: &[(Metric, Count)] = &[
    (Metric::StreamPackets, |c| c.packets),
    (Metric::StreamBytes, |c| c.bytes),
    (Metric::StreamContinuityErrors, |c| c.continuity_errors),
    (Metric::StreamMissingPackets, |c| c.missing_packets),
    (Metric::StreamTransportErrors, |c| c.transport_errors),
    (Metric::StreamScrambledPackets, |c| c.scrambled_packets),
    (Metric::StreamDecodedPictures, |c| c.decoded_pictures),
    (Metric::StreamDamageChecked, |c| c.damage_checked_pictures),
    (Metric::StreamHttpRequests, |c| c.http_requests),
    (Metric::StreamHttpErrors, |c| c.http_errors),
    (Metric::StreamReceiveDropped, |c| c.receive_dropped),
    (Metric::StreamRtpLost, |c| c.rtp_lost),
];

type RtpCount = fn(&RtpCounts) -> u64;

const RTP: &[(Metric, RtpCount)] = &[
    (Metric::StreamRtpReordered, |c| c.reordered),
    (Metric::StreamRtpDuplicates, |c| c.duplicates),
    (Metric::StreamRtpLate, |c| c.late),
    (Metric::StreamRtpRestarts, |c| c.restarts),
];

fn labels(stream: &StreamId) -> [(&'static str, &str); 2] {
    let (channel, name) = stream.as_str().split_once('/').unwrap_or((stream.as_str(), ""));
    [("channel", channel), ("stream", name)]
}

fn one(page: &mut PrometheusText, metric: Metric, labels: &[(&str, &str)], value: f64) {
    page.metric(metric);
    page.series(labels, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tallylight_model::{Exposed, MonoTime, Observed, Ratio, Resource, WallTime};

    fn stream(name: &str) -> StreamId {
        StreamId::parse(name).unwrap()
    }

    fn slice(name: &str) -> Slice {
        let second = Duration::from_secs(1);
        Slice {
            stream: stream(name),
            start: WallTime::default(),
            end: MonoTime::ZERO,
            length: second,
            observed: Observed { transport: second, picture: second / 2, ..Observed::default() },
            conditions: [(FaultKind::Black, second / 4)].into(),
            standing: [
                (FaultKind::Black, Severity::Warning),
                (FaultKind::BoundaryContinuity, Severity::Info),
            ]
            .into(),
            counters: Counters { packets: 10, bytes: 1_880, ..Counters::default() },
            latencies: vec![LatencySample::Startup(second)],
            fingerprint: Default::default(),
        }
    }

    fn arrival() -> Arrival {
        let millis = |millis| Some(Duration::from_millis(millis));
        let mut gaps = Gaps::default();
        (gaps.counts[1], gaps.counts[10], gaps.sum) = (3, 1, Duration::from_secs(2));
        let (delay_factor, pcr_jitter, rtp_jitter) = (millis(4), millis(5), millis(6));
        let (pcr_drift_ppb, rtp_spread) = (Some(-7_000), millis(8));
        Arrival { gaps, delay_factor, pcr_jitter, pcr_drift_ppb, rtp_jitter, rtp_spread }
    }

    fn board() -> Board {
        let mut board = Board::new(NodeId::new("n1").unwrap());
        board.watch([stream("one/a"), stream("two/b")]);
        board.node(&NodeReport {
            saturation: [(Resource::Cpu, Ratio::new(0.5))].into(),
            ..NodeReport::default()
        });
        for _ in 0..20 {
            board.add(&slice("one/a"));
        }
        let counters = Counters { damage_checked_pictures: 1, ..Counters::default() };
        board.add(&Slice { counters, latencies: Vec::new(), ..slice("two/b") });
        board.arrived(&stream("one/a"), &arrival());
        board.arrived(&stream("one/a"), &arrival());
        let counts =
            RtpCounts { reordered: 1, duplicates: 2, late: 3, restarts: 4, ..RtpCounts::default() };
        board.received(&stream("one/a"), counts);
        board.received(&stream("one/a"), counts);
        assert!(board.corrected(&stream("one/a"), FecDirection::Row, 5));
        assert!(!board.corrected(&stream("one/a"), FecDirection::Row, 6));
        let channels = vec![(ChannelPlace::Left, -20.0), (ChannelPlace::Lfe, -90.5)];
        let reading = Reading { momentary: Some(-18.5), short_term: None, channels };
        board.heard(&stream("one/a"), reading);
        board.exported(ExportResult::Accepted);
        board.shed_streams([(Level::FourSeconds, 2)].into());
        let cuts = Cuts { thumbnails: 3, full_decodes: 0, key_pictures: 1 };
        board.shed(cuts);
        board.shed(cuts);
        board.full_decodes_skipped(5);
        board.decode_worker_failed(WorkerFailure::Hung);
        let confinement =
            Confinement { files: true, network: true, seccomp: true, landlock: false };
        assert!(board.decoders_confined(confinement) && !board.decoders_confined(confinement));
        board.clip(ClipResult::Cut);
        board.clip_bytes(7);
        board.ring_bytes(0, 30);
        board.ring_bytes(0, 40);
        board.ring_bytes(30, 10);
        board
    }

    fn value(page: &str, series: &str) -> Option<f64> {
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    #[test]
    fn slices_add_up_to_totals() {
        let page = board().render(Backlog { waiting: 3, lost_slices: 4, lost_faults: 5 });
        for (series, expected) in [
            (r#"iptv_stream_packets_total{channel="one",stream="a"}"#, 200.0),
            (r#"iptv_stream_bitrate_bytes{channel="one",stream="a"}"#, 1_880.0),
            (
                r#"iptv_stream_observed_seconds_total{channel="one",stream="a",layer="picture"}"#,
                10.0,
            ),
            (r#"iptv_stream_fault_seconds_total{channel="one",stream="a",kind="black"}"#, 5.0),
            (r#"iptv_stream_fault{channel="one",stream="a",kind="black"}"#, 1.0),
            (r#"iptv_stream_startup_seconds{channel="one",stream="a",quantile="0.95"}"#, 1.0),
            (r#"iptv_stream_startup_seconds_count{channel="one",stream="a"}"#, 20.0),
            (r#"iptv_stream_loudness_lufs{channel="one",stream="a",window="momentary"}"#, -18.5),
            (r#"iptv_stream_sound_level_dbfs{channel="one",stream="a",position="LFE"}"#, -90.5),
            (r#"iptv_node_saturation_ratio{node="n1",resource="cpu"}"#, 0.5),
            ("tallylight_agent_queue_slices", 3.0),
            ("tallylight_agent_lost_slices_total", 4.0),
            ("tallylight_agent_lost_faults_total", 5.0),
            (r#"tallylight_agent_exports_total{result="accepted"}"#, 1.0),
            (r#"tallylight_agent_evidence_clips_total{result="cut"}"#, 1.0),
            (r#"tallylight_agent_shed_streams{level="key_pictures_4s"}"#, 2.0),
            (r#"tallylight_agent_shed_streams{level="thumbnails"}"#, 0.0),
            (r#"tallylight_agent_shed_total{what="thumbnails"}"#, 6.0),
            ("tallylight_agent_full_decodes_skipped_total", 5.0),
            (r#"tallylight_agent_shed_total{what="key_pictures"}"#, 2.0),
            (r#"tallylight_agent_decode_worker_failures_total{reason="hung"}"#, 1.0),
            (r#"tallylight_agent_decode_confined{from="network"}"#, 1.0),
            (r#"tallylight_agent_decode_confined{from="landlock"}"#, 0.0),
            ("tallylight_agent_evidence_bytes", 7.0),
            ("tallylight_agent_evidence_memory_bytes", 50.0),
        ] {
            assert_eq!(value(&page, series), Some(expected), "{series}\n{page}");
        }
        assert!(!page.contains("boundary_continuity") && !page.contains("window=\"short_term\""));
    }

    #[test]
    fn how_datagrams_arrive_is_shown_while_they_do() {
        let one = |series: &str| format!(r#"iptv_stream_{series}{{channel="one",stream="a"}}"#);
        let mut board = board();
        let counters = Counters { packets: 1, missing_packets: 9, ..Counters::default() };
        board.add(&Slice { counters, ..slice("one/a") });
        let page = board.render(Backlog::default());
        let bucket = r#"iptv_stream_arrival_gap_seconds_bucket{channel="one",stream="a",le="#;
        for (series, expected) in [
            (format!(r#"{bucket}"0.0001"}}"#), 0.0),
            (format!(r#"{bucket}"0.001"}}"#), 6.0),
            (format!(r#"{bucket}"1"}}"#), 6.0),
            (format!(r#"{bucket}"+Inf"}}"#), 8.0),
            (one("arrival_gap_seconds_sum"), 4.0),
            (one("arrival_gap_seconds_count"), 8.0),
            (one("delay_factor_seconds"), 0.004),
            (one("media_loss_rate"), 9.0),
            (one("pcr_arrival_jitter_seconds"), 0.005),
            (one("pcr_drift_ratio"), -0.000_007),
            (one("rtp_jitter_seconds"), 0.006),
            (one("rtp_spread_seconds"), 0.008),
            (one("rtp_reordered_total"), 2.0),
            (one("rtp_duplicates_total"), 4.0),
            (one("rtp_late_total"), 6.0),
            (one("rtp_restarts_total"), 8.0),
            (
                r#"iptv_stream_rtp_fec_packets_total{channel="one",stream="a",direction="row"}"#
                    .into(),
                11.0,
            ),
        ] {
            assert_eq!(value(&page, &series), Some(expected), "{series}\n{page}");
        }
        assert!(!page.contains(r#"iptv_stream_media_loss_rate{channel="two""#), "not by datagrams");
        board.add(&Slice { counters: Counters::default(), ..slice("one/a") });
        let page = board.render(Backlog::default());
        assert_eq!(value(&page, &one("delay_factor_seconds")), None, "nothing arrives");
        assert_eq!(value(&page, &one("arrival_gap_seconds_count")), Some(8.0));
    }

    #[test]
    fn a_decoder_that_never_tells_of_damage_is_not_said_to_have_found_none() {
        for (damage_checked_pictures, decode_errors, expected) in
            [(0, 0, None), (3, 0, Some(0.0)), (0, 2, Some(2.0))]
        {
            let mut board = board();
            let counters =
                Counters { damage_checked_pictures, decode_errors, ..Counters::default() };
            board.add(&Slice { counters, ..slice("one/a") });
            let page = board.render(Backlog { waiting: 0, lost_slices: 0, lost_faults: 0 });
            let series = r#"iptv_stream_decode_errors_total{channel="one",stream="a"}"#;
            assert_eq!(value(&page, series), expected, "{page}");
        }
    }

    #[test]
    fn every_name_and_label_is_in_the_registry_and_none_is_left_out() {
        let page = board().render(Backlog::default());
        let mut seen = BTreeSet::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffix = ["_sum", "_count", "_bucket"].into_iter();
            let base = suffix.fold(name, |name, suffix| name.trim_end_matches(suffix));
            let metric = Metric::ALL.iter().find(|m| m.name() == base).expect(name);
            seen.insert(*metric);
            let inner =
                line.split_once('{').map_or("", |(_, rest)| rest.split('}').next().unwrap());
            for label in inner.split(',').filter_map(|pair| Some(pair.split_once('=')?.0)) {
                let allowed =
                    matches!(label, "quantile" | "le") || metric.labels().contains(&label);
                assert!(allowed, "{line}");
            }
        }
        for &metric in Metric::ALL {
            let ours = metric.exposed() != Exposed::Collector;
            assert_eq!(seen.contains(&metric), ours, "{}", metric.name());
        }
    }

    #[test]
    fn a_gone_stream_is_gone_at_the_next_scrape() {
        let mut board = board();
        assert!(board.render(Backlog::default()).contains(r#"channel="two""#));
        board.watch([stream("one/a")]);
        let page = board.render(Backlog::default());
        assert!(!page.contains(r#"channel="two""#));
        let packets = r#"iptv_stream_packets_total{channel="one",stream="a"}"#;
        assert_eq!(value(&page, packets), Some(200.0));
    }
}
