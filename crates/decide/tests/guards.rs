//! What keeps a remedy from doing harm, each guard by the story that needs it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "ids and lineups of these tests are literals; a test fails by panicking"
)]

#[path = "support/stage.rs"]
mod stage;

use std::time::Duration;

use stage::{Stage, WARM, at, channel, platform, server};
use tallylight_decide::{
    ChangedBy, Input, Mode, Other, Outcome, Policy, Return, Scope,
    action::{ActionKind, ActionState, Reason},
    incident::{IncidentState, Remedy},
    lineup::{Agent, Delivery, Provider, Region, Server},
    maintenance::{Area, MAX_WINDOWS, Plan, WindowState},
};
use tallylight_model::{FaultKind, NodeId, ProviderId, RegionId, StreamId, WindowId};

use ActionKind::{
    DrainServer, RegionMove, RestartStream, ReturnServer, SwitchSource, UndrainServer,
};

const HARD: FaultKind = FaultKind::NoData;
const MEANT: FaultKind = FaultKind::Black;

/// Channels whose two sources fail in turn, each time for a while; how often they were switched in half an hour.
fn flap(kind: FaultKind) -> Stage {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    for turn in 0..18 {
        stage.breaks(if turn % 2 == 0 { "c0/primary" } else { "c0/backup" }, kind, 15);
        stage.run(100);
    }
    stage
}

#[test]
fn a_channel_that_is_switched_to_and_fro_is_left_alone_for_a_while() {
    let damped = flap(MEANT);
    let refusals: Vec<_> = damped.decider.refusals().map(|it| it.reason).collect();
    assert!(refusals.contains(&Reason::Damped), "{refusals:?}");
    assert!((3..=6).contains(&damped.sent.len()), "{:?}", damped.kinds());
    let first = damped.sent[0].0;
    let bout = damped.sent.iter().filter(|it| it.0 < first + 900).count();
    assert_eq!(bout, 3, "the third switch brings the penalty over its limit");
}

#[test]
fn nothing_keeps_a_channel_on_a_source_that_is_plainly_broken_while_another_is_ready() {
    let stage = flap(HARD);
    assert_eq!(stage.kinds(), [SwitchSource; 18]);
    let page = stage.decider.incidents().filter_map(|it| it.page).last();
    assert_eq!(page, Some(Reason::CircuitOpen), "people are called all the same");
}

/// A channel with two witnesses at the head-end, and a backup that is some seconds behind.
fn well_watched(behind: u64) -> Stage {
    let mut parts = platform(1, 2);
    parts.channels[0].sources[1].offset = Some(Duration::from_secs(behind));
    let mut second = parts.agents[0].clone();
    second.node = NodeId::new("tail").unwrap();
    second.path = "tail".to_owned();
    parts.agents.push(second);
    Stage::new(parts, Mode::Auto)
}

#[test]
fn what_one_witness_has_from_its_own_path_does_not_make_a_meant_black_a_fault() {
    let mut stage = well_watched(8);
    stage.breaks_for("head", "c0/primary", FaultKind::Continuity, 100);
    stage.run(5);
    stage.breaks("c0/primary", MEANT, 60);
    stage.run(8);
    stage.breaks("c0/backup", MEANT, 60);
    stage.run(30);
    assert_eq!(stage.kinds(), []);
    stage.incident("c0");
}

#[test]
fn what_cues_announce_is_no_fault_even_where_deliveries_lack_them() {
    for announced in [&[][..], &["c0/primary"], &["c0/primary", "c0/backup"]] {
        let mut stage = well_watched(8);
        stage.announced = announced.iter().copied().collect();
        stage.breaks("c0/primary", MEANT, 60);
        stage.run(50);
        let expected = if announced.is_empty() { &[SwitchSource][..] } else { &[] };
        assert_eq!(stage.kinds(), expected, "{announced:?}");
    }
}

#[test]
fn what_most_witnesses_have_is_a_fault_whatever_else_they_see() {
    let mut stage = well_watched(0);
    stage.breaks("c0/primary", FaultKind::Continuity, 100);
    stage.breaks_for("head", "c0/primary", MEANT, 60);
    stage.run(10);
    assert_eq!(stage.kinds(), [SwitchSource]);
}

#[test]
fn damping_survives_a_restart_with_the_changes_of_others() {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    for turn in 0..3 {
        stage.switch(if turn % 2 == 0 { "c0/backup" } else { "c0/primary" }, ChangedBy::Panel);
        stage.run(70);
    }
    stage.restart();
    stage.run(20);
    // The hands-off for the panel's own change is over by now.
    stage.breaks("c0/backup", MEANT, 30);
    stage.run(20);
    assert_eq!(stage.kinds(), []);
    assert!(stage.refused("c0/backup").contains(&"damped"));
}

