//! Clocks that stop while the rest goes on: each pause counts once, as soon as it is sure, and until the clock is back.

#![expect(clippy::unwrap_used, reason = "a test stops where its stream is wrong")]

use std::{ops::Range, time::Duration};

use tallylight_model::MonoTime;
use tallylight_mux::{
    Mux, clock_field, pat,
    plan::{FRAME, Plan, picture, sound},
    pmt,
};
use tallylight_ts::{
    Analyser, AnalyserConfig, Check, CheckClock, CheckReport, Event, FindingKind, Indicator,
};

mod reading;

use reading::Reading;

const NO_CLOCK: u16 = 0x1FFF;
const SECOND: usize = 25 * FRAME * 188;

fn plan(clock: u16) -> Plan {
    let components: [(u8, u16, &[u8]); 2] = [(0x1B, 0x100, &[]), (0x0F, 0x101, &[])];
    Plan {
        tables: vec![(0, pat(0, &[(1, 0x20)])), (0x20, pmt(1, 0, clock, &components))],
        clock: 0x100,
        units: vec![(0x100, 0xE0, picture()), (0x101, 0xC0, sound())],
    }
}

/// Twelve seconds whose clock on a PID is taken out between these seconds.
fn without(plan: &Plan, pid: u16, away: &[Range<f64>]) -> Vec<u8> {
    let mut mux = Mux::default();
    mux.play(plan, 300);
    for (i, packet) in mux.bytes.chunks_mut(188).enumerate() {
        let at = (i / FRAME) as f64 / 25.0;
        let clock = packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x10 != 0;
        let its_own = [packet[1] & 0x1F, packet[2]] == pid.to_be_bytes();
        if clock && its_own && away.iter().any(|away| away.contains(&at)) {
            packet[5] &= !0x10;
        }
    }
    mux.bytes
}

fn read(bytes: &[u8]) -> Reading {
    let whole = Reading::of(bytes, AnalyserConfig::default());
    assert_eq!(whole, Reading::in_chunks(bytes, AnalyserConfig::default(), &[1, 777, 188]));
    whole
}

/// How often 2.3, 2.3.a and 2.3.b were raised.
fn counts(checks: &[CheckReport]) -> [u64; 3] {
    [Indicator::Pcr, Indicator::PcrRepetition, Indicator::PcrDiscontinuity]
        .map(|indicator| checks.iter().find(|c| c.indicator == indicator).unwrap().tally.count)
}

/// Begins (true) and ends of the condition with since when, and when it was told, in milliseconds of media time.
fn told(reading: &Reading) -> Vec<(bool, u128, u128)> {
    let clocks = reading.conditions.iter().filter(|c| c.check == Check::PcrMissing);
    let ms = |media: Option<Duration>| media.unwrap().as_millis();
    clocks.map(|c| (c.holds, ms(c.since.media), ms(c.position.media))).collect()
}

fn gaps(reading: &Reading) -> usize {
    reading.findings.iter().filter(|f| matches!(f.kind, FindingKind::PcrGap { .. })).count()
}

#[test]
fn a_clock_that_never_returns_is_missed_at_once_and_to_the_end() {
    let reading = read(&without(&plan(0x100), 0x100, &[3.0..99.0]));
    let [(true, 2_960, at)] = told(&reading)[..] else { panic!("{:?}", told(&reading)) };
    assert!((3_560..3_850).contains(&at), "{at}");
    assert_eq!((counts(&reading.checks), gaps(&reading)), ([1, 1, 0], 0));
    let check = reading.checks.iter().find(|c| c.indicator == Indicator::PcrRepetition).unwrap();
    assert!(check.tally.holds);
    assert!((8_800..9_100).contains(&check.tally.held.as_millis()), "{:?}", check.tally);
}

