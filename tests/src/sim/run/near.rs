//! Where trouble can be: which streams are looked at closely, told of every second, and asked about at all.

use std::collections::BTreeSet;

use tallylight_decide::lineup::StreamRef;
use tallylight_model::{ChannelId, MonoTime, NodeId, StreamId};

use super::World;
use crate::sim::{
    STEP,
    agent::Pace,
    platform::{Conditions, Platform, Stream},
    player::SECOND,
    probe::FIRST,
    scenario::{Doing, Scenario},
};

/// After so long of streams that nothing happens to every second is told.
const WARM: u64 = 20 * SECOND;

/// What a stream shows, and until when that holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    what: Conditions,
    slow: u64,
    until: MonoTime,
    changes: u64,
}

impl World {
    /// Lets agents tell of streams that nothing will happen to ten seconds at a time, and of those near to trouble every
    /// second once all are known to be well.
    pub(super) fn slow_down(&mut self, scenario: &Scenario) {
        let related = related(&self.platform, scenario);
        for agent in &mut self.agents {
            let streams: Vec<usize> = agent.probes.keys().copied().collect();
            for stream in streams {
                let near = related.contains(&stream);
                agent.pace(
                    stream,
                    if near { Pace::SecondsFrom(FIRST + WARM) } else { Pace::Merged },
                );
            }
        }
    }
}

/// What a stream shows, asked of the truth only where it can have changed.
pub(super) fn look(
    platform: &Platform,
    shown: &mut Shown,
    stream: usize,
    at: MonoTime,
) -> (Conditions, u64) {
    if at >= shown.until || shown.changes != platform.changes {
        let slow = platform.slow(stream, at).as_millis() / STEP.as_millis();
        *shown = Shown {
            what: platform.shows(&platform.history, stream, at),
            slow: u64::try_from(slow).unwrap_or(0),
            until: platform.changes_at(stream, at),
            changes: platform.changes,
        };
    }
    (shown.what, shown.slow)
}

/// Streams that trouble comes near to: of the same channel, server, region or provider.
fn related(platform: &Platform, scenario: &Scenario) -> BTreeSet<usize> {
    let by_hand = |it: &ChannelId| {
        scenario.people.iter().any(|(_, doing)| matches!(doing, Doing::Switch(id, _) if id == it))
    };
    let troubled = |node: &NodeId| platform.events.iter().any(|it| it.what.agent() == Some(node));
    let agents = platform.lineup().agents().filter(|it| troubled(&it.node));
    let regions: BTreeSet<_> = agents.map(|it| &it.region).collect();
    let touched = platform
        .streams
        .iter()
        .filter(|it| !it.events.is_empty() || by_hand(&it.channel) || regions.contains(&it.region));
    let (mut channels, mut servers, mut places) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for stream in touched {
        channels.insert(&stream.channel);
        if let Some(server) = &stream.server {
            servers.insert(server);
            places.insert(&stream.region);
        }
    }
    let provider = |id: &StreamId| match platform.lineup().stream(id) {
        Some(StreamRef::Source(_, source)) => source.provider.clone(),
        _ => None,
    };
    let sources = platform.streams.iter().filter(|it| channels.contains(&it.channel));
    let providers: BTreeSet<_> = sources.filter_map(|it| provider(&it.id)).collect();
    let near = |stream: &Stream| {
        channels.contains(&stream.channel)
            || stream
                .server
                .as_ref()
                .is_some_and(|it| servers.contains(it) || places.contains(&stream.region))
            || provider(&stream.id).is_some_and(|it| providers.contains(&it))
    };
    (0..platform.streams.len()).filter(|&it| near(&platform.streams[it])).collect()
}
