//! Times of maintenance: somebody said that they work on a server, a region or a channel. It is drained first as far as that
//! goes, what breaks there meanwhile neither acts nor calls anybody, and afterwards it is brought back.
//!
//! Only a server can be drained for it: moving a region's viewers or taking a channel off is left to people, who know what was
//! agreed with whom. How far a drain is follows from the actions that it was for, as with incidents.

use alloc::{string::String, vec::Vec};
use core::{fmt, time::Duration};

use tallylight_model::{ActionId, ChannelId, MonoTime, RegionId, ServerId, WindowId};

use crate::{
    action::{Action, ActionKind, ActionState, Purpose, Refusal},
    incident::{Cause, Incident},
    ledger::{Case, Ledger},
    lineup::{Lineup, StreamRef},
    remedy::{Desk, ladder},
};

/// The most times of maintenance that are planned or in force at once.
pub const MAX_WINDOWS: usize = 100;

/// The longest one.
pub const MAX_LENGTH: Duration = Duration::from_secs(31 * 86_400);

/// The longest that one may be planned ahead.
pub const MAX_AHEAD: Duration = Duration::from_secs(366 * 86_400);

/// What is worked on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// A server.
    Server(ServerId),
    /// Everything in a region.
    Region(RegionId),
    /// A channel, wherever it is.
    Channel(ChannelId),
}

impl Area {
    /// Returns the word for what kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Server(_) => "server",
            Self::Region(_) => "region",
            Self::Channel(_) => "channel",
        }
    }

    /// Returns the id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Server(id) => id.as_str(),
            Self::Region(id) => id.as_str(),
            Self::Channel(id) => id.as_str(),
        }
    }

    /// Whether the lineup has it.
    #[must_use]
    pub fn is_listed(&self, lineup: &Lineup) -> bool {
        match self {
            Self::Server(id) => lineup.server(id).is_some(),
            Self::Region(id) => lineup.region(id).is_some(),
            Self::Channel(id) => lineup.channel(id).is_some(),
        }
    }

    fn has(&self, stream: StreamRef<'_>) -> bool {
        match self {
            Self::Region(id) => stream.region() == id,
            Self::Channel(id) => stream.channel().id == *id,
            Self::Server(id) => matches!(stream, StreamRef::Delivery(.., it) if it.id == *id),
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.id())
    }
}

/// A time of maintenance as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub id: WindowId,
    /// What is worked on.
    pub area: Area,
    /// From when.
    pub begin: MonoTime,
    /// Until when.
    pub end: MonoTime,
    /// Who said so; `None` if the lineup does.
    pub by: Option<String>,
    /// What for.
    pub why: String,
}

/// A time of maintenance with what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// What was asked for.
    pub plan: Plan,
    /// When somebody ended it early.
    pub ended: Option<MonoTime>,
    /// What was not done for it, and why.
    pub refusals: Vec<Refusal>,
}

/// Where a time of maintenance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowState {
    /// It has not begun.
    Planned,
    /// It is in force.
    Open,
    /// It is over.
    Over,
}

impl WindowState {
    /// Returns the word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Open => "open",
            Self::Over => "over",
        }
    }
}

impl Window {
    /// When it ends, or ended.
    #[must_use]
    pub fn end(&self) -> MonoTime {
        self.ended.map_or(self.plan.end, |at| at.min(self.plan.end))
    }

    /// Where it stands at a moment.
    #[must_use]
    pub fn state(&self, now: MonoTime) -> WindowState {
        if now >= self.end() {
            WindowState::Over
        } else if now < self.plan.begin {
            WindowState::Planned
        } else {
            WindowState::Open
        }
    }
}

/// Whether a stream was or is worked on at a moment.
pub(crate) fn covers(ledger: &Ledger, stream: StreamRef<'_>, at: MonoTime) -> bool {
    ledger.windows().any(|it| it.plan.area.has(stream) && it.state(at) == WindowState::Open)
}

