//! The truth: which stream shows what at which moment.
//!
//! It is a function of what was drawn (troubles with their times) and of what was done (a [`History`]), so the same world can
//! be asked what its viewers would have got had nobody done anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tallylight_decide::lineup::{Lineup, StreamRef};
use tallylight_model::{
    ChannelId, EncoderId, FaultKind, MonoTime, NodeId, RegionId, ServerId, StreamId,
};

pub use super::demo::{
    channel, demo_lineup, demo_parts, demo_site, encoder, node, parts, provider, region, server,
    stream,
};

/// Kinds of condition that hold on a stream at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions(u64);

const _: () = assert!(FaultKind::ALL.len() <= u64::BITS as usize, "a bit for each kind");

impl Conditions {
    /// Nothing is wrong.
    pub const NONE: Self = Self(0);

    /// Answers these and one more.
    #[must_use]
    pub const fn with(self, kind: FaultKind) -> Self {
        Self(self.0 | 1 << kind as u64)
    }

    /// Answers these and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is one of these.
    #[must_use]
    pub const fn contains(self, kind: FaultKind) -> bool {
        self.0 & 1 << kind as u64 != 0
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those for which the answer is yes.
    #[must_use]
    pub fn only(self, keep: impl Fn(FaultKind) -> bool) -> Self {
        self.iter().filter(|&it| keep(it)).collect()
    }

    /// One by one.
    pub fn iter(self) -> impl Iterator<Item = FaultKind> {
        let kinds = if self.is_empty() { &[][..] } else { FaultKind::ALL };
        kinds.iter().copied().filter(move |&it| self.contains(it))
    }
}

impl FromIterator<FaultKind> for Conditions {
    fn from_iter<T: IntoIterator<Item = FaultKind>>(kinds: T) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

/// How a server delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Packets as they come.
    Packets,
    /// Segments of so many whole seconds, fetched when complete.
    Segments(u64),
}

/// What can be wrong, over a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A source shows a condition.
    Source(StreamId, FaultKind),
    /// A delivery alone shows a condition.
    Delivery(StreamId, FaultKind),
    /// A source looks good, and what is made of it is not.
    Unfit(StreamId, FaultKind),
    /// A channel's processing hangs: nothing comes out of it. Restarting it ends it.
    Hang(ChannelId),
    /// What a channel's processing makes shows a condition. Restarting it ends it.
    Sick(ChannelId, FaultKind),
    /// An encoder hangs: nothing comes out of it for any of its channels. Restarting it ends it, a channel of it does not.
    Stuck(EncoderId),
    /// A server is dead.
    Dead(ServerId),
    /// A server serves nothing. Restarting it ends it.
    Wedged(ServerId),
    /// A server serves nothing while it has so much of its viewers, in percent, or more.
    Feeble(ServerId, u8),
    /// Segments of a server take this much longer to fetch.
    Slow(ServerId, Duration),
    /// The way to a region loses packets.
    Lossy(RegionId),
    /// The way to a region is cut.
    Dark(RegionId),
    /// An agent's own host drops packets.
    Drops(NodeId),
    /// An agent's own way to servers is cut.
    Cut(NodeId),
    /// An agent says nothing.
    Mute(NodeId),
    /// An agent decodes nothing.
    Blind(NodeId),
    /// An agent's own host is used to nine tenths.
    Busy(NodeId),
    /// An agent claims a condition on one in so many streams, where there is none.
    Lies(NodeId, FaultKind, u64),
    /// An agent sees nothing wrong with anything.
    Deaf(NodeId),
}

impl Trouble {
    /// The agent that it is of, if it is one's own.
    #[must_use]
    pub const fn agent(&self) -> Option<&NodeId> {
        match self {
            Self::Drops(node)
            | Self::Cut(node)
            | Self::Mute(node)
            | Self::Blind(node)
            | Self::Busy(node)
            | Self::Lies(node, ..)
            | Self::Deaf(node) => Some(node),
            _ => None,
        }
    }
}

/// A trouble with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From when.
    pub from: MonoTime,
    /// To when.
    pub to: MonoTime,
    /// What.
    pub what: Trouble,
}

impl Event {
    pub(super) fn holds(&self, at: MonoTime) -> bool {
        self.from <= at && at < self.to
    }
}

/// What stands where, and how it delivers.
#[derive(Clone, Debug)]
pub struct Site {
    /// The lineup.
    pub lineup: Lineup,
    /// How each server delivers.
    pub forms: BTreeMap<ServerId, Form>,
    /// Servers that an agent's own cut way does not matter to.
    pub multicast: BTreeSet<ServerId>,
}

/// What was done to the platform, by whomever.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Which source each channel was put on when, oldest first.
    switched: BTreeMap<ChannelId, Vec<(MonoTime, StreamId)>>,
    /// When each channel's processing was restarted.
    restarted: BTreeMap<ChannelId, Vec<MonoTime>>,
    /// When each encoder was.
    encoders: BTreeMap<EncoderId, Vec<MonoTime>>,
    /// When each server was.
    servers: BTreeMap<ServerId, Vec<MonoTime>>,
    /// How much of its viewers each server got when, in percent, oldest first.
    shares: BTreeMap<ServerId, Vec<(MonoTime, u8)>>,
}

