//! All actions, with what is asked of them again and again kept beside them: whose they are, what they were sent to, which are
//! out. An open incident asks most of it each time that it is looked at, and to walk through all actions each time costs more
//! than everything else that is decided.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use tallylight_model::{ActionId, ChannelId, MonoTime, RegionId, ServerId};

use crate::action::{Action, ActionState, Purpose, Target};

/// One thing that an action touches: two targets overlap if they have one in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Channel(ChannelId),
    Server(ServerId),
    Region(RegionId),
}

fn things(target: &Target) -> impl Iterator<Item = Thing> {
    let (servers, region) = match target {
        Target::Servers(servers) => (servers.as_slice(), None),
        Target::Region(region) => (&[][..], Some(region)),
        Target::Channel(_) | Target::Encoder { .. } => (&[][..], None),
    };
    let channels = target.channels().iter().cloned().map(Thing::Channel);
    let servers = servers.iter().cloned().map(Thing::Server);
    channels.chain(servers).chain(region.cloned().map(Thing::Region))
}

#[derive(Debug, Default)]
pub(super) struct Actions {
    all: BTreeMap<ActionId, Action>,
    of_purpose: BTreeMap<Purpose, BTreeSet<ActionId>>,
    waiting: BTreeSet<ActionId>,
    in_flight: BTreeSet<ActionId>,
    /// Those whose command went out, by when it did.
    sent: BTreeSet<(MonoTime, ActionId)>,
    /// And by what they touch.
    sent_on: BTreeMap<Thing, BTreeSet<ActionId>>,
    /// Those that would have been sent, by when they would.
    proposed: BTreeSet<(MonoTime, ActionId)>,
}

impl Actions {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, id: ActionId) -> Option<&Action> {
        self.all.get(&id)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Action> {
        self.all.values()
    }

    fn these<'a>(
        &'a self,
        ids: impl IntoIterator<Item = &'a ActionId>,
    ) -> impl Iterator<Item = &'a Action> {
        ids.into_iter().filter_map(|id| self.all.get(id))
    }

    /// Oldest first.
    pub(super) fn of_purpose(&self, purpose: &Purpose) -> impl Iterator<Item = &Action> {
        self.these(self.of_purpose.get(purpose).into_iter().flatten())
    }

    /// Oldest first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Action> {
        self.these(&self.waiting)
    }

    /// Oldest first.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &Action> {
        self.these(&self.in_flight)
    }

    /// By when their command went out, the newest first.
    pub(super) fn sent(&self) -> impl Iterator<Item = (MonoTime, &Action)> {
        self.sent.iter().rev().filter_map(|(at, id)| Some((*at, self.all.get(id)?)))
    }

    /// Those that would have been sent, by when they would, oldest first.
    pub(super) fn proposed(&self) -> impl Iterator<Item = (MonoTime, &Action)> {
        self.proposed.iter().filter_map(|(at, id)| Some((*at, self.all.get(id)?)))
    }

    /// Those whose command went out to something that overlaps the target, oldest first.
    pub(super) fn sent_on<'a>(
        &'a self,
        target: &Target,
    ) -> impl Iterator<Item = &'a Action> + use<'a> {
        let lists = things(target).filter_map(|it| self.sent_on.get(&it));
        let mut ids: Vec<ActionId> = lists.flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().filter_map(|id| self.all.get(&id))
    }

    pub(super) fn insert(&mut self, action: Action) {
        self.remove(action.id);
        self.list(&action);
        self.all.insert(action.id, action);
    }

    /// Changes an action; answers it, with the state that it had.
    pub(super) fn edit(
        &mut self,
        id: ActionId,
        change: impl FnOnce(&mut Action),
    ) -> Option<(ActionState, &Action)> {
        let mut action = self.all.remove(&id)?;
        let before = action.state;
        self.unlist(&action);
        change(&mut action);
        self.list(&action);
        Some((before, &*self.all.entry(id).or_insert(action)))
    }

    pub(super) fn remove(&mut self, id: ActionId) {
        if let Some(action) = self.all.remove(&id) {
            self.unlist(&action);
        }
    }

    fn list(&mut self, action: &Action) {
        let id = action.id;
        self.of_purpose.entry(action.purpose.clone()).or_default().insert(id);
        if action.state == ActionState::Waiting {
            self.waiting.insert(id);
        }
        if action.state.is_in_flight() {
            self.in_flight.insert(id);
        }
        if action.state == ActionState::Proposed {
            self.proposed.insert((action.decided, id));
        }
        if let Some(at) = action.sent {
            self.sent.insert((at, id));
            for thing in things(&action.target) {
                self.sent_on.entry(thing).or_default().insert(id);
            }
        }
    }

    fn unlist(&mut self, action: &Action) {
        let id = action.id;
        drop_from(&mut self.of_purpose, &action.purpose, id);
        self.waiting.remove(&id);
        self.in_flight.remove(&id);
        self.proposed.remove(&(action.decided, id));
        if let Some(at) = action.sent {
            self.sent.remove(&(at, id));
            for thing in things(&action.target) {
                drop_from(&mut self.sent_on, &thing, id);
            }
        }
    }
}

