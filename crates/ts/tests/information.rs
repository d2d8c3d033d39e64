//! Service information that is complete, and then lacks or has too much of something known: every count is exact.

#![expect(clippy::unwrap_used, reason = "a test stops where its clip is wrong")]

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use tallylight_mux::{self as mux, PACKET, sealed, section};
use tallylight_ts::{AnalyserConfig, CheckProfile, Indicator, Overflow};

#[expect(dead_code, reason = "the other test that shares it uses more of it")]
mod clip;
mod reading;

use clip::{constant, pid, raised, tally, timed};
use reading::Reading;

const NIT: u16 = 0x10;
const SDT: u16 = 0x11;
const EIT: u16 = 0x12;
const RST: u16 = 0x13;
const TDT: u16 = 0x14;

/// A section that is due at these seconds.
#[derive(Clone)]
struct Due {
    pid: u16,
    section: Vec<u8>,
    at: Vec<f64>,
}

fn due(pid: u16, section: Vec<u8>, first: f64, period: f64) -> Due {
    let at = (0..).map(|i| first + f64::from(i) * period).take_while(|at| *at < 12.0).collect();
    Due { pid, section, at }
}

fn numbered(table: u8, extension: u16, number: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = section(table, extension, 0, body);
    bytes.truncate(bytes.len() - 4);
    (bytes[6], bytes[7]) = (number, 1);
    sealed(bytes)
}

/// Tables without a CRC, or of another form.
fn short(table: u8, body: &[u8]) -> Vec<u8> {
    [&[table, 0x70, body.len() as u8], body].concat()
}

fn time_offset() -> Vec<u8> {
    sealed([&[0x73, 0x70, 11][..], &[0xC0, 0, 0, 0, 0], &[0xF0, 0]].concat())
}

/// Events of a service on the transport stream 1.
fn events(table: u8, service: u16, number: u8) -> Vec<u8> {
    numbered(table, service, number, &[0, 1, 0, 1, 1, 0x4E])
}

/// What a broadcast network carries beside ffmpeg's own PAT, PMT and SDT.
fn complete() -> BTreeMap<&'static str, Due> {
    [
        ("nit", due(NIT, numbered(0x40, 1, 0, &[0xF0, 0, 0xF0, 0]), 0.5, 2.0)),
        ("nit_other", due(NIT, numbered(0x41, 2, 0, &[0xF0, 0, 0xF0, 0]), 0.7, 2.0)),
        ("sdt_other", due(SDT, numbered(0x46, 2, 0, &[0, 1, 0xFF]), 0.9, 2.0)),
        ("bat", due(SDT, numbered(0x4A, 3, 0, &[0xF0, 0, 0xF0, 0]), 1.1, 2.0)),
        ("present", due(EIT, events(0x4E, 1, 0), 0.2, 1.0)),
        ("following", due(EIT, events(0x4E, 1, 1), 0.3, 1.0)),
        ("present_other", due(EIT, events(0x4F, 9, 0), 0.4, 2.0)),
        ("following_other", due(EIT, events(0x4F, 9, 1), 0.6, 2.0)),
        ("schedule", due(EIT, events(0x50, 1, 0), 0.1, 5.0)),
        ("tdt", due(TDT, short(0x70, &[0; 5]), 0.8, 2.0)),
        ("tot", due(TDT, time_offset(), 1.2, 2.0)),
        ("rst", due(RST, short(0x71, &[]), 3.0, 4.0)),
    ]
    .into()
}

