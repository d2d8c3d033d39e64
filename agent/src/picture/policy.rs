//! Which access units of the picture are worth decoding.

use std::time::Duration;

use tallylight_model::PictureType;

use super::PictureUnit;
use crate::decode::{Effort, Place};

/// A healthy stream has one key picture decoded in this time, less the tolerance.
const EVERY: Duration = Duration::from_secs(2);
/// The same while sizes prove that the picture moves: a live stream of which nothing is wanted but that it still does.
const EVERY_MOVING: Duration = Duration::from_secs(10);
/// The same while something is suspicious; below it a stream of key pictures alone would be decoded whole.
const EVERY_SUSPICIOUS: Duration = Duration::from_millis(500);
/// A group of pictures is decoded whole when so much has been seen ...
const FIRST_SURVEY: Duration = Duration::from_secs(6);
/// ... and after that so often: 2 s in 5 minutes ...
const SURVEY_EVERY: Duration = Duration::from_secs(300);
/// ... or more of a recording.
const SURVEY_EVERY_DECODED: Duration = Duration::from_secs(10);
/// Key pictures do not come to the millisecond: this part of the time may be missing.
const TOLERANCE: u32 = 20;
/// Key pictures further apart than this are rare: the pictures between are decoded on suspicion.
const RARE: Duration = Duration::from_secs(4);
/// Without a key picture for this long, there are none: the picture is refreshed bit by bit.
const KEYLESS: Duration = Duration::from_secs(15);
/// Such a stream is decoded for this long, which has to hold a whole refresh ...
const RUN: Duration = Duration::from_secs(3);
/// ... in every so long ...
const RUN_EVERY: Duration = Duration::from_secs(30);
/// ... or all the time, run after run, while pictures seem to repeat.
const RUN_EVERY_SUSPICIOUS: Duration = RUN;

/// Decides for each access unit of one video stream what decoding it is worth. Ask about every one, in decoding order.
pub struct KeyFramePolicy {
    first: Option<Duration>,
    last_key: Option<Duration>,
    place: Place,
    /// Whether the last two key pictures were far apart, or may be as far as is known.
    rare: bool,
    last_decoded: Option<Duration>,
    run: Option<Duration>,
    last_run: Option<Duration>,
    last_survey: Option<Duration>,
    rest: Rest,
}

/// What becomes of the pictures where key pictures are rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They are decoded on suspicion, or for 3 s in 30 where there are no key pictures at all.
    Sampled,
    /// All are decoded: a recording can wait for it.
    Decoded,
}

/// Whether anything hints at black or freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Nothing does, and the sizes of the pictures prove that they move as those did that were seen to.
    Refuted,
    /// Nothing does.
    Off,
    /// The picture is dark: key pictures are decoded as they come.
    On,
    /// The picture stands, or its sizes say so: where key pictures are rare, those between are decoded too.
    Repeats,
}

impl KeyFramePolicy {
    /// Starts with nothing seen: the first key picture is decoded.
    #[must_use]
    pub fn new(rest: Rest) -> Self {
        Self {
            first: None,
            last_key: None,
            place: Place::default(),
            rare: true,
            last_decoded: None,
            run: None,
            last_run: None,
            last_survey: None,
            rest,
        }
    }

    /// Forgets the past, as at a discontinuity: the next key picture is decoded.
    pub fn reset(&mut self) {
        *self = Self::new(self.rest);
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
        let all = self.rest == Rest::Decoded && self.last_key.is_some();
        // After the first key picture it is not known yet how rare they are.
        let rare = self.rare || since_key >= RARE;
        let known = self.place.group > 1 || since_key >= RARE;
        if since_key >= KEYLESS && !all {
            self.judge_keyless(at, suspicion)
        } else if self.last_key.is_none() {
            Effort::Skip
        } else if rare
            && (suspicion == Suspicion::Repeats || all && known)
            && self.is_due(at, EVERY)
        {
            self.last_decoded = Some(at);
            Effort::CatchUp(self.place)
        } else {
            Effort::Keep(self.place)
        }
    }

    fn judge_key(&mut self, at: Duration, suspicion: Suspicion) -> Effort {
        self.run = None;
        self.rare = self.last_key.is_none_or(|last| at.saturating_sub(last) >= RARE);
        self.last_key = Some(at);
        self.place = Place { group: self.place.group.wrapping_add(1), index: 0 };
        let every = match suspicion {
            Suspicion::Refuted if self.rest == Rest::Sampled => EVERY_MOVING,
            Suspicion::Refuted | Suspicion::Off => EVERY,
            Suspicion::On | Suspicion::Repeats => EVERY_SUSPICIOUS,
        };
        if self.rare || self.is_due(at, every) {
            self.last_decoded = Some(at);
            if self.wants_survey(at, suspicion) {
                self.last_survey = Some(at);
                return Effort::Survey(self.place);
            }
            Effort::Key(self.place)
        } else {
            Effort::Keep(self.place)
        }
    }

    /// Whether the group before a key picture is to be decoded whole. What stands has nothing to show there.
    fn wants_survey(&self, at: Duration, suspicion: Suspicion) -> bool {
        let every = match self.rest {
            Rest::Sampled => SURVEY_EVERY,
            Rest::Decoded => SURVEY_EVERY_DECODED,
        };
        let due = match (self.last_survey, self.first) {
            (Some(last), _) => at >= last + every || at < last,
            (None, Some(first)) => at >= first + FIRST_SURVEY,
            (None, None) => false,
        };
        due && suspicion != Suspicion::Repeats
    }

