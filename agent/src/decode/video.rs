//! The picture track of a stream: which kept pictures are decoded after all, and what is measured against what.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use tallylight_av::{Damage, DecodeError, Limits, OpenError, Picture, VideoDecoder};
use tallylight_model::{Codec, Pid};

use super::{
    Dating, Effort, GoesOn, PictureStats, Place, Reply, Survey, Unit, history::History,
    luma::Blocks, parameters, thumbnail,
};
use crate::picture::{Look, is_still, resembles};

/// Bytes of the group of pictures kept for catching up: 10 s at 3 Mb/s.
const MAX_GROUP_BYTES: usize = 4 << 20;
/// Pictures of the same.
const MAX_GROUP: usize = 1024;

/// Bytes of what is kept of the pictures that were caught up with: 2 s of 1080p at 25 a second.
const MAX_TRAIL_BYTES: usize = 4 << 20;

/// Pictures that are decoded at once for what they show: more than 2 s at 30 a second ...
const MAX_SURVEY: usize = 64;
/// ... but no more pixels than those have at 1080p: a quarter of a second's work.
const MAX_SURVEY_PIXELS: usize = MAX_SURVEY * 1920 * 1088;

/// Where key pictures are decoded this far apart, the decoder is closed between them.
const REST: Duration = Duration::from_secs(5);

/// Decodes one video stream.
pub(super) struct VideoTrack {
    decoder: VideoDecoder,
    /// The last picture decoded for its own sake; none after a reset.
    previous: Option<Blocks>,
    previous_is: IsKey,
    current: Blocks,
    /// The first picture of those that stand up to the previous one.
    anchor: Option<Blocks>,
    /// What the previous picture looked like.
    looks: Looks,
    /// The pictures since the last but one decoded key picture.
    history: History,
    /// The group of pictures not yet decoded.
    group: Kept,
    /// The pictures up to the previous one that were caught up with.
    trail: VecDeque<Blocks>,
    trail_bytes: usize,
    /// The last picture of the group that was kept or decoded; `None` if one is missing.
    group_at: Option<Place>,
    decoder_at: DecoderAt,
    /// It has had pictures that refer to others, and keeps room for all of them.
    decoder_grew: bool,
    /// When the last key picture was presented that was decoded for its own sake.
    key_at: Option<Duration>,
    small: Small,
    /// A key picture that is decoded once those have come that are shown before it.
    waiting: Option<Arc<Unit>>,
    /// Whether they have.
    ready: bool,
    /// When the last key picture is presented, decoded or not.
    led_at: Option<Duration>,
    /// Whether there are pictures that are coded after a key picture and shown before it (open groups).
    leads: bool,
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
    look: Look,
    still: bool,
}

/// When what a decoded picture shows began, as far as the pictures before it tell.
#[derive(Clone, Copy, Default)]
struct Dates {
    /// See [`PictureStats::turned`].
    turned: Option<Duration>,
    /// See [`Change::same_since`](super::Change::same_since).
    same_since: Option<Duration>,
    /// See [`Change::changed`](super::Change::changed).
    changed: Option<Duration>,
}

/// What the pictures before a key picture can date.
#[derive(Clone, Copy)]
struct Doubts {
    /// It has another look.
    turned: bool,
    /// It stands no longer.
    moved: bool,
    /// It is the same as the key picture before it, which was not.
    stood: bool,
}

impl Doubts {
    const fn any(self) -> bool {
        self.turned || self.moved || self.stood
    }
}

/// A picture that was looked at for its date alone.
#[derive(Clone, Copy)]
struct Sight {
    at: Duration,
    look: Look,
    same: bool,
}

/// When the run of such pictures began that leads up to a key picture; `None` if one before them may have been such as well.
fn start_of_run(sights: &[Sight], key: Duration, is: impl Fn(&Sight) -> bool) -> Option<Duration> {
    let first = sights.iter().rposition(|sight| !is(sight))? + 1;
    Some(sights.get(first).map_or(key, |sight| sight.at))
}

/// What came of decoding.
#[derive(Clone, Copy)]
struct Outcome {
    shown: bool,
    /// A picture came out that has no luma.
    foreign: bool,
    damage: Damage,
    error: Option<DecodeError>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self { shown: false, foreign: false, damage: Damage::NotAvailable, error: None }
    }
}

