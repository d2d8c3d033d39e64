//! What goes wrong with servers, regions and single deliveries.

use std::{collections::BTreeSet, time::Duration};

use tallylight_decide::incident::Subject;
use tallylight_model::{ChannelId, FaultKind, ServerId, StreamId};

use super::{Draw, HARD, LASTS, loosely};
use crate::sim::{
    platform::{Form, Trouble},
    truth,
};

pub(super) fn server(draw: &mut Draw<'_>) -> Option<()> {
    let (id, _) = draw.server()?;
    let (at, lasts) = (draw.at, draw.lasts());
    let what = if draw.dice.one_in(3) { Trouble::Wedged } else { Trouble::Dead };
    draw.trouble(at, lasts, what(id.clone()));
    draw.whole(Subject::Server(id), at, lasts, &[FaultKind::Unreachable]);
    Some(())
}

/// Some channels of a server, and not all: more than half, so that it is no accident.
pub(super) fn server_partial(draw: &mut Draw<'_>) -> Option<()> {
    let (id, streams) = draw.server().filter(|it| it.1.len() >= 3)?;
    let kind = draw.dice.pick(&[FaultKind::NoData, FaultKind::Continuity, FaultKind::NoVideo]);
    let (at, lasts) = (draw.at, draw.lasts());
    let part = draw.dice.pick(&[5, 6, 7, 8, 9]);
    let count = (streams.len() as u64 * part).div_ceil(10).clamp(2, streams.len() as u64);
    let broken: BTreeSet<StreamId> = streams.into_iter().take(count as usize).collect();
    for stream in &broken {
        let from = at + draw.dice.millis(1000);
        draw.trouble(from, lasts, Trouble::Delivery(stream.clone(), kind));
    }
    draw.fault(Subject::Server(id), broken, (at, lasts), &[kind]);
    Some(())
}

/// Slow, not dead: packets come in bursts, segments late.
pub(super) fn server_slow(draw: &mut Draw<'_>) -> Option<()> {
    let (id, streams) = draw.server()?;
    let lasts = Duration::from_secs(LASTS);
    match draw.scenario.forms.get(&id) {
        Some(Form::Segments(secs)) => {
            let by = Duration::from_millis(draw.dice.magnitude(secs * 500, secs * 6000));
            draw.trouble(draw.at, lasts, Trouble::Slow(id.clone(), by));
        }
        _ => {
            for stream in &streams {
                let gap = Trouble::Delivery(stream.clone(), FaultKind::NoData);
                draw.pulses(lasts, (1200, 4500), (4000, 15_000), &gap);
            }
        }
    }
    let broken = streams.into_iter().collect();
    draw.fault(Subject::Server(id), broken, (draw.at, lasts), &[FaultKind::Stall]);
    // What stalls at one moment may be a single channel, or several.
    let channels: Vec<ChannelId> =
        draw.scenario.parts.channels.iter().map(|it| it.id.clone()).collect();
    for fault in &mut draw.scenario.faults {
        fault.or.extend(channels.iter().cloned().map(Subject::Processing));
        fault.must = false;
    }
    Some(())
}

pub(super) fn server_flaps(draw: &mut Draw<'_>) -> Option<()> {
    let (id, _) = draw.server()?;
    let lasts = Duration::from_secs(LASTS + 60);
    draw.pulses(lasts, (4000, 25_000), (10_000, 50_000), &Trouble::Dead(id.clone()));
    draw.whole(Subject::Server(id), draw.at, lasts, &[FaultKind::Unreachable]);
    loosely(draw);
    Some(())
}

/// One channel on one server.
pub(super) fn delivery(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let index = draw.dice.below(channel.deliveries.len() as u64) as usize;
    let delivery = channel.deliveries[index].clone();
    let kind = draw.dice.pick(HARD);
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Delivery(delivery.stream.clone(), kind));
    let broken = BTreeSet::from([delivery.stream]);
    // It has no name of its own: whatever it is a part of is right.
    draw.fault(Subject::Processing(channel.id), broken.clone(), (at, lasts), &[kind]);
    draw.fault(Subject::Server(delivery.server), broken, (at, lasts), &[kind]);
    loosely(draw);
    Some(())
}

pub(super) fn region_lossy(draw: &mut Draw<'_>) -> Option<()> {
    bad_region(draw, FaultKind::Continuity)
}

pub(super) fn region_dark(draw: &mut Draw<'_>) -> Option<()> {
    bad_region(draw, FaultKind::Unreachable)
}

fn bad_region(draw: &mut Draw<'_>, kind: FaultKind) -> Option<()> {
    let server = draw.server()?.0;
    let region = draw.lineup.server(&server)?.region.clone();
    let streams = truth::breaks(&draw.lineup, &Subject::Region(region.clone()));
    let servers = draw.lineup.servers().filter(|it| it.region == region).count();
    if servers < 2 || streams.len() < 2 {
        return None;
    }
    let (at, lasts) = (draw.at, draw.lasts());
    let what = match kind {
        FaultKind::Unreachable => Trouble::Dark(region.clone()),
        _ => Trouble::Lossy(region.clone()),
    };
    draw.trouble(at, lasts, what);
    draw.whole(Subject::Region(region), at, lasts, &[kind]);
    Some(())
}

/// One server, and then the region.
pub(super) fn spreading(draw: &mut Draw<'_>) -> Option<()> {
    let (first, _) = draw.server()?;
    let region = draw.lineup.server(&first)?.region.clone();
    let all: Vec<ServerId> =
        draw.lineup.servers().filter(|it| it.region == region).map(|it| it.id.clone()).collect();
    if all.len() < 2 {
        return None;
    }
    let lasts = Duration::from_secs(LASTS);
    let mut from = draw.at;
    draw.trouble(from, lasts, Trouble::Dead(first.clone()));
    draw.whole(Subject::Server(first.clone()), from, lasts, &[FaultKind::Unreachable]);
    for server in all.into_iter().filter(|it| *it != first) {
        from = from + Duration::from_millis(draw.dice.magnitude(1000, 20_000));
        draw.trouble(from, lasts, Trouble::Dead(server.clone()));
        draw.whole(Subject::Server(server), from, lasts, &[FaultKind::Unreachable]);
    }
    for fault in &mut draw.scenario.faults {
        fault.or.insert(Subject::Region(region.clone()));
    }
    Some(())
}
