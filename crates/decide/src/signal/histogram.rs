//! Latencies of a region or a server as classic histograms, which a monitoring system can add up over any time and any set
//! of them. A channel has quantiles instead: it has too few joins to fill buckets, and there are thousands of channels.

use tallylight_model::LatencySample;

use crate::view::{HistogramView, Latency};

const MAX_BOUNDS: usize = 11;

const SECONDS_TO_PICTURE: [f64; MAX_BOUNDS] =
    [0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0];
const SECONDS_TO_BYTE: [f64; MAX_BOUNDS] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];
const OF_SEGMENT: [f64; MAX_BOUNDS] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0];
const SECONDS_BEHIND: [f64; MAX_BOUNDS] =
    [0.5, 1.0, 2.0, 4.0, 6.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0];

const fn bounds(latency: Latency) -> &'static [f64; MAX_BOUNDS] {
    match latency {
        Latency::Startup => &SECONDS_TO_PICTURE,
        Latency::FirstByte => &SECONDS_TO_BYTE,
        Latency::SegmentFetch => &OF_SEGMENT,
        Latency::LiveDelay => &SECONDS_BEHIND,
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Histogram {
    /// Below each bound and not below the one before; the last is what lies above all.
    counts: [u64; MAX_BOUNDS + 1],
    sum: f64,
}

/// A histogram of each latency.
#[derive(Clone, Debug, Default)]
pub(super) struct Histograms([Histogram; Latency::ALL.len()]);

impl Histograms {
    pub(super) fn add(&mut self, sample: LatencySample) {
        let (latency, value) = measured(sample);
        let histogram = &mut self.0[latency as usize];
        histogram.counts[bounds(latency).partition_point(|bound| *bound < value)] += 1;
        histogram.sum += value;
    }

    /// Those that have samples.
    pub(super) fn views(&self) -> impl Iterator<Item = HistogramView> {
        let histograms = Latency::ALL.iter().zip(&self.0);
        histograms.filter(|(_, it)| it.counts.iter().any(|&count| count > 0)).map(|(&it, own)| {
            let mut below = 0;
            let counted = own.counts.iter().map(|count| {
                below += count;
                below
            });
            let bounds = bounds(it).iter().copied().chain([f64::INFINITY]);
            HistogramView { latency: it, buckets: bounds.zip(counted).collect(), sum: own.sum }
        })
    }
}

/// What a sample is of, in seconds or as a share.
pub(super) fn measured(sample: LatencySample) -> (Latency, f64) {
    match sample {
        LatencySample::Startup(span) => (Latency::Startup, span.as_secs_f64()),
        LatencySample::FirstByte(span) => (Latency::FirstByte, span.as_secs_f64()),
        LatencySample::SegmentFetch(ratio) => (Latency::SegmentFetch, ratio.get()),
        LatencySample::LiveDelay(span) => (Latency::LiveDelay, span.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::time::Duration;

    #[test]
    fn a_bucket_counts_everything_up_to_its_bound() {
        let mut histograms = Histograms::default();
        assert_eq!(histograms.views().count(), 0, "what has no samples has no series");
        for millis in [50, 100, 101, 1000, 60_000] {
            histograms.add(LatencySample::Startup(Duration::from_millis(millis)));
        }
        let views: Vec<_> = histograms.views().collect();
        let [view] = &views[..] else { panic!("{views:?}") };
        assert_eq!(view.latency, Latency::Startup);
        let counts: Vec<u64> = view.buckets.iter().map(|it| it.1).collect();
        assert_eq!(counts, [2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!(view.buckets[11].0, f64::INFINITY);
        assert!((view.sum - 61.251).abs() < 1e-9);
    }
}
