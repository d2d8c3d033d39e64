//! The task that owns the judgement. It alone feeds it, and carries out what comes out of it, in order: what must be
//! remembered is durable before anything is done.
//!
//! A lock around the judgement, shared by many tasks, would let two inputs interleave between "the journal has it" and "send
//! it"; one task with a bounded queue cannot.
//!
//! Judging goes on while the journal writes. What comes out meanwhile gathers and is the next write, whole: at a fault many
//! agents speak at once, and were each record a write of its own, the one that decides would wait for all before it. So it
//! waits for one at most.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::Arc,
};

use jiff::Timestamp;
use tallylight_decide::{
    Decider, IncidentEvent, Input, KillSwitch, Mode, OnAir, Outcome, Output, Policy,
    action::{ActionKind, Reason},
    maintenance::{Plan, Window, WindowState},
};
use tallylight_model::{
    ActionId, Batch, ChannelId, FaultPhase, FaultRecord, Metric, MonoTime, WindowId,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, sleep_until},
};

use super::{
    Clock, Loaded,
    journal::{FaultRow, Journal, JournalError},
    meters::Meters,
    panel::PanelDriver,
    pending::{Pending, Waiting, Writing},
    traces::Traces,
};
use crate::{
    dedupe::{Dedupe, Kept, Sifted},
    view::{Ended, View},
};

/// Inputs that wait for the judge; beyond that agents are told to come again.
const QUEUE: usize = 256;
/// How often the kill switch is looked at while nothing acts. Before each command it is looked at afresh.
const KILL_SWITCH_POLL: std::time::Duration = std::time::Duration::from_millis(200);
/// How often hours on the air are evaluated.
const ON_AIR_POLL: std::time::Duration = std::time::Duration::from_secs(1);

/// Faults that ended, kept to be shown.
const MAX_ENDED: usize = 1000;

type Question = Box<dyn FnOnce(&View<'_>) + Send>;

enum Message {
    Batch { batch: Batch, arrived: MonoTime, reply: oneshot::Sender<Result<Sifted, Busy>> },
    Input(Input),
    Order { input: Input, reply: oneshot::Sender<Result<(), Busy>> },
    Allowed { action: ActionId, reply: oneshot::Sender<Result<(), Reason>> },
    Ask(Question),
}

/// The judge has no room, is gone, or could not make the data safe: coming again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the collector is busy or cannot keep the data; send again")]
pub(super) struct Busy;

/// The way to the judge.
#[derive(Clone, Debug)]
pub(super) struct JudgeHandle {
    messages: mpsc::Sender<Message>,
}

impl JudgeHandle {
    pub(super) fn channel() -> (Self, Inbox) {
        let (messages, inbox) = mpsc::channel(QUEUE);
        (Self { messages }, Inbox(inbox))
    }

    /// Hands in what an agent said; returns when it is safe. `arrived` is when its request came.
    ///
    /// # Errors
    /// It was not taken: the agent keeps it and comes again.
    pub(super) async fn batch(&self, batch: Batch, arrived: MonoTime) -> Result<Sifted, Busy> {
        let (reply, answer) = oneshot::channel();
        self.messages.try_send(Message::Batch { batch, arrived, reply }).map_err(|_| Busy)?;
        answer.await.unwrap_or(Err(Busy))
    }

    /// Hands in anything else; false if the judge is gone.
    pub(super) async fn input(&self, input: Input) -> bool {
        self.messages.send(Message::Input(input)).await.is_ok()
    }

    /// Hands in what a person ordered; returns when it is safe.
    ///
    /// # Errors
    /// It was not taken.
    pub(super) async fn order(&self, input: Input) -> Result<(), Busy> {
        let (reply, answer) = oneshot::channel();
        self.messages.try_send(Message::Order { input, reply }).map_err(|_| Busy)?;
        answer.await.unwrap_or(Err(Busy))
    }

    /// Asks right before the side effect whether a command may go out.
    ///
    /// # Errors
    /// Says what forbids it.
    pub(super) async fn allowed(&self, action: ActionId) -> Result<(), Reason> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Allowed { action, reply };
        self.messages.send(message).await.map_err(|_| Reason::CollectorStops)?;
        answer.await.unwrap_or(Err(Reason::CollectorStops))
    }

    /// Reads something off the judgement.
    ///
    /// # Errors
    /// The judge is gone.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |view| drop(reply.send(question(view))));
        self.messages.send(Message::Ask(question)).await.map_err(|_| Busy)?;
        answer.await.map_err(|_| Busy)
    }
}

