//! A source is at fault: bad at the head-end, and downstream if the channel is on it.

use alloc::{borrow::Cow, vec::Vec};
use core::iter::once;

use tallylight_model::MonoTime;

use super::{CauseRule, Possible, Reach};
use crate::{
    echo,
    incident::Subject,
    lineup::{StreamNo, StreamRef},
    scene::{Scene, State},
};

pub(super) const RULE: CauseRule = CauseRule {
    is: |subject| matches!(subject, Subject::Source(_)),
    suspects,
    breaks,
    reach: Reach::WithMedia,
    possible,
};

fn suspects(scene: &Scene<'_>, stream: StreamNo) -> Vec<Subject> {
    let source = match scene.facts.lineup.at(stream) {
        StreamRef::Source(..) => Some(stream),
        StreamRef::Delivery(..) => scene.facts.feeding(stream),
    };
    source.map(|it| Subject::Source(scene.facts.lineup.id(it).clone())).into_iter().collect()
}

fn breaks<'a>(scene: &Scene<'a>, subject: &Subject) -> Cow<'a, [StreamNo]> {
    let Subject::Source(stream) = subject else { return Cow::default() };
    let lineup = &scene.facts.lineup;
    let source = lineup.no(stream).filter(|it| matches!(lineup.at(*it), StreamRef::Source(..)));
    source.into_iter().flat_map(|it| source_breaks(scene, it)).collect()
}

/// The source itself and, if the channel is on it, the channel's deliveries, in order.
pub(super) fn source_breaks(scene: &Scene<'_>, stream: StreamNo) -> impl Iterator<Item = StreamNo> {
    let is_feeding = scene.facts.is_feeding(stream);
    let fed = if is_feeding { scene.facts.lineup.deliveries_in_order(stream) } else { &[] };
    let (before, after) = fed.split_at(fed.partition_point(|it| *it < stream));
    before.iter().copied().chain(once(stream)).chain(after.iter().copied())
}

fn possible(scene: &Scene<'_>, subject: &Subject, onset: MonoTime) -> Possible {
    let Subject::Source(stream) = subject else { return Possible::No };
    let lineup = &scene.facts.lineup;
    match scene.state(stream, onset) {
        State::Bad | State::Suspect => Possible::Yes,
        _ if lineup.no(stream).is_some_and(|it| is_echoed(scene, it)) => Possible::Yes,
        State::Good | State::Disputed => Possible::No,
        State::Unknown => Possible::NotYet,
    }
}

/// Whether a source is good again of which its deliveries still show the fault, and nothing else: it was this source.
pub(super) fn is_echoed(scene: &Scene<'_>, source: StreamNo) -> bool {
    let lineup = &scene.facts.lineup;
    let fed = lineup.deliveries_of(source).iter().copied();
    let mut bad = fed.filter(|&it| scene.is_bad(it)).peekable();
    scene.facts.is_feeding(source)
        && bad.peek().is_some()
        && bad.all(|it| echo::is_all_of(scene, lineup.id(source), it))
}
