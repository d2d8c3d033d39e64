//! MPEG transport stream analysis without I/O (ISO/IEC 13818-1, ETSI TR 101 290).
//!
//! Bytes and their arrival time go into [`Analyser::push`], events come out of [`Analyser::poll`], counters and services can
//! be read at any time. Nothing here reads a clock: the same bytes give the same findings however they are cut into pushes.
//!
//! A damaged stream is the normal case. There are no errors, only findings (something happened once) and conditions
//! (something holds from here to there). Whether either is a fault, and of which severity, is for the caller's profile.
//!
//! Packets, clocks and counters are this crate's reason to be and are written for it. Of tables it needs ids, numbers, PIDs and
//! names, so they are read here as well: a table crate would be larger than what it saves.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accuracy;
mod analyser;
mod audio;
mod bits;
mod buffer;
mod caption;
mod checks;
mod clock;
mod coding;
mod continuity;
mod cue;
mod cutter;
mod elementary;
mod event;
mod flow;
mod h264;
mod hevc;
mod indicator;
mod ledger;
mod mpeg_video;
mod offset;
mod outbox;
mod packet;
mod pes;
mod pictures;
mod pids;
mod program;
mod psi;
mod rates;
mod scte35;
mod section;
mod service;
mod si;
mod structure;
mod sync;
mod t2mi;
mod tables;
mod text;
mod timeline;
mod unit;
mod video;
mod watch;

pub use analyser::{Analyser, AnalyserConfig, CheckClock, Payload, Wanted};
pub use buffer::BufferFault;
pub use caption::Captions;
pub use clock::{ClockInterval, ClockReport};
pub use coding::{Coding, MediaKind};
pub use elementary::ElementaryReport;
pub use event::{Check, Condition, Event, Finding, FindingKind, Position, Table};
pub use indicator::{CheckProfile, Indicator, Limits, Overflow, Repetition, Setting};
pub use ledger::{CheckReport, CheckSubject, CheckTally, Unavailable};
pub use offset::Offset;
pub use pictures::{Groups, Pictures, Sizes};
pub use pids::{PidCounters, PidReport, Totals};
pub use rates::Rates;
pub use scte35::{
    Cue, CueCounters, NoCue, Segment, Segmentation, Splice, SpliceCommand, SpliceInfo, SpliceInsert,
};
pub use service::{AudioRole, Component, Service, Text, TextKind};
pub use structure::{ChangeKind, StructureChange};
pub use tallylight_model::{Codec, PictureType};
pub use unit::{AccessUnit, Parameters, UnitCounters};
