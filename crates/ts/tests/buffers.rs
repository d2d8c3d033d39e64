//! Streams whose buffers are known to the byte: what overflows, comes too late or stays too long is found, where it is, and
//! nothing else.

#![expect(clippy::unwrap_used, reason = "a test stops where its clip is wrong")]

use std::time::Duration;

use proptest::prelude::*;
use tallylight_mux::{self as mux, Length, PACKET, null, pat, pmt};
use tallylight_ts::{
    AnalyserConfig, BufferFault, Check, CheckProfile, Indicator, Overflow, Setting, Unavailable,
};

#[expect(dead_code, reason = "the other tests that share it use more of it")]
mod clip;
mod reading;

use clip::{AUDIO, PMT, VIDEO, tally};
use reading::Reading;

/// A packet each 376 us: 4 Mb/s.
const TICKS: u64 = 10_152;
const PER_SECOND: f64 = 27e6 / TICKS as f64;
/// A PCR each 18.8 ms.
const CLOCK_EVERY: usize = 50;
const CLOCK: u16 = 0x200;

/// A multiplex of constant rate, packet by packet.
struct Mux {
    packets: Vec<Option<[u8; PACKET]>>,
    counters: [u8; 8192],
    first_clock: u64,
}

impl Mux {
    /// So many seconds, with PAT and PMT, a clock, and nothing else yet.
    fn new(seconds: f64, stream_types: &[(u8, u16)]) -> Self {
        let packets = vec![None; (seconds * PER_SECOND) as usize];
        let mut mux = Self { packets, counters: [0; 8192], first_clock: 900_000 * 300 };
        let components: Vec<_> =
            stream_types.iter().map(|(kind, pid)| (*kind, *pid, &[][..])).collect();
        let pat = pat(0, &[(1, PMT)]);
        let pmt = pmt(1, 0, CLOCK, &components);
        for at in (0..mux.packets.len()).step_by(250) {
            mux.put(at + 10, 0, true, &[&[0], &pat[..]].concat());
            mux.put(at + 40, PMT, true, &[&[0], &pmt[..]].concat());
        }
        for at in (0..mux.packets.len()).step_by(CLOCK_EVERY) {
            mux.clock(at);
        }
        mux
    }

    /// The place of a moment.
    fn place(seconds: f64) -> usize {
        (seconds * PER_SECOND) as usize
    }

    fn clock(&mut self, at: usize) {
        let ticks = self.first_clock + at as u64 * TICKS;
        self.packets[at] = Some(mux::packet(CLOCK, false, 0, Some(ticks), &[]));
    }

    /// Puts a payload into the first place from here on that is free; returns it. What is too short is stuffed.
    fn put(&mut self, from: usize, pid: u16, start: bool, payload: &[u8]) -> usize {
        let free = self.packets.iter().skip(from).position(Option::is_none);
        let at = from + free.unwrap_or(self.packets.len());
        if let Some(place) = self.packets.get_mut(at) {
            let counter = &mut self.counters[usize::from(pid)];
            *place = Some(mux::packet(pid, start, *counter, None, payload));
            *counter = (*counter + 1) & 15;
        }
        at
    }

    /// Puts a PES packet with a stamp `due` seconds into the stream, each of its packets `apart` places after the one before;
    /// returns the place of its last.
    fn pes(&mut self, from: usize, pid: u16, due: f64, data: &[u8], apart: usize) -> usize {
        let pts = (self.first_clock / 300 + (due * 90_000.0).round() as u64) % (1 << 33);
        let id = if pid == VIDEO { 0xE0 } else { 0xC0 };
        let bytes = mux::pes(id, Length::Open, Some(pts), data);
        let mut at = from;
        for (i, part) in bytes.chunks(PACKET - 4).enumerate() {
            at = self.put(if i == 0 { at } else { at + apart }, pid, i == 0, part);
        }
        at
    }

    fn bytes(&self) -> Vec<u8> {
        self.packets.iter().flat_map(|packet| packet.unwrap_or_else(null)).collect()
    }

