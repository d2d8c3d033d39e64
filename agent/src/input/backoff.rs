//! How long to wait before the next try.

use std::time::Duration;

/// Delays between tries: the first is short, since most failures are a restart or a lost packet; then 1 s doubling to
/// 10 s, so that a dead server is neither hammered nor noticed late when it comes back.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The first delay.
    pub const FIRST: Duration = Duration::from_millis(200);
    /// The second delay, doubled from then on.
    pub const SECOND: Duration = Duration::from_secs(1);
    /// The longest delay.
    pub const LONGEST: Duration = Duration::from_secs(10);

    /// Returns the delay before the next try.
    pub fn delay(&mut self) -> Duration {
        let tries = self.tries;
        self.tries = tries.saturating_add(1);
        match tries {
            0 => Self::FIRST,
            _ => Self::SECOND.saturating_mul(1 << (tries - 1).min(8)).min(Self::LONGEST),
        }
    }

    /// Begins anew after a success.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::default();
        let delays: Vec<u128> = (0..7).map(|_| backoff.delay().as_millis()).collect();
        assert_eq!(delays, [200, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.delay(), Backoff::FIRST);
        backoff.tries = u32::MAX;
        assert_eq!(backoff.delay(), Backoff::LONGEST);
    }
}
