//! What is tried for each cause, in order, and what exactly that would be.
//!
//! Each ladder begins with what costs viewers least *and* helps soonest:
//!
//! - One channel's processing: its stream is restarted before the encoder that others may share.
//! - A whole encoder: it is only named when all of its channels fail together, so there is nothing left to spare, and one
//!   restart ends it. A stream restarted first on a dead encoder would cost everybody the 45 s in which it is not verified.
//!   Where the panel cannot restart the encoder, its streams are restarted as a group.
//! - A server: its viewers are moved at once where others can take them. A restart proves itself or not in 45 s, through which
//!   viewers would look at nothing; so it comes first only where nobody can be moved.
//!
//! A rung that can do nothing as things stand is passed over, and the reason is kept.

use alloc::{string::String, vec, vec::Vec};
use core::time::Duration;

use tallylight_model::{
    ActionId, ChannelId, EncoderId, MonoTime, ProviderId, RegionId, ServerId, StreamId,
};

use super::{choice, destination};
use crate::{
    action::{ActionKind, Choice, Feed, Reason, Target, Why},
    incident::Subject,
    ledger::Case,
    lineup::{Channel, Delivery, Server, StreamNo, StreamRef},
    scene::{Scene, State},
    sight::Sight,
    view::NotReady,
};

/// The rungs of a cause's ladder; after the last one come people.
pub(crate) const fn rungs(subject: &Subject) -> &'static [ActionKind] {
    use ActionKind::{DrainServer, RegionMove, RestartService, RestartStream, SwitchSource};
    match subject {
        Subject::Source(_) => &[SwitchSource, RestartStream],
        Subject::Processing(_) => &[RestartStream, RestartService, DrainServer],
        Subject::Encoder(_) => &[RestartService, RestartStream],
        Subject::Server(_) => &[DrainServer, RestartService],
        Subject::Region(_) => &[RegionMove],
        Subject::Provider(_) => &[SwitchSource],
        Subject::Programme(_) | Subject::Probe(_) => &[],
    }
}

/// Whether a rung that cannot be tried for this reason leaves the next one to be tried.
pub(crate) const fn is_passed_over(reason: Reason) -> bool {
    matches!(reason, Reason::NoSurvivor | Reason::CostsHealthy | Reason::CannotRestart)
}

/// One action, before anybody asked whether it may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) kind: ActionKind,
    pub(crate) target: Target,
    pub(crate) from: Option<Feed>,
    pub(crate) to: Option<Feed>,
    /// Of a server's viewers, in percent.
    pub(crate) share: Option<u8>,
    pub(crate) choices: Vec<Choice>,
    /// The action that it undoes.
    pub(crate) undoes: Option<ActionId>,
    /// Its batch in a group.
    pub(crate) group: Option<u32>,
    /// Who said yes before it was planned.
    pub(crate) approved_by: Option<String>,
}

impl Plan {
    pub(crate) const fn on(kind: ActionKind, target: Target) -> Self {
        Self {
            kind,
            target,
            from: None,
            to: None,
            share: None,
            choices: Vec::new(),
            undoes: None,
            group: None,
            approved_by: None,
        }
    }

    /// Puts a channel from one source on another.
    pub(crate) fn switch(channel: &ChannelId, from: StreamId, to: StreamId) -> Self {
        Self {
            from: Some(Feed::Source(from)),
            to: Some(Feed::Source(to)),
            ..Self::on(ActionKind::SwitchSource, Target::Channel(channel.clone()))
        }
    }
}

