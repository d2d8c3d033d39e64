//! Which access units of the picture are worth decoding.

use std::time::Duration;

use super::{Effort, PictureUnit};

/// A healthy stream has one key picture decoded in this time, less the tolerance.
const EVERY: Duration = Duration::from_secs(2);
/// The same while something is suspicious; below it a stream of key pictures alone would be decoded whole.
const EVERY_SUSPICIOUS: Duration = Duration::from_millis(500);
/// Key pictures do not come to the millisecond.
const TOLERANCE: Duration = Duration::from_millis(100);
/// Without a key picture for this long the stream counts as one that is only sampled.
const KEYLESS: Duration = Duration::from_secs(6);
/// A stream without key pictures is decoded for this long ...
const RUN: Duration = Duration::from_secs(1);
/// ... in every so long.
const RUN_EVERY: Duration = Duration::from_secs(10);

/// Decides for each access unit of one video stream what decoding it is worth. Ask about every one, in decoding order.
#[derive(Default)]
pub struct KeyFramePolicy {
    first: Option<Duration>,
    last_key: Option<Duration>,
    last_decoded: Option<Duration>,
    run: Option<Duration>,
    last_run: Option<Duration>,
}

impl KeyFramePolicy {
    /// Starts with nothing seen: the first key picture is decoded.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the past, as at a discontinuity: the next key picture is decoded.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Says what to do with an access unit, given the detector's
    /// [suspicion](super::PictureDetector::suspicion).
    pub fn judge(&mut self, unit: &PictureUnit, suspicion: Suspicion) -> Effort {
        let at = unit.media_time;
        let first = *self.first.get_or_insert(at);
        if unit.key {
            self.last_key = Some(at);
            self.run = None;
            return self.judge_key(at, suspicion);
        }
        let keyless = at.saturating_sub(self.last_key.unwrap_or(first)) >= KEYLESS;
        match self.run {
            Some(start) if at.saturating_sub(start) >= RUN => {
                self.run = None;
                Effort::RunEnd
            }
            Some(_) => Effort::Run,
            None if keyless && self.last_run.is_none_or(|last| at >= last + RUN_EVERY) => {
                (self.run, self.last_run) = (Some(at), Some(at));
                Effort::Run
            }
            None => Effort::Skip,
        }
    }

    /// Whether key pictures are too rare for the stream to be watched all the time.
    #[must_use]
    pub fn is_sampled(&self, now: Duration) -> bool {
        let last = self.last_key.or(self.first);
        last.is_some_and(|last| now.saturating_sub(last) >= KEYLESS)
    }

    fn judge_key(&mut self, at: Duration, suspicion: Suspicion) -> Effort {
        let every = match suspicion {
            Suspicion::Off => EVERY,
            Suspicion::On => EVERY_SUSPICIOUS,
        };
        // A time line that steps back starts afresh.
        let due = self.last_decoded.is_none_or(|last| at < last || at + TOLERANCE >= last + every);
        if due {
            self.last_decoded = Some(at);
            Effort::Alone
        } else {
            Effort::IfNeeded
        }
    }
}

/// Whether anything hints at black or freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Nothing does.
    Off,
    /// Something does: key pictures are decoded as they come.
    On,
}
