//! Others at the wheel: changes of a channel's source that Tallylight did not command. They cannot be derived from anything
//! that the journal has, so each channel with any has a record of its own.
//!
//! The record has the channel's source too, so that what others changed while nobody looked is seen after it. The first state
//! that is seen of a channel at all is no change: nobody knows what was before.

use alloc::collections::VecDeque;
use core::time::Duration;

use tallylight_model::{ChannelId, MonoTime, StreamId};

use crate::{
    action::{ActionKind, Feed, Target},
    facts::Facts,
    input::ChangedBy,
    ledger::Ledger,
    lineup::names,
    policy::Guards,
};

/// Changes remembered of a channel, which also bounds the penalty for them.
const MAX_CHANGES: usize = 16;

/// Who changed a channel's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Other {
    /// The panel, by itself.
    Panel,
    /// A person, or a program that is not ours.
    Person,
}

names! { Other { Panel "panel" Person "operator" } }

/// A channel that is left to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandsOff {
    /// Who changed its source.
    pub by: Other,
    /// Until when nothing is done to it.
    pub until: MonoTime,
}

/// What others did to a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    pub(crate) changes: VecDeque<(MonoTime, Other)>,
    /// Changes up to this moment keep nobody's hands off: a person said so.
    pub(crate) released: MonoTime,
    /// The source that the channel was last seen on.
    pub(crate) on: Option<StreamId>,
}

impl Others {
    pub(crate) fn note(&mut self, at: MonoTime, by: Other) {
        self.changes.push_back((at, by));
        if self.changes.len() > MAX_CHANGES {
            self.changes.pop_front();
        }
    }

    /// The longest hands-off that a change began; over or not.
    pub(crate) fn hands_off(&self, guards: &Guards) -> Option<HandsOff> {
        let length = |by| -> Duration {
            match by {
                Other::Panel => guards.hands_off_panel,
                Other::Person => guards.hands_off_person,
            }
        };
        let binding = self.changes.iter().filter(|(at, _)| *at > self.released);
        let all = binding.map(|&(at, by)| HandsOff { by, until: at + length(by) });
        all.max_by_key(|it| it.until)
    }
}

/// Looks at channels of which the panel says that they are on another source than it said before, if it had said any.
pub(crate) fn look(facts: &Facts, ledger: &mut Ledger, now: MonoTime, changed: &[ChannelId]) {
    for channel in changed {
        let Some(active) = facts.active(channel).and_then(|it| it.stream) else { continue };
        let is_change = ledger.last_on(channel).is_some_and(|it| *it != active);
        let by = changed_by_other(facts, ledger, channel).filter(|_| is_change);
        ledger.note_source(channel, active);
        if let Some(by) = by {
            ledger.note_other(channel, now, by);
        }
    }
}

/// Who put a channel on its source, unless a command of ours did. While one is out, the source that it asks for is ours,
/// whatever the panel says: not every panel can tell.
fn changed_by_other(facts: &Facts, ledger: &Ledger, channel: &ChannelId) -> Option<Other> {
    let active = facts.active(channel)?;
    let is_ours = ledger.sent_on(&Target::Channel(channel.clone())).any(|it| {
        it.kind == ActionKind::SwitchSource
            && it.to.as_ref().and_then(Feed::source) == active.stream.as_ref()
            && (it.state.is_in_flight() || active.changed_by == ChangedBy::Action(it.id))
    });
    match active.changed_by {
        _ if is_ours => None,
        ChangedBy::Panel => Some(Other::Panel),
        ChangedBy::Operator | ChangedBy::Action(_) => Some(Other::Person),
    }
}
