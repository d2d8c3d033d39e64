//! The fault table: every kind of fault with what it counts as and whether an action may rest on it.
//!
//! When a kind is raised stands in [`Profile`](crate::Profile); what it means for a viewer in `docs/faults.md`.

use core::fmt;

/// How bad a fault is. Only `Warning` and `Critical` make a stream faulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nobody is called.
    Info,
    /// A viewer may notice.
    Warning,
    /// A viewer does notice.
    Critical,
}

impl Severity {
    /// All of them, least first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Returns `info`, `warning` or `critical`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads what [`name`](Self::name) wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

/// What a bad second counts as in `iptv_channel_fault_seconds_total{class}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultClass {
    /// Nothing usable arrives.
    Unavailable,
    /// Parts of the stream are lost on the way.
    Loss,
    /// The decoder finds damage.
    Decode,
    /// The picture is black, of one colour or a test pattern.
    Black,
    /// The picture stands still, or repeats a few seconds over and over.
    Freeze,
    /// The sound is silent.
    Silence,
    /// A player's buffer runs dry.
    Stall,
    /// The playlist misleads the player.
    Manifest,
}

impl FaultClass {
    /// All of them, in the order of the table in `docs/faults.md`.
    pub const ALL: [Self; 8] = [
        Self::Unavailable,
        Self::Loss,
        Self::Decode,
        Self::Black,
        Self::Freeze,
        Self::Silence,
        Self::Stall,
        Self::Manifest,
    ];

    /// Returns the label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Loss => "loss",
            Self::Decode => "decode",
            Self::Black => "black",
            Self::Freeze => "freeze",
            Self::Silence => "silence",
            Self::Stall => "stall",
            Self::Manifest => "manifest",
        }
    }
}

/// At which layer a fault is seen; each layer is observed or not on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Packets and tables.
    Transport,
    /// Decoded picture.
    Picture,
    /// Decoded sound.
    Sound,
    /// Requests, playlists, segments, a player's buffer.
    Delivery,
}

impl Layer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Transport, Self::Picture, Self::Sound, Self::Delivery];

    /// Returns the label value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Picture => "picture",
            Self::Sound => "sound",
            Self::Delivery => "delivery",
        }
    }
}

/// Whether an action may rest on a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acts {
    /// It may, with a quorum, from this severity on.
    Alone(Severity),
    /// Only from this severity on and where a backup over the same programme time lacks it: several probes that decode
    /// the same bits agree on an intentional black.
    Differential(Severity),
    /// Never: it is evidence for people and for choosing.
    Never,
}

/// One row of the fault table.
#[derive(Clone, Copy, Debug)]
pub struct FaultRule {
    /// The kind.
    pub kind: FaultKind,
    /// Its name in records, labels, configuration and JSON.
    pub name: &'static str,
    /// What its seconds count as; `None` for what is not the stream's.
    pub class: Option<FaultClass>,
    /// Where it is seen.
    pub layer: Layer,
    /// Whether an action may rest on it.
    pub acts: Acts,
    /// What it says, in one sentence.
    pub means: &'static str,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $kind:ident $name:literal $class:expr, $layer:ident, $acts:expr, $means:literal;)*) => {
        /// A kind of fault. [`FaultKind::rule`] gives its row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind {
            $(#[doc = $means] $kind,)*
        }

        impl FaultKind {
            /// All kinds, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Returns the kind's row.
            #[must_use]
            pub const fn rule(self) -> FaultRule {
                match self {
                    $(Self::$kind => FaultRule {
                        kind: Self::$kind,
                        name: $name,
                        class: $class,
                        layer: Layer::$layer,
                        acts: $acts,
                        means: $means,
                    },)*
                }
            }
        }
    };
}

const CRITICAL: Acts = Acts::Alone(Severity::Critical);
const AGAINST_BACKUP: Acts = Acts::Differential(Severity::Warning);

