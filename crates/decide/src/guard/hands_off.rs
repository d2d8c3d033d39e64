//! Somebody else changed a channel's source: for a while the channel is theirs. A person is given longer than the panel's own
//! failover, and any person may say that it is over.

use super::{Answer, Proposal};
use crate::action::Reason;

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let guards = &proposal.scene.facts.policy.guards;
    let channels = proposal.target.channels().iter();
    let all = channels.filter_map(|it| proposal.ledger.hands_off(it, guards));
    match all.max_by_key(|it| it.until) {
        Some(hands_off) if proposal.scene.now < hands_off.until => {
            Answer::Until(Reason::HandsOff, hands_off.until)
        }
        _ => Answer::Pass,
    }
}
