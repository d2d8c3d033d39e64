//! Real captures, with figures that other tools took from the same bytes. They are not part of the project: where they are absent
//! nothing is compared, and the tests say so.

#![expect(clippy::panic, reason = "a folder of captures has them all")]

use std::{collections::BTreeMap, fs, time::Duration};

use tallylight_mux::captures;
use tallylight_ts::{AnalyserConfig, FindingKind};

mod reading;

use reading::Reading;

fn sample(name: &str) -> Option<Vec<u8>> {
    let path = captures::folder(name)?.join(name);
    Some(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn read(name: &str) -> Option<Reading> {
    sample(name).map(|bytes| Reading::of(&bytes, AnalyserConfig::default()))
}

/// The checks of priority 1 and 2 that were raised.
fn serious(reading: &Reading) -> Vec<&'static str> {
    let raised = reading.checks.iter().filter(|check| check.tally.count > 0);
    raised
        .map(|check| check.indicator.number())
        .filter(|number| !number.starts_with("3."))
        .collect()
}

#[test]
fn losses_are_counted_as_other_tools_count_them() {
    let Some(reading) = read("tsduck-test-059.2.ts") else { return };
    assert_eq!((reading.totals.packets, reading.pids.len()), (7970, 10));
    let errors: BTreeMap<u16, u64> = reading
        .pids
        .iter()
        .filter(|pid| pid.counters.continuity_errors > 0)
        .map(|pid| (pid.pid.get(), pid.counters.continuity_errors))
        .collect();
    let expected = [(0x1A4, 11), (0x1AE, 10), (0x1AF, 9), (0x1B0, 9), (0x1B8, 3), (0x1B9, 1)];
    assert_eq!(errors, expected.into());
    assert_eq!(reading.totals.continuity_errors, 43);
    assert_eq!(reading.totals.missing_packets, 51);
    assert_eq!((reading.totals.transport_errors, reading.totals.scrambled_packets), (0, 0));
    let gaps: Vec<_> = reading
        .findings
        .iter()
        .filter_map(|finding| match finding.kind {
            FindingKind::PcrGap { gap } => {
                Some((finding.pid.map(|pid| pid.get()), gap.as_micros() / 100))
            }
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [(Some(0x1A4), 18_205)]);
    assert_eq!(serious(&reading), ["1.4", "2.3", "2.3.a", "2.3.b"]);
}

#[test]
fn repeats_are_told_apart() {
    let Some(reading) = read("tsduck-test-049.ts") else { return };
    assert_eq!((reading.totals.packets, reading.pids.len()), (350, 1));
    let counters = reading.pids[0].counters;
    assert_eq!(counters.legal_duplicates + counters.excess_duplicates, 307);
    assert_eq!(counters.legal_duplicates, 1);
    assert_eq!(counters.continuity_errors, 42);
}

#[test]
fn a_clock_is_late_only_against_a_tighter_limit() {
    let Some(bytes) = sample("tsduck-test-025.ts") else { return };
    let reading = Reading::of(&bytes, AnalyserConfig::default());
    assert_eq!((reading.totals.packets, reading.pids.len()), (9751, 6));
    assert_eq!(reading.totals.continuity_errors, 0);
    assert_eq!(reading.findings, []);
    assert_eq!(reading.faults(), []);
    assert_eq!(serious(&reading), [""; 0]);

    let mut config = AnalyserConfig::default();
    config.profile.limits.pcr = Duration::from_millis(40);
    let gaps: Vec<_> = Reading::of(&bytes, config)
        .findings
        .iter()
        .filter_map(|finding| match finding.kind {
            FindingKind::PcrGap { gap } => Some(gap.as_micros() / 100),
            _ => None,
        })
        .collect();
    assert_eq!(gaps.iter().max(), Some(&463));
}

#[test]
fn a_clean_multiplex_of_many_programs_is_clean() {
    let Some(reading) = read("tsduck-test-108.ts") else { return };
    assert_eq!((reading.totals.packets, reading.services.len()), (20_000, 8));
    assert_eq!(reading.pids.iter().filter(|pid| pid.counters.pcrs > 0).count(), 9);
    assert_eq!(reading.findings, []);
    assert_eq!(reading.faults(), []);
    assert_eq!(serious(&reading), [""; 0]);
    assert_eq!(reading.units.iter().filter(|unit| unit.damaged).count(), 0);
}
