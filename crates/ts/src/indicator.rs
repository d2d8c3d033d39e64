//! The checks of ETSI TR 101 290 v1.4.1 by number, and what a profile makes of each.
//!
//! One row names a check, its number, and how the profiles that come with the crate treat it. Older forms (1.3, 1.5, 2.3) overlap
//! their successors (1.3.a, 1.5.a, 2.3.a and 2.3.b): both are counted, and nothing adds them up. What raises a check stands in
//! `docs/ts-checks.md` and beside the rule.

use core::{fmt, time::Duration};

use crate::MediaKind;

/// What a profile makes of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// It is not looked at.
    Off,
    /// It is counted.
    Inform,
    /// It is counted, and told as an [`Event`](crate::Event).
    Fault,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Inform, Self::Fault];

    /// Returns `off`, `inform` or `fault`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Inform => "inform",
            Self::Fault => "fault",
        }
    }
}

macro_rules! indicators {
    ($($check:ident $number:literal $name:literal $default:ident $broadcast:ident $ott:ident;)*) => {
        /// A check of TR 101 290.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Indicator {
            $(#[doc = concat!($number, " ", $name, ".")] $check,)*
        }

        impl Indicator {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$check,)*];
            pub(crate) const COUNT: usize = Self::ALL.len();

            /// Returns the number in TR 101 290, clause 5.2.
            #[must_use]
            pub const fn number(self) -> &'static str {
                match self { $(Self::$check => $number,)* }
            }

            /// Returns the name in TR 101 290, clause 5.2.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$check => $name,)* }
            }
        }

        const DEFAULT: [Setting; Indicator::COUNT] = [$(Setting::$default,)*];
        const BROADCAST: [Setting; Indicator::COUNT] = [$(Setting::$broadcast,)*];
        const OTT: [Setting; Indicator::COUNT] = [$(Setting::$ott,)*];
    };
}

indicators! {
    // check              number  name                                 default broadcast ott
    TsSyncLoss            "1.1"   "TS_sync_loss"                       Fault   Fault     Fault;
    SyncByte              "1.2"   "Sync_byte_error"                    Fault   Fault     Fault;
    Pat                   "1.3"   "PAT_error"                          Fault   Fault     Fault;
    Pat2                  "1.3.a" "PAT_error_2"                        Fault   Fault     Fault;
    ContinuityCount       "1.4"   "Continuity_count_error"             Fault   Fault     Fault;
    Pmt                   "1.5"   "PMT_error"                          Fault   Fault     Fault;
    Pmt2                  "1.5.a" "PMT_error_2"                        Fault   Fault     Fault;
    Pid                   "1.6"   "PID_error"                          Fault   Fault     Fault;
    Transport             "2.1"   "Transport_error"                    Fault   Fault     Fault;
    Crc                   "2.2"   "CRC_error"                          Fault   Fault     Fault;
    Pcr                   "2.3"   "PCR_error"                          Fault   Fault     Fault;
    PcrRepetition         "2.3.a" "PCR_repetition_error"               Fault   Fault     Fault;
    PcrDiscontinuity      "2.3.b" "PCR_discontinuity_indicator_error"  Fault   Fault     Fault;
    PcrAccuracy           "2.4"   "PCR_accuracy_error"                 Inform  Fault     Off;
    Pts                   "2.5"   "PTS_error"                          Fault   Fault     Fault;
    Cat                   "2.6"   "CAT_error"                          Inform  Fault     Off;
    Nit                   "3.1"   "NIT_error"                          Inform  Fault     Off;
    NitActual             "3.1.a" "NIT_actual_error"                   Inform  Fault     Off;
    NitOther              "3.1.b" "NIT_other_error"                    Inform  Fault     Off;
    SiRepetition          "3.2"   "SI_repetition_error"                Inform  Fault     Off;
    Buffer                "3.3"   "Buffer_error"                       Inform  Fault     Off;
    UnreferencedPid       "3.4"   "Unreferenced_PID"                   Inform  Fault     Off;
    UnreferencedPid2      "3.4.a" "Unreferenced_PID"                   Inform  Fault     Off;
    Sdt                   "3.5"   "SDT_error"                          Inform  Fault     Off;
    SdtActual             "3.5.a" "SDT_actual_error"                   Inform  Fault     Off;
    SdtOther              "3.5.b" "SDT_other_error"                    Inform  Fault     Off;
    Eit                   "3.6"   "EIT_error"                          Inform  Fault     Off;
    EitActual             "3.6.a" "EIT_actual_error"                   Inform  Fault     Off;
    EitOther              "3.6.b" "EIT_other_error"                    Inform  Fault     Off;
    EitPf                 "3.6.c" "EIT_PF_error"                       Inform  Fault     Off;
    Rst                   "3.7"   "RST_error"                          Inform  Fault     Off;
    Tdt                   "3.8"   "TDT_error"                          Inform  Fault     Off;
    EmptyBuffer           "3.9"   "Empty_buffer_error"                 Inform  Fault     Off;
    DataDelay             "3.10"  "Data_delay_error"                   Inform  Fault     Off;
}

