//! What is fuzzed. A target takes any bytes, makes of them what a hostile sender might send, and panics where a promise is broken:
//! that nothing panics, that it does not matter how bytes are cut, that counters and media time only grow, that what is kept is
//! bounded.
//!
//! `script/fuzz` runs one under libFuzzer. The inputs that it found worth keeping lie in `corpus/`, a folder for each target, and
//! run with the other tests.
#![forbid(unsafe_code)]

mod delivery;
mod input;
mod stream;
mod tables;

/// Takes any bytes; panics where a promise is broken.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("packets", stream::packets),
    ("tables", stream::tables),
    ("pes", stream::pes),
    ("access_units", stream::access_units),
    ("scte35", stream::scte35),
    ("rtp", delivery::rtp),
    ("playlist", delivery::playlist),
];

/// Returns the target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|(known, _)| *known == name).map(|(_, target)| target)
}

/// The names of all targets, for people.
#[must_use]
pub fn names() -> String {
    TARGETS.map(|(name, _)| name).join(", ")
}
