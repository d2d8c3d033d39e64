//! The facts as seen from one moment: who has a vote, and whether a stream is bad by agreement.
//!
//! *Agreement decides, never health.* An agent loses its vote when its own host drops packets, or when peers on other nodes
//! and paths see well what it calls bad: two peers on at least 3 and at least 20 % of its bad streams. A rule by share of
//! healthy streams would silence every witness in a real disaster.
//!
//! Small platforms have one peer at most. There a lone voice keeps its vote, but cannot outvote the other: the stream is
//! *disputed*, which is neither good nor bad, so it makes no quorum and nothing acts. That is sound for any number of agents,
//! because it never needs to know which of the two is right.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{cmp::Ordering, time::Duration};

use tallylight_model::{FaultKind, MonoTime, NodeId, StreamId};

use crate::{
    facts::Facts,
    incident::Vote,
    lineup::StreamRef,
    sight::{KindSet, Sight, Standing},
};

/// Peers must see well at least so many of the streams that an agent calls bad for it to lose its vote.
const CONTRADICTED_STREAMS: usize = 3;
/// And at least this share of them, as one in so many.
const CONTRADICTED_ONE_IN: usize = 5;
/// A fault that began so much earlier has another cause.
const ANOTHER_CAUSE: Duration = Duration::from_secs(10);
/// So many peers.
const CONTRADICTING_PEERS: usize = 2;

/// What agents together say about a stream since a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A fault stands, and no majority sees it well.
    Bad,
    /// The condition of a fault holds and has not lasted long enough to be declared.
    Suspect,
    /// As many see it well as do not.
    Disputed,
    /// Seen well, in a slice that begins after the moment.
    Good,
    /// Nobody has said anything about the time after the moment.
    Unknown,
}

/// What one agent says about a stream since a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    Unknown,
    Good,
    Suspect,
    Bad,
}

/// An agent's claim that a stream is bad which peers deny.
#[derive(Clone, Debug)]
pub(crate) struct Dissent {
    pub(crate) stream: StreamId,
    pub(crate) peers: usize,
    pub(crate) onset: MonoTime,
    /// Since when the claim and its denial have stood beside each other.
    pub(crate) since: MonoTime,
    /// Only a player ran dry. When it fills again depends on when it began, so peers need not share it.
    pub(crate) is_of_a_player: bool,
}

