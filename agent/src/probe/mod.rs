//! One stream's session: what arrives goes in, slices and faults come out.

pub mod timeline;
