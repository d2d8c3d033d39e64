//! Incidents: the faults that share one cause, with everything that a person needs to believe it.

use alloc::{collections::BTreeSet, string::String, vec, vec::Vec};
use core::fmt;

use tallylight_model::{
    ActionId, ChannelId, EncoderId, FaultKind, IncidentId, MonoTime, NodeId, ProviderId, Ratio,
    RegionId, ServerId, Severity, StreamId, WindowId,
};

use crate::{
    action::{Reason, Refusal},
    lineup::names,
};

/// What is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// One feed of a channel.
    Source,
    /// What several feeds share.
    Provider,
    /// What stands between a channel's source and its deliveries.
    Processing,
    /// What serves deliveries.
    Server,
    /// The way to a whole region.
    Region,
    /// The programme itself: every feed shows it.
    Programme,
    /// The witness.
    Probe,
}

names! {
    Cause {
        Source "source"
        Provider "provider"
        Processing "processing"
        Server "server"
        Region "region"
        Programme "programme"
        Probe "probe"
    }
}

/// Which one of its kind is at fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A source.
    Source(StreamId),
    /// A provider.
    Provider(ProviderId),
    /// A channel's processing.
    Processing(ChannelId),
    /// Processing that several channels share.
    Encoder(EncoderId),
    /// A server.
    Server(ServerId),
    /// A region.
    Region(RegionId),
    /// A channel's programme.
    Programme(ChannelId),
    /// An agent's node.
    Probe(NodeId),
}

impl Subject {
    /// What it is, in one word: no two kinds of subject share it, as `processing` does a channel's and an encoder's.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Encoder(_) => "encoder",
            _ => self.cause().name(),
        }
    }

    /// The kind of cause.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Source(_) => Cause::Source,
            Self::Provider(_) => Cause::Provider,
            Self::Processing(_) | Self::Encoder(_) => Cause::Processing,
            Self::Server(_) => Cause::Server,
            Self::Region(_) => Cause::Region,
            Self::Programme(_) => Cause::Programme,
            Self::Probe(_) => Cause::Probe,
        }
    }
}

impl fmt::Display for Subject {
    /// Writes the id alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(id) => id.fmt(f),
            Self::Provider(id) => id.fmt(f),
            Self::Processing(id) | Self::Programme(id) => id.fmt(f),
            Self::Encoder(id) => id.fmt(f),
            Self::Server(id) => id.fmt(f),
            Self::Region(id) => id.fmt(f),
            Self::Probe(id) => id.fmt(f),
        }
    }
}

/// A possible cause with how well it fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What would be at fault.
    pub subject: Subject,
    /// How much of what it would break is broken.
    pub coverage: Ratio,
    /// How much of what is broken around it would be explained by it.
    pub explains: Ratio,
    /// How many of the streams that it would break are bad; of a probe, how many of its claims are denied.
    pub broken: usize,
    /// How many of them are seen well, or are disputed; of a probe, how many of its claims nobody denies.
    pub spared: usize,
    /// How many of them are watched and have not been seen since the onset.
    pub pending: usize,
}

/// On which side a piece of evidence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It speaks for the cause.
    For,
    /// It speaks against the cause.
    Against,
}

names! { Side { For "for" Against "against" } }

/// What one agent says about one stream, as it bears on a cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Which side it is on.
    pub side: Side,
    /// Who says it.
    pub node: NodeId,
    /// Of which stream.
    pub stream: StreamId,
    /// Which fault; `None` where the stream is seen well.
    pub kind: Option<FaultKind>,
    /// How bad.
    pub severity: Severity,
    /// When the faulty media was produced.
    pub onset: MonoTime,
    /// When the fault was declared.
    pub declared: MonoTime,
    /// What was measured.
    pub text: String,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, stream, severity, text, .. } = self;
        match self.kind {
            Some(kind) => write!(f, "{node} sees {kind} ({}) on {stream}: {text}", severity.name()),
            None => write!(f, "{node} sees {stream} well"),
        }
    }
}

/// What a vantage point says about an incident's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sees {
    /// At least one of them is bad.
    Bad,
    /// All of them that it watches are good.
    Good,
    /// It has said nothing lately.
    Nothing,
}

names! { Sees { Bad "bad" Good "good" Nothing "nothing" } }

/// A vantage point's part in an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vantage {
    /// The agent's node.
    pub node: NodeId,
    /// Its network path.
    pub path: String,
    /// What it says.
    pub sees: Sees,
    /// Whether its word counts.
    pub vote: Vote,
}

/// Whether an agent's word counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vote {
    /// It does.
    #[default]
    Counts,
    /// Its own host drops packets.
    OwnDrops,
    /// Peers elsewhere see well what it calls bad.
    Contradicted,
    /// It has not been heard of lately.
    Silent,
}

names! {
    Vote {
        Counts "counts" OwnDrops "own_drops" Contradicted "contradicted" Silent "silent"
    }
}

/// Whether an incident is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IncidentState {
    /// It is.
    Open,
    /// Its evidence has been clean for a while, or a person closed it.
    Closed,
}

names! { IncidentState { Open "open" Closed "closed" } }

