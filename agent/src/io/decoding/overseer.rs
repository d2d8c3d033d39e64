//! The agent's side of one worker: starts it, talks to it, watches it, and ends it when it fails.
//!
//! A worker has a batch at a time, so whoever talks to it knows what it works on: the first order that is not answered. It has
//! failed when it is gone, when it needs too long (by its own processor time: on a busy host a good one may get none for
//! seconds), or when a stream makes it take too much memory.

use std::{
    collections::BTreeMap,
    env,
    io::{self, ErrorKind, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{
            net::UnixStream,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    channel::{Incoming, Key, Order, Report, write_orders},
    vitals::Vitals,
    worker::is_kept,
};
use crate::decode::{Confinement, Reply, WorkerFailure};

/// How often a worker that says nothing is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Processor time without a word.
const MAX_SILENT: Duration = Duration::from_millis(800);
/// Looks in a row at which a worker that has work does nothing.
const MAX_IDLE: u32 = 6;
/// Processor time for one order: it may be to decode two groups of pictures.
const MAX_ORDER: Duration = Duration::from_secs(30);

/// Words in a row that answer nothing; one at work for `MAX_ORDER` says some hundred.
const MAX_WORDS: u32 = 10_000;

/// The program that decodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(PathBuf);

impl Program {
    /// The program that runs, also where its file was replaced meanwhile.
    #[must_use]
    pub fn own() -> Self {
        Self("/proc/self/exe".into())
    }

    /// `tallylight-agent` at this path.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }
}

/// How much memory may be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// By a worker, in bytes.
    pub worker: u64,
    /// By a worker for the sake of one stream, in bytes. A decoder of 3840 by 2160 with 16 pictures of 10 bits takes 420 MB.
    pub stream: u64,
}

impl MemoryLimits {
    /// What one stream may take unless told otherwise.
    pub const STREAM: u64 = 512 << 20;
    /// What a worker may take at least.
    const LEAST: u64 = 1 << 30;

    /// Lets so many workers have half of a host's memory among them.
    #[must_use]
    pub fn of_half(total: u64, workers: usize) -> Self {
        let share = total / 2 / workers.max(1) as u64;
        Self { worker: share.max(Self::LEAST), stream: Self::STREAM }
    }
}

/// What went wrong with a worker. It is gone; the next batch starts another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What it worked on.
    pub(super) key: Option<Key>,
    pub(super) how: WorkerFailure,
}

/// Has one worker, or will have one with the next batch.
#[derive(Debug)]
pub(super) struct Overseer {
    program: Program,
    memory: MemoryLimits,
    running: Option<Running>,
    /// What the last worker that was started is kept from.
    confinement: Option<Confinement>,
}

#[derive(Debug)]
struct Running {
    process: Child,
    channel: UnixStream,
    incoming: Incoming,
    ready: bool,
    /// The most memory that it was seen to have.
    peak_kib: u64,
    /// By how much each stream made it grow.
    grown_kib: BTreeMap<Key, u64>,
}

impl Overseer {
    pub(super) const fn new(program: Program, memory: MemoryLimits) -> Self {
        Self { program, memory, running: None, confinement: None }
    }

    /// Says once of each worker what it is kept from.
    pub(super) const fn confinement(&mut self) -> Option<Confinement> {
        self.confinement.take()
    }

    /// Has a batch carried out and calls `done` for each order in turn.
    ///
    /// # Errors
    /// The worker failed. Orders that are not done yet may be given to the next one, if not to blame.
    pub(super) fn exchange(
        &mut self,
        orders: &[Order],
        mut done: impl FnMut(usize, Vec<Reply>),
    ) -> Result<(), Failure> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::start(&self.program, self.memory.worker)
                .map_err(|_| Failure { key: None, how: WorkerFailure::NotStarted })?,
        };
        let limit = self.memory.stream;
        let mut talk = Talk { running: &mut running, orders, answered: 0, limit, blamed: None };
        let outcome = talk.run(&mut self.confinement, &mut done);
        let key = talk.blamed;
        match outcome {
            Ok(()) => {
                self.running = Some(running);
                Ok(())
            }
            Err(how) => {
                let how = running.end(how);
                Err(Failure { key: key.filter(|_| how != WorkerFailure::NotStarted), how })
            }
        }
    }
}

