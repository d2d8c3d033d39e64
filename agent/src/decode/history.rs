//! The latest pictures as they were coded, kept so that what changed from one decoded key picture to the next can be dated to
//! the picture.

use std::{collections::VecDeque, sync::Arc};

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

    /// This key picture was decoded.
    pub(super) fn mark(&mut self, key: &Arc<Unit>) {
        for unit in self.units.drain(..self.decoded.min(self.units.len())) {
            self.bytes -= unit.data.len();
        }
        self.decoded = self.place_of(key).unwrap_or(0);
    }

    fn place_of(&self, key: &Arc<Unit>) -> Option<usize> {
        self.units.iter().rposition(|unit| Arc::ptr_eq(unit, key))
    }

    pub(super) fn forget(&mut self) {
        self.clear();
        self.last = None;
    }

    /// The pictures from the last but one decoded key picture up to the last one, in coded order.
    pub(super) fn before(&self) -> Vec<Arc<Unit>> {
        self.units.range(0..self.end_of(self.decoded)).cloned().collect()
    }

    /// Those from the last decoded key picture up to this one.
    pub(super) fn since(&self, key: &Arc<Unit>) -> Vec<Arc<Unit>> {
        let last = self.place_of(key).unwrap_or(self.units.len());
        self.units.range(self.decoded..self.end_of(last)).cloned().collect()
    }

    /// Where the pictures end that are shown before a key picture. If some of them are coded after it, it is needed for them.
    fn end_of(&self, key: usize) -> usize {
        match self.leading(key) {
            0 => key,
            leading => key + 1 + leading,
        }
    }

    /// How many pictures are coded after a key picture and shown before it.
    fn leading(&self, key: usize) -> usize {
        let Some(unit) = self.units.get(key) else { return 0 };
        let after = self.units.range(key + 1..);
        after.take_while(|it| !it.key && it.media_time < unit.media_time).count()
    }

    /// The pictures of the last groups before a key picture without a gap, as many whole groups as are no more than `limit`;
    /// else the first of the last group.
    pub(super) fn last_groups(&self, limit: usize, key: &Arc<Unit>) -> Vec<Arc<Unit>> {
        let key_before = |end: usize| self.units.range(..end).rposition(|unit| unit.key);
        let Some(end) = self.place_of(key) else { return Vec::new() };
        let Some(mut first) = key_before(end) else { return Vec::new() };
        while let Some(before) = key_before(first) {
            // Of a group that was thinned the next key picture follows at once.
            if first - before == 1 || end - before > limit {
                break;
            }
            first = before;
        }
        self.units.range(first..end).take(limit).cloned().collect()
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

    fn unit(at_ms: u64, key: bool, bytes: usize) -> Arc<Unit> {
        let (pid, codec) = (Pid::from_bits(1), Codec::H264);
        let (effort, dating) = (Effort::Keep(Place::default()), Dating::Decoding);
        let (media_time, data, thumbnail) = (Duration::from_millis(at_ms), vec![0; bytes], false);
        Arc::new(Unit { pid, codec, key, media_time, effort, dating, thumbnail, data })
    }

    fn push(history: &mut History, group: u32, index: u32, bytes: usize) {
        history.push(&unit(0, index == 0, bytes), Place { group, index });
    }

    #[test]
    fn what_is_coded_after_a_key_picture_and_shown_before_it_belongs_to_what_came_before() {
        let mut history = History::default();
        // I B B P P P B B I B B P, of which the B after an I are shown before it.
        let coded = [120, 40, 80, 240, 160, 200, 360, 280, 320, 480, 400, 440, 600];
        let all: Vec<_> = coded.iter().map(|&at| unit(at, [120, 480].contains(&at), 1)).collect();
        for (at, unit) in all.iter().enumerate() {
            let (group, index) = if at < 9 { (0, at) } else { (1, at - 9) };
            history.push(unit, Place { group, index: index as u32 });
            if at == 0 {
                history.mark(unit);
            }
        }
        let shown = |units: Vec<Arc<Unit>>| units.last().map(|it| it.media_time.as_millis());
        assert_eq!((shown(history.before()), shown(history.since(&all[9]))), (Some(80), Some(440)));
        history.mark(&all[9]);
        assert_eq!(history.before().len(), 12);
        assert_eq!(history.last_groups(64, &all[9]).len(), 9);
    }

    fn last(history: &History) -> Arc<Unit> {
        Arc::clone(history.units.back().unwrap())
    }

    fn lengths(history: &History) -> (usize, usize) {
        (history.before().len(), history.since(&unit(0, true, 0)).len())
    }

    #[test]
    fn two_spans_are_kept_without_a_gap() {
        let mut history = History::default();
        push(&mut history, 0, 3, 1);
        assert_eq!(lengths(&history), (0, 0), "nothing before a key picture");
        for (group, decoded) in [(1, true), (2, false), (3, true), (4, true)] {
            push(&mut history, group, 0, 1);
            if decoded {
                history.mark(&last(&history));
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
        assert!(history.last_groups(64, &unit(0, true, 0)).is_empty());
        for group in 0..9 {
            (0..10).for_each(|index| push(&mut history, group, index, 1));
        }
        push(&mut history, 9, 0, 1);
        let length = |history: &History, limit| {
            let units = history.last_groups(limit, history.units.back().unwrap());
            assert!(units.first().unwrap().key);
            units.len()
        };
        assert_eq!((length(&history, 64), length(&history, 19), length(&history, 4)), (60, 10, 4));
        // Of six groups the first three keep their key pictures alone.
        let mut history = History::default();
        for group in 0..6 {
            (0..3).for_each(|index| push(&mut history, group, index, MAX_BYTES / 12));
        }
        push(&mut history, 6, 0, 1);
        assert_eq!((history.units.len(), length(&history, 64)), (13, 9));
    }

    #[test]
    fn of_old_groups_key_pictures_stay() {
        let mut history = History::default();
        for group in 0..12 {
            push(&mut history, group, 0, MAX_BYTES / 64);
            if group % 6 == 0 {
                history.mark(&last(&history));
            }
            (1..=7).for_each(|index| push(&mut history, group, index, MAX_BYTES / 64));
        }
        // Of 96 pictures 64 have room: five groups lost all but their key pictures, and one before the last decoded none.
        assert_eq!(history.units.iter().filter(|unit| unit.key).count(), 12);
        assert_eq!(history.decoded, 5 + 8);
        assert!(history.bytes <= MAX_BYTES);
        assert!(history.since(&last(&history)).first().unwrap().key);
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
