//! Ways for things to go wrong, by name: each draws its troubles on a platform and says what is true of them.
//!
//! A new one is a function and a line in [`FORMS`]. One that does not fit a platform (a region where there is one server)
//! says so, and another is drawn.

mod circumstances;
mod many;
mod server;
mod source;
mod upkeep;
mod witness;

use std::{collections::BTreeSet, time::Duration};

use tallylight_decide::{
    incident::Subject,
    lineup::{Channel, Lineup},
};
use tallylight_model::{FaultKind, MonoTime, ServerId, StreamId};

use super::{
    Dice, START,
    platform::{Event, Trouble},
    scenario::{Doing, Fault, Scenario},
    topology, truth,
};
use server::{delivery, region_lossy, server};
use source::{backup, processing, source, source_picture};

/// A kind of fault, and what it does to a stream.
const HARD: &[FaultKind] = &[
    FaultKind::NoData,
    FaultKind::NoVideo,
    FaultKind::Continuity,
    FaultKind::SyncLoss,
    FaultKind::DecodeErrors,
    FaultKind::NoAudio,
];
const PICTURE: &[FaultKind] = &[FaultKind::Black, FaultKind::Freeze, FaultKind::Silence];

/// What is quiet at the start of every world.
const QUIET: Duration = Duration::from_secs(22);

/// How long trouble lasts that comes and goes.
const LASTS: u64 = 120;

/// From the end of the last trouble to the end of the world.
const AFTERWARDS: Duration = Duration::from_secs(40);

/// A platform with what has been drawn of its troubles.
struct Draw<'a> {
    lineup: Lineup,
    scenario: Scenario,
    dice: &'a mut Dice,
    at: MonoTime,
    /// How long the world goes on after the last trouble, beside what every world does.
    after: Duration,
}

/// A shape: `None` where the platform has no place for it.
type Draws = fn(&mut Draw<'_>) -> Option<()>;

/// All of them.
const FORMS: &[(&str, Draws)] = &[
    ("quiet", |_| Some(())),
    ("source", source),
    ("source-picture", source_picture),
    ("source-gray", source::source_gray),
    ("source-flaps", source::source_flaps),
    ("source-and-backup", source::source_and_backup),
    ("backup", backup),
    ("unfit-backup", source::unfit_backup),
    ("short", source::short),
    ("fail-back", upkeep::fail_back),
    ("programme", source::programme),
    ("provider", many::provider),
    ("processing", processing),
    ("processing-sick", source::processing_sick),
    ("glitch-then-hang", source::glitch_then_hang),
    ("encoder", many::encoder),
    ("server", server),
    ("server-partial", server::server_partial),
    ("server-slow", server::server_slow),
    ("server-flaps", server::server_flaps),
    ("delivery", delivery),
    ("region-lossy", region_lossy),
    ("region-dark", server::region_dark),
    ("spreading", server::spreading),
    ("storm", many::storm),
    ("maintenance", upkeep::maintenance),
    ("maintenance-wrong", upkeep::maintenance_wrong),
    ("probe-drops", |it| witness::probe(it, Trouble::Drops)),
    ("probe-cut", |it| witness::probe(it, Trouble::Cut)),
    ("probe-lies", witness::probe_lies),
    ("probe-deaf", witness::probe_deaf),
    ("agent-silent", witness::agent_silent),
    ("two-at-once", two_at_once),
];

/// Names of all shapes.
pub fn shapes() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|it| it.0)
}

/// Draws a world from a seed; of this shape, if one is named.
#[must_use]
pub fn draw(seed: u64, shape: Option<&str>) -> Scenario {
    let mut dice = Dice::new(seed);
    // The first numbers of neighbouring seeds are alike.
    for _ in 0..8 {
        dice.below(2);
    }
    loop {
        let drawn = topology::draw(&mut dice);
        let named = FORMS.iter().find(|it| Some(it.0) == shape);
        let (name, form) =
            *named.unwrap_or_else(|| &FORMS[dice.below(FORMS.len() as u64) as usize]);
        let mut scenario = Scenario::quiet(seed, drawn.parts);
        scenario.shape = name;
        scenario.forms = drawn.forms;
        scenario.multicast = drawn.multicast;
        scenario.restarts_services = drawn.restarts_services;
        scenario.merges = !seed.is_multiple_of(50);
        let at = START + QUIET + dice.millis(9_999);
        let lineup = scenario.site().lineup;
        let after = Duration::ZERO;
        let mut draw = Draw { lineup, scenario, dice: &mut dice, at, after };
        if form(&mut draw).is_some() {
            circumstances::draw(&mut draw);
            return draw.finish();
        }
    }
}

