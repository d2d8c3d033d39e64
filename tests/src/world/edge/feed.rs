//! What a delivery server must know of a transport stream: where pictures begin that a player can start with, when they
//! are shown, and the tables that a player needs first. A scan of its own, so that the world does not lean on the analyser
//! that it tests.

use bytes::Bytes;
use tallylight_model::Pts;

use crate::world::packet::PACKET;

/// The most of a stream that is kept for a fast start: beyond it, a client waits for the next key picture.
const MAX_GROUP_BYTES: usize = 4 << 20;

/// What a packet means to a delivery server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A player can start with it: a key picture begins. Its presentation stamp.
    Key(Pts),
    /// Another picture begins.
    Picture(Pts),
    /// Anything else.
    Other,
}

/// Follows one channel's stream packet by packet.
#[derive(Debug, Default)]
pub(super) struct Feed {
    association: Option<[u8; PACKET]>,
    map: Option<[u8; PACKET]>,
    map_pid: Option<u16>,
    video_pid: Option<u16>,
    /// The tables as they stood at the last key picture, and everything since, that picture included.
    group: Vec<u8>,
}

impl Feed {
    /// Reads a packet and keeps it for those who join.
    pub(super) fn packet(&mut self, packet: &[u8; PACKET]) -> Mark {
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1FFF;
        let begins = packet[1] & 0x40 != 0;
        if pid == 0 && begins {
            self.association = Some(*packet);
            self.map_pid = first_map_pid(packet).or(self.map_pid);
        } else if Some(pid) == self.map_pid && begins {
            self.map = Some(*packet);
            self.video_pid = first_video_pid(packet).or(self.video_pid);
        }
        let mark =
            if Some(pid) == self.video_pid && begins { picture(packet) } else { Mark::Other };
        if matches!(mark, Mark::Key(_)) {
            self.group = self.tables();
        } else if self.group.len() + PACKET > MAX_GROUP_BYTES {
            self.group.clear();
            return mark;
        } else if self.group.is_empty() {
            return mark;
        }
        self.group.extend_from_slice(packet);
        mark
    }

    /// The tables that a player needs first, as they were last sent: to who saw them they are legal duplicates.
    #[must_use]
    pub(super) fn tables(&self) -> Vec<u8> {
        match (&self.association, &self.map) {
            (Some(association), Some(map)) => [&association[..], &map[..]].concat(),
            _ => Vec::new(),
        }
    }

    /// What a client that joins gets at once: tables, and all since the last key picture. Empty before the first.
    #[must_use]
    pub(super) fn start(&self) -> Bytes {
        Bytes::copy_from_slice(&self.group)
    }
}

fn payload(packet: &[u8; PACKET]) -> Option<&[u8]> {
    let field = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
    packet.get(4 + field..).filter(|_| packet[3] & 0x10 != 0)
}

/// The section that begins in a packet, without its CRC.
fn section(packet: &[u8; PACKET], table_id: u8) -> Option<&[u8]> {
    let payload = payload(packet)?;
    let section = payload.get(1 + usize::from(*payload.first()?)..)?;
    let &[id, high, low, ..] = section else { return None };
    let length = (usize::from(high & 0x0F) << 8) | usize::from(low);
    section.get(..(3 + length).checked_sub(4)?).filter(|_| id == table_id)
}

fn first_map_pid(packet: &[u8; PACKET]) -> Option<u16> {
    let programmes = section(packet, 0x00)?.get(8..)?;
    let programme = programmes.chunks_exact(4).find(|entry| entry[..2] != [0, 0])?;
    Some(u16::from_be_bytes([programme[2], programme[3]]) & 0x1FFF)
}

fn first_video_pid(packet: &[u8; PACKET]) -> Option<u16> {
    let map = section(packet, 0x02)?;
    let info = (usize::from(*map.get(10)? & 0x0F) << 8) | usize::from(*map.get(11)?);
    let mut components = map.get(12 + info..)?;
    while let &[stream_type, high, low, info_high, info_low, ..] = components {
        // MPEG-2 video, H.264, HEVC.
        if matches!(stream_type, 0x02 | 0x1B | 0x24) {
            return Some(u16::from_be_bytes([high, low]) & 0x1FFF);
        }
        let info = (usize::from(info_high & 0x0F) << 8) | usize::from(info_low);
        components = components.get(5 + info..)?;
    }
    None
}

fn picture(packet: &[u8; PACKET]) -> Mark {
    let key = packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x40 != 0;
    let pts = payload(packet).and_then(|pes| match *pes {
        [0, 0, 1, _, _, _, _, flags, _, a, b, c, d, e, ..] if flags & 0x80 != 0 => {
            let part = |byte: u8| u64::from(byte >> 1);
            let high = (part(a) & 7) << 30 | u64::from(b) << 22 | part(c) << 15;
            Some(Pts::from_ticks(high | u64::from(d) << 7 | part(e)))
        }
        _ => None,
    });
    match pts {
        Some(pts) if key => Mark::Key(pts),
        Some(pts) => Mark::Picture(pts),
        None => Mark::Other,
    }
}
