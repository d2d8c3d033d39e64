//! The agent's configuration file.

use std::{
    cell::Cell,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use tallylight_config::{Document, Placed, Problems, Table, value};
use tallylight_model::{Bitrate, NodeId};
use url::Url;

use crate::{evidence::Span, profile::Profiles};

/// Where `/metrics` listens unless told otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);
const MAX_DECODE_WORKERS: i64 = 256;
/// From some datagrams to a second of 1 Gb/s.
const RECEIVE_BUFFER_BYTES: std::ops::RangeInclusive<i64> = 16_384..=134_217_728;

/// A minute of 50 Mb/s fits in the most.
const MEMORY: std::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000;
const DEFAULT_MEMORY: usize = 32_000_000;
const MIN_DISK_BUDGET: u64 = 10_000_000;
const DEFAULT_DISK_BUDGET: u64 = 10_000_000_000;
const DEFAULT_AROUND: Duration = Duration::from_secs(10);
const AROUND: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// A checked configuration. Paths are resolved against the file's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This agent's name in the lineup.
    pub node: NodeId,
    /// The collector's OTLP/gRPC endpoint.
    pub collector: Url,
    /// The collector's API.
    pub assignment: Url,
    /// Where the token is.
    pub token: TokenPlace,
    /// Where `/metrics` listens.
    pub listen: SocketAddr,
    /// Where the assignment is kept.
    pub state_dir: PathBuf,
    /// The local address of outgoing connections.
    pub source_address: Option<IpAddr>,
    /// What is asked of the kernel for each UDP socket, in bytes; `None` leaves it to the agent.
    pub receive_buffer_bytes: Option<usize>,
    /// Decoding processes; `None` leaves it to the number of cores.
    pub decode_workers: Option<usize>,
    /// What the whole of the network is.
    pub uplink: Option<Bitrate>,
    /// Where traces go, by OTLP/gRPC.
    pub traces: Option<Url>,
    /// Where and how much of faulty streams is kept; `None` keeps nothing.
    pub evidence: Option<EvidenceConfig>,
    /// Where reference images of known slates are.
    pub slates: Option<PathBuf>,
    /// The profiles that streams may name.
    pub profiles: Profiles,
}

/// What is kept of faulty streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceConfig {
    /// Where the clips are.
    pub folder: PathBuf,
    /// What they may take up there, in bytes.
    pub disk_budget: u64,
    /// How much of a stream is kept.
    pub span: Span,
}

/// Where the agent's token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// In the configuration.
    Here(Token),
    /// In a file, which holds nothing else.
    File(PathBuf),
}

/// The agent's secret. It shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Says why a text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is 16 to 512 visible ASCII characters without spaces")]
pub struct TokenError;

impl Token {
    /// Takes 16 to 512 visible ASCII characters; white space around them is left out.
    ///
    /// # Errors
    /// The text is anything else.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let fits = (16..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err(TokenError) }
    }

    /// Returns the secret itself, for the one header it belongs in.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

impl Config {
    /// Reads and checks the text of a configuration file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Problems> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let document = Document::parse(&path.display().to_string(), text)?;
        let mut root = document.root();
        let node = root.required("node", value::parsed(NodeId::new));
        let collector = root.required_placed("collector", value::url(&["http", "https"]));
        let assignment = root.required_placed("assignment", value::url(&["http", "https"]));
        let token = token(&document, &mut root, folder);
        let listen = root.optional("listen", value::socket_address);
        let state_dir = root.required("state_dir", value::path);
        let source_address = root.optional("source_address", value::parsed(ip_address));
        let buffer = root.optional("receive_buffer_bytes", value::integer(RECEIVE_BUFFER_BYTES));
        let workers = root.optional("decode_workers", value::integer(1..=MAX_DECODE_WORKERS));
        let uplink = root.optional_placed("uplink", value::bitrate);
        let traces = root.optional_placed("traces", value::url(&["http", "https"]));
        let slates = root.optional("slates", value::path);
        let evidence = root.table("evidence").map(|table| evidence(&document, table, folder));
        let profiles = root.table("profiles").map(|table| Profiles::read(&document, table));
        root.finish();
        for url in [&collector, &assignment, &traces].into_iter().flatten() {
            check_endpoint(&document, url);
        }
        if let Some(zero) = uplink.as_ref().filter(|uplink| uplink.value.bps() == 0) {
            document.problem(&zero.place, "is zero; write the speed of the line, as in \"1Gbps\"");
        }
        let config = (|| {
            Some(Self {
                node: node?,
                collector: collector?.value,
                assignment: assignment?.value,
                token: token?,
                listen: listen.unwrap_or(DEFAULT_LISTEN),
                state_dir: folder.join(state_dir?),
                source_address,
                receive_buffer_bytes: buffer.and_then(|bytes| usize::try_from(bytes).ok()),
                decode_workers: workers.and_then(|workers| usize::try_from(workers).ok()),
                uplink: uplink.map(|uplink| uplink.value),
                traces: traces.map(|traces| traces.value),
                evidence: match evidence {
                    Some(evidence) => Some(evidence?),
                    None => None,
                },
                slates: slates.map(|slates| folder.join(slates)),
                profiles: profiles.unwrap_or_default(),
            })
        })();
        document.finish(config)
    }

    /// Which keys differ in a way that only a restart can follow.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("node", self.node != new.node),
            ("listen", self.listen != new.listen),
            ("state_dir", self.state_dir != new.state_dir),
            ("decode_workers", self.decode_workers != new.decode_workers),
            ("traces", self.traces != new.traces),
            ("evidence", self.evidence != new.evidence),
            ("slates", self.slates != new.slates),
            ("profiles", self.profiles != new.profiles),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

