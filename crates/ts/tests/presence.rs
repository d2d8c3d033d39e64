//! Captions, subtitles and teletext: what is promised, and what is really seen.

#![expect(clippy::unwrap_used, reason = "a test stops where its stream is wrong")]

use tallylight_mux::{
    Mux, pat,
    plan::{FRAME, Plan},
    pmt, sealed,
};
use tallylight_ts::{AnalyserConfig, Captions, ElementaryReport, TextKind};

mod reading;

use reading::Reading;

const PMT: u16 = 0x20;
const VIDEO: u16 = 0x100;
const SUBTITLES: u16 = 0x110;

fn plan(stream_type: u8, info: &[u8], picture: Vec<u8>) -> Plan {
    let subtitles = (0x06, SUBTITLES, &b"\x59\x08deu\x10\x00\x01\x00\x01"[..]);
    let components = [(stream_type, VIDEO, info), subtitles];
    Plan {
        tables: vec![(0, pat(0, &[(1, PMT)])), (PMT, pmt(1, 0, VIDEO, &components))],
        clock: VIDEO,
        units: vec![(VIDEO, 0xE0, picture)],
    }
}

/// User data with these triplets of caption data.
fn user_data(triplets: &[u8]) -> Vec<u8> {
    [&b"GA94\x03"[..], &[0xC0 | (triplets.len() / 3) as u8, 0xFF], triplets, &[0xFF]].concat()
}

/// A picture of each codec by stream type, with these triplets in its own messages.
fn picture(stream_type: u8, triplets: Option<&[u8]>) -> Vec<u8> {
    let data = triplets.map_or(Vec::new(), user_data);
    let registered = |head: &[u8]| match triplets {
        None => Vec::new(),
        Some(_) => {
            let size = [4, data.len() as u8 + 3, 0xB5, 0x00, 0x31];
            // A buffering period before it is passed over; three zeros in a row must not be.
            [&[0, 0, 1][..], head, &[0, 2, 0x9A, 0xBC], &size, &data, &[0x80]].concat()
        }
    };
    match stream_type {
        0x1B => {
            let slice = [0, 0, 1, 0x65, 0x88, 0x84, 0xAA];
            [&[0, 0, 0, 1, 9, 0x10][..], &registered(&[6]), &slice].concat()
        }
        0x24 => {
            let slice = [0, 0, 1, 0x26, 0x01, 0xAF, 0xAA];
            [&[0, 0, 0, 1, 0x46, 1, 0x10][..], &registered(&[0x4E, 1]), &slice].concat()
        }
        _ => {
            let header = [0, 0, 1, 0, 0, 0x0F, 0xFF, 0xF8];
            let user = if data.is_empty() { Vec::new() } else { vec![0, 0, 1, 0xB2] };
            [&header[..], &user, &data, &[0, 0, 1, 1, 0x22, 0x33]].concat()
        }
    }
}

fn read(mux: &Mux) -> Reading {
    let config = AnalyserConfig::default();
    let reading = Reading::of(&mux.bytes, config);
    assert_eq!(reading, Reading::in_chunks(&mux.bytes, config, &[1, 191, 7]));
    assert_eq!(reading.faults(), []);
    reading
}

fn captions(reading: &Reading) -> Captions {
    let mut components = reading.elementary.iter();
    components.find(|e| e.pid.get() == VIDEO).map(|e: &ElementaryReport| e.captions).unwrap()
}

#[test]
fn captions_are_seen_in_the_pictures_of_each_codec() {
    for stream_type in [0x1B, 0x24, 0x02] {
        let mut mux = Mux::default();
        mux.play(&plan(stream_type, &[], picture(stream_type, None)), 10);
        let padding = picture(stream_type, Some(&[0xFC, 0x80, 0x80, 0xFA, 0, 0]));
        mux.play(&plan(stream_type, &[], padding), 10);
        assert_eq!(captions(&read(&mux)), Captions::default(), "{stream_type:#x}");
        let line_21 = picture(stream_type, Some(&[0xFC, 0x94, 0x2C]));
        let first = mux.play(&plan(stream_type, &[], line_21), 10);
        let both = picture(stream_type, Some(&[0xFC, 0x94, 0x2C, 0xFF, 0x43, 0x21]));
        let second = mux.play(&plan(stream_type, &[], both), 10);
        let found = captions(&read(&mux));
        let packets = [found.cea608, found.cea708].map(|seen| seen.map(|at| at.packet as usize));
        // Behind tables and clock, in the frame's one packet of video.
        assert_eq!(packets, [Some(first + 3), Some(second + 3)], "{stream_type:#x}");
    }
}

#[test]
fn what_is_promised_is_not_taken_for_seen() {
    let mut mux = Mux::default();
    let promise = b"\x86\x07\xE1eng\xC1\x3F\xFF";
    let quiet = plan(0x1B, promise, picture(0x1B, None));
    mux.play(&quiet, 30);
    let mut texts = quiet.clone();
    let first = mux.frames;
    texts.units.push((SUBTITLES, 0xBD, vec![0x20, 0, 0x0F, 0x10, 0, 1, 0xFF]));
    mux.play(&texts, 1);
    mux.play(&quiet, 30);
    let reading = read(&mux);
    let components = &reading.services[0].components;
    let listed: Vec<_> = components
        .iter()
        .flat_map(|c| &c.texts)
        .map(|text| (text.kind, text.language.as_deref(), text.number))
        .collect();
    assert_eq!(
        listed,
        [(TextKind::Cea708, Some("eng"), 1), (TextKind::DvbSubtitle, Some("deu"), 1)]
    );
    assert_eq!(captions(&reading), Captions::default());
    let [(pid, Some(seen))] = reading.seen[..] else { panic!("{:?}", reading.seen) };
    // It is looked for each 100 ms.
    let frame = seen.packet / FRAME as u64;
    assert!(pid.get() == SUBTITLES && (first..=first + 3).contains(&frame), "{seen:?}");
    let mut mux = Mux::default();
    mux.play(&quiet, 30);
    assert_eq!(read(&mux).seen[0].1, None);
}

#[test]
fn a_multiplex_within_this_one_is_seen_with_tables_or_without() {
    // A T2-MI packet of a baseband frame.
    let mut packet = vec![0, 1, 0x20, 0, 0x01, 0x90];
    packet.resize(6 + 50, 0x77);
    let payload = [&[0][..], &sealed(packet), &[0xFF; 100]].concat();
    for (pid, info) in [(0x1000, &[][..]), (0x300, b"\x7F\x04\x11\x00\x00\x00"), (0x300, &[])] {
        let mut plan = plan(0x1B, &[], picture(0x1B, None));
        if pid == 0x300 {
            let components = [(0x1B, VIDEO, &[][..]), (0x06, pid, info)];
            plan.tables[1].1 = pmt(1, 0, VIDEO, &components);
        }
        let mut mux = Mux::default();
        mux.play(&plan, 10);
        assert_eq!(read(&mux).t2mi, []);
        let at = mux.packets() as u64;
        for _ in 0..3 {
            mux.packet(pid, true, None, &payload);
        }
        mux.play(&plan, 10);
        let seen: Vec<_> =
            read(&mux).t2mi.iter().map(|(pid, here)| (pid.get(), here.packet)).collect();
        assert_eq!(seen, [(pid, at)], "{info:02x?}");
    }
}
