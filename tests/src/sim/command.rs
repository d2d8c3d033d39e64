//! `tallylight-world sim`: many worlds on all cores, and the story of one.

use std::{
    fs,
    io::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Result, bail};

use super::{
    World,
    publish::publish,
    scenario::Scenario,
    score::{Score, complaint, score},
    shape::{draw, shapes},
    shrink::shrink,
    table::Table,
};
use crate::bench::{machine::Machine, usage::processor_time};

/// What to run.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// How many worlds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Worlds of this shape alone.
    #[arg(long)]
    shape: Option<String>,
    /// Tell the story of this seed's world, and run no other.
    #[arg(long)]
    story: Option<u64>,
    /// So many threads; as many as there are processors if it is left out.
    #[arg(long)]
    threads: Option<usize>,
    /// Write the tables into localisation.md and remedies.md of this folder.
    #[arg(long, value_name = "FOLDER")]
    markdown: Option<PathBuf>,
}

/// Worlds that a thread takes at a time.
const PORTION: u64 = 16;

/// Runs it.
///
/// # Errors
/// Says how many worlds broke a rule.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(shape) = &arguments.shape
        && !shapes().any(|it| it == shape)
    {
        bail!("{shape} is no shape; there are: {}", shapes().collect::<Vec<_>>().join(", "));
    }
    if let Some(seed) = arguments.story {
        tell(&draw(seed, arguments.shape.as_deref()));
        return Ok(());
    }
    let begun = Instant::now();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.unwrap_or(cores);
    let seeds = arguments.from..arguments.from + arguments.seeds;
    let table = run_all(seeds, arguments.shape.as_deref(), threads)?;
    print!("{}\n{}\n", table.names(), table.deeds());
    for score in &table.wrong {
        println!("{}", complaint(score));
    }
    for score in &table.broken {
        println!("{}", complaint(score));
    }
    let cost = cost(arguments.seeds, begun)?;
    println!("{cost}");
    if let Some(docs) = &arguments.markdown {
        publish(docs, &table, &how(arguments, &cost))?;
    }
    if let Some(score) = table.broken.first() {
        let rule = score.broken.first().map_or("", |it| it.rule);
        println!("the smallest world found that breaks \"{rule}\":");
        let is_broken = |it: &Score| it.broken.iter().any(|it| it.rule == rule);
        tell(&shrink(&draw(score.seed, arguments.shape.as_deref()), is_broken));
        bail!("{} worlds broke a rule", table.broken.len());
    }
    Ok(())
}

/// What all of it took.
fn cost(worlds: u64, begun: Instant) -> Result<String> {
    let own = i32::try_from(std::process::id())?;
    let each = processor_time(own)?.as_secs_f64() * 1000.0 / worlds.max(1) as f64;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let peak = peak.map_or_else(|| "unknown".to_owned(), |kib| format!("{} MiB", kib / 1024));
    let took = begun.elapsed().as_secs_f64();
    Ok(format!(
        "{worlds} worlds in {took:.0} s, {each:.1} ms of processor each; peak memory {peak}"
    ))
}

/// The command and the machine, for the documents.
fn how(arguments: &Arguments, cost: &str) -> String {
    let Arguments { seeds, from, shape, .. } = arguments;
    let shape = shape.as_ref().map_or_else(String::new, |it| format!(" --shape {it}"));
    let machine = Machine::look(Path::new("."));
    format!(
        "`script/sim --from {from} --seeds {seeds}{shape}`: {cost}, on {} cores ({}).",
        machine.cores, machine.cpu
    )
}

/// Runs these worlds on so many threads.
///
/// # Errors
/// Says that a world panicked.
pub fn run_all(seeds: Range<u64>, shape: Option<&str>, threads: usize) -> Result<Table> {
    let next = AtomicU64::new(seeds.start);
    let table = Mutex::new(Table::default());
    let work = || {
        let mut own = Table::default();
        loop {
            let first = next.fetch_add(PORTION, Ordering::Relaxed);
            if first >= seeds.end {
                break;
            }
            for seed in first..(first + PORTION).min(seeds.end) {
                own.add(score(&draw(seed, shape)));
            }
            let done = first - seeds.start;
            if done.is_multiple_of(PORTION * 64) {
                eprint!("\r{done} of {}", seeds.end - seeds.start);
                let _ = std::io::stderr().flush();
            }
        }
        if let Ok(mut table) = table.lock() {
            table.join(own);
        }
    };
    let all_ended = thread::scope(|scope| {
        let all: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        all.into_iter().all(|it| it.join().is_ok())
    });
    if !all_ended {
        bail!("a world panicked; what it said stands above");
    }
    eprintln!();
    table.into_inner().map_err(|_| anyhow::anyhow!("a world panicked"))
}

fn tell(scenario: &Scenario) {
    println!("{scenario:#?}");
    let mut world = World::drawn(scenario);
    world.run_through(scenario);
    let story = world.story();
    print!("{}", story.log);
    for incident in &story.incidents {
        println!("{:?} {:?} {:?}", incident.subject, incident.remedy, incident.page);
        println!("  streams {:?}", incident.streams);
    }
    println!("{}", complaint(&score(scenario)));
}
