//! What `tallylight-agent probe` says of a stream: what it is, and what is wrong with it.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::Duration,
};

use serde::{Serialize, Serializer};
use tallylight_model::{
    Bitrate, FaultKind, FaultPhase, FaultRecord, MonoTime, Pid, ProfileName, Severity, StreamId,
};
use tallylight_ts::{Analyser, AudioRole, Component, MediaKind, Service};

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
    /// The faults, earliest first.
    pub faults: Vec<FaultReport>,
    /// Faults that were too many to be listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_faults: u64,
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
    /// Where its clock is.
    pub pcr_pid: Option<u16>,
    /// Its components in the PMT's order.
    pub components: Vec<ComponentReport>,
}

/// One component of a service.
#[derive(Debug, Serialize)]
pub struct ComponentReport {
    /// Where it is carried.
    pub pid: u16,
    /// `video`, `audio`, `text` or `data`.
    pub kind: &'static str,
    /// How it is coded.
    pub codec: &'static str,
    /// The PMT's stream type.
    pub stream_type: u8,
    /// Its language, where stated.
    pub language: Option<String>,
    /// What sound it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Picture size in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Picture size in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames in 1,000 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_rate_milli: Option<u32>,
    /// Channels of sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Samples per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate_hz: Option<u32>,
    /// Whether it came scrambled, at least at times, and could not be looked at then.
    pub scrambled: bool,
    /// Pictures or audio frames seen.
    pub units: u64,
    /// Mean rate, in bits per second.
    pub bitrate_bps: Option<u64>,
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
    /// What its counters said.
    pub continuity: ContinuityReport,
    /// Packets with the transport error indicator.
    pub transport_errors: u64,
    /// Scrambled packets.
    pub scrambled_packets: u64,
}

/// What a PID's continuity counter said (TR 101 290, 1.4).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ContinuityReport {
    /// Packets that are neither expected nor duplicates.
    pub errors: u64,
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
    /// The thresholds used.
    pub profile: ProfileName,
    /// The one service that was to be looked at.
    pub service: Option<u16>,
    /// How long it was watched.
    pub duration: Duration,
    /// Pictures decoded; `None` if none was to be.
    pub decoded_pictures: Option<u64>,
    /// Why the input ended, if not regularly.
    pub error: Option<String>,
    /// What was not looked at, and why.
    pub notes: Vec<&'static str>,
}

impl Report {
    /// Writes the report of an analysed stream.
    #[must_use]
    pub fn new(analyser: &Analyser, findings: Findings) -> Self {
        let Findings { faults, profile, service, duration, decoded_pictures, error, notes } =
            findings;
        let totals = analyser.totals();
        let pids = analyser.pids();
        let rate = |packets: u64| {
            (duration >= Duration::from_millis(100))
                .then(|| Bitrate::of(packets * PACKET, duration).bps())
        };
        let services: Vec<ServiceReport> = analyser
            .services()
            .map(|service| ServiceReport::new(service, analyser, &rate))
            .collect();
        let pids = pids.iter().map(|pid| PidReport::new(pid, analyser, &rate)).collect();
        let (mut faults, mut more_faults) = faults.finish();
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
            continuity_errors: totals.continuity_errors,
            missing_packets: totals.missing_packets,
            sync_byte_errors: totals.sync_byte_errors,
            sync_losses: totals.sync_losses,
            transport_errors: totals.transport_errors,
            scrambled_packets: totals.scrambled_packets,
            decoded_pictures,
            services,
            pids,
            faults,
            more_faults,
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
    fn new(service: &Service, analyser: &Analyser, rate: &impl Fn(u64) -> Option<u64>) -> Self {
        Self {
            service_id: service.program,
            name: service.name.clone(),
            provider: service.provider.clone(),
            pmt_pid: service.pmt_pid.map(Pid::get),
            pcr_pid: service.pcr_pid.map(Pid::get),
            components: (service.components.iter())
                .map(|component| ComponentReport::new(component, analyser, rate))
                .collect(),
        }
    }
}

impl ComponentReport {
    fn new(c: &Component, analyser: &Analyser, rate: &impl Fn(u64) -> Option<u64>) -> Self {
        let elementary = analyser.elementary().find(|e| e.pid == c.pid);
        let parameters = elementary.as_ref().map(|e| e.parameters).unwrap_or_default();
        let counters = analyser.pid(c.pid).map(|report| report.counters).unwrap_or_default();
        Self {
            pid: c.pid.get(),
            kind: kind_of(c.coding.kind()),
            codec: c.coding.name(),
            stream_type: c.stream_type,
            language: c.language.clone(),
            role: (c.coding.kind() == MediaKind::Audio).then(|| AudioRole::name(c.role)),
            width: parameters.width,
            height: parameters.height,
            frame_rate_milli: parameters.frame_rate_milli,
            channels: parameters.channels,
            sample_rate_hz: parameters.sample_rate_hz,
            units: elementary.map_or(0, |e| e.units.units),
            scrambled: counters.scrambled_packets > 0,
            bitrate_bps: rate(counters.packets),
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
            continuity: ContinuityReport {
                errors: counters.continuity_errors,
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

/// For people: the verdict first, then what is wrong, then what it is.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            writeln!(f, "UNREADABLE: {error}")?;
            if self.packets == 0 {
                return Ok(());
            }
        } else {
            let faulty = self.verdict == Verdict::Faulty;
            write!(f, "{}", if faulty { "FAULTY" } else { "CLEAN" })?;
            if !faulty && self.services.iter().flat_map(|s| &s.components).any(|c| c.scrambled) {
                write!(f, " as far as it is not scrambled")?;
            }
            let serious = self.faults.iter().filter(|x| x.severity > Severity::Info).count() as u64;
            match serious + self.more_faults {
                0 => writeln!(f)?,
                1 => writeln!(f, ": 1 fault")?,
                more => writeln!(f, ": {more} faults")?,
            }
        }
        let seconds = self.duration_seconds.map_or(String::new(), |s| format!(", {s:.1} s"));
        let packets = if self.packets == 1 { "packet" } else { "packets" };
        writeln!(f, "{} {packets}{seconds}{}", self.packets, rate_of(self.bitrate_bps))?;
        self.write_counts(f)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "Note: {note}"))?;
        if !self.faults.is_empty() {
            writeln!(f, "\nFaults (profile {}):", self.profile.name())?;
            self.faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))?;
        }
        if self.more_faults > 0 {
            writeln!(f, "  and {} more", self.more_faults)?;
        }
        if self.services.is_empty() && self.error.is_none() {
            writeln!(f, "\nNo service: no PAT and PMT were found.")?;
        }
        self.services.iter().try_for_each(|service| write!(f, "\n{service}"))
    }
}