/// The judge's end of the way.
#[derive(Debug)]
pub(super) struct Inbox(mpsc::Receiver<Message>);

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

/// What a judge is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) decider: Decider,
    pub(super) clock: Clock,
    pub(super) journal: Journal,
    pub(super) panel: Arc<PanelDriver>,
    pub(super) dedupe: Dedupe,
    pub(super) meters: Arc<Meters>,
    pub(super) config: watch::Receiver<Arc<Loaded>>,
    pub(super) traces: Option<Traces>,
}

/// The judgement with what it needs to act.
#[derive(Debug)]
pub(super) struct Judge {
    decider: Decider,
    clock: Clock,
    journal: Journal,
    panel: Arc<PanelDriver>,
    dedupe: Dedupe,
    meters: Arc<Meters>,
    config: watch::Receiver<Arc<Loaded>>,
    traces: Option<Traces>,
    state: State,
    /// What goes into the next write.
    pending: Pending,
}

/// What the judge remembers of the world between looks.
#[derive(Debug, Default)]
struct State {
    latest: MonoTime,
    kill_switch: KillSwitch,
    clock_is_off: bool,
    off_air: BTreeSet<ChannelId>,
    /// Until when the lineup's maintenance is on, of which the judgement was told.
    maintenance: BTreeMap<WindowId, Timestamp>,
    /// Faults that ended, the last one last.
    ended: VecDeque<Ended>,
    /// The journal's last write failed.
    journal_fails: bool,
}

/// What the judgement has been told of the hours before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Before,
}

