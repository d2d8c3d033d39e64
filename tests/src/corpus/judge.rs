//! Holds what a tool tells of each clip against what is true of it.
//!
//! A told fault meets an event of its kind that it overlaps. Every event that no fault meets is missed; every fault that meets
//! none, or one that another met before, is a false alarm; informational ones only where they are about picture or sound.
//! Recall alone would reward a tool that tells everything.
//!
//! Of ffmpeg's filters, at their defaults, only black, freeze and silence are asked. They know neither severity nor hold: what
//! they tell is held against what the sensitive profile is to tell.

mod compare;
mod ffmpeg;
mod probe;
mod table;

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use tallylight_model::Severity;

use super::{
    at_once,
    truth::{PROFILES, Truth},
    wanted,
};
use compare::Compared;

/// A fault as a tool told it, in media time.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    kind: String,
    /// None where the tool knows none.
    severity: Option<Severity>,
    onset_seconds: f64,
    end_seconds: Option<f64>,
}

/// What came of judging a corpus; shows itself as tables.
#[derive(Debug)]
pub struct Judgement {
    /// By clip and tool.
    rows: Vec<Compared>,
}

impl Judgement {
    /// What the agent told wrongly or not at all: clip, profile, and what it is.
    #[must_use]
    pub fn flaws(&self) -> Vec<String> {
        let ours = self.rows.iter().filter(|row| row.tool != ffmpeg::TOOL);
        ours.flat_map(Compared::flaws).collect()
    }

    /// How many events the agent was to tell, by both profiles.
    #[must_use]
    pub fn expected(&self) -> usize {
        let ours = self.rows.iter().filter(|row| row.tool != ffmpeg::TOOL);
        ours.map(|row| row.found.len() + row.missed.len()).sum()
    }
}

/// Whether ffmpeg's filters are run as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// They are.
    Ffmpeg,
    /// They are not.
    Nothing,
}

/// Judges the clips of a folder that `only` names.
///
/// # Errors
/// A truth cannot be read, there is none, or a tool cannot be run.
pub fn judge(folder: &Path, only: &[String], agent: &Path, beside: Beside) -> Result<Judgement> {
    let truths = truths(folder, only)?;
    let rows = at_once(truths, |truth: Truth| {
        let clip = folder.join(format!("{}.ts", truth.clip));
        let mut rows = Vec::new();
        for profile in PROFILES {
            let told = probe::told(agent, folder, &truth, profile)?;
            rows.push(Compared::by_profile(&truth, profile, told));
        }
        if beside == Beside::Ffmpeg {
            rows.push(Compared::by_ffmpeg(&truth, ffmpeg::told(&clip)?));
        }
        Ok(rows)
    })?;
    Ok(Judgement { rows: rows.into_iter().flatten().collect() })
}

fn truths(folder: &Path, only: &[String]) -> Result<Vec<Truth>> {
    let mut truths: Vec<Truth> = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|ending| ending == "json") && wanted(&name, only) {
            let text = fs::read_to_string(&path)?;
            let truth = serde_json::from_str(&text);
            truths.push(truth.with_context(|| format!("{} is no truth", path.display()))?);
        }
    }
    ensure!(!truths.is_empty(), "no clips in {}", folder.display());
    truths.sort_by(|a, b| a.clip.cmp(&b.clip));
    Ok(truths)
}
