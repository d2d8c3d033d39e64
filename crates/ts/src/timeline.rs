//! Media time: one clock per program that only goes forward.
//!
//! A program's PCR wraps, is cut, jumps and stops; what people and judgements need is "so far into the stream". So the timeline
//! adds up the steps between PCRs:
//!
//! - A step forward of at most a minute is time that passed, be it that packets are missing. Large steps count once the next PCR
//!   bears them out, because one damaged PCR must not move the line.
//! - A step back, or further forward, or one that is marked (discontinuity indicator, `EXT-X-DISCONTINUITY`) is another clock.
//!   The timeline goes on from where it was, plus what the packets between took at the rate so far, a second at most.
//! - Between two PCRs time goes on with the packets, by the last rate and for one PCR interval at most.
//! - If PCRs stay out (a lost video PID often takes them along) the stamps of the program's other components carry the time. If
//!   the whole program stays out while other packets come, those count by the mean rate. When the PCR comes back it decides.
//!
//! The rejected alternative, the difference to the first PCR, needs a rule for every jump and is wrong by hours after a splice.
//!
//! Presentation stamps are placed on the same line. A multiplexer sends a picture some time before it is shown; the difference
//! at the program's first key picture is taken off, so that this picture is shown where it stands in the stream. Sound is sent
//! much later before its time than pictures are, so its own difference serves only until a picture has come.

use core::time::Duration;

use tallylight_model::{Pcr, Pts};

/// The longest step that is taken for time that passed.
pub(crate) const MAX_STEP: Duration = Duration::from_secs(60);
/// A longer step, or one back, counts only when the next PCR bears it out: it may be a damaged packet's.
const PROMPT: Duration = Duration::from_secs(3);
/// A longer step needs the discontinuity indicator (TR 101 290, 2.3.b): with it, another clock begins.
const STEADY: Duration = Duration::from_millis(100);
/// PCRs stay out if a component's stamps get this much ahead of the last one.
const PCR_AWAY: Duration = Duration::from_millis(500);
/// What time may be off between two PCRs.
const EXPECTED_NS: u64 = 10_000_000;
/// What a jump can at most have taken.
const MAX_JUMP_TIME: Duration = Duration::from_secs(1);
/// How far packets alone carry time past the last PCR, unless nothing of the program comes.
const MAX_INTERPOLATION: Duration = Duration::from_millis(100);
/// Packets of others alone carry time from `LULL_FROM` on, and fully from `LULL_FULL` on. Between the two the estimate is led
/// over without a step: a step would look like an interval in which every table and clock of the multiplex was missing.
const LULL_FROM: Duration = Duration::from_millis(100);
const LULL_FULL: Duration = Duration::from_millis(500);

/// What a PCR was to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first one, or one that was announced as new.
    First,
    /// Time that passed.
    Passed(Duration),
    /// Another clock, unannounced; ticks of 27 MHz.
    Jump(i64),
    /// So far from the last one that the next one has to bear it out.
    Suspect,
}

/// One program's clock. Places are counted in packets since the start of the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    /// The last PCR, its media time in nanoseconds, and its place.
    pcr: Option<(Pcr, u64, u64)>,
    /// The clock before the announced one, until that goes on: the announcement may be a damaged packet's.
    former: Option<(Pcr, u64)>,
    /// A PCR that has to be borne out, and its place.
    suspect: Option<(Pcr, u64)>,
    /// A media time by a stamp that has to be borne out.
    suspect_stamp: Option<Duration>,
    /// Where time was last known, by PCR or by stamps; in nanoseconds.
    anchor: Option<(u64, u64)>,
    /// Nanoseconds per packet between the last two PCRs, and how far that carries time past the last one.
    pace: u64,
    reach: u64,
    /// The first anchor, and nanoseconds per packet since then.
    first: Option<(u64, u64)>,
    mean: u64,
    /// Counts PCRs, for components to know whether they still come.
    ticks: u32,
    /// The next PCR is announced to be of another clock.
    fresh: bool,
    /// The packet of the next PCR, and that of the last, have the discontinuity indicator.
    marked: bool,
    was_marked: bool,
    /// The program's last packet.
    last_packet: u64,
    /// Time does not fall below this when an estimate turns out too high; in nanoseconds.
    floor: u64,
    /// Counts clocks: stamps found under one say nothing under another.
    era: u32,
    /// The first stamp and its time, of a program without a PCR, since stamps began anew.
    stamped: Option<(Pts, Duration)>,
    /// What presentation stamps are ahead of their place, in ticks of 90 kHz, and what says so.
    lead: Option<(Lead, i64)>,
}

