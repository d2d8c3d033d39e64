//! Makes a failing world smaller: what can be left out while the same still goes wrong is no part of the reason.

use super::{
    panel::Manners,
    scenario::Scenario,
    score::{Score, score},
};

/// The most worlds that are tried.
const TRIES: usize = 600;

/// Answers the smallest world found of which the same is to be said as of this one.
#[must_use]
pub fn shrink(scenario: &Scenario, is_so: impl Fn(&Score) -> bool) -> Scenario {
    let mut least = scenario.clone();
    let mut tries = 0;
    loop {
        let before = tries;
        let mut shrunk = false;
        for part in PARTS {
            let mut at = 0;
            while let Some(smaller) = part(&least, at).filter(|_| tries < TRIES) {
                tries += 1;
                if is_so(&score(&smaller)) {
                    least = smaller;
                    shrunk = true;
                } else {
                    at += 1;
                }
            }
        }
        if !shrunk || tries == before || tries >= TRIES {
            return least;
        }
    }
}

/// Leaves one thing out; `None` where there is none at this place.
type Part = fn(&Scenario, usize) -> Option<Scenario>;

/// What can be left out, in the order in which it is tried: what makes worlds large first.
const PARTS: &[Part] = &[
    |it, at| without(it, at, |it| &mut it.parts.channels),
    |it, at| without(it, at, |it| &mut it.events),
    |it, at| without(it, at, |it| &mut it.people),
    |it, at| without(it, at, |it| &mut it.crashes),
    |it, at| without(it, at, |it| &mut it.restarts),
    |it, at| without(it, at, |it| &mut it.steps),
    |it, at| without(it, at, |it| &mut it.windows),
    |it, at| without(it, at, |it| &mut it.parts.agents),
    circumstance,
];

fn without<T>(
    scenario: &Scenario,
    at: usize,
    list: fn(&mut Scenario) -> &mut Vec<T>,
) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let list = list(&mut smaller);
    (at < list.len()).then(|| drop(list.remove(at)))?;
    Some(smaller)
}

/// Whether a circumstance is unusual, and how it becomes usual.
type Usual = (bool, fn(&mut Scenario));

/// Puts one circumstance back to what is usual.
fn circumstance(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let usual = Scenario::quiet(scenario.seed, scenario.parts.clone());
    let unusual: [Usual; 7] = [
        (scenario.loss != usual.loss, |it| it.loss = 0),
        (scenario.lateness != usual.lateness, |it| it.lateness = 40),
        (scenario.manners != usual.manners, |it| it.manners = Manners::Obeys),
        (scenario.failover.is_some(), |it| it.failover = None),
        (scenario.answers.is_some(), |it| it.answers = None),
        (scenario.listed.is_some(), |it| it.listed = None),
        (scenario.restarts_services, |it| it.restarts_services = false),
    ];
    let change = unusual.into_iter().filter(|it| it.0).nth(at)?.1;
    let mut smaller = scenario.clone();
    change(&mut smaller);
    Some(smaller)
}
