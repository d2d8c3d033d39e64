//! Counters and histograms of the collector itself. Names, help and units come from the registry alone.
//!
//! They go through an exporter that no global state knows, so that several collectors can live in one test process. What is
//! state rather than an event is written by [`exposition`](crate::exposition) instead: the exporter cannot remove a series.

use std::fmt;

use metrics::{Key, Label, Level, Metadata, Recorder as _, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tallylight_decide::{
    action::{ActionKind, ActionState, Reason},
    incident::Cause,
};
use tallylight_model::{Metric, MetricKind};

/// Buckets of `tallylight_decision_seconds`: the promise is 20 ms.
const DECISION_BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0, 5.0];
const METADATA: Metadata<'_> = Metadata::new("tallylight", Level::INFO, None);

/// The collector's own metrics.
pub(super) struct Meters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}

impl Default for Meters {
    fn default() -> Self {
        let name = Matcher::Full(Metric::DecisionSeconds.name().to_owned());
        let builder = PrometheusBuilder::new();
        // Refused only for an empty list of buckets.
        let builder = builder
            .set_buckets_for_metric(name, &DECISION_BUCKETS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let meters = Self { recorder, handle };
        for metric in COUNTED {
            meters.describe(*metric);
        }
        meters.begin_at_zero();
        meters
    }
}

/// What is counted here; everything else of the collector's is state.
const COUNTED: &[Metric] = &[
    Metric::CollectorRequests,
    Metric::CollectorSlices,
    Metric::Incidents,
    Metric::Actions,
    Metric::Refusals,
    Metric::DecisionSeconds,
    Metric::JournalErrors,
    Metric::CollectorCut,
];

impl Meters {
    /// Shows every series from the start: a rate misses the first event of a series that begins with it.
    fn begin_at_zero(&self) {
        for cause in Cause::ALL {
            self.count(Metric::Incidents, &[("cause", cause.name())], 0);
        }
        for kind in ActionKind::ALL {
            for state in ActionState::ALL {
                let labels = [("action", kind.name()), ("outcome", state.name())];
                self.count(Metric::Actions, &labels, 0);
            }
        }
        let kinds = ActionKind::ALL.iter().map(|kind| kind.name()).chain(["none"]);
        for (kind, reason) in kinds.flat_map(|kind| Reason::ALL.iter().map(move |it| (kind, it))) {
            self.count(Metric::Refusals, &[("action", kind), ("reason", reason.name())], 0);
        }
        for result in ["accepted", "duplicate", "refused"] {
            self.count(Metric::CollectorSlices, &[("result", result)], 0);
        }
        for reason in ["full", "quiet", "slow"] {
            self.count(Metric::CollectorCut, &[("reason", reason)], 0);
        }
        for transport in ["grpc", "http"] {
            for result in ["ok", "unauthenticated", "denied", "invalid", "too_large", "busy"] {
                let labels = [("transport", transport), ("result", result)];
                self.count(Metric::CollectorRequests, &labels, 0);
            }
        }
    }

    fn describe(&self, metric: Metric) {
        let (name, help) = (metric.name().into(), metric.help().into());
        match metric.kind() {
            MetricKind::Counter => self.recorder.describe_counter(name, Some(Unit::Count), help),
            MetricKind::Gauge => self.recorder.describe_gauge(name, None, help),
            MetricKind::Summary | MetricKind::Histogram => {
                self.recorder.describe_histogram(name, Some(Unit::Seconds), help);
            }
        }
        if metric.labels().is_empty() {
            match metric.kind() {
                MetricKind::Counter => self.count(metric, &[], 0),
                _ => drop(
                    self.recorder.register_histogram(&Key::from_name(metric.name()), &METADATA),
                ),
            }
        }
    }

    /// Adds to a counter. Label values must come from closed sets.
    pub(super) fn count(&self, metric: Metric, labels: &[(&'static str, &'static str)], by: u64) {
        self.recorder.register_counter(&key(metric, labels), &METADATA).increment(by);
    }

    /// Puts a value into a histogram.
    pub(super) fn record(&self, metric: Metric, value: f64) {
        self.recorder.register_histogram(&key(metric, &[]), &METADATA).record(value);
    }

    /// Writes everything in the Prometheus text format.
    #[must_use]
    pub(super) fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

fn key(metric: Metric, labels: &[(&'static str, &'static str)]) -> Key {
    let labels: Vec<_> = labels.iter().map(|(name, value)| Label::new(*name, *value)).collect();
    Key::from_parts(metric.name(), labels)
}
