//! What an action was worth, or would have been: what a person needs to know who thinks of writing `auto`.
//!
//! Two things are seen all the time, whether anything is sent or not: what viewers have, and what an action would give them
//! instead, which is the other source, the other servers or the other region. So of each second from when an action would have
//! taken effect it can be said whether it was *gained* (what they have is bad, what they would have is good) or *spoiled* (the
//! other way round). What was done for real is judged by the same two, with what was left in place of what would be there. So
//! what is proposed in `dry_run` and what is sent in `auto` are on one scale.
//!
//! - Seconds are those of a channel in a region, of which each delivery is its part, as in `iptv_channel_bad_seconds_total`: they
//!   can be set against the error budget.
//! - A restart changes the very thing that is watched, so nobody can see what would have been. Its seconds are never gained;
//!   they are *left*, which is the most that it can have been worth.
//! - An action is watched until its incident is over. Then it gets a verdict: see [`Verdict`].
//! - A report is a sum over the actions that are remembered. Running totals would never forget, and nobody could trace a figure
//!   back to the incidents that it came from.
//!
//! The rejected alternative is to let a simulated panel carry out what is proposed and to judge on from there: it would have to
//! invent what viewers see, and its second action would rest on that. So of a ladder the first rung alone is recorded: whether
//! there is a second depends on what came of the first. Nor are the counters of the signals subtracted from each other: they
//! come late by each delivery's delay. Proposals use up budgets of their own, so that of many at once those that `auto` would
//! hold for a while are held as well; what it would hold because of what a switch changed (damping, circuits) they do not know.

mod report;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{MonoTime, RegionId, ServerId, StreamId};

use crate::{
    action::{Action, ActionKind, ActionState, Feed, Target},
    guard,
    incident::{IncidentState, Subject},
    ledger::{Case, Ledger},
    lineup::{Channel, Delivery, names},
    scene::{Scene, State},
};

pub(crate) use report::report;
pub use report::{Report, Row};

/// From the decision to the moment at which the panel has carried it out: what it takes on a good day.
const TAKES: Duration = Duration::from_secs(1);

/// A fault is seen to end about this long after its last sign. So the first seconds after an action are not counted, and in turn
/// those after the end are: what is counted is as long as what was bad.
const CLEARS: Duration = Duration::from_secs(3);

/// How often streams are looked at; and the most that one look stands for, so that a hole counts as nothing. What is gained by
/// one look is nothing either.
const EVERY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(2);

/// An action is watched for no longer.
const MAX_WATCH: Duration = Duration::from_secs(3600);

/// Seconds that were counted are safe after so long.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Whether an action was made or only would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// Nothing was sent: it was proposed in `dry_run`, or nobody approved it.
    WouldBe,
    /// It was sent.
    Done,
}

names! { How { WouldBe "would_be" Done "done" } }

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Its incident is not over.
    Open,
    /// Viewers were better off, or would have been.
    Right,
    /// What it brought viewers to was no better, or went bad before what they had was good by itself.
    NoHelp,
    /// The incident turned out to have another cause.
    WrongCause,
    /// All was good by itself before it can have helped.
    Needless,
    /// What viewers had was bad, and nobody can say whether the other was good.
    Unjudged,
    /// The panel did not carry it out.
    NotDone,
}

names! {
    Verdict {
        Open "open"
        Right "right"
        NoHelp "no_help"
        WrongCause "wrong_cause"
        Needless "needless"
        Unjudged "unjudged"
        NotDone "not_done"
    }
}

impl Verdict {
    /// Whether a careful engineer would not have done it.
    #[must_use]
    pub const fn is_wrong(self) -> bool {
        matches!(self, Self::NoHelp | Self::WrongCause | Self::Needless)
    }
}

/// Seconds of channels in a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seconds {
    /// Bad before, good by the action.
    pub gained: Duration,
    /// Good before, bad by the action.
    pub spoiled: Duration,
    /// Bad before, whatever the action would have made of it.
    pub left: Duration,
}

impl Seconds {
    pub(crate) const fn add(&mut self, other: Self) {
        self.gained = self.gained.saturating_add(other.gained);
        self.spoiled = self.spoiled.saturating_add(other.spoiled);
        self.left = self.left.saturating_add(other.left);
    }
}

