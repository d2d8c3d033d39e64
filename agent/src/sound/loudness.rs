//! Loudness over time: momentary, short-term, of everything, and over sliding windows (EBU R128, Tech 3341 and 3342).
//!
//! A programme's loudness needs to know where the programme begins and ends, which no transport stream says. What is judged
//! here is therefore *sliding* loudness: that of the last minute, hour or day, gated like a programme's.

use std::collections::VecDeque;

/// What is too quiet to count (ITU-R BS.1770).
const ABSOLUTE_GATE: f32 = -70.0;
/// What is this far under the mean of the rest does not count either ...
const RELATIVE_GATE: f64 = -10.0;
/// ... and for the range (EBU Tech 3342) this far.
const RANGE_GATE: f64 = -20.0;
/// Loudness is counted to a tenth of a unit, up to +10 LUFS.
const BINS: usize = 800;
/// Tenths of a second in a momentary and in a short-term value.
const MOMENTARY: usize = 4;
const SHORT_TERM: usize = 30;

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The last minute, moved on by ten seconds.
    Minute,
    /// The last hour, moved on by a minute.
    Hour,
    /// The last 24 hours, moved on by an hour.
    Day,
}

impl Span {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Returns the name in configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "1min",
            Self::Hour => "1h",
            Self::Day => "24h",
        }
    }

    /// Tenths of a second in a step, and steps in the window.
    const fn steps(self) -> (u32, usize) {
        match self {
            Self::Minute => (100, 6),
            Self::Hour => (600, 60),
            Self::Day => (36_000, 24),
        }
    }
}

/// How loud something is, in LUFS; `None` until there is enough of it, or where all of it is too quiet to count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loudness {
    /// Of the last 400 ms.
    pub momentary: Option<f32>,
    /// Of the last 3 s.
    pub short_term: Option<f32>,
    /// The loudest 3 s.
    pub short_term_max: Option<f32>,
    /// Of everything, gated.
    pub integrated: Option<f32>,
    /// Between what is quiet and what is loud of everything, in LU.
    pub range: Option<f32>,
}

/// Gathers what sounds.
pub(super) struct Gatherer {
    /// Power of the last tenths of a second.
    recent: VecDeque<f64>,
    momentary: Option<f32>,
    short_term: Option<f32>,
    short_term_max: Option<f32>,
    blocks: Histogram,
    spreads: Histogram,
    /// Counts tenths between two values for the range.
    since_spread: usize,
    window: Option<Window>,
}

impl Gatherer {
    /// A gatherer with a window of this length.
    pub(super) fn new(span: Option<Span>) -> Self {
        Self {
            recent: VecDeque::new(),
            momentary: None,
            short_term: None,
            short_term_max: None,
            blocks: Histogram::default(),
            spreads: Histogram::default(),
            since_spread: 0,
            window: span.map(Window::new),
        }
    }

    /// Takes the loudness of the next 100 ms. Returns that of the window when it has moved on and is full.
    pub(super) fn tenth(&mut self, loudness: f32) -> Option<f32> {
        self.recent.push_back(power(loudness));
        if self.recent.len() > SHORT_TERM {
            self.recent.pop_front();
        }
        self.momentary = self.last(MOMENTARY);
        self.short_term = self.last(SHORT_TERM);
        if let Some(short_term) = self.short_term {
            self.short_term_max =
                Some(self.short_term_max.map_or(short_term, |m| m.max(short_term)));
            self.since_spread += 1;
            if self.since_spread >= 10 {
                self.since_spread = 0;
                self.spreads.add(short_term);
            }
        }
        let momentary = self.momentary?;
        self.blocks.add(momentary);
        self.window.as_mut()?.add(momentary)
    }

    /// What comes next does not follow on.
    pub(super) fn interrupt(&mut self) {
        self.recent.clear();
        (self.momentary, self.short_term) = (None, None);
    }

    /// How loud it is.
    pub(super) fn loudness(&self) -> Loudness {
        let audible = |it: &f32| *it >= ABSOLUTE_GATE;
        let (momentary, short_term) = self.now();
        Loudness {
            momentary,
            short_term,
            short_term_max: self.short_term_max.filter(audible),
            integrated: self.blocks.gated(),
            range: self.spreads.range(),
        }
    }

    /// The momentary and the short-term loudness.
    pub(super) fn now(&self) -> (Option<f32>, Option<f32>) {
        let audible = |it: &f32| *it >= ABSOLUTE_GATE;
        (self.momentary.filter(audible), self.short_term.filter(audible))
    }

    /// The mean of the last tenths, if there are as many.
    fn last(&self, tenths: usize) -> Option<f32> {
        let from = self.recent.len().checked_sub(tenths)?;
        Some(level(self.recent.range(from..).sum::<f64>() / tenths as f64))
    }
}

/// Loudness over the last steps.
struct Window {
    step: u32,
    steps: usize,
    taken: u32,
    open: Histogram,
    past: VecDeque<Histogram>,
}

impl Window {
    fn new(span: Span) -> Self {
        let (step, steps) = span.steps();
        Self { step, steps, taken: 0, open: Histogram::default(), past: VecDeque::new() }
    }

    fn add(&mut self, momentary: f32) -> Option<f32> {
        self.open.add(momentary);
        self.taken += 1;
        if self.taken < self.step {
            return None;
        }
        self.taken = 0;
        self.past.push_back(std::mem::take(&mut self.open));
        if self.past.len() < self.steps {
            return None;
        }
        let mut all = Histogram::default();
        self.past.iter().for_each(|step| all.merge(step));
        self.past.pop_front();
        all.gated()
    }
}

