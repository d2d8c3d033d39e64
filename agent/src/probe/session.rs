//! The session of one URL: one analyser, several views.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tallylight_model::{
    Counters, FaultKind, LatencySample, MonoTime, Pid, Ratio, Severity, StreamId, WallTime,
};
use tallylight_ts::{Analyser, AnalyserConfig, CheckClock, CheckProfile, Payload, Wanted};

use super::{
    Output, Scrutiny,
    expected::must_be_clear,
    routing::stream_id,
    tally::{Correction, Gone},
    timeline::{Spans, Timeline, Viewer},
    view::{LIVE_WINDOW, Part, Progress, View, ViewConfig},
};
use crate::{
    assignment::Expectation,
    decode::{Reply, WorkerFailure},
    input::{
        InputEvent, SoundPlace,
        arrival::Arrival,
        rtp::{Fec, RtpCounts},
    },
    picture::Slates,
    sound::Reading,
    tracker::Evidence,
};

/// Without packets for this long there is a condition; its onset is the last packet.
const NO_DATA_AFTER: Duration = Duration::from_secs(1);
/// A host that did not read a connection for this long may have missed what the server threw away meanwhile.
const PAUSE: Duration = Duration::from_millis(1_500);
/// What is read by HTTP this long after the look before may have been there all the while.
const LATE: Duration = Duration::from_millis(300);
/// For so long after a late look what is read is still what waited.
const CATCH_UP: Duration = Duration::from_millis(200);
/// The longest that slices wait for an input that is behind the clock.
const MAX_BEHIND: Duration = Duration::from_secs(2);
/// How long after the begin slices wait for the first media by HTTP, which may be a segment and then belongs to the past.
const FIRST_MEDIA: Duration = Duration::from_secs(10);
/// A session that is due to nothing else looks at the clock this often, so that a pause shows.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// For so long after own drops nothing is concluded: counters and decoder find back.
const BLIND_AFTER: Duration = Duration::from_secs(1);
/// Bytes pushed before events are taken out.
const CHUNK: usize = 64 << 10;
/// RTP packets whose time on the way varies by more within a second come unevenly. ffmpeg stamps with the time of presentation and sends
/// at that of decoding, which makes 0.2 s of three B-frames at 25 a second on an even way; players keep 0.5 s or more. Streams
/// without RTP are not judged: the clock inside says when a packet should be played and not when it was sent.
const MAX_SPREAD: Duration = Duration::from_millis(500);

/// What the bytes come from; it decides by which clock silence is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Datagrams: the stream is open as soon as the socket is.
    Datagrams,
    /// A live stream by HTTP, as a transport stream or in segments.
    Http,
    /// A recording, read as fast as it can be. Its time is media time.
    Recording,
}

/// Which services are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// These streams of the lineup.
    Streams(Vec<ViewConfig>),
    /// Whatever the tables list, or one service of it, by the same expectation.
    Everything {
        /// Only this one.
        only: Option<u16>,
        /// What is expected of each.
        expectation: Expectation,
    },
}

/// How a session is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// What the bytes come from.
    pub source: Source,
    /// Which services are watched.
    pub watched: Watched,
    /// Whether access units are cut out for a decoder.
    pub decoding: Decoding,
    /// The known slates.
    pub slates: Slates,
    /// When the input was asked to open.
    pub began: MonoTime,
    /// The wall clock then.
    pub wall: WallTime,
    /// The start of a slice that begins then. It is a slice's name, so all sessions of a run must go by one clock that never
    /// steps back: what begins before slices that are known counts as known.
    pub named: WallTime,
}

/// Whether access units are cut out for a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoding {
    /// They are.
    On,
    /// Picture and sound are left out.
    Off,
}

