//! Sound.

use ffmpeg_next::{
    format::{Sample, sample::Type},
    frame,
};
use tallylight_model::Codec;

use crate::{DecodeError, Limits, OpenError, session::Session};

/// Decodes the access units of one audio stream.
pub struct AudioDecoder {
    session: Session,
    frame: frame::Audio,
}

/// A run of decoded samples, valid during the callback.
pub struct Samples<'a> {
    frame: &'a frame::Audio,
}

impl AudioDecoder {
    /// Opens a decoder.
    ///
    /// # Errors
    ///
    /// The codec is not an audio codec, or the linked FFmpeg cannot decode it.
    pub fn new(codec: Codec, limits: Limits) -> Result<Self, OpenError> {
        if codec.is_video() {
            return Err(OpenError::WrongKind(codec));
        }
        let session = Session::open(codec, limits)?;
        Ok(Self { session, frame: frame::Audio::empty() })
    }

    /// Decodes one access unit, which may be several whole frames, and shows `each` run of samples that came of it.
    ///
    /// # Errors
    ///
    /// The access unit could not be decoded whole; the samples shown count all the same.
    pub fn decode<F: FnMut(Samples<'_>)>(
        &mut self,
        data: &[u8],
        tag: i64,
        mut each: F,
    ) -> Result<(), DecodeError> {
        let sent = self.session.send(data, tag);
        let shown =
            self.session.receive(&mut self.frame, |frame: &frame::Audio| each(Samples { frame }));
        sent.and(shown)
    }

    /// Prepares for a new sequence.
    pub fn reset(&mut self) {
        self.session.flush();
    }
}

impl Samples<'_> {
    /// The tag of the access unit; `None` for the second and later runs of one unit.
    #[must_use]
    pub fn tag(&self) -> Option<i64> {
        self.frame.pts()
    }

    /// Samples a second, of each channel.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.frame.rate()
    }

    /// How many channels there are.
    #[must_use]
    pub fn channels(&self) -> usize {
        if self.is_planar_f32() { self.frame.planes() } else { 0 }
    }

    /// The samples of one channel, full scale being 1.0 (louder ones occur, and NaN is possible in a damaged stream). Empty if
    /// there is no such channel.
    #[must_use]
    pub fn channel(&self, index: usize) -> &[f32] {
        if index < self.channels() { self.frame.plane(index) } else { &[] }
    }

    /// All decoders that are opened here put out planar floats.
    fn is_planar_f32(&self) -> bool {
        self.frame.format() == Sample::F32(Type::Planar)
    }
}
