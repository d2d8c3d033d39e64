//! What every process of the world does alike: say that it is ready, answer its control API, end when told.

use std::{
    future::Future,
    io::{Read, Write},
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Runs `body` on a runtime of one thread: the world shares two cores with what it tests.
///
/// # Errors
/// What `body` fails with, or that the runtime cannot start.
pub fn run<F: Future<Output = Result<()>>>(body: F) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(body)
}

/// Prints the line `ready {json}` that whoever started the process waits for.
///
/// # Errors
/// Standard output is closed.
pub fn announce<T: Serialize>(addresses: &T) -> Result<()> {
    let json = serde_json::to_string(addresses)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {json}").and_then(|()| out.flush()).context("cannot announce readiness")
}

/// Prints a line `progress TEXT` before `ready`. Nobody need listen.
pub fn progress(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "progress {text}");
}

/// Completes on SIGTERM, SIGINT, or when standard input closes.
///
/// # Errors
/// A signal handler cannot be installed.
pub async fn stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (closed, stdin_closed) = oneshot::channel::<()>();
    // A thread of its own: a runtime waits for its blocking reads when it shuts down.
    std::thread::spawn(move || {
        let mut byte = [0; 64];
        while matches!(std::io::stdin().read(&mut byte), Ok(n) if n > 0) {}
        drop(closed);
    });
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = stdin_closed => {}
    }
    Ok(())
}

/// Serves an HTTP API in the background; answers the address it listens on.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(listen: SocketAddr, api: Router) -> Result<SocketAddr> {
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, api).await });
    Ok(address)
}

/// Milliseconds since 1970 by the wall clock.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An answer of a control API that is not 200: a status and one sentence.
#[derive(Debug)]
pub struct Refusal(pub StatusCode, pub String);

impl Refusal {
    /// There is nothing of that name.
    pub fn unknown(what: &str, name: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("no {what} is named {name}"))
    }

    /// The request cannot be meant.
    pub fn invalid(why: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, why.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

/// Reads `NAME=ADDRESS[,ADDRESS...]` of a command line.
///
/// # Errors
/// Says which part cannot be read.
pub fn named_addresses(text: &str) -> Result<(String, Vec<SocketAddr>), String> {
    let (name, list) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=ADDRESS[,ADDRESS]"))?;
    let addresses = list
        .split(',')
        .map(|a| a.parse().map_err(|_| format!("`{a}` is not an ADDRESS:PORT")))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((name.to_owned(), addresses))
}

#[cfg(test)]
mod tests {
    use super::named_addresses;

    #[test]
    fn an_address_list_is_read_or_refused_with_the_part_at_fault() {
        let (name, list) = named_addresses("one=127.0.0.1:5,127.0.0.2:6").unwrap();
        assert_eq!((name.as_str(), list.len(), list[1].port()), ("one", 2, 6));
        assert!(named_addresses("one").unwrap_err().contains("NAME=ADDRESS"));
        assert!(named_addresses("one=127.0.0.1:5,x").unwrap_err().contains("`x`"));
    }
}
