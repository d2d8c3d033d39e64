//! How much of a channel's error budget is left in a region, and how fast it burns.
//!
//! The objective is a share of the observed seconds of 28 days that must be good. The sums lie in buckets of the seconds' own
//! time, days for the budget and shorter ones for the burn rates, so that they are bounded and a late second counts where it
//! belongs. A monitoring system can derive the same from the counters, but only where it was there for all of the 28 days;
//! and the collector's own sums survive its restart in the journal.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use tallylight_model::{ChannelId, MonoTime, ProfileName, Ratio};

use crate::{
    lineup::{Channel, names},
    view::SloView,
};

/// Which share of a channel's observed seconds must be good.
#[derive(Clone, Debug, PartialEq)]
pub struct Objectives {
    /// Of every channel for which no other is stated.
    pub general: Ratio,
    /// Of channels with this profile.
    pub profiles: BTreeMap<ProfileName, Ratio>,
    /// Of these channels.
    pub channels: BTreeMap<ChannelId, Ratio>,
}

impl Default for Objectives {
    fn default() -> Self {
        Self { general: Ratio::new(0.999), profiles: BTreeMap::new(), channels: BTreeMap::new() }
    }
}

impl Objectives {
    pub(crate) fn of(&self, channel: &Channel) -> Ratio {
        let of_profile = || self.profiles.get(&channel.profile);
        *self.channels.get(&channel.id).or_else(of_profile).unwrap_or(&self.general)
    }
}

/// Over how long a burn rate is taken. Alerts look at a long one, and at a short one to end soon after the trouble does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BurnWindow {
    /// Five minutes.
    FiveMinutes,
    /// Thirty minutes.
    HalfHour,
    /// An hour.
    Hour,
    /// Six hours.
    SixHours,
}

names! { BurnWindow { FiveMinutes "5m" HalfHour "30m" Hour "1h" SixHours "6h" } }

/// How long the error budget is for.
pub const BUDGET_WINDOW: Duration = Duration::from_secs(28 * 86_400);

/// How long each kind of bucket is, and how many are kept: the one under way and those of the longest window.
const TIERS: [(u64, usize); 3] = [(60, 61), (600, 37), (86_400, 29)];

impl BurnWindow {
    /// The kind of buckets that it is taken from, and how many of them beside the one under way.
    const fn buckets(self) -> (usize, u64) {
        match self {
            Self::FiveMinutes => (0, 5),
            Self::HalfHour => (0, 30),
            Self::Hour => (0, 60),
            Self::SixHours => (1, 36),
        }
    }
}

/// A bucket's sums are counted in units so small that a day of them fits and a share of a second is not lost.
const UNITS: f64 = 40_000.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) at: u64,
    pub(crate) observed: u32,
    pub(crate) bad: u32,
}

/// Observed and bad seconds of the last 28 days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    tiers: [VecDeque<Bucket>; TIERS.len()],
}

impl Budget {
    /// Adds to a second, or takes back.
    pub(super) fn add(&mut self, second: u64, observed: f64, bad: f64) {
        for (tier, (length, _)) in TIERS.iter().enumerate() {
            let bucket = self.bucket(tier, second / length);
            bucket.observed = change(bucket.observed, observed);
            bucket.bad = change(bucket.bad, bad);
        }
        self.trim();
    }

    fn bucket(&mut self, tier: usize, at: u64) -> &mut Bucket {
        let buckets = &mut self.tiers[tier];
        let place = buckets.partition_point(|it| it.at < at);
        if buckets.get(place).is_none_or(|it| it.at != at) {
            buckets.insert(place, Bucket { at, ..Bucket::default() });
        }
        &mut buckets[place]
    }

    fn trim(&mut self) {
        for (buckets, (_, keep)) in self.tiers.iter_mut().zip(TIERS) {
            while buckets.len() > keep {
                buckets.pop_front();
            }
        }
    }

    /// Observed and bad seconds in the bucket under way and so many before it.
    fn sums(&self, now: MonoTime, tier: usize, count: u64) -> (f64, f64) {
        let newest = now.as_nanos() / 1_000_000_000 / TIERS[tier].0;
        let mut sums = (0.0, 0.0);
        for bucket in self.tiers[tier].iter().filter(|it| it.at + count >= newest) {
            sums.0 += f64::from(bucket.observed) / UNITS;
            sums.1 += f64::from(bucket.bad) / UNITS;
        }
        sums
    }

    pub(crate) fn view(&self, now: MonoTime, objective: Ratio) -> SloView {
        let (days, (length, keep)) = (TIERS.len() - 1, TIERS[TIERS.len() - 1]);
        let (observed, bad) = self.sums(now, days, keep as u64 - 1);
        let allowed = 1.0 - objective.get();
        let spent = |(observed, bad): (f64, f64)| {
            (observed > 0.0 && allowed > 0.0).then(|| bad / observed / allowed)
        };
        let since = self.tiers[days].front();
        SloView {
            objective,
            since: since.map(|it| MonoTime::ZERO + Duration::from_secs(it.at * length)),
            observed,
            bad,
            budget_left: spent((observed, bad)).map(|it| 1.0 - it),
            burn: core::array::from_fn(|i| {
                let window = BurnWindow::ALL[i];
                let (tier, count) = window.buckets();
                (window, spent(self.sums(now, tier, count)))
            }),
        }
    }

