//! Everything that touches the outside: sockets, files, clocks. No judgement here.

pub mod assign;
mod attend;
pub mod clock;
pub mod daemon;
pub mod decoding;
pub mod evidence;
pub mod export;
pub mod file;
pub mod gallery;
mod hls;
pub mod host;
pub mod http;
mod http_ts;
pub mod input;
pub mod inspect;
pub mod outbox;
mod reason;
pub mod serve;
pub mod shedding;
pub mod slates;
pub mod state;
pub mod terminal;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod udp;
pub mod watch;
