//! What `probe` says of streams whose every packet is known: what changed, and when.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use serde_json::{Value, json};
use tallylight_mux::{
    Mux, break_of, cue, pat,
    plan::{Plan, picture, sound},
    pmt,
};

const PMT: u16 = 0x20;
const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;

/// The report as JSON and as text.
fn probe(bytes: &[u8]) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.ts");
    std::fs::write(&file, bytes).unwrap();
    let run = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallylight-agent"));
        command.args(["probe", "--no-decode"]).args(options).arg(&file).output().unwrap().stdout
    };
    let report = serde_json::from_slice(&run(&["--json"])).unwrap_or_else(|e| panic!("{e}"));
    (report, String::from_utf8(run(&[])).unwrap())
}

/// One program with picture and sound, whose PMT has this version and language.
fn plan(version: u8, language: &[u8]) -> Plan {
    let components = [(0x1B, VIDEO, &[][..]), (0x0F, AUDIO, language)];
    Plan {
        tables: vec![(0, pat(0, &[(1, PMT)])), (PMT, pmt(1, version, VIDEO, &components))],
        clock: VIDEO,
        units: vec![(VIDEO, 0xE0, picture()), (AUDIO, 0xC0, sound())],
    }
}

#[test]
fn what_changed_is_told_with_its_time_and_place() {
    let mut mux = Mux::default();
    let (english, german) = (plan(0, b"\x0A\x04eng\x00"), plan(1, b"\x0A\x04deu\x00"));
    mux.play(&english, 50);
    let at = mux.play(&german, 50) as u64 + 1;
    let (report, text) = probe(&mux.bytes);
    let events = report["events"].as_array().unwrap();
    let [version, language] = &events[..] else { panic!("{report:#}") };
    for (event, kind, pid) in [(version, "pmt_version", PMT), (language, "language_changed", AUDIO)]
    {
        assert_eq!((&event["kind"], &event["pid"]), (&json!(kind), &json!(pid)), "{event:#}");
        assert_eq!((&event["service_id"], &event["packet"]), (&json!(1), &json!(at)));
        let seconds = event["seconds"].as_f64().unwrap();
        assert!((1.99..2.01).contains(&seconds), "{event:#}");
    }
    assert_eq!((&version["from"], &version["to"]), (&json!(0), &json!(1)));
    assert_eq!((&language["from"], &language["to"]), (&json!("eng"), &json!("deu")));
    assert_eq!(report["services"][0]["pmt_changes"], 1);
    let line = "service 1 PID 0x0101 language changed: eng to deu";
    assert!(text.contains("What changed:") && text.contains(line), "{text}");

    let mut mux = Mux::default();
    mux.play(&english, 100);
    let (report, text) = probe(&mux.bytes);
    assert_eq!((&report["events"], text.contains("What changed")), (&json!([]), false));
}

#[test]
fn cues_for_splices_are_told_with_their_times() {
    const CUES: u16 = 0x1F0;
    let components = [(0x1B, VIDEO, &[][..]), (0x86, CUES, b"\x05\x04CUEI")];
    let plan = Plan {
        tables: vec![(0, pat(0, &[(1, PMT)])), (PMT, pmt(1, 0, VIDEO, &components))],
        clock: VIDEO,
        units: vec![(VIDEO, 0xE0, picture())],
    };
    let mut mux = Mux::default();
    mux.play(&plan, 50);
    // Out at 6 s of the clock for 30 s, with return; two seconds are over.
    let insert = break_of(17, 6 * 90_000, 30 * 90_000);
    let length = (30 * 90_000_u32).to_be_bytes();
    mux.section(CUES, &cue(0, 5, &insert, &[]));
    mux.play(&plan, 1);
    mux.section(CUES, &cue(0, 5, &insert, &[]));
    // One that is identified by a text, and one by bytes.
    let segment = |upid: &[u8]| {
        let head = [&[2, 20 + upid.len() as u8][..], b"CUEI\x00\x00\x00\x05\x7F\xFF\x00", &length];
        [&head.concat()[..], &[0x0F, upid.len() as u8], upid, &[0x34, 1, 1]].concat()
    };
    let segments = [segment(b"urn:ad/7"), segment(b"ad\x1B[2J")].concat();
    let signal = [&[0xFE][..], &90_000_u32.to_be_bytes()].concat();
    mux.section(CUES, &cue(0, 6, &signal, &segments));
    mux.section(CUES, &cue(0, 0, &[], &[]));
    mux.play(&plan, 25);
    let (report, text) = probe(&mux.bytes);
    let events = report["events"].as_array().unwrap();
    let [insert, signal] = &events[..] else { panic!("{report:#}") };
    assert_eq!((&insert["kind"], &insert["pid"]), (&json!("splice_insert"), &json!(CUES)));
    let cue = &insert["cue"];
    assert_eq!((&cue["event_id"], &cue["out_of_network"]), (&json!(17), &json!(true)));
    assert_eq!((&cue["duration_seconds"], &cue["auto_return"]), (&json!(30.0), &json!(true)));
    let near = |found: &Value, expected: f64| {
        assert!((found.as_f64().unwrap() - expected).abs() < 0.005, "{found} not {expected}");
    };
    near(&cue["preroll_seconds"], 4.0);
    near(&cue["splice_seconds"], 5.8);
    let cue = &signal["cue"];
    near(&cue["preroll_seconds"], -1.038);
    assert_eq!(cue["segmentations"][0]["type"], "provider placement opportunity start");
    assert_eq!(cue["segmentations"][0]["duration_seconds"], 30.0);
    let upid = |i: usize| (&cue["segmentations"][i]["upid_type"], &cue["segmentations"][i]["upid"]);
    assert_eq!(upid(0), (&json!("URI"), &json!("urn:ad/7")));
    assert_eq!(upid(1), (&json!("URI"), &json!("0x61641B5B324A")));
    assert!(text.contains("of 30.000 s (URI urn:ad/7)"), "{text}");
    let counted = json!({"cues": 2, "repeats": 1, "heartbeats": 1, "damaged": 0});
    assert_eq!(report["services"][0]["components"][1]["cues"], counted);
    assert!(text.contains("splice insert 17, out, for 5.8"), "{text}");
    assert!(text.contains("(LATE by 1.0"), "{text}");
}

