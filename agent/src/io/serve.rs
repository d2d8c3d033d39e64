//! The agent's own page: `/metrics` for Prometheus and `/healthz`.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

/// The text format of Prometheus' exposition.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Connections served at a time; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 32;
/// A client that sends no request for this long is let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers requests until dropped. `metrics` writes the page.
///
/// # Errors
/// The address cannot be listened on.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Answers requests for ever.
pub async fn serve(listener: TcpListener, metrics: impl Fn() -> String + Send + Sync + 'static) {
    let metrics = Arc::new(metrics);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, metrics.as_ref());
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a client of /metrics went away");
            }
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &impl Fn() -> String) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, TEXT, metrics()),
        (&Method::GET | &Method::HEAD, "/healthz") => {
            (StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, _) => {
            let body = "not here; try /metrics or /healthz\n".to_owned();
            (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", body)
        }
        _ => {
            let body = "only GET is allowed\n".to_owned();
            (StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", body)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
