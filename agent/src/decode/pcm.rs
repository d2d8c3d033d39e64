//! Sound statistics.

use std::time::Duration;

use tallylight_av::Samples;
use tallylight_model::Pid;

use super::SoundStats;

/// Sound is judged in runs of this length, give or take a frame of the codec (at most 72 ms).
const RUN: Duration = Duration::from_millis(100);
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
        let Some(start) = self.start.or(at) else { return true };
        self.start = Some(start);
        for (index, energy) in self.energy.iter_mut().enumerate() {
            let (sum, peak) = measure(samples.channel(index));
            *energy += sum;
            self.peak = self.peak.max(peak);
        }
        self.count += samples.channel(0).len() as u64;
        if self.energy.iter().any(|energy| !energy.is_finite()) {
            self.reset();
            return false;
        }
        let length = self.length();
        if length >= RUN {
            each(self.stats(pid, start, length));
            self.start = Some(start + length);
            (self.count, self.peak) = (0, 0.0);
            self.energy.fill(0.0);
        }
        true
    }

    fn length(&self) -> Duration {
        Duration::from_nanos(self.count * 1_000_000_000 / u64::from(self.rate.max(1)))
    }

    fn stats(&self, pid: Pid, media_time: Duration, length: Duration) -> SoundStats {
        let count = self.count as f64;
        let rms = self.energy.iter().map(|sum| dbfs((sum / count).sqrt() as f32)).collect();
        SoundStats { pid, media_time, length, rms, peak: dbfs(self.peak) }
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

fn dbfs(amplitude: f32) -> f32 {
    (20.0 * amplitude.log10()).max(FLOOR_DBFS)
}