/// Says what a rung would do for a case, or why it can do nothing.
pub(crate) fn plan(
    scene: &Scene<'_>,
    case: &Case,
    kind: ActionKind,
    last_done: impl Fn(&Target) -> Option<MonoTime>,
) -> Result<Plan, Reason> {
    let onset = case.incident.onset;
    match (&case.incident.subject, kind) {
        (Subject::Source(stream), ActionKind::SwitchSource) => switch(scene, stream, None),
        (Subject::Source(stream), ActionKind::RestartStream) => {
            let channel = channel_of(scene, stream).ok_or(Reason::ActiveSourceUnknown)?;
            let target = Target::Channel(channel.id.clone());
            restart_after_switch(scene, channel, last_done(&target).unwrap_or_default())
        }
        (Subject::Processing(channel), ActionKind::RestartStream) => Ok(restart(channel)),
        (Subject::Processing(channel), ActionKind::RestartService) => {
            let channel = scene.facts.lineup.channel(channel);
            let encoder = channel.and_then(|it| it.encoder.as_ref());
            restart_encoder(scene, encoder.ok_or(Reason::LadderExhausted)?, onset)
        }
        (Subject::Processing(channel), ActionKind::DrainServer) => drain_for(scene, channel),
        (Subject::Encoder(encoder), ActionKind::RestartService) => {
            restart_encoder(scene, encoder, onset)
        }
        (Subject::Server(server), ActionKind::DrainServer) => relieve(scene, server, onset),
        (Subject::Server(server), ActionKind::RestartService) => {
            restart_server(scene, server, onset)
        }
        (Subject::Region(region), ActionKind::RegionMove) => region_move(scene, region),
        _ => Err(Reason::LadderExhausted),
    }
}

fn channel_of<'a>(scene: &Scene<'a>, stream: &StreamId) -> Option<&'a Channel> {
    scene.facts.lineup.stream(stream).map(StreamRef::channel)
}

