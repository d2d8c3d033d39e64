//! What waits for the journal, and the one write that is under way.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use tallylight_decide::{action::Command, journal::Record};
use tallylight_model::{Epoch, NodeId};
use tokio::sync::oneshot;

use super::{
    journal::{FaultRow, JournalError},
    judge::Busy,
};
use crate::dedupe::Sifted;

/// Records that wait for a journal that cannot be written; more are lost, and the next change of their subject writes them.
const MAX_RECORDS: usize = 10_000;
/// Fault records of one write, and callers that wait for it. At either the judge takes nothing more in until it is done.
const MAX_FAULTS: usize = 10_000;
const MAX_WAITING: usize = 256;

/// Somebody who is told when what they said is safe.
#[derive(Debug)]
pub(super) enum Waiting {
    /// An agent, with the fault records that are to be kept.
    Batch {
        node: NodeId,
        epoch: Epoch,
        seqs: Vec<u64>,
        sifted: Sifted,
        reply: oneshot::Sender<Result<Sifted, Busy>>,
    },
    /// A person.
    Order(oneshot::Sender<Result<(), Busy>>),
}

impl Waiting {
    /// Answers; whoever has hung up comes again.
    pub(super) fn answer(self, safe: bool) {
        match self {
            Self::Batch { sifted, reply, .. } => {
                let _ = reply.send(if safe { Ok(sifted) } else { Err(Busy) });
            }
            Self::Order(reply) => {
                let _ = reply.send(if safe { Ok(()) } else { Err(Busy) });
            }
        }
    }
}

/// What the next write makes durable, and what rests on that.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By key: a later record replaces an earlier one in the journal too.
    pub(super) records: BTreeMap<String, Record>,
    pub(super) faults: Vec<FaultRow>,
    pub(super) commands: Vec<Command>,
    pub(super) waiting: Vec<Waiting>,
}

impl Pending {
    pub(super) fn record(&mut self, record: Record) {
        self.records.insert(record.key.clone(), record);
    }

    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }

    /// Takes back records that could not be written, where no later ones are there.
    pub(super) fn take_back(&mut self, records: BTreeMap<String, Record>) {
        for (key, record) in records {
            self.records.entry(key).or_insert(record);
        }
        while self.records.len() > MAX_RECORDS {
            self.records.pop_first();
        }
    }

    /// Whether it is to be written now. Where the journal fails, records alone are tried again from time to time.
    pub(super) fn is_due(&self, journal_fails: bool) -> bool {
        let someone =
            !(self.faults.is_empty() && self.commands.is_empty() && self.waiting.is_empty());
        someone || !self.records.is_empty() && !journal_fails
    }

    pub(super) fn has_room(&self) -> bool {
        self.faults.len() < MAX_FAULTS && self.waiting.len() < MAX_WAITING
    }
}

/// A write under way, with what waits for it.
pub(super) struct Writing {
    held: Pending,
    write: Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send>>,
}

impl Writing {
    pub(super) fn new(
        held: Pending,
        write: impl Future<Output = Result<(), JournalError>> + Send + 'static,
    ) -> Self {
        Self { held, write: Box::pin(write) }
    }

    /// Waits for the end of the write, for ever if there is none; can be given up and taken up again.
    pub(super) async fn end(writing: &mut Option<Self>) -> (Pending, Result<(), JournalError>) {
        let Some(under_way) = writing else { return std::future::pending().await };
        let result = (&mut under_way.write).await;
        let held = std::mem::take(&mut under_way.held);
        *writing = None;
        (held, result)
    }
}
