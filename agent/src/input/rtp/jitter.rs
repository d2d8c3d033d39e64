//! The interarrival jitter of RFC 3550 (6.4.1 and A.8), and by how much the time on the way varies from its least to its most: the mean
//! deviation of neighbours hides that in a stream of hundreds of packets a second.

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
    /// The transit time from which others are counted since the spread was taken, and the least and the most of them.
    from: Option<u32>,
    spread: (i32, i32),
}

impl Jitter {
    /// Takes a packet's arrival and its time stamp.
    pub fn handle(&mut self, at: MonoTime, timestamp: u32) {
        let ticks = at.as_nanos() / 1_000 * (Pts::HZ / 1_000) / 1_000;
        let transit = (ticks as u32).wrapping_sub(timestamp);
        self.widen(transit);
        let Some(before) = self.transit.replace(transit) else { return };
        let change = u64::from(transit.wrapping_sub(before).cast_signed().unsigned_abs());
        if change < NEW_CLOCK.as_secs() * Pts::HZ {
            self.scaled = (self.scaled + change).saturating_sub((self.scaled + 8) >> 4);
        }
    }

    fn widen(&mut self, transit: u32) {
        let from = *self.from.get_or_insert(transit);
        let off = transit.wrapping_sub(from).cast_signed();
        if u64::from(off.unsigned_abs()) >= NEW_CLOCK.as_secs() * Pts::HZ {
            (self.from, self.spread) = (Some(transit), (0, 0));
            return;
        }
        let (least, most) = self.spread;
        self.spread = (least.min(off), most.max(off));
    }

    /// Returns by how much the time on the way varied since it was last asked; `None` if nothing came.
    pub fn take_spread(&mut self) -> Option<Duration> {
        self.from.take()?;
        let (least, most) = std::mem::take(&mut self.spread);
        Some(Duration::from_micros(u64::from(most.abs_diff(least)) * 1_000_000 / Pts::HZ))
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
    fn the_spread_is_from_the_least_to_the_most_and_begins_anew_when_taken() {
        let ms = |millis: u64| MonoTime::ZERO + Duration::from_millis(millis);
        let mut jitter = Jitter::default();
        assert_eq!(jitter.take_spread(), None);
        let start = u32::MAX - 900;
        for (step, late) in [0, 30, 500, 0, 20].into_iter().enumerate() {
            let sent = start.wrapping_add(step as u32 * 900);
            jitter.handle(ms(1_000 + step as u64 * 10 + late), sent);
        }
        assert_eq!(jitter.take_spread(), Some(Duration::from_millis(500)));
        assert_eq!(jitter.take_spread(), None);
        jitter.handle(ms(2_000), 0);
        // A sender that begins its clock anew is not late.
        jitter.handle(ms(2_010), 1 << 30);
        jitter.handle(ms(2_025), (1 << 30) + 900);
        assert_eq!(jitter.take_spread(), Some(Duration::from_millis(5)));
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
