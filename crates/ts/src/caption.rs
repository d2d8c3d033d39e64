//! Closed captions within pictures: CEA-608 and CEA-708 as ATSC A/53, part 4, 6.2.3 carries them.
//!
//! A descriptor may promise captions that never come, and most come without one. So what counts as seen is data that is valid and
//! no padding, in the pictures' own messages.

use crate::Position;

/// Since where captions were seen in a component's pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captions {
    /// Line 21 captions, CEA-608.
    pub cea608: Option<Position>,
    /// Digital captions, CEA-708.
    pub cea708: Option<Position>,
}

impl Captions {
    /// Notes what the message of a picture holds that stands here.
    pub(crate) fn note(&mut self, held: Held, here: Position) {
        if held.cea608 {
            self.cea608.get_or_insert(here);
        }
        if held.cea708 {
            self.cea708.get_or_insert(here);
        }
    }
}

/// Which captions a message holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) cea608: bool,
    pub(crate) cea708: bool,
}

impl Held {
    pub(crate) const fn any(self) -> bool {
        self.cea608 || self.cea708
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self { cea608: self.cea608 || other.cea608, cea708: self.cea708 || other.cea708 }
    }
}

/// The message by ITU-T T.35 in which H.264 and HEVC carry user data: country, provider, user data.
pub(crate) fn registered(bytes: &[u8]) -> Held {
    match bytes {
        [0xB5, 0x00, 0x31, rest @ ..] => user_data(rest),
        _ => Held::default(),
    }
}

/// User data from its identifier on, as far as it goes.
pub(crate) fn user_data(bytes: &[u8]) -> Held {
    let [b'G', b'A', b'9', b'4', 0x03, flags, _, triplets @ ..] = bytes else {
        return Held::default();
    };
    let count = if flags & 0x40 != 0 { usize::from(flags & 0x1F) } else { 0 };
    let mut held = Held::default();
    for triplet in triplets.chunks_exact(3).take(count) {
        let valid = triplet[0] & 0x04 != 0;
        // Each byte of CEA-608 has a parity bit; two empty bytes are padding.
        let padding = (triplet[1] | triplet[2]) & 0x7F == 0;
        match triplet[0] & 3 {
            0 | 1 => held.cea608 |= valid && !padding,
            _ => held.cea708 |= valid,
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_count_where_they_say_something() {
        const NONE: Held = Held { cea608: false, cea708: false };
        const LINE_21: Held = Held { cea608: true, cea708: false };
        const DIGITAL: Held = Held { cea608: false, cea708: true };
        for (flags, triplets, expected) in [
            (0xC1, &[0xFC, 0x94, 0x20][..], LINE_21),
            (0xC1, &[0xFD, 0x94, 0x20], LINE_21),
            (0xC1, &[0xFC, 0x80, 0x80], NONE),
            (0xC1, &[0xF8, 0x94, 0x20], NONE),
            (0xC2, &[0xFC, 0x80, 0x80, 0xFF, 0x42, 0x21], DIGITAL),
            (0xC1, &[0xFA, 0, 0], NONE),
            (0x81, &[0xFC, 0x94, 0x20], NONE),
            (0xC1, &[0xFC, 0x80, 0x80, 0xFC, 0x94, 0x20], NONE),
            (0xC2, &[0xFC, 0x94], NONE),
        ] {
            let data = [&b"GA94\x03"[..], &[flags, 0xFF], triplets].concat();
            assert_eq!(user_data(&data), expected, "{data:02x?}");
            assert_eq!(registered(&[&[0xB5, 0, 0x31][..], &data].concat()), expected);
        }
        assert_eq!(user_data(b"GA94\x06\xC1\xFF\xFC\x94\x20"), NONE);
        assert_eq!(registered(b"\xB5\x00\x2FGA94\x03\xC1\xFF\xFC\x94\x20"), NONE);
        assert_eq!(user_data(&[]), NONE);
    }
}
