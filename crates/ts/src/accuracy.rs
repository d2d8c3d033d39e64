//! PCR accuracy (TR 101 290, 2.4, annex I).
//!
//! In a stream of constant rate the PCRs of a program lie on a line over the packets' places. The line is fitted through the last
//! PCRs that lay on it, and the next one is compared with it, so that a PCR that is off counts once and does not spoil the line.
//!
//! This says something only where the rate is constant. It is taken to be so while no PCR is further off the line than half a
//! packet takes, and never further than [`CHANCE`]: what is more may as well be a packet that is missing, or a rate that
//! changes, and the line begins anew. A PCR that is off counts once a later one lies on the line again; if none does, the
//! line has moved, which counts once. The rejected alternative, comparing each PCR with the one before by a mean rate, finds
//! each error twice and calls a change of rate an error.

use core::{mem, time::Duration};

use alloc::collections::VecDeque;

use tallylight_model::Pcr;

use crate::Position;

/// PCRs through which the line goes.
const KEEP: usize = 32;
/// PCRs from which on it is believed.
const LEARN: usize = 16;
/// How far off the line a PCR of a constant rate can be, in ticks of 27 MHz: 50 us.
const CHANCE: f64 = 1350.0;

/// A PCR that was compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Packets before it.
    place: u64,
    /// Ticks of 27 MHz since the first one, without wrap-around.
    ticks: i64,
    /// How far it is off the line, in nanoseconds.
    pub(crate) off_ns: i64,
    pub(crate) position: Position,
}

/// Compares the PCRs of one PID.
#[derive(Default)]
pub(crate) struct Meter {
    /// Points on the line.
    good: VecDeque<Point>,
    /// Points off the line since the last one on it.
    off: VecDeque<Point>,
    last: Option<(Pcr, i64)>,
    /// Whether the rate has been constant for long enough to say something.
    pub(crate) judged: bool,
    /// The furthest that a PCR was off a line that it is compared with.
    furthest_ns: u64,
}

impl Meter {
    /// Forgets the line: the clock or the places begin anew.
    pub(crate) fn reset(&mut self) {
        self.good.clear();
        self.off.clear();
        self.last = None;
    }

    /// The furthest that a PCR was off the line; `None` before one could be compared.
    pub(crate) fn furthest_off(&self) -> Option<Duration> {
        self.judged.then(|| Duration::from_nanos(self.furthest_ns))
    }

    /// Takes a PCR; gives those that turn out to be further off than `limit_ns`.
    pub(crate) fn pcr(
        &mut self,
        pcr: Pcr,
        place: u64,
        position: Position,
        limit_ns: f64,
    ) -> VecDeque<Point> {
        let found = self.compare(pcr, place, position, limit_ns);
        for point in found.iter().chain(self.good.back()) {
            self.furthest_ns = self.furthest_ns.max(point.off_ns.unsigned_abs());
        }
        found
    }

    fn compare(
        &mut self,
        pcr: Pcr,
        place: u64,
        position: Position,
        limit_ns: f64,
    ) -> VecDeque<Point> {
        let ticks = self.last.map_or(0, |(last, ticks)| ticks + pcr.ticks_since(last));
        self.last = Some((pcr, ticks));
        let mut point = Point { place, ticks, off_ns: 0, position };
        if self.good.len() < LEARN {
            self.good.push_back(point);
            return if self.good.len() == LEARN { self.learn(limit_ns) } else { VecDeque::new() };
        }
        let Some(line) = Line::through(&self.good) else {
            self.begin_with(point);
            return VecDeque::new();
        };
        let off = line.off(&point);
        if off.abs() >= line.tolerance() {
            self.begin_with(point);
            return VecDeque::new();
        }
        point.off_ns = nanos(off);
        if nanos_exact(off).abs() > limit_ns {
            self.off.push_back(point);
            return if self.off.len() == LEARN { self.moved(limit_ns) } else { VecDeque::new() };
        }
        if self.good.len() == KEEP {
            self.good.pop_front();
        }
        self.good.push_back(point);
        mem::take(&mut self.off)
    }

    /// Finds the line in the first points. A few of them may be off it.
    fn learn(&mut self, limit_ns: f64) -> VecDeque<Point> {
        let mut found = VecDeque::new();
        while let Some(line) = Line::through(&self.good) {
            let offs = self.good.iter().map(|point| line.off_without(point));
            let worst = offs.enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
            let Some((at, off)) = worst else { break };
            if off.abs() >= line.tolerance() || self.good.len() <= LEARN / 2 {
                break;
            }
            if nanos_exact(off).abs() <= limit_ns {
                self.judged = true;
                found
                    .iter_mut()
                    .for_each(|point: &mut Point| point.off_ns = nanos(line.off(point)));
                found.make_contiguous().sort_unstable_by_key(|point| point.place);
                return found;
            }
            found.extend(self.good.remove(at));
        }
        // The rate is not constant: begin again with what came last.
        self.good.drain(..self.good.len().min(LEARN / 2));
        VecDeque::new()
    }

    /// No point came back to the line: either each is off by itself, or the line has moved.
    fn moved(&mut self, limit_ns: f64) -> VecDeque<Point> {
        let mut off = mem::take(&mut self.off);
        let Some(line) = Line::through(&off) else { return off };
        if off.iter().all(|point| nanos_exact(line.off(point)).abs() <= limit_ns) {
            self.good = off.clone();
            off.truncate(1);
        }
        off
    }

    fn begin_with(&mut self, point: Point) {
        self.good.clear();
        self.off.clear();
        self.good.push_back(point);
    }
}

