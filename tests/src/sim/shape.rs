//! Ways for things to go wrong, by name: each draws its troubles on a platform and says what is true of them.
//!
//! A new one is a function and a line in [`FORMS`]. One that does not fit a platform (a region where there is one server)
//! says so, and another is drawn.

use std::{collections::BTreeSet, time::Duration};

use tallylight_decide::{
    Mode, Scope,
    incident::Subject,
    lineup::{Channel, Lineup, Source},
};
use tallylight_model::{ChannelId, FaultKind, MonoTime, ServerId, StreamId};

use super::{
    Dice, START,
    panel::Manners,
    platform::{Event, Form, Trouble},
    scenario::{Crash, Doing, Fault, Scenario},
    topology, truth,
};

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
const QUIET: Duration = Duration::from_secs(32);

/// How long a fault lasts that does not go away by itself.
const LASTS: u64 = 150;

/// From the end of the last trouble to the end of the world.
const AFTERWARDS: Duration = Duration::from_secs(40);

/// A platform with what has been drawn of its troubles.
struct Draw<'a> {
    lineup: Lineup,
    scenario: Scenario,
    dice: &'a mut Dice,
    at: MonoTime,
}

/// A shape: `None` where the platform has no place for it.
type Draws = fn(&mut Draw<'_>) -> Option<()>;

/// All of them.
const FORMS: &[(&str, Draws)] = &[
    ("quiet", |_| Some(())),
    ("source", source),
    ("source-picture", source_picture),
    ("source-gray", source_gray),
    ("source-flaps", source_flaps),
    ("source-and-backup", source_and_backup),
    ("backup", backup),
    ("unfit-backup", unfit_backup),
    ("short", short),
    ("programme", programme),
    ("provider", provider),
    ("processing", processing),
    ("processing-sick", processing_sick),
    ("glitch-then-hang", glitch_then_hang),
    ("server", server),
    ("server-partial", server_partial),
    ("server-slow", server_slow),
    ("server-flaps", server_flaps),
    ("delivery", delivery),
    ("region-lossy", region_lossy),
    ("region-dark", region_dark),
    ("spreading", spreading),
    ("probe-drops", |it| probe(it, Trouble::Drops)),
    ("probe-cut", |it| probe(it, Trouble::Cut)),
    ("probe-lies", probe_lies),
    ("probe-deaf", probe_deaf),
    ("agent-silent", agent_silent),
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
        scenario.merges = !seed.is_multiple_of(50);
        let at = START + QUIET + dice.millis(9_999);
        let lineup = scenario.site().lineup;
        let mut draw = Draw { lineup, scenario, dice: &mut dice, at };
        if form(&mut draw).is_some() {
            circumstances(&mut draw);
            let scenario = draw.finish();
            return scenario;
        }
    }
}

/// What is wrong beside the shape: half of all worlds have a plain network, an obedient panel and nobody at the wheel.
fn circumstances(draw: &mut Draw<'_>) {
    let (dice, scenario) = (&mut *draw.dice, &mut draw.scenario);
    for _ in 0..dice.pick(&[0, 0, 0, 1, 1, 2]) {
        match dice.below(9) {
            0 => scenario.loss = dice.magnitude(8, 100),
            1 => scenario.lateness = dice.magnitude(200, 5000),
            2 => {
                let slow = Duration::from_millis(dice.magnitude(500, 12_000));
                scenario.manners = dice.pick(&[
                    Manners::Slow(slow),
                    Manners::Lies,
                    Manners::Fails,
                    Manners::LosesAnswers,
                    Manners::LosesCommands,
                    Manners::Refuses,
                ]);
            }
            3 => scenario.failover = Some(Duration::from_millis(dice.magnitude(1500, 20_000))),
            4 => {
                for _ in 0..dice.pick(&[1, 1, 2, 3]) {
                    let away = Duration::from_millis(dice.magnitude(500, 30_000));
                    scenario.crashes.push(Crash { after: dice.magnitude(1, 60), away });
                }
                scenario.crashes.sort_by_key(|it| it.after);
                scenario.crashes.dedup_by_key(|it| it.after);
            }
            5 => {
                let mode = dice.pick(&[Mode::Off, Mode::DryRun, Mode::Approve, Mode::Approve]);
                scenario.policy.modes.insert(Scope::Global, mode);
                scenario.approves = Some(Duration::from_millis(dice.magnitude(2000, 90_000)));
            }
            6 => switch_by_hand(draw.at, dice, scenario),
            7 => {
                let at = draw.at + dice.millis(20_000);
                scenario.people.push((at, Doing::Pull));
                scenario.people.push((at + dice.millis(40_000), Doing::Release));
            }
            _ => {
                let agents = scenario.parts.agents.len() as u64;
                for _ in 0..dice.below(3).min(agents) {
                    let node = &scenario.parts.agents[dice.below(agents) as usize].node;
                    let at = draw.at - Duration::from_secs(5) + dice.millis(40_000);
                    scenario.restarts.push((at, node.clone()));
                }
            }
        }
    }
}