faults! {
    Unreachable "unreachable" Some(FaultClass::Unavailable), Delivery, CRITICAL,
        "The address does not resolve, refuses the connection or does not answer.";
    HttpError "http_error" Some(FaultClass::Unavailable), Delivery, CRITICAL,
        "The server answers with an error status or with something that is not the stream.";
    NoData "no_data" Some(FaultClass::Unavailable), Transport, CRITICAL,
        "The stream is open but no packets arrive.";
    SyncLoss "sync_loss" Some(FaultClass::Unavailable), Transport, CRITICAL,
        "What arrives is not a transport stream (TR 101 290, 1.1).";
    PidMissing "pid_missing" Some(FaultClass::Unavailable), Transport, CRITICAL,
        "A PID that the PMT lists carries nothing (TR 101 290, 1.6).";
    NoVideo "no_video" Some(FaultClass::Unavailable), Transport, CRITICAL,
        "The service has no pictures although the rest of the multiplex goes on.";
    NoAudio "no_audio" Some(FaultClass::Unavailable), Transport, CRITICAL,
        "The service has no main sound although the rest of the multiplex goes on.";
    Continuity "continuity" Some(FaultClass::Loss), Transport, CRITICAL,
        "Packets of the service are lost, repeated or out of order (TR 101 290, 1.4).";
    RtpLoss "rtp_loss" Some(FaultClass::Loss), Delivery, CRITICAL,
        "RTP packets are lost on the way (RFC 3550). Informational until it goes on, and while forward error correction can repair it.";
    DeliveryJitter "delivery_jitter" None, Delivery, Acts::Never,
        "The time that RTP packets take on the way varies by more than 500 ms within a second.";
    TransportError "transport_error" Some(FaultClass::Loss), Transport, Acts::Never,
        "An upstream demodulator or receiver marked packets as damaged (TR 101 290, 2.1).";
    BoundaryContinuity "boundary_continuity" None, Transport, Acts::Never,
        "Counters jump from one HLS segment to the next without a discontinuity tag.";
    PsiMissing "psi_missing" Some(FaultClass::Unavailable), Transport, Acts::Never,
        "The PAT, the PMT of the service or, of a scrambled one, the CAT stays out (TR 101 290, 1.3, 1.5 and 2.6).";
    PsiInvalid "psi_invalid" None, Transport, Acts::Never,
        "The PAT, CAT or PMT is scrambled, or another table is in its place (TR 101 290, 1.3, 1.5 and 2.6).";
    PsiCrc "psi_crc" None, Transport, Acts::Never,
        "Sections of the tables have a wrong CRC (TR 101 290, 2.2).";
    Pcr "pcr" None, Transport, Acts::Never,
        "The program clock jumps, comes too seldom or is not accurate (TR 101 290, 2.3 and 2.4).";
    Pts "pts" None, Transport, Acts::Never,
        "Presentation stamps of picture or sound come too seldom (TR 101 290, 2.5).";
    Si "si" None, Transport, Acts::Never,
        "Service information is missing, late, too dense or of the wrong kind, or a PID is in no table (TR 101 290, 3.1 to 3.8).";
    Buffer "buffer" None, Transport, Acts::Never,
        "A receiver's buffers do not hold the stream: data come too late, too early or too fast (TR 101 290, 3.3, 3.9 and 3.10).";
    Scrambled "scrambled" None, Transport, Acts::Never,
        "The service is scrambled although the lineup expects it in the clear.";
    DecodeErrors "decode_errors" Some(FaultClass::Decode), Picture, CRITICAL,
        "The decoder finds damaged pictures or sound.";
    Black "black" Some(FaultClass::Black), Picture, AGAINST_BACKUP, "The picture is black.";
    Blank "blank" Some(FaultClass::Black), Picture, AGAINST_BACKUP,
        "The picture is of one colour that is not black.";
    Bars "bars" Some(FaultClass::Black), Picture, AGAINST_BACKUP, "The picture is colour bars.";
    Freeze "freeze" Some(FaultClass::Freeze), Picture, AGAINST_BACKUP, "The picture stands still.";
    PartialFreeze "partial_freeze" None, Picture, Acts::Never,
        "Most of the picture stands still and a little of it moves, as a ticker over a frozen programme.";
    Slate "slate" Some(FaultClass::Black), Picture, AGAINST_BACKUP,
        "A known slate is shown that means failure.";
    Placeholder "placeholder" None, Picture, Acts::Never,
        "A known slate is shown that means no failure: a blackout, a missing advertisement, off the air.";
    Loop "loop" Some(FaultClass::Freeze), Picture, AGAINST_BACKUP,
        "The same few seconds are shown over and over, at least five times.";
    FormatChange "format_change" None, Picture, Acts::Never,
        "Size, frame rate, scan, shape or codec of the picture are not those that the lineup states.";
    AvOffset "av_offset" None, Transport, Acts::Never,
        "Picture and main sound moved against each other, by their time stamps.";
    Silence "silence" Some(FaultClass::Silence), Sound, AGAINST_BACKUP, "The main sound is silent.";
    FreezeAndSilence "freeze_and_silence" None, Picture, Acts::Never,
        "The picture stands still and the main sound is silent at the same time.";
    DeadChannel "dead_channel" None, Sound, Acts::Never,
        "Left or right of the main sound is silent while the other is not.";
    Mono "mono" None, Sound, Acts::Never,
        "Left and right of the main sound are the same; a warning only where the lineup expects stereo.";
    OutOfPhase "out_of_phase" None, Sound, Acts::Never,
        "Left and right of the main sound cancel each other.";
    Clipping "clipping" None, Sound, Acts::Never,
        "Peaks of the main sound are cut off at full scale.";
    Tone "tone" None, Sound, Acts::Never,
        "The main sound is a tone of 1 kHz, as of a line-up signal.";
    Loudness "loudness" None, Sound, Acts::Never,
        "The sliding loudness of the main sound is not what the profile asks for (EBU R128, ATSC A/85).";
    TruePeak "true_peak" None, Sound, Acts::Never,
        "Peaks of the main sound are higher than the profile's recommendation on loudness allows.";
    SecondarySilence "secondary_silence" None, Sound, Acts::Never,
        "A sound beside the main one is silent.";
    TrackMissing "track_missing" None, Transport, Acts::Never,
        "The tables do not list a sound that the lineup expects, by its language and role.";
    PlaylistStale "playlist_stale" Some(FaultClass::Manifest), Delivery, CRITICAL,
        "The live playlist stopped growing.";
    SegmentMissing "segment_missing" Some(FaultClass::Manifest), Delivery, CRITICAL,
        "The playlist lists segments that cannot be fetched.";
    PlaylistInvalid "playlist_invalid" Some(FaultClass::Manifest), Delivery, CRITICAL,
        "The playlist cannot be read as RFC 8216 says.";
    Stall "stall" Some(FaultClass::Stall), Delivery, CRITICAL,
        "A player's buffer would have run dry.";
    DecoderFailed "decoder_failed" None, Picture, Acts::Never,
        "The decoder crashed, hung or took too much memory on the stream, which is not decoded for a while.";
    PathDegraded "path_degraded" None, Delivery, Acts::Never,
        "The agent's own host or path dropped packets: what it saw is unobserved.";
    HostSaturated "host_saturated" None, Delivery, Acts::Never,
        "The agent's host is close to its limits.";
    Shedding "shedding" None, Picture, Acts::Never,
        "The agent's decoders are late: less of the stream is decoded, and its packets are checked as ever.";
}

impl FaultKind {
    /// Returns the name in records, labels, configuration and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.rule().name
    }

    /// Reads what [`name`](Self::name) wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether a fault of this kind and severity may be what an action rests on, a clean backup provided where needed.
    #[must_use]
    pub fn may_act(self, severity: Severity) -> bool {
        match self.rule().acts {
            Acts::Alone(from) | Acts::Differential(from) => severity >= from,
            Acts::Never => false,
        }
    }

    /// Whether the fault counts only against a backup that lacks it.
    #[must_use]
    pub const fn is_differential(self) -> bool {
        matches!(self.rule().acts, Acts::Differential(_))
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for &kind in FaultKind::ALL {
            assert_eq!(FaultKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(FaultKind::from_name("nonsense"), None);
    }

    #[test]
    fn an_action_rests_only_on_what_the_table_allows() {
        assert!(FaultKind::NoData.may_act(Severity::Critical));
        assert!(!FaultKind::Continuity.may_act(Severity::Warning));
        assert!(FaultKind::Black.may_act(Severity::Warning));
        assert!(FaultKind::Black.is_differential());
        assert!(!FaultKind::Scrambled.may_act(Severity::Critical));
    }
}
