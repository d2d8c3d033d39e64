//! From faults to a cause.
//!
//! Each possible cause is a set of streams that it would break. What is broken is explained by the fewest causes, after the
//! SCORE and Shrink papers on localising by risk groups: candidates of which nearly everything is broken come first, among
//! them the one that explains most, and so on with what is left. The alternative, a decision tree over "bad at the head-end,
//! bad in both regions, ...", names the same causes on a whole platform, but guesses where an agent is missing; sets say how
//! well they fit, and that is kept with every incident.
//!
//! Time matters twice. A stream is good evidence only by a slice that begins after the onset, brought forward by the
//! stream's delay; until then it is unknown and speaks for nobody. And as long as a *rival* that explains as much could still
//! turn out true, the name waits for `settle`, and an action waits longer.
//!
//! A new cause is one file here and one line in [`CAUSES`].

mod encoder;
mod probe;
mod processing;
mod programme;
mod provider;
mod region;
mod server;
mod source;

use alloc::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::{MonoTime, Ratio};

use crate::{
    incident::{Candidate, Cause, Subject},
    lineup::{StreamNo, StreamRef},
    scene::{Said, Scene, State, Word},
};

pub(crate) use probe::probes;

/// How one kind of cause is recognised.
pub(crate) struct CauseRule {
    /// Whether a subject is one of this kind.
    is: fn(&Subject) -> bool,
    /// Which causes of this kind could be behind a bad stream.
    suspects: fn(&Scene<'_>, StreamNo) -> Vec<Subject>,
    /// What it would break.
    breaks: for<'a> fn(&Scene<'a>, &Subject) -> Cow<'a, [StreamNo]>,
    /// When it would be seen on what it breaks.
    reach: Reach,
    /// Whether it is possible at all, by what is known since the onset at the source.
    possible: fn(&Scene<'_>, &Subject, MonoTime) -> Possible,
}

/// Says whether a stream that a subject would break is already explained by another cause.
pub(crate) type Elsewhere<'a> = &'a dyn Fn(&Subject, StreamNo) -> bool;

/// When a cause is seen on the streams that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// With the media that it spoiled: late by each stream's delay.
    WithMedia,
    /// At once: it is between the streams and who sees them.
    AtOnce,
}

impl Reach {
    /// From when on a stream speaks about a cause with this onset.
    fn since(self, scene: &Scene<'_>, onset: MonoTime, stream: StreamNo) -> MonoTime {
        match self {
            Self::WithMedia => onset + scene.facts.lineup.delay(stream),
            Self::AtOnce => onset,
        }
    }
}

/// Whether a candidate could be the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Possible {
    /// What it needs is there.
    Yes,
    /// What it needs is not known yet, or might never be.
    NotYet,
    /// It is ruled out.
    No,
}

/// Every kind of cause. Where two fit alike and break equally many, the earlier is named.
const CAUSES: &[CauseRule] = &[
    source::RULE,
    provider::RULE,
    programme::RULE,
    server::RULE,
    processing::RULE,
    encoder::RULE,
    region::RULE,
];

/// Coverage at which candidates compete, best first. Below the second a name is weak whatever it is, so that one cause of a third
/// of its streams is more likely than several of half of theirs.
const LEVELS: [f64; 4] = [PARTIAL_BELOW, WEAK_BELOW, 0.3, 0.0];

/// What fails together has onsets no further apart.
pub(crate) const TOGETHER: Duration = Duration::from_secs(5);

/// Onsets are known no finer than to the second: what is no further apart may have begun in one moment.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Fewer channels or sources than this share no fate worth a name.
const AT_LEAST: usize = 2;

/// So many streams that fail together and of which one cause breaks at least half are its.
const MANY: usize = 3;
const HALF: f64 = 0.5;

/// From this coverage on a cause breaks nearly all that it could.
pub(crate) const PARTIAL_BELOW: f64 = 0.9;

/// Below this coverage a cause may be named, but nothing acts on it.
pub(crate) const WEAK_BELOW: f64 = 0.7;

/// A candidate measured against what is broken.
#[derive(Clone, Debug)]
pub(crate) struct Fit {
    pub(crate) subject: Subject,
    /// In order.
    pub(crate) breaks: Vec<StreamNo>,
    /// Bad streams that it explains.
    pub(crate) explained: BTreeSet<StreamNo>,
    /// How many of its streams are bad or suspect.
    broken: usize,
    /// How many are seen well.
    spared: usize,
    /// How many are watched and have not been seen since.
    pending: usize,
    /// Of the broken ones, how many only show a condition so far.
    suspect: usize,
    /// How many witnesses disagree about: nobody knows which of the others these are.
    disputed: usize,
    /// Its streams' earliest onset, at the source.
    pub(crate) onset: MonoTime,
    possible: Possible,
    reach: Reach,
    rank: usize,
}

