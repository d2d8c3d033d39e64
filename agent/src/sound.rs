//! Judges the sound of one elementary stream: silence. Whether it is silent is asked of a tenth of a second at a time, so that
//! a click does not end it; where in such a run the sound ended or came back is known to some milliseconds.

use std::{collections::VecDeque, time::Duration};

use tallylight_model::FaultKind;

use crate::{decode::SoundStats, picture::Condition};

/// Silent: no channel's RMS reaches this. Operators set -40 to -90 dBFS, most of them this.
const SILENCE_DBFS: f32 = -60.0;
/// Runs further apart than this do not continue one another: sound is missing, which is another fault.
const GAP: Duration = Duration::from_millis(500);
/// Conditions not yet polled.
const MAX_PENDING: usize = 64;

/// Judges one elementary stream. Feed it every [`SoundStats`] in order; poll it after each.
#[derive(Default)]
pub struct SoundDetector {
    /// Onset and end so far of the silence that lasts.
    silence: Option<(Duration, Duration)>,
    /// Where sound was last heard before it fell silent, and where the run ends in which that was.
    heard: Option<(Duration, Duration)>,
    pending: VecDeque<Condition>,
}

impl SoundDetector {
    /// Starts with nothing heard.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next run of sound.
    pub fn stats(&mut self, stats: &SoundStats) {
        let (start, end) = (stats.media_time, stats.media_time + stats.length);
        if let Some((_, until)) = self.silence
            && start.abs_diff(until) > GAP
        {
            self.reset();
        }
        let loudest = stats.loudest();
        let silent = !stats.channels.is_empty() && is_silent(loudest);
        let heard = self.heard.take().filter(|(_, end)| start.abs_diff(*end) <= GAP);
        match (self.silence, silent) {
            (open, true) => {
                let onset = heard.map_or(start, |(heard, _)| heard);
                let since = open.map_or(onset, |(since, _)| since);
                self.silence = Some((since, end));
                let evidence =
                    format!("RMS {loudest:.1} dBFS in the loudest channel (limit {SILENCE_DBFS})");
                self.tell(since, end, true, evidence);
            }
            (Some((since, _)), false) => {
                self.silence = None;
                let start = start + stats.loud().map_or(Duration::ZERO, |(from, _)| from);
                let evidence =
                    format!("RMS {loudest:.1} dBFS in the loudest channel (limit {SILENCE_DBFS})");
                self.tell(since, start, false, evidence);
            }
            (None, false) => {}
        }
        if !silent {
            let quiet_from = stats.loud().map_or(stats.length, |(_, to)| to);
            self.heard = Some((stats.media_time + quiet_from, end));
        }
    }

    /// Forgets the past, as at a discontinuity: silence that lasted ends where it was last heard.
    pub fn reset(&mut self) {
        if let Some((since, until)) = self.silence.take() {
            self.tell(since, until, false, "no more sound to judge".into());
        }
    }

    /// Takes the next condition that began, went on or ended.
    pub fn poll(&mut self) -> Option<Condition> {
        self.pending.pop_front()
    }

    fn tell(&mut self, since: Duration, until: Duration, lasts: bool, evidence: String) {
        if self.pending.len() >= MAX_PENDING {
            self.pending.pop_front();
        }
        let kind = FaultKind::Silence;
        self.pending.push_back(Condition { kind, since, until, lasts, evidence });
    }
}

/// Whether a level in dBFS is silence.
pub(crate) fn is_silent(level: f32) -> bool {
    level < SILENCE_DBFS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{ChannelPlace, ChannelStats};
    use tallylight_model::Pid;

    /// 100 ms of sound whose channels have these levels.
    fn run(media_time: Duration, rms: &[f32], loud: Option<(Duration, Duration)>) -> SoundStats {
        let place = ChannelPlace::Other;
        let channel = |&rms| ChannelStats { place, rms, peak: rms, tone: 0.0, clips: 0, loud };
        let (pid, length) = (Pid::from_bits(1), Duration::from_millis(100));
        let channels = rms.iter().map(channel).collect();
        let (tenths, true_peak) = (Vec::new(), -200.0);
        SoundStats { pid, media_time, length, channels, pair: None, tenths, true_peak }
    }

    /// Hears runs of 100 ms from a start in tenths of a second; says when silence began, and ended or lasted to.
    fn hear(runs: &[(u32, &[f32])]) -> Vec<(u32, u32, bool)> {
        let mut detector = SoundDetector::new();
        let mut conditions = Vec::new();
        for (tenths, rms) in runs {
            let length = Duration::from_millis(100);
            let media_time = length * *tenths;
            detector.stats(&run(media_time, rms, None));
            while let Some(c) = detector.poll() {
                let tenths = |time: Duration| (time.as_millis() / 100) as u32;
                conditions.push((tenths(c.since), tenths(c.until), c.lasts));
            }
        }
        conditions
    }

    #[test]
    fn silence_begins_and_ends_within_a_run() {
        let mut detector = SoundDetector::new();
        let ms = Duration::from_millis;
        for (at, level, loud) in [
            (0, -20.0, Some((ms(0), ms(40)))),
            (100, -90.0, None),
            (200, -61.0, Some((ms(10), ms(15)))),
            (300, -20.0, Some((ms(70), ms(100)))),
        ] {
            detector.stats(&run(ms(at), &[level], loud));
        }
        let last = std::iter::from_fn(|| detector.poll()).last().unwrap();
        assert_eq!((last.since, last.until, last.lasts), (ms(40), ms(370), false));
    }

    #[test]
    fn silence_is_all_channels_under_the_limit() {
        let quiet: &[f32] = &[-59.9, -90.0];
        let silent: &[f32] = &[-60.1, -90.0];
        assert_eq!(hear(&[(0, quiet), (1, quiet)]), []);
        assert_eq!(
            hear(&[(0, quiet), (1, silent), (2, silent), (3, quiet)]),
            [(1, 2, true), (1, 3, true), (1, 3, false)]
        );
        assert_eq!(hear(&[(0, &[])]), [], "no channel is no silence");
    }

    #[test]
    fn silence_is_not_said_of_sound_that_is_missing() {
        let silent: &[f32] = &[-200.0];
        assert_eq!(hear(&[(0, silent), (9, silent)]), [(0, 1, true), (0, 1, false), (9, 10, true)]);
    }
}