/// Ticks over packets, by least squares, counted from one of the points.
struct Line {
    place: u64,
    ticks: i64,
    offset: f64,
    /// The mean of the points' places, their squared spread, and how many they are.
    mean: f64,
    spread: f64,
    count: f64,
    /// Ticks per packet.
    pace: f64,
}

impl Line {
    fn through(points: &VecDeque<Point>) -> Option<Self> {
        let &Point { place, ticks, .. } = points.back()?;
        let count = points.len() as f64;
        let mut line = Self { place, ticks, offset: 0.0, mean: 0.0, spread: 0.0, count, pace: 0.0 };
        let zero = (0.0, 0.0, 0.0, 0.0);
        let (x, y, xx, xy) = points.iter().fold(zero, |(x, y, xx, xy), point| {
            let (px, py) = line.relative(point);
            (x + px, y + py, xx + px * px, xy + px * py)
        });
        let spread = count * xx - x * x;
        if spread <= 0.0 {
            return None;
        }
        line.pace = (count * xy - x * y) / spread;
        line.offset = (y - line.pace * x) / count;
        (line.mean, line.spread) = (x / count, spread / count);
        (line.pace > 0.0).then_some(line)
    }

    /// By how many ticks a point is off.
    fn off(&self, point: &Point) -> f64 {
        let (x, y) = self.relative(point);
        y - self.offset - self.pace * x
    }

    /// By how many ticks one of its own points is off the line through the others.
    fn off_without(&self, point: &Point) -> f64 {
        let far = self.relative(point).0 - self.mean;
        let weight = 1.0 / self.count + far * far / self.spread;
        self.off(point) / (1.0 - weight)
    }

    fn relative(&self, point: &Point) -> (f64, f64) {
        let packets = point.place as i64 - self.place as i64;
        (packets as f64, (point.ticks - self.ticks) as f64)
    }

    fn tolerance(&self) -> f64 {
        (self.pace / 2.0).min(CHANCE)
    }
}

fn nanos_exact(ticks: f64) -> f64 {
    ticks * 1000.0 / 27.0
}

fn nanos(ticks: f64) -> i64 {
    nanos_exact(ticks) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Feeds PCRs at these places; each with so many ticks off.
    fn off(pcrs: impl Iterator<Item = (u64, u64, i64)>) -> (Vec<(u64, i64)>, bool) {
        let mut meter = Meter::default();
        let mut found = Vec::new();
        for (place, ticks, off) in pcrs {
            let ticks = ticks.wrapping_add_signed(off) % ((1 << 33) * 300);
            let position = Position { packet: place, ..Position::default() };
            let points = meter.pcr(Pcr::from_ticks(ticks), place, position, 500.0);
            found.extend(points.iter().map(|point| (point.position.packet, point.off_ns)));
        }
        (found, meter.judged)
    }

    /// 8 Mb/s: 5076 ticks a packet; a PCR each 200 packets or so.
    fn constant(count: u64) -> impl Iterator<Item = (u64, u64)> {
        let wrap = (1u64 << 33) * 300 - 40_000_000;
        (0..count).map(move |i| (i * 200 + i % 7, wrap + (i * 200 + i % 7) * 5076))
    }

    #[test]
    fn a_clean_clock_of_constant_rate_is_on_its_line_over_the_wrap() {
        assert_eq!(off(constant(500).map(|(p, t)| (p, t, 0))), (Vec::new(), true));
        // Rates that are no whole number of ticks leave rounding alone.
        let uneven = (0..500u64).map(|i| (i * 131, i * 131 * 507_613 / 100, 0));
        assert_eq!(off(uneven), (Vec::new(), true));
    }

    #[test]
    fn each_pcr_that_is_off_counts_once_wherever_it_stands() {
        for first in [3, 15, 16, 40, 77] {
            let planted = |i: u64| i == first || i >= 100 && i.is_multiple_of(50);
            let shifted = constant(420).enumerate().map(|(i, (p, t))| {
                (p, t, if planted(i as u64) { if i % 100 == 0 { 17 } else { -17 } } else { 0 })
            });
            let (found, _) = off(shifted);
            let expected: Vec<u64> = (0..420).filter(|&i| planted(i)).collect();
            let at: Vec<u64> = found.iter().map(|(place, _)| place / 200).collect();
            assert_eq!(at, expected, "first at {first}");
            assert!(found.iter().all(|(_, off)| (590..670).contains(&off.abs())), "{found:?}");
        }
        // 11 ticks are 407 ns.
        let less = constant(200).enumerate().map(|(i, (p, t))| (p, t, i64::from(i % 20 == 0) * 11));
        assert_eq!(off(less), (Vec::new(), true));
    }

    #[test]
    fn a_clock_that_moves_counts_once_and_noise_counts_for_each() {
        let moved = constant(300).enumerate().map(|(i, (p, t))| (p, t, i64::from(i >= 150) * 40));
        assert_eq!(off(moved).0.len(), 1);
        let noise = |i: usize| [0, 30, -40, 0, 25, -28, 0, 36][i % 8];
        let planted = (40..296).filter(|&i| noise(i) != 0).count();
        let noisy =
            constant(300).enumerate().map(|(i, (p, t))| (p, t, if i < 40 { 0 } else { noise(i) }));
        let (found, _) = off(noisy);
        assert!(found.len().abs_diff(planted) <= 5, "{} of {planted}", found.len());
    }

    #[test]
    fn a_rate_that_varies_is_not_judged_and_missing_packets_are_no_error() {
        let varied = (0..500u64).map(|i| (i * 40 + i * i % 97, i * 1_080_000, 0));
        assert_eq!(off(varied), (Vec::new(), false));
        // A packet is missing each ten PCRs or so: what follows stands one packet early.
        let cut = constant(400).map(|(p, t)| (p - p / 9000, t, 0));
        assert_eq!(off(cut).0, []);
    }
}
