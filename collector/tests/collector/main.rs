//! The collector through its real files and sockets.
#![forbid(unsafe_code)]

mod api;
mod config;
mod ingest;
mod support;
