//! Runs `tallylight-agent probe`: one session from the input's begin to its end, or for a while.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use tallylight_model::{Bitrate, FaultKind, MonoTime};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    clock,
    decoding::{Attendant, MemoryLimits, Outcome, Program},
    host::total_memory,
    input::Inputs,
    terminal::Terminal,
};
use crate::{
    assignment::Expectation,
    decode::{Reply, Request},
    input::{Framing, InputEvent, InputSpec, Purpose, SoundPlace},
    inspect::{
        self, Delivery, EventLine, EventReport, Events, FaultLine, Faults, Findings, Line, Report,
        SummaryLine,
    },
    picture::Slates,
    probe::{Decoding, Output, Session, SessionConfig, Source, Watched},
};

/// Blocks that wait for the session.
const MAX_WAITING: usize = 64;
/// How long a live stream is watched unless told otherwise.
const LIVE: Duration = Duration::from_secs(10);
/// How often it is told how far a recording is.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// A recording in so many bytes of which there is no packet has none: nobody need wait for the end of a large file.
const HOPELESS: u64 = 32 << 20;
/// Bytes of a transport packet (ISO/IEC 13818-1, 2.4.3.2).
const PACKET: u64 = 188;

/// What to probe, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to open.
    pub spec: InputSpec,
    /// What is expected of the stream, and the thresholds.
    pub expectation: Expectation,
    /// How long to watch; `None` for ten seconds of what is live, and for all of what is not or is followed.
    pub duration: Option<Duration>,
    /// Whether to go on while there may be more, and how often to sum up then.
    pub follow: Option<Duration>,
    /// The one service to look at.
    pub service: Option<u16>,
    /// Whether picture and sound are looked at.
    pub decoding: Decoding,
    /// The known slates.
    pub slates: Slates,
}

impl Options {
    /// How long to watch what comes from a source.
    fn limit(&self, source: Source) -> Option<Duration> {
        let live = source != Source::Recording && self.follow.is_none();
        self.duration.or(live.then_some(LIVE))
    }

    /// How many bytes there are, where that is known.
    fn size(&self) -> Option<u64> {
        let InputSpec::File(path) = &self.spec else { return None };
        std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|it| it.len())
    }
}

/// Probes until the input's end, for a while, or until interrupted. Never fails: what cannot be read is a report too.
pub async fn inspect(options: Options, terminal: &mut Terminal) -> Report {
    let source = match options.spec {
        InputSpec::Datagrams(_) => Source::Datagrams,
        InputSpec::Http(_) => Source::Http,
        InputSpec::File(_) | InputSpec::Stdin => Source::Recording,
    };
    let (tx, rx) = mpsc::channel(MAX_WAITING);
    let began = clock::now();
    let mut probe = Probe::new(&options, source, began, terminal);
    let spec = options.spec.clone();
    let purpose = if options.follow.is_some() { Purpose::Follow } else { Purpose::Probe };
    let input = tokio::spawn(async move {
        Inputs::default().run(spec, purpose, tx).await;
    });
    probe.run(&options, rx, began).await;
    input.abort();
    probe.report(&options, began)
}

/// Bytes of a recording that are handled at a time: 32 packets, 20 ms at 2.4 Mb/s.
const PIECE: usize = 32 * 188;

/// Waits until somebody wants the report now.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn session(options: &Options, source: Source, began: MonoTime) -> Session {
    let expectation = options.expectation.clone();
    Session::new(SessionConfig {
        source,
        watched: Watched::Everything { only: options.service, expectation },
        decoding: options.decoding,
        slates: options.slates.clone(),
        began,
        wall: clock::wall(),
        named: clock::wall(),
    })
}

/// When to sum up next, and what there was when that was done last.
struct Summaries {
    every: Duration,
    next: MonoTime,
    packets: u64,
    at: MonoTime,
}

impl Summaries {
    fn new(every: Duration, began: MonoTime, zero: MonoTime) -> Self {
        Self { every, next: began + every, packets: 0, at: zero }
    }

    /// The packets since the last one, and the time of the stream in which they came.
    fn step(&mut self, packets: u64, at: MonoTime, now: MonoTime) -> (u64, Duration) {
        let step = (packets - self.packets, at.since(self.at));
        (self.packets, self.at, self.next) = (packets, at, now + self.every);
        step
    }
}

struct Probe<'a> {
    terminal: &'a mut Terminal,
    source: Source,
    zero: MonoTime,
    session: Session,
    decoder: Attendant,
    faults: Faults,
    events: Events,
    delivery: Delivery,
    pictures: u64,
    error: Option<String>,
    ended: bool,
    /// Why the stream cannot be reached, while that lasts.
    away: Option<String>,
    /// The first bytes.
    begin: Option<Bytes>,
    notes: Vec<&'static str>,
}

