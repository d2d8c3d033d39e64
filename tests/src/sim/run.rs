//! One run: virtual time, the network between agents and judgement, people, crashes.
//!
//! Time passes in steps of a tenth of a second, in which nothing is looked at but streams that may be bad: a world with
//! hundreds of channels costs little more than the troubles in it. What reaches the judgement between two steps comes in the
//! order of its arrival.

use std::{collections::BTreeMap, time::Duration};

use tallylight_decide::{
    Decider, Input, Mode, Outcome, Policy, Scope,
    action::{Action, Command},
    incident::Incident,
    journal::Record,
    lineup::Lineup,
    maintenance::Plan,
};
use tallylight_model::{ActionId, Batch, ChannelId, Epoch, IncidentId, MonoTime, NodeId};

use super::{
    Dice, START, STEP,
    agent::Agent,
    demo::id,
    panel::{Manners, Panel},
    platform::{Event, Platform, demo_site},
    player::SECOND,
    probe::{FIRST, moment},
    rules::Rules,
    scenario::{Answers, Crash, Doing, Scenario},
    worth::Worth,
};

mod collector;
mod near;
mod people;
mod story;

use near::{Shown, look};
use story::Said;

pub use story::Story;

/// How long the collector is away when a test crashes it.
const DOWN_FOR: Duration = Duration::from_secs(2);

/// Something on its way.
#[derive(Debug)]
enum Message {
    Batch(usize, MonoTime, Batch),
    Command(Command),
    CarryOut(Command),
    Outcome(ActionId, Outcome),
    ReadPanel,
    Restart,
    Person(Doing),
    AgentRestarts(NodeId),
    ClockSteps(i64),
    FailsOver(ChannelId),
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
    /// The lineup that the collector has.
    lineup: Lineup,
    agents: Vec<Agent>,
    dice: Dice,
    now: MonoTime,
    step: u64,
    messages: BTreeMap<(MonoTime, u64), Message>,
    sent: u64,
    journal: BTreeMap<String, (MonoTime, Record)>,
    wall_off: i64,
    pulled: bool,
    epoch: u64,
    outputs: u64,
    crashes: Vec<Crash>,
    loss: u64,
    lateness: u64,
    answers: Option<Answers>,
    /// Times of maintenance that are configured: told at every start.
    windows: Vec<Plan>,
    failover: Option<Duration>,
    /// What the journal takes, and reading the panel's state before the last look.
    sending: Duration,
    /// How often the panel is read.
    reads: Duration,
    shown: Vec<Shown>,
    /// When each stream may begin to be bad, latest first.
    wakes: Vec<(MonoTime, usize)>,
    /// Until when each stream must be looked at.
    watched: Vec<MonoTime>,
    rules: Rules,
    /// Whether broken rules are for the caller to read, and not a failed test.
    drawn: bool,
    worth: Option<Worth>,
    told: Vec<(MonoTime, Said)>,
}

impl World {
    /// The demo's world with a lineup of its own in which these events happen, and nothing else.
    #[must_use]
    pub fn new(seed: u64, lineup: Lineup, events: Vec<Event>, segment: u64) -> Self {
        let platform = Platform::new(demo_site(lineup, segment), events);
        let mut policy = Policy::default();
        policy.modes.insert(Scope::Global, Mode::Auto);
        Self::of(platform, policy, seed)
    }

