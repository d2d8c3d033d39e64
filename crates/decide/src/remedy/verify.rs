//! Whether an action helped. Only media that was produced after it counts, and only within its window.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{MonoTime, RegionId, ServerId, StreamId};

use super::{destination, readiness};
use crate::{
    action::{Action, ActionKind, Feed, Target},
    cause,
    incident::Cause,
    ledger::{Case, Ledger},
    lineup::{Delivery, StreamNo, StreamRef},
    policy::Guards,
    scene::{Scene, State},
    sight::{Seen, Sight},
    view::NotReady,
};

/// An agent watches each delivery once, and joins them afresh two at a time; servers count one for a while after its end.
const JOINS_OF_AN_AGENT: u64 = 4;

/// How far the proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Not enough has been seen.
    Pending,
    /// It helped; with the begin of the good media where media proves it.
    Good(Option<MonoTime>),
    /// It did not help, and why that is said.
    Not(&'static str),
}

/// Looks at an action that the panel says is done.
pub(crate) fn proof(scene: &Scene<'_>, ledger: &Ledger, action: &Action) -> Proof {
    let Some(done) = action.done else { return Proof::Pending };
    let from = done.max(ledger.resumed);
    let guards = &scene.facts.policy.guards;
    match action.kind {
        ActionKind::SwitchSource | ActionKind::RestartStream | ActionKind::RestartService => {
            media(scene, ledger, action, from, Rule::of(action.kind, guards))
        }
        ActionKind::DrainServer => drained(scene, from, &action.target),
        ActionKind::RegionMove => moved(scene, ledger, action, from),
        ActionKind::UndrainServer | ActionKind::ReturnServer => {
            returned(scene, ledger, action, from)
        }
    }
}

/// What proves media good: so many good seconds of so many, within a time.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) good: u32,
    pub(crate) of: u32,
    pub(crate) within: Duration,
}

impl Rule {
    pub(crate) const fn of(kind: ActionKind, guards: &Guards) -> Self {
        let (good, of, within) = match kind {
            ActionKind::SwitchSource => {
                let good = guards.verify_switch_good;
                (good, good, guards.verify_switch_within)
            }
            ActionKind::UndrainServer | ActionKind::ReturnServer => {
                let good = guards.verify_return_good;
                (good, good, guards.verify_return_within)
            }
            ActionKind::RestartStream
            | ActionKind::RestartService
            | ActionKind::DrainServer
            | ActionKind::RegionMove => {
                let Guards { verify_restart_good, verify_restart_of, .. } = guards;
                (*verify_restart_good, *verify_restart_of, guards.verify_restart_within)
            }
        };
        Self { good, of, within }
    }
}

fn media(scene: &Scene<'_>, ledger: &Ledger, action: &Action, from: MonoTime, rule: Rule) -> Proof {
    let lineup = &scene.facts.lineup;
    let deliveries = touched(scene, &action.target);
    let others = explained_elsewhere(ledger, action, &deliveries);
    let mut proofs = Vec::new();
    if let Some(Feed::Source(to)) = &action.to {
        proofs.push(stream(scene, to, from, rule, Unseen::Matters));
    }
    let mut last = from;
    for delivery in deliveries {
        let from = from + lineup.at(delivery).delay();
        last = last.max(from);
        if !others.contains(&delivery) {
            let good = stream(scene, lineup.id(delivery), from, rule, Unseen::IsSkipped);
            proofs.push(switched(scene, action, delivery, from, rule).unwrap_or(good));
        }
    }
    let over = scene.now >= last + rule.within + scene.facts.policy.guards.verify_grace;
    match combine(proofs) {
        Proof::Good(None) if over => Proof::Not("nobody saw what was acted on in time"),
        Proof::Good(None) => Proof::Pending,
        proof => proof,
    }
}

/// What a delivery proves that goes on with the very frames of the source that was left: it was not switched, however good.
fn switched(
    scene: &Scene<'_>,
    action: &Action,
    delivery: StreamNo,
    from: MonoTime,
    rule: Rule,
) -> Option<Proof> {
    let (left, to) = (action.from.as_ref()?.source()?, action.to.as_ref()?.source()?);
    let facts = scene.facts;
    // What is cut into segments may have some of it after the moment.
    let since = from + rule.within * 3 / 10;
    if !facts.shows(delivery, left, since) || facts.shows(delivery, to, since) {
        return None;
    }
    let over = scene.now >= from + rule.within + facts.policy.guards.verify_grace;
    Some(if over { Proof::Not("it still shows the source that it left") } else { Proof::Pending })
}