/// Whose stamp says how far stamps are ahead of their place: a later one counts for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lead {
    Sound,
    Picture,
    /// Pictures that are presented out of order are not ahead of it.
    KeyPicture,
}

impl Timeline {
    /// Another clock begins, announced.
    pub(crate) fn announce(&mut self) {
        self.fresh = true;
        self.begin_era();
    }

    /// The packet of this PCR says that another clock begins. One that goes on from the last PCR does not: some multiplexers
    /// say so in every packet, and after such a one it is time that passed as well.
    pub(crate) fn announce_with(&mut self, pcr: Pcr) {
        self.marked = true;
        let goes_on = if self.was_marked { PROMPT } else { STEADY };
        let step = self.pcr.and_then(|(last, ..)| passed(pcr, last));
        if step.is_none_or(|step| step > nanos(goes_on)) {
            self.announce();
        }
    }

    fn begin_era(&mut self) {
        self.era = self.era.wrapping_add(1);
        self.lead = None;
    }

    pub(crate) const fn era(&self) -> u32 {
        self.era
    }

    /// A packet of the program's components or clock stands at `place`.
    #[inline]
    pub(crate) fn touch(&mut self, place: u64) {
        let since = place.saturating_sub(self.last_packet);
        if self.mean.saturating_mul(since) > nanos(LULL_FROM) {
            self.keep(place);
        }
        self.last_packet = place;
    }

    /// All packets since the last one that was touched are the program's own too, up to `place`.
    pub(crate) fn touch_alike(&mut self, place: u64) {
        self.last_packet = place;
    }

    /// Whether a single packet of others may carry time.
    pub(crate) fn is_sparse(&self) -> bool {
        self.mean > nanos(LULL_FROM)
    }

    /// Takes the estimate for this place as the least that time can be from here on.
    pub(crate) fn keep(&mut self, place: u64) {
        self.floor = self.now_ns(place).unwrap_or_default();
    }

    /// Whether media time is known.
    pub(crate) const fn runs(&self) -> bool {
        self.anchor.is_some()
    }

    pub(crate) const fn ticks(&self) -> u32 {
        self.ticks
    }

    /// Takes a PCR at a place. `start` is the time that a timeline begins with.
    pub(crate) fn pcr(&mut self, pcr: Pcr, place: u64, start: Duration) -> Step {
        self.keep(place);
        self.last_packet = place;
        self.was_marked = core::mem::take(&mut self.marked);
        let fresh = core::mem::take(&mut self.fresh);
        let Some((last, time, _)) = self.pcr.filter(|_| !fresh) else {
            self.suspect = None;
            self.former = self.pcr.map(|(pcr, time, _)| (pcr, time));
            let time = match self.pcr {
                Some((_, _, last_place)) => self.after_jump(place.saturating_sub(last_place)),
                None => self.now_ns(place).unwrap_or(nanos(start)),
            };
            self.set_clock(pcr, time, place);
            return Step::First;
        };
        let prompt = nanos(PROMPT);
        let step = passed(pcr, last).filter(|step| *step <= prompt || self.agrees(*step, time));
        let former = self.former.take();
        if let Some(step) = step {
            self.suspect = None;
            self.pass(pcr, step, place);
            return Step::Passed(Duration::from_nanos(step));
        }
        if let Some((former, time)) = former
            && let Some(step) = passed(pcr, former).filter(|step| *step <= prompt)
        {
            self.begin_era();
            self.set_clock(pcr, time + step, place);
            return Step::First;
        }
        // A damaged PCR is not borne out by the next one.
        match self.suspect.take() {
            Some((first, at))
                if pcr != first
                    && passed(pcr, first).is_some_and(|step| step <= nanos(MAX_STEP)) =>
            {
                let step = self.leap(first, last, at);
                self.pass(pcr, passed(pcr, first).unwrap_or_default(), place);
                step
            }
            _ => {
                self.suspect = Some((pcr, place));
                Step::Suspect
            }
        }
    }

