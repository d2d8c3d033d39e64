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
pub mod screen;
pub mod stage;
pub mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use self::{
    rows::{ROWS, Row},
    run::{Outcome, Run},
    screen::Screen,
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
        let screen = Screen::default();
        ROWS.iter().for_each(|row| screen.print(&format!("{:<12} {}", row.id, row.title)));
        return Ok(());
    }
    process::run(play(arguments, rows))
}

async fn play(arguments: Arguments, rows: Vec<Row>) -> anyhow::Result<()> {
    let bin = match arguments.bin {
        Some(bin) => bin,
        None => own_folder()?,
    };
    let project = Project { bin, alerts: arguments.alerts };
    let (folder, temporary) = working_folder(arguments.folder.as_deref())?;
    let screen = Screen::default();
    // Dropped on a signal, a half-started world ends with the handles of its processes.
    let mut stage = tokio::select! {
        stage = Stage::launch(&project, &folder, screen) => stage?,
        stopped = stopped() => {
            stopped?;
            bail!("stopped before the first row");
        }
    };
    let played = tokio::select! {
        played = play_rows(&mut stage, &rows) => played.map(Some),
        stopped = stopped() => stopped.map(|()| None),
    };
    let (verdict, explains) = match played {
        Ok(Some(outcomes)) => {
            show(&stage.screen, &outcomes);
            if !arguments.once {
                show_addresses(&stage);
                stopped().await?;
            }
            let wrong = outcomes.iter().filter(|outcome| !outcome.problems.is_empty()).count();
            match wrong {
                0 => (Ok(()), false),
                _ => (Err(anyhow::anyhow!("{wrong} of the rows came out wrong")), true),
            }
        }
        Ok(None) => (Err(anyhow::anyhow!("stopped before the last row")), false),
        Err(error) => (Err(error), true),
    };
    stage.processes.stop().await;
    if let Some(temporary) = temporary.filter(|_| explains) {
        // Logs are what is left to find out why.
        let kept = temporary.keep();
        return verdict.with_context(|| format!("logs are in {}", kept.display()));
    }
    verdict
}

/// The named folder, or one that goes when its handle does.
fn working_folder(named: Option<&Path>) -> anyhow::Result<(PathBuf, Option<TempDir>)> {
    let Some(named) = named else {
        let temporary = tempfile::Builder::new().prefix("tallylight-demo-").tempdir();
        let temporary = temporary.context("cannot make a folder")?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    };
    std::fs::create_dir_all(named).context("cannot make the folder")?;
    Ok((named.canonicalize().context("cannot find the folder")?, None))
}

pub(crate) fn own_folder() -> anyhow::Result<PathBuf> {
    let folder = this_folder()?;
    for name in ["tallylight-agent", "tallylight-collector"] {
        if !folder.join(name).is_file() {
            bail!("{} has no {name}; build it first or name its folder by --bin", folder.display());
        }
    }
    Ok(folder)
}

/// The folder of this program, whatever else is there.
pub(crate) fn this_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program")?;
    program.parent().map(Path::to_owned).context("this program has no folder")
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
    let mut run = Run::new(stage, rows.len());
    let mut outcomes = Vec::new();
    for row in rows {
        outcomes.push(run.play(*row).await?);
    }
    Ok(outcomes)
}

fn show(screen: &Screen, outcomes: &[Outcome]) {
    let header = [
        "broken",
        "detected",
        "cause",
        "action",
        "good again",
        "by collector",
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
        let spans = [it.good, it.good_by_collector, it.hold, it.settle, it.command, it.switch];
        cells.extend(spans.map(ms));
        cells.extend([ms(it.key_frame), verdict.to_owned()]);
        cells
    };
    let rows: Vec<_> = outcomes.iter().map(row).collect();
    screen.print(
        "\nMilliseconds. Detected and good again count from the break; good again is what the world's own receivers got, \
         by collector what the collector says of it.\n",
    );
    screen.print(&table::fitted(&header, &rows, screen.width()));
    for outcome in outcomes {
        for problem in &outcome.problems {
            screen.print(&format!("{}: {problem}", outcome.row.id));
        }
    }
}

fn show_addresses(stage: &Stage) {
    let at = |address: Option<std::net::SocketAddr>| {
        address.map_or_else(String::new, |address| format!("http://{address}"))
    };
    let screen = &stage.screen;
    screen.print("Everything keeps running until Ctrl-C:");
    screen.print(&format!("  collector     {}/api/v1/incidents", at(stage.places.collector[2])));
    screen.print(&format!("  Prometheus    {}", stage.prometheus));
    screen.print(&format!("  Alertmanager  {}", at(stage.places.alertmanager)));
    screen.print(&format!("  panel         {}control/commands", stage.panel));
    screen.print(&format!("  receivers     {}receivers", stage.viewers));
    screen.print(&format!("  logs          {}", stage.folder.display()));
}
