//! The pool of processes that decode.
//!
//! Decoders read what anybody may have sent, and are written for speed: one that crashes, hangs or eats memory must take nothing
//! with it but the stream that made it. So they run in worker processes, which can do nothing but compute ([`confinement`]); a
//! worker that fails is replaced at once, the stream it worked on is put aside for a while ([`Quarantine`]), and what waited for
//! it is given to the next one, which begins with each stream's next key picture. One process for each stream would need no such
//! care, but costs a program's memory a hundred times.
//!
//! Each session's views stay with one worker, since messages of one stream must be handled in order; sessions are spread over the
//! workers. Each worker has a thread that talks to it ([`overseer`]). Where too much waits for a worker it is refused: the session
//! counts what was not looked at as unobserved, and goes on.

mod attendant;
mod channel;
mod confinement;
mod overseer;
mod places;
mod vitals;
pub mod worker;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc as blocking,
    },
    thread,
    time::Duration,
};

use tallylight_model::{MonoTime, StreamId};
use tokio::sync::mpsc;

pub use attendant::Attendant;
use channel::{Key, MAX_UNIT, Order};
use overseer::{Failure, Overseer};
pub use overseer::{MemoryLimits, Program};
use places::{Places, SharedPool};

use super::{clock, outbox::Outbox};
use crate::assignment::Priority;
use crate::decode::{Quarantine, Reply, Request, WorkerFailure};

/// Messages that wait for one worker: the pictures and sound of nine segments of 6 s that came at once.
const MAX_WAITING: usize = 4_096;
/// Their data, in bytes.
const MAX_WAITING_BYTES: usize = 256 << 20;
/// What a worker is given at a time.
const MAX_BATCH: usize = 256;
/// The same in bytes, the last one aside.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Before a worker that could not be started is tried again.
const START_AGAIN: Duration = Duration::from_secs(1);
/// Workers that a batch is given to, where none of its streams is to blame that they fail.
const MAX_TRIES: u32 = 3;

/// What came of messages.
#[derive(Debug)]
pub struct Answer {
    /// The session's view.
    pub view: usize,
    /// What.
    pub outcome: Outcome,
}

/// What came of a message.
#[derive(Debug)]
pub enum Outcome {
    /// It was handled.
    Replies(Vec<Reply>),
    /// It was not: the stream is put aside, or there is no worker.
    Skipped,
    /// No message: a worker failed on the view, for this reason, which is not decoded for so long.
    Failed(WorkerFailure, Duration),
}

/// How one worker keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How long the oldest message without an answer has been waiting for it.
    pub late: Duration,
    /// Messages refused since the start, since too many waited.
    pub refused: u64,
}

/// The workers. They end when the last handle is gone.
#[derive(Clone, Debug)]
pub struct Decoders {
    workers: Arc<[Inlet]>,
    next: Arc<AtomicUsize>,
    ids: Arc<AtomicU64>,
    pool: SharedPool,
}

/// One session's place at a worker.
#[derive(Debug)]
pub struct Desk {
    id: u64,
    index: usize,
    worker: Inlet,
    /// Its views.
    streams: Vec<(StreamId, Priority)>,
    answers: mpsc::Sender<Answer>,
}

/// The worker has too much to do, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

#[derive(Clone, Debug)]
struct Inlet {
    messages: blocking::SyncSender<Message>,
    bytes: Arc<AtomicUsize>,
    refused: Arc<AtomicU64>,
    oldest: Oldest,
}

/// When the oldest message without an answer was handed over, in nanoseconds of the clock; 0 if there is none.
#[derive(Clone, Debug, Default)]
struct Oldest(Arc<AtomicU64>);

impl Oldest {
    fn set(&self, at: Option<MonoTime>) {
        self.0.store(at.map_or(0, |at| at.as_nanos().max(1)), Ordering::Relaxed);
    }

    fn late(&self, now: MonoTime) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            at => now.since(MonoTime::from_nanos(at)),
        }
    }
}

#[derive(Debug)]
struct Message {
    order: Order,
    /// Who wants to know; nobody of a desk that closes.
    asker: Option<Asker>,
}

#[derive(Debug)]
struct Asker {
    view: usize,
    /// When it asked.
    at: MonoTime,
    stream: StreamId,
    priority: Priority,
    /// Nothing is decoded in full for it.
    without_place: bool,
    answers: mpsc::Sender<Answer>,
}

impl Asker {
    /// The session always drains its answers and never waits for this thread, so this does not block for long; a session that is
    /// gone needs none.
    fn tell(&self, outcome: Outcome) {
        let _ = self.answers.blocking_send(Answer { view: self.view, outcome });
    }
}

