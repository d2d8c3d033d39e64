//! RTP (RFC 3550) with transport stream payload (RFC 2250, payload type 33): puts packets back in order, counts losses.
//!
//! A packet that is late by less than [`MAX_WAIT`] still comes out in its place, so what the analyser sees is what a
//! receiver with a small jitter buffer sees. A gap is a loss once the wait is over or the window is full. What this
//! host's own socket dropped is forgiven: it is unobserved and reported elsewhere.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use tallylight_model::MonoTime;

/// How long a packet waits for one before it.
pub const MAX_WAIT: Duration = Duration::from_millis(100);
/// How many packets wait at most.
pub const WINDOW: usize = 512;
/// A forward jump from which on the sender is taken to have begun anew (RFC 3550, A.1).
const MAX_DROPOUT: i16 = 3000;
/// A backward jump up to which a packet is late, not a new beginning (RFC 3550, A.1).
const MAX_MISORDER: i16 = 100;
/// How long the host's own drops excuse a gap.
const FORGIVE: Duration = Duration::from_secs(1);

/// Why a datagram is not RTP with a transport stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Shorter than its header says.
    #[error("datagram is shorter than its RTP header")]
    Short,
    /// The version is not 2.
    #[error("RTP version {0} instead of 2")]
    Version(u8),
    /// The padding is longer than what it pads.
    #[error("RTP padding is longer than the packet")]
    Padding,
    /// It is a control packet (RTCP) on the same port (RFC 5761, 4): no payload at all.
    #[error("RTCP packet type {0}")]
    Control(u8),
    /// The payload is something else.
    #[error("RTP payload type {0} instead of 33 (MP2T)")]
    PayloadType(u8),
}

/// The header fields that matter, and the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Counts up by one for each packet, modulo 2^16.
    pub sequence: u16,
    /// 90 kHz for MP2T (RFC 2250, 2).
    pub timestamp: u32,
    /// Names the sender's session.
    pub ssrc: u32,
    /// Whole transport stream packets.
    pub payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    const MP2T: u8 = 33;

    /// Reads a datagram (RFC 3550, 5.1). Payload types 96 to 127 are accepted as well: some encoders send MP2T so.
    ///
    /// # Errors
    /// [`RtpError`] says what it is instead.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let (header, rest) = datagram.split_first_chunk::<12>().ok_or(RtpError::Short)?;
        let [first, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *header;
        if first >> 6 != 2 {
            return Err(RtpError::Version(first >> 6));
        }
        let payload_type = kind & 0x7f;
        // RTCP's types as seen here are kept free for it (RFC 5761, 4).
        if (64..96).contains(&payload_type) {
            return Err(RtpError::Control(kind));
        }
        if payload_type != Self::MP2T && payload_type < 96 {
            return Err(RtpError::PayloadType(payload_type));
        }
        let csrc = usize::from(first & 0x0f) * 4;
        let mut payload = rest.get(csrc..).ok_or(RtpError::Short)?;
        if first & 0x10 != 0 {
            let (extension, rest) = payload.split_first_chunk::<4>().ok_or(RtpError::Short)?;
            let words = u16::from_be_bytes([extension[2], extension[3]]);
            payload = rest.get(usize::from(words) * 4..).ok_or(RtpError::Short)?;
        }
        if first & 0x20 != 0 {
            let padding = usize::from(payload.last().copied().unwrap_or(0));
            let left = payload.len().checked_sub(padding).filter(|_| padding > 0);
            payload = left.and_then(|left| payload.get(..left)).ok_or(RtpError::Padding)?;
        }
        Ok(Self {
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload,
        })
    }
}

/// What comes out of a [`Reorder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtpOutput {
    /// The next payload in order.
    Payload(Bytes),
    /// That many packets are missing before the next payload.
    Lost(u64),
}

