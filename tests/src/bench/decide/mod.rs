//! The judgement alone, on one core: observations a second, from fault to command, and memory.
//!
//! It is called as the collector calls it, in virtual time, and only its own calls are timed. What a platform of this size
//! costs in the judgement cannot be measured through sockets on a small machine, whose agents' side would cost more than all
//! that is to be measured; what a decision takes on live sockets is the part `decision`.

mod platform;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tallylight_decide::{
    Decider, Guards, Input, Mode, Outcome, Output, Policy, Scope,
    action::Command,
    incident::{Cause, IncidentState},
};
use tallylight_model::{ChannelId, Epoch, MonoTime};

use self::platform::{Broken, Platform, REGIONS};
use super::{Measured, spread::Spread, spreads, tell, usage};

/// What the project promises: observations a second, and milliseconds from fault to command.
const OBSERVATIONS: f64 = 20_000.0;
const BUDGET_MS: f64 = 5.0;
/// Open incidents beside which it promises that.
const OPEN: usize = 200;
/// Seconds after which every table of the past is full.
const FILL: u32 = 100;
/// Everything is measured so many times over, to see how it spreads.
const RUNS: u32 = 5;
/// Seconds of one such run, without and with open incidents.
const MEASURED: u32 = 2;
/// Between two faults that stay: no more of them in a minute than a storm would take.
const SPACING: Duration = Duration::from_millis(400);
/// Until all that can be tried for them has been, and none of them is new.
const SETTLE: u32 = 60;
/// From the server's end until it is known for what it is.
const NAMED: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// Faults a second that are remedied, and after how many seconds each ends.
const A_SECOND: u32 = 2;
const LASTS: usize = 5;
/// How often the panel is asked.
const PANEL: Duration = Duration::from_secs(5);
/// Far enough from the clock's origin.
const START: MonoTime = MonoTime::from_nanos(86_400_000_000_000);

/// Measures the judgement with so many channels and faults.
///
/// # Errors
/// It does not come to the incidents that are to be measured.
pub(super) fn measure(channels: usize, faults: u32) -> anyhow::Result<Measured> {
    ensure!(channels > OPEN + faults as usize, "there are fewer channels than faults");
    let own = i32::try_from(std::process::id())?;
    let (platform, lineup) = Platform::new(channels)?;
    let empty = usage::memory(own)?.rss;
    let mut stage = Stage::new(platform, Decider::new(lineup, policy(), Epoch(1)));
    let slices = stage.platform.slices_per_second();
    tell(&format!("decide: {channels} channels, {slices} observations a second, filling"));
    stage.run(SECOND * FILL);
    let full = usage::memory(own)?.rss;
    let quiet = stage.measured();
    tell(&format!("decide: {}", quiet.text("quiet")?));
    stage.break_for_good();
    let open = stage.open();
    ensure!(open == OPEN, "{open} incidents are open; {OPEN} were to be");
    let busy = stage.measured();
    let after = usage::memory(own)?.rss;
    tell(&format!("decide: {}", busy.text(&format!("with {OPEN} open incidents"))?));
    stage.decide(faults);
    conclude(channels, faults, &stage, &[quiet, busy], [empty, full, after])
}

/// Everything may be sent, so that each fault is decided at once.
fn policy() -> Policy {
    let guards = Guards { global_per_minute: 60_000, global_burst: 60_000, ..Guards::default() };
    Policy { modes: [(Scope::Global, Mode::Auto)].into(), guards, ..Policy::default() }
}

/// The judgement with its surroundings.
struct Stage {
    platform: Platform,
    decider: Decider,
    now: MonoTime,
    panel_due: MonoTime,
    /// Channels whose commands the panel cannot carry out.
    stuck: BTreeSet<ChannelId>,
    calls: Vec<f64>,
    observations: usize,
    processor: Duration,
    commands: Vec<Commanded>,
}

/// A command, with the milliseconds of the call that brought the deciding evidence, by the clock and of processor time.
struct Commanded {
    channel: Option<ChannelId>,
    ms: f64,
    processor_ms: f64,
}

/// What some runs of some seconds came to.
struct Seconds {
    /// Observations per second of processor time, by run.
    rates: Vec<f64>,
    /// Milliseconds.
    calls: Vec<f64>,
}

impl Seconds {
    fn rates(&self) -> anyhow::Result<Spread> {
        Spread::of(self.rates.iter().copied()).context("nothing was measured")
    }

    fn calls(&self) -> anyhow::Result<Spread> {
        Spread::of(self.calls.iter().copied()).context("nothing was measured")
    }

