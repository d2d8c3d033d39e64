//! What a stream sounds and looks like, compactly: enough to tell whether two streams carry the same programme, how far apart
//! in time, and whether they carry the very same coded frames. Nobody can hear or see anything from it.

use alloc::vec::Vec;
use core::time::Duration;

/// One second of it. It comes with the slice of the second *after* it: the last sound of a second is decoded when that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// The level of the main sound in each tenth of the second, by [`Fingerprint::level`]; 0 where it was not heard.
    /// At most [`Fingerprint::TENTHS`].
    pub sound: Vec<u8>,
    /// Some of the coded frames of the main sound; at most [`Fingerprint::FRAMES`].
    pub coded: Vec<CodedFrame>,
}

/// A coded frame, by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodedFrame {
    /// A hash of its bytes.
    pub hash: u32,
    /// When it was produced, after the second's begin.
    pub after: Duration,
}

impl Fingerprint {
    /// How long before its slice it begins.
    pub const BEHIND: Duration = Duration::from_secs(1);
    /// Tenths of a second in it.
    pub const TENTHS: usize = 10;
    /// Coded frames in it.
    pub const FRAMES: usize = 4;
    /// A tenth of a second.
    pub const TENTH: Duration = Duration::from_millis(100);
    /// The level that is called 1, in dBFS.
    const FLOOR: f32 = -100.0;
    /// Steps in a decibel.
    const STEPS: f32 = 2.0;

    /// A level in dBFS as one byte: half decibels above -100 dBFS, 1 at least.
    #[must_use]
    pub fn level(dbfs: f32) -> u8 {
        // Floats become integers by saturation, and what is no number by zero.
        (((dbfs - Self::FLOOR) * Self::STEPS) as u8).max(1)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.coded.is_empty() && self.sound.iter().all(|&level| level == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_never_what_stands_for_unheard() {
        assert_eq!(Fingerprint::level(f32::NAN), 1);
        assert_eq!(Fingerprint::level(-200.0), 1);
        assert_eq!(Fingerprint::level(-60.0), 80);
        assert_eq!(Fingerprint::level(0.0), 200);
        assert_eq!(Fingerprint::level(100.0), 255);
    }
}
