//! What is not decoded while the host has no time for it.
//!
//! Packets are always checked; decoding gives way: first thumbnails, then full decoding, then key pictures, of which only one in
//! 4 s and in the end one in 6 s is decoded. Every stream gives one thing before any gives the next, those of low priority first
//! and those of one priority in turn, so that it is not the same one that suffers all the time.
//!
//! Pressure is what decoding itself shows: answers that are late and get later, and messages that found a worker full. That the
//! host's processors are busy is none by itself: on a busy host an agent may have all that it needs, and less decoding would
//! then cost sight and gain nothing. It counts where the agent's own sockets overflow at the same time, and slows recovery down.
//!
//! Each worker's streams are shed by themselves, since those of another one do not wait for it.
//!
//! Less is shed one step at a time, after a quiet time. A step that has to be taken back doubles that time, which only a long time
//! without pressure halves again: so a load that just does not fit is tried ever more rarely. The alternative, to work out from the
//! processor's load what would fit, needs each stream's cost, which changes with its programme.

mod levels;
mod ration;

use std::{collections::BTreeMap, time::Duration};

use tallylight_model::StreamId;

pub use levels::{Level, Levels};
pub use ration::{Cuts, Ration};

use crate::assignment::Priority;

/// An answer that takes this long is late: slices are closed without it after a third of that.
const LATE: Duration = Duration::from_secs(1);
/// One that is later than a second ago by less than this is being caught up with.
const CATCHING_UP: Duration = Duration::from_millis(50);
/// Answers within this are prompt.
const PROMPT: Duration = Duration::from_millis(250);
/// A second under pressure adds so much strain, and one without takes one away.
const STRAIN: u32 = 2;
/// At so much a step is taken ...
const TOO_MUCH: u32 = 6;
/// ... after which so much is left: the next one comes two seconds later, when this one shows.
const STRAIN_AFTER: u32 = 2;
/// Seconds without pressure before less is shed.
const QUIET: u32 = 20;
/// The same at most, after steps that had to be taken back.
const MAX_QUIET: u32 = 480;
/// It halves with each step of which the last pressure was so many quiet seconds ago.
const LONG_AGO: u32 = 1_200;
/// A second on a host whose processors are busy counts for so much less.
const BUSY: u32 = 4;
/// One in so many streams is shed in a step.
const STEP: usize = 4;
/// Streams of one priority change places this often.
const TURN_EVERY: u32 = 60;

/// How decoding went in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How long the oldest message without an answer has been waiting for it.
    pub late: Duration,
    /// Messages that were not taken since too many waited.
    pub refused: u64,
    /// Datagrams that overflowed the agent's sockets.
    pub dropped: u64,
    /// Whether the host's processors have no time left.
    pub busy: bool,
}

/// Decides what is shed of one worker's streams.
#[derive(Debug)]
pub struct Shedder {
    streams: BTreeMap<StreamId, Share>,
    strain: u32,
    late: Duration,
    /// Quarters of quiet seconds since the last step ...
    calm: u32,
    /// ... and since the last pressure.
    peace: u32,
    quiet: u32,
    last: Step,
    turn: u64,
    since_turn: u32,
}

/// What one stream bears of it.
#[derive(Clone, Copy, Debug)]
struct Share {
    priority: Priority,
    level: Level,
    /// Grows from one that is shed to the next.
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    More,
    Less,
}

impl Default for Shedder {
    fn default() -> Self {
        Self {
            streams: BTreeMap::new(),
            strain: 0,
            late: Duration::ZERO,
            calm: 0,
            peace: 0,
            quiet: QUIET,
            last: Step::More,
            turn: 0,
            since_turn: 0,
        }
    }
}

