//! What a delivery still shows of a fault that its source no longer has.
#![expect(clippy::unwrap_used, reason = "ids and lineups of these tests are literals")]

mod support;

use std::{ops::Range, time::Duration};

use tallylight_decide::{Decider, Input, Policy, lineup::Lineup};
use tallylight_model::{
    Batch, Counters, Epoch, FaultKind, MonoTime, NodeId, Observed, Severity, Slice, StreamId,
    WallTime,
};

const SECOND: Duration = Duration::from_secs(1);

fn at(second: u64) -> MonoTime {
    MonoTime::from_nanos((100_000 + second) * 1_000_000_000)
}

fn slice(stream: &str, second: u64, fault: Option<FaultKind>, is_declared: bool) -> Slice {
    Slice {
        stream: StreamId::parse(stream).unwrap(),
        start: WallTime::from_unix_millis(second as i64 * 1000),
        end: at(second),
        length: SECOND,
        observed: Observed { transport: SECOND, picture: SECOND, sound: SECOND, delivery: SECOND },
        conditions: fault.map(|kind| (kind, SECOND)).into_iter().collect(),
        standing: fault
            .filter(|_| is_declared)
            .map(|kind| (kind, Severity::Critical))
            .into_iter()
            .collect(),
        counters: Counters::default(),
        latencies: Vec::new(),
        fingerprint: Default::default(),
    }
}

/// Subjects of all incidents when the source stops for ten seconds and the delivery has a fault in others.
fn named(of_delivery: FaultKind, seconds: &Range<u64>) -> Vec<String> {
    named_after(true, of_delivery, seconds)
}

fn named_after(is_declared: bool, of_delivery: FaultKind, seconds: &Range<u64>) -> Vec<String> {
    let lineup = Lineup::new(support::parts(&["s"], &["a", "b"])).unwrap();
    let mut decider = Decider::new(lineup, Policy::default(), Epoch(1));
    for second in 1..120 {
        let source = (20..30).contains(&second).then_some(FaultKind::NoData);
        let delivery = seconds.contains(&second).then_some(of_delivery);
        for node in ["a", "b"] {
            let batch = Batch {
                node: NodeId::new(node).unwrap(),
                epoch: Epoch(1),
                slices: vec![
                    slice("one/primary", second, source, is_declared),
                    slice("one/s", second, delivery, true),
                ],
                faults: Vec::new(),
                reports: Vec::new(),
            };
            decider.handle(at(second), Input::Batch(batch));
        }
    }
    decider.incidents().map(|it| it.subject.to_string()).collect()
}

#[test]
fn a_player_that_is_still_dry_is_an_echo_until_it_can_have_filled() {
    // Segments fill a player later than packets come.
    assert_eq!(named(FaultKind::Stall, &(28..45)), ["one/primary"]);
    // Not for ever.
    assert_eq!(named(FaultKind::Stall, &(28..90)), ["one/primary", "s"]);
    // Not what else is wrong by then.
    assert_eq!(named(FaultKind::NoVideo, &(28..45)), ["one/primary", "s"]);
    // Its buffer may have lasted for longer than the source was gone.
    assert_eq!(named(FaultKind::Stall, &(40..60)), ["one/primary"]);
    assert_eq!(named(FaultKind::PlaylistStale, &(36..50)), ["one/primary"]);
    // Not for ever either, nor one that runs dry when all was well again.
    assert_eq!(named(FaultKind::Stall, &(40..90)), ["one/primary", "s"]);
    assert_eq!(named(FaultKind::Stall, &(70..90)), ["one/primary", "s"]);
}

#[test]
fn what_a_source_showed_is_the_sources_even_if_only_its_delivery_was_declared_bad() {
    assert_eq!(named_after(false, FaultKind::NoData, &(31..33)), ["one/primary"]);
    // Once it cannot be an echo any more it is let go.
    assert_eq!(named_after(false, FaultKind::NoData, &(31..60)), ["one/primary", "s"]);
    // What comes too late was never one.
    assert_eq!(named_after(false, FaultKind::NoData, &(40..60)), ["s"]);
}
