//! The programme itself is at fault: every source of the channel shows the same picture or sound fault, so it was made that
//! way, and switching would change nothing.

use alloc::{borrow::Cow, vec, vec::Vec};

use tallylight_model::MonoTime;

use super::{CauseRule, Possible, Reach};
use crate::{
    incident::Subject,
    likeness::Programme,
    lineup::{Source, StreamNo},
    scene::{Scene, State},
    sight::KindSet,
};

pub(super) const RULE: CauseRule = CauseRule {
    is: |subject| matches!(subject, Subject::Programme(_)),
    suspects,
    breaks,
    reach: Reach::WithMedia,
    possible,
};

fn suspects(scene: &Scene<'_>, stream: StreamNo) -> Vec<Subject> {
    let channel = scene.facts.lineup.at(stream).channel();
    if channel.sources.len() > 1 {
        vec![Subject::Programme(channel.id.clone())]
    } else {
        Vec::new()
    }
}

fn breaks<'a>(scene: &Scene<'a>, subject: &Subject) -> Cow<'a, [StreamNo]> {
    let Subject::Programme(channel) = subject else { return Cow::default() };
    let streams = scene.facts.lineup.streams_of(channel).into_iter();
    streams.flat_map(|it| it.sources.iter().chain(&it.deliveries).copied()).collect()
}

fn possible(scene: &Scene<'_>, subject: &Subject, onset: MonoTime) -> Possible {
    let Subject::Programme(id) = subject else { return Possible::No };
    let Some(channel) = scene.facts.lineup.channel(id) else { return Possible::No };
    let differential = |kinds: KindSet| kinds.iter().any(|kind| kind.is_differential());
    let (mut shown, mut unseen) = (Vec::new(), 0);
    let feeding = channel.sources.iter().find(|it| scene.facts.is_active(&it.stream));
    for source in &channel.sources {
        let learnt = feeding.map(|it| scene.facts.heard(scene.now, &source.stream, &it.stream));
        let since = match (source.offset, learnt) {
            (None, Some(Programme::Same(lag))) => lag.after(onset),
            (stated, _) => onset + stated.unwrap_or_default(),
        };
        match scene.state(&source.stream, since) {
            State::Bad | State::Suspect => shown.push(scene.kinds(&source.stream)),
            State::Unknown => unseen += 1,
            State::Good | State::Disputed => return Possible::No,
        }
    }
    let common = shown.iter().copied().reduce(KindSet::and).unwrap_or_default();
    let is_hard = |it: &Source| scene.has_hard_fault(&it.stream);
    let same_fault = differential(common) && !channel.sources.iter().any(is_hard);
    match shown.len() {
        0 => Possible::NotYet,
        _ if !same_fault => Possible::No,
        1 => Possible::NotYet,
        _ if unseen > 0 => Possible::NotYet,
        _ => Possible::Yes,
    }
}
