//! Traps for the judgement in the simulated world: what looks like a reason to act and is none, and what must not keep it
//! from acting.
//!
//! Every run checks by itself, at each command, what must hold whatever went wrong: see `World::check_command`.

use std::time::Duration;

use tallylight_decide::{
    Input, Mode, OnAir, Policy, Return, Scope,
    action::{Action, ActionKind, ActionState},
    incident::Remedy,
    lineup::{Encoder, Lineup, Parts, SingleWitness, Source, SourceRole},
};
use tallylight_model::{FaultKind, MonoTime, RegionId};
use tallylight_tests::sim::{
    START, Story, World,
    platform::{Event, Trouble, channel, demo_parts, encoder, node, parts, region, server, stream},
};

/// When things go wrong: late enough for backups to be known to be ready.
const WARM_UP: Duration = Duration::from_secs(65);

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

/// Something that is wrong from so many seconds after the warm-up for so many.
fn trouble(from: f64, lasts: f64, what: Trouble) -> Event {
    let from = START + secs(WARM_UP.as_secs_f64() + from);
    Event { from, to: from + secs(lasts), what }
}

fn source(id: &str, kind: FaultKind) -> Trouble {
    Trouble::Source(stream(id), kind)
}

#[expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]
fn world_of(seed: u64, parts: Parts, events: Vec<Event>) -> World {
    World::new(seed, Lineup::new(parts).expect("the lineup is whole"), events, 2)
}

fn world(seed: u64, events: Vec<Event>) -> World {
    world_of(seed, demo_parts(), events)
}

fn run(mut world: World, watched: f64) -> Story {
    world.run_for(WARM_UP + secs(watched));
    world.story()
}

fn kinds(story: &Story) -> Vec<ActionKind> {
    story.carried_out.iter().map(|it| it.kind).collect()
}

fn causes(story: &Story) -> Vec<String> {
    let named = |it: &tallylight_decide::incident::Incident| {
        format!("{} {}", it.cause().name(), it.subject)
    };
    story.incidents.iter().map(named).collect()
}

fn refusals(story: &Story) -> Vec<&'static str> {
    story.incidents.iter().flat_map(|it| &it.refusals).map(|it| it.reason.name()).collect()
}

fn pages(story: &Story) -> Vec<&'static str> {
    story.incidents.iter().filter_map(|it| it.page).map(|it| it.name()).collect()
}

/// The demo's platform with every delivery this late.
fn late_parts(delay: Duration) -> Parts {
    let mut parts = demo_parts();
    for delivery in parts.channels.iter_mut().flat_map(|it| &mut it.deliveries) {
        delivery.delay = delay;
    }
    parts
}

/// One region with everything in it and one agent.
fn small_parts(servers: &[&str], witness: SingleWitness) -> Parts {
    let mut parts = demo_parts();
    let home = region("home");
    parts.regions = vec![tallylight_decide::lineup::Region { id: home.clone() }];
    parts.agents.truncate(1);
    parts.agents[0].region = home.clone();
    parts.servers.retain(|it| servers.contains(&it.id.as_str()));
    let set = |it: &mut RegionId| it.clone_from(&home);
    parts.servers.iter_mut().for_each(|it| set(&mut it.region));
    for channel in &mut parts.channels {
        channel.single_witness = witness;
        channel.sources.iter_mut().for_each(|it| set(&mut it.region));
        channel.deliveries.retain(|it| servers.contains(&it.server.as_str()));
    }
    parts
}

/// The demo's platform with these channels on one encoder.
fn encoder_parts(channels: &[&str]) -> Parts {
    let mut parts = demo_parts();
    let encoder = encoder("rack");
    parts.encoders = vec![Encoder { id: encoder.clone() }];
    for channel in parts.channels.iter_mut().filter(|it| channels.contains(&it.id.as_str())) {
        channel.encoder = Some(encoder.clone());
    }
    parts
}

#[test]
fn channels_of_one_encoder_that_fail_together_are_one_incident() {
    let hang = |it: &&str| trouble(0.0, 300.0, Trouble::Hang(channel(it)));
    let cases: [(&[&str], &[&str], &[&str]); 3] = [
        (&["one", "two"], &["one", "two"], &["processing rack"]),
        // What is left of an encoder would pay for its restart.
        (&["one", "two", "three"], &["one", "two"], &["processing one", "processing two"]),
        (&["one", "two"], &["one", "three"], &["processing one", "processing three"]),
    ];
    for (shared, hung, causes_) in cases {
        for seed in 1..=3 {
            let events = hung.iter().map(hang).collect();
            let story = run(world_of(seed, encoder_parts(shared), events), 30.0);
            let mut named = causes(&story);
            named.sort();
            assert_eq!(named, causes_, "{hung:?} seed {seed}\n{}", story.log);
        }
    }
}

const TEN: [&str; 10] =
    ["five", "four", "one", "seven", "six", "ten", "three", "two", "x-eight", "x-nine"];

/// Ten channels whose primary sources' provider is gone for a while.
fn provider_world(edit: impl FnOnce(&mut Parts), more: Vec<Event>) -> World {
    let mut parts = parts(&TEN);
    edit(&mut parts);
    let mut events: Vec<Event> = TEN
        .map(|it| trouble(0.0, 400.0, source(&format!("{it}/primary"), FaultKind::NoData)))
        .into();
    events.extend(more);
    world_of(1, parts, events)
}

fn without_backup(parts: &mut Parts) {
    parts.channels.iter_mut().filter(|it| it.id == channel("ten")).for_each(|it| {
        it.sources.truncate(1);
    });
}