/// Puts a channel on its best ready source, but on none of a provider that is to be left.
pub(super) fn switch(
    scene: &Scene<'_>,
    from: &StreamId,
    leaving: Option<&ProviderId>,
) -> Result<Plan, Reason> {
    let channel = channel_of(scene, from).ok_or(Reason::ActiveSourceUnknown)?;
    let active = scene.facts.active(&channel.id).and_then(|it| it.stream);
    if active.as_ref() != Some(from) {
        return Err(Reason::ActiveSourceUnknown);
    }
    let choices = choice::weigh(scene, channel, from, leaving);
    match choices.first() {
        Some(best) if best.reasons == [Why::Chosen] => {
            let plan = Plan::switch(&channel.id, from.clone(), best.stream.clone());
            Ok(Plan { choices, ..plan })
        }
        _ if choices.iter().any(|it| it.reasons == [Why::NotReady(NotReady::TooNew)]) => {
            Err(Reason::BackupUnproven)
        }
        _ => Err(Reason::NoReadyBackup),
    }
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

pub(super) fn restart(channel: &ChannelId) -> Plan {
    Plan::on(ActionKind::RestartStream, Target::Channel(channel.clone()))
}

fn restart_encoder(
    scene: &Scene<'_>,
    encoder: &EncoderId,
    onset: MonoTime,
) -> Result<Plan, Reason> {
    let channels = scene.facts.lineup.channels_on(encoder).map(|it| it.id.clone()).collect();
    let target = Target::Encoder { encoder: encoder.clone(), channels };
    restart_service(scene, &target, onset)?;
    Ok(Plan::on(ActionKind::RestartService, target))
}

fn restart_server(scene: &Scene<'_>, server: &ServerId, onset: MonoTime) -> Result<Plan, Reason> {
    let target = Target::Servers(vec![server.clone()]);
    restart_service(scene, &target, onset)?;
    Ok(Plan::on(ActionKind::RestartService, target))
}

/// A service is restarted only if every channel that it carries is seen broken there since the onset: what nobody sees might be
/// well.
pub(crate) fn restart_service(
    scene: &Scene<'_>,
    target: &Target,
    onset: MonoTime,
) -> Result<(), Reason> {
    let facts = scene.facts;
    let can_restart = match target {
        Target::Encoder { encoder, channels } => {
            let listed = facts.lineup.channels_on(encoder).map(|it| &it.id);
            !channels.is_empty() && channels.iter().eq(listed) && facts.can_restart(encoder)
        }
        Target::Servers(servers) => {
            servers.iter().all(|it| facts.panel_server(it).is_some_and(|it| it.can_restart))
        }
        Target::Channel(_) | Target::Region(_) => false,
    };
    let mut carried: Vec<StreamNo> = match target {
        Target::Servers(servers) => {
            servers.iter().flat_map(|it| facts.lineup.on_server(it)).copied().collect()
        }
        _ => {
            let channels = target.channels().iter().filter_map(|it| facts.lineup.streams_of(it));
            channels.flat_map(|it| &it.deliveries).copied().collect()
        }
    };
    carried.sort_unstable();
    for own in carried.chunk_by(|a, b| facts.lineup.channel_of(*a) == facts.lineup.channel_of(*b)) {
        if own.first().is_some_and(|&it| facts.is_stream_off_air(it)) {
            continue;
        }
        let mut is_broken = false;
        for &delivery in own {
            match scene.state_at(delivery, onset + facts.lineup.delay(delivery)) {
                State::Good | State::Disputed => return Err(Reason::CostsHealthy),
                State::Bad | State::Suspect => is_broken = true,
                State::Unknown => {}
            }
        }
        if !is_broken {
            return Err(Reason::CostsHealthy);
        }
    }
    if can_restart { Ok(()) } else { Err(Reason::CannotRestart) }
}

pub(crate) fn region_move(scene: &Scene<'_>, region: &RegionId) -> Result<Plan, Reason> {
    if scene.facts.served_by(region).is_some_and(|it| it != region) {
        return Err(Reason::AlreadyDone);
    }
    let to = destination::choose(scene, region).ok_or(Reason::NoDestination)?;
    Ok(Plan {
        from: Some(Feed::Region(region.clone())),
        to: Some(Feed::Region(to.clone())),
        ..Plan::on(ActionKind::RegionMove, Target::Region(region.clone()))
    })
}

/// A restart may bring a channel back on some servers only: then viewers leave one of the others. What comes and goes shows well on
/// one server and badly on another at any moment, so it must have been well for as long as a restart is given to prove itself.
fn drain_for(scene: &Scene<'_>, channel: &ChannelId) -> Result<Plan, Reason> {
    let lineup = &scene.facts.lineup;
    let deliveries = &lineup.streams_of(channel).ok_or(Reason::NoSurvivor)?.deliveries;
    let proves = scene.facts.policy.guards.verify_restart_of;
    let since = scene.now - Duration::from_secs(proves.into());
    let is_well = |it: StreamNo| {
        let lasts = |(_, it): (usize, &Sight)| it.good_since().is_some_and(|it| it <= since);
        state(scene, it) == State::Good && scene.current(it).all(lasts)
    };
    let is_well_beside = |bad: &StreamNo| {
        let region = lineup.region_of(*bad);
        let mut there = deliveries.iter().filter(|it| lineup.region_of(**it) == region);
        there.any(|&it| is_well(it))
    };
    let bad = deliveries.iter().copied().filter(|&it| state(scene, it) == State::Bad);
    let mut plans = bad.filter(is_well_beside).filter_map(|it| match lineup.at(it) {
        StreamRef::Delivery(.., server) => Some(relieve(scene, &server.id, since)),
        StreamRef::Source(..) => None,
    });
    plans.find(Result::is_ok).unwrap_or(Err(Reason::NoSurvivor))
}

/// A server is drained for what is wrong on it only if most of that is well elsewhere, seen in media from after the fault began: what
/// was good before it may be on its way to being bad, and what is as bad elsewhere is not this server's.
pub(crate) fn relieve(
    scene: &Scene<'_>,
    server: &ServerId,
    onset: MonoTime,
) -> Result<Plan, Reason> {
    let plan = drain(scene, server)?;
    let others = survivors(scene, server);
    let own = scene.facts.lineup.on_server(server).iter();
    let (mut any, mut well, mut ill) = (false, 0_usize, 0_usize);
    for bad in own.copied().filter(|&it| state(scene, it) == State::Bad) {
        any = true;
        let elsewhere = || on(scene, bad, &others).map(|it| scene.state_at(it, onset));
        if elsewhere().any(|it| it == State::Good) {
            well += 1;
        } else {
            ill += usize::from(elsewhere().any(|it| it != State::Unknown));
        }
    }
    match any {
        false => Err(Reason::StaleEvidence),
        true if well > ill => Ok(plan),
        true => Err(Reason::NoSurvivor),
    }
}

/// A server is drained only if the others of its region can take the viewers: some channel is seen well there, and nobody loses
/// one. What witnesses disagree about, viewers may have. So they may what nobody watches, unless all that is watched on the
/// server is bad: then it is dead for what is not watched too, and viewers there have nothing to lose.
pub(crate) fn drain(scene: &Scene<'_>, server: &ServerId) -> Result<Plan, Reason> {
    let facts = scene.facts;
    if facts.is_drained(server) {
        return Err(Reason::AlreadyDone);
    }
    let others = survivors(scene, server);
    let is_dead = serves_nothing_good(scene, server);
    let mut is_of_use = false;
    for &own in facts.lineup.on_server(server) {
        let is_well_elsewhere = || is_well_on(scene, own, &others);
        is_of_use = is_of_use || is_well_elsewhere();
        let keeps = match state(scene, own) {
            State::Bad | State::Suspect => true,
            State::Good | State::Disputed => is_well_elsewhere(),
            State::Unknown => {
                let is_off_air = facts.is_off_air(&facts.lineup.at(own).channel().id);
                is_dead || is_off_air || may_be_well_on(scene, own, &others)
            }
        };
        if !keeps {
            return Err(Reason::NoSurvivor);
        }
    }
    if !is_of_use {
        return Err(Reason::NoSurvivor);
    }
    Ok(Plan::on(ActionKind::DrainServer, Target::Servers(vec![server.clone()])))
}

/// Whether a drained server keeps a channel from viewers, because no server of its region that has any shows it but bad.
pub(crate) fn strands(scene: &Scene<'_>, server: &ServerId) -> bool {
    let facts = scene.facts;
    let region = facts.lineup.server(server).map(|it| &it.region);
    let serves =
        |it: &&Server| it.id != *server && Some(&it.region) == region && !facts.is_drained(&it.id);
    let others = places(scene, serves);
    facts.lineup.on_server(server).iter().any(|&own| {
        let is_off_air = facts.is_off_air(&facts.lineup.at(own).channel().id);
        !is_off_air && beside(scene, own, &others).all(|it| it == State::Bad)
    })
}

/// The other servers of a region that have room for more viewers, by their places.
fn survivors(scene: &Scene<'_>, server: &ServerId) -> Vec<usize> {
    let facts = scene.facts;
    let region = facts.lineup.server(server).map(|it| &it.region);
    let limit = facts.policy.guards.survivor_saturation;
    let survives = |it: &&Server| {
        let fits = facts.server_saturation(&it.id, scene.now).is_none_or(|it| it < limit);
        it.id != *server && Some(&it.region) == region && fits && !facts.is_drained(&it.id)
    };
    places(scene, survives)
}

/// Where those servers stand among all.
fn places(scene: &Scene<'_>, those: impl Fn(&&Server) -> bool) -> Vec<usize> {
    let all = scene.facts.lineup.servers().enumerate();
    all.filter(|(_, it)| those(it)).map(|(place, _)| place).collect()
}

fn state(scene: &Scene<'_>, stream: StreamNo) -> State {
    scene.state_at(stream, MonoTime::ZERO + scene.facts.lineup.delay(stream))
}

/// A delivery's channel on these servers.
fn on(scene: &Scene<'_>, own: StreamNo, servers: &[usize]) -> impl Iterator<Item = StreamNo> {
    let lineup = &scene.facts.lineup;
    let is_there = |it: &StreamNo| lineup.server_of(*it).is_some_and(|it| servers.contains(&it));
    lineup.deliveries_of(own).iter().copied().filter(is_there)
}

/// What these servers show of a delivery's channel.
fn beside(scene: &Scene<'_>, own: StreamNo, servers: &[usize]) -> impl Iterator<Item = State> {
    on(scene, own, servers).map(|it| state(scene, it))
}

fn is_well_on(scene: &Scene<'_>, own: StreamNo, servers: &[usize]) -> bool {
    beside(scene, own, servers).any(|it| it == State::Good)
}

fn may_be_well_on(scene: &Scene<'_>, own: StreamNo, servers: &[usize]) -> bool {
    beside(scene, own, servers).any(|it| matches!(it, State::Good | State::Unknown))
}

/// Whether a server is seen to be broken for everybody: something on it is bad, and nothing is good or disputed.
pub(crate) fn serves_nothing_good(scene: &Scene<'_>, server: &ServerId) -> bool {
    let own = || scene.facts.lineup.on_server(server).iter().map(|&it| state(scene, it));
    // Of most servers the first delivery says no.
    own().all(|it| !matches!(it, State::Good | State::Disputed)) && own().any(|it| it == State::Bad)
}
