//! From a cause to a remedy: plan a rung, ask the guards, act, verify, and settle, undo or go one rung up.
//!
//! There is no state machine beside the ledger: where an incident stands follows from its actions, from whether they helped, and
//! from whether the cause has struck again since. All of that is in the journal, so a restart goes on where it was.

mod answer;
mod choice;
pub(crate) mod destination;
mod fail_back;
mod group;
pub(crate) mod ladder;
mod patience;
pub(crate) mod readiness;
mod returns;
mod verify;

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{ActionId, Epoch, IncidentId, MonoTime, StreamId};

use crate::{
    action::{Action, ActionKind, ActionState, Command, Purpose, Reason, Target},
    cause::{Fit, Rival},
    guard::{self, Answer, Proposal},
    incident::{Cause, Incident, Remedy, Side, Step, Subject},
    judge,
    ledger::{Case, Ledger},
    lineup::{Marks, StreamNo, StreamRef},
    output::Output,
    policy::Mode,
    scene::{Scene, State},
};
use answer::ANSWER_MARGIN;
pub(crate) use fail_back::switched_away;
use ladder::Plan;
use patience::{Patience, patience, stop_waiting};
pub(crate) use returns::{is_well, isolated_by, let_go};
use verify::{Proof, Undoing};
pub(crate) use verify::{Rule, overfills_others};

/// Sentences of evidence that a command carries.
const MAX_REASONS: usize = 8;

/// What advancing a remedy needs to know beside the ledger.
pub(crate) struct Desk<'a> {
    pub(crate) scene: &'a Scene<'a>,
    pub(crate) epoch: Epoch,
    /// The earliest moment at which something may change by time alone.
    pub(crate) again: Option<MonoTime>,
}

