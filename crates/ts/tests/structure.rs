//! Services and components that appear, go, change and stop: each told once, and where.

#![expect(clippy::unwrap_used, reason = "a test stops where its stream is wrong")]

use std::time::Duration;

use tallylight_model::{MonoTime, Pid};
use tallylight_mux::{
    Mux, pat,
    plan::{FRAME, Plan, picture, sound},
    pmt,
};
use tallylight_ts::{Analyser, AnalyserConfig, AudioRole, ChangeKind, Codec, Coding, Wanted};

mod reading;

use reading::Reading;

const PMT: u16 = 0x20;
const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;
const H264: (u8, u16, &[u8]) = (0x1B, VIDEO, &[]);
const ENGLISH: &[u8] = b"\x0A\x04eng\x00";

/// One program with picture and sound, and a PMT of this version and components.
fn plan(version: u8, components: &[(u8, u16, &[u8])]) -> Plan {
    Plan {
        tables: vec![(0, pat(0, &[(1, PMT)])), (PMT, pmt(1, version, VIDEO, components))],
        clock: VIDEO,
        units: vec![(VIDEO, 0xE0, picture()), (AUDIO, 0xC0, sound())],
    }
}

fn usual() -> Plan {
    plan(0, &[H264, (0x0F, AUDIO, ENGLISH)])
}

fn read(bytes: &[u8]) -> Reading {
    let whole = Reading::of(bytes, AnalyserConfig::default());
    assert_eq!(whole, Reading::in_chunks(bytes, AnalyserConfig::default(), &[1, 777, 188]));
    whole
}

/// Changes as packet, PID and kind.
fn told(reading: &Reading) -> Vec<(usize, u16, ChangeKind)> {
    let changes = reading.changes.iter();
    changes.map(|c| (c.position.packet as usize, c.pid.get(), c.kind.clone())).collect()
}

const fn coded(codec: Codec) -> Coding {
    Coding::Cut(codec)
}

#[test]
fn what_a_stream_begins_with_is_no_change() {
    let mut mux = Mux::default();
    mux.play(&usual(), 300);
    let reading = read(&mux.bytes);
    assert_eq!((reading.changes.as_slice(), reading.totals.structure_changes), (&[][..], 0));
    assert_eq!(reading.faults(), []);
    // A recording that begins anew, and packets that are lost, change nothing.
    let twice = [&mux.bytes[..], &mux.bytes[188 * 40..]].concat();
    assert_eq!(read(&twice).changes, []);
}

/// From one list of components to another: what is told, in the packet after the PAT.
fn check(from: &[(u8, u16, &[u8])], to: &[(u8, u16, &[u8])], expected: &[(u16, ChangeKind)]) {
    let mut mux = Mux::default();
    mux.play(&plan(3, from), 50);
    let at = mux.play(&plan(4, to), 50) + 1;
    let reading = read(&mux.bytes);
    let version = (at, PMT, ChangeKind::PmtVersion { from: 3, to: 4 });
    let expected = expected.iter().map(|(pid, kind)| (at, *pid, kind.clone()));
    let expected: Vec<_> = [version].into_iter().chain(expected).collect();
    assert_eq!(told(&reading), expected);
    assert_eq!(reading.changes[0].program, 1);
    let media = reading.changes[0].position.media.unwrap();
    assert!(media.abs_diff(Duration::from_secs(2)) < Duration::from_millis(5), "{media:?}");
    assert_eq!(reading.services[0].pmt_changes, 1);
    assert_eq!(reading.totals.structure_changes, expected.len() as u64);
}

