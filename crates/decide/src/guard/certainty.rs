//! Nothing acts on a guess: not on a cause that explains too little, nor on one of two that explain as much.

use super::{Answer, Proposal};
use crate::{
    action::Reason,
    cause::{RivalEnds, WEAK_BELOW},
};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let (Some(case), Some(fit)) = (proposal.case, &proposal.fit) else {
        return Answer::Refuse(Reason::StaleEvidence);
    };
    if fit.sure_coverage() < WEAK_BELOW {
        return Answer::Refuse(Reason::WeakCause);
    }
    match proposal.rival.as_ref().map(|it| it.ends) {
        None => Answer::Pass,
        Some(RivalEnds::Never) => Answer::Refuse(Reason::Ambiguous),
        Some(RivalEnds::Soon(late)) => {
            let until = case.first_arrival + proposal.scene.facts.policy.guards.segment_hold + late;
            if proposal.scene.now < until {
                Answer::Until(Reason::Ambiguous, until)
            } else {
                Answer::Pass
            }
        }
    }
}
