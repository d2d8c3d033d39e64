//! What must hold in every world, whatever goes wrong in it.
//!
//! Nothing here asks the judgement whether it was right: each rule is computed anew from what was put out, what was told and
//! what agents had said by then. So a guard that is wrong in `decide` is not wrong here in the same way. A rule is one function
//! and one line in [`FOR_COMMANDS`], or stands where its moment is.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tallylight_decide::{
    Decider, Input, KillSwitch, Mode, Output, Policy, Scope,
    action::{Action, ActionKind, ActionState, Command, Feed, Target},
    incident::Cause,
    lineup::{Lineup, SingleWitness, StreamRef},
};
use tallylight_model::{
    ActionId, Batch, FaultKind, FaultPhase, MonoTime, RegionId, Severity, StreamId,
};

use super::{
    platform::{Conditions, Platform},
    scenario::Fault,
};

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub rule: &'static str,
    /// When.
    pub at: MonoTime,
    /// How.
    pub what: String,
}

/// Commands that may go out at once, and how often one more.
const BURST: f64 = 5.0;
const REFILL: Duration = Duration::from_secs(6);
/// Commands on one target are at least this far apart.
const TARGET_INTERVAL: Duration = Duration::from_secs(60);
/// Moves of regions are at least this far apart.
const MOVE_INTERVAL: Duration = Duration::from_secs(600);
/// Evidence that was given longer ago starts nothing.
const EVIDENCE_AGE: Duration = Duration::from_secs(10);
/// So many failures and repeats on a target within this time open its circuit for as long again.
const FAILURES: usize = 3;
const CIRCUIT: Duration = Duration::from_secs(1800);
/// The most switches of one channel within an hour, beside those away from a source with a hard fault.
const SWITCHES: usize = 8;
const HOUR: Duration = Duration::from_secs(3600);
/// A picture fault acts beside so much of a good picture.
const CLEAN_FOR: Duration = Duration::from_secs(2);
/// An action has found its end after this, however it went.
const ENDS_WITHIN: Duration = Duration::from_secs(420);
/// So many good seconds prove a switch or a restart.
const PROOF: usize = 10;

/// What an agent said of a stream, as it came in.
#[derive(Debug, Default)]
struct Word {
    standing: BTreeMap<FaultKind, Claim>,
    recent: VecDeque<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    severity: Severity,
    onset: MonoTime,
    said: MonoTime,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    start: MonoTime,
    end: MonoTime,
    held: Conditions,
    picture: bool,
    any: bool,
}

/// A command that went out of the judgement.
#[derive(Debug)]
struct Act {
    at: MonoTime,
    command: Command,
    done: Option<MonoTime>,
    end: Option<ActionState>,
}

impl Act {
    fn is_undone_by(&self, command: &Command) -> bool {
        // A switch may be taken back whether it helped or not, a server's return only if it did not.
        let is_back = match command.kind {
            ActionKind::SwitchSource => {
                self.command.from == command.to
                    && self.command.to == command.from
                    && matches!(self.end, Some(ActionState::NotVerified | ActionState::Verified))
            }
            ActionKind::DrainServer => {
                self.command.kind == ActionKind::ReturnServer
                    && matches!(self.end, Some(ActionState::NotVerified))
            }
            _ => false,
        };
        self.command.target == command.target && is_back
    }
}

/// What was seen of a run, for the rules.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) broken: Vec<Broken>,
    lineup: Lineup,
    modes: BTreeMap<Scope, Mode>,
    pulled: bool,
    approved: BTreeSet<ActionId>,
    paths: Vec<(RegionId, String)>,
    words: Vec<BTreeMap<StreamId, Word>>,
    acts: Vec<Act>,
    tokens: (f64, MonoTime),
    /// What is at fault is nothing that anybody can mend.
    beyond_remedy: bool,
}

type Rule = fn(&Rules, MonoTime, &Command) -> Result<(), String>;

/// What must hold when a command is decided.
const FOR_COMMANDS: &[(&str, Rule)] = &[
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
];

