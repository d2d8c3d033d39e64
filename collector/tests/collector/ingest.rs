//! Who may say what, over real sockets.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use crate::support::{Site, get, scrape, token};
use opentelemetry_proto::tonic::collector::{
    logs::v1::logs_service_client::LogsServiceClient,
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_client::MetricsServiceClient,
    },
};
use prost::Message as _;
use tallylight_model::{
    Batch, Counters, Epoch, FaultKind, FaultPhase, FaultRecord, MonoTime, NodeId, Observed,
    Severity, Slice, StreamId, WallTime,
};
use tallylight_wire::{encode_logs, encode_metrics};
use tonic::{Code, Request, codec::CompressionEncoding, transport::Channel};
use tonic_types::StatusExt as _;

const NOW: MonoTime = MonoTime::from_nanos(1_000_000_000_000);

fn batch(node: &str, start_ms: i64, seq: u64) -> Batch {
    let stream = StreamId::parse("one/n1").unwrap();
    Batch {
        node: NodeId::new(node).unwrap(),
        epoch: Epoch(1),
        slices: vec![Slice {
            stream: stream.clone(),
            start: WallTime::from_unix_millis(start_ms),
            end: NOW,
            length: Duration::from_secs(1),
            observed: Observed { transport: Duration::from_secs(1), ..Observed::default() },
            conditions: BTreeMap::new(),
            standing: BTreeMap::new(),
            counters: Counters { packets: 1, ..Counters::default() },
            latencies: Vec::new(),
            fingerprint: Default::default(),
        }],
        faults: vec![FaultRecord {
            seq,
            stream,
            kind: FaultKind::NoData,
            phase: FaultPhase::Begin,
            severity: Severity::Critical,
            pid: None,
            onset: NOW,
            declared: NOW,
            evidence: String::new(),
        }],
        reports: Vec::new(),
    }
}

fn with_token<T>(message: T, authorization: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse().unwrap());
    }
    request
}

async fn connect(address: std::net::SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn over_grpc_an_agent_speaks_for_itself_alone() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let mut client = MetricsServiceClient::new(connect(at.grpc).await);
    let bearer = |name: &str| format!("Bearer {}", token(name));
    let mine = encode_metrics(&batch("north-a", 1000, 1), NOW);
    let foreign = ExportMetricsServiceRequest { resource_metrics: vec![Default::default()] };
    let mut broken = mine.clone();
    broken.resource_metrics[0].resource.as_mut().unwrap().attributes.remove(1);
    for (message, authorization, expected) in [
        (mine.clone(), None, Code::Unauthenticated),
        (mine.clone(), Some("Bearer nonsense".to_owned()), Code::Unauthenticated),
        (mine.clone(), Some(token("north-a")), Code::Unauthenticated),
        (mine.clone(), Some(bearer("ops")), Code::Unauthenticated),
        (mine.clone(), Some(bearer("north-b")), Code::PermissionDenied),
        (broken, Some(bearer("north-a")), Code::InvalidArgument),
        (mine.clone(), Some(bearer("north-a")), Code::Ok),
        (foreign, Some(bearer("north-a")), Code::Ok),
    ] {
        let code = match client.export(with_token(message, authorization.as_deref())).await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        };
        assert_eq!(code, expected, "{authorization:?}");
    }
    let text = scrape(at.api).await;
    for line in [
        r#"tallylight_collector_requests_total{transport="grpc",result="ok"} 2"#,
        r#"tallylight_collector_requests_total{transport="grpc",result="unauthenticated"} 4"#,
        r#"tallylight_collector_requests_total{transport="grpc",result="denied"} 1"#,
        r#"tallylight_collector_requests_total{transport="grpc",result="invalid"} 1"#,
        r#"tallylight_collector_slices_total{result="accepted"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    collector.stop().await;
}

