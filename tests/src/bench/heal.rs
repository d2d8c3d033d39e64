//! From black on a primary to good pictures in the regions, on the demo's world with its default guards.
//!
//! It plays the demo's own row for black, on one channel after the other, with HLS segments of 2 s and of 6 s. The longer the
//! segments, the longer black ones that were cut before the switch keep arriving after it; a second switch because of them
//! would undo the first, so a run in which anything but one action was taken is wrong.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;

use super::{Measured, spread::Spread, spreads, tell};
use crate::demo::{
    collector::Incident,
    rows::{Broken, Expected, Fault, Row},
    run::{Outcome, Run},
    screen::Screen,
    stage::{Command, Project, Stage},
};

/// Lengths of HLS segments.
const SEGMENTS: [u64; 2] = [2, 6];

/// The demo's row for black on each channel. No channel is acted on twice: the guards would count that as an action that did
/// not help.
const ROWS: [Row; 4] = [
    row("one", "one/primary"),
    row("two", "two/primary"),
    row("three", "three/primary"),
    row("four", "four/primary"),
];

const fn row(channel: &'static str, source: &'static str) -> Row {
    Row {
        id: channel,
        title: "the primary goes black",
        broken: Broken::Primary(channel, Fault::Black),
        expected: Expected::Action { cause: "source", subject: source, action: "switch_source" },
    }
}

/// Spans of one healing in milliseconds, each from the end of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spans {
    /// From the first black datagram to the onset that agents found: the first black picture that was decoded.
    key_frame: i64,
    /// To the first fault at the collector: the profile's 5 s, the next key picture and the way.
    hold: i64,
    /// To the cause's name: every vantage point has reported, or `settle` is over.
    settle: i64,
    /// To the decision: every guard passed.
    decide: i64,
    /// To the panel's receipt of the command.
    command: i64,
    /// To the panel's answer: the backup is being forwarded.
    switch: i64,
    /// To the moment from which on every receiver in the regions got the programme again.
    good: i64,
    /// All together.
    total: i64,
    /// All together as the collector has it: to the first second in which all deliveries were good again, by the time at
    /// which its media was produced.
    total_by_collector: i64,
}

const NAMES: [&str; 9] = [
    "key frame: black to its onset",
    "hold: onset to first fault",
    "settle: to the cause's name",
    "decide: to the decision",
    "command: to the panel's receipt",
    "switch: to the panel's answer",
    "good: to good pictures everywhere",
    "total: black to good",
    "total by the collector's own word",
];

impl Spans {
    /// In the order of [`NAMES`].
    const fn all(&self) -> [i64; NAMES.len()] {
        [
            self.key_frame,
            self.hold,
            self.settle,
            self.decide,
            self.command,
            self.switch,
            self.good,
            self.total,
            self.total_by_collector,
        ]
    }
}

/// Heals so many channels for each length of segments.
///
/// # Errors
/// The world does not start or breaks.
pub(super) async fn measure(
    bin: &Path,
    alerts: &Path,
    folder: &Path,
    channels: u8,
) -> anyhow::Result<Measured> {
    let project = Project { bin: bin.to_owned(), alerts: alerts.to_owned() };
    let (mut text, mut figures, mut wrong) = (String::new(), Vec::new(), Vec::new());
    for seconds in SEGMENTS {
        tell(&format!("heal: HLS segments of {seconds} s"));
        let folder = folder.join(format!("segments-{seconds}"));
        fs::create_dir_all(&folder).context("cannot make a folder")?;
        let mut stage = Stage::launch_with(&project, &folder, Screen::default(), seconds).await?;
        let rows = &ROWS[..usize::from(channels).min(ROWS.len())];
        let played = play(&mut stage, rows).await;
        stage.processes.stop().await;
        let (spans, problems) = played?;
        wrong.extend(problems.into_iter().map(|it| format!("segments of {seconds} s: {it}")));
        if let Some(table) = table(seconds, &spans) {
            text.push_str(&table);
            text.push('\n');
        }
        figures.push(json!({ "segment_seconds": seconds, "runs_ms": spans }));
    }
    Ok(Measured { figures: json!(figures), text, wrong })
}

