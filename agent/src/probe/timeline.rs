//! Where media stands in time: when it was produced, for how long it was watched, and whether a player would still have some.

use std::{collections::VecDeque, time::Duration};

use tallylight_model::MonoTime;

use crate::input::player::{Buffering, Player};

/// Spans kept; the oldest goes first, and slices that old are closed.
const MAX_SPANS: usize = 256;

/// Converts media time to the moment of production.
///
/// Media that arrives as it is produced has `arrival = production`; all that delivery can do is to add to it (bursts at a
/// start, segments, a network's jitter). So production is dated by the media that came earliest in the recent past. The past
/// is limited, because a source that was switched or paused may be later for good.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    window: Duration,
    started: MonoTime,
    /// The least `arrival - media` in nanoseconds, in this window and in the one before.
    current: Option<i128>,
    previous: Option<i128>,
}

impl Timeline {
    /// Looks back over one to two windows.
    #[must_use]
    pub const fn new(window: Duration) -> Self {
        Self { window, started: MonoTime::ZERO, current: None, previous: None }
    }

    /// The time line of a recording: media is dated by itself.
    #[must_use]
    pub const fn of_recording() -> Self {
        Self { window: Duration::MAX, started: MonoTime::ZERO, current: Some(0), previous: None }
    }

    /// Whether it is a recording's.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.window == Duration::MAX
    }

    /// Media is of another clock, or comes after a gap, from here on: what was observed before says nothing about it.
    pub fn restart(&mut self, at: MonoTime, media: Duration) {
        if !self.is_recording() {
            *self = Self::new(self.window);
            self.started = at;
            self.observe(at, media);
        }
    }

    /// Media of this time is here at this moment.
    pub fn observe(&mut self, at: MonoTime, media: Duration) {
        if self.is_recording() {
            return;
        }
        if at.since(self.started) >= self.window {
            self.previous = self.current.take();
            self.started = at;
        }
        let offset = i128::from(at.as_nanos()) - nanos(media);
        self.current = Some(self.current.map_or(offset, |least| least.min(offset)));
    }

    /// When media of this time was produced; `None` before anything was observed.
    #[must_use]
    pub fn produced(&self, media: Duration) -> Option<MonoTime> {
        let offset = [self.current, self.previous].into_iter().flatten().min()?;
        let at = nanos(media) + offset;
        Some(MonoTime::from_nanos(u64::try_from(at.max(0)).unwrap_or(u64::MAX)))
    }
}

fn nanos(span: Duration) -> i128 {
    i128::try_from(span.as_nanos()).unwrap_or(i128::MAX / 2)
}

/// A set of spans of time, in order.
#[derive(Clone, Debug, Default)]
pub struct Spans(VecDeque<(MonoTime, MonoTime)>);

impl Spans {
    /// Adds a span; what it shares with the last one counts once.
    pub fn add(&mut self, from: MonoTime, to: MonoTime) {
        if to <= from {
            return;
        }
        match self.0.back_mut() {
            Some(last) if from <= last.1 && from >= last.0 => last.1 = last.1.max(to),
            _ => {
                if self.0.len() == MAX_SPANS {
                    self.0.pop_front();
                }
                self.0.push_back((from, to));
            }
        }
    }

    /// How much of the time between two moments is in the set.
    #[must_use]
    pub fn within(&self, from: MonoTime, to: MonoTime) -> Duration {
        let mut total = Duration::ZERO;
        let mut covered = from;
        for &(start, end) in &self.0 {
            let (start, end) = (start.max(covered), end.min(to));
            total += end.since(start);
            covered = covered.max(end);
        }
        total
    }

    /// Whether a moment is in the set, its end included.
    #[must_use]
    pub fn contains(&self, at: MonoTime) -> bool {
        self.0.iter().any(|&(start, end)| start <= at && at <= end)
    }

    /// Lets go of what ended before this moment.
    pub fn prune(&mut self, before: MonoTime) {
        self.0.retain(|&(_, end)| end > before);
    }
}

/// A player that joined with this session, plays in real time and follows the sender's clock: since when it has nothing to play.
#[derive(Clone, Debug)]
pub struct Viewer {
    player: Player,
    last_media: Option<Duration>,
    dry_since: Option<MonoTime>,
}

/// A step of media time beyond this is no media.
const MAX_STEP: Duration = Duration::from_secs(10);

impl Viewer {
    /// Joins with an empty buffer.
    #[must_use]
    pub const fn new(now: MonoTime) -> Self {
        Self { player: Player::new(Buffering::STREAM, now), last_media: None, dry_since: None }
    }

