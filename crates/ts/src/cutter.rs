//! Cutting elementary streams into access units.

use alloc::{boxed::Box, vec::Vec};

use tallylight_model::{Codec, PictureType};

use crate::{
    Captions, Parameters, Payload, Position, audio::AudioCutter, buffer::Sizes, elementary::Here,
    packet::PAYLOAD, pes::Stamps, video::VideoCutter,
};

/// An access unit as a cutter knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Draft {
    pub(crate) stamps: Stamps,
    pub(crate) key: bool,
    pub(crate) picture: Option<PictureType>,
    pub(crate) size: usize,
    pub(crate) damaged: bool,
    pub(crate) cut: bool,
    pub(crate) oversized: bool,
    pub(crate) begin: Position,
    /// The clock at its begin: see [`Timeline::era`](crate::timeline::Timeline::era).
    pub(crate) era: u32,
    pub(crate) data: Vec<u8>,
}

/// Cuts one elementary stream.
pub(crate) enum Cutter {
    /// The coding is not cut.
    None,
    Video(Box<VideoCutter>),
    Audio(Box<AudioCutter>),
}

impl Cutter {
    pub(crate) fn new(codec: Option<Codec>, payload: Payload) -> Self {
        match codec {
            None => Self::None,
            Some(codec) if codec.is_video() => {
                Self::Video(Box::new(VideoCutter::new(codec, payload)))
            }
            Some(codec) => Self::Audio(Box::new(AudioCutter::new(codec, payload))),
        }
    }

    pub(crate) fn set_payload(&mut self, payload: Payload) {
        match self {
            Self::None => {}
            Self::Video(video) => video.payload = payload,
            Self::Audio(audio) => audio.payload = payload,
        }
    }

    /// Shares what pictures in progress may hold with other streams.
    pub(crate) fn share(&mut self, streams: usize) {
        if let Self::Video(video) = self {
            video.share(streams);
        }
    }

    /// A PES packet begins: its stamps are those of the first access unit that begins in it.
    pub(crate) fn stamps(&mut self, stamps: Stamps, random_access: bool) {
        match self {
            Self::None => {}
            Self::Video(video) => video.stamps(stamps, random_access),
            Self::Audio(audio) => audio.stamps(stamps),
        }
    }

    /// Takes bytes; true if an access unit began with them.
    pub(crate) fn push(&mut self, data: &[u8], here: &Here<'_>, ready: &mut Vec<Draft>) -> bool {
        match self {
            Self::None => false,
            Self::Video(video) => video.push(data, here, ready),
            Self::Audio(audio) => audio.push(data, here, ready),
        }
    }

    /// Takes payloads as long as they only carry on what is in progress, and returns how many.
    pub(crate) fn carry_on<'a>(
        &mut self,
        payloads: impl Iterator<Item = &'a [u8; PAYLOAD]>,
    ) -> usize {
        match self {
            Self::None => payloads.count(),
            Self::Video(video) => video.carry_on(payloads),
            Self::Audio(audio) => audio.carry_on(payloads),
        }
    }

    /// Bytes are missing here.
    pub(crate) fn lost(&mut self, ready: &mut Vec<Draft>) {
        match self {
            Self::None => {}
            Self::Video(video) => video.lost(ready),
            Self::Audio(audio) => audio.lost(ready),
        }
    }

    /// The stream ends here, or another one follows.
    pub(crate) fn flush(&mut self, ready: &mut Vec<Draft>) {
        match self {
            Self::None => {}
            Self::Video(video) => video.flush(ready),
            Self::Audio(audio) => audio.flush(ready),
        }
    }

    pub(crate) fn parameters(&self) -> Parameters {
        match self {
            Self::None => Parameters::default(),
            Self::Video(video) => video.parameters(),
            Self::Audio(audio) => audio.parameters(),
        }
    }

    pub(crate) fn captions(&self) -> Captions {
        match self {
            Self::Video(video) => video.captions,
            Self::None | Self::Audio(_) => Captions::default(),
        }
    }

    /// How large the component's buffers are, as far as known.
    pub(crate) fn sizes(&self) -> Option<&Sizes> {
        match self {
            Self::None => None,
            Self::Video(video) => video.sizes(),
            Self::Audio(audio) => audio.sizes(),
        }
    }

    /// The packet in which the picture in progress began.
    pub(crate) fn following(&self) -> Option<u64> {
        match self {
            Self::Video(video) => video.following(),
            Self::None | Self::Audio(_) => None,
        }
    }

    /// Bytes of sound that belong to no frame yet; `None` of anything else.
    pub(crate) fn buffered(&self) -> Option<usize> {
        match self {
            Self::Audio(audio) => Some(audio.buffered()),
            Self::None | Self::Video(_) => None,
        }
    }

    pub(crate) fn resyncs(&self) -> u64 {
        match self {
            Self::Audio(audio) => audio.resyncs,
            Self::None | Self::Video(_) => 0,
        }
    }
}
