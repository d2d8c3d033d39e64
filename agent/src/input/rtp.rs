//! RTP (RFC 3550) with transport stream payload (RFC 2250, payload type 33): reads packets, puts them back in order and counts what
//! became of them.

mod fec;
mod jitter;
mod reorder;

pub use fec::{FEC_PORTS, Fec, FecDirection};
pub use jitter::Jitter;
pub use reorder::{MAX_WAIT, Reorder, RtpCounts, WINDOW};

/// Why a datagram is not RTP with a transport stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Shorter than its header says.
    #[error("datagram is shorter than its RTP header")]
    Short,
    /// The version is not 2.
    #[error("RTP version {0} instead of 2")]
    Version(u8),
    /// The padding is longer than what it pads.
    #[error("RTP padding is longer than the packet")]
    Padding,
    /// It is a control packet (RTCP) on the same port (RFC 5761, 4): no payload at all.
    #[error("RTCP packet type {0}")]
    Control(u8),
    /// The payload is something else.
    #[error("RTP payload type {0} instead of 33 (MP2T)")]
    PayloadType(u8),
}

/// The header fields that matter, and the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Counts up by one for each packet, modulo 2^16.
    pub sequence: u16,
    /// 90 kHz for MP2T (RFC 2250, 2).
    pub timestamp: u32,
    /// Names the sender's session.
    pub ssrc: u32,
    /// Whole transport stream packets.
    pub payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    const MP2T: u8 = 33;

    /// Reads a datagram (RFC 3550, 5.1). Payload types 96 to 127 are accepted as well: some encoders send MP2T so.
    ///
    /// # Errors
    /// [`RtpError`] says what it is instead.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let (header, rest) = datagram.split_first_chunk::<12>().ok_or(RtpError::Short)?;
        let [first, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *header;
        if first >> 6 != 2 {
            return Err(RtpError::Version(first >> 6));
        }
        let payload_type = kind & 0x7f;
        // RTCP's types as seen here are kept free for it (RFC 5761, 4).
        if (64..96).contains(&payload_type) {
            return Err(RtpError::Control(kind));
        }
        if payload_type != Self::MP2T && payload_type < 96 {
            return Err(RtpError::PayloadType(payload_type));
        }
        let csrc = usize::from(first & 0x0f) * 4;
        let mut payload = rest.get(csrc..).ok_or(RtpError::Short)?;
        if first & 0x10 != 0 {
            let (extension, rest) = payload.split_first_chunk::<4>().ok_or(RtpError::Short)?;
            let words = u16::from_be_bytes([extension[2], extension[3]]);
            payload = rest.get(usize::from(words) * 4..).ok_or(RtpError::Short)?;
        }
        if first & 0x20 != 0 {
            let padding = usize::from(payload.last().copied().unwrap_or(0));
            let left = payload.len().checked_sub(padding).filter(|_| padding > 0);
            payload = left.and_then(|left| payload.get(..left)).ok_or(RtpError::Padding)?;
        }
        Ok(Self {
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_are_read_as_rfc_3550_says_and_nothing_else_passes() {
        let base = [0x80, 33, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7];
        let with = |first: u8, kind: u8, tail: &[u8]| {
            let mut datagram = base.to_vec();
            datagram[0] = first;
            datagram[1] = kind;
            datagram.extend_from_slice(tail);
            datagram
        };
        type Payload = Result<Vec<u8>, RtpError>;
        let payload = |bytes: &[u8]| -> Payload { Ok(bytes.to_vec()) };
        let cases = [
            ("plain", with(0x80, 33, &[0x47, 1]), payload(&[0x47, 1])),
            ("marker bit", with(0x80, 0x80 | 33, &[0x47]), payload(&[0x47])),
            ("two CSRC", with(0x82, 33, &[1, 1, 1, 1, 2, 2, 2, 2, 0x47]), payload(&[0x47])),
            ("extension", with(0x90, 33, &[0, 0, 0, 1, 9, 9, 9, 9, 0x47]), payload(&[0x47])),
            ("padding", with(0xa0, 33, &[0x47, 0, 2]), payload(&[0x47])),
            ("dynamic type", with(0x80, 97, &[0x47]), payload(&[0x47])),
            ("no payload", with(0x80, 33, &[]), payload(&[])),
            ("short", vec![0x80; 11], Err(RtpError::Short)),
            ("CSRC missing", with(0x83, 33, &[0; 8]), Err(RtpError::Short)),
            ("extension missing", with(0x90, 33, &[0, 0, 0, 2, 0, 0, 0, 0]), Err(RtpError::Short)),
            ("bare transport stream", with(0x47, 33, &[]), Err(RtpError::Version(1))),
            ("sender report", with(0x80, 200, &[0; 16]), Err(RtpError::Control(200))),
            ("PCMU", with(0x80, 0, &[]), Err(RtpError::PayloadType(0))),
        ];
        for (name, datagram, expected) in cases {
            let got = RtpPacket::parse(&datagram).map(|packet| packet.payload.to_vec());
            assert_eq!(got, expected, "{name}");
        }
        for padding in [0, 9] {
            let datagram = with(0xa0, 33, &[1, padding]);
            assert_eq!(RtpPacket::parse(&datagram), Err(RtpError::Padding));
        }
        let datagram = with(0x80, 33, &[]);
        let packet = RtpPacket::parse(&datagram).unwrap();
        assert_eq!((packet.sequence, packet.timestamp, packet.ssrc), (0x1234, 9, 7));
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(packet) = RtpPacket::parse(&bytes) {
                prop_assert!(packet.payload.len() <= bytes.len() - 12);
            }
        }
    }
}