impl Draw<'_> {
    fn trouble(&mut self, from: MonoTime, lasts: Duration, what: Trouble) {
        self.scenario.events.push(Event { from, to: from + lasts, what });
    }

    /// For how long a fault lasts: mostly for what stands for ever in a world that is watched no longer.
    fn lasts(&mut self) -> Duration {
        let passes = self.dice.one_in(4);
        self.scenario.lasting |= !passes;
        let secs =
            if passes { self.dice.magnitude(15, 150) } else { self.dice.pick(&[90, 90, 150]) };
        Duration::from_secs(secs)
    }

    fn channel(&mut self) -> Channel {
        let channels = &self.scenario.parts.channels;
        channels[self.dice.below(channels.len() as u64) as usize].clone()
    }

    /// A channel that viewers get.
    fn delivered(&mut self) -> Option<Channel> {
        let channel = self.channel();
        (!channel.deliveries.is_empty()).then_some(channel)
    }

    fn server(&mut self) -> Option<(ServerId, Vec<StreamId>)> {
        let servers = &self.scenario.parts.servers;
        let id = servers[self.dice.below(servers.len() as u64) as usize].id.clone();
        let streams: Vec<StreamId> =
            truth::breaks(&self.lineup, &Subject::Server(id.clone())).into_iter().collect();
        (!streams.is_empty()).then_some((id, streams))
    }

    /// Says what is true: that this subject breaks these streams for so long.
    fn fault(
        &mut self,
        subject: Subject,
        broken: BTreeSet<StreamId>,
        (from, lasts): (MonoTime, Duration),
        kinds: &[FaultKind],
    ) {
        let differential = kinds.iter().all(|it| it.is_differential()) && !kinds.is_empty();
        let or = truth::alike(&self.lineup, &subject, &broken, differential);
        let seen = truth::watched(&self.lineup, &broken);
        let late = seen.iter().filter_map(|it| Some(self.lineup.stream(it)?.delay())).max();
        let enough = Duration::from_secs(50) + late.unwrap_or_default();
        let must = !seen.is_empty() && lasts >= enough;
        let to = from + lasts;
        self.scenario.faults.push(Fault { subject, or, broken, differential, must, from, to });
    }

    /// The same, of all that the subject can break.
    fn whole(&mut self, subject: Subject, from: MonoTime, lasts: Duration, kinds: &[FaultKind]) {
        let broken = truth::breaks(&self.lineup, &subject);
        self.fault(subject, broken, (from, lasts), kinds);
    }

    /// A condition that comes and goes.
    fn pulses(&mut self, lasts: Duration, on: (u64, u64), off: (u64, u64), what: &Trouble) {
        let (mut at, end) = (self.at, self.at + lasts);
        while at < end {
            let span = Duration::from_millis(self.dice.magnitude(on.0, on.1));
            self.trouble(at, span, what.clone());
            at = at + span + Duration::from_millis(self.dice.magnitude(off.0, off.1));
        }
    }

    fn finish(self) -> Scenario {
        let mut scenario = self.scenario;
        let last = scenario.events.iter().map(|it| it.to).max();
        let windows = scenario.plans().map(|it| it.end).max();
        let slowest = scenario.parts.channels.iter().flat_map(|it| &it.deliveries);
        let delay = slowest.map(|it| it.delay).max().unwrap_or_default();
        let last = last.max(windows).unwrap_or(self.at);
        scenario.end = last + AFTERWARDS + delay + self.after;
        // Who saw nothing, or something else, proves nothing.
        let blind = scenario
            .events
            .iter()
            .any(|it| matches!(it.what, Trouble::Mute(_) | Trouble::Deaf(_) | Trouble::Blind(_)));
        let lossy = scenario.loss > 0 && scenario.loss < 20;
        let others =
            scenario.people.iter().any(|it| is_meddling(&it.1)) || scenario.failover.is_some();
        for fault in &mut scenario.faults {
            fault.must &= !blind && !lossy && !others;
        }
        as_listed(&mut scenario);
        scenario
    }
}

/// Whether what a person does changes what there is to be named.
const fn is_meddling(doing: &Doing) -> bool {
    matches!(
        doing,
        Doing::Switch(..)
            | Doing::Close
            | Doing::FailBack(_)
            | Doing::Return(_)
            | Doing::GiveBack(_)
    )
}

/// What a lineup does not have cannot be named, nor told apart by it.
fn as_listed(scenario: &mut Scenario) {
    let is_reloaded = scenario.people.iter().any(|it| matches!(it.1, Doing::Load(_)));
    if scenario.listed.is_none() && !is_reloaded {
        return;
    }
    let agents = scenario.parts.agents.len();
    for lineup in scenario.lineups() {
        for fault in &mut scenario.faults {
            let is_listed = |it: &&StreamId| lineup.stream(it).is_some();
            let known: BTreeSet<StreamId> =
                fault.broken.iter().filter(is_listed).cloned().collect();
            fault.must &= known == fault.broken && lineup.agents().count() == agents;
            fault.or.extend(truth::alike(&lineup, &fault.subject, &known, fault.differential));
        }
    }
}

/// What comes and goes may be named, and each time for what it was then.
fn loosely(draw: &mut Draw<'_>) {
    for fault in &mut draw.scenario.faults {
        fault.must = false;
    }
}

/// What begins within this time of each other begins together, for all that can be seen.
const TOGETHER: Duration = Duration::from_secs(5);

fn two_at_once(draw: &mut Draw<'_>) -> Option<()> {
    let forms =
        [source as Draws, source_picture, processing, server, backup, delivery, region_lossy];
    let first = draw.dice.pick(&forms);
    first(draw)?;
    draw.at = draw.at + draw.dice.millis(20_000);
    let second = draw.dice.pick(&forms);
    second(draw)?;
    named_as_one(draw);
    Some(())
}

/// Two that begin together and break just what one cause would may be called by its name.
fn named_as_one(draw: &mut Draw<'_>) {
    let [first, second] = &mut draw.scenario.faults[..] else { return };
    if second.from.since(first.from) > TOGETHER {
        return;
    }
    let both: BTreeSet<StreamId> = &first.broken | &second.broken;
    let differential = first.differential && second.differential;
    let one = truth::alike(&draw.lineup, &first.subject, &both, differential);
    first.or.extend(one.iter().cloned());
    second.or.extend(one);
}
