//! The buffers of one component.

use alloc::{collections::VecDeque, vec::Vec};

use tallylight_model::{Codec, Pid, Pts};

use crate::{
    BufferFault, Coding, MediaKind, Position,
    buffer::{
        clock::SECOND,
        holding::{Change, Holding, Now},
        sizes::Sizes,
        transport::Transport,
    },
    packet::{PACKET, PAYLOAD},
};

/// Access units that end between two PCRs, and such that wait for their decoding time, at most. What is beyond leaves the buffers
/// with the next that is kept.
const MAX_FRESH: usize = 256;
const MAX_WAITING: usize = 1024;
/// A decoding time further off than this is a damaged stamp's.
const FAR: i64 = 70 * SECOND;

/// An access unit that ended since the last PCR.
struct Unit {
    /// The packets of its first and its last byte.
    begin: u64,
    end: u64,
    /// The bytes that arrived up to its end.
    offset: u64,
    stamp: Option<Pts>,
    damaged: bool,
}

/// An access unit that waits to be decoded.
#[derive(Clone, Copy)]
struct Due {
    at: i64,
    offset: u64,
}

/// Where the last PES packet began.
#[derive(Clone, Copy, Default)]
struct Start {
    packet: u64,
    /// The component's packet before.
    before: u64,
    /// The bytes that had arrived before it.
    arrived: u64,
}

/// Follows one component through its buffers.
pub(crate) struct Model {
    is_video: bool,
    /// The longest that its data may stay.
    limit: i64,
    /// PES bytes so far.
    arrived: u64,
    /// Its last packet.
    last: u64,
    start: Start,
    transport: Transport,
    /// Whether the multiplex is faster than the transport buffer empties: only then can packets pile up there.
    tight: bool,
    fresh: Vec<Unit>,
    waiting: VecDeque<Due>,
    /// Bytes that had arrived at the last PCR.
    sampled: u64,
    /// The end of the last access unit that was read, and of the last that was decoded.
    read: u64,
    removed: u64,
    /// When the last access unit had left TB, and MB.
    left: (i64, i64),
    /// What is in MB because it comes faster than it leaves.
    backlog: f64,
    /// When MB was last empty.
    empty: i64,
    /// The first access unit may have been noticed late.
    begun: bool,
    pub(crate) judged: bool,
    late: Holding,
    delay: Holding,
    overflow: Holding,
    busy: Holding,
}

impl Model {
    pub(crate) fn new(coding: Coding, still: bool) -> Self {
        let is_video = coding.kind() == MediaKind::Video;
        let seconds = match coding.codec() {
            _ if still => 60,
            Some(Codec::H264 | Codec::Hevc) => 10,
            _ => 1,
        };
        let overflow =
            if is_video { BufferFault::MultiplexOverflow } else { BufferFault::MainOverflow };
        Self {
            is_video,
            limit: seconds * SECOND,
            arrived: 0,
            last: 0,
            start: Start::default(),
            transport: Transport::new(BufferFault::TransportOverflow, BufferFault::TransportBusy),
            tight: false,
            fresh: Vec::new(),
            waiting: VecDeque::new(),
            sampled: 0,
            read: 0,
            removed: 0,
            left: (0, 0),
            backlog: 0.0,
            empty: i64::MAX,
            begun: false,
            judged: false,
            late: Holding::new(BufferFault::Late),
            delay: Holding::new(BufferFault::Delay),
            overflow: Holding::new(overflow),
            busy: Holding::new(BufferFault::MultiplexBusy),
        }
    }

    /// A packet with so many bytes of payload comes.
    pub(crate) fn packet(&mut self, packet: u64, unit_start: bool, payload: usize) {
        if unit_start {
            self.start = Start { packet, before: self.last, arrived: self.arrived };
        }
        self.arrived += payload as u64;
        self.last = packet;
        if self.tight {
            self.transport.packets(packet, 1);
        }
    }

    /// So many packets full of payload come, one after another.
    pub(crate) fn full_packets(&mut self, packet: u64, count: usize) {
        if let Some(others) = count.checked_sub(1) {
            self.arrived += (count * PAYLOAD) as u64;
            self.last = packet + others as u64;
            if self.tight {
                self.transport.packets(packet, count);
            }
        }
    }

