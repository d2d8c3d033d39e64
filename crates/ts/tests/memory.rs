//! What an analyser allocates. One test in a process of its own, because the allocator counts for all threads.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tallylight_model::MonoTime;
use tallylight_ts::{Analyser, AnalyserConfig, CheckProfile, Payload};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn section(table: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len() + 9;
    let mut bytes = vec![table, 0xB0 | (length >> 8) as u8, length as u8];
    bytes.extend(extension.to_be_bytes());
    bytes.extend([0xC1, 0, 0]);
    bytes.extend(body);
    let crc = bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).rev().fold(crc, |crc, bit| {
            let carry = (crc >> 31) ^ u32::from((byte >> bit) & 1);
            (crc << 1) ^ (carry * 0x04C1_1DB7)
        })
    });
    bytes.extend(crc.to_be_bytes());
    bytes
}

fn packet(pid: u16, counter: u8, start: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes =
        vec![0x47, (pid >> 8) as u8 | u8::from(start) << 6, pid as u8, 0x10 | counter & 15];
    bytes.extend(payload);
    bytes.resize(188, 0xFF);
    bytes
}

fn table(pid: u16, section: &[u8]) -> Vec<u8> {
    let payload = [&[0], section].concat();
    let parts = payload.chunks(184).enumerate();
    parts.flat_map(|(i, part)| packet(pid, i as u8, i == 0, part)).collect()
}

fn drain(analyser: &mut Analyser) -> usize {
    std::iter::from_fn(|| analyser.poll()).count()
}

/// A packet without payload that carries a PCR.
fn clock(pid: u16, counter: u8, ticks: u64) -> Vec<u8> {
    let mut bytes = packet(pid, counter, false, &[]);
    let field = ((ticks / 300) << 15) | 0x7E00 | (ticks % 300);
    bytes[3] = 0x20 | counter & 15;
    bytes[4..6].copy_from_slice(&[183, 0x10]);
    bytes[6..12].copy_from_slice(&field.to_be_bytes()[2..]);
    bytes
}

/// The same at a constant rate of 8 Mb/s, with a clock, null packets, and tables that are repeated.
fn broadcast(pictures: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let components = [0xE1, 0x01, 0xF0, 0, 0x1B, 0xE1, 0x00, 0xF0, 0];
    let tables = [
        (0, section(0, 1, &[0, 1, 0xE0, 0x20])),
        (0x20, section(2, 1, &components)),
        (0x10, section(0x40, 1, &[0xF0, 0, 0xF0, 0])),
        (0x11, section(0x42, 1, &[0, 1, 0xFF])),
        (0x12, section(0x4E, 1, &[0, 1, 0, 1, 1, 0x4E])),
    ];
    let (mut packets, mut counter) = (0u64, 0u8);
    for picture in 0..pictures {
        if picture % 10 == 0 {
            for (pid, section) in &tables {
                bytes.extend(packet(
                    *pid,
                    (picture / 10) as u8,
                    true,
                    &[&[0], &section[..]].concat(),
                ));
            }
        }
        // Due half a second later.
        let pts = packets * 5076 / 300 + 45_000;
        let stamp = [
            0x21 | (pts >> 29) as u8 & 0x0E,
            (pts >> 22) as u8,
            (pts >> 14) as u8 | 1,
            (pts >> 7) as u8,
            (pts << 1) as u8 | 1,
        ];
        let head = [&[0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5][..], &stamp];
        let head = [&head.concat()[..], &[0, 0, 1, 9, 0xF0, 0, 0, 1, 0x41, 0x9A, 0x20]].concat();
        for i in 0..20 {
            counter = counter.wrapping_add(1);
            let body = [0xAA; 184];
            bytes.extend(packet(0x100, counter, i == 0, if i == 0 { &head } else { &body }));
        }
        while bytes.len() / 188 % 212 != 211 {
            bytes.extend(packet(0x1FFF, 0, false, &[0; 184]));
        }
        packets = (bytes.len() / 188) as u64;
        bytes.extend(clock(0x101, 0, packets * 5076));
    }
    assert!(packets > 0);
    bytes
}

