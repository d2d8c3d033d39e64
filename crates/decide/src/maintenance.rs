//! Times of maintenance: somebody said that they work on a server, a region or a channel. It is drained first as far as that
//! goes, what breaks there meanwhile neither acts nor calls anybody, and afterwards it is brought back.
//!
//! A server is drained, and gets its viewers back in the steps of every return once it is seen well. A region's viewers are moved,
//! which waits for a person unless the policy says otherwise; whoever agreed to that decides when they come back. A channel has
//! no other place to go. How far any of it is follows from the actions that were for it, as with incidents.

use alloc::{string::String, vec::Vec};
use core::{fmt, time::Duration};

use tallylight_model::{ChannelId, MonoTime, RegionId, ServerId, WindowId};

use crate::{
    action::{Action, ActionKind, ActionState, Feed, Purpose, Reason, Refusal, Target},
    incident::{Cause, Incident},
    ledger::{Case, Ledger},
    lineup::{Lineup, StreamRef},
    remedy::{Desk, isolated_by, ladder, overfills_others},
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

fn open_areas(ledger: &Ledger, now: MonoTime) -> impl Iterator<Item = &Area> {
    ledger.windows().filter(move |it| it.state(now) == WindowState::Open).map(|it| &it.plan.area)
}

/// Whether somebody works on a server, or on all of its region.
pub(crate) fn is_worked_on(
    lineup: &Lineup,
    ledger: &Ledger,
    server: &ServerId,
    now: MonoTime,
) -> bool {
    open_areas(ledger, now).any(|area| match area {
        Area::Server(id) => id == server,
        Area::Region(id) => lineup.server(server).is_some_and(|it| it.region == *id),
        Area::Channel(_) => false,
    })
}

/// Whether an action would touch what somebody works on, or bring viewers there.
pub(crate) fn is_touched_by(
    lineup: &Lineup,
    ledger: &Ledger,
    target: &Target,
    to: Option<&Feed>,
    now: MonoTime,
) -> bool {
    let is_open = |area: Area| open_areas(ledger, now).any(|it| *it == area);
    let is_target = match target {
        Target::Channel(_) | Target::Encoder { .. } => {
            target.channels().iter().any(|it| is_open(Area::Channel(it.clone())))
        }
        Target::Servers(servers) => servers.iter().any(|it| is_worked_on(lineup, ledger, it, now)),
        Target::Region(region) => is_open(Area::Region(region.clone())),
    };
    is_target || matches!(to, Some(Feed::Region(to)) if is_open(Area::Region(to.clone())))
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

impl Desk<'_> {
    /// Takes viewers off what is to be worked on, and brings them back to a server afterwards.
    pub(crate) fn maintain(&mut self, ledger: &mut Ledger) {
        let now = self.scene.now;
        let windows: Vec<Window> = ledger.windows().cloned().collect();
        for window in windows {
            let state = window.state(now);
            match state {
                WindowState::Planned => self.look_again(window.plan.begin),
                WindowState::Open => self.look_again(window.end()),
                WindowState::Over => {}
            }
            let purpose = Purpose::Maintenance(window.plan.id.clone());
            if state == WindowState::Over {
                withdraw(ledger, &purpose, now);
            }
            let is_out = ledger.actions_for(&purpose).any(|it| it.state.is_in_flight());
            if is_out || self.wait_for_a_person(ledger, &purpose) {
                continue;
            }
            match (state, &window.plan.area) {
                (WindowState::Open, area) if is_to_be_cleared(ledger, &window) => {
                    self.clear(ledger, &purpose, area);
                }
                (WindowState::Open, Area::Server(server)) => {
                    self.give_back(ledger, &window, &purpose, server);
                }
                (WindowState::Over, Area::Server(server)) => {
                    self.return_after(ledger, &window, &purpose, server);
                }
                _ => {}
            }
        }
    }

    fn clear(&mut self, ledger: &mut Ledger, purpose: &Purpose, area: &Area) {
        let (kind, plan) = match area {
            Area::Server(server) => (ActionKind::DrainServer, ladder::drain(self.scene, server)),
            Area::Region(region) => {
                (ActionKind::RegionMove, ladder::region_move(self.scene, region))
            }
            Area::Channel(_) => return,
        };
        match plan {
            Ok(plan) => self.propose(ledger, purpose, plan, (None, None)),
            Err(reason) => self.refuse(ledger, purpose, kind, reason),
        }
    }

    /// Gives back, once, the viewers for whom the other servers turn out to have no room: they suffer at once, and whoever was to
    /// begin with the work was told that the drain is not verified. Where work has begun all the same, the server is not well
    /// and keeps none.
    fn give_back(
        &mut self,
        ledger: &mut Ledger,
        window: &Window,
        purpose: &Purpose,
        server: &ServerId,
    ) {
        let tried = |it: &Action| {
            returns(it) && it.decided >= window.plan.begin && it.state != ActionState::Withdrawn
        };
        let drain = isolated_by(self.scene, ledger, server)
            .filter(|it| it.purpose == *purpose && it.state == ActionState::NotVerified)
            .filter(|_| overfills_others(self.scene, core::slice::from_ref(server)))
            .filter(|_| !ledger.actions_for(purpose).any(tried));
        if let Some(drain) = drain.cloned() {
            self.refuse(ledger, purpose, ActionKind::DrainServer, Reason::NoSurvivor);
            self.step(ledger, server, &drain, None);
        }
    }

    /// Begins the return of a server that this time of maintenance drained; what did not hold once is left to people.
    fn return_after(
        &mut self,
        ledger: &mut Ledger,
        window: &Window,
        purpose: &Purpose,
        server: &ServerId,
    ) {
        if is_worked_on(&self.scene.facts.lineup, ledger, server, self.scene.now) {
            return;
        }
        let tried = |it: &Action| {
            let left = matches!(it.state, ActionState::NotVerified | ActionState::Rejected);
            returns(it) && it.decided >= window.end() && (it.done.is_some() || left)
        };
        let drain = isolated_by(self.scene, ledger, server).filter(|it| it.purpose == *purpose);
        let drain = drain.filter(|_| !ledger.actions_for(purpose).any(tried)).cloned();
        if let Some(drain) = drain {
            self.step(ledger, server, &drain, None);
        }
    }
}

/// Takes back what waits for a person's word to make room for work that is over.
fn withdraw(ledger: &mut Ledger, purpose: &Purpose, now: MonoTime) {
    let waits = |it: &&Action| {
        it.state == ActionState::Waiting && it.undoes.is_none() && makes_room(it.kind)
    };
    let waiting: Vec<_> = ledger.actions_for(purpose).filter(waits).map(|it| it.id).collect();
    for id in waiting {
        ledger.end(id, now, ActionState::Withdrawn, "its time of maintenance is over");
    }
}

/// Whether a kind of action takes viewers away from where work is to begin.
pub(crate) const fn makes_room(kind: ActionKind) -> bool {
    matches!(kind, ActionKind::DrainServer | ActionKind::RegionMove)
}

fn returns(action: &Action) -> bool {
    matches!(action.kind, ActionKind::ReturnServer | ActionKind::UndrainServer)
}

/// Whether viewers are still to be taken off: it was neither done nor declined since the begin.
fn is_to_be_cleared(ledger: &Ledger, window: &Window) -> bool {
    let settled = |it: &Action| {
        let is_over = it.done.is_some() || it.state == ActionState::Rejected;
        !returns(it) && is_over && it.decided >= window.plan.begin
    };
    !ledger.actions_for(&Purpose::Maintenance(window.plan.id.clone())).any(settled)
}
