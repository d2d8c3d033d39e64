//! Reading of `collector.toml`.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tallylight_config::{Document, Place, Placed, Problems, Table, value};
use tallylight_decide::{
    Guards, Mode, Objectives, Policy, Return, Scope, action::ActionKind, lineup::Lineup,
};
use tallylight_model::{ChannelId, NodeId, ProfileName, Ratio, RegionId};
use toml_span::value::ValueInner;
use url::Url;

use crate::auth::TokenHash;

/// What the collector is told to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the lineup is.
    pub lineup: PathBuf,
    /// Where the journal is.
    pub journal: PathBuf,
    /// While this file exists, nothing acts.
    pub kill_switch: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// What the listeners prove themselves with; without it they speak in the clear.
    pub tls: Option<TlsSettings>,
    /// Token hashes of agents.
    pub agents: BTreeMap<NodeId, TokenHash>,
    /// Token hashes of operators, by name.
    pub operators: BTreeMap<String, TokenHash>,
    /// Modes and guards.
    pub policy: Policy,
    /// The panel, if there is one.
    pub panel: Option<PanelSettings>,
    /// Where to send traces.
    pub traces: Option<Url>,
}

/// Addresses to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// OTLP over gRPC.
    pub grpc: SocketAddr,
    /// OTLP over HTTP.
    pub http: SocketAddr,
    /// API, metrics and assignments.
    pub api: SocketAddr,
}

/// The signed webhook of the panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelSettings {
    /// Its base address.
    pub url: Url,
    /// Where its secrets are, one to a line, the first signs and so do the others.
    pub secret_file: Placed<PathBuf>,
}

/// Certificate and key of all listeners, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate, and after it those that vouch for it.
    pub certificate_file: Placed<PathBuf>,
    /// Its private key.
    pub key_file: Placed<PathBuf>,
}

/// Reads where the lineup is, whatever else may be wrong with the file.
#[must_use]
pub fn lineup_path(name: &str, text: &str) -> Option<Placed<PathBuf>> {
    let document = Document::parse(name, text).ok()?;
    document.root().optional_placed("lineup", value::path)
}

/// Reads the settings. `name` is how messages call the file; nodes and regions must be in `lineup` where it is known.
///
/// # Errors
/// All problems at once.
pub fn parse_settings(
    name: &str,
    text: &str,
    lineup: Option<&Lineup>,
) -> Result<Settings, Problems> {
    let document = Document::parse(name, text)?;
    let mut root = document.root();
    let lineup_path = root.required("lineup", value::path);
    let journal = root.required("journal", value::path);
    let kill_switch = root.required("kill_switch", value::path);
    let traces = root.optional("traces", value::url(&["http", "https"]));
    let listen = listen(root.table("listen"));
    let tls = root.table("tls").and_then(tls);
    let agents = agents(&document, root.tables("agent"), lineup);
    let operators = operators(&document, root.table("operators"));
    let modes = modes(&document, root.table("mode"), lineup);
    let guards = guards(&document, root.table("guards"));
    let objectives = objectives(&document, root.table("slo"), lineup);
    let panel = root.table("panel").and_then(panel);
    root.finish();
    let settings = (|| {
        Some(Settings {
            lineup: lineup_path?,
            journal: journal?,
            kill_switch: kill_switch?,
            listen,
            tls,
            agents,
            operators,
            policy: Policy { modes, at_most: None, guards, objectives },
            panel,
            traces,
        })
    })();
    document.finish(settings)
}

fn listen(table: Option<Table<'_>>) -> Listen {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut listen = Listen { grpc: local(4317), http: local(4318), api: local(8480) };
    if let Some(mut table) = table {
        let mut read = |key, place: &mut SocketAddr| {
            if let Some(address) = table.optional(key, value::socket_address) {
                *place = address;
            }
        };
        read("grpc", &mut listen.grpc);
        read("http", &mut listen.http);
        read("api", &mut listen.api);
        table.finish();
    }
    listen
}

fn agents(
    document: &Document<'_>,
    tables: Vec<Table<'_>>,
    lineup: Option<&Lineup>,
) -> BTreeMap<NodeId, TokenHash> {
    let mut agents = BTreeMap::new();
    for mut table in tables {
        let node = table.required_placed("node", value::parsed(NodeId::new));
        let hash = table.required("token_sha256", hash);
        table.finish();
        let Some(node) = node else { continue };
        if lineup.is_some_and(|lineup| lineup.agent(&node.value).is_none()) {
            document.problem(&node.place, not_listed(node.value.as_str(), "an agent"));
        }
        let Some(hash) = hash else { continue };
        if unique(document, &node.place, agents.values(), &hash)
            && agents.insert(node.value.clone(), hash).is_some()
        {
            document.problem(&node.place, format!("{} stands twice", node.value));
        }
    }
    agents
}

