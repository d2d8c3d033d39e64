//! A strict scan of a transport stream: the witness that the world's own streams are legal.
//!
//! It shares no code with the writer of the packets nor with `tallylight-ts`, which is what these streams test.

use std::collections::BTreeMap;

/// Problems kept in words; all are counted.
const MAX_WORDS: usize = 20;

/// One PES packet that was seen from begin to begin of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Presentation stamp, ticks of 90 kHz.
    pub pts: u64,
    /// Decoding stamp; the presentation stamp if there is none.
    pub dts: u64,
    /// Random access indicator.
    pub key: bool,
    /// Number of its first packet.
    pub first_packet: u64,
    /// Number of its last packet so far.
    pub last_packet: u64,
}

/// What one PID carried.
#[derive(Clone, Debug, Default)]
pub struct PidScan {
    /// Packets.
    pub packets: u64,
    /// Packets with payload.
    pub payloads: u64,
    /// Packets whose counter is neither expected nor a legal duplicate.
    pub continuity_errors: u64,
    /// Packets that the counters say are missing (modulo 16).
    pub missing: u64,
    /// Legal duplicates.
    pub duplicates: u64,
    /// PCR values, with the number of their packet.
    pub pcr: Vec<(u64, u64)>,
    /// PES packets with a presentation stamp.
    pub units: Vec<Unit>,
    last: Option<Vec<u8>>,
    repeated: bool,
}

/// The scan of a whole stream.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Packets, null packets included.
    pub packets: u64,
    /// Bytes that are not part of a packet.
    pub stray_bytes: u64,
    /// What each PID carried.
    pub pids: BTreeMap<u16, PidScan>,
    /// What is not legal, in words; the first 20.
    pub problems: Vec<String>,
    /// How much is not legal.
    pub problem_count: u64,
}

impl Scan {
    /// Reads whole packets.
    #[must_use]
    pub fn of(stream: &[u8]) -> Self {
        let mut scan = Self::default();
        scan.push(stream);
        scan
    }

    /// Reads further whole packets.
    pub fn push(&mut self, bytes: &[u8]) {
        let packets = bytes.chunks_exact(188);
        self.stray_bytes += packets.remainder().len() as u64;
        for packet in packets {
            self.packet(packet);
            self.packets += 1;
        }
    }

    /// Longest time between two PCR of a PID, in milliseconds; 0 without PCR.
    #[must_use]
    pub fn longest_pcr_gap_ms(&self, pid: u16) -> f64 {
        let pcr = self.pids.get(&pid).map_or(&[][..], |p| &p.pcr);
        pcr.windows(2).map(|w| pcr_step(w[0].0, w[1].0) as f64 / 27_000.0).fold(0.0, f64::max)
    }

    /// PCR steps that are not exactly `ticks_per_packet` for each packet between them.
    #[must_use]
    pub fn uneven_pcr(&self, pid: u16, ticks_per_packet: u64) -> usize {
        let pcr = self.pids.get(&pid).map_or(&[][..], |p| &p.pcr);
        let even =
            |w: &&[(u64, u64)]| pcr_step(w[0].0, w[1].0) != (w[1].1 - w[0].1) * ticks_per_packet;
        pcr.windows(2).filter(even).count()
    }

    fn problem(&mut self, words: String) {
        self.problem_count += 1;
        if self.problems.len() < MAX_WORDS {
            self.problems.push(format!("packet {}: {words}", self.packets));
        }
    }

    fn packet(&mut self, packet: &[u8]) {
        if packet[0] != 0x47 {
            return self.problem("no sync byte".to_owned());
        }
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1FFF;
        let entry = self.pids.entry(pid).or_default();
        entry.packets += 1;
        if pid == 0x1FFF {
            return;
        }
        let field = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
        if 4 + field > 188 {
            return self.problem(format!("PID {pid}: adaptation field of {field} bytes"));
        }
        let found = entry.continuity(packet);
        let number = self.packets;
        if field >= 8 && packet[5] & 0x10 != 0 {
            entry.pcr.push((read_pcr(&packet[6..12]), number));
        }
        if packet[3] & 0x10 != 0 {
            let key = field > 1 && packet[5] & 0x40 != 0;
            entry.payload(&packet[4 + field..], packet[1] & 0x40 != 0, key, number);
        }
        if let Some(words) = found {
            self.problem(format!("PID {pid}: {words}"));
        }
    }
}

