//! What failed or had to be repeated several times within the window is not tried again for a while: a person must look.
//!
//! It does not bar leaving a source with a hard fault for one that is ready. People are called for that too, and viewers have
//! a picture meanwhile.

use alloc::{collections::BTreeMap, vec::Vec};

use tallylight_model::MonoTime;

use super::{Answer, Proposal, damping};
use crate::action::{Action, ActionState, Reason};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    match open_until(proposal) {
        Some(until) if !damping::leaves_hard_fault(proposal) => {
            Answer::Until(Reason::CircuitOpen, until)
        }
        _ => Answer::Pass,
    }
}

/// Until when the target's circuit is open; `None` while it is closed.
pub(super) fn open_until(proposal: &Proposal<'_>) -> Option<MonoTime> {
    let guards = &proposal.scene.facts.policy.guards;
    let now = proposal.scene.now;
    let window = guards.circuit_window;
    let mut last = BTreeMap::new();
    let mut counted = Vec::new();
    // What was held back on the way to the panel never happened.
    let went_out = |it: &&Action| it.state != ActionState::Withdrawn;
    for action in proposal.before.iter().copied().filter(went_out) {
        let Some(sent) = action.sent else { continue };
        let before = last.insert((action.kind, &action.to, action.share), sent);
        if before.is_some_and(|it| sent.since(it) <= window) || has_failed(action) {
            counted.push(sent);
        }
    }
    counted.sort_unstable();
    let opened = counted
        .windows(guards.circuit_failures.max(1))
        .filter_map(|run| Some((*run.first()?, *run.last()?)))
        .filter(|(first, last)| last.since(*first) <= window)
        .map(|(_, last)| last)
        .max();
    opened.map(|at| at + guards.circuit_open).filter(|until| now < *until)
}

const fn has_failed(action: &Action) -> bool {
    matches!(action.state, ActionState::NotVerified | ActionState::Failed)
}
