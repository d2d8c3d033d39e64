//! Bits of coded headers.

/// Reads bits from the front. In H.264 and HEVC the emulation prevention byte (00 00 03) is passed over.
#[derive(Clone)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// The byte in work and how many of its bits are left.
    current: u8,
    left: u8,
    zeros: u8,
    emulation: bool,
}

impl<'a> Bits<'a> {
    /// Reads bytes as they are.
    pub(crate) const fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes, current: 0, left: 0, zeros: 0, emulation: false }
    }

    /// Reads a NAL unit's payload (ISO/IEC 14496-10, 7.4.1).
    pub(crate) const fn nal(bytes: &'a [u8]) -> Self {
        Self { bytes, current: 0, left: 0, zeros: 0, emulation: true }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        if self.emulation && self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            return self.byte();
        }
        self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
        Some(byte)
    }

    /// Bytes that were not begun.
    pub(crate) const fn bytes_left(&self) -> usize {
        self.bytes.len()
    }

    /// Reads as many of so many bits as the current byte has left: their value, and how many.
    fn some(&mut self, wanted: u8) -> Option<(u32, u8)> {
        if self.left == 0 {
            self.current = self.byte()?;
            self.left = 8;
        }
        let count = wanted.min(self.left);
        self.left -= count;
        Some((u32::from(self.current) >> self.left & ((1 << count) - 1), count))
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        Some(self.some(1)?.0 == 1)
    }

    /// Reads up to 32 bits.
    pub(crate) fn get(&mut self, count: u8) -> Option<u32> {
        let (mut value, mut missing) = (0, count);
        while missing > 0 {
            let (some, count) = self.some(missing)?;
            value = value << count | some;
            missing -= count;
        }
        Some(value)
    }

    pub(crate) fn skip(&mut self, count: u32) -> Option<()> {
        let mut missing = count;
        while missing > 0 {
            missing -= u32::from(self.some(missing.min(8) as u8)?.1);
        }
        Some(())
    }

    /// Reads an unsigned Exp-Golomb code (ISO/IEC 14496-10, 9.1); `None` above 2^31.
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0u8;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some(((1 << zeros) - 1) + self.get(zeros)?)
    }

    /// Reads a signed Exp-Golomb code.
    pub(crate) fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        i32::try_from(if code % 2 == 1 { (code + 1) / 2 } else { -code / 2 }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_over_emulation_prevention() {
        let mut bits = Bits::plain(&[0b1010_0110, 0b0100_0010]);
        assert_eq!(
            [bits.ue(), bits.ue(), bits.ue(), bits.ue()],
            [Some(0), Some(1), Some(2), Some(3)]
        );
        assert_eq!(Bits::plain(&[0b0011_1000]).se(), Some(-3));
        assert_eq!(Bits::plain(&[0; 9]).ue(), None);
        let mut bits = Bits::nal(&[0, 0, 3, 1]);
        assert_eq!((bits.get(24), bits.bit()), (Some(1), None));
        assert_eq!(Bits::plain(&[0, 0, 3, 1]).get(32), Some(0x301));
    }
}
