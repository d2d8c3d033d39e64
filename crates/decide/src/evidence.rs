//! What stands beside an incident so that a person can believe it, or not.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::ToString,
    vec::Vec,
};

use tallylight_model::{ChannelId, MonoTime, NodeId, RegionId, Severity, StreamId};

use crate::{
    incident::{Cause, Evidence, Sees, Side, Subject, Vantage, Vote},
    ledger::Case,
    lineup::{Agent, Channel, StreamRef},
    scene::{Scene, State, Word},
    sight::Sight,
    view::Up,
};

/// Pieces of evidence on each side.
const MAX_SIDE: usize = 16;

/// Vantage points listed with one incident.
const MAX_VANTAGE: usize = 64;

#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) vantage: Vec<Vantage>,
    pub(crate) severity: Severity,
    pub(crate) affected: BTreeSet<(ChannelId, RegionId)>,
}

/// Collects what agents say about everything that a case's cause could break.
///
/// What was said for the cause stays when it is over: it is what the cause was named by. Against it stands only who has seen
/// a stream well from the onset on, so that nobody who saw it recover seems to deny that it was bad. Who has no vote is on
/// neither side: the vantage points say what it sees, and why that does not count.
pub(crate) fn describe(scene: &Scene<'_>, case: &Case) -> Described {
    let subject = &case.incident.subject;
    let (mut speaks_for, mut against) = (Vec::new(), Vec::new());
    let mut sees: BTreeMap<&NodeId, Sees> = BTreeMap::new();
    let mut severity = Severity::Info;
    for stream in case.scope.union(&case.incident.streams) {
        let Some(found) = scene.facts.lineup.stream(stream) else { continue };
        let since = case.incident.onset + found.delay();
        for (node, sight) in scene.facts.sights_of(stream) {
            let word = scene.word(node, sight, since);
            let seen = match word {
                Word::Bad | Word::Suspect => Sees::Bad,
                Word::Good => Sees::Good,
                Word::Unknown => Sees::Nothing,
            };
            let entry = sees.entry(node).or_insert(Sees::Nothing);
            *entry = worse(*entry, seen);
            let own = *subject == Subject::Probe(node.clone());
            let is_of_others = subject.cause() == Cause::Probe && !own;
            match word {
                Word::Bad if own || scene.votes(node) => {
                    let side = if is_of_others { Side::Against } else { Side::For };
                    let said = faults(side, node, stream, sight);
                    severity = said.iter().map(|it| it.severity).fold(severity, Severity::max);
                    (if is_of_others { &mut against } else { &mut speaks_for }).extend(said);
                }
                Word::Good if !own && scene.votes(node) && is_good_since(sight, since) => {
                    // Of a witness at fault it is the others who prove it.
                    let side = if is_of_others { Side::For } else { Side::Against };
                    let said = good(side, node, stream, since);
                    (if is_of_others { &mut speaks_for } else { &mut against }).push(said);
                }
                _ => {}
            }
        }
    }
    speaks_for.extend(remembered(scene, &case.incident.evidence, &speaks_for));
    // Critical faults first, so that what an action rests on is never the part that is cut.
    speaks_for.sort_by_key(|it| (core::cmp::Reverse(it.severity), it.onset));
    speaks_for.truncate(MAX_SIDE);
    against.truncate(MAX_SIDE);
    speaks_for.append(&mut against);
    let vantage = vantage(scene, case, sees);
    Described { evidence: speaks_for, vantage, severity, affected: affected(scene, case) }
}

/// What was said for the cause before, by witnesses that nobody has refuted since.
fn remembered(scene: &Scene<'_>, before: &[Evidence], now: &[Evidence]) -> Vec<Evidence> {
    let same =
        |a: &Evidence, b: &Evidence| (&a.node, &a.stream, a.kind) == (&b.node, &b.stream, b.kind);
    let old = before.iter().filter(|it| it.side == Side::For && it.kind.is_some());
    old.filter(|it| scene.vote(&it.node) != Vote::Contradicted)
        .filter(|it| !now.iter().any(|new| same(new, it)))
        .cloned()
        .collect()
}

/// Whether nothing bad has been seen of a stream since a moment, and not only by now.
fn is_good_since(sight: &Sight, since: MonoTime) -> bool {
    sight.last_bad().is_none_or(|at| at <= since)
}

