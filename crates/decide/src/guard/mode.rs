//! The mode: the strictest of every scope that an action touches. It is read anew right before the side effect.

use alloc::collections::BTreeSet;

use tallylight_model::RegionId;

use super::{Answer, Proposal};
use crate::{
    action::{ActionKind, Reason, Target},
    facts::Facts,
    input::KillSwitch,
    policy::Mode,
};

pub(super) fn check_off(proposal: &Proposal<'_>) -> Answer {
    match ordinary_mode(proposal.scene.facts, proposal.kind, &proposal.target) {
        Mode::Off => Answer::Refuse(Reason::ModeOff),
        _ => Answer::Pass,
    }
}

/// The mode by configuration and persons, without the kill switch.
pub(crate) fn ordinary_mode(facts: &Facts, kind: ActionKind, target: &Target) -> Mode {
    facts.policy.mode(kind, &regions(facts, target))
}

/// The mode in force: `off` while the kill switch is pulled.
pub(crate) fn mode_of(facts: &Facts, kind: ActionKind, target: &Target) -> Mode {
    match facts.kill_switch {
        KillSwitch::Pulled => Mode::Off,
        KillSwitch::Released => ordinary_mode(facts, kind, target),
    }
}

/// The regions whose viewers an action touches.
pub(crate) fn regions(facts: &Facts, target: &Target) -> BTreeSet<RegionId> {
    match target {
        Target::Channel(_) | Target::Encoder { .. } => {
            target.channels().iter().flat_map(|it| facts.regions_of(it)).collect()
        }
        Target::Servers(servers) => {
            servers.iter().filter_map(|it| Some(facts.lineup.server(it)?.region.clone())).collect()
        }
        Target::Region(region) => BTreeSet::from([region.clone()]),
    }
}
