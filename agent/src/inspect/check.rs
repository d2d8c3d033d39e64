//! What a check of TR 101 290 came to.

use std::collections::BTreeSet;

use serde::Serialize;
use tallylight_model::MonoTime;
use tallylight_ts::Position;

use super::{rounded, text::to_millis};

/// PIDs and services that the report for people names of one check.
const MAX_NAMED: usize = 3;

/// One check.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// Its number in TR 101 290, clause 5.2.
    pub number: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Whether it makes a stream faulty (`fault`) or is only counted (`inform`).
    pub setting: &'static str,
    /// How often it was raised: once for each event, once for each condition however long.
    pub count: u64,
    /// Whether a condition of it held at the end.
    pub active: bool,
    /// For how long it was on: while a condition held, and a second after each event.
    pub active_seconds: f64,
    /// When it was last raised: in media time for a file, else since the probe began.
    pub last_seconds: Option<f64>,
    /// Where it was raised.
    pub pids: BTreeSet<u16>,
    /// In which services it was raised.
    pub services: BTreeSet<u16>,
    /// Why it could not be judged, where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_available: Option<&'static str>,
}

impl CheckReport {
    /// Writes the report of a check. `began` is when a live probe began, `None` for a recording.
    #[must_use]
    pub fn new(check: &tallylight_ts::CheckReport, began: Option<MonoTime>) -> Self {
        let seconds = |at: Position| match began {
            Some(began) => Some(rounded(at.at.since(began))),
            None => at.media.map(rounded),
        };
        let tally = check.tally;
        Self {
            number: check.indicator.number(),
            name: check.indicator.name(),
            setting: check.setting.name(),
            count: tally.count,
            active: tally.holds,
            active_seconds: rounded(tally.held),
            last_seconds: tally.last.and_then(seconds),
            pids: check.subjects.iter().filter_map(|s| Some(s.pid?.get())).collect(),
            services: check.subjects.iter().filter_map(|s| s.program).collect(),
            not_available: check.unavailable.map(|reason| reason.name()),
        }
    }

    /// What stands above the rows, whose names take so many columns.
    pub(super) fn heading(names: usize) -> String {
        let names = names.max(NAME.len());
        format!("  no.   {NAME:names$}  count     on for  last at       PIDs")
    }

    /// For people, up to where it was raised.
    pub(super) fn row(&self, names: usize) -> String {
        let names = names.max(NAME.len());
        let last = self.last_seconds.map_or(String::new(), to_millis);
        let (number, name, count, on) = (self.number, self.name, self.count, self.active_seconds);
        format!("  {number:5} {name:names$} {count:>6} {on:>8.3} s  {last:12}  ")
    }

    /// Where it was raised.
    pub(super) fn places(&self) -> String {
        let pids = self.pids.iter().take(MAX_NAMED).map(|pid| format!("0x{pid:04X}"));
        let pids = pids.collect::<Vec<_>>().join(" ");
        match self.pids.len().checked_sub(MAX_NAMED) {
            Some(more @ 1..) => format!("{pids} +{more}"),
            _ => pids,
        }
    }
}

/// What stands above the names.
const NAME: &str = "check";
