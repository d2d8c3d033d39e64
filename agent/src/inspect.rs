//! What `tallylight-agent probe` says of a stream: what it is, and what is wrong with it.

mod check;
mod clock;
mod component;
mod cue;
mod delivery;
mod event;
mod fault;
mod follow;
pub mod progress;
mod sound;
mod text;
mod unit;

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use tallylight_model::{Bitrate, MonoTime, Pid};
use tallylight_ts::{Analyser, MediaKind, Position, Rates, Service};

use crate::probe::Scrutiny;
pub use check::CheckReport;
pub use clock::ClockReport;
pub use component::{ComponentReport, NotChecked, TextReport};
pub use cue::{CueReport, CuesReport, SegmentReport};
pub use delivery::{
    Delivery, DeliveryReport, FecReport, GapReport, LossReport, RtpReport, SpreadReport,
};
pub use event::{EventReport, Events, Is};
pub use fault::{FaultReport, Faults};
pub use follow::{EventLine, FaultLine, Line, SummaryLine};
pub use sound::{ChannelReport, SoundReport};
pub use text::WIDTH;
pub use unit::{GroupsReport, OffsetReport, PicturesReport, SizesReport};

/// Bytes of a transport packet (ISO/IEC 13818-1, 2.4.3.2).
const PACKET: u64 = 188;

/// Everything that a probe found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The result in one word.
    pub verdict: Verdict,
    /// The result in one sentence: `no faults`, or how many and the worst of them.
    pub summary: String,
    /// Why it is unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was not looked at, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<&'static str>,
    /// The thresholds used.
    pub profile: String,
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
    /// The clocks of the services.
    pub clocks: Vec<ClockReport>,
    /// How its datagrams arrived, where it came in such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryReport>,
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
    fn of(error: Option<&str>, faults: &[FaultReport], unlisted: u64) -> Self {
        if error.is_some() {
            Self::Unreadable
        } else if faults.iter().any(FaultReport::is_serious) || unlisted > 0 {
            Self::Faulty
        } else {
            Self::Clean
        }
    }

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
    /// By how much longer before its presentation its picture is sent than its main sound. No lip-sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_ahead_of_sound: Option<OffsetReport>,
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
    pub bitrate: Option<u64>,
    /// The rates of its seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<RatesReport>,
    /// What its counters said.
    pub continuity: ContinuityReport,
    /// Packets with the transport error indicator.
    pub transport_errors: u64,
    /// Scrambled packets.
    pub scrambled_packets: u64,
    /// When a T2-MI packet with a right CRC first came on it, whatever tables say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t2mi_first_seconds: Option<f64>,
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

/// What a report is made of, beside the analyser's own counts.
#[derive(Debug)]
pub struct Findings {
    /// The faults.
    pub faults: Faults,
    /// What changed.
    pub events: Events,
    /// The thresholds used.
    pub profile: String,
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
    /// How its datagrams arrived.
    pub delivery: Delivery,
    /// What it begins like, if it should be no transport stream: see [`format_of`].
    pub instead: Option<&'static str>,
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
            delivery,
            instead,
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
            .map(|service| ServiceReport::new(service, analyser, scrutiny.as_ref(), began, &rate))
            .collect();
        let checks = analyser.checks().map(|check| CheckReport::new(&check, began)).collect();
        let clocks = analyser.clocks().map(ClockReport::from).collect();
        let pids = pids.iter().map(|pid| PidReport::new(pid, analyser, began, &rate)).collect();
        let (mut faults, mut more_faults) = faults.finish();
        let (events, more_events) = events.finish();
        let chance = not_packets(analyser, instead);
        if chance.is_some() {
            (faults, more_faults) = (Vec::new(), 0);
        }
        let error = error
            .or(chance)
            .or_else(|| without_program(analyser, duration).filter(|_| faults.is_empty()))
            .or_else(|| service.and_then(|service| not_listed(analyser, service)));
        Self {
            verdict: Verdict::of(error.as_deref(), &faults, more_faults),
            summary: error.clone().unwrap_or_else(|| fault::summary(&faults, more_faults)),
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
            clocks,
            delivery: delivery.report(),
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
    nothing.then(|| {
        let carriers: Vec<String> =
            analyser.t2mi().map(|(pid, _)| format!("0x{:04X}", pid.get())).collect();
        let but = match carriers.is_empty() {
            true => String::new(),
            false => format!(", but T2-MI on {}", carriers.join(", ")),
        };
        format!("it holds neither tables nor a clock{but}")
    })
}

/// Why what looked like packets is none.
fn not_packets(analyser: &Analyser, instead: Option<&str>) -> Option<String> {
    let totals = analyser.totals();
    if totals.bytes == 0 {
        return Some("it is empty".to_owned());
    }
    // Where most of it is in no packet, what looked like packets was chance.
    let in_packets = totals.packets * PACKET;
    if in_packets <= totals.skipped_bytes {
        let instead = instead.map_or(String::new(), |format| format!(" but {format}"));
        return Some(format!("it is not an MPEG transport stream{instead}"));
    }
    None
}

/// Names what is often mistaken for a transport stream by its first bytes.
#[must_use]
pub fn format_of(begin: &[u8]) -> Option<&'static str> {
    match begin {
        [b'#', b'E', b'X', b'T', b'M', b'3', b'U', ..] => {
            Some("a playlist: its address by http can be watched")
        }
        [_, _, _, _, b'f' | b's', b't', b'y', b'p', ..] => Some("MP4"),
        [_, _, _, _, b'm', b'o', b'o', b'f' | b'v', ..] => Some("MP4"),
        [0x1A, 0x45, 0xDF, 0xA3, ..] => Some("Matroska or WebM"),
        [0, 0, 1, 0xBA, ..] => Some("an MPEG program stream"),
        _ => None,
    }
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
        began: Option<MonoTime>,
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
            picture_ahead_of_sound: analyser
                .picture_ahead_of_sound(service.program)
                .map(|offset| OffsetReport::new(&offset, began)),
            components: (service.components.iter())
                .map(|component| ComponentReport::new(component, analyser, scrutiny, began, rate))
                .collect(),
        }
    }
}

impl PidReport {
    fn new(
        report: &tallylight_ts::PidReport,
        analyser: &Analyser,
        began: Option<MonoTime>,
        rate: &impl Fn(u64) -> Option<u64>,
    ) -> Self {
        let pid = report.pid;
        let t2mi = analyser.t2mi().find(|(carrier, _)| *carrier == pid);
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
            bitrate: rate(counters.packets),
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
            // Most such streams have no clock of their own.
            t2mi_first_seconds: t2mi.map(|(_, here)| seconds(here, began).unwrap_or_default()),
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

/// When something was: since a live probe began, or in media time.
fn seconds(at: Position, began: Option<MonoTime>) -> Option<f64> {
    match began {
        Some(began) => Some(rounded(at.at.since(began))),
        None => at.media.map(rounded),
    }
}

/// To a millisecond.
fn rounded(span: Duration) -> f64 {
    span.as_millis() as f64 / 1000.0
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests;