/// How far an incident's remedy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// There is none, or none is possible.
    None,
    /// An action waits: for a person, a guard or more evidence.
    Waiting,
    /// An action is out or being verified.
    Running,
    /// An action helped.
    Done,
    /// None is tried and nobody is called: it falls into maintenance, or stands back behind a storm.
    Held,
}

names! { Remedy { None "none" Waiting "waiting" Running "running" Done "done" Held "held" } }

/// One moment in an incident's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: MonoTime,
    /// What.
    pub step: Step,
}

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The faulty media was produced.
    Onset,
    /// The first of its faults arrived.
    FirstFault,
    /// The evidence was complete; the cause was named.
    Located,
    /// An action was decided.
    Decided(ActionId),
    /// An action waits for a person.
    AwaitsApproval(ActionId),
    /// An action's command went out.
    Commanded(ActionId),
    /// The panel says that it is done.
    Done(ActionId),
    /// It was not carried out.
    Failed(ActionId),
    /// It helped.
    Verified(ActionId),
    /// It did not help in its time.
    NotVerified(ActionId),
    /// An action was refused.
    Refused(Reason),
    /// People must look.
    Paged,
    /// The first slice came in which all of its streams were good again; the moment is of production.
    Good,
    /// It is over.
    Closed,
}

impl Step {
    /// Returns the word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Onset => "onset",
            Self::FirstFault => "first_fault",
            Self::Located => "located",
            Self::Decided(_) => "decided",
            Self::AwaitsApproval(_) => "awaits_approval",
            Self::Commanded(_) => "commanded",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
            Self::Verified(_) => "verified",
            Self::NotVerified(_) => "not_verified",
            Self::Refused(_) => "refused",
            Self::Paged => "paged",
            Self::Good => "good",
            Self::Closed => "closed",
        }
    }

    /// The action that the step is of.
    #[must_use]
    pub const fn action(self) -> Option<ActionId> {
        match self {
            Self::Decided(id)
            | Self::AwaitsApproval(id)
            | Self::Commanded(id)
            | Self::Done(id)
            | Self::Failed(id)
            | Self::Verified(id)
            | Self::NotVerified(id) => Some(id),
            _ => None,
        }
    }
}

/// The faults that share one cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// What is at fault, and which.
    pub subject: Subject,
    /// Whether it is still there.
    pub state: IncidentState,
    /// How far its remedy is.
    pub remedy: Remedy,
    /// Why a person must look; `None` while nobody must.
    pub page: Option<Reason>,
    /// Much of the region turned bad at once, and no one cause explains it. Narrower incidents there stand back.
    pub storm: bool,
    /// The time of maintenance that all of it falls into: nothing is done, and nobody is called.
    pub maintenance: Option<WindowId>,
    /// The worst of its faults.
    pub severity: Severity,
    /// When its faulty media was first produced.
    pub onset: MonoTime,
    /// When its cause was named.
    pub opened: MonoTime,
    /// When it closed.
    pub closed: Option<MonoTime>,
    /// How well the cause fits.
    pub fit: Candidate,
    /// The candidates that it beat, best first; at most 8.
    pub beaten: Vec<Candidate>,
    /// Evidence for and against; at most 32.
    pub evidence: Vec<Evidence>,
    /// Streams whose faults it explains.
    pub streams: BTreeSet<StreamId>,
    /// Where viewers are affected.
    pub affected: BTreeSet<(ChannelId, RegionId)>,
    /// Channels that cannot be taken off a provider at fault: no other source of theirs is ready.
    pub without_backup: BTreeSet<ChannelId>,
    /// Who says what.
    pub vantage: Vec<Vantage>,
    /// What happened, in order of arrival; at most 64.
    pub timeline: Vec<Moment>,
    /// Its actions.
    pub actions: Vec<ActionId>,
    /// What was refused and why; each reason once; at most 32.
    pub refusals: Vec<Refusal>,
}

impl Incident {
    /// One that has just been named for what fits, about which nothing is known beside. `began` is its onset and when its first
    /// fault came in.
    pub(crate) fn opened(
        id: IncidentId,
        fit: Candidate,
        (onset, first_fault): (MonoTime, MonoTime),
        now: MonoTime,
    ) -> Self {
        let moment = |at, step| Moment { at, step };
        Self {
            id,
            subject: fit.subject.clone(),
            state: IncidentState::Open,
            remedy: Remedy::None,
            page: None,
            storm: false,
            maintenance: None,
            severity: Severity::Info,
            onset,
            opened: now,
            closed: None,
            fit,
            beaten: Vec::new(),
            evidence: Vec::new(),
            streams: BTreeSet::new(),
            affected: BTreeSet::new(),
            without_backup: BTreeSet::new(),
            vantage: Vec::new(),
            timeline: vec![
                moment(onset, Step::Onset),
                moment(first_fault, Step::FirstFault),
                moment(now, Step::Located),
            ],
            actions: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// The kind of its cause.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.subject.cause()
    }

    /// When a step first happened.
    #[must_use]
    pub fn at(&self, name: &str) -> Option<MonoTime> {
        self.timeline.iter().find(|moment| moment.step.name() == name).map(|moment| moment.at)
    }
}
