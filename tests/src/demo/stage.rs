//! The whole demo world, running: every process, where it listens, and how it is broken and mended.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nix::sys::signal::Signal;
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{
    children::Children,
    collector::Collector,
    pager::Pager,
    plan::{self, AGENTS, Form, Places, REGIONS, SERVERS},
    ports::Ports,
};
use crate::{
    panel::{self, config, signature::Secret},
    world::process::unix_ms,
};

/// Answers of processes on the same machine.
const HTTP: Duration = Duration::from_secs(5);
/// Length of HLS segments.
const SEGMENT_SECONDS: u64 = 2;

/// From the start of a delivery server to its first HLS segments.
const DELIVERIES: Duration = Duration::from_secs(60);

/// Where the programs and files of the project are.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder of `tallylight-agent`, `tallylight-collector` and `tallylight-world`.
    pub bin: PathBuf,
    /// The folder of rules and Alertmanager's configuration.
    pub alerts: PathBuf,
}

/// A delivery server as it announced itself.
#[derive(Clone, Debug, Deserialize)]
struct Edge {
    control: Url,
    media: Option<SocketAddr>,
    feeds: BTreeMap<String, SocketAddr>,
    watch: BTreeMap<String, Url>,
}

/// The running world.
pub struct Stage {
    /// Its processes.
    pub processes: Children,
    /// Where everything listens.
    pub places: Places,
    /// The collector's API.
    pub collector: Collector,
    /// What Alertmanager sent.
    pub pager: Pager,
    /// The panel's operators' listener.
    pub panel: Url,
    /// Prometheus.
    pub prometheus: Url,
    /// The folder with configurations and logs.
    pub folder: PathBuf,
    http: Client,
    headend: Url,
    links: BTreeMap<String, Url>,
    access: Url,
    edges: BTreeMap<&'static str, Edge>,
}

/// The panel's state.
#[derive(Clone, Debug, Deserialize)]
pub struct PanelState {
    /// Its channels.
    pub channels: Vec<PanelChannel>,
    /// Its servers.
    pub servers: Vec<PanelServer>,
}

/// A channel as the panel has it.
#[derive(Clone, Debug, Deserialize)]
pub struct PanelChannel {
    /// Its id.
    pub channel: String,
    /// The source that it is on.
    pub active: String,
}

/// A server as the panel has it.
#[derive(Clone, Debug, Deserialize)]
pub struct PanelServer {
    /// Its id.
    pub server: String,
    /// `active` or `drained`.
    pub state: String,
}

/// A command that the panel got, as it logged it.
#[derive(Clone, Debug, Deserialize)]
pub struct Command {
    /// When it arrived.
    pub received_unix_ms: i64,
    /// When it was answered.
    pub answered_unix_ms: i64,
    /// The answer.
    pub status: u16,
    /// Its body.
    pub command: Value,
}

impl Stage {
    /// Starts everything in `folder`. On failure nothing of it is left: children die with their handles.
    ///
    /// # Errors
    /// Says which part does not start.
    pub async fn launch(project: &Project, folder: &Path) -> anyhow::Result<Self> {
        Self::launch_with(project, folder, SEGMENT_SECONDS).await
    }

    /// The same with HLS segments of a length of one's own.
    ///
    /// # Errors
    /// See [`launch`](Self::launch).
    pub async fn launch_with(
        project: &Project,
        folder: &Path,
        segment_seconds: u64,
    ) -> anyhow::Result<Self> {
        // Fails where one is installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().timeout(HTTP).build().context("cannot make a client")?;
        let mut processes = Children::new(folder, project.bin.join("tallylight-world"));
        let mut places = Places { segment_seconds, ..Places::default() };
        let headend = start_headend(&mut processes, &mut places).await?;
        let channels: Vec<String> =
            plan::channels(&places.sources).into_iter().map(str::to_owned).collect();
        let mut edges = BTreeMap::new();
        for server in SERVERS {
            let edge = start_edge(&mut processes, server, &channels, segment_seconds, None).await?;
            edges.insert(server.id, edge);
        }
        let (links, feeds) = start_links(&mut processes, &edges, &channels).await?;
        let access = start_access(&mut processes, &mut places, &edges).await?;
        let panel = start_panel(&mut processes, &mut places, &edges, &feeds, folder).await?;
        start_viewers(&mut processes, &places, &channels).await?;
        wait_for_deliveries(&http, &places).await?;
        let (pager, address) = Pager::start().await?;
        places.pager = Some(address);
        let mut ports = Ports::default();
        let collector = start_collector(&mut processes, &mut places, &mut ports, project, folder)?;
        let collector = Collector::new(http.clone(), collector);
        let prometheus =
            start_monitoring(&mut processes, &mut places, &mut ports, project, folder)?;
        Ok(Self {
            processes,
            places,
            collector,
            pager,
            panel,
            prometheus,
            folder: folder.to_owned(),
            http,
            headend,
            links,
            access,
            edges,
        })
    }