    /// Media up to this time is here.
    pub fn feed(&mut self, at: MonoTime, media: Duration) {
        let last = self.last_media.replace(media).unwrap_or(media);
        let step = media.checked_sub(last).filter(|step| *step <= MAX_STEP).unwrap_or_default();
        self.check(at);
        self.player.handle(at, step);
    }

    /// Since when a viewer would look at a still picture; `None` while there is something to play, and before the first start.
    pub fn check(&mut self, now: MonoTime) -> Option<MonoTime> {
        self.player.handle_deadline(now);
        while let Some((at, dry)) = self.player.poll() {
            self.dry_since = dry.then_some(at);
        }
        self.dry_since
    }

    /// When it will run dry if nothing more comes.
    #[must_use]
    pub fn dry_at(&self) -> Option<MonoTime> {
        self.player.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    fn media(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn production_is_dated_by_what_came_earliest() {
        let mut line = Timeline::new(media(5_000));
        assert_eq!(line.produced(media(0)), None);
        // A burst of 4 s at the start, then 100 ms late now and then.
        line.observe(at(10_000), media(0));
        line.observe(at(10_010), media(4_000));
        line.observe(at(10_200), media(4_100));
        assert_eq!(line.produced(media(0)), Some(at(6_010)));
        assert_eq!(line.produced(media(4_100)), Some(at(10_110)));
    }

    #[test]
    fn a_stream_that_is_later_for_good_is_dated_later_after_a_while() {
        let mut line = Timeline::new(media(5_000));
        for second in 0..10 {
            line.observe(at(second * 1_000), media(second * 1_000));
        }
        for second in 10..25 {
            line.observe(at(second * 1_000 + 3_000), media(second * 1_000));
        }
        assert_eq!(line.produced(media(24_000)), Some(at(27_000)));
    }

    #[test]
    fn a_recording_is_dated_by_itself() {
        let mut line = Timeline::of_recording();
        line.observe(at(99_000), media(5));
        assert_eq!(line.produced(media(1_234)), Some(at(1_234)));
    }

    #[test]
    fn spans_count_once_whatever_their_order() {
        let mut spans = Spans::default();
        spans.add(at(0), at(1_000));
        spans.add(at(500), at(1_500));
        spans.add(at(3_000), at(2_000));
        spans.add(at(2_000), at(4_000));
        assert_eq!(spans.within(at(0), at(10_000)), media(3_500));
        assert_eq!(spans.within(at(1_000), at(3_000)), media(1_500));
        assert!(spans.contains(at(1_500)) && !spans.contains(at(1_700)));
        spans.prune(at(1_500));
        assert_eq!(spans.within(at(0), at(10_000)), media(2_000));
    }

    #[test]
    fn a_player_stalls_when_its_buffer_is_dry_and_goes_on_when_it_is_full_again() {
        let mut viewer = Viewer::new(at(60_000));
        assert_eq!(viewer.check(at(60_000)), None, "it has not started");
        for step in 0..=20 {
            viewer.feed(at(60_000 + step * 100), media(step * 100));
        }
        assert_eq!(viewer.check(at(62_990)), None);
        let dry = viewer.check(at(63_500)).unwrap();
        // It follows the sender's clock, which costs a millisecond or two.
        assert!((at(62_998)..at(63_002)).contains(&dry), "{dry:?}");
        viewer.feed(at(64_000), media(2_500));
        assert_eq!(viewer.check(at(64_000)), Some(dry), "half full");
        viewer.feed(at(64_100), media(3_100));
        assert_eq!(viewer.check(at(64_100)), None);
        assert!(viewer.dry_at() > Some(at(65_199)));
    }

    #[test]
    fn jitter_within_the_buffer_and_a_jump_of_the_clock_stall_nothing() {
        let mut viewer = Viewer::new(at(0));
        viewer.feed(at(0), media(0));
        viewer.feed(at(1_000), media(1_000));
        viewer.feed(at(1_900), media(1_900));
        viewer.feed(at(2_000), media(900_000));
        assert_eq!(viewer.check(at(2_100)), None);
        assert!(viewer.dry_at() > Some(at(2_890)));
    }

    #[test]
    fn a_sender_whose_clock_is_slow_stalls_nobody_in_a_day() {
        let mut viewer = Viewer::new(at(0));
        for step in 0..24 * 3600 * 10_u64 {
            // 50 ppm slow, 100 ms at a time.
            viewer.feed(at(step * 100), Duration::from_nanos(step * 99_995_000));
            assert_eq!(viewer.check(at(step * 100 + 50)), None, "after {} s", step / 10);
        }
    }
}
