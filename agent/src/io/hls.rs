//! Drives an HLS session: one connection for the playlist and one for the segments, each kept alive, as a slow segment
//! must not hold up the playlist.

use std::{future::Future, pin::Pin, time::Duration};

use tallylight_model::MonoTime;
use tokio::sync::mpsc::Sender;

use super::{
    clock,
    http::{Client, Connector},
};
use crate::input::{
    Attention, FetchError, InputEvent, Purpose, StreamUrl,
    hls::{HlsInput, HlsOutput, HlsSession, PlaylistAnswer},
    looks_like_html,
    playlist::ByteRange,
};

/// 20,000 segments with addresses of 400 bytes fit.
const MAX_PLAYLIST: usize = 8 << 20;
/// 10 s of 50 Mb/s fit.
const MAX_SEGMENT: usize = 64 << 20;
/// A list that takes longer than this to load is old when it comes.
const PLAYLIST_WITHIN: Duration = Duration::from_secs(10);

/// A request under way, with its client and the moment at which the answer was there.
type Fetch = Pin<Box<dyn Future<Output = (Client, MonoTime, HlsInput)> + Send>>;

/// One connection: free, or busy with a request.
enum Lane {
    Free(Client),
    Busy(Fetch),
}

impl Lane {
    /// Begins a request. The session asks for one at a time, so the lane is free; if it were not, what it does now is
    /// given up.
    fn begin(&mut self, connector: &Connector, fetch: impl FnOnce(Client) -> Fetch) {
        let free = Self::Free(Client::new(connector.clone()));
        let client = match std::mem::replace(self, free) {
            Self::Free(client) => client,
            Self::Busy(_) => Client::new(connector.clone()),
        };
        *self = Self::Busy(fetch(client));
    }

    /// Waits for the answer; for ever if nothing is under way. May be dropped and called again.
    async fn answer(&mut self) -> (MonoTime, HlsInput) {
        match self {
            Self::Free(_) => std::future::pending().await,
            Self::Busy(fetch) => {
                let (client, at, input) = fetch.await;
                *self = Self::Free(client);
                (at, input)
            }
        }
    }
}

/// Follows the stream until it ends or the session is gone.
pub(super) async fn run(
    connector: &Connector,
    url: &StreamUrl,
    purpose: Purpose,
    tx: &Sender<InputEvent>,
) {
    let mut session = HlsSession::new(url.clone(), purpose, clock::now());
    let mut lists = Lane::Free(Client::new(connector.clone()));
    let mut segments = Lane::Free(Client::new(connector.clone()));
    let mut attention = Attention::new(clock::now());
    session.handle_deadline(clock::now());
    loop {
        while let Some(output) = session.poll() {
            match output {
                HlsOutput::FetchPlaylist(url) => {
                    lists.begin(connector, |client| Box::pin(fetch_playlist(client, url)));
                }
                HlsOutput::FetchSegment { url, range, within } => segments
                    .begin(connector, |client| Box::pin(fetch_segment(client, url, range, within))),
                HlsOutput::Event(event) => {
                    let over = matches!(event, InputEvent::End { .. });
                    if tx.send(event).await.is_err() || over {
                        return;
                    }
                }
            }
        }
        // A millisecond more, as the timer's grain is one: waking too early would only mean waking twice.
        let deadline = session.deadline().map(|at| at + Duration::from_millis(1));
        let next = deadline.into_iter().chain([attention.next()]).min().unwrap_or(attention.next());
        let answer = tokio::select! {
            answer = lists.answer() => Some(answer),
            answer = segments.answer() => Some(answer),
            () = tokio::time::sleep(next.since(clock::now())) => None,
        };
        let now = clock::now();
        session.missed(attention.missed(now));
        let at = attention.look(now);
        match answer {
            Some((at, input)) => session.handle(at, input),
            None if tx.send(InputEvent::Quiet { at }).await.is_err() => return,
            None => session.handle_deadline(now),
        }
    }
}

async fn fetch_playlist(mut client: Client, url: StreamUrl) -> (Client, MonoTime, HlsInput) {
    let result = load_playlist(&mut client, &url).await;
    (client, clock::now(), HlsInput::Playlist(result))
}

async fn load_playlist(client: &mut Client, url: &StreamUrl) -> Result<PlaylistAnswer, FetchError> {
    let answer = client.get(url, None).await?;
    let (url, phases) = (answer.url.clone(), answer.phases);
    let body = answer.collect(None, MAX_PLAYLIST, PLAYLIST_WITHIN).await?;
    Ok(PlaylistAnswer { url, phases, body })
}

