//! Events that wait to be taken.

use alloc::collections::VecDeque;

use crate::{AccessUnit, Event};

/// Events kept; further ones are dropped and counted. A push of a mebibyte of an ordinary stream gives some hundreds.
const MAX_EVENTS: usize = 1 << 16;
/// Bytes of payload kept in those events.
const MAX_BYTES: usize = 64 << 20;

/// A bounded queue of events.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Event>,
    bytes: usize,
    pub(crate) dropped: u64,
}

impl Outbox {
    pub(crate) fn push(&mut self, event: Event) {
        if self.admit(payload(&event)) {
            self.queue.push_back(event);
        }
    }

    /// The same of an access unit, which is most of what there is: it is made where it is kept.
    #[inline(always)]
    pub(crate) fn push_unit(&mut self, unit: AccessUnit) {
        if self.admit(unit.data.len()) {
            self.queue.push_back(Event::Unit(unit));
        }
    }

    fn admit(&mut self, bytes: usize) -> bool {
        let room = self.queue.len() < MAX_EVENTS && self.bytes + bytes <= MAX_BYTES;
        if room {
            self.bytes += bytes;
        } else {
            self.dropped += 1;
        }
        room
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.bytes -= payload(&event);
        Some(event)
    }
}

fn payload(event: &Event) -> usize {
    match event {
        Event::Unit(unit) => unit.data.len(),
        _ => 0,
    }
}