impl History {
    pub(super) fn switch(&mut self, at: MonoTime, channel: &ChannelId, to: StreamId) {
        self.switched.entry(channel.clone()).or_default().push((at, to));
    }
}

/// A probed stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) channel: ChannelId,
    pub(super) region: RegionId,
    /// What serves it; `None` of a source.
    pub(super) server: Option<ServerId>,
    pub(super) form: Form,
    /// How late it really is: what was stated is the most, half of it is usual.
    pub(super) lag: Duration,
    /// The events that can show on it, by index.
    pub(super) events: Vec<usize>,
}

/// The platform with everything that will go wrong with it.
#[derive(Debug)]
pub struct Platform {
    /// What stands where.
    pub site: Site,
    /// What goes wrong.
    pub events: Vec<Event>,
    /// What was done.
    pub history: History,
    pub(super) streams: Vec<Stream>,
    /// Counts changes of the history.
    pub(super) changes: u64,
}

/// How long a restart leaves a channel without output.
const RESTART: Duration = Duration::from_millis(800);

impl Platform {
    /// Every channel starts on its first source.
    #[must_use]
    pub fn new(site: Site, events: Vec<Event>) -> Self {
        let streams = site.lineup.streams().map(|(id, found)| {
            let server = match found {
                StreamRef::Source(..) => None,
                StreamRef::Delivery(.., server) => Some(server.id.clone()),
            };
            let form = server.as_ref().and_then(|it| site.forms.get(it));
            Stream {
                id: id.clone(),
                channel: found.channel().id.clone(),
                region: found.region().clone(),
                form: form.copied().unwrap_or(Form::Packets),
                lag: found.delay() / 2,
                events: touching(&events, id, found),
                server,
            }
        });
        let streams = streams.collect();
        Self { site, events, history: History::default(), streams, changes: 0 }
    }

    /// The lineup.
    #[must_use]
    pub const fn lineup(&self) -> &Lineup {
        &self.site.lineup
    }

    /// The source that a channel is on at a moment.
    #[must_use]
    pub fn active(&self, channel: &ChannelId, at: MonoTime) -> Option<&StreamId> {
        self.active_by(&self.history, channel, at)
    }