    fn read(&self) -> Reading {
        strictly(&self.bytes())
    }
}

fn strictly(bytes: &[u8]) -> Reading {
    let profile = CheckProfile::BROADCAST;
    Reading::of(bytes, AnalyserConfig { profile, ..AnalyserConfig::default() })
}

/// A frame of stereo AAC in ADTS: 1,024 samples at 48 kHz.
fn frame(size: usize) -> Vec<u8> {
    let mut bytes = vec![0xAA; size];
    let head =
        [0xFF, 0xF1, 0x4C, 0x80 | (size >> 11) as u8, (size >> 3) as u8, (size << 5) as u8, 0xFC];
    bytes[..7].copy_from_slice(&head);
    bytes
}

const FRAME: f64 = 1024.0 / 48_000.0;
/// A frame of this size and its PES header are three packets.
const FRAME_SIZE: usize = 384;
const PES_SIZE: usize = FRAME_SIZE + 14;

/// Sound whose frames are due `lead` seconds after each begins to be sent, but where `change` says otherwise.
fn sound(seconds: f64, lead: f64, mut change: impl FnMut(usize) -> f64) -> Mux {
    let mut mux = Mux::new(seconds, &[(0x0F, AUDIO)]);
    for i in 0..(seconds / FRAME) as usize {
        let at = i as f64 * FRAME;
        mux.pes(Mux::place(at), AUDIO, at + lead + change(i), &frame(FRAME_SIZE), 3);
    }
    mux
}

/// What is wrong with the buffers, from when to when.
fn spans(reading: &Reading) -> Vec<(BufferFault, Option<u16>, f64, Option<f64>)> {
    let found = reading.conditions.iter().filter_map(|c| match c.check {
        Check::Buffer(fault) => Some((fault, c)),
        _ => None,
    });
    let seconds = |media: Option<Duration>| media.unwrap().as_secs_f64();
    let end = |of: &tallylight_ts::Condition| {
        let end = found
            .clone()
            .map(|(_, c)| c)
            .find(|c| !c.holds && (c.check, c.pid, c.since) == (of.check, of.pid, of.since));
        end.map(|c| seconds(c.position.media))
    };
    found
        .clone()
        .filter(|(_, c)| c.holds)
        .map(|(fault, c)| {
            let pid = c.pid.map(|pid| pid.get());
            (fault, pid, seconds(c.since.media), end(c))
        })
        .collect()
}

fn assert_spans(reading: &Reading, expected: &[(BufferFault, f64, f64)], what: &str) {
    let found = spans(reading);
    let near = |a: f64, b: f64| (a - b).abs() < 0.03;
    let same = found.len() == expected.len()
        && expected.iter().all(|e| {
            let same = |f: &(BufferFault, Option<u16>, f64, Option<f64>)| {
                f.0 == e.0 && near(f.2, e.1) && f.3.is_some_and(|end| near(end, e.2))
            };
            found.iter().any(same)
        });
    assert!(same, "{what}: {found:?} instead of {expected:?}");
}

#[test]
fn sound_in_its_time_raises_nothing() {
    let reading = sound(5.0, 0.1, |_| 0.0).read();
    assert_eq!(spans(&reading), []);
    assert_eq!(reading.faults(), []);
    for check in [Indicator::Buffer, Indicator::EmptyBuffer, Indicator::DataDelay] {
        let report = reading.checks.iter().find(|c| c.indicator == check).unwrap();
        assert_eq!((report.unavailable, report.tally.count), (None, 0), "{check}");
    }
}

