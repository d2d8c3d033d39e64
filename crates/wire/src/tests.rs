use core::time::Duration;

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
    metrics::v1::{ResourceMetrics, ScopeMetrics, metric},
};
use proptest::{collection, option, prelude::*, sample::select};
use prost::Message as _;
use tallylight_model::{
    Batch, CodedFrame, Counters, Epoch, FaultKind, FaultPhase, FaultRecord, Fingerprint,
    LatencySample, MonoTime, NodeId, NodeReport, Observed, Pid, Ratio, Resource, Severity, Slice,
    StreamId, WallTime,
};

use super::*;
use crate::attribute;

/// The sender's clock when it sends; everything in a batch is at most an hour older.
const SENT: MonoTime = MonoTime::from_nanos(7_200_000_000_000);
/// The receiver's clock at the same moment.
const RECEIVED: MonoTime = MonoTime::from_nanos(900_000_000_000_000);
const SHIFT: Duration = Duration::from_nanos(RECEIVED.as_nanos() - SENT.as_nanos());

fn moment() -> impl Strategy<Value = MonoTime> {
    (3_600_000_000_000..=SENT.as_nanos()).prop_map(MonoTime::from_nanos)
}

fn span(at_most: Duration) -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), 0..=at_most.as_nanos() as u64].prop_map(Duration::from_nanos)
}

fn stream() -> impl Strategy<Value = StreamId> {
    "[a-c]/[A-Za-z0-9][a-z._-]{0,3}".prop_map(|text| StreamId::parse(&text).unwrap())
}

fn kind() -> impl Strategy<Value = FaultKind> {
    select(FaultKind::ALL)
}

fn severity() -> impl Strategy<Value = Severity> {
    select(&Severity::ALL[..])
}

fn counters() -> impl Strategy<Value = Counters> {
    let count = || prop_oneof![Just(0), 0..=i64::MAX as u64];
    collection::vec(count(), 13).prop_map(|n| Counters {
        bytes: n[0],
        packets: n[1],
        continuity_errors: n[2],
        missing_packets: n[3],
        transport_errors: n[4],
        scrambled_packets: n[5],
        decoded_pictures: n[6],
        decode_errors: n[7],
        http_requests: n[8],
        http_errors: n[9],
        receive_dropped: n[10],
        rtp_lost: n[11],
        damage_checked_pictures: n[12],
    })
}

fn latency() -> impl Strategy<Value = LatencySample> {
    prop_oneof![
        span(MAX_SLICE).prop_map(LatencySample::FirstByte),
        span(MAX_SLICE).prop_map(LatencySample::Startup),
        (0.0..100.0).prop_map(|r| LatencySample::SegmentFetch(Ratio::new(r))),
        span(MAX_SLICE).prop_map(LatencySample::LiveDelay),
    ]
}

prop_compose! {
    fn fingerprint()(
        sound in collection::vec(1..=u8::MAX, 0..=Fingerprint::TENTHS),
        coded in collection::vec((any::<u32>(), 0..=u16::MAX), 0..=Fingerprint::FRAMES),
    ) -> Fingerprint {
        let frame = |(hash, ms)| CodedFrame { hash, after: Duration::from_millis(u64::from(ms)) };
        Fingerprint { sound, coded: coded.into_iter().map(frame).collect() }
    }
}

prop_compose! {
    fn slice()(
        length in prop_oneof![Just(Duration::from_secs(1)), (1..=10_000_000_000_u64).prop_map(Duration::from_nanos)],
    )(
        stream in stream(),
        start in 0..4_000_000_000_000_i64,
        end in moment(),
        length in Just(length),
        observed in [span(length), span(length), span(length), span(length)],
        conditions in collection::btree_map(kind(), (1..=length.as_nanos() as u64).prop_map(Duration::from_nanos), 0..4),
        standing in collection::btree_map(kind(), severity(), 0..4),
        counters in counters(),
        latencies in collection::vec(latency(), 0..=MAX_LATENCIES),
        fingerprint in fingerprint(),
    ) -> Slice {
        let [transport, picture, sound, delivery] = observed;
        let observed = Observed { transport, picture, sound, delivery };
        let start = WallTime::from_unix_millis(start);
        Slice {
            stream, start, end, length, observed, conditions, standing, counters, latencies, fingerprint
        }
    }
}

prop_compose! {
    fn fault()(
        seq in any::<u64>(),
        stream in stream(),
        kind in kind(),
        phase in prop_oneof![
            Just(FaultPhase::Begin), Just(FaultPhase::Raise), moment().prop_map(FaultPhase::End)
        ],
        severity in severity(),
        pid in option::of((0..0x2000_u16).prop_map(Pid::from_bits)),
        onset in moment(),
        declared in moment(),
        evidence in "\\PC{0,40}",
    ) -> FaultRecord {
        FaultRecord { seq, stream, kind, phase, severity, pid, onset, declared, evidence }
    }
}

