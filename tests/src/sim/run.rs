//! One run: virtual time, the network between agents and judgement, people, crashes.
//!
//! Time passes in steps of a tenth of a second, in which nothing is looked at but streams that may be bad: a world with
//! hundreds of channels costs little more than the troubles in it. What reaches the judgement between two steps comes in the
//! order of its arrival.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use tallylight_decide::{
    ChangedBy, Decider, Input, KillSwitch, Mode, Outcome, Output, Policy, Scope,
    action::{Action, ActionState, Command},
    incident::Incident,
    journal::{Record, Remembered},
    lineup::Lineup,
};
use tallylight_model::{ActionId, Batch, ChannelId, Epoch, IncidentId, MonoTime, NodeId, StreamId};

use super::{
    Dice, START, STEP,
    agent::{Agent, Pace},
    panel::{Manners, Panel},
    platform::{Conditions, Event, Platform, demo_site},
    player::SECOND,
    probe::{FIRST, moment},
    rules::{Broken, Rules},
    scenario::{Crash, Doing, Scenario},
    worth::Worth,
};

/// How long the collector is away when a test crashes it.
const DOWN_FOR: Duration = Duration::from_secs(2);

/// After so long of streams that nothing happens to every second is told.
const WARM: u64 = 20 * SECOND;

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