#[test]
fn components_that_a_new_version_changes_are_told_by_name() {
    let english = (0x0F, AUDIO, ENGLISH);
    let appeared = |codec| ChangeKind::ComponentAppeared { coding: coded(codec) };
    let gone = |codec| ChangeKind::ComponentGone { coding: coded(codec) };
    check(&[H264, english], &[H264, english], &[]);
    check(&[H264], &[H264, english], &[(AUDIO, appeared(Codec::AacAdts))]);
    check(&[H264, english], &[H264], &[(AUDIO, gone(Codec::AacAdts))]);
    let coding = ChangeKind::CodingChanged { from: coded(Codec::AacAdts), to: coded(Codec::Ac3) };
    check(&[H264, english], &[H264, (0x81, AUDIO, ENGLISH)], &[(AUDIO, coding)]);
    let language = ChangeKind::LanguageChanged { from: Some("eng".into()), to: Some("deu".into()) };
    let german = (0x0F, AUDIO, &b"\x0A\x04deu\x00"[..]);
    check(&[H264, english], &[H264, german], &[(AUDIO, language)]);
    let role = ChangeKind::RoleChanged { from: AudioRole::Main, to: AudioRole::Description };
    let described = (0x0F, AUDIO, &b"\x0A\x04eng\x03"[..]);
    check(&[H264, english], &[H264, described], &[(AUDIO, role)]);
    let elsewhere = (0x0F, 0x1FF, ENGLISH);
    let moved = ChangeKind::ComponentMoved { from: Pid::from_bits(AUDIO) };
    check(&[H264, english], &[H264, elsewhere], &[(0x1FF, moved)]);
    // What is coded otherwise and elsewhere is something else.
    check(
        &[H264, english],
        &[H264, (0x81, 0x1FF, ENGLISH)],
        &[(AUDIO, gone(Codec::AacAdts)), (0x1FF, appeared(Codec::Ac3))],
    );
}

#[test]
fn a_table_that_changes_without_a_new_version_is_told() {
    let mut mux = Mux::default();
    mux.play(&plan(3, &[H264]), 50);
    let at = mux.play(&plan(3, &[H264, (0x0F, AUDIO, ENGLISH)]), 50) + 1;
    let reading = read(&mux.bytes);
    assert_eq!(told(&reading)[0], (at, PMT, ChangeKind::PmtVersion { from: 3, to: 3 }));
    assert_eq!(reading.changes.len(), 2);
}

#[test]
fn a_clock_and_a_table_that_move_are_told() {
    let mut mux = Mux::default();
    mux.play(&usual(), 50);
    let mut other = usual();
    other.tables[1].1 = pmt(1, 1, AUDIO, &[H264, (0x0F, AUDIO, ENGLISH)]);
    other.clock = AUDIO;
    let at = mux.play(&other, 50) + 1;
    let (from, to) = (Some(Pid::from_bits(VIDEO)), Some(Pid::from_bits(AUDIO)));
    let mut expected = vec![
        (at, PMT, ChangeKind::PmtVersion { from: 0, to: 1 }),
        (at, PMT, ChangeKind::ClockMoved { from, to }),
    ];
    other.tables[0].1 = pat(1, &[(1, 0x30)]);
    other.tables[1].0 = 0x30;
    let at = mux.play(&other, 50);
    expected.push((at, 0x30, ChangeKind::PmtMoved { from: Pid::from_bits(PMT) }));
    let reading = read(&mux.bytes);
    assert_eq!(told(&reading), expected);
    assert_eq!(reading.services[0].components.len(), 2);
}

#[test]
fn services_appear_and_go() {
    let mut mux = Mux::default();
    mux.play(&usual(), 50);
    let mut two = usual();
    two.tables[0].1 = pat(1, &[(1, PMT), (2, 0x21)]);
    two.tables.push((0x21, pmt(2, 0, VIDEO, &[(0x0F, 0x201, &[])])));
    let appears = mux.play(&two, 50);
    let mut one = usual();
    one.tables[0].1 = pat(2, &[(1, PMT)]);
    let goes = mux.play(&one, 50);
    // A PAT without programs, and back.
    one.tables[0].1 = pat(3, &[]);
    let empty = mux.play(&one, 50);
    one.tables[0].1 = pat(4, &[(1, PMT)]);
    let back = mux.play(&one, 50);
    let reading = read(&mux.bytes);
    assert_eq!(
        told(&reading),
        [
            (appears, 0x21, ChangeKind::ServiceAppeared),
            (goes, 0, ChangeKind::ServiceGone),
            (empty, 0, ChangeKind::ServiceGone),
            (back, PMT, ChangeKind::ServiceAppeared),
        ]
    );
    let programs: Vec<_> = reading.changes.iter().map(|c| c.program).collect();
    assert_eq!(programs, [2, 2, 1, 1]);
}

