//! The continuity counter (TR 101 290, 1.4), by the rule that TSDuck's analysers and plain scanners agree on, so that counts can
//! be compared with other tools:
//!
//! - Packets with the transport error indicator are compared like any other; null packets are never given to this.
//! - A packet that carries the discontinuity indicator is not compared.
//! - The counter must not move on a packet without payload.
//! - A duplicate repeats counter and payload (its PCR may differ). It is legal once; further ones are excess, until the
//!   counter moves. The same counter with another payload is an error.

use crate::packet::{Header, PACKET, PAYLOAD};

/// What one packet is to the packets of its PID before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to compare with.
    First,
    /// The expected one.
    Expected,
    /// A duplicate, allowed once.
    LegalDuplicate,
    /// A duplicate too many.
    ExcessDuplicate,
    /// Neither; so many packets are missing by the counter.
    Error { missing: u8 },
    /// The same of a packet that was passed over just before: it comes late.
    Late { missing: u8 },
}

/// The state of one PID.
///
/// A duplicate is known by the payload before it. That is left where it came, in a run of packets, and kept only when the run
/// ends: copying each would take as long as all else that most packets need.
#[derive(Clone)]
pub(crate) struct Continuity {
    last: Option<u8>,
    /// Counters that were passed over within the last half turn of the counter, a bit for each.
    passed: u16,
    /// Duplicates since the counter last moved.
    repeats: u32,
    /// Where in the run the last payload begins; [`KEPT`] where it came before the run.
    place: usize,
    length: u8,
    kept: [u8; PAYLOAD],
}

/// No place in a run.
const KEPT: usize = usize::MAX;

impl Continuity {
    pub(crate) const fn new() -> Self {
        let kept = [0; PAYLOAD];
        Self { last: None, passed: 0, repeats: 0, place: KEPT, length: 0, kept }
    }

    /// Forgets what came before: the next packet is not compared.
    pub(crate) fn reset(&mut self) {
        self.last = None;
    }

    /// Takes the packet that begins at `at` in a run. Where this is the PID's first payload in it, [`keep`](Self::keep) is to
    /// be called at the run's end.
    pub(crate) fn handle(&mut self, header: &Header, run: &[u8], at: usize) -> Verdict {
        let verdict = self.compare(header, run, at);
        self.last = Some(header.counter);
        if header.has_payload {
            let payload = header.payload_place();
            (self.place, self.length) = (at + payload, (PACKET - payload) as u8);
        }
        verdict
    }

    /// Whether a packet with this counter and a payload goes on from the last one in the run, with nothing passed over lately.
    pub(crate) fn goes_on(&self, counter: u8) -> bool {
        self.is_lent() && self.passed == 0 && self.last == Some(counter.wrapping_sub(1) & 0x0F)
    }

    /// Takes a full packet that [goes on](Self::goes_on), whose payload begins at `place`.
    pub(crate) fn go_on(&mut self, counter: u8, place: usize) {
        (self.last, self.repeats) = (Some(counter), 0);
        (self.place, self.length) = (place, PAYLOAD as u8);
    }

    /// Whether the last payload is the run's.
    pub(crate) const fn is_lent(&self) -> bool {
        self.place != KEPT
    }

    /// The run ends.
    pub(crate) fn keep(&mut self, run: &[u8]) {
        let length = usize::from(self.length);
        if let Some(payload) = run.get(self.place..).and_then(|rest| rest.get(..length)) {
            self.kept[..length].copy_from_slice(payload);
        }
        self.place = KEPT;
    }

    fn compare(&mut self, header: &Header, run: &[u8], at: usize) -> Verdict {
        let Some(last) = self.last.filter(|_| !header.discontinuity()) else {
            (self.repeats, self.passed) = (0, 0);
            return Verdict::First;
        };
        let step = header.counter.wrapping_sub(last) & 0x0F;
        if !header.has_payload {
            if step != 0 {
                self.repeats = 0;
                return Verdict::Error { missing: step };
            }
            return Verdict::Expected;
        }
        if step != 0 {
            self.repeats = 0;
            let late = self.pass(last, header.counter);
            return match step {
                1 => Verdict::Expected,
                _ if late => Verdict::Late { missing: step - 1 },
                _ => Verdict::Error { missing: step - 1 },
            };
        }
        if &run[at + header.payload_place()..at + PACKET] != self.payload(run) {
            // Sixteen packets lost, or none: nothing says that any is missing.
            return Verdict::Error { missing: 0 };
        }
        self.repeats = self.repeats.saturating_add(1);
        match self.repeats {
            1 => Verdict::LegalDuplicate,
            _ => Verdict::ExcessDuplicate,
        }
    }

    /// The last payload.
    fn payload<'a>(&'a self, run: &'a [u8]) -> &'a [u8] {
        let lent = run.get(self.place..);
        &lent.unwrap_or(&self.kept)[..usize::from(self.length)]
    }

