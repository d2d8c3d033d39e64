//! The order of packets, and the account of those that were out of it.
//!
//! A packet that is late by less than [`MAX_WAIT`] still comes out in its place, so what the analyser sees is what a
//! receiver with a small jitter buffer sees. A gap is a loss once the wait is over or the window is full; what comes after that is
//! late as well as lost. What this host's own socket dropped is forgiven: it is unobserved and reported elsewhere.
//!
//! A sender that begins anew, by a wild jump of the number or as another source (SSRC), is believed once two of its packets stand in
//! sequence (RFC 3550, A.1), so that one stray packet neither ends a stream nor counts as thousands lost.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize;
use tallylight_model::MonoTime;

use super::{Jitter, RtpPacket};

/// How long a packet waits for one before it.
pub const MAX_WAIT: Duration = Duration::from_millis(100);
/// How many packets wait at most.
pub const WINDOW: usize = 512;
/// How many bytes wait at most: three times what a window of whole datagrams on an Ethernet holds.
const WINDOW_BYTES: usize = 2 << 20;
/// A forward jump from which on the sender is taken to have begun anew (RFC 3550, A.1).
const MAX_DROPOUT: i16 = 3000;
/// A backward jump up to which a packet is late, not a new beginning (RFC 3550, A.1).
const MAX_MISORDER: i16 = 100;
/// How long the host's own drops excuse a gap.
const FORGIVE: Duration = Duration::from_secs(1);

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RtpCounts {
    /// That arrived, whatever became of them.
    pub packets: u64,
    /// That did not arrive in time: within the wait of what came after them.
    pub lost: u64,
    /// That arrived after one that was sent later, in time to be put back.
    pub reordered: u64,
    /// That had arrived before.
    pub duplicates: u64,
    /// That arrived when they had been given up. They count as lost, too.
    pub late: u64,
    /// How often the sender began anew: another source, or a jump of the number.
    pub restarts: u64,
}

impl RtpCounts {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.packets, other.packets),
            (&mut self.lost, other.lost),
            (&mut self.reordered, other.reordered),
            (&mut self.duplicates, other.duplicates),
            (&mut self.late, other.late),
            (&mut self.restarts, other.restarts),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Whether all that arrived did so as it should.
    #[must_use]
    pub fn in_order(&self) -> bool {
        *self == Self { packets: self.packets, ..Self::default() }
    }
}

/// Puts packets in order within a bounded window.
#[derive(Debug, Default)]
pub struct Reorder {
    ssrc: Option<u32>,
    /// The sequence number that comes next.
    next: u16,
    /// Packets after a gap, by their distance from the first packet of this run, with their arrival.
    held: BTreeMap<u64, (MonoTime, Bytes)>,
    held_bytes: usize,
    /// The distance that belongs to `next`.
    position: u64,
    /// Which of the numbers before `next` came, the nearest in the lowest bit.
    came: u128,
    /// The first packet of what may be a new beginning: its source, the number that would confirm it, its payload.
    candidate: Option<(u32, u16, Bytes)>,
    forgiven: Option<(MonoTime, u64)>,
    counts: RtpCounts,
    jitter: Jitter,
    out: VecDeque<Bytes>,
}