#[test]
fn each_late_unit_is_found_and_no_other() {
    // Three packets that stand 3 places apart: 2.3 ms and the last packet's own, with what the transport buffer takes.
    let arrives = 7.0 * TICKS as f64 / 27e6 + 0.0008;
    let late = |i: usize| i % 40 == 20;
    let planted = (0..).take_while(|i| *i as f64 * FRAME < 4.9).filter(|i| late(*i)).count();
    let reading = sound(5.0, 0.1, |i| if late(i) { arrives - 0.002 - 0.1 } else { 0.0 }).read();
    let expected: Vec<_> = (0..planted)
        .map(|i| {
            let at = (i * 40 + 20) as f64 * FRAME;
            (BufferFault::Late, at + arrives - 0.002, at + FRAME)
        })
        .collect();
    assert_spans(&reading, &expected, "late");
    assert_eq!(tally(&reading, Indicator::Buffer).0, planted as u64);
    assert_eq!(tally(&reading, Indicator::Buffer).2, [AUDIO]);

    let reading = sound(5.0, 0.1, |i| if late(i) { arrives + 0.001 - 0.1 } else { 0.0 }).read();
    assert_eq!(spans(&reading), [], "in time by a millisecond");
}

#[test]
fn what_stays_too_long_is_found() {
    // Small frames, so that a second of them fits.
    let with = |extra: f64| {
        let mut mux = Mux::new(8.0, &[(0x0F, AUDIO)]);
        for i in 0..(8.0 / FRAME) as usize {
            let at = i as f64 * FRAME;
            let lead = if (3.0..5.0).contains(&at) { 0.97 + extra } else { 0.97 };
            mux.pes(Mux::place(at), AUDIO, at + lead, &frame(40), 1);
        }
        spans(&mux.read())
    };
    assert_eq!(with(0.02), []);
    let [(BufferFault::Delay, Some(AUDIO), since, Some(end))] = with(0.04)[..] else {
        panic!("{:?}", with(0.04));
    };
    assert!((since - 3.0).abs() < 0.03 && (end - 5.0).abs() < 0.03, "{since} to {end}");
}

#[test]
fn the_main_buffer_of_sound_overflows_by_the_byte() {
    // Just before a frame is decoded, it and those behind it are there.
    for (frames, overflows) in [(8, false), (9, true), (10, true)] {
        let held = frames * PES_SIZE;
        assert_eq!(held > 3584 - PES_SIZE / 2, overflows);
        // Between two frames' packets: so many have come whole.
        let lead = (frames as f64 - 0.4) * FRAME;
        let reading =
            sound(6.0, 0.1, |i| if (100..200).contains(&i) { lead - 0.1 } else { 0.0 }).read();
        let found: Vec<_> = spans(&reading).into_iter().map(|span| span.0).collect();
        let expected = if held > 3584 { vec![BufferFault::MainOverflow] } else { vec![] };
        assert_eq!(found, expected, "{frames} frames are {held} bytes");
    }
}

#[test]
fn a_transport_buffer_takes_five_packets_of_sound_in_a_row() {
    // It empties at 2 Mb/s, half as fast as they come: each leaves 94 bytes.
    for (packets, overflows) in [(5, false), (6, true)] {
        let mut mux = Mux::new(6.0, &[(0x0F, AUDIO)]);
        let size = packets * (PACKET - 4) - 14;
        for i in 1..(6.0 / FRAME) as usize {
            let at = i as f64 * FRAME;
            let bulk = (150..180).contains(&i) && i % 10 == 0;
            let size = if bulk { size } else { 100 };
            let place = Mux::place(at) / CLOCK_EVERY * CLOCK_EVERY + 20;
            mux.pes(place, AUDIO, at + 0.1, &frame(size), 1);
        }
        let reading = mux.read();
        let found = spans(&reading);
        let expected = [(BufferFault::TransportOverflow, 150.0 * FRAME, 170.0 * FRAME)];
        assert_spans(&reading, if overflows { &expected } else { &[] }, &format!("{found:?}"));
    }
}

