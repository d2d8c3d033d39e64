//! Which access units of the picture are worth decoding.

use std::time::Duration;

use tallylight_model::PictureType;

use super::PictureUnit;
use crate::decode::{Effort, Place};

/// A healthy stream has one key picture decoded in this time, less the tolerance.
const EVERY: Duration = Duration::from_secs(2);
/// The same while something is suspicious; below it a stream of key pictures alone would be decoded whole.
const EVERY_SUSPICIOUS: Duration = Duration::from_millis(500);
/// Key pictures do not come to the millisecond: this part of the time may be missing.
const TOLERANCE: u32 = 20;
/// Key pictures put aside are at least this far apart: they are for dating an onset, and intra-only streams have many.
const SPARE_EVERY: Duration = Duration::from_millis(240);
/// Key pictures further apart than this are rare: the pictures between are kept, to be decoded on suspicion.
const RARE: Duration = Duration::from_secs(4);
/// Without a key picture for this long, there are none: the picture is refreshed bit by bit.
const KEYLESS: Duration = Duration::from_secs(15);
/// Such a stream is decoded for this long, which has to hold a whole refresh ...
const RUN: Duration = Duration::from_secs(3);
/// ... in every so long ...
const RUN_EVERY: Duration = Duration::from_secs(30);
/// ... or so long, while pictures seem to repeat.
const RUN_EVERY_SUSPICIOUS: Duration = Duration::from_secs(10);

/// Decides for each access unit of one video stream what decoding it is worth. Ask about every one, in decoding order.
pub struct KeyFramePolicy {
    first: Option<Duration>,
    last_key: Option<Duration>,
    place: Place,
    /// Whether the last two key pictures were far apart, or may be as far as is known.
    rare: bool,
    last_decoded: Option<Duration>,
    last_spare: Option<Duration>,
    run: Option<Duration>,
    last_run: Option<Duration>,
}

/// Whether anything hints at black or freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Nothing does.
    Off,
    /// The picture is dark: key pictures are decoded as they come.
    On,
    /// The picture stands, or its sizes say so: where key pictures are rare, those between are decoded too.
    Repeats,
}

impl Default for KeyFramePolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyFramePolicy {
    /// Starts with nothing seen: the first key picture is decoded.
    #[must_use]
    pub fn new() -> Self {
        Self {
            first: None,
            last_key: None,
            place: Place::default(),
            rare: true,
            last_decoded: None,
            last_spare: None,
            run: None,
            last_run: None,
        }
    }

    /// Forgets the past, as at a discontinuity: the next key picture is decoded.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Says what to do with an access unit, given the detector's
    /// [suspicion](super::PictureDetector::suspicion).
    pub fn judge(&mut self, unit: &PictureUnit, suspicion: Suspicion) -> Effort {
        let at = unit.media_time;
        let first = *self.first.get_or_insert(at);
        // A point where an intra refresh begins is one to start decoding at, but not a whole picture.
        if unit.key && matches!(unit.picture, None | Some(PictureType::I)) {
            return self.judge_key(at, suspicion);
        }
        self.place.index = self.place.index.saturating_add(1);
        let since_key = at.saturating_sub(self.last_key.unwrap_or(first));
        if since_key >= KEYLESS {
            self.judge_keyless(at, suspicion)
        } else if self.last_key.is_none() || !self.rare {
            Effort::Skip
        } else if suspicion == Suspicion::Repeats && self.is_due(at, EVERY) {
            self.last_decoded = Some(at);
            Effort::CatchUp(self.place)
        } else {
            Effort::Keep(self.place)
        }
    }

    /// Whether key pictures are so rare that the payload of the pictures between is needed as well, and that what is not
    /// suspicious may pass unseen for longer than usual.
    #[must_use]
    pub fn is_sampled(&self, now: Duration) -> bool {
        let last = self.last_key.or(self.first);
        self.rare || last.is_some_and(|last| now.saturating_sub(last) >= RARE)
    }

