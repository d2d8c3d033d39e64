//! State as Prometheus text: signals of channels, sources, incidents, modes, agents.
//!
//! It is written from the judgement at each scrape, so that what is gone is gone at the next one. A copy of the judgement to
//! write from could disagree with it; read in one go it would hold up judging, on a large platform for half a second.

use tallylight_decide::{
    KillSwitch, Scope,
    incident::{Incident, IncidentState, Subject},
    view::{HistogramView, Latency, ProgrammeView, SignalView, SourceView, Summary, Up},
};
use tallylight_model::{ChannelId, Metric, PrometheusText, RegionId};

use crate::view::View;

/// All state in the Prometheus text format (version 0.0.4), in the making. What there is of each channel grows piece by
/// piece in one text for each metric, since all series of a metric must stand together.
#[derive(Debug)]
pub struct Page {
    signals: Vec<PrometheusText>,
    sources: Vec<PrometheusText>,
}

impl Default for Page {
    fn default() -> Self {
        let begin = |metric| {
            let mut text = PrometheusText::default();
            text.metric(metric);
            text
        };
        Self {
            signals: SIGNALS.iter().map(|(metric, _)| begin(*metric)).collect(),
            sources: SOURCES.iter().map(|(metric, _)| begin(*metric)).collect(),
        }
    }
}

impl Page {
    /// Adds the channels after this one; answers after which to go on.
    pub fn add(&mut self, view: &View<'_>, after: Option<&ChannelId>) -> Option<ChannelId> {
        let (piece, now) = (view.piece(after), view.calendar.now);
        for signal in view.decider.signals(now, piece.channels()) {
            let labels = [("channel", signal.channel.as_str()), ("region", signal.region.as_str())];
            for (text, (_, write)) in self.signals.iter_mut().zip(SIGNALS) {
                write(text, &labels, &signal);
            }
        }
        for source in view.decider.sources(now, piece.channels()) {
            let labels = [("channel", source.channel.as_str()), ("source", source.stream.name())];
            for (text, (_, write)) in self.sources.iter_mut().zip(SOURCES) {
                write(text, labels, &source);
            }
        }
        piece.last()
    }

    /// The whole text, `rest` being what is not of a channel.
    #[must_use]
    pub fn finish(self, rest: &str) -> String {
        let texts = self.signals.into_iter().chain(self.sources).map(PrometheusText::finish);
        texts.chain([rest.to_owned()]).collect()
    }
}

/// Writes all state that is not of a channel.
#[must_use]
pub fn rest(view: &View<'_>) -> String {
    let mut text = PrometheusText::default();
    nodes(&mut text, view);
    latencies(&mut text, view);
    incidents(&mut text, view);
    own(&mut text, view);
    text.finish()
}

/// Writes these quantiles. Their sums and counts are the histograms' of region and server: a channel has no series to spare.
fn quantiles(
    text: &mut PrometheusText,
    labels: &[(&str, &str); 2],
    summary: &Summary,
    which: &[f64],
) {
    for (quantile, value) in summary.quantiles.iter().flatten().filter(|it| which.contains(&it.0)) {
        let quantile = quantile.to_string();
        text.series(&[labels[0], labels[1], ("quantile", &quantile)], *value);
    }
}