impl Desk<'_> {
    fn now(&self) -> MonoTime {
        self.scene.now
    }

    pub(crate) fn look_again(&mut self, at: MonoTime) {
        self.again = Some(self.again.map_or(at, |other| other.min(at)));
    }

    /// Goes on with one open incident, as far as it goes. `bad` is all that is bad.
    pub(crate) fn advance(&mut self, ledger: &mut Ledger, id: IncidentId, bad: &Marks) {
        let Some(case) = ledger.case(id) else { return };
        let (subject, remedy) = (case.incident.subject.clone(), case.incident.remedy);
        if ledger.actions_of(id).any(|it| it.state.is_in_flight()) {
            ledger.set_remedy(id, Remedy::Running);
            return;
        }
        let Some(case) = ledger.case(id) else { return };
        if case.incident.storm {
            ledger.set_remedy(id, Remedy::None);
            return;
        }
        let purpose = Purpose::Incident(id);
        if let Some(reason) = guard::holds(ledger, &case.incident) {
            self.hold(ledger, &purpose, reason);
            return;
        }
        if self.wait_for_a_person(ledger, &purpose) {
            return;
        }
        let helped_some =
            group::may_go_on(ledger, id, &subject) || leaves_others(self.scene, ledger, id);
        if remedy == Remedy::Done && !helped_some {
            return;
        }
        if self.undo(ledger, id) {
            if matches!(subject, Subject::Provider(_)) {
                self.page(ledger, &Purpose::Incident(id), Reason::GroupStopped);
            }
            return;
        }
        let Some(case) = ledger.case(id) else { return };
        let own = bad.among(case.scope());
        if own.is_empty() && self.is_seen_well(case) {
            return stop_waiting(ledger, &purpose);
        }
        let mut spent = spent(ledger, id);
        let given_up = given_up(self.scene, ledger, id);
        for &kind in &given_up {
            ledger.refuse(&purpose, self.now(), Some(kind), Reason::PanelFails);
            self.page(ledger, &purpose, Reason::PanelFails);
        }
        spent.extend(given_up);
        if let Subject::Source(stream) = &subject
            && !self.scene.facts.is_active(stream)
            && spent.is_empty()
        {
            ledger.set_remedy(id, Remedy::None);
            return;
        }
        let Some(case) = ledger.case(id) else { return };
        let basis = judge::measure_by(self.scene, case, &own);
        self.climb(ledger, id, &subject, &spent, basis);
    }

    /// Whether somebody sees any of it well: with nothing of it bad, it only has to stay so until it closes.
    fn is_seen_well(&self, case: &Case) -> bool {
        let is_good = |&it: &StreamNo| self.scene.state_at(it, MonoTime::ZERO) == State::Good;
        case.streams().iter().any(is_good)
    }

    /// Tries the first rung that was not tried in vain and that can do anything as things stand.
    fn climb(
        &mut self,
        ledger: &mut Ledger,
        id: IncidentId,
        subject: &Subject,
        spent: &[ActionKind],
        mut basis: (Option<Fit>, Option<Rival>),
    ) {
        let purpose = Purpose::Incident(id);
        let (mut passed_over, mut barred) = (None, None);
        for &kind in ladder::rungs(subject).iter().filter(|it| !spent.contains(it)) {
            let Some(case) = ledger.case(id) else { return };
            if group::is_of(subject, kind) {
                return self.go_on_with_group(ledger, id, kind, basis);
            }
            match ladder::plan(self.scene, case, kind, |target| ledger.last_done(target)) {
                Ok(plan) => {
                    let answers = self.answers(ledger, &purpose, &plan, &mut basis);
                    let Answer::Until(Reason::CircuitOpen, until) = answers.0 else {
                        return self.follow(ledger, &purpose, plan, answers);
                    };
                    // What comes next may touch something else, whose circuit is closed.
                    ledger.refuse(&purpose, self.now(), Some(kind), Reason::CircuitOpen);
                    self.page(ledger, &purpose, Reason::CircuitOpen);
                    barred = barred.or(Some((kind, until)));
                }
                Err(Reason::LadderExhausted) => {}
                Err(reason) if ladder::is_passed_over(reason) => {
                    self.tell(ledger, &purpose, kind, reason);
                    passed_over = passed_over.or(Some((kind, reason)));
                }
                Err(reason) => return self.refuse(ledger, &purpose, kind, reason),
            }
        }
        if let Some((kind, until)) = barred {
            self.look_again(until);
            self.refuse(ledger, &purpose, kind, Reason::CircuitOpen);
            return ledger.hold_until(&purpose, until);
        }
        match passed_over {
            Some((kind, reason)) if spent.is_empty() => self.refuse(ledger, &purpose, kind, reason),
            _ => self.nothing_left(ledger, id, subject),
        }
    }

    /// Takes back what waits for a person, and says why nothing is done.
    fn hold(&mut self, ledger: &mut Ledger, purpose: &Purpose, reason: Reason) {
        let waiting = ledger.actions_for(purpose).find(|it| it.state == ActionState::Waiting);
        if let Some(id) = waiting.map(|it| it.id) {
            ledger.end(id, self.now(), ActionState::Withdrawn, reason.name());
        }
        ledger.refuse(purpose, self.now(), None, reason);
        ledger.set_remedy_for(purpose, Remedy::Held);
        stop_waiting(ledger, purpose);
    }

    /// Whether an action waits for a person; one that waited for too long does not any more, and something else may be done
    /// the next time.
    pub(crate) fn wait_for_a_person(&mut self, ledger: &mut Ledger, purpose: &Purpose) -> bool {
        let waiting = ledger.actions_for(purpose).find(|it| it.state == ActionState::Waiting);
        let Some((id, kind, expires)) = waiting.map(|it| (it.id, it.kind, it.expires)) else {
            return false;
        };
        if self.now() < expires {
            self.look_again(expires);
            ledger.set_remedy_for(purpose, Remedy::Waiting);
        } else {
            ledger.end(id, self.now(), ActionState::Expired, "nobody approved it in time");
            ledger.refuse(purpose, self.now(), Some(kind), Reason::ApprovalExpired);
            ledger.set_remedy_for(purpose, Remedy::None);
        }
        true
    }

    /// After switches that did not help: each back to the old source if that is good by now, whatever was tried since. Answers
    /// whether there is anything to go back to.
    fn undo(&mut self, ledger: &mut Ledger, id: IncidentId) -> bool {
        let mut any = false;
        for action in failed_switches(ledger, id) {
            any |= self.undo_switch(ledger, action);
        }
        any
    }

    fn undo_switch(&mut self, ledger: &mut Ledger, failed: Action) -> bool {
        match verify::undoing(self.scene, &failed) {
            Undoing::No => false,
            Undoing::Soon => {
                self.refuse(ledger, &failed.purpose, failed.kind, Reason::BackupUnproven);
                true
            }
            Undoing::Possible => {
                let (from, to) = (failed.to, failed.from);
                let undoes = Some(failed.id);
                let plan = Plan { from, to, undoes, ..Plan::on(failed.kind, failed.target) };
                self.propose(ledger, &failed.purpose, plan, (None, None));
                true
            }
        }
    }

    fn nothing_left(&mut self, ledger: &mut Ledger, id: IncidentId, subject: &Subject) {
        ledger.set_remedy(id, Remedy::None);
        let purpose = Purpose::Incident(id);
        let reason = match subject.cause() {
            Cause::Programme => Reason::Programme,
            Cause::Probe => Reason::Probe,
            _ if ladder::rungs(subject).is_empty() => Reason::NoRemedy,
            _ => Reason::LadderExhausted,
        };
        ledger.refuse(&purpose, self.now(), None, reason);
        if patience(reason) == Patience::NoneLeft {
            self.page(ledger, &purpose, reason);
        }
    }

    pub(crate) fn propose(
        &mut self,
        ledger: &mut Ledger,
        purpose: &Purpose,
        plan: Plan,
        basis: (Option<Fit>, Option<Rival>),
    ) {
        let answers = self.answers(ledger, purpose, &plan, &mut { basis });
        self.follow(ledger, purpose, plan, answers);
    }

    /// What the guards say of a plan, and whether its target's circuit is open.
    fn answers(
        &self,
        ledger: &Ledger,
        purpose: &Purpose,
        plan: &Plan,
        basis: &mut (Option<Fit>, Option<Rival>),
    ) -> (Answer, bool) {
        if self.is_proposed(ledger, purpose, plan) {
            return (Answer::Pass, false);
        }
        let proposal = self.proposal(ledger, purpose, plan, core::mem::take(basis));
        let answer = guard::ask(&proposal);
        let answers = (answer, answer == Answer::Pass && guard::circuit_is_open(&proposal));
        *basis = (proposal.fit, proposal.rival);
        answers
    }

    fn follow(
        &mut self,
        ledger: &mut Ledger,
        purpose: &Purpose,
        plan: Plan,
        (answer, circuit_is_open): (Answer, bool),
    ) {
        if circuit_is_open && answer == Answer::Pass {
            self.page(ledger, purpose, Reason::CircuitOpen);
        }
        match answer {
            Answer::Refuse(reason) => self.refuse(ledger, purpose, plan.kind, reason),
            Answer::Until(reason, at) => {
                self.look_again(at);
                self.refuse(ledger, purpose, plan.kind, reason);
                ledger.hold_until(purpose, at);
            }
            Answer::Approve(reason) => {
                ledger.refuse(purpose, self.now(), Some(plan.kind), reason);
                self.decide(ledger, purpose, plan, Mode::Approve);
            }
            Answer::Pass => self.decide(ledger, purpose, plan, Mode::Auto),
        }
    }

    /// Asks every guard about a plan.
    fn ask(
        &self,
        ledger: &Ledger,
        purpose: &Purpose,
        plan: &Plan,
        basis: (Option<Fit>, Option<Rival>),
    ) -> Answer {
        if self.is_proposed(ledger, purpose, plan) {
            return Answer::Pass;
        }
        guard::ask(&self.proposal(ledger, purpose, plan, basis))
    }

    fn is_dry(&self, plan: &Plan) -> bool {
        guard::mode_of(self.scene.facts, plan.kind, &plan.target) == Mode::DryRun
    }

    /// Whether just this was proposed and would only be proposed again.
    fn is_proposed(&self, ledger: &Ledger, purpose: &Purpose, plan: &Plan) -> bool {
        let same = |it: &Action| {
            it.state == ActionState::Proposed
                && (it.kind, &it.target, &it.to, it.share)
                    == (plan.kind, &plan.target, &plan.to, plan.share)
        };
        self.is_dry(plan) && ledger.actions_for(purpose).any(same)
    }

    fn proposal<'a>(
        &'a self,
        ledger: &'a Ledger,
        purpose: &'a Purpose,
        plan: &Plan,
        (fit, rival): (Option<Fit>, Option<Rival>),
    ) -> Proposal<'a> {
        Proposal {
            scene: self.scene,
            ledger,
            purpose,
            case: ledger.case_for(purpose),
            fit,
            rival,
            kind: plan.kind,
            target: plan.target.clone(),
            from: plan.from.clone(),
            to: plan.to.clone(),
            undoes: plan.undoes,
            is_dry: self.is_dry(plan),
            before: ledger.sent_on(&plan.target).collect(),
        }
    }

    /// Every guard passed: the mode says what becomes of it.
    fn decide(&mut self, ledger: &mut Ledger, purpose: &Purpose, plan: Plan, at_most: Mode) {
        let now = self.now();
        let guards = &self.scene.facts.policy.guards;
        let mode = guard::mode_of(self.scene.facts, plan.kind, &plan.target).min(at_most);
        let (state, expires) = match mode {
            Mode::Off => return self.refuse(ledger, purpose, plan.kind, Reason::ModeOff),
            Mode::DryRun => (ActionState::Proposed, now + guards.action_expiry),
            Mode::Approve => (ActionState::Waiting, now + guards.approval_expiry),
            Mode::Auto => (ActionState::Waiting, now + guards.action_expiry),
        };
        if self.is_proposed(ledger, purpose, &plan) {
            return;
        }
        let (kind, is_approved) = (plan.kind, plan.approved_by.is_some());
        let action = ledger.add_action(|action| Action {
            id: action,
            purpose: purpose.clone(),
            kind: plan.kind,
            target: plan.target,
            from: plan.from,
            to: plan.to,
            share: plan.share,
            mode,
            state,
            decided: now,
            expires,
            sent: None,
            answered: None,
            done: None,
            ended: (mode == Mode::DryRun).then_some(now),
            lifted: None,
            undoes: plan.undoes,
            group: plan.group,
            choices: plan.choices,
            approved_by: plan.approved_by,
            detail: String::from(if plan.group == Some(0) && mode == Mode::Approve {
                "every guard passed; it goes first, and who approves it approves the whole group"
            } else {
                "every guard passed"
            }),
        });
        ledger.step_for(purpose, now, Step::Decided(action));
        match mode {
            Mode::Auto => self.send(ledger, action),
            Mode::Approve if is_approved => self.send(ledger, action),
            Mode::Approve => {
                ledger.note(action);
                ledger.step_for(purpose, now, Step::AwaitsApproval(action));
                ledger.refuse(purpose, now, Some(kind), Reason::AwaitingApproval);
                ledger.set_remedy_for(purpose, Remedy::Waiting);
                self.page(ledger, purpose, Reason::AwaitingApproval);
                self.look_again(expires);
            }
            _ => {
                ledger.note(action);
                ledger.refuse(purpose, now, Some(kind), Reason::ModeDryRun);
                ledger.set_remedy_for(purpose, Remedy::None);
            }
        }
    }

    /// Puts a command out.
    fn send(&mut self, ledger: &mut Ledger, id: ActionId) {
        let now = self.now();
        let expires = now + self.scene.facts.policy.guards.action_expiry;
        ledger.edit_action(id, |it| {
            it.state = ActionState::Sent;
            it.sent = Some(now);
            it.expires = expires;
        });
        let Some(action) = ledger.action(id).cloned() else { return };
        let incident = ledger.case_for(&action.purpose).map(|it| &it.incident);
        let evidence = incident.into_iter().flat_map(|it| &it.evidence);
        let evidence = evidence.filter(|it| it.side == Side::For);
        let command = Command {
            action: id,
            epoch: self.epoch,
            kind: action.kind,
            target: action.target,
            from: action.from,
            to: action.to,
            share: action.share,
            decided: action.decided,
            expires,
            evidence_arrived: now,
            purpose: action.purpose.clone(),
            cause: incident.map(Incident::cause),
            evidence: evidence.take(MAX_REASONS).map(ToString::to_string).collect(),
        };
        ledger.step_for(&action.purpose, now, Step::Commanded(id));
        ledger.set_remedy_for(&action.purpose, Remedy::Running);
        ledger.push(Output::Act(command));
        self.look_again(expires + ANSWER_MARGIN);
    }

    /// Makes an action that rests on no fault, if no guard is against it: nobody is called for what can wait.
    fn offer(&mut self, ledger: &mut Ledger, purpose: &Purpose, plan: Plan) {
        let is_same = |it: &Action| {
            let waits = it.state == ActionState::Waiting;
            let declined = it.state == ActionState::Rejected && it.undoes == plan.undoes;
            (waits || declined) && (it.kind, &it.target) == (plan.kind, &plan.target)
        };
        if plan.approved_by.is_none() && ledger.actions_for(purpose).any(is_same) {
            return;
        }
        match self.ask(ledger, purpose, &plan, (None, None)) {
            Answer::Pass => self.decide(ledger, purpose, plan, Mode::Auto),
            Answer::Approve(_) => self.decide(ledger, purpose, plan, Mode::Approve),
            Answer::Until(reason, at) => {
                self.look_again(at);
                ledger.refuse(purpose, self.now(), Some(plan.kind), reason);
            }
            Answer::Refuse(reason) => {
                ledger.refuse(purpose, self.now(), Some(plan.kind), reason);
            }
        }
    }

    /// Lets go of what nobody approved in time after its incident had closed.
    fn expire(&mut self, ledger: &mut Ledger) {
        let waiting: Vec<ActionId> = ledger.waiting().map(|it| it.id).collect();
        for id in waiting {
            let Some(action) = ledger.action(id) else { continue };
            let is_looked_after = match &action.purpose {
                Purpose::Incident(id) => ledger.case(*id).is_some_and(Case::is_open),
                Purpose::Maintenance(id) => ledger.windows().any(|it| it.plan.id == *id),
            };
            if is_looked_after {
                continue;
            }
            if self.now() < action.expires {
                self.look_again(action.expires);
            } else {
                ledger.end(id, self.now(), ActionState::Expired, "nobody approved it in time");
            }
        }
    }

    /// Looks at every action that is out.
    pub(crate) fn follow_up(&mut self, ledger: &mut Ledger) {
        self.expire(ledger);
        let in_flight: Vec<ActionId> = ledger.in_flight().map(|it| it.id).collect();
        for id in in_flight {
            let Some(action) = ledger.action(id).cloned() else { continue };
            match action.state {
                ActionState::Sent | ActionState::Unknown => self.reconcile(ledger, &action),
                _ => self.check_proof(ledger, &action),
            }
        }
    }

    fn check_proof(&mut self, ledger: &mut Ledger, action: &Action) {
        let now = self.now();
        ledger.number(&self.scene.facts.lineup);
        match verify::proof(self.scene, ledger, action) {
            Proof::Pending => self.look_again(now + Duration::from_millis(500)),
            Proof::Good(since) => {
                ledger.end(action.id, now, ActionState::Verified, "it helped");
                if let Some(at) = since {
                    ledger.step_for(&action.purpose, at, Step::Good);
                }
                ledger.step_for(&action.purpose, now, Step::Verified(action.id));
                ledger.set_remedy_for(&action.purpose, Remedy::Done);
            }
            Proof::Not(_) if action.answered.is_none() && !self.took_effect(action) => {
                self.failed(ledger, action.id, "it was probably not carried out");
            }
            Proof::Not(why) => {
                ledger.end(action.id, now, ActionState::NotVerified, why);
                ledger.step_for(&action.purpose, now, Step::NotVerified(action.id));
            }
        }
    }

    /// A person said no to an action that waits: that rung of the incident's ladder has been tried.
    pub(crate) fn reject(&mut self, ledger: &mut Ledger, id: ActionId, by: &str) {
        let waiting = ledger.action(id).filter(|it| it.state == ActionState::Waiting);
        let Some((purpose, kind)) = waiting.map(|it| (it.purpose.clone(), it.kind)) else { return };
        ledger.end(id, self.now(), ActionState::Rejected, &format!("{by} said no"));
        ledger.refuse(&purpose, self.now(), Some(kind), Reason::Rejected);
    }

    /// A person said yes to an action that waits: every guard but the mode's is asked again first.
    pub(crate) fn approve(
        &mut self,
        ledger: &mut Ledger,
        id: ActionId,
        by: &str,
        fit: Option<Fit>,
        rival: Option<Rival>,
    ) {
        let Some(action) = ledger.action(id).cloned() else { return };
        if action.state != ActionState::Waiting || self.now() >= action.expires {
            return;
        }
        let proposal = Proposal::again(self.scene, ledger, &action, (fit, rival));
        let mode = guard::ordinary_mode(self.scene.facts, action.kind, &action.target);
        let refused = match guard::ask(&proposal) {
            Answer::Refuse(reason) | Answer::Until(reason, _) => Some(reason),
            Answer::Pass | Answer::Approve(_) if mode == Mode::DryRun => Some(Reason::ModeDryRun),
            Answer::Pass | Answer::Approve(_) => None,
        };
        if let Some(reason) = refused {
            ledger.refuse(&action.purpose, self.now(), Some(action.kind), reason);
            return;
        }
        ledger.edit_action(id, |it| it.approved_by = Some(String::from(by)));
        self.send(ledger, id);
    }
}

