//! While the kill switch is pulled nothing acts.

use super::{Answer, Proposal};
use crate::{action::Reason, input::KillSwitch};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    match proposal.scene.facts.kill_switch {
        KillSwitch::Released => Answer::Pass,
        KillSwitch::Pulled => Answer::Refuse(Reason::KillSwitch),
    }
}