/// The time of maintenance that an incident falls into: every stream of it is being worked on.
fn covering(
    lineup: &Lineup,
    ledger: &Ledger,
    incident: &Incident,
    now: MonoTime,
) -> Option<WindowId> {
    if incident.cause() == Cause::Probe {
        return None;
    }
    let open: Vec<&Window> =
        ledger.windows().filter(|it| it.state(now) == WindowState::Open).collect();
    let mut first = None;
    for stream in &incident.streams {
        let found = lineup.stream(stream)?;
        let window = open.iter().find(|it| it.plan.area.has(found))?;
        first.get_or_insert(&window.plan.id);
    }
    first.cloned()
}

/// Says of each open incident whether it falls into maintenance.
pub(crate) fn mark(desk: &Desk<'_>, ledger: &mut Ledger) {
    let (lineup, now) = (&desk.scene.facts.lineup, desk.scene.now);
    if ledger.windows().next().is_none()
        && ledger.cases().all(|it| it.incident.maintenance.is_none())
    {
        return;
    }
    for id in ledger.open_ids() {
        let Some(incident) = ledger.case(id).map(|it: &Case| &it.incident) else { continue };
        let window = covering(lineup, ledger, incident, now);
        if incident.maintenance != window {
            ledger.edit(id, |it| it.incident.maintenance = window);
        }
    }
}

/// What is to be done for a time of maintenance.
enum Due {
    Drain,
    Return(ActionId),
    Nothing,
}

impl Desk<'_> {
    /// Drains servers that are to be worked on, and brings them back afterwards.
    pub(crate) fn maintain(&mut self, ledger: &mut Ledger) {
        let now = self.scene.now;
        let windows: Vec<Window> = ledger.windows().cloned().collect();
        for window in windows {
            match window.state(now) {
                WindowState::Planned => self.look_again(window.plan.begin),
                WindowState::Open => self.look_again(window.end()),
                WindowState::Over => {}
            }
            let Area::Server(server) = &window.plan.area else { continue };
            let purpose = Purpose::Maintenance(window.plan.id.clone());
            let is_out = ledger.actions_for(&purpose).any(|it| it.state.is_in_flight());
            if is_out || self.wait_for_a_person(ledger, &purpose) {
                continue;
            }
            match due(ledger, &window, now) {
                Due::Nothing => {}
                Due::Drain => self.drain_for(ledger, &purpose, server),
                Due::Return(drain) if self.scene.facts.is_drained(server) => {
                    self.return_after(ledger, &purpose, server, drain);
                }
                Due::Return(_) => {}
            }
        }
    }
}

fn due(ledger: &Ledger, window: &Window, now: MonoTime) -> Due {
    let purpose = Purpose::Maintenance(window.plan.id.clone());
    let own = || ledger.actions_for(&purpose);
    let is_done = |it: &&Action| it.done.is_some();
    let drained = own().filter(is_done).filter(|it| it.kind == ActionKind::DrainServer).last();
    let is_back = |drain: &&Action| own().filter(is_done).any(|it| it.undoes == Some(drain.id));
    let drained = drained.filter(|it| !is_back(it));
    let is_unwanted = |kind| {
        own().any(|it| {
            (it.kind, it.state) == (kind, ActionState::Rejected) && it.decided >= window.plan.begin
        })
    };
    match (window.state(now), drained) {
        (WindowState::Open, None) if !is_unwanted(ActionKind::DrainServer) => Due::Drain,
        (WindowState::Over, Some(drain)) if !is_unwanted(ActionKind::UndrainServer) => {
            Due::Return(drain.id)
        }
        _ => Due::Nothing,
    }
}

impl Desk<'_> {
    fn drain_for(&mut self, ledger: &mut Ledger, purpose: &Purpose, server: &ServerId) {
        match ladder::drain(self.scene, server) {
            Ok(plan) => self.propose(ledger, purpose, plan, (None, None)),
            Err(reason) => self.refuse(ledger, purpose, ActionKind::DrainServer, reason),
        }
    }

    fn return_after(
        &mut self,
        ledger: &mut Ledger,
        purpose: &Purpose,
        server: &ServerId,
        drain: ActionId,
    ) {
        let plan = ladder::Plan { undoes: Some(drain), ..ladder::undrain(server) };
        self.propose(ledger, purpose, plan, (None, None));
    }
}
