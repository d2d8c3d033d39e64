//! The way to the panel: signed requests with short times, a state read each second, and commands that go out at most once
//! each as far as the panel honours `action_id`.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{Method, redirect};
use tallylight_decide::{
    Input, Outcome, PanelRefusal, PanelState,
    action::{Command, Feed, Reason, Target},
};
use tallylight_model::{Epoch, Metric};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use url::Url;

use super::{Clock, Loaded, judge::JudgeHandle, meters::Meters};
use crate::panel::{self, Answer, Standing};

const CONNECT: Duration = Duration::from_secs(1);
const TOTAL: Duration = Duration::from_secs(3);
/// Tries of one command, the first included.
const ATTEMPTS: u32 = 3;
/// Before the second try; doubles.
const RETRY_DELAY: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_secs(1);
/// Between two looks at a status URL.
const STATUS_POLL: Duration = Duration::from_millis(200);
/// The largest answer that is read.
const MAX_BODY: usize = 4 << 20;
/// Commands under way at once, and as many more that wait.
const MAX_COMMANDS: usize = 16;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("no panel is configured")]
    NoPanel,
    #[error("the panel cannot be reached")]
    Connect,
    #[error("the panel did not answer in time")]
    Silent,
    #[error("the panel's answer is larger than {MAX_BODY} bytes")]
    TooLarge,
    #[error("the panel's state cannot be read")]
    State,
}

/// More commands are under way than may be at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooMany;

struct Reply {
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

/// Commands on their way to [`PanelDriver::run`].
#[derive(Debug)]
pub(super) struct Orders(mpsc::Receiver<Command>);

/// Talks to the panel.
#[derive(Debug)]
pub(super) struct PanelDriver {
    client: reqwest::Client,
    config: watch::Receiver<Arc<Loaded>>,
    clock: Clock,
    epoch: Epoch,
    judge: JudgeHandle,
    meters: Arc<Meters>,
    standing: Mutex<Standing>,
    requests: AtomicU64,
    orders: mpsc::Sender<Command>,
    read_now: Notify,
}

impl PanelDriver {
    pub(super) fn new(
        config: watch::Receiver<Arc<Loaded>>,
        clock: Clock,
        epoch: Epoch,
        judge: JudgeHandle,
        meters: Arc<Meters>,
    ) -> anyhow::Result<(Arc<Self>, Orders)> {
        let (orders, inbox) = mpsc::channel(MAX_COMMANDS);
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(MAX_COMMANDS)
            .no_proxy()
            .build()?;
        let driver = Self {
            client,
            config,
            clock,
            epoch,
            judge,
            meters,
            standing: Mutex::default(),
            requests: AtomicU64::new(0),
            orders,
            read_now: Notify::new(),
        };
        Ok((Arc::new(driver), Orders(inbox)))
    }

    pub(super) fn standing(&self) -> Standing {
        *self.locked()
    }

    /// The same; `None` where no panel is configured.
    pub(super) fn configured(&self) -> Option<Standing> {
        self.config.borrow().settings.panel.as_ref().map(|_| self.standing())
    }

    /// Makes the next read of the state happen at once.
    pub(super) fn read_now(&self) {
        self.read_now.notify_one();
    }

