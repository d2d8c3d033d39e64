//! What is asked of a lineup again and again, worked out once: a number for each stream and agent, and what shares its fate.
//!
//! Numbers follow the order of ids. They hold for one lineup only, so nothing keeps them beyond it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use tallylight_model::{ProviderId, RegionId, ServerId, StreamId};

use super::{Agent, Channel, Region, Server};

/// A stream of the lineup in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamNo(u32);

/// An agent of the lineup in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AgentNo(u32);

impl StreamNo {
    fn of(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl AgentNo {
    pub(super) fn of(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a stream is in its channel, by index there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Source(usize),
    Delivery { at: usize, server: usize },
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: StreamId,
    /// Index of its channel.
    pub(super) channel: usize,
    pub(super) slot: Slot,
    /// Index of the region it is seen from.
    region: usize,
    /// The first of its sights: it has one for each agent of its region.
    first: usize,
}

/// The streams of a channel, each list in the channel's own order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    pub(crate) sources: Vec<StreamNo>,
    pub(crate) deliveries: Vec<StreamNo>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) entries: Vec<Entry>,
    /// Agents by region.
    watchers: Vec<Vec<AgentNo>>,
    /// A number for each agent's path.
    paths: Vec<usize>,
    sights: usize,
    on_server: BTreeMap<ServerId, Vec<StreamNo>>,
    in_region: BTreeMap<RegionId, Vec<StreamNo>>,
    of_provider: BTreeMap<ProviderId, Vec<StreamNo>>,
    /// By channel.
    pub(super) streams: Vec<Streams>,
    /// Regions with deliveries, by channel.
    pub(super) regions_of: Vec<BTreeSet<RegionId>>,
}

impl Index {
    /// All lists are by id, and every reference in them resolves.
    pub(super) fn new(
        regions: &BTreeMap<RegionId, Region>,
        servers: &[Server],
        agents: &[Agent],
        channels: &[Channel],
    ) -> Self {
        let numbers: BTreeMap<&RegionId, usize> = regions.keys().zip(0..).collect();
        let number = |region: &RegionId| numbers.get(region).copied().unwrap_or(usize::MAX);
        let mut new = Self { paths: paths(agents), ..Self::default() };
        new.watchers.resize(regions.len(), Vec::new());
        for (i, agent) in agents.iter().enumerate() {
            new.watchers[number(&agent.region)].push(AgentNo::of(i));
        }
        for (at, channel) in channels.iter().enumerate() {
            new.regions_of.push(BTreeSet::new());
            for (i, source) in channel.sources.iter().enumerate() {
                let (id, region) = (source.stream.clone(), number(&source.region));
                new.entries.push(Entry {
                    id,
                    channel: at,
                    slot: Slot::Source(i),
                    region,
                    first: 0,
                });
            }
            for (i, delivery) in channel.deliveries.iter().enumerate() {
                let server = servers.binary_search_by(|it| it.id.cmp(&delivery.server));
                let Ok(server) = server else { continue };
                new.regions_of[at].insert(servers[server].region.clone());
                let (id, region) = (delivery.stream.clone(), number(&servers[server].region));
                let slot = Slot::Delivery { at: i, server };
                new.entries.push(Entry { id, channel: at, slot, region, first: 0 });
            }
        }
        new.entries.sort_by(|a, b| a.id.cmp(&b.id));
        for entry in &mut new.entries {
            entry.first = new.sights;
            new.sights += new.watchers[entry.region].len();
        }
        new.group(servers, channels);
        new
    }

    fn group(&mut self, servers: &[Server], channels: &[Channel]) {
        for channel in channels {
            let sources = channel.sources.iter().filter_map(|it| self.no(&it.stream));
            let deliveries = channel.deliveries.iter().filter_map(|it| self.no(&it.stream));
            let streams = Streams { sources: sources.collect(), deliveries: deliveries.collect() };
            self.streams.push(streams);
        }
        for (i, entry) in self.entries.iter().enumerate() {
            let no = StreamNo::of(i);
            match entry.slot {
                Slot::Source(at) => {
                    if let Some(provider) = &channels[entry.channel].sources[at].provider {
                        self.of_provider.entry(provider.clone()).or_default().push(no);
                    }
                }
                Slot::Delivery { server, .. } => {
                    let Server { id, region, .. } = &servers[server];
                    self.on_server.entry(id.clone()).or_default().push(no);
                    self.in_region.entry(region.clone()).or_default().push(no);
                }
            }
        }
    }

    pub(super) fn no(&self, id: &StreamId) -> Option<StreamNo> {
        self.entries.binary_search_by(|it| it.id.cmp(id)).ok().map(StreamNo::of)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = StreamNo> + use<> {
        (0..self.entries.len()).map(StreamNo::of)
    }

    /// The agents that watch a stream, with the place of what each sees among all sights of the lineup.
    pub(super) fn watchers(&self, no: StreamNo) -> impl Iterator<Item = (usize, AgentNo)> + Clone {
        let entry = &self.entries[no.index()];
        self.watchers[entry.region].iter().enumerate().map(|(i, &agent)| (entry.first + i, agent))
    }

    pub(super) const fn sights(&self) -> usize {
        self.sights
    }

    pub(super) fn path(&self, agent: AgentNo) -> usize {
        self.paths[agent.index()]
    }

    pub(super) fn on_server(&self, id: &ServerId) -> &[StreamNo] {
        self.on_server.get(id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn in_region(&self, id: &RegionId) -> &[StreamNo] {
        self.in_region.get(id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn of_provider(&self, id: &ProviderId) -> &[StreamNo] {
        self.of_provider.get(id).map_or(&[], Vec::as_slice)
    }
}

fn paths(agents: &[Agent]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    for agent in agents {
        let next = numbers.len();
        numbers.entry(&agent.path).or_insert(next);
    }
    agents.iter().map(|it| numbers[&it.path]).collect()
}
