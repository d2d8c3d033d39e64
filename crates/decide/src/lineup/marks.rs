//! A set of streams that is asked about more often than it is made. To ask costs the same however many are in it, where a tree
//! of the thousands that may be bad costs more than all that is decided by the answers.

use alloc::{collections::BTreeSet, vec::Vec};

use super::StreamNo;

/// A bit for each stream of the lineup in force, up to the last that is in the set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Vec<u64>);

impl Marks {
    pub(crate) fn contains(&self, stream: StreamNo) -> bool {
        let (word, bit) = place(stream);
        self.0.get(word).is_some_and(|it| it & bit != 0)
    }

    pub(crate) fn insert(&mut self, stream: StreamNo) {
        let (word, bit) = place(stream);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    pub(crate) fn remove(&mut self, stream: StreamNo) {
        let (word, bit) = place(stream);
        if let Some(it) = self.0.get_mut(word) {
            *it &= !bit;
        }
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = StreamNo> {
        let words = self.0.iter().enumerate().filter(|it| *it.1 != 0);
        words.flat_map(|(word, &bits)| {
            let is_set = move |bit: &usize| bits & 1 << *bit != 0;
            (0..WORD).filter(is_set).map(move |bit| StreamNo::of(word * WORD + bit))
        })
    }

    /// Those of these streams that are in it.
    pub(crate) fn among(&self, streams: &[StreamNo]) -> BTreeSet<StreamNo> {
        streams.iter().copied().filter(|&it| self.contains(it)).collect()
    }
}

impl FromIterator<StreamNo> for Marks {
    fn from_iter<T: IntoIterator<Item = StreamNo>>(streams: T) -> Self {
        let mut new = Self::default();
        streams.into_iter().for_each(|it| new.insert(it));
        new
    }
}

const WORD: usize = u64::BITS as usize;

const fn place(stream: StreamNo) -> (usize, u64) {
    (stream.index() / WORD, 1 << (stream.index() % WORD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_set() {
        let no = StreamNo::of;
        let mut marks: Marks = [700, 3, 64, 63, 3].map(no).into_iter().collect();
        let list = |it: &Marks| it.iter().map(StreamNo::index).collect::<Vec<_>>();
        assert_eq!(list(&marks), [3, 63, 64, 700]);
        for (stream, is_in) in [(3, true), (4, false), (64, true), (700, true), (100_000, false)] {
            assert_eq!(marks.contains(no(stream)), is_in, "{stream}");
        }
        let some: Vec<StreamNo> = [2, 63, 700, 9000].map(no).into();
        assert!(marks.among(&some).into_iter().eq([63, 700].map(no)));
        marks.remove(no(63));
        marks.remove(no(9000));
        assert_eq!(list(&marks), [3, 64, 700]);
        assert_eq!(list(&Marks::default()), []);
    }
}
