//! One stream as one agent sees it.
//!
//! A probe is *cold* while nothing can be wrong: then its slices are made up without looking at the truth. It is *hot* from
//! the moment on at which something may hold until all of it is over: then it is stepped ten times a second. Picture, sound
//! and packets are judged by when their media came to the server; what a request finds, by when it was made. So a slice of
//! a delivery in segments is late by its segment, and a player that ran dry stays dry until two more have come.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tallylight_model::{
    Counters, FaultKind, FaultPhase, Hold, Layer, MonoTime, Observed, Profile, ProfileName,
    Severity, Slice, StreamId, WallTime,
};

use super::{
    START, STEP,
    platform::{Conditions, Form},
    player::{Player, SECOND},
};

/// What was seen of one step.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    held: Conditions,
    has_media: bool,
    dropped: bool,
}

/// A condition that holds, or did a moment ago.
#[derive(Clone, Copy, Debug)]
struct Track {
    kind: FaultKind,
    since: u64,
    last: u64,
    declared: Option<Severity>,
}

/// A segment that is complete and not yet fetched.
#[derive(Debug)]
struct Segment {
    start: u64,
    due: u64,
    steps: Vec<Conditions>,
}

/// What is so at one step, of the agent and of the way to the stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// What the stream shows.
    pub(super) shows: Conditions,
    /// Whether the agent's host drops packets.
    pub(super) drops: bool,
    /// How much longer a fetch takes, in steps.
    pub(super) slow: u64,
}

/// One thing said at once.
pub(super) struct Said {
    pub(super) kind: FaultKind,
    pub(super) severity: Severity,
    pub(super) phase: FaultPhase,
    pub(super) onset: MonoTime,
}

/// One stream of an agent.
#[derive(Debug)]
pub(super) struct Probe {
    form: Form,
    /// From which step on the segment that is being made began.
    segment: u64,
    /// How long after its end a segment is fetched.
    fetch: u64,
    /// Up to where media is known.
    complete: u64,
    /// Up to where slices were cut.
    cut: u64,
    hot: Option<Box<Hot>>,
}

/// What a hot probe keeps.
#[derive(Debug)]
struct Hot {
    /// From `cut` on.
    cells: VecDeque<Cell>,
    tracks: Vec<Track>,
    player: Player,
    making: Vec<Conditions>,
    waiting: VecDeque<Segment>,
    /// When the playlist last grew.
    grew: u64,
}

/// The step at which the world begins: what was before counts back from here.
pub(super) const FIRST: u64 = 10_000;

/// When a step ends.
pub(super) fn moment(step: u64) -> MonoTime {
    START - STEP * FIRST as u32 + Duration::from_millis(100 * step)
}

impl Probe {
    /// A probe that has been running for long. `grid` is where its server cuts segments, `fetch` how long after it asks.
    pub(super) fn running(form: Form, now: u64, grid: u64, fetch: u64) -> Self {
        let complete = match form {
            Form::Packets => now,
            Form::Segments(secs) => now - (now + grid) % (secs * SECOND),
        };
        Self { form, segment: complete, fetch, complete, cut: complete, hot: None }
    }

    /// A probe that has just been started.
    pub(super) fn starting(form: Form, now: u64, fetch: u64) -> Self {
        let hot = Hot {
            cells: VecDeque::new(),
            tracks: Vec::new(),
            player: Player::filling(form),
            making: Vec::new(),
            waiting: VecDeque::new(),
            grew: now,
        };
        let hot = Some(Box::new(hot));
        Self { form, segment: now, fetch, complete: now, cut: now, hot }
    }

    pub(super) const fn is_hot(&self) -> bool {
        self.hot.is_some()
    }

    const fn length(&self) -> u64 {
        match self.form {
            Form::Packets => 0,
            Form::Segments(secs) => secs * SECOND,
        }
    }

    /// Begins to look closely, before the step that ends at `now`.
    pub(super) fn heat(&mut self, now: u64) {
        if self.hot.is_some() {
            return;
        }
        let before = now - 1;
        self.advance(before);
        let waiting = self.unfetched(before);
        let cell = |step| Cell { has_media: step < self.complete, ..Cell::default() };
        self.hot = Some(Box::new(Hot {
            cells: (self.cut..before).map(cell).collect(),
            tracks: Vec::new(),
            player: Player::playing(self.form, before.saturating_sub(self.complete + self.fetch)),
            making: vec![Conditions::NONE; before.saturating_sub(self.segment) as usize],
            waiting,
            grew: self.segment,
        }));
    }

