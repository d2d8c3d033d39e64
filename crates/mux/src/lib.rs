//! Transport streams whose every packet is known, for tests, benchmarks and fuzz targets (ISO/IEC 13818-1).
//!
//! What a test cares for it writes itself, bytes and all; here is what each needs: packets with their counters, sections with their
//! CRC, PES headers, and [`plan`] for a multiplex of constant rate.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

pub mod captures;
pub mod plan;

/// Bytes of a packet.
pub const PACKET: usize = 188;
/// The PID of null packets.
pub const NULL_PID: u16 = 0x1FFF;
/// Ticks of 27 MHz after which a PCR begins anew.
const PCR_WRAP: u64 = (1 << 33) * 300;

/// A null packet.
#[must_use]
pub fn null() -> [u8; PACKET] {
    let mut packet = [0xFF; PACKET];
    packet[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
    packet
}

/// A packet with its continuity counter, a PCR in ticks of 27 MHz, and a payload, which is cut to what fits. What is left of the
/// packet is adaptation field.
#[must_use]
pub fn packet(
    pid: u16,
    start: bool,
    counter: u8,
    pcr: Option<u64>,
    payload: &[u8],
) -> [u8; PACKET] {
    let mut packet = [0xFF; PACKET];
    let most = PACKET - 4 - if pcr.is_some() { 8 } else { 0 };
    let payload = &payload[..payload.len().min(most)];
    let field = PACKET - 4 - payload.len();
    let control = (u8::from(field > 0) << 5) | (u8::from(!payload.is_empty()) << 4);
    let high = ((pid >> 8) as u8 & 0x1F) | (u8::from(start) << 6);
    packet[..4].copy_from_slice(&[0x47, high, pid as u8, control | counter & 15]);
    if field > 0 {
        packet[4] = (field - 1) as u8;
    }
    if field > 1 {
        packet[5] = u8::from(pcr.is_some()) << 4;
    }
    if let Some(ticks) = pcr {
        packet[6..12].copy_from_slice(&clock_field(ticks));
    }
    packet[4 + field..].copy_from_slice(payload);
    packet
}

/// A PCR as it stands in an adaptation field (2.4.3.5).
#[must_use]
pub fn clock_field(ticks: u64) -> [u8; 6] {
    let ticks = ticks % PCR_WRAP;
    let [_, _, field @ ..] = (((ticks / 300) << 15) | 0x7E00 | (ticks % 300)).to_be_bytes();
    field
}

/// CRC of sections (annex A).
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).rev().fold(crc, |crc, bit| {
            let carry = (crc >> 31) ^ u32::from((byte >> bit) & 1);
            (crc << 1) ^ (carry * 0x04C1_1DB7)
        })
    })
}

/// Puts the CRC behind a section.
#[must_use]
pub fn sealed(mut section: Vec<u8>) -> Vec<u8> {
    let crc = crc32(&section);
    section.extend(crc.to_be_bytes());
    section
}

/// A table of one section: id, what it is about, version and body.
#[must_use]
pub fn section(table: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() + 9;
    let mut bytes = vec![table, 0xB0 | (length >> 8) as u8, length as u8];
    bytes.extend(extension.to_be_bytes());
    bytes.extend([0xC1 | (version << 1), 0, 0]);
    bytes.extend(body);
    sealed(bytes)
}

/// A PAT of these programs and the PIDs of their PMTs.
#[must_use]
pub fn pat(version: u8, programs: &[(u16, u16)]) -> Vec<u8> {
    let entry = |(number, pid): &(u16, u16)| [number.to_be_bytes(), (0xE000 | pid).to_be_bytes()];
    section(0, 1, version, &programs.iter().flat_map(entry).flatten().collect::<Vec<_>>())
}

/// A PMT: the PID of its clock, and components by stream type, PID and descriptors.
#[must_use]
pub fn pmt(program: u16, version: u8, clock: u16, components: &[(u8, u16, &[u8])]) -> Vec<u8> {
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

/// A cue for a splice (SCTE 35, 9.6): what is added to its times, its command's type and body, and its descriptors.
#[must_use]
pub fn cue(adjustment: u32, command: u8, body: &[u8], descriptors: &[u8]) -> Vec<u8> {
    let length = (17 + body.len() + descriptors.len()) as u8;
    let mut bytes = vec![0xFC, 0x30, length, 0, 0];
    bytes.extend(adjustment.to_be_bytes());
    bytes.extend([0, 0xFF, 0xF0, body.len() as u8, command]);
    bytes.extend(body);
    bytes.extend([0, descriptors.len() as u8]);
    bytes.extend(descriptors);
    sealed(bytes)
}

/// The body of a splice_insert out of the network feed, at a time and for so long in ticks of 90 kHz, with return by itself.
#[must_use]
pub fn break_of(event_id: u32, time: u32, length: u32) -> Vec<u8> {
    let mut body = event_id.to_be_bytes().to_vec();
    body.extend([0x7F, 0xEF, 0xFE]);
    body.extend(time.to_be_bytes());
    body.push(0xFE);
    body.extend(length.to_be_bytes());
    body.extend([0, 1, 0, 0]);
    body
}

/// A presentation stamp in ticks of 90 kHz as it stands in a PES header (2.4.3.7).
#[must_use]
pub fn stamp(pts: u64) -> [u8; 5] {
    [
        0x21 | ((pts >> 29) as u8 & 0x0E),
        (pts >> 22) as u8,
        (pts >> 14) as u8 | 1,
        (pts >> 7) as u8,
        (pts << 1) as u8 | 1,
    ]
}

/// Whether a PES packet says how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// It does.
    Stated,
    /// It ends where the next one begins: video only.
    Open,
}

