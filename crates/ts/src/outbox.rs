//! Events that wait to be taken.

use alloc::collections::VecDeque;

use crate::Event;

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
        let bytes = payload(&event);
        if self.queue.len() >= MAX_EVENTS || self.bytes + bytes > MAX_BYTES {
            self.dropped += 1;
            return;
        }
        self.bytes += bytes;
        self.queue.push_back(event);
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
