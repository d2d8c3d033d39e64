//! One trace per stream start, by OTLP/gRPC, where the configuration names an endpoint.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tallylight_model::{NodeId, StreamId};
use tonic::transport::ClientTlsConfig;
use url::Url;

use super::clock;
use crate::probe::Start;

/// Tells of stream starts; does nothing where no endpoint is configured.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<SdkTracerProvider>>);

impl Tracer {
    /// Sends traces to an endpoint.
    ///
    /// # Errors
    /// The exporter cannot be set up. Must be called within a tokio runtime.
    pub fn new(endpoint: Option<&Url>, node: &NodeId) -> anyhow::Result<Self> {
        let Some(endpoint) = endpoint else { return Ok(Self(None)) };
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.as_str())
            .with_timeout(Duration::from_secs(5));
        if endpoint.scheme() == "https" {
            // Left to itself the exporter would trust nobody.
            exporter = exporter.with_tls_config(ClientTlsConfig::new().with_native_roots());
        }
        let exporter = exporter.build().context("traces: cannot set up the exporter")?;
        let resource = Resource::builder()
            .with_service_name("tallylight-agent")
            .with_attribute(KeyValue::new("tallylight.node", node.to_string()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self(Some(Arc::new(provider))))
    }

    /// Sends the trace of a start that led to a picture just now.
    pub fn started(&self, stream: &StreamId, start: &Start) {
        let Some(provider) = &self.0 else { return };
        let tracer = provider.tracer("tallylight-agent");
        let began = SystemTime::now() - clock::now().since(start.began);
        let root = tracer
            .span_builder("stream start")
            .with_start_time(began)
            .with_attributes([KeyValue::new("tallylight.stream", stream.to_string())])
            .start(&tracer);
        let context = Context::current_with_span(root);
        for (name, from, to) in phases(start) {
            tracer
                .span_builder(name)
                .with_start_time(began + from)
                .start_with_context(&tracer, &context)
                .end_with_timestamp(began + to);
        }
        let total = start.first_picture.unwrap_or_default();
        context.span().end_with_timestamp(began + total);
    }

    /// Sends what waits.
    pub fn shut_down(&self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(Duration::from_secs(1))
        {
            tracing::debug!(%error, "traces were not sent");
        }
    }
}

/// The phases of a start, one after the other, with their begin and end since the start.
fn phases(start: &Start) -> Vec<(&'static str, Duration, Duration)> {
    let mut all = Vec::new();
    let mut at = Duration::ZERO;
    let opening =
        [("dns", start.phases.dns), ("connect", start.phases.connect), ("tls", start.phases.tls)];
    for (name, took) in opening {
        if let Some(took) = took {
            all.push((name, at, at + took));
            at += took;
        }
    }
    let moments = [
        ("first byte", start.first_byte),
        ("first key frame", start.first_key),
        ("first picture", start.first_picture),
    ];
    for (name, moment) in moments {
        if let Some(moment) = moment.filter(|moment| *moment >= at) {
            all.push((name, at, moment));
            at = moment;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Phases;

    #[test]
    fn phases_follow_one_another_without_a_gap() {
        let ms = Duration::from_millis;
        let start = Start {
            phases: Phases { dns: Some(ms(3)), connect: Some(ms(2)), ..Phases::default() },
            first_byte: Some(ms(9)),
            first_key: Some(ms(500)),
            first_picture: Some(ms(530)),
            ..Start::default()
        };
        let named: Vec<(&str, u128, u128)> =
            phases(&start).iter().map(|(n, a, b)| (*n, a.as_millis(), b.as_millis())).collect();
        assert_eq!(
            named,
            [
                ("dns", 0, 3),
                ("connect", 3, 5),
                ("first byte", 5, 9),
                ("first key frame", 9, 500),
                ("first picture", 500, 530)
            ]
        );
    }
}