#[test]
fn a_provider_is_left_by_one_channel_first_and_then_in_batches() {
    let story = run(provider_world(without_backup, Vec::new()), 200.0);
    let log = &story.log;
    assert_eq!(causes(&story), ["provider sat-a"], "{log}");
    let groups: Vec<_> = story.actions.iter().map(|it| it.group).collect();
    // A fifth of nine is one.
    assert_eq!(groups, (0..9).map(Some).collect::<Vec<_>>(), "{log}");
    for pair in story.actions.windows(2) {
        assert_eq!(pair[0].state, ActionState::Verified, "{log}");
        assert!(pair[0].ended <= Some(pair[1].decided), "{log}");
    }
    let incident = &story.incidents[0];
    let left: Vec<_> = incident.without_backup.iter().map(ToString::to_string).collect();
    assert_eq!(left, ["ten"], "{log}");
    assert_eq!(pages(&story), ["no_ready_backup"], "{log}");

    let story = run(provider_world(|_| (), Vec::new()), 150.0);
    let groups: Vec<_> = story.actions.iter().filter_map(|it| it.group).collect();
    assert_eq!(groups, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5], "{}", story.log);
    assert!(story.actions.iter().all(|it| it.state == ActionState::Verified), "{}", story.log);
    assert_eq!(pages(&story), [""; 0], "{}", story.log);
    assert_eq!(story.incidents[0].remedy, Remedy::Done, "{}", story.log);
}

#[test]
fn a_group_whose_first_channel_is_not_helped_stops_there() {
    let unfit = trouble(-60.0, 600.0, Trouble::Unfit(stream("five/backup"), FaultKind::NoVideo));
    let story = run(provider_world(|_| (), vec![unfit]), 200.0);
    assert_eq!(kinds(&story), [ActionKind::SwitchSource], "{}", story.log);
    assert_eq!(story.actions[0].target.channel(), Some(&channel("five")), "{}", story.log);
    assert_eq!(story.actions[0].state, ActionState::NotVerified, "{}", story.log);
    assert!(pages(&story).contains(&"group_stopped"), "{}", story.log);
}

#[test]
fn a_group_that_did_not_help_one_channel_stops_though_its_cause_strikes_again() {
    let mut parts = parts(&TEN);
    for channel in parts.channels.iter_mut().filter(|it| it.id == channel("ten")) {
        let (first, second) = channel.sources.split_at_mut(1);
        core::mem::swap(&mut first[0].provider, &mut second[0].provider);
    }
    let dead =
        TEN.map(
            |it| if it == "ten" { stream("ten/backup") } else { stream(&format!("{it}/primary")) },
        );
    let dead = dead.map(|it| trouble(0.0, 400.0, Trouble::Source(it, FaultKind::NoData)));
    let unfit = trouble(-60.0, 600.0, Trouble::Unfit(stream("four/backup"), FaultKind::NoVideo));
    let events: Vec<Event> = dead.into_iter().chain([unfit]).collect();
    for by_hand in [20.0, 30.0, 40.0, 50.0] {
        let mut world = world_of(1, parts.clone(), events.clone());
        world.run_for(WARM_UP + secs(by_hand));
        world.switch_by_hand(&channel("ten"), stream("ten/backup"));
        world.run_for(secs(200.0));
        let story = world.story();
        let log = format!("by hand after {by_hand} s\n{}", story.log);
        let failed = story.actions.iter().find(|it| it.state == ActionState::NotVerified);
        let failed = failed.unwrap_or_else(|| panic!("{log}"));
        assert_eq!(failed.target.channel(), Some(&channel("four")), "{log}");
        let after = |it: &&Action| it.undoes.is_none() && Some(it.decided) > failed.ended;
        assert_eq!(story.actions.iter().filter(after).count(), 0, "{log}");
        assert!(pages(&story).contains(&"group_stopped"), "{log}");
    }
}

#[test]
fn a_group_goes_on_after_a_crash_as_if_there_had_been_none() {
    let world = || provider_world(|_| (), Vec::new());
    let outputs = run(world(), 150.0).outputs;
    for after in (1..=outputs).step_by(7) {
        let story = run(world().with_crash(after), 260.0);
        let switched: Vec<_> = story.carried_out.iter().map(|it| &it.target).collect();
        let mut once = switched.clone();
        once.sort();
        once.dedup();
        assert_eq!((once.len(), switched.len()), (10, 10), "after {after}\n{}", story.log);
    }
}

#[test]
fn a_group_is_recorded_whole_and_approved_once() {
    let in_mode = |mode| {
        let mut policy = Policy::default();
        policy.modes.insert(Scope::Global, mode);
        let mut world = provider_world(|_| (), Vec::new()).with_policy(policy);
        world.run_for(WARM_UP + secs(20.0));
        world
    };
    let planned = in_mode(Mode::DryRun).story();
    assert!(planned.commanded.is_empty(), "{}", planned.log);
    let groups: Vec<_> = planned.actions.iter().filter_map(|it| it.group).collect();
    assert_eq!(groups, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5], "{}", planned.log);
    assert!(planned.actions.iter().all(|it| it.state == ActionState::Proposed));

    let mut asked = in_mode(Mode::Approve);
    let waiting: Vec<_> = asked.actions().map(|it| (it.id, it.state)).collect();
    let [(first, ActionState::Waiting)] = waiting[..] else { panic!("{waiting:?}") };
    asked.tell(Input::Approve { action: first, by: "noc".to_owned() });
    asked.run_for(secs(130.0));
    let story = asked.story();
    assert_eq!(story.carried_out.len(), 10, "{}", story.log);
    assert!(story.actions.iter().all(|it| it.approved_by.as_deref() == Some("noc")));
}

