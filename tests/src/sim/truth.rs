//! What could be told apart by anybody who sees what the agents of a platform see.
//!
//! Two causes that break the same observable streams are one to every judgement. So what is true of a fault is a set of names:
//! the real one, and all that would break just as large a part of what they break.

use std::collections::BTreeSet;

use tallylight_decide::{
    incident::Subject,
    lineup::{Channel, Lineup, SourceRole},
};
use tallylight_model::StreamId;

/// What a subject would break, while every channel is on its first source; of a witness what it sees.
pub(super) fn breaks(lineup: &Lineup, subject: &Subject) -> BTreeSet<StreamId> {
    let deliveries =
        |it: &Channel| it.deliveries.iter().map(|it| it.stream.clone()).collect::<Vec<_>>();
    let of_source = |channel: &Channel, source: &StreamId| {
        let mut broken = vec![source.clone()];
        if is_first(channel, source) {
            broken.extend(deliveries(channel));
        }
        broken
    };
    if let Subject::Probe(node) = subject {
        let region = lineup.agent(node).map(|it| &it.region);
        let seen = lineup.streams().filter(|it| Some(it.1.region()) == region);
        return seen.map(|it| it.0.clone()).collect();
    }
    let mut broken = BTreeSet::new();
    for channel in lineup.channels() {
        match subject {
            Subject::Source(id) if channel.sources.iter().any(|it| it.stream == *id) => {
                broken.extend(of_source(channel, id));
            }
            Subject::Provider(id) => {
                let of_it = channel.sources.iter().filter(|it| it.provider.as_ref() == Some(id));
                of_it.for_each(|it| broken.extend(of_source(channel, &it.stream)));
            }
            Subject::Processing(id) if channel.id == *id => broken.extend(deliveries(channel)),
            Subject::Encoder(id) if channel.encoder.as_ref() == Some(id) => {
                broken.extend(deliveries(channel));
            }
            Subject::Programme(id) if channel.id == *id => {
                broken.extend(channel.sources.iter().map(|it| it.stream.clone()));
                broken.extend(deliveries(channel));
            }
            Subject::Server(id) => {
                let of_it = channel.deliveries.iter().filter(|it| it.server == *id);
                broken.extend(of_it.map(|it| it.stream.clone()));
            }
            Subject::Region(id) => {
                let is_there = |server| lineup.server(server).is_some_and(|it| it.region == *id);
                let of_it = channel.deliveries.iter().filter(|it| is_there(&it.server));
                broken.extend(of_it.map(|it| it.stream.clone()));
            }
            _ => {}
        }
    }
    broken
}

/// Whether a channel starts on this source.
pub(super) fn is_first(channel: &Channel, source: &StreamId) -> bool {
    channel.sources.first().is_some_and(|it| it.stream == *source)
}

/// Of these streams those that some agent watches.
pub(super) fn watched(lineup: &Lineup, streams: &BTreeSet<StreamId>) -> BTreeSet<StreamId> {
    let is_watched = |it: &&StreamId| {
        let region = lineup.stream(it).map(|it| it.region());
        lineup.agents().any(|agent| Some(&agent.region) == region)
    };
    streams.iter().filter(is_watched).cloned().collect()
}

/// The paths from which any of these streams is watched.
pub(super) fn vantage(lineup: &Lineup, streams: &BTreeSet<StreamId>) -> usize {
    let regions: BTreeSet<_> =
        streams.iter().filter_map(|it| Some(lineup.stream(it)?.region())).collect();
    let agents = lineup.agents().filter(|it| regions.contains(&it.region));
    agents.map(|it| it.path.as_str()).collect::<BTreeSet<_>>().len()
}

/// All names for what breaks these streams that fit as well as the real one.
pub(super) fn alike(
    lineup: &Lineup,
    subject: &Subject,
    broken: &BTreeSet<StreamId>,
    differential: bool,
) -> BTreeSet<Subject> {
    let seen = watched(lineup, broken);
    let fits = |it: &Subject| {
        let would = watched(lineup, &breaks(lineup, it));
        let fits = seen.is_subset(&would) && !would.is_empty();
        fits.then(|| seen.len() as f64 / would.len() as f64)
    };
    let own = fits(subject).unwrap_or(1.0);
    let as_well = |it: &Subject| fits(it).is_some_and(|it| it >= own);
    candidates(lineup, broken, differential).into_iter().filter(as_well).collect()
}

/// Everything that has to do with these streams.
fn candidates(
    lineup: &Lineup,
    broken: &BTreeSet<StreamId>,
    differential: bool,
) -> BTreeSet<Subject> {
    let mut subjects = BTreeSet::new();
    for channel in broken.iter().filter_map(|it| lineup.stream(it)).map(|it| it.channel()) {
        for source in channel.sources.iter().filter(|it| it.role != SourceRole::LastResort) {
            subjects.insert(Subject::Source(source.stream.clone()));
            subjects.extend(source.provider.clone().map(Subject::Provider));
        }
        subjects.insert(Subject::Processing(channel.id.clone()));
        subjects.extend(channel.encoder.clone().map(Subject::Encoder));
        if differential {
            subjects.insert(Subject::Programme(channel.id.clone()));
        }
        for server in channel.deliveries.iter().filter_map(|it| lineup.server(&it.server)) {
            subjects.insert(Subject::Server(server.id.clone()));
            subjects.insert(Subject::Region(server.region.clone()));
        }
    }
    subjects
}
