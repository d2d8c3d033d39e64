//! How a worker is: what the kernel says of its process (proc_pid_stat(5)).

use std::{fs, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

/// A process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vitals {
    /// It runs, or waits for a processor or a disk; not so if it waits for anything else, or is stopped.
    pub(super) runs: bool,
    /// Processor time that it used.
    pub(super) cpu: Duration,
    /// Memory that it has.
    pub(super) resident_kib: u64,
}

impl Vitals {
    /// Looks at a process; `None` if there is none.
    pub(super) fn of(process: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        Self::parse(&text, unit(SysconfVar::CLK_TCK)?, unit(SysconfVar::PAGE_SIZE)?)
    }

    fn parse(text: &str, ticks_a_second: u64, page_bytes: u64) -> Option<Self> {
        // The second field is the name in brackets, which may hold anything.
        let (_, fields) = text.rsplit_once(") ")?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        let mut number = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
        let ticks = number(10)?.checked_add(number(0)?)?;
        let pages = number(8)?;
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(ticks_a_second.max(1));
        Some(Self {
            runs: matches!(state, "R" | "D"),
            cpu: Duration::from_nanos(u64::try_from(nanos).ok()?),
            resident_kib: pages.saturating_mul(page_bytes) / 1024,
        })
    }
}

fn unit(of: SysconfVar) -> Option<u64> {
    u64::try_from(sysconf(of).ok()??).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_fields_misleads_nobody() {
        let text = "7 (a) Z 9 (b) S 1 7 7 0 -1 4194304 120 0 3 0 250 150 0 0 20 0 1 0 99 1000000 300 18446744073709551615 1";
        let expected = Vitals { runs: false, cpu: Duration::from_secs(4), resident_kib: 1200 };
        assert_eq!(Vitals::parse(text, 100, 4096), Some(expected));
        assert_eq!(Vitals::parse("7 (a) R 1 2", 100, 4096), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let vitals = Vitals::of(std::process::id()).unwrap();
        assert!(vitals.resident_kib > 500, "{vitals:?}");
    }
}
