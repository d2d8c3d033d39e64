//! Whether picture and sound move against each other, by their time stamps.
//!
//! What is followed is the *lead* of each: how long before its presentation it is sent. Nobody can say which lead is right, and an
//! error that is in picture and sound themselves shows nowhere. But sound is sent as long before its time as ever while an encoder
//! works as it did, and a picture within what its buffer allows; where one of them changes and the other does not change with it,
//! stamps were moved, or drift.

use std::{collections::VecDeque, time::Duration};

use tallylight_ts::Offset;

/// Seconds from which it is learnt what is usual.
const LEARNT_FROM: usize = 20;
/// The latest seconds, whose median counts: a late packet or two is no move.
const RECENT: usize = 5;
/// Looked at this often: what is measured are whole seconds.
const EVERY: Duration = Duration::from_secs(1);
/// Sound that is further off than this is noticed by viewers (ITU-R BT.1359-1: 45 ms early, 125 ms late) ...
const SOUND_MOVES: i64 = 100_000;
/// ... but a picture's lead comes and goes with the fill of a buffer, which may hold a second and more.
const PICTURE_MOVES: i64 = 1_000_000;
/// Of what it varied by while it was learnt, so many times as much is no move.
const SPREADS: i64 = 2;

/// Follows picture and main sound of one service.
#[derive(Debug)]
pub(super) struct AvOffset {
    picture: Lead,
    sound: Lead,
    looked: Option<Duration>,
    moved: bool,
}

/// What is said of a move, in media time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// They are apart from what was usual, since then.
    Apart(Duration, String),
    /// They are as usual again.
    Back(Duration),
}

/// In microseconds.
#[derive(Debug)]
struct Lead {
    floor: i64,
    learning: Vec<i64>,
    usual: Option<Usual>,
    recent: VecDeque<(Duration, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct Usual {
    median: i64,
    tolerance: i64,
}

impl Default for AvOffset {
    fn default() -> Self {
        Self {
            picture: Lead::new(PICTURE_MOVES),
            sound: Lead::new(SOUND_MOVES),
            looked: None,
            moved: false,
        }
    }
}

impl AvOffset {
    /// Whether a second is over since the last look.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.looked.is_none_or(|looked| now.abs_diff(looked) >= EVERY)
    }

    /// Takes the leads of picture and main sound as they are now.
    pub(super) fn look(&mut self, now: Duration, picture: Offset, sound: Offset) -> Option<Move> {
        self.looked = Some(now);
        let picture = self.picture.take(now, picture.last_us);
        let (picture, sound) = picture.zip(self.sound.take(now, sound.last_us))?;
        let either = picture.is_far || sound.is_far;
        let apart = either && (picture.by - sound.by).abs() > SOUND_MOVES;
        if apart {
            let since = if sound.is_far { sound.since } else { picture.since };
            self.moved = true;
            return Some(Move::Apart(since, evidence(&picture, &sound)));
        }
        std::mem::take(&mut self.moved).then_some(Move::Back(now))
    }
}

/// By how much a lead is off, now and since when.
struct Shift {
    by: i64,
    lead: i64,
    is_far: bool,
    since: Duration,
}

impl Lead {
    const fn new(floor: i64) -> Self {
        Self { floor, learning: Vec::new(), usual: None, recent: VecDeque::new() }
    }

