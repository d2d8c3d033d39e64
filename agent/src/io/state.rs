//! What the agent keeps on disk: its run's number and the last assignment.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tallylight_model::Epoch;

use super::clock;
use crate::assignment::MAX_BYTES;

const EPOCH: &str = "epoch";
const ASSIGNMENT: &str = "assignment.json";

/// The folder that `state_dir` names.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

impl State {
    /// Makes the folder if need be.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("state_dir: cannot make {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Takes the number of this run: higher than every one before. It starts from the wall clock, so that a folder that was
    /// lost does not begin at one again, and grows by itself where the clock was set back.
    ///
    /// # Errors
    /// It cannot be written: then the next run might take the same.
    pub fn next_epoch(&self) -> anyhow::Result<Epoch> {
        let last = fs::read_to_string(self.folder.join(EPOCH)).ok();
        let last: u64 = last.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let clock = u64::try_from(clock::wall().unix_millis()).unwrap_or(0);
        let next = clock.max(last.saturating_add(1));
        self.replace(EPOCH, format!("{next}\n").as_bytes())?;
        Ok(Epoch(next))
    }

    /// The assignment as it was last kept.
    #[must_use]
    pub fn assignment(&self) -> Option<Vec<u8>> {
        let kept = fs::read(self.folder.join(ASSIGNMENT)).ok()?;
        (kept.len() <= MAX_BYTES).then_some(kept)
    }

    /// Keeps an assignment for the next start.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_assignment(&self, json: &[u8]) -> anyhow::Result<()> {
        self.replace(ASSIGNMENT, json)
    }

    /// Replaces a file so that it is old or new whatever happens meanwhile. URLs may hold credentials: only the owner reads.
    fn replace(&self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let (path, draft) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let write = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            options.create(true).write(true).truncate(true).mode(0o600);
            let mut file = options.open(&draft)?;
            file.write_all(contents)?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        write().with_context(|| format!("state_dir: cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_upwards_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("a/b")).unwrap();
        let first = state.next_epoch().unwrap();
        let second = state.next_epoch().unwrap();
        assert!(second > first);
        let future = u64::MAX / 2;
        state.replace(EPOCH, future.to_string().as_bytes()).unwrap();
        assert_eq!(state.next_epoch().unwrap(), Epoch(future + 1));
        state.replace(EPOCH, b"garbage").unwrap();
        assert!(state.next_epoch().unwrap() >= first, "a lost number begins from the clock");
    }

    #[test]
    fn an_assignment_is_kept_for_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.assignment(), None);
        state.keep_assignment(b"{}").unwrap();
        assert_eq!(state.assignment().as_deref(), Some(b"{}".as_slice()));
    }
}
