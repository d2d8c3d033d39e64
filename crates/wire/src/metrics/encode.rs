use core::time::Duration;
use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{InstrumentationScope, KeyValue},
    metrics::v1::{
        AggregationTemporality, Gauge, Metric as Data, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, Sum, metric, number_data_point::Value,
    },
    resource::v1::Resource as Carrier,
};
use tallylight_model::{
    Batch, LatencySample, Layer, Metric, MonoTime, NodeReport, Slice, StreamId,
};

use super::{
    AGE, COUNTERS, FIRST_BYTE, KIND, LAYER, LENGTH, LIVE_DELAY, NODE_DROPPED, NODE_SCOPE, RESOURCE,
    SAMPLE, SECONDS, SEGMENT_FETCH, SEVERITY, SLICE_SCOPE, START, fingerprint,
};
use crate::{
    MAX_LATENCIES, MAX_SLICE,
    attribute::{self, EPOCH, NODE, STREAM},
};

/// Writes the batch's slices and node reports as metrics; ages are taken from `now`, the sender's clock. Slices stand
/// grouped by stream, in their order.
#[must_use]
pub fn encode_metrics(batch: &Batch, now: MonoTime) -> ExportMetricsServiceRequest {
    let mut streams = BTreeMap::<&StreamId, Vec<ScopeMetrics>>::new();
    for slice in &batch.slices {
        streams.entry(&slice.stream).or_default().push(slice_scope(slice, now));
    }
    let of_node = || {
        vec![attribute::text(NODE, batch.node.as_str()), attribute::number(EPOCH, batch.epoch.0)]
    };
    let mut resource_metrics: Vec<_> = streams
        .into_iter()
        .map(|(stream, scopes)| {
            let mut attributes = of_node();
            attributes.push(attribute::text(STREAM, stream.as_str()));
            resource(attributes, scopes)
        })
        .collect();
    if !batch.reports.is_empty() {
        let scopes = batch.reports.iter().map(|report| node_scope(report, now)).collect();
        resource_metrics.push(resource(of_node(), scopes));
    }
    ExportMetricsServiceRequest { resource_metrics }
}

fn resource(attributes: Vec<KeyValue>, scope_metrics: Vec<ScopeMetrics>) -> ResourceMetrics {
    let carrier = Carrier { attributes, ..Default::default() };
    ResourceMetrics { resource: Some(carrier), scope_metrics, ..Default::default() }
}

fn scope(name: &str, attributes: Vec<KeyValue>, metrics: Vec<Data>) -> ScopeMetrics {
    let scope = InstrumentationScope { name: name.to_owned(), attributes, ..Default::default() };
    ScopeMetrics { scope: Some(scope), metrics, ..Default::default() }
}

fn slice_scope(slice: &Slice, now: MonoTime) -> ScopeMetrics {
    let length = slice.length.clamp(Duration::from_nanos(1), MAX_SLICE);
    let mut attributes = vec![
        attribute::signed(START, slice.start.unix_millis()),
        attribute::age(AGE, slice.end, now),
        attribute::number(LENGTH, nanos(length)),
    ];
    fingerprint::encode(&slice.fingerprint, &mut attributes);
    let mut metrics = Vec::new();
    let mut counters = slice.counters;
    for (metric, place) in COUNTERS {
        let count = *place(&mut counters);
        if count > 0 {
            let point = vec![point(Vec::new(), integer(count))];
            metrics.push(delta(metric.otel_name(), metric.unit(), point));
        }
    }
    let lasted = |key: &str, name: &str, span: Duration| {
        let span = span.min(length);
        (!span.is_zero())
            .then(|| point(vec![attribute::text(key, name)], Value::AsDouble(seconds(span))))
    };
    let observed = Layer::ALL
        .iter()
        .filter_map(|layer| lasted(LAYER, layer.name(), slice.observed.layer(*layer)));
    push_delta(&mut metrics, Metric::StreamObservedSeconds, observed.collect());
    let conditions =
        slice.conditions.iter().filter_map(|(kind, span)| lasted(KIND, kind.name(), *span));
    push_delta(&mut metrics, Metric::StreamFaultSeconds, conditions.collect());
    let standing = slice.standing.iter().map(|(kind, severity)| {
        let attributes =
            vec![attribute::text(KIND, kind.name()), attribute::text(SEVERITY, severity.name())];
        point(attributes, Value::AsInt(1))
    });
    push_gauge(&mut metrics, Metric::StreamFault.otel_name(), "1", standing.collect());
    push_latencies(&mut metrics, &slice.latencies);
    let mut scope = scope(SLICE_SCOPE, attributes, metrics);
    stamp(&mut scope.metrics, slice);
    scope
}

