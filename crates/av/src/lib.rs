//! Decodes access units: pictures to views of their planes, sound to planar samples. The only crate that touches FFmpeg.
//!
//! A decoder takes one access unit at a time and hands out what came of it through a callback, so that nothing is copied out
//! of FFmpeg's own buffers and no caller can forget to collect output. A decoder has one thread: parallelism is across
//! streams, where it costs no latency and no memory. FFmpeg's own log is switched off for the whole process, since what it says
//! about a damaged stream is said here by [`Damage`] and [`DecodeError`], per stream.
//!
//! `ffmpeg-next` offers a safe view of a picture's plane, but one of `stride * height` bytes from its *cropped* origin, which may
//! end behind the buffer of a stream with hostile cropping. So the view is cut here, exactly: the one use of `unsafe`.
#![expect(
    unsafe_code,
    reason = "the exact extent of a decoded plane is known only from FFmpeg's raw frame"
)]

mod audio;
mod image;
mod session;
mod video;

pub use audio::{AudioDecoder, ChannelPlace, Samples};
pub use image::{Image, ImageError};
pub use video::{Damage, Picture, Plane, VideoDecoder};

use tallylight_model::Codec;

/// What a decoder refuses to go beyond, whatever the stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of one picture, after the stream's own header.
    pub pixels: u32,
    /// Bytes of one access unit.
    pub unit_bytes: usize,
}

impl Default for Limits {
    /// A picture of 8192 by 4352 (HEVC level 6.2) and an access unit of 16 MiB.
    fn default() -> Self {
        Self { pixels: 8192 * 4352, unit_bytes: 16 << 20 }
    }
}

/// Why there is no decoder.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The codec belongs to the other kind of decoder.
    #[error("{0} is not a codec of this kind of decoder")]
    WrongKind(Codec),
    /// The linked FFmpeg was built without it.
    #[error("the linked FFmpeg has no decoder for {0}")]
    Missing(Codec),
    /// FFmpeg would not open it.
    #[error("cannot open the decoder for {codec}")]
    Open {
        /// Which codec.
        codec: Codec,
        /// What FFmpeg said.
        source: ffmpeg_next::Error,
    },
}

/// Why an access unit gave nothing, or less than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It holds no bytes or more than [`Limits::unit_bytes`].
    #[error("an access unit of {0} bytes is not decoded")]
    UnitSize(usize),
    /// The bytes are not what the codec's standard says.
    #[error("the access unit is damaged")]
    Damaged,
    /// The linked FFmpeg cannot decode this variant, the picture is over [`Limits::pixels`], or memory is short.
    #[error("the access unit cannot be decoded here")]
    Unsupported,
}
