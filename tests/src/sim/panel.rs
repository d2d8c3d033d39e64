//! The panel of the simulated world, which does what it is told unless its manners are bad.

use std::{collections::BTreeMap, time::Duration};

use tallylight_decide::{
    ChangedBy, Outcome, PanelChannel, PanelEncoder, PanelRefusal, PanelRegion, PanelServer,
    PanelState, ServerState,
    action::{ActionKind, Command, Feed, Target},
    lineup::{Delivery, Lineup},
};
use tallylight_model::{ActionId, ChannelId, MonoTime, RegionId, ServerId, StreamId};

use super::platform::Platform;

/// How the panel answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// It obeys and says so.
    #[default]
    Obeys,
    /// It obeys after so long.
    Slow(Duration),
    /// It says that it is done and does nothing.
    Lies,
    /// It does nothing and says so.
    Fails,
    /// It obeys, but the answer is lost.
    LosesAnswers,
    /// It does not do it, and the answer is lost.
    LosesCommands,
    /// It thinks that another collector is in charge.
    Refuses,
}

/// The panel.
#[derive(Debug, Default)]
pub struct Panel {
    /// How it answers.
    pub manners: Manners,
    /// Whether it can restart servers and encoders.
    pub restarts: bool,
    version: u64,
    changed_by: BTreeMap<ChannelId, ChangedBy>,
    pub(super) drained: BTreeMap<ServerId, bool>,
    share_of: BTreeMap<ServerId, u8>,
    pub(super) served_by: BTreeMap<RegionId, RegionId>,
    answered: BTreeMap<ActionId, Outcome>,
    /// Commands that it carried out, in order.
    pub carried_out: Vec<(MonoTime, Command)>,
}

impl Panel {
    /// How long it takes before it does anything.
    #[must_use]
    pub const fn takes(&self) -> Duration {
        match self.manners {
            Manners::Slow(by) => by,
            _ => Duration::ZERO,
        }
    }

    /// Takes a command and answers; the same one again gets the same answer and does nothing.
    pub fn command(
        &mut self,
        now: MonoTime,
        platform: &mut Platform,
        command: &Command,
    ) -> Outcome {
        if let Some(answer) = self.answered.get(&command.action) {
            return answer.clone();
        }
        let answer = match self.manners {
            Manners::Lies => Outcome::Done,
            Manners::Fails => Outcome::Failed("the panel answered 500".to_owned()),
            Manners::LosesCommands => return Outcome::Unknown,
            Manners::Refuses => Outcome::Refused(PanelRefusal::StaleEpoch),
            Manners::Obeys | Manners::Slow(_) | Manners::LosesAnswers => {
                self.obey(now, platform, command)
            }
        };
        self.answered.insert(command.action, answer.clone());
        if self.manners == Manners::LosesAnswers { Outcome::Unknown } else { answer }
    }

    fn obey(&mut self, now: MonoTime, platform: &mut Platform, command: &Command) -> Outcome {
        if now >= command.expires {
            return Outcome::Refused(PanelRefusal::Expired);
        }
        match (&command.target, command.kind) {
            (Target::Channel(channel), ActionKind::SwitchSource) => {
                if platform.active(channel, now) != command.from.as_ref().and_then(Feed::source) {
                    return Outcome::Refused(PanelRefusal::FromDoesNotHold);
                }
                let Some(Feed::Source(to)) = command.to.clone() else {
                    return Outcome::Failed("the switch does not say where to".to_owned());
                };
                platform.switch(now, channel, to);
                self.changed_by.insert(channel.clone(), ChangedBy::Action(command.action));
            }
            (Target::Channel(channel), _) => {
                platform.restart(now, channel);
                self.changed_by.insert(channel.clone(), ChangedBy::Action(command.action));
            }
            (Target::Encoder { encoder, .. }, _) => platform.restart_encoder(now, encoder),
            (Target::Servers(servers), ActionKind::RestartService) => {
                servers.iter().for_each(|it| platform.restart_server(now, it));
            }
            (Target::Servers(servers), kind) => {
                assert!(!servers.is_empty(), "no action has an empty target");
                let all = if kind == ActionKind::DrainServer { 0 } else { 100 };
                let share = command.share.unwrap_or(all);
                for server in servers {
                    platform.load(now, server, share);
                    self.drained.insert(server.clone(), share == 0);
                    self.share_of.insert(server.clone(), share);
                }
            }
            (Target::Region(region), _) => {
                let (Some(Feed::Region(from)), Some(Feed::Region(to))) =
                    (&command.from, &command.to)
                else {
                    return Outcome::Failed(
                        "the move does not say between which regions".to_owned(),
                    );
                };
                if self.served_by.get(region).unwrap_or(region) != from {
                    return Outcome::Refused(PanelRefusal::FromDoesNotHold);
                }
                self.served_by.insert(region.clone(), to.clone());
            }
        }
        self.version += 1;
        self.carried_out.push((now, command.clone()));
        Outcome::Done
    }

