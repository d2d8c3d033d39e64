//! Slices and node reports as delta metrics.

use tallylight_model::{Counters, Metric};

mod decode;
mod encode;
mod fingerprint;

pub use decode::decode_metrics;
pub use encode::encode_metrics;

const SLICE_SCOPE: &str = "tallylight.slice";
const NODE_SCOPE: &str = "tallylight.node";

/// The slice's begin by the agent's wall clock, in milliseconds since 1970-01-01 UTC.
const START: &str = "tallylight.slice.start";
/// How long ago the last of the slice's media was produced, in nanoseconds.
const AGE: &str = "tallylight.age";
/// The slice's length, in nanoseconds.
const LENGTH: &str = "tallylight.slice.length";
/// The fingerprint's levels, a byte each.
const SOUND: &str = "tallylight.slice.sound";
/// The fingerprint's coded frames: of each the hash and the milliseconds after its second's begin, low byte first.
const CODED: &str = "tallylight.slice.coded";
const LAYER: &str = "layer";
const KIND: &str = "kind";
const SEVERITY: &str = "severity";
const RESOURCE: &str = "resource";
/// A latency's place among the slice's samples: points of one metric must differ in an attribute.
const SAMPLE: &str = "sample";

const SECONDS: &str = "s";
const FIRST_BYTE: &str = "iptv.stream.first_byte";
const SEGMENT_FETCH: &str = "iptv.stream.segment_fetch";
const LIVE_DELAY: &str = "iptv.stream.live_delay";
const NODE_DROPPED: &str = "iptv.node.receive_dropped";

type Place = fn(&mut Counters) -> &mut u64;

/// Which counter is which metric.
const COUNTERS: [(Metric, Place); 13] = [
    (Metric::StreamBytes, |c| &mut c.bytes),
    (Metric::StreamPackets, |c| &mut c.packets),
    (Metric::StreamContinuityErrors, |c| &mut c.continuity_errors),
    (Metric::StreamMissingPackets, |c| &mut c.missing_packets),
    (Metric::StreamTransportErrors, |c| &mut c.transport_errors),
    (Metric::StreamScrambledPackets, |c| &mut c.scrambled_packets),
    (Metric::StreamDecodedPictures, |c| &mut c.decoded_pictures),
    (Metric::StreamDamageChecked, |c| &mut c.damage_checked_pictures),
    (Metric::StreamDecodeErrors, |c| &mut c.decode_errors),
    (Metric::StreamHttpRequests, |c| &mut c.http_requests),
    (Metric::StreamHttpErrors, |c| &mut c.http_errors),
    (Metric::StreamReceiveDropped, |c| &mut c.receive_dropped),
    (Metric::StreamRtpLost, |c| &mut c.rtp_lost),
];