/// A PES packet: stream id, presentation stamp in ticks of 90 kHz, data.
#[must_use]
pub fn pes(id: u8, length: Length, pts: Option<u64>, data: &[u8]) -> Vec<u8> {
    let stamp = pts.map_or(Vec::new(), |pts| stamp(pts).to_vec());
    let flags = if pts.is_some() { 0x80 } else { 0 };
    let length = match length {
        Length::Stated => 3 + stamp.len() + data.len(),
        Length::Open => 0,
    };
    let head = [0, 0, 1, id, (length >> 8) as u8, length as u8, 0x80, flags, stamp.len() as u8];
    [&head[..], &stamp, data].concat()
}

/// Writes packets with the counters that they must have.
#[derive(Clone, Debug, Default)]
pub struct Mux {
    /// What was written.
    pub bytes: Vec<u8>,
    /// How many frames of a [`plan`] were written.
    pub frames: u64,
    /// By how many ticks of 90 kHz the stamps of a PID are later than a plan has them.
    pub shifts: BTreeMap<u16, u64>,
    /// The last counter of each PID.
    counters: BTreeMap<u16, u8>,
}

impl Mux {
    /// How many packets were written.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.bytes.len() / PACKET
    }

    /// Writes a packet; one without payload leaves the counter where it is.
    pub fn packet(&mut self, pid: u16, start: bool, pcr: Option<u64>, payload: &[u8]) {
        let counter = self.counters.entry(pid).or_insert(15);
        *counter = (*counter + u8::from(!payload.is_empty())) & 15;
        self.bytes.extend(packet(pid, start, *counter, pcr, payload));
    }

    /// Writes a packet that has a PCR and no payload.
    pub fn clock(&mut self, pid: u16, ticks: u64) {
        self.packet(pid, false, Some(ticks), &[]);
    }

    /// Writes a null packet.
    pub fn null(&mut self) {
        self.bytes.extend(null());
    }

    /// Leaves a packet of a PID out.
    pub fn lose(&mut self, pid: u16) {
        let counter = self.counters.entry(pid).or_insert(15);
        *counter = (*counter + 1) & 15;
    }

    /// Writes what begins a payload unit in as many packets as it needs.
    pub fn unit(&mut self, pid: u16, bytes: &[u8]) {
        for (i, part) in bytes.chunks(PACKET - 4).enumerate() {
            self.packet(pid, i == 0, None, part);
        }
    }

    /// Writes a section with its pointer field; the last packet is stuffed behind it.
    pub fn section(&mut self, pid: u16, section: &[u8]) {
        let mut payload = [&[0], section].concat();
        payload.resize(payload.len().next_multiple_of(PACKET - 4), 0xFF);
        self.unit(pid, &payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_crc_is_the_catalogued_one() {
        // CRC-32/MPEG-2 check value of the CRC catalogue.
        assert_eq!(crc32(b"123456789"), 0x0376_E6E7);
    }

    #[test]
    fn a_packet_is_whole_whatever_it_carries() {
        for pcr in [None, Some(PCR_WRAP + 27_000_000)] {
            for length in 0..200 {
                let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let packet = packet(0x1234, true, 7, pcr, &payload);
                let carried = payload.len().min(if pcr.is_some() { 176 } else { 184 });
                let field = PACKET - 4 - carried;
                assert_eq!(packet[..3], [0x47, 0x52, 0x34]);
                let control = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
                assert_eq!(control, (field > 0, carried > 0), "{length}");
                assert!(field == 0 || usize::from(packet[4]) == field - 1, "{length}");
                assert_eq!(packet[4 + field..], payload[..carried]);
                if pcr.is_some() {
                    // A second: 90,000 of 300 ticks.
                    assert_eq!(packet[5..12], [0x10, 0, 0, 0xAF, 0xC8, 0x7E, 0], "{length}");
                }
            }
        }
    }
}
