//! The evidence of a fault: the bytes of the seconds before and after it, as they were received.
//!
//! What was wrong with a stream last night is in nobody's memory, and a number in a graph does not show it. So each session
//! keeps the last seconds of what it received in a ring; a fault saves those from before its onset, and what comes until some
//! seconds after it was declared. Faults close together share a clip. A clip begins and ends on a transport packet and is otherwise
//! what came, gaps and damage included: any tool opens it, and `probe` finds the same fault in it.
//!
//! The ring is cut by arrival, a fault is dated by when its media was produced, which is earlier: so a clip may begin some seconds
//! sooner than asked for, never later. The rejected alternative, to record everything and keep what turned out to matter, writes
//! a hundred streams to a disk for the sake of one.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use tallylight_model::{
    FaultKind, FaultPhase, FaultRecord, MonoTime, Severity, StreamId, WallTime,
};

/// What is received is gathered up to this many bytes, or for this long.
const BLOCK: usize = 64 << 10;
const BLOCK_LASTS: Duration = Duration::from_secs(1);
/// How much later than its media a fault may be declared, and the seconds before it still be there: a hold of 10 s, and a segment.
const DECLARED_WITHIN: Duration = Duration::from_secs(20);
/// How far the arrival may be behind the clock at a clip's end.
const BEHIND: Duration = Duration::from_secs(2);
/// Where faults follow each other without end, a clip takes up those of so long a time; the next fault begins another.
const LONGEST: Duration = Duration::from_secs(120);
/// Clips of one session in an hour: a stream that breaks again and again must not push out the evidence of all others.
const MAX_PER_HOUR: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);
/// The distances at which transport packets stand: bare, with a time stamp before each, with a parity behind each.
const STRIDES: [usize; 3] = [188, 192, 204];
/// So many sync bytes in a row are no chance.
const IN_A_ROW: usize = 5;
const SYNC: u8 = 0x47;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of what came before a fault's onset.
    pub before: Duration,
    /// Of what comes after it was declared.
    pub after: Duration,
    /// Bytes of memory for what may be needed.
    pub memory: usize,
}

/// What to do with a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Begin one of this name with what came before.
    Begin(String, Vec<Bytes>),
    /// Write on.
    Data(Bytes),
    /// It is complete.
    End,
    /// A fault was not recorded: its stream had too many this hour.
    Refused,
}

#[derive(Debug)]
struct Block {
    /// When the last of it arrived.
    last: MonoTime,
    data: Bytes,
}

#[derive(Debug)]
struct Clip {
    name: String,
    until: MonoTime,
    longest: MonoTime,
    /// The last of it, until it is known whether more comes: an end is sought in it.
    tail: Bytes,
}

/// Keeps the last seconds of one session's bytes, and says what of them to write.
#[derive(Debug)]
pub struct Recorder {
    span: Span,
    blocks: VecDeque<Block>,
    held: usize,
    /// The block under way, with its first and last arrival.
    open: Vec<u8>,
    first: MonoTime,
    last: MonoTime,
    clip: Option<Clip>,
    /// When the clips of the last hour began.
    begun: VecDeque<MonoTime>,
    out: VecDeque<Piece>,
}

