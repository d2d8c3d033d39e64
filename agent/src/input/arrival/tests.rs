use proptest::prelude::*;

use super::*;

const DATAGRAM: usize = 7 * PACKET;

/// Transport packets of one datagram; the first one carries a PCR if there is one.
fn datagram(pcr: Option<u64>) -> Vec<u8> {
    let mut packets = [[0x47, 0x01, 0x00, 0x10].as_slice(), &[0xFF; PACKET - 4]].concat().repeat(7);
    if let Some(ticks) = pcr {
        let field = ((ticks / 300 % (1 << 33)) << 15) | 0x7E00 | (ticks % 300);
        packets[3..6].copy_from_slice(&[0x30, 7, 0x10]);
        packets[6..12].copy_from_slice(&field.to_be_bytes()[2..]);
    }
    packets
}

fn at(micros: u64) -> MonoTime {
    MonoTime::ZERO + Duration::from_secs(100) + Duration::from_micros(micros)
}

/// So many datagrams, each with the media time in microseconds that it is due at; every fourth carries a PCR. `arrival` says when
/// the one of that number arrives, in microseconds too.
fn measure(count: u64, period: u64, arrival: impl Fn(u64) -> u64) -> Vec<Arrival> {
    let mut meter = ArrivalMeter::default();
    (0..count)
        .filter_map(|n| {
            let pcr = (n % 4 == 0).then_some(1_000_000 + n * period * 27);
            meter.handle(at(arrival(n)), &datagram(pcr))
        })
        .collect()
}

fn near(found: Option<Duration>, micros: u64) {
    let found = found.expect("it was measured");
    let off = found.abs_diff(Duration::from_micros(micros));
    assert!(off < Duration::from_micros(3), "{found:?} instead of {micros} us");
}

/// RFC 4445, 3.1: a stream of 3.75 Mb/s that comes evenly, seven packets every 2.8 ms, has a delay factor of 2.8 ms.
#[test]
fn an_even_stream_has_the_delay_factor_of_one_datagram() {
    let period = DATAGRAM as u64 * 8 * 1_000_000 / 3_750_000;
    let accounts = measure(2_000, period, |n| n * period);
    assert_eq!(accounts.len(), 5);
    for account in accounts {
        near(account.delay_factor, 2_807);
        near(account.pcr_jitter, 0);
        assert_eq!(account.gaps.counts[2], account.gaps.count());
        assert_eq!((account.pcr_drift_ppb, account.rtp_jitter), (None, None));
    }
}

#[test]
fn what_a_buffer_must_hold_is_computed_as_by_hand() {
    const PERIOD: u64 = 10_000;
    // Datagrams 50 to 59 come together when the last of them is due: the buffer runs down for the 100 ms since the 49th.
    let late = |n| if (50..60).contains(&n) { 59 * PERIOD } else { n * PERIOD };
    near(measure(150, PERIOD, late)[0].delay_factor, 100_000);
    // They come when the first is due: nine are too early, and the one that is due runs down before.
    let early = |n| if (50..60).contains(&n) { 50 * PERIOD } else { n * PERIOD };
    near(measure(150, PERIOD, early)[0].delay_factor, 100_000);
    // All of it comes in bursts of five: five periods are drained before each.
    near(measure(150, PERIOD, |n| n / 5 * 5 * PERIOD)[0].delay_factor, 50_000);
    // It comes at nine tenths of its rate. A second and the datagram before it take 101 x 10/9 periods and bring 101.
    let slow = measure(400, 9_000, |n| n * PERIOD);
    let account = slow[1].delay_factor.unwrap();
    assert!(account.abs_diff(Duration::from_millis(110)) < Duration::from_millis(3), "{account:?}");
    // Nothing comes for 3 s although the sender's clock goes on, and none of it is ever made up for.
    let gap = |n: u64| n * PERIOD + if n >= 150 { 3_000_000 } else { 0 };
    let mut meter = ArrivalMeter::default();
    let accounts: Vec<Arrival> = (0..400)
        .filter_map(|n| meter.handle(at(gap(n)), &datagram((n % 4 == 0).then_some(gap(n) * 27))))
        .collect();
    let worst = accounts.iter().filter_map(|account| account.delay_factor).max().unwrap();
    assert!(worst > Duration::from_millis(700), "{worst:?}");
    let longest: u64 = accounts.iter().map(|account| account.gaps.counts[10]).sum();
    assert_eq!(longest, 1);
}

#[test]
fn gaps_are_told_apart_by_size_and_add_up() {
    let mut meter = ArrivalMeter::default();
    let gaps = [100, 101, 1_000, 5_000, 5_001, 600_000, 1_000_000, 1_000_001, 1];
    let (mut now, mut counted) = (0, Gaps::default());
    let none = meter.handle(at(now), &[]);
    for gap in gaps {
        now += gap;
        if let Some(account) = meter.handle(at(now), &[]) {
            counted.add(&account.gaps);
        }
    }
    counted.add(&meter.gaps);
    assert_eq!(none, None);
    assert_eq!(counted.counts, [2, 2, 1, 1, 0, 0, 0, 0, 0, 2, 1]);
    assert_eq!(counted.sum, Duration::from_micros(gaps.iter().sum()));
}

