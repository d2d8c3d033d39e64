//! The whole judgement: lineup, signals, causes and remedies, without a clock, a socket or a file.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod action;
mod decider;
pub mod incident;
mod input;
pub mod journal;
pub mod lineup;
mod output;
pub mod policy;
pub mod view;

pub use decider::Decider;
pub use input::{
    ChangedBy, Input, KillSwitch, OnAir, Outcome, PanelChannel, PanelRefusal, PanelServer,
    PanelState, ServerState,
};
pub use output::{IncidentEvent, Output};
pub use policy::{Guards, Mode, Policy, Scope};
