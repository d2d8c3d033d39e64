//! Where viewers are sent, how many there are, and moving them off a server.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval};
use url::Url;

use super::{
    Panel,
    command::Act,
    config,
    ledger::{Egress, Sessions},
    locked,
};

const POLL: Duration = Duration::from_secs(1);

/// Sends a viewer to one of the servers that serve the region, in turn.
pub(super) async fn redirect(
    State(panel): State<Arc<Panel>>,
    Path((region, channel)): Path<(String, String)>,
) -> Response {
    if !panel.outputs.contains_key(&channel) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let ledger = locked(&panel.ledger);
    let urls: Vec<&Url> = ledger
        .servers_for(&region)
        .into_iter()
        .filter_map(|id| panel.servers.get(id)?.watch.get(&channel))
        .collect();
    if urls.is_empty() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let turn = panel.next_server.fetch_add(1, Ordering::Relaxed);
    (StatusCode::FOUND, [("location", urls[turn % urls.len()].to_string())]).into_response()
}

/// Who watches, and what was sent to viewers since the panel's start.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    pub(super) sessions: Sessions,
    pub(super) egress: Egress,
    /// Each edge's own counter as it last stood, by (server, channel).
    counters: BTreeMap<(String, String), u64>,
}

impl Served {
    fn count(&mut self, server: &config::Server, channel: &str, bytes: u64) {
        let key = (server.server.clone(), channel.to_owned());
        let before = self.counters.insert(key, bytes).unwrap_or_default();
        // A smaller number is that of an edge that was started anew.
        let more = if bytes >= before { bytes - before } else { bytes };
        *self.egress.entry((server.region.clone(), channel.to_owned())).or_default() += more;
    }
}

/// What an edge says of one channel.
#[derive(Deserialize)]
struct Report {
    channel: String,
    sessions: u64,
    egress_bytes: u64,
}

/// Asks every edge each second whom it serves. An edge that does not answer serves nobody.
pub(super) async fn poll_edges(panel: Arc<Panel>) {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut sessions = Sessions::new();
        for server in panel.servers.values() {
            let answers = ask(&panel, server).await.unwrap_or_default();
            let mut served = locked(&panel.served);
            for of in answers {
                let key = (server.server.clone(), server.region.clone(), of.channel.clone());
                sessions.insert(key, of.sessions);
                served.count(server, &of.channel, of.egress_bytes);
            }
        }
        locked(&panel.served).sessions = sessions;
    }
}

async fn ask(panel: &Panel, server: &config::Server) -> Option<Vec<Report>> {
    let url = server.control.as_ref()?.join("sessions").ok()?;
    panel.http.get(url).send().await.ok()?.error_for_status().ok()?.json().await.ok()
}

/// Ends the sessions on servers that viewers are no longer sent to: they ask again and are sent elsewhere.
pub(super) fn move_viewers(panel: &Arc<Panel>, act: &Act) {
    let leaving: Vec<String> = match act {
        Act::Drain { servers } => servers.clone(),
        Act::Move { region, .. } => {
            let of = panel.servers.values().filter(|server| server.region == *region);
            of.map(|server| server.server.clone()).collect()
        }
        Act::Switch { .. }
        | Act::Restart { .. }
        | Act::RestartEncoder { .. }
        | Act::RestartServers { .. }
        | Act::Undrain { .. }
        | Act::Return { .. } => return,
    };
    for id in leaving {
        let Some(control) = panel.servers.get(&id).and_then(|server| server.control.clone()) else {
            continue;
        };
        let panel = Arc::clone(panel);
        tokio::spawn(async move {
            let Ok(url) = control.join("sessions/end") else { return };
            // A server that is drained because it died cannot answer; its sessions ended with it.
            if let Err(error) = panel.http.post(url).send().await {
                tracing::info!(server = %id, error = %error.without_url(), "sessions not ended");
            }
        });
    }
}
