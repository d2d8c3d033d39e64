//! A budget over everything: a bucket of `global_burst` tokens that fills at `global_per_minute`. It is counted anew from
//! the actions themselves, so a restart forgets nothing.

use core::time::Duration;

use tallylight_model::MonoTime;

use super::{Answer, Proposal};
use crate::action::{Action, Reason};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let guards = &proposal.scene.facts.policy.guards;
    if guards.global_per_minute == 0 || guards.global_burst == 0 {
        return Answer::Refuse(Reason::GlobalRate);
    }
    let every = Duration::from_secs(60) / guards.global_per_minute;
    let earliest = full_at(proposal.sent(), every) - every.saturating_mul(guards.global_burst - 1);
    if proposal.scene.now < earliest {
        Answer::Until(Reason::GlobalRate, earliest)
    } else {
        Answer::Pass
    }
}

/// When the bucket will be full again (the virtual scheduling of ITU-T I.371, annex A): each item fills it no earlier than one
/// interval after itself, and after the one before it.
fn full_at<'a>(sent: impl Iterator<Item = (MonoTime, &'a Action)>, every: Duration) -> MonoTime {
    let (mut full_at, mut items, mut batch) = (MonoTime::ZERO, 0_u32, None);
    for (sent, action) in sent {
        // A group's batch goes out at once and is one item.
        let own = Some((sent, &action.purpose));
        if action.group.is_some() && core::mem::replace(&mut batch, own) == own {
            continue;
        }
        items = items.saturating_add(1);
        full_at = full_at.max(sent + every.saturating_mul(items));
    }
    full_at
}