#[test]
fn a_channel_is_left_to_whoever_changed_its_source() {
    for (by, other, after) in
        [(ChangedBy::Panel, Other::Panel, 60), (ChangedBy::Operator, Other::Person, 1800)]
    {
        let mut stage = Stage::new(platform(1, 2), Mode::Auto);
        assert_eq!(stage.decider.hands_off(&channel("c0"), at(WARM)), None, "the first state");
        stage.switch("c0/backup", by.clone());
        stage.run(1);
        let changed = stage.second;
        stage.restart();
        stage.run(1);
        let hands_off = stage.decider.hands_off(&channel("c0"), at(stage.second)).unwrap();
        assert_eq!((hands_off.by, hands_off.until), (other, at(changed + after)));
        stage.run(15);
        stage.breaks("c0/backup", HARD, after + 100);
        stage.run(10);
        assert_eq!(stage.kinds(), [], "{by:?}");
        assert!(stage.refused("c0/backup").contains(&"hands_off"), "{by:?}");
        stage.run(after);
        let first = stage.sent.first().map(|it| it.0);
        assert!(first.is_some_and(|it| it >= changed + after), "{by:?}: {first:?}");
    }
}

#[test]
fn a_channel_is_left_to_whoever_changed_its_source_while_the_collector_was_down() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    stage.breaks("c1/primary", HARD, 100);
    stage.run(5);
    assert_eq!(stage.kinds(), [SwitchSource]);
    stage.switch("c0/backup", ChangedBy::Operator);
    stage.restart();
    stage.run(1);
    let hands_off = |id| stage.decider.hands_off(&channel(id), at(stage.second));
    assert_eq!(hands_off("c0").map(|it| it.by), Some(Other::Person));
    assert_eq!(hands_off("c1"), None, "that was our own");
}

#[test]
fn a_person_may_give_a_channel_back() {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    stage.switch("c0/backup", ChangedBy::Operator);
    stage.run(15);
    stage.breaks("c0/backup", HARD, 100);
    stage.run(10);
    assert_eq!(stage.kinds(), []);
    stage.tell(Input::EndHandsOff { channel: channel("c0") });
    stage.restart();
    stage.run(15);
    assert_eq!(stage.kinds(), [SwitchSource]);
}

#[test]
fn a_switch_of_our_own_is_nobody_elses_change() {
    let mut stage = Stage::new(platform(1, 2), Mode::Auto);
    stage.breaks("c0/primary", HARD, 30);
    stage.run(60);
    assert_eq!(stage.kinds(), [SwitchSource]);
    assert_eq!(stage.decider.hands_off(&channel("c0"), at(stage.second)), None);
}

fn plan(id: &str, area: Area, begin: u64, end: u64) -> Plan {
    let (begin, end) = (at(begin), at(end));
    let id = WindowId::new(id).unwrap();
    Plan { id, area, begin, end, by: Some("ops".to_owned()), why: "new disks".to_owned() }
}

#[test]
fn maintenance_drains_its_server_and_brings_it_back_when_it_is_good() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    let begin = stage.second + 10;
    stage.tell(Input::Maintain(plan("disks", Area::Server(server("s0")), begin, begin + 120)));
    stage.run(9);
    assert_eq!(stage.kinds(), [], "it has not begun");
    stage.run(11);
    assert_eq!(stage.kinds(), [DrainServer]);
    let purpose = stage.sent[0].1.purpose.clone();
    assert_eq!(purpose.window().map(WindowId::as_str), Some("disks"));
    stage.all_break(["c0/s0", "c1/s0"].map(str::to_owned), HARD, 130);
    stage.run(40);
    stage.restart();
    stage.run(65);
    let incident = stage.incident("s0");
    assert_eq!(incident.maintenance.as_ref().map(WindowId::as_str), Some("disks"));
    assert_eq!((incident.page, incident.remedy), (None, Remedy::Held));
    assert_eq!(stage.kinds(), [DrainServer], "it is worked on");
    stage.run(10);
    assert_eq!(stage.decider.windows().next().unwrap().state(at(stage.second)), WindowState::Over);
    let refusals = stage.decider.windows().flat_map(|it| &it.refusals);
    assert!(refusals.map(|it| it.reason).any(|it| it == Reason::ServerNotWell));
    assert_eq!(stage.kinds(), [DrainServer], "it is not good yet");
    stage.run(60);
    assert_eq!(stage.kinds(), [DrainServer, UndrainServer]);
    stage.run(100);
    assert_eq!(stage.kinds(), [DrainServer, UndrainServer]);
}

