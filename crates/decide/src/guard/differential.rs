//! Black, frozen and silent pictures may be meant: probes that decode the same bits agree on an intentional black. So such a
//! fault acts only if the backup lacks it over the *same programme time*, by the offsets that the lineup states.
//!
//! Any sign of the condition on the backup in that time, declared or not, makes it the programme. Until enough of that time
//! has been seen the answer is *not yet*. Where an offset is unknown the fault is held, and then needs a person.

use core::time::Duration;

use tallylight_model::{FaultKind, MonoTime, StreamId};

use super::{Answer, Proposal};
use crate::{
    action::{ActionKind, Feed, Reason},
    incident::Subject,
    lineup::{Source, StreamRef},
    scene::Scene,
};

/// So much of the backup's programme time after the fault's onset must have been seen.
const SEEN_FOR: Duration = Duration::from_secs(2);

/// Stated offsets are believed to this.
const OFFSET_ERROR: Duration = Duration::from_secs(1);

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let scene = proposal.scene;
    let Subject::Source(stream) = &proposal.case.incident.subject else { return Answer::Pass };
    if proposal.kind != ActionKind::SwitchSource {
        return Answer::Pass;
    }
    let mut worthy =
        scene.faults(stream).filter(|(_, kind, it)| kind.may_act(it.severity)).peekable();
    if worthy.peek().is_none() {
        return Answer::Refuse(Reason::NeverActs);
    }
    if scene
        .faults(stream)
        .any(|(_, kind, it)| !kind.is_differential() && kind.may_act(it.severity))
    {
        return Answer::Pass;
    }
    let Some(Feed::Source(to)) = &proposal.to else { return Answer::Refuse(Reason::NoReadyBackup) };
    let (Some(from), Some(to)) = (source(scene, stream), source(scene, to)) else {
        return Answer::Refuse(Reason::DifferentialUnknown);
    };
    let mut answer = Answer::Pass;
    for (_, kind, it) in worthy {
        match compare(scene, kind, it.onset, from, to) {
            Answer::Pass => {}
            approve @ Answer::Approve(_) => answer = approve,
            other => return other,
        }
    }
    answer
}

fn source<'a>(scene: &Scene<'a>, stream: &StreamId) -> Option<&'a Source> {
    match scene.facts.lineup.stream(stream) {
        Some(StreamRef::Source(_, source)) => Some(source),
        _ => None,
    }
}

fn compare(
    scene: &Scene<'_>,
    kind: FaultKind,
    onset: MonoTime,
    from: &Source,
    to: &Source,
) -> Answer {
    let (Some(from_offset), Some(to_offset)) = (from.offset, to.offset) else {
        let until = onset + scene.facts.policy.guards.differential_hold;
        return if scene.now < until {
            Answer::Until(Reason::OffsetUnknown, until)
        } else {
            Answer::Approve(Reason::OffsetUnknown)
        };
    };
    let begin = onset + to_offset - from_offset;
    let mut seen = Duration::ZERO;
    for (node, sight) in scene.facts.sights_of(&to.stream) {
        if !scene.votes(node) {
            continue;
        }
        let slices = sight.recent().rev().take_while(|it| it.end + OFFSET_ERROR > begin);
        let mut clean = Duration::ZERO;
        for slice in slices {
            if slice.conditions.contains(kind) {
                return Answer::Refuse(Reason::Programme);
            }
            if slice.start >= begin && !slice.observed.layer(kind.rule().layer).is_zero() {
                clean += slice.end.since(slice.start);
            }
        }
        seen = seen.max(clean);
    }
    if seen >= SEEN_FOR { Answer::Pass } else { Answer::Refuse(Reason::DifferentialUnknown) }
}
