use super::*;
use crate::decode::{Dating, Effort, Place, Request, Unit};
use tallylight_model::{Codec, Pid};

fn id(name: &str) -> StreamId {
    StreamId::parse(&format!("{name}/primary")).unwrap()
}

fn shedder(streams: &[(&str, Priority)]) -> Shedder {
    let mut shedder = Shedder::default();
    shedder.watch(streams.iter().map(|(name, priority)| (id(name), *priority)));
    shedder
}

fn many(count: usize) -> Shedder {
    let mut shedder = Shedder::default();
    shedder.watch((0..count).map(|n| (id(&format!("c{n}")), Priority::Normal)));
    shedder
}

fn late(seconds: u64) -> Load {
    Load { late: Duration::from_secs(seconds), ..Load::default() }
}

/// Levels by stream, as far as there are any.
fn levels(shedder: &Shedder) -> Vec<(String, Level)> {
    shedder
        .levels()
        .map(|(stream, level)| (stream.as_str().replace("/primary", ""), level))
        .collect()
}

fn total(shedder: &Shedder) -> usize {
    let rank = |level| 1 + Level::SHEDDING.iter().position(|it| *it == level).unwrap();
    shedder.levels().map(|(_, level)| rank(level)).sum()
}

#[test]
fn every_stream_gives_one_thing_before_any_gives_the_next_and_the_lowest_priority_first() {
    use Level::{FullDecoding, SixSeconds, Thumbnails};
    let mut shedder =
        shedder(&[("a", Priority::High), ("b", Priority::Normal), ("c", Priority::Low)]);
    let mut steps = vec![levels(&shedder)];
    for second in 1..60 {
        shedder.tick(late(second));
        if steps.last() != Some(&levels(&shedder)) {
            steps.push(levels(&shedder));
        }
    }
    let row = |row: &[(&str, Level)]| -> Vec<(String, Level)> {
        row.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect()
    };
    assert_eq!(steps[1], row(&[("c", Thumbnails)]));
    assert_eq!(steps[2], row(&[("b", Thumbnails), ("c", Thumbnails)]));
    assert_eq!(steps[3], row(&[("a", Thumbnails), ("b", Thumbnails), ("c", Thumbnails)]));
    assert_eq!(steps[4], row(&[("a", Thumbnails), ("b", Thumbnails), ("c", FullDecoding)]));
    assert_eq!(steps.len(), 13);
    assert_eq!(steps[12], row(&[("a", SixSeconds), ("b", SixSeconds), ("c", SixSeconds)]));
    // What is given back goes to the highest priority first.
    while levels(&shedder) == steps[12] {
        shedder.tick(Load::default());
    }
    assert_eq!(levels(&shedder)[0], ("a".to_owned(), Level::FourSeconds));
}

#[test]
fn only_what_lasts_and_grows_is_pressure() {
    let refused = Load { refused: 1, ..Load::default() };
    let overflows = Load { dropped: 1, busy: true, ..Load::default() };
    let busy = Load { busy: true, ..Load::default() };
    let dropped = Load { dropped: 1, ..Load::default() };
    for (loads, expected) in [
        (vec![late(1), late(1), late(1)], 1),
        (vec![refused; 3], 1),
        (vec![overflows; 3], 1),
        // It is being caught up with.
        (vec![late(9), late(8), late(7), late(6), late(5), late(4)], 0),
        (vec![late(2), late(0), late(2), late(0), late(0), late(2)], 0),
        // What other programs of the host do, and bursts that buffers are too small for, are no matter of decoding.
        (vec![busy; 20], 0),
        (vec![dropped; 20], 0),
    ] {
        let mut shedder = many(4);
        loads.iter().for_each(|load| shedder.tick(*load));
        assert_eq!(total(&shedder), expected, "{loads:?}");
    }
}

#[test]
fn less_is_shed_after_a_quiet_time_that_doubles_with_each_step_taken_back_and_is_longer_on_a_busy_host()
 {
    for (busy, factor) in [(false, 1), (true, 4)] {
        let mut shedder = many(1);
        let calm = Load { busy, ..Load::default() };
        let mut waited = Vec::new();
        for _ in 0..8 {
            (1..4).for_each(|second| shedder.tick(late(second)));
            assert_eq!(total(&shedder), 1);
            let mut seconds = 0;
            while total(&shedder) == 1 {
                shedder.tick(calm);
                seconds += 1;
            }
            waited.push(seconds / factor);
        }
        assert_eq!(waited, [20, 40, 80, 160, 320, 480, 480, 480]);
    }
}