fn drop_from<K: Ord>(lists: &mut BTreeMap<K, BTreeSet<ActionId>>, key: &K, id: ActionId) {
    if let Some(list) = lists.get_mut(key) {
        list.remove(&id);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{action::ActionKind, policy::Mode};
    use alloc::{string::String, vec};
    use core::time::Duration;
    use tallylight_model::{EncoderId, IncidentId};

    fn action(id: u64, purpose: u64, target: Target) -> Action {
        Action {
            id: ActionId(id),
            purpose: Purpose::Incident(IncidentId(purpose)),
            kind: ActionKind::RestartStream,
            target,
            from: None,
            to: None,
            share: None,
            mode: Mode::Auto,
            state: ActionState::Waiting,
            decided: MonoTime::ZERO,
            expires: MonoTime::ZERO,
            sent: None,
            answered: None,
            done: None,
            ended: None,
            lifted: None,
            undoes: None,
            group: None,
            choices: Vec::new(),
            approved_by: None,
            detail: String::new(),
        }
    }

    fn targets() -> Vec<Target> {
        let channel = |it: &str| ChannelId::new(it).unwrap();
        let server = |it: &str| ServerId::new(it).unwrap();
        let encoder = EncoderId::new("rack").unwrap();
        vec![
            Target::Channel(channel("a")),
            Target::Channel(channel("b")),
            Target::Encoder { encoder, channels: vec![channel("a"), channel("c")] },
            Target::Servers(vec![server("a")]),
            Target::Servers(vec![server("b"), server("a")]),
            Target::Region(RegionId::new("a").unwrap()),
        ]
    }

    fn ids<'a>(actions: impl Iterator<Item = &'a Action>) -> Vec<u64> {
        actions.map(|it| it.id.0).collect()
    }

    /// Every list beside what a walk through all actions finds.
    fn check(actions: &Actions) {
        let all = |is: &dyn Fn(&Action) -> bool| ids(actions.iter().filter(|it| is(it)));
        assert_eq!(ids(actions.waiting()), all(&|it| it.state == ActionState::Waiting));
        assert_eq!(ids(actions.in_flight()), all(&|it| it.state.is_in_flight()));
        for target in targets() {
            let overlaps = |it: &Action| it.sent.is_some() && it.target.overlaps(&target);
            assert_eq!(ids(actions.sent_on(&target)), all(&overlaps), "{target}");
        }
        for purpose in (0..4).map(|it| Purpose::Incident(IncidentId(it))) {
            assert_eq!(ids(actions.of_purpose(&purpose)), all(&|it| it.purpose == purpose));
        }
        let proposed = actions.proposed().map(|(_, it)| it);
        assert_eq!(ids(proposed), all(&|it| it.state == ActionState::Proposed));
        let mut sent: Vec<_> = actions.iter().filter_map(|it| Some((it.sent?, it.id))).collect();
        sent.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(actions.sent().map(|(at, it)| (at, it.id)).collect::<Vec<_>>(), sent);
    }

    #[test]
    fn lists_follow_every_change() {
        let mut actions = Actions::default();
        for (id, target) in (1..).zip(targets().into_iter().cycle().take(18)) {
            actions.insert(action(id, id % 3, target));
            check(&actions);
        }
        let at = |secs| MonoTime::ZERO + Duration::from_secs(secs);
        for id in 1..19 {
            actions.edit(ActionId(id), |it| {
                it.sent = Some(at(100 - id / 2));
                it.state = ActionState::Sent;
            });
            check(&actions);
        }
        for id in [2, 17] {
            actions.edit(ActionId(id), |it| it.state = ActionState::Proposed);
            check(&actions);
        }
        for id in [3, 4, 9, 16, 40] {
            let before = actions.edit(ActionId(id), |it| it.state = ActionState::Failed);
            assert_eq!(before.map(|it| it.0), (id < 19).then_some(ActionState::Sent));
            check(&actions);
        }
        actions.insert(action(5, 1, targets().remove(0)));
        check(&actions);
        for id in [1, 5, 18, 40] {
            actions.remove(ActionId(id));
            check(&actions);
        }
        assert_eq!(actions.len(), 15);
    }
}