prop_compose! {
    fn report()(
        at in moment(),
        saturation in collection::btree_map(
            select(&Resource::ALL[..]), (0.0..2.0).prop_map(Ratio::new), 0..4),
        receive_dropped in 0..1000_u64,
        lost_slices in 0..1000_u64,
    ) -> NodeReport {
        NodeReport { at, saturation, receive_dropped, lost_slices }
    }
}

prop_compose! {
    fn batch()(
        epoch in any::<u64>(),
        mut slices in collection::vec(slice(), 0..8),
        faults in collection::vec(fault(), 0..8),
        reports in collection::vec(report(), 0..2),
    ) -> Batch {
        // The wire groups slices by stream and keeps the order within each.
        slices.sort_by(|a, b| a.stream.cmp(&b.stream));
        let node = NodeId::new("north-a").unwrap();
        Batch { node, epoch: Epoch(epoch), slices, faults, reports }
    }
}

/// Through bytes, as a receiver gets it.
fn travel(batch: &Batch) -> Batch {
    let metrics = encode_metrics(batch, SENT).encode_to_vec();
    let metrics = ExportMetricsServiceRequest::decode(&metrics[..]).unwrap();
    let metrics = decode_metrics(metrics, RECEIVED).unwrap();
    let logs = encode_logs(batch, SENT).encode_to_vec();
    let logs = decode_logs(ExportLogsServiceRequest::decode(&logs[..]).unwrap(), RECEIVED).unwrap();
    assert_eq!((metrics.skipped, logs.skipped), (0, 0));
    let mut whole = Batch {
        node: batch.node.clone(),
        epoch: batch.epoch,
        slices: Vec::new(),
        faults: Vec::new(),
        reports: Vec::new(),
    };
    for part in metrics.batches.into_iter().chain(logs.batches) {
        assert_eq!((&part.node, part.epoch), (&whole.node, whole.epoch));
        whole.slices.extend(part.slices);
        whole.faults.extend(part.faults);
        whole.reports.extend(part.reports);
    }
    whole
}

fn on_the_receivers_clock(mut batch: Batch) -> Batch {
    for slice in &mut batch.slices {
        slice.end = slice.end + SHIFT;
    }
    for fault in &mut batch.faults {
        fault.onset = fault.onset + SHIFT;
        fault.declared = fault.declared + SHIFT;
        if let FaultPhase::End(end) = &mut fault.phase {
            *end = *end + SHIFT;
        }
    }
    for report in &mut batch.reports {
        report.at = report.at + SHIFT;
    }
    batch
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_batch_arrives_as_it_was_sent_but_for_the_clock(batch in batch()) {
        prop_assert_eq!(travel(&batch), on_the_receivers_clock(batch));
    }

    #[test]
    fn damaged_bytes_never_panic(
        batch in batch(),
        damage in collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for bytes in [encode_metrics(&batch, SENT).encode_to_vec(), encode_logs(&batch, SENT).encode_to_vec()] {
            let mut bytes = bytes;
            for (at, value) in &damage {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = *value;
                }
            }
            if let Ok(request) = ExportMetricsServiceRequest::decode(&bytes[..]) {
                let _ = decode_metrics(request, RECEIVED);
            }
            if let Ok(request) = ExportLogsServiceRequest::decode(&bytes[..]) {
                let _ = decode_logs(request, RECEIVED);
            }
        }
    }

    #[test]
    fn no_bytes_at_all_panic(bytes in collection::vec(any::<u8>(), 0..200)) {
        if let Ok(request) = ExportMetricsServiceRequest::decode(&bytes[..]) {
            let _ = decode_metrics(request, MonoTime::ZERO);
        }
        if let Ok(request) = ExportLogsServiceRequest::decode(&bytes[..]) {
            let _ = decode_logs(request, MonoTime::ZERO);
        }
    }
}

fn example() -> Batch {
    let stream = StreamId::parse("one/n1").unwrap();
    let slice = Slice {
        stream: stream.clone(),
        start: WallTime::from_unix_millis(1_700_000_000_000),
        end: SENT - Duration::from_millis(20),
        length: Duration::from_secs(1),
        observed: Observed { transport: Duration::from_secs(1), ..Observed::default() },
        conditions: [(FaultKind::Black, Duration::from_millis(250))].into(),
        standing: [(FaultKind::Continuity, Severity::Warning)].into(),
        counters: Counters { packets: 5000, bytes: 940_000, ..Counters::default() },
        latencies: vec![LatencySample::Startup(Duration::from_millis(700))],
        fingerprint: Default::default(),
    };
    let fault = FaultRecord {
        seq: 1,
        stream,
        kind: FaultKind::Black,
        phase: FaultPhase::Begin,
        severity: Severity::Warning,
        pid: Some(Pid::from_bits(256)),
        onset: SENT - Duration::from_secs(5),
        declared: SENT,
        evidence: "luma 16 for 5 s, limit 5 s".to_owned(),
    };
    let report = NodeReport { at: SENT, ..NodeReport::default() };
    Batch {
        node: NodeId::new("north-a").unwrap(),
        epoch: Epoch(3),
        slices: vec![slice],
        faults: vec![fault],
        reports: vec![report],
    }
}

