//! What has been decided: incidents, actions and what is still to be put out.
//!
//! Every change goes through here, so that the journal gets each changed incident and action exactly once per step, and
//! always before the command that rests on it.

mod actions;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::String,
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{ActionId, ChannelId, IncidentId, MonoTime, RegionId, StreamId, WindowId};

use crate::{
    action::{Action, ActionKind, ActionState, Held, Purpose, Reason, Refusal, Target},
    cause::Rival,
    incident::{Cause, Incident, IncidentState, Moment, Remedy, Step, Subject},
    journal::{self, Record},
    lineup::{Lineup, StreamNo},
    maintenance::{MAX_WINDOWS, Plan, Window, WindowState},
    others::{HandsOff, Other, Others},
    output::{IncidentEvent, Output},
    policy::{Guards, Mode, Scope},
    shadow::{Verdict, Worth},
    view::Limits,
};
use actions::Actions;

/// Closed incidents that stay readable.
const MAX_CLOSED: usize = 500;
/// Actions that stay readable; those that budgets still count are kept beyond it.
const MAX_ACTIONS: usize = 1000;
const TRIM_EVERY: Duration = Duration::from_secs(10);
/// Actions of one incident: at most one a minute goes out on a target, so budgets and guards count none that is older.
const MAX_ACTIONS_OF: usize = 256;
/// Moments of one incident's time line.
const MAX_TIMELINE: usize = 64;
const KEPT_FOR_THE_END: usize = 16;
/// Refusals of one incident.
const MAX_REFUSALS: usize = 32;
/// Outputs that wait to be taken; beyond it those that only inform are dropped.
const MAX_OUTPUTS: usize = 100_000;

/// An incident with what is needed to go on with it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) incident: Incident,
    /// All that the cause could break, when it was named.
    pub(crate) scope: BTreeSet<StreamId>,
    pub(crate) first_arrival: MonoTime,
    /// Since when none of its streams has been bad.
    pub(crate) clean_since: Option<MonoTime>,
    /// Since when what may pass has kept the next action back.
    pub(crate) waits_since: Option<MonoTime>,
    /// When the same cause struck again: what the remedy did before that no longer bounds it.
    pub(crate) struck_again: Option<MonoTime>,
    pub(crate) rival: Option<Rival>,
    /// Its streams in the lineup in force; `None` after a change.
    pub(crate) numbers: Option<Box<Numbers>>,
    /// What keeps the next action back, as it was last found.
    pub(crate) held: Option<Held>,
    /// When the incident's evidence was last brought up to date.
    pub(crate) described: MonoTime,
    /// What was last found when it was asked what may be done.
    pub(crate) asked: Option<Asked>,
}

/// What came of asking what may be done about a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) at: MonoTime,
    /// Since when the answer is the same.
    pub(crate) same_since: MonoTime,
    pub(crate) answer: Standstill,
}

/// Where a case stands as long as nothing is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standstill {
    pub(crate) remedy: Remedy,
    pub(crate) page: Option<Reason>,
    pub(crate) held: Option<Held>,
    pub(crate) last_action: Option<ActionId>,
}

/// A case's streams as the lineup numbers them, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) scope: Vec<StreamNo>,
    pub(crate) streams: Vec<StreamNo>,
}

