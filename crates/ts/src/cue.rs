//! Cues as they come on a PID: each is told once, with its time on its program's clock.

use alloc::{boxed::Box, collections::VecDeque};

use tallylight_model::{Pid, Pts};

use crate::{Cue, CueCounters, Event, NoCue, SpliceInfo, flow::Flow};

/// Cues that are remembered, to tell repetitions: a sender repeats one for some seconds.
const MAX_KNOWN: usize = 16;

/// The cues of one PID.
#[derive(Default)]
pub(crate) struct Cues {
    pub(crate) counters: CueCounters,
    /// The CRCs of the last ones.
    known: VecDeque<u32>,
}

impl Cues {
    /// Reads a section; `None` if there is nothing new in it.
    pub(crate) fn read(&mut self, section: &[u8]) -> Option<SpliceInfo> {
        let info = match SpliceInfo::parse(section) {
            Ok(info) => info,
            Err(NoCue::Foreign) => return None,
            Err(NoCue::Damaged) => {
                self.counters.damaged += 1;
                return None;
            }
        };
        if info.command.is_heartbeat() && info.segmentations.is_empty() {
            self.counters.heartbeats += 1;
            return None;
        }
        let crc = section.last_chunk().copied().map_or(0, u32::from_be_bytes);
        if self.known.contains(&crc) {
            self.counters.repeats += 1;
            return None;
        }
        if self.known.len() == MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(crc);
        self.counters.cues += 1;
        Some(info)
    }
}

impl Flow {
    /// Tells a cue that is complete here.
    pub(crate) fn cue(&mut self, pid: Pid, info: SpliceInfo) {
        let owner = self.owner(pid);
        let position = self.position(owner);
        let program = owner.and_then(|i| self.programs.get(i));
        let time = info.time().zip(program.and_then(|p| p.timeline.clock(self.place)));
        let preroll_ms =
            time.map(|(due, now)| due.ticks_since(Pts::from_ticks(now.ticks() / 300)) / 90);
        let media = time.and_then(|(due, _)| program?.timeline.due(due));
        let program = program.map(|program| program.service.program);
        let cue = Cue { pid, program, info, media, preroll_ms, position };
        self.out.push(Event::Cue(Box::new(cue)));
    }
}
