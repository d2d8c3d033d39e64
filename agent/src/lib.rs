//! stub
pub mod decode;
pub mod picture;
pub mod sound;
