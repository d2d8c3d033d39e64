//! The metric registry: every name that Tallylight exposes, and nothing else may be exposed, drawn or alerted on.
//!
//! Prometheus names start `iptv_` for what is measured and `tallylight_` for Tallylight itself. The OpenTelemetry name is the
//! same words dotted, without the unit and `_total` that Prometheus wants at the end.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, except at a restart.
    Counter,
    /// Any value.
    Gauge,
    /// Quantiles over a window, with `_sum` and `_count`.
    Summary,
    /// Classic buckets.
    Histogram,
}

/// Which program's `/metrics` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// The agent's.
    Agent,
    /// The collector's.
    Collector,
    /// Both.
    Both,
}

macro_rules! metrics {
    ($($metric:ident $name:literal $otel:literal $kind:ident $unit:literal [$($label:literal)*] $exposed:ident $help:literal;)*) => {
        /// A metric. Its methods give its row of the registry.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $(#[doc = $help] $metric,)*
        }

        impl Metric {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$metric,)*];

            /// The Prometheus name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$metric => $name,)* }
            }

            /// The OpenTelemetry name.
            #[must_use]
            pub const fn otel_name(self) -> &'static str {
                match self { $(Self::$metric => $otel,)* }
            }

            /// How it behaves.
            #[must_use]
            pub const fn kind(self) -> MetricKind {
                match self { $(Self::$metric => MetricKind::$kind,)* }
            }

            /// The unit as UCUM has it; `1` where there is none.
            #[must_use]
            pub const fn unit(self) -> &'static str {
                match self { $(Self::$metric => $unit,)* }
            }

            /// The labels that a series may have, besides `quantile` and `le`.
            #[must_use]
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$metric => &[$($label,)*],)* }
            }

            /// Which program has it.
            #[must_use]
            pub const fn exposed(self) -> Exposed {
                match self { $(Self::$metric => Exposed::$exposed,)* }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$metric => $help,)* }
            }
        }
    };
}

