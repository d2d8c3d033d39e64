//! Which source a channel is put on, and why on none of the others.
//!
//! Of those that are ready: never a last resort while there is another; then the one that was least bad over the last minutes;
//! then as the lineup prefers; and of equals the one whose viewers notice least, by bitrate, format and latency beside the
//! source that is left. The reason beside each loser is the first of these in which it is worse.

use alloc::{vec, vec::Vec};
use core::time::Duration;

use tallylight_model::{ProviderId, StreamId};

use super::readiness;
use crate::{
    action::{Choice, Why},
    likeness::Programme,
    lineup::{Channel, Source, SourceRole},
    scene::Scene,
    sight::Sight,
};

/// Bitrates are compared in tenths of the larger one: no two encoders agree better.
const BITRATE_STEPS: u64 = 10;

/// How good a ready source is; the lesser the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    last_resort: bool,
    bad: usize,
    priority: u32,
    bitrate: u64,
    format: bool,
    latency: Duration,
}

impl Rank {
    fn of(scene: &Scene<'_>, from: &Source, to: &Source) -> Self {
        Self {
            last_resort: to.role == SourceRole::LastResort,
            bad: bad_slices(scene, &to.stream),
            priority: to.priority,
            bitrate: bitrate_steps(scene, &from.stream, &to.stream),
            format: from.format != to.format,
            latency: latency_between(scene, from, to),
        }
    }

    /// What makes this one worse than the chosen one.
    fn worse_by(&self, best: &Self) -> Why {
        if self.last_resort != best.last_resort {
            Why::LastResort
        } else if self.bad != best.bad {
            Why::LessHealthy
        } else if self.priority != best.priority {
            Why::LowerPriority
        } else if self.bitrate != best.bitrate {
            Why::OtherBitrate
        } else if self.format != best.format {
            Why::OtherFormat
        } else if self.latency != best.latency {
            Why::OtherLatency
        } else {
            Why::ListedLater
        }
    }
}

/// Weighs every other source of a channel, but none of the provider to be left. The chosen one comes first, if any is ready.
pub(crate) fn weigh<'a>(
    scene: &Scene<'_>,
    channel: &'a Channel,
    from: &StreamId,
    leaving: Option<&ProviderId>,
) -> Vec<Choice> {
    let Some(left) = channel.sources.iter().find(|it| it.stream == *from) else {
        return Vec::new();
    };
    let (mut ready, mut others) = (Vec::new(), Vec::new());
    for source in channel.sources.iter().filter(|it| it.stream != *from) {
        let mut reasons: Vec<Why> =
            readiness::not_ready(scene, channel, source).into_iter().map(Why::NotReady).collect();
        if leaving.is_some() && source.provider.as_ref() == leaving {
            reasons.push(Why::SameProvider);
        }
        if reasons.is_empty() {
            ready.push(source);
        } else {
            others.push(Choice { stream: source.stream.clone(), reasons });
        }
    }
    // One alone need not be compared.
    let compare = ready.len() > 1;
    let rank = |it: &'a Source| (compare.then(|| Rank::of(scene, left, it)), it);
    let mut ready: Vec<(Option<Rank>, &Source)> = ready.into_iter().map(rank).collect();
    ready.sort_by_key(|(rank, _)| *rank);
    let best = ready.first().and_then(|(rank, _)| *rank);
    let weighed = ready.iter().enumerate().map(|(i, (rank, source))| {
        let why = match (rank, best) {
            (Some(rank), Some(best)) if i > 0 => rank.worse_by(&best),
            _ => Why::Chosen,
        };
        Choice { stream: source.stream.clone(), reasons: vec![why] }
    });
    weighed.chain(others).collect()
}

fn bad_slices(scene: &Scene<'_>, stream: &StreamId) -> usize {
    let bad = |sight: &Sight| sight.recent().filter(|it| !it.bad.is_empty()).count();
    voting(scene, stream).map(bad).max().unwrap_or(0)
}

/// How far two streams' bitrates are apart, as seen while they were good; 0 where either was not.
fn bitrate_steps(scene: &Scene<'_>, from: &StreamId, to: &StreamId) -> u64 {
    let (Some(from), Some(to)) = (bytes_per_second(scene, from), bytes_per_second(scene, to))
    else {
        return 0;
    };
    from.abs_diff(to).saturating_mul(BITRATE_STEPS) / from.max(to).max(1)
}

fn bytes_per_second(scene: &Scene<'_>, stream: &StreamId) -> Option<u64> {
    let good = voting(scene, stream).flat_map(Sight::recent).filter(|it| it.is_good());
    let (bytes, time) = good.fold((0_u64, Duration::ZERO), |(bytes, time), it| {
        (bytes.saturating_add(it.bytes), time + it.end.since(it.start))
    });
    let ms = u64::try_from(time.as_millis()).ok().filter(|&it| it > 0)?;
    (bytes > 0).then(|| bytes.saturating_mul(1000) / ms)
}

fn latency_between(scene: &Scene<'_>, from: &Source, to: &Source) -> Duration {
    match scene.facts.programme(scene.now, to, from) {
        Programme::Same(lag) => lag.span(),
        Programme::Unknown | Programme::Other => Duration::ZERO,
    }
}

fn voting<'s>(scene: &'s Scene<'_>, stream: &StreamId) -> impl Iterator<Item = &'s Sight> {
    scene.facts.lineup.no(stream).into_iter().flat_map(|it| scene.trusted(it))
}
