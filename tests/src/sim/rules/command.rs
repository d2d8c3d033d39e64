//! What must hold when a command is decided, and once more when it is sent.

use std::{collections::BTreeSet, time::Duration};

use tallylight_decide::{
    Mode, Scope,
    action::{ActionKind, ActionState, Command, Feed, Target},
    incident::{Cause, Subject},
    lineup::{Lineup, Server, SingleWitness, StreamRef},
};
use tallylight_model::{FaultKind, MonoTime, RegionId, StreamId};

use super::{Act, Rules, people, storm, upkeep, word};
use crate::sim::platform::Conditions;

/// Commands on one target are at least this far apart.
const TARGET_INTERVAL: Duration = Duration::from_secs(60);
/// And after one that was never sent.
const UNSENT_INTERVAL: Duration = Duration::from_secs(10);
/// Moves of regions are at least this far apart.
const MOVE_INTERVAL: Duration = Duration::from_secs(600);
/// So many failures and repeats on a target within this time open its circuit for as long again.
const FAILURES: usize = 3;
const CIRCUIT: Duration = Duration::from_secs(1800);
/// The most switches of one channel within an hour, beside those away from a source with a hard fault.
const SWITCHES: usize = 8;
const HOUR: Duration = Duration::from_secs(3600);
/// A picture fault acts beside so much of a good picture.
const CLEAN_FOR: Duration = Duration::from_secs(2);

pub(super) type Rule = fn(&Rules, MonoTime, &Command) -> Result<(), String>;

/// What must hold when a command is decided.
pub(super) const FOR_COMMANDS: &[(&str, Rule)] = &[
    ("one action in flight on a target", one_in_flight),
    ("an action's id is used once", used_once),
    ("the target is explicit and listed", listed),
    ("not past its expiry", not_expired),
    ("no action past the kill switch", not_pulled),
    ("no action past its mode", allowed_by_mode),
    ("a burst of five, then ten a minute", within_rate),
    ("one action a minute on a target", target_rate),
    ("one region in ten minutes", move_rate),
    ("three failures open the circuit", circuit),
    ("no switch loop", no_loop),
    ("nothing acts on a programme or a probe", remediable),
    ("no action on stale evidence", fresh_evidence),
    ("no action on a single witness", witnesses),
    ("no action on a picture that may be meant", differential),
    ("an action is followed only by evidence from after it", evidence_after),
    ("never onto a source that is seen to be bad", onto_a_good_source),
    ("back only where it was asked for", back_where_asked),
    ("no viewers back to what is seen to be broken", back_to_a_good_server),
    ("viewers leave a server only for one with room", room_for_viewers),
    ("what is left to others is not touched", people::left_to_others),
    ("what a person said no to is not done", people::not_refused),
    ("no approval after its time", people::approved_in_time),
    ("no action on what is being worked on", upkeep::not_in_maintenance),
    ("maintenance moves what it names while it may", upkeep::as_maintenance_says),
    ("of a group one goes first, then batches of a fifth", upkeep::canary_before_batches),
    ("no action in a storm", storm::no_action),
];

/// What must hold when a command leaves the collector.
pub(super) const FOR_SENDING: &[(&str, Rule)] = &[
    ("nothing is sent past its expiry", not_expired),
    ("nothing is sent past the kill switch", not_pulled),
    ("nothing is sent past its mode", allowed_by_mode),
    ("nothing is sent to what is left to others", people::left_to_others),
    ("nothing is sent to what is being worked on", upkeep::not_in_maintenance),
    ("nothing is sent to a source that is seen to be bad", onto_a_good_source),
];

pub(super) fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn one_in_flight(rules: &Rules, _: MonoTime, command: &Command) -> Result<(), String> {
    let mut out = rules.acts.iter().filter(|it| it.end.is_none());
    let other = out.find(|it| it.command.target.overlaps(&command.target));
    must(other.is_none(), || format!("{other:?} is in flight"))
}

fn used_once(rules: &Rules, _: MonoTime, command: &Command) -> Result<(), String> {
    must(rules.acts.iter().all(|it| it.command.action != command.action), String::new)
}

