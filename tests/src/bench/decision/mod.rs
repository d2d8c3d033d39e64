//! From the evidence that decides the cause to the command at the panel.
//!
//! The collector is the released program with its journal on disk. Agents and panel are played here, in one process, so that
//! both ends of a measurement are read off one monotonic clock: it begins before the deciding record is encoded and ends when
//! the panel has the whole request. In between are gRPC, judging, the synced intent, reading the panel's state, the signature
//! and HTTP. Every channel breaks once, while all others go on reporting each second as they do on a platform.

mod fleet;
mod panel;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tallylight_model::Metric;

use self::{
    fleet::{Fleet, NODES},
    panel::Panel,
};
use super::{Measured, spread::Spread, spreads, tell, usage};
use crate::{
    demo::{children::Children, plan, ports::Ports, stage},
    world::loss::Random,
};

/// What the project promises, in milliseconds.
const BUDGET_MS: f64 = 20.0;
/// A backup is ready when it was seen well for 10 s.
const WARM_UP: Duration = Duration::from_secs(14);
/// Between two faults, drawn evenly.
const SPACING_MS: [u64; 2] = [600, 1_800];
/// A decision that takes longer is a fault of its own.
const PATIENCE: Duration = Duration::from_secs(15);
const START: Duration = Duration::from_secs(20);

/// Breaks so many channels and measures each decision.
///
/// # Errors
/// The collector does not start or does not take what agents say.
pub(super) async fn measure(bin: &Path, folder: &Path, faults: u32) -> anyhow::Result<Measured> {
    let channels: Vec<String> = (1..=faults).map(|number| format!("c{number:04}")).collect();
    let mut ports = Ports::default();
    let [grpc, http, api] = [ports.take()?, ports.take()?, ports.take()?];
    let (panel, panel_at) = Panel::start(&channels).await?;
    let tokens = NODES
        .iter()
        .map(|node| Ok((node.id, stage::token()?)))
        .collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    fs::write(folder.join("lineup.toml"), lineup(&channels)).context("cannot write the lineup")?;
    fs::write(folder.join("collector.toml"), config([grpc, http, api], panel_at, &tokens))
        .context("cannot write collector.toml")?;
    stage::write_secret(&folder.join("panel.secret"), &panel.secret())?;
    let mut children = Children::new(folder, bin.join("tallylight-world"));
    let program = bin.join("tallylight-collector");
    children.program("collector", &program, &["run", "--config", "collector.toml"])?;
    wait_for(api).await?;
    let fleet = Fleet::start(grpc, &tokens, &channels).await?;
    tell(&format!("decision: {} agents report {} channels", NODES.len(), channels.len()));
    tokio::time::sleep(WARM_UP).await;
    let collector = children.pid("collector").context("the collector is not running")?;
    let (cpu, since) = (usage::processor_time(collector)?, Instant::now());
    let decisions = play(&fleet, &panel, &channels).await;
    let cores =
        (usage::processor_time(collector)? - cpu).as_secs_f64() / since.elapsed().as_secs_f64();
    let scrape = reqwest::get(format!("http://{api}/metrics")).await?.text().await?;
    let slices = fleet.check()?;
    children.stop().await;
    conclude(&decisions, &panel, &scrape, cores, slices)
}

/// One channel's decision; times in milliseconds from before the deciding record was encoded.
struct Decision {
    channel: String,
    outcome: Result<Times, String>,
}

#[derive(Clone, Copy)]
struct Times {
    /// Until the collector had it safe and answered.
    acknowledged: f64,
    /// Until the panel was last asked for its state, which is the first thing that a command does.
    asked: Option<f64>,
    /// Until the panel had the command.
    commanded: f64,
}

