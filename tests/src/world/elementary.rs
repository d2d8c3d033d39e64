//! Elementary streams as clips: whole access units that can be played in any order of whole groups of pictures.

use bytes::Bytes;
use thiserror::Error;

use super::packet::PACKET;

/// Ticks of 90 kHz that one picture lasts, at 25 pictures a second.
pub const PICTURE_TICKS: u64 = 3_600;
/// Pictures of a group: each begins with an IDR picture and refers to nothing outside.
pub const GROUP: u64 = 25;
/// From decoding to presentation of an IDR picture, in ticks of 90 kHz: one picture, with two B pictures and no pyramid.
/// Clips can be spliced because all share it.
pub const REORDER_TICKS: u64 = PICTURE_TICKS;

/// The PID that ffmpeg gives to the only stream of a file.
const FFMPEG_PID: u16 = 0x100;

/// Why a clip cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ClipError {
    /// Nothing is in it.
    #[error("the clip holds no whole group of pictures or no sound frame")]
    Empty,
    /// A packet of the file is damaged.
    #[error("packet {packet}: not a transport stream packet")]
    Packet {
        /// Which, from 0.
        packet: usize,
    },
    /// A PES packet has no stamps, or is cut.
    #[error("access unit {unit}: no presentation stamp")]
    Stamp {
        /// Which, from 0.
        unit: usize,
    },
    /// Pictures are not 40 ms apart, or the IDR picture's delay is not [`REORDER_TICKS`].
    #[error("access unit {unit}: stamps do not run at 25 pictures a second")]
    Timing {
        /// Which, from 0.
        unit: usize,
    },
    /// An IDR picture is missing where a group begins, or is elsewhere.
    #[error("access unit {unit}: groups are not {GROUP} pictures with an IDR picture in front")]
    Group {
        /// Which, from 0.
        unit: usize,
    },
    /// Sound data does not begin with a frame.
    #[error("byte {offset}: no sound frame")]
    Frame {
        /// Where.
        offset: usize,
    },
}

/// One coded picture.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// The coded bytes, in H.264 byte stream format.
    pub data: Bytes,
    /// From decoding to presentation, in ticks of 90 kHz.
    pub reorder_ticks: u64,
    /// It is an IDR picture.
    pub key: bool,
}

/// Coded pictures: whole closed groups of [`GROUP`].
#[derive(Clone, Debug)]
pub struct PictureClip {
    units: Vec<AccessUnit>,
}

impl PictureClip {
    /// Cuts the video out of a transport stream file that ffmpeg wrote with one H.264 stream. An open group at the end is
    /// left out.
    ///
    /// # Errors
    /// The file is damaged, or cannot be spliced.
    pub fn read(file: &[u8]) -> Result<Self, ClipError> {
        let mut units = Vec::new();
        let mut first_dts = None;
        for (unit, pes) in pes_packets(file)?.iter().enumerate() {
            let (pts, dts, data) = read_pes(pes).ok_or(ClipError::Stamp { unit })?;
            let first = *first_dts.get_or_insert(dts);
            let reorder_ticks = pts.checked_sub(dts).ok_or(ClipError::Timing { unit })?;
            let key = holds_idr(data);
            if dts != first + unit as u64 * PICTURE_TICKS || (key && reorder_ticks != REORDER_TICKS)
            {
                return Err(ClipError::Timing { unit });
            }
            if key != (unit as u64).is_multiple_of(GROUP) {
                return Err(ClipError::Group { unit });
            }
            units.push(AccessUnit { data: Bytes::copy_from_slice(data), reorder_ticks, key });
        }
        units.truncate(units.len() - units.len() % GROUP as usize);
        if units.is_empty() { Err(ClipError::Empty) } else { Ok(Self { units }) }
    }

    /// Pictures in the clip, a multiple of [`GROUP`].
    #[must_use]
    pub fn length(&self) -> u64 {
        self.units.len() as u64
    }

    /// The picture at a position; the clip repeats without end.
    #[must_use]
    pub fn at(&self, position: u64) -> &AccessUnit {
        &self.units[(position % self.length()) as usize]
    }
}

/// How sound is coded. Each frame can be decoded by itself, so clips can be cut between any two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundCodec {
    /// AAC LC in ADTS frames of 1024 samples.
    Aac,
    /// MPEG-1 layer II in frames of 1152 samples.
    Mp2,
}

impl SoundCodec {
    /// Ticks of 90 kHz that one frame lasts, at 48 kHz.
    #[must_use]
    pub const fn frame_ticks(self) -> u64 {
        match self {
            Self::Aac => 1_920,
            Self::Mp2 => 2_160,
        }
    }

    /// stream_type in a programme map.
    #[must_use]
    pub const fn stream_type(self) -> u8 {
        match self {
            Self::Aac => 0x0F,
            Self::Mp2 => 0x03,
        }
    }

