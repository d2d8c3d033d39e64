//! Pictures out of a video elementary stream.
//!
//! H.264, HEVC and MPEG video share one syntax of start codes; what follows a start code (a NAL unit, or an MPEG header) is here
//! called an element. The cutter finds elements, keeps the first bytes of each until it knows what it is, and then lets it
//! begin a new access unit or join the current one. Bytes are copied only if somebody wants the picture's data: of a picture that
//! is not key, nothing after its first slice header is.
//!
//! Zero bytes before a start code are stuffing in all of these codings and never count or get copied.

use alloc::vec::Vec;
use core::array::from_fn;

use tallylight_model::{Codec, PictureType};

use crate::{
    Captions, Parameters, Payload, Position, buffer::Sizes, caption::Held, cutter::Draft,
    elementary::Here, h264, hevc, mpeg_video, packet::PAYLOAD, pes::Stamps,
};

/// The largest picture whose data is kept: four times what level 5.1 allows an I picture at usual rates.
const MAX_PICTURE: usize = 4 << 20;
/// What pictures in progress may hold over all streams of an analyser; with more than 16 of them each has its share.
const MAX_PICTURES: usize = 64 << 20;
/// The first bytes of an element, enough for slice headers, the first messages of an SEI and parameter sets. Captions take up to 107
/// of them; encoders give them an SEI of their own or put them behind some 20 to 60 bytes of timing and mastering, which cuts off their
/// last triplets alone. More would be copied of every slice.
pub(crate) const HEAD: usize = 128;

/// What an element is to access units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// It belongs to the picture that is being read.
    Part,
    /// It precedes a picture: after a picture it begins the next access unit.
    Prefix(Prefix),
    /// A picture begins with it.
    Picture(Start),
    /// Filler: of no meaning, and not counted.
    Filler,
}

/// What a prefix says of the picture that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Nothing that matters here.
    Other,
    /// Decoding can start there if it is an I picture.
    Entry,
}

/// What a picture's first header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) picture: Option<PictureType>,
    pub(crate) entry: Entry,
    /// It is the second field of the picture before, and belongs to the same access unit.
    pub(crate) second_field: bool,
}

/// Whether decoding can start at a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It can.
    Always,
    /// It can if it is an I picture and a prefix, or the transport packet, says so.
    IfMarked,
    /// It can if it is an I picture and a prefix says so.
    #[default]
    IfPrefixed,
}

/// How elements are read.
enum Syntax {
    H264(h264::Reader),
    Hevc(hevc::Reader),
    Mpeg(mpeg_video::Reader),
}

impl Syntax {
    fn classify(&mut self, head: &[u8]) -> Element {
        match self {
            Self::H264(reader) => reader.classify(head),
            Self::Hevc(reader) => reader.classify(head),
            Self::Mpeg(reader) => reader.classify(head),
        }
    }

    fn captions(&mut self) -> &mut Held {
        match self {
            Self::H264(reader) => &mut reader.captions,
            Self::Hevc(reader) => &mut reader.captions,
            Self::Mpeg(reader) => &mut reader.captions,
        }
    }
}

/// The stamps of a PES packet, numbered, until an access unit begins in it.
#[derive(Clone, Copy, Default)]
struct Pending {
    number: u64,
    stamps: Stamps,
    random_access: bool,
}

/// The element that is being read.
struct Open {
    /// How many of its first bytes are there.
    head_len: usize,
    /// Bytes so far, without the start code.
    size: usize,
    begin: Position,
    era: u32,
    pending: Pending,
    known: Option<Known>,
}

/// What became of an element once it was known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Counted,
    Filler,
}

/// The access unit that is being read.
#[derive(Default)]
struct Unit {
    draft: Draft,
    has_picture: bool,
    entry: bool,
    random_access: bool,
    copying: bool,
}

