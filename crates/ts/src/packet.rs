//! Transport packets (ISO/IEC 13818-1, 2.4.3.2 and 2.4.3.4).

use tallylight_model::{Pcr, Pid};

/// Bytes of a transport packet.
pub(crate) const PACKET: usize = 188;
/// The first byte of a transport packet.
pub(crate) const SYNC: u8 = 0x47;

/// Bytes of the payload that fills a packet.
pub(crate) const PAYLOAD: usize = PACKET - 4;

pub(crate) fn pid(raw: &[u8; PACKET]) -> Pid {
    Pid::from_bits(u16::from_be_bytes([raw[1], raw[2]]))
}

/// PID and counter of a packet as most are: full, neither scrambled nor damaged, and no unit begins with it.
pub(crate) fn plain(raw: &[u8; PACKET]) -> Option<(Pid, u8)> {
    let [_, high, low, last] = *raw.first_chunk()?;
    let usual = high & 0xC0 == 0 && last & 0xF0 == 0x10;
    usual.then(|| (Pid::from_bits(u16::from_be_bytes([high, low])), last & 0x0F))
}

/// The payloads of packets that follow a plain one, itself among them, as long as only the counter moves, by one.
pub(crate) fn alike<'a>(
    packets: impl Iterator<Item = &'a [u8; PACKET]>,
) -> impl Iterator<Item = &'a [u8; PAYLOAD]> {
    let mut expected = None;
    packets.map_while(move |raw| {
        let head = *raw.first_chunk()?;
        let [sync, high, low, last] = expected.unwrap_or(head);
        expected = Some([sync, high, low, last & 0xF0 | last.wrapping_add(1) & 0x0F]);
        raw.last_chunk().filter(|_| head == [sync, high, low, last])
    })
}

/// A packet's header and where its payload is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) pid: Pid,
    pub(crate) transport_error: bool,
    pub(crate) unit_start: bool,
    pub(crate) scrambled: bool,
    pub(crate) counter: u8,
    pub(crate) has_payload: bool,
    /// The payload's first byte; the packet's length where there is none.
    payload_at: u8,
    has_adaptation: bool,
    /// The adaptation field's flags; zero where there are none.
    flags: u8,
}

impl Header {
    pub(crate) fn parse(raw: &[u8; PACKET]) -> Self {
        let control = raw[3] >> 4 & 3;
        let (has_adaptation, has_payload) = (control & 2 != 0, control & 1 != 0);
        let length = if has_adaptation { usize::from(raw[4]) + 1 } else { 0 };
        let payload_at = if has_payload { (4 + length).min(PACKET) } else { PACKET };
        Self {
            pid: pid(raw),
            transport_error: raw[1] & 0x80 != 0,
            unit_start: raw[1] & 0x40 != 0,
            scrambled: raw[3] & 0xC0 != 0,
            counter: raw[3] & 0x0F,
            has_payload,
            payload_at: payload_at as u8,
            has_adaptation,
            flags: if length > 1 { raw[5] } else { 0 },
        }
    }

    pub(crate) fn payload<'a>(&self, raw: &'a [u8; PACKET]) -> &'a [u8] {
        &raw[self.payload_place()..]
    }

    /// Where in the packet the payload begins; at its end where there is none.
    pub(crate) fn payload_place(&self) -> usize {
        usize::from(self.payload_at).min(PACKET)
    }

    pub(crate) const fn discontinuity(&self) -> bool {
        self.flags & 0x80 != 0
    }

    pub(crate) const fn random_access(&self) -> bool {
        self.flags & 0x40 != 0
    }

    pub(crate) fn pcr(&self, raw: &[u8; PACKET]) -> Option<Pcr> {
        if !self.has_adaptation || self.flags & 0x10 == 0 || raw[4] < 7 {
            return None;
        }
        let field = [0, 0, raw[6], raw[7], raw[8], raw[9], raw[10], raw[11]];
        let field = u64::from_be_bytes(field);
        // An extension over 299 is forbidden: the field is damaged.
        let extension = (field & 0x1FF) as u16;
        (extension < 300).then(|| Pcr::from_parts(field >> 15, extension))
    }
}

#[cfg(test)]
pub(crate) mod build {
    //! Hand-made packets for tests.

    use super::*;

    /// A packet with this payload; an adaptation field of stuffing, with `flags`, fills what is left.
    pub(crate) fn packet(pid: u16, counter: u8, start: bool, payload: &[u8]) -> [u8; PACKET] {
        with_flags(pid, counter, start, 0, payload)
    }

    pub(crate) fn with_flags(
        pid: u16,
        counter: u8,
        start: bool,
        flags: u8,
        payload: &[u8],
    ) -> [u8; PACKET] {
        assert!(payload.len() <= 184 - if flags == 0 { 0 } else { 2 });
        let mut raw = [0xFF; PACKET];
        raw[0] = SYNC;
        raw[1] = (pid >> 8) as u8 | if start { 0x40 } else { 0 };
        raw[2] = pid as u8;
        let room = 184 - payload.len();
        let control = u8::from(!payload.is_empty()) | if room > 0 { 2 } else { 0 };
        raw[3] = control << 4 | counter & 0x0F;
        if room > 0 {
            raw[4] = (room - 1) as u8;
        }
        if room > 1 {
            raw[5] = flags;
        }
        raw[PACKET - payload.len()..].copy_from_slice(payload);
        raw
    }

    /// A packet without payload that carries a PCR.
    pub(crate) fn clock(pid: u16, counter: u8, ticks: u64, flags: u8) -> [u8; PACKET] {
        let mut raw = with_flags(pid, counter, false, flags | 0x10, &[]);
        let field = ((ticks / 300) << 15) | 0x7E00 | (ticks % 300);
        raw[6..12].copy_from_slice(&field.to_be_bytes()[2..]);
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_whatever_its_adaptation_field_claims() {
        let raw = build::clock(0x1A4, 7, 27_000_123, 0x80);
        let header = Header::parse(&raw);
        assert_eq!((header.pid.get(), header.counter, header.has_payload), (0x1A4, 7, false));
        assert!(header.discontinuity() && !header.random_access());
        assert_eq!(header.pcr(&raw).map(Pcr::ticks), Some(27_000_123));
        assert!(header.payload(&raw).is_empty());

        let mut raw = build::packet(0x64, 1, true, &[1, 2, 3]);
        assert_eq!(Header::parse(&raw).payload(&raw), [1, 2, 3]);
        raw[4] = 255;
        assert!(Header::parse(&raw).payload(&raw).is_empty());
        raw[4] = 0;
        assert_eq!(Header::parse(&raw).payload(&raw).len(), 183);
        assert!(Header::parse(&raw).pcr(&raw).is_none());
    }
}
