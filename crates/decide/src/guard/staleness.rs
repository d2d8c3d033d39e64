//! Evidence older than its limit starts nothing, and after an action on a target only media that was produced after it says
//! anything about that target: old segments still arriving are no reason to switch again. Nor are they after the source
//! itself had the fault, or after anybody else changed the source: see [`echo`].

use tallylight_model::{MonoTime, StreamId};

use super::{Answer, Proposal};
use crate::{
    action::Reason,
    echo,
    lineup::{StreamNo, StreamRef},
};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let Some(fit) = &proposal.fit else { return Answer::Refuse(Reason::StaleEvidence) };
    let lineup = &proposal.scene.facts.lineup;
    let done = proposal.before.iter().filter_map(|it| it.done).max();
    let is_source = |it: &&StreamNo| matches!(lineup.at(**it), StreamRef::Source(..));
    let deliveries = fit.explained.iter().filter(|it| !is_source(it));
    // No echo lies over a source, so it is asked first.
    let mut all = fit.explained.iter().filter(is_source).chain(deliveries);
    if fit.explained.is_empty() {
        Answer::Refuse(Reason::StaleEvidence)
    } else if all.any(|&it| !is_old(proposal, done, lineup.id(it))) {
        Answer::Pass
    } else {
        Answer::Refuse(Reason::OldMedia)
    }
}

/// Whether everything bad that was seen of a stream was produced before the target's last action took effect, or is an echo.
/// That it is not older than the limit is what makes a fault count at all: see [`Scene::faults`].
fn is_old(proposal: &Proposal<'_>, done: Option<MonoTime>, stream: &StreamId) -> bool {
    let scene = proposal.scene;
    let Some(found) = scene.facts.lineup.stream(stream) else { return true };
    let done = done.map(|at| at + found.delay());
    let since = echo::until(scene, proposal.ledger, stream).max(done.unwrap_or_default());
    since > MonoTime::ZERO && !echo::is_bad_since(scene, stream, since)
}
