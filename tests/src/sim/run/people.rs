//! People at the platform, and the panel's own will: what is done past the collector.

use std::time::Duration;

use tallylight_decide::{ChangedBy, Input, KillSwitch, lineup::Lineup};
use tallylight_model::{ChannelId, MonoTime, StreamId};

use super::{Message, Said, World};
use crate::sim::{
    platform::{History, Platform},
    scenario::Doing,
};

impl World {
    /// Somebody else puts a channel on a source.
    pub fn switch_by_hand(&mut self, channel: &ChannelId, to: StreamId) {
        self.switch_past_us(self.now, channel, to);
    }

    fn switch_past_us(&mut self, at: MonoTime, channel: &ChannelId, to: StreamId) {
        if let Some(worth) = &mut self.worth {
            worth.switched_by_others(at, channel, &to);
        }
        self.put(at, channel, to, ChangedBy::Operator);
    }

    fn put(&mut self, at: MonoTime, channel: &ChannelId, to: StreamId, by: ChangedBy) {
        self.told.push((at, Said::Event(format!("{by:?} puts {channel} on {to}"))));
        self.panel.switch(at, &mut self.platform, channel, (to, by));
        self.wake(channel);
    }

    /// Looks closely at a channel's streams: something was done to it.
    pub(super) fn wake(&mut self, channel: &ChannelId) {
        for (index, stream) in self.platform.streams.iter().enumerate() {
            if stream.channel == *channel {
                self.wakes.push((self.now, index));
                let until = self.now + stream.lag + Duration::from_secs(5);
                self.watched[index] = self.watched[index].max(until);
            }
        }
    }

    pub(super) fn person(&mut self, at: MonoTime, doing: Doing) {
        self.told.push((at, Said::Event(format!("a person: {doing:?}"))));
        let by = || "ops".to_owned();
        let input = match doing {
            Doing::Switch(channel, to) => {
                return self.switch_past_us(at, &channel, to);
            }
            Doing::Close => {
                let open = self.decider.as_ref().and_then(|it| {
                    let mut open = it.incidents().filter(|it| it.closed.is_none());
                    open.next().map(|it| it.id)
                });
                let Some(incident) = open else { return };
                Input::Close { incident, by: by() }
            }
            Doing::Approve(action) => Input::Approve { action, by: by() },
            Doing::Reject(action) => Input::Reject { action, by: by() },
            Doing::Maintain(plan) => Input::Maintain(*plan),
            Doing::EndMaintenance(window) => Input::EndMaintenance { window },
            Doing::FailBack(channel) => Input::FailBack { channel, by: by() },
            Doing::Return(server) => Input::Return { server, by: by() },
            Doing::GiveBack(channel) => Input::EndHandsOff { channel },
            Doing::Pull => Input::KillSwitch(KillSwitch::Pulled),
            Doing::Release => Input::KillSwitch(KillSwitch::Released),
            Doing::Set(scope, mode) => Input::SetMode { scope, mode, by: by() },
            Doing::Load(parts) => match Lineup::new(*parts) {
                Ok(lineup) => Input::Lineup(Box::new(lineup)),
                Err(_) => return,
            },
        };
        self.handle(at, input);
    }

    /// The panel's own failover: a source without packets is left after a while, in this world and in the one without us.
    pub(super) fn fail_over(&mut self, at: MonoTime, channel: &ChannelId) {
        let Some(after) = self.failover else { return };
        self.post(at + Duration::from_secs(1), Message::FailsOver(channel.clone()));
        if let Some(worth) = &mut self.worth
            && let Some(to) = next(&self.platform, worth.others(), (at, after), channel)
        {
            worth.switched_by_others(at, channel, &to);
        }
        if let Some(to) = next(&self.platform, &self.platform.history, (at, after), channel) {
            self.put(at, channel, to, ChangedBy::Panel);
        }
    }
}

/// Where the panel puts a channel by itself, if its source has been without packets for that long.
fn next(
    platform: &Platform,
    history: &History,
    (at, after): (MonoTime, Duration),
    channel: &ChannelId,
) -> Option<StreamId> {
    let gone = |it: &StreamId, at| platform.lacks_packets(it, at);
    let active = platform.active_by(history, channel, at)?;
    let left = gone(active, at) && gone(active, at - after);
    let sources = platform.lineup().channel(channel).filter(|_| left)?.sources.iter();
    let mut others = sources.map(|it| &it.stream).filter(|it| *it != active);
    others.find(|it| !gone(it, at)).cloned()
}
