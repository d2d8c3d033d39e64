//! Every rule of a lineup, each asked of every entry.

use alloc::{collections::BTreeSet, string::String, vec::Vec};
use core::fmt;

use tallylight_model::{EncoderId, ProviderId, RegionId, ServerId, StreamId};

use super::{Channel, MAX_DELAY, MAX_STREAMS, Parts, Place, Problem, Rule, SourceRole};

/// Finds every broken rule, in the order of the lists.
pub(super) fn check(parts: &Parts) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut found = |place, key, rule| problems.push(Problem { place, key, rule });

    let regions = unique(parts.regions.iter().map(|it| &it.id), |i, id| {
        found(Place::Region(i), "id", Rule::Duplicate(id));
    });
    let servers = unique(parts.servers.iter().map(|it| &it.id), |i, id| {
        found(Place::Server(i), "id", Rule::Duplicate(id));
    });
    let providers = unique(parts.providers.iter().map(|it| &it.id), |i, id| {
        found(Place::Provider(i), "id", Rule::Duplicate(id));
    });
    let encoders = unique(parts.encoders.iter().map(|it| &it.id), |i, id| {
        found(Place::Encoder(i), "id", Rule::Duplicate(id));
    });
    let nodes = unique(parts.agents.iter().map(|it| &it.node), |i, id| {
        found(Place::Agent(i), "node", Rule::Duplicate(id));
    });
    unique(parts.channels.iter().map(|it| &it.id), |i, id| {
        found(Place::Channel(i), "id", Rule::Duplicate(id));
    });
    for (i, server) in parts.servers.iter().enumerate() {
        if !regions.contains(&server.region) {
            found(Place::Server(i), "region", Rule::UnknownRegion(server.region.clone()));
        }
        if let Some(id) = server.node.as_ref().filter(|id| !nodes.contains(id)) {
            found(Place::Server(i), "node", Rule::UnknownNode(id.clone()));
        }
    }
    for (i, agent) in parts.agents.iter().enumerate() {
        if !regions.contains(&agent.region) {
            found(Place::Agent(i), "region", Rule::UnknownRegion(agent.region.clone()));
        }
    }
    let known = Known { regions, servers, providers, encoders };
    for (i, channel) in parts.channels.iter().enumerate() {
        check_channel(i, channel, &known, &mut found);
    }
    problems
}

struct Known<'a> {
    regions: BTreeSet<&'a RegionId>,
    servers: BTreeSet<&'a ServerId>,
    providers: BTreeSet<&'a ProviderId>,
    encoders: BTreeSet<&'a EncoderId>,
}

fn unique<'a, T: Ord + fmt::Display>(
    ids: impl Iterator<Item = &'a T>,
    mut twice: impl FnMut(usize, String),
) -> BTreeSet<&'a T> {
    let mut seen = BTreeSet::new();
    for (i, id) in ids.enumerate() {
        if !seen.insert(id) {
            twice(i, alloc::format!("{id}"));
        }
    }
    seen
}

