//! The only clock. Its origin lies well before the program's start, so that what happened before a restart still has a
//! moment.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tallylight_model::MonoTime;

use crate::calendar::Calendar;

/// How long before its start the clock's origin lies. Older evidence is taken to be this old.
const BEFORE: Duration = Duration::from_secs(30 * 86_400);

/// Tells monotonic and wall time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> MonoTime {
        MonoTime::ZERO + BEFORE + self.start.elapsed()
    }

    /// The instant of a moment, to sleep until; its own start for any moment before that.
    #[must_use]
    pub fn instant(&self, at: MonoTime) -> Instant {
        self.start + at.since(MonoTime::ZERO + BEFORE)
    }

    /// Both clocks at this moment.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        Calendar { now: self.now(), wall: Timestamp::now() }
    }
}
