//! Independent vantage points that agree: two, on different nodes and paths. One is enough
//!
//! - for a hard local fact: a fault that stands alone, on a source, seen where the source arrives, and not denied downstream;
//! - for a differential fault, because the clean backup over the same programme time is the second witness (the differential
//!   guard makes sure of it);
//! - where the lineup has just one vantage point and says `single_witness = "allowed"`.

use alloc::collections::BTreeSet;

use super::{Answer, Proposal};
use crate::{
    action::Reason,
    cause::Fit,
    incident::Subject,
    lineup::SingleWitness,
    scene::{Said, Scene, State, Word},
};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let scene = proposal.scene;
    let Some(fit) = &proposal.fit else { return Answer::Refuse(Reason::NoQuorum) };
    let needed = scene.facts.policy.guards.quorum;
    let agreeing = witnesses(scene, fit, needed);
    if agreeing.len() >= needed && is_declared_where_it_counts(scene, fit) {
        return Answer::Pass;
    }
    let single = match &fit.subject {
        Subject::Source(stream) => {
            scene.state(stream, fit.onset) == State::Bad
                && scene.is_worthy(stream)
                && fit.coverage() >= 1.0
        }
        _ => !agreeing.is_empty() && allows_single(scene, fit),
    };
    if single { Answer::Pass } else { Answer::Refuse(Reason::NoQuorum) }
}

/// The paths of agents with a vote that see any of the cause's streams bad. For a source, the condition downstream is
/// agreement too, declared or not. No more are looked for than are needed.
fn witnesses(scene: &Scene<'_>, fit: &Fit, needed: usize) -> BTreeSet<usize> {
    let is_source = matches!(fit.subject, Subject::Source(_));
    let agrees = |it: &Said<'_>| match it.word {
        Word::Bad => scene.shows_worthy(it.sight),
        Word::Suspect => is_source,
        Word::Good | Word::Unknown => false,
    };
    let mut paths = BTreeSet::new();
    for &stream in &fit.breaks {
        let since = fit.onset + scene.facts.lineup.delay(stream);
        let said = scene.said(stream, since).filter(|it| it.counts && agrees(it));
        paths.extend(said.map(|it| it.path));
        if paths.len() >= needed {
            break;
        }
    }
    paths
}

/// A source must itself be declared bad, whatever its deliveries say.
fn is_declared_where_it_counts(scene: &Scene<'_>, fit: &Fit) -> bool {
    match &fit.subject {
        Subject::Source(stream) => {
            scene.state(stream, fit.onset) == State::Bad && scene.is_worthy(stream)
        }
        _ => true,
    }
}

/// Whether the lineup has one vantage point for these streams and every channel of theirs allows it.
fn allows_single(scene: &Scene<'_>, fit: &Fit) -> bool {
    let mut paths = BTreeSet::new();
    let mut allowed = true;
    for &stream in &fit.breaks {
        let found = scene.facts.lineup.at(stream);
        allowed &= found.channel().single_witness == SingleWitness::Allowed;
        let agents = scene.facts.lineup.agents().filter(|it| it.region == *found.region());
        paths.extend(agents.map(|it| it.path.as_str()));
    }
    allowed && paths.len() == 1
}