impl Report {
    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.continuity_errors, "continuity error", ""),
            (self.missing_packets, "packet", " missing by the counters"),
            (self.sync_byte_errors, "wrong sync byte", ""),
            (self.transport_errors, "packet", " marked as damaged"),
            (self.scrambled_packets, "scrambled packet", ""),
            (self.skipped_bytes, "byte", " in no packet"),
        ];
        let mut line = String::new();
        for (count, what, rest) in counts.into_iter().filter(|(count, ..)| *count > 0) {
            let more = if count == 1 { "" } else { "s" };
            let comma = if line.is_empty() { "" } else { ", " };
            write!(line, "{comma}{count} {what}{more}{rest}")?;
        }
        if line.is_empty() { Ok(()) } else { writeln!(f, "{line}") }
    }
}

impl fmt::Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.end_seconds.map_or("to the end".to_owned(), |end| format!("to {end:.3} s"));
        let pid = self.pid.map_or(String::new(), |pid| format!(" PID {pid}"));
        let service = self.service_id.map_or(String::new(), |id| format!(" service {id}"));
        write!(
            f,
            "{:8} {:18} from {:.3} s {end}{service}{pid}: {}",
            self.severity.name(),
            self.kind.name(),
            self.start_seconds,
            self.evidence
        )
    }
}

impl fmt::Display for ServiceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            self.name.as_deref().map_or(String::new(), |n| format!(" \"{}\"", n.escape_debug()));
        let provider = self
            .provider
            .as_deref()
            .map_or(String::new(), |p| format!(" of \"{}\"", p.escape_debug()));
        writeln!(f, "Service {}{name}{provider}", self.service_id)?;
        for c in &self.components {
            write!(f, "  0x{:04X} {:5} {}", c.pid, c.kind, c.codec)?;
            if let (Some(width), Some(height)) = (c.width, c.height) {
                write!(f, " {width}x{height}")?;
            }
            if let Some(milli) = c.frame_rate_milli {
                write!(f, " {:.2} fps", f64::from(milli) / 1000.0)?;
            }
            if let (Some(channels), Some(rate)) = (c.channels, c.sample_rate_hz) {
                write!(f, " {channels} ch {rate} Hz")?;
            }
            if let Some(language) = &c.language {
                write!(f, " {}", language.escape_debug())?;
            }
            let scrambled = if c.scrambled { ", not looked at where scrambled" } else { "" };
            writeln!(f, "{}{scrambled}", rate_of(c.bitrate_bps))?;
        }
        Ok(())
    }
}

fn rate_of(bps: Option<u64>) -> String {
    bps.map_or(String::new(), |bps| format!(", {}", Bitrate::from_bps(bps)))
}