impl Rules {
    pub(super) fn new(platform: &Platform, policy: &Policy) -> Self {
        let lineup = platform.lineup().clone();
        Self {
            broken: Vec::new(),
            paths: lineup.agents().map(|it| (it.region.clone(), it.path.clone())).collect(),
            words: lineup.agents().map(|_| BTreeMap::new()).collect(),
            lineup,
            modes: policy.modes.clone(),
            pulled: false,
            approved: BTreeSet::new(),
            acts: Vec::new(),
            tokens: (BURST, MonoTime::ZERO),
            beyond_remedy: false,
        }
    }

    /// Learns what is really at fault.
    pub(super) fn judge(&mut self, faults: &[Fault]) {
        self.beyond_remedy = !faults.is_empty() && faults.iter().all(Fault::is_beyond_remedy);
    }

    fn broken(&mut self, rule: &'static str, at: MonoTime, what: String) {
        if self.broken.len() < 20 {
            self.broken.push(Broken { rule, at, what });
        }
    }

    /// A batch that was cut at a moment comes in.
    pub(super) fn heard(&mut self, agent: usize, cut: MonoTime, batch: &Batch) {
        let words = &mut self.words[agent];
        for record in &batch.faults {
            let word = words.entry(record.stream.clone()).or_default();
            if let FaultPhase::End(_) = record.phase {
                word.standing.remove(&record.kind);
                continue;
            }
            let claim = Claim { severity: record.severity, onset: record.onset, said: cut };
            word.standing.insert(record.kind, claim);
        }
        for slice in &batch.slices {
            let word = words.entry(slice.stream.clone()).or_default();
            for (&kind, &severity) in &slice.standing {
                let onset = slice.end;
                let claim = Claim { severity, onset, said: cut };
                let known = word.standing.entry(kind).or_insert(claim);
                known.said = known.said.max(cut);
                known.severity = known.severity.max(severity);
            }
            word.recent.push_back(Seen {
                start: slice.end - slice.length,
                end: slice.end,
                held: slice.conditions.keys().copied().collect(),
                picture: !slice.observed.picture.is_zero(),
                any: !slice.observed.any().is_zero(),
            });
            if word.recent.len() > 64 {
                word.recent.pop_front();
            }
        }
    }

    /// Something else is told.
    pub(super) fn input(&mut self, at: MonoTime, input: &Input) {
        let _ = at;
        match input {
            Input::KillSwitch(position) => self.pulled = *position == KillSwitch::Pulled,
            Input::SetMode { scope, mode, .. } => {
                self.modes.insert(scope.clone(), *mode);
            }
            Input::Approve { action, .. } => {
                self.approved.insert(*action);
            }
            Input::Lineup(lineup) => self.lineup = (**lineup).clone(),
            _ => {}
        }
    }

    /// The judgement has taken something in.
    pub(super) fn looked(&mut self, at: MonoTime, decider: &Decider) {
        if decider.deadline().is_some_and(|it| it <= at) {
            self.broken("a deadline lies ahead", at, format!("{:?}", decider.deadline()));
        }
        let mut seen = BTreeSet::new();
        for incident in decider.incidents().filter(|it| it.closed.is_none()) {
            if !seen.insert(&incident.subject) {
                let what = format!("{:?}", incident.subject);
                self.broken("one open incident per cause", at, what);
            }
        }
    }

    /// Something was put out.
    pub(super) fn output(&mut self, at: MonoTime, output: &Output, decider: Option<&Decider>) {
        match output {
            Output::Act(command) => {
                for (name, rule) in FOR_COMMANDS {
                    if let Err(what) = rule(self, at, command) {
                        self.broken(name, at, format!("{what}: {command:?}"));
                    }
                }
                let still = decider.map(|it| it.still_allowed(command.action, at));
                if let Some(Err(reason)) = still {
                    let what = format!("{reason:?}: {command:?}");
                    self.broken("what was just decided is allowed", at, what);
                }
                if !self.is_of_batch(at, command) {
                    self.tokens = self.refilled(at);
                    self.tokens.0 -= 1.0;
                }
                let command = command.clone();
                self.acts.push(Act { at, command, done: None, end: None });
            }
            Output::Action { action, state, .. } => self.went_on(at, *action, *state),
            _ => {}
        }
    }