impl Reorder {
    /// Takes a packet; `at` is when it arrived.
    pub fn handle(&mut self, at: MonoTime, packet: RtpPacket<'_>) {
        self.counts.packets += 1;
        match self.ssrc {
            None => self.begin(packet),
            Some(ssrc) if ssrc == packet.ssrc => self.place(at, packet),
            Some(_) => self.suspect(at, packet),
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

    /// Returns the next payload in order; drain until `None`.
    pub fn poll(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Returns what was counted since the last call.
    pub fn take_counts(&mut self) -> RtpCounts {
        std::mem::take(&mut self.counts)
    }

    /// Returns by how much the time on the way varied since it was last asked, by the packets' stamps; `None` if nothing came.
    pub fn take_spread(&mut self) -> Option<Duration> {
        self.jitter.take_spread()
    }

    /// Returns the interarrival jitter of the source that is received.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        self.jitter.get()
    }

    /// When to call [`handle_deadline`](Self::handle_deadline) if nothing arrives.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        // The first held packet has the lowest number, and what matters is who has waited longest; with a window this
        // short the difference is not worth a second index.
        self.held.values().next().map(|(at, _)| *at + MAX_WAIT)
    }

    /// Finds a packet of the source that is received its place.
    fn place(&mut self, at: MonoTime, packet: RtpPacket<'_>) {
        let ahead = packet.sequence.wrapping_sub(self.next).cast_signed();
        match ahead {
            0 => {
                self.candidate = None;
                self.counts.reordered += u64::from(!self.held.is_empty());
                self.jitter.handle(at, packet.timestamp);
                self.deliver(Bytes::copy_from_slice(packet.payload));
            }
            1..MAX_DROPOUT => {
                self.candidate = None;
                let place = self.position + u64::from(ahead.unsigned_abs());
                self.hold(at, place, packet);
            }
            ..0 if ahead >= -MAX_MISORDER => {
                let back = u32::from(ahead.unsigned_abs()) - 1;
                let came = self.came >> back & 1 == 1;
                *(if came { &mut self.counts.duplicates } else { &mut self.counts.late }) += 1;
            }
            _ => self.suspect(at, packet),
        }
    }

    /// Keeps a packet until those before it have come or are given up.
    fn hold(&mut self, at: MonoTime, place: u64, packet: RtpPacket<'_>) {
        if self.held.contains_key(&place) {
            self.counts.duplicates += 1;
            return;
        }
        let overtaken = self.held.last_key_value().is_some_and(|(last, _)| *last > place);
        self.counts.reordered += u64::from(overtaken);
        self.jitter.handle(at, packet.timestamp);
        self.held_bytes += packet.payload.len();
        self.held.insert(place, (at, Bytes::copy_from_slice(packet.payload)));
        while self.held.len() > WINDOW || self.held_bytes > WINDOW_BYTES {
            self.give_up(at);
        }
    }

    fn deliver(&mut self, payload: Bytes) {
        self.out.push_back(payload);
        self.advance();
        while let Some((_, payload)) = self.held.remove(&self.position) {
            self.held_bytes -= payload.len();
            self.out.push_back(payload);
            self.advance();
        }
    }

    /// The next number came.
    fn advance(&mut self) {
        self.skip(1);
        self.came |= 1;
    }

    /// So many numbers are behind us.
    fn skip(&mut self, numbers: u16) {
        self.next = self.next.wrapping_add(numbers);
        self.position += u64::from(numbers);
        self.came = self.came.checked_shl(numbers.into()).unwrap_or(0);
    }

    /// Counts the first gap as lost and delivers what stands behind it.
    fn give_up(&mut self, now: MonoTime) {
        let Some((place, (_, payload))) = self.held.pop_first() else { return };
        self.held_bytes -= payload.len();
        let gap = place - self.position;
        self.lose(now, gap);
        // Held packets are less than MAX_DROPOUT ahead, so the gap fits.
        self.skip(u16::try_from(gap).unwrap_or(u16::MAX));
        self.deliver(payload);
    }

    fn lose(&mut self, now: MonoTime, packets: u64) {
        let (at, count) = self.forgiven.take().unwrap_or_default();
        let credit = if now.since(at) <= FORGIVE { count } else { 0 };
        if credit > packets {
            self.forgiven = Some((at, credit - packets));
        }
        self.counts.lost += packets.saturating_sub(credit);
    }

    /// What may be a new beginning: believed once a second packet follows it in sequence (RFC 3550, A.1).
    fn suspect(&mut self, at: MonoTime, packet: RtpPacket<'_>) {
        match self.candidate.take() {
            Some((ssrc, next, first)) if (ssrc, next) == (packet.ssrc, packet.sequence) => {
                while !self.held.is_empty() {
                    self.give_up(at);
                }
                self.counts.restarts += 1;
                let sequence = next.wrapping_sub(1);
                self.begin(RtpPacket { sequence, payload: &first, ..packet });
                self.place(at, packet);
            }
            _ => {
                let next = packet.sequence.wrapping_add(1);
                let payload = Bytes::copy_from_slice(packet.payload);
                self.candidate = Some((packet.ssrc, next, payload));
            }
        }
    }

    fn begin(&mut self, packet: RtpPacket<'_>) {
        self.ssrc = Some(packet.ssrc);
        self.candidate = None;
        self.next = packet.sequence;
        self.position = 0;
        self.came = 0;
        self.jitter = Jitter::default();
        self.deliver(Bytes::copy_from_slice(packet.payload));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy)]
    enum Step {
        Packet(u16),
        Other(u32, u16),
        Forgive(u64),
        Wait,
    }