#[tokio::test]
async fn over_grpc_what_is_too_large_or_garbage_is_refused_for_good() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let authorization = format!("Bearer {}", token("north-a"));
    let mut large = batch("north-a", 0, 1);
    let slice = large.slices[0].clone();
    large.slices = (0..40_000)
        .map(|start| Slice { start: WallTime::from_unix_millis(start), ..slice.clone() })
        .collect();
    let message = encode_metrics(&large, NOW);
    assert!(message.encoded_len() > 4 << 20);
    for compression in [None, Some(CompressionEncoding::Zstd), Some(CompressionEncoding::Gzip)] {
        let mut client = MetricsServiceClient::new(connect(at.grpc).await);
        if let Some(compression) = compression {
            client = client.send_compressed(compression);
        }
        let status =
            client.export(with_token(message.clone(), Some(&authorization))).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{compression:?}");
        let small = encode_metrics(&batch("north-a", 5000, 1), NOW);
        client.export(with_token(small, Some(&authorization))).await.unwrap();
    }
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let path = "opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    let bomb = zstd::encode_all(&vec![0; 64 << 20][..], 0).unwrap();
    for (compressed, message, expected) in [
        (0, vec![0xff; 4], Code::InvalidArgument),
        (1, vec![0xff; 4], Code::InvalidArgument),
        (1, bomb, Code::ResourceExhausted),
    ] {
        let mut frame = vec![compressed];
        frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&message);
        let response = client
            .post(format!("http://{}/{path}", at.grpc))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", "zstd")
            .header("authorization", &authorization)
            .body(frame)
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["grpc-status"], (expected as i32).to_string());
    }
    collector.stop().await;
}

