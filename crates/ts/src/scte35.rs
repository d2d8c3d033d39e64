//! Cues for splices: `splice_info_section` of ANSI/SCTE 35.
//!
//! Of a cue is read what says what is to happen, when, and for how long. What stands behind (who is told, which restrictions apply)
//! is passed over. Crates that know all of it (`scte35-splice`, `scte35-reader`) bring more code than this and fail a section
//! where an analyser has to go on with what it understood.

use alloc::vec::Vec;
use core::time::Duration;

use tallylight_model::{Pid, Pts};

use crate::{Position, bits::Bits, section::crc32};

/// The table id of a cue.
pub(crate) const TABLE_CUE: u8 = 0xFC;
/// Segmentation descriptors kept of one cue; more are left out.
const MAX_SEGMENTATIONS: usize = 32;
/// The identifier of descriptors that are SCTE 35's own.
const CUEI: u32 = 0x4355_4549;

/// A cue, and where it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// On which PID.
    pub pid: Pid,
    /// In which program, whose clock its times are of.
    pub program: Option<u16>,
    /// What it says.
    pub info: SpliceInfo,
    /// When it applies in media time; `None` if it states no time or the clock is not known.
    pub media: Option<Duration>,
    /// How long before its time it came by the program's clock, in milliseconds; negative if it came late.
    pub preroll_ms: Option<i64>,
    /// Where the packet stands that completes it.
    pub position: Position,
}

/// What was counted of the cues of one PID. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CueCounters {
    /// Cues that were told: each once, however often it was repeated.
    pub cues: u64,
    /// Repetitions of them.
    pub repeats: u64,
    /// Sections without a cue that keep the PID alive: splice_null and bandwidth_reservation.
    pub heartbeats: u64,
    /// Sections that are damaged.
    pub damaged: u64,
}

/// What a `splice_info_section` says (SCTE 35, 9.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpliceInfo {
    /// What is added to all its times (`pts_adjustment`), in ticks of 90 kHz.
    pub pts_adjustment: u64,
    /// Which authorisation tiers it is for; 0xFFF is all of them.
    pub tier: u16,
    /// The command.
    pub command: SpliceCommand,
    /// Its segmentation descriptors, 32 at most.
    pub segmentations: Vec<Segmentation>,
}

/// What a cue commands (SCTE 35, 9.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpliceCommand {
    /// Nothing: it keeps the PID alive.
    Null,
    /// Splices at times of day, so many of them.
    Schedule(u8),
    /// A splice.
    Insert(SpliceInsert),
    /// The time of what the descriptors say; `None` is at once.
    TimeSignal(Option<Pts>),
    /// Nothing: it reserves bandwidth.
    BandwidthReservation,
    /// What its owner knows, by his registered identifier.
    Private([u8; 4]),
    /// It is encrypted, by this algorithm.
    Encrypted(u8),
    /// A command that the standard reserves.
    Reserved(u8),
}

/// A splice (SCTE 35, 9.7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpliceInsert {
    /// Its number.
    pub event_id: u32,
    /// What is to be done; `None` if a splice of this number is cancelled.
    pub splice: Option<Splice>,
}

/// What a splice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Out of the network feed, into a break; else back into it.
    pub out: bool,
    /// As soon as may be.
    pub immediate: bool,
    /// When, before the adjustment; of its first component where each has its own.
    pub time: Option<Pts>,
    /// How long the break is.
    pub duration: Option<Duration>,
    /// Whether the break ends by itself after that.
    pub auto_return: bool,
    /// The programme's number.
    pub unique_program_id: u16,
    /// Which avail of how many.
    pub avail: (u8, u8),
}

/// A segmentation descriptor (SCTE 35, 10.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// Its number.
    pub event_id: u32,
    /// What it says; `None` if one of this number is cancelled.
    pub segment: Option<Segment>,
}

/// What a segmentation descriptor says of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What begins or ends (SCTE 35, table 23).
    pub type_id: u8,
    /// How long it is.
    pub duration: Option<Duration>,
    /// How its content is identified (SCTE 35, table 22).
    pub upid_type: u8,
    /// What identifies it, 255 bytes at most.
    pub upid: Vec<u8>,
    /// Which segment of how many.
    pub number: (u8, u8),
}

/// Why a section is no cue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCue {
    /// Its table id is another one.
    Foreign,
    /// Its CRC is wrong, or it ends before all is said.
    Damaged,
}

