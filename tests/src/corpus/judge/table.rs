//! The tables of a judgement.

use std::{
    collections::BTreeMap,
    fmt::{Display, Formatter, Result},
};

use super::{Judgement, compare::Compared};

#[derive(Default)]
struct Sum {
    expected: usize,
    found: usize,
    flawed: usize,
    false_alarms: usize,
    /// The furthest off, in pictures.
    onset: f64,
    end: f64,
}

impl Display for Judgement {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "| kind | tool | events | told | of these wrong | false alarms | onset off by | end off by |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
        for ((kind, tool), sum) in sums(&self.rows) {
            let Sum { expected, found, flawed, false_alarms, onset, end } = sum;
            writeln!(
                f,
                "| {kind} | {tool} | {expected} | {found} | {flawed} | {false_alarms} | {onset:.1} | {end:.1} |"
            )?;
        }
        writeln!(f, "\nonset and end in pictures, at most. What is wrong, by clip:\n")?;
        let mut right = 0;
        for row in &self.rows {
            let flaws = row.flaws();
            right += usize::from(flaws.is_empty());
            flaws.iter().try_for_each(|flaw| writeln!(f, "{flaw}"))?;
        }
        writeln!(f, "\n{right} of {} are right", self.rows.len())
    }
}

fn sums(rows: &[Compared]) -> BTreeMap<(String, &'static str), Sum> {
    let mut sums: BTreeMap<(String, &'static str), Sum> = BTreeMap::new();
    for row in rows {
        for found in &row.found {
            let sum = sums.entry((found.kind.clone(), row.tool)).or_default();
            sum.expected += 1;
            sum.found += 1;
            sum.flawed += usize::from(!found.wrong.is_empty());
            sum.onset = sum.onset.max(found.onset_pictures.abs());
            sum.end = sum.end.max(found.end_pictures.abs());
        }
        for event in &row.missed {
            sums.entry((event.kind.clone(), row.tool)).or_default().expected += 1;
        }
        for told in &row.false_alarms {
            sums.entry((told.kind.clone(), row.tool)).or_default().false_alarms += 1;
        }
    }
    sums
}
