//! The demo: starts the whole world, breaks it in turn and checks what Tallylight makes of it.
//!
//! What it checks is what the collector says *and* what the panel got: a collector that acted without saying so, or said so
//! without acting, would fail a row.

pub mod children;
pub mod collector;
pub mod judge;
mod launch;
pub mod pager;
pub mod plan;
pub mod ports;
pub mod rows;
pub mod run;
pub mod stage;
pub mod table;
pub mod tie;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use self::{
    rows::{ROWS, Row},
    run::{Outcome, Run},
    stage::{Project, Stage},
};
use crate::world::process;

/// Runs the main job on live streams and checks every row of it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// End after the last row instead of at Ctrl-C
    #[arg(long)]
    once: bool,
    /// Play only these rows, by name, with commas between
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    rows: Vec<String>,
    /// Name the rows and end
    #[arg(long)]
    list: bool,
    /// Folder of the programs; default is this program's own
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Folder with rules and Alertmanager's configuration
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../alerts"))]
    alerts: PathBuf,
    /// Folder for configurations and logs, kept afterwards; default is a temporary one
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// Fails where a row came out wrong or the demo could not be played.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let rows = rows::select(&arguments.rows).map_err(anyhow::Error::msg)?;
    if arguments.list {
        list();
        return Ok(());
    }
    process::run(play(arguments, rows))
}

fn list() {
    for row in ROWS {
        say(&format!("{:<12} {}", row.id, row.title));
    }
}

async fn play(arguments: Arguments, rows: Vec<Row>) -> anyhow::Result<()> {
    let bin = match arguments.bin {
        Some(bin) => bin,
        None => own_folder()?,
    };
    let project = Project { bin, alerts: arguments.alerts };
    let temporary = tempfile::Builder::new().prefix("tallylight-demo-").tempdir();
    let temporary = temporary.context("cannot make a folder")?;
    let folder = match &arguments.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder).context("cannot make the folder")?;
            folder.canonicalize().context("cannot find the folder")?
        }
        None => temporary.path().to_owned(),
    };
    say("Starting the world; the very first time, clips are encoded, which takes some minutes.");
    // Dropped on a signal, a half-started world ends with the handles of its processes.
    let mut stage = tokio::select! {
        stage = Stage::launch(&project, &folder) => stage?,
        stopped = stopped() => return stopped,
    };
    let played = tokio::select! {
        played = play_rows(&mut stage, &rows) => played.map(Some),
        stopped = stopped() => stopped.map(|()| None),
    };
    let verdict = match played {
        Ok(Some(outcomes)) => {
            show(&outcomes);
            if !arguments.once {
                show_addresses(&stage);
                stopped().await?;
            }
            let wrong = outcomes.iter().filter(|outcome| !outcome.problems.is_empty()).count();
            if wrong == 0 { Ok(()) } else { Err(anyhow::anyhow!("{wrong} rows came out wrong")) }
        }
        Ok(None) => Err(anyhow::anyhow!("stopped before the last row")),
        Err(error) => Err(error),
    };
    stage.processes.stop().await;
    if verdict.is_err() && arguments.folder.is_none() {
        // Logs are what is left to find out why.
        let kept = temporary.keep();
        return verdict.with_context(|| format!("logs are in {}", kept.display()));
    }
    verdict
}

#[expect(clippy::print_stdout, reason = "news for the person at the terminal")]
fn say(text: &str) {
    println!("{text}");
}

pub(crate) fn own_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let folder = program.parent().map(Path::to_owned).context("this program has no folder")?;
    for name in ["tallylight-agent", "tallylight-collector"] {
        if !folder.join(name).is_file() {
            bail!("{} has no {name}; build it first or name its folder by --bin", folder.display());
        }
    }
    Ok(folder)
}

/// Completes on SIGINT or SIGTERM. Standard input is left alone: a demo may run without one.
pub(crate) async fn stopped() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn play_rows(stage: &mut Stage, rows: &[Row]) -> anyhow::Result<Vec<Outcome>> {
    let mut run = Run::new(stage);
    let mut outcomes = Vec::new();
    for row in rows {
        outcomes.push(run.play(*row).await?);
    }
    Ok(outcomes)
}

fn show(outcomes: &[Outcome]) {
    let header = [
        "broken",
        "detected",
        "cause",
        "action",
        "good again",
        "hold",
        "settle",
        "command",
        "switch",
        "key frame",
        "",
    ];
    let ms = |span: Option<i64>| span.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let row = |outcome: &Outcome| {
        let it = &outcome.moments;
        let verdict = if outcome.problems.is_empty() { "right" } else { "WRONG" };
        let mut cells = vec![outcome.row.title.to_owned(), ms(it.detected), text(&it.cause)];
        cells.push(text(&it.action));
        let spans = [it.good, it.hold, it.settle, it.command, it.switch, it.key_frame];
        cells.extend(spans.map(ms));
        cells.push(verdict.to_owned());
        cells
    };
    let rows: Vec<_> = outcomes.iter().map(row).collect();
    say("\nAll spans are in milliseconds; detected and good again count from the break.\n");
    say(&table::render(&header, &rows));
    for outcome in outcomes {
        for problem in &outcome.problems {
            say(&format!("{}: {problem}", outcome.row.id));
        }
    }
}

fn show_addresses(stage: &Stage) {
    let at = |address: Option<std::net::SocketAddr>| {
        address.map_or_else(String::new, |address| format!("http://{address}"))
    };
    say("Everything keeps running until Ctrl-C:");
    say(&format!("  collector     {}/api/v1/incidents", at(stage.places.collector[2])));
    say(&format!("  Prometheus    {}", stage.prometheus));
    say(&format!("  Alertmanager  {}", at(stage.places.alertmanager)));
    say(&format!("  panel         {}control/commands", stage.panel));
    say(&format!("  logs          {}", stage.folder.display()));
}
