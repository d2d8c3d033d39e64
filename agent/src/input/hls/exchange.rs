//! What passes between a session and its driver.

use std::time::Duration;

use bytes::Bytes;

use crate::input::{FetchError, InputEvent, Phases, StreamUrl, playlist::ByteRange};

/// What the driver brings.
#[derive(Debug)]
pub enum HlsInput {
    /// The answer to [`HlsOutput::FetchPlaylist`].
    Playlist(Result<PlaylistAnswer, FetchError>),
    /// The answer to [`HlsOutput::FetchSegment`].
    Segment {
        /// From the request to the last byte.
        fetch: Duration,
        /// The whole segment, or why not.
        result: Result<Bytes, FetchError>,
    },
}

/// A playlist as it came.
#[derive(Debug)]
pub struct PlaylistAnswer {
    /// Where it came from after redirects; references are relative to it.
    pub url: StreamUrl,
    /// How long each phase took.
    pub phases: Phases,
    /// Its bytes.
    pub body: Bytes,
}

/// What the driver is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum HlsOutput {
    /// Load a playlist; at most one is under way.
    FetchPlaylist(StreamUrl),
    /// Load a segment; at most one is under way.
    FetchSegment {
        /// Its address.
        url: StreamUrl,
        /// The part of it.
        range: Option<ByteRange>,
        /// When it is of no use any more.
        within: Duration,
    },
    /// Tell the session. After `End` nothing follows.
    Event(InputEvent),
}
