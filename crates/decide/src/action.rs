//! Actions: one attempt of one rung of a remedy's ladder, and why one was not made.

use alloc::{string::String, vec::Vec};
use core::fmt;

use tallylight_model::{
    ActionId, ChannelId, EncoderId, Epoch, IncidentId, MonoTime, RegionId, ServerId, StreamId,
    WindowId,
};

use crate::{incident::Cause, lineup::names, policy::Mode, view::NotReady};

/// What the panel is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionKind {
    /// Put a channel on another source.
    SwitchSource,
    /// Restart what makes a channel's deliveries out of its source.
    RestartStream,
    /// Restart an encoder, or what serves a server's deliveries.
    RestartService,
    /// Send a server's viewers elsewhere.
    DrainServer,
    /// Send viewers to a server again, all at once.
    UndrainServer,
    /// Send a share of its viewers to a server again.
    ReturnServer,
    /// Send a region's viewers to another region.
    RegionMove,
}

names! {
    ActionKind {
        SwitchSource "switch_source"
        RestartStream "restart_stream"
        RestartService "restart_service"
        DrainServer "drain_server"
        UndrainServer "undrain_server"
        ReturnServer "return_server"
        RegionMove "region_move"
    }
}

/// What an action is done to: always explicit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One channel.
    Channel(ChannelId),
    /// One encoder with every channel on it: who restarts it touches them all.
    Encoder {
        /// The encoder.
        encoder: EncoderId,
        /// Never empty.
        channels: Vec<ChannelId>,
    },
    /// These servers; never empty.
    Servers(Vec<ServerId>),
    /// One region.
    Region(RegionId),
}

impl Target {
    /// Returns the channel, if it is one.
    #[must_use]
    pub const fn channel(&self) -> Option<&ChannelId> {
        match self {
            Self::Channel(id) => Some(id),
            Self::Encoder { .. } | Self::Servers(_) | Self::Region(_) => None,
        }
    }

    /// Returns the channels that it names.
    #[must_use]
    pub fn channels(&self) -> &[ChannelId] {
        match self {
            Self::Channel(id) => core::slice::from_ref(id),
            Self::Encoder { channels, .. } => channels,
            Self::Servers(_) | Self::Region(_) => &[],
        }
    }

    /// Whether two actions on these would touch the same thing.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Servers(a), Self::Servers(b)) => a.iter().any(|it| b.contains(it)),
            (Self::Region(a), Self::Region(b)) => a == b,
            _ => self.channels().iter().any(|it| other.channels().contains(it)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(id) => write!(f, "channel {id}"),
            Self::Encoder { encoder, .. } => write!(f, "encoder {encoder}"),
            Self::Servers(ids) => {
                for (i, id) in ids.iter().enumerate() {
                    write!(f, "{}{id}", if i == 0 { "server " } else { ", " })?;
                }
                Ok(())
            }
            Self::Region(id) => write!(f, "region {id}"),
        }
    }
}

/// What viewers are served from: the two ends of an action that changes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feed {
    /// A source of their channel.
    Source(StreamId),
    /// The servers of a region.
    Region(RegionId),
}

impl Feed {
    /// Returns the name in commands and in the API: a source's within its channel, or the region's id.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Source(stream) => stream.name(),
            Self::Region(region) => region.as_str(),
        }
    }

    /// Returns the source, if it is one.
    #[must_use]
    pub const fn source(&self) -> Option<&StreamId> {
        match self {
            Self::Source(stream) => Some(stream),
            Self::Region(_) => None,
        }
    }

    /// Returns the region, if it is one.
    #[must_use]
    pub const fn region(&self) -> Option<&RegionId> {
        match self {
            Self::Source(_) => None,
            Self::Region(region) => Some(region),
        }
    }
}

/// What an action is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// An incident, while it is open and after it: bringing back what was done for it is for it too.
    Incident(IncidentId),
    /// A time of maintenance, which needs no fault.
    Maintenance(WindowId),
}

