//! Pictures out of a video elementary stream.
//!
//! H.264, HEVC and MPEG video share one syntax of start codes; what follows a start code (a NAL unit, or an MPEG header) is here
//! called an element. The cutter finds elements, keeps the first bytes of each until it knows what it is, and then lets it
//! begin a new access unit or join the current one. Bytes are copied only if somebody wants the picture's data: of a picture that
//! is not key, nothing after its first slice header is.
//!
//! Zero bytes before a start code are stuffing in all of these codings and never count or get copied.

use alloc::vec::Vec;

use tallylight_model::{Codec, PictureType};

use crate::{
    Parameters, Payload, Position, cutter::Draft, elementary::Here, h264, hevc, mpeg_video,
    pes::Stamps,
};

/// The largest picture whose data is kept: four times what level 5.1 allows an I picture at usual rates.
const MAX_PICTURE: usize = 4 << 20;
/// The first bytes of an element, enough for slice headers, the first messages of an SEI and parameter sets.
const HEAD: usize = 128;

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
    head: [u8; HEAD],
    head_len: usize,
    /// Bytes so far, without the start code.
    size: usize,
    begin: Position,
    place: u64,
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

/// Cuts one video stream. Holds at most one picture of [`MAX_PICTURE`] bytes.
pub(crate) struct VideoCutter {
    pub(crate) payload: Payload,
    syntax: Syntax,
    /// Zero bytes that may belong to a start code or be stuffing.
    zeros: usize,
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
            syntax,
            zeros: 0,
            open: None,
            unit: None,
            pending: Pending::default(),
            used: 0,
        }
    }

    pub(crate) fn parameters(&self) -> Parameters {
        match &self.syntax {
            Syntax::H264(reader) => reader.parameters,
            Syntax::Hevc(reader) => reader.parameters,
            Syntax::Mpeg(reader) => reader.parameters,
        }
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

    /// Bytes are missing: the element cannot be followed, the access unit is damaged.
    pub(crate) fn lost(&mut self) {
        self.zeros = 0;
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
        self.close(ready);
        self.pending = Pending { number: self.pending.number + 1, ..Pending::default() };
    }

    fn begin_element(&mut self, here: &Here<'_>) {
        self.open = Some(Open {
            head: [0; HEAD],
            head_len: 0,
            size: 0,
            begin: here.position(),
            place: here.place,
            era: here.timeline.era(),
            pending: self.pending,
            known: None,
        });
    }

    /// Ends the element, and drops the zero bytes after it.
    fn end_element(&mut self, ready: &mut Vec<Draft>) -> bool {
        self.zeros = 0;
        let began = self.classify(ready);
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
            open.head[open.head_len..][..now.len()].copy_from_slice(now);
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
        let Some(mut open) = self.open.take_if(|open| open.known.is_none() && open.head_len > 0)
        else {
            return false;
        };
        let element = self.syntax.classify(&open.head[..open.head_len]);
        let has_picture = self.unit.as_ref().is_some_and(|unit| unit.has_picture);
        let begins = match element {
            Element::Part | Element::Filler => false,
            Element::Prefix(_) => self.unit.is_none() || has_picture,
            Element::Picture(start) => self.unit.is_none() || has_picture && !start.second_field,
        };
        if begins {
            self.close(ready);
            self.begin(&open);
        }
        open.known = Some(if element == Element::Filler { Known::Filler } else { Known::Counted });
        if let Some(unit) = &mut self.unit {
            unit.join(element, self.payload);
        }
        if element != Element::Filler {
            self.copy(&[0, 0, 0, 1]);
            self.copy(&open.head[..open.head_len]);
        }
        self.open = Some(open);
        begins
    }

    fn begin(&mut self, open: &Open) {
        let mut unit = Unit { copying: self.payload != Payload::None, ..Unit::default() };
        unit.draft.begin = open.begin;
        (unit.draft.place, unit.draft.era) = (open.place, open.era);
        if open.pending.number > self.used {
            self.used = open.pending.number;
            unit.draft.stamps = open.pending.stamps;
            unit.random_access = open.pending.random_access;
        }
        self.unit = Some(unit);
    }

    fn close(&mut self, ready: &mut Vec<Draft>) {
        // What precedes a picture that never came is no access unit.
        ready.extend(self.unit.take().filter(|unit| unit.has_picture).map(|unit| unit.draft));
    }

    fn copy(&mut self, bytes: &[u8]) {
        let Some(unit) = self.unit.as_mut().filter(|unit| unit.copying) else { return };
        if unit.draft.data.len() + bytes.len() > MAX_PICTURE {
            unit.copying = false;
            unit.draft.oversized = true;
            unit.draft.data = Vec::new();
            return;
        }
        unit.draft.data.extend_from_slice(bytes);
    }
}

impl Unit {
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
    let mut at = 2;
    let found = loop {
        match bytes.get(at) {
            None => break bytes.len(),
            Some(0) => at += 1,
            Some(1) if bytes[at - 1] == 0 && bytes[at - 2] == 0 => break at - 2,
            Some(_) => at += 3,
        }
    };
    bytes[..found].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}