fn listed(rules: &Rules, _: MonoTime, command: &Command) -> Result<(), String> {
    let lineup = &rules.lineup;
    let is_source = |feed: &Option<Feed>| {
        let source = feed.as_ref().and_then(Feed::source);
        source.is_some_and(|it| {
            matches!(lineup.stream(it), Some(StreamRef::Source(channel, _))
                if Some(&channel.id) == command.target.channel())
        })
    };
    let fine = match &command.target {
        Target::Channel(id) => {
            let ends = command.kind != ActionKind::SwitchSource
                || is_source(&command.from) && is_source(&command.to) && command.from != command.to;
            lineup.channel(id).is_some() && ends
        }
        Target::Encoder { encoder, channels } => {
            !channels.is_empty() && channels.iter().eq(lineup.channels_on(encoder).map(|it| &it.id))
        }
        Target::Servers(ids) => !ids.is_empty() && ids.iter().all(|it| lineup.server(it).is_some()),
        Target::Region(id) => lineup.region(id).is_some(),
    };
    must(fine, String::new)
}

fn not_expired(_: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    must(at < command.expires, String::new)
}

fn not_pulled(rules: &Rules, _: MonoTime, _: &Command) -> Result<(), String> {
    must(!rules.pulled, String::new)
}

fn allowed_by_mode(rules: &Rules, _: MonoTime, command: &Command) -> Result<(), String> {
    let regions: BTreeSet<&RegionId> = match &command.target {
        Target::Region(region) => BTreeSet::from([region]),
        Target::Servers(ids) => {
            ids.iter().filter_map(|it| Some(&rules.lineup.server(it)?.region)).collect()
        }
        Target::Channel(_) | Target::Encoder { .. } => {
            let channels = command.target.channels().iter();
            let channels = channels.filter_map(|it| rules.lineup.channel(it));
            let deliveries = channels.flat_map(|it| &it.deliveries);
            deliveries.filter_map(|it| Some(&rules.lineup.server(&it.server)?.region)).collect()
        }
    };
    let mode = |scope: Scope| rules.modes.get(&scope).copied();
    let kind = match (mode(Scope::Action(command.kind)), command.kind) {
        (Some(mode), _) => mode,
        (None, ActionKind::RegionMove) => Mode::Approve,
        (None, _) => Mode::Auto,
    };
    let global = mode(Scope::Global).unwrap_or(Mode::DryRun);
    let by_region = regions.into_iter().filter_map(|it| mode(Scope::Region(it.clone())));
    let strictest = by_region.fold(global.min(kind), Mode::min);
    // Who approves the first of a group approves them all.
    let is_mate =
        |it: &&Act| (&it.command.purpose, it.command.kind) == (&command.purpose, command.kind);
    let mut mates = rules.acts.iter().filter(is_mate).map(|it| it.command.action);
    let approved = rules.people.approved.contains(&command.action)
        || mates.any(|it| rules.people.approved.contains(&it))
        || rules.people.asked_for(command);
    let fine = strictest == Mode::Auto || strictest == Mode::Approve && approved;
    must(fine, || format!("the mode is {}", strictest.name()))
}

fn within_rate(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    if rules.is_of_batch(at, command) {
        return Ok(());
    }
    let left = rules.refilled(at).0;
    // Rounding of the bucket's level.
    must(left >= 0.999, || format!("{left:.2} left"))
}

fn target_rate(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let interval = |it: &Act| match it.end {
        Some(ActionState::Withdrawn) => UNSENT_INTERVAL,
        _ => TARGET_INTERVAL,
    };
    let mut before = rules.acts.iter().filter(|it| it.command.target.overlaps(&command.target));
    must(before.all(|it| at.since(it.at) >= interval(it)), String::new)
}

fn move_rate(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let moves = |it: &&Act| it.command.kind == ActionKind::RegionMove;
    let young = rules.acts.iter().filter(moves).any(|it| at.since(it.at) < MOVE_INTERVAL);
    must(command.kind != ActionKind::RegionMove || !young, String::new)
}

