//! Fault shapes by name, with what a careful engineer would say and do.

use std::time::Duration;

use tallylight_decide::action::ActionKind;
use tallylight_model::{FaultKind, MonoTime};

use super::platform::{Event, Trouble, channel, node, region, server, stream};

/// What is true in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Cause and subject of every incident that must be named, and no others may be.
    pub incidents: &'static [(&'static str, &'static str)],
    /// Commands that must be carried out, in order, and no others may be.
    pub actions: &'static [ActionKind],
    /// Whether a person must be called.
    pub paged: Option<&'static str>,
    /// What must stand as the reason for not acting.
    pub refused: Option<&'static str>,
}

/// A named way for things to go wrong.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// What goes wrong, from a moment on.
    pub events: fn(MonoTime) -> Vec<Event>,
    /// What is true.
    pub truth: Truth,
}

const SOURCE: &[(&str, &str)] = &[("source", "one/primary")];

const fn switched() -> Truth {
    Truth { incidents: SOURCE, actions: &[ActionKind::SwitchSource], paged: None, refused: None }
}

const fn named(incidents: &'static [(&'static str, &'static str)], refused: &'static str) -> Truth {
    Truth { incidents, actions: &[], paged: None, refused: Some(refused) }
}

const NOTHING: Truth = Truth { incidents: &[], actions: &[], paged: None, refused: None };

fn lasting(from: MonoTime, what: Trouble) -> Event {
    for_secs(from, 90.0, what)
}

fn for_secs(from: MonoTime, secs: f64, what: Trouble) -> Event {
    Event { from, to: from + Duration::from_secs_f64(secs), what }
}

fn primary(at: MonoTime, kind: FaultKind) -> Vec<Event> {
    vec![lasting(at, Trouble::Source(stream("one/primary"), kind))]
}

fn both(at: MonoTime, kind: FaultKind) -> Vec<Event> {
    ["one/primary", "one/backup"]
        .map(|it| lasting(at, Trouble::Source(stream(it), kind)))
        .into_iter()
        .collect()
}

