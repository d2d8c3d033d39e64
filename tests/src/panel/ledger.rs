//! What the panel knows and what a command means to it: pure, the clock comes in.
//!
//! A command is judged in the order in which being wrong is worst: known already, then stale epoch, expired, unknown
//! target, `from` that does not hold. The epoch of any well-formed signed command counts, also of one that is refused
//! later: who holds the newer token rules from the moment it is seen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::command::{Act, Command, Malformed};

/// Answers remembered for repeated action ids. At 10 actions a minute this is over an hour and a half.
const MAX_ANSWERS: usize = 1024;

/// The refusals of the contract.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 400.
    #[error("malformed")]
    Malformed(#[source] Malformed),
    /// 400: the id came before with another command.
    #[error("action_id was used for another command")]
    OtherCommand,
    /// 404.
    #[error("unknown {0}")]
    Unknown(&'static str),
    /// 409.
    #[error("epoch {seen} was seen, {got} is stale")]
    StaleEpoch {
        /// The highest so far.
        seen: u64,
        /// The command's.
        got: u64,
    },
    /// 410.
    #[error("expired")]
    Expired,
    /// 412.
    #[error("from does not hold: it is {0}")]
    From(String),
}

impl Refusal {
    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::OtherCommand => 400,
            Self::Unknown(_) => 404,
            Self::StaleEpoch { .. } => 409,
            Self::Expired => 410,
            Self::From(_) => 412,
        }
    }
}

/// What is answered: an HTTP status and a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// What a command amounts to.
#[derive(Debug)]
pub enum Judgement {
    /// The same command was answered before.
    Repeat(Answer),
    /// The command is a dry run: this would be the state.
    WouldBe(Value),
    /// The command is to be carried out.
    Do,
}

#[derive(Clone, Debug)]
struct Channel {
    sources: Vec<String>,
    active: String,
    changed_by: String,
    encoder: Option<String>,
}

/// Whether viewers are sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// They are.
    Active,
    /// They are not.
    Drained,
}

#[derive(Clone, Debug)]
struct Server {
    region: String,
    /// How much of its viewers it gets, in percent.
    share: u8,
    can_restart: bool,
}

impl Server {
    const fn state(&self) -> ServerState {
        if self.share == 0 { ServerState::Drained } else { ServerState::Active }
    }
}

/// What edges say they serve: by (server, region, channel) the sessions at the moment.
pub type Sessions = BTreeMap<(String, String, String), u64>;
/// By (region, channel) the bytes sent to viewers so far.
pub type Egress = BTreeMap<(String, String), u64>;

/// The panel's state and memory.
#[derive(Debug, Default)]
pub struct Ledger {
    version: u64,
    epoch: u64,
    channels: BTreeMap<String, Channel>,
    servers: BTreeMap<String, Server>,
    /// Which region's servers serve a region's viewers.
    served_by: BTreeMap<String, String>,
    /// What was answered to each action id.
    answers: BTreeMap<String, (Act, Answer)>,
    order: VecDeque<String>,
}

impl Ledger {
    /// Starts with the highest epoch known from before.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Adds a channel that is on `active`, one of `sources`.
    pub fn add_channel(&mut self, channel: &str, sources: Vec<String>, active: &str) {
        let (active, changed_by) = (active.to_owned(), "panel".to_owned());
        let entry = Channel { sources, active, changed_by, encoder: None };
        self.channels.insert(channel.to_owned(), entry);
    }

    /// Says that a channel runs on an encoder.
    pub fn set_encoder(&mut self, channel: &str, encoder: Option<String>) {
        if let Some(entry) = self.channels.get_mut(channel) {
            entry.encoder = encoder;
        }
    }

    /// Adds a server, active.
    pub fn add_server(&mut self, server: &str, region: &str) {
        let entry = Server { region: region.to_owned(), share: 100, can_restart: false };
        self.servers.insert(server.to_owned(), entry);
        self.served_by.insert(region.to_owned(), region.to_owned());
    }

    /// Says that a server can be restarted.
    pub fn allow_restart(&mut self, server: &str) {
        if let Some(entry) = self.servers.get_mut(server) {
            entry.can_restart = true;
        }
    }

    /// The channels on an encoder.
    fn on_encoder(&self, encoder: &str) -> impl Iterator<Item = &String> {
        let on_it = |it: &&Channel| it.encoder.as_deref() == Some(encoder);
        self.channels.iter().filter(move |(_, it)| on_it(it)).map(|(id, _)| id)
    }

