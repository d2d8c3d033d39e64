//! A budget over everything: a bucket of `global_burst` tokens that fills at `global_per_minute`. It is counted anew from
//! the actions themselves, so a restart forgets nothing.

use alloc::collections::BTreeSet;
use core::time::Duration;

use tallylight_model::{ActionId, MonoTime};

use super::{Answer, Proposal};
use crate::action::{Action, Reason};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let guards = &proposal.scene.facts.policy.guards;
    if guards.global_per_minute == 0 || guards.global_burst == 0 {
        return Answer::Refuse(Reason::GlobalRate);
    }
    let every = Duration::from_secs(60) / guards.global_per_minute;
    let actions = proposal.ledger.actions().filter_map(|it| Some((it.sent?, it)));
    let item = |(sent, it): (MonoTime, &Action)| match it.group {
        // A group's batch goes out at once and is one item.
        Some(_) => (sent, ActionId(0)),
        None => (sent, it.id),
    };
    let items: BTreeSet<(MonoTime, ActionId)> = actions.map(item).collect();
    // When the bucket will be full again (the virtual scheduling of ITU-T I.371, annex A).
    let full_at = items.into_iter().fold(MonoTime::ZERO, |full, (at, _)| full.max(at) + every);
    let earliest = full_at - every.saturating_mul(guards.global_burst - 1);
    if proposal.scene.now < earliest {
        Answer::Until(Reason::GlobalRate, earliest)
    } else {
        Answer::Pass
    }
}
