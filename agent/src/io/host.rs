//! Reads how the host is: processor, memory and file systems through `sysinfo`, interfaces and drops from sysfs and procfs,
//! which `sysinfo` does not tell (Documentation/ABI/testing/sysfs-class-net-statistics, proc_net(5)).

use std::{fs, path::Path};

use sysinfo::{Disks, System};
use tallylight_model::{Bitrate, Ratio};

use super::clock;
use crate::host::{HostSample, InterfaceSample, MAX_INTERFACES};

/// Reads one sample after the other.
#[derive(Debug)]
pub struct HostReader {
    system: Option<System>,
    disks: Option<Disks>,
    state_dir: std::path::PathBuf,
    first: bool,
}

impl HostReader {
    /// Reads the host, and of its file systems the one that holds `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        let state_dir = fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
        let disks = Disks::new_with_refreshed_list().ok();
        Self { system: System::new().ok(), disks, state_dir, first: true }
    }

    /// Reads a sample. What cannot be read is left out.
    pub fn read(&mut self) -> HostSample {
        let mut sample = HostSample { at: clock::now(), ..HostSample::default() };
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            let cpu = Ratio::new(f64::from(system.global_cpu_usage()) / 100.0);
            sample.cpu = (!std::mem::replace(&mut self.first, false)).then_some(cpu);
            sample.memory_total = system.total_memory();
            sample.memory_available = system.available_memory();
        }
        if let Some(disks) = &mut self.disks {
            disks.refresh(false);
            let holder = disks
                .iter()
                .filter(|disk| self.state_dir.starts_with(disk.mount_point()))
                .max_by_key(|disk| disk.mount_point().as_os_str().len());
            sample.disks.extend(holder.map(|d| (d.total_space(), d.available_space())));
        }
        sample.receive_dropped = backlog_dropped();
        read_interfaces(&mut sample);
        sample
    }
}

/// How much memory the host has, in bytes; 0 if that cannot be read.
#[must_use]
pub fn total_memory() -> u64 {
    let Ok(mut system) = System::new() else { return 0 };
    system.refresh_memory();
    system.total_memory()
}

fn read_interfaces(sample: &mut HostSample) {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return };
    for entry in entries.flatten().take(MAX_INTERFACES) {
        let (name, path) = (entry.file_name(), entry.path());
        let counter = |counter: &str| number(&path.join("statistics").join(counter));
        let overruns = ["rx_missed_errors", "rx_fifo_errors"].map(counter);
        sample.receive_dropped += overruns.into_iter().flatten().sum::<u64>();
        if name == "lo" {
            continue;
        }
        // The driver says -1 where it does not know, which is no number here.
        let speed = number(&path.join("speed")).filter(|&mbps| mbps > 0);
        let interface = InterfaceSample {
            received: counter("rx_bytes").unwrap_or_default(),
            sent: counter("tx_bytes").unwrap_or_default(),
            speed: speed.map(|mbps| Bitrate::from_bps(mbps.saturating_mul(1_000_000))),
        };
        sample.interfaces.insert(name.to_string_lossy().into_owned(), interface);
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Packets that the kernel dropped since its receive backlog was full: second column of each processor's line, hexadecimal.
fn backlog_dropped() -> u64 {
    let text = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    let columns = text.lines().filter_map(|line| line.split_whitespace().nth(1));
    columns.filter_map(|hex| u64::from_str_radix(hex, 16).ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_can_be_read() {
        let mut reader = HostReader::new(Path::new("/tmp"));
        assert_eq!(reader.read().cpu, None);
        let sample = reader.read();
        assert!(sample.cpu.is_some());
        assert!(sample.memory_total >= sample.memory_available && sample.memory_available > 0);
        assert_eq!(sample.disks.len(), 1);
    }
}