impl Decoders {
    /// Starts so many workers.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        workers: usize,
        program: &Program,
        memory: MemoryLimits,
        outbox: &Arc<Outbox>,
    ) -> std::io::Result<Self> {
        let quarantine = Arc::new(Mutex::new(Quarantine::default()));
        let pool = SharedPool::default();
        let start = |index| {
            let (messages, waiting) = blocking::sync_channel(MAX_WAITING);
            let (bytes, oldest) = (Arc::new(AtomicUsize::new(0)), Oldest::default());
            let mut foreman = Foreman {
                overseer: Overseer::new(program.clone(), memory),
                waiting,
                bytes: Arc::clone(&bytes),
                oldest: oldest.clone(),
                quarantine: Arc::clone(&quarantine),
                pool: Arc::clone(&pool),
                outbox: Arc::clone(outbox),
            };
            // The worker ends with the thread that started it.
            let name = format!("decode-{index}");
            thread::Builder::new().name(name).spawn(move || foreman.run())?;
            Ok(Inlet { messages, bytes, refused: Arc::default(), oldest })
        };
        let workers: std::io::Result<Vec<_>> = (0..workers.max(1)).map(start).collect();
        Ok(Self {
            workers: workers?.into(),
            next: Arc::new(AtomicUsize::new(0)),
            ids: Arc::new(AtomicU64::new(0)),
            pool,
        })
    }

    /// Decodes so many streams: a share of them in full at a time.
    pub fn watch(&self, streams: usize) {
        places::lock(&self.pool).watch(streams);
    }

    /// Takes a place for a session with these views whose answers go to `answers`.
    #[must_use]
    pub fn desk(
        &self,
        streams: Vec<(StreamId, Priority)>,
        answers: mpsc::Sender<Answer>,
    ) -> Option<Desk> {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len().max(1);
        let worker = self.workers.get(index)?.clone();
        Some(Desk { id: self.ids.fetch_add(1, Ordering::Relaxed), index, worker, streams, answers })
    }

    /// How each worker keeps up.
    #[must_use]
    pub fn backlogs(&self, now: MonoTime) -> Vec<Backlog> {
        let backlog = |worker: &Inlet| Backlog {
            late: worker.oldest.late(now),
            refused: worker.refused.load(Ordering::Relaxed),
        };
        self.workers.iter().map(backlog).collect()
    }
}

impl Desk {
    /// The worker's place among all.
    #[must_use]
    pub const fn worker(&self) -> usize {
        self.index
    }

    /// Hands over a message.
    ///
    /// # Errors
    /// The worker has too much to do; the message was not taken.
    pub fn ask(&self, view: usize, request: Request) -> Result<(), Refused> {
        let (stream, priority) = self.streams.get(view).ok_or(Refused)?.clone();
        let key = Key { desk: self.id, view: u32::try_from(view).map_err(|_| Refused)? };
        let order = Order::handle(key, request);
        let (size, waiting) = (order.data().len(), self.worker.bytes.load(Ordering::Relaxed));
        if size > MAX_UNIT {
            return Err(Refused);
        }
        if waiting.saturating_add(size) > MAX_WAITING_BYTES {
            self.worker.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refused);
        }
        let (at, answers) = (clock::now(), self.answers.clone());
        let asker = Some(Asker { view, at, stream, priority, without_place: false, answers });
        // Counted first: the worker may be done with it before this thread goes on.
        self.worker.bytes.fetch_add(size, Ordering::Relaxed);
        self.worker.messages.try_send(Message { order, asker }).map_err(|_| {
            self.worker.bytes.fetch_sub(size, Ordering::Relaxed);
            self.worker.refused.fetch_add(1, Ordering::Relaxed);
            Refused
        })
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // A worker too busy for this keeps the decoders of a session that is gone until the next one of its id: never. So it is
        // waited for, on a thread of its own, since this may run on one that must not block.
        let (messages, order) = (self.worker.messages.clone(), Order::Close { desk: self.id });
        let close = Message { order, asker: None };
        if let Err(blocking::TrySendError::Full(message)) = messages.try_send(close) {
            let _ = thread::Builder::new().spawn(move || drop(messages.send(message)));
        }
    }
}

/// Hands one worker its batches.
struct Foreman {
    overseer: Overseer,
    waiting: blocking::Receiver<Message>,
    bytes: Arc<AtomicUsize>,
    oldest: Oldest,
    quarantine: Arc<Mutex<Quarantine<StreamId>>>,
    pool: SharedPool,
    outbox: Arc<Outbox>,
}

