//! The simulated world: agents, a platform and a panel in virtual time around the real judgement.
//!
//! A world is its [`Scenario`], drawn from a seed: nothing in it reads a clock or draws from anything else, so a failing run
//! is repeated by its seed alone. What the platform *is* (which stream shows what at which moment) is kept apart from what
//! agents *say* about it (when, how late, or not at all), so that agents can be late, deaf or wrong while the truth stands;
//! and what must hold is computed apart from what the judgement believes ([`rules`]).

mod agent;
pub mod command;
mod demo;
mod panel;
pub mod platform;
mod player;
mod probe;
mod publish;
mod rules;
mod run;
mod scenario;
mod score;
mod scripted;
mod shape;
mod shrink;
mod table;
mod topology;
mod truth;
mod worth;

pub use panel::Manners;
pub use rules::Broken;
pub use run::{Story, World};
pub use scenario::{Answers, Crash, Doing, Fault, Scenario};
pub use score::{LOSS_BOUND, Score, complaint, score};
pub use scripted::{SHAPES, Shape, Truth};
pub use shape::{draw, shapes};
pub use shrink::shrink;
pub use table::{MANY, Table};
pub use worth::Worth;

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

    /// Answers a number between these, evenly by magnitude.
    #[must_use]
    pub fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let part = self.below(1 << 20) as f64 / f64::from(1 << 20);
        let drawn = least as f64 * ((most + 1) as f64 / least as f64).powf(part);
        (drawn as u64).clamp(least, most)
    }

    /// Answers yes once in so many times.
    pub const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Answers one of these.
    pub const fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Answers a span up to `most`.
    pub const fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }
}

/// The world's clock starts a day above zero, as the collector's does.
pub const START: MonoTime = MonoTime::from_nanos(86_400_000_000_000);
