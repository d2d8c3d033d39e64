//! Finding packets in bytes (TR 101 290, 1.1 and 1.2).
//!
//! Synchronisation is lost with two corrupted sync bytes in a row and regained with five good ones at the distance of a packet.
//! Packets of 188 bytes are the rule; 204 (with Reed-Solomon bytes) and 192 (with a time stamp) are recognised by their distance.

use alloc::vec::Vec;

use crate::packet::{PACKET, SYNC};

/// Good sync bytes in a row that prove a packet grid.
const REGAIN: usize = 5;
/// Distances tried, the usual one first.
const STRIDES: [usize; 3] = [PACKET, 204, 192];
/// Bytes that decide whether a place is the first of five sync bytes, whatever the distance.
const WINDOW: usize = (REGAIN - 1) * 204 + 1;
/// How much is looked at in one go while searching.
const SEARCH: usize = 4096;

/// What the framer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Packets with good sync bytes, one after another.
    Packets(Run<'a>),
    /// A packet whose sync byte is corrupted: not looked at.
    Corrupted,
    /// The second corrupted sync byte in a row.
    Lost,
    /// Packets are found again, or for the first time, after so many bytes of something else.
    Gained {
        /// Bytes skipped.
        skipped: u64,
        /// Whether packets had been found before.
        again: bool,
    },
    /// Bytes passed by in vain since the search began, in steps.
    Searching {
        /// Bytes skipped since the last time.
        bytes: u64,
    },
}

/// Whole packets in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run<'a> {
    pub(crate) bytes: &'a [u8],
    /// From one packet to the next.
    pub(crate) stride: usize,
}

impl<'a> Run<'a> {
    /// The packets from the one on that begins at `at` in the bytes.
    pub(crate) fn packets(self, at: usize) -> impl Iterator<Item = &'a [u8; PACKET]> {
        let places = (at..).step_by(self.stride);
        places.map_while(move |at| self.bytes.get(at..)?.first_chunk())
    }
}

/// Cuts bytes into packets. Holds less than [`WINDOW`] plus [`SEARCH`] bytes.
pub(crate) struct Framer {
    /// Bytes not yet handed out.
    carry: Vec<u8>,
    /// The distance of packets; `None` while searching.
    stride: Option<usize>,
    /// The packet with a corrupted sync byte before this place.
    bad: Option<[u8; PACKET]>,
    skipped: u64,
    /// A search that nothing was wrong to cause: at the start, or after a cut.
    quiet: bool,
}

impl Framer {
    pub(crate) const fn new() -> Self {
        Self { carry: Vec::new(), stride: None, bad: None, skipped: 0, quiet: true }
    }

    /// Forgets a packet cut short: the next bytes begin elsewhere in the stream.
    pub(crate) fn cut(&mut self) {
        if self.stride.take().is_some() {
            self.quiet = true;
            self.skipped = 0;
        }
        self.carry.clear();
        self.bad = None;
    }