impl Fit {
    pub(crate) fn coverage(&self) -> f64 {
        let known = self.broken + self.spared;
        if known == 0 { 0.0 } else { self.broken as f64 / known as f64 }
    }

    /// The least that the coverage can turn out to be: what acts may rest on. A source is itself seen, so what has not come
    /// through yet does not matter.
    pub(crate) fn sure_coverage(&self) -> f64 {
        let open = self.pending + self.disputed;
        let sure = matches!(self.subject, Subject::Source(_)) || open == 0;
        let known = self.broken + self.spared + open;
        if sure { self.coverage() } else { self.broken as f64 / known as f64 }
    }

    /// Whether it breaks less than nearly all that it could: what has not been seen yet may be of something else.
    pub(crate) fn is_partial(&self) -> bool {
        self.coverage() < PARTIAL_BELOW
    }

    /// Whether it would be weak if all that has not been seen yet turned out to be good. What is wrong with sources is seen there.
    pub(crate) fn is_unsure(&self) -> bool {
        let is_upstream =
            matches!(self.subject.cause(), Cause::Source | Cause::Provider | Cause::Programme);
        !is_upstream && self.sure_coverage() < WEAK_BELOW && self.coverage() >= WEAK_BELOW
    }

    pub(crate) fn candidate(&self, bad: usize) -> Candidate {
        Candidate {
            subject: self.subject.clone(),
            coverage: Ratio::new(self.coverage()),
            explains: Ratio::of(self.explained.len() as f64, bad as f64),
            broken: self.broken,
            spared: self.spared,
            pending: self.pending + self.disputed,
        }
    }

    /// The order of choice within one level.
    fn key(&self) -> (usize, usize, core::cmp::Reverse<usize>, core::cmp::Reverse<usize>) {
        use core::cmp::Reverse;
        let claimed = self.broken + self.disputed;
        (self.explained.len(), claimed, Reverse(self.breaks.len()), Reverse(self.rank))
    }
}

/// A named cause.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) fit: Fit,
    /// What was considered and not chosen, best first.
    pub(crate) beaten: Vec<Candidate>,
    pub(crate) candidate: Candidate,
    /// A candidate that explains as much and is not ruled out.
    pub(crate) rival: Option<Rival>,
    /// When the first fault that it explains came in.
    pub(crate) first_arrival: MonoTime,
}

/// A candidate that could still be the true cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rival {
    pub(crate) subject: Subject,
    pub(crate) ends: RivalEnds,
}

/// How a rival goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RivalEnds {
    /// By the next slices of streams that have not been seen since the onset, which are late by this.
    Soon(Duration),
    /// Not by anything that can be seen now.
    Never,
}

/// The most candidates kept beside a cause.
const MAX_BEATEN: usize = 8;

/// Explains the bad streams by as few causes as possible. What is explained `elsewhere` speaks for no other cause.
pub(crate) fn explain(
    scene: &Scene<'_>,
    bad: &BTreeSet<StreamNo>,
    elsewhere: Elsewhere<'_>,
) -> Vec<Verdict> {
    let fits = measure(scene, bad, elsewhere);
    let mut left = bad.clone();
    let mut verdicts = Vec::new();
    while !left.is_empty() {
        let Some(best) = choose(scene, &fits, &left) else { break };
        let mut fit = fits[best].clone();
        fit.explained.retain(|stream| left.contains(stream));
        left.retain(|stream| !fit.explained.contains(stream));
        let mut others: Vec<&Fit> = fits
            .iter()
            .enumerate()
            .filter(|(i, it)| *i != best && !it.explained.is_disjoint(&fit.explained))
            .map(|(_, it)| it)
            .collect();
        others.sort_by_key(|it| core::cmp::Reverse(it.key()));
        let first_arrival = fit
            .explained
            .iter()
            .flat_map(|&stream| scene.faults_at(stream))
            .map(|(_, _, it)| it.arrived)
            .min()
            .unwrap_or(scene.now);
        verdicts.push(Verdict {
            beaten: others.iter().take(MAX_BEATEN).map(|it| it.candidate(bad.len())).collect(),
            candidate: fit.candidate(bad.len()),
            rival: others.iter().find_map(|it| rival(scene, &fit, it)),
            first_arrival,
            fit,
        });
    }
    verdicts
}