    /// The world that was drawn.
    #[must_use]
    pub fn drawn(scenario: &Scenario) -> Self {
        let platform = Platform::new(scenario.site(), scenario.events.clone());
        let mut world = Self::of(platform, scenario.policy.clone(), scenario.seed);
        world.drawn = true;
        world.panel.manners = scenario.manners;
        world.panel.restarts = scenario.restarts_services;
        world.loss = scenario.loss;
        world.lateness = scenario.lateness;
        world.crashes = scenario.crashes.clone();
        world.answers = scenario.answers;
        world.windows = scenario.windows.clone();
        world.failover = scenario.failover;
        if let Some(parts) = &scenario.listed {
            world.lineup = id(Lineup::new((**parts).clone()));
            let (lineup, policy) = (world.lineup.clone(), world.policy.clone());
            world.decider = Some(Decider::new(lineup.clone(), policy, Epoch(1)));
            world.rules.relist(lineup);
        }
        world.rules.judge(scenario);
        world.worth = Some(Worth::new(&world.platform));
        if world.platform.lineup().channels().count() > 20 {
            world.reads = Duration::from_secs(5);
        }
        for (at, doing) in &scenario.people {
            world.post(*at, Message::Person(doing.clone()));
        }
        for (at, node) in &scenario.restarts {
            world.post(*at, Message::AgentRestarts(node.clone()));
        }
        for (at, by) in &scenario.steps {
            world.post(*at, Message::ClockSteps(*by));
        }
        if scenario.failover.is_some() {
            for channel in
                world.platform.lineup().channels().map(|it| it.id.clone()).collect::<Vec<_>>()
            {
                world.post(START, Message::FailsOver(channel));
            }
        }
        if scenario.merges {
            world.slow_down(scenario);
        }
        world.tell_windows(START);
        world
    }

