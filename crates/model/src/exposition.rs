//! The Prometheus text format (version 0.0.4), written from the registry: names, types and help come from there, and a label
//! that the registry does not allow cannot be written.
//!
//! Agent and collector both walk their state with it at each scrape, so that a stream or channel that is gone is gone at the
//! next one. An exporter that keeps series of its own cannot remove any, and renders in hash order.

use alloc::string::String;
use core::fmt::Write as _;

use crate::{Metric, MetricKind};

/// A page of `/metrics` in the making.
#[derive(Debug, Default)]
pub struct PrometheusText {
    out: String,
    metric: Option<Metric>,
}

impl PrometheusText {
    /// Begins a metric: all its series follow in one piece, as the format asks.
    pub fn metric(&mut self, metric: Metric) {
        let kind = match metric.kind() {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Summary => "summary",
            MetricKind::Histogram => "histogram",
        };
        let (name, help) = (metric.name(), metric.help());
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.metric = Some(metric);
    }

    /// Writes one series of the metric begun last.
    pub fn series(&mut self, labels: &[(&str, &str)], value: f64) {
        self.suffixed("", labels, value);
    }

    /// Writes one series whose name ends in `_sum`, `_count` or `_bucket`.
    pub fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let Some(metric) = self.metric else { return };
        self.out.push_str(metric.name());
        self.out.push_str(suffix);
        let allowed =
            |label: &str| matches!(label, "quantile" | "le") || metric.labels().contains(&label);
        debug_assert!(labels.iter().all(|(label, _)| allowed(label)), "{}", metric.name());
        let mut open = '{';
        for (label, text) in labels.iter().filter(|(label, _)| allowed(label)) {
            self.out.push(open);
            self.out.push_str(label);
            self.out.push_str("=\"");
            escape(&mut self.out, text);
            self.out.push('"');
            open = ',';
        }
        if open == ',' {
            self.out.push('}');
        }
        let whole = value as i64;
        // The format writes infinity in its own way. Most values are whole, and a whole number is written much faster.
        let _ = match value {
            f64::INFINITY => writeln!(self.out, " +Inf"),
            f64::NEG_INFINITY => writeln!(self.out, " -Inf"),
            value if whole as f64 == value => writeln!(self.out, " {whole}"),
            value => writeln!(self.out, " {value}"),
        };
    }

    /// Returns how long the text is so far, in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.out.len()
    }

    /// Returns the text.
    #[must_use]
    pub fn finish(self) -> String {
        self.out
    }
}

fn escape(out: &mut String, text: &str) {
    if !text.contains(['\\', '"', '\n']) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_stand_under_their_metric_with_labels_escaped() {
        let mut text = PrometheusText::default();
        text.metric(Metric::BuildInfo);
        text.series(&[("version", "a\"b\\c\nd")], 1.0);
        text.metric(Metric::AgentStreams);
        text.series(&[], 2.5);
        text.series(&[], f64::INFINITY);
        text.series(&[], 86_400.0);
        text.series(&[], 1e20);
        text.series(&[], f64::NAN);
        let expected = "# HELP tallylight_build_info Always 1; the version is in the label.\n\
            # TYPE tallylight_build_info gauge\n\
            tallylight_build_info{version=\"a\\\"b\\\\c\\nd\"} 1\n\
            # HELP tallylight_agent_streams Streams that the agent watches.\n\
            # TYPE tallylight_agent_streams gauge\n\
            tallylight_agent_streams 2.5\n\
            tallylight_agent_streams +Inf\n\
            tallylight_agent_streams 86400\n\
            tallylight_agent_streams 100000000000000000000\n\
            tallylight_agent_streams NaN\n";
        assert_eq!(text.finish(), expected);
    }
}
