//! Sections out of packets (ISO/IEC 13818-1, 2.4.4).

use alloc::vec::Vec;

/// The longest section: 3 bytes of header and a length of 12 bits.
const MAX: usize = 3 + 4095;

/// Joins the sections of one PID. Holds at most one section.
#[derive(Default)]
pub(crate) struct Assembler {
    /// The section so far, its header included.
    bytes: Vec<u8>,
    /// Whether a section's begin is known.
    open: bool,
}

impl Assembler {
    /// Gives up what is unfinished: packets were lost.
    pub(crate) fn reset(&mut self) {
        self.open = false;
        self.bytes.clear();
    }

    /// Takes a packet's payload and hands out every section that is complete with it.
    pub(crate) fn push(&mut self, start: bool, payload: &[u8], emit: &mut impl FnMut(&[u8])) {
        if !start {
            self.extend(payload, emit);
            return;
        }
        let Some((&pointer, rest)) = payload.split_first() else { return };
        let Some((old, new)) = rest.split_at_checked(usize::from(pointer)) else {
            self.reset();
            return;
        };
        self.extend(old, emit);
        self.bytes.clear();
        self.open = true;
        self.extend(new, emit);
    }

    fn extend(&mut self, mut part: &[u8], emit: &mut impl FnMut(&[u8])) {
        while self.open && !part.is_empty() {
            // Stuffing follows the last section of a packet (2.4.4.1).
            if self.bytes.is_empty() && part[0] == 0xFF {
                self.open = false;
                return;
            }
            let want = self.wanted();
            let (now, later) = part.split_at(part.len().min(want - self.bytes.len()));
            self.bytes.extend_from_slice(now);
            part = later;
            if self.bytes.len() >= 3 && self.bytes.len() == self.wanted() {
                emit(&self.bytes);
                self.bytes.clear();
            }
        }
    }

    /// The section's length as far as known.
    fn wanted(&self) -> usize {
        match *self.bytes {
            [_, high, low, ..] => (3 + (usize::from(high & 0x0F) << 8 | usize::from(low))).min(MAX),
            _ => 3,
        }
    }
}

/// A section of the long form (2.4.4.10 and 2.4.4.11) whose CRC is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    pub(crate) table_id: u8,
    /// What the table is about: the transport stream or the program.
    pub(crate) extension: u16,
    pub(crate) version: u8,
    pub(crate) number: u8,
    pub(crate) last_number: u8,
    pub(crate) crc: u32,
    /// Between the header and the CRC.
    pub(crate) body: &'a [u8],
}

/// What is wrong with a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Its CRC.
    Crc,
    /// It is of the short form, announces the next version, or is too short.
    Ignored,
}

impl<'a> Section<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Unusable> {
        let [table_id, syntax, _, high, low, version, number, last_number, ..] = *bytes else {
            return Err(Unusable::Ignored);
        };
        let Some((rest, crc)) = bytes.split_last_chunk::<4>() else {
            return Err(Unusable::Ignored);
        };
        if syntax & 0x80 == 0 || rest.len() < 8 {
            return Err(Unusable::Ignored);
        }
        let crc = u32::from_be_bytes(*crc);
        if crc32(rest) != crc {
            return Err(Unusable::Crc);
        }
        if version & 1 == 0 {
            return Err(Unusable::Ignored);
        }
        Ok(Self {
            table_id,
            extension: u16::from_be_bytes([high, low]),
            version: version >> 1 & 0x1F,
            number,
            last_number,
            crc,
            body: &rest[8..],
        })
    }
}

/// CRC-32 of ISO/IEC 13818-1, annex A: polynomial 0x04C11DB7, all ones at the start, not reflected.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks();
    let crc = words.iter().fold(u32::MAX, |crc, &word| {
        let [a, b, c, d] = (crc ^ u32::from_be_bytes(word)).to_be_bytes().map(usize::from);
        TABLES[3][a] ^ TABLES[2][b] ^ TABLES[1][c] ^ TABLES[0][d]
    });
    rest.iter().fold(crc, |crc, &byte| crc << 8 ^ TABLES[0][usize::from((crc >> 24) as u8 ^ byte)])
}

/// What a byte does to a CRC that so many bytes follow it in: four of them are taken at once.
static TABLES: [[u32; 256]; 4] = {
    let mut tables = [[0; 256]; 4];
    let mut i = 0;
    while i < 256 {
        let mut value = (i as u32) << 24;
        let mut bit = 0;
        while bit < 32 {
            value = value << 1 ^ if value >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
            bit += 1;
            if bit % 8 == 0 {
                tables[bit / 8 - 1][i] = value;
            }
        }
        i += 1;
    }
    tables
};

#[cfg(test)]
pub(crate) mod build {
    use super::*;

    /// A whole section of the long form, CRC included.
    pub(crate) fn section(table_id: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
        numbered(table_id, extension, version, (0, 0), body)
    }

    pub(crate) fn numbered(
        table_id: u8,
        extension: u16,
        version: u8,
        (number, last): (u8, u8),
        body: &[u8],
    ) -> Vec<u8> {
        let length = body.len() + 9;
        let mut bytes = alloc::vec![table_id, 0xB0 | (length >> 8) as u8, length as u8];
        bytes.extend(extension.to_be_bytes());
        bytes.extend([0xC1 | version << 1, number, last]);
        bytes.extend(body);
        bytes.extend(crc32(&bytes).to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(payloads: &[(bool, &[u8])]) -> Vec<Vec<u8>> {
        let mut assembler = Assembler::default();
        let mut found = Vec::new();
        for (start, payload) in payloads {
            assembler.push(*start, payload, &mut |section| found.push(section.to_vec()));
        }
        found
    }

    #[test]
    fn sections_are_joined_across_packets_and_cut_within_one() {
        let long = build::section(0x02, 7, 3, &[5; 300]);
        let short = build::section(0x00, 1, 0, &[1, 2, 3, 4]);
        let (first, second) = long.split_at(183);
        let whole = [&[0][..], first].concat();
        let tail = [&[second.len() as u8][..], second, &short, &short, &[0xFF; 20]].concat();
        assert_eq!(
            sections(&[(true, &whole), (true, &tail), (false, &[0xFF; 184])]),
            [long.clone(), short.clone(), short.clone()]
        );
        // A packet that goes on with a section whose begin is unknown says nothing.
        assert_eq!(sections(&[(false, second), (true, &[&[0][..], &short].concat())]), [short]);
        // A pointer beyond the packet is not followed.
        assert!(sections(&[(true, &[200, 1, 2, 3])]).is_empty());
    }

    #[test]
    fn a_section_counts_only_with_its_crc() {
        let mut bytes = build::section(0x42, 0x1234, 9, b"hello");
        let section = Section::parse(&bytes).unwrap();
        assert_eq!((section.table_id, section.extension, section.version), (0x42, 0x1234, 9));
        assert_eq!(section.body, b"hello");
        bytes[9] ^= 1;
        assert_eq!(Section::parse(&bytes), Err(Unusable::Crc));
        assert_eq!(Section::parse(&[0x00, 0xB0, 0]), Err(Unusable::Ignored));
        // The check value of CRC-32/MPEG-2 in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc32(b"123456789"), 0x0376_E6E7);
    }
}
