//! Which streams are not decoded for a while, since a worker failed on them.

use std::{collections::BTreeMap, time::Duration};

use tallylight_model::MonoTime;

/// The first pause; each further one is twice as long ...
const FIRST: Duration = Duration::from_secs(1);
/// ... up to this.
const LONGEST: Duration = Duration::from_secs(300);
/// What was decoded for so long after its pause without a failure starts afresh.
const HEALTHY: Duration = Duration::from_secs(300);
/// Cases kept: more streams than an agent watches. Beyond, the one that is over first goes.
const MAX_CASES: usize = 4_096;

/// The cases of a pool of workers, by what failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine<K>(BTreeMap<K, Case>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    pause: Duration,
    until: MonoTime,
}

impl<K> Default for Quarantine<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Quarantine<K> {
    /// A worker failed on it. Returns for how long it is not decoded.
    pub fn failed(&mut self, now: MonoTime, what: &K) -> Duration {
        self.0.retain(|_, case| now < case.until + HEALTHY);
        let pause = self.0.get(what).map_or(FIRST, |case| (case.pause * 2).min(LONGEST));
        if self.0.len() >= MAX_CASES
            && let Some(first) = self.0.iter().min_by_key(|(_, case)| case.until)
        {
            let first = first.0.clone();
            self.0.remove(&first);
        }
        self.0.insert(what.clone(), Case { pause, until: now + pause });
        pause
    }

    /// Whether it is not decoded at the moment.
    #[must_use]
    pub fn holds(&self, now: MonoTime, what: &K) -> bool {
        self.0.get(what).is_some_and(|case| now < case.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut quarantine = Quarantine::default();
        let mut now = at(100);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            let pause = quarantine.failed(now, &"one");
            pauses.push(pause.as_secs());
            assert!(quarantine.holds(now, &"one") && !quarantine.holds(now, &"two"));
            now = now + pause;
            assert!(!quarantine.holds(now, &"one"));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn what_was_well_for_a_while_starts_afresh() {
        let mut quarantine = Quarantine::default();
        assert_eq!(quarantine.failed(at(0), &1).as_secs(), 1);
        assert_eq!(quarantine.failed(at(300), &1).as_secs(), 2);
        assert_eq!(quarantine.failed(at(602), &1).as_secs(), 1);
    }

    #[test]
    fn cases_are_bounded() {
        let mut quarantine = Quarantine::default();
        (0..MAX_CASES + 10).for_each(|n| {
            quarantine.failed(at(1), &n);
        });
        assert_eq!(quarantine.0.len(), MAX_CASES);
        assert!(quarantine.holds(at(1), &(MAX_CASES + 9)));
    }
}
