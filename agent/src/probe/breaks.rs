//! Breaks that cues announce (SCTE 35): what is shown between the splice out of the network feed and the one back into it is
//! somebody else's, or nothing at all.
//!
//! A slate, black or silence there may be meant, so they are worth knowing and nothing rests on them. A break ends with the cue
//! that says so; where that stays out, when the time that was stated is over, or else after [`LONGEST`].

use std::{collections::VecDeque, time::Duration};

use tallylight_model::FaultKind;
use tallylight_ts::{Cue, Splice, SpliceCommand, SpliceInsert};

/// Breaks that are known at a time, those that were over lately among them.
const MAX_BREAKS: usize = 16;
/// A break of which nobody says how long it is ends after this: the longest that are sold.
const LONGEST: Duration = Duration::from_secs(600);
/// A break that does not end by itself may be so much longer than stated.
const OVERRUN: Duration = Duration::from_secs(30);

/// The breaks of one service, in media time.
#[derive(Debug, Default)]
pub(super) struct Breaks(VecDeque<Break>);

#[derive(Clone, Copy, Debug)]
struct Break {
    what: What,
    from: Duration,
    until: Duration,
}

/// Whose break it is: those of different kinds are within one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A splice by this number.
    Splice(u32),
    /// A segment of this number and type, by the type that it starts with.
    Segment(u32, u8),
}

/// What a condition has of breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// Nothing.
    Nothing,
    /// It holds in a break that is not over.
    Break,
    /// It outlived a break that ended then.
    Past(Duration),
}

impl Breaks {
    /// Takes a cue.
    pub(super) fn cue(&mut self, cue: &Cue) {
        let Some(at) = cue.media.or(cue.position.media) else { return };
        let now = cue.position.media.unwrap_or(at);
        match cue.info.command {
            SpliceCommand::Insert(SpliceInsert { event_id, splice }) => match splice {
                Some(Splice { out: true, duration, auto_return, .. }) => {
                    let slack = if auto_return { Duration::ZERO } else { OVERRUN };
                    let until = at + duration.map_or(LONGEST, |stated| stated + slack);
                    self.open(Break { what: What::Splice(event_id), from: at, until });
                }
                // Many senders number the way back anew.
                Some(_) => self.close(at, |what| matches!(what, What::Splice(_))),
                None => self.cancel(now, |what| what == What::Splice(event_id)),
            },
            SpliceCommand::TimeSignal(_) => self.segments(cue, at, now),
            _ => {}
        }
    }

