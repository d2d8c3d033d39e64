//! One trace for each incident, when it closes: detect, locate, decide, act, verify.

use std::time::{Duration, SystemTime};

use opentelemetry::{
    KeyValue,
    trace::{Span as _, SpanBuilder, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tallylight_decide::incident::Incident;
use tallylight_model::MonoTime;
use tonic::transport::ClientTlsConfig;
use url::Url;

use crate::calendar::Calendar;

/// The phases of an incident, each from one step of its time line to another.
const PHASES: [(&str, &str, &str); 5] = [
    ("detect", "onset", "first_fault"),
    ("locate", "first_fault", "located"),
    ("decide", "located", "decided"),
    ("act", "decided", "done"),
    ("verify", "done", "verified"),
];

/// Sends traces.
#[derive(Debug)]
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    pub(super) fn new(endpoint: &Url) -> anyhow::Result<Self> {
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.as_str())
            .with_timeout(Duration::from_secs(3));
        if endpoint.scheme() == "https" {
            // Left to itself the exporter would trust nobody.
            exporter = exporter.with_tls_config(ClientTlsConfig::new().with_native_roots());
        }
        let exporter = exporter.build()?;
        let resource = Resource::builder().with_service_name("tallylight-collector").build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// Writes the trace of an incident that is over.
    pub(super) fn incident(&self, incident: &Incident, calendar: &Calendar) {
        let tracer = self.provider.tracer("tallylight");
        let wall = |at: MonoTime| SystemTime::from(calendar.wall(at));
        let builder = SpanBuilder::from_name("incident")
            .with_start_time(wall(incident.onset))
            .with_attributes([
                KeyValue::new("tallylight.incident", incident.id.to_string()),
                KeyValue::new("tallylight.cause", incident.cause().name()),
                KeyValue::new("tallylight.subject", incident.subject.to_string()),
                KeyValue::new("tallylight.remedy", incident.remedy.name()),
            ]);
        let root = tracer.build_with_context(builder, &opentelemetry::Context::new());
        let context = opentelemetry::Context::new().with_span(root);
        for (phase, from, to) in PHASES {
            if let Some((from, to)) = incident.at(from).zip(incident.at(to)) {
                let builder = SpanBuilder::from_name(phase).with_start_time(wall(from));
                let mut span = tracer.build_with_context(builder, &context);
                span.end_with_timestamp(wall(to.max(from)));
            }
        }
        context.span().end_with_timestamp(wall(incident.closed.unwrap_or(calendar.now)));
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(Duration::from_secs(2)) {
            tracing::debug!(%error, "last traces not sent");
        }
    }
}