    fn judge_key(&mut self, at: Duration, suspicion: Suspicion) -> Effort {
        self.run = None;
        self.rare = self.last_key.is_none_or(|last| at.saturating_sub(last) >= RARE);
        self.last_key = Some(at);
        self.place = Place { group: self.place.group.wrapping_add(1), index: 0 };
        let every = if suspicion == Suspicion::Off { EVERY } else { EVERY_SUSPICIOUS };
        if self.rare {
            self.last_decoded = Some(at);
            Effort::Key(self.place)
        } else if self.is_due(at, every) {
            self.last_decoded = Some(at);
            Effort::Alone
        } else if self.last_spare.max(self.last_decoded).is_none_or(|last| at >= last + SPARE_EVERY)
        {
            self.last_spare = Some(at);
            Effort::Spare
        } else {
            Effort::Skip
        }
    }

    fn judge_keyless(&mut self, at: Duration, suspicion: Suspicion) -> Effort {
        let every = match suspicion {
            Suspicion::Repeats => RUN_EVERY_SUSPICIOUS,
            Suspicion::Off | Suspicion::On => RUN_EVERY,
        };
        match self.run {
            Some(start) if at.saturating_sub(start) >= RUN => {
                self.run = None;
                Effort::RunEnd
            }
            Some(_) => Effort::Run,
            None if self.last_run.is_none_or(|last| at >= last + every) => {
                (self.run, self.last_run) = (Some(at), Some(at));
                Effort::Run
            }
            None => Effort::Skip,
        }
    }

    /// A time line that steps back starts afresh.
    fn is_due(&self, at: Duration, every: Duration) -> bool {
        self.last_decoded
            .is_none_or(|last| at + every < last || at + every / TOLERANCE >= last + every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks about `seconds` of 25 pictures each with a key picture every `group`, and counts the efforts by their name.
    fn count(seconds: u64, group: u64, suspicion: Suspicion) -> [usize; 6] {
        let mut policy = KeyFramePolicy::new();
        let mut counts = [0; 6];
        for index in 0..seconds * 25 {
            let media_time = Duration::from_millis(index * 40);
            let unit =
                PictureUnit { media_time, size: 1000, key: index % group == 0, picture: None };
            counts[match policy.judge(&unit, suspicion) {
                Effort::Skip => 0,
                Effort::Spare => 1,
                Effort::Alone | Effort::Key(_) => 2,
                Effort::Keep(_) => 3,
                Effort::CatchUp(_) => 4,
                Effort::Run | Effort::RunEnd => 5,
            }] += 1;
        }
        counts
    }

    #[test]
    fn a_key_picture_is_decoded_every_two_seconds_and_more_on_suspicion() {
        // Once the second key picture has come, no picture between is asked for.
        assert_eq!(count(60, 12, Suspicion::Off), [1364, 93, 32, 11, 0, 0]);
        assert_eq!(count(60, 25, Suspicion::On), [1416, 0, 60, 24, 0, 0]);
        // Intra only: two a second at most, and four a second put aside.
        let [_, spare, decoded, ..] = count(60, 1, Suspicion::On);
        assert!((100..=126).contains(&decoded), "{decoded}");
        assert!((100..=140).contains(&spare), "{spare}");
    }

    #[test]
    fn rare_key_pictures_are_all_decoded_and_those_between_only_if_they_repeat() {
        assert_eq!(count(60, 250, Suspicion::Off), [0, 0, 6, 1494, 0, 0]);
        let [_, _, keys, _, caught, _] = count(60, 250, Suspicion::Repeats);
        assert_eq!(keys, 6);
        assert!((20..=30).contains(&caught), "{caught}");
    }

    #[test]
    fn without_key_pictures_a_tenth_is_decoded() {
        let [.., run] = count(300, 100_000, Suspicion::Off);
        assert!((700..=770).contains(&run), "{run} of 7500");
    }

    #[test]
    fn it_says_when_the_pictures_between_are_needed() {
        let mut policy = KeyFramePolicy::new();
        let mut ask = |seconds: u64| {
            let media_time = Duration::from_secs(seconds);
            let unit = PictureUnit { media_time, size: 1000, key: true, picture: None };
            policy.judge(&unit, Suspicion::Off);
            (policy.is_sampled(media_time), policy.is_sampled(media_time + RARE))
        };
        assert_eq!(ask(0), (true, true), "not known yet");
        assert_eq!(ask(1), (false, true));
        assert_eq!(ask(11), (true, true));
        assert_eq!(ask(12), (false, true));
    }
}
