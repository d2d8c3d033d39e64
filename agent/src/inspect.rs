//! What `tallylight-agent probe` says of a stream: what it is, and what is wrong with it.

mod check;
mod component;
mod cue;
mod event;
mod text;

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, Serializer};
use tallylight_model::{
    Bitrate, FaultKind, FaultPhase, FaultRecord, MonoTime, Pid, ProfileName, Severity, StreamId,
};
use tallylight_ts::{Analyser, MediaKind, Rates, Service};

use crate::probe::Scrutiny;
pub use check::CheckReport;
pub use component::{ComponentReport, NotChecked};
pub use cue::{CueReport, CuesReport, SegmentReport};
pub use event::{EventReport, Events, Is};

/// Faults that are listed; what is beyond is counted.
const MAX_FAULTS: usize = 10_000;
/// Bytes of a transport packet (ISO/IEC 13818-1, 2.4.3.2).
const PACKET: u64 = 188;

/// Everything that a probe found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The result in one word.
    pub verdict: Verdict,
    /// Why it is unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was not looked at, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<&'static str>,
    /// The thresholds used.
    #[serde(serialize_with = "profile_name")]
    pub profile: ProfileName,
    /// Transport packets, null packets included.
    pub packets: u64,
    /// Null packets.
    pub null_packets: u64,
    /// Bytes that are in no packet.
    pub skipped_bytes: u64,
    /// How long it was watched: in media time for a file.
    pub duration_seconds: Option<f64>,
    /// Mean rate of all packets, in bits per second.
    pub bitrate_bps: Option<u64>,
    /// The rates of its seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<RatesReport>,
    /// Continuity errors over all PIDs.
    pub continuity_errors: u64,
    /// Packets missing by the counters, over all PIDs.
    pub missing_packets: u64,
    /// Packets whose first byte is not 0x47 (TR 101 290, 1.2).
    pub sync_byte_errors: u64,
    /// How often packets were no longer found at their places (TR 101 290, 1.1).
    pub sync_losses: u64,
    /// Packets with the transport error indicator.
    pub transport_errors: u64,
    /// Scrambled packets.
    pub scrambled_packets: u64,
    /// Pictures and audio frames looked into by the decoder; `null` if none was to be.
    pub decoded_pictures: Option<u64>,
    /// The services, by number.
    pub services: Vec<ServiceReport>,
    /// The PIDs, null packets left out.
    pub pids: Vec<PidReport>,
    /// The checks of TR 101 290 that the profile looks at, by number.
    pub checks: Vec<CheckReport>,
    /// The faults, earliest first.
    pub faults: Vec<FaultReport>,
    /// Faults that were too many to be listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_faults: u64,
    /// What changed in what it carries, earliest first.
    pub events: Vec<EventReport>,
    /// Events that were too many to be listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_events: u64,
}

/// The result in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing worse than informational.
    Clean,
    /// A warning or a critical fault.
    Faulty,
    /// It could not be judged.
    Unreadable,
}

impl Verdict {
    /// The exit code of `probe`.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Faulty => 1,
            Self::Unreadable => 2,
        }
    }
}

/// One service.
#[derive(Debug, Serialize)]
pub struct ServiceReport {
    /// The program number.
    pub service_id: u16,
    /// Its name by the SDT.
    pub name: Option<String>,
    /// Its provider by the SDT.
    pub provider: Option<String>,
    /// Where its PMT is.
    pub pmt_pid: Option<u16>,
    /// How often its PMT came to say something else.
    pub pmt_changes: u64,
    /// Where its clock is.
    pub pcr_pid: Option<u16>,
    /// The rates of its seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<RatesReport>,
    /// Its components in the PMT's order.
    pub components: Vec<ComponentReport>,
}

/// One PID.
#[derive(Debug, Serialize)]
pub struct PidReport {
    /// Which.
    pub pid: u16,
    /// The service that lists it.
    pub service_id: Option<u16>,
    /// `video`, `audio`, `text`, `data` or `tables`; absent where no table lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// How it is coded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<&'static str>,
    /// Its language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Packets.
    pub packets: u64,
    /// Mean rate, in bits per second.
    pub bitrate_bps: Option<u64>,
    /// The rates of its seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<RatesReport>,
    /// What its counters said.
    pub continuity: ContinuityReport,
    /// Packets with the transport error indicator.
    pub transport_errors: u64,
    /// Scrambled packets.
    pub scrambled_packets: u64,
}

/// The rates of whole seconds, in bits per second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RatesReport {
    /// The second with the least.
    pub min_bps: u64,
    /// All of them together.
    pub mean_bps: u64,
    /// The second with the most.
    pub max_bps: u64,
}

impl From<Rates> for RatesReport {
    fn from(rates: Rates) -> Self {
        let Rates { min, mean, max } = rates;
        Self { min_bps: min.bps(), mean_bps: mean.bps(), max_bps: max.bps() }
    }
}

