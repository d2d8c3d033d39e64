//! Frames out of an audio elementary stream.
//!
//! Every audio coding here states the length of a frame in its header, so frames are cut by following lengths. Where a header is
//! not where it should be, the next place is sought at which a header is followed by another one.

use alloc::vec::Vec;

use tallylight_model::{Codec, Pts};

use crate::{
    Parameters, Payload, Position, bits::Bits, buffer::Sizes, cutter::Draft, elementary::Here,
    packet::PAYLOAD, pes::Stamps,
};

/// The longest frame of any of the codings: AAC in LATM, 13 bits of length and its header.
const MAX_FRAME: usize = 8194;
/// Bytes that any of the headers is read from.
const HEADER: usize = 7;
/// PES packets that may begin before the first frame is proven.
const MAX_MARKS: usize = 8;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes, the header included.
    pub(crate) length: usize,
    /// Samples per channel.
    pub(crate) samples: u32,
    /// 0 where it is not stated.
    pub(crate) rate_hz: u32,
    /// 0 where it is not stated.
    pub(crate) channels: u8,
    /// It adds to the frame before (a dependent or further substream) and is no access unit by itself.
    pub(crate) auxiliary: bool,
}

/// Cuts one audio stream. Holds less than three frames.
pub(crate) struct AudioCutter {
    pub(crate) payload: Payload,
    /// Times that a header was not where it should be, without loss.
    pub(crate) resyncs: u64,
    codec: Codec,
    bytes: Vec<u8>,
    /// How many of them are needed to go on.
    wanted: usize,
    /// The frame that stands there, once its header was read and the rest is awaited.
    awaited: Option<Frame>,
    /// Where the first of `bytes` stands.
    begin: Position,
    era: u32,
    /// Stamps by the offset in `bytes` where their PES packet begins.
    marks: Vec<(usize, Stamps)>,
    in_sync: bool,
    /// Since then frames were lost or skipped: the next search is no news.
    searching: bool,
    /// The last stamp, and the samples since then.
    clock: Option<(Pts, u64)>,
    last: Option<Frame>,
    /// How large its buffers are, by the last frame.
    sizes: Option<Sizes>,
}

impl AudioCutter {
    pub(crate) fn new(codec: Codec, payload: Payload) -> Self {
        Self {
            payload,
            resyncs: 0,
            codec,
            bytes: Vec::new(),
            wanted: HEADER,
            awaited: None,
            begin: Position::default(),
            era: 0,
            marks: Vec::new(),
            in_sync: false,
            searching: true,
            clock: None,
            last: None,
            sizes: None,
        }
    }

    pub(crate) fn parameters(&self) -> Parameters {
        let known = |value: u32| (value != 0).then_some(value);
        Parameters {
            channels: self.last.map(|frame| frame.channels).filter(|&channels| channels != 0),
            sample_rate_hz: self.last.and_then(|frame| known(frame.rate_hz)),
            ..Parameters::default()
        }
    }

    pub(crate) const fn sizes(&self) -> Option<&Sizes> {
        self.sizes.as_ref()
    }

    pub(crate) fn buffered(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn stamps(&mut self, stamps: Stamps) {
        if self.marks.len() == MAX_MARKS {
            self.marks.remove(0);
        }
        self.marks.push((self.bytes.len(), stamps));
    }

    /// Takes bytes; true if a frame is complete with them.
    pub(crate) fn push(&mut self, data: &[u8], here: &Here<'_>, ready: &mut Vec<Draft>) -> bool {
        if self.bytes.is_empty() {
            self.stand(here);
        }
        self.bytes.extend_from_slice(data);
        if self.bytes.len() < self.wanted {
            return false;
        }
        let before = ready.len();
        let mut used = 0;
        while let Some(length) = self.next(used, ready) {
            used += length;
        }
        if used > 0 {
            self.drop_front(used);
            self.stand(here);
        }
        ready.len() > before
    }

    /// Takes payloads as long as they complete no frame, and returns how many.
    pub(crate) fn carry_on<'a>(
        &mut self,
        payloads: impl Iterator<Item = &'a [u8; PAYLOAD]>,
    ) -> usize {
        let room = self.wanted.saturating_sub(self.bytes.len() + 1) / PAYLOAD;
        let within = payloads.take(if self.bytes.is_empty() { 0 } else { room });
        within.map(|data| self.bytes.extend_from_slice(data)).count()
    }

