//! The local receiver of Alertmanager's pages: records what arrives, as a person's telephone would.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    routing::post,
};
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::world::process;

/// Notifications kept; a demo makes some dozens.
const MAX_PAGES: usize = 4096;
const MAX_BODY: usize = 1 << 20;

/// One alert of one notification.
#[derive(Clone, Debug)]
pub struct Page {
    /// Which receiver it was routed to: `pager`, `tickets` or `watchdog`.
    pub receiver: String,
    /// When it arrived.
    pub at_unix_ms: u64,
    /// `firing` or `resolved`.
    pub status: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Page {
    /// Returns a label's value, empty where there is none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

#[derive(Deserialize)]
struct Notification {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    status: String,
    labels: BTreeMap<String, String>,
}

/// What has arrived so far.
#[derive(Clone, Debug, Default)]
pub struct Pager(Arc<Mutex<Vec<Page>>>);

impl Pager {
    /// Begins to listen on a free port of loopback.
    ///
    /// # Errors
    /// Fails where no port can be had.
    pub async fn start() -> anyhow::Result<(Self, SocketAddr)> {
        let pager = Self::default();
        let api = Router::new()
            .route("/{receiver}", post(receive))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(pager.clone());
        let address = process::serve(SocketAddr::from(([127, 0, 0, 1], 0)), api).await?;
        Ok((pager, address))
    }

    /// Returns the pages that arrived from a moment on, oldest first.
    #[must_use]
    pub fn since(&self, unix_ms: u64) -> Vec<Page> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.iter().filter(|page| page.at_unix_ms >= unix_ms).cloned().collect()
    }
}

async fn receive(
    State(pager): State<Pager>,
    Path(receiver): Path<String>,
    Json(notification): Json<Notification>,
) -> StatusCode {
    let at_unix_ms = process::unix_ms();
    let mut pages = pager.0.lock().unwrap_or_else(PoisonError::into_inner);
    if pages.len() + notification.alerts.len() > MAX_PAGES {
        return StatusCode::INSUFFICIENT_STORAGE;
    }
    pages.extend(notification.alerts.into_iter().map(|alert| Page {
        receiver: receiver.clone(),
        at_unix_ms,
        status: alert.status,
        labels: alert.labels,
    }));
    StatusCode::OK
}