    /// A segment that is complete and not fetched while nothing is wrong: at most one.
    fn unfetched(&mut self, now: u64) -> VecDeque<Segment> {
        let length = self.length();
        if length == 0 || now < self.segment + length {
            return VecDeque::new();
        }
        let start = self.segment;
        self.segment += length;
        let steps = vec![Conditions::NONE; length as usize];
        VecDeque::from([Segment { start, due: start + length + self.fetch, steps }])
    }

    /// Brings a cold probe up to a step.
    fn advance(&mut self, now: u64) {
        let length = self.length();
        if length == 0 {
            self.complete = now;
            self.segment = now;
            return;
        }
        while now >= self.segment + length + self.fetch {
            self.segment += length;
            self.complete = self.segment;
        }
    }

    /// Stops looking closely if all is over.
    pub(super) fn cool(&mut self) {
        let Some(hot) = &self.hot else { return };
        let is_clear = |it: &[Conditions]| it.iter().all(|it| it.is_empty());
        let calm = hot.tracks.is_empty()
            && hot.player.is_playing()
            && hot.cells.iter().all(|it| it.held.is_empty() && !it.dropped)
            && hot.waiting.is_empty()
            && is_clear(&hot.making)
            && self.segment + hot.making.len() as u64 == self.cut + hot.cells.len() as u64;
        if calm {
            self.hot = None;
        }
    }

    /// Goes on by the step that ends at `now`. Answers what it says at once.
    pub(super) fn step(&mut self, now: u64, moment: Moment, said: &mut Vec<Said>) {
        match self.form {
            Form::Packets => self.packets(now, moment, said),
            Form::Segments(_) => self.segments(now, moment, said),
        }
    }

    fn packets(&mut self, now: u64, seen: Moment, said: &mut Vec<Said>) {
        let Some(hot) = &mut self.hot else { return };
        self.complete = now;
        self.segment = now;
        let mut held = seen.shows;
        if seen.drops {
            // What its own host lost is not the stream's.
            held = Conditions::NONE.with(FaultKind::PathDegraded);
        } else {
            if !is_gone(held) {
                hot.player.take(1);
            }
            hot.player.play();
            if hot.player.is_dry() {
                held = held.with(FaultKind::Stall);
            }
        }
        let has_media = !seen.drops && !is_gone(held);
        hot.cells.push_back(Cell { held, has_media, dropped: seen.drops });
        hot.declare(now - 1, held, |_| true, said);
    }

    /// Media is seen when its segment is complete and was fetched; a dead way is seen at once.
    fn segments(&mut self, now: u64, seen: Moment, said: &mut Vec<Said>) {
        let length = self.length();
        let Some(hot) = &mut self.hot else { return };
        let found = seen.shows.only(|it| is_of_arrival(it) && it != FaultKind::NoData);
        let unreachable = is_gone(found);
        if is_gone(seen.shows) {
            hot.making.clear();
            self.segment = now;
        } else {
            hot.making.push(seen.shows.only(|it| !is_of_arrival(it)));
            if hot.making.len() as u64 >= length {
                let (start, steps) = (self.segment, std::mem::take(&mut hot.making));
                let due = now + self.fetch + seen.slow;
                hot.waiting.push_back(Segment { start, due, steps });
                self.segment = now;
                hot.grew = now;
                // A player that is this far behind has lost them: they are off the playlist.
                while hot.waiting.len() > 5 {
                    hot.waiting.pop_front();
                }
            }
        }
        hot.player.play();
        let mut arrival = found;
        if !unreachable && now - hot.grew > length + length / 2 {
            arrival = arrival.with(FaultKind::PlaylistStale);
        }
        if hot.player.is_dry() {
            arrival = arrival.with(FaultKind::Stall);
        }
        hot.cells.push_back(Cell { held: arrival, ..Cell::default() });
        hot.declare(now - 1, arrival, is_of_arrival, said);
        if !unreachable && hot.waiting.front().is_some_and(|it| it.due <= now) {
            let Some(segment) = hot.waiting.pop_front() else { return };
            hot.player.take(segment.steps.len() as u64);
            self.complete = segment.start + segment.steps.len() as u64;
            for (at, shows) in (segment.start..).zip(segment.steps) {
                hot.declare(at, shows, |it| !is_of_arrival(it), said);
                let place = at.checked_sub(self.cut).and_then(|it| usize::try_from(it).ok());
                if let Some(cell) = place.and_then(|it| hot.cells.get_mut(it)) {
                    cell.held = cell.held.and(shows);
                    cell.has_media = true;
                }
            }
        }
    }

