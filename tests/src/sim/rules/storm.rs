//! What holds in a storm, of worlds that are known to hold one: many causes at once, none of which explains most.
//!
//! Whether a region storms is counted anew from what agents claim: more than five channels and a fifth of all that are called bad
//! by two paths, since less than a minute. The judgement counts what it has named, which takes it a moment longer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tallylight_decide::{
    action::{Command, Target},
    lineup::{Lineup, StreamRef},
};
use tallylight_model::{MonoTime, RegionId};

use super::{
    Rules,
    command::must,
    word::{self, Witness},
};

/// More channels than this, and a larger part of all.
const CHANNELS: usize = 5;
const PART: usize = 5;
/// That turned bad within this time.
const WITHIN: Duration = Duration::from_secs(60);
/// What naming the causes may take.
const NAMING: Duration = Duration::from_secs(5);

/// Since when regions storm.
#[derive(Debug, Default)]
pub(super) struct Storm {
    since: BTreeMap<RegionId, MonoTime>,
}

impl Storm {
    /// One that has been raging in these regions since the start.
    #[cfg(test)]
    pub(super) fn of(regions: &[&str]) -> Self {
        let since = regions.iter().map(|it| (crate::sim::platform::region(it), MonoTime::ZERO));
        Self { since: since.collect() }
    }

    /// Counts what is bad where.
    pub(super) fn watch(&mut self, at: MonoTime, lineup: &Lineup, witnesses: &[Witness]) {
        let mut bad: BTreeMap<&RegionId, BTreeSet<&str>> = BTreeMap::new();
        let mut all: BTreeMap<&RegionId, BTreeSet<&str>> = BTreeMap::new();
        for (id, found) in lineup.streams() {
            let StreamRef::Delivery(_, _, server) = found else { continue };
            all.entry(&server.region).or_default().insert(id.channel());
            let is_young = witnesses
                .iter()
                .flat_map(|it| it.claims(at, id))
                .any(|it| at.since(it.onset) < WITHIN - NAMING);
            if is_young && word::votes(witnesses, at, id).0.len() >= 2 {
                bad.entry(&server.region).or_default().insert(id.channel());
            }
        }
        let storms = |region: &RegionId| {
            let count = bad.get(region).map_or(0, BTreeSet::len);
            count > CHANNELS && count * PART > all.get(region).map_or(0, BTreeSet::len)
        };
        self.since.retain(|region, _| storms(region));
        for region in bad.keys().filter(|it| storms(it)) {
            self.since.entry((*region).clone()).or_insert(at);
        }
    }
}

/// Nothing is done to a region that has been storming for a moment.
pub(super) fn no_action(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let Some(storm) = &rules.storm else { return Ok(()) };
    let storms = |region: &RegionId| storm.since.get(region).is_some_and(|it| at >= *it + NAMING);
    let streams = rules.streams(command);
    let regions = streams.iter().filter_map(|it| match rules.lineup.stream(it) {
        Some(StreamRef::Delivery(.., server)) => Some(&server.region),
        _ => None,
    });
    let moved = match &command.target {
        Target::Region(id) => Some(id),
        _ => None,
    };
    let region = regions.chain(moved).find(|it| storms(it));
    must(region.is_none(), || format!("{region:?} storms"))
}