/// Tables without an end: each PMT is another one, sections are never complete, sub-tables never the same, clocks jump.
fn endless() -> Vec<u8> {
    let mut bytes = table(0, &section(0, 1, &[0, 1, 0xE0, 0x20]));
    for i in 0..20_000u16 {
        let [high, low] = (0x100 + i % 0x1D00).to_be_bytes();
        let kinds = [0x1B, 0x0F, 0x06, 0x86];
        let components: Vec<u8> = (0..20)
            .flat_map(|c| [kinds[c % 4], 0xE0 | high, low.wrapping_add(c as u8), 0xF0, 6])
            .collect::<Vec<_>>()
            .chunks(5)
            .flat_map(|entry| [entry, &[9, 4, 1, 0, 0xE0 | high, low]].concat())
            .collect();
        let body = [&[0xE0 | high, low, 0xF0, 0], &components[..]].concat();
        bytes.extend(table(0x20, &section(2, 1, &body)));
        for (pid, id) in [(0x10, 0x41), (0x11, 0x46), (0x12, 0x4E), (0x01, 0x01), (0x11, 0x42)] {
            bytes.extend(table(pid, &section(id, i, &[high, low, 0, 1, 1, 0x4E])));
        }
        bytes.extend(packet(0x12, i as u8, true, &[0, 0x4F, 0xFF, 0xFF]));
        let ticks = u64::from(i).wrapping_mul(0x9E37_79B9_7F4A) % ((1 << 33) * 300);
        bytes.extend(clock(0x100 + i % 0x1D00, 0, ticks));
    }
    bytes
}

/// One program with H.264, and pictures of ten packets.
fn ordinary(pictures: usize) -> Vec<u8> {
    let mut bytes = table(0, &section(0, 1, &[0, 1, 0xE0, 0x20]));
    let components = [0xE1, 0x00, 0xF0, 0, 0x1B, 0xE1, 0x00, 0xF0, 0];
    bytes.extend(table(0x20, &section(2, 1, &components)));
    for i in 0..pictures * 10 {
        let start = i % 10 == 0;
        let head = [0, 0, 1, 0xE0, 0, 0, 0x80, 0, 0, 0, 0, 1, 9, 0xF0, 0, 0, 1, 0x41, 0x9A, 0x20];
        let body = [0xAA; 184];
        bytes.extend(packet(0x100, i as u8, start, if start { &head } else { &body }));
    }
    bytes
}

/// 256 programs of 64 video components each on every PID there is, each with a picture that never ends.
fn hostile() -> Vec<u8> {
    let mut bytes = Vec::new();
    let programs: Vec<u8> = (1..=250u16)
        .flat_map(|i| [&i.to_be_bytes()[..], &(0xE010 + i).to_be_bytes()].concat())
        .collect();
    bytes.extend(table(0, &section(0, 1, &programs)));
    for program in 1..=250u16 {
        let components = (0..80u16).flat_map(|i| {
            let pid = (0x200 + (program * 80 + i) % 0x1D00).to_be_bytes();
            [0x1B, 0xE0 | pid[0], pid[1], 0xF0, 0]
        });
        let body: Vec<u8> = [0xFF, 0xFF, 0xF0, 0].into_iter().chain(components).collect();
        bytes.extend(table(0x10 + program, &section(2, program, &body)));
    }
    for pid in 0x200..0x1F00 {
        let head = [0, 0, 1, 0xE0, 0, 0, 0x80, 0, 0, 0, 0, 1, 0x65, 0x88, 0x84];
        bytes.extend(packet(pid, 0, true, &head));
    }
    for round in 1..4u8 {
        for pid in 0..0x1FFF {
            bytes.extend(packet(pid, round, false, &[0xAA; 184]));
        }
    }
    bytes
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
