//! The collector through its real files and sockets.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helper panics where the promise is broken"
)]

mod api;
mod cli;
mod config;
mod crash;
mod ingest;
mod judged;
mod listen;
mod maintenance;
mod series;
mod support;
mod thumbnails;
mod world;
