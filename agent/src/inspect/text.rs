//! The report for people.

use std::fmt::{self, Write as _};

use tallylight_model::{Bitrate, Codec, Severity};

use super::{
    CheckReport, ComponentReport, FaultReport, NotChecked, RatesReport, Report, ServiceReport,
    Verdict,
};

/// Events that the report for people lists.
const MAX_SHOWN: usize = 50;

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
            if !faulty {
                write!(f, "{}", self.reservation())?;
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
        let null = match self.null_packets as f64 * 100.0 / self.packets.max(1) as f64 {
            0.0 => String::new(),
            share => format!(", {share:.1} % of them null packets"),
        };
        let rate = rate_of(self.bitrate_bps) + &span_of(self.rates);
        writeln!(f, "{} {packets}{seconds}{rate}{null}", self.packets)?;
        self.write_counts(f)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "Note: {note}"))?;
        if !self.faults.is_empty() {
            writeln!(f, "\nFaults (profile {}):", self.profile.name())?;
            self.faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))?;
        }
        if self.more_faults > 0 {
            writeln!(f, "  and {} more", self.more_faults)?;
        }
        if self.checks.iter().any(CheckReport::says_something) {
            writeln!(f, "\nChecks of TR 101 290 (raised, for how long):")?;
            let checks = self.checks.iter().filter(|check| check.says_something());
            checks.into_iter().try_for_each(|check| writeln!(f, "  {check}"))?;
        }
        self.write_events(f)?;
        if self.services.is_empty() && self.error.is_none() {
            writeln!(f, "\nNo service: no PAT and PMT were found.")?;
        }
        self.services.iter().try_for_each(|service| write!(f, "\n{service}"))
    }
}

impl Report {
    /// How far a clean verdict goes.
    fn reservation(&self) -> &'static str {
        let components = || self.services.iter().flat_map(|service| &service.components);
        let unchecked =
            |c: &ComponentReport| c.not_checked.is_some_and(|why| why != NotChecked::Secondary);
        if components().any(|c| c.scrambled) {
            " as far as it is not scrambled"
        } else if self.decoded_pictures.is_none() {
            " as far as packets and tables go"
        } else if components().any(unchecked) {
            " as far as it could be checked"
        } else {
            ""
        }
    }

    fn write_events(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.events.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nWhat changed:")?;
        self.events.iter().take(MAX_SHOWN).try_for_each(|event| writeln!(f, "  {event}"))?;
        let beyond = self.events.len().saturating_sub(MAX_SHOWN) as u64 + self.more_events;
        if beyond > 0 {
            writeln!(f, "  and {beyond} more")?;
        }
        Ok(())
    }

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
        let rates = rate_of(self.rates.map(|r| r.mean_bps)) + &span_of(self.rates);
        writeln!(f, "Service {}{name}{provider}{rates}", self.service_id)?;
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
            write!(f, "{}", rate_of(c.bitrate_bps))?;
            match c.not_checked {
                Some(NotChecked::Secondary) => write!(f, ", not checked")?,
                Some(why) => write!(f, ", NOT CHECKED: {why}")?,
                None if c.scrambled => write!(f, ", not looked at where scrambled")?,
                None if c.codec == Codec::Hevc.name() => {
                    write!(f, ", decode errors not available")?;
                }
                None => {}
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The least and the most of its seconds.
fn span_of(rates: Option<RatesReport>) -> String {
    let rate = Bitrate::from_bps;
    rates.map_or(String::new(), |r| format!(" ({} to {})", rate(r.min_bps), rate(r.max_bps)))
}

fn rate_of(bps: Option<u64>) -> String {
    bps.map_or(String::new(), |bps| format!(", {}", Bitrate::from_bps(bps)))
}