/// Measures one subject against what is broken; `None` if none of it is.
pub(crate) fn fit(scene: &Scene<'_>, subject: &Subject, bad: &BTreeSet<StreamNo>) -> Option<Fit> {
    fit_beside(scene, subject, bad, &|_, _| false)
}

/// The same beside other causes, which explain what is bad elsewhere.
fn fit_beside(
    scene: &Scene<'_>,
    subject: &Subject,
    bad: &BTreeSet<StreamNo>,
    elsewhere: Elsewhere<'_>,
) -> Option<Fit> {
    let (rank, rule) = rule_of(subject)?;
    let breaks = breaks(scene, rule, subject).into_owned();
    let explained = common(&breaks, bad);
    let onset = explained.iter().filter_map(|&stream| scene.onset_at(stream)).min()?;
    let possible = (rule.possible)(scene, subject, onset);
    let (subject, reach) = (subject.clone(), rule.reach);
    let is_source = matches!(subject, Subject::Source(_));
    let (mut broken, mut spared, mut pending, mut suspect, mut disputed) = (0, 0, 0, 0, 0);
    for &stream in &breaks {
        let since = reach.since(scene, onset, stream);
        // Of a large cause nearly all are well: of those nothing else need be asked.
        let well = scene.state_if_well(stream, since).filter(|_| !is_source);
        if well.is_none() && elsewhere(&subject, stream) {
            continue;
        }
        match well.unwrap_or_else(|| scene.state_by(stream, onset, since)) {
            State::Bad => broken += 1,
            State::Suspect => {
                broken += 1;
                suspect += 1;
            }
            State::Good | State::Disputed if is_source && source::is_echoed(scene, stream) => {
                broken += 1;
            }
            State::Good => spared += 1,
            State::Disputed => disputed += 1,
            State::Unknown => {
                pending += usize::from(well.is_some() || scene.is_watched(stream));
            }
        }
    }
    Some(Fit {
        subject,
        breaks,
        explained,
        broken,
        spared,
        pending,
        suspect,
        disputed,
        onset,
        possible,
        reach,
        rank,
    })
}

fn rule_of(subject: &Subject) -> Option<(usize, &'static CauseRule)> {
    CAUSES.iter().enumerate().find(|(_, it)| (it.is)(subject))
}

/// What a cause would break, in order.
fn breaks<'a>(scene: &Scene<'a>, rule: &CauseRule, subject: &Subject) -> Cow<'a, [StreamNo]> {
    let mut breaks = (rule.breaks)(scene, subject);
    // What is borrowed is the lineup's own list.
    if let Cow::Owned(breaks) = &mut breaks {
        breaks.sort_unstable();
    }
    breaks
}

/// Those of the streams, which are in order, that are bad.
pub(crate) fn common(streams: &[StreamNo], bad: &BTreeSet<StreamNo>) -> BTreeSet<StreamNo> {
    // Of two that are of different channels nothing need be looked up.
    if streams.last() < bad.first() || bad.last() < streams.first() {
        BTreeSet::new()
    } else if streams.len() < bad.len() {
        streams.iter().copied().filter(|it| bad.contains(it)).collect()
    } else {
        bad.iter().copied().filter(|it| streams.binary_search(it).is_ok()).collect()
    }
}

fn suspects(scene: &Scene<'_>, stream: StreamNo) -> impl Iterator<Item = Subject> {
    CAUSES.iter().flat_map(move |rule| (rule.suspects)(scene, stream))
}

fn measure(scene: &Scene<'_>, bad: &BTreeSet<StreamNo>, elsewhere: Elsewhere<'_>) -> Vec<Fit> {
    let subjects: BTreeSet<Subject> = bad.iter().flat_map(|&it| suspects(scene, it)).collect();
    subjects.iter().filter_map(|it| fit_beside(scene, it, bad, elsewhere)).collect()
}

fn choose(scene: &Scene<'_>, fits: &[Fit], left: &BTreeSet<StreamNo>) -> Option<usize> {
    for level in LEVELS {
        let best = fits
            .iter()
            .enumerate()
            .filter(|(_, it)| it.possible == Possible::Yes && it.coverage() >= level)
            .filter(|(_, it)| !it.explained.is_disjoint(left))
            .max_by_key(|(_, it)| {
                let explains_left = it.explained.intersection(left).count();
                (explains_left, it.key())
            });
        if let Some((index, _)) = best {
            return Some(shared(scene, fits, left, index));
        }
    }
    None
}

