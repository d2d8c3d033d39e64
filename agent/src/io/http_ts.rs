//! A transport stream over HTTP: one answer without end, opened again whenever it ends.

use std::time::Duration;

use bytes::Bytes;
use tallylight_model::{FaultKind, MonoTime};
use tokio::sync::mpsc::{Sender, error::SendError};

use super::{
    clock,
    http::{Answer, Client, Connector},
};
use crate::input::{Backoff, FetchError, InputEvent, Purpose, StreamUrl, looks_like_html};

/// A connection that lasted this long begins the backoff anew; one that breaks sooner waits longer each time.
const STEADY: Duration = Duration::from_secs(10);
/// How often a probe tries to open before it says that the stream cannot be read.
const PROBE_TRIES: u32 = 2;

/// Says what happens, once per change.
struct Reporter<'a> {
    tx: &'a Sender<InputEvent>,
    holds: Option<FaultKind>,
}

type Gone = SendError<InputEvent>;

impl Reporter<'_> {
    async fn condition(&mut self, failure: &FetchError) -> Result<(), Gone> {
        let kind = failure.kind();
        if self.holds == Some(kind) {
            return Ok(());
        }
        self.clear().await?;
        self.holds = Some(kind);
        let evidence = failure.to_string();
        self.tx.send(InputEvent::Condition { at: clock::now(), kind, holds: true, evidence }).await
    }

    async fn clear(&mut self) -> Result<(), Gone> {
        let Some(kind) = self.holds.take() else { return Ok(()) };
        let evidence = String::new();
        self.tx.send(InputEvent::Condition { at: clock::now(), kind, holds: false, evidence }).await
    }

    async fn request(&self, failed: bool) -> Result<(), Gone> {
        self.tx.send(InputEvent::Request { at: clock::now(), failed }).await
    }

    async fn end(&self, error: Option<String>) -> Result<(), Gone> {
        self.tx.send(InputEvent::End { at: clock::now(), error }).await
    }
}

/// Reads until the end of the stream (a probe) or for ever (a watch).
pub(super) async fn run(
    connector: Connector,
    url: &StreamUrl,
    purpose: Purpose,
    tx: &Sender<InputEvent>,
) {
    // A session that is gone needs no more.
    let _ = Reporter { tx, holds: None }.run(connector, url, purpose).await;
}

impl Reporter<'_> {
    async fn run(
        mut self,
        connector: Connector,
        url: &StreamUrl,
        purpose: Purpose,
    ) -> Result<(), Gone> {
        let mut backoff = Backoff::default();
        let mut failures = 0;
        loop {
            // A fresh connection each time: the old one may be what is broken.
            let mut client = Client::new(connector.clone());
            let begun = clock::now();
            let ended = match open(&mut client, url).await {
                Ok((answer, first)) => {
                    self.request(false).await?;
                    failures = 0;
                    self.clear().await?;
                    self.stream(answer, first).await?
                }
                Err(failure) => {
                    self.request(true).await?;
                    failures += 1;
                    Err(failure)
                }
            };
            match (&ended, purpose) {
                (Ok(()), Purpose::Probe) => return self.end(None).await,
                (Err(failure), Purpose::Probe) if failures >= PROBE_TRIES => {
                    self.condition(failure).await?;
                    return self.end(Some(failure.to_string())).await;
                }
                // A break in a running stream is no fault of its own if the stream is there at once on asking again;
                // what was missed shows in the stream.
                (Err(FetchError::Truncated), _) | (Ok(()), _) => {}
                (Err(failure), _) => self.condition(failure).await?,
            }
            if clock::now().since(begun) >= STEADY {
                backoff.reset();
            }
            tokio::time::sleep(backoff.delay()).await;
        }
    }

    /// Passes the body on; the inner result says how it ended.
    async fn stream(
        &self,
        mut answer: Answer,
        first: (MonoTime, Bytes),
    ) -> Result<Result<(), FetchError>, Gone> {
        let (at, data) = first;
        self.tx.send(InputEvent::Opened { phases: answer.phases, at }).await?;
        self.tx.send(InputEvent::Bytes { at, data }).await?;
        loop {
            match answer.chunk().await {
                Ok(Some(data)) => {
                    self.tx.send(InputEvent::Bytes { at: clock::now(), data }).await?;
                }
                Ok(None) => return Ok(Ok(())),
                Err(failure) => return Ok(Err(failure)),
            }
        }
    }
}

/// Requests the stream and waits for its first bytes.
async fn open(
    client: &mut Client,
    url: &StreamUrl,
) -> Result<(Answer, (MonoTime, Bytes)), FetchError> {
    let mut answer = client.get(url, None).await?;
    let first = answer.chunk().await?.ok_or(FetchError::Empty)?;
    if looks_like_html(&first) {
        return Err(FetchError::Html);
    }
    Ok((answer, (clock::now(), first)))
}
