//! Worker processes as they are: what they are kept from, and what becomes of the streams of one that is killed, stops, spins or
//! eats memory.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../encoded/mod.rs"]
mod clip;

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tallylight_agent::{
    assignment::Priority,
    decode::{Analyser, Dating, Effort, Place, Reply, Request, Unit, WorkerFailure},
    exposition::Board,
    io::{
        decoding::{Answer, Decoders, Desk, MemoryLimits, Outcome, Program},
        outbox::Outbox,
    },
    report::Queue,
};
use tallylight_model::{Epoch, MonoTime, NodeId, StreamId};
use tallylight_ts::{AnalyserConfig, Event, Payload};
use tokio::sync::mpsc;

/// Longer than anything here may take, so that a failing test ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// Slices wait for so long for what is decoded: what comes later is not observed.
const IN_TIME: Duration = Duration::from_secs(2);

const SMALL: &str = "testsrc2=size=640x360:rate=25";
const LARGE: &str = "testsrc2=size=3840x2160:rate=25";

fn encoded(picture: &str, seconds: &str) -> Vec<Request> {
    encoded_with(picture, seconds, "1")
}

/// The same, with pictures made from up to so many others.
fn encoded_with(picture: &str, seconds: &str, references: &str) -> Vec<Request> {
    let mut arguments = vec!["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=f=400"];
    arguments.extend(["-t", seconds, "-c:v", "libx264", "-preset", "ultrafast", "-g", "25"]);
    arguments.extend(["-refs", references]);
    arguments.extend(["-c:a", "aac", "-ar", "48000"]);
    requests(&clip::encode(&arguments))
}

/// Every access unit, key pictures and sound to be decoded.
fn requests(data: &[u8]) -> Vec<Request> {
    let mut stream = tallylight_ts::Analyser::new(AnalyserConfig::default());
    stream.set_payload(Payload::All);
    let (mut requests, mut place) = (vec![Request::Reset], Place::default());
    for chunk in data.chunks(1316) {
        stream.push(MonoTime::ZERO, chunk);
        while let Some(event) = stream.poll() {
            let Event::Unit(unit) = event else { continue };
            place = match (unit.codec.is_video(), unit.key) {
                (true, true) => Place { group: place.group + 1, index: 0 },
                (true, false) => Place { index: place.index + 1, ..place },
                (false, _) => place,
            };
            let effort = match (unit.codec.is_video(), unit.key) {
                (true, true) => Effort::Key(place),
                (true, false) => Effort::Keep(place),
                (false, _) => Effort::Alone,
            };
            requests.push(Request::Unit(Unit {
                pid: unit.pid,
                codec: unit.codec,
                key: unit.key,
                media_time: unit.media_time.unwrap(),
                effort,
                dating: Dating::Decoding,
                thumbnail: false,
                data: unit.data,
            }));
        }
    }
    requests
}

#[test]
fn what_a_key_picture_shows_is_dated_by_decoding_where_there_is_time() {
    let picture = format!("{SMALL},drawbox=color=black:t=fill:enable='gte(t,2.5)'");
    for (dating, dated, withheld, turned) in [
        (Dating::Decoding, 1, 0, Some(Duration::from_millis(2_520))),
        (Dating::Withheld, 0, 1, None),
        (Dating::Sizes, 0, 0, None),
    ] {
        let mut analyser = Analyser::new();
        let replies: Vec<Reply> = encoded(&picture, "5")
            .into_iter()
            .map(|request| match request {
                Request::Unit(unit) => Request::Unit(Unit { dating, ..unit }),
                Request::Reset => Request::Reset,
            })
            .flat_map(|request| analyser.handle(request))
            .collect();
        let count = |is: fn(&Reply) -> bool| replies.iter().filter(|reply| is(reply)).count();
        assert_eq!(count(|reply| matches!(reply, Reply::Dated { .. })), dated, "{dating:?}");
        assert_eq!(count(|reply| matches!(reply, Reply::Withheld { .. })), withheld, "{dating:?}");
        let times = replies.iter().filter_map(|reply| match reply {
            Reply::Picture(stats) => Some((stats.media_time, stats.turned)),
            _ => None,
        });
        let times: Vec<_> = times.collect();
        let begin = times[0].0;
        let found = times.iter().find_map(|(_, turned)| *turned);
        assert_eq!(found.map(|at| at.saturating_sub(begin)), turned, "{dating:?}");
    }
}