impl Judge {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { decider, clock, journal, panel, dedupe, meters, config, traces } = parts;
        let (state, pending) = (State::default(), Pending::default());
        Self { decider, clock, journal, panel, dedupe, meters, config, traces, state, pending }
    }

    /// Runs until told to stop; what has been taken in by then is safe.
    pub(super) async fn run(mut self, mut inbox: Inbox, mut stop: watch::Receiver<bool>) {
        let mut kill_switch = interval(KILL_SWITCH_POLL);
        let mut on_air = interval(ON_AIR_POLL);
        kill_switch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        on_air.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reloads = self.config.clone();
        self.absorb();
        self.look_at_kill_switch();
        self.look_at_hours(Told::Nothing);
        self.look_at_schedule();
        let mut writing = None;
        loop {
            if writing.is_none() && self.pending.is_due(self.state.journal_fails) {
                writing = Some(self.begin_write());
            }
            let deadline = self.decider.deadline().map(|at| self.clock.instant(at));
            let tick = async {
                match deadline {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = stop.changed() => break,
                (held, result) = Writing::end(&mut writing) => self.conclude(held, result),
                _ = kill_switch.tick() => self.look_at_kill_switch(),
                message = inbox.0.recv(), if self.pending.has_room() => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
                () = tick => self.feed(Input::Tick),
                _ = on_air.tick() => {
                    self.look_at_hours(Told::Before);
                    self.look_at_schedule();
                    if self.state.journal_fails && writing.is_none() {
                        writing = Some(self.begin_write());
                    }
                }
                Ok(()) = reloads.changed() => self.reload(),
            }
        }
        self.finish(writing).await;
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Batch { batch, arrived, reply } => self.batch(batch, arrived, reply),
            Message::Input(input) => {
                if matches!(input, Input::Panel(_)) {
                    self.look_at_clock();
                }
                self.feed(input);
            }
            Message::Order { input, reply } => {
                self.feed(input);
                self.pending.wait(Waiting::Order(reply));
            }
            Message::Allowed { action, reply } => {
                self.look_at_kill_switch();
                let _ = reply.send(self.allowed(action));
            }
            Message::Ask(question) => question(&View {
                decider: &self.decider,
                calendar: self.clock.calendar(),
                kill_switch: self.state.kill_switch,
                panel: self.panel.configured(),
                ended: &self.state.ended,
                journal_fails: self.state.journal_fails,
            }),
        }
    }

    fn batch(
        &mut self,
        mut batch: Batch,
        arrived: MonoTime,
        reply: oneshot::Sender<Result<Sifted, Busy>>,
    ) {
        let sifted = self.dedupe.sift(&mut batch);
        for (result, number) in [
            ("accepted", sifted.fresh),
            ("duplicate", sifted.duplicate),
            ("refused", sifted.refused),
        ] {
            if number > 0 {
                self.meters.count(Metric::CollectorSlices, &[("result", result)], number);
            }
        }
        if sifted.fresh == 0 && sifted.duplicate > 0 {
            // Reports have no key of their own: they came before with the slices beside them.
            batch.reports.clear();
        }
        let rows = self.fault_rows(&batch, &sifted.unkept);
        let seqs: Vec<u64> = rows.iter().map(|row| row.fault.seq).collect();
        let (node, epoch) = (batch.node.clone(), batch.epoch);
        self.note_ended(&batch);
        if !(batch.slices.is_empty() && batch.faults.is_empty() && batch.reports.is_empty()) {
            self.feed_at(arrived, Input::Batch(batch));
        }
        if rows.is_empty() {
            // An agent that hung up comes again and finds its data known.
            let _ = reply.send(Ok(sifted));
            return;
        }
        self.pending.faults.extend(rows);
        // Until they are known to be durable: they may come again before that.
        self.dedupe.note(&node, epoch, &seqs, Kept::No);
        self.pending.wait(Waiting::Batch { node, epoch, seqs, sifted, reply });
    }

    fn note_ended(&mut self, batch: &Batch) {
        for fault in &batch.faults {
            if let FaultPhase::End(at) = fault.phase
                && self.decider.watches(&batch.node, &fault.stream)
            {
                let (node, fault) = (batch.node.clone(), fault.clone());
                self.state.ended.push_back(Ended { node, fault, at });
            }
        }
        let excess = self.state.ended.len().saturating_sub(MAX_ENDED);
        self.state.ended.drain(..excess);
    }

    /// What is to be kept: all but what is said of streams that the agent has no business with.
    fn fault_rows(&self, batch: &Batch, unkept: &[FaultRecord]) -> Vec<FaultRow> {
        let calendar = self.clock.calendar();
        let row = |fault: &FaultRecord| FaultRow {
            node: batch.node.clone(),
            epoch: batch.epoch,
            onset_ms: calendar.unix_ms(fault.onset),
            declared_ms: calendar.unix_ms(fault.declared),
            ended_ms: match fault.phase {
                FaultPhase::End(end) => Some(calendar.unix_ms(end)),
                FaultPhase::Begin | FaultPhase::Raise => None,
            },
            fault: fault.clone(),
        };
        let own = |fault: &&FaultRecord| self.decider.watches(&batch.node, &fault.stream);
        batch.faults.iter().chain(unkept).filter(own).map(row).collect()
    }

    fn feed(&mut self, input: Input) {
        let now = self.clock.now();
        self.feed_at(now, input);
    }

    /// Time in the judgement never runs backwards, although requests overtake each other.
    fn feed_at(&mut self, at: MonoTime, input: Input) {
        self.state.latest = self.state.latest.max(at);
        self.decider.handle(self.state.latest, input);
        self.absorb();
    }

    /// Takes what came out of the judgement.
    fn absorb(&mut self) {
        while let Some(output) = self.decider.poll() {
            match output {
                Output::Journal(record) => self.pending.record(record),
                Output::Act(command) => self.pending.commands.push(command),
                Output::ReadPanel => self.panel.read_now(),
                event => self.note(&event),
            }
        }
    }

    fn begin_write(&mut self) -> Writing {
        let held = std::mem::take(&mut self.pending);
        let write =
            self.journal.write(held.records.values().cloned().collect(), held.faults.clone());
        Writing::new(held, write)
    }

    /// Carries out what waited for a write; if it failed, nothing of it.
    fn conclude(&mut self, held: Pending, result: Result<(), JournalError>) {
        self.state.journal_fails = result.is_err();
        if let Err(error) = &result {
            self.meters.count(Metric::JournalErrors, &[], 1);
            tracing::error!(error = %chain(error), "journal not written, nothing is acted on");
            self.pending.take_back(held.records);
        }
        for waiting in held.waiting {
            if let (Waiting::Batch { node, epoch, seqs, .. }, Ok(())) = (&waiting, &result) {
                self.dedupe.note(node, *epoch, seqs, Kept::Yes);
            }
            waiting.answer(result.is_ok());
        }
        for command in held.commands {
            let action = command.action;
            if result.is_err() {
                self.not_sent(action, Reason::JournalFails);
            } else if self.panel.act(command).is_err() {
                self.not_sent(action, Reason::TooManyCommands);
            }
        }
    }

    fn not_sent(&mut self, action: ActionId, reason: Reason) {
        self.feed(Input::Outcome { action, outcome: Outcome::NotSent(reason) });
    }

    /// Makes safe what has been taken in. Commands that wait for that are not sent any more.
    async fn finish(&mut self, mut writing: Option<Writing>) {
        self.decider.save(self.clock.now());
        self.absorb();
        loop {
            if writing.is_none() {
                let commands = std::mem::take(&mut self.pending.commands);
                commands.iter().for_each(|it| self.not_sent(it.action, Reason::CollectorStops));
                if !self.pending.is_due(self.state.journal_fails) {
                    return;
                }
                writing = Some(self.begin_write());
            }
            let (mut held, result) = Writing::end(&mut writing).await;
            let commands = std::mem::take(&mut held.commands);
            self.conclude(held, result);
            commands.iter().for_each(|it| self.not_sent(it.action, Reason::CollectorStops));
        }
    }

    fn note(&self, event: &Output) {
        match event {
            Output::Incident { incident, cause, event } => {
                let cause = cause.name();
                match event {
                    IncidentEvent::Opened => {
                        self.meters.count(Metric::Incidents, &[("cause", cause)], 1);
                        let words = self.decider.explain(*incident, self.clock.now());
                        let what = words.map(|it| it.headline).unwrap_or_default();
                        tracing::info!(%incident, cause, what, "incident opened");
                    }
                    IncidentEvent::Renamed => tracing::info!(%incident, cause, "cause renamed"),
                    IncidentEvent::Paged(reason) => {
                        tracing::warn!(%incident, cause, reason = reason.name(), "people must look");
                    }
                    IncidentEvent::Closed => tracing::info!(%incident, cause, "incident closed"),
                }
                if let (IncidentEvent::Closed, Some(traces)) = (event, &self.traces)
                    && let Some(incident) = self.decider.incident(*incident)
                {
                    traces.incident(incident, &self.clock.calendar());
                }
            }
            Output::Action { action, kind, state, detail } => {
                let labels = [("action", kind.name()), ("outcome", state.name())];
                self.meters.count(Metric::Actions, &labels, 1);
                tracing::info!(
                    %action, kind = kind.name(), state = state.name(), detail, "action"
                );
            }
            Output::Refused { purpose, kind, reason } => {
                let kind = kind.map_or("none", ActionKind::name);
                let labels = [("action", kind), ("reason", reason.name())];
                self.meters.count(Metric::Refusals, &labels, 1);
                tracing::info!(?purpose, kind, reason = reason.name(), "action refused");
            }
            Output::Journal(_) | Output::Act(_) | Output::ReadPanel => {}
        }
    }

    fn allowed(&self, action: ActionId) -> Result<(), Reason> {
        self.decider.still_allowed(action, self.clock.now())?;
        let automatic = self.decider.action(action).is_some_and(|it| it.approved_by.is_none());
        if automatic && self.panel.standing().clock_is_off() {
            return Err(Reason::PanelClockOff);
        }
        Ok(())
    }

    fn look_at_kill_switch(&mut self) {
        let path = self.config.borrow().settings.kill_switch.clone();
        let position = kill_switch(&path);
        if position != self.state.kill_switch {
            self.state.kill_switch = position;
            tracing::warn!(?position, "kill switch moved");
            self.feed(Input::KillSwitch(position));
        }
    }

    fn look_at_hours(&mut self, told: Told) {
        let config = Arc::clone(&self.config.borrow());
        let wall = self.clock.calendar().wall;
        for channel in config.lineup.lineup.channels() {
            let on_air = config.lineup.on_air(&channel.id, wall);
            let changed = if on_air == OnAir::Off {
                self.state.off_air.insert(channel.id.clone())
            } else {
                self.state.off_air.remove(&channel.id)
            };
            if changed {
                tracing::info!(channel = %channel.id, ?on_air, "hours on the air");
            }
            if changed || told == Told::Nothing {
                self.feed(Input::OnAir { channel: channel.id.clone(), on_air });
            }
        }
    }

    /// Tells the judgement of maintenance that the lineup plans, and that it does not plan any more.
    fn look_at_schedule(&mut self) {
        let config = Arc::clone(&self.config.borrow());
        let calendar = self.clock.calendar();
        let planned = &config.lineup.maintenance;
        for scheduled in planned {
            let occurrence = scheduled.at(calendar.wall);
            let end = occurrence.map(|(_, end)| end);
            if self.state.maintenance.get(&scheduled.id).copied() == end {
                continue;
            }
            let Some((begin, end)) = occurrence else {
                self.state.maintenance.remove(&scheduled.id);
                continue;
            };
            self.state.maintenance.insert(scheduled.id.clone(), end);
            tracing::info!(window = %scheduled.id, area = %scheduled.area, %begin, %end, "maintenance");
            self.feed(Input::Maintain(Plan {
                id: scheduled.id.clone(),
                area: scheduled.area.clone(),
                begin: calendar.moment(begin),
                end: calendar.moment(end),
                by: None,
                why: scheduled.why.clone(),
            }));
        }
        let is_gone = |it: &&Window| {
            let is_planned = planned.iter().any(|scheduled| scheduled.id == it.plan.id);
            it.plan.by.is_none() && it.state(calendar.now) != WindowState::Over && !is_planned
        };
        let gone: Vec<_> =
            self.decider.windows().filter(is_gone).map(|it| it.plan.id.clone()).collect();
        for window in gone {
            self.state.maintenance.remove(&window);
            self.feed(Input::EndMaintenance { window });
        }
    }

    /// While the panel's clock is off, every kind of action is at most `approve`.
    fn look_at_clock(&mut self) {
        let off = self.panel.standing().clock_is_off();
        if off != self.state.clock_is_off {
            self.state.clock_is_off = off;
            if off {
                tracing::warn!("the panel's clock is more than 2 s off: nothing is automatic");
            }
            let policy = self.policy();
            self.feed(Input::Policy(Box::new(policy)));
        }
    }

    fn policy(&self) -> Policy {
        let policy = self.config.borrow().settings.policy.clone();
        Policy { at_most: self.state.clock_is_off.then_some(Mode::Approve), ..policy }
    }

    fn reload(&mut self) {
        let config = Arc::clone(&self.config.borrow());
        self.feed(Input::Lineup(Box::new(config.lineup.lineup.clone())));
        let policy = self.policy();
        self.feed(Input::Policy(Box::new(policy)));
        self.look_at_hours(Told::Nothing);
        self.state.maintenance.clear();
        self.look_at_schedule();
        self.look_at_kill_switch();
        tracing::info!("configuration reloaded");
    }
}