/// The session of one URL.
pub struct Session {
    pub(super) config: SessionConfig,
    pub(super) analyser: Analyser,
    segments: Option<Segments>,
    /// Segments come and cannot be looked into: they are encrypted.
    sealed: bool,
    sound: SoundPlace,
    pub(super) views: Vec<View>,
    now: MonoTime,
    /// Up to when the input had looked at everything. Silence is judged by this and not by the clock: what this host was too late to
    /// look at is not missing.
    looked: MonoTime,
    /// What a connection brings up to the second moment may have been there since the first.
    late: Option<(MonoTime, MonoTime)>,
    open_since: Option<MonoTime>,
    opened: bool,
    last_arrival: MonoTime,
    packets: u64,
    scrambled: u64,
    open: Spans,
    pub(super) blind: Spans,
    pub(super) blind_until: MonoTime,
    gone: Gone,
    /// Forward error correction came beside the stream.
    pub(super) correction: Correction,
    pub(super) outputs: VecDeque<Output>,
}

/// That the stream comes in segments.
#[derive(Clone, Copy, Debug)]
struct Segments {
    target: Duration,
}

impl Session {
    /// Starts a session; nothing is known yet.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        let analyser = analyser(&config, None);
        let live = config.source == Source::Datagrams;
        let mut session = Self {
            analyser,
            segments: None,
            sealed: false,
            sound: SoundPlace::Inside,
            views: Vec::new(),
            now: config.began,
            looked: config.began,
            late: None,
            open_since: live.then_some(config.began),
            opened: false,
            last_arrival: config.began,
            packets: 0,
            scrambled: 0,
            open: Spans::default(),
            blind: Spans::default(),
            blind_until: MonoTime::ZERO,
            gone: Gone::default(),
            correction: Correction::default(),
            outputs: VecDeque::new(),
            config,
        };
        match session.config.watched.clone() {
            Watched::Streams(streams) => {
                for stream in streams {
                    session.add_view(Part::Stream, stream);
                }
            }
            Watched::Everything { expectation, .. } => {
                if let Some(stream) = stream_id("multiplex") {
                    let view = ViewConfig { stream, service: None, expectation };
                    session.add_view(Part::Multiplex, view);
                }
            }
        }
        session
    }

    /// Whether packets should come: not while the stream is not open, or may yet turn out to come in segments.
    fn expects_packets(&self) -> bool {
        let known = self.config.source == Source::Datagrams || self.packets > 0;
        known && self.segments.is_none() && self.open_since.is_some()
    }

    /// Takes what the input said. `now` is the clock as it is, not as the event has it.
    pub fn handle(&mut self, now: MonoTime, event: InputEvent) {
        self.wake(now);
        if let Some(at) = event.at() {
            self.look(at);
        }
        match event {
            InputEvent::Opened { phases, at } => self.handle_opened(phases, at),
            InputEvent::Bytes { at, data } => {
                self.ingest(at, Duration::ZERO, &data);
                self.arrived(at);
            }
            InputEvent::Quiet { .. } => self.judge_silence(),
            InputEvent::Sound { at, place } => {
                self.sound = place;
                self.views.iter_mut().for_each(|view| view.place_sound(place, at));
            }
            InputEvent::Segment { .. } => self.handle_segment(event),
            InputEvent::Dropped { at, datagrams } => {
                self.analyser.unobserved();
                self.views.iter_mut().for_each(|v| v.counters.receive_dropped += datagrams);
                let from = self.last_arrival.min(at);
                let evidence = format!("this host dropped {datagrams} datagrams on receipt");
                self.blind(from, at, &evidence);
                // What was dropped did arrive.
                self.arrived(at);
            }
            // Whoever made this session chose its source, and what comes is looked at as it is.
            InputEvent::Recording { .. } | InputEvent::Framing { .. } => {}
            InputEvent::Fec { fec, .. } => self.handle_correction(fec),
            InputEvent::Arrival { at, arrival } => self.handle_arrival(at, &arrival),
            InputEvent::Rtp { at, counts } => self.handle_rtp(at, counts),
            InputEvent::Condition { at, kind, holds, evidence } => {
                self.handle_condition(at, kind, holds, &evidence);
            }
            InputEvent::Request { failed, .. } => {
                for view in &mut self.views {
                    view.counters.http_requests += 1;
                    view.counters.http_errors += u64::from(failed);
                }
            }
            InputEvent::End { error, .. } => {
                self.analyser.finish();
                self.route_events();
                self.outputs.push_back(Output::Ended(error));
            }
        }
        self.settle();
    }

    /// Takes the decoder's answers to `handled` requests of a view.
    pub fn decoded(&mut self, now: MonoTime, view: usize, handled: u64, replies: Vec<Reply>) {
        self.wake(now);
        let (blind, until) = (&self.blind, self.blind_until);
        let at = self.now;
        if let Some(view) = self.views.get_mut(view) {
            if !replies.is_empty() {
                view.decoder_works(at);
            }
            view.decoded(now, handled, replies, |at| at <= until && blind.contains(at));
        }
        self.settle();
    }

    /// Takes that a request of a view was passed over: what it holds is not observed.
    pub fn skipped(&mut self, now: MonoTime, view: usize) {
        self.decoded(now, view, 1, Vec::new());
    }

    /// Takes that the decoder failed on a view, which is not decoded for a while.
    pub fn decoder_failed(
        &mut self,
        now: MonoTime,
        view: usize,
        how: WorkerFailure,
        pause: Duration,
    ) {
        self.wake(now);
        let at = self.now;
        if let Some(view) = self.views.get_mut(view) {
            view.decoder_failed(at, how, pause);
        }
        self.settle();
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: MonoTime) {
        self.wake(now);
        self.settle();
    }

    /// The host is saturated, for the reason given, or is so no longer.
    pub fn host(&mut self, at: MonoTime, saturated: Option<&str>) {
        for view in &mut self.views {
            match saturated {
                Some(what) => view.tracker.hold(FaultKind::HostSaturated, at, what.to_owned()),
                None => view.tracker.release(FaultKind::HostSaturated, at),
            }
        }
    }

    /// Less of a view is decoded since the decoders are late, for people, or everything is. Said when that changes.
    pub fn shed(&mut self, at: MonoTime, view: usize, what: Option<String>) {
        if let Some(view) = self.views.get_mut(view) {
            view.tracker.forget(FaultKind::Shedding, at);
            if let Some(what) = what {
                view.tracker.hold(FaultKind::Shedding, at, what);
            }
        }
        self.settle();
    }

    /// Adds a latency that a join measured to a view's next slice.
    pub fn latency(&mut self, view: usize, sample: LatencySample) {
        if let Some(view) = self.views.get_mut(view) {
            view.latency(sample);
        }
    }

    /// Ends all faults: the streams are not watched any more.
    pub fn stop(&mut self, at: MonoTime) {
        for view in &mut self.views {
            view.tracker.forget_all(at);
            view.tell(Some(at));
            self.outputs.append(&mut view.outputs);
        }
    }

    /// Ends those faults of a recording that were over at its end.
    pub fn finish(&mut self) {
        for view in &mut self.views {
            view.tracker.finish();
            view.tell(None);
            self.outputs.append(&mut view.outputs);
        }
    }

    /// What to do or say next. Drain it after every call.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to [`tick`](Self::tick) if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        if self.config.source == Source::Recording {
            return None;
        }
        let views = self.views.iter().filter_map(|view| view.deadline(self.progress(view)));
        views.chain([self.now + HEARTBEAT]).min()
    }

    /// The stream's analyser, for reports.
    #[must_use]
    pub const fn analyser(&self) -> &Analyser {
        &self.analyser
    }

    /// What the decoder made of the components that are judged: one picture and one sound of each service.
    #[must_use]
    pub fn scrutiny(&self) -> BTreeMap<Pid, Scrutiny> {
        let mut all: BTreeMap<Pid, Scrutiny> = BTreeMap::new();
        for (pid, part) in self.views.iter().flat_map(|view| &view.scrutiny) {
            let sum = all.entry(*pid).or_default();
            sum.looked_at += part.looked_at;
            sum.damaged += part.damaged;
            sum.unsupported |= part.unsupported;
        }
        for (pid, levels) in self.views.iter().flat_map(View::levels) {
            if let Some(part) = all.get_mut(&pid).filter(|part| part.looked_at > 0) {
                part.levels.get_or_insert(levels);
            }
        }
        all
    }

    /// How the main sound of a stream is at the moment.
    #[must_use]
    pub fn reading(&self, stream: &StreamId) -> Option<Reading> {
        self.views.iter().find(|view| view.config.stream == *stream)?.reading()
    }

    /// How far the session is: the clock, or a recording's media time.
    #[must_use]
    pub const fn now(&self) -> MonoTime {
        self.now
    }

    pub(super) fn add_view(&mut self, part: Part, config: ViewConfig) {
        let timeline = match self.config.source {
            Source::Recording => Timeline::of_recording(),
            _ => Timeline::new(LIVE_WINDOW),
        };
        let (began, wall) = (self.config.began, self.config.named);
        let mut view = View::new(self.views.len(), part, config, began, wall, timeline)
            .with_slates(self.config.slates.clone());
        view.place_sound(self.sound, began);
        self.views.push(view);
    }

    fn wake(&mut self, now: MonoTime) {
        if self.config.source != Source::Recording {
            self.now = now.max(self.now);
        }
    }

    /// Notes that the input has looked at everything up to this moment. Datagrams have the kernel's stamps, and segments wait on
    /// the server; but what a connection brings after a late look may have been there since the look before.
    fn look(&mut self, at: MonoTime) {
        let before = self.looked;
        self.looked = at.max(before);
        let late = self.looked.since(before);
        let read = self.config.source == Source::Http && self.expects_packets();
        if !read || late <= LATE {
            return;
        }
        if late <= PAUSE {
            self.late = Some((before, self.looked + CATCH_UP));
            return;
        }
        self.last_arrival = self.looked;
        let millis = late.as_millis();
        let evidence = format!("this host did not read the stream for {millis} ms");
        self.blind(before, self.looked, &evidence);
    }

    fn blind(&mut self, from: MonoTime, at: MonoTime, evidence: &str) {
        self.blind_until = self.blind_until.max(at + BLIND_AFTER);
        self.blind.add(from, at + BLIND_AFTER);
        let until = self.blind_until;
        self.views.iter_mut().for_each(|view| view.tracker.postpone(Evidence::Media, until));
        // What a player would have had is not known: it joins anew.
        self.views.iter_mut().for_each(|view| view.viewer = Viewer::new(at));
        for view in self.views.iter_mut().filter(|view| view.part != Part::Service) {
            let what = FaultKind::PathDegraded;
            view.tracker.event(what, at, Severity::Critical, evidence.to_owned());
        }
    }

    fn handle_opened(&mut self, phases: crate::input::Phases, at: MonoTime) {
        self.open_since = Some(at);
        self.last_arrival = self.last_arrival.max(at);
        if std::mem::replace(&mut self.opened, true) {
            self.discontinuity();
            return;
        }
        for view in &mut self.views {
            let first_byte = at.since(view.start.began);
            view.start.phases = phases;
            view.start.first_byte = Some(first_byte);
            view.latency(LatencySample::FirstByte(first_byte));
        }
    }

    fn handle_condition(&mut self, at: MonoTime, kind: FaultKind, holds: bool, evidence: &str) {
        if kind == FaultKind::Scrambled {
            self.sealed = holds;
        }
        let away = matches!(kind, FaultKind::Unreachable | FaultKind::HttpError);
        if holds
            && away
            && let Some(since) = self.open_since.take()
        {
            self.open.add(since, at);
        }
        if !holds && away && self.config.source == Source::Datagrams {
            // The socket is open again, and packets should come.
            self.open_since.get_or_insert(at);
            self.last_arrival = self.last_arrival.max(at);
        }
        for view in self.views.iter_mut().filter(|view| view.part != Part::Service) {
            if !holds {
                view.tracker.release(kind, at);
            } else if kind != FaultKind::Scrambled || must_be_clear(&view.config.expectation) {
                view.tracker.hold(kind, at, evidence.to_owned());
                if away {
                    view.tracker.release(FaultKind::NoData, at);
                }
            }
        }
    }

    fn handle_rtp(&mut self, at: MonoTime, counts: RtpCounts) {
        self.views.iter_mut().for_each(|view| view.counters.rtp_lost += counts.lost);
        let gone = self.gone.count(at, counts);
        let repaired = self.correction.repairs(at, counts.packets, gone);
        if gone == 0 || self.blind.contains(at) {
            return;
        }
        let ceiling = if repaired { Severity::Info } else { Severity::Critical };
        for view in self.views.iter_mut().filter(|view| view.part != Part::Service) {
            view.lost(at, gone, ceiling);
        }
    }

    fn handle_correction(&mut self, fec: Fec) {
        if !self.correction.see(self.now, fec) {
            return;
        }
        // What was lost before it was seen may be repaired as well.
        for view in &mut self.views {
            view.tracker.forget(FaultKind::RtpLoss, self.looked);
        }
    }

    fn handle_arrival(&mut self, at: MonoTime, arrival: &Arrival) {
        let Some(spread) = arrival.rtp_spread.filter(|spread| *spread > MAX_SPREAD) else { return };
        let millis = spread.as_millis();
        let evidence = format!(
            "RTP packets took up to {millis} ms longer on the way than others of the same second"
        );
        for view in self.views.iter_mut().filter(|view| view.part != Part::Service) {
            view.tracker.event(FaultKind::DeliveryJitter, at, Severity::Info, evidence.clone());
        }
    }

    fn handle_segment(&mut self, event: InputEvent) {
        let InputEvent::Segment {
            at,
            duration,
            target,
            discontinuity,
            programme_date_time,
            fetch,
            data,
            ..
        } = event
        else {
            return;
        };
        if self.config.source == Source::Recording {
            return self.handle_recorded(target, discontinuity, &data);
        }
        if self.segments.is_none() {
            // Segments come at their own pace; two of them lie in a window at least.
            let line = Timeline::new((target * 3).max(LIVE_WINDOW));
            self.views.iter_mut().for_each(|view| view.timeline = line);
            self.analyser = analyser(&self.config, Some(target));
        }
        self.segments = Some(Segments { target });
        if discontinuity {
            self.discontinuity();
        } else {
            self.analyser.boundary();
        }
        self.ingest(at, duration, &data);
        self.last_arrival = at;
        if let Some(end) = self.views.first().and_then(|v| self.produced_up_to(v)) {
            self.open.add(end - duration, end);
        }
        let since_start = at.since(self.config.began).as_millis() as i64;
        let wall = self.config.wall.unix_millis().saturating_add(since_start);
        let delay = programme_date_time.and_then(|start| {
            let millis = wall - start.unix_millis() - duration.as_millis() as i64;
            u64::try_from(millis).ok().map(Duration::from_millis)
        });
        for view in &mut self.views {
            let ratio = Ratio::of(fetch.as_secs_f64(), duration.as_secs_f64());
            view.latency(LatencySample::SegmentFetch(ratio));
            if let Some(delay) = delay {
                view.latency(LatencySample::LiveDelay(delay));
            }
        }
    }

    /// Takes a segment of a recording: it is dated by itself.
    fn handle_recorded(&mut self, target: Duration, discontinuity: bool, data: &[u8]) {
        if self.packets == 0 {
            self.analyser = analyser(&self.config, Some(target));
        } else if discontinuity {
            self.discontinuity();
        } else {
            self.analyser.boundary();
        }
        self.ingest(self.now, Duration::ZERO, data);
    }

    fn discontinuity(&mut self) {
        self.analyser.discontinuity();
        self.views.iter_mut().for_each(View::reset_decoding);
    }

    /// `length` is how much time the data covers where it comes in segments.
    fn ingest(&mut self, at: MonoTime, length: Duration, data: &[u8]) {
        let mut events = Vec::new();
        for chunk in data.chunks(CHUNK) {
            let at = if self.config.source == Source::Recording { self.now } else { at };
            self.analyser.push(at, chunk);
            while let Some(event) = self.analyser.poll() {
                events.push(event);
            }
            // A whole segment is dated by its end, so its events wait for it; a recording is dated by itself.
            if self.config.source == Source::Recording {
                self.advance_recording();
                events.drain(..).for_each(|event| self.route(event));
            }
        }
        let counted = self.count(data.len());
        let earliest = self.late.filter(|(_, until)| at <= *until).map_or(at, |(before, _)| before);
        let gap = earliest.since(self.last_arrival) >= NO_DATA_AFTER;
        let live = self.config.source != Source::Recording;
        for view in &mut self.views {
            let program = view.program();
            let media = match program {
                Some(program) => self.analyser.media_time(program),
                None => self.analyser.position().media,
            };
            if let Some(media) = media {
                if gap && self.segments.is_none() {
                    view.timeline.restart(at, media);
                }
                view.timeline.observe(at, media);
                if self.segments.is_none() && live && program.is_some() {
                    view.viewer.feed(earliest, media);
                    view.judge_buffer(earliest);
                }
            }
        }
        for index in 0..self.views.len() {
            let end = self.produced_up_to(&self.views[index]).unwrap_or(at);
            self.views[index].spread(&counted, end - length, end);
        }
        events.into_iter().for_each(|event| self.route(event));
    }

    fn route_events(&mut self) {
        while let Some(event) = self.analyser.poll() {
            self.route(event);
        }
    }

    /// What the analyser counted since the last call.
    fn count(&mut self, bytes: usize) -> Counters {
        let totals = self.analyser.totals();
        let packets = totals.packets - self.packets;
        let scrambled_packets = totals.scrambled_packets - self.scrambled;
        (self.packets, self.scrambled) = (totals.packets, totals.scrambled_packets);
        Counters { bytes: bytes as u64, packets, scrambled_packets, ..Counters::default() }
    }

    fn advance_recording(&mut self) {
        if let Some(media) = self.analyser.position().media {
            self.now = self.now.max(MonoTime::ZERO + media);
        }
    }

    fn arrived(&mut self, at: MonoTime) {
        self.last_arrival = self.last_arrival.max(at);
        for view in &mut self.views {
            view.tracker.release(FaultKind::NoData, at);
        }
    }

    /// Draws what follows from the time and hands out everything that came of it.
    fn settle(&mut self) {
        let recording = self.config.source == Source::Recording;
        if recording {
            self.advance_recording();
            self.looked = self.now;
        } else if self.segments.is_none()
            && !self.sealed
            && let Some(since) = self.open_since
        {
            self.open.add(since.max(self.config.began), self.looked);
        }
        for index in 0..self.views.len() {
            let progress = self.progress(&self.views[index]);
            let view = &mut self.views[index];
            view.judge_offset(&self.analyser);
            view.tracker.advance(Evidence::Media, progress.complete);
            view.tracker.advance(Evidence::Arrival, self.looked);
            view.tell((!recording).then_some(self.now));
            if !recording {
                view.close_slices(progress, &self.open, &self.blind);
            }
            self.outputs.append(&mut view.outputs);
        }
        if let Some(oldest) = self.now.since(MonoTime::ZERO).checked_sub(Duration::from_secs(120)) {
            self.open.prune(MonoTime::ZERO + oldest);
            self.blind.prune(MonoTime::ZERO + oldest);
        }
    }

    fn judge_silence(&mut self) {
        if self.segments.is_some() || self.config.source == Source::Recording {
            return;
        }
        let silent =
            self.looked.since(self.last_arrival) >= NO_DATA_AFTER && self.expects_packets();
        for view in &mut self.views {
            if silent && view.part != Part::Service {
                let evidence = "no packets arrive".to_owned();
                view.tracker.hold(FaultKind::NoData, self.last_arrival, evidence);
            }
            view.judge_buffer(self.looked);
        }
    }

    fn progress(&self, view: &View) -> Progress {
        let (now, looked) = (self.now, self.looked);
        let behind = now.since(looked).min(MAX_BEHIND);
        let starved = STARVING.into_iter().any(|kind| view.tracker.holds(kind));
        let patience = match self.segments {
            // Nothing of what comes will be looked into, so there is nothing to wait for; and what is no transport stream is not
            // media that is still to come.
            _ if self.sealed || view.tracker.holds(FaultKind::SyncLoss) => {
                return Progress { now, looked, complete: looked, patience: behind };
            }
            _ if starved => Duration::ZERO,
            Some(Segments { target }) => target * 2 + Duration::from_secs(2),
            None if self.config.source == Source::Http && self.packets == 0 => {
                (self.config.began + FIRST_MEDIA).since(now)
            }
            None => return Progress { now, looked, complete: looked, patience: behind },
        };
        let complete = self.produced_up_to(view).unwrap_or(self.config.began);
        Progress { now, looked, complete: complete.min(now), patience: patience + behind }
    }

    fn produced_up_to(&self, view: &View) -> Option<MonoTime> {
        let media = match view.program() {
            Some(program) => self.analyser.media_time(program),
            None => self.analyser.position().media,
        };
        view.timeline.produced(media?)
    }
}