#[test]
fn a_group_whose_first_channel_a_person_does_not_want_is_left() {
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, Mode::Approve);
    let mut world = provider_world(|_| (), Vec::new()).with_policy(policy);
    world.run_for(WARM_UP + secs(20.0));
    let first = world.actions().next().map(|it| it.id).expect("one waits");
    world.tell(Input::Reject { action: first, by: "noc".to_owned() });
    world.run_for(secs(60.0));
    let story = world.story();
    assert_eq!(story.actions.len(), 1, "{}", story.log);
    assert!(refusals(&story).contains(&"rejected"), "{}", story.log);
}

#[test]
fn an_encoder_is_left_to_whoever_switched_one_of_its_channels() {
    let stuck = vec![trouble(10.0, 100.0, Trouble::Stuck(encoder("rack")))];
    for by_hand in [false, true] {
        let parts = encoder_parts(&["one", "two"]);
        let mut world = world_of(1, parts, stuck.clone()).with_restarts();
        world.run_for(WARM_UP);
        if by_hand {
            world.switch_by_hand(&channel("one"), stream("one/backup"));
        }
        world.run_for(secs(60.0));
        let story = world.story();
        assert_eq!(kinds(&story).len(), usize::from(!by_hand), "{}", story.log);
        assert_eq!(refusals(&story).contains(&"hands_off"), by_hand, "{}", story.log);
    }
}

#[test]
fn an_encoder_that_cannot_be_restarted_has_its_streams_restarted_as_a_group() {
    let hang = |it: &str| trouble(0.0, 400.0, Trouble::Hang(channel(it)));
    let all = ["one", "two", "three", "four"];
    let story = run(world_of(1, encoder_parts(&all), all.map(hang).into()), 200.0);
    assert_eq!(kinds(&story), [ActionKind::RestartStream; 4], "{}", story.log);
    let groups: Vec<_> = story.actions.iter().filter_map(|it| it.group).collect();
    assert_eq!(groups, [0, 1, 2, 3], "{}", story.log);
    assert!(refusals(&story).contains(&"cannot_restart"), "{}", story.log);
    assert_eq!(pages(&story), [""; 0], "{}", story.log);
}

/// Channel one with a spare backup and a last resort: how its backups are weighed when its primary fails.
#[expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]
fn chosen(edit: fn(&mut [Source]), more: Vec<Event>) -> Vec<String> {
    let mut parts = demo_parts();
    let sources = &mut parts.channels[0].sources;
    for (name, role) in [("spare", SourceRole::Backup), ("slate", SourceRole::LastResort)] {
        let id = stream(&format!("one/{name}"));
        sources.push(Source { stream: id, role, ..sources[1].clone() });
    }
    edit(sources);
    let mut events = vec![trouble(0.0, 60.0, source("one/primary", FaultKind::NoData))];
    events.extend(more);
    let story = run(world_of(1, parts, events), 30.0);
    let action = story.actions.first().expect("a switch is made");
    let told = action.choices.iter().map(|it| {
        let reasons: Vec<_> = it.reasons.iter().map(|why| why.name()).collect();
        format!("{} {}", it.stream.name(), reasons.join(" "))
    });
    let told: Vec<_> = told.collect();
    assert!(told[0].starts_with(action.to.as_ref().expect("a switch goes somewhere").name()));
    told
}

#[test]
fn a_backup_is_chosen_by_health_then_priority_then_likeness() {
    let slate = "slate last_resort";
    let alike = chosen(|_| (), vec![]);
    assert_eq!(alike, ["backup chosen", "spare listed_later", slate]);
    let glitch = trouble(-30.0, 0.7, source("one/backup", FaultKind::NoData));
    let healthy = chosen(|it| it[2].priority = 9, vec![glitch]);
    assert_eq!(healthy, ["spare chosen", "backup less_healthy", slate]);
    let preferred = chosen(|it| it[1].priority = 9, vec![]);
    assert_eq!(preferred, ["spare chosen", "backup lower_priority", slate]);
    let format = |it: &mut [Source]| it[1].format = Some("576i25 mpeg2".to_owned());
    assert_eq!(chosen(format, vec![]), ["spare chosen", "backup other_format", slate]);
    let late = |it: &mut [Source]| it[1].offset = Some(secs(2.0));
    assert_eq!(chosen(late, vec![]), ["spare chosen", "backup other_latency", slate]);
    let gone =
        ["one/backup", "one/spare"].map(|it| trouble(-20.0, 90.0, source(it, FaultKind::NoData)));
    assert_eq!(
        chosen(|_| (), gone.to_vec()),
        ["slate chosen", "backup faulty not_decoded", "spare faulty not_decoded"]
    );
}

fn fail_back_parts(hold: Option<Duration>) -> Parts {
    let mut parts = demo_parts();
    parts.channels[0].fail_back = hold;
    parts
}

fn switches(story: &Story) -> Vec<(String, bool)> {
    let to = |it: &Action| it.to.as_ref().map(|it| it.name().to_owned()).unwrap_or_default();
    story.actions.iter().map(|it| (to(it), it.undoes.is_some())).collect()
}

#[test]
fn a_channel_fails_back_only_where_it_is_asked_for_and_after_a_good_while() {
    let gone = trouble(0.0, 60.0, source("one/primary", FaultKind::NoData));
    let hold = secs(900.0);
    let back = run(world_of(1, fail_back_parts(Some(hold)), vec![gone.clone()]), 1100.0);
    let log = &back.log;
    let wanted = [("backup".to_owned(), false), ("primary".to_owned(), true)];
    assert_eq!(switches(&back), wanted, "{log}");
    let [away, home] = &back.actions[..] else { panic!("{log}") };
    assert_eq!((home.undoes, &home.purpose), (Some(away.id), &away.purpose), "{log}");
    assert_eq!(home.state, ActionState::Verified, "{log}");
    let good = home.decided.since(START + WARM_UP + secs(60.0));
    assert!(good >= hold && good < hold + secs(5.0), "{good:?}\n{log}");

    let manual = run(world_of(1, fail_back_parts(None), vec![gone.clone()]), 1100.0);
    assert_eq!(switches(&manual), wanted[..1], "{}", manual.log);
    // A glitch in between begins the good run anew.
    let glitch = trouble(500.0, 2.0, source("one/primary", FaultKind::NoData));
    let events = vec![gone.clone(), glitch];
    let later = run(world_of(1, fail_back_parts(Some(hold)), events), 1100.0);
    assert_eq!(switches(&later), wanted[..1], "{}", later.log);
    // What others switched is theirs to take back.
    let mut others = world_of(1, fail_back_parts(Some(secs(60.0))), vec![]);
    others.run_for(WARM_UP);
    others.switch_by_hand(&channel("one"), stream("one/backup"));
    others.run_for(secs(200.0));
    assert_eq!(switches(&others.story()), []);
}

