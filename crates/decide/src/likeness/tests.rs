use tallylight_model::{CodedFrame, Counters, Observed, StreamId, WallTime};

use super::*;

/// A programme: how loud it is, in dBFS, in each hundredth of a second; and its coded frames.
struct Broadcast {
    seed: u64,
}

fn dice(seed: u64, n: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xd134_2543_de82_ef95);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 32
}

impl Broadcast {
    /// Syllables of 60 to 250 ms, each louder or softer than the one before, with a pause now and then.
    fn level(&self, hundredth: u64) -> f32 {
        let syllable = hundredth / 17 + dice(self.seed, hundredth / 170) % 3;
        match dice(self.seed, syllable) % 40 {
            0..=5 => -55.0,
            n => -32.0 + n as f32 / 2.0,
        }
    }

    /// One second of it, so late, as a meter hears it whose tenths begin anywhere, through a codec and another volume.
    fn second(&self, second: u64, late_ms: i64, gain: f32) -> Fingerprint {
        let level = |tenth: u64| {
            let begin = (second * 1_000 + tenth * 100).cast_signed() - late_ms;
            let heard = |n: i64| {
                let hundredth = (begin / 10 + n).max(0).cast_unsigned();
                let noise = dice(self.seed ^ late_ms.unsigned_abs(), hundredth) % 10;
                self.level(hundredth) + noise as f32 / 10.0
            };
            Fingerprint::level((0..10).map(heard).sum::<f32>() / 10.0 + gain)
        };
        Fingerprint { sound: (0..10).map(level).collect(), coded: Vec::new() }
    }

    /// Its coded frames of one second, one or two, so late.
    fn frames(&self, second: u64, late_ms: u64) -> Vec<CodedFrame> {
        let from = (second * 1_000).saturating_sub(late_ms);
        let of = |n: u64| (n * 700, dice(self.seed, n) as u32);
        let within = (from / 700..).map(of).skip_while(|(at, _)| *at < from);
        let within = within.take_while(|(at, _)| *at < from + 1_000);
        let frame = |(at, hash)| CodedFrame { hash, after: Duration::from_millis(at - from) };
        within.map(frame).collect()
    }
}

fn slice(second: u64, fingerprint: Fingerprint) -> Slice {
    Slice {
        stream: StreamId::parse("one/primary").unwrap(),
        start: WallTime::default(),
        end: MonoTime::ZERO + Duration::from_secs(second + 2),
        length: Duration::from_secs(1),
        observed: Observed::default(),
        conditions: Default::default(),
        standing: Default::default(),
        counters: Counters::default(),
        latencies: Vec::new(),
        fingerprint,
    }
}

fn hear(trace: &mut Trace, seconds: core::ops::Range<u64>, of: impl Fn(u64) -> Fingerprint) {
    for second in seconds {
        trace.hear(&slice(second, of(second)), true);
    }
}

fn trace(seconds: u64, of: impl Fn(u64) -> Fingerprint) -> Trace {
    let mut trace = Trace::new(AgentNo::default(), MonoTime::ZERO);
    hear(&mut trace, 0..seconds, of);
    trace
}

#[test]
fn the_same_programme_is_found_at_every_distance_and_another_is_not() {
    let mut unlike = 0;
    for seed in 1..=20 {
        let show = Broadcast { seed };
        let primary = trace(120, |second| show.second(second, 0, 0.0));
        for late in [-29_900, -12_340, -1_000, 0, 70, 2_950, 31_000, 58_000] {
            let backup = trace(120, |second| show.second(second, late, -4.0));
            let Finding::Alike(lag) = search(&backup, &primary) else {
                panic!("{seed}: {late} ms is {:?}", search(&backup, &primary));
            };
            let error = (lag.seconds() * 1_000.0 - late as f64).abs();
            assert!(error <= 100.0, "{seed}: {late} ms found as {}", lag.seconds());
        }
        let other = Broadcast { seed: seed + 1_000 };
        let other = trace(120, |second| other.second(second, 0, 0.0));
        match search(&other, &primary) {
            Finding::Unlike => unlike += 1,
            Finding::Unclear => {}
            Finding::Alike(lag) => panic!("{seed}: another programme found at {lag:?}"),
        }
    }
    assert!(unlike >= 18, "{unlike} of 20 other programmes are heard to be that");
}

