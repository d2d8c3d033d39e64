//! What the analyser says, and where in the stream it happened.

use alloc::boxed::Box;
use core::time::Duration;

use tallylight_model::{FaultKind, MonoTime, Pid};

use crate::{AccessUnit, BufferFault, Cue, Indicator, StructureChange};

/// A place in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Packets received before this place, null packets included.
    pub packet: u64,
    /// When the bytes there arrived: the time given to [`push`](crate::Analyser::push).
    pub at: MonoTime,
    /// Media time there: by the clock of the program that the event belongs to, else by the stream's primary program. Zero is
    /// the stream's first PCR. `None` before that.
    pub media: Option<Duration>,
}

/// Something that the analyser found.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A picture or an audio frame is complete.
    Unit(AccessUnit),
    /// Something happened once.
    Finding(Finding),
    /// A condition began or ended.
    Condition(Condition),
    /// The list of services changed: see [`services`](crate::Analyser::services).
    Services(Position),
    /// Something that the stream carries changed, or stopped coming.
    Structure(StructureChange),
    /// A cue for a splice came (SCTE 35); its repetitions are only counted.
    Cue(Box<Cue>),
}

/// Something that happened once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// On which PID, where it is of one PID.
    pub pid: Option<Pid>,
    /// In which program (service), where the PID belongs to one.
    pub program: Option<u16>,
    /// Where.
    pub position: Position,
}

/// Kinds of finding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FindingKind {
    /// A sync byte is not 0x47 (TR 101 290, 1.2).
    SyncByte,
    /// Nothing that looks like transport packets was found in this many bytes.
    NotTransportStream {
        /// Bytes searched.
        bytes: u64,
    },
    /// The continuity counter is neither the expected one nor a duplicate's (TR 101 290, 1.4).
    Continuity {
        /// Packets missing by the counter, 0 to 15.
        missing: u8,
    },
    /// A packet came more than twice (TR 101 290, 1.4).
    ExcessDuplicate,
    /// The counter jumps between two HLS segments without a discontinuity tag.
    BoundaryContinuity {
        /// Packets missing by the counter, 0 to 15.
        missing: u8,
    },
    /// The transport error indicator is set (TR 101 290, 2.1).
    TransportError,
    /// A section's CRC-32 is wrong (TR 101 290, 2.2).
    SectionCrc {
        /// The section's table id.
        table_id: u8,
    },
    /// More time than allowed lies between two PCR of a program (TR 101 290, 2.3.a).
    PcrGap {
        /// The time between them by their own values.
        gap: Duration,
    },
    /// The PCR steps back, or forward by more than a minute, without the discontinuity indicator (TR 101 290, 2.3.b). Media
    /// time goes on without the step.
    PcrJump {
        /// The step in ticks of 27 MHz, by the shorter way round.
        ticks: i64,
    },
    /// Another table came where this one has its PID, or a PAT or CAT where a PMT has (TR 101 290, 1.3, 1.5 and 2.6).
    ForeignTable {
        /// Whose PID it is.
        table: Table,
        /// The section's table id.
        table_id: u8,
    },
    /// Two sections of a sub-table came too close to one another (TR 101 290, 3.1 to 3.8).
    SectionsTooDense {
        /// Their table id.
        table_id: u8,
        /// The time between their ends.
        gap: Duration,
    },
    /// A packet of a table is scrambled, which none may be (TR 101 290, 1.3 and 1.5).
    ScrambledTable {
        /// Whose packet it is.
        table: Table,
    },
    /// A PCR is off the line of the stream's constant rate (TR 101 290, 2.4).
    PcrOff {
        /// By how much, in nanoseconds; positive where it is ahead.
        nanos: i64,
    },
    /// A table of the analyser is full: programs, components or a section is larger than allowed and was left out.
    OverLimit,
}

impl FindingKind {
    /// The fault that a finding of this kind is evidence of.
    #[must_use]
    pub const fn fault(self) -> Option<FaultKind> {
        match self {
            Self::SyncByte | Self::NotTransportStream { .. } => Some(FaultKind::SyncLoss),
            Self::Continuity { .. } | Self::ExcessDuplicate => Some(FaultKind::Continuity),
            Self::BoundaryContinuity { .. } => Some(FaultKind::BoundaryContinuity),
            Self::TransportError => Some(FaultKind::TransportError),
            Self::SectionCrc { .. } => Some(FaultKind::PsiCrc),
            Self::PcrGap { .. } | Self::PcrJump { .. } | Self::PcrOff { .. } => {
                Some(FaultKind::Pcr)
            }
            Self::ForeignTable { table, .. } | Self::ScrambledTable { table } => {
                Some(if table.is_si() { FaultKind::Si } else { FaultKind::PsiInvalid })
            }
            Self::SectionsTooDense { .. } => Some(FaultKind::Si),
            Self::OverLimit => None,
        }
    }

