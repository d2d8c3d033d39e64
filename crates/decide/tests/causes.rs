//! Which cause is named, each by the story in which it would be easy to name another.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "ids and lineups of these tests are literals; a test fails by panicking"
)]

#[path = "support/stage.rs"]
#[expect(dead_code, reason = "what only other tests need")]
mod stage;

use stage::{Stage, platform};
use tallylight_decide::{ChangedBy, Mode, incident::Incident};
use tallylight_model::FaultKind;

const HARD: FaultKind = FaultKind::NoData;

/// All that was ever named, in order.
fn named(stage: &Stage) -> Vec<String> {
    let name = |it: &Incident| format!("{} {}", it.cause().name(), it.subject);
    stage.decider.incidents().map(name).collect()
}

#[test]
fn who_sees_a_bad_source_is_no_witness_at_fault_when_somebody_switches_to_it() {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    stage.breaks("c0/backup", HARD, 100);
    stage.run(30);
    stage.switch("c0/backup", ChangedBy::Operator);
    stage.run(20);
    assert_eq!(named(&stage), ["source c0/backup"]);
}

#[test]
fn who_is_denied_what_the_source_bears_out_is_no_witness_at_fault() {
    let mut stage = Stage::new(platform(1, 2), Mode::DryRun);
    stage.deaf = Some("b");
    stage.breaks("c0/primary", HARD, 60);
    stage.run(90);
    assert_eq!(named(&stage), ["source c0/primary"]);
}