    /// Whether a PCR says of its place what was expected.
    pub(crate) fn goes_on(&self, pcr: Pcr, place: u64) -> bool {
        let steady = !self.fresh && self.suspect.is_none() && self.former.is_none();
        let Some((last, time, _)) = self.pcr.filter(|_| steady) else { return false };
        let after = passed(pcr, last).map(|step| time + step);
        let off = after.zip(self.now_ns(place)).map(|(after, now)| after.abs_diff(now));
        off.is_some_and(|off| off <= EXPECTED_NS)
    }

    /// Time passed up to a PCR.
    fn pass(&mut self, pcr: Pcr, step: u64, place: u64) {
        let Some((_, time, last_place)) = self.pcr else { return };
        if let Some(pace) = step.checked_div(place.saturating_sub(last_place)) {
            (self.pace, self.reach) = (pace, step.min(nanos(MAX_INTERPOLATION)));
        }
        self.set_clock(pcr, time + step, place);
    }

    /// A large step from the last PCR turned out to be true: much time passed, or this is another clock.
    fn leap(&mut self, pcr: Pcr, last: Pcr, place: u64) -> Step {
        if let Some(step) = passed(pcr, last).filter(|step| *step <= nanos(MAX_STEP)) {
            self.pass(pcr, step, place);
            return Step::Passed(Duration::from_nanos(step));
        }
        let last_place = self.pcr.map_or(place, |(_, _, last_place)| last_place);
        let time = self.after_jump(place.saturating_sub(last_place));
        self.begin_era();
        self.set_clock(pcr, time, place);
        Step::Jump(pcr.ticks_since(last))
    }

    /// The time at another clock's first PCR, so many packets after the last one.
    fn after_jump(&self, packets: u64) -> u64 {
        let pcr = self.pcr.map_or(0, |(_, time, _)| time);
        let known = self.anchor.map_or(pcr, |(anchor, _)| anchor.max(pcr));
        (known + self.paced(packets)).max(self.floor)
    }

    fn set_clock(&mut self, pcr: Pcr, time: u64, place: u64) {
        self.ticks = self.ticks.wrapping_add(1);
        self.pcr = Some((pcr, time, place));
        self.set_anchor(time, place);
    }

    /// Whether a long step is borne out by what stamps and packets say of the time meanwhile.
    fn agrees(&self, step: u64, since: u64) -> bool {
        step.abs_diff(self.floor.saturating_sub(since)) < nanos(MAX_JUMP_TIME)
    }

    /// A component's stamp is `ahead` of the one that it had at media time `base`, and no PCR has come since then. Returns by
    /// how much that moves the time.
    pub(crate) fn carry(
        &mut self,
        base: Duration,
        ahead: Duration,
        place: u64,
    ) -> Option<Duration> {
        if ahead < PCR_AWAY || ahead > MAX_STEP {
            return None;
        }
        self.keep(place);
        let time = base + ahead;
        let step = time.checked_sub(Duration::from_nanos(self.floor))?;
        // A damaged stamp is not borne out by the next one.
        let borne_out = |first: Duration| time.checked_sub(first).is_some_and(|d| d <= PROMPT);
        if step > PROMPT && !self.suspect_stamp.take().is_some_and(borne_out) {
            self.suspect_stamp = Some(time);
            return None;
        }
        self.suspect_stamp = None;
        self.set_anchor(nanos(time), place);
        Some(step)
    }

    /// The media time at a place; `None` before the first PCR.
    pub(crate) fn now(&self, place: u64) -> Option<Duration> {
        self.now_ns(place).map(Duration::from_nanos)
    }

