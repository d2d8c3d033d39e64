//! What became of a command: by the panel's answer, or by its state where no answer came. Nothing is ever sent twice.

use alloc::string::String;
use core::time::Duration;

use tallylight_model::ActionId;

use super::Desk;
use crate::{
    action::{Action, ActionKind, ActionState, Feed, Reason, Target},
    incident::Step,
    input::{ChangedBy, Outcome},
    ledger::Ledger,
    output::Output,
};

/// No answer to a command is given up this long after the command is void: the panel's own timeouts are shorter.
pub(super) const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// If the panel's state cannot be read for this long after, nobody will know.
const NOBODY_KNOWS: Duration = Duration::from_secs(60);

impl Desk<'_> {
    /// Finds out from the panel's state what became of a command without an answer.
    pub(super) fn reconcile(&mut self, ledger: &mut Ledger, action: &Action) {
        let now = self.now();
        let void = action.expires + ANSWER_MARGIN;
        if action.state == ActionState::Sent {
            if now < void {
                self.look_again(void);
                return;
            }
            ledger.edit_action(action.id, |it| {
                it.state = ActionState::Unknown;
                it.detail = String::from("no answer came");
            });
            ledger.push(Output::ReadPanel);
        }
        let read_since = |since| self.scene.facts.panel_at.is_some_and(|at| since < Some(at));
        // As long as the command is not void, what it has not done yet it still may.
        let read = read_since(Some(action.expires));
        if read_since(action.sent) && self.took_effect(action) {
            self.done(ledger, action.id);
        } else if now < void {
            self.look_again(void);
        } else if read && !self.would_show(action) {
            // The panel's state cannot tell; the streams and the sessions will.
            self.done(ledger, action.id);
        } else if read {
            self.failed(ledger, action.id, "the panel's state says that it was not carried out");
        } else if now >= void + NOBODY_KNOWS {
            self.failed(ledger, action.id, "no answer came, and the panel's state cannot be read");
        } else {
            self.look_again(void + NOBODY_KNOWS);
        }
    }

    /// Whether the panel's state shows an action's effect.
    pub(super) fn took_effect(&self, action: &Action) -> bool {
        let facts = self.scene.facts;
        let by_it = |by: &ChangedBy| *by == ChangedBy::Action(action.id);
        match &action.target {
            Target::Channel(channel) => facts.active(channel).is_some_and(|it| {
                by_it(&it.changed_by)
                    || action.kind == ActionKind::SwitchSource
                        && it.stream.as_ref() == action.to.as_ref().and_then(Feed::source)
            }),
            // What a restart does is seen on the streams alone.
            Target::Encoder { .. } => false,
            Target::Servers(_) if action.kind == ActionKind::RestartService => false,
            Target::Servers(servers) if action.share.is_some() => {
                let share = |it| facts.panel_server(it).and_then(|it| it.share);
                servers.iter().all(|it| share(it) == action.share)
            }
            Target::Servers(servers) => {
                let drained = servers.iter().filter(|it| facts.is_drained(it)).count();
                let wanted = if action.kind == ActionKind::DrainServer { servers.len() } else { 0 };
                drained == wanted
            }
            Target::Region(region) => {
                let serving = facts.served_by(region);
                serving.is_some() && serving == action.to.as_ref().and_then(Feed::region)
            }
        }
    }

    /// Whether the panel's state would show an action's effect at all: never a restart's, and a move's if it lists regions.
    fn would_show(&self, action: &Action) -> bool {
        match &action.target {
            Target::Region(region) => self.scene.facts.served_by(region).is_some(),
            Target::Channel(_) | Target::Servers(_) => {
                !matches!(action.kind, ActionKind::RestartStream | ActionKind::RestartService)
            }
            Target::Encoder { .. } => false,
        }
    }

    fn done(&mut self, ledger: &mut Ledger, id: ActionId) {
        let now = self.now();
        let Some(purpose) = ledger.action(id).map(|it| it.purpose.clone()) else { return };
        ledger.edit_action(id, |it| {
            it.state = ActionState::Verifying;
            it.done = Some(now);
            it.detail = String::from("the panel says that it is done");
        });
        ledger.step_for(&purpose, now, Step::Done(id));
    }

    pub(super) fn failed(&mut self, ledger: &mut Ledger, id: ActionId, why: &str) {
        let Some(purpose) = ledger.action(id).map(|it| it.purpose.clone()) else { return };
        ledger.end(id, self.now(), ActionState::Failed, why);
        ledger.step_for(&purpose, self.now(), Step::Failed(id));
    }

    /// It still counts in the budget over everything, so that forbidden actions are not proposed again and again.
    fn not_sent(&self, ledger: &mut Ledger, id: ActionId, reason: Reason) {
        let Some(action) = ledger.action(id) else { return };
        let (purpose, kind) = (action.purpose.clone(), action.kind);
        ledger.end(id, self.now(), ActionState::Withdrawn, reason.name());
        ledger.refuse(&purpose, self.now(), Some(kind), reason);
    }

    /// Takes in how a command ended. What is not out is left alone.
    pub(crate) fn outcome(&mut self, ledger: &mut Ledger, id: ActionId, outcome: &Outcome) {
        let state = ledger.action(id).map(|it| it.state);
        if !matches!(state, Some(ActionState::Sent | ActionState::Unknown)) {
            return;
        }
        match outcome {
            Outcome::Done => {
                ledger.edit_action(id, |it| it.answered = Some(self.scene.now));
                self.done(ledger, id);
            }
            Outcome::Failed(why) => self.failed(ledger, id, why),
            Outcome::Refused(refusal) => self.failed(ledger, id, refusal.name()),
            Outcome::NotSent(reason) => self.not_sent(ledger, id, *reason),
            Outcome::Unknown => {
                ledger.edit_action(id, |it| {
                    it.state = ActionState::Unknown;
                    it.detail = String::from("no answer came");
                });
                ledger.push(Output::ReadPanel);
            }
        }
    }
}
