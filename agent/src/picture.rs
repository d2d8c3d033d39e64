//! Judges the picture of one stream: black, one colour, colour bars and freeze, from a few decoded key pictures and the sizes of all the others.
//!
//! A key picture seen every 2 s says *whether* the picture is black, or bars, or still; the sizes of the pictures between say *when* that
//! began and ended, since an encoder spends next to nothing on a picture that repeats. Neither would do alone: sizes know
//! nothing of content, and decoding every picture costs eight times as much.
//!
//! How to read a condition when observation is sparse: what is seen at key picture `k` began no earlier than just after the key
//! picture before it (one that did not show it). Within that gap the condition is dated to the first of the run of tiny
//! pictures that leads up to `k`. Where the stream's sizes do not show it (constant bit rate without filler, MPEG-2, intra only,
//! one still picture after another), and in a recording always, the pictures between are kept and decoded, and it is dated to
//! the picture; if some of them are missing, to `k`. The same holds for an end, except that without either it is dated to the
//! last key picture that showed the condition: never later than it is known to hold, so that no hold is filled by guessing. A
//! [`Condition`] therefore states the time up to which it is *known* to hold; a hold must be counted up to that time and not to
//! the present one.
//!
//! A freeze without telling sizes needs three still pairs of pictures over 4 s. Where key pictures are over 4 s apart, the
//! pictures between are decoded from the key picture on as soon as anything stands; a stream without key pictures is
//! decoded for 3 s in 30, of which only a picture that an intra refresh has completed counts. Of a recording both are decoded
//! whole. What is never found: a fault
//! between rare key pictures of a group of over 4 MB, and a freeze in an encode so coarse that its own key pictures differ by
//! 0.5 on average (H.264 at 200 kb/s of noise did).

mod format;
mod look;
mod partial;
mod policy;
mod repeat;
mod sizes;
mod slate;

use std::{collections::VecDeque, time::Duration};

use tallylight_model::{Codec, FaultKind, PictureFormat, PictureType};

use crate::decode::{Change, Dating, PictureStats, Survey};
use format::FormatWatch;
use look::{BLACK_P95, BLACK_SPREAD, BLANK_SPREAD, is_black};
use partial::Partial;
use repeat::Repeats;
use sizes::Sizes;

pub use look::Look;
pub use policy::{KeyFramePolicy, Rest, Suspicion};
pub use slate::{Meaning, Slate, SlateError, Slates};

/// Still: no tile changed by this much from key picture to key picture ...
const STILL_WORST_TILE: f32 = 2.0;
/// ... nor any block by this much (measured: frozen pictures at most 4, the smallest digits of a clock 30 and more) ...
const STILL_WORST_BLOCK: f32 = 12.0;
/// ... and the picture by less than this.
const STILL_MEAN: f32 = 0.5;
/// A tile is the same as before, but for coding, if it changed by less than this.
pub(crate) const SAME_TILE: f32 = 0.5;
/// Where sizes do not show a freeze, so many still pairs in a row do ...
const CONFIRMING_PAIRS: u32 = 3;
/// ... over at least this long.
const CONFIRMING_SPAN: Duration = Duration::from_secs(4);
/// Moves for sure: some tile changed by this much from one decoded picture to the next (measured: live pictures at least 11) ...
const MOVING_TILE: f32 = 8.0;
/// ... in so many pairs of them in a row, of which the first are long enough ago for every fault before them to be over.
const PROVING_PAIRS: u32 = 5;
/// A decoded picture is answered for within this, or the sizes of now are no longer those of its time.
const PROMPT: Duration = Duration::from_secs(1);
/// Conditions not yet polled; more than a whole second of them never wait in a session that polls.
const MAX_PENDING: usize = 64;

/// What is known of every access unit of the picture without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureUnit {
    /// When it is presented, on the same media time line as the decoder's replies.
    pub media_time: Duration,
    /// Bytes without filler (H.264 NAL type 12, HEVC type 38, MPEG-2 zero stuffing).
    pub size: usize,
    /// Whether decoding can start here.
    pub key: bool,
    /// How it was coded, where known.
    pub picture: Option<PictureType>,
    /// By which standard.
    pub codec: Codec,
}

