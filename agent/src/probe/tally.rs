//! What an episode of events adds up to: its evidence says how much was lost, not what its first event lost.

use std::time::Duration;

use tallylight_model::MonoTime;
use tallylight_ts::FindingKind;

use crate::input::rtp::RtpCounts;

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
