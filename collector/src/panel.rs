//! The generic signed webhook: what is sent to a panel and what its answers mean. Sockets are in [`io`](crate::io).
//!
//! Requests are signed as the Standard Webhooks specification says (`webhook-id`, `webhook-timestamp`,
//! `webhook-signature: v1,...`, HMAC-SHA256 over `id.timestamp.body`). Each attempt has an id of its own, because what is left of
//! the expiry differs; that nothing happens twice rests on `action_id` alone.

use std::{collections::BTreeMap, fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use tallylight_decide::{
    ChangedBy, Outcome, PanelChannel, PanelEncoder, PanelRefusal, PanelRegion, PanelServer,
    PanelState, ServerState,
    action::{ActionKind, Command, Feed, Purpose, Target},
    incident::Cause,
};
use tallylight_model::{ActionId, ChannelId, EncoderId, RegionId, ServerId, StreamId};

use crate::calendar::Calendar;

/// The most channels, servers, regions and encoders taken from a panel's state.
const MAX_ENTRIES: usize = 20_000;
/// Failures in a row after which commands are no longer tried until the panel answers again.
const CIRCUIT_FAILURES: u32 = 3;
/// A larger clock offset to the panel drops every mode to `approve`.
pub const MAX_CLOCK_OFFSET: Duration = Duration::from_secs(2);
/// The most secrets of a secret file.
const MAX_SECRETS: usize = 4;

/// Keys that sign requests.
#[derive(Clone)]
pub struct Secrets(Vec<Vec<u8>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// A secret file is not one. Its content is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// There is none.
    #[error("the secret file is empty; write \"whsec_\" and 24 to 64 bytes in base64")]
    Empty,
    /// A line is of another form.
    #[error(
        "line {line} of the secret file is not a secret; write \"whsec_\" and 24 to 64 bytes in base64"
    )]
    Form {
        /// The line, from 1.
        line: usize,
    },
    /// There are too many.
    #[error("the secret file has more than {MAX_SECRETS} secrets")]
    TooMany,
}

impl Secrets {
    /// Reads secrets, one to a line.
    ///
    /// # Errors
    /// Says which line is not a secret.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let mut keys = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let encoded = text.strip_prefix("whsec_").ok_or(BadSecret::Form { line })?;
            let key = STANDARD.decode(encoded).map_err(|_| BadSecret::Form { line })?;
            if !(24..=64).contains(&key.len()) {
                return Err(BadSecret::Form { line });
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(BadSecret::Empty),
            1..=MAX_SECRETS => Ok(Self(keys)),
            _ => Err(BadSecret::TooMany),
        }
    }

    /// Signs a request: the value of `webhook-signature`, one signature for each secret.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().filter_map(|key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{timestamp_s}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

/// Writes a command's body as it stands at this moment.
#[must_use]
pub fn body(command: &Command, calendar: &Calendar) -> Vec<u8> {
    let target = match &command.target {
        Target::Channel(channel) => json!({ "channel": channel.as_str() }),
        Target::Encoder { encoder, channels } => json!({
            "encoder": encoder.as_str(),
            "channels": channels.iter().map(ChannelId::as_str).collect::<Vec<_>>(),
        }),
        Target::Servers(servers) => {
            json!({ "servers": servers.iter().map(ServerId::as_str).collect::<Vec<_>>() })
        }
        Target::Region(region) => json!({ "region": region.as_str() }),
    };
    let left = command.expires.since(calendar.now);
    let mut body = json!({
        "action_id": command.action.to_string(),
        "epoch": command.epoch.0,
        "expires_at": calendar.rfc3339(command.expires),
        "expires_in_ms": u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        "action": command.kind.name(),
        "target": target,
        "from": command.from.as_ref().map(Feed::name),
        "to": command.to.as_ref().map(Feed::name),
        "reason": reason(command),
        "dry_run": false,
    });
    if let Some(share) = command.share {
        body["share"] = share.into();
    }
    body.to_string().into_bytes()
}

