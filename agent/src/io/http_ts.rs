//! A transport stream over HTTP: one answer without end, opened again whenever it ends.
//!
//! Whether it is one shows only in the answer: a playlist, by path, media type or first bytes, is handed to `hls`.

use std::time::Duration;

use bytes::Bytes;
use tallylight_model::{FaultKind, MonoTime};
use tokio::sync::mpsc::Sender;

use super::{
    attend::{Gone, attend},
    clock, hls,
    http::{Answer, Client, Connector},
};
use crate::input::{
    Attention, Backoff, FetchError, InputEvent, Purpose, StreamUrl, looks_like_html,
};

/// A connection that lasted this long begins the backoff anew; one that breaks sooner waits longer each time.
const STEADY: Duration = Duration::from_secs(10);
/// How often a probe tries to open before it says that the stream cannot be read.
const PROBE_TRIES: u32 = 2;

/// An answer of a stated length is a recording, unless the length is one that only says "very long".
const LONGEST_RECORDING: u64 = 1 << 40;

/// Says what happens, once per change.
struct Reporter<'a> {
    tx: &'a Sender<InputEvent>,
    holds: Option<FaultKind>,
    attention: Attention,
}

impl<'a> Reporter<'a> {
    fn new(tx: &'a Sender<InputEvent>) -> Self {
        Self { tx, holds: None, attention: Attention::new(clock::now()) }
    }

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
    let playlist = url.names_playlist()
        || matches!(Reporter::new(tx).run(&connector, url, purpose).await, Ok(Outcome::Playlist));
    if playlist {
        hls::run(&connector, url, purpose, tx).await;
    }
}

/// Why reading is over.
enum Outcome {
    Ended,
    Playlist,
}

impl Reporter<'_> {
    async fn run(
        mut self,
        connector: &Connector,
        url: &StreamUrl,
        purpose: Purpose,
    ) -> Result<Outcome, Gone> {
        let mut backoff = Backoff::default();
        let mut failures = 0;
        loop {
            // A fresh connection each time: the old one may be what is broken.
            let mut client = Client::new(connector.clone());
            let begun = clock::now();
            let mut recording = false;
            let opened = attend(&mut self.attention, self.tx, open(&mut client, url)).await?;
            let ended = match opened {
                Ok((answer, first)) if is_playlist(&answer, &first.1) => {
                    self.clear().await?;
                    return Ok(Outcome::Playlist);
                }
                Ok((answer, first)) => {
                    self.request(false).await?;
                    failures = 0;
                    self.clear().await?;
                    let ends = answer.length.is_some_and(|length| length < LONGEST_RECORDING);
                    recording = ends && purpose != Purpose::Watch;
                    if recording {
                        let bytes = answer.length;
                        self.tx.send(InputEvent::Recording { bytes }).await?;
                    }
                    self.stream(answer, first).await?
                }
                Err(failure) => {
                    self.request(true).await?;
                    failures += 1;
                    Err(failure)
                }
            };
            match (&ended, purpose) {
                // A recording that is asked for again would begin again.
                (Ok(()), _) if recording || purpose == Purpose::Probe => {
                    self.end(None).await?;
                    return Ok(Outcome::Ended);
                }
                (Err(failure), _) if recording => {
                    self.end(Some(failure.to_string())).await?;
                    return Ok(Outcome::Ended);
                }
                (Err(failure), Purpose::Probe)
                    if failures >= PROBE_TRIES || (failures > 0 && failure.is_timeout()) =>
                {
                    self.condition(failure).await?;
                    self.end(Some(failure.to_string())).await?;
                    return Ok(Outcome::Ended);
                }
                // A break in a running stream is no fault of its own if the stream is there at once on asking again;
                // what was missed shows in the stream.
                (Err(FetchError::Truncated), _) | (Ok(()), _) => {}
                (Err(failure), _) => self.condition(failure).await?,
            }
            if clock::now().since(begun) >= STEADY {
                backoff.reset();
            }
            let wait = tokio::time::sleep(backoff.delay());
            attend(&mut self.attention, self.tx, wait).await?;
        }
    }

    /// Passes the body on; the inner result says how it ended.
    async fn stream(
        &mut self,
        mut answer: Answer,
        first: (MonoTime, Bytes),
    ) -> Result<Result<(), FetchError>, Gone> {
        let (at, data) = first;
        self.tx.send(InputEvent::Opened { phases: answer.phases, at }).await?;
        self.tx.send(InputEvent::Bytes { at, data }).await?;
        loop {
            match attend(&mut self.attention, self.tx, answer.chunk()).await? {
                Ok(Some(data)) => {
                    self.tx.send(InputEvent::Bytes { at: clock::now(), data }).await?;
                }
                Ok(None) => return Ok(Ok(())),
                Err(failure) => return Ok(Err(failure)),
            }
        }
    }
}

fn is_playlist(answer: &Answer, first: &[u8]) -> bool {
    // audio/mpegurl, audio/x-mpegurl, application/vnd.apple.mpegurl, application/x-mpegurl
    answer.content_type.ends_with("mpegurl") || first.starts_with(b"#EXTM3U")
}

