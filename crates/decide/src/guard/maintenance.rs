//! What is being worked on is expected to break: nothing is done about it, and nobody is called.

use super::{Answer, Proposal};
use crate::action::Reason;

pub(super) fn check(proposal: &Proposal<'_>) -> Answer {
    match proposal.case {
        Some(case) if case.incident.maintenance.is_some() => Answer::Refuse(Reason::Maintenance),
        _ => Answer::Pass,
    }
}