fn switch_by_hand(at: MonoTime, dice: &mut Dice, scenario: &mut Scenario) {
    let channels = &scenario.parts.channels;
    let troubled = scenario.events.iter().find_map(|it| match &it.what {
        Trouble::Source(stream, _) => {
            channels.iter().find(|it| it.sources.iter().any(|it| it.stream == *stream))
        }
        Trouble::Hang(id) | Trouble::Sick(id, _) => channels.iter().find(|it| it.id == *id),
        _ => None,
    });
    let any = &channels[dice.below(channels.len() as u64) as usize];
    let channel = troubled.unwrap_or(any);
    let to = &channel.sources[dice.below(channel.sources.len() as u64) as usize].stream;
    let at = at + dice.millis(30_000);
    scenario.people.push((at, Doing::Switch(channel.id.clone(), to.clone())));
}

impl Draw<'_> {
    fn trouble(&mut self, from: MonoTime, lasts: Duration, what: Trouble) {
        self.scenario.events.push(Event { from, to: from + lasts, what });
    }

    /// For how long a fault lasts: mostly for longer than the world is watched.
    fn lasts(&mut self) -> Duration {
        let secs = if self.dice.one_in(4) { self.dice.magnitude(15, LASTS) } else { LASTS };
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
        self.scenario.faults.push(Fault { subject, or, must, from, to: from + lasts });
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
        let slowest = scenario.parts.channels.iter().flat_map(|it| &it.deliveries);
        let delay = slowest.map(|it| it.delay).max().unwrap_or_default();
        scenario.end = last.unwrap_or(self.at) + AFTERWARDS + delay;
        // Who saw nothing, or something else, proves nothing.
        let blind = scenario
            .events
            .iter()
            .any(|it| matches!(it.what, Trouble::Mute(_) | Trouble::Deaf(_) | Trouble::Blind(_)));
        let lossy = scenario.loss > 0 && scenario.loss < 20;
        let others = !scenario.people.is_empty() || scenario.failover.is_some();
        for fault in &mut scenario.faults {
            fault.must &= !blind && !lossy && !others;
        }
        scenario
    }
}

fn source(draw: &mut Draw<'_>) -> Option<()> {
    let kind = draw.dice.pick(HARD);
    bad_source(draw, kind)
}

fn source_picture(draw: &mut Draw<'_>) -> Option<()> {
    let kind = draw.dice.pick(PICTURE);
    bad_source(draw, kind)
}

fn bad_source(draw: &mut Draw<'_>, kind: FaultKind) -> Option<()> {
    let channel = draw.delivered()?;
    let id = channel.sources[0].stream.clone();
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Source(id.clone(), kind));
    draw.whole(Subject::Source(id), at, lasts, &[kind]);
    Some(())
}

/// Not dead: packets lost now and then, for some seconds each time.
fn source_gray(draw: &mut Draw<'_>) -> Option<()> {
    let id = draw.delivered()?.sources[0].stream.clone();
    let kind = draw.dice.pick(&[FaultKind::Continuity, FaultKind::NoData, FaultKind::DecodeErrors]);
    let lasts = Duration::from_secs(LASTS);
    draw.pulses(lasts, (1500, 7000), (3000, 12_000), &Trouble::Source(id.clone(), kind));
    draw.whole(Subject::Source(id), draw.at, lasts, &[kind]);
    loosely(draw);
    Some(())
}

