//! A witness is at fault: it alone calls bad what others see well, or its own host drops what it should judge.
//!
//! Nothing ever acts on a probe's incident. It is named so that a person looks at the witness and not at the stream.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{ChannelId, MonoTime, NodeId, ServerId, StreamId};

use crate::{
    echo,
    facts::DROPS_SILENCE,
    incident::Vote,
    lineup::{Marks, StreamNo, StreamRef},
    scene::{Dissent, Scene, Word},
};

/// A lone voice about several servers at once: longer than agents' declarations of one fault lie apart.
const LONE_HOLD_WIDE: Duration = Duration::from_secs(3);

/// A host is at fault if it dropped packets in this many seconds within [`DROPS_SILENCE`] twice over.
const DROP_SECONDS: usize = 3;

/// A witness at fault.
#[derive(Clone, Debug)]
pub(crate) struct ProbeVerdict {
    pub(crate) node: NodeId,
    pub(crate) streams: BTreeSet<StreamId>,
    /// How many streams it calls bad at all.
    pub(crate) claims: usize,
    pub(crate) onset: MonoTime,
    pub(crate) first_arrival: MonoTime,
}

/// What one thing that breaks can break more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Channel(&'a ChannelId),
    Server(&'a ServerId),
}

/// Which paths call anything bad, by place.
type Claimed<'a> = BTreeMap<Place<'a>, BTreeSet<usize>>;

/// Finds the witnesses at fault, and when to look again for lone voices that are not yet old enough. `bears_out` says whether a
/// cause that others see explains what a witness says of a stream, `explained` which streams a cause explains.
pub(crate) fn probes(
    scene: &Scene<'_>,
    bears_out: impl Fn(&NodeId, &StreamId) -> bool,
    explained: &Marks,
) -> (Vec<ProbeVerdict>, Option<MonoTime>) {
    let mut found = Vec::new();
    let mut again: Option<MonoTime> = None;
    let claimed = claimed(scene, explained);
    for agent in scene.facts.lineup.agents() {
        let node = &agent.node;
        let denied = scene.dissents.get(node).map_or(&[][..], Vec::as_slice);
        let first_arrival = denied.iter().map(|it| it.since).min();
        match scene.vote(node) {
            Vote::Silent => continue,
            Vote::OwnDrops if is_dropping(scene, node) => {}
            Vote::Contradicted => {}
            _ => {
                let alone = denied.iter().filter(|it| !bears_out(node, &it.stream));
                let Some(due) = due(scene, node, alone, &claimed) else { continue };
                if scene.now < due {
                    again = Some(again.map_or(due, |at| at.min(due)));
                    continue;
                }
            }
        }
        let claims = claims(scene, node);
        let onset = denied.iter().map(|it| it.onset).chain(claims.values().copied()).min();
        found.push(ProbeVerdict {
            node: node.clone(),
            streams: denied.iter().map(|it| it.stream.clone()).collect(),
            claims: claims.len(),
            onset: onset.unwrap_or(scene.now),
            first_arrival: first_arrival.unwrap_or(scene.now),
        });
    }
    (found, again)
}

/// From when on a lone voice is taken for a witness at fault.
fn due<'a>(
    scene: &Scene<'_>,
    node: &NodeId,
    denied: impl Iterator<Item = &'a Dissent>,
    claimed: &Claimed<'_>,
) -> Option<MonoTime> {
    let guards = &scene.facts.policy.guards;
    let hold = if is_wide(scene, node) { LONE_HOLD_WIDE } else { guards.segment_hold };
    // Whose stream comes back last is late by a segment and a player that fills, and not wrong.
    let due = |it: &Dissent| {
        it.since + downstream(scene, &it.stream) + if it.lingers { echo::REFILL } else { hold }
    };
    denied.filter(|it| is_outvoted(scene, node, it, claimed)).map(due).min()
}

/// How long it takes until the deliveries of a source that is in use can bear out what is said of it.
fn downstream(scene: &Scene<'_>, stream: &StreamId) -> Duration {
    let lineup = &scene.facts.lineup;
    let Some(source) = lineup.no(stream).filter(|&it| scene.facts.is_feeding(it)) else {
        return Duration::ZERO;
    };
    let fed = lineup.deliveries_of(source).iter().filter(|it| scene.is_watched(**it));
    fed.map(|&it| lineup.delay(it)).max().unwrap_or_default()
}

