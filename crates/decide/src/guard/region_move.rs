//! At most one region is moved in its interval, whichever region it is.

use super::{Answer, Proposal};
use crate::action::{Action, ActionKind, ActionState, Reason};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    if proposal.kind != ActionKind::RegionMove {
        return Answer::Pass;
    }
    let interval = proposal.scene.facts.policy.guards.region_move_interval;
    let went_out =
        |it: &Action| it.kind == ActionKind::RegionMove && it.state != ActionState::Withdrawn;
    let last = proposal.sent().find(|(_, it)| went_out(it));
    match last.map(|(at, _)| at + interval) {
        Some(until) if proposal.scene.now < until => Answer::Until(Reason::RegionMoveRate, until),
        _ => Answer::Pass,
    }
}