    /// Runs the steps 1 ms apart; a payload shows as its number.
    fn run(steps: impl IntoIterator<Item = Step>) -> (Vec<u16>, RtpCounts) {
        let mut reorder = Reorder::default();
        let mut now = MonoTime::ZERO + Duration::from_secs(1);
        let mut got = Vec::new();
        for step in steps {
            now = now + Duration::from_millis(1);
            match step {
                Step::Packet(sequence) => handle(&mut reorder, now, 1, sequence),
                Step::Other(ssrc, sequence) => handle(&mut reorder, now, ssrc, sequence),
                Step::Forgive(count) => reorder.forgive(now, count),
                Step::Wait => {
                    now = now + MAX_WAIT;
                    reorder.handle_deadline(now);
                }
            }
            got.extend(drain(&mut reorder));
        }
        reorder.handle_deadline(now + MAX_WAIT);
        got.extend(drain(&mut reorder));
        (got, reorder.take_counts())
    }

    fn handle(reorder: &mut Reorder, at: MonoTime, ssrc: u32, sequence: u16) {
        let payload = sequence.to_be_bytes();
        reorder.handle(at, RtpPacket { sequence, timestamp: 0, ssrc, payload: &payload });
    }

    fn drain(reorder: &mut Reorder) -> Vec<u16> {
        std::iter::from_fn(|| reorder.poll())
            .map(|payload| u16::from_be_bytes([payload[0], payload[1]]))
            .collect()
    }

    #[test]
    fn packets_come_out_in_order_and_each_is_accounted_for_once() {
        use Step::{Forgive, Other, Packet as P, Wait};
        let no = RtpCounts::default();
        let cases: Vec<(&str, Vec<Step>, Vec<u16>, RtpCounts)> = vec![
            ("in order", vec![P(1), P(2), P(3)], vec![1, 2, 3], no),
            (
                "swapped",
                vec![P(1), P(3), P(2), P(4)],
                vec![1, 2, 3, 4],
                RtpCounts { reordered: 1, ..no },
            ),
            (
                "across the wrap",
                vec![P(65535), P(1), P(0)],
                vec![65535, 0, 1],
                RtpCounts { reordered: 1, ..no },
            ),
            (
                "backwards",
                vec![P(1), P(4), P(3), P(2)],
                vec![1, 2, 3, 4],
                RtpCounts { reordered: 2, ..no },
            ),
            (
                "twice",
                vec![P(1), P(1), P(3), P(3), P(2)],
                vec![1, 2, 3],
                RtpCounts { duplicates: 2, reordered: 1, ..no },
            ),
            ("lost", vec![P(1), P(4), Wait], vec![1, 4], RtpCounts { lost: 2, ..no }),
            ("two gaps", vec![P(1), P(3), P(6), Wait], vec![1, 3, 6], RtpCounts { lost: 3, ..no }),
            (
                "late after all, and once more",
                vec![P(1), P(3), Wait, P(2), P(4), P(3)],
                vec![1, 3, 4],
                RtpCounts { lost: 1, late: 1, duplicates: 1, ..no },
            ),
            (
                "own drops",
                vec![P(1), Forgive(2), P(5), Wait, P(6)],
                vec![1, 5, 6],
                RtpCounts { lost: 1, ..no },
            ),
            (
                "other sender",
                vec![P(1), Other(2, 900), Other(2, 901)],
                vec![1, 900, 901],
                RtpCounts { restarts: 1, ..no },
            ),
            (
                "a word of another sender",
                vec![P(1), Other(2, 900), P(2), Other(2, 901), P(3)],
                vec![1, 2, 3],
                no,
            ),
            (
                "begun anew",
                vec![P(1), P(3), P(20_000), P(20_001)],
                vec![1, 3, 20_000, 20_001],
                RtpCounts { restarts: 1, lost: 1, ..no },
            ),
            ("one stray", vec![P(1), P(20_000), P(2), P(3)], vec![1, 2, 3], no),
        ];
        for (name, steps, payloads, expected) in cases {
            let packets = steps.iter().filter(|step| matches!(step, P(_) | Other(..))).count();
            let (got, counts) = run(steps);
            assert_eq!(got, payloads, "{name}");
            assert_eq!(counts, RtpCounts { packets: packets as u64, ..expected }, "{name}");
        }
    }

    /// 200,000 packets, three times round the numbers, with every so-manieth treated so.
    fn damaged(every: usize, treat: impl Fn(u16) -> Vec<Step>) -> (Vec<u16>, RtpCounts) {
        let sent = 0..200_000_usize;
        run(sent.flat_map(|n| {
            let sequence = (n + 65_000) as u16;
            if n % every == every - 1 { treat(sequence) } else { vec![Step::Packet(sequence)] }
        }))
    }

