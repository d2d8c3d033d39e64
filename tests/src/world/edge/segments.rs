//! Cuts one channel into HLS segments and writes its playlist (RFC 8216).
//!
//! A segment ends before the first key picture at or after its target duration and begins with the tables. A jump of the
//! clock, as when the panel changes the source, ends the segment there; what follows up to the next key picture is left
//! out, and the next segment is announced as a discontinuity. So is what comes after a gap in the feed. Without pictures, segments are cut by the time that passes, so
//! that the sound goes on. Nothing comes in, nothing is published: the playlist stops growing, as a real packager's does.

use std::{collections::VecDeque, fmt::Write as _, time::Duration};

use bytes::Bytes;
use tallylight_model::Pts;

use super::feed::Mark;

/// Segments in the playlist.
pub(super) const WINDOW: usize = 6;
/// Segments that can still be fetched.
const KEPT: usize = 12;
/// A segment with pictures is cut without a key picture rather than playing longer than its target by so much: it still
/// rounds to the target.
const MAX_EXCESS_TICKS: u64 = 36_000;
/// Without a picture for so long, the video is taken for missing; without anything, the feed.
const MISSING: Duration = Duration::from_secs(1);
const MAX_BYTES: usize = 16 << 20;
/// Between two pictures their stamps pass as the time does, but for reordering and smoothing; more is a jump.
const MAX_DRIFT_MS: i64 = 1_000;

/// A finished segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Its media sequence number.
    pub(super) sequence: u64,
    /// How long it plays.
    pub(super) duration: Duration,
    /// When its first packet came in, milliseconds since 1970.
    pub(super) begun_unix_ms: u64,
    /// The clock jumped before it.
    pub(super) discontinuity: bool,
    /// Its bytes.
    pub(super) data: Bytes,
}

/// The segments of one channel.
#[derive(Debug)]
pub(super) struct Segments {
    target: Duration,
    finished: VecDeque<Segment>,
    next_sequence: u64,
    /// Discontinuities in segments that have left the playlist.
    discontinuity_sequence: u64,
    /// None until the first key picture.
    open: Option<Open>,
    /// Stamp of the last picture, and when it came in.
    last: Option<(Pts, u64)>,
    /// When the last packet came in.
    last_packet: Option<u64>,
    jumped: bool,
}

#[derive(Debug)]
struct Open {
    data: Vec<u8>,
    begun_unix_ms: u64,
    first_pts: Pts,
    /// It begins with a key picture.
    key: bool,
    discontinuity: bool,
}

impl Segments {
    /// Cuts segments of about `target`.
    #[must_use]
    pub(super) const fn new(target: Duration) -> Self {
        Self {
            target,
            finished: VecDeque::new(),
            next_sequence: 0,
            discontinuity_sequence: 0,
            open: None,
            last: None,
            last_packet: None,
            jumped: false,
        }
    }

    /// Adds a packet; `tables` is asked for when a segment begins with it.
    pub(super) fn packet(
        &mut self,
        packet: &[u8],
        mark: Mark,
        now_unix_ms: u64,
        tables: impl FnOnce() -> Vec<u8>,
    ) {
        self.gap(now_unix_ms);
        match mark {
            Mark::Key(pts) | Mark::Picture(pts) => self.picture(pts, now_unix_ms),
            Mark::Other => {}
        }
        if let Some((end, key)) = self.border(mark, now_unix_ms) {
            self.finish(end);
            if !self.jumped || key {
                let discontinuity = std::mem::take(&mut self.jumped);
                let (data, begun_unix_ms) = (tables(), now_unix_ms);
                self.open = Some(Open { data, begun_unix_ms, first_pts: end, key, discontinuity });
            }
        }
        if let Some(open) = &mut self.open {
            open.data.extend_from_slice(packet);
        }
    }

    /// Notes a packet; after a gap in the feed, ends the segment with what came before it.
    fn gap(&mut self, now_unix_ms: u64) {
        let before = self.last_packet.replace(now_unix_ms).unwrap_or(now_unix_ms);
        if now_unix_ms.saturating_sub(before) > MISSING.as_millis() as u64 {
            if let Some(open) = &self.open {
                let passed = before.saturating_sub(open.begun_unix_ms) * 90;
                self.finish(Pts::from_ticks(open.first_pts.ticks() + passed));
            }
            self.jumped = true;
            self.last = None;
        }
    }

