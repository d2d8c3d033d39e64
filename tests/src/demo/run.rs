//! Plays rows: waits until all is well, breaks one thing, follows what Tallylight makes of it, mends it, and judges.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;
use tallylight_decide::view::NotReady;
use tallylight_model::Metric;

use super::{
    collector::Incident,
    judge::{self, Followed, Observed},
    plan::AGENTS,
    rows::{Broken, Expected, Row},
    stage::{Command, Pulses, Stage},
};
use crate::world::process::unix_ms;

/// From the start of everything to all channels good and all backups ready; a backup must be good for 60 s.
const HEALTHY: Duration = Duration::from_secs(300);
/// From the fault to everything that a row waits for: the longest hold is 10 s, verifying takes up to 45 s and a page 20 s.
const OUTCOME: Duration = Duration::from_secs(120);
/// For how long a trap stays set after its cause was named, or at all where none is to be.
const TEMPTATION: Duration = Duration::from_secs(25);
/// Health and calm must last this long: a put-back shows in the picture a moment later.
const STEADY: Duration = Duration::from_secs(4);
/// The collector sees within this time what the panel did.
const GIVEN_BACK: Duration = Duration::from_secs(10);

/// How often APIs are asked. Moments in the table come from what is asked, not from when it is.
const POLL: Duration = Duration::from_millis(200);

/// How a row came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The row.
    pub row: Row,
    /// Everything that is wrong.
    pub problems: Vec<String>,
    /// What happened when.
    pub moments: Moments,
}

/// Moments of a row. Spans are in milliseconds; `None` where there is no such moment.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// The cause that was named, with its subject.
    pub cause: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// From the break to the first fault at the collector.
    pub detected: Option<i64>,
    /// From the onset to the first fault's declaration and arrival.
    pub hold: Option<i64>,
    /// From the first fault to the cause's name.
    pub settle: Option<i64>,
    /// From there to the panel's receipt of the command.
    pub command: Option<i64>,
    /// From there to the panel's answer.
    pub switch: Option<i64>,
    /// From there to good pictures everywhere.
    pub key_frame: Option<i64>,
    /// From the break to good pictures everywhere, as the world's own receivers got them.
    pub good: Option<i64>,
    /// The same as the collector has it: by when the media was produced, and by its agents.
    pub good_by_collector: Option<i64>,
    /// The break, in milliseconds since 1970-01-01 UTC.
    pub broken_unix_ms: i64,
}

/// Plays rows on a stage and tells about it.
pub struct Run<'a> {
    stage: &'a mut Stage,
    rows: usize,
    played: usize,
    /// What was done until the last row ended: the next finds no more than that.
    done: (BTreeSet<String>, usize),
}

/// What was there before a row.
struct Before {
    incidents: BTreeSet<String>,
    actions: BTreeSet<String>,
    commands: usize,
    unix_ms: u64,
    dropped: f64,
}

impl<'a> Run<'a> {
    /// Begins to play so many rows.
    #[must_use]
    pub fn new(stage: &'a mut Stage, rows: usize) -> Self {
        Self { stage, rows, played: 0, done: (BTreeSet::new(), 0) }
    }

    fn say(&self, kind: &str, text: &str) {
        self.stage.screen.say(kind, text);
    }

