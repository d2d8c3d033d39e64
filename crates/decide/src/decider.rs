//! The component that the collector drives: inputs in, outputs out, views to read.

use alloc::{string::String, vec::Vec};

use tallylight_model::{
    ActionId, Batch, ChannelId, Epoch, IncidentId, MonoTime, NodeId, RegionId, ServerId, StreamId,
};

use crate::{
    Input, Output, Policy,
    action::{Action, ActionState, Held, Reason, Refusal, Target},
    evidence,
    explain::{self, Explanation, Told},
    facts::Facts,
    guard::{self, Answer, Proposal},
    incident::{Incident, Subject, Vote},
    input::OnAir,
    journal::{self, Memory, Record, Remembered},
    judge::{self, Occasion},
    ledger::{Case, Ledger},
    lineup::{Channel, Lineup, StreamRef},
    maintenance::Window,
    others::{self, HandsOff},
    policy::{Mode, Scope},
    remedy::{self, Desk, readiness},
    scene::Scene,
    shadow::{self, Report, Worth},
    signal::Signals,
    view::{
        ChannelView, FaultView, HistogramView, Latency, Limits, NodeView, NotReady, ProgrammeView,
        SignalView, SourceView, Up,
    },
};

/// The whole judgement. See the crate's header for its form.
#[derive(Debug)]
pub struct Decider {
    facts: Facts,
    ledger: Ledger,
    signals: Signals,
    epoch: Epoch,
    /// Modes that persons set: they hold over whatever policy is loaded.
    set_modes: alloc::collections::BTreeMap<Scope, Mode>,
    again: Option<MonoTime>,
}

impl Decider {
    /// Starts with nothing known. `epoch` is the fencing token of commands; it comes from outside and only ever grows.
    #[must_use]
    pub fn new(lineup: Lineup, policy: Policy, epoch: Epoch) -> Self {
        let mut signals = Signals::default();
        signals.relist(&Lineup::default(), &lineup);
        Self {
            facts: Facts::new(lineup, policy),
            ledger: Ledger::default(),
            signals,
            epoch,
            set_modes: alloc::collections::BTreeMap::new(),
            again: None,
        }
    }

    /// Starts with what the journal remembers: the last record of each key, in any order.
    ///
    /// `now` must be later than the oldest age, so the clock that it is read from needs an origin well before the process's
    /// start: error budgets reach back 28 days. What cannot be read is left out and answered, by key.
    #[must_use]
    pub fn restore(
        lineup: Lineup,
        policy: Policy,
        epoch: Epoch,
        now: MonoTime,
        journal: impl IntoIterator<Item = Remembered>,
    ) -> (Self, Vec<String>) {
        let mut new = Self::new(lineup, policy, epoch);
        let mut unread = Vec::new();
        for remembered in journal {
            match journal::recall(now, &remembered) {
                Some(Memory::Case(case)) => new.ledger.restore_case(*case),
                Some(Memory::Action(action)) => new.ledger.restore_action(action),
                Some(Memory::Worth(id, worth)) => new.ledger.restore_worth(id, worth),
                Some(Memory::Forgotten) => {}
                Some(Memory::Window(window)) => new.ledger.restore_window(window),
                Some(Memory::Others(channel, others)) => {
                    new.ledger.restore_others(channel, others);
                }
                Some(Memory::Ids { incident, action }) => {
                    new.ledger.restore_ids(incident, action);
                }
                Some(Memory::Budget { key, budget, written }) => {
                    new.signals.restore(&new.facts.lineup, key, budget, written);
                }
                Some(Memory::Mode(scope, mode)) => {
                    new.facts.policy.modes.insert(scope.clone(), mode);
                    new.set_modes.insert(scope, mode);
                }
                None => unread.push(remembered.record.key),
            }
        }
        new.ledger.relist(&new.facts.lineup);
        new.resume(now);
        (new, unread)
    }