#[test]
fn tables_that_come_too_fast_overflow_their_buffers() {
    // TBsys empties at 1 Mb/s: of each packet in a row 141 bytes stay. Bsys at 80 kb/s: 3.76 bytes while a packet passes.
    for (packets, apart, expected) in [
        (3, 1, None),
        (4, 1, Some(BufferFault::SystemTransportOverflow)),
        (8, 4, None),
        (9, 4, Some(BufferFault::SystemOverflow)),
    ] {
        let mut mux = sound(6.0, 0.1, |_| 0.0);
        let pat = mux.packets[10].unwrap();
        let mut at = Mux::place(3.0) / 250 * 250 + 102;
        for _ in 0..packets {
            // The tables' own packets are far from here.
            mux.packets[at] = Some(pat);
            at += apart;
        }
        let mut counter = 0;
        for packet in mux.packets.iter_mut().flatten().filter(|p| clip::pid(*p) == 0) {
            packet[3] = packet[3] & 0xF0 | counter;
            counter = (counter + 1) & 15;
        }
        let found: Vec<_> = spans(&mux.read()).into_iter().map(|span| span.0).collect();
        assert_eq!(found, Vec::from_iter(expected), "{packets} packets, {apart} apart");
    }
}

/// An H.264 sequence parameter set of the Baseline profile, 320 by 240, at level 3.0: 12 Mb/s and 12 Mbit.
const SPS: [u8; 12] = [0, 0, 0, 1, 0x67, 66, 0, 30, 0xDC, 0x14, 0x1F, 0x90];

/// Pictures of 15,000 bytes, 25 a second, that are due `lead` seconds after they begin to be sent.
fn pictures(seconds: f64, lead: impl Fn(f64) -> f64) -> Mux {
    let mut mux = Mux::new(seconds, &[(0x1B, VIDEO)]);
    for i in 0..(seconds * 25.0) as usize {
        let at = i as f64 / 25.0;
        let mut data = SPS.to_vec();
        data.extend([0, 0, 1, 0x65, 0x88, 0x84]);
        data.resize(15_000, 0xAA);
        mux.pes(Mux::place(at), VIDEO, at + lead(at), &data, 1);
    }
    mux
}

#[test]
fn pictures_fill_what_their_level_allows() {
    let reading = pictures(3.0, |_| 0.5).read();
    assert_eq!(reading.elementary[0].parameters.width, Some(320));
    assert_eq!(spans(&reading), []);
    // 375,000 bytes a second: 1.5 MB and what MB adds hold 4.02 s.
    let held = |lead: f64| spans(&pictures(9.0, |_| lead).read());
    assert_eq!(held(3.98), []);
    let found = held(4.3);
    let faults: Vec<_> = found.iter().map(|span| (span.0, span.1)).collect();
    assert_eq!(faults[0], (BufferFault::MultiplexOverflow, Some(VIDEO)));
    assert!((found[0].2 - 4.05).abs() < 0.1, "{found:?}");
    // MB cannot empty while EB is full.
    assert!(faults.contains(&(BufferFault::MultiplexBusy, Some(VIDEO))));
    assert_eq!(faults.len(), 2);
}

#[test]
fn a_picture_that_takes_too_long_is_late_alone() {
    // It takes 31 ms to send one.
    let reading = pictures(4.0, |at| if (at - 2.0).abs() < 0.001 { 0.02 } else { 0.06 }).read();
    let [(BufferFault::Late, Some(VIDEO), since, Some(end))] = spans(&reading)[..] else {
        panic!("{:?}", spans(&reading));
    };
    assert!((since - 2.02).abs() < 0.002 && (end - 2.071).abs() < 0.01, "{since} to {end}");
}

