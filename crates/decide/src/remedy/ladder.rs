//! What is tried for each cause, in order, and what exactly that would be.

use alloc::{collections::BTreeSet, vec};

use tallylight_model::{ChannelId, MonoTime, RegionId, ServerId, StreamId};

use super::{destination, readiness};
use crate::{
    action::{ActionKind, Feed, Reason, Target},
    incident::{Cause, Subject},
    ledger::Case,
    lineup::{Channel, Delivery, Server, StreamNo, StreamRef},
    scene::{Scene, State},
    view::NotReady,
};

/// The rungs of a cause's ladder; after the last one come people.
pub(crate) const fn rungs(cause: Cause) -> &'static [ActionKind] {
    match cause {
        Cause::Source => &[ActionKind::SwitchSource, ActionKind::RestartStream],
        Cause::Processing => &[ActionKind::RestartStream],
        Cause::Server => &[ActionKind::DrainServer],
        Cause::Region => &[ActionKind::RegionMove],
        // A provider's group switch has a canary and batches of its own; until it is built people do it.
        Cause::Provider | Cause::Programme | Cause::Probe => &[],
    }
}

/// One action, before anybody asked whether it may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) kind: ActionKind,
    pub(crate) target: Target,
    pub(crate) from: Option<Feed>,
    pub(crate) to: Option<Feed>,
}

impl Plan {
    const fn on(kind: ActionKind, target: Target) -> Self {
        Self { kind, target, from: None, to: None }
    }
}

/// Says what a rung would do for a case, or why it can do nothing.
pub(crate) fn plan(
    scene: &Scene<'_>,
    case: &Case,
    kind: ActionKind,
    last_done: impl Fn(&Target) -> Option<MonoTime>,
) -> Result<Plan, Reason> {
    match (&case.incident.subject, kind) {
        (Subject::Source(stream), ActionKind::SwitchSource) => switch(scene, stream),
        (Subject::Source(stream), ActionKind::RestartStream) => {
            let channel = channel_of(scene, stream).ok_or(Reason::ActiveSourceUnknown)?;
            let target = Target::Channel(channel.id.clone());
            restart_after_switch(scene, channel, last_done(&target).unwrap_or_default())
        }
        (Subject::Processing(channel), ActionKind::RestartStream) => Ok(restart(channel)),
        (Subject::Server(server), ActionKind::DrainServer) => drain(scene, server),
        (Subject::Region(region), ActionKind::RegionMove) => region_move(scene, region),
        _ => Err(Reason::LadderExhausted),
    }
}

fn channel_of<'a>(scene: &Scene<'a>, stream: &StreamId) -> Option<&'a Channel> {
    scene.facts.lineup.stream(stream).map(StreamRef::channel)
}

fn switch(scene: &Scene<'_>, from: &StreamId) -> Result<Plan, Reason> {
    let channel = channel_of(scene, from).ok_or(Reason::ActiveSourceUnknown)?;
    let active = scene.facts.active(&channel.id).and_then(|it| it.stream);
    if active.as_ref() != Some(from) {
        return Err(Reason::ActiveSourceUnknown);
    }
    let Some(to) = readiness::choose(scene, channel, from) else {
        let may_be_soon = channel.sources.iter().filter(|it| it.stream != *from).any(|it| {
            readiness::not_ready(scene, channel, it).iter().all(|it| *it == NotReady::TooNew)
        });
        let reason = if may_be_soon { Reason::BackupUnproven } else { Reason::NoReadyBackup };
        return Err(reason);
    };
    Ok(Plan {
        kind: ActionKind::SwitchSource,
        target: Target::Channel(channel.id.clone()),
        from: Some(Feed::Source(from.clone())),
        to: Some(Feed::Source(to.stream.clone())),
    })
}

/// A switch that did not help leaves the processing as what is at fault, if the source that the channel is on is good.
fn restart_after_switch(
    scene: &Scene<'_>,
    channel: &Channel,
    since: MonoTime,
) -> Result<Plan, Reason> {
    let on = channel.sources.iter().find(|it| scene.facts.is_active(&it.stream));
    let on = on.ok_or(Reason::ActiveSourceUnknown)?;
    let is_bad = |it: &Delivery| scene.state(&it.stream, since) == State::Bad;
    match scene.state(&on.stream, since) {
        State::Bad | State::Suspect => Err(Reason::LadderExhausted),
        State::Good if channel.deliveries.iter().any(is_bad) => Ok(restart(&channel.id)),
        State::Good | State::Disputed | State::Unknown => Err(Reason::OldMedia),
    }
}

fn restart(channel: &ChannelId) -> Plan {
    Plan::on(ActionKind::RestartStream, Target::Channel(channel.clone()))
}

fn region_move(scene: &Scene<'_>, region: &RegionId) -> Result<Plan, Reason> {
    if scene.facts.served_by(region).is_some_and(|it| it != region) {
        return Err(Reason::AlreadyDone);
    }
    let to = destination::choose(scene, region).ok_or(Reason::NoDestination)?;
    Ok(Plan {
        kind: ActionKind::RegionMove,
        target: Target::Region(region.clone()),
        from: Some(Feed::Region(region.clone())),
        to: Some(Feed::Region(to.clone())),
    })
}

/// A server that was drained gets viewers again.
pub(crate) fn undrain(server: &ServerId) -> Plan {
    Plan::on(ActionKind::UndrainServer, Target::Servers(vec![server.clone()]))
}

/// Whether a server that was drained could serve viewers: nothing on it is seen to be bad.
pub(crate) fn is_mended(scene: &Scene<'_>, server: &ServerId) -> bool {
    let deliveries = scene.facts.lineup.channels().flat_map(|it| &it.deliveries);
    let mut own = deliveries.filter(|it| it.server == *server);
    own.all(|it| matches!(scene.state(&it.stream, MonoTime::ZERO), State::Good | State::Unknown))
}

/// A server is drained only if the others of its region can take the viewers: somebody gets a channel well there who does
/// not here, and nobody loses one.
pub(crate) fn drain(scene: &Scene<'_>, server: &ServerId) -> Result<Plan, Reason> {
    let facts = scene.facts;
    let region = &facts.lineup.server(server).ok_or(Reason::NoSurvivor)?.region;
    if facts.is_drained(server) {
        return Err(Reason::AlreadyDone);
    }
    let limit = facts.policy.guards.survivor_saturation;
    let survives = |it: &&Server| {
        let fits = facts.server_saturation(&it.id, scene.now).is_none_or(|it| it < limit);
        it.id != *server && it.region == *region && fits && !facts.is_drained(&it.id)
    };
    let survivors: BTreeSet<&ServerId> =
        facts.lineup.servers().filter(survives).map(|it| &it.id).collect();
    let is_good = |it: StreamNo| {
        let delay = facts.lineup.at(it).delay();
        scene.state_at(it, MonoTime::ZERO + delay) == State::Good
    };
    let mut helps = false;
    for &own in facts.lineup.on_server(server) {
        let elsewhere = facts.lineup.deliveries_of(own).iter().any(|&it| {
            let StreamRef::Delivery(.., server) = facts.lineup.at(it) else { return false };
            survivors.contains(&server.id) && is_good(it)
        });
        if is_good(own) && !elsewhere {
            return Err(Reason::NoSurvivor);
        }
        helps |= elsewhere;
    }
    if !helps {
        return Err(Reason::NoSurvivor);
    }
    Ok(Plan::on(ActionKind::DrainServer, Target::Servers(vec![server.clone()])))
}
