//! Which sources could be switched to.

use alloc::vec::Vec;
use core::time::Duration;

use tallylight_model::{Layer, MonoTime, StreamId};

use crate::{
    likeness::Programme,
    lineup::{Channel, ChannelKind, Encryption, ProgrammeMatch, Source, StreamRef},
    scene::Scene,
    sight::{Seen, Sight},
    view::NotReady,
};

/// Why a source could not be switched to; empty if it is ready.
pub(crate) fn not_ready(scene: &Scene<'_>, channel: &Channel, source: &Source) -> Vec<NotReady> {
    let guards = &scene.facts.policy.guards;
    let mut reasons = Vec::new();
    if channel.programme_match == ProgrammeMatch::Required {
        reasons.extend(carries_another(scene, channel, source));
    }
    let no = scene.facts.lineup.no(&source.stream);
    let sights: Vec<&Sight> = no.into_iter().flat_map(|it| scene.trusted(it)).collect();
    let young = |at: MonoTime| scene.now.since(at) <= guards.ready_max_age;
    let seen: Vec<&Seen> = sights
        .iter()
        .filter_map(|it| it.latest())
        .filter(|it| it.is_observed() && young(it.end))
        .collect();
    if seen.is_empty() {
        reasons.push(NotReady::Unobserved);
        return reasons;
    }
    if sights.iter().any(|it| it.faults().next().is_some()) {
        reasons.push(NotReady::Faulty);
    } else if sights
        .iter()
        .filter_map(|it| it.last_bad())
        .any(|at| scene.now.since(at) < guards.ready_clean)
    {
        reasons.push(NotReady::RecentFault);
    } else if !is_proven(scene.now, &sights, guards.ready_seen) {
        reasons.push(NotReady::TooNew);
    }
    if !sights.iter().any(|it| is_decoded(scene.now, channel, it, guards.ready_max_age)) {
        reasons.push(NotReady::NotDecoded);
    }
    reasons
}

/// Why a source is not known to carry what the channel shows.
fn carries_another(scene: &Scene<'_>, channel: &Channel, source: &Source) -> Option<NotReady> {
    let feeding = channel.sources.iter().find(|it| scene.facts.is_active(&it.stream));
    let heard = feeding.map(|it| scene.facts.heard(scene.now, &source.stream, &it.stream));
    match heard {
        Some(Programme::Other) => Some(NotReady::OtherProgramme),
        Some(Programme::Same(_)) => None,
        _ => source.offset.is_none().then_some(NotReady::OffsetUnknown),
    }
}

/// Whether somebody has seen a source well for so long, and nobody sees anything on it now, declared or not: what fails as the
/// other one does shows a part of a second first.
fn is_proven(now: MonoTime, sights: &[&Sight], long: Duration) -> bool {
    let proven = |it: &&Sight| it.good_since().is_some_and(|since| now.since(since) >= long);
    let clear = |it: &Sight| it.latest().is_none_or(|seen| !seen.is_touched);
    sights.iter().any(proven) && sights.iter().all(|it| clear(it))
}

fn is_decoded(now: MonoTime, channel: &Channel, sight: &Sight, within: Duration) -> bool {
    if channel.encryption == Encryption::Expected {
        return true;
    }
    let recent = sight.recent().rev().take_while(|it| now.since(it.end) <= within);
    let decoded = |it: &Seen| match channel.kind {
        ChannelKind::Radio => it.observed.contains(Layer::Sound),
        ChannelKind::Tv | ChannelKind::Still | ChannelKind::Loop => {
            it.observed.contains(Layer::Picture)
        }
    };
    recent.into_iter().any(decoded)
}

/// Whether a source could be switched to.
pub(crate) fn is_ready(scene: &Scene<'_>, stream: &StreamId) -> bool {
    match scene.facts.lineup.stream(stream) {
        Some(StreamRef::Source(channel, source)) => not_ready(scene, channel, source).is_empty(),
        _ => false,
    }
}
