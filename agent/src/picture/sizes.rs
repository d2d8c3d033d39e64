//! What the sizes of pictures tell: an encoder spends next to nothing on a picture that repeats the one before.

use std::{collections::VecDeque, time::Duration};

use tallylight_model::Codec;

use super::PictureUnit;

/// So many tiny pictures in a run are suspicious.
pub(super) const SUSPICIOUS_RUN: usize = 8;
/// Tiny: under this part of the running median.
const TINY: usize = 8;
/// Sizes that the running median is taken over: 4 to 5 s.
const WINDOW: usize = 121;
/// Sizes needed before any is called tiny.
const LEARNT: usize = 16;
/// Sizes that tell what pictures are like at present: a second or half of one, and more than any pattern of picture types.
const RECENT: usize = 24;
/// Pictures remembered, for dating an onset: 20 s at 50 a second.
const HISTORY: usize = 1024;

/// So many pictures are at most shown after one that is coded after them (ISO/IEC 14496-10, A.3.1: 16).
const REORDERED: usize = 16;

/// The sizes of the latest pictures.
#[derive(Default)]
pub(super) struct Sizes {
    /// Sizes that were not tiny, latest last.
    window: VecDeque<usize>,
    /// The same, in order.
    sorted: Vec<usize>,
    /// In the order of presentation.
    history: VecDeque<Entry>,
    /// Tiny pictures up to now with no two larger ones in a row between.
    run: usize,
    larger: usize,
    /// The latest sizes, tiny ones included, where sizes tell anything.
    recent: VecDeque<usize>,
}

struct Entry {
    at: Duration,
    tiny: bool,
    /// As large as one that is wholly new.
    whole: bool,
}

