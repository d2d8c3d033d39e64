//! `probe` on what goes on: standard input, files that grow, and being told to stop.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../session/clip.rs"]
#[expect(dead_code, reason = "the other test that shares it uses more of it")]
mod clip;

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// A probe that runs, and what it says line by line. Whatever it never says ends the test by the runner's own limit.
struct Probe {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Probe {
    fn start(arguments: &[&str], stdin: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tallylight-agent"))
            .args(["probe", "--json"])
            .args(arguments)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// The next line that fits.
    fn line(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let lines = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        lines.into_iter().find(fits).unwrap()
    }

    fn interrupt(&self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT).unwrap();
    }

    fn exit_code(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// The report of a probe that ends by itself.
fn report(arguments: &[&str], stdin: Stdio) -> Value {
    let mut probe = Probe::start(arguments, stdin);
    let text: String = probe.lines.by_ref().map(|line| line.unwrap() + "\n").collect();
    serde_json::from_str(&text).unwrap()
}

fn packets(bytes: &[u8]) -> u64 {
    (bytes.len() / clip::PACKET) as u64
}

#[test]
fn standard_input_is_judged_as_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.ts");
    let clip = clip::clip(20, "drawbox=c=black:t=fill:enable='between(t,4,12)'", "");
    fs::write(&path, &clip).unwrap();
    let of_file = report(&[path.to_str().unwrap()], Stdio::null());
    assert_eq!(of_file["verdict"], "faulty");
    // A file as standard input, and a pipe that is slow and cuts packets.
    let redirected = report(&["-"], File::open(&path).unwrap().into());
    assert_eq!(redirected, of_file);
    let mut probe = Probe::start(&["-"], Stdio::piped());
    let mut stdin = probe.stdin();
    for piece in clip.chunks(100_003) {
        stdin.write_all(piece).unwrap();
    }
    drop(stdin);
    let text: String = probe.lines.by_ref().map(|line| line.unwrap() + "\n").collect();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), of_file);
    assert_eq!(probe.exit_code(), 1);
}

#[test]
fn a_pipe_without_end_is_told_of_as_it_comes_until_somebody_stops_it() {
    let mut clip = clip::clip(20, "", "");
    clip::mute(&mut clip, clip::VIDEO, clip::at(5.0), clip::at(10.0));
    let mut probe = Probe::start(&["--follow", "--every", "100ms", "-"], Stdio::piped());
    let mut stdin = probe.stdin();
    stdin.write_all(&clip[..clip::at(9.0)]).unwrap();
    let of_video = |line: &Value, phase: &str| {
        (&line["type"], &line["phase"], &line["fault"]["kind"])
            == (&"fault".into(), &phase.into(), &"no_video".into())
    };
    let begin = probe.line(|line| of_video(line, "begin"));
    assert!((begin["fault"]["start_seconds"].as_f64().unwrap() - 5.0).abs() < 0.3, "{begin}");
    let summary = probe.line(|line| line["type"] == "summary" && line["faults"] == 1);
    assert_eq!(summary["standing"], serde_json::json!(["no_video"]));
    stdin.write_all(&clip[clip::at(9.0)..]).unwrap();
    let end = probe.line(|line| of_video(line, "end"));
    assert!((end["fault"]["end_seconds"].as_f64().unwrap() - 10.0).abs() < 0.3, "{end}");
    let all = |line: &Value| line["packets"] == packets(&clip);
    probe.line(|line| line["type"] == "summary" && all(line));
    probe.interrupt();
    let last = probe.line(|line| line["type"] == "report");
    assert!(all(&last["report"]) && last["report"]["verdict"] == "faulty", "{last:#}");
    assert_eq!(probe.exit_code(), 1);
    drop(stdin);
}

#[test]
fn a_file_is_read_on_as_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("growing.ts");
    let clip = clip::clip(12, "", "");
    let half = packets(&clip) as usize / 2 * clip::PACKET + 77;
    fs::write(&path, &clip[..half]).unwrap();
    let arguments = ["--follow", "--every", "100ms", path.to_str().unwrap()];
    let mut probe = Probe::start(&arguments, Stdio::null());
    let at = |count| move |line: &Value| line["type"] == "summary" && line["packets"] == count;
    probe.line(at(packets(&clip[..half])));
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&clip[half..]).unwrap();
    probe.line(at(packets(&clip)));
    probe.interrupt();
    let last = probe.line(|line| line["type"] == "report");
    assert_eq!(last["report"]["verdict"], "clean", "{last:#}");
    assert_eq!(probe.exit_code(), 0);
}

#[test]
fn what_is_interrupted_says_so_and_how_far_it_came() {
    let clip = clip::clip(12, "", "");
    let mut probe = Probe::start(&["-"], Stdio::piped());
    let mut stdin = probe.stdin();
    stdin.write_all(&clip).unwrap();
    // What is written once it was read: the pipe does not hold the clip.
    probe.interrupt();
    let text: String = probe.lines.by_ref().map(|line| line.unwrap() + "\n").collect();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["notes"], serde_json::json!(["it was interrupted before its end"]));
    assert!(report["packets"].as_u64().unwrap() > 0);
    drop(stdin);
}
