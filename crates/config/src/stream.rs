//! What is stated of a stream in the same words wherever it is: in the lineup, and for a probe of a single stream.

use tallylight_model::{Aspect, Codec, CodingProfile, PictureFormat, Scan};
use toml_span::value::ValueInner;

use crate::{Table, value};

const VIDEO: [Codec; 4] = [Codec::Mpeg1Video, Codec::Mpeg2Video, Codec::H264, Codec::Hevc];

/// Reads what a picture should be made of.
#[must_use]
pub fn picture(mut table: Table<'_>) -> PictureFormat {
    let side = |found: &ValueInner<'_>| value::integer(16..=16_384)(found);
    let size = |side: Option<i64>| side.and_then(|side| u32::try_from(side).ok());
    let format = PictureFormat {
        codec: table.optional("codec", value::named(&VIDEO, Codec::name)),
        profile: table.optional("profile", value::named(&CodingProfile::ALL, CodingProfile::name)),
        width: size(table.optional("width", side)),
        height: size(table.optional("height", side)),
        frame_rate_milli: table.optional("frame_rate", value::parsed(frame_rate)),
        scan: table.optional("scan", value::named(&Scan::ALL, Scan::name)),
        aspect: table.optional("aspect", value::parsed(aspect)),
    };
    table.finish();
    format
}

/// Frames per 1,000 seconds.
fn frame_rate(text: &str) -> Result<u32, &'static str> {
    let rate: Option<f64> = text.parse().ok().filter(|rate| (1.0..=240.0).contains(rate));
    let rate = rate.ok_or("is not a frame rate; write frames a second, as in \"29.97\"")?;
    Ok((rate * 1000.0).round() as u32)
}

fn aspect(text: &str) -> Result<Aspect, &'static str> {
    Aspect::parse(text).ok_or("is not a shape; write width and height, as in \"16:9\"")
}

/// Reads the code of a language (ISO 639-2).
///
/// # Errors
/// It is not three small letters.
pub fn language(text: &str) -> Result<String, String> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_lowercase()) {
        Ok(text.to_owned())
    } else {
        Err("is not a language; write an ISO 639-2 code, as in \"eng\"".to_owned())
    }
}
