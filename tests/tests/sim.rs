//! The judgement in a simulated world: the right cause, the right action, and no rule broken on the way.
//!
//! Every run checks by itself, at each command, what must hold whatever went wrong: see `World::check_command`.

use std::{collections::BTreeSet, time::Duration};

use tallylight_decide::{
    Input, KillSwitch, Mode, Policy, Scope,
    action::{Action, ActionKind, ActionState, Feed, Reason},
    incident::Remedy,
};
use tallylight_tests::sim::{Manners, SHAPES, START, Shape, Story, World, platform};

/// Before anything goes wrong, so that backups are known to be ready.
const WARM_UP: Duration = Duration::from_secs(65);
/// From the first fault to the end.
const WATCHED: Duration = Duration::from_secs(150);
/// When the shape's fault is over but its incident is still open.
const FAULTY: Duration = Duration::from_secs(85);

fn world(seed: u64, shape: &Shape, segment: u64) -> World {
    // Faults begin anywhere within a second.
    let at = START + WARM_UP + Duration::from_millis(100 * (seed % 10));
    World::new(seed, platform::demo_lineup(), (shape.events)(at), segment)
}

#[expect(clippy::expect_used, reason = "a test asks for shapes by name")]
fn shape(name: &str) -> &'static Shape {
    SHAPES.iter().find(|it| it.name == name).expect("the shape is listed")
}

fn run(seed: u64, shape: &Shape, segment: u64) -> Story {
    let mut world = world(seed, shape, segment);
    world.run_for(WARM_UP + WATCHED);
    world.story()
}

fn kinds(story: &Story) -> Vec<ActionKind> {
    let mut kinds: Vec<_> = story.carried_out.iter().map(|it| it.kind).collect();
    kinds.sort();
    kinds
}

fn causes(story: &Story) -> BTreeSet<(String, String)> {
    let named = |it: &tallylight_decide::incident::Incident| {
        (it.cause().name().to_owned(), it.subject.to_string())
    };
    story.incidents.iter().map(named).collect()
}

fn check(name: &str, shape: &Shape, story: &Story) {
    let log = &story.log;
    let wanted: BTreeSet<(String, String)> =
        shape.truth.incidents.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect();
    assert_eq!(causes(story), wanted, "{name}: incidents\n{log}");
    assert_eq!(story.incidents.len(), wanted.len(), "{name}: one incident per cause\n{log}");
    let mut actions = shape.truth.actions.to_vec();
    actions.sort();
    assert_eq!(kinds(story), actions, "{name}: actions\n{log}");
    let paged = story.incidents.iter().find_map(|it| it.page).map(|it| it.name());
    assert_eq!(paged, shape.truth.paged, "{name}: page\n{log}");
    if let Some(reason) = shape.truth.refused {
        let refusals = story.incidents.iter().flat_map(|it| &it.refusals);
        let told: Vec<_> = refusals.map(|it| it.reason.name()).collect();
        assert!(told.contains(&reason), "{name}: {told:?}\n{log}");
    }
    for action in story.actions.iter().filter(|it| it.sent.is_some()) {
        assert_eq!(action.state, ActionState::Verified, "{name}: {action:?}\n{log}");
    }
    for incident in &story.incidents {
        assert!(incident.closed.is_some(), "{name}: {} stays open\n{log}", incident.subject);
    }
}

#[test]
fn every_shape_gets_its_cause_and_its_action() {
    for shape in SHAPES {
        for seed in 1..=4 {
            check(&format!("{} seed {seed}", shape.name), shape, &run(seed, shape, 2));
        }
    }
}

#[test]
fn long_segments_never_cause_a_second_switch() {
    for name in ["black", "stop", "loss", "hang", "segment-server-dies", "programme", "path-cut"] {
        for seed in 1..=3 {
            check(&format!("{name} seed {seed}"), shape(name), &run(seed, shape(name), 6));
        }
    }
}

