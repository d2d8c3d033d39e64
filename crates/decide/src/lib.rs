//! The whole judgement: from what agents say to what the panel is asked to do, without a clock, a socket or a file.
//!
//! ```text
//! Input -> facts -> scene -> causes -> incidents -> remedies -> guards -> Output
//!            \-> signals
//! ```
//!
//! - [`Decider`] has the one form of judging components here: `handle(now, Input)` never fails, whatever comes in; `poll`
//!   answers what to do; `deadline` says when to come back if nothing else happens.
//! - *Facts* are what is known. A *scene* is the facts at one moment with the votes counted. *Causes* are sets of streams that
//!   are measured against the scene. *Incidents* keep what they explain until it is good again. *Guards* are asked one by one
//!   before each action. What is decided follows from facts and from the ledger of incidents and actions, which the journal has,
//!   so that after a restart the same facts lead to the same place. The journal also has what nothing could be derived from:
//!   modes that persons set, times of maintenance, and changes of source that others made. Only moments from which a wait is
//!   counted (since when something is clean, is held back, gathers to a storm) are in neither: such a wait begins anew.
//! - A decision falls within the `handle` call that brought the evidence. The rejected alternative, a loop that judges twice a
//!   second, is simpler to reason about and costs a quarter of a second of every viewer's black screen.
//! - Every refusal is typed and kept: why nothing was done is as much a result as what was done.
//!
//! A new cause is a file in `cause/` and a line in its table; a new guard is a file in `guard/` and a line in its table.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod action;
mod cause;
mod decider;
mod echo;
mod evidence;
pub mod explain;
mod facts;
mod guard;
pub mod incident;
mod input;
pub mod journal;
mod judge;
mod ledger;
mod likeness;
pub mod lineup;
pub mod maintenance;
mod others;
mod output;
pub mod policy;
mod remedy;
mod scene;
pub mod shadow;
mod sight;
mod signal;
pub mod view;

pub use decider::Decider;
pub use input::{
    ChangedBy, Input, KillSwitch, OnAir, Outcome, PanelChannel, PanelEncoder, PanelRefusal,
    PanelRegion, PanelServer, PanelState, ServerState,
};
pub use others::{HandsOff, Other};
pub use output::{IncidentEvent, Output};
pub use policy::{Guards, Mode, Policy, Return, Scope};
pub use signal::{BUDGET_WINDOW, BurnWindow, Objectives};
