//! What `tallylight-agent probe` tells.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tallylight_model::{ProfileName, Severity};

use super::Told;
use crate::corpus::truth::{Expected, Truth};

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

/// Probes a clip of a folder.
pub(super) fn told(
    agent: &Path,
    folder: &Path,
    truth: &Truth,
    profile: ProfileName,
) -> Result<Vec<Told>> {
    let file = folder.join(format!("{}.ts", truth.clip));
    let Expected { lineup, profile: keys, slates } = truth.expected.clone().unwrap_or_default();
    let stated = tempfile::tempdir().context("cannot make a folder")?;
    let (expect, config) = (stated.path().join("expect.toml"), stated.path().join("config.toml"));
    fs::write(&expect, lineup)?;
    let own = format!("[profiles.own]\nbased_on = \"{}\"\n{keys}\n", profile.name());
    fs::write(&config, own)?;
    let mut command = Command::new(agent);
    command.args(["probe", "--json", "--expect"]).arg(&expect);
    match keys.is_empty() {
        true => command.args(["--profile", profile.name()]),
        false => command.args(["--profile", "own", "--config"]).arg(&config),
    };
    if let Some(slates) = slates {
        command.arg("--slates").arg(folder.join(slates));
    }
    let output =
        command.arg(&file).output().with_context(|| format!("cannot run {}", agent.display()))?;
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
