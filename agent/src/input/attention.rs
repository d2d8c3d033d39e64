//! How well an input is looked after, so that what this host was too late to look at is not held against the stream.
//!
//! A task that waits for bytes looks at least every [`LOOK_EVERY`]. Between two looks of its own every other task of the process
//! had its turn, the one that reads the socket included; so what had arrived by the *last* look is here by this one, and
//! silence is certain up to there. On a host without a free core looks come late, and so does every conclusion from them.

use std::time::Duration;

use tallylight_model::MonoTime;

/// How often an input is looked at while nothing arrives.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A look that comes this late was prevented by the host.
const LATE: Duration = Duration::from_millis(400);

/// The looks of one input.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    last: MonoTime,
}

impl Attention {
    /// Looks for the first time.
    #[must_use]
    pub const fn new(now: MonoTime) -> Self {
        Self { last: now }
    }

    /// Looks again; returns when the look before was: what had arrived by then is here.
    pub fn look(&mut self, now: MonoTime) -> MonoTime {
        let before = self.last;
        self.last = now.max(before);
        before
    }

    /// For how long nobody looked who should have, if this is the next look; zero if it is about in time.
    #[must_use]
    pub fn missed(&self, now: MonoTime) -> Duration {
        let since = now.since(self.last);
        if since > LATE { since - LOOK_EVERY } else { Duration::ZERO }
    }

    /// When to look next.
    #[must_use]
    pub fn next(&self) -> MonoTime {
        self.last + LOOK_EVERY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_certain_up_to_the_look_before_and_lateness_is_told() {
        let at = |ms| MonoTime::ZERO + Duration::from_millis(ms);
        let mut attention = Attention::new(at(1_000));
        assert_eq!(attention.next(), at(1_050));
        assert_eq!(attention.missed(at(1_120)), Duration::ZERO);
        assert_eq!(attention.look(at(1_120)), at(1_000));
        assert_eq!(attention.missed(at(4_120)), Duration::from_millis(2_950));
        assert_eq!(attention.look(at(4_120)), at(1_120));
        assert_eq!(attention.look(at(4_220)), at(4_120));
    }
}
