//! Thresholds: when a condition becomes a fault, and when it ends. One table, by profile name; the same for `probe` and for
//! channels in the lineup. Values come from measurements and from what operators set on other probes.

use core::time::Duration;

use crate::FaultKind;

/// How long a condition must last to be a fault of each severity, and how long it must be gone for the fault to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Told as informational after this long, until it is a warning or critical; `None` where it is told as these alone.
    pub info: Option<Duration>,
    /// Declared as a warning after this long; `None` where it is critical at once.
    pub warning: Option<Duration>,
    /// Critical after this long; `None` where it never is.
    pub critical: Option<Duration>,
    /// Ends after this long without the condition.
    pub clear: Duration,
}

impl Hold {
    /// When the fault is first declared as a warning or critical; `None` where the kind is only ever informational.
    #[must_use]
    pub fn declared(&self) -> Option<Duration> {
        match (self.warning, self.critical) {
            (Some(warning), Some(critical)) => Some(warning.min(critical)),
            (one, other) => one.or(other),
        }
    }
}

/// Names a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileName {
    /// What operators of IPTV platforms set.
    #[default]
    Default,
    /// Shorter holds for picture and sound: black 2 s, freeze 4 s, silence 2 s.
    Sensitive,
    /// For transport streams of a broadcast network: every check of TR 101 290 is a warning.
    Broadcast,
    /// For segments and streams without service information.
    Ott,
}

impl ProfileName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Default, Self::Sensitive, Self::Broadcast, Self::Ott];

    /// Returns the name in configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Sensitive => "sensitive",
            Self::Broadcast => "broadcast",
            Self::Ott => "ott",
        }
    }

    /// Reads what [`name`](Self::name) wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }
}

/// The thresholds of one profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    name: ProfileName,
}

const fn hold(warning_ms: u64, critical_ms: u64, clear_ms: u64) -> Hold {
    Hold {
        info: None,
        warning: Some(Duration::from_millis(warning_ms)),
        critical: Some(Duration::from_millis(critical_ms)),
        clear: Duration::from_millis(clear_ms),
    }
}

const fn critical(after_ms: u64, clear_ms: u64) -> Hold {
    Hold {
        info: None,
        warning: None,
        critical: Some(Duration::from_millis(after_ms)),
        clear: Duration::from_millis(clear_ms),
    }
}

const fn warning(after_ms: u64, clear_ms: u64) -> Hold {
    Hold {
        info: None,
        warning: Some(Duration::from_millis(after_ms)),
        critical: None,
        clear: Duration::from_millis(clear_ms),
    }
}

const fn info(clear_ms: u64) -> Hold {
    Hold {
        info: Some(Duration::ZERO),
        warning: None,
        critical: None,
        clear: Duration::from_millis(clear_ms),
    }
}