/// Requests the stream and waits for its first bytes.
async fn open(
    client: &mut Client,
    url: &StreamUrl,
) -> Result<(Answer, (MonoTime, Bytes)), FetchError> {
    let mut answer = client.get(url, None).await?;
    // A playlist is loaded again, and as a whole.
    if !answer.is_plain() && !is_playlist(&answer, &[]) {
        return Err(FetchError::Coding);
    }
    let first = answer.chunk().await?.ok_or(FetchError::Empty)?;
    if looks_like_html(&first) {
        return Err(FetchError::Html);
    }
    Ok((answer, (clock::now(), first)))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::io::testing::{Server, Step, impatient, ok, reply, until};

    fn start(server: &Server, path: &str, purpose: Purpose) -> mpsc::Receiver<InputEvent> {
        let (tx, rx) = mpsc::channel(100);
        let url = server.url(path);
        tokio::spawn(async move { run(impatient(), &url, purpose, &tx).await });
        rx
    }

    fn live() -> Vec<Step> {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n".to_vec();
        vec![Step::Send(head), Step::Repeat(vec![0x47; 188], Duration::from_millis(5))]
    }

    /// Waits for a condition of that kind to begin or end, and returns its evidence.
    async fn condition(
        rx: &mut mpsc::Receiver<InputEvent>,
        wanted: FaultKind,
        begins: bool,
    ) -> String {
        until(rx, |event| match event {
            InputEvent::Condition { kind, holds, evidence, .. } => {
                assert_eq!((*kind, *holds), (wanted, begins), "{evidence}");
                Some(evidence.clone())
            }
            _ => None,
        })
        .await
    }

    async fn bytes(rx: &mut mpsc::Receiver<InputEvent>) {
        until(rx, |event| matches!(event, InputEvent::Bytes { .. }).then_some(())).await;
    }

    async fn end(rx: &mut mpsc::Receiver<InputEvent>) -> Option<String> {
        until(rx, |event| match event {
            InputEvent::End { error, .. } => Some(error.clone()),
            _ => None,
        })
        .await
    }

    #[tokio::test]
    async fn a_stream_opens_with_its_phases_and_flows() {
        let server = Server::start(|_, _| live()).await;
        let mut rx = start(&server, "/", Purpose::Watch);
        let phases = until(&mut rx, |event| match event {
            InputEvent::Opened { phases, .. } => Some(*phases),
            InputEvent::Condition { .. } => panic!("{event:?}"),
            _ => None,
        })
        .await;
        assert!(phases.connect.is_some() && phases.first_byte.is_some());
        assert_eq!((phases.dns, phases.tls), (None, None), "neither a name nor TLS was asked for");
        for _ in 0..3 {
            bytes(&mut rx).await;
        }
    }

    #[tokio::test]
    async fn each_failure_is_a_condition_until_the_stream_is_back() {
        type Case = (fn() -> Vec<Step>, FaultKind, &'static str);
        let cases: [Case; 5] = [
            (|| reply("404 Not Found", "", ""), FaultKind::HttpError, "HTTP 404"),
            (|| ok("<!DOCTYPE html>"), FaultKind::HttpError, "answer is a web page (HTML)"),
            (|| ok(""), FaultKind::HttpError, "answer is empty"),
            (|| vec![Step::Hang], FaultKind::Unreachable, "no answer within 500ms"),
            (
                || reply("302 Found", "Location: /\r\n", ""),
                FaultKind::HttpError,
                "more than 5 redirects",
            ),
        ];
        for (bad, kind, evidence) in cases {
            let recovered = std::sync::atomic::AtomicBool::new(false);
            let recovered = std::sync::Arc::new(recovered);
            let switch = std::sync::Arc::clone(&recovered);
            let server = Server::start(move |_, _| {
                if switch.load(std::sync::atomic::Ordering::Relaxed) { live() } else { bad() }
            })
            .await;
            let mut rx = start(&server, "/", Purpose::Watch);
            assert_eq!(condition(&mut rx, kind, true).await, evidence);
            recovered.store(true, std::sync::atomic::Ordering::Relaxed);
            condition(&mut rx, kind, false).await;
            bytes(&mut rx).await;
        }
    }

    #[tokio::test]
    async fn a_break_is_mended_fast_and_is_no_condition_while_that_works() {
        let server = Server::start(|_, before| {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n";
            let broken = [head.as_bytes(), &[0x47; 188]].concat();
            if before == 0 { vec![Step::Send(broken), Step::Close] } else { live() }
        })
        .await;
        let mut rx = start(&server, "/", Purpose::Watch);
        let mut opened = Vec::new();
        until(&mut rx, |event| match event {
            InputEvent::Opened { at, .. } => {
                opened.push(*at);
                (opened.len() == 2).then_some(())
            }
            InputEvent::Condition { .. } => panic!("{event:?}"),
            _ => None,
        })
        .await;
        assert!(opened[1].since(opened[0]) < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_body_that_stands_still_is_left_and_asked_for_anew() {
        let server = Server::start(|_, before| {
            let head = b"HTTP/1.1 200 OK\r\n\r\nG".to_vec();
            if before == 0 { vec![Step::Send(head), Step::Hang] } else { live() }
        })
        .await;
        let mut rx = start(&server, "/", Purpose::Watch);
        let evidence = condition(&mut rx, FaultKind::Unreachable, true).await;
        assert_eq!(evidence, "answer stood still for 500ms");
        condition(&mut rx, FaultKind::Unreachable, false).await;
        bytes(&mut rx).await;
    }

    #[tokio::test]
    async fn a_stream_that_stands_still_is_said_to_be_silent() {
        let server = Server::start(|_, _| {
            vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\nG".to_vec()), Step::Hang]
        })
        .await;
        let mut rx = start(&server, "/", Purpose::Watch);
        bytes(&mut rx).await;
        let mut looks = Vec::new();
        until(&mut rx, |event| {
            let InputEvent::Quiet { at } = event else { panic!("{event:?}") };
            looks.push(*at);
            (looks.len() == 3).then_some(())
        })
        .await;
        assert!(looks.is_sorted() && looks[2] < clock::now());
    }

    #[tokio::test]
    async fn tries_grow_apart_while_nothing_works() {
        let server = Server::start(|_, _| reply("500 Internal Server Error", "", "")).await;
        let rx = start(&server, "/", Purpose::Watch);
        let begun = clock::now();
        while server.seen().len() < 3 {
            assert!(clock::now().since(begun) < Duration::from_secs(10));
            tokio::task::yield_now().await;
        }
        let at: Vec<_> = server.seen().iter().map(|seen| seen.at).collect();
        assert!(at[1].since(at[0]) >= Backoff::FIRST);
        assert!(at[2].since(at[1]) >= Backoff::SECOND);
        drop(rx);
    }

    #[tokio::test]
    async fn a_probe_ends_with_the_answer_or_with_the_reason() {
        let server = Server::start(|seen, _| match seen.path.as_str() {
            "/file.ts" => ok([0x47; 376]),
            _ => reply("404 Not Found", "", ""),
        })
        .await;
        let mut rx = start(&server, "/file.ts", Purpose::Probe);
        let bytes = until(&mut rx, |event| match event {
            InputEvent::Recording { bytes } => Some(*bytes),
            _ => None,
        });
        assert_eq!(bytes.await, Some(376));
        assert_eq!(end(&mut rx).await, None);
        let why = end(&mut start(&server, "/none", Purpose::Probe)).await;
        assert_eq!(why.as_deref(), Some("HTTP 404"));
    }

    #[tokio::test]
    async fn a_probe_does_not_wait_twice_for_a_server_that_is_silent() {
        for path in ["/live.ts", "/live.m3u8"] {
            let server = Server::start(|_, _| vec![Step::Hang]).await;
            let why = end(&mut start(&server, path, Purpose::Probe)).await;
            assert_eq!(why.as_deref(), Some("no answer within 500ms"), "{path}");
            assert_eq!(server.seen().len(), 1, "{path}");
        }
    }

    #[tokio::test]
    async fn who_follows_goes_on_after_failures_and_ends_and_not_after_a_recording() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
        let once = move || vec![Step::Send([head.as_bytes(), &[0x47; 188]].concat()), Step::Close];
        let server = Server::start(move |seen, before| match (seen.path.as_str(), before) {
            ("/file.ts", _) => ok([0x47; 376]),
            (_, 0..3) => reply("404 Not Found", "", ""),
            (_, 3) => once(),
            _ => live(),
        })
        .await;
        let mut rx = start(&server, "/live.ts", Purpose::Follow);
        condition(&mut rx, FaultKind::HttpError, true).await;
        condition(&mut rx, FaultKind::HttpError, false).await;
        let mut opened = 0;
        until(&mut rx, |event| match event {
            InputEvent::Opened { .. } => {
                opened += 1;
                (opened == 2).then_some(())
            }
            InputEvent::End { .. } => panic!("{event:?}"),
            _ => None,
        })
        .await;
        assert_eq!(end(&mut start(&server, "/file.ts", Purpose::Follow)).await, None);
    }

    #[tokio::test]
    async fn a_playlist_is_known_by_its_type_as_well_as_by_its_path() {
        let list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/s.ts\n#EXT-X-ENDLIST";
        for content_type in ["Content-Type: application/vnd.apple.mpegURL; x=y\r\n", ""] {
            let server = Server::start(move |seen, _| match seen.path.as_str() {
                "/s.ts" => ok("media"),
                _ => reply("200 OK", content_type, list),
            })
            .await;
            let mut rx = start(&server, "/live", Purpose::Probe);
            until(&mut rx, |event| matches!(event, InputEvent::Segment { .. }).then_some(())).await;
            assert_eq!(end(&mut rx).await, None);
        }
    }
}