    async fn post(&self, url: Url, body: &Value) -> anyhow::Result<Value> {
        let answer = self.http.post(url.clone()).json(body).send().await;
        let answer = answer.with_context(|| format!("{} does not answer", url.path()))?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{} answered {status}: {text}", url.path());
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Orders a fault of one source; returns when it took effect, in milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Fails where the head-end does not take the order.
    pub async fn order_source(
        &self,
        channel: &str,
        source: &str,
        order: &Value,
    ) -> anyhow::Result<u64> {
        let url = self.headend.join(&format!("sources/{channel}/{source}"))?;
        applied(&self.post(url, order).await?)
    }

    /// Orders a fault of all sources of a channel, at the same picture of the programme.
    ///
    /// # Errors
    /// See [`order_source`](Self::order_source).
    pub async fn order_channel(&self, channel: &str, order: &Value) -> anyhow::Result<u64> {
        let url = self.headend.join(&format!("channels/{channel}"))?;
        applied(&self.post(url, order).await?)
    }

    /// Sets the share of datagrams that a region's path loses.
    ///
    /// # Errors
    /// Fails where the link does not take the order.
    pub async fn lose(&self, region: &str, fraction: f64) -> anyhow::Result<u64> {
        let link = self.links.get(region).context("no such region")?;
        applied(&self.post(link.join("loss")?, &json!({ "fraction": fraction })).await?)
    }

    /// Asks the panel's operators' listener for something.
    ///
    /// # Errors
    /// Fails where the panel does not do it.
    pub async fn steer(&self, what: &str, body: &Value) -> anyhow::Result<()> {
        self.post(self.panel.join(&format!("control/{what}"))?, body).await.map(drop)
    }

    /// Returns every request for a command that the panel got.
    ///
    /// # Errors
    /// Fails where the panel does not answer.
    pub async fn commands(&self) -> anyhow::Result<Vec<Command>> {
        let url = self.panel.join("control/commands")?;
        Ok(self.http.get(url).send().await?.error_for_status()?.json().await?)
    }

    /// Returns the panel's state: what each channel is on, and which servers viewers are sent to.
    ///
    /// # Errors
    /// Fails where the panel does not answer.
    pub async fn panel_state(&self) -> anyhow::Result<PanelState> {
        let url = self.panel.join("control/state")?;
        Ok(self.http.get(url).send().await?.error_for_status()?.json().await?)
    }

    /// Adds up all series of one metric on an agent's `/metrics`; zero where there are none.
    ///
    /// # Errors
    /// Fails where the agent does not answer.
    pub async fn agent_metric(&self, node: &str, name: &str) -> anyhow::Result<f64> {
        let address = self.places.agents.get(node).context("no such agent")?;
        let answer = self.http.get(format!("http://{address}/metrics")).send().await?;
        let text = answer.error_for_status()?.text().await?;
        Ok(text
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// Kills a delivery server.
    ///
    /// # Errors
    /// Fails where there is none of that name.
    pub async fn kill_server(&mut self, server: &str) -> anyhow::Result<u64> {
        self.processes.kill(server).await?;
        Ok(unix_ms())
    }

    /// Starts a killed delivery server where it was.
    ///
    /// # Errors
    /// Fails where it does not start.
    pub async fn start_server(&mut self, server: &str) -> anyhow::Result<()> {
        let server = SERVERS.into_iter().find(|known| known.id == server).context("no server")?;
        let before = self.edges.get(server.id).cloned();
        let channels: Vec<String> =
            plan::channels(&self.places.sources).into_iter().map(str::to_owned).collect();
        let (seconds, before) = (self.places.segment_seconds, before.as_ref());
        start_edge(&mut self.processes, server, &channels, seconds, before).await.map(drop)
    }

    /// Cuts an agent's path to the servers, or mends it.
    ///
    /// # Errors
    /// Fails where the access network does not take the order.
    pub async fn cut(&self, source_address: &str, cut: bool) -> anyhow::Result<u64> {
        let rule = if cut { "cut" } else { "pass" };
        let order = json!({ "client": source_address, "rule": rule });
        applied(&self.post(self.access.join("rules")?, &order).await?)
    }
}

/// When an order took effect.
fn applied(answer: &Value) -> anyhow::Result<u64> {
    answer["at_unix_ms"].as_u64().context("the answer does not say when")
}

fn control_of(ready: &Value) -> anyhow::Result<Url> {
    Ok(ready["control"].as_str().context("no control address")?.parse()?)
}

async fn start_headend(processes: &mut Children, places: &mut Places) -> anyhow::Result<Url> {
    let ready = processes.world("headend", &["headend"]).await?;
    places.sources = serde_json::from_value(ready["sources"].clone()).context("sources")?;
    control_of(&ready)
}

async fn start_edge(
    processes: &mut Children,
    server: plan::Server,
    channels: &[String],
    segment_seconds: u64,
    before: Option<&Edge>,
) -> anyhow::Result<Edge> {
    let mode = match server.form {
        Form::HttpTs => "http-ts",
        Form::Hls => "hls",
        Form::Multicast => "multicast",
    };
    let mut arguments = vec!["edge".into(), "--server".into(), server.id.into()];
    arguments.extend(["--mode".into(), mode.to_owned()]);
    arguments.extend(["--segment-seconds".into(), segment_seconds.to_string()]);
    for channel in channels {
        let feed = before.and_then(|edge| edge.feeds.get(channel));
        let feed = feed.map_or_else(String::new, |address| format!("={address}"));
        arguments.extend(["--channel".into(), format!("{channel}{feed}")]);
    }
    if let Some(edge) = before {
        if let Some(media) = edge.media {
            arguments.extend(["--listen".into(), media.to_string()]);
        }
        if let Some(control) = edge.control.socket_addrs(|| None)?.first() {
            arguments.extend(["--control".into(), control.to_string()]);
        }
        let group = edge.watch.values().next().filter(|_| server.form == Form::Multicast);
        if let Some(port) = group.and_then(Url::port) {
            arguments.extend(["--group-port".into(), port.to_string()]);
        }
    }
    let ready = processes.world(server.id, &arguments).await?;
    serde_json::from_value(ready).with_context(|| format!("server {}", server.id))
}

/// Waits until every delivery by HTTP has something to deliver: Tallylight comes to a platform that runs.
async fn wait_for_deliveries(http: &Client, places: &Places) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + DELIVERIES;
    for url in places.deliveries.values().filter(|url| url.scheme() == "http") {
        loop {
            let answer = http.get(url.clone()).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "{} is not served", url.path());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

type Feeds = BTreeMap<String, Vec<SocketAddr>>;

/// Returns the links' control addresses, and where each channel goes into all of them.
async fn start_links(
    processes: &mut Children,
    edges: &BTreeMap<&str, Edge>,
    channels: &[String],
) -> anyhow::Result<(BTreeMap<String, Url>, Feeds)> {
    let (mut links, mut feeds) = (BTreeMap::new(), Feeds::new());
    for region in REGIONS {
        let mut arguments = vec!["link".to_owned(), "--region".into(), region.into()];
        for channel in channels {
            let of_region = SERVERS.iter().filter(|server| server.region == region);
            let to: Vec<_> = of_region
                .filter_map(|server| edges.get(server.id)?.feeds.get(channel))
                .map(ToString::to_string)
                .collect();
            arguments.extend(["--forward".into(), format!("{channel}={}", to.join(","))]);
        }
        let ready = processes.world(&format!("link-{region}"), &arguments).await?;
        links.insert(region.to_owned(), control_of(&ready)?);
        let taken: BTreeMap<String, SocketAddr> = serde_json::from_value(ready["feeds"].clone())?;
        for (channel, address) in taken {
            feeds.entry(channel).or_default().push(address);
        }
    }
    Ok((links, feeds))
}

async fn start_access(
    processes: &mut Children,
    places: &mut Places,
    edges: &BTreeMap<&str, Edge>,
) -> anyhow::Result<Url> {
    let mut arguments = vec!["access".to_owned()];
    for (id, edge) in edges {
        if let Some(media) = edge.media {
            arguments.extend(["--front".into(), format!("{id}={media}")]);
        }
    }
    let ready = processes.world("access", &arguments).await?;
    let fronts: BTreeMap<String, SocketAddr> = serde_json::from_value(ready["fronts"].clone())?;
    for (id, edge) in edges {
        for (channel, url) in &edge.watch {
            let mut url = url.clone();
            if let Some(front) = fronts.get(*id) {
                anyhow::ensure!(url.set_port(Some(front.port())).is_ok(), "{url} has no port");
            }
            places.deliveries.insert(((*id).to_owned(), channel.clone()), url);
        }
    }
    control_of(&ready)
}

async fn start_panel(
    processes: &mut Children,
    places: &mut Places,
    edges: &BTreeMap<&str, Edge>,
    feeds: &Feeds,
    folder: &Path,
) -> anyhow::Result<Url> {
    let mut bytes = vec![0; 32];
    getrandom::fill(&mut bytes).context("no random numbers")?;
    write_secret(&folder.join("panel.secret"), &Secret::from_bytes(bytes)?.to_text())?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = config::Config {
        listen: any,
        control: any,
        secret_file: folder.join("panel.secret"),
        epoch_file: Some(folder.join("panel.epoch")),
        interface: "lo".to_owned(),
        channels: plan::channels(&places.sources)
            .into_iter()
            .map(|channel| {
                let own = places.sources.iter().filter(|source| source.channel == channel);
                config::Channel {
                    channel: channel.to_owned(),
                    sources: own.map(|own| (own.source.clone(), own.url.clone())).collect(),
                    active: "primary".to_owned(),
                    links: feeds.get(channel).cloned().unwrap_or_default(),
                }
            })
            .collect(),
        servers: SERVERS
            .iter()
            .filter_map(|server| {
                let edge = edges.get(server.id)?;
                Some(config::Server {
                    server: server.id.to_owned(),
                    region: server.region.to_owned(),
                    // Viewers by multicast join groups; nobody sends them anywhere.
                    watch: if server.form == Form::Multicast {
                        BTreeMap::new()
                    } else {
                        edge.watch.clone()
                    },
                    control: Some(edge.control.clone()),
                })
            })
            .collect(),
    };
    let path = folder.join("panel.json");
    fs::write(&path, serde_json::to_vec_pretty(&config)?).context("cannot write panel.json")?;
    let path = path.to_str().context("the folder's name is not text")?;
    let ready = processes.world("panel", &["panel", "--config", path]).await?;
    let ready: panel::Ready = serde_json::from_value(ready).context("panel")?;
    places.panel = Some(Url::parse(&format!("http://{}", ready.listen))?);
    Ok(Url::parse(&format!("http://{}", ready.control))?)
}

async fn start_viewers(
    processes: &mut Children,
    places: &Places,
    channels: &[String],
) -> anyhow::Result<()> {
    let panel = places.panel.as_ref().context("no panel")?;
    // One viewer in each region and channel: a session each, and no load to speak of.
    let count = (REGIONS.len() * channels.len()).to_string();
    let mut arguments = vec!["viewers".to_owned(), "--panel".into(), panel.to_string()];
    arguments.extend(["--count".into(), count]);
    for region in REGIONS {
        for channel in channels {
            arguments.extend(["--watch".into(), format!("{region}/{channel}")]);
        }
    }
    processes.world("viewers", &arguments).await.map(drop)
}

fn start_collector(
    processes: &mut Children,
    places: &mut Places,
    ports: &mut Ports,
    project: &Project,
    folder: &Path,
) -> anyhow::Result<Url> {
    for place in &mut places.collector {
        *place = Some(ports.take()?);
    }
    let mut tokens = BTreeMap::new();
    for agent in AGENTS {
        places.agents.insert(agent.node, ports.take()?);
        tokens.insert(agent.node.to_owned(), token()?);
    }
    let operator = token()?;
    write_secret(&folder.join("operator.token"), &operator)?;
    let collector = plan::collector(places, &tokens, &operator);
    fs::write(folder.join("collector.toml"), collector).context("cannot write collector.toml")?;
    fs::write(folder.join("lineup.toml"), plan::lineup(places))
        .context("cannot write lineup.toml")?;
    let program = project.bin.join("tallylight-collector");
    processes.program("collector", &program, &["run", "--config", "collector.toml"])?;
    for agent in AGENTS {
        let node = agent.node;
        write_secret(&folder.join(format!("{node}.token")), &tokens[node])?;
        fs::create_dir_all(folder.join(format!("{node}.state"))).context("cannot make a folder")?;
        let config = format!("{node}.toml");
        fs::write(folder.join(&config), plan::agent_config(places, agent))
            .with_context(|| format!("cannot write {config}"))?;
        let program = project.bin.join("tallylight-agent");
        processes.program(node, &program, &["run", "--config", &config])?;
    }
    let api = places.collector[2].context("no address")?;
    Ok(Url::parse(&format!("http://{api}"))?)
}

fn start_monitoring(
    processes: &mut Children,
    places: &mut Places,
    ports: &mut Ports,
    project: &Project,
    folder: &Path,
) -> anyhow::Result<Url> {
    let (prometheus, alertmanager) = (ports.take()?, ports.take()?);
    places.alertmanager = Some(alertmanager);
    let template = fs::read_to_string(project.alerts.join("alertmanager.yml"))
        .context("cannot read alertmanager.yml")?;
    fs::write(folder.join("alertmanager.yml"), plan::alertmanager(places, &template))
        .context("cannot write alertmanager.yml")?;
    let rules = fs::canonicalize(project.alerts.join("rules")).context("no alerts/rules")?;
    let rules = format!("{}/*.yml", rules.display());
    fs::write(folder.join("prometheus.yml"), plan::prometheus(places, &rules))
        .context("cannot write prometheus.yml")?;
    let listen = format!("--web.listen-address={alertmanager}");
    let arguments = [
        "--config.file=alertmanager.yml",
        "--storage.path=alertmanager",
        "--cluster.listen-address=",
        &listen,
    ];
    processes.program("alertmanager", Path::new("prometheus-alertmanager"), &arguments)?;
    let listen = format!("--web.listen-address={prometheus}");
    let arguments =
        ["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", listen.as_str()];
    processes.program("prometheus", Path::new("prometheus"), &arguments)?;
    Ok(Url::parse(&format!("http://{prometheus}"))?)
}

pub(crate) fn token() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("no random numbers")?;
    Ok(format!("tl_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Writes what only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let file = fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Sends SIGSTOP and SIGCONT to an agent in turn until dropped: while it is stopped, its sockets overflow.
pub struct Pulses {
    agent: i32,
    task: tokio::task::JoinHandle<()>,
}

impl Pulses {
    /// More than the receive buffers of that agent hold, less than makes it silent.
    const STOPPED: Duration = Duration::from_millis(3000);
    const RUNNING: Duration = Duration::from_millis(1500);

    /// Begins at once.
    ///
    /// # Errors
    /// Fails where the agent is not running.
    pub fn start(processes: &Children, agent: &str) -> anyhow::Result<Self> {
        let agent = processes.pid(agent).context("the agent is not running")?;
        let task = tokio::spawn(async move {
            let pid = nix::unistd::Pid::from_raw(agent);
            loop {
                for (signal, lasting) in
                    [(Signal::SIGSTOP, Self::STOPPED), (Signal::SIGCONT, Self::RUNNING)]
                {
                    if nix::sys::signal::kill(pid, signal).is_err() {
                        return;
                    }
                    tokio::time::sleep(lasting).await;
                }
            }
        });
        Ok(Self { agent, task })
    }
}

impl Drop for Pulses {
    fn drop(&mut self) {
        self.task.abort();
        // If the agent has ended meanwhile, that shows elsewhere.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.agent), Signal::SIGCONT);
    }
}