impl fmt::Display for Indicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.name())
    }
}

/// After how long something that stays out is a condition, or a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The PAT: 500 ms by TR 101 290, 1.3 and 1.3.a.
    pub pat: Duration,
    /// A PMT: 500 ms by TR 101 290, 1.5 and 1.5.a.
    pub pmt: Duration,
    /// Packets of a video PID: the user's period of TR 101 290, 1.6; 5 s.
    pub pid_video: Duration,
    /// Packets of an audio PID; 5 s.
    pub pid_audio: Duration,
    /// Packets of a PID with subtitles or teletext; not checked unless stated, for nothing may be said for minutes.
    pub pid_text: Option<Duration>,
    /// Packets of any other PID that a PMT lists; not checked unless stated.
    pub pid_data: Option<Duration>,
    /// Access units of any video component: 1 s.
    pub video: Duration,
    /// Access units of the main audio component: 2 s, for a multiplexer may gather a second of quiet sound.
    pub audio: Duration,
    /// Two PCR of a program: 100 ms by TR 101 290, 2.3.a; 40 ms in the profile `broadcast` (ETSI TS 101 154, 4.1.5.3).
    pub pcr: Duration,
    /// How far a PCR may be off the line of a constant rate: 500 ns by TR 101 290, 2.4.
    pub pcr_accuracy: Duration,
    /// Two presentation stamps of a component: 700 ms by TR 101 290, 2.5.
    pub pts: Duration,
    /// The CAT while packets are scrambled: 1 s; TR 101 290, 2.6 states none.
    pub cat: Duration,
    /// The NIT: 10 s by TR 101 290, 3.1.
    pub nit: Duration,
    /// The SDT of this stream: 2 s by TR 101 290, 3.5.
    pub sdt: Duration,
    /// The present and following events of this stream: 2 s by TR 101 290, 3.6.
    pub eit: Duration,
    /// The SDT of other streams, and the BAT: 10 s by TR 101 290, 3.5.b, and TR 101 211, 4.4.
    pub si_other: Duration,
    /// The present and following events of other streams: 20 s by TR 101 211, 4.4.2, in terrestrial networks; 10 s in others (4.4.1).
    /// TR 101 290, 3.6.b, says 10 s or higher.
    pub eit_other: Duration,
    /// The TDT: 30 s by TR 101 290, 3.8.
    pub tdt: Duration,
    /// The least between two sections of a sub-table: 25 ms by EN 300 468, 5.1.4.
    pub si_gap: Duration,
    /// For how long a PID may be in no table: 500 ms by TR 101 290, 3.4.
    pub unreferenced: Duration,
}