impl<'a> Probe<'a> {
    fn new(options: &Options, source: Source, began: MonoTime, terminal: &'a mut Terminal) -> Self {
        let zero = if source == Source::Recording { MonoTime::ZERO } else { began };
        let session = session(options, source, zero);
        Self {
            terminal,
            source,
            zero,
            session,
            decoder: Attendant::new(Program::own(), MemoryLimits::of_half(total_memory(), 1)),
            faults: Faults::new(zero),
            events: Events::new((source != Source::Recording).then_some(began)),
            delivery: Delivery::default(),
            pictures: 0,
            error: None,
            ended: false,
            away: None,
            begin: None,
            notes: Vec::new(),
        }
    }

    async fn run(
        &mut self,
        options: &Options,
        mut rx: mpsc::Receiver<InputEvent>,
        began: MonoTime,
    ) {
        let mut interrupted = pin!(interrupted());
        let mut summaries = options.follow.map(|every| Summaries::new(every, began, self.zero));
        let (mut size, shows) = (options.size(), self.terminal.shows_progress());
        let mut progress = shows.then_some(began + PROGRESS_EVERY);
        while !self.ended {
            let until = options.limit(self.source).map(|limit| began + limit);
            let summary = summaries.as_ref().map(|summaries| summaries.next);
            let next = [self.session.deadline(), until, summary].into_iter().flatten().min();
            let wait = next.map_or(Duration::MAX, |at| at.since(clock::now()));
            let event = tokio::select! {
                biased;
                () = &mut interrupted => return self.stop("it was interrupted before its end"),
                event = rx.recv() => Some(event),
                () = tokio::time::sleep(wait) => None,
            };
            let now = clock::now();
            if until.is_some_and(|until| now >= until) {
                return self.stop("it was watched for so long and no longer");
            }
            match event {
                Some(Some(InputEvent::Recording { bytes })) if self.source == Source::Http => {
                    size = bytes;
                    // Nothing of the stream has come yet, so the session can begin anew by media time.
                    self.restart(options, now);
                    summaries = options.follow.map(|it| Summaries::new(it, now, self.zero));
                }
                Some(Some(event)) => self.take(now, event),
                Some(None) => return,
                None => self.session.tick(now),
            }
            self.drain();
            if let Some(summaries) = summaries.as_mut().filter(|it| now >= it.next) {
                self.sum_up(summaries, now);
            }
            if let Some(at) = progress.as_mut().filter(|at| now >= **at) {
                *at = now + PROGRESS_EVERY;
                let done = self.session.analyser().totals().bytes;
                if self.source == Source::Recording {
                    self.terminal.progress(done, size, now.since(began));
                }
            }
        }
    }

    /// What was thought live turns out to be a recording.
    fn restart(&mut self, options: &Options, now: MonoTime) {
        let notes = std::mem::take(&mut self.notes);
        (self.source, self.zero) = (Source::Recording, MonoTime::ZERO);
        self.session = session(options, self.source, self.zero);
        (self.faults, self.events) = (Faults::new(self.zero), Events::new(None));
        self.notes = notes;
        self.session.tick(now);
    }

    /// Ends what would go on. A recording's last units are complete as far as it goes.
    fn stop(&mut self, why: &'static str) {
        if self.source == Source::Recording {
            if !self.terminal.follows() {
                self.notes.push(why);
            }
            let at = clock::now();
            self.session.handle(at, InputEvent::End { at, error: None });
            self.drain();
        }
    }

    /// Nobody who reads is left to tell it to: that is the end.
    fn tell(&mut self, line: &Line<'_>) {
        self.ended |= self.terminal.line(line).is_err();
    }

    fn tell_event(&mut self, event: EventReport) {
        self.tell(&Line::Event(EventLine { at: clock::wall(), event }));
    }

    fn sum_up(&mut self, summaries: &mut Summaries, now: MonoTime) {
        let totals = self.session.analyser().totals();
        let at = self.session.now();
        let (packets, span) = summaries.step(totals.packets, at, now);
        let line = SummaryLine {
            at: clock::wall(),
            seconds: at.since(self.zero).as_millis() as f64 / 1e3,
            packets: totals.packets,
            bitrate_bps: (!span.is_zero()).then(|| Bitrate::of(packets * PACKET, span).bps()),
            continuity_errors: totals.continuity_errors,
            standing: self.faults.standing(),
            faults: self.faults.serious(),
        };
        self.tell(&Line::Summary(line));
    }