/// The deliveries that what is done to a target can be seen on.
fn touched(scene: &Scene<'_>, target: &Target) -> BTreeSet<StreamNo> {
    let lineup = &scene.facts.lineup;
    match target {
        Target::Channel(_) | Target::Encoder { .. } => {
            let channels = target.channels().iter().filter_map(|it| lineup.streams_of(it));
            channels.flat_map(|it| &it.deliveries).copied().collect()
        }
        Target::Servers(servers) => {
            servers.iter().flat_map(|it| lineup.on_server(it)).copied().collect()
        }
        Target::Region(region) => lineup.in_region(region).iter().copied().collect(),
    }
}

/// Those of the streams that another open incident already explains: they prove nothing about this action. All of a server's or
/// region's are its, whichever incident took them first.
fn explained_elsewhere(
    ledger: &Ledger,
    action: &Action,
    streams: &BTreeSet<StreamNo>,
) -> BTreeSet<StreamNo> {
    let own = action.purpose.incident();
    // What is brought back has to answer for whatever goes wrong since.
    let since = action.undoes.and(action.done);
    let others = |it: &&Case| {
        let is_older = since.is_none_or(|done| it.incident.onset < done);
        Some(it.incident.id) != own && is_older
    };
    let explained = |it: &Case| match it.incident.cause() {
        Cause::Server | Cause::Region => cause::common(it.scope(), streams),
        _ => cause::common(it.streams(), streams),
    };
    ledger.open_cases().filter(others).flat_map(explained).collect()
}

/// All of them together; good without a moment if none says anything.
fn combine(proofs: Vec<Proof>) -> Proof {
    let mut good_at = None;
    let mut pending = false;
    for proof in proofs {
        match proof {
            Proof::Not(why) => return Proof::Not(why),
            Proof::Pending => pending = true,
            Proof::Good(at) => good_at = good_at.max(at),
        }
    }
    if pending { Proof::Pending } else { Proof::Good(good_at) }
}

/// What it means that no agent with a vote sees a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unseen {
    Matters,
    IsSkipped,
}

/// Agents with a vote decide by majority; an even split is taken as good, since a lone voice proves nothing.
fn stream(
    scene: &Scene<'_>,
    stream: &StreamId,
    from: MonoTime,
    rule: Rule,
    unseen: Unseen,
) -> Proof {
    let end = from + rule.within;
    let over = scene.now >= end + scene.facts.policy.guards.verify_grace;
    let mut by_path: BTreeMap<usize, Proof> = BTreeMap::new();
    let no = scene.facts.lineup.no(stream);
    for (path, sight) in no.into_iter().flat_map(|it| scene.current(it)) {
        let proof = by_agent(sight, from, end, over, rule);
        let of_path = by_path.entry(path).or_insert(proof);
        *of_path = worse(*of_path, proof);
    }
    if by_path.is_empty() {
        return match unseen {
            Unseen::IsSkipped => Proof::Good(None),
            Unseen::Matters if over => Proof::Not("nobody saw the new source in time"),
            Unseen::Matters => Proof::Pending,
        };
    }
    let good: Vec<_> = by_path
        .values()
        .filter_map(|it| if let Proof::Good(at) = it { Some(*at) } else { None })
        .collect();
    let pending = by_path.values().filter(|&&it| it == Proof::Pending).count();
    let all = by_path.len();
    if good.len() * 2 > all || pending == 0 && good.len() * 2 == all {
        Proof::Good(good.into_iter().flatten().min())
    } else if pending == 0 {
        Proof::Not("not enough good seconds in time")
    } else {
        Proof::Pending
    }
}

