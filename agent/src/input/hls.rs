//! Follows a live HLS stream (RFC 8216): when to load what, and what is wrong with the delivery.
//!
//! Decisions:
//! - The highest variant is watched: it is what most viewers get, and the first to suffer.
//! - Sound in a playlist of its own (EXT-X-MEDIA) is not watched: a variant with its sound inside is chosen before, and where there is
//!   none the session is told, so that the sound is unobserved rather than missing.
//! - A probe starts with the *newest* complete segment. A player starts three target durations back to have a cushion;
//!   a probe wants evidence that is as fresh as can be, and the cushion is kept as an account instead ([`Player`]),
//!   credited with the segments before the newest as if they had been loaded.
//! - A playlist is reloaded one target duration after its last load began, half of that while it does not change
//!   (RFC 8216, 6.3.4).
//! - It is stale after three target durations without change. A server must write the next version within one and a half
//!   (6.2.2), but at that point no viewer sees anything yet; at three the players that started as 6.3.3 says run dry.
//! - A segment that cannot be fetched is tried once more, since servers list some a moment too early.
//! - Media sequence numbers that go back are an old copy in some cache until the list that went back is seen to grow: then
//!   the origin began anew and is followed. Either way nothing new comes, so the clock of staleness runs on.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tallylight_model::{FaultKind, MonoTime};

use super::{
    Backoff, FetchError, InputEvent, Purpose, SoundPlace, StreamUrl,
    player::{Buffering, Player},
    playlist::{self, Media, MediaSegment, Playlist},
};

mod condition;
mod exchange;
mod variant;

use condition::{Conditions, Place};
pub use exchange::{HlsInput, HlsOutput, PlaylistAnswer};

/// How many target durations without change make a playlist stale.
const STALE_TARGETS: u32 = 3;
/// Bounds of the time between reloads, whatever the target duration says.
const RELOAD: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(500)..=Duration::from_secs(30);
/// The longest wait before a failed segment is tried again.
const SEGMENT_RETRY: Duration = Duration::from_secs(1);
/// Segments that may wait for their turn before the oldest are skipped, as a player would seek to the live edge.
const MAX_BEHIND: usize = 10;
/// Failed loads of a variant's playlist in a row after which the master is asked for a new address.
const MAX_VARIANT_FAILURES: u32 = 3;
/// How often a probe tries to load the first playlist before it says that the stream cannot be read.
const PROBE_TRIES: u32 = 2;
/// Segments of a player's cushion.
const CUSHION: usize = 3;

/// What is known of the media playlist.
#[derive(Debug)]
struct Known {
    /// The number after its last segment.
    edge: u64,
    target: Duration,
    ended: bool,
    changed: MonoTime,
    /// The edge of a list that went back, while it is not believed.
    back: Option<u64>,
}

/// A segment to fetch.
#[derive(Debug)]
struct Pending {
    url: Option<StreamUrl>,
    segment: MediaSegment,
    attempt: Attempt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

/// One HLS stream, followed.
#[derive(Debug)]
pub struct HlsSession {
    purpose: Purpose,
    url: StreamUrl,
    /// The variant's playlist, where `url` is a master.
    variant: Option<StreamUrl>,
    sound: SoundPlace,
    out: VecDeque<HlsOutput>,
    over: bool,
    open: bool,
    /// When to load the playlist next; `None` while it is being loaded.
    reload: Option<MonoTime>,
    reload_begun: MonoTime,
    backoff: Backoff,
    failures: u32,
    known: Option<Known>,
    queue: VecDeque<Pending>,
    /// The segment that waits for its second try.
    retry: Option<(MonoTime, Pending)>,
    loading: Option<Pending>,
    /// A discontinuity stands before the next segment to come out: what was skipped is not the stream's break.
    discontinuity: bool,
    conditions: Conditions,
    player: Option<Player>,
}

impl HlsSession {
    /// Begins with the playlist at `url`, to be loaded at once.
    #[must_use]
    pub fn new(url: StreamUrl, purpose: Purpose, now: MonoTime) -> Self {
        Self {
            purpose,
            url,
            variant: None,
            sound: SoundPlace::Inside,
            out: VecDeque::new(),
            over: false,
            open: false,
            reload: Some(now),
            reload_begun: now,
            backoff: Backoff::default(),
            failures: 0,
            known: None,
            queue: VecDeque::new(),
            retry: None,
            loading: None,
            discontinuity: false,
            conditions: Conditions::default(),
            player: None,
        }
    }