/// What many streams share that fail together, where the best name explains less than half of them: several causes in one moment
/// are less likely than one that breaks only a part. What shows a condition on a server that is not declared yet fails with the rest.
/// Of what fails in the very same second on one server, two are enough, however little of the server it is: its name is weak then,
/// so that people are called for it, where one restart after the other would be a guess each.
fn shared(scene: &Scene<'_>, fits: &[Fit], left: &BTreeSet<StreamNo>, best: usize) -> usize {
    let own: BTreeSet<StreamNo> = fits[best].explained.intersection(left).copied().collect();
    let Some(onset) = own.iter().filter_map(|&it| scene.onset_at(it)).min() else { return best };
    let is_together = |it: &&StreamNo| begins_with(scene, **it, onset);
    let breaks = |it: &Fit| {
        let is_server = matches!(it.subject, Subject::Server(_));
        let suspect = if is_server { it.suspect } else { 0 };
        it.explained.intersection(left).filter(is_together).count() + suspect
    };
    let is_at_once = |it: &&StreamNo| differs(scene, **it, onset).is_some_and(|by| by <= AT_ONCE);
    let is_one_moment = |it: &Fit| {
        let is_inferred = is_inferred(&fits[best].subject);
        let at_once = || it.explained.intersection(left).filter(is_at_once).count();
        is_inferred && matches!(it.subject, Subject::Server(_)) && at_once() > own.len()
    };
    let wider = fits.iter().enumerate().filter(|(_, it)| {
        let is_most = it.coverage() >= HALF && breaks(it) >= MANY.max(2 * own.len());
        let is_wider = it.possible == Possible::Yes && own.is_subset(&it.explained);
        is_wider && (is_most || is_one_moment(it))
    });
    wider.max_by_key(|(_, it)| (breaks(it), it.key())).map_or(best, |(index, _)| index)
}

/// Whether `other` explains all that `named` does and nothing seen speaks against it.
fn rival(scene: &Scene<'_>, named: &Fit, other: &Fit) -> Option<Rival> {
    let unrefuted = other.possible != Possible::No && other.spared == 0;
    if !unrefuted || !named.explained.is_subset(&other.explained) {
        return None;
    }
    let is_of_both = |it: &StreamNo| named.breaks.binary_search(it).is_ok();
    let late = other.breaks.iter().filter(|it| !is_of_both(it)).filter_map(|&stream| {
        let since = other.reach.since(scene, named.onset, stream);
        let waits = scene.state_at(stream, since) == State::Unknown && scene.is_watched(stream);
        waits.then(|| since.since(named.onset))
    });
    // Between one source, its provider and the programme, readiness and the differential rule keep the wrong action away.
    let is_upstream = matches!(other.subject.cause(), Cause::Provider | Cause::Programme);
    let ends = match late.max() {
        Some(late) => RivalEnds::Soon(late),
        None if is_upstream => RivalEnds::Soon(Duration::ZERO),
        None => RivalEnds::Never,
    };
    // A larger set of which everything more is broken too would have been chosen; what is left are equal sets, and those of
    // which the rest cannot be seen.
    let is_part = other.breaks.iter().all(is_of_both) && other.breaks != named.breaks;
    (!is_part).then(|| Rival { subject: other.subject.clone(), ends })
}

/// What could still turn out to be the cause instead of this one.
pub(crate) fn rival_of(scene: &Scene<'_>, named: &Fit, bad: &BTreeSet<StreamNo>) -> Option<Rival> {
    // What explains all of it is a suspect of any one of its streams. Fewest could be behind a source.
    let is_source = |it: &&StreamNo| matches!(scene.facts.lineup.at(**it), StreamRef::Source(..));
    let any = named.explained.iter().find(is_source).or_else(|| named.explained.first());
    let mut others: BTreeSet<Subject> = suspects(scene, *any?).collect();
    others.remove(&named.subject);
    others
        .iter()
        .filter(|it| !is_refuted(scene, it, named, bad) && may_explain(scene, it, named, bad))
        .find_map(|it| rival(scene, named, &fit(scene, it, bad)?))
}

/// Whether a provider cannot be it because it carries another source that is seen well: it breaks too much to be measured for
/// nothing. All that is bad being of the named cause, the other one would have the same onset.
fn is_refuted(scene: &Scene<'_>, subject: &Subject, named: &Fit, bad: &BTreeSet<StreamNo>) -> bool {
    matches!(subject, Subject::Provider(_))
        && named.explained.len() == bad.len()
        && (provider::RULE.possible)(scene, subject, named.onset) == Possible::No
}

