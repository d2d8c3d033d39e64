//! Who and what there is in the demo world, and the configuration files that say so. Pure: addresses in, texts out.
//!
//! The collector's configuration has no `[guards]`: the demo shows what Tallylight does as it comes.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr};

use sha2::{Digest as _, Sha256};
use url::Url;

/// An agent of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Agent {
    /// Its node.
    pub node: &'static str,
    /// What it sees.
    pub region: &'static str,
    /// Its way there; no two share one.
    pub path: &'static str,
    /// Where its connections come from, so that the access network can tell agents apart.
    pub source_address: &'static str,
}

/// The agents: one at the head-end, two in each region.
pub const AGENTS: [Agent; 5] = [
    agent("head-1", "headend", "rack", "127.0.0.10"),
    agent("north-a", "north", "isp-1", "127.0.0.11"),
    agent("north-b", "north", "isp-2", "127.0.0.12"),
    agent("south-a", "south", "isp-3", "127.0.0.13"),
    agent("south-b", "south", "isp-4", "127.0.0.14"),
];

/// The agent whose host is made to drop packets.
pub const SMALL_HOST: &str = "south-a";

const fn agent(
    node: &'static str,
    region: &'static str,
    path: &'static str,
    source_address: &'static str,
) -> Agent {
    Agent { node, region, path, source_address }
}

/// How a server delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A transport stream over HTTP.
    HttpTs,
    /// HLS.
    Hls,
    /// UDP multicast.
    Multicast,
}

impl Form {
    /// Produced at the source to seen by an agent, beyond the duration of a segment.
    const fn delay_ms(self, segment_seconds: u64) -> u64 {
        match self {
            Self::HttpTs | Self::Multicast => 300,
            // A playlist is asked for at most one target duration late.
            Self::Hls => segment_seconds * 1000 + 500,
        }
    }
}

/// A delivery server of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Its id.
    pub id: &'static str,
    /// Its region.
    pub region: &'static str,
    /// How it delivers.
    pub form: Form,
    /// The agent that runs on its node, if one does.
    pub node: Option<&'static str>,
}

/// The servers: two in each region.
pub const SERVERS: [Server; 4] = [
    server("n1", "north", Form::HttpTs, None),
    server("n2", "north", Form::Hls, None),
    server("s1", "south", Form::HttpTs, Some("south-b")),
    server("s2", "south", Form::Multicast, None),
];

const fn server(
    id: &'static str,
    region: &'static str,
    form: Form,
    node: Option<&'static str>,
) -> Server {
    Server { id, region, form, node }
}

/// The regions with viewers.
pub const REGIONS: [&str; 2] = ["north", "south"];

/// A source as the head-end announces it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Source {
    /// Channel id.
    pub channel: String,
    /// `primary` or `backup`.
    pub source: String,
    /// `udp://GROUP:PORT`.
    pub url: Url,
    /// The interface it arrives on.
    pub interface: String,
    /// service_id in the stream.
    pub service_id: u16,
    /// How much later than the primary it shows the same programme.
    pub offset_ms: u64,
}

/// Where everything is, as the processes announced it.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The head-end's sources.
    pub sources: Vec<Source>,
    /// By (server, channel) where agents and viewers watch.
    pub deliveries: BTreeMap<(String, String), Url>,
    /// Length of HLS segments.
    pub segment_seconds: u64,
    /// The panel's signed listener.
    pub panel: Option<Url>,
    /// The collector's listeners: gRPC, HTTP, API.
    pub collector: [Option<SocketAddr>; 3],
    /// Each agent's `/metrics`.
    pub agents: BTreeMap<&'static str, SocketAddr>,
    /// Alertmanager.
    pub alertmanager: Option<SocketAddr>,
    /// The receiver of pages.
    pub pager: Option<SocketAddr>,
}

/// The channels in the order of the head-end.
#[must_use]
pub fn channels(sources: &[Source]) -> Vec<&str> {
    let mut channels: Vec<&str> = Vec::new();
    for source in sources {
        if !channels.contains(&source.channel.as_str()) {
            channels.push(&source.channel);
        }
    }
    channels
}