/// How often which loudness was there.
#[derive(Default)]
struct Histogram(Vec<u32>);

impl Histogram {
    fn add(&mut self, loudness: f32) {
        if loudness < ABSOLUTE_GATE {
            return;
        }
        self.0.resize(BINS, 0);
        let bin = ((loudness - ABSOLUTE_GATE) * 10.0) as usize;
        self.0[bin.min(BINS - 1)] += 1;
    }

    fn merge(&mut self, other: &Self) {
        if !other.0.is_empty() {
            self.0.resize(BINS, 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
    }

    /// The mean of what is over both gates.
    fn gated(&self) -> Option<f32> {
        self.mean(self.gate(RELATIVE_GATE)?)
    }

    /// Where a gate under the mean is.
    fn gate(&self, below: f64) -> Option<f32> {
        Some(self.mean(ABSOLUTE_GATE)? + below as f32)
    }

    fn mean(&self, gate: f32) -> Option<f32> {
        let (mut sum, mut count) = (0.0, 0u64);
        for (loudness, times) in self.over(gate) {
            sum += power(loudness) * f64::from(times);
            count += u64::from(times);
        }
        (count > 0).then(|| level(sum / count as f64))
    }

    /// From the quietest tenth of what counts to the loudest twentieth.
    fn range(&self) -> Option<f32> {
        let gate = self.gate(RANGE_GATE)?;
        let count: u64 = self.over(gate).map(|(_, times)| u64::from(times)).sum();
        let at = |share: f64| {
            let wanted = ((count.saturating_sub(1)) as f64 * share).round() as u64;
            let mut passed = 0;
            self.over(gate).find_map(|(loudness, times)| {
                passed += u64::from(times);
                (passed > wanted).then_some(loudness)
            })
        };
        Some(at(0.95)? - at(0.10)?)
    }

    /// What is over a gate, with how often it was there.
    fn over(&self, gate: f32) -> impl Iterator<Item = (f32, u32)> {
        let all = self.0.iter().enumerate().filter(|(_, times)| **times > 0);
        let all = all.map(|(bin, times)| (ABSOLUTE_GATE + (bin as f32 + 0.5) / 10.0, *times));
        all.filter(move |(loudness, _)| *loudness >= gate)
    }
}

fn power(loudness: f32) -> f64 {
    10f64.powf(f64::from(loudness) / 10.0)
}

fn level(power: f64) -> f32 {
    (10.0 * power.log10()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(f32, usize)]) -> Loudness {
        let mut gatherer = Gatherer::new(None);
        for (loudness, tenths) in parts {
            (0..*tenths).for_each(|_| assert_eq!(gatherer.tenth(*loudness), None));
        }
        gatherer.loudness()
    }

    #[track_caller]
    fn near(found: Option<f32>, expected: f32, slack: f32) {
        assert!(
            found.is_some_and(|it| (it - expected).abs() <= slack),
            "{found:?}, not {expected}"
        );
    }

    /// The signals of EBU Tech 3341, cases 1 to 5, and of Tech 3342, cases 1 to 4.
    #[test]
    fn loudness_and_range_are_what_the_ebu_says() {
        near(of(&[(-23.0, 200)]).integrated, -23.0, 0.1);
        near(of(&[(-33.0, 200)]).integrated, -33.0, 0.1);
        near(of(&[(-36.0, 100), (-23.0, 600), (-36.0, 100)]).integrated, -23.0, 0.1);
        let with_silence = [(-72.0, 100), (-36.0, 100), (-23.0, 600), (-36.0, 100), (-72.0, 100)];
        near(of(&with_silence).integrated, -23.0, 0.1);
        near(of(&[(-26.0, 200), (-20.0, 201), (-26.0, 200)]).integrated, -23.0, 0.1);
        near(of(&[(-20.0, 200), (-30.0, 200)]).range, 10.0, 1.0);
        near(of(&[(-20.0, 200), (-15.0, 200)]).range, 5.0, 1.0);
        near(of(&[(-40.0, 200), (-20.0, 200)]).range, 20.0, 1.0);
        let steps = [(-50.0, 200), (-35.0, 200), (-20.0, 200), (-35.0, 200), (-50.0, 200)];
        near(of(&steps).range, 15.0, 1.0);
    }

    #[test]
    fn momentary_and_short_term_want_their_time() {
        assert_eq!(of(&[(-23.0, 3)]), Loudness::default());
        let one = of(&[(-23.0, 29)]);
        near(one.momentary, -23.0, 0.01);
        assert_eq!(one.short_term, None);
        let two = of(&[(-20.0, 30), (-26.0, 30)]);
        near(two.short_term, -26.0, 0.01);
        near(two.short_term_max, -20.0, 0.01);
        assert_eq!(of(&[(-200.0, 300)]), Loudness::default(), "silence has no loudness");
    }

    #[test]
    fn a_window_forgets_what_is_older() {
        let mut gatherer = Gatherer::new(Some(Span::Minute));
        let mut told = Vec::new();
        for tenth in 0..2_000 {
            let loudness = if tenth < 1_000 { -15.0 } else { -23.0 };
            told.extend(gatherer.tenth(loudness).map(|found| (tenth / 100, found)));
        }
        assert_eq!(told.first().map(|(step, _)| *step), Some(6));
        near(told.first().map(|(_, found)| *found), -15.0, 0.1);
        let settled = told.iter().find(|(_, found)| (found + 23.0).abs() < 0.1).unwrap();
        assert_eq!(settled.0, 16, "{told:?}");
    }
}
