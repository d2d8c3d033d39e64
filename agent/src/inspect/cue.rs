//! What a cue for a splice says (SCTE 35).

use std::fmt;

use serde::Serialize;
use tallylight_ts::{Cue, CueCounters, Segmentation, Splice, SpliceCommand};

use super::rounded;

/// Characters of an identifier that are shown to people.
const SHOWN: usize = 64;

/// One cue. What it does not state is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CueReport {
    /// When it applies: in media time for a file, else since the probe began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splice_seconds: Option<f64>,
    /// How long before that it came, by the program's clock; negative if it came late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preroll_seconds: Option<f64>,
    /// What is added to its times.
    pub pts_adjustment_seconds: f64,
    /// The splice's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<u32>,
    /// The splice of this number is called off.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// Out of the network feed, or back into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_network: Option<bool>,
    /// As soon as may be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub immediate: bool,
    /// How long the break is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// Whether the break ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_return: Option<bool>,
    /// Splices at times of day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<u8>,
    /// Its segmentation descriptors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segmentations: Vec<SegmentReport>,
}

/// One segmentation descriptor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegmentReport {
    /// Its number.
    pub event_id: u32,
    /// What begins or ends; `null` where the descriptor of this number is called off.
    #[serde(rename = "type")]
    pub kind: Option<&'static str>,
    /// The same as a number.
    pub type_id: Option<u8>,
    /// How long it is.
    pub duration_seconds: Option<f64>,
    /// How its content is identified.
    pub upid_type: Option<&'static str>,
    /// What identifies it: as text where it is printable ASCII alone, else in hexadecimal digits after `0x`.
    pub upid: Option<String>,
}

/// What was counted of the cues of one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CuesReport {
    /// Cues, each once.
    pub cues: u64,
    /// Repetitions of them.
    pub repeats: u64,
    /// Sections without a cue that keep the PID alive.
    pub heartbeats: u64,
    /// Sections that are damaged.
    pub damaged: u64,
}

impl From<CueCounters> for CuesReport {
    fn from(counters: CueCounters) -> Self {
        let CueCounters { cues, repeats, heartbeats, damaged } = counters;
        Self { cues, repeats, heartbeats, damaged }
    }
}

impl CueReport {
    /// Writes the report of a cue that came at so many seconds.
    #[must_use]
    pub fn new(cue: &Cue, came: Option<f64>, live: bool) -> Self {
        let preroll_seconds = cue.preroll_ms.map(|ms| ms as f64 / 1000.0);
        let report = Self {
            splice_seconds: match live {
                // Who watches live counts from when it came.
                true => came.zip(preroll_seconds).map(|(came, preroll)| came + preroll),
                false => cue.media.map(rounded),
            },
            preroll_seconds,
            pts_adjustment_seconds: cue.info.pts_adjustment as f64 / 90_000.0,
            segmentations: cue.info.segmentations.iter().map(SegmentReport::new).collect(),
            ..Self::default()
        };
        match cue.info.command {
            SpliceCommand::Insert(insert) => {
                let report = Self { event_id: Some(insert.event_id), ..report };
                match insert.splice {
                    Some(splice) => report.with(&splice),
                    None => Self { cancelled: true, ..report },
                }
            }
            SpliceCommand::Schedule(count) => Self { scheduled: Some(count), ..report },
            SpliceCommand::TimeSignal(time) => Self { immediate: time.is_none(), ..report },
            _ => report,
        }
    }

    fn with(self, splice: &Splice) -> Self {
        Self {
            out_of_network: Some(splice.out),
            immediate: splice.immediate,
            duration_seconds: splice.duration.map(rounded),
            auto_return: splice.duration.map(|_| splice.auto_return),
            ..self
        }
    }
}

impl SegmentReport {
    fn new(segmentation: &Segmentation) -> Self {
        let segment = segmentation.segment.as_ref();
        Self {
            event_id: segmentation.event_id,
            kind: segment.map(|segment| segment.type_name()),
            type_id: segment.map(|segment| segment.type_id),
            duration_seconds: segment.and_then(|segment| segment.duration).map(rounded),
            upid_type: segment.map(|segment| segment.upid_name()),
            upid: segment.and_then(|segment| identifier(&segment.upid)),
        }
    }
}

/// An identifier in words; `None` if there is none.
fn identifier(upid: &[u8]) -> Option<String> {
    if upid.is_empty() {
        return None;
    }
    Some(match upid.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        true => upid.iter().copied().map(char::from).collect(),
        false => upid.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02X}")),
    })
}

/// What follows the command's name.
impl fmt::Display for CueReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.event_id {
            write!(f, " {id}")?;
        }
        if self.cancelled {
            write!(f, ", cancelled")?;
        }
        match self.out_of_network {
            Some(true) => write!(f, ", out")?,
            Some(false) => write!(f, ", in")?,
            None => {}
        }
        if self.immediate {
            write!(f, ", at once")?;
        }
        if let Some(count) = self.scheduled {
            write!(f, " of {count} splices")?;
        }
        if let Some(at) = self.splice_seconds {
            write!(f, ", for {at:.3} s")?;
        }
        match self.preroll_seconds {
            Some(late) if late < 0.0 => write!(f, " (LATE by {:.3} s)", -late)?,
            Some(preroll) => write!(f, " (pre-roll {preroll:.3} s)")?,
            None => {}
        }
        if let Some(duration) = self.duration_seconds {
            write!(f, ", lasts {duration:.3} s")?;
        }
        if self.auto_return == Some(true) {
            write!(f, ", returns by itself")?;
        }
        for segment in &self.segmentations {
            match segment.kind {
                Some(kind) => write!(f, ", {kind} {}", segment.event_id)?,
                None => write!(f, ", segment {} cancelled", segment.event_id)?,
            }
            if let Some(duration) = segment.duration_seconds {
                write!(f, " of {duration:.3} s")?;
            }
            if let Some((kind, upid)) = segment.upid_type.zip(segment.upid.as_ref()) {
                write!(f, " ({kind} {upid:.SHOWN$})")?;
            }
        }
        Ok(())
    }
}
