//! Thumbnails by HTTP: agents push them, people look at them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tallylight_model::{MonoTime, StreamId};

use super::http::{Api, BUSY, Failed, NO_SUCH, agent, knows};
use crate::thumbnails::Thumbnails;

const JPEG: HeaderValue = HeaderValue::from_static("image/jpeg");
/// A browser asks each time, and is told that nothing changed.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const AS_IT_IS: HeaderValue = HeaderValue::from_static("nosniff");

/// All thumbnails, shared by whoever asks.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    all: Arc<Mutex<Thumbnails>>,
    origin: Instant,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self { all: Arc::default(), origin: Instant::now() }
    }

    fn now(&self) -> MonoTime {
        MonoTime::ZERO + self.origin.elapsed()
    }

    /// Nothing panics while it holds the lock, and if it did each picture would still be whole.
    fn lock(&self) -> MutexGuard<'_, Thumbnails> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `PUT /api/v1/thumbnails/CHANNEL/NAME`, by an agent that is to watch the stream.
pub(super) async fn put(
    State(api): State<Api>,
    headers: HeaderMap,
    Path((channel, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, Failed> {
    const NOT_YOURS: Failed =
        Failed(StatusCode::FORBIDDEN, "the lineup does not have this agent watch that stream");
    const NO_PICTURE: Failed =
        Failed(StatusCode::BAD_REQUEST, "a whole JPEG of at most 64 KiB is wanted");
    let node = agent(&api, &headers)?;
    let stream = stream(&channel, &name)?;
    let asked = (node.clone(), stream.clone());
    let watches = api.judge.ask(move |view| view.decider.watches(&asked.0, &asked.1)).await;
    if !watches.map_err(|_| BUSY)? {
        return Err(NOT_YOURS);
    }
    let config = Arc::clone(&api.config.borrow());
    let mut all = api.thumbnails.lock();
    all.retain(|stream| config.lineup.lineup.stream(stream).is_some());
    all.put(api.thumbnails.now(), stream, node, body).map_err(|_| NO_PICTURE)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/thumbnails/CHANNEL/NAME`
pub(super) async fn get(
    State(api): State<Api>,
    headers: HeaderMap,
    Path((channel, name)): Path<(String, String)>,
) -> Result<Response, Failed> {
    let stream = stream(&channel, &name)?;
    let found = api.thumbnails.lock().get(&stream).cloned().ok_or(NO_SUCH)?;
    let age = found.age(api.thumbnails.now()).as_secs();
    let tag = HeaderValue::from_str(&found.tag).map_err(|_| NO_SUCH)?;
    let common = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, ASK_AGAIN),
        (header::AGE, HeaderValue::from(age)),
    ];
    if knows(&headers, &found.tag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let kind = [(header::CONTENT_TYPE, JPEG), (header::X_CONTENT_TYPE_OPTIONS, AS_IT_IS)];
    Ok((common, kind, found.jpeg).into_response())
}

/// `GET /api/v1/thumbnails`
pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let (all, now) = (api.thumbnails.lock(), api.thumbnails.now());
    let listed = all.all().map(|(stream, it)| {
        json!({
            "stream": stream.as_str(),
            "node": it.node.as_str(),
            "age_seconds": it.age(now).as_secs_f64(),
            "bytes": it.jpeg.len(),
            "path": format!("/api/v1/thumbnails/{}", stream.as_str()),
        })
    });
    Json(json!({ "thumbnails": listed.collect::<Vec<_>>() }))
}

fn stream(channel: &str, name: &str) -> Result<StreamId, Failed> {
    StreamId::parse(&format!("{channel}/{name}")).map_err(|_| NO_SUCH)
}