#[test]
fn a_fail_back_that_does_not_help_is_put_back_and_left_to_people() {
    let gone = trouble(0.0, 60.0, source("one/primary", FaultKind::NoData));
    let unfit = trouble(30.0, 900.0, Trouble::Unfit(stream("one/primary"), FaultKind::NoVideo));
    let parts = fail_back_parts(Some(secs(120.0)));
    let story = run(world_of(1, parts, vec![gone, unfit]), 900.0);
    let wanted = [("backup", false), ("primary", true), ("backup", true)];
    let wanted: Vec<_> = wanted.iter().map(|(to, undoes)| ((*to).to_owned(), *undoes)).collect();
    assert_eq!(switches(&story), wanted, "{}", story.log);
}

#[test]
fn a_person_fails_a_channel_back_through_the_guards() {
    let gone = trouble(0.0, 60.0, source("one/primary", FaultKind::NoData));
    let mut world = world_of(1, fail_back_parts(None), vec![gone]);
    let ask = || Input::FailBack { channel: channel("one"), by: "noc".to_owned() };
    world.run_for(WARM_UP + secs(30.0));
    world.tell(ask());
    world.run_for(secs(1.0));
    assert_eq!(world.actions().count(), 1, "the primary is not ready");
    world.run_for(secs(140.0));
    world.tell(ask());
    world.run_for(secs(30.0));
    let story = world.story();
    let wanted = [("backup".to_owned(), false), ("primary".to_owned(), true)];
    assert_eq!(switches(&story), wanted, "{}", story.log);
    assert_eq!(story.actions[1].approved_by.as_deref(), Some("noc"));
    assert!(refusals(&story).contains(&"no_ready_backup"), "{}", story.log);
}

fn shares(story: &Story) -> Vec<Option<u8>> {
    story.actions.iter().map(|it| it.share).collect()
}

fn returning(policy: impl FnOnce(&mut Policy), events: Vec<Event>) -> World {
    let mut own = Policy::default();
    own.modes.insert(Scope::Global, Mode::Auto);
    policy(&mut own);
    world(1, events).with_policy(own)
}

#[test]
fn a_drained_server_gets_its_viewers_back_step_by_step() {
    let dead = vec![trouble(0.0, 60.0, Trouble::Dead(server("s1")))];
    let auto = |policy: &mut Policy| policy.guards.server_return = Return::Auto;
    let story = run(returning(auto, dead.clone()), 1200.0);
    let log = &story.log;
    assert_eq!(shares(&story), [None, Some(25), Some(50), Some(100)], "{log}");
    assert!(story.actions.iter().all(|it| it.state == ActionState::Verified), "{log}");
    for pair in story.actions.windows(2) {
        assert_eq!(pair[1].undoes, Some(pair[0].id), "{log}");
        assert!(pair[0].ended <= Some(pair[1].decided), "{log}");
    }
    let waited = story.actions[1].decided.since(START + WARM_UP + secs(60.0));
    assert!(waited >= secs(600.0) && waited < secs(610.0), "{waited:?}\n{log}");

    let manual = run(returning(|_| (), dead.clone()), 1200.0);
    assert_eq!(shares(&manual), [None], "{}", manual.log);
    let mut asked = returning(|_| (), dead);
    let ask = || Input::Return { server: server("s1"), by: "noc".to_owned() };
    asked.run_for(WARM_UP + secs(30.0));
    asked.tell(ask());
    asked.run_for(secs(90.0));
    assert_eq!(asked.actions().count(), 1, "it is still dead when it is asked for");
    asked.tell(ask());
    asked.run_for(secs(400.0));
    let story = asked.story();
    assert_eq!(shares(&story), [None, Some(25), Some(50), Some(100)], "{}", story.log);
    assert!(refusals(&story).contains(&"server_not_well"), "{}", story.log);
    assert!(story.actions[1..].iter().all(|it| it.approved_by.as_deref() == Some("noc")));
}

#[test]
fn a_server_that_does_not_bear_its_viewers_is_drained_again() {
    let events = vec![
        trouble(0.0, 60.0, Trouble::Dead(server("s1"))),
        trouble(120.0, 2000.0, Trouble::Feeble(server("s1"), 50)),
    ];
    let auto = |policy: &mut Policy| {
        policy.guards.server_return = Return::Auto;
        policy.guards.return_after = secs(120.0);
    };
    let story = run(returning(auto, events), 1500.0);
    assert_eq!(shares(&story), [None, Some(25), Some(50), None], "{}", story.log);
    let last = &story.actions[3];
    assert_eq!(last.kind, ActionKind::DrainServer, "{}", story.log);
    assert_eq!(last.undoes, Some(story.actions[2].id), "{}", story.log);
}