    fn segments(&mut self, cue: &Cue, at: Duration, now: Duration) {
        for segmentation in &cue.info.segmentations {
            let id = segmentation.event_id;
            let Some(segment) = &segmentation.segment else {
                let own = |what| matches!(what, What::Segment(other, _) if other == id);
                self.cancel(now, own);
                continue;
            };
            match segment.type_id {
                kind if is_start(kind) => {
                    let until = at + segment.duration.map_or(LONGEST, |stated| stated + OVERRUN);
                    self.open(Break { what: What::Segment(id, kind), from: at, until });
                }
                kind if is_start(kind.wrapping_sub(1)) => {
                    self.close(at, |what| what == What::Segment(id, kind.wrapping_sub(1)));
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, fresh: Break) {
        self.0.retain(|known| known.what != fresh.what);
        if self.0.len() >= MAX_BREAKS {
            self.0.pop_front();
        }
        self.0.push_back(fresh);
    }

    fn close(&mut self, at: Duration, concerns: impl Fn(What) -> bool) {
        for known in self.0.iter_mut().filter(|known| concerns(known.what) && known.from <= at) {
            known.until = known.until.min(at);
        }
    }

    /// A break that has begun cannot be cancelled (SCTE 35, 9.7.3.1).
    fn cancel(&mut self, now: Duration, concerns: impl Fn(What) -> bool) {
        self.0.retain(|known| known.from <= now || !concerns(known.what));
    }

    /// What a condition from one moment to another has of breaks.
    pub(super) fn within(&self, since: Duration, until: Duration) -> Within {
        let overlapping = || self.0.iter().filter(|it| it.from <= until && since < it.until);
        if overlapping().any(|it| until < it.until) {
            return Within::Break;
        }
        overlapping().map(|it| it.until).max().map_or(Within::Nothing, Within::Past)
    }
}

/// Whether a segment begins here in which something else may be shown than the programme: the ends are one more (table 23).
const fn is_start(type_id: u8) -> bool {
    // Breakaway; break; advertisements and placement opportunities of provider and distributor; their ad blocks.
    matches!(type_id, 0x13 | 0x22 | 0x30 | 0x32 | 0x34 | 0x36 | 0x44 | 0x46)
}

/// Whether a condition may be meant in a break: one that shows whether content is there, not whether it is whole.
pub(super) const fn may_be_meant(kind: FaultKind) -> bool {
    kind.is_differential() || matches!(kind, FaultKind::FreezeAndSilence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallylight_model::{MonoTime, Pid};
    use tallylight_ts::{Position, Segment, Segmentation, SpliceInfo};

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn cue(at: u64, command: SpliceCommand, segmentations: Vec<Segmentation>) -> Cue {
        Cue {
            pid: Pid::from_bits(500),
            program: Some(1),
            info: SpliceInfo { pts_adjustment: 0, tier: 0xFFF, command, segmentations },
            media: Some(s(at)),
            preroll_ms: Some(4_000),
            position: Position { at: MonoTime::ZERO, media: s(at).checked_sub(s(4)), packet: 0 },
        }
    }

    fn splice(at: u64, event_id: u32, out: bool, duration: Option<u64>, auto_return: bool) -> Cue {
        let duration = duration.map(s);
        let splice = Some(Splice {
            out,
            immediate: false,
            time: None,
            duration,
            auto_return,
            unique_program_id: 0,
            avail: (0, 0),
        });
        cue(at, SpliceCommand::Insert(SpliceInsert { event_id, splice }), Vec::new())
    }

    fn signal(at: u64, segments: &[(u32, u8, Option<u64>)]) -> Cue {
        let segments = segments.iter().map(|&(event_id, type_id, duration)| Segmentation {
            event_id,
            segment: Some(Segment {
                type_id,
                duration: duration.map(s),
                upid_type: 0,
                upid: Vec::new(),
                number: (1, 1),
            }),
        });
        cue(at, SpliceCommand::TimeSignal(None), segments.collect())
    }

    fn after(cues: &[Cue]) -> Breaks {
        let mut breaks = Breaks::default();
        cues.iter().for_each(|cue| breaks.cue(cue));
        breaks
    }

    #[test]
    fn what_holds_in_a_break_is_told_from_what_outlives_it() {
        let breaks = after(&[splice(100, 1, true, Some(30), true)]);
        assert_eq!(breaks.within(s(80), s(99)), Within::Nothing);
        assert_eq!(breaks.within(s(99), s(101)), Within::Break);
        assert_eq!(breaks.within(s(110), s(129)), Within::Break);
        assert_eq!(breaks.within(s(110), s(135)), Within::Past(s(130)));
        assert_eq!(breaks.within(s(130), s(150)), Within::Nothing);
    }

    #[test]
    fn a_break_ends_by_its_cue_or_when_the_time_is_over() {
        let early =
            after(&[splice(100, 1, true, Some(60), true), splice(120, 7, false, None, false)]);
        assert_eq!(early.within(s(110), s(125)), Within::Past(s(120)));
        let late = after(&[splice(100, 1, true, Some(60), false)]);
        assert_eq!(late.within(s(165), s(189)), Within::Break);
        assert_eq!(late.within(s(165), s(191)), Within::Past(s(190)));
        let unstated = after(&[splice(100, 1, true, None, false)]);
        assert_eq!(unstated.within(s(600), s(699)), Within::Break);
        assert_eq!(unstated.within(s(600), s(700)), Within::Past(s(700)));
    }

    #[test]
    fn a_break_of_several_segments_lasts_until_the_outermost_ends() {
        let mut breaks = after(&[
            signal(100, &[(1, 0x34, Some(60)), (2, 0x30, Some(30))]),
            signal(130, &[(2, 0x31, None), (3, 0x30, Some(30))]),
        ]);
        assert_eq!(breaks.within(s(120), s(140)), Within::Break);
        breaks.cue(&signal(160, &[(3, 0x31, None), (1, 0x35, None)]));
        assert_eq!(breaks.within(s(120), s(161)), Within::Past(s(160)));
        // The programme goes on under an overlay, and a chapter is no break.
        let others = after(&[signal(100, &[(1, 0x38, Some(60)), (2, 0x20, Some(60))])]);
        assert_eq!(others.within(s(110), s(120)), Within::Nothing);
    }

    #[test]
    fn a_break_that_is_cancelled_before_it_begins_is_none() {
        let cancel = SpliceCommand::Insert(SpliceInsert { event_id: 1, splice: None });
        let off = |at: u64| Cue { media: None, ..cue(at + 4, cancel, Vec::new()) };
        let breaks = after(&[splice(100, 1, true, Some(30), true), off(96)]);
        assert_eq!(breaks.within(s(110), s(120)), Within::Nothing);
        let breaks = after(&[splice(100, 1, true, Some(30), true), off(110)]);
        assert_eq!(breaks.within(s(110), s(120)), Within::Break);
    }

    #[test]
    fn no_sender_makes_it_keep_more_than_so_many() {
        let cues: Vec<Cue> = (0..1_000).map(|n| splice(100, n, true, None, false)).collect();
        assert_eq!(after(&cues).0.len(), MAX_BREAKS);
    }
}
