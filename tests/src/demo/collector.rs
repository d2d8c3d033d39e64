//! The collector's JSON API as the demo reads it.

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

/// A client of one collector.
#[derive(Clone, Debug)]
pub struct Collector {
    http: Client,
    base: Url,
}

/// An incident.
#[derive(Clone, Debug, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: String,
    /// The kind of its cause.
    pub cause: String,
    /// Which one of its kind.
    pub subject: String,
    /// `open` or `closed`.
    pub state: String,
    /// When its faulty media was produced, as RFC 3339 has it.
    pub onset: String,
    /// What speaks for and against the cause.
    pub evidence: Vec<Evidence>,
    /// How far its remedy is.
    pub remedy: String,
    /// What happened.
    pub timeline: Vec<Moment>,
    /// What was refused.
    pub refusals: Vec<Refusal>,
}

/// One agent's word on one stream.
#[derive(Clone, Debug, Deserialize)]
pub struct Evidence {
    /// `for` or `against`.
    pub side: String,
    /// The agent's node.
    pub node: String,
    /// The stream.
    pub stream: String,
    /// The fault, where it is one.
    pub kind: Option<String>,
}

/// One moment of an incident.
#[derive(Clone, Debug, Deserialize)]
pub struct Moment {
    /// What happened.
    pub step: String,
    /// When, from the onset.
    pub ms: i64,
}

/// What was not done.
#[derive(Clone, Debug, Deserialize)]
pub struct Refusal {
    /// The action, where the cause has any.
    pub action: Option<String>,
    /// Why not.
    pub reason: String,
}

impl Incident {
    /// Returns the onset in milliseconds since 1970-01-01 UTC; `None` where it is not a time.
    #[must_use]
    pub fn onset_unix_ms(&self) -> Option<i64> {
        Some(self.onset.parse::<jiff::Timestamp>().ok()?.as_millisecond())
    }

    /// Returns when a step first happened, in milliseconds from the onset.
    #[must_use]
    pub fn step_ms(&self, name: &str) -> Option<i64> {
        self.timeline.iter().find(|moment| moment.step == name).map(|moment| moment.ms)
    }

    /// Says what speaks for the cause: the first few faults that were seen.
    #[must_use]
    pub fn seen(&self) -> String {
        let speaking = self.evidence.iter().filter(|evidence| evidence.side == "for");
        let seen: Vec<_> = speaking
            .filter_map(|evidence| {
                Some(format!(
                    "{} on {} by {}",
                    evidence.kind.as_ref()?,
                    evidence.stream,
                    evidence.node
                ))
            })
            .take(3)
            .collect();
        seen.join(", ")
    }
}

/// An action.
#[derive(Clone, Debug, Deserialize)]
pub struct Action {
    /// Its id.
    pub id: String,
    /// The incident it is for, if it is for one.
    pub incident: Option<String>,
    /// What it does.
    pub action: String,
    /// Where it stands.
    pub state: String,
}

/// A channel in a region.
#[derive(Clone, Debug, Deserialize)]
pub struct Signal {
    /// The channel.
    pub channel: String,
    /// The region.
    pub region: String,
    /// Whether it is good; `None` while nobody watches.
    pub up: Option<bool>,
}

/// A source.
#[derive(Clone, Debug, Deserialize)]
pub struct Source {
    /// `channel/name`.
    pub stream: String,
    /// Whether the channel is on it.
    pub active: bool,
    /// Whether it could be switched to.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// A fault that stands declared.
#[derive(Clone, Debug, Deserialize)]
pub struct Fault {
    /// The agent's node.
    pub node: String,
    /// The stream.
    pub stream: String,
    /// The kind.
    pub kind: String,
}

/// A node with an agent.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// The node.
    pub node: String,
    /// Whether its word counts.
    pub vote: String,
}

impl Collector {
    /// Talks to the API at an address.
    #[must_use]
    pub const fn new(http: Client, base: Url) -> Self {
        Self { http, base }
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, what: &str) -> anyhow::Result<Vec<T>> {
        let url = self.base.join(&format!("api/v1/{what}"))?;
        let answer = self.http.get(url).send().await.context("the collector does not answer")?;
        let text = answer.error_for_status()?.text().await?;
        let mut body: Value = serde_json::from_str(&text).context("the collector's answer")?;
        let list = match body.get_mut(what) {
            Some(list) => list.take(),
            None => body,
        };
        serde_json::from_value(list).with_context(|| format!("the collector's list of {what}"))
    }

    /// Returns all incidents that are remembered.
    ///
    /// # Errors
    /// Fails where the collector does not answer as its API says; so do the others.
    pub async fn incidents(&self) -> anyhow::Result<Vec<Incident>> {
        self.get("incidents").await
    }

    /// Returns all actions that are remembered.
    ///
    /// # Errors
    /// See [`incidents`](Self::incidents).
    pub async fn actions(&self) -> anyhow::Result<Vec<Action>> {
        self.get("actions").await
    }

    /// Returns every channel in every region.
    ///
    /// # Errors
    /// See [`incidents`](Self::incidents).
    pub async fn signals(&self) -> anyhow::Result<Vec<Signal>> {
        self.get("signals").await
    }

    /// Returns every source.
    ///
    /// # Errors
    /// See [`incidents`](Self::incidents).
    pub async fn sources(&self) -> anyhow::Result<Vec<Source>> {
        self.get("sources").await
    }

    /// Returns the faults that stand declared.
    ///
    /// # Errors
    /// See [`incidents`](Self::incidents).
    pub async fn faults(&self) -> anyhow::Result<Vec<Fault>> {
        self.get("faults").await
    }

    /// Approves an action with a token; returns the status of the answer.
    ///
    /// # Errors
    /// Fails where the collector does not answer.
    pub async fn approve(&self, action: &str, token: &str) -> anyhow::Result<u16> {
        let url = self.base.join(&format!("api/v1/actions/{action}/approve"))?;
        let answer = self.http.post(url).bearer_auth(token).send().await?;
        Ok(answer.status().as_u16())
    }

    /// Plans maintenance of a channel for the next hour; answers the status.
    ///
    /// # Errors
    /// Fails where the collector does not answer.
    pub async fn maintain(&self, id: &str, channel: &str, token: &str) -> anyhow::Result<u16> {
        let end = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
        let body = json!({ "id": id, "channel": channel, "end": end, "why": "a new decoder" });
        let request = self.http.post(self.base.join("api/v1/maintenance")?).bearer_auth(token);
        Ok(request.json(&body).send().await?.status().as_u16())
    }

    /// Gives a channel back that somebody switched by hand; answers the status.
    ///
    /// # Errors
    /// Fails where the collector does not answer.
    pub async fn end_hands_off(&self, channel: &str, token: &str) -> anyhow::Result<u16> {
        let url = self.base.join(&format!("api/v1/channels/{channel}/hands-off"))?;
        let answer = self.http.delete(url).bearer_auth(token).send().await?;
        Ok(answer.status().as_u16())
    }

    /// Ends maintenance; answers the status.
    ///
    /// # Errors
    /// Fails where the collector does not answer.
    pub async fn end_maintenance(&self, id: &str, token: &str) -> anyhow::Result<u16> {
        let url = self.base.join(&format!("api/v1/maintenance/{id}"))?;
        let answer = self.http.delete(url).bearer_auth(token).send().await?;
        Ok(answer.status().as_u16())
    }

    /// Returns the nodes.
    ///
    /// # Errors
    /// See [`incidents`](Self::incidents).
    pub async fn nodes(&self) -> anyhow::Result<Vec<Node>> {
        self.get("nodes").await
    }
}
