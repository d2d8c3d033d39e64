//! HEVC NAL units (ISO/IEC 23008-2, 7.3), as far as access units need them.

use tallylight_model::PictureType;

use crate::{
    Parameters,
    bits::Bits,
    buffer::Sizes,
    caption::Held,
    h264::{self, skip_vui_colour},
    video::{Element, Entry, Prefix, Start},
};

/// Reads NAL units; remembers what the parameter sets say.
pub(crate) struct Reader {
    pub(crate) parameters: Parameters,
    /// Captions that were found and not taken yet.
    pub(crate) captions: Held,
    pub(crate) sizes: Option<Sizes>,
    /// Bits in slice headers before the slice type, by picture parameter set.
    extra_bits: [u8; 64],
}

impl Default for Reader {
    fn default() -> Self {
        let (parameters, captions) = (Parameters::default(), Held::default());
        Self { parameters, sizes: None, captions, extra_bits: [0; 64] }
    }
}

impl Reader {
    pub(crate) fn classify(&mut self, head: &[u8]) -> Element {
        let [first, second, ref payload @ ..] = *head else { return Element::Part };
        // Layers above the base are parts of its pictures.
        if (first & 1) << 5 | second >> 3 != 0 {
            return Element::Part;
        }
        match first >> 1 & 0x3F {
            kind @ (0..=9 | 16..=21) => self.slice(kind, payload),
            33 => {
                if let Some(parameters) = sequence(payload) {
                    self.parameters = parameters;
                    self.sizes = sizes(payload);
                }
                Element::Prefix(Prefix::Other)
            }
            34 => {
                if let Some((id, bits)) = picture_parameters(payload)
                    && let Some(slot) = self.extra_bits.get_mut(id as usize)
                {
                    *slot = bits;
                }
                Element::Prefix(Prefix::Other)
            }
            39 => {
                self.captions = self.captions.and(h264::messages(payload).captions);
                Element::Prefix(Prefix::Other)
            }
            32 | 35 | 41..=44 | 48..=55 => Element::Prefix(Prefix::Other),
            38 => Element::Filler,
            _ => Element::Part,
        }
    }

    /// Reads a slice segment header (7.3.6.1) up to the slice type.
    fn slice(&self, kind: u8, payload: &[u8]) -> Element {
        let mut bits = Bits::nal(payload);
        if bits.bit() != Some(true) {
            return Element::Part;
        }
        // Random access points are IRAP pictures, types 16 to 23.
        let random_access = (16..=23).contains(&kind);
        let mut slice_type = || {
            if random_access {
                bits.bit()?;
            }
            let set = bits.ue()?;
            bits.skip(u32::from(*self.extra_bits.get(set as usize)?))?;
            bits.ue()
        };
        let picture = match slice_type() {
            Some(0) => Some(PictureType::B),
            Some(1) => Some(PictureType::P),
            Some(2) => Some(PictureType::I),
            _ => None,
        };
        let entry = if random_access { Entry::Always } else { Entry::IfPrefixed };
        Element::Picture(Start { picture, entry, second_field: false })
    }
}

/// Reads a picture parameter set (7.3.2.3.1): its id and the count of extra bits in slice headers.
fn picture_parameters(payload: &[u8]) -> Option<(u32, u8)> {
    let mut bits = Bits::nal(payload);
    let id = bits.ue()?;
    bits.ue()?;
    bits.skip(2)?;
    Some((id, bits.get(3)? as u8))
}

/// Reads the size and rate of pictures out of a sequence parameter set (7.3.2.2.1).
fn sequence(payload: &[u8]) -> Option<Parameters> {
    let mut bits = Bits::nal(payload);
    bits.skip(4)?;
    let layers = bits.get(3)?;
    bits.bit()?;
    skip_levels(&mut bits, layers)?;
    bits.ue()?;
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.bit()?;
    }
    let (width, height) = (bits.ue()?, bits.ue()?);
    let (mut across, mut down) = (0, 0);
    if bits.bit()? {
        let unit = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
        across = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit.0)?;
        down = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit.1)?;
    }
    Some(Parameters {
        width: Some(width.checked_sub(across)?),
        height: Some(height.checked_sub(down)?),
        frame_rate_milli: frame_rate(&mut bits, layers),
        ..Parameters::default()
    })
}