/// What a PID's continuity counter said (TR 101 290, 1.4).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ContinuityReport {
    /// Packets that are neither expected nor duplicates.
    pub errors: u64,
    /// Those of them that come late, in another order than they were sent in.
    pub late_packets: u64,
    /// Packets missing by the counter.
    pub missing_packets: u64,
    /// Packets that came twice, which is allowed.
    pub legal_duplicates: u64,
    /// Packets that came more than twice.
    pub excess_duplicates: u64,
}

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

    /// Takes a record.
    pub fn add(&mut self, record: FaultRecord) {
        let FaultRecord { stream, kind, pid, phase, severity, onset, evidence, .. } = record;
        let key = (stream, kind, pid);
        let seconds = |at: MonoTime| rounded(at.since(self.zero));
        match phase {
            FaultPhase::Begin if self.list.len() >= MAX_FAULTS => self.more += 1,
            FaultPhase::Begin => {
                let service_id = key.0.as_str().rsplit('/').next().and_then(|n| n.parse().ok());
                self.open.insert(key, self.list.len());
                let start_seconds = seconds(onset);
                let end_seconds = None;
                let fault = FaultReport {
                    kind,
                    severity,
                    pid,
                    service_id,
                    start_seconds,
                    end_seconds,
                    evidence,
                };
                self.list.push(fault);
            }
            FaultPhase::Raise => {
                let open = self.open_key(&key).and_then(|key| self.open.get(&key));
                if let Some(fault) = open.and_then(|at| self.list.get_mut(*at)) {
                    fault.severity = severity;
                    fault.evidence = evidence;
                }
            }
            FaultPhase::End(end) => {
                let end = seconds(end);
                let open = self.open_key(&key).and_then(|key| self.open.remove(&key));
                if let Some(fault) = open.and_then(|at| self.list.get_mut(at)) {
                    fault.end_seconds = Some(end);
                    fault.evidence = evidence;
                }
            }
        }
    }

    /// The fault that a record is about. A service may have got another picture meanwhile; its fault is the same.
    fn open_key(&self, key: &FaultKey) -> Option<FaultKey> {
        let same = |other: &&FaultKey| (&other.0, other.1) == (&key.0, key.1);
        let exact = self.open.get_key_value(key).map(|(key, _)| key);
        exact.or_else(|| self.open.keys().filter(|_| key.2.is_none()).find(same)).cloned()
    }

    /// The faults, earliest first; what several services share once.
    fn finish(mut self) -> (Vec<FaultReport>, u64) {
        self.list.sort_by(|a, b| {
            let order = |f: &FaultReport| (f.kind, f.pid, f.service_id);
            a.start_seconds.total_cmp(&b.start_seconds).then(order(a).cmp(&order(b)))
        });
        self.list.dedup_by(|b, a| {
            let same = a.kind == b.kind && a.pid == b.pid && a.pid.is_some();
            same && a.start_seconds == b.start_seconds && a.end_seconds == b.end_seconds
        });
        (self.list, self.more)
    }
}

/// What a report is made of, beside the analyser's own counts.
#[derive(Debug)]
pub struct Findings {
    /// The faults.
    pub faults: Faults,
    /// What changed.
    pub events: Events,
    /// The thresholds used.
    pub profile: ProfileName,
    /// When a live probe began; `None` for a recording, whose time is media time.
    pub began: Option<MonoTime>,
    /// The one service that was to be looked at.
    pub service: Option<u16>,
    /// How long it was watched.
    pub duration: Duration,
    /// Pictures decoded; `None` if none was to be.
    pub decoded_pictures: Option<u64>,
    /// What the decoder made of the components that are judged; `None` if none was to be.
    pub scrutiny: Option<BTreeMap<Pid, Scrutiny>>,
    /// Why the input ended, if not regularly.
    pub error: Option<String>,
    /// What was not looked at, and why.
    pub notes: Vec<&'static str>,
}

