//! What stands beside an incident so that a person can believe it, or not.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};

use tallylight_model::{ChannelId, MonoTime, NodeId, RegionId, Severity, StreamId};

use crate::{
    incident::{Cause, Evidence, Sees, Side, Subject, Vantage},
    ledger::Case,
    lineup::{Channel, StreamRef},
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
pub(crate) fn describe(scene: &Scene<'_>, case: &Case) -> Described {
    let mut evidence = Vec::new();
    let mut against = Vec::new();
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
            match word {
                Word::Bad => {
                    let said = faults(node, stream, sight);
                    severity = said.iter().map(|it| it.severity).fold(severity, Severity::max);
                    let own = case.incident.subject == Subject::Probe(node.clone());
                    let is_for = scene.votes(node) || own;
                    (if is_for { &mut evidence } else { &mut against }).extend(said);
                }
                Word::Good => against.push(good(node, stream, since)),
                Word::Suspect | Word::Unknown => {}
            }
        }
    }
    // Critical faults first, so that what an action rests on is never the part that is cut.
    evidence.sort_by_key(|it| (core::cmp::Reverse(it.severity), it.onset));
    evidence.truncate(MAX_SIDE);
    against.truncate(MAX_SIDE);
    // A probe's own claims are what others deny: for its incident the sides are as they stand.
    evidence.append(&mut against);
    let vantage = sees.into_iter().take(MAX_VANTAGE).map(|(node, sees)| Vantage {
        node: node.clone(),
        path: scene.path(node).map(String::from).unwrap_or_default(),
        sees,
        vote: scene.vote(node),
    });
    let vantage = vantage.collect();
    Described { evidence, vantage, severity, affected: affected(scene, case) }
}

const fn worse(a: Sees, b: Sees) -> Sees {
    match (a, b) {
        (Sees::Bad, _) | (_, Sees::Bad) => Sees::Bad,
        (Sees::Good, _) | (_, Sees::Good) => Sees::Good,
        (Sees::Nothing, Sees::Nothing) => Sees::Nothing,
    }
}

fn faults(node: &NodeId, stream: &StreamId, sight: &Sight) -> Vec<Evidence> {
    sight
        .faults()
        .map(|(kind, it)| Evidence {
            side: Side::For,
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

fn good(node: &NodeId, stream: &StreamId, since: MonoTime) -> Evidence {
    Evidence {
        side: Side::Against,
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
