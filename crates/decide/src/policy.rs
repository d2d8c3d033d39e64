//! What may be done at all: modes by scope, and the numbers of every guard with their defaults.

use alloc::collections::BTreeMap;
use core::time::Duration;

use tallylight_model::{Ratio, RegionId};

use crate::{action::ActionKind, lineup::names, signal::Objectives};

/// How far Tallylight may go. Ordered from the strictest: where several scopes speak, the least holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Nothing is even proposed.
    Off,
    /// What would be done is recorded, nothing is sent.
    #[default]
    DryRun,
    /// Every action waits for a person.
    Approve,
    /// Actions are sent at once.
    Auto,
}

names! { Mode { Off "off" DryRun "dry_run" Approve "approve" Auto "auto" } }

/// Who lets a server that was drained have its viewers back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Return {
    /// A person.
    #[default]
    Manual,
    /// The collector.
    Auto,
}

names! { Return { Manual "manual" Auto "auto" } }

/// What a mode is set for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything.
    Global,
    /// Actions that touch viewers of one region.
    Region(RegionId),
    /// One kind of action.
    Action(ActionKind),
}

/// Modes, guards and objectives as configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Modes by scope. An absent global mode is `dry_run`; other absent scopes do not restrict, except that
    /// [`ActionKind::RegionMove`] is at most `approve` unless written here.
    pub modes: BTreeMap<Scope, Mode>,
    /// No action goes further than this, whatever anybody wrote or set.
    pub at_most: Option<Mode>,
    /// The numbers.
    pub guards: Guards,
    /// How good channels are meant to be.
    pub objectives: Objectives,
}

impl Policy {
    /// The mode in which an action of this kind would run that touches viewers of these regions: the strictest of all scopes.
    pub fn mode<'a>(
        &self,
        kind: ActionKind,
        regions: impl IntoIterator<Item = &'a RegionId>,
    ) -> Mode {
        let global = self.modes.get(&Scope::Global).copied().unwrap_or_default();
        let unwritten = if kind == ActionKind::RegionMove { Mode::Approve } else { Mode::Auto };
        let action = self.modes.get(&Scope::Action(kind)).copied().unwrap_or(unwritten);
        regions
            .into_iter()
            .filter_map(|region| self.modes.get(&Scope::Region(region.clone())).copied())
            .fold(self.bounded(global.min(action)), Mode::min)
    }

    /// A mode as far as it may go at all.
    pub(crate) fn bounded(&self, mode: Mode) -> Mode {
        self.at_most.map_or(mode, |it| it.min(mode))
    }
}

macro_rules! guards {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr;)*) => {
        /// Every number of every guard. The defaults let a platform of four channels and two servers work.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Guards {
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Default for Guards {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }
    };
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

guards! {
    /// A cause is named at the latest this long after it first could be.
    settle: Duration = Duration::from_millis(1500);
    /// Independent vantage points that must agree.
    quorum: usize = 2;
    /// Evidence older than this starts nothing.
    evidence_max_age: Duration = secs(10);
    /// What only some have said so far is waited with for this long, beyond the delay: the others may be later by a segment, and
    /// most segments are shorter.
    segment_hold: Duration = secs(10);
    /// An agent is silent when nothing came from it for this long; its streams become unobserved.
    agent_silent_after: Duration = secs(5);
    /// An incident closes when its evidence has been clean for this long.
    close_after: Duration = secs(10);
    /// A command is void this long after it was decided.
    action_expiry: Duration = secs(10);
    /// An action that waits for a person is void after this long.
    approval_expiry: Duration = secs(600);
    /// At most one action a target in this time.
    target_interval: Duration = secs(60);
    /// And where its command was held back on the way to the panel, which moved nothing: it is not asked again before this.
    unsent_interval: Duration = secs(10);
    /// This many failed or repeated actions on a target within [`circuit_window`](Self::circuit_window) open its circuit.
    circuit_failures: usize = 3;
    /// A rung of a ladder that the panel did not carry out so often is given up for the next one; a switch never.
    rung_failures: usize = 2;
    /// Over which failures and repeats are counted.
    circuit_window: Duration = secs(1800);
    /// For how long a circuit stays open.
    circuit_open: Duration = secs(1800);
    /// Actions a minute over everything.
    global_per_minute: u32 = 10;
    /// How many of them may come at once.
    global_burst: u32 = 5;
    /// At most one region move in this time.
    region_move_interval: Duration = secs(600);
    /// What each switch of a channel's source adds to the channel's penalty.
    flap_penalty: u32 = 1000;
    /// In this time a penalty halves.
    flap_half_life: Duration = secs(900);
    /// From this penalty on switches of the channel are damped.
    flap_suppress: u32 = 2000;
    /// Until it is below this.
    flap_reuse: u32 = 750;
    /// For how long a channel is left alone after the panel changed its source by itself.
    hands_off_panel: Duration = secs(60);
    /// For how long a channel is left alone after a person changed its source.
    hands_off_person: Duration = secs(1800);
    /// A storm is more channels of a region than this.
    storm_channels: usize = 5;
    /// And a larger share of its channels than this.
    storm_share: Ratio = Ratio::new(0.2);
    /// That turned bad within this time.
    storm_window: Duration = secs(60);
    /// And of which no one cause explains this share.
    storm_one_cause: Ratio = Ratio::new(0.8);
    /// A storm is over when it has been less than one for this long.
    storm_leave: Duration = secs(300);
    /// At most one server of a region, or this share of them, is isolated although it serves something good.
    isolated_share: Ratio = Ratio::new(0.1);
    /// At least this share of a region's servers must be healthy after isolating one.
    healthy_share: Ratio = Ratio::new(0.7);
    /// In regions of so many servers; in smaller ones the survivors' saturation alone decides.
    healthy_from: usize = 4;
    /// A ready source has had no fault for this long.
    ready_clean: Duration = secs(60);
    /// And has been seen well for at least this long, where its past is not known.
    ready_seen: Duration = secs(10);
    /// A ready source was seen within this time: one that comes in segments is seen a segment at a time.
    ready_max_age: Duration = secs(15);
    /// A differential fault whose backup cannot be compared is held this long, and then needs approval.
    differential_hold: Duration = secs(30);
    /// The share of a group's channels that one batch may touch, after the first channel alone.
    group_share: Ratio = Ratio::new(0.2);
    /// And at most so many: as many commands as the collector has under way at once.
    group_batch: usize = 16;
    /// Good seconds in a row that prove a source switch.
    verify_switch_good: u32 = 10;
    /// Within this time, plus the delay of a delivery.
    verify_switch_within: Duration = secs(20);
    /// Good seconds of the last [`verify_restart_of`](Self::verify_restart_of) that prove a restart.
    verify_restart_good: u32 = 15;
    /// See [`verify_restart_good`](Self::verify_restart_good).
    verify_restart_of: u32 = 20;
    /// Within this time, plus the delay of a delivery. Also the time a drain has.
    verify_restart_within: Duration = secs(45);
    /// How long after the end of a verification's window its last media is waited for.
    verify_grace: Duration = secs(15);
    /// Whether a server that was drained gets its viewers back by itself.
    server_return: Return = Return::Manual;
    /// Then after everything on it was seen well for so long.
    return_after: Duration = secs(600);
    /// Good seconds in a row that prove one step of a server's return.
    verify_return_good: u32 = 60;
    /// Within this time, plus the delay of a delivery.
    verify_return_within: Duration = secs(90);
    /// The most that a surviving server may be used after a drain.
    survivor_saturation: Ratio = Ratio::new(0.75);
}
