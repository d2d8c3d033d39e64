//! The picture's format against what the lineup says of the stream.

use std::{collections::VecDeque, time::Duration};

use tallylight_model::{Aspect, FaultKind, PictureFormat, Scan};

use super::{Condition, Open, Phase, PictureUnit, tell};
use crate::decode::PictureStats;

/// So many decoded pictures in a row have to differ: a film in an interlaced stream is coded as whole frames for a while.
const PICTURES: u32 = 3;

/// Watches one stream's format.
#[derive(Default)]
pub(super) struct FormatWatch {
    expected: PictureFormat,
    seen: PictureFormat,
    /// When the last key picture is presented, and how many pictures have come since.
    group: Option<(Duration, u32)>,
    differing: u32,
    since: Duration,
    open: Option<Open>,
}

impl FormatWatch {
    /// Expects this format.
    pub(super) fn new(expected: PictureFormat) -> Self {
        Self { expected, ..Self::default() }
    }

    /// Takes the next picture as it was coded.
    pub(super) fn unit(&mut self, unit: &PictureUnit) {
        self.seen.codec = Some(unit.codec);
        if unit.key
            && let Some((start, pictures)) = self.group.replace((unit.media_time, 0))
        {
            let span = unit.media_time.saturating_sub(start).as_nanos();
            // Frames per 1,000 seconds.
            let rate = (u128::from(pictures) * 1_000_000_000_000 + span / 2).checked_div(span);
            self.seen.frame_rate_milli = rate.and_then(|rate| u32::try_from(rate).ok());
        }
        if let Some((_, pictures)) = &mut self.group {
            *pictures = pictures.saturating_add(1);
        }
    }

    /// Takes a decoded picture.
    pub(super) fn stats(&mut self, stats: &PictureStats, pending: &mut VecDeque<Condition>) {
        let at = stats.media_time;
        let (across, down) = stats.sample_aspect;
        self.seen = PictureFormat {
            profile: stats.profile,
            width: Some(stats.width),
            height: Some(stats.height),
            scan: Some(if stats.interlaced { Scan::Interlaced } else { Scan::Progressive }),
            aspect: Aspect::new(
                stats.width.saturating_mul(across),
                stats.height.saturating_mul(down),
            ),
            ..self.seen
        };
        let Some(evidence) = self.expected.difference(&self.seen) else {
            return self.close(Some(at), pending);
        };
        if self.differing == 0 {
            self.since = at;
        }
        self.differing = self.differing.saturating_add(1);
        if let Some(open) = &mut self.open {
            (open.until, open.evidence) = (open.until.max(at), evidence);
            tell(pending, open, Phase::Lasts);
        } else if self.differing >= PICTURES {
            let (kind, since) = (FaultKind::FormatChange, self.since);
            let mut open = Open { kind, since, until: at, told: at, evidence };
            tell(pending, &mut open, Phase::Lasts);
            self.open = Some(open);
        }
    }

    /// Ends what was told, and forgets what was seen.
    pub(super) fn reset(&mut self, pending: &mut VecDeque<Condition>) {
        self.close(None, pending);
        *self = Self::new(self.expected);
    }

    fn close(&mut self, seen: Option<Duration>, pending: &mut VecDeque<Condition>) {
        self.differing = 0;
        if let Some(mut open) = self.open.take() {
            open.until = open.until.max(seen.unwrap_or_default());
            tell(pending, &mut open, Phase::Ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::tests::{LIVE, key};
    use tallylight_model::Codec;

    /// Watches groups of 2 s with so many pictures each, and returns what was told last: until when, whether it lasts, and what.
    fn watch(
        expected: PictureFormat,
        groups: &[u32],
        change: fn(u32, &mut PictureStats),
    ) -> String {
        let (mut watch, mut pending) = (FormatWatch::new(expected), VecDeque::new());
        for (group, pictures) in (0..).zip(groups) {
            for index in 0..*pictures {
                let start = Duration::from_secs(2 * group);
                let media_time = start + Duration::from_secs(2) * index / *pictures;
                let (key, codec) = (index == 0, Codec::H264);
                watch.unit(&PictureUnit { media_time, size: 1, key, picture: None, codec });
            }
            let mut stats = key(2 * group, LIVE, None);
            change(group as u32, &mut stats);
            watch.stats(&stats, &mut pending);
        }
        let last = pending.back();
        last.map(|c| format!("{:?} {:?} {} {}", c.since, c.until, c.lasts, c.evidence))
            .unwrap_or_default()
    }

    #[test]
    fn a_format_that_stays_another_is_told_from_its_first_picture() {
        let expected = PictureFormat { width: Some(640), ..PictureFormat::default() };
        assert_eq!(watch(expected, &[50; 8], |_, _| {}), "");
        let wider = |group, stats: &mut PictureStats| {
            if (2..6).contains(&group) {
                stats.width = 720;
            }
        };
        assert_eq!(watch(expected, &[50; 6], wider), "4s 10s true width 720 instead of 640");
        assert_eq!(watch(expected, &[50; 8], wider), "4s 12s false width 720 instead of 640");
        let briefly = |group, stats: &mut PictureStats| stats.interlaced = group % 3 > 0;
        let progressive = PictureFormat { scan: Some(Scan::Progressive), ..expected };
        assert_eq!(watch(progressive, &[50; 12], briefly), "");
    }

    #[test]
    fn the_frame_rate_is_counted_from_key_picture_to_key_picture() {
        let rate =
            |milli| PictureFormat { frame_rate_milli: Some(milli), ..PictureFormat::default() };
        assert_eq!(watch(rate(25_000), &[50; 8], |_, _| {}), "");
        let told = watch(rate(30_000), &[50; 8], |_, _| {});
        assert!(told.ends_with("frame rate 25.000 instead of 30.000"), "{told}");
    }

    #[test]
    fn the_shape_follows_from_that_of_the_samples() {
        let wide = PictureFormat { aspect: Aspect::parse("16:9"), ..PictureFormat::default() };
        let anamorphic = |_, stats: &mut PictureStats| {
            (stats.width, stats.height, stats.sample_aspect) = (720, 576, (64, 45));
        };
        assert_eq!(watch(wide, &[50; 8], anamorphic), "");
        let narrow = |_, stats: &mut PictureStats| {
            (stats.width, stats.height, stats.sample_aspect) = (720, 576, (16, 15));
        };
        let told = watch(wide, &[50; 8], narrow);
        assert!(told.ends_with("aspect 11520:8640 instead of 16:9"), "{told}");
    }
}
