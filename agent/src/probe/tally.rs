//! What an episode of events adds up to: its evidence says how much was lost, not what its first event lost.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tallylight_model::MonoTime;
use tallylight_ts::FindingKind;

use crate::input::rtp::{Fec, FecDirection, RtpCounts};

/// For so long a packet that came late makes up for one that is given up.
const MADE_UP: Duration = Duration::from_secs(1);

/// The events of one fault so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    errors: u64,
    missing: u64,
    excess: u64,
    damaged: u64,
    between: u64,
    lost: u64,
}

impl Tally {
    /// Counts one finding.
    pub(super) fn add(&mut self, kind: FindingKind) {
        match kind {
            FindingKind::Continuity { missing } => {
                self.errors += 1;
                self.missing += u64::from(missing);
            }
            FindingKind::BoundaryContinuity { missing } => self.between += u64::from(missing),
            FindingKind::ExcessDuplicate => self.excess += 1,
            FindingKind::TransportError => self.damaged += 1,
            _ => {}
        }
    }

    /// Counts RTP packets that were lost.
    pub(super) fn lose(&mut self, packets: u64) {
        self.lost = self.lost.saturating_add(packets);
    }

    /// Says what it comes to.
    pub(super) fn evidence(&self) -> String {
        let parts = [
            (self.errors, "continuity error", "continuity errors", ""),
            (self.missing, "packet", "packets", " missing by the counter"),
            (self.excess, "packet", "packets", " beyond a legal duplicate"),
            (self.damaged, "packet", "packets", " with the transport error indicator"),
            (self.lost, "RTP packet", "RTP packets", " lost on the way"),
            (self.between, "packet", "packets", " missing between two segments"),
        ];
        let told: Vec<String> = (parts.into_iter().filter(|(count, ..)| *count > 0))
            .map(|(count, one, more, what)| {
                format!("{count} {}{what}", if count == 1 { one } else { more })
            })
            .collect();
        told.join(", ")
    }
}

/// Which RTP packets never come. One that comes after it was given up is late and not lost: where a way delays some by more than is
/// waited for, as many are given up as come late, and nothing of it is gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gone {
    /// When the last came late, and how many did for which no other was given up since.
    late: Option<(MonoTime, u64)>,
}

impl Gone {
    /// Takes what became of packets, and returns how many of them are gone.
    pub(super) fn count(&mut self, at: MonoTime, counts: RtpCounts) -> u64 {
        let late = self.late.filter(|(last, _)| at.since(*last) <= MADE_UP);
        let made_up = late.map_or(0, |(_, packets)| packets);
        let left = made_up.saturating_sub(counts.lost).saturating_add(counts.late);
        let last = if counts.late > 0 { Some(at) } else { late.map(|(last, _)| last) };
        self.late = last.map(|last| (last, left));
        counts.lost.saturating_sub(made_up)
    }
}

/// What is lost is held against what can be repaired over so long, the longest that senders gather packets for; in steps.
const GATHERED: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(100);
/// Error correction that was not seen for so long is over.
const OVER: Duration = Duration::from_secs(5);
/// By then most PIDs have shown what a lost packet took of them.
const SHOWN: Duration = Duration::from_secs(1);

/// Forward error correction beside a stream (SMPTE ST 2022-1), which restores one of the packets that each of its packets covers. Nothing
/// is repaired here; but what it can have repaired no viewer misses.
#[derive(Debug, Default)]
pub(super) struct Correction {
    seen: BTreeMap<FecDirection, (Fec, MonoTime)>,
    /// Packets that came of late, and that are gone.
    late: VecDeque<(MonoTime, u64, u64)>,
    /// When something was lost last that it can have repaired.
    repaired: Option<MonoTime>,
}

impl Correction {
    /// Notes that it came; true where there was none.
    pub(super) fn see(&mut self, at: MonoTime, fec: Fec) -> bool {
        let first = !self.lasts(at);
        self.seen.insert(fec.direction, (fec, at));
        first
    }

    fn lasts(&self, at: MonoTime) -> bool {
        self.seen.values().any(|(_, seen)| at.since(*seen) <= OVER)
    }

