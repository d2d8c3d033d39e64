//! What is being worked on is expected to break: nothing is done about it, nobody is called, and nobody is brought there.
//!
//! It is asked by what the action would touch as well as by its incident: a channel that fails back, or a region's viewers who
//! need a place, may come upon work that has nothing to do with why they move. What is done for the work itself passes until that is
//! over: a person's word may come late.

use super::{Answer, Proposal};
use crate::{
    action::Reason,
    ledger::Case,
    maintenance::{self, WindowState},
};

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    let (scene, ledger) = (proposal.scene, proposal.ledger);
    let is_of_work = |it: &Case| it.is_open() && it.incident.maintenance.is_some();
    let is_touched = || {
        let (lineup, to) = (&scene.facts.lineup, proposal.to.as_ref());
        maintenance::is_touched_by(lineup, ledger, &proposal.target, to, scene.now)
    };
    let is_for_work = proposal.purpose.window().is_some();
    let own = ledger.windows().find(|it| proposal.purpose.window() == Some(&it.plan.id));
    let is_over = own.is_some_and(|it| it.state(scene.now) == WindowState::Over)
        && maintenance::makes_room(proposal.kind)
        && proposal.undoes.is_none();
    if is_over || proposal.case.is_some_and(is_of_work) || !is_for_work && is_touched() {
        Answer::Refuse(Reason::Maintenance)
    } else {
        Answer::Pass
    }
}
