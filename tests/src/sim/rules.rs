//! What must hold in every world, whatever goes wrong in it.
//!
//! Nothing here asks the judgement whether it was right: each rule is computed anew from what was put out, what was told and
//! what agents had said by then. So a guard that is wrong in `decide` is not wrong here in the same way. A rule is one function
//! and one line in [`FOR_COMMANDS`], or stands where its moment is.

mod command;
mod people;
mod storm;
mod upkeep;
mod word;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tallylight_decide::{
    Decider, Input, KillSwitch, Mode, Output, Policy, Scope,
    action::{Action, ActionKind, ActionState, Command, Feed, Target},
    lineup::{Lineup, StreamRef},
};
use tallylight_model::{ActionId, Batch, MonoTime, StreamId};

use super::{
    platform::Platform,
    scenario::{Fault, Scenario},
};
use command::{FOR_COMMANDS, FOR_SENDING};
use people::People;
use storm::Storm;
use upkeep::Upkeep;
use word::{Said, Witness};

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
/// Evidence that was given longer ago starts nothing.
const EVIDENCE_AGE: Duration = Duration::from_secs(10);
/// An action has found its end after this, however it went.
const ENDS_WITHIN: Duration = Duration::from_secs(420);
/// So many good seconds prove a switch or a restart.
const PROOF: usize = 10;

/// A command that went out of the judgement.
#[derive(Debug)]
struct Act {
    began: MonoTime,
    /// When that is by the collector's memory.
    at: MonoTime,
    /// How far its clock had jumped ahead by then.
    ahead: Duration,
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
                matches!(self.command.kind, ActionKind::ReturnServer | ActionKind::UndrainServer)
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
    approval_expiry: Duration,
    pulled: bool,
    people: People,
    upkeep: Upkeep,
    witnesses: Vec<Witness>,
    acts: Vec<Act>,
    tokens: (f64, MonoTime),
    /// How far the collector's clock has jumped ahead, all in all, and how far back.
    ahead: Duration,
    back: Duration,
    /// What is at fault is nothing that anybody can mend.
    beyond_remedy: bool,
    /// Of worlds with one.
    storm: Option<Storm>,
}

impl Rules {
    pub(super) fn new(platform: &Platform, policy: &Policy) -> Self {
        let lineup = platform.lineup().clone();
        Self {
            broken: Vec::new(),
            witnesses: lineup.agents().map(Witness::new).collect(),
            lineup,
            modes: policy.modes.clone(),
            approval_expiry: policy.guards.approval_expiry,
            pulled: false,
            people: People::default(),
            upkeep: Upkeep::default(),
            acts: Vec::new(),
            tokens: (BURST, MonoTime::ZERO),
            ahead: Duration::ZERO,
            back: Duration::ZERO,
            beyond_remedy: false,
            storm: None,
        }
    }

    /// Learns what is really at fault.
    pub(super) fn judge(&mut self, scenario: &Scenario) {
        let faults = &scenario.faults;
        self.beyond_remedy = !faults.is_empty() && faults.iter().all(Fault::is_beyond_remedy);
        self.storm = scenario.storm.then(Storm::default);
    }

    /// The collector begins with another lineup than the platform's.
    pub(super) fn relist(&mut self, lineup: Lineup) {
        self.lineup = lineup;
    }

    fn broken(&mut self, rule: &'static str, at: MonoTime, what: String) {
        if self.broken.len() < 20 {
            self.broken.push(Broken { rule, at, what });
        }
    }

    /// A batch that was cut at a moment comes in.
    pub(super) fn heard(&mut self, agent: usize, cut: MonoTime, batch: &Batch) {
        self.witnesses[agent].heard(cut, batch);
    }

