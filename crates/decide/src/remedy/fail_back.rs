//! Back to the source that a channel is normally on, once that is good again.
//!
//! A switch away ends what viewers see wrong; a switch back ends nothing, and costs them a glitch at best. So by itself it comes
//! only where the lineup asks for it, after as long a good run as it says, once for each switch away, and on no channel that
//! anything else is wrong with. Where it turns out bad the channel is put back, and from then on people decide.
//!
//! A switch by a person or by the panel's own failover is theirs to take back.

use alloc::{collections::BTreeSet, string::String};

use tallylight_model::{ChannelId, MonoTime, StreamId};

use super::{
    Desk,
    ladder::Plan,
    readiness,
    verify::{self, Undoing},
};
use crate::{
    action::{Action, ActionKind, ActionState, Feed, Target},
    input::ChangedBy,
    ledger::Ledger,
    lineup::{Channel, Source},
    scene::Scene,
    sight::Sight,
};

/// The source that a channel is on while nothing is wrong.
fn home(channel: &Channel) -> Option<&Source> {
    channel.sources.iter().min_by_key(|it| (it.role, it.priority))
}

/// Our switch that put a channel where it is, if that is not where it belongs.
pub(crate) fn switched_away<'a>(
    scene: &Scene<'_>,
    ledger: &'a Ledger,
    channel: &ChannelId,
) -> Option<&'a Action> {
    last_switch(ledger, channel).filter(|it| is_away(scene, it))
}

/// Our last switch of a channel that was carried out.
fn last_switch<'a>(ledger: &'a Ledger, channel: &ChannelId) -> Option<&'a Action> {
    let sent = ledger.sent_on(&Target::Channel(channel.clone()));
    sent.filter(|it| is_carried_out(it)).max_by_key(|it| it.done)
}

fn is_carried_out(action: &Action) -> bool {
    let state = matches!(action.state, ActionState::Verified | ActionState::NotVerified);
    state && action.kind == ActionKind::SwitchSource
}

fn is_away(scene: &Scene<'_>, last: &Action) -> bool {
    let facts = scene.facts;
    let channel = last.target.channel().and_then(|it| facts.lineup.channel(it));
    let Some(channel) = channel else { return false };
    let Some(active) = facts.active(&channel.id) else { return false };
    let ours = matches!(active.changed_by, ChangedBy::Action(_));
    let there = active.stream.is_some()
        && active.stream.as_ref() == last.to.as_ref().and_then(Feed::source);
    let belongs = home(channel).is_some_and(|it| Some(&it.stream) == active.stream.as_ref());
    ours && there && !belongs
}

impl Desk<'_> {
    /// Takes back what the lineup asks to be taken back, and fail-backs that made things worse.
    pub(crate) fn fail_back(&mut self, ledger: &mut Ledger) {
        let lineup = &self.scene.facts.lineup;
        let asks = |it: &ChannelId| lineup.channel(it).is_some_and(|it| it.fail_back.is_some());
        let channels = ledger.actions().filter(|it| is_carried_out(it)).filter_map(|it| {
            let channel = it.target.channel()?;
            (it.state == ActionState::NotVerified || asks(channel)).then_some(channel)
        });
        let channels: BTreeSet<ChannelId> = channels.cloned().collect();
        for channel in channels {
            let Some(action) = last_switch(ledger, &channel).cloned() else { continue };
            let undone = action.undoes.and_then(|id| ledger.action(id)).map(|it| it.state);
            match (action.state, undone) {
                (ActionState::NotVerified, Some(ActionState::Verified)) => {
                    self.put_back(ledger, action);
                }
                (ActionState::Verified, None) => self.fail_back_after(ledger, &action),
                _ => {}
            }
        }
    }

    /// A fail-back that did not help: back to where it was good, if it still is.
    fn put_back(&mut self, ledger: &mut Ledger, failed: Action) {
        if verify::undoing(self.scene, &failed) == Undoing::Possible
            && !is_under_way(ledger, &failed)
        {
            let (from, to, undoes) = (failed.to, failed.from, Some(failed.id));
            let plan = Plan { from, to, undoes, ..Plan::on(failed.kind, failed.target) };
            self.offer(ledger, &failed.purpose, plan);
        }
    }

    fn fail_back_after(&mut self, ledger: &mut Ledger, away: &Action) {
        let lineup = &self.scene.facts.lineup;
        let channel = away.target.channel().and_then(|it| lineup.channel(it));
        let Some((channel, hold)) = channel.and_then(|it| Some((it, it.fail_back?))) else {
            return;
        };
        let tried = |it: &Action| {
            it.undoes == Some(away.id)
                && !matches!(it.state, ActionState::Proposed | ActionState::Withdrawn)
        };
        if !is_away(self.scene, away) || ledger.actions().any(tried) || is_troubled(ledger, channel)
        {
            return;
        }
        let Some(plan) = plan(self.scene, channel, away) else { return };
        let good_for = home(channel).and_then(|it| good_since(self.scene, it));
        match good_for.map(|since| since + hold) {
            Some(due) if self.now() < due => self.look_again(due),
            Some(_) => self.offer(ledger, &away.purpose, plan),
            None => {}
        }
    }

    /// A person asks for it.
    pub(crate) fn fail_back_by_hand(&mut self, ledger: &mut Ledger, id: &ChannelId, by: &str) {
        let Some(away) = switched_away(self.scene, ledger, id).cloned() else { return };
        let channel = self.scene.facts.lineup.channel(id);
        let Some(plan) = channel.and_then(|it| plan(self.scene, it, &away)) else { return };
        let plan = Plan { approved_by: Some(String::from(by)), ..plan };
        self.offer(ledger, &away.purpose, plan);
    }
}

fn plan(scene: &Scene<'_>, channel: &Channel, away: &Action) -> Option<Plan> {
    let from = scene.facts.active(&channel.id)?.stream?;
    let plan = Plan::switch(&channel.id, from, home(channel)?.stream.clone());
    Some(Plan { undoes: Some(away.id), ..plan })
}

/// Since when somebody with a vote has seen a ready source well without a break.
fn good_since(scene: &Scene<'_>, source: &Source) -> Option<MonoTime> {
    if !readiness::is_ready(scene, &source.stream) {
        return None;
    }
    let no = scene.facts.lineup.no(&source.stream)?;
    scene.trusted(no).filter_map(Sight::good_since).min()
}

fn is_under_way(ledger: &Ledger, undone: &Action) -> bool {
    ledger.actions().any(|it| it.undoes == Some(undone.id) && !it.state.is_final())
}

/// Whether an open incident is about anything of the channel.
fn is_troubled(ledger: &Ledger, channel: &Channel) -> bool {
    let own = |it: &StreamId| it.channel() == channel.id.as_str();
    ledger.open_cases().any(|it| it.incident.streams.iter().any(own))
}