impl Purpose {
    /// Returns the incident, if it is one.
    #[must_use]
    pub const fn incident(&self) -> Option<IncidentId> {
        match self {
            Self::Incident(id) => Some(*id),
            Self::Maintenance(_) => None,
        }
    }

    /// Returns the time of maintenance, if it is one.
    #[must_use]
    pub const fn window(&self) -> Option<&WindowId> {
        match self {
            Self::Incident(_) => None,
            Self::Maintenance(id) => Some(id),
        }
    }
}

/// A command to the panel. The collector sends it only after the journal has everything that was put out before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The idempotency key.
    pub action: ActionId,
    /// The fencing token.
    pub epoch: Epoch,
    /// What to do.
    pub kind: ActionKind,
    /// What to do it to.
    pub target: Target,
    /// What the target's viewers must be served from for it to be done; `None` where the action changes nothing there.
    pub from: Option<Feed>,
    /// What to serve them from.
    pub to: Option<Feed>,
    /// How much of its viewers a server is to get, in percent.
    pub share: Option<u8>,
    /// When it was decided.
    pub decided: MonoTime,
    /// After this it is void.
    pub expires: MonoTime,
    /// When the evidence arrived that made it decidable: what `tallylight_decision_seconds` counts from.
    pub evidence_arrived: MonoTime,
    /// What it is for.
    pub purpose: Purpose,
    /// The incident's cause; `None` in maintenance.
    pub cause: Option<Cause>,
    /// The incident's evidence in short sentences, without addresses; at most 8.
    pub evidence: Vec<String>,
}

/// Where an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionState {
    /// In mode `dry_run`: it would have been sent.
    Proposed,
    /// It waits for a person.
    Waiting,
    /// The command is out.
    Sent,
    /// No answer came; the panel's state will tell.
    Unknown,
    /// The panel says done; whether it helped is being watched.
    Verifying,
    /// It helped.
    Verified,
    /// It was carried out and did not help.
    NotVerified,
    /// It was not carried out.
    Failed,
    /// Nobody approved it in time, or it could not be sent in time.
    Expired,
    /// Its reason went away before it was sent.
    Withdrawn,
    /// A person said no.
    Rejected,
}

names! {
    ActionState {
        Proposed "proposed"
        Waiting "waiting"
        Sent "sent"
        Unknown "unknown"
        Verifying "verifying"
        Verified "verified"
        NotVerified "not_verified"
        Failed "failed"
        Expired "expired"
        Withdrawn "withdrawn"
        Rejected "rejected"
    }
}

impl ActionState {
    /// Whether it holds its target's lock: it is out, or may be, or is being watched.
    #[must_use]
    pub const fn is_in_flight(self) -> bool {
        matches!(self, Self::Sent | Self::Unknown | Self::Verifying)
    }

    /// Whether nothing more will happen to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !self.is_in_flight() && !matches!(self, Self::Waiting)
    }
}

/// One attempt of one rung.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Its id, and the command's idempotency key.
    pub id: ActionId,
    /// What it is for.
    pub purpose: Purpose,
    /// What.
    pub kind: ActionKind,
    /// To what.
    pub target: Target,
    /// What the target's viewers are taken from; `None` where the action changes nothing there.
    pub from: Option<Feed>,
    /// What they are served from after it.
    pub to: Option<Feed>,
    /// How much of its viewers a server gets, in percent.
    pub share: Option<u8>,
    /// The mode it was decided in.
    pub mode: Mode,
    /// Where it stands.
    pub state: ActionState,
    /// When it was decided.
    pub decided: MonoTime,
    /// After this it is void, unless it is out.
    pub expires: MonoTime,
    /// When the command went out.
    pub sent: Option<MonoTime>,
    /// When the panel answered the command with done; `None` where that was only taken from its state, or is not known.
    pub answered: Option<MonoTime>,
    /// When it was done as far as is known. Only media produced after this says whether it helped.
    pub done: Option<MonoTime>,
    /// When it reached a final state.
    pub ended: Option<MonoTime>,
    /// When somebody else was seen to have taken it back; of drains alone.
    pub lifted: Option<MonoTime>,
    /// The action that this one undoes.
    pub undoes: Option<ActionId>,
    /// Its batch, where one cause has the same done to many channels: 0 is the channel that goes first.
    pub group: Option<u32>,
    /// The sources that were weighed, the chosen one first; empty where there was nothing to choose.
    pub choices: Vec<Choice>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// Why it stands where it stands, in one sentence.
    pub detail: String,
}