    /// Plays one row from a healthy world to a healthy world.
    ///
    /// # Errors
    /// Fails where the demo itself does, not where the row comes out wrong.
    pub async fn play(&mut self, row: Row) -> anyhow::Result<Outcome> {
        self.played += 1;
        self.say("row", &format!("{} of {}, {}: {}", self.played, self.rows, row.id, row.title));
        if let Err(problem) = self.wait_until_healthy(row).await? {
            return Ok(Outcome { row, problems: vec![problem], moments: Moments::default() });
        }
        self.prepare(row).await?;
        let before = self.before(row).await?;
        let mut problems = self.unasked(&before);
        let (broken_ms, pulses) = self.break_it(row).await?;
        self.say("break", row.title);
        let followed = self.follow(row, &before, broken_ms).await?;
        drop(pulses);
        self.mend(row).await?;
        self.say("mend", row.title);
        let calm = self.wait_until_calm().await?;
        self.put_back().await?;
        let calm = match calm {
            Ok(()) => self.wait_until_calm().await?,
            restless => restless,
        };
        let observed = self.observe(&before).await?;
        problems.extend(judge::problems(row.expected, &observed, followed));
        problems.extend(calm.err());
        let done = observed.actions.iter().map(|it| it.id.clone()).chain(before.actions).collect();
        self.done = (done, before.commands + observed.commands.len());
        if matches!(row.broken, Broken::AgentHost(_)) && self.dropped(row).await? <= before.dropped
        {
            problems.push("no socket of the agent overflowed: nothing was broken".to_owned());
        }
        let moments = moments(row.expected, &observed, broken_ms, followed.good_unix_ms);
        match problems.is_empty() {
            true => self.say("right", row.id),
            false => problems.iter().for_each(|problem| self.say("WRONG", problem)),
        }
        Ok(Outcome { row, problems, moments })
    }

    /// Says what was done since the last row, when nothing was broken.
    fn unasked(&self, before: &Before) -> Vec<String> {
        let (actions, commands) = &self.done;
        let decided = before.actions.difference(actions);
        let mut problems: Vec<_> =
            decided.map(|id| format!("action {id} was decided on before anything broke")).collect();
        if before.commands > *commands {
            let more = before.commands - commands;
            problems.push(format!("the panel got {more} commands before anything broke"));
        }
        problems
    }

    async fn before(&self, row: Row) -> anyhow::Result<Before> {
        let collector = &self.stage.collector;
        Ok(Before {
            incidents: collector.incidents().await?.into_iter().map(|it| it.id).collect(),
            actions: collector.actions().await?.into_iter().map(|it| it.id).collect(),
            commands: self.stage.commands().await?.len(),
            unix_ms: unix_ms(),
            dropped: self.dropped(row).await?,
        })
    }

    /// Datagrams that the sockets of the row's agent dropped so far, as the kernel told it.
    async fn dropped(&self, row: Row) -> anyhow::Result<f64> {
        match row.broken {
            Broken::AgentHost(node) => {
                self.stage.agent_metric(node, Metric::StreamReceiveDropped.name()).await
            }
            _ => Ok(0.0),
        }
    }

    async fn observe(&self, before: &Before) -> anyhow::Result<Observed> {
        let collector = &self.stage.collector;
        let mut observed = Observed {
            incidents: collector.incidents().await?,
            actions: collector.actions().await?,
            commands: self.stage.commands().await?.split_off(before.commands),
            pages: self.stage.pager.since(before.unix_ms),
        };
        observed.incidents.retain(|it| !before.incidents.contains(&it.id));
        observed.actions.retain(|it| !before.actions.contains(&it.id));
        Ok(observed)
    }

    /// Follows a row until everything it waits for has come, or its time is over.
    async fn follow(
        &mut self,
        row: Row,
        before: &Before,
        broken_ms: u64,
    ) -> anyhow::Result<Followed> {
        let broken = Instant::now();
        let mut told = BTreeSet::new();
        let mut followed = Followed::default();
        let mut named_at = None;
        loop {
            self.check_processes(row)?;
            let observed = self.observe(before).await?;
            self.tell(&observed, &mut told, broken);
            followed.saw_waiting |= observed.actions.iter().any(|it| it.state == "waiting");
            let receivers = self.stage.receivers().await?;
            followed.good_unix_ms = judge::good_again(row.broken, broken_ms, unix_ms(), &receivers);
            if observed.main_incident(row.expected).is_some() {
                named_at.get_or_insert_with(Instant::now);
            }
            let over = match row.expected {
                Expected::Action { .. } | Expected::Page { .. } => {
                    judge::is_done(row.expected, &observed, followed) || broken.elapsed() > OUTCOME
                }
                Expected::Named { .. } => {
                    named_at.is_some_and(|at: Instant| at.elapsed() > TEMPTATION)
                        || broken.elapsed() > OUTCOME
                }
                Expected::Nothing => broken.elapsed() > TEMPTATION,
            };
            if over {
                if let Some(good_ms) = followed.good_unix_ms {
                    let since = good_ms.saturating_sub(broken_ms);
                    self.say(
                        "good",
                        &format!("every receiver has the programme again (+{since} ms)"),
                    );
                }
                return Ok(followed);
            }
            let seconds = broken.elapsed().as_secs();
            self.stage.screen.pass(&format!("{} {seconds} s ago", row.title));
            tokio::time::sleep(POLL).await;
        }
    }

