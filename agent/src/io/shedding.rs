//! Looks at how the workers that decode keep up, and says what is shed.

use std::{collections::BTreeMap, sync::Arc};

use tallylight_model::{NodeReport, Resource, StreamId};
use tokio::sync::watch;

use super::{clock, decoding::Decoders, outbox::Outbox};
use crate::{
    assignment::Priority,
    shedding::{Levels, Load, Shedder},
};

/// Processors used to this share have no time left.
const BUSY: f64 = 0.95;

/// Decides for all workers.
#[derive(Debug, Default)]
pub struct Relief {
    workers: Vec<Worker>,
    dropped: u64,
    levels: watch::Sender<Arc<Levels>>,
}

#[derive(Debug, Default)]
struct Worker {
    shedder: Shedder,
    streams: usize,
    refused: u64,
}

impl Relief {
    /// Follows what is shed.
    #[must_use]
    pub fn levels(&self) -> watch::Receiver<Arc<Levels>> {
        self.levels.subscribe()
    }

    /// Decides about these streams, each with the place of its worker.
    pub fn watch(
        &mut self,
        streams: impl Iterator<Item = (usize, StreamId, Priority)>,
        outbox: &Outbox,
    ) {
        let mut by_worker: BTreeMap<usize, Vec<(StreamId, Priority)>> = BTreeMap::new();
        for (worker, stream, priority) in streams {
            by_worker.entry(worker).or_default().push((stream, priority));
        }
        let most = by_worker.keys().next_back().map_or(0, |last| last + 1);
        self.workers.resize_with(most.max(self.workers.len()), Worker::default);
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let streams = by_worker.remove(&index).unwrap_or_default();
            worker.streams = streams.len();
            worker.shedder.watch(streams);
        }
        self.tell(outbox);
    }

    /// Looks at how the last second went. Call it once a second.
    pub fn look(&mut self, decoders: &Decoders, report: &NodeReport, outbox: &Outbox) {
        let cpu = report.saturation.get(&Resource::Cpu);
        let busy = cpu.is_some_and(|used| used.get() >= BUSY);
        let all = outbox.dropped();
        // Streams that are gone take their counts along.
        let dropped = all.saturating_sub(std::mem::replace(&mut self.dropped, all));
        for (worker, backlog) in self.workers.iter_mut().zip(decoders.backlogs(clock::now())) {
            let before = std::mem::replace(&mut worker.refused, backlog.refused);
            let refused = backlog.refused.saturating_sub(before);
            worker.shedder.tick(Load { late: backlog.late, refused, dropped, busy });
        }
        self.tell(outbox);
    }

    fn tell(&self, outbox: &Outbox) {
        let shed = self.workers.iter().flat_map(|worker| worker.shedder.levels());
        let shed: BTreeMap<_, _> = shed.map(|(stream, level)| (stream.clone(), level)).collect();
        let levels = Levels { shed, streams: self.workers.iter().map(|it| it.streams).sum() };
        let before = Arc::clone(&self.levels.borrow());
        if *before == levels {
            return;
        }
        let (shed, streams) = (levels.shed.len(), levels.streams);
        match (before.shed.is_empty(), levels.shed.is_empty()) {
            (true, false) => {
                tracing::warn!(shed, streams, "decoders are late; less is decoded");
            }
            (false, true) => tracing::info!(streams, "everything is decoded again"),
            _ => tracing::debug!(shed, streams, "what is decoded less changed"),
        }
        outbox.shed_streams(&levels);
        self.levels.send_replace(Arc::new(levels));
    }
}
