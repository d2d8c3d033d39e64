//! A platform of one channel in one region.

use std::time::Duration;

use tallylight_decide::lineup::{
    Agent, Channel, Delivery, Parts, Region, Server, Source, SourceRole,
};
use tallylight_model::{ChannelId, NodeId, RegionId, ServerId, StreamId};

/// Its deliveries are called like the servers, and each agent has a path of its own.
pub(crate) fn parts(servers: &[&str], agents: &[&str]) -> Parts {
    let region = RegionId::new("home").unwrap();
    let delivery = |id: &&str| Delivery {
        stream: StreamId::parse(&format!("one/{id}")).unwrap(),
        server: ServerId::new(id).unwrap(),
        delay: Duration::ZERO,
    };
    Parts {
        regions: vec![Region { id: region.clone() }],
        servers: servers
            .iter()
            .map(|id| Server { id: ServerId::new(id).unwrap(), region: region.clone(), node: None })
            .collect(),
        providers: Vec::new(),
        encoders: Vec::new(),
        agents: agents
            .iter()
            .map(|id| Agent {
                node: NodeId::new(id).unwrap(),
                region: region.clone(),
                path: (*id).to_owned(),
            })
            .collect(),
        channels: vec![Channel {
            id: ChannelId::new("one").unwrap(),
            name: "One".to_owned(),
            kind: Default::default(),
            profile: Default::default(),
            encryption: Default::default(),
            audio: Vec::new(),
            single_witness: Default::default(),
            programme_match: Default::default(),
            fail_back: None,
            encoder: None,
            sources: vec![Source {
                stream: StreamId::parse("one/primary").unwrap(),
                role: SourceRole::Primary,
                priority: 1,
                provider: None,
                region,
                offset: None,
                format: None,
            }],
            deliveries: servers.iter().map(delivery).collect(),
        }],
    }
}
