//! Good streams that are damaged in known ways: what is found, and where in media time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where its tools fail")]

use std::{process::Command, sync::OnceLock, time::Duration};

use tallylight_model::MonoTime;
use tallylight_ts::{
    Analyser, AnalyserConfig, Check, CheckClock, Condition, Event, FindingKind, Payload, Wanted,
};

mod reading;

use reading::Reading;

const PACKET: usize = 188;
const PAT: u16 = 0;
const PMT: u16 = 0x1000;
const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;

/// Twelve seconds of H.264 and AAC, muxed by ffmpeg with these options.
fn make(mux: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.ts");
    let video = "testsrc2=size=320x180:rate=25:duration=12";
    let sound = "sine=frequency=440:sample_rate=48000:duration=12";
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y"])
        .args(["-f", "lavfi", "-i", video, "-f", "lavfi", "-i", sound])
        .args(
            "-c:v libx264 -preset ultrafast -g 25 -b:v 600k -maxrate 600k -bufsize 300k".split(' '),
        )
        .args("-c:a aac -b:a 96k".split(' '))
        .args(mux.split_whitespace())
        .args(["-f", "mpegts"])
        .arg(&path)
        .status()
        .unwrap_or_else(|error| panic!("ffmpeg is needed (apt install ffmpeg): {error}"));
    assert!(status.success(), "ffmpeg failed");
    std::fs::read(path).unwrap()
}

/// With null packets, at a constant rate.
fn constant() -> &'static [u8] {
    static CLIP: OnceLock<Vec<u8>> = OnceLock::new();
    CLIP.get_or_init(|| make("-muxrate 1200k"))
}

/// As ffmpeg does by itself.
fn variable() -> &'static [u8] {
    static CLIP: OnceLock<Vec<u8>> = OnceLock::new();
    CLIP.get_or_init(|| make(""))
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1], packet[2]]) & 0x1FFF
}

/// The stream's packets with their media time in seconds, as the analyser has it for the intact stream.
fn timed(clip: &[u8]) -> Vec<(f64, [u8; PACKET])> {
    let mut analyser = Analyser::new(AnalyserConfig::default());
    clip.chunks(PACKET)
        .map(|packet| {
            analyser.push(MonoTime::ZERO, packet);
            let media = analyser.position().media.unwrap_or_default();
            (media.as_secs_f64(), packet.try_into().unwrap())
        })
        .collect()
}

/// Passes every packet through `change`; what becomes `None` is left out.
fn altered(clip: &[u8], mut change: impl FnMut(f64, &mut [u8; PACKET]) -> bool) -> Vec<u8> {
    timed(clip)
        .into_iter()
        .filter_map(|(at, mut packet)| change(at, &mut packet).then_some(packet))
        .flatten()
        .collect()
}

fn read(bytes: &[u8]) -> Reading {
    Reading::of(bytes, AnalyserConfig { payload: Payload::All, ..AnalyserConfig::default() })
}

