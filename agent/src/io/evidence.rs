//! Clips of faults on disk: one thread writes what all sessions record, and sees to the budget.
//!
//! Sessions never wait for the disk: they hand pieces over by a bounded queue, and a clip that finds no room in it ends where it is,
//! for a hole in it would look like a fault of the stream.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use tallylight_model::{FaultKind, FaultPhase, FaultRecord, MonoTime, StreamId, WallTime};
use tokio::sync::oneshot;

use super::{clock, outbox::Outbox};
use crate::{
    config::EvidenceConfig,
    evidence::{Piece, Recorder, Span},
    exposition::ClipResult,
    input::InputEvent,
};

mod archive;

use archive::Archive;

/// Pieces that wait for the disk, of 64 KiB each; what a clip begins with is one piece, and still in the ring.
const MAX_WAITING: usize = 512;
/// A ring's memory is told when it has changed by so many bytes.
const TELL_EVERY: usize = 64 << 10;
/// The longest evidence of a fault, in bytes (see `FaultRecord::evidence`).
const MAX_EVIDENCE: usize = 200;

enum Message {
    Begin { clip: u64, name: String, data: Vec<Bytes> },
    Data { clip: u64, data: Bytes },
    End { clip: u64, whole: bool },
    Finish(oneshot::Sender<()>),
}

/// The way to the thread that writes. It ends, and completes what is under way, when the last one is gone.
#[derive(Clone, Debug)]
pub struct Keeper {
    queue: SyncSender<Message>,
    outbox: Arc<Outbox>,
    span: Span,
    next: Arc<AtomicU64>,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give. What is wrong with the folder is said later, and no reason not to start.
    pub fn start(config: &EvidenceConfig, outbox: Arc<Outbox>) -> io::Result<Self> {
        let (queue, messages) = sync_channel(MAX_WAITING);
        let (folder, budget, board) =
            (config.folder.clone(), config.disk_budget, Arc::clone(&outbox));
        thread::Builder::new()
            .name("evidence".to_owned())
            .spawn(move || write(folder, budget, board, &messages))?;
        Ok(Self { queue, outbox, span: config.span, next: Arc::default() })
    }

    /// Begins to record one session.
    #[must_use]
    pub fn recording(&self) -> Recording {
        Recording {
            keeper: self.clone(),
            recorder: Recorder::new(self.span),
            clip: 0,
            state: State::Idle,
            owed: None,
            names: BTreeMap::new(),
            told: 0,
        }
    }

    /// Completes what is under way, and waits for that, but not for ever.
    pub async fn finish(&self, within: Duration) {
        let (done, finished) = oneshot::channel();
        if self.queue.try_send(Message::Finish(done)).is_err()
            || !matches!(tokio::time::timeout(within, finished).await, Ok(Ok(())))
        {
            tracing::warn!(
                "clips of faults are not complete; the next start keeps them as they are"
            );
        }
    }
}

fn write(folder: PathBuf, budget: u64, outbox: Arc<Outbox>, messages: &Receiver<Message>) {
    let mut archive = Archive::open(folder, budget, outbox);
    for message in messages {
        match message {
            Message::Begin { clip, name, data } => archive.begin(clip, name, &data),
            Message::Data { clip, data } => archive.write(clip, &data),
            Message::End { clip, whole } => archive.end(clip, whole),
            Message::Finish(done) => {
                archive.finish();
                // Whoever asked may have left.
                let _ = done.send(());
            }
        }
    }
    archive.finish();
}

/// What is handed over of the clip under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none, or nobody takes it.
    Idle,
    /// All of it.
    Whole,
    /// What there was room for.
    Cut,
}

/// One session's ring and the clip that is written of it. Dropped with the session, which completes the clip.
#[derive(Debug)]
pub struct Recording {
    keeper: Keeper,
    recorder: Recorder,
    clip: u64,
    state: State,
    /// An end that found no room in the queue.
    owed: Option<(u64, bool)>,
    /// Which clip holds a fault that has not ended.
    names: BTreeMap<(StreamId, FaultKind), String>,
    /// What the ring took up when that was last told.
    told: usize,
}

impl Recording {
    /// Keeps the bytes that an input brought.
    pub fn note(&mut self, event: &InputEvent) {
        match event {
            InputEvent::Bytes { at, data } | InputEvent::Segment { at, data, .. } => {
                self.recorder.push(*at, data);
            }
            _ => {}
        }
    }

    /// Lets time pass, and hands over what there is to write.
    pub fn tick(&mut self) {
        self.recorder.tick(clock::now());
        if self.recorder.held().abs_diff(self.told) >= TELL_EVERY {
            self.tell(self.recorder.held());
        }
        self.hand_over();
    }

    /// Takes a fault; its evidence names the clip that holds it, where there is room for that.
    pub fn fault(&mut self, record: &mut FaultRecord) {
        let now = clock::now();
        let name = self.recorder.fault(now, wall_of(now, record.onset), record).map(str::to_owned);
        let key = (record.stream.clone(), record.kind);
        if let Some(name) = name {
            self.names.insert(key.clone(), name);
        }
        let ended = matches!(record.phase, FaultPhase::End(_));
        let known = if ended { self.names.remove(&key) } else { self.names.get(&key).cloned() };
        if let Some(name) = known {
            let room = MAX_EVIDENCE.saturating_sub(record.evidence.len());
            let addition = format!("; clip {name}");
            if addition.len() <= room {
                record.evidence.push_str(&addition);
            }
        }
        self.hand_over();
    }

    fn tell(&mut self, held: usize) {
        let before = std::mem::replace(&mut self.told, held);
        self.keeper.outbox.ring_bytes(before as u64, held as u64);
    }

    fn hand_over(&mut self) {
        if let Some((clip, whole)) = self.owed.take() {
            self.end(clip, whole);
        }
        while let Some(piece) = self.recorder.poll() {
            match piece {
                Piece::Refused => self.keeper.outbox.clip(ClipResult::Dropped),
                Piece::Begin(name, data) => {
                    self.clip = self.keeper.next.fetch_add(1, Ordering::Relaxed);
                    let clip = self.clip;
                    self.state = State::Whole;
                    // While an end is owed there is no room for a beginning.
                    if self.owed.is_some() || !self.send(Message::Begin { clip, name, data }) {
                        self.state = State::Idle;
                        self.keeper.outbox.clip(ClipResult::Dropped);
                    }
                }
                Piece::Data(data) if self.state == State::Whole => {
                    if !self.send(Message::Data { clip: self.clip, data }) {
                        self.state = State::Cut;
                    }
                }
                Piece::Data(_) => {}
                Piece::End => {
                    let state = std::mem::replace(&mut self.state, State::Idle);
                    if state != State::Idle {
                        self.end(self.clip, state == State::Whole);
                    }
                }
            }
        }
    }

    fn end(&mut self, clip: u64, whole: bool) {
        if !self.send(Message::End { clip, whole }) {
            self.owed = Some((clip, whole));
        }
    }

    fn send(&self, message: Message) -> bool {
        self.keeper.queue.try_send(message).is_ok()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.recorder.finish();
        self.hand_over();
        self.tell(0);
    }
}

/// What the wall clock showed at a moment that is past.
fn wall_of(now: MonoTime, at: MonoTime) -> WallTime {
    let ago = i64::try_from(now.since(at).as_millis()).unwrap_or(i64::MAX);
    WallTime::from_unix_millis(clock::wall().unix_millis().saturating_sub(ago))
}