    /// Something else is told.
    pub(super) fn input(&mut self, at: MonoTime, input: &Input) {
        match input {
            Input::KillSwitch(position) => self.pulled = *position == KillSwitch::Pulled,
            Input::SetMode { scope, mode, .. } => {
                self.modes.insert(scope.clone(), *mode);
            }
            Input::Panel(state) => self.people.panel(at, state, &self.acts),
            Input::Maintain(plan) => self.upkeep.maintain(at, plan),
            Input::EndMaintenance { window } => self.upkeep.end(at, window),
            Input::Lineup(lineup) => self.lineup = (**lineup).clone(),
            other => self.people.said(at, other),
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
            if !command::is_listed(&self.lineup, &incident.subject) {
                let what = format!("{:?}", incident.subject);
                self.broken("nothing is wrong with what the lineup does not have", at, what);
            }
        }
    }

    /// A second has passed.
    pub(super) fn second(&mut self, at: MonoTime) {
        if let Some(mut storm) = self.storm.take() {
            storm.watch(at, &self.lineup, &self.witnesses);
            self.storm = Some(storm);
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
                let (began, ahead) = (at, self.ahead);
                self.acts.push(Act { began, at, ahead, command, done: None, end: None });
            }
            Output::Action { action, state, .. } => {
                if *state == ActionState::Waiting {
                    self.people.waits(at, *action);
                }
                self.went_on(at, *action, *state);
            }
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
            self.witnesses.iter().filter_map(|it| it.words.get(stream)).any(|word| {
                let after = word.recent.iter().filter(|it| it.start >= act.at && it.any);
                after.filter(|it| !it.is_bad()).count() >= PROOF
            })
        })
    }

    /// The collector's wall clock is set, by so many milliseconds.
    pub(super) fn clock_steps(&mut self, by: i64) {
        self.ahead += Duration::from_millis(by.max(0).unsigned_abs());
        self.back += Duration::from_millis(by.min(0).unsigned_abs());
    }

    /// What the journal tells the age of is as much older after a restart as the clock jumped ahead meanwhile.
    fn grow_old(&mut self) {
        for act in self.acts.iter_mut().filter(|it| it.ahead < self.ahead) {
            let by = self.ahead - act.ahead;
            (act.at, act.ahead) = (act.at - by, self.ahead);
            act.done = act.done.map(|it| it - by);
            self.tokens = (BURST, self.tokens.1);
        }
        self.people.grow_old(self.ahead);
        (self.upkeep.ahead, self.upkeep.back) = (self.ahead, self.back);
    }

    /// The collector came back with what its journal remembers.
    pub(super) fn restarted(&mut self, at: MonoTime, decider: &Decider) {
        self.grow_old();
        self.pulled = false;
        self.people.forget_the_panel();
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
        for (name, rule) in FOR_SENDING {
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
            .filter(|it| at.since(it.began) > ENDS_WITHIN)
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

    /// What listed agents claimed of streams within the age that evidence may have.
    fn claims<'a>(&'a self, at: MonoTime, streams: &BTreeSet<StreamId>) -> Vec<Said<'a>> {
        let listed = self.witnesses.iter().filter(|it| self.lineup.agent(&it.node).is_some());
        listed.flat_map(|who| streams.iter().flat_map(move |it| who.claims(at, it))).collect()
    }

    /// Whether a command only takes back a switch that did not help: it rests on that alone.
    fn is_undoing(&self, command: &Command) -> bool {
        self.acts.iter().any(|it| it.is_undone_by(command))
            || matches!(command.kind, ActionKind::UndrainServer | ActionKind::ReturnServer)
    }

    /// Whether a command rests on no fault: it takes something back, or is for people who work on something.
    fn needs_no_fault(&self, command: &Command) -> bool {
        command.purpose.window().is_some()
            || self.is_undoing(command)
            || self.is_failing_back(command)
    }

    /// Whether a command puts a channel that its lineup wants back on a source that an earlier one took it off.
    fn is_failing_back(&self, command: &Command) -> bool {
        let channel = command.target.channel().and_then(|it| self.lineup.channel(it));
        let led_away =
            |it: &Act| it.command.target == command.target && it.command.from == command.to;
        command.kind == ActionKind::SwitchSource
            && channel.is_some_and(|it| it.fail_back.is_some())
            && self.acts.iter().any(led_away)
    }
}

#[cfg(test)]
mod tests;
