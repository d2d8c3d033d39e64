//! Clips of faults: a real agent on streams that are damaged on the way, and what other tools and `probe` say of the clips.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../session/clip.rs"]
#[expect(dead_code, reason = "the other test that shares it uses more of it")]
mod clip;
#[path = "../daemon/world.rs"]
#[expect(dead_code, reason = "the other test that shares it uses more of it")]
mod world;

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use tallylight_model::{FaultKind, FaultPhase, FaultRecord};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use world::{Agent, Assignments, Collector, Station, Verdict, eventually};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const EVIDENCE: &str = "[evidence]\nfolder = 'clips'\nbefore = '3s'\nafter = '3s'\n";

/// The complete clips of one kind of fault.
fn clips(agent: &Agent, kind: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(agent.folder().join("clips")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let ending = format!("_one_a_{kind}.ts");
    paths.filter(|path| path.to_string_lossy().ends_with(&ending)).collect()
}

async fn clip_of(agent: &Agent, kind: &str) -> PathBuf {
    eventually("there is a clip", || async { !clips(agent, kind).is_empty() }).await;
    clips(agent, kind).remove(0)
}

/// What `probe` says of a file.
fn probe(path: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_tallylight-agent"))
        .args(["probe", "--json"])
        .arg(path)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What ffprobe says of a file: its streams' kinds and its length in seconds.
fn ffprobe(path: &Path) -> (Vec<String>, f64) {
    let output = Command::new("ffprobe")
        .args(["-v", "fatal", "-of", "json", "-show_format", "-show_streams"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["format"]["format_name"], "mpegts");
    let streams = said["streams"].as_array().unwrap();
    let kinds = streams.iter().map(|it| it["codec_type"].as_str().unwrap().to_owned());
    (kinds.collect(), said["format"]["duration"].as_str().unwrap().parse().unwrap())
}

/// The faults of a report that are of a kind.
fn found<'a>(report: &'a Value, kind: &str) -> Vec<&'a Value> {
    let faults = report["faults"].as_array().unwrap();
    faults.iter().filter(|fault| fault["kind"] == kind).collect()
}

fn begin(collector: &Collector, kind: FaultKind) -> Option<FaultRecord> {
    let faults = collector.faults();
    faults.into_iter().find(|fault| fault.kind == kind && fault.phase == FaultPhase::Begin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_of_a_connection_holds_the_fault_that_it_is_named_after() {
    let whole = clip::clip(12, "", "");
    let (from, to) = (clip::at(6.0) / clip::PACKET, clip::at(6.05) / clip::PACKET);
    let lossy = clip::filter(&whole, |at, pid| pid != clip::VIDEO || !(from..to).contains(&at));
    let station = Station::start(lossy).await;
    let assignments = Assignments::start(TOKEN, &station.url()).await;
    let grpc = world::free_port();
    let collector = Collector::start(grpc, TOKEN, Verdict::Take).await;
    let to = format!("http://127.0.0.1:{grpc}");
    let mut agent = Agent::start_with(&to, &assignments.url(), TOKEN, EVIDENCE, None).await;

    let path = clip_of(&agent, "continuity").await;
    let (kinds, seconds) = ffprobe(&path);
    assert_eq!(kinds, ["video", "audio"]);
    assert!((4.0..12.0).contains(&seconds), "{seconds} s");
    let report = probe(&path);
    let faults = found(&report, "continuity");
    assert_eq!((faults.len(), report["continuity_errors"].as_u64()), (1, Some(1)), "{report:#}");
    let start = faults[0]["start_seconds"].as_f64().unwrap();
    assert!((1.5..6.0).contains(&start), "the seconds before are in it: {start}");
    assert!(fs::metadata(&path).unwrap().len() % clip::PACKET as u64 == 0);

    let name = path.file_name().unwrap().to_str().unwrap();
    let record = begin(&collector, FaultKind::Continuity).unwrap();
    assert!(record.evidence.ends_with(&format!("; clip {name}")), "{}", record.evidence);
    assert!(agent.log().contains(&format!("clips/{name}")), "{}", agent.log());
    assert!(agent.metric("tallylight_agent_evidence_clips_total{result=\"written\"").await >= 1.0);
    let bytes = agent.metric("tallylight_agent_evidence_bytes").await;
    assert!(bytes >= fs::metadata(&path).unwrap().len() as f64);
    let memory = agent.metric("tallylight_agent_evidence_memory_bytes").await;
    assert!((100_000.0..4_000_000.0).contains(&memory), "{memory} bytes of a clip of 2 Mb/s");

    // The station's clip is over; the agent ends while the next fault's clip is written, which is kept as far as it goes.
    eventually("the silence is a fault", || async {
        begin(&collector, FaultKind::NoData).is_some()
    })
    .await;
    assert_eq!(agent.signal_and_wait().await, Some(0));
    assert_eq!(clips(&agent, "no_data").len(), 1);
    assert_eq!(ffprobe(&clips(&agent, "no_data")[0]).0, ["video", "audio"]);
}

/// Serves a clip as a live HLS stream of segments of 2 s, from its eighth second on.
async fn origin(clip: Vec<u8>) -> String {
    const SEGMENT: usize = 2;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/live.m3u8", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let begun = Instant::now();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let Ok(length) = stream.read(&mut request).await else { continue };
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or("");
            let number = path.trim_start_matches('/').trim_end_matches(".ts").parse::<usize>();
            let second = |second: usize| clip::at(second as f64).min(clip.len());
            let body = match number {
                Ok(number) => {
                    clip[second(number * SEGMENT)..second((number + 1) * SEGMENT)].to_vec()
                }
                Err(_) => {
                    let last = 3 + begun.elapsed().as_secs() as usize / SEGMENT;
                    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE";
                    let list = (last - 3..=last).map(|n| format!("#EXTINF:2,\n{n}.ts\n"));
                    format!("{head}:{}\n{}", last - 3, list.collect::<String>()).into_bytes()
                }
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_of_segments_holds_the_fault_that_it_is_named_after() {
    let mut whole = clip::clip(24, "", "");
    let (from, to) = (clip::at(13.0), clip::at(13.05));
    clip::mute(&mut whole, clip::VIDEO, from, to);
    let assignments = Assignments::start(TOKEN, &origin(whole).await).await;
    let grpc = world::free_port();
    let _collector = Collector::start(grpc, TOKEN, Verdict::Take).await;
    let to = format!("http://127.0.0.1:{grpc}");
    let agent = Agent::start_with(&to, &assignments.url(), TOKEN, EVIDENCE, None).await;
    let path = clip_of(&agent, "continuity").await;
    assert_eq!(ffprobe(&path).0, ["video", "audio"]);
    let report = probe(&path);
    assert_eq!(found(&report, "continuity").len(), 1, "{report:#}");
    assert_eq!(report["continuity_errors"].as_u64(), Some(1), "{report:#}");
    assert_eq!(report["skipped_bytes"].as_u64(), Some(0), "{report:#}");
    assert_eq!(agent.stop().await, Some(0));
}

/// Passes datagrams on, and leaves out some where it is told to.
struct Relay {
    port: u16,
    drop_next: Arc<AtomicU64>,
    /// Packets with payload in what was left out.
    dropped: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    fn start(to: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (drop_next, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let over = Arc::new(AtomicBool::new(false));
        let (next, count, end) = (Arc::clone(&drop_next), Arc::clone(&dropped), Arc::clone(&over));
        let thread = thread::spawn(move || {
            let mut datagram = [0; 2048];
            while !end.load(Ordering::SeqCst) {
                let Ok(length) = socket.recv(&mut datagram) else { continue };
                let datagram = &datagram[..length];
                if next.load(Ordering::SeqCst) > 0 {
                    next.fetch_sub(1, Ordering::SeqCst);
                    let payloads =
                        datagram.chunks_exact(clip::PACKET).filter(|packet| packet[3] & 0x10 != 0);
                    count.fetch_add(payloads.count() as u64, Ordering::SeqCst);
                    continue;
                }
                // Nobody may be listening yet.
                let _ = socket.send_to(datagram, ("127.0.0.1", to));
            }
        });
        Self { port, drop_next, dropped, over, thread: Some(thread) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// ffmpeg, sending in real time as people run it.
struct Sender(Child);

impl Sender {
    fn start(port: u16) -> Self {
        let source = "testsrc2=size=320x180:rate=25,noise=alls=8:allf=t";
        let to = format!("udp://127.0.0.1:{port}?pkt_size=1316");
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", source])
            .args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25"])
            .args(["-pix_fmt", "yuv420p", "-b:v", "1M", "-c:a", "aac", "-f", "mpegts", &to])
            .stdout(Stdio::null())
            .spawn()
            .expect("ffmpeg is installed");
        Self(child)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_of_datagrams_lacks_exactly_what_was_lost_on_the_way() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let relay = Relay::start(port);
    let _sender = Sender::start(relay.port);
    let assignments = Assignments::start(TOKEN, &format!("udp://127.0.0.1:{port}")).await;
    let grpc = world::free_port();
    let collector = Collector::start(grpc, TOKEN, Verdict::Take).await;
    let to = format!("http://127.0.0.1:{grpc}");
    let agent = Agent::start_with(&to, &assignments.url(), TOKEN, EVIDENCE, None).await;
    eventually("some seconds were received and measured", || async {
        agent.metric("iptv_stream_packets_total").await > 4_000.0
            && agent.metric("iptv_stream_arrival_gap_seconds_count").await > 500.0
            && agent.metric("iptv_stream_delay_factor_seconds").await > 0.0
    })
    .await;
    // A healthy stream of ffmpeg's, with all its bursts, is no fault.
    assert!(collector.faults().is_empty(), "{:?}", collector.faults());

    relay.drop_next.store(1, Ordering::SeqCst);
    let path = clip_of(&agent, "continuity").await;
    let dropped = relay.dropped.load(Ordering::SeqCst);
    let (kinds, seconds) = ffprobe(&path);
    assert_eq!(kinds, ["video", "audio"]);
    assert!((4.0..12.0).contains(&seconds), "{seconds} s");
    let report = probe(&path);
    assert!(!found(&report, "continuity").is_empty(), "{report:#}");
    assert_eq!(report["missing_packets"].as_u64(), Some(dropped), "{report:#}");
    assert_eq!(agent.stop().await, Some(0));
}