impl Foreman {
    fn run(&mut self) {
        let mut next = None;
        while let Some(first) = next.take().or_else(|| self.waiting.recv().ok()) {
            let (mut places, mut skipped, mut size) = (Places::new(&self.pool), 0, 0);
            let (mut orders, mut askers) = (Vec::new(), Vec::new());
            let mut message = Some(first);
            while let Some(mut one) = message.take() {
                if !places.admit(&mut one, &mut skipped) {
                    next = Some(one);
                    break;
                }
                size += one.order.data().len();
                orders.push(one.order);
                askers.push(one.asker);
                if orders.len() < MAX_BATCH && size < MAX_BATCH_BYTES {
                    message = self.waiting.try_recv().ok();
                }
            }
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            if skipped > 0 {
                self.outbox.full_decodes_skipped(skipped);
            }
            self.carry_out(orders, askers, &places);
            self.oldest.set(None);
        }
    }

    /// Has a batch carried out, by one worker after the other if need be.
    fn carry_out(
        &mut self,
        mut orders: Vec<Order>,
        mut askers: Vec<Option<Asker>>,
        places: &Places,
    ) {
        let mut tries = 0;
        loop {
            self.leave_out_quarantined(&mut orders, &mut askers);
            if orders.is_empty() {
                return;
            }
            let (mut answered, oldest) = (0, self.oldest.clone());
            let asked =
                |index| askers.get(index).and_then(|it: &Option<Asker>| Some(it.as_ref()?.at));
            oldest.set(asked(0));
            let mut skipped = 0;
            let outcome = self.overseer.exchange(&orders, |index, mut replies| {
                answered = index + 1;
                oldest.set(asked(answered));
                let asker = askers.get(index).and_then(Option::as_ref);
                let Some((order, asker)) = orders.get(index).zip(asker) else { return };
                places.answered(order, &asker.stream, &replies);
                if asker.without_place {
                    let before = replies.len();
                    replies.retain(|reply| !matches!(reply, Reply::Withheld { .. }));
                    skipped += (before - replies.len()) as u64;
                }
                asker.tell(Outcome::Replies(replies));
            });
            if skipped > 0 {
                self.outbox.full_decodes_skipped(skipped);
            }
            if let Some(confinement) = self.overseer.confinement() {
                self.outbox.decoders_confined(confinement);
            }
            let Err(failure) = outcome else { return };
            self.blame(failure, &orders, &askers);
            orders.drain(..answered);
            askers.drain(..answered);
            tries += u32::from(failure.key.is_none());
            if failure.how == WorkerFailure::NotStarted || tries >= MAX_TRIES {
                askers.iter().flatten().for_each(|asker| asker.tell(Outcome::Skipped));
                thread::sleep(START_AGAIN);
                return;
            }
        }
    }

    fn blame(&self, failure: Failure, orders: &[Order], askers: &[Option<Asker>]) {
        let Failure { key, how } = failure;
        self.outbox.decode_worker_failed(how);
        let at = orders.iter().position(|order| key.is_some() && order.key() == key);
        match at.and_then(|at| askers.get(at)?.as_ref()) {
            Some(asker) => {
                let pause = self.quarantine().failed(clock::now(), &asker.stream);
                let (stream, pause_s) = (&asker.stream, pause.as_secs());
                tracing::warn!(%stream, %how, pause_s, "decoding this stream: the decoder failed");
                asker.tell(Outcome::Failed(how, pause));
            }
            None => tracing::warn!(%how, "a decoder failed"),
        }
    }

    fn leave_out_quarantined(&self, orders: &mut Vec<Order>, askers: &mut Vec<Option<Asker>>) {
        let (now, quarantine) = (clock::now(), self.quarantine());
        let kept = |asker: &Option<Asker>| {
            asker.as_ref().is_none_or(|asker| !quarantine.holds(now, &asker.stream))
        };
        let keep: Vec<bool> = askers.iter().map(kept).collect();
        drop(quarantine);
        let mut kept = keep.iter();
        orders.retain(|_| kept.next() == Some(&true));
        let mut kept = keep.iter();
        askers.retain(|asker| {
            let keep = kept.next() == Some(&true);
            if let Some(asker) = asker.as_ref().filter(|_| !keep) {
                asker.tell(Outcome::Skipped);
            }
            keep
        });
    }

    fn quarantine(&self) -> std::sync::MutexGuard<'_, Quarantine<StreamId>> {
        // Nothing in the critical sections can leave it half done.
        self.quarantine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
