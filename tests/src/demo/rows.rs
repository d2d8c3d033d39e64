//! What the demo breaks, and what must come of it: the table of the main job as data.

use serde_json::{Value, json};

use super::plan::SMALL_HOST;

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name on the command line.
    pub id: &'static str,
    /// What is broken, for people.
    pub title: &'static str,
    /// What is broken.
    pub broken: Broken,
    /// What must come of it.
    pub expected: Expected,
}

/// A fault that the head-end plays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Total black.
    Black,
    /// The picture stands still.
    Frozen,
    /// Digital silence.
    Silent,
    /// One datagram in twenty is lost.
    Loss,
    /// No video, all counters legal.
    NoVideo,
    /// Nothing is sent.
    Stop,
    /// A fade to black of 1.5 s.
    Fade,
    /// 20 s of sound at -50 dBFS.
    Quiet,
    /// A dark moving scene with a logo.
    Dark,
}

impl Fault {
    /// What the head-end is asked for.
    #[must_use]
    pub fn order(self) -> Value {
        match self {
            Self::Black => json!({ "fault": "black" }),
            Self::Frozen => json!({ "fault": "frozen" }),
            Self::Silent => json!({ "fault": "silent" }),
            Self::Loss => json!({ "fault": "loss", "fraction": 0.05 }),
            Self::NoVideo => json!({ "fault": "no_video" }),
            Self::Stop => json!({ "fault": "stop" }),
            Self::Fade => json!({ "fault": "fade" }),
            Self::Quiet => json!({ "fault": "quiet" }),
            Self::Dark => json!({ "fault": "dark" }),
        }
    }
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Broken {
    /// A channel's primary source.
    Primary(&'static str, Fault),
    /// A channel's primary source, after its backup went off the air.
    PrimaryWithoutBackup(&'static str, Fault),
    /// Both sources of a channel at the same picture of the programme.
    Programme(&'static str, Fault),
    /// The panel's output process of a channel.
    Output(&'static str),
    /// A delivery server.
    Server(&'static str),
    /// The path to a region.
    Region(&'static str),
    /// An agent's own host, which drops what its sockets receive.
    AgentHost(&'static str),
    /// An agent's path to the servers.
    AgentPath(&'static str),
    /// Nothing: the programme is as programmes are.
    Harmless(&'static [(&'static str, Fault)]),
}

/// What must come of it. Nothing but this may be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    /// The cause is named and the action helps.
    Action {
        /// The cause.
        cause: &'static str,
        /// Which one of its kind.
        subject: &'static str,
        /// The action.
        action: &'static str,
    },
    /// The cause is named, people are paged, and nothing is done; `waiting` is for them to approve.
    Page {
        /// The cause.
        cause: &'static str,
        /// Which one of its kind.
        subject: &'static str,
        /// The action that waits, if one does.
        waiting: Option<&'static str>,
    },
    /// The cause is named and nothing is done.
    Named {
        /// The cause.
        cause: &'static str,
        /// Which one of its kind.
        subject: &'static str,
    },
    /// There is not even an incident.
    Nothing,
}

const fn switch(subject: &'static str) -> Expected {
    Expected::Action { cause: "source", subject, action: "switch_source" }
}

/// The rows in the order in which they run. A channel comes again only after its backup had time to get ready, and no
/// channel is acted on three times, which the guards would take for an action that does not help.
pub const ROWS: [Row; 14] = [
    Row {
        id: "black",
        title: "primary of one goes black",
        broken: Broken::Primary("one", Fault::Black),
        expected: switch("one/primary"),
    },
    Row {
        id: "frozen",
        title: "primary of two freezes",
        broken: Broken::Primary("two", Fault::Frozen),
        expected: switch("two/primary"),
    },
    Row {
        id: "silent",
        title: "primary of three falls silent",
        broken: Broken::Primary("three", Fault::Silent),
        expected: switch("three/primary"),
    },
    Row {
        id: "loss",
        title: "primary of four loses 5 % of its packets",
        broken: Broken::Primary("four", Fault::Loss),
        expected: switch("four/primary"),
    },
    Row {
        id: "no-video",
        title: "primary of one loses its video, the mux goes on",
        broken: Broken::Primary("one", Fault::NoVideo),
        expected: switch("one/primary"),
    },
    Row {
        id: "stop",
        title: "primary of two stops",
        broken: Broken::Primary("two", Fault::Stop),
        expected: switch("two/primary"),
    },
    Row {
        id: "hang",
        title: "output process of three hangs",
        broken: Broken::Output("three"),
        expected: Expected::Action {
            cause: "processing",
            subject: "three",
            action: "restart_stream",
        },
    },
    Row {
        id: "server",
        title: "delivery server n1 dies",
        broken: Broken::Server("n1"),
        expected: Expected::Action { cause: "server", subject: "n1", action: "drain_server" },
    },
    Row {
        id: "region",
        title: "the path to region south loses packets",
        broken: Broken::Region("south"),
        expected: Expected::Page {
            cause: "region",
            subject: "south",
            waiting: Some("region_move"),
        },
    },
    Row {
        id: "programme",
        title: "trap: primary and backup of four both go black",
        broken: Broken::Programme("four", Fault::Black),
        expected: Expected::Named { cause: "programme", subject: "four" },
    },
    Row {
        id: "agent-host",
        title: "trap: south-a drops packets on its own host",
        broken: Broken::AgentHost(SMALL_HOST),
        expected: Expected::Named { cause: "probe", subject: "south-a" },
    },
    Row {
        id: "agent-path",
        title: "trap: the path of north-a breaks",
        broken: Broken::AgentPath("north-a"),
        expected: Expected::Named { cause: "probe", subject: "north-a" },
    },
    Row {
        id: "harmless",
        title: "trap: a fade of 1.5 s, sound at -50 dBFS, a dark scene with a logo",
        broken: Broken::Harmless(&[
            ("one", Fault::Fade),
            ("two", Fault::Quiet),
            ("three", Fault::Dark),
        ]),
        expected: Expected::Nothing,
    },
    Row {
        id: "no-backup",
        title: "trap: primary of four stops while its backup is dead",
        broken: Broken::PrimaryWithoutBackup("four", Fault::Stop),
        expected: Expected::Page { cause: "source", subject: "four/primary", waiting: None },
    },
];

/// Picks rows by name, in the order in which they run.
///
/// # Errors
/// Says which name is no row's.
pub fn select(names: &[String]) -> Result<Vec<Row>, String> {
    if let Some(name) = names.iter().find(|name| ROWS.iter().all(|row| row.id != **name)) {
        let known: Vec<_> = ROWS.iter().map(|row| row.id).collect();
        return Err(format!("{name} is not a row; rows are {}", known.join(", ")));
    }
    let chosen = |row: &Row| names.is_empty() || names.iter().any(|name| name == row.id);
    Ok(ROWS.into_iter().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_target_is_acted_on_so_often_that_a_default_guard_would_step_in() {
        let mut actions: BTreeMap<&str, usize> = BTreeMap::new();
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, row) in ROWS.iter().enumerate() {
            if let Expected::Action { subject, .. } = row.expected {
                let target = subject.split('/').next().unwrap();
                *actions.entry(target).or_default() += 1;
                if let Some(before) = last.insert(target, at) {
                    assert!(at - before >= 3, "{target} comes again too soon in {}", row.id);
                }
            }
        }
        let most = tallylight_decide::Guards::default().circuit_failures;
        assert!(actions.values().all(|count| *count < most), "{actions:?}");
    }

    #[test]
    fn rows_are_chosen_by_name_and_an_unknown_name_is_refused() {
        let ids = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            select(&names).map(|rows| rows.iter().map(|row| row.id).collect::<Vec<_>>())
        };
        assert_eq!(ids(&["hang", "black"]).unwrap(), ["black", "hang"]);
        assert_eq!(ids(&[]).unwrap().len(), ROWS.len());
        assert!(ids(&["blakc"]).unwrap_err().contains("rows are black, "));
    }
}