    fn went_on(&mut self, at: MonoTime, id: ActionId, state: ActionState) {
        if state == ActionState::Verified && !self.is_proven(id) {
            self.broken("what is called a success was seen", at, format!("action {id}"));
        }
        let Some(act) = self.acts.iter_mut().find(|it| it.command.action == id) else { return };
        if state == ActionState::Verifying {
            act.done = act.done.or(Some(at));
        }
        if state.is_final() {
            let before = act.end.replace(state);
            if before.is_some_and(|it| it != state) {
                self.broken(
                    "one outcome for each intent",
                    at,
                    format!("{before:?}, then {state:?}"),
                );
            }
        }
    }

    /// Whether somebody saw enough good media of what a switch or a restart was to mend, made after it.
    fn is_proven(&self, id: ActionId) -> bool {
        let Some(act) = self.acts.iter().find(|it| it.command.action == id) else { return true };
        if !matches!(act.command.kind, ActionKind::SwitchSource | ActionKind::RestartStream) {
            return true;
        }
        let to = act.command.to.as_ref().and_then(Feed::source);
        self.streams(&act.command).iter().chain(to).any(|stream| {
            self.words.iter().filter_map(|it| it.get(stream)).any(|word| {
                let after = word.recent.iter().filter(|it| it.start >= act.at && it.any);
                let bad = |held: Conditions| held.iter().any(|it| it.may_act(Severity::Critical));
                after.filter(|it| !bad(it.held)).count() >= PROOF
            })
        })
    }

    /// The collector came back with what its journal remembers.
    pub(super) fn restarted(&mut self, at: MonoTime, decider: &Decider) {
        self.pulled = false;
        for act in &mut self.acts {
            match decider.action(act.command.action) {
                Some(known) => {
                    act.done = act.done.or(known.done);
                    if known.state.is_final() && act.end.is_none() {
                        act.end = Some(known.state);
                    }
                }
                None => {
                    let what = format!("{:?}", act.command);
                    self.broken.push(Broken { rule: "no intent is forgotten", at, what });
                }
            }
        }
    }

    /// A command leaves the collector.
    pub(super) fn sent(&mut self, at: MonoTime, command: &Command, is_up: bool) {
        if !is_up {
            return;
        }
        let checks: [(&'static str, Rule); 3] = [
            ("nothing is sent past its expiry", not_expired),
            ("nothing is sent past the kill switch", not_pulled),
            ("nothing is sent past its mode", allowed_by_mode),
        ];
        for (name, rule) in checks {
            if let Err(what) = rule(self, at, command) {
                self.broken(name, at, format!("{what}: {command:?}"));
            }
        }
    }

    /// The world ends.
    pub(super) fn over(&mut self, at: MonoTime, actions: &[Action]) {
        let unfinished: Vec<String> = self
            .acts
            .iter()
            .filter(|it| at.since(it.at) > ENDS_WITHIN)
            .filter(|act| {
                let known = actions.iter().find(|it| it.id == act.command.action);
                known.is_none_or(|it| !it.state.is_final())
            })
            .map(|it| format!("{:?}", it.command))
            .collect();
        for what in unfinished {
            self.broken("every intent ends", at, what);
        }
    }

    /// Whether the same was asked for another channel, for the same incident and at the same moment: one item of a budget.
    fn is_of_batch(&self, at: MonoTime, command: &Command) -> bool {
        self.acts.last().is_some_and(|it| {
            it.at == at
                && (&it.command.purpose, it.command.kind) == (&command.purpose, command.kind)
        })
    }

    fn refilled(&self, at: MonoTime) -> (f64, MonoTime) {
        let (level, since) = self.tokens;
        let more = at.since(since).as_secs_f64() / REFILL.as_secs_f64();
        ((level + more).min(BURST), at)
    }

    /// The streams that a command is about.
    fn streams(&self, command: &Command) -> BTreeSet<StreamId> {
        let about = |found: StreamRef<'_>, id: &StreamId| match (&command.target, found) {
            (Target::Channel(channel), StreamRef::Source(it, _)) => {
                it.id == *channel
                    && command.from.as_ref().and_then(Feed::source).is_none_or(|it| it == id)
            }
            (Target::Channel(_) | Target::Encoder { .. }, StreamRef::Delivery(it, ..)) => {
                command.target.channels().contains(&it.id)
            }
            (Target::Servers(servers), StreamRef::Delivery(.., it)) => servers.contains(&it.id),
            (Target::Region(region), StreamRef::Delivery(.., it)) => it.region == *region,
            _ => false,
        };
        let all = self.lineup.streams();
        all.filter(|(id, found)| about(*found, id)).map(|(id, _)| id.clone()).collect()
    }