async fn fetch_segment(
    mut client: Client,
    url: StreamUrl,
    range: Option<ByteRange>,
    within: Duration,
) -> (Client, MonoTime, HlsInput) {
    let begun = clock::now();
    let result = match client.get(&url, range).await {
        Ok(answer) => answer.collect(range, MAX_SEGMENT, within).await,
        Err(failure) => Err(failure),
    };
    let result = result.and_then(|data| match data {
        empty if empty.is_empty() => Err(FetchError::Empty),
        page if looks_like_html(&page) => Err(FetchError::Html),
        data => Ok(data),
    });
    let at = clock::now();
    (client, at, HlsInput::Segment { fetch: at.since(begun), result })
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Write as _,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use tallylight_model::FaultKind;
    use tokio::sync::mpsc;

    use super::*;
    use crate::io::testing::{Server, Step, impatient, ok, reply, until};

    /// A live origin with segments of half a second, which can stand still.
    struct Origin {
        began: MonoTime,
        still: Option<MonoTime>,
    }

    impl Origin {
        const SEGMENT: Duration = Duration::from_millis(500);

        fn new() -> Self {
            // It has been running for a while.
            Self { began: clock::now() - Duration::from_secs(60), still: None }
        }

        fn list(&self) -> String {
            let now = self.still.unwrap_or_else(clock::now);
            let edge = now.since(self.began).as_millis() / Self::SEGMENT.as_millis();
            let mut text =
                format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{}\n", edge - 4);
            for number in edge - 4..edge {
                let cut = if number % 3 == 0 { "#EXT-X-DISCONTINUITY\n" } else { "" };
                let _ = write!(text, "{cut}#EXTINF:0.5,\nseg/{number}.ts\n");
            }
            text
        }
    }

    fn start(url: StreamUrl) -> mpsc::Receiver<InputEvent> {
        let (tx, rx) = mpsc::channel(100);
        tokio::spawn(async move { run(&impatient(), &url, Purpose::Watch, &tx).await });
        rx
    }

    async fn segment(rx: &mut mpsc::Receiver<InputEvent>) -> (u64, bool, Duration) {
        until(rx, |event| match event {
            InputEvent::Segment { sequence, discontinuity, fetch, data, .. } => {
                assert_eq!(*data, format!("media {sequence}"));
                Some((*sequence, *discontinuity, *fetch))
            }
            InputEvent::Condition { .. } => panic!("{event:?}"),
            _ => None,
        })
        .await
    }

    fn media(path: &str) -> Vec<Step> {
        let number = path.trim_start_matches("/live/v/seg/").trim_end_matches(".ts");
        ok(format!("media {number}"))
    }

    #[tokio::test]
    async fn a_live_stream_is_followed_over_two_kept_connections() {
        let origin = Origin::new();
        let server = Server::start(move |seen, _| match seen.path.as_str() {
            "/live/x.m3u8" => reply("302 Found", "Location: /live/master.m3u8?session=1\r\n", ""),
            "/live/master.m3u8?session=1" => {
                ok("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv/list.m3u8")
            }
            "/live/v/list.m3u8" => ok(origin.list()),
            path => media(path),
        })
        .await;
        let mut rx = start(server.url("/live/x.m3u8"));
        let (first, _, _) = segment(&mut rx).await;
        for number in first + 1..first + 6 {
            let (sequence, discontinuity, _) = segment(&mut rx).await;
            assert_eq!((sequence, discontinuity), (number, number % 3 == 0));
        }
        let seen = server.seen();
        let asked = seen.iter().filter(|seen| seen.path.contains("/seg/")).count();
        assert!(asked >= 6);
        let mut connections: Vec<usize> = seen.iter().map(|seen| seen.connection).collect();
        connections.sort_unstable();
        connections.dedup();
        assert_eq!(connections, [0, 1]);
    }

    #[tokio::test]
    async fn a_still_list_is_stale_and_a_gone_segment_missing() {
        let still = Arc::new(AtomicBool::new(false));
        let gone = Arc::new(AtomicBool::new(false));
        let (freeze, lose) = (Arc::clone(&still), Arc::clone(&gone));
        let origin = std::sync::Mutex::new(Origin::new());
        let server = Server::start(move |seen, _| {
            let mut origin = origin.lock().unwrap();
            let frozen = freeze.load(Ordering::Relaxed);
            origin.still = frozen.then(|| origin.still.unwrap_or_else(clock::now));
            match seen.path.as_str() {
                "/live/v/list.m3u8" => ok(origin.list()),
                _ if lose.load(Ordering::Relaxed) => reply("404 Not Found", "", ""),
                path => media(path),
            }
        })
        .await;
        let mut rx = start(server.url("/live/v/list.m3u8"));
        segment(&mut rx).await;
        let condition = async |rx: &mut mpsc::Receiver<InputEvent>, wanted, begins| {
            until(rx, |event| match event {
                InputEvent::Condition { kind, holds, evidence, .. } => {
                    ((*kind, *holds) == (wanted, begins)).then(|| evidence.clone())
                }
                _ => None,
            })
            .await
        };
        still.store(true, Ordering::Relaxed);
        let evidence = condition(&mut rx, FaultKind::PlaylistStale, true).await;
        assert!(evidence.ends_with("with a target duration of 1 s"), "{evidence}");
        still.store(false, Ordering::Relaxed);
        condition(&mut rx, FaultKind::PlaylistStale, false).await;
        gone.store(true, Ordering::Relaxed);
        let evidence = condition(&mut rx, FaultKind::SegmentMissing, true).await;
        assert!(evidence.ends_with(": HTTP 404"), "{evidence}");
        gone.store(false, Ordering::Relaxed);
        condition(&mut rx, FaultKind::SegmentMissing, false).await;
    }

    #[tokio::test]
    async fn a_segment_that_drips_does_not_hold_up_the_playlist() {
        let origin = Origin::new();
        let server = Server::start(move |seen, _| match seen.path.as_str() {
            "/live/v/list.m3u8" => ok(origin.list()),
            _ => {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n".to_vec();
                vec![Step::Send(head), Step::Repeat(vec![0x47], Duration::from_millis(20))]
            }
        })
        .await;
        let mut rx = start(server.url("/live/v/list.m3u8"));
        let mut requests = 0;
        until(&mut rx, |event| {
            requests += usize::from(matches!(event, InputEvent::Request { failed: false, .. }));
            (requests == 4).then_some(())
        })
        .await;
    }
}
