//! Announces a break by splice commands (SCTE 35) in a stream that has none: a component in its programme map, and the cues.

use std::ops::Range;

use bytes::Bytes;

use super::stream::{self, VIDEO};
use crate::world::{
    packet::{Adaptation, PACKET, PidWriter, Unit, crc32},
    scan::Scan,
};

/// Where ffmpeg puts the programme map.
const MAP: u16 = 0x1000;
const CUES: u16 = 0x1F0;
/// How long a cue comes before what it announces; SCTE 35 asks for 4 s at least.
const PREROLL_TICKS: u64 = 5 * 90_000;

/// The stream with a break announced between two presentation stamps.
pub(super) fn announced(data: &[u8], scan: &Scan, pts: Range<u64>) -> Vec<u8> {
    let units = scan.pids.get(&VIDEO).map_or(&[][..], |pid| &pid.units);
    let place = |at: u64| {
        let before = units.iter().find(|unit| unit.pts + PREROLL_TICKS >= at);
        before.map(|unit| unit.first_packet)
    };
    let cues = [(place(pts.start), pts.start, true), (place(pts.end), pts.end, false)];
    let mut writer = PidWriter::new(CUES);
    let mut out = Vec::with_capacity(data.len() + 2 * PACKET);
    for (number, packet) in (0_u64..).zip(data.chunks_exact(PACKET)) {
        for (_, at, leaves) in cues.iter().filter(|(place, ..)| *place == Some(number)) {
            let mut payload = Bytes::from([&[0], &splice_insert(*at, *leaves)[..]].concat());
            writer.write(&mut out, Unit::Begins, Adaptation::default(), &mut payload);
        }
        if stream::pid(packet) == MAP {
            out.extend(with_cues(packet));
        } else {
            out.extend_from_slice(packet);
        }
    }
    out
}

/// A packet with the whole programme map, and the cues' component in it.
fn with_cues(packet: &[u8]) -> Vec<u8> {
    let section = &packet[5..];
    let length = usize::from(u16::from_be_bytes([section[1] & 0x0F, section[2]])) + 3;
    let mut map = section[..length - 4].to_vec();
    // A registration before the components says that cues are as SCTE 35 has them.
    let info = usize::from(u16::from_be_bytes([map[10] & 0x0F, map[11]]));
    map[11] += 6;
    map.splice(12 + info..12 + info, *b"\x05\x04CUEI");
    map.extend([0x86, 0xE0 | (CUES >> 8) as u8, CUES as u8, 0xF0, 0]);
    let body = map.len() - 3 + 4;
    (map[1], map[2]) = (map[1] & 0xF0 | (body >> 8) as u8, body as u8);
    let crc = crc32(&map);
    map.extend(crc.to_be_bytes());
    let mut whole = packet[..5].to_vec();
    whole.extend(map);
    whole.resize(PACKET, 0xFF);
    whole
}

/// `splice_insert` for a whole programme at a time (SCTE 35, 9.7.3).
fn splice_insert(pts: u64, leaves: bool) -> Vec<u8> {
    let mut command = vec![0, 0, 0, 1, 0x7F];
    command.push(if leaves { 0xCF } else { 0x4F });
    command.extend([0xFE | (pts >> 32) as u8 & 1, (pts >> 24) as u8]);
    command.extend([(pts >> 16) as u8, (pts >> 8) as u8, pts as u8, 0, 1, 0, 0]);
    let mut section = vec![0xFC, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF];
    section.extend([0xF0 | (command.len() >> 8) as u8, command.len() as u8, 5]);
    section.extend(command);
    section.extend([0, 0]);
    section[2] = (section.len() - 3 + 4) as u8;
    let crc = crc32(&section);
    section.extend(crc.to_be_bytes());
    section
}
