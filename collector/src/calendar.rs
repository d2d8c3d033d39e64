//! Moments for people: wall time as the clocks stand when it is asked for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tallylight_model::MonoTime;

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    /// By the monotonic clock.
    pub now: MonoTime,
    /// By the wall clock.
    pub wall: Timestamp,
}

impl Calendar {
    /// The wall time of a moment, past or to come.
    #[must_use]
    pub fn wall(&self, at: MonoTime) -> Timestamp {
        let (past, ahead) = (self.now.since(at), at.since(self.now));
        let shift = signed(ahead) - signed(past);
        self.wall.saturating_add(shift).unwrap_or(self.wall)
    }

    /// The moment of a wall time, past or to come.
    #[must_use]
    pub fn moment(&self, wall: Timestamp) -> MonoTime {
        let shift = wall.duration_since(self.wall);
        if shift.is_negative() {
            self.now - shift.unsigned_abs()
        } else {
            self.now + shift.unsigned_abs()
        }
    }

    /// The wall time in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn unix_ms(&self, at: MonoTime) -> i64 {
        self.wall(at).as_millisecond()
    }

    /// The wall time as RFC 3339 has it, to the millisecond.
    #[must_use]
    pub fn rfc3339(&self, at: MonoTime) -> String {
        format!("{:.3}", self.wall(at))
    }
}

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_by_the_wall_clock() {
        let now = MonoTime::from_nanos(5_000_000_000);
        let calendar = Calendar { now, wall: "2026-11-20T12:00:00Z".parse().unwrap() };
        assert_eq!(calendar.rfc3339(now), "2026-11-20T12:00:00.000Z");
        assert_eq!(calendar.rfc3339(now - Duration::from_millis(1500)), "2026-11-20T11:59:58.500Z");
        assert_eq!(calendar.rfc3339(now + Duration::from_secs(10)), "2026-11-20T12:00:10.000Z");
        for shift in [Duration::ZERO, Duration::from_secs(3), Duration::from_secs(86_400)] {
            assert_eq!(calendar.moment(calendar.wall(now + shift)), now + shift);
        }
        let earlier = now - Duration::from_secs(3);
        assert_eq!(calendar.moment(calendar.wall(earlier)), earlier);
    }
}
