//! Seeded loss with an exact count of what it dropped: a witness that is independent of what a receiver sees.

/// Splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): small, seedable, good enough to
/// spread loss.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next number in [0, 1).
    pub fn next_unit(&mut self) -> f64 {
        // 53 bits are what a double holds exactly.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Decides for each datagram whether it is lost, and counts.
#[derive(Clone, Debug)]
pub struct Loss {
    random: Random,
    fraction: f64,
    offered: u64,
    dropped: u64,
}

impl Loss {
    /// Loses nothing until told.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), fraction: 0.0, offered: 0, dropped: 0 }
    }

    /// Sets the share that is lost from the next datagram on.
    ///
    /// # Errors
    /// `fraction` is not within 0 and 1.
    pub fn set(&mut self, fraction: f64) -> Result<(), String> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(format!("a loss of {fraction} is not within 0 and 1"));
        }
        self.fraction = fraction;
        Ok(())
    }

    /// Whether the next datagram is lost.
    pub fn drops(&mut self) -> bool {
        self.offered += 1;
        let dropped = self.fraction > 0.0 && self.random.next_unit() < self.fraction;
        self.dropped += u64::from(dropped);
        dropped
    }

    /// The share that is lost.
    #[must_use]
    pub const fn fraction(&self) -> f64 {
        self.fraction
    }

    /// Datagrams asked about and datagrams dropped, since the start.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64) {
        (self.offered, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::Loss;

    #[test]
    fn loss_is_reproducible_close_to_the_fraction_and_counted() {
        let run = |seed| {
            let mut loss = Loss::new(seed);
            loss.set(0.05).unwrap();
            let pattern: Vec<bool> = (0..20_000).map(|_| loss.drops()).collect();
            assert_eq!(loss.counts(), (20_000, pattern.iter().filter(|d| **d).count() as u64));
            pattern
        };
        let dropped = run(7).iter().filter(|d| **d).count();
        assert!((900..1100).contains(&dropped), "{dropped} of 20000");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_fraction_outside_the_range_changes_nothing() {
        let mut loss = Loss::new(1);
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(loss.set(bad).is_err());
        }
        assert!(!loss.drops());
        loss.set(1.0).unwrap();
        assert!(loss.drops());
    }
}
