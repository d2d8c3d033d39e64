//! A multiplex of constant rate: 25 frames of 40 packets a second.

use crate::{Length, Mux, pes};

/// Packets of one frame.
pub const FRAME: usize = 40;
/// Ticks of 90 kHz that a frame lasts.
pub const TICKS: u64 = 3600;
/// How far presentation stamps are ahead of the clock, in ticks of 90 kHz.
pub const AHEAD: u64 = 18_000;

/// What a frame carries.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Sections and their PIDs, sent in every second frame.
    pub tables: Vec<(u16, Vec<u8>)>,
    /// Where the clock is.
    pub clock: u16,
    /// PES packets: PID, stream id and data.
    pub units: Vec<(u16, u8, Vec<u8>)>,
}

impl Mux {
    /// Writes frames by a plan, and returns the first packet of them.
    ///
    /// # Panics
    ///
    /// Where a frame cannot hold what is planned.
    pub fn play(&mut self, plan: &Plan, frames: u64) -> usize {
        let first = self.packets();
        for _ in 0..frames {
            let end = self.packets() + FRAME;
            for (pid, section) in &plan.tables {
                // The clock stands at the same place in every frame.
                match self.frames.is_multiple_of(2) {
                    true => self.section(*pid, section),
                    false => (0..section.len() / 184 + 1).for_each(|_| self.null()),
                }
            }
            let now = self.frames * TICKS;
            self.clock(plan.clock, now * 300);
            for (pid, id, data) in &plan.units {
                let shift = self.shifts.get(pid).copied().unwrap_or_default();
                self.unit(*pid, &pes(*id, Length::Stated, Some(now + AHEAD + shift), data));
            }
            assert!(self.packets() <= end, "more than a frame holds");
            while self.packets() < end {
                self.null();
            }
            self.frames += 1;
        }
        first
    }
}

/// An H.264 picture of its own: delimiter and IDR slice.
#[must_use]
pub fn picture() -> Vec<u8> {
    [&[0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x65, 0x88, 0x84][..], &[0xAA; 400]].concat()
}

/// An AAC frame: 1,024 samples at 48 kHz.
#[must_use]
pub fn sound() -> Vec<u8> {
    let length = 120;
    let mut frame = vec![0xFF, 0xF1, 0x4C, 0x80, (length >> 3) as u8, (length << 5) as u8 | 0x1F];
    frame.push(0xFC);
    frame.resize(length, 0x55);
    frame
}