impl SpliceInfo {
    /// Reads a section from its table id to its CRC.
    ///
    /// # Errors
    ///
    /// If it is another table, or damaged.
    pub fn parse(section: &[u8]) -> Result<Self, NoCue> {
        if section.first() != Some(&TABLE_CUE) {
            return Err(NoCue::Foreign);
        }
        if crc32(section) != 0 {
            return Err(NoCue::Damaged);
        }
        let contents = section.split_last_chunk::<4>().map_or(&[][..], |(contents, _)| contents);
        info(contents).ok_or(NoCue::Damaged)
    }

    /// When it applies, adjusted; `None` if it states no time.
    #[must_use]
    pub const fn time(&self) -> Option<Pts> {
        let time = match self.command {
            SpliceCommand::TimeSignal(time) => time,
            SpliceCommand::Insert(SpliceInsert { splice: Some(splice), .. }) => splice.time,
            _ => None,
        };
        match time {
            Some(time) => Some(Pts::from_ticks(time.ticks() + self.pts_adjustment)),
            None => None,
        }
    }
}

impl SpliceCommand {
    /// Returns the name for output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Null => "splice_null",
            Self::Schedule(_) => "splice_schedule",
            Self::Insert(_) => "splice_insert",
            Self::TimeSignal(_) => "time_signal",
            Self::BandwidthReservation => "bandwidth_reservation",
            Self::Private(_) => "private_command",
            Self::Encrypted(_) => "encrypted_splice",
            Self::Reserved(_) => "reserved_splice_command",
        }
    }

    /// Whether nothing is to happen.
    pub(crate) const fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Null | Self::BandwidthReservation)
    }
}

impl Segment {
    /// Returns what begins or ends, in words.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self.type_id {
            0x00 => "not indicated",
            0x01 => "content identification",
            0x02 => "call ad server",
            0x10 => "program start",
            0x11 => "program end",
            0x12 => "program early termination",
            0x13 => "program breakaway",
            0x14 => "program resumption",
            0x15 => "program runover planned",
            0x16 => "program runover unplanned",
            0x17 => "program overlap start",
            0x18 => "program blackout override",
            0x19 => "program join",
            0x20 => "chapter start",
            0x21 => "chapter end",
            0x22 => "break start",
            0x23 => "break end",
            0x24 => "opening credit start",
            0x25 => "opening credit end",
            0x26 => "closing credit start",
            0x27 => "closing credit end",
            0x30 => "provider advertisement start",
            0x31 => "provider advertisement end",
            0x32 => "distributor advertisement start",
            0x33 => "distributor advertisement end",
            0x34 => "provider placement opportunity start",
            0x35 => "provider placement opportunity end",
            0x36 => "distributor placement opportunity start",
            0x37 => "distributor placement opportunity end",
            0x38 => "provider overlay placement opportunity start",
            0x39 => "provider overlay placement opportunity end",
            0x3A => "distributor overlay placement opportunity start",
            0x3B => "distributor overlay placement opportunity end",
            0x3C => "provider promo start",
            0x3D => "provider promo end",
            0x3E => "distributor promo start",
            0x3F => "distributor promo end",
            0x40 => "unscheduled event start",
            0x41 => "unscheduled event end",
            0x42 => "alternate content opportunity start",
            0x43 => "alternate content opportunity end",
            0x44 => "provider ad block start",
            0x45 => "provider ad block end",
            0x46 => "distributor ad block start",
            0x47 => "distributor ad block end",
            0x50 => "network start",
            0x51 => "network end",
            _ => "reserved",
        }
    }

    /// Returns how its content is identified.
    #[must_use]
    pub const fn upid_name(&self) -> &'static str {
        match self.upid_type {
            0x00 => "none",
            0x01 => "user defined",
            0x02 => "ISCI",
            0x03 => "Ad-ID",
            0x04 => "UMID",
            0x05 | 0x06 => "ISAN",
            0x07 => "TID",
            0x08 => "TI",
            0x09 => "ADI",
            0x0A => "EIDR",
            0x0B => "ATSC content identifier",
            0x0C => "MPU",
            0x0D => "MID",
            0x0E => "ADS information",
            0x0F => "URI",
            0x10 => "UUID",
            0x11 => "SCR",
            _ => "reserved",
        }
    }
}