/// A condition, as far as it is known: sent when it begins, as it goes on, and when it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// A kind that is seen in decoded picture or sound.
    pub kind: FaultKind,
    /// Media time of its onset. Names the condition: it stays the same until the end.
    pub since: Duration,
    /// Media time up to which it is known to hold, or at which it ended.
    pub until: Duration,
    /// Whether it goes on, as far as is known.
    pub lasts: bool,
    /// What was measured, against which limit.
    pub evidence: String,
}

/// What a channel's kind lets be judged of its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureRules {
    /// Everything: television.
    All,
    /// Black alone: a still or looping picture is meant to stand.
    NoFreeze,
    /// Nothing: radio.
    None,
}

/// Judges the picture of one stream. Feed it every access unit's size and every decoded picture, in the order they come; poll
/// it after each.
pub struct PictureDetector {
    rules: PictureRules,
    sizes: Sizes,
    last: Option<Seen>,
    look: Option<Open>,
    /// Black since then, if what is bright in it turns out to stand: credits begin with a line like a logo.
    perhaps: Option<Duration>,
    freeze: Option<Open>,
    still: StillRun,
    motion: Motion,
    partial: Partial,
    repeats: Repeats,
    format: FormatWatch,
    slates: Slates,
    pending: VecDeque<Condition>,
}

/// The last decoded picture.
#[derive(Clone, Copy)]
struct Seen {
    at: Duration,
    look: Look,
    dark: bool,
}

/// Still pairs of key pictures in a row.
#[derive(Clone, Copy, Default)]
struct StillRun {
    pairs: u32,
    /// The first picture of the first pair, or a still earlier one that is known to be the same.
    first: Duration,
    /// The one before `first` is known to be different.
    exact: bool,
    /// The key picture before it, which was different or unknown.
    before: Option<Duration>,
    /// Whether that one stood too: another picture stood before this one.
    after_another: bool,
}

/// Pairs of decoded pictures in a row that clearly differ.
#[derive(Clone, Copy, Default)]
struct Motion {
    pairs: u32,
    /// What the pictures before the last of them were like by their sizes.
    regime: Option<usize>,
}

/// A condition that lasts.
struct Open {
    kind: FaultKind,
    since: Duration,
    until: Duration,
    told: Duration,
    evidence: String,
}

impl PictureDetector {
    /// Starts without a picture seen.
    #[must_use]
    pub fn new(rules: PictureRules) -> Self {
        Self {
            rules,
            sizes: Sizes::default(),
            last: None,
            look: None,
            perhaps: None,
            freeze: None,
            still: StillRun::default(),
            motion: Motion::default(),
            partial: Partial::default(),
            repeats: Repeats::default(),
            format: FormatWatch::default(),
            slates: Slates::default(),
            pending: VecDeque::new(),
        }
    }

    /// The same, knowing these slates.
    #[must_use]
    pub fn with_slates(self, slates: Slates) -> Self {
        Self { slates, ..self }
    }

    /// The same, expecting this format.
    #[must_use]
    pub fn with_format(self, expected: PictureFormat) -> Self {
        Self { format: FormatWatch::new(expected), ..self }
    }

    /// Takes the size of one access unit, in decoding order.
    pub fn unit(&mut self, unit: &PictureUnit) {
        self.format.unit(unit);
        let Some(repeats) = self.sizes.push(unit) else { return };
        // A picture that only repeats the one before carries what is known on to its own time.
        if !repeats {
            self.end_by_sizes(unit.media_time);
        } else {
            for open in [&mut self.look, &mut self.freeze].into_iter().flatten() {
                if self.sizes.repeats_since(open.until) {
                    open.until = open.until.max(unit.media_time);
                    if open.until >= open.told + TELL_EVERY {
                        tell(&mut self.pending, open, Phase::Lasts);
                    }
                }
            }
        }
    }

    /// Ends what sizes carried on and then no longer did, where no decoded picture comes to say so: one between key pictures
    /// that are too far apart.
    fn end_by_sizes(&mut self, now: Duration) {
        let Some(seen) = self.last.map(|seen| seen.at) else { return };
        for place in [Place::Look, Place::Freeze] {
            let moves = self.sizes.moves();
            let over = self
                .place(place)
                .as_ref()
                .is_some_and(|open| open.until > seen && now >= open.until + UNDECODED && moves);
            if over {
                self.still = StillRun::default();
                self.close(place, Some(now), None);
            }
        }
    }

