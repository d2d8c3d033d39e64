//! A small JPEG of a decoded picture, for people.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tallylight_av::{Picture, Plane};

/// Pixels in a row.
const WIDTH: usize = 320;
/// Rows at most: a picture that is much higher than wide is no television.
const MAX_HEIGHT: usize = 640;
/// Of 100: a screen of a hundred channels stays under a megabyte.
const QUALITY: u8 = 70;
/// Samples across and down that a pixel is the mean of, at most.
const TAPS: usize = 4;
/// Pictures from this height on have the colours of ITU-R BT.709, others those of BT.601, as receivers take it.
const HD_HEIGHT: usize = 720;

/// Draws a picture; `None` where it has no luma, or cannot be written.
pub(super) fn draw(picture: &Picture<'_>) -> Option<Vec<u8>> {
    let luma = picture.luma()?;
    let (width, height) = size(&luma, picture.sample_aspect());
    let pixels = pixels(&luma, picture.chroma(), width, height, picture.is_full_range());
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    encoder.encode(&pixels, width, height, ColorType::Rgb).ok()?;
    Some(jpeg)
}

/// How large a picture of square pixels is that shows what the coded one does.
fn size(luma: &Plane<'_>, (across, down): (u32, u32)) -> (usize, usize) {
    let shown = luma.width as f64 * f64::from(across) / f64::from(down);
    let height = (WIDTH as f64 * luma.height as f64 / shown).round() as usize;
    (WIDTH, height.clamp(1, MAX_HEIGHT))
}

/// Red, green and blue of each pixel, row by row.
fn pixels(
    luma: &Plane<'_>,
    chroma: Option<[Plane<'_>; 2]>,
    width: usize,
    height: usize,
    full: bool,
) -> Vec<u8> {
    let y = shrink(luma, width, height);
    let [cb, cr] = match &chroma {
        Some(planes) => [0, 1].map(|at| shrink(&planes[at], width, height)),
        None => [vec![128; y.len()], vec![128; y.len()]],
    };
    let (black, gain, colour) =
        if full { (0.0, 1.0, 1.0) } else { (16.0, 255.0 / 219.0, 255.0 / 224.0) };
    let (red, blue) = if luma.height >= HD_HEIGHT { (0.2126, 0.0722) } else { (0.299, 0.114) };
    let green = 1.0 - red - blue;
    let byte = |value: f32| value.round() as u8;
    let mut pixels = Vec::with_capacity(3 * y.len());
    for ((y, cb), cr) in y.into_iter().zip(cb).zip(cr) {
        let y = (f32::from(y) - black) * gain;
        let (cb, cr) = ((f32::from(cb) - 128.0) * colour, (f32::from(cr) - 128.0) * colour);
        let (r, b) = (y + 2.0 * (1.0 - red) * cr, y + 2.0 * (1.0 - blue) * cb);
        let g = (y - red * r - blue * b) / green;
        pixels.extend([byte(r), byte(g), byte(b)]);
    }
    pixels
}

/// The plane at another size, on the 8-bit scale: each pixel is the mean of some samples spread over what it covers.
fn shrink(plane: &Plane<'_>, width: usize, height: usize) -> Vec<u8> {
    let columns: Vec<Vec<usize>> = (0..width).map(|at| taps(at, width, plane.width)).collect();
    let bytes = plane.bytes_per_sample();
    let shift = plane.depth.saturating_sub(8);
    let mut shrunk = Vec::with_capacity(width * height);
    for row in 0..height {
        let lines: Vec<&[u8]> = taps(row, height, plane.height)
            .into_iter()
            .filter_map(|y| plane.data.get(y * plane.stride..))
            .collect();
        for column in &columns {
            let (mut sum, mut count) = (0_u32, 0_u32);
            for line in &lines {
                for x in column {
                    let Some(sample) = line.get(x * bytes..(x + 1) * bytes) else { continue };
                    sum += match *sample {
                        [low, high] => u32::from(u16::from_le_bytes([low, high])),
                        [byte] => u32::from(byte),
                        _ => continue,
                    };
                    count += 1;
                }
            }
            let mean = (sum + count / 2).checked_div(count).unwrap_or(0) >> shift;
            shrunk.push(u8::try_from(mean).unwrap_or(u8::MAX));
        }
    }
    shrunk
}

/// The samples of `there` that pixel `at` of `here` is the mean of.
fn taps(at: usize, here: usize, there: usize) -> Vec<usize> {
    let (from, to) = (at * there / here, ((at + 1) * there).div_ceil(here));
    let count = (to - from).clamp(1, TAPS);
    let last = there.saturating_sub(1);
    (0..count).map(|tap| (from + (2 * tap + 1) * (to - from) / (2 * count)).min(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(width: usize, height: usize, depth: u8, data: &[u8]) -> Plane<'_> {
        Plane { width, height, stride: width * if depth > 8 { 2 } else { 1 }, depth, data }
    }

    #[test]
    fn a_picture_keeps_the_shape_that_viewers_see() {
        let of = |width, height, aspect| size(&plane(width, height, 8, &[]), aspect);
        assert_eq!(of(1920, 1080, (1, 1)), (320, 180));
        // 16:9 in 720 by 576 (ITU-R BT.601): pixels are 64 to 45.
        assert_eq!(of(720, 576, (64, 45)), (320, 180));
        assert_eq!(of(720, 576, (16, 15)), (320, 240));
        assert_eq!(of(8, 8000, (1, 1)), (320, MAX_HEIGHT));
    }

    #[test]
    fn a_pixel_is_the_mean_of_what_it_covers_at_any_depth() {
        let (width, height) = (1280, 720);
        let value = |at: usize| if at % width < 640 { 40_u16 } else { 200 };
        for depth in [8_u8, 10] {
            let samples = (0..width * height).map(|at| value(at) << (depth - 8));
            let data: Vec<u8> = if depth > 8 {
                samples.flat_map(u16::to_le_bytes).collect()
            } else {
                samples.map(|it| it as u8).collect()
            };
            let small = shrink(&plane(width, height, depth, &data), 320, 180);
            for row in small.chunks(320) {
                assert_eq!((row[0], row[159], row[160], row[319]), (40, 40, 200, 200));
            }
        }
        // Larger than the plane, one whose last row is cut, and none.
        assert_eq!(shrink(&plane(2, 2, 8, &[9; 4]), 5, 5), [9; 25]);
        assert_eq!(shrink(&plane(2, 2, 8, &[9; 3]), 1, 1), [9]);
        assert_eq!(shrink(&plane(0, 0, 8, &[]), 2, 1), [0, 0]);
    }

    #[test]
    fn colours_are_those_of_the_standard() {
        // 75 % red of BT.709 and of BT.601 in limited range; white.
        for (height, [y, cb, cr], rgb) in [
            (720, [51, 109, 212], [191, 0, 0]),
            (576, [65, 100, 212], [191, 0, 0]),
            (576, [235, 128, 128], [255, 255, 255]),
            (576, [16, 128, 128], [0, 0, 0]),
        ] {
            let fill = |value: u8| vec![value; 8 * height];
            let (y, cb, cr) = (fill(y), fill(cb), fill(cr));
            let planes = [plane(8, height, 8, &cb), plane(8, height, 8, &cr)];
            let pixels = pixels(&plane(8, height, 8, &y), Some(planes), 4, 4, false);
            for (one, wanted) in pixels.iter().zip(rgb.iter().cycle()) {
                assert!(one.abs_diff(*wanted) <= 2, "{height}: {:?} {rgb:?}", &pixels[..3]);
            }
        }
    }
}
