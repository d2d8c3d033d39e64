//! What stays out for just over and just under a limit, wherever its packets stand between two rounds of the checks.

use std::time::Duration;

use tallylight_model::Pid;
use tallylight_mux::{
    Mux, PACKET, null, packet, pat,
    plan::{FRAME, Plan, picture, sound},
    pmt, section,
};
use tallylight_ts::{AnalyserConfig, ChangeKind, Check, CheckProfile, FindingKind, Indicator};

#[expect(dead_code, reason = "the other tests that share it use more of it")]
mod reading;

use reading::Reading;

const SDT: u16 = 0x11;
const TABLE: u16 = 0x20;
const VIDEO: u16 = 0x100;
const SOUND: u16 = 0x101;
const TEXT: u16 = 0x102;

type Packets = Vec<[u8; PACKET]>;
type Components<'a> = [(u8, u16, &'a [u8])];

const LISTED: &Components<'_> = &[
    (0x1B, VIDEO, &[]),
    (0x0F, SOUND, &[]),
    // Teletext (EN 300 468, 6.2.43).
    (0x06, TEXT, &[0x56, 5, b'e', b'n', b'g', 0x09, 0]),
];

fn pid(packet: &[u8; PACKET]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1F, packet[2]])
}

/// A packet lasts a millisecond.
fn whole() -> Packets {
    let mut mux = Mux::default();
    let tables = vec![
        (0, pat(0, &[(1, TABLE)])),
        (1, section(1, 0xFFFF, 0, &[])),
        (SDT, section(0x42, 1, 0, &[0, 1, 0xFF])),
        (TABLE, pmt(1, 0, VIDEO, LISTED)),
    ];
    let units =
        vec![(VIDEO, 0xE0, picture()), (SOUND, 0xC0, sound()), (TEXT, 0xBD, vec![0x10; 100])];
    mux.play(&Plan { tables, clock: VIDEO, units }, 200);
    let (packets, _) = mux.bytes.as_chunks();
    packets.to_vec()
}

/// Puts the packets of a PID at one place of each frame, and leaves so many packets out.
fn with_gap(mut packets: Packets, of: u16, place: usize, gap: usize) -> Packets {
    let mut own: Vec<_> = Vec::new();
    for packet in packets.iter_mut().filter(|packet| pid(packet) == of) {
        own.push(std::mem::replace(packet, null()));
    }
    let mut own = own.into_iter().cycle();
    let away = 30 * FRAME + place + 1..30 * FRAME + place + gap;
    for i in (place..packets.len()).step_by(FRAME) {
        if !away.contains(&i) {
            packets[i] = own.next().unwrap_or_else(null);
        }
    }
    packets
}

fn scrambled(mut packets: Packets) -> Packets {
    for packet in packets.iter_mut().filter(|packet| pid(packet) == VIDEO && packet[3] & 0x10 != 0)
    {
        packet[3] |= 0x80;
    }
    packets
}

fn read(packets: &Packets, profile: CheckProfile) -> Reading {
    Reading::of(packets.as_flattened(), AnalyserConfig { profile, ..AnalyserConfig::default() })
}

/// How often a condition of a PID, or of what is on no single one, began and ended.
fn told(reading: &Reading, check: Check, of: Option<u16>) -> [usize; 2] {
    let of = of.map(Pid::from_bits);
    let conditions = || reading.conditions.iter().filter(|c| c.check == check && c.pid == of);
    [true, false].map(|holds| conditions().filter(|c| c.holds == holds).count())
}

#[test]
fn a_gap_just_over_a_limit_is_told_wherever_it_begins() {
    let mut profile = CheckProfile::BROADCAST;
    profile.limits.pid_text = Some(Duration::from_secs(3));
    let cases = [
        (Check::PatMissing, 0, Some(0), 500, 20),
        (Check::PmtMissing, TABLE, Some(TABLE), 500, 20),
        (Check::CatMissing, 1, Some(1), 1000, 40),
        (Check::NoAudio, SOUND, None, 2000, 40),
        (Check::PidMissing, SOUND, Some(SOUND), 5000, 40),
        (Check::PidMissing, TEXT, Some(TEXT), 3000, 40),
    ];
    let stream = scrambled(whole());
    for (check, of, pid, limit, near) in cases {
        for place in 12..FRAME {
            for (gap, expected) in [(limit - near, 0), (limit + near, 1)] {
                let reading = read(&with_gap(stream.clone(), of, place, gap), profile);
                assert_eq!(
                    told(&reading, check, pid),
                    [expected; 2],
                    "{check:?}: {gap} at {place}"
                );
                if check == Check::PidMissing {
                    let changes = || reading.changes.iter().filter(|c| c.pid.get() == of);
                    let kinds: Vec<_> = changes().map(|change| change.kind.clone()).collect();
                    let both = [ChangeKind::Stopped, ChangeKind::Resumed];
                    assert_eq!(kinds, both[..expected * 2], "{gap} of {of:#x} at {place}");
                }
            }
        }
    }
}

#[test]
fn a_pid_that_a_table_lists_just_too_late_is_unreferenced() {
    const NEW: u16 = 0x103;
    let later = pmt(1, 1, VIDEO, &[LISTED, &[(0x06, NEW, &[])]].concat());
    let payload = [&[0], &later[..], &[0xFF; 184]].concat();
    for place in 12..FRAME - 1 {
        for (gap, expected) in [(481, [0, 0]), (521, [1, 1])] {
            let mut packets = whole();
            let begin = 30 * FRAME + place;
            for (i, at) in (begin..packets.len()).step_by(FRAME).enumerate() {
                packets[at] = packet(NEW, true, i as u8 & 15, None, &[0xAA; 184]);
            }
            let mut listing =
                packets[..begin + gap].iter().filter(|p| pid(p) == TABLE).count() as u8;
            for (at, sent) in packets.iter_mut().enumerate().skip(begin + gap) {
                if at == begin + gap || pid(sent) == TABLE {
                    *sent = packet(TABLE, true, listing & 15, None, &payload);
                    listing = listing.wrapping_add(1);
                }
            }
            let reading = read(&packets, CheckProfile::BROADCAST);
            let check = Check::Si(Indicator::UnreferencedPid);
            assert_eq!(told(&reading, check, Some(NEW)), expected, "{gap} at {place}");
            assert_eq!(reading.totals.continuity_errors, 0);
        }
    }
}

#[test]
fn scrambled_packets_need_a_cat_however_seldom_they_come() {
    let mut packets = whole();
    packets.iter_mut().filter(|packet| pid(packet) == 1).for_each(|packet| *packet = null());
    // Every 400 ms for four seconds.
    for packet in packets[2000..6000].iter_mut().filter(|p| pid(p) == TEXT).step_by(10) {
        packet[3] |= 0x80;
    }
    let reading = read(&packets, CheckProfile::BROADCAST);
    assert_eq!(told(&reading, Check::CatMissing, Some(1)), [1, 1]);
}

#[test]
fn while_a_clock_stays_out_nothing_comes_too_densely() {
    let mut packets = whole();
    let clocks = packets[60 * FRAME..72 * FRAME].iter_mut();
    clocks.filter(|p| pid(p) == VIDEO && p[3] & 0x10 == 0).for_each(|packet| *packet = null());
    let reading = read(&packets, CheckProfile::BROADCAST);
    let kinds: Vec<_> = reading.findings.iter().map(|finding| finding.kind).collect();
    let out = Duration::from_millis(13 * FRAME as u64);
    assert_eq!(kinds, [FindingKind::PcrGap { gap: out }]);
}
