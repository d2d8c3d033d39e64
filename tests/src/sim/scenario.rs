//! All that was drawn of a world, as plain data: what is run, printed and made smaller.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tallylight_decide::{
    Mode, Policy, Return, Scope,
    incident::{Cause, Subject},
    lineup::{Lineup, Parts},
    maintenance::Plan,
};
use tallylight_model::{ActionId, ChannelId, MonoTime, NodeId, ServerId, StreamId, WindowId};

use super::{
    START,
    demo::id,
    panel::Manners,
    platform::{Event, Form, Site},
};

/// What is really at fault, and since when.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What.
    pub subject: Subject,
    /// Other names that nothing observable speaks against.
    pub or: BTreeSet<Subject>,
    /// The streams that it breaks while every channel is on its first source.
    pub broken: BTreeSet<StreamId>,
    /// Whether all that it shows may be meant.
    pub differential: bool,
    /// Whether a judgement that is worth having names it.
    pub must: bool,
    /// From when.
    pub from: MonoTime,
    /// To when.
    pub to: MonoTime,
}

impl Fault {
    /// Whether a name is one that nobody could know to be wrong.
    #[must_use]
    pub fn accepts(&self, named: &Subject) -> bool {
        self.subject == *named || self.or.contains(named)
    }

    /// Whether nothing that anybody does to the platform helps, and somebody sees that: a lone witness of a source, and one
    /// that the lineup says is enough, is believed.
    #[must_use]
    pub fn is_beyond_remedy(&self) -> bool {
        match self.subject.cause() {
            Cause::Programme => true,
            Cause::Probe => self.or.is_empty(),
            _ => false,
        }
    }
}

/// What a person does.
#[derive(Clone, Debug)]
pub enum Doing {
    /// Puts a channel on a source by the panel, past us.
    Switch(ChannelId, StreamId),
    /// Approves an action that waits.
    Approve(ActionId),
    /// Says no to an action that waits.
    Reject(ActionId),
    /// Plans a time of maintenance by the API.
    Maintain(Box<Plan>),
    /// Ends a time of maintenance early.
    EndMaintenance(WindowId),
    /// Wants a channel back on its first source.
    FailBack(ChannelId),
    /// Lets a server have its viewers back.
    Return(ServerId),
    /// Gives a channel back that was left to whoever changed its source.
    GiveBack(ChannelId),
    /// Closes whatever incident is open.
    Close,
    /// Pulls the kill switch.
    Pull,
    /// Releases the kill switch.
    Release,
    /// Sets a mode.
    Set(Scope, Mode),
    /// Loads a lineup.
    Load(Box<Parts>),
}

/// What people say to every action that waits for them, after so long.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// After how long.
    pub after: Duration,
    /// One in so many is refused; 0 for none.
    pub refuses: u64,
}

/// A collector's crash.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// After so many outputs.
    pub after: u64,
    /// How long it is away.
    pub away: Duration,
}

/// A world to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it was drawn from.
    pub seed: u64,
    /// The fault shape's name.
    pub shape: &'static str,
    /// The lineup.
    pub parts: Parts,
    /// How each server delivers.
    pub forms: BTreeMap<ServerId, Form>,
    /// Servers that an agent's own cut way does not matter to.
    pub multicast: BTreeSet<ServerId>,
    /// What goes wrong.
    pub events: Vec<Event>,
    /// What is true of it.
    pub faults: Vec<Fault>,
    /// What may be done.
    pub policy: Policy,
    /// How the panel answers.
    pub manners: Manners,
    /// After how long without packets the panel itself puts a channel on its next source.
    pub failover: Option<Duration>,
    /// What people say to what waits for them; `None` lets it expire.
    pub answers: Option<Answers>,
    /// Whether the panel can restart servers and encoders.
    pub restarts_services: bool,
    /// The lineup that the collector begins with, where it is not the platform's.
    pub listed: Option<Box<Parts>>,
    /// Times of maintenance that are configured.
    pub windows: Vec<Plan>,
    /// What people do.
    pub people: Vec<(MonoTime, Doing)>,
    /// Agents that start anew.
    pub restarts: Vec<(MonoTime, NodeId)>,
    /// One in so many batches is lost; 0 for none.
    pub loss: u64,
    /// Batches come up to so many milliseconds late.
    pub lateness: u64,
    /// When the collector crashes.
    pub crashes: Vec<Crash>,
    /// When the collector's wall clock steps, by so many milliseconds.
    pub steps: Vec<(MonoTime, i64)>,
    /// Whether streams that nothing will happen to are told of ten seconds at a time.
    pub merges: bool,
    /// Whether a fault in it stands for one that lasts until somebody does something.
    pub lasting: bool,
    /// Whether it holds more causes at once than remedies should guess at.
    pub storm: bool,
    /// When it ends.
    pub end: MonoTime,
}

impl Scenario {
    /// A world without troubles under the mode `auto`.
    #[must_use]
    pub fn quiet(seed: u64, parts: Parts) -> Self {
        let mut policy = Policy::default();
        policy.modes.insert(Scope::Global, Mode::Auto);
        Self {
            seed,
            shape: "none",
            parts,
            forms: BTreeMap::new(),
            multicast: BTreeSet::new(),
            events: Vec::new(),
            faults: Vec::new(),
            policy,
            manners: Manners::Obeys,
            failover: None,
            answers: None,
            restarts_services: false,
            listed: None,
            windows: Vec::new(),
            people: Vec::new(),
            restarts: Vec::new(),
            loss: 0,
            lateness: 40,
            crashes: Vec::new(),
            steps: Vec::new(),
            merges: false,
            lasting: false,
            storm: false,
            end: START,
        }
    }

    /// From when on nothing more happens by itself: no trouble, no person, no crash.
    #[must_use]
    pub fn calm_from(&self) -> MonoTime {
        let troubles = self.events.iter().map(|it| it.to);
        let people = self.people.iter().map(|it| it.0).chain(self.restarts.iter().map(|it| it.0));
        let steps = self.steps.iter().map(|it| it.0);
        let windows = self.plans().map(|it| it.end);
        let waits = if self.brings_back() { Some(self.end) } else { None };
        let all = troubles.chain(people).chain(steps).chain(windows).chain(waits);
        all.max().unwrap_or(self.end) + Duration::from_secs(5)
    }

    /// Every time of maintenance, configured or planned by people.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        let planned = self.people.iter().filter_map(|(_, doing)| match doing {
            Doing::Maintain(plan) => Some(&**plan),
            _ => None,
        });
        self.windows.iter().chain(planned)
    }

    /// Whether something comes back by itself, long after all is well.
    fn brings_back(&self) -> bool {
        self.policy.guards.server_return == Return::Auto
            || self.parts.channels.iter().any(|it| it.fail_back.is_some())
    }

    /// Every lineup that is in force at some time.
    #[must_use]
    pub fn lineups(&self) -> Vec<Lineup> {
        let loaded = self.people.iter().filter_map(|(_, doing)| match doing {
            Doing::Load(parts) => Some(&**parts),
            _ => None,
        });
        let first = self.listed.as_deref().unwrap_or(&self.parts);
        [first].into_iter().chain(loaded).map(|it| id(Lineup::new(it.clone()))).collect()
    }

    /// What stands where.
    #[must_use]
    pub fn site(&self) -> Site {
        Site {
            lineup: id(Lineup::new(self.parts.clone())),
            forms: self.forms.clone(),
            multicast: self.multicast.clone(),
        }
    }
}