#[expect(clippy::cast_precision_loss, reason = "every value of the format is a double")]
const fn float(number: u64) -> f64 {
    number as f64
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

const OUTSIDE: (&str, &str) = ("maintenance", "no");
const WITHIN: (&str, &str) = ("maintenance", "yes");

/// Writes one metric's series of a signal; the labels given are channel and region.
type WriteSignal = fn(&mut PrometheusText, &[(&str, &str); 2], &SignalView<'_>);

/// A channel has 25 series in a region at most, four more in the six hours after a bad second and two more once it
/// was in maintenance. Thousands of channels make so many series that each has to be worth it.
const SIGNALS: [(Metric, WriteSignal); 13] = [
    (Metric::ChannelObserved, |text, labels, signal| {
        let layers = signal.observed.iter().map(|(layer, seconds)| (layer.name(), *seconds));
        for (layer, seconds) in layers.chain([("any", signal.observed_any)]) {
            text.series(&[labels[0], labels[1], ("layer", layer), OUTSIDE], seconds);
        }
        if signal.maintenance_observed > 0.0 {
            let labels = [labels[0], labels[1], ("layer", "any"), WITHIN];
            text.series(&labels, signal.maintenance_observed);
        }
    }),
    (Metric::ChannelBad, |text, labels, signal| {
        text.series(&[labels[0], labels[1], OUTSIDE], signal.bad);
        if signal.maintenance_observed > 0.0 {
            text.series(&[labels[0], labels[1], WITHIN], signal.maintenance_bad);
        }
    }),
    (Metric::ChannelFaultSeconds, |text, labels, signal| {
        for (class, seconds) in signal.faults {
            text.series(&[labels[0], labels[1], ("class", class.name())], seconds);
        }
    }),
    (Metric::ChannelErrorBudget, |text, labels, signal| {
        signal.slo.budget_left.into_iter().for_each(|left| text.series(labels, left));
    }),
    (Metric::ChannelBurnRate, |text, labels, signal| {
        for (window, rate) in signal.slo.burn {
            if let Some(rate) = rate.filter(|&it| it > 0.0) {
                text.series(&[labels[0], labels[1], ("window", window.name())], rate);
            }
        }
    }),
    (Metric::ChannelStartup, |text, labels, signal| {
        quantiles(text, labels, &signal.startup, &[0.5, 0.95, 0.99]);
    }),
    (Metric::ChannelFirstByte, |text, labels, signal| {
        quantiles(text, labels, &signal.first_byte, &[0.95]);
    }),
    (Metric::ChannelSegmentFetch, |text, labels, signal| {
        quantiles(text, labels, &signal.segment_fetch, &[0.95]);
    }),
    (Metric::ChannelLiveDelay, |text, labels, signal| {
        quantiles(text, labels, &signal.live_delay, &[0.95]);
    }),
    (Metric::ChannelSessions, |text, labels, signal| {
        signal.sessions.into_iter().for_each(|count| text.series(labels, float(count)));
    }),
    (Metric::ChannelEgress, |text, labels, signal| {
        signal.egress_bytes.into_iter().for_each(|count| text.series(labels, float(count)));
    }),
    (Metric::ChannelSaturation, |text, labels, signal| {
        signal.saturation.into_iter().for_each(|ratio| text.series(labels, ratio.get()));
    }),
    (Metric::ChannelUp, |text, labels, signal| {
        signal.up.into_iter().for_each(|up| text.series(labels, flag(up == Up::Good)));
    }),
];

/// Writes one metric's series of a source; the labels given are channel and source.
type WriteSource = fn(&mut PrometheusText, [(&str, &str); 2], &SourceView<'_>);

const SOURCES: [(Metric, WriteSource); 4] = [
    (Metric::SourceReady, |text, [channel, name], source| {
        let labels = [channel, name, ("role", source.role.name())];
        text.series(&labels, flag(source.reasons.is_empty()));
    }),
    (Metric::SourceNotReady, |text, [channel, name], source| {
        for reason in &source.reasons {
            text.series(&[channel, name, ("reason", reason.name())], 1.0);
        }
    }),
    (Metric::SourceOffset, |text, [channel, name], source| {
        let offset = source.programme.and_then(ProgrammeView::offset);
        offset.into_iter().for_each(|seconds| text.series(&[channel, name], seconds));
    }),
    (Metric::SourceActive, |text, [channel, name], source| {
        if source.active {
            text.series(&[channel, name, ("role", source.role.name())], 1.0);
        }
    }),
];

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

/// Writes the histograms of regions and servers.
fn latencies(text: &mut PrometheusText, view: &View<'_>) {
    let regions: Vec<_> = view.decider.region_latencies().collect();
    let servers: Vec<_> = view.decider.server_latencies().collect();
    for &latency in Latency::ALL {
        let (of_region, of_server) = histogram_metrics(latency);
        text.metric(of_region);
        for (region, histogram) in regions.iter().filter(|it| it.1.latency == latency) {
            buckets(text, ("region", region.as_str()), histogram);
        }
        text.metric(of_server);
        for (server, histogram) in servers.iter().filter(|it| it.1.latency == latency) {
            buckets(text, ("server", server.as_str()), histogram);
        }
    }
}

const fn histogram_metrics(latency: Latency) -> (Metric, Metric) {
    match latency {
        Latency::Startup => (Metric::RegionStartup, Metric::ServerStartup),
        Latency::FirstByte => (Metric::RegionFirstByte, Metric::ServerFirstByte),
        Latency::SegmentFetch => (Metric::RegionSegmentFetch, Metric::ServerSegmentFetch),
        Latency::LiveDelay => (Metric::RegionLiveDelay, Metric::ServerLiveDelay),
    }
}

fn buckets(text: &mut PrometheusText, label: (&str, &str), histogram: &HistogramView) {
    let mut count = 0;
    for &(bound, below) in &histogram.buckets {
        let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        text.suffixed("_bucket", &[label, ("le", &bound)], float(below));
        count = below;
    }
    text.suffixed("_sum", &[label], histogram.sum);
    text.suffixed("_count", &[label], float(count));
}

fn incidents(text: &mut PrometheusText, view: &View<'_>) {
    let open = || view.decider.incidents().filter(|it| it.state == IncidentState::Open);
    text.metric(Metric::RegionStorm);
    let lineup = view.decider.lineup();
    let serves = |region: &RegionId| lineup.servers().any(|it| it.region == *region);
    for region in lineup.regions().filter(|it| serves(&it.id)) {
        let is_here = |it: &Incident| it.storm && it.subject == Subject::Region(region.id.clone());
        let storms = open().any(is_here);
        text.series(&[("region", region.id.as_str())], f64::from(u8::from(storms)));
    }
    text.metric(Metric::IncidentOpen);
    for incident in open() {
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
        if incident.storm {
            // It is the region's, so that it calls people once and not for each channel.
            write("", &incident.subject.to_string());
            continue;
        }
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
    view.panel.into_iter().for_each(|panel| text.series(&[], flag(panel.is_up())));
    text.metric(Metric::PanelClockOffset);
    let offset = view.panel.and_then(|panel| panel.clock_offset_s());
    offset.into_iter().for_each(|offset| text.series(&[], offset));
    text.metric(Metric::CollectorLimitHits);
    let limits = view.decider.limits();
    for (what, count) in [
        ("foreign_nodes", limits.foreign_nodes),
        ("foreign_streams", limits.foreign_streams),
        ("late_seconds", limits.late_seconds),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{array, collections::VecDeque};

    use tallylight_decide::{BurnWindow, Decider, Policy, view::SloView};
    use tallylight_model::{Epoch, FaultClass, Layer, MonoTime, Ratio, RegionId};

    use crate::{calendar::Calendar, config::parse_lineup, panel::Standing};

    #[test]
    fn a_platform_is_read_in_small_pieces_that_make_one_page() {
        let mut lineup = "[[region]]\nid = 'r'\n[[server]]\nid = 's'\nregion = 'r'\n".to_owned();
        for number in 100..300 {
            lineup += &format!(
                "[[channel]]\nid = 'c{number}'\n[[channel.source]]\nid = 'p'\nrole = 'primary'\n\
                 region = 'r'\nurl = 'udp://239.0.0.1:{number}'\n[[channel.delivery]]\nid = 'd'\n\
                 server = 's'\nurl = 'http://127.0.0.1/{number}'\n"
            );
        }
        let lineup = parse_lineup("lineup.toml", &lineup).unwrap().lineup;
        let decider = Decider::new(lineup, Policy::default(), Epoch(1));
        let view = View {
            decider: &decider,
            calendar: Calendar { now: MonoTime::ZERO, wall: jiff::Timestamp::UNIX_EPOCH },
            kill_switch: KillSwitch::Released,
            panel: Some(Standing::default()),
            ended: &VecDeque::new(),
            journal_fails: false,
        };
        let (mut page, mut after, mut pieces) = (Page::default(), None, 0);
        loop {
            let size = |page: &Page| page.signals[0].size();
            let before = size(&page);
            after = page.add(&view, after.as_ref());
            assert!(size(&page) - before < 20_000, "a piece is small");
            if after.is_none() {
                break;
            }
            pieces += 1;
        }
        assert_eq!(pieces, 7, "200 channels");
        let text = page.finish(&rest(&view));
        let up = |text: &str| text.contains("\ntallylight_panel_up 0");
        assert!(up(&text) && !up(&rest(&View { panel: None, ..view })), "no panel, no series");
        for (metric, series) in [
            (Metric::ChannelObserved, 5 * 200),
            (Metric::ChannelBad, 200),
            (Metric::SourceReady, 200),
            (Metric::BuildInfo, 1),
        ] {
            let (name, help) = (metric.name(), format!("# HELP {} ", metric.name()));
            let block: Vec<_> = text
                .lines()
                .skip_while(|line| !line.starts_with(&help))
                .skip(2)
                .take_while(|line| !line.starts_with('#'))
                .collect();
            assert!(block.iter().all(|line| line.starts_with(name)), "{name}");
            let distinct: std::collections::BTreeSet<_> = block.iter().collect();
            assert_eq!((block.len(), distinct.len()), (series, series), "{name}");
            assert_eq!(text.matches(&help).count(), 1, "{name}");
        }
    }
    #[test]
    fn a_channel_has_at_most_25_series_in_a_region_and_few_more_while_it_burns() {
        let channel = ChannelId::new("one").unwrap();
        let region = RegionId::new("north").unwrap();
        let summary = Summary {
            count: 20,
            sum: 1.0,
            quantiles: Some([(0.5, 1.0), (0.95, 1.0), (0.99, 1.0)]),
        };
        let mut signal = SignalView {
            channel: &channel,
            region: &region,
            observed: Layer::ALL.map(|layer| (layer, 1.0)),
            observed_any: 1.0,
            bad: 1.0,
            faults: FaultClass::ALL.map(|class| (class, 1.0)),
            maintenance_observed: 0.0,
            maintenance_bad: 0.0,
            slo: SloView {
                objective: Ratio::new(0.999),
                since: Some(MonoTime::ZERO),
                observed: 1.0,
                bad: 0.0,
                budget_left: Some(1.0),
                burn: array::from_fn(|i| (BurnWindow::ALL[i], Some(0.0))),
            },
            up: Some(Up::Good),
            startup: summary,
            first_byte: summary,
            segment_fetch: summary,
            live_delay: summary,
            sessions: Some(1),
            egress_bytes: Some(1),
            saturation: Some(Ratio::new(0.5)),
        };
        let series = |signal: &SignalView<'_>| {
            let labels = [("channel", "one"), ("region", "north")];
            let mut text = PrometheusText::default();
            for (metric, write) in SIGNALS {
                text.metric(metric);
                write(&mut text, &labels, signal);
            }
            text.finish().lines().filter(|line| !line.starts_with('#')).count()
        };
        assert_eq!(series(&signal), 25);
        signal.slo.burn = signal.slo.burn.map(|(window, _)| (window, Some(20.0)));
        assert_eq!(series(&signal), 29);
        signal.maintenance_observed = 1.0;
        assert_eq!(series(&signal), 31);
    }
}
