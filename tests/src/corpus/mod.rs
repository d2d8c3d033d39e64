//! A corpus of clips whose faults are known exactly, and the judge that holds `tallylight-agent probe` to it.
//!
//! `script/corpus make` draws a programme from a seed ([`programme`]: textures that move, pan and cut, speech over music), cuts
//! clips from it, does to each what its description says, and encodes it. `NAME.ts` is the clip, `NAME.json` what is true of
//! it ([`Truth`]). `script/corpus judge` probes every clip under both profiles and compares; ffmpeg's own filters stand beside.
//!
//! What is true follows from the description: a picture that is drawn over is counted, never looked for. To add a clip, describe
//! it in `faults.rs` or `traps.rs`: [`Clip::new`](clip::Clip::new) with a name, then steps that change picture or sound, and
//! beside each step [`is`](clip::Clip::is) or [`sounds`](clip::Clip::sounds) with the kind it makes true. Look at the clip:
//! `script/corpus make --out DIR --only NAME`.

mod clip;
mod coding;
mod cue;
mod damage;
mod faults;
mod judge;
mod pictures;
mod programme;
mod run;
mod slates;
mod stream;
mod traps;
mod truth;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, Result, ensure};

pub use judge::{Beside, Judgement, judge};
use programme::Programme;
pub use truth::{Event, Expected, Truth};

/// Clips that are made or judged at once.
const AT_ONCE: usize = 2;

/// Arguments of `corpus`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make clips, and beside each what is true of it.
    Make {
        /// What programme, places and lengths are drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The folder; what was made in it by the same recipe is not made again.
        #[arg(long)]
        out: PathBuf,
        /// A video whose pictures are the programme's instead of drawn ones.
        #[arg(long)]
        content: Option<PathBuf>,
        /// Only the clip of this name, or those whose name begins so (`freeze*`); may be given several times.
        #[arg(long)]
        only: Vec<String>,
    },
    /// Write a picture of each kind of fault and trap, for the documents.
    Pictures {
        /// What the programme is drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The folder.
        folder: PathBuf,
    },
    /// Probe every clip of a folder and compare with what is true.
    Judge {
        /// The folder.
        folder: PathBuf,
        /// Only the clip of this name, or those whose name begins so (`freeze*`); may be given several times.
        #[arg(long)]
        only: Vec<String>,
        /// `tallylight-agent`; default is the one beside this program.
        #[arg(long)]
        agent: Option<PathBuf>,
    },
}

/// Makes or judges.
///
/// # Errors
/// ffmpeg or the agent is missing or fails, or a folder cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let told = |done: usize, all: usize, what: &str| println!("[{done}/{all}] {what}");
    match &arguments.command {
        Command::Make { seed, out, content, only } => {
            let made = make(out, *seed, content.as_deref(), only, told)?;
            println!("{made} clips made in {}", out.display());
            Ok(())
        }
        Command::Pictures { seed, folder } => {
            let made = pictures::make(folder, *seed, told)?;
            println!("{made} pictures made in {}", folder.display());
            Ok(())
        }
        Command::Judge { folder, only, agent } => {
            let beside = || Ok(std::env::current_exe()?.with_file_name("tallylight-agent"));
            let agent = agent.clone().map_or_else(beside, anyhow::Ok)?;
            let judgement = judge(folder, only, &agent, Beside::Ffmpeg)?;
            print!("{judgement}");
            let flaws = judgement.flaws().len();
            ensure!(flaws == 0, "tallylight-agent is wrong {flaws} times");
            Ok(())
        }
    }
}

/// Makes what is missing of the clips that `only` names; answers how many it made. `told` hears of each.
///
/// # Errors
/// ffmpeg is missing or fails, the folder cannot be written, or no clip has such a name.
pub fn make(
    folder: &Path,
    seed: u64,
    content: Option<&Path>,
    only: &[String],
    told: impl Fn(usize, usize, &str) + Sync,
) -> Result<usize> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the folder")?;
    let mut clips = faults::clips(seed);
    clips.extend(traps::clips(seed));
    clips.retain(|clip| wanted(&clip.name, only));
    ensure!(!clips.is_empty(), "no clip is called that");
    let programme = Programme::drawn(folder, seed, content);
    clips.retain(|clip| !clip.is_made(folder, &programme));
    if clips.is_empty() {
        return Ok(0);
    }
    let begun = Instant::now();
    slates::make(folder)?;
    programme.make()?;
    let all = clips.len();
    told(0, all, &format!("programme of seed {seed} ({:.0} s)", begun.elapsed().as_secs_f64()));
    let next = AtomicUsize::new(0);
    at_once(clips, |clip| {
        let (name, begun) = (clip.name.clone(), Instant::now());
        clip.make(folder, &programme, seed)?;
        let done = next.fetch_add(1, Ordering::Relaxed) + 1;
        told(done, all, &format!("{name} ({:.1} s)", begun.elapsed().as_secs_f64()));
        Ok(())
    })?;
    Ok(all)
}

fn wanted(name: &str, only: &[String]) -> bool {
    let meant = |it: &String| match it.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == it,
    };
    only.is_empty() || only.iter().any(meant)
}

/// Does something with each, two at once; answers in order, or with the first error.
fn at_once<T: Send, A: Send>(items: Vec<T>, act: impl Fn(T) -> Result<A> + Sync) -> Result<Vec<A>> {
    let items = Mutex::new(items.into_iter().enumerate());
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let item = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((at, item)) = item else { break };
                    let answer = act(item);
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push((at, answer));
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
