//! Child processes of the demo: started with a log file each, in groups of their own, and none left behind.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, timeout, timeout_at},
};

/// The head-end encodes its clips on the very first start, which takes minutes on a slow machine.
const READY: Duration = Duration::from_secs(600);
/// From SIGTERM to SIGKILL, for all together.
const GRACE: Duration = Duration::from_secs(5);

/// A program that the kernel kills when its starter ends, however that ends. Programs that do not watch their standard input
/// would otherwise outlive a demo that was killed.
fn tied(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The demo's children by name.
#[derive(Debug)]
pub struct Children {
    folder: PathBuf,
    /// The program that has the world's processes as subcommands.
    world: PathBuf,
    children: BTreeMap<String, Child>,
}

/// Whatever they started goes with them, as the head-end's encoders do.
impl Drop for Children {
    fn drop(&mut self) {
        for group in self.groups() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Children {
    /// Starts with none; logs go to `folder`, `world` is the program with the world's subcommands.
    #[must_use]
    pub fn new(folder: &Path, world: PathBuf) -> Self {
        Self { folder: folder.to_owned(), world, children: BTreeMap::new() }
    }

    /// Starts a process of the world and returns what it announces with `ready`.
    ///
    /// # Errors
    /// Fails where it ends or says nothing instead.
    pub async fn world<S: AsRef<OsStr>>(
        &mut self,
        name: &str,
        arguments: &[S],
    ) -> anyhow::Result<Value> {
        self.world_with(name, arguments, |_| {}).await
    }

    /// The same; `told` hears how far it is before that.
    ///
    /// # Errors
    /// See [`world`](Self::world).
    pub async fn world_with<S: AsRef<OsStr>>(
        &mut self,
        name: &str,
        arguments: &[S],
        told: impl Fn(&str),
    ) -> anyhow::Result<Value> {
        let mut command = tied(&self.world);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = self.spawn(name, command)?;
        let stdout = child.stdout.take().context("no standard output")?;
        self.children.insert(name.to_owned(), child);
        let mut lines = BufReader::new(stdout).lines();
        let first = async {
            loop {
                let line = lines.next_line().await?;
                match line.as_deref().and_then(|line| line.strip_prefix("progress ")) {
                    Some(progress) => told(progress),
                    None => return std::io::Result::Ok(line),
                }
            }
        };
        let line = timeout(READY, first)
            .await
            .with_context(|| format!("{name} did not get ready"))?
            .with_context(|| format!("cannot hear {name}"))?;
        let Some(json) = line.as_deref().and_then(|line| line.strip_prefix("ready ")) else {
            bail!("{name} did not start; see {}", self.log(name).display());
        };
        let ready = serde_json::from_str(json).with_context(|| format!("{name}: {json}"))?;
        let log = self.open_log(name)?;
        tokio::spawn(async move {
            let mut log = tokio::fs::File::from_std(log);
            while let Ok(Some(line)) = lines.next_line().await {
                // A log that cannot be written is no reason to stop the process it is of.
                let _ = log.write_all(format!("{line}\n").as_bytes()).await;
            }
        });
        Ok(ready)
    }

    /// Starts any other program, with everything it says in its log.
    ///
    /// # Errors
    /// Fails where it cannot be started.
    pub fn program<S: AsRef<OsStr>>(
        &mut self,
        name: &str,
        program: &Path,
        arguments: &[S],
    ) -> anyhow::Result<()> {
        let mut command = tied(program);
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(self.open_log(name)?).current_dir(&self.folder);
        let child = self.spawn(name, command)?;
        self.children.insert(name.to_owned(), child);
        Ok(())
    }

    fn spawn(&self, name: &str, mut command: Command) -> anyhow::Result<Child> {
        // Groups of their own, so that Ctrl-C reaches the demo alone, which then ends them in order.
        command.stderr(self.open_log(name)?).process_group(0).kill_on_drop(true);
        command.spawn().with_context(|| format!("cannot start {name}"))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    fn open_log(&self, name: &str) -> anyhow::Result<File> {
        let path = self.log(name);
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns a running process's id.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<i32> {
        self.children.get(name).and_then(Child::id).and_then(|id| i32::try_from(id).ok())
    }

    /// Each child leads a group of its own.
    fn groups(&self) -> Vec<Pid> {
        let ids = self.children.values().filter_map(Child::id);
        ids.filter_map(|id| Some(Pid::from_raw(i32::try_from(id).ok()?))).collect()
    }

    /// Kills one process at once.
    ///
    /// # Errors
    /// Fails where there is none of that name.
    pub async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let mut child = self.children.remove(name).with_context(|| format!("no {name}"))?;
        child.kill().await.with_context(|| format!("cannot kill {name}"))
    }

    /// Returns the name and log of a process that ended although nobody asked it to.
    pub fn ended(&mut self) -> Option<(String, PathBuf)> {
        let name = self
            .children
            .iter_mut()
            .find_map(|(name, child)| child.try_wait().ok().flatten().map(|_| name.clone()))?;
        let log = self.log(&name);
        Some((name, log))
    }

    /// Ends all of them: SIGTERM and a closed standard input first, SIGKILL to whole groups for what remains.
    pub async fn stop(&mut self) {
        let groups = self.groups();
        for child in self.children.values_mut() {
            drop(child.stdin.take());
        }
        for group in &groups {
            // A stopped process takes the signal only once it goes on. One that has ended is no error.
            let _ = killpg(*group, Signal::SIGTERM);
            let _ = killpg(*group, Signal::SIGCONT);
        }
        let deadline = Instant::now() + GRACE;
        for child in self.children.values_mut() {
            let _ = timeout_at(deadline, child.wait()).await;
        }
        for group in &groups {
            let _ = killpg(*group, Signal::SIGKILL);
        }
        for child in self.children.values_mut() {
            let _ = child.wait().await;
        }
        self.children.clear();
    }
}
