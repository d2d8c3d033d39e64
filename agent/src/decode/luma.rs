//! Picture statistics: luma reduced to means of 8 by 8 pixels, and what is read from those.
//!
//! Everything after the reduction costs a sixty-fourth of it, so only the reduction is written for speed: rows are added up
//! column by column first, which the compiler turns into wide additions, and blocks are cut afterwards.

use std::time::Duration;

use tallylight_av::Plane;

use super::{Change, Levels, Signature};
use crate::picture::{Look, SAME_TILE};

/// Pixels of a block's side.
const BLOCK: usize = 8;
/// Blocks of a tile's side: tiles of 64 by 64 pixels.
const TILE: usize = 8;
/// Luma from which a block is not dark (8-bit scale, where black is 16).
const BRIGHT: u16 = 38 * UNIT;
/// A block mean is held as the sum of its 64 pixels: 64 of these are a step of 8-bit luma.
const UNIT: u16 = 64;

/// The block means of one picture.
#[derive(Clone, Default)]
pub(super) struct Blocks {
    pub(super) media_time: Duration,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) interlaced: bool,
    pub(super) sample_aspect: (u32, u32),
    columns: usize,
    sums: Vec<u16>,
    signature: Option<Signature>,
    /// A row of column sums, kept to be used again.
    scratch: Vec<u16>,
}

/// What is read from one picture.
pub(super) struct Summary {
    pub(super) levels: Levels,
    pub(super) bright_tiles: f32,
    pub(super) rest: Option<Levels>,
    pub(super) look: Look,
}

impl Blocks {
    /// Forgets the picture.
    pub(super) fn clear(&mut self) {
        self.sums.clear();
        self.signature = None;
    }

    /// The same, without what is only there to be used again.
    pub(super) fn to_keep(&self) -> Self {
        let (sums, signature) = (self.sums.clone(), self.signature.clone());
        Self { sums, signature, scratch: Vec::new(), ..*self }
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + Signature::BYTES + self.sums.len() * 2
    }

