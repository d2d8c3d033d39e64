//! A server is at fault: every delivery that it serves is bad.

use alloc::{borrow::Cow, collections::BTreeSet, vec, vec::Vec};

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

/// All that the one server carries on which all of these are.
pub(super) fn only<'a>(scene: &Scene<'a>, streams: &BTreeSet<StreamNo>) -> Option<&'a [StreamNo]> {
    let lineup = &scene.facts.lineup;
    let server = |it: &StreamNo| match lineup.at(*it) {
        StreamRef::Delivery(.., server) => Some(&server.id),
        StreamRef::Source(..) => None,
    };
    let first = streams.first().and_then(server)?;
    let is_same = |it: &StreamNo| server(it) == Some(first);
    streams.iter().all(is_same).then(|| lineup.on_server(first))
}