    /// Bytes are missing: the frame in progress is damaged, the next one has to be found.
    pub(crate) fn lost(&mut self, ready: &mut Vec<Draft>) {
        if self.in_sync && !self.bytes.is_empty() {
            let mut draft = self.draft(0, None);
            (draft.size, draft.damaged) = (self.bytes.len(), true);
            ready.push(draft);
        }
        self.begin_anew();
    }

    /// Ends the stream. What cannot be a whole frame is what the end of a capture cut, and no access unit.
    pub(crate) fn flush(&mut self, ready: &mut Vec<Draft>) {
        if !self.in_sync
            && let Some(frame) = parse(self.codec, &self.bytes)
            && self.bytes.len() == frame.length
        {
            self.hand_out(0, frame, ready);
        }
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.bytes.clear();
        self.wanted = HEADER;
        self.awaited = None;
        self.marks.clear();
        self.clock = None;
        (self.in_sync, self.searching) = (false, true);
    }

    /// Handles what stands at an offset; returns how many bytes are done with, `None` if more are needed.
    fn next(&mut self, at: usize, ready: &mut Vec<Draft>) -> Option<usize> {
        let rest = &self.bytes[at..];
        self.wanted = HEADER;
        if rest.len() < HEADER {
            return None;
        }
        if let Some(frame) = self.awaited.take().or_else(|| parse(self.codec, rest)) {
            // The first frame is proven by another header that follows it.
            self.wanted = frame.length + if self.in_sync { 0 } else { HEADER };
            if rest.len() < self.wanted {
                // LATM states more behind what was read.
                self.awaited = Some(frame).filter(|_| self.codec != Codec::AacLatm);
                return None;
            }
            if self.in_sync || parse(self.codec, &rest[frame.length..]).is_some() {
                (self.in_sync, self.searching) = (true, false);
                self.hand_out(at, frame, ready);
                return Some(frame.length);
            }
        }
        self.in_sync = false;
        self.resyncs += u64::from(!core::mem::replace(&mut self.searching, true));
        Some(1)
    }

    fn hand_out(&mut self, at: usize, mut frame: Frame, ready: &mut Vec<Draft>) {
        if let Some(last) = self.last.filter(|_| frame.rate_hz == 0) {
            frame = Frame { length: frame.length, ..last };
        }
        if frame.auxiliary {
            return;
        }
        let channels = self.last.replace(frame).map(|last| last.channels);
        if channels != Some(frame.channels) {
            self.sizes = Sizes::audio(self.codec, frame.channels);
        }
        let mut draft = self.draft(at, Some(frame));
        (draft.size, draft.key) = (frame.length, true);
        if self.payload != Payload::None {
            draft.data = self.bytes[at..at + frame.length].to_vec();
        }
        ready.push(draft);
    }

    /// Makes an access unit that begins at an offset, with its stamp: its PES packet's, or counted on.
    fn draft(&mut self, at: usize, frame: Option<Frame>) -> Draft {
        let begun = self.marks.iter().take_while(|(offset, _)| *offset <= at).count();
        if let Some((_, stamps)) = self.marks.drain(..begun).next_back()
            && let Some(pts) = stamps.pts
        {
            self.clock = Some((pts, 0));
        }
        let mut stamps = Stamps::default();
        if let Some((pts, samples)) = &mut self.clock {
            let rate = frame.or(self.last).map_or(0, |frame| u64::from(frame.rate_hz));
            let since = (*samples * Pts::HZ).checked_div(rate);
            stamps.pts = match (since, *samples) {
                (Some(since), _) => Some(Pts::from_ticks(pts.ticks() + since)),
                (None, 0) => Some(*pts),
                (None, _) => None,
            };
            *samples += frame.map_or(0, |frame| u64::from(frame.samples));
        }
        Draft { stamps, begin: self.begin, era: self.era, ..Draft::default() }
    }