/// All shapes: the rows of the demo, and what makes them hard.
pub const SHAPES: &[Shape] = &[
    Shape { name: "black", events: |at| primary(at, FaultKind::Black), truth: switched() },
    Shape { name: "frozen", events: |at| primary(at, FaultKind::Freeze), truth: switched() },
    Shape { name: "silent", events: |at| primary(at, FaultKind::Silence), truth: switched() },
    Shape { name: "loss", events: |at| primary(at, FaultKind::Continuity), truth: switched() },
    Shape { name: "no-video", events: |at| primary(at, FaultKind::NoVideo), truth: switched() },
    Shape { name: "stop", events: |at| primary(at, FaultKind::NoData), truth: switched() },
    Shape {
        name: "hang",
        events: |at| vec![lasting(at, Trouble::Hang(channel("three")))],
        truth: Truth {
            incidents: &[("processing", "three")],
            actions: &[ActionKind::RestartStream],
            paged: None,
            refused: None,
        },
    },
    Shape {
        name: "server-dies",
        events: |at| vec![lasting(at, Trouble::Dead(server("n1")))],
        truth: Truth {
            incidents: &[("server", "n1")],
            actions: &[ActionKind::DrainServer],
            paged: None,
            refused: None,
        },
    },
    Shape {
        name: "segment-server-dies",
        events: |at| vec![lasting(at, Trouble::Dead(server("n2")))],
        truth: Truth {
            incidents: &[("server", "n2")],
            actions: &[ActionKind::DrainServer],
            paged: None,
            refused: None,
        },
    },
    Shape {
        name: "two-servers-die-apart",
        events: |at| {
            vec![
                lasting(at, Trouble::Dead(server("s1"))),
                lasting(at + Duration::from_secs(30), Trouble::Dead(server("s2"))),
            ]
        },
        truth: Truth {
            incidents: &[("server", "s1"), ("server", "s2")],
            actions: &[ActionKind::DrainServer],
            paged: Some("no_survivor"),
            refused: Some("no_survivor"),
        },
    },
    Shape {
        name: "region",
        events: |at| vec![lasting(at, Trouble::Lossy(region("south")))],
        truth: Truth {
            incidents: &[("region", "south")],
            actions: &[],
            paged: Some("awaiting_approval"),
            refused: Some("awaiting_approval"),
        },
    },
    Shape {
        name: "region-with-segments",
        events: |at| vec![lasting(at, Trouble::Lossy(region("north")))],
        truth: Truth {
            incidents: &[("region", "north")],
            actions: &[],
            paged: Some("awaiting_approval"),
            refused: Some("awaiting_approval"),
        },
    },
    Shape {
        name: "programme",
        events: |at| both(at, FaultKind::Black),
        truth: named(&[("programme", "one")], "programme"),
    },
    Shape {
        name: "programme-frozen",
        events: |at| both(at, FaultKind::Freeze),
        truth: named(&[("programme", "one")], "programme"),
    },
    Shape {
        name: "host-drops",
        events: |at| vec![lasting(at, Trouble::Drops(node("south-a")))],
        truth: named(&[("probe", "south-a")], "probe"),
    },
    Shape {
        name: "host-drops-now-and-then",
        events: |at| {
            let pulse = |i: u32| at + Duration::from_secs(3) * i;
            (0..20).map(|i| for_secs(pulse(i), 1.5, Trouble::Drops(node("south-a")))).collect()
        },
        truth: named(&[("probe", "south-a")], "probe"),
    },
    Shape {
        name: "one-hiccup-of-a-host",
        events: |at| vec![for_secs(at, 0.5, Trouble::Drops(node("head-1")))],
        truth: NOTHING,
    },
    Shape {
        name: "path-cut",
        events: |at| vec![lasting(at, Trouble::Cut(node("north-a")))],
        truth: named(&[("probe", "north-a")], "probe"),
    },
    Shape {
        name: "path-cut-to-one-server",
        events: |at| vec![lasting(at, Trouble::Cut(node("south-a")))],
        truth: named(&[("probe", "south-a")], "probe"),
    },
    Shape {
        name: "fade",
        events: |at| {
            vec![for_secs(at, 1.5, Trouble::Source(stream("one/primary"), FaultKind::Black))]
        },
        truth: NOTHING,
    },
    Shape {
        name: "agent-silent",
        events: |at| vec![lasting(at, Trouble::Mute(node("north-a")))],
        truth: NOTHING,
    },
    Shape {
        name: "backup-dead",
        events: |at| {
            vec![
                for_secs(at, 100.0, Trouble::Source(stream("one/backup"), FaultKind::NoData)),
                for_secs(
                    at + Duration::from_secs(15),
                    85.0,
                    Trouble::Source(stream("one/primary"), FaultKind::NoData),
                ),
            ]
        },
        truth: Truth {
            incidents: &[("source", "one/backup"), ("source", "one/primary")],
            actions: &[],
            paged: Some("no_ready_backup"),
            refused: Some("no_ready_backup"),
        },
    },
    Shape {
        name: "both-stop-together",
        events: |at| {
            let half = at + Duration::from_millis(500);
            vec![
                lasting(at, Trouble::Source(stream("one/primary"), FaultKind::NoData)),
                lasting(half, Trouble::Source(stream("one/backup"), FaultKind::NoData)),
            ]
        },
        truth: Truth {
            incidents: &[("source", "one/backup"), ("source", "one/primary")],
            actions: &[],
            paged: Some("no_ready_backup"),
            refused: Some("no_ready_backup"),
        },
    },
    Shape {
        name: "provider",
        events: |at| {
            ["one/primary", "two/primary", "three/primary", "four/primary"]
                .map(|it| lasting(at, Trouble::Source(stream(it), FaultKind::NoData)))
                .into()
        },
        truth: Truth {
            incidents: &[("provider", "sat-a")],
            actions: &[ActionKind::SwitchSource; 4],
            paged: None,
            refused: None,
        },
    },
    Shape {
        name: "silent-witness-and-black",
        events: |at| {
            let mut events = primary(at, FaultKind::Black);
            events.push(lasting(at - Duration::from_secs(20), Trouble::Mute(node("south-b"))));
            events
        },
        truth: switched(),
    },
    Shape {
        name: "one-witness-of-a-dead-server",
        events: |at| {
            vec![
                lasting(at, Trouble::Dead(server("n1"))),
                for_secs(at - Duration::from_secs(20), 150.0, Trouble::Mute(node("north-b"))),
            ]
        },
        truth: Truth {
            incidents: &[("server", "n1")],
            actions: &[],
            paged: Some("no_quorum"),
            refused: Some("no_quorum"),
        },
    },
    Shape {
        name: "source-and-server-at-once",
        events: |at| {
            let mut events = primary(at, FaultKind::NoData);
            events.push(lasting(at, Trouble::Dead(server("s1"))));
            events
        },
        truth: Truth {
            incidents: &[("server", "s1"), ("source", "one/primary")],
            actions: &[ActionKind::DrainServer, ActionKind::SwitchSource],
            paged: None,
            refused: None,
        },
    },
];
