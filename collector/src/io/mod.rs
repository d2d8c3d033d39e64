//! Everything that touches the outside: sockets, files, clocks, signals.

mod clock;
mod config;
mod grpc;
mod http;
mod ingest;
mod journal;
mod judge;
mod meters;
mod otlp_http;
mod panel;
mod pending;
mod run;
mod serve;
mod thumbnails;
mod tls;
mod traces;

pub use clock::Clock;
pub use config::{LoadError, Loaded, load};

pub use run::{Addresses, Collector};

/// Makes a random token.
///
/// # Errors
/// The system has no randomness to give.
pub fn token() -> anyhow::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(crate::auth::token(random))
}
