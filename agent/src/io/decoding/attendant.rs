//! A worker of its own for who waits for each answer: a probe, whose next question depends on the last answer.

use tallylight_model::MonoTime;

use super::{
    MAX_BATCH, MAX_BATCH_BYTES, MemoryLimits, Outcome, Program,
    channel::{Key, MAX_UNIT, Order},
    overseer::Overseer,
    worker::is_kept,
};
use crate::decode::{Quarantine, Request};

/// Has a worker.
#[derive(Debug)]
pub struct Attendant {
    overseer: Overseer,
    quarantine: Quarantine<u32>,
    /// What is only to be put aside, up to the next request that is more.
    kept: Vec<Order>,
    kept_bytes: usize,
}

impl Attendant {
    /// The worker starts with the first request.
    #[must_use]
    pub fn new(program: Program, memory: MemoryLimits) -> Self {
        Self {
            overseer: Overseer::new(program, memory),
            quarantine: Quarantine::default(),
            kept: Vec::new(),
            kept_bytes: 0,
        }
    }

    /// Has a view's request handled. `now` may be the time of the media: where a worker failed, the media after it is passed over.
    pub fn handle(&mut self, now: MonoTime, view: usize, request: Request) -> Outcome {
        let Ok(view) = u32::try_from(view) else { return Outcome::Skipped };
        if self.quarantine.holds(now, &view) {
            return Outcome::Skipped;
        }
        let kept = is_kept(&request);
        let order = Order::handle(Key { desk: 0, view }, request);
        if order.data().len() > MAX_UNIT {
            return Outcome::Skipped;
        }
        self.kept_bytes += order.data().len();
        self.kept.push(order);
        if kept && self.kept.len() < MAX_BATCH && self.kept_bytes < MAX_BATCH_BYTES {
            return Outcome::Replies(Vec::new());
        }
        self.kept_bytes = 0;
        let orders = std::mem::take(&mut self.kept);
        let mut last = Vec::new();
        let outcome = self.overseer.exchange(&orders, |_, replies| last = replies);
        let Err(failure) = outcome else { return Outcome::Replies(last) };
        let view = failure.key.map_or(view, |key| key.view);
        Outcome::Failed(failure.how, self.quarantine.failed(now, &view))
    }
}
