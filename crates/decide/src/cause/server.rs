//! A server is at fault: every delivery that it serves is bad.

use alloc::{vec, vec::Vec};

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

fn breaks(scene: &Scene<'_>, subject: &Subject) -> Vec<StreamNo> {
    let Subject::Server(server) = subject else { return Vec::new() };
    scene.facts.lineup.on_server(server).to_vec()
}

fn possible(_: &Scene<'_>, _: &Subject, _: MonoTime) -> Possible {
    Possible::Yes
}