/// Why, for people.
fn reason(command: &Command) -> Value {
    match &command.purpose {
        Purpose::Incident(id) => json!({
            "incident": id.to_string(),
            "cause": command.cause.map(Cause::name),
            "evidence": command.evidence,
        }),
        Purpose::Maintenance(id) => json!({ "maintenance": id.as_str() }),
    }
}

/// What an answer to a command means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// That is the end of it.
    Final(Outcome),
    /// It is being carried out; ask the status URL.
    Running,
    /// It failed in a way that may pass: the same command may be tried again.
    Passing(String),
}

/// Reads the answer to a command.
#[must_use]
pub fn answer(status: u16, body: &[u8], command: &Command) -> Answer {
    let failed = |why: &str| Answer::Final(Outcome::Failed(why.to_owned()));
    match status {
        200 => Answer::Final(done(body, command)),
        202 => Answer::Running,
        300..=399 => failed("the panel redirects, which is not followed"),
        400 => failed("the panel calls the command malformed"),
        401 => failed("the panel does not accept the signature"),
        404 => failed("the panel does not know the target"),
        409 => Answer::Final(Outcome::Refused(PanelRefusal::StaleEpoch)),
        410 => Answer::Final(Outcome::Refused(PanelRefusal::Expired)),
        412 => Answer::Final(Outcome::Refused(PanelRefusal::FromDoesNotHold)),
        429 | 500..=599 => Answer::Passing(format!("the panel answered {status}")),
        _ => failed(&format!("the panel answered {status}")),
    }
}

/// Reads the answer of a status URL.
#[must_use]
pub fn progress(status: u16, body: &[u8], command: &Command) -> Answer {
    #[derive(Deserialize)]
    struct Progress {
        status: String,
    }
    if status != 200 {
        return Answer::Passing(format!("the panel answered {status} for the status"));
    }
    match serde_json::from_slice::<Progress>(body).map(|it| it.status).as_deref() {
        Ok("running") => Answer::Running,
        Ok("done") => Answer::Final(done(body, command)),
        Ok("failed") => Answer::Final(Outcome::Failed("the panel says that it failed".to_owned())),
        _ => Answer::Final(Outcome::Unknown),
    }
}

/// A "done" whose resulting state says otherwise is a failure; one without a state is left to verification.
fn done(body: &[u8], command: &Command) -> Outcome {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Outcome::Unknown };
    let state = &body["state"];
    let to = command.to.as_ref().map(Feed::name);
    let differs = |key: &str| state[key].as_str().is_some_and(|it| Some(it) != to);
    let contradicts = match command.kind {
        ActionKind::SwitchSource => differs("active"),
        ActionKind::RegionMove => differs("served_by"),
        ActionKind::DrainServer => servers_differ(state, "drained"),
        ActionKind::UndrainServer => servers_differ(state, "active"),
        ActionKind::ReturnServer => {
            servers_differ(state, "active") || shares_differ(state, command.share)
        }
        ActionKind::RestartStream | ActionKind::RestartService => false,
    };
    if contradicts {
        Outcome::Failed(
            "the panel says done, but the state that it gives says otherwise".to_owned(),
        )
    } else {
        Outcome::Done
    }
}

fn servers_differ(state: &Value, wanted: &str) -> bool {
    let servers = state["servers"].as_array().map_or(&[][..], Vec::as_slice);
    servers.iter().any(|server| server["state"].as_str().is_some_and(|state| state != wanted))
}

fn shares_differ(state: &Value, wanted: Option<u8>) -> bool {
    let servers = state["servers"].as_array().map_or(&[][..], Vec::as_slice);
    servers
        .iter()
        .any(|it| it["share"].as_u64().is_some_and(|it| Some(it) != wanted.map(u64::from)))
}

#[derive(Deserialize)]
struct RawState {
    version: u64,
    #[serde(default)]
    channels: Vec<RawChannel>,
    #[serde(default)]
    servers: Vec<RawServer>,
    #[serde(default)]
    regions: Vec<RawRegion>,
    #[serde(default)]
    encoders: Vec<RawEncoder>,
}

