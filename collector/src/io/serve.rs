//! Listening with bounds: on connections, on their silence, on each request.
//!
//! The servers of axum and tonic accept without end and wait for ever, so that a few thousand idle connections keep every
//! agent out. Here a listener has so many places; a newcomer to a full house takes the place that has been of no use for
//! longest. Agents, who speak each second, are never those.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
};
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tallylight_model::Metric;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tonic::{Code, codegen::Service as _};

use super::{Loaded, meters::Meters, run::flag};

/// Connections of one listener at once. All listeners together stay below the usual limit of 1,024 open files.
pub(super) const MAX_CONNECTIONS: usize = 300;
/// A connection without an answered request for this long is closed. Prometheus and agents ask more often.
const QUIET: Duration = Duration::from_secs(60);
const SWEEP: Duration = Duration::from_secs(1);
/// From connecting, or from the answer before, to the end of a request's headers.
const HEADERS: Duration = Duration::from_secs(30);
/// From a request's headers to its answer, the body included.
const REQUEST: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The headers of one request.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;
/// Requests of one HTTP/2 connection that are in work at once.
const MAX_STREAMS: u32 = 8;
/// Is the other end of an HTTP/2 connection still there?
const PING: Duration = Duration::from_secs(20);
/// After a connection could not be accepted, for want of open files most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a stop waits for requests that are in work.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 alone, as gRPC needs it.
    Http2,
}

/// One listener with all that its connections need.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) protocol: Protocol,
    pub(super) router: Router,
    /// The certificate in force is taken from here for each connection, so that a reload renews it.
    pub(super) config: watch::Receiver<Arc<Loaded>>,
    pub(super) meters: Arc<Meters>,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Server {
    /// Serves until told to stop.
    pub(super) async fn run(self, listener: TcpListener) {
        let mut connections = Connections::new(Arc::clone(&self.meters));
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = pin!(flag(self.stopped.clone()));
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = sweep.tick() => connections.close_quiet(),
                Some(_) = connections.tasks.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => connections.add(|used| self.clone().serve(stream, used)),
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        connections.close_least_useful();
                        sleep(PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let ended = async { while connections.tasks.join_next().await.is_some() {} };
        if timeout(STOP_PATIENCE, ended).await.is_err() {
            tracing::warn!("requests in work were cut off");
        }
    }

    async fn serve(self, stream: TcpStream, used: Used) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
        let tls = self.config.borrow().tls.as_ref().map(|tls| tls.speaking(self.protocol));
        match tls {
            None => self.drive(TokioIo::new(stream), used).await,
            Some(tls) => match timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream)).await {
                Ok(Ok(stream)) => self.drive(TokioIo::new(stream), used).await,
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            },
        }
    }

    async fn drive<S: Read + Write + Unpin + Send + 'static>(self, stream: S, used: Used) {
        let Self { protocol, router, meters, stopped, .. } = self;
        let answer = service_fn(move |request: Request<Incoming>| {
            let (mut router, meters, used) = (router.clone(), Arc::clone(&meters), used.clone());
            async move {
                let answer = timeout(REQUEST, router.call(request)).await;
                used.now();
                answer.unwrap_or_else(|_| {
                    cut(&meters, "slow");
                    Ok(too_slow(protocol))
                })
            }
        });
        let ended = match protocol {
            Protocol::Http1 => {
                let mut builder = http1::Builder::new();
                builder
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADERS)
                    .max_headers(MAX_HEADERS)
                    .max_buf_size(MAX_HEADER_BYTES);
                finish(builder.serve_connection(stream, answer), stopped).await
            }
            Protocol::Http2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder
                    .timer(TokioTimer::new())
                    .keep_alive_interval(PING)
                    .max_concurrent_streams(MAX_STREAMS)
                    .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
                finish(builder.serve_connection(stream, answer), stopped).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// Serves a connection to its end; when told to stop, no further than the requests that are in work.
async fn finish<C: GracefulConnection>(
    connection: C,
    stopped: watch::Receiver<bool>,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => ended,
        () = flag(stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

fn cut(meters: &Meters, reason: &'static str) {
    meters.count(Metric::CollectorCut, &[("reason", reason)], 1);
}

/// To OTLP both mean: come again.
fn too_slow(protocol: Protocol) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    match protocol {
        Protocol::Http1 => {
            headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
        }
        Protocol::Http2 => {
            let grpc = header::HeaderValue::from_static("application/grpc");
            headers.insert(header::CONTENT_TYPE, grpc);
            headers.insert("grpc-status", (Code::DeadlineExceeded as i32).into());
        }
    }
    response
}

/// When a connection last was of use: an answer was given on it.
#[derive(Clone, Debug)]
struct Used {
    since: Instant,
    ms: Arc<AtomicU64>,
}

impl Used {
    fn now(&self) {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.ms.store(ms, Ordering::Relaxed);
    }

    fn at(&self) -> Instant {
        self.since + Duration::from_millis(self.ms.load(Ordering::Relaxed))
    }
}

/// The places of one listener.
#[derive(Debug)]
struct Connections {
    meters: Arc<Meters>,
    tasks: JoinSet<()>,
    places: Vec<(Used, AbortHandle)>,
}

impl Connections {
    fn new(meters: Arc<Meters>) -> Self {
        Self { meters, tasks: JoinSet::new(), places: Vec::new() }
    }

    fn add<F: Future<Output = ()> + Send + 'static>(&mut self, serve: impl FnOnce(Used) -> F) {
        if self.places.len() >= MAX_CONNECTIONS {
            self.places.retain(|(_, task)| !task.is_finished());
        }
        if self.places.len() >= MAX_CONNECTIONS {
            self.close_least_useful();
        }
        let used = Used { since: Instant::now(), ms: Arc::default() };
        let task = self.tasks.spawn(serve(used.clone()));
        self.places.push((used, task));
    }

    fn close_least_useful(&mut self) {
        let longest = (0..self.places.len()).min_by_key(|&at| self.places[at].0.at());
        if let Some(at) = longest {
            self.places.swap_remove(at).1.abort();
            cut(&self.meters, "full");
        }
    }

    fn close_quiet(&mut self) {
        self.places.retain(|(_, task)| !task.is_finished());
        for (_, task) in self.places.extract_if(.., |(used, _)| used.at().elapsed() > QUIET) {
            task.abort();
            cut(&self.meters, "quiet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn never(_: Used) {
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn a_full_house_gives_up_the_place_that_was_of_least_use() {
        let mut connections = Connections::new(Arc::default());
        for _ in 0..MAX_CONNECTIONS {
            connections.add(never);
        }
        let useless = 7;
        let tasks: Vec<_> = connections.places.iter().map(|(_, task)| task.clone()).collect();
        sleep(Duration::from_millis(5)).await;
        for (at, (used, _)) in connections.places.iter().enumerate() {
            if at != useless {
                used.now();
            }
        }
        connections.add(never);
        assert!(connections.tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
        let finished = |task: &AbortHandle| task.is_finished();
        assert!(finished(&tasks[useless]));
        assert_eq!(tasks.iter().filter(|task| finished(task)).count(), 1);
        assert_eq!(connections.places.len(), MAX_CONNECTIONS);
    }
}