#[test]
fn an_encoder_is_restarted_only_where_nothing_on_it_is_seen_well() {
    let stuck = vec![trouble(0.0, 300.0, Trouble::Stuck(encoder("rack")))];
    for seed in 1..=3 {
        let world = world_of(seed, encoder_parts(&["one", "two"]), stuck.clone());
        let story = run(world.with_restarts(), 90.0);
        assert_eq!(kinds(&story), [ActionKind::RestartService], "seed {seed}\n{}", story.log);
        assert_eq!(story.actions[0].state, ActionState::Verified, "{}", story.log);
        assert_eq!(pages(&story), [""; 0], "{}", story.log);
    }
    // One channel alone, which its own restart does not bring back.
    let hang = ["one/n1", "one/n2", "one/s1", "one/s2"]
        .map(|it| trouble(0.0, 300.0, Trouble::Delivery(stream(it), FaultKind::NoVideo)));
    let world = world_of(1, encoder_parts(&["one", "two"]), hang.to_vec());
    let story = run(world.with_restarts(), 150.0);
    assert_eq!(kinds(&story), [ActionKind::RestartStream], "{}", story.log);
    assert!(refusals(&story).contains(&"costs_healthy"), "{}", story.log);
    assert_eq!(pages(&story), ["ladder_exhausted"], "{}", story.log);
}

#[test]
fn a_server_is_restarted_where_its_viewers_cannot_be_moved() {
    let wedged = vec![trouble(0.0, 300.0, Trouble::Wedged(server("s1")))];
    let moved = run(world(1, wedged.clone()).with_restarts(), 90.0);
    assert_eq!(kinds(&moved), [ActionKind::DrainServer], "{}", moved.log);

    let alone = || {
        let mut parts = demo_parts();
        parts.servers.retain(|it| it.id != server("s2"));
        for channel in &mut parts.channels {
            channel.deliveries.retain(|it| it.server != server("s2"));
        }
        world_of(1, parts, wedged.clone())
    };
    let restarted = run(alone().with_restarts(), 90.0);
    assert_eq!(kinds(&restarted), [ActionKind::RestartService], "{}", restarted.log);
    assert_eq!(restarted.actions[0].state, ActionState::Verified, "{}", restarted.log);
    assert_eq!(pages(&restarted), [""; 0], "{}", restarted.log);

    let left = run(alone(), 90.0);
    assert_eq!(kinds(&left), [], "{}", left.log);
    assert!(refusals(&left).contains(&"cannot_restart"), "{}", left.log);
    assert_eq!(pages(&left), ["no_survivor"], "{}", left.log);
}

#[test]
fn the_echo_of_a_fault_that_is_over_is_no_reason_to_act() {
    let black = FaultKind::Black;
    let cases: [(&str, Vec<Event>, &[&str]); 3] = [
        (
            "programme",
            vec![
                trouble(0.0, 6.5, source("one/primary", black)),
                trouble(0.0, 6.5, source("one/backup", black)),
            ],
            &["programme one"],
        ),
        (
            "no backup",
            vec![
                trouble(-20.0, 60.0, source("one/backup", FaultKind::NoData)),
                trouble(0.0, 6.5, source("one/primary", black)),
            ],
            &["source one/backup", "source one/primary"],
        ),
        // Neither is declared at the source: it is a little too short.
        ("undeclared", vec![trouble(0.0, 4.9, source("one/primary", black))], &[]),
    ];
    for (name, events, causes_) in cases {
        for seed in 1..=4 {
            let world = world_of(seed, late_parts(secs(40.0)), events.clone());
            let story = run(world, 150.0);
            assert_eq!(kinds(&story), [], "{name} seed {seed}\n{}", story.log);
            assert_eq!(causes(&story), causes_, "{name} seed {seed}\n{}", story.log);
        }
    }
}

#[test]
fn an_echo_after_a_restart_of_the_collector_is_no_reason_to_act_either() {
    let both =
        ["one/primary", "one/backup"].map(|it| trouble(0.0, 8.0, source(it, FaultKind::Black)));
    for after in 1..=6 {
        let world = world_of(1, late_parts(secs(40.0)), both.to_vec()).with_crash(after);
        let story = run(world, 150.0);
        assert_eq!(kinds(&story), [], "crashed after {after}\n{}", story.log);
    }
}

#[test]
fn what_stays_broken_after_its_source_is_good_again_is_no_echo() {
    // A glitch of the source, over which the processing trips.
    let events = vec![
        trouble(0.0, 0.8, source("three/primary", FaultKind::NoData)),
        trouble(0.5, 120.0, Trouble::Hang(channel("three"))),
    ];
    for seed in 1..=4 {
        let story = run(world(seed, events.clone()), 120.0);
        assert_eq!(kinds(&story), [ActionKind::RestartStream], "seed {seed}\n{}", story.log);
    }
}

#[test]
fn a_picture_fault_downstream_acts_only_beside_a_source_that_is_seen_without_it() {
    let black = |it: &str| trouble(0.0, 90.0, Trouble::Delivery(stream(it), FaultKind::Black));
    let deliveries = ["two/n1", "two/n2", "two/s1", "two/s2"].map(black).to_vec();
    let seen = run(world(1, deliveries.clone()), 60.0);
    assert_eq!(kinds(&seen), [ActionKind::RestartStream], "{}", seen.log);

    let mut events = deliveries;
    events.push(trouble(-30.0, 120.0, Trouble::Blind(node("head-1"))));
    let unseen = run(world(1, events), 60.0);
    assert_eq!(kinds(&unseen), [], "{}", unseen.log);
    assert!(refusals(&unseen).contains(&"differential_unknown"), "{}", unseen.log);
}

#[test]
fn a_server_is_not_drained_for_what_comes_late_on_the_others() {
    // One channel alone, so a server is as good a suspect as the processing until the slow server has shown it too.
    let mut parts = demo_parts();
    parts.channels.truncate(1);
    for delivery in &mut parts.channels[0].deliveries {
        if delivery.server != server("n1") {
            delivery.delay = secs(40.0);
        }
    }
    let events = vec![trouble(0.0, 300.0, Trouble::Hang(channel("one")))];
    let story = run(world_of(1, parts, events), 90.0);
    assert_eq!(kinds(&story), [ActionKind::RestartStream], "{}", story.log);
    assert!(refusals(&story).contains(&"ambiguous"), "{}", story.log);
}