impl PidScan {
    fn continuity(&mut self, packet: &[u8]) -> Option<String> {
        let counter = packet[3] & 0x0F;
        let has_payload = packet[3] & 0x10 != 0;
        let discontinuity = packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x80 != 0;
        let last = self.last.replace(packet.to_vec());
        let repeated = std::mem::take(&mut self.repeated);
        let last = last.filter(|_| !discontinuity)?;
        let before = last[3] & 0x0F;
        let expected = if has_payload { (before + 1) % 16 } else { before };
        if counter == expected {
            return None;
        }
        // A duplicate repeats all but the PCR, once.
        if counter == before && has_payload && same_payload(&last, packet) && !repeated {
            self.repeated = true;
            self.duplicates += 1;
            return None;
        }
        self.continuity_errors += 1;
        self.missing += u64::from((counter + 16 - expected) % 16);
        Some(format!("counter {counter} after {before}"))
    }

    fn payload(&mut self, payload: &[u8], begins: bool, key: bool, number: u64) {
        self.payloads += 1;
        let stamped = matches!(payload, [0, 0, 1, id, _, _, _, flags, ..]
            if begins && *id >= 0xC0 && flags & 0x80 != 0);
        if !stamped {
            if let Some(unit) = self.units.last_mut() {
                unit.last_packet = number;
            }
            return;
        }
        let Some(pts) = payload.get(9..14).map(read_stamp) else { return };
        let with_dts = payload[7] & 0x40 != 0;
        let dts = payload.get(14..19).filter(|_| with_dts).map_or(pts, read_stamp);
        self.units.push(Unit { pts, dts, key, first_packet: number, last_packet: number });
    }
}

fn same_payload(a: &[u8], b: &[u8]) -> bool {
    let payload = |p: &[u8]| {
        let field = if p[3] & 0x20 == 0 { 0 } else { 1 + usize::from(p[4]) };
        p.get(4 + field..).map(<[u8]>::to_vec)
    };
    a[1..3] == b[1..3] && payload(a) == payload(b)
}

fn read_pcr(b: &[u8]) -> u64 {
    let base =
        (u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]])) << 1) | u64::from(b[4] >> 7);
    base * 300 + ((u64::from(b[4]) & 1) << 8) + u64::from(b[5])
}

fn read_stamp(b: &[u8]) -> u64 {
    let part = |n: usize| u64::from(b[n]);
    let (high, middle, low) = (part(0) >> 1 & 7, part(1) << 8 | part(2), part(3) << 8 | part(4));
    high << 30 | (middle >> 1) << 15 | low >> 1
}

fn pcr_step(from: u64, to: u64) -> u64 {
    const PERIOD: u64 = (1 << 33) * 300;
    (to + PERIOD - from) % PERIOD
}

#[cfg(test)]
mod tests {
    use super::Scan;

    fn packet(counter: u8, fill: u8) -> [u8; 188] {
        let mut packet = [fill; 188];
        packet[..4].copy_from_slice(&[0x47, 0x01, 0x00, 0x10 | counter]);
        packet
    }

    #[test]
    fn continuity_follows_the_rule_of_the_standard() {
        for (name, packets, errors, missing, duplicates) in [
            ("in order", vec![packet(14, 1), packet(15, 2), packet(0, 3)], 0, 0, 0),
            ("one lost", vec![packet(1, 1), packet(3, 2)], 1, 1, 0),
            ("repeated once", vec![packet(1, 1), packet(1, 1), packet(2, 2)], 0, 0, 1),
            ("repeated twice", vec![packet(1, 1), packet(1, 1), packet(1, 1)], 1, 15, 1),
            ("same counter, other payload", vec![packet(1, 1), packet(1, 2)], 1, 15, 0),
        ] {
            let scan = Scan::of(&packets.concat());
            let pid = &scan.pids[&0x100];
            let found = (pid.continuity_errors, pid.missing, pid.duplicates);
            assert_eq!(found, (errors, missing, duplicates), "{name}");
            assert_eq!(scan.problem_count, errors, "{name}");
        }
    }
}
