//! What an analyser allocates. One test in a process of its own, because the allocator counts for all threads.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tallylight_model::MonoTime;
use tallylight_mux::{Length, Mux, NULL_PID, pat, pes, pmt, section};
use tallylight_ts::{Analyser, AnalyserConfig, CheckProfile, Payload};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn drain(analyser: &mut Analyser) -> usize {
    std::iter::from_fn(|| analyser.poll()).count()
}

/// Pictures in packets of 8 Mb/s at a constant rate, with a clock, null packets, and tables that are repeated.
fn broadcast(pictures: usize) -> Vec<u8> {
    let tables = [
        (0, pat(0, &[(1, 0x20)])),
        (0x20, pmt(1, 0, 0x101, &[(0x1B, 0x100, &[])])),
        (0x10, section(0x40, 1, 0, &[0xF0, 0, 0xF0, 0])),
        (0x11, section(0x42, 1, 0, &[0, 1, 0xFF])),
        (0x12, section(0x4E, 1, 0, &[0, 1, 0, 1, 1, 0x4E])),
    ];
    let mut mux = Mux::default();
    for picture in 0..pictures {
        if picture % 10 == 0 {
            tables.iter().for_each(|(pid, section)| mux.section(*pid, section));
        }
        // Due half a second later.
        let pts = mux.packets() as u64 * 5076 / 300 + 45_000;
        let data = [&[0, 0, 1, 9, 0xF0, 0, 0, 1, 0x41, 0x9A, 0x20][..], &[0xAA; 3600]].concat();
        mux.unit(0x100, &pes(0xE0, Length::Open, Some(pts), &data));
        while mux.packets() % 212 != 211 {
            mux.null();
        }
        mux.clock(0x101, (mux.packets() as u64 + 1) * 5076);
    }
    mux.bytes
}

/// Tables without an end: each PMT is another one, sections are never complete, sub-tables never the same, clocks jump.
fn endless() -> Vec<u8> {
    let mut mux = Mux::default();
    mux.section(0, &pat(0, &[(1, 0x20)]));
    for i in 0..20_000u16 {
        let pid = 0x100 + i % 0x1D00;
        let kinds = [0x1B, 0x0F, 0x06, 0x86];
        let [high, low] = pid.to_be_bytes();
        let ca = [9, 4, 1, 0, 0xE0 | high, low];
        let components: Vec<_> = (0..20)
            .map(|c| (kinds[c % 4], u16::from_be_bytes([high, low.wrapping_add(c as u8)]), &ca[..]))
            .collect();
        mux.section(0x20, &pmt(1, 0, pid, &components));
        for (pid, id) in [(0x10, 0x41), (0x11, 0x46), (0x12, 0x4E), (0x01, 0x01), (0x11, 0x42)] {
            mux.section(pid, &section(id, i, 0, &[high, low, 0, 1, 1, 0x4E]));
        }
        let cut_short = [&[0, 0x4F, 0xFF, 0xFF][..], &[0xFF; 180]].concat();
        mux.packet(0x12, true, None, &cut_short);
        mux.clock(pid, u64::from(i).wrapping_mul(0x9E37_79B9_7F4A));
    }
    mux.bytes
}

/// One program with H.264, and pictures of ten packets.
fn ordinary(pictures: usize) -> Vec<u8> {
    let mut mux = Mux::default();
    mux.section(0, &pat(0, &[(1, 0x20)]));
    mux.section(0x20, &pmt(1, 0, 0x100, &[(0x1B, 0x100, &[])]));
    let data = [&[0, 0, 1, 9, 0xF0, 0, 0, 1, 0x41, 0x9A, 0x20][..], &[0xAA; 1800]].concat();
    for _ in 0..pictures {
        mux.unit(0x100, &pes(0xE0, Length::Open, None, &data));
    }
    mux.bytes
}

/// 256 programs of 64 video components each on every PID there is, each with a picture that never ends.
fn hostile() -> Vec<u8> {
    let mut mux = Mux::default();
    let programs: Vec<_> = (1..=250u16).map(|i| (i, 0x10 + i)).collect();
    mux.section(0, &pat(0, &programs));
    for program in 1..=250u16 {
        let pid = |i| 0x200 + (program * 80 + i) % 0x1D00;
        let components: Vec<_> = (0..80u16).map(|i| (0x1B, pid(i), &[][..])).collect();
        mux.section(0x10 + program, &pmt(program, 0, NULL_PID, &components));
    }
    for pid in 0x200..0x1F00 {
        let data = [&[0, 0, 1, 0x65, 0x88, 0x84][..], &[0xFF; 169]].concat();
        mux.unit(pid, &pes(0xE0, Length::Open, None, &data));
    }
    for _ in 1..4 {
        (0..NULL_PID).for_each(|pid| mux.packet(pid, false, None, &[0xAA; 184]));
    }
    mux.bytes
}

