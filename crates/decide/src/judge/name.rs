//! Names for what no incident explains: a new incident, or a wider name for young ones that turn out to be parts of one cause.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{IncidentId, MonoTime, NodeId, Ratio, StreamId};

use super::{WATCH, YOUNG, describe, has_acted};
use crate::{
    action::ActionState,
    cause::{self, Rival, Verdict},
    echo,
    incident::{Candidate, Cause, Incident, Remedy, Step, Subject},
    ledger::{Case, Ledger},
    lineup::{Marks, StreamNo, StreamRef},
    output::IncidentEvent,
    policy::Guards,
    remedy::Desk,
    scene::Scene,
};

/// An incident may be widened for so long after it was opened.
const WIDEN_WITHIN: Duration = Duration::from_secs(60);

/// What an incident starts from.
struct Opening {
    fit: Candidate,
    beaten: Vec<Candidate>,
    scope: BTreeSet<StreamId>,
    streams: BTreeSet<StreamId>,
    onset: MonoTime,
    first_arrival: MonoTime,
    rival: Option<Rival>,
}

/// Opens incidents of witnesses at fault; answers all that are.
pub(super) fn judge_probes(desk: &mut Desk<'_>, ledger: &mut Ledger) -> BTreeSet<Subject> {
    ledger.number(&desk.scene.facts.lineup);
    let is_asked =
        |it: &&Case| it.incident.cause() != Cause::Probe && !desk.scene.dissents.is_empty();
    let explained = ledger.open_cases().filter(is_asked).flat_map(Case::scope).copied().collect();
    let bears_out =
        |node: &NodeId, stream: &StreamId| is_borne_out(desk.scene, ledger, node, stream);
    let (found, again) = cause::probes(desk.scene, bears_out, &explained);
    if let Some(at) = again {
        desk.look_again(at);
    }
    let mut subjects = BTreeSet::new();
    for probe in found {
        let subject = Subject::Probe(probe.node);
        if let Some(id) = ledger.open_case_of(&subject) {
            if ledger.case(id).is_some_and(|it| !probe.streams.is_subset(&it.incident.streams)) {
                ledger.edit(id, |it| it.incident.streams.extend(probe.streams));
                describe(desk.scene, ledger, id);
            }
        } else {
            let part = if probe.streams.is_empty() { probe.claims } else { probe.streams.len() };
            let fit = Candidate {
                subject: subject.clone(),
                coverage: Ratio::of(part as f64, probe.claims as f64),
                explains: Ratio::ONE,
                broken: part,
                spared: probe.claims.saturating_sub(part),
                pending: 0,
            };
            let scope = probe.streams.clone();
            let opening = Opening {
                fit,
                beaten: Vec::new(),
                scope,
                streams: probe.streams,
                onset: probe.onset,
                first_arrival: probe.first_arrival,
                rival: None,
            };
            open(desk.scene, ledger, opening);
        }
        subjects.insert(subject);
    }
    subjects
}

/// Whether an open incident of which another witness has lately seen something would explain what one says of a stream.
fn is_borne_out(scene: &Scene<'_>, ledger: &Ledger, node: &NodeId, stream: &StreamId) -> bool {
    let own = scene.path(node);
    let is_lately = |at: MonoTime| scene.now.since(at) < echo::REFILL;
    let others_saw = |it: &StreamId| {
        scene.facts.sights_of(it).any(|(peer, sight)| {
            let is_other = scene.votes(peer) && scene.path(peer) != own;
            is_other && sight.last_bad().is_some_and(is_lately)
        })
    };
    let explains = |it: &&Case| it.incident.cause() != Cause::Probe && it.scope.contains(stream);
    ledger.open_cases().filter(explains).any(|it| it.scope.iter().any(others_saw))
}

