//! What stands between a channel's source and its deliveries is at fault: the source is good, no delivery is.

use alloc::{vec, vec::Vec};

use tallylight_model::{MonoTime, StreamId};

use super::{CauseRule, Possible, Reach};
use crate::{
    incident::{Cause, Subject},
    lineup::StreamRef,
    scene::Scene,
};

pub(super) const RULE: CauseRule =
    CauseRule { cause: Cause::Processing, suspects, breaks, reach: Reach::WithMedia, possible };

fn suspects(scene: &Scene<'_>, stream: &StreamId) -> Vec<Subject> {
    match scene.facts.lineup.stream(stream) {
        Some(StreamRef::Delivery(channel, ..)) => vec![Subject::Processing(channel.id.clone())],
        _ => Vec::new(),
    }
}

fn breaks(scene: &Scene<'_>, subject: &Subject) -> Vec<StreamId> {
    let Subject::Processing(channel) = subject else { return Vec::new() };
    let channel = scene.facts.lineup.channel(channel);
    channel.into_iter().flat_map(|it| &it.deliveries).map(|it| it.stream.clone()).collect()
}

/// The source need not be known to be good for this to be *named*: while it may be bad it is a rival.
fn possible(_: &Scene<'_>, _: &Subject, _: MonoTime) -> Possible {
    Possible::Yes
}
