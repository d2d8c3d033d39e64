//! What an episode of events adds up to: its evidence says how much was lost, not what its first event lost.

use tallylight_ts::FindingKind;

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

#[cfg(test)]
mod tests {
    use super::*;

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