impl Report {
    /// Writes the report of an analysed stream.
    #[must_use]
    pub fn new(analyser: &Analyser, findings: Findings) -> Self {
        let Findings {
            faults,
            events,
            profile,
            began,
            service,
            duration,
            decoded_pictures,
            scrutiny,
            error,
            notes,
        } = findings;
        let totals = analyser.totals();
        let pids = analyser.pids();
        let rate = |packets: u64| {
            (duration >= Duration::from_millis(100))
                .then(|| Bitrate::of(packets * PACKET, duration).bps())
        };
        let services: Vec<ServiceReport> = analyser
            .services()
            .map(|service| ServiceReport::new(service, analyser, scrutiny.as_ref(), &rate))
            .collect();
        let checks = analyser.checks().map(|check| CheckReport::new(&check, began)).collect();
        let pids = pids.iter().map(|pid| PidReport::new(pid, analyser, &rate)).collect();
        let (mut faults, mut more_faults) = faults.finish();
        let (events, more_events) = events.finish();
        let chance = not_packets(analyser);
        if chance.is_some() {
            (faults, more_faults) = (Vec::new(), 0);
        }
        let error = error
            .or(chance)
            .or_else(|| without_program(analyser, duration).filter(|_| faults.is_empty()))
            .or_else(|| service.and_then(|service| not_listed(analyser, service)));
        let verdict = if error.is_some() {
            Verdict::Unreadable
        } else if faults.iter().any(|fault| fault.severity > Severity::Info) || more_faults > 0 {
            Verdict::Faulty
        } else {
            Verdict::Clean
        };
        Self {
            verdict,
            error,
            notes,
            profile,
            packets: totals.packets,
            null_packets: totals.null_packets,
            skipped_bytes: totals.skipped_bytes,
            duration_seconds: (!duration.is_zero()).then(|| rounded(duration)),
            bitrate_bps: rate(totals.packets),
            rates: analyser.rates().map(RatesReport::from),
            continuity_errors: totals.continuity_errors,
            missing_packets: totals.missing_packets,
            sync_byte_errors: totals.sync_byte_errors,
            sync_losses: totals.sync_losses,
            transport_errors: totals.transport_errors,
            scrambled_packets: totals.scrambled_packets,
            decoded_pictures,
            services,
            pids,
            checks,
            faults,
            more_faults,
            events,
            more_events,
        }
    }
}

/// Why nothing can be said of packets that are packets.
fn without_program(analyser: &Analyser, watched: Duration) -> Option<String> {
    let totals = analyser.totals();
    if totals.packets == totals.null_packets {
        return Some("it holds nothing but null packets".to_owned());
    }
    // A recording without tables and clock has no time by which anything could be judged.
    let nothing = analyser.services().next().is_none() && watched.is_zero();
    nothing.then(|| "it holds neither tables nor a clock".to_owned())
}

/// Why what looked like packets is none.
fn not_packets(analyser: &Analyser) -> Option<String> {
    let totals = analyser.totals();
    if totals.bytes == 0 {
        return Some("it is empty".to_owned());
    }
    // Where most of it is in no packet, what looked like packets was chance.
    let in_packets = totals.packets * PACKET;
    if in_packets <= totals.skipped_bytes {
        return Some("it is not an MPEG transport stream".to_owned());
    }
    None
}

/// Why a service cannot be looked at.
fn not_listed(analyser: &Analyser, service: u16) -> Option<String> {
    let listed: Vec<u16> = analyser.services().map(|service| service.program).collect();
    (!listed.contains(&service)).then(|| {
        let listed: Vec<String> = listed.iter().map(u16::to_string).collect();
        format!("service {service} is not in it; its services are: {}", listed.join(", "))
    })
}

impl ServiceReport {
    fn new(
        service: &Service,
        analyser: &Analyser,
        scrutiny: Option<&BTreeMap<Pid, Scrutiny>>,
        rate: &impl Fn(u64) -> Option<u64>,
    ) -> Self {
        Self {
            service_id: service.program,
            name: service.name.clone(),
            provider: service.provider.clone(),
            pmt_pid: service.pmt_pid.map(Pid::get),
            pmt_changes: service.pmt_changes,
            pcr_pid: service.pcr_pid.map(Pid::get),
            rates: analyser.service_rates(service.program).map(RatesReport::from),
            components: (service.components.iter())
                .map(|component| ComponentReport::new(component, analyser, scrutiny, rate))
                .collect(),
        }
    }
}

impl PidReport {
    fn new(
        report: &tallylight_ts::PidReport,
        analyser: &Analyser,
        rate: &impl Fn(u64) -> Option<u64>,
    ) -> Self {
        let pid = report.pid;
        let component = analyser.services().flat_map(|s| &s.components).find(|c| c.pid == pid);
        let tables = pid.get() < 0x20 || analyser.services().any(|s| s.pmt_pid == Some(pid));
        let kind = component.map(|c| kind_of(c.coding.kind())).or(tables.then_some("tables"));
        let counters = report.counters;
        Self {
            pid: pid.get(),
            service_id: report.program,
            kind,
            codec: component.map(|c| c.coding.name()),
            language: component.and_then(|c| c.language.clone()),
            packets: counters.packets,
            bitrate_bps: rate(counters.packets),
            rates: report.rates.map(RatesReport::from),
            continuity: ContinuityReport {
                errors: counters.continuity_errors,
                late_packets: counters.late_packets,
                missing_packets: counters.missing_packets,
                legal_duplicates: counters.legal_duplicates,
                excess_duplicates: counters.excess_duplicates,
            },
            transport_errors: counters.transport_errors,
            scrambled_packets: counters.scrambled_packets,
        }
    }
}

const fn kind_of(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
        MediaKind::Text => "text",
        MediaKind::Data => "data",
    }
}

/// To a millisecond.
fn rounded(span: Duration) -> f64 {
    span.as_millis() as f64 / 1000.0
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn profile_name<S: Serializer>(profile: &ProfileName, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(profile.name())
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
