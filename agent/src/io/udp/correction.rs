//! What comes by the sockets of forward error correction.

use std::{collections::BTreeMap, time::Duration};

use tallylight_model::MonoTime;
use tokio::sync::mpsc;

use crate::input::{
    InputEvent,
    rtp::{Fec, FecDirection},
};

/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Counts packets, by direction.
#[derive(Debug, Default)]
pub(super) struct Correction {
    seen: BTreeMap<FecDirection, (Fec, u64)>,
    told: MonoTime,
}

impl Correction {
    pub(super) fn handle(&mut self, datagram: &[u8]) {
        if let Some(fec) = Fec::parse(datagram) {
            let (last, count) = self.seen.entry(fec.direction).or_insert((fec, 0));
            *last = fec;
            *count += 1;
        }
    }

    /// Tells what was counted; what finds no room is told later.
    pub(super) fn flush(&mut self, now: MonoTime, tx: &mpsc::Sender<InputEvent>) {
        if self.seen.is_empty() || now.since(self.told) < TELL_EVERY {
            return;
        }
        self.told = now;
        self.seen.retain(|_, (fec, packets)| {
            tx.try_send(InputEvent::Fec { fec: *fec, packets: *packets }).is_err()
        });
    }
}