/// What one action was worth, or would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worth {
    /// Whether it was made.
    pub how: How,
    /// What its incident blamed when it was decided.
    pub blamed: Subject,
    /// When it took effect, or would have; `None` while the panel has not answered.
    pub effect: Option<MonoTime>,
    /// Whether it would have been verified, or was; `None` while that is open.
    pub verified: Option<bool>,
    /// What became of it.
    pub verdict: Verdict,
    /// Seconds by region, of every region whose viewers it touches.
    pub regions: BTreeMap<RegionId, Seconds>,
    /// Up to when seconds are counted.
    pub(crate) counted: MonoTime,
    /// For how long without a break what viewers would have has been good.
    pub(crate) good_for: Duration,
    /// Since when the journal has it.
    pub(crate) saved: MonoTime,
}

impl Worth {
    /// The sum over its regions.
    #[must_use]
    pub fn total(&self) -> Seconds {
        self.regions.values().fold(Seconds::default(), |mut sum, it| {
            sum.add(*it);
            sum
        })
    }
}

/// Looks at what every watched action gives viewers, or would. Answers when to look again.
pub(crate) fn watch(scene: &Scene<'_>, ledger: &mut Ledger) -> Option<MonoTime> {
    let mut again: Option<MonoTime> = None;
    for id in ledger.watched() {
        let Some(action) = ledger.action(id) else {
            ledger.unwatch(id);
            continue;
        };
        let is_open = ledger.case_for(&action.purpose).is_some_and(Case::is_open);
        let next = ledger.worth(id).map(|it| it.counted + EVERY).filter(|at| *at > scene.now);
        if let Some(at) = next.filter(|_| is_open) {
            again = Some(again.map_or(at, |it| it.min(at)));
            continue;
        }
        let before = ledger.worth(id).cloned();
        let Some(mut worth) = before.clone().or_else(|| begin(scene, ledger, action)) else {
            ledger.unwatch(id);
            continue;
        };
        if action.sent.is_some() && worth.how == How::WouldBe {
            worth = Worth { how: How::Done, effect: None, ..fresh(scene, action, &worth.blamed) };
        }
        let due = step(scene, ledger, action, &mut worth);
        let moved = before.as_ref().is_none_or(|it| {
            (it.verdict, it.verified, it.how) != (worth.verdict, worth.verified, worth.how)
        });
        let is_due = scene.now.since(worth.saved) >= SAVE_EVERY && before.as_ref() != Some(&worth);
        match due {
            Some(at) => again = Some(again.map_or(at, |it| it.min(at))),
            None => ledger.unwatch(id),
        }
        if moved || is_due {
            worth.saved = scene.now;
            ledger.keep_worth(id, worth);
        } else {
            ledger.set_worth(id, worth);
        }
    }
    again
}

/// Gives what is watched of an incident its verdict, because a person is about to close it: nothing is known after that.
pub(crate) fn end(scene: &Scene<'_>, ledger: &mut Ledger, incident: tallylight_model::IncidentId) {
    for id in ledger.watched() {
        let (Some(action), Some(worth)) = (ledger.action(id), ledger.worth(id)) else { continue };
        if action.purpose.incident() == Some(incident) {
            let mut worth = worth.clone();
            worth.verdict = verdict(action, &worth, Ended::Known);
            worth.saved = scene.now;
            ledger.keep_worth(id, worth);
            ledger.unwatch(id);
        }
    }
}

/// Whether and how an action can be watched: not if it is to undo another.
fn begin(scene: &Scene<'_>, ledger: &Ledger, action: &Action) -> Option<Worth> {
    match action.kind {
        ActionKind::SwitchSource
        | ActionKind::RestartStream
        | ActionKind::RestartService
        | ActionKind::DrainServer
        | ActionKind::RegionMove => {}
        ActionKind::UndrainServer | ActionKind::ReturnServer => return None,
    }
    if action.undoes.is_some() {
        return None;
    }
    let case = ledger.case_for(&action.purpose)?;
    Some(fresh(scene, action, &case.incident.subject))
}

