//! The agent as it runs beside a collector that is there, away, and refusing: the real binary on loopback.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../session/clip.rs"]
#[expect(dead_code, reason = "the other test that shares it uses more of it")]
mod clip;
mod tls;
#[expect(dead_code, reason = "the other test that shares it uses more of it")]
mod world;

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use tallylight_model::{FaultKind, FaultPhase};

use tls::Authority;
use world::{Agent, Assignments, Collector, Station, Traces, Verdict, eventually};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_collector_is_away_is_delivered_later_in_order() {
    let station = Station::start(clip::clip(12, "", "")).await;
    let assignments = Assignments::start(TOKEN, &station.url()).await;
    let grpc = world::free_port();
    let agent = Agent::start(grpc, &assignments.url(), TOKEN).await;
    eventually("the stream is seen", || async {
        agent.metric("iptv_stream_packets_total").await > 1_000.0
    })
    .await;
    station.stop();
    eventually("the fault stands", || async {
        agent.has(r#"iptv_stream_fault{channel="one",stream="a",kind="unreachable"} 1"#).await
    })
    .await;
    eventually("reports wait", || async {
        agent.metric("tallylight_agent_queue_slices").await >= 5.0
    })
    .await;
    assert_eq!(agent.metric("tallylight_agent_exports_total{result=\"accepted\"").await, 0.0);

    let collector = Collector::start(grpc, TOKEN, Verdict::Take).await;
    eventually("everything is delivered", || async {
        agent.metric("tallylight_agent_queue_slices").await == 0.0
            && collector.faults().iter().any(|fault| fault.kind == FaultKind::Unreachable)
            && collector.slices().len() >= 8
    })
    .await;
    let seqs: Vec<u64> = collector.faults().iter().map(|fault| fault.seq).collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>(), "in order, none missing");
    let starts: Vec<i64> =
        collector.slices().iter().map(|slice| slice.start.unix_millis()).collect();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 1_000), "{starts:?}");
    let begin = |fault: &&tallylight_model::FaultRecord| {
        fault.kind == FaultKind::Unreachable && fault.phase == FaultPhase::Begin
    };
    let faults = collector.faults();
    let unreachable = faults.iter().find(begin).unwrap();
    let hold = unreachable.declared.since(unreachable.onset).as_millis();
    // The hold of 2 s, and one or two looks at the input.
    assert!((2_000..2_500).contains(&hold), "{hold} ms");
    assert_eq!(agent.metric("tallylight_agent_lost_slices_total").await, 0.0);
    assert_eq!(agent.stop().await, Some(0), "a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_assignment_is_watched_at_a_start_without_the_collector() {
    let station = Station::start(clip::clip(12, "", "")).await;
    let assignments = Assignments::start(TOKEN, &station.url()).await;
    let grpc = world::free_port();
    let collector = Collector::start(grpc, TOKEN, Verdict::Take).await;
    let mut agent = Agent::start(grpc, &assignments.url(), TOKEN).await;
    eventually("slices arrive", || async { collector.slices().len() > 2 }).await;
    assert_eq!(agent.signal_and_wait().await, Some(0));
    assignments.stop();
    agent.restart().await;
    eventually("slices of another run arrive", || async { collector.epochs().len() == 2 }).await;
    let epochs: BTreeSet<u64> = collector.epochs();
    assert!(epochs.last() > epochs.first());

    // A broken configuration is reported, and the agent goes on with the old one.
    agent.write_config("nonsense");
    agent.hang_up();
    let before = collector.slices().len();
    eventually("slices go on", || async { collector.slices().len() > before + 2 }).await;
    assert!(agent.log().contains("the new configuration is broken"), "{}", agent.log());
    assert_eq!(agent.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_dropped_and_counted() {
    let station = Station::start(clip::clip(12, "", "")).await;
    let assignments = Assignments::start(TOKEN, &station.url()).await;
    let grpc = world::free_port();
    let collector = Collector::start(grpc, TOKEN, Verdict::Deny).await;
    let agent = Agent::start(grpc, &assignments.url(), TOKEN).await;
    eventually("reports are refused", || async {
        agent.metric("tallylight_agent_exports_total{result=\"refused\"").await >= 4.0
            && agent.metric("tallylight_agent_lost_slices_total").await >= 1.0
    })
    .await;
    assert!(collector.slices().is_empty());
    let log = agent.log();
    // Once for slices, and once for faults where there are any.
    let told = log.matches("refused a report for good").count();
    assert!((1..=2).contains(&told), "{log}");
    assert!(!log.contains(TOKEN) && !agent.page().await.contains(TOKEN));
    assert_eq!(agent.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_leaves_out_is_told_once_and_counted() {
    let station = Station::start(clip::clip(12, "", "")).await;
    let assignments = Assignments::start(TOKEN, &station.url()).await;
    let grpc = world::free_port();
    let collector = Collector::start(grpc, TOKEN, Verdict::TakePart).await;
    let agent = Agent::start(grpc, &assignments.url(), TOKEN).await;
    eventually("the collector leaves out some of each second", || async {
        agent.metric("tallylight_agent_exports_total{result=\"partial\"").await >= 4.0
    })
    .await;
    assert!(!collector.slices().is_empty());
    let log = agent.log();
    assert_eq!(log.matches("refused part of a report for good").count(), 1, "{log}");
    assert!(log.contains("of a later version"), "{log}");
    assert_eq!(agent.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_does_not_hold_up_the_end() {
    let assignments = Assignments::hang().await;
    let agent = Agent::start(world::free_port(), &assignments.url(), TOKEN).await;
    let begun = Instant::now();
    assert_eq!(agent.stop().await, Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_measure_how_long_a_start_takes() {
    let station = Station::start(clip::clip(12, "", "")).await;
    let assignments = Assignments::start(TOKEN, &station.url()).await;
    let grpc = world::free_port();
    let collector = Collector::start(grpc, TOKEN, Verdict::Take).await;
    let agent = Agent::start(grpc, &assignments.url(), TOKEN).await;
    eventually("a second start was measured", || async {
        agent.metric("iptv_stream_startup_seconds_count").await >= 2.0
    })
    .await;
    assert!(station.connections() >= 2);
    let slowest = Duration::from_secs(3);
    let startups = collector.slices().into_iter().flat_map(|slice| slice.latencies);
    let startups: Vec<Duration> = startups
        .filter_map(|sample| match sample {
            tallylight_model::LatencySample::Startup(took) => Some(took),
            _ => None,
        })
        .collect();
    assert!(startups.iter().all(|took| *took < slowest), "{startups:?}");
    assert_eq!(agent.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_by_tls_in_the_name_of_an_authority_that_the_system_trusts() {
    let authority = Authority::new("ours");
    let station = Station::start(clip::clip(12, "", "")).await;
    let stream = authority.front("localhost", b"http/1.1", station.port()).await;
    let assignments = Assignments::start(TOKEN, &stream.url("/one.ts")).await;
    let api = authority.front("localhost", b"http/1.1", assignments.port()).await;
    let grpc = world::free_port();
    let collector = Collector::start(grpc, TOKEN, Verdict::Take).await;
    let ingest = authority.front("localhost", b"h2", grpc).await;
    let traces = Traces::default();
    let otlp = authority.front("localhost", b"h2", traces.start().await).await;
    let more = format!("traces = '{}'\n", otlp.url(""));
    let agent =
        Agent::start_with(&ingest.url(""), &api.url(""), TOKEN, &more, Some(authority.file()))
            .await;
    eventually("slices of the stream arrive", || async {
        collector.slices().iter().any(|slice| slice.counters.packets > 1_000)
    })
    .await;
    eventually("a start was traced", || async {
        traces.spans().iter().any(|span| span.name == "stream start")
    })
    .await;
    let spans = traces.spans();
    let root = spans.iter().find(|span| span.name == "stream start").unwrap();
    let phases: Vec<&str> = spans
        .iter()
        .filter(|span| span.trace_id == root.trace_id && span.parent_span_id == root.span_id)
        .map(|span| span.name.as_str())
        .collect();
    let wanted = ["dns", "connect", "tls", "first byte", "first key frame", "first picture"];
    assert_eq!(phases, wanted);
    assert!(spans.iter().all(|span| span.end_time_unix_nano >= span.start_time_unix_nano));
    let long = root.end_time_unix_nano - root.start_time_unix_nano;
    assert!(long < 10_000_000_000, "{long} ns");
    assert_eq!(agent.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_proves_nothing_is_told_with_its_reason() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let station = Station::start(clip::clip(12, "", "")).await;
    let front = authority.front("localhost", b"http/1.1", station.port()).await;
    let cases = [
        (front.url("/one.ts"), &stranger, "TLS: certificate of an unknown issuer"),
        (front.url_by_number("/one.ts"), &authority, "TLS: certificate is for another name"),
        (front.url("/one.m3u8"), &stranger, "TLS: certificate of an unknown issuer"),
    ];
    for (url, roots, expected) in cases {
        let output = tokio::task::spawn_blocking({
            let roots = roots.file();
            move || {
                Command::new(env!("CARGO_BIN_EXE_tallylight-agent"))
                    .env("SSL_CERT_FILE", roots)
                    .args(["probe", "--json", "--duration", "5s", &url])
                    .output()
                    .unwrap()
            }
        })
        .await
        .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&format!("\"error\": \"{expected}\"")), "{expected}: {text}");
    }

    // An agent that cannot trust the collector keeps its reports and says why.
    let assignments = Assignments::start(TOKEN, &station.url()).await;
    let grpc = world::free_port();
    let collector = Collector::start(grpc, TOKEN, Verdict::Take).await;
    let ingest = authority.front("localhost", b"h2", grpc).await;
    let (api, ingest) = (assignments.url(), ingest.url(""));
    let agent = Agent::start_with(&ingest, &api, TOKEN, "", Some(stranger.file())).await;
    eventually("reports wait", || async {
        agent.metric("tallylight_agent_queue_slices").await >= 2.0
    })
    .await;
    assert!(collector.slices().is_empty());
    let reason = "TLS: certificate of an unknown issuer";
    eventually("the reason is told", || async { agent.log().contains(reason) }).await;
}