/// A source that was weighed when a channel was to leave another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The source.
    pub stream: StreamId,
    /// Why it was chosen, or everything that spoke against it.
    pub reasons: Vec<Why>,
}

/// Why a source was chosen or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It was.
    Chosen,
    /// It is the last resort, and another one is ready.
    LastResort,
    /// It was bad for longer over the last minutes.
    LessHealthy,
    /// The lineup prefers another.
    LowerPriority,
    /// Its bitrate is further from the source's that is left.
    OtherBitrate,
    /// Its format is another than the source's that is left.
    OtherFormat,
    /// Its programme is further shifted from the source's that is left.
    OtherLatency,
    /// It is as good, and listed later.
    ListedLater,
    /// The provider that is left carries it too.
    SameProvider,
    /// It is not ready.
    NotReady(NotReady),
}

impl Why {
    const OF_CHOICE: [Self; 9] = [
        Self::Chosen,
        Self::LastResort,
        Self::LessHealthy,
        Self::LowerPriority,
        Self::OtherBitrate,
        Self::OtherFormat,
        Self::OtherLatency,
        Self::ListedLater,
        Self::SameProvider,
    ];

    /// Returns the word in JSON and in the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::LastResort => "last_resort",
            Self::LessHealthy => "less_healthy",
            Self::LowerPriority => "lower_priority",
            Self::OtherBitrate => "other_bitrate",
            Self::OtherFormat => "other_format",
            Self::OtherLatency => "other_latency",
            Self::ListedLater => "listed_later",
            Self::SameProvider => "same_provider",
            Self::NotReady(it) => it.name(),
        }
    }

    /// Reads what [`name`](Self::name) wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let of_choice = Self::OF_CHOICE.into_iter().find(|it| it.name() == name);
        of_choice.or_else(|| NotReady::from_name(name).map(Self::NotReady))
    }
}

impl ActionKind {
    /// Whether it changes how many of its viewers a server gets.
    pub(crate) const fn moves_viewers(self) -> bool {
        matches!(self, Self::DrainServer | Self::ReturnServer | Self::UndrainServer)
    }
}