/// Puts packets in order within a bounded window.
#[derive(Debug, Default)]
pub struct Reorder {
    ssrc: Option<u32>,
    /// The sequence number that comes next.
    next: u16,
    /// Packets after a gap, by their distance from the first packet of this run, with their arrival.
    held: BTreeMap<u64, (MonoTime, Bytes)>,
    /// The distance that belongs to `next`.
    position: u64,
    /// The first packet of what may be a new beginning, and the number that would confirm it.
    candidate: Option<(u16, Bytes)>,
    forgiven: Option<(MonoTime, u64)>,
    out: VecDeque<RtpOutput>,
}

impl Reorder {
    /// Takes a packet; `at` is when it arrived.
    pub fn handle(&mut self, at: MonoTime, packet: RtpPacket<'_>) {
        if self.ssrc != Some(packet.ssrc) {
            self.restart(at, packet);
            return;
        }
        let ahead = packet.sequence.wrapping_sub(self.next).cast_signed();
        match ahead {
            0 => {
                self.candidate = None;
                self.deliver(Bytes::copy_from_slice(packet.payload));
            }
            1..MAX_DROPOUT => {
                self.candidate = None;
                let place = self.position + u64::from(ahead.unsigned_abs());
                let payload = Bytes::copy_from_slice(packet.payload);
                self.held.insert(place, (at, payload));
                if self.held.len() > WINDOW {
                    self.give_up(at);
                }
            }
            // Here before, or too late.
            ..0 if ahead >= -MAX_MISORDER => {}
            _ => self.suspect(at, packet),
        }
        self.handle_deadline(at);
    }