#[test]
fn a_word_that_comes_after_the_work_is_over_drains_nothing() {
    let mut stage = Stage::new(platform(2, 2), Mode::Approve);
    let now = stage.second;
    stage.tell(Input::Maintain(plan("disks", Area::Server(server("s0")), now, now + 30)));
    stage.run(10);
    let waiting = stage.decider.actions().next().unwrap();
    let (action, state) = (waiting.id, waiting.state);
    assert_eq!(state, ActionState::Waiting);
    stage.run(25);
    assert_eq!(stage.decider.action(action).unwrap().state, ActionState::Withdrawn);
    stage.tell(Input::Approve { action, by: "ops".to_owned() });
    stage.run(5);
    assert_eq!(stage.kinds(), []);
}

/// A server is worked on for two minutes by a panel that knows shares.
fn worked_on() -> Stage {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    stage.knows_shares = true;
    let now = stage.second;
    stage.tell(Input::Maintain(plan("disks", Area::Server(server("s0")), now, now + 120)));
    stage.run(100);
    assert_eq!(stage.kinds(), [DrainServer]);
    stage
}

#[test]
fn after_maintenance_a_server_gets_its_viewers_back_in_steps() {
    let mut stage = worked_on();
    stage.run(80);
    stage.restart();
    stage.run(400);
    assert_eq!(stage.kinds(), [DrainServer, ReturnServer, ReturnServer, ReturnServer]);
    let shares: Vec<_> = stage.sent.iter().filter_map(|it| it.1.share).collect();
    assert_eq!(shares, [25, 50, 100]);
}

#[test]
fn what_does_not_bear_its_viewers_after_maintenance_is_drained_again_and_left_to_people() {
    let mut stage = worked_on();
    stage.run(30);
    assert_eq!(stage.kinds(), [DrainServer, ReturnServer]);
    stage.all_break(["c0/s0", "c1/s0"].map(str::to_owned), HARD, 20);
    stage.run(600);
    assert_eq!(stage.kinds(), [DrainServer, ReturnServer, DrainServer]);
}

#[test]
fn a_person_who_brings_a_server_back_during_maintenance_has_it_back() {
    let mut stage = worked_on();
    stage.tell(Input::Return { server: server("s0"), by: "ops".to_owned() });
    stage.run(400);
    let after = [DrainServer, ReturnServer, ReturnServer, ReturnServer];
    assert_eq!(stage.kinds(), after);
    assert!(stage.sent[1].0 < WARM + 120, "the work is not over");
}

#[test]
fn a_server_is_brought_back_after_the_last_work_on_it() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    let now = stage.second;
    stage.tell(Input::Maintain(plan("disks", Area::Server(server("s0")), now, now + 120)));
    stage.tell(Input::Maintain(plan("more", Area::Server(server("s0")), now + 60, now + 300)));
    stage.run(295);
    assert_eq!(stage.kinds(), [DrainServer], "the disks are done, more is not");
    stage.run(100);
    assert_eq!(stage.kinds(), [DrainServer, UndrainServer]);
}

#[test]
fn a_drain_that_a_person_took_back_is_ours_no_more() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    let now = stage.second;
    let weekly = |begin| plan("disks", Area::Server(server("s0")), begin, begin + 120);
    stage.tell(Input::Maintain(weekly(now)));
    stage.run(90);
    stage.drained.insert(server("s0"), false);
    stage.run(10);
    stage.drained.insert(server("s0"), true);
    stage.restart();
    stage.run(200);
    assert_eq!(stage.kinds(), [DrainServer], "somebody else drained it after that");
    stage.drained.insert(server("s0"), false);
    stage.run(10);
    stage.tell(Input::Maintain(weekly(stage.second)));
    stage.run(60);
    assert_eq!(stage.kinds(), [DrainServer; 2], "the next work is another one");
}

#[test]
fn what_is_drained_for_work_stays_so_whatever_the_policy_says_of_returns() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    stage.policy.guards.server_return = Return::Auto;
    stage.policy.guards.return_after = Duration::from_secs(60);
    stage.tell(Input::Policy(Box::new(stage.policy.clone())));
    let now = stage.second;
    stage.tell(Input::Maintain(plan("disks", Area::Server(server("s0")), now, now + 500)));
    stage.run(490);
    assert_eq!(stage.kinds(), [DrainServer]);
}