/// Whether a cause would explain all that the named one does and spares nothing. Of most that ends at the first stream, so that
/// only a rival is measured in full.
fn may_explain(
    scene: &Scene<'_>,
    subject: &Subject,
    named: &Fit,
    bad: &BTreeSet<StreamNo>,
) -> bool {
    let Some((_, rule)) = rule_of(subject) else { return false };
    let breaks = breaks(scene, rule, subject);
    if !named.explained.iter().all(|it| breaks.binary_search(it).is_ok()) {
        return false;
    }
    // Where all that is bad is the named cause's, both have the same onset.
    let onset = if named.explained.len() == bad.len() {
        Some(named.onset)
    } else {
        common(&breaks, bad).iter().filter_map(|&it| scene.onset_at(it)).min()
    };
    let Some(onset) = onset else { return false };
    !breaks.iter().any(|&stream| {
        let since = rule.reach.since(scene, onset, stream);
        scene.state_by(stream, onset, since) == State::Good
    })
}

/// Whether a stream's faults began together with what began at a moment.
fn begins_with(scene: &Scene<'_>, stream: StreamNo, onset: MonoTime) -> bool {
    differs(scene, stream, onset).is_some_and(|by| by <= TOGETHER)
}

/// How far from a moment a stream's faults began.
fn differs(scene: &Scene<'_>, stream: StreamNo, moment: MonoTime) -> Option<Duration> {
    scene.onset_at(stream).map(|at| at.max(moment).since(at.min(moment)))
}

/// Whether a cause is itself not seen, but told from what it feeds.
fn is_inferred(subject: &Subject) -> bool {
    matches!(subject.cause(), Cause::Processing | Cause::Provider)
}

/// Until when what is named may turn out to be the beginning of something larger, which breaks its parts one by one: a provider
/// or an encoder, where more of what it feeds fails too; a server, where all that is seen is on one that carries much else.
pub(crate) fn grows_until(
    scene: &Scene<'_>,
    fit: &Fit,
    first_arrival: MonoTime,
    (settle, longest): (Duration, Duration),
) -> Option<MonoTime> {
    let kin = match &fit.subject {
        Subject::Source(source) => provider::kin(scene, source),
        Subject::Processing(channel) => encoder::kin(scene, channel),
        _ => Vec::new(),
    };
    let failing = kin.into_iter().filter(|&it| begins_with(scene, it, fit.onset));
    let arrivals = failing.flat_map(|it| scene.faults_at(it)).map(|(_, _, it)| it.arrived);
    let of_kin = arrivals.max().map(|last| {
        let last = last.max(first_arrival);
        (last + settle).min(first_arrival + TOGETHER)
    });
    of_kin.max(server_grows_until(scene, fit, first_arrival, (settle, longest)))
}

fn server_grows_until(
    scene: &Scene<'_>,
    fit: &Fit,
    first_arrival: MonoTime,
    (settle, longest): (Duration, Duration),
) -> Option<MonoTime> {
    let beside = server::only(scene, &fit.explained).filter(|_| is_inferred(&fit.subject))?;
    let watched = || beside.iter().filter(|it| scene.is_watched(**it));
    // What was well a moment after the first may still follow.
    let may_follow = |it: &StreamNo| {
        matches!(scene.state_at(*it, fit.onset + TOGETHER), State::Unknown | State::Suspect)
    };
    let waits = if watched().any(may_follow) { longest } else { settle };
    (watched().count() >= MANY).then(|| first_arrival + waits)
}

/// Whether every vantage point with a vote that watches the cause's streams has reported a slice of one of them that begins
/// after the onset, and has spoken of all that the cause explains.
pub(crate) fn all_have_reported(scene: &Scene<'_>, fit: &Fit) -> bool {
    let since = |stream| fit.reach.since(scene, fit.onset, stream);
    let is_owed = |it: &Said<'_>| {
        let is_unsaid = it.counts && it.word == Word::Unknown;
        is_unsaid && scene.facts.is_fresh(it.node, it.sight, scene.now)
    };
    let mut asked = fit.explained.iter().flat_map(|&it| scene.said(it, since(it)));
    if asked.any(|it| is_owed(&it)) {
        return false;
    }
    let mut reported: BTreeMap<usize, bool> = BTreeMap::new();
    let mut heard_in = BTreeSet::new();
    for &stream in &fit.breaks {
        let (region, since) = (scene.facts.lineup.region_of(stream), since(stream));
        if heard_in.contains(&region) {
            continue;
        }
        for said in scene.said(stream, since).filter(|it| it.counts) {
            let reported = reported.entry(said.path).or_insert(false);
            *reported = *reported || said.sight.latest().is_some_and(|seen| seen.start >= since);
        }
        if scene.voters(stream).all(|it| reported.get(&it) == Some(&true)) {
            heard_in.insert(region);
        }
    }
    reported.values().all(|&it| it)
}
