//! The same few seconds over and over: what a dead source plays.
//!
//! Key pictures alone do not show it, since an encoder sets them wherever in the repeated piece its own count has come to. So
//! now and then a whole group of pictures is decoded (a *strip*), and each key picture decoded later is looked for in it. Where
//! it is found says by how much it is later; a repetition makes all these lags multiples of one period, and each key picture
//! whose place in the period lies within the strip must be found there. An advertisement that is shown again is found at one
//! lag alone, and what the same period would predict between is not.

use std::{collections::VecDeque, time::Duration};

use tallylight_model::FaultKind;

use super::{Condition, Open, Phase, tell};
use crate::decode::{PictureStats, Signature, Survey};

/// Strips kept at a time.
const MAX_STRIPS: usize = 4;
/// A strip in which nothing is found again for so long is given up.
const LIFE: Duration = Duration::from_secs(60);
/// Key pictures remembered for each strip, and before it.
const MAX_SEEN: usize = 128;
/// The shortest period: what is shorter is an animation.
const MIN_PERIOD: Duration = Duration::from_secs(1);
/// The longest.
const MAX_PERIOD: Duration = Duration::from_secs(30);
/// So often the piece has to be shown.
const TIMES: u32 = 5;
/// Some of which are so many periods after the strip at least; the others may have been before it.
const PERIODS_AFTER: u32 = 2;
/// So many key pictures have to be found again at least.
const MIN_HITS: usize = 3;
/// The first lag that is found may be so many periods.
const MAX_MULTIPLE: u32 = 8;
/// A lag is a multiple of the period within so much: neighbours of the same picture look alike.
const REACH: Duration = Duration::from_millis(100);
/// For one that is not found where it is predicted, or found elsewhere, so many have to be where they are predicted ...
const HITS_PER_MISS: usize = 4;
/// ... or so many, if it is predicted at the strip's edge and may be beyond.
const HITS_PER_EDGE: usize = 2;
/// So many in a row that are not found where they are predicted end a repetition.
const END: u32 = 2;
/// Two pictures are the same if their cells differ by no more on average; coding the same picture again makes less than 1 ...
const SAME: f32 = 1.5;
/// ... or by no more than this where it is predicted ...
const SAME_AS_PREDICTED: f32 = 2.5;
/// ... and pictures of a strip so far apart ...
const APART: Duration = Duration::from_millis(400);
/// ... by at least this much, in all but a fifth of them: or else nothing could be told from it.
const DIFFERENT: f32 = 4.0;

/// Looks for repetitions.
#[derive(Default)]
pub(super) struct Repeats {
    strips: VecDeque<Strip>,
    /// The latest key pictures, before which a repetition may have begun.
    seen: VecDeque<(Duration, Signature)>,
    running: Option<Running>,
}

/// A repetition that goes on.
struct Running {
    strip: Strip,
    period: Duration,
    open: Open,
    /// Predictions in a row that did not come true.
    missed: u32,
}

struct Strip {
    pictures: Vec<(Duration, Signature)>,
    probes: Vec<Probe>,
}

/// A key picture that came after a strip.
#[derive(Clone, Copy)]
struct Probe {
    at: Duration,
    /// How much later it is than the same picture of the strip.
    lag: Option<Duration>,
}

impl Repeats {
    /// Takes a group of pictures that was decoded whole.
    pub(super) fn survey(&mut self, survey: &Survey) {
        let strip = Strip { pictures: survey.pictures.clone(), probes: Vec::new() };
        if !strip.is_telling() {
            return;
        }
        if self.strips.len() >= MAX_STRIPS {
            let idle = self.strips.iter().position(|strip| strip.hits().next().is_none());
            let Some(idle) = idle else { return };
            self.strips.remove(idle);
        }
        self.strips.push_back(strip);
    }

    /// Whether a picture was found again.
    pub(super) fn is_suspicious(&self) -> bool {
        self.running.is_some() || self.strips.iter().any(|strip| strip.hits().next().is_some())
    }

    /// Takes a decoded key picture.
    pub(super) fn stats(&mut self, stats: &PictureStats, pending: &mut VecDeque<Condition>) {
        let (at, picture) = (stats.media_time, &stats.signature);
        if let Some(running) = &mut self.running {
            match running.strip.predicts(at, running.period, picture) {
                Some(true) => {
                    running.hit(at, picture);
                    tell(pending, &mut running.open, Phase::Lasts);
                }
                Some(false) => running.missed += 1,
                None => {}
            }
            if running.missed >= END {
                self.reset(pending);
            }
        } else {
            self.look(at, picture, pending);
        }
        if self.seen.len() >= MAX_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back((at, picture.clone()));
    }

    /// Ends what goes on, and forgets everything.
    pub(super) fn reset(&mut self, pending: &mut VecDeque<Condition>) {
        if let Some(mut running) = self.running.take() {
            tell(pending, &mut running.open, Phase::Ended);
        }
        *self = Self::default();
    }