    /// Whether no picture was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Takes a picture. Pixels beyond the last whole block on the right and below are left out. False if it has no whole block.
    pub(super) fn reduce(
        &mut self,
        media_time: Duration,
        luma: Plane<'_>,
        chroma: Option<[Plane<'_>; 2]>,
    ) -> bool {
        self.media_time = media_time;
        self.width = u32::try_from(luma.width).unwrap_or(u32::MAX);
        self.height = u32::try_from(luma.height).unwrap_or(u32::MAX);
        self.columns = luma.width / BLOCK;
        self.clear();
        let rows = luma.height / BLOCK;
        if self.columns == 0 || rows == 0 || luma.stride == 0 {
            return false;
        }
        self.sums.reserve(self.columns * rows);
        let bytes = self.columns * BLOCK * luma.bytes_per_sample();
        self.scratch.clear();
        self.scratch.resize(self.columns * BLOCK, 0);
        // Eight samples of 12 bits fit in 16, which makes the additions twice as wide; what has more is cut.
        let cut = luma.depth.saturating_sub(12);
        let shift = luma.depth.saturating_sub(8) - cut;
        // The last row may be shorter than the stride, so `chunks` and not `chunks_exact`.
        let mut lines = luma.data.chunks(luma.stride);
        for _ in 0..rows {
            self.scratch.fill(0);
            for line in lines.by_ref().take(BLOCK) {
                let line = line.get(..bytes).unwrap_or(line);
                if luma.depth > 8 {
                    for (sum, sample) in self.scratch.iter_mut().zip(line.as_chunks::<2>().0) {
                        *sum = sum.wrapping_add(u16::from_le_bytes(*sample) >> cut);
                    }
                } else {
                    for (sum, sample) in self.scratch.iter_mut().zip(line) {
                        *sum += u16::from(*sample);
                    }
                }
            }
            self.sums.extend(self.scratch.as_chunks::<BLOCK>().0.iter().map(|block| {
                let sum: u32 = block.iter().map(|&sum| u32::from(sum)).sum();
                u16::try_from(sum >> shift).unwrap_or(u16::MAX)
            }));
        }
        self.signature = Some(Signature::of(&self.sums, self.columns, chroma));
        true
    }

    /// The picture seen from far; a blank one if none was taken.
    pub(super) fn signature(&self) -> Signature {
        self.signature.clone().unwrap_or_else(Signature::blank)
    }

    /// Reads the statistics of this picture alone.
    pub(super) fn summary(&self) -> Summary {
        let tiles = self.tiles();
        let bright = self.bright_tiles();
        let bright_count = bright.iter().filter(|bright| **bright).count();
        let mut all = Histogram::default();
        let mut rest = Histogram::default();
        for (row, line) in self.sums.chunks_exact(self.columns.max(1)).enumerate() {
            let first_tile = row / TILE * tiles;
            for (blocks, bright) in line.chunks(TILE).zip(&bright[first_tile..]) {
                all.add(blocks);
                if !bright {
                    rest.add(blocks);
                }
            }
        }
        let levels = all.levels().unwrap_or(Levels { dark: 0.0, p5: 255.0, p95: 255.0 });
        let bright_tiles = bright_count as f32 / bright.len().max(1) as f32;
        let rest = rest.levels();
        let look = match &self.signature {
            Some(signature) => Look::of(&levels, bright_tiles, rest.as_ref(), signature),
            None => Look::Ordinary,
        };
        Summary { levels, bright_tiles, rest, look }
    }

    /// What it shows where that is no programme.
    pub(super) fn look(&self) -> Look {
        self.summary().look
    }

    /// Compares with an earlier picture; `None` if that has another size.
    pub(super) fn change(&self, earlier: &Self) -> Option<Change> {
        let same_size = self.width == earlier.width && self.height == earlier.height;
        if !same_size || self.sums.is_empty() || self.sums.len() != earlier.sums.len() {
            return None;
        }
        let tiles = self.tiles();
        let mut totals = vec![(0u32, 0u32); tiles * self.sums.len().div_ceil(self.columns * TILE)];
        let mut worst_block = 0;
        let lines =
            self.sums.chunks_exact(self.columns).zip(earlier.sums.chunks_exact(self.columns));
        for (row, (line, earlier_line)) in lines.enumerate() {
            let first_tile = row / TILE * tiles;
            let pairs = line.chunks(TILE).zip(earlier_line.chunks(TILE));
            for ((a, b), (total, count)) in pairs.zip(&mut totals[first_tile..]) {
                for (a, b) in a.iter().zip(b) {
                    let difference = a.abs_diff(*b);
                    worst_block = worst_block.max(difference);
                    *total += u32::from(difference);
                }
                *count += a.len() as u32;
            }
        }
        let unit = f32::from(UNIT);
        let mean_of = |&(total, count): &(u32, u32)| total as f32 / (count.max(1) as f32 * unit);
        let same = totals.iter().filter(|total| mean_of(total) < SAME_TILE);
        let same: u32 = same.map(|(_, count)| count).sum();
        let sum: u64 = totals.iter().map(|(total, _)| u64::from(*total)).sum();
        Some(Change {
            since: earlier.media_time,
            same_since: None,
            changed: None,
            worst_tile: totals.iter().map(mean_of).fold(0.0, f32::max),
            worst_block: f32::from(worst_block) / unit,
            mean: sum as f32 / (self.sums.len() as f32 * unit),
            same_share: same as f32 / self.sums.len() as f32,
        })
    }

    /// Tiles in a row; the last may be narrower.
    fn tiles(&self) -> usize {
        self.columns.div_ceil(TILE)
    }

    fn bright_tiles(&self) -> Vec<bool> {
        let tiles = self.tiles();
        let mut bright = vec![false; tiles * self.sums.len().div_ceil(self.columns.max(1) * TILE)];
        for (row, line) in self.sums.chunks_exact(self.columns.max(1)).enumerate() {
            for (blocks, bright) in line.chunks(TILE).zip(&mut bright[row / TILE * tiles..]) {
                *bright |= blocks.iter().any(|&sum| sum >= BRIGHT);
            }
        }
        bright
    }
}

/// Block means counted in quarters of a luma step.
struct Histogram {
    bins: Vec<u32>,
    count: u32,
    dark: u32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: vec![0; Self::BINS], count: 0, dark: 0 }
    }
}

impl Histogram {
    const PER_STEP: u16 = 4;
    const BINS: usize = 256 * Self::PER_STEP as usize;

    fn add(&mut self, blocks: &[u16]) {
        for &sum in blocks {
            let bin = usize::from(sum / (UNIT / Self::PER_STEP)).min(Self::BINS - 1);
            self.bins[bin] += 1;
            self.dark += u32::from(sum < BRIGHT);
        }
        self.count += blocks.len() as u32;
    }