    /// Cuts what is complete by now into slices of `seconds`, and of less at the end of a segment.
    pub(super) fn slices(
        &mut self,
        now: u64,
        seconds: u64,
        stream: &StreamId,
        skew: i64,
        blind: bool,
        out: &mut Vec<Slice>,
    ) {
        if self.hot.is_none() {
            self.advance(now);
        }
        let patience = self.length() * 3 / 2 + SECOND;
        loop {
            let whole = self.complete.saturating_sub(self.cut) / SECOND;
            let steps = if whole > 0 {
                whole.min(if self.hot.is_some() { 1 } else { seconds }) * SECOND
            } else if self.hot.is_some() && now >= self.cut + SECOND + patience {
                SECOND
            } else {
                return;
            };
            out.push(self.slice(steps, stream, skew, blind));
            self.cut += steps;
        }
    }

    fn slice(&mut self, steps: u64, stream: &StreamId, skew: i64, blind: bool) -> Slice {
        let length = STEP * steps as u32;
        let first = moment(self.cut);
        let mut slice = Slice {
            stream: stream.clone(),
            start: WallTime::from_unix_millis((first.as_nanos() / 1_000_000) as i64 + skew),
            end: first + length,
            length,
            observed: Observed {
                transport: length,
                picture: length,
                sound: length,
                delivery: length,
            },
            conditions: BTreeMap::new(),
            standing: BTreeMap::new(),
            counters: Counters::default(),
            latencies: Vec::new(),
            fingerprint: Default::default(),
        };
        if let Some(hot) = &mut self.hot {
            hot.fill(steps, &mut slice);
        }
        if blind {
            slice.observed.picture = Duration::ZERO;
            slice.observed.sound = Duration::ZERO;
        }
        slice
    }
}

impl Hot {
    fn fill(&mut self, steps: u64, slice: &mut Slice) {
        let taken: Vec<Cell> = self.cells.drain(..(steps as usize).min(self.cells.len())).collect();
        let dropped = taken.iter().any(|it| it.dropped);
        for kind in taken.iter().flat_map(|it| it.held.iter()) {
            if !dropped || kind.rule().class.is_none() {
                *slice.conditions.entry(kind).or_insert(Duration::ZERO) += STEP;
            }
        }
        let media = taken.iter().filter(|it| it.has_media).count() as u32;
        let seen = if dropped { Duration::ZERO } else { STEP * media };
        slice.observed.transport = seen;
        slice.observed.picture = seen;
        slice.observed.sound = seen;
        if dropped {
            slice.observed.delivery = Duration::ZERO;
            slice.counters.receive_dropped = 10;
        }
        let declared = self.tracks.iter().filter_map(|it| Some((it.kind, it.declared?)));
        slice.standing = declared.collect();
    }

    /// Brings faults of some kinds in line with what held at a step of their time line.
    fn declare(
        &mut self,
        at: u64,
        held: Conditions,
        of: impl Fn(FaultKind) -> bool,
        said: &mut Vec<Said>,
    ) {
        if held.is_empty() && self.tracks.is_empty() {
            return;
        }
        for kind in held.iter().filter(|&it| of(it)) {
            let known = self.tracks.iter().position(|it| it.kind == kind);
            let place = known.unwrap_or_else(|| {
                self.tracks.push(Track { kind, since: at, last: at, declared: None });
                self.tracks.len() - 1
            });
            let track = &mut self.tracks[place];
            track.last = at;
            let severity = severity(hold(kind), STEP * (at - track.since + 1) as u32);
            if severity > track.declared
                && let Some(severity) = severity
            {
                let phase = track.declared.map_or(FaultPhase::Begin, |_| FaultPhase::Raise);
                track.declared = Some(severity);
                said.push(Said { kind, severity, phase, onset: moment(track.since) });
            }
        }
        self.tracks.retain(|it| {
            let clear = if it.declared.is_some() { hold(it.kind).clear } else { STEP * 2 };
            let over = of(it.kind)
                && !held.contains(it.kind)
                && STEP * (at.saturating_sub(it.last)) as u32 >= clear;
            if over && let Some(severity) = it.declared {
                let phase = FaultPhase::End(moment(it.last + 1));
                said.push(Said { kind: it.kind, severity, phase, onset: moment(it.since) });
            }
            !over
        });
    }
}

fn hold(kind: FaultKind) -> Hold {
    Profile::new(ProfileName::Default).hold(kind)
}

fn severity(hold: Hold, lasted: Duration) -> Option<Severity> {
    match (hold.critical, hold.warning) {
        (Some(critical), _) if lasted >= critical => Some(Severity::Critical),
        (_, Some(warning)) if lasted >= warning => Some(Severity::Warning),
        _ => None,
    }
}

fn is_gone(shows: Conditions) -> bool {
    [FaultKind::Unreachable, FaultKind::HttpError, FaultKind::NoData]
        .iter()
        .any(|&it| shows.contains(it))
}

/// Whether a kind is judged by when it was found and not by when its media was made.
fn is_of_arrival(kind: FaultKind) -> bool {
    kind.rule().layer == Layer::Delivery || kind == FaultKind::NoData
}