    /// Takes a decoded picture.
    pub fn stats(&mut self, stats: &PictureStats) {
        if self.rules == PictureRules::None {
            return;
        }
        let at = stats.media_time;
        let previous = self.last;
        let look = self.judged(stats.look);
        let empty = previous.is_some_and(|seen| seen.look != Look::Ordinary);
        let stood = self.still.pairs > 0 || empty;
        // A logo stands still, as another picture shows; credits, stars, night scenes and what a programme shows on bars do not.
        let moves_in_it = look != Look::Ordinary
            && previous.is_some_and(|seen| seen.look == look)
            && stats.change.is_some_and(|change| change.worst_tile >= STILL_WORST_TILE);
        self.judge_look(stats, if moves_in_it { Look::Ordinary } else { look });
        self.judge_freeze(stats, look != Look::Ordinary || empty);
        self.format.stats(stats, &mut self.pending);
        if self.rules == PictureRules::All {
            self.partial.stats(stats, &mut self.pending);
            self.repeats.stats(stats, &mut self.pending);
        }
        let dark = stats.levels.p95 < 38.0;
        self.last = Some(Seen { at, look, dark });
        let moves = |change: &Change| !stood && look == Look::Ordinary && !is_still(change);
        if let Some(change) = stats.change.filter(moves) {
            self.sizes.refute(change.since, at);
        }
        // An answer that comes late says nothing about the sizes of now, and a ticker proves nothing about what is behind it.
        let prompt = self.sizes.latest().is_none_or(|latest| latest.saturating_sub(at) <= PROMPT);
        let clearly = prompt
            && stats.change.is_some_and(|change| {
                change.worst_tile >= MOVING_TILE && change.same_share < partial::STANDING
            });
        self.motion = if clearly && look == Look::Ordinary && !dark {
            Motion { pairs: self.motion.pairs.saturating_add(1), regime: self.sizes.regime() }
        } else {
            Motion::default()
        };
    }

    /// Takes a group of pictures that was decoded whole.
    pub fn survey(&mut self, survey: &Survey) {
        if self.rules == PictureRules::All {
            self.repeats.survey(survey);
        }
    }

    /// Forgets the past, as at a discontinuity: what lasted ends where it was last known to hold.
    pub fn reset(&mut self) {
        self.close(Place::Look, None, None);
        self.close(Place::Freeze, None, None);
        self.partial.reset(&mut self.pending);
        self.repeats.reset(&mut self.pending);
        self.format.reset(&mut self.pending);
        self.sizes = Sizes::default();
        self.last = None;
        self.perhaps = None;
        self.still = StillRun::default();
        self.motion = Motion::default();
    }

    /// Whether anything hints at black or freeze, so that more is worth decoding.
    #[must_use]
    pub fn suspicion(&self) -> Suspicion {
        let stands = self.stands();
        let dark = self.last.is_some_and(|seen| seen.dark);
        match self.rules {
            PictureRules::None => Suspicion::Off,
            _ if stands || self.sizes.is_suspicious() => Suspicion::Repeats,
            _ if dark || self.repeats.is_suspicious() => Suspicion::On,
            _ if self.sizes_prove_motion() => Suspicion::Refuted,
            _ => Suspicion::Off,
        }
    }

    const fn stands(&self) -> bool {
        let shown = self.look.is_some() || self.perhaps.is_some();
        shown || self.still.pairs > 0 || self.freeze.is_some()
    }

    /// Whether the pictures since the last decoded one are coded like those that were seen to move. Sizes that change by much
    /// may be another scene, or black under noise; neither has to show in a run of tiny pictures.
    fn sizes_prove_motion(&self) -> bool {
        let as_before = self.motion.regime.zip(self.sizes.regime()).is_some_and(|(then, now)| {
            now <= then.saturating_mul(2) && then <= now.saturating_mul(2)
        });
        as_before && self.motion.pairs >= PROVING_PAIRS
    }