/// Agents on one path are one vantage point, which believes the least of what they say.
fn worse(a: Proof, b: Proof) -> Proof {
    match (a, b) {
        (Proof::Not(why), _) | (_, Proof::Not(why)) => Proof::Not(why),
        (Proof::Pending, _) | (_, Proof::Pending) => Proof::Pending,
        (Proof::Good(a), Proof::Good(b)) => Proof::Good(a.max(b)),
    }
}

fn by_agent(sight: &Sight, from: MonoTime, end: MonoTime, over: bool, rule: Rule) -> Proof {
    let is_within = |it: &&Seen| it.start >= from && it.start < end && it.is_observed();
    let seen = sight.recent_since(from).filter(is_within);
    let mut window = seen.clone();
    let mut good = 0;
    for (count, slice) in (1..).zip(seen) {
        good += u32::from(slice.is_good());
        if count > rule.of {
            good -= window.next().map_or(0, |it| u32::from(it.is_good()));
        }
        if good >= rule.good {
            return Proof::Good(window.find(|it| it.is_good()).map(|it| it.start));
        }
    }
    let passed = sight.latest().is_some_and(|it| it.start >= end);
    if passed || over { Proof::Not("not enough good seconds in time") } else { Proof::Pending }
}

/// The panel sends viewers there, everything is good with them, and the server has room.
fn returned(scene: &Scene<'_>, ledger: &Ledger, action: &Action, from: MonoTime) -> Proof {
    let Target::Servers(servers) = &action.target else {
        return Proof::Not("no servers are named");
    };
    let facts = scene.facts;
    let rule = Rule::of(action.kind, &facts.policy.guards);
    let limit = facts.policy.guards.survivor_saturation;
    let full = |it: &ServerId| facts.server_saturation(it, scene.now).is_some_and(|it| it >= limit);
    if servers.iter().any(full) {
        return Proof::Not("the server is too full");
    }
    if facts.panel_at.is_some_and(|at| at > from) && servers.iter().any(|it| facts.is_drained(it)) {
        return Proof::Not("the panel keeps the server without viewers");
    }
    // Viewers are on it: nobody waits for the end of the window.
    let delay = |it: StreamNo| facts.lineup.at(it).delay();
    let is_bad = |it: StreamNo| scene.state_at(it, from + delay(it)) == State::Bad;
    if touched(scene, &action.target).into_iter().any(is_bad) {
        return Proof::Not("what the server delivers went bad");
    }
    media(scene, ledger, action, from, rule)
}

fn drained(scene: &Scene<'_>, from: MonoTime, target: &Target) -> Proof {
    let Target::Servers(servers) = target else { return Proof::Not("no servers are named") };
    let facts = scene.facts;
    let read = facts.panel_at.is_some_and(|at| at > from);
    let empty = |id: &ServerId| {
        let served = facts.lineup.on_server(id).iter().map(|&it| facts.lineup.at(it));
        let deliveries = served.filter_map(|it| match it {
            StreamRef::Delivery(_, delivery, _) => Some(delivery),
            StreamRef::Source(..) => None,
        });
        let own = own_sessions(scene, deliveries);
        facts.is_drained(id) && facts.panel_server(id).is_some_and(|it| it.sessions <= own)
    };
    let over = scene.now >= from + facts.policy.guards.verify_restart_within;
    if read && servers.iter().all(empty) {
        return match (overfills_others(scene, servers), over) {
            (false, _) => Proof::Good(None),
            (true, false) => Proof::Pending,
            (true, true) => Proof::Not("the other servers of the region are too full"),
        };
    }
    if over { Proof::Not("viewers are still on the server") } else { Proof::Pending }
}

/// Whether any of the servers that viewers of these were sent to is fuller than survivors may be.
pub(crate) fn overfills_others(scene: &Scene<'_>, servers: &[ServerId]) -> bool {
    let facts = scene.facts;
    let regions: Vec<_> =
        servers.iter().filter_map(|id| Some(&facts.lineup.server(id)?.region)).collect();
    let others = facts
        .lineup
        .servers()
        .filter(|it| regions.contains(&&it.region) && !servers.contains(&it.id));
    let limit = facts.policy.guards.survivor_saturation;
    let mut used = others.filter_map(|it| facts.server_saturation(&it.id, scene.now));
    used.any(|it| it >= limit)
}

