//! The open seconds of one delivery: who saw what in each, until nothing about it can change any more.

use alloc::{collections::BTreeMap, vec::Vec};
use core::time::Duration;

use tallylight_model::{FaultClass, FaultKind, Layer, MonoTime, NodeId, Slice};

use crate::sight::is_streams_own;

/// A second is judged once it is this old, so that the other agents can have spoken.
const JUDGED_AFTER: Duration = Duration::from_secs(3);

/// A second stays open this long after anybody last spoke of it: longer than any fault's hold.
const OPEN_FOR: Duration = Duration::from_secs(60);

/// Seconds open at once: ten minutes of an agent's backlog.
const MAX_OPEN: usize = 600;

/// Runs of seconds that are known to be over.
const MAX_RUNS: usize = 64;

/// A slice longer than this is cut: no agent merges more.
const MAX_LENGTH: u64 = 60;

/// What a second counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Share {
    pub(super) observed: [Duration; Layer::ALL.len()],
    pub(super) observed_any: Duration,
    pub(super) bad: Duration,
    pub(super) faults: [Duration; FaultClass::ALL.len()],
}

impl Share {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn parts(&mut self) -> impl Iterator<Item = &mut Duration> {
        let ends = [&mut self.observed_any, &mut self.bad];
        self.observed.iter_mut().chain(&mut self.faults).chain(ends)
    }

    /// Raises `self` to `other` wherever that is more; answers by how much.
    fn raise(&mut self, mut other: Self) -> Self {
        let mut grown = Self::default();
        for ((own, new), grown) in self.parts().zip(other.parts()).zip(grown.parts()) {
            *grown = new.saturating_sub(*own);
            *own = (*own).max(*new);
        }
        grown
    }

    fn add(&mut self, mut other: Self) {
        for (own, more) in self.parts().zip(other.parts()) {
            *own = own.saturating_add(*more);
        }
    }
}

/// What one agent saw in one second.
#[derive(Clone, Debug, Default)]
struct Said {
    observed: [Duration; Layer::ALL.len()],
    observed_any: Duration,
    /// Kinds whose condition held, for how long, and whether the fault is declared by now.
    conditions: Vec<(FaultKind, Duration, bool)>,
}

impl Said {
    fn hold(&mut self, kind: FaultKind, span: Duration, declared: bool) {
        match self.conditions.iter_mut().find(|it| it.0 == kind) {
            Some(it) => *it = (kind, it.1.saturating_add(span), it.2 || declared),
            None => self.conditions.push((kind, span, declared)),
        }
    }

    fn share(&self) -> Share {
        let mut share =
            Share { observed: self.observed, observed_any: self.observed_any, ..Share::default() };
        for &(kind, span, declared) in &self.conditions {
            let Some(class) = kind.rule().class.filter(|_| declared) else { continue };
            // Conditions of one second overlap in a way that is not known; the longest is sure.
            share.bad = share.bad.max(span.min(self.observed_any));
            if let Some(at) = FaultClass::ALL.iter().position(|&it| it == class) {
                share.faults[at] = share.faults[at].max(span.min(self.observed_any));
            }
        }
        share
    }
}

#[derive(Clone, Debug)]
struct Second {
    said: BTreeMap<NodeId, Said>,
    touched: MonoTime,
    counted: Share,
    changed: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Seconds {
    open: BTreeMap<u64, Second>,
    /// Seconds that are over, as runs from the first to the last of each.
    over: Vec<(u64, u64)>,
}

impl Seconds {
    /// Takes in a slice, with the onsets of the faults that its agent has declared.
    pub(super) fn slice(
        &mut self,
        now: MonoTime,
        node: &NodeId,
        slice: &Slice,
        onsets: &BTreeMap<FaultKind, MonoTime>,
    ) {
        let end = slice.end.min(now);
        let parts = slice.length.as_secs().clamp(1, MAX_LENGTH);
        let whole = |span: Duration| span.min(slice.length).min(Duration::from_secs(MAX_LENGTH));
        let divisor = u32::try_from(parts).unwrap_or(1);
        // A slice belongs to the second that holds its middle.
        let last = (end - whole(slice.length) / divisor / 2).as_nanos() / 1_000_000_000;
        for back in 0..parts {
            let Some(second) = last.checked_sub(back) else { break };
            let Some(open) = self.open(now, second) else { continue };
            let said = open.said.entry(node.clone()).or_default();
            for (sum, layer) in said.observed.iter_mut().zip(Layer::ALL) {
                *sum = sum.saturating_add(whole(slice.observed.layer(layer)) / divisor);
            }
            said.observed_any =
                said.observed_any.saturating_add(whole(slice.observed.any()) / divisor);
            for (&kind, &span) in slice.conditions.iter().filter(|it| is_streams_own(*it.0)) {
                let declared = slice.standing.contains_key(&kind)
                    || onsets.get(&kind).is_some_and(|&onset| end > onset);
                said.hold(kind, whole(span) / divisor, declared);
            }
        }
    }