fn null() -> [u8; PACKET] {
    let mut packet = [0xFF; PACKET];
    packet[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
    packet
}

fn seconds(media: Option<Duration>) -> f64 {
    media.unwrap().as_secs_f64()
}

/// Each condition with the seconds from and to which it held.
fn spans(reading: &Reading) -> Vec<(Check, f64, Option<f64>)> {
    let ends = |begin: &Condition| {
        let end = |c: &&Condition| {
            !c.holds && (c.check, c.pid, c.since) == (begin.check, begin.pid, begin.since)
        };
        reading.conditions.iter().find(end).map(|end| seconds(end.position.media))
    };
    let begins = reading.conditions.iter().filter(|condition| condition.holds);
    begins.map(|begin| (begin.check, seconds(begin.since.media), ends(begin))).collect()
}

fn assert_spans(reading: &Reading, expected: &[(Check, f64, Option<f64>)], what: &str) {
    let found = spans(reading);
    let near = |a: f64, b: f64| (a - b).abs() < if what.contains("no clock") { 0.8 } else { 0.25 };
    let same = found.len() == expected.len()
        && expected.iter().all(|e| {
            found.iter().any(|f| {
                f.0 == e.0
                    && near(f.1, e.1)
                    && (f.2.is_some() == e.2.is_some())
                    && near(f.2.unwrap_or(0.0), e.2.unwrap_or(0.0))
            })
        });
    assert!(same, "{what}: {found:?} instead of {expected:?}");
}

#[test]
fn lost_video_is_timed_although_the_clock_goes_with_it() {
    for (clip, what) in [(constant(), "constant"), (variable(), "variable")] {
        // The counters go on as if nothing was missing.
        let mut counter = 0;
        let cut = altered(clip, |at, packet| {
            if pid(packet) == VIDEO {
                if (3.0..9.0).contains(&at) {
                    return false;
                }
                counter = u8::wrapping_add(counter, packet[3] >> 4 & 1);
                packet[3] = packet[3] & 0xF0 | counter.wrapping_sub(1) & 0x0F;
            }
            true
        });
        let reading = read(&cut);
        assert_eq!(reading.totals.continuity_errors, 0, "{what}");
        let lost = [(Check::NoVideo, 3.0, Some(9.0)), (Check::PidMissing, 3.0, Some(9.0))];
        assert_spans(&reading, &lost, what);
    }
}

#[test]
fn a_clock_that_goes_on_alone_is_no_picture() {
    // Only packets with a PCR are left of the video, without their payload.
    let cut = altered(constant(), |at, packet| {
        if pid(packet) != VIDEO || !(3.0..9.0).contains(&at) {
            return true;
        }
        let clock = packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x10 != 0;
        packet[3] = packet[3] & 0xC0 | 0x20;
        packet[4] = 183;
        clock
    });
    let lost: Vec<_> = spans(&read(&cut)).into_iter().map(|span| span.0).collect();
    assert_eq!(lost, [Check::NoVideo]);
}

#[test]
fn a_service_that_goes_silent_in_a_constant_multiplex_is_timed() {
    for start in (0..40).map(|step| 2.9 + f64::from(step) / 200.0) {
        let cut = altered(constant(), |at, packet| {
            if (start..9.0).contains(&at) && matches!(pid(packet), VIDEO | AUDIO) {
                *packet = null();
            }
            true
        });
        let expected = [
            (Check::NoVideo, start, Some(9.0)),
            (Check::NoAudio, start, Some(9.0)),
            (Check::PidMissing, start, Some(9.0)),
            (Check::PidMissing, start, Some(9.0)),
        ];
        assert_spans(&read(&cut), &expected, "silent service");
    }
}

#[test]
fn lost_audio_and_video_that_never_comes_are_seen() {
    for clip in [constant(), variable()] {
        let cut = altered(clip, |at, packet| !(pid(packet) == AUDIO && at >= 4.0));
        let expected = [(Check::NoAudio, 4.0, None), (Check::PidMissing, 4.0, None)];
        assert_spans(&read(&cut), &expected, "audio lost");
        let cut = altered(clip, |_, packet| pid(packet) != AUDIO);
        let expected = [(Check::NoAudio, 0.0, None), (Check::PidMissing, 0.0, None)];
        assert_spans(&read(&cut), &expected, "audio never there");
    }
}

#[test]
fn an_outage_in_a_recording_lasts_as_long_as_its_clock_says() {
    for clip in [constant(), variable()] {
        let reading = read(&altered(clip, |at, _| !(3.0..7.0).contains(&at)));
        let outage = [(Check::NoVideo, 3.0, Some(7.0)), (Check::NoAudio, 3.0, Some(7.0))];
        assert_spans(&reading, &outage, "outage");
        let last = reading.units.iter().filter_map(|unit| unit.media_time).max().unwrap();
        assert!((last.as_secs_f64() - 12.0).abs() < 0.2, "{last:?}");
    }
}

#[test]
fn missing_tables_are_seen() {
    for clip in [constant(), variable()] {
        let cut = altered(clip, |at, packet| pid(packet) != PAT || !(4.0..6.0).contains(&at));
        assert_spans(&read(&cut), &[(Check::PatMissing, 4.0, Some(6.0))], "PAT");
        let cut = altered(clip, |at, packet| pid(packet) != PMT || !(4.0..6.0).contains(&at));
        assert_spans(&read(&cut), &[(Check::PmtMissing, 4.0, Some(6.0))], "PMT");
        let cut = altered(clip, |_, packet| pid(packet) != PAT);
        assert_spans(&read(&cut), &[(Check::PatMissing, 0.0, None)], "no PAT");
        let cut = altered(clip, |_, packet| pid(packet) != PMT);
        assert_spans(&read(&cut), &[(Check::PmtMissing, 0.0, None)], "no PMT");
    }
}

#[test]
fn tables_once_per_segment_are_no_fault() {
    let cut =
        altered(variable(), |at, packet| !matches!(pid(packet), PAT | PMT) || at % 4.0 < 0.09);
    assert_eq!(spans(&read(&cut)), []);
}

#[test]
fn every_lost_packet_is_counted_and_damages_its_access_unit_alone() {
    let intact = read(variable()).units;
    let mut lost = 0;
    let mut count = 0;
    let cut = altered(variable(), |_, packet| {
        count += 1;
        let drop = count % 97 == 50 && matches!(pid(packet), VIDEO | AUDIO);
        lost += u64::from(drop);
        !drop
    });
    let reading = read(&cut);
    assert_eq!((reading.totals.continuity_errors, reading.totals.missing_packets), (lost, lost));
    let good: Vec<_> = intact.iter().map(|unit| (unit.pid, &unit.data)).collect();
    let damaged = reading.units.iter().filter(|unit| unit.damaged).count() as u64;
    assert!((lost / 2..=lost + 2).contains(&damaged), "{damaged} of {lost}");
    for unit in reading.units.iter().filter(|unit| !unit.damaged) {
        assert!(good.contains(&(unit.pid, &unit.data)), "not in the intact stream: {:?}", unit.pts);
    }
}

#[test]
fn garbage_within_the_stream_loses_synchronisation_for_its_time() {
    let cut = altered(constant(), |at, packet| {
        if (5.0..7.0).contains(&at) {
            packet.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 7) as u8 & 0x3F);
        }
        true
    });
    let reading = read(&cut);
    let loss: Vec<_> =
        spans(&reading).into_iter().filter(|span| span.0 == Check::SyncLoss).collect();
    let [(_, since, Some(end))] = loss[..] else { panic!("{loss:?}") };
    assert!((since - 5.0).abs() < 0.2 && (end - 7.0).abs() < 0.2, "{since} to {end}");
    assert_eq!(reading.totals.sync_losses, 1);
}