impl Shedder {
    /// Decides about exactly these streams. One that is new bears nothing yet.
    pub fn watch(&mut self, streams: impl IntoIterator<Item = (StreamId, Priority)>) {
        let old = std::mem::take(&mut self.streams);
        self.streams.extend(streams.into_iter().map(|(stream, priority)| {
            let share = old.get(&stream).copied();
            let share = share.unwrap_or(Share { priority, level: Level::Nothing, turn: 0 });
            (stream, Share { priority, ..share })
        }));
    }

    /// Takes how the last second went. Call it once a second.
    pub fn tick(&mut self, load: Load) {
        let later = load.late + CATCHING_UP > self.late;
        self.late = load.late;
        let overflows = load.busy && load.dropped > 0;
        if load.refused > 0 || overflows || (load.late >= LATE && later) {
            (self.calm, self.peace) = (0, 0);
            self.strain += STRAIN;
            if self.strain >= TOO_MUCH {
                self.strain = STRAIN_AFTER;
                self.shed_more();
            }
            return;
        }
        self.strain = self.strain.saturating_sub(1);
        if load.late <= PROMPT {
            let quarters = if load.busy { 1 } else { BUSY };
            self.calm += quarters;
            self.peace = (self.peace + quarters).min(LONG_AGO * BUSY);
        }
        if self.calm >= self.quiet * BUSY {
            self.calm = 0;
            self.shed_less();
        }
        self.since_turn += 1;
        if self.since_turn >= TURN_EVERY {
            self.since_turn = 0;
            self.take_turns();
        }
    }

    /// What is shed, of those streams of which anything is.
    pub fn levels(&self) -> impl Iterator<Item = (&StreamId, Level)> {
        let levels = self.streams.iter().map(|(stream, share)| (stream, share.level));
        levels.filter(|(_, level)| *level != Level::Nothing)
    }

    fn shed_more(&mut self) {
        if std::mem::replace(&mut self.last, Step::More) == Step::Less {
            self.quiet = (self.quiet * 2).min(MAX_QUIET);
        }
        let step = self.step();
        let mut shares: Vec<&mut Share> = self.streams.values_mut().collect();
        shares.sort_by_key(|share| (share.level, share.priority, share.turn));
        let Some(least) = shares.first().map(|share| share.level) else { return };
        for share in shares.into_iter().take_while(|share| share.level == least).take(step) {
            self.turn += 1;
            (share.level, share.turn) = (share.level.more(), self.turn);
        }
    }

    fn shed_less(&mut self) {
        let step = self.step();
        let mut shares: Vec<&mut Share> = self.streams.values_mut().collect();
        shares.sort_by_key(|share| (share.level, share.priority, std::cmp::Reverse(share.turn)));
        let Some(most) = shares.last().map(|share| share.level) else { return };
        if most == Level::Nothing {
            return;
        }
        for share in shares.into_iter().rev().take_while(|share| share.level == most).take(step) {
            share.level = share.level.less();
        }
        self.last = Step::Less;
        if self.peace >= LONG_AGO * BUSY {
            self.quiet = (self.quiet / 2).max(QUIET);
        }
    }

    /// Those of a priority of which most is shed for longest change places with those of which least is.
    fn take_turns(&mut self) {
        for priority in Priority::ALL {
            for _ in 0..self.step() {
                let of_priority =
                    || self.streams.iter().filter(|(_, share)| share.priority == priority);
                let most = of_priority().max_by_key(|(_, s)| (s.level, std::cmp::Reverse(s.turn)));
                let least = of_priority().min_by_key(|(_, share)| (share.level, share.turn));
                let Some(((from, most), (to, least))) = most.zip(least) else { break };
                if most.level == least.level {
                    break;
                }
                let (from, to, most, least) = (from.clone(), to.clone(), *most, *least);
                self.turn += 1;
                self.streams.insert(from, Share { level: least.level, turn: self.turn, ..most });
                self.turn += 1;
                self.streams.insert(to, Share { level: most.level, turn: self.turn, ..least });
            }
        }
    }

    fn step(&self) -> usize {
        self.streams.len().div_ceil(STEP)
    }
}

#[cfg(test)]
mod tests;
