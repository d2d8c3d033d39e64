//! Whatever bytes come, a decoder neither panics nor exceeds its limits, and goes on decoding afterwards.
#![expect(clippy::expect_used, reason = "a helper of a test fails the test")]

use std::process::Command;

use tallylight_av::{
    AudioDecoder, DecodeError, Image, ImageError, Limits, OpenError, VideoDecoder,
};
use tallylight_model::{Codec, CodingProfile};

/// Bytes that look random, from a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// One intra picture of noise, encoded by ffmpeg.
fn picture(encoder: &[&str], size: &str) -> Vec<u8> {
    let source = format!("testsrc2=size={size}:rate=25");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &source, "-frames:v", "1"])
        .args(encoder)
        .arg("-")
        .output()
        .expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

const ENCODERS: [(Codec, &[&str]); 4] = [
    (Codec::H264, &["-c:v", "libx264", "-preset", "ultrafast", "-f", "h264"]),
    (
        Codec::Hevc,
        &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            "log-level=none",
            "-f",
            "hevc",
        ],
    ),
    (Codec::Mpeg2Video, &["-c:v", "mpeg2video", "-f", "mpeg2video"]),
    (Codec::Mpeg1Video, &["-c:v", "mpeg1video", "-f", "mpeg1video"]),
];

/// Sizes of the pictures that a lone access unit gives, by decoding and draining.
fn show(decoder: &mut VideoDecoder, data: &[u8]) -> (Vec<(usize, usize)>, Result<(), DecodeError>) {
    let mut sizes = Vec::new();
    let mut each = |picture: tallylight_av::Picture<'_>| {
        let luma = picture.luma().expect("all of these have a luma plane");
        assert_eq!(luma.data.len(), (luma.height - 1) * luma.stride + luma.width);
        for chroma in picture.chroma().expect("and two of chroma") {
            assert_eq!((chroma.width, chroma.height), (luma.width / 2, luma.height / 2));
            assert_eq!(chroma.data.len(), (chroma.height - 1) * chroma.stride + chroma.width);
        }
        sizes.push((luma.width, luma.height));
        assert_eq!(picture.tag(), Some(7));
    };
    let decoded = decoder.decode(data, 7, &mut each);
    let drained = decoder.drain(&mut each);
    (sizes, decoded.and(drained))
}

#[test]
fn a_decoder_that_was_closed_goes_on_with_the_parameter_sets_that_it_is_given() {
    for (codec, encoder) in ENCODERS {
        let data = picture(encoder, "320x180");
        let begins = |unit: &[u8]| match codec {
            Codec::H264 => matches!(unit[3] & 0x1F, 1..=5),
            Codec::Hevc => unit[3] >> 1 & 0x3F < 32,
            _ => unit[3] == 0,
        };
        let slice = data.windows(4).position(|it| it.starts_with(&[0, 0, 1]) && begins(it));
        let (sets, slices) = data.split_at(slice.expect("a picture has slices"));
        let mut decoder = VideoDecoder::new(codec, Limits::default()).unwrap();
        let whole = (vec![(320, 180)], Ok(()));
        assert_eq!(show(&mut decoder, &data), whole, "{codec:?}");
        decoder.close(Vec::new());
        assert_eq!(show(&mut decoder, &data), whole, "{codec:?}");
        decoder.close(sets.to_vec());
        decoder.reset();
        assert_eq!(show(&mut decoder, slices), whole, "{codec:?}");
        decoder.close(Vec::new());
        assert!(show(&mut decoder, slices).0.is_empty(), "{codec:?}");
    }
}

#[test]
fn a_lone_key_picture_comes_out_at_once_again_and_again() {
    for (codec, encoder) in ENCODERS {
        let data = picture(encoder, "320x180");
        let mut decoder = VideoDecoder::new(codec, Limits::default()).unwrap();
        for _ in 0..3 {
            assert_eq!(show(&mut decoder, &data), (vec![(320, 180)], Ok(())), "{codec}");
        }
        let expected = match codec {
            Codec::H264 => Some(CodingProfile::ConstrainedBaseline),
            Codec::Hevc | Codec::Mpeg2Video => Some(CodingProfile::Main),
            _ => None,
        };
        assert_eq!(decoder.profile(), expected, "{codec}");
    }
}

#[test]
fn a_picture_over_the_limit_is_refused() {
    for (codec, encoder) in ENCODERS {
        let data = picture(encoder, "640x360");
        let limits = Limits { pixels: 320 * 180, ..Limits::default() };
        let mut decoder = VideoDecoder::new(codec, limits).unwrap();
        let (sizes, outcome) = show(&mut decoder, &data);
        assert!(sizes.is_empty() && outcome.is_err(), "{codec}: {sizes:?} {outcome:?}");
    }
}

