//! How many servers may be out of service at once, so that the remedy for a few does not take a region away.
//!
//! What counts is capacity: a server that serves nothing good has none to lose, so isolating it costs no budget, and one that
//! is isolated and dead uses up none.

use alloc::vec::Vec;

use tallylight_model::{RegionId, ServerId};

use super::{Answer, Proposal};
use crate::{
    action::{ActionKind, Reason, Target},
    lineup::Server,
    remedy::ladder,
};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let (ActionKind::DrainServer, Target::Servers(targets)) = (proposal.kind, &proposal.target)
    else {
        return Answer::Pass;
    };
    let lineup = &proposal.scene.facts.lineup;
    let mut regions: Vec<&RegionId> =
        targets.iter().filter_map(|id| Some(&lineup.server(id)?.region)).collect();
    regions.dedup();
    if regions.iter().all(|region| has_room(proposal, region, targets)) {
        Answer::Pass
    } else {
        Answer::Refuse(Reason::IsolationBudget)
    }
}

fn has_room(proposal: &Proposal<'_>, region: &RegionId, targets: &[ServerId]) -> bool {
    let (scene, facts) = (proposal.scene, proposal.scene.facts);
    let servers: Vec<&Server> = facts.lineup.servers().filter(|it| it.region == *region).collect();
    let is_in_flight = |it: &&&Server| {
        let target = Target::Servers(Vec::from([it.id.clone()]));
        let mut others = proposal.ledger.sent_on(&target).filter(|it| it.state.is_in_flight());
        others.any(|it| it.target != proposal.target)
    };
    if servers.iter().any(|it| is_in_flight(&it)) {
        return false;
    }
    let serves: Vec<&Server> =
        servers.iter().copied().filter(|it| !ladder::serves_nothing_good(scene, &it.id)).collect();
    if !serves.iter().any(|it| targets.contains(&it.id)) {
        return true;
    }
    let is_out = |it: &Server| facts.is_drained(&it.id) || targets.contains(&it.id);
    let isolated = serves.iter().filter(|it| is_out(it)).count();
    let healthy = serves.len() - isolated;
    let guards = &facts.policy.guards;
    let most = guards.isolated_share.get() * servers.len() as f64;
    let least = guards.healthy_share.get() * servers.len() as f64;
    let is_small = servers.len() < guards.healthy_from;
    isolated as f64 <= most.max(1.0) && (is_small || healthy as f64 >= least)
}