    /// Takes an answer.
    pub fn handle(&mut self, now: MonoTime, input: HlsInput) {
        self.play(now);
        match input {
            HlsInput::Playlist(result) => {
                self.event(InputEvent::Request { at: now, failed: result.is_err() });
                match result {
                    Ok(answer) => self.playlist(now, &answer),
                    Err(failure) => self.playlist_failed(now, &failure),
                }
            }
            HlsInput::Segment { fetch, result } => {
                self.event(InputEvent::Request { at: now, failed: result.is_err() });
                if let Some(pending) = self.loading.take() {
                    match result {
                        Ok(data) => self.segment(now, pending, fetch, data),
                        Err(failure) => self.segment_failed(now, pending, &failure),
                    }
                }
            }
        }
        self.handle_deadline(now);
    }

    /// Notes for how long this host did not look after the stream: no player waited then.
    pub fn missed(&mut self, span: Duration) {
        if let Some(player) = &mut self.player {
            player.pause(span);
        }
    }

    /// Does what is due.
    pub fn handle_deadline(&mut self, now: MonoTime) {
        self.play(now);
        if self.reload.is_some_and(|reload| reload <= now) {
            self.reload = None;
            self.reload_begun = now;
            let url = self.variant.as_ref().unwrap_or(&self.url).clone();
            self.out.push_back(HlsOutput::FetchPlaylist(url));
        }
        self.load_segment(now);
        self.check_end(now);
    }

    /// Returns what to do; drain until `None`.
    pub fn poll(&mut self) -> Option<HlsOutput> {
        self.out.pop_front()
    }

    /// When to call [`handle_deadline`](Self::handle_deadline) if no answer comes.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        let retry = self.retry.as_ref().map(|(at, _)| *at);
        let dry = self.player.as_ref().and_then(Player::deadline);
        [self.reload, retry, dry].into_iter().flatten().min().filter(|_| !self.over)
    }

    fn event(&mut self, event: InputEvent) {
        if !self.over {
            self.over = matches!(event, InputEvent::End { .. });
            self.out.push_back(HlsOutput::Event(event));
        }
    }

    fn end(&mut self, now: MonoTime, error: Option<String>) {
        self.reload = None;
        self.queue.clear();
        self.retry = None;
        self.event(InputEvent::End { at: now, error });
    }

    /// Notes whether a condition holds in one place; `evidence` says what was seen, `None` that it is over.
    fn condition(&mut self, at: MonoTime, kind: FaultKind, place: Place, evidence: Option<String>) {
        if let Some(event) = self.conditions.note(at, kind, place, evidence) {
            self.event(event);
        }
    }

    /// Lets the virtual player play up to now.
    fn play(&mut self, now: MonoTime) {
        let Some(player) = &mut self.player else { return };
        player.handle_deadline(now);
        while let Some((at, stalls)) = self.player.as_mut().and_then(Player::poll) {
            let evidence = stalls.then(|| "a player's buffer of three segments ran dry".to_owned());
            self.condition(at, FaultKind::Stall, Place::Segment, evidence);
        }
    }

    // Playlists.

    fn playlist_failed(&mut self, now: MonoTime, failure: &FetchError) {
        self.open = false;
        self.failures += 1;
        let kind = failure.kind();
        let other = match kind {
            FaultKind::Unreachable => FaultKind::HttpError,
            _ => FaultKind::Unreachable,
        };
        self.condition(now, other, Place::Playlist, None);
        self.condition(now, kind, Place::Playlist, Some(format!("playlist: {failure}")));
        let tries = if failure.is_timeout() { 1 } else { PROBE_TRIES };
        self.retry_playlist(now, &failure.to_string(), tries);
    }

    /// Plans the next try after a playlist that could not be used. A probe gives up after so many.
    fn retry_playlist(&mut self, now: MonoTime, why: &str, tries: u32) {
        if self.purpose == Purpose::Probe && self.known.is_none() && self.failures >= tries {
            return self.end(now, Some(why.to_owned()));
        }
        if self.failures.is_multiple_of(MAX_VARIANT_FAILURES) {
            self.variant = None;
        }
        self.reload = Some(now + self.backoff.delay());
    }

