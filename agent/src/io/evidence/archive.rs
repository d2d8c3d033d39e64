//! The folder of clips: each appears whole under its name, and the oldest make room for the newest.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use nix::sys::statvfs::statvfs;

use crate::{evidence::is_clip_name, exposition::ClipResult, io::outbox::Outbox};

/// How the file of a clip that is not complete ends.
const PART: &str = ".part";
/// This much of the disk stays free, or one part in so many of a small one: others write there, too.
const FREE_BYTES: u64 = 1_000_000_000;
const FREE_SHARE: u64 = 20;

/// Everything in the folder that is ours.
pub(super) struct Archive {
    folder: PathBuf,
    budget: u64,
    /// Complete clips by name, which is by time, with their sizes.
    complete: BTreeMap<String, u64>,
    open: BTreeMap<u64, Open>,
    used: u64,
    /// The last attempt to write failed, and that was said.
    failing: bool,
    /// Says how much of the disk is free, and how much there is; `None` where that cannot be said.
    disk: fn(&Path) -> Option<Disk>,
    outbox: Arc<Outbox>,
}

/// Bytes of a disk.
#[derive(Clone, Copy)]
struct Disk {
    free: u64,
    all: u64,
}

struct Open {
    name: String,
    file: File,
    bytes: u64,
    whole: bool,
}

impl Archive {
    /// Looks at what is in the folder. What a crash cut short is kept as it is.
    pub(super) fn open(folder: PathBuf, budget: u64, outbox: Arc<Outbox>) -> Self {
        Self::on(disk_of, folder, budget, outbox)
    }

    fn on(
        disk: fn(&Path) -> Option<Disk>,
        folder: PathBuf,
        budget: u64,
        outbox: Arc<Outbox>,
    ) -> Self {
        let mut archive = Self {
            folder,
            budget,
            complete: BTreeMap::new(),
            open: BTreeMap::new(),
            used: 0,
            failing: false,
            disk,
            outbox,
        };
        if let Err(error) = archive.look() {
            archive.failed(&error);
        }
        archive.make_room(0);
        archive.told();
        archive
    }

    fn look(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let whole = name.strip_suffix(PART).unwrap_or(&name);
            if !is_clip_name(whole) || !entry.file_type()?.is_file() {
                continue;
            }
            let path = self.folder.join(whole);
            if whole != name {
                fs::rename(entry.path(), &path)?;
            }
            let bytes = fs::metadata(path)?.len();
            self.used += bytes;
            self.complete.insert(whole.to_owned(), bytes);
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, clip: u64, name: String, data: &[Bytes]) {
        let create = || {
            fs::create_dir_all(&self.folder)?;
            let mut options = OpenOptions::new();
            // Whose programme it is matters to more people than the owner's group, but not to all.
            options.create(true).truncate(true).write(true).mode(0o640);
            options.open(self.part(&name))
        };
        match create() {
            Ok(file) => {
                self.open.insert(clip, Open { name, file, bytes: 0, whole: true });
                data.iter().for_each(|data| self.write(clip, data));
            }
            Err(error) => {
                self.failed(&error);
                self.outbox.clip(ClipResult::Dropped);
            }
        }
    }

    pub(super) fn write(&mut self, clip: u64, data: &[u8]) {
        let size = data.len() as u64;
        if !self.open.get(&clip).is_some_and(|open| open.whole) {
            return;
        }
        let room = self.make_room(size);
        let Some(open) = self.open.get_mut(&clip) else { return };
        if !room {
            open.whole = false;
            return;
        }
        match open.file.write_all(data) {
            Ok(()) => {
                open.bytes += size;
                self.used += size;
                self.failing = false;
            }
            Err(error) => self.give_up(clip, &error),
        }
    }

    /// A clip is complete, and `whole` if nothing of it found no room on the way here.
    pub(super) fn end(&mut self, clip: u64, whole: bool) {
        let Some(open) = self.open.get(&clip) else { return };
        if open.bytes == 0 {
            return self.discard(clip);
        }
        let path = self.folder.join(&open.name);
        let done = open.file.sync_all().and_then(|()| fs::rename(self.part(&open.name), &path));
        if let Err(error) = done {
            return self.give_up(clip, &error);
        }
        let Some(open) = self.open.remove(&clip) else { return };
        let result = if whole && open.whole { ClipResult::Written } else { ClipResult::Cut };
        self.outbox.clip(result);
        tracing::info!(path = %path.display(), bytes = open.bytes, "clip of a fault written");
        let replaced = self.complete.insert(open.name, open.bytes);
        self.used -= replaced.unwrap_or_default();
        self.told();
    }

