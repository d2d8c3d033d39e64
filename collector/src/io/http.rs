//! The API: what is shown, what agents are to do, and what operators may order.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{delete, get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tallylight_decide::{
    Input, Mode, Scope,
    action::{ActionKind, ActionState},
    maintenance::WindowState,
};
use tallylight_model::{ActionId, ChannelId, IncidentId, NodeId, RegionId, ServerId, WindowId};
use tokio::sync::watch;

use super::{Loaded, ingest::Ingest, judge::JudgeHandle, meters::Meters, thumbnails};
use crate::{
    api, auth,
    exposition::{self, Page},
    maintenance,
    view::View,
};

/// Orders are short.
const MAX_BODY: usize = 64 << 10;
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What the API is served from.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) config: watch::Receiver<Arc<Loaded>>,
    pub(super) judge: JudgeHandle,
    pub(super) meters: Arc<Meters>,
    pub(super) ingest: Ingest,
    pub(super) thumbnails: thumbnails::Shared,
}

pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/api/v1/assignment", get(assignment))
        .route("/api/v1/channels", get(|api| list(api, "channels", api::channels)))
        .route("/api/v1/signals", get(|api| list(api, "signals", api::signals)))
        .route("/api/v1/faults", get(faults))
        .route("/api/v1/incidents", get(|api| list(api, "incidents", api::incidents)))
        .route("/api/v1/incidents/{id}", get(incident))
        .route("/api/v1/incidents/{id}/explain", get(explain))
        .route("/api/v1/actions", get(actions))
        .route("/api/v1/sources", get(|api| list(api, "sources", api::sources)))
        .route("/api/v1/nodes", get(|api| show(api, api::nodes)))
        .route("/api/v1/thumbnails", get(thumbnails::list))
        .route("/api/v1/thumbnails/{channel}/{name}", get(thumbnails::get).put(thumbnails::put))
        .route("/api/v1/mode", get(|api| show(api, api::modes)).post(set_mode))
        .route("/api/v1/shadow", get(|api| show(api, api::shadow)))
        .route("/api/v1/shadow/report", get(shadow_report))
        .route("/api/v1/actions/{id}/approve", post(approve))
        .route("/api/v1/actions/{id}/reject", post(reject))
        .route("/api/v1/channels/{id}/hands-off", delete(end_hands_off))
        .route("/api/v1/maintenance", get(|api| show(api, api::maintenance)).post(maintain))
        .route("/api/v1/maintenance/{id}", delete(end_maintenance))
        .route("/api/v1/incidents/{id}/close", post(close))
        .route("/api/v1/channels/{id}/fail-back", post(fail_back))
        .route("/api/v1/servers/{id}/return", post(return_server))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api)
}

/// An error as JSON: `{"error": "..."}`.
pub(super) struct Failed(pub(super) StatusCode, pub(super) &'static str);

pub(super) const BUSY: Failed = Failed(StatusCode::SERVICE_UNAVAILABLE, "the collector is busy");
pub(super) const NO_SUCH: Failed = Failed(StatusCode::NOT_FOUND, "there is no such entry");

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

async fn index() -> Html<String> {
    let paths = [
        "/api/v1/channels",
        "/api/v1/signals",
        "/api/v1/faults",
        "/api/v1/incidents",
        "/api/v1/actions",
        "/api/v1/sources",
        "/api/v1/nodes",
        "/api/v1/thumbnails",
        "/api/v1/mode",
        "/api/v1/shadow",
        "/api/v1/shadow/report",
        "/api/v1/maintenance",
        "/metrics",
        "/healthz",
    ];
    let items: String =
        paths.iter().map(|path| format!("<li><a href=\"{path}\">{path}</a></li>")).collect();
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tallylight</title>\
         <h1>Tallylight collector</h1><ul>{items}</ul></html>"
    ))
}

/// Healthy is a judge that answers and a journal that can be written.
async fn health(State(api): State<Api>) -> Result<Json<Value>, Failed> {
    const JOURNAL: Failed = Failed(
        StatusCode::SERVICE_UNAVAILABLE,
        "the journal cannot be written: nothing is acted on",
    );
    if api.judge.ask(|view| view.journal_fails).await.map_err(|_| BUSY)? {
        return Err(JOURNAL);
    }
    Ok(Json(json!({ "status": "ok" })))
}