/// Writes `lineup.toml`.
#[must_use]
pub fn lineup(places: &Places) -> String {
    let mut out = String::from("# The demo world.\n");
    for region in ["headend"].iter().chain(&REGIONS) {
        put(&mut out, "region", &[("id", quoted(region))]);
    }
    for server in SERVERS {
        let mut keys = vec![("id", quoted(server.id)), ("region", quoted(server.region))];
        keys.extend(server.node.map(|node| ("node", quoted(node))));
        put(&mut out, "server", &keys);
    }
    for provider in ["sat-a", "sat-b"] {
        put(&mut out, "provider", &[("id", quoted(provider))]);
    }
    for agent in AGENTS {
        let keys = [
            ("node", quoted(agent.node)),
            ("region", quoted(agent.region)),
            ("path", quoted(agent.path)),
        ];
        put(&mut out, "agent", &keys);
    }
    for channel in channels(&places.sources) {
        let keys = [
            ("id", quoted(channel)),
            ("name", quoted(channel)),
            ("kind", quoted("tv")),
            // Four times as often as by default: percentiles need 20 starts, and a demo is short.
            ("zap_interval", quoted("15s")),
            ("audio", "[{ language = \"eng\", role = \"main\" }]".to_owned()),
        ];
        put(&mut out, "channel", &keys);
        for source in places.sources.iter().filter(|source| source.channel == channel) {
            put_source(&mut out, source);
        }
        for server in SERVERS {
            let place = (server.id.to_owned(), channel.to_owned());
            if let Some(url) = places.deliveries.get(&place) {
                put_delivery(&mut out, server, places.segment_seconds, url);
            }
        }
    }
    out
}

fn put_source(out: &mut String, source: &Source) {
    let (priority, provider) =
        if source.source == "primary" { ("1", "sat-a") } else { ("2", "sat-b") };
    let keys = [
        ("id", quoted(&source.source)),
        ("role", quoted(&source.source)),
        ("priority", priority.to_owned()),
        ("provider", quoted(provider)),
        ("region", quoted("headend")),
        ("url", quoted(source.url.as_str())),
        ("interface", quoted(&source.interface)),
        ("service_id", source.service_id.to_string()),
        ("offset", format!("\"{}ms\"", source.offset_ms)),
    ];
    put(out, "channel.source", &keys);
}

fn put_delivery(out: &mut String, server: Server, segment_seconds: u64, url: &Url) {
    let mut keys = vec![
        ("id", quoted(server.id)),
        ("server", quoted(server.id)),
        ("url", quoted(url.as_str())),
        ("delay", format!("\"{}ms\"", server.form.delay_ms(segment_seconds))),
    ];
    if server.form == Form::Multicast {
        keys.push(("interface", quoted("lo")));
    }
    put(out, "channel.delivery", &keys);
}

fn put(out: &mut String, table: &str, keys: &[(&str, String)]) {
    let _ = writeln!(out, "\n[[{table}]]");
    for (key, value) in keys {
        let _ = writeln!(out, "{key} = {value}");
    }
}

/// Ids and addresses have nothing that TOML would want escaped.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Writes `collector.toml`: mode `auto` as a word, region moves for people to approve, guards as they come.
#[must_use]
pub fn collector(places: &Places, tokens: &BTreeMap<String, String>, operator: &str) -> String {
    let mut out = String::from(
        "lineup = \"lineup.toml\"\njournal = \"journal.sqlite\"\nkill_switch = \"kill\"\n\n[listen]\n",
    );
    for (key, address) in ["grpc", "http", "api"].into_iter().zip(places.collector) {
        if let Some(address) = address {
            let _ = writeln!(out, "{key} = \"{address}\"");
        }
    }
    for (node, token) in tokens {
        put(&mut out, "agent", &[("node", quoted(node)), ("token_sha256", hash(token))]);
    }
    out.push_str("\n[mode]\nglobal = \"auto\"\n\n[mode.action]\nregion_move = \"approve\"\n");
    if let Some(url) = &places.panel {
        let _ = writeln!(out, "\n[panel]\nurl = \"{url}\"\nsecret_file = \"panel.secret\"");
    }
    let _ = writeln!(out, "\n[operators]\ndemo = {}", hash(operator));
    out
}

pub(crate) fn hash(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    let hex = digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    quoted(&hex)
}

/// Writes an agent's `agent.toml`. Its token stands in `NODE.token` beside it.
#[must_use]
pub fn agent_config(places: &Places, agent: Agent) -> String {
    let [grpc, _, api] = places.collector;
    let mut out = format!("node = \"{}\"\n", agent.node);
    if let Some(address) = grpc {
        let _ = writeln!(out, "collector = \"http://{address}\"");
    }
    if let Some(address) = api {
        let _ = writeln!(out, "assignment = \"http://{address}\"");
    }
    if let Some(address) = places.agents.get(agent.node) {
        let _ = writeln!(out, "listen = \"{address}\"");
    }
    let node = agent.node;
    let _ = writeln!(out, "token_file = \"{node}.token\"\nstate_dir = \"{node}.state\"");
    let _ = writeln!(out, "source_address = \"{}\"\ndecode_workers = 1", agent.source_address);
    if node == SMALL_HOST {
        // 2 s of a channel: a host whose memory is scarce, so that its sockets can overflow at all.
        out.push_str("receive_buffer_bytes = 262144\n");
    }
    out
}