#[test]
fn each_pause_counts_once_be_it_short_or_long() {
    let reading = read(&without(&plan(0x100), 0x100, &[3.0..6.0, 8.0..8.4, 9.0..10.0]));
    let [(true, 2_960, _), (false, 2_960, 6_000), (true, 8_960, _), (false, 8_960, 10_000)] =
        told(&reading)[..]
    else {
        panic!("{:?}", told(&reading))
    };
    assert_eq!((counts(&reading.checks), gaps(&reading)), ([3, 3, 3], 1));
    let clean = read(&without(&plan(0x100), 0x100, &[]));
    assert_eq!((told(&clean), counts(&clean.checks)), (vec![], [0, 0, 0]));
    assert_eq!(clean.faults(), []);
}

#[test]
fn a_clock_that_is_announced_to_be_another_one_is_no_error() {
    for (ahead, unmarked) in [(2 * 27_000_000, [1, 1, 1]), (1 << 40, [1, 0, 1])] {
        for (mark, expected) in [(true, [0, 0, 0]), (false, unmarked)] {
            let mut bytes = without(&plan(0x100), 0x100, &[]);
            let mut mark = mark;
            for packet in bytes[5 * SECOND..].chunks_mut(188) {
                if packet[3] & 0x20 != 0 && packet[4] > 6 && packet[5] & 0x10 != 0 {
                    let ticks = u64::from_be_bytes([
                        0, 0, packet[6], packet[7], packet[8], packet[9], packet[10], packet[11],
                    ]);
                    let ticks = (ticks >> 15) * 300 + (ticks & 0x1FF) + ahead;
                    packet[6..12].copy_from_slice(&clock_field(ticks));
                    packet[5] |= u8::from(core::mem::take(&mut mark)) << 7;
                }
            }
            assert_eq!(counts(&read(&bytes).checks), expected, "{ahead}");
        }
    }
}

#[test]
fn programs_that_share_a_clock_miss_it_once_and_others_do_not() {
    let mut shared = plan(0x100);
    let of = |program, clock| {
        let base = 0x100 * program;
        let components: [(u8, u16, &[u8]); 2] = [(0x1B, base, &[]), (0x0F, base + 1, &[])];
        pmt(program, 0, clock, &components)
    };
    shared.tables =
        vec![(0, pat(0, &[(1, 0x20), (2, 0x21)])), (0x20, of(1, 0x100)), (0x21, of(2, 0x100))];
    shared.units.extend([(0x200, 0xE0, picture()), (0x201, 0xC0, sound())]);
    let reading = read(&without(&shared, 0x100, &[3.0..6.0]));
    assert_eq!((told(&reading).len(), counts(&reading.checks)), (2, [1, 1, 1]));
}

#[test]
fn nothing_is_missed_without_a_clock_nor_before_it_began() {
    for (clock, away) in [(NO_CLOCK, 0.0..99.0), (0x100, 0.0..99.0), (0x100, 0.0..5.0)] {
        let reading = read(&without(&plan(clock), 0x100, &[away]));
        assert_eq!((told(&reading), counts(&reading.checks)), (vec![], [0, 0, 0]));
    }
}

#[test]
fn a_clock_that_moves_to_where_none_is_stays_out() {
    let mut mux = Mux::default();
    mux.play(&plan(0x100), 50);
    mux.play(&plan(0x102), 100);
    assert_eq!(counts(&read(&mux.bytes).checks), [1, 1, 0]);
    mux.play(&plan(NO_CLOCK), 2);
    let reading = read(&mux.bytes);
    assert_eq!((told(&reading).len(), counts(&reading.checks)), (2, [1, 1, 0]));
}