    /// What agents claimed of streams within the age that evidence may have: by path.
    fn claims(&self, at: MonoTime, streams: &BTreeSet<StreamId>) -> Vec<Said<'_>> {
        let mut claims = Vec::new();
        for (agent, words) in self.words.iter().enumerate() {
            for (stream, word) in words.iter().filter(|it| streams.contains(it.0)) {
                for (&kind, claim) in &word.standing {
                    if at.since(claim.said) <= EVIDENCE_AGE && kind.may_act(claim.severity) {
                        let path = self.paths[agent].1.as_str();
                        claims.push(Said { path, stream, kind, onset: claim.onset, word });
                    }
                }
            }
        }
        claims
    }

    /// Whether a command only takes back a switch that did not help: it rests on that alone.
    fn is_undoing(&self, command: &Command) -> bool {
        self.acts.iter().any(|it| it.is_undone_by(command))
            || matches!(command.kind, ActionKind::UndrainServer | ActionKind::ReturnServer)
    }
}

/// One claim.
struct Said<'a> {
    path: &'a str,
    stream: &'a StreamId,
    kind: FaultKind,
    onset: MonoTime,
    word: &'a Word,
}

fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
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
    let approved =
        rules.approved.contains(&command.action) || mates.any(|it| rules.approved.contains(&it));
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
    let mut before = rules.acts.iter().filter(|it| it.command.target.overlaps(&command.target));
    must(before.all(|it| at.since(it.at) >= TARGET_INTERVAL), String::new)
}

fn move_rate(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let moves = |it: &&Act| it.command.kind == ActionKind::RegionMove;
    let young = rules.acts.iter().filter(moves).any(|it| at.since(it.at) < MOVE_INTERVAL);
    must(command.kind != ActionKind::RegionMove || !young, String::new)
}

