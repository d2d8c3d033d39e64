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

/// Where a channel is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChannelPlace {
    /// Front left.
    Left,
    /// Front right.
    Right,
    /// Front centre, and the one channel of mono.
    Centre,
    /// Low-frequency effects.
    Lfe,
    /// Left surround.
    SurroundLeft,
    /// Right surround.
    SurroundRight,
    /// Back left, where there are surrounds beside it.
    BackLeft,
    /// Back right, where there are surrounds beside it.
    BackRight,
    /// Back centre.
    BackCentre,
    /// Somewhere else, or not known.
    Other,
}

impl ChannelPlace {
    /// Returns the name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "L",
            Self::Right => "R",
            Self::Centre => "C",
            Self::Lfe => "LFE",
            Self::SurroundLeft => "Ls",
            Self::SurroundRight => "Rs",
            Self::BackLeft => "Lb",
            Self::BackRight => "Rb",
            Self::BackCentre => "Cb",
            Self::Other => "?",
        }
    }

    /// The place of the channel that is the `index`th of a layout's bits.
    fn of(layout: u64, index: usize) -> Self {
        let mut rest = layout;
        for _ in 0..index {
            rest &= rest.wrapping_sub(1);
        }
        let sides = layout & 0x600 != 0;
        match rest & rest.wrapping_neg() {
            0x1 => Self::Left,
            0x2 => Self::Right,
            0x4 => Self::Centre,
            0x8 => Self::Lfe,
            0x10 if sides => Self::BackLeft,
            0x20 if sides => Self::BackRight,
            0x10 | 0x200 => Self::SurroundLeft,
            0x20 | 0x400 => Self::SurroundRight,
            0x100 => Self::BackCentre,
            _ => Self::Other,
        }
    }
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
        let sent = self.session.send(&[], data, tag);
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

    /// Where a channel is heard, as far as the stream says so in a common way.
    #[must_use]
    pub fn place(&self, index: usize) -> ChannelPlace {
        let layout = self.frame.channel_layout().bits();
        if layout.count_ones() as usize == self.channels() {
            ChannelPlace::of(layout, index)
        } else {
            ChannelPlace::Other
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_stand_in_the_order_of_their_bits() {
        for (layout, places) in [
            (0x4, "C"),
            (0x3, "L R"),
            (0x3f, "L R C LFE Ls Rs"),
            (0x60f, "L R C LFE Ls Rs"),
            (0x63f, "L R C LFE Lb Rb Ls Rs"),
            (0x107, "L R C Cb"),
            (0x1003, "L R ?"),
        ] {
            let count = usize::try_from(u64::count_ones(layout)).unwrap();
            let all: Vec<_> = (0..count).map(|i| ChannelPlace::of(layout, i).name()).collect();
            assert_eq!(all.join(" "), places);
        }
        assert_eq!(ChannelPlace::of(0x3, 70), ChannelPlace::Other);
    }
}
