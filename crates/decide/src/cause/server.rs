//! A server is at fault: every delivery that it serves is bad.

use alloc::{vec, vec::Vec};

use tallylight_model::{MonoTime, StreamId};

use super::{CauseRule, Possible, Reach};
use crate::{
    incident::{Cause, Subject},
    lineup::StreamRef,
    scene::Scene,
};

pub(super) const RULE: CauseRule =
    CauseRule { cause: Cause::Server, suspects, breaks, reach: Reach::AtOnce, possible };

fn suspects(scene: &Scene<'_>, stream: &StreamId) -> Vec<Subject> {
    match scene.facts.lineup.stream(stream) {
        Some(StreamRef::Delivery(.., server)) => vec![Subject::Server(server.id.clone())],
        _ => Vec::new(),
    }
}

fn breaks(scene: &Scene<'_>, subject: &Subject) -> Vec<StreamId> {
    let Subject::Server(server) = subject else { return Vec::new() };
    let deliveries = scene.facts.lineup.channels().flat_map(|it| &it.deliveries);
    deliveries.filter(|it| it.server == *server).map(|it| it.stream.clone()).collect()
}

fn possible(_: &Scene<'_>, _: &Subject, _: MonoTime) -> Possible {
    Possible::Yes
}