fn check_channel(
    at: usize,
    channel: &Channel,
    known: &Known<'_>,
    found: &mut impl FnMut(Place, &'static str, Rule),
) {
    let place = Place::Channel(at);
    if channel.sources.is_empty() {
        found(place, "source", Rule::NoSource);
    }
    for (key, len) in [("source", channel.sources.len()), ("delivery", channel.deliveries.len())] {
        if len > MAX_STREAMS {
            found(place, key, Rule::TooMany { len, limit: MAX_STREAMS });
        }
    }
    if channel.sources.iter().filter(|it| it.role == SourceRole::Primary).count() > 1 {
        found(place, "source", Rule::TwoPrimaries);
    }
    if let Some(id) = channel.encoder.as_ref().filter(|id| !known.encoders.contains(id)) {
        found(place, "encoder", Rule::UnknownEncoder(id.clone()));
    }
    let mut streams = BTreeSet::new();
    for (i, source) in channel.sources.iter().enumerate() {
        let place = Place::Source { channel: at, source: i };
        check_stream(place, channel, &source.stream, &mut streams, found);
        if !known.regions.contains(&source.region) {
            found(place, "region", Rule::UnknownRegion(source.region.clone()));
        }
        if let Some(id) = source.provider.as_ref().filter(|id| !known.providers.contains(id)) {
            found(place, "provider", Rule::UnknownProvider(id.clone()));
        }
        if let Some(offset) = source.offset.filter(|&it| it > MAX_DELAY) {
            found(place, "offset", Rule::TooLong(offset));
        }
    }
    for (i, delivery) in channel.deliveries.iter().enumerate() {
        let place = Place::Delivery { channel: at, delivery: i };
        check_stream(place, channel, &delivery.stream, &mut streams, found);
        if !known.servers.contains(&delivery.server) {
            found(place, "server", Rule::UnknownServer(delivery.server.clone()));
        }
        if delivery.delay > MAX_DELAY {
            found(place, "delay", Rule::TooLong(delivery.delay));
        }
    }
}

fn check_stream<'a>(
    place: Place,
    channel: &Channel,
    stream: &'a StreamId,
    seen: &mut BTreeSet<&'a StreamId>,
    found: &mut impl FnMut(Place, &'static str, Rule),
) {
    if stream.channel() != channel.id.as_str() {
        found(place, "id", Rule::ForeignStream(stream.clone()));
    }
    if !seen.insert(stream) {
        found(place, "id", Rule::Duplicate(alloc::format!("{stream}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineup::{
        Agent, ChannelKind, Delivery, Encoder, Lineup, Provider, Region, Server, Source,
    };
    use alloc::vec;
    use core::time::Duration;
    use tallylight_model::{ChannelId, NodeId};

    fn source(name: &str, role: SourceRole) -> Source {
        Source {
            stream: StreamId::parse(name).unwrap(),
            role,
            priority: 1,
            provider: Some(ProviderId::new("sat").unwrap()),
            region: RegionId::new("home").unwrap(),
            offset: None,
            format: None,
        }
    }

    fn parts() -> Parts {
        let region = RegionId::new("home").unwrap();
        Parts {
            regions: vec![Region { id: region.clone() }],
            servers: vec![Server {
                id: ServerId::new("s").unwrap(),
                region: region.clone(),
                node: Some(NodeId::new("a").unwrap()),
            }],
            providers: vec![Provider { id: ProviderId::new("sat").unwrap() }],
            encoders: vec![Encoder { id: EncoderId::new("rack").unwrap() }],
            agents: vec![Agent {
                node: NodeId::new("a").unwrap(),
                region: region.clone(),
                path: "p".into(),
            }],
            channels: vec![Channel {
                id: ChannelId::new("one").unwrap(),
                name: "One".into(),
                kind: ChannelKind::Tv,
                profile: Default::default(),
                encryption: Default::default(),
                audio: Vec::new(),
                single_witness: Default::default(),
                programme_match: Default::default(),
                fail_back: None,
                encoder: EncoderId::new("rack").ok(),
                sources: vec![source("one/primary", SourceRole::Primary)],
                deliveries: vec![Delivery {
                    stream: StreamId::parse("one/s").unwrap(),
                    server: ServerId::new("s").unwrap(),
                    delay: Duration::ZERO,
                }],
            }],
        }
    }

    type Breaks = fn(&mut Parts);

    #[test]
    fn each_broken_rule_is_told_with_its_place() {
        let elsewhere = || RegionId::new("elsewhere").unwrap();
        let cases: [(Breaks, Place, &str); 12] = [
            (
                |it| it.servers[0].region = RegionId::new("elsewhere").unwrap(),
                Place::Server(0),
                "region",
            ),
            (
                |it| it.agents[0].region = RegionId::new("elsewhere").unwrap(),
                Place::Agent(0),
                "region",
            ),
            (|it| it.servers[0].node = Some(NodeId::new("b").unwrap()), Place::Server(0), "node"),
            (|it| it.encoders.push(it.encoders[0].clone()), Place::Encoder(1), "id"),
            (
                |it| it.channels[0].encoder = EncoderId::new("other").ok(),
                Place::Channel(0),
                "encoder",
            ),
            (|it| it.agents.push(it.agents[0].clone()), Place::Agent(1), "node"),
            (|it| it.channels[0].sources.clear(), Place::Channel(0), "source"),
            (
                |it| it.channels[0].sources.push(source("one/other", SourceRole::Primary)),
                Place::Channel(0),
                "source",
            ),
            (
                |it| it.channels[0].sources.push(source("one/s", SourceRole::Backup)),
                Place::Delivery { channel: 0, delivery: 0 },
                "id",
            ),
            (
                |it| it.channels[0].sources[0].stream = StreamId::parse("two/primary").unwrap(),
                Place::Source { channel: 0, source: 0 },
                "id",
            ),
            (
                |it| it.channels[0].deliveries[0].server = ServerId::new("t").unwrap(),
                Place::Delivery { channel: 0, delivery: 0 },
                "server",
            ),
            (
                |it| it.channels[0].deliveries[0].delay = MAX_DELAY * 2,
                Place::Delivery { channel: 0, delivery: 0 },
                "delay",
            ),
        ];
        assert!(Lineup::new(parts()).is_ok());
        for (breaks, place, key) in cases {
            let mut parts = parts();
            breaks(&mut parts);
            let problems = Lineup::new(parts).unwrap_err();
            let found: Vec<_> = problems.iter().map(|it| (it.place, it.key)).collect();
            assert_eq!(found, [(place, key)]);
        }
        let mut parts = parts();
        parts.servers[0].region = elsewhere();
        parts.channels[0].sources[0].provider = Some(ProviderId::new("none").unwrap());
        parts.channels[0].sources[0].region = elsewhere();
        assert_eq!(Lineup::new(parts).unwrap_err().len(), 3, "all problems at once");
    }
}
