//! OTLP over HTTP with protobuf bodies, plain or compressed.

use std::io::Read as _;

use axum::{
    Router,
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::post,
};
use prost::Message;
use tallylight_model::{Metric, NodeId};
use tonic_types::Status;

use super::{
    grpc::{logs_response, metrics_response},
    ingest::{Ingest, MAX_REQUEST, RETRY_AFTER, Refused},
};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

pub(super) fn router(ingest: Ingest) -> Router {
    let count = middleware::map_response_with_state(ingest.clone(), finish);
    Router::new()
        .route("/v1/metrics", post(metrics))
        .route("/v1/logs", post(logs))
        .layer(count)
        .with_state(ingest)
}

async fn finish(State(ingest): State<Ingest>, response: Response) -> Response {
    let result = match response.status() {
        StatusCode::OK => "ok",
        StatusCode::UNAUTHORIZED => "unauthenticated",
        StatusCode::FORBIDDEN => "denied",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::SERVICE_UNAVAILABLE => "busy",
        _ => "invalid",
    };
    let labels = [("transport", "http"), ("result", result)];
    ingest.meters.count(Metric::CollectorRequests, &labels, 1);
    response
}

async fn metrics(State(ingest): State<Ingest>, request: Request) -> Response {
    let (node, message) = match receive(&ingest, request).await {
        Ok(received) => received,
        Err(refused) => return refused.into_response(),
    };
    match ingest.metrics(&node, message).await {
        Ok(taken) => protobuf(StatusCode::OK, &metrics_response(taken)),
        Err(refused) => Answer::from(refused).into_response(),
    }
}

async fn logs(State(ingest): State<Ingest>, request: Request) -> Response {
    let (node, message) = match receive(&ingest, request).await {
        Ok(received) => received,
        Err(refused) => return refused.into_response(),
    };
    match ingest.logs(&node, message).await {
        Ok(taken) => protobuf(StatusCode::OK, &logs_response(taken)),
        Err(refused) => Answer::from(refused).into_response(),
    }
}

/// A status with a sentence, as OTLP wants it: a `google.rpc.Status` in protobuf.
struct Answer(StatusCode, String);

impl Answer {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self(status, message.into())
    }

    fn into_response(self) -> Response {
        let Self(status, message) = self;
        let mut response = protobuf(status, &Status { code: 0, message, details: Vec::new() });
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
        }
        response
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::Unauthenticated => StatusCode::UNAUTHORIZED,
            Refused::OtherNode => StatusCode::FORBIDDEN,
            Refused::Malformed(_) => StatusCode::BAD_REQUEST,
            Refused::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refused.to_string())
    }
}

fn protobuf(status: StatusCode, message: &impl Message) -> Response {
    (status, [(header::CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response()
}

/// Reads who speaks, and only then the body.
async fn receive<M: Message + Default>(
    ingest: &Ingest,
    request: Request,
) -> Result<(NodeId, M), Answer> {
    let (parts, body) = request.into_parts();
    let header = |name| parts.headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
    let node = ingest.authenticate(header(header::AUTHORIZATION))?;
    let kind = header(header::CONTENT_TYPE).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != PROTOBUF.to_str().ok() {
        let message = "the body must be application/x-protobuf";
        return Err(Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let bytes = read(&parts.headers, body).await?;
    let message = M::decode(bytes)
        .map_err(|_| Answer::new(StatusCode::BAD_REQUEST, "the body is not the message"))?;
    Ok((node, message))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Answer> {
    let too_large = || {
        let message = format!("the body is larger than {MAX_REQUEST} bytes");
        Answer::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let encoding = headers.get(header::CONTENT_ENCODING).map(|it| it.to_str().unwrap_or("?"));
    if body.size_hint().lower() > u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let bytes = to_bytes(body, MAX_REQUEST).await.map_err(|_| too_large())?;
    let limit = u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX) + 1;
    let mut plain = Vec::new();
    let read = match encoding {
        None | Some("identity") => return Ok(bytes),
        Some("gzip") => {
            flate2::read::GzDecoder::new(&bytes[..]).take(limit).read_to_end(&mut plain)
        }
        Some("zstd") => zstd::Decoder::new(&bytes[..])
            .and_then(|decoder| decoder.take(limit).read_to_end(&mut plain)),
        Some(_) => {
            let message = "the encoding must be gzip, zstd or none";
            return Err(Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
    };
    read.map_err(|_| Answer::new(StatusCode::BAD_REQUEST, "the body cannot be decompressed"))?;
    if plain.len() > MAX_REQUEST { Err(too_large()) } else { Ok(plain.into()) }
}