fn circuit(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut counted = Vec::new();
    for act in rules.acts.iter().filter(|it| it.command.target.overlaps(&command.target)) {
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
    must(!named && !rules.beyond_remedy, String::new)
}

fn fresh_evidence(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let claims = rules.claims(at, &rules.streams(command));
    must(rules.is_undoing(command) || !claims.is_empty(), || "nobody claims anything".to_owned())
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
    let watchers: BTreeSet<&str> =
        rules.paths.iter().filter(|it| regions.contains(&it.0)).map(|it| it.1.as_str()).collect();
    let allowed = watchers.len() <= 1
        && refs().all(|it| it.channel().single_witness == SingleWitness::Allowed);
    let fine = paths.len() >= 2 || is_local || allowed || rules.is_undoing(command);
    must(fine, || format!("only {paths:?} of {watchers:?}"))
}

/// Where nothing but picture and sound are bad, what feeds or replaces them must have been seen to be good.
fn differential(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let claims = rules.claims(at, &rules.streams(command));
    let meant = !claims.is_empty() && claims.iter().all(|it| it.kind.is_differential());
    if !meant || rules.approved.contains(&command.action) || rules.is_undoing(command) {
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
            rules.words.iter().filter_map(|words| words.get(&it.stream)).any(|word| {
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
    must(after || rules.is_undoing(command), || format!("since {done:?}"))
}

#[cfg(test)]
mod tests {
    use tallylight_model::{Epoch, IncidentId};

    use super::*;
    use crate::sim::{
        START,
        platform::{channel, demo_lineup, demo_site, server, stream},
    };

    /// A rule, what happened before, and what is wrong with the command.
    type Case = (&'static str, fn(&mut Rules), fn(&mut Command));

    fn command(action: u64) -> Command {
        let source = |it| Some(Feed::Source(stream(it)));
        Command {
            action: ActionId(action),
            epoch: Epoch(1),
            kind: ActionKind::SwitchSource,
            target: Target::Channel(channel("one")),
            from: source("one/primary"),
            share: None,
            to: source("one/backup"),
            decided: START,
            expires: START + Duration::from_secs(10),
            evidence_arrived: START,
            purpose: tallylight_decide::action::Purpose::Incident(IncidentId(1)),
            cause: Some(Cause::Source),
            evidence: Vec::new(),
        }
    }

    fn rules() -> Rules {
        let platform = Platform::new(demo_site(demo_lineup(), 2), Vec::new());
        let mut policy = Policy::default();
        policy.modes.insert(Scope::Global, Mode::Auto);
        let mut rules = Rules::new(&platform, &policy);
        let agent = platform.lineup().agents().position(|it| it.region.as_str() == "headend");
        let claim = Claim { severity: Severity::Critical, onset: START, said: START };
        let word = rules.words[agent.unwrap()].entry(stream("one/primary")).or_default();
        word.standing.insert(FaultKind::NoData, claim);
        rules
    }

    #[test]
    fn each_rule_is_broken_by_what_breaks_it() {
        let act = |it: &mut Rules, command: Command| it.output(START, &Output::Act(command), None);
        let cases: [Case; 10] = [
            ("not past its expiry", |_| {}, |it| it.expires = START),
            ("no action past the kill switch", |it| it.pulled = true, |_| {}),
            ("no action past its mode", |it| it.modes.clear(), |_| {}),
            ("the target is explicit and listed", |_| {}, |it| it.to = it.from.clone()),
            (
                "the target is explicit and listed",
                |_| {},
                |it| {
                    it.kind = ActionKind::DrainServer;
                    it.target = Target::Servers(Vec::new());
                },
            ),
            (
                "nothing acts on a programme or a probe",
                |_| {},
                |it| it.cause = Some(Cause::Programme),
            ),
            ("nothing acts on a programme or a probe", |it| it.beyond_remedy = true, |_| {}),
            (
                "no action on stale evidence",
                |it| it.words.iter_mut().for_each(BTreeMap::clear),
                |_| {},
            ),
            ("no action on a single witness", |_| {}, |it| it.cause = Some(Cause::Processing)),
            (
                "no action on stale evidence",
                |_| {},
                |it| {
                    it.kind = ActionKind::DrainServer;
                    it.target = Target::Servers(vec![server("n1")]);
                },
            ),
        ];
        for (rule, before, change) in cases {
            let mut rules = rules();
            before(&mut rules);
            let mut command = command(1);
            change(&mut command);
            act(&mut rules, command);
            let broken: Vec<_> = rules.broken.iter().map(|it| it.rule).collect();
            assert!(broken.contains(&rule), "{rule}: {broken:?}");
        }
        let mut rules = rules();
        act(&mut rules, command(1));
        assert!(rules.broken.is_empty(), "{:?}", rules.broken);
        act(&mut rules, command(1));
        let broken: Vec<_> = rules.broken.iter().map(|it| it.rule).collect();
        for rule in [
            "one action in flight on a target",
            "an action's id is used once",
            "one action a minute on a target",
        ] {
            assert!(broken.contains(&rule), "{rule}: {broken:?}");
        }
    }

    #[test]
    fn a_second_outcome_and_an_intent_without_one_are_told() {
        let mut rules = rules();
        rules.output(START, &Output::Act(command(1)), None);
        let ends = |state| Output::Action {
            action: ActionId(1),
            kind: ActionKind::SwitchSource,
            state,
            detail: String::new(),
        };
        rules.output(START, &ends(ActionState::Failed), None);
        assert!(rules.broken.is_empty(), "{:?}", rules.broken);
        rules.output(START, &ends(ActionState::Expired), None);
        rules.over(START + ENDS_WITHIN * 2, &[]);
        let broken: Vec<_> = rules.broken.iter().map(|it| it.rule).collect();
        assert_eq!(broken, ["one outcome for each intent", "every intent ends"]);
    }
}