/// Names what no incident explains, and what young incidents turn out to have in common.
pub(super) fn name_anew(
    desk: &mut Desk<'_>,
    ledger: &mut Ledger,
    bad: &Marks,
    left: &Marks,
    unexplained: &BTreeSet<StreamNo>,
) {
    let scene = desk.scene;
    let compares = is_to_compare(scene, ledger);
    if unexplained.is_empty() && !compares {
        return;
    }
    let with_young = unexplained | &of_young(scene, ledger, bad);
    // What fails one by one is made of what has failed before: only what fails at once is not.
    let open: BTreeMap<&Subject, &Case> =
        ledger.open_cases().map(|it| (&it.incident.subject, it)).collect();
    let elsewhere = |subject: &Subject, stream: StreamNo| {
        let spreads = matches!(subject.cause(), Cause::Server | Cause::Region);
        // Most streams are well, and many causes are asked about each.
        if spreads || !bad.contains(stream) || left.contains(stream) {
            return false;
        }
        let own = open.get(subject);
        !with_young.contains(&stream)
            && own.is_none_or(|it| it.streams().binary_search(&stream).is_err())
    };
    for verdict in cause::explain(scene, &with_young, &elsewhere) {
        if compares || !verdict.fit.explained.is_disjoint(unexplained) {
            name(desk, ledger, verdict, unexplained);
        }
    }
}

/// Opens, widens or waits.
fn name(
    desk: &mut Desk<'_>,
    ledger: &mut Ledger,
    verdict: Verdict,
    unexplained: &BTreeSet<StreamNo>,
) {
    let scene = desk.scene;
    let (settled_at, is_open) = settling(scene, &verdict);
    let complete = !is_open && cause::all_have_reported(scene, &verdict.fit);
    if !complete && scene.now < settled_at {
        desk.look_again(settled_at);
        return;
    }
    let Verdict { fit, beaten, candidate, rival, first_arrival } = verdict;
    let id = |&no: &StreamNo| scene.facts.lineup.id(no).clone();
    let opening = Opening {
        fit: candidate,
        beaten,
        scope: fit.breaks.iter().map(id).collect(),
        streams: fit.explained.iter().map(id).collect(),
        onset: fit.onset,
        first_arrival,
        rival,
    };
    let known = ledger.open_case_of(&opening.fit.subject);
    let new = fit.explained.intersection(unexplained);
    let began = new.filter_map(|&it| scene.earliest_onset(it)).min();
    let narrower = narrower(scene, ledger, &opening, began);
    if began.is_none() && (known.is_some() || narrower.len() < 2) {
        return;
    }
    if let Some(storm) = known.filter(|id| ledger.case(*id).is_some_and(|it| it.incident.storm)) {
        // It was the region itself after all.
        for other in narrower {
            ledger.close(other, scene.now);
        }
        ledger.edit(storm, |it| it.incident.storm = false);
        widen(scene, ledger, storm, opening);
        return;
    }
    if let Some(id) = known {
        // The same cause strikes again, after its remedy had taken effect.
        ledger.edit(id, |it| {
            it.incident.streams.extend(opening.streams.iter().cloned());
            it.scope.extend(opening.scope.iter().cloned());
            it.incident.remedy = Remedy::Waiting;
            it.first_arrival = opening.first_arrival;
            it.struck_again = Some(scene.now);
        });
        describe(scene, ledger, id);
        return;
    }
    let mut narrower = narrower.into_iter();
    match narrower.next() {
        Some(first) => {
            widen(scene, ledger, first, opening);
            for other in narrower {
                ledger.close(other, scene.now);
            }
        }
        None => open(scene, ledger, opening),
    }
}

/// Up to when to wait for the others to speak, and whether that is to be waited for whoever has spoken: `settle`; where one
/// vantage point of several speaks alone, until the others' media must have come, because a name that rests on it could only be
/// taken back; where so much has not been seen yet that nothing could act, for most of it; where more may follow, for that.
fn settling(scene: &Scene<'_>, verdict: &Verdict) -> (MonoTime, bool) {
    let Verdict { fit, first_arrival, .. } = verdict;
    let Guards { settle, segment_hold, .. } = scene.facts.policy.guards;
    let longest = settle.max(segment_hold);
    let wait = if fit.explained.iter().all(|&it| scene.is_lone_claim(it)) {
        let delays = fit.explained.iter().map(|&it| scene.facts.lineup.at(it));
        longest + delays.map(StreamRef::delay).max().unwrap_or_default()
    } else if fit.is_unsure() {
        longest
    } else {
        settle
    };
    let settled_at = *first_arrival + wait;
    let grows_until = cause::grows_until(scene, fit, *first_arrival, (settle, longest));
    let is_open = verdict.rival.is_some() || fit.is_unsure() || fit.is_partial();
    let is_growing = grows_until.is_some_and(|it| scene.now < it);
    (grows_until.map_or(settled_at, |it| it.max(settled_at)), is_open || is_growing)
}

