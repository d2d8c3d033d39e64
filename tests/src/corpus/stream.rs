//! What the stamps of a transport stream say, and one stream behind another.

use std::collections::BTreeMap;

use crate::world::{packet::PACKET, scan::Scan};

/// The PID that ffmpeg gives the first component.
pub(super) const VIDEO: u16 = 0x100;
/// Ticks of 90 kHz in a second.
const TICKS: f64 = 90_000.0;

/// When the first picture is shown: at its place in the stream, since the first program clock reference.
pub(super) fn first_picture_seconds(scan: &Scan) -> Option<f64> {
    let first = scan.pids.get(&VIDEO)?.units.first()?;
    packet_seconds(scan, first.first_packet).map(|seconds| seconds.max(0.0))
}

/// The presentation stamp, in seconds, whose media time is zero.
pub(super) fn zero_seconds(scan: &Scan) -> Option<f64> {
    let pts = scan.pids.get(&VIDEO)?.units.iter().map(|unit| unit.pts).min()?;
    Some(pts as f64 / TICKS - first_picture_seconds(scan)?)
}

/// When a packet comes, since the first program clock reference; between two of these, evenly.
pub(super) fn packet_seconds(scan: &Scan, number: u64) -> Option<f64> {
    let clock = &scan.pids.get(&VIDEO)?.pcr;
    let after = clock.iter().position(|(_, packet)| *packet >= number)?.max(1);
    let ((from, first), (to, last)) = (*clock.get(after - 1)?, *clock.get(after)?);
    let part = (number - first) as f64 / (last - first) as f64;
    let ticks = from as f64 + part * (to - from) as f64;
    Some((ticks - clock.first()?.0 as f64) / 300.0 / TICKS)
}

/// Puts a stream behind another so that the counters of its packets go on.
pub(super) fn join(first: &mut Vec<u8>, second: &[u8]) {
    let counter = |packet: &[u8]| (pid(packet), packet[3] & 0x0F);
    let last: BTreeMap<u16, u8> = first.chunks_exact(PACKET).map(counter).collect();
    let mut moved: BTreeMap<u16, u8> = BTreeMap::new();
    for packet in second.chunks_exact(PACKET) {
        let begun = first.len();
        first.extend_from_slice(packet);
        let (pid, counter) = counter(packet);
        if let (Some(last), Some(byte)) = (last.get(&pid), first.get_mut(begun + 3)) {
            // A packet without payload has the counter of the one before.
            let next = last + (packet[3] >> 4 & 1);
            let by = *moved.entry(pid).or_insert(next.wrapping_sub(counter));
            *byte = packet[3] & 0xF0 | counter.wrapping_add(by) & 0x0F;
        }
    }
}

/// The PID of a packet.
pub(super) fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1], packet[2]]) & 0x1FFF
}
