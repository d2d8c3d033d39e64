//! Still images from files.

use ffmpeg_next::{format::Pixel, frame};

use crate::{
    DecodeError, Limits, Picture,
    session::Session,
    video::{Rows, rows},
};

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<[u8; 3]>,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The first bytes are neither's.
    #[error("it is neither a PNG nor a JPEG file")]
    Unknown,
    /// The linked FFmpeg was built without the decoder.
    #[error("the linked FFmpeg has no decoder for {0}")]
    Missing(&'static str),
    /// It cannot be decoded.
    #[error("it cannot be decoded")]
    Decode(#[source] DecodeError),
    /// It has a palette, 16 bits a channel, or another form that is not read.
    #[error(
        "its pixels are not 8 bits of grey, of red, green and blue, or of JPEG's components; save it anew as one of these"
    )]
    Form,
}

impl Image {
    /// Reads a PNG or JPEG file.
    ///
    /// # Errors
    /// It is neither, is damaged, over the limits, or of a form that is not read.
    pub fn read(data: &[u8], limits: Limits) -> Result<Self, ImageError> {
        let name = match data {
            [0x89, b'P', b'N', b'G', ..] => "png",
            [0xFF, 0xD8, 0xFF, ..] => "mjpeg",
            _ => return Err(ImageError::Unknown),
        };
        let mut session = Session::open_image(name, limits).ok_or(ImageError::Missing(name))?;
        let mut image = None;
        let mut frame = frame::Video::empty();
        let sent = session.send(&[], data, 0);
        let mut take = |frame: &frame::Video| image = Some(Self::of(frame));
        let shown = session.receive(&mut frame, &mut take);
        let drained = session.send_end();
        let held = session.receive(&mut frame, &mut take);
        sent.and(shown).and(drained).and(held).map_err(ImageError::Decode)?;
        image.flatten().ok_or(ImageError::Form)
    }

    fn of(frame: &frame::Video) -> Option<Self> {
        match frame.format() {
            Pixel::RGB24 => Self::packed::<3>(&rows(frame, 0, 3, (0, 0))?),
            Pixel::RGBA => Self::packed::<4>(&rows(frame, 0, 4, (0, 0))?),
            Pixel::GRAY8 | Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P => {
                Self::planar(&Picture::still(frame))
            }
            _ => None,
        }
    }

    /// Pixels of red, green, blue and whatever else.
    fn packed<const BYTES: usize>(rows: &Rows<'_>) -> Option<Self> {
        let row = rows.width * BYTES;
        let lines = rows.data.chunks(rows.stride).filter_map(|line| line.get(..row));
        let pixels = lines.flat_map(|line| line.as_chunks::<BYTES>().0);
        let rgb = pixels.filter_map(|pixel| pixel.first_chunk::<3>().copied()).collect();
        Some(Self { width: rows.width, height: rows.height, rgb })
    }

    /// JPEG's components (ITU-T T.871), or grey.
    fn planar(picture: &Picture<'_>) -> Option<Self> {
        let luma = picture.luma()?;
        let chroma = picture.chroma();
        let mut rgb = Vec::with_capacity(luma.width * luma.height);
        for row in 0..luma.height {
            for column in 0..luma.width {
                let y = f32::from(*luma.data.get(row * luma.stride + column)?);
                let [cb, cr] = match &chroma {
                    None => [128.0; 2],
                    Some(planes) => planes.each_ref().map(|plane| {
                        let across = column * plane.width / luma.width;
                        let down = row * plane.height / luma.height;
                        let at = down * plane.stride + across;
                        plane.data.get(at).map_or(128.0, |&sample| f32::from(sample))
                    }),
                };
                let (b, r) = (y + 1.772 * (cb - 128.0), y + 1.402 * (cr - 128.0));
                let g = (y - 0.299 * r - 0.114 * b) / 0.587;
                // A cast to an integer keeps within its bounds.
                rgb.push([r, g, b].map(|value| value.round() as u8));
            }
        }
        Some(Self { width: luma.width, height: luma.height, rgb })
    }
}