#[test]
fn what_ordinary_muxers_do_counts_only_where_it_is_asked_for() {
    let of =
        |profile| Reading::of(clip::variable(), AnalyserConfig { profile, ..Default::default() });
    let raised = |reading: &Reading| {
        [Indicator::Buffer, Indicator::EmptyBuffer, Indicator::DataDelay].map(|i| {
            let check = reading.checks.iter().find(|check| check.indicator == i);
            check.map(|check| (check.setting, check.unavailable, check.tally.count))
        })
    };
    let clean = Some((Setting::Inform, None, 0));
    assert_eq!(raised(&of(CheckProfile::DEFAULT)), [clean; 3]);
    assert_eq!(raised(&of(CheckProfile::OTT)), [None; 3]);
    // ffmpeg sends sound 0.7 s before its time, which is three times what B takes at 96 kb/s.
    let strict = of(CheckProfile::BROADCAST);
    let begun = spans(&strict);
    assert_eq!(raised(&strict)[0], Some((Setting::Fault, None, begun.len() as u64)));
    assert!(begun.iter().any(|span| (span.0, span.1) == (BufferFault::MainOverflow, Some(AUDIO))));
    let mut own = CheckProfile::BROADCAST;
    own.overflow = Overflow::Ignored;
    assert_eq!(spans(&of(own)), []);
}

#[test]
fn where_nothing_can_be_known_nothing_is_said() {
    let unavailable = |bytes: &[u8]| {
        let reading = strictly(bytes);
        let check = reading.checks.iter().find(|c| c.indicator == Indicator::Buffer).unwrap();
        assert_eq!((spans(&reading), check.tally.count), (vec![], 0));
        check.unavailable
    };
    let mut mux = sound(3.0, 0.5, |_| 0.0);
    assert_eq!(unavailable(&sound(3.0, 0.1, |_| 0.0).bytes()), None);
    for packet in mux.packets.iter_mut().flatten() {
        if clip::pid(packet) == AUDIO {
            packet[3] |= 0x80;
        }
    }
    assert_eq!(unavailable(&mux.bytes()), Some(Unavailable::Scrambled));
    let mut mux = sound(3.0, 0.5, |_| 0.0);
    for packet in mux.packets.iter_mut() {
        if packet.is_some_and(|packet| clip::pid(&packet) == CLOCK) {
            *packet = None;
        }
    }
    assert_eq!(unavailable(&mux.bytes()), Some(Unavailable::NoModel));
    let mut other = Mux::new(3.0, &[(0x06, AUDIO)]);
    for i in 0..100 {
        other.pes(Mux::place(i as f64 * 0.02), AUDIO, i as f64 * 0.02, &[1; 400], 1);
    }
    assert_eq!(unavailable(&other.bytes()), Some(Unavailable::NoModel));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn clocks_and_stamps_that_jump_read_the_same_however_they_are_cut(
        jumps in prop::collection::vec((0usize..5000, any::<u64>()), 0..4),
        leads in prop::collection::vec(-3.0f64..20.0, 8),
        sizes in prop::collection::vec(1usize..4000, 1..6),
    ) {
        let mut mux = Mux::new(2.0, &[(0x0F, AUDIO), (0x1B, VIDEO)]);
        for i in 0..90 {
            let at = i as f64 * FRAME;
            mux.pes(Mux::place(at), AUDIO, at + leads[i % 4], &frame(300), 1);
            let data = [&SPS[..], &[0, 0, 1, 0x65, 0x88, 0x84], &[0xAA; 4000]].concat();
            mux.pes(Mux::place(at), VIDEO, at + leads[4 + i % 4], &data, 1);
        }
        for (at, by) in jumps {
            mux.first_clock = mux.first_clock.wrapping_add(by) % ((1 << 33) * 300);
            for at in (at..mux.packets.len()).filter(|at| at.is_multiple_of(CLOCK_EVERY)) {
                mux.first_clock %= (1 << 33) * 300 - 6000 * TICKS;
                mux.clock(at);
            }
        }
        let bytes = mux.bytes();
        let profile = CheckProfile::BROADCAST;
        let config = AnalyserConfig { profile, ..AnalyserConfig::default() };
        let whole = Reading::of(&bytes, config);
        prop_assert_eq!(&whole, &Reading::in_chunks(&bytes, config, &sizes));
        let begun = spans(&whole).len() as u64;
        let counted: u64 = [Indicator::Buffer, Indicator::EmptyBuffer, Indicator::DataDelay]
            .map(|check| tally(&whole, check).0).iter().sum();
        prop_assert_eq!(begun, counted);
    }
}
