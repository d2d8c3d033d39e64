//! A picture in 864 bytes: what slates, loops and programmes are recognised by.

use std::fmt;

use serde::{Deserialize, Serialize};
use tallylight_av::Plane;

/// A picture seen from far: mean luma of 32 by 18 cells and mean Cb and Cr of 16 by 9, on the 8-bit scale. Small enough to be
/// sent with every picture and kept by the hundred, coarse enough that scaling and coding hardly change it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Signature(Box<[u8; Self::BYTES]>);

impl Signature {
    /// Cells of luma in a row.
    pub const COLUMNS: usize = 32;
    /// Rows of luma.
    pub const ROWS: usize = 18;
    /// Cells of Cb, and of Cr, in a row.
    pub const CHROMA_COLUMNS: usize = 16;
    /// Rows of Cb, and of Cr.
    pub const CHROMA_ROWS: usize = 9;
    const LUMA: usize = Self::COLUMNS * Self::ROWS;
    const CHROMA: usize = Self::CHROMA_COLUMNS * Self::CHROMA_ROWS;
    /// Bytes of all of it: luma, Cb and Cr one after another, each row by row.
    pub const BYTES: usize = Self::LUMA + 2 * Self::CHROMA;
    /// Cb and Cr of what has no colour.
    pub const NEUTRAL: u8 = 128;

    /// Reads what [`as_bytes`](Self::as_bytes) gave; `None` if it is not as long.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Box::new(bytes)))
    }

    /// All of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The cells of luma.
    #[must_use]
    pub fn luma(&self) -> &[u8] {
        self.0.split_at(Self::LUMA).0
    }

    /// The cells of Cb and those of Cr.
    #[must_use]
    pub fn chroma(&self) -> (&[u8], &[u8]) {
        self.0.split_at(Self::LUMA).1.split_at(Self::CHROMA)
    }

    /// Nothing: black, or no picture at all.
    #[must_use]
    pub fn blank() -> Self {
        Self::of(&[], 0, None)
    }

    /// Takes a picture whose luma is given as sums over blocks of 64 samples, `columns` in a row.
    pub(super) fn of(sums: &[u16], columns: usize, chroma: Option<[Plane<'_>; 2]>) -> Self {
        let mut bytes = [Self::NEUTRAL; Self::BYTES];
        let (luma, rest) = bytes.split_at_mut(Self::LUMA);
        average(sums, columns, luma);
        for (plane, cells) in chroma.iter().flatten().zip(rest.chunks_mut(Self::CHROMA)) {
            sample(plane, cells);
        }
        Self(Box::new(bytes))
    }
}

impl TryFrom<Vec<u8>> for Signature {
    type Error = &'static str;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        Self::from_bytes(&bytes).ok_or("a signature of another length")
    }
}

impl From<Signature> for Vec<u8> {
    fn from(signature: Signature) -> Self {
        signature.0.to_vec()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = self.luma().iter().map(|&cell| f64::from(cell)).sum::<f64>();
        write!(f, "Signature(mean luma {:.1})", mean / Self::LUMA as f64)
    }
}

/// Means over the luma cells, which cut blocks where their borders do not meet. A place is counted in parts of a block: as many
/// as there are cells.
fn average(sums: &[u16], columns: usize, cells: &mut [u8]) {
    let columns = columns.max(1);
    let rows = sums.len() / columns;
    if rows == 0 {
        return cells.fill(0);
    }
    let mut totals = [0u64; Signature::LUMA];
    for (y, line) in sums.chunks_exact(columns).enumerate() {
        let mut across = [0u64; Signature::COLUMNS];
        for (cell, total) in across.iter_mut().enumerate() {
            *total = overlaps(cell, columns, Signature::COLUMNS)
                .map(|(block, part)| u64::from(line.get(block).copied().unwrap_or(0)) * part)
                .sum();
        }
        for (row, part) in overlaps(y, Signature::ROWS, rows) {
            let line = totals.iter_mut().skip(row * Signature::COLUMNS);
            line.zip(&across).for_each(|(total, sum)| *total += sum * part);
        }
    }
    // Each cell weighs as many parts across as there are blocks, and so down; a block's sum is 64 samples.
    let weight = (columns * rows) as u64 * 64;
    for (cell, total) in cells.iter_mut().zip(totals) {
        *cell = u8::try_from((total + weight / 2) / weight).unwrap_or(u8::MAX);
    }
}