#[test]
fn a_dead_server_waits_for_no_programme_to_come_through() {
    let mut parts = demo_parts();
    for delivery in parts.channels.iter_mut().flat_map(|it| &mut it.deliveries) {
        if delivery.server == server("n2") {
            delivery.delay = secs(40.0);
        }
    }
    let events = vec![trouble(0.0, 90.0, Trouble::Dead(server("n1")))];
    for seed in 1..=4 {
        let story = run(world_of(seed, parts.clone(), events.clone()), 60.0);
        assert_eq!(kinds(&story), [ActionKind::DrainServer], "{}", story.log);
        let took = story.commanded[0].0.since(START + WARM_UP);
        assert!(took < secs(8.0), "seed {seed}: {took:?}\n{}", story.log);
    }
}

#[test]
fn a_server_is_drained_only_if_nobody_loses_a_channel_by_it() {
    let dead = ["one", "two", "three"].map(|it| {
        trouble(0.0, 90.0, Trouble::Delivery(stream(&format!("{it}/n1")), FaultKind::NoData))
    });
    let mut events = dead.to_vec();
    let drained = run(world(1, events.clone()), 60.0);
    assert_eq!(kinds(&drained), [ActionKind::DrainServer], "{}", drained.log);
    // The fourth channel is good nowhere else in the region.
    events.push(trouble(-30.0, 120.0, Trouble::Delivery(stream("four/n2"), FaultKind::NoData)));
    let kept = run(world(1, events), 60.0);
    assert_eq!(kinds(&kept), [], "{}", kept.log);
    assert!(pages(&kept).contains(&"no_survivor"), "{}", kept.log);
}

#[test]
fn what_goes_off_the_air_drains_no_server() {
    let gone = ["one", "two"].map(|it| trouble(0.0, 90.0, Trouble::Hang(channel(it))));
    let mut events = gone.to_vec();
    events.push(trouble(1.0, 80.0, Trouble::Delivery(stream("four/n1"), FaultKind::NoData)));
    let mut world = world(1, events);
    world.run_for(WARM_UP);
    for id in ["one", "two"] {
        world.tell(Input::OnAir { channel: channel(id), on_air: OnAir::Off });
    }
    world.run_for(secs(60.0));
    let story = world.story();
    assert_eq!(kinds(&story), [], "{}", story.log);
}

#[test]
fn a_switch_that_made_it_worse_is_undone_once_the_old_source_is_good() {
    let unfit =
        |lasts| trouble(-60.0, lasts, Trouble::Unfit(stream("one/backup"), FaultKind::NoVideo));
    // A short glitch: going back is waited for. A long one: the processing is restarted meanwhile.
    for (glitch, wanted) in [
        (4.0, vec![ActionKind::SwitchSource, ActionKind::SwitchSource]),
        (70.0, vec![ActionKind::SwitchSource, ActionKind::RestartStream, ActionKind::SwitchSource]),
    ] {
        let glitch = trouble(0.0, glitch, source("one/primary", FaultKind::NoData));
        for seed in 1..=3 {
            let story = run(world(seed, vec![glitch.clone(), unfit(600.0)]), 280.0);
            assert_eq!(kinds(&story), wanted, "seed {seed}\n{}", story.log);
            let undoing = story.actions.iter().find(|it| it.undoes.is_some());
            let undoing = undoing.expect("one action undoes another");
            assert_eq!(undoing.state, ActionState::Verified, "{}", story.log);
            assert_eq!(undoing.undoes, Some(story.actions[0].id));
            let incident = &story.incidents[0];
            assert_eq!(incident.remedy, Remedy::Done, "{}", story.log);
            assert!(incident.closed.is_some(), "{}", story.log);
        }
    }
}

#[test]
fn a_restart_is_no_remedy_where_the_new_source_went_bad_in_the_middle_of_the_switch() {
    let events = vec![
        trouble(0.0, 200.0, source("one/primary", FaultKind::Black)),
        trouble(5.5, 200.0, source("one/backup", FaultKind::NoData)),
    ];
    for seed in 1..=3 {
        let story = run(world(seed, events.clone()), 150.0);
        assert_eq!(kinds(&story), [ActionKind::SwitchSource], "seed {seed}\n{}", story.log);
        assert!(pages(&story).contains(&"no_ready_backup"), "{}", story.log);
    }
}

#[test]
fn somebody_else_at_the_wheel_is_followed_and_not_fought() {
    // The panel switches by itself before anything is declared; old media keeps coming for long.
    for delay in [1.0, 40.0] {
        let events = vec![trouble(0.0, 120.0, source("one/primary", FaultKind::NoVideo))];
        let mut world = world_of(1, late_parts(secs(delay)), events);
        world.run_for(WARM_UP + secs(2.0));
        world.switch_by_hand(&channel("one"), stream("one/backup"));
        world.run_for(secs(100.0));
        let story = world.story();
        assert_eq!(kinds(&story), [], "delay {delay}\n{}", story.log);
    }
}

#[test]
fn an_incident_that_a_person_switched_away_from_hides_no_other_fault_of_the_channel() {
    let events = vec![
        trouble(0.0, 300.0, source("one/primary", FaultKind::NoData)),
        trouble(40.0, 300.0, Trouble::Hang(channel("one"))),
    ];
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, Mode::Auto);
    policy.modes.insert(Scope::Action(ActionKind::SwitchSource), Mode::DryRun);
    let mut world = world(1, events).with_policy(policy);
    world.run_for(WARM_UP + secs(20.0));
    world.switch_by_hand(&channel("one"), stream("one/backup"));
    world.run_for(secs(10.0));
    world.tell(Input::EndHandsOff { channel: channel("one") });
    world.run_for(secs(70.0));
    let story = world.story();
    assert_eq!(kinds(&story), [ActionKind::RestartStream], "{}", story.log);
    assert!(causes(&story).contains(&"processing one".to_owned()), "{}", story.log);
}

