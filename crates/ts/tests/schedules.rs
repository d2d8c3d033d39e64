//! Event information of other streams, and schedules (TR 101 290, 3.2): sub-tables that come too seldom, and none that come in time or end.

#![expect(clippy::unwrap_used, reason = "a test stops where its stream is wrong")]

use std::time::Duration;

use tallylight_model::MonoTime;
use tallylight_mux::{Mux, pat, plan::Plan, pmt, section};
use tallylight_ts::{
    Analyser, AnalyserConfig, CheckClock, CheckProfile, Event, Finding, FindingKind, Indicator,
};

const EIT: u16 = 0x12;

/// A section of a service's schedule, with the last table id of its kind, and when it is sent, in seconds.
type Sent<'a> = (u8, u16, u8, &'a [f64]);

/// How often 3.2 was raised in so many seconds, and for how many milliseconds.
fn raised(seconds: u64, sent: &[Sent<'_>]) -> (u64, u128) {
    let tables = vec![(0, pat(0, &[(1, 0x20)])), (0x20, pmt(1, 0, 0x1FFF, &[]))];
    let plan = Plan { tables, clock: 0x1FFE, units: vec![] };
    let mut analyser = Analyser::new(AnalyserConfig {
        clock: CheckClock::Arrival,
        profile: CheckProfile::BROADCAST,
        ..AnalyserConfig::default()
    });
    let mut mux = Mux::default();
    for frame in 0..seconds * 5 {
        mux.bytes.clear();
        for (table, service, last, times) in sent {
            if times.iter().any(|at| (at * 5.0).round() as u64 == frame) {
                let body = [0, 1, 0, 1, 0, *last];
                mux.section(EIT, &section(*table, *service, 0, &body));
            }
        }
        mux.play(&plan, 1);
        analyser.push(MonoTime::ZERO + Duration::from_millis(frame * 200), &mux.bytes);
    }
    let check = analyser.checks().find(|check| check.indicator == Indicator::SiRepetition).unwrap();
    (check.tally.count, check.tally.held.as_millis())
}

#[test]
fn each_sub_table_has_the_limit_of_its_kind() {
    let limits =
        [(0x4F, 20.0), (0x50, 10.0), (0x51, 30.0), (0x5F, 30.0), (0x60, 60.0), (0x61, 300.0)];
    for (table, limit) in limits {
        let seconds = limit as u64 + 4;
        assert_eq!(
            raised(seconds, &[(table, 1, table, &[1.0, limit + 0.8])]),
            (0, 0),
            "{table:#x}"
        );
        let (count, held) = raised(seconds, &[(table, 1, table, &[1.0, limit + 1.6])]);
        let expected = Duration::from_secs_f64(limit + 0.6).as_millis();
        assert_eq!((count, held.abs_diff(expected) <= 100), (1, true), "{table:#x}: {held}");
    }
    // One sub-table does not stand for another, of another service.
    assert_eq!(raised(16, &[(0x50, 1, 0x50, &[1.0]), (0x50, 2, 0x50, &[1.0, 8.0])]).0, 1);
}

#[test]
fn a_table_beyond_the_last_one_has_ended() {
    let often: Vec<f64> = (0..12).map(|i| f64::from(i) * 5.0).collect();
    let (before, after) = often.split_at(4);
    let before = [(0x50, 1, 0x51, before), (0x51, 1, 0x51, &[2.0, 22.0][..])];
    let ended = [&before[..], &[(0x50, 1, 0x50, after)]].concat();
    assert_eq!(raised(59, &ended).0, 0);
    let goes_on = [&before[..], &[(0x50, 1, 0x51, after)]].concat();
    assert_eq!(raised(59, &goes_on).0, 1);
}

#[test]
fn a_multitude_of_schedules_is_bounded() {
    let services: Vec<Sent<'_>> = (0..600).map(|i| (0x50, i, 0x50, &[1.0][..])).collect();
    assert_eq!(raised(14, &services).0, 512);
}

#[test]
fn a_multitude_of_sub_tables_hides_none_that_comes_too_densely() {
    let pat = pat(0, &[(1, 0x20)]);
    let mut analyser = Analyser::new(AnalyserConfig {
        clock: CheckClock::Arrival,
        profile: CheckProfile::BROADCAST,
        ..AnalyserConfig::default()
    });
    for i in 0..1200u64 {
        let mut mux = Mux::default();
        mux.section(0, &pat);
        // A service each 10 ms, and the last one twice.
        for _ in 0..if i == 1199 { 2 } else { 1 } {
            mux.section(EIT, &section(0x4E, i as u16, 0, &[0, 1, 0, 1, 0, 0x4E]));
        }
        analyser.push(MonoTime::ZERO + Duration::from_millis(i * 10), &mux.bytes);
    }
    let dense = std::iter::from_fn(|| analyser.poll()).filter(|event| {
        matches!(event, Event::Finding(Finding { kind: FindingKind::SectionsTooDense { .. }, .. }))
    });
    assert_eq!(dense.count(), 1);
}