#[test]
fn texts_are_promised_or_seen_and_which_is_said() {
    const SUBTITLES: u16 = 0x110;
    let subtitles = (0x06, SUBTITLES, &b"\x59\x08deu\x10\x00\x01\x00\x01"[..]);
    let components = [(0x1B, VIDEO, &b"\x86\x07\xE1eng\xC1\x3F\xFF"[..]), subtitles];
    let mut plan = Plan {
        tables: vec![(0, pat(0, &[(1, PMT)])), (PMT, pmt(1, 0, VIDEO, &components))],
        clock: VIDEO,
        units: vec![(VIDEO, 0xE0, picture())],
    };
    let mut mux = Mux::default();
    mux.play(&plan, 50);
    let (report, text) = probe(&mux.bytes);
    let components = report["services"][0]["components"].as_array().unwrap();
    let [video, subtitles] = &components[..] else { panic!("{report:#}") };
    let promised =
        json!([{"kind": "cea708", "language": "eng", "hearing_impaired": false, "number": "1"}]);
    assert_eq!((&video["texts"], video.get("cea708_first_seconds")), (&promised, None));
    assert_eq!(
        (&subtitles["texts"][0]["kind"], subtitles.get("first_seconds")),
        (&json!("dvb_subtitle"), None)
    );
    assert!(text.contains("lists cea708 1 eng"), "{text}");
    assert!(text.contains("nothing of it came"), "{text}");

    let captions = b"\x00\x00\x01\x06\x04\x0E\xB5\x00\x31GA94\x03\xC1\xFF\xFF\x43\x21\xFF\x80";
    plan.units[0].2 = [&[0, 0, 0, 1, 9, 0x10][..], captions, &picture()[6..]].concat();
    plan.units.push((SUBTITLES, 0xBD, vec![0x20, 0, 0x0F, 0x10, 0, 1, 0xFF]));
    mux.play(&plan, 50);
    let (report, text) = probe(&mux.bytes);
    let components = &report["services"][0]["components"];
    let near = |value: &Value| {
        let seconds = value.as_f64().unwrap();
        assert!((1.9..2.15).contains(&seconds), "{seconds}");
    };
    near(&components[0]["cea708_first_seconds"]);
    near(&components[1]["first_seconds"]);
    assert!(components[0].get("cea608_first_seconds").is_none());
    assert!(text.contains("CEA-708 captions from 00:00:02.0"), "{text}");
}

#[test]
fn pictures_and_leads_are_told_by_component() {
    let mut mux = Mux::default();
    let plan = plan(0, b"");
    mux.play(&plan, 25 * 4);
    mux.shifts.insert(AUDIO, 9_000);
    mux.play(&plan, 25 * 4);
    let (report, text) = probe(&mux.bytes);
    let service = &report["services"][0];
    let pictures = &service["components"][0]["pictures"];
    assert_eq!(pictures["i"], json!({"count": 200, "mean_bytes": 411}), "{pictures:#}");
    assert_eq!(pictures["p"], json!({"count": 0, "mean_bytes": null}));
    assert_eq!(
        (&pictures["groups"]["count"], &pictures["groups"]["max_pictures"]),
        (&json!(199), &json!(1))
    );
    assert_eq!(pictures["groups"]["mean_seconds"], 0.04);
    let lead = &service["components"][1]["lead"];
    assert_eq!((&lead["min_seconds"], &lead["max_seconds"]), (&json!(0.196), &json!(0.296)));
    assert_eq!(service["picture_ahead_of_sound"]["drift_seconds"], -0.1);
    assert_eq!(service["components"][1]["pes_packets"], 200);
    assert!(
        text.contains("200 I of 411 bytes, groups of 1 to 1 pictures (0.040 to 0.040 s)"),
        "{text}"
    );
    assert!(text.contains("-0.100 s by the end"), "{text}");
}
