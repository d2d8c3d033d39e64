//! What is said of a witness that nobody agrees with.
#![expect(clippy::unwrap_used, reason = "ids and lineups of these tests are literals")]

use std::{collections::BTreeMap, time::Duration};

use tallylight_decide::{
    Decider, Input, Policy,
    incident::Cause,
    lineup::{Agent, Channel, Delivery, Lineup, Parts, Region, Server, Source, SourceRole},
};
use tallylight_model::{
    Batch, ChannelId, Counters, Epoch, FaultKind, MonoTime, NodeId, Observed, RegionId, ServerId,
    Severity, Slice, StreamId, WallTime,
};

const SECOND: Duration = Duration::from_secs(1);

fn at(second: u64) -> MonoTime {
    MonoTime::from_nanos((100_000 + second) * 1_000_000_000)
}

/// One delivery, watched by two agents on paths of their own.
fn lineup() -> Lineup {
    let region = RegionId::new("home").unwrap();
    let agent = |id: &str| Agent {
        node: NodeId::new(id).unwrap(),
        region: region.clone(),
        path: id.to_owned(),
    };
    let server = ServerId::new("s").unwrap();
    Lineup::new(Parts {
        regions: vec![Region { id: region.clone() }],
        servers: vec![Server { id: server.clone(), region: region.clone(), node: None }],
        providers: Vec::new(),
        agents: vec![agent("a"), agent("b")],
        channels: vec![Channel {
            id: ChannelId::new("one").unwrap(),
            name: "One".to_owned(),
            kind: Default::default(),
            profile: Default::default(),
            encryption: Default::default(),
            audio: Vec::new(),
            single_witness: Default::default(),
            programme_match: Default::default(),
            sources: vec![Source {
                stream: StreamId::parse("one/primary").unwrap(),
                role: SourceRole::Primary,
                priority: 1,
                provider: None,
                region: region.clone(),
                offset: None,
            }],
            deliveries: vec![Delivery {
                stream: StreamId::parse("one/s").unwrap(),
                server,
                delay: Duration::ZERO,
            }],
        }],
    })
    .unwrap()
}

fn said(node: &str, second: u64, fault: Option<FaultKind>) -> Batch {
    let slice = Slice {
        stream: StreamId::parse("one/s").unwrap(),
        start: WallTime::from_unix_millis(second as i64 * 1000),
        end: at(second),
        length: SECOND,
        observed: Observed { transport: SECOND, picture: SECOND, sound: SECOND, delivery: SECOND },
        conditions: fault.map(|kind| (kind, SECOND)).into_iter().collect(),
        standing: fault.map(|kind| (kind, Severity::Critical)).into_iter().collect(),
        counters: Counters::default(),
        latencies: Vec::new(),
    };
    let node = NodeId::new(node).unwrap();
    Batch { node, epoch: Epoch(1), slices: vec![slice], faults: Vec::new(), reports: Vec::new() }
}

/// After how many seconds an agent that alone says this all the time is named as a witness at fault.
fn named_after(fault: FaultKind) -> Option<u64> {
    let mut decider = Decider::new(lineup(), Policy::default(), Epoch(1));
    (1..60).find(|&second| {
        decider.handle(at(second), Input::Batch(said("a", second, None)));
        decider.handle(at(second), Input::Batch(said("b", second, Some(fault))));
        decider.incidents().any(|incident| incident.cause() == Cause::Probe)
    })
}

#[test]
fn a_player_that_fills_later_than_anothers_is_no_witness_at_fault() {
    let after: BTreeMap<_, _> = [FaultKind::NoVideo, FaultKind::Stall]
        .map(|kind| (kind.name(), named_after(kind)))
        .into_iter()
        .collect();
    let expected = BTreeMap::from([("no_video", Some(11)), ("stall", Some(31))]);
    assert_eq!(after, expected);
}
