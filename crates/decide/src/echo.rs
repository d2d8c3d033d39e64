//! Echoes: what a delivery shows is old by up to its delay, so a fault that its source had is seen there when it may long be
//! over, and after a change of sources the old one is seen there for a while.
//!
//! An echo is no evidence about anything between source and delivery, and none about the present. The rejected alternative,
//! to judge each delivery against its source at the same programme time, needs the *actual* delay, which nobody knows: what
//! the lineup states is the most it can be.

use core::time::Duration;

use tallylight_model::{FaultClass, FaultKind, MonoTime, Severity, StreamId};

use crate::{
    action::Target,
    ledger::Ledger,
    lineup::{StreamNo, StreamRef},
    scene::Scene,
    sight::{KindSet, Seen, Sight},
};

/// A fault has an edge, and so has a switch: a decoder waits for its next key frame, a packager for its next segment.
pub(crate) const EDGE: Duration = Duration::from_secs(3);

/// A player that ran dry fills again two segments and the clear time after its stream came back, and segments are rarely longer
/// than 10 s.
pub(crate) const REFILL: Duration = Duration::from_secs(30);

/// The moment up to which faults of a stream may be echoes. Media that it shows from later on is its own.
pub(crate) fn until(scene: &Scene<'_>, ledger: &Ledger, stream: &StreamId) -> MonoTime {
    let Some(StreamRef::Delivery(channel, delivery, _)) = scene.facts.lineup.stream(stream) else {
        return MonoTime::ZERO;
    };
    let kinds = scene.kinds(stream);
    let oldest = scene.onset(stream).unwrap_or(scene.now) - delivery.delay - EDGE;
    let fed = channel.sources.iter().filter(|it| scene.facts.was_active(&it.stream, oldest));
    let shown = fed.filter_map(|it| shown_until(scene, &it.stream, kinds)).map(|at| at + EDGE);
    let changed = scene.facts.on_since(&channel.id);
    let acted = ledger.last_done(&Target::Channel(channel.id.clone()));
    // What was there before a restart nobody remembers.
    let resumed = Some(ledger.resumed);
    let last = shown.chain(changed).chain(acted).chain(resumed).max();
    last.map_or(MonoTime::ZERO, |at| at + delivery.delay)
}

/// Whether anything bad is seen of a stream in media from after a moment. A player that is dry or a playlist that stands still
/// may be what is left of a gap before it: segments come whole, so both begin late and last long.
pub(crate) fn is_bad_since(scene: &Scene<'_>, stream: &StreamId, since: MonoTime) -> bool {
    let is_left_over = |kind: FaultKind, at: MonoTime| is_left_over(kind) && at < since + REFILL;
    let after = |sight: &Sight| {
        let mut later = sight.recent_since(since).filter(|it| it.start >= since);
        let is_bad = |it: &Seen| it.conditions.iter().any(|kind| !is_left_over(kind, it.start));
        later.any(is_bad)
            || sight.faults().any(|(kind, it)| it.onset >= since && !is_left_over(kind, it.onset))
    };
    scene.facts.lineup.no(stream).is_some_and(|it| scene.trusted(it).any(after))
}

/// Whether a fault may be what is left of a gap: segments come whole, so it begins late and lasts long.
pub(crate) const fn is_left_over(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Stall | FaultKind::PlaylistStale)
}

/// Whether all that is bad of a delivery can be what a source showed that is good again.
pub(crate) fn is_all_of(scene: &Scene<'_>, source: &StreamId, stream: StreamNo) -> bool {
    let lineup = &scene.facts.lineup;
    let (id, late) = (lineup.id(stream), EDGE + lineup.at(stream).delay());
    let Some(onset) = scene.onset_at(stream) else { return false };
    let kinds = scene.kinds(id);
    let explaining = leading_to(kinds);
    let explains = |it: &Seen| {
        let is_before = it.start <= onset && onset <= it.end + late;
        is_before && !it.conditions.and(explaining).is_empty()
    };
    let mut sights = scene.facts.sights_of(source).filter(|(node, _)| scene.votes(node));
    sights.any(|(_, sight)| sight.recent().any(explains))
        && shown_until(scene, source, kinds)
            .is_some_and(|last| !is_bad_since(scene, id, last + late))
}

/// When a source last showed what could be seen as one of these kinds downstream.
fn shown_until(scene: &Scene<'_>, source: &StreamId, kinds: KindSet) -> Option<MonoTime> {
    let explaining = leading_to(kinds);
    let explains = |it: &&Seen| !it.conditions.and(explaining).is_empty();
    let sights = scene.trusted(scene.facts.lineup.no(source)?);
    sights.filter_map(|it| it.recent().rev().find(explains)).map(|it| it.end).max()
}

/// What of a source can be seen as one of these kinds downstream.
fn leading_to(kinds: KindSet) -> KindSet {
    let leads = |from: &FaultKind| kinds.iter().any(|kind| leads_to(*from, kind));
    FaultKind::ALL.iter().copied().filter(leads).collect()
}

/// Whether one fault of a source can be seen as another one downstream.
fn leads_to(source: FaultKind, downstream: FaultKind) -> bool {
    let (Some(from), Some(to)) = (source.rule().class, downstream.rule().class) else {
        return false;
    };
    match from {
        _ if !source.may_act(Severity::Critical) => false,
        FaultClass::Unavailable | FaultClass::Manifest | FaultClass::Stall => true,
        FaultClass::Loss => matches!(to, FaultClass::Loss | FaultClass::Decode),
        _ => from == to,
    }
}
