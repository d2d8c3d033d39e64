//! Drives one session: its input, its decoder's desk, its clock and its joins.

use std::{sync::Arc, time::Duration};

use tallylight_model::{FaultPhase, LatencySample};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    clock,
    decoding::{Answer, Decoders, Desk, Outcome},
    evidence::{Keeper, Recording},
    gallery::Gallery,
    input::Inputs,
    outbox::Outbox,
    trace::Tracer,
};
use crate::{
    assignment::Watch,
    decode::{Reply, Request},
    input::{InputEvent, InputSpec, Purpose, SoundPlace},
    picture::Slates,
    probe::{Decoding, Output, Session, SessionConfig, Source, Start, ViewConfig, Watched},
    shedding::{Cuts, Levels, Ration},
};

/// Events that wait for a session.
const MAX_WAITING: usize = 256;
/// A join that shows no picture within this time is given up: the running session tells why.
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Joins under way at a time, over all streams.
pub const MAX_JOINS: usize = 2;

/// What all sessions share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where reports go.
    pub outbox: Arc<Outbox>,
    /// Opens inputs.
    pub inputs: Inputs,
    /// Processes that decode.
    pub decoders: Decoders,
    /// Which resource of the host is saturated, if one is.
    pub saturated: watch::Receiver<Option<String>>,
    /// What is shed for want of time.
    pub levels: watch::Receiver<Arc<Levels>>,
    /// Limits joins.
    pub joins: Arc<Semaphore>,
    /// The known slates.
    pub slates: Slates,
    /// Where traces go.
    pub tracer: Tracer,
    /// Where thumbnails go.
    pub gallery: Gallery,
    /// Keeps clips of faults; `None` where none are to be kept.
    pub evidence: Option<Keeper>,
}

/// Streams of the lineup on one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Never empty; all of one URL and interface.
    pub streams: Vec<Watch>,
}

/// A session that runs.
#[derive(Debug)]
pub struct Running {
    /// The place of the worker that decodes for it.
    pub worker: usize,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends the session and its faults: its streams are not watched any more.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }

    /// Ends the session without a word, as at the agent's own end.
    pub fn abort(&self) {
        self.task.abort();
    }
}

/// Starts to watch; `None` without decoders.
#[must_use]
pub fn start(group: Group, shared: Shared) -> Option<Running> {
    let (stop, stopped) = oneshot::channel();
    let (answers, answer_rx) = mpsc::channel(MAX_WAITING);
    let streams =
        group.streams.iter().map(|watch| (watch.stream.clone(), watch.priority)).collect();
    let desk = shared.decoders.desk(streams, answers)?;
    let worker = desk.worker();
    let task = tokio::spawn(run(group, shared, desk, answer_rx, stopped));
    Some(Running { worker, stop, task })
}

async fn run(
    group: Group,
    shared: Shared,
    desk: Desk,
    answers: mpsc::Receiver<Answer>,
    stopped: oneshot::Receiver<()>,
) {
    let Some(first) = group.streams.first() else { return };
    let spec = match InputSpec::parse(&first.url, first.interface.as_deref()) {
        Ok(spec) => spec,
        Err(error) => {
            for watch in &group.streams {
                tracing::warn!(stream = %watch.stream, %error, "this stream cannot be watched");
            }
            let _ = stopped.await;
            return;
        }
    };
    let (events, event_rx) = mpsc::channel(MAX_WAITING);
    let (latencies, latency_rx) = mpsc::channel(16);
    let input = spawn_input(&shared.inputs, spec.clone(), events);
    let joins: Vec<JoinHandle<()>> = group
        .streams
        .iter()
        .enumerate()
        .filter(|_| can_join(&spec))
        .filter_map(|(view, watch)| {
            let interval = watch.zap_interval?;
            let join = join_again(
                view,
                watch.clone(),
                interval,
                spec.clone(),
                shared.clone(),
                latencies.clone(),
            );
            Some(tokio::spawn(join))
        })
        .collect();
    let session = Session::new(session_config(&spec, group.streams.iter(), &shared.slates));
    let recording = shared.evidence.as_ref().map(Keeper::recording);
    let rations = group.streams.iter().map(|_| Ration::default()).collect();
    let mut driver = Driver { session, desk, rations, shared, group, refused: 0, recording };
    driver.run(stopped, event_rx, answers, latency_rx).await;
    input.abort();
    joins.iter().for_each(JoinHandle::abort);
}