#[test]
fn packets_of_other_sizes_read_the_same() {
    let plain = read(variable());
    for (before, after) in [(0, 16), (4, 0)] {
        let wide: Vec<u8> = variable()
            .chunks(PACKET)
            .flat_map(|packet| [&vec![0; before][..], packet, &vec![0; after]].concat())
            .collect();
        let reading = read(&wide);
        assert_eq!(reading.totals.packets, plain.totals.packets);
        assert_eq!(reading.units, plain.units);
        assert_eq!(reading.faults(), []);
    }
}

#[test]
fn a_capture_may_begin_and_end_anywhere() {
    for clip in [constant(), variable()] {
        for cut in [1, 188 * 3, 188 * 200 + 77, 188 * 500, 188 * 911 + 187] {
            let reading = read(&clip[cut..clip.len() - cut / 2]);
            assert_eq!(reading.faults(), [], "cut at {cut}");
            let damaged: Vec<_> = reading.units.iter().filter(|u| u.damaged).collect();
            assert!(damaged.is_empty(), "cut at {cut}: {damaged:?}");
        }
    }
}

#[test]
fn clocks_wrap_without_a_trace() {
    // 2^33 ticks of 90 kHz are 95,443.7 s; the clock is 0.7 s ahead of the stamps.
    let clip = make("-output_ts_offset 95438");
    let reading = read(&clip);
    assert_eq!(reading.faults(), []);
    assert!(reading.findings.is_empty(), "{:?}", reading.findings);
    let last = reading.units.iter().filter_map(|unit| unit.media_time).max().unwrap();
    assert!((last.as_secs_f64() - 12.0).abs() < 0.2, "{last:?}");
    let wrapped =
        reading.units.iter().filter(|unit| unit.pts.is_some_and(|pts| pts.ticks() < 1_000_000));
    assert!(wrapped.count() > 50);
}