    /// The same in nanoseconds: it is asked for several times with each PCR and access unit.
    fn now_ns(&self, place: u64) -> Option<u64> {
        let (time, anchor) = self.anchor?;
        if place == anchor {
            return Some(time.max(self.floor));
        }
        let near = self.pace.saturating_mul(place.saturating_sub(anchor)).min(self.reach);
        let others = place.saturating_sub(anchor.max(self.last_packet));
        let far = self.mean.saturating_mul(others);
        let past = if far > nanos(LULL_FROM) { near.max(nanos(in_lull(far))) } else { near };
        Some(time.saturating_add(past).max(self.floor))
    }

    /// Whether packets carry time no further than this place: PCRs stay out, or there was but one.
    pub(crate) fn stands(&self, place: u64) -> bool {
        let since = self.anchor.map_or(0, |(_, anchor)| place.saturating_sub(anchor));
        since > 0 && (self.pace == 0 || self.pace.saturating_mul(since) > self.reach)
    }

    /// What the program's clock shows at a place; `None` where it is not known, before a second PCR gave the pace, or PCRs stay out.
    pub(crate) fn clock(&self, place: u64) -> Option<Pcr> {
        let settled = !self.fresh && self.suspect.is_none() && self.pace > 0;
        let (pcr, time, _) = self.pcr.filter(|_| settled)?;
        let passed = self.now_ns(place)?.checked_sub(time).filter(|ns| *ns < nanos(PCR_AWAY))?;
        Some(Pcr::from_ticks(pcr.ticks() + passed * 27 / 1000))
    }

    /// The media time at which a presentation stamp is due, as pictures are placed.
    pub(crate) fn due(&self, pts: Pts) -> Option<Duration> {
        let (pcr, time, _) = self.pcr.filter(|_| !self.fresh && self.suspect.is_none())?;
        let ahead = pts.ticks_since(Pts::from_ticks(pcr.ticks() / 300));
        let lead = self.lead.map_or(0, |(_, lead)| lead);
        let due = ticks_of(time).saturating_add(ahead - lead).max(0);
        Some(Duration::from_nanos(due.unsigned_abs().saturating_mul(100_000) / 9))
    }

    /// The media time of a presentation stamp of what begins at a media time, in an era.
    pub(crate) fn presented(
        &mut self,
        pts: Pts,
        of: Lead,
        begin: Duration,
        era: u32,
    ) -> Option<Duration> {
        let clock = match self.pcr {
            Some((pcr, time, _)) => (Pts::from_ticks(pcr.ticks() / 300), ticks_of(time)),
            None => self.first_stamp(pts, begin),
        };
        let (clock, time) = Some(clock).filter(|_| era == self.era && self.suspect.is_none())?;
        let ahead = pts.ticks_since(clock);
        let here = ticks(begin) - time;
        let known = self.lead.filter(|(by, _)| *by >= of);
        let (_, lead) = *self.lead.insert(known.unwrap_or((of, ahead - here)));
        let shown = time.saturating_add(ahead - lead).max(0);
        Some(Duration::from_nanos(shown.unsigned_abs().saturating_mul(100_000) / 9))
    }

    /// Without a clock stamps count from the first one: that which fits what begins at this media time.
    fn first_stamp(&mut self, pts: Pts, begin: Duration) -> (Pts, i64) {
        let fits = |(first, time): &(Pts, Duration)| {
            let off = ticks(*time) + pts.ticks_since(*first) - ticks(begin);
            off.abs() <= ticks(PROMPT)
        };
        let (first, time) = match self.stamped.filter(fits) {
            Some(first) => first,
            None => {
                self.lead = None;
                *self.stamped.insert((pts, begin))
            }
        };
        (first, ticks(time))
    }

    fn set_anchor(&mut self, time: u64, place: u64) {
        self.anchor = Some((time, place));
        let (start, from) = *self.first.get_or_insert((time, place));
        let packets = place.saturating_sub(from);
        self.mean = time.saturating_sub(start).checked_div(packets).unwrap_or(0);
    }

    fn paced(&self, packets: u64) -> u64 {
        self.mean.saturating_mul(packets).min(nanos(MAX_JUMP_TIME))
    }
}

