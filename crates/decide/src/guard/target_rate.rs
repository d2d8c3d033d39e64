//! At most one action a minute on a target. What was held back on its way to the panel moved nothing and is tried again sooner,
//! but not at once: whatever held it back would hold it back again.

use super::{Answer, Proposal};
use crate::action::{Action, ActionState, Reason};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let guards = &proposal.scene.facts.policy.guards;
    let until = |it: &Action| {
        let interval = match it.state {
            ActionState::Withdrawn => guards.unsent_interval,
            _ => guards.target_interval,
        };
        it.sent.map(|at| at + interval)
    };
    let ledger = proposal.ledger;
    let proposed = proposal.is_dry.then(|| ledger.proposed()).into_iter().flatten();
    let proposed = proposed.filter(|(_, it)| it.target.overlaps(&proposal.target));
    let proposed = proposed.map(|(at, _)| at + guards.target_interval);
    match proposal.before.iter().copied().filter_map(until).chain(proposed).max() {
        Some(until) if proposal.scene.now < until => Answer::Until(Reason::TargetRate, until),
        _ => Answer::Pass,
    }
}
