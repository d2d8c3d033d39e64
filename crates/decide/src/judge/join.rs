//! What is bad joins the open incident that explains it, and leaves one that it is no symptom of any more.

use alloc::vec::Vec;

use tallylight_model::{IncidentId, MonoTime, StreamId};

use super::describe;
use crate::{
    action::ActionState,
    echo,
    incident::{Cause, Subject},
    ledger::{Case, Ledger},
    lineup::{Marks, StreamNo, StreamRef},
    remedy,
    scene::Scene,
};

/// Adds bad streams to the open incidents that explain them, the oldest first; answers those that nothing explains.
pub(super) fn join(scene: &Scene<'_>, ledger: &mut Ledger, bad: &Marks) -> Marks {
    ledger.number(&scene.facts.lineup);
    let mut left = bad.clone();
    let (mut joined, mut left_by) = (Vec::new(), Vec::new());
    for case in ledger.open_cases() {
        if case.incident.cause() == Cause::Probe {
            continue;
        }
        if !case.streams().iter().chain(case.scope()).any(|it| left.contains(*it)) {
            continue;
        }
        let effect_on = effect(scene, ledger, case);
        let in_time = |stream: StreamNo| {
            let effect = effect_on(scene.facts.lineup.id(stream));
            let effect = effect.filter(|&at| case.struck_again.is_none_or(|again| at > again));
            let onset = || scene.earliest_onset(stream).unwrap_or(scene.now);
            effect.is_none_or(|at| onset() <= at + echo::EDGE)
        };
        let mut new = Vec::new();
        for &stream in case.scope() {
            let is_known = || case.streams().binary_search(&stream).is_ok();
            if left.contains(stream) && !is_known() && in_time(stream) {
                left.remove(stream);
                new.push(scene.facts.lineup.id(stream).clone());
            }
        }
        for &stream in case.streams() {
            if !left.contains(stream) {
                continue;
            }
            if in_time(stream) || is_root(scene, case, scene.facts.lineup.id(stream)) {
                left.remove(stream);
            } else {
                left_by.push(case.incident.id);
            }
        }
        if !new.is_empty() {
            joined.push((case.incident.id, new));
        }
    }
    for id in left_by {
        for stream in let_go(scene, ledger, id, bad) {
            let has = |it: &Case| it.streams().binary_search(&stream).is_ok();
            if !ledger.open_cases().any(|it| it.incident.id != id && has(it)) {
                left.insert(stream);
            }
        }
    }
    for (id, new) in joined {
        ledger.edit(id, |it| it.incident.streams.extend(new));
        describe(scene, ledger, id);
    }
    left
}

/// Lets go of what is bad of an incident beside its root, as something of it is bad for another reason by now: what they share is
/// looked for anew. Answers what that is.
fn let_go(scene: &Scene<'_>, ledger: &mut Ledger, id: IncidentId, bad: &Marks) -> Vec<StreamNo> {
    let Some(case) = ledger.case(id) else { return Vec::new() };
    let is_its = |it: &StreamNo| is_root(scene, case, scene.facts.lineup.id(*it));
    let gone: Vec<StreamNo> =
        bad.among(case.streams()).into_iter().filter(|it| !is_its(it)).collect();
    ledger.edit(id, |it| {
        for stream in gone.iter().map(|it| scene.facts.lineup.id(*it)) {
            it.incident.streams.remove(stream);
            it.scope.remove(stream);
        }
    });
    gone
}

/// From when on nothing new on a stream is a symptom of the case: its remedy took effect there, or the channel was taken off the
/// source, by whomever and whether that helped or not. While something is being done, it is what comes of that.
fn effect<'a>(
    scene: &Scene<'_>,
    ledger: &'a Ledger,
    case: &Case,
) -> impl Fn(&StreamId) -> Option<MonoTime> + use<'a> {
    let id = case.incident.id;
    let is_under_way = || ledger.actions_of(id).any(|it| it.state.is_in_flight());
    let left = match &case.incident.subject {
        Subject::Source(stream) if !scene.facts.is_active(stream) && !is_under_way() => {
            let channel = scene.facts.lineup.stream(stream).map(|it| &it.channel().id);
            channel.and_then(|it| scene.facts.on_since(it))
        }
        _ => None,
    };
    let has_helped = ledger.actions_of(id).any(|it| it.state == ActionState::Verified);
    move |stream| {
        let took_effect = has_helped.then(|| remedy::took_effect_at(ledger, id, stream));
        took_effect.flatten().max(left)
    }
}

/// Whether a stream is what the incident says is at fault, so that it stays with it whatever the remedy did downstream.
fn is_root(scene: &Scene<'_>, case: &Case, stream: &StreamId) -> bool {
    match &case.incident.subject {
        Subject::Source(root) => root == stream,
        Subject::Provider(provider) => match scene.facts.lineup.stream(stream) {
            Some(StreamRef::Source(_, source)) => source.provider.as_ref() == Some(provider),
            _ => false,
        },
        Subject::Processing(_) | Subject::Encoder(_) => false,
        _ => true,
    }
}