    /// Notes what a step of the counter passes over; whether it goes to what was passed over before.
    fn pass(&mut self, last: u8, counter: u8) -> bool {
        let bit = |counter: u8| 1u16 << (counter & 0x0F);
        let late = self.passed & bit(counter) != 0;
        // What is half a turn away is another packet by now.
        self.passed &= !(bit(counter) | bit(counter.wrapping_add(8)));
        let step = counter.wrapping_sub(last) & 0x0F;
        if !late && (2..8).contains(&step) {
            for missed in 1..step {
                self.passed |= bit(last.wrapping_add(missed));
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::build;
    use alloc::vec::Vec;

    /// What packets are found to be, in runs of so many of them.
    fn found(packets: &[[u8; PACKET]], run: usize) -> Vec<Verdict> {
        let mut state = Continuity::new();
        let mut found = Vec::new();
        for run in packets.chunks(run) {
            let run = run.concat();
            for at in (0..run.len()).step_by(PACKET) {
                let header = Header::parse(run[at..].first_chunk().unwrap());
                found.push(state.handle(&header, &run, at));
            }
            state.keep(&run);
        }
        found
    }

    fn check(packets: &[[u8; PACKET]], expected: &[Verdict]) {
        for run in 1..=packets.len() {
            assert_eq!(found(packets, run), expected, "runs of {run}");
        }
    }

    fn data(counter: u8, byte: u8) -> [u8; PACKET] {
        build::packet(0x100, counter, false, &[byte; 184])
    }

    fn bare(counter: u8) -> [u8; PACKET] {
        build::packet(0x100, counter, false, &[])
    }

    use Verdict::{Error, ExcessDuplicate, Expected, First, Late, LegalDuplicate};

    #[test]
    fn the_counter_moves_by_one_with_each_payload() {
        check(&[data(14, 1), data(15, 2), data(0, 3)], &[First, Expected, Expected]);
        check(&[data(3, 1), data(6, 2), data(7, 3)], &[First, Error { missing: 2 }, Expected]);
        check(&[data(3, 1), data(2, 2)], &[First, Error { missing: 14 }]);
    }

    #[test]
    fn a_packet_that_was_passed_over_just_before_comes_late() {
        check(
            &[data(3, 1), data(5, 2), data(4, 3), data(6, 4), data(7, 5)],
            &[First, Error { missing: 1 }, Late { missing: 14 }, Error { missing: 1 }, Expected],
        );
        // A turn of the counter later it is another packet.
        let mut packets = alloc::vec![data(3, 0), data(5, 1)];
        packets.extend((6..19).map(|i| data(i, i)));
        packets.push(data(4, 99));
        let mut expected = alloc::vec![First, Error { missing: 1 }];
        expected.extend([Expected; 13]);
        expected.push(Error { missing: 1 });
        check(&packets, &expected);
    }

    #[test]
    fn a_packet_without_payload_leaves_the_counter() {
        check(&[data(3, 1), bare(3), data(4, 2)], &[First, Expected, Expected]);
        check(&[data(3, 1), bare(4), data(5, 2)], &[First, Error { missing: 1 }, Expected]);
        check(&[bare(3), bare(3), data(4, 2)], &[First, Expected, Expected]);
    }

    #[test]
    fn a_duplicate_is_legal_once() {
        check(
            &[data(3, 1), data(3, 1), data(3, 1), data(4, 2), data(4, 2)],
            &[First, LegalDuplicate, ExcessDuplicate, Expected, LegalDuplicate],
        );
        check(
            &[data(3, 1), data(3, 2), data(3, 2), data(3, 3), data(3, 3), data(4, 1)],
            &[
                First,
                Error { missing: 0 },
                LegalDuplicate,
                Error { missing: 0 },
                ExcessDuplicate,
                Expected,
            ],
        );
    }

    #[test]
    fn a_duplicate_may_have_another_clock() {
        let mut first = build::with_flags(0x100, 3, false, 0x10, &[9; 100]);
        let mut second = first;
        (first[11], second[11]) = (1, 2);
        check(&[first, second], &[First, LegalDuplicate]);
    }

    #[test]
    fn the_discontinuity_indicator_excuses_its_packet_alone() {
        let marked = build::with_flags(0x100, 9, false, 0x80, &[1; 100]);
        check(&[data(3, 1), marked, data(10, 2)], &[First, First, Expected]);
        check(&[data(3, 1), marked, data(12, 2)], &[First, First, Error { missing: 2 }]);
    }

    #[test]
    fn a_damaged_packet_is_compared_and_updates_the_state() {
        let mut damaged = data(6, 2);
        damaged[1] |= 0x80;
        check(&[data(3, 1), damaged, data(7, 3)], &[First, Error { missing: 2 }, Expected]);
    }
}