    pub(super) fn active_by<'a>(
        &'a self,
        history: &'a History,
        channel: &ChannelId,
        at: MonoTime,
    ) -> Option<&'a StreamId> {
        let changes = history.switched.get(channel).map_or(&[][..], Vec::as_slice);
        let last = changes.iter().rev().find(|(since, _)| *since <= at).map(|it| &it.1);
        last.or_else(|| Some(&self.site.lineup.channel(channel)?.sources.first()?.stream))
    }

    /// Puts a channel on a source.
    pub fn switch(&mut self, at: MonoTime, channel: &ChannelId, to: StreamId) {
        self.history.switch(at, channel, to);
        self.changes += 1;
    }

    /// Restarts a channel's processing, which ends its hang.
    pub fn restart(&mut self, at: MonoTime, channel: &ChannelId) {
        self.history.restarted.entry(channel.clone()).or_default().push(at);
        self.changes += 1;
    }

    /// Restarts an encoder with all that runs on it.
    pub fn restart_encoder(&mut self, at: MonoTime, encoder: &EncoderId) {
        let channels: Vec<ChannelId> =
            self.site.lineup.channels_on(encoder).map(|it| it.id.clone()).collect();
        channels.iter().for_each(|it| self.restart(at, it));
        self.history.encoders.entry(encoder.clone()).or_default().push(at);
    }

    /// Restarts what serves a server's deliveries.
    pub fn restart_server(&mut self, at: MonoTime, server: &ServerId) {
        self.history.servers.entry(server.clone()).or_default().push(at);
        self.changes += 1;
    }

    /// Sends a server so much of its viewers, in percent.
    pub fn load(&mut self, at: MonoTime, server: &ServerId, share: u8) {
        self.history.shares.entry(server.clone()).or_default().push((at, share));
        self.changes += 1;
    }

    /// What a viewer finds wrong with a stream's media that comes to where it is seen at a moment.
    pub(super) fn shows(&self, history: &History, stream: usize, at: MonoTime) -> Conditions {
        let stream = &self.streams[stream];
        let mut shown = Conditions::NONE;
        let made = at - stream.lag;
        let active = self.active_by(history, &stream.channel, made);
        let restarts = history.restarted.get(&stream.channel).map_or(&[][..], Vec::as_slice);
        let mut silent =
            stream.server.is_some() && restarts.iter().any(|&it| it <= made && made < it + RESTART);
        let mut lossy = false;
        for event in stream.events.iter().map(|&it| &self.events[it]) {
            let mended = || restarts.iter().any(|it| event.from <= *it && *it <= made);
            match &event.what {
                Trouble::Source(id, kind) if *id == stream.id && event.holds(at) => {
                    shown = shown.with(*kind);
                }
                Trouble::Source(id, kind) | Trouble::Unfit(id, kind)
                    if stream.server.is_some() && active == Some(id) && event.holds(made) =>
                {
                    shown = shown.with(*kind);
                }
                Trouble::Stuck(id) => {
                    let mut restarts = history.encoders.get(id).into_iter().flatten();
                    let mended = restarts.any(|it| event.from <= *it && *it <= made);
                    silent |= event.holds(made) && !mended;
                }
                Trouble::Wedged(id) if event.holds(at) => {
                    let mut restarts = history.servers.get(id).into_iter().flatten();
                    if !restarts.any(|it| event.from <= *it && *it <= at) {
                        return Conditions::NONE.with(FaultKind::Unreachable);
                    }
                }
                Trouble::Feeble(id, bears) if event.holds(at) => {
                    let mut shares = history.shares.get(id).into_iter().flatten().rev();
                    let share = shares.find(|it| it.0 <= at).map_or(100, |it| it.1);
                    if share >= *bears {
                        return Conditions::NONE.with(FaultKind::Unreachable);
                    }
                }
                Trouble::Hang(_) => silent |= event.holds(made) && !mended(),
                Trouble::Sick(_, kind) if event.holds(made) && !mended() => {
                    shown = shown.with(*kind);
                }
                Trouble::Delivery(_, kind) if event.holds(at) => shown = shown.with(*kind),
                Trouble::Lossy(_) => lossy |= event.holds(at),
                Trouble::Dead(_) | Trouble::Dark(_) if event.holds(at) => {
                    return Conditions::NONE.with(FaultKind::Unreachable);
                }
                _ => {}
            }
        }
        if silent {
            return shown
                .only(|it| it.rule().layer == tallylight_model::Layer::Delivery)
                .with(FaultKind::NoData);
        }
        if lossy { shown.with(FaultKind::Continuity) } else { shown }
    }

    /// Whether nothing comes of a source at a moment.
    pub(super) fn lacks_packets(&self, source: &StreamId, at: MonoTime) -> bool {
        let is_it =
            |it: &Trouble| matches!(it, Trouble::Source(id, FaultKind::NoData) if id == source);
        self.events.iter().any(|it| it.holds(at) && is_it(&it.what))
    }

    /// How much longer a segment of a stream takes to fetch at a moment.
    pub(super) fn slow(&self, stream: usize, at: MonoTime) -> Duration {
        let events = self.streams[stream].events.iter().map(|&it| &self.events[it]);
        let slow = events.filter(|it| it.holds(at)).filter_map(|it| match it.what {
            Trouble::Slow(_, by) => Some(by),
            _ => None,
        });
        slow.max().unwrap_or_default()
    }

    /// The next moment at which what a stream shows can change, as far as it is known.
    pub(super) fn changes_at(&self, stream: usize, after: MonoTime) -> MonoTime {
        let stream = &self.streams[stream];
        let history = &self.history;
        let switches = history.switched.get(&stream.channel).into_iter().flatten();
        let restarts = history.restarted.get(&stream.channel).into_iter().flatten();
        let server = stream.server.as_ref();
        let served = server.and_then(|it| history.servers.get(it)).into_iter().flatten();
        let shares = server.and_then(|it| history.shares.get(it)).into_iter().flatten();
        let done = switches.map(|it| it.0).chain(restarts.flat_map(|&it| [it, it + RESTART]));
        let done = done.chain(served.copied()).chain(shares.map(|it| it.0));
        let events = stream.events.iter().map(|&it| &self.events[it]);
        let bounds = events.flat_map(|it| [it.from, it.to]).chain(done);
        let late = bounds.flat_map(|it| [it, it + stream.lag]);
        late.filter(|it| *it > after).min().unwrap_or(MonoTime::from_nanos(u64::MAX))
    }
}

/// The events that can show on a stream.
fn touching(events: &[Event], id: &StreamId, found: StreamRef<'_>) -> Vec<usize> {
    let is_source_of = |it: &StreamId| found.channel().sources.iter().any(|s| s.stream == *it);
    let touches = |what: &Trouble| match (what, found) {
        (Trouble::Source(it, _), StreamRef::Source(..)) => it == id,
        (Trouble::Source(it, _) | Trouble::Unfit(it, _), StreamRef::Delivery(..)) => {
            is_source_of(it)
        }
        (Trouble::Delivery(it, _), StreamRef::Delivery(..)) => it == id,
        (Trouble::Hang(it) | Trouble::Sick(it, _), StreamRef::Delivery(channel, ..)) => {
            *it == channel.id
        }
        (Trouble::Stuck(it), StreamRef::Delivery(channel, ..)) => {
            channel.encoder.as_ref() == Some(it)
        }
        (
            Trouble::Dead(it) | Trouble::Slow(it, _) | Trouble::Wedged(it) | Trouble::Feeble(it, _),
            StreamRef::Delivery(.., server),
        ) => *it == server.id,
        (Trouble::Lossy(it) | Trouble::Dark(it), StreamRef::Delivery(.., server)) => {
            *it == server.region
        }
        _ => false,
    };
    (0..events.len()).filter(|&it| touches(&events[it].what)).collect()
}