fn token(document: &Document<'_>, root: &mut Table<'_>, folder: &Path) -> Option<TokenPlace> {
    let stated = Cell::new(false);
    let here = root.optional_placed("token", |found| {
        stated.set(true);
        // The text is not repeated in the message: it is, or nearly is, a secret.
        Token::new(&value::text(found)?).map_err(|error| error.to_string())
    });
    let file = root.optional_placed("token_file", value::path);
    match (here, file) {
        (Some(here), None) => Some(TokenPlace::Here(here.value)),
        (None, Some(file)) => Some(TokenPlace::File(folder.join(file.value))),
        (Some(_), Some(file)) => {
            document.problem(&file.place, "stands beside token; write exactly one of the two");
            None
        }
        // What is wrong with it was said.
        (None, None) if stated.get() => None,
        (None, None) => {
            let what = "neither token nor token_file is there; write exactly one of the two";
            document.problem(&root.place(), what);
            None
        }
    }
}

fn evidence(document: &Document<'_>, mut table: Table<'_>, base: &Path) -> Option<EvidenceConfig> {
    let folder = table.required("folder", value::path);
    let budget = table.optional_placed("disk_budget", value::bytes);
    let before = table.optional_placed("before", value::duration);
    let after = table.optional_placed("after", value::duration);
    let memory = table.optional_placed("memory_per_stream", value::bytes);
    table.finish();
    for around in [&before, &after].into_iter().flatten() {
        if !AROUND.contains(&around.value) {
            document.problem(&around.place, "is out of bounds; allowed are 1s to 60s");
        }
    }
    if let Some(little) = budget.as_ref().filter(|budget| budget.value < MIN_DISK_BUDGET) {
        document.problem(&little.place, "is too little for a clip; allowed are 10MB and more");
    }
    if let Some(wrong) = memory.as_ref().filter(|memory| !MEMORY.contains(&memory.value)) {
        document.problem(&wrong.place, "is out of bounds; allowed are 1MB to 1GB");
    }
    let memory = memory.and_then(|memory| usize::try_from(memory.value).ok());
    Some(EvidenceConfig {
        folder: base.join(folder?),
        disk_budget: budget.map_or(DEFAULT_DISK_BUDGET, |budget| budget.value),
        span: Span {
            before: before.map_or(DEFAULT_AROUND, |before| before.value),
            after: after.map_or(DEFAULT_AROUND, |after| after.value),
            memory: memory.unwrap_or(DEFAULT_MEMORY),
        },
    })
}

fn ip_address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "is not an IP address; write one, as in \"192.0.2.7\"")
}