#[test]
fn a_component_that_stops_is_told_where_it_was_last_seen() {
    let mut mux = Mux::default();
    let last = mux.play(&usual(), 50) + 49 * FRAME;
    let mut silent = usual();
    silent.units.pop();
    mux.play(&silent, 24 * 6);
    let again = mux.play(&usual(), 50);
    let reading = read(&mux.bytes);
    let [(stopped, AUDIO, ChangeKind::Stopped), (resumed, AUDIO, ChangeKind::Resumed)] =
        told(&reading)[..]
    else {
        panic!("{:?}", reading.changes)
    };
    let within = |packet: usize, frame: usize| (frame..frame + FRAME).contains(&packet);
    assert!(within(stopped, last), "{stopped} is not in the frame from {last}");
    assert!(within(resumed, again), "{resumed} is not in the frame from {again}");
    let pid = |packet: usize| {
        u16::from_be_bytes([mux.bytes[packet * 188 + 1], mux.bytes[packet * 188 + 2]])
    };
    assert_eq!((pid(stopped) & 0x1FFF, pid(resumed) & 0x1FFF), (AUDIO, AUDIO));
    // 5 s are no stop, and what never came cannot stop.
    let mut mux = Mux::default();
    mux.play(&usual(), 50);
    mux.play(&silent, 24 * 5);
    mux.play(&usual(), 50);
    assert_eq!(read(&mux.bytes).changes, []);
    let mut mux = Mux::default();
    mux.play(&silent, 500);
    assert_eq!(read(&mux.bytes).changes, []);
}

#[test]
fn subtitles_stop_where_a_limit_says_so() {
    const SUBTITLES: u16 = 0x110;
    let subtitles = (0x06, SUBTITLES, &b"\x59\x08deu\x10\x00\x01\x00\x01"[..]);
    let quiet = plan(0, &[H264, (0x0F, AUDIO, ENGLISH), subtitles]);
    let mut shown = quiet.clone();
    shown.units.push((SUBTITLES, 0xBD, vec![0x20, 0, 0x0F, 0x10, 0, 1, 0xFF]));
    let mut mux = Mux::default();
    mux.play(&quiet, 100);
    mux.play(&shown, 50);
    let last = mux.play(&quiet, 100);
    let again = mux.play(&shown, 50);
    // They may be silent for as long as they like.
    assert_eq!(read(&mux.bytes).changes, []);
    let mut config = AnalyserConfig::default();
    config.profile.limits.pid_text = Some(Duration::from_secs(2));
    let found = told(&Reading::of(&mux.bytes, config));
    let [(stopped, SUBTITLES, ChangeKind::Stopped), (resumed, SUBTITLES, ChangeKind::Resumed)] =
        found[..]
    else {
        panic!("{found:?}")
    };
    // They are looked for each 100 ms, three frames at most.
    let near = |packet: usize, frame: usize| packet.abs_diff(frame) <= 3 * FRAME;
    assert!(near(stopped, last) && near(resumed, again), "{found:?} by {last} and {again}");
}

#[test]
fn packets_that_a_recording_lacks_stop_nothing() {
    let mut mux = Mux::default();
    mux.play(&usual(), 50);
    mux.frames += 25 * 20;
    mux.play(&usual(), 50);
    assert_eq!(read(&mux.bytes).changes, []);
}

#[test]
fn endless_versions_are_counted_and_told_within_bounds() {
    let mut mux = Mux::default();
    mux.section(0, &pat(0, &[(1, PMT)]));
    for version in 0..4000u16 {
        let pids = (0..30).map(|i| (0x0F, 0x100 + (version % 64) * 30 + i, &[][..]));
        mux.section(PMT, &pmt(1, version as u8 & 31, VIDEO, &pids.collect::<Vec<_>>()));
    }
    let wanted = Wanted::Program(1);
    let mut analyser = Analyser::new(AnalyserConfig { wanted, ..AnalyserConfig::default() });
    analyser.push(MonoTime::ZERO, &mux.bytes);
    // Each table lists 30 components elsewhere than the one before.
    assert_eq!(analyser.totals().structure_changes, 3999 * 31);
    let events = std::iter::from_fn(|| analyser.poll()).count() as u64;
    assert!(analyser.totals().dropped_events > 0 && events < 20_000, "{events} events");
    assert_eq!(analyser.services().next().unwrap().pmt_changes, 3999);
}
