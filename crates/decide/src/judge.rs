//! From the scene to incidents: which faults belong to an incident that is open, which need a new one, and which are over.
//!
//! An incident keeps what it once explained. While a fault goes away, streams recover one by one, and whatever is left for a
//! moment would look like a smaller cause; so a stream stays with its incident until it is good again. An incident is only
//! ever *widened*: a server's becomes a region's when more falls under the same cause and nothing has been done yet.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::time::Duration;

use tallylight_model::{
    ChannelId, FaultKind, IncidentId, MonoTime, NodeId, Ratio, Severity, StreamId,
};

use crate::{
    action::{Action, ActionKind, ActionState},
    cause::{self, Fit, Rival, Verdict},
    echo, evidence,
    guard::storm,
    incident::{Candidate, Cause, Incident, IncidentState, Moment, Remedy, Step, Subject},
    ledger::{Case, Ledger},
    lineup::{Marks, Source, StreamNo, StreamRef},
    maintenance,
    output::IncidentEvent,
    policy::Guards,
    remedy::{self, Desk, readiness},
    scene::{Scene, State},
    shadow,
};

/// An incident may be widened for so long after it was opened.
const WIDEN_WITHIN: Duration = Duration::from_secs(60);

/// While anything is wrong the facts are looked at this often, since silence is news too.
const WATCH: Duration = Duration::from_secs(1);

/// What a young incident says is brought up to date each time that the facts are looked at, an older one's seldom.
const YOUNG: Duration = Duration::from_secs(15);
const REFRESH: Duration = Duration::from_secs(10);

/// Brings incidents and remedies in line with the scene.
pub(crate) fn judge(desk: &mut Desk<'_>, ledger: &mut Ledger) {
    let scene = desk.scene;
    let troubled = scene.troubled.iter().copied();
    let bad: Marks = troubled.filter(|&it| scene.is_bad(it)).collect();
    desk.follow_up(ledger);
    let probes = judge_probes(desk, ledger);
    let left = join(scene, ledger, &bad);
    let unexplained = left.iter().filter(|&it| scene.is_worthy_at(it)).collect();
    ledger.number(&scene.facts.lineup);
    name_anew(desk, ledger, &bad, &left, &unexplained);
    ledger.number(&scene.facts.lineup);
    for id in ledger.open_ids() {
        if ledger.case(id).is_some_and(|it| is_moot(scene, ledger, it)) {
            ledger.close(id, scene.now);
            continue;
        }
        let probe_is_over = ledger.case(id).is_some_and(|it| {
            it.incident.cause() == Cause::Probe && !probes.contains(&it.incident.subject)
        });
        settle(desk, ledger, id, probe_is_over);
    }
    maintenance::mark(desk, ledger);
    storm::watch(desk, ledger);
    // What was brought back too early is taken away again before anything else is done about what it broke.
    desk.fail_back(ledger);
    desk.bring_back(ledger);
    desk.maintain(ledger);
    ledger.number(&scene.facts.lineup);
    for id in ledger.open_ids() {
        refresh(scene, ledger, id, &bad);
    }
    ledger.number(&scene.facts.lineup);
    for id in ledger.open_ids() {
        desk.advance(ledger, id, &bad);
    }
    if let Some(at) = shadow::watch(scene, ledger) {
        desk.look_again(at);
    }
    if !scene.troubled.is_empty() || !ledger.open_ids().is_empty() {
        desk.look_again(scene.now + WATCH);
    }
}

/// Measures a case against the scene of this moment.
pub(crate) fn measure(scene: &Scene<'_>, case: &Case) -> (Option<Fit>, Option<Rival>) {
    let scope = case.scope.iter().filter_map(|it| scene.facts.lineup.no(it));
    let bad: BTreeSet<StreamNo> = scope.filter(|&it| scene.is_bad(it)).collect();
    measure_by(scene, case, &bad)
}

/// Measures a case against what is bad of its scope.
pub(crate) fn measure_by(
    scene: &Scene<'_>,
    case: &Case,
    bad: &BTreeSet<StreamNo>,
) -> (Option<Fit>, Option<Rival>) {
    let fit = cause::fit(scene, &case.incident.subject, bad);
    let rival = fit.as_ref().and_then(|it| cause::rival_of(scene, it, bad));
    (fit, rival)
}

