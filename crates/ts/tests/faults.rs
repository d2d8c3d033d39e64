//! Good streams that are damaged in known ways: what is found, and where in media time.

#![expect(clippy::unwrap_used, reason = "a test stops where its tools fail")]

use std::time::Duration;

use tallylight_model::{FaultKind, MonoTime};
use tallylight_mux::{PACKET, crc32, null, section};
use tallylight_ts::{
    Analyser, AnalyserConfig, Check, CheckClock, CheckProfile, Condition, Event, FindingKind,
    Indicator, Payload, Unavailable, Wanted,
};

mod clip;
mod reading;

use clip::{AUDIO, PAT, PMT, VIDEO, altered, constant, make, pid, raised, tally, timed, variable};
use reading::Reading;

fn read(bytes: &[u8]) -> Reading {
    Reading::of(bytes, AnalyserConfig { payload: Payload::All, ..AnalyserConfig::default() })
}

fn seconds(media: Option<Duration>) -> f64 {
    media.unwrap().as_secs_f64()
}

/// Each condition with the seconds from and to which it held, but for stamps: those are missing with what carries them.
fn spans(reading: &Reading) -> Vec<(Check, f64, Option<f64>)> {
    let mut spans = all_spans(reading);
    spans.retain(|span| span.0 != Check::StampsMissing);
    spans
}

fn all_spans(reading: &Reading) -> Vec<(Check, f64, Option<f64>)> {
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
        let lost = [Check::NoVideo, Check::PidMissing, Check::PcrMissing];
        let lost = lost.map(|check| (check, 3.0, Some(9.0)));
        assert_spans(&reading, &lost, what);
        // The sound goes on, and the guideline's counters notice nothing but what is missing of the video.
        assert_eq!(
            tally(&reading, Indicator::Pts),
            (1, tally(&reading, Indicator::Pts).1, vec![VIDEO])
        );
        assert_eq!(tally(&reading, Indicator::ContinuityCount).0, 0, "{what}");
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
    assert_eq!(lost, [Check::NoVideo], "but the stamps");
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
            (Check::PcrMissing, start, Some(9.0)),
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
        // Tables could not come meanwhile.
        assert_eq!(serious(&reading), ["1.4", "2.3", "2.3.a", "2.3.b", "2.5"]);
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
    let mut analyser = Analyser::new(AnalyserConfig::default());
    let mut before = None;
    for packet in cut.chunks(PACKET) {
        analyser.push(MonoTime::ZERO, packet);
        let media = analyser.position().media;
        assert!(media >= before, "{media:?} after {before:?}");
        before = media;
    }
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

    // Who joins finds packets before the tables.
    let joined = altered(variable(), |at, packet| {
        if matches!(pid(packet), VIDEO | AUDIO) && packet[3] & 0x10 != 0 {
            packet[3] |= 0x80;
        }
        at > 1.0 || !matches!(pid(packet), PAT | PMT)
    });
    let scrambled: Vec<_> =
        all_spans(&read(&joined)).into_iter().filter(|s| s.0 == Check::Scrambled).collect();
    assert_eq!(scrambled.len(), 2, "{scrambled:?}");

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
    let missing = [Check::PcrMissing, Check::NoVideo, Check::PidMissing];
    assert_eq!(found, missing.map(|check| (check, true)));
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

fn strictly(bytes: &[u8]) -> Reading {
    let profile = CheckProfile::BROADCAST;
    Reading::of(bytes, AnalyserConfig { profile, ..AnalyserConfig::default() })
}

/// The checks of priority 1 and 2 that were raised: the clips have no service information.
fn serious(reading: &Reading) -> Vec<&'static str> {
    raised(reading).into_iter().filter(|number| !number.starts_with("3.")).collect()
}

#[test]
fn the_rates_of_seconds_are_those_of_the_multiplex() {
    let reading = read(constant());
    let rates = reading.rates.unwrap();
    for rate in [rates.min, rates.mean, rates.max] {
        // A packet is 1,504 bits.
        assert!(rate.bps().abs_diff(1_200_000) <= 2 * 1504, "{rates:?}");
    }
    // A service that is silent for three seconds has its tables alone.
    let silent = altered(constant(), |at, packet| {
        if matches!(pid(packet), VIDEO | AUDIO) && (4.0..7.5).contains(&at) {
            *packet = null();
        }
        true
    });
    let reading = read(&silent);
    let service = reading.service_rates[0].1.unwrap();
    assert!(service.min.bps() < 40_000 && service.max.bps() > 600_000, "{service:?}");
    let sound = reading.pids.iter().find(|p| p.pid.get() == AUDIO).unwrap().rates.unwrap();
    assert_eq!(sound.min.bps(), 0);
    assert!((90_000..160_000).contains(&sound.max.bps()), "{sound:?}");
}

