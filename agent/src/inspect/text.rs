//! The report for people: no line is wider than the formatter's width, which is [`WIDTH`] unless stated, but for single words.

use std::fmt::{self, Write as _};

use tallylight_model::{Bitrate, Codec};
use tallylight_ts::Setting;

use super::{
    CheckReport, ClockReport, ComponentReport, FaultReport, NotChecked, RatesReport, Report,
    ServiceReport, Verdict,
};

/// Columns of a report, where nobody says how many there are.
pub const WIDTH: usize = 100;
/// What was measured of a fault stands in lines of its own where fewer columns are left for it.
const MIN_EVIDENCE: usize = 40;
/// Texts of a component; JSON has all of them.
const MAX_TEXTS: usize = 8;
/// Rows of one list; JSON has all of them.
const MAX_ROWS: usize = 20;

/// The verdict first, then what is wrong, what it is, and how good it is.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = width_of(f);
        match self.verdict {
            Verdict::Unreadable => write_line(f, 2, &format!("UNREADABLE: {}", self.summary))?,
            Verdict::Faulty => write_line(f, 2, &format!("FAULTY: {}", self.summary))?,
            Verdict::Clean => writeln!(f, "CLEAN{}", self.reservation())?,
        }
        if self.error.is_some() && self.packets == 0 {
            return Ok(());
        }
        self.write_stream(f)?;
        let (faults, remarks): (Vec<_>, Vec<_>) =
            self.faults.iter().partition(|fault| fault.is_serious());
        if !faults.is_empty() {
            writeln!(f, "\nFaults by profile {}:", self.profile)?;
            write_faults(f, &faults, self.more_faults)?;
        }
        self.write_events(f)?;
        if self.services.is_empty() && self.error.is_none() {
            writeln!(f, "\nNo service: no PAT and PMT were found.")?;
        }
        self.services.iter().try_for_each(|service| write!(f, "\n{service:width$}"))?;
        self.write_checks(f)?;
        if !self.clocks.is_empty() {
            writeln!(f, "\nTiming:")?;
            let rows = self.clocks.iter().take(MAX_ROWS);
            rows.into_iter().try_for_each(|clock| write_line(f, 4, &format!("  {clock}")))?;
            write_more(f, self.clocks.len())?;
        }
        if let Some(delivery) = &self.delivery {
            writeln!(f, "\nDelivery:")?;
            for line in delivery.lines() {
                write_line(f, 4, &format!("  {line}"))?;
            }
        }
        if !remarks.is_empty() {
            writeln!(f, "\nSeen as well, and no fault by profile {}:", self.profile)?;
            write_faults(f, &remarks, 0)?;
        }
        Ok(())
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
        } else if !self.notes.is_empty() {
            " as far as it was looked at"
        } else {
            ""
        }
    }

    fn write_events(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.events.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nWhat changed:")?;
        for event in self.events.iter().take(MAX_ROWS) {
            write_line(f, 16, &format!("  {}  {event}", event.moment()))?;
        }
        let beyond = self.events.len().saturating_sub(MAX_ROWS) as u64 + self.more_events;
        if beyond > 0 {
            writeln!(f, "  and {beyond} more; --json lists them")?;
        }
        Ok(())
    }

    fn write_stream(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.duration_seconds.map_or(String::new(), |s| format!(", {s:.1} s"));
        let packets = if self.packets == 1 { "packet" } else { "packets" };
        let null = match self.null_packets as f64 * 100.0 / self.packets.max(1) as f64 {
            0.0 => String::new(),
            share => format!(", {share:.1} % of them null packets"),
        };
        let rate = rate_of(mean_of(self.rates, self.bitrate_bps)) + &span_of(self.rates);
        write_line(f, 2, &format!("{} {packets}{seconds}{rate}{null}", self.packets))?;
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
        if !line.is_empty() {
            write_line(f, 2, &line)?;
        }
        let t2mi = self.pids.iter().filter(|pid| pid.t2mi_first_seconds.is_some());
        for pid in t2mi.take(MAX_ROWS) {
            write_line(f, 2, &format!("T2-MI on 0x{:04X}", pid.pid))?;
        }
        self.notes.iter().try_for_each(|note| write_line(f, 6, &format!("Note: {note}")))
    }

    fn write_checks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.checks.is_empty() || self.packets == 0 {
            return Ok(());
        }
        writeln!(f, "\nChecks of TR 101 290 by profile {}:", self.profile)?;
        let judged = || self.checks.iter().filter(|check| check.not_available.is_none());
        let raised = |setting: Setting| {
            judged().filter(move |check| check.count > 0 && check.setting == setting.name())
        };
        let names = judged().filter(|check| check.count > 0).map(|check| check.name.len()).max();
        if let Some(names) = names {
            writeln!(f, "{}", CheckReport::heading(names))?;
        }
        let names = names.unwrap_or_default();
        let write_row = |f: &mut fmt::Formatter<'_>, check: &CheckReport| {
            let (row, places) = (check.row(names), check.places());
            if places.is_empty() {
                return writeln!(f, "{}", row.trim_end());
            }
            write!(f, "{row}")?;
            write_wrapped(f, row.len(), &places)
        };
        raised(Setting::Fault).try_for_each(|check| write_row(f, check))?;
        if raised(Setting::Inform).next().is_some() {
            writeln!(f, "  counted, and no fault:")?;
        }
        raised(Setting::Inform).try_for_each(|check| write_row(f, check))?;
        for check in &self.checks {
            if let Some(why) = check.not_available {
                let CheckReport { number, name, .. } = check;
                write_line(f, 8, &format!("  {number:5} {name}: not available: {why}"))?;
            }
        }
        let quiet: Vec<&str> = judged().filter(|it| it.count == 0).map(|it| it.number).collect();
        if !quiet.is_empty() {
            write_line(f, 11, &format!("  nothing: {}", quiet.join(" ")))?;
        }
        Ok(())
    }
}