#[test]
fn a_lossy_and_late_network_changes_no_cause_and_no_action() {
    for name in ["black", "stop", "hang", "server-dies", "region", "programme", "path-cut", "fade"]
    {
        for seed in 1..=3 {
            let mut world = world(seed, shape(name), 2).with_network(40, 400);
            world.run_for(WARM_UP + WATCHED);
            let story = world.story();
            check(&format!("{name} seed {seed}"), shape(name), &story);
        }
    }
}

#[test]
fn a_switch_is_decided_in_the_same_moment_as_its_evidence_and_helps() {
    let story = run(1, shape("black"), 2);
    let incident = story.incident("source", "one/primary").expect("the source is named");
    let at =
        |step| incident.at(step).unwrap_or_else(|| panic!("{step} in {:?}", incident.timeline));
    assert_eq!(at("located"), at("commanded"));
    // Black is held for 5 s; nothing is added to that but the way of the record.
    let took = at("commanded").since(at("onset"));
    assert!(took < Duration::from_millis(5200), "{took:?}");
    assert!(at("good") > at("done") && at("good") < at("verified"));
    assert_eq!(incident.remedy, Remedy::Done);
    assert!(!incident.evidence.is_empty() && !incident.vantage.is_empty());
    assert_eq!(incident.affected.len(), 2);
}

#[test]
fn a_crash_between_any_two_outputs_forgets_nothing_and_repeats_nothing() {
    for name in ["black", "hang", "server-dies", "backup-dead"] {
        let outputs = run(1, shape(name), 2).outputs;
        assert!(outputs > 5, "{name} has something to crash between");
        for after in 1..=outputs {
            let mut world = world(1, shape(name), 2).with_crash(after);
            world.run_for(WARM_UP + WATCHED + Duration::from_secs(60));
            let story = world.story();
            let log = &story.log;
            let case = format!("{name} crashed after {after}");
            let mut wanted = shape(name).truth.actions.to_vec();
            wanted.sort();
            assert_eq!(kinds(&story), wanted, "{case}\n{log}");
            for action in story.actions.iter().filter(|it| it.sent.is_some()) {
                assert!(action.state.is_final(), "{case}: {action:?}\n{log}");
            }
            let wanted: BTreeSet<(String, String)> = shape(name)
                .truth
                .incidents
                .iter()
                .map(|&(a, b)| (a.to_owned(), b.to_owned()))
                .collect();
            assert_eq!(causes(&story), wanted, "{case}\n{log}");
            let open: Vec<_> = story.incidents.iter().filter(|it| it.closed.is_none()).collect();
            assert!(open.is_empty(), "{case}: {open:?}\n{log}");
        }
    }
}

#[test]
fn a_panel_with_bad_manners_is_never_told_more_than_the_guards_allow() {
    let cases = [
        (Manners::Lies, "not_verified", Some("ladder_exhausted")),
        (Manners::Fails, "failed", None),
        (Manners::LosesAnswers, "verified", None),
        (Manners::LosesCommands, "failed", None),
    ];
    for (manners, state, page) in cases {
        for seed in 1..=2 {
            let at = START + WARM_UP;
            let primary = platform::Trouble::Source(
                platform::stream("one/primary"),
                tallylight_model::FaultKind::NoData,
            );
            let lasts =
                platform::Event { from: at, to: at + Duration::from_secs(900), what: primary };
            let mut world =
                World::new(seed, platform::demo_lineup(), vec![lasts], 2).with_manners(manners);
            world.run_for(WARM_UP + Duration::from_secs(280));
            let story = world.story();
            let log = &story.log;
            let first = story.actions.first().expect("an action was made");
            assert_eq!(first.state.name(), state, "{manners:?}\n{log}");
            let paged = story.incidents[0].page.map(|it| it.name());
            if page.is_some() {
                assert_eq!(paged, page, "{manners:?}\n{log}");
            }
            // Three failures open the circuit, and a person is called; a source without anything is left all the same, once
            // a minute.
            assert!(story.commanded.len() <= 5, "{manners:?}: {}\n{log}", story.commanded.len());
            if manners == Manners::Fails {
                assert_eq!(paged, Some("circuit_open"), "{log}");
            }
        }
    }
}

