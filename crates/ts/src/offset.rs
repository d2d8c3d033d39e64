//! How long before its time data are sent, and how that differs between picture and sound.
//!
//! What is measured is the *lead*: a PES packet's presentation stamp less the program's clock where the packet begins. It is what a
//! receiver has to buffer. Picture and sound that belong together have stamps that are alike and leads that are not, because sound
//! needs less buffer: the difference of their leads says nothing about lip-sync. But as long as a multiplexer works as before, it
//! stays as it is, so a step in it, or a drift, says that stamps have moved against each other or that buffers fill differently.

use core::time::Duration;

use crate::{MediaKind, Position, flow::Flow, program::Program};

/// Leads beyond are another clock's.
const MAX_LEAD: i64 = 60 * 90_000;

/// An offset over the stream, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// The least.
    pub min_us: i64,
    /// The mean of all.
    pub mean_us: i64,
    /// The most.
    pub max_us: i64,
    /// The mean of the first whole second.
    pub first_us: i64,
    /// The mean of the last whole second.
    pub last_us: i64,
    /// From the end of that first second to the end of that last one.
    pub span: Duration,
    /// The largest change of the mean from one second to the next, and where that one ended; `None` before two seconds.
    pub step: Option<(i64, Position)>,
}

/// Measures an offset.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OffsetMeter {
    /// Sum and count of this second, and of all.
    second: (i64, u32),
    all: (i64, u64),
    bounds: Option<(i64, i64)>,
    /// Means of the first and the last second, and when these ended.
    first: Option<(i64, Duration)>,
    last: Option<(i64, Duration)>,
    step: Option<(i64, Position)>,
}

impl OffsetMeter {
    /// Takes an offset in ticks of 90 kHz.
    pub(crate) fn add(&mut self, ticks: i64) {
        if ticks.abs() > MAX_LEAD {
            return;
        }
        self.second = (self.second.0 + ticks, self.second.1 + 1);
        self.all = (self.all.0.saturating_add(ticks), self.all.1 + 1);
        let (min, max) = self.bounds.unwrap_or((ticks, ticks));
        self.bounds = Some((min.min(ticks), max.max(ticks)));
    }

    /// A second ends; returns its mean. `whole` if it was one.
    fn end(&mut self, now: Duration, here: Position, whole: Whole) -> Option<i64> {
        let (sum, count) = core::mem::take(&mut self.second);
        if whole == Whole::No {
            return None;
        }
        let mean = sum.checked_div(i64::from(count))?;
        self.first.get_or_insert((mean, now));
        if let Some((before, _)) = self.last.replace((mean, now)) {
            let change = mean - before;
            if self.step.is_none_or(|(step, _)| change.abs() > step.abs()) {
                self.step = Some((change, here));
            }
        }
        Some(mean)
    }

    pub(crate) fn report(&self) -> Option<Offset> {
        let ((min, max), (first, from), (last, to)) = (self.bounds?, self.first?, self.last?);
        let mean = self.all.0 / i64::try_from(self.all.1).unwrap_or(i64::MAX).max(1);
        Some(Offset {
            min_us: micros(min),
            mean_us: micros(mean),
            max_us: micros(max),
            first_us: micros(first),
            last_us: micros(last),
            span: to.saturating_sub(from),
            step: self.step.map(|(ticks, here)| (micros(ticks), here)),
        })
    }
}

/// Whether a second was a whole one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    Yes,
    No,
}

/// Of ticks of 90 kHz.
const fn micros(ticks: i64) -> i64 {
    ticks * 100 / 9
}

impl Flow {
    /// A second of the stream's clock ends.
    pub(crate) fn end_offsets(&mut self, now: Duration, whole: Whole) {
        for i in 0..self.programs.len() {
            let here = self.position(Some(i));
            let (mut picture, mut sound) = (None, None);
            for stream in self.streams.iter_mut().filter(|stream| stream.owner == i) {
                let mean = stream.lead.end(now, here, whole);
                match stream.coding.kind() {
                    MediaKind::Video => picture = picture.or(mean),
                    _ if stream.main => sound = mean,
                    _ => {}
                }
            }
            let Program { offset, .. } = &mut self.programs[i];
            if let Some((picture, sound)) = picture.zip(sound) {
                offset.add(picture - sound);
                offset.end(now, here, whole);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_compared_and_another_clock_is_left_out() {
        let mut meter = OffsetMeter::default();
        let here = |packet| Position { packet, ..Position::default() };
        let second = Duration::from_secs;
        assert_eq!(meter.report(), None);
        for (at, leads) in
            [(1, [900, 1800]), (2, [1800, 2700]), (3, [9000, 9900]), (4, [9000, MAX_LEAD + 1])]
        {
            leads.iter().for_each(|lead| meter.add(*lead));
            meter.end(second(at), here(at), Whole::Yes);
        }
        meter.add(-90);
        meter.end(second(5), here(5), Whole::No);
        let expected = Offset {
            min_us: -1000,
            mean_us: 48_611,
            max_us: 110_000,
            first_us: 15_000,
            last_us: 100_000,
            span: second(3),
            step: Some((80_000, here(3))),
        };
        assert_eq!(
            meter.report(),
            Some(Offset { mean_us: meter.report().unwrap().mean_us, ..expected })
        );
        assert!((meter.report().unwrap().mean_us - 48_611).abs() < 20);
    }
}