    /// Nobody knows whether a command that was out went through: the panel's state will tell, and nothing is sent again.
    fn resume(&mut self, now: MonoTime) {
        self.ledger.resumed = now;
        let is_out = |it: &&Action| it.state == ActionState::Sent;
        let out: Vec<ActionId> = self.ledger.in_flight().filter(is_out).map(|it| it.id).collect();
        for id in out {
            self.ledger.edit_action(id, |it| {
                it.state = ActionState::Unknown;
                it.detail = String::from("the collector was restarted while it was out");
            });
        }
        if self.ledger.in_flight().next().is_some() {
            self.ledger.push(Output::ReadPanel);
        }
        self.again = Some(now);
        self.ledger.flush(now, &mut self.facts.limits);
    }

    /// Takes in what happened. Every decision that it makes possible is made before this returns.
    pub fn handle(&mut self, now: MonoTime, input: Input) {
        let occasion = Occasion::of(&input);
        match input {
            Input::Batch(batch) => {
                if self.facts.batch(now, &batch) {
                    self.count(now, &batch);
                }
                if self.is_quiet(now) {
                    self.ledger.flush(now, &mut self.facts.limits);
                    return;
                }
            }
            Input::Panel(state) => {
                let changed = self.facts.panel(now, state);
                others::look(&self.facts, &mut self.ledger, now, &changed);
                remedy::let_go(&self.facts, &mut self.ledger);
                self.signals.sweep(now, &self.facts, &self.ledger);
            }
            Input::PanelDown => self.facts.panel_at = None,
            Input::Outcome { action, outcome } => {
                self.at_desk(now, |desk, ledger| desk.outcome(ledger, action, &outcome));
            }
            Input::Approve { action, by } => self.at_desk(now, |desk, ledger| {
                for id in ledger.approved_with(action) {
                    let Some(waiting) = ledger.action(id) else { continue };
                    let case = ledger.case_for(&waiting.purpose);
                    let measured = case.map(|it| judge::measure_for(desk.scene, it, waiting));
                    let (fit, rival) = measured.unwrap_or_default();
                    desk.approve(ledger, id, &by, fit, rival);
                }
            }),
            Input::Reject { action, by } => {
                self.at_desk(now, |desk, ledger| desk.reject(ledger, action, &by));
            }
            Input::Maintain(plan) => self.ledger.maintain(now, plan),
            Input::EndMaintenance { window } => self.ledger.end_maintenance(&window, now),
            Input::EndHandsOff { channel } => self.ledger.end_hands_off(&channel, now),
            Input::FailBack { channel, by } => {
                self.at_desk(now, |desk, ledger| desk.fail_back_by_hand(ledger, &channel, &by));
            }
            Input::Return { server, by } => {
                self.at_desk(now, |desk, ledger| desk.return_by_hand(ledger, &server, &by));
            }
            Input::Close { incident, .. } => self.at_desk(now, |desk, ledger| {
                shadow::end(desk.scene, ledger, incident);
                ledger.close(incident, now);
            }),
            Input::SetMode { scope, mode, .. } => {
                self.ledger.remember_mode(&scope, mode);
                self.facts.policy.modes.insert(scope.clone(), mode);
                self.set_modes.insert(scope, mode);
            }
            Input::KillSwitch(position) => self.facts.kill_switch = position,
            Input::OnAir { channel, on_air } => self.facts.on_air(channel, on_air),
            Input::Lineup(lineup) => {
                self.signals.relist(&self.facts.lineup, &lineup);
                self.facts.relist(*lineup);
                self.ledger.relist(&self.facts.lineup);
            }
            Input::Policy(policy) => {
                self.facts.policy = *policy;
                self.facts.policy.modes.extend(self.set_modes.clone());
            }
            Input::Tick => {}
        }
        self.judge(now, occasion);
    }