    /// The checks of TR 101 290 that a finding of this kind raises.
    #[must_use]
    pub const fn indicators(self) -> &'static [Indicator] {
        use Indicator as I;
        match self {
            Self::SyncByte => &[I::SyncByte],
            Self::Continuity { .. } | Self::ExcessDuplicate => &[I::ContinuityCount],
            Self::TransportError => &[I::Transport],
            Self::SectionCrc { .. } => &[I::Crc],
            Self::PcrGap { gap } if gap.as_nanos() <= PCR_STEP.as_nanos() => {
                &[I::Pcr, I::PcrRepetition]
            }
            Self::PcrGap { .. } => &[I::Pcr, I::PcrRepetition, I::PcrDiscontinuity],
            Self::PcrJump { .. } => &[I::Pcr, I::PcrDiscontinuity],
            Self::PcrOff { .. } => &[I::PcrAccuracy],
            Self::ForeignTable { table, .. } | Self::ScrambledTable { table } => table.indicators(),
            Self::SectionsTooDense { table_id, .. } => match table_id {
                0x40 => &[I::NitActual, I::SiRepetition],
                0x42 => &[I::SdtActual, I::SiRepetition],
                0x4E => &[I::EitActual, I::SiRepetition],
                0x70 => &[I::Tdt, I::SiRepetition],
                0x71 => &[I::Rst, I::SiRepetition],
                _ => &[I::SiRepetition],
            },
            Self::NotTransportStream { .. } | Self::BoundaryContinuity { .. } | Self::OverLimit => {
                &[]
            }
        }
    }
}

/// The largest step between two PCR without a discontinuity indicator (TR 101 290, 2.3.b).
const PCR_STEP: Duration = Duration::from_millis(100);

/// A table with a PID of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Program association, PID 0.
    Pat,
    /// Conditional access, PID 1.
    Cat,
    /// A program map, where the PAT says.
    Pmt,
    /// Network information, PID 0x10.
    Nit,
    /// Service description and bouquet association, PID 0x11.
    Sdt,
    /// Event information, PID 0x12.
    Eit,
    /// Running status, PID 0x13.
    Rst,
    /// Time and date, and time offset, PID 0x14.
    Tdt,
}

impl Table {
    /// The checks that what is wrong on its PID raises.
    const fn indicators(self) -> &'static [Indicator] {
        match self {
            Self::Pat => &[Indicator::Pat, Indicator::Pat2],
            Self::Cat => &[Indicator::Cat],
            Self::Pmt => &[Indicator::Pmt, Indicator::Pmt2],
            Self::Nit => &[Indicator::Nit, Indicator::NitActual],
            Self::Sdt => &[Indicator::Sdt, Indicator::SdtActual],
            Self::Eit => &[Indicator::Eit, Indicator::EitActual],
            Self::Rst => &[Indicator::Rst],
            Self::Tdt => &[Indicator::Tdt],
        }
    }

    /// Whether it is DVB's service information.
    pub(crate) const fn is_si(self) -> bool {
        matches!(self, Self::Nit | Self::Sdt | Self::Eit | Self::Rst | Self::Tdt)
    }

    /// Whether a table may be on its PID. Private tables may share that of a PMT (ISO/IEC 13818-1, 2.4.4.1).
    pub(crate) const fn takes(self, table_id: u8) -> bool {
        match self {
            Self::Pat => table_id == 0x00,
            Self::Cat => table_id == 0x01,
            Self::Pmt => !matches!(table_id, 0x00 | 0x01),
            Self::Nit => matches!(table_id, 0x40 | 0x41 | 0x72),
            Self::Sdt => matches!(table_id, 0x42 | 0x46 | 0x4A | 0x72),
            Self::Eit => matches!(table_id, 0x4E..=0x6F | 0x72),
            Self::Rst => matches!(table_id, 0x71 | 0x72),
            Self::Tdt => matches!(table_id, 0x70 | 0x72 | 0x73),
        }
    }

    /// Returns the table's abbreviation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pat => "PAT",
            Self::Cat => "CAT",
            Self::Pmt => "PMT",
            Self::Nit => "NIT",
            Self::Sdt => "SDT",
            Self::Eit => "EIT",
            Self::Rst => "RST",
            Self::Tdt => "TDT",
        }
    }
}

