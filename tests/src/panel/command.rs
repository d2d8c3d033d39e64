//! Commands as they stand in a request's body, read strictly: nothing is guessed and no target is implied.

use jiff::Timestamp;
use serde::Deserialize;
use tallylight_model::{ChannelId, EncoderId, RegionId, ServerId};

/// Servers that one command may name.
const MAX_SERVERS: usize = 64;
/// Channels of one encoder.
const MAX_CHANNELS: usize = 1000;

/// A command that is well formed.
#[derive(Clone, Debug)]
pub struct Command {
    /// The idempotency key.
    pub action_id: String,
    /// The fencing token.
    pub epoch: u64,
    /// The moment from which the command is void.
    pub expires_at: Timestamp,
    /// How long the command was good for when it was sent, in milliseconds.
    pub expires_in_ms: i64,
    /// What to do to what.
    pub act: Act,
    /// Only say what would change.
    pub dry_run: bool,
}

/// An action with its explicit target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Put a channel on another source.
    Switch {
        /// The channel.
        channel: String,
        /// The source that it must be on.
        from: String,
        /// The source that it is to be on.
        to: String,
    },
    /// Start a channel's output process anew.
    Restart {
        /// The channel.
        channel: String,
    },
    /// Start an encoder anew with all that runs on it.
    RestartEncoder {
        /// The encoder.
        encoder: String,
        /// The channels that run on it, no more and no fewer.
        channels: Vec<String>,
    },
    /// Start anew what serves these servers' deliveries.
    RestartServers {
        /// The servers.
        servers: Vec<String>,
    },
    /// Send no viewers to these servers.
    Drain {
        /// The servers.
        servers: Vec<String>,
    },
    /// Send viewers to these servers again.
    Undrain {
        /// The servers.
        servers: Vec<String>,
    },
    /// Send a share of their viewers to these servers.
    Return {
        /// The servers.
        servers: Vec<String>,
        /// In percent.
        share: u8,
    },
    /// Let another region's servers serve a region's viewers.
    Move {
        /// The region whose viewers move.
        region: String,
        /// The region whose servers must serve them so far, where it is stated.
        from: Option<String>,
        /// The region whose servers are to serve them; absent: the panel chooses another.
        to: Option<String>,
    },
}

/// Why a body is not a command.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The body is not the JSON that a command has.
    #[error("not a command: {0}")]
    Json(serde_json::Error),
    /// The target is not an explicit list of known form for this action.
    #[error("target: {0}")]
    Target(&'static str),
    /// A field has a value that cannot be.
    #[error("{field}: {problem}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCommand {
    action_id: String,
    epoch: u64,
    expires_at: String,
    expires_in_ms: i64,
    action: RawAction,
    target: RawTarget,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    share: Option<u8>,
    /// For people; whatever it is, it is not acted on.
    #[serde(default, rename = "reason")]
    _reason: serde::de::IgnoredAny,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawAction {
    SwitchSource,
    RestartStream,
    RestartService,
    DrainServer,
    UndrainServer,
    ReturnServer,
    RegionMove,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    channel: Option<String>,
    encoder: Option<String>,
    channels: Option<Vec<String>>,
    servers: Option<Vec<String>>,
    region: Option<String>,
}

impl Command {
    /// Reads a request's body.
    ///
    /// # Errors
    /// Says which rule the body breaks.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let raw: RawCommand = serde_json::from_slice(body).map_err(Malformed::Json)?;
        if raw.action_id.is_empty() || raw.action_id.len() > 64 {
            return Err(field("action_id", "1 to 64 bytes are allowed"));
        }
        let expires_at =
            raw.expires_at.parse().map_err(|_| field("expires_at", "not a time of RFC 3339"))?;
        let act = if let RawAction::ReturnServer = raw.action {
            Act::Return { servers: servers(raw.target)?, share: share(raw.share)? }
        } else if raw.share.is_some() {
            return Err(field("share", "is for return_server"));
        } else {
            act(raw.action, raw.target, raw.from, raw.to)?
        };
        Ok(Self {
            action_id: raw.action_id,
            epoch: raw.epoch,
            expires_at,
            expires_in_ms: raw.expires_in_ms,
            act,
            dry_run: raw.dry_run,
        })
    }
}

const fn field(field: &'static str, problem: &'static str) -> Malformed {
    Malformed::Field { field, problem }
}

