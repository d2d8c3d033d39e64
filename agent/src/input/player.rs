//! A player's buffer, kept as an account: media that arrived against media played by the clock.
//!
//! A late segment alone harms nobody; a buffer that runs dry does. So delivery is judged by what a plain player would have
//! gone through: it starts once its buffer is filled, plays in real time, stops when nothing is left and goes on when
//! enough has come again. Sender and agent count time by two crystals, up to some 100 ppm apart, which would empty
//! any buffer within hours; real players follow the sender's clock, and so does this one, within [`PULL`].

use std::time::Duration;

use tallylight_model::MonoTime;

/// How much the playing speed gives way to bring the level back to where it was at the start: one part in 2,000.
const PULL: u32 = 2_000;

/// How a player buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffering {
    /// Media that must be there before playing starts.
    pub start: Duration,
    /// Media that must be there before playing goes on after a stall.
    pub resume: Duration,
    /// The most that is kept: what arrives beyond it is not taken into account.
    pub capacity: Duration,
}

impl Buffering {
    /// For a transport stream over UDP, RTP or HTTP: a set-top box's second. A server that sends ahead is given credit.
    pub const STREAM: Self = Self {
        start: Duration::from_secs(1),
        resume: Duration::from_secs(1),
        capacity: Duration::from_secs(10),
    };

