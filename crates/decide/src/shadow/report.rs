//! What the remembered actions were worth, in rows.

use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt;

use tallylight_model::{ActionId, MonoTime};

use super::{How, Seconds, Verdict, Worth};
use crate::{
    action::{Action, ActionKind},
    incident::Cause,
    policy::Scope,
};

/// Actions named as wrong in a report.
const MAX_WRONG: usize = 50;

/// A report's figures of one kind of action against one kind of cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whether they were made.
    pub how: How,
    /// The kind of action.
    pub kind: ActionKind,
    /// What was blamed.
    pub cause: Cause,
    /// Over everything, or of one region's viewers.
    pub scope: Scope,
    /// How many actions, by verdict.
    pub verdicts: BTreeMap<Verdict, u32>,
    /// Their seconds.
    pub seconds: Seconds,
}

/// What the remembered actions were worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// When the first of them was decided.
    pub since: Option<MonoTime>,
    /// Their figures.
    pub rows: Vec<Row>,
    /// The last of them that were wrong.
    pub wrong: Vec<ActionId>,
}

impl fmt::Display for Report {
    /// Writes a line for each row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:8} {:14} {:10} {:16} {:>7} {:>5} {:>5} {:>8} {:>9} {:>7}",
            "",
            "action",
            "cause",
            "scope",
            "actions",
            "right",
            "wrong",
            "gained",
            "spoiled",
            "left"
        )?;
        for row in &self.rows {
            let scope = match &row.scope {
                Scope::Region(region) => region.as_str(),
                Scope::Global | Scope::Action(_) => "everything",
            };
            let count = |is: fn(Verdict) -> bool| -> u32 {
                row.verdicts.iter().filter(|(verdict, _)| is(**verdict)).map(|(_, n)| n).sum()
            };
            let Seconds { gained, spoiled, left } = row.seconds;
            writeln!(
                f,
                "{:8} {:14} {:10} {scope:16} {:>7} {:>5} {:>5} {:>6} s {:>7} s {:>5} s",
                row.how.name(),
                row.kind.name(),
                row.cause.name(),
                count(|_| true),
                count(|it| it == Verdict::Right),
                count(Verdict::is_wrong),
                gained.as_secs(),
                spoiled.as_secs(),
                left.as_secs(),
            )?;
        }
        Ok(())
    }
}

/// Sums up what actions were worth.
pub(crate) fn report<'a>(worths: impl Iterator<Item = (&'a Action, &'a Worth)>) -> Report {
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    let (mut since, mut wrong) = (None::<MonoTime>, Vec::new());
    for (action, worth) in worths {
        since = Some(since.map_or(action.decided, |it| it.min(action.decided)));
        if worth.verdict.is_wrong() {
            wrong.push(action.id);
        }
        let regions = worth.regions.iter().map(|(id, it)| (Scope::Region(id.clone()), *it));
        for (scope, seconds) in core::iter::once((Scope::Global, worth.total())).chain(regions) {
            let (how, kind, cause) = (worth.how, action.kind, worth.blamed.cause());
            let row = rows.entry((how, kind, cause, scope.clone())).or_insert_with(|| Row {
                how,
                kind,
                cause,
                scope,
                verdicts: BTreeMap::new(),
                seconds: Seconds::default(),
            });
            *row.verdicts.entry(worth.verdict).or_default() += 1;
            row.seconds.add(seconds);
        }
    }
    wrong.drain(..wrong.len().saturating_sub(MAX_WRONG));
    Report { since, rows: rows.into_values().collect(), wrong }
}