    fn stand(&mut self, here: &Here<'_>) {
        (self.begin, self.era) = (here.position(), here.timeline.era());
    }

    fn drop_front(&mut self, count: usize) {
        self.bytes.drain(..count);
        for (offset, _) in &mut self.marks {
            *offset = offset.saturating_sub(count);
        }
    }
}

/// Reads a frame header at the begin of at least [`HEADER`] bytes.
fn parse(codec: Codec, bytes: &[u8]) -> Option<Frame> {
    let head = bytes.first_chunk::<HEADER>()?;
    let frame = match codec {
        Codec::AacAdts => adts(head),
        Codec::AacLatm => latm(bytes),
        Codec::MpegAudio => mpeg(head),
        Codec::Ac3 | Codec::Eac3 => dolby(head),
        Codec::Mpeg1Video | Codec::Mpeg2Video | Codec::H264 | Codec::Hevc => None,
    }?;
    (HEADER..=MAX_FRAME).contains(&frame.length).then_some(frame)
}

const AAC_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// ADTS (ISO/IEC 13818-7, 6.2).
fn adts(head: &[u8; HEADER]) -> Option<Frame> {
    if head[0] != 0xFF || head[1] & 0xF6 != 0xF0 {
        return None;
    }
    // Each frame's header is read twice and has many fields: they are taken out of one number.
    let [_, _, fields @ ..] = *head;
    let fields = fields.into_iter().fold(0, |fields, byte| fields << 8 | u64::from(byte));
    let field = |at: u32, bits: u32| (fields >> (40 - at - bits)) as u32 & ((1 << bits) - 1);
    let rate_hz = *AAC_RATES.get(field(2, 4) as usize)?;
    let channels = field(7, 3);
    let length = field(14, 13) as usize;
    let blocks = field(38, 2) + 1;
    Some(Frame {
        length,
        samples: 1024 * blocks,
        rate_hz,
        channels: aac_channels(channels),
        auxiliary: false,
    })
}

fn aac_channels(configuration: u32) -> u8 {
    match configuration {
        7 => 8,
        other => u8::try_from(other.min(6)).unwrap_or(0),
    }
}

/// LOAS (ISO/IEC 14496-3, 1.7.2) and as much of the stream multiplex configuration as its usual form states.
fn latm(bytes: &[u8]) -> Option<Frame> {
    let mut bits = Bits::plain(bytes);
    if bits.get(11)? != 0x2B7 {
        return None;
    }
    let length = bits.get(13)? as usize + 3;
    let (samples, rate_hz, channels) = latm_config(bits).unwrap_or((1024, 0, 0));
    Some(Frame { length, samples, rate_hz, channels, auxiliary: false })
}

fn latm_config(mut bits: Bits<'_>) -> Option<(u32, u32, u8)> {
    let (same, version) = (bits.bit()?, bits.bit()?);
    // Without a configuration of its own the frame is like those before; the second version's fields vary in length.
    if same || version {
        return None;
    }
    bits.bit()?;
    let frames = bits.get(6)? + 1;
    bits.skip(4 + 3 + 5)?;
    let rate_hz = *AAC_RATES.get(bits.get(4)? as usize)?;
    Some((1024 * frames, rate_hz, aac_channels(bits.get(4)?)))
}

