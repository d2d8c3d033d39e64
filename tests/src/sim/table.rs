//! What many worlds came to, by shape and number of vantage points, and the tables that are published of it.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::score::Score;

/// The most vantage points that are told apart: more are as good.
pub const MANY: usize = 3;

/// Worlds with something wrong that are kept for reading.
const KEPT: usize = 400;

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
    by_a_person: Vec<Duration>,
    bad: f64,
    bad_without: f64,
    worst_loss: f64,
}

impl Row {
    fn of(score: &Score) -> Self {
        Self {
            worlds: 1,
            right: score.right,
            false_names: score.false_names.len(),
            musts: score.musts,
            missed: score.missed.len(),
            actions: score.actions,
            wrong: score.wrong.len(),
            named_after: score.named_after.clone(),
            healed_after: score.healed_after.into_iter().collect(),
            by_a_person: score.by_a_person.into_iter().collect(),
            bad: score.bad,
            bad_without: score.bad_without,
            worst_loss: score.worst_loss,
        }
    }

    fn add(&mut self, more: &Self) {
        self.worlds += more.worlds;
        self.right += more.right;
        self.false_names += more.false_names;
        self.musts += more.musts;
        self.missed += more.missed;
        self.actions += more.actions;
        self.wrong += more.wrong;
        self.named_after.extend(&more.named_after);
        self.healed_after.extend(&more.healed_after);
        self.by_a_person.extend(&more.by_a_person);
        self.bad += more.bad;
        self.bad_without += more.bad_without;
        self.worst_loss = self.worst_loss.max(more.worst_loss);
    }

    /// Of the names given those that were right, and of the faults that had to be named those that were.
    fn rates(&self) -> (f64, f64) {
        let part = |of: usize, all: usize| if all == 0 { 1.0 } else { of as f64 / all as f64 };
        (
            part(self.right, self.right + self.false_names),
            part(self.musts - self.missed, self.musts),
        )
    }

    /// How well causes were named.
    fn names(&self) -> String {
        let (precision, recall) = self.rates();
        let names = self.right + self.false_names;
        let rate = |of: f64, all: usize| if all == 0 { "-".to_owned() } else { format!("{of:.4}") };
        format!(
            "{} | {names} | {} | {} | {} | {}",
            self.worlds,
            rate(precision, names),
            self.musts,
            rate(recall, self.musts),
            spread(&self.named_after),
        )
    }

    /// What was done, and what it was worth.
    fn deeds(&self) -> String {
        format!(
            "{} | {} | {} | {} | {} | {:.0} | {:.0} | {:.0}",
            self.worlds,
            self.actions,
            self.wrong,
            spread(&self.healed_after),
            spread(&self.by_a_person),
            self.bad_without,
            self.bad_without - self.bad,
            self.worst_loss,
        )
    }
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

impl Table {
    /// Adds a world.
    pub fn add(&mut self, score: Score) {
        let row = self.rows.entry((score.shape, score.vantage.min(MANY))).or_default();
        row.add(&Row::of(&score));
        if !score.broken.is_empty() {
            self.broken.push(score);
        } else if self.wrong.len() < KEPT
            && (!score.false_names.is_empty()
                || !score.missed.is_empty()
                || !score.wrong.is_empty()
                || score.is_costly())
        {
            self.wrong.push(score);
        }
    }

    /// Takes in another table.
    pub fn join(&mut self, other: Self) {
        for (key, more) in &other.rows {
            self.rows.entry(*key).or_default().add(more);
        }
        self.broken.extend(other.broken);
        self.wrong.extend(other.wrong);
        self.broken.sort_by_key(|it| it.seed);
        self.wrong.sort_by_key(|it| it.seed);
        self.wrong.truncate(KEPT);
    }

    fn sum(&self, which: impl Fn(usize) -> bool) -> Row {
        let mut sum = Row::default();
        self.rows.iter().filter(|it| which(it.0.1)).for_each(|it| sum.add(it.1));
        sum
    }

    /// Over all shapes with this many vantage points ([`MANY`] for more): the part of names that are right, and of faults that
    /// were named.
    #[must_use]
    pub fn precision_and_recall(&self, vantage: usize) -> (f64, f64) {
        self.sum(|it| it == vantage).rates()
    }

    /// All actions, and those that nothing called for.
    #[must_use]
    pub fn actions(&self) -> (usize, usize) {
        let sum = self.sum(|_| true);
        (sum.actions, sum.wrong)
    }

    /// How well causes were named, as a table of Markdown.
    #[must_use]
    pub fn names(&self) -> String {
        let head = "| shape | vantage points | worlds | names given | precision | had to be named | recall | break to name: median, p99 |\n\
                    | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
        self.lines(head, Row::names)
    }

    /// What was done and what it was worth, as a table of Markdown.
    #[must_use]
    pub fn deeds(&self) -> String {
        let head = "| shape | vantage points | worlds | actions | wrong | break to healed: median, p99 | by a person | bad without | gained | worst loss |\n\
                    | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
        self.lines(head, Row::deeds)
    }

    fn lines(&self, head: &str, cells: fn(&Row) -> String) -> String {
        let mut text = String::from(head);
        for ((shape, vantage), row) in &self.rows {
            let _ = writeln!(text, "| {shape} | {} | {} |", points(*vantage), cells(row));
        }
        for vantage in 0..=MANY {
            let sum = self.sum(|it| it == vantage);
            let _ = writeln!(text, "| **all** | {} | {} |", points(vantage), cells(&sum));
        }
        let _ = writeln!(text, "| **all** | all | {} |", cells(&self.sum(|_| true)));
        text
    }
}

fn points(vantage: usize) -> String {
    if vantage == MANY { format!("{MANY}+") } else { vantage.to_string() }
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
