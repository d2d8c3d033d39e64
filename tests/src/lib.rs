//! The synthetic world that Tallylight is tested on.
#![forbid(unsafe_code)]

pub mod bench;
pub mod corpus;
pub mod demo;
pub mod panel;
pub mod sim;
pub mod world;
