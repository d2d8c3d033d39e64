//! The listener of the contract: signed commands, signed state, and where to watch.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Logged, Misbehaviour, Panel,
    command::Command,
    ledger::{Answer, Judgement, Refusal},
    locked,
    signature::{self, Headers, Unsigned},
    watch,
};

/// A command with its evidence is a few kilobytes.
const MAX_BODY: usize = 64 * 1024;
/// Answers to commands that were accepted with 202.
const MAX_JOBS: usize = 1024;

pub(super) fn router(panel: Arc<Panel>) -> Router {
    Router::new()
        .route("/commands", post(command))
        .route("/commands/{action_id}", get(status))
        .route("/state", get(state))
        .route("/watch/{region}/{channel}", get(watch::redirect))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(panel)
}

impl Answer {
    fn respond(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.body)).into_response()
    }
}

fn refused(refusal: &Refusal) -> Answer {
    let mut text = refusal.to_string();
    if let Refusal::Malformed(problem) = refusal {
        text = problem.to_string();
    }
    Answer { status: refusal.status(), body: json!({ "error": text }) }
}

fn verify(panel: &Panel, headers: &HeaderMap, body: &[u8]) -> Result<(), Unsigned> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let headers = Headers {
        id: header(signature::ID),
        timestamp: header(signature::TIMESTAMP),
        signature: header(signature::SIGNATURE),
    };
    locked(&panel.verifier).verify(Timestamp::now().as_second(), headers, body)
}

fn unsigned(reason: Unsigned) -> Answer {
    let status = if reason == Unsigned::Full { 503 } else { 401 };
    Answer { status, body: json!({ "error": reason.to_string() }) }
}

async fn state(State(panel): State<Arc<Panel>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(reason) = verify(&panel, &headers, &body) {
        return unsigned(reason).respond();
    }
    let served = locked(&panel.served).clone();
    Json(locked(&panel.ledger).state(&served.sessions, &served.egress)).into_response()
}

async fn status(
    State(panel): State<Arc<Panel>>,
    Path(action_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(reason) = verify(&panel, &headers, &body) {
        return unsigned(reason).respond();
    }
    match locked(&panel.jobs).get(&action_id) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(None) => Json(json!({ "status": "running" })).into_response(),
        Some(Some(answer)) => {
            let mut body = answer.body.clone();
            body["status"] = if answer.status == 200 { "done" } else { "failed" }.into();
            Json(body).into_response()
        }
    }
}

async fn command(State(panel): State<Arc<Panel>>, headers: HeaderMap, body: Bytes) -> Response {
    let received = Timestamp::now();
    let (answer, location) = match verify(&panel, &headers, &body) {
        Err(reason) => (unsigned(reason), None),
        Ok(()) => obey(&panel, received, &body).await,
    };
    // What is not signed is not shown as a command.
    let shown = if answer.status == 401 { Value::Null } else { parsed(&body) };
    panel.note(Logged {
        received_unix_ms: received.as_millisecond(),
        answered_unix_ms: Timestamp::now().as_millisecond(),
        status: answer.status,
        command: shown,
    });
    match location {
        Some(location) => ([(header::LOCATION, location)], answer.respond()).into_response(),
        None => answer.respond(),
    }
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}

/// Returns the answer and, with 202, where to ask for the outcome.
async fn obey(panel: &Arc<Panel>, received: Timestamp, body: &[u8]) -> (Answer, Option<String>) {
    let command = match Command::parse(body) {
        Ok(command) => command,
        Err(problem) => return (refused(&Refusal::Malformed(problem)), None),
    };
    // The same command sent twice at once waits here and then gets the first answer.
    let turn = panel.turn.lock().await;
    let judgement = {
        let mut ledger = locked(&panel.ledger);
        let before = ledger.epoch();
        let judgement = ledger.judge(received, &command);
        let epoch = ledger.epoch();
        if epoch > before
            && let Err(error) = panel.save_epoch(epoch)
        {
            tracing::error!(%error, "the epoch cannot be kept");
            let body = json!({ "error": "the epoch cannot be kept" });
            return (Answer { status: 500, body }, None);
        }
        judgement
    };
    match judgement {
        Err(refusal) => return (refused(&refusal), None),
        Ok(Judgement::Repeat(answer)) => {
            let location = (answer.status == 202).then(|| status_url(&command));
            return (answer, location);
        }
        Ok(Judgement::WouldBe(state)) => {
            let body = json!({ "state": state, "dry_run": true });
            return (Answer { status: 200, body }, None);
        }
        Ok(Judgement::Do) => {}
    }
    let misbehaviour = *locked(&panel.misbehaviour);
    match misbehaviour {
        Misbehaviour::None => (finish(panel, &command).await, None),
        Misbehaviour::Hang => {
            drop(turn);
            std::future::pending().await
        }
        Misbehaviour::Error => (Answer { status: 500, body: json!({ "error": "as told" }) }, None),
        Misbehaviour::Lie => (locked(&panel.ledger).lie(&command), None),
        Misbehaviour::Slow => {
            let location = status_url(&command);
            (accept(panel, command), Some(location))
        }
    }
}

fn status_url(command: &Command) -> String {
    format!("/commands/{}", command.action_id)
}

async fn finish(panel: &Arc<Panel>, command: &Command) -> Answer {
    let outcome = panel.carry_out(&command.act).await.map_err(|error| format!("{error:#}"));
    let answer = locked(&panel.ledger).conclude(command, outcome);
    if answer.status == 200 {
        watch::move_viewers(panel, &command.act);
    }
    answer
}

/// Answers 202 at once and carries the command out behind it.
fn accept(panel: &Arc<Panel>, command: Command) -> Answer {
    let mut jobs = locked(&panel.jobs);
    if jobs.len() >= MAX_JOBS {
        return Answer { status: 503, body: json!({ "error": "too many jobs" }) };
    }
    jobs.insert(command.action_id.clone(), None);
    let accepted = Answer { status: 202, body: json!({ "status": "running" }) };
    locked(&panel.ledger).remember(&command, accepted.clone());
    let panel = Arc::clone(panel);
    tokio::spawn(async move {
        let turn = panel.turn.lock().await;
        let answer = finish(&panel, &command).await;
        drop(turn);
        locked(&panel.jobs).insert(command.action_id, Some(answer));
    });
    accepted
}
