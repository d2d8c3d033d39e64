//! What a listener puts up with, and TLS.

use std::{path::Path, time::Duration};

use crate::support::{Running, Site, agree, scrape, token};
use crate::world::Agents;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What the collector answers to these bytes, up to the end of the first line; empty if it hangs up.
async fn answer(at: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // It may answer and hang up before it has read everything.
    let _ = stream.write_all(request).await;
    let mut said = Vec::new();
    let read = async {
        let mut byte = [0];
        while stream.read(&mut byte).await.is_ok_and(|it| it > 0) && byte != *b"\r" {
            said.push(byte[0]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("the collector hangs");
    String::from_utf8(said).unwrap()
}

fn post(path: &str, who: &str, headers: &str, body: &str) -> Vec<u8> {
    let token = token(who);
    let text = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{headers}\r\n{body}"
    );
    text.into_bytes()
}

#[tokio::test]
async fn hundreds_of_idle_connections_keep_no_agent_out() {
    let site = Site::new("");
    let running = Running::start(&site);
    let mut idle = Vec::new();
    for _ in 0..330 {
        idle.push(TcpStream::connect(running.at.grpc).await.unwrap());
    }
    let mut agents = Agents::connect(running.at.grpc).await;
    agents.catch_up().await;
    let cut = async || {
        let text = scrape(running.at.api).await;
        let name = "tallylight_collector_cut_total{reason=\"full\"} ";
        text.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok())
    };
    agree(async || cut().await.is_some_and(|count| count >= 30)).await;
    // An agent that speaks keeps its place, however many come after it.
    for _ in 0..100 {
        idle.push(TcpStream::connect(running.at.grpc).await.unwrap());
    }
    agree(async || cut().await.is_some_and(|count| count >= 130)).await;
    agents.catch_up().await;
}

#[tokio::test]
async fn what_never_ends_or_is_too_large_is_refused() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let protobuf = "content-type: application/x-protobuf\r\n";
    let long = format!("{protobuf}content-length: 1000\r\n");
    let huge = format!("{protobuf}content-length: 4000000000\r\n");
    let many = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect::<String>();
    let order = "content-length: 1000000\r\n";
    for (to, request, expected) in [
        (at.http, post("/v1/metrics", "north-a", &long, "ten bytes."), "HTTP/1.1 408"),
        (at.http, post("/v1/metrics", "north-a", &huge, ""), "HTTP/1.1 413"),
        (at.http, post("/v1/metrics", "nobody", &huge, ""), "HTTP/1.1 401"),
        (at.http, post("/v1/metrics", "north-a", &many, ""), "HTTP/1.1 431"),
        (at.api, post("/api/v1/mode", "ops", order, &"x".repeat(1_000_000)), "HTTP/1.1 413"),
        (at.api, vec![b'x'; 100_000], "HTTP/1.1 4"),
        (at.grpc, b"GET / HTTP/1.1\r\n\r\n".to_vec(), ""),
    ] {
        let said = answer(to, &request).await;
        assert!(said.starts_with(expected), "{said:?} instead of {expected}");
    }
    let text = scrape(at.api).await;
    assert!(text.contains("tallylight_collector_cut_total{reason=\"slow\"} 1\n"), "{text}");
    collector.stop().await;
}

#[tokio::test]
async fn with_a_certificate_all_listeners_speak_tls_alone() {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/collector/tls");
    let file = |name: &str| tls.join(name).display().to_string();
    let site = Site::new(&format!(
        "[tls]\ncertificate_file = '{}'\nkey_file = '{}'\n",
        file("server.pem"),
        file("server.key")
    ));
    let (collector, at) = site.start().await;
    let ca = std::fs::read(tls.join("ca.pem")).unwrap();
    let ca = reqwest::Certificate::from_pem(&ca).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
    let health = client.get(format!("https://{}/healthz", at.api)).send().await.unwrap();
    assert_eq!(health.status().as_u16(), 200);
    let path = "opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let export = client
        .post(format!("https://{}/{path}", at.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", token("north-a")))
        .body(vec![0; 5])
        .send()
        .await
        .unwrap();
    assert_eq!(export.version(), reqwest::Version::HTTP_2);
    assert_eq!(export.status().as_u16(), 200);
    assert!(export.headers().get("grpc-status").is_none_or(|status| status == "0"));
    assert!(reqwest::get(format!("http://{}/healthz", at.api)).await.is_err());
    assert!(reqwest::get(format!("https://{}/healthz", at.api)).await.is_err());
    collector.stop().await;
}
