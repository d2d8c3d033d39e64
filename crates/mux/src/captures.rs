//! Real captures, which are no part of the project.

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The folder of captures: that which `TALLYLIGHT_SAMPLES` states, or `shared/ts-samples` beside the project or further up.
///
/// Where there is none it says so, past the harness, which shows nothing that a passing test prints.
///
/// # Panics
///
/// If the folder that is stated is not there.
#[must_use]
pub fn folder(what: &str) -> Option<PathBuf> {
    if let Some(stated) = env::var_os("TALLYLIGHT_SAMPLES").map(PathBuf::from) {
        assert!(stated.is_dir(), "TALLYLIGHT_SAMPLES is {}, which is not there", stated.display());
        return Some(stated);
    }
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.map(|folder| folder.join("shared/ts-samples")).find(|path| path.is_dir());
    if found.is_none() {
        let note = format!("SKIPPED, no captures (TALLYLIGHT_SAMPLES): {what}\n");
        // Where nobody listens, nobody is to be told.
        let _ = io::stderr().write_all(note.as_bytes());
    }
    found
}
