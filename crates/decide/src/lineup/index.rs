//! What is asked of a lineup again and again, worked out once: a number for each stream and agent, and what shares its fate.
//!
//! Numbers follow the order of ids. They hold for one lineup only, so nothing keeps them beyond it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use core::time::Duration;

use tallylight_model::{EncoderId, ProviderId, RegionId, ServerId, StreamId};

use super::{Agent, Channel, Region, Server, table::Table};

/// A stream of the lineup in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamNo(u32);

/// An agent of the lineup in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AgentNo(u32);

impl StreamNo {
    pub(super) fn of(index: usize) -> Self {
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
    pub(super) region: usize,
    /// The first of its sights: it has one for each agent of its region.
    first: usize,
    /// Of a delivery: see [`Index::cells`].
    pub(super) cell: Option<usize>,
}

/// The streams of a channel, each list in the channel's own order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    pub(crate) sources: Vec<StreamNo>,
    pub(crate) deliveries: Vec<StreamNo>,
    /// The same by number.
    pub(crate) in_order: Vec<StreamNo>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) entries: Vec<Entry>,
    /// From production to being seen, by stream.
    pub(super) delays: Vec<Duration>,
    numbers: Table,
    /// The places of channels.
    pub(super) channels: Table,
    /// Agents by region.
    pub(super) watchers: Vec<Vec<AgentNo>>,
    /// A number for each agent's path.
    paths: Vec<usize>,
    sights: usize,
    on_server: BTreeMap<ServerId, Vec<StreamNo>>,
    in_region: BTreeMap<RegionId, Vec<StreamNo>>,
    of_provider: BTreeMap<ProviderId, Vec<StreamNo>>,
    /// Channels, by encoder.
    on_encoder: BTreeMap<EncoderId, Vec<usize>>,
    /// By channel.
    pub(super) streams: Vec<Streams>,
    /// Each channel, by its place, in each region where it is delivered, in order.
    pub(super) cells: Vec<(usize, RegionId)>,
    /// Regions with deliveries, by channel.
    pub(super) regions_of: Vec<BTreeSet<RegionId>>,
    /// How many channels are delivered in each region.
    pub(super) channels_in: BTreeMap<RegionId, usize>,
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
                    cell: None,
                });
            }
            for (i, delivery) in channel.deliveries.iter().enumerate() {
                let server = servers.binary_search_by(|it| it.id.cmp(&delivery.server));
                let Ok(server) = server else { continue };
                new.regions_of[at].insert(servers[server].region.clone());
                let (id, region) = (delivery.stream.clone(), number(&servers[server].region));
                let slot = Slot::Delivery { at: i, server };
                let (first, cell) = (0, None);
                new.entries.push(Entry { id, channel: at, slot, region, first, cell });
            }
        }
        for (at, regions) in new.regions_of.iter().enumerate() {
            new.cells.extend(regions.iter().map(|it| (at, it.clone())));
        }
        for entry in &mut new.entries {
            if let Slot::Delivery { server, .. } = entry.slot {
                entry.cell = cell(&new.cells, entry.channel, &servers[server].region);
            }
        }
        new.entries.sort_by(|a, b| a.id.cmp(&b.id));
        let delay = |it: &Entry| match it.slot {
            Slot::Source(_) => Duration::ZERO,
            Slot::Delivery { at, .. } => channels[it.channel].deliveries[at].delay,
        };
        new.delays = new.entries.iter().map(delay).collect();
        new.numbers = Table::new(new.entries.iter().map(|it| it.id.as_str()));
        new.channels = Table::new(channels.iter().map(|it| it.id.as_str()));
        for entry in &mut new.entries {
            entry.first = new.sights;
            new.sights += new.watchers[entry.region].len();
        }
        new.group(servers, channels);
        new
    }

    fn group(&mut self, servers: &[Server], channels: &[Channel]) {
        for (at, channel) in channels.iter().enumerate() {
            if let Some(encoder) = &channel.encoder {
                self.on_encoder.entry(encoder.clone()).or_default().push(at);
            }
            let sources = channel.sources.iter().filter_map(|it| self.no(&it.stream));
            let deliveries = channel.deliveries.iter().filter_map(|it| self.no(&it.stream));
            let (sources, deliveries) = (sources.collect(), deliveries.collect::<Vec<_>>());
            let mut in_order = deliveries.clone();
            in_order.sort_unstable();
            self.streams.push(Streams { sources, deliveries, in_order });
        }
        for region in self.regions_of.iter().flatten() {
            *self.channels_in.entry(region.clone()).or_default() += 1;
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
        self.numbers.find(id.as_str(), |at| self.entries[at].id == *id).map(StreamNo::of)
    }

    pub(super) fn after(&self, id: Option<&StreamId>) -> impl Iterator<Item = StreamNo> + use<> {
        let first = self.entries.partition_point(|it| id.is_some_and(|id| it.id <= *id));
        (first..self.entries.len()).map(StreamNo::of)
    }

    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = StreamNo> + use<> {
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

    pub(super) fn on_encoder(&self, id: &EncoderId) -> &[usize] {
        self.on_encoder.get(id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn of_provider(&self, id: &ProviderId) -> &[StreamNo] {
        self.of_provider.get(id).map_or(&[], Vec::as_slice)
    }
}

/// The place of a channel in a region among all such.
pub(super) fn cell(
    cells: &[(usize, RegionId)],
    channel: usize,
    region: &RegionId,
) -> Option<usize> {
    cells.binary_search_by(|(at, it)| (at, it).cmp(&(&channel, region))).ok()
}

fn paths(agents: &[Agent]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    for agent in agents {
        let next = numbers.len();
        numbers.entry(&agent.path).or_insert(next);
    }
    agents.iter().map(|it| numbers[&it.path]).collect()
}
