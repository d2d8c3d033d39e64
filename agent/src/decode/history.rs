//! The latest pictures as they were coded, kept so that what changed from one decoded key picture to the next can be dated to
//! the picture.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use super::{Place, Unit};

/// Bytes kept: two spans of 2 s at 8 Mb/s.
const MAX_BYTES: usize = 4 << 20;
/// Pictures kept.
const MAX_UNITS: usize = 512;

/// The pictures since the key picture that was decoded before the last one, without a gap.
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
            self.drop_group();
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

    fn clear(&mut self) {
        self.units.clear();
        (self.bytes, self.decoded) = (0, 0);
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
