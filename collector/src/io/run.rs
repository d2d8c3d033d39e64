//! Puts the parts together, and takes them apart again.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use tallylight_decide::{Decider, Input, Mode, Scope};
use tallylight_model::MonoTime;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use super::{
    Clock, Loaded, grpc, http,
    http::Api,
    ingest::{Ingest, Room},
    journal::{Journal, Opened},
    judge::{Judge, JudgeHandle, Parts},
    meters::Meters,
    otlp_http,
    panel::PanelDriver,
    serve::{Protocol, Server},
    thumbnails,
    traces::Traces,
};
use crate::{config::Listen, dedupe::Dedupe};

/// How long a stop waits for requests that are in work.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Where a running collector listens; ports that were 0 have become real ones.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub grpc: SocketAddr,
    /// OTLP over HTTP.
    pub http: SocketAddr,
    /// API and metrics.
    pub api: SocketAddr,
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    addresses: Addresses,
    config: watch::Sender<Arc<Loaded>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Collector {
    /// Opens the journal, restores what it remembers, and starts.
    ///
    /// # Errors
    /// The journal cannot be opened, or an address cannot be listened on.
    pub async fn start(loaded: Loaded) -> anyhow::Result<Self> {
        install_crypto();
        let clock = Clock::start();
        let meters = Arc::new(Meters::default());
        let path = loaded.settings.journal.clone();
        let (journal, opened) = spawn_blocking(move || Journal::open(&path))
            .await?
            .with_context(|| format!("journal {}", loaded.settings.journal.display()))?;
        let epoch = opened.epoch;
        let (decider, dedupe) = restore(&loaded, opened, clock.now());
        let listeners = Listeners::bind(&loaded).await?;
        let addresses = listeners.addresses()?;
        let traces = loaded.settings.traces.as_ref().map(Traces::new).transpose()?;
        let (config, watcher) = watch::channel(Arc::new(loaded));
        let (stop, stopped) = watch::channel(false);
        let (handle, inbox) = JudgeHandle::channel();
        let (panel, orders) =
            PanelDriver::new(watcher.clone(), clock, epoch, handle.clone(), Arc::clone(&meters))?;
        let ingest = Ingest {
            config: watcher.clone(),
            clock,
            judge: handle.clone(),
            meters: Arc::clone(&meters),
            room: Room::default(),
        };
        let judge = Judge::new(Parts {
            decider,
            clock,
            journal,
            panel: Arc::clone(&panel),
            dedupe,
            meters: Arc::clone(&meters),
            config: watcher.clone(),
            traces,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(judge.run(inbox, stopped.clone()));
        tasks.spawn(until(Arc::clone(&panel).run(orders), stopped.clone()));
        tasks.spawn(until(panel.poll(), stopped.clone()));
        let thumbnails = thumbnails::Shared::new();
        let api =
            Api { config: watcher, judge: handle, meters, ingest: ingest.clone(), thumbnails };
        listeners.serve(&mut tasks, ingest, api, &stopped);
        tracing::info!(
            grpc = %addresses.grpc, http = %addresses.http, api = %addresses.api,
            epoch = epoch.0, "collector runs"
        );
        Ok(Self { addresses, config, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Puts a new configuration in force. Addresses and the journal stay as they were at the start.
    pub fn reload(&self, loaded: Loaded) {
        let before = Arc::clone(&self.config.borrow());
        if before.settings.listen != loaded.settings.listen
            || before.settings.journal != loaded.settings.journal
            || before.settings.traces != loaded.settings.traces
        {
            tracing::warn!("listen, journal and traces change only with a restart");
        }
        self.config.send_replace(Arc::new(loaded));
    }

    /// Stops: what has been taken in is safe, commands that are out stay in the journal as out.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(STOP_PATIENCE, finished).await.is_err() {
            tracing::warn!("requests in work were cut off");
            self.tasks.shutdown().await;
        }
        tracing::info!("collector stopped");
    }
}

/// Installing twice is refused, and harmless.
pub(super) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Takes up where the journal left off.
fn restore(loaded: &Loaded, opened: Opened, now: MonoTime) -> (Decider, Dedupe) {
    let mut dedupe = Dedupe::default();
    for (node, epoch, seq) in &opened.faults {
        dedupe.remember(node, *epoch, *seq);
    }
    let (lineup, policy) = (loaded.lineup.lineup.clone(), loaded.settings.policy.clone());
    let (mut decider, unreadable) =
        Decider::restore(lineup, policy, opened.epoch, now, opened.records);
    for key in unreadable {
        tracing::error!(key, "journal record cannot be read and is left out");
        // Whatever the person wanted, it was perhaps less than the configuration allows.
        if key.starts_with("mode/") {
            let (scope, mode, by) = (Scope::Global, Mode::Off, "an unreadable mode".to_owned());
            decider.handle(now, Input::SetMode { scope, mode, by });
        }
    }
    (decider, dedupe)
}

struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
    api: TcpListener,
}

impl Listeners {
    async fn bind(loaded: &Loaded) -> anyhow::Result<Self> {
        let Listen { grpc, http, api } = loaded.settings.listen;
        let open = [grpc, http, api].into_iter().find(|address| !address.ip().is_loopback());
        if let (Some(address), None) = (open, &loaded.tls) {
            tracing::warn!(%address, "listens beyond loopback without [tls]: tokens travel in the clear");
        }
        Ok(Self {
            grpc: bind(grpc, "grpc").await?,
            http: bind(http, "http").await?,
            api: bind(api, "api").await?,
        })
    }

    fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            grpc: self.grpc.local_addr()?,
            http: self.http.local_addr()?,
            api: self.api.local_addr()?,
        })
    }

    fn serve(
        self,
        tasks: &mut JoinSet<()>,
        ingest: Ingest,
        api: Api,
        stopped: &watch::Receiver<bool>,
    ) {
        let (config, meters) = (api.config.clone(), Arc::clone(&api.meters));
        let mut serve = |listener, protocol, router: Router| {
            let (config, meters) = (config.clone(), Arc::clone(&meters));
            let server = Server { protocol, router, config, meters, stopped: stopped.clone() };
            tasks.spawn(server.run(listener));
        };
        serve(self.grpc, Protocol::Http2, grpc::router(ingest.clone()));
        serve(self.http, Protocol::Http1, otlp_http::router(ingest));
        serve(self.api, Protocol::Http1, http::router(api));
    }
}

async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({what})"))
}

pub(super) async fn flag(mut stopped: watch::Receiver<bool>) {
    // The sender is gone only when the collector is.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn until(work: impl Future<Output = ()>, stopped: watch::Receiver<bool>) {
    tokio::select! {
        () = work => {}
        () = flag(stopped) => {}
    }
}
