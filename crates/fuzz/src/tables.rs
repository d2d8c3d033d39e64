//! Writes tables around what is fuzzed, so that it gets looked at.

use tallylight_mux::{Mux, pat, pmt, sealed};

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

/// Writes PAT and PMT of program 1; the first component carries the clock.
pub(crate) fn program(mux: &mut Mux, components: &[Coded]) {
    let pids = components.iter().zip(FIRST..);
    let listed: Vec<_> = pids.map(|((kind, info), pid)| (*kind, pid, *info)).collect();
    mux.section(0, &pat(0, &[(1, PMT)]));
    mux.section(PMT, &pmt(1, 0, FIRST, &listed));
}

/// Writes a section of any content and its CRC; length and indicator are made right.
pub(crate) fn section(mux: &mut Mux, pid: u16, section: &[u8]) {
    let mut bytes = section.to_vec();
    bytes.resize(bytes.len().max(3), 0);
    let length = bytes.len() - 3 + 4;
    bytes[1] = bytes[1] & 0xF0 | (length >> 8) as u8 & 0x0F;
    bytes[2] = length as u8;
    mux.unit(pid, &[&[0], &sealed(bytes)[..]].concat());
}