impl Limits {
    const GUIDELINE: Self = Self {
        pat: Duration::from_millis(500),
        pmt: Duration::from_millis(500),
        pid_video: Duration::from_secs(5),
        pid_audio: Duration::from_secs(5),
        pid_text: None,
        pid_data: None,
        video: Duration::from_secs(1),
        audio: Duration::from_secs(2),
        pcr: Duration::from_millis(100),
        pcr_accuracy: Duration::from_nanos(500),
        pts: Duration::from_millis(700),
        cat: Duration::from_secs(1),
        nit: Duration::from_secs(10),
        sdt: Duration::from_secs(2),
        eit: Duration::from_secs(2),
        si_other: Duration::from_secs(10),
        eit_other: Duration::from_secs(20),
        tdt: Duration::from_secs(30),
        si_gap: Duration::from_millis(25),
        unreferenced: Duration::from_millis(500),
    };

    /// For how long nothing may come of a component that is neither video nor audio.
    pub(crate) const fn other(&self, kind: MediaKind) -> Option<Duration> {
        match kind {
            MediaKind::Text => self.pid_text,
            _ => self.pid_data,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::GUIDELINE
    }
}

/// When a PAT or PMT that stays out is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// Where it never came, or had been repeated in time before: segments (HLS) carry theirs once, which is no fault.
    Learned,
    /// Always.
    Expected,
}

/// Whether buffers of the system target decoder that overflow count as a buffer error (TR 101 290, 3.3). Data that come late do
/// in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// They do not: ordinary muxers send sound in larger pieces and earlier than a receiver's 3,584 bytes take, and players
    /// have more.
    Ignored,
    /// They do.
    Counted,
}

/// Which checks are looked at, by which limits, and what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckProfile {
    settings: [Setting; Indicator::COUNT],
    /// The limits.
    pub limits: Limits,
    /// When a table is missing.
    pub repetition: Repetition,
    /// What of a buffer error counts.
    pub overflow: Overflow,
}

impl CheckProfile {
    /// For streams of any origin: what viewers notice is told, what only broadcast networks carry is counted.
    pub const DEFAULT: Self = Self {
        settings: DEFAULT,
        limits: Limits::GUIDELINE,
        repetition: Repetition::Learned,
        overflow: Overflow::Ignored,
    };
    /// For transport streams of a broadcast network: everything is told.
    pub const BROADCAST: Self = Self {
        settings: BROADCAST,
        limits: Limits { pcr: Duration::from_millis(40), ..Limits::GUIDELINE },
        repetition: Repetition::Expected,
        overflow: Overflow::Counted,
    };
    /// For segments and streams without service information.
    pub const OTT: Self = Self { settings: OTT, ..Self::DEFAULT };

    /// What is made of a check.
    #[must_use]
    pub const fn setting(&self, indicator: Indicator) -> Setting {
        self.settings[indicator as usize]
    }

    /// Makes something else of a check.
    pub const fn set(&mut self, indicator: Indicator, setting: Setting) {
        self.settings[indicator as usize] = setting;
    }
}

impl Default for CheckProfile {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_by_number_and_profiles_differ_where_they_should() {
        let key = |indicator: &Indicator| {
            let mut parts = indicator.number().split('.');
            let mut number = || parts.next().and_then(|p| p.parse::<u8>().ok()).unwrap_or(0);
            (number(), number(), indicator.number())
        };
        assert!(Indicator::ALL.is_sorted_by_key(key));
        for (i, &indicator) in Indicator::ALL.iter().enumerate() {
            assert_eq!(indicator as usize, i);
            assert_eq!(CheckProfile::BROADCAST.setting(indicator), Setting::Fault);
        }
        let mut own = CheckProfile::OTT;
        assert_eq!(own.setting(Indicator::Cat), Setting::Off);
        own.set(Indicator::Cat, Setting::Inform);
        assert_eq!(own.setting(Indicator::Cat), Setting::Inform);
        assert_eq!(own.setting(Indicator::Pts), CheckProfile::OTT.setting(Indicator::Pts));
    }
}
