//! The mode: the strictest of every scope that an action touches. It is read anew right before the side effect.

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
    facts.policy.mode(kind, regions(facts, target))
}

/// The mode in force: `off` while the kill switch is pulled.
pub(crate) fn mode_of(facts: &Facts, kind: ActionKind, target: &Target) -> Mode {
    match facts.kill_switch {
        KillSwitch::Pulled => Mode::Off,
        KillSwitch::Released => ordinary_mode(facts, kind, target),
    }
}

/// The regions whose viewers an action touches; one may come twice.
pub(crate) fn regions<'a>(
    facts: &'a Facts,
    target: &'a Target,
) -> impl Iterator<Item = &'a RegionId> {
    let (servers, region) = match target {
        Target::Servers(servers) => (servers.as_slice(), None),
        Target::Region(region) => (&[][..], Some(region)),
        Target::Channel(_) | Target::Encoder { .. } => (&[][..], None),
    };
    let lineup = &facts.lineup;
    let of_channels = target.channels().iter().filter_map(|it| lineup.regions_of(it)).flatten();
    let of_servers = servers.iter().filter_map(|it| Some(&lineup.server(it)?.region));
    of_channels.chain(of_servers).chain(region)
}