    /// Tells each thing once, with the time since the break as it was noticed here.
    fn tell(&self, observed: &Observed, told: &mut BTreeSet<String>, broken: Instant) {
        let since = broken.elapsed().as_millis();
        let mut news = |kind: &str, key: String, text: String| {
            if told.insert(key) {
                self.say(kind, &format!("{text} (+{since} ms)"));
            }
        };
        for incident in &observed.incidents {
            let id = &incident.id;
            let seen = incident.seen();
            if !seen.is_empty() {
                news("seen", format!("seen {id}"), seen);
            }
            let text = format!("{} {} (incident {id})", incident.cause, incident.subject);
            news("cause", format!("cause {id}"), text);
            for refusal in &incident.refusals {
                let action = refusal.action.as_deref().unwrap_or("any action");
                let text = format!("{action} not taken: {}", refusal.reason);
                news("refused", format!("refused {id} {text}"), text);
            }
        }
        for action in &observed.actions {
            let text = format!("{} is {} (action {})", action.action, action.state, action.id);
            news("action", format!("action {text}"), text);
        }
        for page in observed.pages.iter().filter(|page| page.receiver != "watchdog") {
            let [name, channel, region] =
                ["alertname", "channel", "region"].map(|it| page.label(it));
            let text = format!("{name} {channel} {region} {} to {}", page.status, page.receiver);
            news("page", format!("page {} {text}", page.at_unix_ms), text);
        }
    }

    fn check_processes(&mut self, row: Row) -> anyhow::Result<()> {
        if let Some((name, log)) = self.stage.processes.ended() {
            anyhow::bail!("{name} ended during {}; see {}", row.id, log.display());
        }
        Ok(())
    }

