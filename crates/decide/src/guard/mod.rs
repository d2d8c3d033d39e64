//! Guards: each is one reason not to act, in one file and one line of [`GUARDS`].
//!
//! They are asked in order and the first that does not pass is the refusal, so the ones that say most about *why this is not
//! the time to act at all* come first. Every guard reads the facts anew each time: nothing is remembered from an earlier yes.

mod certainty;
mod circuit;
mod differential;
mod global_rate;
mod kill_switch;
mod lock;
mod mode;
mod panel;
mod quorum;
mod region_move;
mod staleness;
mod successor;
mod target_rate;

use tallylight_model::{ActionId, MonoTime};

use crate::{
    action::{ActionKind, Feed, Reason, Target},
    cause::{Fit, Rival},
    ledger::{Case, Ledger},
    scene::Scene,
};

pub(crate) use mode::{mode_of, ordinary_mode};

/// An action that might be made, with what it would rest on.
pub(crate) struct Proposal<'a> {
    pub(crate) scene: &'a Scene<'a>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) case: &'a Case,
    /// How the cause fits at this moment; `None` where none of it is bad any more.
    pub(crate) fit: Option<Fit>,
    pub(crate) rival: Option<Rival>,
    pub(crate) kind: ActionKind,
    pub(crate) target: Target,
    pub(crate) to: Option<Feed>,
    /// The action that it would undo: then it rests on that action's failure, and on no fault.
    pub(crate) undoes: Option<ActionId>,
}

/// What a guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing against it.
    Pass,
    /// Nothing against it if a person agrees.
    Approve(Reason),
    /// Not before this moment.
    Until(Reason, MonoTime),
    /// Not as things stand.
    Refuse(Reason),
}

/// Whether a guard is asked about undoing too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    Asked,
    Skipped,
}

struct Guard {
    check: fn(&Proposal<'_>) -> Answer,
    undo: Undo,
}

const fn guard(check: fn(&Proposal<'_>) -> Answer, undo: Undo) -> Guard {
    Guard { check, undo }
}

const GUARDS: &[Guard] = &[
    guard(kill_switch::check, Undo::Asked),
    guard(mode::check_off, Undo::Asked),
    guard(panel::check, Undo::Asked),
    guard(certainty::check, Undo::Skipped),
    guard(staleness::check, Undo::Skipped),
    guard(quorum::check, Undo::Skipped),
    guard(differential::check, Undo::Skipped),
    guard(successor::check, Undo::Asked),
    guard(lock::check, Undo::Asked),
    guard(circuit::check, Undo::Asked),
    guard(target_rate::check, Undo::Asked),
    guard(region_move::check, Undo::Asked),
    guard(global_rate::check, Undo::Asked),
];

/// Asks every guard. The first that does not pass answers; otherwise the last wish for approval does.
pub(crate) fn ask(proposal: &Proposal<'_>) -> Answer {
    let mut answer = Answer::Pass;
    for guard in GUARDS {
        if proposal.undoes.is_some() && guard.undo == Undo::Skipped {
            continue;
        }
        match (guard.check)(proposal) {
            Answer::Pass => {}
            approve @ Answer::Approve(_) => answer = approve,
            refusal => return refusal,
        }
    }
    answer
}
