//! Pictures.

use ffmpeg_next::{ffi, frame, picture};
use tallylight_model::Codec;

use crate::{DecodeError, Limits, OpenError, session::Session};

/// Decodes the access units of one video stream, in decoding order.
pub struct VideoDecoder {
    session: Session,
    frame: frame::Video,
    reports_damage: bool,
}

/// A decoded picture, valid during the callback.
pub struct Picture<'a> {
    frame: &'a frame::Video,
    reports_damage: bool,
}

/// What the decoder itself found wrong with a picture that it nevertheless put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// This decoder does not say. FFmpeg's HEVC decoder noticed none of seven planted damages.
    NotAvailable,
    /// Nothing.
    None,
    /// Parts of it were made up.
    Found,
}

/// The luma plane of a picture.
#[derive(Clone, Copy)]
pub struct Luma<'a> {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes from one row to the next, at least `width * bytes_per_pixel()`.
    pub stride: usize,
    /// Bits of a sample, 8 to 16. Samples over 8 bits take two bytes, low byte first.
    pub depth: u8,
    /// The rows. The last one ends with its last pixel.
    pub data: &'a [u8],
}

impl VideoDecoder {
    /// Opens a decoder.
    ///
    /// # Errors
    ///
    /// The codec is not a video codec, or the linked FFmpeg cannot decode it.
    pub fn new(codec: Codec, limits: Limits) -> Result<Self, OpenError> {
        if !codec.is_video() {
            return Err(OpenError::WrongKind(codec));
        }
        let session = Session::open(codec, limits)?;
        Ok(Self { session, frame: frame::Video::empty(), reports_damage: codec != Codec::Hevc })
    }

    /// Decodes one access unit and shows `each` picture that is ready, in presentation order. A picture carries the `tag` of
    /// the access unit that it came from.
    ///
    /// # Errors
    ///
    /// The access unit, or one held back before it, could not be decoded whole; the pictures shown count all the same.
    pub fn decode<F: FnMut(Picture<'_>)>(
        &mut self,
        data: &[u8],
        tag: i64,
        mut each: F,
    ) -> Result<(), DecodeError> {
        let reports_damage = self.reports_damage;
        let sent = self.session.send(data, tag);
        let shown = self.session.receive(&mut self.frame, |frame: &frame::Video| {
            each(Picture { frame, reports_damage });
        });
        sent.and(shown)
    }

    /// Shows the pictures still held back and prepares for a new sequence, which has to begin with a key picture. Parameter
    /// sets are kept. After a lone key picture this yields it at once.
    ///
    /// # Errors
    ///
    /// A picture that was held back could not be decoded whole.
    pub fn drain<F: FnMut(Picture<'_>)>(&mut self, mut each: F) -> Result<(), DecodeError> {
        let reports_damage = self.reports_damage;
        let sent = self.session.send_end();
        let shown = self.session.receive(&mut self.frame, |frame: &frame::Video| {
            each(Picture { frame, reports_damage });
        });
        self.session.flush();
        sent.and(shown)
    }

    /// Drops the pictures still held back and prepares for a new sequence.
    pub fn reset(&mut self) {
        self.session.flush();
    }
}

impl Picture<'_> {
    /// The tag of its access unit.
    #[must_use]
    pub fn tag(&self) -> Option<i64> {
        self.frame.pts()
    }

    /// What the decoder found wrong with it.
    #[must_use]
    pub fn damage(&self) -> Damage {
        if !self.reports_damage {
            Damage::NotAvailable
        } else if self.frame.has_decode_errors() {
            Damage::Found
        } else {
            Damage::None
        }
    }

    /// Whether all of it was decoded from what this decoder was given: it is an intra picture, or follows one or a completed
    /// intra refresh. The rest of one that is not is made up.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.frame.is_corrupt() || self.frame.kind() == picture::Type::I
    }

    /// Its luma; `None` for a pixel format without a plane of its own for it.
    #[must_use]
    pub fn luma(&self) -> Option<Luma<'_>> {
        // SAFETY: the pointer is that of a frame which lives as long as `self`; these fields are plain integers and
        // pointers, set by the decoder that has just filled the frame.
        let (width, height, stride, format, data) = unsafe {
            let frame = &*self.frame.as_ptr();
            (frame.width, frame.height, frame.linesize[0], frame.format, frame.data[0])
        };
        let depth = luma_depth(format)?;
        let bytes_per_pixel = if depth > 8 { 2 } else { 1 };
        let (width, height) = (usize::try_from(width).ok()?, usize::try_from(height).ok()?);
        let stride = usize::try_from(stride).ok()?;
        let row = width.checked_mul(bytes_per_pixel)?;
        if width == 0 || height == 0 || row > stride || data.is_null() {
            return None;
        }
        let length = (height - 1).checked_mul(stride)?.checked_add(row)?;
        // SAFETY: the decoder wrote `height` rows of `row` bytes, `stride` apart, from `data` on, so that `length` bytes are
        // initialised memory of one allocation, which the frame keeps alive and nobody writes to while `self` is borrowed.
        let data = unsafe { std::slice::from_raw_parts(data, length) };
        Some(Luma { width, height, stride, depth, data })
    }
}

impl Luma<'_> {
    /// One byte up to 8 bits of depth, else two.
    #[must_use]
    pub const fn bytes_per_pixel(&self) -> usize {
        if self.depth > 8 { 2 } else { 1 }
    }
}

/// Bits of luma of a format whose first plane is luma alone, in native samples; `None` for any other.
fn luma_depth(format: i32) -> Option<u8> {
    const EIGHT: [ffi::AVPixelFormat; 9] = [
        ffi::AVPixelFormat::AV_PIX_FMT_YUV420P,
        ffi::AVPixelFormat::AV_PIX_FMT_YUV422P,
        ffi::AVPixelFormat::AV_PIX_FMT_YUV444P,
        ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P,
        ffi::AVPixelFormat::AV_PIX_FMT_YUVJ422P,
        ffi::AVPixelFormat::AV_PIX_FMT_YUVJ444P,
        ffi::AVPixelFormat::AV_PIX_FMT_GRAY8,
        ffi::AVPixelFormat::AV_PIX_FMT_NV12,
        ffi::AVPixelFormat::AV_PIX_FMT_NV21,
    ];
    const MORE: [(ffi::AVPixelFormat, u8); 12] = [
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV420P9LE, 9),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV422P9LE, 9),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV444P9LE, 9),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV420P10LE, 10),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV422P10LE, 10),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV444P10LE, 10),
        (ffi::AVPixelFormat::AV_PIX_FMT_GRAY10LE, 10),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV420P12LE, 12),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV422P12LE, 12),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV444P12LE, 12),
        (ffi::AVPixelFormat::AV_PIX_FMT_GRAY12LE, 12),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV420P14LE, 14),
    ];
    let is = |known: ffi::AVPixelFormat| known as i32 == format;
    if EIGHT.into_iter().any(is) {
        return Some(8);
    }
    MORE.into_iter().find(|(known, _)| is(*known)).map(|(_, depth)| depth)
}