/// Which of `there` pieces of a length meet piece `index` of `here` pieces of the same length, each with the part that they
/// share, in units of the length by `here * there`.
fn overlaps(index: usize, there: usize, here: usize) -> impl Iterator<Item = (usize, u64)> {
    let (start, end) = (index * there, (index + 1) * there);
    (start / here..end.div_ceil(here)).map(move |piece| {
        let shared = end.min((piece + 1) * here) - start.max(piece * here);
        (piece, shared as u64)
    })
}

/// One row of chroma in so many is looked at.
const SAMPLED_ROWS: usize = 4;

/// Means over the chroma cells, of some rows.
fn sample(plane: &Plane<'_>, cells: &mut [u8]) {
    let bytes = plane.bytes_per_sample();
    let border = |index: usize, cells: usize, samples: usize| index * samples / cells;
    let shift = plane.depth.saturating_sub(8);
    for (row, line) in cells.chunks_mut(Signature::CHROMA_COLUMNS).enumerate() {
        let top = border(row, Signature::CHROMA_ROWS, plane.height);
        let bottom = border(row + 1, Signature::CHROMA_ROWS, plane.height).max(top + 1);
        for (column, cell) in line.iter_mut().enumerate() {
            let left = border(column, Signature::CHROMA_COLUMNS, plane.width);
            let right = border(column + 1, Signature::CHROMA_COLUMNS, plane.width).max(left + 1);
            let (mut sum, mut count) = (0u64, 0u64);
            for y in (top..bottom.min(plane.height)).step_by(SAMPLED_ROWS) {
                let from = y * plane.stride;
                let range = from + left * bytes..from + right.min(plane.width) * bytes;
                let samples = plane.data.get(range).unwrap_or(&[]);
                sum += u64::from(total(samples, bytes));
                count += (samples.len() / bytes) as u64;
            }
            if let Some(mean) = (sum + count / 2).checked_div(count) {
                *cell = u8::try_from(mean >> shift).unwrap_or(u8::MAX);
            }
        }
    }
}

/// The sum of samples of one or two bytes.
fn total(samples: &[u8], bytes: usize) -> u32 {
    if bytes == 1 {
        samples.iter().map(|&sample| u32::from(sample)).sum()
    } else {
        samples.as_chunks::<2>().0.iter().map(|&pair| u32::from(u16::from_le_bytes(pair))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_the_mean_of_what_it_covers() {
        // 7.5 blocks a cell across, as in 1920 by 1080; a step in the middle of the 16th.
        let (columns, rows) = (240, 135);
        let sum = |at: usize| if at % columns < 116 { 64 * 40 } else { 64 * 200 };
        let sums: Vec<u16> = (0..columns * rows).map(sum).collect();
        let signature = Signature::of(&sums, columns, None);
        for row in signature.luma().chunks(Signature::COLUMNS) {
            assert_eq!((row[0], row[14], row[16], row[31]), (40, 40, 200, 200));
            // Blocks 112.5 to 120: 3.5 of them dark.
            assert_eq!(row[15], 125);
        }
        assert_eq!(Signature::from_bytes(signature.as_bytes()), Some(signature));
        assert_eq!(Signature::from_bytes(&[0; 7]), None);
    }

    #[test]
    fn a_picture_of_a_few_blocks_has_a_signature() {
        for (columns, rows) in [(1, 1), (3, 2), (33, 19)] {
            let signature = Signature::of(&vec![64 * 90; columns * rows], columns, None);
            assert!(signature.luma().iter().all(|&cell| cell == 90));
        }
        assert!(Signature::of(&[], 0, None).luma().iter().all(|&cell| cell == 0));
    }

    #[test]
    fn chroma_is_on_the_8_bit_scale_at_any_depth_and_size() {
        for (width, height, depth) in [(160, 90, 8u8), (5, 3, 10), (641, 361, 10)] {
            let bytes = if depth > 8 { 2 } else { 1 };
            let stride = (width + 3) * bytes;
            let value = (100u16 << (depth - 8)).to_le_bytes();
            let data = value[..bytes].repeat(stride / bytes * height);
            let data = &data[..data.len() - 3 * bytes];
            let plane = Plane { width, height, stride, depth, data };
            let signature = Signature::of(&[], 0, Some([plane, plane]));
            let (cb, cr) = signature.chroma();
            assert!(cb.iter().chain(cr).all(|&cell| cell == 100), "{width}x{height}");
        }
    }
}