    /// Returns the highest epoch seen.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the source that a channel is on.
    #[must_use]
    pub fn active(&self, channel: &str) -> Option<&str> {
        self.channels.get(channel).map(|entry| entry.active.as_str())
    }

    /// Returns the servers that viewers of a region are sent to in turn: each as often as its share asks for.
    #[must_use]
    pub fn servers_for(&self, region: &str) -> Vec<&str> {
        let serving = self.served_by.get(region).map_or(region, String::as_str);
        let own: Vec<_> = self.servers.iter().filter(|(_, it)| it.region == serving).collect();
        let is_whole = own.iter().all(|(_, it)| matches!(it.share, 0 | 100));
        let rounds: &[u8] = if is_whole { &[1] } else { &[1, 26, 51, 76] };
        let mut turns = Vec::new();
        for &least in rounds {
            turns.extend(own.iter().filter(|(_, it)| it.share >= least).map(|(id, _)| id.as_str()));
        }
        turns
    }

    /// Judges a command that arrived at `now`.
    ///
    /// # Errors
    /// Says why the command is refused.
    pub fn judge(&mut self, now: Timestamp, command: &Command) -> Result<Judgement, Refusal> {
        if let Some((act, answer)) = self.answers.get(&command.action_id) {
            return if *act == command.act {
                Ok(Judgement::Repeat(answer.clone()))
            } else {
                Err(Refusal::OtherCommand)
            };
        }
        if command.epoch < self.epoch {
            return Err(Refusal::StaleEpoch { seen: self.epoch, got: command.epoch });
        }
        self.epoch = command.epoch;
        if command.expires_in_ms <= 0 || command.expires_at <= now {
            return Err(Refusal::Expired);
        }
        self.holds(&command.act)?;
        if command.dry_run {
            return Ok(Judgement::WouldBe(self.after(command)));
        }
        Ok(Judgement::Do)
    }

    /// What the target's state would be.
    fn after(&self, command: &Command) -> Value {
        let mut would = Self {
            channels: self.channels.clone(),
            servers: self.servers.clone(),
            served_by: self.served_by.clone(),
            ..Self::default()
        };
        would.apply(&command.act, &command.action_id);
        would.target_state(&command.act)
    }

    /// Answers as if the command had been carried out: misbehaviour for tests.
    pub fn lie(&mut self, command: &Command) -> Answer {
        let answer = Answer { status: 200, body: json!({ "state": self.after(command) }) };
        self.remember(command, answer.clone());
        answer
    }

    /// Notes that a command was carried out (`act` done) or failed, remembers the answer and returns it.
    pub fn conclude(&mut self, command: &Command, outcome: Result<(), String>) -> Answer {
        let answer = match outcome {
            Ok(()) => {
                self.apply(&command.act, &command.action_id);
                Answer { status: 200, body: json!({ "state": self.target_state(&command.act) }) }
            }
            Err(error) => Answer {
                status: 500,
                body: json!({ "error": error, "state": self.target_state(&command.act) }),
            },
        };
        self.remember(command, answer.clone());
        answer
    }

    /// Remembers what is answered where the same command comes again.
    pub fn remember(&mut self, command: &Command, answer: Answer) {
        let known = self.answers.insert(command.action_id.clone(), (command.act.clone(), answer));
        if known.is_some() {
            return;
        }
        self.order.push_back(command.action_id.clone());
        if self.order.len() > MAX_ANSWERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }

    /// Changes the state as an action does, in the name of `by`: an action's id, `operator` or `panel`.
    pub fn apply(&mut self, act: &Act, by: &str) {
        self.version += 1;
        match act {
            Act::Switch { channel, to, .. } => {
                if let Some(entry) = self.channels.get_mut(channel) {
                    to.clone_into(&mut entry.active);
                    by.clone_into(&mut entry.changed_by);
                }
            }
            Act::Restart { .. } | Act::RestartEncoder { .. } | Act::RestartServers { .. } => {}
            Act::Drain { servers } => self.set_shares(servers, 0),
            Act::Undrain { servers } => self.set_shares(servers, 100),
            Act::Return { servers, share } => self.set_shares(servers, *share),
            Act::Move { region, to, .. } => {
                if let Some(to) = to.clone().or_else(|| self.elsewhere(region)) {
                    self.served_by.insert(region.clone(), to);
                }
            }
        }
    }

    /// The first region whose servers do not serve this one yet.
    fn elsewhere(&self, region: &str) -> Option<String> {
        let serving = self.served_by.get(region)?;
        self.served_by.keys().find(|other| *other != serving).cloned()
    }

    fn set_shares(&mut self, servers: &[String], share: u8) {
        for id in servers {
            if let Some(server) = self.servers.get_mut(id) {
                server.share = share;
            }
        }
    }