#[test]
fn nothing_is_sent_when_its_reason_went_away_on_the_way_to_the_panel() {
    let stops = |lasts| trouble(0.0, lasts, source("one/primary", FaultKind::NoData));
    let cases = [
        ("the fault ends", vec![stops(2.3)]),
        (
            "the backup stops",
            vec![stops(60.0), trouble(2.2, 60.0, source("one/backup", FaultKind::NoData))],
        ),
    ];
    for (name, events) in cases {
        let world = world(1, events).with_slow_sending(secs(6.0));
        let story = run(world, 55.0);
        assert!(!story.commanded.is_empty(), "{name}: a command was on its way\n{}", story.log);
        assert_eq!(kinds(&story), [], "{name}\n{}", story.log);
        assert_eq!(story.actions[0].state, ActionState::Withdrawn, "{name}\n{}", story.log);
    }
}

#[test]
fn the_programme_is_no_excuse_once_the_backup_has_it_again() {
    let events = vec![
        trouble(0.0, 400.0, source("one/primary", FaultKind::Black)),
        trouble(0.0, 30.0, source("one/backup", FaultKind::Black)),
    ];
    let story = run(world(1, events), 300.0);
    assert_eq!(kinds(&story), [ActionKind::SwitchSource], "{}", story.log);
    let when = story.commanded[0].0.since(START + WARM_UP);
    assert!(when > secs(90.0), "the backup must have been good for a minute: {when:?}");
    assert_eq!(causes(&story), ["programme one", "source one/primary"], "{}", story.log);
}

#[test]
fn one_witness_acts_on_what_is_hard_and_local_and_on_more_only_where_it_is_allowed() {
    let stop = vec![trouble(0.0, 60.0, source("one/primary", FaultKind::NoData))];
    let dies = vec![trouble(0.0, 60.0, Trouble::Dead(server("n1")))];
    for (witness, drains) in [(SingleWitness::Refused, 0), (SingleWitness::Allowed, 1)] {
        let parts = small_parts(&["n1", "s1"], witness);
        let switched = run(world_of(1, parts.clone(), stop.clone()), 50.0);
        assert_eq!(kinds(&switched), [ActionKind::SwitchSource], "{}", switched.log);
        let drained = run(world_of(1, parts, dies.clone()), 50.0);
        assert_eq!(kinds(&drained).len(), drains, "{witness:?}\n{}", drained.log);
        assert_eq!(refusals(&drained).contains(&"no_quorum"), drains == 0);
    }
}

#[test]
fn a_platform_without_a_second_of_anything_calls_people() {
    let mut parts = small_parts(&["n1"], SingleWitness::Allowed);
    let dies = vec![trouble(0.0, 60.0, Trouble::Dead(server("n1")))];
    let story = run(world_of(1, parts.clone(), dies), 50.0);
    assert_eq!((kinds(&story), pages(&story)), (vec![], vec!["no_survivor"]), "{}", story.log);

    parts.channels[0].sources.truncate(1);
    let stop = vec![trouble(0.0, 60.0, source("one/primary", FaultKind::NoData))];
    let story = run(world_of(1, parts, stop), 50.0);
    assert_eq!((kinds(&story), pages(&story)), (vec![], vec!["no_ready_backup"]), "{}", story.log);
}

#[test]
fn a_flapping_source_is_left_once() {
    let flaps = (0..20)
        .map(|i| trouble(f64::from(i) * 30.0, 6.0, source("one/primary", FaultKind::NoData)));
    let story = run(world(1, flaps.collect()), 600.0);
    assert_eq!(kinds(&story), [ActionKind::SwitchSource], "{}", story.log);
}

/// Two sources that fail in turn, each for a while.
fn in_turn(kind: FaultKind) -> Story {
    let flaps = (0..20).map(|i| {
        let id = if i % 2 == 0 { "one/primary" } else { "one/backup" };
        trouble(f64::from(i) * 90.0, 10.0, source(id, kind))
    });
    run(world(1, flaps.collect()), 1800.0)
}

#[test]
fn two_sources_that_go_black_in_turn_are_switched_between_until_that_is_damped() {
    let story = in_turn(FaultKind::Black);
    assert!(kinds(&story).len() <= 5, "{} switches\n{}", kinds(&story).len(), story.log);
    let refused = refusals(&story);
    assert!(refused.contains(&"damped") || refused.contains(&"circuit_open"), "{}", story.log);
}

#[test]
fn two_sources_that_stop_in_turn_are_switched_between_as_long_as_one_of_them_is_ready() {
    let story = in_turn(FaultKind::NoData);
    assert_eq!(kinds(&story), [ActionKind::SwitchSource; 20], "{}", story.log);
    assert!(pages(&story).contains(&"circuit_open"), "{}", story.log);
}