/// The nanoseconds from a PCR to a later one.
fn passed(pcr: Pcr, earlier: Pcr) -> Option<u64> {
    let ticks = u64::try_from(pcr.ticks_since(earlier)).ok()?;
    Some(ticks * 1000 / 27)
}

/// What counts of the time that packets of others took.
fn in_lull(far_ns: u64) -> Duration {
    let far = Duration::from_nanos(far_ns);
    if far >= LULL_FULL {
        return far;
    }
    let slope = LULL_FULL.as_secs_f64() / (LULL_FULL - LULL_FROM).as_secs_f64();
    far.saturating_sub(LULL_FROM).mul_f64(slope)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// In ticks of 90 kHz.
fn ticks(span: Duration) -> i64 {
    ticks_of(nanos(span))
}

const fn ticks_of(nanos: u64) -> i64 {
    (nanos / 100_000 * 9 + nanos % 100_000 * 9 / 100_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = Pcr::HZ;
    const WRAP: u64 = (1 << 33) * 300;

    fn line(pcrs: &[(u64, u64)]) -> (Timeline, alloc::vec::Vec<Step>) {
        let mut line = Timeline::default();
        let steps = pcrs
            .iter()
            .map(|&(place, ticks)| line.pcr(Pcr::from_ticks(ticks), place, Duration::ZERO))
            .collect();
        (line, steps)
    }

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn time_passes_over_the_wrap() {
        let (line, steps) =
            line(&[(0, WRAP - SECOND), (100, WRAP - SECOND / 2), (200, SECOND / 2)]);
        assert_eq!(steps, [Step::First, Step::Passed(millis(500)), Step::Passed(millis(1000))]);
        assert_eq!(line.now(200), Some(millis(1500)));
    }

    #[test]
    fn time_does_not_go_back_in_a_stream_of_few_packets() {
        let (mut line, _) = line(&[(0, 0), (2, SECOND / 3)]);
        let before = line.now(4);
        assert!(before > line.now(3), "packets of others carry time");
        line.touch(4);
        assert_eq!(line.now(4), before);
    }

    #[test]
    fn a_gap_is_time_that_passed_and_a_jump_is_not() {
        let (line_, steps) =
            line(&[(0, 0), (100, SECOND), (110, 31 * SECOND), (120, 31 * SECOND + SECOND / 10)]);
        assert_eq!(steps[2..], [Step::Suspect, Step::Passed(millis(30_000))]);
        assert_eq!(line_.now(120), Some(millis(31_100)));

        for to in [500 * SECOND, WRAP - 5 * SECOND] {
            let (line, steps) = line(&[(0, 0), (100, SECOND), (110, to), (120, to + SECOND / 10)]);
            assert!(matches!(steps[3], Step::Jump(_)));
            assert_eq!(line.now(120), Some(millis(1200)));
        }
    }

    #[test]
    fn one_damaged_clock_moves_nothing() {
        for wrong in [20 * SECOND, WRAP - 20 * SECOND, 500 * SECOND] {
            let (line, steps) =
                line(&[(0, 0), (100, SECOND), (110, wrong), (200, 2 * SECOND), (300, 3 * SECOND)]);
            assert_eq!(
                steps[2..],
                [Step::Suspect, Step::Passed(millis(1000)), Step::Passed(millis(1000))]
            );
            assert_eq!(line.now(300), Some(millis(3000)));
        }
    }

    #[test]
    fn a_damaged_announcement_is_taken_back() {
        let (mut line, _) = line(&[(0, 0), (100, SECOND)]);
        line.announce();
        line.pcr(Pcr::from_ticks(700 * SECOND), 110, Duration::ZERO);
        let next = line.pcr(Pcr::from_ticks(2 * SECOND), 200, Duration::ZERO);
        assert_eq!((next, line.now(200)), (Step::First, Some(millis(2000))));
    }

    #[test]
    fn an_announced_clock_is_no_jump() {
        let (mut line, _) = line(&[(0, 0), (100, SECOND)]);
        line.announce();
        assert_eq!(line.pcr(Pcr::from_ticks(7), 101, Duration::ZERO), Step::First);
        assert_eq!(line.now(101), Some(millis(1010)));
    }

    #[test]
    fn time_goes_on_between_clocks_but_not_far() {
        let (mut line, _) = line(&[(0, 0), (100, SECOND / 25)]);
        assert_eq!(line.now(150), Some(millis(60)));
        (101..=5000).for_each(|place| line.touch(place));
        assert_eq!(line.now(5000), Some(millis(80)));
        // Nothing of the program for 20,000 packets at 2,500 a second.
        assert_eq!(line.now(25_000), Some(millis(40 + 8_000)));
    }

    #[test]
    fn a_lull_brings_time_on_without_a_step() {
        let (line, _) = line(&[(0, 0), (100, SECOND / 25)]);
        let times: alloc::vec::Vec<_> = (100..5000).filter_map(|it| line.now(it)).collect();
        let steps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        assert_eq!(steps.max(), Some(Duration::from_micros(500)));
    }

    #[test]
    fn stamps_carry_the_time_while_the_clock_is_away() {
        let (mut line, _) = line(&[(0, 0), (100, SECOND)]);
        (101..=300).for_each(|place| line.touch(place));
        line.carry(millis(900), millis(300), 120);
        assert_eq!(line.now(100), Some(millis(1000)));
        for (ahead, time) in [(1700, 2600), (9000, 2600), (2500, 3400), (3300, 4200), (5000, 5900)]
        {
            line.carry(millis(900), millis(ahead), 300);
            assert_eq!(line.now(300), Some(millis(time)));
        }
        let step = line.pcr(Pcr::from_ticks(6 * SECOND), 305, Duration::ZERO);
        assert_eq!(step, Step::Passed(millis(5000)));
        assert_eq!(line.now(305), Some(millis(6000)));
    }

    #[test]
    fn the_first_picture_is_shown_where_it_stands() {
        let (mut line, _) = line(&[(0, 0), (100, SECOND)]);
        let mut shown = |ms: u64, of| {
            let time = line.presented(Pts::from_ticks(ms * 90), of, millis(1000), 0);
            time.unwrap().as_millis()
        };
        assert_eq!(shown(1100, Lead::Sound), 1000);
        assert_eq!(shown(1200, Lead::Sound), 1100, "nothing better is known");
        assert_eq!(shown(1820, Lead::Picture), 1000);
        assert_eq!(shown(1700, Lead::KeyPicture), 1000);
        assert_eq!(shown(2700, Lead::KeyPicture), 2000);
        assert_eq!(shown(1820, Lead::Picture), 1120);
        assert_eq!(shown(1200, Lead::Sound), 500);
        assert_eq!(shown(100, Lead::Sound), 0);
    }

    #[test]
    fn a_clock_that_is_announced_with_every_tick_goes_on() {
        let mut line = Timeline::default();
        for tick in 0..50 {
            let pcr = Pcr::from_ticks(tick * SECOND / 25);
            line.announce_with(pcr);
            line.pcr(pcr, tick * 10, Duration::ZERO);
        }
        assert_eq!(line.now(490), Some(millis(1960)));
        let era = line.era();
        line.announce_with(Pcr::from_ticks(SECOND));
        assert_ne!(line.era(), era, "it steps back");
    }

    #[test]
    fn an_announced_step_is_another_clock_but_where_all_are_announced() {
        let end = |marked: [bool; 3], to: u64| {
            let mut line = Timeline::default();
            let last = [SECOND, SECOND + SECOND / 25, to];
            for ((pcr, place), marked) in last.into_iter().zip([0, 100, 200]).zip(marked) {
                let pcr = Pcr::from_ticks(pcr);
                if marked {
                    line.announce_with(pcr);
                }
                line.pcr(pcr, place, Duration::ZERO);
            }
            line.now(200).map(|time| time.as_millis())
        };
        assert_eq!(end([false, false, true], 3 * SECOND), Some(80));
        assert_eq!(end([true, true, true], 3 * SECOND), Some(2000));
        assert_eq!(end([false, false, false], 3 * SECOND), Some(2000));
        assert_eq!(end([false, false, true], SECOND + SECOND / 10), Some(100));
    }
}
