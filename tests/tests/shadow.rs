//! What actions were worth, or would have been, in the simulated world.

use std::time::Duration;

use tallylight_decide::{
    Mode, Policy, Scope,
    action::{ActionKind, ActionState},
    shadow::{How, Report, Row, Verdict, Worth},
};
use tallylight_model::{FaultKind, MonoTime};
use tallylight_tests::sim::{
    Manners, SHAPES, START, World,
    platform::{self, Event, Trouble, channel, demo_lineup, server, stream},
};

const WARM_UP: Duration = Duration::from_secs(65);

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

fn trouble(from: f64, lasts: f64, what: Trouble) -> Event {
    let from = START + WARM_UP + secs(from);
    Event { from, to: from + secs(lasts), what }
}

fn stop(id: &str, from: f64, lasts: f64) -> Event {
    trouble(from, lasts, Trouble::Source(stream(id), FaultKind::NoData))
}

fn world(events: Vec<Event>, mode: Mode) -> World {
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, mode);
    World::new(1, demo_lineup(), events, 2).with_policy(policy)
}

/// The report after the world has run for so long, and the worth of the first action.
fn ran(world: World, watched: f64) -> (Report, Worth) {
    let (report, worth, _) = told(world, watched);
    (report, worth)
}

/// The same with everything that happened.
#[expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]
fn told(mut world: World, watched: f64) -> (Report, Worth, String) {
    world.run_for(WARM_UP + secs(watched));
    let decider = world.decider().expect("the collector is up");
    let first = decider.actions().next().expect("an action was decided");
    let worth = decider.worth(first.id).expect("its kind is watched").clone();
    assert!(decider.actions().all(|it| it.state != ActionState::Waiting));
    let report = decider.shadow();
    (report, worth, world.story().log)
}

fn global(report: &Report) -> Vec<&Row> {
    report.rows.iter().filter(|it| it.scope == Scope::Global).collect()
}

/// A name, what goes wrong, and about how many seconds of viewers that costs from when something can be done.
type Broken = (&'static str, fn() -> Vec<Event>, f64);

#[test]
fn what_is_proposed_is_worth_what_the_same_is_worth_when_it_is_done() {
    let broken: [Broken; 4] = [
        ("a source stops", || vec![stop("one/primary", 0.0, 90.0)], 2.0 * 85.0),
        (
            "a source is black",
            || vec![trouble(0.0, 90.0, Trouble::Source(stream("one/primary"), FaultKind::Black))],
            2.0 * 82.0,
        ),
        // One of two deliveries of four channels.
        ("a server dies", || vec![trouble(0.0, 90.0, Trouble::Dead(server("n1")))], 4.0 * 42.0),
        (
            "a server of segments dies",
            || vec![trouble(0.0, 90.0, Trouble::Dead(server("n2")))],
            4.0 * 42.0,
        ),
    ];
    for (name, events, about) in broken {
        let (would, one) = ran(world(events(), Mode::DryRun), 150.0);
        let (did, other) = ran(world(events(), Mode::Auto), 150.0);
        assert_eq!((one.how, other.how), (How::WouldBe, How::Done), "{name}");
        for (report, worth) in [(&would, &one), (&did, &other)] {
            assert_eq!(
                (worth.verdict, worth.verified),
                (Verdict::Right, Some(true)),
                "{name}: {worth:?}"
            );
            let gained = worth.total().gained.as_secs_f64();
            assert!((about * 0.85..about * 1.1).contains(&gained), "{name}: {gained} {worth:?}");
            assert_eq!(worth.total().spoiled, Duration::ZERO, "{name}");
            assert!(report.wrong.is_empty(), "{name}");
            let rows = global(report);
            assert_eq!(rows.len(), 1, "{name}: {report}");
            assert_eq!(rows[0].seconds, worth.total(), "{name}");
        }
    }
}

#[test]
fn what_would_have_been_wrong_is_called_so() {
    let cases: [(&str, Vec<Event>, Verdict); 4] = [
        (
            "the backup stops too",
            vec![stop("one/primary", 0.0, 90.0), stop("one/backup", 7.0, 60.0)],
            Verdict::NoHelp,
        ),
        ("it heals at once", vec![stop("one/primary", 0.0, 2.2)], Verdict::Needless),
        (
            "it was the region",
            vec![
                trouble(0.0, 90.0, Trouble::Dead(server("s1"))),
                trouble(8.0, 82.0, Trouble::Dead(server("s2"))),
            ],
            Verdict::WrongCause,
        ),
        (
            "nobody can say",
            vec![trouble(0.0, 60.0, Trouble::Hang(channel("three")))],
            Verdict::Unjudged,
        ),
    ];
    for (name, events, verdict) in cases {
        let (report, worth) = ran(world(events, Mode::DryRun), 150.0);
        assert_eq!(worth.verdict, verdict, "{name}: {worth:?}\n{report}");
        assert_eq!(report.wrong.len(), usize::from(verdict.is_wrong()), "{name}");
        if verdict == Verdict::Unjudged {
            assert_eq!(worth.total().gained, Duration::ZERO, "{name}");
            assert!(worth.total().left > secs(80.0), "two regions: {worth:?}");
        }
    }
}

#[test]
fn what_was_done_and_did_not_help_or_was_not_done_gains_nothing() {
    for (manners, verdict) in [(Manners::Lies, Verdict::NoHelp), (Manners::Fails, Verdict::NotDone)]
    {
        let broken = world(vec![stop("one/primary", 0.0, 50.0)], Mode::Auto).with_manners(manners);
        let (report, worth) = ran(broken, 120.0);
        assert_eq!((worth.how, worth.verdict), (How::Done, verdict), "{manners:?}\n{report}");
        assert_eq!(worth.total().gained, Duration::ZERO, "{manners:?}");
    }
}

#[test]
fn a_report_names_each_action_once_and_each_region_that_it_touches() {
    let events =
        vec![stop("one/primary", 0.0, 60.0), trouble(0.0, 60.0, Trouble::Dead(server("s1")))];
    let (report, _) = ran(world(events, Mode::DryRun), 120.0);
    let count = |scope: &Scope| -> u32 {
        let rows = report.rows.iter().filter(|it| it.scope == *scope);
        rows.flat_map(|it| it.verdicts.values()).sum()
    };
    assert_eq!(count(&Scope::Global), 2, "{report}");
    assert_eq!(count(&Scope::Region(platform::region("south"))), 2, "{report}");
    assert_eq!(count(&Scope::Region(platform::region("north"))), 1, "{report}");
    let kinds: Vec<_> = global(&report).iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [ActionKind::SwitchSource, ActionKind::DrainServer], "{report}");
    assert_eq!(report.to_string().lines().count(), 1 + report.rows.len());
}

