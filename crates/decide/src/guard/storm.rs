//! A storm: much of a region turns bad at once, and no one cause explains it. Then each remedy would be a guess beside many
//! others, so nothing is done to anything in that region, and people are called once, for the region.
//!
//! What one cause explains, a provider, a server, the region, is no storm. Evidence of such a cause comes in over some
//! seconds, while it looks like many small ones: those are held at once, but a storm is told only after [`HOLD`].

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{ChannelId, IncidentId, MonoTime, Ratio, RegionId, Severity};

use super::{Answer, Proposal, mode};
use crate::{
    action::Reason,
    cause::{PARTIAL_BELOW, WEAK_BELOW},
    incident::{Candidate, Cause, Incident, Side, Subject},
    ledger::{Case, Ledger},
    lineup::{StreamNo, StreamRef},
    remedy::Desk,
    scene::Scene,
};

/// So long much must have been bad for many reasons.
const HOLD: Duration = Duration::from_secs(10);

/// Pieces of evidence kept with a storm.
const MAX_EVIDENCE: usize = 16;
/// Narrower causes listed with a storm.
const MAX_CAUSES: usize = 8;

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let mut regions = mode::regions(proposal.scene.facts, &proposal.target);
    if regions.any(|it| proposal.ledger.storms.contains(it)) {
        Answer::Refuse(Reason::Storm)
    } else {
        Answer::Pass
    }
}

/// Whether an incident stands back behind a storm.
pub(crate) fn holds(ledger: &Ledger, incident: &Incident) -> bool {
    let is_there = || incident.affected.iter().any(|(_, region)| ledger.storms.contains(region));
    !incident.storm && !ledger.storms.is_empty() && is_there()
}

/// Opens and closes storms. What has no name yet is part of one, too.
pub(crate) fn watch(desk: &mut Desk<'_>, ledger: &mut Ledger, unnamed: &BTreeSet<StreamNo>) {
    let scene = desk.scene;
    let gathering = gathering(scene, ledger, unnamed);
    ledger.stirring.retain(|region, _| gathering.contains_key(region));
    for (region, narrower) in gathering {
        let since = *ledger.stirring.entry(region.clone()).or_insert(scene.now);
        if scene.now < since + HOLD {
            desk.look_again(since + HOLD);
        } else {
            rage(scene, ledger, &region, &narrower);
        }
    }
    for id in ledger.open_storms() {
        abate(desk, ledger, id);
    }
    let regions = ledger.open_storms().into_iter().filter_map(|id| region_of(ledger.case(id)?));
    ledger.storms = regions.chain(ledger.stirring.keys().cloned()).collect();
}

/// Regions of which more has turned bad within the window than is allowed for, without one cause for most of it; with the
/// incidents that are behind it.
fn gathering(
    scene: &Scene<'_>,
    ledger: &Ledger,
    unnamed: &BTreeSet<StreamNo>,
) -> BTreeMap<RegionId, Vec<IncidentId>> {
    let guards = &scene.facts.policy.guards;
    let is_of_it = |it: &&Case| {
        !it.incident.storm
            && it.incident.maintenance.is_none()
            && !matches!(it.incident.cause(), Cause::Programme | Cause::Probe)
            && scene.now.since(it.incident.opened) < guards.storm_window
    };
    let mut regions: BTreeMap<&RegionId, Gathered<'_>> = BTreeMap::new();
    for case in ledger.open_cases().filter(is_of_it) {
        for (channel, region) in &case.incident.affected {
            let gathered = regions.entry(region).or_default();
            if gathered.causes.last() != Some(&case.incident.id) {
                gathered.causes.push(case.incident.id);
            }
            gathered.channels.push((channel, Behind::of(&case.incident)));
        }
    }
    for found in unnamed.iter().map(|it| scene.facts.lineup.at(*it)) {
        if let StreamRef::Delivery(channel, ..) = found {
            regions
                .entry(found.region())
                .or_default()
                .channels
                .push((&channel.id, Behind::Unknown));
        }
    }
    let is_storm = |region: &RegionId, it: &Gathered<'_>| {
        // Each channel is counted once, which takes long where there are many.
        if it.channels.len() <= guards.storm_channels || it.causes.len() < 2 {
            return false;
        }
        let (bad, largest) = it.count();
        let all = scene.facts.lineup.channels_in(region);
        bad > guards.storm_channels
            && (largest as f64) < guards.storm_one_cause.get() * bad as f64
            && bad as f64 > guards.storm_share.get() * all as f64
    };
    let storms = regions.into_iter().filter(|(region, it)| is_storm(region, it));
    storms.map(|(region, it)| (region.clone(), it.causes)).collect()
}

/// What turned bad in a region.
#[derive(Default)]
struct Gathered<'a> {
    /// One may come several times.
    channels: Vec<(&'a ChannelId, Behind)>,
    causes: Vec<IncidentId>,
}

/// What is behind one channel, as far as it is known.
#[derive(Clone, Copy, PartialEq)]
enum Behind {
    /// A cause that breaks nearly all that it could.
    All(IncidentId),
    /// One that breaks a part of it.
    Part(IncidentId),
    /// Nothing that has a name, or no more of one than a storm has.
    Unknown,
}

