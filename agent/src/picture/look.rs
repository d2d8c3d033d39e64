//! What a single picture shows when it shows no programme: black, one colour, colour bars.

use serde::{Deserialize, Serialize};
use tallylight_model::FaultKind;

use crate::decode::{Levels, Signature};

/// Black: this share of the blocks under 38 ...
const BLACK_DARK_SHARE: f32 = 0.98;
/// ... the 95th percentile no lighter than this ...
pub(super) const BLACK_P95: f32 = 20.0;
/// ... and no further from the 5th than this.
pub(super) const BLACK_SPREAD: f32 = 3.0;
/// A logo covers at most this share of the tiles, or cells.
const LOGO: f32 = 0.05;
/// One colour: the 5th percentile at least this light, so that what fades from black is not called so for a moment ...
const BLANK_P5: f32 = 24.0;
/// ... the 95th no further from it than this ...
pub(super) const BLANK_SPREAD: f32 = 4.0;
/// ... and every cell, a logo aside, this close to the median of its kind.
const BLANK_REACH: u8 = 2;

/// What a picture shows, as far as it alone can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// Something.
    #[default]
    Ordinary,
    /// Black, a logo aside.
    Black,
    /// One other colour, a logo aside.
    Blank,
    /// Colour bars.
    Bars,
}

impl Look {
    /// Looks at a picture's statistics.
    #[must_use]
    pub fn of(
        levels: &Levels,
        bright_tiles: f32,
        rest: Option<&Levels>,
        signature: &Signature,
    ) -> Self {
        if is_black(levels) || (bright_tiles <= LOGO && rest.is_some_and(is_black)) {
            Self::Black
        } else if is_blank(levels, signature) {
            Self::Blank
        } else if bars(signature).is_some() {
            Self::Bars
        } else {
            Self::Ordinary
        }
    }

    /// The fault that it is if it lasts.
    pub(super) const fn fault(self) -> Option<FaultKind> {
        match self {
            Self::Ordinary => None,
            Self::Black => Some(FaultKind::Black),
            Self::Blank => Some(FaultKind::Blank),
            Self::Bars => Some(FaultKind::Bars),
        }
    }
}

pub(super) fn is_black(levels: &Levels) -> bool {
    levels.dark >= BLACK_DARK_SHARE
        && levels.p95 <= BLACK_P95
        && levels.p95 - levels.p5 <= BLACK_SPREAD
}

fn is_blank(levels: &Levels, signature: &Signature) -> bool {
    let (cb, cr) = signature.chroma();
    levels.p5 >= BLANK_P5
        && levels.p95 - levels.p5 <= BLANK_SPREAD
        && [signature.luma(), cb, cr].into_iter().all(is_uniform)
}

fn is_uniform(cells: &[u8]) -> bool {
    let median = median(cells);
    let other = cells.iter().filter(|cell| cell.abs_diff(median) > BLANK_REACH).count();
    other as f32 <= LOGO * cells.len() as f32
}

/// The colour of a picture that has one: luma, Cb and Cr.
pub(super) fn colour(signature: &Signature) -> (u8, [u8; 2]) {
    let (cb, cr) = signature.chroma();
    (median(signature.luma()), [median(cb), median(cr)])
}