/// One worker, and what was said of it.
struct Pool {
    decoders: Decoders,
    outbox: Arc<Outbox>,
    memory: MemoryLimits,
}

fn agent() -> Program {
    Program::at(env!("CARGO_BIN_EXE_tallylight-agent").into())
}

impl Pool {
    fn new(program: &Program, stream: u64) -> Self {
        let node = NodeId::new("n1").unwrap();
        let queue = Queue::new(node.clone(), Epoch(1), 10);
        let outbox = Arc::new(Outbox::new(queue, Board::new(node)));
        // The worker's own limit tells the workers of one test from those of another.
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let mark = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let memory = MemoryLimits { worker: (4 << 30) + mark, stream };
        let decoders = Decoders::start(1, program, memory, &outbox).unwrap();
        Self { decoders, outbox, memory }
    }

    fn session(&self, stream: &str) -> Session {
        let (tx, answers) = mpsc::channel(10_000);
        let desk = self
            .decoders
            .desk(vec![(StreamId::parse(stream).unwrap(), Priority::Normal)], tx)
            .unwrap();
        Session { desk, answers }
    }

    /// The worker's process.
    fn worker(&self) -> Pid {
        let memory = self.memory.worker.to_string();
        wait("a worker", || {
            let own = children(std::process::id()).into_iter();
            own.filter(|process| command_line(*process).contains(&memory)).map(pid).next()
        })
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let page = self.outbox.metrics();
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }
}

struct Session {
    desk: Desk,
    answers: mpsc::Receiver<Answer>,
}

impl Session {
    fn ask(&self, request: &Request) {
        self.desk.ask(0, request.clone()).unwrap();
    }

    fn answer(&mut self) -> Outcome {
        wait("an answer", || self.answers.try_recv().ok()).outcome
    }

    /// Asks all and takes all answers.
    fn replies(&mut self, requests: &[Request]) -> Vec<Reply> {
        requests.iter().for_each(|request| self.ask(request));
        requests.iter().flat_map(|_| replies(self.answer())).collect()
    }
}

fn replies(outcome: Outcome) -> Vec<Reply> {
    let Outcome::Replies(replies) = outcome else { unreachable!("{outcome:?}") };
    replies
}

fn failure(outcome: Outcome) -> (WorkerFailure, Duration) {
    let Outcome::Failed(how, pause) = outcome else { unreachable!("{outcome:?}") };
    (how, pause)
}

fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn pid(process: u32) -> Pid {
    Pid::from_raw(process.cast_signed())
}

fn command_line(process: u32) -> String {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn children(of: u32) -> BTreeSet<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.to_owned());
        fields.is_some_and(|fields| fields.split(' ').nth(1) == Some(&of.to_string()))
    })
    .collect()
}

#[test]
fn a_worker_answers_as_a_decoder_in_the_same_process_does() {
    let requests = encoded(SMALL, "4");
    let mut analyser = Analyser::new();
    let expected: Vec<Reply> =
        requests.iter().flat_map(|request| analyser.handle(request.clone())).collect();
    let pictures = expected.iter().filter(|reply| matches!(reply, Reply::Picture(_))).count();
    assert!(pictures == 4 && expected.len() > 30, "{pictures} of {}", expected.len());
    let pool = Pool::new(&agent(), MemoryLimits::STREAM);
    assert_eq!(pool.session("one/a").replies(&requests), expected);
}