#[derive(Deserialize)]
struct RawChannel {
    channel: String,
    #[serde(default)]
    active: Option<String>,
    #[serde(default)]
    changed_by: Option<String>,
    #[serde(default)]
    sessions: BTreeMap<String, u64>,
    #[serde(default)]
    egress_bytes: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct RawServer {
    server: String,
    state: String,
    #[serde(default)]
    sessions: u64,
    #[serde(default)]
    share: Option<u8>,
    #[serde(default)]
    can_restart: bool,
}

#[derive(Deserialize)]
struct RawRegion {
    region: String,
    served_by: String,
}

#[derive(Deserialize)]
struct RawEncoder {
    encoder: String,
    #[serde(default)]
    can_restart: bool,
}

/// Reads a panel's state. What is not an id of ours is left out: a panel may run more than the lineup lists.
///
/// # Errors
/// The body is not a state.
pub fn read_state(body: &[u8]) -> Result<PanelState, serde_json::Error> {
    let raw: RawState = serde_json::from_slice(body)?;
    let channels = raw.channels.into_iter().take(MAX_ENTRIES).filter_map(channel).collect();
    let servers = raw.servers.into_iter().take(MAX_ENTRIES).filter_map(|raw| {
        Some(PanelServer {
            server: ServerId::new(&raw.server).ok()?,
            state: ServerState::from_name(&raw.state)?,
            sessions: raw.sessions,
            share: raw.share.filter(|&it| it <= 100),
            can_restart: raw.can_restart,
        })
    });
    let regions = raw.regions.into_iter().take(MAX_ENTRIES).filter_map(|raw| {
        Some(PanelRegion {
            region: RegionId::new(&raw.region).ok()?,
            served_by: RegionId::new(&raw.served_by).ok()?,
        })
    });
    let encoders = raw.encoders.into_iter().take(MAX_ENTRIES).filter_map(|raw| {
        let encoder = EncoderId::new(&raw.encoder).ok()?;
        Some(PanelEncoder { encoder, can_restart: raw.can_restart })
    });
    Ok(PanelState {
        version: raw.version,
        channels,
        servers: servers.collect(),
        regions: regions.collect(),
        encoders: encoders.collect(),
    })
}

fn channel(raw: RawChannel) -> Option<PanelChannel> {
    let channel = ChannelId::new(&raw.channel).ok()?;
    let active = raw.active.and_then(|name| StreamId::new(&channel, &name).ok());
    let changed_by = match raw.changed_by.as_deref() {
        Some("operator") => ChangedBy::Operator,
        Some(id) => id.parse().map_or(ChangedBy::Panel, |id| ChangedBy::Action(ActionId(id))),
        None => ChangedBy::Panel,
    };
    Some(PanelChannel {
        channel,
        active,
        changed_by,
        sessions: by_region(raw.sessions),
        egress_bytes: by_region(raw.egress_bytes),
    })
}

fn by_region(raw: BTreeMap<String, u64>) -> BTreeMap<RegionId, u64> {
    raw.into_iter().filter_map(|(id, count)| Some((RegionId::new(&id).ok()?, count))).collect()
}

/// What is known of the way to the panel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Failures since it last answered.
    failures: u32,
    /// Whether it ever answered.
    answered: bool,
    /// How far its clock is ahead of ours, in seconds, to within half a second.
    clock_offset_s: Option<f64>,
}

impl Standing {
    /// Notes an answer. `date` is the value of its `Date` header.
    pub fn answered(&mut self, date: Option<&str>, wall: Timestamp) {
        self.failures = 0;
        self.answered = true;
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        if let Some(date) = date {
            // `Date` has whole seconds, so the panel's clock stood up to a second later: half a second on average.
            let date_ms = date.timestamp().as_millisecond().saturating_add(500);
            let offset_ms = date_ms.saturating_sub(wall.as_millisecond());
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of any clock fit")]
            let offset_s = offset_ms as f64 / 1000.0;
            self.clock_offset_s = Some(offset_s);
        }
    }