    fn look(&mut self, at: Duration, picture: &Signature, pending: &mut VecDeque<Condition>) {
        self.strips.retain(|strip| {
            let last = strip.hits().map(|(at, _)| at).last();
            strip.probes.len() < MAX_SEEN && at <= last.unwrap_or(strip.start()) + LIFE
        });
        self.strips.iter_mut().for_each(|strip| strip.probe(at, picture));
        let found = self.strips.iter().enumerate().find_map(|(index, strip)| {
            let period = strip.period()?;
            let since = self.since(strip, period);
            let (last, _) = strip.hits().last()?;
            // Where it is found again, it begins once more.
            let often = last.saturating_sub(since) >= period * (TIMES - 1);
            often.then_some((index, period, since))
        });
        let Some((index, period, since)) = found else { return };
        let Some(strip) = self.strips.remove(index) else { return };
        let evidence = format!(
            "the same {:.2} s are shown again and again, {} times so far",
            period.as_secs_f64(),
            (at.saturating_sub(since)).as_millis() / period.as_millis().max(1) + 1
        );
        let mut open = Open { kind: FaultKind::Loop, since, until: at, told: at, evidence };
        tell(pending, &mut open, Phase::Lasts);
        self.running = Some(Running { strip, period, open, missed: 0 });
    }

    /// When the repetition began that a strip shows: its first picture, or an earlier key picture that fits.
    fn since(&self, strip: &Strip, period: Duration) -> Duration {
        let (mut since, mut missed) = (strip.start(), 0);
        for (at, picture) in self.seen.iter().rev().filter(|(at, _)| *at < strip.start()) {
            match strip.predicts(*at, period, picture) {
                Some(true) => (since, missed) = (*at, 0),
                Some(false) => missed += 1,
                None => {}
            }
            if missed >= END {
                break;
            }
        }
        since
    }
}

impl Running {
    /// A key picture is found where it is predicted, which says more exactly how long the period is.
    fn hit(&mut self, at: Duration, picture: &Signature) {
        (self.open.until, self.missed) = (at, 0);
        let lag = self.strip.find(at, picture);
        let times = lag.map_or(0, |lag| divided(lag, self.period));
        let exact = lag.and_then(|lag| lag.checked_div(times));
        if let Some(period) = exact.filter(|it| it.abs_diff(self.period) * times <= 2 * REACH) {
            self.period = period;
        }
    }
}

impl Strip {
    fn start(&self) -> Duration {
        self.pictures.first().map_or(Duration::ZERO, |(at, _)| *at)
    }

    fn length(&self) -> Duration {
        let end = self.pictures.last().map_or(Duration::ZERO, |(at, _)| *at);
        end.saturating_sub(self.start())
    }

    /// Whether a picture's place in it can be told from the picture.
    fn is_telling(&self) -> bool {
        let (mut pairs, mut alike) = (0, 0);
        for (index, (at, picture)) in self.pictures.iter().enumerate() {
            let later = self.pictures.iter().skip(index + 1);
            for (_, other) in later.filter(|(other, _)| *other >= *at + APART).step_by(4) {
                pairs += 1;
                alike += usize::from(difference(picture, other, DIFFERENT).is_some());
            }
        }
        pairs > 0 && alike * 5 <= pairs
    }

    fn probe(&mut self, at: Duration, picture: &Signature) {
        self.probes.push(Probe { at, lag: self.find(at, picture) });
    }

    /// How much later a key picture is than the same picture of the strip.
    fn find(&self, at: Duration, picture: &Signature) -> Option<Duration> {
        let found = self
            .pictures
            .iter()
            .filter_map(|(shown, other)| Some((*shown, difference(picture, other, SAME)?)));
        let (shown, _) = found.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        at.checked_sub(shown).filter(|lag| *lag >= MIN_PERIOD)
    }

    /// The key pictures that were found, and their lags.
    fn hits(&self) -> impl Iterator<Item = (Duration, Duration)> {
        self.probes.iter().filter_map(|probe| Some((probe.at, probe.lag?)))
    }

    /// The period that explains best what was found and what was not; of several the shortest.
    fn period(&self) -> Option<Duration> {
        let lags = || self.hits().map(|(_, lag)| lag);
        let (first, last) = (lags().min()?, lags().max()?);
        let enough = lags().count() >= MIN_HITS;
        let explained = (1..=MAX_MULTIPLE).rev().filter(|_| enough).filter_map(|multiple| {
            let times = divided(last, first / multiple);
            let period = last.checked_div(times)?;
            // What was found at every second period alone repeats in twice as long.
            let common = lags().map(|lag| divided(lag, period)).fold(0, greatest_common_divisor);
            let fits = (MIN_PERIOD..=MAX_PERIOD).contains(&period) && times >= PERIODS_AFTER;
            let fits = fits && common == 1;
            Some((period, self.unexplained(period).filter(|_| fits)?))
        });
        explained.min_by_key(|(_, unexplained)| *unexplained).map(|(period, _)| period)
    }

