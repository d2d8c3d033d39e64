//! Faults as they are told: records gathered into what began and ended.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::{Serialize, Serializer};
use tallylight_model::{FaultKind, FaultPhase, FaultRecord, MonoTime, Pid, Severity, StreamId};

use super::{
    rounded,
    text::{WIDTH, to_seconds},
};

/// Faults that are listed; what is beyond is counted.
const MAX_FAULTS: usize = 10_000;
/// A line, with room for the verdict before it and for what is not named.
const MAX_SUMMARY: usize = WIDTH - 23;

/// One fault.
#[derive(Clone, Debug, Serialize)]
pub struct FaultReport {
    /// The kind.
    #[serde(serialize_with = "kind_name")]
    pub kind: FaultKind,
    /// The worst that it was.
    #[serde(serialize_with = "severity_name")]
    pub severity: Severity,
    /// The PID, where it is of one.
    #[serde(serialize_with = "pid_number", skip_serializing_if = "Option::is_none")]
    pub pid: Option<Pid>,
    /// The service, where it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_id: Option<u16>,
    /// Its onset: in media time for a file, else since the probe began.
    pub start_seconds: f64,
    /// Its end; `null` while it lasts.
    pub end_seconds: Option<f64>,
    /// What was measured.
    pub evidence: String,
}

impl FaultReport {
    /// Whether it makes a stream faulty.
    #[must_use]
    pub fn is_serious(&self) -> bool {
        self.severity > Severity::Info
    }

    /// How long it lasted, in seconds; `None` while it does.
    pub(super) fn lasted(&self) -> Option<f64> {
        Some(self.end_seconds? - self.start_seconds)
    }

    /// Where it is.
    pub(super) fn place(&self) -> String {
        match (self.pid, self.service_id) {
            (Some(pid), _) => pid.to_string(),
            (None, Some(service)) => format!("service {service}"),
            (None, None) => String::new(),
        }
    }
}

/// The service that a stream of a probe is named for.
pub(super) fn service_of(stream: &StreamId) -> Option<u16> {
    stream.as_str().rsplit('/').next().and_then(|name| name.parse().ok())
}

/// How many faults there are, and the worst of them in few words.
pub(super) fn summary(faults: &[FaultReport], unlisted: u64) -> String {
    let mut kinds: Vec<(Severity, &FaultReport, u64)> = Vec::new();
    for fault in faults.iter().filter(|fault| fault.is_serious()) {
        match kinds.iter_mut().find(|(_, first, _)| first.kind == fault.kind) {
            Some((worst, _, count)) => (*worst, *count) = (fault.severity.max(*worst), *count + 1),
            None => kinds.push((fault.severity, fault, 1)),
        }
    }
    kinds.sort_by_key(|(worst, ..)| Reverse(*worst));
    let all = unlisted + kinds.iter().map(|(.., count)| count).sum::<u64>();
    let mut text = match all {
        0 => return "no faults".to_owned(),
        1 => "1 fault".to_owned(),
        _ => format!("{all} faults"),
    };
    let mut left = all;
    for (_, first, count) in kinds {
        let what = first.kind.name().replace('_', " ");
        let from = to_seconds(first.start_seconds);
        let told = match (count, first.lasted()) {
            (1, Some(lasted)) => format!("{what} {lasted:.1} s from {from}"),
            (1, None) => format!("{what} from {from} to the end"),
            _ => format!("{what} {count} times from {from}"),
        };
        if text.len() + told.len() > MAX_SUMMARY {
            break;
        }
        text += if left == all { ": " } else { ", " };
        text += &told;
        left -= count;
    }
    if left > 0 && left < all {
        text += &format!(" and {left} more");
    }
    text
}

/// What tells open faults apart.
type FaultKey = (StreamId, FaultKind, Option<Pid>);

/// Gathers fault records into faults.
#[derive(Debug)]
pub struct Faults {
    zero: MonoTime,
    open: BTreeMap<FaultKey, usize>,
    list: Vec<FaultReport>,
    more: u64,
}

impl Faults {
    /// Counts seconds from `zero` on.
    #[must_use]
    pub const fn new(zero: MonoTime) -> Self {
        Self { zero, open: BTreeMap::new(), list: Vec::new(), more: 0 }
    }