    /// Notes that no answer came.
    pub const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether it answers.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.answered && self.failures == 0
    }

    /// Whether commands are not even tried.
    #[must_use]
    pub const fn circuit_is_open(&self) -> bool {
        self.failures >= CIRCUIT_FAILURES
    }

    /// How far its clock is ahead of ours, in seconds; `None` if it never said.
    #[must_use]
    pub const fn clock_offset_s(&self) -> Option<f64> {
        self.clock_offset_s
    }

    /// Whether its clock is so far off that nothing may be automatic.
    #[must_use]
    pub fn clock_is_off(&self) -> bool {
        let limit = MAX_CLOCK_OFFSET.as_secs_f64() + 0.5;
        self.clock_offset_s.is_some_and(|offset| offset.abs() > limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallylight_model::{Epoch, IncidentId, MonoTime, WindowId};

    fn switch() -> Command {
        Command {
            action: ActionId(17),
            epoch: Epoch(3),
            kind: ActionKind::SwitchSource,
            target: Target::Channel(ChannelId::new("one").unwrap()),
            from: StreamId::parse("one/primary").ok().map(Feed::Source),
            to: StreamId::parse("one/backup").ok().map(Feed::Source),
            share: None,
            decided: MonoTime::ZERO,
            expires: MonoTime::from_nanos(10_000_000_000),
            evidence_arrived: MonoTime::ZERO,
            purpose: Purpose::Incident(IncidentId(12)),
            cause: Some(Cause::Source),
            evidence: vec!["black for 5 s".to_owned()],
        }
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        // The example of the Standard Webhooks specification's reference libraries.
        let secrets = Secrets::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signed =
            secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let rotating =
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
        assert_eq!(Secrets::parse(rotating).unwrap().sign("a", 1, b"").split(' ').count(), 2);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        for text in ["", "\n", "hunter2", "whsec_!!", "whsec_AAAA"] {
            let error = Secrets::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_command_says_all_that_the_contract_asks_for() {
        let calendar = Calendar {
            now: MonoTime::from_nanos(500_000_000),
            wall: "2026-11-20T12:00:00Z".parse().unwrap(),
        };
        let body: Value = serde_json::from_slice(&body(&switch(), &calendar)).unwrap();
        let expected = json!({
            "action_id": "17", "epoch": 3, "expires_at": "2026-11-20T12:00:09.500Z",
            "expires_in_ms": 9500, "action": "switch_source", "target": {"channel": "one"},
            "from": "primary", "to": "backup", "dry_run": false,
            "reason": {"incident": "12", "cause": "source", "evidence": ["black for 5 s"]},
        });
        assert_eq!(body, expected);
    }

    fn region_move() -> Command {
        let region = |id| Some(Feed::Region(RegionId::new(id).unwrap()));
        Command {
            kind: ActionKind::RegionMove,
            target: Target::Region(RegionId::new("north").unwrap()),
            from: region("north"),
            to: region("south"),
            cause: Some(Cause::Region),
            evidence: vec!["5 % of its packets lost".to_owned()],
            ..switch()
        }
    }

    fn encoder_restart() -> Command {
        let channels = ["one", "two"].map(|it| ChannelId::new(it).unwrap()).into();
        Command {
            action: ActionId(18),
            kind: ActionKind::RestartService,
            target: Target::Encoder { encoder: EncoderId::new("rack-2").unwrap(), channels },
            from: None,
            to: None,
            purpose: Purpose::Incident(IncidentId(13)),
            cause: Some(Cause::Processing),
            evidence: vec!["no packets for 2 s".to_owned()],
            ..switch()
        }
    }

    fn back() -> Command {
        Command {
            action: ActionId(19),
            kind: ActionKind::ReturnServer,
            target: Target::Servers(vec![ServerId::new("n1").unwrap()]),
            from: None,
            to: None,
            share: Some(25),
            purpose: Purpose::Incident(IncidentId(14)),
            cause: Some(Cause::Server),
            evidence: vec!["connection refused".to_owned()],
            ..switch()
        }
    }

    #[test]
    fn a_server_that_is_given_another_share_than_asked_for_was_not_returned() {
        let given = |state: &str, share: u8| {
            let server = json!({"server": "n1", "state": state, "share": share});
            let body = json!({"state": {"servers": [server]}}).to_string();
            answer(200, body.as_bytes(), &back())
        };
        assert_eq!(given("active", 25), Answer::Final(Outcome::Done));
        assert!(matches!(given("active", 100), Answer::Final(Outcome::Failed(_))));
        assert!(matches!(given("drained", 0), Answer::Final(Outcome::Failed(_))));
    }

    #[test]
    fn a_move_names_both_regions_and_its_answer_must_not_deny_it() {
        let calendar =
            Calendar { now: MonoTime::ZERO, wall: "2026-11-20T12:00:00Z".parse().unwrap() };
        let command = region_move();
        let body: Value = serde_json::from_slice(&body(&command, &calendar)).unwrap();
        let expected = json!({
            "action_id": "17", "epoch": 3, "expires_at": "2026-11-20T12:00:10.000Z",
            "expires_in_ms": 10000, "action": "region_move", "target": {"region": "north"},
            "from": "north", "to": "south", "dry_run": false,
            "reason": {"incident": "12", "cause": "region", "evidence": ["5 % of its packets lost"]},
        });
        assert_eq!(body, expected);
        let to = |region: &str| {
            let body = json!({"state": {"region": "north", "served_by": region}}).to_string();
            answer(200, body.as_bytes(), &command)
        };
        assert_eq!(to("south"), Answer::Final(Outcome::Done));
        assert!(matches!(to("north"), Answer::Final(Outcome::Failed(_))));
    }

    fn drain() -> Command {
        Command {
            kind: ActionKind::DrainServer,
            target: Target::Servers(vec![ServerId::new("n1").unwrap()]),
            from: None,
            to: None,
            purpose: Purpose::Maintenance(WindowId::new("n1-disks").unwrap()),
            cause: None,
            evidence: Vec::new(),
            ..switch()
        }
    }

    /// The JSON examples of `docs/panel.md`.
    fn examples() -> Vec<Value> {
        let text = include_str!("../../docs/panel.md");
        let blocks = text.split("```json").skip(1).map(|it| it.split("```").next().unwrap());
        blocks.map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    #[test]
    fn the_documented_contract_is_what_is_sent_and_read() {
        let calendar =
            Calendar { now: MonoTime::ZERO, wall: "2026-11-20T12:00:00Z".parse().unwrap() };
        let sent: Vec<Value> = [switch(), region_move(), drain(), encoder_restart(), back()]
            .map(|it| serde_json::from_slice(&body(&it, &calendar)).unwrap())
            .into();
        let (mut commands, mut answers) = (Vec::new(), 0);
        for example in examples() {
            let text = example.to_string();
            if example.get("action_id").is_some() {
                commands.push(example);
            } else if example.get("status").is_some() {
                let answer = progress(200, text.as_bytes(), &switch());
                assert_eq!(answer, Answer::Final(Outcome::Done), "{text}");
            } else if let Some(state) = example.get("state") {
                let command = match state {
                    _ if state.get("servers").is_some() => &drain(),
                    _ if state.get("encoder").is_some() => &encoder_restart(),
                    _ if state.get("region").is_some() => &region_move(),
                    _ => &switch(),
                };
                answers += 1;
                let answer = answer(200, text.as_bytes(), command);
                assert_eq!(answer, Answer::Final(Outcome::Done), "{text}");
            } else {
                let state = read_state(text.as_bytes()).unwrap();
                let read = (state.channels.len(), state.servers.len(), state.regions.len());
                assert_eq!(read, (1, 2, 2));
                let restartable: Vec<bool> =
                    state.servers.iter().map(|it| it.can_restart).collect();
                assert_eq!(restartable, [false, true]);
                let shares: Vec<_> = state.servers.iter().map(|it| it.share).collect();
                assert_eq!(shares, [Some(25), Some(100)]);
                assert!(state.encoders.iter().map(|it| it.can_restart).eq([true]));
            }
        }
        assert_eq!((commands, answers), (sent, 4));
    }

    #[test]
    fn each_answer_means_one_thing() {
        let is_final = |outcome| Answer::Final(outcome);
        let command = switch();
        let on = |source: &str| json!({"state": {"channel": "one", "active": source}}).to_string();
        for (status, body, expected) in [
            (200, on("backup"), is_final(Outcome::Done)),
            (200, "{}".to_owned(), is_final(Outcome::Done)),
            (200, "<html>".to_owned(), is_final(Outcome::Unknown)),
            (202, String::new(), Answer::Running),
            (409, String::new(), is_final(Outcome::Refused(PanelRefusal::StaleEpoch))),
            (410, String::new(), is_final(Outcome::Refused(PanelRefusal::Expired))),
            (412, String::new(), is_final(Outcome::Refused(PanelRefusal::FromDoesNotHold))),
            (500, String::new(), Answer::Passing("the panel answered 500".to_owned())),
        ] {
            assert_eq!(answer(status, body.as_bytes(), &command), expected, "{status} {body}");
        }
        for (status, body) in [(200, on("primary")), (302, String::new()), (401, String::new())] {
            let answer = answer(status, body.as_bytes(), &command);
            assert!(matches!(answer, Answer::Final(Outcome::Failed(_))), "{status} {answer:?}");
        }
        assert_eq!(progress(200, br#"{"status":"running"}"#, &command), Answer::Running);
        assert_eq!(progress(200, br#"{"status":"done"}"#, &command), is_final(Outcome::Done));
        assert_eq!(progress(200, br#"{"status":"?"}"#, &command), is_final(Outcome::Unknown));
    }

    #[test]
    fn a_state_is_read_and_what_is_foreign_left_out() {
        let state = read_state(
            br#"{"version": 4, "channels": [
                {"channel": "one", "active": "backup", "changed_by": "17", "sessions": {"north": 3},
                 "egress_bytes": {"north": 9, "no such region!": 1}},
                {"channel": "not an id", "active": "x"}],
               "servers": [{"server": "n1", "state": "drained", "sessions": 2},
                           {"server": "n2", "state": "on fire"}],
               "regions": [{"region": "north", "served_by": "south"},
                           {"region": "no such region!", "served_by": "south"}], "more": 1}"#,
        )
        .unwrap();
        assert_eq!((state.regions.len(), state.regions[0].served_by.as_str()), (1, "south"));
        assert_eq!((state.version, state.channels.len(), state.servers.len()), (4, 1, 1));
        assert_eq!(state.channels[0].active, StreamId::parse("one/backup").ok());
        assert_eq!(state.channels[0].changed_by, ChangedBy::Action(ActionId(17)));
        assert_eq!(state.channels[0].egress_bytes.len(), 1);
        assert!(read_state(b"<html>").is_err());
    }

    #[test]
    fn a_clock_more_than_two_seconds_off_is_noticed() {
        for (wall, off) in [
            ("2026-11-20T12:00:00Z", false),
            ("2026-11-20T12:00:02.500Z", false),
            ("2026-11-20T12:00:03.100Z", true),
            ("2026-11-20T11:59:57.900Z", true),
        ] {
            let mut standing = Standing::default();
            standing.answered(Some("Fri, 20 Nov 2026 12:00:00 GMT"), wall.parse().unwrap());
            assert_eq!(standing.clock_is_off(), off, "{wall}");
            assert!(standing.is_up());
        }
    }

    #[test]
    fn the_circuit_opens_after_failures_in_a_row_and_closes_with_an_answer() {
        let mut standing = Standing::default();
        assert!(!standing.is_up());
        for _ in 0..CIRCUIT_FAILURES {
            assert!(!standing.circuit_is_open());
            standing.failed();
        }
        assert!(standing.circuit_is_open());
        standing.answered(None, Timestamp::UNIX_EPOCH);
        assert!(!standing.circuit_is_open() && standing.is_up());
    }
}
