//! What is told of a stream while it is looked at.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tallylight_model::{FaultKind, FaultPhase, FaultRecord, MonoTime, WallTime};

use super::{
    EventReport, FaultReport, Report,
    fault::service_of,
    rounded,
    text::{rate_of, to_millis},
};

/// One thing that is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line<'a> {
    /// Something happened to a fault.
    Fault(FaultLine),
    /// Something changed, or a cue came.
    Event(EventLine),
    /// How it goes.
    Summary(SummaryLine),
    /// The end.
    Report {
        /// Everything that was found.
        report: &'a Report,
    },
}

/// Something that happened to a fault.
#[derive(Debug, Serialize)]
pub struct FaultLine {
    /// When it is told, by the host's clock.
    #[serde(serialize_with = "moment")]
    pub at: WallTime,
    /// `begin`, `raise` or `end`.
    pub phase: &'static str,
    /// The fault as it is by then.
    pub fault: FaultReport,
}

/// Something that changed, or a cue.
#[derive(Debug, Serialize)]
pub struct EventLine {
    /// When it is told, by the host's clock.
    #[serde(serialize_with = "moment")]
    pub at: WallTime,
    /// What.
    pub event: EventReport,
}

/// How it goes.
#[derive(Debug, Serialize)]
pub struct SummaryLine {
    /// When it is told, by the host's clock.
    #[serde(serialize_with = "moment")]
    pub at: WallTime,
    /// How far the stream was looked at: in media time for a recording, else since the probe began.
    pub seconds: f64,
    /// Transport packets so far, null packets included.
    pub packets: u64,
    /// Mean rate since the summary before; `null` where no time passed.
    pub bitrate_bps: Option<u64>,
    /// Continuity errors so far.
    pub continuity_errors: u64,
    /// The kinds of fault that stand, informational ones left out.
    #[serde(serialize_with = "names")]
    pub standing: Vec<FaultKind>,
    /// Faults so far that are worse than informational.
    pub faults: u64,
}

impl FaultLine {
    /// Tells a record. Seconds count from `zero`.
    #[must_use]
    pub fn new(record: &FaultRecord, zero: MonoTime, at: WallTime) -> Self {
        let seconds = |at: MonoTime| rounded(at.since(zero));
        let (phase, end_seconds) = match record.phase {
            FaultPhase::Begin => ("begin", None),
            FaultPhase::Raise => ("raise", None),
            FaultPhase::End(end) => ("end", Some(seconds(end))),
        };
        let fault = FaultReport {
            kind: record.kind,
            severity: record.severity,
            pid: record.pid,
            service_id: service_of(&record.stream),
            start_seconds: seconds(record.onset),
            end_seconds,
            evidence: record.evidence.clone(),
        };
        Self { at, phase, fault }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(line) => writeln!(f, "{line}"),
            Self::Event(EventLine { event, .. }) => writeln!(f, "{}  {event}", event.moment()),
            Self::Summary(line) => writeln!(f, "{line}"),
            Self::Report { report } => write!(f, "\n{report}"),
        }
    }
}

impl fmt::Display for FaultLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, fault, .. } = self;
        let from = fault.end_seconds.unwrap_or(fault.start_seconds);
        let (severity, kind, place) = (fault.severity.name(), fault.kind.name(), fault.place());
        let gap = if place.is_empty() { "" } else { "  " };
        write!(f, "{}  {phase:7}  {severity:8}  {kind}{gap}{place}", to_millis(from))?;
        match fault.lasted() {
            Some(lasted) => write!(f, " after {lasted:.3} s: {}", fault.evidence),
            None => write!(f, ": {}", fault.evidence),
        }
    }
}

impl fmt::Display for SummaryLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, packets, errors) =
            (to_millis(self.seconds), self.packets, self.continuity_errors);
        let rate = rate_of(self.bitrate_bps);
        write!(f, "{seconds}  summary  {packets} packets{rate}, {errors} continuity errors; ")?;
        match self.faults {
            0 => f.write_str("no faults")?,
            1 => f.write_str("1 fault")?,
            more => write!(f, "{more} faults")?,
        }
        let standing: Vec<&str> = self.standing.iter().map(|kind| kind.name()).collect();
        if standing.is_empty() { Ok(()) } else { write!(f, ", now: {}", standing.join(" ")) }
    }
}

/// As RFC 3339.
fn moment<S: Serializer>(at: &WallTime, s: S) -> Result<S::Ok, S::Error> {
    let at = Timestamp::from_millisecond(at.unix_millis()).unwrap_or_default();
    s.collect_str(&at)
}

fn names<S: Serializer>(kinds: &[FaultKind], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(kinds.iter().map(|kind| kind.name()))
}
