//! What a process costs, as the kernel counts it.

use std::{fs, time::Duration};

use anyhow::Context as _;
use serde::Serialize;

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All that is resident.
    pub rss: u64,
    /// Its share of it: pages that several processes map count in parts.
    pub pss: u64,
}

impl std::iter::Sum for Memory {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            rss: sum.rss + part.rss,
            pss: sum.pss + part.pss,
        })
    }
}

/// A process and those that it started, and that these started.
///
/// # Errors
/// The kernel does not tell.
pub fn family(pid: i32) -> anyhow::Result<Vec<i32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("there is no /proc")?.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let stat = fs::read_to_string(entry.path().join("stat"));
        if let (Some(id), Ok(stat)) = (id, stat) {
            parents.extend(parent(&stat).map(|parent| (id, parent)));
        }
    }
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&member) = family.get(at) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(id, _)| id));
        at += 1;
    }
    Ok(family)
}

fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Processor time of all threads of a process so far, also of those that have ended.
///
/// The clock of `utime` and `stime` ticks 100 times a second; summed over seconds that is below half a percent.
///
/// # Errors
/// There is no such process.
pub fn processor_time(pid: i32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks * 10)).context("stat cannot be read")
}

/// Fields 14 and 15 of proc_pid_stat(5). The name before them may hold anything, so they are counted from its end.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Memory of a process at the moment.
///
/// # Errors
/// There is no such process, or it is another user's.
pub fn memory(pid: i32) -> anyhow::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .context("the process's memory cannot be read")?;
    let bytes = |key| kib(&text, key).map(|kib| kib * 1024);
    let (rss, pss) = bytes("Rss:").zip(bytes("Pss:")).context("smaps_rollup cannot be read")?;
    Ok(Memory { rss, pss })
}

fn kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_of_any_kind() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 120 30 0 0";
        assert_eq!(ticks(stat), Some(150));
        assert_eq!(ticks("7 (a) R 1"), None);
        assert_eq!(parent(stat), Some(1));
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(memory(own).unwrap().rss > 0 && processor_time(own).is_ok());
        assert!(processor_time(i32::MAX).is_err());
    }
}