/// Why an action was not made. One name per guard; each is a label value, so the set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The kill switch is pulled.
    KillSwitch,
    /// The mode is `off`.
    ModeOff,
    /// The mode is `dry_run`: the action is recorded as proposed.
    ModeDryRun,
    /// The mode is `approve`: the action waits.
    AwaitingApproval,
    /// Nobody approved it in time.
    ApprovalExpired,
    /// Too few independent vantage points agree.
    NoQuorum,
    /// The evidence is too old.
    StaleEvidence,
    /// Only media from before the last action, from before a change of source or from a fault of the source is bad.
    OldMedia,
    /// Another action on the target is in flight.
    TargetLocked,
    /// The target had an action within the last minute.
    TargetRate,
    /// The target's circuit is open.
    CircuitOpen,
    /// Too many actions over everything.
    GlobalRate,
    /// A region was moved within the last ten minutes.
    RegionMoveRate,
    /// The channel was switched too often lately.
    Damped,
    /// Somebody else changed the channel's source a short while ago.
    HandsOff,
    /// What it is about is being worked on.
    Maintenance,
    /// Much of the region turned bad at once, for no one cause.
    Storm,
    /// Too many of the region's servers would be out of service.
    IsolationBudget,
    /// A person said no to it.
    Rejected,
    /// No source is ready to be switched to.
    NoReadyBackup,
    /// The backup looks good but has not been seen for long enough to be believed.
    BackupUnproven,
    /// The backup has not yet shown the programme time of the fault.
    DifferentialUnknown,
    /// Nobody stated how the backup's programme is shifted: held, and then for a person to approve.
    OffsetUnknown,
    /// The primary and the backup show the same: the fault is the programme's.
    Programme,
    /// The witness is at fault, not what it watches.
    Probe,
    /// The fault's kind is one that nothing acts on.
    NeverActs,
    /// The panel does not answer.
    PanelDown,
    /// The panel has not said what the channel is on.
    ActiveSourceUnknown,
    /// The remedy's ladder has no rung left.
    LadderExhausted,
    /// Nothing is known to remedy a cause of this kind: people must.
    NoRemedy,
    /// The same action did not help another channel of the group.
    GroupStopped,
    /// The panel did not carry it out, more than once.
    PanelFails,
    /// It would interrupt what is seen well.
    CostsHealthy,
    /// What the server delivers is not seen well.
    ServerNotWell,
    /// Another server is getting its viewers back.
    OtherReturning,
    /// The panel does not say that it can restart this.
    CannotRestart,
    /// No other server of the region can take the viewers.
    NoSurvivor,
    /// No other region can take the viewers.
    NoDestination,
    /// The best candidate explains too little of what it would break.
    WeakCause,
    /// Another cause would explain as much and is not ruled out.
    Ambiguous,
    /// The panel is already in the state that the action would bring.
    AlreadyDone,
    /// The command is void by its age.
    Expired,
    /// The action is not one that is out.
    NotInFlight,
    /// The panel failed so often in a row that it is left alone for a while.
    PanelCircuitOpen,
    /// The panel's clock is too far off for its sense of a command's age.
    PanelClockOff,
    /// The intent could not be made durable.
    JournalFails,
    /// More commands are under way than the collector sends at once.
    TooManyCommands,
    /// The collector was stopping.
    CollectorStops,
}

names! {
    Reason {
        KillSwitch "kill_switch"
        ModeOff "mode_off"
        ModeDryRun "mode_dry_run"
        AwaitingApproval "awaiting_approval"
        ApprovalExpired "approval_expired"
        NoQuorum "no_quorum"
        StaleEvidence "stale_evidence"
        OldMedia "old_media"
        TargetLocked "target_locked"
        TargetRate "target_rate"
        CircuitOpen "circuit_open"
        GlobalRate "global_rate"
        RegionMoveRate "region_move_rate"
        Damped "damped"
        HandsOff "hands_off"
        Maintenance "maintenance"
        Storm "storm"
        IsolationBudget "isolation_budget"
        Rejected "rejected"
        NoReadyBackup "no_ready_backup"
        BackupUnproven "backup_unproven"
        DifferentialUnknown "differential_unknown"
        OffsetUnknown "offset_unknown"
        Programme "programme"
        Probe "probe"
        NeverActs "never_acts"
        PanelDown "panel_down"
        ActiveSourceUnknown "active_source_unknown"
        LadderExhausted "ladder_exhausted"
        NoRemedy "no_remedy"
        GroupStopped "group_stopped"
        PanelFails "panel_fails"
        CostsHealthy "costs_healthy"
        ServerNotWell "server_not_well"
        OtherReturning "other_returning"
        CannotRestart "cannot_restart"
        NoSurvivor "no_survivor"
        NoDestination "no_destination"
        WeakCause "weak_cause"
        Ambiguous "ambiguous"
        AlreadyDone "already_done"
        Expired "expired"
        NotInFlight "not_in_flight"
        PanelCircuitOpen "panel_circuit_open"
        PanelClockOff "panel_clock_off"
        JournalFails "journal_fails"
        TooManyCommands "too_many_commands"
        CollectorStops "collector_stops"
    }
}

/// An action that was not made, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it would have been for.
    pub purpose: Purpose,
    /// What would have been done; `None` where the cause has no remedy at all.
    pub kind: Option<ActionKind>,
    /// Why not.
    pub reason: Reason,
    /// When this was first found.
    pub at: MonoTime,
}

/// What keeps an incident's next action back at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What is not done; `None` where there is nothing left to do.
    pub kind: Option<ActionKind>,
    /// Why not.
    pub reason: Reason,
    /// Until when at the earliest, where that is known.
    pub until: Option<MonoTime>,
}
