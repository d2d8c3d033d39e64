//! What stands around the judgement in a collector: the last look before a command, the journal, crashes.

use std::time::Duration;

use tallylight_decide::{
    Decider, Input, KillSwitch, Outcome, Output,
    action::{ActionState, Command},
    journal::Remembered,
};
use tallylight_model::{ActionId, Epoch, MonoTime};

use super::{Message, Said, World};
use crate::sim::{STEP, scenario::Doing};

impl World {
    /// The collector's last look comes right before the side effect.
    pub(super) fn command(&mut self, at: MonoTime, command: Command) {
        let look = self.decider.as_ref().map(|it| it.still_allowed(command.action, at));
        if let Some(Err(reason)) = look {
            let outcome = Outcome::NotSent(reason);
            return self.handle(at, Input::Outcome { action: command.action, outcome });
        }
        self.rules.sent(at, &command, self.decider.is_some());
        self.post(at + self.panel.takes(), Message::CarryOut(command));
    }

    pub(super) fn carry_out(&mut self, at: MonoTime, command: &Command) {
        let outcome = self.panel.command(at, &mut self.platform, command);
        self.told.push((at, Said::Event(format!("the panel on {}: {outcome:?}", command.action))));
        if let Some(channel) = command.target.channel() {
            self.wake(channel);
        }
        let is_done = self.panel.carried_out.last().is_some_and(|it| it.1.action == command.action);
        if let Some(worth) = self.worth.as_mut().filter(|_| is_done) {
            worth.done(&self.platform, command);
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

    pub(super) fn handle(&mut self, at: MonoTime, input: Input) {
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
            Output::Action { action, state: ActionState::Waiting, .. } => self.answer(at, *action),
            _ => {}
        }
        self.told.push((at, Said::Output(Box::new(output))));
    }

    /// A person will say something to what waits for one.
    fn answer(&mut self, at: MonoTime, action: ActionId) {
        let Some(answers) = self.answers else { return };
        let refuses = answers.refuses > 0 && self.dice.one_in(answers.refuses);
        let answer = if refuses { Doing::Reject(action) } else { Doing::Approve(action) };
        self.post(at + answers.after, Message::Person(answer));
    }

    /// What the configuration says of maintenance.
    pub(super) fn tell_windows(&mut self, at: MonoTime) {
        for plan in self.windows.clone() {
            self.handle(at, Input::Maintain(plan));
        }
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

    pub(super) fn restart(&mut self, at: MonoTime) {
        self.told.push((at, Said::Event("restart".to_owned())));
        self.epoch += 1;
        let decider = self.recall(at);
        self.rules.restarted(at, &decider);
        self.decider = Some(decider);
        let position = if self.pulled { KillSwitch::Pulled } else { KillSwitch::Released };
        self.handle(at, Input::KillSwitch(position));
        self.tell_windows(at);
    }
}