fn act(
    action: RawAction,
    target: RawTarget,
    from: Option<String>,
    to: Option<String>,
) -> Result<Act, Malformed> {
    match action {
        RawAction::SwitchSource => {
            let channel = channel(target)?;
            let (from, to) = from_to(from, to)?;
            Ok(Act::Switch { channel, from, to })
        }
        RawAction::RestartStream => Ok(Act::Restart { channel: channel(target)? }),
        RawAction::RestartService if target.encoder.is_some() => encoder(target),
        RawAction::RestartService => Ok(Act::RestartServers { servers: servers(target)? }),
        RawAction::DrainServer => Ok(Act::Drain { servers: servers(target)? }),
        RawAction::ReturnServer => Err(field("share", "must be stated")),
        RawAction::UndrainServer => Ok(Act::Undrain { servers: servers(target)? }),
        RawAction::RegionMove => Ok(Act::Move { region: region(target)?, from, to }),
    }
}

fn share(share: Option<u8>) -> Result<u8, Malformed> {
    share.filter(|it| (1..=100).contains(it)).ok_or(field("share", "1 to 100 is allowed"))
}

fn from_to(from: Option<String>, to: Option<String>) -> Result<(String, String), Malformed> {
    let from = from.ok_or(field("from", "must be stated"))?;
    let to = to.ok_or(field("to", "must be stated"))?;
    if from == to { Err(field("to", "is the same as from")) } else { Ok((from, to)) }
}

fn channel(target: RawTarget) -> Result<String, Malformed> {
    match target {
        RawTarget {
            channel: Some(channel),
            encoder: None,
            channels: None,
            servers: None,
            region: None,
        } => {
            ChannelId::new(&channel).map_err(|_| Malformed::Target("not one channel's id"))?;
            Ok(channel)
        }
        _ => Err(Malformed::Target("must name one channel")),
    }
}

fn encoder(target: RawTarget) -> Result<Act, Malformed> {
    let RawTarget {
        encoder: Some(encoder),
        channels: Some(mut channels),
        channel: None,
        servers: None,
        region: None,
    } = target
    else {
        return Err(Malformed::Target("must name one encoder and list its channels"));
    };
    EncoderId::new(&encoder).map_err(|_| Malformed::Target("not one encoder's id"))?;
    if channels.is_empty() || channels.len() > MAX_CHANNELS {
        return Err(Malformed::Target("1 to 1000 channels are allowed"));
    }
    if channels.iter().any(|channel| ChannelId::new(channel).is_err()) {
        return Err(Malformed::Target("not a channel's id"));
    }
    channels.sort_unstable();
    channels.dedup();
    Ok(Act::RestartEncoder { encoder, channels })
}

fn region(target: RawTarget) -> Result<String, Malformed> {
    match target {
        RawTarget {
            region: Some(region),
            channel: None,
            encoder: None,
            channels: None,
            servers: None,
        } => {
            RegionId::new(&region).map_err(|_| Malformed::Target("not one region's id"))?;
            Ok(region)
        }
        _ => Err(Malformed::Target("must name one region")),
    }
}

fn servers(target: RawTarget) -> Result<Vec<String>, Malformed> {
    let RawTarget {
        servers: Some(mut servers),
        channel: None,
        encoder: None,
        channels: None,
        region: None,
    } = target
    else {
        return Err(Malformed::Target("must list servers"));
    };
    if servers.is_empty() || servers.len() > MAX_SERVERS {
        return Err(Malformed::Target("1 to 64 servers are allowed"));
    }
    if servers.iter().any(|server| ServerId::new(server).is_err()) {
        return Err(Malformed::Target("not a server's id"));
    }
    servers.sort_unstable();
    servers.dedup();
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_commands_are_understood() {
        let text = include_str!("../../../docs/panel.md");
        let blocks = text.split("```json").skip(1).filter_map(|it| it.split("```").next());
        let commands = blocks.filter(|it| it.contains("action_id"));
        let acts: Vec<Act> =
            commands.map(|it| Command::parse(it.as_bytes()).unwrap().act).collect();
        let expected = [
            Act::Switch { channel: "one".into(), from: "primary".into(), to: "backup".into() },
            Act::Move {
                region: "north".into(),
                from: Some("north".into()),
                to: Some("south".into()),
            },
            Act::Drain { servers: vec!["n1".into()] },
            Act::RestartEncoder {
                encoder: "rack-2".into(),
                channels: vec!["one".into(), "two".into()],
            },
            Act::Return { servers: vec!["n1".into()], share: 25 },
        ];
        assert_eq!(acts, expected);
    }
}
