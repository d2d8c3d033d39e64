//! One run: virtual time, the network between agents and judgement, crashes, and the rules that nothing may break.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use tallylight_decide::{
    Decider, Input, Mode, Outcome, Output, Policy, Scope,
    action::{Action, Command, Target},
    incident::{Cause, Incident},
    journal::{Record, Remembered},
    lineup::Lineup,
};
use tallylight_model::{ActionId, Batch, ChannelId, Epoch, IncidentId, MonoTime, NodeId, StreamId};

use super::{
    Dice, START, STEP,
    agent::Agent,
    panel::{Manners, Panel},
    platform::{Event, Platform},
};

/// How long the collector is away when it crashes.
const DOWN_FOR: Duration = Duration::from_secs(2);

/// Actions like one before must be at least this far apart.
const TARGET_INTERVAL: Duration = Duration::from_secs(60);

/// So many actions at once, and so many more within a minute.
const BURST: usize = 5;
const PER_MINUTE: usize = 10;

/// Something on its way.
#[derive(Debug)]
enum Message {
    Batch(Batch),
    Command(Command),
    Outcome(ActionId, Outcome),
    ReadPanel,
    Restart,
}

/// A world to run.
#[derive(Debug)]
pub struct World {
    /// The truth.
    pub platform: Platform,
    /// The panel.
    pub panel: Panel,
    /// The judgement; `None` while the collector is down.
    decider: Option<Decider>,
    policy: Policy,
    agents: BTreeMap<NodeId, Agent>,
    dice: Dice,
    now: MonoTime,
    messages: BTreeMap<(MonoTime, u64), Message>,
    sent: u64,
    journal: BTreeMap<String, (MonoTime, Record)>,
    epoch: u64,
    outputs: u64,
    /// Crashes after so many outputs.
    crash_after: Option<u64>,
    commanded: Vec<(MonoTime, Command)>,
    /// One in so many batches is lost; 0 for none.
    loss: u64,
    /// Batches come up to so much late.
    lateness: u64,
    /// What the journal takes, and reading the panel's state before the last look.
    sending: Duration,
    log: String,
}

/// What came of a run.
#[derive(Debug)]
pub struct Story {
    /// Incidents by id.
    pub incidents: Vec<Incident>,
    /// Actions by id.
    pub actions: Vec<Action>,
    /// What the panel did.
    pub carried_out: Vec<Command>,
    /// What was sent, with when.
    pub commanded: Vec<(MonoTime, Command)>,
    /// How many outputs there were.
    pub outputs: u64,
    /// Everything that happened, for people.
    pub log: String,
}

impl Story {
    /// The incident of a cause and subject.
    #[must_use]
    pub fn incident(&self, cause: &str, subject: &str) -> Option<&Incident> {
        self.incidents
            .iter()
            .find(|it| it.cause().name() == cause && it.subject.to_string() == subject)
    }
}

impl World {
    /// A world of a lineup in which these events happen.
    #[must_use]
    pub fn new(seed: u64, lineup: Lineup, events: Vec<Event>, segment: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut policy = Policy::default();
        policy.modes.insert(Scope::Global, Mode::Auto);
        let platform = Platform::new(lineup.clone(), events, segment, START);
        let agents = lineup
            .agents()
            .map(|it| (it.node.clone(), Agent::new(&it.node, &platform, START, &mut dice)))
            .collect();
        let mut world = Self {
            platform,
            panel: Panel::default(),
            decider: Some(Decider::new(lineup, policy.clone(), Epoch(1))),
            policy,
            agents,
            dice,
            now: START,
            messages: BTreeMap::new(),
            sent: 0,
            journal: BTreeMap::new(),
            epoch: 1,
            outputs: 0,
            crash_after: None,
            commanded: Vec::new(),
            loss: 0,
            lateness: 40,
            sending: Duration::ZERO,
            log: String::new(),
        };
        world.post(START, Message::ReadPanel);
        world
    }

    /// Makes the panel behave in some way.
    #[must_use]
    pub const fn with_manners(mut self, manners: Manners) -> Self {
        self.panel.manners = manners;
        self
    }