    /// All buckets as kind, begin and sums.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (usize, MonoTime, Bucket)> {
        self.tiers.iter().enumerate().flat_map(|(tier, buckets)| {
            let begin = move |at: u64| MonoTime::ZERO + Duration::from_secs(at * TIERS[tier].0);
            buckets.iter().map(move |it| (tier, begin(it.at), *it))
        })
    }

    /// Takes back a bucket that the journal remembered; false if there is no such kind.
    pub(crate) fn restore(&mut self, tier: u64, begin: MonoTime, observed: u32, bad: u32) -> bool {
        let tier = usize::try_from(tier).unwrap_or(usize::MAX);
        let Some((length, _)) = TIERS.get(tier) else { return false };
        // The clock's origin is another one, so the bounds of buckets lie elsewhere: by less than one bucket.
        let bucket = self.bucket(tier, begin.as_nanos() / 1_000_000_000 / length);
        bucket.observed = bucket.observed.saturating_add(observed);
        bucket.bad = bucket.bad.saturating_add(bad);
        self.trim();
        true
    }
}

/// Adds seconds to a bucket's sum or takes them from it; it stays within its bounds.
fn change(sum: u32, by: f64) -> u32 {
    let units = by * UNITS;
    // Rounds half away from zero, which `core` has no function for: taking back is then the exact opposite.
    let units = if units < 0.0 { units - 0.5 } else { units + 0.5 } as i64;
    u32::try_from((i64::from(sum) + units).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn at(second: u64) -> MonoTime {
        MonoTime::from_nanos(second * 1_000_000_000)
    }

    /// A budget of two thirds of every second, bad in the last so many of them.
    fn budget(from: u64, to: u64, bad: u64) -> Budget {
        let mut budget = Budget::default();
        for second in from..to {
            let weight = 2.0 / 3.0;
            budget.add(second, weight, if second + bad >= to { weight } else { 0.0 });
        }
        budget
    }

    fn burn(view: &SloView) -> [f64; 4] {
        view.burn.map(|(_, rate)| rate.unwrap())
    }

    #[test]
    fn the_budget_is_spent_by_what_was_bad_and_burns_by_what_is() {
        let start = 40 * DAY;
        let objective = Ratio::new(0.99);
        let empty = Budget::default().view(at(start), objective);
        assert_eq!((empty.budget_left, empty.burn[0].1, empty.since), (None, None, None));
        // A day watched, the last three minutes of it bad.
        let budget = budget(start, start + DAY, 180);
        let view = budget.view(at(start + DAY - 1), objective);
        assert!((view.observed - 57_600.0).abs() < 1.0, "{}", view.observed);
        assert!((view.bad - 120.0).abs() < 0.01);
        let left = view.budget_left.unwrap();
        assert!((left - (1.0 - 180.0 / 864.0)).abs() < 1e-3, "{left}");
        let [five, thirty, hour, six] = burn(&view);
        // The window may be one bucket longer than it is called.
        assert!((48.0..=60.1).contains(&five), "{five}");
        assert!((9.5..=10.1).contains(&thirty), "{thirty}");
        assert!((4.8..=5.1).contains(&hour), "{hour}");
        assert!((0.8..=0.84).contains(&six), "{six}");
        let later = budget.view(at(start + DAY + 400), objective);
        assert_eq!(later.burn[0].1, None, "nothing was observed in the last five minutes");
        assert_eq!(later.bad, view.bad);
        let gone = budget.view(at(start + 30 * DAY), objective);
        assert_eq!((gone.observed, gone.budget_left), (0.0, None), "28 days later");
    }

    #[test]
    fn what_is_taken_back_leaves_nothing_and_memory_is_bounded() {
        let mut budget = Budget::default();
        for day in 0..100 {
            for minute in 0..200 {
                let second = day * DAY + minute * 60;
                budget.add(second, 1.0 / 3.0, 1.0 / 7.0);
                budget.add(second, 0.0, -1.0 / 7.0);
            }
        }
        let view = budget.view(at(99 * DAY + 200 * 60), Ratio::new(0.999));
        assert_eq!((view.bad, view.budget_left), (0.0, Some(1.0)));
        let lengths = budget.tiers.each_ref().map(VecDeque::len);
        assert_eq!(lengths, [61, 37, 29]);
    }

    #[test]
    fn a_late_second_counts_in_its_own_time() {
        let start = 40 * DAY;
        let (mut late, mut in_order) = (Budget::default(), Budget::default());
        let seconds = [3, 86_000, 7, 400, 90_000, 100, 5000];
        seconds.iter().for_each(|it| late.add(start + it, 1.0, 1.0));
        let mut sorted = seconds;
        sorted.sort_unstable();
        sorted.iter().for_each(|it| in_order.add(start + it, 1.0, 1.0));
        assert_eq!(late, in_order);
    }
}