/// Reads what stands before the CRC.
fn info(bytes: &[u8]) -> Option<SpliceInfo> {
    // Table id, section length and protocol version.
    let mut bits = Bits::plain(bytes.get(4..)?);
    let encrypted = bits.bit()?;
    let algorithm = bits.get(6)? as u8;
    let pts_adjustment = stamp(&mut bits)?;
    bits.skip(8)?;
    let tier = bits.get(12)? as u16;
    let length = bits.get(12)? as usize;
    if encrypted {
        let command = SpliceCommand::Encrypted(algorithm);
        return Some(SpliceInfo { pts_adjustment, tier, command, segmentations: Vec::new() });
    }
    let kind = bits.get(8)? as u8;
    let rest = bytes.get(14..)?;
    let (command, used) = command(kind, rest)?;
    // Old senders do not state how long the command is (0xFFF).
    let used = if length == 0xFFF { used.unwrap_or(rest.len()) } else { length };
    let descriptors = rest.get(used..)?;
    let segmentations = match descriptors.split_first_chunk::<2>() {
        Some((size, rest)) => {
            let size = usize::from(u16::from_be_bytes(*size));
            segmentations(rest.get(..size)?)
        }
        None => Vec::new(),
    };
    Some(SpliceInfo { pts_adjustment, tier, command, segmentations })
}

/// Reads a command and how many bytes it is long, where that shows.
fn command(kind: u8, bytes: &[u8]) -> Option<(SpliceCommand, Option<usize>)> {
    let mut bits = Bits::plain(bytes);
    let command = match kind {
        0x00 => SpliceCommand::Null,
        0x04 => return Some((SpliceCommand::Schedule(bits.get(8)? as u8), None)),
        0x05 => SpliceCommand::Insert(insert(&mut bits)?),
        0x06 => SpliceCommand::TimeSignal(splice_time(&mut bits)?),
        0x07 => SpliceCommand::BandwidthReservation,
        0xFF => return Some((SpliceCommand::Private(bits.get(32)?.to_be_bytes()), None)),
        other => return Some((SpliceCommand::Reserved(other), None)),
    };
    Some((command, Some(bytes.len() - bits.bytes_left())))
}

fn insert(bits: &mut Bits<'_>) -> Option<SpliceInsert> {
    let event_id = bits.get(32)?;
    let cancelled = bits.bit()?;
    bits.skip(7)?;
    if cancelled {
        return Some(SpliceInsert { event_id, splice: None });
    }
    let (out, whole, has_duration, immediate) =
        (bits.bit()?, bits.bit()?, bits.bit()?, bits.bit()?);
    bits.skip(4)?;
    let mut time = None;
    if whole {
        if !immediate {
            time = splice_time(bits)?;
        }
    } else {
        for _ in 0..bits.get(8)? {
            bits.skip(8)?;
            let own = if immediate { None } else { splice_time(bits)? };
            time = time.or(own);
        }
    }
    let (mut duration, mut auto_return) = (None, false);
    if has_duration {
        auto_return = bits.bit()?;
        bits.skip(6)?;
        duration = Some(span(stamp(bits)?));
    }
    let unique_program_id = bits.get(16)? as u16;
    let avail = (bits.get(8)? as u8, bits.get(8)? as u8);
    let splice = Splice { out, immediate, time, duration, auto_return, unique_program_id, avail };
    Some(SpliceInsert { event_id, splice: Some(splice) })
}

/// Reads `splice_time` (SCTE 35, 9.8.1); the inner `None` is a time that is not specified.
fn splice_time(bits: &mut Bits<'_>) -> Option<Option<Pts>> {
    if bits.bit()? {
        bits.skip(6)?;
        return Some(Some(Pts::from_ticks(stamp(bits)?)));
    }
    bits.skip(7)?;
    Some(None)
}

/// 33 bits.
fn stamp(bits: &mut Bits<'_>) -> Option<u64> {
    let high = u64::from(bits.bit()?);
    Some(high << 32 | u64::from(bits.get(32)?))
}

/// The time of ticks of 90 kHz, fewer than 2^40.
const fn span(ticks: u64) -> Duration {
    Duration::from_nanos(ticks * 100_000 / 9)
}

/// Reads the segmentation descriptors of a descriptor loop as far as it goes.
fn segmentations(mut bytes: &[u8]) -> Vec<Segmentation> {
    let mut found = Vec::new();
    while let Some((&[tag, length], rest)) = bytes.split_first_chunk::<2>() {
        let Some((contents, rest)) = rest.split_at_checked(usize::from(length)) else { break };
        bytes = rest;
        if tag == 0x02 && found.len() < MAX_SEGMENTATIONS {
            found.extend(segmentation(contents));
        }
    }
    found
}

