//! What a person reads of an incident, in stories of the simulated world.
//!
//! `UPDATE=1 cargo test --test explain` writes every story anew into `tests/stories/`, and from there into `docs/operating.md`:
//! read what changed before it is kept.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tallylight_decide::{
    Decider, Input, Mode, Policy, Return, Scope,
    explain::{Explanation, MAX_LENGTH},
    incident::{Cause, Side},
    lineup::{Encoder, Lineup, Parts},
};
use tallylight_model::FaultKind;
use tallylight_tests::sim::{
    Manners, SHAPES, START, World,
    platform::{Event, Trouble, channel, demo_parts, encoder, node, server, stream},
};

const WARM_UP: Duration = Duration::from_secs(65);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn shape(name: &str) -> Vec<Event> {
    let shape = SHAPES.iter().find(|it| it.name == name).unwrap();
    (shape.events)(START + WARM_UP)
}

fn trouble(from: i64, lasts: u64, what: Trouble) -> Event {
    let warm = secs(WARM_UP.as_secs().saturating_add_signed(from));
    let from = START + warm;
    Event { from, to: from + secs(lasts), what }
}

fn of(parts: Parts, events: Vec<Event>, mode: Mode) -> World {
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, mode);
    World::new(1, Lineup::new(parts).unwrap(), events, 2).with_policy(policy)
}

fn demo(name: &str, mode: Mode) -> World {
    of(demo_parts(), shape(name), mode)
}

/// The demo's platform with all channels on one encoder.
fn on_one_encoder() -> Parts {
    let mut parts = demo_parts();
    parts.encoders = vec![Encoder { id: encoder("rack") }];
    parts.channels.iter_mut().for_each(|it| it.encoder = Some(encoder("rack")));
    parts
}

/// What was done is taken back after a while: a switch where the lineup asks for it, a drain by the policy.
fn taking_back(events: Vec<Event>) -> World {
    let mut parts = demo_parts();
    parts.channels[0].fail_back = Some(secs(120));
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, Mode::Auto);
    policy.guards.server_return = Return::Auto;
    policy.guards.return_after = secs(120);
    World::new(1, Lineup::new(parts).unwrap(), events, 2).with_policy(policy)
}

/// A story: its name, its world, and after how many seconds from the first trouble it is read.
type Story = (&'static str, World, &'static [u64]);

fn stories() -> Vec<Story> {
    let stop = |id: &str| Trouble::Source(stream(id), FaultKind::NoData);
    let mut one_backup_unseen = demo_parts();
    one_backup_unseen.channels.truncate(1);
    let mut no_offset = demo_parts();
    no_offset.channels[0].sources.iter_mut().for_each(|it| it.offset = None);
    vec![
        ("black, switched", demo("black", Mode::Auto), &[6, 30, 140]),
        ("stop, in dry_run", demo("stop", Mode::DryRun), &[5, 60]),
        ("stop, waiting for a person", demo("stop", Mode::Approve), &[20]),
        ("stop, while the mode is off", demo("stop", Mode::Off), &[20]),
        ("processing hangs", demo("hang", Mode::Auto), &[3, 40]),
        ("a server dies", demo("server-dies", Mode::Auto), &[4, 40, 120]),
        ("the second server dies too", demo("two-servers-die-apart", Mode::Auto), &[50]),
        ("a region loses packets", demo("region", Mode::Auto), &[20]),
        ("the programme is black", demo("programme", Mode::Auto), &[20]),
        ("a host drops packets", demo("host-drops", Mode::Auto), &[20]),
        ("the way of an agent is cut", demo("path-cut", Mode::Auto), &[20]),
        ("the backup is dead as well", demo("backup-dead", Mode::Auto), &[10, 40]),
        ("a provider fails", demo("provider", Mode::Auto), &[20]),
        ("one witness of a dead server", demo("one-witness-of-a-dead-server", Mode::Auto), &[30]),
        ("a source and a server at once", demo("source-and-server-at-once", Mode::Auto), &[30]),
        ("the panel lies", demo("stop", Mode::Auto).with_manners(Manners::Lies), &[15, 60]),
        (
            "the panel loses commands",
            demo("stop", Mode::Auto).with_manners(Manners::LosesCommands),
            &[8, 40],
        ),
        ("the panel fails", demo("stop", Mode::Auto).with_manners(Manners::Fails), &[80]),
        ("nobody knows the offset", of(no_offset, shape("black"), Mode::Auto), &[15, 50]),
        (
            "one channel, one slow server",
            of(
                {
                    let mut parts = one_backup_unseen;
                    for delivery in &mut parts.channels[0].deliveries {
                        if delivery.server != server("n1") {
                            delivery.delay = secs(40);
                        }
                    }
                    parts
                },
                vec![trouble(0, 300, Trouble::Hang(channel("one")))],
                Mode::Auto,
            ),
            &[15],
        ),
        (
            "black deliveries while nobody decodes the source",
            of(
                demo_parts(),
                ["two/n1", "two/n2", "two/s1", "two/s2"]
                    .map(|it| trouble(0, 90, Trouble::Delivery(stream(it), FaultKind::Black)))
                    .into_iter()
                    .chain([trouble(0, 120, Trouble::Blind(node("head-1")))])
                    .collect(),
                Mode::Auto,
            ),
            &[30],
        ),
        (
            "a source nobody is on",
            of(demo_parts(), vec![trouble(0, 60, stop("one/backup"))], Mode::Auto),
            &[20],
        ),
    ]
}

