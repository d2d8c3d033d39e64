//! A web server that misbehaves on demand.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};

use super::{
    clock,
    http::{Connector, Patience, Tls},
};
use crate::input::{InputEvent, StreamUrl};

/// Longer than anything here may take, so that a failing test ends.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What the server does with a request, in order; afterwards it reads the next one.
pub(super) enum Step {
    Send(Vec<u8>),
    /// Sends the same over and over, every so often.
    Repeat(Vec<u8>, Duration),
    Hang,
    Close,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) head: String,
    pub(super) peer: SocketAddr,
    /// Which connection it came over, from 0.
    pub(super) connection: usize,
    pub(super) at: tallylight_model::MonoTime,
}

pub(super) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A whole answer.
pub(super) fn reply(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<Step> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    vec![Step::Send([head.as_bytes(), body].concat())]
}

pub(super) fn ok(body: impl AsRef<[u8]>) -> Vec<Step> {
    reply("200 OK", "", body)
}

impl Server {
    /// Starts on a free port; `answer` gets each request and how many came before it.
    pub(super) async fn start(
        answer: impl Fn(&Seen, usize) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for connection in 0.. {
                let (stream, peer) = listener.accept().await.unwrap();
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                connections.spawn(async move {
                    // A client that goes away is the end of its connection.
                    let _ = serve(stream, peer, connection, &log, &*answer).await;
                });
            }
        });
        Self { port, seen, task }
    }

    pub(super) fn url(&self, path: &str) -> StreamUrl {
        self.url_with("", path)
    }

    pub(super) fn url_with(&self, user: &str, path: &str) -> StreamUrl {
        let text = format!("http://{user}127.0.0.1:{}{path}", self.port);
        StreamUrl::new(url::Url::parse(&text).unwrap()).unwrap()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    connection: usize,
    log: &Mutex<Vec<Seen>>,
    answer: &(impl Fn(&Seen, usize) -> Vec<Step> + Sync),
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let seen = Seen { path, head, peer, connection, at: clock::now() };
        let before = {
            let mut log = log.lock().unwrap();
            log.push(seen.clone());
            log.len() - 1
        };
        for step in answer(&seen, before) {
            match step {
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Repeat(bytes, every) => loop {
                    stream.write_all(&bytes).await?;
                    tokio::time::sleep(every).await;
                },
                Step::Hang => std::future::pending().await,
                Step::Close => return Ok(()),
            }
        }
    }
}

/// A connector that waits half a second at most, so that tests of waiting are short.
pub(super) fn impatient() -> Connector {
    let short = Duration::from_millis(500);
    let patience = Patience { header: short, idle: short, ..Patience::default() };
    Connector::new(Tls::default(), None).with_patience(patience)
}

/// Receives events until one fits.
pub(super) async fn until<T>(
    rx: &mut mpsc::Receiver<InputEvent>,
    mut fits: impl FnMut(&InputEvent) -> Option<T>,
) -> T {
    let mut before = Vec::new();
    let wait = async {
        loop {
            let Some(event) = rx.recv().await else { panic!("the input ended: {before:?}") };
            if let Some(found) = fits(&event) {
                return found;
            }
            before.push(event);
        }
    };
    match tokio::time::timeout(DEADLINE, wait).await {
        Ok(found) => found,
        Err(_) => panic!("never came"),
    }
}
