//! One cause behind many channels: the same is done for each of them, one channel first, then the others in batches.
//!
//! What is wrong with a provider's network or an encoder is wrong for all, but what is done about it may be wrong for all too: a
//! backup that does not fit, a panel that lies. So one channel goes first, the one with the fewest viewers. When it is verified
//! the others follow in batches of a fifth, those with most viewers first, each verified before the next. The first that does not
//! help stops the group; it is put back by itself where its old source is good again, and people are called.
//!
//! Each channel passes every guard as if it were alone: its own source must be as surely bad, and its own backup as ready. A
//! channel that a guard holds back holds back no other; one that needs a person's yes makes the group ask for it. A batch
//! counts as one in the budget over everything, because it is one decision; the alternative, one by one within that budget,
//! would leave the last of 100 channels black for ten minutes.
//!
//! Where a group stands follows from its actions, so that a restart goes on with it.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use tallylight_model::{ChannelId, IncidentId, MonoTime, ProviderId, StreamId};

use super::{
    Desk,
    ladder::{self, Plan},
};
use crate::{
    action::{Action, ActionKind, ActionState, Purpose, Reason},
    cause::{Fit, Rival, WEAK_BELOW},
    guard::{self, Answer},
    incident::{Remedy, Subject},
    judge,
    ledger::{Case, Ledger},
    lineup::{Channel, StreamRef},
    policy::Mode,
    scene::{Scene, State},
};

/// Whether a rung of a cause is a group's.
pub(super) const fn is_of(subject: &Subject, kind: ActionKind) -> bool {
    matches!(
        (subject, kind),
        (Subject::Provider(_), ActionKind::SwitchSource)
            | (Subject::Encoder(_), ActionKind::RestartStream)
    )
}

/// Whether more may have to be done for an incident of which something has helped already.
pub(super) fn may_go_on(ledger: &Ledger, id: IncidentId, subject: &Subject) -> bool {
    let last = ledger.actions_of(id).last();
    matches!(subject, Subject::Provider(_)) || last.is_some_and(|it| it.group.is_some())
}

/// The channels that still need the group's action, and what keeps others from it.
#[derive(Default)]
struct Members {
    plans: Vec<Plan>,
    /// No other source of theirs is ready.
    without: BTreeSet<ChannelId>,
    /// Something else that may pass.
    held: Option<Reason>,
}

/// The channels that no guard holds back.
struct Allowed {
    plans: Vec<Plan>,
    at_most: Mode,
    held: Option<Reason>,
}

/// What has become of a group.
struct Standing<'a> {
    /// Why it goes no further: something done for it did not help, or a person said no.
    stopped: Option<Reason>,
    verified: Vec<&'a Action>,
    next_batch: u32,
    approved_by: Option<String>,
}

impl<'a> Standing<'a> {
    /// Reads it off the incident's actions. What went well counts since the cause last struck; what did not stops the group
    /// for good, for the cause may strike one channel after the other.
    fn of(ledger: &'a Ledger, case: &Case, failures: usize) -> Self {
        let since = case.struck_again.unwrap_or_default();
        let own = |it: &&Action| it.group.is_some() && it.undoes.is_none();
        let actions: Vec<&Action> = ledger.actions_of(case.incident.id).filter(own).collect();
        let is_in = |state| move |it: &&&Action| it.state == state;
        let verified = actions.iter().filter(is_in(ActionState::Verified)).copied();
        let verified: Vec<&Action> = verified.filter(|it| it.decided >= since).collect();
        let last = verified.iter().filter_map(|it| it.group).max();
        let not_helped = actions.iter().any(|it| it.state == ActionState::NotVerified);
        // What was not carried out taught nothing; a panel that does not carry out one batch after the other is another matter.
        let failed: BTreeSet<MonoTime> =
            actions.iter().filter(is_in(ActionState::Failed)).map(|it| it.decided).collect();
        let declined = actions.iter().any(|it| it.state == ActionState::Rejected);
        let failed = not_helped || failed.len() >= failures;
        Self {
            stopped: match (declined, failed) {
                (true, _) => Some(Reason::Rejected),
                (false, true) => Some(Reason::GroupStopped),
                (false, false) => None,
            },
            next_batch: last.map_or(0, |it| it.saturating_add(1)),
            approved_by: verified.iter().find_map(|it| it.approved_by.clone()),
            verified,
        }
    }
}

