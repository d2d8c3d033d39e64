//! Which rung of a remedy's ladder is tried, when the next one is, and what must hold for each, by the story that needs it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "ids and lineups of these tests are literals; a test fails by panicking"
)]

#[path = "support/stage.rs"]
mod stage;

use std::time::Duration;

use stage::{Stage, at, platform, server};
use tallylight_decide::{
    Input, Mode, Outcome, Scope,
    action::{ActionKind, ActionState, Reason},
    lineup::{Encoder, Parts},
    shadow::Verdict,
};
use tallylight_model::{EncoderId, FaultKind, Ratio};

use ActionKind::{DrainServer, RestartService, RestartStream, ReturnServer, SwitchSource};

const HARD: FaultKind = FaultKind::NoData;

/// As [`platform`], with these channels on the first server alone.
fn on_one_server(channels: usize, servers: usize, alone: &[usize]) -> Parts {
    let mut parts = platform(channels, servers);
    for &channel in alone {
        parts.channels[channel].deliveries.truncate(1);
    }
    parts
}

/// Four channels on two servers; three of them break on the first, and the fourth is on no other.
fn with_one_alone(prepare: impl FnOnce(&mut Stage)) -> Stage {
    let mut stage = Stage::new(on_one_server(4, 2, &[3]), Mode::Auto);
    prepare(&mut stage);
    stage.all_break((0..3).map(|it| format!("c{it}/s0")), HARD, 300);
    stage.run(60);
    stage
}

#[test]
fn a_drain_takes_no_channel_from_viewers_who_may_have_it() {
    // Witnesses disagree about it.
    let disputed = with_one_alone(|stage| stage.breaks_for("a", "c3/s0", HARD, 300));
    assert_eq!(disputed.kinds(), []);
    assert!(disputed.refused("s0").contains(&"no_survivor"));
    // Nobody watches it, and of what is watched something is well.
    let mut stage = Stage::new(on_one_server(5, 2, &[3]), Mode::Auto);
    stage.unseen.insert("c3/s0".to_owned());
    stage.run(20);
    stage.all_break((0..3).map(|it| format!("c{it}/s0")), HARD, 300);
    stage.run(60);
    assert_eq!(stage.kinds(), []);
    assert!(stage.refused("s0").contains(&"no_survivor"));
}

#[test]
fn a_server_that_is_dead_is_drained_although_nobody_watches_one_of_its_channels() {
    let stage = with_one_alone(|stage| {
        stage.unseen.insert("c3/s0".to_owned());
        stage.run(20);
    });
    assert_eq!(stage.kinds(), [DrainServer]);
}

#[test]
fn a_dead_server_that_alone_carries_a_channel_is_brought_back_when_it_is_well() {
    for alone in [true, false] {
        let mut stage = Stage::new(on_one_server(4, 2, if alone { &[3] } else { &[] }), Mode::Auto);
        stage.knows_shares = true;
        let begin = stage.second;
        stage.all_break((0..4).map(|it| format!("c{it}/s0")), HARD, 60);
        stage.run(115);
        assert_eq!(stage.kinds(), [DrainServer], "it may not have come to stay");
        stage.run(300);
        let back = [DrainServer, ReturnServer, ReturnServer, ReturnServer];
        assert_eq!(stage.kinds(), if alone { &back[..] } else { &back[..1] });
        assert!(!alone || (120..130).contains(&(stage.sent[1].0 - begin)));
    }
}

#[test]
fn a_drain_that_helps_nobody_is_not_made() {
    // What is bad is nowhere else; what is elsewhere too is good here.
    let alone: Vec<usize> = (0..10).collect();
    let mut stage = Stage::new(on_one_server(11, 2, &alone), Mode::Auto);
    stage.all_break((0..10).map(|it| format!("c{it}/s0")), HARD, 300);
    stage.run(60);
    assert_eq!(stage.kinds(), []);
    assert!(stage.refused("s0").contains(&"no_survivor"));
}

#[test]
fn what_the_panel_does_not_carry_out_is_given_up_for_the_next_rung() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    stage.refuses.insert(DrainServer, Outcome::Failed("404".to_owned()));
    stage.restartable.insert("s0");
    stage.all_break((0..2).map(|it| format!("c{it}/s0")), HARD, 400);
    stage.run(70);
    assert_eq!(stage.kinds(), [DrainServer; 2]);
    assert_eq!(stage.incident("s0").page, Some(Reason::PanelFails), "people are called");
    stage.restart();
    stage.run(250);
    assert_eq!(stage.kinds(), [DrainServer, DrainServer, RestartService]);
}

#[test]
fn no_channel_is_put_on_a_source_that_begins_to_fail() {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    stage.flicker.insert("c0/backup");
    stage.breaks("c0/primary", HARD, 100);
    stage.run(5);
    assert_eq!(stage.kinds(), []);
    assert!(stage.refused("c0/primary").contains(&"backup_unproven"));
    stage.flicker.clear();
    stage.run(2);
    assert_eq!(stage.kinds(), [SwitchSource]);
}

#[test]
fn a_switch_off_a_broken_source_is_tried_on() {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    stage.refuses.insert(SwitchSource, Outcome::Failed("404".to_owned()));
    stage.breaks("c0/primary", HARD, 400);
    stage.run(250);
    assert_eq!(stage.kinds(), [SwitchSource; 5]);
    assert_eq!(stage.incident("c0/primary").page, Some(Reason::CircuitOpen));
}