    /// Takes a record; returns whether it says anything new: what several services share is one fault.
    pub fn add(&mut self, record: FaultRecord) -> bool {
        let FaultRecord { stream, kind, pid, phase, severity, onset, evidence, .. } = record;
        let key = (stream, kind, pid);
        let seconds = |at: MonoTime| rounded(at.since(self.zero));
        match phase {
            FaultPhase::Begin => self.begin(key, severity, seconds(onset), evidence),
            FaultPhase::Raise => {
                let open = self.open_key(&key).and_then(|key| self.open.get(&key));
                let Some(fault) = open.and_then(|at| self.list.get_mut(*at)) else { return true };
                let worse = severity > fault.severity;
                let shared = open.is_some_and(|at| is_shared(&self.open, *at));
                fault.severity = severity.max(fault.severity);
                fault.evidence = evidence;
                worse || !shared
            }
            FaultPhase::End(end) => {
                let end = seconds(end);
                let open = self.open_key(&key).and_then(|key| self.open.remove(&key));
                // It goes on for another service.
                if open.is_some_and(|at| self.open.values().any(|other| *other == at)) {
                    return false;
                }
                if let Some(fault) = open.and_then(|at| self.list.get_mut(at)) {
                    fault.end_seconds = Some(end);
                    fault.evidence = evidence;
                }
                true
            }
        }
    }

    fn begin(&mut self, key: FaultKey, severity: Severity, start: f64, evidence: String) -> bool {
        let (_, kind, pid) = key;
        let same = |fault: &FaultReport| fault.pid.is_some() && fault.start_seconds == start;
        let shared = self.open.iter().find(|((_, other, place), at)| {
            (*other, *place) == (kind, pid) && self.list.get(**at).is_some_and(same)
        });
        if let Some((_, &at)) = shared
            && let Some(fault) = self.list.get_mut(at)
        {
            let worse = severity > fault.severity;
            fault.severity = severity.max(fault.severity);
            self.open.insert(key, at);
            return worse;
        }
        if self.list.len() >= MAX_FAULTS {
            self.more += 1;
            return true;
        }
        let service_id = service_of(&key.0);
        self.open.insert(key, self.list.len());
        self.list.push(FaultReport {
            kind,
            severity,
            pid,
            service_id,
            start_seconds: start,
            end_seconds: None,
            evidence,
        });
        true
    }

    /// The fault that a record is about. A service may have got another picture meanwhile; its fault is the same.
    fn open_key(&self, key: &FaultKey) -> Option<FaultKey> {
        let same = |other: &&FaultKey| (&other.0, other.1) == (&key.0, key.1);
        let exact = self.open.get_key_value(key).map(|(key, _)| key);
        exact.or_else(|| self.open.keys().filter(|_| key.2.is_none()).find(same)).cloned()
    }

    /// The kinds of those that stand, informational ones left out.
    #[must_use]
    pub fn standing(&self) -> Vec<FaultKind> {
        let open = self.open.values().filter_map(|at| self.list.get(*at));
        let mut kinds: Vec<_> = open.filter(|it| it.is_serious()).map(|it| it.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// How many there were so far, informational ones left out.
    #[must_use]
    pub fn serious(&self) -> u64 {
        self.more + self.list.iter().filter(|fault| fault.is_serious()).count() as u64
    }

    /// The faults, earliest first; what several services share once.
    pub(super) fn finish(mut self) -> (Vec<FaultReport>, u64) {
        self.list.sort_by(|a, b| {
            let order = |f: &FaultReport| (f.kind, f.pid, f.service_id);
            a.start_seconds.total_cmp(&b.start_seconds).then(order(a).cmp(&order(b)))
        });
        // Where one service's was over when the other's was told.
        self.list.dedup_by(|b, a| {
            let same = a.kind == b.kind && a.pid == b.pid && a.pid.is_some();
            let same = same && a.start_seconds == b.start_seconds && a.end_seconds == b.end_seconds;
            a.severity = if same { a.severity.max(b.severity) } else { a.severity };
            same
        });
        (self.list, self.more)
    }
}

/// Whether several services have this fault.
fn is_shared(open: &BTreeMap<FaultKey, usize>, at: usize) -> bool {
    open.values().filter(|other| **other == at).count() > 1
}

fn kind_name<S: Serializer>(kind: &FaultKind, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(kind.name())
}

fn severity_name<S: Serializer>(severity: &Severity, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(severity.name())
}

fn pid_number<S: Serializer>(pid: &Option<Pid>, s: S) -> Result<S::Ok, S::Error> {
    pid.map(Pid::get).serialize(s)
}