fn circuit(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut counted = Vec::new();
    let went_out = |it: &&Act| it.end != Some(ActionState::Withdrawn);
    let on_it = rules.acts.iter().filter(|it| it.command.target.overlaps(&command.target));
    for act in on_it.filter(went_out) {
        let is_new = seen.insert((act.command.kind, &act.command.to, act.command.share));
        let failed = matches!(act.end, Some(ActionState::NotVerified | ActionState::Failed));
        if failed || !is_new {
            counted.push(act.at);
        }
    }
    let open = counted.windows(FAILURES).any(|run| {
        run[FAILURES - 1].since(run[0]) <= CIRCUIT && at.since(run[FAILURES - 1]) < CIRCUIT
    });
    must(!open || leaves_hard_fault(rules, at, command), || {
        format!("{} failed or came again", counted.len())
    })
}

/// Whether a command takes a channel off a source that is plainly broken: that is done once a minute, however often.
fn leaves_hard_fault(rules: &Rules, at: MonoTime, command: &Command) -> bool {
    let switches = command.kind == ActionKind::SwitchSource;
    let from = command.from.as_ref().and_then(Feed::source).filter(|_| switches);
    let claims = rules.claims(at, &from.cloned().into_iter().collect());
    claims.iter().any(|it| !it.kind.is_differential())
}

fn no_loop(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let same = |it: &&Act| it.command.kind == command.kind && it.command.target == command.target;
    let lately = rules.acts.iter().filter(same).filter(|it| at.since(it.at) < HOUR).count();
    let is_fine = lately < SWITCHES || leaves_hard_fault(rules, at, command);
    must(command.kind != ActionKind::SwitchSource || is_fine, || format!("{lately} before"))
}

fn remediable(rules: &Rules, _: MonoTime, command: &Command) -> Result<(), String> {
    let named = matches!(command.cause, Some(Cause::Programme | Cause::Probe));
    let is_asked_for = command.purpose.window().is_some();
    must(!named && (!rules.beyond_remedy || is_asked_for), String::new)
}

fn fresh_evidence(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let claims = rules.claims(at, &rules.streams(command));
    must(rules.needs_no_fault(command) || !claims.is_empty(), || {
        "nobody claims anything".to_owned()
    })
}

/// One is enough for what is seen where a source arrives, and where the lineup says so and has no more.
fn witnesses(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let streams = rules.streams(command);
    let claims = rules.claims(at, &streams);
    let paths: BTreeSet<&str> = claims.iter().map(|it| it.path).collect();
    let from = command.from.as_ref().and_then(Feed::source);
    let is_local = matches!(command.cause, Some(Cause::Source | Cause::Provider))
        && claims.iter().any(|it| from.is_none_or(|from| from == it.stream));
    let refs = || streams.iter().filter_map(|it| rules.lineup.stream(it));
    let regions: BTreeSet<&RegionId> = refs().map(StreamRef::region).collect();
    let watchers =
        rules.witnesses.iter().filter(|it| regions.contains(&it.region)).map(|it| it.path.as_str());
    let watchers: BTreeSet<&str> = watchers.collect();
    let allowed = watchers.len() <= 1
        && refs().all(|it| it.channel().single_witness == SingleWitness::Allowed);
    let fine = paths.len() >= 2 || is_local || allowed || rules.needs_no_fault(command);
    must(fine, || format!("only {paths:?} of {watchers:?}"))
}

/// Where nothing but picture and sound are bad, what feeds or replaces them must have been seen to be good.
fn differential(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let claims = rules.claims(at, &rules.streams(command));
    let meant = !claims.is_empty() && claims.iter().all(|it| it.kind.is_differential());
    if !meant || rules.people.approved.contains(&command.action) || rules.needs_no_fault(command) {
        return Ok(());
    }
    let Some(channel) = command.target.channel().and_then(|it| rules.lineup.channel(it)) else {
        return Ok(());
    };
    let onset = claims.iter().map(|it| it.onset).min().unwrap_or(at) - Duration::from_secs(45);
    let kinds: BTreeSet<FaultKind> = claims.iter().map(|it| it.kind).collect();
    let to = command.to.as_ref().and_then(Feed::source);
    let clean =
        channel.sources.iter().filter(|it| to.is_none_or(|to| *to == it.stream)).any(|it| {
            rules.witnesses.iter().filter_map(|who| who.words.get(&it.stream)).any(|word| {
                let good = word.recent.iter().filter(|it| it.start >= onset && it.picture);
                let good = good.filter(|it| kinds.iter().all(|&kind| !it.held.contains(kind)));
                good.map(|it| it.end.since(it.start)).sum::<Duration>() >= CLEAN_FOR
            })
        });
    must(clean, || "nothing carries the programme without it".to_owned())
}