#[test]
fn nothing_is_sent_past_a_mode_or_the_kill_switch() {
    for (mode, refused) in [(Mode::Off, "mode_off"), (Mode::DryRun, "mode_dry_run")] {
        let mut policy = Policy::default();
        policy.modes.insert(Scope::Global, mode);
        let mut world = world(1, shape("stop"), 2).with_policy(policy);
        world.run_for(WARM_UP + WATCHED);
        let story = world.story();
        assert!(story.commanded.is_empty(), "{mode:?}\n{}", story.log);
        let told: Vec<_> = story.incidents[0].refusals.iter().map(|it| it.reason.name()).collect();
        assert!(told.contains(&refused), "{mode:?}: {told:?}");
        let proposed = story.actions.iter().filter(|it| it.state == ActionState::Proposed).count();
        assert_eq!(proposed, usize::from(mode == Mode::DryRun), "{mode:?}");
    }

    let mut world = world(1, shape("stop"), 2);
    world.tell(Input::KillSwitch(KillSwitch::Pulled));
    world.run_for(WARM_UP + Duration::from_secs(40));
    assert_eq!(world.decider().map(|it| it.actions().count()), Some(0));
    world.tell(Input::KillSwitch(KillSwitch::Released));
    let sent = world.decider().map(|it| it.actions().filter(|it| it.sent.is_some()).count());
    assert_eq!(sent, Some(1), "what is still wrong is acted on when the switch is released");
}

#[test]
fn a_stricter_region_holds_what_touches_its_viewers() {
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, Mode::Auto);
    policy.modes.insert(Scope::Region(platform::region("south")), Mode::DryRun);
    let mut world = world(1, shape("server-dies"), 2).with_policy(policy.clone());
    world.run_for(WARM_UP + FAULTY);
    assert_eq!(world.story().commanded.len(), 1, "n1 is in the north");
    let mut world = self::world(1, shape("stop"), 2).with_policy(policy);
    world.run_for(WARM_UP + FAULTY);
    assert_eq!(world.story().commanded.len(), 0, "the channel has viewers in the south");
}

#[test]
fn an_approval_is_asked_of_every_guard_again_and_then_sends() {
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, Mode::Approve);
    let mut world = world(1, shape("stop"), 2).with_policy(policy);
    world.run_for(WARM_UP + Duration::from_secs(20));
    let waiting = world
        .decider()
        .and_then(|it| it.actions().find(|it| it.state == ActionState::Waiting))
        .expect("the switch waits")
        .id;
    world.tell(Input::KillSwitch(KillSwitch::Pulled));
    world.tell(Input::Approve { action: waiting, by: "ops".to_owned() });
    let state =
        |world: &World| world.decider().and_then(|it| it.action(waiting)).map(|it| it.state);
    assert_eq!(state(&world), Some(ActionState::Waiting), "the kill switch holds it");
    world.tell(Input::KillSwitch(KillSwitch::Released));
    world.tell(Input::Approve { action: waiting, by: "ops".to_owned() });
    assert_eq!(state(&world), Some(ActionState::Sent));
    world.run_for(Duration::from_secs(60));
    assert_eq!(state(&world), Some(ActionState::Verified));
}

#[test]
fn what_waits_for_approval_is_withdrawn_when_its_reason_goes_away() {
    let mut world = world(2, shape("region"), 2);
    world.run_for(WARM_UP + WATCHED);
    let story = world.story();
    let moves: Vec<_> = story.actions.iter().map(|it| (it.kind, it.state)).collect();
    assert_eq!(moves, [(ActionKind::RegionMove, ActionState::Withdrawn)], "{}", story.log);
}

/// A world that runs until the move of the south waits for a person, and the move.
#[expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]
fn waiting_move(seed: u64, more: Vec<platform::Event>) -> (World, Action) {
    let mut events = (shape("region").events)(START + WARM_UP);
    events.extend(more);
    let mut world = World::new(seed, platform::demo_lineup(), events, 2);
    world.run_for(WARM_UP + Duration::from_secs(15));
    let action = world.decider().and_then(|it| it.actions().next().cloned());
    let action = action.expect("the move waits");
    assert_eq!((action.kind, action.state), (ActionKind::RegionMove, ActionState::Waiting));
    (world, action)
}

