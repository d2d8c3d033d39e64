//! Pictures of a component by their type, and from one that decoding can start at to the next.

use core::time::Duration;

use tallylight_model::{PictureType, Pts};

use crate::cutter::Draft;

/// Stamps of two key pictures that are further apart are of two clocks.
const MAX_GROUP: Duration = Duration::from_secs(600);

/// What was counted of a component's pictures. Where fields are coded apart in H.264 and HEVC, each is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pictures {
    /// I pictures.
    pub i: Sizes,
    /// P pictures.
    pub p: Sizes,
    /// B pictures.
    pub b: Sizes,
    /// Those whose type does not show.
    pub unknown: Sizes,
    /// Groups of pictures that are whole: from one that decoding can start at up to the next.
    pub groups: Groups,
}

/// How many, and how large without filler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Groups of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// How many.
    pub count: u64,
    /// Pictures in all of them.
    pub pictures: u64,
    /// Pictures in the shortest and the longest.
    pub bounds: Option<(u64, u64)>,
    /// How many lie between stamps.
    pub timed: u64,
    /// The time between the stamps of all those.
    pub time: Duration,
    /// The shortest and the longest time between stamps.
    pub time_bounds: Option<(Duration, Duration)>,
}

/// Counts pictures.
#[derive(Default)]
pub(crate) struct Census {
    pub(crate) pictures: Pictures,
    /// The group that is being read: its first stamp, and its pictures so far.
    group: Option<(Option<Pts>, u64)>,
}

impl Census {
    pub(crate) fn add(&mut self, draft: &Draft) {
        let sizes = match draft.picture {
            Some(PictureType::I) => &mut self.pictures.i,
            Some(PictureType::P) => &mut self.pictures.p,
            Some(PictureType::B) => &mut self.pictures.b,
            None => &mut self.pictures.unknown,
        };
        sizes.count += 1;
        sizes.bytes += draft.size as u64;
        let pts = draft.stamps.pts;
        match (&mut self.group, draft.key) {
            (Some((first, count)), true) => {
                let time = pts.zip(*first).and_then(|(now, first)| now.since(first));
                self.pictures.groups.add(*count, time.filter(|time| *time <= MAX_GROUP));
                self.group = Some((pts, 1));
            }
            (None, true) => self.group = Some((pts, 1)),
            (Some((_, count)), false) => *count += 1,
            (None, false) => {}
        }
        // Pictures may be missing before what is damaged, key ones among them.
        if draft.damaged {
            self.cut();
        }
    }

    /// What follows does not belong to what was before.
    pub(crate) fn cut(&mut self) {
        self.group = None;
    }
}

impl Groups {
    fn add(&mut self, pictures: u64, time: Option<Duration>) {
        self.count += 1;
        self.pictures += pictures;
        self.bounds = Some(widened(self.bounds, pictures));
        if let Some(time) = time {
            self.timed += 1;
            self.time += time;
            self.time_bounds = Some(widened(self.time_bounds, time));
        }
    }
}

fn widened<T: Ord + Copy>(bounds: Option<(T, T)>, value: T) -> (T, T) {
    bounds.map_or((value, value), |(min, max)| (min.min(value), max.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pes::Stamps;

    fn draft(key: bool, picture: Option<PictureType>, size: usize, ticks: u64) -> Draft {
        let stamps = Stamps { pts: Some(Pts::from_ticks(ticks)), dts: None };
        Draft { key, picture, size, stamps, ..Draft::default() }
    }

    #[test]
    fn groups_are_counted_where_they_are_whole() {
        use PictureType::{B, I, P};
        let mut census = Census::default();
        census.add(&draft(false, Some(P), 10, 0));
        for (start, length) in [(10u64, 4), (14, 2), (16, 3), (19, 1)] {
            census.add(&draft(true, Some(I), 100, start * 3600));
            for i in 1..length {
                census.add(&draft(false, Some(B), 5, (start + i) * 3600));
            }
            if start == 16 {
                census.add(&Draft { damaged: true, ..draft(false, None, 1, 0) });
            }
        }
        census.add(&draft(true, Some(I), 100, 21 * 3600));
        let Pictures { i, p, b, unknown, groups } = census.pictures;
        assert_eq!((i, p), (Sizes { count: 5, bytes: 500 }, Sizes { count: 1, bytes: 10 }));
        assert_eq!((b, unknown), (Sizes { count: 6, bytes: 30 }, Sizes { count: 1, bytes: 1 }));
        let ms = Duration::from_millis;
        let expected = Groups {
            count: 3,
            pictures: 7,
            bounds: Some((1, 4)),
            timed: 3,
            time: ms(320),
            time_bounds: Some((ms(80), ms(160))),
        };
        assert_eq!(groups, expected);
        census.cut();
        census.add(&draft(true, Some(I), 100, 0));
        assert_eq!(census.pictures.groups, expected);
    }
}