/// What comes after the first remedy: a group's next channels, and what is taken back.
fn later() -> Vec<Story> {
    let stop = |id: &str| Trouble::Source(stream(id), FaultKind::NoData);
    vec![
        (
            "an encoder is stuck",
            of(on_one_encoder(), vec![trouble(0, 60, Trouble::Stuck(encoder("rack")))], Mode::Auto)
                .with_restarts(),
            &[4, 50],
        ),
        (
            "a group is stopped by its first channel",
            of(
                demo_parts(),
                [trouble(-60, 600, Trouble::Unfit(stream("four/backup"), FaultKind::NoVideo))]
                    .into_iter()
                    .chain(
                        ["one", "two", "three", "four"]
                            .map(|it| trouble(0, 400, stop(&format!("{it}/primary")))),
                    )
                    .collect(),
                Mode::Auto,
            ),
            &[60],
        ),
        (
            "back on the primary",
            taking_back(vec![trouble(0, 60, stop("one/primary"))]),
            &[150, 220],
        ),
        (
            "a server comes back",
            taking_back(vec![trouble(0, 60, Trouble::Dead(server("s1")))]),
            &[150, 200, 400],
        ),
        (
            "a server does not bear its viewers",
            taking_back(vec![
                trouble(0, 60, Trouble::Dead(server("s1"))),
                trouble(120, 900, Trouble::Feeble(server("s1"), 50)),
            ]),
            &[500],
        ),
    ]
}

fn all(decider: &Decider, now: tallylight_model::MonoTime) -> Vec<(String, Explanation)> {
    let named = |it: &tallylight_decide::incident::Incident| {
        (format!("{} {}", it.cause().name(), it.subject), decider.explain(it.id, now).unwrap())
    };
    decider.incidents().map(named).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stories")
}

/// Holds a text against the file that was kept, or keeps it.
fn check(file: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, text).unwrap();
    }
    let kept = fs::read_to_string(file).unwrap_or_default();
    assert_eq!(text, kept, "read {file:?}, then UPDATE=1 cargo test --test explain");
}

/// A platform on which this and that went wrong while it was in `dry_run`.
fn shadow_report() -> String {
    let stop = |id: &str| Trouble::Source(stream(id), FaultKind::NoData);
    let events = vec![
        trouble(0, 90, stop("one/primary")),
        trouble(150, 90, Trouble::Dead(server("n1"))),
        trouble(300, 60, Trouble::Hang(channel("three"))),
        trouble(420, 60, stop("two/primary")),
        trouble(427, 40, stop("two/backup")),
        trouble(600, 200, Trouble::Source(stream("four/primary"), FaultKind::Freeze)),
    ];
    let mut world = of(demo_parts(), events, Mode::DryRun);
    world.run_for(WARM_UP + secs(840));
    world.decider().unwrap().shadow().to_string()
}

