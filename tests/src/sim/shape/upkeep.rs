//! Work on the platform: maintenance, lineups that are loaded anew, and sources that come back.

use std::time::Duration;

use tallylight_decide::{
    incident::Subject,
    lineup::{Lineup, Parts},
    maintenance::{Area, Plan},
};
use tallylight_model::{FaultKind, MonoTime, WindowId};

use super::{Draw, HARD, loosely, source::unfit};
use crate::sim::{demo::id, platform::Trouble, scenario::Doing};

/// Something is worked on and breaks meanwhile, as it may; afterwards it is well.
pub(super) fn maintenance(draw: &mut Draw<'_>) -> Option<()> {
    let works = Duration::from_secs(draw.dice.magnitude(20, 80));
    let area = break_area(draw, works)?;
    let before = Duration::from_secs(draw.dice.magnitude(2, 15));
    let (begin, end) = (draw.at - before, draw.at + works + draw.dice.millis(10_000));
    plan(draw, area, (begin, end));
    loosely(draw);
    Some(())
}

/// Maintenance gone wrong: what broke in it stays broken after it.
pub(super) fn maintenance_wrong(draw: &mut Draw<'_>) -> Option<()> {
    let lasts = Duration::from_secs(draw.dice.magnitude(80, 150));
    let area = break_area(draw, lasts)?;
    let before = Duration::from_secs(draw.dice.magnitude(2, 15));
    let end = draw.at + Duration::from_secs(draw.dice.magnitude(5, 45));
    plan(draw, area, (draw.at - before, end));
    draw.scenario.lasting = true;
    Some(())
}

/// Breaks a server, a channel or a region as a whole, for so long.
fn break_area(draw: &mut Draw<'_>, lasts: Duration) -> Option<Area> {
    let at = draw.at;
    match draw.dice.below(4) {
        0 => {
            let channel = draw.delivered()?.id;
            draw.trouble(at, lasts, Trouble::Hang(channel.clone()));
            draw.whole(Subject::Processing(channel.clone()), at, lasts, &[FaultKind::NoData]);
            Some(Area::Channel(channel))
        }
        1 => {
            let server = draw.server()?.0;
            let region = draw.lineup.server(&server)?.region.clone();
            draw.trouble(at, lasts, Trouble::Dark(region.clone()));
            draw.whole(Subject::Region(region.clone()), at, lasts, &[FaultKind::Unreachable]);
            Some(Area::Region(region))
        }
        _ => {
            let server = draw.server()?.0;
            draw.trouble(at, lasts, Trouble::Dead(server.clone()));
            draw.whole(Subject::Server(server.clone()), at, lasts, &[FaultKind::Unreachable]);
            Some(Area::Server(server))
        }
    }
}

/// Plans it in the configuration or by the API.
fn plan(draw: &mut Draw<'_>, area: Area, (begin, end): (MonoTime, MonoTime)) {
    let is_configured = draw.dice.one_in(2);
    let by = (!is_configured).then(|| "ops".to_owned());
    let name = format!("work-{}", draw.scenario.plans().count());
    let plan = Plan { id: id(WindowId::new(&name)), area, begin, end, by, why: "work".to_owned() };
    if is_configured {
        return draw.scenario.windows.push(plan);
    }
    let told = begin - draw.dice.millis(5000);
    if draw.dice.one_in(3) {
        let early = begin + (end.since(begin)) / 2;
        draw.scenario.people.push((early, Doing::EndMaintenance(plan.id.clone())));
    }
    draw.scenario.people.push((told, Doing::Maintain(Box::new(plan))));
}

