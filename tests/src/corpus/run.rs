//! Runs ffmpeg and ffprobe.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// A program of ffmpeg that ends with this process, even where that is killed.
fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", program])
        .args(["-hide_banner", "-threads", "1"])
        .stdin(Stdio::null());
    command
}

/// Encodes into a file that is there only once it is whole; `coding` is split at spaces.
pub(super) fn make(arguments: &[impl AsRef<OsStr>], coding: &str, file: &Path) -> Result<()> {
    let part = PathBuf::from(format!("{}.part", file.display()));
    let output = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-filter_complex_threads", "1"])
        .args(arguments)
        .args(coding.split_ascii_whitespace())
        .arg(&part)
        .output()
        .context("cannot run ffmpeg; script/setup installs it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffmpeg failed: {}", said.trim());
    fs::rename(&part, file).with_context(|| format!("cannot keep {}", file.display()))
}

/// What ffmpeg says on standard error while it runs a file through filters.
pub(super) fn said(arguments: &[&OsStr]) -> Result<String> {
    let output = command("ffmpeg")
        .args(["-nostdin", "-nostats"])
        .args(arguments)
        .args(["-f", "null", "-"])
        .output()
        .context("cannot run ffmpeg; script/setup installs it")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "ffmpeg failed: {}", said.trim());
    Ok(said)
}

/// The types of a video's pictures (`I`, `P`, `B`) by presentation stamp.
pub(super) fn picture_types(file: &Path) -> Result<BTreeMap<u64, char>> {
    let output = command("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", "frame=pts,pict_type"])
        .arg(file)
        .output()
        .context("cannot run ffprobe; it comes with ffmpeg")?;
    ensure!(output.status.success(), "ffprobe cannot read {}", file.display());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let types = said.lines().filter_map(|line| {
        let mut fields = line.split(',');
        Some((fields.next()?.parse().ok()?, fields.next()?.chars().next()?))
    });
    Ok(types.collect())
}

/// Integrated loudness of a file (EBU R128), in LUFS.
pub(super) fn loudness(file: &Path) -> Result<f64> {
    let input = [OsStr::new("-i"), file.as_os_str()];
    let said =
        said(&[&input[..], &["-af".as_ref(), "ebur128=framelog=verbose".as_ref()]].concat())?;
    let value = said.rsplit("I:").next().and_then(|rest| rest.split_ascii_whitespace().next());
    value.and_then(|value| value.parse().ok()).context("ffmpeg tells no loudness")
}
