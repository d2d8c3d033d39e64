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
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(memory(own).unwrap().rss > 0 && processor_time(own).is_ok());
        assert!(processor_time(i32::MAX).is_err());
    }
}
