//! The operators' listener: what people and tests do behind Tallylight's back, and what the panel was told.

use std::{fmt::Display, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;

use super::{Misbehaviour, Panel, command::Act, ledger::ServerState, locked, watch};

pub(super) fn router(panel: Arc<Panel>) -> Router {
    Router::new()
        .route("/control/hang", post(hang))
        .route("/control/resume", post(resume))
        .route("/control/switch", post(switch))
        .route("/control/server", post(server))
        .route("/control/region", post(region))
        .route("/control/misbehave", post(misbehave))
        .route("/control/commands", get(commands))
        .route("/control/outputs", get(outputs))
        .route("/control/state", get(state))
        .with_state(panel)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneChannel {
    channel: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchByHand {
    channel: String,
    to: String,
    #[serde(default)]
    by: By,
}

/// Who changes something without Tallylight.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    /// A person.
    #[default]
    Operator,
    /// The panel's own failover.
    Panel,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerByHand {
    server: String,
    state: ServerState,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionByHand {
    region: String,
    served_by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Misbehave {
    mode: Misbehaviour,
}

fn failed(status: StatusCode, error: impl Display) -> Response {
    (status, Json(json!({ "error": error.to_string() }))).into_response()
}

fn done() -> Response {
    Json(json!({})).into_response()
}

async fn hang(State(panel): State<Arc<Panel>>, Json(asked): Json<OneChannel>) -> Response {
    let Some((_, output)) = panel.outputs.get(&asked.channel) else {
        return failed(StatusCode::NOT_FOUND, "no such channel");
    };
    match output.lock().await.hang() {
        Ok(()) => done(),
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn resume(State(panel): State<Arc<Panel>>, Json(asked): Json<OneChannel>) -> Response {
    let Some((_, output)) = panel.outputs.get(&asked.channel) else {
        return failed(StatusCode::NOT_FOUND, "no such channel");
    };
    match output.lock().await.resume() {
        Ok(()) => done(),
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn switch(State(panel): State<Arc<Panel>>, Json(asked): Json<SwitchByHand>) -> Response {
    let turn = panel.turn.lock().await;
    let Some(from) = locked(&panel.ledger).active(&asked.channel).map(str::to_owned) else {
        return failed(StatusCode::NOT_FOUND, "no such channel");
    };
    if from == asked.to {
        return done();
    }
    let by = match asked.by {
        By::Operator => "operator",
        By::Panel => "panel",
    };
    let act = Act::Switch { channel: asked.channel, from, to: asked.to };
    let answer = by_hand(&panel, &act, by).await;
    drop(turn);
    answer
}

async fn server(State(panel): State<Arc<Panel>>, Json(asked): Json<ServerByHand>) -> Response {
    let turn = panel.turn.lock().await;
    let servers = vec![asked.server];
    let act = match asked.state {
        ServerState::Active => Act::Undrain { servers },
        ServerState::Drained => Act::Drain { servers },
    };
    let answer = by_hand(&panel, &act, "operator").await;
    drop(turn);
    answer
}

async fn region(State(panel): State<Arc<Panel>>, Json(asked): Json<RegionByHand>) -> Response {
    let turn = panel.turn.lock().await;
    let act = Act::Move { region: asked.region, from: None, to: Some(asked.served_by) };
    let answer = by_hand(&panel, &act, "operator").await;
    drop(turn);
    answer
}

async fn by_hand(panel: &Arc<Panel>, act: &Act, by: &str) -> Response {
    if let Err(refusal) = locked(&panel.ledger).holds(act) {
        return failed(StatusCode::NOT_FOUND, refusal);
    }
    if let Err(error) = panel.carry_out(act).await {
        return failed(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"));
    }
    locked(&panel.ledger).apply(act, by);
    watch::move_viewers(panel, act);
    done()
}

async fn misbehave(State(panel): State<Arc<Panel>>, Json(asked): Json<Misbehave>) -> Response {
    *locked(&panel.misbehaviour) = asked.mode;
    done()
}

async fn commands(State(panel): State<Arc<Panel>>) -> Response {
    Json(&*locked(&panel.log)).into_response()
}

async fn outputs(State(panel): State<Arc<Panel>>) -> Response {
    let mut pids = std::collections::BTreeMap::new();
    for (channel, (_, output)) in &panel.outputs {
        pids.insert(channel, output.lock().await.pid());
    }
    Json(pids).into_response()
}

async fn state(State(panel): State<Arc<Panel>>) -> Response {
    let served = locked(&panel.served).clone();
    Json(locked(&panel.ledger).state(&served.sessions, &served.egress)).into_response()
}