    #[test]
    fn known_damage_is_counted_exactly() {
        let no = RtpCounts::default();
        let (got, counts) = damaged(100, |_| Vec::new());
        assert_eq!(
            counts,
            RtpCounts { packets: 198_000, lost: 1_999, ..no },
            "the last is unknown"
        );
        assert_eq!(got.len(), 198_000);
        let (got, counts) = damaged(100, |n| vec![Step::Packet(n), Step::Packet(n)]);
        assert_eq!(counts, RtpCounts { packets: 202_000, duplicates: 2_000, ..no });
        assert_eq!(got.len(), 200_000);
        // Each comes with the packet after it and before that one.
        let (got, counts) = run((0..200_000_usize).map(|n| {
            let place = if n % 100 == 98 {
                n + 1
            } else if n % 100 == 99 {
                n - 1
            } else {
                n
            };
            Step::Packet(place as u16)
        }));
        assert_eq!(counts, RtpCounts { packets: 200_000, reordered: 2_000, ..no });
        assert!(got.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
        // One in 1,000 comes when it was just given up.
        let mut steps = Vec::new();
        for n in 0..50_000_usize {
            if n % 1_000 != 500 {
                steps.push(Step::Packet(n as u16));
            }
            if n % 1_000 == 501 {
                steps.push(Step::Wait);
                steps.push(Step::Packet((n - 1) as u16));
            }
        }
        let (got, counts) = run(steps);
        assert_eq!(counts, RtpCounts { packets: 50_000, lost: 50, late: 50, ..no });
        assert_eq!(got.len(), 49_950);
    }

    #[test]
    fn the_window_is_bounded_in_packets_and_bytes() {
        let mut reorder = Reorder::default();
        let at = MonoTime::ZERO;
        for sequence in (0..2000).filter(|&sequence| sequence != 1) {
            handle(&mut reorder, at, 1, sequence);
            assert!(reorder.held.len() <= WINDOW);
        }
        assert_eq!(reorder.take_counts().lost, 1);
        let payload = vec![0; 60_000];
        for sequence in 2_001..2_100 {
            reorder.handle(at, RtpPacket { sequence, timestamp: 0, ssrc: 1, payload: &payload });
            assert!(reorder.held_bytes <= WINDOW_BYTES);
        }
        assert_eq!(reorder.take_counts().lost, 1);
    }

    proptest! {
        #[test]
        fn whatever_arrives_the_window_holds_and_everything_is_accounted_for(
            steps in proptest::collection::vec((any::<u16>(), 0u64..50, 0u32..20), 0..400)
        ) {
            let mut reorder = Reorder::default();
            let mut now = MonoTime::ZERO;
            let (mut seen, mut out) = (RtpCounts::default(), 0);
            for (sequence, wait, ssrc) in steps {
                now = now + Duration::from_millis(wait);
                // A narrow range makes reordering likely, the odd wild number a restart.
                let sequence = if sequence % 17 == 0 { sequence } else { sequence % 300 };
                handle(&mut reorder, now, ssrc / 19, sequence);
                out += drain(&mut reorder).len() as u64;
                seen.add(reorder.take_counts());
                prop_assert!(reorder.held.len() <= WINDOW);
                let bytes: usize = reorder.held.values().map(|(_, payload)| payload.len()).sum();
                prop_assert_eq!(reorder.held_bytes, bytes);
                prop_assert!(reorder.deadline().is_none_or(|deadline| deadline > now));
                let kept = reorder.held.len() as u64;
                // What is in none of these was taken for a stray.
                prop_assert!(out + kept + seen.duplicates + seen.late <= seen.packets);
            }
        }

        #[test]
        fn any_order_within_the_wait_is_put_right_and_counted(
            orders in proptest::collection::vec(Just((0..40).collect::<Vec<u16>>()).prop_shuffle(), 5),
            first in any::<u16>(),
        ) {
            let places = orders.iter().enumerate().flat_map(|(chunk, order)| {
                order.iter().map(move |place| chunk as u16 * 40 + place + 1)
            });
            let sent: Vec<u16> = std::iter::once(0).chain(places).collect();
            let (got, counts) = run(sent.iter().map(|n| Step::Packet(first.wrapping_add(*n))));
            let sorted: Vec<u16> = (0..=200).map(|n| first.wrapping_add(n)).collect();
            prop_assert_eq!(got, sorted);
            let behind = |at: &usize| sent[..*at].iter().any(|before| *before > sent[*at]);
            let reordered = (0..sent.len()).filter(behind).count() as u64;
            prop_assert_eq!(counts, RtpCounts { packets: 201, reordered, ..RtpCounts::default() });
        }
    }
}
