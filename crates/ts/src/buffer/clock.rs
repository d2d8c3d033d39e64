//! Which moment of its clock a place of the stream is (ISO/IEC 13818-1, 2.4.2.3): between two PCRs the rate is constant.

use alloc::collections::VecDeque;

use tallylight_model::{Pcr, Pts};

/// Ticks of a second.
pub(crate) const SECOND: i64 = 27_000_000;
/// PCRs kept: an access unit that arrived over more of them is taken to have begun at the first.
const POINTS: usize = 64;
/// Nothing is known of places between two PCRs that are further apart: packets may be missing.
const MAX_INTERVAL: i64 = SECOND / 5;

/// A PCR.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Point {
    /// Packets before it.
    pub(crate) packet: u64,
    /// Ticks of 27 MHz, without wrap-around.
    pub(crate) ticks: i64,
}

/// The last PCRs of a program.
#[derive(Default)]
pub(crate) struct Clock {
    points: VecDeque<Point>,
    /// The last two of them; the same one twice where there is no other.
    interval: (Point, Point),
    last: Option<Pcr>,
}

impl Clock {
    /// The next PCR is of another clock, or what lies between says nothing.
    pub(crate) fn reset(&mut self) {
        *self = Self { points: core::mem::take(&mut self.points), ..Self::default() };
        self.points.clear();
    }

    /// Takes a PCR; false if nothing is known of what lies before it.
    pub(crate) fn pcr(&mut self, pcr: Pcr, packet: u64) -> bool {
        let step = self.last.replace(pcr).map(|last| pcr.ticks_since(last));
        let last = self.interval.1;
        let known = step.is_some_and(|step| (1..=MAX_INTERVAL).contains(&step));
        if !known || packet <= last.packet {
            self.points.clear();
        }
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        let ticks = last.ticks + step.unwrap_or(0).clamp(0, MAX_INTERVAL);
        let point = Point { packet, ticks };
        self.interval = (if self.points.is_empty() { point } else { last }, point);
        self.points.push_back(point);
        self.points.len() > 1
    }

    /// Whether a PCR came.
    pub(crate) fn runs(&self) -> bool {
        !self.points.is_empty()
    }

    /// The last two PCRs.
    pub(crate) const fn interval(&self) -> (Point, Point) {
        self.interval
    }

    /// The moment of a place, as far as PCRs are known.
    pub(crate) fn at(&self, packet: u64) -> i64 {
        let (from, to) = self.piece(|point| packet >= point.packet);
        let span = to.packet - from.packet;
        let passed = packet.saturating_sub(from.packet).min(span) as i64 * (to.ticks - from.ticks);
        from.ticks + passed.checked_div(span as i64).unwrap_or(0)
    }

    /// The place of a moment, as far as PCRs are known.
    pub(crate) fn place(&self, ticks: i64) -> u64 {
        let (from, to) = self.piece(|point| ticks >= point.ticks);
        let span = to.ticks - from.ticks;
        let passed = (ticks - from.ticks).clamp(0, span).unsigned_abs() * (to.packet - from.packet);
        from.packet + passed.checked_div(span.unsigned_abs()).unwrap_or(0)
    }

    /// The last PCR that something is not before and the one that follows it, if one does; else the first one twice.
    fn piece(&self, reached: impl Fn(&Point) -> bool) -> (Point, Point) {
        let (from, mut to) = self.interval;
        if reached(&from) {
            return (from, to);
        }
        for i in (0..self.points.len()).rev() {
            let from = self.points[i];
            if reached(&from) {
                return (from, to);
            }
            to = from;
        }
        (to, to)
    }

    /// The moment that a stamp says, by the shorter way round.
    pub(crate) fn due(&self, stamp: Pts) -> Option<i64> {
        let base = Pts::from_ticks(self.last?.ticks() / 300);
        Some(self.interval().1.ticks + stamp.ticks_since(base) * 300)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(pcrs: &[(u64, u64)]) -> Clock {
        let mut clock = Clock::default();
        for &(packet, ticks) in pcrs {
            clock.pcr(Pcr::from_ticks(ticks), packet);
        }
        clock
    }

    #[test]
    fn places_lie_between_pcrs_as_their_rate_says() {
        let wrap = (1u64 << 33) * 300;
        let clock = clock(&[(100, wrap - 1000), (110, 0), (130, 1000)]);
        let at = [0, 100, 105, 110, 120, 130, 900].map(|packet| clock.at(packet));
        assert_eq!(at, [0, 0, 500, 1000, 1500, 2000, 2000]);
        let places = [-5, 0, 500, 1500, 9000].map(|ticks| clock.place(ticks));
        assert_eq!(places, [100, 100, 105, 120, 130]);
        assert_eq!(clock.due(Pts::from_ticks(0)), Some(2000 - 900));
        assert_eq!(clock.due(Pts::from_ticks((1 << 33) - 1)), Some(2000 - 900 - 300));
    }

    #[test]
    fn nothing_is_known_over_a_gap_or_a_step_back() {
        for next in [SECOND as u64 / 4 + 5000, 4999] {
            let mut clock = clock(&[(100, 0), (110, 5000)]);
            assert!(!clock.pcr(Pcr::from_ticks(next), 120));
            assert_eq!(clock.at(110), clock.at(120));
            assert!(clock.pcr(Pcr::from_ticks(next + 1000), 130));
        }
    }
}