fn spawn_input(
    inputs: &Inputs,
    spec: InputSpec,
    events: mpsc::Sender<InputEvent>,
) -> JoinHandle<()> {
    let inputs = inputs.clone();
    tokio::spawn(async move { inputs.run(spec, Purpose::Watch, events).await })
}

fn session_config<'a>(
    spec: &InputSpec,
    streams: impl Iterator<Item = &'a Watch>,
    slates: &Slates,
) -> SessionConfig {
    let source = match spec {
        InputSpec::Datagrams(_) => Source::Datagrams,
        InputSpec::Http(_) => Source::Http,
        InputSpec::File(_) | InputSpec::Stdin => Source::Recording,
    };
    let views = streams.map(|watch| ViewConfig {
        stream: watch.stream.clone(),
        service: watch.service_id,
        expectation: watch.expectation.clone(),
    });
    let began = clock::now();
    SessionConfig {
        source,
        watched: Watched::Streams(views.collect()),
        decoding: Decoding::On,
        slates: slates.clone(),
        began,
        wall: clock::wall(),
        named: clock::steady_wall(began),
    }
}

struct Driver {
    session: Session,
    desk: Desk,
    /// What is left of each view's requests.
    rations: Vec<Ration>,
    shared: Shared,
    group: Group,
    /// Access units that no decoder had time for.
    refused: u64,
    recording: Option<Recording>,
}

impl Driver {
    async fn run(
        &mut self,
        mut stopped: oneshot::Receiver<()>,
        mut events: mpsc::Receiver<InputEvent>,
        mut answers: mpsc::Receiver<Answer>,
        mut latencies: mpsc::Receiver<(usize, LatencySample)>,
    ) {
        let mut saturated = self.shared.saturated.clone();
        let mut levels = self.shared.levels.clone();
        // What is shed already holds for a session that starts, too.
        levels.mark_changed();
        let mut open = true;
        loop {
            let wait = self.session.deadline().map(|at| at.since(clock::now()));
            // What arrived is looked at before the clock is; what is shed before all, since so much may wait that nothing else comes.
            tokio::select! {
                biased;
                _ = &mut stopped => {
                    self.session.stop(clock::now());
                    self.drain();
                    return;
                }
                Ok(()) = levels.changed() => {
                    let levels = Arc::clone(&levels.borrow_and_update());
                    self.shed(&levels);
                }
                Some(answer) = answers.recv() => {
                    self.count_withheld(&answer);
                    decoded(&mut self.session, answer);
                }
                event = events.recv(), if open => match event {
                    Some(event) => {
                        self.note(&event);
                        self.session.handle(clock::now(), event);
                    }
                    None => open = false,
                },
                Some((view, sample)) = latencies.recv() => self.session.latency(view, sample),
                Ok(()) = saturated.changed() => {
                    let what = saturated.borrow_and_update().clone();
                    self.session.host(clock::now(), what.as_deref());
                }
                () = tokio::time::sleep(wait.unwrap_or(Duration::from_secs(1))) => {
                    self.session.tick(clock::now());
                }
            }
            self.drain();
        }
    }

