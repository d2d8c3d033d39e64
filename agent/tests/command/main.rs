//! The command line as people and scripts use it: exit codes, JSON, and the captures with known content.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "../session/clip.rs"]
#[expect(dead_code, reason = "the other test that shares it uses more of it")]
mod clip;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tallylight-agent")).args(arguments).output().unwrap()
}

fn probe(file: &Path, options: &[&str]) -> (i32, Value) {
    let mut arguments = vec!["probe", "--json"];
    arguments.extend(options);
    arguments.push(file.to_str().unwrap());
    let output = agent(&arguments);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("it exits"), report)
}

/// The folder of captures; a note instead where it is not there.
fn samples() -> Option<PathBuf> {
    tallylight_mux::captures::folder("figures of the agent")
}

/// Faults of a kind as (severity, pid, start, end).
fn faults(report: &Value, kind: &str) -> Vec<(String, Option<u64>, f64, Option<f64>)> {
    let all = report["faults"].as_array().unwrap().iter().filter(|fault| fault["kind"] == kind);
    all.map(|fault| {
        let severity = fault["severity"].as_str().unwrap().to_owned();
        let start = fault["start_seconds"].as_f64().unwrap();
        (severity, fault["pid"].as_u64(), start, fault["end_seconds"].as_f64())
    })
    .collect()
}