/// A file that is there, or a folder that cannot be read, means off.
fn kill_switch(path: &PathBuf) -> KillSwitch {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // A folder that is gone answers "not found" as well.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            match folder.map(std::fs::read_dir) {
                None | Some(Ok(_)) => KillSwitch::Released,
                Some(Err(_)) => KillSwitch::Pulled,
            }
        }
        _ => KillSwitch::Pulled,
    }
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
impl Inbox {
    /// Stands in for a judge: answers questions about a command in turn, the last answer for good, and passes on what it
    /// is told.
    pub(super) async fn stand_in(
        mut self,
        mut allowed: Vec<Result<(), Reason>>,
        told: mpsc::UnboundedSender<Input>,
    ) {
        while let Some(message) = self.0.recv().await {
            match message {
                Message::Allowed { reply, .. } => {
                    let answer = if allowed.len() > 1 { allowed.remove(0) } else { allowed[0] };
                    let _ = reply.send(answer);
                }
                Message::Input(input) => drop(told.send(input)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kill_switch_is_off_where_it_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kill");
        assert_eq!(kill_switch(&path), KillSwitch::Released);
        std::fs::write(&path, "").unwrap();
        assert_eq!(kill_switch(&path), KillSwitch::Pulled);
        assert_eq!(kill_switch(&folder.path().to_owned()), KillSwitch::Pulled, "a folder");
        let nowhere = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &nowhere).unwrap();
        assert_eq!(kill_switch(&nowhere), KillSwitch::Pulled, "a link to nothing");
        let endless = folder.path().join("loop");
        std::os::unix::fs::symlink("loop", &endless).unwrap();
        assert_eq!(kill_switch(&endless.join("kill")), KillSwitch::Pulled, "not to be read");
        assert_eq!(kill_switch(&folder.path().join("gone/kill")), KillSwitch::Pulled);
        assert_eq!(kill_switch(&path.join("below-a-file")), KillSwitch::Pulled);
    }

    #[tokio::test]
    async fn when_the_judge_has_no_room_agents_are_told_at_once_to_come_again() {
        let (judge, _inbox) = JudgeHandle::channel();
        for _ in 0..QUEUE {
            assert!(judge.input(Input::Tick).await);
        }
        let batch = Batch {
            node: tallylight_model::NodeId::new("north-a").unwrap(),
            epoch: tallylight_model::Epoch(1),
            slices: Vec::new(),
            faults: Vec::new(),
            reports: Vec::new(),
        };
        assert_eq!(judge.batch(batch, MonoTime::ZERO).await, Err(Busy));
        assert_eq!(judge.order(Input::Tick).await, Err(Busy));
    }
}
