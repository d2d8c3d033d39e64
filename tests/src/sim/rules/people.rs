//! What people said and did, and what holds because of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tallylight_decide::{
    ChangedBy, Input, PanelState,
    action::{ActionKind, Command, Feed, Target},
};
use tallylight_model::{ActionId, ChannelId, MonoTime, ServerId, StreamId};

use super::{Act, Rules, command::must};

/// For how long a channel is left to the panel's own failover, and to a person.
const LEFT_TO_THE_PANEL: Duration = Duration::from_secs(60);
const LEFT_TO_A_PERSON: Duration = Duration::from_secs(1800);

/// What the rules remember of people.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) approved: BTreeSet<ActionId>,
    refused: BTreeSet<ActionId>,
    waiting: BTreeMap<ActionId, MonoTime>,
    /// Channels that somebody wants back on their first source.
    pub(super) wants_back: BTreeSet<ChannelId>,
    /// Servers that somebody lets have their viewers back.
    pub(super) returns: BTreeSet<ServerId>,
    /// Until when a channel is left to others.
    left: BTreeMap<ChannelId, MonoTime>,
    /// How far the collector's clock had jumped ahead at its last start.
    ahead: Duration,
    /// The source that the panel last said a channel is on.
    on: BTreeMap<ChannelId, StreamId>,
}

impl People {
    /// A person said something.
    pub(super) fn said(&mut self, at: MonoTime, input: &Input) {
        match input {
            Input::Approve { action, .. } => {
                self.approved.insert(*action);
            }
            Input::Reject { action, .. } if !self.approved.contains(action) => {
                self.refused.insert(*action);
            }
            Input::FailBack { channel, .. } => {
                self.wants_back.insert(channel.clone());
            }
            Input::Return { server, .. } => {
                self.returns.insert(server.clone());
            }
            Input::EndHandsOff { channel } => {
                self.left.insert(channel.clone(), at);
            }
            _ => {}
        }
    }

    /// An action waits for a person.
    pub(super) fn waits(&mut self, at: MonoTime, action: ActionId) {
        self.waiting.entry(action).or_insert(at);
    }

    /// The panel told its state: a change that is not ours leaves the channel to whoever made it.
    pub(super) fn panel(&mut self, at: MonoTime, state: &PanelState, acts: &[Act]) {
        for channel in &state.channels {
            let Some(active) = &channel.active else { continue };
            let before = self.on.insert(channel.channel.clone(), active.clone());
            if before.is_none_or(|it| it == *active) {
                continue;
            }
            let is_ours = |it: &&Act| {
                it.command.target.channel() == Some(&channel.channel)
                    && it.command.to.as_ref().and_then(Feed::source) == Some(active)
                    && (it.end.is_none()
                        || channel.changed_by == ChangedBy::Action(it.command.action))
            };
            let long = match channel.changed_by {
                _ if acts.iter().any(|it| is_ours(&it)) => continue,
                ChangedBy::Panel => LEFT_TO_THE_PANEL,
                ChangedBy::Operator | ChangedBy::Action(_) => LEFT_TO_A_PERSON,
            };
            let left = self.left.entry(channel.channel.clone()).or_default();
            *left = (*left).max(at + long);
        }
    }

    /// Channels are left to others for less, if the collector's clock has jumped so far ahead.
    pub(super) fn grow_old(&mut self, ahead: Duration) {
        let by = ahead - core::mem::replace(&mut self.ahead, ahead);
        self.left.values_mut().for_each(|it| *it = *it - by);
    }

    /// After a start nobody knows what was before.
    pub(super) fn forget_the_panel(&mut self) {
        self.on.clear();
    }

    /// Whether a person asked for just this.
    pub(super) fn asked_for(&self, command: &Command) -> bool {
        match &command.target {
            Target::Channel(id) => {
                command.kind == ActionKind::SwitchSource && self.wants_back.contains(id)
            }
            Target::Servers(ids) => ids.iter().all(|it| self.returns.contains(it)),
            Target::Encoder { .. } | Target::Region(_) => false,
        }
    }
}

pub(super) fn left_to_others(rules: &Rules, at: MonoTime, command: &Command) -> Result<(), String> {
    let left = command.target.channel().and_then(|it| rules.people.left.get(it));
    must(left.is_none_or(|until| at >= *until), || format!("until {left:?}"))
}

pub(super) fn not_refused(rules: &Rules, _: MonoTime, command: &Command) -> Result<(), String> {
    must(!rules.people.refused.contains(&command.action), String::new)
}

pub(super) fn approved_in_time(
    rules: &Rules,
    at: MonoTime,
    command: &Command,
) -> Result<(), String> {
    let since = rules.people.waiting.get(&command.action);
    let fine = since.is_none_or(|since| at.since(*since) <= rules.approval_expiry);
    must(fine, || format!("it waited since {since:?}"))
}