    /// Runs under another policy.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy.clone();
        let lineup = self.platform.lineup.clone();
        self.decider = Some(Decider::new(lineup, policy, Epoch(1)));
        self
    }

    /// Loses one in so many batches and delays the others by up to so many milliseconds.
    #[must_use]
    pub const fn with_network(mut self, loss: u64, lateness: u64) -> Self {
        self.loss = loss;
        self.lateness = lateness;
        self
    }

    /// Lets commands take this long from the decision to the last look.
    #[must_use]
    pub const fn with_slow_sending(mut self, sending: Duration) -> Self {
        self.sending = sending;
        self
    }

    /// An agent starts anew.
    pub fn restart_agent(&mut self, node: &NodeId) {
        if let Some(agent) = self.agents.get_mut(node) {
            agent.restart(&self.platform, self.now, &mut self.dice);
        }
    }

    /// Somebody else puts a channel on a source.
    pub fn switch_by_hand(&mut self, channel: &ChannelId, to: StreamId) {
        self.panel.operator_switch(self.now, &mut self.platform, channel, to);
    }

    /// Crashes the collector after so many outputs.
    #[must_use]
    pub const fn with_crash(mut self, after: u64) -> Self {
        self.crash_after = Some(after);
        self
    }

    fn post(&mut self, at: MonoTime, message: Message) {
        self.sent += 1;
        self.messages.insert((at, self.sent), message);
    }

    /// Tells the judgement something at this moment.
    pub fn tell(&mut self, input: Input) {
        let now = self.now;
        self.handle(now, input);
    }

    /// The moment it is.
    #[must_use]
    pub const fn now(&self) -> MonoTime {
        self.now
    }

    /// The judgement, while it is up.
    #[must_use]
    pub const fn decider(&self) -> Option<&Decider> {
        self.decider.as_ref()
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            let next = self.now + STEP;
            self.deliver_until(next);
            self.now = next;
            self.observe();
        }
    }

    fn observe(&mut self) {
        let now = self.now;
        let nodes: Vec<NodeId> = self.agents.keys().cloned().collect();
        for node in nodes {
            let Some(agent) = self.agents.get_mut(&node) else { continue };
            let batch = agent.step(now, &self.platform);
            let silent = self.platform.mute(&node, now);
            let empty = batch.slices.is_empty() && batch.faults.is_empty();
            let lost = self.loss > 0 && self.dice.below(self.loss) == 0;
            if !silent && !empty && !lost {
                let late = self.dice.millis(self.lateness);
                self.post(now + late, Message::Batch(batch));
            }
        }
    }

    fn deliver_until(&mut self, end: MonoTime) {
        loop {
            let message = self.messages.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.decider.as_ref().and_then(Decider::deadline);
            let next = match (message, deadline) {
                (Some(a), Some(b)) => a.min(b),
                (Some(a), None) => a,
                (None, Some(b)) => b,
                (None, None) => return,
            };
            if next >= end {
                return;
            }
            if message == Some(next) {
                if let Some(((at, _), message)) = self.messages.pop_first() {
                    self.deliver(at, message);
                }
            } else {
                self.handle(next.max(self.now), Input::Tick);
            }
        }
    }

    fn deliver(&mut self, at: MonoTime, message: Message) {
        match message {
            Message::Batch(batch) => self.handle(at, Input::Batch(batch)),
            Message::Outcome(action, outcome) => {
                self.handle(at, Input::Outcome { action, outcome });
            }
            Message::Command(command) => self.command(at, &command),
            Message::ReadPanel => {
                let state = self.panel.state(at, &self.platform);
                self.handle(at, Input::Panel(state));
                self.post(at + Duration::from_secs(1), Message::ReadPanel);
            }
            Message::Restart => self.restart(at),
        }
    }

    /// The collector's last look comes right before the side effect.
    fn command(&mut self, at: MonoTime, command: &Command) {
        let look = self.decider.as_ref().map(|it| it.still_allowed(command.action, at));
        if let Some(Err(reason)) = look {
            let outcome = Outcome::NotSent(reason);
            return self.handle(at, Input::Outcome { action: command.action, outcome });
        }
        let outcome = self.panel.command(at, &mut self.platform, command);
        // A lost answer is noticed by its time-out.
        let takes = if outcome == Outcome::Unknown { 3000 } else { 5 + self.dice.below(20) };
        let answered = at + Duration::from_millis(takes);
        self.post(answered, Message::Outcome(command.action, outcome));
    }

    fn handle(&mut self, at: MonoTime, input: Input) {
        let Some(decider) = &mut self.decider else { return };
        decider.handle(at, input);
        let deadline = decider.deadline();
        assert!(deadline.is_none_or(|it| it > at), "a deadline lies in the past: {deadline:?}");
        self.check_incidents();
        while let Some(output) = self.decider.as_mut().and_then(Decider::poll) {
            self.outputs += 1;
            self.carry_out(at, output);
            if self.crash_after == Some(self.outputs) {
                self.crash(at);
                return;
            }
        }
    }

    fn carry_out(&mut self, at: MonoTime, output: Output) {
        if !matches!(output, Output::Journal(_)) {
            let _ = writeln!(self.log, "{:9.3} {output:?}", self.secs(at));
        }
        match output {
            Output::Journal(record) => {
                self.journal.insert(record.key.clone(), (at, record));
            }
            Output::Act(command) => {
                self.check_command(at, &command);
                self.commanded.push((at, command.clone()));
                let takes = self.sending + self.dice.millis(10);
                self.post(at + takes, Message::Command(command));
            }
            _ => {}
        }
    }

    fn secs(&self, at: MonoTime) -> f64 {
        at.since(START).as_secs_f64()
    }

    fn crash(&mut self, at: MonoTime) {
        let _ = writeln!(self.log, "{:9.3} crash", self.secs(at));
        self.decider = None;
        // Answers to a process that is gone go nowhere.
        self.messages.retain(|_, it| !matches!(it, Message::Outcome(..)));
        self.post(at + DOWN_FOR, Message::Restart);
    }

    /// What the journal alone would give back at this moment.
    #[must_use]
    pub fn remembered(&self) -> Decider {
        self.recall(self.now)
    }

    fn recall(&self, at: MonoTime) -> Decider {
        let journal = self.journal.values().map(|(written, record)| Remembered {
            record: record.clone(),
            age: at.since(*written),
        });
        let (lineup, policy) = (self.platform.lineup.clone(), self.policy.clone());
        let (decider, unread) =
            Decider::restore(lineup, policy, Epoch(self.epoch), at, journal.collect::<Vec<_>>());
        assert!(unread.is_empty(), "unread records: {unread:?}");
        decider
    }

    fn restart(&mut self, at: MonoTime) {
        self.epoch += 1;
        self.decider = Some(self.recall(at));
        self.handle(at, Input::Tick);
    }

    /// One open incident per cause.
    fn check_incidents(&self) {
        let Some(decider) = &self.decider else { return };
        let mut seen = BTreeSet::new();
        for incident in decider.incidents().filter(|it| it.closed.is_none()) {
            assert!(seen.insert(&incident.subject), "two open incidents of {}", incident.subject);
        }
    }

    /// What must hold for every command, whatever went wrong before.
    fn check_command(&self, at: MonoTime, command: &Command) {
        let Some(decider) = &self.decider else { return };
        let say = |rule: &str| format!("{rule}: {command:?}\n{}", self.log);
        assert_eq!(decider.still_allowed(command.action, at), Ok(()), "{}", say("allowed"));
        assert!(at < command.expires, "{}", say("not past its expiry"));
        assert!(
            !matches!(command.cause, Some(Cause::Programme | Cause::Probe)),
            "{}",
            say("nothing acts on a programme or a probe")
        );
        let listed = match &command.target {
            Target::Channel(id) => self.platform.lineup.channel(id).is_some(),
            Target::Servers(ids) => {
                !ids.is_empty() && ids.iter().all(|id| self.platform.lineup.server(id).is_some())
            }
            Target::Region(_) => true,
        };
        assert!(listed, "{}", say("an explicit target"));
        let others = decider.actions().filter(|it| it.id != command.action);
        for other in others.filter(|it| it.state.is_in_flight()) {
            let apart = !other.target.overlaps(&command.target);
            assert!(apart, "{}", say("one action in flight on a target"));
        }
        let lately = |span| {
            let young = |it: &&(MonoTime, Command)| at.since(it.0) < Duration::from_secs(span);
            self.commanded.iter().filter(young).count()
        };
        assert!(lately(1) < BURST, "{}", say("a burst of five"));
        assert!(lately(60) < BURST + PER_MINUTE, "{}", say("ten a minute"));
        for (before, other) in &self.commanded {
            assert_ne!(other.action, command.action, "{}", say("no action id twice"));
            let apart = at.since(*before) >= TARGET_INTERVAL;
            assert!(apart || !other.target.overlaps(&command.target), "{}", say("one a minute"));
        }
    }

    /// Ends the run.
    #[must_use]
    pub fn story(self) -> Story {
        let (mut incidents, mut actions) = (Vec::new(), Vec::new());
        if let Some(decider) = &self.decider {
            incidents.extend(decider.incidents().cloned());
            actions.extend(decider.actions().cloned());
        }
        Story {
            incidents,
            actions,
            carried_out: self.panel.carried_out,
            commanded: self.commanded,
            outputs: self.outputs,
            log: self.log,
        }
    }

    /// An incident as it stands.
    #[must_use]
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.decider.as_ref()?.incident(id)
    }
}
