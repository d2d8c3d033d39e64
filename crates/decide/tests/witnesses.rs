//! What is said of a witness that nobody agrees with.
#![expect(clippy::unwrap_used, reason = "ids and lineups of these tests are literals")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use tallylight_decide::{Decider, Input, Policy, incident::Cause, lineup::Lineup};
use tallylight_model::{
    Batch, Counters, Epoch, FaultKind, MonoTime, NodeId, Observed, Severity, Slice, StreamId,
    WallTime,
};

const SECOND: Duration = Duration::from_secs(1);

fn at(second: u64) -> MonoTime {
    MonoTime::from_nanos((100_000 + second) * 1_000_000_000)
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
        fingerprint: Default::default(),
    };
    let node = NodeId::new(node).unwrap();
    Batch { node, epoch: Epoch(1), slices: vec![slice], faults: Vec::new(), reports: Vec::new() }
}

/// After how many seconds an agent that alone says this all the time is named as a witness at fault.
fn named_after(fault: FaultKind) -> Option<u64> {
    let lineup = Lineup::new(support::parts(&["s"], &["a", "b"])).unwrap();
    let mut decider = Decider::new(lineup, Policy::default(), Epoch(1));
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

#[test]
fn who_is_denied_by_one_and_borne_out_by_another_is_no_witness_at_fault() {
    let lineup = Lineup::new(support::parts(&["s"], &["deaf", "b", "c"])).unwrap();
    let mut decider = Decider::new(lineup, Policy::default(), Epoch(1));
    for second in 1..60 {
        decider.handle(at(second), Input::Batch(said("deaf", second, None)));
        for node in ["b", "c"] {
            let fault = Some(FaultKind::NoVideo);
            decider.handle(at(second), Input::Batch(said(node, second, fault)));
        }
        let probes = decider.incidents().filter(|it| it.cause() == Cause::Probe);
        assert_eq!(probes.count(), 0, "after {second} s");
    }
    assert!(decider.incidents().count() > 0, "the stream is bad by agreement");
}

#[test]
fn who_is_the_last_to_see_a_fault_end_is_no_witness_at_fault() {
    let lineup = Lineup::new(support::parts(&["s"], &["a", "b"])).unwrap();
    let mut decider = Decider::new(lineup, Policy::default(), Epoch(1));
    let named_at = (1..90).find(|&second| {
        let of_a = (second <= 20).then_some(FaultKind::NoVideo);
        decider.handle(at(second), Input::Batch(said("a", second, of_a)));
        decider.handle(at(second), Input::Batch(said("b", second, Some(FaultKind::NoVideo))));
        decider.incidents().any(|incident| incident.cause() == Cause::Probe)
    });
    assert_eq!(named_at, Some(50), "not while it can be late, and not never");
}