    /// Somebody else puts a channel on a source.
    pub fn switch(
        &mut self,
        now: MonoTime,
        platform: &mut Platform,
        channel: &ChannelId,
        (to, by): (StreamId, ChangedBy),
    ) {
        platform.switch(now, channel, to);
        self.version += 1;
        self.changed_by.insert(channel.clone(), by);
    }

    /// Counts up with every change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Who watches a channel, by the region that serves them: agents stay where viewers are moved away.
    fn sessions(
        &self,
        lineup: &Lineup,
        agents: &BTreeMap<&RegionId, u64>,
        deliveries: &[Delivery],
    ) -> BTreeMap<RegionId, u64> {
        let mut sessions: BTreeMap<RegionId, u64> = BTreeMap::new();
        for delivery in deliveries {
            let Some(server) = lineup.server(&delivery.server) else { continue };
            let own = &server.region;
            let probes = agents.get(own).copied().unwrap_or_default();
            *sessions.entry(own.clone()).or_default() += probes;
            let serving = self.served_by.get(own).unwrap_or(own);
            *sessions.entry(serving.clone()).or_default() += 50;
        }
        sessions
    }

    /// Answers its state.
    #[must_use]
    pub fn state(&self, now: MonoTime, platform: &Platform) -> PanelState {
        let lineup = platform.lineup();
        let mut agents: BTreeMap<&RegionId, u64> = BTreeMap::new();
        lineup.agents().for_each(|it| *agents.entry(&it.region).or_default() += 1);
        let mut served: BTreeMap<&ServerId, u64> = BTreeMap::new();
        let deliveries = lineup.channels().flat_map(|it| &it.deliveries);
        deliveries.for_each(|it| *served.entry(&it.server).or_default() += 1);
        let channels = lineup.channels().map(|it| PanelChannel {
            channel: it.id.clone(),
            active: platform.active(&it.id, now).cloned(),
            changed_by: self.changed_by.get(&it.id).cloned().unwrap_or(ChangedBy::Panel),
            sessions: self.sessions(lineup, &agents, &it.deliveries),
            egress_bytes: BTreeMap::new(),
        });
        let servers = lineup.servers().map(|it| {
            let drained = self.drained.get(&it.id).copied().unwrap_or(false);
            let state = if drained { ServerState::Drained } else { ServerState::Active };
            let own = served.get(&it.id).copied().unwrap_or_default();
            let probes = own * agents.get(&it.region).copied().unwrap_or_default();
            let viewers = if drained { 0 } else { 50 };
            PanelServer {
                server: it.id.clone(),
                state,
                sessions: probes + viewers,
                share: Some(self.share_of.get(&it.id).copied().unwrap_or(100)),
                can_restart: self.restarts,
            }
        });
        let regions = lineup.regions().map(|it| PanelRegion {
            region: it.id.clone(),
            served_by: self.served_by.get(&it.id).unwrap_or(&it.id).clone(),
        });
        let encoders = lineup
            .encoders()
            .map(|it| PanelEncoder { encoder: it.id.clone(), can_restart: self.restarts });
        PanelState {
            version: self.version,
            channels: channels.collect(),
            servers: servers.collect(),
            regions: regions.collect(),
            encoders: encoders.collect(),
        }
    }
}
