//! Writes transport streams whose frame is right, so that what stands inside gets looked at.

use tallylight_model::{Pcr, Pts};

pub(crate) const PACKET: usize = 188;
pub(crate) const PMT: u16 = 0x20;
pub(crate) const FIRST: u16 = 0x40;

/// A component: stream type and descriptors.
pub(crate) type Coded = (u8, &'static [u8]);

/// Every coding that is told from others, at least once.
pub(crate) const CODINGS: [Coded; 20] = [
    (0x1B, &[]),
    (0x24, &[]),
    (0x02, &[]),
    (0x01, &[]),
    (0x0F, &[]),
    (0x11, &[]),
    (0x03, &[]),
    (0x04, &[]),
    (0x81, &[]),
    (0x87, &[]),
    (0x06, &[0x6A, 0]),
    (0x06, &[0x7A, 0]),
    (0x06, &[0x7F, 1, 0x15]),
    (0x06, &[0x05, 4, b'O', b'p', b'u', b's', 0x7F, 2, 0x80, 2]),
    (0x06, &[0x05, 4, b'A', b'V', b'0', b'1']),
    (0x06, &[0x59, 8, b'd', b'e', b'u', 0x10, 0, 1, 0, 1]),
    (0x06, &[0x56, 5, b'd', b'e', b'u', 0x09, 0]),
    (0x86, &[0x05, 4, b'C', b'U', b'E', b'I']),
    (0x33, &[]),
    (0x06, &[0x7F, 1, 0x11]),
];

/// A stream in the making.
#[derive(Default)]
pub(crate) struct Muxer {
    pub(crate) bytes: Vec<u8>,
    counters: std::collections::BTreeMap<u16, u8>,
}

impl Muxer {
    /// Writes one packet; the payload is cut to what fits, and stuffed where it is short.
    pub(crate) fn packet(&mut self, pid: u16, start: bool, pcr: Option<Pcr>, payload: &[u8]) {
        let counter = self.counters.entry(pid).or_default();
        *counter = counter.wrapping_add(u8::from(!payload.is_empty())) & 15;
        let field = pcr.map_or(Vec::new(), |pcr| {
            let (base, extension) = (pcr.ticks() / 300, pcr.ticks() % 300);
            ((base << 15) | 0x7E00 | extension).to_be_bytes()[2..].to_vec()
        });
        let most = PACKET - 4 - if pcr.is_some() { 2 + field.len() } else { 0 };
        let payload = &payload[..payload.len().min(most)];
        let room = PACKET - 4 - payload.len();
        let mut control = *counter | if payload.is_empty() { 0 } else { 0x10 };
        let mut adaptation = Vec::new();
        if room > 0 {
            control |= 0x20;
            adaptation.push((room - 1) as u8);
            if room > 1 {
                adaptation.push(if pcr.is_some() { 0x10 } else { 0 });
                adaptation.extend(field);
                adaptation.resize(room, 0xFF);
            }
        }
        let start = if start { 0x40 } else { 0 };
        self.bytes.extend([0x47, start | (pid >> 8) as u8 & 0x1F, pid as u8, control]);
        self.bytes.extend(adaptation);
        self.bytes.extend(payload);
    }

    /// Leaves a packet of a PID out.
    pub(crate) fn lose(&mut self, pid: u16) {
        let counter = self.counters.entry(pid).or_default();
        *counter = counter.wrapping_add(1) & 15;
    }

    /// Writes what begins a payload unit in as many packets as it needs.
    pub(crate) fn unit(&mut self, pid: u16, bytes: &[u8]) {
        for (i, part) in bytes.chunks(PACKET - 4).enumerate() {
            self.packet(pid, i == 0, None, part);
        }
    }

    /// Writes a section and its CRC; length and indicator are made right.
    pub(crate) fn section(&mut self, pid: u16, section: &[u8]) {
        let mut bytes = vec![0];
        bytes.extend(section);
        bytes.resize(bytes.len().max(4), 0);
        let length = bytes.len() - 4 + 4;
        bytes[2] = bytes[2] & 0xF0 | (length >> 8) as u8 & 0x0F;
        bytes[3] = length as u8;
        let crc = crc32(&bytes[1..]);
        bytes.extend(crc.to_be_bytes());
        self.unit(pid, &bytes);
    }

    /// Writes a table of one section: id, what it is about, body.
    pub(crate) fn table(&mut self, pid: u16, id: u8, extension: u16, body: &[u8]) {
        let [high, low] = extension.to_be_bytes();
        self.section(pid, &[&[id, 0xB0, 0, high, low, 0xC1, 0, 0], body].concat());
    }

    /// Writes PAT and PMT of program 1; the first component carries the clock.
    pub(crate) fn program(&mut self, components: &[Coded]) {
        self.table(0, 0, 1, &[0, 1, 0xE0, PMT as u8]);
        let entries = components.iter().zip(FIRST..).flat_map(|((kind, descriptors), pid)| {
            [&[*kind, 0xE0, pid as u8, 0xF0, descriptors.len() as u8], *descriptors].concat()
        });
        let body: Vec<u8> = [0xE0, FIRST as u8, 0xF0, 0].into_iter().chain(entries).collect();
        self.table(PMT, 2, 1, &body);
    }

    /// Writes one PES packet.
    pub(crate) fn pes(&mut self, pid: u16, pts: Pts, data: &[u8]) {
        let ticks = pts.ticks();
        let stamp = [
            0x21 | (ticks >> 29) as u8 & 0x0E,
            (ticks >> 22) as u8,
            (ticks >> 14) as u8 | 1,
            (ticks >> 7) as u8,
            (ticks << 1) as u8 | 1,
        ];
        let header = [0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5];
        self.unit(pid, &[&header, &stamp[..], data].concat());
    }
}

/// CRC-32 of ISO/IEC 13818-1, annex A.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).rev().fold(crc, |crc, bit| {
            let carry = (crc >> 31) ^ u32::from(byte >> bit & 1);
            (crc << 1) ^ (carry * 0x04C1_1DB7)
        })
    })
}
