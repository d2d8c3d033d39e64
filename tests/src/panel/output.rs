//! The panel's hold on the child process of one channel.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// How long a child may take from an order to the first datagram of the source. Within a client's 3 s.
const CONFIRM: Duration = Duration::from_millis(2000);

/// How a channel's child process is started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// The program that knows `forward`.
    pub(super) program: PathBuf,
    /// The interface of multicast sources.
    pub(super) interface: String,
    /// Where the links are.
    pub(super) to: Vec<SocketAddr>,
}

/// A channel's running child process.
#[derive(Debug)]
pub(super) struct Output {
    launch: Launch,
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// The number of the newest order.
    number: u64,
}

impl Output {
    /// Starts the child on a source. It runs at once; whether the source sends is another question.
    ///
    /// # Errors
    /// Fails where the program cannot be started.
    pub(super) fn start(launch: Launch, source: &str) -> anyhow::Result<Self> {
        let (child, orders, answers) = spawn(&launch, source)?;
        Ok(Self { launch, child, orders, answers, number: 0 })
    }

    /// Tells the child to change over and waits for its first datagram of the new source.
    ///
    /// # Errors
    /// Fails where no datagram was sent in time: the child goes on with the former source unless the new one sends later.
    pub(super) async fn switch(&mut self, source: &str) -> anyhow::Result<()> {
        timeout(CONFIRM, async {
            self.order(source).await?;
            confirm(&mut self.answers, self.number).await
        })
        .await
        .context("output process did not confirm in time")?
    }

    /// Takes a switch back that was not confirmed: the child is to stay where it was.
    pub(super) async fn stay(&mut self, source: &str) {
        // If this fails the process is gone or hangs, and the next command about it says so.
        let _ = timeout(CONFIRM, self.order(source)).await;
    }

    async fn order(&mut self, source: &str) -> anyhow::Result<()> {
        self.number += 1;
        let order = format!("{} {source}\n", self.number);
        self.orders.write_all(order.as_bytes()).await.context("output process is gone")
    }

    /// Kills the child, whatever state it is in, starts another and waits for its first datagram.
    ///
    /// # Errors
    /// Fails where the new child cannot be started or sends nothing in time.
    pub(super) async fn restart(&mut self, source: &str) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot end the output process")?;
        let (child, orders, answers) = spawn(&self.launch, source)?;
        (self.child, self.orders, self.answers, self.number) = (child, orders, answers, 0);
        timeout(CONFIRM, confirm(&mut self.answers, 0))
            .await
            .context("output process sends nothing")?
    }

    /// Stops the child as a hang would: it lives but does nothing.
    ///
    /// # Errors
    /// Fails where there is no child.
    pub(super) fn hang(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a stopped child go on.
    ///
    /// # Errors
    /// Fails where there is no child.
    pub(super) fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().context("output process is gone")?;
        kill(Pid::from_raw(i32::try_from(id)?), signal).context("cannot signal the output process")
    }

    /// Returns the child's process id while it has one.
    #[must_use]
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

type Parts = (Child, ChildStdin, Lines<BufReader<ChildStdout>>);

fn spawn(launch: &Launch, source: &str) -> anyhow::Result<Parts> {
    let mut command = Command::new::<&Path>(&launch.program);
    command.args(["forward", "--interface", &launch.interface, "--from", source]);
    for address in &launch.to {
        command.arg("--to").arg(address.to_string());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("cannot start an output process")?;
    let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
        bail!("output process has no pipes");
    };
    Ok((child, orders, BufReader::new(answers).lines()))
}

async fn confirm(answers: &mut Lines<BufReader<ChildStdout>>, number: u64) -> anyhow::Result<()> {
    let expected = number.to_string();
    loop {
        match answers.next_line().await.context("cannot read from the output process")? {
            None => bail!("output process ended"),
            Some(line) if line == expected => return Ok(()),
            // The answer to an order before this one.
            Some(_) => {}
        }
    }
}
