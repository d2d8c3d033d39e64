//! MPEG-1 and MPEG-2 video headers (ISO/IEC 13818-2, 6.2), as far as access units need them.

use tallylight_model::PictureType;

use crate::{
    Parameters,
    bits::Bits,
    buffer::Sizes,
    caption::{self, Held},
    video::{Element, Entry, Prefix, Start},
};

/// Reads headers; remembers what joins two fields to a picture.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) parameters: Parameters,
    /// Captions that were found and not taken yet.
    pub(crate) captions: Held,
    /// The bit rate and the VBV's size by the sequence header, in their units.
    rates: Option<(u64, u64)>,
    pub(crate) sizes: Option<Sizes>,
    /// The temporal reference of the last picture header.
    reference: Option<u32>,
    /// The last picture is a first field.
    first_field: bool,
    /// The picture header is that of a second field.
    second_field: bool,
}

impl Reader {
    pub(crate) fn classify(&mut self, head: &[u8]) -> Element {
        let Some((&code, payload)) = head.split_first() else { return Element::Part };
        match code {
            0x00 => self.picture(payload),
            0xB3 => {
                self.first_field = false;
                if let Some(parameters) = sequence(payload) {
                    self.parameters = parameters;
                }
                self.rates = rates(payload);
                Element::Prefix(Prefix::Entry)
            }
            0xB8 => {
                self.first_field = false;
                Element::Prefix(Prefix::Other)
            }
            0xB2 => {
                self.captions = self.captions.and(caption::user_data(payload));
                Element::Part
            }
            0xB5 => {
                self.extension(payload);
                Element::Part
            }
            _ => Element::Part,
        }
    }

    fn picture(&mut self, payload: &[u8]) -> Element {
        let mut bits = Bits::plain(payload);
        let reference = bits.get(10);
        let picture = match bits.get(3) {
            Some(1) => Some(PictureType::I),
            Some(2) => Some(PictureType::P),
            Some(3) => Some(PictureType::B),
            _ => None,
        };
        self.second_field = self.first_field && reference == self.reference;
        self.first_field = false;
        self.reference = reference;
        let second_field = self.second_field;
        Element::Picture(Start { picture, entry: Entry::IfPrefixed, second_field })
    }

    /// Reads the picture coding extension (6.2.3.1) up to the picture structure.
    fn extension(&mut self, payload: &[u8]) {
        let mut bits = Bits::plain(payload);
        if payload.first().is_some_and(|first| first >> 4 == 1) {
            self.sizes = self.rates.and_then(|rates| sizes(payload, rates));
        }
        if bits.get(4) == Some(8) && bits.skip(18).is_some() {
            let field = matches!(bits.get(2), Some(1 | 2));
            self.first_field = field && !self.second_field;
        }
    }
}

/// Reads a sequence header (6.2.2.1). Sizes above 4,095 need an extension, and are not used.
fn sequence(payload: &[u8]) -> Option<Parameters> {
    const RATES: [u32; 8] = [23_976, 24_000, 25_000, 29_970, 30_000, 50_000, 59_940, 60_000];
    let mut bits = Bits::plain(payload);
    let (width, height) = (bits.get(12)?, bits.get(12)?);
    bits.skip(4)?;
    let rate = bits.get(4)? as usize;
    Some(Parameters {
        width: Some(width),
        height: Some(height),
        frame_rate_milli: rate.checked_sub(1).and_then(|i| RATES.get(i)).copied(),
        ..Parameters::default()
    })
}

/// Reads on in a sequence header: the bit rate in units of 400 bits per second, and the VBV's size in units of 16,384 bits.
fn rates(payload: &[u8]) -> Option<(u64, u64)> {
    let mut bits = Bits::plain(payload);
    bits.skip(32)?;
    let rate = bits.get(18)?;
    bits.bit()?;
    Some((u64::from(rate), u64::from(bits.get(10)?)))
}

/// Reads profile and level, and the high bits of bit rate and VBV, out of a sequence extension (6.2.2.3).
fn sizes(payload: &[u8], (rate, vbv): (u64, u64)) -> Option<Sizes> {
    let mut bits = Bits::plain(payload);
    bits.skip(4)?;
    let profile_and_level = bits.get(8)? as u8;
    bits.skip(7)?;
    let rate = rate | u64::from(bits.get(12)?) << 18;
    bits.bit()?;
    let vbv = vbv | u64::from(bits.get(8)?) << 10;
    Sizes::mpeg2(profile_and_level, rate * 400, vbv * 16_384)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(reader: &mut Reader, reference: u8, kind: u8, structure: u8) -> Start {
        let element = reader.classify(&[0, reference, kind << 3, 0, 0]);
        assert_eq!(reader.classify(&[0xB5, 0x80, 0, structure, 0]), Element::Part);
        let Element::Picture(start) = element else { panic!("{element:?}") };
        start
    }

    #[test]
    fn two_fields_are_one_access_unit() {
        let mut reader = Reader::default();
        let mut second = |reference, kind, structure| {
            picture(&mut reader, reference, kind, structure).second_field
        };
        assert_eq!([second(1, 1, 1), second(1, 2, 2)], [false, true]);
        assert_eq!([second(1, 3, 1), second(2, 3, 1), second(2, 3, 2)], [false, false, true]);
        assert_eq!([second(3, 2, 3), second(3, 2, 3)], [false, false]);
    }

    #[test]
    fn headers_say_size_rate_and_type() {
        let mut reader = Reader::default();
        let found = reader.classify(&[0xB3, 0x2D, 0x02, 0x40, 0x33, 0, 0]);
        assert_eq!(found, Element::Prefix(Prefix::Entry));
        let parameters = reader.parameters;
        assert_eq!((parameters.width, parameters.height), (Some(720), Some(576)));
        assert_eq!(parameters.frame_rate_milli, Some(25_000));
        assert_eq!(picture(&mut reader, 0, 1, 3).picture, Some(PictureType::I));
        assert_eq!(reader.classify(&[0x01]), Element::Part);
    }
}