/// Viewers left for the destination, as the panel tells, and every channel of theirs that it carries is good there.
fn moved(scene: &Scene<'_>, ledger: &Ledger, action: &Action, from: MonoTime) -> Proof {
    let (Target::Region(left), Some(Feed::Region(to))) = (&action.target, &action.to) else {
        return Proof::Not("no two regions are named");
    };
    let facts = scene.facts;
    let over = scene.now >= from + facts.policy.guards.verify_restart_within;
    let wait = |why| if over { Proof::Not(why) } else { Proof::Pending };
    let read = facts.panel_at.is_some_and(|at| at > from);
    if !read || !have_left(scene, left, to) {
        return wait("the panel does not show that the viewers were moved");
    }
    if destination::is_full(scene, to) {
        return wait("the servers of the other region are too full");
    }
    let others = explained_elsewhere(ledger, action, &touched(scene, &Target::Region(to.clone())));
    let rule = Rule::of(action.kind, &facts.policy.guards);
    let mut proofs = Vec::new();
    for channel in destination::moving(scene, left) {
        for delivery in destination::deliveries(scene, channel, to) {
            if facts.lineup.no(&delivery.stream).is_some_and(|it| !others.contains(&it)) {
                let from = from + delivery.delay;
                proofs.push(stream(scene, &delivery.stream, from, rule, Unseen::IsSkipped));
            }
        }
    }
    match combine(proofs) {
        Proof::Good(None) => wait("nobody sees the region that the viewers were moved to"),
        proof => proof,
    }
}

/// Whether the panel says that a region's viewers are served elsewhere: by its word, by its counts, and by both where it
/// gives both. No word and no counts are no proof.
fn have_left(scene: &Scene<'_>, left: &RegionId, to: &RegionId) -> bool {
    let facts = scene.facts;
    let is_there = |it: &&Delivery| {
        facts.lineup.server(&it.server).is_some_and(|server| server.region == *left)
    };
    let mut counted = false;
    for (channel, panel) in facts.panel_channels() {
        counted |= !panel.sessions.is_empty();
        let own = || own_sessions(scene, channel.deliveries.iter().filter(is_there));
        if panel.sessions.get(left).is_some_and(|&it| it > 0 && it > own()) {
            return false;
        }
    }
    facts.served_by(left).map_or(counted, |it| it == to)
}

/// The most sessions on deliveries that are those of our own agents, who stay where viewers left.
fn own_sessions<'a>(scene: &Scene<'_>, deliveries: impl Iterator<Item = &'a Delivery>) -> u64 {
    let lineup = &scene.facts.lineup;
    let mut counts: BTreeMap<&RegionId, u64> = BTreeMap::new();
    for server in deliveries.filter_map(|it| lineup.server(&it.server)) {
        *counts.entry(&server.region).or_default() += 1;
    }
    let own = |(region, count): (&RegionId, u64)| {
        let agents = lineup.agents().filter(|it| it.region == *region).count() as u64;
        agents * (count + count.min(JOINS_OF_AN_AGENT))
    };
    counts.into_iter().map(own).sum()
}

/// Whether a failed switch can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undoing {
    /// The source that it left is ready again.
    Possible,
    /// That source is seen well, and only has to stay so for a while.
    Soon,
    /// That source is not good, or the channel is no longer where the switch brought it.
    No,
}

/// Whether a failed switch can be undone.
pub(crate) fn undoing(scene: &Scene<'_>, action: &Action) -> Undoing {
    let (Some(from), Some(to)) = (&action.from, &action.to) else { return Undoing::No };
    let (Some(from), Some(to)) = (from.source(), to.source()) else { return Undoing::No };
    let Some(StreamRef::Source(channel, source)) = scene.facts.lineup.stream(from) else {
        return Undoing::No;
    };
    if !scene.facts.is_active(to) {
        return Undoing::No;
    }
    let reasons = readiness::not_ready(scene, channel, source);
    let passes = |it: &NotReady| matches!(it, NotReady::RecentFault | NotReady::TooNew);
    match reasons.iter().all(passes) {
        true if reasons.is_empty() => Undoing::Possible,
        true if scene.state(from, MonoTime::ZERO) == State::Good => Undoing::Soon,
        _ => Undoing::No,
    }
}