/// Puts sections into the place of null packets, each as soon as one comes after it is due.
fn carrying(sections: impl IntoIterator<Item = Due>) -> Vec<u8> {
    static TIMED: OnceLock<Vec<(f64, [u8; PACKET])>> = OnceLock::new();
    let mut queue: Vec<(f64, u16, Vec<u8>)> = sections
        .into_iter()
        .flat_map(|due| {
            due.at.iter().map(|at| (*at, due.pid, due.section.clone())).collect::<Vec<_>>()
        })
        .collect();
    queue.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut counters = BTreeMap::<u16, u8>::new();
    let mut bytes = Vec::new();
    for (at, packet) in TIMED.get_or_init(|| timed(constant())) {
        let mut packet = *packet;
        if pid(&packet) == 0x1FFF && queue.last().is_some_and(|(due, ..)| due <= at) {
            let (_, pid, section) = queue.pop().unwrap();
            let counter = counters.entry(pid).or_default();
            let payload = [&[0], &section[..], &[0xFF; 183]].concat();
            packet = mux::packet(pid, true, *counter, None, &payload);
            *counter = (*counter + 1) & 15;
        }
        // ffmpeg's own SDT has its counter.
        if pid(&packet) == SDT {
            let counter = counters.entry(0xFFFF).or_default();
            packet[3] = packet[3] & 0xF0 | *counter;
            *counter = (*counter + 1) & 15;
        }
        bytes.extend(packet);
    }
    assert!(queue.is_empty(), "{} sections found no place", queue.len());
    bytes
}

fn config() -> AnalyserConfig {
    let mut profile = CheckProfile::BROADCAST;
    // ffmpeg sends sound in pieces that a receiver's buffers do not take.
    profile.overflow = Overflow::Ignored;
    let limits = &mut profile.limits;
    let short = Duration::from_secs(3);
    (limits.nit, limits.si_other, limits.eit_other, limits.tdt) = (short, short, short, short);
    AnalyserConfig { profile, ..AnalyserConfig::default() }
}

/// Checks that are raised, and how often.
type Expected<'a> = &'a [(Indicator, u64)];

fn check(sections: BTreeMap<&'static str, Due>, expected: Expected<'_>, what: &str) -> Reading {
    let reading = Reading::of(&carrying(sections.into_values()), config());
    let found = |indicator| (indicator, tally(&reading, indicator).0);
    let found: Vec<_> = expected.iter().map(|(indicator, _)| found(*indicator)).collect();
    assert_eq!(found, expected, "{what}");
    let mut numbers: Vec<_> = expected.iter().map(|(indicator, _)| indicator.number()).collect();
    numbers.sort_unstable();
    let mut raised = raised(&reading);
    raised.sort_unstable();
    assert_eq!(raised, numbers, "{what}");
    reading
}

#[test]
fn complete_information_raises_nothing() {
    check(complete(), &[], "complete");
    let plain = Reading::of(constant(), config());
    assert_eq!(raised(&plain), ["3.1", "3.1.a", "3.6", "3.6.a", "3.8"]);
    // It is only counted where nobody asked for it, and a capture that is shorter than the limits says nothing.
    let default = Reading::of(constant(), AnalyserConfig::default());
    assert_eq!(
        (raised(&default), default.faults()),
        (vec!["3.1", "3.1.a", "3.6", "3.6.a"], vec![])
    );
    let ott = AnalyserConfig { profile: CheckProfile::OTT, ..AnalyserConfig::default() };
    assert_eq!(raised(&Reading::of(constant(), ott)), [""; 0]);
}

