//! Which region could take another one's viewers.
//!
//! A move brings *all* of them, so every channel that is on the air and delivered in the region they leave counts, whether the
//! fault was seen on it or not. What the destination does not carry at all is weighed and does not forbid the move: the person
//! who approves it knows the platform's contracts, this judgement does not.

use alloc::collections::BTreeSet;

use tallylight_model::{MonoTime, RegionId};

use crate::{
    action::ActionKind,
    lineup::{Channel, Delivery, SingleWitness},
    scene::{Scene, State},
};

/// The region that lacks the fewest of the channels, and of equals the one that is listed first.
pub(crate) fn choose<'a>(scene: &Scene<'a>, from: &RegionId) -> Option<&'a RegionId> {
    let regions = scene.facts.lineup.listed_regions();
    let able = regions.filter_map(|it| Some((lacking(scene, from, it)?, it)));
    able.min_by_key(|(lacking, _)| *lacking).map(|(_, region)| region)
}

/// How many channels the viewers of one region would lose in another; `None` if it cannot take them.
pub(crate) fn lacking(scene: &Scene<'_>, from: &RegionId, to: &RegionId) -> Option<usize> {
    let elsewhere = scene.facts.served_by(to).is_some_and(|it| it != to);
    if from == to || elsewhere || is_stricter(scene, from, to) || is_full(scene, to) {
        return None;
    }
    let (mut lacking, mut carried) = (0, 0_usize);
    for channel in moving(scene, from) {
        let mut there = deliveries(scene, channel, to).peekable();
        if there.peek().is_none() {
            lacking += 1;
            continue;
        }
        let mut is_good = false;
        for delivery in there {
            match scene.state(&delivery.stream, MonoTime::ZERO) {
                State::Bad => return None,
                State::Good => is_good |= is_proven(scene, channel, delivery, to),
                State::Suspect | State::Disputed | State::Unknown => {}
            }
        }
        if !is_good {
            return None;
        }
        carried += 1;
    }
    (carried > 0).then_some(lacking)
}

/// The channels that viewers of a region watch there.
pub(crate) fn moving<'a>(scene: &Scene<'a>, from: &RegionId) -> impl Iterator<Item = &'a Channel> {
    let facts = scene.facts;
    let channels = facts.lineup.channels().filter(|it| !facts.is_off_air(&it.id));
    channels.filter(move |it| facts.lineup.regions_of(&it.id).is_some_and(|it| it.contains(from)))
}

/// A channel's deliveries in a region that viewers are sent to.
pub(crate) fn deliveries<'a>(
    scene: &Scene<'a>,
    channel: &'a Channel,
    region: &RegionId,
) -> impl Iterator<Item = &'a Delivery> {
    let facts = scene.facts;
    let is_there = move |it: &&Delivery| {
        let server = facts.lineup.server(&it.server);
        server.is_some_and(|it| it.region == *region && !facts.is_drained(&it.id))
    };
    channel.deliveries.iter().filter(is_there)
}

/// Whether any server of a region is used up to the limit of survivors, as far as that is known.
pub(crate) fn is_full(scene: &Scene<'_>, region: &RegionId) -> bool {
    let facts = scene.facts;
    let limit = facts.policy.guards.survivor_saturation;
    let mut servers = facts.lineup.servers().filter(|it| it.region == *region);
    servers.any(|it| {
        !facts.is_drained(&it.id)
            && facts.server_saturation(&it.id, scene.now).is_some_and(|it| it >= limit)
    })
}

/// Whether less may be done to a region than to the one that is left: then nobody is brought there.
fn is_stricter(scene: &Scene<'_>, from: &RegionId, to: &RegionId) -> bool {
    let mode = |region| scene.facts.policy.mode(ActionKind::RegionMove, [region]);
    mode(to) < mode(from)
}

/// Whether as many vantage points see a delivery well as a fault would need.
fn is_proven(scene: &Scene<'_>, channel: &Channel, delivery: &Delivery, region: &RegionId) -> bool {
    let agents = scene.facts.lineup.agents().filter(|it| it.region == *region);
    let paths: BTreeSet<&str> = agents.map(|it| it.path.as_str()).collect();
    let alone = paths.len() == 1 && channel.single_witness == SingleWitness::Allowed;
    let needed = if alone { 1 } else { scene.facts.policy.guards.quorum };
    scene.good_paths(&delivery.stream) >= needed
}