#[test]
fn a_worker_can_open_neither_file_nor_socket_and_says_so() {
    let pool = Pool::new(&agent(), MemoryLimits::STREAM);
    pool.session("one/a").replies(&[Request::Reset]);
    for from in ["files", "network"] {
        let series = format!("tallylight_agent_decode_confined{{from=\"{from}\"}}");
        assert_eq!(pool.metric(&series), Some(1.0), "{}", pool.outbox.metrics());
    }
    let worker = pool.worker();
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    // What it says of the filter is what the kernel says of it.
    let filtered = f64::from(u8::from(status.contains("Seccomp:\t2")));
    assert_eq!(pool.metric("tallylight_agent_decode_confined{from=\"seccomp\"}"), Some(filtered));
    let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    for limit in ["Max core file size", "Max open files", "Max file size"] {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit)).unwrap();
        assert_eq!(line.split_whitespace().next(), Some("0"), "{limit}{line}");
    }
    let environment = fs::read(format!("/proc/{worker}/environ")).unwrap();
    assert!(!environment.starts_with(b"PATH") && environment.len() < 1_000);
}

/// Pictures that keep a worker busy for a second or more.
const MUCH: usize = 40;

/// Sends the worker a signal while it has much to do for one stream; another stream goes on.
fn one_fails(signal: Signal, expected: WorkerFailure) {
    let pool = Pool::new(&agent(), MemoryLimits::STREAM);
    let (small, large) = (encoded(SMALL, "4"), encoded(LARGE, "1"));
    let (mut bad, mut good) = (pool.session("bad/a"), pool.session("good/a"));
    good.replies(&small);
    let worker = pool.worker();
    // The first goes alone; once the first of those that go together is answered, it works on the next.
    let key = large.iter().find(|request| is_key(request)).unwrap();
    (0..MUCH).for_each(|_| bad.ask(key));
    (0..2).for_each(|_| assert!(matches!(bad.answer(), Outcome::Replies(_))));
    let mut left = MUCH - 2;
    let began = Instant::now();
    kill(worker, signal).unwrap();
    small.iter().for_each(|request| good.ask(request));
    let failed = wait("the failure", || {
        left -= 1;
        match bad.answer() {
            Outcome::Failed(how, pause) => Some((how, pause)),
            Outcome::Replies(_) | Outcome::Skipped => None,
        }
    });
    assert_eq!(failed, (expected, Duration::from_secs(1)));
    assert!(left > 0, "it was too fast to be stopped at work");
    (0..left).for_each(|_| assert!(matches!(bad.answer(), Outcome::Skipped)));
    // The other one misses nothing: all that it asks is answered, by a worker that begins with its first key picture.
    let found: Vec<Reply> = small.iter().flat_map(|_| replies(good.answer())).collect();
    let late = began.elapsed();
    assert!(late < IN_TIME, "the other stream waited for {late:?}");
    assert_eq!(found.iter().filter(|reply| matches!(reply, Reply::Picture(_))).count(), 4);
    assert_ne!(pool.worker(), worker);
    let series = "tallylight_agent_decode_worker_failures_total";
    let reason = format!("{series}{{reason=\"{}\"}}", expected.name());
    assert_eq!(pool.metric(&reason), Some(1.0));
    // The bad one is put aside, and taken up again.
    wait("the end of the pause", || {
        bad.ask(key);
        matches!(bad.answer(), Outcome::Replies(_)).then_some(())
    });
    let paused = began.elapsed();
    assert!(paused >= Duration::from_secs(1), "after {paused:?}");
}

fn is_key(request: &Request) -> bool {
    matches!(request, Request::Unit(Unit { effort: Effort::Key(_), .. }))
}

#[test]
fn a_worker_that_is_killed_costs_the_stream_that_it_worked_on_alone() {
    one_fails(Signal::SIGKILL, WorkerFailure::Died(Some(Signal::SIGKILL as i32)));
}

#[test]
fn a_worker_that_does_not_come_back_costs_the_stream_that_it_worked_on_alone() {
    one_fails(Signal::SIGSTOP, WorkerFailure::Hung);
}