impl Case {
    pub(crate) const fn new(
        incident: Incident,
        scope: BTreeSet<StreamId>,
        first_arrival: MonoTime,
        rival: Option<Rival>,
    ) -> Self {
        Self {
            incident,
            scope,
            first_arrival,
            clean_since: None,
            waits_since: None,
            struck_again: None,
            rival,
            numbers: None,
            held: None,
            described: MonoTime::ZERO,
            asked: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.incident.state == IncidentState::Open
    }

    pub(crate) fn standstill(&self) -> Standstill {
        Standstill {
            remedy: self.incident.remedy,
            page: self.incident.page,
            held: self.held,
            last_action: self.incident.actions.last().copied(),
        }
    }

    /// What its cause could break, of what is listed.
    pub(crate) fn scope(&self) -> &[StreamNo] {
        self.numbers.as_ref().map_or(&[], |it| &it.scope)
    }

    /// The incident's streams, of what is listed.
    pub(crate) fn streams(&self) -> &[StreamNo] {
        self.numbers.as_ref().map_or(&[], |it| &it.streams)
    }

    fn number(&mut self, lineup: &Lineup) {
        let listed = |ids: &BTreeSet<StreamId>| ids.iter().filter_map(|it| lineup.no(it)).collect();
        let (scope, streams) = (listed(&self.scope), listed(&self.incident.streams));
        self.numbers = Some(Box::new(Numbers { scope, streams }));
    }
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    cases: BTreeMap<IncidentId, Case>,
    /// Cases that are open.
    open: BTreeSet<IncidentId>,
    /// Cases whose streams are not found in the lineup in force: they changed, or it did.
    unnumbered: BTreeSet<IncidentId>,
    actions: Actions,
    windows: BTreeMap<WindowId, Window>,
    others: BTreeMap<ChannelId, Others>,
    /// Up to when actions were last looked through for what is not needed.
    trimmed: MonoTime,
    /// When young incidents were last compared with each other.
    pub(crate) compared: MonoTime,
    /// Since when a storm gathers in which region.
    pub(crate) stirring: BTreeMap<RegionId, MonoTime>,
    /// Where a storm stands or gathers, as of the last judgement.
    pub(crate) storms: BTreeSet<RegionId>,
    next_incident: u64,
    next_action: u64,
    /// When a restart took this over; nothing seen before counts for verifying.
    pub(crate) resumed: MonoTime,
    dirty_cases: BTreeSet<IncidentId>,
    dirty_actions: BTreeSet<ActionId>,
    dirty_windows: BTreeSet<WindowId>,
    dirty_others: BTreeSet<ChannelId>,
    dirty_ids: bool,
    /// What actions were worth, or would have been.
    worths: BTreeMap<ActionId, Worth>,
    /// Actions of which that is not known to the end.
    watched: BTreeSet<ActionId>,
    dirty_worths: BTreeSet<ActionId>,
    records: Vec<Record>,
    events: Vec<Output>,
    outputs: VecDeque<Output>,
}

impl Ledger {
    pub(crate) fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values()
    }

    pub(crate) fn open_ids(&self) -> Vec<IncidentId> {
        self.open.iter().copied().collect()
    }

    pub(crate) fn open_cases(&self) -> impl Iterator<Item = &Case> {
        self.open.iter().filter_map(|id| self.cases.get(id))
    }

    pub(crate) fn case(&self, id: IncidentId) -> Option<&Case> {
        self.cases.get(&id)
    }

    /// The case that an action is for.
    pub(crate) fn case_for(&self, purpose: &Purpose) -> Option<&Case> {
        purpose.incident().and_then(|id| self.cases.get(&id))
    }

    /// A case for changing what the journal does not keep.
    pub(crate) fn case_mut(&mut self, id: IncidentId) -> Option<&mut Case> {
        self.cases.get_mut(&id)
    }

    /// Changes an incident; the journal will have it.
    pub(crate) fn edit(&mut self, id: IncidentId, change: impl FnOnce(&mut Case)) {
        if let Some(case) = self.cases.get_mut(&id) {
            change(case);
            case.numbers = None;
            self.unnumbered.insert(id);
            self.dirty_cases.insert(id);
        }
    }

    /// Finds the streams of open cases in the lineup, where they changed.
    pub(crate) fn number(&mut self, lineup: &Lineup) {
        for id in core::mem::take(&mut self.unnumbered) {
            if let Some(case) = self.cases.get_mut(&id).filter(|it| it.is_open()) {
                case.number(lineup);
            }
        }
    }

