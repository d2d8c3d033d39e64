//! What `tallylight-agent probe` tells.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tallylight_model::{ProfileName, Severity};

use super::Told;

#[derive(Deserialize)]
struct Report {
    faults: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    kind: String,
    severity: String,
    start_seconds: f64,
    end_seconds: Option<f64>,
}

/// Probes a file.
pub(super) fn told(agent: &Path, file: &Path, profile: ProfileName) -> Result<Vec<Told>> {
    let output = Command::new(agent)
        .args(["probe", "--json", "--profile", profile.name()])
        .arg(file)
        .output()
        .with_context(|| format!("cannot run {}", agent.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        matches!(output.status.code(), Some(0 | 1)),
        "probe of {} failed: {}",
        file.display(),
        said.trim()
    );
    let report: Report = serde_json::from_slice(&output.stdout).context("probe wrote no report")?;
    let told = report.faults.into_iter().map(|fault| Told {
        severity: Severity::from_name(&fault.severity),
        kind: fault.kind,
        onset_seconds: fault.start_seconds,
        end_seconds: fault.end_seconds,
    });
    Ok(told.collect())
}