#[test]
fn a_streams_attributes_stand_once_and_zero_deltas_are_not_sent() {
    let request = encode_metrics(&example(), SENT);
    assert_eq!(request.resource_metrics.len(), 2);
    let of_stream = &request.resource_metrics[0];
    assert_eq!(of_stream.resource.as_ref().unwrap().attributes.len(), 3);
    let names: Vec<_> =
        of_stream.scope_metrics[0].metrics.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "iptv.stream.bytes",
            "iptv.stream.packets",
            "iptv.stream.observed",
            "iptv.stream.fault",
            "iptv.stream.standing_fault",
            "iptv.stream.startup",
        ]
    );
}

/// The error of the example's metrics after `change`.
fn refused(change: impl FnOnce(&mut ExportMetricsServiceRequest)) -> Result<Decoded, WireError> {
    let mut request = encode_metrics(&example(), SENT);
    change(&mut request);
    decode_metrics(request, RECEIVED)
}

#[test]
fn what_claims_to_be_ours_and_is_malformed_is_refused_with_its_place() {
    let node = |request: &mut ExportMetricsServiceRequest, value| {
        request.resource_metrics[0].resource.as_mut().unwrap().attributes[0] =
            attribute::text("tallylight.node", value);
    };
    let error = refused(|request| node(request, "no such/node")).unwrap_err();
    assert!(error.to_string().starts_with("tallylight.node is not an id"), "{error}");
    let error = refused(|request| {
        request.resource_metrics[0].resource.as_mut().unwrap().attributes.remove(1);
    });
    assert_eq!(error, Err(WireError::Missing { attribute: "tallylight.epoch" }));
    let error = refused(|request| {
        let scope = &mut request.resource_metrics[0].scope_metrics[0];
        let Some(metric::Data::Sum(sum)) = &mut scope.metrics[0].data else { panic!("no sum") };
        sum.aggregation_temporality = 2;
    });
    assert_eq!(error, Err(WireError::NotDelta { metric: "iptv.stream.bytes" }));
    let error = refused(|request| {
        let scope = &mut request.resource_metrics[0].scope_metrics[0];
        scope.scope.as_mut().unwrap().attributes[1] = attribute::signed("tallylight.age", -1);
    });
    let expected = "an age from 0 up";
    assert_eq!(error, Err(WireError::Wrong { field: "tallylight.age", expected }));
}

#[test]
fn what_is_foreign_or_newer_is_skipped_and_counted() {
    let decoded = refused(|request| {
        request.resource_metrics.push(ResourceMetrics::default());
        let scope = &mut request.resource_metrics[0].scope_metrics[0];
        scope.metrics[0].name = "iptv.stream.something_newer".to_owned();
        request.resource_metrics[1].scope_metrics.push(ScopeMetrics::default());
    })
    .unwrap();
    assert_eq!(decoded.skipped, 3);
    assert_eq!(decoded.batches.len(), 1);
    assert_eq!(decoded.batches[0].slices[0].counters.packets, 5000);
    assert_eq!(decoded.batches[0].slices[0].counters.bytes, 0);
}

#[test]
fn a_request_beyond_its_bounds_is_refused() {
    let error = refused(|request| {
        request.resource_metrics.resize(MAX_ITEMS + 1, ResourceMetrics::default());
    });
    assert_eq!(error, Err(WireError::TooMany { what: "resources and scopes", limit: MAX_ITEMS }));
}

#[test]
fn long_evidence_is_cut_at_a_characters_end() {
    let mut batch = example();
    batch.faults[0].evidence = "\u{e9}".repeat(MAX_EVIDENCE);
    assert_eq!(travel(&batch).faults[0].evidence, "\u{e9}".repeat(MAX_EVIDENCE / 2));
}

#[test]
fn a_large_batch_is_cut_in_order_and_loses_nothing() {
    let mut batch = example();
    let slice = batch.slices[0].clone();
    batch.slices = (0..3000)
        .map(|at| Slice { start: WallTime::from_unix_millis(at), ..slice.clone() })
        .collect();
    let parts = split(batch.clone());
    assert!(parts.len() > 1);
    for part in &parts {
        assert!(encode_metrics(part, SENT).encoded_len() <= BATCH_LIMIT);
    }
    let joined: Vec<_> = parts.iter().flat_map(|part| part.slices.clone()).collect();
    assert_eq!(joined, batch.slices);
    assert_eq!(parts.iter().map(|part| part.faults.len()).sum::<usize>(), 1);
    assert_eq!(split(example()), [example()]);
}
