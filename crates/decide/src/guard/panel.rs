//! Without the panel's word there is no `from` to switch from and no state to check against; and what it says must still be
//! what the action would change: a proposal waits minutes for its approval, and others are at the wheel too.

use super::{Answer, Proposal};
use crate::action::{ActionKind, Feed, Reason};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let facts = proposal.scene.facts;
    if facts.panel_at.is_none() {
        return Answer::Refuse(Reason::PanelDown);
    }
    match (proposal.kind, &proposal.from) {
        (ActionKind::SwitchSource, Some(Feed::Source(from))) if facts.is_active(from) => {
            Answer::Pass
        }
        (ActionKind::SwitchSource, _) => Answer::Refuse(Reason::ActiveSourceUnknown),
        _ => Answer::Pass,
    }
}
