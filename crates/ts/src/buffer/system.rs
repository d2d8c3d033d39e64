//! The buffers of a program's tables: TBsys and Bsys (ISO/IEC 13818-1, 2.4.2.4), for PAT, CAT and its PMT.

use alloc::vec::Vec;

use crate::{
    BufferFault, Position,
    buffer::{
        clock::SECOND,
        holding::{Change, Holding, Now},
        transport::Transport,
    },
    packet::{PACKET, PAYLOAD},
};

/// Rxsys in bits per second.
const RX_BPS: u64 = 1_000_000;
/// The least Rbsys in bits per second; else it is the transport rate over 500.
const LEAST_BPS: f64 = 80_000.0;
/// BSsys in bytes.
const SIZE: f64 = 1536.0;

/// Follows the tables of one program through their buffers.
pub(crate) struct System {
    transport: Transport,
    fill: f64,
    overflow: Holding,
}

impl Default for System {
    fn default() -> Self {
        Self {
            transport: Transport::new(
                BufferFault::SystemTransportOverflow,
                BufferFault::SystemBusy,
            ),
            fill: 0.0,
            overflow: Holding::new(BufferFault::SystemOverflow),
        }
    }
}

impl System {
    pub(crate) fn packet(&mut self, packet: u64) {
        self.transport.packets(packet, 1);
    }

    /// Follows the buffers up to a PCR.
    pub(crate) fn advance(&mut self, now: &Now<'_>, out: &mut Vec<Change>) {
        if self.fill == 0.0 && self.transport.is_idle() {
            self.overflow.lapse(None, now, out);
            return self.transport.rest(None, now, out);
        }
        let packets = now.packets;
        let seconds = now.span() as f64 / SECOND as f64;
        let rate_bps = packets * PACKET as f64 * 8.0 / seconds;
        let drain = LEAST_BPS.max(rate_bps / 500.0) / 8.0 * seconds / packets;
        let first = now.from.packet as u32;
        let mut next = 0;
        for place in self.transport.places() {
            let place = place.wrapping_sub(first);
            self.fill = (self.fill - drain * f64::from(place.saturating_sub(next))).max(0.0);
            self.fill += PAYLOAD as f64;
            if self.fill > SIZE {
                self.fill = SIZE;
                let here = (f64::from(place) / packets * now.span() as f64) as i64;
                self.overflow.hold(now.from.ticks + here, None, now, out);
            }
            next = place;
        }
        self.fill = (self.fill - drain * (packets - f64::from(next)).max(0.0)).max(0.0);
        self.overflow.lapse(None, now, out);
        self.transport.advance(RX_BPS, None, now, out);
        self.transport.clear();
    }

    /// The clock begins anew.
    pub(crate) fn reset(&mut self, here: Position, out: &mut Vec<Change>) {
        self.fill = 0.0;
        self.overflow.close(None, here, out);
        self.transport.reset(None, here, out);
    }
}