#[test]
fn media_time_goes_on_over_a_splice() {
    let twice = [variable(), variable()].concat();
    let reading = read(&twice);
    let jumps =
        reading.findings.iter().filter(|f| matches!(f.kind, FindingKind::PcrJump { .. })).count();
    assert_eq!(jumps, 1);
    assert_eq!(reading.conditions, []);
    let last = reading.units.iter().filter_map(|unit| unit.media_time).max().unwrap();
    assert!((last.as_secs_f64() - 24.0).abs() < 0.5, "{last:?}");
}

#[test]
fn a_stream_without_a_clock_is_timed_by_its_stamps() {
    let strip = |clip: &[u8]| {
        altered(clip, |_, packet| {
            if packet[3] & 0x20 != 0 && packet[4] > 0 {
                packet[5] &= !0x10;
            }
            true
        })
    };
    let clockless = strip(variable());
    let reading = read(&clockless);
    assert_eq!(reading.faults(), []);
    let last = reading.units.iter().filter_map(|unit| unit.media_time).max().unwrap();
    assert!((last.as_secs_f64() - 12.0).abs() < 1.0, "{last:?}");
    // After a splice the stamps begin again.
    let twice = read(&[&clockless[..], &clockless].concat());
    let last = twice.units.iter().filter_map(|unit| unit.media_time).max().unwrap();
    assert!((last.as_secs_f64() - 24.0).abs() < 2.0, "{last:?}");
    let silent = altered(variable(), |at, packet| !(pid(packet) == VIDEO && at >= 4.0));
    assert_spans(
        &read(&strip(&silent)),
        &[(Check::NoVideo, 4.0, None), (Check::PidMissing, 4.0, None)],
        "no clock, lost video",
    );
}

#[test]
fn picture_times_start_with_the_stream() {
    let reading = read(variable());
    let mut times: Vec<_> = reading
        .units
        .iter()
        .filter(|unit| unit.pid.get() == VIDEO)
        .map(|unit| unit.media_time.unwrap().as_millis() as i64)
        .collect();
    times.sort_unstable();
    for (i, time) in times.iter().enumerate() {
        assert!((time - i as i64 * 40).abs() <= 30, "picture {i} at {time} ms");
    }
}

#[test]
fn scrambling_and_transport_errors_are_seen_and_are_not_a_missing_picture() {
    let cut = altered(variable(), |at, packet| {
        if pid(packet) == VIDEO && (3.0..8.0).contains(&at) && packet[3] & 0x10 != 0 {
            packet[3] |= 0x80;
        }
        true
    });
    let reading = read(&cut);
    assert_spans(&reading, &[(Check::Scrambled, 3.0, Some(8.0))], "scrambled");
    assert!(reading.totals.scrambled_packets > 100);

    let mut marked = 0;
    let cut = altered(variable(), |at, packet| {
        if pid(packet) == VIDEO && (3.0..3.5).contains(&at) {
            packet[1] |= 0x80;
            marked += 1;
        }
        true
    });
    let reading = read(&cut);
    assert_eq!((reading.totals.transport_errors, reading.totals.continuity_errors), (marked, 0));
    assert!(reading.units.iter().any(|unit| unit.damaged));
}

/// Pushes two parts with something said between them.
fn between(said: impl FnOnce(&mut Analyser), second: &[u8]) -> (Analyser, Vec<Event>) {
    let mut analyser = Analyser::new(AnalyserConfig::default());
    analyser.push(MonoTime::ZERO, &variable()[..PACKET * 600]);
    said(&mut analyser);
    analyser.push(MonoTime::ZERO, second);
    let events = std::iter::from_fn(|| analyser.poll()).collect();
    (analyser, events)
}

