//! Draws a platform: from one server and one agent to 6 regions, 40 servers, 500 channels and 10 providers.
//!
//! Sizes are drawn evenly by magnitude and mostly small, because a small platform has the hard questions: who watches at all,
//! and is there a second of anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tallylight_decide::lineup::{
    Agent, Channel, Delivery, Encoder, Parts, Provider, Region, Server, SingleWitness, Source,
    SourceRole,
};
use tallylight_model::{EncoderId, ProviderId, RegionId, ServerId};

use super::{
    Dice,
    platform::{Form, channel, encoder, node, provider, region, server, stream},
};

/// What was drawn.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) parts: Parts,
    pub(super) forms: BTreeMap<ServerId, Form>,
    pub(super) multicast: BTreeSet<ServerId>,
    /// Whether the panel can restart servers and encoders.
    pub(super) restarts_services: bool,
}

/// So many channels are many.
const LARGE: u64 = 40;

/// How large a platform is.
struct Size {
    channels: u64,
    regions: u64,
    /// In each region from one up to this, or about this where regions are large.
    servers: u64,
    providers: u64,
}

impl Size {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(1000) {
            0..940 => Self {
                channels: dice.magnitude(1, 12),
                regions: 1 + dice.below(3),
                servers: 1 + dice.below(3),
                providers: 1 + dice.below(3),
            },
            940..996 => Self {
                channels: dice.magnitude(12, LARGE - 1),
                regions: 1 + dice.below(4),
                servers: 1 + dice.below(5),
                providers: 2 + dice.below(5),
            },
            _ => Self {
                channels: dice.magnitude(LARGE, 500),
                regions: 2 + dice.below(5),
                servers: 2 + dice.below(6),
                providers: 2 + dice.below(9),
            },
        }
    }
}

impl Size {
    fn in_region(&self, dice: &mut Dice) -> u64 {
        if self.channels < LARGE {
            1 + dice.below(self.servers)
        } else {
            self.servers - dice.below(2)
        }
    }
}

/// Draws one.
pub(super) fn draw(dice: &mut Dice) -> Drawn {
    let size = Size::draw(dice);
    if dice.one_in(20) {
        return with_one_agent(dice, &size);
    }
    let mut parts = Parts { regions: vec![Region { id: region("headend") }], ..Parts::default() };
    let witnesses = dice.pick(&[0, 1, 1, 1, 1, 2, 2, 2, 3, 3]);
    agents(dice, &mut parts, &region("headend"), witnesses);
    for r in 1..=size.regions {
        let id = region(&format!("r{r}"));
        parts.regions.push(Region { id: id.clone() });
        let witnesses = dice.pick(&[0, 1, 1, 2, 2, 2, 2, 3, 3, 4]);
        agents(dice, &mut parts, &id, witnesses);
        for s in 1..=size.in_region(dice) {
            parts.servers.push(Server {
                id: server(&format!("r{r}-s{s}")),
                region: id.clone(),
                node: None,
            });
        }
    }
    finish(dice, parts, &size, &region("headend"), SingleWitness::Refused)
}

/// Everything in one place, and one agent that sees it.
fn with_one_agent(dice: &mut Dice, size: &Size) -> Drawn {
    let home = region("home");
    let mut parts = Parts { regions: vec![Region { id: home.clone() }], ..Parts::default() };
    agents(dice, &mut parts, &home, 1);
    for s in 1..=1 + dice.below(size.servers) {
        parts.servers.push(Server {
            id: server(&format!("s{s}")),
            region: home.clone(),
            node: None,
        });
    }
    let witness = dice.pick(&[SingleWitness::Refused, SingleWitness::Allowed]);
    finish(dice, parts, size, &home, witness)
}

/// Agents of a region, now and then two on one path.
fn agents(dice: &mut Dice, parts: &mut Parts, region: &RegionId, count: u64) {
    for a in 1..=count {
        let shared = a > 1 && dice.one_in(7);
        parts.agents.push(Agent {
            node: node(&format!("{region}-a{a}")),
            region: region.clone(),
            path: format!("{region}-isp-{}", if shared { a - 1 } else { a }),
        });
    }
}