#[test]
fn jitter_is_the_spread_of_the_clock_and_drift_its_slope() {
    // Every other PCR is 3 ms late.
    let swing = measure(150, 10_000, |n| n * 10_000 + if n / 4 % 2 == 0 { 0 } else { 3_000 });
    near(swing[0].pcr_jitter, 3_000);
    // The sender's clock gains 30 us a second, and what it sends is late by up to 1 ms.
    let late = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let arrival = |n: u64| n * 10_000 - n * 10_000 * 30 / 1_000_000 + late(n) % 1_000;
    let drifting = measure(61_000, 10_000, arrival);
    let known = drifting.iter().position(|account| account.pcr_drift_ppb.is_some()).unwrap();
    assert!((295..315).contains(&known), "{known}");
    for account in &drifting[known..] {
        let drift = account.pcr_drift_ppb.unwrap();
        assert!((29_000..31_000).contains(&drift), "{drift}");
    }
    let jitter = drifting[100].pcr_jitter.unwrap();
    assert!((500..1_000).contains(&jitter.as_micros()), "{jitter:?}");
}

#[test]
fn another_clock_and_an_overtaken_datagram_are_no_jitter() {
    let mut meter = ArrivalMeter::default();
    let mut accounts = Vec::new();
    for n in 0..300_u64 {
        // The clock jumps by 40 s in the middle; before that two datagrams are swapped, each with its PCR.
        let sent = match n {
            30 => 31,
            31 => 30,
            n => n,
        };
        let jump = if n >= 150 { 40 * 27_000_000 } else { 0 };
        let pcr = Some(sent * 10_000 * 27 + jump);
        accounts.extend(meter.handle(at(n * 10_000), &datagram(pcr)));
    }
    assert!(accounts.len() >= 2);
    for account in accounts {
        // The one that came before its turn was 10 ms early.
        assert!(account.pcr_jitter.unwrap() <= Duration::from_millis(10), "{account:?}");
    }
}

#[test]
fn a_clock_that_is_held_up_is_jitter_whether_it_catches_up_or_not() {
    for catches_up in [false, true] {
        let mut meter = ArrivalMeter::default();
        // From 2 s on nothing comes for 5 s; what comes then was sent all the while, or is sent from then on.
        let held_up = |n: u64| match n {
            0..200 => n * 10_000,
            _ if catches_up => (n * 10_000).max(7_000_000 + n),
            _ => n * 10_000 + 5_000_000,
        };
        let datagrams = (0..1_200).map(|n| (held_up(n), datagram(Some(n * 10_000 * 27))));
        let accounts = datagrams.filter_map(|(at_us, datagram)| meter.handle(at(at_us), &datagram));
        let jitters: Vec<_> = accounts.map(|account| account.pcr_jitter.unwrap()).collect();
        let long = jitters.iter().filter(|it| **it > Duration::from_millis(4_900));
        assert_eq!(long.count(), 1, "{jitters:?}");
        let short = jitters.iter().filter(|it| **it < Duration::from_millis(10));
        assert_eq!(short.count(), jitters.len() - 1, "{jitters:?}");
    }
}

#[test]
fn what_this_host_dropped_is_neither_gap_nor_jitter_nor_delay() {
    let mut meter = ArrivalMeter::default();
    let mut accounts = Vec::new();
    for n in (0..500_u64).filter(|n| !(120..190).contains(n)) {
        if n == 190 {
            meter.unobserved();
        }
        let pcr = (n % 4 == 0).then_some(n * 10_000 * 27);
        accounts.extend(meter.handle(at(n * 10_000), &datagram(pcr)));
    }
    assert!(accounts.len() >= 3);
    for account in accounts {
        near(account.delay_factor, 10_000);
        near(account.pcr_jitter, 0);
        assert_eq!(account.gaps.counts[3], account.gaps.count());
    }
}

#[test]
fn a_stream_without_a_clock_has_gaps_alone() {
    let mut meter = ArrivalMeter::default();
    let account = (0..150).find_map(|n| meter.handle(at(n * 10_000), &datagram(None))).unwrap();
    assert_eq!((account.delay_factor, account.pcr_jitter), (None, None));
    assert_eq!(account.gaps.counts[3], 100);
}

proptest! {
    #[test]
    fn nothing_that_arrives_panics_and_memory_is_bounded(
        datagrams in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..400), any::<Option<u64>>(), 0u64..2_000_000),
            0..200,
        )
    ) {
        let (mut meter, mut now) = (ArrivalMeter::default(), 0);
        for (noise, pcr, gap) in datagrams {
            now += gap;
            let whole = [datagram(pcr.map(|pcr| pcr >> 22)), noise].concat();
            meter.handle(at(now), &whole);
            prop_assert!(meter.samples.len() <= MAX_SAMPLES);
            prop_assert!(meter.clock.points.len() <= DRIFT_POINTS);
        }
    }
}
