//! Writes transport stream packets, PES headers and tables (ISO/IEC 13818-1, ETSI EN 300 468).

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of a transport stream packet.
pub const PACKET: usize = 188;
/// The PID of null packets.
pub const NULL_PID: u16 = 0x1FFF;

const PAYLOAD: usize = PACKET - 4;

/// What stands in a packet's adaptation field.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adaptation {
    /// A program clock reference in ticks of 27 MHz.
    pub pcr: Option<u64>,
    /// Decoding can start here.
    pub random_access: bool,
}

impl Adaptation {
    fn is_empty(self) -> bool {
        self.pcr.is_none() && !self.random_access
    }

    fn len(self) -> usize {
        if self.is_empty() { 0 } else { 2 + if self.pcr.is_some() { 6 } else { 0 } }
    }
}

/// Whether a packet begins a PES packet or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Its first byte begins one.
    Begins,
    /// It carries on with one.
    Goes,
}

/// Writes the packets of one PID and keeps its continuity counter.
#[derive(Debug)]
pub struct PidWriter {
    pid: u16,
    counter: u8,
}

impl PidWriter {
    /// Begins with counter 0.
    #[must_use]
    pub const fn new(pid: u16) -> Self {
        Self { pid, counter: 15 }
    }

    /// Appends one packet, filled from the front of `payload`. An empty payload makes a packet of adaptation field alone,
    /// on which the counter stands still (ISO/IEC 13818-1, 2.4.3.3).
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        unit: Unit,
        adaptation: Adaptation,
        payload: &mut Bytes,
    ) {
        let taken = payload.len().min(PAYLOAD - adaptation.len());
        let field = PAYLOAD - taken;
        let has_payload = taken > 0;
        if has_payload {
            self.counter = (self.counter + 1) % 16;
        }
        let control = (u8::from(field > 0) << 5) | (u8::from(has_payload) << 4);
        let begins = if unit == Unit::Begins && has_payload { 0x40 } else { 0 };
        out.extend_from_slice(&[
            0x47,
            begins | (self.pid >> 8) as u8,
            self.pid as u8,
            control | self.counter,
        ]);
        write_adaptation(out, adaptation, field);
        out.extend_from_slice(&payload[..taken]);
        payload.advance(taken);
    }
}

/// Appends an adaptation field of exactly `length` bytes, its length byte included.
fn write_adaptation(out: &mut Vec<u8>, adaptation: Adaptation, length: usize) {
    let end = out.len() + length;
    if length > 0 {
        out.push((length - 1) as u8);
    }
    if length > 1 {
        let random_access = u8::from(adaptation.random_access) << 6;
        out.push(random_access | (u8::from(adaptation.pcr.is_some()) << 4));
        if let Some(pcr) = adaptation.pcr {
            let (base, extension) = (pcr / 300 % (1 << 33), pcr % 300);
            let word = (base << 15) | (0x3F << 9) | extension;
            out.extend_from_slice(&word.to_be_bytes()[2..]);
        }
    }
    out.resize(end, 0xFF);
}

/// Appends a null packet.
pub fn write_null(out: &mut Vec<u8>) {
    let end = out.len() + PACKET;
    out.extend_from_slice(&[0x47, (NULL_PID >> 8) as u8, NULL_PID as u8, 0x10]);
    out.resize(end, 0xFF);
}

/// Builds a PES packet; `length` 0 in the header where the standard allows it (video only). Stamps are in ticks of 90 kHz.
#[must_use]
pub fn pes(stream_id: u8, pts: u64, dts: Option<u64>, data: &[u8]) -> Bytes {
    let header = 3 + if dts.is_some() { 10 } else { 5 };
    let bounded = if stream_id & 0xF0 == 0xE0 { 0 } else { header + data.len() };
    let mut out = BytesMut::with_capacity(6 + header + data.len());
    out.extend_from_slice(&[0, 0, 1, stream_id, (bounded >> 8) as u8, bounded as u8]);
    // '10', no scrambling, data_alignment_indicator.
    out.extend_from_slice(&[0x84, if dts.is_some() { 0xC0 } else { 0x80 }, (header - 3) as u8]);
    out.extend_from_slice(&stamp(if dts.is_some() { 3 } else { 2 }, pts));
    if let Some(dts) = dts {
        out.extend_from_slice(&stamp(1, dts));
    }
    out.extend_from_slice(data);
    out.freeze()
}

/// A stamp of 33 bits with its marker bits (ISO/IEC 13818-1, 2.4.3.7).
fn stamp(prefix: u8, ticks: u64) -> [u8; 5] {
    [
        (prefix << 4) | (ticks >> 29) as u8 & 0x0E | 1,
        (ticks >> 22) as u8,
        (ticks >> 14) as u8 | 1,
        (ticks >> 7) as u8,
        (ticks << 1) as u8 | 1,
    ]
}