    /// Completes what is under way.
    pub(super) fn finish(&mut self) {
        let under_way: Vec<u64> = self.open.keys().copied().collect();
        under_way.into_iter().for_each(|clip| self.end(clip, false));
    }

    /// Deletes the oldest clips until so many bytes are within the budget; false if they are not, or the disk is short of others' doing.
    fn make_room(&mut self, bytes: u64) -> bool {
        while self.used + bytes > self.budget {
            let Some((name, size)) = self.complete.pop_first() else { return false };
            match fs::remove_file(self.folder.join(&name)) {
                Ok(()) => self.outbox.clip(ClipResult::Deleted),
                // A person took it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.failed(&error);
                    self.complete.insert(name, size);
                    return false;
                }
            }
            self.used -= size;
            self.told();
        }
        // Where it cannot be said what is free, writing will tell.
        let roomy = (self.disk)(&self.folder).is_none_or(|disk| disk.leaves_free(bytes));
        if !roomy {
            self.failed(&io::ErrorKind::StorageFull.into());
        }
        roomy
    }

    /// Nothing of a clip is kept that cannot be written.
    fn give_up(&mut self, clip: u64, error: &io::Error) {
        self.failed(error);
        self.discard(clip);
    }

    fn discard(&mut self, clip: u64) {
        let Some(open) = self.open.remove(&clip) else { return };
        self.used -= open.bytes;
        // What cannot be removed either is found, and kept as it is, at the next start.
        let _ = fs::remove_file(self.part(&open.name));
        self.outbox.clip(ClipResult::Dropped);
        self.told();
    }

    /// Says once what is wrong, until it is right again.
    fn failed(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let folder = self.folder.display();
            tracing::warn!(%folder, %error, "clips of faults cannot be kept; all else goes on");
        }
    }

    fn told(&self) {
        self.outbox.clip_bytes(self.used);
    }

    fn part(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{PART}"))
    }
}

fn disk_of(folder: &Path) -> Option<Disk> {
    let disk = statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
    Some(Disk { free: bytes(disk.blocks_available()), all: bytes(disk.blocks()) })
}