#[test]
fn what_lies_between_two_pieces_decides_what_a_counter_jump_is() {
    // Three packets are missing at least: one of audio or video among them.
    let rest = &variable()[PACKET * 603..];
    let (analyser, _) = between(|_| {}, rest);
    assert!(analyser.totals().continuity_errors > 0);
    let (analyser, _) = between(Analyser::boundary, rest);
    let totals = analyser.totals();
    assert_eq!(totals.continuity_errors, 0);
    assert!(totals.boundary_continuity > 0);
    for said in [Analyser::discontinuity, Analyser::unobserved] {
        let (analyser, events) = between(said, rest);
        let totals = analyser.totals();
        assert_eq!((totals.continuity_errors, totals.boundary_continuity), (0, 0));
        assert!(
            !events.iter().any(|event| matches!(event, Event::Finding(_) | Event::Condition(_)))
        );
    }
    // Another piece altogether: its clock is another one, and media time goes on.
    let (analyser, events) = between(Analyser::discontinuity, variable());
    assert!(!events.iter().any(|event| matches!(event, Event::Finding(_))));
    let media = analyser.position().media.unwrap().as_secs_f64();
    let first = timed(variable())[600].0;
    assert!((media - first - 12.0).abs() < 0.3, "{media} after {first}");
}

#[test]
fn own_drops_damage_what_they_cut() {
    let (_, events) = between(Analyser::unobserved, &variable()[PACKET * 603..]);
    let damaged = events.iter().filter(|event| matches!(event, Event::Unit(unit) if unit.damaged));
    assert!(damaged.count() > 0);
}

#[test]
fn live_time_outs_run_by_arrival_and_only_while_packets_come() {
    let config = AnalyserConfig { clock: CheckClock::Arrival, ..AnalyserConfig::default() };
    let mut analyser = Analyser::new(config);
    let mut conditions = Vec::new();
    let mut feed = |analyser: &mut Analyser, clip: &[u8], shift: f64| {
        for (at, packet) in timed(clip) {
            let at = MonoTime::ZERO + Duration::from_secs_f64(at + shift);
            analyser.push(at, &packet);
            conditions.extend(std::iter::from_fn(|| analyser.poll()).filter_map(
                |event| match event {
                    Event::Condition(condition) => Some(condition),
                    _ => None,
                },
            ));
        }
    };
    feed(&mut analyser, variable(), 0.0);
    // Nothing at all for a minute is not for these checks.
    analyser.discontinuity();
    feed(&mut analyser, variable(), 72.0);
    let without: Vec<u8> = altered(variable(), |_, packet| pid(packet) != VIDEO);
    analyser.discontinuity();
    feed(&mut analyser, &without, 84.0);
    let found: Vec<_> = conditions.iter().map(|c| (c.check, c.holds)).collect();
    assert_eq!(found, [(Check::NoVideo, true), (Check::PidMissing, true)]);
    let since = conditions[0].since.at.since(MonoTime::ZERO).as_secs_f64();
    assert!((since - 84.0).abs() < 0.3, "{since}");
}

#[test]
fn payload_is_handed_out_only_where_it_is_asked_for() {
    let with = |payload| {
        let config = AnalyserConfig { payload, ..AnalyserConfig::default() };
        Reading::of(variable(), config).units
    };
    let all = with(Payload::All);
    for (payload, kept) in [(Payload::None, 0), (Payload::Keys, 1), (Payload::All, 2)] {
        let units = with(payload);
        assert_eq!(units.len(), all.len());
        for (unit, full) in units.iter().zip(&all) {
            let wanted = kept == 2 || kept == 1 && unit.key;
            assert_eq!(unit.data, if wanted { &full.data[..] } else { &[] });
            assert_eq!((unit.size, unit.key, unit.pts), (full.size, full.key, full.pts));
        }
    }
    let none = AnalyserConfig { wanted: Wanted::Program(99), ..AnalyserConfig::default() };
    let reading = Reading::of(variable(), none);
    assert_eq!((reading.units.len(), reading.faults()), (0, vec![]));
    assert_eq!(reading.services.len(), 1);
}
