//! What is wrong beside a world's shape: half of all worlds have a plain network, an obedient panel and nobody at the wheel.

use std::time::Duration;

use tallylight_decide::{Mode, Return, Scope, lineup::Channel};
use tallylight_model::MonoTime;

use super::{Draw, upkeep};
use crate::sim::{
    Dice, START,
    panel::Manners,
    platform::Trouble,
    scenario::{Answers, Crash, Doing, Scenario},
};

/// One thing that is not as usual.
type Circumstance = fn(&mut Draw<'_>);

const CIRCUMSTANCES: &[Circumstance] = &[
    |it| it.scenario.loss = it.dice.magnitude(8, 100),
    |it| it.scenario.lateness = it.dice.magnitude(200, 5000),
    manners,
    |it| it.scenario.failover = Some(Duration::from_millis(it.dice.magnitude(1500, 20_000))),
    crashes,
    |it| mode(it.dice, &mut it.scenario),
    switch_by_hand,
    kill_switch,
    agents_restart,
    modes_change,
    clock_steps,
    servers_return,
    meddling,
    upkeep::reload,
    upkeep::elsewhere,
];

/// Draws them.
pub(super) fn draw(draw: &mut Draw<'_>) {
    for _ in 0..draw.dice.pick(&[0, 0, 0, 1, 1, 2]) {
        draw.dice.pick(CIRCUMSTANCES)(draw);
    }
    if draw.dice.one_in(12) {
        servers_are_full(draw);
    }
    let scenario = &mut draw.scenario;
    if scenario.storm {
        // A clock that jumps ahead over a restart makes every storm one of long ago.
        scenario.steps.retain(|it| it.1 < 0);
    }
}

fn manners(draw: &mut Draw<'_>) {
    let slow = Duration::from_millis(draw.dice.magnitude(500, 12_000));
    draw.scenario.manners = draw.dice.pick(&[
        Manners::Slow(slow),
        Manners::Lies,
        Manners::Fails,
        Manners::LosesAnswers,
        Manners::LosesCommands,
        Manners::Refuses,
    ]);
}

fn crashes(draw: &mut Draw<'_>) {
    let (dice, crashes) = (&mut *draw.dice, &mut draw.scenario.crashes);
    for _ in 0..dice.pick(&[1, 1, 2, 3]) {
        let away = Duration::from_millis(dice.magnitude(500, 30_000));
        crashes.push(Crash { after: dice.magnitude(1, 60), away });
    }
    crashes.sort_by_key(|it| it.after);
    crashes.dedup_by_key(|it| it.after);
}

/// Another mode than `auto`, with people who say yes or no, or let it expire.
fn mode(dice: &mut Dice, scenario: &mut Scenario) {
    let mode = dice.pick(&[Mode::Off, Mode::DryRun, Mode::Approve, Mode::Approve, Mode::Approve]);
    scenario.policy.modes.insert(Scope::Global, mode);
    scenario.policy.guards.approval_expiry = Duration::from_secs(dice.magnitude(15, 600));
    let after = Duration::from_millis(dice.magnitude(2000, 90_000));
    let answers = Answers { after, refuses: dice.pick(&[0, 0, 1, 3]) };
    scenario.answers = (!dice.one_in(4)).then_some(answers);
}

/// A channel that trouble comes to, or any.
fn troubled(draw: &mut Draw<'_>) -> Channel {
    let channels = &draw.scenario.parts.channels;
    let by_trouble = draw.scenario.events.iter().find_map(|it| match &it.what {
        Trouble::Source(stream, _) => {
            channels.iter().find(|it| it.sources.iter().any(|it| it.stream == *stream))
        }
        Trouble::Hang(id) | Trouble::Sick(id, _) => channels.iter().find(|it| it.id == *id),
        _ => None,
    });
    let any = &channels[draw.dice.below(channels.len() as u64) as usize];
    by_trouble.unwrap_or(any).clone()
}

fn switch_by_hand(draw: &mut Draw<'_>) {
    let channel = troubled(draw);
    let to = &channel.sources[draw.dice.below(channel.sources.len() as u64) as usize].stream;
    let at = draw.at + draw.dice.millis(30_000);
    draw.scenario.people.push((at, Doing::Switch(channel.id.clone(), to.clone())));
    if draw.dice.one_in(3) {
        let later = at + draw.dice.millis(30_000);
        draw.scenario.people.push((later, Doing::GiveBack(channel.id)));
    }
}

fn kill_switch(draw: &mut Draw<'_>) {
    let at = draw.at + draw.dice.millis(20_000);
    draw.scenario.people.push((at, Doing::Pull));
    draw.scenario.people.push((at + draw.dice.millis(40_000), Doing::Release));
}

fn agents_restart(draw: &mut Draw<'_>) {
    let (dice, scenario) = (&mut *draw.dice, &mut draw.scenario);
    let agents = scenario.parts.agents.len() as u64;
    for _ in 0..dice.below(3).min(agents) {
        let node = &scenario.parts.agents[dice.below(agents) as usize].node;
        let at = draw.at - Duration::from_secs(5) + dice.millis(40_000);
        scenario.restarts.push((at, node.clone()));
    }
}

/// Somebody sets a mode in the middle of it, and mostly sets it back.
fn modes_change(draw: &mut Draw<'_>) {
    let (at, mode) = (
        draw.at + draw.dice.millis(20_000),
        draw.dice.pick(&[Mode::Off, Mode::DryRun, Mode::Approve]),
    );
    draw.scenario.people.push((at, Doing::Set(Scope::Global, mode)));
    if !draw.dice.one_in(3) {
        let later = at + draw.dice.millis(40_000);
        draw.scenario.people.push((later, Doing::Set(Scope::Global, Mode::Auto)));
    }
}

/// The collector's wall clock is set, by a little or by hours.
fn clock_steps(draw: &mut Draw<'_>) {
    for _ in 0..draw.dice.pick(&[1, 1, 2]) {
        let by = draw.dice.magnitude(50, 7_200_000) as i64;
        let at = draw.at - Duration::from_secs(10) + draw.dice.millis(60_000);
        draw.scenario.steps.push((at, if draw.dice.one_in(2) { -by } else { by }));
    }
    if draw.dice.one_in(2) {
        crashes(draw);
    }
}

/// Most servers of a region stand on one machine, which is used to nine tenths for all the time or from some moment on.
fn servers_are_full(draw: &mut Draw<'_>) {
    let (dice, scenario) = (&mut *draw.dice, &mut draw.scenario);
    if scenario.parts.agents.is_empty() {
        return;
    }
    let agents = scenario.parts.agents.len() as u64;
    let agent = scenario.parts.agents[dice.below(agents) as usize].clone();
    for server in scenario.parts.servers.iter_mut().filter(|it| it.region == agent.region) {
        server.node = (!dice.one_in(3)).then(|| agent.node.clone());
    }
    let later = draw.at + dice.millis(60_000);
    let begin = dice.pick(&[START, later]);
    let end = scenario.events.iter().map(|it| it.to).max();
    let long = end.unwrap_or(draw.at).max(begin).since(begin) + Duration::from_secs(10);
    draw.trouble(begin, long, Trouble::Busy(agent.node));
}

/// Servers that were drained get their viewers back by themselves.
fn servers_return(draw: &mut Draw<'_>) {
    let guards = &mut draw.scenario.policy.guards;
    guards.server_return = Return::Auto;
    guards.return_after = Duration::from_secs(draw.dice.magnitude(10, 40));
    draw.after = draw.after.max(Duration::from_secs(140));
}

/// People close incidents, and want things back before their time.
fn meddling(draw: &mut Draw<'_>) {
    let at = |draw: &mut Draw<'_>| -> MonoTime { draw.at + draw.dice.millis(90_000) };
    match draw.dice.below(3) {
        0 => {
            let at = at(draw);
            draw.scenario.people.push((at, Doing::Close));
        }
        1 => {
            let (at, channel) = (at(draw), troubled(draw));
            draw.scenario.people.push((at, Doing::FailBack(channel.id)));
        }
        _ => {
            let dead = draw.scenario.events.iter().find_map(|it| match &it.what {
                Trouble::Dead(id) | Trouble::Wedged(id) => Some(id.clone()),
                _ => None,
            });
            let servers = &draw.scenario.parts.servers;
            let any = servers[draw.dice.below(servers.len() as u64) as usize].id.clone();
            let at = at(draw);
            draw.scenario.people.push((at, Doing::Return(dead.unwrap_or(any))));
        }
    }
}
