//! Transport buffers, TB and TBsys (ISO/IEC 13818-1, 2.4.2.4): 512 bytes into which whole packets go.

use alloc::vec::Vec;

use tallylight_model::Pid;

use crate::{
    BufferFault, Position,
    buffer::{
        clock::SECOND,
        holding::{Change, Holding, Now},
    },
    packet::PACKET,
};

/// Bytes of a transport buffer.
const SIZE: f64 = 512.0;
/// Packets of one buffer that are followed between two PCRs.
const MAX_LOG: usize = 2048;

/// A packet that went in.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// The low half of its place; packets since the last PCR once it was let through.
    pub(crate) place: u32,
    /// What the buffer held after it.
    fill: f32,
}

/// One transport buffer.
pub(crate) struct Transport {
    /// The packets since the last PCR.
    pub(crate) log: Vec<Entry>,
    fill: f64,
    /// How much leaves while a packet passes.
    drain: f64,
    /// When it was last empty.
    empty: i64,
    overflow: Holding,
    busy: Holding,
}

impl Transport {
    pub(crate) const fn new(overflow: BufferFault, busy: BufferFault) -> Self {
        Self {
            log: Vec::new(),
            fill: 0.0,
            drain: 0.0,
            empty: i64::MAX,
            overflow: Holding::new(overflow),
            busy: Holding::new(busy),
        }
    }

    /// A packet enters at a place.
    pub(crate) fn packet(&mut self, packet: u64) {
        if self.log.len() < MAX_LOG {
            self.log.push(Entry { place: packet as u32, fill: 0.0 });
        }
    }

    /// Lets the packets since the last PCR through, which stay in the log. It empties at `rx_bps`.
    pub(crate) fn advance(
        &mut self,
        rx_bps: u64,
        pid: Option<Pid>,
        now: &Now<'_>,
        out: &mut Vec<Change>,
    ) {
        let packets = (now.to.packet - now.from.packet) as f64;
        let drain = now.share(rx_bps) / packets;
        self.drain = drain;
        let first = now.from.packet as u32;
        let mut next = 0;
        self.empty = self.empty.min(now.from.ticks);
        for entry in &mut self.log {
            entry.place = entry.place.wrapping_sub(first);
            let place = entry.place;
            let before = self.fill - drain * f64::from(place.saturating_sub(next));
            let here = now.from.ticks + (f64::from(place) / packets * now.span() as f64) as i64;
            if before <= 0.0 {
                self.empty = here;
            }
            // While the packet enters, others of its bytes leave.
            self.fill = (before.max(0.0) + PACKET as f64 - drain).max(0.0);
            if self.fill > SIZE {
                self.fill = SIZE;
                if now.constant {
                    self.overflow.hold(here, pid, now, out);
                }
            }
            entry.fill = self.fill as f32;
            next = place + 1;
        }
        self.fill = (self.fill - drain * (packets - f64::from(next)).max(0.0)).max(0.0);
        if self.fill == 0.0 {
            self.empty = now.to.ticks;
        }
        self.overflow.lapse(pid, now, out);
        if now.constant && now.to.ticks - self.empty > SECOND {
            self.busy.hold(self.empty, pid, now, out);
        } else {
            self.busy.end(self.empty, pid, now, out);
        }
    }

    /// How many packets went in before a place, and how many bytes of them are still there; packets since the last PCR.
    pub(crate) fn passed(&self, place: u64) -> (usize, f64) {
        let count = self.log.partition_point(|entry| u64::from(entry.place) < place);
        let last = count.checked_sub(1).and_then(|last| self.log.get(last));
        let left = last.map_or(0.0, |last| {
            f64::from(last.fill) - self.drain * (place - u64::from(last.place) - 1) as f64
        });
        (count, left.max(0.0))
    }

    /// Nothing piles up in it.
    pub(crate) fn rest(&mut self, pid: Option<Pid>, now: &Now<'_>, out: &mut Vec<Change>) {
        (self.fill, self.empty) = (0.0, now.to.ticks);
        self.overflow.lapse(pid, now, out);
        self.busy.end(now.to.ticks, pid, now, out);
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self, pid: Option<Pid>, here: Position, out: &mut Vec<Change>) {
        self.log.clear();
        (self.fill, self.empty) = (0.0, i64::MAX);
        self.overflow.close(pid, here, out);
        self.busy.close(pid, here, out);
    }
}
