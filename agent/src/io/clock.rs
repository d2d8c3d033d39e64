//! The process's clocks, and the conversion of the kernel's receive stamps.
//!
//! Kernel stamps (SO_TIMESTAMPNS) are wall time, everything else runs on monotonic time. Both clocks are sampled before
//! and after each sweep; the difference between them converts the stamps taken meanwhile. A wall clock that stepped
//! makes that difference ambiguous, so such a sweep's stamps are not used and the sweep is counted.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tallylight_model::{MonoTime, WallTime};

/// A day lies between the origin and the process's start, so that going back from any moment stays after the origin.
const HEAD_START: Duration = Duration::from_secs(86_400);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Reads the monotonic clock. All parts of the process share its origin.
#[must_use]
pub fn now() -> MonoTime {
    let start = *START;
    MonoTime::ZERO + HEAD_START + start.elapsed()
}

/// Reads the wall clock.
#[must_use]
pub fn wall() -> WallTime {
    WallTime::from_unix_millis(i64::try_from(wall_nanos() / 1_000_000).unwrap_or(i64::MAX))
}

/// The wall clock of a moment, by what it showed when this was first asked: it never steps.
#[must_use]
pub fn steady_wall(at: MonoTime) -> WallTime {
    static FIRST: LazyLock<(MonoTime, WallTime)> = LazyLock::new(|| (now(), wall()));
    let (first, shown) = *FIRST;
    let since = i64::try_from(at.since(first).as_millis()).unwrap_or(i64::MAX);
    WallTime::from_unix_millis(shown.unix_millis().saturating_add(since))
}

/// Nanoseconds since 1970, zero for a clock before that.
fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSample {
    mono: MonoTime,
    /// Nanoseconds since 1970.
    wall: u64,
}

impl ClockSample {
    /// The most that two readings of the monotonic clock around one of the wall clock may lie apart.
    const TIGHT: Duration = Duration::from_micros(100);
    const TRIES: u32 = 4;

    /// Reads both clocks; again, a few times, if the thread was interrupted in between.
    #[must_use]
    pub fn take() -> Self {
        let mut before = now();
        for _ in 1..Self::TRIES {
            let wall = wall_nanos();
            let after = now();
            if after.since(before) <= Self::TIGHT {
                return Self { mono: after, wall };
            }
            before = after;
        }
        Self { mono: before, wall: wall_nanos() }
    }

    /// The moment on the monotonic clock.
    #[must_use]
    pub const fn mono(self) -> MonoTime {
        self.mono
    }

    /// Wall minus monotonic time in nanoseconds, modulo 2^64: only differences of it are used.
    const fn offset(self) -> u64 {
        self.wall.wrapping_sub(self.mono.as_nanos())
    }
}

/// Converts kernel stamps, sweep by sweep.
#[derive(Debug, Default)]
pub struct StampClock {
    last: Option<u64>,
    /// Sweeps whose stamps were not usable since the wall clock stepped.
    stepped: u64,
}

impl StampClock {
    /// The step from which on stamps are unusable.
    const STEP_NANOS: u64 = 1_000_000;

    /// Takes the samples from before and after a sweep; returns the converter for its stamps.
    pub fn sweep(&mut self, before: ClockSample, after: ClockSample) -> SweepStamps {
        let offset = after.offset();
        let first = self.last.replace(offset).unwrap_or(before.offset());
        let steady = differ(first, before.offset()) <= Self::STEP_NANOS
            && differ(before.offset(), offset) <= Self::STEP_NANOS;
        self.stepped += u64::from(!steady);
        SweepStamps { offset: steady.then_some(offset), after: after.mono }
    }

    /// Returns how many sweeps had unusable stamps.
    #[must_use]
    pub const fn stepped(&self) -> u64 {
        self.stepped
    }
}

const fn differ(a: u64, b: u64) -> u64 {
    (a.wrapping_sub(b).cast_signed()).unsigned_abs()
}

/// Converts the stamps of one sweep.
#[derive(Clone, Copy, Debug)]
pub struct SweepStamps {
    offset: Option<u64>,
    after: MonoTime,
}

impl SweepStamps {
    /// The moment of a stamp (nanoseconds since 1970); the sweep's end for a missing or unusable one.
    #[must_use]
    pub fn moment(&self, stamp: Option<u64>) -> MonoTime {
        match (stamp, self.offset) {
            (Some(stamp), Some(offset)) => {
                MonoTime::from_nanos(stamp.wrapping_sub(offset)).min(self.after)
            }
            _ => self.after,
        }
    }

    /// Whether stamps of this sweep can be used.
    #[must_use]
    pub const fn usable(&self) -> bool {
        self.offset.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(mono: u64, wall: u64) -> ClockSample {
        ClockSample { mono: MonoTime::from_nanos(mono), wall }
    }

    #[test]
    fn slices_are_named_by_the_time_that_passed_alone() {
        let named = |at| steady_wall(at).unix_millis();
        named(now());
        let at = now();
        assert_eq!(named(at + Duration::from_secs(7200)) - named(at), 7_200_000);
    }

    #[test]
    fn stamps_of_a_steady_clock_convert_and_those_of_a_stepped_one_do_not() {
        let mut clock = StampClock::default();
        let ms = 1_000_000;
        let steady = clock.sweep(sample(10 * ms, 1_010 * ms), sample(12 * ms, 1_012 * ms));
        assert_eq!(steady.moment(Some(1_011 * ms)), MonoTime::from_nanos(11 * ms));
        assert_eq!(steady.moment(None), MonoTime::from_nanos(12 * ms));
        assert_eq!(steady.moment(Some(2_000 * ms)), MonoTime::from_nanos(12 * ms), "not ahead");

        // The clock is set back by two seconds between two sweeps, then within one; slewing is no step.
        let between = clock.sweep(sample(20 * ms, 20 * ms - 5), sample(21 * ms, 21 * ms - 5));
        assert!(!between.usable());
        assert_eq!(between.moment(Some(20 * ms)), MonoTime::from_nanos(21 * ms));
        let after = clock.sweep(sample(30 * ms, 30 * ms + 900_000), sample(31 * ms, 31 * ms));
        assert!(after.usable());
        let within = clock.sweep(sample(40 * ms, 40 * ms), sample(41 * ms, 42 * ms + 1));
        assert!(!within.usable());
        assert_eq!(clock.stepped(), 2);
    }

    #[test]
    fn both_clocks_run_forward() {
        let first = ClockSample::take();
        let second = ClockSample::take();
        assert!(second.mono() >= first.mono());
        assert!(now() >= second.mono());
        assert!(wall().unix_millis() > 1_600_000_000_000);
    }
}
