//! Asks the collector which streams to watch.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{StatusCode, header};

use super::reason;
use crate::{
    assignment::MAX_BYTES,
    config::{Config, Token},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to the collector's API, with the agent's credentials.
#[derive(Clone, Debug)]
pub struct Api {
    client: reqwest::Client,
    /// Ends with a slash.
    base: String,
    authorization: header::HeaderValue,
}

impl Api {
    /// Prepares to ask.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub fn new(config: &Config, token: &Token) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .local_address(config.source_address)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("tallylight-agent/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("assignment: cannot set up HTTP")?;
        let mut authorization =
            header::HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
                .context("token: not a header value")?;
        authorization.set_sensitive(true);
        Ok(Self { client, base: config.assignment.to_string(), authorization })
    }

    /// Begins a `GET` of a path below the API's address.
    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.authorised(self.client.get(format!("{}{path}", self.base)))
    }

    /// Begins a `PUT`.
    pub fn put(&self, path: &str) -> reqwest::RequestBuilder {
        self.authorised(self.client.put(format!("{}{path}", self.base)))
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.header(header::AUTHORIZATION, self.authorization.clone())
    }
}

/// Asks again and again; an answer that did not change is not sent twice.
#[derive(Debug)]
pub struct Assigner {
    api: Api,
    etag: Option<header::HeaderValue>,
}

impl Assigner {
    /// Prepares to ask.
    #[must_use]
    pub const fn new(api: Api) -> Self {
        Self { api, etag: None }
    }

    /// Asks once. `None`: nothing changed since the last answer that was [taken](Self::taken).
    ///
    /// # Errors
    /// No answer, or one that is not an assignment by its status or size.
    pub async fn ask(&self) -> anyhow::Result<Option<Answer>> {
        let mut request = self.api.get("api/v1/assignment");
        if let Some(etag) = &self.etag {
            request = request.header(header::IF_NONE_MATCH, etag.clone());
        }
        // The error's own text would name the address.
        let mut response = request.send().await.map_err(|error| describe(&error))?;
        match response.status() {
            StatusCode::NOT_MODIFIED => return Ok(None),
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                anyhow::bail!("the collector does not know this agent's token")
            }
            status => anyhow::bail!("the collector answers {status}"),
        }
        let etag = response.headers().get(header::ETAG).cloned();
        let mut json = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error))? {
            anyhow::ensure!(json.len() + chunk.len() <= MAX_BYTES, "the answer is too large");
            json.extend_from_slice(&chunk);
        }
        Ok(Some(Answer { json, etag }))
    }

    /// Notes that an answer was understood, so that it need not come again.
    pub fn taken(&mut self, answer: &Answer) {
        self.etag.clone_from(&answer.etag);
    }
}

/// What the collector said.
#[derive(Debug)]
pub struct Answer {
    /// The assignment.
    pub json: Vec<u8>,
    etag: Option<header::HeaderValue>,
}

fn describe(error: &reqwest::Error) -> anyhow::Error {
    let what = if error.is_timeout() {
        "the collector did not answer in time"
    } else if error.is_connect() {
        "the collector cannot be reached"
    } else {
        "the collector's answer broke off"
    };
    match reason::of(error) {
        Some(reason) => anyhow::anyhow!("{what}: {reason}"),
        None => anyhow::anyhow!(what),
    }
}
