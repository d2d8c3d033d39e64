//! How well the judgement did in a world, and in all of them: names, actions, times and viewers' seconds.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use tallylight_decide::{
    action::{ActionKind, Command, Target},
    incident::{Incident, Subject},
    lineup::Lineup,
};
use tallylight_model::MonoTime;

use super::{
    rules::Broken,
    run::{Story, World},
    scenario::{Fault, Scenario},
    truth,
};

/// What a person would need who is paged after a minute and takes five.
const BY_A_PERSON: Duration = Duration::from_secs(360);

/// How a world went.
#[derive(Clone, Debug)]
pub struct Score {
    /// What it was drawn from.
    pub seed: u64,
    /// Its shape.
    pub shape: &'static str,
    /// From how many paths what is at fault is seen.
    pub vantage: usize,
    /// Incidents with a right name.
    pub right: usize,
    /// Incidents with a wrong one.
    pub false_names: Vec<String>,
    /// Faults that had to be named.
    pub musts: usize,
    /// Those that were not.
    pub missed: Vec<String>,
    /// From a fault's begin to its name.
    pub named_after: Vec<Duration>,
    /// Commands that were carried out.
    pub actions: usize,
    /// Those that nothing at fault called for.
    pub wrong: Vec<String>,
    /// From the first bad second of any viewer to the last; `None` where nobody had any, or where it never ended.
    pub healed_after: Option<Duration>,
    /// Viewers' seconds that were bad.
    pub bad: f64,
    /// Those that would have been without remedies.
    pub bad_without: f64,
    /// Rules that were broken.
    pub broken: Vec<Broken>,
}

/// Runs a world and judges it.
#[must_use]
pub fn score(scenario: &Scenario) -> Score {
    let mut world = World::drawn(scenario);
    world.run_for(scenario.end.since(world.now()));
    judge(scenario, &world.story())
}

fn judge(scenario: &Scenario, story: &Story) -> Score {
    let lineup = scenario.site().lineup;
    let (right, wrong): (Vec<&Incident>, Vec<&Incident>) = story
        .incidents
        .iter()
        .partition(|it| scenario.faults.iter().any(|fault| fault.accepts(&it.subject)));
    let musts: Vec<&Fault> = scenario.faults.iter().filter(|it| it.must).collect();
    let named = |fault: &Fault| {
        let named = right.iter().filter(|it| fault.accepts(&it.subject));
        named.map(|it| it.opened.since(fault.from)).min()
    };
    let is_right =
        |it: &&Command| scenario.faults.iter().any(|fault| is_called_for(&lineup, fault, it));
    let broken_by_all: std::collections::BTreeSet<_> =
        scenario.faults.iter().flat_map(|it| truth::breaks(&lineup, &it.subject)).collect();
    let worth = story.worth.as_ref();
    let whole = worth.and_then(|it| Some((it.broke?, it.last_bad?)));
    let healed = whole.filter(|it| it.1 + Duration::from_secs(2) < scenario.end);
    Score {
        seed: scenario.seed,
        shape: scenario.shape,
        vantage: truth::vantage(&lineup, &broken_by_all),
        right: right.len(),
        false_names: wrong
            .iter()
            .map(|it| format!("{} {}", it.cause().name(), it.subject))
            .collect(),
        missed: musts
            .iter()
            .filter(|it| named(it).is_none())
            .map(|it| format!("{:?}", it.subject))
            .collect(),
        named_after: musts.iter().filter_map(|it| named(it)).collect(),
        musts: musts.len(),
        actions: story.carried_out.len(),
        wrong: story
            .carried_out
            .iter()
            .filter(|it| !is_right(it))
            .map(|it| format!("{} {}", it.kind.name(), it.target))
            .collect(),
        healed_after: healed.map(|(broke, last)| last.since(broke)),
        bad: worth.map_or(0.0, |it| it.bad),
        bad_without: worth.map_or(0.0, |it| it.bad_without),
        broken: story.broken.clone(),
    }
}

/// Whether an action is one that a careful engineer would have taken against a fault, had they known what it is.
fn is_called_for(lineup: &Lineup, fault: &Fault, command: &Command) -> bool {
    let by = |subject: &Subject| match (subject, &command.target) {
        (Subject::Source(id), Target::Channel(channel)) => {
            lineup.stream(id).is_some_and(|it| it.channel().id == *channel)
        }
        (Subject::Provider(id), Target::Channel(channel)) => lineup
            .channel(channel)
            .is_some_and(|it| it.sources.iter().any(|it| it.provider.as_ref() == Some(id))),
        (Subject::Processing(id), Target::Channel(channel)) => {
            id == channel && command.kind == ActionKind::RestartStream
        }
        (Subject::Encoder(id), Target::Encoder { encoder, .. }) => encoder == id,
        (Subject::Encoder(id), Target::Channel(channel)) => {
            lineup.channel(channel).is_some_and(|it| it.encoder.as_ref() == Some(id))
        }
        (Subject::Server(id), Target::Servers(servers)) => servers.contains(id),
        (Subject::Region(id), Target::Region(region)) => id == region,
        _ => false,
    };
    by(&fault.subject) || !fault.is_beyond_remedy() && fault.or.iter().any(by)
}

/// Sums over worlds of one shape and number of vantage points.
#[derive(Clone, Debug, Default)]
struct Row {
    worlds: usize,
    right: usize,
    false_names: usize,
    musts: usize,
    missed: usize,
    actions: usize,
    wrong: usize,
    named_after: Vec<Duration>,
    healed_after: Vec<Duration>,
    bad: f64,
    bad_without: f64,
    worst_loss: f64,
}