    /// Checks that the target is known and that `from` holds.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] or [`Refusal::From`].
    pub fn holds(&self, act: &Act) -> Result<(), Refusal> {
        match act {
            Act::Switch { channel, from, to } => {
                let entry = self.channels.get(channel).ok_or(Refusal::Unknown("channel"))?;
                if !entry.sources.contains(to) || !entry.sources.contains(from) {
                    return Err(Refusal::Unknown("source"));
                }
                if entry.active == *from {
                    Ok(())
                } else {
                    Err(Refusal::From(entry.active.clone()))
                }
            }
            Act::Restart { channel } => {
                self.channels.get(channel).map(drop).ok_or(Refusal::Unknown("channel"))
            }
            Act::RestartEncoder { encoder, channels } => {
                if self.on_encoder(encoder).next().is_none() {
                    return Err(Refusal::Unknown("encoder"));
                }
                if self.on_encoder(encoder).eq(channels) {
                    Ok(())
                } else {
                    let runs: Vec<_> = self.on_encoder(encoder).map(String::as_str).collect();
                    Err(Refusal::From(runs.join(", ")))
                }
            }
            Act::RestartServers { servers } => {
                for id in servers {
                    let server = self.servers.get(id).ok_or(Refusal::Unknown("server"))?;
                    if !server.can_restart {
                        return Err(Refusal::Unknown("way to restart the server"));
                    }
                }
                Ok(())
            }
            Act::Drain { servers } | Act::Undrain { servers } | Act::Return { servers, .. } => {
                let known = servers.iter().all(|server| self.servers.contains_key(server));
                if known { Ok(()) } else { Err(Refusal::Unknown("server")) }
            }
            Act::Move { region, from, to } => {
                let serving = self.served_by.get(region).ok_or(Refusal::Unknown("region"))?;
                let to = to.clone().or_else(|| self.elsewhere(region));
                if to.is_none_or(|to| !self.served_by.contains_key(&to)) {
                    return Err(Refusal::Unknown("region to move to"));
                }
                match from {
                    Some(from) if from != serving => Err(Refusal::From(serving.clone())),
                    _ => Ok(()),
                }
            }
        }
    }

    fn target_state(&self, act: &Act) -> Value {
        match act {
            Act::Switch { channel, .. } | Act::Restart { channel } => {
                let entry = self.channels.get(channel);
                json!({
                    "channel": channel,
                    "active": entry.map(|entry| &entry.active),
                    "changed_by": entry.map(|entry| &entry.changed_by),
                })
            }
            Act::RestartEncoder { encoder, channels } => {
                json!({ "encoder": encoder, "channels": channels })
            }
            Act::Drain { servers }
            | Act::Undrain { servers }
            | Act::Return { servers, .. }
            | Act::RestartServers { servers } => {
                let states: Vec<_> = servers
                    .iter()
                    .map(|id| {
                        let server = self.servers.get(id);
                        json!({
                            "server": id,
                            "state": server.map(Server::state),
                            "share": server.map(|it| it.share),
                        })
                    })
                    .collect();
                json!({ "servers": states })
            }
            Act::Move { region, .. } => {
                json!({ "region": region, "served_by": self.served_by.get(region) })
            }
        }
    }