/// Somebody works somewhere, whatever is broken.
pub(super) fn elsewhere(draw: &mut Draw<'_>) {
    let area = match draw.dice.below(4) {
        0 => Area::Channel(draw.channel().id),
        1 => {
            let regions = &draw.scenario.parts.regions;
            Area::Region(regions[draw.dice.below(regions.len() as u64) as usize].id.clone())
        }
        _ => {
            let servers = &draw.scenario.parts.servers;
            Area::Server(servers[draw.dice.below(servers.len() as u64) as usize].id.clone())
        }
    };
    let begin = draw.at - Duration::from_secs(10) + draw.dice.millis(40_000);
    let end = begin + Duration::from_secs(draw.dice.magnitude(10, 90));
    plan(draw, area, (begin, end));
}

/// The lineup is loaded anew: something comes, or goes, or both.
pub(super) fn reload(draw: &mut Draw<'_>) {
    let full = draw.scenario.parts.clone();
    let Some(less) = less(draw, &full) else { return };
    let at = draw.at - Duration::from_secs(10) + draw.dice.millis(50_000);
    let mut load = |at, parts: &Parts| {
        draw.scenario.people.push((at, Doing::Load(Box::new(parts.clone()))));
    };
    match draw.dice.below(3) {
        0 => {
            load(at, &full);
            draw.scenario.listed = Some(Box::new(less));
        }
        1 => load(at, &less),
        _ => {
            load(at, &less);
            load(at + draw.dice.millis(30_000), &full);
        }
    }
}

/// A lineup without one of its things; `None` where it would not hold together.
fn less(draw: &mut Draw<'_>, full: &Parts) -> Option<Parts> {
    let mut less = full.clone();
    let dice = &mut *draw.dice;
    let mut any = |count: usize| dice.below(count.max(1) as u64) as usize;
    match any(5) {
        0 if less.channels.len() > 1 => drop(less.channels.remove(any(full.channels.len()))),
        1 => {
            let channel = &mut less.channels[any(full.channels.len())];
            channel.sources.pop().filter(|_| !channel.sources.is_empty())?;
        }
        2 if less.servers.len() > 1 => {
            let gone = less.servers.remove(any(full.servers.len())).id;
            less.channels.iter_mut().for_each(|it| it.deliveries.retain(|it| it.server != gone));
        }
        3 if less.agents.len() > 1
            && !draw.scenario.events.iter().any(|it| it.what.agent().is_some()) =>
        {
            less.agents.remove(any(full.agents.len()));
        }
        _ => less.channels.iter_mut().for_each(|it| it.deliveries.truncate(2)),
    }
    Lineup::new(less.clone()).ok().map(|_| less)
}

/// A source that is good again, or seems to be, under a lineup that wants channels back on it.
pub(super) fn fail_back(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered().filter(|it| it.sources.len() > 1)?;
    let hold = Duration::from_secs(draw.dice.magnitude(10, 40));
    let parts = &mut draw.scenario.parts.channels;
    parts.iter_mut().filter(|it| it.id == channel.id).for_each(|it| it.fail_back = Some(hold));
    draw.lineup = draw.scenario.site().lineup;
    let (at, home) = (draw.at, channel.sources[0].stream.clone());
    let kind = draw.dice.pick(HARD);
    let lasts = Duration::from_secs(draw.dice.magnitude(12, 40));
    let bad = Trouble::Source(home.clone(), kind);
    draw.trouble(at, lasts, bad.clone());
    draw.whole(Subject::Source(home.clone()), at, lasts, &[kind]);
    // A ready source has had no fault for a minute, and is then watched for as long as the lineup says.
    let back = at + lasts + Duration::from_secs(60) + hold;
    let longer = Duration::from_secs(draw.dice.magnitude(20, 60));
    match draw.dice.below(3) {
        0 => {}
        1 => {
            let again = back + draw.dice.millis(30_000);
            draw.trouble(again, longer, bad);
            draw.whole(Subject::Source(home), again, longer, &[kind]);
        }
        _ => unfit(draw, &channel, &home, (at + lasts, hold + longer + Duration::from_secs(60))),
    }
    draw.after = Duration::from_secs(90) + back.since(at);
    loosely(draw);
    Some(())
}