    fn levels(&self) -> Option<Levels> {
        (self.count > 0).then(|| Levels {
            dark: self.dark as f32 / self.count as f32,
            p5: self.percentile(5),
            p95: self.percentile(95),
        })
    }

    /// The value that `percent` of the blocks do not exceed.
    fn percentile(&self, percent: u64) -> f32 {
        let wanted = (u64::from(self.count) * percent).div_ceil(100);
        let mut seen = 0;
        for (bin, &count) in self.bins.iter().enumerate() {
            seen += u64::from(count);
            if seen >= wanted && seen > 0 {
                return bin as f32 / f32::from(Self::PER_STEP);
            }
        }
        255.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_smaller_than_a_block_has_a_summary_of_nothing() {
        let mut blocks = Blocks::default();
        let data = [16; 7 * 7];
        let luma = Plane { width: 7, height: 7, stride: 7, depth: 8, data: &data };
        blocks.reduce(Duration::ZERO, luma, None);
        assert_eq!(blocks.summary().bright_tiles, 0.0);
        assert!(blocks.change(&Blocks::default()).is_none());
    }

    /// A picture whose pixels are a function of their place, with `stride` beyond its width, at 8 or more bits.
    fn picture(
        width: usize,
        height: usize,
        depth: u8,
        pixel: impl Fn(usize, usize) -> u16,
    ) -> Vec<u8> {
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width + 5 {
                let value = if x < width { pixel(x, y) << (depth - 8) } else { u16::MAX };
                let bytes = value.to_le_bytes();
                data.extend_from_slice(if depth > 8 { &bytes } else { &bytes[..1] });
            }
        }
        let padding = if depth > 8 { 10 } else { 5 };
        data.truncate(data.len() - padding);
        data
    }

    fn reduce(
        width: usize,
        height: usize,
        depth: u8,
        pixel: impl Fn(usize, usize) -> u16,
    ) -> Blocks {
        let data = picture(width, height, depth, pixel);
        let stride = (width + 5) * if depth > 8 { 2 } else { 1 };
        let mut blocks = Blocks::default();
        let luma = Plane { width, height, stride, depth, data: &data };
        assert_eq!(blocks.reduce(Duration::ZERO, luma, None), width >= 8 && height >= 8);
        blocks
    }

    #[test]
    fn a_block_is_the_mean_of_its_pixels_at_any_depth() {
        let pixel = |x: usize, y: usize| ((x * 7 + y * 13) % 251) as u16;
        for depth in [8, 10, 12, 14] {
            let blocks = reduce(83, 45, depth, pixel);
            assert_eq!((blocks.columns, blocks.sums.len()), (10, 50));
            for (index, &sum) in blocks.sums.iter().enumerate() {
                let (left, top) = (index % 10 * 8, index / 10 * 8);
                let expected: u16 = (0..64).map(|n| pixel(left + n % 8, top + n / 8)).sum();
                assert_eq!(sum, expected, "block {index} at {depth} bits");
            }
        }
    }

    #[test]
    fn a_picture_smaller_than_a_block_is_none() {
        for (width, height) in [(7, 100), (100, 7), (1, 1)] {
            reduce(width, height, 8, |_, _| 16);
        }
    }

    #[test]
    fn a_logo_is_left_out_of_the_rest() {
        let logo = |x: usize, y: usize| if (70..100).contains(&x) && y < 30 { 235 } else { 16 };
        let summary = reduce(640, 360, 8, logo).summary();
        assert_eq!(summary.bright_tiles, 1.0 / 60.0);
        let rest = summary.rest.unwrap();
        assert_eq!((rest.dark, rest.p5, rest.p95), (1.0, 16.0, 16.0));
        assert!(summary.levels.dark < 1.0);
        assert!(reduce(64, 64, 8, |_, _| 200).summary().rest.is_none());
    }

    #[test]
    fn a_small_change_shows_in_its_tile_and_block() {
        let still = reduce(640, 360, 8, |_, _| 100);
        let moved =
            reduce(640, 360, 8, |x, y| if (64..72).contains(&x) && y < 8 { 228 } else { 100 });
        let change = moved.change(&still).unwrap();
        assert_eq!((change.worst_block, change.worst_tile), (128.0, 2.0));
        assert_eq!(change.mean, 128.0 / 3600.0);
        let none = still.change(&still).unwrap();
        assert_eq!((none.worst_block, none.worst_tile, none.mean), (0.0, 0.0, 0.0));
        assert!(reduce(640, 352, 8, |_, _| 100).change(&still).is_none());
    }
}
