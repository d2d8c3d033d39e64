//! What stands between a channel's source and its deliveries is at fault: the source is good, no delivery is.

use alloc::{borrow::Cow, vec, vec::Vec};

use tallylight_model::MonoTime;

use super::{CauseRule, Possible, Reach};
use crate::{
    incident::Subject,
    lineup::{StreamNo, StreamRef},
    scene::Scene,
};

pub(super) const RULE: CauseRule = CauseRule {
    is: |subject| matches!(subject, Subject::Processing(_)),
    suspects,
    breaks,
    reach: Reach::WithMedia,
    possible,
};

fn suspects(scene: &Scene<'_>, stream: StreamNo) -> Vec<Subject> {
    match scene.facts.lineup.at(stream) {
        StreamRef::Delivery(channel, ..) => vec![Subject::Processing(channel.id.clone())],
        StreamRef::Source(..) => Vec::new(),
    }
}

fn breaks<'a>(scene: &Scene<'a>, subject: &Subject) -> Cow<'a, [StreamNo]> {
    let Subject::Processing(channel) = subject else { return Cow::default() };
    let streams = scene.facts.lineup.streams_of(channel).into_iter();
    streams.flat_map(|it| it.deliveries.iter().copied()).collect()
}

/// The source need not be known to be good for this to be *named*: while it may be bad it is a rival.
fn possible(_: &Scene<'_>, _: &Subject, _: MonoTime) -> Possible {
    Possible::Yes
}
