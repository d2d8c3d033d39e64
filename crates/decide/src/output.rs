//! What the judgement wants done outside, in the order in which it must happen.

use alloc::string::String;

use tallylight_model::{ActionId, IncidentId};

use crate::{
    action::{ActionKind, ActionState, Command, Purpose, Reason},
    incident::Cause,
    journal::Record,
};

/// One thing to do. Outputs are carried out in order: a [`Command`] is sent only when every [`Record`] that came before it
/// is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write this to the journal, over what the journal has under the record's key.
    Journal(Record),
    /// Send this to the panel, after [`still_allowed`](crate::Decider::still_allowed) said yes; answer by
    /// [`Input::Outcome`](crate::Input::Outcome), always.
    Act(Command),
    /// Read the panel's state and answer by [`Input::Panel`](crate::Input::Panel) or
    /// [`Input::PanelDown`](crate::Input::PanelDown).
    ReadPanel,
    /// An incident took a step. For logs and counters; the state is in [`Decider::incident`](crate::Decider::incident).
    Incident {
        /// Which.
        incident: IncidentId,
        /// Its cause.
        cause: Cause,
        /// What happened.
        event: IncidentEvent,
    },
    /// An action took a step. For logs and counters; the state is in [`Decider::action`](crate::Decider::action).
    Action {
        /// Which.
        action: ActionId,
        /// What it is.
        kind: ActionKind,
        /// Where it stands since this step.
        state: ActionState,
        /// Why, in one sentence.
        detail: String,
    },
    /// An action was not made. Once for each purpose, kind and reason.
    Refused {
        /// What for.
        purpose: Purpose,
        /// What was not done; `None` where the cause has no remedy.
        kind: Option<ActionKind>,
        /// Why.
        reason: Reason,
    },
}

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentEvent {
    /// Its cause was named.
    Opened,
    /// Better evidence named another cause; the remedy starts afresh.
    Renamed,
    /// A person must look.
    Paged(Reason),
    /// It is over.
    Closed,
}
