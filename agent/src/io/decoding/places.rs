//! The places for full decoding that one worker's batch has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tallylight_model::StreamId;

use super::{Message, Order, clock};
use crate::decode::{Pool, Reply};

/// The places of all workers.
pub(super) type SharedPool = Arc<Mutex<Pool<StreamId>>>;

/// Has the places that a batch may need, and gives back those that it did not when it is dropped.
pub(super) struct Places {
    pool: SharedPool,
    taken: Vec<StreamId>,
}

impl Places {
    pub(super) fn new(pool: &SharedPool) -> Self {
        Self { pool: Arc::clone(pool), taken: Vec::new() }
    }

    /// Takes the place that a message may need. Where none is free, the batch ends before it if that may free one: then it is
    /// false. Else the message goes without, and what is skipped for sure is counted.
    pub(super) fn admit(&mut self, message: &mut Message, skipped: &mut u64) -> bool {
        let Message { order, asker } = message;
        let Some((unit, asker)) = order.unit_mut().zip(asker.as_mut()) else { return true };
        if !unit.may_be_full() {
            return true;
        }
        if lock(&self.pool).take(clock::now(), &asker.stream, asker.priority) {
            self.taken.push(asker.stream.clone());
        } else if self.taken.is_empty() {
            *skipped += u64::from(unit.leave_out_full());
            asker.without_place = true;
        } else {
            return false;
        }
        true
    }

    /// Keeps the place of a stream whose pictures between key pictures were decoded.
    pub(super) fn answered(&self, order: &Order, stream: &StreamId, replies: &[Reply]) {
        let full = order.unit().is_some_and(|unit| unit.is_full());
        if full || replies.iter().any(|reply| matches!(reply, Reply::Dated { .. })) {
            lock(&self.pool).needed(clock::now(), stream);
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut pool = lock(&self.pool);
        self.taken.iter().for_each(|stream| pool.leave(stream));
    }
}

pub(super) fn lock(pool: &SharedPool) -> MutexGuard<'_, Pool<StreamId>> {
    // Nothing in the critical sections can leave it half done.
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        assignment::Priority,
        decode::{Dating, Effort, Place, Request, Unit},
        io::decoding::{Asker, channel::Key},
    };
    use tallylight_model::{Codec, Pid};

    fn message(stream: &str, effort: Effort) -> Message {
        let unit = Unit {
            pid: Pid::from_bits(256),
            codec: Codec::H264,
            key: true,
            media_time: Duration::ZERO,
            effort,
            dating: Dating::Decoding,
            thumbnail: false,
            data: Vec::new(),
        };
        let asker = Asker {
            view: 0,
            at: clock::now(),
            stream: StreamId::parse(stream).unwrap(),
            priority: Priority::Normal,
            without_place: false,
            answers: tokio::sync::mpsc::channel(1).0,
        };
        let order = Order::handle(Key { desk: 0, view: 0 }, Request::Unit(unit));
        Message { order, asker: Some(asker) }
    }

    fn key() -> Effort {
        Effort::Key(Place::default())
    }

    #[test]
    fn a_batch_ends_where_places_end_and_the_next_one_has_those_that_were_not_needed() {
        let (pool, mut skipped) = (SharedPool::default(), 0);
        let mut first = Places::new(&pool);
        for stream in ["one/a", "two/a", "one/a"] {
            assert!(first.admit(&mut message(stream, key()), &mut skipped));
        }
        assert!(first.admit(&mut message("three/a", Effort::Alone), &mut skipped));
        let mut third = message("three/a", key());
        assert!(!first.admit(&mut third, &mut skipped));
        drop(first);
        assert!(Places::new(&pool).admit(&mut third, &mut skipped));
        assert_eq!(third.order.unit().unwrap().dating, Dating::Decoding);
        assert_eq!(skipped, 0);
    }

    #[test]
    fn without_a_place_nothing_is_decoded_in_full_and_it_is_counted() {
        let (pool, mut skipped) = (SharedPool::default(), 0);
        let mut places = Places::new(&pool);
        let survey = Effort::Survey(Place::default());
        for (stream, effort, replies) in [
            ("one/a", survey, vec![]),
            ("two/a", key(), vec![Reply::Dated { pid: Pid::from_bits(256) }]),
        ] {
            let mut message = message(stream, effort);
            assert!(places.admit(&mut message, &mut skipped));
            places.answered(&message.order, &StreamId::parse(stream).unwrap(), &replies);
        }
        drop(places);
        for (effort, left, counted) in [
            (survey, key(), 1),
            (key(), key(), 0),
            (Effort::CatchUp(Place::default()), Effort::Keep(Place::default()), 1),
            (Effort::Run, Effort::Skip, 0),
            (Effort::RunEnd, Effort::Skip, 1),
        ] {
            let mut skipped = 0;
            let mut message = message("three/a", effort);
            assert!(Places::new(&pool).admit(&mut message, &mut skipped));
            let unit = message.order.unit().unwrap();
            assert_eq!((unit.effort, unit.dating, skipped), (left, Dating::Withheld, counted));
            assert!(message.asker.unwrap().without_place);
        }
    }
}