fn push_latencies(metrics: &mut Vec<Data>, latencies: &[LatencySample]) {
    let mut by_name = BTreeMap::<(&str, &str), Vec<NumberDataPoint>>::new();
    for (place, sample) in (0_u64..).zip(latencies.iter().take(MAX_LATENCIES)) {
        let (name, unit, value) = match sample {
            LatencySample::FirstByte(span) => (FIRST_BYTE, SECONDS, seconds(*span)),
            LatencySample::Startup(span) => {
                (Metric::StreamStartup.otel_name(), SECONDS, seconds(*span))
            }
            LatencySample::SegmentFetch(ratio) => (SEGMENT_FETCH, "1", ratio.get()),
            LatencySample::LiveDelay(span) => (LIVE_DELAY, SECONDS, seconds(*span)),
        };
        let point = point(vec![attribute::number(SAMPLE, place)], Value::AsDouble(value));
        by_name.entry((name, unit)).or_default().push(point);
    }
    for ((name, unit), points) in by_name {
        push_gauge(metrics, name, unit, points);
    }
}

/// Gives each point the slice's time, for readers other than ours.
fn stamp(metrics: &mut [Data], slice: &Slice) {
    let start = u64::try_from(slice.start.unix_millis()).unwrap_or(0).saturating_mul(1_000_000);
    for metric in metrics {
        let points = match &mut metric.data {
            Some(metric::Data::Sum(sum)) => &mut sum.data_points,
            Some(metric::Data::Gauge(gauge)) => &mut gauge.data_points,
            _ => continue,
        };
        for point in points {
            point.start_time_unix_nano = start;
            point.time_unix_nano = start.saturating_add(nanos(slice.length));
        }
    }
}

fn node_scope(report: &NodeReport, now: MonoTime) -> ScopeMetrics {
    let mut metrics = Vec::new();
    let saturation = report.saturation.iter().map(|(resource, ratio)| {
        point(vec![attribute::text(RESOURCE, resource.name())], Value::AsDouble(ratio.get()))
    });
    push_gauge(&mut metrics, Metric::NodeSaturation.otel_name(), "1", saturation.collect());
    if report.receive_dropped > 0 {
        let value = integer(report.receive_dropped);
        metrics.push(delta(NODE_DROPPED, "{packet}", vec![point(Vec::new(), value)]));
    }
    if report.lost_slices > 0 {
        let value = integer(report.lost_slices);
        let metric = Metric::AgentLostSlices;
        let points = vec![point(Vec::new(), value)];
        metrics.push(sum(
            metric.otel_name(),
            metric.unit(),
            points,
            AggregationTemporality::Cumulative,
        ));
    }
    scope(NODE_SCOPE, vec![attribute::age(AGE, report.at, now)], metrics)
}

fn point(attributes: Vec<KeyValue>, value: Value) -> NumberDataPoint {
    NumberDataPoint { attributes, value: Some(value), ..Default::default() }
}

fn push_delta(metrics: &mut Vec<Data>, metric: Metric, points: Vec<NumberDataPoint>) {
    if !points.is_empty() {
        metrics.push(delta(metric.otel_name(), metric.unit(), points));
    }
}

fn delta(name: &str, unit: &str, points: Vec<NumberDataPoint>) -> Data {
    sum(name, unit, points, AggregationTemporality::Delta)
}

fn sum(
    name: &str,
    unit: &str,
    data_points: Vec<NumberDataPoint>,
    temporality: AggregationTemporality,
) -> Data {
    let sum = Sum { data_points, aggregation_temporality: temporality as i32, is_monotonic: true };
    Data {
        name: name.to_owned(),
        unit: unit.to_owned(),
        data: Some(metric::Data::Sum(sum)),
        ..Default::default()
    }
}

fn push_gauge(metrics: &mut Vec<Data>, name: &str, unit: &str, points: Vec<NumberDataPoint>) {
    if !points.is_empty() {
        metrics.push(Data {
            name: name.to_owned(),
            unit: unit.to_owned(),
            data: Some(metric::Data::Gauge(Gauge { data_points: points })),
            ..Default::default()
        });
    }
}

fn integer(count: u64) -> Value {
    Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Seconds, at most what a receiver takes.
fn seconds(span: Duration) -> f64 {
    span.min(MAX_SLICE).as_secs_f64()
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
