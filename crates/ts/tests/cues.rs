//! Cues for splices in a stream: each told once, with its time and how long before it came.

use std::time::Duration;

use tallylight_model::Pid;
use tallylight_mux::{
    Mux, cue, pat,
    plan::{AHEAD, Plan, TICKS, picture},
    pmt, section,
};
use tallylight_ts::{AnalyserConfig, CueCounters, SpliceCommand};

mod reading;

use reading::Reading;

const PMT: u16 = 0x20;
const VIDEO: u16 = 0x100;
const CUES: u16 = 0x1F0;

fn plan(programs: &[(u16, u16)]) -> Plan {
    let components = [(0x1B, VIDEO, &[][..]), (0x86, CUES, b"\x05\x04CUEI")];
    let table = |(number, pid): &(u16, u16)| {
        let own = if *number == 1 { &components[..] } else { &[] };
        (*pid, pmt(*number, 0, VIDEO, own))
    };
    Plan {
        tables: [(0, pat(programs.len() as u8, programs))]
            .into_iter()
            .chain(programs.iter().map(table))
            .collect(),
        clock: VIDEO,
        units: vec![(VIDEO, 0xE0, picture())],
    }
}

fn time_signal(adjustment: u32, ticks: u64) -> Vec<u8> {
    let time = [0xFE | (ticks >> 32) as u8, (ticks >> 24) as u8, (ticks >> 16) as u8];
    cue(adjustment, 6, &[&time[..], &[(ticks >> 8) as u8, ticks as u8]].concat(), &[])
}

fn read(mux: &Mux) -> Reading {
    let reading = Reading::of(&mux.bytes, AnalyserConfig::default());
    let cut = Reading::in_chunks(&mux.bytes, AnalyserConfig::default(), &[1, 1000, 188]);
    assert_eq!(reading, cut);
    assert_eq!((reading.faults(), reading.totals.continuity_errors), (vec![], 0));
    reading
}

#[test]
fn a_cue_is_told_once_with_its_time_and_preroll() {
    for start in [0, (1 << 33) - 3 * 25 * TICKS] {
        let mut mux = Mux::default();
        mux.frames = start / TICKS / 2 * 2;
        let (usual, origin) = (plan(&[(1, PMT)]), mux.frames * TICKS);
        mux.play(&usual, 50);
        // Four seconds from the clock's next value.
        let due = (origin + 54 * TICKS + 4 * 90_000) % (1 << 33);
        mux.play(&usual, 4);
        let at = mux.packets();
        mux.section(CUES, &time_signal(0, due));
        mux.play(&usual, 25);
        mux.section(CUES, &time_signal(0, due));
        mux.section(CUES, &cue(0, 0, &[], &[]));
        // Another PAT does not make a repetition a new cue.
        mux.play(&plan(&[(1, PMT), (2, 0x21)]), 25);
        mux.section(CUES, &time_signal(0, due));
        // Adjusted by a second, and a second later.
        let late = mux.packets();
        mux.section(CUES, &time_signal(90_000, due));
        mux.play(&usual, 10);
        let reading = read(&mux);
        let [first, second] = &reading.cues[..] else { panic!("{:?}", reading.cues) };
        assert_eq!((first.pid.get(), first.program), (CUES, Some(1)));
        assert_eq!((first.position.packet, second.position.packet), (at as u64, late as u64));
        assert_eq!(first.info.time().unwrap().ticks(), due);
        // It stands where the tables of the next frame would, two packets or milliseconds before its clock.
        assert_eq!(first.preroll_ms, Some(4002));
        let second = second.preroll_ms.unwrap();
        assert!((second - (4002 + 1000 - 2000)).abs() <= 1, "{second}");
        // Pictures are sent 200 ms before their time, so what is due at a stamp stands earlier in the stream by that.
        let ahead = Duration::from_millis(AHEAD / 90);
        let expected = Duration::from_millis(54 * 40 + 4000) - ahead;
        assert!(first.media.unwrap().abs_diff(expected) <= Duration::from_millis(3), "{first:?}");
        let counters = CueCounters { cues: 2, repeats: 2, heartbeats: 1, damaged: 0 };
        assert_eq!(reading.cue_counters, [(Pid::from_bits(CUES), counters)]);
    }
}

#[test]
fn a_cue_that_comes_late_or_without_time_says_so() {
    let mut mux = Mux::default();
    let usual = plan(&[(1, PMT)]);
    mux.play(&usual, 50);
    mux.section(CUES, &time_signal(0, 25 * TICKS));
    mux.section(CUES, &cue(0, 6, &[0x7F], &[]));
    mux.section(CUES, &cue(0, 5, &[0, 0, 0, 9, 0xFF], &[]));
    mux.play(&usual, 5);
    let reading = read(&mux);
    let prerolls: Vec<_> = reading.cues.iter().map(|cue| cue.preroll_ms).collect();
    assert!(matches!(prerolls[..], [Some(-998), None, None]), "{prerolls:?}");
    assert_eq!(reading.cues[1].media, None);
    assert!(matches!(reading.cues[2].info.command, SpliceCommand::Insert(i) if i.splice.is_none()));
}

#[test]
fn damaged_and_foreign_sections_are_no_cues_and_no_faults() {
    let mut mux = Mux::default();
    let usual = plan(&[(1, PMT)]);
    mux.play(&usual, 50);
    for at in [5, 15, 19] {
        let mut bytes = time_signal(0, 90_000);
        bytes[at] ^= 0x10;
        mux.section(CUES, &bytes);
    }
    mux.section(CUES, &section(0x70, 1, 0, &[1, 2, 3]));
    mux.play(&usual, 10);
    let reading = read(&mux);
    assert_eq!((reading.cues.len(), reading.totals.section_errors), (0, 0));
    assert_eq!(reading.cue_counters[0].1, CueCounters { damaged: 3, ..CueCounters::default() });
}

#[test]
fn cues_that_never_repeat_take_no_more_room() {
    let mut mux = Mux::default();
    let usual = plan(&[(1, PMT)]);
    mux.play(&usual, 10);
    for ticks in 0..1000 {
        mux.section(CUES, &time_signal(0, ticks));
    }
    for ticks in (0..1000).rev() {
        mux.section(CUES, &time_signal(0, ticks));
    }
    let reading = Reading::of(&mux.bytes, AnalyserConfig::default());
    // Sixteen of them are remembered.
    assert_eq!((reading.cues.len(), reading.cue_counters[0].1.repeats), (1984, 16));
}
