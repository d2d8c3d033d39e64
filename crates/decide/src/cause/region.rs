//! The way to a region is at fault: every delivery on every one of its servers is bad.

use alloc::{borrow::Cow, vec, vec::Vec};

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

fn breaks<'a>(scene: &Scene<'a>, subject: &Subject) -> Cow<'a, [StreamNo]> {
    let Subject::Region(region) = subject else { return Cow::default() };
    Cow::Borrowed(scene.facts.lineup.in_region(region))
}

/// A region is its servers: bad streams on one of them alone are that server's.
fn possible(scene: &Scene<'_>, subject: &Subject, onset: MonoTime) -> Possible {
    let (mut servers, mut bad) = (0_usize, 0_usize);
    let Subject::Region(region) = subject else { return Possible::No };
    let lineup = &scene.facts.lineup;
    for server in lineup.servers().filter(|it| it.region == *region) {
        let own = lineup.on_server(&server.id);
        let is_bad = |it| {
            scene.state_if_well(it, onset).is_none()
                && matches!(scene.state_by(it, onset, onset), State::Bad | State::Suspect)
        };
        servers += usize::from(!own.is_empty());
        bad += usize::from(own.iter().any(|&it| is_bad(it)));
        if bad > 1 {
            return Possible::Yes;
        }
    }
    if servers > 1 { Possible::NotYet } else { Possible::No }
}
