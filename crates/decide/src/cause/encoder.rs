//! What several channels share between source and delivery is at fault: their sources are good, and all of their deliveries
//! went bad together.
//!
//! One channel that is mostly seen well rules it out. An encoder of which half is broken is named channel by channel, because what
//! would mend it as a whole would cost the other half.

use alloc::{borrow::Cow, vec, vec::Vec};

use tallylight_model::{ChannelId, MonoTime};

use super::{AT_LEAST, CauseRule, Possible, Reach, TOGETHER, provider};
use crate::{
    incident::Subject,
    lineup::{Channel, StreamNo, StreamRef},
    scene::{Scene, State},
};

pub(super) const RULE: CauseRule = CauseRule {
    is: |subject| matches!(subject, Subject::Encoder(_)),
    suspects,
    breaks,
    reach: Reach::WithMedia,
    possible,
};

fn suspects(scene: &Scene<'_>, stream: StreamNo) -> Vec<Subject> {
    match scene.facts.lineup.at(stream) {
        StreamRef::Delivery(channel, ..) => {
            channel.encoder.as_ref().map_or_else(Vec::new, |it| vec![Subject::Encoder(it.clone())])
        }
        StreamRef::Source(..) => Vec::new(),
    }
}

fn breaks<'a>(scene: &Scene<'a>, subject: &Subject) -> Cow<'a, [StreamNo]> {
    let Subject::Encoder(encoder) = subject else { return Cow::default() };
    let lineup = &scene.facts.lineup;
    let channels = lineup.channels_on(encoder).filter_map(|it| lineup.streams_of(&it.id));
    channels.flat_map(|it| it.deliveries.iter().copied()).collect()
}

fn possible(scene: &Scene<'_>, subject: &Subject, onset: MonoTime) -> Possible {
    let Subject::Encoder(encoder) = subject else { return Possible::No };
    let (mut channels, mut failing) = (0, 0);
    for channel in scene.facts.lineup.channels_on(encoder).filter(|it| !it.deliveries.is_empty()) {
        channels += 1;
        match fails(scene, channel, onset) {
            Fails::No => return Possible::No,
            Fails::Together => failing += 1,
            Fails::NotYet => {}
        }
    }
    match (channels, failing) {
        _ if channels < AT_LEAST => Possible::No,
        _ if failing < AT_LEAST => Possible::NotYet,
        _ => Possible::Yes,
    }
}

enum Fails {
    No,
    NotYet,
    Together,
}

/// A channel fails where most of what is seen of it is bad.
fn fails(scene: &Scene<'_>, channel: &Channel, onset: MonoTime) -> Fails {
    let (mut bad, mut good, mut together) = (0_usize, 0_usize, false);
    let streams = scene.facts.lineup.streams_of(&channel.id);
    for &stream in streams.into_iter().flat_map(|it| &it.deliveries) {
        let since = onset + scene.facts.lineup.at(stream).delay();
        match scene.state_by(stream, onset, since) {
            State::Good | State::Disputed => good += 1,
            State::Suspect => bad += 1,
            State::Bad => {
                bad += 1;
                let began = scene.earliest_onset(stream);
                together |= began.is_some_and(|it| it.since(onset) <= TOGETHER);
            }
            State::Unknown => {}
        }
    }
    match (good, bad) {
        (1.., _) if good >= bad => Fails::No,
        _ if together => Fails::Together,
        _ => Fails::NotYet,
    }
}

/// What else may hang with a channel's deliveries: those of the other channels on its encoder and, where nobody sees its source,
/// of other channels that the same provider feeds.
pub(super) fn kin(scene: &Scene<'_>, channel: &ChannelId) -> Vec<StreamNo> {
    let lineup = &scene.facts.lineup;
    let Some(own) = lineup.channel(channel) else { return Vec::new() };
    let unseen = own
        .sources
        .iter()
        .find(|it| scene.facts.is_active(&it.stream))
        .filter(|it| lineup.no(&it.stream).is_some_and(|it| !scene.is_watched(it)));
    let beside = own.encoder.iter().flat_map(|it| lineup.channels_on(it));
    let beside = beside.filter(|it| it.id != *channel).filter_map(|it| lineup.streams_of(&it.id));
    let mut kin: Vec<StreamNo> = beside.flat_map(|it| &it.deliveries).copied().collect();
    for source in unseen.into_iter().flat_map(|it| provider::kin(scene, &it.stream)) {
        if scene.facts.is_feeding(source) && lineup.at(source).channel().id != *channel {
            kin.extend(lineup.deliveries_of(source));
        }
    }
    kin
}