/// What comes and goes may be named, and each time for what it was then.
fn loosely(draw: &mut Draw<'_>) {
    for fault in &mut draw.scenario.faults {
        fault.must = false;
    }
}

fn source_flaps(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let kind = draw.dice.pick(HARD);
    let lasts = Duration::from_secs(2 * LASTS);
    for source in channel.sources.iter().take(2) {
        let what = Trouble::Source(source.stream.clone(), kind);
        draw.pulses(lasts, (5000, 20_000), (15_000, 60_000), &what);
        draw.whole(Subject::Source(source.stream.clone()), draw.at, lasts, &[kind]);
        if draw.dice.one_in(2) {
            break;
        }
    }
    loosely(draw);
    Some(())
}

fn source_and_backup(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered().filter(|it| it.sources.len() > 1)?;
    let kind = draw.dice.pick(HARD);
    let (at, lasts) = (draw.at, draw.lasts());
    let mut from = at;
    for source in &channel.sources {
        draw.trouble(from, lasts, Trouble::Source(source.stream.clone(), kind));
        draw.whole(Subject::Source(source.stream.clone()), from, lasts, &[kind]);
        from = from + draw.dice.millis(15_000);
    }
    // They may as well be one provider's, if they are.
    let of: BTreeSet<_> = channel.sources.iter().filter_map(|it| it.provider.clone()).collect();
    for fault in &mut draw.scenario.faults {
        fault.or.extend(of.iter().cloned().map(Subject::Provider));
        fault.must = false;
    }
    Some(())
}

fn backup(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.channel();
    let source = channel.sources.get(1)?.stream.clone();
    let kind = draw.dice.pick(HARD);
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Source(source.clone(), kind));
    draw.whole(Subject::Source(source), at, lasts, &[kind]);
    Some(())
}

/// The backup looks good, and what is made of it is not.
fn unfit_backup(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered().filter(|it| it.sources.len() > 1)?;
    let (at, lasts) = (draw.at, draw.lasts());
    let (first, second) = (&channel.sources[0].stream, &channel.sources[1].stream);
    draw.trouble(at, lasts, Trouble::Source(first.clone(), FaultKind::NoData));
    let unfit = Trouble::Unfit(second.clone(), FaultKind::NoVideo);
    draw.trouble(START, lasts + Duration::from_secs(60), unfit);
    draw.whole(Subject::Source(first.clone()), at, lasts, &[FaultKind::NoData]);
    let processing = Subject::Processing(channel.id.clone());
    draw.whole(processing, at, Duration::ZERO, &[]);
    Some(())
}

/// Too short to be anything.
fn short(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let kind = draw.dice.pick(&[FaultKind::Black, FaultKind::NoVideo, FaultKind::NoData]);
    let lasts = Duration::from_millis(draw.dice.magnitude(200, 3500));
    let id = channel.sources[0].stream.clone();
    draw.trouble(draw.at, lasts, Trouble::Source(id.clone(), kind));
    draw.whole(Subject::Source(id), draw.at, lasts, &[kind]);
    draw.whole(Subject::Processing(channel.id), draw.at, lasts, &[kind]);
    loosely(draw);
    Some(())
}

/// Every source shows it, each at its own offset.
fn programme(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let kind = draw.dice.pick(PICTURE);
    let (at, lasts) = (draw.at, draw.lasts());
    for source in &channel.sources {
        let behind = Source::offset(source);
        draw.trouble(at + behind, lasts, Trouble::Source(source.stream.clone(), kind));
    }
    draw.whole(Subject::Programme(channel.id), at, lasts, &[kind]);
    Some(())
}

trait Offset {
    fn offset(&self) -> Duration;
}

