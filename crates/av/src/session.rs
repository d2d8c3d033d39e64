//! What both kinds of decoder share: opening, and the exchange of one access unit for frames.

use std::sync::Once;

use ffmpeg_next::{
    self as ffmpeg, Dictionary, Packet,
    codec::{self, Context, Flags, decoder::Opened, threading},
    frame::{self, Frame},
};
use tallylight_model::Codec;

use crate::{DecodeError, Limits, OpenError};

/// Frames taken for one access unit at most. HEVC holds back 16 pictures; an audio unit of several frames gives a few more.
const MAX_FRAMES: usize = 64;

/// An opened decoder.
pub(crate) struct Session {
    opened: Opened,
    unit_bytes: usize,
    /// Zero bytes to put behind each access unit.
    stuffing: usize,
}

impl Session {
    pub(crate) fn open(codec: Codec, limits: Limits) -> Result<Self, OpenError> {
        silence_log();
        let decoder = codec::decoder::find_by_name(name(codec)).ok_or(OpenError::Missing(codec))?;
        let mut context = Context::new_with_codec(decoder);
        context.set_threading(threading::Config::count(1));
        // Without it a key picture that is not an instantaneous refresh (an open GOP) would be held back.
        context.set_flags(Flags::OUTPUT_CORRUPT);
        let mut options = Dictionary::new();
        // The last bit of MPEG video's last slice may be the first of a zero byte, which whoever cuts off zero stuffing cuts off
        // with it. One zero byte more is legal stuffing (ISO/IEC 13818-2, 5.2.3), but `bitstream` would call it an error.
        let (checks, stuffing) = match codec {
            Codec::Mpeg1Video | Codec::Mpeg2Video => ("crccheck+buffer", 1),
            _ => ("crccheck+bitstream+buffer", 0),
        };
        options.set("err_detect", checks);
        options.set("max_pixels", &limits.pixels.to_string());
        let opened = context
            .decoder()
            .open_as_with(decoder, options)
            .map_err(|source| OpenError::Open { codec, source })?;
        Ok(Self { opened, unit_bytes: limits.unit_bytes, stuffing })
    }

    /// Opens a decoder of still images, by FFmpeg's name of it.
    pub(crate) fn open_image(name: &str, limits: Limits) -> Option<Self> {
        silence_log();
        let decoder = codec::decoder::find_by_name(name)?;
        let mut context = Context::new_with_codec(decoder);
        context.set_threading(threading::Config::count(1));
        let mut options = Dictionary::new();
        options.set("max_pixels", &limits.pixels.to_string());
        let opened = context.decoder().open_as_with(decoder, options).ok()?;
        Some(Self { opened, unit_bytes: limits.unit_bytes, stuffing: 0 })
    }

    /// Hands in one access unit with what is to precede it, copied once into FFmpeg's padded buffer.
    pub(crate) fn send(&mut self, head: &[u8], data: &[u8], tag: i64) -> Result<(), DecodeError> {
        if data.is_empty() || data.len() > self.unit_bytes {
            return Err(DecodeError::UnitSize(data.len()));
        }
        let mut packet = Packet::new(head.len() + data.len() + self.stuffing);
        let place = packet.data_mut().and_then(|place| place.split_at_mut_checked(head.len()));
        let Some((first, rest)) = place else { return Err(DecodeError::Unsupported) };
        let Some((place, stuffing)) = rest.split_at_mut_checked(data.len()) else {
            return Err(DecodeError::Unsupported);
        };
        first.copy_from_slice(head);
        place.copy_from_slice(data);
        stuffing.fill(0);
        packet.set_pts(Some(tag));
        self.opened.send_packet(&packet).map_err(reason)
    }

    /// Says that no more comes, so that everything held back comes out.
    pub(crate) fn send_end(&mut self) -> Result<(), DecodeError> {
        self.opened.send_eof().map_err(reason)
    }

    /// Fills `frame` again and again, calling `each`, until the decoder wants more input. The first error counts.
    pub(crate) fn receive<T: AsFrame, F: FnMut(&T)>(
        &mut self,
        frame: &mut T,
        mut each: F,
    ) -> Result<(), DecodeError> {
        let mut outcome = Ok(());
        for _ in 0..MAX_FRAMES {
            match self.opened.receive_frame(frame.as_frame()) {
                Ok(()) => each(frame),
                Err(ffmpeg::Error::Eof) => break,
                Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => break,
                Err(error) => outcome = outcome.and(Err(reason(error))),
            }
        }
        outcome
    }

    /// What the stream was last said to need.
    pub(crate) fn profile(&self) -> codec::Profile {
        self.opened.profile()
    }

    /// Forgets everything but the stream's parameter sets.
    pub(crate) fn flush(&mut self) {
        self.opened.flush();
    }
}

/// A frame of either kind.
pub(crate) trait AsFrame {
    fn as_frame(&mut self) -> &mut Frame;
}

impl AsFrame for frame::Video {
    fn as_frame(&mut self) -> &mut Frame {
        self
    }
}

impl AsFrame for frame::Audio {
    fn as_frame(&mut self) -> &mut Frame {
        self
    }
}

fn reason(error: ffmpeg::Error) -> DecodeError {
    match error {
        ffmpeg::Error::InvalidData => DecodeError::Damaged,
        _ => DecodeError::Unsupported,
    }
}

/// FFmpeg's own software decoders, by name: what it finds by codec may be a hardware wrapper, or put out integers.
fn name(codec: Codec) -> &'static str {
    match codec {
        Codec::Mpeg1Video => "mpeg1video",
        Codec::Mpeg2Video => "mpeg2video",
        Codec::H264 => "h264",
        Codec::Hevc => "hevc",
        // It takes all three layers, whatever it is called.
        Codec::MpegAudio => "mp2float",
        Codec::AacAdts => "aac",
        Codec::AacLatm => "aac_latm",
        Codec::Ac3 => "ac3",
        Codec::Eac3 => "eac3",
    }
}

fn silence_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| ffmpeg::log::set_level(ffmpeg::log::Level::Quiet));
}
