//! Cuts one channel into HLS segments and writes its playlist (RFC 8216).
//!
//! A segment ends before the first key picture at or after its target duration and begins with the tables. A jump of the
//! clock, as when the panel changes the source, ends the segment at the next key picture and is announced there. Nothing
//! comes in, nothing is published: the playlist stops growing, as a real packager's does.

use std::{collections::VecDeque, fmt::Write as _, time::Duration};

use bytes::Bytes;

use super::feed::Mark;

/// Segments in the playlist.
pub(super) const WINDOW: usize = 6;
/// Segments that can still be fetched.
const KEPT: usize = 12;
/// A segment is cut without a key picture rather than growing beyond so many target durations, or bytes.
const MAX_TARGETS: u32 = 3;
const MAX_BYTES: usize = 16 << 20;
/// Between two pictures in decoding order stamps step by up to some pictures in either direction; more is a jump.
const MAX_STEP_TICKS: u64 = 45_000;
const PTS_PERIOD: u64 = 1 << 33;

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
    last_pts: Option<u64>,
    jumped: bool,
}

#[derive(Debug)]
struct Open {
    data: Vec<u8>,
    begun_unix_ms: u64,
    first_pts: u64,
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
            last_pts: None,
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
        if let Mark::Key(pts) | Mark::Picture(pts) = mark {
            self.jumped |= self.last_pts.is_some_and(|last| step(last, pts) > MAX_STEP_TICKS);
            self.last_pts = Some(pts);
        }
        if let Mark::Key(pts) = mark {
            self.key(pts, now_unix_ms, tables);
        }
        let Some(open) = &mut self.open else { return };
        open.data.extend_from_slice(packet);
        let longest = u64::from(MAX_TARGETS) * self.target.as_millis() as u64;
        let late = now_unix_ms.saturating_sub(open.begun_unix_ms) > longest;
        if (late && mark != Mark::Other) || open.data.len() > MAX_BYTES {
            let pts = self.last_pts.unwrap_or(open.first_pts);
            self.finish(pts, now_unix_ms);
        }
    }

    fn key(&mut self, pts: u64, now_unix_ms: u64, tables: impl FnOnce() -> Vec<u8>) {
        if let Some(open) = &self.open {
            // Half a picture of 50 a second: stamps may be rounded.
            let played = Duration::from_micros(step(open.first_pts, pts) * 100 / 9 + 10_000);
            if played < self.target && !self.jumped {
                return;
            }
            self.finish(pts, now_unix_ms);
        }
        let discontinuity = std::mem::take(&mut self.jumped);
        let (data, begun_unix_ms) = (tables(), now_unix_ms);
        self.open = Some(Open { data, begun_unix_ms, first_pts: pts, discontinuity });
    }

    /// Publishes the open segment, which plays until `pts`; across a jump, as long as it took to come in.
    fn finish(&mut self, pts: u64, now_unix_ms: u64) {
        let Some(open) = self.open.take() else { return };
        let duration = if self.jumped {
            Duration::from_millis(now_unix_ms.saturating_sub(open.begun_unix_ms))
        } else {
            Duration::from_micros(step(open.first_pts, pts) * 100 / 9)
        };
        self.finished.push_back(Segment {
            sequence: self.next_sequence,
            duration,
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

/// Ticks between two stamps by the shorter way round.
fn step(from: u64, to: u64) -> u64 {
    let forward = (to + PTS_PERIOD - from) % PTS_PERIOD;
    forward.min(PTS_PERIOD - forward)
}

/// Milliseconds since 1970 as RFC 3339 in UTC; the year 1970 for what no calendar holds.
fn rfc3339(unix_ms: u64) -> String {
    let millis = i64::try_from(unix_ms).unwrap_or_default();
    format!("{:.3}", jiff::Timestamp::from_millisecond(millis).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds pictures of 40 ms from `pts` on, a key picture every second; answers the time after the last.
    fn play(segments: &mut Segments, mut now: u64, pts: u64, pictures: u64) -> u64 {
        for n in 0..pictures {
            let pts = (pts + n * 3_600) % PTS_PERIOD;
            let mark = if n % 25 == 0 { Mark::Key(pts) } else { Mark::Picture(pts) };
            segments.packet(&[0x47; 188], mark, now, || vec![1; 376]);
            now += 40;
        }
        now
    }

    #[test]
    fn segments_are_cut_at_key_pictures_and_listed_in_a_window() {
        let mut segments = Segments::new(Duration::from_secs(2));
        assert_eq!(segments.playlist(), None);
        // The clock wraps around on the way.
        let now = play(&mut segments, 1_700_000_000_000, PTS_PERIOD - 450_000, 25 * 17);
        let list = segments.playlist().unwrap();
        assert!(list.contains("#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:2\n"), "{list}");
        assert_eq!(list.matches("#EXTINF:2.000,").count(), WINDOW);
        assert!(list.contains("#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.000Z"), "{list}");
        assert!(segments.segment(1).is_some(), "a segment outlives the playlist that listed it");
        assert_eq!(segments.segment(2).unwrap().data.len(), 376 + 50 * 188);
        // Nothing comes in: nothing changes, however late it is.
        assert_eq!(segments.playlist().unwrap(), list);
        play(&mut segments, now + 60_000, 0, 1);
    }

    #[test]
    fn a_jump_of_the_clock_is_announced_where_it_happened_and_counted_when_it_leaves() {
        let mut segments = Segments::new(Duration::from_secs(2));
        let now = play(&mut segments, 0, 0, 30);
        let now = play(&mut segments, now, 9_000_000, 25 * 2 + 1);
        let list = segments.playlist().unwrap();
        let (before, after) = list.split_once("#EXT-X-DISCONTINUITY\n").unwrap();
        assert!(before.contains("#EXTINF:1.200,\n0.ts") && after.contains("\n1.ts"), "{list}");
        play(&mut segments, now, 9_000_000 + 51 * 3_600, 25 * 30);
        let list = segments.playlist().unwrap();
        assert!(list.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{list}");
        assert!(!list.contains("#EXT-X-DISCONTINUITY\n"), "{list}");
    }

    #[test]
    fn without_key_pictures_a_segment_ends_all_the_same() {
        let mut segments = Segments::new(Duration::from_secs(2));
        segments.packet(&[0x47; 188], Mark::Key(0), 0, Vec::new);
        for n in 1..400 {
            segments.packet(&[0x47; 188], Mark::Picture(n * 3_600), n * 40, Vec::new);
        }
        let list = segments.playlist().unwrap();
        assert!(list.contains("#EXTINF:6.040,"), "{list}");
    }
}
