//! What figures depend on besides the code: the machine, the versions, and how busy it was with other things.

use std::{fs, path::Path, process::Command};

use serde::Serialize;

/// The machine and the versions. What cannot be found out is `unknown`.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the processor, and the hypervisor's mark if there is one.
    pub cpu: String,
    /// Cores that may be used.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// File system of the folder with the journal.
    pub journal_on: String,
    /// Tallylight's commit.
    pub commit: String,
    /// Version of the compiler.
    pub rustc: String,
    /// Version of ffmpeg.
    pub ffmpeg: String,
}

impl Machine {
    /// Looks around. `folder` is where journals are written.
    #[must_use]
    pub fn look(folder: &Path) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let virtual_machine = field(&info, "flags").contains("hypervisor");
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = field(&memory, "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0_u64);
        Self {
            cpu: field(&info, "model name") + if virtual_machine { ", virtual" } else { "" },
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease"),
            memory_mib: kib / 1024,
            journal_on: file_system(folder, &read("/proc/self/mounts")),
            commit: first_line("git", &["describe", "--always", "--dirty"]),
            rustc: first_line("rustc", &["--version"]),
            ffmpeg: first_line("ffmpeg", &["-version"]),
        }
    }

    /// One paragraph for people.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{}, {} cores, {} MiB; Linux {}; journal on {}; Tallylight {}; {}; {}",
            self.cpu,
            self.cores,
            self.memory_mib,
            self.kernel,
            self.journal_on,
            self.commit,
            self.rustc,
            self.ffmpeg.split(" Copyright").next().unwrap_or_default()
        )
    }
}

/// Load averages over 1, 5 and 15 minutes, as the kernel writes them: the noise beside a figure.
#[must_use]
pub fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// The first value of a key in `key : value` lines.
fn field(text: &str, key: &str) -> String {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .find(|(name, _)| name.trim() == key)
        .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// The type of the file system that a folder is on: that of the longest mount point above it.
fn file_system(folder: &Path, mounts: &str) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(point, _)| folder.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    let output = output.filter(|output| output.status.success());
    let line =
        output.and_then(|it| String::from_utf8_lossy(&it.stdout).lines().next().map(str::to_owned));
    line.unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_on_the_nearest_mount_above_it() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpfiles xfs rw 0 0\n";
        for (folder, expected) in
            [("/nowhere", "ext4"), ("/tmp/x-that-is-not", "tmpfs"), ("/tmpfiles/x", "xfs")]
        {
            assert_eq!(file_system(Path::new(folder), mounts), expected, "{folder}");
        }
    }

    #[test]
    fn what_cannot_be_found_out_is_said_to_be_unknown() {
        assert_eq!(field("a : 1\nb: 2\n", "b"), "2");
        assert_eq!(field("", "b"), "unknown");
        assert_eq!(first_line("/no/such/program", &[]), "unknown");
    }
}