metrics! {
    // Streams, as the agent sees them.
    StreamPackets "iptv_stream_packets_total" "iptv.stream.packets" Counter "{packet}" ["channel" "stream"] Agent
        "Transport packets received, null packets included.";
    StreamBytes "iptv_stream_bytes_total" "iptv.stream.bytes" Counter "By" ["channel" "stream"] Agent
        "Bytes of transport stream received.";
    StreamBitrate "iptv_stream_bitrate_bytes" "iptv.stream.bitrate" Gauge "By/s" ["channel" "stream"] Agent
        "Bytes of transport stream per second, over the last second.";
    StreamContinuityErrors "iptv_stream_continuity_errors_total" "iptv.stream.continuity_errors" Counter "{error}" ["channel" "stream"] Agent
        "Continuity counter errors (TR 101 290, 1.4).";
    StreamMissingPackets "iptv_stream_missing_packets_total" "iptv.stream.missing_packets" Counter "{packet}" ["channel" "stream"] Agent
        "Packets missing by the continuity counter.";
    StreamTransportErrors "iptv_stream_transport_errors_total" "iptv.stream.transport_errors" Counter "{packet}" ["channel" "stream"] Agent
        "Packets with the transport error indicator (TR 101 290, 2.1).";
    StreamScrambledPackets "iptv_stream_scrambled_packets_total" "iptv.stream.scrambled_packets" Counter "{packet}" ["channel" "stream"] Agent
        "Scrambled packets.";
    StreamDecodedPictures "iptv_stream_decoded_pictures_total" "iptv.stream.decoded_pictures" Counter "{picture}" ["channel" "stream"] Agent
        "Pictures decoded.";
    StreamDamageChecked "iptv_stream_damage_checked_pictures_total" "iptv.stream.damage_checked_pictures" Counter "{picture}" ["channel" "stream"] Agent
        "Pictures decoded whose decoder would have said that they are damaged; none of HEVC.";
    StreamDecodeErrors "iptv_stream_decode_errors_total" "iptv.stream.decode_errors" Counter "{error}" ["channel" "stream"] Agent
        "Pictures and audio frames that the decoder found damaged. No series where it would not say (HEVC).";
    StreamHttpRequests "iptv_stream_http_requests_total" "iptv.stream.http_requests" Counter "{request}" ["channel" "stream"] Agent
        "HTTP requests made for the stream.";
    StreamHttpErrors "iptv_stream_http_errors_total" "iptv.stream.http_errors" Counter "{request}" ["channel" "stream"] Agent
        "HTTP requests that failed or were answered with an error.";
    StreamReceiveDropped "iptv_stream_receive_dropped_total" "iptv.stream.receive_dropped" Counter "{packet}" ["channel" "stream"] Agent
        "Datagrams that the agent's own socket dropped.";
    StreamRtpLost "iptv_stream_rtp_lost_total" "iptv.stream.rtp_lost" Counter "{packet}" ["channel" "stream"] Agent
        "Datagrams lost on the way by RTP's sequence numbers, or more than 100 ms behind those after them; what they cost shows in the continuity counters.";
    StreamRtpReordered "iptv_stream_rtp_reordered_total" "iptv.stream.rtp_reordered" Counter "{packet}" ["channel" "stream"] Agent
        "RTP packets that arrived after one that was sent later, in time to be put back.";
    StreamRtpDuplicates "iptv_stream_rtp_duplicates_total" "iptv.stream.rtp_duplicates" Counter "{packet}" ["channel" "stream"] Agent
        "RTP packets that had arrived before.";
    StreamRtpLate "iptv_stream_rtp_late_total" "iptv.stream.rtp_late" Counter "{packet}" ["channel" "stream"] Agent
        "RTP packets that arrived when they had been given up: they count as lost, too, and a larger buffer would have had them.";
    StreamRtpRestarts "iptv_stream_rtp_restarts_total" "iptv.stream.rtp_restarts" Counter "{restart}" ["channel" "stream"] Agent
        "How often an RTP sender began anew: another source (SSRC), or a jump of the sequence number (RFC 3550, A.1).";
    StreamRtpFec "iptv_stream_rtp_fec_packets_total" "iptv.stream.rtp_fec_packets" Counter "{packet}" ["channel" "stream" "direction"] Agent
        "Packets of forward error correction (SMPTE ST 2022-1) seen beside a multicast RTP stream, by direction (column, row); nothing is repaired with them.";
    StreamStructureChanges "iptv_stream_structure_changes_total" "iptv.stream.structure_changes" Counter "{change}" ["channel" "stream"] Agent
        "Changes of what the stream carries: PMTs that say something else, services and components that appear, go, move, change, stop or come again.";
    StreamCues "iptv_stream_cues_total" "iptv.stream.cues" Counter "{cue}" ["channel" "stream"] Agent
        "Cues for splices (SCTE 35), each once however often it is repeated.";
    StreamArrivalGap "iptv_stream_arrival_gap_seconds" "iptv.stream.arrival_gap" Histogram "s" ["channel" "stream"] Agent
        "Time between datagrams by the kernel's receive stamps.";
    StreamDelayFactor "iptv_stream_delay_factor_seconds" "iptv.stream.delay_factor" Gauge "s" ["channel" "stream"] Agent
        "MDI delay factor of the last second (RFC 4445): what a buffer must hold, at the rate that the stream's PCRs state. No series without PCRs.";
    StreamMediaLoss "iptv_stream_media_loss_rate" "iptv.stream.media_loss" Gauge "{packet}/s" ["channel" "stream"] Agent
        "MDI media loss rate of the last second (RFC 4445): packets missing by the continuity counters, of datagrams alone.";
    StreamPcrArrivalJitter "iptv_stream_pcr_arrival_jitter_seconds" "iptv.stream.pcr_arrival_jitter" Gauge "s" ["channel" "stream"] Agent
        "Spread of the PCRs against the kernel's receive stamps in the last second.";
    StreamPcrDrift "iptv_stream_pcr_drift_ratio" "iptv.stream.pcr_drift" Gauge "1" ["channel" "stream"] Agent
        "How much faster the sender's clock runs than the agent's host's, by up to 15 minutes; no series before 5. H.222.0 allows 30e-6.";
    StreamRtpJitter "iptv_stream_rtp_jitter_seconds" "iptv.stream.rtp_jitter" Gauge "s" ["channel" "stream"] Agent
        "RTP interarrival jitter (RFC 3550, A.8).";
    StreamRtpSpread "iptv_stream_rtp_spread_seconds" "iptv.stream.rtp_spread" Gauge "s" ["channel" "stream"] Agent
        "By how much the time that RTP packets took on the way varied in the last second, by their stamps.";
    StreamLoudness "iptv_stream_loudness_lufs" "iptv.stream.loudness" Gauge "{LUFS}" ["channel" "stream" "window"] Agent
        "Loudness of the main sound (ITU-R BS.1770), momentary (400 ms) and short_term (3 s); no series where it is under -70.";
    StreamSoundLevel "iptv_stream_sound_level_dbfs" "iptv.stream.sound_level" Gauge "{dBFS}" ["channel" "stream" "position"] Agent
        "RMS level of each channel of the main sound over its last 100 ms, by position (L, R, C, LFE, Ls, Rs, ...); -200 is digital silence.";
    StreamObservedSeconds "iptv_stream_observed_seconds_total" "iptv.stream.observed" Counter "s" ["channel" "stream" "layer"] Agent
        "Seconds observed, by layer.";
    StreamFaultSeconds "iptv_stream_fault_seconds_total" "iptv.stream.fault" Counter "s" ["channel" "stream" "kind"] Agent
        "Seconds in which a fault's condition held, declared or not.";
    StreamFault "iptv_stream_fault" "iptv.stream.standing_fault" Gauge "1" ["channel" "stream" "kind"] Agent
        "1 while a fault of this kind stands declared at warning or above.";
    StreamStartup "iptv_stream_startup_seconds" "iptv.stream.startup" Summary "s" ["channel" "stream"] Agent
        "From a fresh join to the first picture.";
    NodeSaturation "iptv_node_saturation_ratio" "iptv.node.saturation" Gauge "1" ["node" "resource"] Both
        "Used share of a node's resource.";

    // Channels, as the collector judges them.
    ChannelObserved "iptv_channel_observed_seconds_total" "iptv.channel.observed" Counter "s" ["channel" "region" "layer" "maintenance"] Collector
        "Seconds in which the channel was observed in the region, by layer; layer=\"any\" is their union. What was in maintenance counts apart, as maintenance=\"yes\", in the union alone.";
    ChannelBad "iptv_channel_bad_seconds_total" "iptv.channel.bad" Counter "s" ["channel" "region" "maintenance"] Collector
        "Observed seconds that were bad: the union of all classes. What was in maintenance counts apart, as maintenance=\"yes\".";
    ChannelFaultSeconds "iptv_channel_fault_seconds_total" "iptv.channel.fault" Counter "s" ["channel" "region" "class"] Collector
        "Observed seconds with a fault, by class; classes may overlap. Without maintenance.";
    ChannelErrorBudget "iptv_channel_error_budget_ratio" "iptv.channel.error_budget" Gauge "1" ["channel" "region"] Collector
        "Share of the error budget of the last 28 days that is left; below zero it is overspent.";
    ChannelBurnRate "iptv_channel_burn_rate" "iptv.channel.burn_rate" Gauge "1" ["channel" "region" "window"] Collector
        "How many times as fast as it lasts the error budget was burnt over the window (5m, 30m, 1h, 6h); no series where nothing was.";
    ChannelStartup "iptv_channel_startup_seconds" "iptv.channel.startup" Summary "s" ["channel" "region"] Collector
        "From a fresh join to the first picture, over the last minutes; no quantile under 20 samples, and no sum and count: those are the region's and the server's.";
    ChannelFirstByte "iptv_channel_first_byte_seconds" "iptv.channel.first_byte" Summary "s" ["channel" "region"] Collector
        "From the request to the first byte of the stream, as the 0.95 quantile.";
    ChannelSegmentFetch "iptv_channel_segment_fetch_ratio" "iptv.channel.segment_fetch" Summary "1" ["channel" "region"] Collector
        "Segment fetch time over segment duration, as the 0.95 quantile.";
    ChannelLiveDelay "iptv_channel_live_delay_seconds" "iptv.channel.live_delay" Summary "s" ["channel" "region"] Collector
        "How far the newest media is behind its production, as the 0.95 quantile.";
    RegionStartup "iptv_region_startup_seconds" "iptv.region.startup" Histogram "s" ["region"] Collector
        "From a fresh join to the first picture, over all channels of the region.";
    ServerStartup "iptv_server_startup_seconds" "iptv.server.startup" Histogram "s" ["server"] Collector
        "From a fresh join to the first picture, over all channels of the server.";
    RegionFirstByte "iptv_region_first_byte_seconds" "iptv.region.first_byte" Histogram "s" ["region"] Collector
        "From the request to the first byte of the stream, over all channels of the region.";
    ServerFirstByte "iptv_server_first_byte_seconds" "iptv.server.first_byte" Histogram "s" ["server"] Collector
        "From the request to the first byte of the stream, over all channels of the server.";
    RegionSegmentFetch "iptv_region_segment_fetch_ratio" "iptv.region.segment_fetch" Histogram "1" ["region"] Collector
        "Segment fetch time over segment duration, over all channels of the region.";
    ServerSegmentFetch "iptv_server_segment_fetch_ratio" "iptv.server.segment_fetch" Histogram "1" ["server"] Collector
        "Segment fetch time over segment duration, over all channels of the server.";
    RegionLiveDelay "iptv_region_live_delay_seconds" "iptv.region.live_delay" Histogram "s" ["region"] Collector
        "How far the newest media is behind its production, over all channels of the region.";
    ServerLiveDelay "iptv_server_live_delay_seconds" "iptv.server.live_delay" Histogram "s" ["server"] Collector
        "How far the newest media is behind its production, over all channels of the server.";
    ChannelSessions "iptv_channel_sessions" "iptv.channel.sessions" Gauge "{session}" ["channel" "region"] Collector
        "Viewer sessions as the panel reports them.";
    ChannelEgress "iptv_channel_egress_bytes_total" "iptv.channel.egress" Counter "By" ["channel" "region"] Collector
        "Bytes sent to viewers as the panel reports them.";
    ChannelSaturation "iptv_channel_saturation_ratio" "iptv.channel.saturation" Gauge "1" ["channel" "region"] Collector
        "The worst saturation over the servers of the channel in the region.";
    ChannelUp "iptv_channel_up" "iptv.channel.up" Gauge "1" ["channel" "region"] Collector
        "1 while the channel is good in the region, 0 while it is bad; absent while nobody watches.";
    SourceReady "iptv_source_ready" "iptv.source.ready" Gauge "1" ["channel" "source" "role"] Collector
        "1 while a source could be switched to.";
    SourceNotReady "iptv_source_not_ready" "iptv.source.not_ready" Gauge "1" ["channel" "source" "reason"] Collector
        "1 for each reason why a source could not be switched to.";
    SourceOffset "iptv_source_offset_seconds" "iptv.source.offset" Gauge "s" ["channel" "source"] Collector
        "How much later a source has the programme of the one that the channel is on; absent where that is not known.";
    SourceActive "iptv_source_active" "iptv.source.active" Gauge "1" ["channel" "source" "role"] Collector
        "1 for the source that the panel says the channel is on.";

    // Tallylight itself.
    BuildInfo "tallylight_build_info" "tallylight.build" Gauge "1" ["version"] Both
        "Always 1; the version is in the label.";
    AgentStreams "tallylight_agent_streams" "tallylight.agent.streams" Gauge "{stream}" [] Agent
        "Streams that the agent watches.";
    AgentProbeSuccess "tallylight_agent_probe_success" "tallylight.agent.probe_success" Gauge "1" ["channel" "stream"] Agent
        "1 while the stream's probe could do its work.";
    AgentQueueSlices "tallylight_agent_queue_slices" "tallylight.agent.queue_slices" Gauge "{slice}" [] Agent
        "Slices and fault records that wait for the collector.";
    AgentLostSlices "tallylight_agent_lost_slices_total" "tallylight.agent.lost_slices" Counter "{slice}" [] Agent
        "Slices given up because the queue was full.";
    AgentLostFaults "tallylight_agent_lost_faults_total" "tallylight.agent.lost_faults" Counter "{record}" [] Agent
        "Fault records given up because the queue was full of them, or refused by the collector for good.";
    AgentDecodeRefused "tallylight_agent_decode_refused_total" "tallylight.agent.decode_refused" Counter "{unit}" [] Agent
        "Access units that no decoder had time for: parts of picture and sound were not observed.";
    AgentShedStreams "tallylight_agent_shed_streams" "tallylight.agent.shed_streams" Gauge "{stream}" ["level"] Agent
        "Streams of which less is decoded since the decoders are late, by level: thumbnails, full_decoding, key_pictures_4s, key_pictures_6s. Each sheds what those before it do.";
    AgentShed "tallylight_agent_shed_total" "tallylight.agent.shed" Counter "{unit}" ["what"] Agent
        "What was not decoded since the decoders are late: thumbnails, full_decodes (pictures between key pictures), key_pictures.";
    AgentFullDecodesSkipped "tallylight_agent_full_decodes_skipped_total" "tallylight.agent.full_decodes_skipped" Counter "{span}" [] Agent
        "Pictures between key pictures that were not decoded since enough other streams' were: at most a tenth of the streams at a time, and two at least.";
    AgentDecodeWorkerFailures "tallylight_agent_decode_worker_failures_total" "tallylight.agent.decode_worker_failures" Counter "{worker}" ["reason"] Agent
        "Processes that decode and failed, each replaced by another: not started, died, hung, took too much memory, or said nonsense.";
    AgentDecodeConfined "tallylight_agent_decode_confined" "tallylight.agent.decode_confined" Gauge "1" ["from"] Agent
        "1 if the processes that decode are kept from it: files and network as they found by trying, seccomp and landlock as the kernel says.";
    AgentExports "tallylight_agent_exports_total" "tallylight.agent.exports" Counter "{request}" ["result"] Agent
        "Batches offered to the collector, by result.";
    AgentEvidenceClips "tallylight_agent_evidence_clips_total" "tallylight.agent.evidence_clips" Counter "{clip}" ["result"] Agent
        "Clips of faults: written, cut short, dropped (no disk, or too many of a stream in an hour), and deleted to make room.";
    AgentEvidenceBytes "tallylight_agent_evidence_bytes" "tallylight.agent.evidence" Gauge "By" [] Agent
        "What clips of faults take up on disk.";
    AgentEvidenceMemory "tallylight_agent_evidence_memory_bytes" "tallylight.agent.evidence_memory" Gauge "By" [] Agent
        "Memory in which the last seconds of streams are kept for clips.";
    CollectorRequests "tallylight_collector_requests_total" "tallylight.collector.requests" Counter "{request}" ["transport" "result"] Collector
        "OTLP requests, by transport and result.";
    CollectorSlices "tallylight_collector_slices_total" "tallylight.collector.slices" Counter "{slice}" ["result"] Collector
        "Slices received: accepted, duplicate or refused.";
    CollectorAgentSeen "tallylight_collector_agent_last_seen_seconds" "tallylight.collector.agent_last_seen" Gauge "s" ["node"] Collector
        "Time since the agent was last heard of.";
    Incidents "tallylight_incidents_total" "tallylight.incidents" Counter "{incident}" ["cause"] Collector
        "Incidents whose cause was named.";
    IncidentOpen "tallylight_incident_open" "tallylight.incident.open" Gauge "1" ["incident" "cause" "channel" "region" "remedy"] Collector
        "1 for each channel and region of an open incident; remedy is running, waiting, done, held or none.";
    RegionStorm "tallylight_region_storm" "tallylight.region.storm" Gauge "1" ["region"] Collector
        "1 while much of the region is bad for no one cause and nothing is acted on there, else 0.";
    Actions "tallylight_actions_total" "tallylight.actions" Counter "{action}" ["action" "outcome"] Collector
        "Actions, by kind and outcome.";
    Refusals "tallylight_refusals_total" "tallylight.refusals" Counter "{refusal}" ["action" "reason"] Collector
        "Actions that a guard refused, by reason.";
    DecisionSeconds "tallylight_decision_seconds" "tallylight.decision" Histogram "s" [] Collector
        "From the arrival of the evidence that decides the cause to the panel's receipt of the command.";
    ModeInfo "tallylight_mode" "tallylight.mode" Gauge "1" ["scope" "mode"] Collector
        "1 for the mode in force in each scope.";
    KillSwitch "tallylight_kill_switch" "tallylight.kill_switch" Gauge "1" [] Collector
        "1 while the kill switch is pulled: nothing acts.";
    PanelClockOffset "tallylight_panel_clock_offset_seconds" "tallylight.panel.clock_offset" Gauge "s" [] Collector
        "How far the panel's clock is ahead, to within half a second; beyond 2 s nothing is automatic.";
    CollectorLimitHits "tallylight_collector_limit_hits_total" "tallylight.collector.limit_hits" Counter "{item}" ["what"] Collector
        "What had to be let go because a table was full or the lineup does not list it.";
    PanelUp "tallylight_panel_up" "tallylight.panel.up" Gauge "1" [] Collector
        "1 while the panel answers; no series where none is configured.";
    JournalErrors "tallylight_journal_errors_total" "tallylight.journal.errors" Counter "{error}" [] Collector
        "Journal writes that failed; nothing is acted on meanwhile.";
    CollectorCut "tallylight_collector_cut_total" "tallylight.collector.cut" Counter "{item}" ["reason"] Collector
        "Connections closed and requests ended by a limit of the collector's listeners: full, quiet or slow.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{collections::BTreeSet, string::String};

    #[test]
    fn names_follow_the_rules_of_both_worlds() {
        let mut seen = BTreeSet::new();
        for &metric in Metric::ALL {
            let name = metric.name();
            assert!(seen.insert(name), "{name} stands twice");
            assert!(name.starts_with("iptv_") || name.starts_with("tallylight_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind() == MetricKind::Counter, "{name}");
            let flat: String =
                metric.otel_name().chars().map(|c| if c == '.' { '_' } else { c }).collect();
            assert!(name.starts_with(flat.split('_').next().unwrap_or("?")), "{name}");
            assert!(metric.help().ends_with('.'), "{name}");
            for label in metric.labels() {
                assert!(!matches!(*label, "url" | "ip" | "session" | "viewer"), "{name}: {label}");
            }
        }
    }
}
