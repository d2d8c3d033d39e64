//! Nothing acts on a guess: not on a cause that explains too little, nor on one of two that explain as much.

use core::time::Duration;

use super::{Answer, Proposal};
use crate::{
    action::Reason,
    cause::{RivalEnds, WEAK_BELOW},
};

/// A rival that only waits for slices of streams that are being watched is waited for this long, beyond their delay: most
/// segments are shorter.
const RIVAL_HOLD: Duration = Duration::from_secs(10);

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
            let until = case.first_arrival + RIVAL_HOLD + late;
            if proposal.scene.now < until {
                Answer::Until(Reason::Ambiguous, until)
            } else {
                Answer::Pass
            }
        }
    }
}
