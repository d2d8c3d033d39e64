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
    scene::Scene,
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
    if is_too_much(scene, &serves, is_out) {
        return false;
    }
    let isolated = serves.iter().filter(|it| is_out(it)).count();
    let healthy = serves.len() - isolated;
    let guards = &facts.policy.guards;
    let most = guards.isolated_share.get() * servers.len() as f64;
    let least = guards.healthy_share.get() * servers.len() as f64;
    let is_small = servers.len() < guards.healthy_from;
    isolated as f64 <= most.max(1.0) && (is_small || healthy as f64 >= least)
}

/// Whether those who stay would be fuller than survivors may be, if viewers spread over them as they do now. Unknown where the
/// panel counts no sessions.
fn is_too_much(scene: &Scene<'_>, serves: &[&Server], is_out: impl Fn(&Server) -> bool) -> bool {
    let facts = scene.facts;
    let sessions = |out: bool| -> u64 {
        let those = serves.iter().filter(|it| is_out(it) == out);
        let counts = those.filter_map(|it| facts.panel_server(&it.id)).map(|it| it.sessions);
        counts.fold(0, u64::saturating_add)
    };
    let (moved, there) = (sessions(true), sessions(false));
    if moved == 0 || there == 0 {
        return false;
    }
    let growth = 1.0 + moved as f64 / there as f64;
    let limit = facts.policy.guards.survivor_saturation;
    let stay = serves.iter().filter(|it| !is_out(it));
    let mut filled = stay.filter_map(|it| facts.server_saturation(&it.id, scene.now));
    filled.any(|it| it.get() * growth > limit.get())
}