/// Neither credentials (they belong in the token) nor anything behind the host and port make sense.
fn check_endpoint(document: &Document<'_>, url: &Placed<Url>) {
    if !url.value.username().is_empty() || url.value.password().is_some() {
        document.problem(
            &url.place,
            "holds a user name or password; the token is what speaks for the agent",
        );
    }
    if url.value.path() != "/" || url.value.query().is_some() {
        document.problem(&url.place, "has a path; write scheme, host and port alone");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "node = \"n\"\ncollector = \"http://127.0.0.1:4317\"\nassignment = \"http://127.0.0.1:8480\"\ntoken = \"0123456789abcdef\"\nstate_dir = \"state\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("etc/agent.toml"), text).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_example_is_right() {
        let example = include_str!("../examples/agent.toml");
        let config = parse(example).unwrap();
        assert_eq!(config.node.as_str(), "north-a");
        assert_eq!(config.state_dir, Path::new("etc/state"));
        assert_eq!(config.token, TokenPlace::File("etc/north-a.token".into()));
        // Every key that stands there commented out is a key, with a value that is allowed.
        let all: String = example
            .lines()
            .map(|line| {
                match line.strip_prefix("# ").filter(|rest| {
                    rest.contains(" = \"") || rest.contains(" = 1") || rest.starts_with('[')
                }) {
                    Some(rest) if !rest.starts_with("Relative") => format!("{rest}\n"),
                    _ => format!("{line}\n"),
                }
            })
            .collect();
        let config = parse(&all).unwrap();
        assert_eq!(config.decode_workers, Some(1));
        assert_eq!(config.receive_buffer_bytes, Some(1_048_576));
        assert_eq!(config.uplink, Some(Bitrate::from_bps(1_000_000_000)));
        assert!(config.source_address.is_some() && config.traces.is_some());
        assert_eq!(config.slates.as_deref(), Some(Path::new("etc/slates")));
        // What is shown is what is taken where it is left out.
        let least = format!("{example}\n[evidence]\nfolder = \"evidence\"\n");
        assert_eq!(config.evidence, parse(&least).unwrap().evidence);
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:9464");
        assert_eq!((config.decode_workers, config.evidence), (None, None));
        let config = parse(&format!("{GOOD}[evidence]\nfolder = \"clips\"\n")).unwrap();
        let span = Span {
            before: Duration::from_secs(10),
            after: Duration::from_secs(10),
            memory: 32_000_000,
        };
        let folder = "etc/clips".into();
        let expected = EvidenceConfig { folder, disk_budget: 10_000_000_000, span };
        assert_eq!(config.evidence.as_ref(), Some(&expected));
        assert!(!format!("{config:?}").contains("0123456789"));
    }

    #[test]
    fn one_bad_file_per_message() {
        let with = |line: &str| format!("{GOOD}{line}\n");
        let cases = [
            (
                GOOD.replace("\"n\"", "\"n/1\""),
                "etc/agent.toml:1:9: node: \"n/1\": id has '/' at byte 1; allowed are A-Z a-z 0-9 . _ - and a letter or digit first",
            ),
            (
                GOOD.replace("http://127.0.0.1:4317", "ftp://h"),
                "etc/agent.toml:2:14: collector: has the scheme \"ftp\"; allowed are http://..., https://...",
            ),
            (
                GOOD.replace(":8480", ":8480/api"),
                "etc/agent.toml:3:15: assignment: has a path; write scheme, host and port alone",
            ),
            (
                GOOD.replace("127.0.0.1:8480", "me:pw@h"),
                "etc/agent.toml:3:15: assignment: holds a user name or password; the token is what speaks for the agent",
            ),
            (
                GOOD.replace("0123456789abcdef", "short"),
                "etc/agent.toml:4:10: token: a token is 16 to 512 visible ASCII characters without spaces",
            ),
            (
                with("token_file = \"x\""),
                "etc/agent.toml:6:15: token_file: stands beside token; write exactly one of the two",
            ),
            (
                with("listen = \"9464\""),
                "etc/agent.toml:6:11: listen: \"9464\" is not an address; write an IP address and a port, as in \"127.0.0.1:9464\"",
            ),
            (
                with("source_address = \"lo\""),
                "etc/agent.toml:6:19: source_address: \"lo\": is not an IP address; write one, as in \"192.0.2.7\"",
            ),
            (
                with("decode_workers = 0"),
                "etc/agent.toml:6:18: decode_workers: 0 is out of bounds; allowed are 1 to 256",
            ),
            (
                with("uplink = \"0Mbps\""),
                "etc/agent.toml:6:11: uplink: is zero; write the speed of the line, as in \"1Gbps\"",
            ),
            (
                with("streams = []"),
                "etc/agent.toml:6:1: streams: unknown key; allowed are node, collector, assignment, token, token_file, listen, state_dir, source_address, receive_buffer_bytes, decode_workers, uplink, traces, slates, evidence, profiles",
            ),
            (
                with("[evidence]\nbefore = \"0s\""),
                "etc/agent.toml:6:1: evidence.folder: is missing\netc/agent.toml:7:11: evidence.before: is out of bounds; allowed are 1s to 60s",
            ),
            (
                with("[evidence]\nfolder = \"e\"\ndisk_budget = \"1MB\""),
                "etc/agent.toml:8:16: evidence.disk_budget: is too little for a clip; allowed are 10MB and more",
            ),
            (
                with("[evidence]\nfolder = \"e\"\nmemory_per_stream = \"2GB\""),
                "etc/agent.toml:8:22: evidence.memory_per_stream: is out of bounds; allowed are 1MB to 1GB",
            ),
            (
                with("[evidence]\nfolder = \"e\"\nafter = \"10\""),
                "etc/agent.toml:8:10: evidence.after: \"10\" is not a duration; write a number and ms, s, min or h, as in \"5s\"",
            ),
        ];
        for (text, expected) in cases {
            let mut found: Vec<String> =
                parse(&text).expect_err(expected).lines().map(str::to_owned).collect();
            let mut expected: Vec<&str> = expected.lines().collect();
            found.sort();
            expected.sort_unstable();
            assert_eq!(found, expected, "for {text}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let found = parse("nod = 1\nlisten = 2\n").unwrap_err();
        for key in [
            "nod: unknown",
            "listen: is an integer",
            "node: is missing",
            "state_dir: is missing",
            "collector: is missing",
            "token",
        ] {
            assert!(found.contains(key), "{key} is not in\n{found}");
        }
    }
}