#[tokio::test]
async fn what_came_before_is_answered_as_taken_and_counted_once() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let authorization = format!("Bearer {}", token("north-a"));
    let channel = connect(at.grpc).await;
    let mut metrics = MetricsServiceClient::new(channel.clone());
    let mut logs = LogsServiceClient::new(channel);
    for _ in 0..3 {
        let batch = batch("north-a", 1000, 7);
        let message = with_token(encode_metrics(&batch, NOW), Some(&authorization));
        metrics.export(message).await.unwrap();
        let message = with_token(encode_logs(&batch, NOW), Some(&authorization));
        logs.export(message).await.unwrap();
    }
    let text = scrape(at.api).await;
    assert!(text.contains(r#"tallylight_collector_slices_total{result="accepted"} 2"#), "{text}");
    assert!(text.contains(r#"tallylight_collector_slices_total{result="duplicate"} 4"#), "{text}");
    collector.stop().await;
    // The fault record is in the journal, so that it is known after a restart too.
    let (collector, at) = site.start().await;
    let mut logs = LogsServiceClient::new(connect(at.grpc).await);
    let message = with_token(encode_logs(&batch("north-a", 0, 7), NOW), Some(&authorization));
    logs.export(message).await.unwrap();
    let text = scrape(at.api).await;
    assert!(text.contains(r#"tallylight_collector_slices_total{result="duplicate"} 1"#), "{text}");
    collector.stop().await;
}

#[tokio::test]
async fn what_an_agent_says_of_streams_that_are_not_its_own_counts_for_nothing() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let authorization = format!("Bearer {}", token("north-a"));
    let mut logs = LogsServiceClient::new(connect(at.grpc).await);
    let journal = rusqlite::Connection::open(site.path("journal.sqlite")).unwrap();
    let kept = || {
        let count = "SELECT count(*) FROM fault";
        journal.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    for (seq, stream, expected) in [(1, "one/primary", 0), (2, "none/such", 0), (3, "one/n1", 1)] {
        let mut batch = batch("north-a", 0, seq);
        batch.faults[0].stream = StreamId::parse(stream).unwrap();
        logs.export(with_token(encode_logs(&batch, NOW), Some(&authorization))).await.unwrap();
        let faults = get(at.api, "/api/v1/faults").await;
        let shown = faults["faults"].as_array().unwrap().len();
        assert_eq!((shown, kept()), (expected, expected as i64), "{stream}");
    }
    let text = scrape(at.api).await;
    let line = r#"tallylight_collector_limit_hits_total{what="foreign_streams"} 2"#;
    assert!(text.contains(line), "{text}");
    collector.stop().await;
}

#[tokio::test]
async fn a_fault_that_cannot_be_kept_is_to_be_sent_again() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let authorization = format!("Bearer {}", token("north-a"));
    let mut logs = LogsServiceClient::new(connect(at.grpc).await);
    let blocker = rusqlite::Connection::open(site.path("journal.sqlite")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let message = encode_logs(&batch("north-a", 0, 7), NOW);
    let status = logs.export(with_token(message.clone(), Some(&authorization))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry, Some(Duration::from_secs(1)));
    blocker.execute_batch("ROLLBACK").unwrap();
    logs.export(with_token(message, Some(&authorization))).await.unwrap();
    let text = scrape(at.api).await;
    assert!(text.contains("tallylight_journal_errors_total 1"), "{text}");
    collector.stop().await;
}

#[tokio::test]
async fn over_http_the_same_rules_hold() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let client = reqwest::Client::new();
    let bearer = |name: &str| format!("Bearer {}", token(name));
    let mine = encode_metrics(&batch("north-a", 1000, 1), NOW).encode_to_vec();
    let zstd = zstd::encode_all(&mine[..], 0).unwrap();
    let bomb = zstd::encode_all(&vec![0; 64 << 20][..], 0).unwrap();
    let mut gzip_bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip_bomb.write_all(&vec![0; 64 << 20]).unwrap();
    let gzip_bomb = gzip_bomb.finish().unwrap();
    let protobuf = "application/x-protobuf";
    let cases = [
        (None::<String>, protobuf, None, mine.clone(), 401),
        (Some(bearer("nobody")), protobuf, None, mine.clone(), 401),
        (Some(bearer("north-b")), protobuf, None, mine.clone(), 403),
        (Some(bearer("north-a")), protobuf, None, b"\xff\xff\xff\xff".to_vec(), 400),
        (Some(bearer("north-a")), protobuf, Some("zstd"), b"garbage".to_vec(), 400),
        (Some(bearer("north-a")), protobuf, Some("zstd"), bomb, 413),
        (Some(bearer("north-a")), protobuf, Some("gzip"), gzip_bomb, 413),
        (Some(bearer("north-a")), protobuf, Some("zstd"), zstd[..zstd.len() / 2].to_vec(), 400),
        (Some(bearer("north-a")), protobuf, None, mine[..mine.len() / 2].to_vec(), 400),
        (Some(bearer("north-a")), protobuf, None, vec![0; (4 << 20) + 1], 413),
        (Some(bearer("north-a")), protobuf, Some("br"), mine.clone(), 415),
        (Some(bearer("north-a")), "application/json", None, mine.clone(), 415),
        (Some(bearer("north-a")), protobuf, Some("zstd"), zstd, 200),
        (Some(bearer("north-a")), protobuf, None, mine.clone(), 200),
    ];
    for (authorization, kind, encoding, body, expected) in cases {
        let mut request = client
            .post(format!("http://{}/v1/metrics", at.http))
            .header("content-type", kind)
            .body(body);
        if let Some(value) = &authorization {
            request = request.header("authorization", value);
        }
        if let Some(value) = encoding {
            request = request.header("content-encoding", value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{authorization:?} {kind} {encoding:?}");
        if expected == 200 {
            let body = response.bytes().await.unwrap();
            let answer = ExportMetricsServiceResponse::decode(body).unwrap();
            assert_eq!(answer.partial_success, None);
        }
    }
    let logs = encode_logs(&batch("north-a", 0, 1), NOW).encode_to_vec();
    let response = client
        .post(format!("http://{}/v1/logs", at.http))
        .header("content-type", protobuf)
        .header("authorization", bearer("north-a"))
        .body(logs)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 200);
    collector.stop().await;
}

#[test]
fn a_stream_second_costs_at_most_200_bytes_on_the_wire() {
    let mut whole = batch("north-a", 1_700_000_000_000, 1);
    let example = whole.slices[0].clone();
    // A healthy stream as it is: every layer observed, numbers that differ from stream to stream.
    whole.slices = (0..1000_u64)
        .map(|number| Slice {
            stream: StreamId::parse(&format!("channel-{number}/n1")).unwrap(),
            end: NOW - Duration::from_micros(number * 7919 % 1_000_000),
            observed: Observed {
                transport: Duration::from_secs(1),
                picture: Duration::from_secs(1),
                sound: Duration::from_secs(1),
                delivery: Duration::from_secs(1),
            },
            counters: Counters {
                bytes: 1_000_000 + number * 7919 % 300_000,
                packets: 5319 + number * 31 % 1500,
                decoded_pictures: 1 + number % 3,
                ..Counters::default()
            },
            ..example.clone()
        })
        .collect();
    let bytes = encode_metrics(&whole, NOW).encode_to_vec();
    let compressed = zstd::encode_all(&bytes[..], 0).unwrap();
    let each = compressed.len() / 1000;
    assert!(each <= 200, "{each} bytes each, {} before compression", bytes.len() / 1000);
}
