//! The picture track of a stream: which kept key pictures are decoded after all, and what is measured against what.

use std::{collections::VecDeque, mem, time::Duration};

use tallylight_av::{Damage, DecodeError, Limits, OpenError, VideoDecoder};
use tallylight_model::{Codec, Pid};

use super::{Effort, PictureStats, Place, Reply, Unit, luma::Blocks};
use crate::picture::{is_still, looks_black};

/// Key pictures kept for a second look: those of 2 s at a quarter of a second each.
const MAX_SPARE: usize = 8;
/// Bytes of key pictures kept.
const MAX_SPARE_BYTES: usize = 4 << 20;

/// Bytes of the group of pictures kept for catching up: 10 s at 3 Mb/s.
const MAX_GROUP_BYTES: usize = 4 << 20;
/// Pictures of the same.
const MAX_GROUP: usize = 1024;

/// Decodes one video stream.
pub(super) struct VideoTrack {
    decoder: VideoDecoder,
    /// The last decoded key picture; none after a reset.
    previous: Option<Blocks>,
    current: Blocks,
    /// What the previous picture looked like.
    looks: Looks,
    /// Key pictures passed over since.
    spare: Kept,
    /// Key pictures passed over between the previous picture and the one decoded before it.
    older: Kept,
    /// Since when the picture stands, where that is before the previous picture.
    same_since: Option<Duration>,
    /// The group of pictures not yet decoded.
    group: Kept,
    /// The last picture of the group that was kept or decoded; `None` if one is missing.
    group_at: Option<Place>,
    decoder_at: DecoderAt,
}

/// What the decoder has seen last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DecoderAt {
    /// Nothing: it begins afresh with the next unit.
    Start,
    /// All of the group of pictures but what is still kept.
    Group,
    /// A run that began anywhere.
    Run,
}

/// The verdicts whose change makes the pictures between worth decoding.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Looks {
    black: bool,
    still: bool,
}

/// What came of decoding.
#[derive(Clone, Copy)]
struct Outcome {
    shown: bool,
    damage: Damage,
    error: Option<DecodeError>,
}

/// Access units put aside.
#[derive(Default)]
struct Kept {
    units: VecDeque<Unit>,
    bytes: usize,
}

impl Kept {
    fn push(&mut self, unit: Unit) {
        self.bytes += unit.data.len();
        self.units.push_back(unit);
    }

    fn pop_latest(&mut self) -> Option<Unit> {
        let unit = self.units.pop_back()?;
        self.bytes -= unit.data.len();
        Some(unit)
    }

    fn pop(&mut self) -> Option<Unit> {
        let unit = self.units.pop_front()?;
        self.bytes -= unit.data.len();
        Some(unit)
    }
}

impl VideoTrack {
    pub(super) fn new(codec: Codec, limits: Limits) -> Result<Self, OpenError> {
        Ok(Self {
            decoder: VideoDecoder::new(codec, limits)?,
            previous: None,
            current: Blocks::default(),
            looks: Looks::default(),
            spare: Kept::default(),
            older: Kept::default(),
            same_since: None,
            group: Kept::default(),
            group_at: None,
            decoder_at: DecoderAt::Start,
        })
    }

    pub(super) fn reset(&mut self) {
        self.restart_decoder();
        self.previous = None;
        self.looks = Looks::default();
        self.spare = Kept::default();
        self.older = Kept::default();
        self.same_since = None;
        self.forget_group();
    }

    pub(super) fn unit(&mut self, unit: Unit, replies: &mut Vec<Reply>) {
        match unit.effort {
            Effort::Skip => {}
            Effort::Spare => self.keep_spare(unit),
            Effort::Keep(place) => self.keep_in_group(unit, place),
            Effort::Alone => self.alone(&unit, replies),
            Effort::Key(place) => {
                self.alone(&unit, replies);
                self.group.push(unit);
                self.group_at = Some(place);
            }
            Effort::CatchUp(place) => self.catch_up(unit, place, replies),
            Effort::Run | Effort::RunEnd => self.run(&unit, replies),
        }
    }

    fn restart_decoder(&mut self) {
        self.decoder.reset();
        self.decoder_at = DecoderAt::Start;
    }

    fn keep_spare(&mut self, unit: Unit) {
        self.forget_group();
        self.spare.push(unit);
        while self.spare.units.len() > MAX_SPARE || self.spare.bytes > MAX_SPARE_BYTES {
            self.spare.pop();
        }
    }

    /// Keeps a picture if all before it in its group are kept or decoded.
    fn keep_in_group(&mut self, unit: Unit, place: Place) {
        let next = self.group_at.map(|last| Place { index: last.index.saturating_add(1), ..last });
        if next != Some(place) {
            return self.forget_group();
        }
        self.group_at = next;
        self.group.push(unit);
        if self.group.units.len() > MAX_GROUP || self.group.bytes > MAX_GROUP_BYTES {
            self.forget_group();
        }
    }

    fn forget_group(&mut self) {
        self.group = Kept::default();
        self.group_at = None;
        if self.decoder_at == DecoderAt::Group {
            self.restart_decoder();
        }
    }

    fn alone(&mut self, unit: &Unit, replies: &mut Vec<Reply>) {
        if self.decoder_at != DecoderAt::Start {
            self.restart_decoder();
        }
        let outcome = self.decode_alone(unit);
        let pid = unit.pid;
        if outcome.shown {
            let looks = looks_of(&self.stats(pid, &outcome, IsKey::Yes));
            if looks != self.looks && self.previous.is_some() {
                let last = mem::take(&mut self.current);
                self.same_since = if looks.still { self.look_back() } else { None };
                self.second_look(replies);
                self.current = last;
            }
            self.publish(pid, &outcome, IsKey::Yes, replies);
        }
        report_damage(pid, unit.media_time, &outcome, replies);
        self.older = mem::take(&mut self.spare);
        self.forget_group();
    }