/// The text is not repeated in a message: it may be the token itself.
fn hash(found: &ValueInner<'_>) -> Result<TokenHash, String> {
    TokenHash::parse(&value::text(found)?).map_err(|error| error.to_string())
}

/// A token that two share would let one speak for the other.
fn unique<'a>(
    document: &Document<'_>,
    place: &Place,
    mut known: impl Iterator<Item = &'a TokenHash>,
    hash: &TokenHash,
) -> bool {
    let fresh = !known.any(|other| other == hash);
    if !fresh {
        document.problem(place, "has the token of another; make one for each with `token NODE`");
    }
    fresh
}

fn not_listed(id: &str, what: &str) -> String {
    format!("{id} is not {what} of the lineup")
}

fn operators(document: &Document<'_>, table: Option<Table<'_>>) -> BTreeMap<String, TokenHash> {
    let mut operators = BTreeMap::new();
    for entry in table.map_or_else(Vec::new, |table| table.entries(|_, found| hash(found))) {
        let (name, hash) = entry.value;
        if unique(document, &entry.place, operators.values(), &hash) {
            operators.insert(name, hash);
        }
    }
    operators
}

fn modes(
    document: &Document<'_>,
    table: Option<Table<'_>>,
    lineup: Option<&Lineup>,
) -> BTreeMap<Scope, Mode> {
    let mut modes = BTreeMap::new();
    let Some(mut table) = table else { return modes };
    if let Some(mode) = table.optional("global", mode) {
        modes.insert(Scope::Global, mode);
    }
    let regions = table.table("region").map_or_else(Vec::new, |table| {
        table.entries(|name, found| {
            let region = RegionId::new(name).map_err(|error| error.to_string())?;
            Ok((region, mode(found)?))
        })
    });
    for entry in regions {
        let (_, (region, mode)) = entry.value;
        if lineup.is_some_and(|lineup| !lineup.regions().any(|known| known.id == region)) {
            document.problem(&entry.place, not_listed(region.as_str(), "a region"));
        }
        modes.insert(Scope::Region(region), mode);
    }
    let actions = table.table("action").map_or_else(Vec::new, |table| {
        table.entries(|name, found| {
            let kind = ActionKind::from_name(name).ok_or_else(|| {
                let known: Vec<_> = ActionKind::ALL.iter().map(|kind| kind.name()).collect();
                format!("is not an action; allowed are {}", known.join(", "))
            })?;
            Ok((kind, mode(found)?))
        })
    });
    table.finish();
    modes.extend(actions.into_iter().map(|entry| {
        let (_, (kind, mode)) = entry.value;
        (Scope::Action(kind), mode)
    }));
    modes
}

fn mode(found: &ValueInner<'_>) -> Result<Mode, String> {
    const WORDS: &[(&str, Mode)] = &[
        ("off", Mode::Off),
        ("dry_run", Mode::DryRun),
        ("approve", Mode::Approve),
        ("auto", Mode::Auto),
    ];
    value::word(WORDS)(found)
}

fn panel(mut table: Table<'_>) -> Option<PanelSettings> {
    let url = table.required("url", value::url(&["http", "https"]));
    let secret_file = table.required_placed("secret_file", value::path);
    table.finish();
    Some(PanelSettings { url: url?, secret_file: secret_file? })
}

fn tls(mut table: Table<'_>) -> Option<TlsSettings> {
    let certificate_file = table.required_placed("certificate_file", value::path);
    let key_file = table.required_placed("key_file", value::path);
    table.finish();
    Some(TlsSettings { certificate_file: certificate_file?, key_file: key_file? })
}

macro_rules! read_guards {
    ($table:ident, $guards:ident, $($name:ident: $read:expr;)*) => {
        $(if let Some(value) = $table.optional(stringify!($name), $read) {
            $guards.$name = value;
        })*
    };
}

