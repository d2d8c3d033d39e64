//! How close the agent's own host is to its limits.
//!
//! An agent that has no processor time left, or whose interfaces overflow, sees faults that are its own. So the node's report
//! goes out each second beside what the streams say, and the collector can take the witness's vote away.

use std::{collections::BTreeMap, time::Duration};

use tallylight_model::{Bitrate, MonoTime, NodeReport, Ratio, Resource};

/// A resource used to this share or more is saturated.
const SATURATED: f64 = 0.95;
/// Interfaces looked at; a host with more is judged by those.
pub const MAX_INTERFACES: usize = 64;

/// What was read of the host at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostSample {
    /// When.
    pub at: MonoTime,
    /// Processor time over all cores since the sample before; `None` at the first.
    pub cpu: Option<Ratio>,
    /// Memory that is there, in bytes.
    pub memory_total: u64,
    /// Memory that could be had, in bytes.
    pub memory_available: u64,
    /// The file systems that the agent writes to: size and free space in bytes.
    pub disks: Vec<(u64, u64)>,
    /// The interfaces, loopback left out.
    pub interfaces: BTreeMap<String, InterfaceSample>,
    /// Packets that the host dropped on receipt since its start: interface overruns and backlog overflows.
    pub receive_dropped: u64,
}

/// Counters of one interface, since it came up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceSample {
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// The link's speed, where the driver knows it.
    pub speed: Option<Bitrate>,
}

/// Judges one sample after the other.
#[derive(Debug)]
pub struct HostJudge {
    uplink: Option<Bitrate>,
    last: Option<HostSample>,
}

/// What one sample says.
#[derive(Clone, Debug, PartialEq)]
pub struct HostVerdict {
    /// The report for the collector.
    pub report: NodeReport,
    /// Which resource is saturated, for people; `None` while none is.
    pub saturated: Option<String>,
}

impl HostJudge {
    /// Judges the network against `uplink` where it is stated, else against each link's own speed.
    #[must_use]
    pub const fn new(uplink: Option<Bitrate>) -> Self {
        Self { uplink, last: None }
    }

    /// Changes what the whole of the network is.
    pub const fn set_uplink(&mut self, uplink: Option<Bitrate>) {
        self.uplink = uplink;
    }

    /// Judges a sample.
    pub fn judge(&mut self, sample: HostSample) -> HostVerdict {
        let mut saturation = BTreeMap::new();
        if let Some(cpu) = sample.cpu {
            saturation.insert(Resource::Cpu, cpu);
        }
        if sample.memory_total > 0 {
            saturation.insert(Resource::Memory, used(sample.memory_total, sample.memory_available));
        }
        let disks = sample.disks.iter().map(|&(total, free)| used(total, free));
        if let Some(fullest) = disks.reduce(greater) {
            saturation.insert(Resource::Disk, fullest);
        }
        let mut receive_dropped = 0;
        if let Some(last) = &self.last {
            receive_dropped = sample.receive_dropped.saturating_sub(last.receive_dropped);
            if let Some(network) = network(last, &sample, self.uplink) {
                saturation.insert(Resource::Network, network);
            }
        }
        let saturated = saturation
            .iter()
            .filter(|(_, ratio)| ratio.get() >= SATURATED)
            .map(|(resource, ratio)| format!("{} {:.0} %", resource.name(), ratio.get() * 100.0))
            .reduce(|a, b| format!("{a}, {b}"));
        let at = sample.at;
        self.last = Some(sample);
        let report = NodeReport { at, saturation, receive_dropped, lost_slices: 0 };
        HostVerdict { report, saturated }
    }
}

fn used(total: u64, free: u64) -> Ratio {
    Ratio::of(total.saturating_sub(free) as f64, total as f64)
}

fn greater(a: Ratio, b: Ratio) -> Ratio {
    if a.get() >= b.get() { a } else { b }
}

/// The busiest direction of the busiest interface.
fn network(last: &HostSample, now: &HostSample, uplink: Option<Bitrate>) -> Option<Ratio> {
    let span = now.at.since(last.at);
    if span < Duration::from_millis(1) {
        return None;
    }
    let busy = now.interfaces.iter().filter_map(|(name, interface)| {
        let before = last.interfaces.get(name)?;
        let whole = uplink.or(interface.speed)?;
        let received = interface.received.saturating_sub(before.received);
        let sent = interface.sent.saturating_sub(before.sent);
        let rate = Bitrate::of(received.max(sent), span);
        Some(Ratio::of(rate.bps() as f64, whole.bps() as f64))
    });
    busy.reduce(greater)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, received: u64, dropped: u64) -> HostSample {
        let speed = Some(Bitrate::from_bps(100_000_000));
        HostSample {
            at: MonoTime::from_nanos(second * 1_000_000_000),
            cpu: (second > 0).then(|| Ratio::new(0.25)),
            memory_total: 1_000,
            memory_available: 400,
            disks: vec![(100, 50), (100, 3)],
            interfaces: [("eth0".into(), InterfaceSample { received, sent: 0, speed })].into(),
            receive_dropped: dropped,
        }
    }

    fn ratios(verdict: &HostVerdict) -> Vec<(Resource, i64)> {
        let saturation = &verdict.report.saturation;
        saturation.iter().map(|(r, ratio)| (*r, (ratio.get() * 1000.0).round() as i64)).collect()
    }

    #[test]
    fn rates_and_drops_need_two_samples_and_levels_one() {
        let mut judge = HostJudge::new(None);
        let first = judge.judge(sample(0, 1_000_000, 7));
        assert_eq!(ratios(&first), [(Resource::Memory, 600), (Resource::Disk, 970)]);
        assert_eq!(first.report.receive_dropped, 0);
        let second = judge.judge(sample(1, 7_250_000, 10));
        assert_eq!(
            ratios(&second),
            [
                (Resource::Cpu, 250),
                (Resource::Memory, 600),
                (Resource::Disk, 970),
                (Resource::Network, 500)
            ]
        );
        assert_eq!(second.report.receive_dropped, 3);
        assert_eq!(second.saturated.as_deref(), Some("disk 97 %"));
    }

    #[test]
    fn a_stated_uplink_counts_before_the_link_speed() {
        let mut judge = HostJudge::new(Some(Bitrate::from_bps(50_000_000)));
        judge.judge(sample(0, 0, 0));
        let verdict = judge.judge(sample(1, 6_250_000, 0));
        assert_eq!(verdict.report.saturation[&Resource::Network], Ratio::new(1.0));
        assert_eq!(verdict.saturated.as_deref(), Some("disk 97 %, network 100 %"));
    }

    #[test]
    fn an_uplink_that_an_assignment_brings_counts_from_the_next_sample_on() {
        let mut judge = HostJudge::new(None);
        judge.judge(sample(0, 0, 0));
        judge.set_uplink(Some(Bitrate::from_bps(50_000_000)));
        let verdict = judge.judge(sample(1, 6_250_000, 0));
        assert_eq!(verdict.report.saturation[&Resource::Network], Ratio::new(1.0));
        judge.set_uplink(None);
        let verdict = judge.judge(sample(2, 12_500_000, 0));
        assert_eq!(verdict.report.saturation[&Resource::Network], Ratio::new(0.5));
    }

    #[test]
    fn counters_that_start_over_are_not_a_flood() {
        let mut judge = HostJudge::new(None);
        judge.judge(sample(0, 5_000_000, 100));
        let verdict = judge.judge(sample(1, 0, 0));
        assert_eq!(verdict.report.saturation[&Resource::Network], Ratio::new(0.0));
        assert_eq!(verdict.report.receive_dropped, 0);
    }
}
