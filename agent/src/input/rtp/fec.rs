//! Forward error correction beside an RTP stream (SMPTE ST 2022-1, formerly Pro-MPEG COP3): that it is there, and its shape. Nothing is
//! repaired with it: what was lost is told as a receiver without it has it.

use super::RtpPacket;

/// The ports of column and row packets, from the stream's (ST 2022-1, 7).
pub const FEC_PORTS: [u16; 2] = [2, 4];

/// Which packets one FEC packet covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FecDirection {
    /// Packets that were sent apart from each other: these repair bursts.
    Column,
    /// Packets in a row.
    Row,
}

impl FecDirection {
    /// Returns the label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Column => "column",
            Self::Row => "row",
        }
    }
}

/// What a FEC packet's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fec {
    /// Which packets it covers.
    pub direction: FecDirection,
    /// How far apart they are in the order of sending.
    pub offset: u8,
    /// How many they are.
    pub packets: u8,
}

impl Fec {
    /// Reads a datagram (ST 2022-1, 6): exclusive or, of one source; `None` for anything else.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let packet = RtpPacket::parse(datagram).ok()?;
        // What lies between serves to repair.
        let [_, _, _, _, extended, mask @ .., _, _, _, _, kind, offset, packets, _] =
            packet.payload.first_chunk::<16>()?;
        let (direction, method) = (kind >> 6 & 1, kind >> 3 & 7);
        let known = extended & 0x80 != 0 && *mask == [0, 0, 0] && method == 0 && kind & 7 == 0;
        let direction = if direction == 0 { FecDirection::Column } else { FecDirection::Row };
        (known && *offset > 0 && *packets > 0).then_some(Self {
            direction,
            offset: *offset,
            packets: *packets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_which_packets_are_covered_and_nothing_else_is_taken_for_one() {
        let rtp = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let fec = |kind: u8, offset: u8, packets: u8| {
            [0, 9, 5, 36, 0x80 | 33, 0, 0, 0, 1, 2, 3, 4, kind, offset, packets, 0]
        };
        let read = |header: &[u8]| Fec::parse(&[&rtp, header, &[7; 1316]].concat());
        let column = Fec { direction: FecDirection::Column, offset: 5, packets: 20 };
        assert_eq!(read(&fec(0, 5, 20)), Some(column));
        let row = Fec { direction: FecDirection::Row, offset: 1, packets: 5 };
        assert_eq!(read(&fec(0x40, 1, 5)), Some(row));
        let mut short_header = fec(0, 5, 20);
        short_header[4] &= 0x7f;
        let mut masked = fec(0, 5, 20);
        masked[6] = 1;
        for other in
            [fec(0x08, 5, 20), fec(0x01, 5, 20), fec(0, 0, 20), fec(0, 5, 0), short_header, masked]
        {
            assert_eq!(read(&other), None, "{other:?}");
        }
        assert_eq!(Fec::parse(&[&rtp[..], &[0x47; 1316]].concat()), None, "media");
        assert_eq!(Fec::parse(&[&rtp[..], &fec(0, 5, 20)[..15]].concat()), None, "cut off");
    }
}