pub(crate) struct Scene<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) now: MonoTime,
    votes: BTreeMap<&'a NodeId, Vote>,
    /// What each agent alone calls bad.
    pub(crate) dissents: BTreeMap<&'a NodeId, Vec<Dissent>>,
    /// Streams with a standing fault by an agent whose vote counts.
    pub(crate) troubled: BTreeSet<&'a StreamId>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(facts: &'a Facts, now: MonoTime) -> Self {
        let mut scene = Self {
            facts,
            now,
            votes: BTreeMap::new(),
            dissents: BTreeMap::new(),
            troubled: BTreeSet::new(),
        };
        for agent in facts.lineup.agents() {
            let vote = if !facts.is_heard(&agent.node, now) {
                Vote::Silent
            } else if facts.drops(&agent.node, now) {
                Vote::OwnDrops
            } else {
                Vote::Counts
            };
            scene.votes.insert(&agent.node, vote);
        }
        scene.weigh_contradictions();
        for (stream, sights) in facts.faulty() {
            let faulty = |(node, sight): (&NodeId, &Sight)| {
                scene.votes(node) && scene.current_faults(node, sight).next().is_some()
            };
            if scene.is_on_air(stream) && sights.iter().any(faulty) {
                scene.troubled.insert(stream);
            }
        }
        scene
    }

    fn is_on_air(&self, stream: &StreamId) -> bool {
        let found = self.facts.lineup.stream(stream);
        found.is_some_and(|it| !self.facts.is_off_air(&it.channel().id))
    }

    /// An agent's standing faults that count, while it is heard.
    fn current_faults<'s>(
        &'s self,
        node: &NodeId,
        sight: &'s Sight,
    ) -> impl Iterator<Item = (FaultKind, &'s Standing)> {
        let fresh = self.facts.is_fresh(node, sight, self.now);
        let max_age = self.facts.policy.guards.evidence_max_age;
        sight.faults().filter(move |(_, it)| fresh && self.now.since(it.confirmed) <= max_age)
    }

    /// Finds who is denied by peers, and takes the vote from whom two peers deny on enough streams.
    fn weigh_contradictions(&mut self) {
        let mut claims: BTreeMap<&'a NodeId, (usize, Vec<Dissent>)> = BTreeMap::new();
        for (stream, sights) in self.facts.faulty().filter(|it| self.is_on_air(it.0)) {
            for (node, sight) in sights {
                let Some(first) = self.current_faults(node, sight).min_by_key(|(_, it)| it.onset)
                else {
                    continue;
                };
                let (onset, arrived) = (first.1.onset, first.1.arrived);
                let claim = claims.entry(node).or_default();
                claim.0 += 1;
                // A fault that is only waiting for its clear time is no claim about the present.
                if sight.latest().is_some_and(|it| it.is_observed() && it.conditions.is_empty()) {
                    continue;
                }
                let (peers, well_since) = self.peers_who_see_well(node, stream, onset);
                if peers > 0 {
                    let since = arrived.max(well_since);
                    let stream = stream.clone();
                    let mut kinds = self.current_faults(node, sight).map(|(kind, _)| kind);
                    let is_of_a_player = kinds.all(|kind| kind == FaultKind::Stall);
                    claim.1.push(Dissent { stream, peers, onset, since, is_of_a_player });
                }
            }
        }
        for (node, (bad, dissents)) in claims {
            let denied = dissents
                .iter()
                .filter(|it| it.peers >= CONTRADICTING_PEERS && !it.is_of_a_player)
                .count();
            let enough = denied >= CONTRADICTED_STREAMS && denied * CONTRADICTED_ONE_IN >= bad;
            if let Some(vote) = self.votes.get_mut(node)
                && enough
                && *vote == Vote::Counts
            {
                *vote = Vote::Contradicted;
            }
            if !dissents.is_empty() {
                self.dissents.insert(node, dissents);
            }
        }
    }

    /// On how many paths other than the agent's own a stream is seen well since a fault's onset. An active source is also
    /// seen through the channel's deliveries: what it feeds cannot be good while it is not.
    ///
    /// Answers also since when: the begin of the shortest run of good slices.
    fn peers_who_see_well(
        &self,
        node: &NodeId,
        stream: &StreamId,
        onset: MonoTime,
    ) -> (usize, MonoTime) {
        let Some(found) = self.facts.lineup.stream(stream) else { return (0, onset) };
        let own_path = self.facts.lineup.agent(node).map(|it| it.path.as_str());
        let mut paths = BTreeSet::new();
        let mut well_since = onset;
        let mut ask = |asked: &StreamId, since: MonoTime| {
            for (peer, sight) in self.facts.sights_of(asked) {
                let path = self.facts.lineup.agent(peer).map(|it| it.path.as_str());
                let independent = peer != node && path != own_path && self.votes(peer);
                if independent && self.word(peer, sight, since) == Word::Good {
                    paths.insert(path);
                    well_since = well_since.max(sight.good_since().unwrap_or(self.now));
                }
            }
        };
        ask(stream, onset);
        if let StreamRef::Source(channel, _) = found
            && self.facts.is_active(stream)
        {
            for delivery in &channel.deliveries {
                ask(&delivery.stream, onset + delivery.delay);
            }
        }
        (paths.len(), well_since)
    }

    /// Whether an agent's word counts.
    pub(crate) fn votes(&self, node: &NodeId) -> bool {
        self.vote(node) == Vote::Counts
    }

    pub(crate) fn vote(&self, node: &NodeId) -> Vote {
        self.votes.get(node).copied().unwrap_or(Vote::Silent)
    }

    /// What one agent says about a stream since a moment of its own time.
    pub(crate) fn word(&self, node: &NodeId, sight: &Sight, since: MonoTime) -> Word {
        if !self.facts.is_fresh(node, sight, self.now) {
            return Word::Unknown;
        }
        if self.current_faults(node, sight).next().is_some() {
            return Word::Bad;
        }
        match sight.latest() {
            Some(seen) if seen.end > since && !seen.conditions.is_empty() => Word::Suspect,
            Some(seen) if seen.start >= since && seen.is_observed() => Word::Good,
            _ => Word::Unknown,
        }
    }

    /// What agents with a vote say together since a moment at the source.
    pub(crate) fn state(&self, stream: &StreamId, since: MonoTime) -> State {
        let delay = self.facts.lineup.stream(stream).map(StreamRef::delay);
        self.state_there(stream, since + delay.unwrap_or_default())
    }

    /// What agents with a vote say together since a moment where the stream is seen.
    pub(crate) fn state_there(&self, stream: &StreamId, since: MonoTime) -> State {
        let words = self.words(stream, since);
        let count = |word| words.values().filter(|&&it| it == word).count();
        let (bad, suspect, good) = (count(Word::Bad), count(Word::Suspect), count(Word::Good));
        match (bad + suspect).cmp(&good) {
            Ordering::Greater if bad > 0 => State::Bad,
            Ordering::Greater => State::Suspect,
            Ordering::Equal if good > 0 => State::Disputed,
            Ordering::Equal => State::Unknown,
            Ordering::Less => State::Good,
        }
    }

    /// On how many independent paths a stream is seen well.
    pub(crate) fn good_paths(&self, stream: &StreamId) -> usize {
        self.words(stream, MonoTime::ZERO).values().filter(|&&it| it == Word::Good).count()
    }

    /// What each path with a vote says since a moment where the stream is seen; nothing of what is off the air. Agents on one path are
    /// one vantage point; the worst of their words is its word.
    fn words(&self, stream: &StreamId, since: MonoTime) -> BTreeMap<Option<&'a str>, Word> {
        let mut words = BTreeMap::new();
        if !self.is_on_air(stream) {
            return words;
        }
        for (node, sight) in self.facts.sights_of(stream) {
            if self.votes(node) {
                let word = words.entry(self.path(node)).or_insert(Word::Unknown);
                *word = self.word(node, sight, since).max(*word);
            }
        }
        words
    }

    /// Like [`state_there`](Self::state_there) since a cause can be seen, but what was bad long before its onset is another's.
    pub(crate) fn state_by(&self, stream: &StreamId, onset: MonoTime, since: MonoTime) -> State {
        match self.state_there(stream, since) {
            State::Bad if self.onset(stream).is_some_and(|it| it + ANOTHER_CAUSE < onset) => {
                State::Unknown
            }
            state => state,
        }
    }

    /// Whether some path with a vote calls a stream bad while another one, which is heard, does not.
    pub(crate) fn is_lone_claim(&self, stream: &StreamId) -> bool {
        let mut words: BTreeMap<Option<&str>, bool> = BTreeMap::new();
        for (node, sight) in self.facts.sights_of(stream) {
            if self.votes(node) && self.facts.is_fresh(node, sight, self.now) {
                let bad = self.current_faults(node, sight).next().is_some();
                *words.entry(self.path(node)).or_insert(false) |= bad;
            }
        }
        words.values().any(|&it| it) && words.values().any(|&it| !it)
    }

    /// A stream's current faults by agents with a vote.
    pub(crate) fn faults<'s>(
        &'s self,
        stream: &StreamId,
    ) -> impl Iterator<Item = (&'s NodeId, FaultKind, &'s Standing)> {
        self.facts.sights_of(stream).filter(|(node, _)| self.votes(node)).flat_map(
            |(node, sight)| {
                self.current_faults(node, sight).map(move |(kind, it)| (node, kind, it))
            },
        )
    }

    /// Whether a fault stands on the stream that an action may rest on. Without one a stream is no reason for an incident.
    pub(crate) fn is_worthy(&self, stream: &StreamId) -> bool {
        self.faults(stream).any(|(_, kind, it)| kind.may_act(it.severity))
    }

    /// Whether an agent itself sees a fault that an action may rest on.
    pub(crate) fn is_worthy_to(&self, node: &NodeId, sight: &Sight) -> bool {
        self.current_faults(node, sight).any(|(kind, it)| kind.may_act(it.severity))
    }

    /// When a stream's faulty media was first seen to be produced. The cause is at least as old: what a delivery's packets or
    /// segments show is late by anything up to its delay, so the earliest of these over a cause's streams is the safest
    /// estimate of its onset, and adding a stream's delay to it never calls media from before the fault good.
    pub(crate) fn onset(&self, stream: &StreamId) -> Option<MonoTime> {
        self.faults(stream).map(|(_, _, it)| it.onset).min()
    }

    /// The earliest moment at which the cause of a stream's faults can have begun, at the source.
    pub(crate) fn earliest_onset(&self, stream: &StreamId) -> Option<MonoTime> {
        let delay = self.facts.lineup.stream(stream)?.delay();
        self.onset(stream).map(|it| it - delay)
    }

    /// Kinds that stand on a stream, or whose condition holds in the latest slice of an agent with a vote.
    pub(crate) fn kinds(&self, stream: &StreamId) -> KindSet {
        let standing = self.faults(stream).map(|(_, kind, _)| kind);
        let conditions = self
            .facts
            .sights_of(stream)
            .filter(|(node, sight)| self.votes(node) && self.facts.is_fresh(node, sight, self.now))
            .filter_map(|(_, sight)| sight.latest())
            .flat_map(|seen| seen.conditions.iter());
        standing.chain(conditions).collect()
    }

    /// The network path of an agent: what makes two witnesses independent, together with their nodes.
    pub(crate) fn path(&self, node: &NodeId) -> Option<&'a str> {
        self.facts.lineup.agent(node).map(|it| it.path.as_str())
    }
}
