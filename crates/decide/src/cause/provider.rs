//! A provider is at fault: the sources of several channels that it carries fail together.

use alloc::{borrow::Cow, vec::Vec};

use tallylight_model::{MonoTime, StreamId};

use super::{AT_LEAST, CauseRule, Possible, Reach, TOGETHER, source::source_breaks};
use crate::{
    incident::Subject,
    lineup::{StreamNo, StreamRef},
    scene::{Scene, State},
};

pub(super) const RULE: CauseRule = CauseRule {
    is: |subject| matches!(subject, Subject::Provider(_)),
    suspects,
    breaks,
    reach: Reach::WithMedia,
    possible,
};

fn suspects(scene: &Scene<'_>, stream: StreamNo) -> Vec<Subject> {
    let lineup = &scene.facts.lineup;
    let source = match lineup.at(stream) {
        StreamRef::Source(..) => Some(stream),
        StreamRef::Delivery(..) => scene.facts.feeding(stream),
    };
    let provider = match source.map(|it| lineup.at(it)) {
        Some(StreamRef::Source(_, source)) => source.provider.clone(),
        _ => None,
    };
    provider.map(Subject::Provider).into_iter().collect()
}

fn breaks<'a>(scene: &Scene<'a>, subject: &Subject) -> Cow<'a, [StreamNo]> {
    let Subject::Provider(provider) = subject else { return Cow::default() };
    let sources = scene.facts.lineup.of_provider(provider).iter();
    sources.flat_map(|&it| source_breaks(scene, it)).collect()
}

fn possible(scene: &Scene<'_>, subject: &Subject, onset: MonoTime) -> Possible {
    let Subject::Provider(provider) = subject else { return Possible::No };
    let sources = scene.facts.lineup.of_provider(provider);
    // Nearly always some source of it is plainly good.
    let is_plain = |&it: &StreamNo| scene.is_plainly_good(it, onset + TOGETHER);
    if sources.len() < AT_LEAST || sources.iter().any(is_plain) {
        return Possible::No;
    }
    let together = |it: &MonoTime| it.since(onset) <= TOGETHER;
    let begun: Vec<MonoTime> =
        sources.iter().filter_map(|&it| began(scene, it)).filter(together).collect();
    // They fail within a moment, not at once: one that was good after the first may still follow.
    let last = begun.iter().copied().max().unwrap_or(onset);
    let is_seen_well = |&it: &StreamNo| {
        matches!(scene.state_at(it, last.max(onset)), State::Good | State::Disputed)
    };
    if sources.iter().any(is_seen_well) {
        Possible::No
    } else if begun.len() >= AT_LEAST {
        Possible::Yes
    } else {
        Possible::NotYet
    }
}

/// The other sources of a source's provider.
pub(super) fn kin(scene: &Scene<'_>, source: &StreamId) -> Vec<StreamNo> {
    let lineup = &scene.facts.lineup;
    let provider = match lineup.stream(source) {
        Some(StreamRef::Source(_, source)) => source.provider.as_ref(),
        _ => None,
    };
    let carried = provider.map_or(&[][..], |it| lineup.of_provider(it));
    carried.iter().copied().filter(|it| lineup.id(*it) != source).collect()
}

/// When a source began to fail. One that nobody watches fails with everything that is seen of what it feeds.
fn began(scene: &Scene<'_>, source: StreamNo) -> Option<MonoTime> {
    let seen = scene.onset_at(source);
    if seen.is_some() || scene.is_watched(source) || !scene.facts.is_feeding(source) {
        return seen;
    }
    let fed = scene.facts.lineup.deliveries_of(source);
    let is_well = |it: &StreamNo| {
        let delay = scene.facts.lineup.at(*it).delay();
        matches!(scene.state_at(*it, MonoTime::ZERO + delay), State::Good | State::Disputed)
    };
    let onsets = fed.iter().filter_map(|&it| scene.onset_at(it));
    if fed.iter().any(is_well) { None } else { onsets.min() }
}
