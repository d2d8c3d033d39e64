//! A witness is at fault: it alone calls bad what others see well, or its own host drops what it should judge.
//!
//! Nothing ever acts on a probe's incident. It is named so that a person looks at the witness and not at the stream.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{MonoTime, NodeId, StreamId};

use crate::{
    echo,
    facts::DROPS_SILENCE,
    incident::Vote,
    lineup::StreamRef,
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

/// Finds the witnesses at fault, and when to look again for lone voices that are not yet old enough. `bears_out` says whether a
/// cause that others see explains what a witness says of a stream.
pub(crate) fn probes(
    scene: &Scene<'_>,
    bears_out: impl Fn(&NodeId, &StreamId) -> bool,
) -> (Vec<ProbeVerdict>, Option<MonoTime>) {
    let mut found = Vec::new();
    let mut again: Option<MonoTime> = None;
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
                let Some(due) = due(scene, node, alone) else { continue };
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
) -> Option<MonoTime> {
    let guards = &scene.facts.policy.guards;
    let hold = if is_wide(scene, node) { LONE_HOLD_WIDE } else { guards.segment_hold };
    // Whose stream comes back last is late by a segment and a player that fills, and not wrong.
    let due = |it: &Dissent| it.since + if it.lingers { echo::REFILL } else { hold };
    denied.filter(|it| is_outvoted(scene, node, it)).map(due).min()
}

/// Whether fewer paths share a claim than deny it: of two that say it and one that does not, nobody knows which is wrong.
fn is_outvoted(scene: &Scene<'_>, node: &NodeId, dissent: &Dissent) -> bool {
    let own = scene.path(node);
    let mut shared = BTreeSet::new();
    for (peer, sight) in scene.facts.sights_of(&dissent.stream) {
        let path = scene.path(peer);
        let shares = matches!(scene.word(peer, sight, dissent.onset), Word::Bad | Word::Suspect);
        if peer != node && path != own && scene.votes(peer) && shares {
            shared.insert(path);
        }
    }
    shared.len() < dissent.peers
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

/// Whether the streams on which an agent is denied are on several servers, or are several sources.
fn is_wide(scene: &Scene<'_>, node: &NodeId) -> bool {
    let denied = scene.dissents.get(node).map_or(&[][..], Vec::as_slice);
    let mut places = BTreeSet::new();
    for dissent in denied {
        match scene.facts.lineup.stream(&dissent.stream) {
            Some(StreamRef::Source(_, source)) => places.insert(source.stream.as_str()),
            Some(StreamRef::Delivery(.., server)) => places.insert(server.id.as_str()),
            None => false,
        };
    }
    places.len() > 1
}
