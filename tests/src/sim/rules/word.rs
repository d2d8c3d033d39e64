//! What agents had said by a moment, as it came in: all that rules about evidence rest on.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tallylight_decide::lineup::Agent;
use tallylight_model::{
    Batch, FaultKind, FaultPhase, MonoTime, NodeId, RegionId, Severity, StreamId,
};

use super::EVIDENCE_AGE;
use crate::sim::platform::Conditions;

/// Slices remembered of a stream.
const RECENT: usize = 64;
/// From so much on a host has no room for viewers, and for so long what it told of that is true.
const FULL: f64 = 0.75;
const LOAD_AGE: Duration = Duration::from_secs(3);

/// What an agent said of a stream, as it came in.
#[derive(Debug, Default)]
pub(super) struct Word {
    pub(super) standing: BTreeMap<FaultKind, Claim>,
    /// When the latest record of a kind was cut.
    records: BTreeMap<FaultKind, MonoTime>,
    /// When it was said that a fault is over: what was said before and comes in after that says nothing of it.
    over: BTreeMap<FaultKind, MonoTime>,
    pub(super) recent: VecDeque<Seen>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) severity: Severity,
    pub(super) onset: MonoTime,
    /// When it was first said, and last.
    pub(super) declared: MonoTime,
    pub(super) said: MonoTime,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) start: MonoTime,
    pub(super) end: MonoTime,
    pub(super) held: Conditions,
    pub(super) picture: bool,
    pub(super) any: bool,
}

impl Seen {
    /// Whether it shows something on which could be acted.
    pub(super) fn is_bad(&self) -> bool {
        self.held.iter().any(|it| it.may_act(Severity::Critical))
    }
}

/// An agent with all that it said.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) node: NodeId,
    pub(super) region: RegionId,
    pub(super) path: String,
    pub(super) words: BTreeMap<StreamId, Word>,
    /// When it last told how far its host is used, and that.
    load: Option<(MonoTime, f64)>,
}

/// One claim.
pub(super) struct Said<'a> {
    pub(super) path: &'a str,
    pub(super) stream: &'a StreamId,
    pub(super) kind: FaultKind,
    pub(super) onset: MonoTime,
    pub(super) word: &'a Word,
}

impl Witness {
    pub(super) fn new(agent: &Agent) -> Self {
        Self {
            node: agent.node.clone(),
            region: agent.region.clone(),
            path: agent.path.clone(),
            words: BTreeMap::new(),
            load: None,
        }
    }

    /// Whether it tells that its host has no room for more viewers.
    pub(super) fn is_full(&self, at: MonoTime) -> bool {
        self.load.is_some_and(|(told, load)| at.since(told) <= LOAD_AGE && load >= FULL)
    }

    /// A batch that was cut at a moment comes in.
    pub(super) fn heard(&mut self, cut: MonoTime, batch: &Batch) {
        for report in &batch.reports {
            let load = report.saturation.values().map(|it| it.get()).fold(0.0, f64::max);
            if self.load.is_none_or(|(told, _)| told <= report.at) {
                self.load = Some((report.at, load));
            }
        }
        for record in &batch.faults {
            let word = self.words.entry(record.stream.clone()).or_default();
            // A record that a later one has overtaken.
            let latest = word.records.entry(record.kind).or_insert(cut);
            if *latest > cut {
                continue;
            }
            *latest = cut;
            if let FaultPhase::End(_) = record.phase {
                word.standing.remove(&record.kind);
                word.over.insert(record.kind, cut);
                continue;
            }
            let (severity, onset) = (record.severity, record.onset);
            let said = word.standing.get(&record.kind).map_or(cut, |it| it.said.max(cut));
            let claim = Claim { severity, onset, declared: cut, said };
            word.standing.insert(record.kind, claim);
        }
        for slice in &batch.slices {
            let word = self.words.entry(slice.stream.clone()).or_default();
            // One that was cut behind the news of an end may still be of the time before it.
            let over = &word.over;
            let is_news = |kind: &FaultKind| over.get(kind).is_none_or(|&it| it < slice.end);
            for (&kind, &severity) in slice.standing.iter().filter(|it| is_news(it.0)) {
                let onset = slice.end;
                let claim = Claim { severity, onset, declared: slice.end, said: cut };
                let known = word.standing.entry(kind).or_insert(claim);
                known.said = known.said.max(cut);
                known.severity = known.severity.max(severity);
            }
            // What the newest slice does not list is over, though the record that said so be lost.
            let begin = slice.end - slice.length;
            if word.recent.iter().all(|it| it.end <= slice.end) {
                let lists = |kind: &FaultKind| slice.standing.contains_key(kind);
                word.standing.retain(|kind, it| lists(kind) || it.declared >= begin);
            }
            word.recent.push_back(Seen {
                start: begin,
                end: slice.end,
                held: slice.conditions.keys().copied().collect(),
                picture: !slice.observed.picture.is_zero(),
                any: !slice.observed.any().is_zero(),
            });
            if word.recent.len() > RECENT {
                word.recent.pop_front();
            }
        }
    }

    /// What it claims of a stream within the age that evidence may have.
    pub(super) fn claims<'a>(
        &'a self,
        at: MonoTime,
        stream: &StreamId,
    ) -> impl Iterator<Item = Said<'a>> + use<'a> {
        self.words.get_key_value(stream).into_iter().flat_map(move |(stream, word)| {
            let young = move |it: &Claim| at.since(it.said) <= EVIDENCE_AGE;
            let acts = word
                .standing
                .iter()
                .filter(move |(kind, claim)| young(claim) && kind.may_act(claim.severity));
            acts.map(move |(&kind, claim)| Said {
                path: &self.path,
                stream,
                kind,
                onset: claim.onset,
                word,
            })
        })
    }
}

/// The paths that call a stream bad, and those that see it well.
pub(super) fn votes<'a>(
    witnesses: &'a [Witness],
    at: MonoTime,
    stream: &StreamId,
) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
    let (mut bad, mut good) = (BTreeSet::new(), BTreeSet::new());
    for witness in witnesses {
        if witness.claims(at, stream).next().is_some() {
            bad.insert(witness.path.as_str());
            continue;
        }
        // What comes late is not the latest.
        let word = witness.words.get(stream);
        let latest = word.and_then(|it| it.recent.iter().max_by_key(|it| it.end));
        if latest.is_some_and(|it| it.any && !it.is_bad() && at.since(it.end) <= EVIDENCE_AGE * 2) {
            good.insert(witness.path.as_str());
        }
    }
    (bad, good)
}
