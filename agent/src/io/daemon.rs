//! The agent's life: configuration, assignment, sessions, host, reports, and a clean end.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use tallylight_model::Bitrate;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    assign::{Api, Assigner},
    decoding::{Decoders, MemoryLimits, Program},
    evidence::Keeper,
    export::{Collector, Exporter, Lane},
    gallery::Gallery,
    host::{HostReader, total_memory},
    input::Inputs,
    outbox::Outbox,
    serve,
    shedding::Relief,
    slates,
    state::State,
    trace::Tracer,
    watch::{Group, MAX_JOINS, Running, Shared, start},
};
use crate::{
    assignment::{Assignment, AssignmentError, Watch},
    config::{Config, Token, TokenPlace},
    exposition::Board,
    host::HostJudge,
    picture::Slates,
    report::{MAX_WAITING, Queue},
};

/// How often the assignment is asked for.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// The same until the first answer.
const ASK_FIRST: Duration = Duration::from_secs(1);
/// How often the host is looked at.
const HOST_EVERY: Duration = Duration::from_secs(1);
/// How long a clean end waits for the last reports to be taken.
const FLUSH: Duration = Duration::from_secs(2);

/// A configuration with its token: all that can be checked without doing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// The token, from wherever it is.
    pub token: Token,
    /// The known slates, from their folder.
    pub slates: Slates,
}

/// Reads and checks a configuration file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(path: &Path) -> anyhow::Result<Checked> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    let config = Config::parse(path, &text)?;
    let token = match &config.token {
        TokenPlace::Here(token) => token.clone(),
        TokenPlace::File(file) => {
            let text = fs::read_to_string(file)
                .with_context(|| format!("token_file: cannot read {}", file.display()))?;
            Token::new(&text).with_context(|| format!("token_file: {}", file.display()))?
        }
    };
    let slates = match &config.slates {
        Some(folder) => slates::read(folder).context("slates")?,
        None => Slates::default(),
    };
    Ok(Checked { config, token, slates })
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// It cannot start.
pub async fn run(path: PathBuf) -> anyhow::Result<()> {
    // Before anything else, so that a signal never finds the process without a handler.
    let signals =
        signals([SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()])?;
    let checked = check(&path)?;
    // A second provider in the process would be no harm; the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let state = State::open(&checked.config.state_dir)?;
    let epoch = state.next_epoch()?;
    let listener = serve::listen(checked.config.listen).await?;
    let node = checked.config.node.clone();
    let queue = Queue::new(node.clone(), epoch, MAX_WAITING);
    let outbox = Arc::new(Outbox::new(queue, Board::new(node.clone())));
    let (saturated_tx, saturated) = watch::channel(None);
    let relief = Relief::default();
    let workers = checked.config.decode_workers.unwrap_or_else(half_the_cores);
    let memory = MemoryLimits::of_half(total_memory(), workers);
    let decoders = Decoders::start(workers, &Program::own(), memory, &outbox);
    let evidence = checked.config.evidence.as_ref();
    let evidence = evidence.map(|evidence| Keeper::start(evidence, Arc::clone(&outbox)));
    let shared = Shared {
        evidence: evidence.transpose().context("cannot start the thread that writes clips")?,
        outbox,
        inputs: Inputs::new(checked.config.source_address, checked.config.receive_buffer_bytes),
        decoders: decoders.context("cannot start the threads of decoders")?,
        saturated,
        levels: relief.levels(),
        joins: Arc::new(Semaphore::new(MAX_JOINS)),
        slates: checked.slates.clone(),
        tracer: Tracer::new(checked.config.traces.as_ref(), &node)?,
        gallery: Gallery::default(),
    };
    let (collector_tx, collector) =
        watch::channel(Collector::new(&checked.config, &checked.token)?);
    tracing::info!(%node, epoch = epoch.0, listen = %checked.config.listen, "agent started");
    let api = Api::new(&checked.config, &checked.token)?;
    let mut agent = Agent {
        assigner: Assigner::new(api.clone()),
        api: watch::Sender::new(api),
        path,
        checked,
        state,
        shared,
        collector: collector_tx,
        saturated: saturated_tx,
        relief,
        in_flight: Arc::new(AtomicU64::new(0)),
        groups: BTreeMap::new(),
        uplink: None,
        away: false,
        answered: false,
    };
    agent.run(signals, listener, collector).await
}