    /// A fault was declared: its seconds count from its onset.
    pub(super) fn declare(&mut self, now: MonoTime, node: &NodeId, kind: FaultKind, at: MonoTime) {
        let from = at.as_nanos() / 1_000_000_000;
        for second in self.open.range_mut(from..).map(|(_, it)| it) {
            let Some(said) = second.said.get_mut(node) else { continue };
            for condition in said.conditions.iter_mut().filter(|it| it.0 == kind && !it.2) {
                condition.2 = true;
                second.changed = true;
                second.touched = now;
            }
        }
    }

    fn open(&mut self, now: MonoTime, second: u64) -> Option<&mut Second> {
        let is_over = self.over.iter().any(|&(first, last)| (first..=last).contains(&second));
        if is_over || self.open.len() >= MAX_OPEN && !self.open.contains_key(&second) {
            return None;
        }
        let open = self.open.entry(second).or_insert_with(|| Second {
            said: BTreeMap::new(),
            touched: now,
            counted: Share::default(),
            changed: false,
        });
        open.touched = now;
        open.changed = true;
        Some(open)
    }

    /// Judges the seconds that are old enough; answers what is to be added to the sums.
    pub(super) fn settle(&mut self, now: MonoTime, votes: impl Fn(&NodeId) -> bool) -> Share {
        let mut grown = Share::default();
        let judged_to = (now - JUDGED_AFTER).as_nanos() / 1_000_000_000;
        let mut over = Vec::new();
        for (&at, second) in self.open.range_mut(..judged_to) {
            if second.changed {
                second.changed = false;
                grown.add(second.counted.raise(majority(&second.said, &votes)));
            }
            if now.since(second.touched) > OPEN_FOR {
                over.push(at);
            }
        }
        for at in over {
            self.open.remove(&at);
            self.finish(at);
        }
        grown
    }

    fn finish(&mut self, second: u64) {
        match self.over.iter_mut().find(|(_, last)| *last + 1 == second) {
            Some((_, last)) => *last = second,
            None => self.over.push((second, second)),
        }
        if self.over.len() > MAX_RUNS {
            self.over.remove(0);
        }
    }
}

/// What more than half of the agents with a vote say at least.
fn majority(said: &BTreeMap<NodeId, Said>, votes: &impl Fn(&NodeId) -> bool) -> Share {
    let mut shares: Vec<Share> = said
        .iter()
        .filter(|(node, it)| votes(node) && !it.observed_any.is_zero())
        .map(|(_, it)| it.share())
        .collect();
    let middle = shares.len().saturating_sub(1) / 2;
    let mut result = Share::default();
    let columns = result.parts().count();
    let mut values: Vec<Vec<Duration>> = (0..columns).map(|_| Vec::new()).collect();
    for share in &mut shares {
        for (column, &mut part) in values.iter_mut().zip(share.parts()) {
            column.push(part);
        }
    }
    for (part, mut column) in result.parts().zip(values) {
        column.sort_unstable();
        *part = column.get(middle).copied().unwrap_or_default();
    }
    // Observed is what anybody saw; only the verdict goes by majority.
    for share in &shares {
        result.observed_any = result.observed_any.max(share.observed_any);
        for (own, other) in result.observed.iter_mut().zip(share.observed) {
            *own = (*own).max(other);
        }
    }
    result
}
