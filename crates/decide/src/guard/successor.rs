//! What viewers are brought to must be able to take them at this moment too: a proposal waits minutes for its approval.

use super::{Answer, Proposal};
use crate::{
    action::{ActionKind, Feed, Reason, Target},
    remedy::{self, destination, ladder, readiness},
};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let scene = proposal.scene;
    let onset = proposal.case.map(|it| it.incident.onset).unwrap_or_default();
    let refused = match (proposal.kind, &proposal.target, &proposal.to) {
        (ActionKind::SwitchSource, _, Some(Feed::Source(to))) => {
            (!readiness::is_ready(scene, to)).then_some(Reason::NoReadyBackup)
        }
        (ActionKind::RegionMove, Target::Region(from), Some(Feed::Region(to))) => {
            destination::lacking(scene, from, to).is_none().then_some(Reason::NoDestination)
        }
        (ActionKind::RegionMove, ..) => Some(Reason::NoDestination),
        (ActionKind::DrainServer, Target::Servers(servers), _) => {
            let for_a_fault = proposal.purpose.incident().is_some() && proposal.undoes.is_none();
            let plan = |server| match for_a_fault {
                true => ladder::relieve(scene, server, onset),
                false => ladder::drain(scene, server),
            };
            servers.iter().find_map(|it| plan(it).err())
        }
        (ActionKind::ReturnServer | ActionKind::UndrainServer, Target::Servers(servers), _) => {
            let well = servers.iter().all(|it| remedy::is_well(scene, it));
            (!well).then_some(Reason::ServerNotWell)
        }
        (ActionKind::RestartService, target, _) => {
            ladder::restart_service(scene, target, onset).err()
        }
        _ => None,
    };
    refused.map_or(Answer::Pass, Answer::Refuse)
}
