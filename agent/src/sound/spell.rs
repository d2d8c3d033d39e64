//! A condition that is asked of one run of sound after another.

use std::time::Duration;

/// What a run says of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It holds, from this moment of the run on.
    Yes(Duration),
    /// It does not, from this moment of the run on.
    No(Duration),
    /// There is too little sound to tell.
    Unknown,
}

/// A condition from its onset to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) since: Duration,
    pub(super) until: Duration,
    pub(super) lasts: bool,
}

/// Follows one condition. What interrupts it for less than its patience does not end it.
pub(super) struct Spell {
    patience: Duration,
    open: Option<Open>,
}

struct Open {
    since: Duration,
    until: Duration,
    broken: Option<Duration>,
}

impl Spell {
    pub(super) const fn new(patience: Duration) -> Self {
        Self { patience, open: None }
    }

    /// Takes the answer of a run that ends at a moment.
    pub(super) fn take(&mut self, answer: Answer, end: Duration) -> Option<Told> {
        let Some(open) = &mut self.open else {
            let Answer::Yes(since) = answer else { return None };
            self.open = Some(Open { since, until: end, broken: None });
            return Some(Told { since, until: end, lasts: true });
        };
        match answer {
            Answer::Yes(_) => {
                (open.until, open.broken) = (end, None);
                Some(Told { since: open.since, until: end, lasts: true })
            }
            Answer::No(from) => {
                let broken = *open.broken.get_or_insert(from);
                if end.saturating_sub(broken) < self.patience {
                    return None;
                }
                open.until = broken.max(open.since);
                self.end()
            }
            Answer::Unknown => None,
        }
    }

    /// Ends it where it was last known to hold.
    pub(super) fn end(&mut self) -> Option<Told> {
        let Open { since, until, .. } = self.open.take()?;
        Some(Told { since, until, lasts: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks once a second; `y`, `n` and `?` are the answers. Returns the ends.
    fn ends(answers: &str) -> Vec<(u64, u64)> {
        let mut spell = Spell::new(Duration::from_secs(2));
        let mut ends = Vec::new();
        for (at, answer) in answers.chars().enumerate() {
            let start = Duration::from_secs(at as u64);
            let answer = match answer {
                'y' => Answer::Yes(start),
                'n' => Answer::No(start),
                _ => Answer::Unknown,
            };
            let told = spell.take(answer, start + Duration::from_secs(1));
            ends.extend(told.filter(|it| !it.lasts));
        }
        ends.iter().map(|it| (it.since.as_secs(), it.until.as_secs())).collect()
    }

    #[test]
    fn a_short_interruption_ends_nothing_and_a_long_one_ends_it_where_it_began() {
        assert_eq!(ends("nnyyynyyyn"), []);
        assert_eq!(ends("nnyyynn"), [(2, 5)]);
        assert_eq!(ends("ny?????yynn"), [(1, 9)]);
        assert_eq!(ends("y?n?n"), [(0, 2)]);
        assert_eq!(ends("ynnynn"), [(0, 1), (3, 4)]);
    }
}
