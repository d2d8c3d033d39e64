//! What is said of a program's clock.

use std::time::Duration;

use serde::Serialize;
use tallylight_ts::{ClockInterval, ClockReport as Clock};

/// One program's clock.
#[derive(Debug, Serialize)]
pub struct ClockReport {
    /// The service.
    pub service_id: u16,
    /// Where its PCRs are.
    pub pid: u16,
    /// The mean time between two PCRs; `null` where there are no two.
    pub interval_mean_seconds: Option<f64>,
    /// The longest time between two PCRs.
    pub interval_max_seconds: Option<f64>,
    /// The furthest that a PCR was off the line of a constant rate (TR 101 290, 2.4), in nanoseconds; `null` where it says nothing.
    pub accuracy_ns: Option<u64>,
}

impl From<Clock> for ClockReport {
    fn from(clock: Clock) -> Self {
        // To a microsecond: what is finer is in the accuracy.
        let seconds = |of: fn(ClockInterval) -> Duration| {
            clock.interval.map(|interval| of(interval).as_micros() as f64 / 1e6)
        };
        Self {
            service_id: clock.program,
            pid: clock.pid.get(),
            interval_mean_seconds: seconds(|interval| interval.mean),
            interval_max_seconds: seconds(|interval| interval.longest),
            accuracy_ns: clock
                .furthest_off
                .map(|off| u64::try_from(off.as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}
