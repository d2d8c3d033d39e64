//! Sound statistics.

use std::time::Duration;

use tallylight_av::Samples;
use tallylight_model::Pid;

use super::SoundStats;
use crate::sound::is_silent;

/// Sound is judged in runs of this length, give or take a frame of the codec (at most 72 ms).
const RUN: Duration = Duration::from_millis(100);
/// A run is searched for sound in parts of so many samples: 5 ms, or half a period of 94 Hz.
const PART: usize = 256;
/// A time stamp this far from where the last samples ended starts a new run: sound is missing or was cut.
const SLACK: Duration = Duration::from_millis(50);
/// Channels that are measured; no codec here has more than 16.
const MAX_CHANNELS: usize = 16;
/// What silence is called: 0 has no logarithm.
const FLOOR_DBFS: f32 = -200.0;

/// Gathers samples into runs.
#[derive(Default)]
pub(super) struct Meter {
    start: Option<Duration>,
    rate: u32,
    count: u64,
    peak: f32,
    /// Sum of squares of each channel.
    energy: Vec<f64>,
    /// From the first to the end of the last part that is not silent, in samples.
    loud: Option<(u64, u64)>,
}

impl Meter {
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes decoded samples that are presented `at`, or follow on. False if some were no numbers, which only a damaged stream
    /// gives; the run is then dropped.
    pub(super) fn feed<F: FnMut(SoundStats)>(
        &mut self,
        pid: Pid,
        at: Option<Duration>,
        samples: &Samples<'_>,
        mut each: F,
    ) -> bool {
        let (channels, rate) = (samples.channels().min(MAX_CHANNELS), samples.rate());
        if channels == 0 || rate == 0 {
            return true;
        }
        let end = self.start.map(|start| start + self.length());
        let apart = at.zip(end).is_some_and(|(at, end)| at.abs_diff(end) > SLACK);
        if apart || rate != self.rate || channels != self.energy.len() {
            let start = at.or(end);
            self.reset();
            (self.start, self.rate) = (start, rate);
            self.energy.resize(channels, 0.0);
        }
        // Each run begins where its stamp says; within one a stamp may be rounded.
        let begin = if self.count == 0 { at.or(self.start) } else { self.start.or(at) };
        let Some(start) = begin else { return true };
        self.start = Some(start);
        self.measure(samples);
        if self.energy.iter().any(|energy| !energy.is_finite()) {
            self.reset();
            return false;
        }
        let length = self.length();
        if length >= RUN {
            each(self.stats(pid, start, length));
            self.start = Some(start + length);
            (self.count, self.peak, self.loud) = (0, 0.0, None);
            self.energy.fill(0.0);
        }
        true
    }

    /// Adds samples up, part by part.
    fn measure(&mut self, samples: &Samples<'_>) {
        let length = samples.channel(0).len();
        for from in (0..length).step_by(PART) {
            let part = from..(from + PART).min(length);
            let mut loud = false;
            for (index, energy) in self.energy.iter_mut().enumerate() {
                let samples = samples.channel(index).get(part.clone()).unwrap_or_default();
                let (sum, peak) = measure(samples);
                *energy += sum;
                self.peak = self.peak.max(peak);
                loud |= !is_silent(level(sum, samples.len() as u64));
            }
            let count = part.len() as u64;
            if loud {
                let first = self.loud.map_or(self.count, |(first, _)| first);
                self.loud = Some((first, self.count + count));
            }
            self.count += count;
        }
    }

    fn length(&self) -> Duration {
        self.lasting(self.count)
    }

    fn lasting(&self, samples: u64) -> Duration {
        Duration::from_nanos(samples * 1_000_000_000 / u64::from(self.rate.max(1)))
    }

    fn stats(&self, pid: Pid, media_time: Duration, length: Duration) -> SoundStats {
        let rms = self.energy.iter().map(|sum| level(*sum, self.count)).collect();
        let loud = self.loud.map(|(from, to)| (self.lasting(from), self.lasting(to)));
        SoundStats { pid, media_time, length, rms, peak: dbfs(self.peak), loud }
    }
}

/// Sum of squares and largest magnitude. Eight lanes, since floats are not reordered by the compiler of its own accord.
fn measure(samples: &[f32]) -> (f64, f32) {
    let (mut sums, mut peaks) = ([0f32; 8], [0f32; 8]);
    let chunks = samples.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..8 {
            sums[lane] += chunk[lane] * chunk[lane];
            peaks[lane] = peaks[lane].max(chunk[lane].abs());
        }
    }
    for (lane, sample) in rest.iter().enumerate() {
        sums[lane] += sample * sample;
        peaks[lane] = peaks[lane].max(sample.abs());
    }
    let peak = peaks.into_iter().fold(0.0, f32::max);
    (sums.into_iter().map(f64::from).sum(), peak)
}

/// Root mean square in dBFS.
fn level(sum: f64, count: u64) -> f32 {
    dbfs((sum / count.max(1) as f64).sqrt() as f32)
}

fn dbfs(amplitude: f32) -> f32 {
    (20.0 * amplitude.log10()).max(FLOOR_DBFS)
}