    /// Reads the state each second until the judge is gone.
    pub(super) async fn poll(self: Arc<Self>) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut away = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.read_now.notified() => {}
            }
            let was_away = away;
            let input = match self.read_state().await {
                Ok(state) => {
                    away = false;
                    Input::Panel(state)
                }
                Err(error) => {
                    away = true;
                    if !was_away && self.configured().is_some() {
                        tracing::warn!(%error, "the panel's state cannot be read");
                    }
                    Input::PanelDown
                }
            };
            if was_away && !away {
                tracing::info!("the panel's state is read again");
            }
            if !self.judge.input(input).await {
                return;
            }
        }
    }

    /// Takes a command to be carried out behind the caller's back. Its outcome goes to the judge, always.
    ///
    /// # Errors
    /// Too many commands are under way; the caller tells the judge.
    pub(super) fn act(&self, command: Command) -> Result<(), TooMany> {
        self.orders.try_send(command).map_err(|_| TooMany)
    }

    /// Carries out what [`act`](Self::act) takes. Commands under way end with this: whether they arrived, the journal and
    /// the panel's state will tell.
    pub(super) async fn run(self: Arc<Self>, mut orders: Orders) {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                order = orders.0.recv(), if under_way.len() < MAX_COMMANDS => match order {
                    Some(command) => drop(under_way.spawn(Arc::clone(&self).finish(command))),
                    None => return,
                },
                Some(_) = under_way.join_next() => {}
            }
        }
    }

    async fn finish(self: Arc<Self>, command: Command) {
        let outcome = self.carry_out(&command).await;
        tracing::info!(
            action = %command.action, kind = command.kind.name(), target = %command.target,
            ?outcome, "command ended"
        );
        self.judge.input(Input::Outcome { action: command.action, outcome }).await;
    }

    async fn carry_out(&self, command: &Command) -> Outcome {
        if self.standing().circuit_is_open() {
            return Outcome::NotSent(Reason::PanelCircuitOpen);
        }
        let state = match self.read_state().await {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!(%error, "the panel's state cannot be read, nothing is sent");
                self.judge.input(Input::PanelDown).await;
                return Outcome::NotSent(Reason::PanelDown);
            }
        };
        let holds = from_holds(command, &state);
        self.judge.input(Input::Panel(state)).await;
        if !holds {
            return Outcome::Refused(PanelRefusal::FromDoesNotHold);
        }
        self.send(command).await
    }

    async fn send(&self, command: &Command) -> Outcome {
        // Once a try may have been carried out, only an answer of the panel can say that it was not.
        let mut last = Outcome::NotSent(Reason::Expired);
        let mut received = false;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(RETRY_DELAY * 2_u32.pow(attempt - 1)).await;
            }
            let left = command.expires.since(self.clock.now());
            if left.is_zero() {
                return last;
            }
            if let Err(reason) = self.judge.allowed(command.action).await {
                return if attempt == 0 { Outcome::NotSent(reason) } else { last };
            }
            let body = panel::body(command, &self.clock.calendar());
            let id = format!("action-{}-{}-{attempt}", command.action, command.epoch.0);
            let reply = self.request(Method::POST, "commands", &id, body, left.min(TOTAL)).await;
            match reply {
                Ok(reply) => {
                    if !std::mem::replace(&mut received, true) {
                        let decided_in = self.clock.now().since(command.evidence_arrived);
                        self.meters.record(Metric::DecisionSeconds, decided_in.as_secs_f64());
                    }
                    match panel::answer(reply.status, &reply.body, command) {
                        Answer::Final(outcome) => return outcome,
                        Answer::Running => return self.follow(command, reply.location).await,
                        Answer::Passing(why) if last != Outcome::Unknown => {
                            last = Outcome::Failed(why);
                        }
                        Answer::Passing(_) => {}
                    }
                }
                Err(Unanswered::Connect | Unanswered::NoPanel) if last != Outcome::Unknown => {
                    last = Outcome::Failed(Unanswered::Connect.to_string());
                }
                Err(_) => last = Outcome::Unknown,
            }
        }
        last
    }

    /// Asks a status URL until the command is void.
    async fn follow(&self, command: &Command, location: Option<String>) -> Outcome {
        let Some(url) = location.and_then(|location| self.own_url(&location)) else {
            return Outcome::Failed("the panel gave no status URL of its own".to_owned());
        };
        loop {
            let left = command.expires.since(self.clock.now());
            if left.is_zero() {
                return Outcome::Unknown;
            }
            sleep(STATUS_POLL.min(left)).await;
            let id = self.request_id("status");
            let path = url.as_str();
            let reply = self.request(Method::GET, path, &id, Vec::new(), left.min(TOTAL)).await;
            if let Ok(reply) = reply
                && let Answer::Final(outcome) = panel::progress(reply.status, &reply.body, command)
            {
                return outcome;
            }
        }
    }

    /// A URL that the panel gave, if it is on the panel itself.
    fn own_url(&self, location: &str) -> Option<Url> {
        let base = self.base()?;
        let url = base.join(location).ok()?;
        (url.origin() == base.origin()).then_some(url)
    }

    fn base(&self) -> Option<Url> {
        let mut base = self.config.borrow().settings.panel.as_ref()?.url.clone();
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Some(base)
    }

    async fn read_state(&self) -> Result<PanelState, Unanswered> {
        let id = self.request_id("state");
        let reply = self.request(Method::GET, "state", &id, Vec::new(), TOTAL).await?;
        let state = (reply.status == 200).then(|| panel::read_state(&reply.body).ok()).flatten();
        if state.is_none() {
            self.locked().failed();
        }
        state.ok_or(Unanswered::State)
    }

    fn locked(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request_id(&self, what: &str) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{what}-{}-{number}", self.epoch.0)
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        id: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Reply, Unanswered> {
        let secrets = self.config.borrow().secrets.clone().ok_or(Unanswered::NoPanel)?;
        let base = self.base().ok_or(Unanswered::NoPanel)?;
        let url = base.join(path).map_err(|_| Unanswered::NoPanel)?;
        let now_s = Timestamp::now().as_second();
        let mut request = self
            .client
            .request(method.clone(), url)
            .header("webhook-id", id)
            .header("webhook-timestamp", now_s)
            .header("webhook-signature", secrets.sign(id, now_s, &body));
        if method == Method::POST {
            request = request.header("content-type", "application/json").body(body);
        }
        let result = timeout(within, exchange(request)).await.unwrap_or(Err(Unanswered::Silent));
        let mut standing = self.locked();
        match result {
            Ok((reply, date)) => {
                standing.answered(date.as_deref(), Timestamp::now());
                Ok(reply)
            }
            Err(error) => {
                standing.failed();
                Err(error)
            }
        }
    }
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<(Reply, Option<String>), Unanswered> {
    let sort = |error: reqwest::Error| {
        if error.is_connect() { Unanswered::Connect } else { Unanswered::Silent }
    };
    let mut response = request.send().await.map_err(sort)?;
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let (date, location) = (header("date"), header("location"));
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(sort)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Unanswered::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((Reply { status, location, body }, date))
}

/// Whether the target's viewers are served from what they are to be taken from. What the panel does not say is left to it.
fn from_holds(command: &Command, state: &PanelState) -> bool {
    match (&command.target, &command.from) {
        (Target::Channel(channel), Some(Feed::Source(from))) => {
            let channel = state.channels.iter().find(|it| it.channel == *channel);
            channel.and_then(|it| it.active.as_ref()).is_none_or(|active| active == from)
        }
        (Target::Region(region), Some(Feed::Region(from))) => {
            let region = state.regions.iter().find(|it| it.region == *region);
            region.is_none_or(|it| it.served_by == *from)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
