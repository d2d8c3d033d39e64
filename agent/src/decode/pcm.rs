//! Sound statistics.

use std::{f64::consts::TAU, time::Duration};

use tallylight_av::{ChannelPlace, Samples};
use tallylight_model::Pid;

use super::{
    ChannelStats, PairStats, SoundStats,
    loudness::{LoudnessMeter, Weighed},
};
use crate::sound::is_silent;

/// Sound is judged in runs of this length, give or take a frame of the codec (at most 72 ms).
const RUN: Duration = Duration::from_millis(100);
/// A run is searched for sound in parts of so many samples: 5 ms, or half a period of 94 Hz.
const PART: usize = 256;
/// A time stamp this far from where the last samples ended starts a new run: sound is missing or was cut.
const SLACK: Duration = Duration::from_millis(50);
/// Channels that are measured; no codec here has more.
pub(super) const MAX_CHANNELS: usize = 16;
/// What silence is called: 0 has no logarithm.
const FLOOR_DBFS: f32 = -200.0;
/// Full scale, give or take what a codec makes of it.
const FULL_SCALE: f32 = 0.999;
/// So many samples at full scale in a row are a peak that was cut off ...
const CUT_OFF: u32 = 3;
/// ... and so is one that it jumps to by this much from one sample to the next.
const JUMP: f32 = 1.0;
/// The tone of line-up signals.
const TONE_HZ: f64 = 1_000.0;
/// Samples that are searched for the tone at a time: a frame of most codecs. Its width then is 20 Hz to either side.
const TONE_SPAN: usize = 2_048;

/// Gathers samples into runs.
#[derive(Default)]
pub(super) struct Meter {
    start: Option<Duration>,
    rate: u32,
    count: u64,
    channels: Vec<Channel>,
    /// The front pair, if there is one.
    pair: Option<(usize, usize)>,
    /// Sum of the products of its samples.
    cross: f64,
    tone: Vec<(f32, f32)>,
    loudness: Option<LoudnessMeter>,
    weighed: Weighed,
}

struct Channel {
    place: ChannelPlace,
    /// Sum of squares.
    energy: f64,
    peak: f32,
    /// That part of the sum of squares which is the tone.
    tone: f64,
    clips: u32,
    /// Samples at full scale up to the last one.
    full: u32,
    last: f32,
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
        let places = (0..channels).map(|index| samples.place(index));
        if apart || rate != self.rate || !self.channels.iter().map(|c| c.place).eq(places) {
            let start = at.or(end);
            self.begin(samples, channels);
            self.start = start;
        }
        // Each run begins where its stamp says; within one a stamp may be rounded.
        let begin = if self.count == 0 { at.or(self.start) } else { self.start.or(at) };
        let Some(start) = begin else { return true };
        self.start = Some(start);
        let peak = self.measure(samples);
        if self.channels.iter().any(|channel| !channel.energy.is_finite()) {
            self.reset();
            return false;
        }
        if let Some(loudness) = &mut self.loudness {
            loudness.feed(samples, peak, &mut self.weighed);
        }
        let length = self.length();
        if length >= RUN {
            each(self.stats(pid, start, length));
            self.start = Some(start + length);
            self.next_run();
        }
        true
    }

    /// Prepares for sound of this form.
    fn begin(&mut self, samples: &Samples<'_>, channels: usize) {
        let rate = samples.rate();
        let places: Vec<ChannelPlace> = (0..channels).map(|index| samples.place(index)).collect();
        let of = |place| places.iter().position(|it| *it == place);
        let tone = if rate == self.rate { std::mem::take(&mut self.tone) } else { tone(rate) };
        *self = Self {
            rate,
            pair: of(ChannelPlace::Left).zip(of(ChannelPlace::Right)),
            tone,
            loudness: LoudnessMeter::new(rate, &places),
            channels: places.into_iter().map(Channel::new).collect(),
            ..Self::default()
        };
    }

    fn next_run(&mut self) {
        (self.count, self.cross, self.weighed) = (0, 0.0, Weighed::default());
        for channel in &mut self.channels {
            let Channel { place, full, last, .. } = *channel;
            *channel = Channel { full, last, ..Channel::new(place) };
        }
    }

    /// Adds samples up, part by part. Returns the largest magnitude among them.
    fn measure(&mut self, samples: &Samples<'_>) -> f32 {
        let length = samples.channel(0).len();
        let mut most = 0f32;
        for from in (0..length).step_by(PART) {
            let part = from..(from + PART).min(length);
            for (index, channel) in self.channels.iter_mut().enumerate() {
                let samples = samples.channel(index).get(part.clone()).unwrap_or_default();
                most = most.max(channel.add(samples, self.count));
            }
            if let Some((left, right)) = self.pair {
                let of = |index| samples.channel(index).get(part.clone()).unwrap_or_default();
                self.cross += f64::from(product(of(left), of(right)));
            }
            self.count += part.len() as u64;
        }
        for (index, channel) in self.channels.iter_mut().enumerate() {
            for part in samples.channel(index).chunks(TONE_SPAN) {
                channel.tone += tone_in(part, &self.tone);
            }
        }
        most
    }

    fn length(&self) -> Duration {
        self.lasting(self.count)
    }

    fn lasting(&self, samples: u64) -> Duration {
        Duration::from_nanos(samples * 1_000_000_000 / u64::from(self.rate.max(1)))
    }

    fn stats(&mut self, pid: Pid, media_time: Duration, length: Duration) -> SoundStats {
        let channels = self.channels.iter().map(|channel| ChannelStats {
            place: channel.place,
            rms: level(channel.energy, self.count),
            peak: dbfs(channel.peak),
            tone: if channel.energy > 0.0 { (channel.tone / channel.energy) as f32 } else { 0.0 },
            clips: channel.clips,
            loud: channel.loud.map(|(from, to)| (self.lasting(from), self.lasting(to))),
        });
        let channels = channels.collect();
        let pair = self.pair.and_then(|(left, right)| {
            let (left, right) = (self.channels[left].energy, self.channels[right].energy);
            let correlation = self.cross / (left * right).sqrt();
            let (mid, side) = (left + right + 2.0 * self.cross, left + right - 2.0 * self.cross);
            let width = 10.0 * (side.max(0.0) / mid.max(0.0)).log10();
            let width = width.clamp(f64::from(FLOOR_DBFS), -f64::from(FLOOR_DBFS)) as f32;
            let (correlation, is_known) = (correlation as f32, correlation.is_finite());
            is_known.then_some(PairStats { correlation, width })
        });
        let Weighed { tenths, true_peak } = std::mem::take(&mut self.weighed);
        let true_peak = dbfs(true_peak);
        SoundStats { pid, media_time, length, channels, pair, tenths, true_peak }
    }
}

