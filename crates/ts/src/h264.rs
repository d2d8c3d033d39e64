//! H.264 NAL units (ISO/IEC 14496-10, 7.3), as far as access units need them.

use tallylight_model::PictureType;

use crate::{
    Parameters,
    bits::Bits,
    buffer::Sizes,
    caption::{self, Held},
    video::{Element, Entry, HEAD, Prefix, Start},
};

/// The SEI message with user data by ITU-T T.35 (annex D.1.6).
const REGISTERED: u32 = 4;

/// Reads NAL units; remembers what the sequence parameter set says.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) parameters: Parameters,
    /// Captions that were found and not taken yet.
    pub(crate) captions: Held,
    pub(crate) sizes: Option<Sizes>,
}

impl Reader {
    pub(crate) fn classify(&mut self, head: &[u8]) -> Element {
        let Some((&header, payload)) = head.split_first() else { return Element::Part };
        match header & 0x1F {
            kind @ (1 | 2 | 5) => slice(kind, payload),
            6 => {
                let messages = messages(payload);
                self.captions = self.captions.and(messages.captions);
                Element::Prefix(if messages.recovery { Prefix::Entry } else { Prefix::Other })
            }
            7 => {
                if let Some(parameters) = sequence(payload) {
                    self.parameters = parameters;
                    self.sizes = sizes(payload);
                }
                Element::Prefix(Prefix::Other)
            }
            8 | 9 | 14..=18 => Element::Prefix(Prefix::Other),
            12 => Element::Filler,
            _ => Element::Part,
        }
    }
}

/// A picture begins with the slice of its first macroblock; a second field is an access unit of its own.
fn slice(kind: u8, payload: &[u8]) -> Element {
    let mut bits = Bits::nal(payload);
    if bits.ue() != Some(0) {
        return Element::Part;
    }
    let picture = bits.ue().and_then(|kind| match kind % 5 {
        0 | 3 => Some(PictureType::P),
        1 => Some(PictureType::B),
        2 | 4 => Some(PictureType::I),
        _ => None,
    });
    let entry = if kind == 5 { Entry::Always } else { Entry::IfMarked };
    Element::Picture(Start { picture, entry, second_field: false })
}

/// What the messages of an SEI say.
#[derive(Default)]
pub(crate) struct Messages {
    /// A recovery point (annex D.1, payload type 6) is there.
    recovery: bool,
    pub(crate) captions: Held,
}

/// Reads the messages of an SEI (7.3.2.3) as far as it goes.
pub(crate) fn messages(payload: &[u8]) -> Messages {
    let mut bits = Bits::nal(payload);
    let mut found = Messages::default();
    while let (Some(kind), Some(size)) = (message_number(&mut bits), message_number(&mut bits)) {
        match kind {
            REGISTERED => {
                let held = caption::registered(content(bits.clone(), size, &mut [0; HEAD]));
                found.captions = found.captions.and(held);
            }
            6 => found.recovery = true,
            _ => {}
        }
        if bits.skip(size * 8).is_none() {
            break;
        }
    }
    found
}

/// The bytes of a message, as far as they go.
fn content<'a>(mut bits: Bits<'_>, size: u32, room: &'a mut [u8; HEAD]) -> &'a [u8] {
    let mut length = 0;
    for byte in room.iter_mut().take(size as usize) {
        let Some(value) = bits.get(8) else { break };
        *byte = value as u8;
        length += 1;
    }
    &room[..length]
}

/// A number coded as any count of 0xFF and a last byte.
fn message_number(bits: &mut Bits<'_>) -> Option<u32> {
    let mut number = 0;
    loop {
        let byte = bits.get(8)?;
        number += byte;
        if byte != 0xFF {
            return Some(number);
        }
    }
}