async fn play(fleet: &Arc<Fleet>, panel: &Arc<Panel>, channels: &[String]) -> Vec<Decision> {
    let mut random = Random::new(1);
    let mut tasks = tokio::task::JoinSet::new();
    for (number, channel) in channels.iter().enumerate() {
        if number % 25 == 0 {
            tell(&format!("decision: {number} of {} channels broken", channels.len()));
        }
        let (fleet, panel, channel) = (Arc::clone(fleet), Arc::clone(panel), channel.clone());
        tasks.spawn(async move {
            let outcome = decide(&fleet, &panel, &channel).await.map_err(|e| format!("{e:#}"));
            Decision { channel, outcome }
        });
        let [least, most] = SPACING_MS;
        let wait = least + random.next_u64() % (most - least);
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    tasks.join_all().await
}

/// Breaks a channel's primary source and follows it until the channel is good again.
async fn decide(fleet: &Fleet, panel: &Panel, channel: &str) -> anyhow::Result<Times> {
    let received = panel.expect(channel);
    let declared = fleet.break_source(channel);
    tokio::time::sleep_until(declared.into()).await;
    ensure!(!panel.has_command(channel), "the command came before the evidence that was to decide");
    let sent = fleet.declare(channel).await?;
    let receipt = tokio::time::timeout(PATIENCE, received).await.context("no command came")??;
    fleet.mend(channel, receipt.at).await?;
    let ms = |at: Instant| at.saturating_duration_since(sent.at).as_secs_f64() * 1e3;
    Ok(Times {
        acknowledged: ms(sent.acknowledged),
        asked: receipt.asked.filter(|at| *at >= sent.at).map(ms),
        commanded: ms(receipt.at),
    })
}

fn conclude(
    decisions: &[Decision],
    panel: &Panel,
    scrape: &str,
    cores: f64,
    slices: f64,
) -> anyhow::Result<Measured> {
    let mut wrong = panel.wrong();
    let mut times = Vec::new();
    for decision in decisions {
        match &decision.outcome {
            Ok(it) => times.push(*it),
            Err(problem) => wrong.push(format!("{}: {problem}", decision.channel)),
        }
    }
    let commanded = Spread::of(times.iter().map(|it| it.commanded)).context("nothing measured")?;
    let acknowledged =
        Spread::of(times.iter().map(|it| it.acknowledged)).context("nothing measured")?;
    let asked = Spread::of(times.iter().filter_map(|it| it.asked));
    let own = histogram(scrape);
    let mut rows = vec![commanded.row("command at the panel", 2)];
    rows.extend(asked.map(|it| it.row("panel asked for its state", 2)));
    rows.push(acknowledged.row("evidence safe, agent answered", 2));
    let mut text = spreads(
        &format!(
            "Decision: milliseconds from before the deciding record is sent, {} faults on {} channels, \
             {slices:.0} slices/s from {} agents beside it",
            times.len(),
            decisions.len(),
            NODES.len()
        ),
        &rows,
    );
    let verdict = if commanded.p99 < BUDGET_MS { "kept" } else { "MISSED" };
    let _ = write!(
        text,
        "\np99 under {BUDGET_MS} ms: {verdict}. The collector used {cores:.3} cores.\n\
         {} by its own account: {}.\n",
        Metric::DecisionSeconds.name(),
        own.describe()
    );
    let all: Vec<_> = times.iter().map(|it| it.commanded).collect();
    let figures = json!({
        "command_ms": commanded, "asked_ms": asked, "acknowledged_ms": acknowledged,
        "collector_cores": cores, "slices_per_second": slices, "all_command_ms": all,
        "own_count": own.count, "own_mean_ms": own.mean_ms(), "own_buckets": own.buckets,
    });
    Ok(Measured { figures, text, wrong })
}

/// A Prometheus histogram without labels.
#[derive(Debug, Default, PartialEq)]
struct Histogram {
    /// By upper bound in seconds, as written: how many are not above it.
    buckets: Vec<(String, f64)>,
    count: f64,
    sum: f64,
}

impl Histogram {
    fn mean_ms(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count * 1e3 } else { 0.0 }
    }

    /// The least bound that a share of all do not exceed.
    fn bound(&self, share: f64) -> &str {
        let enough = |(_, count): &&(String, f64)| *count >= share * self.count;
        self.buckets.iter().find(enough).map_or("+Inf", |(bound, _)| bound)
    }

    fn describe(&self) -> String {
        let (half, most) = (self.bound(0.5), self.bound(0.99));
        format!(
            "{} decisions, mean {:.2} ms, half within {half} s, 99 % within {most} s",
            self.count,
            self.mean_ms()
        )
    }
}

fn histogram(scrape: &str) -> Histogram {
    let mut found = Histogram::default();
    for line in scrape.lines() {
        let Some(rest) = line.strip_prefix(Metric::DecisionSeconds.name()) else { continue };
        let Some((name, value)) = rest.rsplit_once(' ') else { continue };
        let value = value.parse().unwrap_or_default();
        match name {
            "_sum" => found.sum = value,
            "_count" => found.count = value,
            _ => {
                let bound =
                    name.strip_prefix("_bucket{le=\"").and_then(|it| it.strip_suffix("\"}"));
                found.buckets.extend(bound.map(|bound| (bound.to_owned(), value)));
            }
        }
    }
    found
}

