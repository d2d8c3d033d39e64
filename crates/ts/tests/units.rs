//! Pictures by type and group, and how long before their time picture and sound are sent.

#![expect(clippy::unwrap_used, reason = "a test stops where its stream is wrong")]

use std::time::Duration;

use tallylight_mux::{
    Mux, pat,
    plan::{Plan, picture, sound},
    pmt,
};
use tallylight_ts::{AnalyserConfig, ElementaryReport, Groups, Sizes};

mod reading;

use reading::Reading;

const PMT: u16 = 0x20;
const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;

fn plan(picture: Vec<u8>) -> Plan {
    let components = [(0x1B, VIDEO, &[][..]), (0x0F, AUDIO, &[])];
    Plan {
        tables: vec![(0, pat(0, &[(1, PMT)])), (PMT, pmt(1, 0, VIDEO, &components))],
        clock: VIDEO,
        units: vec![(VIDEO, 0xE0, picture), (AUDIO, 0xC0, sound())],
    }
}

fn read(bytes: &[u8]) -> Reading {
    let config = AnalyserConfig::default();
    let reading = Reading::of(bytes, config);
    assert_eq!(reading, Reading::in_chunks(bytes, config, &[1, 1880, 77]));
    assert_eq!(reading.faults(), []);
    reading
}

fn report(reading: &Reading, pid: u16) -> ElementaryReport {
    *reading.elementary.iter().find(|e| e.pid.get() == pid).unwrap()
}

/// A picture with a slice of so many bytes, and filler that does not count.
fn coded(slice: [u8; 2], bytes: usize) -> Vec<u8> {
    let filler = [&[0, 0, 1, 0x0C][..], &[0xFF; 50], &[0x80]].concat();
    [&[0, 0, 0, 1, 9, 0x10, 0, 0, 1], &slice[..], &vec![0xAA; bytes], &filler].concat()
}

#[test]
fn pictures_are_counted_by_type_and_measured_without_filler() {
    let (idr, p, b) = ([0x65, 0x88], [0x41, 0x9A], [0x01, 0x9E]);
    let mut mux = Mux::default();
    for group in [12, 12, 25, 12] {
        mux.play(&plan(coded(idr, 800)), 1);
        for i in 1..group {
            let (slice, bytes) = if i % 3 == 0 { (p, 300) } else { (b, 100) };
            mux.play(&plan(coded(slice, bytes)), 1);
        }
    }
    let pictures = report(&read(&mux.bytes), VIDEO).pictures;
    // Delimiter and slice with their start codes are ten bytes more.
    let sizes = |count: u64, bytes: u64| Sizes { count, bytes: count * (bytes + 10) };
    assert_eq!((pictures.i, pictures.p), (sizes(4, 800), sizes(3 * 3 + 8, 300)));
    assert_eq!((pictures.b, pictures.unknown), (sizes(3 * 8 + 16, 100), Sizes::default()));
    // The last one is not over. Its groups are apart by their first stamps.
    let ms = Duration::from_millis;
    let expected = Groups {
        count: 3,
        pictures: 49,
        bounds: Some((12, 25)),
        timed: 3,
        time: ms(49 * 40),
        time_bounds: Some((ms(480), ms(1000))),
    };
    assert_eq!(pictures.groups, expected);
}

#[test]
fn leads_are_measured_where_packets_begin() {
    let mut mux = Mux::default();
    let plan = plan(picture());
    mux.play(&plan, 25 * 4);
    let intact = read(&mux.bytes);
    let (video, audio) =
        (report(&intact, VIDEO).lead.unwrap(), report(&intact, AUDIO).lead.unwrap());
    // A packet takes 1 ms. The picture follows the clock at once, and the sound the picture's three packets.
    assert_eq!((video.min_us, video.mean_us, video.max_us), (199_000, 199_000, 199_000));
    assert_eq!((audio.min_us, audio.max_us, audio.first_us), (196_000, 196_000, 196_000));
    let both = intact.ahead[0].unwrap();
    assert_eq!((both.first_us, both.last_us, both.step.unwrap().0), (3_000, 3_000, 0));

    // Sound that is stamped 100 ms later.
    mux.shifts.insert(AUDIO, 9_000);
    mux.play(&plan, 25 * 4);
    let shifted = read(&mux.bytes);
    let audio = report(&shifted, AUDIO).lead.unwrap();
    assert_eq!((audio.min_us, audio.max_us), (196_000, 296_000));
    assert_eq!((audio.first_us, audio.last_us), (196_000, 296_000));
    assert_eq!(report(&shifted, VIDEO).lead.unwrap().max_us, 199_000);
    let both = shifted.ahead[0].unwrap();
    assert_eq!((both.first_us, both.last_us), (3_000, -97_000));
    let (step, here) = both.step.unwrap();
    assert!((-100_000..=-50_000).contains(&step), "{step}");
    let seconds = here.media.unwrap().as_secs_f64();
    assert!((4.0..6.0).contains(&seconds), "{seconds}");
    assert!(both.span.abs_diff(Duration::from_secs(6)) < Duration::from_millis(1200));
}

#[test]
fn without_a_clock_or_stamps_there_is_no_lead() {
    let mut mux = Mux::default();
    let mut clockless = plan(picture());
    clockless.clock = 0x1FF;
    mux.play(&clockless, 100);
    let reading = Reading::of(&mux.bytes, AnalyserConfig::default());
    assert_eq!((report(&reading, VIDEO).lead, reading.ahead[0]), (None, None));
}
