//! Known slates: the pictures that a platform or a broadcaster shows in place of a programme.
//!
//! A slate is recognised by its [`Signature`], cell against cell, which survives scaling and coding. What shifts cells does not
//! survive, so a reference is kept as it looks with narrow bars around it, a little enlarged, and in a picture of the other of
//! the usual shapes. Levels may differ by a gain and an offset (full against limited range); a few cells may show anything (a
//! logo). Of several that fit, the nearest counts: two slates may differ in their words alone.

use std::{fmt, sync::Arc};

use tallylight_av::Image;
use tallylight_model::FaultKind;

use crate::decode::Signature;

/// Slates known at a time.
const MAX_SLATES: usize = 64;
/// A reference must have this much contrast (standard deviation of its cells' luma): a plain one would be found everywhere.
const MIN_CONTRAST: f32 = 6.0;
/// How far cells may be from the reference's on average, in steps of luma and of chroma: coding makes up to 2 ...
const MAX_LUMA: f32 = 4.0;
const MAX_CHROMA: f32 = 6.0;
/// ... this share of the cells, the worst ones, aside.
const ASIDE: f32 = 0.05;
/// Levels may be changed by such gains: limited range against full range is 0.86.
const GAINS: std::ops::RangeInclusive<f32> = 0.8..=1.25;
/// How a picture may be shown: parts of the width and height that it takes, the rest being black, or cut off where over 1.
const SHAPES: [(f32, f32); 11] = [
    (1.0, 1.0),
    (0.975, 1.0),
    (1.0, 0.975),
    (0.95, 1.0),
    (1.0, 0.95),
    (0.975, 0.975),
    (0.95, 0.95),
    (1.025, 1.025),
    (1.05, 1.05),
    // 4:3 in 16:9, and 16:9 in 4:3.
    (0.75, 1.0),
    (1.0, 0.75),
];
/// Shares of red and blue in luma: ITU-R BT.601 and BT.709. Nobody knows which one a stream was made by.
const MATRICES: [(f32, f32); 2] = [(0.299, 0.114), (0.2126, 0.0722)];

/// What it means that a slate is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The programme may not be shown here.
    Blackout,
    /// An advertisement is missing.
    AdFill,
    /// The channel is off the air.
    OffAir,
    /// Something failed.
    Failure,
}

impl Meaning {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Blackout, Self::AdFill, Self::OffAir, Self::Failure];

    /// Returns the name with which a reference's file begins.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blackout => "blackout",
            Self::AdFill => "ad_fill",
            Self::OffAir => "off_air",
            Self::Failure => "failure",
        }
    }

    /// Reads it from the name of a reference's file: what stands before the first `-` or `.`.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        let first = name.split(['-', '.']).next()?;
        Self::ALL.into_iter().find(|meaning| meaning.name() == first)
    }

    pub(super) const fn fault(self) -> FaultKind {
        match self {
            Self::Failure => FaultKind::Slate,
            Self::Blackout | Self::AdFill | Self::OffAir => FaultKind::Placeholder,
        }
    }
}

/// The known slates. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slates(Arc<Vec<Slate>>);

/// One of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Slate {
    /// What it is called: its file's name.
    pub name: String,
    /// What it means.
    pub meaning: Meaning,
    shapes: Vec<Signature>,
}

impl fmt::Debug for Slate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.meaning.name())
    }
}

/// Why an image is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlateError {
    /// It would be found in any plain picture.
    #[error("it shows too little to be recognised by")]
    Plain,
    /// There is no place for it.
    #[error("it is one too many; at most {MAX_SLATES} are known at a time")]
    TooMany,
}

impl Slates {
    /// Learns a slate from an image of it.
    ///
    /// # Errors
    /// The image cannot be recognised, or there are too many.
    pub fn learn(&mut self, name: &str, meaning: Meaning, image: &Image) -> Result<(), SlateError> {
        if self.0.len() >= MAX_SLATES {
            return Err(SlateError::TooMany);
        }
        let seen = MATRICES
            .into_iter()
            .flat_map(|matrix| SHAPES.into_iter().map(move |shape| draw(image, shape, matrix)));
        let shapes: Vec<Signature> = seen.collect();
        if shapes.first().is_none_or(|whole| spread(whole.luma()) < MIN_CONTRAST) {
            return Err(SlateError::Plain);
        }
        Arc::make_mut(&mut self.0).push(Slate { name: name.to_owned(), meaning, shapes });
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slate that a picture shows, if it shows one.
    #[must_use]
    pub fn find(&self, picture: &Signature) -> Option<&Slate> {
        let near = self.0.iter().filter_map(|slate| {
            let distances = slate.shapes.iter().filter_map(|shape| distance(shape, picture));
            Some((slate, distances.min_by(f32::total_cmp)?))
        });
        near.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(slate, _)| slate)
    }
}