    /// Gives up waiting where the time has come.
    pub fn handle_deadline(&mut self, now: MonoTime) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up(now);
        }
    }

    /// Says that the host itself dropped `datagrams` just before what is handled next.
    pub fn forgive(&mut self, at: MonoTime, datagrams: u64) {
        let before = self.forgiven.map_or(0, |(_, count)| count);
        self.forgiven = Some((at, before.saturating_add(datagrams)));
    }

    /// Returns what is ready; drain until `None`.
    pub fn poll(&mut self) -> Option<RtpOutput> {
        self.out.pop_front()
    }

    /// When to call [`handle_deadline`](Self::handle_deadline) if nothing arrives.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        // The first held packet has the lowest number, and what matters is who has waited longest; with a window this
        // short the difference is not worth a second index.
        self.held.values().next().map(|(at, _)| *at + MAX_WAIT)
    }

    fn deliver(&mut self, payload: Bytes) {
        self.out.push_back(RtpOutput::Payload(payload));
        self.advance(1);
        while let Some((_, payload)) = self.held.remove(&self.position) {
            self.out.push_back(RtpOutput::Payload(payload));
            self.advance(1);
        }
    }

    fn advance(&mut self, by: u16) {
        self.next = self.next.wrapping_add(by);
        self.position += u64::from(by);
    }

    /// Counts the first gap as lost and delivers what stands behind it.
    fn give_up(&mut self, now: MonoTime) {
        let Some((place, (_, payload))) = self.held.pop_first() else { return };
        let gap = place - self.position;
        self.lose(now, gap);
        // Held packets are less than MAX_DROPOUT ahead, so the gap fits.
        self.advance(u16::try_from(gap).unwrap_or(u16::MAX));
        self.deliver(payload);
    }

    fn lose(&mut self, now: MonoTime, packets: u64) {
        let (at, count) = self.forgiven.take().unwrap_or_default();
        let credit = if now.since(at) <= FORGIVE { count } else { 0 };
        if credit > packets {
            self.forgiven = Some((at, credit - packets));
        } else if packets > credit {
            self.out.push_back(RtpOutput::Lost(packets - credit));
        }
    }

    /// A wild jump: believed once a second packet follows it in sequence (RFC 3550, A.1).
    fn suspect(&mut self, at: MonoTime, packet: RtpPacket<'_>) {
        match self.candidate.take() {
            Some((next, first)) if next == packet.sequence => {
                self.restart(
                    at,
                    RtpPacket { sequence: next.wrapping_sub(1), payload: &first, ..packet },
                );
                self.deliver(Bytes::copy_from_slice(packet.payload));
            }
            _ => {
                let next = packet.sequence.wrapping_add(1);
                self.candidate = Some((next, Bytes::copy_from_slice(packet.payload)));
            }
        }
    }

    fn restart(&mut self, at: MonoTime, packet: RtpPacket<'_>) {
        while !self.held.is_empty() {
            self.give_up(at);
        }
        self.ssrc = Some(packet.ssrc);
        self.candidate = None;
        self.next = packet.sequence;
        self.position = 0;
        self.deliver(Bytes::copy_from_slice(packet.payload));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_are_read_as_rfc_3550_says_and_nothing_else_passes() {
        let base = [0x80, 33, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7];
        let with = |first: u8, kind: u8, tail: &[u8]| {
            let mut datagram = base.to_vec();
            datagram[0] = first;
            datagram[1] = kind;
            datagram.extend_from_slice(tail);
            datagram
        };
        type Payload = Result<Vec<u8>, RtpError>;
        let payload = |bytes: &[u8]| -> Payload { Ok(bytes.to_vec()) };
        let cases = [
            ("plain", with(0x80, 33, &[0x47, 1]), payload(&[0x47, 1])),
            ("marker bit", with(0x80, 0x80 | 33, &[0x47]), payload(&[0x47])),
            ("two CSRC", with(0x82, 33, &[1, 1, 1, 1, 2, 2, 2, 2, 0x47]), payload(&[0x47])),
            ("extension", with(0x90, 33, &[0, 0, 0, 1, 9, 9, 9, 9, 0x47]), payload(&[0x47])),
            ("padding", with(0xa0, 33, &[0x47, 0, 2]), payload(&[0x47])),
            ("dynamic type", with(0x80, 97, &[0x47]), payload(&[0x47])),
            ("no payload", with(0x80, 33, &[]), payload(&[])),
            ("short", vec![0x80; 11], Err(RtpError::Short)),
            ("CSRC missing", with(0x83, 33, &[0; 8]), Err(RtpError::Short)),
            ("extension missing", with(0x90, 33, &[0, 0, 0, 2, 0, 0, 0, 0]), Err(RtpError::Short)),
            ("bare transport stream", with(0x47, 33, &[]), Err(RtpError::Version(1))),
            ("sender report", with(0x80, 200, &[0; 16]), Err(RtpError::Control(200))),
            ("PCMU", with(0x80, 0, &[]), Err(RtpError::PayloadType(0))),
        ];
        for (name, datagram, expected) in cases {
            let got = RtpPacket::parse(&datagram).map(|packet| packet.payload.to_vec());
            assert_eq!(got, expected, "{name}");
        }
        for padding in [0, 9] {
            let datagram = with(0xa0, 33, &[1, padding]);
            assert_eq!(RtpPacket::parse(&datagram), Err(RtpError::Padding));
        }
        let datagram = with(0x80, 33, &[]);
        let packet = RtpPacket::parse(&datagram).unwrap();
        assert_eq!((packet.sequence, packet.timestamp, packet.ssrc), (0x1234, 9, 7));
    }

    enum Step {
        Packet(u16),
        Other(u32, u16),
        Forgive(u64),
        Wait,
    }

    /// Runs the steps 1 ms apart; a payload shows as the low byte of its number, a loss as the count negated.
    fn run(steps: &[Step]) -> Vec<i64> {
        let mut reorder = Reorder::default();
        let mut now = MonoTime::ZERO + Duration::from_secs(1);
        let mut got = Vec::new();
        for step in steps {
            now = now + Duration::from_millis(1);
            let packet = |ssrc, sequence: u16| (ssrc, sequence, [sequence as u8]);
            let (ssrc, sequence, payload) = match *step {
                Step::Packet(sequence) => packet(1, sequence),
                Step::Other(ssrc, sequence) => packet(ssrc, sequence),
                Step::Forgive(count) => {
                    reorder.forgive(now, count);
                    continue;
                }
                Step::Wait => {
                    now = now + MAX_WAIT;
                    reorder.handle_deadline(now);
                    continue;
                }
            };
            reorder.handle(now, RtpPacket { sequence, timestamp: 0, ssrc, payload: &payload });
            got.extend(drain(&mut reorder));
        }
        reorder.handle_deadline(now);
        got.extend(drain(&mut reorder));
        got
    }

    fn drain(reorder: &mut Reorder) -> Vec<i64> {
        std::iter::from_fn(|| reorder.poll())
            .map(|output| match output {
                RtpOutput::Payload(payload) => i64::from(payload[0]),
                RtpOutput::Lost(count) => -i64::try_from(count).unwrap(),
            })
            .collect()
    }

    #[test]
    fn packets_come_out_in_order_and_losses_are_counted_once() {
        use Step::{Forgive, Other, Packet as P, Wait};
        let cases: [(&str, Vec<Step>, Vec<i64>); 11] = [
            ("in order", vec![P(1), P(2), P(3)], vec![1, 2, 3]),
            ("swapped", vec![P(1), P(3), P(2), P(4)], vec![1, 2, 3, 4]),
            ("across the wrap", vec![P(65535), P(1), P(0)], vec![255, 0, 1]),
            ("twice", vec![P(1), P(1), P(3), P(3), P(2)], vec![1, 2, 3]),
            ("lost", vec![P(1), P(4), Wait], vec![1, -2, 4]),
            ("two gaps", vec![P(1), P(3), P(6), Wait], vec![1, -1, 3, -2, 6]),
            ("late after all", vec![P(1), P(3), Wait, P(2), P(4)], vec![1, -1, 3, 4]),
            ("own drops", vec![P(1), Forgive(2), P(5), Wait, P(6)], vec![1, -1, 5, 6]),
            (
                "other sender",
                vec![P(1), Other(2, 900), Other(2, 901)],
                vec![1, 900 % 256, 901 % 256],
            ),
            ("begun anew", vec![P(1), P(20_000), P(20_001)], vec![1, 20_000 % 256, 20_001 % 256]),
            ("one stray", vec![P(1), P(20_000), P(2), P(3)], vec![1, 2, 3]),
        ];
        for (name, steps, expected) in cases {
            assert_eq!(run(&steps), expected, "{name}");
        }
    }

    #[test]
    fn the_window_is_bounded() {
        let mut reorder = Reorder::default();
        let at = MonoTime::ZERO;
        for sequence in (0..2000).filter(|&sequence| sequence != 1) {
            reorder.handle(at, RtpPacket { sequence, timestamp: 0, ssrc: 1, payload: &[] });
            assert!(reorder.held.len() <= WINDOW);
        }
        let lost = std::iter::from_fn(|| reorder.poll())
            .filter(|output| matches!(output, RtpOutput::Lost(1)))
            .count();
        assert_eq!(lost, 1);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reorder = Reorder::default();
            if let Ok(packet) = RtpPacket::parse(&bytes) {
                reorder.handle(MonoTime::ZERO, packet);
            }
        }

        #[test]
        fn whatever_arrives_the_window_holds_and_order_is_kept(
            steps in proptest::collection::vec((any::<u16>(), 0u64..50), 0..400)
        ) {
            let mut reorder = Reorder::default();
            let mut now = MonoTime::ZERO;
            for (sequence, wait) in steps {
                now = now + Duration::from_millis(wait);
                // A narrow range makes reordering likely, the odd wild number a restart.
                let sequence = if sequence % 17 == 0 { sequence } else { sequence % 300 };
                let payload = sequence.to_be_bytes();
                reorder.handle(now, RtpPacket { sequence, timestamp: 0, ssrc: 1, payload: &payload });
                prop_assert!(reorder.held.len() <= WINDOW);
                prop_assert!(reorder.deadline().is_none_or(|deadline| deadline > now));
            }
        }
    }
}
