//! At most one action a minute on a target.

use super::{Answer, Proposal};
use crate::action::Reason;

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let interval = proposal.scene.facts.policy.guards.target_interval;
    let last = proposal.ledger.sent_on(&proposal.target).filter_map(|it| it.sent).max();
    match last.map(|at| at + interval) {
        Some(until) if proposal.scene.now < until => Answer::Until(Reason::TargetRate, until),
        _ => Answer::Pass,
    }
}
