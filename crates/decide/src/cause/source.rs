//! A source is at fault: bad at the head-end, and downstream if the channel is on it.

use alloc::{vec, vec::Vec};

use tallylight_model::{MonoTime, StreamId};

use super::{CauseRule, Possible, Reach};
use crate::{
    incident::{Cause, Subject},
    lineup::StreamRef,
    scene::{Scene, State},
};

pub(super) const RULE: CauseRule =
    CauseRule { cause: Cause::Source, suspects, breaks, reach: Reach::WithMedia, possible };

fn suspects(scene: &Scene<'_>, stream: &StreamId) -> Vec<Subject> {
    match scene.facts.lineup.stream(stream) {
        Some(StreamRef::Source(..)) => vec![Subject::Source(stream.clone())],
        Some(StreamRef::Delivery(channel, ..)) => {
            let active = channel.sources.iter().find(|it| scene.facts.is_active(&it.stream));
            active.map(|it| Subject::Source(it.stream.clone())).into_iter().collect()
        }
        None => Vec::new(),
    }
}

fn breaks(scene: &Scene<'_>, subject: &Subject) -> Vec<StreamId> {
    let Subject::Source(stream) = subject else { return Vec::new() };
    source_breaks(scene, stream)
}

/// The source itself and, if the channel is on it, the channel's deliveries.
pub(super) fn source_breaks(scene: &Scene<'_>, stream: &StreamId) -> Vec<StreamId> {
    let Some(StreamRef::Source(channel, _)) = scene.facts.lineup.stream(stream) else {
        return Vec::new();
    };
    let mut streams = vec![stream.clone()];
    if scene.facts.is_active(stream) {
        streams.extend(channel.deliveries.iter().map(|it| it.stream.clone()));
    }
    streams
}

fn possible(scene: &Scene<'_>, subject: &Subject, onset: MonoTime) -> Possible {
    let Subject::Source(stream) = subject else { return Possible::No };
    match scene.state(stream, onset) {
        State::Bad | State::Suspect => Possible::Yes,
        State::Good | State::Disputed => Possible::No,
        State::Unknown => Possible::NotYet,
    }
}
