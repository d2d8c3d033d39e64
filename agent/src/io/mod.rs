//! Everything that touches the outside: sockets, files, clocks. No judgement here.

pub mod clock;
pub mod decoding;
pub mod file;
mod hls;
pub mod host;
pub mod http;
mod http_ts;
pub mod input;
pub mod inspect;
pub mod serve;
#[cfg(test)]
mod testing;
pub mod udp;