/// Reads the size and rate of pictures out of a sequence parameter set (7.3.2.1.1).
fn sequence(payload: &[u8]) -> Option<Parameters> {
    let mut bits = Bits::nal(payload);
    let profile = bits.get(8)?;
    bits.skip(16)?;
    bits.ue()?;
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.ue()?;
        if chroma == 3 {
            bits.bit()?;
        }
        bits.ue()?;
        bits.ue()?;
        bits.bit()?;
        if bits.bit()? {
            for i in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    skip_scaling_list(&mut bits, if i < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.ue()?;
    skip_order_count(&mut bits)?;
    bits.ue()?;
    bits.bit()?;
    let width = bits.ue()?.checked_add(1)?.checked_mul(16)?;
    let height = bits.ue()?.checked_add(1)?.checked_mul(16)?;
    let frames_only = bits.bit()?;
    let fields = if frames_only { 1 } else { 2 };
    if !frames_only {
        bits.bit()?;
    }
    bits.bit()?;
    let (mut across, mut down) = (0, 0);
    if bits.bit()? {
        let unit = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
        across = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit.0)?;
        down = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit.1 * fields)?;
    }
    Some(Parameters {
        width: Some(width.checked_sub(across)?),
        height: Some(height.checked_mul(fields)?.checked_sub(down)?),
        frame_rate_milli: frame_rate(&mut bits),
        ..Parameters::default()
    })
}

/// Reads profile and level out of the same.
fn sizes(payload: &[u8]) -> Option<Sizes> {
    let &[profile, constraints, level, ..] = payload else { return None };
    Sizes::avc(u32::from(profile), constraints & 0x10 != 0, u32::from(level))
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = (last.wrapping_add(bits.se()?)).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn skip_order_count(bits: &mut Bits<'_>) -> Option<()> {
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.bit()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// Reads the VUI (annex E.1.1) up to its timing.
fn frame_rate(bits: &mut Bits<'_>) -> Option<u32> {
    if !bits.bit()? {
        return None;
    }
    skip_vui_colour(bits)?;
    if !bits.bit()? {
        return None;
    }
    let (unit, scale) = (u64::from(bits.get(32)?), u64::from(bits.get(32)?));
    // A tick is a field.
    u32::try_from((scale * 1000).checked_div(unit * 2)?).ok()
}

/// Passes over the VUI up to where colour is sited: H.264 (E.1.1) and HEVC (E.2.1) begin alike.
pub(crate) fn skip_vui_colour(bits: &mut Bits<'_>) -> Option<()> {
    if bits.bit()? && bits.get(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.bit()? {
        bits.bit()?;
    }
    if bits.bit()? {
        bits.skip(4)?;
        if bits.bit()? {
            bits.skip(24)?;
        }
    }
    if bits.bit()? {
        bits.ue()?;
        bits.ue()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nal_unit_is_known_by_its_head() {
        let mut reader = Reader::default();
        let picture = |picture, entry| {
            Element::Picture(Start { picture: Some(picture), entry, second_field: false })
        };
        for (head, expected) in [
            // first_mb_in_slice 0 is "1", slice types 7, 5 and 6 are "0001000", "00110" and "00111".
            (&[0x65, 0b1000_1000][..], picture(PictureType::I, Entry::Always)),
            (&[0x41, 0b1001_1000], picture(PictureType::P, Entry::IfMarked)),
            (&[0x01, 0b1001_1100], picture(PictureType::B, Entry::IfMarked)),
            (&[0x41, 0b0101_0000], Element::Part),
            (&[0x06, 0x06, 0x01, 0xC4, 0x80], Element::Prefix(Prefix::Entry)),
            (&[0x06, 0x01, 0x02, 9, 9, 0x06, 0x01, 0xC4, 0x80], Element::Prefix(Prefix::Entry)),
            (&[0x06, 0x05, 0xFF, 0x20, 1, 2, 3], Element::Prefix(Prefix::Other)),
            (&[0x09, 0xF0], Element::Prefix(Prefix::Other)),
            (&[0x0C, 0xFF, 0xFF], Element::Filler),
            (&[0x0B], Element::Part),
            (&[], Element::Part),
        ] {
            assert_eq!(reader.classify(head), expected, "{head:02x?}");
        }
    }

    #[test]
    fn size_and_rate_come_from_the_sequence_parameter_set() {
        // From a 1920x1080 stream of 25 frames a second by x264, whose reading by ffprobe is the oracle.
        let sps = [
            0x64, 0x00, 0x28, 0xAC, 0xD9, 0x40, 0x78, 0x02, 0x27, 0xE5, 0xC0, 0x44, 0x00, 0x00,
            0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xC8, 0x3C, 0x60, 0xC6, 0x58,
        ];
        let found = sequence(&sps).unwrap();
        assert_eq!((found.width, found.height), (Some(1920), Some(1080)));
        assert_eq!(found.frame_rate_milli, Some(25_000));
        for cut in 0..sps.len() {
            let _ = sequence(&sps[..cut]);
        }
    }
}
