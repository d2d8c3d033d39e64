use core::time::Duration;
use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality, Metric as Data, NumberDataPoint, ScopeMetrics, metric,
        number_data_point::Value,
    },
};
use tallylight_model::{
    Batch, Counters, Epoch, FaultKind, LatencySample, Layer, Metric, MonoTime, NodeId, NodeReport,
    Observed, Ratio, Resource, Severity, Slice, StreamId, WallTime,
};

use super::{
    AGE, COUNTERS, FIRST_BYTE, KIND, LAYER, LENGTH, LIVE_DELAY, NODE_DROPPED, NODE_SCOPE, RESOURCE,
    SAMPLE, SEGMENT_FETCH, SEVERITY, SLICE_SCOPE, START, fingerprint,
};
use crate::{
    Decoded, MAX_ITEMS, MAX_LATENCIES, MAX_POINTS, MAX_SLICE, WireError,
    attribute::{Attributes, Budget, NODE, STREAM},
};

/// Reads slices and node reports; moments are put on `now`, the receiver's clock. Resources without a node and scopes,
/// metrics and kinds that this version does not know are skipped.
///
/// # Errors
/// Says what is malformed in what claims to be ours.
pub fn decode_metrics(
    request: ExportMetricsServiceRequest,
    now: MonoTime,
) -> Result<Decoded, WireError> {
    let mut reader = Reader {
        now,
        items: Budget::new("resources and scopes", MAX_ITEMS),
        points: Budget::new("points", MAX_POINTS),
        skipped: 0,
    };
    let mut batches = BTreeMap::<(NodeId, Epoch), Batch>::new();
    for resource in &request.resource_metrics {
        reader.items.take(1 + resource.scope_metrics.len())?;
        let attributes = resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
        let attributes = Attributes(attributes);
        if !attributes.has(NODE) {
            reader.skipped += 1;
            continue;
        }
        let (node, epoch) = (attributes.node()?, attributes.epoch()?);
        let batch = batches.entry((node.clone(), epoch)).or_insert_with(|| Batch {
            node,
            epoch,
            slices: Vec::new(),
            faults: Vec::new(),
            reports: Vec::new(),
        });
        let stream = if attributes.has(STREAM) { Some(attributes.stream()?) } else { None };
        for metrics in &resource.scope_metrics {
            let name = metrics.scope.as_ref().map_or("", |scope| &scope.name);
            match (name, &stream) {
                (SLICE_SCOPE, Some(stream)) => batch.slices.push(reader.slice(stream, metrics)?),
                (SLICE_SCOPE, None) => return Err(WireError::Missing { attribute: STREAM }),
                (NODE_SCOPE, None) => batch.reports.push(reader.report(metrics)?),
                _ => reader.skipped += 1,
            }
        }
    }
    Ok(Decoded { batches: batches.into_values().collect(), skipped: reader.skipped })
}

struct Reader {
    now: MonoTime,
    items: Budget,
    points: Budget,
    skipped: u64,
}

impl Reader {
    fn slice(&mut self, stream: &StreamId, metrics: &ScopeMetrics) -> Result<Slice, WireError> {
        let attributes =
            Attributes(metrics.scope.as_ref().map_or(&[][..], |scope| &scope.attributes));
        let length = Duration::from_nanos(attributes.number(LENGTH)?);
        if length.is_zero() || length > MAX_SLICE {
            return Err(WireError::Wrong {
                field: LENGTH,
                expected: "above 0 and at most an hour",
            });
        }
        let mut slice = Slice {
            stream: stream.clone(),
            start: WallTime::from_unix_millis(attributes.signed(START)?),
            end: attributes.moment(AGE, self.now)?,
            length,
            observed: Observed::default(),
            conditions: BTreeMap::new(),
            standing: BTreeMap::new(),
            counters: Counters::default(),
            latencies: Vec::new(),
            fingerprint: fingerprint::decode(attributes)?,
        };
        let mut latencies = BTreeMap::new();
        for metric in &metrics.metrics {
            let known = self.counter(&mut slice.counters, metric)?
                || self.spans(&mut slice, metric)?
                || self.standing(&mut slice, metric)?
                || self.latencies(&mut latencies, metric)?;
            self.skipped += u64::from(!known);
        }
        slice.latencies = latencies.into_values().take(MAX_LATENCIES).collect();
        Ok(slice)
    }

    fn counter(&mut self, counters: &mut Counters, data: &Data) -> Result<bool, WireError> {
        let found = COUNTERS.iter().find(|(metric, _)| metric.otel_name() == data.name);
        let Some((metric, place)) = found else { return Ok(false) };
        for point in self.deltas(metric.otel_name(), data)? {
            let place = place(counters);
            *place = place.saturating_add(count(metric.otel_name(), point)?);
        }
        Ok(true)
    }

    fn spans(&mut self, slice: &mut Slice, data: &Data) -> Result<bool, WireError> {
        let name = data.name.as_str();
        if name == Metric::StreamObservedSeconds.otel_name() {
            let name = Metric::StreamObservedSeconds.otel_name();
            for point in self.deltas(name, data)? {
                let layer = Attributes(&point.attributes).text(LAYER)?;
                let span = span(name, point)?.min(slice.length);
                match Layer::ALL.into_iter().find(|known| known.name() == layer) {
                    Some(layer) => *slice.observed.layer_mut(layer) = span,
                    None => self.skipped += 1,
                }
            }
            Ok(true)
        } else if name == Metric::StreamFaultSeconds.otel_name() {
            let name = Metric::StreamFaultSeconds.otel_name();
            for point in self.deltas(name, data)? {
                let kind = Attributes(&point.attributes).text(KIND)?;
                let span = span(name, point)?.min(slice.length);
                match FaultKind::from_name(kind) {
                    Some(kind) => drop(slice.conditions.insert(kind, span)),
                    None => self.skipped += 1,
                }
            }
            Ok(true)
        } else {
            Ok(false)
        }
    }