    /// Brings the signals up to date with what an agent said.
    fn count(&mut self, now: MonoTime, batch: &Batch) {
        let mut limits = self.facts.limits;
        self.signals.batch(now, &self.facts, &self.ledger, batch, &mut limits);
        self.facts.limits = limits;
        let records = self.signals.save(now, &self.facts.lineup);
        self.remember(now, records);
    }

    /// Whether there is nothing to judge: nothing is wrong, and nothing becomes due by time alone, which is to say that no
    /// incident is open and no action under way.
    fn is_quiet(&self, now: MonoTime) -> bool {
        self.again.is_none() && self.facts.is_quiet(now)
    }

    fn at_desk(&mut self, now: MonoTime, work: impl FnOnce(&mut Desk<'_>, &mut Ledger)) {
        let scene = Scene::new(&self.facts, now);
        let mut desk = Desk { scene: &scene, epoch: self.epoch, again: None };
        work(&mut desk, &mut self.ledger);
    }

    fn judge(&mut self, now: MonoTime, occasion: Occasion) {
        let scene = Scene::new(&self.facts, now);
        let mut desk = Desk { scene: &scene, epoch: self.epoch, again: None };
        judge::judge(&mut desk, &mut self.ledger, occasion);
        self.again = desk.again;
        let guards = &self.facts.policy.guards;
        let keep = now - guards.circuit_window - guards.circuit_open;
        self.ledger.trim(&self.facts.lineup, keep, &mut self.facts.limits);
        self.ledger.flush(now, &mut self.facts.limits);
    }

    /// Answers the next thing to do. Drain it after every [`handle`](Self::handle).
    pub fn poll(&mut self) -> Option<Output> {
        self.ledger.poll()
    }

    /// When to send [`Input::Tick`] if nothing else comes first.
    #[must_use]
    pub const fn deadline(&self) -> Option<MonoTime> {
        self.again
    }

    /// Asks once more, right before the side effect, whether a command may go out: state, kill switch, expiry, mode, and
    /// whether what it rests on still holds.
    ///
    /// # Errors
    /// Says what forbids it; the collector then answers [`Outcome::NotSent`](crate::Outcome::NotSent).
    pub fn still_allowed(&self, action: ActionId, now: MonoTime) -> Result<(), Reason> {
        let out = self.ledger.action(action).filter(|it| it.state == ActionState::Sent);
        let action = out.ok_or(Reason::NotInFlight)?;
        if self.facts.kill_switch == crate::KillSwitch::Pulled {
            return Err(Reason::KillSwitch);
        }
        if now >= action.expires {
            return Err(Reason::Expired);
        }
        let is_approved = action.approved_by.is_some();
        match guard::ordinary_mode(&self.facts, action.kind, &action.target) {
            Mode::Off => return Err(Reason::ModeOff),
            Mode::DryRun => return Err(Reason::ModeDryRun),
            Mode::Approve if !is_approved => return Err(Reason::AwaitingApproval),
            Mode::Approve | Mode::Auto => {}
        }
        let scene = Scene::new(&self.facts, now);
        let case = self.ledger.case_for(&action.purpose);
        let measured = case.map(|it| judge::measure_for(&scene, it, action)).unwrap_or_default();
        match guard::last_look(&Proposal::again(&scene, &self.ledger, action, measured)) {
            Answer::Pass => Ok(()),
            Answer::Approve(_) if is_approved => Ok(()),
            Answer::Approve(reason) | Answer::Until(reason, _) | Answer::Refuse(reason) => {
                Err(reason)
            }
        }
    }

    /// The lineup in force.
    #[must_use]
    pub const fn lineup(&self) -> &Lineup {
        &self.facts.lineup
    }

    /// The policy in force, modes set by persons included.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.facts.policy
    }