fn kinds(report: &Value) -> Vec<&str> {
    let serious = report["faults"].as_array().unwrap().iter().filter(|f| f["severity"] != "info");
    let mut kinds: Vec<&str> = serious.map(|fault| fault["kind"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

fn near(found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() <= within, "{found} is not {expected} +- {within}");
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    }
}

#[test]
fn captures_give_the_figures_that_other_tools_give() {
    let Some(samples) = samples() else { return };
    let (code, report) = probe(&samples.join("tsduck-test-108.ts"), &[]);
    assert_eq!((code, &report["verdict"]), (0, &Value::from("clean")), "{report:#}");
    assert_eq!(report["packets"], 20_000);
    assert_eq!(report["services"].as_array().unwrap().len(), 8);

    let (code, report) = probe(&samples.join("tsduck-test-025.ts"), &[]);
    assert_eq!((code, &report["verdict"]), (0, &Value::from("clean")), "{report:#}");
    assert_eq!(report["packets"], 9_751);

    let (code, report) = probe(&samples.join("tsduck-test-059.2.ts"), &[]);
    assert_eq!((code, &report["verdict"]), (1, &Value::from("faulty")));
    assert_eq!((&report["packets"], &report["continuity_errors"]), (&7_970.into(), &43.into()));
    assert_eq!(report["missing_packets"], 51);
    let pids = report["pids"].as_array().unwrap();
    let errors = |pid: u64| {
        let found = pids.iter().find(|entry| entry["pid"] == pid).unwrap();
        found["continuity"]["errors"].as_u64().unwrap()
    };
    let by_pid = [0x1A4, 0x1AE, 0x1AF, 0x1B0, 0x1B8, 0x1B9].map(errors);
    assert_eq!(by_pid, [11, 10, 9, 9, 3, 1]);
    let continuity = faults(&report, "continuity");
    assert!(continuity.iter().any(|(s, pid, ..)| s != "info" && *pid == Some(0x1A4)));

    let (code, report) = probe(&samples.join("tsduck-test-049.ts"), &[]);
    assert_eq!(code, 1);
    let continuity = &report["pids"][0]["continuity"];
    assert_eq!(continuity["errors"], 42);
    assert_eq!(
        continuity["legal_duplicates"].as_u64().unwrap()
            + continuity["excess_duplicates"].as_u64().unwrap(),
        307
    );
}

#[test]
fn a_clean_recording_is_clean_wherever_it_was_cut() {
    let folder = Folder::new();
    let clip = clip::clip(12, "", "");
    let (code, report) = probe(&folder.file("whole.ts", &clip), &[]);
    assert_eq!((code, kinds(&report)), (0, vec![]), "{report:#}");
    near(report["duration_seconds"].as_f64().unwrap(), 12.0, 0.5);
    let video = &report["services"][0]["components"][0];
    assert_eq!((&video["codec"], &video["width"]), (&"h264".into(), &320.into()));
    assert!(report["decoded_pictures"].as_u64().unwrap() > 3);
    for (from, to) in [(100, 1_900_000), (777_777, 2_345_678), (188 * 5000 + 3, 188 * 9000 + 7)] {
        let (code, report) = probe(&folder.file("cut.ts", &clip[from..to]), &[]);
        assert_eq!(code, 0, "{from}..{to}: {report:#}");
    }
}

#[test]
fn planted_faults_are_found_where_they_were_planted() {
    let folder = Folder::new();
    let black = clip::clip(20, "drawbox=c=black:t=fill:enable='between(t,4,12)'", "");
    let (code, report) = probe(&folder.file("black.ts", &black), &[]);
    assert_eq!((code, kinds(&report)), (1, vec!["black"]), "{report:#}");
    let (severity, pid, start, end) = faults(&report, "black").remove(0);
    assert_eq!((severity.as_str(), pid), ("warning", Some(u64::from(clip::VIDEO))));
    near(start, 4.0, 0.05);
    near(end.unwrap(), 12.04, 0.05);

    let silent = clip::clip(20, "", "volume=0:enable='between(t,4,8)'");
    let silent = folder.file("silent.ts", &silent);
    let (code, report) = probe(&silent, &[]);
    assert_eq!((code, kinds(&report)), (0, vec![]), "four seconds are short: {report:#}");
    let (code, report) = probe(&silent, &["--profile", "sensitive"]);
    assert_eq!((code, kinds(&report)), (1, vec!["silence"]));
    let (_, _, start, end) = faults(&report, "silence").remove(0);
    near(start, 4.0, 0.05);
    near(end.unwrap(), 8.0, 0.05);
    let (code, _) = probe(&silent, &["--profile", "sensitive", "--no-decode"]);
    assert_eq!(code, 0);

    // One frame of the fifth second is shown for twelve; its noise stands still as well.
    let freeze = "split[x][y];[x][y]freezeframes=first=100:last=399:replace=100";
    let (code, report) = probe(&folder.file("freeze.ts", &clip::clip(20, freeze, "")), &[]);
    assert_eq!((code, kinds(&report)), (1, vec!["freeze"]), "{report:#}");
    let (_, _, start, end) = faults(&report, "freeze").remove(0);
    near(start, 4.0, 0.05);
    near(end.unwrap(), 16.0, 0.05);
}

#[test]
fn a_clock_that_is_announced_with_every_tick_dates_as_any_other() {
    let folder = Folder::new();
    let mut clip = clip::clip(20, "drawbox=c=black:t=fill:enable='between(t,4,12)'", "");
    for packet in clip.chunks_exact_mut(clip::PACKET) {
        let has_clock = packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
        packet[5] |= if has_clock { 0x80 } else { 0 };
    }
    let (code, report) = probe(&folder.file("announced.ts", &clip), &[]);
    assert_eq!((code, kinds(&report)), (1, vec!["black"]), "{report:#}");
    near(report["duration_seconds"].as_f64().unwrap(), 20.0, 0.5);
    near(faults(&report, "black")[0].2, 4.0, 0.05);
}

#[test]
fn what_cannot_be_decoded_is_said_not_to_have_been_checked() {
    let folder = Folder::new();
    // MPEG-4 part 2, stream type 0x10, has no decoder here; RGB has no luma.
    let source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=6"];
    for (encoder, why) in [
        ("-c:v mpeg4", "there is no decoder for mpeg4video"),
        ("-c:v libx264rgb -preset ultrafast", "this variant of h264 cannot be decoded"),
    ] {
        let arguments: Vec<&str> = source.into_iter().chain(encoder.split(' ')).collect();
        let file = folder.file("foreign.ts", &clip::encode(&arguments));
        let (code, report) = probe(&file, &[]);
        assert_eq!((code, kinds(&report)), (0, vec![]), "{report:#}");
        let video = &report["services"][0]["components"][0];
        assert_eq!(
            (&video["not_checked"], &video["decode_errors"]),
            (&Value::from(why), &Value::Null)
        );
        let text = String::from_utf8(agent(&["probe", file.to_str().unwrap()]).stdout).unwrap();
        assert!(text.starts_with("CLEAN as far as it could be checked\n"), "{text}");
        assert!(text.contains(&format!("NOT CHECKED: {why}\n")), "{text}");
    }
}

#[test]
fn decode_errors_of_hevc_are_not_available_and_never_none() {
    let folder = Folder::new();
    for (codec, errors) in [("libx265", Value::Null), ("libx264", 0.into())] {
        let source = "testsrc2=size=320x180:rate=25:duration=6";
        let clip = clip::encode(&["-f", "lavfi", "-i", source, "-c:v", codec, "-g", "25"]);
        let (code, report) = probe(&folder.file("clean.ts", &clip), &[]);
        let video = &report["services"][0]["components"][0];
        assert_eq!((code, &video["decode_errors"]), (0, &errors), "{report:#}");
        assert_eq!(video["frame_rate_milli"], 25_000);
        assert_eq!(video["not_checked"], Value::Null);
    }
}

#[test]
fn a_fault_that_lasts_to_the_end_has_no_end() {
    let folder = Folder::new();
    let mut clip = clip::clip(12, "", "");
    let end = clip.len() / clip::PACKET * clip::PACKET;
    clip::mute(&mut clip, clip::VIDEO, clip::at(5.0), end);
    let (code, report) = probe(&folder.file("no-video.ts", &clip), &[]);
    assert_eq!(code, 1);
    let found = faults(&report, "no_video");
    assert_eq!(found.len(), 1, "{report:#}");
    assert_eq!((found[0].0.as_str(), found[0].3), ("critical", None));
    near(found[0].2, 5.0, 0.3);
    assert!(faults(&report, "continuity").is_empty(), "{report:#}");
}

/// Serves these files with their length stated, until the test is over; returns where. What is asked for with `?cut` breaks off
/// half-way.
fn serve(files: Vec<(&'static str, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, files) = (stream.unwrap(), files.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut request, mut rest) = (String::new(), String::new());
                reader.read_line(&mut request).unwrap();
                while rest != "\r\n" {
                    rest.clear();
                    reader.read_line(&mut rest).unwrap();
                }
                let wanted = request.split(' ').nth(1).unwrap();
                let (wanted, cut) = wanted.split_once('?').unwrap_or((wanted, ""));
                let (_, body) = files.iter().find(|(name, _)| *name == wanted).unwrap();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).unwrap();
                let sent = if cut.is_empty() { body.len() } else { body.len() / 2 };
                stream.write_all(&body[..sent]).unwrap();
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn a_recording_by_http_is_judged_by_its_own_time() {
    let clip = clip::clip(20, "drawbox=c=black:t=fill:enable='between(t,6,13.99)'", "");
    let segment = |from, to| clip[clip::at(from)..clip::at(to)].to_vec();
    let list =
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\na.ts\n#EXTINF:10,\nb.ts\n#EXT-X-ENDLIST\n";
    let server = serve(vec![
        ("/whole.ts", clip.clone()),
        ("/list.m3u8", list.as_bytes().to_vec()),
        ("/a.ts", segment(0.0, 10.0)),
        ("/b.ts", clip[clip::at(10.0)..].to_vec()),
    ]);
    for path in ["/whole.ts", "/list.m3u8"] {
        let (code, report) = probe(Path::new(&format!("{server}{path}")), &[]);
        assert_eq!((code, kinds(&report)), (1, vec!["black"]), "{path}: {report:#}");
        near(report["duration_seconds"].as_f64().unwrap(), 20.0, 0.5);
        let (_, _, start, end) = &faults(&report, "black")[0];
        near(*start, 6.0, 0.2);
        near(end.unwrap(), 14.0, 0.2);
    }
    // Half of it is read once, not again and again, and not called the whole.
    let (code, report) = probe(Path::new(&format!("{server}/whole.ts?cut")), &[]);
    assert_eq!((code, &report["verdict"]), (2, &"unreadable".into()), "{report:#}");
    near(report["duration_seconds"].as_f64().unwrap(), 10.0, 0.5);
}

#[test]
fn lost_packets_are_counted_and_placed() {
    let folder = Folder::new();
    let clip = clip::clip(20, "", "");
    let (from, to) = (clip::at(5.0), clip::at(9.0));
    let lossy = clip::filter(&clip, |index, _| {
        let place = index * clip::PACKET;
        !(from..to).contains(&place) || index % 20 != 0
    });
    let (code, report) = probe(&folder.file("lossy.ts", &lossy), &[]);
    assert_eq!(code, 1);
    let video = |f: &&(String, Option<u64>, f64, Option<f64>)| f.1 == Some(u64::from(clip::VIDEO));
    let continuity = faults(&report, "continuity");
    let found = continuity.iter().find(video).unwrap();
    assert_eq!(found.0, "critical");
    near(found.2, 5.0, 0.2);
    // The condition is an error within the last second.
    near(found.3.unwrap(), 10.0, 0.3);
}

#[test]
fn what_cannot_be_read_says_why_and_exits_2() {
    let folder = Folder::new();
    let noise: Vec<u8> = (0..1_000_000_u64)
        .map(|n| (n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n << 7) >> 33) as u8)
        .collect();
    let mut null = [0xFF; clip::PACKET];
    null[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
    let cases = [
        (folder.file("noise", &noise), "it is not an MPEG transport stream"),
        (
            folder.file("list.m3u8", b"#EXTM3U\n"),
            "it is not an MPEG transport stream but a playlist: its address by http can be watched",
        ),
        (folder.file("text.html", b"<html>not found</html>"), "it is not an MPEG transport stream"),
        (folder.file("empty.ts", b""), "it is empty"),
        (folder.file("null.ts", &null.repeat(5000)), "it holds nothing but null packets"),
        (folder.file("g.txt", &b"G\n".repeat(9000)), "it holds neither tables nor a clock"),
        (folder.0.path().join("nowhere.ts"), "no such file"),
        (folder.0.path().to_owned(), "is a directory"),
        ("http://127.0.0.1:9/x.ts".into(), "connection refused"),
        ("udp://127.0.0.1:47123".into(), "nothing arrived in 1 s"),
    ];
    for (input, error) in cases {
        let (code, report) = probe(&input, &["--duration", "1s"]);
        assert_eq!((code, &report["verdict"]), (2, &"unreadable".into()), "{}", input.display());
        assert_eq!(report["error"], error, "{}", input.display());
    }
}

#[test]
fn a_service_that_is_not_there_is_not_called_clean() {
    let folder = Folder::new();
    let file = folder.file("clean.ts", &clip::clip(12, "", ""));
    assert_eq!(probe(&file, &["--service", "1"]).0, 0);
    let (code, report) = probe(&file, &["--service", "99"]);
    assert_eq!(code, 2);
    assert_eq!(report["error"], "service 99 is not in it; its services are: 1");
}

#[test]
fn what_is_scrambled_is_said_not_to_have_been_looked_at() {
    let folder = Folder::new();
    let mut clip = clip::clip(12, "", "");
    for packet in clip.chunks_exact_mut(clip::PACKET) {
        if u16::from_be_bytes([packet[1], packet[2]]) & 0x1FFF == clip::VIDEO {
            packet[3] |= 0x80;
        }
    }
    let file = folder.file("scrambled.ts", &clip);
    let (code, report) = probe(&file, &[]);
    assert_eq!((code, kinds(&report)), (0, vec![]), "{report:#}");
    let found = faults(&report, "scrambled");
    let [(severity, Some(pid), ..)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((severity.as_str(), *pid), ("info", u64::from(clip::VIDEO)));
    let components = report["services"][0]["components"].as_array().unwrap();
    let scrambled: Vec<bool> =
        components.iter().map(|c| c["scrambled"].as_bool().unwrap()).collect();
    assert_eq!(scrambled, [true, false]);
    let text = String::from_utf8(agent(&["probe", file.to_str().unwrap()]).stdout).unwrap();
    assert!(text.starts_with("CLEAN as far as it is not scrambled\n"), "{text}");
}

#[test]
fn a_carried_multiplex_is_seen_without_tables_and_clock() {
    let head = [0x20, 7, 0, 0, (100u16 * 8).to_be_bytes()[0], (100u16 * 8).to_be_bytes()[1]];
    let carried = tallylight_mux::sealed([&head[..], &[0x5A; 100]].concat());
    let mut stream = tallylight_mux::Mux::default();
    for _ in 0..50 {
        stream.unit(0x1000, &[&[0], &carried[..]].concat());
        stream.null();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t2mi.ts");
    fs::write(&path, &stream.bytes).unwrap();
    let (code, report) = probe(&path, &[]);
    assert_eq!((code, &report["pids"][0]["t2mi_first_seconds"]), (2, &0.0.into()), "{report:#}");
    assert_eq!(report["error"], "it holds neither tables nor a clock, but T2-MI on 0x1000");
    let text = agent(&["probe", path.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("\nT2-MI on 0x1000\n"), "{text}");
}

#[test]
fn bytes_that_are_in_no_packet_are_a_loss_of_synchronisation() {
    let folder = Folder::new();
    let mut clip = clip::clip(12, "", "");
    let middle = clip::at(6.0) / clip::PACKET * clip::PACKET;
    clip.splice(middle..middle, [0x11; 3000]);
    let (code, report) = probe(&folder.file("garbage.ts", &clip), &[]);
    assert_eq!((code, kinds(&report)), (1, vec!["sync_loss"]), "{report:#}");
    assert_eq!((&report["skipped_bytes"], &report["sync_losses"]), (&3000.into(), &1.into()));
    let (severity, _, start, end) = &faults(&report, "sync_loss")[0];
    assert_eq!(severity, "warning");
    near(*start, 6.0, 0.2);
    near(end.unwrap(), 6.0, 0.3);
}

#[test]
fn a_fault_states_what_all_its_events_came_to() {
    let folder = Folder::new();
    let clip = clip::clip(12, "", "");
    let lossy = clip::filter(&clip, |index, _| index % 100 != 99);
    let (_, report) = probe(&folder.file("lossy.ts", &lossy), &[]);
    let pids = report["pids"].as_array().unwrap();
    let video = pids.iter().find(|pid| pid["pid"] == clip::VIDEO).unwrap();
    let (errors, missing) =
        (&video["continuity"]["errors"], &video["continuity"]["missing_packets"]);
    let all = report["faults"].as_array().unwrap();
    let fault = all.iter().find(|f| f["kind"] == "continuity" && f["pid"] == clip::VIDEO).unwrap();
    let expected = format!("{errors} continuity errors, {missing} packets missing by the counter");
    assert_eq!(fault["evidence"], expected);
}

#[test]
fn wrong_usage_exits_64_and_help_0() {
    for arguments in [
        &["probe"][..],
        &["probe", "--bogus", "x.ts"],
        &["probe", "srt://127.0.0.1:1"],
        &["probe", "--duration", "soon", "x.ts"],
        &["probe", "--profile", "strict", "x.ts"],
        &["fly"],
        &[],
    ] {
        assert_eq!(agent(arguments).status.code(), Some(64), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["probe", "--help"], &["run", "--help"], &["--version"]] {
        let output = agent(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty());
    }
    let help = String::from_utf8(agent(&["probe", "--help"]).stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("udp://239.1.1.1:5000"), "{help}");
}

#[test]
fn people_read_the_verdict_first() {
    let folder = Folder::new();
    let clip = clip::clip(12, "", "");
    let file = folder.file("clean.ts", &clip);
    let output = agent(&["probe", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("CLEAN\n"), "{text}");
    assert!(text.contains("  0x0100  video  h264 320x180 25.00 fps  "), "{text}");
}

/// The row of a check of TR 101 290.
fn check<'a>(report: &'a Value, number: &str) -> Option<&'a Value> {
    report["checks"].as_array().unwrap().iter().find(|check| check["number"] == number)
}

#[test]
fn the_checks_of_the_guideline_are_listed_by_number() {
    let folder = Folder::new();
    let clip = clip::clip(12, "", "");
    let clean = folder.file("clean.ts", &clip);
    let (_, report) = probe(&clean, &["--no-decode"]);
    for check in report["checks"].as_array().unwrap() {
        // The clip has no service information, which is only counted.
        assert!(check["count"] == 0 || check["setting"] == "inform", "{check:#}");
    }
    assert!(check(&report, "3.1").is_some());
    let (code, report) = probe(&clean, &["--no-decode", "--profile", "ott"]);
    assert_eq!((code, check(&report, "3.1")), (0, None));
    let (code, report) = probe(&clean, &["--no-decode", "--profile", "broadcast"]);
    assert_eq!((code, &check(&report, "3.6").unwrap()["setting"]), (1, &Value::from("fault")));
    assert!(kinds(&report).contains(&"si"), "{report:#}");
    let faults = report["faults"].as_array().unwrap().iter();
    let lacks: Vec<&str> = faults.filter_map(|fault| fault["evidence"].as_str()).collect();
    assert!(lacks.iter().any(|it| it.contains("what is on now")), "{lacks:?}");

    // Every 500th packet with video is gone.
    let packets = clip.chunks_exact(clip::PACKET).enumerate();
    let video =
        packets.filter(|(_, packet)| clip::pid(packet) == clip::VIDEO && packet[3] & 0x10 != 0);
    let lost: Vec<usize> = video.map(|(at, _)| at).skip(250).step_by(500).collect();
    let lossy = clip::filter(&clip, |at, _| !lost.contains(&at));
    let gone = lost.len() as u64;
    let file = folder.file("lossy.ts", &lossy);
    let (code, report) = probe(&file, &["--no-decode"]);
    let continuity = check(&report, "1.4").unwrap();
    assert_eq!((code, continuity["count"].as_u64()), (1, Some(gone)));
    assert_eq!(continuity["pids"], serde_json::json!([clip::VIDEO]));
    assert_eq!(continuity["services"], serde_json::json!([1]));
    let last = continuity["last_seconds"].as_f64().unwrap();
    assert!((1.0..12.0).contains(&last) && gone > 3, "{last} {gone}");
    let text = String::from_utf8(agent(&["probe", "--no-decode", file.to_str().unwrap()]).stdout);
    let text = text.unwrap();
    assert!(text.contains("1.4   Continuity_count_error"), "{text}");
    let rates = &report["rates"];
    assert!(rates["min_bps"].as_u64() <= rates["mean_bps"].as_u64(), "{rates}");
    assert!(rates["mean_bps"].as_u64() <= rates["max_bps"].as_u64(), "{rates}");
    assert!(report["services"][0]["rates"]["max_bps"].as_u64() > Some(100_000));
}

#[test]
fn an_own_profile_is_taken_from_the_file_and_a_wrong_one_refused() {
    let folder = Folder::new();
    let clip = folder.file("clean.ts", &clip::clip(12, "", ""));
    let own = "[profiles.sport]\nbased_on = 'broadcast'\nchecks = { '3.6' = 'off' }\n";
    let config = folder.file("agent.toml", own.as_bytes());
    let config = config.to_str().unwrap();
    let arguments = ["--no-decode", "--profile", "sport", "--config", config];
    let (code, report) = probe(&clip, &arguments);
    assert_eq!((code, &report["profile"], check(&report, "3.6")), (1, &"sport".into(), None));
    assert!(check(&report, "3.5").is_some());

    let wrong = folder.file("wrong.toml", b"[profiles.sport]\nchecks = { '3.99' = 'off' }\n");
    for (name, file, why) in [
        ("spotr", config, "profile \"spotr\" is not known; allowed are default, sensitive"),
        (
            "sport",
            wrong.to_str().unwrap(),
            "wrong.toml:2:22: profiles.sport.checks.3.99: is not a check",
        ),
        ("sport", "nowhere.toml", "cannot read the configuration nowhere.toml"),
    ] {
        let output = agent(&["probe", "--profile", name, "--config", file, clip.to_str().unwrap()]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(64) && text.contains(why), "{text}");
    }
}

#[test]
fn check_says_everything_that_is_wrong_at_once() {
    let folder = Folder::new();
    let file = folder.file("agent.toml", b"nod = 'a'\nlisten = 'here'\n");
    let output = agent(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    for expected in
        ["agent.toml:1:1: nod: unknown key", "agent.toml:2:11: listen", "node: is missing"]
    {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let good = "node = 'a'\ncollector = 'http://127.0.0.1:1'\nassignment = 'http://127.0.0.1:1'\n\
        token_file = 'token'\nstate_dir = 'state'\n";
    let file = folder.file("agent.toml", good.as_bytes());
    let output = agent(&["check", "--config", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("token_file: cannot read"), "{text}");
    folder.file("token", b"0123456789abcdef\n");
    let output = agent(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(!folder.0.path().join("state").exists(), "a check does nothing else");
}

#[test]
fn no_damage_makes_it_fall_over() {
    let folder = Folder::new();
    let clip = clip::clip(12, "", "");
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..12 {
        let mut damaged = clip[..clip.len() / 4].to_vec();
        for _ in 0..(1 << round) {
            let at = random() as usize % damaged.len();
            damaged[at] = random() as u8;
        }
        let from = random() as usize % 1_000;
        let file = folder.file("damaged.ts", &damaged[from..]);
        let (code, _) = probe(&file, &["--profile", "sensitive"]);
        assert!((0..=2).contains(&code), "round {round}: {code}");
    }
}