async fn metrics(State(api): State<Api>) -> Result<Response, Failed> {
    let add =
        |page: &mut Page, view: &View<'_>, after: Option<ChannelId>| page.add(view, after.as_ref());
    let page = in_pieces(&api, Page::default(), add).await?;
    let rest = api.judge.ask(exposition::rest).await.map_err(|_| BUSY)?;
    let body = api.meters.render() + &page.finish(&rest);
    Ok(([(header::CONTENT_TYPE, TEXT)], body).into_response())
}

/// Reads off the judgement what may be much, piece by piece: between two pieces inputs are judged. `add` is told where the
/// piece before ended and answers where its own does, `None` after the last.
async fn in_pieces<T: Send + 'static, C: Send + 'static>(
    api: &Api,
    mut whole: T,
    add: fn(&mut T, &View<'_>, Option<C>) -> Option<C>,
) -> Result<T, Failed> {
    let mut after = None;
    loop {
        let read = api.judge.ask(move |view| {
            let last = add(&mut whole, view, after);
            (whole, last)
        });
        (whole, after) = read.await.map_err(|_| BUSY)?;
        if after.is_none() {
            return Ok(whole);
        }
    }
}

async fn list<C: Send + 'static>(
    State(api): State<Api>,
    name: &str,
    add: fn(&mut Vec<Value>, &View<'_>, Option<C>) -> Option<C>,
) -> Result<Json<Value>, Failed> {
    let items = in_pieces(&api, Vec::new(), add).await?;
    Ok(Json(json!({ name: items })))
}

async fn faults(State(api): State<Api>) -> Result<Json<Value>, Failed> {
    let standing = in_pieces(&api, Vec::new(), api::faults).await?;
    let ended = api.judge.ask(api::ended).await.map_err(|_| BUSY)?;
    Ok(Json(json!({ "faults": standing, "ended": ended })))
}

async fn actions(State(api): State<Api>) -> Result<Json<Value>, Failed> {
    let actions = in_pieces(&api, Vec::new(), api::actions).await?;
    let refusals = in_pieces(&api, Vec::new(), api::refusals).await?;
    Ok(Json(json!({ "actions": actions, "refusals": refusals })))
}

async fn show(
    State(api): State<Api>,
    write: fn(&View<'_>) -> Value,
) -> Result<Json<Value>, Failed> {
    api.judge.ask(write).await.map(Json).map_err(|_| BUSY)
}

async fn incident(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, Failed> {
    let id = IncidentId(number(&id)?);
    let found = api.judge.ask(move |view| api::incident(view, id)).await.map_err(|_| BUSY)?;
    found.map(Json).ok_or(NO_SUCH)
}

async fn explain(State(api): State<Api>, Path(id): Path<String>) -> Result<String, Failed> {
    let id = IncidentId(number(&id)?);
    let found = api.judge.ask(move |view| api::explain(view, id)).await.map_err(|_| BUSY)?;
    found.ok_or(NO_SUCH)
}

async fn shadow_report(State(api): State<Api>) -> Result<String, Failed> {
    api.judge.ask(api::shadow_report).await.map_err(|_| BUSY)
}

fn number(id: &str) -> Result<u64, Failed> {
    id.parse().map_err(|_| NO_SUCH)
}

/// An agent's work. The tag changes with it, so that asking each ten seconds costs next to nothing.
async fn assignment(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Failed> {
    let node = agent(&api, &headers)?;
    let config = Arc::clone(&api.config.borrow());
    let body = api::assignment(&config.lineup, &node, Timestamp::now())
        .ok_or(Failed(StatusCode::NOT_FOUND, "the lineup has no agent of this name"))?
        .to_string();
    let digest = Sha256::digest(body.as_bytes());
    let tag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    if knows(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let headers = [(header::ETAG, tag), (header::CONTENT_TYPE, "application/json".to_owned())];
    Ok((headers, body).into_response())
}

/// Which agent speaks.
pub(super) fn agent(api: &Api, headers: &HeaderMap) -> Result<NodeId, Failed> {
    let header = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let refused = |_| Failed(StatusCode::UNAUTHORIZED, "a bearer token of an agent is needed");
    api.ingest.authenticate(header).map_err(refused)
}

/// Whether whoever asks has what this tag names.
pub(super) fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers.get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    let is_it = |known: &str| matches!(known.trim(), "*") || known.trim() == tag;
    tags.is_some_and(|tags| tags.split(',').any(is_it))
}

/// Which operator speaks.
fn operator(api: &Api, headers: &HeaderMap) -> Result<String, Failed> {
    let header = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let config = api.config.borrow();
    auth::bearer(header)
        .and_then(|token| auth::whose(&config.settings.operators, token).cloned())
        .ok_or(Failed(StatusCode::UNAUTHORIZED, "a bearer token of an operator is needed"))
}

async fn order(api: &Api, input: Input) -> Result<Json<Value>, Failed> {
    api.judge.order(input).await.map_err(|_| BUSY)?;
    Ok(Json(json!({ "status": "taken" })))
}

async fn approve(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failed> {
    let by = operator(&api, &headers)?;
    let action = action(&api, &id).await?.0;
    const HELD: Failed = Failed(
        StatusCode::CONFLICT,
        "a guard holds the action back at this moment: see `held` of its incident, and say yes again",
    );
    tracing::info!(by, %action, "approved");
    let taken = order(&api, Input::Approve { action, by }).await?;
    let state =
        api.judge.ask(move |view| api::action_state(view, action)).await.map_err(|_| BUSY)?;
    if state == Some(ActionState::Waiting) { Err(HELD) } else { Ok(taken) }
}

async fn reject(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failed> {
    const NOT_WAITING: Failed =
        Failed(StatusCode::CONFLICT, "the action does not wait for anybody any more");
    let by = operator(&api, &headers)?;
    let (action, state) = action(&api, &id).await?;
    if state != ActionState::Waiting {
        return Err(NOT_WAITING);
    }
    tracing::info!(by, %action, "rejected");
    order(&api, Input::Reject { action, by }).await
}

async fn action(api: &Api, id: &str) -> Result<(ActionId, ActionState), Failed> {
    let id = ActionId(number(id)?);
    let state = api.judge.ask(move |view| api::action_state(view, id)).await.map_err(|_| BUSY)?;
    Ok((id, state.ok_or(NO_SUCH)?))
}

async fn end_hands_off(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failed> {
    let by = operator(&api, &headers)?;
    let channel = ChannelId::new(&id).map_err(|_| NO_SUCH)?;
    let asked = channel.clone();
    let is_left =
        move |view: &View<'_>| view.decider.hands_off(&asked, view.calendar.now).is_some();
    if !api.judge.ask(is_left).await.map_err(|_| BUSY)? {
        return Err(NO_SUCH);
    }
    tracing::warn!(by, %channel, "hands-off ended by a person");
    order(&api, Input::EndHandsOff { channel }).await
}

async fn maintain(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Failed> {
    let by = operator(&api, &headers)?;
    let wanted =
        maintenance::Order::read(&body).map_err(|why| Failed(StatusCode::BAD_REQUEST, why))?;
    let checked = api.judge.ask(move |view| wanted.check(view, by)).await.map_err(|_| BUSY)?;
    let plan = checked.map_err(|refused| match refused {
        maintenance::Refused::Wrong(why) => Failed(StatusCode::BAD_REQUEST, why),
        maintenance::Refused::Conflict(why) => Failed(StatusCode::CONFLICT, why),
    })?;
    tracing::warn!(by = plan.by, window = %plan.id, area = %plan.area, "maintenance planned");
    let id = plan.id.to_string();
    api.judge.order(Input::Maintain(plan)).await.map_err(|_| BUSY)?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

async fn end_maintenance(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failed> {
    let by = operator(&api, &headers)?;
    let window = WindowId::new(&id).map_err(|_| NO_SUCH)?;
    let asked = window.clone();
    let stands = move |view: &View<'_>| {
        let now = view.calendar.now;
        view.decider.windows().any(|it| it.plan.id == asked && it.state(now) != WindowState::Over)
    };
    if !api.judge.ask(stands).await.map_err(|_| BUSY)? {
        return Err(NO_SUCH);
    }
    tracing::warn!(by, %window, "maintenance ended by a person");
    order(&api, Input::EndMaintenance { window }).await
}

async fn close(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failed> {
    let by = operator(&api, &headers)?;
    let incident = IncidentId(number(&id)?);
    let exists = api.judge.ask(move |view| view.decider.incident(incident).is_some()).await;
    if !exists.map_err(|_| BUSY)? {
        return Err(NO_SUCH);
    }
    tracing::info!(by, %incident, "closed by a person");
    order(&api, Input::Close { incident, by }).await
}

/// Refuses what is not listed, and otherwise what is not as the order takes it to be.
async fn only_if(
    api: &Api,
    question: impl FnOnce(&View<'_>) -> Option<bool> + Send + 'static,
    otherwise: Failed,
) -> Result<(), Failed> {
    let is_so = api.judge.ask(question).await.map_err(|_| BUSY)?.ok_or(NO_SUCH)?;
    if is_so { Ok(()) } else { Err(otherwise) }
}

async fn fail_back(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failed> {
    const NOT_AWAY: Failed = Failed(
        StatusCode::CONFLICT,
        "the channel is not on another source by an action of the collector",
    );
    let by = operator(&api, &headers)?;
    let channel = ChannelId::new(&id).map_err(|_| NO_SUCH)?;
    let asked = channel.clone();
    let is_away = move |view: &View<'_>| {
        let listed = view.decider.lineup().channel(&asked).is_some();
        listed.then(|| view.decider.switched_away(view.calendar.now, &asked).is_some())
    };
    only_if(&api, is_away, NOT_AWAY).await?;
    tracing::info!(by, %channel, "a person fails the channel back");
    order(&api, Input::FailBack { channel, by }).await
}

async fn return_server(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failed> {
    const NOT_ISOLATED: Failed =
        Failed(StatusCode::CONFLICT, "the server is not drained by an action of the collector");
    let by = operator(&api, &headers)?;
    let server = ServerId::new(&id).map_err(|_| NO_SUCH)?;
    let asked = server.clone();
    let is_isolated = move |view: &View<'_>| {
        let listed = view.decider.lineup().server(&asked).is_some();
        listed.then(|| view.decider.isolated_by(view.calendar.now, &asked).is_some())
    };
    only_if(&api, is_isolated, NOT_ISOLATED).await?;
    tracing::info!(by, %server, "a person returns the server");
    order(&api, Input::Return { server, by }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeOrder {
    scope: String,
    mode: String,
}

async fn set_mode(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failed> {
    const BODY: Failed =
        Failed(StatusCode::BAD_REQUEST, "write {\"scope\": \"global\", \"mode\": \"off\"}");
    const SCOPE: Failed = Failed(
        StatusCode::BAD_REQUEST,
        "the scope must be global, region/ID of the lineup, or action/KIND",
    );
    const MODE: Failed =
        Failed(StatusCode::BAD_REQUEST, "the mode must be off, dry_run, approve or auto");
    let by = operator(&api, &headers)?;
    let order_text: ModeOrder = serde_json::from_slice(&body).map_err(|_| BODY)?;
    let scope = scope(&api, &order_text.scope).ok_or(SCOPE)?;
    let mode = Mode::from_name(&order_text.mode).ok_or(MODE)?;
    tracing::warn!(by, scope = order_text.scope, mode = mode.name(), "mode set by a person");
    order(&api, Input::SetMode { scope, mode, by }).await
}

fn scope(api: &Api, text: &str) -> Option<Scope> {
    match text.split_once('/') {
        None => (text == "global").then_some(Scope::Global),
        Some(("region", id)) => {
            let id = RegionId::new(id).ok()?;
            let config = api.config.borrow();
            let known = config.lineup.lineup.regions().any(|region| region.id == id);
            known.then_some(Scope::Region(id))
        }
        Some(("action", kind)) => ActionKind::from_name(kind).map(Scope::Action),
        Some(_) => None,
    }
}