/// Each channel's last switch for an incident, if it did not help and nobody said no to taking it back.
fn failed_switches(ledger: &Ledger, id: IncidentId) -> Vec<Action> {
    let carried_out =
        |it: &&Action| matches!(it.state, ActionState::Verified | ActionState::NotVerified);
    let switches = ledger.actions_of(id).filter(|it| it.kind == ActionKind::SwitchSource);
    let last: BTreeMap<&Target, &Action> =
        switches.filter(carried_out).map(|it| (&it.target, it)).collect();
    let failed = |it: &&Action| {
        let is_unwanted = |undoing: &Action| {
            undoing.undoes == Some(it.id) && undoing.state == ActionState::Rejected
        };
        it.state == ActionState::NotVerified
            && it.undoes.is_none()
            && !ledger.actions_of(id).any(is_unwanted)
    };
    last.into_values().filter(failed).cloned().collect()
}

/// Whether an incident's switch did not help, and there is a good source to go back to.
pub(crate) fn is_to_be_undone(scene: &Scene<'_>, ledger: &Ledger, id: IncidentId) -> bool {
    let failed = failed_switches(ledger, id);
    failed.iter().any(|it| verify::undoing(scene, it) != Undoing::No)
}

/// The kinds of action that were carried out for an incident and did not help, or that a person did not want, since its cause
/// last struck.
fn spent(ledger: &Ledger, id: IncidentId) -> Vec<ActionKind> {
    let in_vain =
        |it: &&Action| matches!(it.state, ActionState::NotVerified | ActionState::Rejected);
    tried(ledger, id).filter(in_vain).map(|it| it.kind).collect()
}

