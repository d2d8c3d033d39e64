//! What came of a run, and its log for people.

use std::fmt::Write as _;

use tallylight_decide::{
    Output,
    action::{Action, Command},
    incident::Incident,
};
use tallylight_model::MonoTime;

use super::World;
use crate::sim::{START, rules::Broken, worth::Worth};

/// One line of the story.
#[derive(Debug)]
pub(super) enum Said {
    Output(Box<Output>),
    Event(String),
}

/// What came of a run.
#[derive(Debug)]
pub struct Story {
    /// Incidents by id.
    pub incidents: Vec<Incident>,
    /// Actions by id.
    pub actions: Vec<Action>,
    /// What the panel did.
    pub carried_out: Vec<Command>,
    /// What was decided, with when.
    pub commanded: Vec<(MonoTime, Command)>,
    /// How many outputs there were.
    pub outputs: u64,
    /// Rules that were broken.
    pub broken: Vec<Broken>,
    /// What viewers got.
    pub worth: Option<Worth>,
    /// Everything that happened, for people.
    pub log: String,
}

impl Story {
    /// The incident of a cause and subject.
    #[must_use]
    pub fn incident(&self, cause: &str, subject: &str) -> Option<&Incident> {
        self.incidents
            .iter()
            .find(|it| it.cause().name() == cause && it.subject.to_string() == subject)
    }
}

impl World {
    /// Ends the run.
    #[must_use]
    pub fn story(mut self) -> Story {
        let (mut incidents, mut actions) = (Vec::new(), Vec::new());
        if let Some(decider) = &self.decider {
            incidents.extend(decider.incidents().cloned());
            actions.extend(decider.actions().cloned());
        }
        self.rules.over(self.now, &actions);
        let broken = &self.rules.broken;
        assert!(self.drawn || broken.is_empty(), "{broken:#?}\n{}", log(&self.told));
        let commanded = self.told.iter().filter_map(|(at, said)| match said {
            Said::Output(output) => match &**output {
                Output::Act(command) => Some((*at, command.clone())),
                _ => None,
            },
            Said::Event(_) => None,
        });
        Story {
            incidents,
            actions,
            carried_out: self.panel.carried_out.iter().map(|it| it.1.clone()).collect(),
            commanded: commanded.collect(),
            outputs: self.outputs,
            broken: self.rules.broken,
            worth: self.worth,
            log: log(&self.told),
        }
    }
}

fn log(told: &[(MonoTime, Said)]) -> String {
    let mut log = String::new();
    for (at, said) in told {
        let secs = at.since(START).as_secs_f64();
        let _ = match said {
            Said::Output(output) => writeln!(log, "{secs:9.3} {output:?}"),
            Said::Event(what) => writeln!(log, "{secs:9.3} {what}"),
        };
    }
    log
}
