//! The panel of the benchmark: the reference panel's own signature and ledger behind a listener that stamps what arrives.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Context as _;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use jiff::Timestamp;
use serde_json::json;
use tokio::{net::TcpListener, sync::oneshot};

use crate::panel::{
    command::{Act, Command},
    ledger::{Judgement, Ledger},
    signature::{self, Headers, Secret, Verifier},
};

/// The arrival of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receipt {
    /// When the whole request was there.
    pub(super) at: Instant,
    /// When the state was last asked for before it.
    pub(super) asked: Option<Instant>,
}

/// A panel that runs channels in name only.
pub(super) struct Panel {
    secret: Secret,
    inner: Mutex<Inner>,
}

struct Inner {
    ledger: Ledger,
    verifier: Verifier,
    asked: Option<Instant>,
    /// Who waits for a channel's command.
    waiting: BTreeMap<String, oneshot::Sender<Receipt>>,
    /// Which action was told of each channel.
    told: BTreeMap<String, String>,
    wrong: Vec<String>,
}

impl Panel {
    pub(super) async fn start(channels: &[String]) -> anyhow::Result<(Arc<Self>, SocketAddr)> {
        let mut bytes = vec![0; 32];
        getrandom::fill(&mut bytes).context("no random numbers")?;
        let secret = Secret::from_bytes(bytes)?;
        let mut ledger = Ledger::new(0);
        for channel in channels {
            let sources = vec!["primary".to_owned(), "backup".to_owned()];
            ledger.add_channel(channel, sources, "primary");
        }
        for (server, region) in [("n1", "north"), ("s1", "south")] {
            ledger.add_server(server, region);
        }
        let inner = Inner {
            ledger,
            verifier: Verifier::new(vec![secret.clone()]),
            asked: None,
            waiting: BTreeMap::new(),
            told: BTreeMap::new(),
            wrong: Vec::new(),
        };
        let panel = Arc::new(Self { secret, inner: Mutex::new(inner) });
        let router = Router::new()
            .route("/commands", post(command))
            .route("/state", get(state))
            .with_state(Arc::clone(&panel));
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|io| drop(io.set_nodelay(true)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((panel, address))
    }

    pub(super) fn secret(&self) -> String {
        self.secret.to_text()
    }

    /// Announces that a channel's command is waited for.
    pub(super) fn expect(&self, channel: &str) -> oneshot::Receiver<Receipt> {
        let (receipt, received) = oneshot::channel();
        self.locked().waiting.insert(channel.to_owned(), receipt);
        received
    }

    /// Whether a channel's command has come already.
    pub(super) fn has_command(&self, channel: &str) -> bool {
        self.locked().told.contains_key(channel)
    }

    /// Everything that a collector should not have sent.
    pub(super) fn wrong(&self) -> Vec<String> {
        self.locked().wrong.clone()
    }

    /// A panic elsewhere leaves plain data that is still whole.
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_signed(&mut self, headers: &HeaderMap, body: &[u8]) -> bool {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let headers = Headers {
            id: header(signature::ID),
            timestamp: header(signature::TIMESTAMP),
            signature: header(signature::SIGNATURE),
        };
        let verified = self.verifier.verify(Timestamp::now().as_second(), headers, body);
        if let Err(reason) = verified {
            self.wrong.push(format!("a request was not taken: {reason}"));
        }
        verified.is_ok()
    }

    fn obey(&mut self, at: Instant, body: &[u8]) -> Result<Response, String> {
        let command = Command::parse(body).map_err(|problem| problem.to_string())?;
        let Act::Switch { channel, from, to } = &command.act else {
            return Err(format!("{:?} was told", command.act));
        };
        let before = self.told.insert(channel.clone(), command.action_id.clone());
        if before.is_some_and(|before| before != command.action_id) {
            self.wrong.push(format!("{channel} was switched twice"));
        }
        if (from.as_str(), to.as_str()) != ("primary", "backup") {
            self.wrong.push(format!("{channel} was to go from {from} to {to}"));
        }
        match self.waiting.remove(channel) {
            // Whoever waited may have given up; that shows there.
            Some(waiting) => drop(waiting.send(Receipt { at, asked: self.asked })),
            None => self.wrong.push(format!("nobody waited for the command on {channel}")),
        }
        let judged = self.ledger.judge(Timestamp::now(), &command).map_err(|it| it.to_string())?;
        let answer = match judged {
            Judgement::Repeat(answer) => answer,
            Judgement::WouldBe(_) => return Err("a dry run was sent".to_owned()),
            Judgement::Do => self.ledger.conclude(&command, Ok(())),
        };
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
        Ok((status, Json(answer.body)).into_response())
    }
}

async fn command(State(panel): State<Arc<Panel>>, headers: HeaderMap, body: Bytes) -> Response {
    let at = Instant::now();
    let mut inner = panel.locked();
    if !inner.is_signed(&headers, &body) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    inner.obey(at, &body).unwrap_or_else(|problem| {
        let answer = (StatusCode::BAD_REQUEST, Json(json!({ "error": problem }))).into_response();
        inner.wrong.push(problem);
        answer
    })
}

async fn state(State(panel): State<Arc<Panel>>, headers: HeaderMap, body: Bytes) -> Response {
    let at = Instant::now();
    let mut inner = panel.locked();
    if !inner.is_signed(&headers, &body) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    inner.asked = Some(at);
    Json(inner.ledger.state(&BTreeMap::new(), &BTreeMap::new())).into_response()
}
