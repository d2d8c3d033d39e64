//! Quantities that must not be mixed up.

use core::{fmt, time::Duration};

/// Bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bitrate(u64);

impl Bitrate {
    /// Takes bits per second.
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// The mean rate of `bytes` over `span`; zero over an empty span.
    #[must_use]
    pub fn of(bytes: u64, span: Duration) -> Self {
        let micros = span.as_micros();
        if micros == 0 {
            return Self(0);
        }
        let bps = u128::from(bytes) * 8_000_000 / micros;
        Self(u64::try_from(bps).unwrap_or(u64::MAX))
    }

    /// Returns bits per second.
    #[must_use]
    pub const fn bps(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bps = self.0;
        if bps >= 1_000_000 {
            write!(f, "{}.{:02} Mb/s", bps / 1_000_000, bps % 1_000_000 / 10_000)
        } else {
            write!(f, "{}.{} kb/s", bps / 1_000, bps % 1_000 / 100)
        }
    }
}

/// A share of a whole: 0 is nothing, 1 all of it; above 1 where more is asked than there is. Never negative or NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// The whole.
    pub const ONE: Self = Self(1.0);

    /// Takes a finite number from 0 up; anything else becomes 0.
    #[must_use]
    pub fn new(value: f64) -> Self {
        if value.is_finite() && value > 0.0 { Self(value) } else { Self(0.0) }
    }

    /// The share of `part` in `whole`; 0 of an empty whole.
    #[must_use]
    pub fn of(part: f64, whole: f64) -> Self {
        if whole > 0.0 { Self::new(part / whole) } else { Self(0.0) }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_rate_is_bits_over_time() {
        assert_eq!(Bitrate::of(1_000_000, Duration::from_secs(1)).bps(), 8_000_000);
        assert_eq!(Bitrate::of(1, Duration::ZERO).bps(), 0);
        assert_eq!(Bitrate::of(u64::MAX, Duration::from_micros(1)).bps(), u64::MAX);
        assert_eq!(Bitrate::from_bps(7_654_321).to_string(), "7.65 Mb/s");
        assert_eq!(Bitrate::from_bps(128_400).to_string(), "128.4 kb/s");
    }

    #[test]
    fn a_ratio_is_never_negative_or_nan() {
        assert_eq!(Ratio::new(f64::NAN).get(), 0.0);
        assert_eq!(Ratio::new(-0.5).get(), 0.0);
        assert_eq!(Ratio::of(1.0, 0.0).get(), 0.0);
        assert_eq!(Ratio::of(1.0, 4.0).get(), 0.25);
    }
}