fn fresh(scene: &Scene<'_>, action: &Action, blamed: &Subject) -> Worth {
    let regions = guard::regions(scene.facts, &action.target);
    Worth {
        how: How::WouldBe,
        blamed: blamed.clone(),
        effect: Some(action.decided + TAKES),
        verified: None,
        verdict: Verdict::Open,
        regions: regions.map(|it| (it.clone(), Seconds::default())).collect(),
        counted: scene.now,
        good_for: Duration::ZERO,
        saved: scene.now,
    }
}

/// What is known of an incident when watching ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It was what it was called.
    Known,
    /// It was called something else later, or was given up while all was still bad.
    Renamed,
}

/// Goes on watching. Answers when to go on; `None` once there is a verdict.
fn step(
    scene: &Scene<'_>,
    ledger: &Ledger,
    action: &Action,
    worth: &mut Worth,
) -> Option<MonoTime> {
    let now = scene.now;
    if worth.how == How::Done {
        worth.effect = action.done;
        worth.verified = match action.state {
            ActionState::Verified => Some(true),
            ActionState::NotVerified => Some(false),
            _ => None,
        };
        if action.done.is_none() && action.state.is_final() {
            worth.verdict = Verdict::NotDone;
            return None;
        }
    }
    let cells = cells(scene, action, worth);
    let case = ledger.case_for(&action.purpose);
    let open = case.filter(|it| it.incident.state == IncidentState::Open);
    let renamed = case.is_none_or(|it| it.incident.subject != worth.blamed);
    if open.is_none() || renamed || now >= action.decided + MAX_WATCH {
        let given_up = open.is_none() && cells.iter().any(|it| it.before == Some(Seen::Bad));
        let ended = if renamed || given_up { Ended::Renamed } else { Ended::Known };
        worth.verdict = verdict(action, worth, ended);
        return None;
    }
    let looked = core::mem::replace(&mut worth.counted, now);
    let Some(effect) = worth.effect.filter(|it| *it <= now) else { return Some(now + EVERY) };
    let span = now.since(looked.max(effect)).min(LOOK);
    count(worth, &cells, span);
    let guards = &scene.facts.policy.guards;
    let seconds = match action.kind {
        ActionKind::SwitchSource => guards.verify_switch_good,
        _ => guards.verify_restart_good,
    };
    let proven = worth.good_for >= Duration::from_secs(u64::from(seconds));
    if worth.how == How::WouldBe && worth.verified.is_none() && proven {
        worth.verified = Some(true);
    }
    Some(now + EVERY)
}

fn count(worth: &mut Worth, cells: &[Cell], span: Duration) {
    for cell in cells {
        let part = span / cell.parts;
        let seconds = worth.regions.entry(cell.region.clone()).or_default();
        if cell.before == Some(Seen::Bad) {
            seconds.left += part;
        }
        match (cell.before, cell.after) {
            (Some(Seen::Bad), Some(Seen::Good)) => seconds.gained += part,
            (Some(Seen::Good), Some(Seen::Bad)) => seconds.spoiled += part,
            _ => {}
        }
    }
    if cells.iter().any(|it| it.after == Some(Seen::Bad)) {
        worth.good_for = Duration::ZERO;
        if worth.how == How::WouldBe && worth.verified.is_none() {
            worth.verified = Some(false);
        }
    } else if !cells.is_empty() && cells.iter().all(|it| it.after == Some(Seen::Good)) {
        worth.good_for += span;
    }
}

fn verdict(action: &Action, worth: &Worth, ended: Ended) -> Verdict {
    let Seconds { gained, spoiled, left } = worth.total();
    if worth.how == How::Done && action.done.is_none() {
        Verdict::NotDone
    } else if ended == Ended::Renamed {
        Verdict::WrongCause
    } else if worth.verified == Some(false) || spoiled > gained {
        Verdict::NoHelp
    } else if gained > LOOK {
        Verdict::Right
    } else if left > LOOK {
        Verdict::Unjudged
    } else if is_restart(action.kind) && worth.how == How::Done {
        // What it restarted is good, and would perhaps be without it.
        Verdict::Unjudged
    } else {
        Verdict::Needless
    }
}

const fn is_restart(kind: ActionKind) -> bool {
    matches!(kind, ActionKind::RestartStream | ActionKind::RestartService)
}

/// What is seen of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Good,
    Bad,
}

