//! What the judgement is told.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use tallylight_model::{
    ActionId, Batch, ChannelId, EncoderId, IncidentId, RegionId, ServerId, StreamId, WindowId,
};

use crate::{
    Policy,
    action::Reason,
    lineup::{Lineup, names},
    maintenance::Plan,
    policy::{Mode, Scope},
};

/// One thing that happened outside. Nothing in it needs to be true, known, in order or new.
#[derive(Clone, Debug)]
pub enum Input {
    /// An agent spoke. The collector has dropped what it had before: (node, epoch, stream, start) of a slice and
    /// (node, epoch, seq) of a fault record come once.
    Batch(Batch),
    /// The panel answered what state it is in.
    Panel(PanelState),
    /// The panel did not answer.
    PanelDown,
    /// A command came to an end, or is known to be running.
    Outcome {
        /// The command's action.
        action: ActionId,
        /// How it went.
        outcome: Outcome,
    },
    /// A person approved an action that waits.
    Approve {
        /// The action.
        action: ActionId,
        /// Who.
        by: String,
    },
    /// A person said no to an action that waits.
    Reject {
        /// The action.
        action: ActionId,
        /// Who.
        by: String,
    },
    /// Somebody planned a time of maintenance. One of the same name that is not over is changed.
    Maintain(Plan),
    /// A time of maintenance is over before its end.
    EndMaintenance {
        /// Which.
        window: WindowId,
    },
    /// A person gave a channel back that was left to whoever changed its source.
    EndHandsOff {
        /// The channel.
        channel: ChannelId,
    },
    /// A person closed an incident.
    Close {
        /// The incident.
        incident: IncidentId,
        /// Who.
        by: String,
    },
    /// A person wants a channel back on the source that it is normally on.
    FailBack {
        /// The channel.
        channel: ChannelId,
        /// Who.
        by: String,
    },
    /// A person says that a server that was drained may have its viewers back.
    Return {
        /// The server.
        server: ServerId,
        /// Who.
        by: String,
    },
    /// A person set a mode. It holds over restarts, and over the configured one.
    SetMode {
        /// For what.
        scope: Scope,
        /// The mode.
        mode: Mode,
        /// Who.
        by: String,
    },
    /// The kill switch was found in this position. While it is pulled, every mode is `off`.
    KillSwitch(KillSwitch),
    /// A channel goes on or off the air by its hours. Off the air nothing of it is a fault.
    OnAir {
        /// The channel.
        channel: ChannelId,
        /// Whether it is.
        on_air: OnAir,
    },
    /// A new lineup is in force. State of streams that are gone goes with them.
    Lineup(Box<Lineup>),
    /// A new policy is in force.
    Policy(Box<Policy>),
    /// Nothing happened but time: what [`deadline`](crate::Decider::deadline) asked for.
    Tick,
}

/// Position of the kill switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KillSwitch {
    /// It is not in the way.
    #[default]
    Released,
    /// Nothing may act.
    Pulled,
}

/// Whether a channel is meant to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnAir {
    /// It is.
    #[default]
    On,
    /// It is not.
    Off,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200: the panel says that it is done.
    Done,
    /// The panel, or the way to it, says that it failed: with a sentence, without addresses.
    Failed(String),
    /// The panel would not.
    Refused(PanelRefusal),
    /// No answer within the time: it may have been carried out or not.
    Unknown,
    /// The collector's own last look before the side effect forbade it: the reason, of
    /// [`still_allowed`](crate::Decider::still_allowed) or of its own.
    NotSent(Reason),
}

/// Why the panel would not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PanelRefusal {
    /// 409: another collector with a higher epoch is in charge.
    StaleEpoch,
    /// 410: it came too late.
    Expired,
    /// 412: the channel was not on the source it was to be switched from.
    FromDoesNotHold,
}

names! {
    PanelRefusal {
        StaleEpoch "stale_epoch" Expired "expired" FromDoesNotHold "from_does_not_hold"
    }
}

/// The panel's state, as it answers `GET /state`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PanelState {
    /// Grows with every change.
    pub version: u64,
    /// Channels the panel runs.
    pub channels: Vec<PanelChannel>,
    /// Servers the panel sends viewers to.
    pub servers: Vec<PanelServer>,
    /// Regions whose viewers the panel sends somewhere; empty if it does not say.
    pub regions: Vec<PanelRegion>,
    /// Encoders that the panel runs; empty if it does not say.
    pub encoders: Vec<PanelEncoder>,
}

/// One channel in the panel's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelChannel {
    /// The channel.
    pub channel: ChannelId,
    /// The source it is on.
    pub active: Option<StreamId>,
    /// Who put it there.
    pub changed_by: ChangedBy,
    /// Viewers by the region whose servers serve them.
    pub sessions: BTreeMap<RegionId, u64>,
    /// Bytes sent to viewers by region, since some origin.
    pub egress_bytes: BTreeMap<RegionId, u64>,
}

/// Who made the panel's last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedBy {
    /// A command of ours.
    Action(ActionId),
    /// A person.
    Operator,
    /// The panel itself.
    Panel,
}

/// One server in the panel's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelServer {
    /// The server.
    pub server: ServerId,
    /// Whether new viewers are sent there.
    pub state: ServerState,
    /// Viewers on it.
    pub sessions: u64,
    /// How much of its viewers it gets, in percent; `None` if the panel knows no shares.
    pub share: Option<u8>,
    /// Whether the panel can restart what serves its deliveries.
    pub can_restart: bool,
}

/// One encoder in the panel's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelEncoder {
    /// The encoder.
    pub encoder: EncoderId,
    /// Whether the panel can restart it.
    pub can_restart: bool,
}

/// One region in the panel's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelRegion {
    /// The region.
    pub region: RegionId,
    /// The region whose servers serve its viewers: itself unless they were moved.
    pub served_by: RegionId,
}

/// Whether a server gets viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerState {
    /// It does.
    Active,
    /// Its viewers are sent elsewhere.
    Drained,
}

names! { ServerState { Active "active" Drained "drained" } }
