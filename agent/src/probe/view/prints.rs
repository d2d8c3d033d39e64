//! A view's fingerprints, gathered second by second until their slices close.

use std::{collections::BTreeMap, time::Duration};

use tallylight_model::{CodedFrame, Fingerprint, MonoTime};

use crate::decode::{ChannelStats, SoundStats};

/// Seconds gathered at a time: more than a segment has.
const MAX_SECONDS: usize = 64;
/// Tenths of a second that one run can fall in.
const MAX_TENTHS: usize = 16;
/// One coded frame in so many is kept, chosen by its bytes, so that everybody who sees the same ones keeps the same: one or two
/// a second.
const ONE_OF: u32 = 32;

/// The seconds whose slices have not closed.
#[derive(Default)]
pub(super) struct Prints {
    seconds: BTreeMap<u64, Second>,
    last_frame: Option<u32>,
}

#[derive(Default)]
struct Second {
    tenths: [Tenth; Fingerprint::TENTHS],
    coded: Vec<CodedFrame>,
}

/// A tenth of a second of sound, as far as it was heard.
#[derive(Clone, Copy, Default)]
struct Tenth {
    /// Mean squares times how long each was heard.
    energy: f64,
    heard: Duration,
}

impl Tenth {
    fn level(&self) -> u8 {
        if self.heard < Fingerprint::TENTH / 2 {
            return 0;
        }
        Fingerprint::level((10.0 * (self.energy / self.heard.as_secs_f64()).log10()) as f32)
    }
}

impl Prints {
    /// Takes a run of decoded sound that was produced from `at` on. A codec's frames fit no tenth of a second, so each has the
    /// part of the run that falls in it: two agents who hear the same through different codecs then say nearly the same.
    pub(super) fn sound(&mut self, at: MonoTime, stats: &SoundStats) {
        let tenth = Fingerprint::TENTH.as_nanos() as u64;
        let (begin, end) = (at, at + stats.length);
        let mean = mean_square(&stats.channels);
        let first = begin.as_nanos() / tenth;
        for index in (first..).take(MAX_TENTHS) {
            let from = MonoTime::from_nanos(index * tenth);
            if from >= end {
                break;
            }
            let heard = end.min(from + Fingerprint::TENTH).since(begin.max(from));
            let tenths = Fingerprint::TENTHS as u64;
            if let Some(second) = self.second(index / tenths) {
                let tenth = &mut second.tenths[(index % tenths) as usize];
                tenth.energy += mean * heard.as_secs_f64();
                tenth.heard += heard;
            }
        }
    }

    /// Takes a coded frame of sound that was produced `at` a moment.
    pub(super) fn frame(&mut self, at: MonoTime, data: &[u8]) {
        let hash = hash(data);
        // Digital silence is the same frame again and again, on every channel.
        if self.last_frame.replace(hash) == Some(hash) || !hash.is_multiple_of(ONE_OF) {
            return;
        }
        let nanos = at.as_nanos();
        let after = Duration::from_nanos(nanos % 1_000_000_000);
        if let Some(second) = self.second(nanos / 1_000_000_000)
            && second.coded.len() < Fingerprint::FRAMES
        {
            second.coded.push(CodedFrame { hash, after });
        }
    }

    /// Gives away the fingerprint of a second, and lets go of those before it.
    pub(super) fn take(&mut self, second: u64) -> Fingerprint {
        let rest = self.seconds.split_off(&(second + 1));
        let mut past = std::mem::replace(&mut self.seconds, rest);
        let Second { tenths, coded } = past.remove(&second).unwrap_or_default();
        Fingerprint { sound: tenths.iter().map(Tenth::level).collect(), coded }
    }

    fn second(&mut self, second: u64) -> Option<&mut Second> {
        if self.seconds.len() >= MAX_SECONDS && !self.seconds.contains_key(&second) {
            return None;
        }
        Some(self.seconds.entry(second).or_default())
    }
}

/// The mean square of all channels together, full scale being 1.
fn mean_square(channels: &[ChannelStats]) -> f64 {
    let square = |channel: &ChannelStats| 10_f64.powf(f64::from(channel.rms) / 10.0);
    channels.iter().map(square).sum::<f64>() / channels.len().max(1) as f64
}

/// FNV-1a.
fn hash(data: &[u8]) -> u32 {
    data.iter()
        .fold(0x811c_9dc5, |hash: u32, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::ChannelPlace;
    use tallylight_model::Pid;

    fn at(ms: u64) -> MonoTime {
        MonoTime::ZERO + Duration::from_millis(ms)
    }

    fn run(ms: u64, rms: f32) -> SoundStats {
        let (pid, length) = (Pid::from_bits(1), Duration::from_millis(ms));
        let (place, tone, clips, loud) = (ChannelPlace::Left, 0.0, 0, None);
        let channels = vec![ChannelStats { place, rms, peak: rms, tone, clips, loud }; 2];
        let (media_time, pair, tenths, true_peak) = (Duration::ZERO, None, Vec::new(), rms);
        SoundStats { pid, media_time, length, channels, pair, tenths, true_peak }
    }

    #[test]
    fn a_tenth_of_a_second_has_its_part_of_the_runs_that_fall_in_it() {
        let mut prints = Prints::default();
        prints.sound(at(10_840), &run(110, -20.0));
        prints.sound(at(10_950), &run(110, -40.0));
        prints.sound(at(11_060), &run(80, -40.0));
        // Half of -20 dBFS and half of next to nothing is -23.
        assert_eq!(prints.take(10).sound, [0, 0, 0, 0, 0, 0, 0, 0, 160, 154]);
        assert_eq!(prints.take(11).sound, [120, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(prints.take(11).is_empty());
    }

    #[test]
    fn the_same_frames_are_kept_wherever_they_are_seen_but_not_repeats() {
        let frames: Vec<[u8; 4]> = (0..2_000_u32).map(|n| n.to_be_bytes()).collect();
        let mut prints = Prints::default();
        for (n, frame) in (0..).zip(&frames) {
            prints.frame(at(20 * n), frame);
        }
        let kept: Vec<_> = (0..40).flat_map(|second| prints.take(second).coded).collect();
        assert!((30..100).contains(&kept.len()), "{} of 2000", kept.len());
        let known = frames.iter().find(|frame| hash(&frame[..]) == kept[0].hash).unwrap();
        for n in 0..50 {
            prints.frame(at(20 * n), known);
        }
        assert_eq!(prints.take(0).coded.len(), 1);
    }

    #[test]
    fn seconds_that_nobody_takes_are_bounded() {
        let mut prints = Prints::default();
        for second in 0..1_000 {
            prints.sound(at(second * 1_000), &run(100, -20.0));
        }
        assert_eq!(prints.seconds.len(), MAX_SECONDS);
    }
}