impl Recorder {
    /// Begins with nothing.
    #[must_use]
    pub const fn new(span: Span) -> Self {
        Self {
            span,
            blocks: VecDeque::new(),
            held: 0,
            open: Vec::new(),
            first: MonoTime::ZERO,
            last: MonoTime::ZERO,
            clip: None,
            begun: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// Takes bytes that arrived at `at`.
    pub fn push(&mut self, at: MonoTime, mut data: &[u8]) {
        if at.since(self.first) >= BLOCK_LASTS {
            self.close_block();
        }
        while !data.is_empty() {
            if self.open.is_empty() {
                self.first = at;
            }
            let (head, rest) = data.split_at(data.len().min(BLOCK - self.open.len()));
            self.open.extend_from_slice(head);
            (self.last, data) = (at, rest);
            if self.open.len() == BLOCK {
                self.close_block();
            }
        }
        let keep = self.span.before + DECLARED_WITHIN;
        while self.blocks.front().is_some_and(|block| at.since(block.last) > keep) {
            self.forget_block();
        }
        if self.clip.as_ref().is_some_and(|clip| at >= clip.until) {
            self.close_clip();
        }
    }

    /// Lets time pass: a clip ends although nothing arrives.
    pub fn tick(&mut self, now: MonoTime) {
        if self.clip.as_ref().is_some_and(|clip| now >= clip.until + BEHIND) {
            self.close_clip();
        }
    }

    /// Ends what is under way: the stream is not watched any more.
    pub fn finish(&mut self) {
        self.close_clip();
    }

    /// Takes a fault, and returns the name of the clip that holds it. `wall` is the time of the fault's onset.
    pub fn fault(&mut self, now: MonoTime, wall: WallTime, record: &FaultRecord) -> Option<&str> {
        let shows = record.phase == FaultPhase::Begin && record.severity >= Severity::Warning;
        // What is wrong with the agent's host is in nobody's stream.
        let own = matches!(record.kind, FaultKind::PathDegraded | FaultKind::HostSaturated);
        if !shows || own {
            return None;
        }
        let until = now + self.span.after;
        match &mut self.clip {
            Some(clip) if until <= clip.longest => clip.until = until.max(clip.until),
            full => {
                if full.is_some() {
                    self.close_clip();
                }
                let from = record.onset - self.span.before;
                self.begin(now, from, clip_name(wall, &record.stream, record.kind));
            }
        }
        self.clip.as_ref().map(|clip| clip.name.as_str())
    }

    /// What to do next; drain until `None`.
    pub fn poll(&mut self) -> Option<Piece> {
        self.out.pop_front()
    }

    /// Bytes of memory in use, never more than [`Span::memory`] and a block.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held + self.open.len()
    }

    fn begin(&mut self, now: MonoTime, from: MonoTime, name: String) {
        while self.begun.front().is_some_and(|begun| now.since(*begun) >= HOUR) {
            self.begun.pop_front();
        }
        if self.begun.len() >= MAX_PER_HOUR {
            self.out.push_back(Piece::Refused);
            return;
        }
        self.close_block();
        let wanted = self.blocks.iter().filter(|block| block.last >= from);
        let mut data: Vec<Bytes> = wanted.map(|block| block.data.clone()).collect();
        // Of a stream that never came there is nothing to keep.
        let Some(start) = data.first_mut() else { return };
        let grid = Grid::find(start);
        *start = start.slice(grid.map_or(0, |grid| grid.at)..);
        let tail = data.pop().unwrap_or_default();
        self.begun.push_back(now);
        let until = now + self.span.after;
        let longest = until + LONGEST;
        self.out.push_back(Piece::Begin(name.clone(), data));
        self.clip = Some(Clip { name, until, longest, tail });
    }

    /// Ends the clip with the last whole packet; the ring keeps what is behind it.
    fn close_clip(&mut self) {
        let Some(clip) = self.clip.take() else { return };
        let mut tail = [&clip.tail, self.open.as_slice()].concat();
        let end = Grid::find(&tail).map_or(tail.len(), |grid| grid.end(&tail));
        tail.truncate(end);
        self.out.push_back(Piece::Data(tail.into()));
        self.out.push_back(Piece::End);
    }

    fn close_block(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let data = Bytes::copy_from_slice(&self.open);
        self.open.clear();
        self.held += data.len();
        if let Some(clip) = &mut self.clip {
            let before = std::mem::replace(&mut clip.tail, data.clone());
            self.out.push_back(Piece::Data(before));
        }
        self.blocks.push_back(Block { last: self.last, data });
        while self.held > self.span.memory {
            self.forget_block();
        }
    }

    fn forget_block(&mut self) {
        if let Some(block) = self.blocks.pop_front() {
            self.held -= block.data.len();
        }
    }
}

/// Where transport packets stand in a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    at: usize,
    stride: usize,
}

impl Grid {
    /// The first packet that others follow; `None` where there are too few bytes to tell, or no packets.
    fn find(bytes: &[u8]) -> Option<Self> {
        let is_grid = |at: usize, stride: usize| {
            let mut places = bytes.iter().skip(at).step_by(stride).take(IN_A_ROW);
            places.len() == IN_A_ROW && places.all(|&byte| byte == SYNC)
        };
        let places = 0..bytes.len().min(IN_A_ROW * STRIDES[2]);
        places
            .flat_map(|at| STRIDES.map(|stride| Self { at, stride }))
            .find(|grid| is_grid(grid.at, grid.stride))
    }

    /// Where the last whole packet ends, if packets stand at their places up to there; else the end.
    fn end(self, bytes: &[u8]) -> usize {
        let whole = (bytes.len() - self.at) / self.stride * self.stride;
        let end = self.at + whole;
        let last = bytes.get(end - self.stride);
        if last == Some(&SYNC) { end } else { bytes.len() }
    }
}

/// Whether a file's name is one that a clip may have: what is not, is none of our business.
#[must_use]
pub fn is_clip_name(name: &str) -> bool {
    let time = name.as_bytes().get(..20);
    name.ends_with(".ts")
        && time.is_some_and(|time| {
            let form = b"00000000T000000.000Z".iter().zip(time);
            form.into_iter().all(|(form, found)| match form {
                b'0' => found.is_ascii_digit(),
                mark => mark == found,
            })
        })
}

/// When, what stream, what kind: in an order in which names sort by time. Ids are made so that they can be file names.
fn clip_name(wall: WallTime, stream: &StreamId, kind: FaultKind) -> String {
    let time = Timestamp::from_millisecond(wall.unix_millis()).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = time.strftime("%Y%m%dT%H%M%S.%3fZ");
    format!("{time}_{}_{kind}.ts", stream.as_str().replace('/', "_"))
}

#[cfg(test)]
mod tests;
