//! Loudness by ITU-R BS.1770 as decoded sound comes in.

use ebur128::{Channel, EbuR128, Mode};
use tallylight_av::{ChannelPlace, Samples};

use super::pcm::{MAX_CHANNELS, dbfs};

/// Samples that are under the largest true peak by this much are not interpolated. Between samples a peak is 3 dB above
/// them at a quarter of the rate, and seldom more.
const NEAR_THE_TOP: f32 = 0.6;
/// However large that was, samples this close to -1 dBTP are interpolated.
const HIGHEST_TOP: f32 = 0.89;
/// Samples that interpolation looks back on, and some more.
const TAIL: usize = 32;

/// Weighs the sound of one elementary stream.
pub(super) struct LoudnessMeter {
    meter: EbuR128,
    /// Interpolates where it may matter: that costs more than weighing does.
    peaks: EbuR128,
    /// The largest true peak.
    top: f32,
    /// The last samples of each channel: interpolation begins with them.
    tails: Vec<[f32; TAIL]>,
    /// Samples in 100 ms.
    step: usize,
    /// Those of the present 100 ms that were taken.
    taken: usize,
}

/// What was weighed of a run.
#[derive(Default)]
pub(super) struct Weighed {
    /// The loudness of each 100 ms that ended in it, in LUFS.
    pub(super) tenths: Vec<f32>,
    /// The largest true peak of all channels as a share of full scale, or the largest sample where that is well under
    /// the largest true peak so far.
    pub(super) true_peak: f32,
}

impl LoudnessMeter {
    /// `None` for a rate that no meter is made for.
    pub(super) fn new(rate: u32, places: &[ChannelPlace]) -> Option<Self> {
        let channels = u32::try_from(places.len()).ok()?;
        let mut meter = EbuR128::new(channels, rate, Mode::M).ok()?;
        let peaks = EbuR128::new(channels, rate, Mode::TRUE_PEAK).ok()?;
        let map: Vec<Channel> = places.iter().map(|place| weight(*place)).collect();
        meter.set_channel_map(&map).ok()?;
        // The meter takes a tenth of a second as this many, too.
        let step = (usize::try_from(rate).ok()? + 5) / 10;
        let tails = vec![[0.0; TAIL]; places.len()];
        Some(Self { meter, peaks, top: 0.0, tails, step, taken: 0 })
    }

    /// Takes a run of decoded samples, all of them numbers, with the largest magnitude among them.
    pub(super) fn feed(&mut self, samples: &Samples<'_>, peak: f32, weighed: &mut Weighed) {
        let true_peak = self.interpolate(samples, peak).unwrap_or(peak);
        self.top = self.top.max(true_peak);
        weighed.true_peak = weighed.true_peak.max(true_peak);
        self.weigh(samples, weighed);
    }

    /// The largest true peak of a run, if it may be one of the largest of all.
    fn interpolate(&mut self, samples: &Samples<'_>, peak: f32) -> Option<f32> {
        let is_near = peak >= self.top.min(HIGHEST_TOP) * NEAR_THE_TOP;
        let channels = self.tails.len().min(MAX_CHANNELS);
        if is_near {
            let mut tails: [&[f32]; MAX_CHANNELS] = [&[]; MAX_CHANNELS];
            tails.iter_mut().zip(&self.tails).for_each(|(plane, tail)| *plane = tail);
            self.peaks.add_frames_planar_f32(&tails[..channels]).ok()?;
        }
        let mut planes: [&[f32]; MAX_CHANNELS] = [&[]; MAX_CHANNELS];
        for (index, (plane, tail)) in planes.iter_mut().zip(&mut self.tails).enumerate() {
            *plane = samples.channel(index);
            *tail = plane.last_chunk().copied().unwrap_or([0.0; TAIL]);
        }
        if !is_near {
            return None;
        }
        self.peaks.add_frames_planar_f32(&planes[..channels]).ok()?;
        let peaks =
            (0..self.peaks.channels()).filter_map(|index| self.peaks.prev_true_peak(index).ok());
        Some(peaks.fold(peak, |most, peak| most.max(peak as f32)))
    }

    fn weigh(&mut self, samples: &Samples<'_>, weighed: &mut Weighed) {
        let channels = self.tails.len().min(MAX_CHANNELS);
        let length = samples.channel(0).len();
        let mut from = 0;
        while from < length {
            let to = length.min(from + self.step - self.taken);
            let mut planes: [&[f32]; MAX_CHANNELS] = [&[]; MAX_CHANNELS];
            for (index, plane) in planes[..channels].iter_mut().enumerate() {
                *plane = samples.channel(index).get(from..to).unwrap_or_default();
            }
            if self.meter.add_frames_planar_f32(&planes[..channels]).is_err() {
                return;
            }
            self.taken += to - from;
            if self.taken == self.step {
                self.taken = 0;
                let loudness = self.meter.loudness_window(100).unwrap_or(f64::NEG_INFINITY);
                weighed.tenths.push((loudness as f32).max(dbfs(0.0)));
            }
            from = to;
        }
    }
}

/// How much a channel counts (BS.1770, table 3): surrounds by 1.5 dB more, low-frequency effects not at all.
const fn weight(place: ChannelPlace) -> Channel {
    match place {
        ChannelPlace::Left => Channel::Left,
        ChannelPlace::Right => Channel::Right,
        ChannelPlace::Centre | ChannelPlace::Other => Channel::Center,
        ChannelPlace::Lfe => Channel::Unused,
        ChannelPlace::SurroundLeft => Channel::LeftSurround,
        ChannelPlace::SurroundRight => Channel::RightSurround,
        ChannelPlace::BackLeft => Channel::Mp135,
        ChannelPlace::BackRight => Channel::Mm135,
        ChannelPlace::BackCentre => Channel::Mp180,
    }
}
