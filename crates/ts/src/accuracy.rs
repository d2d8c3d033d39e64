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

use core::{mem, num::Wrapping, time::Duration};

use alloc::{collections::VecDeque, vec::Vec};

use tallylight_model::Pcr;

use crate::Position;

/// PCRs through which the line goes.
const KEEP: usize = 32;
/// Places and ticks over which it goes at most: 1.3 Gb/s for 79 s.
const MAX_PACKETS: i64 = 1 << 26;
const MAX_TICKS: i64 = 1 << 31;
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
    /// The first points, until a line goes through [`LEARN`] of them.
    first: Vec<Point>,
    /// The last points on the line, once there is one.
    good: Option<Good>,
    /// Points off the line since the last one on it.
    off: Vec<Point>,
    last: Option<(Pcr, i64)>,
    /// Whether the rate has been constant for long enough to say something.
    pub(crate) judged: bool,
    /// The furthest that a PCR was off a line that it is compared with.
    furthest_ns: u64,
}

impl Meter {
    /// Forgets the line: the clock or the places begin anew.
    pub(crate) fn reset(&mut self) {
        self.forget_line();
        self.last = None;
    }

    fn forget_line(&mut self) {
        self.first.clear();
        self.good = None;
        self.off.clear();
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
    ) -> Vec<Point> {
        let ticks = self.last.map_or(0, |(last, ticks)| ticks + pcr.ticks_since(last));
        self.last = Some((pcr, ticks));
        let point = |off_ns| Point { place, ticks, off_ns, position };
        let found = match &mut self.good {
            None => self.learn(point(0), limit_ns),
            Some(good) => match good.line.map(|line| (line.off(place, ticks), line.tolerance())) {
                Some((off, tolerance)) if off.abs() < tolerance => {
                    if nanos_exact(off).abs() <= limit_ns {
                        good.push((place, ticks), nanos(off));
                        mem::take(&mut self.off)
                    } else {
                        self.astray(point(nanos(off)), limit_ns)
                    }
                }
                _ => {
                    self.forget_line();
                    self.first.push(point(0));
                    Vec::new()
                }
            },
        };
        let last_ns = self.good.as_ref().map(|good| good.off_ns);
        for off_ns in found.iter().map(|point| point.off_ns).chain(last_ns) {
            self.furthest_ns = self.furthest_ns.max(off_ns.unsigned_abs());
        }
        found
    }

    /// Takes one of the first points. Finds the line in them; a few may be off it.
    fn learn(&mut self, point: Point, limit_ns: f64) -> Vec<Point> {
        self.first.push(point);
        let mut found = Vec::new();
        if self.first.len() < LEARN {
            return found;
        }
        loop {
            let good = Good::of(&self.first);
            let Some(line) = good.line else { break };
            let offs = self.first.iter().map(|point| good.off_without(&line, point));
            let worst = offs.enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
            let Some((at, off)) = worst else { break };
            if off.abs() >= line.tolerance() || self.first.len() <= LEARN / 2 {
                break;
            }
            if nanos_exact(off).abs() <= limit_ns {
                self.judged = true;
                for Point { place, ticks, off_ns, .. } in &mut found {
                    *off_ns = nanos(line.off(*place, *ticks));
                }
                found.sort_unstable_by_key(|point| point.place);
                if self.first.len() == LEARN {
                    self.good = Some(good);
                    self.first = Vec::new();
                }
                return found;
            }
            found.push(self.first.remove(at));
        }
        // The rate is not constant: begin again with what came last.
        self.first.drain(..self.first.len().min(LEARN / 2));
        Vec::new()
    }

    /// Takes a point off the line. If none comes back to it, either each is off by itself, or the line has moved.
    fn astray(&mut self, point: Point, limit_ns: f64) -> Vec<Point> {
        self.off.push(point);
        if self.off.len() < LEARN {
            return Vec::new();
        }
        let mut off = mem::take(&mut self.off);
        let moved = Good::of(&off);
        let Some(line) = moved.line else { return off };
        let is_on =
            |point: &Point| nanos_exact(line.off(point.place, point.ticks)).abs() <= limit_ns;
        if off.iter().all(is_on) {
            self.good = Some(moved);
            off.truncate(1);
        }
        off
    }
}

/// Points that are taken to be on a line, with their sums, counted from the last one: they are kept up to date, since the line is
/// asked for at each PCR. No point is so far from another that the sums overflow; what is on its way to them may.
#[derive(Default)]
struct Good {
    points: VecDeque<(u64, i64)>,
    /// Of places, ticks, and the products of both.
    x: Wrapping<i64>,
    y: Wrapping<i64>,
    xx: Wrapping<i64>,
    xy: Wrapping<i64>,
    /// How far the last one is off the line that it was compared with.
    off_ns: i64,
    line: Option<Line>,
}

impl Good {
    fn of(points: &[Point]) -> Self {
        let mut good = Self::default();
        points.iter().for_each(|point| good.push((point.place, point.ticks), point.off_ns));
        good
    }

    fn push(&mut self, new: (u64, i64), off_ns: i64) {
        if let Some(&last) = self.points.back() {
            let (x, y) = apart(last, new);
            let (x, y, count) = (Wrapping(x), Wrapping(y), Wrapping(self.points.len() as i64));
            self.xx += x * (self.x + self.x + count * x);
            self.xy += x * self.y + y * (self.x + count * x);
            self.x += count * x;
            self.y += count * y;
        }
        self.points.push_back(new);
        while let Some(&first) = self.points.front() {
            let (x, y) = apart(first, new);
            if self.points.len() <= KEEP && -x < MAX_PACKETS && -y < MAX_TICKS {
                break;
            }
            self.points.pop_front();
            let (x, y) = (Wrapping(x), Wrapping(y));
            self.x -= x;
            self.y -= y;
            self.xx -= x * x;
            self.xy -= x * y;
        }
        self.off_ns = off_ns;
        self.line = self.fit(new);
    }

    fn fit(&self, (place, ticks): (u64, i64)) -> Option<Line> {
        let count = self.points.len() as f64;
        let [x, y, xx, xy] = [self.x, self.y, self.xx, self.xy].map(|sum| sum.0 as f64);
        let spread = count * xx - x * x;
        let slope = count * xy - x * y;
        if spread <= 0.0 || slope <= 0.0 {
            return None;
        }
        let pace = slope / spread;
        Some(Line { place, ticks, offset: (y - pace * x) / count, pace })
    }

    /// By how many ticks one of the points is off the line through the others.
    fn off_without(&self, line: &Line, point: &Point) -> f64 {
        let count = self.points.len() as f64;
        let (x, xx) = (self.x.0 as f64, self.xx.0 as f64);
        let far = (point.place as i64 - line.place as i64) as f64 - x / count;
        let weight = 1.0 / count + far * far / ((count * xx - x * x) / count);
        line.off(point.place, point.ticks) / (1.0 - weight)
    }
}

/// How far a point is from another, in packets and ticks.
const fn apart(point: (u64, i64), from: (u64, i64)) -> (i64, i64) {
    (point.0 as i64 - from.0 as i64, point.1 - from.1)
}

/// Ticks over packets, by least squares, counted from one of the points.
#[derive(Clone, Copy)]
struct Line {
    place: u64,
    ticks: i64,
    offset: f64,
    /// Ticks per packet.
    pace: f64,
}

impl Line {
    /// By how many ticks a point is off.
    fn off(&self, place: u64, ticks: i64) -> f64 {
        let (x, y) = apart((place, ticks), (self.place, self.ticks));
        y as f64 - self.offset - self.pace * x as f64
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