/// A story's text at a moment, as it stands in its file.
fn kept(name: &str, at: &str) -> String {
    let text = fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
    let parts = text.split("=== ").filter_map(|it| it.split_once('\n'));
    let found = parts.filter(|(head, _)| head.starts_with(&format!("{at} s after")));
    found.last().map_or(text.clone(), |(_, body)| body.to_owned())
}

#[test]
fn every_story_reads_as_it_was_last_approved() {
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    for (name, mut world, read_at) in stories().into_iter().chain(later()) {
        let mut text = String::new();
        let mut before = Duration::ZERO;
        world.run_for(WARM_UP);
        for &at in read_at {
            world.run_for(secs(at) - before);
            before = secs(at);
            for (incident, words) in all(world.decider().unwrap(), world.now()) {
                let _ = write!(text, "=== {at} s after the first trouble: {incident}\n\n{words}\n");
            }
        }
        let file = name.replace([' ', ','], "-").replace("--", "-");
        check(&folder.join(format!("{file}.txt")), &text);
    }
    check(&folder.join("shadow-report.txt"), &shadow_report());
    let path = folder.join("../../docs/operating.md");
    let mut page = fs::read_to_string(&path).unwrap();
    let marks: Vec<String> = page
        .lines()
        .filter_map(|it| it.strip_prefix("<!-- story: ")?.strip_suffix(" -->"))
        .map(str::to_owned)
        .collect();
    assert!(marks.len() > 4, "the page shows stories");
    for mark in marks {
        let (name, at) = mark.rsplit_once(' ').unwrap();
        let begin = format!("<!-- story: {mark} -->\n```text\n");
        let (head, rest) = page.split_once(&begin).unwrap();
        let (_, tail) = rest.split_once("```\n").unwrap();
        page = format!("{head}{begin}{}\n```\n{tail}", kept(name, at).trim());
    }
    check(&path, &page);
}

#[test]
fn whenever_it_is_read_it_says_something_bounded_and_tells_no_address() {
    for shape in SHAPES {
        let mut world = demo(shape.name, Mode::Auto);
        world.run_for(WARM_UP);
        for _ in 0..30 {
            world.run_for(secs(4));
            for (incident, words) in all(world.decider().unwrap(), world.now()) {
                let text = words.to_string();
                let case = format!("{}: {incident}\n{text}", shape.name);
                assert!(words.headline.len() > 20 && !words.sections.is_empty(), "{case}");
                assert!(text.len() <= MAX_LENGTH && text.is_ascii(), "{case}");
                assert!(!text.contains("://") && text.lines().all(|it| it.len() <= 330), "{case}");
            }
        }
    }
}

#[test]
fn evidence_says_what_is_true_while_and_after_it_is() {
    for shape in SHAPES {
        let mut world = demo(shape.name, Mode::Auto);
        world.run_for(WARM_UP);
        for _ in 0..15 {
            world.run_for(secs(10));
            for incident in world.decider().unwrap().incidents() {
                let case = || format!("{} at {:?}: {incident:#?}", shape.name, world.now());
                let is_for = incident.evidence.iter().filter(|it| it.side == Side::For);
                assert!(is_for.count() > 0 || incident.cause() == Cause::Probe, "{}", case());
                for it in incident.evidence.iter().filter(|it| it.side == Side::Against) {
                    let denies = it.kind.is_none() != (incident.cause() == Cause::Probe);
                    assert!(denies, "{}", case());
                    let is_bad = incident.streams.contains(&it.stream);
                    assert!(!is_bad || incident.cause() == Cause::Probe, "{}", case());
                }
            }
        }
    }
}

#[test]
fn approving_by_name_is_told() {
    let mut world = demo("stop", Mode::Approve);
    world.run_for(WARM_UP + secs(20));
    let (incident, action) = {
        let action = world.decider().unwrap().actions().next().unwrap();
        (action.purpose.incident().unwrap(), action.id)
    };
    world.tell(Input::Approve { action, by: "ops".to_owned() });
    world.run_for(secs(2));
    let text = world.decider().unwrap().explain(incident, world.now()).unwrap().to_string();
    assert!(text.contains("approved by ops"), "{text}");
}
