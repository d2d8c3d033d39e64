//! Everything that touches the outside: sockets, files, clocks. No judgement here.

pub mod clock;
pub mod decoding;
pub mod file;
pub mod host;
pub mod http;
mod http_ts;
pub mod input;
pub mod inspect;
pub mod serve;
pub mod udp;
