//! Viewers go back to a server that was drained, a quarter of them first.
//!
//! A server that is seen well without viewers need not be well with them, so it gets 25, 50 and 100 % of its share, each step
//! verified before the next, and is drained again by the first that is not. One server at a time, because what two do together
//! proves nothing about either.
//!
//! The first step is left to a person unless the policy says `auto`: nothing is broken while the server is out, the survivors
//! were below their limit when they took over, and whoever repairs a server is the one who knows whether it is repaired. A
//! person's word counts for all steps. What did not hold once is never tried again without one.
//!
//! Something *is* broken while a server is out that alone carries a channel in its region: it was drained because it was dead,
//! and is well again. Then the drain is what keeps viewers from their channel, and it is brought back by itself, once it has
//! been well for as long as a source that is ready. To leave such a server undrained instead would keep all who have another
//! from it for the sake of those who have nothing either way.

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};

use tallylight_model::{MonoTime, ServerId};

use super::{
    Desk,
    ladder::{self, Plan},
};
use crate::{
    action::{Action, ActionKind, ActionState, Reason, Target},
    facts::Facts,
    incident::Subject,
    input::ServerState,
    ledger::Ledger,
    lineup::StreamNo,
    maintenance,
    policy::Return,
    scene::{Scene, State},
    sight::Sight,
};

/// The shares of its viewers that a server gets, in percent.
const STEPS: [u8; 3] = [25, 50, 100];

/// The last thing that was done to where a server's viewers go, if it was ours and stands.
fn last_of<'a>(ledger: &'a Ledger, server: &ServerId) -> Option<&'a Action> {
    actions_on(ledger, server).filter(|it| moves_viewers(it)).max_by_key(|it| it.done)
}

fn moves_viewers(action: &Action) -> bool {
    action.kind.moves_viewers() && action.done.is_some()
}

/// Lets go of drains that somebody else took back: what is done to the server after that is theirs.
pub(crate) fn let_go(facts: &Facts, ledger: &mut Ledger) {
    let is_active =
        |it: &ServerId| facts.panel_server(it).is_some_and(|it| it.state == ServerState::Active);
    let is_taken_back = |it: &&Action| {
        let Target::Servers(servers) = &it.target else { return false };
        let read = it.done.zip(facts.panel_at).is_some_and(|(done, read)| read > done);
        is_standing_drain(it) && read && it.state.is_final() && servers.iter().all(is_active)
    };
    let lifted: Vec<_> = ledger.actions().filter(is_taken_back).map(|it| it.id).collect();
    for id in lifted {
        ledger.edit_action(id, |it| it.lifted = facts.panel_at);
    }
}

/// The last time that a server got viewers back, and it was seen what came of it.
fn last_return<'a>(ledger: &'a Ledger, server: &ServerId) -> Option<&'a Action> {
    let ended = |it: &&Action| matches!(it.state, ActionState::Verified | ActionState::NotVerified);
    let returns =
        |it: &&Action| matches!(it.kind, ActionKind::ReturnServer | ActionKind::UndrainServer);
    actions_on(ledger, server).filter(returns).filter(ended).max_by_key(|it| it.done)
}

/// What was sent to a server, oldest first.
fn actions_on<'a>(ledger: &'a Ledger, server: &ServerId) -> impl Iterator<Item = &'a Action> {
    ledger.sent_on(&Target::Servers(vec![server.clone()]))
}

/// Our drain that keeps viewers off a server.
pub(crate) fn isolated_by<'a>(
    scene: &Scene<'_>,
    ledger: &'a Ledger,
    server: &ServerId,
) -> Option<&'a Action> {
    let drain = last_of(ledger, server).filter(|it| is_standing_drain(it))?;
    scene.facts.is_drained(server).then_some(drain)
}

fn is_standing_drain(action: &Action) -> bool {
    action.kind == ActionKind::DrainServer && action.lifted.is_none()
}

/// Whether everything that a server delivers is seen well, as far as any agent is there to watch it.
pub(crate) fn is_well(scene: &Scene<'_>, server: &ServerId) -> bool {
    let lineup = &scene.facts.lineup;
    let mut watched = deliveries(scene, server).filter(|&it| lineup.watchers(it).next().is_some());
    watched.all(|it| scene.state_at(it, MonoTime::ZERO + lineup.at(it).delay()) == State::Good)
}

/// What a server delivers that is on the air.
fn deliveries<'a>(
    scene: &Scene<'a>,
    server: &ServerId,
) -> impl Iterator<Item = StreamNo> + use<'a> {
    let facts = scene.facts;
    let on_air = move |it: &StreamNo| !facts.is_off_air(&facts.lineup.at(*it).channel().id);
    facts.lineup.on_server(server).iter().copied().filter(on_air)
}

/// Since when all of a server's deliveries have been seen well without a break.
fn well_since(scene: &Scene<'_>, server: &ServerId) -> Option<MonoTime> {
    let since = |it: StreamNo| scene.trusted(it).filter_map(Sight::good_since).min();
    let all: Option<Vec<MonoTime>> = deliveries(scene, server).map(since).collect();
    all?.into_iter().max().filter(|_| is_well(scene, server))
}