/// The kinds that the panel did not carry out so often lately that the next rung is worth more than one more try: a panel that
/// does not know a restart answers the same each time. A switch is tried on: nothing else helps where a source is broken.
fn given_up(scene: &Scene<'_>, ledger: &Ledger, id: IncidentId) -> Vec<ActionKind> {
    let guards = &scene.facts.policy.guards;
    let lately = scene.now - guards.circuit_window;
    let has_failed = |it: &&Action| it.state == ActionState::Failed && it.decided >= lately;
    let mut failed: BTreeMap<ActionKind, usize> = BTreeMap::new();
    for action in tried(ledger, id).filter(has_failed) {
        *failed.entry(action.kind).or_default() += 1;
    }
    failed.remove(&ActionKind::SwitchSource);
    let most = guards.rung_failures.max(1);
    failed.into_iter().filter(|(_, count)| *count >= most).map(|(it, _)| it).collect()
}

/// What was done for an incident itself since its cause last struck.
fn tried(ledger: &Ledger, id: IncidentId) -> impl Iterator<Item = &Action> {
    let since = ledger.case(id).and_then(|it| it.struck_again).unwrap_or_default();
    let own = |it: &Action| it.undoes.is_none() && it.group.is_none();
    ledger.actions_of(id).filter(move |it| own(it) && it.decided >= since)
}

