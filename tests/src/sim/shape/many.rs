//! One cause behind many channels, and many causes at once.

use std::{collections::BTreeSet, time::Duration};

use tallylight_decide::{
    incident::Subject,
    lineup::{Channel, Delivery, Source},
};
use tallylight_model::{FaultKind, RegionId, StreamId};

use super::{Draw, HARD, loosely};
use crate::sim::{platform::Trouble, scenario::Fault};

pub(super) fn provider(draw: &mut Draw<'_>) -> Option<()> {
    let providers = &draw.scenario.parts.providers;
    let id = providers[draw.dice.below(providers.len() as u64) as usize].id.clone();
    let all = draw.scenario.parts.channels.iter().flat_map(|it| &it.sources);
    let of_it: Vec<StreamId> =
        all.filter(|it| it.provider.as_ref() == Some(&id)).map(|it| it.stream.clone()).collect();
    if of_it.len() < 2 {
        return None;
    }
    let kind = draw.dice.pick(HARD);
    let (at, lasts) = (draw.at, draw.lasts());
    for source in of_it {
        let from = at + draw.dice.millis(1500);
        draw.trouble(from, lasts, Trouble::Source(source, kind));
    }
    draw.whole(Subject::Provider(id), at, lasts, &[kind]);
    Some(())
}

/// An encoder hangs with every channel on it.
pub(super) fn encoder(draw: &mut Draw<'_>) -> Option<()> {
    let encoders = &draw.scenario.parts.encoders;
    let id = encoders.get(draw.dice.below(encoders.len().max(1) as u64) as usize)?.id.clone();
    let delivered = draw.lineup.channels_on(&id).filter(|it| !it.deliveries.is_empty());
    if delivered.count() < 2 {
        return None;
    }
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Stuck(id.clone()));
    draw.whole(Subject::Encoder(id), at, lasts, &[FaultKind::NoData]);
    Some(())
}

/// How many channels a region must have, so that a storm can be told from its own fault, and may, so that it is soon drawn.
const ROOM: std::ops::RangeInclusive<usize> = 10..=120;

/// Many channels of a region fail, each for a reason of its own.
pub(super) fn storm(draw: &mut Draw<'_>) -> Option<()> {
    let server = draw.server()?.0;
    let region = draw.lineup.server(&server)?.region.clone();
    let mut there: Vec<Channel> =
        draw.lineup.channels().filter(|it| is_delivered_to(draw, it, &region)).cloned().collect();
    if !ROOM.contains(&there.len()) {
        return None;
    }
    let (least, most) = (6.max(there.len() / 4) as u64, (there.len() * 6 / 10) as u64);
    let many = draw.dice.magnitude(least, most.max(least));
    let (spread, lasts) = (draw.dice.pick(&[1000, 8000, 25_000]), Duration::from_secs(90));
    for _ in 0..many {
        let channel = there.remove(draw.dice.below(there.len() as u64) as usize);
        let from = draw.at + draw.dice.millis(spread);
        let kind = draw.dice.pick(HARD);
        let source = channel.sources[0].stream.clone();
        let (what, subject) = match draw.dice.below(3) {
            0 => (Trouble::Source(source.clone(), kind), Subject::Source(source)),
            1 => (Trouble::Sick(channel.id.clone(), kind), Subject::Processing(channel.id)),
            _ => (Trouble::Hang(channel.id.clone()), Subject::Processing(channel.id)),
        };
        draw.trouble(from, lasts, what);
        draw.whole(subject, from, lasts, &[kind]);
    }
    named_together(draw);
    draw.scenario.storm = true;
    loosely(draw);
    Some(())
}

fn is_delivered_to(draw: &Draw<'_>, channel: &Channel, region: &RegionId) -> bool {
    let mut servers = channel.deliveries.iter().filter_map(|it| draw.lineup.server(&it.server));
    servers.any(|it| it.region == *region)
}

/// The storm has the region's name, and that of any other where as much broke: what is wrong at a source is so everywhere. What
/// shares a provider or an encoder by chance may get theirs.
fn named_together(draw: &mut Draw<'_>) {
    let broken: BTreeSet<&StreamId> =
        draw.scenario.faults.iter().flat_map(|it: &Fault| &it.broken).collect();
    let guards = &draw.scenario.policy.guards;
    let is_stormy = |region: &RegionId| {
        let there = || draw.lineup.channels().filter(|it| is_delivered_to(draw, it, region));
        let is_there =
            |it: &Delivery| draw.lineup.server(&it.server).is_some_and(|it| it.region == *region);
        let is_hit = |it: &&Channel| {
            it.deliveries.iter().any(|it| is_there(it) && broken.contains(&it.stream))
        };
        let hit = there().filter(is_hit).count();
        hit > guards.storm_channels
            && hit as f64 >= guards.storm_share.get() * there().count() as f64
    };
    let regions = draw.scenario.parts.regions.iter().map(|it| &it.id);
    let mut names: BTreeSet<Subject> =
        regions.filter(|it| is_stormy(it)).cloned().map(Subject::Region).collect();
    for channel in &draw.scenario.parts.channels {
        let hit = |it: &&Source| broken.contains(&it.stream);
        let providers = channel.sources.iter().filter(hit).filter_map(|it| it.provider.clone());
        names.extend(providers.map(Subject::Provider));
        if channel.deliveries.iter().any(|it| broken.contains(&it.stream)) {
            names.extend(channel.encoder.clone().map(Subject::Encoder));
        }
    }
    if let Some(first) = draw.scenario.faults.first_mut() {
        first.or.extend(names);
    }
}
