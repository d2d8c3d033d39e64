//! Damage to the pictures of a transport stream that was whole.

use std::{ops::Range, path::Path};

use anyhow::{Context, Result};

use super::{
    clip::rounded,
    run,
    stream::{self, VIDEO},
    truth::{Event, Kind},
};
use crate::world::{
    packet::{PACKET, write_null},
    scan::{Scan, Unit},
};

/// How long an event counts as going on.
const EVENT_SECONDS: f64 = 1.0;
/// What is garbled of a packet: not its header. A decoder does not notice a few bytes, since nearly any are some picture.
const GARBLED: std::ops::Range<usize> = 20..PACKET;
/// A decoded key picture in 2 s shows damage.
const SHOWN_SECONDS: f64 = 2.1;

/// What becomes of pictures.
#[derive(Clone, Copy, Debug)]
pub(super) enum Blow {
    /// A null packet is in the place of one in the middle of the first picture of a type (`I`, `P`, `B`) from a time on.
    Lost { picture: char, seconds: f64 },
    /// Bytes of all pictures between two times are others; counters are right.
    Garbled { seconds: (f64, f64) },
}

impl Blow {
    /// Strikes, and says what has to be told of it. Times are from the first picture on.
    pub(super) fn strike(self, file: &Path, data: &mut [u8], scan: &Scan) -> Result<Event> {
        let first = stream::first_picture_seconds(scan).context("no pictures")?;
        let zero = stream::zero_seconds(scan).context("no clock")?;
        let mut units: Vec<&Unit> =
            scan.pids.get(&VIDEO).context("no video")?.units.iter().collect();
        units.sort_by_key(|unit| unit.pts);
        let shown = |unit: &Unit| unit.pts as f64 / 90_000.0 - zero - first;
        match self {
            Self::Lost { picture, seconds } => {
                let types = run::picture_types(file)?;
                let mut fit = units
                    .into_iter()
                    .filter(|unit| shown(unit) >= seconds)
                    .filter(|unit| types.get(&unit.pts) == Some(&picture))
                    .map(|unit| inside(data, unit));
                let packets = fit.find(|packets| packets.len() >= 3);
                let packets = packets.context("no such picture is large enough")?;
                let at = packets[packets.len() / 2];
                let mut null = Vec::with_capacity(PACKET);
                write_null(&mut null);
                data[at..at + PACKET].copy_from_slice(&null);
                let onset = stream::packet_seconds(scan, (at / PACKET) as u64);
                let onset = onset.context("no clock")?;
                Ok(event("continuity", onset..onset + EVENT_SECONDS, 0.1))
            }
            Self::Garbled { seconds: (from, to) } => {
                for unit in units.into_iter().filter(|unit| (from..to).contains(&shown(unit))) {
                    for at in inside(data, unit) {
                        let bytes = &mut data[at + GARBLED.start..at + GARBLED.end];
                        bytes.iter_mut().for_each(|it| *it ^= 0x5A);
                    }
                }
                Ok(event("decode_errors", first + from..first + to, SHOWN_SECONDS))
            }
        }
    }
}

/// Packets of a picture's inside that hold nothing but its bytes.
fn inside(data: &[u8], unit: &Unit) -> Vec<usize> {
    let plain = |at: &usize| {
        let packet = data.get(*at..at + PACKET);
        packet.is_some_and(|packet| stream::pid(packet) == VIDEO && packet[3] & 0x30 == 0x10)
    };
    let all = unit.first_packet + 1..unit.last_packet;
    all.map(|number| number as usize * PACKET).filter(plain).collect()
}

fn event(kind: &'static str, seconds: Range<f64>, tolerance_seconds: f64) -> Event {
    let kind = Kind::new(kind);
    Event {
        kind: kind.name.to_owned(),
        onset_seconds: rounded(seconds.start),
        end_seconds: Some(rounded(seconds.end)),
        onset_picture: None,
        end_picture: None,
        // Counted by the event, each of which lasts for a second.
        severity: kind.severities((EVENT_SECONDS * 1e3) as u64),
        acts: kind.acts().to_owned(),
        tolerance_seconds,
    }
}