/// Cuts one video stream. Holds at most one picture.
pub(crate) struct VideoCutter {
    pub(crate) payload: Payload,
    /// The largest picture whose data is kept, in bytes.
    max_picture: usize,
    syntax: Syntax,
    pub(crate) captions: Captions,
    /// Zero bytes that may belong to a start code or be stuffing.
    zeros: usize,
    /// The first bytes of the element that is being read.
    head: [u8; HEAD],
    open: Option<Open>,
    unit: Option<Unit>,
    pending: Pending,
    /// The stamps used last.
    used: u64,
}

impl VideoCutter {
    pub(crate) fn new(codec: Codec, payload: Payload) -> Self {
        let syntax = match codec {
            Codec::H264 => Syntax::H264(h264::Reader::default()),
            Codec::Hevc => Syntax::Hevc(hevc::Reader::default()),
            _ => Syntax::Mpeg(mpeg_video::Reader::default()),
        };
        Self {
            payload,
            max_picture: MAX_PICTURE,
            syntax,
            captions: Captions::default(),
            zeros: 0,
            head: [0; HEAD],
            open: None,
            unit: None,
            pending: Pending::default(),
            used: 0,
        }
    }

    /// Shares what pictures in progress may hold with other streams.
    pub(crate) fn share(&mut self, streams: usize) {
        self.max_picture = (MAX_PICTURES / streams.max(1)).min(MAX_PICTURE);
    }

    pub(crate) fn parameters(&self) -> Parameters {
        match &self.syntax {
            Syntax::H264(reader) => reader.parameters,
            Syntax::Hevc(reader) => reader.parameters,
            Syntax::Mpeg(reader) => reader.parameters,
        }
    }

    pub(crate) fn sizes(&self) -> Option<&Sizes> {
        match &self.syntax {
            Syntax::H264(reader) => reader.sizes.as_ref(),
            Syntax::Hevc(reader) => reader.sizes.as_ref(),
            Syntax::Mpeg(reader) => reader.sizes.as_ref(),
        }
    }

    pub(crate) fn following(&self) -> Option<u64> {
        Some(self.unit.as_ref()?.draft.begin.packet)
    }

    pub(crate) fn stamps(&mut self, stamps: Stamps, random_access: bool) {
        let number = self.pending.number + 1;
        self.pending = Pending { number, stamps, random_access };
    }

    /// Takes bytes; true if an access unit began with them.
    pub(crate) fn push(
        &mut self,
        mut rest: &[u8],
        here: &Here<'_>,
        ready: &mut Vec<Draft>,
    ) -> bool {
        let mut began = false;
        loop {
            let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
            let Some(&next) = rest.get(zeros) else {
                self.zeros += zeros;
                return began;
            };
            self.zeros += zeros;
            if next == 1 && self.zeros >= 2 {
                began |= self.end_element(ready);
                self.begin_element(here);
                rest = &rest[zeros + 1..];
                continue;
            }
            let content = &rest[zeros..];
            let end = next_start(content);
            began |= self.feed_zeros(ready);
            began |= self.feed(&content[..end], ready);
            rest = &content[end..];
        }
    }

