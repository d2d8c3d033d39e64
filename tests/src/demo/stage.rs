//! The whole demo world, running: every process, where it listens, and how it is broken and mended.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

pub(crate) use super::launch::{token, write_secret};
use super::{
    children::Children,
    collector::Collector,
    launch::start_edge,
    pager::Pager,
    plan::{self, Places, SERVERS},
    screen::Screen,
};
use crate::world::{process::unix_ms, viewers::Receiver};

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
pub(super) struct Edge {
    pub(super) control: Url,
    pub(super) media: Option<SocketAddr>,
    pub(super) feeds: BTreeMap<String, SocketAddr>,
    pub(super) watch: BTreeMap<String, Url>,
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
    /// The world's own receivers.
    pub viewers: Url,
    /// The folder with configurations and logs.
    pub folder: PathBuf,
    /// Where it is told what happens.
    pub screen: Screen,
    pub(super) http: Client,
    pub(super) headend: Url,
    pub(super) links: BTreeMap<String, Url>,
    pub(super) access: Url,
    pub(super) edges: BTreeMap<&'static str, Edge>,
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

    /// Returns what the world's own receivers get, who are neither agents nor known to Tallylight.
    ///
    /// # Errors
    /// Fails where they do not answer.
    pub async fn receivers(&self) -> anyhow::Result<Vec<Receiver>> {
        let url = self.viewers.join("receivers")?;
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
