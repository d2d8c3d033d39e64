//! A small TV platform on loopback: head-end, regional links, delivery servers, access network, viewers.
//!
//! Everything runs without privileges, so that a newcomer can try it and CI needs no namespaces. Clips are encoded once by
//! ffmpeg; the head-end multiplexes their elementary streams itself while it plays. The rejected alternative was to loop
//! ready-made transport streams and to restamp their clocks: every splice then inherits two foreign packet schedules, and
//! a continuity or PCR fault at a splice would be ours, not the one that was asked for. With a multiplexer, counters and
//! clocks are legal by construction, and a fault is exactly what was ordered.

pub mod access;
pub mod clip;
pub mod edge;
pub mod elementary;
pub mod headend;
pub mod link;
pub mod loss;
pub mod mux;
pub mod packet;
pub mod process;
pub mod programme;
pub mod scan;
pub mod viewers;