impl Desk<'_> {
    /// Goes on with the return of servers, and begins those that the policy lets begin.
    pub(crate) fn bring_back(&mut self, ledger: &mut Ledger) {
        let lineup = &self.scene.facts.lineup;
        let mut last: BTreeMap<&ServerId, &Action> = BTreeMap::new();
        for action in ledger.actions().filter(|it| moves_viewers(it)) {
            let Target::Servers(servers) = &action.target else { continue };
            for server in servers.iter().filter(|it| lineup.server(it).is_some()) {
                let newest = last.entry(server).or_insert(action);
                if action.done > newest.done {
                    *newest = action;
                }
            }
        }
        let owned = last.into_iter().map(|(server, it)| (server.clone(), it.clone()));
        let mut last: Vec<(ServerId, Action)> = owned.collect();
        // Who is on the way back comes before who waits for it.
        last.sort_by_key(|(_, it)| it.kind == ActionKind::DrainServer);
        for (server, action) in last {
            match action.kind {
                ActionKind::DrainServer if is_standing_drain(&action) => {
                    self.begin_return(ledger, &server, &action);
                }
                ActionKind::DrainServer => {}
                _ => self.go_on_with_return(ledger, &server, &action),
            }
        }
    }

    /// A person says that a server may have its viewers back.
    pub(crate) fn return_by_hand(&mut self, ledger: &mut Ledger, server: &ServerId, by: &str) {
        let Some(drain) = isolated_by(self.scene, ledger, server).cloned() else { return };
        self.step(ledger, server, &drain, Some(String::from(by)));
    }

    fn begin_return(&mut self, ledger: &mut Ledger, server: &ServerId, drain: &Action) {
        let guards = &self.scene.facts.policy.guards;
        let lineup = &self.scene.facts.lineup;
        // One that did not bear its viewers waits for a person.
        let held = last_return(ledger, server).is_none_or(|it| it.state == ActionState::Verified);
        let is_first = held && drain.state == ActionState::Verified;
        let is_troubled = ledger.open_case_of(&Subject::Server(server.clone())).is_some();
        let tried = |it: &Action| {
            it.undoes == Some(drain.id)
                && !matches!(it.state, ActionState::Proposed | ActionState::Withdrawn)
        };
        let strands = ladder::strands(self.scene, server);
        if guards.server_return != Return::Auto && !strands
            || !is_first
            || is_troubled
            // It is brought back when the work is over.
            || drain.purpose.window().is_some()
            || maintenance::is_worked_on(lineup, ledger, server, self.now())
            || !self.scene.facts.is_drained(server)
            || ledger.actions().any(tried)
        {
            return;
        }
        let Some(well) = well_since(self.scene, server) else { return };
        let hold = if strands { guards.ready_clean } else { guards.return_after };
        let due = well.max(drain.done.unwrap_or_default()) + hold;
        if self.now() < due {
            self.look_again(due);
        } else {
            self.step(ledger, server, drain, None);
        }
    }

    fn go_on_with_return(&mut self, ledger: &mut Ledger, server: &ServerId, last: &Action) {
        match last.state {
            ActionState::NotVerified if !self.scene.facts.is_drained(server) => {
                let undoes = Some(last.id);
                let plan =
                    Plan { undoes, ..Plan::on(ActionKind::DrainServer, last.target.clone()) };
                self.offer(ledger, &last.purpose, plan);
            }
            // Whoever drained it meanwhile had a reason.
            ActionState::Verified if !self.scene.facts.is_drained(server) => {
                self.step(ledger, server, last, last.approved_by.clone());
            }
            _ => {}
        }
    }

    /// Gives a server the share after the one that it has.
    pub(crate) fn step(
        &mut self,
        ledger: &mut Ledger,
        server: &ServerId,
        last: &Action,
        approved_by: Option<String>,
    ) {
        let Some(panel) = self.scene.facts.panel_server(server) else { return };
        let had = last.share.unwrap_or(if last.kind == ActionKind::DrainServer { 0 } else { 100 });
        // Somebody may have gone on by hand.
        let given = panel.share.filter(|_| !self.scene.facts.is_drained(server));
        let has = given.map_or(had, |it| it.max(had));
        let Some(&share) = STEPS.iter().find(|it| **it > has) else { return };
        if is_other_on_its_way(self.scene, ledger, server) {
            let reason = Reason::OtherReturning;
            return ledger.refuse(
                &last.purpose,
                self.now(),
                Some(ActionKind::ReturnServer),
                reason,
            );
        }
        let target = Target::Servers(vec![server.clone()]);
        // A panel that knows no shares takes all or nothing.
        let (kind, share) = match panel.share {
            Some(_) => (ActionKind::ReturnServer, Some(share)),
            None => (ActionKind::UndrainServer, None),
        };
        let undoes = Some(last.id);
        let plan = Plan { share, undoes, approved_by, ..Plan::on(kind, target) };
        self.offer(ledger, &last.purpose, plan);
    }
}

/// Whether another server has some of its viewers back and not all.
fn is_other_on_its_way(scene: &Scene<'_>, ledger: &Ledger, server: &ServerId) -> bool {
    let mut others = scene.facts.lineup.servers().filter(|it| it.id != *server);
    let under_way = ledger.actions().any(|it| {
        let returns = matches!(it.kind, ActionKind::ReturnServer | ActionKind::UndrainServer);
        let own = matches!(&it.target, Target::Servers(ids) if ids.contains(server));
        returns && !own && !it.state.is_final()
    });
    under_way
        || others.any(|it| {
            let last = last_of(ledger, &it.id);
            let part = last.and_then(|it| it.share).is_some_and(|it| it < 100);
            part && !scene.facts.is_drained(&it.id)
        })
}
