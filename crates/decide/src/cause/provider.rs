//! A provider is at fault: the sources of several channels that it carries fail together.

use alloc::vec::Vec;
use core::time::Duration;

use tallylight_model::{MonoTime, ProviderId, StreamId};

use super::{CauseRule, Possible, Reach, source::source_breaks};
use crate::{
    incident::{Cause, Subject},
    lineup::StreamRef,
    scene::{Scene, State},
};

pub(super) const RULE: CauseRule =
    CauseRule { cause: Cause::Provider, suspects, breaks, reach: Reach::WithMedia, possible };

/// Sources fail together if their onsets are no further apart.
const TOGETHER: Duration = Duration::from_secs(5);

/// Fewer sources than this share no fate worth a name.
const AT_LEAST: usize = 2;

fn suspects(scene: &Scene<'_>, stream: &StreamId) -> Vec<Subject> {
    let provider_of = |stream: &StreamId| match scene.facts.lineup.stream(stream) {
        Some(StreamRef::Source(_, source)) => source.provider.clone(),
        _ => None,
    };
    let found = match scene.facts.lineup.stream(stream) {
        Some(StreamRef::Delivery(channel, ..)) => channel
            .sources
            .iter()
            .find(|it| scene.facts.is_active(&it.stream))
            .and_then(|it| it.provider.clone()),
        _ => provider_of(stream),
    };
    found.map(Subject::Provider).into_iter().collect()
}

fn sources<'a>(scene: &Scene<'a>, provider: &ProviderId) -> Vec<&'a StreamId> {
    let channels = scene.facts.lineup.channels();
    channels
        .flat_map(|it| &it.sources)
        .filter(|it| it.provider.as_ref() == Some(provider))
        .map(|it| &it.stream)
        .collect()
}

fn breaks(scene: &Scene<'_>, subject: &Subject) -> Vec<StreamId> {
    let Subject::Provider(provider) = subject else { return Vec::new() };
    sources(scene, provider).into_iter().flat_map(|it| source_breaks(scene, it)).collect()
}

fn possible(scene: &Scene<'_>, subject: &Subject, onset: MonoTime) -> Possible {
    let Subject::Provider(provider) = subject else { return Possible::No };
    let sources = sources(scene, provider);
    let together =
        |stream: &&&StreamId| scene.onset(stream).is_some_and(|it| it.since(onset) <= TOGETHER);
    let bad = sources.iter().filter(together).count();
    let state = |state| sources.iter().any(|stream| scene.state(stream, onset) == state);
    if sources.len() < AT_LEAST || state(State::Good) || state(State::Disputed) {
        Possible::No
    } else if bad >= AT_LEAST {
        Possible::Yes
    } else {
        Possible::NotYet
    }
}
