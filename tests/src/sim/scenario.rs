//! All that was drawn of a world, as plain data: what is run, printed and made smaller.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tallylight_decide::{
    Mode, Policy, Scope,
    incident::{Cause, Subject},
    lineup::{Lineup, Parts},
};
use tallylight_model::{ActionId, ChannelId, MonoTime, NodeId, ServerId, StreamId};

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
    /// How long people take to approve what waits for them.
    pub approves: Option<Duration>,
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
            approves: None,
            people: Vec::new(),
            restarts: Vec::new(),
            loss: 0,
            lateness: 40,
            crashes: Vec::new(),
            steps: Vec::new(),
            merges: false,
            end: START,
        }
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
