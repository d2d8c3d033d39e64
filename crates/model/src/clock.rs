//! The media clocks of a transport stream. Their wrap-around is handled here and nowhere else.

use core::time::Duration;

/// A presentation or decoding time stamp: 33 bits at 90 kHz (ISO/IEC 13818-1, 2.4.3.7). Wraps after 26.5 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pts(u64);

/// A program clock reference: 33 bits at 90 kHz times 300 plus 9 bits, at 27 MHz (ISO/IEC 13818-1, 2.4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pcr(u64);

impl Pts {
    const MODULUS: u64 = 1 << 33;
    /// Ticks per second.
    pub const HZ: u64 = 90_000;

    /// Keeps the low 33 bits.
    #[must_use]
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks % Self::MODULUS)
    }

    /// Returns ticks of 90 kHz, under 2^33.
    #[must_use]
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// Ticks from `earlier` to this stamp by the shorter way round: negative if `earlier` is ahead.
    #[must_use]
    pub const fn ticks_since(self, earlier: Self) -> i64 {
        shorter_way(self.0, earlier.0, Self::MODULUS)
    }

    /// Time from `earlier` to this stamp; `None` if `earlier` is ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let ticks = u64::try_from(self.ticks_since(earlier)).ok()?;
        Some(Duration::from_nanos(ticks * 100_000 / 9))
    }
}

impl Pcr {
    const MODULUS: u64 = (1 << 33) * 300;
    /// Ticks per second.
    pub const HZ: u64 = 27_000_000;

    /// Takes ticks of 27 MHz, modulo the clock's period.
    #[must_use]
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks % Self::MODULUS)
    }

    /// Joins the 33-bit base and the 9-bit extension. An extension over 299 (forbidden) carries into the base.
    #[must_use]
    pub const fn from_parts(base: u64, extension: u16) -> Self {
        Self::from_ticks((base % (1 << 33)) * 300 + extension as u64)
    }

    /// Returns ticks of 27 MHz.
    #[must_use]
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// Ticks from `earlier` to this stamp by the shorter way round: negative if `earlier` is ahead.
    #[must_use]
    pub const fn ticks_since(self, earlier: Self) -> i64 {
        shorter_way(self.0, earlier.0, Self::MODULUS)
    }

    /// Time from `earlier` to this stamp; `None` if `earlier` is ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let ticks = u64::try_from(self.ticks_since(earlier)).ok()?;
        Some(Duration::from_nanos(ticks * 1_000 / 27))
    }
}

/// `a - b` modulo `modulus`, brought into `(-modulus/2, modulus/2]`. Both moduli are far below 2^63.
const fn shorter_way(a: u64, b: u64, modulus: u64) -> i64 {
    let forward = if a >= b { a - b } else { a + modulus - b };
    if forward > modulus / 2 { forward as i64 - modulus as i64 } else { forward as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_go_the_shorter_way_round() {
        let last = Pts::MODULUS - 1;
        for (now, before, ticks) in
            [(90, 0, 90), (0, 90, -90), (0, last, 1), (last, 0, -1), (9, last - 9, 19), (5, 5, 0)]
        {
            let (now, before) = (Pts::from_ticks(now), Pts::from_ticks(before));
            assert_eq!(now.ticks_since(before), ticks);
        }
        let pcr = Pcr::from_ticks(27_000);
        assert_eq!(pcr.ticks_since(Pcr::from_ticks(Pcr::MODULUS - 27_000)), 54_000);
        assert_eq!(pcr.since(Pcr::from_ticks(0)), Some(Duration::from_millis(1)));
        assert_eq!(Pcr::from_ticks(0).since(pcr), None);
    }

    #[test]
    fn parts_join_to_27_mhz() {
        assert_eq!(Pcr::from_parts(1, 299).ticks(), 599);
        assert_eq!(Pcr::from_parts(1 << 33, 0).ticks(), 0);
        assert_eq!(Pts::from_ticks(Pts::MODULUS + 7).ticks(), 7);
        assert_eq!(Pts::from_ticks(90_000).since(Pts::from_ticks(0)), Some(Duration::from_secs(1)));
    }
}
