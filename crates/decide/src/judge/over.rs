//! Incidents end: when all has been clean for long enough, or when they are about nothing any more.

use tallylight_model::{FaultKind, IncidentId, MonoTime, StreamId};

use crate::{
    action::ActionState,
    echo,
    incident::{Cause, Subject},
    ledger::{Case, Ledger},
    lineup::Source,
    remedy::{self, Desk, readiness},
    scene::{Scene, State},
};

/// Closes an incident whose evidence has been clean for long enough: also for the deliveries that show it last.
pub(super) fn settle(
    desk: &mut Desk<'_>,
    ledger: &mut Ledger,
    id: IncidentId,
    probe_is_over: bool,
) {
    let scene = desk.scene;
    let Some(case) = ledger.case(id) else { return };
    // A storm is over by a rule of its own.
    if case.incident.storm || ledger.actions_of(id).any(|it| it.state.is_in_flight()) {
        return;
    }
    let clean = match case.incident.cause() {
        Cause::Probe => probe_is_over,
        _ => is_clean(scene, case),
    };
    let since = clean.then(|| case.clean_since.unwrap_or(scene.now));
    let Some(case) = ledger.case_mut(id) else { return };
    case.clean_since = since;
    let Some(since) = since else { return };
    let shown_last = case.scope().iter().map(|&it| scene.facts.lineup.delay(it));
    let delay = shown_last.max().unwrap_or_default();
    let until = since + scene.facts.policy.guards.close_after + delay;
    if scene.now < until {
        desk.look_again(until);
        return;
    }
    ledger.close(id, scene.now);
}

/// Whether an incident has nothing left to be about, so that what is still bad gets another name:
///
/// - its subject is no longer listed;
/// - it is called the source's, which is good, while deliveries are bad beyond any echo, and nothing was done about it, or in
///   vain;
/// - it is called the programme's, while another source has shown the programme well for long enough to be switched to.
pub(super) fn is_moot(scene: &Scene<'_>, ledger: &Ledger, case: &Case) -> bool {
    let lineup = &scene.facts.lineup;
    match &case.incident.subject {
        Subject::Source(id) => {
            let outlives = |it: &StreamId| {
                scene.state(it, MonoTime::ZERO) == State::Bad
                    && echo::is_bad_since(scene, it, echo::until(scene, ledger, it))
            };
            let is_good = |it: &StreamId| scene.state(it, case.incident.onset) == State::Good;
            let outlives = |it: &&StreamId| *it != id && outlives(it);
            let is_lost = || {
                let hope = hope(scene, ledger, case.incident.id);
                let is_lost = |it: &StreamId| match hope {
                    Hope::None => true,
                    Hope::ToUndo => is_unmoved(scene, it),
                    Hope::Left => false,
                };
                hope != Hope::Left && case.incident.streams.iter().filter(outlives).any(is_lost)
            };
            lineup.stream(id).is_none() || is_good(id) && is_lost()
        }
        Subject::Provider(id) => lineup.providers().all(|it| it.id != *id),
        Subject::Processing(id) => lineup.channel(id).is_none(),
        Subject::Encoder(id) => lineup.encoder(id).is_none(),
        Subject::Server(id) => lineup.server(id).is_none(),
        Subject::Region(id) => lineup.region(id).is_none(),
        Subject::Probe(id) => lineup.agent(id).is_none(),
        Subject::Programme(id) => lineup.channel(id).is_none_or(|channel| {
            let bad = |it: &StreamId| scene.state(it, MonoTime::ZERO) == State::Bad;
            let well = |it: &Source| readiness::not_ready(scene, channel, it).is_empty();
            channel.sources.iter().any(|it| scene.facts.is_active(&it.stream) && bad(&it.stream))
                && channel.sources.iter().any(well)
        }),
    }
}

/// What may still come of what was done for an incident.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hope {
    /// Something helped, or still may.
    Left,
    /// A switch did not help and can be taken back, in case that what is made of the new source is what is wrong.
    ToUndo,
    /// Nothing.
    None,
}

fn hope(scene: &Scene<'_>, ledger: &Ledger, id: IncidentId) -> Hope {
    let mut carried_out = ledger.actions_of(id).filter(|it| it.sent.is_some());
    if !carried_out.all(|it| it.state.is_final() && it.state != ActionState::Verified) {
        Hope::Left
    } else if remedy::is_to_be_undone(scene, ledger, id) {
        Hope::ToUndo
    } else {
        Hope::None
    }
}

/// Whether a delivery has been giving nothing since before its channel was put on another source: neither the old source nor the
/// new one reaches it, so what is between hangs.
fn is_unmoved(scene: &Scene<'_>, stream: &StreamId) -> bool {
    let Some(no) = scene.facts.lineup.no(stream) else { return false };
    let channel = &scene.facts.lineup.at(no).channel().id;
    let gives_nothing = |kind: FaultKind| {
        matches!(kind, FaultKind::NoData | FaultKind::Unreachable | FaultKind::PlaylistStale)
    };
    scene.facts.on_since(channel).is_some_and(|changed| {
        scene.faults_at(no).any(|(_, kind, it)| gives_nothing(kind) && it.onset < changed)
    })
}

/// Whether none of its streams is bad, and those that are watched at all are seen well. What is no longer listed keeps no
/// incident open.
fn is_clean(scene: &Scene<'_>, case: &Case) -> bool {
    let all = case.incident.streams.len();
    let mut seen_well = case.streams().len() < all || all == 0;
    for &stream in case.streams() {
        let found = scene.facts.lineup.at(stream);
        if scene.facts.is_off_air(&found.channel().id) {
            seen_well = true;
            continue;
        }
        match scene.state_at(stream, MonoTime::ZERO + found.delay()) {
            State::Good => seen_well = true,
            State::Unknown => {}
            State::Bad | State::Suspect | State::Disputed => return false,
        }
    }
    seen_well
}