async fn wait_for(api: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + START;
    loop {
        let answer = reqwest::get(format!("http://{api}/healthz")).await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the collector does not start; see collector.log");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Mode `auto`. The two rates are raised because at 10 actions a minute 200 faults would take 20 minutes, and the channels of
/// a storm because so many faults in a minute are one; what is measured does not depend on them.
fn config(
    [grpc, http, api]: [SocketAddr; 3],
    panel: SocketAddr,
    tokens: &BTreeMap<&str, String>,
) -> String {
    let mut out = format!(
        "lineup = \"lineup.toml\"\njournal = \"journal.sqlite\"\nkill_switch = \"kill\"\n\
         [listen]\ngrpc = \"{grpc}\"\nhttp = \"{http}\"\napi = \"{api}\"\n\
         [mode]\nglobal = \"auto\"\n\
         [guards]\nglobal_per_minute = 1000\nglobal_burst = 1000\nstorm_channels = 1000\n\
         [panel]\nurl = \"http://{panel}\"\nsecret_file = \"panel.secret\"\n"
    );
    for (node, token) in tokens {
        let hash = plan::hash(token);
        let _ = write!(out, "[[agent]]\nnode = \"{node}\"\ntoken_sha256 = {hash}\n");
    }
    out
}

/// The demo's form: a head-end, and two regions with a server each. Nobody connects to any of the addresses.
fn lineup(channels: &[String]) -> String {
    let mut out = String::new();
    for region in ["headend", "north", "south"] {
        let _ = write!(out, "[[region]]\nid = \"{region}\"\n");
    }
    for (server, region) in [("n1", "north"), ("s1", "south")] {
        let _ = write!(out, "[[server]]\nid = \"{server}\"\nregion = \"{region}\"\n");
    }
    for node in &NODES {
        let (id, region) = (node.id, node.region);
        let _ = write!(out, "[[agent]]\nnode = \"{id}\"\nregion = \"{region}\"\npath = \"{id}\"\n");
    }
    for (number, channel) in channels.iter().enumerate() {
        let _ = write!(out, "[[channel]]\nid = \"{channel}\"\n");
        for (priority, source) in [(1, "primary"), (2, "backup")] {
            let _ = write!(
                out,
                "[[channel.source]]\nid = \"{source}\"\nrole = \"{source}\"\npriority = {priority}\n\
                 region = \"headend\"\nurl = \"udp://239.{priority}.{}.{}:5000\"\noffset = \"0ms\"\n",
                number / 250,
                number % 250 + 1,
            );
        }
        for server in ["n1", "s1"] {
            let delay = fleet::DELIVERY_DELAY.as_millis();
            let _ = write!(
                out,
                "[[channel.delivery]]\nid = \"{server}\"\nserver = \"{server}\"\n\
                 url = \"http://127.0.0.1:9/{server}/{channel}.ts\"\ndelay = \"{delay}ms\"\n"
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collectors_own_histogram_is_read_as_prometheus_writes_it() {
        let name = Metric::DecisionSeconds.name();
        let text = format!(
            "# HELP {name} x\n# TYPE {name} histogram\n{name}_bucket{{le=\"0.005\"}} 98\n\
             {name}_bucket{{le=\"0.02\"}} 99\n{name}_bucket{{le=\"+Inf\"}} 100\n{name}_sum 0.5\n\
             {name}_count 100\nother_count 7\n"
        );
        let it = histogram(&text);
        assert_eq!((it.count, it.bound(0.5), it.bound(0.99)), (100.0, "0.005", "0.02"));
        assert_eq!((it.bound(1.0), it.mean_ms()), ("+Inf", 5.0));
    }

    #[test]
    fn every_channel_has_two_sources_and_two_deliveries() {
        let text = lineup(&["c1".to_owned(), "c2".to_owned()]);
        assert_eq!(text.matches("[[channel.source]]").count(), 4);
        assert_eq!(text.matches("[[channel.delivery]]").count(), 4);
        assert!(toml_span::parse(&text).is_ok(), "{text}");
    }
}
