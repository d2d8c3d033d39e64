//! The probe of one URL: what arrives goes in, slices and faults come out.
//!
//! A [`Session`] belongs to a URL and has one transport stream analyser; each stream of the lineup that is on that URL is a view
//! of it (one service of a multiplex). Sessions are pure: events and times go in by `handle`, `decoded` and `tick`, outputs are
//! drained by `poll`, and `deadline` says when to tick if nothing arrives. The same session serves a recording, as fast as it
//! can be read, and a short join that measures how long a viewer's zap takes.
//!
//! Two things must never be mixed up: what the stream lacks, and what this host failed to see. Datagrams that the own socket
//! dropped, and connections that were not read for a while, make the seconds around them *unobserved* and raise `path_degraded` for
//! people; continuity errors within them are not the stream's. And silence is never judged by the clock, but by what the input
//! says it has looked at ([`InputEvent::Quiet`](crate::input::InputEvent)): on a host without a free core the clock runs on while
//! packets wait in a socket, and a clock would call them missing. What was not looked at in two seconds is unobserved.

use std::time::Duration;

use tallylight_model::{FaultRecord, MonoTime, Slice};
use tallylight_ts::{Cue, StructureChange};

use crate::{decode::Request, input::Phases, sound::Levels};

mod breaks;
mod expected;
mod offset;
mod routing;
mod session;
mod tally;
pub mod timeline;
mod view;

pub use session::{Decoding, Session, SessionConfig, Source, Watched};
pub use view::ViewConfig;

/// What a session wants done or has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// To decode; the answer goes to [`Session::decoded`] of the same view.
    Decode {
        /// The view's index.
        view: usize,
        /// The message.
        request: Request,
    },
    /// Something happened to a fault. Its number is given by the report queue.
    Fault(FaultRecord),
    /// A slice is complete.
    Slice(Box<Slice>),
    /// The first picture is there, or the first sound of a stream without pictures. Said once for each view.
    Started {
        /// The view's index.
        view: usize,
        /// How long it took.
        start: Start,
    },
    /// Something that the stream carries changed.
    Structure {
        /// The view's index: a stream whose service it is, or the multiplex.
        view: usize,
        /// What.
        change: StructureChange,
    },
    /// A cue for a splice came.
    Cue {
        /// The view's index, as for a change.
        view: usize,
        /// What it says.
        cue: Box<Cue>,
    },
    /// A small picture of what the stream shows, a JPEG.
    Thumbnail {
        /// The view's index.
        view: usize,
        /// The file.
        jpeg: Vec<u8>,
    },
    /// The input is over, for the reason given if it could not be read.
    Ended(Option<String>),
}

/// What the decoder made of one component that it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrutiny {
    /// Pictures, or runs of sound, that were looked at.
    pub looked_at: u64,
    /// Access units in which it found damage.
    pub damaged: u64,
    /// It cannot decode this kind of stream.
    pub unsupported: bool,
    /// What was measured of it, if it is a sound.
    pub levels: Option<Levels>,
}

/// How long a start took, from the request or join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// When it began.
    pub began: MonoTime,
    /// What opening took.
    pub phases: Phases,
    /// To the first byte of the stream.
    pub first_byte: Option<Duration>,
    /// To the first access unit that decoding can start at.
    pub first_key: Option<Duration>,
    /// To the first picture.
    pub first_picture: Option<Duration>,
}
