//! What is said when nothing is done, and when people are called for it.

use core::time::Duration;

use tallylight_model::MonoTime;

use super::Desk;
use crate::{
    action::{ActionKind, Purpose, Reason},
    guard,
    incident::{IncidentState, Remedy},
    ledger::Ledger,
};

/// A refusal that may pass by itself pages only after this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// And is not even told before it has lasted this long: evidence of one moment comes in over some tenths of a second.
const PASSING: Duration = Duration::from_secs(1);

impl Desk<'_> {
    /// Notes a refusal, once it is known to last.
    pub(super) fn tell(
        &mut self,
        ledger: &mut Ledger,
        purpose: &Purpose,
        kind: ActionKind,
        reason: Reason,
    ) {
        if patience(reason) == Patience::MayPass {
            let told_from = self.waits_since(ledger, purpose) + PASSING;
            if self.now() < told_from {
                return self.look_again(told_from);
            }
        }
        ledger.refuse(purpose, self.now(), Some(kind), reason);
    }

    pub(crate) fn refuse(
        &mut self,
        ledger: &mut Ledger,
        purpose: &Purpose,
        kind: ActionKind,
        reason: Reason,
    ) {
        self.tell(ledger, purpose, kind, reason);
        let remedy = match patience(reason) {
            Patience::NoneLeft => Remedy::None,
            Patience::MayPass => Remedy::Waiting,
            Patience::ByPolicy => Remedy::None,
        };
        ledger.set_remedy_for(purpose, remedy);
        match patience(reason) {
            Patience::NoneLeft => self.page(ledger, purpose, reason),
            Patience::ByPolicy => stop_waiting(ledger, purpose),
            Patience::MayPass => {
                let until = self.waits_since(ledger, purpose) + PATIENCE;
                if self.now() >= until {
                    self.page(ledger, purpose, reason);
                } else {
                    self.look_again(until);
                }
            }
        }
    }

    /// Since when what may pass has kept an action back: patience begins anew with each thing that is to be done.
    fn waits_since(&self, ledger: &mut Ledger, purpose: &Purpose) -> MonoTime {
        let case = purpose.incident().and_then(|id| ledger.case_mut(id));
        case.map_or(MonoTime::ZERO, |it| *it.waits_since.get_or_insert(self.now()))
    }

    /// Calls people, if viewers are affected at all: maintenance alone affects none.
    pub(super) fn page(&mut self, ledger: &mut Ledger, purpose: &Purpose, reason: Reason) {
        let Some(id) = purpose.incident() else { return };
        let Some(incident) = ledger.case(id).map(|it| &it.incident) else { return };
        if guard::holds(ledger, incident).is_some() {
            return;
        }
        let told = incident.page;
        if incident.affected.is_empty() || incident.state == IncidentState::Closed {
            return;
        }
        // Nobody is called twice, but what they read is why they are needed.
        let passes = told.is_some_and(|it| patience(it) == Patience::MayPass);
        if passes && patience(reason) == Patience::NoneLeft {
            ledger.edit(id, |it| it.incident.page = Some(reason));
        } else {
            ledger.page(id, self.now(), reason);
        }
    }
}

pub(super) fn stop_waiting(ledger: &mut Ledger, purpose: &Purpose) {
    if let Some(case) = purpose.incident().and_then(|id| ledger.case_mut(id)) {
        case.waits_since = None;
    }
}

/// How a refusal may go away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// By a person alone.
    NoneLeft,
    /// By itself: with more evidence or with time.
    MayPass,
    /// It is what somebody wrote down, so nobody is called for it.
    ByPolicy,
}

pub(super) const fn patience(reason: Reason) -> Patience {
    match reason {
        Reason::NoReadyBackup
        | Reason::NoSurvivor
        | Reason::CostsHealthy
        | Reason::CannotRestart
        | Reason::GroupStopped
        | Reason::CircuitOpen
        | Reason::PanelFails
        | Reason::LadderExhausted
        | Reason::NoRemedy
        | Reason::AwaitingApproval
        | Reason::ApprovalExpired => Patience::NoneLeft,
        Reason::ModeOff
        | Reason::ModeDryRun
        | Reason::KillSwitch
        | Reason::Programme
        | Reason::Probe
        | Reason::AlreadyDone
        | Reason::Maintenance
        | Reason::Storm
        | Reason::Rejected
        | Reason::NeverActs => Patience::ByPolicy,
        Reason::NoQuorum
        | Reason::StaleEvidence
        | Reason::OldMedia
        | Reason::TargetLocked
        | Reason::TargetRate
        | Reason::GlobalRate
        | Reason::RegionMoveRate
        | Reason::Damped
        | Reason::HandsOff
        | Reason::IsolationBudget
        | Reason::BackupUnproven
        | Reason::DifferentialUnknown
        | Reason::OffsetUnknown
        | Reason::PanelDown
        | Reason::ActiveSourceUnknown
        | Reason::ServerNotWell
        | Reason::OtherReturning
        | Reason::NoDestination
        | Reason::WeakCause
        | Reason::Ambiguous
        | Reason::Expired
        | Reason::NotInFlight
        | Reason::PanelCircuitOpen
        | Reason::PanelClockOff
        | Reason::JournalFails
        | Reason::TooManyCommands
        | Reason::CollectorStops => Patience::MayPass,
    }
}