/// Whether what helped was a drain, while the channel is as bad on servers that still have viewers: it helped those of one.
fn leaves_others(scene: &Scene<'_>, ledger: &Ledger, id: IncidentId) -> bool {
    let Some(case) = ledger.case(id) else { return false };
    let last = ledger.actions_of(id).last();
    let is_drain = last.is_some_and(|it| it.kind == ActionKind::DrainServer);
    let is_of_one = is_drain && matches!(case.incident.subject, Subject::Processing(_));
    let has_viewers = |it: StreamNo| match scene.facts.lineup.at(it) {
        StreamRef::Delivery(.., server) => !scene.facts.is_drained(&server.id),
        StreamRef::Source(..) => false,
    };
    is_of_one && case.streams().iter().any(|&it| has_viewers(it) && scene.is_bad(it))
}

/// When an incident's remedy took effect on a stream: nothing that began later is its symptom. `None` while it has had no
/// effect. What is done to one channel of a group has none on the others.
pub(crate) fn took_effect_at(
    ledger: &Ledger,
    id: IncidentId,
    stream: &StreamId,
) -> Option<MonoTime> {
    let is_its = |it: &&Action| {
        let channel = it.target.channel().filter(|_| it.group.is_some());
        channel.is_none_or(|channel| channel.as_str() == stream.channel())
    };
    let verified = ledger.actions_of(id).filter(|it| it.state == ActionState::Verified);
    verified.filter(is_its).filter_map(|it| it.done).max()
}