#[test]
fn nothing_comes_back_to_what_is_worked_on() {
    let mut parts = platform(2, 2);
    parts.channels[0].fail_back = Some(Duration::from_secs(120));
    let mut stage = Stage::new(parts, Mode::Auto);
    stage.breaks("c0/primary", HARD, 30);
    stage.run(60);
    assert_eq!(stage.kinds(), [SwitchSource]);
    let now = stage.second;
    stage.tell(Input::Maintain(plan("work", Area::Channel(channel("c0")), now, now + 300)));
    stage.run(295);
    assert_eq!(stage.kinds(), [SwitchSource]);
    stage.run(30);
    assert_eq!(stage.kinds(), [SwitchSource; 2]);
}

#[test]
fn what_breaks_in_maintenance_is_no_storm() {
    for is_worked_on in [true, false] {
        let mut stage = Stage::new(platform(20, 2), Mode::Auto);
        let now = stage.second;
        for i in 0..8 {
            if is_worked_on {
                let area = Area::Channel(channel(&format!("c{i}")));
                stage.tell(Input::Maintain(plan(&format!("w{i}"), area, now, now + 300)));
            }
            stage.all_break([format!("c{i}/s0"), format!("c{i}/s1")], HARD, 100);
            stage.run(3);
        }
        stage.run(40);
        let storms = stage.decider.incidents().filter(|it| it.storm).count();
        assert_eq!(storms > 0, !is_worked_on);
    }
}

#[test]
fn what_a_person_is_asked_he_is_asked_once() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    stage.knows_shares = true;
    stage.all_break(["c0/s0", "c1/s0"].map(str::to_owned), HARD, 30);
    stage.run(120);
    stage.tell(Input::Return { server: server("s0"), by: "ops".to_owned() });
    stage.run(10);
    assert_eq!(stage.kinds(), [DrainServer, ReturnServer]);
    stage.tell(Input::SetMode { scope: Scope::Global, mode: Mode::Approve, by: "ops".to_owned() });
    // Gone again before anybody could name it, but seen by the step.
    stage.all_break(["c0/s0", "c1/s0"].map(str::to_owned), HARD, 4);
    stage.run(200);
    let asked = |stage: &Stage| {
        let drains = stage.decider.actions().filter(|it| it.kind == DrainServer);
        drains.filter(|it| it.sent.is_none()).count()
    };
    assert_eq!(asked(&stage), 1);
    let waiting = stage.decider.actions().find(|it| it.state == ActionState::Waiting);
    let action = waiting.map(|it| it.id).unwrap();
    stage.tell(Input::Reject { action, by: "ops".to_owned() });
    stage.run(200);
    assert_eq!(asked(&stage), 1, "no means no");
}

#[test]
fn a_return_goes_on_from_where_somebody_else_brought_it() {
    let mut stage = worked_on();
    stage.run(40);
    assert_eq!(stage.kinds(), [DrainServer, ReturnServer]);
    stage.shares.insert(server("s0"), 100);
    stage.run(300);
    assert_eq!(stage.kinds(), [DrainServer, ReturnServer]);
}

#[test]
fn what_never_reached_the_panel_opens_no_circuit() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    stage.refuses.insert(RestartStream, Outcome::NotSent(Reason::JournalFails));
    stage.all_break(["c0/s0", "c0/s1"].map(str::to_owned), HARD, 600);
    stage.run(330);
    let tried = stage.decider.actions().count();
    assert!(tried >= 4, "{tried}");
    stage.refuses.clear();
    stage.run(70);
    assert_eq!(stage.kinds(), [RestartStream]);
}

#[test]
fn nobody_is_called_for_what_has_ended() {
    let mut stage = Stage::new(platform(1, 2), Mode::DryRun);
    stage.breaks("c0/primary", HARD, 15);
    stage.run(60);
    let incident = stage.incident("c0/primary");
    assert_eq!((incident.state, incident.page), (IncidentState::Closed, None));
    assert_eq!(stage.refused("c0/primary"), ["mode_dry_run"]);
}