impl Behind {
    fn of(incident: &Incident) -> Self {
        let coverage = incident.fit.coverage.get();
        match incident.cause() {
            Cause::Region if coverage < WEAK_BELOW => Self::Unknown,
            _ if coverage < PARTIAL_BELOW => Self::Part(incident.id),
            _ => Self::All(incident.id),
        }
    }

    /// The better of two answers. What a part of a server would explain and is bad for another reason too may be there by chance.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(_), _) => self,
            (_, Self::All(_)) => other,
            _ if self == other => self,
            _ => Self::Unknown,
        }
    }
}

impl Gathered<'_> {
    /// How many channels are bad, and how many of them one cause explains at most.
    fn count(&self) -> (usize, usize) {
        let mut channels = self.channels.clone();
        // Those of one incident are in order, which leaves a sort little to do.
        channels.sort_by_key(|it| it.0);
        let mut bad = 0;
        let mut explained: BTreeMap<IncidentId, usize> = BTreeMap::new();
        for one in channels.chunk_by(|a, b| a.0 == b.0) {
            bad += 1;
            let behind = one.iter().map(|it| it.1).reduce(Behind::and);
            if let Some(Behind::All(id) | Behind::Part(id)) = behind {
                *explained.entry(id).or_default() += 1;
            }
        }
        (bad, explained.into_values().max().unwrap_or(0))
    }
}

/// Opens a region's storm, or keeps it up.
fn rage(scene: &Scene<'_>, ledger: &mut Ledger, region: &RegionId, narrower: &[IncidentId]) {
    let subject = Subject::Region(region.clone());
    let id = match ledger.open_case_of(&subject) {
        Some(id) => id,
        None => open(scene, ledger, &subject, narrower),
    };
    let affected: BTreeSet<_> = narrower
        .iter()
        .filter_map(|it| ledger.case(*it))
        .flat_map(|it| it.incident.affected.iter().filter(|(_, it)| it == region).cloned())
        .collect();
    if let Some(case) = ledger.case_mut(id) {
        case.clean_since = None;
    }
    let known = ledger.case(id);
    if known.is_some_and(|it| !it.incident.storm || !affected.is_subset(&it.incident.affected)) {
        ledger.edit(id, |it| {
            it.incident.storm = true;
            it.incident.affected.extend(affected);
        });
    }
    ledger.page(id, scene.now, Reason::Storm);
}

fn open(
    scene: &Scene<'_>,
    ledger: &mut Ledger,
    subject: &Subject,
    narrower: &[IncidentId],
) -> IncidentId {
    let behind: Vec<&Case> = narrower.iter().filter_map(|id| ledger.case(*id)).collect();
    let onset = behind.iter().map(|it| it.incident.onset).min().unwrap_or(scene.now);
    let first_arrival = behind.iter().map(|it| it.first_arrival).min().unwrap_or(scene.now);
    let evidence =
        |it: &&Case| it.incident.evidence.iter().find(|it| it.side == Side::For).cloned();
    let severity = behind.iter().map(|it| it.incident.severity).max().unwrap_or(Severity::Info);
    let (evidence, beaten) = (
        behind.iter().filter_map(evidence).take(MAX_EVIDENCE).collect(),
        behind.iter().map(|it| it.incident.fit.clone()).take(MAX_CAUSES).collect(),
    );
    // Nothing says that the region itself is at fault: what stands is that no narrower cause is.
    let fit = Candidate {
        subject: subject.clone(),
        coverage: Ratio::default(),
        explains: Ratio::ONE,
        broken: 0,
        spared: 0,
        pending: 0,
    };
    let incident = |id| Incident {
        storm: true,
        severity,
        beaten,
        evidence,
        ..Incident::opened(id, fit, (onset, first_arrival), scene.now)
    };
    ledger.open(|id| Case::new(incident(id), BTreeSet::new(), first_arrival, None))
}

fn region_of(storm: &Case) -> Option<RegionId> {
    match &storm.incident.subject {
        Subject::Region(region) => Some(region.clone()),
        _ => None,
    }
}

/// A storm is over when it has not gathered anew for long enough. One that turned out to be the region's own fault is not one
/// any more, and goes on as an ordinary incident.
fn abate(desk: &mut Desk<'_>, ledger: &mut Ledger, id: IncidentId) {
    let now = desk.scene.now;
    let leave = desk.scene.facts.policy.guards.storm_leave;
    let region = ledger.case(id).and_then(region_of);
    if region.is_none_or(|it| ledger.stirring.contains_key(&it)) {
        return;
    }
    let Some(case) = ledger.case_mut(id) else { return };
    let since: MonoTime = *case.clean_since.get_or_insert(now);
    if now < since + leave {
        desk.look_again(since + leave);
    } else if case.scope.is_empty() {
        ledger.close(id, now);
    } else {
        ledger.edit(id, |it| it.incident.storm = false);
    }
}
