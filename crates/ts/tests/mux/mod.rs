//! A multiplexer of known packets: 25 frames of 40 packets a second, at a constant rate.

use std::collections::BTreeMap;

/// Packets of one frame, and ticks of 90 kHz that it lasts.
pub(crate) const FRAME: usize = 40;
pub(crate) const TICKS: u64 = 3600;
/// How far presentation stamps are ahead of the clock.
pub(crate) const AHEAD: u64 = 18_000;

/// What a frame carries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Sections and their PIDs, sent in every second frame.
    pub(crate) tables: Vec<(u16, Vec<u8>)>,
    /// Where the clock is.
    pub(crate) clock: u16,
    /// PES packets: PID, stream id and data.
    pub(crate) units: Vec<(u16, u8, Vec<u8>)>,
}

/// Writes packets with the counters that they must have.
#[derive(Default)]
pub(crate) struct Mux {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: u64,
    /// By how many ticks the stamps of a PID are later than the others.
    pub(crate) shifts: BTreeMap<u16, u64>,
    counters: BTreeMap<u16, u8>,
}

impl Mux {
    /// How many packets were written.
    pub(crate) fn packets(&self) -> usize {
        self.bytes.len() / 188
    }

    /// Writes frames by a plan, and returns the first packet of them.
    pub(crate) fn play(&mut self, plan: &Plan, frames: u64) -> usize {
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
            self.clock(plan.clock, self.frames * TICKS * 300);
            for (pid, id, data) in &plan.units {
                let shift = self.shifts.get(pid).copied().unwrap_or_default();
                self.unit(*pid, *id, Some(self.frames * TICKS + AHEAD + shift), data);
            }
            assert!(self.packets() <= end, "more than a frame holds");
            while self.packets() < end {
                self.null();
            }
            self.frames += 1;
        }
        first
    }

    fn null(&mut self) {
        self.packet(0x1FFF, false, &[0xFF; 184]);
    }

    pub(crate) fn packet(&mut self, pid: u16, start: bool, payload: &[u8]) {
        let counter = self.counters.entry(pid).or_default();
        let high = (pid >> 8) as u8 | u8::from(start) << 6;
        let room = 184 - payload.len();
        let control = if room == 0 { 0x10 } else { 0x30 };
        self.bytes.extend([0x47, high, pid as u8, control | *counter]);
        *counter = (*counter + 1) & 15;
        if room > 0 {
            self.bytes.push((room - 1) as u8);
            self.bytes.extend([0].into_iter().chain(std::iter::repeat(0xFF)).take(room - 1));
        }
        self.bytes.extend(payload);
    }

    /// A packet without payload that carries a PCR.
    pub(crate) fn clock(&mut self, pid: u16, ticks: u64) {
        let counter = self.counters.get(&pid).map_or(15, |next| next.wrapping_sub(1) & 15);
        let ticks = ticks % ((1 << 33) * 300);
        let field = ((ticks / 300) << 15) | 0x7E00 | (ticks % 300);
        self.bytes.extend([0x47, (pid >> 8) as u8, pid as u8, 0x20 | counter, 183, 0x10]);
        self.bytes.extend(&field.to_be_bytes()[2..]);
        self.bytes.extend([0xFF; 176]);
    }

    pub(crate) fn section(&mut self, pid: u16, section: &[u8]) {
        let payload = [&[0], section].concat();
        for (i, part) in payload.chunks(184).enumerate() {
            let part = [part, &vec![0xFF; 184 - part.len()][..]].concat();
            self.packet(pid, i == 0, &part);
        }
    }

    pub(crate) fn unit(&mut self, pid: u16, id: u8, pts: Option<u64>, data: &[u8]) {
        let stamp = pts.map_or(Vec::new(), |pts| {
            vec![
                0x21 | (pts >> 29) as u8 & 0x0E,
                (pts >> 22) as u8,
                (pts >> 14) as u8 | 1,
                (pts >> 7) as u8,
                (pts << 1) as u8 | 1,
            ]
        });
        let flags = if pts.is_some() { 0x80 } else { 0 };
        let length = 3 + stamp.len() + data.len();
        let head = [0, 0, 1, id, (length >> 8) as u8, length as u8, 0x80, flags, stamp.len() as u8];
        let bytes = [&head[..], &stamp, data].concat();
        for (i, part) in bytes.chunks(184).enumerate() {
            self.packet(pid, i == 0, part);
        }
    }
}

/// A section of the long form with its CRC.
pub(crate) fn section(table: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() + 9;
    let mut bytes = vec![table, 0xB0 | (length >> 8) as u8, length as u8];
    bytes.extend(extension.to_be_bytes());
    bytes.extend([0xC1 | version << 1, 0, 0]);
    bytes.extend(body);
    bytes.extend(crc(&bytes));
    bytes
}

pub(crate) fn crc(bytes: &[u8]) -> [u8; 4] {
    let crc = bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).rev().fold(crc, |crc, bit| {
            let carry = (crc >> 31) ^ u32::from(byte >> bit & 1);
            (crc << 1) ^ (carry * 0x04C1_1DB7)
        })
    });
    crc.to_be_bytes()
}

/// A PAT of these programs and the PIDs of their PMTs.
pub(crate) fn pat(version: u8, programs: &[(u16, u16)]) -> Vec<u8> {
    let entry = |(number, pid): &(u16, u16)| [number.to_be_bytes(), (0xE000 | pid).to_be_bytes()];
    section(0, 1, version, &programs.iter().flat_map(entry).flatten().collect::<Vec<_>>())
}

/// A PMT of components: stream type, PID and descriptors.
pub(crate) fn pmt(
    program: u16,
    version: u8,
    clock: u16,
    components: &[(u8, u16, &[u8])],
) -> Vec<u8> {
    let mut body = (0xE000 | clock).to_be_bytes().to_vec();
    body.extend([0xF0, 0]);
    for (stream_type, pid, info) in components {
        body.push(*stream_type);
        body.extend((0xE000 | pid).to_be_bytes());
        body.extend([0xF0, info.len() as u8]);
        body.extend(*info);
    }
    section(2, program, version, &body)
}

/// An H.264 picture of its own: delimiter and IDR slice.
pub(crate) fn picture() -> Vec<u8> {
    [&[0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x65, 0x88, 0x84][..], &[0xAA; 400]].concat()
}

/// An AAC frame: 1,024 samples at 48 kHz.
pub(crate) fn sound() -> Vec<u8> {
    let length = 120;
    let mut frame = vec![0xFF, 0xF1, 0x4C, 0x80, (length >> 3) as u8, (length << 5) as u8 | 0x1F];
    frame.push(0xFC);
    frame.resize(length, 0x55);
    frame
}
