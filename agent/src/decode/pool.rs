//! Which streams are decoded in full at a time.
//!
//! The pictures between key pictures cost eight times what those do. What makes one stream worth it often makes many so at once: a
//! satellite that goes black, an agent that starts. So a few have a place, and what the others would have had decoded is counted:
//! their faults are told as soon, and dated less exactly.

use std::{collections::BTreeMap, time::Duration};

use tallylight_model::MonoTime;

use crate::assignment::Priority;

/// A place stays with what was decoded for so long: about the media that it was.
const STAYS: Duration = Duration::from_secs(4);
/// One in so many streams has a place ...
const SHARE: usize = 10;
/// ... or so many streams.
const LEAST: usize = 2;

/// The places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool<K> {
    places: usize,
    taken: BTreeMap<K, Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    priority: Priority,
    /// Until when it stays taken; `None` while it is not known whether it is needed.
    until: Option<MonoTime>,
}

impl<K> Default for Pool<K> {
    fn default() -> Self {
        Self { places: LEAST, taken: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Pool<K> {
    /// Has places for so many streams.
    pub fn watch(&mut self, streams: usize) {
        self.places = (streams / SHARE).max(LEAST);
    }

    /// Asks for a place: whoever has one keeps it, else first come, first served, but that a higher priority takes the place of a
    /// lower one that is done. False if there is none.
    pub fn take(&mut self, now: MonoTime, who: &K, priority: Priority) -> bool {
        self.taken.retain(|_, place| place.until.is_none_or(|until| now < until));
        if self.taken.contains_key(who) {
            return true;
        }
        if self.taken.len() >= self.places {
            let done = self.taken.iter().filter(|(_, place)| place.until.is_some());
            let least = done.min_by_key(|(_, place)| (place.priority, place.until));
            let Some((other, _)) = least.filter(|(_, place)| place.priority < priority) else {
                return false;
            };
            let other = other.clone();
            self.taken.remove(&other);
        }
        self.taken.insert(who.clone(), Place { priority, until: None });
        true
    }

    /// It was needed: it stays taken for a while.
    pub fn needed(&mut self, now: MonoTime, who: &K) {
        if let Some(place) = self.taken.get_mut(who) {
            place.until = Some(now + STAYS);
        }
    }

    /// It is free again if it was not needed.
    pub fn leave(&mut self, who: &K) {
        if self.taken.get(who).is_some_and(|place| place.until.is_none()) {
            self.taken.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> MonoTime {
        MonoTime::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_tenth_of_the_streams_has_a_place_and_two_at_least() {
        for (streams, places) in [(0, 2), (1, 2), (29, 2), (30, 3), (400, 40)] {
            let mut pool = Pool::default();
            pool.watch(streams);
            let granted = (0..400).filter(|who| pool.take(at(0), who, Priority::Normal)).count();
            assert_eq!(granted, places, "{streams}");
        }
    }

    #[test]
    fn what_was_not_needed_is_free_at_once_and_what_was_after_a_while() {
        let mut pool = Pool::default();
        assert!(pool.take(at(0), &1, Priority::Normal) && pool.take(at(0), &2, Priority::Normal));
        assert!(pool.take(at(10), &1, Priority::Normal), "it has one");
        assert!(!pool.take(at(10), &3, Priority::Normal));
        pool.leave(&1);
        assert!(pool.take(at(20), &3, Priority::Normal));
        pool.needed(at(30), &2);
        pool.leave(&2);
        assert!(!pool.take(at(4_029), &4, Priority::Normal));
        assert!(pool.take(at(4_030), &4, Priority::Normal));
        // Who needs it again keeps it.
        pool.needed(at(5_000), &4);
        pool.needed(at(8_000), &4);
        assert!(!pool.take(at(9_000), &2, Priority::Normal));
    }

    #[test]
    fn a_higher_priority_takes_the_place_of_the_lowest_that_is_done() {
        let mut pool = Pool::default();
        assert!(pool.take(at(0), &1, Priority::Low) && pool.take(at(0), &2, Priority::Normal));
        assert!(!pool.take(at(0), &3, Priority::High), "both are being decoded");
        pool.needed(at(0), &1);
        pool.needed(at(0), &2);
        assert!(!pool.take(at(1), &4, Priority::Low));
        assert!(pool.take(at(1), &3, Priority::High));
        assert!(!pool.take(at(1), &1, Priority::Low) && pool.take(at(1), &2, Priority::Normal));
    }
}
