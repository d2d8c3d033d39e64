//! The way to a region is at fault: every delivery on every one of its servers is bad.

use alloc::{collections::BTreeSet, vec, vec::Vec};

use tallylight_model::MonoTime;

use super::{CauseRule, Possible, Reach};
use crate::{
    incident::Subject,
    lineup::{StreamNo, StreamRef},
    scene::{Scene, State},
};

pub(super) const RULE: CauseRule = CauseRule {
    is: |subject| matches!(subject, Subject::Region(_)),
    suspects,
    breaks,
    reach: Reach::AtOnce,
    possible,
};

fn suspects(scene: &Scene<'_>, stream: StreamNo) -> Vec<Subject> {
    match scene.facts.lineup.at(stream) {
        StreamRef::Delivery(.., server) => vec![Subject::Region(server.region.clone())],
        StreamRef::Source(..) => Vec::new(),
    }
}

fn breaks(scene: &Scene<'_>, subject: &Subject) -> Vec<StreamNo> {
    let Subject::Region(region) = subject else { return Vec::new() };
    scene.facts.lineup.in_region(region).to_vec()
}

/// A region is its servers: bad streams on one of them alone are that server's.
fn possible(scene: &Scene<'_>, subject: &Subject, onset: MonoTime) -> Possible {
    let (mut servers, mut bad) = (BTreeSet::new(), BTreeSet::new());
    for stream in breaks(scene, subject) {
        if let StreamRef::Delivery(.., server) = scene.facts.lineup.at(stream) {
            servers.insert(&server.id);
            if matches!(scene.state_by(stream, onset, onset), State::Bad | State::Suspect) {
                bad.insert(&server.id);
            }
        }
    }
    match (servers.len(), bad.len()) {
        (0 | 1, _) => Possible::No,
        (_, 0 | 1) => Possible::NotYet,
        _ => Possible::Yes,
    }
}
