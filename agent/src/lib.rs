//! Watches streams and the host, and reports what it sees.
#![forbid(unsafe_code)]

pub mod assignment;
pub mod config;
pub mod decode;
pub mod evidence;
pub mod exposition;
pub mod host;
pub mod input;
pub mod inspect;
pub mod io;
pub mod picture;
pub mod probe;
pub mod profile;
pub mod report;
pub mod shedding;
pub mod sound;
pub mod tracker;