/// Measures what an action of a case rests on: of a group, its own channel's part.
pub(crate) fn measure_for(
    scene: &Scene<'_>,
    case: &Case,
    action: &Action,
) -> (Option<Fit>, Option<Rival>) {
    let (fit, rival) = measure(scene, case);
    match action.group {
        Some(_) => (measure_part(scene, case, action.target.channel(), action.kind), rival),
        None => (fit, rival),
    }
}

/// Measures one channel's part in a cause that is behind many.
pub(crate) fn measure_part(
    scene: &Scene<'_>,
    case: &Case,
    channel: Option<&ChannelId>,
    kind: ActionKind,
) -> Option<Fit> {
    let (lineup, channel) = (&scene.facts.lineup, channel?);
    let subject = match kind {
        ActionKind::SwitchSource => Subject::Source(scene.facts.active(channel)?.stream?),
        _ => Subject::Processing(channel.clone()),
    };
    let streams = lineup.streams_of(channel)?;
    let own = streams.sources.iter().chain(&streams.deliveries).copied();
    let is_its = |it: &StreamNo| case.scope.contains(lineup.id(*it)) && scene.is_bad(*it);
    let bad = own.filter(is_its).collect();
    cause::fit(scene, &subject, &bad)
}

/// Opens incidents of witnesses at fault; answers all that are.
fn judge_probes(desk: &mut Desk<'_>, ledger: &mut Ledger) -> BTreeSet<Subject> {
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

/// Adds bad streams to the open incidents that explain them, the oldest first; answers those that nothing explains.
fn join(scene: &Scene<'_>, ledger: &mut Ledger, bad: &Marks) -> Marks {
    ledger.number(&scene.facts.lineup);
    let mut left = bad.clone();
    let (mut joined, mut left_by, mut streams) = (Vec::new(), Vec::new(), Vec::new());
    for case in ledger.open_cases() {
        if case.incident.cause() == Cause::Probe {
            continue;
        }
        let both = case.scope().iter().chain(case.streams());
        streams.clear();
        streams.extend(both.copied().filter(|&it| left.contains(it)));
        streams.sort_unstable();
        streams.dedup();
        if streams.is_empty() {
            continue;
        }
        let mut new = Vec::new();
        let effect_on = effect(scene, ledger, case);
        for &stream in &streams {
            let id = scene.facts.lineup.id(stream);
            let effect =
                effect_on(id).filter(|&at| case.struck_again.is_none_or(|again| at > again));
            let onset = || scene.earliest_onset(stream).unwrap_or(scene.now);
            let in_time = effect.is_none_or(|at| onset() <= at + echo::EDGE);
            let is_known = case.streams().binary_search(&stream).is_ok();
            let is_of_it = case.scope().binary_search(&stream).is_ok();
            if in_time && is_of_it || is_known && (in_time || is_root(scene, case, id)) {
                left.remove(stream);
                new.extend((!is_known).then(|| id.clone()));
            } else if is_known {
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
    let is_under_way = ledger.actions_of(id).any(|it| it.state.is_in_flight());
    let left = match &case.incident.subject {
        Subject::Source(stream) if !scene.facts.is_active(stream) && !is_under_way => {
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

/// Names what no incident explains, and what young incidents turn out to have in common.
fn name_anew(
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
    let elsewhere = |subject: &Subject, stream: StreamNo| {
        let spreads = matches!(subject.cause(), Cause::Server | Cause::Region);
        let own = ledger.open_case_of(subject).and_then(|it| ledger.case(it));
        let is_own = own.is_some_and(|it| it.streams().binary_search(&stream).is_ok());
        let is_explained = bad.contains(stream) && !left.contains(stream);
        is_explained && !spreads && !is_own && !with_young.contains(&stream)
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

/// Whether anything was ever sent for an incident, or may still be.
fn has_acted(ledger: &Ledger, id: IncidentId) -> bool {
    let idle = |it: ActionState| {
        matches!(
            it,
            ActionState::Proposed
                | ActionState::Waiting
                | ActionState::Withdrawn
                | ActionState::Rejected
        )
    };
    ledger.actions_of(id).any(|it| !idle(it.state))
}

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

fn open(scene: &Scene<'_>, ledger: &mut Ledger, opening: Opening) {
    let incident = |id| Incident {
        id,
        subject: opening.fit.subject.clone(),
        state: IncidentState::Open,
        remedy: Remedy::None,
        page: None,
        storm: false,
        maintenance: None,
        severity: Severity::Info,
        onset: opening.onset,
        opened: scene.now,
        closed: None,
        fit: opening.fit,
        beaten: opening.beaten,
        evidence: Vec::new(),
        streams: opening.streams,
        affected: BTreeSet::new(),
        without_backup: BTreeSet::new(),
        vantage: Vec::new(),
        timeline: vec![
            Moment { at: opening.onset, step: Step::Onset },
            Moment { at: opening.first_arrival, step: Step::FirstFault },
            Moment { at: scene.now, step: Step::Located },
        ],
        actions: Vec::new(),
        refusals: Vec::new(),
    };
    let id = ledger
        .open(|id| Case::new(incident(id), opening.scope, opening.first_arrival, opening.rival));
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

/// Refreshes what an incident says about itself.
fn describe(scene: &Scene<'_>, ledger: &mut Ledger, id: IncidentId) {
    let Some(case) = ledger.case(id) else { return };
    let described = evidence::describe(scene, case);
    let incident = &case.incident;
    let is_known = incident.evidence == described.evidence
        && incident.vantage == described.vantage
        && incident.severity >= described.severity
        && incident.affected.is_superset(&described.affected);
    if is_known {
        return;
    }
    ledger.edit(id, |it| {
        it.incident.evidence = described.evidence;
        it.incident.vantage = described.vantage;
        it.incident.severity = it.incident.severity.max(described.severity);
        it.incident.affected.extend(described.affected);
    });
}

/// Brings up to date what a person reads of an incident that nothing has been done about: the cause was named by the first who
/// spoke, and what the others saw of it came later. Once streams recover, or an action changes them, what is written is history.
fn refresh(scene: &Scene<'_>, ledger: &mut Ledger, id: IncidentId, bad: &Marks) {
    let Some(case) = ledger.case(id).filter(|it| !it.incident.storm) else { return };
    let incident = &case.incident;
    let is_young = scene.now.since(incident.opened) <= YOUNG;
    if scene.now < case.described + if is_young { WATCH } else { REFRESH } {
        return;
    }
    let is_probe = incident.cause() == Cause::Probe;
    let stands = is_probe || case.streams().iter().all(|&it| bad.contains(it));
    let stands = stands && !has_acted(ledger, id);
    if let Some(case) = ledger.case_mut(id) {
        case.described = scene.now;
    }
    let Some(case) = ledger.case(id).filter(|_| stands) else { return };
    let incident = &case.incident;
    let own = bad.among(case.scope());
    let measured = |it: &Candidate| {
        let fit = cause::fit(scene, &it.subject, &own).filter(|_| !is_probe);
        fit.map_or_else(|| it.clone(), |fit| fit.candidate(own.len()))
    };
    let fit = measured(&incident.fit);
    let beaten: Vec<Candidate> = incident.beaten.iter().map(measured).collect();
    if incident.fit != fit || incident.beaten != beaten {
        ledger.edit(id, |it| {
            it.incident.fit = fit;
            it.incident.beaten = beaten;
        });
    }
    describe(scene, ledger, id);
}

/// Closes an incident whose evidence has been clean for long enough: also for the deliveries that show it last.
fn settle(desk: &mut Desk<'_>, ledger: &mut Ledger, id: IncidentId, probe_is_over: bool) {
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
    let shown_last = case.scope().iter().map(|&it| scene.facts.lineup.delay(it));
    let delay = shown_last.max().unwrap_or_default();
    if let Some(case) = ledger.case_mut(id) {
        case.clean_since = since;
    }
    let Some(since) = since else { return };
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
fn is_moot(scene: &Scene<'_>, ledger: &Ledger, case: &Case) -> bool {
    let lineup = &scene.facts.lineup;
    match &case.incident.subject {
        Subject::Source(id) => {
            let outlives = |it: &StreamId| {
                scene.state(it, MonoTime::ZERO) == State::Bad
                    && echo::is_bad_since(scene, it, echo::until(scene, ledger, it))
            };
            let is_good = |it: &StreamId| scene.state(it, case.incident.onset) == State::Good;
            let outlives = |it: &&StreamId| *it != id && outlives(it);
            let hope = hope(scene, ledger, case.incident.id);
            let is_lost = |it: &StreamId| match hope {
                Hope::None => true,
                Hope::ToUndo => is_unmoved(scene, it),
                Hope::Left => false,
            };
            lineup.stream(id).is_none()
                || is_good(id)
                    && hope != Hope::Left
                    && case.incident.streams.iter().filter(outlives).any(is_lost)
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
