//! What holds of maintenance and of groups.

use std::{collections::BTreeMap, time::Duration};

use tallylight_decide::{
    action::{ActionKind, ActionState, Command, Target},
    incident::Cause,
    lineup::StreamRef,
    maintenance::{Area, Plan},
};
use tallylight_model::{MonoTime, StreamId, WindowId};

use super::{Act, Rules, command::must};

/// A batch is at most this part of a group, and at most so many.
const BATCH_PART: usize = 5;
const BATCH: usize = 16;

/// Times of maintenance as they were told.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    windows: BTreeMap<WindowId, Plan>,
    /// How far the collector's clock has jumped ahead: what it remembers lies so much earlier at most.
    pub(super) ahead: Duration,
    /// And back: what it remembers lies so much later at most.
    pub(super) back: Duration,
}

impl Upkeep {
    pub(super) fn maintain(&mut self, at: MonoTime, plan: &Plan) {
        let begin = match self.windows.get(&plan.id) {
            // What was ended early stays ended, whatever the configuration says.
            Some(known) if known.end <= at && plan.by.is_none() => return,
            Some(known) if at < known.end => known.begin.min(plan.begin),
            _ => plan.begin,
        };
        self.windows.insert(plan.id.clone(), Plan { begin, ..plan.clone() });
    }

    pub(super) fn end(&mut self, at: MonoTime, window: &WindowId) {
        if let Some(known) = self.windows.get_mut(window) {
            known.end = known.end.min(at);
        }
    }

    fn covers(&self, stream: &StreamId, found: StreamRef<'_>, at: MonoTime) -> bool {
        let mut open = self
            .windows
            .values()
            .filter(|it| it.begin + self.back <= at && at < it.end - self.ahead);
        open.any(|it| match &it.area {
            Area::Region(id) => found.region() == id,
            Area::Channel(id) => stream.channel() == id.as_str(),
            Area::Server(id) => matches!(found, StreamRef::Delivery(.., it) if it.id == *id),
        })
    }
}

/// What is wholly being worked on is not acted on for an incident.
pub(super) fn not_in_maintenance(
    rules: &Rules,
    at: MonoTime,
    command: &Command,
) -> Result<(), String> {
    if command.purpose.window().is_some() {
        return Ok(());
    }
    let streams = rules.streams(command);
    let is_covered = |it: &StreamId| {
        rules.lineup.stream(it).is_some_and(|found| rules.upkeep.covers(it, found, at))
    };
    must(streams.is_empty() || !streams.iter().all(is_covered), String::new)
}

/// A server is drained for its own window, while that is open, and gets its viewers back once it is over, or if that did not
/// work out; a region's viewers are moved while its window is open, where a person agreed.
pub(super) fn as_maintenance_says(
    rules: &Rules,
    at: MonoTime,
    command: &Command,
) -> Result<(), String> {
    let Some(id) = command.purpose.window() else { return Ok(()) };
    let Some(plan) = rules.upkeep.windows.get(id) else { return Err("no such window".to_owned()) };
    let is_its = match (&plan.area, &command.target) {
        (Area::Server(server), Target::Servers(servers)) => servers.iter().eq([server]),
        (Area::Region(region), Target::Region(target)) => region == target,
        _ => false,
    };
    let Upkeep { ahead, back, .. } = rules.upkeep;
    let is_open = plan.begin - ahead <= at && at < plan.end + back;
    let mut for_it = rules.acts.iter().filter(|it| it.command.purpose == command.purpose);
    let is_given_back = for_it.any(|it| {
        it.command.kind == ActionKind::DrainServer && it.end == Some(ActionState::NotVerified)
    });
    let fits = match command.kind {
        ActionKind::DrainServer => is_open || rules.is_undoing(command),
        ActionKind::RegionMove => is_open,
        ActionKind::UndrainServer | ActionKind::ReturnServer => {
            plan.end - ahead <= at || is_given_back
        }
        _ => false,
    };
    must(is_its && fits, || format!("{plan:?}"))
}

/// One cause behind many channels: the first goes alone, what follows are batches after all before have ended, and nothing follows
/// what did not help another.
pub(super) fn canary_before_batches(
    rules: &Rules,
    at: MonoTime,
    command: &Command,
) -> Result<(), String> {
    let kind = match command.cause {
        Some(Cause::Provider) => ActionKind::SwitchSource,
        Some(Cause::Processing) => ActionKind::RestartStream,
        _ => return Ok(()),
    };
    if command.kind != kind || rules.is_undoing(command) {
        return Ok(());
    }
    let is_mate =
        |it: &&Act| (&it.command.purpose, it.command.kind) == (&command.purpose, command.kind);
    let mates: Vec<&Act> = rules.acts.iter().filter(is_mate).collect();
    let beside = mates.iter().filter(|it| it.at == at).count();
    let before: Vec<&&Act> = mates.iter().filter(|it| it.at < at).collect();
    let under_way = before.iter().filter(|it| it.end.is_none()).count();
    must(under_way == 0, || format!("{under_way} of it are under way"))?;
    let is_other = |it: &&&&Act| it.command.target != command.target;
    let failed = before.iter().filter(is_other).find(|it| it.end == Some(ActionState::NotVerified));
    must(failed.is_none(), || format!("{failed:?} did not help"))?;
    let helped = before.iter().any(|it| it.end == Some(ActionState::Verified));
    must(beside == 0 || helped, || format!("{beside} beside it, and none has helped"))?;
    let most = (rules.lineup.channels().count() / BATCH_PART).clamp(1, BATCH);
    must(beside < most, || format!("more than {most} at once"))
}
