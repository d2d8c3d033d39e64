//! How measured values spread: the least, the median, the 99th percentile and the most, never a mean alone.

use serde::Serialize;

/// The spread of some measured values, in their own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many values there are.
    pub runs: usize,
    /// The least.
    pub min: f64,
    /// The median: the lower of the two middle values of an even number.
    pub median: f64,
    /// The least value that 99 % of all do not exceed; of fewer than 100 values it is the most.
    pub p99: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Takes finite values; `None` without any.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            // Nearest rank: no value is invented between two that were measured.
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.max(1) - 1).copied()
        };
        Some(Self {
            runs: sorted.len(),
            min: *sorted.first()?,
            median: rank(0.5)?,
            p99: rank(0.99)?,
            max: *sorted.last()?,
        })
    }

    /// The cells of a table's row: what it is, and the spread with so many decimals.
    #[must_use]
    pub fn row(&self, what: &str, decimals: usize) -> Vec<String> {
        let values = [self.min, self.median, self.p99, self.max];
        let mut cells = vec![what.to_owned(), self.runs.to_string()];
        cells.extend(values.map(|value| format!("{value:.decimals$}")));
        cells
    }
}

/// The header over [`Spread::row`].
pub const HEADER: [&str; 6] = ["what", "runs", "min", "median", "p99", "max"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_values_that_were_measured() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied()).unwrap();
        let hundred: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let it = spread(&hundred);
        assert_eq!((it.runs, it.min, it.median, it.p99, it.max), (200, 1.0, 100.0, 198.0, 200.0));
        let it = spread(&[7.0]);
        assert_eq!((it.min, it.median, it.p99, it.max), (7.0, 7.0, 7.0, 7.0));
        assert_eq!(spread(&[2.0, f64::NAN, 1.0, 3.0]).median, 2.0);
        assert_eq!(Spread::of([]), None);
        assert_eq!(spread(&[1.0, 2.0]).row("x", 1), ["x", "2", "1.0", "1.0", "2.0", "2.0"]);
    }
}