#[test]
fn a_clean_stream_raises_no_check() {
    for clip in [constant(), variable()] {
        assert_eq!(serious(&read(clip)), [""; 0]);
    }
    let constant = strictly(constant());
    let accuracy = constant.checks.iter().find(|c| c.indicator == Indicator::PcrAccuracy).unwrap();
    assert_eq!((accuracy.unavailable, accuracy.tally.count), (None, 0));
    let variable = read(variable());
    let accuracy = variable.checks.iter().find(|c| c.indicator == Indicator::PcrAccuracy).unwrap();
    assert_eq!(accuracy.unavailable, Some(Unavailable::NotConstantRate));
}

#[test]
fn each_pcr_that_is_600_ns_off_is_found_and_no_other() {
    let (mut clocks, mut planted) = (0, 0);
    let cut = altered(constant(), |_, packet| {
        let has_clock = packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
        clocks += u32::from(has_clock);
        if has_clock && clocks.is_multiple_of(25) {
            planted += 1;
            let field = u64::from_be_bytes([
                0, 0, packet[6], packet[7], packet[8], packet[9], packet[10], packet[11],
            ]);
            let ticks = (field >> 15) * 300 + (field & 0x1FF) + 16;
            let field = ((ticks / 300) << 15) | 0x7E00 | (ticks % 300);
            packet[6..12].copy_from_slice(&field.to_be_bytes()[2..]);
        }
        true
    });
    assert!(planted > 10, "{planted}");
    let reading = strictly(&cut);
    assert_eq!(tally(&reading, Indicator::PcrAccuracy).0, planted);
    let off = reading.findings.iter().filter_map(|finding| match finding.kind {
        FindingKind::PcrOff { nanos } => Some(nanos),
        _ => None,
    });
    assert!(off.into_iter().all(|nanos| (550..=635).contains(&nanos)));
    let furthest = |reading: &Reading| reading.clocks[0].furthest_off.map(|off| off.as_nanos());
    assert!((550..=635).contains(&furthest(&reading).unwrap()));
    assert!(furthest(&strictly(constant())).unwrap() < 100);
    assert_eq!(furthest(&strictly(variable())), None);
}

#[test]
fn the_time_between_clock_ticks_is_their_own() {
    let ticks: Vec<u64> = constant()
        .chunks(PACKET)
        .filter(|p| p[3] & 0x20 != 0 && p[4] >= 7 && p[5] & 0x10 != 0)
        .map(|p| {
            let field = u64::from_be_bytes([0, 0, p[6], p[7], p[8], p[9], p[10], p[11]]);
            (field >> 15) * 300 + (field & 0x1FF)
        })
        .collect();
    let nanos = |ticks: u64| u128::from(ticks) * 1_000 / 27;
    let (first, last) = (ticks[0], *ticks.last().unwrap());
    let reading = read(constant());
    assert_eq!(reading.clocks.len(), 1);
    let clock = reading.clocks[0];
    let interval = clock.interval.unwrap();
    assert_eq!((clock.program, clock.pid.get()), (1, VIDEO));
    let longest = ticks.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(interval.longest.as_nanos().abs_diff(nanos(longest)) <= 1);
    let mean = nanos(last - first) / (ticks.len() as u128 - 1);
    assert!(interval.mean.as_nanos().abs_diff(mean) <= 40, "{interval:?} {mean}");
}

#[test]
fn packets_in_another_order_are_told_from_lost_ones() {
    // Every 40th packet of the video changes its place with the next.
    let packets: Vec<[u8; PACKET]> =
        variable().chunks(PACKET).map(|p| p.try_into().unwrap()).collect();
    let mut swapped = packets.clone();
    let video: Vec<usize> = (0..packets.len()).filter(|&i| pid(&packets[i]) == VIDEO).collect();
    let mut swaps = 0;
    for pair in video.chunks_exact(40) {
        swapped.swap(pair[10], pair[11]);
        swaps += 1;
    }
    let reading = read(&swapped.concat());
    let counters = reading.pids.iter().find(|p| p.pid.get() == VIDEO).unwrap().counters;
    assert_eq!((counters.late_packets, counters.continuity_errors), (swaps, 3 * swaps));
    assert_eq!(counters.excess_duplicates, 0);
    assert_eq!(tally(&reading, Indicator::ContinuityCount).0, 3 * swaps);

    let tripled: Vec<u8> = packets
        .iter()
        .enumerate()
        .flat_map(|(i, packet)| {
            packet.repeat(if i % 50 == 20 && pid(packet) == VIDEO { 3 } else { 1 })
        })
        .collect();
    let times =
        packets.iter().enumerate().filter(|(i, p)| i % 50 == 20 && pid(*p) == VIDEO).count();
    let reading = read(&tripled);
    let counters = reading.pids.iter().find(|p| p.pid.get() == VIDEO).unwrap().counters;
    assert_eq!(
        (counters.legal_duplicates, counters.excess_duplicates),
        (times as u64, times as u64)
    );
    assert_eq!((counters.late_packets, counters.continuity_errors), (0, 0));
    assert_eq!(tally(&reading, Indicator::ContinuityCount).0, times as u64);
}