    /// Where a picture ended, of which the next begins in a packet: its last packet, and the bytes up to there.
    pub(crate) fn end_before(&self, next: Option<u64>) -> (u64, u64) {
        match next {
            Some(next) if next == self.start.packet => (self.start.before, self.start.arrived),
            Some(next) => (next, self.arrived),
            None => self.here(0),
        }
    }

    /// The last packet, and the bytes so far without the last ones.
    pub(crate) const fn here(&self, without: usize) -> (u64, u64) {
        (self.last, self.arrived.saturating_sub(without as u64))
    }

    /// An access unit from a packet to another ended after so many bytes.
    pub(crate) fn unit(
        &mut self,
        begin: u64,
        (end, offset): (u64, u64),
        stamp: Option<Pts>,
        damaged: bool,
    ) {
        if self.fresh.len() < MAX_FRESH {
            self.fresh.push(Unit { begin, end: end.max(begin), offset, stamp, damaged });
        }
    }

    /// Follows the buffers up to a PCR.
    pub(crate) fn advance(
        &mut self,
        sizes: Option<&Sizes>,
        pid: Option<Pid>,
        now: &Now<'_>,
        out: &mut Vec<Change>,
    ) {
        let before = core::mem::replace(&mut self.sampled, self.arrived);
        match sizes.filter(|_| self.tight) {
            Some(sizes) => self.transport.advance(sizes.rx_bps, pid, now, out),
            None => self.transport.rest(pid, now, out),
        }
        self.tight = sizes.is_some_and(|sizes| now.is_tight(sizes.rx_bps));
        if self.arrived != before || !self.rests(sizes, now) {
            let mut fresh = core::mem::take(&mut self.fresh);
            for unit in fresh.drain(..) {
                self.settle(&unit, sizes, pid, now, out);
            }
            self.fresh = fresh;
            self.decode(before, sizes, pid, now, out);
        }
        self.transport.clear();
    }

    /// Takes out what was decoded up to a PCR where nothing came and nothing can be found; false if there is more to do.
    fn rests(&mut self, sizes: Option<&Sizes>, now: &Now<'_>) -> bool {
        let most = self.arrived.saturating_sub(self.removed);
        let rests = self.backlog == 0.0
            && self.fresh.is_empty()
            && !self.busy.holds()
            && !self.overflow.lapses(now)
            && sizes.is_none_or(|sizes| self.has_room(most, sizes));
        if rests {
            self.empty = now.to.ticks;
            while let Some(due) = self.waiting.pop_front_if(|due| due.at <= now.to.ticks) {
                self.removed = self.removed.max(due.offset);
            }
        }
        rests
    }

    /// Judges when an access unit came, and lets it wait for its time.
    fn settle(
        &mut self,
        unit: &Unit,
        sizes: Option<&Sizes>,
        pid: Option<Pid>,
        now: &Now<'_>,
        out: &mut Vec<Change>,
    ) {
        let (begin, end) = (now.clock.at(unit.begin), now.clock.at(unit.end + 1));
        let size = unit.offset.saturating_sub(self.read);
        self.read = unit.offset;
        if let Some(sizes) = sizes {
            let whole = size * PACKET as u64 / PAYLOAD as u64;
            self.left.0 = end.max(self.left.0.max(begin) + ticks(whole, sizes.rx_bps));
            let leak = sizes.leak_bps.map(|bps| self.left.1.max(begin) + ticks(size, bps));
            self.left.1 = leak.map_or(self.left.0, |leak| leak.max(self.left.0));
        } else {
            self.left = (end, end);
        }
        let due = unit.stamp.and_then(|stamp| now.clock.due(stamp));
        let Some(due) = due.filter(|due| (due - now.to.ticks).abs() < FAR) else {
            // Without a stamp it goes with the one before.
            if let Some(last) = self.waiting.back_mut() {
                last.offset = unit.offset;
            }
            return;
        };
        if !core::mem::replace(&mut self.begun, true) {
            self.removed = unit.offset;
            return;
        }
        if !unit.damaged {
            self.judged = true;
            if self.left.1 > due {
                self.late.hold(due, pid, now, out);
            } else {
                self.late.end(self.left.1, pid, now, out);
            }
            if due - begin > self.limit {
                self.delay.hold(begin, pid, now, out);
            } else {
                self.delay.end(begin, pid, now, out);
            }
        }
        if self.waiting.len() == MAX_WAITING {
            self.removed = self.waiting.pop_front().map_or(self.removed, |due| due.offset);
        }
        let at = self.waiting.back().map_or(due, |last| last.at.max(due));
        self.waiting.push_back(Due { at, offset: unit.offset });
    }