#[test]
fn a_storm_is_left_to_people_and_what_is_left_of_it_is_mended_after_it() {
    let names: Vec<String> = (0..12).map(|it| format!("c{it}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut parts = tallylight_tests::sim::platform::parts(&names);
    parts.channels.iter_mut().flat_map(|it| &mut it.sources).for_each(|it| it.provider = None);
    let all = names
        .iter()
        .take(8)
        .map(|it| trouble(0.0, 600.0, source(&format!("{it}/primary"), FaultKind::NoData)));
    let mut world = world_of(1, parts, all.collect());
    world.run_for(WARM_UP + secs(60.0));
    let storms = |world: &World| {
        let incidents = world.decider().into_iter().flat_map(|it| it.incidents());
        incidents.filter(|it| it.storm && it.closed.is_none()).count()
    };
    assert_eq!(storms(&world), 2, "one in each region with viewers");
    let incidents = world.decider().into_iter().flat_map(|it| it.incidents());
    let paged: Vec<_> = incidents.filter_map(|it| it.page).map(|it| it.name()).collect();
    assert_eq!(paged, ["storm", "storm"]);
    world.run_for(secs(540.0));
    assert_eq!(storms(&world), 0);
    let story = world.story();
    assert_eq!(kinds(&story), [ActionKind::SwitchSource; 8], "{}", story.log);
    let first = story.commanded[0].0.since(START + WARM_UP);
    assert!(first > secs(350.0), "{first:?}\n{}", story.log);
}

#[test]
fn an_agent_that_starts_anew_in_the_middle_changes_nothing_that_is_done() {
    let black = vec![trouble(0.0, 90.0, source("one/primary", FaultKind::Black))];
    let hang = vec![trouble(0.0, 200.0, Trouble::Hang(channel("three")))];
    let cases =
        [("head-1", black, ActionKind::SwitchSource), ("north-a", hang, ActionKind::RestartStream)];
    for (name, events, action) in cases {
        for after in [0.5, 3.0, 5.3, 8.0] {
            let mut world = world(1, events.clone());
            world.run_for(WARM_UP + secs(after));
            world.restart_agent(&node(name));
            world.run_for(secs(120.0));
            let story = world.story();
            assert_eq!(kinds(&story), [action], "{name} after {after}\n{}", story.log);
        }
    }
}

#[test]
fn reports_that_overtake_each_other_lead_to_no_other_action() {
    let stop = vec![trouble(0.0, 90.0, source("one/primary", FaultKind::NoData))];
    let both =
        ["one/primary", "one/backup"].map(|it| trouble(0.0, 90.0, source(it, FaultKind::Black)));
    let dies = vec![trouble(0.0, 90.0, Trouble::Dead(server("n1")))];
    for (events, wanted) in [
        (stop, vec![ActionKind::SwitchSource]),
        (both.to_vec(), vec![]),
        (dies, vec![ActionKind::DrainServer]),
    ] {
        for seed in 1..=6 {
            let world = world(seed, events.clone()).with_network(20, 3000);
            let story = run(world, 120.0);
            assert_eq!(kinds(&story), wanted, "seed {seed}\n{}", story.log);
        }
    }
}

#[test]
fn what_leaves_the_lineup_in_the_middle_takes_its_incident_with_it() {
    for leaves_after in [1.0, 2.5, 12.0] {
        let stop = vec![trouble(0.0, 90.0, source("one/primary", FaultKind::NoData))];
        let mut world = world(1, stop);
        world.run_for(WARM_UP + secs(leaves_after));
        let mut parts = demo_parts();
        parts.channels.retain(|it| it.id != channel("one"));
        let lineup = Lineup::new(parts).expect("the lineup is whole");
        world.tell(Input::Lineup(Box::new(lineup)));
        world.run_for(secs(90.0));
        let story = world.story();
        assert!(story.incidents.iter().all(|it| it.closed.is_some()), "{}", story.log);
        assert!(story.actions.iter().all(|it| it.state.is_final()), "{}", story.log);
        assert_eq!(pages(&story), Vec::<&str>::new(), "after {leaves_after}\n{}", story.log);
    }
}

#[test]
fn a_restart_that_nobody_saw_help_is_not_called_a_success() {
    let hang = trouble(0.0, 200.0, Trouble::Hang(channel("three")));
    let mute = |it: &str| trouble(4.0, 200.0, Trouble::Mute(node(it)));
    let mut events = vec![hang];
    events.extend(["north-a", "north-b", "south-a", "south-b"].map(mute));
    let story = run(world(1, events), 120.0);
    assert_eq!(kinds(&story), [ActionKind::RestartStream], "{}", story.log);
    assert_eq!(story.actions[0].state, ActionState::NotVerified, "{}", story.log);
}

#[test]
fn a_backup_that_was_not_watched_lately_is_not_ready_at_its_first_good_second() {
    let mute = trouble(-30.0, 40.0, Trouble::Mute(node("head-1")));
    let mut world = world(1, vec![mute]);
    world.run_for(WARM_UP + secs(11.5));
    let ready = |world: &World| {
        let decider = world.decider().expect("nothing crashed");
        let now: MonoTime = world.now();
        let mut sources = decider.sources(now, decider.lineup().channels());
        let backup = sources.find(|it| *it.stream == stream("one/backup"));
        backup.expect("it is listed").reasons
    };
    assert_eq!(ready(&world).iter().map(|it| it.name()).collect::<Vec<_>>(), ["too_new"]);
    world.run_for(secs(10.0));
    assert!(ready(&world).is_empty());
}

#[test]
fn an_approval_that_comes_after_somebody_else_switched_is_refused() {
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, Mode::Approve);
    let stop = vec![trouble(0.0, 90.0, source("one/primary", FaultKind::NoData))];
    let mut world = world(1, stop).with_policy(policy);
    world.run_for(WARM_UP + secs(10.0));
    world.switch_by_hand(&channel("one"), stream("one/backup"));
    world.run_for(secs(3.0));
    let waiting = world.decider().and_then(|it| it.actions().next()).map(|it| it.id);
    world.tell(Input::Approve { action: waiting.expect("one waits"), by: "ops".to_owned() });
    let story = world.story();
    assert_eq!(story.commanded.len(), 0, "{}", story.log);
    assert!(refusals(&story).contains(&"active_source_unknown"), "{}", story.log);
}
