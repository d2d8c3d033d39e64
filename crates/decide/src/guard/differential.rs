//! Black, frozen and silent pictures may be meant: probes that decode the same bits agree on an intentional black. So such a
//! fault acts only if whatever else carries the *same programme time* lacks it.
//!
//! A switch compares the two sources, by the offsets that the lineup states or fingerprints tell. Any sign of the condition on the backup in that
//! time, declared or not, makes it the programme. Until enough of that time has been seen the answer is *not yet*. Where an
//! offset is unknown the fault is held, and then needs a person.
//!
//! What is done further down compares the deliveries with the source that feeds them: picture or sound of it must have been
//! seen, and seen well, since before the fault can have left it.

use core::time::Duration;

use tallylight_model::{FaultKind, MonoTime, StreamId};

use super::{Answer, Proposal};
use crate::{
    action::{ActionKind, Feed, Reason},
    likeness::Programme,
    lineup::{Source, StreamRef},
    scene::{Scene, State},
    sight::{Sight, Standing},
};

/// So much of the same programme time must have been seen.
const SEEN_FOR: Duration = Duration::from_secs(2);

/// Offsets and delays are believed to this.
const OFFSET_ERROR: Duration = Duration::from_secs(1);

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    match (proposal.kind, &proposal.from) {
        (ActionKind::SwitchSource, Some(Feed::Source(from))) => against_backup(proposal, from),
        _ => against_sources(proposal),
    }
}

fn against_backup(proposal: &Proposal<'_>, stream: &StreamId) -> Answer {
    let scene = proposal.scene;
    match rests_on(scene, stream) {
        Rests::Nothing => return Answer::Refuse(Reason::NeverActs),
        Rests::HardFaults => return Answer::Pass,
        Rests::DifferentialFaults => {}
    }
    let Some(Feed::Source(to)) = &proposal.to else { return Answer::Refuse(Reason::NoReadyBackup) };
    let (Some(from), Some(to)) = (source(scene, stream), source(scene, to)) else {
        return Answer::Refuse(Reason::DifferentialUnknown);
    };
    // What one path alone adds to what others see is neither their fault nor one to compare.
    let mut answer = Answer::Refuse(Reason::NoQuorum);
    for (kind, fault) in worthy(scene, stream).filter(|(kind, _)| kind.is_differential()) {
        match compare(scene, kind, fault, from, to) {
            Answer::Pass if matches!(answer, Answer::Approve(_)) => {}
            Answer::Pass => answer = Answer::Pass,
            approve @ Answer::Approve(_) => answer = approve,
            other => return other,
        }
    }
    answer
}

/// What kind of faults that may act stand on a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rests {
    Nothing,
    DifferentialFaults,
    HardFaults,
}

fn rests_on(scene: &Scene<'_>, stream: &StreamId) -> Rests {
    if scene.has_hard_fault(stream) {
        Rests::HardFaults
    } else if scene.is_worthy(stream) {
        Rests::DifferentialFaults
    } else {
        Rests::Nothing
    }
}

fn worthy<'s>(
    scene: &'s Scene<'_>,
    stream: &StreamId,
) -> impl Iterator<Item = (FaultKind, &'s Standing)> {
    let faults = scene.faults(stream).map(|(_, kind, it)| (kind, it));
    faults.filter(|(kind, it)| kind.may_act(it.severity))
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
    fault: &Standing,
    from: &Source,
    to: &Source,
) -> Answer {
    let Programme::Same(lag) = scene.facts.programme(scene.now, to, from) else {
        let until = fault.onset + scene.facts.policy.guards.differential_hold;
        return if scene.now < until {
            Answer::Until(Reason::OffsetUnknown, until)
        } else {
            Answer::Approve(Reason::OffsetUnknown)
        };
    };
    let (begin, end) = (lag.after(fault.onset), lag.after(fault.confirmed));
    match shown(scene, &to.stream, kind, begin, end) {
        Shown::Faulty => Answer::Refuse(Reason::Programme),
        Shown::Well => Answer::Pass,
        Shown::TooLittle => Answer::Refuse(Reason::DifferentialUnknown),
    }
}

/// Deliveries with nothing but differential faults need sources that are seen without them.
fn against_sources(proposal: &Proposal<'_>) -> Answer {
    let scene = proposal.scene;
    let Some(fit) = &proposal.fit else { return Answer::Refuse(Reason::StaleEvidence) };
    let is_bad = |it: &&StreamId| scene.state(it, MonoTime::ZERO) == State::Bad;
    let affected: alloc::vec::Vec<&StreamId> = match proposal.target.channel() {
        Some(id) => scene.facts.lineup.channel(id).map_or_else(Default::default, |channel| {
            channel.deliveries.iter().map(|it| &it.stream).filter(is_bad).collect()
        }),
        None => fit.explained.iter().map(|it| scene.facts.lineup.id(*it)).collect(),
    };
    let mut answer = Answer::Refuse(Reason::NeverActs);
    for stream in affected {
        match rests_on(scene, stream) {
            Rests::HardFaults => return Answer::Pass,
            Rests::Nothing => {}
            Rests::DifferentialFaults => match is_fed_well(scene, stream) {
                Shown::Well if answer == Answer::Refuse(Reason::NeverActs) => answer = Answer::Pass,
                Shown::Well => {}
                Shown::Faulty => answer = Answer::Refuse(Reason::Ambiguous),
                Shown::TooLittle => answer = Answer::Refuse(Reason::DifferentialUnknown),
            },
        }
    }
    answer
}

/// Whether the source that feeds a delivery is seen without the delivery's own faults.
fn is_fed_well(scene: &Scene<'_>, stream: &StreamId) -> Shown {
    let Some(StreamRef::Delivery(channel, delivery, _)) = scene.facts.lineup.stream(stream) else {
        return Shown::TooLittle;
    };
    let feeds = channel.sources.iter().find(|it| scene.facts.is_active(&it.stream));
    let Some(source) = feeds else { return Shown::TooLittle };
    let compared = worthy(scene, stream).filter(|(kind, _)| kind.is_differential());
    let all = compared.map(|(kind, fault)| {
        let begin = fault.onset - delivery.delay;
        shown(scene, &source.stream, kind, begin, fault.confirmed)
    });
    all.max().unwrap_or(Shown::TooLittle)
}

/// What a stream shows of a kind of fault over a time; the later is the worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Well,
    TooLittle,
    Faulty,
}

fn shown(
    scene: &Scene<'_>,
    stream: &StreamId,
    kind: FaultKind,
    begin: MonoTime,
    end: MonoTime,
) -> Shown {
    let clean = |sight: &Sight| {
        let mut clean = Duration::ZERO;
        for slice in sight.recent().rev().take_while(|it| it.end + OFFSET_ERROR > begin) {
            if slice.conditions.contains(kind) {
                return None;
            }
            let is_within = slice.start >= begin && slice.start < end + OFFSET_ERROR;
            if is_within && slice.observed.contains(kind.rule().layer) {
                clean += slice.end.since(slice.start);
            }
        }
        Some(clean)
    };
    let mut seen = Duration::ZERO;
    for sight in scene.facts.lineup.no(stream).into_iter().flat_map(|it| scene.trusted(it)) {
        match clean(sight) {
            Some(clean) => seen = seen.max(clean),
            None => return Shown::Faulty,
        }
    }
    if seen >= SEEN_FOR { Shown::Well } else { Shown::TooLittle }
}
