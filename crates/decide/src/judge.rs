//! From the scene to incidents: which faults belong to an incident that is open, which need a new one, and which are over.
//!
//! An incident keeps what it once explained. While a fault goes away, streams recover one by one, and whatever is left for a
//! moment would look like a smaller cause; so a stream stays with its incident until it is good again. An incident is only
//! ever *widened*: a server's becomes a region's when more falls under the same cause and nothing has been done yet.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::time::Duration;

use tallylight_model::{ChannelId, IncidentId, MonoTime, NodeId, Ratio, Severity, StreamId};

use crate::{
    action::{Action, ActionKind, ActionState},
    cause::{self, Fit, Rival, Verdict},
    echo, evidence,
    guard::storm,
    incident::{Candidate, Cause, Incident, IncidentState, Moment, Remedy, Step, Subject},
    input::ChangedBy,
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
    let unexplained = join(scene, ledger, &bad);
    if !unexplained.is_empty() {
        ledger.number(&scene.facts.lineup);
        let with_young = &unexplained | &of_young(scene, ledger, &bad);
        for verdict in cause::explain(scene, &with_young) {
            if !verdict.fit.explained.is_disjoint(&unexplained) {
                name(desk, ledger, verdict);
            }
        }
    }
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
    let (found, again) =
        cause::probes(desk.scene, |node, stream| is_borne_out(desk.scene, ledger, node, stream));
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

/// Adds bad streams to the open incidents that explain them, the oldest first; answers those that nothing explains and that
/// need an incident.
fn join(scene: &Scene<'_>, ledger: &mut Ledger, bad: &Marks) -> BTreeSet<StreamNo> {
    ledger.number(&scene.facts.lineup);
    let mut left = bad.clone();
    let (mut joined, mut streams) = (Vec::new(), Vec::new());
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
            }
        }
        if !new.is_empty() {
            joined.push((case.incident.id, new));
        }
    }
    for (id, new) in joined {
        ledger.edit(id, |it| it.incident.streams.extend(new));
        describe(scene, ledger, id);
    }
    left.iter().filter(|&it| scene.is_worthy_at(it)).collect()
}

/// From when on nothing new on a stream is a symptom of the case: its remedy took effect there, or somebody else took the
/// channel off the source.
fn effect<'a>(
    scene: &Scene<'_>,
    ledger: &'a Ledger,
    case: &Case,
) -> impl Fn(&StreamId) -> Option<MonoTime> + use<'a> {
    let id = case.incident.id;
    let own = |by: &ChangedBy| match by {
        ChangedBy::Action(action) => {
            ledger.action(*action).is_some_and(|it| it.purpose.incident() == Some(id))
        }
        ChangedBy::Operator | ChangedBy::Panel => false,
    };
    let left = match &case.incident.subject {
        Subject::Source(stream) if !scene.facts.is_active(stream) => {
            let channel = scene.facts.lineup.stream(stream).map(|it| &it.channel().id);
            let by_others = channel
                .filter(|it| scene.facts.active(it).is_some_and(|active| !own(&active.changed_by)));
            by_others.and_then(|it| scene.facts.on_since(it))
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

/// Opens, widens or waits.
fn name(desk: &mut Desk<'_>, ledger: &mut Ledger, verdict: Verdict) {
    let scene = desk.scene;
    let settled_at = verdict.first_arrival + settle_time(scene, &verdict.fit);
    let is_open = verdict.rival.is_some() || verdict.fit.is_unsure();
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
    if let Some(storm) = known.filter(|id| ledger.case(*id).is_some_and(|it| it.incident.storm)) {
        // It was the region itself after all.
        for other in narrower(scene, ledger, &opening) {
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
    let mut narrower = narrower(scene, ledger, &opening).into_iter();
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

/// How long to wait for the others to speak: `settle`; where one vantage point of several speaks alone, until the others'
/// media must have come, because a name that rests on it could only be taken back; where so much has not been seen yet that
/// nothing could act, for most of it.
fn settle_time(scene: &Scene<'_>, fit: &Fit) -> Duration {
    let Guards { settle, segment_hold, .. } = scene.facts.policy.guards;
    if fit.explained.iter().all(|&it| scene.is_lone_claim(it)) {
        let delays = fit.explained.iter().map(|&it| scene.facts.lineup.at(it));
        settle.max(segment_hold) + delays.map(StreamRef::delay).max().unwrap_or_default()
    } else if fit.is_unsure() {
        settle.max(segment_hold)
    } else {
        settle
    }
}

/// Young incidents of a smaller cause, of which the new cause explains everything.
fn narrower(scene: &Scene<'_>, ledger: &Ledger, opening: &Opening) -> Vec<IncidentId> {
    let young = ledger.open_cases().filter(|it| may_be_widened(scene, ledger, it));
    let explained = young.filter(|it| it.incident.streams.is_subset(&opening.scope));
    explained.map(|it| it.incident.id).collect()
}

/// What is bad of incidents that may be part of a larger one: a cause breaks things one by one, and what it broke first was named
/// for what it was then.
fn of_young(scene: &Scene<'_>, ledger: &Ledger, bad: &Marks) -> BTreeSet<StreamNo> {
    let young = ledger.open_cases().filter(|it| may_be_widened(scene, ledger, it));
    young.flat_map(|it| bad.among(it.streams())).collect()
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
            lineup.stream(id).is_none()
                || is_good(id)
                    && is_out_of_hope(scene, ledger, case.incident.id)
                    && case.incident.streams.iter().any(|it| it != id && outlives(it))
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

/// Whether nothing that was done for an incident has helped or still may: what did not help was taken back first, so that it is
/// not what is wrong.
fn is_out_of_hope(scene: &Scene<'_>, ledger: &Ledger, id: IncidentId) -> bool {
    let mut carried_out = ledger.actions_of(id).filter(|it| it.sent.is_some());
    carried_out.all(|it| it.state.is_final() && it.state != ActionState::Verified)
        && !remedy::is_to_be_undone(scene, ledger, id)
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