impl Profile {
    /// Returns the thresholds of that name.
    #[must_use]
    pub const fn new(name: ProfileName) -> Self {
        Self { name }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> ProfileName {
        self.name
    }

    /// When a condition of this kind becomes a fault.
    ///
    /// For kinds that are counted per event (`continuity`, `transport_error`, `psi_crc`, `pcr`, `decode_errors`, `boundary_continuity`, `rtp_loss`,
    /// `delivery_jitter`) the condition is "an event within the last second", so that `critical` means errors second after second.
    #[must_use]
    pub const fn hold(&self, kind: FaultKind) -> Hold {
        match self.exception(kind) {
            Some(hold) => hold,
            None => usual(kind),
        }
    }

    /// Where a profile differs from the others.
    const fn exception(&self, kind: FaultKind) -> Option<Hold> {
        Some(match (self.name, kind) {
            (ProfileName::Sensitive, FaultKind::Black | FaultKind::Silence | FaultKind::Slate) => {
                hold(2_000, 5_000, 3_000)
            }
            // Programmes show plain cards and test patterns for a moment.
            (ProfileName::Sensitive, FaultKind::Blank | FaultKind::Bars) => {
                hold(4_000, 8_000, 3_000)
            }
            (ProfileName::Sensitive, FaultKind::Freeze) => hold(4_000, 10_000, 3_000),
            (
                ProfileName::Sensitive,
                FaultKind::DeadChannel | FaultKind::Mono | FaultKind::OutOfPhase,
            ) => warning(10_000, 10_000),
            (ProfileName::Sensitive, FaultKind::Tone) => warning(4_000, 3_000),
            (ProfileName::Broadcast, FaultKind::PsiMissing) => warning(0, 1_000),
            (
                ProfileName::Broadcast,
                FaultKind::Pcr | FaultKind::Pts | FaultKind::Si | FaultKind::Buffer,
            ) => warning(0, 5_000),
            _ => return None,
        })
    }
}

/// What holds in every profile that makes no exception.
const fn usual(kind: FaultKind) -> Hold {
    match kind {
        // Five times are what makes one. Many are meant, as a card with an animation before a programme, and hurt nobody soon.
        FaultKind::Loop => hold(30_000, 120_000, 3_000),
        FaultKind::PartialFreeze | FaultKind::Placeholder | FaultKind::FormatChange => info(3_000),
        FaultKind::Black | FaultKind::Blank | FaultKind::Bars | FaultKind::Slate => {
            hold(5_000, 10_000, 3_000)
        }
        FaultKind::Freeze | FaultKind::Silence => hold(10_000, 30_000, 3_000),
        FaultKind::FreezeAndSilence => critical(5_000, 3_000),
        FaultKind::DeadChannel | FaultKind::Mono | FaultKind::OutOfPhase => warning(30_000, 10_000),
        FaultKind::Tone => warning(10_000, 3_000),
        FaultKind::Clipping => warning(3_000, 10_000),
        // Asked of nothing but what a profile sets a norm for; the window is the hold.
        FaultKind::Loudness => warning(0, 60_000),
        FaultKind::TruePeak => warning(0, 10_000),
        // A description pauses for long where nothing needs to be described.
        FaultKind::SecondarySilence => warning(60_000, 10_000),
        FaultKind::TrackMissing => warning(3_000, 1_000),
        FaultKind::Unreachable | FaultKind::HttpError => critical(2_000, 3_000),
        FaultKind::NoData => critical(2_000, 1_000),
        // TR 101 290, 1.1 calls two wrong sync bytes an error; an outage it is after a second.
        FaultKind::SyncLoss => hold(0, 1_000, 1_000),
        FaultKind::NoVideo | FaultKind::NoAudio => critical(3_000, 1_000),
        // TR 101 290, 1.6: the user's period, 5 s unless stated.
        FaultKind::PidMissing => critical(5_000, 1_000),
        FaultKind::Continuity => hold(0, 3_000, 5_000),
        FaultKind::DecodeErrors => hold(0, 6_000, 6_000),
        FaultKind::TransportError => warning(0, 5_000),
        FaultKind::BoundaryContinuity => info(10_000),
        // Of few packets all may be null packets or another service's; what viewers miss of them is counted inside.
        FaultKind::RtpLoss => Hold { info: Some(Duration::ZERO), ..critical(3_000, 5_000) },
        // Uneven arrival costs viewers nothing that their buffers even out, which are not known.
        FaultKind::DeliveryJitter => info(5_000),
        // The condition itself begins after the 500 ms of TR 101 290, 1.3a and 1.5a.
        // TR 101 290 calls 0.5 s an error, but packagers repeat the tables every second or so and no receiver minds.
        FaultKind::PsiMissing => warning(2_000, 1_000),
        FaultKind::PsiInvalid | FaultKind::PsiCrc => warning(0, 5_000),
        FaultKind::AvOffset => info(10_000),
        FaultKind::Pcr | FaultKind::Pts | FaultKind::Si | FaultKind::Buffer => info(5_000),
        FaultKind::Scrambled => warning(2_000, 2_000),
        FaultKind::PlaylistStale | FaultKind::SegmentMissing | FaultKind::PlaylistInvalid => {
            critical(0, 3_000)
        }
        FaultKind::Stall => critical(1_000, 3_000),
        FaultKind::DecoderFailed => warning(0, 30_000),
        FaultKind::PathDegraded => warning(0, 10_000),
        FaultKind::HostSaturated => warning(10_000, 30_000),
        // It costs viewers nothing, and every change of what is shed is told anew.
        FaultKind::Shedding => Hold { info: Some(Duration::from_secs(5)), ..info(5_000) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sensitive_profile_differs_in_picture_and_sound_alone() {
        let default = Profile::new(ProfileName::Default);
        let sensitive = Profile::new(ProfileName::Sensitive);
        let seconds = |profile: Profile, kind| profile.hold(kind).declared().map(|d| d.as_secs());
        for &kind in FaultKind::ALL {
            match kind {
                FaultKind::Black | FaultKind::Slate => {
                    assert_eq!(seconds(sensitive, kind), Some(2));
                }
                FaultKind::Blank | FaultKind::Bars => {
                    assert_eq!(seconds(sensitive, kind), Some(4));
                }
                FaultKind::Freeze => assert_eq!(seconds(sensitive, kind), Some(4)),
                FaultKind::Silence => assert_eq!(seconds(sensitive, kind), Some(2)),
                FaultKind::DeadChannel | FaultKind::Mono | FaultKind::OutOfPhase => {
                    assert_eq!(seconds(sensitive, kind), Some(10));
                }
                FaultKind::Tone => assert_eq!(seconds(sensitive, kind), Some(4)),
                _ => assert_eq!(default.hold(kind), sensitive.hold(kind), "{kind}"),
            }
        }
        assert_eq!(seconds(default, FaultKind::Black), Some(5));
        let broadcast = Profile::new(ProfileName::Broadcast);
        assert_eq!(
            (seconds(default, FaultKind::Pcr), seconds(broadcast, FaultKind::Pcr)),
            (None, Some(0))
        );
    }

    #[test]
    fn severity_never_falls_as_a_condition_lasts() {
        for name in ProfileName::ALL {
            assert_eq!(ProfileName::from_name(name.name()), Some(name));
            for &kind in FaultKind::ALL {
                let hold = Profile::new(name).hold(kind);
                if let (Some(warning), Some(critical)) = (hold.warning, hold.critical) {
                    assert!(warning <= critical, "{kind}");
                }
            }
        }
    }
}