fn steady_in_all_checks() {
    let profile = CheckProfile::BROADCAST;
    let config = AnalyserConfig { payload: Payload::None, profile, ..AnalyserConfig::default() };
    let region = Region::new(ALLOCATOR);
    let mut analyser = Analyser::new(config);
    let bytes = broadcast(1000);
    let made = region.change().bytes_allocated;
    let (warm, steady) = bytes.split_at(bytes.len() / 188 / 2 * 188);
    for chunk in warm.chunks(1316) {
        analyser.push(MonoTime::ZERO, chunk);
        drain(&mut analyser);
    }
    let region_steady = Region::new(ALLOCATOR);
    for chunk in steady.chunks(1316) {
        analyser.push(MonoTime::ZERO, chunk);
        drain(&mut analyser);
    }
    let change = region_steady.change();
    assert_eq!(change.allocations + change.reallocations, 0, "{change:?}");
    assert!(analyser.checks().all(|check| check.unavailable.is_none()), "a constant rate");
    let change = region.change();
    let held = change.bytes_allocated - change.bytes_deallocated;
    assert!(made > bytes.len());
    assert!(held - bytes.capacity() < 256 << 10, "{} bytes held", held - bytes.capacity());
}

/// 250 programs whose clocks never come, and packets of the PAT's PID without end.
fn waiting() -> Vec<u8> {
    let mut mux = Mux::default();
    let programs: Vec<_> = (1..=250u16).map(|i| (i, 0x10 + i)).collect();
    mux.section(0, &pat(0, &programs));
    for _ in 0..3000 {
        mux.packet(0, false, None, &[0xFF; 184]);
        mux.null();
    }
    mux.bytes
}

fn programs_without_clocks_keep_nothing_of_tables(config: AnalyserConfig) {
    let bytes = waiting();
    let region = Region::new(ALLOCATOR);
    let mut analyser = Analyser::new(config);
    analyser.push(MonoTime::ZERO, &bytes);
    drain(&mut analyser);
    let change = region.change();
    let held = change.bytes_allocated - change.bytes_deallocated;
    assert!(analyser.services().count() == 250 && held < 2 << 20, "{held} bytes held");
}

#[test]
fn memory_is_bounded_and_packets_allocate_nothing() {
    let config = AnalyserConfig { payload: Payload::None, ..AnalyserConfig::default() };
    let mut analyser = Analyser::new(config);
    let bytes = ordinary(3000);
    let (warm, steady) = bytes.split_at(bytes.len() / 188 / 2 * 188);
    for chunk in warm.chunks(1316) {
        analyser.push(MonoTime::ZERO, chunk);
        drain(&mut analyser);
    }
    let region = Region::new(ALLOCATOR);
    let mut units = 0;
    for chunk in steady.chunks(1316) {
        analyser.push(MonoTime::ZERO, chunk);
        units += drain(&mut analyser);
    }
    let change = region.change();
    assert!(units > 1400, "{units} events");
    assert_eq!(change.allocations + change.reallocations, 0, "{change:?}");

    steady_in_all_checks();
    programs_without_clocks_keep_nothing_of_tables(config);

    let profile = CheckProfile::BROADCAST;
    let bytes = endless();
    let region = Region::new(ALLOCATOR);
    let mut analyser = Analyser::new(AnalyserConfig { profile, ..config });
    for chunk in bytes.chunks(65_536) {
        analyser.push(MonoTime::ZERO, chunk);
        drain(&mut analyser);
    }
    let change = region.change();
    let held = change.bytes_allocated - change.bytes_deallocated;
    assert!(analyser.totals().section_errors == 0 && analyser.services().count() == 1);
    assert!(held < 6 << 20, "{held} bytes held");

    let bytes = hostile();
    let region = Region::new(ALLOCATOR);
    let mut analyser = Analyser::new(AnalyserConfig { payload: Payload::All, ..config });
    for _ in 0..3 {
        for chunk in bytes.chunks(65_536) {
            analyser.push(MonoTime::ZERO, chunk);
            drain(&mut analyser);
        }
    }
    let change = region.change();
    let held = change.bytes_allocated - change.bytes_deallocated;
    assert!(analyser.totals().over_limit > 0);
    assert!(analyser.pids().len() > 8000);
    assert!(held < 16 << 20, "{held} bytes held");
    // Nobody takes the events.
    for _ in 0..20 {
        analyser.push(MonoTime::ZERO, &bytes);
        if analyser.totals().dropped_events > 100 {
            break;
        }
    }
    assert!(analyser.totals().dropped_events > 0);
    let change = region.change();
    let held = change.bytes_allocated - change.bytes_deallocated;
    assert!(held < 128 << 20, "{held} bytes held");
}
