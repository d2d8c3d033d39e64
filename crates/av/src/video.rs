//! Pictures.

use ffmpeg_next::{
    codec::profile::{H264, HEVC, MPEG2, Profile},
    color::Range,
    ffi, frame, picture,
};
use tallylight_model::{Codec, CodingProfile};

use crate::{DecodeError, Limits, OpenError, session::Session};

/// Decodes the access units of one video stream, in decoding order.
pub struct VideoDecoder {
    codec: Codec,
    limits: Limits,
    /// None while it is closed.
    session: Option<Session>,
    /// What the first access unit after opening again is preceded by.
    head: Vec<u8>,
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

/// One plane of a picture.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes from one row to the next, at least `width * bytes_per_sample()`.
    pub stride: usize,
    /// Bits of a sample, 8 to 16. Samples over 8 bits take two bytes, low byte first.
    pub depth: u8,
    /// The rows. The last one ends with its last sample.
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
        Ok(Self {
            codec,
            limits,
            session: Some(Session::open(codec, limits)?),
            head: Vec::new(),
            frame: frame::Video::empty(),
            reports_damage: codec != Codec::Hevc,
        })
    }

    /// Gives back the memory of its pictures, some 10 to 35 MiB at 1080p, until the next access unit. Everything is forgotten;
    /// parameter sets that later access units may not carry are given as `head`.
    pub fn close(&mut self, head: Vec<u8>) {
        self.session = None;
        self.head = head;
        self.frame = frame::Video::empty();
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
        let head = std::mem::take(&mut self.head);
        let session = match &mut self.session {
            Some(session) => session,
            closed => {
                let opened = Session::open(self.codec, self.limits);
                closed.insert(opened.map_err(|_| DecodeError::Unsupported)?)
            }
        };
        let sent = session.send(&head, data, tag);
        let shown = session.receive(&mut self.frame, |frame: &frame::Video| {
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
        let Some(session) = &mut self.session else { return Ok(()) };
        let sent = session.send_end();
        let shown = session.receive(&mut self.frame, |frame: &frame::Video| {
            each(Picture { frame, reports_damage });
        });
        session.flush();
        sent.and(shown)
    }

    /// Which of the codec's tools the stream says that it uses; `None` before a picture, or if it says none that is known.
    #[must_use]
    pub fn profile(&self) -> Option<CodingProfile> {
        named(self.session.as_ref()?.profile())
    }

    /// Drops the pictures still held back and prepares for a new sequence.
    pub fn reset(&mut self) {
        if let Some(session) = &mut self.session {
            session.flush();
        }
    }
}

impl<'a> Picture<'a> {
    /// An image that is no part of a stream.
    pub(crate) const fn still(frame: &'a frame::Video) -> Self {
        Self { frame, reports_damage: false }
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

    /// Whether its lines are of two moments.
    #[must_use]
    pub fn is_interlaced(&self) -> bool {
        self.frame.is_interlaced()
    }

    /// The shape of a sample, width to height; 1 to 1 where the stream does not say.
    #[must_use]
    pub fn sample_aspect(&self) -> (u32, u32) {
        let aspect = self.frame.aspect_ratio();
        let side = |length: i32| u32::try_from(length).ok().filter(|length| *length > 0);
        side(aspect.numerator()).zip(side(aspect.denominator())).unwrap_or((1, 1))
    }

    /// Its luma; `None` for a pixel format without a plane of its own for it.
    #[must_use]
    pub fn luma(&self) -> Option<Plane<'_>> {
        self.plane(0, self.layout()?.depth, (0, 0))
    }

    /// Its Cb and Cr; `None` for a pixel format without a plane for each.
    #[must_use]
    pub fn chroma(&self) -> Option<[Plane<'_>; 2]> {
        let Layout { depth, subsampling } = self.layout()?;
        let shifts = subsampling?;
        Some([self.plane(1, depth, shifts)?, self.plane(2, depth, shifts)?])
    }

    /// Whether black is 0 and white the largest value, and not 16 and 235 of 8 bits.
    #[must_use]
    pub fn is_full_range(&self) -> bool {
        self.frame.color_range() == Range::JPEG
    }

    fn layout(&self) -> Option<Layout> {
        layout(self.frame.format().into())
    }

    /// A plane whose sides are those of the picture, halved as often as `shifts` says.
    fn plane(&self, index: usize, depth: u8, shifts: (u32, u32)) -> Option<Plane<'_>> {
        let bytes = if depth > 8 { 2 } else { 1 };
        let Rows { width, height, stride, data } = rows(self.frame, index, bytes, shifts)?;
        Some(Plane { width, height, stride, depth, data })
    }
}

/// The rows of one of a frame's buffers.
pub(crate) struct Rows<'a> {
    /// Samples, or whole pixels, in a row.
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Bytes from one row to the next.
    pub(crate) stride: usize,
    /// Ends with the last row's last sample.
    pub(crate) data: &'a [u8],
}