/// Who could have seen it: the agents that watch any of the streams, whether they said anything or not.
fn vantage(scene: &Scene<'_>, case: &Case, sees: BTreeMap<&NodeId, Sees>) -> Vec<Vantage> {
    let lineup = &scene.facts.lineup;
    let streams = case.scope.union(&case.incident.streams);
    let regions: BTreeSet<&RegionId> =
        streams.filter_map(|it| Some(lineup.stream(it)?.region())).collect();
    let own = |it: &NodeId| case.incident.subject == Subject::Probe(it.clone());
    let is_there =
        |it: &&Agent| regions.contains(&it.region) || sees.contains_key(&it.node) || own(&it.node);
    let points = lineup.agents().filter(is_there).map(|agent| Vantage {
        node: agent.node.clone(),
        path: agent.path.clone(),
        sees: sees.get(&agent.node).copied().unwrap_or(Sees::Nothing),
        vote: scene.vote(&agent.node),
    });
    points.take(MAX_VANTAGE).collect()
}

const fn worse(a: Sees, b: Sees) -> Sees {
    match (a, b) {
        (Sees::Bad, _) | (_, Sees::Bad) => Sees::Bad,
        (Sees::Good, _) | (_, Sees::Good) => Sees::Good,
        (Sees::Nothing, Sees::Nothing) => Sees::Nothing,
    }
}

fn faults(side: Side, node: &NodeId, stream: &StreamId, sight: &Sight) -> Vec<Evidence> {
    sight
        .faults()
        .map(|(kind, it)| Evidence {
            side,
            node: node.clone(),
            stream: stream.clone(),
            kind: Some(kind),
            severity: it.severity,
            onset: it.onset,
            declared: it.declared,
            text: it.evidence.clone(),
        })
        .collect()
}

fn good(side: Side, node: &NodeId, stream: &StreamId, since: MonoTime) -> Evidence {
    Evidence {
        side,
        node: node.clone(),
        stream: stream.clone(),
        kind: None,
        severity: Severity::Info,
        onset: since,
        declared: since,
        text: "seen well since the onset".to_string(),
    }
}

/// Where viewers see it. A source that the channel is not on, and a witness at fault, harm no viewer.
fn affected(scene: &Scene<'_>, case: &Case) -> BTreeSet<(ChannelId, RegionId)> {
    let mut affected = BTreeSet::new();
    if case.incident.cause() == Cause::Probe {
        return affected;
    }
    for stream in case.scope.union(&case.incident.streams) {
        match scene.facts.lineup.stream(stream) {
            Some(StreamRef::Delivery(channel, _, server)) => {
                let state = scene.state(stream, case.incident.onset);
                if matches!(state, State::Bad | State::Suspect) {
                    affected.insert((channel.id.clone(), server.region.clone()));
                }
            }
            // The fault is on its way to every region even where it has not been seen yet.
            Some(StreamRef::Source(channel, _))
                if case.incident.cause() != Cause::Programme && scene.facts.is_active(stream) =>
            {
                let regions = scene.facts.regions_of(&channel.id);
                affected.extend(regions.into_iter().map(|it| (channel.id.clone(), it)));
            }
            _ => {}
        }
    }
    affected
}

/// Whether a channel is good in a region: by most of its watched deliveries, an even split being bad.
pub(crate) fn up(scene: &Scene<'_>, channel: &Channel, region: &RegionId) -> Option<Up> {
    if scene.facts.is_off_air(&channel.id) {
        return None;
    }
    let (mut good, mut bad) = (0_usize, 0_usize);
    for delivery in &channel.deliveries {
        let server = scene.facts.lineup.server(&delivery.server);
        // Nobody is sent to a drained server.
        let counts =
            server.is_some_and(|it| it.region == *region && !scene.facts.is_drained(&it.id));
        if !counts {
            continue;
        }
        match scene.state(&delivery.stream, MonoTime::ZERO) {
            State::Good | State::Suspect | State::Disputed => good += 1,
            State::Bad => bad += 1,
            State::Unknown => {}
        }
    }
    match (good, bad) {
        (0, 0) => None,
        _ if bad >= good => Some(Up::Bad),
        _ => Some(Up::Good),
    }
}
