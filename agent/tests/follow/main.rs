//! `probe` on what goes on: standard input, files that grow, RTP, and being told to stop.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../session/clip.rs"]
#[expect(dead_code, reason = "the other test that shares it uses more of it")]
mod clip;

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, ErrorKind, Lines, Write as _},
    net::{SocketAddr, UdpSocket},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
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
    let mut probe = Probe::start(&["--no-decode", "-"], Stdio::piped());
    let mut stdin = probe.stdin();
    // More than the 4 MiB that wait between the pipe and the session, so that some of it was looked at once all is written.
    (0..3).for_each(|_| stdin.write_all(&clip).unwrap());
    probe.interrupt();
    let text: String = probe.lines.by_ref().map(|line| line.unwrap() + "\n").collect();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["notes"], serde_json::json!(["it was interrupted before its end"]));
    assert!(report["packets"].as_u64().unwrap() > 0);
    drop(stdin);
}

#[test]
fn what_never_becomes_a_stream_is_not_read_to_its_end() {
    let noise: Vec<u8> = (0..1_000_000_u64)
        .map(|n| (n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n << 7) >> 33) as u8)
        .collect();
    let mut probe = Probe::start(&["-"], Stdio::piped());
    let mut stdin = probe.stdin();
    let read = (0..200).take_while(|_| stdin.write_all(&noise).is_ok()).count();
    assert!((30..100).contains(&read), "{read} MB");
    let text: String = probe.lines.by_ref().map(|line| line.unwrap() + "\n").collect();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["error"], "it is not an MPEG transport stream");
    assert_eq!(probe.exit_code(), 2);
}

/// Transport packets of one datagram.
const SHARE: usize = 7;

/// Sends RTP to a probe on this host, whose port it knows to be open.
struct Sender {
    socket: UdpSocket,
    sent: u64,
}

impl Sender {
    /// Waits until somebody listens there.
    fn to(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let begun = Instant::now();
        // A control packet, which is no part of the stream: it is refused where nobody listens.
        let report = [[0x80, 200, 0, 6].as_slice(), &[7; 24]].concat();
        loop {
            let sent = socket.send(&report).and_then(|_| socket.recv(&mut [0; 1]));
            if sent.unwrap_err().kind() != ErrorKind::ConnectionRefused {
                return Self { socket, sent: 0 };
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody listens on {address}");
        }
    }

    /// Sends a stream at the pace of 2 Mb/s.
    fn play(&mut self, stream: &[u8]) {
        let begun = Instant::now();
        for (index, payload) in stream.chunks(SHARE * clip::PACKET).enumerate() {
            let due = Duration::from_micros(5_264) * index as u32;
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            self.socket.send(payload).unwrap();
        }
    }

    fn send(&mut self, sequence: usize, source: u8, payload: &[u8]) {
        // 7 packets at 2 Mb/s are 5.264 ms, by the clock of 90 kHz.
        let [_, _, s0, s1] = (sequence as u32).to_be_bytes();
        let [t0, t1, t2, t3] = (sequence as u32 * 47_376 / 100).to_be_bytes();
        let header = [0x80, 33, s0, s1, t0, t1, t2, t3, 0, 0, 0, source];
        self.socket.send(&[&header[..], payload].concat()).unwrap();
        self.sent += 1;
    }
}

#[test]
fn a_live_stream_that_stops_and_comes_back_is_told_as_it_does() {
    let clip = clip::clip(12, "", "");
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("udp://{address}");
    let mut probe = Probe::start(&["--follow", "--every", "100ms", &url], Stdio::null());
    let mut sender = Sender::to(address);
    sender.play(&clip[..clip::at(3.0)]);
    let silence = |phase: &'static str| {
        move |line: &Value| line["phase"] == phase && line["fault"]["kind"] == "no_data"
    };
    let begin = probe.line(silence("begin"));
    assert_eq!(begin["fault"]["severity"], "critical", "{begin}");
    let standing = |line: &Value| line["type"] == "summary" && line["standing"][0] == "no_data";
    probe.line(standing);
    let rest = clip[clip::at(3.0)..clip::at(7.0)].to_vec();
    let playing = std::thread::spawn(move || sender.play(&rest));
    let end = probe.line(silence("end"));
    let seconds = |line: &Value, key: &str| line["fault"][key].as_f64().unwrap();
    assert_eq!(seconds(&end, "start_seconds"), seconds(&begin, "start_seconds"));
    assert!(seconds(&end, "end_seconds") - seconds(&end, "start_seconds") >= 2.0, "{end}");
    playing.join().unwrap();
    probe.interrupt();
    let last = probe.line(|line| line["type"] == "report");
    assert_eq!(last["report"]["verdict"], "faulty", "{last:#}");
    assert_eq!(probe.exit_code(), 1);
}