fn finish(
    dice: &mut Dice,
    mut parts: Parts,
    size: &Size,
    headend: &RegionId,
    single_witness: SingleWitness,
) -> Drawn {
    let providers: Vec<ProviderId> =
        (1..=size.providers).map(|it| provider(&format!("p{it}"))).collect();
    parts.providers = providers.iter().map(|id| Provider { id: id.clone() }).collect();
    let mut forms = BTreeMap::new();
    let mut multicast = BTreeSet::new();
    let mut delays = BTreeMap::new();
    for server in &parts.servers {
        let form = match dice.below(10) {
            0..4 => Form::Packets,
            _ => Form::Segments(dice.pick(&[2, 4, 6, 10])),
        };
        if form == Form::Packets && dice.one_in(3) {
            multicast.insert(server.id.clone());
        }
        forms.insert(server.id.clone(), form);
        let most = if dice.one_in(6) { 40_000 } else { 5_000 };
        delays.insert(server.id.clone(), Duration::from_millis(dice.magnitude(300, most)));
    }
    let fail_back = dice.one_in(4).then(|| Duration::from_secs(dice.magnitude(15, 60)));
    let racks = encoders(dice, size);
    for c in 1..=size.channels {
        let name = format!("c{c:03}");
        let sources = sources(dice, &name, &providers, headend);
        let deliveries = places(dice, &parts)
            .into_iter()
            .map(|id| Delivery {
                stream: stream(&format!("{name}/{id}")),
                delay: delays[&id],
                server: id,
            })
            .collect();
        parts.channels.push(Channel {
            id: channel(&name),
            name,
            kind: Default::default(),
            profile: Default::default(),
            encryption: Default::default(),
            audio: Vec::new(),
            single_witness,
            programme_match: Default::default(),
            fail_back,
            encoder: racks[(c - 1) as usize].clone(),
            sources,
            deliveries,
        });
    }
    let used: BTreeSet<EncoderId> = racks.into_iter().flatten().collect();
    parts.encoders = used.into_iter().map(|id| Encoder { id }).collect();
    Drawn { parts, forms, multicast, restarts_services: dice.one_in(2) }
}

/// What channels share between source and delivery: on most platforms nothing is listed, on others two to eight share an encoder.
fn encoders(dice: &mut Dice, size: &Size) -> Vec<Option<EncoderId>> {
    let mut racks = vec![None; size.channels as usize];
    if !dice.one_in(3) {
        return racks;
    }
    let (mut at, mut number) = (0, 1);
    while at < racks.len() {
        let many = dice.magnitude(2, 8) as usize;
        let id = encoder(&format!("e{number}"));
        racks.iter_mut().skip(at).take(many).for_each(|it| *it = Some(id.clone()));
        (at, number) = (at + many + dice.below(2) as usize, number + 1);
    }
    racks
}

/// Feeds of a channel: mostly by different providers, mostly with a stated offset.
fn sources(
    dice: &mut Dice,
    name: &str,
    providers: &[ProviderId],
    headend: &RegionId,
) -> Vec<Source> {
    let count = dice.pick(&[1, 2, 2, 2, 2, 2, 2, 3, 3, 4]);
    let first = dice.below(providers.len() as u64);
    let is_stated = !dice.one_in(8);
    let source = |i: u64| {
        let provider = &providers[((first + i) % providers.len() as u64) as usize];
        let (feed, role) = match i {
            0 => ("primary".to_owned(), SourceRole::Primary),
            1 | 2 => (format!("backup-{i}"), SourceRole::Backup),
            _ => ("last".to_owned(), SourceRole::LastResort),
        };
        // A backup over another way is a little behind.
        let behind = Duration::from_millis(700 * i);
        Source {
            stream: stream(&format!("{name}/{feed}")),
            role,
            priority: 1 + i as u32,
            provider: Some(provider.clone()),
            region: headend.clone(),
            offset: is_stated.then_some(behind),
            format: None,
        }
    };
    (0..count).map(source).collect()
}

/// The servers that serve a channel: in most regions, and on most servers there.
fn places(dice: &mut Dice, parts: &Parts) -> Vec<ServerId> {
    let mut chosen = Vec::new();
    for region in &parts.regions {
        let there: Vec<_> = parts.servers.iter().filter(|it| it.region == region.id).collect();
        if there.is_empty() || dice.one_in(10) && !chosen.is_empty() {
            continue;
        }
        let most = if there.len() <= 3 { there.len() } else { 3 };
        let first = dice.below(there.len() as u64) as usize;
        let skips_last = most > 1 && dice.one_in(8);
        for i in 0..most - usize::from(skips_last) {
            chosen.push(there[(first + i) % there.len()].id.clone());
        }
    }
    chosen
}
