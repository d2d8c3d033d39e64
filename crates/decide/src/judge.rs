//! From the scene to incidents: which faults belong to an incident that is open, which need a new one, and which are over.
//!
//! An incident keeps what it once explained. While a fault goes away, streams recover one by one, and whatever is left for a
//! moment would look like a smaller cause; so a stream stays with its incident until it is good again, or is bad for a reason that
//! its incident cannot be ([`join`]). An incident is only ever *widened*: a server's becomes a region's when more falls under the same
//! cause and nothing has been done yet ([`name`]). It is closed when all is clean, or when it is about nothing any more ([`over`]).

mod join;
mod name;
mod over;

use alloc::{collections::BTreeSet, vec::Vec};
use core::time::Duration;

use tallylight_model::{ChannelId, IncidentId, MonoTime};

use crate::{
    action::{Action, ActionKind, ActionState},
    cause::{self, Fit, Rival},
    evidence,
    guard::storm,
    incident::{Candidate, Cause, Subject},
    input::Input,
    ledger::{Asked, Case, Ledger},
    lineup::{Marks, StreamNo},
    maintenance,
    remedy::Desk,
    scene::Scene,
    shadow,
};

/// While anything is wrong the facts are looked at this often, since silence is news too.
const WATCH: Duration = Duration::from_secs(1);
/// Into so many parts a second is divided, so that not all is done at its begin.
const TURNS: u64 = 32;

/// What a young incident says is brought up to date each time that the facts are looked at, an older one's seldom.
const YOUNG: Duration = Duration::from_secs(15);

const REFRESH: Duration = Duration::from_secs(10);

/// What has judge look at everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// An agent said something, or time passed, as happens many times a second.
    Routine,
    /// The panel or a person said something, or a setting changed.
    News,
}

impl Occasion {
    pub(crate) const fn of(input: &Input) -> Self {
        match input {
            Input::Batch(_) | Input::Tick => Self::Routine,
            _ => Self::News,
        }
    }
}

/// Brings incidents and remedies in line with the scene.
pub(crate) fn judge(desk: &mut Desk<'_>, ledger: &mut Ledger, occasion: Occasion) {
    let scene = desk.scene;
    let troubled = scene.troubled.iter().copied();
    let bad: Marks = troubled.filter(|&it| scene.is_bad(it)).collect();
    desk.follow_up(ledger);
    let probes = name::judge_probes(desk, ledger);
    let left = join::join(scene, ledger, &bad);
    let unexplained = left.iter().filter(|&it| scene.is_worthy_at(it)).collect();
    ledger.number(&scene.facts.lineup);
    name::name_anew(desk, ledger, &bad, &left, &unexplained);
    ledger.number(&scene.facts.lineup);
    for id in ledger.open_ids() {
        if ledger.case(id).is_some_and(|it| over::is_moot(scene, ledger, it)) {
            ledger.close(id, scene.now);
            continue;
        }
        let probe_is_over = ledger.case(id).is_some_and(|it| {
            it.incident.cause() == Cause::Probe && !probes.contains(&it.incident.subject)
        });
        over::settle(desk, ledger, id, probe_is_over);
    }
    maintenance::mark(desk, ledger);
    storm::watch(desk, ledger, &unexplained);
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
        if occasion == Occasion::News || is_to_ask(scene, ledger, id) {
            ask(desk, ledger, id, &bad);
        }
    }
    if let Some(at) = shadow::watch(scene, ledger) {
        desk.look_again(at);
    }
    if !scene.troubled.is_empty() || !ledger.open_ids().is_empty() {
        desk.look_again(scene.now + WATCH);
    }
}

/// Whether to ask anew what may be done about an incident: at each occasion while the answer is young or something is under way;
/// one that has stood still for longer than people wait to be called each second, or when what keeps it back is over.
fn is_to_ask(scene: &Scene<'_>, ledger: &Ledger, id: IncidentId) -> bool {
    let Some(case) = ledger.case(id) else { return false };
    let Some(asked) = case.asked.filter(|it| it.answer == case.standstill()) else { return true };
    let is_over = asked.answer.held.and_then(|it| it.until).is_some_and(|it| scene.now >= it);
    let is_live = |it: &Action| it.state.is_in_flight() || it.state == ActionState::Waiting;
    scene.now.since(asked.same_since) <= YOUNG
        || scene.now >= own_turn(id, asked.at)
        || is_over
        || ledger.actions_of(id).any(is_live)
}

/// When an incident is to be asked again: each has its own part of the second, for after news all were asked at one moment, and
/// hundreds at a time keep a new one waiting.
fn own_turn(id: IncidentId, asked: MonoTime) -> MonoTime {
    let second = WATCH.as_nanos() as u64;
    let part = id.0 % TURNS * (second / TURNS);
    let gone = (asked.as_nanos() + second - part) % second;
    asked + Duration::from_nanos(second - gone)
}

fn ask(desk: &mut Desk<'_>, ledger: &mut Ledger, id: IncidentId, bad: &Marks) {
    let now = desk.scene.now;
    desk.advance(ledger, id, bad);
    if let Some(case) = ledger.case_mut(id) {
        let answer = case.standstill();
        let before = case.asked.filter(|it| it.answer == answer);
        let same_since = before.map_or(now, |it| it.same_since);
        case.asked = Some(Asked { at: now, same_since, answer });
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
