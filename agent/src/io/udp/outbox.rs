//! The way from the sweeping thread to a session: it never waits, and what finds no room is counted.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tallylight_model::MonoTime;
use tokio::sync::mpsc;

use crate::input::{InputEvent, arrival::Arrival, rtp::RtpCounts};

/// Datagrams arriving this close together go to the session as one run, stamped with the arrival of the last.
const RUN: Duration = Duration::from_millis(10);

/// The run under way, and what must not get lost while the session's queue is full.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) tx: mpsc::Sender<InputEvent>,
    pub(super) opened: Option<InputEvent>,
    run: BytesMut,
    /// Arrival of the run's first and last datagram, and how many there are.
    first: MonoTime,
    last: MonoTime,
    datagrams: u64,
    dropped: u64,
    rtp: RtpCounts,
    arrival: Option<Arrival>,
}

impl Outbox {
    pub(super) fn new(tx: mpsc::Sender<InputEvent>) -> Self {
        Self {
            tx,
            opened: None,
            run: BytesMut::new(),
            first: MonoTime::ZERO,
            last: MonoTime::ZERO,
            datagrams: 0,
            dropped: 0,
            rtp: RtpCounts::default(),
            arrival: None,
        }
    }

    pub(super) fn append(&mut self, at: MonoTime, bytes: &[u8]) {
        if self.datagrams > 0 && at.since(self.first) > RUN {
            self.flush();
        }
        if self.datagrams == 0 {
            self.first = at;
        }
        self.last = at;
        self.datagrams += 1;
        self.run.extend_from_slice(bytes);
    }

    pub(super) fn drop_datagrams(&mut self, at: MonoTime, datagrams: u64) {
        self.flush();
        self.last = at;
        self.dropped = self.dropped.saturating_add(datagrams);
    }

    /// Notes what became of RTP packets.
    pub(super) fn count(&mut self, at: MonoTime, counts: RtpCounts) {
        if !counts.in_order() {
            self.flush();
            self.last = at;
        }
        self.rtp.add(counts);
    }

    /// Notes how datagrams arrived.
    pub(super) fn tell(&mut self, arrival: Option<Arrival>) {
        let Some(arrival) = arrival else { return };
        match &mut self.arrival {
            Some(waiting) => waiting.add(&arrival),
            none => *none = Some(arrival),
        }
    }

    /// Sends what there is, in order. What the queue has no room for is counted as dropped.
    pub(super) fn flush(&mut self) {
        let datagrams = std::mem::take(&mut self.datagrams);
        let data: Bytes = self.run.split().freeze();
        let sent = self.flush_pending()
            && (data.is_empty()
                || self.tx.try_send(InputEvent::Bytes { at: self.last, data }).is_ok());
        if !sent {
            self.dropped = self.dropped.saturating_add(datagrams);
        }
    }

    /// Says that nothing more has arrived by this moment, if all that had was handed over; returns whether it was said.
    pub(super) fn quiet(&self, at: MonoTime) -> bool {
        let pending = self.opened.is_some() || self.dropped > 0 || !self.rtp.in_order();
        !pending && self.tx.try_send(InputEvent::Quiet { at }).is_ok()
    }

    fn flush_pending(&mut self) -> bool {
        if let Some(opened) = self.opened.take()
            && let Err(error) = self.tx.try_send(opened)
        {
            self.opened = Some(error.into_inner());
            return false;
        }
        let at = self.last;
        if self.dropped > 0 {
            if self.tx.try_send(InputEvent::Dropped { at, datagrams: self.dropped }).is_err() {
                return false;
            }
            self.dropped = 0;
        }
        if !self.rtp.in_order() || (self.arrival.is_some() && self.rtp.packets > 0) {
            if self.tx.try_send(InputEvent::Rtp { at, counts: self.rtp }).is_err() {
                return false;
            }
            self.rtp = RtpCounts::default();
        }
        if let Some(arrival) = self.arrival {
            if self.tx.try_send(InputEvent::Arrival { at, arrival }).is_err() {
                return false;
            }
            self.arrival = None;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_slow_session_does_not_take_is_dropped_by_the_host_and_not_lost() {
        let (tx, mut rx) = mpsc::channel(1);
        let mut outbox = Outbox::new(tx);
        let at = MonoTime::ZERO;
        for _ in 0..3 {
            outbox.append(at, &[1, 2]);
            outbox.append(at, &[3]);
            outbox.flush();
        }
        assert!(matches!(rx.try_recv(), Ok(InputEvent::Bytes { data, .. }) if *data == [1, 2, 3]));
        assert!(!outbox.quiet(at), "what was dropped is told first");
        outbox.append(at, &[4]);
        outbox.flush();
        assert_eq!(rx.try_recv(), Ok(InputEvent::Dropped { at, datagrams: 4 }));
        outbox.flush();
        assert_eq!(rx.try_recv(), Ok(InputEvent::Dropped { at, datagrams: 1 }));
        assert!(outbox.quiet(at));
        assert_eq!(rx.try_recv(), Ok(InputEvent::Quiet { at }));
    }
}