    /// Takes payloads as long as they lie within an element, and returns how many.
    pub(crate) fn carry_on<'a>(
        &mut self,
        payloads: impl Iterator<Item = &'a [u8; PAYLOAD]>,
    ) -> usize {
        let Some(Open { known: Some(known), .. }) = self.open else { return 0 };
        let copying = known == Known::Counted && self.unit.as_ref().is_some_and(|it| it.copying);
        let mut taken = 0;
        if self.zeros == 0 {
            for data in payloads {
                let within = !may_start(data) || !has_suspect(data) || start_code(data).is_none();
                if !within || data.ends_with(&[0]) {
                    break;
                }
                if copying {
                    self.copy(data);
                }
                taken += 1;
            }
        }
        if let Some(open) = &mut self.open {
            open.size += taken * PAYLOAD;
        }
        taken
    }

    /// Bytes are missing: the element cannot be followed, the access unit is damaged.
    pub(crate) fn lost(&mut self, ready: &mut Vec<Draft>) {
        self.zeros = 0;
        self.classify(ready);
        if let Some(open) = self.open.take()
            && let Some(unit) = &mut self.unit
            && open.known == Some(Known::Counted)
        {
            unit.draft.size += 3 + open.size;
        }
        if let Some(unit) = &mut self.unit {
            unit.draft.damaged = true;
        }
    }

    pub(crate) fn flush(&mut self, ready: &mut Vec<Draft>) {
        self.end_element(ready);
        if let Some(unit) = &mut self.unit {
            unit.draft.cut = true;
        }
        close(&mut self.unit, ready);
        self.pending = Pending { number: self.pending.number + 1, ..Pending::default() };
    }

    fn begin_element(&mut self, here: &Here<'_>) {
        self.open = Some(Open {
            head_len: 0,
            size: 0,
            begin: here.position(),
            era: here.timeline.era(),
            pending: self.pending,
            known: None,
        });
    }

    /// Ends the element, and drops the zero bytes after it.
    fn end_element(&mut self, ready: &mut Vec<Draft>) -> bool {
        let began = self.classify(ready);
        // The last bytes of an MPEG header may be zero; those of a NAL unit never are.
        if matches!(self.syntax, Syntax::Mpeg(_)) {
            self.copy(&[0; 3][..self.zeros.saturating_sub(2).min(3)]);
        }
        self.zeros = 0;
        if let Some(open) = self.open.take()
            && let Some(unit) = &mut self.unit
            && open.known == Some(Known::Counted)
        {
            unit.draft.size += 3 + open.size;
        }
        began
    }

    /// Zero bytes turned out to be content.
    fn feed_zeros(&mut self, ready: &mut Vec<Draft>) -> bool {
        const ZEROS: [u8; 64] = [0; 64];
        let mut began = false;
        while self.zeros > 0 {
            let count = self.zeros.min(ZEROS.len());
            self.zeros -= count;
            began |= self.feed(&ZEROS[..count], ready);
        }
        began
    }

    fn feed(&mut self, mut bytes: &[u8], ready: &mut Vec<Draft>) -> bool {
        let Some(open) = &mut self.open else { return false };
        open.size += bytes.len();
        let mut began = false;
        if open.known.is_none() {
            let (now, later) = bytes.split_at(bytes.len().min(HEAD - open.head_len));
            self.head[open.head_len..][..now.len()].copy_from_slice(now);
            open.head_len += now.len();
            bytes = later;
            if open.head_len < HEAD {
                return false;
            }
            began = self.classify(ready);
        }
        if self.open.as_ref().is_some_and(|open| open.known == Some(Known::Counted)) {
            self.copy(bytes);
        }
        began
    }

    /// Finds out what the element is, once; true if an access unit begins with it.
    fn classify(&mut self, ready: &mut Vec<Draft>) -> bool {
        let Some(open) = self.open.as_mut().filter(|it| it.known.is_none() && it.head_len > 0)
        else {
            return false;
        };
        let head = &self.head[..open.head_len];
        let element = self.syntax.classify(head);
        let held = core::mem::take(self.syntax.captions());
        if held.any() {
            self.captions.note(held, open.begin);
        }
        let has_picture = self.unit.as_ref().is_some_and(|unit| unit.has_picture);
        let begins = match element {
            Element::Part | Element::Filler => false,
            Element::Prefix(_) => self.unit.is_none() || has_picture,
            Element::Picture(start) => self.unit.is_none() || has_picture && !start.second_field,
        };
        if begins {
            close(&mut self.unit, ready);
            self.unit = Some(Unit::begin(open, self.payload, &mut self.used));
        }
        let is_filler = element == Element::Filler;
        open.known = Some(if is_filler { Known::Filler } else { Known::Counted });
        if let Some(unit) = &mut self.unit {
            unit.join(element, self.payload);
            if !is_filler {
                unit.copy(&[0, 0, 0, 1], self.max_picture);
                unit.copy(head, self.max_picture);
            }
        }
        begins
    }

    fn copy(&mut self, bytes: &[u8]) {
        if let Some(unit) = &mut self.unit {
            unit.copy(bytes, self.max_picture);
        }
    }
}