/// Cuts out exactly what was decoded of a buffer with so many bytes a sample, whose sides are those of the picture, halved as
/// often as `shifts` says.
pub(crate) fn rows(
    frame: &frame::Video,
    index: usize,
    bytes: usize,
    shifts: (u32, u32),
) -> Option<Rows<'_>> {
    // SAFETY: the pointer is that of a frame which lives as long as the result; these fields are plain integers and pointers,
    // set by the decoder that has just filled the frame.
    let (width, height, stride, data) = unsafe {
        let frame = &*frame.as_ptr();
        (frame.width, frame.height, *frame.linesize.get(index)?, *frame.data.get(index)?)
    };
    let side = |length: i32, shift: u32| Some(usize::try_from(length).ok()?.div_ceil(1 << shift));
    let (width, height) = (side(width, shifts.0)?, side(height, shifts.1)?);
    let stride = usize::try_from(stride).ok()?;
    let row = width.checked_mul(bytes)?;
    if width == 0 || height == 0 || row > stride || data.is_null() {
        return None;
    }
    let length = (height - 1).checked_mul(stride)?.checked_add(row)?;
    // SAFETY: the decoder wrote `height` rows of `row` bytes, `stride` apart, from `data` on (a plane of a picture whose sides
    // are cropped to odd numbers has the half sample more), so that `length` bytes are initialised memory of one allocation,
    // which the frame keeps alive and nobody writes to while it is borrowed.
    let data = unsafe { std::slice::from_raw_parts(data, length) };
    Some(Rows { width, height, stride, data })
}

impl Plane<'_> {
    /// One byte up to 8 bits of depth, else two.
    #[must_use]
    pub const fn bytes_per_sample(&self) -> usize {
        if self.depth > 8 { 2 } else { 1 }
    }
}

/// How often Cb and Cr, each in a plane of its own, are halved across and down; `None` without such planes.
type Halvings = Option<(u32, u32)>;

/// How the planes of a pixel format lie.
#[derive(Clone, Copy)]
struct Layout {
    /// Bits of a sample.
    depth: u8,
    /// Of its chroma.
    subsampling: Halvings,
}

/// The layout of a format whose first plane is luma alone, in native samples; `None` for any other.
fn layout(format: ffi::AVPixelFormat) -> Option<Layout> {
    const S420: Halvings = Some((1, 1));
    const S422: Halvings = Some((1, 0));
    const S444: Halvings = Some((0, 0));
    const KNOWN: [(ffi::AVPixelFormat, u8, Halvings); 21] = [
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV420P, 8, S420),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV422P, 8, S422),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV444P, 8, S444),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P, 8, S420),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUVJ422P, 8, S422),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUVJ444P, 8, S444),
        (ffi::AVPixelFormat::AV_PIX_FMT_GRAY8, 8, None),
        (ffi::AVPixelFormat::AV_PIX_FMT_NV12, 8, None),
        (ffi::AVPixelFormat::AV_PIX_FMT_NV21, 8, None),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV420P9LE, 9, S420),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV422P9LE, 9, S422),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV444P9LE, 9, S444),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV420P10LE, 10, S420),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV422P10LE, 10, S422),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV444P10LE, 10, S444),
        (ffi::AVPixelFormat::AV_PIX_FMT_GRAY10LE, 10, None),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV420P12LE, 12, S420),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV422P12LE, 12, S422),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV444P12LE, 12, S444),
        (ffi::AVPixelFormat::AV_PIX_FMT_GRAY12LE, 12, None),
        (ffi::AVPixelFormat::AV_PIX_FMT_YUV420P14LE, 14, S420),
    ];
    let known = KNOWN.into_iter().find(|(known, ..)| *known == format);
    known.map(|(_, depth, subsampling)| Layout { depth, subsampling })
}

/// The name of what FFmpeg calls a profile. What uses intra pictures alone is not told apart.
const fn named(profile: Profile) -> Option<CodingProfile> {
    Some(match profile {
        Profile::MPEG2(MPEG2::Simple) => CodingProfile::Simple,
        Profile::H264(H264::Baseline) => CodingProfile::Baseline,
        Profile::H264(H264::ConstrainedBaseline) => CodingProfile::ConstrainedBaseline,
        Profile::MPEG2(MPEG2::Main) | Profile::H264(H264::Main) | Profile::HEVC(HEVC::Main) => {
            CodingProfile::Main
        }
        Profile::H264(H264::Extended) => CodingProfile::Extended,
        Profile::MPEG2(MPEG2::High) | Profile::H264(H264::High) => CodingProfile::High,
        Profile::H264(H264::High10 | H264::High10Intra) => CodingProfile::High10,
        Profile::MPEG2(MPEG2::_422) | Profile::H264(H264::High422 | H264::High422Intra) => {
            CodingProfile::High422
        }
        Profile::H264(
            H264::High444 | H264::High444Predictive | H264::High444Intra | H264::CAVLC444,
        ) => CodingProfile::High444,
        Profile::HEVC(HEVC::Main10) => CodingProfile::Main10,
        Profile::HEVC(HEVC::MainStillPicture) => CodingProfile::MainStillPicture,
        Profile::HEVC(HEVC::Rext) => CodingProfile::RangeExtensions,
        Profile::MPEG2(MPEG2::SNRScalable) => CodingProfile::SnrScalable,
        Profile::MPEG2(MPEG2::SS) => CodingProfile::SpatiallyScalable,
        _ => return None,
    })
}
