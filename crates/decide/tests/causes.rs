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
use tallylight_model::{FaultKind, NodeId};

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
    assert_eq!(stage.kinds(), [SwitchSource, RestartStream], "neither source reaches viewers");
    assert!(stage.incident("c0/primary").closed.is_some(), "it is good, and was left alone");
}

#[test]
fn packets_lost_on_the_way_are_one_incident_with_the_counters_that_show_it() {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    stage.breaks_for("head", "c0/primary", FaultKind::RtpLoss, 60);
    stage.run(1);
    stage.breaks("c0/primary", FaultKind::Continuity, 59);
    stage.run(20);
    assert_eq!(named(&stage), ["source c0/primary"]);
    assert_eq!(stage.kinds(), [SwitchSource]);
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

#[test]
fn a_second_cause_is_no_new_name_of_the_first() {
    let mut stage = Stage::new(platform(4, 2), Mode::DryRun);
    stage.breaks("c0/s0", HARD, 60);
    stage.run(15);
    stage.breaks("c0/primary", HARD, 60);
    stage.run(30);
    assert_eq!(named(&stage), ["processing c0", "source c0/primary"]);
}

#[test]
fn what_breaks_after_a_channel_left_its_source_is_not_that_sources() {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    stage.breaks("c0/primary", HARD, 300);
    stage.run(8);
    assert_eq!(stage.kinds(), [SwitchSource]);
    stage.all_break(["c0/s0", "c0/s1"].map(str::to_owned), FaultKind::NoVideo, 30);
    stage.run(60);
    assert_eq!(named(&stage), ["source c0/primary", "processing c0"]);
}

#[test]
fn what_another_cause_explains_speaks_for_no_second_one() {
    let mut parts = platform(2, 2);
    parts.channels[1].deliveries.remove(1);
    let mut stage = Stage::new(parts, Mode::Auto);
    stage.all_break(["c0/s0", "c1/s0"].map(str::to_owned), HARD, 100);
    stage.run(12);
    assert_eq!(stage.kinds(), [ActionKind::DrainServer]);
    stage.breaks("c0/s1", HARD, 100);
    stage.run(20);
    assert_eq!(named(&stage), ["server s0", "server s1"]);
}

#[test]
fn sources_of_a_provider_that_fail_within_seconds_are_named_once() {
    let mut parts = platform(8, 2);
    for source in parts.channels[4..].iter_mut().flat_map(|it| &mut it.sources) {
        source.provider = None;
    }
    let mut stage = Stage::new(parts, Mode::DryRun);
    for channel in ["c0", "c1", "c2", "c3"] {
        stage.breaks(&format!("{channel}/primary"), HARD, 60);
        stage.run(1);
    }
    stage.run(20);
    assert_eq!(named(&stage), ["provider sat-a"]);
}

#[test]
fn a_server_is_not_relieved_onto_one_that_is_as_bad() {
    let mut stage = Stage::new(platform(6, 2), Mode::Auto);
    stage.all_break((0..6).map(|it| format!("c{it}/s0")), HARD, 60);
    stage.all_break((0..4).map(|it| format!("c{it}/s1")), HARD, 60);
    stage.run(40);
    assert_eq!(stage.kinds(), [], "two of six channels are well there");
}

#[test]
fn what_comes_and_goes_is_no_reason_to_drain_a_server() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    stage.all_break(["c0/s0", "c0/s1"].map(str::to_owned), HARD, 10);
    stage.run(10);
    for _ in 0..30 {
        stage.breaks("c0/s0", HARD, 5);
        stage.run(4);
        stage.breaks("c0/s1", HARD, 5);
        stage.run(4);
    }
    assert!(stage.kinds().contains(&RestartStream), "{:?}", stage.kinds());
    assert!(!stage.kinds().contains(&ActionKind::DrainServer), "{:?}", stage.kinds());
}

#[test]
fn who_calls_a_source_bad_is_not_outvoted_before_deliveries_can_bear_it_out() {
    let mut parts = platform(1, 2);
    let mut second = parts.agents[0].clone();
    (second.node, second.path) = (NodeId::new("deaf").unwrap(), "deaf".to_owned());
    parts.agents.push(second);
    parts.channels[0].deliveries.iter_mut().for_each(|it| it.delay = Duration::from_secs(30));
    let mut stage = Stage::new(parts, Mode::DryRun);
    stage.deaf = Some("deaf");
    stage.breaks_for("head", "c0/primary", FaultKind::NoVideo, 60);
    stage.run(25);
    assert_eq!(named(&stage), <Vec<String>>::new());
    stage.run(30);
    assert_eq!(named(&stage), ["probe head"], "nothing bears it out");
}

#[test]
fn who_see_one_servers_streams_stall_one_by_one_are_no_witnesses_at_fault() {
    let mut stage = Stage::new(platform(6, 2), Mode::DryRun);
    stage.breaks_for("a", "c0/s0", HARD, 90);
    stage.breaks_for("b", "c1/s0", HARD, 90);
    stage.run(40);
    assert_eq!(named(&stage), <Vec<String>>::new(), "each bears out the other");
    stage.breaks_for("a", "c2/s1", HARD, 60);
    stage.run(30);
    assert_eq!(named(&stage), ["probe a"], "nobody else sees anything wrong on this one");
}

#[test]
fn one_channel_bad_on_every_server_is_no_agents_own_way() {
    let mut stage = Stage::new(platform(6, 2), Mode::DryRun);
    stage.all_break(["c0/s0", "c0/s1"].map(str::to_owned), HARD, 60);
    stage.deaf = Some("b");
    stage.run(7);
    assert_eq!(named(&stage), <Vec<String>>::new());
    stage.run(13);
    assert_eq!(named(&stage), ["probe a"]);
}
