//! Pushes small pictures of what streams show to the collector, for people. They are the first that a host without time, or a
//! collector without an answer, goes without: each takes the place of the one before it, and none is sent twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{StatusCode, header};
use tallylight_model::StreamId;
use tokio::sync::{Notify, watch};

use super::assign::Api;

/// Streams whose picture waits.
const MAX_WAITING: usize = 2_000;
/// After a failure nothing is pushed for so long.
const PAUSE: Duration = Duration::from_secs(10);

/// Pictures that wait to be pushed.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    waiting: Arc<Mutex<BTreeMap<StreamId, Vec<u8>>>>,
    hung: Arc<Notify>,
}

impl Gallery {
    /// Hangs a stream's newest picture in the place of the one before.
    pub fn hang(&self, stream: &StreamId, jpeg: Vec<u8>) {
        let mut waiting = self.waiting();
        if waiting.len() < MAX_WAITING || waiting.contains_key(stream) {
            waiting.insert(stream.clone(), jpeg);
            self.hung.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<StreamId, Vec<u8>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes whatever is hung, one at a time, until it is dropped.
    pub async fn run(self, api: watch::Receiver<Api>) {
        let mut fails = false;
        loop {
            self.hung.notified().await;
            // One that comes for a stream that was pushed already waits for the next round, so that every stream has its turn.
            let round = std::mem::take(&mut *self.waiting());
            for (stream, jpeg) in round {
                let api = api.borrow().clone();
                match push(&api, &stream, jpeg).await {
                    Ok(()) => fails = false,
                    Err(error) => {
                        if !std::mem::replace(&mut fails, true) {
                            tracing::warn!(%stream, error, "thumbnails are not taken");
                        }
                        tokio::time::sleep(PAUSE).await;
                        break;
                    }
                }
            }
        }
    }
}

/// Pushes one picture. That one is refused is for the log; it is not tried again.
async fn push(api: &Api, stream: &StreamId, jpeg: Vec<u8>) -> Result<(), String> {
    let path = format!("api/v1/thumbnails/{}", stream.as_str());
    let request = api.put(&path).header(header::CONTENT_TYPE, "image/jpeg").body(jpeg);
    // The error's own text would name the address.
    let answer = request.send().await.map_err(|_| "the collector does not answer".to_owned())?;
    match answer.status() {
        StatusCode::NO_CONTENT => Ok(()),
        // The lineup has changed since; the next assignment says so.
        StatusCode::FORBIDDEN => Ok(()),
        status => Err(format!("the collector answers {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_picture_of_each_stream_waits_and_no_more_than_fit() {
        let gallery = Gallery::default();
        for round in 0..2_u8 {
            for n in 0..MAX_WAITING + 10 {
                let stream = StreamId::parse(&format!("c{n}/primary")).unwrap();
                gallery.hang(&stream, vec![round]);
            }
        }
        let waiting = gallery.waiting();
        assert_eq!(waiting.len(), MAX_WAITING);
        assert!(waiting.values().all(|jpeg| *jpeg == [1]));
    }
}
