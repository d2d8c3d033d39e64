//! Clips of faults on disk: one thread writes what all sessions record, and sees to the budget.
//!
//! Sessions never wait for the disk: they hand pieces over by a bounded queue, and a clip that finds no room in it ends where it is,
//! for a hole in it would look like a fault of the stream.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
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

/// Pieces that wait for the disk, of 64 KiB each; what a clip begins with is one piece, and still in the ring. Ends come on top, one
/// for each beginning that was taken: a clip that nobody ends would stay open.
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
    queue: Sender<Message>,
    /// Messages in the queue.
    waiting: Arc<AtomicUsize>,
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
        let (keeper, messages) = Self::new(config.span, Arc::clone(&outbox));
        let (folder, budget) = (config.folder.clone(), config.disk_budget);
        let waiting = Arc::clone(&keeper.waiting);
        thread::Builder::new()
            .name("evidence".to_owned())
            .spawn(move || write(Archive::open(folder, budget, outbox), &messages, &waiting))?;
        Ok(keeper)
    }

    fn new(span: Span, outbox: Arc<Outbox>) -> (Self, Receiver<Message>) {
        let (queue, messages) = channel();
        (Self { queue, waiting: Arc::default(), outbox, span, next: Arc::default() }, messages)
    }

    /// Hands a message over; false if there is no room for it, or nobody takes it.
    fn send(&self, message: Message) -> bool {
        let bounded = matches!(message, Message::Begin { .. } | Message::Data { .. });
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = !(bounded && waiting >= MAX_WAITING) && self.queue.send(message).is_ok();
        if !sent {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }

    /// Begins to record one session.
    #[must_use]
    pub fn recording(&self) -> Recording {
        Recording {
            keeper: self.clone(),
            recorder: Recorder::new(self.span),
            clip: 0,
            state: State::Idle,
            names: BTreeMap::new(),
            told: 0,
        }
    }

    /// Completes what is under way, and waits for that, but not for ever.
    pub async fn finish(&self, within: Duration) {
        let (done, finished) = oneshot::channel();
        if !self.send(Message::Finish(done))
            || !matches!(tokio::time::timeout(within, finished).await, Ok(Ok(())))
        {
            tracing::warn!(
                "clips of faults are not complete; the next start keeps them as they are"
            );
        }
    }
}

fn write(mut archive: Archive, messages: &Receiver<Message>, waiting: &AtomicUsize) {
    for message in messages {
        waiting.fetch_sub(1, Ordering::Relaxed);
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
        while let Some(piece) = self.recorder.poll() {
            match piece {
                Piece::Refused => self.keeper.outbox.clip(ClipResult::Dropped),
                Piece::Begin(name, data) => {
                    self.clip = self.keeper.next.fetch_add(1, Ordering::Relaxed);
                    let clip = self.clip;
                    self.state = State::Whole;
                    if !self.keeper.send(Message::Begin { clip, name, data }) {
                        self.state = State::Idle;
                        self.keeper.outbox.clip(ClipResult::Dropped);
                    }
                }
                Piece::Data(data) if self.state == State::Whole => {
                    if !self.keeper.send(Message::Data { clip: self.clip, data }) {
                        self.state = State::Cut;
                    }
                }
                Piece::Data(_) => {}
                Piece::End => {
                    let state = std::mem::replace(&mut self.state, State::Idle);
                    if state != State::Idle {
                        let whole = state == State::Whole;
                        self.keeper.send(Message::End { clip: self.clip, whole });
                    }
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use tallylight_model::{Epoch, NodeId, Severity};

    use super::*;
    use crate::{exposition::Board, report::Queue};

    #[test]
    fn a_clip_ends_however_much_waits_for_the_disk() {
        let node = NodeId::new("n1").unwrap();
        let queue = Queue::new(node.clone(), Epoch(1), 10);
        let outbox = Arc::new(Outbox::new(queue, Board::new(node)));
        let seconds = Duration::from_secs(5);
        let span = Span { before: seconds, after: seconds, memory: 1_000_000 };
        let (keeper, messages) = Keeper::new(span, outbox);
        let mut recording = keeper.recording();
        let now = clock::now();
        recording.note(&InputEvent::Bytes { at: now, data: Bytes::from(vec![0x47; 188 * 10]) });
        recording.fault(&mut FaultRecord {
            seq: 1,
            stream: StreamId::parse("one/a").unwrap(),
            kind: FaultKind::Continuity,
            phase: FaultPhase::Begin,
            severity: Severity::Warning,
            pid: None,
            onset: now,
            declared: now,
            evidence: String::new(),
        });
        let foreign = || Message::Data { clip: u64::MAX, data: Bytes::new() };
        while keeper.send(foreign()) {}
        drop(recording);
        assert!(!keeper.send(foreign()), "nothing was taken out yet");
        let begun = messages.recv().unwrap();
        let Message::Begin { clip, .. } = begun else { panic!("no clip") };
        let waiting: Vec<Message> = messages.try_iter().collect();
        assert_eq!(waiting.len(), MAX_WAITING);
        let last = waiting.last();
        assert!(matches!(last, Some(Message::End { clip: of, whole: false }) if *of == clip));
    }
}