    /// How many key pictures a period does not explain; `None` if too many.
    fn unexplained(&self, period: Duration) -> Option<usize> {
        let (mut hits, mut misses, mut edges) = (0, 0, 0);
        for probe in &self.probes {
            match (probe.lag, self.place(probe.at, period)) {
                (Some(lag), _) if lag.abs_diff(period * divided(lag, period)) <= REACH => hits += 1,
                (Some(_), _) => misses += 1,
                (None, Some(place)) if self.is_edge(place) => edges += 1,
                (None, Some(_)) => misses += 1,
                (None, None) => {}
            }
        }
        // What is longer than a period repeats within itself.
        for (at, picture) in self.pictures.iter().filter(|_| period < self.length()).step_by(4) {
            match self.predicts(*at + period, 2 * MAX_PERIOD, picture) {
                Some(true) => hits += 1,
                Some(false) => misses += 1,
                None => {}
            }
        }
        let few = misses * HITS_PER_MISS <= hits && edges * HITS_PER_EDGE <= hits;
        few.then_some(misses + edges)
    }

    /// Whether a picture is the one that the period predicts; `None` if that one is not in the strip.
    fn predicts(&self, at: Duration, period: Duration, picture: &Signature) -> Option<bool> {
        let place = self.place(at, period)?;
        let mut near = self.pictures.iter().filter(|(shown, _)| {
            // A strip may be longer than the period.
            let off = shown.abs_diff(place);
            off.abs_diff(period * divided(off, period)) <= 2 * REACH
        });
        Some(near.any(|(_, other)| difference(picture, other, SAME_AS_PREDICTED).is_some()))
    }

    /// Whether a place of the strip is so close to its begin or end that what belongs there may be beyond.
    fn is_edge(&self, place: Duration) -> bool {
        place < self.start() + 2 * REACH || place + 2 * REACH > self.start() + self.length()
    }

    /// The moment of the strip that a period puts another moment at, if there is one.
    fn place(&self, at: Duration, period: Duration) -> Option<Duration> {
        let start = self.start();
        let phase = if at >= start {
            rest_of(at - start, period)
        } else {
            rest_of(period.saturating_sub(rest_of(start - at, period)), period)
        };
        // Of a short period the strip has more than one, of which that in the middle tells most.
        let later = phase + period;
        let phase = if phase < 2 * REACH && later <= self.length() { later } else { phase };
        (phase <= self.length()).then(|| start + phase)
    }
}

/// The rest of a division.
fn rest_of(span: Duration, period: Duration) -> Duration {
    let rest = span.as_nanos().checked_rem(period.as_nanos()).unwrap_or(0);
    u64::try_from(rest).map_or(Duration::ZERO, Duration::from_nanos)
}

/// How often one span is in another, rounded.
fn divided(span: Duration, period: Duration) -> u32 {
    let half = period.as_nanos() / 2;
    let times = (span.as_nanos() + half).checked_div(period.as_nanos()).unwrap_or(0);
    u32::try_from(times).unwrap_or(u32::MAX)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    b.checked_rem(a).map_or(b, |rest| greatest_common_divisor(rest, a))
}

