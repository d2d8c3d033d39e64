//! Pictures for people: who may push them, and what a browser gets.

use reqwest::{Response, header};
use serde_json::json;

use crate::support::{Site, get, token};

/// What begins and ends like a JPEG.
fn jpeg(fill: u8) -> Vec<u8> {
    [&[0xff, 0xd8, 0xff][..], &[fill; 500], &[0xff, 0xd9]].concat()
}

#[tokio::test]
async fn a_watching_agent_pushes_and_a_browser_is_told_when_nothing_changed() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let client = reqwest::Client::new();
    let url = |stream: &str| format!("http://{}/api/v1/thumbnails/{stream}", at.api);
    let push = async |node: Option<&str>, stream: &str, body: Vec<u8>| {
        let mut request = client.put(url(stream)).body(body);
        if let Some(node) = node {
            request = request.bearer_auth(token(node));
        }
        request.send().await.unwrap().status().as_u16()
    };
    let look = async |tag: &str| -> Response {
        let request = client.get(url("one/primary")).header(header::IF_NONE_MATCH, tag);
        request.send().await.unwrap()
    };
    assert_eq!(look("").await.status().as_u16(), 404);
    assert_eq!(push(None, "one/primary", jpeg(1)).await, 401);
    assert_eq!(push(Some("ops"), "one/primary", jpeg(1)).await, 401);
    assert_eq!(push(Some("north-a"), "one/primary", jpeg(1)).await, 403);
    assert_eq!(push(Some("head-1"), "one/nowhere", jpeg(1)).await, 403);
    assert_eq!(push(Some("head-1"), "one/primary", b"<script>".to_vec()).await, 400);
    assert_eq!(push(Some("head-1"), "one/primary", vec![0xff; 70_000]).await, 413);
    assert_eq!(look("").await.status().as_u16(), 404);

    assert_eq!(push(Some("head-1"), "one/primary", jpeg(1)).await, 204);
    let first = look("").await;
    let headers = first.headers().clone();
    let of = |name| headers.get(name).unwrap().to_str().unwrap();
    assert_eq!((of("content-type"), of("x-content-type-options")), ("image/jpeg", "nosniff"));
    let tag = of("etag").to_owned();
    assert_eq!(first.bytes().await.unwrap(), jpeg(1));
    let same = look(&tag).await;
    assert_eq!((same.status().as_u16(), same.headers()["etag"].to_str().unwrap()), (304, &*tag));
    assert!(same.bytes().await.unwrap().is_empty());

    // The other agent at the head-end has seen it later.
    assert_eq!(push(Some("head-2"), "one/primary", jpeg(2)).await, 204);
    assert_eq!(look(&tag).await.bytes().await.unwrap(), jpeg(2));
    let listed = get(at.api, "/api/v1/thumbnails").await;
    let [only] = &listed["thumbnails"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!((&only["stream"], &only["node"]), (&json!("one/primary"), &json!("head-2")));
    assert_eq!(only["path"], "/api/v1/thumbnails/one/primary");
    assert!(only["age_seconds"].as_f64().unwrap() < 60.0);
    collector.stop().await;
}
