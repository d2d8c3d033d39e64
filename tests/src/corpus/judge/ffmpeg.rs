//! What ffmpeg's filters tell at their defaults.

use std::{ffi::OsStr, path::Path};

use anyhow::{Context, Result};

use super::Told;
use crate::{
    corpus::{run, stream},
    world::scan::Scan,
};

/// What it is called in tables.
pub(super) const TOOL: &str = "ffmpeg";
/// The kinds that it is asked for.
pub(super) const KINDS: [&str; 3] = ["black", "freeze", "silence"];

/// Runs `blackdetect`, `freezedetect` and `silencedetect` over a file.
pub(super) fn told(file: &Path) -> Result<Vec<Told>> {
    let zero = stream::zero_seconds(&Scan::of(&std::fs::read(file)?))
        .with_context(|| format!("{} has no clock", file.display()))?;
    let filters = ["-vf", "blackdetect,freezedetect", "-af", "silencedetect"].map(OsStr::new);
    let input = ["-copyts".as_ref(), "-i".as_ref(), file.as_os_str()];
    Ok(read(&run::said(&[&input[..], &filters].concat())?, zero))
}

/// Reads what they said; their times are presentation stamps.
fn read(said: &str, zero: f64) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    let mut tell = |kind: &str, onset: f64, end: Option<f64>| {
        told.push(Told {
            kind: kind.to_owned(),
            severity: None,
            onset_seconds: onset - zero,
            end_seconds: end.map(|end| end - zero),
        });
    };
    let (mut freeze, mut silence) = (None, None);
    for line in said.lines() {
        let value = |name: &str| -> Option<f64> {
            let (_, rest) = line.split_once(name)?;
            rest.split_ascii_whitespace().next()?.parse().ok()
        };
        if let (Some(start), Some(end)) = (value("black_start:"), value("black_end:")) {
            tell("black", start, Some(end));
        } else if let Some(start) = value("freeze_start: ") {
            freeze = Some(start);
        } else if let Some(end) = value("freeze_end: ") {
            freeze.take().into_iter().for_each(|start| tell("freeze", start, Some(end)));
        } else if let Some(start) = value("silence_start: ") {
            silence = Some(start);
        } else if let Some(end) = value("silence_end: ") {
            silence.take().into_iter().for_each(|start| tell("silence", start, Some(end)));
        }
    }
    freeze.into_iter().for_each(|start| tell("freeze", start, None));
    silence.into_iter().for_each(|start| tell("silence", start, None));
    told
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn times_of_the_filters_become_media_time() {
        let said = "[blackdetect @ 0x1] black_start:8.4 black_end:20.4 black_duration:12\n\
                    [silencedetect @ 0x2] silence_start: 5.25\n\
                    [silencedetect @ 0x2] silence_end: 9 | silence_duration: 3.75\n\
                    [freezedetect @ 0x3] lavfi.freezedetect.freeze_start: 30\n\
                    [freezedetect @ 0x3] lavfi.freezedetect.freeze_duration: 4\n";
        let told = read(said, 1.0);
        let told: Vec<_> =
            told.iter().map(|it| (it.kind.as_str(), it.onset_seconds, it.end_seconds)).collect();
        assert_eq!(
            told,
            [("black", 7.4, Some(19.4)), ("silence", 4.25, Some(8.0)), ("freeze", 29.0, None)]
        );
    }
}
