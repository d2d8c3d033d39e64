//! State as Prometheus text: signals of channels, sources, incidents, modes, agents.
//!
//! It is written from the judgement at each scrape, so that what is gone is gone at the next one.

use tallylight_decide::{
    KillSwitch, Scope,
    incident::IncidentState,
    view::{SignalView, Summary, Up},
};
use tallylight_model::{Metric, PrometheusText};

use crate::view::View;

/// Writes all state in the Prometheus text format (version 0.0.4).
#[must_use]
pub fn render(view: &View<'_>) -> String {
    let mut text = PrometheusText::default();
    signals(&mut text, view);
    sources(&mut text, view);
    nodes(&mut text, view);
    incidents(&mut text, view);
    own(&mut text, view);
    text.finish()
}

fn summary(text: &mut PrometheusText, labels: &[(&str, &str)], summary: &Summary) {
    for (quantile, value) in summary.quantiles.iter().flatten() {
        let quantile = quantile.to_string();
        let mut labels = labels.to_vec();
        labels.push(("quantile", &quantile));
        text.series(&labels, *value);
    }
    text.suffixed("_sum", labels, summary.sum);
    text.suffixed("_count", labels, float(summary.count));
}

#[expect(clippy::cast_precision_loss, reason = "every value of the format is a double")]
const fn float(number: u64) -> f64 {
    number as f64
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// Writes one metric's series of a signal; the labels given are channel and region.
type WriteSignal<'a> = dyn Fn(&mut PrometheusText, &[(&str, &str)], &SignalView<'_>) + 'a;

fn signals(text: &mut PrometheusText, view: &View<'_>) {
    let signals: Vec<_> = view.decider.signals(view.calendar.now).collect();
    let mut each = |metric, write: &WriteSignal<'_>| {
        text.metric(metric);
        for signal in &signals {
            let labels = [("channel", signal.channel.as_str()), ("region", signal.region.as_str())];
            write(text, &labels, signal);
        }
    };
    each(Metric::ChannelObserved, &|text, labels, signal| {
        let layers = signal.observed.iter().map(|(layer, seconds)| (layer.name(), *seconds));
        for (layer, seconds) in layers.chain([("any", signal.observed_any)]) {
            text.series(&[labels[0], labels[1], ("layer", layer)], seconds);
        }
    });
    each(Metric::ChannelBad, &|text, labels, signal| text.series(labels, signal.bad));
    each(Metric::ChannelFaultSeconds, &|text, labels, signal| {
        for (class, seconds) in signal.faults {
            text.series(&[labels[0], labels[1], ("class", class.name())], seconds);
        }
    });
    each(Metric::ChannelStartup, &|text, labels, signal| summary(text, labels, &signal.startup));
    each(Metric::ChannelFirstByte, &|text, labels, signal| {
        summary(text, labels, &signal.first_byte);
    });
    each(Metric::ChannelSegmentFetch, &|text, labels, signal| {
        summary(text, labels, &signal.segment_fetch);
    });
    each(Metric::ChannelLiveDelay, &|text, labels, signal| {
        summary(text, labels, &signal.live_delay);
    });
    each(Metric::ChannelSessions, &|text, labels, signal| {
        signal.sessions.into_iter().for_each(|count| text.series(labels, float(count)));
    });
    each(Metric::ChannelEgress, &|text, labels, signal| {
        signal.egress_bytes.into_iter().for_each(|count| text.series(labels, float(count)));
    });
    each(Metric::ChannelSaturation, &|text, labels, signal| {
        signal.saturation.into_iter().for_each(|ratio| text.series(labels, ratio.get()));
    });
    each(Metric::ChannelUp, &|text, labels, signal| {
        signal.up.into_iter().for_each(|up| text.series(labels, flag(up == Up::Good)));
    });
}

