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
/// Runs of packets of one buffer that are followed between two PCRs.
const MAX_RUNS: usize = 2048;

/// Packets that went in one right after another.
#[derive(Clone, Copy)]
struct Run {
    /// The low half of the first one's place; packets since the last PCR once they were let through.
    place: u32,
    /// How many they are.
    count: u32,
    /// How many went in before them since the last PCR.
    before: u32,
    /// What the buffer held before them.
    fill: f32,
}

/// One transport buffer.
pub(crate) struct Transport {
    /// The packets since the last PCR.
    log: Vec<Run>,
    /// How many they are.
    count: u32,
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
            count: 0,
            fill: 0.0,
            drain: 0.0,
            empty: i64::MAX,
            overflow: Holding::new(overflow),
            busy: Holding::new(busy),
        }
    }

    /// Packets enter, one right after another.
    pub(crate) fn packets(&mut self, first: u64, count: usize) {
        let (place, count) = (first as u32, count as u32);
        let full = self.log.len() == MAX_RUNS;
        match self.log.last_mut() {
            Some(run) if run.place.wrapping_add(run.count) == place => {
                run.count = run.count.saturating_add(count);
            }
            _ if full => return,
            _ => self.log.push(Run { place, count, before: self.count, fill: 0.0 }),
        }
        self.count = self.count.saturating_add(count);
    }

    /// The low halves of the places of the packets since the last PCR, before they are let through.
    pub(crate) fn places(&self) -> impl Iterator<Item = u32> + '_ {
        self.log.iter().flat_map(|run| (0..run.count).map(|i| run.place.wrapping_add(i)))
    }

    /// How many entered since the last PCR.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// The next PCR is awaited.
    pub(crate) fn clear(&mut self) {
        self.log.clear();
        self.count = 0;
    }

    /// Lets the packets since the last PCR through, which stay in the log. It empties at `rx_bps`.
    pub(crate) fn advance(
        &mut self,
        rx_bps: u64,
        pid: Option<Pid>,
        now: &Now<'_>,
        out: &mut Vec<Change>,
    ) {
        if self.is_idle() {
            return self.rest(pid, now, out);
        }
        let packets = now.packets;
        let drain = now.share(rx_bps) / packets;
        self.drain = drain;
        let first = now.from.packet as u32;
        let ticks =
            |place: u32| now.from.ticks + (f64::from(place) / packets * now.span() as f64) as i64;
        let (mut empty, mut over) = (None, None);
        // While a packet enters, others of its bytes leave.
        let gain = PACKET as f64 - drain;
        if self.pass(first, gain, packets) {
            return self.rest(pid, now, out);
        }
        let mut next = 0;
        self.empty = self.empty.min(now.from.ticks);
        for run in &mut self.log {
            run.place = run.place.wrapping_sub(first);
            let (place, last) = (run.place, run.place + (run.count - 1));
            let before = self.fill - drain * f64::from(place.saturating_sub(next));
            if before <= 0.0 {
                empty = Some(place);
            }
            let before = before.max(0.0);
            run.fill = before as f32;
            let full = before + gain * f64::from(run.count);
            self.fill = full.clamp(0.0, SIZE);
            if self.fill == 0.0 {
                empty = Some(last);
            }
            if full > SIZE && now.constant {
                if !self.overflow.holds() {
                    // From the first that finds no room on.
                    let fitting = ((SIZE - before) / gain) as u32;
                    self.overflow.hold(ticks(place + fitting.min(run.count - 1)), pid, now, out);
                }
                over = Some(last);
            }
            next = last + 1;
        }
        if let Some(last) = over {
            self.overflow.hold(ticks(last), pid, now, out);
        }
        self.fill = (self.fill - drain * (packets - f64::from(next)).max(0.0)).max(0.0);
        if self.fill == 0.0 {
            self.empty = now.to.ticks;
        } else if let Some(place) = empty {
            self.empty = ticks(place);
        }
        self.overflow.lapse(pid, now, out);
        if now.constant && now.to.ticks - self.empty > SECOND {
            self.busy.hold(self.empty, pid, now, out);
        } else {
            self.busy.end(self.empty, pid, now, out);
        }
    }

    /// Lets one run of packets through if there is no other, it has room and is gone before the next PCR, as most often.
    fn pass(&mut self, first: u32, gain: f64, packets: f64) -> bool {
        let [run] = &mut *self.log else { return false };
        let place = run.place.wrapping_sub(first);
        let most = gain * f64::from(run.count);
        let after = packets - f64::from(place) - f64::from(run.count);
        let passes = self.fill == 0.0 && most <= SIZE && most <= self.drain * after;
        if passes {
            (run.place, run.fill) = (place, 0.0);
        }
        passes
    }

    /// How many packets went in before a place, and how many bytes of them are still there; packets since the last PCR.
    pub(crate) fn passed(&self, place: u64) -> (usize, f64) {
        let run = self.log.partition_point(|run| u64::from(run.place) < place);
        let Some(run) = run.checked_sub(1).and_then(|run| self.log.get(run)) else {
            return (0, 0.0);
        };
        let passed = place - u64::from(run.place);
        let inside = passed.min(u64::from(run.count));
        let entered = f64::from(run.fill) + (PACKET as f64 - self.drain) * inside as f64;
        let left = entered.clamp(0.0, SIZE) - self.drain * (passed - inside) as f64;
        ((u64::from(run.before) + inside) as usize, left.max(0.0))
    }

    /// Whether nothing is in it, nor came since the last PCR.
    pub(crate) const fn is_idle(&self) -> bool {
        self.count == 0 && self.fill == 0.0
    }

    /// Nothing piles up in it.
    pub(crate) fn rest(&mut self, pid: Option<Pid>, now: &Now<'_>, out: &mut Vec<Change>) {
        (self.fill, self.empty) = (0.0, now.to.ticks);
        self.overflow.lapse(pid, now, out);
        self.busy.end(now.to.ticks, pid, now, out);
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self, pid: Option<Pid>, here: Position, out: &mut Vec<Change>) {
        self.clear();
        (self.fill, self.empty) = (0.0, i64::MAX);
        self.overflow.close(pid, here, out);
        self.busy.close(pid, here, out);
    }
}