/// How far a picture is from a reference; `None` if it is another one.
fn distance(reference: &Signature, picture: &Signature) -> Option<f32> {
    let (luma, seen) = (reference.luma(), picture.luma());
    let (mean, seen_mean) = (average(luma), average(seen));
    let (mut product, mut square) = (0.0, 0.0);
    for (a, b) in luma.iter().zip(seen) {
        let (a, b) = (f32::from(*a) - mean, f32::from(*b) - seen_mean);
        (product, square) = (product + a * b, square + a * a);
    }
    let gain = product / square.max(1.0);
    if !GAINS.contains(&gain) {
        return None;
    }
    let off = |a: f32, b: f32| (b - seen_mean - gain * (a - mean)).abs();
    let luma = difference(luma, seen, off);
    let (cb, cr) = reference.chroma();
    let (seen_cb, seen_cr) = picture.chroma();
    let off = |a: f32, b: f32| (a - b).abs();
    let chroma = f32::max(difference(cb, seen_cb, off), difference(cr, seen_cr, off));
    (luma <= MAX_LUMA && chroma <= MAX_CHROMA).then_some(luma + chroma)
}

/// The mean over the cells of how far they are off, the worst ones aside.
fn difference(cells: &[u8], seen: &[u8], off: impl Fn(f32, f32) -> f32) -> f32 {
    let pairs = cells.iter().zip(seen);
    let mut all: Vec<f32> = pairs.map(|(a, b)| off(f32::from(*a), f32::from(*b))).collect();
    all.sort_unstable_by(f32::total_cmp);
    let kept = all.len() - (all.len() as f32 * ASIDE) as usize;
    all.iter().take(kept).sum::<f32>() / kept.max(1) as f32
}

fn average(cells: &[u8]) -> f32 {
    cells.iter().map(|&cell| f32::from(cell)).sum::<f32>() / cells.len().max(1) as f32
}

fn spread(cells: &[u8]) -> f32 {
    let mean = average(cells);
    let squares = cells.iter().map(|&cell| (f32::from(cell) - mean).powi(2));
    (squares.sum::<f32>() / cells.len().max(1) as f32).sqrt()
}

/// The signature of an image that takes these parts of the width and height.
fn draw(image: &Image, shape: (f32, f32), (red, blue): (f32, f32)) -> Signature {
    let cells = |columns: usize, rows: usize| {
        (0..columns * rows).map(move |at| {
            let across = part(at % columns, columns, shape.0, image.width);
            let down = part(at / columns, rows, shape.1, image.height);
            mean(image, &across, &down)
        })
    };
    // Levels of limited range (ITU-R BT.601, 2.5): 219 steps of luma, 224 of chroma.
    let luma = |[r, g, b]: [f32; 3]| red * r + (1.0 - red - blue) * g + blue * b;
    let limited = |zero: f32, steps: f32, value: f32| (zero + steps * value).round() as u8;
    let chroma = |index: usize, share: f32| {
        cells(Signature::CHROMA_COLUMNS, Signature::CHROMA_ROWS)
            .map(move |rgb| limited(128.0, 224.0, (rgb[index] - luma(rgb)) / (2.0 * (1.0 - share))))
    };
    let bytes: Vec<u8> = cells(Signature::COLUMNS, Signature::ROWS)
        .map(|rgb| limited(16.0, 219.0, luma(rgb)))
        .chain(chroma(2, blue))
        .chain(chroma(0, red))
        .collect();
    Signature::from_bytes(&bytes).unwrap_or_else(Signature::blank)
}

/// The places of a cell on an image's side that takes `part` of the picture's, in pixels, some of them beyond the image.
fn part(cell: usize, cells: usize, part: f32, pixels: usize) -> std::ops::Range<f32> {
    let place = |border: usize| ((border as f32 / cells as f32 - 0.5) / part + 0.5) * pixels as f32;
    place(cell)..place(cell + 1)
}