    async fn prepare(&mut self, row: Row) -> anyhow::Result<()> {
        let Broken::PrimaryWithoutBackup(channel, _) = row.broken else { return Ok(()) };
        self.stage.order_source(channel, "backup", &json!({ "fault": "stop" })).await?;
        self.say("prepare", &format!("the backup of {channel} dies"));
        let backup = format!("{channel}/backup");
        let deadline = Instant::now() + OUTCOME;
        // Its incident is part of what was there before, once it is there.
        loop {
            let open = self.stage.collector.incidents().await?;
            if open.iter().any(|it| it.state == "open" && it.subject == backup) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "nobody sees that {backup} is dead");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Breaks it; returns when it broke, in milliseconds since 1970-01-01 UTC.
    async fn break_it(&mut self, row: Row) -> anyhow::Result<(u64, Option<Pulses>)> {
        let stage = &mut *self.stage;
        let broken_ms = match row.broken {
            Broken::Primary(channel, fault) | Broken::PrimaryWithoutBackup(channel, fault) => {
                stage.order_source(channel, "primary", &fault.order()).await?
            }
            Broken::Programme(channel, fault) => {
                stage.order_channel(channel, &fault.order()).await?
            }
            Broken::Output(channel) => {
                stage.steer("hang", &json!({ "channel": channel })).await?;
                unix_ms()
            }
            Broken::Server(server) => stage.kill_server(server).await?,
            Broken::Region(region) => stage.lose(region, 0.05).await?,
            Broken::AgentHost(node) => {
                let pulses = Pulses::start(&stage.processes, node)?;
                return Ok((unix_ms(), Some(pulses)));
            }
            Broken::AgentPath(node) => stage.cut(source_address(node)?, true).await?,
            Broken::Harmless(faults) => {
                let mut first = u64::MAX;
                for (channel, fault) in faults {
                    first = first.min(stage.order_channel(channel, &fault.order()).await?);
                }
                first
            }
        };
        Ok((broken_ms, None))
    }

    async fn mend(&mut self, row: Row) -> anyhow::Result<()> {
        let stage = &mut *self.stage;
        let normal = json!({ "fault": "normal" });
        match row.broken {
            Broken::Primary(channel, _)
            | Broken::PrimaryWithoutBackup(channel, _)
            | Broken::Programme(channel, _) => {
                stage.order_channel(channel, &normal).await?;
            }
            Broken::Harmless(faults) => {
                for (channel, _) in faults {
                    stage.order_channel(channel, &normal).await?;
                }
            }
            // Mended by the action, or the row is wrong and this keeps it from spoiling the next.
            Broken::Output(channel) => {
                stage.steer("resume", &json!({ "channel": channel })).await?
            }
            Broken::Server(server) => stage.start_server(server).await?,
            Broken::Region(region) => drop(stage.lose(region, 0.0).await?),
            Broken::AgentHost(_) => {}
            Broken::AgentPath(node) => drop(stage.cut(source_address(node)?, false).await?),
        }
        Ok(())
    }

    /// Puts everything that was changed back to where it was, as an operator would.
    async fn put_back(&mut self) -> anyhow::Result<()> {
        let state = self.stage.panel_state().await?;
        for channel in state.channels.iter().filter(|channel| channel.active != "primary") {
            let order = json!({ "channel": channel.channel, "to": "primary" });
            self.stage.steer("switch", &order).await?;
            self.give_back(&channel.channel).await?;
        }
        for server in state.servers.iter().filter(|server| server.state != "active") {
            let order = json!({ "server": server.server, "state": "active" });
            self.stage.steer("server", &order).await?;
        }
        Ok(())
    }

    /// Who switched a channel by hand has it for a while: the operator says at once that it may be acted on again.
    async fn give_back(&self, channel: &str) -> anyhow::Result<()> {
        let token = std::fs::read_to_string(self.stage.folder.join("operator.token"))?;
        let deadline = Instant::now() + GIVEN_BACK;
        // 404 until the collector has seen the switch.
        while self.stage.collector.end_hands_off(channel, &token).await? != 200 {
            anyhow::ensure!(
                Instant::now() < deadline,
                "the collector does not take {channel} back from the operator"
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until no incident is open and every channel is good. The inner error says what is still wrong.
    async fn wait_until_calm(&mut self) -> anyhow::Result<Result<(), String>> {
        self.wait_until(OUTCOME, "calm", None).await
    }

    /// Waits for calm and for the row's backup to be ready.
    async fn wait_until_healthy(&mut self, row: Row) -> anyhow::Result<Result<(), String>> {
        let channel = match row.broken {
            Broken::Primary(channel, _) | Broken::Programme(channel, _) => Some(channel),
            _ => None,
        };
        self.wait_until(HEALTHY, "health", channel).await
    }

    async fn wait_until(
        &mut self,
        span: Duration,
        what: &str,
        backup_of: Option<&str>,
    ) -> anyhow::Result<Result<(), String>> {
        let (begun, deadline) = (Instant::now(), Instant::now() + span);
        let mut told = String::new();
        let mut since = Instant::now();
        loop {
            if let Some((name, log)) = self.stage.processes.ended() {
                anyhow::bail!("{name} ended; see {}", log.display());
            }
            let missing = match self.missing(backup_of).await {
                Ok(None) if since.elapsed() > STEADY => return Ok(Ok(())),
                Ok(None) => {
                    tokio::time::sleep(POLL).await;
                    continue;
                }
                Ok(Some(missing)) => missing,
                // The collector may still be starting.
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Ok(Err(format!("no {what} after {} s: {missing}", span.as_secs())));
            }
            since = Instant::now();
            if missing != told {
                self.say("wait", &missing);
                told = missing;
            }
            let seconds = begun.elapsed().as_secs();
            self.stage.screen.pass(&format!("waiting for {what} for {seconds} s"));
            tokio::time::sleep(POLL).await;
        }
    }

    /// Says what is missing for health, the most basic first.
    async fn missing(&self, backup_of: Option<&str>) -> anyhow::Result<Option<String>> {
        let collector = &self.stage.collector;
        let silent: Vec<_> = collector
            .nodes()
            .await?
            .into_iter()
            .filter(|node| node.vote != "counts")
            .map(|node| format!("{} ({})", node.node, node.vote))
            .collect();
        if !silent.is_empty() {
            return Ok(Some(format!("agents without a vote: {}", silent.join(", "))));
        }
        let signals = collector.signals().await?;
        let bad: Vec<_> = signals
            .iter()
            .filter(|signal| signal.up != Some(true))
            .map(|signal| format!("{} in {}", signal.channel, signal.region))
            .collect();
        if signals.is_empty() || !bad.is_empty() {
            return Ok(Some(format!("channels not good: {}", bad.join(", "))));
        }
        let incidents = collector.incidents().await?;
        let open: Vec<_> = incidents.iter().filter(|it| it.state == "open").map(named).collect();
        if !open.is_empty() {
            return Ok(Some(format!("incidents open: {}", open.join(", "))));
        }
        let Some(channel) = backup_of else { return Ok(None) };
        let backup = format!("{channel}/backup");
        let sources = collector.sources().await?;
        let backup = sources.iter().find(|source| source.stream == backup);
        let backup = backup.context("the backup is not in the lineup")?;
        if backup.ready {
            return Ok(None);
        }
        let why = |reason: &String| match NotReady::from_name(reason) {
            Some(NotReady::RecentFault) => "its last fault ended less than 60 s ago".to_owned(),
            Some(NotReady::TooNew) => "it was not seen for long enough yet".to_owned(),
            _ => reason.clone(),
        };
        let why: Vec<_> = backup.reasons.iter().map(why).collect();
        Ok(Some(format!("{} is not ready: {}", backup.stream, why.join(", "))))
    }
}

fn named(incident: &Incident) -> String {
    format!("{} {}", incident.cause, incident.subject)
}

fn source_address(node: &str) -> anyhow::Result<&'static str> {
    let agent = AGENTS.iter().find(|agent| agent.node == node).context("no such agent")?;
    Ok(agent.source_address)
}

/// Takes the moments out of the collector's time line, the panel's log and what the receivers got.
fn moments(
    expected: Expected,
    observed: &Observed,
    broken_ms: u64,
    good_unix_ms: Option<u64>,
) -> Moments {
    let Some(incident) = observed.main_incident(expected) else { return Moments::default() };
    let Some(onset_ms) = incident.onset_unix_ms() else { return Moments::default() };
    let signed = |unix_ms| i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let (broken_ms, good) = (signed(broken_ms), good_unix_ms.map(signed));
    let from_break = |step: &str| Some(onset_ms - broken_ms + incident.step_ms(step)?);
    let between = |from: &str, to: &str| Some(incident.step_ms(to)? - incident.step_ms(from)?);
    let command: Option<&Command> = observed.commands.first();
    let panel = |at: fn(&Command) -> i64| command.map(|command| at(command) - onset_ms);
    let received = panel(|command| command.received_unix_ms);
    let answered = panel(|command| command.answered_unix_ms);
    let action = observed.actions.first();
    Moments {
        cause: Some(named(incident)),
        action: action.map(|action| match action.state.as_str() {
            "verified" => action.action.clone(),
            state => format!("{} ({state})", action.action),
        }),
        detected: from_break("first_fault"),
        hold: incident.step_ms("first_fault"),
        settle: between("first_fault", "located"),
        command: received.zip(incident.step_ms("located")).map(|(at, from)| at - from),
        switch: answered.zip(received).map(|(at, from)| at - from),
        // Viewers of a dead server may find another by themselves, before anything was done.
        key_frame: good.zip(answered).map(|(at, from)| at - onset_ms - from).filter(|it| *it >= 0),
        good: good.map(|at| at - broken_ms),
        // Where nothing was done, it is good again because the demo mended it.
        good_by_collector: good.and_then(|_| from_break("good")),
        broken_unix_ms: broken_ms,
    }
}
