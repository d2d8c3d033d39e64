//! What changed in a stream, and when.

use std::fmt;

use serde::Serialize;
use tallylight_model::{MonoTime, Pid};
use tallylight_ts::{ChangeKind, Coding, Cue, Position, StructureChange};

use super::{CueReport, seconds, text::to_millis};

/// Events that are listed; what is beyond is counted.
const MAX_EVENTS: usize = 10_000;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventReport {
    /// The kind.
    pub kind: &'static str,
    /// When: in media time for a file, else since the probe began. `null` before the first clock.
    pub seconds: Option<f64>,
    /// Packets before it.
    pub packet: u64,
    /// In which service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_id: Option<u16>,
    /// On which PID: the component's, or that of the table that says so.
    pub pid: u16,
    /// What it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Is>,
    /// What it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Is>,
    /// What a cue for a splice says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cue: Option<CueReport>,
}

/// What something is, before or after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Is {
    /// A PID.
    Pid(u16),
    /// A version number.
    Version(u8),
    /// A codec, language or role.
    Word(String),
}

/// Gathers events.
#[derive(Debug, Default)]
pub struct Events {
    began: Option<MonoTime>,
    list: Vec<EventReport>,
    more: u64,
}

impl Events {
    /// `began` is when a live probe began; `None` for a recording.
    #[must_use]
    pub const fn new(began: Option<MonoTime>) -> Self {
        Self { began, list: Vec::new(), more: 0 }
    }

    /// Takes a change of what the stream carries; returns what is told of it.
    pub fn change(&mut self, change: &StructureChange) -> EventReport {
        let (from, to) = sides(&change.kind);
        self.add(EventReport {
            kind: change.kind.name(),
            seconds: self.seconds(change.position),
            packet: change.position.packet,
            service_id: Some(change.program),
            pid: change.pid.get(),
            from,
            to,
            cue: None,
        })
    }

    /// Takes a cue for a splice; returns what is told of it.
    pub fn cue(&mut self, cue: &Cue) -> EventReport {
        let seconds = self.seconds(cue.position);
        self.add(EventReport {
            kind: cue.info.command.name(),
            seconds,
            packet: cue.position.packet,
            service_id: cue.program,
            pid: cue.pid.get(),
            from: None,
            to: None,
            cue: Some(CueReport::new(cue, seconds, self.began.is_some())),
        })
    }

    fn add(&mut self, event: EventReport) -> EventReport {
        if self.list.len() >= MAX_EVENTS {
            self.more += 1;
        } else {
            self.list.push(event.clone());
        }
        event
    }

    /// The events, earliest first, and how many more there were.
    pub(super) fn finish(mut self) -> (Vec<EventReport>, u64) {
        self.list.sort_by_key(|event| event.packet);
        (self.list, self.more)
    }

    fn seconds(&self, at: Position) -> Option<f64> {
        seconds(at, self.began)
    }
}

/// What was before a change, and what is after it.
fn sides(kind: &ChangeKind) -> (Option<Is>, Option<Is>) {
    let pid = |pid: &Pid| Some(Is::Pid(pid.get()));
    let word = |word: &str| Some(Is::Word(word.to_owned()));
    let coding = |coding: &Coding| word(coding.name());
    match kind {
        ChangeKind::ServiceAppeared
        | ChangeKind::ServiceGone
        | ChangeKind::Stopped
        | ChangeKind::Resumed => (None, None),
        ChangeKind::PmtVersion { from, to } => (Some(Is::Version(*from)), Some(Is::Version(*to))),
        ChangeKind::ClockMoved { from, to } => {
            (from.as_ref().and_then(pid), to.as_ref().and_then(pid))
        }
        ChangeKind::PmtMoved { from } | ChangeKind::ComponentMoved { from } => (pid(from), None),
        ChangeKind::ComponentAppeared { coding: to } => (None, coding(to)),
        ChangeKind::ComponentGone { coding: from } => (coding(from), None),
        ChangeKind::CodingChanged { from, to } => (coding(from), coding(to)),
        ChangeKind::LanguageChanged { from, to } => {
            (from.as_deref().and_then(word), to.as_deref().and_then(word))
        }
        ChangeKind::RoleChanged { from, to } => (word(from.name()), word(to.name())),
    }
}

impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "0x{pid:04X}"),
            Self::Version(version) => write!(f, "{version}"),
            Self::Word(word) => write!(f, "{}", word.escape_debug()),
        }
    }
}

impl EventReport {
    /// When it was, as twelve columns.
    pub(super) fn moment(&self) -> String {
        self.seconds.map_or("at the begin".to_owned(), to_millis)
    }
}

/// What it is.
impl fmt::Display for EventReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(service) = self.service_id {
            write!(f, "service {service} ")?;
        }
        write!(f, "PID 0x{:04X} {}", self.pid, self.kind.replace('_', " "))?;
        if let Some(cue) = &self.cue {
            return write!(f, "{cue}");
        }
        match (&self.from, &self.to) {
            (None, None) => Ok(()),
            (Some(from), Some(to)) => write!(f, ": {from} to {to}"),
            (Some(from), None) => write!(f, ": was {from}"),
            (None, Some(to)) => write!(f, ": {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn events_stand_by_place_and_are_bounded() {
        let change = |packet, kind| StructureChange {
            kind,
            program: 1,
            pid: Pid::from_bits(0x101),
            position: Position {
                packet,
                at: MonoTime::ZERO,
                media: Some(Duration::from_millis(packet * 10)),
            },
        };
        let mut events = Events::new(None);
        let (from, to) = (Some("eng".to_owned()), None);
        events.change(&change(300, ChangeKind::LanguageChanged { from, to }));
        events.change(&change(200, ChangeKind::Stopped));
        events.change(&change(400, ChangeKind::PmtVersion { from: 3, to: 4 }));
        for _ in 0..MAX_EVENTS {
            events.change(&change(500, ChangeKind::Resumed));
        }
        let (list, more) = events.finish();
        assert_eq!((list.len(), more), (MAX_EVENTS, 3));
        let lines: Vec<String> =
            list[..3].iter().map(|it| format!("{}  {it}", it.moment())).collect();
        assert_eq!(
            lines,
            [
                "00:00:02.000  service 1 PID 0x0101 component stopped",
                "00:00:03.000  service 1 PID 0x0101 language changed: was eng",
                "00:00:04.000  service 1 PID 0x0101 pmt version: 3 to 4",
            ]
        );
        let json = serde_json::to_value(&list[2]).unwrap();
        assert_eq!((json["from"].as_u64(), json["to"].as_u64()), (Some(3), Some(4)));
    }
}