#[test]
fn segments_and_outages_are_no_stopped_clock() {
    // Half a second before and after each second: together a pause that is told while it lasts.
    let away: Vec<_> = (1..12).map(|at| f64::from(at) - 0.48..f64::from(at) + 0.44).collect();
    let bytes = without(&plan(0x100), 0x100, &away);
    let pieces = |between: fn(&mut Analyser)| {
        let mut analyser = Analyser::new(AnalyserConfig::default());
        for piece in bytes.chunks(SECOND) {
            analyser.push(MonoTime::ZERO, piece);
            between(&mut analyser);
        }
        counts(&analyser.checks().collect::<Vec<_>>())
    };
    assert_eq!(pieces(Analyser::boundary), [0; 3]);
    assert_eq!(pieces(Analyser::discontinuity), [0; 3]);
    assert_eq!(pieces(Analyser::unobserved), [0; 3]);
    assert_eq!(pieces(|_| {}), [11; 3]);

    // Nothing at all comes for four seconds of a recording, which says so itself, or of a live stream.
    let whole = without(&plan(0x100), 0x100, &[]);
    let outage = [&whole[..3 * SECOND], &whole[7 * SECOND..]].concat();
    let reading = read(&outage);
    assert_eq!((told(&reading), gaps(&reading)), (vec![], 1));
    let config = AnalyserConfig { clock: CheckClock::Arrival, ..AnalyserConfig::default() };
    let mut analyser = Analyser::new(config);
    for (i, frame) in whole.chunks(FRAME * 188).enumerate() {
        let pause = if i < 150 { 0 } else { 60_000 };
        analyser.push(MonoTime::ZERO + Duration::from_millis(40 * i as u64 + pause), frame);
    }
    assert_eq!(counts(&analyser.checks().collect::<Vec<_>>()), [0; 3]);
}

#[test]
fn a_live_clock_is_missed_by_arrival() {
    let config = AnalyserConfig { clock: CheckClock::Arrival, ..AnalyserConfig::default() };
    let mut analyser = Analyser::new(config);
    let mut begun = Vec::new();
    let bytes = without(&plan(0x100), 0x100, &[3.0..99.0]);
    for (i, frame) in bytes.chunks(FRAME * 188).enumerate() {
        analyser.push(MonoTime::ZERO + Duration::from_millis(40 * i as u64), frame);
        begun.extend(std::iter::from_fn(|| analyser.poll()).filter_map(|event| match event {
            Event::Condition(c) if c.check == Check::PcrMissing => Some((c.holds, i)),
            _ => None,
        }));
    }
    let [(true, frame)] = begun[..] else { panic!("{begun:?}") };
    assert!((89..=91).contains(&frame), "{frame}");
    assert_eq!(counts(&analyser.checks().collect::<Vec<_>>()), [1, 1, 0]);
}

#[test]
fn time_begins_with_the_first_clock_wherever_the_tables_come() {
    let whole = without(&plan(0x100), 0x100, &[]);
    // The tables come in every second frame.
    let (tables, late) = (&whole[..2 * 188], &whole[FRAME * 188..]);
    let end = |bytes: &[u8]| {
        let mut analyser = Analyser::new(AnalyserConfig::default());
        analyser.push(MonoTime::ZERO, bytes);
        analyser.position().media
    };
    assert!(end(late).is_some());
    assert_eq!(end(late), end(&[tables, late].concat()));
}

#[test]
fn what_one_clock_moves_does_not_grow_with_the_programs_that_have_it() {
    const PACKET: u64 = 5_076;
    let mean_packets = |programs: u16| {
        let mut mux = Mux::default();
        let listed: Vec<_> = (1..=programs).map(|number| (number, 0x20 + number)).collect();
        mux.section(0, &pat(0, &listed));
        for &(number, pid) in &listed {
            mux.section(pid, &pmt(number, 0, 0x1F00, &[(0x1B, 0x400 + number, &[])]));
        }
        (0..4000).for_each(|i| mux.clock(0x1F00, i * PACKET));
        let mut analyser = Analyser::new(AnalyserConfig::default());
        analyser.push(MonoTime::ZERO, &mux.bytes);
        let clocks: Vec<_> = analyser.clocks().filter_map(|clock| clock.interval).collect();
        assert_eq!(clocks.len(), usize::from(programs));
        assert!(clocks.iter().all(|interval| interval.mean == clocks[0].mean));
        let pid = analyser.pids().into_iter().find(|state| state.pid.get() == 0x1F00).unwrap();
        assert_eq!(pid.counters.pcrs, 4000);
        clocks[0].mean.as_micros() as u64 * 27 / PACKET
    };
    // How often they move, and how many they are.
    assert_eq!(
        [1, 7, 80, 250].map(|programs| (programs, mean_packets(programs))),
        [(1, 1), (7, 1), (80, 20), (250, 62),]
    );
}