/// What was seen of media from before an action on the target, or before it took effect, is no reason for the next one.
fn evidence_after(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let on_it = rules.acts.iter().filter(|it| it.command.target.overlaps(&command.target));
    let Some(done) = on_it.filter_map(|it| it.done).max() else { return Ok(()) };
    let after = rules.claims(at, &rules.streams(command)).iter().any(|it| {
        let bad = |held: Conditions| held.iter().any(|it| it.rule().class.is_some());
        it.onset >= done || it.word.recent.iter().any(|it| it.start >= done && bad(it.held))
    });
    must(after || rules.needs_no_fault(command), || format!("since {done:?}"))
}

/// A source that viewers are sent to is seen well by as many paths as call it bad, and by one at least.
fn onto_a_good_source(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let Some(to) = command.to.as_ref().and_then(Feed::source) else { return Ok(()) };
    let (bad, good) = word::votes(&rules.witnesses, at, to);
    must(!good.is_empty() && good.len() >= bad.len(), || format!("bad {bad:?}, good {good:?}"))
}

/// A switch that helped is taken back only by the lineup's leave or a person's word, unless the source that it led to is bad.
fn back_where_asked(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let is_back = |it: &&Act| it.is_undone_by(command) && it.end == Some(ActionState::Verified);
    let Some(channel) =
        command.target.channel().filter(|_| rules.acts.iter().any(|it| is_back(&it)))
    else {
        return Ok(());
    };
    let lists = rules.lineup.channel(channel).is_some_and(|it| it.fail_back.is_some());
    let from = command.from.as_ref().and_then(Feed::source).cloned();
    let is_left = !rules.claims(at, &from.into_iter().collect()).is_empty();
    let wants = rules.people.wants_back.contains(channel);
    must(lists || wants || is_left, String::new)
}

/// A server that gets viewers back is not called bad, for most of what it delivers, by more paths than see it well.
fn back_to_a_good_server(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    if !matches!(command.kind, ActionKind::UndrainServer | ActionKind::ReturnServer) {
        return Ok(());
    }
    let streams = rules.streams(command);
    let is_bad = |it: &&StreamId| {
        let (bad, good) = word::votes(&rules.witnesses, at, it);
        bad.len() > good.len()
    };
    let bad = streams.iter().filter(is_bad).count();
    must(2 * bad <= streams.len(), || {
        let claims = rules.claims(at, &streams);
        let claims: Vec<_> =
            claims.iter().map(|it| (it.path, it.stream, it.kind, it.onset)).collect();
        format!("{bad} of {}: {claims:?}", streams.len())
    })
}

/// Of the servers that viewers of a drained one may come to, not all are known to be full.
fn room_for_viewers(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let Target::Servers(drained) = &command.target else { return Ok(()) };
    if command.kind != ActionKind::DrainServer {
        return Ok(());
    }
    let servers = || rules.lineup.servers();
    let region = servers().find(|it| drained.contains(&it.id)).map(|it| &it.region);
    let mut others = servers().filter(|it| Some(&it.region) == region && !drained.contains(&it.id));
    let is_full = |it: &Server| {
        let mut told = rules.witnesses.iter().filter(|who| Some(&who.node) == it.node.as_ref());
        told.any(|it| it.is_full(at))
    };
    must(others.any(|it| !is_full(it)), String::new)
}

/// Whether a lineup has what is said to be at fault.
pub(super) fn is_listed(lineup: &Lineup, subject: &Subject) -> bool {
    match subject {
        Subject::Source(id) => lineup.stream(id).is_some(),
        Subject::Provider(id) => lineup.providers().any(|it| it.id == *id),
        Subject::Encoder(id) => lineup.encoder(id).is_some(),
        Subject::Processing(id) | Subject::Programme(id) => lineup.channel(id).is_some(),
        Subject::Server(id) => lineup.server(id).is_some(),
        Subject::Region(id) => lineup.region(id).is_some(),
        Subject::Probe(id) => lineup.agent(id).is_some(),
    }
}