    /// Hands an event to the session, bytes piece by piece: what one piece shows decides what of the next is decoded.
    fn take(&mut self, now: MonoTime, mut event: InputEvent) {
        self.note(&event);
        let (at, mut data) = match event {
            InputEvent::Bytes { at, data } => (at, data),
            InputEvent::Segment { at, ref mut data, .. } if self.source == Source::Recording => {
                // The bytes follow in pieces; the event says that a segment begins.
                let bytes = std::mem::take(data);
                self.session.handle(now, event);
                (at, bytes)
            }
            InputEvent::Condition { ref mut at, .. } if self.source == Source::Recording => {
                *at = self.session.now();
                return self.session.handle(now, event);
            }
            event => return self.session.handle(now, event),
        };
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(PIECE));
            self.session.handle(now, InputEvent::Bytes { at, data: piece });
            self.drain();
        }
        let totals = self.session.analyser().totals();
        let hopeless = totals.packets == 0 && totals.skipped_bytes >= HOPELESS;
        self.ended |= hopeless && self.source == Source::Recording;
    }

    fn note(&mut self, event: &InputEvent) {
        self.delivery.note(event, self.session.analyser().totals().missing_packets);
        match event {
            InputEvent::Condition { kind, holds, evidence, .. } => {
                let away = matches!(
                    kind,
                    FaultKind::Unreachable | FaultKind::HttpError | FaultKind::PlaylistInvalid
                );
                if away {
                    self.away = holds.then(|| evidence.clone());
                }
            }
            InputEvent::Bytes { data, .. } | InputEvent::Segment { data, .. } => {
                self.away = None;
                self.begin.get_or_insert_with(|| data.clone());
            }
            InputEvent::Framing { found } => self.notes.push(match found {
                Framing::Ts => {
                    "the datagrams are no RTP: what became of them on the way is not known"
                }
                Framing::Rtp => {
                    "the datagrams are RTP: an address with rtp:// reads them as they are"
                }
            }),
            InputEvent::Sound { place: SoundPlace::Elsewhere, .. } => {
                self.notes.push("the sound is in a playlist of its own and was not looked at");
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Decode { view, request } => self.decode(view, request),
                Output::Fault(record) => {
                    let line = FaultLine::new(&record, self.zero, clock::wall());
                    if self.faults.add(record) {
                        self.tell(&Line::Fault(line));
                    }
                }
                Output::Structure { change, .. } => {
                    let event = self.events.change(&change);
                    self.tell_event(event);
                }
                Output::Cue { cue, .. } => {
                    let event = self.events.cue(&cue);
                    self.tell_event(event);
                }
                Output::Slice(_) | Output::Started { .. } | Output::Thumbnail { .. } => {}
                Output::Ended(error) => {
                    self.ended = true;
                    self.error = error;
                }
            }
        }
    }

    fn decode(&mut self, view: usize, request: Request) {
        let outcome = self.decoder.handle(self.session.now(), view, request);
        let now = clock::now();
        match outcome {
            Outcome::Replies(replies) => {
                let shown = replies.iter().filter(|r| matches!(r, Reply::Picture(_))).count();
                self.pictures += shown as u64;
                self.session.decoded(now, view, 1, replies);
            }
            Outcome::Skipped => self.session.skipped(now, view),
            Outcome::Failed(how, pause) => {
                self.session.decoder_failed(now, view, how, pause);
                self.session.skipped(now, view);
            }
        }
    }

    fn report(mut self, options: &Options, began: MonoTime) -> Report {
        let source = self.source;
        self.session.finish();
        self.drain();
        let duration = match source {
            Source::Recording => self.session.now().since(MonoTime::ZERO),
            _ => clock::now().since(began),
        };
        let nothing = self.session.analyser().totals().bytes == 0;
        if source == Source::Datagrams && !nothing && self.delivery.report().is_none() {
            self.notes.push(
                "no whole second of datagrams could be measured: how they arrived is not known",
            );
        }
        if nothing && source != Source::Recording && self.error.is_none() {
            let limit = options.limit(source).unwrap_or(duration);
            let waited = format!("nothing arrived in {} s", limit.min(duration).as_secs());
            self.error = Some(self.away.take().unwrap_or(waited));
        }
        let findings = Findings {
            faults: self.faults,
            events: self.events,
            profile: options.expectation.profile.name().to_owned(),
            began: (source != Source::Recording).then_some(began),
            service: options.service,
            duration,
            decoded_pictures: (options.decoding == Decoding::On).then_some(self.pictures),
            scrutiny: (options.decoding == Decoding::On).then(|| self.session.scrutiny()),
            delivery: self.delivery,
            error: self.error,
            instead: self.begin.as_deref().and_then(inspect::format_of),
            notes: self.notes,
        };
        Report::new(self.session.analyser(), findings)
    }
}