/// Whether fewer paths share a claim than deny it: of two that say it and one that does not, nobody knows which is wrong. Who
/// calls something else of the same channel or the same server bad shares it: where players run dry one by one, or one witness
/// is deaf, no two need speak of the same stream.
fn is_outvoted(scene: &Scene<'_>, node: &NodeId, dissent: &Dissent, claimed: &Claimed<'_>) -> bool {
    let Some(stream) = scene.facts.lineup.no(&dissent.stream) else { return false };
    let mut shared = BTreeSet::new();
    for said in scene.said(stream, dissent.onset) {
        if said.counts && matches!(said.word, Word::Bad | Word::Suspect) {
            shared.insert(said.path);
        }
    }
    let nearby = places(scene, stream).filter_map(|it| claimed.get(&it));
    shared.extend(nearby.flatten());
    if let Some(own) = scene.facts.lineup.agent_no(node) {
        shared.remove(&scene.facts.lineup.path_of(own));
    }
    shared.len() < dissent.peers
}

fn places<'a>(scene: &Scene<'a>, stream: StreamNo) -> impl Iterator<Item = Place<'a>> {
    let found = scene.facts.lineup.at(stream);
    let server = match found {
        StreamRef::Delivery(.., server) => Some(Place::Server(&server.id)),
        StreamRef::Source(..) => None,
    };
    [Some(Place::Channel(&found.channel().id)), server].into_iter().flatten()
}

/// Who calls what bad that no cause explains yet; nothing where nobody is denied.
fn claimed<'a>(scene: &Scene<'a>, explained: &Marks) -> Claimed<'a> {
    let mut claimed = Claimed::new();
    if scene.dissents.is_empty() {
        return claimed;
    }
    for &stream in scene.troubled.iter().filter(|it| !explained.contains(**it)) {
        for said in scene.said(stream, MonoTime::ZERO).filter(|it| it.counts) {
            if said.word == Word::Bad {
                for place in places(scene, stream) {
                    claimed.entry(place).or_default().insert(said.path);
                }
            }
        }
    }
    claimed
}

/// Whether an agent without a vote for its drops is at fault, and does not only have a hiccup: it drops second after second,
/// or peers deny what it says meanwhile.
fn is_dropping(scene: &Scene<'_>, node: &NodeId) -> bool {
    let drops = scene.facts.witness(node).map(|it| &it.drops);
    let recent =
        drops.into_iter().flatten().filter(|&&at| scene.now.since(at) <= DROPS_SILENCE * 2);
    let seconds: BTreeSet<u64> = recent.map(|at| at.as_nanos() / 1_000_000_000).collect();
    seconds.len() >= DROP_SECONDS || scene.dissents.contains_key(node)
}

/// What an agent calls bad, with the onset.
fn claims(scene: &Scene<'_>, node: &NodeId) -> BTreeMap<StreamId, MonoTime> {
    let mut claims = BTreeMap::new();
    for stream in scene.facts.faulty() {
        let own = scene.facts.sights_at(stream).filter(|(it, _)| *it == node);
        let faults = own.flat_map(|(_, it)| it.faults());
        if let Some(onset) = faults.map(|(_, it)| it.onset).min() {
            claims.insert(scene.facts.lineup.id(stream).clone(), onset);
        }
    }
    claims
}

/// Whether the streams on which an agent is denied are of several channels, and on several servers or several sources: one
/// channel may well be bad wherever it is.
fn is_wide(scene: &Scene<'_>, node: &NodeId) -> bool {
    let denied = scene.dissents.get(node).map_or(&[][..], Vec::as_slice);
    let (mut places, mut channels) = (BTreeSet::new(), BTreeSet::new());
    for found in denied.iter().filter_map(|it| scene.facts.lineup.stream(&it.stream)) {
        channels.insert(&found.channel().id);
        places.insert(match found {
            StreamRef::Source(_, source) => source.stream.as_str(),
            StreamRef::Delivery(.., server) => server.id.as_str(),
        });
    }
    places.len() > 1 && channels.len() > 1
}