/// Reads profile, tier and level out of the same.
fn sizes(payload: &[u8]) -> Option<Sizes> {
    let mut bits = Bits::nal(payload);
    bits.skip(8 + 2)?;
    let high_tier = bits.bit()?;
    let profile = bits.get(5)?;
    bits.skip(32 + 48)?;
    Sizes::hevc(high_tier, profile, bits.get(8)?)
}

/// Reads on from the bit depths to the VUI's timing (annex E.2.1).
fn frame_rate(bits: &mut Bits<'_>, layers: u32) -> Option<u32> {
    bits.ue()?;
    bits.ue()?;
    let order_bits = bits.ue()?.checked_add(4)?;
    let ordered = if bits.bit()? { layers + 1 } else { 1 };
    for _ in 0..3 * ordered + 6 {
        bits.ue()?;
    }
    if bits.bit()? && bits.bit()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.bit()? {
        bits.skip(8)?;
        bits.ue()?;
        bits.ue()?;
        bits.bit()?;
    }
    let mut pictures = 0;
    for index in 0..bits.ue()?.min(64) {
        pictures = skip_references(bits, index, pictures)?;
    }
    if bits.bit()? {
        for _ in 0..bits.ue()?.min(32) {
            bits.skip(order_bits + 1)?;
        }
    }
    bits.skip(2)?;
    if !bits.bit()? {
        return None;
    }
    vui_rate(bits)
}

/// Passes over `scaling_list_data` (7.3.4).
fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.bit()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// Passes over `st_ref_pic_set` (7.3.7); returns how many pictures it refers to. `before` is that of the set before it.
fn skip_references(bits: &mut Bits<'_>, index: u32, before: u32) -> Option<u32> {
    if index > 0 && bits.bit()? {
        bits.bit()?;
        bits.ue()?;
        let mut pictures = 0;
        for _ in 0..=before {
            // Used by the current picture, or else at least kept.
            if bits.bit()? || bits.bit()? {
                pictures += 1;
            }
        }
        return Some(pictures);
    }
    let pictures = bits.ue()?.checked_add(bits.ue()?).filter(|count| *count <= 16)?;
    for _ in 0..pictures {
        bits.ue()?;
        bits.bit()?;
    }
    Some(pictures)
}

/// Reads the VUI up to its timing.
fn vui_rate(bits: &mut Bits<'_>) -> Option<u32> {
    skip_vui_colour(bits)?;
    bits.skip(3)?;
    if bits.bit()? {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    if !bits.bit()? {
        return None;
    }
    let (unit, scale) = (u64::from(bits.get(32)?), u64::from(bits.get(32)?));
    u32::try_from((scale * 1000).checked_div(unit)?).ok()
}

/// Passes over `profile_tier_level` (7.3.3).
fn skip_levels(bits: &mut Bits<'_>, layers: u32) -> Option<()> {
    bits.skip(88 + 8)?;
    let mut present = [(false, false); 8];
    for layer in present.iter_mut().take(layers as usize) {
        *layer = (bits.bit()?, bits.bit()?);
    }
    if layers > 0 {
        bits.skip(2 * (8 - layers))?;
    }
    for (profile, level) in present.into_iter().take(layers as usize) {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nal_unit_is_known_by_its_head() {
        let mut reader = Reader::default();
        let picture =
            |picture, entry| Element::Picture(Start { picture, entry, second_field: false });
        for (head, expected) in [
            // IDR_W_RADL: first segment "1", no output "0", set 0 "1", slice type 2 "011".
            (&[0x26, 1, 0b1010_1100][..], picture(Some(PictureType::I), Entry::Always)),
            (&[0x02, 1, 0b1101_0000], picture(Some(PictureType::P), Entry::IfPrefixed)),
            (&[0x00, 1, 0b1110_0000], picture(Some(PictureType::B), Entry::IfPrefixed)),
            (&[0x02, 1, 0b0101_0000], Element::Part),
            (&[0x02, 9, 0b1101_0000], Element::Part),
            (&[0x40, 1, 0x0C], Element::Prefix(Prefix::Other)),
            (&[0x4C, 1, 0xFF], Element::Filler),
            (&[0x50, 1, 0x80], Element::Part),
            (&[0x02], Element::Part),
        ] {
            assert_eq!(reader.classify(head), expected, "{head:02x?}");
        }
        // Set 0 with two extra bits: "1" "1" "00" "010".
        reader.classify(&[0x44, 1, 0b1100_0100]);
        let found = reader.classify(&[0x02, 1, 0b1100_0100]);
        assert_eq!(found, picture(Some(PictureType::P), Entry::IfPrefixed));
    }
}