    /// How a change that a key picture at this time may show is dated: by the sizes of the pictures before it if they show it,
    /// which costs nothing. Where something stands already, only movement shows.
    #[must_use]
    pub fn dating(&self, at: Duration) -> Dating {
        let stands = self.stands();
        let repeats = self.sizes.run_before(at) > 0;
        let shown = if stands {
            let open = self.look.as_ref().or(self.freeze.as_ref());
            let otherwise = self.perhaps.unwrap_or(self.still.first);
            let since = open.map_or(otherwise, |open| open.since);
            !repeats && self.sizes.run_end(since, at).is_some()
        } else {
            repeats
        };
        if shown { Dating::Sizes } else { Dating::Decoding }
    }

    /// Takes the next condition that began, went on or ended.
    pub fn poll(&mut self) -> Option<Condition> {
        self.pending.pop_front()
    }

    /// What is judged of a look: a channel that is meant to stand may show anything but black.
    fn judged(&self, look: Look) -> Look {
        match look {
            Look::Blank | Look::Bars if self.rules != PictureRules::All => Look::Ordinary,
            _ => look,
        }
    }

    fn judge_look(&mut self, stats: &PictureStats, look: Look) {
        let at = stats.media_time;
        let previous = self.last.map(|seen| seen.at);
        let kind = look.fault();
        let perhaps = self.perhaps.take().filter(|_| look == Look::Black);
        if let Some(open) = self.look.as_mut().filter(|open| Some(open.kind) == kind) {
            open.until = open.until.max(at);
            return tell(&mut self.pending, open, Phase::Lasts);
        }
        self.close(Place::Look, previous.map(|_| at), stats.turned);
        let Some(kind) = kind else { return };
        let by_sizes = || match previous {
            Some(previous) if self.still.pairs > 0 => self.sizes.changed(previous, at),
            _ => None,
        };
        let since = (perhaps.or(stats.turned).or_else(by_sizes))
            .or_else(|| self.sizes.run_start(previous, at))
            .unwrap_or(at);
        if look == Look::Black && stats.bright_tiles > 0.0 && perhaps.is_none() {
            self.perhaps = Some(since);
            return;
        }
        let evidence = look_evidence(stats, look);
        let mut open = Open { kind, since, until: at, told: at, evidence };
        tell(&mut self.pending, &mut open, Phase::Lasts);
        self.look = Some(open);
        let changed = stats.change.and_then(|change| change.changed);
        self.close(Place::Freeze, Some(since), changed);
    }

    fn judge_freeze(&mut self, stats: &PictureStats, empty: bool) {
        let at = stats.media_time;
        let previous = self.last.map(|seen| seen.at);
        let Some(change) = stats.change else {
            self.still = StillRun::default();
            return self.close(Place::Freeze, None, None);
        };
        let stands = is_still(&change);
        let slate = stands.then(|| self.slates.find(&stats.signature)).flatten();
        let kind = slate.map_or(FaultKind::Freeze, |slate| slate.meaning.fault());
        let judged = self.rules == PictureRules::All || kind == FaultKind::Slate;
        if empty || !judged || !stands {
            let stood =
                self.still.pairs > 0 || self.last.is_some_and(|seen| seen.look != Look::Ordinary);
            self.still = StillRun { before: previous, after_another: stood, ..StillRun::default() };
            return self.close(Place::Freeze, Some(at), change.changed);
        }
        if self.still.pairs == 0 {
            self.still.first = change.same_since.unwrap_or(change.since);
            self.still.exact = change.same_since.is_some();
        }
        self.still.pairs += 1;
        let evidence = match slate {
            Some(slate) => format!("known slate {slate:?}"),
            None => format!(
                "key pictures differ by {:.2} in the worst tile (limit {STILL_WORST_TILE}) and {:.2} on average (limit {STILL_MEAN})",
                change.worst_tile, change.mean
            ),
        };
        if let Some(open) = &mut self.freeze {
            open.until = open.until.max(at);
            return tell(&mut self.pending, open, Phase::Lasts);
        }
        let shown_by_sizes = self.sizes.run_before(at) >= sizes::SUSPICIOUS_RUN;
        let since = if shown_by_sizes || kind != FaultKind::Freeze {
            self.still_since(at)
        } else if self.still.pairs >= CONFIRMING_PAIRS
            && at.saturating_sub(self.still.first) >= CONFIRMING_SPAN
        {
            self.still.first
        } else {
            return;
        };
        let mut open = Open { kind, since, until: at, told: at, evidence };
        tell(&mut self.pending, &mut open, Phase::Lasts);
        self.freeze = Some(open);
    }