/// What a stream shows, and until when that holds.
#[derive(Clone, Copy, Debug)]
struct Shown {
    what: Conditions,
    slow: u64,
    until: MonoTime,
    changes: u64,
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
    approves: Option<Duration>,
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

/// One line of the story.
#[derive(Debug)]
enum Said {
    Output(Box<Output>),
    Event(String),
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
    /// What was decided, with when.
    pub commanded: Vec<(MonoTime, Command)>,
    /// How many outputs there were.
    pub outputs: u64,
    /// Rules that were broken.
    pub broken: Vec<Broken>,
    /// What viewers got.
    pub worth: Option<Worth>,
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
        world.loss = scenario.loss;
        world.lateness = scenario.lateness;
        world.crashes = scenario.crashes.clone();
        world.approves = scenario.approves;
        world.failover = scenario.failover;
        world.rules.judge(&scenario.faults);
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
        let never = Shown { what: Conditions::NONE, slow: 0, until: MonoTime::ZERO, changes: 0 };
        let mut world = Self {
            shown: vec![never; platform.streams.len()],
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
            approves: None,
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

    /// Lets agents tell of streams that nothing will happen to ten seconds at a time, and of those near to trouble every
    /// second once all are known to be well.
    fn slow_down(&mut self, scenario: &Scenario) {
        let related = related(&self.platform, scenario);
        for agent in &mut self.agents {
            let streams: Vec<usize> = agent.probes.keys().copied().collect();
            for stream in streams {
                let near = related.contains(&stream);
                agent.pace(
                    stream,
                    if near { Pace::SecondsFrom(FIRST + WARM) } else { Pace::Merged },
                );
            }
        }
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

    /// Somebody else puts a channel on a source.
    pub fn switch_by_hand(&mut self, channel: &ChannelId, to: StreamId) {
        self.switch_past_us(self.now, channel, to, ChangedBy::Operator);
    }

    fn switch_past_us(&mut self, at: MonoTime, channel: &ChannelId, to: StreamId, by: ChangedBy) {
        let line = format!("{by:?} puts {channel} on {to}");
        self.told.push((at, Said::Event(line)));
        if let Some(worth) = &mut self.worth {
            worth.switched_by_others(at, channel, &to);
        }
        self.panel.switch(at, &mut self.platform, channel, (to, by));
        self.wake(channel);
    }

    /// Looks closely at a channel's streams: something was done to it.
    fn wake(&mut self, channel: &ChannelId) {
        for (index, stream) in self.platform.streams.iter().enumerate() {
            if stream.channel == *channel {
                self.wakes.push((self.now, index));
                let until = self.now + stream.lag + Duration::from_secs(5);
                self.watched[index] = self.watched[index].max(until);
            }
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

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            let next = self.now + STEP;
            self.deliver_until(next);
            self.now = next;
            self.step += 1;
            self.observe();
            if self.step.is_multiple_of(SECOND)
                && let Some(worth) = &mut self.worth
            {
                worth.second(self.now, &self.platform, &self.panel);
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
            Message::ClockSteps(by) => self.wall_off += by,
            Message::FailsOver(channel) => self.fail_over(at, &channel),
        }
    }

    fn person(&mut self, at: MonoTime, doing: Doing) {
        self.told.push((at, Said::Event(format!("a person: {doing:?}"))));
        let by = || "ops".to_owned();
        let input = match doing {
            Doing::Switch(channel, to) => {
                return self.switch_past_us(at, &channel, to, ChangedBy::Operator);
            }
            Doing::Close => {
                let open = self.decider.as_ref().and_then(|it| {
                    let mut open = it.incidents().filter(|it| it.closed.is_none());
                    open.next().map(|it| it.id)
                });
                let Some(incident) = open else { return };
                Input::Close { incident, by: by() }
            }
            Doing::Approve(action) => Input::Approve { action, by: by() },
            Doing::Pull => Input::KillSwitch(KillSwitch::Pulled),
            Doing::Release => Input::KillSwitch(KillSwitch::Released),
            Doing::Set(scope, mode) => Input::SetMode { scope, mode, by: by() },
            Doing::Load(parts) => match Lineup::new(*parts) {
                Ok(lineup) => Input::Lineup(Box::new(lineup)),
                Err(_) => return,
            },
        };
        self.handle(at, input);
    }

    /// The panel's own failover: a source without packets is left after a while.
    fn fail_over(&mut self, at: MonoTime, channel: &ChannelId) {
        let Some(after) = self.failover else { return };
        self.post(at + Duration::from_secs(1), Message::FailsOver(channel.clone()));
        let Some(active) = self.platform.active(channel, at).cloned() else { return };
        let sources = self.platform.lineup().channel(channel).map(|it| it.sources.clone());
        let gone = |it: &StreamId, at| self.platform.lacks_packets(it, at);
        if gone(&active, at) && gone(&active, at - after) {
            let other = sources.into_iter().flatten().map(|it| it.stream);
            let next = other.filter(|it| *it != active).find(|it| !gone(it, at));
            if let Some(next) = next {
                self.switch_past_us(at, channel, next, ChangedBy::Panel);
            }
        }
    }

    /// The collector's last look comes right before the side effect.
    fn command(&mut self, at: MonoTime, command: Command) {
        let look = self.decider.as_ref().map(|it| it.still_allowed(command.action, at));
        if let Some(Err(reason)) = look {
            let outcome = Outcome::NotSent(reason);
            return self.handle(at, Input::Outcome { action: command.action, outcome });
        }
        self.rules.sent(at, &command, self.decider.is_some());
        self.post(at + self.panel.takes(), Message::CarryOut(command));
    }

    fn carry_out(&mut self, at: MonoTime, command: &Command) {
        let outcome = self.panel.command(at, &mut self.platform, command);
        self.told.push((at, Said::Event(format!("the panel on {}: {outcome:?}", command.action))));
        if let Some(channel) = command.target.channel() {
            self.wake(channel);
        }
        // A lost answer, and one that takes too long, is noticed by its time-out.
        let late = self.panel.takes() > Duration::from_secs(3);
        let (takes, outcome) = if outcome == Outcome::Unknown || late {
            (3000, Outcome::Unknown)
        } else {
            (5 + self.dice.below(20), outcome)
        };
        let sent = at - self.panel.takes();
        let answered = at.max(sent + Duration::from_millis(takes));
        self.post(answered + STEP / 100, Message::Outcome(command.action, outcome));
    }

    fn handle(&mut self, at: MonoTime, input: Input) {
        if let Input::KillSwitch(position) = input {
            self.pulled = position == KillSwitch::Pulled;
        }
        let Some(decider) = &mut self.decider else { return };
        self.rules.input(at, &input);
        if let Input::Lineup(lineup) = &input {
            self.lineup = (**lineup).clone();
        }
        decider.handle(at, input);
        self.rules.looked(at, decider);
        while let Some(output) = self.decider.as_mut().and_then(Decider::poll) {
            self.outputs += 1;
            self.put_out(at, output);
            if self.crashes.first().is_some_and(|it| it.after == self.outputs) {
                let crash = self.crashes.remove(0);
                self.crash(at, crash.away);
                return;
            }
        }
    }

    fn put_out(&mut self, at: MonoTime, output: Output) {
        self.rules.output(at, &output, self.decider.as_ref());
        match &output {
            Output::Journal(record) => {
                self.journal.insert(record.key.clone(), (self.wall(at), record.clone()));
                return;
            }
            Output::Act(command) => {
                let takes = self.sending + self.dice.millis(10);
                self.post(at + takes, Message::Command(command.clone()));
            }
            Output::Action { action, state: ActionState::Waiting, .. } => {
                if let Some(after) = self.approves {
                    let approval = Doing::Approve(*action);
                    self.post(at + after, Message::Person(approval));
                }
            }
            _ => {}
        }
        self.told.push((at, Said::Output(Box::new(output))));
    }

    /// What the collector's wall clock shows.
    fn wall(&self, at: MonoTime) -> MonoTime {
        let off = Duration::from_millis(self.wall_off.unsigned_abs());
        if self.wall_off < 0 { at - off } else { at + off }
    }

    fn crash(&mut self, at: MonoTime, away: Duration) {
        self.told.push((at, Said::Event("crash".to_owned())));
        self.decider = None;
        // Answers to a process that is gone go nowhere.
        self.messages.retain(|_, it| !matches!(it, Message::Outcome(..)));
        self.post(at + away, Message::Restart);
    }

    /// What the journal alone would give back at this moment.
    #[must_use]
    pub fn remembered(&self) -> Decider {
        self.recall(self.now)
    }

    fn recall(&self, at: MonoTime) -> Decider {
        let now = self.wall(at);
        let journal = self.journal.values().map(|(written, record)| Remembered {
            record: record.clone(),
            age: now.since(*written),
        });
        let (lineup, policy) = (self.lineup.clone(), self.policy.clone());
        let (decider, unread) =
            Decider::restore(lineup, policy, Epoch(self.epoch), at, journal.collect::<Vec<_>>());
        assert!(unread.is_empty(), "unread records: {unread:?}");
        decider
    }

    fn restart(&mut self, at: MonoTime) {
        self.told.push((at, Said::Event("restart".to_owned())));
        self.epoch += 1;
        let decider = self.recall(at);
        self.rules.restarted(at, &decider);
        self.decider = Some(decider);
        let position = if self.pulled { KillSwitch::Pulled } else { KillSwitch::Released };
        self.handle(at, Input::KillSwitch(position));
    }

    /// Ends the run.
    #[must_use]
    pub fn story(mut self) -> Story {
        let (mut incidents, mut actions) = (Vec::new(), Vec::new());
        if let Some(decider) = &self.decider {
            incidents.extend(decider.incidents().cloned());
            actions.extend(decider.actions().cloned());
        }
        self.rules.over(self.now, &actions);
        let broken = &self.rules.broken;
        assert!(self.drawn || broken.is_empty(), "{broken:#?}\n{}", log(&self.told));
        let commanded = self.told.iter().filter_map(|(at, said)| match said {
            Said::Output(output) => match &**output {
                Output::Act(command) => Some((*at, command.clone())),
                _ => None,
            },
            Said::Event(_) => None,
        });
        Story {
            incidents,
            actions,
            carried_out: self.panel.carried_out.iter().map(|it| it.1.clone()).collect(),
            commanded: commanded.collect(),
            outputs: self.outputs,
            broken: self.rules.broken,
            worth: self.worth,
            log: log(&self.told),
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

fn log(told: &[(MonoTime, Said)]) -> String {
    let mut log = String::new();
    for (at, said) in told {
        let secs = at.since(START).as_secs_f64();
        let _ = match said {
            Said::Output(output) => writeln!(log, "{secs:9.3} {output:?}"),
            Said::Event(what) => writeln!(log, "{secs:9.3} {what}"),
        };
    }
    log
}

/// What a stream shows, asked of the truth only where it can have changed.
fn look(platform: &Platform, shown: &mut Shown, stream: usize, at: MonoTime) -> (Conditions, u64) {
    if at >= shown.until || shown.changes != platform.changes {
        let slow = platform.slow(stream, at).as_millis() / STEP.as_millis();
        *shown = Shown {
            what: platform.shows(&platform.history, stream, at),
            slow: u64::try_from(slow).unwrap_or(0),
            until: platform.changes_at(stream, at),
            changes: platform.changes,
        };
    }
    (shown.what, shown.slow)
}

/// Streams that trouble comes near to: of the same channel, server, region or provider.
fn related(platform: &Platform, scenario: &Scenario) -> BTreeSet<usize> {
    let by_hand = |it: &ChannelId| {
        scenario.people.iter().any(|(_, doing)| matches!(doing, Doing::Switch(id, _) if id == it))
    };
    let troubled = |node: &NodeId| platform.events.iter().any(|it| it.what.agent() == Some(node));
    let agents = platform.lineup().agents().filter(|it| troubled(&it.node));
    let regions: BTreeSet<_> = agents.map(|it| &it.region).collect();
    let touched = platform
        .streams
        .iter()
        .filter(|it| !it.events.is_empty() || by_hand(&it.channel) || regions.contains(&it.region));
    let (mut channels, mut servers, mut places) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for stream in touched {
        channels.insert(&stream.channel);
        if let Some(server) = &stream.server {
            servers.insert(server);
            places.insert(&stream.region);
        }
    }
    let provider = |id: &StreamId| match platform.lineup().stream(id) {
        Some(tallylight_decide::lineup::StreamRef::Source(_, source)) => source.provider.clone(),
        _ => None,
    };
    let sources = platform.streams.iter().filter(|it| channels.contains(&it.channel));
    let providers: BTreeSet<_> = sources.filter_map(|it| provider(&it.id)).collect();
    let near = |stream: &super::platform::Stream| {
        channels.contains(&stream.channel)
            || stream
                .server
                .as_ref()
                .is_some_and(|it| servers.contains(it) || places.contains(&stream.region))
            || provider(&stream.id).is_some_and(|it| providers.contains(&it))
    };
    (0..platform.streams.len()).filter(|&it| near(&platform.streams[it])).collect()
}