#[test]
fn garbage_and_flipped_bits_do_no_harm() {
    for (codec, encoder) in ENCODERS {
        let data = picture(encoder, "320x180");
        let mut decoder = VideoDecoder::new(codec, Limits::default()).unwrap();
        for seed in 1..60 {
            let _ = decoder.decode(&noise(seed, 1 + seed as usize * 37), 7, |_| {});
            let mut hurt = data.clone();
            for flip in noise(seed, 2 + data.len() / 500) {
                let place = usize::from(flip) * seed as usize % hurt.len();
                hurt[place] ^= flip;
            }
            let _ = decoder.decode(&hurt, 7, |picture| {
                assert!(picture.luma().is_none_or(|luma| luma.data.len() >= luma.width));
                assert!(picture.chroma().is_none_or(|both| both[1].data.len() >= both[1].width));
            });
            let _ = decoder.decode(&data[..data.len() * seed as usize / 60], 7, |_| {});
            let _ = decoder.drain(|_| {});
        }
        assert_eq!(show(&mut decoder, &data).0.last(), Some(&(320, 180)), "{codec}");
    }
    for codec in Codec::ALL.into_iter().filter(|codec| !codec.is_video()) {
        let mut decoder = AudioDecoder::new(codec, Limits::default()).unwrap();
        for seed in 1..60 {
            let _ = decoder.decode(&noise(seed, seed as usize * 53), 7, |samples| {
                assert!(samples.channel(samples.channels()).is_empty());
            });
        }
        decoder.reset();
    }
}

#[test]
fn units_of_no_or_too_many_bytes_are_refused() {
    let limits = Limits { unit_bytes: 1000, ..Limits::default() };
    let mut decoder = VideoDecoder::new(Codec::H264, limits).unwrap();
    for size in [0, 1001] {
        assert_eq!(decoder.decode(&vec![0; size], 7, |_| {}), Err(DecodeError::UnitSize(size)));
    }
}

#[test]
fn a_codec_of_the_other_kind_is_refused() {
    for codec in Codec::ALL {
        let (video, audio) = (
            VideoDecoder::new(codec, Limits::default()),
            AudioDecoder::new(codec, Limits::default()),
        );
        assert_eq!(matches!(video, Err(OpenError::WrongKind(_))), !codec.is_video());
        assert_eq!(matches!(audio, Err(OpenError::WrongKind(_))), codec.is_video());
        assert!(video.is_ok() || audio.is_ok());
    }
}

#[test]
fn images_are_read_as_they_were_drawn_and_others_refused() {
    // Coded like a file of one: red above, grey below.
    let draw = |form: &[&str]| {
        let graph = "color=0xC02010:s=64x32,format=rgb24,drawbox=0:16:64:16:0x808080:fill";
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", graph, "-frames:v", "1"])
            .args(form)
            .args(["-f", "image2pipe", "-"])
            .output()
            .expect("ffmpeg is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let near =
        |pixel: [u8; 3], wanted: [u8; 3]| pixel.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 6);
    for form in [
        &["-c:v", "png", "-pix_fmt", "rgb24"][..],
        &["-c:v", "png", "-pix_fmt", "rgba"],
        &["-c:v", "mjpeg", "-q:v", "1", "-pix_fmt", "yuvj420p"],
        &["-c:v", "mjpeg", "-q:v", "1", "-pix_fmt", "yuvj444p"],
    ] {
        let file = draw(form);
        let image = Image::read(&file, Limits::default()).unwrap();
        assert_eq!((image.width, image.height, image.rgb.len()), (64, 32, 64 * 32), "{form:?}");
        let (above, below) = (image.rgb[64 * 4 + 30], image.rgb[64 * 28 + 30]);
        assert!(
            near(above, [0xC0, 0x20, 0x10]) && near(below, [0x80; 3]),
            "{form:?}: {above:?} {below:?}"
        );
        for seed in 1..40 {
            let mut hurt = file.clone();
            let place = seed as usize * 7919 % hurt.len();
            hurt[place] ^= 0x55;
            let _ = Image::read(&hurt, Limits::default());
            let _ = Image::read(&file[..place], Limits::default());
        }
        let small = Limits { pixels: 100, ..Limits::default() };
        assert!(matches!(Image::read(&file, small), Err(ImageError::Decode(_) | ImageError::Form)));
    }
    let palette = draw(&["-c:v", "png", "-pix_fmt", "pal8"]);
    for (file, unknown) in [(palette, false), (b"GIF89a".to_vec(), true)] {
        let error = Image::read(&file, Limits::default()).unwrap_err();
        assert_eq!(matches!(error, ImageError::Unknown), unknown, "{error}");
    }
}