    /// When the pictures that stand up to a key picture began to, by their sizes.
    fn still_since(&self, at: Duration) -> Duration {
        let StillRun { first, before, after_another, exact, .. } = self.still;
        if exact {
            return first;
        }
        let change = before.filter(|_| after_another).and_then(|b| self.sizes.changed(b, first));
        // The encoder may go on refining what stands: key pictures that are the same prove more than sizes.
        change.or_else(|| self.sizes.run_start(before, at)).unwrap_or(first).min(first)
    }

    /// Ends a condition, at the `exact` time if that is known. Where a picture `seen` shows that it is over, the sizes may tell
    /// when before that it ended.
    fn close(&mut self, place: Place, seen: Option<Duration>, exact: Option<Duration>) {
        let Some(mut open) = self.place(place).take() else { return };
        if let Some(exact) = exact {
            open.until = exact.max(open.since);
        } else if let Some(seen) = seen {
            let end = self.sizes.run_end(open.since, seen);
            // Sizes may have shown the begin alone; what a decoded picture showed since then stays. What repeats after `seen`
            // repeats something else.
            open.until = open.until.min(seen).max(end.unwrap_or_default());
        }
        tell(&mut self.pending, &mut open, Phase::Ended);
    }

    const fn place(&mut self, place: Place) -> &mut Option<Open> {
        match place {
            Place::Look => &mut self.look,
            Place::Freeze => &mut self.freeze,
        }
    }
}

/// Where a condition is kept: of each place there is one at a time.
#[derive(Clone, Copy)]
enum Place {
    Look,
    Freeze,
}

/// While something stands, a picture is decoded more often than this if any can be.
const UNDECODED: Duration = Duration::from_secs(4);
/// A condition that goes on without a decoded picture is told again after this long.
const TELL_EVERY: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Lasts,
    Ended,
}

fn tell(pending: &mut VecDeque<Condition>, open: &mut Open, phase: Phase) {
    open.told = open.until;
    if pending.len() >= MAX_PENDING {
        pending.pop_front();
    }
    pending.push_back(Condition {
        kind: open.kind,
        since: open.since,
        until: open.until,
        lasts: phase == Phase::Lasts,
        evidence: open.evidence.clone(),
    });
}

fn look_evidence(stats: &PictureStats, look: Look) -> String {
    let PictureStats { levels, rest, bright_tiles, .. } = stats;
    let spread = levels.p95 - levels.p5;
    match look {
        Look::Ordinary => String::new(),
        Look::Black => {
            let levels = if is_black(levels) { *levels } else { rest.unwrap_or(*levels) };
            format!(
                "{:.1} % of the picture under 38, 95th percentile {:.1} (limit {BLACK_P95}), spread {:.1} (limit {BLACK_SPREAD}), bright tiles {:.1} %",
                levels.dark * 100.0,
                levels.p95,
                levels.p95 - levels.p5,
                bright_tiles * 100.0
            )
        }
        Look::Blank => {
            let (luma, [cb, cr]) = look::colour(&stats.signature);
            format!(
                "one colour (luma {luma}, Cb {cb}, Cr {cr}), luma spread {spread:.1} (limit {BLANK_SPREAD})"
            )
        }
        Look::Bars => {
            let count = look::bars(&stats.signature).unwrap_or(0);
            format!("{count} colour bars, luma from {:.0} to {:.0}", levels.p5, levels.p95)
        }
    }
}

/// Whether two pictures are the same but for what coding does.
pub(crate) fn is_still(change: &Change) -> bool {
    change.worst_tile < STILL_WORST_TILE
        && change.worst_block < STILL_WORST_BLOCK
        && change.mean < STILL_MEAN
}