#[expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]
fn approve(world: &mut World, action: &Action) -> Action {
    world.tell(Input::Approve { action: action.id, by: "ops".to_owned() });
    world.decider().and_then(|it| it.action(action.id)).cloned().expect("it is still known")
}

fn region(id: &str) -> Option<Feed> {
    Some(Feed::Region(platform::region(id)))
}

#[test]
fn an_approved_move_names_both_regions_and_is_verified_by_what_viewers_get_there() {
    for seed in 1..=3 {
        let (mut world, waiting) = waiting_move(seed, Vec::new());
        assert_eq!((&waiting.from, &waiting.to), (&region("south"), &region("north")));
        assert_eq!(approve(&mut world, &waiting).state, ActionState::Sent);
        world.run_for(Duration::from_secs(12));
        let state = |world: &World| world.decider()?.action(waiting.id).map(|it| it.state);
        assert_eq!(state(&world), Some(ActionState::Verifying), "good media takes its time");
        world.run_for(WATCHED);
        let story = world.story();
        let log = &story.log;
        assert_eq!(kinds(&story), [ActionKind::RegionMove], "{log}");
        let sent = &story.carried_out[0];
        assert_eq!((&sent.from, &sent.to), (&region("south"), &region("north")), "{log}");
        assert_eq!(story.actions.last().map(|it| it.state), Some(ActionState::Verified), "{log}");
        let incident = story.incident("region", "south").expect("the region is named");
        assert_eq!(incident.remedy, Remedy::Done, "{log}");
    }
}

#[test]
fn a_move_is_not_believed_where_the_panel_moved_nobody() {
    for (manners, state) in [
        (Manners::Lies, ActionState::NotVerified),
        (Manners::LosesAnswers, ActionState::Verified),
        (Manners::LosesCommands, ActionState::Failed),
    ] {
        let (mut world, waiting) = waiting_move(1, Vec::new());
        world.panel.manners = manners;
        approve(&mut world, &waiting);
        world.run_for(Duration::from_secs(90));
        let story = world.story();
        assert_eq!(story.actions[0].state, state, "{manners:?}\n{}", story.log);
    }
}

#[test]
fn nobody_is_moved_to_a_region_that_is_bad_or_full() {
    let at = START + WARM_UP;
    let for_long = |what| platform::Event { from: START, to: at + WATCHED, what };
    let mut watched = platform::demo_parts();
    watched.agents.push(tallylight_decide::lineup::Agent {
        node: platform::node("n1"),
        region: platform::region("north"),
        path: "rack-n".to_owned(),
    });
    let cases = [
        ("lossy", platform::Trouble::Lossy(platform::region("north"))),
        ("one server dead", platform::Trouble::Dead(platform::server("n1"))),
        ("one server full", platform::Trouble::Busy(platform::node("n1"))),
        ("unseen", platform::Trouble::Mute(platform::node("north-a"))),
    ];
    for (name, what) in cases {
        let mut events = (shape("region").events)(at);
        events.push(for_long(what));
        let full = name == "one server full";
        let parts = if full { watched.clone() } else { platform::demo_parts() };
        let lineup = tallylight_decide::lineup::Lineup::new(parts).expect("the lineup is whole");
        let mut policy = Policy::default();
        policy.modes.insert(Scope::Global, Mode::Auto);
        // A server that is drained is no part of its region.
        policy.modes.insert(Scope::Action(ActionKind::DrainServer), Mode::Off);
        let mut world = World::new(1, lineup, events, 2).with_policy(policy);
        world.run_for(WARM_UP + Duration::from_secs(30));
        let story = world.story();
        let incident = story.incident("region", "south").expect("the region is named");
        let told: Vec<_> = incident.refusals.iter().map(|it| it.reason.name()).collect();
        assert!(told.contains(&"no_destination"), "{name}: {told:?}\n{}", story.log);
        assert_eq!(incident.page.map(|it| it.name()), Some("no_destination"), "{name}");
        assert!(incident.actions.is_empty(), "{name}\n{}", story.log);
    }
}