    fn playlist(&mut self, now: MonoTime, answer: &PlaylistAnswer) {
        let reading = playlist::read(&answer.body);
        let broken = reading.broken();
        let html = broken.filter(|found| found.rule == playlist::Rule::Html);
        self.condition(now, FaultKind::Unreachable, Place::Playlist, None);
        let evidence = html.map(|found| format!("playlist {}", found.rule));
        self.condition(now, FaultKind::HttpError, Place::Playlist, evidence);
        if reading.playlist.is_some() && !std::mem::replace(&mut self.open, true) {
            self.event(InputEvent::Opened { phases: answer.phases, at: now });
        }
        let unusable = match reading.playlist {
            Some(Playlist::Media(list)) => {
                let evidence = broken.map(|found| found.to_string());
                self.condition(now, FaultKind::PlaylistInvalid, Place::Playlist, evidence);
                self.failures = 0;
                self.backoff.reset();
                return self.media(now, &answer.url, &list);
            }
            Some(Playlist::Master(master)) => match variant::choose(&master) {
                Some(chosen) if self.variant.is_none() => match answer.url.join(&chosen.uri) {
                    Some(url) => {
                        self.variant = Some(url);
                        self.reload = Some(now);
                        let place = variant::sound_place(&master, chosen);
                        if std::mem::replace(&mut self.sound, place) != place {
                            self.event(InputEvent::Sound { at: now, place });
                        }
                        return;
                    }
                    None => "the variant's address cannot be used".to_owned(),
                },
                Some(_) => "a variant is itself a master playlist".to_owned(),
                None => "master playlist without a variant".to_owned(),
            },
            None => broken.map(|found| found.to_string()).unwrap_or_default(),
        };
        if html.is_none() {
            let evidence = Some(unusable.clone());
            self.condition(now, FaultKind::PlaylistInvalid, Place::Playlist, evidence);
        }
        self.failures += 1;
        self.retry_playlist(now, &unusable, PROBE_TRIES);
    }

    fn media(&mut self, now: MonoTime, base: &StreamUrl, list: &Media) {
        if list.segments.iter().any(|segment| segment.mapped) {
            let error = "segments are fragmented MP4 (EXT-X-MAP), not a transport stream";
            return self.end(now, Some(error.to_owned()));
        }
        let changed = self.advance(now, base, list);
        let target = list.target.clamp(*RELOAD.start(), *RELOAD.end());
        let wait = if changed { target } else { (target / 2).max(*RELOAD.start()) };
        // A recording does not change (RFC 8216, 6.3.4), but a watched channel may come back.
        let ended = self.known.as_ref().is_some_and(|known| known.ended);
        let recording = ended && self.purpose != Purpose::Watch;
        self.reload = (!recording).then(|| (self.reload_begun + wait).max(now));
        self.check_stale(now);
    }

    /// Brings what is known up to date; returns whether anything new came.
    fn advance(&mut self, now: MonoTime, base: &StreamUrl, list: &Media) -> bool {
        let edge = list.edge();
        let (target, ended) = (list.target, list.ended);
        let Some(known) = &mut self.known else {
            self.known = Some(Known { edge, target, ended, changed: now, back: None });
            self.start(now, base, list);
            return true;
        };
        known.target = target;
        let from = known.edge;
        if edge < from {
            let Some(before) = known.back.replace(edge).filter(|before| *before < edge) else {
                return false;
            };
            // It grows from `before`: the origin began anew.
            *known = Known { edge, target, ended, changed: now, back: None };
            self.queue.clear();
            self.retry = None;
            self.discontinuity = true;
            self.enqueue(base, list, before.max(list.sequence));
            let evidence = format!("media sequence went back from {from} to {before}");
            self.condition(now, FaultKind::PlaylistInvalid, Place::Sequence, Some(evidence));
            return true;
        }
        let newly_ended = ended && !known.ended;
        let changed = if edge > from { now } else { known.changed };
        *known = Known { edge, target, ended, changed, back: None };
        if edge == from {
            return newly_ended;
        }
        self.condition(now, FaultKind::PlaylistInvalid, Place::Sequence, None);
        if self.player.is_some() {
            self.enqueue(base, list, from);
        } else {
            self.start(now, base, list);
        }
        true
    }

    /// Takes the first list: the newest segment, or all of a recording that is probed.
    fn start(&mut self, now: MonoTime, base: &StreamUrl, list: &Media) {
        let edge = list.edge();
        if list.ended && self.purpose != Purpose::Watch {
            self.event(InputEvent::Recording { bytes: None });
            return self.enqueue(base, list, list.sequence);
        }
        let mut cushion = list.segments.iter().rev().take(CUSHION).map(|segment| segment.duration);
        let Some(newest) = cushion.next() else { return };
        let before: Duration = cushion.sum();
        let full = list.segments.len() >= CUSHION;
        let three = if full { newest + before } else { newest.saturating_mul(3) };
        let mut player = Player::new(Buffering::segments(three), now);
        player.handle(now, before);
        self.player = Some(player);
        self.enqueue(base, list, edge.saturating_sub(1));
    }

    /// Queues the segments from a number on, and skips what is no longer listed or too far behind.
    fn enqueue(&mut self, base: &StreamUrl, list: &Media, from: u64) {
        let fresh = list.segments.iter().filter(|segment| segment.sequence >= from);
        self.queue.extend(fresh.map(|segment| Pending {
            url: base.join(&segment.uri),
            segment: segment.clone(),
            attempt: Attempt::First,
        }));
        if list.ended {
            return;
        }
        while let Some(oldest) = self.queue.front()
            && (oldest.segment.sequence < list.sequence || self.queue.len() > MAX_BEHIND)
        {
            self.discontinuity = true;
            self.queue.pop_front();
        }
    }