impl Offset for Source {
    /// What is stated is true; what is not stated is like it.
    fn offset(&self) -> Duration {
        self.offset.unwrap_or(Duration::from_millis(700 * u64::from(self.priority - 1)))
    }
}

fn provider(draw: &mut Draw<'_>) -> Option<()> {
    let providers = &draw.scenario.parts.providers;
    let id = providers[draw.dice.below(providers.len() as u64) as usize].id.clone();
    let all = draw.scenario.parts.channels.iter().flat_map(|it| &it.sources);
    let of_it: Vec<StreamId> =
        all.filter(|it| it.provider.as_ref() == Some(&id)).map(|it| it.stream.clone()).collect();
    if of_it.len() < 2 {
        return None;
    }
    let kind = draw.dice.pick(HARD);
    let (at, lasts) = (draw.at, draw.lasts());
    for source in of_it {
        let from = at + draw.dice.millis(1500);
        draw.trouble(from, lasts, Trouble::Source(source, kind));
    }
    draw.whole(Subject::Provider(id), at, lasts, &[kind]);
    Some(())
}

fn processing(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Hang(channel.id.clone()));
    draw.whole(Subject::Processing(channel.id), at, lasts, &[FaultKind::NoData]);
    Some(())
}

fn processing_sick(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let kinds = [FaultKind::NoVideo, FaultKind::DecodeErrors, FaultKind::Black, FaultKind::Freeze];
    let kind = draw.dice.pick(&kinds);
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Sick(channel.id.clone(), kind));
    draw.whole(Subject::Processing(channel.id), at, lasts, &[kind]);
    Some(())
}

/// A glitch of the source, over which the processing trips.
fn glitch_then_hang(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let (at, lasts) = (draw.at, draw.lasts());
    let id = channel.sources[0].stream.clone();
    let glitch = Duration::from_millis(draw.dice.magnitude(500, 4000));
    draw.trouble(at, glitch, Trouble::Source(id.clone(), FaultKind::NoData));
    draw.trouble(at + glitch / 2, lasts, Trouble::Hang(channel.id.clone()));
    draw.whole(Subject::Processing(channel.id), at, lasts, &[FaultKind::NoData]);
    draw.whole(Subject::Source(id), at, glitch, &[FaultKind::NoData]);
    Some(())
}

fn server(draw: &mut Draw<'_>) -> Option<()> {
    let (id, _) = draw.server()?;
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Dead(id.clone()));
    draw.whole(Subject::Server(id), at, lasts, &[FaultKind::Unreachable]);
    Some(())
}

/// Some channels of a server, and not all: more than half, so that it is no accident.
fn server_partial(draw: &mut Draw<'_>) -> Option<()> {
    let (id, streams) = draw.server().filter(|it| it.1.len() >= 3)?;
    let kind = draw.dice.pick(&[FaultKind::NoData, FaultKind::Continuity, FaultKind::NoVideo]);
    let (at, lasts) = (draw.at, draw.lasts());
    let part = draw.dice.pick(&[5, 6, 7, 8, 9]);
    let count = (streams.len() as u64 * part).div_ceil(10).clamp(2, streams.len() as u64);
    let broken: BTreeSet<StreamId> = streams.into_iter().take(count as usize).collect();
    for stream in &broken {
        let from = at + draw.dice.millis(1000);
        draw.trouble(from, lasts, Trouble::Delivery(stream.clone(), kind));
    }
    draw.fault(Subject::Server(id), broken, (at, lasts), &[kind]);
    Some(())
}

/// Slow, not dead: packets come in bursts, segments late.
fn server_slow(draw: &mut Draw<'_>) -> Option<()> {
    let (id, streams) = draw.server()?;
    let lasts = Duration::from_secs(LASTS);
    match draw.scenario.forms.get(&id) {
        Some(Form::Segments(secs)) => {
            let by = Duration::from_millis(draw.dice.magnitude(secs * 500, secs * 6000));
            draw.trouble(draw.at, lasts, Trouble::Slow(id.clone(), by));
        }
        _ => {
            for stream in &streams {
                let gap = Trouble::Delivery(stream.clone(), FaultKind::NoData);
                draw.pulses(lasts, (1200, 4500), (4000, 15_000), &gap);
            }
        }
    }
    let broken = streams.into_iter().collect();
    draw.fault(Subject::Server(id), broken, (draw.at, lasts), &[FaultKind::Stall]);
    // What stalls at one moment may be a single channel, or several.
    let channels: Vec<ChannelId> =
        draw.scenario.parts.channels.iter().map(|it| it.id.clone()).collect();
    for fault in &mut draw.scenario.faults {
        fault.or.extend(channels.iter().cloned().map(Subject::Processing));
        fault.must = false;
    }
    Some(())
}

