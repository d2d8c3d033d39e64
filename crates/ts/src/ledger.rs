//! What every check came to: how often, for how long, when last, and where.
//!
//! A check's state is on while a condition of it holds, and for a second after each event, so that its duration counts error
//! seconds. Counts only grow; durations do as far as the clocks of several programs agree.

use alloc::{collections::BTreeMap, vec::Vec};
use core::time::Duration;

use tallylight_model::Pid;

use crate::{Indicator, Position, Setting};

/// How long the state is on after an event.
const EVENT_LASTS: Duration = Duration::from_secs(1);
/// PIDs and programs that are told apart over all checks; what is beyond is in the sum of its check alone.
const MAX_SUBJECTS: usize = 512;

/// One check, for reports.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckReport {
    /// Which.
    pub indicator: Indicator,
    /// What the profile makes of it.
    pub setting: Setting,
    /// Why it could not be judged, where it could not.
    pub unavailable: Option<Unavailable>,
    /// What it came to over the whole stream.
    pub tally: CheckTally,
    /// What it came to on each PID and in each program, 512 over all checks at most.
    pub subjects: Vec<CheckSubject>,
}

/// Where a check was raised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckSubject {
    /// The PID, where it is of one PID.
    pub pid: Option<Pid>,
    /// The program, where it is of one program.
    pub program: Option<u16>,
    /// What it came to.
    pub tally: CheckTally,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckTally {
    /// How often it was raised since the start: once for each event, and once for each condition however long.
    pub count: u64,
    /// For how long it was on: while a condition held, and a second after each event, overlaps once.
    pub held: Duration,
    /// Whether a condition of it holds.
    pub holds: bool,
    /// Where it was last raised.
    pub last: Option<Position>,
}

/// Why a check could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The rate is not constant, or was not for long enough to say so.
    NotConstantRate,
    /// The stamps are scrambled.
    Scrambled,
    /// There is no clock, or no component of a known coding with stamps.
    NoModel,
}

impl Unavailable {
    /// Returns the reason in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotConstantRate => "the rate is not constant",
            Self::Scrambled => "the stamps are scrambled",
            Self::NoModel => "no component has a clock, stamps and a known coding",
        }
    }
}

/// What a row is about.
pub(crate) type Subject = (Option<Pid>, Option<u16>);

#[derive(Clone, Copy, Default)]
struct Row {
    count: u64,
    held: Duration,
    /// Conditions that hold.
    open: u32,
    /// Since when one does.
    since: Duration,
    /// Up to when `held` has counted already.
    until: Duration,
    last: Option<Position>,
}

impl Row {
    fn event(&mut self, now: Duration, here: Position) {
        self.count += 1;
        self.last = Some(here);
        if self.open == 0 {
            self.cover(now, now + EVENT_LASTS);
        }
    }

    fn begin(&mut self, since: Duration, here: Position) {
        self.count += 1;
        self.last = Some(here);
        if self.open == 0 {
            self.since = since;
        }
        self.open += 1;
    }

    fn end(&mut self, now: Duration) {
        let Some(open) = self.open.checked_sub(1) else { return };
        self.open = open;
        if open == 0 {
            self.cover(self.since, now);
        }
    }

    fn cover(&mut self, from: Duration, to: Duration) {
        self.held += to.saturating_sub(from.max(self.until));
        self.until = self.until.max(to);
    }

    fn tally(&self, now: Duration) -> CheckTally {
        let mut row = *self;
        if row.open > 0 {
            row.cover(row.since, now.max(row.since));
        }
        CheckTally { count: row.count, held: row.held, holds: row.open > 0, last: row.last }
    }
}

/// What all checks came to.
pub(crate) struct Ledger {
    sums: [Row; Indicator::COUNT],
    subjects: BTreeMap<(Indicator, Subject), Row>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { sums: [Row::default(); Indicator::COUNT], subjects: BTreeMap::new() }
    }

    fn rows(&mut self, check: Indicator, subject: Subject) -> impl Iterator<Item = &mut Row> {
        let full = self.subjects.len() >= MAX_SUBJECTS;
        let row = match self.subjects.entry((check, subject)) {
            alloc::collections::btree_map::Entry::Vacant(_) if full => None,
            entry => Some(entry.or_default()),
        };
        [&mut self.sums[check as usize]].into_iter().chain(row)
    }

    /// Something happened once.
    pub(crate) fn event(
        &mut self,
        check: Indicator,
        subject: Subject,
        now: Duration,
        here: Position,
    ) {
        self.rows(check, subject).for_each(|row| row.event(now, here));
    }

    /// A condition began.
    pub(crate) fn begin(
        &mut self,
        check: Indicator,
        subject: Subject,
        since: Duration,
        here: Position,
    ) {
        self.rows(check, subject).for_each(|row| row.begin(since, here));
    }

    /// A condition ended.
    pub(crate) fn end(&mut self, check: Indicator, subject: Subject, now: Duration) {
        self.rows(check, subject).for_each(|row| row.end(now));
    }

    /// What a check came to, over the whole stream and by subject.
    pub(crate) fn tally(&self, check: Indicator, now: Duration) -> (CheckTally, Vec<CheckSubject>) {
        let all = (check, (None, None))..=(check, (Some(Pid::NULL), Some(u16::MAX)));
        let subjects = self.subjects.range(all).map(|((_, (pid, program)), row)| CheckSubject {
            pid: *pid,
            program: *program,
            tally: row.tally(now),
        });
        (self.sums[check as usize].tally(now), subjects.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn seconds_are_counted_once_however_they_overlap() {
        let here = Position::default();
        let mut row = Row::default();
        row.event(ms(0), here);
        row.event(ms(400), here);
        assert_eq!(row.tally(ms(500)).held, ms(1400));
        row.begin(ms(1000), here);
        row.event(ms(2000), here);
        row.begin(ms(2500), here);
        assert_eq!((row.tally(ms(3000)).held, row.tally(ms(3000)).holds), (ms(3000), true));
        row.end(ms(4000));
        row.end(ms(5000));
        row.end(ms(6000));
        assert_eq!((row.tally(ms(9000)).held, row.tally(ms(9000)).holds), (ms(5000), false));
        assert_eq!(row.tally(ms(9000)).count, 5);
    }

    #[test]
    fn subjects_are_bounded_and_the_sum_is_not() {
        let mut ledger = Ledger::new();
        let here = Position::default();
        for pid in 0..2000 {
            ledger.event(Indicator::Crc, (Some(Pid::from_bits(pid)), None), ms(0), here);
        }
        let (sum, subjects) = ledger.tally(Indicator::Crc, ms(0));
        assert_eq!((sum.count, subjects.len()), (2000, MAX_SUBJECTS));
        assert_eq!(ledger.tally(Indicator::Pat, ms(0)).1, []);
    }
}
