//! Without the panel's word there is no `from` to switch from and no state to check against.

use super::{Answer, Proposal};
use crate::action::Reason;

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    match proposal.scene.facts.panel_at {
        Some(_) => Answer::Pass,
        None => Answer::Refuse(Reason::PanelDown),
    }
}
