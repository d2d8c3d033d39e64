//! Guards: each is one reason not to act, in one file and one line of [`GUARDS`].
//!
//! They are asked in order and the first that does not pass is the refusal, so the ones that say most about *why this is not
//! the time to act at all* come first. Every guard reads the facts and the ledger anew each time: nothing is remembered from an
//! earlier yes.

mod certainty;
mod circuit;
mod damping;
mod differential;
mod global_rate;
mod hands_off;
mod isolation;
mod kill_switch;
mod lock;
mod maintenance;
mod mode;
mod panel;
mod quorum;
mod region_move;
mod staleness;
pub(crate) mod storm;
mod successor;
mod target_rate;

use alloc::vec::Vec;

use tallylight_model::{ActionId, MonoTime};

use crate::{
    action::{Action, ActionKind, Feed, Purpose, Reason, Target},
    cause::{Fit, Rival},
    incident::Incident,
    ledger::{Case, Ledger},
    scene::Scene,
};

pub(crate) use mode::{mode_of, ordinary_mode, regions};

/// An action that might be made, with what it would rest on.
pub(crate) struct Proposal<'a> {
    pub(crate) scene: &'a Scene<'a>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) purpose: &'a Purpose,
    /// The incident that it is for.
    pub(crate) case: Option<&'a Case>,
    /// How the cause fits at this moment; `None` where none of it is bad any more.
    pub(crate) fit: Option<Fit>,
    pub(crate) rival: Option<Rival>,
    pub(crate) kind: ActionKind,
    pub(crate) target: Target,
    pub(crate) from: Option<Feed>,
    pub(crate) to: Option<Feed>,
    /// The action that it would undo: then it rests on that action's failure, and on no fault.
    pub(crate) undoes: Option<ActionId>,
    /// Whether it would not be sent: then what was proposed before uses up budgets as if it had been.
    pub(crate) is_dry: bool,
    /// What was sent to what overlaps the target, oldest first.
    pub(crate) before: Vec<&'a Action>,
}

impl<'a> Proposal<'a> {
    /// What went out, the newest first, or what is taken to have.
    fn sent(&self) -> impl Iterator<Item = (MonoTime, &'a Action)> + use<'a> {
        let mut proposed: Vec<(MonoTime, &Action)> = match self.is_dry {
            true => self.ledger.proposed().collect(),
            false => Vec::new(),
        };
        let mut sent = self.ledger.sent().peekable();
        core::iter::from_fn(move || match (proposed.last(), sent.peek()) {
            (Some((would, _)), Some((at, _))) if would > at => proposed.pop(),
            (Some(_), None) => proposed.pop(),
            _ => sent.next(),
        })
    }

    /// An action that was decided, with what it rests on by now.
    pub(crate) fn again(
        scene: &'a Scene<'a>,
        ledger: &'a Ledger,
        action: &'a Action,
        (fit, rival): (Option<Fit>, Option<Rival>),
    ) -> Self {
        Self {
            scene,
            ledger,
            purpose: &action.purpose,
            case: ledger.case_for(&action.purpose),
            fit,
            rival,
            kind: action.kind,
            target: action.target.clone(),
            from: action.from.clone(),
            to: action.to.clone(),
            undoes: action.undoes,
            is_dry: false,
            before: ledger.sent_on(&action.target).collect(),
        }
    }
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

/// What a guard looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// What may be done at all, and what it would be done to.
    Target,
    /// The evidence that it rests on: undoing and maintenance rest on none.
    Evidence,
    /// Other actions, beside which it would be one too many: once it is out, it is one of them itself.
    Others,
}

struct Guard {
    check: fn(&Proposal<'_>) -> Answer,
    about: About,
}

const fn guard(check: fn(&Proposal<'_>) -> Answer, about: About) -> Guard {
    Guard { check, about }
}

const GUARDS: &[Guard] = &[
    guard(kill_switch::check, About::Target),
    guard(mode::check_off, About::Target),
    guard(maintenance::check, About::Target),
    guard(storm::check, About::Target),
    guard(panel::check, About::Target),
    guard(hands_off::check, About::Target),
    guard(certainty::check, About::Evidence),
    guard(staleness::check, About::Evidence),
    guard(quorum::check, About::Evidence),
    guard(differential::check, About::Evidence),
    guard(successor::check, About::Target),
    guard(lock::check, About::Others),
    guard(isolation::check, About::Others),
    guard(circuit::check, About::Others),
    guard(damping::check, About::Others),
    guard(target_rate::check, About::Others),
    guard(region_move::check, About::Others),
    guard(global_rate::check, About::Others),
];

/// Asks every guard. The first that does not pass answers; otherwise the last wish for approval does.
pub(crate) fn ask(proposal: &Proposal<'_>) -> Answer {
    ask_those(proposal, |_| true)
}

/// Why nothing at all is done about an incident and nobody is called, whatever its cause.
pub(crate) fn holds(ledger: &Ledger, incident: &Incident) -> Option<Reason> {
    if incident.maintenance.is_some() {
        Some(Reason::Maintenance)
    } else {
        storm::holds(ledger, incident).then_some(Reason::Storm)
    }
}

/// Whether a target's circuit is open, even where that does not bar the action: then people must look as well.
pub(crate) fn circuit_is_open(proposal: &Proposal<'_>) -> bool {
    circuit::open_until(proposal).is_some()
}

/// Asks once more about a command that is out and not yet sent.
pub(crate) fn last_look(proposal: &Proposal<'_>) -> Answer {
    ask_those(proposal, |about| about != About::Others)
}

fn ask_those(proposal: &Proposal<'_>, asked: impl Fn(About) -> bool) -> Answer {
    let mut answer = Answer::Pass;
    for guard in GUARDS.iter().filter(|it| asked(it.about)) {
        let is_for_incident = proposal.purpose.incident().is_some();
        let rests_on_evidence = proposal.undoes.is_none() && is_for_incident;
        if guard.about == About::Evidence && !rests_on_evidence {
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
