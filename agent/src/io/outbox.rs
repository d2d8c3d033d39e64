//! What all sessions report to: the queue for the collector and the board behind `/metrics`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tallylight_model::{FaultRecord, NodeReport, Slice, StreamId};
use tokio::sync::Notify;

use crate::{
    decode::{Confinement, WorkerFailure},
    exposition::{Backlog, Board, ClipResult},
    input::{
        arrival::Arrival,
        rtp::{Fec, RtpCounts},
    },
    report::Queue,
    shedding::{Cuts, Level, Levels},
    sound::Reading,
};

/// The queue and the board.
#[derive(Debug)]
pub struct Outbox {
    queue: Mutex<Queue>,
    board: Mutex<Board>,
    /// Fault records wait.
    pub(super) faults: Notify,
    /// Slices wait.
    pub(super) slices: Notify,
}

impl Outbox {
    /// Joins an empty queue and an empty board.
    #[must_use]
    pub fn new(queue: Queue, board: Board) -> Self {
        Self {
            queue: Mutex::new(queue),
            board: Mutex::new(board),
            faults: Notify::new(),
            slices: Notify::new(),
        }
    }

    /// Queues a fault record; it leaves at once.
    pub fn fault(&self, record: FaultRecord) {
        let lost = {
            let mut queue = self.queue();
            let before = queue.lost_faults();
            queue.push_fault(record);
            (queue.lost_faults() > before).then(|| queue.lost_faults())
        };
        if let Some(lost) = lost.filter(|lost| lost.is_power_of_two()) {
            tracing::error!(lost, "fault records are lost: the queue is full of them");
        }
        self.faults.notify_one();
    }

    /// Queues a slice and shows it.
    pub fn slice(&self, slice: Slice) {
        self.board().add(&slice);
        self.queue().push_slice(slice);
        self.slices.notify_one();
    }

    /// Shows how a stream sounds.
    pub fn heard(&self, stream: &StreamId, reading: Reading) {
        self.board().heard(stream, reading);
    }

    /// Shows how a stream's datagrams arrived.
    pub fn arrived(&self, stream: &StreamId, arrival: &Arrival) {
        self.board().arrived(stream, arrival);
    }

    /// Shows what became of a stream's RTP packets.
    pub fn received(&self, stream: &StreamId, counts: RtpCounts) {
        self.board().received(stream, counts);
    }

    /// Counts a change of what a stream carries.
    pub fn changed(&self, stream: &StreamId) {
        self.board().changed(stream);
    }

    /// Counts a cue for a splice.
    pub fn cued(&self, stream: &StreamId) {
        self.board().cued(stream);
    }

    /// Shows packets of forward error correction beside a stream; true for the first of their direction.
    pub fn corrected(&self, stream: &StreamId, fec: Fec, packets: u64) -> bool {
        self.board().corrected(stream, fec.direction, packets)
    }

    /// Queues the node's report and shows it.
    pub fn report(&self, report: NodeReport) {
        self.board().node(&report);
        self.queue().push_report(report);
        self.slices.notify_one();
    }

    /// Counts an access unit that no decoder had time for.
    pub fn decode_refused(&self) {
        self.board().decode_refused();
    }

    /// Shows how much is shed.
    pub fn shed_streams(&self, levels: &Levels) {
        let count = |level| (level, levels.count(level));
        self.board().shed_streams(Level::SHEDDING.into_iter().map(count).collect());
    }

    /// Counts what was shed.
    pub fn shed(&self, cuts: Cuts) {
        self.board().shed(cuts);
    }

    /// Counts pictures between key pictures that were not decoded since other streams' were.
    pub fn full_decodes_skipped(&self, spans: u64) {
        self.board().full_decodes_skipped(spans);
    }

    /// Datagrams of all streams that overflowed the agent's sockets.
    pub fn dropped(&self) -> u64 {
        self.board().dropped()
    }

    /// Counts a process that decoded and failed.
    pub fn decode_worker_failed(&self, how: WorkerFailure) {
        self.board().decode_worker_failed(how);
    }

    /// Shows what the processes that decode are kept from, and says so where that is not all.
    pub fn decoders_confined(&self, confinement: Confinement) {
        if self.board().decoders_confined(confinement) {
            let Confinement { files, network, seccomp, landlock } = confinement;
            if files && network {
                tracing::info!(seccomp, landlock, "decoders can open neither files nor sockets");
            } else {
                tracing::warn!(
                    files,
                    network,
                    seccomp,
                    landlock,
                    "this kernel does not keep decoders from all files and sockets"
                );
            }
        }
    }

    /// Counts what became of a clip.
    pub fn clip(&self, result: ClipResult) {
        self.board().clip(result);
    }

    /// Shows what clips take up on disk.
    pub fn clip_bytes(&self, bytes: u64) {
        self.board().clip_bytes(bytes);
    }

    /// Shows what a stream's last seconds take up in memory, after so much before.
    pub fn ring_bytes(&self, before: u64, bytes: u64) {
        self.board().ring_bytes(before, bytes);
    }

    /// Shows exactly these streams.
    pub fn watch(&self, streams: impl IntoIterator<Item = StreamId>) {
        self.board().watch(streams);
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn metrics(&self) -> String {
        let backlog = {
            let queue = self.queue();
            let (lost_slices, lost_faults) = (queue.lost_slices(), queue.lost_faults());
            Backlog { waiting: queue.len(), lost_slices, lost_faults }
        };
        self.board().render(backlog)
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in the critical sections can leave them half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