/// Results of many worlds.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<(&'static str, usize), Row>,
    /// Worlds in which a rule was broken.
    pub broken: Vec<Score>,
    /// Some of the worlds with a wrong name or action, or a missed fault.
    pub wrong: Vec<Score>,
}

/// Worlds with something wrong that are kept for reading.
const KEPT: usize = 400;

impl Table {
    /// Adds a world.
    pub fn add(&mut self, score: Score) {
        let row = self.rows.entry((score.shape, score.vantage.min(3))).or_default();
        row.worlds += 1;
        row.right += score.right;
        row.false_names += score.false_names.len();
        row.musts += score.musts;
        row.missed += score.missed.len();
        row.actions += score.actions;
        row.wrong += score.wrong.len();
        row.named_after.extend(&score.named_after);
        row.healed_after.extend(score.healed_after);
        row.bad += score.bad;
        row.bad_without += score.bad_without;
        row.worst_loss = row.worst_loss.max(score.bad - score.bad_without);
        if !score.broken.is_empty() {
            self.broken.push(score);
        } else if self.wrong.len() < KEPT
            && !(score.false_names.is_empty() && score.missed.is_empty() && score.wrong.is_empty())
        {
            self.wrong.push(score);
        }
    }

    /// Takes in another table.
    pub fn join(&mut self, other: Self) {
        for (key, more) in other.rows {
            let row = self.rows.entry(key).or_default();
            row.worlds += more.worlds;
            row.right += more.right;
            row.false_names += more.false_names;
            row.musts += more.musts;
            row.missed += more.missed;
            row.actions += more.actions;
            row.wrong += more.wrong;
            row.named_after.extend(more.named_after);
            row.healed_after.extend(more.healed_after);
            row.bad += more.bad;
            row.bad_without += more.bad_without;
            row.worst_loss = row.worst_loss.max(more.worst_loss);
        }
        self.broken.extend(other.broken);
        self.wrong.extend(other.wrong);
        self.broken.sort_by_key(|it| it.seed);
        self.wrong.sort_by_key(|it| it.seed);
        self.wrong.truncate(KEPT);
    }

    /// Over all shapes with this many vantage points (3 for more): the part of names that are right, and of faults that
    /// were named.
    #[must_use]
    pub fn precision_and_recall(&self, vantage: usize) -> (f64, f64) {
        let mut sum = Row::default();
        for (_, row) in self.rows.iter().filter(|it| it.0.1 == vantage) {
            sum.right += row.right;
            sum.false_names += row.false_names;
            sum.musts += row.musts;
            sum.missed += row.missed;
        }
        sum.rates()
    }

    /// All actions, and those that nothing called for.
    #[must_use]
    pub fn actions(&self) -> (usize, usize) {
        let sum = |of: fn(&Row) -> usize| self.rows.values().map(of).sum();
        (sum(|it| it.actions), sum(|it| it.wrong))
    }

    /// The rows in text, a table of Markdown.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from(
            "| shape | vantage points | worlds | precision | recall | named: median, p99 | actions | wrong | healed: median, \
             p99 | by a person | bad without | bad with | worst loss |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for ((shape, vantage), row) in &self.rows {
            let (precision, recall) = row.rates();
            let many = if *vantage == 3 { "3+".to_owned() } else { vantage.to_string() };
            let _ = writeln!(
                text,
                "| {shape} | {many} | {} | {precision:.3} | {recall:.3} | {} | {} | {} | {} | {} s | {:.0} s | {:.0} s | {:.0} s |",
                row.worlds,
                spread(&row.named_after),
                row.actions,
                row.wrong,
                spread(&row.healed_after),
                BY_A_PERSON.as_secs(),
                row.bad_without,
                row.bad,
                row.worst_loss,
            );
        }
        for vantage in 0..=3 {
            let (precision, recall) = self.precision_and_recall(vantage);
            let _ = writeln!(
                text,
                "vantage points {vantage}: precision {precision:.4}, recall {recall:.4}"
            );
        }
        let (actions, wrong) = self.actions();
        let _ = writeln!(
            text,
            "{actions} actions, {wrong} of them wrong; {} worlds broke a rule",
            self.broken.len()
        );
        text
    }
}

impl Row {
    fn rates(&self) -> (f64, f64) {
        let part = |of: usize, all: usize| if all == 0 { 1.0 } else { of as f64 / all as f64 };
        (
            part(self.right, self.right + self.false_names),
            part(self.musts - self.missed, self.musts),
        )
    }
}

fn spread(spans: &[Duration]) -> String {
    let mut spans = spans.to_vec();
    spans.sort_unstable();
    let at = |part: f64| {
        let place = ((spans.len() as f64 * part) as usize).min(spans.len().saturating_sub(1));
        spans.get(place).map(Duration::as_secs_f64)
    };
    match (at(0.5), at(0.99)) {
        (Some(median), Some(p99)) => format!("{median:.1} s, {p99:.1} s"),
        _ => "-".to_owned(),
    }
}

/// What a score says that is wrong, in one line.
#[must_use]
pub fn complaint(score: &Score) -> String {
    let mut line =
        format!("seed {} {} ({} vantage points)", score.seed, score.shape, score.vantage);
    let mut add = |what: &str, list: &[String]| {
        if !list.is_empty() {
            let _ = write!(line, "; {what} {}", list.join(", "));
        }
    };
    add("wrongly named", &score.false_names);
    add("missed", &score.missed);
    add("wrongly done", &score.wrong);
    let broken: Vec<String> =
        score.broken.iter().map(|it| format!("{} at {:.3}", it.rule, secs(it.at))).collect();
    add("broken:", &broken);
    line
}

fn secs(at: MonoTime) -> f64 {
    at.since(super::START).as_secs_f64()
}