fn write_faults(f: &mut fmt::Formatter<'_>, all: &[&FaultReport], unlisted: u64) -> fmt::Result {
    let rows = &all[..all.len().min(MAX_ROWS)];
    let kinds = rows.iter().map(|fault| fault.kind.name().len()).max().unwrap_or(0);
    let places = rows.iter().map(|fault| fault.place().len()).max().unwrap_or(0);
    for fault in rows {
        let (severity, kind) = (fault.severity.name(), fault.kind.name());
        let lasted = fault.lasted().map_or("to the end".to_owned(), |s| format!("{s:.3} s"));
        let (from, place) = (to_millis(fault.start_seconds), fault.place());
        let row = format!("  {from}  {lasted:>10}  {severity:8}  {kind:kinds$}  {place:places$}  ");
        if row.len() + MIN_EVIDENCE <= width_of(f) {
            write!(f, "{row}")?;
            write_wrapped(f, row.len(), &fault.evidence)?;
        } else {
            write!(f, "{}\n{:16}", row.trim_end(), "")?;
            write_wrapped(f, 16, &fault.evidence)?;
        }
    }
    write_more(f, all.len() + usize::try_from(unlisted).unwrap_or(usize::MAX))
}

fn write_more(f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
    match all.checked_sub(MAX_ROWS) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(f, "  and {more} more; --json lists them"),
    }
}

/// How many columns there are.
fn width_of(f: &fmt::Formatter<'_>) -> usize {
    f.width().unwrap_or(WIDTH)
}

/// Writes a line, and on from a column in further ones.
fn write_line(f: &mut fmt::Formatter<'_>, column: usize, line: &str) -> fmt::Result {
    let columns = width_of(f);
    let text = line.trim_start_matches(' ');
    let begin = line.len() - text.len();
    write!(f, "{:begin$}", "")?;
    write_words(f, (columns, begin, column), text)
}

/// Writes words from a column on, and on from there in further lines.
fn write_wrapped(f: &mut fmt::Formatter<'_>, column: usize, text: &str) -> fmt::Result {
    let columns = width_of(f);
    write_words(f, (columns, column, column), text)
}