/// Writes Prometheus's configuration with the project's rules.
#[must_use]
pub fn prometheus(places: &Places, rules: &str) -> String {
    let mut out = format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files:\n  - {rules}\n"
    );
    if let Some(address) = places.alertmanager {
        let _ = write!(
            out,
            "alerting:\n  alertmanagers:\n    - static_configs:\n        - targets: [\"{address}\"]\n"
        );
    }
    out.push_str("scrape_configs:\n");
    let api = places.collector[2].iter().copied().collect::<Vec<_>>();
    for (job, targets) in [
        ("tallylight-collector", api),
        ("tallylight-agent", places.agents.values().copied().collect()),
    ] {
        let targets: Vec<_> = targets.iter().map(|address| format!("\"{address}\"")).collect();
        let targets = targets.join(", ");
        let _ =
            write!(out, "  - job_name: {job}\n    static_configs:\n      - targets: [{targets}]\n");
    }
    out
}

/// Points the project's Alertmanager configuration at the local receiver.
#[must_use]
pub fn alertmanager(places: &Places, template: &str) -> String {
    let Some(pager) = places.pager else { return template.to_owned() };
    template.replace("127.0.0.1:9099", &pager.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let source = |name: &str, offset_ms| Source {
            channel: "one".into(),
            source: name.into(),
            url: Url::parse("udp://239.1.1.1:5000").unwrap(),
            interface: "lo".into(),
            service_id: 1,
            offset_ms,
        };
        let url = Url::parse("http://127.0.0.1:8600/one.ts").unwrap();
        Places {
            sources: vec![source("primary", 0), source("backup", 400)],
            deliveries: SERVERS
                .iter()
                .map(|server| ((server.id.to_owned(), "one".to_owned()), url.clone()))
                .collect(),
            segment_seconds: 2,
            panel: Some(Url::parse("http://127.0.0.1:8500").unwrap()),
            collector: [address(4317), address(4318), address(8480)],
            agents: AGENTS.iter().zip(9000..).map(|(a, p)| (a.node, address(p).unwrap())).collect(),
            alertmanager: address(9093),
            pager: address(7000),
        }
    }

    /// Every key with the table it stands in.
    fn keys(text: &str) -> Vec<(String, String)> {
        let mut table = String::new();
        let mut keys = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_matches(['[', ']']).to_owned();
                keys.push((table.clone(), String::new()));
            } else if let Some((key, _)) = line.split_once(" = ") {
                keys.push((table.clone(), key.to_owned()));
            }
        }
        keys
    }

    #[test]
    fn the_demo_runs_on_default_guards_with_auto_written_out() {
        let tokens = BTreeMap::from([("head-1".to_owned(), "secret-token".to_owned())]);
        let text = collector(&places(), &tokens, "operator-token");
        for (table, key) in keys(&text) {
            assert!(!format!("{table}.{key}").contains("guard"), "[{table}] {key} is a guard");
        }
        assert!(text.contains("[mode]\nglobal = \"auto\"\n"));
        assert!(text.contains("[mode.action]\nregion_move = \"approve\"\n"));
        assert!(!text.contains("secret-token") && !text.contains("operator-token"));
    }

    #[test]
    fn every_source_and_delivery_stands_in_the_lineup_with_what_is_expected_of_it() {
        let text = lineup(&places());
        let count = |name: &str| text.matches(&format!("[[{name}]]")).count();
        assert_eq!(count("channel.source"), 2);
        assert_eq!(count("channel.delivery"), SERVERS.len());
        assert_eq!(count("agent"), AGENTS.len());
        assert!(text.contains("offset = \"400ms\""));
        assert!(text.contains("url = \"udp://239.1.1.1:5000\""));
    }

    #[test]
    fn pages_go_to_the_local_receiver_alone() {
        let template = "url: http://127.0.0.1:9099/pager\nurl: http://127.0.0.1:9099/tickets\n";
        let text = alertmanager(&places(), template);
        assert!(!text.contains("9099"));
        assert_eq!(text.matches("127.0.0.1:7000/").count(), 2);
    }
}