    /// The mode in force in each written scope; global always. `off` everywhere while the kill switch is pulled.
    pub fn modes(&self) -> impl Iterator<Item = (Scope, Mode)> + '_ {
        let pulled = self.facts.kill_switch == crate::KillSwitch::Pulled;
        let written = &self.facts.policy.modes;
        let global =
            (!written.contains_key(&Scope::Global)).then_some((Scope::Global, Mode::DryRun));
        let all = written.iter().map(|(scope, &mode)| (scope.clone(), mode)).chain(global);
        let policy = &self.facts.policy;
        all.map(move |(scope, mode)| (scope, if pulled { Mode::Off } else { policy.bounded(mode) }))
    }

    /// Signals of these channels of the lineup in every region where they have deliveries, by channel and region.
    pub fn signals<'a>(
        &'a self,
        now: MonoTime,
        channels: impl IntoIterator<Item = &'a Channel>,
    ) -> impl Iterator<Item = SignalView<'a>> {
        let scene = Scene::new(&self.facts, now);
        let mut views = Vec::new();
        for channel in channels {
            for region in self.facts.lineup.regions() {
                views.extend(self.signal(&scene, channel, &region.id));
            }
        }
        views.into_iter()
    }

    fn signal<'a>(
        &'a self,
        scene: &Scene<'_>,
        channel: &'a Channel,
        region: &'a RegionId,
    ) -> Option<SignalView<'a>> {
        let facts = &self.facts;
        let server = |it: &crate::lineup::Delivery| facts.lineup.server(&it.server);
        let mut deliveries = channel
            .deliveries
            .iter()
            .filter(|it| server(it).is_some_and(|it| it.region == *region))
            .peekable();
        deliveries.peek()?;
        let saturation = deliveries
            .filter_map(|it| facts.server_saturation(&it.server, scene.now))
            .reduce(|a, b| if b > a { b } else { a });
        let empty = crate::signal::Sums::default();
        let sums = self.signals.sums(&facts.lineup, &channel.id, region).unwrap_or(&empty);
        let ([observed_any, maintenance_observed], [bad, maintenance_bad]) =
            (sums.observed_any(), sums.bad());
        let latency = |it: Latency| sums.latency(it, scene.now);
        let panel = facts.panel_channel(&channel.id);
        Some(SignalView {
            channel: &channel.id,
            region,
            observed: sums.observed(),
            observed_any,
            bad,
            faults: sums.faults(),
            maintenance_observed,
            maintenance_bad,
            slo: sums.slo(scene.now, facts.policy.objectives.of(channel)),
            up: evidence::up(scene, channel, region),
            startup: latency(Latency::Startup),
            first_byte: latency(Latency::FirstByte),
            segment_fetch: latency(Latency::SegmentFetch),
            live_delay: latency(Latency::LiveDelay),
            sessions: panel.and_then(|it| it.sessions.get(region).copied()),
            egress_bytes: panel.and_then(|it| it.egress_bytes.get(region).copied()),
            saturation,
        })
    }

    /// Latencies seen in each region since the start, by region; those that have samples.
    pub fn region_latencies(&self) -> impl Iterator<Item = (&RegionId, HistogramView)> {
        self.signals.region_latencies()
    }

    /// Latencies seen of each server since the start, by server; those that have samples.
    pub fn server_latencies(&self) -> impl Iterator<Item = (&ServerId, HistogramView)> {
        self.signals.server_latencies()
    }

    /// Puts out what the journal gets only from time to time: to be called before an orderly end.
    pub fn save(&mut self, now: MonoTime) {
        let records = self.signals.save_all(now, &self.facts.lineup);
        self.remember(now, records);
    }

    fn remember(&mut self, now: MonoTime, records: Vec<Record>) {
        if !records.is_empty() {
            self.ledger.remember(records);
            self.ledger.flush(now, &mut self.facts.limits);
        }
    }

    /// These channels of the lineup.
    pub fn channels<'a>(
        &'a self,
        now: MonoTime,
        channels: impl IntoIterator<Item = &'a Channel>,
    ) -> impl Iterator<Item = ChannelView<'a>> {
        let scene = Scene::new(&self.facts, now);
        let facts = &self.facts;
        let view = |channel: &'a Channel| {
            let regions = facts.lineup.regions().map(|it| &it.id);
            let own = facts.regions_of(&channel.id);
            let panel = facts.panel_channel(&channel.id);
            ChannelView {
                channel: &channel.id,
                name: &channel.name,
                on_air: if facts.is_off_air(&channel.id) { OnAir::Off } else { OnAir::On },
                active: panel.and_then(|it| it.active.as_ref()),
                changed_by: panel.map(|it| &it.changed_by),
                hands_off: self.hands_off(&channel.id, now),
                up: regions
                    .filter(|it| own.contains(*it))
                    .map(|it| (it, evidence::up(&scene, channel, it)))
                    .collect::<Vec<(_, Option<Up>)>>(),
            }
        };
        channels.into_iter().map(view).collect::<Vec<_>>().into_iter()
    }

    /// The sources of these channels of the lineup.
    pub fn sources<'a>(
        &'a self,
        now: MonoTime,
        channels: impl IntoIterator<Item = &'a Channel>,
    ) -> impl Iterator<Item = SourceView<'a>> {
        let scene = Scene::new(&self.facts, now);
        let mut views = Vec::new();
        for channel in channels {
            let feeding = channel.sources.iter().find(|it| self.facts.is_active(&it.stream));
            for source in &channel.sources {
                let other = feeding.filter(|it| it.stream != source.stream);
                let programme = other.map(|it| self.facts.programme(now, source, it));
                views.push(SourceView {
                    stream: &source.stream,
                    channel: &channel.id,
                    role: source.role,
                    active: self.facts.is_active(&source.stream),
                    reasons: readiness::not_ready(&scene, channel, source),
                    programme: programme.map(ProgrammeView::from),
                    shown_by: self.facts.shown_by(now, channel, &source.stream),
                });
            }
        }
        views.into_iter()
    }

    /// Faults that stand declared, by stream; those of the streams after this one.
    pub fn faults(&self, after: Option<&StreamId>) -> impl Iterator<Item = FaultView<'_>> {
        let lineup = &self.facts.lineup;
        lineup.numbers_after(after).flat_map(|no| {
            let stream = lineup.id(no);
            self.facts.sights_at(no).flat_map(move |(node, sight)| {
                sight.standing().map(move |(kind, it)| FaultView {
                    node,
                    stream,
                    kind,
                    severity: it.severity,
                    onset: it.onset,
                    declared: it.declared,
                    evidence: &it.evidence,
                })
            })
        })
    }

    /// All nodes of the lineup, by id.
    pub fn nodes(&self, now: MonoTime) -> impl Iterator<Item = NodeView<'_>> {
        let scene = Scene::new(&self.facts, now);
        let view = |agent| {
            let agent: &crate::lineup::Agent = agent;
            let witness = self.facts.witness(&agent.node);
            let vote: Vote = scene.vote(&agent.node);
            NodeView {
                node: &agent.node,
                region: &agent.region,
                path: &agent.path,
                last_seen: witness.and_then(|it| it.last_seen).map(|at| now.since(at)),
                vote,
                saturation: self.facts.saturation(&agent.node, now).collect(),
            }
        };
        self.facts.lineup.agents().map(view).collect::<Vec<_>>().into_iter()
    }

    /// Open incidents and the last closed ones, by id.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.ledger.cases().map(|it| &it.incident)
    }

    /// One incident.
    #[must_use]
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.ledger.case(id).map(|it| &it.incident)
    }

    /// One incident in words.
    #[must_use]
    pub fn explain(&self, id: IncidentId, now: MonoTime) -> Option<Explanation> {
        let case = self.ledger.case(id)?;
        Some(explain::explain(&Told {
            incident: &case.incident,
            actions: self.ledger.actions_of(id).map(|it| (it, self.ledger.worth(it.id))).collect(),
            held: case.held,
            sources: self.lacking(case, now),
            stands: self.stands(id, now),
            clean_since: case.clean_since,
            lineup: &self.facts.lineup,
            guards: &self.facts.policy.guards,
            now,
        }))
    }

    /// The switches and drains of an incident that keep a channel or a server from where it belongs.
    fn stands(&self, id: IncidentId, now: MonoTime) -> Vec<&Action> {
        let scene = Scene::new(&self.facts, now);
        let stands = |it: &&Action| {
            let by = match &it.target {
                Target::Channel(channel) => remedy::switched_away(&scene, &self.ledger, channel),
                Target::Servers(servers) => servers
                    .first()
                    .and_then(|server| remedy::isolated_by(&scene, &self.ledger, server)),
                Target::Region(_) | Target::Encoder { .. } => None,
            };
            it.done.is_some() && by.is_some_and(|by| by.id == it.id)
        };
        self.ledger.actions_of(id).filter(stands).collect()
    }

    /// The other sources of a case's channel with what each lacks, where that is what holds it.
    fn lacking(&self, case: &Case, now: MonoTime) -> Vec<(StreamId, Vec<NotReady>)> {
        let Subject::Source(own) = &case.incident.subject else { return Vec::new() };
        if case.held.is_none_or(|it| it.reason != Reason::NoReadyBackup) || !case.is_open() {
            return Vec::new();
        }
        let channel = self.facts.lineup.stream(own).map(StreamRef::channel);
        self.sources(now, channel)
            .filter(|it| it.stream != own)
            .map(|it| (it.stream.clone(), it.reasons))
            .collect()
    }

    /// What keeps an incident's next action back at this moment, as far as anything does.
    #[must_use]
    pub fn held(&self, id: IncidentId) -> Option<Held> {
        self.ledger.case(id).filter(|it| it.is_open())?.held
    }

    /// Actions under way and the last final ones, by id.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.ledger.actions()
    }

    /// One action.
    #[must_use]
    pub fn action(&self, id: ActionId) -> Option<&Action> {
        self.ledger.action(id)
    }

    /// Refusals of all known incidents, by incident.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.ledger.cases().flat_map(|it| &it.incident.refusals)
    }

    /// What an action was worth, or would have been, if that can be said of its kind.
    #[must_use]
    pub fn worth(&self, id: ActionId) -> Option<&Worth> {
        self.ledger.worth(id)
    }

    /// What all known actions were worth, or would have been.
    #[must_use]
    pub fn shadow(&self) -> Report {
        shadow::report(self.ledger.worths())
    }

    /// Times of maintenance that are planned or in force, and the last ones that are over, by name.
    pub fn windows(&self) -> impl Iterator<Item = &Window> {
        self.ledger.windows()
    }

    /// Whose a channel is at this moment, if it is left to whoever changed its source.
    #[must_use]
    pub fn hands_off(&self, channel: &ChannelId, now: MonoTime) -> Option<HandsOff> {
        let hands_off = self.ledger.hands_off(channel, &self.facts.policy.guards);
        hands_off.filter(|it| now < it.until)
    }

    /// Whether the lineup has this node's agent watch this stream.
    #[must_use]
    pub fn watches(&self, node: &NodeId, stream: &StreamId) -> bool {
        self.facts.watches(node, stream)
    }

    /// The action that put a channel on another source than it is normally on, while it is there by that.
    #[must_use]
    pub fn switched_away(&self, now: MonoTime, channel: &ChannelId) -> Option<ActionId> {
        let scene = Scene::new(&self.facts, now);
        remedy::switched_away(&scene, &self.ledger, channel).map(|it| it.id)
    }

    /// The action that keeps a server without viewers.
    #[must_use]
    pub fn isolated_by(&self, now: MonoTime, server: &ServerId) -> Option<ActionId> {
        let scene = Scene::new(&self.facts, now);
        remedy::isolated_by(&scene, &self.ledger, server).map(|it| it.id)
    }

    /// What had to be let go.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.facts.limits
    }
}
