//! The latest pictures as they were coded, kept so that what changed from one decoded key picture to the next can be dated to
//! the picture.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use super::{Place, Unit};

/// Bytes kept: two spans of 2 s at 8 Mb/s.
const MAX_BYTES: usize = 4 << 20;
/// Pictures kept.
const MAX_UNITS: usize = 512;

/// The pictures since the key picture that was decoded before the last one, without a gap; where those are too many, of the
/// oldest groups the key pictures alone.
#[derive(Default)]
pub(super) struct History {
    units: VecDeque<Arc<Unit>>,
    bytes: usize,
    /// The index of the key picture that was decoded last, or of what is left after it.
    decoded: usize,
    last: Option<Place>,
}

/// A span between two decoded key pictures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// From the last but one decoded key picture to the last one.
    Before,
    /// From the last decoded key picture on.
    Since,
}

impl History {
    /// Takes the next picture. One that is missing, or too many of them, cost what came before.
    pub(super) fn push(&mut self, unit: &Arc<Unit>, place: Place) {
        let follows = self.last.replace(place).is_some_and(|last| last.is_followed_by(place));
        if !follows {
            self.clear();
        }
        if self.units.is_empty() && place.index > 0 {
            return;
        }
        self.bytes += unit.data.len();
        self.units.push_back(Arc::clone(unit));
        while self.bytes > MAX_BYTES || self.units.len() > MAX_UNITS {
            if !self.thin() {
                self.drop_group();
            }
        }
    }

    /// The picture pushed last was decoded.
    pub(super) fn mark(&mut self) {
        for unit in self.units.drain(..self.decoded.min(self.units.len())) {
            self.bytes -= unit.data.len();
        }
        self.decoded = self.units.len().saturating_sub(1);
    }

    pub(super) fn forget(&mut self) {
        self.clear();
        self.last = None;
    }

    /// The pictures of a span, in coded order from a key picture on.
    pub(super) fn span(&self, span: Span) -> Vec<Arc<Unit>> {
        let range: Range<usize> = match span {
            Span::Before => 0..self.decoded,
            Span::Since => self.decoded..self.units.len(),
        };
        self.units.range(range).cloned().collect()
    }

    /// The pictures of the last groups without a gap, as many whole groups as are no more than `limit`; else the first of the last
    /// group.
    pub(super) fn last_groups(&self, limit: usize) -> Vec<Arc<Unit>> {
        let key_before = |end: usize| self.units.range(..end).rposition(|unit| unit.key);
        let Some(mut first) = key_before(self.units.len()) else { return Vec::new() };
        while let Some(before) = key_before(first) {
            // Of a group that was thinned the next key picture follows at once.
            if first - before == 1 || self.units.len() - before > limit {
                break;
            }
            first = before;
        }
        self.units.range(first..).take(limit).cloned().collect()
    }

    fn clear(&mut self) {
        self.units.clear();
        (self.bytes, self.decoded) = (0, 0);
    }

    /// Drops all but the key picture of the oldest group that has more and is not the last. False if there is none.
    fn thin(&mut self) -> bool {
        let Some(first) = self.units.iter().position(|unit| !unit.key) else { return false };
        let length = self.units.iter().skip(first).take_while(|unit| !unit.key).count();
        if first + length == self.units.len() {
            return false;
        }
        for unit in self.units.drain(first..first + length) {
            self.bytes -= unit.data.len();
        }
        if self.decoded > first {
            self.decoded -= length;
        }
        true
    }

    /// Drops the oldest key picture and what follows it.
    fn drop_group(&mut self) {
        let group = 1 + self.units.iter().skip(1).take_while(|unit| !unit.key).count();
        for unit in self.units.drain(..group) {
            self.bytes -= unit.data.len();
        }
        self.decoded = self.decoded.saturating_sub(group);
    }
}

impl Place {
    /// Whether nothing lies between this place and another, as far as they tell.
    fn is_followed_by(self, next: Self) -> bool {
        let further = Self { index: self.index.saturating_add(1), ..self };
        next == further || next == Self { group: self.group.wrapping_add(1), index: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Dating, Effort};
    use std::time::Duration;
    use tallylight_model::{Codec, Pid};

    fn push(history: &mut History, group: u32, index: u32, bytes: usize) {
        let (pid, codec) = (Pid::from_bits(1), Codec::H264);
        let place = Place { group, index };
        let (effort, dating) = (Effort::Keep(place), Dating::Decoding);
        let (key, media_time) = (index == 0, Duration::ZERO);
        let data = vec![0; bytes];
        let thumbnail = false;
        let unit = Unit { pid, codec, key, media_time, effort, dating, thumbnail, data };
        history.push(&Arc::new(unit), place);
    }

    fn lengths(history: &History) -> (usize, usize) {
        (history.span(Span::Before).len(), history.span(Span::Since).len())
    }

    #[test]
    fn two_spans_are_kept_without_a_gap() {
        let mut history = History::default();
        push(&mut history, 0, 3, 1);
        assert_eq!(lengths(&history), (0, 0), "nothing before a key picture");
        for (group, decoded) in [(1, true), (2, false), (3, true), (4, true)] {
            push(&mut history, group, 0, 1);
            if decoded {
                history.mark();
            }
            (1..=9).for_each(|index| push(&mut history, group, index, 1));
        }
        assert_eq!(lengths(&history), (10, 10));
        push(&mut history, 4, 11, 1);
        assert_eq!(lengths(&history), (0, 0));
    }

    #[test]
    fn the_last_groups_are_given_whole_and_without_a_gap() {
        let mut history = History::default();
        assert!(history.last_groups(64).is_empty());
        for group in 0..9 {
            (0..10).for_each(|index| push(&mut history, group, index, 1));
        }
        let length = |history: &History, limit| {
            let units = history.last_groups(limit);
            assert!(units.first().unwrap().key);
            units.len()
        };
        assert_eq!((length(&history, 64), length(&history, 19), length(&history, 4)), (60, 10, 4));
        // Of six groups the first three keep their key pictures alone.
        let mut history = History::default();
        for group in 0..6 {
            (0..3).for_each(|index| push(&mut history, group, index, MAX_BYTES / 12));
        }
        assert_eq!((history.units.len(), length(&history, 64)), (12, 9));
    }

    #[test]
    fn of_old_groups_key_pictures_stay() {
        let mut history = History::default();
        for group in 0..12 {
            push(&mut history, group, 0, MAX_BYTES / 64);
            if group % 6 == 0 {
                history.mark();
            }
            (1..=7).for_each(|index| push(&mut history, group, index, MAX_BYTES / 64));
        }
        // Of 96 pictures 64 have room: five groups lost all but their key pictures, and one before the last decoded none.
        assert_eq!(history.units.iter().filter(|unit| unit.key).count(), 12);
        assert_eq!(history.decoded, 5 + 8);
        assert!(history.bytes <= MAX_BYTES);
        assert!(history.span(Span::Since).first().unwrap().key);
    }

    #[test]
    fn the_oldest_groups_go_first() {
        let mut history = History::default();
        for group in 0..9 {
            push(&mut history, group, 0, MAX_BYTES / 8);
            push(&mut history, group, 1, MAX_BYTES / 8);
        }
        assert_eq!(lengths(&history), (0, 8));
        assert!(history.bytes <= MAX_BYTES);
        (2..=2 * MAX_UNITS as u32).for_each(|index| push(&mut history, 8, index, 1));
        assert!(history.units.len() <= MAX_UNITS);
    }
}