/// One elementary stream in a programme map.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    /// stream_type of the programme map.
    pub stream_type: u8,
    /// Its PID.
    pub pid: u16,
    /// ISO 639 language, for sound.
    pub language: Option<[u8; 3]>,
}

/// The payload of a packet that holds the programme association table of one service.
#[must_use]
pub fn association_table(transport_id: u16, service_id: u16, map_pid: u16) -> Bytes {
    let mut body = table_head(transport_id);
    body.extend_from_slice(&service_id.to_be_bytes());
    body.extend_from_slice(&(0xE000 | map_pid).to_be_bytes());
    section(0x00, 0xB000, &body)
}

/// The payload of a packet that holds a programme map.
#[must_use]
pub fn programme_map(service_id: u16, pcr_pid: u16, components: &[Component]) -> Bytes {
    let mut body = table_head(service_id);
    body.extend_from_slice(&(0xE000 | pcr_pid).to_be_bytes());
    body.extend_from_slice(&[0xF0, 0]);
    for component in components {
        body.push(component.stream_type);
        body.extend_from_slice(&(0xE000 | component.pid).to_be_bytes());
        match component.language {
            Some([a, b, c]) => body.extend_from_slice(&[0xF0, 6, 0x0A, 4, a, b, c, 0]),
            None => body.extend_from_slice(&[0xF0, 0]),
        }
    }
    section(0x02, 0xB000, &body)
}

/// The payload of a packet that names a service (EN 300 468, 5.2.3). Names are cut at 40 bytes, so that it fits.
#[must_use]
pub fn service_description(
    transport_id: u16,
    service_id: u16,
    provider: &str,
    name: &str,
) -> Bytes {
    let short = |text: &str| text.bytes().filter(|b| (0x20..0x7F).contains(b)).take(40).collect();
    let (provider, name): (Vec<u8>, Vec<u8>) = (short(provider), short(name));
    let mut body = table_head(transport_id);
    // original_network_id; nothing is registered for private use but 0xFF01 and up.
    body.extend_from_slice(&[0xFF, 0x01, 0xFF]);
    body.extend_from_slice(&service_id.to_be_bytes());
    let descriptor = 3 + provider.len() + name.len();
    // No EIT, running, free to air.
    body.extend_from_slice(&[0xFC, 0x80, (descriptor + 2) as u8, 0x48, descriptor as u8, 0x01]);
    body.push(provider.len() as u8);
    body.extend_from_slice(&provider);
    body.push(name.len() as u8);
    body.extend_from_slice(&name);
    section(0x42, 0xF000, &body)
}

/// table_id_extension, version 0, current, section 0 of 0.
fn table_head(extension: u16) -> Vec<u8> {
    let [high, low] = extension.to_be_bytes();
    vec![high, low, 0xC1, 0, 0]
}

/// A pointer field, the section and its CRC.
fn section(table_id: u8, flags: u16, body: &[u8]) -> Bytes {
    let length = flags | (body.len() + 4) as u16;
    let mut out = vec![0, table_id];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    let crc = crc32(&out[1..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out.resize(PAYLOAD, 0xFF);
    out.into()
}

/// CRC of sections (ISO/IEC 13818-1, annex A): polynomial 0x04C11DB7, not reflected, begins with ones.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            (crc << 1) ^ if crc & 0x8000_0000 == 0 { 0 } else { 0x04C1_1DB7 }
        })
    })
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
    fn every_payload_length_makes_whole_packets_that_hold_it() {
        for adaptation in [
            Adaptation::default(),
            Adaptation { pcr: None, random_access: true },
            Adaptation { pcr: Some(123_456_789), random_access: true },
        ] {
            for length in 0..400 {
                let data = Bytes::from((0..length).map(|n| n as u8).collect::<Vec<_>>());
                let (mut left, mut out, mut seen) = (data.clone(), Vec::new(), Vec::new());
                let mut writer = PidWriter::new(0x101);
                loop {
                    writer.write(&mut out, Unit::Begins, adaptation, &mut left);
                    if left.is_empty() {
                        break;
                    }
                }
                assert_eq!(out.len() % PACKET, 0);
                for packet in out.chunks(PACKET) {
                    let field = if packet[3] & 0x20 == 0 { 0 } else { 1 + packet[4] as usize };
                    if packet[3] & 0x10 != 0 {
                        seen.extend_from_slice(&packet[4 + field..]);
                    } else {
                        assert_eq!(field, PAYLOAD);
                    }
                }
                assert_eq!(seen, data);
            }
        }
    }
}