#[test]
fn viewers_are_not_brought_where_there_is_no_room_for_them() {
    for (saturation, drains) in [(0.3, vec![DrainServer]), (0.6, vec![])] {
        let mut parts = platform(2, 2);
        parts.servers[1].node = Some(NodeId::new("a").unwrap());
        let mut stage = Stage::new(parts, Mode::Auto);
        stage.saturation = saturation;
        stage.sessions = ["s0", "s1"].map(|it| (server(it), 100)).into();
        stage.run(2);
        let now = stage.second;
        stage.tell(Input::Maintain(plan("disks", Area::Server(server("s0")), now, now + 500)));
        stage.run(60);
        assert_eq!(stage.kinds(), drains, "the other has twice as many viewers after it");
    }
}

#[test]
fn viewers_for_whom_there_turns_out_to_be_no_room_are_given_back_before_the_work() {
    let mut parts = platform(2, 2);
    parts.servers[1].node = Some(NodeId::new("a").unwrap());
    let mut stage = Stage::new(parts, Mode::Auto);
    stage.knows_shares = true;
    stage.sessions.insert(server("s0"), 100);
    let now = stage.second;
    stage.tell(Input::Maintain(plan("disks", Area::Server(server("s0")), now, now + 600)));
    stage.saturation = 0.9;
    stage.run(20);
    stage.sessions.clear();
    stage.run(50);
    assert_eq!(stage.kinds(), [DrainServer, ReturnServer]);
    let refusals = stage.decider.windows().flat_map(|it| &it.refusals);
    assert!(refusals.map(|it| it.reason).any(|it| it == Reason::NoSurvivor));
    stage.saturation = 0.3;
    stage.restart();
    stage.run(400);
    let back = [DrainServer, ReturnServer, ReturnServer, ReturnServer];
    assert_eq!(stage.kinds(), back, "the work goes without another drain");
}

#[test]
fn a_region_that_is_worked_on_is_left_when_a_person_agrees() {
    for agrees in [true, false] {
        let mut stage = two_regions();
        stage.tells_regions = true;
        stage.policy.modes.insert(Scope::Action(RegionMove), Mode::Approve);
        stage.tell(Input::Policy(Box::new(stage.policy.clone())));
        let (now, home) = (stage.second, RegionId::new("home").unwrap());
        stage.tell(Input::Maintain(plan("power", Area::Region(home), now, now + 300)));
        stage.run(10);
        let waits = stage.decider.actions().find(|it| it.state == ActionState::Waiting);
        let action = waits.map(|it| (it.id, it.kind)).unwrap();
        assert_eq!((action.1, stage.kinds()), (RegionMove, vec![]));
        let by = "ops".to_owned();
        stage.tell(match agrees {
            true => Input::Approve { action: action.0, by },
            false => Input::Reject { action: action.0, by },
        });
        stage.run(500);
        assert_eq!(stage.kinds(), if agrees { vec![RegionMove] } else { vec![] });
        assert!(stage.decider.actions().all(|it| it.state.is_final()));
    }
}

#[test]
fn maintenance_that_a_person_ends_is_over() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    let now = stage.second;
    let weekly = Plan { by: None, ..plan("disks", Area::Server(server("s0")), now, now + 1000) };
    stage.tell(Input::Maintain(weekly.clone()));
    stage.run(70);
    stage.tell(Input::EndMaintenance { window: WindowId::new("disks").unwrap() });
    // The lineup still plans it, and says so at each start.
    stage.tell(Input::Maintain(weekly));
    stage.run(70);
    assert_eq!(stage.kinds(), [DrainServer, UndrainServer]);
}

#[test]
fn what_others_drained_is_not_brought_back_after_maintenance() {
    let mut stage = Stage::new(platform(2, 2), Mode::Auto);
    stage.drained.insert(server("s0"), true);
    stage.run(1);
    let now = stage.second;
    stage.tell(Input::Maintain(plan("disks", Area::Server(server("s0")), now, now + 60)));
    stage.run(150);
    assert_eq!(stage.kinds(), []);
}

#[test]
fn what_breaks_where_people_work_neither_acts_nor_calls_anybody_until_they_are_done() {
    let home = Area::Region(RegionId::new("home").unwrap());
    for (area, breaks, subject, then) in [
        (Area::Channel(channel("c0")), vec!["c0/primary"], "c0/primary", SwitchSource),
        (home, vec!["c0/s0", "c0/s1"], "c0", RestartStream),
    ] {
        let mut stage = Stage::new(platform(2, 2), Mode::Auto);
        let now = stage.second;
        stage.tell(Input::Maintain(plan("work", area.clone(), now, now + 60)));
        stage.all_break(breaks.iter().map(|it| (*it).to_owned()), HARD, 200);
        stage.run(50);
        let incident = stage.incident(subject);
        assert_eq!((incident.page, incident.remedy), (None, Remedy::Held), "{area}");
        assert!(incident.maintenance.is_some(), "{area}");
        assert_eq!(stage.kinds(), [], "{area}");
        stage.run(30);
        assert_eq!(stage.kinds().first(), Some(&then), "{area}");
        assert_eq!(stage.incident(subject).maintenance, None, "{area}");
    }
}

