//! Threads that decode. Each session's views stay on one thread, since messages of one stream must be handled in order; streams
//! are spread over the threads. A thread that has too much to do refuses: the session counts what was not looked at as
//! unobserved, and goes on.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc as blocking,
    },
    thread,
};

use tokio::sync::mpsc;

use crate::decode::{Analyser, Reply, Request};

/// Messages that wait for one thread: the pictures and sound of nine segments of 6 s that came at once.
const MAX_WAITING: usize = 4_096;

/// The decoder's answers to one message.
#[derive(Debug)]
pub struct Answer {
    /// The session's view.
    pub view: usize,
    /// What came of it.
    pub replies: Vec<Reply>,
}

/// The threads. They end when the last handle is gone.
#[derive(Clone, Debug)]
pub struct Decoders {
    threads: Arc<[blocking::SyncSender<Message>]>,
    next: Arc<AtomicUsize>,
    ids: Arc<AtomicU64>,
}

/// One session's place on a thread.
#[derive(Debug)]
pub struct Desk {
    id: u64,
    thread: blocking::SyncSender<Message>,
    answers: mpsc::Sender<Answer>,
}

/// The thread has too much to do, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

enum Message {
    Handle { id: u64, view: usize, request: Request, answers: mpsc::Sender<Answer> },
    Close { id: u64 },
}

impl Decoders {
    /// Starts so many threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let start = |index| {
            let (tx, rx) = blocking::sync_channel(MAX_WAITING);
            let name = format!("decode-{index}");
            thread::Builder::new().name(name).spawn(move || work(&rx)).map(|_| tx)
        };
        let threads: std::io::Result<Vec<_>> = (0..threads.max(1)).map(start).collect();
        Ok(Self {
            threads: threads?.into(),
            next: Arc::new(AtomicUsize::new(0)),
            ids: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Takes a place for a session whose answers go to `answers`.
    #[must_use]
    pub fn desk(&self, answers: mpsc::Sender<Answer>) -> Option<Desk> {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len().max(1);
        let thread = self.threads.get(index)?.clone();
        Some(Desk { id: self.ids.fetch_add(1, Ordering::Relaxed), thread, answers })
    }
}

impl Desk {
    /// Hands over a message.
    ///
    /// # Errors
    /// The thread has too much to do; the message was not taken.
    pub fn ask(&self, view: usize, request: Request) -> Result<(), Refused> {
        let answers = self.answers.clone();
        let message = Message::Handle { id: self.id, view, request, answers };
        self.thread.try_send(message).map_err(|_| Refused)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // A thread too busy for this keeps the decoders of a session that is gone until the next one of its id: never. So it is
        // waited for, on a thread of its own, since this may run on one that must not block.
        let (thread, id) = (self.thread.clone(), self.id);
        if let Err(blocking::TrySendError::Full(message)) = thread.try_send(Message::Close { id }) {
            let _ = thread::Builder::new().spawn(move || thread.send(message));
        }
    }
}

fn work(rx: &blocking::Receiver<Message>) {
    let mut analysers: BTreeMap<(u64, usize), Analyser> = BTreeMap::new();
    while let Ok(message) = rx.recv() {
        match message {
            Message::Handle { id, view, request, answers } => {
                let replies = analysers.entry((id, view)).or_default().handle(request);
                // The session always drains its answers and never waits for this thread, so this does not block for long; a
                // session that is gone needs none.
                let _ = answers.blocking_send(Answer { view, replies });
            }
            Message::Close { id } => analysers.retain(|(of, _), _| *of != id),
        }
    }
}