    pub(crate) fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter()
    }

    pub(crate) fn action(&self, id: ActionId) -> Option<&Action> {
        self.actions.get(id)
    }

    /// Actions that wait for a person, oldest first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Action> {
        self.actions.waiting()
    }

    /// Actions that are out or being verified, oldest first.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = &Action> {
        self.actions.in_flight()
    }

    /// Actions of one incident, oldest first.
    pub(crate) fn actions_of(&self, incident: IncidentId) -> impl Iterator<Item = &Action> {
        let ids = self.cases.get(&incident).into_iter().flat_map(|it| &it.incident.actions);
        ids.filter_map(|&id| self.actions.get(id))
    }

    /// Actions for one purpose, oldest first.
    pub(crate) fn actions_for(&self, purpose: &Purpose) -> impl Iterator<Item = &Action> {
        self.actions.of_purpose(purpose)
    }

    /// What is approved with an action: it alone, or all of its group that waits.
    pub(crate) fn approved_with(&self, id: ActionId) -> Vec<ActionId> {
        let Some(action) = self.actions.get(id) else { return Vec::new() };
        let is_mate = |it: &&Action| {
            let of_group = it.group.is_some() && action.group.is_some();
            it.id == id || of_group && it.state == ActionState::Waiting
        };
        self.actions_for(&action.purpose).filter(is_mate).map(|it| it.id).collect()
    }

    /// Actions whose command went out, with when it did, the newest first.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (MonoTime, &Action)> {
        self.actions.sent()
    }

    /// Actions that would have been sent in another mode than `dry_run`, with when, oldest first.
    pub(crate) fn proposed(&self) -> impl Iterator<Item = (MonoTime, &Action)> {
        self.actions.proposed()
    }

    /// Actions whose command went out to something that overlaps the target, oldest first.
    pub(crate) fn sent_on<'a>(
        &'a self,
        target: &Target,
    ) -> impl Iterator<Item = &'a Action> + use<'a> {
        self.actions.sent_on(target)
    }

    /// When the last action on the target took effect.
    pub(crate) fn last_done(&self, target: &Target) -> Option<MonoTime> {
        self.sent_on(target).filter_map(|it| it.done).max()
    }

    pub(crate) fn open(&mut self, case: impl FnOnce(IncidentId) -> Case) -> IncidentId {
        self.next_incident += 1;
        let id = IncidentId(self.next_incident);
        let case = case(id);
        self.events.push(Output::Incident {
            incident: id,
            cause: case.incident.cause(),
            event: IncidentEvent::Opened,
        });
        self.cases.insert(id, case);
        self.open.insert(id);
        self.unnumbered.insert(id);
        self.dirty_cases.insert(id);
        self.dirty_ids = true;
        id
    }

    pub(crate) fn event(&mut self, id: IncidentId, event: IncidentEvent) {
        if let Some(case) = self.cases.get(&id) {
            let cause: Cause = case.incident.cause();
            self.events.push(Output::Incident { incident: id, cause, event });
        }
    }

    pub(crate) fn step(&mut self, id: IncidentId, at: MonoTime, step: Step) {
        // How it ends is told of the longest one too.
        let is_end = matches!(step, Step::Good | Step::Verified(_) | Step::Paged | Step::Closed);
        let most = if is_end { MAX_TIMELINE } else { MAX_TIMELINE - KEPT_FOR_THE_END };
        self.edit(id, |case| {
            if case.incident.timeline.len() < most {
                case.incident.timeline.push(Moment { at, step });
            }
        });
    }

    /// A step of an action: the incident that it is for has a time line.
    pub(crate) fn step_for(&mut self, purpose: &Purpose, at: MonoTime, step: Step) {
        if let Some(id) = purpose.incident() {
            self.step(id, at, step);
        }
    }

    /// How far the remedy of the incident is that an action is for.
    pub(crate) fn set_remedy_for(&mut self, purpose: &Purpose, remedy: Remedy) {
        if let Some(id) = purpose.incident() {
            self.set_remedy(id, remedy);
        }
    }

    pub(crate) fn set_remedy(&mut self, id: IncidentId, remedy: Remedy) {
        if self.cases.get(&id).is_some_and(|it| it.is_open() && it.incident.remedy != remedy) {
            self.edit(id, |case| {
                case.incident.remedy = remedy;
                if matches!(remedy, Remedy::Running | Remedy::Done) {
                    case.held = None;
                }
            });
        }
    }

    pub(crate) fn page(&mut self, id: IncidentId, at: MonoTime, reason: Reason) {
        if self.cases.get(&id).is_some_and(|it| it.incident.page.is_none()) {
            self.edit(id, |case| case.incident.page = Some(reason));
            self.step(id, at, Step::Paged);
            self.event(id, IncidentEvent::Paged(reason));
        }
    }

    /// Notes why nothing was done: once for each kind of action and reason.
    pub(crate) fn refuse(
        &mut self,
        purpose: &Purpose,
        at: MonoTime,
        kind: Option<ActionKind>,
        reason: Reason,
    ) {
        let refusals = match purpose {
            Purpose::Incident(id) => self.cases.get_mut(id).map(|it| {
                it.held = Some(Held { kind, reason, until: None });
                &mut it.incident.refusals
            }),
            Purpose::Maintenance(id) => self.windows.get_mut(id).map(|it| &mut it.refusals),
        };
        let Some(refusals) = refusals else { return };
        let known = refusals.iter().any(|it| it.kind == kind && it.reason == reason);
        if known || refusals.len() >= MAX_REFUSALS {
            return;
        }
        refusals.push(Refusal { purpose: purpose.clone(), kind, reason, at });
        match purpose {
            Purpose::Incident(id) => self.step(*id, at, Step::Refused(reason)),
            Purpose::Maintenance(id) => {
                self.dirty_windows.insert(id.clone());
            }
        }
        self.events.push(Output::Refused { purpose: purpose.clone(), kind, reason });
    }

    /// Notes until when at the earliest what was just refused stays so.
    pub(crate) fn hold_until(&mut self, purpose: &Purpose, at: MonoTime) {
        let case = purpose.incident().and_then(|id| self.cases.get_mut(&id));
        if let Some(held) = case.and_then(|it| it.held.as_mut()) {
            held.until = Some(at);
        }
    }

    pub(crate) fn close(&mut self, id: IncidentId, at: MonoTime) {
        if !self.cases.get(&id).is_some_and(Case::is_open) {
            return;
        }
        let waiting: Vec<ActionId> = self
            .actions_of(id)
            .filter(|it| it.state == ActionState::Waiting)
            .map(|it| it.id)
            .collect();
        for action in waiting {
            self.end(action, at, ActionState::Withdrawn, "the incident closed first");
        }
        self.step(id, at, Step::Closed);
        self.edit(id, |case| {
            case.incident.state = IncidentState::Closed;
            case.incident.closed = Some(at);
        });
        self.open.remove(&id);
        self.event(id, IncidentEvent::Closed);
    }

    pub(crate) fn add_action(&mut self, action: impl FnOnce(ActionId) -> Action) -> ActionId {
        self.next_action += 1;
        let id = ActionId(self.next_action);
        let action = action(id);
        let incident = action.purpose.incident();
        self.actions.insert(action);
        self.dirty_ids = true;
        if let Some(incident) = incident {
            self.edit(incident, |case| {
                let actions = &mut case.incident.actions;
                actions.push(id);
                actions.drain(..actions.len().saturating_sub(MAX_ACTIONS_OF));
                case.held = None;
                case.waits_since = None;
            });
        }
        self.dirty_actions.insert(id);
        self.watched.insert(id);
        id
    }

    pub(crate) fn watched(&self) -> Vec<ActionId> {
        self.watched.iter().copied().collect()
    }

    pub(crate) fn unwatch(&mut self, id: ActionId) {
        self.watched.remove(&id);
    }

    pub(crate) fn worth(&self, id: ActionId) -> Option<&Worth> {
        self.worths.get(&id)
    }

    /// What each action that could be watched was worth.
    pub(crate) fn worths(&self) -> impl Iterator<Item = (&Action, &Worth)> {
        self.worths.iter().filter_map(|(id, worth)| Some((self.actions.get(*id)?, worth)))
    }

    pub(crate) fn set_worth(&mut self, id: ActionId, worth: Worth) {
        self.worths.insert(id, worth);
    }

    /// As [`set_worth`](Self::set_worth); the journal will have it.
    pub(crate) fn keep_worth(&mut self, id: ActionId, worth: Worth) {
        self.set_worth(id, worth);
        self.dirty_worths.insert(id);
    }

    pub(crate) fn edit_action(&mut self, id: ActionId, change: impl FnOnce(&mut Action)) {
        let Some((before, action)) = self.actions.edit(id, change) else { return };
        let moved = action.state != before;
        self.dirty_actions.insert(id);
        if moved {
            self.note(id);
        }
    }

    /// Tells where an action stands.
    pub(crate) fn note(&mut self, id: ActionId) {
        if let Some(it) = self.actions.get(id) {
            let (kind, state, detail) = (it.kind, it.state, it.detail.clone());
            self.events.push(Output::Action { action: id, kind, state, detail });
        }
    }

    /// Brings an action to a final state.
    pub(crate) fn end(&mut self, id: ActionId, at: MonoTime, state: ActionState, detail: &str) {
        self.edit_action(id, |action| {
            action.state = state;
            action.ended = Some(at);
            action.detail = String::from(detail);
        });
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.events.push(output);
    }

    /// Has the journal get these.
    pub(crate) fn remember(&mut self, records: Vec<Record>) {
        self.records.extend(records);
    }

    pub(crate) fn remember_mode(&mut self, scope: &Scope, mode: Mode) {
        self.records.push(journal::mode_record(scope, mode));
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Puts out what changed: records first, then what may rest on them.
    pub(crate) fn flush(&mut self, now: MonoTime, limits: &mut Limits) {
        let mut records = core::mem::take(&mut self.records);
        if core::mem::take(&mut self.dirty_ids) {
            records.push(journal::ids_record(self.next_incident, self.next_action));
        }
        for id in core::mem::take(&mut self.dirty_cases) {
            records.extend(self.cases.get(&id).map(|it| journal::case_record(now, it)));
        }
        for id in core::mem::take(&mut self.dirty_actions) {
            records.extend(self.actions.get(id).map(|it| journal::action_record(now, it)));
        }
        for id in core::mem::take(&mut self.dirty_worths) {
            records.extend(self.worths.get(&id).map(|it| journal::worth_record(now, id, it)));
        }
        for id in core::mem::take(&mut self.dirty_windows) {
            records.extend(self.windows.get(&id).map(|it| journal::window_record(now, it)));
        }
        for id in core::mem::take(&mut self.dirty_others) {
            records.extend(self.others.get(&id).map(|it| journal::others_record(now, &id, it)));
        }
        self.outputs.extend(records.into_iter().map(Output::Journal));
        self.outputs.extend(core::mem::take(&mut self.events));
        if self.outputs.len() > MAX_OUTPUTS {
            let before = self.outputs.len();
            self.outputs.retain(|it| matches!(it, Output::Journal(_) | Output::Act(_)));
            limits.dropped_outputs += (before - self.outputs.len()) as u64;
        }
    }

    /// Forgets the oldest of what is over, in the journal too: nobody but the judgement knows what still stands.
    pub(crate) fn trim(
        &mut self,
        lineup: &Lineup,
        keep_actions_after: MonoTime,
        limits: &mut Limits,
    ) {
        for _ in MAX_CLOSED..self.cases.len() - self.open.len() {
            let oldest = self.cases.keys().find(|id| !self.open.contains(id)).copied();
            if let Some(id) = oldest {
                self.cases.remove(&id);
                self.records.push(journal::forgotten(incident_key(id)));
                limits.forgotten_incidents += 1;
            }
        }
        let excess = self.actions.len().saturating_sub(MAX_ACTIONS);
        if excess == 0 || keep_actions_after < self.trimmed + TRIM_EVERY {
            return;
        }
        self.trimmed = keep_actions_after;
        let stands = self.standing(lineup);
        let is_needed = |it: &Action| {
            let case = self.case_for(&it.purpose);
            let own =
                case.is_some_and(|case| case.is_open() && case.incident.actions.contains(&it.id));
            let planned = it.purpose.window().is_some_and(|id| self.windows.contains_key(id));
            stands.contains(&it.id) || (planned || own) && it.state != ActionState::Expired
        };
        let is_old = |it: &&Action| it.state.is_final() && it.decided < keep_actions_after;
        let old = self.actions.iter().filter(is_old).filter(|it| !is_needed(it));
        let go: Vec<ActionId> = old.take(excess).map(|it| it.id).collect();
        for id in go {
            self.actions.remove(id);
            self.records.push(journal::forgotten(action_key(id)));
            limits.forgotten_actions += 1;
        }
        let (actions, records) = (&self.actions, &mut self.records);
        self.worths.retain(|&id, _| {
            let is_known = actions.get(id).is_some();
            if !is_known {
                records.push(journal::forgotten(worth_key(id)));
            }
            is_known
        });
    }

    /// What was done last to each listed channel's source and to each listed server's viewers, which may still have to be taken
    /// back, and what that took back: whether it is tried again depends on it.
    fn standing(&self, lineup: &Lineup) -> BTreeSet<ActionId> {
        let is_listed = |target: &Target| match target {
            Target::Channel(id) => lineup.channel(id).is_some(),
            Target::Servers(ids) => ids.iter().any(|it| lineup.server(it).is_some()),
            Target::Encoder { .. } | Target::Region(_) => false,
        };
        let mut last: BTreeMap<(bool, &Target), &Action> = BTreeMap::new();
        for action in self.actions.iter().filter(|it| it.done.is_some()) {
            let is_switch = action.kind == ActionKind::SwitchSource;
            if (is_switch || action.kind.moves_viewers()) && is_listed(&action.target) {
                let newest = last.entry((is_switch, &action.target)).or_insert(action);
                if action.done > newest.done {
                    *newest = action;
                }
            }
        }
        last.into_values().flat_map(|it| [Some(it.id), it.undoes]).flatten().collect()
    }

    /// Takes back what the journal remembered.
    pub(crate) fn restore_case(&mut self, case: Case) {
        let id = case.incident.id;
        self.next_incident = self.next_incident.max(id.0);
        let _ = if case.is_open() { self.open.insert(id) } else { self.open.remove(&id) };
        self.unnumbered.insert(id);
        self.cases.insert(id, case);
    }

    /// Takes back what the journal remembered.
    pub(crate) fn restore_action(&mut self, action: Action) {
        self.next_action = self.next_action.max(action.id.0);
        self.actions.insert(action);
    }

    /// Takes back what the journal remembered.
    pub(crate) fn restore_worth(&mut self, id: ActionId, worth: Worth) {
        if worth.verdict == Verdict::Open {
            self.watched.insert(id);
        }
        self.worths.insert(id, worth);
    }

    /// Takes back what the journal remembered.
    pub(crate) fn restore_ids(&mut self, incident: u64, action: u64) {
        self.next_incident = self.next_incident.max(incident);
        self.next_action = self.next_action.max(action);
    }

    /// Takes back what the journal remembered.
    pub(crate) fn restore_window(&mut self, window: Window) {
        self.windows.insert(window.plan.id.clone(), window);
    }

    /// Takes back what the journal remembered.
    pub(crate) fn restore_others(&mut self, channel: ChannelId, others: Others) {
        self.others.insert(channel, others);
    }

    pub(crate) fn open_storms(&self) -> Vec<IncidentId> {
        self.open_cases().filter(|it| it.incident.storm).map(|it| it.incident.id).collect()
    }

    /// When others changed a channel's source.
    pub(crate) fn changes_by_others(
        &self,
        channel: &ChannelId,
    ) -> impl Iterator<Item = MonoTime> + '_ {
        self.others.get(channel).into_iter().flat_map(|it| &it.changes).map(|(at, _)| *at)
    }

    pub(crate) fn note_other(&mut self, channel: &ChannelId, at: MonoTime, by: Other) {
        self.others.entry(channel.clone()).or_default().note(at, by);
        self.dirty_others.insert(channel.clone());
    }

    /// The source that a channel was last seen on, before a restart too.
    pub(crate) fn last_on(&self, channel: &ChannelId) -> Option<&StreamId> {
        self.others.get(channel)?.on.as_ref()
    }

    pub(crate) fn note_source(&mut self, channel: &ChannelId, on: StreamId) {
        let others = self.others.entry(channel.clone()).or_default();
        if others.on.as_ref() != Some(&on) {
            others.on = Some(on);
            self.dirty_others.insert(channel.clone());
        }
    }

    /// Whose a channel is, or was until a moment.
    pub(crate) fn hands_off(&self, channel: &ChannelId, guards: &Guards) -> Option<HandsOff> {
        self.others.get(channel)?.hands_off(guards)
    }

    pub(crate) fn end_hands_off(&mut self, channel: &ChannelId, at: MonoTime) {
        if let Some(others) = self.others.get_mut(channel) {
            others.released = at;
            self.dirty_others.insert(channel.clone());
        }
    }

    pub(crate) fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.values()
    }

    /// Plans a time of maintenance, or changes one that is not over. What a person ended stays so until its end, whatever the
    /// lineup says.
    pub(crate) fn maintain(&mut self, now: MonoTime, plan: Plan) {
        match self.windows.get_mut(&plan.id) {
            Some(known) if known.state(now) != WindowState::Over => {
                self.dirty_windows.insert(plan.id.clone());
                let begin = known.plan.begin.min(plan.begin);
                known.plan = Plan { begin, ..plan };
            }
            Some(known) if plan.by.is_none() && now < known.plan.end => {}
            _ => {
                let is_over = |it: &&Window| it.state(now) == WindowState::Over;
                let over: Vec<WindowId> = {
                    let mut over: Vec<&Window> = self.windows.values().filter(is_over).collect();
                    over.sort_by_key(|it| core::cmp::Reverse(it.end()));
                    over.iter().skip(MAX_WINDOWS).map(|it| it.plan.id.clone()).collect()
                };
                for id in over {
                    self.windows.remove(&id);
                    self.records.push(journal::forgotten(window_key(&id)));
                }
                let standing = self.windows.values().filter(|it| !is_over(it)).count();
                if standing < MAX_WINDOWS && now < plan.end {
                    self.dirty_windows.insert(plan.id.clone());
                    let window = Window { plan, ended: None, refusals: Vec::new() };
                    self.windows.insert(window.plan.id.clone(), window);
                }
            }
        }
    }

    pub(crate) fn end_maintenance(&mut self, id: &WindowId, at: MonoTime) {
        if let Some(window) = self.windows.get_mut(id).filter(|it| at < it.end()) {
            window.ended = Some(at);
            self.dirty_windows.insert(id.clone());
        }
    }

    /// Another lineup has other numbers, and may have lost channels.
    pub(crate) fn relist(&mut self, lineup: &Lineup) {
        self.cases.values_mut().for_each(|it| it.numbers = None);
        self.unnumbered.clone_from(&self.open);
        let records = &mut self.records;
        self.others.retain(|channel, others| {
            // A source by another name is no change.
            others.on.take_if(|it| lineup.no(it).is_none());
            let is_listed = lineup.channel(channel).is_some();
            if !is_listed {
                records.push(journal::forgotten(others_key(channel)));
            }
            is_listed
        });
    }

    /// The open case of this subject.
    pub(crate) fn open_case_of(&self, subject: &Subject) -> Option<IncidentId> {
        self.open_cases().find(|it| it.incident.subject == *subject).map(|it| it.incident.id)
    }
}

/// The key of an incident in the journal.
pub(crate) fn incident_key(id: IncidentId) -> String {
    format!("incident/{id}")
}

/// The key of what an action was worth in the journal.
pub(crate) fn worth_key(id: ActionId) -> String {
    format!("worth/{id}")
}

/// The key of a time of maintenance in the journal.
pub(crate) fn window_key(id: &WindowId) -> String {
    format!("maintenance/{id}")
}

/// The key of what others did to a channel in the journal.
pub(crate) fn others_key(channel: &ChannelId) -> String {
    format!("others/{channel}")
}

/// The key of an action in the journal.
pub(crate) fn action_key(id: ActionId) -> String {
    format!("action/{id}")
}