    /// Tells what of an event is not for the session.
    fn note(&mut self, event: &InputEvent) {
        if let Some(recording) = &mut self.recording {
            recording.note(event);
        }
        match event {
            InputEvent::Sound { place: SoundPlace::Elsewhere, .. } => {
                tracing::warn!(stream = %self.name(), "the sound is in a playlist of its own and is not watched");
            }
            InputEvent::Arrival { arrival, .. } => {
                for watch in &self.group.streams {
                    self.shared.outbox.arrived(&watch.stream, arrival);
                }
            }
            InputEvent::Fec { fec, packets } => {
                for watch in &self.group.streams {
                    let (stream, direction) = (&watch.stream, fec.direction.name());
                    if self.shared.outbox.corrected(stream, *fec, *packets) {
                        let (offset, covers) = (fec.offset, fec.packets);
                        tracing::info!(%stream, direction, offset, covers, "forward error correction is sent beside the stream");
                    }
                }
            }
            InputEvent::Framing { found } => {
                tracing::warn!(stream = %self.name(), found = found.name(), "datagrams are not framed as the stream's URL says");
            }
            InputEvent::Rtp { counts, .. } => {
                for watch in &self.group.streams {
                    self.shared.outbox.received(&watch.stream, *counts);
                }
            }
            _ => {}
        }
    }

    fn shed(&mut self, levels: &Levels) {
        for (view, (watch, ration)) in self.group.streams.iter().zip(&mut self.rations).enumerate()
        {
            let level = levels.of(&watch.stream);
            if level != ration.level() {
                ration.set_level(level);
                self.session.shed(clock::now(), view, levels.evidence(&watch.stream));
            }
        }
    }

    fn count_withheld(&self, answer: &Answer) {
        let Outcome::Replies(replies) = &answer.outcome else { return };
        if replies.iter().any(|reply| matches!(reply, Reply::Withheld { .. })) {
            self.shared.outbox.shed(Cuts { full_decodes: 1, ..Cuts::default() });
        }
    }

    fn ask(&mut self, view: usize, request: Request) {
        let Some(ration) = self.rations.get_mut(view) else { return };
        let mut cuts = Cuts::default();
        let left = ration.cut(request, &mut cuts);
        if cuts != Cuts::default() {
            self.shared.outbox.shed(cuts);
        }
        let refused = match left {
            Some(request) => self.desk.ask(view, request).is_err(),
            None => return self.session.skipped(clock::now(), view),
        };
        if refused {
            self.refused += 1;
            self.shared.outbox.decode_refused();
            if self.refused.is_power_of_two() {
                let refused = self.refused;
                tracing::warn!(stream = %self.name(), refused, "the decoder is too busy; parts of picture and sound are not observed");
            }
            self.session.skipped(clock::now(), view);
        }
    }

    fn drain(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.tick();
        }
        while let Some(output) = self.session.poll() {
            match output {
                Output::Decode { view, request } => self.ask(view, request),
                Output::Fault(mut record) => {
                    if let Some(recording) = &mut self.recording {
                        recording.fault(&mut record);
                    }
                    let phase = match record.phase {
                        FaultPhase::Begin => "begin",
                        FaultPhase::Raise => "raise",
                        FaultPhase::End(_) => "end",
                    };
                    let (stream, kind) = (&record.stream, record.kind.name());
                    let (severity, evidence) = (record.severity.name(), &record.evidence);
                    tracing::info!(%stream, kind, phase, severity, evidence, "fault");
                    self.shared.outbox.fault(record);
                }
                Output::Slice(slice) => {
                    let reading = self.session.reading(&slice.stream);
                    self.shared.outbox.heard(&slice.stream, reading.unwrap_or_default());
                    self.shared.outbox.slice(*slice);
                }
                Output::Thumbnail { view, jpeg } => {
                    if let Some(watch) = self.group.streams.get(view) {
                        self.shared.gallery.hang(&watch.stream, jpeg);
                    }
                }
                Output::Started { view, start } => {
                    if let Some(watch) = self.group.streams.get(view) {
                        self.shared.tracer.started(&watch.stream, &start);
                    }
                }
                Output::Structure { view, change } => {
                    if let Some(watch) = self.group.streams.get(view) {
                        let (stream, kind, pid) = (&watch.stream, change.kind.name(), change.pid);
                        tracing::debug!(%stream, kind, %pid, "what the stream carries changed");
                        self.shared.outbox.changed(stream);
                    }
                }
                Output::Cue { view, cue } => {
                    if let Some(watch) = self.group.streams.get(view) {
                        let (stream, command) = (&watch.stream, cue.info.command.name());
                        tracing::debug!(%stream, command, preroll_ms = cue.preroll_ms, "a cue for a splice came");
                        self.shared.outbox.cued(stream);
                    }
                }
                Output::Ended(error) => {
                    let error = error.unwrap_or_else(|| "it ended".to_owned());
                    tracing::warn!(stream = %self.name(), error, "the input is over");
                }
            }
        }
    }

    fn name(&self) -> String {
        self.group.streams.first().map(|watch| watch.stream.to_string()).unwrap_or_default()
    }
}

