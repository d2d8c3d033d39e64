//! The simulated world: agents, a platform and a panel in virtual time around the real judgement.
//!
//! A world is its seed and its fault shape. Nothing in it reads a clock or draws from anything but the seed, so a failing run
//! is repeated by its seed alone. What the platform *is* (which stream shows what at which moment) is kept apart from what
//! agents *say* about it (when, how late, or not at all), so that agents can be late, deaf or wrong while the truth stands.

mod agent;
mod panel;
pub mod platform;
mod run;
mod shape;

pub use panel::Manners;
pub use run::{Story, World};
pub use shape::{SHAPES, Shape, Truth};

use std::time::Duration;

use tallylight_model::MonoTime;

/// How finely time passes.
pub const STEP: Duration = Duration::from_millis(100);

/// A generator of numbers from a seed (xorshift64*, Vigna 2016): small, the same everywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Takes a seed; any will do.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Answers a number from 0 up to `below`, which is not 0.
    pub const fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }

    /// Answers a span up to `most`.
    pub const fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }
}

/// The world's clock starts a day above zero, as the collector's does.
pub const START: MonoTime = MonoTime::from_nanos(86_400_000_000_000);