impl Disk {
    /// Whether so many bytes more leave enough of it to others.
    fn leaves_free(self, bytes: u64) -> bool {
        self.free.saturating_sub(bytes) >= FREE_BYTES.min(self.all / FREE_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use tallylight_model::{Epoch, NodeId};

    use super::*;
    use crate::{exposition::Board, report::Queue};

    fn outbox() -> Arc<Outbox> {
        let node = NodeId::new("n1").unwrap();
        Arc::new(Outbox::new(Queue::new(node.clone(), Epoch(1), 10), Board::new(node)))
    }

    const GB: u64 = 1_000_000_000;

    /// On a disk with room.
    fn roomy(folder: PathBuf, budget: u64, outbox: Arc<Outbox>) -> Archive {
        let disk = |_: &Path| Some(Disk { free: 100 * GB, all: 500 * GB });
        Archive::on(disk, folder, budget, outbox)
    }

    fn value(outbox: &Outbox, series: &str) -> u64 {
        let page = outbox.metrics();
        let line = page.lines().find(|line| line.starts_with(series)).expect(series);
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn clips(outbox: &Outbox) -> [u64; 4] {
        ["written", "cut", "dropped", "deleted"].map(|result| {
            value(outbox, &format!("tallylight_agent_evidence_clips_total{{result=\"{result}\"}}"))
        })
    }

    fn name(second: u64) -> String {
        format!("20261122T0142{second:02}.000Z_one_a_black.ts")
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn clip(archive: &mut Archive, second: u64, bytes: usize) {
        let data = Bytes::from(vec![7; bytes / 2]);
        archive.begin(second, name(second), std::slice::from_ref(&data));
        archive.write(second, &data);
        archive.end(second, true);
    }

    #[test]
    fn a_clip_appears_whole_and_the_oldest_make_room_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clips");
        let outbox = outbox();
        let mut archive = roomy(path.clone(), 1_000, Arc::clone(&outbox));
        let data = Bytes::from_static(b"GGGG");
        archive.begin(1, name(1), &[data.clone(), data.clone()]);
        archive.write(1, &data);
        assert!(!path.join(name(1)).exists(), "not before it is complete");
        archive.end(1, true);
        assert_eq!(fs::read(path.join(name(1))).unwrap(), b"GGGGGGGGGGGG");
        clip(&mut archive, 2, 400);
        clip(&mut archive, 3, 400);
        assert_eq!(value(&outbox, "tallylight_agent_evidence_bytes"), 812);
        drop(archive);
        // Of other people's files nothing is touched, and what a crash left is kept.
        fs::write(path.join("notes.ts"), vec![0; 5_000]).unwrap();
        fs::write(path.join(format!("{}.part", name(4))), vec![0; 100]).unwrap();
        let mut archive = roomy(path.clone(), 1_000, Arc::clone(&outbox));
        assert_eq!(value(&outbox, "tallylight_agent_evidence_bytes"), 912);
        clip(&mut archive, 5, 400);
        let left = [name(3), name(4), name(5), "notes.ts".to_owned()];
        assert_eq!(names(&path), left);
        assert_eq!(clips(&outbox), [4, 0, 0, 2]);
        assert_eq!(value(&outbox, "tallylight_agent_evidence_bytes"), 900);
    }

    #[test]
    fn a_clip_larger_than_the_budget_ends_where_that_does() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox();
        let mut archive = roomy(folder.path().to_owned(), 1_000, Arc::clone(&outbox));
        clip(&mut archive, 1, 400);
        let data = Bytes::from(vec![7; 300]);
        archive.begin(2, name(2), &[]);
        (0..5).for_each(|_| archive.write(2, &data));
        archive.end(2, true);
        assert_eq!(names(folder.path()), [name(2)]);
        assert_eq!(fs::metadata(folder.path().join(name(2))).unwrap().len(), 900);
        assert_eq!(clips(&outbox), [1, 1, 0, 1]);
        // What was left out on the way here, and what is under way at the end, is cut as well.
        archive.begin(3, name(3), std::slice::from_ref(&data));
        archive.end(3, false);
        archive.begin(4, name(4), &[data]);
        archive.finish();
        assert_eq!((names(folder.path()), clips(&outbox)), (vec![name(3), name(4)], [1, 3, 0, 2]));
    }

    #[test]
    fn a_clip_takes_the_place_of_one_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox();
        let mut archive = roomy(folder.path().to_owned(), 1_000, Arc::clone(&outbox));
        clip(&mut archive, 1, 400);
        clip(&mut archive, 1, 200);
        assert_eq!(names(folder.path()), [name(1)]);
        assert_eq!(value(&outbox, "tallylight_agent_evidence_bytes"), 200);
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_left_to_others() {
        let cases = [
            (500 * GB, 2 * GB, 0, true),
            (500 * GB, GB, 0, true),
            (500 * GB, GB, 1, false),
            (10 * GB, GB / 2, 0, true),
            (10 * GB, GB / 2 - 1, 0, false),
            (0, 0, 0, true),
        ];
        for (all, free, bytes, fine) in cases {
            assert_eq!(Disk { free, all }.leaves_free(bytes), fine, "{free} of {all}");
        }
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox();
        let full = |_: &Path| Some(Disk { free: GB, all: 500 * GB });
        let path = folder.path().to_owned();
        let mut archive = Archive::on(full, path.clone(), 1_000, Arc::clone(&outbox));
        clip(&mut archive, 1, 100);
        assert_eq!((names(&path), clips(&outbox)), (Vec::<String>::new(), [0, 0, 1, 0]));
        assert!(disk_of(&path).is_some_and(|disk| 0 < disk.all && disk.free <= disk.all));
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_the_clips_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clips");
        fs::write(&path, "in the way").unwrap();
        let outbox = outbox();
        let mut archive = roomy(path.clone(), 1_000, Arc::clone(&outbox));
        assert!(archive.failing);
        clip(&mut archive, 1, 100);
        clip(&mut archive, 2, 100);
        assert_eq!(clips(&outbox), [0, 0, 2, 0]);
        // It goes on by itself when it is mended.
        fs::remove_file(&path).unwrap();
        clip(&mut archive, 3, 100);
        assert!(!archive.failing);
        assert_eq!(clips(&outbox), [1, 0, 2, 0]);
        // The folder goes away while a clip is written.
        archive.begin(4, name(4), &[Bytes::from_static(b"G")]);
        fs::remove_dir_all(&path).unwrap();
        archive.end(4, true);
        assert_eq!(clips(&outbox), [1, 0, 3, 0]);
        assert_eq!(value(&outbox, "tallylight_agent_evidence_bytes"), 100);
    }
}
