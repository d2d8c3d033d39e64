//! What failed or had to be repeated several times within the window is not tried again for a while: a person must look.

use alloc::{collections::BTreeSet, vec::Vec};

use super::{Answer, Proposal};
use crate::action::{Action, ActionState, Reason};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let guards = &proposal.scene.facts.policy.guards;
    let now = proposal.scene.now;
    let mut seen = BTreeSet::new();
    let mut counted = Vec::new();
    for action in proposal.ledger.sent_on(&proposal.target) {
        let Some(sent) = action.sent else { continue };
        let repeated = !seen.insert((action.kind, &action.to));
        if repeated || has_failed(action) {
            counted.push(sent);
        }
    }
    counted.sort_unstable();
    let window = guards.circuit_window;
    let opened = counted
        .windows(guards.circuit_failures.max(1))
        .filter_map(|run| Some((*run.first()?, *run.last()?)))
        .filter(|(first, last)| last.since(*first) <= window)
        .map(|(_, last)| last)
        .max();
    match opened.map(|at| at + guards.circuit_open) {
        Some(until) if now < until => Answer::Until(Reason::CircuitOpen, until),
        _ => Answer::Pass,
    }
}

const fn has_failed(action: &Action) -> bool {
    matches!(action.state, ActionState::NotVerified | ActionState::Failed)
}