impl Outcome {
    fn take(&mut self, picture: &Picture<'_>, at: Duration, into: &mut Blocks, small: &mut Small) {
        // What refers to pictures from before the begin is damaged by that alone.
        if picture.is_whole() {
            self.damage = picture.damage();
            match picture.luma() {
                None => self.foreign = true,
                Some(luma) => {
                    self.shown |= into.reduce(at, luma, picture.chroma());
                    into.interlaced = picture.is_interlaced();
                    into.sample_aspect = picture.sample_aspect();
                }
            }
            if matches!(small, Small::Wanted) {
                *small = thumbnail::draw(picture).map_or(Small::No, Small::Drawn);
            }
        }
    }
}

/// A thumbnail of the next whole picture.
#[derive(Default)]
enum Small {
    #[default]
    No,
    Wanted,
    Drawn(Vec<u8>),
}

/// Access units put aside.
#[derive(Default)]
struct Kept {
    units: VecDeque<Arc<Unit>>,
    bytes: usize,
}

impl Kept {
    fn push(&mut self, unit: Arc<Unit>) {
        self.bytes += unit.data.len();
        self.units.push_back(unit);
    }

    fn pop(&mut self) -> Option<Arc<Unit>> {
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
            previous_is: IsKey::Yes,
            current: Blocks::default(),
            anchor: None,
            looks: Looks::default(),
            history: History::default(),
            group: Kept::default(),
            trail: VecDeque::new(),
            trail_bytes: 0,
            group_at: None,
            decoder_at: DecoderAt::Start,
            decoder_grew: false,
            key_at: None,
            small: Small::No,
            waiting: None,
            ready: false,
            led_at: None,
            leads: false,
        })
    }

    pub(super) fn reset(&mut self) {
        self.restart_decoder();
        self.previous = None;
        self.anchor = None;
        self.looks = Looks::default();
        self.history.forget();
        self.forget_group();
        (self.waiting, self.led_at) = (None, None);
        self.forget_trail();
    }

    pub(super) fn unit(&mut self, unit: Unit, replies: &mut Vec<Reply>, goes_on: GoesOn<'_>) {
        let unit = Arc::new(unit);
        let pid = unit.pid;
        if unit.thumbnail {
            self.small = Small::Wanted;
        }
        let leads = !unit.key && self.led_at.is_some_and(|key| unit.media_time < key);
        self.leads |= leads;
        if unit.key {
            self.led_at = Some(unit.media_time);
        }
        if !matches!(unit.effort, Effort::Keep(_)) {
            self.settle(replies, goes_on);
        }
        self.ready |= !leads;
        match unit.effort {
            Effort::Skip => {}
            Effort::Alone => self.alone(&unit, replies, goes_on),
            Effort::Key(place) | Effort::Survey(place) => {
                self.history.push(&unit, place);
                self.keep_in_group(Arc::clone(&unit), place);
                let waits = self.leads && unit.dating == Dating::Decoding;
                (self.waiting, self.ready) = (Some(unit), false);
                if !waits {
                    self.settle(replies, goes_on);
                }
            }
            Effort::Keep(place) => {
                self.history.push(&unit, place);
                self.keep_in_group(unit, place);
            }
            Effort::CatchUp(place) => {
                self.history.push(&unit, place);
                self.catch_up(unit, place, replies, goes_on);
            }
            Effort::Run | Effort::RunEnd => self.run(&unit, replies),
        }
        if matches!(self.small, Small::Drawn(_))
            && let Small::Drawn(jpeg) = mem::take(&mut self.small)
        {
            replies.push(Reply::Thumbnail { pid, jpeg });
        }
    }

    /// Decodes the key picture that waits, if all that is shown before it is here. What is put aside has no answer, so that this
    /// is for the next message that has one: of sound, if there is any.
    pub(super) fn settle_if_ready(&mut self, replies: &mut Vec<Reply>, goes_on: GoesOn<'_>) {
        if self.ready {
            self.settle(replies, goes_on);
        }
    }

    fn settle(&mut self, replies: &mut Vec<Reply>, goes_on: GoesOn<'_>) {
        let Some(unit) = self.waiting.take() else { return };
        self.alone(&unit, replies, goes_on);
        if matches!(unit.effort, Effort::Survey(_)) {
            self.survey(&unit, replies, goes_on);
        }
        self.rest(&unit);
        self.history.mark(&unit);
    }

    fn restart_decoder(&mut self) {
        self.decoder.reset();
        self.decoder_at = DecoderAt::Start;
    }

    /// Closes the decoder if that saves memory for a while: it opens again in a thousandth of the time that a picture takes.
    fn rest(&mut self, key: &Unit) {
        let last = self.key_at.replace(key.media_time);
        let rare = last.is_some_and(|last| key.media_time.saturating_sub(last) >= REST);
        if !rare && !self.decoder_grew {
            return;
        }
        if let Some(sets) = parameters::of(key.codec, &key.data) {
            self.decoder.close(sets);
            (self.decoder_at, self.decoder_grew) = (DecoderAt::Start, false);
        }
    }

    /// Keeps a picture if it begins a group, or all before it in its group are kept or decoded.
    fn keep_in_group(&mut self, unit: Arc<Unit>, place: Place) {
        let next = self.group_at.map(|last| Place { index: last.index.saturating_add(1), ..last });
        if next != Some(place) {
            self.forget_group();
            if place.index > 0 {
                return;
            }
        }
        self.group_at = Some(place);
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

    fn alone(&mut self, unit: &Arc<Unit>, replies: &mut Vec<Reply>, goes_on: GoesOn<'_>) {
        if self.decoder_at != DecoderAt::Start {
            self.restart_decoder();
        }
        let outcome = self.decode_alone(unit);
        let pid = unit.pid;
        if outcome.shown {
            let looks = looks_of(&self.stats(pid, &outcome, IsKey::Yes));
            let doubts = self.doubts(looks).any();
            let dates = match unit.dating {
                Dating::Decoding if doubts => {
                    replies.push(Reply::Dated { pid });
                    self.date(unit, looks, goes_on)
                }
                Dating::Withheld if doubts => {
                    replies.push(Reply::Withheld { pid });
                    Dates::default()
                }
                _ => Dates::default(),
            };
            self.publish(pid, &outcome, IsKey::Yes, dates, replies);
            // What lies before a key picture was not caught up with to its end.
            self.forget_trail();
        }
        if !outcome.shown && (outcome.foreign || outcome.error == Some(DecodeError::Unsupported)) {
            replies.push(Reply::Unsupported { pid, codec: unit.codec });
        }
        report_damage(pid, unit.media_time, &outcome, replies);
    }

    /// Finds the pictures at which what the current key picture looks like began, where it is not what the previous one was.
    fn date(&mut self, key: &Arc<Unit>, looks: Looks, goes_on: GoesOn<'_>) -> Dates {
        let mut dates = Dates::default();
        let Some(previous) = self.previous.clone() else { return dates };
        let at = self.current.media_time;
        let Doubts { turned, moved, stood } = self.doubts(looks);
        if turned || moved {
            let sights = self.look_at(self.history.since(key), &previous, goes_on);
            if turned {
                dates.turned = start_of_run(&sights, at, |sight| sight.look == looks.look);
            }
            // The previous picture leads them; without it what came before them is not known.
            if moved && sights.first().is_some_and(|sight| sight.same) {
                dates.changed =
                    sights.iter().find(|sight| !sight.same).map_or(Some(at), |s| Some(s.at));
            }
        }
        if stood {
            dates.same_since = self.same_since(key.codec, goes_on);
        }
        dates
    }

    /// What changed from the previous picture to a key picture that looks like this.
    fn doubts(&self, looks: Looks) -> Doubts {
        let (last, known) = (self.looks, self.previous.is_some());
        let stands = looks.still && !last.still && looks.look == Look::Ordinary;
        Doubts {
            turned: known && looks.look != last.look,
            moved: known && last.still && !looks.still,
            stood: known && stands,
        }
    }

    /// Decodes a span of pictures and says of each what it looks like and whether it is the same as a key picture.
    fn look_at(&mut self, units: Vec<Arc<Unit>>, key: &Blocks, goes_on: GoesOn<'_>) -> Vec<Sight> {
        self.restart_decoder();
        self.decoder_grew = true;
        let (mut sights, mut blocks) = (Vec::new(), Blocks::default());
        let mut see = |picture: Picture<'_>| {
            if picture.is_whole()
                && let Some(luma) = picture.luma()
                && blocks.reduce(time_of(picture.tag(), Duration::ZERO), luma, picture.chroma())
            {
                let same = blocks.change(key).as_ref().is_some_and(resembles);
                sights.push(Sight { at: blocks.media_time, look: blocks.look(), same });
            }
        };
        let mut after_key = false;
        for unit in units {
            goes_on();
            // What lay between two key pictures may not be kept any more.
            if mem::replace(&mut after_key, unit.key) && unit.key {
                let _ = self.decoder.drain(&mut see);
            }
            // What is damaged is not seen, and told where it is decoded for its own sake.
            let _ = self.decoder.decode(&unit.data, tag_of(unit.media_time), &mut see);
        }
        let _ = self.decoder.drain(&mut see);
        sights
    }

    /// Decodes the groups of pictures before the last key picture.
    fn survey(&mut self, key: &Arc<Unit>, replies: &mut Vec<Reply>, goes_on: GoesOn<'_>) {
        self.restart_decoder();
        self.decoder_grew = true;
        let size = self.previous.as_ref().map_or((0, 0), |last| (last.width, last.height));
        let pixels = size.0 as usize * size.1 as usize;
        let limit = MAX_SURVEY_PIXELS.checked_div(pixels).unwrap_or(0).min(MAX_SURVEY);
        let (mut pictures, mut blocks) = (Vec::new(), Blocks::default());
        let small = &mut self.small;
        for unit in self.history.last_groups(limit, key) {
            goes_on();
            let mut outcome = Outcome::default();
            let decoded = self.decoder.decode(&unit.data, tag_of(unit.media_time), |picture| {
                let at = time_of(picture.tag(), unit.media_time);
                blocks.clear();
                outcome.take(&picture, at, &mut blocks, small);
                if !blocks.is_empty() {
                    pictures.push((at, blocks.signature()));
                }
            });
            outcome.error = decoded.err();
            report_damage(unit.pid, unit.media_time, &outcome, replies);
        }
        self.restart_decoder();
        if !pictures.is_empty() {
            replies.push(Reply::Survey(Survey { pid: key.pid, pictures }));
        }
    }

    /// Decodes what is kept of the group of pictures and this one, and reports the last picture that comes out.
    fn catch_up(
        &mut self,
        unit: Arc<Unit>,
        place: Place,
        replies: &mut Vec<Reply>,
        goes_on: GoesOn<'_>,
    ) {
        let codec = unit.codec;
        self.keep_in_group(unit, place);
        self.current.clear();
        let (mut last, mut dates) = (None, Dates::default());
        let mut look = self.looks.look;
        while let Some(unit) = self.group.pop() {
            goes_on();
            self.decoder_at = DecoderAt::Group;
            let outcome = self.decode_next(&unit);
            report_damage(unit.pid, unit.media_time, &outcome, replies);
            if outcome.shown {
                let at = self.current.media_time;
                let now = self.current.look();
                if mem::replace(&mut look, now) != now {
                    dates.turned = Some(at);
                }
                let change = self.previous.as_ref().and_then(|p| self.current.change(p));
                if dates.changed.is_none() && !change.as_ref().is_some_and(resembles) {
                    dates.changed = Some(at);
                }
                self.leave(self.current.to_keep());
            }
            last = Some((unit.pid, outcome));
        }
        let Some((pid, outcome)) = last.filter(|_| !self.current.is_empty()) else { return };
        let looks = looks_of(&self.stats(pid, &outcome, IsKey::No));
        if self.doubts(looks).stood {
            dates.same_since = self.same_since(codec, goes_on);
        }
        self.publish(pid, &outcome, IsKey::No, dates, replies);
    }

    /// Keeps a picture that was caught up with for a while.
    fn leave(&mut self, blocks: Blocks) {
        self.trail_bytes += blocks.bytes();
        self.trail.push_back(blocks);
        while self.trail_bytes > MAX_TRAIL_BYTES
            && let Some(oldest) = self.trail.pop_front()
        {
            self.trail_bytes -= oldest.bytes();
        }
    }

    fn forget_trail(&mut self) {
        (self.trail, self.trail_bytes) = (VecDeque::new(), 0);
    }

    /// When the first of the pictures up to the previous one is presented that are the same as that, if that is known.
    fn same_since(&mut self, codec: Codec, goes_on: GoesOn<'_>) -> Option<Duration> {
        let previous = self.previous.clone()?;
        let sights = if self.previous_is == IsKey::No {
            let same = |it: &Blocks| it.change(&previous).as_ref().is_some_and(resembles);
            let sight =
                |it: &Blocks| Sight { at: it.media_time, look: Look::Ordinary, same: same(it) };
            let up_to = self.trail.iter().take_while(|it| it.media_time <= previous.media_time);
            up_to.map(sight).collect()
        } else if self.decoder_at == DecoderAt::Group {
            // The decoder is in the middle of a group that goes on.
            let other = VideoDecoder::new(codec, Limits::default()).ok()?;
            let (decoder, grew) = (mem::replace(&mut self.decoder, other), self.decoder_grew);
            let sights = self.look_at(self.history.before(), &previous, goes_on);
            (self.decoder, self.decoder_at) = (decoder, DecoderAt::Group);
            self.decoder_grew = grew;
            sights
        } else {
            self.look_at(self.history.before(), &previous, goes_on)
        };
        start_of_run(&sights, previous.media_time, |sight| sight.same)
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
                self.publish(unit.pid, &outcome, IsKey::No, Dates::default(), replies);
            }
        }
    }

    /// Decodes one access unit after those before it; the current picture is then the latest that is whole.
    fn decode_next(&mut self, unit: &Unit) -> Outcome {
        let mut outcome = Outcome::default();
        let (current, small) = (&mut self.current, &mut self.small);
        let decoded = self.decoder.decode(&unit.data, tag_of(unit.media_time), |picture| {
            outcome.take(&picture, time_of(picture.tag(), unit.media_time), current, small);
        });
        outcome.error = decoded.err();
        outcome
    }

    /// Decodes a key picture by itself and has it out at once.
    fn decode_alone(&mut self, unit: &Unit) -> Outcome {
        let mut outcome = self.decode_next(unit);
        let (current, small) = (&mut self.current, &mut self.small);
        let drained =
            self.decoder.drain(|picture| outcome.take(&picture, unit.media_time, current, small));
        outcome.error = outcome.error.or(drained.err());
        outcome
    }

    /// Replies with the current picture's statistics and makes it the one that the next is measured against.
    fn publish(
        &mut self,
        pid: Pid,
        outcome: &Outcome,
        key: IsKey,
        dates: Dates,
        replies: &mut Vec<Reply>,
    ) {
        let mut stats = self.stats(pid, outcome, key);
        stats.turned = dates.turned;
        if let Some(change) = &mut stats.change {
            (change.same_since, change.changed) = (dates.same_since, dates.changed);
        }
        self.looks = looks_of(&stats);
        if !self.looks.still {
            self.anchor = None;
        } else if self.anchor.is_none() {
            self.anchor.clone_from(&self.previous);
        }
        replies.push(Reply::Picture(stats));
        let spare = self.previous.take().unwrap_or_default();
        self.previous = Some(mem::replace(&mut self.current, spare));
        self.previous_is = key;
    }

    fn stats(&self, pid: Pid, outcome: &Outcome, key: IsKey) -> PictureStats {
        let summary = self.current.summary();
        let mut change = self.previous.as_ref().and_then(|earlier| self.current.change(earlier));
        // What moves slowly is nearly the same from one key picture to the next, and something else after some of them.
        if let Some(change) = &mut change
            && let Some(drift) = self.anchor.as_ref().and_then(|first| self.current.change(first))
        {
            change.worst_tile = change.worst_tile.max(drift.worst_tile);
            change.worst_block = change.worst_block.max(drift.worst_block);
            change.mean = change.mean.max(drift.mean);
            change.same_share = change.same_share.min(drift.same_share);
        }
        PictureStats {
            pid,
            media_time: self.current.media_time,
            profile: self.decoder.profile(),
            width: self.current.width,
            height: self.current.height,
            interlaced: self.current.interlaced,
            sample_aspect: self.current.sample_aspect,
            levels: summary.levels,
            bright_tiles: summary.bright_tiles,
            rest: summary.rest,
            look: summary.look,
            signature: self.current.signature(),
            change,
            turned: None,
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
    Looks { look: stats.look, still: stats.change.as_ref().is_some_and(is_still) }
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