impl Channel {
    const fn new(place: ChannelPlace) -> Self {
        let (energy, peak, tone, clips, full, last) = (0.0, 0.0, 0.0, 0, 0, 0.0);
        Self { place, energy, peak, tone, clips, full, last, loud: None }
    }

    /// Adds a part that begins after `count` samples of the run. Returns the largest magnitude in it.
    fn add(&mut self, samples: &[f32], count: u64) -> f32 {
        let (sum, peak) = measure(samples);
        self.energy += sum;
        self.peak = self.peak.max(peak);
        if !is_silent(level(sum, samples.len() as u64)) {
            let first = self.loud.map_or(count, |(first, _)| first);
            self.loud = Some((first, count + samples.len() as u64));
        }
        if peak >= FULL_SCALE {
            self.count_clips(samples);
        } else {
            self.full = 0;
        }
        self.last = samples.last().copied().unwrap_or(self.last);
        peak
    }

    fn count_clips(&mut self, samples: &[f32]) {
        let mut last = self.last;
        for &sample in samples {
            if sample.abs() >= FULL_SCALE {
                self.full += 1;
                let jumped = self.full == 1 && (sample - last).abs() >= JUMP;
                self.clips += u32::from(jumped || self.full == CUT_OFF);
            } else {
                self.full = 0;
            }
            last = sample;
        }
    }
}

/// Lanes of sums: floats are not reordered by the compiler of its own accord.
const LANES: usize = 8;

/// Sum of squares and largest magnitude.
fn measure(samples: &[f32]) -> (f64, f32) {
    let (mut sums, mut peaks) = ([0f32; LANES], [0f32; LANES]);
    let chunks = samples.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..LANES {
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

/// Sum of products.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.into_iter().sum()
}

/// A period after the other of the tone as cosine and sine.
fn tone(rate: u32) -> Vec<(f32, f32)> {
    let turn = TAU * TONE_HZ / f64::from(rate.max(1));
    (0..TONE_SPAN).map(|n| (turn * n as f64).sin_cos()).map(|(s, c)| (c as f32, s as f32)).collect()
}

/// How much of the sum of squares of some samples is the tone.
fn tone_in(samples: &[f32], tone: &[(f32, f32)]) -> f64 {
    let (mut real, mut imaginary) = ([0f32; LANES], [0f32; LANES]);
    for (samples, tone) in samples.chunks(LANES).zip(tone.chunks(LANES)) {
        for (lane, (sample, (cosine, sine))) in samples.iter().zip(tone).enumerate() {
            real[lane] += sample * cosine;
            imaginary[lane] += sample * sine;
        }
    }
    let sum = |lanes: [f32; LANES]| f64::from(lanes.into_iter().sum::<f32>());
    let (real, imaginary) = (sum(real), sum(imaginary));
    2.0 * (real * real + imaginary * imaginary) / samples.len().max(1) as f64
}

/// Root mean square in dBFS.
fn level(sum: f64, count: u64) -> f32 {
    dbfs((sum / count.max(1) as f64).sqrt() as f32)
}

pub(super) fn dbfs(amplitude: f32) -> f32 {
    (20.0 * amplitude.log10()).max(FLOOR_DBFS)
}