    fn check_stale(&mut self, now: MonoTime) {
        let Some(known) = &self.known else { return };
        // The list is as new as its request at least, however long its answer waited here.
        let still = self.reload_begun.since(known.changed);
        let evidence = if known.ended {
            (self.purpose == Purpose::Watch).then(|| "ended by EXT-X-ENDLIST".to_owned())
        } else {
            let target = known.target;
            (still >= target * STALE_TARGETS).then(|| {
                let (still, target) = (still.as_secs_f64(), target.as_secs_f64());
                format!("unchanged for {still:.1} s with a target duration of {target:.0} s")
            })
        };
        self.condition(now, FaultKind::PlaylistStale, Place::Playlist, evidence);
    }

    fn check_end(&mut self, now: MonoTime) {
        let ended = self.known.as_ref().is_some_and(|known| known.ended);
        let idle = self.queue.is_empty() && self.loading.is_none() && self.retry.is_none();
        if ended && idle {
            // Nothing more is promised, so nothing can be late.
            self.player = None;
            self.condition(now, FaultKind::Stall, Place::Segment, None);
            if self.purpose != Purpose::Watch && !self.over {
                self.end(now, None);
            }
        }
    }

    // Segments.

    fn load_segment(&mut self, now: MonoTime) {
        while self.loading.is_none() && !self.over {
            let pending = match self.retry.take() {
                Some((at, pending)) if at <= now => pending,
                Some(waiting) => {
                    self.retry = Some(waiting);
                    return;
                }
                None => match self.queue.pop_front() {
                    Some(pending) => pending,
                    None => return,
                },
            };
            let Some(url) = pending.url.clone().filter(|_| !pending.segment.gap) else {
                let why = if pending.segment.gap { "EXT-X-GAP" } else { "address cannot be used" };
                self.missing(now, &pending.segment, why);
                continue;
            };
            let within = self.within();
            self.out.push_back(HlsOutput::FetchSegment {
                url,
                range: pending.segment.range,
                within,
            });
            self.loading = Some(pending);
        }
    }

    /// A segment that takes longer than the whole cushion lasts has long since stopped every player.
    fn within(&self) -> Duration {
        let target = self.known.as_ref().map_or(Duration::ZERO, |known| known.target);
        (target * STALE_TARGETS).clamp(Duration::from_secs(10), Duration::from_secs(60))
    }

    fn segment(&mut self, now: MonoTime, pending: Pending, fetch: Duration, data: Bytes) {
        let segment = pending.segment;
        self.condition(now, FaultKind::SegmentMissing, Place::Segment, None);
        self.condition(now, FaultKind::Unreachable, Place::Segment, None);
        if let Some(player) = &mut self.player {
            player.handle(now, segment.duration);
        }
        self.play(now);
        let discontinuity = std::mem::take(&mut self.discontinuity) | segment.discontinuity;
        let encrypted = segment.encryption.as_ref().map(|method| {
            // The method is the server's text: only what looks like one is repeated.
            let plain = method.len() <= 16
                && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            format!("segments are encrypted ({})", if plain { method } else { "unknown method" })
        });
        let readable = encrypted.is_none();
        self.condition(now, FaultKind::Scrambled, Place::Segment, encrypted);
        if !readable {
            return;
        }
        let target = self.known.as_ref().map_or(segment.duration, |known| known.target);
        self.event(InputEvent::Segment {
            at: now,
            sequence: segment.sequence,
            duration: segment.duration,
            target,
            discontinuity,
            programme_date_time: segment.programme_date_time,
            fetch,
            data,
        });
    }

    fn segment_failed(&mut self, now: MonoTime, pending: Pending, failure: &FetchError) {
        if pending.attempt == Attempt::First {
            let wait = SEGMENT_RETRY.min(pending.segment.duration / 2);
            let pending = Pending { attempt: Attempt::Second, ..pending };
            self.retry = Some((now + wait, pending));
            return;
        }
        match failure.kind() {
            FaultKind::Unreachable => {
                self.discontinuity = true;
                let evidence = Some(format!("segment: {failure}"));
                self.condition(now, FaultKind::Unreachable, Place::Segment, evidence);
            }
            _ => self.missing(now, &pending.segment, &failure.to_string()),
        }
    }

    fn missing(&mut self, now: MonoTime, segment: &MediaSegment, why: &str) {
        self.discontinuity = true;
        let evidence = Some(format!("segment {}: {why}", segment.sequence));
        self.condition(now, FaultKind::SegmentMissing, Place::Segment, evidence);
    }
}

#[cfg(test)]
mod tests;