    /// Notes a picture; where the clock jumped with it, ends the segment with the picture before.
    fn picture(&mut self, pts: Pts, now_unix_ms: u64) {
        let before = self.last.replace((pts, now_unix_ms));
        let Some((last, at)) = before else { return };
        let passed = now_unix_ms.saturating_sub(at) as i64;
        if (pts.ticks_since(last) / 90 - passed).abs() > MAX_DRIFT_MS {
            self.jumped = true;
            self.finish(last);
        }
    }

    /// Whether a segment begins with a packet: the stamp that divides it from the one before, and whether it is that of a
    /// key picture.
    fn border(&self, mark: Mark, now_unix_ms: u64) -> Option<(Pts, bool)> {
        let target = self.target.as_millis() as u64 * 90;
        let Some(open) = &self.open else {
            return match mark {
                Mark::Key(pts) => Some((pts, true)),
                _ => None,
            };
        };
        if open.data.len() > MAX_BYTES {
            return Some((self.last.map_or(open.first_pts, |(pts, _)| pts), false));
        }
        let played = |pts: Pts| u64::try_from(pts.ticks_since(open.first_pts)).unwrap_or(0);
        match mark {
            // A hundredth of a second: stamps may be rounded.
            Mark::Key(pts) => (played(pts) + 900 >= target || !open.key).then_some((pts, true)),
            Mark::Picture(pts) => (played(pts) > target + MAX_EXCESS_TICKS).then_some((pts, false)),
            Mark::Other => {
                let since = |at: u64| now_unix_ms.saturating_sub(at);
                let missing =
                    self.last.is_none_or(|(_, at)| since(at) >= MISSING.as_millis() as u64);
                let passed = since(open.begun_unix_ms) * 90;
                let end = Pts::from_ticks(open.first_pts.ticks() + passed);
                (missing && passed >= target).then_some((end, false))
            }
        }
    }

    /// Publishes the open segment, which plays until `end`.
    fn finish(&mut self, end: Pts) {
        let Some(open) = self.open.take() else { return };
        self.finished.push_back(Segment {
            sequence: self.next_sequence,
            duration: end.since(open.first_pts).unwrap_or_default(),
            begun_unix_ms: open.begun_unix_ms,
            discontinuity: open.discontinuity,
            data: open.data.into(),
        });
        self.next_sequence += 1;
        if self.finished.len() > WINDOW {
            let left = &self.finished[self.finished.len() - WINDOW - 1];
            self.discontinuity_sequence += u64::from(left.discontinuity);
        }
        while self.finished.len() > KEPT {
            self.finished.pop_front();
        }
    }

    /// A segment by its number, while it is kept.
    #[must_use]
    pub(super) fn segment(&self, sequence: u64) -> Option<&Segment> {
        self.finished.iter().find(|segment| segment.sequence == sequence)
    }