#[test]
fn what_stays_out_for_a_while_is_told_once_with_its_time() {
    use Indicator as I;
    let cases: [(&[&str], Expected<'_>); 8] = [
        (&["nit"], &[(I::NitActual, 1), (I::SiRepetition, 1)]),
        (
            &["nit", "nit_other"],
            &[(I::Nit, 1), (I::NitActual, 1), (I::NitOther, 1), (I::SiRepetition, 2)],
        ),
        (&["sdt_other"], &[(I::SdtOther, 1), (I::SiRepetition, 1)]),
        (&["bat"], &[(I::SiRepetition, 1)]),
        (&["present", "following"], &[(I::Eit, 1), (I::EitActual, 2), (I::SiRepetition, 2)]),
        (&["present_other", "following_other"], &[(I::EitOther, 2), (I::SiRepetition, 2)]),
        (&["tdt"], &[(I::Tdt, 1), (I::SiRepetition, 1)]),
        (&["tot"], &[(I::SiRepetition, 1)]),
    ];
    for (out, expected) in cases {
        let mut sections = complete();
        for name in out {
            sections.get_mut(name).unwrap().at.retain(|at| !(3.0..8.0).contains(at));
        }
        let reading = check(sections, expected, &format!("{out:?}"));
        let (_, held, _) = tally(&reading, expected[0].0);
        assert!((4_900..8_100).contains(&held), "{out:?} for {held} ms");
    }
}

#[test]
fn a_following_event_that_is_missing_is_half_a_table() {
    let mut sections = complete();
    sections.remove("following");
    sections.remove("following_other");
    let expected = [(Indicator::EitActual, 1), (Indicator::EitPf, 2)];
    let reading = check(sections, &expected, "following");
    assert_eq!(tally(&reading, Indicator::EitPf).2, [EIT]);
}

#[test]
fn every_foreign_table_is_counted_once() {
    use Indicator as I;
    let cases: [(u16, Vec<u8>, &[Indicator]); 5] = [
        (NIT, numbered(0x42, 1, 0, &[0, 1, 0xFF]), &[I::Nit, I::NitActual]),
        (SDT, numbered(0x40, 1, 0, &[0xF0, 0, 0xF0, 0]), &[I::Sdt, I::SdtActual]),
        (EIT, numbered(0x02, 1, 0, &[0xE1, 0, 0xF0, 0]), &[I::Eit, I::EitActual]),
        (RST, short(0x70, &[0; 5]), &[I::Rst]),
        (TDT, short(0x71, &[]), &[I::Tdt]),
    ];
    for (pid, section, raised) in cases {
        let mut sections = complete();
        sections.insert("foreign", due(pid, section, 2.05, 0.5));
        let count = sections["foreign"].at.len() as u64;
        let expected: Vec<_> = raised.iter().map(|indicator| (*indicator, count)).collect();
        check(sections, &expected, &format!("on PID {pid:#x}"));
    }
}

#[test]
fn sections_of_a_table_too_close_to_one_another_are_counted() {
    use Indicator as I;
    for (name, raised) in [
        ("nit", Some(I::NitActual)),
        ("present", Some(I::EitActual)),
        ("tdt", Some(I::Tdt)),
        ("bat", None),
    ] {
        let mut sections = complete();
        let mut again = sections[name].clone();
        again.at = vec![4.0, 4.0, 7.0, 7.0, 7.0, 9.0, 9.2];
        sections.get_mut(name).unwrap().at.retain(|at| (at - 9.0).abs() > 0.3);
        sections.insert("again", again);
        let expected = raised.into_iter().chain([I::SiRepetition]).map(|indicator| (indicator, 3));
        check(sections, &expected.collect::<Vec<_>>(), name);
    }
}

#[test]
fn broken_sections_of_every_table_with_a_crc_are_counted() {
    for name in ["nit", "nit_other", "sdt_other", "bat", "present", "schedule", "tot"] {
        let mut sections = complete();
        let mut broken = sections[name].clone();
        broken.section[8] ^= 4;
        broken.at = vec![3.35, 3.45, 6.15];
        sections.insert("broken", broken);
        check(sections, &[(Indicator::Crc, 3)], name);
    }
    // These have none.
    for name in ["tdt", "rst"] {
        let mut sections = complete();
        if let Some(last) = sections.get_mut(name).unwrap().section.last_mut() {
            *last = 0;
        }
        check(sections, &[], name);
    }
}

#[test]
fn a_pid_that_no_table_lists_is_told_after_its_grace() {
    let mut sections = complete();
    sections.insert("stray", due(0x300, vec![0xFF; 20], 3.0, 0.05));
    sections.insert("short", due(0x301, vec![0xFF; 20], 11.6, 0.05));
    let expected = [(Indicator::UnreferencedPid, 1), (Indicator::UnreferencedPid2, 1)];
    let reading = check(sections, &expected, "stray");
    let (_, held, pids) = tally(&reading, Indicator::UnreferencedPid2);
    assert_eq!(pids, [0x300]);
    assert!((8_700..9_100).contains(&held), "{held}");
}
