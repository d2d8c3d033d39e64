//! The whole judgement: lineup, signals, causes and remedies, without a clock, a socket or a file.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod action;
mod cause;
mod decider;
mod evidence;
mod facts;
mod guard;
pub mod incident;
mod input;
pub mod journal;
mod judge;
mod ledger;
pub mod lineup;
mod output;
pub mod policy;
mod remedy;
mod scene;
mod sight;
mod signal;
pub mod view;

pub use decider::Decider;
pub use input::{
    ChangedBy, Input, KillSwitch, OnAir, Outcome, PanelChannel, PanelRefusal, PanelServer,
    PanelState, ServerState,
};
pub use output::{IncidentEvent, Output};
pub use policy::{Guards, Mode, Policy, Scope};
