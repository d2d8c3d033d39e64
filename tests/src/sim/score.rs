//! How well the judgement did in a world: names, actions, times and viewers' seconds.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

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
    worth::Worth,
};

/// What a person would need who is paged after a minute and takes five.
const BY_A_PERSON: Duration = Duration::from_secs(360);

/// By how many seconds remedies may leave any viewer worse off than none would have. A wrong switch costs its verification (20 s,
/// a delivery's delay of up to 40 s, 15 s for what comes late), or a minute where the target's limit is longer, and then the way back.
/// A second one may follow before people are called. Not counted is who has no server but a drained one: that lasts until it returns.
pub const LOSS_BOUND: Duration = Duration::from_secs(160);

/// More seconds than one wrong switch of packets costs.
const COSTLY: f64 = 60.0;

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
    /// The same, were a person paged who mends it: sooner only where it ends by itself.
    pub by_a_person: Option<Duration>,
    /// Viewers' seconds that were bad.
    pub bad: f64,
    /// Those that would have been without remedies.
    pub bad_without: f64,
    /// By how many seconds those viewers were worse off that were worst off.
    pub worst_loss: f64,
    /// Rules that were broken.
    pub broken: Vec<Broken>,
}

impl Score {
    /// Whether remedies cost some viewer so much that it is worth reading why.
    pub(super) fn is_costly(&self) -> bool {
        self.worst_loss > COSTLY
    }
}

/// Runs a world and judges it.
#[must_use]
pub fn score(scenario: &Scenario) -> Score {
    let mut world = World::drawn(scenario);
    world.run_through(scenario);
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
    let is_right = |it: &&Command| {
        it.purpose.window().is_some()
            || scenario.faults.iter().any(|fault| is_called_for(&lineup, fault, it))
    };
    let broken_by_all: BTreeSet<_> =
        scenario.faults.iter().flat_map(|it| truth::breaks(&lineup, &it.subject)).collect();
    let mut score = Score {
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
        healed_after: None,
        by_a_person: None,
        bad: 0.0,
        bad_without: 0.0,
        worst_loss: 0.0,
        broken: story.broken.clone(),
    };
    if let Some(worth) = &story.worth {
        weigh(scenario, worth, &mut score);
    }
    score
}

/// What it was worth to viewers.
fn weigh(scenario: &Scenario, worth: &Worth, score: &mut Score) {
    score.bad = worth.bad;
    score.bad_without = worth.bad_without;
    score.worst_loss = worth.worst_loss();
    let ended = |it: &MonoTime| *it + Duration::from_secs(2) < scenario.end;
    let spans = |last: Option<MonoTime>| Some(last?.since(worth.broke?));
    score.healed_after = spans(worth.last_bad.filter(ended));
    // Without a single bad second it was over before it began.
    if worth.last_bad.is_none() && worth.broke.is_some() {
        score.healed_after = Some(Duration::ZERO);
    }
    let by_itself = spans(worth.last_without);
    score.by_a_person =
        by_itself.map(|it| if scenario.lasting { BY_A_PERSON } else { it.min(BY_A_PERSON) });
    if worth.worst_wrong() > LOSS_BOUND.as_secs_f64() {
        let what = format!("{:.0} s", worth.worst_wrong());
        let at = worth.last_bad.unwrap_or_default();
        score.broken.push(Broken { rule: "no viewer loses more than the bound", at, what });
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
        // What is left of the ladder when that did not help.
        (Subject::Processing(id), Target::Encoder { channels, .. }) => channels.contains(id),
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
    if score.is_costly() {
        add("cost a viewer", &[format!("{:.0} s", score.worst_loss)]);
    }
    let broken: Vec<String> = score
        .broken
        .iter()
        .map(|it| format!("{} at {:.3} ({})", it.rule, secs(it.at), it.what))
        .collect();
    add("broken:", &broken);
    line
}

fn secs(at: MonoTime) -> f64 {
    at.since(super::START).as_secs_f64()
}