    fn judge_keyless(&mut self, at: Duration, suspicion: Suspicion) -> Effort {
        let every = match suspicion {
            Suspicion::Repeats => RUN_EVERY_SUSPICIOUS,
            Suspicion::Refuted | Suspicion::Off | Suspicion::On => RUN_EVERY,
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
    use tallylight_model::Codec;

    /// Asks about `seconds` of 25 pictures each with a key picture every `group`, and counts the efforts by their name.
    fn count(seconds: u64, group: u64, suspicion: Suspicion) -> [usize; 5] {
        let mut policy = KeyFramePolicy::new(Rest::Sampled);
        let mut counts = [0; 5];
        for index in 0..seconds * 25 {
            let media_time = Duration::from_millis(index * 40);
            let unit = PictureUnit {
                media_time,
                size: 1000,
                key: index % group == 0,
                picture: None,
                codec: Codec::H264,
            };
            counts[match policy.judge(&unit, suspicion) {
                Effort::Skip => 0,
                Effort::Alone | Effort::Key(_) | Effort::Survey(_) => 1,
                Effort::Keep(_) => 2,
                Effort::CatchUp(_) => 3,
                Effort::Run | Effort::RunEnd => 4,
            }] += 1;
        }
        counts
    }

    #[test]
    fn while_sizes_prove_motion_a_key_picture_is_decoded_every_ten_seconds() {
        assert_eq!(count(60, 25, Suspicion::Refuted), [0, 6, 1494, 0, 0]);
        // Rare ones are all decoded.
        assert_eq!(count(60, 125, Suspicion::Refuted), [0, 12, 1488, 0, 0]);
    }

    #[test]
    fn a_key_picture_is_decoded_every_two_seconds_and_more_on_suspicion() {
        assert_eq!(count(60, 12, Suspicion::Off), [0, 32, 1468, 0, 0]);
        assert_eq!(count(60, 25, Suspicion::On), [0, 60, 1440, 0, 0]);
        // Intra only: two a second at most.
        let [_, decoded, ..] = count(60, 1, Suspicion::On);
        assert!((100..=126).contains(&decoded), "{decoded}");
    }

    #[test]
    fn rare_key_pictures_are_all_decoded_and_those_between_only_if_they_repeat() {
        assert_eq!(count(60, 250, Suspicion::Off), [0, 6, 1494, 0, 0]);
        let [_, keys, _, caught, _] = count(60, 250, Suspicion::Repeats);
        assert_eq!(keys, 6);
        assert!((20..=30).contains(&caught), "{caught}");
    }

    #[test]
    fn key_pictures_that_stay_out_are_rare_whatever_they_were_before() {
        // One a second, and none from 10 s on.
        for (rest, suspicion, least) in [
            (Rest::Sampled, Suspicion::Repeats, 3),
            (Rest::Decoded, Suspicion::Off, 3),
            (Rest::Sampled, Suspicion::Off, 0),
        ] {
            let mut policy = KeyFramePolicy::new(rest);
            let efforts = (0..20 * 25).map(|index| {
                let (media_time, key) =
                    (Duration::from_millis(index * 40), index % 25 == 0 && index < 250);
                let codec = Codec::H264;
                let unit = PictureUnit { media_time, size: 1000, key, picture: None, codec };
                policy.judge(&unit, suspicion)
            });
            let caught = efforts.filter(|effort| matches!(effort, Effort::CatchUp(_))).count();
            assert!(
                (least..=least + 4).contains(&caught) && (caught > 0) == (least > 0),
                "{rest:?} {caught}"
            );
        }
    }

    #[test]
    fn without_key_pictures_a_tenth_is_decoded() {
        let [.., run] = count(300, 100_000, Suspicion::Off);
        assert!((700..=770).contains(&run), "{run} of 7500");
    }

    #[test]
    fn a_group_is_decoded_whole_now_and_then_and_not_while_something_stands() {
        for (rest, suspicion, expected) in [
            (Rest::Sampled, Suspicion::Off, 3),
            (Rest::Sampled, Suspicion::Refuted, 3),
            (Rest::Decoded, Suspicion::On, 70),
            (Rest::Sampled, Suspicion::Repeats, 0),
        ] {
            let mut policy = KeyFramePolicy::new(rest);
            let efforts = (0..700 * 25).map(|index| {
                let (media_time, key) = (Duration::from_millis(index * 40), index % 25 == 0);
                let codec = Codec::H264;
                let unit = PictureUnit { media_time, size: 1000, key, picture: None, codec };
                policy.judge(&unit, suspicion)
            });
            let surveys = efforts.filter(|effort| matches!(effort, Effort::Survey(_))).count();
            assert_eq!(surveys, expected, "{rest:?} {suspicion:?}");
        }
    }

    #[test]
    fn a_recording_without_key_pictures_is_decoded_whole() {
        let mut policy = KeyFramePolicy::new(Rest::Decoded);
        let mut caught = 0;
        for index in 0..60 * 25 {
            let media_time = Duration::from_millis(index * 40);
            let unit = PictureUnit {
                media_time,
                size: 1000,
                key: index == 0,
                picture: None,
                codec: Codec::H264,
            };
            match policy.judge(&unit, Suspicion::Off) {
                Effort::CatchUp(_) => caught += 1,
                Effort::Key(_) | Effort::Survey(_) | Effort::Keep(_) => {}
                other => panic!("{other:?} at {media_time:?}"),
            }
        }
        assert!((28..=31).contains(&caught), "{caught}");
    }
}