#[test]
fn how_datagrams_of_less_than_a_second_arrived_is_said_not_to_be_known() {
    let clip = clip::clip(12, "", "");
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("udp://{address}");
    for (seconds, known) in [(0.5, false), (2.5, true)] {
        let arguments = ["--follow", "--every", "100ms", "--no-decode", &url];
        let mut probe = Probe::start(&arguments, Stdio::null());
        let stream = &clip[..clip::at(seconds)];
        Sender::to(address).play(stream);
        let all = |line: &Value| line["type"] == "summary" && line["packets"] == packets(stream);
        probe.line(all);
        probe.interrupt();
        let report = &probe.line(|line| line["type"] == "report")["report"];
        assert_eq!(report["delivery"].is_object(), known, "{report:#}");
        let notes = report["notes"].as_array().map_or(0, Vec::len);
        assert_eq!(notes, usize::from(!known), "{report:#}");
        probe.exit_code();
    }
}

#[test]
fn what_becomes_of_rtp_packets_is_told_one_by_one() {
    let clip = clip::clip(12, "", "");
    let datagrams: Vec<&[u8]> = clip[..clip::at(5.0)].chunks_exact(SHARE * clip::PACKET).collect();
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("rtp://{address}");
    let arguments = ["--follow", "--every", "100ms", "--no-decode", &url];
    let mut probe = Probe::start(&arguments, Stdio::null());
    let mut sender = Sender::to(address);
    let begun = Instant::now();
    for (index, payload) in datagrams.iter().enumerate() {
        let due = Duration::from_micros(5_264) * index as u32;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        // The sender begins anew at 600.
        let source = if index < 600 { 1 } else { 2 };
        match index {
            100 | 200..203 | 300 | 400 => {}
            401 => [401, 400].iter().for_each(|&at| sender.send(at, 1, datagrams[at])),
            500 => (0..2).for_each(|_| sender.send(index, 1, payload)),
            _ => sender.send(index, source, payload),
        }
        // Given up by then.
        if index == 340 {
            sender.send(300, 1, datagrams[300]);
        }
    }
    let arrived = (SHARE * (datagrams.len() - 5)) as u64;
    let all = |line: &Value| line["type"] == "summary" && line["packets"] == arrived;
    probe.line(all);
    probe.interrupt();
    let last = probe.line(|line| line["type"] == "report");
    let delivery = &last["report"]["delivery"];
    let rtp = |key: &str| delivery["rtp"][key].as_u64().unwrap();
    let counts = ["lost", "reordered", "duplicates", "late", "restarts"].map(rtp);
    assert_eq!(counts, [5, 1, 1, 1, 1], "{delivery:#}");
    let faults = last["report"]["faults"].as_array().unwrap();
    let lost: Vec<_> = faults.iter().filter(|fault| fault["kind"] == "rtp_loss").collect();
    assert_eq!(lost.len(), 1, "{lost:#?}");
    assert_eq!((&lost[0]["severity"], &lost[0]["start_seconds"].is_f64()), (&"info".into(), &true));
    assert!((650..=sender.sent).contains(&rtp("packets")), "{delivery:#}");
    let gaps =
        delivery["gaps"].as_array().unwrap().iter().map(|gap| gap["count"].as_u64().unwrap());
    assert_eq!(delivery["datagrams"], gaps.sum::<u64>());
    assert!(delivery["media_loss_rate"]["max_per_second"].as_f64() > Some(0.0), "{delivery:#}");
    assert!(delivery["delay_factor"]["max_seconds"].as_f64() > Some(0.0), "{delivery:#}");
    let spread = delivery["rtp"]["spread"]["max_seconds"].as_f64();
    assert!(spread > Some(0.0), "{delivery:#}");
    assert!(delivery["pcr_jitter"]["max_seconds"].as_f64() > Some(0.0), "{delivery:#}");
    assert_eq!((&delivery["pcr_drift_ppm"], &delivery["dropped_here"]), (&Value::Null, &0.into()));
}