/// A second socket on a unicast address would take the datagrams away from the first.
fn can_join(spec: &InputSpec) -> bool {
    match spec {
        InputSpec::Datagrams(datagrams) => datagrams.address.ip().is_multicast(),
        InputSpec::Http(_) => true,
        InputSpec::File(_) | InputSpec::Stdin => false,
    }
}

/// Joins afresh, once in every interval, at a point of it that differs from stream to stream.
async fn join_again(
    view: usize,
    watch: Watch,
    interval: Duration,
    spec: InputSpec,
    shared: Shared,
    latencies: mpsc::Sender<(usize, LatencySample)>,
) {
    tokio::time::sleep(interval.mul_f64(phase(watch.stream.as_str()))).await;
    loop {
        let next = clock::now() + interval;
        {
            // Waiting for a place must not count as waiting for the picture.
            let Ok(_place) = shared.joins.acquire().await else { return };
            let join = join(&watch, &spec, &shared);
            if let Ok(Some(start)) = tokio::time::timeout(JOIN_TIMEOUT, join).await {
                let first_byte = start.first_byte.map(LatencySample::FirstByte);
                let startup = start.first_picture.map(LatencySample::Startup);
                for sample in [first_byte, startup].into_iter().flatten() {
                    let _ = latencies.send((view, sample)).await;
                }
            }
        }
        tokio::time::sleep(next.since(clock::now())).await;
    }
}

/// One fresh session, up to its first picture.
async fn join(watch: &Watch, spec: &InputSpec, shared: &Shared) -> Option<Start> {
    let (events, mut event_rx) = mpsc::channel(MAX_WAITING);
    let (answers, mut answer_rx) = mpsc::channel(MAX_WAITING);
    let desk = shared.decoders.desk(vec![(watch.stream.clone(), watch.priority)], answers)?;
    let mut session = Session::new(session_config(spec, std::iter::once(watch), &shared.slates));
    let _input = AbortOnDrop(spawn_input(&shared.inputs, spec.clone(), events));
    loop {
        tokio::select! {
            Some(answer) = answer_rx.recv() => decoded(&mut session, answer),
            event = event_rx.recv() => session.handle(clock::now(), event?),
        }
        while let Some(output) = session.poll() {
            match output {
                Output::Decode { view, request } => {
                    if desk.ask(view, request).is_err() {
                        session.skipped(clock::now(), view);
                    }
                }
                Output::Started { start, .. } => return Some(start),
                Output::Ended(_) => return None,
                Output::Fault(_) | Output::Slice(_) | Output::Thumbnail { .. } => {}
                Output::Structure { .. } | Output::Cue { .. } => {}
            }
        }
    }
}

fn decoded(session: &mut Session, Answer { view, outcome }: Answer) {
    let now = clock::now();
    match outcome {
        Outcome::Replies(replies) => session.decoded(now, view, 1, replies),
        Outcome::Skipped => session.skipped(now, view),
        Outcome::Failed(how, pause) => session.decoder_failed(now, view, how, pause),
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Spreads names evenly over 0 to 1 (FNV-1a).
fn phase(name: &str) -> f64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 40) as f64 / (1u64 << 24) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_of_many_streams_do_not_bunch() {
        let mut phases: Vec<f64> =
            (0..100).map(|n| phase(&format!("channel-{n}/primary"))).collect();
        phases.sort_by(f64::total_cmp);
        assert!(phases.iter().all(|phase| (0.0..1.0).contains(phase)));
        let widest = phases.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(widest < 0.2, "{widest}");
    }
}
