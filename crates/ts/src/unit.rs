//! Access units: what a decoder takes at a time.

use alloc::vec::Vec;
use core::time::Duration;

use tallylight_model::{Codec, PictureType, Pid, Pts};

use crate::Position;

/// One picture (a frame, or a field where fields are coded apart in H.264 and HEVC) or one audio frame.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessUnit {
    /// Where it was carried.
    pub pid: Pid,
    /// The program that it belongs to.
    pub program: u16,
    /// How it is coded.
    pub codec: Codec,
    /// Presentation time. Audio frames after the first of a PES packet count on from that packet's stamp; `None` where a
    /// picture had no stamp.
    pub pts: Option<Pts>,
    /// Decoding time where it was stated and differs from `pts`.
    pub dts: Option<Pts>,
    /// Whether decoding can start here: IDR, a recovery point with I slices or an I picture marked for random access in H.264;
    /// IRAP in HEVC; an I picture after a sequence header in MPEG-1 and MPEG-2; every audio frame.
    pub key: bool,
    /// The picture's type by its first slice or picture header, where visible.
    pub picture: Option<PictureType>,
    /// Size in bytes without filler (H.264 NAL type 12, HEVC NAL type 38, zero stuffing).
    pub size: usize,
    /// Packets were lost within it, or its data does not fit together: it must not count against a decoder.
    pub damaged: bool,
    /// The capture ended within it, perhaps: nothing followed that would prove it complete.
    pub cut: bool,
    /// Presentation time on the program's timeline: zero is where the stream's first PCR was, and the program's first
    /// presentation stamp coincides with its place in the stream. Without `pts`, the place in the stream.
    pub media_time: Option<Duration>,
    /// Where it begins in the stream.
    pub position: Position,
    /// The coded data: Annex B with four-byte start codes and without filler, MPEG start codes, or one whole audio frame
    /// with its header. Empty if not asked for (see [`Payload`](crate::Payload)), or over the limit of size.
    pub data: Vec<u8>,
}

/// What was counted of one component's access units. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitCounters {
    /// Access units.
    pub units: u64,
    /// Those that decoding can start at.
    pub keys: u64,
    /// Damaged ones.
    pub damaged: u64,
    /// Those too large to keep, whose data was given up.
    pub oversized: u64,
    /// PES packets.
    pub pes: u64,
    /// Payload units that do not begin with a PES header.
    pub pes_errors: u64,
    /// Times that audio frames did not follow one another and had to be searched.
    pub resyncs: u64,
    /// Bytes without filler.
    pub bytes: u64,
}

/// What is known of how a component is coded, from its own headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Picture width in luma samples, after cropping.
    pub width: Option<u32>,
    /// Picture height in luma samples, after cropping; of the frame where fields are coded.
    pub height: Option<u32>,
    /// Frames per 1,000 seconds, where the stream states it.
    pub frame_rate_milli: Option<u32>,
    /// Audio channels, the low-frequency one included.
    pub channels: Option<u8>,
    /// Audio sample rate in Hz.
    pub sample_rate_hz: Option<u32>,
}
