//! What the sizes of pictures tell: an encoder spends next to nothing on a picture that repeats the one before.

use std::{collections::VecDeque, time::Duration};

use super::PictureUnit;

/// So many tiny pictures in a row are suspicious.
pub(super) const SUSPICIOUS_RUN: usize = 8;
/// Tiny: under this part of the running median.
const TINY: usize = 8;
/// Sizes that the running median is taken over: 4 to 5 s.
const WINDOW: usize = 121;
/// Sizes needed before any is called tiny.
const LEARNT: usize = 16;
/// Pictures remembered, for dating an onset: 20 s at 50 a second.
const HISTORY: usize = 1024;

/// The sizes of the latest pictures.
#[derive(Default)]
pub(super) struct Sizes {
    /// Sizes that were not tiny, latest last.
    window: VecDeque<usize>,
    /// The same, in order.
    sorted: Vec<usize>,
    history: VecDeque<Entry>,
    /// Tiny pictures in a row up to now.
    run: usize,
}

struct Entry {
    at: Duration,
    tiny: bool,
}

impl Sizes {
    /// Takes the next picture. `None` for key pictures and while sizes are being learnt, else whether it is tiny.
    pub(super) fn push(&mut self, unit: &PictureUnit) -> Option<bool> {
        if unit.key {
            return None;
        }
        let median = self.median();
        let tiny = median.is_some_and(|median| unit.size.saturating_mul(TINY) < median);
        if tiny {
            self.run += 1;
        } else {
            self.run = 0;
            self.learn(unit.size);
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(Entry { at: unit.media_time, tiny });
        median.map(|_| tiny)
    }

    pub(super) fn is_suspicious(&self) -> bool {
        self.run >= SUSPICIOUS_RUN
    }

    /// A decoded picture at this time showed movement: if sizes say otherwise, they are learnt anew.
    pub(super) fn refute(&mut self, at: Duration) {
        if self.run_before(at) >= SUSPICIOUS_RUN {
            self.window.clear();
            self.sorted.clear();
            self.run = 0;
        }
    }

    /// How many tiny pictures lead up to this time without another between.
    pub(super) fn run_before(&self, at: Duration) -> usize {
        self.before(at).take_while(|entry| entry.tiny).count()
    }

    /// When the run of tiny pictures that leads up to this time began, if it did after the key picture `after`.
    pub(super) fn run_start(&self, after: Option<Duration>, at: Duration) -> Option<Duration> {
        let floor = after.unwrap_or(Duration::ZERO);
        self.before(at)
            .take_while(|entry| entry.tiny && entry.at > floor)
            .map(|entry| entry.at)
            .min()
    }

    /// When the last run of tiny pictures between `since` and the picture at `seen` ended: the first picture after it.
    pub(super) fn run_end(&self, since: Duration, seen: Duration) -> Option<Duration> {
        let mut end = None;
        for entry in self.before(seen).take_while(|entry| entry.at >= since) {
            if entry.tiny {
                return Some(end.unwrap_or(seen));
            }
            end = Some(entry.at);
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