#[test]
fn what_says_too_little_is_neither_the_same_nor_another() {
    let show = Broadcast { seed: 1 };
    let primary = trace(120, |second| show.second(second, 0, 0.0));
    let level = |level: u8| Fingerprint { sound: alloc::vec![level; 10], coded: Vec::new() };
    for (name, of) in [("silence", level(1)), ("a tone", level(160)), ("unheard", level(0))] {
        assert_eq!(search(&trace(120, |_| of.clone()), &primary), Finding::Unclear, "{name}");
    }
    // A beat fits itself everywhere.
    let beat = |_| Fingerprint {
        sound: (0..10).map(|n| if n % 5 == 0 { 170 } else { 130 }).collect(),
        coded: Vec::new(),
    };
    assert_eq!(search(&trace(120, beat), &trace(120, beat)), Finding::Unclear);
    assert_eq!(
        search(&trace(20, |second| show.second(second, 0, 0.0)), &primary),
        Finding::Unclear
    );
}

#[test]
fn it_takes_two_finds_to_know_and_three_misses_to_know_otherwise() {
    let (show, other) = (Broadcast { seed: 3 }, Broadcast { seed: 4 });
    let mut primary = Trace::new(AgentNo::default(), MonoTime::ZERO);
    let mut backup = Trace::new(AgentNo::default(), MonoTime::ZERO);
    let mut kin = Kin::default();
    let mut said = Vec::new();
    for ten in 0..24_u64 {
        let seconds = ten * 10..ten * 10 + 10;
        hear(&mut primary, seconds.clone(), |second| show.second(second, 0, 0.0));
        let programme = if ten < 12 { &show } else { &other };
        hear(&mut backup, seconds.clone(), |second| programme.second(second, 1_500, 0.0));
        kin.learn(&backup, &primary, MonoTime::ZERO + Duration::from_secs(seconds.end));
        let programme = kin.known.map(|it| it.programme);
        if said.last().is_none_or(|(_, last)| *last != programme) {
            said.push((ten, programme));
        }
    }
    let [(0, None), (known, Some(Programme::Same(lag))), (changed, Some(Programme::Other))] =
        said[..]
    else {
        panic!("{said:?}");
    };
    assert!((14..=16).contains(&lag.tenths), "{lag:?}");
    assert!((3..=5).contains(&known), "{said:?}");
    assert!((15..=19).contains(&changed), "{said:?}");
}

#[test]
fn the_very_same_frames_say_it_at_once_and_exactly() {
    let (show, other) = (Broadcast { seed: 5 }, Broadcast { seed: 6 });
    let of = |show: &Broadcast, late: u64| {
        let coded = |second| Fingerprint { sound: Vec::new(), coded: show.frames(second, late) };
        trace(100, coded)
    };
    let since = MonoTime::ZERO + Duration::from_secs(90);
    let (source, delivery) = (of(&show, 0), of(&show, 41_700));
    assert_eq!(same_frames(&delivery, &source, since, SAME_FRAMES), Some(Lag { tenths: 417 }));
    assert_eq!(same_frames(&delivery, &of(&other, 0), since, SOME_FRAMES), None);
    // Digital silence is one frame again and again, on every channel.
    let silence = |_| Fingerprint {
        sound: Vec::new(),
        coded: alloc::vec![CodedFrame { hash: 32, after: Duration::ZERO }],
    };
    let silence = trace(100, silence);
    assert_eq!(same_frames(&silence, &silence, since, SOME_FRAMES), None);
}

#[test]
fn a_trace_is_bounded_and_takes_what_comes_late_in_its_place() {
    let show = Broadcast { seed: 7 };
    let mut trace = trace(1_000, |second| Fingerprint {
        coded: show.frames(second, 0),
        ..show.second(second, 0, 0.0)
    });
    assert_eq!((trace.levels.len(), trace.frames.len()), (KEPT, KEPT_FRAMES));
    trace.push(trace.end - 1, 77);
    assert_eq!(trace.levels.back(), Some(&77));
    trace.push(trace.end - KEPT as u64 - 1, 78);
    assert!(!trace.levels.contains(&78));
    trace.push(trace.end + 4, 79);
    assert_eq!(trace.levels.iter().rev().take(5).collect::<Vec<_>>(), [&79, &0, &0, &0, &0]);
    trace.push(trace.end + 10_000_000, 80);
    assert_eq!(trace.levels, [80]);
}

#[test]
fn a_lag_moves_a_moment_either_way() {
    let at = MonoTime::ZERO + Duration::from_secs(100);
    let ahead = Lag::between(Duration::ZERO, Duration::from_secs(3));
    assert_eq!(ahead.after(at), MonoTime::ZERO + Duration::from_secs(97));
    assert_eq!(ahead.span(), Duration::from_secs(3));
    assert_eq!(Programme::Same(ahead).turned(), Programme::Same(Lag { tenths: 30 }));
}
