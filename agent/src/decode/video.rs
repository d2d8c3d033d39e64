//! The picture track of a stream: which kept key pictures are decoded after all, and what is measured against what.

use std::{collections::VecDeque, mem, time::Duration};

use tallylight_av::{Damage, DecodeError, Limits, OpenError, VideoDecoder};
use tallylight_model::{Codec, Pid};

use super::{Effort, PictureStats, Reply, Unit, luma::Blocks};
use crate::picture::{looks_black, looks_still};

/// Key pictures kept for a second look: those of 2 s at a quarter of a second each.
const MAX_KEPT: usize = 8;
/// Bytes of key pictures kept.
const MAX_KEPT_BYTES: usize = 4 << 20;

/// Decodes one video stream.
pub(super) struct VideoTrack {
    decoder: VideoDecoder,
    /// The last decoded key picture; without blocks after a reset.
    previous: Option<Blocks>,
    current: Blocks,
    /// What the previous picture looked like.
    looks: Looks,
    kept: VecDeque<Unit>,
    kept_bytes: usize,
    /// Whether the decoder is in the middle of a run.
    running: bool,
}

/// The verdicts whose change makes the pictures between worth decoding.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Looks {
    black: bool,
    still: bool,
}

/// What came of decoding one access unit.
struct Outcome {
    shown: bool,
    damage: Damage,
    error: Option<DecodeError>,
}

impl VideoTrack {
    pub(super) fn new(codec: Codec, limits: Limits) -> Result<Self, OpenError> {
        Ok(Self {
            decoder: VideoDecoder::new(codec, limits)?,
            previous: None,
            current: Blocks::default(),
            looks: Looks::default(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            running: false,
        })
    }

    pub(super) fn reset(&mut self) {
        self.decoder.reset();
        self.previous = None;
        self.looks = Looks::default();
        self.running = false;
        self.forget_kept();
    }

    pub(super) fn unit(&mut self, unit: Unit, replies: &mut Vec<Reply>) {
        match unit.effort {
            Effort::Skip => {}
            Effort::IfNeeded => self.keep(unit),
            Effort::Alone => self.alone(&unit, replies),
            Effort::Run | Effort::RunEnd => self.run(&unit, replies),
        }
    }

    fn keep(&mut self, unit: Unit) {
        if unit.data.len() > MAX_KEPT_BYTES {
            return;
        }
        self.kept_bytes += unit.data.len();
        self.kept.push_back(unit);
        while self.kept.len() > MAX_KEPT || self.kept_bytes > MAX_KEPT_BYTES {
            let oldest = self.kept.pop_front();
            self.kept_bytes -= oldest.map_or(0, |unit| unit.data.len());
        }
    }

    fn forget_kept(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
    }

    fn alone(&mut self, unit: &Unit, replies: &mut Vec<Reply>) {
        if mem::take(&mut self.running) {
            self.decoder.reset();
        }
        let outcome = self.decode_alone(unit);
        if !outcome.shown {
            self.report_damage(unit.pid, unit.media_time, &outcome, replies);
            return;
        }
        let change = self.previous.as_ref().and_then(|earlier| self.current.change(earlier));
        let stats = self.stats(unit.pid, change, outcome.damage, false);
        let looks = Looks { black: looks_black(&stats), still: looks_still(&stats) };
        if looks != self.looks && self.previous.is_some() && !self.kept.is_empty() {
            let last = mem::take(&mut self.current);
            self.second_look(replies);
            self.current = last;
        }
        self.forget_kept();
        self.publish(unit.pid, &outcome, replies);
    }

    /// Decodes what was kept since the last decoded key picture.
    fn second_look(&mut self, replies: &mut Vec<Reply>) {
        for unit in mem::take(&mut self.kept) {
            let outcome = self.decode_alone(&unit);
            if outcome.shown {
                self.publish(unit.pid, &outcome, replies);
            }
        }
    }

    /// Replies with the current picture's statistics and makes it the one that the next is measured against.
    fn publish(&mut self, pid: Pid, outcome: &Outcome, replies: &mut Vec<Reply>) {
        let change = self.previous.as_ref().and_then(|earlier| self.current.change(earlier));
        let stats = self.stats(pid, change, outcome.damage, false);
        self.report_damage(pid, stats.media_time, outcome, replies);
        self.advance(stats, replies);
    }

    fn advance(&mut self, stats: PictureStats, replies: &mut Vec<Reply>) {
        self.looks = Looks { black: looks_black(&stats), still: looks_still(&stats) };
        replies.push(Reply::Picture(stats));
        let spare = self.previous.take().unwrap_or_default();
        self.previous = Some(mem::replace(&mut self.current, spare));
    }

    /// Decodes one picture of a run. Only the last one shown in the run is reported: before it a picture may still be built up
    /// from nothing, as streams without key pictures do.
    fn run(&mut self, unit: &Unit, replies: &mut Vec<Reply>) {
        if !self.running {
            self.decoder.reset();
            self.running = true;
            self.current.clear();
        }
        let tag = tag_of(unit.media_time);
        let current = &mut self.current;
        let _ = self.decoder.decode(&unit.data, tag, |picture| {
            if let Some(luma) = picture.luma() {
                current.reduce(time_of(picture.tag(), unit.media_time), luma);
            }
        });
        if unit.effort == Effort::RunEnd {
            self.running = false;
            self.decoder.reset();
            self.forget_kept();
            if self.current.is_empty() {
                return;
            }
            let change = self.previous.as_ref().and_then(|earlier| self.current.change(earlier));
            let stats = self.stats(unit.pid, change, Damage::NotAvailable, true);
            self.advance(stats, replies);
        }
    }

    fn decode_alone(&mut self, unit: &Unit) -> Outcome {
        let mut outcome = Outcome { shown: false, damage: Damage::NotAvailable, error: None };
        let current = &mut self.current;
        let mut show = |picture: tallylight_av::Picture<'_>| {
            outcome.damage = picture.damage();
            if let Some(luma) = picture.luma() {
                outcome.shown |= current.reduce(unit.media_time, luma);
            }
        };
        let decoded = self.decoder.decode(&unit.data, tag_of(unit.media_time), &mut show);
        let drained = self.decoder.drain(&mut show);
        outcome.error = decoded.and(drained).err();
        outcome
    }

    fn report_damage(
        &self,
        pid: Pid,
        media_time: Duration,
        outcome: &Outcome,
        replies: &mut Vec<Reply>,
    ) {
        if outcome.damage == Damage::Found || outcome.error == Some(DecodeError::Damaged) {
            replies.push(Reply::Damaged { pid, media_time });
        }
    }

    fn stats(
        &self,
        pid: Pid,
        change: Option<super::Change>,
        damage: Damage,
        sampled: bool,
    ) -> PictureStats {
        let summary = self.current.summary();
        PictureStats {
            pid,
            media_time: self.current.media_time,
            width: self.current.width,
            height: self.current.height,
            levels: summary.levels,
            bright_tiles: summary.bright_tiles,
            rest: summary.rest,
            change,
            damage,
            sampled,
        }
    }
}

fn tag_of(media_time: Duration) -> i64 {
    i64::try_from(media_time.as_nanos()).unwrap_or(i64::MAX)
}

fn time_of(tag: Option<i64>, otherwise: Duration) -> Duration {
    tag.and_then(|nanos| u64::try_from(nanos).ok()).map_or(otherwise, Duration::from_nanos)
}