fn segmentation(bytes: &[u8]) -> Option<Segmentation> {
    let mut bits = Bits::plain(bytes);
    if bits.get(32)? != CUEI {
        return None;
    }
    let event_id = bits.get(32)?;
    let cancelled = bits.bit()?;
    bits.skip(7)?;
    if cancelled {
        return Some(Segmentation { event_id, segment: None });
    }
    let (whole, has_duration) = (bits.bit()?, bits.bit()?);
    bits.skip(6)?;
    if !whole {
        let components = bits.get(8)?;
        bits.skip(components * 48)?;
    }
    let duration = match has_duration {
        true => {
            let high = u64::from(bits.get(8)?);
            Some(span(high << 32 | u64::from(bits.get(32)?)))
        }
        false => None,
    };
    let upid_type = bits.get(8)? as u8;
    let length = bits.get(8)?;
    let upid = (0..length).map(|_| Some(bits.get(8)? as u8)).collect::<Option<_>>()?;
    let type_id = bits.get(8)? as u8;
    let number = (bits.get(8)? as u8, bits.get(8)? as u8);
    let segment = Segment { type_id, duration, upid_type, upid, number };
    Some(Segmentation { event_id, segment: Some(segment) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    /// A section around a command and descriptors.
    fn section(kind: u8, length: Option<u16>, command: &[u8], descriptors: &[u8]) -> Vec<u8> {
        let total = 11 + command.len() + 2 + descriptors.len() + 4;
        let stated = length.unwrap_or(command.len() as u16);
        let mut bytes = vec![TABLE_CUE, 0x30 | (total >> 8) as u8, total as u8, 0];
        bytes.extend([0, 0, 0, 0x03, 0xE8, 0]);
        bytes.extend([0xFF, 0xF0 | (stated >> 8) as u8, stated as u8, kind]);
        bytes.extend(command);
        bytes.extend((descriptors.len() as u16).to_be_bytes());
        bytes.extend(descriptors);
        bytes.extend(crc32(&bytes).to_be_bytes());
        bytes
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// The sample messages of SCTE 35, clause 14.
    #[test]
    fn the_samples_of_the_standard_read_as_it_says() {
        let insert = [
            0xFC, 0x30, 0x2F, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xF0, 0x14, 0x05, 0x48, 0, 0, 0x8F,
            0x7F, 0xEF, 0xFE, 0x73, 0x69, 0xC0, 0x2E, 0xFE, 0x00, 0x52, 0xCC, 0xF5, 0, 0, 0, 0, 0,
            0x0A, 0, 0x08, 0x43, 0x55, 0x45, 0x49, 0, 0, 0x01, 0x35, 0x62, 0xDB, 0xA3, 0x0A,
        ];
        let read = SpliceInfo::parse(&insert).unwrap();
        let SpliceCommand::Insert(SpliceInsert { event_id, splice: Some(splice) }) = read.command
        else {
            panic!("{read:?}")
        };
        assert_eq!((event_id, splice.out, splice.immediate), (0x4800_008F, true, false));
        assert_eq!(read.time(), Some(Pts::from_ticks(0x0_7369_C02E)));
        assert_eq!(splice.duration, Some(span(0x0_0052_CCF5)));
        assert_eq!((splice.auto_return, read.tier, read.segmentations.len()), (true, 0xFFF, 0));

        let signal = [
            0xFC, 0x30, 0x34, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xF0, 0x05, 0x06, 0xFE, 0x72, 0xBD,
            0x00, 0x50, 0x00, 0x1E, 0x02, 0x1C, 0x43, 0x55, 0x45, 0x49, 0x48, 0, 0, 0x8E, 0x7F,
            0xCF, 0x00, 0x01, 0xA5, 0x99, 0xB0, 0x08, 0x08, 0, 0, 0, 0, 0x2C, 0xA0, 0xA1, 0x8A,
            0x34, 0x02, 0x00, 0x9A, 0xC9, 0xD1, 0x7E,
        ];
        let read = SpliceInfo::parse(&signal).unwrap();
        assert_eq!(read.command, SpliceCommand::TimeSignal(Some(Pts::from_ticks(0x0_72BD_0050))));
        let [Segmentation { event_id: 0x4800_008E, segment: Some(segment) }] =
            &read.segmentations[..]
        else {
            panic!("{read:?}")
        };
        assert_eq!(segment.type_name(), "provider placement opportunity start");
        assert_eq!((segment.upid_name(), segment.number), ("TI", (2, 0)));
        assert_eq!(segment.upid, [0, 0, 0, 0, 0x2C, 0xA0, 0xA1, 0x8A]);
        assert_eq!(segment.duration, Some(span(0x01_A599B0)));
    }

    #[test]
    fn each_command_is_read_with_its_adjustment() {
        let at = [0xFE, 0, 1, 0x5F, 0x90];
        let insert = |flags: u8, rest: &[u8]| [&[0, 0, 0, 7, 0x7F, flags][..], rest].concat();
        let tail = [0x12, 0x34, 1, 2];
        let splice = |bytes: &[u8]| {
            let read = SpliceInfo::parse(&section(5, None, bytes, &[])).unwrap();
            let SpliceCommand::Insert(insert) = read.command else { panic!("{read:?}") };
            (read.time().map(Pts::ticks), insert.splice)
        };
        // In, with a time: one second, and 1,000 ticks of adjustment.
        let (time, read) = splice(&insert(0x4F, &[&at[..], &tail].concat()));
        let read = read.unwrap();
        assert_eq!((time, read.out, read.avail), (Some(91_000), false, (1, 2)));
        assert_eq!((read.unique_program_id, read.duration), (0x1234, None));
        // Out at once, for half a minute.
        let long = [0x7E, 0, 0x29, 0x32, 0xE0];
        let (time, read) = splice(&insert(0xFF, &[&long[..], &tail].concat()));
        let read = read.unwrap();
        assert_eq!((time, read.out, read.immediate), (None, true, true));
        assert_eq!((read.duration, read.auto_return), (Some(seconds(30.0)), false));
        // Components, the second of which states a time.
        let (time, _) = splice(&insert(0x8F, &[&[2, 9, 0x7F, 8][..], &at, &tail].concat()));
        assert_eq!(time, Some(91_000));
        assert_eq!(splice(&[0, 0, 0, 7, 0xFF]), (None, None));
        for (kind, bytes, expected) in [
            (0, &[][..], SpliceCommand::Null),
            (4, &[3, 0, 0], SpliceCommand::Schedule(3)),
            (6, &[0x7F], SpliceCommand::TimeSignal(None)),
            (7, &[], SpliceCommand::BandwidthReservation),
            (0xFF, b"ABCDxyz", SpliceCommand::Private(*b"ABCD")),
            (0x20, &[1], SpliceCommand::Reserved(0x20)),
        ] {
            let read = SpliceInfo::parse(&section(kind, None, bytes, &[])).unwrap();
            assert_eq!((read.command, read.pts_adjustment), (expected, 1000));
        }
    }

    #[test]
    fn descriptors_are_read_behind_a_command_of_unstated_length() {
        let cancel = b"\x02\x09CUEI\x00\x00\x00\x05\xFF";
        let avail = b"\x00\x08CUEI\x00\x00\x01\x35";
        let foreign = b"\x02\x09ABCD\x00\x00\x00\x05\xFF";
        let descriptors = [&avail[..], foreign, cancel, &[2, 90]].concat();
        let read =
            SpliceInfo::parse(&section(6, Some(0xFFF), &[0xFE, 0, 0, 0, 9], &descriptors)).unwrap();
        assert_eq!(read.segmentations, [Segmentation { event_id: 5, segment: None }]);
        assert_eq!(read.time(), Some(Pts::from_ticks(1009)));
        let many = cancel.repeat(60);
        let read = SpliceInfo::parse(&section(6, None, &[0x7F], &many)).unwrap();
        assert_eq!(read.segmentations.len(), MAX_SEGMENTATIONS);
    }

    #[test]
    fn what_is_encrypted_damaged_or_another_table_is_said_to_be() {
        let mut bytes = section(5, None, &[0; 20], &[]);
        bytes[4] = 0x80 | 2 << 1;
        let end = bytes.len() - 4;
        let crc = crc32(&bytes[..end]).to_be_bytes();
        bytes[end..].copy_from_slice(&crc);
        let read = SpliceInfo::parse(&bytes).unwrap();
        assert_eq!((read.command, read.time()), (SpliceCommand::Encrypted(2), None));
        bytes[8] ^= 1;
        assert_eq!(SpliceInfo::parse(&bytes), Err(NoCue::Damaged));
        assert_eq!(SpliceInfo::parse(&[0x02, 0, 0]), Err(NoCue::Foreign));
        assert_eq!(SpliceInfo::parse(&[]), Err(NoCue::Foreign));
        // A command that is cut short.
        assert_eq!(SpliceInfo::parse(&section(5, None, &[0, 0, 0], &[])), Err(NoCue::Damaged));
        for length in 0..17 {
            let mut bytes = section(0, None, &[], &[])[..length].to_vec();
            bytes.extend(crc32(&bytes).to_be_bytes());
            assert!(SpliceInfo::parse(&bytes).is_err() || length > 13, "{length}");
        }
    }
}
