//! Damage to a transport stream that was whole: one packet at a time, in a picture of a known type.

use std::path::Path;

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
/// What is garbled of a packet: not its header, nor enough to look like another start code.
const GARBLED: std::ops::Range<usize> = 60..100;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// A null packet is in its place.
    Lost,
    /// Bytes of it are others, and its counter is right.
    Garbled,
}

/// One packet that is harmed, in the middle of a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blow {
    pub(super) harm: Harm,
    /// `I`, `P` or `B`.
    pub(super) picture: char,
    /// The first such picture from here on, in seconds from the first one.
    pub(super) seconds: f64,
}

impl Blow {
    /// Strikes, and says what has to be told of it.
    pub(super) fn strike(self, file: &Path, data: &mut [u8], scan: &Scan) -> Result<Event> {
        let first = stream::first_picture_seconds(scan).context("no pictures")?;
        let zero = stream::zero_seconds(scan).context("no clock")?;
        let types = run::picture_types(file)?;
        let units = &scan.pids.get(&VIDEO).context("no video")?.units;
        let shown = |unit: &Unit| unit.pts as f64 / 90_000.0 - zero;
        let mut pictures: Vec<&Unit> = units
            .iter()
            .filter(|unit| shown(unit) >= first + self.seconds)
            .filter(|unit| types.get(&unit.pts) == Some(&self.picture))
            .collect();
        pictures.sort_by_key(|unit| unit.pts);
        let found = pictures.into_iter().find_map(|unit| Some((unit, middle(data, unit)?)));
        let (unit, number) = found.context("no such picture is large enough")?;
        let at = number as usize * PACKET;
        match self.harm {
            Harm::Lost => {
                let mut null = Vec::with_capacity(PACKET);
                write_null(&mut null);
                data[at..at + PACKET].copy_from_slice(&null);
                let onset = stream::packet_seconds(scan, number).context("no clock")?;
                Ok(event("continuity", onset, 0.1))
            }
            Harm::Garbled => {
                data[at + GARBLED.start..at + GARBLED.end].iter_mut().for_each(|it| *it ^= 0x5A);
                // What is predicted from the picture is damaged too, up to the next key picture.
                Ok(event("decode_errors", shown(unit), 0.5))
            }
        }
    }
}

/// A packet of a picture's middle that holds nothing but its bytes.
fn middle(data: &[u8], unit: &Unit) -> Option<u64> {
    let plain = |number: &u64| {
        let packet = data.get(*number as usize * PACKET..)?;
        let pid = u16::from_be_bytes([*packet.get(1)?, *packet.get(2)?]) & 0x1FFF;
        Some(pid == VIDEO && packet.get(3)? & 0x30 == 0x10)
    };
    let plain: Vec<u64> = (unit.first_packet + 1..unit.last_packet)
        .filter(|number| plain(number).unwrap_or(false))
        .collect();
    plain.get(plain.len() / 2).copied().filter(|_| plain.len() >= 3)
}

fn event(kind: &'static str, onset: f64, tolerance_seconds: f64) -> Event {
    let kind = Kind::new(kind);
    Event {
        kind: kind.name.to_owned(),
        onset_seconds: rounded(onset),
        end_seconds: Some(rounded(onset + EVENT_SECONDS)),
        onset_picture: None,
        end_picture: None,
        severity: kind.severities((EVENT_SECONDS * 1e3) as u64),
        acts: kind.acts().to_owned(),
        tolerance_seconds,
    }
}