impl Desk<'_> {
    /// Goes on with a group of which nothing is out.
    pub(super) fn go_on_with_group(
        &mut self,
        ledger: &mut Ledger,
        id: IncidentId,
        kind: ActionKind,
        (fit, rival): (Option<Fit>, Option<Rival>),
    ) {
        let purpose = Purpose::Incident(id);
        let Some(case) = ledger.case(id) else { return };
        let failures = self.scene.facts.policy.guards.circuit_failures;
        let standing = Standing::of(ledger, case, failures);
        let members = self.members(case, kind);
        let done = standing.verified.len();
        let Standing { stopped, next_batch: batch, approved_by, .. } = standing;
        self.list_those_without(ledger, id, &members.without);
        if members.plans.is_empty() {
            return self.nobody_left(ledger, &purpose, kind, members.held, done);
        }
        if let Some(reason) = stopped {
            return self.refuse(ledger, &purpose, kind, reason);
        }
        if batch == 0 && fit.is_none_or(|it| it.coverage() < WEAK_BELOW) {
            return self.refuse(ledger, &purpose, kind, Reason::WeakCause);
        }
        let size = self.batch_size(done + members.plans.len());
        let Allowed { mut plans, at_most, held } =
            self.allowed(ledger, id, members.plans, rival.as_ref());
        if plans.is_empty() {
            let reason = held.or(members.held).unwrap_or(Reason::LadderExhausted);
            return self.refuse(ledger, &purpose, kind, reason);
        }
        order(self.scene, batch, &mut plans);
        // A group is one decision, in the strictest mode of all that it touches.
        let facts = self.scene.facts;
        let modes = plans.iter().map(|it| guard::mode_of(facts, it.kind, &it.target));
        let mode = modes.fold(at_most, Mode::min);
        // What would be done is recorded as a whole.
        let whole = mode == Mode::DryRun;
        let due = match batch {
            _ if whole => plans.len(),
            0 => 1,
            _ => size,
        };
        for (i, plan) in plans.into_iter().enumerate().take(due) {
            let group = Some(if whole { batch_of(i, size) } else { batch });
            let approved_by = approved_by.clone();
            self.decide(ledger, &purpose, Plan { group, approved_by, ..plan }, mode);
        }
    }

    /// Asks every guard about each channel by itself.
    fn allowed(
        &mut self,
        ledger: &mut Ledger,
        id: IncidentId,
        plans: Vec<Plan>,
        rival: Option<&Rival>,
    ) -> Allowed {
        let purpose = Purpose::Incident(id);
        let mut allowed = Allowed { plans: Vec::new(), at_most: Mode::Auto, held: None };
        for plan in plans {
            let part = ledger.case(id).and_then(|it| {
                judge::measure_part(self.scene, it, plan.target.channel(), plan.kind)
            });
            let held = match self.ask(ledger, &purpose, &plan, (part, rival.cloned())) {
                Answer::Pass => None,
                Answer::Approve(reason) => {
                    ledger.refuse(&purpose, self.now(), Some(plan.kind), reason);
                    allowed.at_most = Mode::Approve;
                    None
                }
                Answer::Until(reason, at) => {
                    self.look_again(at);
                    Some(reason)
                }
                Answer::Refuse(reason) => Some(reason),
            };
            if held.is_none() {
                allowed.plans.push(plan);
            }
            allowed.held = allowed.held.or(held);
        }
        allowed
    }

    fn batch_size(&self, all: usize) -> usize {
        let guards = &self.scene.facts.policy.guards;
        // Rounded down, so that a batch is never more than its share.
        let share = (all as f64 * guards.group_share.get()) as usize;
        share.clamp(1, guards.group_batch.max(1))
    }

    fn nobody_left(
        &mut self,
        ledger: &mut Ledger,
        purpose: &Purpose,
        kind: ActionKind,
        held: Option<Reason>,
        done: usize,
    ) {
        let Some(case) = purpose.incident().and_then(|id| ledger.case(id)) else { return };
        let is_short = !case.incident.without_backup.is_empty();
        match held {
            Some(reason) => self.refuse(ledger, purpose, kind, reason),
            None if is_short => self.refuse(ledger, purpose, kind, Reason::NoReadyBackup),
            None if done > 0 => ledger.set_remedy_for(purpose, Remedy::Done),
            None => ledger.set_remedy_for(purpose, Remedy::None),
        }
    }

    /// Keeps the list of channels for which people are needed, and calls them as soon as there is one.
    fn list_those_without(
        &mut self,
        ledger: &mut Ledger,
        id: IncidentId,
        without: &BTreeSet<ChannelId>,
    ) {
        let Some(case) = ledger.case(id) else { return };
        if case.incident.without_backup != *without {
            ledger.edit(id, |it| it.incident.without_backup = without.clone());
        }
        if !without.is_empty() {
            self.page(ledger, &Purpose::Incident(id), Reason::NoReadyBackup);
        }
    }

    fn members(&self, case: &Case, kind: ActionKind) -> Members {
        let lineup = &self.scene.facts.lineup;
        let mut members = Members::default();
        match &case.incident.subject {
            Subject::Provider(provider) => {
                for stream in &case.incident.streams {
                    self.add_switch(&mut members, stream, provider);
                }
            }
            Subject::Encoder(encoder) if kind == ActionKind::RestartStream => {
                let is_bad = |it: &&Channel| {
                    let mut own = it.deliveries.iter().map(|it| &it.stream);
                    own.any(|it| {
                        case.scope.contains(it)
                            && self.scene.state(it, case.incident.onset) == State::Bad
                    })
                };
                let bad = lineup.channels_on(encoder).filter(is_bad);
                members.plans = bad.map(|it| ladder::restart(&it.id)).collect();
            }
            _ => {}
        }
        members
    }

    fn add_switch(&self, members: &mut Members, stream: &StreamId, provider: &ProviderId) {
        let facts = self.scene.facts;
        let Some(StreamRef::Source(channel, source)) = facts.lineup.stream(stream) else { return };
        let is_its = source.provider.as_ref() == Some(provider) && facts.is_active(stream);
        let is_bad = || self.scene.state(stream, MonoTime::ZERO) == State::Bad;
        if !is_its || !self.scene.is_worthy(stream) || !is_bad() {
            return;
        }
        match ladder::switch(self.scene, stream, Some(provider)) {
            Ok(plan) => members.plans.push(plan),
            Err(Reason::NoReadyBackup) => drop(members.without.insert(channel.id.clone())),
            Err(reason) => members.held = members.held.or(Some(reason)),
        }
    }
}

/// The batch of the `i`th channel of a whole group.
fn batch_of(i: usize, size: usize) -> u32 {
    u32::try_from(i.div_ceil(size)).unwrap_or(u32::MAX)
}

/// Puts first who is to go first: of all the one with the fewest viewers, later those with the most.
fn order(scene: &Scene<'_>, batch: u32, plans: &mut [Plan]) {
    let viewers = |plan: &Plan| {
        let panel = plan.target.channel().and_then(|it| scene.facts.panel_channel(it));
        panel.map_or(0, |it| it.sessions.values().fold(0_u64, |sum, it| sum.saturating_add(*it)))
    };
    plans.sort_by_key(|it| core::cmp::Reverse(viewers(it)));
    if batch == 0 {
        // The last one's place goes to the front; among equals the lineup's first.
        let fewest = plans.iter().map(viewers).min();
        if let Some(first) = plans.iter().position(|it| Some(viewers(it)) == fewest) {
            plans[..=first].rotate_right(1);
        }
    }
}
