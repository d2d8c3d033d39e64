//! What goes wrong with those who watch.

use std::{collections::BTreeSet, time::Duration};

use tallylight_decide::incident::Subject;
use tallylight_model::{FaultKind, NodeId, StreamId};

use super::{Draw, Draws, LASTS, backup, processing, server, source};
use crate::sim::{platform::Trouble, scenario::Fault};

pub(super) fn probe(draw: &mut Draw<'_>, what: fn(NodeId) -> Trouble) -> Option<()> {
    let agents = &draw.scenario.parts.agents;
    let agent = agents.get(draw.dice.below(agents.len().max(1) as u64) as usize)?.clone();
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, what(agent.node.clone()));
    at_fault(draw, agent.node, lasts);
    Some(())
}

/// A witness is at fault: who cannot be contradicted may be believed, and is not acted on.
fn at_fault(draw: &mut Draw<'_>, node: NodeId, lasts: Duration) {
    let agent = draw.lineup.agent(&node).cloned();
    let agent = agent.iter();
    let own: BTreeSet<StreamId> = agent
        .clone()
        .flat_map(|agent| {
            draw.lineup.streams().filter(|it| *it.1.region() == agent.region).map(|it| it.0.clone())
        })
        .collect();
    let peers = agent.map(|agent| {
        let same = draw.lineup.agents().filter(|it| it.region == agent.region);
        same.filter(|it| it.path != agent.path)
            .map(|it| it.path.as_str())
            .collect::<BTreeSet<_>>()
            .len()
    });
    let is_alone = peers.max().unwrap_or(0) == 0;
    let mut fault = Fault {
        subject: Subject::Probe(node),
        or: BTreeSet::new(),
        broken: BTreeSet::new(),
        differential: false,
        must: false,
        from: draw.at,
        to: draw.at + lasts,
    };
    if is_alone {
        for found in own.iter().filter_map(|it| draw.lineup.stream(it)) {
            let channel = found.channel();
            fault.or.insert(Subject::Processing(channel.id.clone()));
            fault.or.extend(channel.sources.iter().map(|it| Subject::Source(it.stream.clone())));
            let providers = channel.sources.iter().filter_map(|it| it.provider.clone());
            fault.or.extend(providers.map(Subject::Provider));
            for delivery in &channel.deliveries {
                fault.or.insert(Subject::Server(delivery.server.clone()));
            }
            fault.or.insert(Subject::Region(found.region().clone()));
        }
    }
    draw.scenario.faults.push(fault);
}

/// A witness that claims what is not so, about some streams or all.
pub(super) fn probe_lies(draw: &mut Draw<'_>) -> Option<()> {
    let kind = draw.dice.pick(&[FaultKind::NoData, FaultKind::Continuity, FaultKind::Black]);
    let one_in = draw.dice.pick(&[1, 1, 2, 3, 5]);
    let agents = &draw.scenario.parts.agents;
    let agent = agents.get(draw.dice.below(agents.len().max(1) as u64) as usize)?.clone();
    let (at, lasts) = (draw.at, draw.lasts());
    draw.trouble(at, lasts, Trouble::Lies(agent.node.clone(), kind, one_in));
    at_fault(draw, agent.node, lasts);
    Some(())
}

/// A witness that sees nothing wrong, beside a fault that others see.
pub(super) fn probe_deaf(draw: &mut Draw<'_>) -> Option<()> {
    beside(draw, Trouble::Deaf)
}

/// A witness that says nothing, beside a fault that others see.
pub(super) fn agent_silent(draw: &mut Draw<'_>) -> Option<()> {
    beside(draw, Trouble::Mute)
}

fn beside(draw: &mut Draw<'_>, what: fn(NodeId) -> Trouble) -> Option<()> {
    let agents = &draw.scenario.parts.agents;
    let agent = agents.get(draw.dice.below(agents.len().max(1) as u64) as usize)?.clone();
    let from = draw.at - draw.dice.millis(25_000);
    draw.trouble(from, Duration::from_secs(LASTS + 40), what(agent.node.clone()));
    let form = draw.dice.pick(&[source as Draws, processing, server, backup]);
    form(draw)?;
    // Whom it sees or does not see is not what the others must prove, and it may be named as the one that is wrong.
    let lasts = Duration::from_secs(LASTS);
    at_fault(draw, agent.node, lasts);
    Some(())
}
