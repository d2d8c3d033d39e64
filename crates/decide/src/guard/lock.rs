//! One action at a time on a target, from the command until it is verified or given up.
//!
//! Moving a region's viewers brings them from its servers to those of another one, so until it is known what came of it nothing
//! else is done to the servers of either, nor is it begun while anything is.

use super::{Answer, Proposal};
use crate::{
    action::{Feed, Reason, Target},
    facts::Facts,
};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let facts = proposal.scene.facts;
    let own = (&proposal.target, proposal.to.as_ref());
    let held = proposal.ledger.in_flight().any(|it| {
        let other = (&it.target, it.to.as_ref());
        it.target.overlaps(&proposal.target)
            || moves_viewers_of(facts, own, other.0)
            || moves_viewers_of(facts, other, own.0)
    });
    if held { Answer::Refuse(Reason::TargetLocked) } else { Answer::Pass }
}

/// Whether a move of a region takes viewers from these servers or brings them there.
fn moves_viewers_of(
    facts: &Facts,
    (moved, to): (&Target, Option<&Feed>),
    servers: &Target,
) -> bool {
    let (Target::Region(from), Target::Servers(servers)) = (moved, servers) else { return false };
    let to = to.and_then(Feed::region);
    let mut regions = servers.iter().filter_map(|it| Some(&facts.lineup.server(it)?.region));
    regions.any(|it| it == from || Some(it) == to)
}