    /// Finds the earliest key picture passed over before the previous one that looked the same already.
    fn look_back(&mut self) -> Option<Duration> {
        let mut since = None;
        while let Some(unit) = self.older.pop_latest() {
            if !self.decode_alone(&unit).shown {
                break;
            }
            let change = self.previous.as_ref().and_then(|picture| picture.change(&self.current));
            if !change.as_ref().is_some_and(is_still) {
                break;
            }
            since = Some(unit.media_time);
        }
        since
    }

    /// Decodes the key pictures passed over since the last decoded one.
    fn second_look(&mut self, replies: &mut Vec<Reply>) {
        while let Some(unit) = self.spare.pop() {
            let outcome = self.decode_alone(&unit);
            if outcome.shown {
                self.publish(unit.pid, &outcome, IsKey::Yes, replies);
            }
            report_damage(unit.pid, unit.media_time, &outcome, replies);
        }
    }

    /// Decodes what is kept of the group of pictures and this one, and reports the last picture that comes out.
    fn catch_up(&mut self, unit: Unit, place: Place, replies: &mut Vec<Reply>) {
        self.keep_in_group(unit, place);
        self.current.clear();
        let mut last = None;
        while let Some(unit) = self.group.pop() {
            self.decoder_at = DecoderAt::Group;
            let outcome = self.decode_next(&unit);
            report_damage(unit.pid, unit.media_time, &outcome, replies);
            last = Some((unit.pid, outcome));
        }
        if let Some((pid, outcome)) = last.filter(|_| !self.current.is_empty()) {
            self.publish(pid, &outcome, IsKey::No, replies);
        }
    }

    /// Decodes one picture of a run that began anywhere. Only the last one is reported, and only if whole: a stream without key
    /// pictures builds its picture up bit by bit. Errors are those of beginning in the middle.
    fn run(&mut self, unit: &Unit, replies: &mut Vec<Reply>) {
        if self.decoder_at != DecoderAt::Run {
            self.forget_group();
            self.restart_decoder();
            self.decoder_at = DecoderAt::Run;
            self.current.clear();
        }
        let outcome = self.decode_next(unit);
        if unit.effort == Effort::RunEnd {
            self.restart_decoder();
            if !self.current.is_empty() {
                self.publish(unit.pid, &outcome, IsKey::No, replies);
            }
        }
    }

    /// Decodes one access unit after those before it; the current picture is then the latest that is whole.
    fn decode_next(&mut self, unit: &Unit) -> Outcome {
        let mut outcome = Outcome { shown: false, damage: Damage::NotAvailable, error: None };
        let current = &mut self.current;
        let decoded = self.decoder.decode(&unit.data, tag_of(unit.media_time), |picture| {
            outcome.damage = picture.damage();
            if picture.is_whole()
                && let Some(luma) = picture.luma()
            {
                outcome.shown |= current.reduce(time_of(picture.tag(), unit.media_time), luma);
            }
        });
        outcome.error = decoded.err();
        outcome
    }

    /// Decodes a key picture by itself and has it out at once.
    fn decode_alone(&mut self, unit: &Unit) -> Outcome {
        let mut outcome = self.decode_next(unit);
        let current = &mut self.current;
        let drained = self.decoder.drain(|picture| {
            outcome.damage = picture.damage();
            if picture.is_whole()
                && let Some(luma) = picture.luma()
            {
                outcome.shown |= current.reduce(unit.media_time, luma);
            }
        });
        outcome.error = outcome.error.or(drained.err());
        outcome
    }

    /// Replies with the current picture's statistics and makes it the one that the next is measured against.
    fn publish(&mut self, pid: Pid, outcome: &Outcome, key: IsKey, replies: &mut Vec<Reply>) {
        let stats = self.stats(pid, outcome, key);
        self.looks = looks_of(&stats);
        replies.push(Reply::Picture(stats));
        let spare = self.previous.take().unwrap_or_default();
        self.previous = Some(mem::replace(&mut self.current, spare));
    }

    fn stats(&self, pid: Pid, outcome: &Outcome, key: IsKey) -> PictureStats {
        let summary = self.current.summary();
        let mut change = self.previous.as_ref().and_then(|earlier| self.current.change(earlier));
        if let (Some(change), Some(since)) = (&mut change, self.same_since) {
            change.same_since = change.same_since.min(since);
        }
        PictureStats {
            pid,
            media_time: self.current.media_time,
            width: self.current.width,
            height: self.current.height,
            levels: summary.levels,
            bright_tiles: summary.bright_tiles,
            rest: summary.rest,
            change,
            damage: outcome.damage,
            sampled: key == IsKey::No,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IsKey {
    Yes,
    No,
}

fn looks_of(stats: &PictureStats) -> Looks {
    Looks { black: looks_black(stats), still: stats.change.as_ref().is_some_and(is_still) }
}

fn report_damage(pid: Pid, media_time: Duration, outcome: &Outcome, replies: &mut Vec<Reply>) {
    if outcome.damage == Damage::Found || outcome.error == Some(DecodeError::Damaged) {
        replies.push(Reply::Damaged { pid, media_time });
    }
}

fn tag_of(media_time: Duration) -> i64 {
    i64::try_from(media_time.as_nanos()).unwrap_or(i64::MAX)
}

fn time_of(tag: Option<i64>, otherwise: Duration) -> Duration {
    tag.and_then(|nanos| u64::try_from(nanos).ok()).map_or(otherwise, Duration::from_nanos)
}
