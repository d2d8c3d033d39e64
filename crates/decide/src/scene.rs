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

use tallylight_model::{FaultKind, MonoTime, NodeId, Severity, StreamId};

use crate::{
    echo,
    facts::{self, Facts},
    incident::Vote,
    lineup::{AgentNo, StreamNo},
    sight::{Calm, KindSet, Sight, Standing},
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
    /// It may be the end of what was true: only a player is dry, which fills again when it fills, or peers said the same
    /// until lately.
    pub(crate) lingers: bool,
}

/// Who sees well what an agent calls bad.
struct Denial {
    /// On how many other paths.
    paths: usize,
    /// The begin of the shortest run of good slices.
    since: MonoTime,
    /// Whether one of them saw a fault there since the onset, too.
    was_shared: bool,
}

/// What one agent says about a stream since a moment, and by what.
pub(crate) struct Said<'a> {
    pub(crate) node: &'a NodeId,
    /// The number of its path.
    pub(crate) path: usize,
    pub(crate) sight: &'a Sight,
    pub(crate) word: Word,
    /// Whether its word counts.
    pub(crate) counts: bool,
}

/// What an agent calls bad.
struct Claim {
    stream: StreamNo,
    agent: AgentNo,
    place: usize,
}

pub(crate) struct Scene<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) now: MonoTime,
    /// By agent.
    votes: Vec<Vote>,
    /// Which agents have been heard of lately.
    heard: Vec<bool>,
    /// In which regions the word of every agent counts.
    trusted: Vec<bool>,
    /// After this moment a slice that shows a stream well is believed without asking whose it is; `None` where that matters.
    plain_from: Option<MonoTime>,
    /// What each agent alone calls bad.
    pub(crate) dissents: BTreeMap<&'a NodeId, Vec<Dissent>>,
    /// Streams with a standing fault by an agent whose vote counts.
    pub(crate) troubled: Vec<StreamNo>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(facts: &'a Facts, now: MonoTime) -> Self {
        let agents = || facts.lineup.agents();
        let heard: Vec<bool> = agents().map(|it| facts.is_heard(&it.node, now)).collect();
        let vote = |(agent, &heard): (&crate::lineup::Agent, &bool)| match heard {
            false => Vote::Silent,
            true if facts.drops(&agent.node, now) => Vote::OwnDrops,
            true => Vote::Counts,
        };
        let votes = agents().zip(&heard).map(vote).collect();
        let (dissents, trusted, troubled) = (BTreeMap::new(), Vec::new(), Vec::new());
        let plain_from = None;
        let mut scene = Self { facts, now, votes, heard, trusted, plain_from, dissents, troubled };
        let claims = scene.claims();
        scene.weigh_contradictions(&claims);
        let all_count = |agents: &[AgentNo]| agents.iter().all(|&it| scene.counts(it));
        scene.trusted = facts.lineup.agents_by_region().map(all_count).collect();
        let is_plain = facts.all_on_air() && scene.trusted.iter().all(|&it| it);
        scene.plain_from = is_plain.then(|| Facts::present_from(now));
        let counts = |it: &&Claim| scene.votes[it.agent.index()] == Vote::Counts;
        let mut troubled: Vec<StreamNo> =
            claims.iter().filter(counts).map(|it| it.stream).collect();
        troubled.dedup();
        scene.troubled = troubled;
        scene
    }

    /// What each agent calls bad at this moment, by stream.
    fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for stream in self.facts.faulty().filter(|&it| self.is_on_air(it)) {
            for (place, agent) in self.facts.lineup.watchers(stream) {
                if self.is_bad_at(place, agent) {
                    claims.push(Claim { stream, agent, place });
                }
            }
        }
        claims
    }

    fn is_on_air(&self, stream: StreamNo) -> bool {
        !self.facts.is_stream_off_air(stream)
    }

    /// Whether what an agent says at a place is of the present.
    fn is_fresh_at(&self, place: usize, agent: AgentNo) -> bool {
        let glance = self.facts.glance(place);
        let is_young = glance.has_spoken && facts::is_young(glance.spoken_of, self.now);
        is_young && self.heard[agent.index()]
    }

    /// The sight at a place, if faults stand on it that count.
    fn sight_of_bad(&self, place: usize, agent: AgentNo) -> Option<&'a Sight> {
        let may_be = self.facts.glance(place).is_faulty && self.is_fresh_at(place, agent);
        let sight = self.facts.sight(place).filter(|_| may_be)?;
        self.confirmed_faults(sight).next().is_some().then_some(sight)
    }

    /// Whether faults stand at a place that count: [`sight_of_bad`](Self::sight_of_bad), mostly without looking closer.
    fn is_bad_at(&self, place: usize, agent: AgentNo) -> bool {
        let glance = self.facts.glance(place);
        glance.is_faulty
            && self.is_fresh_at(place, agent)
            && (self.is_recent(glance.confirmed) || self.sight_of_bad(place, agent).is_some())
    }

    /// The first onset of the faults that count at a place.
    fn first_onset(&self, place: usize) -> Option<MonoTime> {
        let glance = self.facts.glance(place);
        if glance.is_faulty && self.is_recent(glance.confirmed) {
            return Some(glance.onset);
        }
        let faults = self.facts.sight(place).map(|it| self.confirmed_faults(it));
        faults.into_iter().flatten().map(|(_, it)| it.onset).min()
    }

    fn is_recent(&self, confirmed: MonoTime) -> bool {
        self.now.since(confirmed) <= self.facts.policy.guards.evidence_max_age
    }

    fn confirmed_faults<'s>(
        &self,
        sight: &'s Sight,
    ) -> impl Iterator<Item = (FaultKind, &'s Standing)> + use<'s> {
        let (now, max_age) = (self.now, self.facts.policy.guards.evidence_max_age);
        sight.faults().filter(move |(_, it)| now.since(it.confirmed) <= max_age)
    }

    /// Finds who is denied by peers, and takes the vote from whom two peers deny on enough streams.
    fn weigh_contradictions(&mut self, claims: &[Claim]) {
        let mut bad = alloc::vec![0; self.votes.len()];
        let mut denials: BTreeMap<AgentNo, Vec<Dissent>> = BTreeMap::new();
        for claim in claims {
            bad[claim.agent.index()] += 1;
            // A fault that is only waiting for its clear time is no claim about the present.
            let glance = self.facts.glance(claim.place);
            if glance.is_observed && !glance.has_conditions {
                continue;
            }
            // Nobody denies what all say, but for those who see what the stream feeds.
            if !self.facts.is_feeding(claim.stream) && self.is_plainly_bad(claim.stream) {
                continue;
            }
            if let Some(dissent) = self.dissent(claim) {
                denials.entry(claim.agent).or_default().push(dissent);
            }
        }
        for (agent, dissents) in denials {
            let denied =
                dissents.iter().filter(|it| it.peers >= CONTRADICTING_PEERS && !it.lingers).count();
            let vote = &mut self.votes[agent.index()];
            let enough = denied >= CONTRADICTED_STREAMS
                && denied * CONTRADICTED_ONE_IN >= bad[agent.index()];
            if enough && *vote == Vote::Counts {
                *vote = Vote::Contradicted;
            }
            self.dissents.insert(&self.facts.lineup.agent_at(agent).node, dissents);
        }
    }

    /// Who denies a claim.
    fn dissent(&self, claim: &Claim) -> Option<Dissent> {
        let onset = self.first_onset(claim.place)?;
        let denial = self.denial(claim.agent, claim.stream, onset);
        let sight = self.facts.sight(claim.place).filter(|_| denial.paths > 0)?;
        let faults = || self.confirmed_faults(sight);
        let (_, first) = faults().min_by_key(|(_, it)| it.onset)?;
        let ended_lately = denial.was_shared && self.now < denial.since + echo::REFILL;
        Some(Dissent {
            stream: self.facts.lineup.id(claim.stream).clone(),
            peers: denial.paths,
            onset,
            since: first.arrived.max(denial.since),
            lingers: ended_lately || faults().all(|(kind, _)| kind == FaultKind::Stall),
        })
    }

    /// On which paths other than the agent's own a stream is seen well since a fault's onset. An active source is also seen
    /// through the channel's deliveries: what it feeds cannot be good while it is not. Before it was active they showed another.
    fn denial(&self, agent: AgentNo, stream: StreamNo, onset: MonoTime) -> Denial {
        let (facts, lineup) = (self.facts, &self.facts.lineup);
        let own_path = lineup.path_of(agent);
        let mut paths = BTreeSet::new();
        let mut denial = Denial { paths: 0, since: onset, was_shared: false };
        let mut ask = |asked: StreamNo, since: MonoTime| {
            for (place, peer) in lineup.watchers(asked) {
                let independent = lineup.path_of(peer) != own_path && self.counts(peer);
                if independent && self.word_at(place, peer, since) == Word::Good {
                    paths.insert(lineup.path_of(peer));
                    let sight = facts.sight(place);
                    let good_since = sight.and_then(Sight::good_since).unwrap_or(self.now);
                    denial.since = denial.since.max(good_since);
                    denial.was_shared |= sight.and_then(Sight::last_bad) >= Some(onset);
                }
            }
        };
        ask(stream, onset);
        if facts.is_feeding(stream) {
            let fed = onset.max(self.feeds_since(stream));
            for &delivery in lineup.deliveries_of(stream) {
                ask(delivery, fed + lineup.delay(delivery));
            }
        }
        Denial { paths: paths.len(), ..denial }
    }

    fn counts(&self, agent: AgentNo) -> bool {
        self.votes[agent.index()] == Vote::Counts
    }

    /// Whether an agent's word counts.
    pub(crate) fn votes(&self, node: &NodeId) -> bool {
        self.vote(node) == Vote::Counts
    }

    pub(crate) fn vote(&self, node: &NodeId) -> Vote {
        let agent = self.facts.lineup.agent_no(node);
        agent.map_or(Vote::Silent, |it| self.votes[it.index()])
    }

    /// What the agent at a place says about a stream since a moment of its own time.
    fn word_at(&self, place: usize, agent: AgentNo, since: MonoTime) -> Word {
        let glance = self.facts.glance(place);
        if !self.is_fresh_at(place, agent) {
            Word::Unknown
        } else if self.is_bad_at(place, agent) {
            Word::Bad
        } else if glance.has_conditions && glance.end > since {
            Word::Suspect
        } else if glance.is_observed && glance.start >= since {
            Word::Good
        } else {
            Word::Unknown
        }
    }

    /// What each agent says about a stream since a moment where the stream is seen.
    pub(crate) fn said(&self, stream: StreamNo, since: MonoTime) -> impl Iterator<Item = Said<'a>> {
        let facts = self.facts;
        facts.lineup.watchers(stream).filter_map(move |(place, agent)| {
            Some(Said {
                node: &facts.lineup.agent_at(agent).node,
                path: facts.lineup.path_of(agent),
                sight: facts.sight(place)?,
                word: self.word_at(place, agent, since),
                counts: self.counts(agent),
            })
        })
    }

    /// The numbers of the paths of those who watch a stream and whose word counts.
    pub(crate) fn voters(&self, stream: StreamNo) -> impl Iterator<Item = usize> {
        let lineup = &self.facts.lineup;
        let voters = lineup.watchers(stream).filter(|(_, agent)| self.counts(*agent));
        voters.map(|(_, agent)| lineup.path_of(agent))
    }

    /// What each agent with a vote sees of a stream.
    pub(crate) fn trusted(&self, stream: StreamNo) -> impl Iterator<Item = &'a Sight> {
        let facts = self.facts;
        let voters = facts.lineup.watchers(stream).filter(|(_, agent)| self.counts(*agent));
        voters.filter_map(|(place, _)| facts.sight(place))
    }

    /// What each agent with a vote sees of a stream of which it says something of the present, with the number of its path.
    pub(crate) fn current(&self, stream: StreamNo) -> impl Iterator<Item = (usize, &'a Sight)> {
        let (facts, lineup) = (self.facts, &self.facts.lineup);
        let is_current = |&(place, agent): &_| self.counts(agent) && self.is_fresh_at(place, agent);
        let current = lineup.watchers(stream).filter(is_current);
        current.filter_map(|(place, agent)| Some((lineup.path_of(agent), facts.sight(place)?)))
    }

    /// What agents with a vote say together since a moment at the source.
    pub(crate) fn state(&self, stream: &StreamId, since: MonoTime) -> State {
        let Some(no) = self.facts.lineup.no(stream) else { return State::Unknown };
        self.state_at(no, since + self.facts.lineup.delay(no))
    }

    /// What agents with a vote say together since a moment where the stream is seen.
    pub(crate) fn state_at(&self, stream: StreamNo, since: MonoTime) -> State {
        if let Some(state) = self.state_if_plain(stream, since) {
            return state;
        }
        if self.is_plainly_bad(stream) {
            return State::Bad;
        }
        let (mut bad, mut suspect, mut good) = (0, 0, 0);
        self.words(stream, since, |word| match word {
            Word::Bad => bad += 1,
            Word::Suspect => suspect += 1,
            Word::Good => good += 1,
            Word::Unknown => {}
        });
        match (bad + suspect).cmp(&good) {
            Ordering::Greater if bad > 0 => State::Bad,
            Ordering::Greater => State::Suspect,
            Ordering::Equal if good > 0 => State::Disputed,
            Ordering::Equal => State::Unknown,
            Ordering::Less => State::Good,
        }
    }

    /// The state of a stream of which nobody says anything bad: what most are, and large causes have thousands of.
    fn state_if_plain(&self, stream: StreamNo, since: MonoTime) -> Option<State> {
        if let Some(state) = self.state_if_well(stream, since) {
            return Some(state);
        }
        match self.calm(stream) {
            Some(calm) if calm.last < since => return Some(State::Unknown),
            Some(calm) if calm.first >= since && self.is_on_air(stream) => {
                return Some(State::Good);
            }
            _ => {}
        }
        let mut state = State::Unknown;
        for (place, agent) in self.facts.lineup.watchers(stream) {
            let glance = self.facts.glance(place);
            if glance.is_faulty || glance.has_conditions {
                return None;
            }
            if glance.is_observed && glance.start >= since && self.counts(agent) {
                let is_good = self.is_fresh_at(place, agent) && self.is_on_air(stream);
                state = if is_good { State::Good } else { state };
            }
        }
        Some(state)
    }

    /// Whether everybody whose word counts calls a stream bad: what most are of which somebody does.
    fn is_plainly_bad(&self, stream: StreamNo) -> bool {
        let mut said = self.facts.lineup.watchers(stream).filter(|(_, agent)| self.counts(*agent));
        let first = said.next().is_some_and(|(place, agent)| self.is_bad_at(place, agent));
        first && said.all(|(place, agent)| self.is_bad_at(place, agent)) && self.is_on_air(stream)
    }

    /// What all who watch a stream say of it, if each sees it well at present and the word of each counts.
    fn calm(&self, stream: StreamNo) -> Option<&Calm> {
        let calm = self.facts.calm(stream);
        let trusted = || self.trusted.get(calm.region as usize).is_some_and(|&it| it);
        let is_young = || facts::is_young(calm.spoken_of, self.now);
        (calm.holds && trusted() && is_young()).then_some(calm)
    }

    /// Whether all who watch a stream see it well since a moment: [`state_at`](Self::state_at), without looking closer.
    pub(crate) fn is_plainly_good(&self, stream: StreamNo, since: MonoTime) -> bool {
        let is_good = || self.calm(stream).is_some_and(|it| it.first >= since);
        match self.state_if_well(stream, since) {
            Some(state) => state == State::Good,
            None => is_good() && self.is_on_air(stream),
        }
    }

    /// The state of a stream that everybody sees well at present, where all of them have a vote: good if any has seen it since,
    /// else unknown. What thousands of streams are asked for, so it looks at one moment of each.
    pub(crate) fn state_if_well(&self, stream: StreamNo, since: MonoTime) -> Option<State> {
        let plain_from = self.plain_from.filter(|it| since > *it)?;
        let well_from = self.facts.well_from(stream);
        let state = if well_from >= since { State::Good } else { State::Unknown };
        (well_from > plain_from).then_some(state)
    }

    /// On how many independent paths a stream is seen well.
    pub(crate) fn good_paths(&self, stream: &StreamId) -> usize {
        let mut good = 0;
        if let Some(no) = self.facts.lineup.no(stream) {
            self.words(no, MonoTime::ZERO, |word| good += usize::from(word == Word::Good));
        }
        good
    }

    /// Tells what each path with a vote says since a moment where the stream is seen; nothing of what is off the air. Agents on
    /// one path are one vantage point; the worst of their words is its word.
    fn words(&self, stream: StreamNo, since: MonoTime, mut tell: impl FnMut(Word)) {
        if !self.is_on_air(stream) {
            return;
        }
        let lineup = &self.facts.lineup;
        let voters = || lineup.watchers(stream).filter(|(_, agent)| self.counts(*agent));
        for (i, (_, agent)) in voters().enumerate() {
            let path = lineup.path_of(agent);
            let is_of_path = |(_, other): &(usize, AgentNo)| lineup.path_of(*other) == path;
            if !voters().take(i).any(|it| is_of_path(&it)) {
                let own = voters().skip(i).filter(is_of_path);
                let words = own.map(|(place, agent)| self.word_at(place, agent, since));
                tell(words.max().unwrap_or(Word::Unknown));
            }
        }
    }

    /// Like [`state_at`](Self::state_at) since a cause can be seen, but what was bad long before its onset is another's.
    pub(crate) fn state_by(&self, stream: StreamNo, onset: MonoTime, since: MonoTime) -> State {
        match self.state_at(stream, since) {
            State::Bad if self.harms_since(stream).is_some_and(|it| it + ANOTHER_CAUSE < onset) => {
                State::Unknown
            }
            state => state,
        }
    }

    /// Since when a stream's faults can have been seen on others: of a source from when its channel was put on it.
    fn harms_since(&self, stream: StreamNo) -> Option<MonoTime> {
        let feeds_since = self.facts.is_feeding(stream).then(|| self.feeds_since(stream));
        self.onset_at(stream).map(|it| it.max(feeds_since.unwrap_or_default()))
    }

    /// Since when a stream's channel is on the source that it is on; `ZERO` if it was never seen on another.
    fn feeds_since(&self, stream: StreamNo) -> MonoTime {
        self.facts.fed_since(self.facts.lineup.channel_of(stream))
    }

    /// Whether agents agree that a stream is bad since the fault was first seen on it.
    pub(crate) fn is_bad(&self, stream: StreamNo) -> bool {
        self.is_plainly_bad(stream)
            || self.onset_at(stream).is_some_and(|it| self.state_at(stream, it) == State::Bad)
    }

    /// Whether anybody with a vote has spoken of a stream lately.
    pub(crate) fn is_watched(&self, stream: StreamNo) -> bool {
        if self.calm(stream).is_some() {
            return true;
        }
        let mut watchers = self.facts.lineup.watchers(stream);
        watchers.any(|(place, agent)| self.counts(agent) && self.is_fresh_at(place, agent))
    }

    /// Whether some path with a vote calls a stream bad while another one, which is heard, does not.
    pub(crate) fn is_lone_claim(&self, stream: StreamNo) -> bool {
        let mut words = BTreeMap::new();
        for (place, agent) in self.facts.lineup.watchers(stream) {
            if self.counts(agent) && self.is_fresh_at(place, agent) {
                let bad = self.is_bad_at(place, agent);
                *words.entry(self.facts.lineup.path_of(agent)).or_insert(false) |= bad;
            }
        }
        words.values().any(|&it| it) && words.values().any(|&it| !it)
    }

    /// A stream's current faults by agents with a vote.
    pub(crate) fn faults<'s>(
        &'s self,
        stream: &StreamId,
    ) -> impl Iterator<Item = (&'s NodeId, FaultKind, &'s Standing)> {
        self.facts.lineup.no(stream).into_iter().flat_map(|no| self.faults_at(no))
    }

    /// A stream's current faults by agents with a vote.
    pub(crate) fn faults_at(
        &self,
        stream: StreamNo,
    ) -> impl Iterator<Item = (&NodeId, FaultKind, &Standing)> {
        let lineup = &self.facts.lineup;
        let bad = lineup.watchers(stream).filter(|(_, agent)| self.counts(*agent)).filter_map(
            |(place, agent)| Some((&lineup.agent_at(agent).node, self.sight_of_bad(place, agent)?)),
        );
        bad.flat_map(|(node, sight)| {
            self.confirmed_faults(sight).map(move |(kind, it)| (node, kind, it))
        })
    }

    /// Whether a fault stands on the stream that an action may rest on. Without one a stream is no reason for an incident.
    pub(crate) fn is_worthy(&self, stream: &StreamId) -> bool {
        self.facts.lineup.no(stream).is_some_and(|no| self.is_worthy_at(no))
    }

    /// Whether a fault stands on the stream that an action may rest on.
    pub(crate) fn is_worthy_at(&self, stream: StreamNo) -> bool {
        self.faults_at(stream).any(|(_, kind, it)| kind.may_act(it.severity))
    }

    /// Whether what an agent sees at present has a fault that an action may rest on.
    pub(crate) fn shows_worthy(&self, sight: &Sight) -> bool {
        self.confirmed_faults(sight).any(|(kind, it)| kind.may_act(it.severity))
    }

    /// Whether a stream has a fault that no programme can be, by most of the paths that are heard of it: where one path alone
    /// adds such a fault to what all see, it has it from its own network. A condition of the present agrees with what another
    /// path declared.
    pub(crate) fn has_hard_fault(&self, stream: &StreamId) -> bool {
        let Some(no) = self.facts.lineup.no(stream) else { return false };
        let is_hard = |kind: FaultKind, it| !kind.is_differential() && kind.may_act(it);
        let (mut paths, mut is_declared) = (BTreeMap::new(), false);
        for (place, agent) in self.facts.lineup.watchers(no) {
            if !self.counts(agent) || !self.is_fresh_at(place, agent) {
                continue;
            }
            let Some(sight) = self.facts.sight(place) else { continue };
            let declares =
                self.confirmed_faults(sight).any(|(kind, it)| is_hard(kind, it.severity));
            let is_undeclared = |kind| sight.faults().all(|(known, _)| known != kind);
            let shows = sight.latest().is_some_and(|seen| {
                seen.conditions
                    .iter()
                    .any(|it| is_undeclared(it) && is_hard(it, Severity::Critical))
            });
            is_declared |= declares;
            *paths.entry(self.facts.lineup.path_of(agent)).or_insert(false) |= declares || shows;
        }
        let hard = paths.values().filter(|it| **it).count();
        is_declared && hard * 2 > paths.len()
    }

    /// When a stream's faulty media was first seen to be produced. The cause is at least as old: what a delivery's packets or
    /// segments show is late by anything up to its delay, so the earliest of these over a cause's streams is the safest
    /// estimate of its onset, and adding a stream's delay to it never calls media from before the fault good.
    pub(crate) fn onset(&self, stream: &StreamId) -> Option<MonoTime> {
        self.onset_at(self.facts.lineup.no(stream)?)
    }

    pub(crate) fn onset_at(&self, stream: StreamNo) -> Option<MonoTime> {
        if self.facts.well_from(stream) > MonoTime::ZERO {
            return None;
        }
        let watchers = self.facts.lineup.watchers(stream);
        let bad =
            watchers.filter(|&(place, agent)| self.counts(agent) && self.is_bad_at(place, agent));
        bad.filter_map(|(place, _)| self.first_onset(place)).min()
    }

    /// The earliest moment at which the cause of a stream's faults can have begun, at the source. Where only a player is dry, or a
    /// playlist stands still, it is earlier by what they had left.
    pub(crate) fn earliest_onset(&self, stream: StreamNo) -> Option<MonoTime> {
        let delay = self.facts.lineup.delay(stream);
        let first = |left_over: bool| {
            let faults = self.faults_at(stream);
            let of_kind = faults.filter(move |(_, kind, _)| echo::is_left_over(*kind) == left_over);
            of_kind.map(|(_, _, it)| it.onset).min()
        };
        let onset = first(false).or_else(|| first(true).map(|it| it - echo::REFILL));
        onset.map(|it| it - delay)
    }

    /// Kinds that stand on a stream, or whose condition holds in the latest slice of an agent with a vote.
    pub(crate) fn kinds(&self, stream: &StreamId) -> KindSet {
        let Some(no) = self.facts.lineup.no(stream) else { return KindSet::default() };
        let standing = self.faults_at(no).map(|(_, kind, _)| kind);
        let latest = self.current(no).filter_map(|(_, sight)| sight.latest());
        standing.chain(latest.flat_map(|seen| seen.conditions.iter())).collect()
    }

    /// The network path of an agent: what makes two witnesses independent, together with their nodes.
    pub(crate) fn path(&self, node: &NodeId) -> Option<&'a str> {
        self.facts.lineup.agent(node).map(|it| it.path.as_str())
    }
}