#[test]
fn maintenance_of_one_server_keeps_nothing_else_from_being_done() {
    let mut stage = Stage::new(platform(2, 3), Mode::Auto);
    let now = stage.second;
    stage.tell(Input::Maintain(plan("disks", Area::Server(server("s0")), now, now + 500)));
    stage.run(70);
    stage.breaks("c1/primary", HARD, 100);
    stage.run(30);
    assert_eq!(stage.kinds(), [DrainServer, SwitchSource]);
}

#[test]
fn maintenance_is_bounded() {
    let mut stage = Stage::new(platform(1, 2), Mode::Off);
    let now = stage.second;
    for number in 0..3 * MAX_WINDOWS {
        let area = Area::Channel(channel("c0"));
        stage.tell(Input::Maintain(plan(&format!("w{number}"), area, now, now + 50)));
    }
    assert_eq!(stage.decider.windows().count(), MAX_WINDOWS);
    for round in 0..3 {
        stage.run(60);
        for number in 0..MAX_WINDOWS {
            let (area, now) = (Area::Channel(channel("c0")), stage.second);
            stage.tell(Input::Maintain(plan(&format!("r{round}-{number}"), area, now, now + 50)));
        }
        assert!(stage.decider.windows().count() <= 2 * MAX_WINDOWS);
    }
}

/// The first channels' primary sources, each of which fails for itself.
fn primaries(channels: usize) -> impl Iterator<Item = String> {
    (0..channels).map(|it| format!("c{it}/primary"))
}

/// A platform whose sources share nothing.
fn unshared(channels: usize) -> Stage {
    let mut parts = platform(channels, 2);
    parts.channels.iter_mut().flat_map(|it| &mut it.sources).for_each(|it| it.provider = None);
    Stage::new(parts, Mode::Auto)
}

#[test]
fn much_that_breaks_at_once_for_many_reasons_calls_people_once_and_nothing_else() {
    let mut stage = unshared(20);
    stage.all_break(primaries(8), HARD, 1000);
    stage.run(30);
    assert_eq!(stage.kinds(), []);
    let storm = stage.incident("home");
    assert!(storm.storm);
    assert_eq!((storm.page, storm.affected.len()), (Some(Reason::Storm), 8));
    assert_eq!(stage.decider.incidents().filter(|it| it.page.is_some()).count(), 1);
    let narrower = stage.incident("c0/primary");
    assert_eq!((narrower.remedy, narrower.page), (Remedy::Held, None));
    stage.restart();
    stage.run(240);
    assert_eq!(stage.kinds(), [], "it stands for 5 minutes after the last minute of it");
    stage.run(200);
    assert_eq!(stage.incident("home").state, IncidentState::Closed);
    assert_eq!(stage.kinds(), [SwitchSource; 8], "what is left is mended in order");
}

#[test]
fn what_one_cause_explains_is_no_storm() {
    // A provider, with one channel that fails for itself beside it.
    let mut stage = Stage::new(platform(20, 2), Mode::Auto);
    stage.all_break(primaries(20), HARD, 100);
    stage.run(30);
    assert!(stage.decider.incidents().all(|it| !it.storm));
    // A server.
    let mut stage = Stage::new(platform(20, 2), Mode::Auto);
    stage.all_break((0..20).map(|it| format!("c{it}/s0")), HARD, 100);
    stage.run(30);
    assert!(stage.decider.incidents().all(|it| !it.storm));
    assert_eq!(stage.kinds(), [DrainServer]);
    // A region.
    let mut stage = Stage::new(platform(20, 2), Mode::Auto);
    let all = (0..20).flat_map(|it| [format!("c{it}/s0"), format!("c{it}/s1")]);
    stage.all_break(all, FaultKind::Continuity, 100);
    stage.run(30);
    assert!(stage.decider.incidents().all(|it| !it.storm));
}

#[test]
fn few_channels_are_no_storm() {
    for (channels, broken) in [(4, 4), (20, 5), (40, 8)] {
        let mut stage = unshared(channels);
        stage.all_break(primaries(broken), HARD, 300);
        stage.run(60);
        assert!(stage.decider.incidents().all(|it| !it.storm), "{broken} of {channels}");
        assert_eq!(stage.kinds(), vec![SwitchSource; broken], "{broken} of {channels}");
    }
}

