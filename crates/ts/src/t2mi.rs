//! A DVB-T2 multiplex that is carried within this one (T2-MI, ETSI TS 102 773).
//!
//! Many such streams come without tables, on PID 0x1000 by custom. A descriptor is a promise; what counts as seen is a T2-MI packet
//! whose CRC is right.

use alloc::vec::Vec;

use tallylight_model::Pid;

use crate::{Position, section::crc32};

/// The PID that is looked at although no table lists it.
pub(crate) const CUSTOMARY: Pid = Pid::from_bits(0x1000);
/// Header and CRC of a T2-MI packet (TS 102 773, clause 5).
const HEADER: usize = 6;
const CRC: usize = 4;
/// Beginnings of T2-MI packets that are tried before a PID is taken for something else.
const MAX_TRIES: u32 = 256;

/// Looks at one PID. Holds at most one T2-MI packet, 8,202 bytes.
#[derive(Default)]
pub(crate) struct Peek {
    /// Since where T2-MI packets were seen.
    pub(crate) since: Option<Position>,
    bytes: Vec<u8>,
    open: bool,
    tries: u32,
}

impl Peek {
    /// Packets were lost.
    pub(crate) fn reset(&mut self) {
        self.open = false;
    }

    /// Takes a packet's payload; true if the first T2-MI packet is complete with it.
    pub(crate) fn push(&mut self, start: bool, payload: &[u8]) -> bool {
        if self.since.is_some() || self.tries > MAX_TRIES {
            return false;
        }
        if !start {
            return self.extend(payload);
        }
        // A pointer says where the first T2-MI packet begins (TS 102 773, 6.1.1).
        let Some((&pointer, rest)) = payload.split_first() else { return false };
        let Some((old, new)) = rest.split_at_checked(usize::from(pointer)) else { return false };
        if self.extend(old) {
            return true;
        }
        self.bytes.clear();
        self.open = true;
        self.tries += 1;
        self.extend(new)
    }

    fn extend(&mut self, part: &[u8]) -> bool {
        if !self.open {
            return false;
        }
        self.bytes.extend_from_slice(part);
        let Some(head) = self.bytes.first_chunk::<HEADER>() else { return false };
        if !plausible(head) {
            self.open = false;
            return false;
        }
        let bits = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let length = HEADER + bits.div_ceil(8) + CRC;
        let Some(packet) = self.bytes.get(..length) else { return false };
        let seen = crc32(packet) == 0;
        self.open = false;
        if seen {
            self.bytes = Vec::new();
        }
        seen
    }
}

/// Whether a header's type is one that is defined, and its reserved bits are zero (TS 102 773, 5.1).
fn plausible(head: &[u8; HEADER]) -> bool {
    let known = matches!(head[0], 0x00..=0x02 | 0x10..=0x12 | 0x20 | 0x21 | 0x30..=0x33);
    known && head[2] & 0x0F == 0 && head[3] & 0xF8 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t2mi(kind: u8, length: usize) -> Vec<u8> {
        let bits = (length * 8) as u16;
        let mut bytes = alloc::vec![kind, 7, 0x10, 0, (bits >> 8) as u8, bits as u8];
        bytes.resize(HEADER + length, 0x5A);
        bytes.extend(crc32(&bytes).to_be_bytes());
        bytes
    }

    #[test]
    fn a_packet_counts_with_its_crc_however_it_lies() {
        for (length, before) in [(20, 0), (500, 0), (500, 30), (8000, 181)] {
            let payload = [&[0xEE; 200][..before], &t2mi(0, length)].concat();
            let first = [&[before as u8][..], &payload].concat();
            let mut peek = Peek::default();
            let mut parts = first.chunks(184).enumerate();
            let seen = parts.find(|(i, part)| peek.push(*i == 0, part)).map(|(i, _)| i);
            assert_eq!(seen, Some((1 + before + length + HEADER + CRC - 1) / 184), "{length}");
        }
    }

    #[test]
    fn other_payloads_are_none_and_are_given_up() {
        let mut broken = t2mi(0, 100);
        broken[50] ^= 1;
        for bytes in [&broken[..], &t2mi(0x03, 100), b"\x00\x00\x01\xC0ordinary PES"] {
            let mut peek = Peek::default();
            for _ in 0..300 {
                assert!(!peek.push(true, &[&[0], bytes].concat()));
            }
            // By then nobody looks any more.
            assert!(!peek.push(true, &[&[0], &t2mi(0, 100)[..]].concat()));
        }
        let mut peek = Peek::default();
        let bytes = [&[0][..], &t2mi(0, 300)].concat();
        assert!(!peek.push(true, &bytes[..184]));
        peek.reset();
        assert!(!peek.push(false, &bytes[184..]));
    }
}
