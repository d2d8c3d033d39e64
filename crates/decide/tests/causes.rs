//! Which cause is named, each by the story in which it would be easy to name another.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "ids and lineups of these tests are literals; a test fails by panicking"
)]

use std::time::Duration;

#[path = "support/stage.rs"]
#[expect(dead_code, reason = "what only other tests need")]
mod stage;

use stage::{Stage, platform, server};
use tallylight_decide::{
    ChangedBy, Mode,
    action::ActionKind,
    incident::{Incident, Subject},
};
use tallylight_model::FaultKind;

use ActionKind::{RestartStream, SwitchSource};

const HARD: FaultKind = FaultKind::NoData;

/// All that was ever named, in order.
fn named(stage: &Stage) -> Vec<String> {
    let name = |it: &Incident| format!("{} {}", it.cause().name(), it.subject);
    stage.decider.incidents().map(name).collect()
}

#[test]
fn a_hang_after_a_glitch_of_the_source_is_named_and_mended_when_the_switch_did_not_help() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    stage.breaks("c0/primary", HARD, 2);
    stage.all_break(["c0/s0", "c0/s1"].map(str::to_owned), HARD, 300);
    stage.run(240);
    assert_eq!(named(&stage), ["source c0/primary", "processing c0"]);
    assert_eq!(stage.kinds(), [SwitchSource, SwitchSource, RestartStream]);
    assert!(stage.incident("c0/primary").closed.is_some(), "it is good, and was left alone");
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
fn a_provider_is_named_where_nobody_watches_its_sources() {
    let mut parts = platform(3, 2);
    parts.agents.retain(|it| it.node.as_str() != "head");
    parts.channels[2].sources.reverse();
    let mut stage = Stage::new(parts, Mode::Auto);
    stage.all_break(["c0/primary", "c1/primary"].map(str::to_owned), HARD, 60);
    stage.run(60);
    assert_eq!(named(&stage), ["provider sat-a"]);
    assert_eq!(stage.kinds(), [], "no backup is known to be ready");
}

#[test]
fn who_is_denied_what_the_source_bears_out_is_no_witness_at_fault() {
    let mut stage = Stage::new(platform(1, 2), Mode::DryRun);
    stage.deaf = Some("b");
    stage.breaks("c0/primary", HARD, 60);
    stage.run(90);
    assert_eq!(named(&stage), ["source c0/primary"]);
}

#[test]
fn channels_that_fail_on_one_server_one_by_one_are_that_servers() {
    let mut stage = Stage::new(platform(8, 2), Mode::DryRun);
    for channel in ["c0", "c3", "c5"] {
        stage.breaks(&format!("{channel}/s0"), HARD, 60);
        stage.run(4);
    }
    let still = |it: &&Incident| it.closed.is_none();
    let open: Vec<_> = stage.decider.incidents().filter(still).map(|it| &it.subject).collect();
    assert_eq!(open, [&Subject::Server(server("s0"))]);
}

#[test]
fn channels_that_fail_on_different_servers_are_no_regions() {
    let mut stage = Stage::new(platform(4, 2), Mode::DryRun);
    stage.breaks("c0/s0", HARD, 60);
    stage.run(4);
    stage.breaks("c1/s1", HARD, 60);
    stage.run(20);
    assert_eq!(named(&stage), ["processing c0", "processing c1"]);
}

#[test]
fn a_channel_is_not_named_before_it_could_be_seen_elsewhere() {
    let mut parts = platform(8, 2);
    parts.channels.iter_mut().for_each(|it| it.deliveries[1].delay = Duration::from_secs(6));
    let mut stage = Stage::new(parts, Mode::DryRun);
    for channel in ["c0", "c3", "c5"] {
        stage.breaks(&format!("{channel}/s0"), HARD, 60);
        stage.run(1);
    }
    stage.run(20);
    assert_eq!(named(&stage), ["server s0"]);
}

#[test]
fn channels_that_fail_together_on_the_only_server_that_anybody_sees_are_that_servers() {
    let mut stage = Stage::new(platform(6, 1), Mode::Auto);
    stage.all_break((0..3).map(|it| format!("c{it}/s0")), HARD, 60);
    stage.run(20);
    assert_eq!(named(&stage), ["server s0"]);
    assert_eq!(stage.kinds(), [], "half of it is good");
}
