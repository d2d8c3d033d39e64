//! Who is switched to and fro is left alone for a while (route flap damping, RFC 2439): each switch of a channel's source adds
//! to a penalty, which decays by half in [`flap_half_life`](crate::Guards::flap_half_life). Above one limit switches are
//! barred, until it is below another.
//!
//! It bars going back and what rests on pictures that may be meant. Leaving a source with a hard fault for one that is ready
//! is never a flap too many: whatever comes after, viewers have a picture until then.

use alloc::vec::Vec;

use tallylight_model::MonoTime;

use super::{Answer, Proposal};
use crate::{
    action::{ActionKind, Feed, Reason, Target},
    policy::Guards,
};

/// The decay is counted in steps of a half-life's 64th part.
const STEPS: u32 = 64;
/// The 64th root of a half.
const STEP: f64 = 0.989_228_013_193_975_5;

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let Target::Channel(_) = &proposal.target else { return Answer::Pass };
    if proposal.kind != ActionKind::SwitchSource || leaves_hard_fault(proposal) {
        return Answer::Pass;
    }
    let switches = switches(proposal);
    match damped_until(&switches, &proposal.scene.facts.policy.guards) {
        Some(until) if proposal.scene.now < until => Answer::Until(Reason::Damped, until),
        _ => Answer::Pass,
    }
}

/// Whether a channel would be switched away from a source that is plainly broken.
pub(super) fn leaves_hard_fault(proposal: &Proposal<'_>) -> bool {
    match (proposal.kind, &proposal.from) {
        (ActionKind::SwitchSource, Some(Feed::Source(from))) => proposal.scene.has_hard_fault(from),
        _ => false,
    }
}

/// When the target's source was changed, by us or by others, in order.
fn switches(proposal: &Proposal<'_>) -> Vec<MonoTime> {
    let ours = proposal.before.iter().filter(|it| it.kind == ActionKind::SwitchSource);
    let mut all: Vec<MonoTime> = ours.filter_map(|it| it.done).collect();
    let channel = proposal.target.channel().into_iter();
    all.extend(channel.flat_map(|it| proposal.ledger.changes_by_others(it)));
    all.sort_unstable();
    all
}

/// Until when a channel that was switched at these moments is damped; `None` if it is not.
fn damped_until(switches: &[MonoTime], guards: &Guards) -> Option<MonoTime> {
    let step = guards.flap_half_life / STEPS;
    if step.is_zero() {
        return None;
    }
    let reuse = f64::from(guards.flap_reuse);
    let (mut penalty, mut last, mut damped) = (0.0, MonoTime::ZERO, false);
    for &at in switches {
        let mut waited = at.since(last);
        while waited >= step && penalty >= 1.0 {
            penalty *= STEP;
            waited -= step;
        }
        damped &= penalty >= reuse;
        penalty += f64::from(guards.flap_penalty);
        damped |= penalty >= f64::from(guards.flap_suppress);
        last = at;
    }
    let mut until = last;
    while damped && penalty >= reuse {
        penalty *= STEP;
        until = until + step;
    }
    damped.then_some(until)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn minutes(at: &[u64]) -> Option<u64> {
        let at: Vec<MonoTime> =
            at.iter().map(|it| MonoTime::ZERO + Duration::from_secs(60 * it)).collect();
        damped_until(&at, &Guards::default()).map(|it| it.since(MonoTime::ZERO).as_secs() / 60)
    }

    #[test]
    fn the_penalty_halves_in_its_half_life() {
        // By RFC 2439: p(t) = p * 0.5^(t / half-life), suppressed from 2000 until below 750.
        assert_eq!(minutes(&[100]), None);
        assert_eq!(minutes(&[100, 101]), None, "955 and 1000 are not 2000");
        // 912 + 955 + 1000 = 2866; log2(2866 / 750) = 1.934 half-lives.
        assert_eq!(minutes(&[100, 101, 102]), Some(131));
        // Each half-life apart they sum up to 2000 and no more.
        assert_eq!(minutes(&[15, 30, 45, 60, 75, 90]), None);
        assert_eq!(minutes(&[100, 101, 102, 1000]), None, "long ago");
    }

    #[test]
    fn no_setting_makes_it_wait_for_ever() {
        let guards = Guards {
            flap_half_life: Duration::from_nanos(1),
            flap_reuse: 1,
            flap_penalty: 1_000_000,
            ..Guards::default()
        };
        assert_eq!(damped_until(&[MonoTime::ZERO; 64], &guards), None);
    }
}