#[test]
fn what_breaks_bit_by_bit_is_no_storm() {
    let mut stage = unshared(20);
    for number in 0..12 {
        stage.breaks(&format!("c{number}/primary"), HARD, 100);
        stage.run(20);
    }
    assert!(stage.decider.incidents().all(|it| !it.storm));
    assert_eq!(stage.kinds(), [SwitchSource; 12]);
}

#[test]
fn a_no_is_one_for_this_incident_and_rung() {
    let mut stage = Stage::new(platform(1, 2), Mode::Approve);
    stage.breaks("c0/primary", HARD, 900);
    stage.run(10);
    let waiting = |stage: &Stage| {
        let mut all = stage.decider.actions();
        all.find(|it| it.state == ActionState::Waiting).map(|it| it.id)
    };
    let action = waiting(&stage).unwrap();
    stage.tell(Input::Reject { action, by: "ops".to_owned() });
    stage.restart();
    stage.run(700);
    let rejected = stage.decider.action(action).unwrap();
    assert_eq!((rejected.state, rejected.detail.as_str()), (ActionState::Rejected, "ops said no"));
    assert_eq!(waiting(&stage), None, "it is not asked again");
    assert!(stage.refused("c0/primary").contains(&"rejected"));
    stage.tell(Input::Approve { action, by: "ops".to_owned() });
    assert_eq!(stage.kinds(), [], "it cannot be taken back");
    // The next incident is asked about anew.
    stage.run(300);
    stage.breaks("c0/primary", HARD, 100);
    stage.run(10);
    assert!(waiting(&stage).is_some());
}

#[test]
fn what_bounds_every_mode_bounds_those_that_persons_set() {
    let mut stage = Stage::new(platform(1, 2), Mode::Approve);
    let by_hand =
        |mode| Input::SetMode { scope: Scope::Action(SwitchSource), mode, by: "ops".to_owned() };
    stage.tell(Input::SetMode { scope: Scope::Global, mode: Mode::Auto, by: "ops".to_owned() });
    stage.tell(by_hand(Mode::Auto));
    let bounded = Policy { at_most: Some(Mode::Approve), ..stage.policy.clone() };
    stage.tell(Input::Policy(Box::new(bounded)));
    stage.tell(by_hand(Mode::Auto));
    assert!(stage.decider.modes().all(|(_, mode)| mode == Mode::Approve));
    stage.breaks("c0/primary", HARD, 100);
    stage.run(10);
    assert_eq!(stage.kinds(), []);
    let action = stage.decider.actions().find(|it| it.state == ActionState::Waiting).unwrap().id;
    stage.tell(Input::Approve { action, by: "ops".to_owned() });
    assert_eq!(stage.kinds(), [SwitchSource], "a person may still say yes");
}

/// Most channels of a server, but not the last one.
fn most_of(server: usize) -> impl Iterator<Item = String> {
    (0..9).map(move |it| format!("c{it}/s{server}"))
}

#[test]
fn servers_that_still_serve_something_are_isolated_one_at_a_time() {
    for (servers, expected) in [(4, 1), (20, 2)] {
        let mut stage = Stage::new(platform(10, servers), Mode::Auto);
        for server in 0..3 {
            stage.all_break(most_of(server), HARD, 400);
            stage.run(10);
        }
        stage.run(200);
        assert_eq!(stage.kinds(), vec![DrainServer; expected], "of {servers}");
        assert!(stage.refused("s2").contains(&"isolation_budget"), "of {servers}");
    }
}

#[test]
fn a_server_that_serves_nothing_good_costs_no_budget() {
    let mut stage = Stage::new(platform(10, 6), Mode::Auto);
    for server in 0..3 {
        stage.all_break((0..10).map(|it| format!("c{it}/s{server}")), HARD, 400);
        stage.run(10);
    }
    stage.run(200);
    assert_eq!(stage.kinds(), [DrainServer; 3]);
}

#[test]
fn a_region_keeps_most_of_its_servers() {
    // Room by number, if a share of a half may be isolated, but not for health.
    let mut stage = Stage::new(platform(10, 4), Mode::Auto);
    stage.policy.guards.isolated_share = tallylight_model::Ratio::new(0.5);
    stage.tell(Input::Policy(Box::new(stage.policy.clone())));
    for server in 0..2 {
        stage.all_break(most_of(server), HARD, 400);
        stage.run(80);
    }
    assert_eq!(stage.kinds(), [DrainServer]);
    assert!(stage.refused("s1").contains(&"isolation_budget"));
}