    /// Whether packets are being found.
    pub(crate) const fn in_sync(&self) -> bool {
        self.stride.is_some()
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(Frame<'_>)) {
        while !bytes.is_empty() {
            match self.stride {
                Some(stride) => bytes = self.packets(stride, bytes, emit),
                None => {
                    let (now, later) = bytes.split_at(bytes.len().min(SEARCH));
                    self.carry.extend_from_slice(now);
                    bytes = later;
                    self.search(WINDOW, emit);
                }
            }
        }
    }

    /// Ends the input: what is left is judged by itself.
    pub(crate) fn finish(&mut self, emit: &mut impl FnMut(Frame<'_>)) {
        if self.stride.is_none() {
            self.search(PACKET + 1, emit);
        }
        // A capture may end within the bytes that follow a packet in a grid of 192 or 204.
        if self.stride.is_some() && self.carry.len() >= PACKET {
            let carry = core::mem::take(&mut self.carry);
            self.one(&carry, emit);
        }
        self.carry.clear();
    }

    /// Hands out packets; returns what it left because synchronisation was lost.
    fn packets<'b>(
        &mut self,
        stride: usize,
        mut bytes: &'b [u8],
        emit: &mut impl FnMut(Frame<'_>),
    ) -> &'b [u8] {
        if !self.carry.is_empty() {
            let missing = (stride - self.carry.len()).min(bytes.len());
            let (now, later) = bytes.split_at(missing);
            self.carry.extend_from_slice(now);
            bytes = later;
            if self.carry.len() < stride {
                return bytes;
            }
            let mut whole = core::mem::take(&mut self.carry);
            let lost = self.one(&whole, emit);
            if lost {
                self.lose(&whole, emit);
                return bytes;
            }
            whole.clear();
            self.carry = whole;
        }
        while bytes.len() >= stride {
            let good = bytes.chunks_exact(stride).take_while(|place| place[0] == SYNC).count();
            let (good, later) = bytes.split_at(good * stride);
            self.good(good, stride, emit);
            bytes = later;
            if let Some((now, later)) = bytes.split_at_checked(stride) {
                bytes = later;
                if self.corrupted(now, emit) {
                    self.lose(now, emit);
                    return bytes;
                }
            }
        }
        self.carry.extend_from_slice(bytes);
        &[]
    }

    /// Handles what stands at one packet's place; true if synchronisation is lost with it.
    fn one(&mut self, place: &[u8], emit: &mut impl FnMut(Frame<'_>)) -> bool {
        if place[0] != SYNC {
            return self.corrupted(place, emit);
        }
        self.good(place, place.len(), emit);
        false
    }

    fn good(&mut self, bytes: &[u8], stride: usize, emit: &mut impl FnMut(Frame<'_>)) {
        if !bytes.is_empty() {
            self.bad = None;
            emit(Frame::Packets(Run { bytes, stride }));
        }
    }

    /// Handles a packet without its sync byte; true if synchronisation is lost with it.
    fn corrupted(&mut self, place: &[u8], emit: &mut impl FnMut(Frame<'_>)) -> bool {
        emit(Frame::Corrupted);
        let again = self.bad.is_some();
        self.bad = self.bad.or(place.first_chunk().copied());
        again
    }

    /// Searches again from the first corrupted sync byte on.
    fn lose(&mut self, second: &[u8], emit: &mut impl FnMut(Frame<'_>)) {
        emit(Frame::Lost);
        self.carry.clear();
        if let Some(first) = self.bad.take() {
            self.carry.extend_from_slice(&first);
        }
        self.carry.extend_from_slice(second);
        self.stride = None;
        self.quiet = false;
        self.skipped = 0;
    }

    /// Looks for a grid in the carried bytes; a place is judged once `window` bytes from it are there.
    fn search(&mut self, window: usize, emit: &mut impl FnMut(Frame<'_>)) {
        while self.stride.is_none() {
            let places = (self.carry.len() + 1).saturating_sub(window);
            let grid = |at: usize| STRIDES.into_iter().find(|&s| is_grid(&self.carry[at..], s));
            let found = (0..places).find_map(|at| Some((at, grid(at)?)));
            let passed = found.map_or(places, |(at, _)| at);
            if passed > 0 {
                self.skipped += passed as u64;
                emit(Frame::Searching { bytes: passed as u64 });
            }
            self.carry.drain(..passed);
            let Some((_, stride)) = found else { return };
            emit(Frame::Gained { skipped: self.skipped, again: !self.quiet });
            self.stride = Some(stride);
            self.skipped = 0;
            let carry = core::mem::take(&mut self.carry);
            let rest = self.packets(stride, &carry, emit);
            self.carry.extend_from_slice(rest);
        }
    }
}

/// Whether sync bytes stand at this distance: five of them, or as many as there are at the end of the input, but two.
fn is_grid(bytes: &[u8], stride: usize) -> bool {
    let mut places = bytes.iter().step_by(stride).take(REGAIN);
    places.len() >= 2 && places.all(|&byte| byte == SYNC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    /// What is found, a letter each: packets by number, `x` corrupted, `L` lost, `G` gained.
    fn frames(bytes: &[u8], chunk: usize) -> String {
        let mut framer = Framer::new();
        let mut found = String::new();
        let mut emit = |frame: Frame<'_>| match frame {
            Frame::Packets(run) => {
                run.packets(0).for_each(|raw| found += &(raw[3] % 10).to_string());
            }
            Frame::Corrupted => found += "x",
            Frame::Lost => found += "L",
            Frame::Gained { again, .. } => found += if again { "G" } else { "g" },
            Frame::Searching { .. } => {}
        };
        for part in bytes.chunks(chunk) {
            framer.push(part, &mut emit);
        }
        framer.finish(&mut emit);
        found
    }

    fn stream(packets: u8, stride: usize) -> Vec<u8> {
        (0..packets)
            .flat_map(|i| {
                let mut raw = alloc::vec![0u8; stride];
                (raw[0], raw[3]) = (SYNC, i);
                raw
            })
            .collect()
    }

    fn check(bytes: &[u8], expected: &str) {
        for chunk in [1, 7, 187, 188, 189, 1000, 1316, 100_000] {
            assert_eq!(frames(bytes, chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn packets_are_found_however_the_bytes_are_cut() {
        check(&stream(9, 188), "g012345678");
        check(&stream(9, 204), "g012345678");
        check(&stream(9, 192), "g012345678");
        check(&stream(3, 188), "g012");
        check(&[&[1u8; 333][..], &stream(9, 188)].concat(), "g012345678");
        check(&[0u8; 5000], "");
        check(&[], "");
    }

    #[test]
    fn one_corrupted_sync_byte_costs_one_packet() {
        let mut bytes = stream(9, 188);
        bytes[6 * 188] = 0;
        check(&bytes, "g012345x78");
    }

    #[test]
    fn two_in_a_row_lose_synchronisation_and_five_good_regain_it() {
        let mut bytes = stream(12, 188);
        bytes[5 * 188] = 0;
        bytes[6 * 188] = 0;
        check(&bytes, "g01234xxLG78901");
        let shifted = [&stream(6, 188)[..1100], &stream(9, 188)].concat();
        check(&shifted, "g012345xxLG12345678");
    }
}