/// Young incidents of a smaller cause, of which the new cause explains everything: what it broke first was named for what it
/// was then. Servers and regions may fall one by one, and sources show a programme each at its own time; of everything else what
/// is new must have begun with what is known, or it is a second cause.
fn narrower(
    scene: &Scene<'_>,
    ledger: &Ledger,
    opening: &Opening,
    began: Option<MonoTime>,
) -> Vec<IncidentId> {
    let subject = &opening.fit.subject;
    let spreads = matches!(subject.cause(), Cause::Server | Cause::Region | Cause::Programme);
    let is_in_time = |it: &Case| {
        spreads || began.is_none_or(|began| began <= it.incident.onset + cause::TOGETHER)
    };
    let young = ledger.open_cases().filter(|it| may_be_widened(scene, ledger, it));
    let explained = young
        .filter(|it| it.incident.subject != *subject)
        .filter(|it| is_in_time(it) && it.incident.streams.is_subset(&opening.scope));
    explained.map(|it| it.incident.id).collect()
}

/// What is bad of incidents that may be part of a larger one: a cause breaks things one by one.
fn of_young(scene: &Scene<'_>, ledger: &Ledger, bad: &Marks) -> BTreeSet<StreamNo> {
    let young = ledger.open_cases().filter(|it| may_be_widened(scene, ledger, it));
    young.flat_map(|it| bad.among(it.streams())).collect()
}

/// Whether there are incidents to be compared with each other: several that were opened lately, and not compared in this second.
fn is_to_compare(scene: &Scene<'_>, ledger: &mut Ledger) -> bool {
    let is_new = |it: &&Case| scene.now.since(it.incident.opened) <= YOUNG;
    let new = ledger.open_cases().filter(is_new);
    let several = new.filter(|it| may_be_widened(scene, ledger, it)).take(2).count() > 1;
    let is_due = several && scene.now >= ledger.compared + WATCH;
    if is_due {
        ledger.compared = scene.now;
    }
    is_due
}

/// Whether an incident is young, and nothing has been done on it.
fn may_be_widened(scene: &Scene<'_>, ledger: &Ledger, case: &Case) -> bool {
    case.incident.cause() != Cause::Probe
        && !case.incident.storm
        && scene.now.since(case.incident.opened) <= WIDEN_WITHIN
        && !has_acted(ledger, case.incident.id)
}

fn open(scene: &Scene<'_>, ledger: &mut Ledger, opening: Opening) {
    let Opening { fit, beaten, scope, streams, onset, first_arrival, rival } = opening;
    let incident = |id| Incident {
        beaten,
        streams,
        ..Incident::opened(id, fit, (onset, first_arrival), scene.now)
    };
    let id = ledger.open(|id| Case::new(incident(id), scope, first_arrival, rival));
    if let Some(case) = ledger.case_mut(id) {
        case.described = scene.now;
    }
    describe(scene, ledger, id);
}

fn widen(scene: &Scene<'_>, ledger: &mut Ledger, id: IncidentId, opening: Opening) {
    let waiting: Vec<_> = ledger
        .actions_of(id)
        .filter(|it| it.state == ActionState::Waiting)
        .map(|it| it.id)
        .collect();
    for action in waiting {
        ledger.end(action, scene.now, ActionState::Withdrawn, "the incident has another cause");
    }
    ledger.edit(id, |case| {
        let incident = &mut case.incident;
        let was = core::mem::replace(&mut incident.fit, opening.fit);
        incident.subject = incident.fit.subject.clone();
        incident.beaten = opening.beaten;
        if !incident.beaten.iter().any(|it| it.subject == was.subject) {
            incident.beaten.insert(0, was);
        }
        incident.streams.extend(opening.streams);
        incident.onset = incident.onset.min(opening.onset);
        case.scope = opening.scope;
        case.first_arrival = case.first_arrival.min(opening.first_arrival);
        case.rival = opening.rival;
    });
    ledger.step(id, scene.now, Step::Located);
    ledger.event(id, IncidentEvent::Renamed);
    describe(scene, ledger, id);
}