fn server_flaps(draw: &mut Draw<'_>) -> Option<()> {
    let (id, _) = draw.server()?;
    let lasts = Duration::from_secs(2 * LASTS);
    draw.pulses(lasts, (4000, 25_000), (10_000, 50_000), &Trouble::Dead(id.clone()));
    draw.whole(Subject::Server(id), draw.at, lasts, &[FaultKind::Unreachable]);
    loosely(draw);
    Some(())
}

/// One channel on one server.
fn delivery(draw: &mut Draw<'_>) -> Option<()> {
    let channel = draw.delivered()?;
    let index = draw.dice.below(channel.deliveries.len() as u64) as usize;
    let delivery = channel.deliveries[index].clone();
    let kind = draw.dice.pick(HARD);
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Delivery(delivery.stream.clone(), kind));
    let broken = BTreeSet::from([delivery.stream]);
    // It has no name of its own: whatever it is a part of is right.
    draw.fault(Subject::Processing(channel.id), broken.clone(), (at, lasts), &[kind]);
    draw.fault(Subject::Server(delivery.server), broken, (at, lasts), &[kind]);
    loosely(draw);
    Some(())
}

fn region_lossy(draw: &mut Draw<'_>) -> Option<()> {
    bad_region(draw, FaultKind::Continuity)
}

fn region_dark(draw: &mut Draw<'_>) -> Option<()> {
    bad_region(draw, FaultKind::Unreachable)
}

fn bad_region(draw: &mut Draw<'_>, kind: FaultKind) -> Option<()> {
    let server = draw.server()?.0;
    let region = draw.lineup.server(&server)?.region.clone();
    let streams = truth::breaks(&draw.lineup, &Subject::Region(region.clone()));
    let servers = draw.lineup.servers().filter(|it| it.region == region).count();
    if servers < 2 || streams.len() < 2 {
        return None;
    }
    let (at, lasts) = (draw.at, draw.lasts());
    let what = match kind {
        FaultKind::Unreachable => Trouble::Dark(region.clone()),
        _ => Trouble::Lossy(region.clone()),
    };
    draw.trouble(at, lasts, what);
    draw.whole(Subject::Region(region), at, lasts, &[kind]);
    Some(())
}

/// One server, and then the region.
fn spreading(draw: &mut Draw<'_>) -> Option<()> {
    let (first, _) = draw.server()?;
    let region = draw.lineup.server(&first)?.region.clone();
    let all: Vec<ServerId> =
        draw.lineup.servers().filter(|it| it.region == region).map(|it| it.id.clone()).collect();
    if all.len() < 2 {
        return None;
    }
    let lasts = Duration::from_secs(LASTS);
    let mut from = draw.at;
    draw.trouble(from, lasts, Trouble::Dead(first.clone()));
    draw.whole(Subject::Server(first.clone()), from, lasts, &[FaultKind::Unreachable]);
    for server in all.into_iter().filter(|it| *it != first) {
        from = from + Duration::from_millis(draw.dice.magnitude(1000, 20_000));
        draw.trouble(from, lasts, Trouble::Dead(server.clone()));
        draw.whole(Subject::Server(server), from, lasts, &[FaultKind::Unreachable]);
    }
    for fault in &mut draw.scenario.faults {
        fault.or.insert(Subject::Region(region.clone()));
    }
    Some(())
}

