//! What stands beside an incident so that a person can believe it, or not.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::ToString,
    vec::Vec,
};

use tallylight_model::{ChannelId, FaultKind, MonoTime, NodeId, RegionId, Severity, StreamId};

use crate::{
    incident::{Cause, Evidence, Sees, Side, Subject, Vantage, Vote},
    ledger::Case,
    lineup::{Agent, Channel, StreamRef},
    scene::{Said, Scene, State, Word},
    sight::{Sight, Standing},
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
    let (subject, lineup) = (&case.incident.subject, &scene.facts.lineup);
    let (mut speaks_for, mut against) = (Vec::new(), Vec::new());
    let mut sees: BTreeMap<&NodeId, Sees> = BTreeMap::new();
    let mut severity = Severity::Info;
    for no in case.scope.union(&case.incident.streams).filter_map(|it| lineup.no(it)) {
        let (stream, since) = (lineup.id(no), case.incident.onset + lineup.at(no).delay());
        for Said { node, sight, word, counts, .. } in scene.said(no, since) {
            let seen = match word {
                Word::Bad | Word::Suspect => Sees::Bad,
                Word::Good => Sees::Good,
                Word::Unknown => Sees::Nothing,
            };
            let entry = sees.entry(node).or_insert(Sees::Nothing);
            *entry = worse(*entry, seen);
            let own = matches!(subject, Subject::Probe(it) if it == node);
            let is_of_others = subject.cause() == Cause::Probe && !own;
            match word {
                Word::Bad if own || counts => {
                    let side = if is_of_others { Side::Against } else { Side::For };
                    for (kind, fault) in sight.faults() {
                        severity = severity.max(fault.severity);
                        let piece = Piece::Bad(side, node, stream, kind, fault);
                        (if is_of_others { &mut against } else { &mut speaks_for }).push(piece);
                    }
                }
                Word::Good if !own && counts && is_good_since(sight, since) => {
                    // Of a witness at fault it is the others who prove it.
                    let side = if is_of_others { Side::For } else { Side::Against };
                    let piece = Piece::Good(side, node, stream, since);
                    (if is_of_others { &mut speaks_for } else { &mut against }).push(piece);
                }
                _ => {}
            }
        }
    }
    let before = remembered(scene, &case.incident.evidence, &speaks_for);
    speaks_for.extend(before);
    // Critical faults first, so that what an action rests on is never the part that is cut.
    speaks_for.sort_by_key(|it| (core::cmp::Reverse(it.severity()), it.onset()));
    let told = speaks_for.iter().take(MAX_SIDE).chain(against.iter().take(MAX_SIDE));
    let evidence = told.map(Piece::told).collect();
    Described {
        evidence,
        vantage: vantage(scene, case, sees),
        severity,
        affected: affected(scene, case),
    }
}

/// A piece of evidence before it is known whether it is told at all: of a large cause most are not.
enum Piece<'a> {
    Bad(Side, &'a NodeId, &'a StreamId, FaultKind, &'a Standing),
    Good(Side, &'a NodeId, &'a StreamId, MonoTime),
    Remembered(&'a Evidence),
}

impl Piece<'_> {
    fn severity(&self) -> Severity {
        match self {
            Self::Bad(.., fault) => fault.severity,
            Self::Good(..) => Severity::Info,
            Self::Remembered(it) => it.severity,
        }
    }

    fn onset(&self) -> MonoTime {
        match self {
            Self::Bad(.., fault) => fault.onset,
            Self::Good(.., since) => *since,
            Self::Remembered(it) => it.onset,
        }
    }

    fn stream(&self) -> &StreamId {
        match self {
            Self::Bad(_, _, stream, ..) | Self::Good(_, _, stream, _) => stream,
            Self::Remembered(it) => &it.stream,
        }
    }

    fn is_same(&self, other: &Evidence) -> bool {
        match self {
            Self::Bad(_, node, stream, kind, _) => {
                (*node, *stream, Some(*kind)) == (&other.node, &other.stream, other.kind)
            }
            Self::Good(_, node, stream, _) => {
                (*node, *stream, None) == (&other.node, &other.stream, other.kind)
            }
            Self::Remembered(it) => *it == other,
        }
    }

    fn told(&self) -> Evidence {
        match self {
            Self::Bad(side, node, stream, kind, it) => bad(*side, node, stream, *kind, it),
            Self::Good(side, node, stream, since) => good(*side, node, stream, *since),
            Self::Remembered(it) => (*it).clone(),
        }
    }
}

/// What was said for the cause before, by witnesses that nobody has refuted since, and is not said now. What is said now is in
/// the order of streams.
fn remembered<'a>(scene: &Scene<'_>, before: &'a [Evidence], now: &[Piece<'_>]) -> Vec<Piece<'a>> {
    let is_said = |it: &Evidence| {
        let first = now.partition_point(|new| *new.stream() < it.stream);
        let of_stream = now[first..].iter().take_while(|new| *new.stream() == it.stream);
        of_stream.into_iter().any(|new| new.is_same(it))
    };
    let old = before.iter().filter(|it| it.side == Side::For && it.kind.is_some());
    old.filter(|it| scene.vote(&it.node) != Vote::Contradicted)
        .filter(|it| !is_said(it))
        .map(Piece::Remembered)
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

fn bad(
    side: Side,
    node: &NodeId,
    stream: &StreamId,
    kind: FaultKind,
    fault: &Standing,
) -> Evidence {
    Evidence {
        side,
        node: node.clone(),
        stream: stream.clone(),
        kind: Some(kind),
        severity: fault.severity,
        onset: fault.onset,
        declared: fault.declared,
        text: fault.evidence.clone(),
    }
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
    let facts = scene.facts;
    let streams = case.scope.union(&case.incident.streams);
    for no in streams.filter_map(|it| facts.lineup.no(it)) {
        match facts.lineup.at(no) {
            StreamRef::Delivery(channel, delivery, server) => {
                let state = scene.state_at(no, case.incident.onset + delivery.delay);
                if matches!(state, State::Bad | State::Suspect) {
                    affected.insert((channel.id.clone(), server.region.clone()));
                }
            }
            // The fault is on its way to every region even where it has not been seen yet.
            StreamRef::Source(channel, _)
                if case.incident.cause() != Cause::Programme && facts.is_feeding(no) =>
            {
                let regions = facts.regions_of(&channel.id);
                affected.extend(regions.into_iter().map(|it| (channel.id.clone(), it)));
            }
            StreamRef::Source(..) => {}
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
