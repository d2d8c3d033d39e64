//! What an input is and what it says, apart from every socket: addresses in, events out.
//!
//! An input turns one URL into a bounded stream of [`InputEvent`]s: transport stream bytes with the moment they arrived,
//! and what went wrong on the way. The modules here are pure (bytes and times in, units and findings out), so that each
//! rule of RFC 3550 and RFC 8216 is tested without a network; `crate::io` owns the sockets and drives them. Nothing that
//! an input says about itself holds an address, a query string or a credential: evidence travels to people and labels.

use std::time::Duration;

use bytes::Bytes;
use tallylight_model::{FaultKind, MonoTime, WallTime};

pub mod arrival;
mod attention;
mod backoff;
mod fetch;
pub mod hls;
pub mod player;
pub mod playlist;
pub mod rtp;
mod spec;

pub use attention::{Attention, LOOK_EVERY};
pub use backoff::Backoff;
pub use fetch::{FetchError, looks_like_html};
pub use spec::{DatagramSpec, Framing, InputSpec, SpecError, StreamUrl};

/// How long each phase of opening a stream took; `None` where there was no such phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Resolving the host name.
    pub dns: Option<Duration>,
    /// Connecting by TCP, of the address that answered.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the request (for a multicast group: the join) to the first byte of the answer.
    pub first_byte: Option<Duration>,
}

/// What an input tells the session that watches it, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputEvent {
    /// The stream was opened: the first byte of an answer or the first datagram is here.
    Opened {
        /// How long each phase took.
        phases: Phases,
        /// When the first byte arrived.
        at: MonoTime,
    },
    /// Told to a probe only, before `Opened`: what follows is complete and comes as fast as it can be read, so it is to be judged
    /// by its own time.
    Recording {
        /// How much it is, where that is known.
        bytes: Option<u64>,
    },
    /// Transport stream bytes as they arrived: a run of datagrams, one HTTP read, one block of a file.
    Bytes {
        /// When the last of them arrived, by the kernel's stamp where there is one.
        at: MonoTime,
        /// The bytes; packets may be split anywhere.
        data: Bytes,
    },
    /// One whole HLS segment. Media at offset o of it was produced at about `at - duration + o` or earlier.
    Segment {
        /// When its last byte arrived.
        at: MonoTime,
        /// Its media sequence number.
        sequence: u64,
        /// What `EXTINF` says.
        duration: Duration,
        /// What `EXT-X-TARGETDURATION` says.
        target: Duration,
        /// A discontinuity stands between this segment and the one sent before, the input gave up on segments between
        /// them, or the origin began anew.
        discontinuity: bool,
        /// The wall time of its first sample, where stated.
        programme_date_time: Option<WallTime>,
        /// From the request to the last byte.
        fetch: Duration,
        /// The bytes.
        data: Bytes,
    },
    /// Where the sound is, as far as the input can tell. Said when it is not, or no longer, inside.
    Sound {
        /// When that was known.
        at: MonoTime,
        /// Where.
        place: SoundPlace,
    },
    /// Everything that had arrived by then was handed over. Said while nothing arrives, since silence is judged by what was
    /// looked at and not by the clock: what still waits in a socket is not missing.
    Quiet {
        /// Up to when the input is known to be silent since the last event.
        at: MonoTime,
    },
    /// Datagrams that this host dropped since the last such event: by its socket's full buffer, or because the session
    /// did not keep up. They are unobserved, never the stream's loss.
    Dropped {
        /// When it was noticed.
        at: MonoTime,
        /// How many.
        datagrams: u64,
    },
    /// What became of RTP packets since the last such event, said at once where not all came in order, else before `Arrival`. What this
    /// host dropped is not among the lost ones.
    Rtp {
        /// When it was certain.
        at: MonoTime,
        /// How many, of each kind.
        counts: rtp::RtpCounts,
    },
    /// Packets of forward error correction came beside the stream since the last such event of their direction, at most once a second.
    Fec {
        /// What its header says.
        fec: rtp::Fec,
        /// How many.
        packets: u64,
    },
    /// Datagrams are not framed as the stream's address says; said once.
    Framing {
        /// How they are.
        found: Framing,
    },
    /// How datagrams arrived, once a second while they do.
    Arrival {
        /// When that second was over.
        at: MonoTime,
        /// The account.
        arrival: arrival::Arrival,
    },
    /// A condition of the delivery began or ended.
    Condition {
        /// When.
        at: MonoTime,
        /// Which: `unreachable`, `http_error`, `playlist_stale`, `playlist_invalid`, `segment_missing`, `stall`,
        /// `scrambled` (encrypted segments).
        kind: FaultKind,
        /// Whether it holds from now on.
        holds: bool,
        /// What was seen, for people.
        evidence: String,
    },
    /// A request was made and came to its end.
    Request {
        /// When it ended.
        at: MonoTime,
        /// Whether it failed.
        failed: bool,
    },
    /// Nothing more will come: a file's end, a finished recording, or an input that can never be read.
    End {
        /// When.
        at: MonoTime,
        /// Why it cannot be read; `None` at a regular end.
        error: Option<String>,
    },
}

impl InputEvent {
    /// Up to when the input had looked at everything as it said this.
    #[must_use]
    pub const fn at(&self) -> Option<MonoTime> {
        match self {
            // That comes by sockets of its own.
            Self::Recording { .. } | Self::Fec { .. } | Self::Framing { .. } => None,
            Self::Opened { at, .. }
            | Self::Bytes { at, .. }
            | Self::Segment { at, .. }
            | Self::Sound { at, .. }
            | Self::Quiet { at }
            | Self::Dropped { at, .. }
            | Self::Rtp { at, .. }
            | Self::Arrival { at, .. }
            | Self::Condition { at, .. }
            | Self::Request { at, .. }
            | Self::End { at, .. } => Some(*at),
        }
    }
}

/// Where the sound of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundPlace {
    /// Where the picture is, or nowhere.
    Inside,
    /// In an HLS playlist of its own, which is not watched.
    Elsewhere,
}

/// Why an input is read: it decides what the end of a response or an ended playlist means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A live stream that should never end: an end is reopened.
    Watch,
    /// A look at whatever is there: the end of a file, response or ended playlist is the end of the input.
    Probe,
    /// The same, but what is live or grows is followed until told to stop: an end is reopened, what cannot be reached is tried again.
    Follow,
}
