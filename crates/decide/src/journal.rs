//! What must survive a restart, as records that the collector stores without understanding them.
//!
//! A record replaces the one of the same key. Times inside a record are ages at the moment of writing, because a monotonic
//! clock does not survive the process that read it: the collector keeps the wall time of writing beside the record and hands
//! its age back.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

/// One thing to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about: `incident/12`, `action/17`, `mode/global`. A later record of the same key replaces it.
    pub key: String,
    /// The content, for [`Decider::restore`](crate::Decider::restore) alone.
    pub body: Vec<u8>,
}

/// A record as it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The record.
    pub record: Record,
    /// How long ago it was written.
    pub age: Duration,
}