/// Ends an access unit. What precedes a picture that never came is none.
fn close(unit: &mut Option<Unit>, ready: &mut Vec<Draft>) {
    if let Some(unit) = unit.take()
        && unit.has_picture
    {
        ready.push(unit.draft);
    }
}

impl Unit {
    /// It begins with an element, with the stamps of its PES packet unless those were used.
    fn begin(open: &Open, payload: Payload, used: &mut u64) -> Self {
        let mut unit = Self { copying: payload != Payload::None, ..Self::default() };
        unit.draft.begin = open.begin;
        unit.draft.era = open.era;
        if open.pending.number > *used {
            *used = open.pending.number;
            unit.draft.stamps = open.pending.stamps;
            unit.random_access = open.pending.random_access;
        }
        unit
    }

    fn copy(&mut self, bytes: &[u8], most: usize) {
        if !self.copying {
            return;
        }
        let draft = &mut self.draft;
        if draft.data.len() + bytes.len() > most {
            self.copying = false;
            draft.oversized = true;
            draft.data = Vec::new();
            return;
        }
        draft.data.extend_from_slice(bytes);
    }

    fn join(&mut self, element: Element, payload: Payload) {
        match element {
            Element::Prefix(Prefix::Entry) => self.entry = true,
            Element::Picture(start) if !self.has_picture => {
                self.has_picture = true;
                let intra = start.picture == Some(PictureType::I);
                let draft = &mut self.draft;
                draft.picture = start.picture;
                draft.key = match start.entry {
                    Entry::Always => true,
                    Entry::IfMarked => intra && (self.entry || self.random_access),
                    Entry::IfPrefixed => intra && self.entry,
                };
                if payload == Payload::Keys && !draft.key {
                    self.copying = false;
                    draft.data = Vec::new();
                }
            }
            _ => {}
        }
    }
}

/// Where content ends: before the zero bytes of the next start code, or before those that end it for the time being.
fn next_start(bytes: &[u8]) -> usize {
    // Many elements are short: what is near is looked at first.
    let (near, far) = bytes.split_at(bytes.len().min(BLOCK));
    let may_start = near.first_chunk::<BLOCK>().is_none_or(has_suspect) || may_start(far);
    let found = may_start.then(|| start_code(bytes)).flatten();
    let content = &bytes[..found.unwrap_or(bytes.len())];
    content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Finds 00 00 01. However it lies, it has a pair of bytes at an even place that is 00 00 or 00 01.
fn start_code(bytes: &[u8]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    // One by one they are looked at only in a block that has any.
    let mut suspects = blocks.iter().enumerate().filter(|(_, block)| has_suspect(block));
    let found = suspects.find_map(|(i, block)| start_code_within(bytes, i * BLOCK, block));
    found.or_else(|| start_code_within(bytes, blocks.len() * BLOCK, rest))
}

/// The same in a part that begins at an even place.
fn start_code_within(bytes: &[u8], from: usize, part: &[u8]) -> Option<usize> {
    let pairs = part.as_chunks().0.iter().zip((from..).step_by(2));
    pairs.filter(|(pair, _)| is_suspect(**pair)).find_map(|(pair, at)| match pair {
        [_, 0] => (bytes.get(at + 2) == Some(&1)).then_some(at),
        _ => at.checked_sub(1).filter(|&before| bytes[before] == 0),
    })
}

fn is_suspect(pair: [u8; 2]) -> bool {
    u16::from_le_bytes(pair) & 0xFEFF == 0
}

const BLOCK: usize = 32;

fn has_suspect<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.as_chunks().0.iter().fold(0, |found, &pair| found | u16::from(is_suspect(pair))) != 0
}

