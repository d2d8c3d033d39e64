//! The parameter sets of a key picture's access unit, for a decoder that is closed until the next one.

use tallylight_model::Codec;

/// The longest that are kept, all together.
const MAX_BYTES: usize = 4096;

/// What a NAL unit, or a unit of MPEG video from one start code to the next, is here.
enum Kind {
    /// A parameter set; which of those that are needed, as a bit.
    Set(u8),
    Other,
    /// The picture begins.
    Slice,
}

/// The parameter sets that come before the picture, with start codes; `None` if not all are there that decoding needs.
pub(super) fn of(codec: Codec, data: &[u8]) -> Option<Vec<u8>> {
    let (kind, needed) = match codec {
        Codec::H264 => (h264 as fn(u8) -> Kind, 0b11),
        Codec::Hevc => (hevc as fn(u8) -> Kind, 0b111),
        Codec::Mpeg1Video | Codec::Mpeg2Video => (mpeg as fn(u8) -> Kind, 0b1),
        _ => return None,
    };
    let (mut sets, mut found) = (Vec::new(), 0);
    let mut rest = data.get(start_code(data)?..)?;
    loop {
        match kind(*rest.get(3)?) {
            Kind::Slice => return (found == needed).then_some(sets),
            Kind::Other => {}
            Kind::Set(bit) => {
                found |= bit;
                let unit = rest.get(..3 + start_code(rest.get(3..)?)?)?;
                sets.extend(unit);
            }
        }
        if sets.len() > MAX_BYTES {
            return None;
        }
        rest = rest.get(3..)?;
        rest = rest.get(start_code(rest)?..)?;
    }
}

fn start_code(data: &[u8]) -> Option<usize> {
    data.windows(3).position(|window| window == [0, 0, 1])
}

/// ISO/IEC 14496-10, table 7-1.
const fn h264(first: u8) -> Kind {
    match first & 0x1F {
        1..=5 => Kind::Slice,
        7 => Kind::Set(0b1),
        8 => Kind::Set(0b10),
        _ => Kind::Other,
    }
}

/// ISO/IEC 23008-2, table 7-1.
const fn hevc(first: u8) -> Kind {
    match first >> 1 & 0x3F {
        0..=31 => Kind::Slice,
        32 => Kind::Set(0b1),
        33 => Kind::Set(0b10),
        34 => Kind::Set(0b100),
        _ => Kind::Other,
    }
}

/// ISO/IEC 13818-2, table 6-1: a sequence header is followed by its extensions.
const fn mpeg(code: u8) -> Kind {
    match code {
        0x00..=0xAF => Kind::Slice,
        0xB3 => Kind::Set(0b1),
        0xB5 => Kind::Set(0),
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 1], *unit].concat()).collect()
    }

    #[test]
    fn what_decoding_needs_is_taken_and_nothing_else() {
        let whole = units(&[&[9, 0xF0], &[0x67, 1, 2], &[0x68, 3], &[6, 5], &[0x65, 0x88]]);
        assert_eq!(of(Codec::H264, &whole), Some(units(&[&[0x67, 1, 2], &[0x68, 3]])));
        let whole = units(&[&[0x46, 1], &[0x40, 1], &[0x42, 2], &[0x44, 3], &[0x26, 1]]);
        assert_eq!(of(Codec::Hevc, &whole), Some(units(&[&[0x40, 1], &[0x42, 2], &[0x44, 3]])));
        let whole = units(&[&[0xB3, 1, 2], &[0xB5, 3], &[0xB8, 4], &[0, 5], &[0xB5, 6]]);
        assert_eq!(of(Codec::Mpeg2Video, &whole), Some(units(&[&[0xB3, 1, 2], &[0xB5, 3]])));
    }

    #[test]
    fn a_unit_that_lacks_any_of_them_has_none() {
        let without_pps = units(&[&[0x67, 1, 2], &[0x65, 0x88]]);
        assert_eq!(of(Codec::H264, &without_pps), None);
        assert_eq!(of(Codec::H264, &units(&[&[0x67, 1], &[0x68, 1]])), None, "no picture");
        assert_eq!(of(Codec::Hevc, &[0; 100]), None);
        assert_eq!(of(Codec::H264, &[]), None);
        let endless = units(&[&[0x67, 1], &[0x68, 1], &[0x67; 9000], &[0x65]]);
        assert_eq!(of(Codec::H264, &endless), None);
    }
}