fn half_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

struct Agent {
    path: PathBuf,
    checked: Checked,
    state: State,
    assigner: Assigner,
    api: watch::Sender<Api>,
    shared: Shared,
    collector: watch::Sender<Collector>,
    saturated: watch::Sender<Option<String>>,
    relief: Relief,
    in_flight: Arc<AtomicU64>,
    groups: BTreeMap<(String, Option<String>), (Group, Running)>,
    /// What 100 % of the network is by the lineup.
    uplink: Option<Bitrate>,
    /// The collector gives no assignment at the moment.
    away: bool,
    /// It gave one since the start.
    answered: bool,
}

impl Agent {
    async fn run(
        &mut self,
        signals: [Signal; 3],
        listener: TcpListener,
        collector: watch::Receiver<Collector>,
    ) -> anyhow::Result<()> {
        let outbox = Arc::clone(&self.shared.outbox);
        let mut tasks = JoinSet::new();
        for lane in [Lane::Faults, Lane::Slices] {
            let (outbox, in_flight) = (Arc::clone(&outbox), Arc::clone(&self.in_flight));
            tasks.spawn(Exporter::new(lane, outbox, collector.clone(), in_flight).run());
        }
        tasks.spawn(serve::serve(listener, move || outbox.metrics()));
        tasks.spawn(self.shared.gallery.clone().run(self.api.subscribe()));
        let [mut hangup, mut terminate, mut interrupted] = signals;
        let mut reader = HostReader::new(&self.checked.config.state_dir);
        let mut judge = HostJudge::new(None);
        let mut host = interval(HOST_EVERY);
        host.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut ask_at = tokio::time::Instant::now();
        let mut stopped = pin!(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupted.recv() => {}
            }
        });
        loop {
            tokio::select! {
                () = &mut stopped => break,
                _ = hangup.recv() => {
                    self.reload();
                    ask_at = tokio::time::Instant::now();
                }
                () = tokio::time::sleep_until(ask_at) => {
                    // A collector that does not answer must not hold up the end.
                    tokio::select! {
                        () = &mut stopped => break,
                        () = self.ask() => {}
                    }
                    ask_at = tokio::time::Instant::now()
                        + if self.answered { ASK_EVERY } else { ASK_FIRST };
                }
                _ = host.tick() => {
                    judge.set_uplink(self.checked.config.uplink.or(self.uplink));
                    let verdict = judge.judge(reader.read());
                    let Shared { decoders, outbox, .. } = &self.shared;
                    self.relief.look(decoders, &verdict.report, outbox);
                    self.shared.outbox.report(verdict.report);
                    self.saturated.send_if_modified(|known| {
                        let changed = known.is_some() != verdict.saturated.is_some();
                        known.clone_from(&verdict.saturated);
                        changed
                    });
                }
            }
        }
        tracing::info!("stopping");
        self.groups.values().for_each(|(_, running)| running.abort());
        self.flush().await;
        if let Some(evidence) = &self.shared.evidence {
            evidence.finish(FLUSH).await;
        }
        self.shared.tracer.shut_down();
        tasks.shutdown().await;
        Ok(())
    }

    /// Waits until everything was taken, but not for ever.
    async fn flush(&self) {
        let done = async {
            loop {
                let waiting = self.shared.outbox.queue().len();
                if waiting == 0 && self.in_flight.load(Ordering::SeqCst) == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(FLUSH, done).await.is_err() {
            let lost = self.shared.outbox.queue().len();
            tracing::error!(lost, "the collector did not take the last reports");
        }
    }

    fn reload(&mut self) {
        match self.try_reload() {
            Ok(restart) if restart.is_empty() => tracing::info!("configuration read again"),
            Ok(restart) => {
                let keys = restart.join(", ");
                tracing::warn!(keys, "configuration read again; these keys need a restart");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the new configuration is broken; the old one stays");
            }
        }
    }

    fn try_reload(&mut self) -> anyhow::Result<Vec<&'static str>> {
        let new = check(&self.path)?;
        let collector = Collector::new(&new.config, &new.token)?;
        let api = Api::new(&new.config, &new.token)?;
        let restart = self.checked.config.needs_restart(&new.config);
        let inputs = |config: &Config| (config.source_address, config.receive_buffer_bytes);
        if inputs(&self.checked.config) != inputs(&new.config) {
            // Sessions that run keep their address and buffers until they are started again.
            let (source, buffer) = inputs(&new.config);
            self.shared.inputs = Inputs::new(source, buffer);
        }
        self.assigner = Assigner::new(api.clone());
        self.api.send_replace(api);
        self.collector.send_replace(collector);
        // What needs a restart stays as it is in force.
        let old = std::mem::replace(&mut self.checked, new).config;
        self.checked.config.node = old.node;
        self.checked.config.state_dir = old.state_dir;
        self.checked.config.evidence = old.evidence;
        Ok(restart)
    }

    async fn ask(&mut self) {
        match self.try_ask().await {
            Ok(()) => {
                self.answered = true;
                if std::mem::take(&mut self.away) {
                    tracing::info!("the collector gives assignments again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.away, true) {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "no assignment from the collector");
                    self.use_kept().await;
                }
            }
        }
    }

    async fn try_ask(&mut self) -> anyhow::Result<()> {
        let Some(answer) = self.assigner.ask().await? else { return Ok(()) };
        let assignment = self.read(&answer.json)?;
        if let Err(error) = self.state.keep_assignment(&answer.json) {
            let error = format!("{error:#}");
            tracing::error!(error, "the assignment is not kept for the next start");
        }
        self.assigner.taken(&answer);
        self.follow(assignment).await;
        Ok(())
    }

    fn read(&self, json: &[u8]) -> Result<Assignment, AssignmentError> {
        let Config { node, profiles, .. } = &self.checked.config;
        Assignment::parse(json, node, profiles)
    }

    /// At a start without a collector, what it said last is watched.
    async fn use_kept(&mut self) {
        if self.answered || !self.groups.is_empty() {
            return;
        }
        let Some(kept) = self.state.assignment() else { return };
        match self.read(&kept) {
            Ok(assignment) => {
                tracing::info!("watching what the collector assigned last");
                self.follow(assignment).await;
            }
            Err(error) => tracing::error!(%error, "the kept assignment is of no use"),
        }
    }

    /// Stops what is no longer assigned, starts what is new; what did not change goes on.
    async fn follow(&mut self, assignment: Assignment) {
        for why in &assignment.left_out {
            tracing::warn!(why, "an entry of the assignment is not understood");
        }
        self.uplink = assignment.uplink;
        let mut wanted: BTreeMap<(String, Option<String>), Group> = BTreeMap::new();
        for watch in assignment.streams.into_iter().filter(|watch| watch.expectation.on_air) {
            let key = (watch.url.clone(), watch.interface.clone());
            wanted.entry(key).or_insert_with(|| Group { streams: Vec::new() }).streams.push(watch);
        }
        let gone: Vec<_> = self
            .groups
            .iter()
            .filter(|(key, (group, _))| wanted.get(*key) != Some(group))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some((_, running)) = self.groups.remove(&key) {
                running.stop().await;
            }
        }
        let streams = wanted.values().flat_map(|group| &group.streams);
        self.shared.outbox.watch(streams.map(|watch| watch.stream.clone()));
        for (key, group) in wanted {
            if let Entry::Vacant(place) = self.groups.entry(key)
                && let Some(running) = start(group.clone(), self.shared.clone())
            {
                place.insert((group, running));
            }
        }
        let streams = self.groups.values().flat_map(|(group, running)| {
            let of = |watch: &Watch| (running.worker, watch.stream.clone(), watch.priority);
            group.streams.iter().map(of)
        });
        self.relief.watch(streams, &self.shared.outbox);
        let watched = self.groups.values().map(|(group, _)| group.streams.len());
        self.shared.decoders.watch(watched.sum());
        tracing::info!(inputs = self.groups.len(), "assignment in force");
    }
}

fn signals<const N: usize>(kinds: [SignalKind; N]) -> anyhow::Result<[Signal; N]> {
    let mut all = Vec::with_capacity(N);
    for kind in kinds {
        all.push(signal(kind).context("cannot listen for signals")?);
    }
    all.try_into().map_err(|_| anyhow::anyhow!("cannot listen for signals"))
}
