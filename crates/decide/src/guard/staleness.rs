//! Evidence older than its limit starts nothing, and after an action on a target only media that was produced after it says
//! anything about that target: old segments still arriving are no reason to switch again. Nor are they after the source
//! itself had the fault, or after anybody else changed the source: see [`echo`].

use tallylight_model::{MonoTime, StreamId};

use super::{Answer, Proposal};
use crate::{action::Reason, echo};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let Some(fit) = &proposal.fit else { return Answer::Refuse(Reason::StaleEvidence) };
    let lineup = &proposal.scene.facts.lineup;
    let current = fit.explained.iter().filter(|it| !is_old(proposal, lineup.id(**it)));
    match (fit.explained.is_empty(), current.count()) {
        (true, _) => Answer::Refuse(Reason::StaleEvidence),
        (false, 0) => Answer::Refuse(Reason::OldMedia),
        _ => Answer::Pass,
    }
}

/// Whether everything bad that was seen of a stream was produced before the target's last action took effect, or is an echo.
/// That it is not older than the limit is what makes a fault count at all: see [`Scene::faults`].
fn is_old(proposal: &Proposal<'_>, stream: &StreamId) -> bool {
    let scene = proposal.scene;
    let Some(found) = scene.facts.lineup.stream(stream) else { return true };
    let done = proposal.ledger.last_done(&proposal.target).map(|at| at + found.delay());
    let since = echo::until(scene, proposal.ledger, stream).max(done.unwrap_or_default());
    since > MonoTime::ZERO && !echo::is_bad_since(scene, stream, since)
}
