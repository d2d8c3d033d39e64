//! The demo's platform as data, and ids from texts.

use std::{collections::BTreeSet, time::Duration};

use tallylight_decide::lineup::{
    Agent, Channel, Delivery, Lineup, Parts, Region, Server, Source, SourceRole,
};
use tallylight_model::{ChannelId, EncoderId, NodeId, ProviderId, RegionId, ServerId, StreamId};

use super::platform::{Form, Site};

#[expect(clippy::expect_used, reason = "ids of the simulated world are literals")]
pub(super) fn id<T, E: std::fmt::Debug>(made: Result<T, E>) -> T {
    made.expect("ids of the simulated world are legal")
}

/// Makes a stream id.
#[must_use]
pub fn stream(text: &str) -> StreamId {
    id(StreamId::parse(text))
}

/// Makes a channel id.
#[must_use]
pub fn channel(text: &str) -> ChannelId {
    id(ChannelId::new(text))
}

/// Makes an encoder id.
#[must_use]
pub fn encoder(text: &str) -> EncoderId {
    id(EncoderId::new(text))
}

/// Makes a server id.
#[must_use]
pub fn server(text: &str) -> ServerId {
    id(ServerId::new(text))
}

/// Makes a node id.
#[must_use]
pub fn node(text: &str) -> NodeId {
    id(NodeId::new(text))
}

/// Makes a provider id.
#[must_use]
pub fn provider(text: &str) -> ProviderId {
    id(ProviderId::new(text))
}

/// Makes a region id.
#[must_use]
pub fn region(text: &str) -> RegionId {
    id(RegionId::new(text))
}

/// The lineup of the demo: 4 channels with 2 sources, 2 servers in each of 2 regions, 5 agents.
#[must_use]
pub fn demo_lineup() -> Lineup {
    id(Lineup::new(demo_parts()))
}

/// The same as lists, for worlds that differ in something.
#[must_use]
pub fn demo_parts() -> Parts {
    parts(&["one", "two", "three", "four"])
}

/// The demo's platform with other channels.
#[must_use]
pub fn parts(channels: &[&str]) -> Parts {
    let servers = [("n1", "north"), ("n2", "north"), ("s1", "south"), ("s2", "south")];
    let agents = [
        ("head-1", "headend", "rack"),
        ("north-a", "north", "isp-1"),
        ("north-b", "north", "isp-2"),
        ("south-a", "south", "isp-3"),
        ("south-b", "south", "isp-4"),
    ];
    Parts {
        regions: ["headend", "north", "south"].map(|it| Region { id: region(it) }).into(),
        servers: servers
            .map(|(id, at)| Server { id: server(id), region: region(at), node: None })
            .into(),
        providers: ["sat-a", "sat-b"]
            .map(|it| tallylight_decide::lineup::Provider { id: provider(it) })
            .into(),
        encoders: Vec::new(),
        agents: agents
            .map(|(name, at, path)| Agent {
                node: node(name),
                region: region(at),
                path: path.to_owned(),
            })
            .into(),
        channels: channels.iter().map(|it| demo_channel(it)).collect(),
    }
}

fn demo_channel(name: &str) -> Channel {
    let source = |id_: &str, role, priority, provider| Source {
        stream: stream(&format!("{name}/{id_}")),
        role,
        priority,
        provider: Some(self::provider(provider)),
        region: region("headend"),
        offset: Some(Duration::ZERO),
        format: None,
    };
    let delivery = |at: &str, delay_ms| Delivery {
        stream: stream(&format!("{name}/{at}")),
        server: server(at),
        delay: Duration::from_millis(delay_ms),
    };
    Channel {
        id: channel(name),
        name: name.to_owned(),
        kind: Default::default(),
        profile: Default::default(),
        encryption: Default::default(),
        audio: Vec::new(),
        single_witness: Default::default(),
        programme_match: Default::default(),
        fail_back: None,
        encoder: None,
        sources: vec![
            source("primary", SourceRole::Primary, 1, "sat-a"),
            source("backup", SourceRole::Backup, 2, "sat-b"),
        ],
        deliveries: vec![
            delivery("n1", 300),
            delivery("n2", 2500),
            delivery("s1", 300),
            delivery("s2", 300),
        ],
    }
}

/// How the demo's platform delivers: segments of so many seconds from `n2`, multicast from `s2`.
#[must_use]
pub fn demo_site(lineup: Lineup, segment: u64) -> Site {
    let form = |id: &ServerId| match id.as_str() {
        "n2" => Form::Segments(segment),
        _ => Form::Packets,
    };
    let forms = lineup.servers().map(|it| (it.id.clone(), form(&it.id))).collect();
    Site { lineup, forms, multicast: BTreeSet::from([server("s2")]) }
}