#[test]
fn one_server_of_a_region_is_on_its_way_out_at_a_time() {
    let mut stage = Stage::new(platform(10, 30), Mode::Auto);
    stage.all_break(most_of(0).chain(most_of(1)), HARD, 400);
    stage.run(60);
    assert_eq!(stage.kinds(), [DrainServer; 2]);
    let first = stage.decider.action(stage.sent[0].1.action).unwrap();
    assert!(at(stage.sent[1].0) >= first.ended.unwrap(), "not before the first was verified");
    assert_ne!(stage.sent[0].0, stage.sent[1].0);
}

/// Four channels on three servers of each of two regions, with two witnesses in both.
fn two_regions() -> Stage {
    let mut parts = platform(4, 3);
    let away = RegionId::new("away").unwrap();
    parts.regions.push(Region { id: away.clone() });
    for number in 0..3 {
        let id = server(&format!("s-away{number}"));
        parts.servers.push(Server { id: id.clone(), region: away.clone(), node: None });
        for channel in &mut parts.channels {
            channel.deliveries.push(Delivery {
                stream: StreamId::parse(&format!("{}/{id}", channel.id)).unwrap(),
                server: id.clone(),
                delay: Duration::ZERO,
            });
        }
    }
    for name in ["c", "d"] {
        let (node, path) = (NodeId::new(name).unwrap(), name.to_owned());
        parts.agents.push(Agent { node, region: away.clone(), path });
    }
    let mut stage = Stage::new(parts, Mode::Auto);
    stage.policy.modes.insert(Scope::Action(RegionMove), Mode::Auto);
    stage.tell(Input::Policy(Box::new(stage.policy.clone())));
    stage
}

/// All that the first servers of `home` or `away` deliver.
fn on_servers(prefix: &str, servers: usize) -> impl Iterator<Item = String> {
    let all = (0..4).flat_map(move |it| (0..servers).map(move |server| (it, server)));
    all.map(move |(it, server)| format!("c{it}/{prefix}{server}"))
}

#[test]
fn no_server_is_drained_where_a_region_is_being_moved_from_or_to() {
    let mut stage = two_regions();
    stage.all_break(on_servers("s", 3), FaultKind::Continuity, 400);
    stage.run(10);
    assert_eq!(stage.kinds(), [RegionMove]);
    stage.all_break(on_servers("s-away", 1), HARD, 400);
    stage.run(20);
    assert_eq!(stage.kinds(), [RegionMove], "it is not known what came of it");
    assert!(stage.refused("s-away0").contains(&"target_locked"));
    stage.run(60);
    assert_eq!(stage.kinds(), [RegionMove, DrainServer]);
}

#[test]
fn no_region_is_moved_where_a_server_is_being_drained() {
    let mut stage = two_regions();
    // Viewers stay on it.
    stage.sessions.insert(server("s0"), 1000);
    stage.all_break(on_servers("s", 1), HARD, 400);
    stage.run(10);
    assert_eq!(stage.kinds(), [DrainServer]);
    stage.all_break(on_servers("s", 3), FaultKind::Continuity, 400);
    stage.run(20);
    assert_eq!(stage.kinds(), [DrainServer]);
    assert!(stage.refused("home").contains(&"target_locked"));
}

#[test]
fn groups_of_one_moment_are_as_many_in_the_budget_over_everything() {
    let mut parts = platform(9, 2);
    for (number, channel) in parts.channels.iter_mut().enumerate() {
        let provider = ProviderId::new(&format!("sat-{}", number / 3)).unwrap();
        channel.sources[0].provider = Some(provider);
    }
    parts
        .providers
        .extend((0..3).map(|it| Provider { id: ProviderId::new(&format!("sat-{it}")).unwrap() }));
    let mut stage = Stage::new(parts, Mode::Auto);
    let guards = &mut stage.policy.guards;
    (guards.global_per_minute, guards.global_burst, guards.storm_channels) = (1, 2, 100);
    stage.tell(Input::Policy(Box::new(stage.policy.clone())));
    stage.all_break(primaries(9), HARD, 100);
    stage.run(5);
    assert_eq!(stage.kinds(), [SwitchSource; 2], "one canary each of two");
    let named = ["sat-0", "sat-1", "sat-2"].map(|it| stage.refused(it));
    assert!(named.concat().contains(&"global_rate"), "{named:?}");
}
