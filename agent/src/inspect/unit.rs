//! What is said of a component's pictures, and of how long before their time data are sent.

use std::{fmt, time::Duration};

use serde::Serialize;
use tallylight_model::MonoTime;
use tallylight_ts::{Offset, Pictures, Sizes};

use super::{rounded, seconds};

/// The pictures of a component.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PicturesReport {
    /// I pictures.
    pub i: SizesReport,
    /// P pictures.
    pub p: SizesReport,
    /// B pictures.
    pub b: SizesReport,
    /// Those whose type does not show.
    pub unknown: SizesReport,
    /// Groups from one picture that decoding can start at up to the next; absent before the first whole one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<GroupsReport>,
}

/// Pictures of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizesReport {
    /// How many.
    pub count: u64,
    /// Their mean size without filler.
    pub mean_bytes: Option<u64>,
}

/// Groups of pictures that are whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupsReport {
    /// How many.
    pub count: u64,
    /// Pictures in the shortest.
    pub min_pictures: u64,
    /// Pictures in one, on average.
    pub mean_pictures: f64,
    /// Pictures in the longest.
    pub max_pictures: u64,
    /// The shortest by presentation stamps.
    pub min_seconds: Option<f64>,
    /// The mean by presentation stamps.
    pub mean_seconds: Option<f64>,
    /// The longest by presentation stamps.
    pub max_seconds: Option<f64>,
}

/// An offset over the stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OffsetReport {
    /// The least.
    pub min_seconds: f64,
    /// The mean.
    pub mean_seconds: f64,
    /// The most.
    pub max_seconds: f64,
    /// By how much the mean of the last second is over that of the first.
    pub drift_seconds: f64,
    /// From the end of that first second to the end of that last one.
    pub span_seconds: f64,
    /// The largest change of the mean from one second to the next.
    pub step_seconds: Option<f64>,
    /// Where the second of those two seconds ended.
    pub step_at_seconds: Option<f64>,
}

impl From<Sizes> for SizesReport {
    fn from(sizes: Sizes) -> Self {
        Self { count: sizes.count, mean_bytes: sizes.bytes.checked_div(sizes.count) }
    }
}

impl From<Pictures> for PicturesReport {
    fn from(pictures: Pictures) -> Self {
        let Pictures { i, p, b, unknown, groups } = pictures;
        let mean = |time: Duration| rounded(time.div_f64(groups.timed as f64));
        Self {
            i: i.into(),
            p: p.into(),
            b: b.into(),
            unknown: unknown.into(),
            groups: groups.bounds.map(|(min_pictures, max_pictures)| GroupsReport {
                count: groups.count,
                min_pictures,
                mean_pictures: thousandths(groups.pictures as f64 / groups.count as f64),
                max_pictures,
                min_seconds: groups.time_bounds.map(|(min, _)| rounded(min)),
                mean_seconds: groups.time_bounds.map(|_| mean(groups.time)),
                max_seconds: groups.time_bounds.map(|(_, max)| rounded(max)),
            }),
        }
    }
}

impl OffsetReport {
    /// Writes the report of an offset. `began` is when a live probe began, `None` for a recording.
    #[must_use]
    pub fn new(offset: &Offset, began: Option<MonoTime>) -> Self {
        let of = |micros: i64| thousandths(micros as f64 / 1e6);
        Self {
            min_seconds: of(offset.min_us),
            mean_seconds: of(offset.mean_us),
            max_seconds: of(offset.max_us),
            drift_seconds: of(offset.last_us - offset.first_us),
            span_seconds: rounded(offset.span),
            step_seconds: offset.step.map(|(step, _)| of(step)),
            step_at_seconds: offset.step.and_then(|(_, here)| seconds(here, began)),
        }
    }
}

/// To three places.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl fmt::Display for PicturesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("I", self.i), ("P", self.p), ("B", self.b), ("?", self.unknown)];
        let mut first = true;
        for (name, sizes) in kinds.into_iter().filter(|(_, sizes)| sizes.count > 0) {
            let comma = if std::mem::take(&mut first) { "" } else { ", " };
            let bytes = sizes.mean_bytes.unwrap_or_default();
            write!(f, "{comma}{} {name} of {bytes} bytes", sizes.count)?;
        }
        let Some(groups) = self.groups else { return Ok(()) };
        write!(f, ", groups of {} to {} pictures", groups.min_pictures, groups.max_pictures)?;
        match groups.min_seconds.zip(groups.max_seconds) {
            Some((min, max)) => write!(f, " ({min:.3} to {max:.3} s)"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for OffsetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min_seconds, mean_seconds, max_seconds, drift_seconds, .. } = self;
        write!(f, "{mean_seconds:.3} s ({min_seconds:.3} to {max_seconds:.3})")?;
        if drift_seconds.abs() >= SHOWN_DRIFT {
            write!(f, ", {drift_seconds:+.3} s by the end")?;
        }
        match self.step_seconds.zip(self.step_at_seconds) {
            Some((step, at)) if step.abs() >= SHOWN_DRIFT => {
                write!(f, ", {step:+.3} s at {at:.3} s")
            }
            _ => Ok(()),
        }
    }
}

/// Changes of an offset under this are what buffers do.
const SHOWN_DRIFT: f64 = 0.05;