/// A channel's delivery in a region, which the action touches.
#[derive(Debug)]
struct Cell {
    region: RegionId,
    /// How many deliveries the channel has there.
    parts: u32,
    /// What viewers have without the action.
    before: Option<Seen>,
    /// What they have with it.
    after: Option<Seen>,
}

const fn seen(state: State) -> Option<Seen> {
    match state {
        State::Bad => Some(Seen::Bad),
        State::Good => Some(Seen::Good),
        State::Suspect | State::Disputed | State::Unknown => None,
    }
}

/// Every delivery that an action touches, once what it changes can be seen there.
fn cells(scene: &Scene<'_>, action: &Action, worth: &Worth) -> Vec<Cell> {
    let Some(effect) = worth.effect else { return Vec::new() };
    let lineup = &scene.facts.lineup;
    let look = |it: &StreamId| seen(scene.state(it, MonoTime::ZERO));
    let region = |it: &ServerId| lineup.server(it).map(|it| it.region.clone());
    let channels: Vec<&Channel> = match action.target.channels() {
        [] => lineup.channels().collect(),
        ids => ids.iter().filter_map(|it| lineup.channel(it)).collect(),
    };
    let mut cells = Vec::new();
    for channel in channels {
        for delivery in channel.deliveries.iter().filter(|it| touches(scene, action, it)) {
            let shows_from = effect + delivery.delay + CLEARS;
            if scene.now < shows_from || scene.facts.is_off_air(&channel.id) {
                continue;
            }
            let Some(own) = region(&delivery.server) else { continue };
            let others =
                channel.deliveries.iter().filter(|it| region(&it.server).as_ref() == Some(&own));
            let parts = u32::try_from(others.count()).unwrap_or(u32::MAX).max(1);
            let has = look(&delivery.stream);
            let (before, after) = match (&action.to, worth.how, action.kind) {
                (Some(Feed::Source(to)), How::WouldBe, _) => (has, look(to)),
                (Some(Feed::Source(_)), How::Done, _) => {
                    let left = action.from.as_ref().and_then(Feed::source).and_then(look);
                    (left, since(scene, &delivery.stream, effect, has))
                }
                (_, How::WouldBe, kind) if is_restart(kind) => (has, None),
                (_, How::Done, kind) if is_restart(kind) => (None, has),
                _ => (has, best(scene, action, &channel.deliveries, &own)),
            };
            cells.push(Cell { region: own, parts, before, after });
        }
    }
    cells
}

/// A fault of media from before the action is not of its making.
fn since(
    scene: &Scene<'_>,
    stream: &StreamId,
    effect: MonoTime,
    has: Option<Seen>,
) -> Option<Seen> {
    let onset = scene.facts.lineup.no(stream).and_then(|it| scene.earliest_onset(it));
    has.filter(|it| *it == Seen::Good || onset.is_some_and(|onset| onset >= effect))
}

fn touches(scene: &Scene<'_>, action: &Action, delivery: &Delivery) -> bool {
    let server = scene.facts.lineup.server(&delivery.server);
    match &action.target {
        Target::Channel(_) | Target::Encoder { .. } => !scene.facts.is_drained(&delivery.server),
        Target::Servers(servers) => servers.contains(&delivery.server),
        Target::Region(region) => server.is_some_and(|it| it.region == *region),
    }
}

/// The best that viewers get of a channel where a drain or a move brings them.
fn best(
    scene: &Scene<'_>,
    action: &Action,
    deliveries: &[Delivery],
    own: &RegionId,
) -> Option<Seen> {
    let to = action.to.as_ref().and_then(Feed::region).unwrap_or(own);
    let is_there = |it: &&Delivery| {
        let server = scene.facts.lineup.server(&it.server);
        server.is_some_and(|it| it.region == *to)
            && !scene.facts.is_drained(&it.server)
            && !touches(scene, action, it)
    };
    let there: BTreeSet<_> = deliveries.iter().filter(is_there).map(|it| &it.stream).collect();
    let states: Vec<_> = there.iter().map(|it| seen(scene.state(it, MonoTime::ZERO))).collect();
    if states.contains(&Some(Seen::Good)) {
        Some(Seen::Good)
    } else if states.contains(&None) {
        None
    } else {
        // Nobody serves the channel there, or nobody does so well.
        Some(Seen::Bad)
    }
}