    fn text(&self, when: &str) -> anyhow::Result<String> {
        let Spread { min, median, max, .. } = self.rates()?;
        Ok(format!("{when}: {median:.0} observations per CPU second ({min:.0} to {max:.0})"))
    }

    fn figures(&self) -> anyhow::Result<Value> {
        Ok(json!({ "per_cpu_second": self.rates, "call_ms": self.calls()? }))
    }
}

impl Stage {
    fn new(platform: Platform, decider: Decider) -> Self {
        Self {
            platform,
            decider,
            now: START,
            panel_due: START,
            stuck: BTreeSet::new(),
            calls: Vec::new(),
            observations: 0,
            processor: Duration::ZERO,
            commands: Vec::new(),
        }
    }

    /// One call, timed, and what comes of it.
    fn give(&mut self, input: Input) {
        if let Input::Batch(batch) = &input {
            self.observations += batch.slices.len();
        }
        let (processor, begin) = (processor_time(), Instant::now());
        self.decider.handle(self.now, input);
        let mut outputs = Vec::new();
        while let Some(output) = self.decider.poll() {
            outputs.push(output);
        }
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        let processor = processor_time().saturating_sub(processor);
        let processor_ms = processor.as_secs_f64() * 1e3;
        self.processor += processor;
        self.calls.push(ms);
        for output in outputs {
            if let Output::Act(command) = output {
                let channel = command.target.channel().cloned();
                self.commands.push(Commanded { channel, ms, processor_ms });
                self.answer(&command);
            }
        }
    }

    fn answer(&mut self, command: &Command) {
        let is_stuck = command.target.channel().is_none_or(|it| self.stuck.contains(it));
        let outcome = if is_stuck {
            Outcome::Failed("the panel answered 500".to_owned())
        } else {
            self.platform.obey(command);
            Outcome::Done
        };
        self.give(Input::Outcome { action: command.action, outcome });
        if !is_stuck {
            self.give(Input::Panel(self.platform.panel()));
        }
    }

    /// Lets time pass: every agent reports each second.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let pieces = self.platform.pieces();
        while self.now < end {
            let begin = self.now;
            if begin >= self.panel_due {
                self.panel_due = begin + PANEL;
                self.give(Input::Panel(self.platform.panel()));
            }
            for (at, piece) in &pieces {
                self.pass_to(begin + *at);
                let batch = self.platform.slices(piece, self.now);
                self.give(Input::Batch(batch));
            }
            self.pass_to(begin + SECOND);
        }
    }

    /// Goes on to a moment; on the way come faults that are declared, and what the judgement asked to be woken for.
    fn pass_to(&mut self, at: MonoTime) {
        if self.decider.deadline().is_some_and(|due| due <= at) {
            self.now = self.now.max(self.decider.deadline().unwrap_or(at));
            self.give(Input::Tick);
        }
        self.now = at;
        for batch in self.platform.records(at) {
            self.give(Input::Batch(batch));
        }
    }

    fn measured(&mut self) -> Seconds {
        self.calls.clear();
        let mut rates = Vec::new();
        for _ in 0..RUNS {
            (self.observations, self.processor) = (0, Duration::ZERO);
            self.run(SECOND * MEASURED);
            rates.push(self.observations as f64 / self.processor.as_secs_f64());
        }
        Seconds { rates, calls: std::mem::take(&mut self.calls) }
    }

    /// What nobody can mend, one after another and in turn: a source that a channel is on, what makes its deliveries, a source
    /// that it is not on; and at last a server.
    fn break_for_good(&mut self) {
        for number in 0..OPEN - 1 {
            let broken = match number % 4 {
                0 | 1 => Broken::Source,
                2 => Broken::Processing,
                _ => Broken::Backup,
            };
            self.stuck.insert(self.platform.channels[number].id.clone());
            self.platform.break_channel(number, broken, self.now);
            if number % 5 == 0 {
                tell(&format!("decide: {number} of {OPEN} broken for good"));
                self.run(SPACING * 5);
            }
        }
        tell("decide: until all that can be tried has been");
        self.run(SECOND * SETTLE);
        self.platform.break_server(self.now);
        self.run(SECOND * NAMED);
    }

    fn open(&self) -> usize {
        self.decider.incidents().filter(|it| it.state == IncidentState::Open).count()
    }

    /// Breaks one source after another, each for a while.
    fn decide(&mut self, faults: u32) {
        self.commands.clear();
        self.calls.clear();
        let mut begun = 0;
        for second in 0..faults.div_ceil(A_SECOND) as usize + LASTS {
            for part in 0..A_SECOND.min(faults - begun) {
                let since = self.now + SECOND * part / A_SECOND;
                let number = OPEN + begun as usize;
                self.platform.break_channel(number, Broken::Source, since);
                begun += 1;
                if begun.is_multiple_of(25) {
                    tell(&format!("decide: {begun} of {faults} faults"));
                }
            }
            if let Some(old) = second.checked_sub(LASTS) {
                let first = old * A_SECOND as usize;
                for number in first..(first + A_SECOND as usize).min(begun as usize) {
                    self.platform.mend(OPEN + number, self.now);
                }
            }
            self.run(SECOND);
        }
    }

    /// The switches of channels, in order.
    fn decisions(&self) -> impl Iterator<Item = &Commanded> {
        let decided =
            |it: &&Commanded| it.channel.as_ref().is_some_and(|it| !self.stuck.contains(it));
        self.commands.iter().filter(decided)
    }

    /// What must not be: a channel without exactly one command, or an incident of another kind.
    fn wrong(&self, faults: u32) -> Vec<String> {
        let mut wrong = Vec::new();
        for channel in self.platform.channels.iter().skip(OPEN).take(faults as usize) {
            let own = |it: &&Commanded| it.channel.as_ref() == Some(&channel.id);
            let commands = self.commands.iter().filter(own).count();
            if commands != 1 {
                wrong.push(format!("{commands} commands for {}", channel.id));
            }
        }
        let is_meant = |cause| matches!(cause, Cause::Source | Cause::Processing | Cause::Server);
        for incident in self.decider.incidents().filter(|it| !is_meant(it.cause())) {
            wrong.push(format!("incident {} is called {}", incident.id, incident.subject));
        }
        wrong
    }
}