/// MPEG audio (ISO/IEC 11172-3, 2.4.1.3; ISO/IEC 13818-3). The free format states no length and is not cut.
fn mpeg(head: &[u8; HEADER]) -> Option<Frame> {
    const RATES: [u32; 3] = [44_100, 48_000, 32_000];
    const BITRATES: [[u32; 15]; 5] = [
        [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    if head[0] != 0xFF || head[1] & 0xE0 != 0xE0 {
        return None;
    }
    // Version 1 halves nothing, version 2 halves the rate, version 2.5 quarters it.
    let (half, lower) = match head[1] >> 3 & 3 {
        3 => (false, 0),
        2 => (true, 1),
        0 => (true, 2),
        _ => return None,
    };
    let layer = 4 - (head[1] >> 1 & 3);
    let rate_hz = RATES.get(usize::from(head[2] >> 2 & 3))? >> lower;
    let row = match (half, layer) {
        (false, 1) => 0,
        (false, 2) => 1,
        (false, 3) => 2,
        (true, 1) => 3,
        (true, 2 | 3) => 4,
        _ => return None,
    };
    let bitrate =
        1000 * *BITRATES[row].get(usize::from(head[2] >> 4)).filter(|&&rate| rate != 0)?;
    let padding = u32::from(head[2] >> 1 & 1);
    let (samples, length) = match layer {
        1 => (384, (12 * bitrate / rate_hz + padding) * 4),
        3 if half => (576, 72 * bitrate / rate_hz + padding),
        _ => (1152, 144 * bitrate / rate_hz + padding),
    };
    let channels = if head[3] >> 6 == 3 { 1 } else { 2 };
    Some(Frame { length: length as usize, samples, rate_hz, channels, auxiliary: false })
}

/// AC-3 and Enhanced AC-3 (ETSI TS 102 366, 4.3 and E.1.2).
fn dolby(head: &[u8; HEADER]) -> Option<Frame> {
    const RATES: [u32; 3] = [48_000, 44_100, 32_000];
    if head[..2] != [0x0B, 0x77] {
        return None;
    }
    if head[5] >> 3 > 10 {
        return enhanced(head, &RATES);
    }
    const BITRATES: [u32; 19] =
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    let rate_hz = *RATES.get(usize::from(head[4] >> 6))?;
    let code = head[4] & 0x3F;
    let bitrate = *BITRATES.get(usize::from(code >> 1))?;
    let words = match rate_hz {
        48_000 => bitrate * 2,
        32_000 => bitrate * 3,
        _ => bitrate * 320 / 147 + u32::from(code & 1),
    };
    let mut bits = Bits::plain(&head[6..]);
    let mode = bits.get(3)?;
    bits.skip(if mode & 1 == 1 && mode != 1 { 2 } else { 0 })?;
    bits.skip(if mode & 4 == 4 { 2 } else { 0 })?;
    bits.skip(if mode == 2 { 2 } else { 0 })?;
    // The lower bits of the version halve and quarter the rates.
    let rate_hz = rate_hz >> (head[5] >> 3).saturating_sub(8);
    let channels = dolby_channels(mode as usize, bits.bit()?);
    Some(Frame { length: words as usize * 2, samples: 1536, rate_hz, channels, auxiliary: false })
}

fn enhanced(head: &[u8; HEADER], rates: &[u32; 3]) -> Option<Frame> {
    let mut bits = Bits::plain(&head[2..]);
    let (kind, substream) = (bits.get(2)?, bits.get(3)?);
    let length = (bits.get(11)? as usize + 1) * 2;
    let (rate, second) = (bits.get(2)? as usize, bits.get(2)? as usize);
    let (rate_hz, blocks) = match rate {
        3 => (rates.get(second)? / 2, 6),
        _ => (*rates.get(rate)?, [1, 2, 3, 6][second]),
    };
    let channels = dolby_channels(bits.get(3)? as usize, bits.bit()?);
    let auxiliary = kind == 1 || substream != 0;
    Some(Frame { length, samples: 256 * blocks, rate_hz, channels, auxiliary })
}

fn dolby_channels(mode: usize, low_frequency: bool) -> u8 {
    [2, 1, 2, 3, 3, 4, 4, 5][mode & 7] + u8::from(low_frequency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Timeline;

    fn frame(length: usize, samples: u32, rate_hz: u32, channels: u8) -> Option<Frame> {
        Some(Frame { length, samples, rate_hz, channels, auxiliary: false })
    }

    #[test]
    fn headers_state_length_and_time() {
        for (codec, bytes, expected) in [
            (
                Codec::AacAdts,
                &[0xFF, 0xF1, 0x4C, 0x80, 0x2E, 0x7F, 0xFC][..],
                frame(371, 1024, 48_000, 2),
            ),
            (Codec::AacAdts, &[0xFF, 0xF3, 0x4C, 0x80, 0x2E, 0x7F, 0xFC], None),
            (
                Codec::AacLatm,
                &[0x56, 0xE1, 0x00, 0x20, 0x00, 0x11, 0x90],
                frame(259, 1024, 48_000, 2),
            ),
            (Codec::MpegAudio, &[0xFF, 0xFD, 0xA4, 0x00, 0, 0, 0], frame(576, 1152, 48_000, 2)),
            (Codec::MpegAudio, &[0xFF, 0xFB, 0x92, 0xC0, 0, 0, 0], frame(418, 1152, 44_100, 1)),
            (Codec::MpegAudio, &[0xFF, 0xFB, 0x02, 0xC0, 0, 0, 0], None),
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 0x1C, 0x40, 0xE1], frame(1536, 1536, 48_000, 6)),
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 0x5C, 0x40, 0x40], frame(1670, 1536, 44_100, 2)),
            (Codec::Eac3, &[0x0B, 0x77, 0x02, 0xFF, 0x3F, 0x80, 0], frame(1536, 1536, 48_000, 6)),
        ] {
            assert_eq!(parse(codec, bytes), expected, "{codec} {bytes:02x?}");
        }
        let dependent = parse(Codec::Eac3, &[0x0B, 0x77, 0x42, 0xFF, 0x3F, 0x80, 0]);
        assert!(dependent.is_some_and(|frame| frame.auxiliary));
    }

    /// An AAC frame of 20 bytes and 1,024 samples at 48 kHz.
    fn aac(byte: u8) -> Vec<u8> {
        let mut bytes = alloc::vec![0xFF, 0xF1, 0x4C, 0x80, 0x02, 0x9F, 0xFC];
        bytes.resize(20, byte);
        bytes
    }

    #[test]
    fn frames_are_cut_and_stamped_however_they_lie() {
        let timeline = Timeline::default();
        let here = Here::at_start_of(&timeline);
        let stream = [aac(1), aac(2), aac(3), aac(4)].concat();
        let stamp = |ticks| Stamps { pts: Some(Pts::from_ticks(ticks)), dts: None };
        for cut in 1..stream.len() {
            let mut cutter = AudioCutter::new(Codec::AacAdts, Payload::All);
            let mut ready = Vec::new();
            cutter.stamps(stamp(90_000));
            cutter.push(&stream[..cut], &here, &mut ready);
            cutter.push(&stream[cut..], &here, &mut ready);
            let frames: Vec<_> =
                ready.iter().map(|d| (d.stamps.pts.unwrap().ticks(), d.data[9])).collect();
            assert_eq!(
                frames,
                [(90_000, 1), (91_920, 2), (93_840, 3), (95_760, 4)],
                "cut at {cut}"
            );
            assert_eq!(cutter.resyncs, 0);
        }
    }

    #[test]
    fn a_loss_damages_one_frame_and_the_next_is_found() {
        let timeline = Timeline::default();
        let here = Here::at_start_of(&timeline);
        let mut cutter = AudioCutter::new(Codec::AacAdts, Payload::All);
        let mut ready = Vec::new();
        cutter.push(&[aac(1), aac(2)].concat()[..30], &here, &mut ready);
        cutter.lost(&mut ready);
        cutter.push(&[&aac(3)[5..], &aac(4), &aac(5)].concat(), &here, &mut ready);
        let found: Vec<_> = ready.iter().map(|d| (d.damaged, d.data.get(9).copied())).collect();
        assert_eq!(found, [(false, Some(1)), (true, None), (false, Some(4)), (false, Some(5))]);
        assert_eq!(cutter.resyncs, 0);
        cutter.push(&[&[0; 9][..], &aac(6), &aac(7)].concat(), &here, &mut ready);
        assert_eq!((ready.len(), cutter.resyncs), (6, 1));
    }
}