#[test]
fn a_worker_that_spins_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("worker");
    let once = folder.path().join("once");
    // The first one says that it is ready, as a worker does, and then computes for ever; the next ones are real.
    let text = format!(
        "#!/bin/sh\nif /bin/mkdir {} 2>/dev/null\nthen\n  printf '\\006\\000\\000\\000\\000\\000\\000\\000\\000\\001\\001\\001\\001\\001' >&0\n  while :; do :; done\nfi\nexec {} \"$@\"\n",
        once.display(),
        env!("CARGO_BIN_EXE_tallylight-agent"),
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let pool = Pool::new(&Program::at(script), MemoryLimits::STREAM);
    let requests = encoded(SMALL, "4");
    let (mut bad, mut good) = (pool.session("bad/a"), pool.session("good/a"));
    bad.ask(requests.iter().find(|request| is_key(request)).unwrap());
    assert_eq!(failure(bad.answer()), (WorkerFailure::Hung, Duration::from_secs(1)));
    assert!(once.is_dir());
    assert!(good.replies(&requests).len() > 30);
}

#[test]
fn a_stream_that_takes_too_much_memory_is_put_aside_and_no_other() {
    let pool = Pool::new(&agent(), 64 << 20);
    let (small, mut large) = (encoded(SMALL, "4"), encoded_with(LARGE, "1", "8"));
    let (mut bad, mut good) = (pool.session("bad/a"), pool.session("good/a"));
    let before = good.replies(&small).len();
    // One picture after the other, so that the decoder holds eight of 12 MB.
    for request in &mut large {
        if let Request::Unit(unit) = request {
            unit.effort = Effort::Run;
        }
        bad.ask(request);
    }
    let failed = wait("the failure", || match bad.answer() {
        Outcome::Failed(how, _) => Some(how),
        Outcome::Replies(_) | Outcome::Skipped => None,
    });
    assert_eq!(failed, WorkerFailure::Memory);
    assert_eq!(good.replies(&small).len(), before);
}

#[test]
fn a_worker_that_cannot_be_started_leaves_its_streams_unobserved() {
    let pool = Pool::new(&Program::at("/nonexistent/program".into()), MemoryLimits::STREAM);
    let mut session = pool.session("one/a");
    session.ask(&Request::Reset);
    assert!(matches!(session.answer(), Outcome::Skipped));
    let reason = "tallylight_agent_decode_worker_failures_total{reason=\"not_started\"}";
    assert_eq!(pool.metric(reason), Some(1.0));
}

/// A probe of its standard input, with a worker.
fn probe(options: &[&str]) -> (Child, u32) {
    let mut probe = Command::new(env!("CARGO_BIN_EXE_tallylight-agent"))
        .args(["probe", "--json"])
        .args(options)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    feed(&mut probe);
    let worker = wait("a worker that waits", || {
        let worker = children(probe.id()).first().copied()?;
        let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap_or_default();
        let waits = status.contains("Name:\tdecode-worker") && status.contains("State:\tS");
        waits.then_some(worker)
    });
    (probe, worker)
}

fn feed(probe: &mut Child) {
    let arguments = ["-f", "lavfi", "-i", SMALL, "-t", "4", "-c:v", "libx264", "-g", "25"];
    probe.stdin.as_mut().unwrap().write_all(&clip::encode(&arguments)).unwrap();
}

#[test]
fn no_worker_outlives_its_agent() {
    let (mut probe, worker) = probe(&["--follow"]);
    kill(pid(worker), Signal::SIGSTOP).unwrap();
    kill(pid(probe.id()), Signal::SIGKILL).unwrap();
    probe.wait().unwrap();
    let gone = || {
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    wait("the worker's end", gone);
}

#[test]
fn a_probe_outlives_its_worker_and_tells() {
    let (mut probe, worker) = probe(&[]);
    kill(pid(worker), Signal::SIGSTOP).unwrap();
    feed(&mut probe);
    let output = probe.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let faults = report["faults"].as_array().unwrap();
    let failed = faults.iter().find(|fault| fault["kind"] == "decoder_failed").unwrap();
    let evidence = failed["evidence"].as_str().unwrap();
    assert_eq!(evidence, "the decoder did not come back; not decoded for 1 s");
    assert!(!Path::new(&format!("/proc/{worker}")).exists());
}