#[test]
fn what_does_not_belong_on_a_tables_pid_raises_both_forms_of_its_check() {
    let mut wrong = 0;
    let cut = altered(constant(), |at, packet| {
        if pid(packet) == PAT && (4.0..6.0).contains(&at) {
            // A table of another id with a right CRC.
            let section = section(0x42, 1, 0, &packet[13..17]);
            packet[5..5 + section.len()].copy_from_slice(&section);
            wrong += 1;
        }
        true
    });
    let reading = strictly(&cut);
    let (count, held, pids) = tally(&reading, Indicator::Pat2);
    // The table itself stayed out meanwhile, which is one more.
    assert_eq!((count, &pids[..]), (wrong + 1, &[PAT][..]));
    assert!((1500..3100).contains(&held), "{held}");
    assert_eq!(tally(&reading, Indicator::Pat).0, wrong, "packets came on the PID all the while");
    assert_eq!(tally(&reading, Indicator::Crc).0, 0);

    let mut scrambled = 0;
    let cut = altered(constant(), |at, packet| {
        if pid(packet) == PMT && (4.0..4.3).contains(&at) {
            packet[3] |= 0x80;
            scrambled += 1;
        }
        true
    });
    let reading = read(&cut);
    assert_eq!(tally(&reading, Indicator::Pmt2).0, scrambled);
    assert_eq!(tally(&reading, Indicator::Pmt).0, scrambled);
    let told = reading.findings.iter().filter(|f| f.kind.fault() == Some(FaultKind::PsiInvalid));
    assert_eq!(told.count() as u64, scrambled);
}

#[test]
fn every_broken_section_is_counted_once() {
    let mut broken = 0;
    let cut = altered(constant(), |_, packet| {
        if matches!(pid(packet), PAT | PMT | 0x11) && packet[3] % 5 == 0 {
            packet[14] ^= 0x10;
            broken += 1;
        }
        true
    });
    let reading = read(&cut);
    assert!(broken > 10);
    assert_eq!(tally(&reading, Indicator::Crc).0, broken);
    assert_eq!(reading.totals.section_errors, broken);
    assert_eq!(tally(&reading, Indicator::Crc).2, [PAT, 0x11, PMT]);
}

#[test]
fn stamps_that_stay_out_are_seen_while_pictures_come() {
    // The stamps of the video are taken off where a picture begins; its packets go on.
    let cut = altered(constant(), |at, packet| {
        if pid(packet) == VIDEO && packet[1] & 0x40 != 0 && (3.0..6.0).contains(&at) {
            let begin = 4 + if packet[3] & 0x20 != 0 { usize::from(packet[4]) + 1 } else { 0 };
            packet[begin + 7] &= 0x3F;
        }
        true
    });
    let reading = read(&cut);
    let (count, held, pids) = tally(&reading, Indicator::Pts);
    assert_eq!((count, &pids[..]), (1, &[VIDEO][..]));
    assert!((2900..3300).contains(&held), "{held}");
    assert_eq!(serious(&reading), ["2.5"]);
    let [(Check::StampsMissing, since, Some(end))] = all_spans(&reading)[..] else {
        panic!("{:?}", all_spans(&reading));
    };
    assert!((since - 3.0).abs() < 0.1 && (end - 6.0).abs() < 0.1, "{since} to {end}");

    let scrambled = altered(constant(), |_, packet| {
        if matches!(pid(packet), VIDEO | AUDIO) && packet[3] & 0x10 != 0 {
            packet[3] |= 0x80;
        }
        true
    });
    let reading = strictly(&scrambled);
    let stamps = reading.checks.iter().find(|c| c.indicator == Indicator::Pts).unwrap();
    assert_eq!((stamps.unavailable, stamps.tally.count), (Some(Unavailable::Scrambled), 0));
    // Nor does a CAT say how it is scrambled.
    let (count, held, pids) = tally(&reading, Indicator::Cat);
    assert_eq!((count, &pids[..]), (1, &[1][..]));
    assert!((11_000..12_100).contains(&held), "{held}");
}

#[test]
fn a_pid_of_text_or_data_is_missed_where_a_limit_is_stated() {
    // The sound is announced as teletext.
    let as_text = |at_least: f64, packet: &mut [u8; PACKET], at: f64| {
        if pid(packet) == PMT {
            let begin = packet.windows(5).position(|w| w[0] == 0x0F && w[1..3] == [0xE1, 0x01]);
            let begin = begin.unwrap();
            packet[begin] = 0x05;
            let length = usize::from(packet[7]);
            let section = &packet[5..8 + length - 4].to_vec();
            let crc = crc32(section);
            packet[8 + length - 4..8 + length].copy_from_slice(&crc.to_be_bytes());
        }
        pid(packet) != AUDIO || at < at_least
    };
    let cut = altered(constant(), |at, packet| as_text(4.0, packet, at));
    let mut config = AnalyserConfig::default();
    assert_eq!(tally(&Reading::of(&cut, config), Indicator::Pid).0, 0);
    config.profile.limits.pid_data = Some(Duration::from_secs(3));
    let (count, held, pids) = tally(&Reading::of(&cut, config), Indicator::Pid);
    assert_eq!((count, &pids[..]), (1, &[AUDIO][..]));
    assert!((7_500..8_500).contains(&held), "{held}");
}
