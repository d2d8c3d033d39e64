//! Quantiles that can be merged: counts in buckets whose bounds grow by a constant factor.
//!
//! Every value is answered within 2 % of itself, whatever was added and merged in whatever order (after DDSketch, Masson et
//! al. 2019). A histogram with fixed bounds would be smaller, but its quantiles are only as good as a guess made beforehand.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use tallylight_model::MonoTime;

use crate::view::Summary;

/// Quantiles are over the last minute, or over as many more as it takes for them to mean something: one join a minute and
/// delivery is less than twenty even in a large region, while segments come by the hundred.
const PARTS: usize = 10;
const PART: Duration = Duration::from_secs(60);

/// The newest sub-window is not over, so a whole minute is in two.
const LEAST_PARTS: usize = 2;

/// Under this many samples no quantile is given.
const MIN_SAMPLES: u64 = 20;

const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];

/// Smallest value told from zero, and the number of buckets above it: up to about 10^5.
const SMALLEST: f64 = 1e-4;
const BUCKETS: u16 = 530;

/// Bounds grow by this factor: 4 % wide, so the middle is within 2 %.
const GAMMA: f64 = 1.04;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sketch {
    counts: BTreeMap<u16, u64>,
    count: u64,
}

impl Sketch {
    pub(super) fn add(&mut self, value: f64) {
        *self.counts.entry(bucket(value)).or_insert(0) += 1;
        self.count += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (&bucket, &count) in &other.counts {
            *self.counts.entry(bucket).or_insert(0) += count;
        }
        self.count += other.count;
    }

    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q * self.count.checked_sub(1)? as f64) as u64;
        let mut seen = 0;
        for (&bucket, &count) in &self.counts {
            seen += count;
            if seen > rank {
                return Some(middle(bucket));
            }
        }
        None
    }
}

/// The bucket of a value: 0 for what is below [`SMALLEST`] or is no number. By halving, as `core` has no logarithm.
fn bucket(value: f64) -> u16 {
    if value.is_nan() || value < SMALLEST {
        return 0;
    }
    let (mut low, mut high) = (0, BUCKETS);
    while low < high {
        let mid = low + (high - low) / 2;
        if bound(mid) > value { high = mid } else { low = mid + 1 }
    }
    low
}

/// The upper bound of a bucket.
fn bound(bucket: u16) -> f64 {
    let (mut power, mut factor, mut left) = (SMALLEST, GAMMA, bucket);
    while left > 0 {
        if left & 1 == 1 {
            power *= factor;
        }
        factor *= factor;
        left >>= 1;
    }
    power
}

fn middle(bucket: u16) -> f64 {
    match bucket {
        0 => 0.0,
        _ => (bound(bucket) + bound(bucket - 1)) / 2.0,
    }
}

/// Sketches of the last minutes, beside the count and sum of all time.
#[derive(Clone, Debug, Default)]
pub(super) struct Windowed {
    parts: VecDeque<(u64, Sketch)>,
    count: u64,
    sum: f64,
}

impl Windowed {
    /// Adds a sample of that moment, which may have been late.
    pub(super) fn add(&mut self, at: MonoTime, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.count += 1;
        self.sum += value;
        let part = part(at);
        let place = self.parts.partition_point(|(it, _)| *it < part);
        if self.parts.get(place).is_none_or(|(it, _)| *it != part) {
            self.parts.insert(place, (part, Sketch::default()));
        }
        self.parts[place].1.add(value);
        while self.parts.len() > PARTS {
            self.parts.pop_front();
        }
    }

    pub(super) fn summary(&self, now: MonoTime) -> Summary {
        let mut merged = Sketch::default();
        let age = |at: u64| part(now).saturating_sub(at);
        for (at, sketch) in self.parts.iter().rev().filter(|(at, _)| age(*at) < PARTS as u64) {
            if age(*at) >= LEAST_PARTS as u64 && merged.count >= MIN_SAMPLES {
                break;
            }
            merged.merge(sketch);
        }
        let enough = merged.count >= MIN_SAMPLES;
        let quantiles =
            enough.then(|| QUANTILES.map(|q| (q, merged.quantile(q).unwrap_or_default())));
        Summary { count: self.count, sum: self.sum, quantiles }
    }
}

fn part(at: MonoTime) -> u64 {
    at.as_nanos() / PART.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_two_percent_however_it_was_merged() {
        let (mut whole, mut even, mut odd) =
            (Sketch::default(), Sketch::default(), Sketch::default());
        for i in 1..=10_000_u32 {
            let value = f64::from(i) / 1000.0;
            whole.add(value);
            if i % 2 == 0 { even.add(value) } else { odd.add(value) }
        }
        even.merge(&odd);
        assert_eq!(even, whole);
        for q in QUANTILES {
            let exact = q * 10.0;
            let found = whole.quantile(q).unwrap();
            assert!((found / exact - 1.0).abs() < 0.021, "{q}: {found} for {exact}");
        }
    }

    #[test]
    fn any_number_has_a_bucket() {
        let mut sketch = Sketch::default();
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300] {
            sketch.add(value);
        }
        assert_eq!(sketch.count, 6);
        assert!(sketch.quantile(0.99).unwrap().is_finite());
        assert_eq!(Sketch::default().quantile(0.5), None);
    }

    #[test]
    fn quantiles_are_of_the_last_minute_where_that_has_enough_samples() {
        let start = MonoTime::from_nanos(3_600_000_000_000);
        // Samples a minute, and whether the slow minute long ago is still in the quantiles.
        for (rate, remembers) in [(1, true), (30, false)] {
            let mut windowed = Windowed::default();
            (0..30).for_each(|_| windowed.add(start, 50.0));
            for minute in 1..=5 {
                (0..rate).for_each(|_| windowed.add(start + PART * minute, 1.0));
            }
            let [.., (_, worst)] = windowed.summary(start + PART * 5).quantiles.unwrap();
            assert_eq!(worst > 40.0, remembers, "{rate} a minute: {worst}");
        }
    }

    #[test]
    fn there_is_no_quantile_under_twenty_samples_and_none_from_an_old_window() {
        let mut windowed = Windowed::default();
        let at = MonoTime::from_nanos(3_600_000_000_000);
        for i in 0..19 {
            windowed.add(at, f64::from(i));
        }
        assert_eq!(windowed.summary(at).quantiles, None);
        windowed.add(at, 19.0);
        assert!(windowed.summary(at).quantiles.is_some());
        let later = windowed.summary(at + PART * 11);
        assert_eq!((later.quantiles, later.count), (None, 20));
    }
    #[test]
    fn a_late_sample_counts_in_its_own_minute() {
        let start = MonoTime::from_nanos(3_600_000_000_000);
        let mut windowed = Windowed::default();
        (0..20).for_each(|_| windowed.add(start + PART * 5, 1.0));
        (0..20).for_each(|_| windowed.add(start, 50.0));
        let [.., (_, worst)] = windowed.summary(start + PART * 5).quantiles.unwrap();
        assert!(worst < 2.0, "{worst}");
        assert_eq!(windowed.summary(start + PART * 5).count, 40);
    }
}
