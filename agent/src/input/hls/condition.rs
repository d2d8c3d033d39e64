//! Which conditions hold. One kind may hold in several places, and is over when it is over in all.

use std::collections::BTreeSet;

use tallylight_model::{FaultKind, MonoTime};

use crate::input::InputEvent;

/// Where a condition was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In loading or reading the playlist.
    Playlist,
    /// In comparing it with the one before.
    Sequence,
    /// In the segments.
    Segment,
}

/// The conditions that hold, by kind and place.
#[derive(Debug, Default)]
pub(super) struct Conditions(BTreeSet<(FaultKind, Place)>);

impl Conditions {
    /// Notes what was seen in one place, `None` that nothing is wrong there; returns the event where that begins or ends
    /// the condition as a whole.
    pub(super) fn note(
        &mut self,
        at: MonoTime,
        kind: FaultKind,
        place: Place,
        evidence: Option<String>,
    ) -> Option<InputEvent> {
        let held = self.holds(kind);
        match evidence {
            Some(_) => self.0.insert((kind, place)),
            None => self.0.remove(&(kind, place)),
        };
        let holds = self.holds(kind);
        let evidence = evidence.unwrap_or_default();
        (holds != held).then_some(InputEvent::Condition { at, kind, holds, evidence })
    }

    fn holds(&self, kind: FaultKind) -> bool {
        self.0.range((kind, Place::Playlist)..=(kind, Place::Segment)).next().is_some()
    }
}
