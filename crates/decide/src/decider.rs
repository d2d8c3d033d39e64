//! The component that the collector drives: inputs in, outputs out, views to read.

use alloc::{collections::VecDeque, vec::Vec};

use tallylight_model::{ActionId, Epoch, IncidentId, MonoTime};

use crate::{
    Input, Output, Policy,
    action::{Action, Reason, Refusal},
    incident::Incident,
    journal::Remembered,
    lineup::Lineup,
    policy::{Mode, Scope},
    view::{ChannelView, FaultView, Limits, NodeView, SignalView, SourceView},
};

/// The whole judgement. See the crate's header for its form.
#[derive(Debug)]
pub struct Decider {
    lineup: Lineup,
    policy: Policy,
    epoch: Epoch,
    outputs: VecDeque<Output>,
}

impl Decider {
    /// Starts with nothing known. `epoch` is the fencing token of commands; it comes from outside and only ever grows.
    #[must_use]
    pub fn new(lineup: Lineup, policy: Policy, epoch: Epoch) -> Self {
        Self { lineup, policy, epoch, outputs: VecDeque::new() }
    }

    /// Starts with what the journal remembers: the last record of each key, in any order.
    ///
    /// `now` must be later than the oldest age, so the clock that it is read from needs an origin well before the process's
    /// start (a day is enough). What cannot be read is left out and answered, by key.
    #[must_use]
    pub fn restore(
        lineup: Lineup,
        policy: Policy,
        epoch: Epoch,
        now: MonoTime,
        journal: impl IntoIterator<Item = Remembered>,
    ) -> (Self, Vec<alloc::string::String>) {
        let _ = (now, journal.into_iter());
        (Self::new(lineup, policy, epoch), Vec::new())
    }

    /// Takes in what happened. Every decision that it makes possible is made before this returns.
    pub fn handle(&mut self, now: MonoTime, input: Input) {
        let _ = (now, input, self.epoch);
    }

    /// Answers the next thing to do. Drain it after every [`handle`](Self::handle).
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Tick`] if nothing else comes first.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        None
    }

    /// Asks once more, right before the side effect, whether a command may go out: kill switch, mode, expiry, state.
    ///
    /// # Errors
    /// Says what forbids it; the collector then answers [`Outcome::NotSent`](crate::Outcome::NotSent).
    pub fn still_allowed(&self, action: ActionId, now: MonoTime) -> Result<(), Reason> {
        let _ = (action, now);
        Err(Reason::NotInFlight)
    }

    /// The lineup in force.
    #[must_use]
    pub const fn lineup(&self) -> &Lineup {
        &self.lineup
    }

    /// The policy in force, modes set by persons included.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The mode in force in each written scope; global always.
    pub fn modes(&self) -> impl Iterator<Item = (Scope, Mode)> + '_ {
        self.policy.modes.iter().map(|(scope, &mode)| (scope.clone(), mode))
    }

    /// Signals of every channel in every region where it has deliveries, by channel and region.
    pub fn signals(&self, now: MonoTime) -> impl Iterator<Item = SignalView<'_>> {
        let _ = now;
        core::iter::empty()
    }

    /// All channels, by id.
    pub fn channels(&self, now: MonoTime) -> impl Iterator<Item = ChannelView<'_>> {
        let _ = now;
        core::iter::empty()
    }

    /// All sources, by stream.
    pub fn sources(&self, now: MonoTime) -> impl Iterator<Item = SourceView<'_>> {
        let _ = now;
        core::iter::empty()
    }

    /// Faults that stand declared, by stream.
    pub fn faults(&self) -> impl Iterator<Item = FaultView<'_>> {
        core::iter::empty()
    }

    /// All nodes of the lineup, by id.
    pub fn nodes(&self, now: MonoTime) -> impl Iterator<Item = NodeView<'_>> {
        let _ = now;
        core::iter::empty()
    }

    /// Open incidents and the last closed ones, by id.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        core::iter::empty()
    }

    /// One incident.
    #[must_use]
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        let _ = id;
        None
    }

    /// Actions under way and the last final ones, by id.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        core::iter::empty()
    }

    /// One action.
    #[must_use]
    pub fn action(&self, id: ActionId) -> Option<&Action> {
        let _ = id;
        None
    }

    /// Refusals of all known incidents, by incident.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        core::iter::empty()
    }

    /// What had to be let go.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits {
            foreign_nodes: 0,
            foreign_streams: 0,
            forgotten_incidents: 0,
            forgotten_actions: 0,
            dropped_outputs: 0,
        }
    }
}
