//! What is said of a program's clock.

use core::time::Duration;

use tallylight_model::Pid;

/// The clock of one program, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReport {
    /// The program.
    pub program: u16,
    /// Where its PCRs are.
    pub pid: Pid,
    /// The time between two PCRs by their own values; `None` before two were seen.
    pub interval: Option<ClockInterval>,
    /// The furthest that a PCR was off the line of the constant rate (TR 101 290, 2.4); `None` where the rate is not constant, or the
    /// profile does not look.
    pub furthest_off: Option<Duration>,
}

/// The time between two PCRs of a program. Jumps, and what segments and packets dropped on this side cut, are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockInterval {
    /// All of them together.
    pub mean: Duration,
    /// The longest.
    pub longest: Duration,
}

/// Takes the time between PCRs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Intervals {
    count: u32,
    sum: Duration,
    longest: Duration,
}

impl Intervals {
    pub(crate) fn add(&mut self, interval: Duration) {
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(interval);
        self.longest = self.longest.max(interval);
    }

    pub(crate) fn get(&self) -> Option<ClockInterval> {
        let mean = self.sum.checked_div(self.count)?;
        Some(ClockInterval { mean, longest: self.longest })
    }
}
