//! Starts the demo world part by part; each is told the addresses that those before it announced.

use std::{
    collections::BTreeMap, fs, net::SocketAddr, os::unix::fs::OpenOptionsExt as _, path::Path,
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Client;
use serde_json::Value;
use url::Url;

use super::{
    children::Children,
    collector::Collector,
    pager::Pager,
    plan::{self, AGENTS, Form, Places, REGIONS, SERVERS},
    ports::Ports,
    screen::Screen,
    stage::{Edge, Project, Stage},
};
use crate::panel::{self, config, signature::Secret};

/// Answers of processes on the same machine.
const HTTP: Duration = Duration::from_secs(5);
/// Length of HLS segments. Each switch and restart takes media out of a player's cushion of three segments for good, and the
/// demo plays two rows on a channel; with segments of 2 s players came near a stall.
pub(super) const SEGMENT_SECONDS: u64 = 3;
/// From the start of a delivery server to its first HLS segments.
const DELIVERIES: Duration = Duration::from_secs(60);

impl Stage {
    /// Starts everything in `folder`. On failure nothing of it is left: children die with their handles.
    ///
    /// # Errors
    /// Says which part does not start.
    pub async fn launch(project: &Project, folder: &Path, screen: Screen) -> anyhow::Result<Self> {
        Self::launch_with(project, folder, screen, SEGMENT_SECONDS).await
    }

    /// The same with HLS segments of a length of one's own.
    ///
    /// # Errors
    /// See [`launch`](Self::launch).
    pub async fn launch_with(
        project: &Project,
        folder: &Path,
        screen: Screen,
        segment_seconds: u64,
    ) -> anyhow::Result<Self> {
        // Fails where one is installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().timeout(HTTP).build().context("cannot make a client")?;
        let mut processes = Children::new(folder, project.bin.join("tallylight-world"));
        let mut places = Places { segment_seconds, ..Places::default() };
        screen.say(
            "start",
            "head-end; the very first time it encodes its clips, which takes a minute or two",
        );
        let headend = start_headend(&mut processes, &mut places, &screen).await?;
        let channels: Vec<String> =
            plan::channels(&places.sources).into_iter().map(str::to_owned).collect();
        screen.say("start", "delivery servers, links, access network, panel, viewers");
        let mut edges = BTreeMap::new();
        for server in SERVERS {
            let edge = start_edge(&mut processes, server, &channels, segment_seconds, None).await?;
            edges.insert(server.id, edge);
        }
        let (links, feeds) = start_links(&mut processes, &edges, &channels).await?;
        let access = start_access(&mut processes, &mut places, &edges).await?;
        let panel = start_panel(&mut processes, &mut places, &edges, &feeds, folder).await?;
        let viewers = start_viewers(&mut processes, &places, &edges, &channels).await?;
        wait_for_deliveries(&http, &places).await?;
        screen.say("start", "collector, agents, Prometheus, Alertmanager");
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
            screen,
            http,
            headend,
            viewers,
            links,
            access,
            edges,
        })
    }
}

fn control_of(ready: &Value) -> anyhow::Result<Url> {
    Ok(ready["control"].as_str().context("no control address")?.parse()?)
}

async fn start_headend(
    processes: &mut Children,
    places: &mut Places,
    screen: &Screen,
) -> anyhow::Result<Url> {
    let told = |progress: &str| screen.pass(progress);
    let ready = processes.world_with("headend", &["headend"], told).await?;
    places.sources = serde_json::from_value(ready["sources"].clone()).context("sources")?;
    control_of(&ready)
}

pub(super) async fn start_edge(
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
                    encoder: None,
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
                    restart: Vec::new(),
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

/// Starts viewers, and a monitor of each delivery.
async fn start_viewers(
    processes: &mut Children,
    places: &Places,
    edges: &BTreeMap<&str, Edge>,
    channels: &[String],
) -> anyhow::Result<Url> {
    let panel = places.panel.as_ref().context("no panel")?;
    // One viewer in each region and channel: a session each, and no load to speak of.
    let count = (REGIONS.len() * channels.len()).to_string();
    let mut arguments = vec!["viewers".to_owned(), "--panel".into(), panel.to_string()];
    // Who leaves and comes back would seem to have got a bad picture meanwhile.
    arguments.extend(["--count", &count, "--stay-seconds", "86400"].map(str::to_owned));
    for region in REGIONS {
        for channel in channels {
            arguments.extend(["--watch".into(), format!("{region}/{channel}")]);
        }
    }
    for server in SERVERS {
        for (channel, url) in edges.get(server.id).into_iter().flat_map(|edge| &edge.watch) {
            let what = format!("{}/{}/{channel}={url}", server.id, server.region);
            arguments.extend(["--monitor".into(), what]);
        }
    }
    control_of(&processes.world("viewers", &arguments).await?)
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
