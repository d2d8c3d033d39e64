//! A small TV platform on loopback: head-end, regional links, delivery servers, access network, viewers.
//!
//! Everything runs without privileges, so that a newcomer can try it and CI needs no namespaces. Clips are encoded once by
//! ffmpeg; the head-end multiplexes their elementary streams itself while it plays. The rejected alternative was to loop
//! ready-made transport streams and to restamp their clocks: every splice then inherits two foreign packet schedules, and
//! a continuity or PCR fault at a splice would be ours, not the one that was asked for. With a multiplexer, counters and
//! clocks are legal by construction, and a fault is exactly what was ordered.
//!
//! Every process prints one line `ready {json}` with its addresses, has an HTTP control API on loopback, and ends on SIGTERM,
//! SIGINT or when its standard input closes. Orders answer `at_unix_ms`, the moment they took effect.
//!
//! - `headend`: ready `control`, `sources[]` of `channel`, `source`, `url`, `interface`, `service_id`, `offset_ms`. Orders
//!   `POST /sources/CHANNEL/SOURCE` or, for both sources at the same picture of the programme, `POST /channels/CHANNEL`,
//!   each with a [`headend::Fault`].
//! - `link`: ready `control`, `feeds` by channel. Orders `POST /loss` `{"channel"?, "fraction"}` and `POST /delay`
//!   `{"channel"?, "ms"}`; without a channel, for all.
//! - `edge`: ready `control`, `media`, `feeds` and `watch` by channel. `GET /sessions`; order `POST /sessions/end`.
//! - `access`: ready `control`, `fronts` by server. Order `POST /rules`, a client's address and an [`access::Rule`].
//! - `viewers`: ready `control`. `GET /receivers` says since when each gets the programme whole.
//!
//! `GET /state` of each has its counts. Feeds go head-end, panel's forward process, link, edges; so start edges first, then
//! links, then the panel.

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
pub mod sight;
pub mod viewers;
