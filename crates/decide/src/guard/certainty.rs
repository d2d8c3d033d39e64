//! Nothing acts on a guess: not on a cause that explains too little, nor on one of two that explain as much.

use core::time::Duration;

use super::{Answer, Proposal};
use crate::{
    action::Reason,
    cause::{RivalEnds, WEAK_BELOW},
};

/// A rival that only waits for slices of streams that are being watched is waited for this long: most segments are shorter.
const RIVAL_HOLD: Duration = Duration::from_secs(10);

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let Some(fit) = &proposal.fit else { return Answer::Refuse(Reason::StaleEvidence) };
    if fit.coverage() < WEAK_BELOW {
        return Answer::Refuse(Reason::WeakCause);
    }
    let until = proposal.case.first_arrival + RIVAL_HOLD;
    match &proposal.rival {
        None => Answer::Pass,
        Some(rival) if rival.ends == RivalEnds::Never => Answer::Refuse(Reason::Ambiguous),
        Some(_) if proposal.scene.now < until => Answer::Until(Reason::Ambiguous, until),
        Some(_) => Answer::Pass,
    }
}