#[test]
fn of_one_priority_every_stream_has_its_turn() {
    let mut shedder = many(8);
    (1..4).for_each(|second| shedder.tick(late(second)));
    assert_eq!(total(&shedder), 2);
    // Neither late nor prompt: nothing changes but whose turn it is.
    let so_so = Load { late: Duration::from_millis(500), ..Load::default() };
    let mut borne: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..8 * TURN_EVERY {
        shedder.tick(so_so);
        assert_eq!(total(&shedder), 2);
        levels(&shedder).into_iter().for_each(|(name, _)| *borne.entry(name).or_default() += 1);
    }
    assert_eq!(borne.len(), 8);
    assert!(borne.values().all(|&seconds| (TURN_EVERY..=3 * TURN_EVERY).contains(&seconds)));
}

#[test]
fn streams_that_come_and_go_change_nothing_for_the_others() {
    let mut shedder = many(3);
    (1..8).for_each(|second| shedder.tick(late(second)));
    let before = levels(&shedder);
    shedder.watch(["c0", "c1", "c2", "new"].map(|name| (id(name), Priority::Normal)));
    assert_eq!(levels(&shedder), before);
    shedder.watch([(id("new"), Priority::Normal)]);
    assert_eq!(total(&shedder), 0);
}

/// A worker that does so much work a second, of which messages wait up to a limit.
struct Plant {
    shedder: Shedder,
    streams: usize,
    capacity: f64,
    waiting: f64,
    noise: u64,
}

/// What decoding a stream costs at each level.
const COST: [f64; 5] = [1.0, 0.97, 0.9, 0.6, 0.5];
/// Seconds of all streams' work that fit into a worker's queue.
const ROOM: f64 = 3.0;

#[derive(Debug, Default)]
struct Course {
    changes: usize,
    pressed: usize,
    shed: f64,
}

impl Plant {
    fn new(streams: usize) -> Self {
        let capacity = 2.0 * streams as f64;
        Self { shedder: many(streams), streams, capacity, waiting: 0.0, noise: 7 }
    }

    fn run(&mut self, seconds: usize) -> Course {
        let mut course = Course::default();
        for _ in 0..seconds {
            let mut work = self.streams as f64 - self.shedder.levels().count() as f64;
            for (_, level) in self.shedder.levels() {
                work += COST[1 + Level::SHEDDING.iter().position(|it| *it == level).unwrap()];
            }
            // A linear congruential generator; programmes differ by a tenth from second to second.
            self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let noise = (self.noise >> 40) as f64 / (1_u64 << 24) as f64;
            self.waiting = (self.waiting + work * (0.95 + 0.1 * noise) - self.capacity).max(0.0);
            let room = ROOM * self.streams as f64;
            let refused = if self.waiting > room { 1 } else { 0 };
            self.waiting = self.waiting.min(room);
            let late = Duration::from_secs_f64(self.waiting / self.capacity);
            let before = total(&self.shedder);
            self.shedder.tick(Load { late, refused, dropped: 0, busy: self.waiting > 0.0 });
            course.changes += usize::from(total(&self.shedder) != before);
            course.pressed += usize::from(refused > 0 || late >= LATE);
            course.shed += total(&self.shedder) as f64 / (4 * self.streams * seconds) as f64;
        }
        course
    }
}

#[test]
fn what_is_shed_settles_at_every_capacity_and_all_of_it_comes_back() {
    for streams in [1, 3, 10, 60] {
        for hundredth in (40..=130).step_by(3) {
            let mut plant = Plant::new(streams);
            plant.run(60);
            assert_eq!(total(&plant.shedder), 0);
            plant.capacity = streams as f64 * f64::from(hundredth) / 100.0;
            plant.run(3_600);
            let hour = plant.run(3_600);
            let what = format!("{streams} streams at {hundredth} %: {hour:?}");
            // Enough for the least: after the first hour, steps are tried and taken back a few times an hour.
            if hundredth >= 52 {
                assert!(hour.changes <= 20, "{what}");
                assert!(hour.pressed <= 100, "{what}");
            } else {
                assert!(hour.shed > 0.99, "{what}");
            }
            if hundredth >= 106 {
                assert_eq!(hour.shed, 0.0, "{what}");
            }
            plant.capacity = 2.0 * streams as f64;
            plant.run(2_400);
            assert_eq!(total(&plant.shedder), 0, "{what}");
        }
    }
}