impl Sizes {
    /// Takes the next picture. `None` for key pictures and while sizes are being learnt, else whether it is tiny.
    pub(super) fn push(&mut self, unit: &PictureUnit) -> Option<bool> {
        if unit.key {
            return None;
        }
        // MPEG-2 has no way to say at next to no cost that a whole picture repeats, and its encoders fill what that leaves.
        if matches!(unit.codec, Codec::H264 | Codec::Hevc) {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(unit.size);
        }
        let median = self.median();
        let tiny = median.is_some_and(|median| unit.size.saturating_mul(TINY) < median);
        if tiny {
            self.run += 1;
            self.larger = 0;
        } else {
            self.larger += 1;
            self.learn(unit.size);
        }
        if self.larger > 1 {
            self.run = 0;
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let whole = median.is_some_and(|median| unit.size >= median);
        // Pictures are coded out of order, and dated in the order in which they are shown.
        let later = |entry: &&Entry| entry.at > unit.media_time;
        let after = self.history.iter().rev().take(REORDERED).take_while(later).count();
        self.history.insert(self.history.len() - after, Entry { at: unit.media_time, tiny, whole });
        median.map(|_| tiny)
    }

    pub(super) fn is_suspicious(&self) -> bool {
        self.run >= SUSPICIOUS_RUN
    }

    /// Whether the latest pictures are larger than tiny.
    pub(super) fn moves(&self) -> bool {
        self.larger >= SUSPICIOUS_RUN
    }

    /// When the last picture of all is presented.
    pub(super) fn latest(&self) -> Option<Duration> {
        self.history.back().map(|entry| entry.at)
    }

    /// The median of the latest sizes; `None` while there are too few, or where they tell nothing.
    pub(super) fn regime(&self) -> Option<usize> {
        let mut sizes: Vec<usize> = self.recent.iter().copied().collect();
        let (_, median, _) =
            (sizes.len() == RECENT).then(|| sizes.select_nth_unstable(RECENT / 2))?;
        Some(*median)
    }

    /// Two decoded pictures at these times showed movement: if sizes say otherwise, they are learnt anew.
    pub(super) fn refute(&mut self, before: Duration, at: Duration) {
        if self.run_start(None, at).is_some_and(|start| start <= before) {
            self.window.clear();
            self.sorted.clear();
            self.run = 0;
        }
    }

    /// How many tiny pictures lead up to this time.
    pub(super) fn run_before(&self, at: Duration) -> usize {
        self.run_of(at, Duration::ZERO).count()
    }

    /// When the run of tiny pictures that leads up to this time began, if it did after the key picture `after`.
    pub(super) fn run_start(&self, after: Option<Duration>, at: Duration) -> Option<Duration> {
        self.run_of(at, after.unwrap_or(Duration::ZERO)).map(|entry| entry.at).min()
    }

    /// The tiny pictures that lead up to a time, latest first. A single larger one between is one by which the encoder refines
    /// a picture that stands already; two end the run.
    fn run_of(&self, at: Duration, after: Duration) -> impl Iterator<Item = &Entry> {
        let mut larger = 0;
        self.before(at)
            .take_while(move |entry| {
                larger = if entry.tiny { 0 } else { larger + 1 };
                entry.at > after && larger < 2
            })
            .filter(|entry| entry.tiny)
    }

    /// Two different pictures stand at two key pictures: when one took the other's place, if all between repeat one of them. It is
    /// the one large picture between, or else the second key picture itself. A smaller one refines what stands.
    pub(super) fn changed(&self, before: Duration, at: Duration) -> Option<Duration> {
        let between = || self.before(at).take_while(|entry| entry.at > before);
        let larger = between().filter(|entry| !entry.tiny).count();
        (larger <= 1 && between().count() > larger)
            .then(|| between().find(|entry| entry.whole).map_or(at, |entry| entry.at))
    }

    /// When the last suspicious run of tiny pictures between `since` and the picture at `seen` ended: the first picture after it. A
    /// shorter run says nothing: an encoder saves for a moment after a new scene.
    pub(super) fn run_end(&self, since: Duration, seen: Duration) -> Option<Duration> {
        let (mut end, mut after, mut run, mut larger) = (seen, seen, 0, 0);
        for entry in self.before(seen).take_while(|entry| entry.at >= since) {
            if entry.tiny {
                if run == 0 {
                    end = after;
                }
                (run, larger) = (run + 1, 0);
                if run >= SUSPICIOUS_RUN {
                    return Some(end);
                }
            } else {
                larger += 1;
                if larger > 1 {
                    run = 0;
                }
            }
            after = entry.at;
        }
        None
    }

    /// Whether all pictures after this time are tiny.
    pub(super) fn repeats_since(&self, at: Duration) -> bool {
        self.history.iter().rev().take_while(|entry| entry.at > at).all(|entry| entry.tiny)
    }

    /// Pictures presented before this time, latest first.
    fn before(&self, at: Duration) -> impl Iterator<Item = &Entry> {
        self.history.iter().rev().skip_while(move |entry| entry.at >= at)
    }

    fn median(&self) -> Option<usize> {
        (self.sorted.len() >= LEARNT).then(|| self.sorted[self.sorted.len() / 2])
    }

    fn learn(&mut self, size: usize) {
        if self.window.len() == WINDOW
            && let Some(oldest) = self.window.pop_front()
            && let Ok(place) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(place);
        }
        self.window.push_back(size);
        let place = self.sorted.partition_point(|&other| other < size);
        self.sorted.insert(place, size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: Duration = Duration::from_millis(40);

    /// Pushes pictures of these sizes, key pictures where the size is `None`, one every 40 ms.
    fn push(sizes: &mut Sizes, from: u32, of: impl IntoIterator<Item = Option<usize>>) -> u32 {
        let mut index = from;
        for size in of {
            let (key, size) = (size.is_none(), size.unwrap_or(100_000));
            let media_time = PICTURE * index;
            sizes.push(&PictureUnit { media_time, size, key, picture: None, codec: Codec::H264 });
            index += 1;
        }
        index
    }

    #[test]
    fn nothing_is_tiny_before_sizes_are_learnt() {
        let mut sizes = Sizes::default();
        push(&mut sizes, 0, [Some(10); 100]);
        assert!(!sizes.is_suspicious());
    }

    #[test]
    fn a_run_of_tiny_pictures_is_suspicious_and_dated() {
        let mut sizes = Sizes::default();
        let end = push(&mut sizes, 0, [Some(9000); 50]);
        let end = push(&mut sizes, end, [Some(1000); 7]);
        assert!(!sizes.is_suspicious());
        // Neither a key picture nor a single larger one ends the run.
        let end = push(&mut sizes, end, [None, Some(9000), Some(1000)]);
        assert!(sizes.is_suspicious());
        assert_eq!(sizes.run_before(PICTURE * end), 8);
        assert_eq!(sizes.run_start(None, PICTURE * end), Some(PICTURE * 50));
        assert_eq!(sizes.run_start(Some(PICTURE * 54), PICTURE * end), Some(PICTURE * 55));
        let end = push(&mut sizes, end, [Some(8000); 5]);
        assert!(!sizes.is_suspicious());
        assert_eq!(sizes.run_end(PICTURE * 50, PICTURE * end), Some(PICTURE * 60));
        // What is saved after a new scene is no such run.
        let end = push(&mut sizes, end, [Some(1000); 7]);
        let end = push(&mut sizes, end, [Some(9000); 5]);
        assert_eq!(sizes.run_end(PICTURE * 50, PICTURE * end), Some(PICTURE * 60));
    }

    #[test]
    fn a_run_is_dated_in_the_order_of_presentation() {
        let mut sizes = Sizes::default();
        push(&mut sizes, 0, [Some(9000); 50]);
        // The first tiny picture is coded before three that are shown before it.
        for (index, size) in [(53, 50), (51, 9000), (50, 9000), (52, 9000), (55, 50), (54, 50)] {
            let media_time = PICTURE * index;
            sizes.push(&PictureUnit {
                media_time,
                size,
                key: false,
                picture: None,
                codec: Codec::H264,
            });
        }
        assert_eq!(sizes.run_start(None, PICTURE * 56), Some(PICTURE * 53));
    }

    #[test]
    fn one_still_picture_after_another_is_dated_to_the_change() {
        let mut sizes = Sizes::default();
        let end = push(&mut sizes, 0, [Some(9000); 50]);
        let first = push(&mut sizes, end, [None, Some(50), Some(50), Some(9500), Some(50)]);
        assert_eq!(sizes.changed(PICTURE * end, PICTURE * first), Some(PICTURE * (end + 3)));
        let second = push(&mut sizes, first, [None, Some(50), Some(2000), Some(50)]);
        assert_eq!(sizes.changed(PICTURE * first, PICTURE * second), Some(PICTURE * second));
        let third = push(&mut sizes, second, [None, Some(50), Some(8000), Some(8000), Some(50)]);
        assert_eq!(sizes.changed(PICTURE * second, PICTURE * third), None);
    }

    #[test]
    fn a_scene_that_costs_little_is_learnt_once_it_is_seen_to_move() {
        let mut sizes = Sizes::default();
        let end = push(&mut sizes, 0, [Some(9000); 50]);
        let end = push(&mut sizes, end, [Some(500); 50]);
        sizes.refute(PICTURE * (end - 40), PICTURE * end);
        assert!(!sizes.is_suspicious());
        let end = push(&mut sizes, end, [Some(500); 50]);
        assert!(!sizes.is_suspicious());
        push(&mut sizes, end, [Some(50); 8]);
        assert!(sizes.is_suspicious());
    }

    #[test]
    fn memory_is_bounded() {
        let mut sizes = Sizes::default();
        push(&mut sizes, 0, (0..10_000).map(|n| Some(n * 7919 % 10_007)));
        assert_eq!(sizes.history.len(), HISTORY);
        assert_eq!((sizes.window.len(), sizes.sorted.len()), (WINDOW, WINDOW));
        assert!(sizes.sorted.is_sorted());
    }
}