/// Whether a start code may begin in these bytes or with the one before them.
///
/// Every byte of every video stream passes here. Suspect pairs are rare in coded bytes. So the least byte is taken of each place
/// of all blocks, which compilers turn into two vector instructions for 16 bytes; a pair that is not suspect among these is so
/// nowhere.
#[inline(always)]
fn may_start(bytes: &[u8]) -> bool {
    // The last block overlaps the one before; it may begin at an odd place, which does not matter within it.
    let Some(&last) = bytes.last_chunk::<BLOCK>() else { return true };
    let lower = |least: [u8; BLOCK], block: &[u8; BLOCK]| from_fn(|i| least[i].min(block[i]));
    let least = bytes.as_chunks().0.iter().fold(last, lower);
    has_suspect(&least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Timeline;
    use alloc::{string::String, vec};
    use tallylight_model::Pts;

    const AUD: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0];
    const SPS: &[u8] = &[0, 0, 0, 1, 0x67, 0x64];
    const RECOVERY: &[u8] = &[0, 0, 1, 0x06, 0x06, 0x01, 0xC4, 0x80];
    const IDR: &[u8] = &[0, 0, 1, 0x65, 0x88, 0x84, 7];
    const I: &[u8] = &[0, 0, 1, 0x41, 0x88, 0x84, 7];
    const P: &[u8] = &[0, 0, 1, 0x41, 0x98, 0x84, 7];
    /// A further slice of the same picture.
    const MORE: &[u8] = &[0, 0, 1, 0x41, 0x58, 0x84, 7];
    const FILLER: &[u8] = &[0, 0, 1, 0x0C, 0xFF, 0xFF, 0xFF, 0x80];

    /// Cuts PES packets with these stamps (0 for none) into chunks.
    fn cut(codec: Codec, packets: &[(u64, &[&[u8]])], chunk: usize) -> Vec<Draft> {
        let timeline = Timeline::default();
        let here = Here::at_start_of(&timeline);
        let mut cutter = VideoCutter::new(codec, Payload::All);
        let mut ready = Vec::new();
        for (pts, parts) in packets {
            if *pts != 0 {
                let pts = Some(Pts::from_ticks(*pts));
                cutter.stamps(Stamps { pts, dts: None }, pts == Some(Pts::from_ticks(77)));
            }
            for bytes in parts.concat().chunks(chunk) {
                cutter.push(bytes, &here, &mut ready);
            }
        }
        cutter.flush(&mut ready);
        ready
    }

    /// Each access unit as its stamp, type, a mark for key ones, and size.
    fn check(codec: Codec, packets: &[(u64, &[&[u8]])], expected: &str) {
        for chunk in [1, 2, 3, 5, 1000] {
            let units = cut(codec, packets, chunk);
            let found: Vec<String> = units
                .iter()
                .map(|unit| {
                    let pts = unit.stamps.pts.map_or(0, Pts::ticks);
                    let kind = unit.picture.map_or("?".into(), |p| alloc::format!("{p:?}"));
                    let key = if unit.key { "!" } else { "" };
                    alloc::format!("{pts}{kind}{key}{}", unit.size)
                })
                .collect();
            assert_eq!(found.join(" "), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn a_start_code_is_found_wherever_it_lies() {
        // What may be taken for one at first sight is everywhere.
        for filler in [&[7, 0, 0, 2][..], &[0, 1], &[1, 0, 1, 3, 0], &[9, 0, 0, 3, 0, 0], &[0xFF]] {
            for length in 0..200 {
                let plain: Vec<u8> = filler.iter().copied().cycle().take(length).collect();
                assert_eq!(start_code(&plain), None);
                for at in 0..length.saturating_sub(2) {
                    let mut bytes = plain.clone();
                    bytes[at..at + 3].copy_from_slice(&[0, 0, 1]);
                    let first = bytes.windows(3).position(|three| three == [0, 0, 1]);
                    assert_eq!(start_code(&bytes), first, "at {at} of {length} in {filler:?}");
                }
            }
        }
    }

    #[test]
    fn stamps_are_those_of_the_access_unit_that_begins_in_the_packet() {
        check(
            Codec::H264,
            &[(10, &[AUD, SPS, IDR]), (20, &[AUD, P]), (30, &[AUD, P])],
            "10I!17 20P12 30P12",
        );
        // Two in one packet, and one that goes on in the next, whose stamp is for the one after.
        check(
            Codec::H264,
            &[(10, &[AUD, IDR, AUD, P]), (20, &[MORE, MORE, AUD, P])],
            "10I!12 0P26 20P12",
        );
        // A start code that lies across the border begins in the packet that has its end.
        check(
            Codec::H264,
            &[(10, &[AUD, IDR, &[0, 0]]), (20, &[&[0, 1, 9, 0xF0], P])],
            "10I!12 20P12",
        );
        // Small pictures without delimiters.
        check(Codec::H264, &[(10, &[IDR]), (20, &[P]), (30, &[P, MORE])], "10I!7 20P7 30P14");
    }

    #[test]
    fn a_picture_is_key_if_decoding_can_start_there() {
        check(Codec::H264, &[(10, &[AUD, RECOVERY, I]), (20, &[AUD, I])], "10I!20 20I12");
        check(Codec::H264, &[(77, &[AUD, I]), (20, &[AUD, RECOVERY, P])], "77I!12 20P20");
        let picture = |kind: u8| vec![0, 0, 1, 0, 0, kind << 3, 0, 0, 0, 0, 1, 1, 0x55];
        let sequence: &[u8] = &[0, 0, 1, 0xB3, 0x2D, 2, 0x40, 0x33];
        check(
            Codec::Mpeg2Video,
            &[(10, &[sequence, &picture(1)]), (20, &[&picture(3)]), (30, &[&picture(1)])],
            "10I!19 20B11 30I11",
        );
        check(
            Codec::Hevc,
            &[(10, &[&[0, 0, 1, 0x26, 1, 0xAC, 9]]), (20, &[&[0, 0, 1, 2, 1, 0xD0, 9]])],
            "10I!7 20P7",
        );
    }

    #[test]
    fn filler_and_stuffing_are_neither_counted_nor_handed_out() {
        let stuffed: &[&[u8]] = &[AUD, IDR, FILLER, &[0; 500], MORE, &[0; 300]];
        check(Codec::H264, &[(10, stuffed), (20, &[AUD, P])], "10I!19 20P12");
        let unit = &cut(Codec::H264, &[(10, stuffed)], 64)[0];
        let plain = [&[0, 0, 0, 1], &AUD[4..], &[0, 0, 0, 1], &IDR[3..], &[0, 0, 0, 1], &MORE[3..]];
        assert_eq!(unit.data, plain.concat());
    }

    #[test]
    fn a_loss_damages_the_picture_that_it_cuts() {
        let timeline = Timeline::default();
        let here = Here::at_start_of(&timeline);
        let mut cutter = VideoCutter::new(Codec::H264, Payload::All);
        let mut ready = Vec::new();
        cutter.push(&[AUD, IDR, AUD, P].concat(), &here, &mut ready);
        cutter.lost(&mut ready);
        cutter.push(&[&[1, 2, 3], MORE, AUD, P, AUD, P].concat(), &here, &mut ready);
        cutter.flush(&mut ready);
        let damaged: Vec<_> = ready.iter().map(|unit| (unit.damaged, unit.cut)).collect();
        assert_eq!(damaged, [(false, false), (true, false), (false, false), (false, true)]);
    }

    #[test]
    fn a_picture_that_is_too_large_is_measured_but_not_kept() {
        let large = vec![0xAA; MAX_PICTURE];
        let units = cut(Codec::H264, &[(10, &[AUD, IDR, &large]), (20, &[AUD, P])], 4096);
        assert_eq!(
            (units[0].size, units[0].oversized, units[0].data.len()),
            (12 + MAX_PICTURE, true, 0)
        );
        assert_eq!((units[1].oversized, units[1].data.len()), (false, 14));
    }
}