/// The mean of the pixels of an area, from 0 to 1; beyond the image it is black.
fn mean(image: &Image, across: &std::ops::Range<f32>, down: &std::ops::Range<f32>) -> [f32; 3] {
    let whole = |range: &std::ops::Range<f32>| {
        let start = range.start.floor() as i64;
        start..(range.end.floor() as i64).max(start + 1)
    };
    let (columns, rows) = (whole(across), whole(down));
    let area = (columns.end - columns.start) * (rows.end - rows.start);
    let inside = |range: std::ops::Range<i64>, end: usize| {
        let limit = |at: i64| usize::try_from(at).unwrap_or(0).min(end);
        limit(range.start)..limit(range.end)
    };
    let (columns, rows) = (inside(columns, image.width), inside(rows, image.height));
    let mut sums = [0u64; 3];
    for row in rows {
        let start = row * image.width;
        let pixels = image.rgb.get(start + columns.start..start + columns.end).unwrap_or(&[]);
        for pixel in pixels {
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(*value));
        }
    }
    sums.map(|sum| sum as f32 / (area.max(1) as f32 * 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card of a colour with a line of boxes like words at `row`, from 0 to 1.
    fn card(colour: [u8; 3], row: f32) -> Image {
        let (width, height) = (640, 360);
        let pixel = |at: usize| {
            let (x, y) = (at % width, at / width);
            let line = (y as f32 / height as f32 - row).abs() < 0.04;
            let shade = |value: u8| (usize::from(value) * (height + y) / (2 * height)) as u8;
            if line && (100..540).contains(&x) && x % 40 < 25 {
                [235; 3]
            } else {
                colour.map(shade)
            }
        };
        Image { width, height, rgb: (0..width * height).map(pixel).collect() }
    }

    fn known() -> Slates {
        let mut slates = Slates::default();
        for (name, meaning, image) in [
            ("failure-1", Meaning::Failure, card([120, 30, 30], 0.4)),
            ("ad_fill-1", Meaning::AdFill, card([120, 30, 30], 0.6)),
            ("off_air-1", Meaning::OffAir, card([30, 30, 120], 0.4)),
        ] {
            slates.learn(name, meaning, &image).unwrap();
        }
        slates
    }

    /// As a stream has it: with coding noise of some steps.
    fn seen(image: &Image, shape: (f32, f32), change: impl Fn(usize, f32) -> f32) -> Signature {
        let signature = draw(image, shape, MATRICES[0]);
        let noise = |at: usize| (at * 7919 % 5) as f32 - 2.0;
        let bytes = signature.as_bytes().iter().enumerate();
        let bytes: Vec<u8> =
            bytes.map(|(at, &byte)| (change(at, f32::from(byte)) + noise(at)) as u8).collect();
        Signature::from_bytes(&bytes).unwrap()
    }

    fn name(slates: &Slates, picture: &Signature) -> Option<String> {
        slates.find(picture).map(|slate| slate.name.clone())
    }

    #[test]
    fn each_slate_is_known_by_its_words_and_colour_in_any_shape() {
        let slates = known();
        let as_is = |_, value| value;
        for (wanted, image) in [
            ("failure-1", card([120, 30, 30], 0.4)),
            ("ad_fill-1", card([120, 30, 30], 0.6)),
            ("off_air-1", card([30, 30, 120], 0.4)),
        ] {
            for shape in [(1.0, 1.0), (0.96, 1.0), (1.0, 0.94), (0.75, 1.0), (1.03, 1.03)] {
                let found = name(&slates, &seen(&image, shape, as_is));
                assert_eq!(found.as_deref(), Some(wanted), "{shape:?}");
            }
        }
    }

    #[test]
    fn levels_and_a_logo_may_differ_and_the_picture_may_not() {
        let slates = known();
        let image = card([120, 30, 30], 0.4);
        let whole = (1.0, 1.0);
        let logo = |at: usize, value: f32| {
            if (20..24).contains(&(at % 32)) && at < 100 { 200.0 } else { value }
        };
        let full = |at: usize, value: f32| if at < 576 { (value - 16.0) * 1.16 } else { value };
        for change in [&logo as &dyn Fn(usize, f32) -> f32, &full] {
            assert_eq!(name(&slates, &seen(&image, whole, change)).as_deref(), Some("failure-1"));
        }
        let other = card([120, 30, 30], 0.8);
        assert_eq!(name(&slates, &seen(&other, whole, |_, value| value)), None);
        let green = card([30, 120, 30], 0.4);
        assert_eq!(name(&slates, &seen(&green, whole, |_, value| value)), None);
        let inverse = |at: usize, value: f32| if at < 576 { 251.0 - value } else { value };
        assert_eq!(name(&slates, &seen(&image, whole, inverse)), None);
        let flat = Signature::from_bytes(&[60; Signature::BYTES]).unwrap();
        assert_eq!(name(&slates, &flat), None);
    }

    #[test]
    fn a_plain_image_is_no_reference_and_there_is_a_limit() {
        let plain = Image { width: 10, height: 10, rgb: vec![[40, 80, 120]; 100] };
        let mut slates = Slates::default();
        assert_eq!(slates.learn("x", Meaning::Failure, &plain), Err(SlateError::Plain));
        let small = Image { width: 2, height: 1, rgb: vec![[0; 3], [255; 3]] };
        for at in 0..MAX_SLATES {
            slates.learn(&at.to_string(), Meaning::Blackout, &small).unwrap();
        }
        assert_eq!(slates.learn("x", Meaning::Failure, &small), Err(SlateError::TooMany));
    }

    #[test]
    fn a_file_says_what_its_slate_means() {
        for (file, meaning) in [
            ("failure-1.png", Some(Meaning::Failure)),
            ("ad_fill.jpg", Some(Meaning::AdFill)),
            ("off_air-night-2.png", Some(Meaning::OffAir)),
            ("blackout-x.jpeg", Some(Meaning::Blackout)),
            ("failures.png", None),
            ("logo.png", None),
        ] {
            assert_eq!(Meaning::of_file(file), meaning, "{file}");
        }
    }
}
