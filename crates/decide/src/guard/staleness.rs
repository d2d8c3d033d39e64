//! Evidence older than its limit starts nothing, and after an action on a target only media that was produced after it says
//! anything about that target: old segments still arriving are no reason to switch again.

use tallylight_model::{MonoTime, StreamId};

use super::{Answer, Proposal};
use crate::{action::Reason, scene::Scene};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let Some(fit) = &proposal.fit else { return Answer::Refuse(Reason::StaleEvidence) };
    let last = proposal.ledger.last_done(&proposal.target);
    let current = fit.explained.iter().filter(|stream| !is_old(proposal.scene, stream, last));
    match (fit.explained.is_empty(), current.count()) {
        (true, _) => Answer::Refuse(Reason::StaleEvidence),
        (false, 0) => Answer::Refuse(Reason::OldMedia),
        _ => Answer::Pass,
    }
}

/// Whether everything bad that was seen of a stream was produced before the target's last action took effect. That it is not
/// older than the limit is what makes a fault count at all: see [`Scene::faults`].
fn is_old(scene: &Scene<'_>, stream: &StreamId, last: Option<MonoTime>) -> bool {
    let Some(done) = last else { return false };
    let Some(found) = scene.facts.lineup.stream(stream) else { return true };
    let since = done + found.delay();
    let after = |sight: &crate::sight::Sight| {
        let slices = sight.recent().rev().take_while(|seen| seen.start >= since);
        slices.filter(|seen| !seen.conditions.is_empty()).count() > 0
            || sight.faults().any(|(_, it)| it.onset >= since)
    };
    !scene.facts.sights_of(stream).any(|(node, sight)| scene.votes(node) && after(sight))
}