    /// `None` while it is learnt.
    fn take(&mut self, now: Duration, lead: i64) -> Option<Shift> {
        let Some(Usual { median: usual, tolerance }) = self.usual else {
            self.learning.push(lead);
            if self.learning.len() == LEARNT_FROM {
                let mut learnt = std::mem::take(&mut self.learning);
                let median = median(&mut learnt)?;
                // They are in order now.
                let spread = learnt.last()? - learnt.first()?;
                self.usual = Some(Usual { median, tolerance: self.floor.max(SPREADS * spread) });
            }
            return None;
        };
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((now, lead));
        let mut recent: Vec<i64> = self.recent.iter().map(|(_, lead)| *lead).collect();
        let lead = median(&mut recent).filter(|_| recent.len() == RECENT)?;
        let is_far = |lead: i64| (lead - usual).abs() > tolerance;
        let first = self.recent.iter().find(|(_, lead)| is_far(*lead));
        let since = first.map_or(now, |(at, _)| *at);
        Some(Shift { by: lead - usual, lead, is_far: is_far(lead), since })
    }
}

fn median(values: &mut [i64]) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

fn evidence(picture: &Shift, sound: &Shift) -> String {
    let milliseconds = |us: i64| us / 1000;
    let [by, sound_lead, sound_before, lead, before] = [
        (picture.by - sound.by).abs(),
        sound.lead,
        sound.lead - sound.by,
        picture.lead,
        picture.lead - picture.by,
    ]
    .map(milliseconds);
    format!(
        "picture and sound moved against each other by {by} ms: sound is sent {sound_lead} ms before its time, at first \
         {sound_before} ms; the picture {lead} ms, at first {before} ms"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(last_us: i64) -> Offset {
        Offset {
            min_us: 0,
            mean_us: 0,
            max_us: 0,
            first_us: 0,
            last_us,
            span: Duration::ZERO,
            step: None,
        }
    }

    /// What is said of leads in milliseconds by the second, with the second in which it is.
    fn say(seconds: u64, leads: impl Fn(u64) -> (i64, i64)) -> Vec<(u64, &'static str, u64)> {
        let mut follower = AvOffset::default();
        let mut said: Vec<(u64, &str, u64)> = Vec::new();
        for second in 0..seconds {
            let now = Duration::from_secs(second);
            assert!(follower.is_due(now));
            let (picture, sound) = leads(second);
            let told = follower.look(now, offset(picture * 1000), offset(sound * 1000));
            assert!(!follower.is_due(now + Duration::from_millis(900)));
            let (what, since) = match told {
                Some(Move::Apart(since, _)) => ("apart", since.as_secs()),
                Some(Move::Back(at)) => ("back", at.as_secs()),
                None => continue,
            };
            if said.last().is_none_or(|(_, last, _)| *last != what) {
                said.push((second, what, since));
            }
        }
        said
    }

    #[test]
    fn stamps_that_are_moved_are_told_until_they_are_moved_back() {
        let sound_slips = |second| (800, if (60..90).contains(&second) { 250 } else { 100 });
        assert_eq!(say(120, sound_slips), [(62, "apart", 60), (92, "back", 92)]);
        let picture_slips = |second| (if second < 60 { 800 } else { 2_300 }, 100);
        assert_eq!(say(120, picture_slips), [(62, "apart", 60)]);
    }

    #[test]
    fn a_drift_is_told_once_viewers_would_notice() {
        let drifts = |second: u64| (800, 100 + second.cast_signed());
        // Learnt about its tenth second.
        let said = say(300, drifts);
        let [(at, "apart", _)] = said[..] else { panic!("{said:?}") };
        assert!((108..120).contains(&at), "{said:?}");
    }

    #[test]
    fn what_a_buffer_or_a_packet_does_is_no_move() {
        // The picture's buffer empties and fills again.
        assert_eq!(say(200, |second| (400 + (second % 60).cast_signed() * 15, 100)), []);
        // Two late packets.
        let late = |second| (800, if second == 60 || second == 61 { 400 } else { 100 });
        assert_eq!(say(100, late), []);
        // Both together: it is the clock that moved.
        let clock = |second| if second < 60 { (800, 100) } else { (2_300, 1_600) };
        assert_eq!(say(100, clock), []);
        // Sound that comes in large pieces.
        let uneven = |second: u64| (800, [100, 300][second as usize % 2]);
        assert_eq!(say(100, uneven), []);
    }
}
