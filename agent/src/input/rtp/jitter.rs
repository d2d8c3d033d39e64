//! The interarrival jitter of RFC 3550 (6.4.1 and A.8).

use std::time::Duration;

use tallylight_model::{MonoTime, Pts};

/// A change of transit time from which on the sender's clock was set anew: that is no jitter.
const NEW_CLOCK: Duration = Duration::from_secs(10);

/// How much the time on the way varies: the mean deviation of transit times, smoothed over the last 16 packets or so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jitter {
    /// Arrival minus time stamp of the packet before, in ticks modulo 2^32: only differences of it are used.
    transit: Option<u32>,
    /// In 16ths of a tick.
    scaled: u64,
}

impl Jitter {
    /// Takes a packet's arrival and its time stamp.
    pub fn handle(&mut self, at: MonoTime, timestamp: u32) {
        let ticks = at.as_nanos() / 1_000 * (Pts::HZ / 1_000) / 1_000;
        let transit = (ticks as u32).wrapping_sub(timestamp);
        let Some(before) = self.transit.replace(transit) else { return };
        let change = u64::from(transit.wrapping_sub(before).cast_signed().unsigned_abs());
        if change < NEW_CLOCK.as_secs() * Pts::HZ {
            self.scaled = (self.scaled + change).saturating_sub((self.scaled + 8) >> 4);
        }
    }

    /// Returns the estimate.
    #[must_use]
    pub fn get(&self) -> Duration {
        Duration::from_micros((self.scaled >> 4) * 1_000_000 / Pts::HZ)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_rfc_computes() {
        let ms = |millis: u64| MonoTime::ZERO + Duration::from_millis(millis);
        let mut jitter = Jitter::default();
        // Even arrival has none, across the wrap of the time stamp as well.
        let start = u32::MAX - 9_000;
        for step in 0..100 {
            jitter.handle(ms(1_000 + step * 10), start.wrapping_add(step as u32 * 900));
        }
        assert_eq!(jitter.get(), Duration::ZERO);
        // 16 ms late: 1,440 ticks, a 16th of which is 90, a millisecond; then 16 ms back: 90 + (1440 - 90) / 16 = 174 ticks.
        let next = |step: u32| start.wrapping_add(step * 900);
        jitter.handle(ms(2_016), next(100));
        assert_eq!(jitter.get(), Duration::from_micros(1_000));
        jitter.handle(ms(2_010), next(101));
        assert_eq!(jitter.get(), Duration::from_micros(174 * 1_000_000 / 90_000));
        // A sender that begins its clock anew is not late.
        let before = jitter.get();
        jitter.handle(ms(2_020), next(102).wrapping_add(1 << 30));
        assert_eq!(jitter.get(), before);
    }

    #[test]
    fn it_settles_at_the_mean_change_of_an_arrival_that_swings() {
        let mut jitter = Jitter::default();
        for step in 0..1_000_u64 {
            let late = if step % 2 == 0 { 0 } else { 3 };
            let at = MonoTime::ZERO + Duration::from_millis(step * 10 + late);
            jitter.handle(at, step as u32 * 900);
        }
        let off = jitter.get().abs_diff(Duration::from_millis(3));
        assert!(off < Duration::from_micros(100), "{:?}", jitter.get());
    }
}
