//! A server is at fault: every delivery that it serves is bad.

use alloc::{borrow::Cow, vec, vec::Vec};

use tallylight_model::MonoTime;

use super::{CauseRule, Possible, Reach};
use crate::{
    incident::Subject,
    lineup::{StreamNo, StreamRef},
    scene::Scene,
};

pub(super) const RULE: CauseRule = CauseRule {
    is: |subject| matches!(subject, Subject::Server(_)),
    suspects,
    breaks,
    reach: Reach::AtOnce,
    possible,
};

fn suspects(scene: &Scene<'_>, stream: StreamNo) -> Vec<Subject> {
    match scene.facts.lineup.at(stream) {
        StreamRef::Delivery(.., server) => vec![Subject::Server(server.id.clone())],
        StreamRef::Source(..) => Vec::new(),
    }
}

fn breaks<'a>(scene: &Scene<'a>, subject: &Subject) -> Cow<'a, [StreamNo]> {
    let Subject::Server(server) = subject else { return Cow::default() };
    Cow::Borrowed(scene.facts.lineup.on_server(server))
}

fn possible(_: &Scene<'_>, _: &Subject, _: MonoTime) -> Possible {
    Possible::Yes
}
