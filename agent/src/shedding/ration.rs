//! What is left of one stream's access units at its level.

use std::time::Duration;

use super::Level;
use crate::decode::{Effort, Request, Unit};

/// Key pictures do not come to the millisecond: this part of the time may be missing.
const TOLERANCE: u32 = 20;
/// Without full decoding, a stream without key pictures is decoded for one run in this long: its only sight ...
const RUN_EVERY: Duration = Duration::from_secs(30);
/// ... or in so many times as long where key pictures would be fewer.
const FEWER_RUNS: u32 = 2;

/// What was shed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Thumbnails that would have been drawn.
    pub thumbnails: u64,
    /// Spans of pictures that would have been decoded.
    pub full_decodes: u64,
    /// Key pictures that would have been.
    pub key_pictures: u64,
}

impl Cuts {
    /// Adds what others were.
    pub const fn add(&mut self, more: Self) {
        self.thumbnails += more.thumbnails;
        self.full_decodes += more.full_decodes;
        self.key_pictures += more.key_pictures;
    }
}

/// Cuts one view's requests down to its level.
#[derive(Debug, Default)]
pub struct Ration {
    level: Level,
    last_key: Option<Duration>,
    /// The begin of the last run that was decoded.
    last_run: Option<Duration>,
    run: Option<Run>,
}

/// What becomes of the run that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Decoded,
    Shed,
}

impl Ration {
    /// How much is shed.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Sheds so much from now on.
    pub const fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// Cuts a request down; `None` if nothing is left of it. What is shed is counted.
    pub fn cut(&mut self, request: Request, cuts: &mut Cuts) -> Option<Request> {
        match request {
            Request::Reset => {
                (self.last_key, self.last_run, self.run) = (None, None, None);
                Some(Request::Reset)
            }
            Request::Unit(unit) => self.unit(unit, cuts).map(Request::Unit),
        }
    }

    fn unit(&mut self, mut unit: Unit, cuts: &mut Cuts) -> Option<Unit> {
        if self.level >= Level::Thumbnails && std::mem::take(&mut unit.thumbnail) {
            cuts.thumbnails += 1;
        }
        let full = self.level < Level::FullDecoding;
        let at = unit.media_time;
        let keeps = match unit.effort {
            Effort::Alone | Effort::Skip => true,
            Effort::Key(_) | Effort::Survey(_) => {
                self.run = None;
                if !full {
                    cuts.full_decodes += u64::from(unit.leave_out_full());
                }
                let due = self.is_due(at);
                if due {
                    self.last_key = Some(at);
                } else {
                    cuts.key_pictures += 1;
                }
                due
            }
            // Nothing would be decoded of what is kept.
            Effort::Keep(_) => full,
            Effort::CatchUp(_) => {
                cuts.full_decodes += u64::from(!full);
                full
            }
            Effort::Run | Effort::RunEnd => self.runs(&unit, cuts),
        };
        keeps.then_some(unit)
    }

    fn is_due(&self, at: Duration) -> bool {
        let Some((every, last)) = self.level.key_every().zip(self.last_key) else { return true };
        at < last || at + every / TOLERANCE >= last + every
    }

    /// A run is decoded whole or not at all.
    fn runs(&mut self, unit: &Unit, cuts: &mut Cuts) -> bool {
        let at = unit.media_time;
        let run = self.run.unwrap_or_else(|| {
            let every = match self.level {
                Level::Nothing | Level::Thumbnails => Duration::ZERO,
                Level::FullDecoding => RUN_EVERY,
                Level::FourSeconds | Level::SixSeconds => RUN_EVERY * FEWER_RUNS,
            };
            if self.last_run.is_none_or(|last| at < last || at >= last + every) {
                self.last_run = Some(at);
                Run::Decoded
            } else {
                cuts.full_decodes += 1;
                Run::Shed
            }
        });
        self.run = (unit.effort == Effort::Run).then_some(run);
        run == Run::Decoded
    }
}