fn probe(draw: &mut Draw<'_>, what: fn(tallylight_model::NodeId) -> Trouble) -> Option<()> {
    let agents = &draw.scenario.parts.agents;
    let agent = agents.get(draw.dice.below(agents.len().max(1) as u64) as usize)?.clone();
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, what(agent.node.clone()));
    at_fault(draw, agent.node, lasts);
    Some(())
}

/// A witness is at fault: who cannot be contradicted may be believed, and is not acted on.
fn at_fault(draw: &mut Draw<'_>, node: tallylight_model::NodeId, lasts: Duration) {
    let agent = draw.lineup.agent(&node).cloned();
    let agent = agent.iter();
    let own: BTreeSet<StreamId> = agent
        .clone()
        .flat_map(|agent| {
            draw.lineup.streams().filter(|it| *it.1.region() == agent.region).map(|it| it.0.clone())
        })
        .collect();
    let peers = agent.map(|agent| {
        let same = draw.lineup.agents().filter(|it| it.region == agent.region);
        same.filter(|it| it.path != agent.path)
            .map(|it| it.path.as_str())
            .collect::<BTreeSet<_>>()
            .len()
    });
    let is_alone = peers.max().unwrap_or(0) == 0;
    let mut fault = Fault {
        subject: Subject::Probe(node),
        or: BTreeSet::new(),
        must: false,
        from: draw.at,
        to: draw.at + lasts,
    };
    if is_alone {
        for found in own.iter().filter_map(|it| draw.lineup.stream(it)) {
            let channel = found.channel();
            fault.or.insert(Subject::Processing(channel.id.clone()));
            fault.or.extend(channel.sources.iter().map(|it| Subject::Source(it.stream.clone())));
            let providers = channel.sources.iter().filter_map(|it| it.provider.clone());
            fault.or.extend(providers.map(Subject::Provider));
            for delivery in &channel.deliveries {
                fault.or.insert(Subject::Server(delivery.server.clone()));
            }
            fault.or.insert(Subject::Region(found.region().clone()));
        }
    }
    draw.scenario.faults.push(fault);
}

/// A witness that claims what is not so, about some streams or all.
fn probe_lies(draw: &mut Draw<'_>) -> Option<()> {
    let kind = draw.dice.pick(&[FaultKind::NoData, FaultKind::Continuity, FaultKind::Black]);
    let one_in = draw.dice.pick(&[1, 1, 2, 3, 5]);
    let agents = &draw.scenario.parts.agents;
    let agent = agents.get(draw.dice.below(agents.len().max(1) as u64) as usize)?.clone();
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Lies(agent.node.clone(), kind, one_in));
    at_fault(draw, agent.node, lasts);
    Some(())
}

/// A witness that sees nothing wrong, beside a fault that others see.
fn probe_deaf(draw: &mut Draw<'_>) -> Option<()> {
    beside(draw, Trouble::Deaf)
}

/// A witness that says nothing, beside a fault that others see.
fn agent_silent(draw: &mut Draw<'_>) -> Option<()> {
    beside(draw, Trouble::Mute)
}

fn beside(draw: &mut Draw<'_>, what: fn(tallylight_model::NodeId) -> Trouble) -> Option<()> {
    let agents = &draw.scenario.parts.agents;
    let agent = agents.get(draw.dice.below(agents.len().max(1) as u64) as usize)?.clone();
    let from = draw.at - draw.dice.millis(25_000);
    draw.trouble(from, Duration::from_secs(LASTS + 40), what(agent.node.clone()));
    let form = draw.dice.pick(&[source as Draws, processing, server, backup]);
    form(draw)?;
    // Whom it sees or does not see is not what the others must prove, and it may be named as the one that is wrong.
    let lasts = Duration::from_secs(LASTS);
    at_fault(draw, agent.node, lasts);
    Some(())
}

fn two_at_once(draw: &mut Draw<'_>) -> Option<()> {
    let forms =
        [source as Draws, source_picture, processing, server, backup, delivery, region_lossy];
    let first = draw.dice.pick(&forms);
    first(draw)?;
    draw.at = draw.at + draw.dice.millis(20_000);
    let second = draw.dice.pick(&forms);
    second(draw)
}