    /// Returns the whole state as `GET /state` shows it.
    #[must_use]
    pub fn state(&self, sessions: &Sessions, egress: &Egress) -> Value {
        let channels: Vec<_> = self
            .channels
            .iter()
            .map(|(id, entry)| {
                let mut by_region: BTreeMap<&str, u64> = BTreeMap::new();
                for ((_, region, channel), count) in sessions {
                    if channel == id {
                        *by_region.entry(region).or_default() += count;
                    }
                }
                let bytes: BTreeMap<&str, u64> = egress
                    .iter()
                    .filter(|((_, channel), _)| channel == id)
                    .map(|((region, _), bytes)| (region.as_str(), *bytes))
                    .collect();
                json!({
                    "channel": id,
                    "active": entry.active,
                    "changed_by": entry.changed_by,
                    "sessions": by_region,
                    "egress_bytes": bytes,
                })
            })
            .collect();
        let servers: Vec<_> = self
            .servers
            .iter()
            .map(|(id, server)| {
                let own = sessions.iter().filter(|((at, _, _), _)| at == id);
                let count: u64 = own.map(|(_, count)| count).sum();
                json!({
                    "server": id,
                    "state": server.state(),
                    "share": server.share,
                    "sessions": count,
                    "can_restart": server.can_restart,
                })
            })
            .collect();
        let regions: Vec<_> = self
            .served_by
            .iter()
            .map(|(region, by)| json!({ "region": region, "served_by": by }))
            .collect();
        let encoders: BTreeSet<_> =
            self.channels.values().filter_map(|it| it.encoder.as_ref()).collect();
        let encoders: Vec<_> =
            encoders.iter().map(|id| json!({ "encoder": id, "can_restart": true })).collect();
        json!({
            "version": self.version,
            "channels": channels,
            "servers": servers,
            "regions": regions,
            "encoders": encoders,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(3);
        ledger.add_channel("one", vec!["primary".into(), "backup".into()], "primary");
        ledger.add_channel("four", vec!["primary".into()], "primary");
        ledger.set_encoder("one", Some("rack".into()));
        ledger.set_encoder("four", Some("rack".into()));
        ledger.add_server("n1", "north");
        ledger.allow_restart("n1");
        ledger.add_server("n2", "north");
        ledger.add_server("s1", "south");
        ledger
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn command(changes: Value) -> Result<Command, Malformed> {
        let mut body = json!({
            "action_id": "17", "epoch": 3, "expires_at": "2026-01-01T00:00:10Z",
            "expires_in_ms": 10_000, "action": "switch_source", "target": { "channel": "one" },
            "from": "primary", "to": "backup",
            "reason": { "incident": "12", "cause": "source", "evidence": ["black"] },
            "dry_run": false,
        });
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        Command::parse(&serde_json::to_vec(&body).unwrap())
    }

    fn status(ledger: &mut Ledger, changes: Value) -> u16 {
        let refusal = match command(changes) {
            Err(malformed) => Refusal::Malformed(malformed),
            Ok(command) => match ledger.judge(now(), &command) {
                Err(refusal) => refusal,
                Ok(Judgement::Do) => return ledger.conclude(&command, Ok(())).status,
                Ok(Judgement::Repeat(answer)) => return answer.status,
                Ok(Judgement::WouldBe(_)) => return 200,
            },
        };
        refusal.status()
    }

    #[test]
    fn each_rule_of_the_contract_has_its_status() {
        for (changes, expected) in [
            (json!({}), 200),
            (json!({ "epoch": 2 }), 409),
            (json!({ "epoch": 4 }), 200),
            (json!({ "expires_in_ms": 0 }), 410),
            (json!({ "expires_at": "2026-01-01T00:00:00Z" }), 410),
            (json!({ "expires_at": "soon" }), 400),
            (json!({ "action_id": "" }), 400),
            (json!({ "target": {} }), 400),
            (json!({ "target": { "channel": "*" } }), 400),
            (json!({ "target": { "channel": "" } }), 400),
            (json!({ "target": { "servers": ["n1"] } }), 400),
            (json!({ "target": { "channel": "one", "region": "north" } }), 400),
            (json!({ "target": { "channel": "two" } }), 404),
            (json!({ "to": "third" }), 404),
            (json!({ "to": "primary" }), 400),
            (json!({ "from": null }), 400),
            (json!({ "from": "backup", "to": "primary" }), 412),
            (json!({ "surprise": 1 }), 400),
            (json!({ "action": "delete_channel" }), 400),
            (json!({ "action": "restart_stream" }), 200),
            (json!({ "action": "drain_server", "target": { "servers": [] } }), 400),
            (json!({ "action": "drain_server", "target": { "servers": ["*"] } }), 400),
            (json!({ "action": "drain_server", "target": { "servers": ["n1"] } }), 200),
            (json!({ "action": "drain_server", "target": { "servers": ["n1", "n9"] } }), 404),
            (json!({ "action": "undrain_server", "target": { "servers": ["n1"] } }), 200),
            (json!({ "action": "return_server", "target": { "servers": ["n1"] } }), 400),
            (
                json!({ "action": "return_server", "target": { "servers": ["n1"] }, "share": 25 }),
                200,
            ),
            (
                json!({ "action": "return_server", "target": { "servers": ["n1"] }, "share": 101 }),
                400,
            ),
            (
                json!({ "action": "return_server", "target": { "servers": ["n9"] }, "share": 25 }),
                404,
            ),
            (json!({ "share": 25 }), 400),
            (json!({ "action": "restart_service", "target": { "servers": ["n1"] } }), 200),
            (json!({ "action": "restart_service", "target": { "servers": ["n1", "n2"] } }), 404),
            (json!({ "action": "restart_service", "target": { "servers": [] } }), 400),
            (json!({ "action": "restart_service", "target": { "encoder": "rack" } }), 400),
            (
                json!({ "action": "restart_service",
                        "target": { "encoder": "rack", "channels": ["one", "four"] } }),
                200,
            ),
            (
                json!({ "action": "restart_service",
                        "target": { "encoder": "rack", "channels": ["one"] } }),
                412,
            ),
            (
                json!({ "action": "restart_service",
                        "target": { "encoder": "rock", "channels": ["one"] } }),
                404,
            ),
            (
                json!({ "action": "restart_stream",
                        "target": { "channel": "one", "encoder": "rack" } }),
                400,
            ),
            (
                json!({ "action": "region_move", "target": { "region": "north" },
                        "from": "north", "to": "south" }),
                200,
            ),
            (
                json!({ "action": "region_move", "target": { "region": "north" },
                        "from": null, "to": null }),
                200,
            ),
            (
                json!({ "action": "region_move", "target": { "region": "north" },
                        "from": null, "to": "west" }),
                404,
            ),
            (
                json!({ "action": "region_move", "target": { "region": "north" },
                        "from": "south", "to": "north" }),
                412,
            ),
        ] {
            assert_eq!(status(&mut ledger(), changes.clone()), expected, "{changes}");
        }
    }

    #[test]
    fn an_action_id_acts_once_whatever_has_happened_since() {
        let mut ledger = ledger();
        assert_eq!(status(&mut ledger, json!({})), 200);
        ledger.apply(
            &Act::Switch { channel: "one".into(), from: "backup".into(), to: "primary".into() },
            "operator",
        );
        // Repeated: the first answer, although `from` holds again, the epoch is stale and the time is over.
        assert_eq!(status(&mut ledger, json!({ "epoch": 1, "expires_in_ms": 0 })), 200);
        assert_eq!(ledger.active("one"), Some("primary"));
        assert_eq!(status(&mut ledger, json!({ "action": "restart_stream" })), 400);
    }

    #[test]
    fn a_failure_is_remembered_as_well() {
        let mut ledger = ledger();
        let first = command(json!({})).unwrap();
        assert!(matches!(ledger.judge(now(), &first), Ok(Judgement::Do)));
        assert_eq!(ledger.conclude(&first, Err("hung".into())).status, 500);
        assert_eq!(status(&mut ledger, json!({})), 500);
        assert_eq!(ledger.active("one"), Some("primary"));
    }

    #[test]
    fn a_dry_run_changes_nothing_but_the_epoch_and_says_what_would_be() {
        let mut ledger = ledger();
        let dry = command(json!({ "dry_run": true, "epoch": 9 })).unwrap();
        let Ok(Judgement::WouldBe(state)) = ledger.judge(now(), &dry) else {
            panic!("not a dry run")
        };
        assert_eq!(state["active"], "backup");
        assert_eq!(ledger.active("one"), Some("primary"));
        assert_eq!(ledger.epoch(), 9);
        assert_eq!(status(&mut ledger, json!({ "epoch": 9 })), 200, "the id is still unused");
    }

    #[test]
    fn viewers_are_sent_to_active_servers_of_the_region_that_serves_theirs() {
        let mut ledger = ledger();
        assert_eq!(ledger.servers_for("north"), ["n1", "n2"]);
        ledger.apply(&Act::Drain { servers: vec!["n1".into()] }, "17");
        assert_eq!(ledger.servers_for("north"), ["n2"]);
        ledger.apply(&Act::Return { servers: vec!["n1".into()], share: 25 }, "17");
        assert_eq!(ledger.servers_for("north"), ["n1", "n2", "n2", "n2", "n2"]);
        ledger.apply(&Act::Return { servers: vec!["n1".into()], share: 50 }, "17");
        assert_eq!(ledger.servers_for("north"), ["n1", "n2", "n1", "n2", "n2", "n2"]);
        ledger.apply(&Act::Undrain { servers: vec!["n1".into()] }, "17");
        assert_eq!(ledger.servers_for("north"), ["n1", "n2"]);
        let act = Act::Move { region: "north".into(), from: None, to: None };
        ledger.apply(&act, "18");
        assert_eq!(ledger.servers_for("north"), ["s1"]);
        assert!(ledger.servers_for("west").is_empty());
    }

    #[test]
    fn the_memory_of_answers_is_bounded() {
        let mut ledger = ledger();
        for n in 0..=MAX_ANSWERS {
            let restart = json!({ "action_id": n.to_string(), "action": "restart_stream" });
            assert_eq!(status(&mut ledger, restart), 200);
        }
        assert_eq!(ledger.answers.len(), MAX_ANSWERS);
        assert!(!ledger.answers.contains_key("0"));
    }
}
