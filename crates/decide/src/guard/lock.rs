//! One action at a time on a target, from the command until it is verified or given up.

use super::{Answer, Proposal};
use crate::action::Reason;

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let held = proposal.ledger.in_flight().any(|it| it.target.overlaps(&proposal.target));
    if held { Answer::Refuse(Reason::TargetLocked) } else { Answer::Pass }
}