/// Whether a picture shows what a key picture shows. Pictures between key pictures are coded more coarsely, which changes all of
/// them a little (0.8 on average in coarse HEVC) and nothing much; what moves changes something much.
pub(crate) fn resembles(change: &Change) -> bool {
    change.worst_tile < 2.0 * STILL_WORST_TILE && change.worst_block < 2.0 * STILL_WORST_BLOCK
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::decode::{Damage, Levels, Signature};
    use tallylight_model::Pid;

    pub(crate) const LIVE: Levels = Levels { dark: 0.1, p5: 30.0, p95: 200.0 };
    const BLACK: Levels = Levels { dark: 1.0, p5: 16.0, p95: 16.0 };
    const NIGHT: Levels = Levels { dark: 0.99, p5: 16.0, p95: 24.0 };

    /// A key picture at a second that differs from the one before by so much in the worst tile, or is the first.
    pub(crate) fn key(second: u64, levels: Levels, worst_tile: Option<f32>) -> PictureStats {
        let since = Duration::from_secs(second.saturating_sub(2));
        // Something that is neither one colour nor bars.
        let cells: Vec<u8> = (0..Signature::BYTES).map(|at| (at * 37 % 200) as u8).collect();
        let signature = Signature::from_bytes(&cells).unwrap();
        PictureStats {
            pid: Pid::from_bits(1),
            media_time: Duration::from_secs(second),
            profile: None,
            width: 640,
            height: 360,
            interlaced: false,
            sample_aspect: (1, 1),
            levels,
            bright_tiles: 0.0,
            rest: Some(levels),
            look: Look::of(&levels, 0.0, Some(&levels), &signature),
            signature,
            change: worst_tile.map(|worst_tile| Change {
                since,
                same_since: None,
                changed: None,
                worst_tile,
                worst_block: worst_tile,
                mean: worst_tile / 10.0,
                same_share: 0.0,
            }),
            turned: None,
            damage: Damage::None,
            sampled: false,
        }
    }

    /// Shows key pictures 2 s apart without any sizes known, and returns the last word on each condition, in seconds.
    fn show(keys: &[PictureStats]) -> Vec<(FaultKind, u64, u64, bool)> {
        let mut detector = PictureDetector::new(PictureRules::All);
        let mut last: Vec<(FaultKind, u64, u64, bool)> = Vec::new();
        for stats in keys {
            detector.stats(stats);
            while let Some(c) = detector.poll() {
                last.retain(|(kind, since, ..)| (*kind, *since) != (c.kind, c.since.as_secs()));
                last.push((c.kind, c.since.as_secs(), c.until.as_secs(), c.lasts));
            }
        }
        last
    }

    #[test]
    fn black_is_known_to_hold_up_to_the_last_key_picture_that_showed_it() {
        let moved = Some(50.0);
        let black = |second| key(second, BLACK, Some(0.0));
        let live = [key(0, LIVE, None), key(2, LIVE, moved)];
        assert_eq!(show(&live), []);
        let broken = [key(0, LIVE, None), key(2, BLACK, moved), black(4), black(6)];
        assert_eq!(show(&broken), [(FaultKind::Black, 2, 6, true)]);
        let mended = [key(0, LIVE, None), key(2, BLACK, moved), black(4), key(6, LIVE, moved)];
        assert_eq!(show(&mended), [(FaultKind::Black, 2, 4, false)]);
    }

    #[test]
    fn what_is_dark_but_light_enough_or_moves_is_not_black() {
        assert_eq!(show(&[key(0, NIGHT, None), key(2, NIGHT, Some(0.0))]), []);
        let stars: Vec<_> = (0..9).map(|n| key(n * 2, BLACK, Some(2.5))).collect();
        for (_, since, until, _) in show(&stars) {
            assert!(until - since <= 2, "black from {since} to {until}");
        }
    }

    #[test]
    fn whether_what_is_bright_in_black_is_a_logo_the_next_picture_shows() {
        let with_line =
            |second, moved| PictureStats { bright_tiles: 0.02, ..key(second, BLACK, Some(moved)) };
        let live = || key(0, LIVE, None);
        let logo = [live(), with_line(2, 50.0), with_line(4, 0.1), with_line(6, 0.1)];
        assert_eq!(show(&logo), [(FaultKind::Black, 2, 6, true)]);
        let credits: Vec<_> = (1..9).map(|n| with_line(n * 2, 40.0)).collect();
        assert_eq!(show(&[vec![live()], credits].concat()), []);
    }

    #[test]
    fn without_sizes_a_freeze_takes_three_still_pairs() {
        let still = |second| key(second, LIVE, Some(1.9));
        let mut keys = vec![key(0, LIVE, None), key(2, LIVE, Some(30.0)), still(4), still(6)];
        assert_eq!(show(&keys), []);
        keys.push(still(8));
        assert_eq!(show(&keys), [(FaultKind::Freeze, 2, 8, true)]);
        keys.push(key(10, LIVE, Some(2.1)));
        assert_eq!(show(&keys), [(FaultKind::Freeze, 2, 8, false)]);
    }

    /// Shows units of these sizes every 40 ms, with a key picture every 50, which differs from the one before at `cuts`.
    fn shown(pictures: u32, size: impl Fn(u32) -> usize, cuts: &[u32]) -> Vec<(u128, u128)> {
        let mut detector = PictureDetector::new(PictureRules::All);
        let mut found: Vec<(u128, u128)> = Vec::new();
        for index in 0..pictures {
            let media_time = Duration::from_millis(40) * index;
            let is_key = index % 50 == 0;
            let unit = PictureUnit {
                media_time,
                size: size(index),
                key: is_key,
                picture: None,
                codec: Codec::H264,
            };
            detector.unit(&unit);
            if is_key {
                let cut =
                    cuts.iter().any(|cut| (index.saturating_sub(50) + 1..=index).contains(cut));
                let change = (index > 0).then_some(if cut { 90.0 } else { 0.3 });
                detector.stats(&key(u64::from(index / 25), LIVE, change));
            }
            while let Some(c) = detector.poll() {
                found.retain(|(since, _)| *since != c.since.as_millis());
                found.push((c.since.as_millis(), c.until.as_millis()));
            }
        }
        found
    }

    #[test]
    fn a_slide_that_follows_another_begins_with_itself() {
        // Moving up to 4 s; then slides that change at 12 s, a key picture, and at 21 s, a larger one between.
        let size = |index| if index < 100 || index == 525 { 9_000 } else { 20 };
        let moving: Vec<u32> = (0..=100).chain([300, 525]).collect();
        let found = shown(900, size, &moving);
        assert_eq!(found, [(4_000, 12_000), (12_000, 22_000), (21_000, 35_800)]);
    }

    #[test]
    fn what_sizes_show_to_be_over_is_over_without_another_key_picture() {
        let mut detector = PictureDetector::new(PictureRules::All);
        let mut last = None;
        for index in 0..1_000 {
            let media_time = Duration::from_millis(40) * index;
            let size = if (100..400).contains(&index) { 20 } else { 9_000 };
            detector.unit(&PictureUnit {
                media_time,
                size,
                key: false,
                picture: None,
                codec: Codec::H264,
            });
            if [0, 50, 150, 200].contains(&index) {
                let black = index >= 150;
                let levels = if black { BLACK } else { LIVE };
                let change = if index == 200 { 0.0 } else { 50.0 };
                detector.stats(&key(u64::from(index / 25), levels, Some(change)));
            }
            last = std::iter::from_fn(|| detector.poll()).last().or(last);
        }
        let last = last.unwrap();
        assert_eq!((last.kind, last.lasts), (FaultKind::Black, false));
        assert_eq!((last.since.as_millis(), last.until.as_millis()), (4_000, 16_000));
    }

    #[test]
    fn pictures_that_refine_a_freeze_do_not_shorten_it() {
        // It stands from the key picture at 8 s to that at 18 s; sizes are small from 9.6 s on.
        let size = |index| if (240..450).contains(&index) { 20 } else { 9_000 };
        let moving: Vec<u32> = (0..=200).chain(451..600).collect();
        assert_eq!(shown(600, size, &moving), [(8_000, 18_040)]);
    }

    #[test]
    fn a_freeze_with_noise_lasts_as_long_as_key_pictures_show_it() {
        // Only the second picture of the freeze is small; the freeze lasts from 8 s to 20 s.
        let size = |index| if index == 201 { 20 } else { 9_000 };
        let moving: Vec<u32> = (0..=200).chain(501..900).collect();
        let [(since, until)] = shown(900, size, &moving)[..] else { panic!("not one freeze") };
        assert!(
            (8_000..8_100).contains(&since) && (20_000..22_000).contains(&until),
            "{since} {until}"
        );
    }

    #[test]
    fn a_black_picture_that_stands_is_black_and_not_frozen() {
        let keys: Vec<_> = (0..9).map(|n| key(n * 2, BLACK, (n > 0).then_some(0.0))).collect();
        assert_eq!(show(&keys), [(FaultKind::Black, 0, 16, true)]);
    }

    #[test]
    fn bars_that_turn_blank_are_one_after_the_other_and_never_a_freeze() {
        let with = |second, look| PictureStats { look, ..key(second, LIVE, Some(0.0)) };
        let mut keys = vec![key(0, LIVE, None)];
        keys.extend((1..8).map(|n| with(n * 2, Look::Bars)));
        keys.extend((8..14).map(|n| with(n * 2, Look::Blank)));
        keys.push(key(28, LIVE, Some(50.0)));
        let expected = [(FaultKind::Bars, 2, 14, false), (FaultKind::Blank, 16, 26, false)];
        assert_eq!(show(&keys), expected);
        // A channel that is meant to stand may show either.
        let mut detector = PictureDetector::new(PictureRules::NoFreeze);
        keys.iter().for_each(|stats| detector.stats(stats));
        assert_eq!(detector.poll(), None);
    }

    /// What is suspected at the end of `seconds` with key pictures that clearly differ every 2 s, of sizes by the second.
    fn suspicion_after(seconds: u32, codec: Codec, size: impl Fn(u32) -> usize) -> Suspicion {
        let mut detector = PictureDetector::new(PictureRules::All);
        for index in 0..seconds * 25 {
            let media_time = Duration::from_millis(40) * index;
            let (key, size) = (index % 50 == 0, size(index / 25) + index as usize % 7 * 300);
            detector.unit(&PictureUnit { media_time, size, key, picture: None, codec });
            if key {
                detector.stats(&super::tests::key(u64::from(index / 25), LIVE, Some(40.0)));
            }
        }
        detector.suspicion()
    }

    #[test]
    fn sizes_prove_motion_where_they_tell_and_stay_as_they_were() {
        let live = |_| 6_000;
        assert_eq!(suspicion_after(8, Codec::H264, live), Suspicion::Off, "too early");
        assert_eq!(suspicion_after(20, Codec::H264, live), Suspicion::Refuted);
        assert_eq!(suspicion_after(20, Codec::Hevc, live), Suspicion::Refuted);
        // An encoder of MPEG-2 spends what it has to spend on anything.
        assert_eq!(suspicion_after(20, Codec::Mpeg2Video, live), Suspicion::Off);
        let drops = |second| if second < 19 { 6_000 } else { 1_500 };
        assert_eq!(suspicion_after(20, Codec::H264, drops), Suspicion::Off);
        let rises = |second| if second < 19 { 6_000 } else { 30_000 };
        assert_eq!(suspicion_after(20, Codec::H264, rises), Suspicion::Off);
        let tiny = |second| if second < 19 { 60_000 } else { 60 };
        assert_eq!(suspicion_after(20, Codec::H264, tiny), Suspicion::Repeats);
    }

    #[test]
    fn a_reset_ends_what_lasted_where_it_was_last_seen() {
        let mut detector = PictureDetector::new(PictureRules::All);
        detector.stats(&key(0, BLACK, None));
        detector.stats(&key(2, BLACK, Some(0.0)));
        detector.reset();
        let last = std::iter::from_fn(|| detector.poll()).last().unwrap();
        assert_eq!((last.until, last.lasts), (Duration::from_secs(2), false));
        assert_eq!(detector.suspicion(), Suspicion::Off);
    }

    #[test]
    fn conditions_that_nobody_polls_are_bounded() {
        let mut detector = PictureDetector::new(PictureRules::All);
        for second in 0..1000 {
            detector.stats(&key(second, BLACK, Some(0.0)));
        }
        assert_eq!(std::iter::from_fn(|| detector.poll()).count(), MAX_PENDING);
    }
}