async fn play(stage: &mut Stage, rows: &[Row]) -> anyhow::Result<(Vec<Spans>, Vec<String>)> {
    let mut run = Run::new(stage, rows.len());
    let mut outcomes = Vec::new();
    for row in rows {
        outcomes.push(run.play(*row).await?);
    }
    let incidents = stage.collector.incidents().await?;
    let actions = stage.collector.actions().await?;
    let commands = stage.commands().await?;
    let (mut spans, mut wrong) = (Vec::new(), Vec::new());
    for outcome in &outcomes {
        let id = outcome.row.id;
        wrong.extend(outcome.problems.iter().map(|problem| format!("{id}: {problem}")));
        match spans_of(outcome, &incidents, &commands) {
            Some(found) => spans.push(found),
            None => wrong.push(format!("{id}: a moment is missing")),
        }
    }
    // Each row counts what it saw; over all of them nothing may have come late.
    if actions.len() != rows.len() || commands.len() != rows.len() {
        let (actions, commands, rows) = (actions.len(), commands.len(), rows.len());
        wrong.push(format!("{actions} actions and {commands} commands for {rows} channels"));
    }
    Ok((spans, wrong))
}

/// Puts the moments of the collector's time line, of the panel's log and of the receivers together.
fn spans_of(outcome: &Outcome, incidents: &[Incident], commands: &[Command]) -> Option<Spans> {
    let Expected::Action { subject, .. } = outcome.row.expected else { return None };
    let incident = incidents.iter().find(|it| it.cause == "source" && it.subject == subject)?;
    let command = commands.iter().find(|it| it.command["target"]["channel"] == outcome.row.id)?;
    let onset = incident.onset_unix_ms()?;
    let at = |step: &str| Some(onset + incident.step_ms(step)?);
    let broken = outcome.moments.broken_unix_ms;
    let good = broken + outcome.moments.good?;
    let moments = [
        broken,
        onset,
        at("first_fault")?,
        at("located")?,
        at("decided")?,
        command.received_unix_ms,
        command.answered_unix_ms,
        good,
    ];
    let span = |n: usize| moments[n + 1] - moments[n];
    Some(Spans {
        key_frame: span(0),
        hold: span(1),
        settle: span(2),
        decide: span(3),
        command: span(4),
        switch: span(5),
        good: span(6),
        total: good - broken,
        total_by_collector: outcome.moments.good_by_collector?,
    })
}

fn table(seconds: u64, spans: &[Spans]) -> Option<String> {
    let rows = NAMES
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let spread = Spread::of(spans.iter().map(|it| it.all()[place] as f64))?;
            Some(spread.row(name, 0))
        })
        .collect::<Option<Vec<_>>>()?;
    let title = format!("Heal: milliseconds, HLS segments of {seconds} s");
    Some(spreads(&title, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::run::Moments;

    #[test]
    fn spans_join_without_a_gap_from_black_to_good() {
        let moment = |step: &str, at_ms: i64| json!({ "step": step, "ms": at_ms });
        let incident: Incident = serde_json::from_value(json!({
            "id": "1", "cause": "source", "subject": "one/primary", "state": "open",
            "onset": "2026-01-01T00:00:00.000Z", "evidence": [], "refusals": [],
            "remedy": "done",
            "timeline": [
                moment("first_fault", 5100), moment("located", 6000), moment("decided", 6001),
                moment("good", 6820),
            ],
        }))
        .unwrap();
        let onset = incident.onset_unix_ms().unwrap();
        let command = Command {
            received_unix_ms: onset + 6010,
            answered_unix_ms: onset + 6050,
            status: 200,
            command: json!({ "target": { "channel": "one" } }),
        };
        let moments = Moments {
            good: Some(7080),
            good_by_collector: Some(6900),
            broken_unix_ms: onset - 80,
            ..Moments::default()
        };
        let outcome = Outcome { row: ROWS[0], problems: Vec::new(), moments };
        let spans = spans_of(&outcome, &[incident], &[command]).unwrap();
        let [parts @ .., total, by_collector] = spans.all();
        assert_eq!(by_collector, 6900);
        assert_eq!(parts, [80, 5100, 900, 1, 9, 40, 950]);
        assert_eq!(parts.iter().sum::<i64>(), total);
        assert!(table(2, &[spans]).unwrap().contains("7080"));
    }

    #[test]
    fn no_channel_is_broken_twice() {
        let mut channels: Vec<_> = ROWS.iter().map(|row| row.id).collect();
        channels.dedup();
        assert_eq!(channels.len(), ROWS.len());
    }
}