    fn standing(&mut self, slice: &mut Slice, data: &Data) -> Result<bool, WireError> {
        let name = Metric::StreamFault.otel_name();
        if data.name != name {
            return Ok(false);
        }
        for point in self.gauges(name, data)? {
            let attributes = Attributes(&point.attributes);
            let severity = Severity::from_name(attributes.text(SEVERITY)?)
                .ok_or(WireError::Wrong { field: SEVERITY, expected: "a severity" })?;
            match FaultKind::from_name(attributes.text(KIND)?) {
                Some(kind) => drop(slice.standing.insert(kind, severity)),
                None => self.skipped += 1,
            }
        }
        Ok(true)
    }

    fn latencies(
        &mut self,
        latencies: &mut BTreeMap<u64, LatencySample>,
        data: &Data,
    ) -> Result<bool, WireError> {
        let startup = Metric::StreamStartup.otel_name();
        let known = [FIRST_BYTE, startup, SEGMENT_FETCH, LIVE_DELAY];
        let Some(name) = known.into_iter().find(|known| *known == data.name) else {
            return Ok(false);
        };
        for point in self.gauges(name, data)? {
            let sample = match name {
                SEGMENT_FETCH => LatencySample::SegmentFetch(ratio(name, point)?),
                FIRST_BYTE => LatencySample::FirstByte(span(name, point)?),
                LIVE_DELAY => LatencySample::LiveDelay(span(name, point)?),
                _ => LatencySample::Startup(span(name, point)?),
            };
            latencies.insert(Attributes(&point.attributes).number(SAMPLE)?, sample);
        }
        Ok(true)
    }

    fn report(&mut self, metrics: &ScopeMetrics) -> Result<NodeReport, WireError> {
        let attributes =
            Attributes(metrics.scope.as_ref().map_or(&[][..], |scope| &scope.attributes));
        let mut report =
            NodeReport { at: attributes.moment(AGE, self.now)?, ..NodeReport::default() };
        let saturation = Metric::NodeSaturation.otel_name();
        let lost = Metric::AgentLostSlices.otel_name();
        for data in &metrics.metrics {
            if data.name == saturation {
                for point in self.gauges(saturation, data)? {
                    let resource = Attributes(&point.attributes).text(RESOURCE)?;
                    let ratio = ratio(saturation, point)?;
                    match Resource::from_name(resource) {
                        Some(resource) => drop(report.saturation.insert(resource, ratio)),
                        None => self.skipped += 1,
                    }
                }
            } else if data.name == NODE_DROPPED {
                for point in self.deltas(NODE_DROPPED, data)? {
                    report.receive_dropped = count(NODE_DROPPED, point)?;
                }
            } else if data.name == lost {
                for point in self.sums(lost, data)?.1 {
                    report.lost_slices = count(lost, point)?;
                }
            } else {
                self.skipped += 1;
            }
        }
        Ok(report)
    }

    fn deltas<'a>(
        &mut self,
        metric: &'static str,
        data: &'a Data,
    ) -> Result<&'a [NumberDataPoint], WireError> {
        let (temporality, points) = self.sums(metric, data)?;
        if temporality != AggregationTemporality::Delta as i32 {
            return Err(WireError::NotDelta { metric });
        }
        Ok(points)
    }

    fn sums<'a>(
        &mut self,
        metric: &'static str,
        data: &'a Data,
    ) -> Result<(i32, &'a [NumberDataPoint]), WireError> {
        let Some(metric::Data::Sum(sum)) = &data.data else {
            return Err(WireError::Wrong { field: metric, expected: "a sum" });
        };
        self.points.take(sum.data_points.len())?;
        Ok((sum.aggregation_temporality, &sum.data_points))
    }

    fn gauges<'a>(
        &mut self,
        metric: &'static str,
        data: &'a Data,
    ) -> Result<&'a [NumberDataPoint], WireError> {
        let Some(metric::Data::Gauge(gauge)) = &data.data else {
            return Err(WireError::Wrong { field: metric, expected: "a gauge" });
        };
        self.points.take(gauge.data_points.len())?;
        Ok(&gauge.data_points)
    }
}

fn count(field: &'static str, point: &NumberDataPoint) -> Result<u64, WireError> {
    match point.value {
        Some(Value::AsInt(number)) => u64::try_from(number).ok(),
        _ => None,
    }
    .ok_or(WireError::Wrong { field, expected: "an integer from 0 up" })
}

fn span(field: &'static str, point: &NumberDataPoint) -> Result<Duration, WireError> {
    let seconds = double(field, point)?;
    if seconds > MAX_SLICE.as_secs_f64() {
        return Err(WireError::Wrong { field, expected: "at most an hour" });
    }
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| WireError::Wrong { field, expected: "seconds from 0 up" })
}

fn ratio(field: &'static str, point: &NumberDataPoint) -> Result<Ratio, WireError> {
    double(field, point).map(Ratio::new)
}

fn double(field: &'static str, point: &NumberDataPoint) -> Result<f64, WireError> {
    match point.value {
        Some(Value::AsDouble(number)) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(WireError::Wrong { field, expected: "a number from 0 up" }),
    }
}
