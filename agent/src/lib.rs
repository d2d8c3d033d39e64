//! Watches streams and the host, and reports what it sees.
#![forbid(unsafe_code)]

pub mod decode;
pub mod input;
pub mod io;
pub mod picture;
pub mod sound;