/// Writes words from the column `begin` on, up to `columns`, and on from `column` in further lines.
fn write_words(
    f: &mut impl fmt::Write,
    (columns, begin, column): (usize, usize, usize),
    text: &str,
) -> fmt::Result {
    let (mut at, mut fresh) = (begin, true);
    for word in text.split(' ') {
        let width = word.chars().count();
        if !fresh && at + 1 + width > columns {
            write!(f, "\n{:column$}", "")?;
            at = column;
        } else if !fresh {
            f.write_char(' ')?;
            at += 1;
        }
        f.write_str(word)?;
        (at, fresh) = (at + width, false);
    }
    writeln!(f)
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
        write_line(f, 2, &format!("Service {}{name}{provider}{rates}", self.service_id))?;
        if let Some(ahead) = self.picture_ahead_of_sound {
            write_line(f, 4, &format!("  picture is sent further ahead than sound by {ahead}"))?;
        }
        let width = width_of(f);
        for component in &self.components {
            writeln!(f, "{component:width$}")?;
            let details = component.details();
            if !details.is_empty() {
                write_line(f, 10, &format!("{:10}{details}", ""))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ComponentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut what = self.codec.to_owned();
        if let (Some(width), Some(height)) = (self.width, self.height) {
            write!(what, " {width}x{height}")?;
        }
        if let Some(milli) = self.frame_rate_milli {
            write!(what, " {:.2} fps", f64::from(milli) / 1000.0)?;
        }
        if let (Some(channels), Some(rate)) = (self.channels, self.sample_rate_hz) {
            write!(what, " {channels} ch {rate} Hz")?;
        }
        if let Some(language) = &self.language {
            write!(what, " {}", language.escape_debug())?;
        }
        let mean = mean_of(self.rates, self.bitrate_bps);
        let rate = mean.map_or(String::new(), |bps| Bitrate::from_bps(bps).to_string());
        let row = format!("  0x{:04X}  {:5}  {what:36}{rate:>11}", self.pid, self.kind);
        write!(f, "{}", row.trim_end())?;
        let note = match self.not_checked {
            Some(NotChecked::Secondary) => "not checked".to_owned(),
            Some(why) => format!("NOT CHECKED: {why}"),
            None if self.scrambled => "not looked at where scrambled".to_owned(),
            None if self.codec == Codec::Hevc.name() => "decode errors not available".to_owned(),
            None => String::new(),
        };
        let mut at = row.len();
        for (gap, part) in [(1, span_of(self.rates).trim_start()), (2, note.as_str())] {
            if part.is_empty() {
                continue;
            }
            let fits = at + gap + part.len() <= width_of(f);
            write!(f, "{}{part}", if fits { &"  "[..gap] } else { "\n          " })?;
            at = if fits { at + gap } else { 10 } + part.len();
        }
        Ok(())
    }
}

impl ComponentReport {
    /// What else is known of it.
    fn details(&self) -> String {
        let mut lines = Vec::new();
        let pictures = self.pictures.filter(|_| self.units > 0);
        lines.extend(pictures.map(|pictures| pictures.to_string()));
        lines.extend(self.sound.as_ref().map(ToString::to_string));
        lines.extend(self.lead.map(|lead| format!("sent ahead by {lead}")));
        let texts = self.texts.iter().take(MAX_TEXTS).map(|text| {
            let language = text.language.as_deref().unwrap_or("?").escape_debug();
            format!("{} {} {language}", text.kind.replace('_', " "), text.number)
        });
        let texts: Vec<String> = texts.collect();
        if !texts.is_empty() {
            let more = self.texts.len() - texts.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            lines.push(format!("lists {}{more}", texts.join(", ")));
        }
        let captions = [("608", self.cea608_first_seconds), ("708", self.cea708_first_seconds)];
        for (name, seconds) in captions {
            lines.extend(seconds.map(|s| format!("CEA-{name} captions from {}", to_millis(s))));
        }
        match self.first_seconds {
            Some(seconds) if self.kind == "text" => {
                lines.push(format!("seen from {}", to_millis(seconds)));
            }
            None if matches!(self.kind, "text" | "data") && self.cues.is_none() => {
                lines.push("nothing of it came".to_owned());
            }
            _ => {}
        }
        let scrambled = self.scrambled_since_seconds;
        lines.extend(scrambled.map(|s| format!("scrambled since {}", to_millis(s))));
        lines.join("; ")
    }
}

impl fmt::Display for ClockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service {}: PCR on 0x{:04X}", self.service_id, self.pid)?;
        if let (Some(mean), Some(max)) = (self.interval_mean_seconds, self.interval_max_seconds) {
            write!(f, " every {:.1} ms, {:.1} ms at most", mean * 1e3, max * 1e3)?;
        }
        match self.accuracy_ns {
            Some(nanos) => write!(f, "; {nanos} ns off at most"),
            None => Ok(()),
        }
    }
}

/// The mean of the same seconds that the least and the most are of; of all of it before there are any.
fn mean_of(rates: Option<RatesReport>, all: Option<u64>) -> Option<u64> {
    rates.map(|rates| rates.mean_bps).or(all)
}

/// The least and the most of its seconds.
fn span_of(rates: Option<RatesReport>) -> String {
    let rate = Bitrate::from_bps;
    rates.map_or(String::new(), |r| format!(" ({} to {})", rate(r.min_bps), rate(r.max_bps)))
}

pub(super) fn rate_of(bps: Option<u64>) -> String {
    bps.map_or(String::new(), |bps| format!(", {}", Bitrate::from_bps(bps)))
}

/// A moment of the stream as 00:01:03.
pub(super) fn to_seconds(seconds: f64) -> String {
    let whole = seconds as u64;
    format!("{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
}

/// A moment of the stream as 00:01:03.200.
pub(super) fn to_millis(seconds: f64) -> String {
    let millis = (seconds * 1e3).round() as u64;
    format!("{}.{:03}", to_seconds((millis / 1000) as f64), millis % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_on_a_player() {
        let cases = [
            (0.0, "00:00:00.000"),
            (63.2, "00:01:03.200"),
            (3599.9996, "01:00:00.000"),
            (360_000.0, "100:00:00.000"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(to_millis(seconds), expected);
        }
        assert_eq!(to_seconds(63.999), "00:01:03");
    }

    #[test]
    fn words_go_on_below_where_they_began() {
        for (columns, expected) in [(WIDTH, 3), (80, 3), (60, 4)] {
            let mut text = "x ".to_owned();
            write_words(&mut text, (columns, 2, 4), &["word"; 40].join(" ")).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), expected);
            let fits = |line: &&str| line.len() <= columns && !line.ends_with(' ');
            assert!(lines.iter().all(fits), "{text}");
            assert!(lines[0].starts_with("x word") && lines[1].starts_with("    word"), "{text}");
            assert!(lines[0].len() + 5 > columns, "{text}");
        }
    }
}
