//! The report as JSON and the page that describes it say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tallylight_model::{FaultKind, FaultPhase, FaultRecord, Severity, StreamId, WallTime};

use super::*;
use crate::input::rtp::RtpCounts;

/// The rows of docs/probe.md that describe a key of what is printed as JSON: its type, and when it is there.
fn documented() -> BTreeMap<String, (String, String)> {
    let page = include_str!("../../../docs/probe.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (key, row) = row.split_once("` | ").unwrap();
        let (kind, row) = row.split_once(" | ").unwrap();
        let (when, _) = row.split_once(" | ").unwrap();
        (key.to_owned(), (kind.to_owned(), when.to_owned()))
    })
    .collect()
}

/// Every key in a value with its type.
fn keys(value: &Value, path: &str, found: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    found.entry(path.to_owned()).or_default().insert(kind);
    match value {
        Value::Array(list) => list.iter().for_each(|it| keys(it, &format!("{path}[]"), found)),
        Value::Object(map) => {
            for (key, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                keys(value, &format!("{path}{dot}{key}"), found);
            }
        }
        _ => {}
    }
}

fn keys_of(report: &Report) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    keys(&serde_json::to_value(report).unwrap(), "", &mut found);
    // The rows say what stands in lists, not that they are lists of objects.
    let objects =
        |key: &str, kinds: &BTreeSet<&str>| key.ends_with("[]") && kinds.contains("object");
    found.retain(|key, kinds| !(key.is_empty() || objects(key, kinds)));
    let joined = |kinds: BTreeSet<&str>| kinds.into_iter().collect::<Vec<_>>().join(" or ");
    found.into_iter().map(|(key, kinds)| (key, joined(kinds))).collect()
}

const RATES: RatesReport = RatesReport { min_bps: 1, mean_bps: 2, max_bps: 3 };
const SIZES: SizesReport = SizesReport { count: 1, mean_bytes: Some(1) };
const OFFSET: OffsetReport = OffsetReport {
    min_seconds: 0.5,
    mean_seconds: 0.5,
    max_seconds: 0.5,
    drift_seconds: 0.5,
    span_seconds: 0.5,
    step_seconds: Some(0.5),
    step_at_seconds: Some(0.5),
};
const STEPLESS: OffsetReport = OffsetReport { step_seconds: None, step_at_seconds: None, ..OFFSET };
const CONTINUITY: ContinuityReport = ContinuityReport {
    errors: 3,
    late_packets: 1,
    missing_packets: 2,
    legal_duplicates: 0,
    excess_duplicates: 0,
};

fn component() -> ComponentReport {
    ComponentReport {
        pid: 0x100,
        kind: "video",
        codec: "h264",
        stream_type: 0x1B,
        language: Some("eng".to_owned()),
        role: Some("main"),
        width: Some(1920),
        height: Some(1080),
        frame_rate_milli: Some(25_000),
        channels: Some(2),
        sample_rate_hz: Some(48_000),
        scrambled: false,
        units: 9,
        pes_packets: 9,
        pictures: Some(PicturesReport {
            i: SIZES,
            p: SIZES,
            b: SIZES,
            unknown: SIZES,
            groups: Some(GroupsReport {
                count: 1,
                min_pictures: 1,
                mean_pictures: 1.5,
                max_pictures: 1,
                min_seconds: Some(0.5),
                mean_seconds: Some(0.5),
                max_seconds: Some(0.5),
            }),
        }),
        sound: Some(SoundReport {
            integrated_lufs: Some(-23.1),
            range_lu: Some(5.0),
            short_term_max_lufs: Some(-18.0),
            true_peak_dbtp: Some(-3.2),
            channels: vec![ChannelReport { place: "L", rms_dbfs: -25.0 }],
        }),
        lead: Some(OFFSET),
        texts: vec![TextReport {
            kind: "cea708",
            language: Some("eng".to_owned()),
            hearing_impaired: false,
            number: "1".to_owned(),
        }],
        first_seconds: Some(0.5),
        cea608_first_seconds: Some(0.5),
        cea708_first_seconds: Some(0.5),
        scrambled_since_seconds: Some(0.5),
        cues: Some(CuesReport { cues: 1, repeats: 0, heartbeats: 0, damaged: 0 }),
        not_checked: Some(NotChecked::Nothing),
        decode_errors: Some(0),
        bitrate_bps: Some(1),
        rates: Some(RATES),
    }
}

/// With everything that there can be.
fn full() -> Report {
    Report {
        verdict: Verdict::Faulty,
        summary: "1 fault".to_owned(),
        error: Some("it broke off".to_owned()),
        notes: vec!["a note"],
        profile: "default".to_owned(),
        packets: 1,
        null_packets: 0,
        skipped_bytes: 0,
        duration_seconds: Some(1.5),
        bitrate_bps: Some(1),
        rates: Some(RATES),
        continuity_errors: 0,
        missing_packets: 0,
        sync_byte_errors: 0,
        sync_losses: 0,
        transport_errors: 0,
        scrambled_packets: 0,
        decoded_pictures: Some(1),
        services: vec![ServiceReport {
            service_id: 1,
            name: Some("One".to_owned()),
            provider: Some("Two".to_owned()),
            pmt_pid: Some(0x1000),
            pmt_changes: 0,
            pcr_pid: Some(0x100),
            rates: Some(RATES),
            picture_ahead_of_sound: Some(OFFSET),
            components: vec![component()],
        }],
        clocks: vec![ClockReport {
            service_id: 1,
            pid: 0x100,
            interval_mean_seconds: Some(0.02),
            interval_max_seconds: Some(0.04),
            accuracy_ns: Some(37),
        }],
        delivery: Some(delivery()),
        pids: vec![PidReport {
            pid: 0x100,
            service_id: Some(1),
            kind: Some("video"),
            codec: Some("h264"),
            language: Some("eng".to_owned()),
            packets: 1,
            bitrate: Some(1),
            rates: Some(RATES),
            continuity: CONTINUITY,
            transport_errors: 0,
            scrambled_packets: 0,
            t2mi_first_seconds: Some(0.5),
        }],
        checks: vec![check()],
        faults: vec![fault()],
        more_faults: 1,
        events: vec![event(Is::Version(1)), event(Is::Word("eng".to_owned()))],
        more_events: 1,
    }
}

fn check() -> CheckReport {
    CheckReport {
        number: "1.4",
        name: "Continuity_count_error",
        setting: "fault",
        count: 3,
        active: false,
        active_seconds: 1.5,
        last_seconds: Some(63.2),
        pids: BTreeSet::from([0x100]),
        services: BTreeSet::from([1]),
        not_available: Some("the rate is not constant"),
    }
}

fn delivery() -> DeliveryReport {
    let spread = SpreadReport { mean_seconds: 0.0375, max_seconds: 0.0525 };
    DeliveryReport {
        seconds: 9.5,
        datagrams: 999_999_999,
        gaps: vec![GapReport { up_to_seconds: Some(0.0005), count: 9_999_999 }; 12],
        delay_factor: Some(spread),
        media_loss_rate: LossReport { mean_per_second: 9.5, max_per_second: 99_999.5 },
        pcr_jitter: Some(spread),
        pcr_drift_ppm: Some(-12.5),
        dropped_here: 9_999_999,
        rtp: Some(RtpReport {
            counts: RtpCounts {
                packets: 999_999_999,
                lost: 9_999_999,
                reordered: 9_999_999,
                duplicates: 9_999_999,
                late: 9_999_999,
                restarts: 9_999_999,
            },
            jitter_seconds: 0.0125,
            spread: Some(spread),
        }),
        fec: vec![FecReport { direction: "column", offset: 255, covers: 255, packets: 9_999_999 }],
    }
}

fn event(is: Is) -> EventReport {
    EventReport {
        kind: "pmt_version",
        seconds: Some(1.5),
        packet: 9,
        service_id: Some(1),
        pid: 0x1000,
        from: Some(is.clone()),
        to: Some(is),
        cue: Some(cue()),
    }
}

fn cue() -> CueReport {
    CueReport {
        splice_seconds: Some(1.5),
        preroll_seconds: Some(4.5),
        pts_adjustment_seconds: 0.5,
        event_id: Some(1),
        cancelled: true,
        out_of_network: Some(true),
        immediate: true,
        duration_seconds: Some(30.5),
        auto_return: Some(true),
        scheduled: Some(2),
        segmentations: vec![SegmentReport {
            event_id: 1,
            kind: Some("Break Start"),
            type_id: Some(0x22),
            duration_seconds: Some(30.5),
            upid_type: Some("AdID"),
            upid: Some("ABCD0001000H".to_owned()),
        }],
    }
}

fn fault() -> FaultReport {
    FaultReport {
        kind: FaultKind::NoVideo,
        severity: Severity::Critical,
        pid: Some(Pid::PAT),
        service_id: Some(1),
        start_seconds: 63.2,
        end_seconds: Some(67.4),
        evidence: "no pictures come".to_owned(),
    }
}

/// Events that say the least: no cue, and cues that say nothing or call off a segment.
fn sparse_events(event: EventReport) -> Vec<EventReport> {
    let segment = SegmentReport {
        event_id: 1,
        kind: None,
        type_id: None,
        duration_seconds: None,
        upid_type: None,
        upid: None,
    };
    let least = CueReport { pts_adjustment_seconds: 0.5, ..CueReport::default() };
    let cues =
        [None, Some(least.clone()), Some(CueReport { segmentations: vec![segment], ..least })];
    let event = EventReport { seconds: None, service_id: None, from: None, to: None, ..event };
    cues.map(|cue| EventReport { cue, ..event.clone() }).to_vec()
}

/// A component whose parts say the least.
fn sparse_parts(mut component: ComponentReport) -> ComponentReport {
    component.texts.iter_mut().for_each(|text| text.language = None);
    component.lead = Some(STEPLESS);
    component.sound = component.sound.map(|sound| SoundReport {
        integrated_lufs: None,
        range_lu: None,
        short_term_max_lufs: None,
        true_peak_dbtp: None,
        ..sound
    });
    let none = SizesReport { mean_bytes: None, ..SIZES };
    component.pictures = component.pictures.map(|pictures| PicturesReport {
        i: none,
        p: none,
        b: none,
        unknown: none,
        groups: pictures.groups.map(|groups| GroupsReport {
            min_seconds: None,
            mean_seconds: None,
            max_seconds: None,
            ..groups
        }),
    });
    component
}

fn sparse_component() -> ComponentReport {
    ComponentReport {
        pictures: None,
        sound: None,
        lead: None,
        texts: Vec::new(),
        first_seconds: None,
        cea608_first_seconds: None,
        cea708_first_seconds: None,
        scrambled_since_seconds: None,
        language: None,
        role: None,
        width: None,
        height: None,
        frame_rate_milli: None,
        channels: None,
        sample_rate_hz: None,
        cues: None,
        not_checked: None,
        decode_errors: None,
        bitrate_bps: None,
        rates: None,
        ..component()
    }
}

/// Without anything that can be left out.
fn sparse() -> Report {
    let mut report = full();
    let none = Report {
        error: None,
        notes: Vec::new(),
        duration_seconds: None,
        bitrate_bps: None,
        rates: None,
        decoded_pictures: None,
        more_faults: 0,
        more_events: 0,
        ..full()
    };
    let mut groupless = component();
    groupless.pictures =
        groupless.pictures.map(|pictures| PicturesReport { groups: None, ..pictures });
    let components = vec![sparse_component(), sparse_parts(component()), groupless];
    let service = ServiceReport {
        name: None,
        provider: None,
        pmt_pid: None,
        pcr_pid: None,
        rates: None,
        picture_ahead_of_sound: None,
        components,
        ..report.services.remove(0)
    };
    let stepless =
        ServiceReport { picture_ahead_of_sound: Some(STEPLESS), ..full().services.remove(0) };
    let clock = ClockReport {
        interval_mean_seconds: None,
        interval_max_seconds: None,
        accuracy_ns: None,
        ..report.clocks.remove(0)
    };
    let pid = PidReport {
        service_id: None,
        kind: None,
        codec: None,
        language: None,
        bitrate: None,
        rates: None,
        t2mi_first_seconds: None,
        ..report.pids.remove(0)
    };
    let check = CheckReport { last_seconds: None, not_available: None, ..check() };
    let events = sparse_events(report.events.remove(0));
    let fault = FaultReport { pid: None, service_id: None, end_seconds: None, ..fault() };
    Report {
        services: vec![service, stepless],
        clocks: vec![clock],
        delivery: Some(DeliveryReport {
            gaps: vec![GapReport { up_to_seconds: None, count: 1 }],
            delay_factor: None,
            pcr_jitter: None,
            pcr_drift_ppm: None,
            rtp: None,
            ..delivery()
        }),
        pids: vec![pid],
        checks: vec![check],
        faults: vec![fault],
        events,
        ..none
    }
}

#[test]
fn the_page_has_every_key_with_its_type_and_no_other() {
    let documented = documented();
    let mut full = keys_of(&full());
    full.extend(keys_of_lines());
    let value = |report: Report| serde_json::to_value(report).unwrap();
    let with = |delivery| value(Report { delivery, ..sparse() });
    let unstamped = delivery().rtp.map(|rtp| RtpReport { spread: None, ..rtp });
    let (sparse, of_file) = (value(sparse()), with(None));
    let of_rtp = with(Some(DeliveryReport { rtp: unstamped, ..delivery() }));
    let rows: BTreeMap<&str, &str> =
        documented.iter().map(|(key, (kind, _))| (key.as_str(), kind.as_str())).collect();
    let written: BTreeMap<&str, &str> =
        full.iter().map(|(key, kind)| (key.as_str(), kind.as_str())).collect();
    assert_eq!(rows, written);
    let mut objects = Vec::new();
    objects_of(&sparse, "", &mut objects);
    objects_of(&of_file, "", &mut objects);
    objects_of(&of_rtp, "", &mut objects);
    let of_report = documented.iter().filter(|(key, _)| !key.contains(" line: "));
    for (key, (_, when)) in of_report {
        let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
        let inside: Vec<_> = objects.iter().filter(|(path, _)| path == parent).collect();
        let expected = match () {
            () if key.ends_with("[]") => "always",
            () if inside.iter().any(|(_, object)| !object.contains_key(name)) => "absent",
            () if inside.iter().any(|(_, object)| object[name].is_null()) => "null",
            () => "always",
        };
        assert!(when.starts_with(expected), "{key}: {when}, but it is {expected}");
    }
}

/// What stands in lines beside faults, events and the report.
fn keys_of_lines() -> BTreeMap<String, String> {
    let (at, report) = (WallTime::from_unix_millis(1), full());
    let lines = [
        Line::Fault(FaultLine { at, phase: "begin", fault: fault() }),
        Line::Event(EventLine { at, event: event(Is::Version(1)) }),
        Line::Summary(SummaryLine {
            at,
            seconds: 1.5,
            packets: 1,
            bitrate_bps: Some(1),
            continuity_errors: 0,
            standing: vec![FaultKind::NoVideo],
            faults: 1,
        }),
        Line::Report { report: &report },
    ];
    let mut found = BTreeMap::new();
    for line in lines {
        let line = serde_json::to_value(line).unwrap();
        let mut keys_of_line = BTreeMap::new();
        keys(&line, "", &mut keys_of_line);
        let kind = line["type"].as_str().unwrap();
        let own = keys_of_line.into_iter().filter(|(key, _)| !key.is_empty() && !key.contains('.'));
        found.extend(own.map(|(key, kinds)| {
            (format!("{kind} line: {key}"), Vec::from_iter(kinds).join(" or "))
        }));
    }
    found
}

/// Every object in a value, with where it stands.
fn objects_of(value: &Value, path: &str, found: &mut Vec<(String, Map<String, Value>)>) {
    match value {
        Value::Array(list) => {
            list.iter().for_each(|it| objects_of(it, &format!("{path}[]"), found));
        }
        Value::Object(map) => {
            for (key, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                objects_of(value, &format!("{path}{dot}{key}"), found);
            }
            found.push((path.to_owned(), map.clone()));
        }
        _ => {}
    }
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let mut report = full();
    report.error = None;
    report.summary = fault::summary(&report.faults, 0);
    report.continuity_errors = 1_234_567;
    (report.missing_packets, report.scrambled_packets) = (9_999_999, 99_999_999);
    report.faults[0].evidence = "many words of evidence ".repeat(9);
    report.checks[0].not_available = None;
    report.checks[0].pids = (0x100..0x200).collect();
    report.services[0].name = Some("a name of many words ".repeat(6));
    for columns in [72, 80, text::WIDTH] {
        let text = format!("{report:columns$}");
        let wide = text.lines().find(|line| line.chars().count() > columns);
        assert_eq!(wide, None, "{columns}: {text}");
    }
    let text = report.to_string();
    assert!(text.starts_with("FAULTY: 1 fault: no video 4.2 s from 00:01:03\n"), "{text}");
    assert!(
        text.contains("  00:01:03.200     4.200 s  critical  no_video  0x0000  many words"),
        "{text}"
    );
}

#[test]
fn the_summary_names_the_worst_first_and_stays_on_its_line() {
    let at = |kind, severity, start: f64, end| FaultReport {
        kind,
        severity,
        start_seconds: start,
        end_seconds: end,
        ..fault()
    };
    use {FaultKind as Kind, Severity as S};
    let cases = [
        (vec![], 0, "no faults"),
        (vec![at(Kind::Pcr, S::Info, 1.0, None)], 0, "no faults"),
        (
            vec![
                at(Kind::Black, S::Warning, 1.0, Some(7.0)),
                at(Kind::NoVideo, S::Critical, 63.2, None),
            ],
            0,
            "2 faults: no video from 00:01:03 to the end, black 6.0 s from 00:00:01",
        ),
        (
            (0..3).map(|s| at(Kind::Continuity, S::Warning, f64::from(s), Some(9.0))).collect(),
            7,
            "10 faults: continuity 3 times from 00:00:00 and 7 more",
        ),
        (vec![], 5, "5 faults"),
    ];
    for (faults, unlisted, expected) in cases {
        assert_eq!(fault::summary(&faults, unlisted), expected);
    }
    let many: Vec<_> =
        FaultKind::ALL.iter().map(|kind| at(*kind, S::Critical, 1e5, None)).collect();
    let text = fault::summary(&many, 10_000);
    assert!(text.len() + "FAULTY: ".len() <= text::WIDTH && text.ends_with(" more"), "{text}");
}

#[test]
fn a_mean_rate_stands_between_the_least_and_the_most() {
    let rates = RatesReport { min_bps: 1_000_000, mean_bps: 2_000_000, max_bps: 3_000_000 };
    let report = Report { bitrate_bps: Some(9_000_000), rates: Some(rates), ..full() };
    let text = report.to_string();
    let line = text.lines().nth(1).unwrap();
    assert!(line.contains(", 2.00 Mb/s (1.00 Mb/s to 3.00 Mb/s)"), "{line}");
}

#[test]
fn a_fault_of_the_whole_stream_is_told_without_a_place() {
    let fault = FaultReport { pid: None, service_id: None, end_seconds: None, ..fault() };
    let (kind, evidence) = (fault.kind.name(), fault.evidence.clone());
    let line = FaultLine { at: WallTime::from_unix_millis(1), phase: "begin", fault }.to_string();
    assert!(line.ends_with(&format!("{kind}: {evidence}")), "{line}");
}

#[test]
fn what_several_services_share_is_told_once_and_at_its_worst() {
    let record = |service: &str, severity, phase, onset| FaultRecord {
        seq: 0,
        stream: StreamId::parse(&format!("probe/{service}")).unwrap(),
        kind: FaultKind::Continuity,
        phase,
        severity,
        pid: Some(Pid::from_bits(0x101)),
        onset: MonoTime::from_nanos(onset),
        declared: MonoTime::from_nanos(onset),
        evidence: String::new(),
    };
    let (begin, end) = (FaultPhase::Begin, FaultPhase::End(MonoTime::from_nanos(9_000_000)));
    let (info, warning) = (Severity::Info, Severity::Warning);
    let mut faults = Faults::new(MonoTime::ZERO);
    let steps = [
        (record("1", info, begin, 5_000_000), true),
        (record("2", info, begin, 5_000_000), false),
        (record("3", warning, begin, 5_000_000), true),
        (record("3", warning, FaultPhase::Raise, 5_000_000), false),
        (record("1", info, end, 5_000_000), false),
        (record("3", warning, end, 5_000_000), false),
        (record("2", info, end, 5_000_000), true),
        (record("2", info, begin, 20_000_000), true),
    ];
    for (step, (record, told)) in steps.into_iter().enumerate() {
        assert_eq!(faults.add(record), told, "{step}");
    }
    let (list, _) = faults.finish();
    let told = list.iter().map(|it| (it.severity, it.service_id, it.start_seconds, it.end_seconds));
    let expected = [(warning, Some(1), 0.005, Some(0.009)), (info, Some(2), 0.02, None)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_mistaken_for_a_transport_stream_is_named() {
    let cases: [(&[u8], Option<&str>); 6] = [
        (b"#EXTM3U\n", Some("a playlist: its address by http can be watched")),
        (b"\0\0\0\x1cftypiso5", Some("MP4")),
        (b"\0\0\0\x18stypmsdh", Some("MP4")),
        (b"\0\0\0\x10moov", Some("MP4")),
        (b"\x1a\x45\xdf\xa3", Some("Matroska or WebM")),
        (b"\x47\x40\0\x10", None),
    ];
    for (begin, format) in cases {
        assert_eq!(format_of(begin), format);
    }
}