#[test]
fn an_approval_comes_too_late_when_the_destination_has_gone_bad_meanwhile() {
    let north = platform::Trouble::Lossy(platform::region("north"));
    let from = START + WARM_UP + Duration::from_secs(20);
    let lossy = platform::Event { from, to: from + WATCHED, what: north };
    let (mut world, waiting) = waiting_move(1, vec![lossy]);
    world.run_for(Duration::from_secs(20));
    assert_eq!(approve(&mut world, &waiting).state, ActionState::Waiting);
    let story = world.story();
    let incident = story.incident("region", "south").expect("the region is named");
    assert!(incident.refusals.iter().any(|it| it.reason == Reason::NoDestination));
    assert!(story.commanded.is_empty(), "{}", story.log);
}

#[test]
fn a_restart_gives_back_every_incident_and_action_as_it_was() {
    for name in ["black", "region", "programme", "backup-dead", "path-cut", "server-dies"] {
        let mut world = world(3, shape(name), 2);
        // An incident that is open, and later one that is closed.
        for span in [WARM_UP + Duration::from_secs(60), Duration::from_secs(100)] {
            world.run_for(span);
            let before = world.decider().expect("nothing crashed");
            let after = world.remembered();
            assert!(before.incidents().count() > 0, "{name}");
            assert!(before.incidents().eq(after.incidents()), "{name}");
            assert!(before.actions().eq(after.actions()), "{name}");
        }
    }
}

#[test]
fn many_broken_channels_are_mended_within_the_budget() {
    let names: Vec<String> = (1..=12).map(|it| format!("c{it}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lineup = tallylight_decide::lineup::Lineup::new(platform::parts(&names));
    let at = START + WARM_UP;
    let hang = |name: &&str| platform::Event {
        from: at,
        to: at + Duration::from_secs(600),
        what: platform::Trouble::Hang(platform::channel(name)),
    };
    let events = names[..8].iter().map(hang).collect();
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, Mode::Auto);
    // So many at once would be a storm.
    policy.guards.storm_channels = 100;
    let mut world =
        World::new(5, lineup.expect("the lineup is whole"), events, 2).with_policy(policy);
    world.run_for(WARM_UP + Duration::from_secs(120));
    let story = world.story();
    assert_eq!(story.incidents.len(), 8, "{}", story.log);
    assert_eq!(kinds(&story), [ActionKind::RestartStream; 8], "{}", story.log);
    let first = story.commanded[0].0;
    let at_once = story.commanded.iter().filter(|it| it.0.since(first) < Duration::from_secs(5));
    assert_eq!(at_once.count(), 5, "the budget held the others\n{}", story.log);
    let told = story.incidents.iter().flat_map(|it| &it.refusals);
    assert!(told.into_iter().any(|it| it.reason.name() == "global_rate"));
}

#[test]
fn two_regions_that_break_and_a_person_who_closes_are_two_incidents_and_stay_apart() {
    let at = START + WARM_UP;
    let lossy = |id| platform::Event {
        from: at,
        to: at + Duration::from_secs(60),
        what: platform::Trouble::Lossy(platform::region(id)),
    };
    let events = vec![lossy("north"), lossy("south")];
    let mut world = World::new(1, platform::demo_lineup(), events, 2);
    world.run_for(WARM_UP + Duration::from_secs(30));
    let open: Vec<_> =
        world.decider().into_iter().flat_map(|it| it.incidents()).map(|it| it.id).collect();
    assert_eq!(open.len(), 2);
    world.tell(Input::Close { incident: open[0], by: "ops".to_owned() });
    assert!(world.incident(open[0]).is_some_and(|it| it.closed.is_some()));
    assert!(world.incident(open[1]).is_some_and(|it| it.closed.is_none()));
}