impl Running {
    fn start(program: &Program, memory: u64) -> io::Result<Self> {
        let (channel, theirs) = UnixStream::pair()?;
        channel.set_read_timeout(Some(LOOK_EVERY))?;
        channel.set_write_timeout(Some(LOOK_EVERY))?;
        let mut command = Command::new(&program.0);
        command
            .arg0("tallylight-agent")
            .args(["decode-worker", "--memory"])
            .arg(memory.to_string())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // What stands in the agent's environment is none of its business, where to find libraries aside.
            .env_clear()
            .envs(env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
            // What is typed at a terminal is meant for the agent.
            .process_group(0);
        let process = command.spawn()?;
        let (incoming, grown_kib) = (Incoming::default(), BTreeMap::new());
        Ok(Self { process, channel, incoming, ready: false, peak_kib: 0, grown_kib })
    }

    /// Makes sure that it is gone, and says how it failed in the end.
    fn end(mut self, how: WorkerFailure) -> WorkerFailure {
        if !self.ready {
            return WorkerFailure::NotStarted;
        }
        if !matches!(how, WorkerFailure::Died(_)) {
            return how;
        }
        // The channel is closed a moment before the process can be waited for; one that closed it and lives on is ended.
        let _ = self.process.kill();
        let status = self.process.wait().ok();
        WorkerFailure::Died(status.and_then(|status| status.signal()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One batch.
struct Talk<'a> {
    running: &'a mut Running,
    orders: &'a [Order],
    answered: usize,
    /// The most memory for one stream.
    limit: u64,
    /// What it was that made the worker fail.
    blamed: Option<Key>,
}

/// What a worker has been seen to do since it last said something.
#[derive(Default)]
struct Watch {
    idle: u32,
    silent: Option<Duration>,
    order: Option<Duration>,
    /// Words since the last answer.
    words: u32,
}

impl Talk<'_> {
    fn run(
        &mut self,
        confinement: &mut Option<Confinement>,
        done: &mut impl FnMut(usize, Vec<Reply>),
    ) -> Result<(), WorkerFailure> {
        let mut watch = Watch::default();
        let orders = self.orders;
        let mut how = None;
        let written = write_orders(orders, |bytes| {
            self.write(bytes, &mut watch).map_err(|why| {
                how = Some(why);
                ErrorKind::BrokenPipe.into()
            })
        });
        // Until all of a batch is there, none of it is worked on.
        written.map_err(|_| how.unwrap_or(WorkerFailure::Nonsense))?;
        let outcome = self.read(&mut watch, confinement, done);
        if outcome.is_err() {
            self.blamed = self.blamed.or_else(|| self.culprit());
        }
        outcome
    }

    fn read(
        &mut self,
        watch: &mut Watch,
        confinement: &mut Option<Confinement>,
        done: &mut impl FnMut(usize, Vec<Reply>),
    ) -> Result<(), WorkerFailure> {
        let orders = self.orders;
        let mut bytes = vec![0; 64 << 10];
        while self.answered < orders.len() {
            while let Some(report) =
                self.running.incoming.next().map_err(|_| WorkerFailure::Nonsense)?
            {
                let before = self.answered;
                self.take(report, confinement, done)?;
                *watch = match before == self.answered {
                    true => {
                        Watch { order: watch.order, words: watch.words + 1, ..Watch::default() }
                    }
                    false => Watch::default(),
                };
                if watch.words > MAX_WORDS {
                    return Err(WorkerFailure::Nonsense);
                }
            }
            if self.answered >= orders.len() {
                break;
            }
            match self.running.channel.read(&mut bytes) {
                Ok(0) => return Err(WorkerFailure::Died(None)),
                Ok(count) => self.running.incoming.push(bytes.get(..count).unwrap_or_default()),
                Err(error) => self.wait(&error, watch)?,
            }
        }
        Ok(())
    }

    /// What is worked on: the first order that is not answered and is more than put aside.
    fn culprit(&self) -> Option<Key> {
        let rest = self.orders.get(self.answered..).unwrap_or_default();
        let work = |order: &&Order| match order {
            Order::Handle { request, .. } => !is_kept(request),
            Order::Close { .. } => false,
        };
        rest.iter().find(work).or(rest.first()).and_then(Order::key)
    }

    fn write(&mut self, mut bytes: &[u8], watch: &mut Watch) -> Result<(), WorkerFailure> {
        while !bytes.is_empty() {
            match self.running.channel.write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) => self.wait(&error, watch)?,
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        report: Report,
        confinement: &mut Option<Confinement>,
        done: &mut impl FnMut(usize, Vec<Reply>),
    ) -> Result<(), WorkerFailure> {
        match report {
            Report::Ready { confinement: found, resident_kib } => {
                self.running.ready = true;
                self.running.peak_kib = resident_kib;
                *confinement = Some(found);
                Ok(())
            }
            Report::Done { replies, resident_kib } => {
                let culprit = self.culprit();
                for replies in replies {
                    let order = self.orders.get(self.answered).ok_or(WorkerFailure::Nonsense)?;
                    if let Order::Close { desk } = order {
                        self.running.grown_kib.retain(|key, _| key.desk != *desk);
                    }
                    done(self.answered, replies);
                    self.answered += 1;
                }
                self.charge(culprit, resident_kib)
            }
        }
    }

    /// Puts down what the worker grew by to the stream that it worked on.
    fn charge(&mut self, key: Option<Key>, resident_kib: u64) -> Result<(), WorkerFailure> {
        let running = &mut self.running;
        let grown = resident_kib.saturating_sub(running.peak_kib);
        running.peak_kib = running.peak_kib.max(resident_kib);
        let Some(key) = key else { return Ok(()) };
        let sum = running.grown_kib.entry(key).or_default();
        *sum += grown;
        if *sum <= self.limit / 1024 {
            return Ok(());
        }
        self.blamed = Some(key);
        Err(WorkerFailure::Memory)
    }

    /// Looks at a worker of which there was nothing to read, or to which nothing could be written.
    fn wait(&mut self, error: &io::Error, watch: &mut Watch) -> Result<(), WorkerFailure> {
        match error.kind() {
            ErrorKind::Interrupted => return Ok(()),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
            _ => return Err(WorkerFailure::Died(None)),
        }
        let vitals = Vitals::of(self.running.process.id()).ok_or(WorkerFailure::Died(None))?;
        watch.idle = if vitals.runs { 0 } else { watch.idle + 1 };
        let silent = vitals.cpu.saturating_sub(*watch.silent.get_or_insert(vitals.cpu));
        let order = vitals.cpu.saturating_sub(*watch.order.get_or_insert(vitals.cpu));
        if watch.idle >= MAX_IDLE || silent >= MAX_SILENT || order >= MAX_ORDER {
            return Err(WorkerFailure::Hung);
        }
        self.charge(self.culprit(), vitals.resident_kib)
    }
}
