//! What `probe` says of streams whose every packet is known: what changed, and when.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use serde_json::{Value, json};

#[path = "../../../crates/ts/tests/mux/mod.rs"]
mod mux;

use mux::{Mux, Plan, pat, picture, pmt, sound};

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