    /// Length of the frame that `data` begins with.
    fn frame_length(self, data: &[u8]) -> Option<usize> {
        let &[a, b, c, d, e, f, ..] = data else { return None };
        match self {
            Self::Aac if a == 0xFF && b & 0xF6 == 0xF0 => {
                Some(usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f) >> 5)
            }
            // 48 kHz; layer II bit rates of ISO/IEC 11172-3, 2.4.2.3, in kbit/s.
            Self::Mp2 if a == 0xFF && b & 0xFE == 0xFC && c & 0x0C == 0x04 => {
                const KBPS: [usize; 15] =
                    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
                let rate = *KBPS.get(usize::from(c >> 4))?;
                (rate > 0).then_some(144 * rate / 48)
            }
            _ => None,
        }
    }
}

/// Coded sound.
#[derive(Clone, Debug)]
pub struct SoundClip {
    codec: SoundCodec,
    frames: Vec<Bytes>,
}

impl SoundClip {
    /// Cuts a file of bare frames; of a second at most `length_ticks` (90 kHz) are taken, so that a clip is as long as its
    /// pictures although an encoder adds frames.
    ///
    /// # Errors
    /// A frame does not begin where the one before ends.
    pub fn read(codec: SoundCodec, file: &[u8], length_ticks: u64) -> Result<Self, ClipError> {
        let data = Bytes::copy_from_slice(file);
        let wanted = length_ticks / codec.frame_ticks();
        let (mut frames, mut offset) = (Vec::new(), 0);
        while offset < data.len() && (frames.len() as u64) < wanted {
            let end = codec
                .frame_length(&data[offset..])
                .map(|length| offset + length)
                .filter(|end| *end > offset && *end <= data.len())
                .ok_or(ClipError::Frame { offset })?;
            frames.push(data.slice(offset..end));
            offset = end;
        }
        if frames.is_empty() { Err(ClipError::Empty) } else { Ok(Self { codec, frames }) }
    }

    /// How it is coded.
    #[must_use]
    pub const fn codec(&self) -> SoundCodec {
        self.codec
    }

    /// Frames in the clip.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.frames.len() as u64
    }

    /// The frame at a position; the clip repeats without end.
    #[must_use]
    pub fn at(&self, position: u64) -> &Bytes {
        &self.frames[(position % self.length()) as usize]
    }
}

/// Puts the payloads of ffmpeg's only stream together.
fn pes_packets(file: &[u8]) -> Result<Vec<Vec<u8>>, ClipError> {
    let mut out: Vec<Vec<u8>> = Vec::new();
    for (number, packet) in file.chunks(PACKET).enumerate() {
        if packet.len() != PACKET || packet[0] != 0x47 {
            return Err(ClipError::Packet { packet: number });
        }
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1FFF;
        if pid != FFMPEG_PID || packet[3] & 0x10 == 0 {
            continue;
        }
        let field = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
        let payload = packet.get(4 + field..).ok_or(ClipError::Packet { packet: number })?;
        if packet[1] & 0x40 != 0 {
            out.push(payload.to_vec());
        } else if let Some(last) = out.last_mut() {
            last.extend_from_slice(payload);
        }
    }
    Ok(out)
}

/// Presentation and decoding stamp and the data of a PES packet.
fn read_pes(pes: &[u8]) -> Option<(u64, u64, &[u8])> {
    let &[0, 0, 1, _, _, _, _, flags, header, ..] = pes else { return None };
    let pts = read_stamp(pes.get(9..14)?).filter(|_| flags & 0x80 != 0)?;
    let dts = if flags & 0x40 == 0 { pts } else { read_stamp(pes.get(14..19)?)? };
    Some((pts, dts, pes.get(9 + usize::from(header)..)?))
}

fn read_stamp(bytes: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e] = bytes else { return None };
    let (a, b, c, d, e) = (u64::from(a), u64::from(b), u64::from(c), u64::from(d), u64::from(e));
    Some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}

/// Whether an H.264 byte stream holds a slice of an IDR picture (nal_unit_type 5).
fn holds_idr(data: &[u8]) -> bool {
    data.windows(4).any(|w| w[..3] == [0, 0, 1] && w[3] & 0x1F == 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_clip_is_refused_with_the_place() {
        let refused = |file: &[u8]| PictureClip::read(file).map(|c| c.length()).unwrap_err();
        assert_eq!(refused(&[]), ClipError::Empty);
        assert_eq!(refused(&[0x47; 187]), ClipError::Packet { packet: 0 });
        let sound = |file: &[u8]| SoundClip::read(SoundCodec::Mp2, file, 90_000).unwrap_err();
        assert_eq!(sound(&[]), ClipError::Empty);
        let mut frames = [0xFF, 0xFD, 0x84].to_vec();
        frames.resize(384, 0);
        frames.extend_from_slice(&[1; 384]);
        assert_eq!(sound(&frames), ClipError::Frame { offset: 384 });
    }

    #[test]
    fn sound_is_cut_at_the_length_asked_for() {
        let mut frame = [0xFF, 0xFD, 0x84].to_vec();
        frame.resize(384, 0);
        let file = frame.repeat(60);
        let clip = SoundClip::read(SoundCodec::Mp2, &file, 90_000).unwrap();
        assert_eq!(clip.length(), 41);
        assert_eq!(clip.at(41), clip.at(0));
    }
}