    fn of(platform: Platform, policy: Policy, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let lineup = platform.lineup().clone();
        let agents: Vec<Agent> = lineup
            .agents()
            .map(|it| Agent::new(&it.node, &it.region, &platform, &mut dice))
            .collect();
        let first = |stream: &super::platform::Stream| {
            stream.events.iter().map(|&it| platform.events[it].from).min()
        };
        let last = |stream: &super::platform::Stream| {
            let ends = stream.events.iter().map(|&it| platform.events[it].to);
            ends.max().map_or(START, |it| it + stream.lag + STEP)
        };
        let mut wakes: Vec<(MonoTime, usize)> = platform
            .streams
            .iter()
            .enumerate()
            .filter_map(|(index, it)| Some((first(it)?, index)))
            .collect();
        wakes.sort_unstable_by(|a, b| b.cmp(a));
        let watched = platform.streams.iter().map(last).collect();
        let mut world = Self {
            shown: vec![Shown::default(); platform.streams.len()],
            decider: Some(Decider::new(lineup.clone(), policy.clone(), Epoch(1))),
            rules: Rules::new(&platform, &policy),
            panel: Panel::default(),
            policy,
            lineup,
            agents,
            dice,
            now: START,
            step: FIRST,
            messages: BTreeMap::new(),
            sent: 0,
            journal: BTreeMap::new(),
            wall_off: 0,
            pulled: false,
            epoch: 1,
            outputs: 0,
            crashes: Vec::new(),
            loss: 0,
            lateness: 40,
            answers: None,
            windows: Vec::new(),
            failover: None,
            sending: Duration::ZERO,
            reads: Duration::from_secs(1),
            wakes,
            watched,
            worth: None,
            drawn: false,
            told: Vec::new(),
            platform,
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

    /// Lets the panel restart servers and encoders.
    #[must_use]
    pub const fn with_restarts(mut self) -> Self {
        self.panel.restarts = true;
        self
    }

    /// Runs under another policy.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy.clone();
        self.rules = Rules::new(&self.platform, &policy);
        self.decider = Some(Decider::new(self.lineup.clone(), policy, Epoch(1)));
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

    /// Crashes the collector after so many outputs.
    #[must_use]
    pub fn with_crash(mut self, after: u64) -> Self {
        self.crashes.push(Crash { after, away: DOWN_FOR });
        self
    }

    /// An agent starts anew.
    pub fn restart_agent(&mut self, node: &NodeId) {
        if let Some(agent) = self.agents.iter_mut().find(|it| it.node == *node) {
            agent.restart(self.step, &self.platform, &mut self.dice);
        }
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

    /// Lets time pass up to the scenario's end, or to where nothing more can happen.
    pub fn run_through(&mut self, scenario: &Scenario) {
        let calm = scenario.calm_from();
        while self.now < scenario.end && !(self.now >= calm && self.is_at_rest()) {
            self.run_for(Duration::from_secs(1).min(scenario.end.since(self.now)));
        }
    }

    /// Whether nothing is wrong, nobody says that anything is, and nothing is under way.
    fn is_at_rest(&self) -> bool {
        let open = |it: &Decider| it.incidents().any(|it| it.closed.is_none());
        let under_way = |it: &Decider| it.actions().any(|it| !it.state.is_final());
        self.agents.iter().all(Agent::is_calm)
            && self
                .decider
                .as_ref()
                .is_some_and(|it| it.deadline().is_none() && !open(it) && !under_way(it))
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            let next = self.now + STEP;
            self.deliver_until(next);
            self.now = next;
            self.step += 1;
            self.observe();
            if self.step.is_multiple_of(SECOND) {
                self.rules.second(self.now);
                if let Some(worth) = &mut self.worth {
                    worth.second(self.now, &self.platform, &self.panel);
                }
            }
        }
    }

    fn observe(&mut self) {
        let (now, step) = (self.now, self.step);
        while self.wakes.last().is_some_and(|(at, _)| *at < now) {
            let Some((_, stream)) = self.wakes.pop() else { break };
            for agent in &mut self.agents {
                agent.heat(stream, step);
            }
        }
        let (platform, shown, watched) = (&self.platform, &mut self.shown, &self.watched);
        let mut shows =
            |stream: usize| look(platform, &mut shown[stream], stream, moment(step - 1));
        let mut said = Vec::new();
        for (index, agent) in self.agents.iter_mut().enumerate() {
            let troubled = agent.is_troubled(step);
            if troubled {
                let all: Vec<usize> = agent.probes.keys().copied().collect();
                all.into_iter().for_each(|it| agent.heat(it, step));
            }
            said.extend(agent.step(step, platform, &mut shows).map(|it| (index, it)));
            if step.is_multiple_of(SECOND) && !troubled {
                agent.cool(|stream| watched[stream] < now);
            }
        }
        for (index, batch) in said {
            let lost = self.loss > 0 && self.dice.below(self.loss) == 0;
            if !lost {
                let late = self.dice.millis(self.lateness);
                self.post(now + late, Message::Batch(index, now, batch));
            }
        }
    }

    fn deliver_until(&mut self, end: MonoTime) {
        loop {
            let message = self.messages.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.decider.as_ref().and_then(Decider::deadline);
            let Some(next) = message.into_iter().chain(deadline).min() else { return };
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
            Message::Batch(agent, cut, batch) if self.decider.is_some() => {
                self.rules.heard(agent, cut, &batch);
                self.handle(at, Input::Batch(batch));
            }
            // The agent offers it again until it is taken.
            Message::Batch(agent, cut, batch) => {
                let later = at + Duration::from_millis(200) + self.dice.millis(800);
                self.post(later, Message::Batch(agent, cut, batch));
            }
            Message::Outcome(action, outcome) => {
                self.handle(at, Input::Outcome { action, outcome });
            }
            Message::Command(command) => self.command(at, command),
            Message::CarryOut(command) => self.carry_out(at, &command),
            Message::ReadPanel => {
                let state = self.panel.state(at, &self.platform);
                self.handle(at, Input::Panel(state));
                self.post(at + self.reads, Message::ReadPanel);
            }
            Message::Restart => self.restart(at),
            Message::Person(doing) => self.person(at, doing),
            Message::AgentRestarts(node) => self.restart_agent(&node),
            Message::ClockSteps(by) => {
                self.wall_off += by;
                self.rules.clock_steps(by);
            }
            Message::FailsOver(channel) => self.fail_over(at, &channel),
        }
    }

    /// The actions as they stand.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.decider().into_iter().flat_map(Decider::actions)
    }

    /// An incident as it stands.
    #[must_use]
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.decider.as_ref()?.incident(id)
    }
}
