//! Streams made by ffmpeg.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// Runs ffmpeg into a transport stream that is there only once it is whole.
///
/// # Errors
/// ffmpeg is missing or fails, or the file cannot be written.
pub(super) fn make(arguments: &[impl AsRef<OsStr>], file: &Path) -> anyhow::Result<()> {
    let part = PathBuf::from(format!("{}.part", file.display()));
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .args(["-f", "mpegts"])
        .arg(&part)
        .stdin(Stdio::null())
        .output()
        .context("cannot run ffmpeg; script/setup installs it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffmpeg failed: {said}");
    fs::rename(&part, file).context("cannot keep the clip")
}