    /// For HLS: three segments, which RFC 8216, 6.3.3 has players start with. They go on with two: players wait for some
    /// seconds after a stall (Android's Media3 for 2 to 5 s), since one that goes on with a single segment
    /// stalls again before each next one, for as long as it plays.
    #[must_use]
    pub fn segments(three: Duration) -> Self {
        Self { start: three, resume: three * 2 / 3, capacity: three.saturating_mul(4) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Filling,
    Playing,
    Stalled,
}

/// A virtual player of one stream.
#[derive(Clone, Debug)]
pub struct Player {
    buffering: Buffering,
    state: State,
    level: Duration,
    at: MonoTime,
    /// A change of state that was not yet polled.
    change: Option<(MonoTime, bool)>,
}

impl Player {
    /// Makes a player with an empty buffer.
    #[must_use]
    pub const fn new(buffering: Buffering, now: MonoTime) -> Self {
        Self { buffering, state: State::Filling, level: Duration::ZERO, at: now, change: None }
    }

    /// Takes `media` that arrived now.
    pub fn handle(&mut self, now: MonoTime, media: Duration) {
        self.handle_deadline(now);
        self.level = (self.level + media).min(self.buffering.capacity);
        let enough = match self.state {
            State::Filling => self.buffering.start,
            State::Stalled => self.buffering.resume,
            State::Playing => return,
        };
        if self.level >= enough {
            if self.state == State::Stalled {
                self.change = Some((now, false));
            }
            self.state = State::Playing;
        }
    }

    /// Plays up to now.
    pub fn handle_deadline(&mut self, now: MonoTime) {
        let passed = now.since(self.at);
        let dry = self.dry_at();
        self.at = self.at.max(now);
        if self.state != State::Playing {
            return;
        }
        self.level = self.level.saturating_sub(self.played(passed));
        if let Some(dry) = dry.filter(|dry| *dry <= now) {
            self.level = Duration::ZERO;
            self.state = State::Stalled;
            self.change = Some((dry, true));
        }
    }

    /// Lets time pass without playing.
    pub fn pause(&mut self, span: Duration) {
        self.at = self.at + span;
    }

    /// Returns when the buffer ran dry (`true`) or playing went on (`false`), once for each change.
    pub fn poll(&mut self) -> Option<(MonoTime, bool)> {
        self.change.take()
    }

    /// When the buffer will be dry if nothing arrives.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.dry_at()
    }

    /// Returns how much media is there.
    #[must_use]
    pub const fn level(&self) -> Duration {
        self.level
    }

    fn dry_at(&self) -> Option<MonoTime> {
        // The level is under its target on the way to dry, so playing is slow by the pull: nothing rounds it early.
        let slow = self.level + self.level / PULL;
        (self.state == State::Playing).then(|| self.at + slow)
    }

    fn played(&self, passed: Duration) -> Duration {
        if self.level < self.buffering.start {
            passed - passed / PULL
        } else {
            passed + passed / PULL
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> MonoTime {
        MonoTime::ZERO + Duration::from_millis(millis)
    }

    /// Feeds arrivals (when, how much, in ms) and returns the stalls (when, whether) up to `end`, to the next 10 ms.
    fn stalls(buffering: Buffering, arrivals: &[(u64, u64)], end: u64) -> Vec<(u64, bool)> {
        let mut player = Player::new(buffering, at(0));
        let mut found = Vec::new();
        let note = |player: &mut Player, found: &mut Vec<(u64, bool)>| {
            while let Some((at, stalls)) = player.poll() {
                found.push((at.as_nanos() / 10_000_000 * 10, stalls));
            }
        };
        for &(when, media) in arrivals {
            while let Some(deadline) = player.deadline().filter(|deadline| *deadline < at(when)) {
                player.handle_deadline(deadline);
                note(&mut player, &mut found);
            }
            player.handle(at(when), Duration::from_millis(media));
            note(&mut player, &mut found);
        }
        player.handle_deadline(at(end));
        note(&mut player, &mut found);
        found
    }

    #[test]
    fn only_a_dry_buffer_stalls() {
        let hls = Buffering::segments(6 * SECOND);
        let on_time: Vec<_> = (0..20).map(|n| (n * 2000, 2000)).collect();
        let late_once: Vec<_> =
            (0..20).map(|n| (n * 2000 + if n == 9 { 1900 } else { 0 }, 2000)).collect();
        // Playing starts with the third segment at 4 s; after the sixth (10 s) nothing comes before 20 s.
        let away: Vec<_> = (0..6).chain(10..20).map(|n| (n * 2000, 2000)).collect();
        // Media is lost for good (a source gone for 7 s, segments on time but empty): one stall, then the cushion is back.
        let short_by_a_cushion: Vec<_> =
            (0..20).map(|n| (n * 2000, if (7..11).contains(&n) { 250 } else { 2000 })).collect();
        type Case<'a> = (&'a str, &'a [(u64, u64)], &'a [(u64, bool)]);
        let cases: [Case<'_>; 6] = [
            ("on time", &on_time, &[]),
            ("one late segment", &late_once, &[]),
            ("away", &away, &[(16_000, true), (22_000, false)]),
            ("below its cushion for good", &short_by_a_cushion, &[(18_750, true), (24_000, false)]),
            ("never filled", &[(0, 2000)], &[]),
            ("ends", &[(0, 6000)], &[(6_000, true)]),
        ];
        for (name, arrivals, expected) in cases {
            assert_eq!(stalls(hls, arrivals, 40_000), expected, "{name}");
        }
    }

    #[test]
    fn a_stream_below_its_own_rate_stalls_again_and_again() {
        // 10 % short: 1 s of buffer lasts 10 s, then a second must come together again.
        let short: Vec<_> = (0..600).map(|n| (n * 100, 90)).collect();
        let found = stalls(Buffering::STREAM, &short, 60_000);
        let begins = found.iter().filter(|(_, stalls)| *stalls).count();
        assert!((4..=6).contains(&begins), "{found:?}");
    }

    #[test]
    fn clocks_that_drift_apart_do_not_stall() {
        for ppm in [-200i64, 200] {
            let mut player = Player::new(Buffering::STREAM, at(0));
            // Ten hours, 40 ms at a time by a crystal that is off.
            for n in 0..900_000u64 {
                let media = Duration::from_nanos((40_000_000 + 40 * ppm).unsigned_abs());
                player.handle(at(n * 40), media);
                assert_eq!(player.poll(), None, "{ppm} ppm at {n}");
            }
        }
    }

    #[test]
    fn a_pause_plays_nothing() {
        let mut player = Player::new(Buffering::STREAM, at(0));
        player.handle(at(0), SECOND);
        player.handle_deadline(at(900));
        player.pause(5 * SECOND);
        assert!((at(5_999)..at(6_001)).contains(&player.deadline().unwrap()));
        player.handle(at(5_950), SECOND);
        assert_eq!(player.poll(), None);
    }

    #[test]
    fn a_burst_at_the_start_is_credit_up_to_the_capacity() {
        let mut player = Player::new(Buffering::STREAM, at(0));
        player.handle(at(0), 100 * SECOND);
        assert_eq!(player.level(), 10 * SECOND);
        player.handle_deadline(at(9_900));
        assert_eq!(player.poll(), None);
        player.handle_deadline(at(10_100));
        assert!(matches!(player.poll(), Some((_, true))));
    }
}