fn sources(text: &mut PrometheusText, view: &View<'_>) {
    let sources: Vec<_> = view.decider.sources(view.calendar.now).collect();
    let labels = |source: &tallylight_decide::view::SourceView<'_>| {
        let channel = source.channel.as_str().to_owned();
        (channel, source.stream.name().to_owned(), source.role.name())
    };
    text.metric(Metric::SourceReady);
    for source in &sources {
        let (channel, name, role) = labels(source);
        let labels = [("channel", channel.as_str()), ("source", &name), ("role", role)];
        text.series(&labels, flag(source.reasons.is_empty()));
    }
    text.metric(Metric::SourceNotReady);
    for source in &sources {
        let (channel, name, _) = labels(source);
        for reason in &source.reasons {
            let reason = ("reason", reason.name());
            text.series(&[("channel", channel.as_str()), ("source", &name), reason], 1.0);
        }
    }
    text.metric(Metric::SourceActive);
    for source in sources.iter().filter(|source| source.active) {
        let (channel, name, role) = labels(source);
        text.series(&[("channel", channel.as_str()), ("source", &name), ("role", role)], 1.0);
    }
}

fn nodes(text: &mut PrometheusText, view: &View<'_>) {
    let nodes: Vec<_> = view.decider.nodes(view.calendar.now).collect();
    text.metric(Metric::CollectorAgentSeen);
    for node in &nodes {
        // An agent that never spoke since the start is as far away as can be told: rules alert on large values.
        let seen = node.last_seen.map_or(f64::INFINITY, |span| span.as_secs_f64());
        text.series(&[("node", node.node.as_str())], seen);
    }
    text.metric(Metric::NodeSaturation);
    for node in &nodes {
        for (resource, ratio) in &node.saturation {
            let labels = [("node", node.node.as_str()), ("resource", resource.name())];
            text.series(&labels, ratio.get());
        }
    }
}

fn incidents(text: &mut PrometheusText, view: &View<'_>) {
    text.metric(Metric::IncidentOpen);
    for incident in view.decider.incidents().filter(|it| it.state == IncidentState::Open) {
        let id = incident.id.to_string();
        let mut write = |channel: &str, region: &str| {
            let labels = [
                ("incident", id.as_str()),
                ("cause", incident.cause().name()),
                ("channel", channel),
                ("region", region),
                ("remedy", incident.remedy.name()),
            ];
            text.series(&labels, 1.0);
        };
        for (channel, region) in &incident.affected {
            write(channel.as_str(), region.as_str());
        }
        if incident.affected.is_empty() {
            write("", "");
        }
    }
}

fn own(text: &mut PrometheusText, view: &View<'_>) {
    text.metric(Metric::BuildInfo);
    text.series(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    text.metric(Metric::ModeInfo);
    for (scope, mode) in view.decider.modes() {
        text.series(&[("scope", &scope_name(&scope)), ("mode", mode.name())], 1.0);
    }
    text.metric(Metric::KillSwitch);
    text.series(&[], flag(view.kill_switch == KillSwitch::Pulled));
    text.metric(Metric::PanelUp);
    text.series(&[], flag(view.panel.is_up()));
    text.metric(Metric::PanelClockOffset);
    view.panel.clock_offset_s().into_iter().for_each(|offset| text.series(&[], offset));
    text.metric(Metric::CollectorLimitHits);
    let limits = view.decider.limits();
    for (what, count) in [
        ("foreign_nodes", limits.foreign_nodes),
        ("foreign_streams", limits.foreign_streams),
        ("forgotten_incidents", limits.forgotten_incidents),
        ("forgotten_actions", limits.forgotten_actions),
        ("dropped_outputs", limits.dropped_outputs),
    ] {
        text.series(&[("what", what)], float(count));
    }
}

/// Returns a scope's word in labels, JSON and orders: `global`, `region/north`, `action/switch_source`.
#[must_use]
pub fn scope_name(scope: &Scope) -> String {
    match scope {
        Scope::Global => "global".to_owned(),
        Scope::Region(region) => format!("region/{region}"),
        Scope::Action(kind) => format!("action/{}", kind.name()),
    }
}