/// By how much the cells of two pictures differ on average, if it is no more than a limit.
fn difference(a: &Signature, b: &Signature, limit: f32) -> Option<f32> {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let sum: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    let mean = sum as f32 / a.len() as f32;
    (mean <= limit).then_some(mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::tests::key;
    use tallylight_model::Pid;

    /// A picture of moving content at a moment of it, with some noise of its own.
    fn content(moment: Duration, noise: u64) -> Signature {
        let at = moment.as_millis() as usize / 40;
        let cell = |index: usize| {
            let mixed = (index * 1_009 + at).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            (mixed % 180 + 20) as u8 + ((index as u64 * 7 + noise) % 3) as u8
        };
        Signature::from_bytes(&(0..Signature::BYTES).map(cell).collect::<Vec<_>>()).unwrap()
    }

    /// Shows key pictures every `every` of a programme that says which moment of its content is seen when, with a group decoded
    /// whole every 10 s, and returns the conditions as (since, until, lasts) in seconds.
    fn show(
        seconds: u64,
        every: u64,
        programme: impl Fn(Duration) -> Duration,
    ) -> Vec<(f64, f64, bool)> {
        let (mut repeats, mut pending) = (Repeats::default(), VecDeque::new());
        let mut found: Vec<(f64, f64, bool)> = Vec::new();
        for ms in (0..seconds * 1000).step_by(every as usize) {
            let at = Duration::from_millis(ms);
            let signature = content(programme(at), ms);
            repeats.stats(
                &PictureStats {
                    media_time: at,
                    signature,
                    ..key(0, super::super::tests::LIVE, None)
                },
                &mut pending,
            );
            if ms % 10_000 < every && ms >= 2_000 {
                let group = (0..50).map(|index| at - Duration::from_millis(2_000 - 40 * index));
                let pictures = group.map(|at| (at, content(programme(at), 1))).collect();
                repeats.survey(&Survey { pid: Pid::from_bits(1), pictures });
            }
            for condition in pending.drain(..) {
                let since = condition.since.as_secs_f64();
                found.retain(|(other, ..)| *other != since);
                found.push((since, condition.until.as_secs_f64(), condition.lasts));
            }
        }
        found
    }

    /// A piece of `period` ms from `from` s on that is shown `times` times.
    fn looped(from: u64, period: u64, times: u64) -> impl Fn(Duration) -> Duration {
        move |at| {
            let ms = at.as_millis() as u64;
            let (start, length) = (from * 1000, period * times);
            let moment = match ms {
                _ if ms < start => ms,
                _ if ms < start + length => start + (ms - start) % period,
                _ => ms - length + period,
            };
            Duration::from_millis(moment)
        }
    }

    #[test]
    fn a_piece_shown_over_and_over_is_found_whatever_its_length() {
        for period in [1_480, 3_000, 3_320, 5_000, 8_000, 9_960, 12_000] {
            let times = 90_000 / period;
            let found = show(130, 2_000, looped(13, period, times));
            let [(since, until, lasts)] = found[..] else { panic!("{period}: {found:?}") };
            let (from, end) = (13.0, 13.0 + (period * times) as f64 / 1000.0);
            let pass = period as f64 / 1000.0;
            assert!((from - 0.1..=from + pass + 10.0).contains(&since), "{period}: from {since}");
            assert!((end - pass - 4.0..=end + 0.1).contains(&until), "{period}: until {until}");
            assert!(!lasts);
        }
    }

    #[test]
    fn what_is_shown_again_a_few_times_is_no_repetition() {
        assert_eq!(show(120, 2_000, |at| at), []);
        assert_eq!(show(120, 500, looped(20, 8_000, 2)), []);
        for every in [500, 2_000] {
            assert_eq!(show(120, every, looped(20, 8_000, 3)), []);
            assert_eq!(show(120, every, looped(20, 4_000, 4)), []);
        }
        // An advertisement of 8 s that comes again after 14 s, and after 40 s.
        let twice = |at: Duration| {
            let s = at.as_millis() as u64;
            Duration::from_millis(match s {
                34_000..42_000 => s - 14_000,
                60_000..68_000 => s - 40_000,
                _ => s,
            })
        };
        assert_eq!(show(120, 500, twice), []);
    }

    #[test]
    fn what_is_found_at_every_second_period_alone_repeats_in_twice_as_long() {
        let period = |lags: &[u64]| {
            let probe = |lag: &u64| {
                let lag = Duration::from_secs(*lag);
                Probe { at: Duration::from_secs(1) + lag, lag: Some(lag) }
            };
            let pictures = (0..50).map(|n| Duration::from_millis(n * 40));
            let pictures = pictures.map(|at| (at, content(at, 0))).collect();
            Strip { pictures, probes: lags.iter().map(probe).collect() }.period()
        };
        assert_eq!(period(&[48, 96, 144]), None);
        assert_eq!(period(&[24, 72, 96]), Some(Duration::from_secs(24)));
        assert_eq!(period(&[12, 24, 36]), Some(Duration::from_secs(12)));
    }

    #[test]
    fn what_stands_or_hardly_moves_is_no_repetition() {
        assert_eq!(show(120, 500, |_| Duration::ZERO), []);
        // A second to and fro between two pictures.
        let blink = |at: Duration| Duration::from_millis(at.as_millis() as u64 / 500 % 2 * 120);
        assert_eq!(show(120, 2_000, blink), []);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut repeats, mut pending) = (Repeats::default(), VecDeque::new());
        for second in 0..2_000 {
            let at = Duration::from_secs(second);
            let signature = content(at, 0);
            let live = key(second, super::super::tests::LIVE, None);
            repeats.stats(&PictureStats { signature, ..live }, &mut pending);
            let pictures = (0..50).map(|n| at + Duration::from_millis(n * 40));
            let pictures = pictures.map(|at| (at, content(at, 0))).collect();
            repeats.survey(&Survey { pid: Pid::from_bits(1), pictures });
        }
        assert!(repeats.strips.len() <= MAX_STRIPS && repeats.seen.len() <= MAX_SEEN);
        assert!(repeats.strips.iter().all(|strip| strip.probes.len() <= MAX_SEEN));
    }
}