/// While one of these holds no segment is to be expected, and a slice need not wait for one.
const STARVING: [FaultKind; 6] = [
    FaultKind::Unreachable,
    FaultKind::HttpError,
    FaultKind::PlaylistStale,
    FaultKind::PlaylistInvalid,
    FaultKind::SegmentMissing,
    FaultKind::Stall,
];

/// The analyser for a source. Each segment begins with the tables (RFC 8216, 3), and none need follow: `segment` is their length.
fn analyser(config: &SessionConfig, segment: Option<Duration>) -> Analyser {
    let clock = match config.source {
        Source::Datagrams => CheckClock::Arrival,
        Source::Http | Source::Recording => CheckClock::Media,
    };
    let payload = match config.decoding {
        // Pictures between key pictures are kept, to date what those show.
        Decoding::On => Payload::All,
        Decoding::Off => Payload::None,
    };
    let mut profile = checks(&config.watched);
    if let Some(segment) = segment {
        (profile.limits.pat, profile.limits.pmt) = (segment * 3, segment * 3);
    }
    let wanted = wanted(&config.watched);
    Analyser::new(AnalyserConfig { clock, wanted, payload, profile })
}

/// Which checks of the multiplex are looked at. Streams of the lineup that share a multiplex and differ in this are checked as
/// streams of any origin.
fn checks(watched: &Watched) -> CheckProfile {
    match watched {
        Watched::Everything { expectation, .. } => expectation.profile.checks(),
        Watched::Streams(streams) => {
            let mut all = streams.iter().map(|stream| stream.expectation.profile.checks());
            let first = all.next();
            first.filter(|first| all.all(|checks| checks == *first)).unwrap_or_default()
        }
    }
}

fn wanted(watched: &Watched) -> Wanted {
    match watched {
        Watched::Streams(streams) => match streams.as_slice() {
            [ViewConfig { service: Some(one), .. }] => Wanted::Program(*one),
            _ => Wanted::All,
        },
        Watched::Everything { only, .. } => only.map_or(Wanted::All, Wanted::Program),
    }
}
