//! The worker: the process that decodes, and does nothing else.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader},
    os::{
        fd::AsFd as _,
        unix::{fs::FileExt as _, net::UnixStream},
    },
    time::Duration,
};

use anyhow::Context as _;
use nix::unistd::{SysconfVar, sysconf};
use tallylight_model::MonoTime;

use super::{
    channel::{Key, Order, Report, read_orders, write_report},
    confinement::confine,
};
use crate::{
    decode::{Analyser, Effort, Reply, Request},
    io::clock,
};

/// While one order makes it decode much, the agent hears this often that it goes on.
const SAID_EVERY: Duration = Duration::from_millis(100);
/// Bytes read at a time, larger data aside.
const READ: usize = 64 << 10;

/// Works until the agent closes the channel, which is standard input, or ends.
///
/// # Errors
/// Standard input is no channel of an agent, or the agent does not understand what is said.
pub fn run(most_memory: u64) -> anyhow::Result<()> {
    let channel = io::stdin().as_fd().try_clone_to_owned().context("there is no channel")?;
    let channel = UnixStream::from(channel);
    let memory = Memory::open().context("cannot see how much memory there is")?;
    let confinement = confine(most_memory).context("cannot give up what is not needed")?;
    let mut reader = BufReader::with_capacity(READ, &channel);
    let resident_kib = memory.resident_kib();
    write_report(&channel, &Report::Ready { confinement, resident_kib })?;
    let mut worker = Worker {
        channel: &channel,
        analysers: BTreeMap::new(),
        memory,
        done: Vec::new(),
        said: clock::now(),
    };
    while let Some(orders) = read_orders(&mut reader).context("cannot read orders")? {
        for order in orders {
            worker.carry_out(order)?;
        }
        worker.tell()?;
    }
    Ok(())
}

struct Worker<'a> {
    channel: &'a UnixStream,
    analysers: BTreeMap<Key, Analyser>,
    /// Replies that were not told yet.
    done: Vec<Vec<Reply>>,
    said: MonoTime,
    memory: Memory,
}

impl Worker<'_> {
    fn carry_out(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Close { desk } => {
                self.analysers.retain(|key, _| key.desk != desk);
                self.done.push(Vec::new());
                Ok(())
            }
            Order::Handle { key, request, .. } => {
                let kept = is_kept(&request);
                self.said = clock::now();
                let (channel, memory, said) = (self.channel, &self.memory, &mut self.said);
                // An agent that is gone is noticed at the next word.
                let mut goes_on = || {
                    if clock::now().since(*said) >= SAID_EVERY {
                        *said = clock::now();
                        let resident_kib = memory.resident_kib();
                        let going = Report::Done { replies: Vec::new(), resident_kib };
                        let _ = write_report(channel, &going);
                    }
                };
                let analyser = self.analysers.entry(key).or_default();
                self.done.push(analyser.handle_and_tell(request, &mut goes_on));
                // The first that is not answered is what it works on, so what takes work is answered one by one.
                if kept { Ok(()) } else { self.tell() }
            }
        }
    }

    fn tell(&mut self) -> io::Result<()> {
        if self.done.is_empty() {
            return Ok(());
        }
        let replies = std::mem::take(&mut self.done);
        let resident_kib = self.memory.resident_kib();
        write_report(self.channel, &Report::Done { replies, resident_kib })
    }
}

/// Whether a request is only put aside.
pub(super) fn is_kept(request: &Request) -> bool {
    match request {
        Request::Unit(unit) => matches!(unit.effort, Effort::Keep(_) | Effort::Skip),
        Request::Reset => true,
    }
}

/// How much memory this process has: the kernel's word for it (proc_pid_statm(5)), opened while files could be.
struct Memory {
    statm: File,
    page_bytes: u64,
}

impl Memory {
    fn open() -> io::Result<Self> {
        let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|bytes| u64::try_from(bytes).ok());
        Ok(Self { statm: File::open("/proc/self/statm")?, page_bytes: page.unwrap_or(4096) })
    }

    fn resident_kib(&self) -> u64 {
        let mut text = [0; 128];
        let length = self.statm.read_at(&mut text, 0).unwrap_or_default();
        let text = str::from_utf8(text.get(..length).unwrap_or_default()).unwrap_or_default();
        let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.unwrap_or_default().saturating_mul(self.page_bytes) / 1024
    }
}
