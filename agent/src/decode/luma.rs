//! Picture statistics: luma reduced to means of 8 by 8 pixels, and what is read from those.
//!
//! Everything after the reduction costs a sixty-fourth of it, so only the reduction is written for speed: rows are added up
//! column by column first, which the compiler turns into wide additions, and blocks are cut afterwards.

use std::time::Duration;

use tallylight_av::Luma;

use super::{Change, Levels};

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
    columns: usize,
    sums: Vec<u16>,
    /// A row of column sums, kept to be used again.
    scratch: Vec<u32>,
}

/// What is read from one picture.
pub(super) struct Summary {
    pub(super) levels: Levels,
    pub(super) bright_tiles: f32,
    pub(super) rest: Option<Levels>,
}

impl Blocks {
    /// Forgets the picture.
    pub(super) fn clear(&mut self) {
        self.sums.clear();
    }

    /// Whether no picture was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Takes a picture. Pixels beyond the last whole block on the right and below are left out. False if it has no whole block.
    pub(super) fn reduce(&mut self, media_time: Duration, luma: Luma<'_>) -> bool {
        self.media_time = media_time;
        self.width = u32::try_from(luma.width).unwrap_or(u32::MAX);
        self.height = u32::try_from(luma.height).unwrap_or(u32::MAX);
        self.columns = luma.width / BLOCK;
        self.sums.clear();
        let rows = luma.height / BLOCK;
        if self.columns == 0 || rows == 0 || luma.stride == 0 {
            return false;
        }
        self.sums.reserve(self.columns * rows);
        let bytes = self.columns * BLOCK * luma.bytes_per_pixel();
        self.scratch.clear();
        self.scratch.resize(self.columns * BLOCK, 0);
        // The last row may be shorter than the stride, so `chunks` and not `chunks_exact`.
        let mut lines = luma.data.chunks(luma.stride);
        for _ in 0..rows {
            self.scratch.fill(0);
            for line in lines.by_ref().take(BLOCK) {
                let line = line.get(..bytes).unwrap_or(line);
                if luma.depth > 8 {
                    for (sum, sample) in self.scratch.iter_mut().zip(line.as_chunks::<2>().0) {
                        *sum += u32::from(u16::from_le_bytes(*sample));
                    }
                } else {
                    for (sum, sample) in self.scratch.iter_mut().zip(line) {
                        *sum += u32::from(*sample);
                    }
                }
            }
            let shift = luma.depth.saturating_sub(8);
            self.sums.extend(self.scratch.as_chunks::<BLOCK>().0.iter().map(|block| {
                let sum: u32 = block.iter().sum();
                u16::try_from(sum >> shift).unwrap_or(u16::MAX)
            }));
        }
        true
    }

    /// Reads the statistics of this picture alone.
    pub(super) fn summary(&self) -> Summary {
        let tiles = self.tiles();
        let bright = self.bright_tiles();
        let bright_count = bright.iter().filter(|bright| **bright).count();
        let mut all = Histogram::default();
        let mut rest = Histogram::default();
        for (row, line) in self.sums.chunks_exact(self.columns).enumerate() {
            let first_tile = row / TILE * tiles;
            for (blocks, bright) in line.chunks(TILE).zip(&bright[first_tile..]) {
                all.add(blocks);
                if !bright {
                    rest.add(blocks);
                }
            }
        }
        Summary {
            levels: all.levels().unwrap_or(Levels { dark: 0.0, p5: 255.0, p95: 255.0 }),
            bright_tiles: bright_count as f32 / bright.len().max(1) as f32,
            rest: rest.levels(),
        }
    }

    /// Compares with an earlier picture; `None` if that has another size.
    pub(super) fn change(&self, earlier: &Self) -> Option<Change> {
        let same_size = self.width == earlier.width && self.height == earlier.height;
        if !same_size || self.sums.is_empty() || self.sums.len() != earlier.sums.len() {
            return None;
        }
        let tiles = self.tiles();
        let bright = self.bright_tiles().into_iter().zip(earlier.bright_tiles());
        let mut totals = vec![(0u32, 0u32); tiles * self.sums.len().div_ceil(self.columns * TILE)];
        let lines =
            self.sums.chunks_exact(self.columns).zip(earlier.sums.chunks_exact(self.columns));
        for (row, (line, earlier_line)) in lines.enumerate() {
            let first_tile = row / TILE * tiles;
            let pairs = line.chunks(TILE).zip(earlier_line.chunks(TILE));
            for ((a, b), (total, count)) in pairs.zip(&mut totals[first_tile..]) {
                *total += a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
                *count += a.len() as u32;
            }
        }
        let unit = f32::from(UNIT);
        let mean_of = |&(total, count): &(u32, u32)| total as f32 / (count.max(1) as f32 * unit);
        let worst_dark_tile = (totals.iter().zip(bright))
            .filter(|(_, (now, then))| !now && !then)
            .map(|(tile, _)| mean_of(tile))
            .fold(0.0, f32::max);
        let sum: u64 = totals.iter().map(|(total, _)| u64::from(*total)).sum();
        Some(Change {
            since: earlier.media_time,
            worst_tile: totals.iter().map(mean_of).fold(0.0, f32::max),
            worst_dark_tile,
            mean: sum as f32 / (self.sums.len() as f32 * unit),
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
