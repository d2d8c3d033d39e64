//! What is remembered, in the judgement and in its journal: all that still stands, and no more than a bound of the rest.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "ids and lineups of these tests are literals; a test fails by panicking"
)]

#[expect(dead_code, reason = "what only other tests need")]
#[path = "support/stage.rs"]
mod stage;

use std::time::Duration;

use stage::{Stage, platform, server};
use tallylight_decide::{
    Input, Mode, Outcome,
    action::{ActionKind, ActionState},
    incident::Step,
};
use tallylight_model::FaultKind;

use ActionKind::{DrainServer, SwitchSource, UndrainServer};

const HARD: FaultKind = FaultKind::NoData;

/// Channels whose two sources fail in turn every half minute, on a platform that does not hold back.
fn flapping(channels: usize) -> Stage {
    let mut parts = platform(channels, 2);
    parts.channels.iter_mut().flat_map(|it| &mut it.sources).for_each(|it| it.provider = None);
    let mut stage = Stage::new(parts, Mode::Auto);
    let guards = &mut stage.policy.guards;
    guards.storm_channels = channels;
    (guards.global_per_minute, guards.global_burst) = (6000, 1000);
    (guards.circuit_window, guards.circuit_open) = [Duration::from_secs(30); 2].into();
    guards.ready_clean = Duration::from_secs(10);
    guards.target_interval = Duration::from_secs(1);
    stage.tell(Input::Policy(Box::new(stage.policy.clone())));
    stage
}

fn flap(stage: &mut Stage, channels: usize, turns: usize) {
    for turn in 0..turns {
        let bad = if turn % 2 == 0 { "primary" } else { "backup" };
        stage.all_break((0..channels).map(|it| format!("c{it}/{bad}")), HARD, 10);
        stage.run(30);
    }
}

/// How many actions the journal holds.
fn remembered(stage: &Stage) -> usize {
    let records = stage.journal.values().filter(|(_, it)| !it.body.is_empty());
    records.filter(|(_, it)| it.key.starts_with("action/")).count()
}

#[test]
fn a_drain_that_stands_is_remembered_however_much_was_done_since() {
    let channels = 12;
    let mut stage = flapping(channels);
    stage.all_break((0..channels).map(|it| format!("c{it}/s0")), HARD, 60);
    stage.run(120);
    assert_eq!(stage.kinds(), [DrainServer]);
    flap(&mut stage, channels, 110);
    let switches = stage.kinds().iter().filter(|it| **it == SwitchSource).count();
    assert!(switches > 1200, "{switches}");
    let held = remembered(&stage);
    assert!((1000..1100).contains(&held), "{held}");
    stage.restart();
    assert_eq!(remembered(&stage), held);
    let drain = stage.decider.action(stage.sent[0].1.action).unwrap();
    assert_eq!((drain.kind, drain.state), (DrainServer, ActionState::Verified));
    stage.run(30);
    stage.tell(Input::Return { server: server("s0"), by: "ops".to_owned() });
    assert_eq!(stage.kinds().last(), Some(&UndrainServer));
}

#[test]
fn an_incident_that_does_not_end_is_remembered_within_bounds_and_with_its_end() {
    let mut stage = flapping(1);
    stage.refuses.insert(SwitchSource, Outcome::Failed("500".to_owned()));
    stage.breaks("c0/primary", HARD, 400);
    stage.run(400);
    let tried = stage.sent.len();
    assert!(tried > 300, "{tried}");
    stage.restart();
    stage.run(30);
    let incident = stage.incident("c0/primary");
    assert_eq!(incident.actions.len(), 256);
    assert_eq!(incident.actions.last(), stage.sent.last().map(|it| &it.1.action));
    assert!(incident.timeline.len() <= 64, "{}", incident.timeline.len());
    let last = incident.timeline.last().map(|it| &it.step);
    assert_eq!(last, Some(&Step::Closed));
    assert!(incident.refusals.len() <= 32);
}