/// A condition that began or ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// Which.
    pub check: Check,
    /// Of which PID, where it is of one PID.
    pub pid: Option<Pid>,
    /// Of which program, where it is of one program.
    pub program: Option<u16>,
    /// True where it began, false where it ended.
    pub holds: bool,
    /// Since when it held: for something missing, where it was last seen. The same in the begin and the end.
    pub since: Position,
    /// Where it was noticed; for an end, where it ended.
    pub position: Position,
}

/// Conditions that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Packets are not found at their places (TR 101 290, 1.1): two corrupted sync bytes in a row begin it, five good end it.
    SyncLoss,
    /// The PAT stays out (TR 101 290, 1.3.a).
    PatMissing,
    /// A program's PMT stays out (TR 101 290, 1.5 and 1.5.a).
    PmtMissing,
    /// Packets are scrambled and no CAT says how (TR 101 290, 2.6).
    CatMissing,
    /// A PID of the PMT carries nothing (TR 101 290, 1.6).
    PidMissing,
    /// A program's clock, which had begun, stays out (TR 101 290, 2.3 and 2.3.a). Shorter gaps are findings when it is back.
    PcrMissing,
    /// A component has no presentation stamp (TR 101 290, 2.5).
    StampsMissing,
    /// None of the program's video components has access units although packets keep coming.
    NoVideo,
    /// The program's main audio has no access units although packets keep coming.
    NoAudio,
    /// What a check of priority 3 asks for stays out, or what it forbids stays (TR 101 290, 3.1 to 3.8).
    Si(Indicator),
    /// The buffers of the system target decoder do not hold the stream (TR 101 290, 3.3, 3.9 and 3.10).
    Buffer(BufferFault),
    /// A component's payload is scrambled.
    Scrambled,
}

impl Check {
    /// The fault that this condition is.
    #[must_use]
    pub const fn fault(self) -> FaultKind {
        match self {
            Self::SyncLoss => FaultKind::SyncLoss,
            Self::PatMissing | Self::PmtMissing | Self::CatMissing => FaultKind::PsiMissing,
            Self::PcrMissing => FaultKind::Pcr,
            Self::StampsMissing => FaultKind::Pts,
            Self::Si(_) => FaultKind::Si,
            Self::Buffer(_) => FaultKind::Buffer,
            Self::PidMissing => FaultKind::PidMissing,
            Self::NoVideo => FaultKind::NoVideo,
            Self::NoAudio => FaultKind::NoAudio,
            Self::Scrambled => FaultKind::Scrambled,
        }
    }

    /// The checks of TR 101 290 that this condition raises.
    #[must_use]
    pub const fn indicators(self) -> &'static [Indicator] {
        match self {
            Self::SyncLoss => &[Indicator::TsSyncLoss],
            Self::PatMissing => &[Indicator::Pat2],
            Self::PmtMissing => &[Indicator::Pmt, Indicator::Pmt2],
            Self::CatMissing => &[Indicator::Cat],
            Self::PidMissing => &[Indicator::Pid],
            Self::PcrMissing => &[Indicator::Pcr, Indicator::PcrRepetition],
            Self::StampsMissing => &[Indicator::Pts],
            Self::Si(Indicator::Nit) => &[Indicator::Nit],
            Self::Si(Indicator::NitActual) => &[Indicator::NitActual],
            Self::Si(Indicator::NitOther) => &[Indicator::NitOther, Indicator::SiRepetition],
            Self::Si(Indicator::SdtActual) => &[Indicator::Sdt, Indicator::SdtActual],
            Self::Si(Indicator::SdtOther) => &[Indicator::SdtOther, Indicator::SiRepetition],
            Self::Si(Indicator::Eit) => &[Indicator::Eit],
            Self::Si(Indicator::EitActual) => &[Indicator::EitActual],
            Self::Si(Indicator::EitOther) => &[Indicator::EitOther, Indicator::SiRepetition],
            Self::Si(Indicator::EitPf) => &[Indicator::EitPf],
            Self::Si(Indicator::Tdt) => &[Indicator::Tdt],
            Self::Si(Indicator::UnreferencedPid) => {
                &[Indicator::UnreferencedPid, Indicator::UnreferencedPid2]
            }
            Self::Si(Indicator::SiRepetition) => &[Indicator::SiRepetition],
            Self::Buffer(fault) => fault.indicators(),
            Self::Si(_) | Self::NoVideo | Self::NoAudio | Self::Scrambled => &[],
        }
    }
}
