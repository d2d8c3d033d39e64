//! PES packets (ISO/IEC 13818-1, 2.4.3.6 and 2.4.3.7).

use alloc::vec::Vec;

use tallylight_model::Pts;

/// The stamps of a PES packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamps {
    pub(crate) pts: Option<Pts>,
    pub(crate) dts: Option<Pts>,
}

/// What a transport packet's payload brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// A PES packet's header is complete; `data` belongs to it.
    pub(crate) started: Option<Stamps>,
    /// Elementary stream bytes.
    pub(crate) data: &'a [u8],
    /// The payload should begin a PES packet and does not.
    pub(crate) broken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Waits for a packet to begin.
    #[default]
    Idle,
    /// Within the header.
    Head,
    /// Within the data; so many bytes are left, where that was stated.
    Data(Option<usize>),
}

/// Reads the PES packets of one PID. Holds at most one header, 264 bytes.
#[derive(Default)]
pub(crate) struct Reader {
    head: Vec<u8>,
    state: State,
}

impl Reader {
    /// Packets were lost: a header is given up, and a stated length cannot be followed.
    pub(crate) fn lost(&mut self) {
        self.state = match self.state {
            State::Data(_) => State::Data(None),
            State::Idle | State::Head => State::Idle,
        };
    }

    /// Forgets everything: the next data begin with the next PES packet.
    pub(crate) fn reset(&mut self) {
        self.state = State::Idle;
    }

    pub(crate) fn push<'a>(&mut self, start: bool, payload: &'a [u8]) -> Part<'a> {
        if start {
            self.head.clear();
            self.state = State::Head;
        }
        let mut rest = payload;
        while self.state == State::Head {
            let missing = self.wanted().saturating_sub(self.head.len());
            let (now, later) = rest.split_at(missing.min(rest.len()));
            self.head.extend_from_slice(now);
            rest = later;
            if now.len() < missing {
                return Part::default();
            }
            if missing == 0 {
                return self.begin(rest);
            }
        }
        Part { data: self.body(rest), ..Part::default() }
    }

    /// How many bytes of data follow at least.
    pub(crate) fn expected(&self) -> usize {
        match self.state {
            State::Data(left) => left.unwrap_or(usize::MAX),
            State::Idle | State::Head => 0,
        }
    }

    /// Passes so many of the data that are [expected](Self::expected).
    pub(crate) fn take(&mut self, bytes: usize) {
        if let State::Data(Some(left)) = &mut self.state {
            *left = left.saturating_sub(bytes);
        }
    }

    /// How long the header is as far as known.
    fn wanted(&self) -> usize {
        match *self.head {
            [_, _, _, id, _, _, _, _, length, ..] if has_header(id) => 9 + usize::from(length),
            [_, _, _, id, _, _, ..] if has_header(id) => 9,
            _ => 6,
        }
    }

    /// Handles a complete header.
    fn begin<'a>(&mut self, rest: &'a [u8]) -> Part<'a> {
        self.state = State::Idle;
        let [0, 0, 1, id, high, low, ref optional @ ..] = *self.head else {
            return Part { broken: true, ..Part::default() };
        };
        let &[marker, flags, _, ref fields @ ..] = optional else { return Part::default() };
        if !has_header(id) || marker & 0xC0 != 0x80 {
            return Part { broken: true, ..Part::default() };
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        self.state = State::Data(length.checked_sub(optional.len()).filter(|_| length != 0));
        let pts = if flags & 0x80 != 0 { stamp(fields) } else { None };
        let dts = if flags & 0xC0 == 0xC0 { fields.get(5..).and_then(stamp) } else { None };
        Part { started: Some(Stamps { pts, dts }), data: self.body(rest), broken: false }
    }

    fn body<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        match &mut self.state {
            State::Idle | State::Head => &[],
            State::Data(None) => rest,
            State::Data(Some(left)) => {
                let data = &rest[..rest.len().min(*left)];
                *left -= data.len();
                data
            }
        }
    }
}

/// Whether PES packets of this stream id have the optional header (2.4.3.7): not padding, maps, directories or private stream 2.
fn has_header(id: u8) -> bool {
    !matches!(id, 0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF)
}

/// Reads 33 bits spread over five bytes. Marker bits that are wrong make it none.
fn stamp(field: &[u8]) -> Option<Pts> {
    let &[a, b, c, d, e] = field.first_chunk::<5>()?;
    if a & 1 == 0 || c & 1 == 0 || e & 1 == 0 {
        return None;
    }
    let [a, b, c, d, e] = [a, b, c, d, e].map(u64::from);
    Some(Pts::from_ticks((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1))
}

#[cfg(test)]
pub(crate) mod build {
    use super::*;

    fn stamp(prefix: u8, ticks: u64) -> [u8; 5] {
        [
            prefix << 4 | (ticks >> 29) as u8 & 0x0E | 1,
            (ticks >> 22) as u8,
            (ticks >> 14) as u8 | 1,
            (ticks >> 7) as u8,
            (ticks << 1) as u8 | 1,
        ]
    }

    /// A PES packet; `length` states its length in the header.
    pub(crate) fn pes(
        id: u8,
        pts: Option<u64>,
        dts: Option<u64>,
        sized: bool,
        data: &[u8],
    ) -> Vec<u8> {
        let (flags, mut fields) = match (pts, dts) {
            (Some(pts), Some(dts)) => (0xC0, [stamp(3, pts), stamp(1, dts)].concat()),
            (Some(pts), None) => (0x80, stamp(2, pts).to_vec()),
            _ => (0, Vec::new()),
        };
        let length = if sized { 3 + fields.len() + data.len() } else { 0 };
        let mut bytes = alloc::vec![0, 0, 1, id, (length >> 8) as u8, length as u8, 0x80, flags];
        bytes.push(fields.len() as u8);
        bytes.append(&mut fields);
        bytes.extend(data);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_and_data_are_found_however_the_header_is_cut() {
        let last = (1 << 33) - 1;
        let packet = build::pes(0xE0, Some(last), Some(7), true, b"data and");
        for cut in 1..packet.len() {
            let mut reader = Reader::default();
            let (first, second) = packet.split_at(cut);
            let second = [second, b"stuffing"].concat();
            let parts = [reader.push(true, first), reader.push(false, &second)];
            let stamps: Vec<_> = parts.iter().filter_map(|part| part.started).collect();
            let expected =
                Stamps { pts: Some(Pts::from_ticks(last)), dts: Some(Pts::from_ticks(7)) };
            assert_eq!(stamps, [expected]);
            assert_eq!([parts[0].data, parts[1].data].concat(), b"data and", "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_a_pes_packet_is_said_and_left() {
        for bytes in
            [&[0, 0, 2, 0xE0, 0, 0, 0x80, 0, 0, 5][..], &[0, 0, 1, 0xE0, 0, 0, 0x40, 0, 0, 5]]
        {
            let mut reader = Reader::default();
            assert!(reader.push(true, bytes).broken);
            assert_eq!(reader.push(false, &[1, 2, 3]), Part::default());
        }
        let mut reader = Reader::default();
        assert_eq!(reader.push(false, b"no begin"), Part::default());
    }

    #[test]
    fn after_a_loss_the_stated_length_is_not_followed() {
        let packet = build::pes(0xC0, None, None, true, b"abc");
        let mut reader = Reader::default();
        assert_eq!(reader.push(true, &packet).data, b"abc");
        reader.lost();
        assert_eq!(reader.push(false, b"more").data, b"more");
    }
}