#[test]
fn a_restart_of_the_collector_keeps_what_was_counted() {
    let events = || vec![stop("one/primary", 0.0, 90.0)];
    let (_, whole) = ran(world(events(), Mode::DryRun), 150.0);
    for after in [4, 8, 12, 16, 20, 24] {
        let crashing = world(events(), Mode::DryRun).with_crash(after);
        let (report, worth, log) = told(crashing, 150.0);
        let case = format!("after {after}: {worth:?}\n{report}\n{log}");
        assert_eq!(worth.verdict, Verdict::Right, "{case}");
        let lost = whole.total().gained.saturating_sub(worth.total().gained);
        // Two seconds away, ten not yet safe, and the agents' first words, of two regions.
        assert!(lost <= secs(2.0 * 20.0), "after {after}: {lost:?}");
        assert!(worth.total().gained <= whole.total().gained + secs(2.0), "after {after}");
    }
    let mut world = world(events(), Mode::DryRun);
    world.run_for(WARM_UP + secs(140.0));
    let kept = world.remembered().shadow();
    assert_eq!(Some(kept), world.decider().map(tallylight_decide::Decider::shadow));
}

#[test]
fn every_verdict_is_given_when_its_incident_is_over() {
    for shape in SHAPES {
        for mode in [Mode::DryRun, Mode::Auto, Mode::Approve] {
            let mut world = world((shape.events)(START + WARM_UP), mode);
            world.run_for(WARM_UP + secs(150.0));
            let Some(decider) = world.decider() else { continue };
            let open: Vec<_> = decider
                .incidents()
                .filter(|it| it.closed.is_none())
                .flat_map(|it| it.actions.clone())
                .collect();
            for action in decider.actions() {
                let Some(worth) = decider.worth(action.id) else { continue };
                let case = format!("{} {mode:?}: {action:?} {worth:?}", shape.name);
                assert_eq!(worth.verdict == Verdict::Open, open.contains(&action.id), "{case}");
                let total = worth.total();
                assert!(total.gained <= total.left || worth.how == How::Done, "{case}");
                let age = MonoTime::since(world.now(), action.decided);
                let most = age * u32::try_from(worth.regions.len()).unwrap_or(u32::MAX) * 4;
                assert!(total.gained + total.spoiled <= most, "{case}");
            }
        }
    }
}
