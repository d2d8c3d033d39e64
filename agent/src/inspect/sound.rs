//! What was measured of a sound.

use std::fmt;

use serde::Serialize;

use crate::sound::Levels;

/// What was measured of a sound that was decoded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SoundReport {
    /// Loudness of all of it in LUFS, gated (ITU-R BS.1770).
    pub integrated_lufs: Option<f64>,
    /// From what is quiet to what is loud (EBU Tech 3342).
    pub range_lu: Option<f64>,
    /// The loudest 3 s.
    pub short_term_max_lufs: Option<f64>,
    /// The largest true peak.
    pub true_peak_dbtp: Option<f64>,
    /// Its channels.
    pub channels: Vec<ChannelReport>,
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelReport {
    /// Where it is heard.
    pub place: &'static str,
    /// Its mean level.
    pub rms_dbfs: f64,
}

impl From<&Levels> for SoundReport {
    fn from(levels: &Levels) -> Self {
        let Levels { channels, true_peak, loudness } = levels;
        let one = |(place, rms): &(crate::decode::ChannelPlace, f32)| ChannelReport {
            place: place.name(),
            rms_dbfs: tenths(*rms),
        };
        Self {
            integrated_lufs: loudness.integrated.map(tenths),
            range_lu: loudness.range.map(tenths),
            short_term_max_lufs: loudness.short_term_max.map(tenths),
            true_peak_dbtp: true_peak.map(tenths),
            channels: channels.iter().map(one).collect(),
        }
    }
}

/// To a tenth, as no meter is more exact.
fn tenths(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

impl fmt::Display for SoundReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.integrated_lufs {
            Some(loudness) => write!(f, "loudness {loudness:.1} LUFS")?,
            None => write!(f, "no loudness")?,
        }
        if let Some(range) = self.range_lu {
            write!(f, ", range {range:.1} LU")?;
        }
        if let Some(most) = self.short_term_max_lufs {
            write!(f, ", {most:.1} in the loudest 3 s")?;
        }
        if let Some(peak) = self.true_peak_dbtp {
            write!(f, ", true peak {peak:.1} dBTP")?;
        }
        let channels = self.channels.iter().map(|it| format!("{} {:.1}", it.place, it.rms_dbfs));
        let channels: Vec<String> = channels.collect();
        write!(f, "; {} dBFS", channels.join(" "))
    }
}