    /// The playlist; `None` before the first segment.
    #[must_use]
    pub(super) fn playlist(&self) -> Option<String> {
        let skipped = self.finished.len().saturating_sub(WINDOW);
        let listed = self.finished.iter().skip(skipped);
        let first = listed.clone().next()?.sequence;
        let longest = listed.clone().map(|s| s.duration).max().unwrap_or_default().max(self.target);
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
            longest.as_secs_f64().round(),
            self.discontinuity_sequence
        );
        for segment in listed {
            if segment.discontinuity {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let begun = rfc3339(segment.begun_unix_ms);
            let (seconds, number) = (segment.duration.as_secs_f64(), segment.sequence);
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                "#EXT-X-PROGRAM-DATE-TIME:{begun}\n#EXTINF:{seconds:.3},\n{number}.ts\n"
            );
        }
        Some(out)
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC; the year 1970 for what no calendar holds.
fn rfc3339(unix_ms: u64) -> String {
    let millis = i64::try_from(unix_ms).unwrap_or_default();
    format!("{:.3}", jiff::Timestamp::from_millisecond(millis).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_secs(2);
    const PICTURE: u64 = 3_600;

    /// Feeds pictures of 40 ms from `ticks` on, a key picture every second but for those in `lost`; answers the time after
    /// the last.
    fn play(segments: &mut Segments, mut now: u64, ticks: u64, count: u64, lost: &[u64]) -> u64 {
        for n in 0..count {
            let pts = Pts::from_ticks(ticks + n * PICTURE);
            let key = n % 25 == 0 && !lost.contains(&n);
            let mark = if key { Mark::Key(pts) } else { Mark::Picture(pts) };
            segments.packet(&[0x47; 188], mark, now, || vec![1; 376]);
            now += 40;
        }
        now
    }

    fn list(segments: &Segments) -> String {
        segments.playlist().unwrap()
    }

    #[test]
    fn segments_are_cut_at_key_pictures_and_listed_in_a_window() {
        let mut segments = Segments::new(TARGET);
        assert_eq!(segments.playlist(), None);
        // The clock wraps around on the way.
        play(&mut segments, 1_700_000_000_000, (1 << 33) - 450_000, 25 * 17, &[]);
        let text = list(&segments);
        assert!(text.contains("#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:2\n"), "{text}");
        assert_eq!(text.matches("#EXTINF:2.000,").count(), WINDOW);
        assert!(text.contains("#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.000Z"), "{text}");
        assert!(segments.segment(1).is_some(), "a segment outlives the playlist that listed it");
        assert_eq!(segments.segment(2).unwrap().data.len(), 376 + 50 * 188);
    }

    #[test]
    fn a_jump_of_the_clock_is_announced_where_it_happened_and_counted_when_it_leaves() {
        for jump in [9_000_000, 90_000 * 50_000, (1 << 33) - 9_000_000] {
            let mut segments = Segments::new(TARGET);
            let now = play(&mut segments, 0, 0, 31, &[]);
            // The new source begins within a group: 15 pictures are left out.
            let begin = jump + 10 * PICTURE;
            let mut now = now;
            for n in 0..15 {
                let mark = Mark::Picture(Pts::from_ticks(begin + n * PICTURE));
                segments.packet(&[0x47; 188], mark, now, Vec::new);
                now += 40;
            }
            let now = play(&mut segments, now, begin + 15 * PICTURE, 51, &[]);
            let text = list(&segments);
            let (before, after) = text.split_once("#EXT-X-DISCONTINUITY\n").unwrap();
            assert!(before.contains("#EXTINF:1.200,\n0.ts") && after.contains("\n1.ts"), "{text}");
            assert_eq!(segments.segment(0).unwrap().data.len(), 376 + 31 * 188);
            play(&mut segments, now, begin + 66 * PICTURE, 25 * 30, &[]);
            let text = list(&segments);
            assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{text}");
            assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
        }
    }

    #[test]
    fn a_lost_key_picture_costs_no_more_than_one_odd_segment() {
        let mut segments = Segments::new(TARGET);
        play(&mut segments, 0, 0, 25 * 8, &[50]);
        let text = list(&segments);
        let lengths: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("#EXTINF:")).collect();
        assert_eq!(lengths, ["2.440,", "0.560,", "2.000,", "2.000,"]);
        assert!(text.contains("TARGETDURATION:2\n"), "{text}");
    }

    #[test]
    fn without_pictures_sound_is_cut_by_time_and_without_data_nothing_is_published() {
        let mut segments = Segments::new(TARGET);
        let begun = play(&mut segments, 0, 0, 25, &[]);
        for n in 0..100 {
            segments.packet(&[0x47; 188], Mark::Other, begun + n * 40, Vec::new);
        }
        let text = list(&segments);
        assert_eq!(text.matches("#EXTINF:2.000,").count(), 2, "{text}");
        play(&mut segments, begun + 60_000, 25 * PICTURE + 60_000 * 90, 51, &[]);
        let text = list(&segments);
        let (before, after) = text.split_once("#EXT-X-DISCONTINUITY\n").unwrap();
        assert!(before.ends_with("#EXTINF:0.960,\n2.ts\n"), "{text}");
        assert!(after.ends_with("#EXTINF:2.000,\n3.ts\n"), "{text}");
    }
}