fn guards(document: &Document<'_>, table: Option<Table<'_>>) -> Guards {
    let mut guards = Guards::default();
    let Some(mut table) = table else { return guards };
    read_guards! { table, guards,
        settle: span;
        quorum: count;
        evidence_max_age: span;
        segment_hold: span;
        agent_silent_after: span;
        close_after: span;
        action_expiry: span;
        approval_expiry: span;
        target_interval: span;
        unsent_interval: span;
        circuit_failures: count;
        rung_failures: count;
        circuit_window: span;
        circuit_open: span;
        global_per_minute: count;
        global_burst: count;
        region_move_interval: span;
        flap_penalty: points;
        flap_half_life: span;
        flap_suppress: points;
        flap_reuse: points;
        hands_off_panel: span;
        hands_off_person: span;
        storm_channels: count;
        storm_share: ratio;
        storm_window: span;
        storm_one_cause: ratio;
        storm_leave: span;
        isolated_share: ratio;
        healthy_share: ratio;
        healthy_from: count;
        ready_clean: span;
        ready_seen: span;
        ready_max_age: span;
        differential_hold: span;
        group_share: ratio;
        group_batch: count;
        verify_switch_good: count;
        verify_switch_within: span;
        verify_restart_good: count;
        verify_restart_of: count;
        verify_restart_within: span;
        verify_grace: span;
        server_return: value::word(&[("manual", Return::Manual), ("auto", Return::Auto)]);
        return_after: span;
        verify_return_good: count;
        verify_return_within: span;
        survivor_saturation: ratio;
    }
    let place = table.place();
    table.finish();
    unprovable(&guards).into_iter().for_each(|what| document.problem(&place, what));
    guards
}

/// What no action could ever satisfy.
fn unprovable(guards: &Guards) -> Vec<&'static str> {
    let seconds = |count: u32| Duration::from_secs(count.into());
    let rules = [
        (
            seconds(guards.verify_switch_good) > guards.verify_switch_within,
            "verify_switch_good does not fit into verify_switch_within; no switch could be verified",
        ),
        (
            seconds(guards.verify_return_good) > guards.verify_return_within,
            "verify_return_good does not fit into verify_return_within; no return could be verified",
        ),
        (
            guards.verify_restart_good > guards.verify_restart_of,
            "verify_restart_good is more than verify_restart_of; no restart could be verified",
        ),
        (
            seconds(guards.verify_restart_of) > guards.verify_restart_within,
            "verify_restart_of does not fit into verify_restart_within; no restart could be verified",
        ),
    ];
    rules.into_iter().filter_map(|(broken, what)| broken.then_some(what)).collect()
}

fn objectives(
    document: &Document<'_>,
    table: Option<Table<'_>>,
    lineup: Option<&Lineup>,
) -> Objectives {
    let mut objectives = Objectives::default();
    let Some(mut table) = table else { return objectives };
    if let Some(general) = table.optional("objective", objective) {
        objectives.general = general;
    }
    let profiles = table.table("profile").map_or_else(Vec::new, |table| {
        table.entries(|name, found| {
            let profile = ProfileName::from_name(name).ok_or_else(|| {
                let known = ProfileName::ALL.map(ProfileName::name);
                format!("is not a profile; allowed are {}", known.join(", "))
            })?;
            Ok((profile, objective(found)?))
        })
    });
    let channels = table.table("channel").map_or_else(Vec::new, |table| {
        table.entries(|name, found| {
            let channel = ChannelId::new(name).map_err(|error| error.to_string())?;
            Ok((channel, objective(found)?))
        })
    });
    table.finish();
    objectives.profiles.extend(profiles.into_iter().map(|entry| entry.value.1));
    for entry in channels {
        let (_, (channel, objective)) = entry.value;
        if lineup.is_some_and(|lineup| lineup.channel(&channel).is_none()) {
            document.problem(&entry.place, not_listed(channel.as_str(), "a channel"));
        }
        objectives.channels.insert(channel, objective);
    }
    objectives
}

/// A share of 1 would leave no budget at all.
fn objective(found: &ValueInner<'_>) -> Result<Ratio, String> {
    match found {
        ValueInner::Float(share) if (0.5..=0.99999).contains(share) => Ok(Ratio::new(*share)),
        _ => Err("is no objective; write a share from 0.5 to 0.99999, as in 0.999".to_owned()),
    }
}

fn span(found: &ValueInner<'_>) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(86_400);
    let span = value::duration(found)?;
    if span <= DAY { Ok(span) } else { Err("is out of bounds; at most 24h".to_owned()) }
}

fn count<T: TryFrom<i64>>(found: &ValueInner<'_>) -> Result<T, String> {
    let number = value::integer(1..=1000)(found)?;
    T::try_from(number).map_err(|_| format!("{number} is out of bounds"))
}

/// A penalty.
fn points(found: &ValueInner<'_>) -> Result<u32, String> {
    let number = value::integer(1..=1_000_000)(found)?;
    u32::try_from(number).map_err(|_| format!("{number} is out of bounds"))
}

fn ratio(found: &ValueInner<'_>) -> Result<Ratio, String> {
    match found {
        ValueInner::Float(number) if (0.0..=1.0).contains(number) => Ok(Ratio::new(*number)),
        _ => Err("is not a share; write a number from 0.0 to 1.0".to_owned()),
    }
}