    /// Takes out what was decoded up to a PCR, and looks at what the buffers hold just before.
    fn decode(
        &mut self,
        before: u64,
        sizes: Option<&Sizes>,
        pid: Option<Pid>,
        now: &Now<'_>,
        out: &mut Vec<Change>,
    ) {
        let arrived = self.arrived - before;
        if let Some(bps) = sizes.and_then(|sizes| sizes.leak_bps) {
            self.backlog = (self.backlog + arrived as f64 - now.share(bps)).max(0.0);
        }
        let mut spare = true;
        while let Some(&due) = self.waiting.front() {
            // Where all that arrived has room, what of it had come by then has.
            let most = self.arrived.saturating_sub(self.removed);
            if let Some(sizes) = sizes.filter(|sizes| !self.has_room(most, sizes)) {
                let at = due.at.clamp(now.from.ticks, now.to.ticks);
                let held = (before + self.come(arrived, at, now)).saturating_sub(self.removed);
                spare &= self.look(held, sizes, at, pid, now, out);
            }
            if due.at > now.to.ticks {
                break;
            }
            self.removed = self.removed.max(due.offset);
            self.waiting.pop_front();
        }
        self.overflow.lapse(pid, now, out);
        if self.backlog == 0.0 && spare {
            self.empty = now.to.ticks;
        }
        self.empty = self.empty.min(now.to.ticks);
        if now.to.ticks - self.empty > SECOND {
            self.busy.hold(self.empty, pid, now, out);
        } else {
            self.busy.end(self.empty, pid, now, out);
        }
    }

    /// How many of the bytes that arrived since the last PCR are behind the transport buffer at a moment.
    fn come(&self, arrived: u64, at: i64, now: &Now<'_>) -> u64 {
        if arrived == 0 {
            return 0;
        }
        let packets = u64::from(self.transport.count());
        if packets == 0 {
            let passed = (at - now.from.ticks).unsigned_abs();
            return arrived * passed / now.span().unsigned_abs();
        }
        let (count, left) = self.transport.passed(now.clock.place(at) - now.from.packet);
        (arrived * count as u64 / packets).saturating_sub(left as u64)
    }

    /// Looks at what stands behind the transport buffer; true if the main one has room.
    fn look(
        &mut self,
        held: u64,
        sizes: &Sizes,
        at: i64,
        pid: Option<Pid>,
        now: &Now<'_>,
        out: &mut Vec<Change>,
    ) -> bool {
        if held > sizes.room() || self.is_video && self.backlog > sizes.multiplex as f64 {
            self.overflow.hold(at, pid, now, out);
        }
        !self.is_video || held <= sizes.main
    }

    /// Whether looking at so much would find nothing.
    fn has_room(&self, held: u64, sizes: &Sizes) -> bool {
        let backlog = self.is_video && self.backlog > sizes.multiplex as f64;
        held <= sizes.main.min(sizes.room()) && !backlog
    }

    /// The clock begins anew: nothing is known of what the buffers hold.
    pub(crate) fn reset(&mut self, pid: Option<Pid>, here: Position, out: &mut Vec<Change>) {
        self.transport.reset(pid, here, out);
        for holding in [&mut self.late, &mut self.delay, &mut self.overflow, &mut self.busy] {
            holding.close(pid, here, out);
        }
        self.fresh.clear();
        self.waiting.clear();
        (self.sampled, self.read, self.removed) = (self.arrived, self.arrived, self.arrived);
        (self.left, self.backlog, self.empty) = ((0, 0), 0.0, i64::MAX);
        (self.tight, self.begun) = (false, false);
    }
}

/// How long so many bytes take.
const fn ticks(bytes: u64, bps: u64) -> i64 {
    (bytes * 8 * SECOND as u64 / bps) as i64
}