fn conclude(
    channels: usize,
    faults: u32,
    stage: &Stage,
    [quiet, busy]: &[Seconds; 2],
    [empty, full, after]: [u64; 3],
) -> anyhow::Result<Measured> {
    let ms: Vec<f64> = stage.decisions().map(|it| it.ms).collect();
    let decisions = Spread::of(ms.iter().copied()).context("nothing was decided")?;
    let spent = Spread::of(stage.decisions().map(|it| it.processor_ms));
    let spent = spent.context("nothing was decided")?;
    let runs =
        || ms.chunks(ms.len().div_ceil(RUNS as usize)).filter_map(|it| Spread::of(it.to_vec()));
    let of_runs = |of: fn(&Spread) -> f64| Spread::of(runs().map(|it| of(&it))).context("no runs");
    let calls = Spread::of(stage.calls.iter().copied()).context("nothing was measured")?;
    let rates = [
        quiet.rates()?.row("nothing wrong", 0),
        busy.rates()?.row(&format!("{OPEN} incidents open"), 0),
    ];
    let rows = [
        quiet.calls()?.row("call, nothing wrong", 3),
        busy.calls()?.row(&format!("call, {OPEN} open"), 3),
        calls.row(&format!("call, {OPEN} open and more"), 3),
        decisions.row("evidence to command", 3),
        of_runs(|it| it.median)?.row("its median in each run", 3),
        of_runs(|it| it.max)?.row("its maximum in each run", 3),
        spent.row("its processor time", 3),
    ];
    let of = format!(
        "{channels} channels in {REGIONS} regions, {} observations a second of virtual time",
        stage.platform.slices_per_second()
    );
    let mut text = spreads(&format!("Decide: observations per CPU second, {of}"), &rates);
    let _ = write!(text, "\n{}", spreads("Milliseconds", &rows));
    let slowest = quiet.rates()?.min.min(busy.rates()?.min);
    let verdict = |kept: bool| if kept { "kept" } else { "MISSED" };
    let (state, incidents) = (full.saturating_sub(empty), after.saturating_sub(full));
    let per = |count: usize| state as f64 / count as f64 / 1024.0;
    let _ = write!(
        text,
        "\n{OBSERVATIONS} a second on one core: {}. p99 under {BUDGET_MS} ms: {}.\n\
         Memory: {:.1} KiB per channel, {:.1} KiB per channel and region ({} MiB in all), {} MiB more with {OPEN} incidents.\n",
        verdict(slowest >= OBSERVATIONS),
        verdict(decisions.p99 < BUDGET_MS),
        per(channels),
        per(channels * REGIONS),
        state >> 20,
        incidents >> 20,
    );
    let figures = json!({
        "channels": channels, "regions": REGIONS, "open": OPEN,
        "quiet": quiet.figures()?, "busy": busy.figures()?, "decision_ms": decisions,
        "decisions_ms": ms, "decision_processor_ms": spent, "decision_call_ms": calls, "state_bytes": state,
        "incident_bytes": incidents,
    });
    Ok(Measured { figures, text, wrong: stage.wrong(faults) })
}

/// Of this thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
