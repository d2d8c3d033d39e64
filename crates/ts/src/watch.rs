//! Watching for one thing that stays out.

use core::time::Duration;

use crate::{Position, Repetition};

/// Repetitions in time, one after another, after which a table counts as one that is repeated.
const REGULAR: u8 = 3;

/// A change of a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) holds: bool,
    pub(crate) since: Position,
}

/// Watches one thing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    /// When it was last seen, or the watch began, and where. Apart, since both are written with each PCR, and copying them as one
    /// would take several times as long.
    last: Option<Duration>,
    place: Position,
    seen: bool,
    regular: u8,
    holds: bool,
}

impl Watch {
    /// The thing is there.
    pub(crate) fn seen(
        &mut self,
        now: Duration,
        limit: Duration,
        here: Position,
    ) -> Option<Change> {
        let in_time = self.last.is_some_and(|last| now.saturating_sub(last) <= limit);
        self.regular = if self.seen && in_time { self.regular.saturating_add(1) } else { 0 };
        self.renew(now, here)
    }

    /// The same of what is no table, whose repetition nobody asks for.
    pub(crate) fn renew(&mut self, now: Duration, here: Position) -> Option<Change> {
        let held = core::mem::take(&mut self.holds);
        let over = held.then_some(self.place);
        self.await_from(now, here);
        self.seen = true;
        over.map(|since| Change { holds: false, since })
    }

    /// Asks whether the thing stays out longer than `limit`.
    pub(crate) fn overdue(
        &mut self,
        now: Duration,
        limit: Duration,
        here: Position,
    ) -> Option<Change> {
        let Some(last) = self.last else {
            self.await_from(now, here);
            return None;
        };
        if self.holds || now.saturating_sub(last) <= limit {
            return None;
        }
        self.holds = true;
        Some(Change { holds: true, since: self.place })
    }

    /// Asks the same of a table. Segmented streams (HLS) carry their tables once per segment; that is no fault of theirs, so a
    /// table counts as missing only if it never came, or had been repeated in time before, unless it is expected to be.
    pub(crate) fn table_overdue(
        &mut self,
        now: Duration,
        limit: Duration,
        repetition: Repetition,
        here: Position,
    ) -> Option<Change> {
        if self.is_judged(repetition) { self.overdue(now, limit, here) } else { None }
    }

    /// After which time asking would tell; `None` if asking does not before the thing is seen again.
    pub(crate) fn due(&self, limit: Duration) -> Option<Duration> {
        Some(self.last.filter(|_| !self.holds)?.saturating_add(limit))
    }

    /// The same of a table.
    pub(crate) fn table_due(&self, limit: Duration, repetition: Repetition) -> Option<Duration> {
        self.due(limit).filter(|_| self.is_judged(repetition))
    }

    /// Whether a table is expected to be repeated.
    const fn is_judged(&self, repetition: Repetition) -> bool {
        matches!(repetition, Repetition::Expected) || !self.seen || self.regular >= REGULAR
    }

    /// The thing is awaited from here on, whatever came before.
    pub(crate) fn await_from(&mut self, now: Duration, here: Position) {
        self.last = Some(now);
        self.place = here;
    }

    /// Whether the thing ever came.
    pub(crate) const fn came(&self) -> bool {
        self.seen
    }

    /// Whether the thing stays out.
    pub(crate) const fn holds(&self) -> bool {
        self.holds
    }

    /// Whether the watch has begun.
    pub(crate) const fn runs(&self) -> bool {
        self.last.is_some()
    }

    /// So much of the clock's time passed without packets: it does not count.
    pub(crate) fn excuse(&mut self, span: Duration) {
        if let Some(last) = &mut self.last {
            *last += span;
        }
    }

    /// Ends the condition if it holds: the thing is not expected any more.
    pub(crate) fn close(&mut self) -> Option<Change> {
        core::mem::take(&mut self.holds).then_some(Change { holds: false, since: self.place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(packet: u64) -> Position {
        Position { packet, ..Position::default() }
    }

    const LIMIT: Duration = Duration::from_millis(500);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_condition_holds_from_where_the_thing_was_last_seen() {
        let mut watch = Watch::default();
        assert_eq!(watch.seen(ms(0), LIMIT, at(1)), None);
        assert_eq!(watch.overdue(ms(500), LIMIT, at(2)), None);
        assert_eq!(
            watch.overdue(ms(501), LIMIT, at(3)),
            Some(Change { holds: true, since: at(1) })
        );
        assert_eq!(watch.overdue(ms(900), LIMIT, at(4)), None);
        assert_eq!(watch.seen(ms(1000), LIMIT, at(5)), Some(Change { holds: false, since: at(1) }));
        assert_eq!(watch.seen(ms(1100), LIMIT, at(6)), None);
    }

    #[test]
    fn what_never_came_is_missing_since_the_watch_began() {
        let mut watch = Watch::default();
        assert_eq!(watch.table_overdue(ms(0), LIMIT, Repetition::Learned, at(0)), None);
        let begun = watch.table_overdue(ms(600), LIMIT, Repetition::Learned, at(9));
        assert_eq!(begun, Some(Change { holds: true, since: at(0) }));
    }

    #[test]
    fn a_table_of_a_segment_is_not_missing_between_segments() {
        let mut watch = Watch::default();
        for segment in 0..4 {
            watch.seen(ms(6000 * segment), LIMIT, at(segment));
            let (end, learned) = (ms(6000 * segment + 5900), Repetition::Learned);
            assert_eq!(watch.table_overdue(end, LIMIT, learned, at(9)), None);
        }
        for repeat in 0..4 {
            watch.seen(ms(30_000 + 100 * repeat), LIMIT, at(repeat));
        }
        assert!(watch.table_overdue(ms(31_000), LIMIT, Repetition::Learned, at(9)).is_some());
        let mut strict = Watch::default();
        strict.seen(ms(0), LIMIT, at(0));
        assert!(strict.table_overdue(ms(501), LIMIT, Repetition::Expected, at(9)).is_some());
    }
}
