//! What holds of a buffer, from when to when, and the moment that is looked at.

use alloc::vec::Vec;
use core::time::Duration;

use tallylight_model::Pid;

use crate::{
    BufferFault, Position,
    buffer::clock::{Clock, Point, SECOND},
    packet::PACKET,
};

/// Something begins or ends to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) pid: Option<Pid>,
    pub(crate) fault: BufferFault,
    pub(crate) holds: bool,
    pub(crate) since: Position,
    pub(crate) at: Position,
}

/// The last PCR of a program, up to which its buffers are followed.
pub(crate) struct Now<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) from: Point,
    pub(crate) to: Point,
    /// Where it stands.
    pub(crate) here: Position,
    /// Whether the multiplex has null packets: else nothing is known of the rate within an interval.
    pub(crate) constant: bool,
    /// The packets between the two PCRs.
    pub(crate) packets: f64,
    /// The bytes that a bit per second comes to between the two PCRs.
    share: f64,
}

impl<'a> Now<'a> {
    pub(crate) fn new(clock: &'a Clock, here: Position, constant: bool) -> Self {
        let (from, to) = clock.interval();
        let packets = (to.packet - from.packet) as f64;
        let share = (to.ticks - from.ticks) as f64 / (8 * SECOND) as f64;
        Self { clock, from, to, here, constant, packets, share }
    }

    /// Where a moment stands in the stream.
    fn position(&self, ticks: i64) -> Position {
        let nanos = |ticks: i64| Duration::from_nanos(ticks.unsigned_abs() * 1000 / 27);
        let media = self.here.media.map(|media| match self.to.ticks - ticks {
            before @ 0.. => media.saturating_sub(nanos(before)),
            after => media + nanos(after),
        });
        Position { packet: self.clock.place(ticks), at: self.here.at, media }
    }

    /// The ticks between the two PCRs.
    pub(crate) const fn span(&self) -> i64 {
        self.to.ticks - self.from.ticks
    }

    /// Whether the multiplex is faster than a transport buffer empties.
    pub(crate) fn is_tight(&self, rx_bps: u64) -> bool {
        self.packets * PACKET as f64 > self.share(rx_bps)
    }

    /// So much a second, in the interval.
    pub(crate) fn share(&self, bps: u64) -> f64 {
        bps as f64 * self.share
    }
}

/// Whether one thing holds.
#[derive(Clone, Copy)]
pub(crate) struct Holding {
    fault: BufferFault,
    since: Option<Position>,
    /// When it was last found.
    last: i64,
}

impl Holding {
    pub(crate) const fn new(fault: BufferFault) -> Self {
        Self { fault, since: None, last: 0 }
    }

    pub(crate) const fn holds(&self) -> bool {
        self.since.is_some()
    }

    /// It holds at a moment.
    pub(crate) fn hold(&mut self, at: i64, pid: Option<Pid>, now: &Now<'_>, out: &mut Vec<Change>) {
        self.last = at;
        if self.since.is_none() {
            let since = now.position(at);
            self.since = Some(since);
            out.push(Change { pid, fault: self.fault, holds: true, since, at: now.here });
        }
    }

    /// It ended at a moment, if it held.
    pub(crate) fn end(&mut self, at: i64, pid: Option<Pid>, now: &Now<'_>, out: &mut Vec<Change>) {
        if self.holds() {
            self.close(pid, now.position(at), out);
        }
    }

    /// Whether it holds and was last found a second ago: what comes back sooner is the same.
    pub(crate) const fn lapses(&self, now: &Now<'_>) -> bool {
        self.holds() && now.to.ticks - self.last > SECOND
    }

    /// It ended when it was last found, if it [lapses](Self::lapses).
    pub(crate) fn lapse(&mut self, pid: Option<Pid>, now: &Now<'_>, out: &mut Vec<Change>) {
        if self.lapses(now) {
            self.end(self.last, pid, now, out);
        }
    }

    /// Nothing is known from here on.
    pub(crate) fn close(&mut self, pid: Option<Pid>, here: Position, out: &mut Vec<Change>) {
        if let Some(since) = self.since.take() {
            out.push(Change { pid, fault: self.fault, holds: false, since, at: here });
        }
    }
}