fn unit(millis: u64, effort: Effort) -> Unit {
    Unit {
        pid: Pid::from_bits(256),
        codec: Codec::H264,
        key: true,
        media_time: Duration::from_millis(millis),
        effort,
        dating: Dating::Decoding,
        thumbnail: false,
        data: vec![1],
    }
}

fn cut(ration: &mut Ration, cuts: &mut Cuts, unit: Unit) -> Option<(Effort, Dating, bool)> {
    match ration.cut(Request::Unit(unit), cuts)? {
        Request::Unit(unit) => Some((unit.effort, unit.dating, unit.thumbnail)),
        Request::Reset => None,
    }
}

#[test]
fn each_level_sheds_what_it_says_and_counts_it() {
    let place = Place::default();
    for (level, expected) in [
        (Level::Nothing, [0, 0, 0]),
        (Level::Thumbnails, [1, 0, 0]),
        (Level::FullDecoding, [1, 2, 0]),
        (Level::FourSeconds, [1, 2, 15]),
        (Level::SixSeconds, [1, 2, 20]),
    ] {
        let (mut ration, mut cuts) = (Ration::default(), Cuts::default());
        ration.set_level(level);
        let full = level < Level::FullDecoding;
        let dating = if full { Dating::Decoding } else { Dating::Withheld };
        let mut ask = |unit| cut(&mut ration, &mut cuts, unit);
        let first = ask(Unit { thumbnail: true, ..unit(0, Effort::Survey(place)) });
        let effort = if full { Effort::Survey(place) } else { Effort::Key(place) };
        assert_eq!(first, Some((effort, dating, level == Level::Nothing)));
        assert_eq!(ask(unit(40, Effort::Keep(place))).is_some(), full, "{level:?}");
        assert_eq!(ask(unit(80, Effort::CatchUp(place))).is_some(), full, "{level:?}");
        // Sound is never shed.
        assert!(ask(unit(90, Effort::Alone)).is_some());
        for second in (2..=60).step_by(2) {
            ask(unit(second * 1_000, Effort::Key(place)));
        }
        assert_eq!([cuts.thumbnails, cuts.full_decodes, cuts.key_pictures], expected, "{level:?}");
    }
}

#[test]
fn a_stream_without_key_pictures_is_seen_now_and_then_in_whole_runs() {
    for (level, decoded, shed) in
        [(Level::Thumbnails, 20, 0), (Level::FullDecoding, 2, 18), (Level::SixSeconds, 1, 19)]
    {
        let (mut ration, mut cuts) = (Ration::default(), Cuts::default());
        ration.set_level(level);
        let (mut begun, mut ended) = (0, 0);
        for run in 0..20 {
            let mut ask = |millis, effort| cut(&mut ration, &mut cuts, unit(millis, effort));
            begun += u64::from(ask(run * 3_000, Effort::Run).is_some());
            let inside = ask(run * 3_000 + 40, Effort::Run).is_some();
            let end = ask(run * 3_000 + 2_960, Effort::RunEnd).is_some();
            ended += u64::from(end);
            assert_eq!(inside, end);
        }
        assert_eq!((begun, ended, cuts.full_decodes), (decoded, decoded, shed), "{level:?}");
    }
}

#[test]
fn people_are_told_what_is_shed_and_of_how_many() {
    let shed = [(id("a"), Level::Thumbnails), (id("b"), Level::FourSeconds)].into();
    let levels = Levels { shed, streams: 3 };
    assert_eq!(
        levels.evidence(&id("b")).as_deref(),
        Some(
            "this agent's decoders are late: no thumbnails (2 of 3 streams), no full decoding \
             (1 of 3 streams), one key picture in 4 s (1 of 3 streams)"
        )
    );
    assert_eq!(levels.evidence(&id("c")), None);
}