#[test]
fn a_rung_that_an_open_circuit_bars_gives_way_to_one_that_touches_something_else() {
    let mut stage = Stage::new(platform(2, 4), Mode::Auto);
    let all = || (0..4).map(|it| format!("c0/s{it}"));
    for _ in 0..4 {
        stage.all_break(all(), HARD, 20);
        stage.run(100);
    }
    assert_eq!(stage.kinds(), [RestartStream; 4], "each helps, and does not last");
    stage.all_break(all().take(3), HARD, 300);
    stage.breaks("c0/s3", HARD, 20);
    stage.run(15);
    assert_eq!(stage.kinds(), [RestartStream; 4], "nobody can be moved yet");
    assert_eq!(stage.incident("c0").page, Some(Reason::CircuitOpen), "people are called");
    stage.run(60);
    assert_eq!(stage.kinds().last(), Some(&DrainServer));
}

#[test]
fn what_was_held_back_on_its_way_is_tried_again_soon_and_not_at_once() {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    stage.held_back = 2;
    stage.breaks("c0/primary", HARD, 100);
    let begin = stage.second;
    stage.run(45);
    assert_eq!(stage.kinds(), [SwitchSource]);
    let decided: Vec<_> = stage.decider.actions().map(|it| it.decided).collect();
    let apart: Vec<_> = decided.windows(2).map(|it| it[1].since(it[0]).as_secs()).collect();
    assert_eq!(apart, [10, 10]);
    assert!(stage.sent[0].0 < begin + 30);
}

/// Seven of forty channels lose their sources at once; after how many seconds something was decided about each.
fn seven_at_once(mode: Mode) -> (Stage, Vec<u64>) {
    let mut parts = platform(40, 2);
    parts.channels.iter_mut().flat_map(|it| &mut it.sources).for_each(|it| it.provider = None);
    let mut stage = Stage::new(parts, mode);
    let begin = at(stage.second);
    stage.all_break((0..7).map(|it| format!("c{it}/primary")), HARD, 100);
    stage.run(40);
    let decided = stage.decider.actions().map(|it| it.decided.since(begin).as_secs()).collect();
    (stage, decided)
}

#[test]
fn what_would_be_done_uses_up_budgets_as_if_it_were_done_and_none_of_what_is() {
    let (done, would) = (seven_at_once(Mode::Auto), seven_at_once(Mode::DryRun));
    assert_eq!(done.1.len(), 7);
    assert!(done.1[4] < done.1[5] && done.1[5] < done.1[6], "{:?}", done.1);
    assert_eq!(done.1, would.1);
    let mut stage = would.0;
    assert_eq!(stage.kinds(), []);
    stage.tell(Input::SetMode { scope: Scope::Global, mode: Mode::Auto, by: "ops".to_owned() });
    assert_eq!(stage.kinds(), [SwitchSource; 5]);
}

/// A channel that is bad on four servers; a restart brings it back on the last alone.
fn half_restarted(isolated_share: f64) -> Stage {
    let mut stage = Stage::new(platform(2, 4), Mode::Auto);
    stage.policy.guards.isolated_share = Ratio::new(isolated_share);
    stage.policy.guards.healthy_share = Ratio::new(0.1);
    stage.tell(Input::Policy(Box::new(stage.policy.clone())));
    stage.all_break((0..3).map(|it| format!("c0/s{it}")), HARD, 600);
    stage.breaks("c0/s3", HARD, 20);
    stage.run(300);
    stage
}

#[test]
fn a_drain_that_helped_viewers_of_one_server_leaves_those_of_the_others_to_be_helped() {
    let stage = half_restarted(0.75);
    assert_eq!(stage.kinds(), [RestartStream, DrainServer, DrainServer, DrainServer]);
    let bounded = half_restarted(0.1);
    assert_eq!(bounded.kinds(), [RestartStream, DrainServer]);
    assert_eq!(bounded.incident("c0").page, Some(Reason::IsolationBudget), "people are called");
}

#[test]
fn a_drain_has_helped_when_nobody_is_left_but_agents() {
    // Two agents with a session on each of ten deliveries, and some fresh joins.
    for (sessions, expected) in [(28, ActionState::Verified), (29, ActionState::NotVerified)] {
        let mut stage = Stage::new(platform(10, 2), Mode::Auto);
        stage.sessions.insert(server("s0"), sessions);
        stage.all_break((0..10).map(|it| format!("c{it}/s0")), HARD, 300);
        stage.run(80);
        assert_eq!(stage.kinds(), [DrainServer]);
        let drain = stage.decider.action(stage.sent[0].1.action).unwrap();
        assert_eq!(drain.state, expected, "{sessions}");
    }
}

#[test]
fn a_restart_of_a_service_is_worth_what_was_left_and_only_of_what_it_restarts() {
    let mut parts = platform(3, 2);
    let encoder = EncoderId::new("e0").unwrap();
    parts.encoders.push(Encoder { id: encoder.clone() });
    for channel in &mut parts.channels[..2] {
        channel.encoder = Some(encoder.clone());
    }
    let mut stage = Stage::new(parts, Mode::DryRun);
    stage.restartable.insert("e0");
    let all = (0..2).flat_map(|it| [format!("c{it}/s0"), format!("c{it}/s1")]);
    stage.all_break(all, HARD, 40);
    stage.run(80);
    let incident = stage.incident("e0");
    let proposed = stage.decider.action(incident.actions[0]).unwrap();
    assert_eq!(proposed.kind, RestartService);
    let worth = stage.decider.worth(proposed.id).unwrap();
    let total = worth.total();
    assert!(total.left > Duration::from_secs(50), "of two channels: {total:?}");
    assert_eq!((total.gained, total.spoiled), (Duration::ZERO, Duration::ZERO));
    assert_eq!(worth.verdict, Verdict::Unjudged);
}
