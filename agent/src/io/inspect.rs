//! Runs `tallylight-agent probe`: one session from the input's begin to its end, or for a while.

use std::{collections::BTreeMap, time::Duration};

use tallylight_model::{FaultKind, MonoTime, ProfileName};
use tokio::sync::mpsc;

use super::{clock, input::Inputs};
use crate::{
    assignment::Expectation,
    decode::{Analyser, Reply},
    input::{InputEvent, InputSpec, Purpose, SoundPlace},
    inspect::{Events, Faults, Findings, Report},
    probe::{Decoding, Output, Session, SessionConfig, Source, Watched},
};

/// Blocks that wait for the session.
const MAX_WAITING: usize = 64;

/// What to probe, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to open.
    pub spec: InputSpec,
    /// The thresholds.
    pub profile: ProfileName,
    /// How long to watch what does not end.
    pub duration: Duration,
    /// The one service to look at.
    pub service: Option<u16>,
    /// Whether picture and sound are looked at.
    pub decoding: Decoding,
}

/// Probes. Never fails: what cannot be read is a report too.
pub async fn inspect(options: Options) -> Report {
    let source = match options.spec {
        InputSpec::Datagrams(_) => Source::Datagrams,
        InputSpec::Http(_) => Source::Http,
        InputSpec::File(_) | InputSpec::Stdin => Source::Recording,
    };
    let (tx, rx) = mpsc::channel(MAX_WAITING);
    let began = clock::now();
    let mut probe = Probe::new(&options, source, began);
    let spec = options.spec.clone();
    let input = tokio::spawn(async move {
        Inputs::default().run(spec, Purpose::Probe, tx).await;
    });
    let until = (source != Source::Recording).then(|| began + options.duration);
    probe.run(&options, rx, until).await;
    input.abort();
    probe.report(&options, began)
}

/// Bytes of a recording that are handled at a time: 32 packets, 20 ms at 2.4 Mb/s.
const PIECE: usize = 32 * 188;

struct Probe {
    source: Source,
    session: Session,
    analysers: BTreeMap<usize, Analyser>,
    faults: Faults,
    events: Events,
    pictures: u64,
    error: Option<String>,
    ended: bool,
    /// Why the stream cannot be reached, while that lasts.
    away: Option<String>,
    notes: Vec<&'static str>,
}

impl Probe {
    fn new(options: &Options, source: Source, began: MonoTime) -> Self {
        let zero = if source == Source::Recording { MonoTime::ZERO } else { began };
        let expectation = Expectation { profile: options.profile, ..Expectation::default() };
        let session = Session::new(SessionConfig {
            source,
            watched: Watched::Everything { only: options.service, expectation },
            decoding: options.decoding,
            began: zero,
            wall: clock::wall(),
            named: clock::wall(),
        });
        Self {
            source,
            session,
            analysers: BTreeMap::new(),
            faults: Faults::new(zero),
            events: Events::new((source != Source::Recording).then_some(began)),
            pictures: 0,
            error: None,
            ended: false,
            away: None,
            notes: Vec::new(),
        }
    }

    async fn run(
        &mut self,
        options: &Options,
        mut rx: mpsc::Receiver<InputEvent>,
        until: Option<MonoTime>,
    ) {
        while !self.ended {
            let next = [self.session.deadline(), until].into_iter().flatten().min();
            let wait = next.map(|at| at.since(clock::now()));
            let event = match wait {
                Some(wait) => tokio::time::timeout(wait, rx.recv()).await.ok(),
                None => Some(rx.recv().await),
            };
            let now = clock::now();
            if until.is_some_and(|until| now >= until) {
                return;
            }
            match event {
                Some(Some(InputEvent::Recording)) if self.source == Source::Http => {
                    // Nothing of the stream has come yet, so the session can begin anew by media time.
                    let notes = std::mem::take(&mut self.notes);
                    *self = Self { notes, ..Self::new(options, Source::Recording, now) };
                }
                Some(Some(event)) => self.take(now, event),
                Some(None) => return,
                None => self.session.tick(now),
            }
            self.drain();
        }
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
    }

    fn note(&mut self, event: &InputEvent) {
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
            InputEvent::Bytes { .. } | InputEvent::Segment { .. } => self.away = None,
            InputEvent::Sound { place: SoundPlace::Elsewhere, .. } => {
                self.notes.push("the sound is in a playlist of its own and was not looked at");
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Decode { view, request } => {
                    let replies = self.analysers.entry(view).or_default().handle(request);
                    let shown = replies.iter().filter(|r| matches!(r, Reply::Picture(_))).count();
                    self.pictures += shown as u64;
                    self.session.decoded(clock::now(), view, 1, replies);
                }
                Output::Fault(record) => self.faults.add(record),
                Output::Structure { change, .. } => self.events.change(&change),
                Output::Cue { cue, .. } => self.events.cue(&cue),
                Output::Slice(_) | Output::Started { .. } => {}
                Output::Ended(error) => {
                    self.ended = true;
                    self.error = error;
                }
            }
        }
    }

    fn report(mut self, options: &Options, began: MonoTime) -> Report {
        let source = self.source;
        self.session.finish();
        self.drain();
        let nothing = self.session.analyser().totals().bytes == 0;
        if nothing && source != Source::Recording && self.error.is_none() {
            let waited = format!("nothing arrived in {} s", options.duration.as_secs_f64());
            self.error = Some(self.away.take().unwrap_or(waited));
        }
        let duration = match source {
            Source::Recording => self.session.now().since(MonoTime::ZERO),
            _ => clock::now().since(began),
        };
        let findings = Findings {
            faults: self.faults,
            events: self.events,
            profile: options.profile,
            began: (source != Source::Recording).then_some(began),
            service: options.service,
            duration,
            decoded_pictures: (options.decoding == Decoding::On).then_some(self.pictures),
            scrutiny: (options.decoding == Decoding::On).then(|| self.session.scrutiny()),
            error: self.error,
            notes: self.notes,
        };
        Report::new(self.session.analyser(), findings)
    }
}