fn median(cells: &[u8]) -> u8 {
    let mut sorted = cells.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// Cb and Cr of the bars in their order, from white to black, by ITU-R BT.601 at 100 %, less 128 (BT.709's differ by up to 12
/// degrees of hue).
const HUES: [(f32, f32); 8] = [
    (0.0, 0.0),
    (-112.0, 18.0),
    (38.0, -112.0),
    (-74.0, -94.0),
    (74.0, 94.0),
    (-38.0, 112.0),
    (112.0, -18.0),
    (0.0, 0.0),
];
/// Coloured bars are at least this far from grey: those of 75 % are at 65 and more, which leaves room for faded ones.
const MIN_COLOUR: f32 = 20.0;
/// White and black bars are at most this far from grey.
const MAX_GREY: f32 = 12.0;
/// The cosine of the angle by which a hue may be off: 25 degrees, while neighbours differ by 45 and more.
const MIN_LIKENESS: f32 = 0.906;
/// Each bar is darker than the one before by at least this much; those of 75 % by 18.
const MIN_STEP: f32 = 5.0;
/// The bars reach down at least this share of the picture, from the top: seven twelfths in SMPTE RP 219.
const REACH: f32 = 0.55;
/// Share of a bar's cells that must be as its middle; the rest may be a name or a clock on it.
const INTACT: f32 = 0.7;
/// A cell is as its bar's middle within so much luma.
const LEVEL_REACH: u8 = 8;

/// How many bars there are, and where: the first one's left edge and the last one's right edge, as shares of the width.
const LAYOUTS: [(usize, f32, f32); 3] = [
    // EBU Tech 3325 and BT.471: eight, down to black.
    (8, 0.0, 1.0),
    // SMPTE EG 1: seven, and other things below.
    (7, 0.0, 1.0),
    // SMPTE RP 219: seven, and grey on both sides.
    (7, 0.125, 0.875),
];

/// How many colour bars there are, if that is what the picture shows: columns of the known hues in the known order, each
/// darker than the one before, whatever their levels.
pub(super) fn bars(signature: &Signature) -> Option<usize> {
    LAYOUTS
        .into_iter()
        .find(|&(count, left, right)| are_bars(signature, count, left, right))
        .map(|(count, ..)| count)
}

fn are_bars(signature: &Signature, count: usize, left: f32, right: f32) -> bool {
    let (cb, cr) = signature.chroma();
    let mut above = None;
    HUES.iter().take(count).enumerate().all(|(index, &hue)| {
        let middle = left + (right - left) * (index as f32 + 0.5) / count as f32;
        let level = column(signature.luma(), Signature::COLUMNS, middle, LEVEL_REACH);
        let colour =
            [cb, cr].map(|plane| column(plane, Signature::CHROMA_COLUMNS, middle, 2 * LEVEL_REACH));
        let ([Some(cb), Some(cr)], Some(level)) = (colour, level) else { return false };
        let darker = above.replace(level).is_none_or(|above| above >= level + MIN_STEP);
        let neutral = f32::from(Signature::NEUTRAL);
        darker && has_hue((cb - neutral, cr - neutral), hue)
    })
}

/// The level of the upper part of a column of cells, if most of it has one.
fn column(cells: &[u8], columns: usize, middle: f32, reach: u8) -> Option<f32> {
    let rows = cells.len() / columns;
    let wanted = (rows as f32 * REACH) as usize;
    let at = ((middle * columns as f32) as usize).min(columns - 1);
    let mut values: Vec<u8> =
        cells.iter().skip(at).step_by(columns).take(wanted).copied().collect();
    values.sort_unstable();
    let median = values.get(values.len() / 2).copied()?;
    let intact = values.iter().filter(|value| value.abs_diff(median) <= reach).count();
    (intact as f32 >= INTACT * values.len() as f32).then(|| f32::from(median))
}

fn has_hue(colour: (f32, f32), hue: (f32, f32)) -> bool {
    let length = |(cb, cr): (f32, f32)| cb.hypot(cr);
    if length(hue) == 0.0 {
        return length(colour) <= MAX_GREY;
    }
    let product = colour.0 * hue.0 + colour.1 * hue.1;
    length(colour) >= MIN_COLOUR && product >= MIN_LIKENESS * length(colour) * length(hue)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that is flat within each cell: luma, Cb, Cr by the place of its middle, both from 0 to 1.
    fn picture(pixel: impl Fn(f32, f32) -> (u8, u8, u8)) -> Signature {
        let mut bytes = Vec::new();
        for (plane, columns, rows) in [(0, 32, 18), (1, 16, 9), (2, 16, 9)] {
            for at in 0..columns * rows {
                let (x, y) = (at % columns, at / columns);
                let middle = |at: usize, of: usize| (at as f32 + 0.5) / of as f32;
                let (luma, cb, cr) = pixel(middle(x, columns), middle(y, rows));
                bytes.push([luma, cb, cr][plane]);
            }
        }
        Signature::from_bytes(&bytes).unwrap()
    }

    fn flat(p5: f32, p95: f32) -> Levels {
        Levels { dark: if p5 < 38.0 { 1.0 } else { 0.0 }, p5, p95 }
    }

    fn look(levels: Levels, signature: &Signature) -> Look {
        Look::of(&levels, 0.0, None, signature)
    }

    /// The bars of BT.601 at 100 %.
    const FULL: [(u8, u8, u8); 8] = [
        (235, 128, 128),
        (210, 16, 146),
        (170, 166, 16),
        (145, 54, 34),
        (106, 202, 222),
        (81, 90, 240),
        (41, 240, 110),
        (16, 128, 128),
    ];

    /// Bars at a part of their levels, in a layout, down to `bottom`, with something else below.
    fn drawn(percent: u16, layout: usize, bottom: f32) -> Signature {
        let (count, left, right) = LAYOUTS[layout];
        let scale = |value: u8, zero: u16| {
            let off = (i32::from(value) - i32::from(zero)) * i32::from(percent) / 100;
            (off + i32::from(zero)) as u8
        };
        picture(|x, y| {
            if y > bottom || x < left || x >= right {
                return (104, 128, 128);
            }
            let (luma, cb, cr) = FULL[((x - left) / (right - left) * count as f32) as usize];
            (scale(luma, 16), scale(cb, 128), scale(cr, 128))
        })
    }

    #[test]
    fn bars_are_known_by_their_columns_at_any_level() {
        for (layout, bottom) in [(0, 1.0), (1, 0.67), (2, 0.59)] {
            for percent in [100, 75, 60, 45] {
                let signature = drawn(percent, layout, bottom);
                let seen = look(flat(40.0, 180.0), &signature);
                assert_eq!(seen, Look::Bars, "layout {layout} at {percent} %");
            }
        }
    }

    #[test]
    fn a_name_on_the_bars_does_not_hide_them() {
        let bare = drawn(75, 0, 1.0);
        let mut bytes = bare.as_bytes().to_vec();
        (0..2).for_each(|row| bytes[(4 + row) * 32 + 8..(4 + row) * 32 + 24].fill(16));
        let named = Signature::from_bytes(&bytes).unwrap();
        assert_eq!(look(flat(40.0, 180.0), &named), Look::Bars);
    }

    #[test]
    fn other_columns_are_not_bars() {
        let grey_steps = picture(|x, _| (235 - (x * 8.0) as u8 * 25, 128, 128));
        let rainbow = |x: f32| (f32::cos(x * 6.3) * 80.0, f32::sin(x * 6.3) * 80.0);
        let rainbow = picture(|x, _| {
            let (cb, cr) = rainbow(x);
            (200 - (x * 150.0) as u8, (128.0 + cb) as u8, (128.0 + cr) as u8)
        });
        let reversed = picture(|x, _| FULL[7 - (x * 8.0) as usize]);
        let short = drawn(75, 0, 0.3);
        for (index, other) in [grey_steps, rainbow, reversed, short].iter().enumerate() {
            assert_eq!(look(flat(40.0, 180.0), other), Look::Ordinary, "{index}");
        }
    }

    #[test]
    fn one_colour_is_blank_with_a_logo_and_without() {
        let blue = picture(|_, _| (41, 240, 110));
        assert_eq!(look(flat(41.0, 41.0), &blue), Look::Blank);
        let logo =
            picture(|x, y| if x > 0.9 && y < 0.15 { (180, 128, 128) } else { (41, 240, 110) });
        assert_eq!(look(flat(41.0, 42.0), &logo), Look::Blank);
        let text =
            picture(|x, y| if x > 0.4 && y < 0.3 { (180, 128, 128) } else { (41, 240, 110) });
        assert_eq!(look(flat(41.0, 42.0), &text), Look::Ordinary);
    }

    #[test]
    fn what_has_a_course_of_light_or_colour_is_not_blank() {
        let sky = picture(|_, y| (150 + (y * 8.0) as u8, 140, 120));
        assert_eq!(look(flat(150.0, 154.0), &sky), Look::Ordinary);
        let tinted = picture(|x, _| (120, 128 + (x * 12.0) as u8, 128));
        assert_eq!(look(flat(120.0, 120.0), &tinted), Look::Ordinary);
        let grey = picture(|_, _| (120, 128, 128));
        assert_eq!(look(flat(110.0, 130.0), &grey), Look::Ordinary, "texture within the cells");
    }

    #[test]
    fn black_is_black_and_what_fades_from_it_is_nothing() {
        let dark = |luma| picture(move |_, _| (luma, 128, 128));
        assert_eq!(look(flat(16.0, 17.0), &dark(16)), Look::Black);
        assert_eq!(look(flat(20.0, 22.0), &dark(21)), Look::Ordinary);
        assert_eq!(look(flat(16.0, 24.0), &dark(18)), Look::Ordinary);
    }
}