    /// Takes what became of packets, of which so many are gone; true if they can have been repaired.
    pub(super) fn repairs(&mut self, at: MonoTime, came: u64, gone: u64) -> bool {
        match self.late.back_mut() {
            Some((step, packets, lost)) if at.since(*step) < STEP => {
                (*packets, *lost) = (*packets + came, *lost + gone);
            }
            _ => self.late.push_back((at, came, gone)),
        }
        while self.late.front().is_some_and(|(step, ..)| at.since(*step) > GATHERED) {
            self.late.pop_front();
        }
        let sum = |(packets, all_gone), (_, came, gone): &(_, u64, u64)| {
            (packets + came + gone, all_gone + gone)
        };
        let (packets, all_gone) = self.late.iter().fold((0, 0), sum);
        let lasting = self.seen.values().filter(|(_, seen)| at.since(*seen) <= OVER);
        // A column's packets are apart: of a burst each column restores one.
        let repairable = lasting
            .map(|(fec, _)| u64::from(fec.offset).max(packets / u64::from(fec.packets.max(1))));
        let repaired = gone > 0 && all_gone <= repairable.sum();
        if gone > 0 {
            self.repaired = repaired.then_some(at);
        }
        repaired
    }

    /// Whether what is missing here may be what was repaired.
    pub(super) fn explains(&self, at: MonoTime) -> bool {
        self.repaired.is_some_and(|lost| at.since(lost) <= SHOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_come_late_second_after_second_are_not_gone() {
        let (lost, late) = (
            |lost| RtpCounts { lost, ..RtpCounts::default() },
            |late| RtpCounts { late, ..RtpCounts::default() },
        );
        let at = |millis| MonoTime::ZERO + Duration::from_millis(millis);
        let mut gone = Gone::default();
        let mut count = |millis, counts| gone.count(at(millis), counts);
        assert_eq!(count(0, lost(3)), 3, "nobody knows yet");
        let later = (1..50).map(|n| count(n * 100, late(3)) + count(n * 100 + 50, lost(3)));
        assert_eq!(later.sum::<u64>(), 0);
        assert_eq!(count(5_000, lost(2)), 2, "that is more than came late");
        assert_eq!(count(5_050, late(3)), 0);
        assert_eq!(count(6_100, lost(3)), 3, "that is long ago");
    }

    #[test]
    fn no_more_is_repaired_than_there_is_correction_for() {
        let at = |millis| MonoTime::ZERO + Duration::from_millis(millis);
        let fec = Fec { direction: FecDirection::Column, offset: 5, packets: 20 };
        let mut correction = Correction::default();
        assert!(!correction.repairs(at(0), 100, 1) && !correction.explains(at(0)));
        assert!(correction.see(at(100), fec) && !correction.see(at(200), fec));
        // One in forty, over ten seconds.
        for n in 0..100u64 {
            correction.see(at(3_000 + n * 100), fec);
            assert!(correction.repairs(at(3_000 + n * 100), 39, 1), "{n}");
        }
        assert!(correction.explains(at(13_900)) && !correction.explains(at(14_000)));
        // A burst as long as a row, and a longer one.
        assert!(!correction.repairs(at(20_000), 10, 0) && correction.lasts(at(17_900)));
        correction.see(at(20_000), fec);
        assert!(correction.repairs(at(20_100), 10, 5));
        assert!(!correction.repairs(at(20_200), 10, 1) && !correction.explains(at(20_200)));
        // One in ten is too much for it.
        let all: Vec<_> = (0..40).map(|n| correction.repairs(at(23_000 + n * 100), 9, 1)).collect();
        assert!(!all[39] && all.iter().filter(|it| **it).count() <= 10, "{all:?}");
        // It is over.
        assert!(!correction.repairs(at(30_000), 99, 1));
    }

    #[test]
    fn evidence_is_the_sum_in_plain_words() {
        let lost = |missing| FindingKind::Continuity { missing };
        let cases: [(&[FindingKind], &str); 4] = [
            (&[lost(1)], "1 continuity error, 1 packet missing by the counter"),
            (&[lost(2), lost(3)], "2 continuity errors, 5 packets missing by the counter"),
            (&[lost(0)], "1 continuity error"),
            (
                &[lost(7), FindingKind::ExcessDuplicate, FindingKind::ExcessDuplicate],
                "1 continuity error, 7 packets missing by the counter, 2 packets beyond a legal duplicate",
            ),
        ];
        for (findings, expected) in cases {
            let mut tally = Tally::default();
            findings.iter().for_each(|finding| tally.add(*finding));
            assert_eq!(tally.evidence(), expected);
        }
    }
}
