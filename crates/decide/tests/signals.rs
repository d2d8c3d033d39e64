//! What the signals promise: every watched second counts once, by agreement, and sums only grow.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "ids and lineups of these tests are literals"
)]

mod support;

use std::{collections::BTreeMap, time::Duration};

use tallylight_decide::{
    Decider, Input, Objectives, OnAir, Output, Policy,
    journal::{Record, Remembered},
    lineup::Lineup,
    maintenance::{Area, Plan},
    view::Up,
};
use tallylight_model::{
    Batch, ChannelId, Counters, Epoch, FaultClass, FaultKind, FaultPhase, FaultRecord,
    LatencySample, MonoTime, NodeId, NodeReport, Observed, ProfileName, Ratio, Resource, ServerId,
    Severity, Slice, StreamId, WallTime, WindowId,
};

const START: u64 = 100_000;

fn at(second: u64) -> MonoTime {
    MonoTime::from_nanos((START + second) * 1_000_000_000)
}

fn decider(servers: &[&str], agents: &[&str]) -> Decider {
    let lineup = Lineup::new(support::parts(servers, agents)).unwrap();
    Decider::new(lineup, Policy::default(), Epoch(1))
}

fn slice(stream: &str, second: u64, conditions: &[FaultKind], standing: &[FaultKind]) -> Slice {
    let second_long = Duration::from_secs(1);
    Slice {
        stream: StreamId::parse(stream).unwrap(),
        start: WallTime::from_unix_millis(second as i64 * 1000),
        end: at(second + 1),
        length: second_long,
        observed: Observed {
            transport: second_long,
            picture: second_long,
            sound: second_long,
            delivery: second_long,
        },
        conditions: conditions.iter().map(|&kind| (kind, second_long)).collect(),
        standing: standing.iter().map(|&kind| (kind, Severity::Warning)).collect(),
        counters: Counters::default(),
        latencies: Vec::new(),
        fingerprint: Default::default(),
    }
}

fn say(decider: &mut Decider, node: &str, now: u64, slices: Vec<Slice>, faults: Vec<FaultRecord>) {
    let node = NodeId::new(node).unwrap();
    let batch = Batch { node, epoch: Epoch(1), slices, faults, reports: Vec::new() };
    decider.handle(at(now), Input::Batch(batch));
    while decider.poll().is_some() {}
}

fn begin(stream: &str, kind: FaultKind, onset: u64, declared: u64) -> FaultRecord {
    FaultRecord {
        seq: declared,
        stream: StreamId::parse(stream).unwrap(),
        kind,
        phase: FaultPhase::Begin,
        severity: Severity::Warning,
        pid: None,
        onset: at(onset),
        declared: at(declared),
        evidence: String::new(),
    }
}

/// Observed at any layer, bad, and seconds by class.
fn sums(decider: &Decider, now: u64) -> (f64, f64, BTreeMap<&'static str, f64>) {
    let view = decider
        .signals(at(now), decider.lineup().channels())
        .next()
        .expect("the channel has a region");
    let classes = view.faults.iter().filter(|it| it.1 > 0.0);
    (view.observed_any, view.bad, classes.map(|(class, sum)| (class.name(), *sum)).collect())
}

#[test]
fn a_channel_is_as_saturated_as_the_worst_node_that_its_servers_run_on() {
    for (stated, expected) in [(None, Some(0.3)), (Some("b"), Some(0.8))] {
        let mut parts = support::parts(&["s", "t"], &["s", "b"]);
        parts.servers[1].node = stated.map(|id| NodeId::new(id).unwrap());
        let lineup = Lineup::new(parts).unwrap();
        let mut decider = Decider::new(lineup, Policy::default(), Epoch(1));
        for (node, cpu) in [("s", 0.3), ("b", 0.8)] {
            let saturation =
                [(Resource::Cpu, Ratio::new(cpu)), (Resource::Memory, Ratio::new(0.1))];
            let report =
                NodeReport { at: at(1), saturation: saturation.into(), ..NodeReport::default() };
            let node = NodeId::new(node).unwrap();
            let (slices, faults) = (Vec::new(), Vec::new());
            let batch = Batch { node, epoch: Epoch(1), slices, faults, reports: vec![report] };
            decider.handle(at(1), Input::Batch(batch));
        }
        let view = decider.signals(at(2), decider.lineup().channels()).next().unwrap();
        assert_eq!(view.saturation.map(Ratio::get), expected, "{stated:?}");
        let view = decider.signals(at(60), decider.lineup().channels()).next().unwrap();
        assert_eq!(view.saturation, None, "nobody has heard of the node for a minute");
    }
}

#[test]
fn a_declared_fault_counts_from_its_onset_and_an_undeclared_one_never() {
    let mut decider = decider(&["s"], &["a"]);
    let black = [FaultKind::Black];
    for second in 0..20 {
        let dark = (3..5).contains(&second) || second >= 10;
        let declared = second >= 14;
        let conditions = if dark { &black[..] } else { &[] };
        let standing = if declared { &black[..] } else { &[] };
        let faults = match second {
            14 => vec![begin("one/s", FaultKind::Black, 10, 15)],
            _ => Vec::new(),
        };
        say(
            &mut decider,
            "a",
            second + 1,
            vec![slice("one/s", second, conditions, standing)],
            faults,
        );
    }
    for second in 20..30 {
        say(&mut decider, "a", second + 1, vec![slice("one/s", second, &[], &[])], Vec::new());
    }
    let (observed, bad, classes) = sums(&decider, 30);
    assert_eq!((observed, bad), (27.0, 10.0), "the last seconds are still open");
    assert_eq!(classes, BTreeMap::from([(FaultClass::Black.name(), 10.0)]));
}

#[test]
fn the_majority_of_agents_says_whether_a_second_was_bad() {
    // Which of three agents call every second bad, and whether it then is.
    for (bad_agents, is_bad) in [(0, false), (1, false), (2, true), (3, true)] {
        let mut decider = decider(&["s"], &["a", "b", "c"]);
        for second in 0..20 {
            for (i, node) in ["a", "b", "c"].into_iter().enumerate() {
                let kinds = [FaultKind::NoData];
                let kinds = if i < bad_agents { &kinds[..] } else { &[] };
                say(
                    &mut decider,
                    node,
                    second + 1,
                    vec![slice("one/s", second, kinds, kinds)],
                    vec![],
                );
            }
        }
        let (observed, bad, _) = sums(&decider, 20);
        assert_eq!((observed, bad), (17.0, if is_bad { 17.0 } else { 0.0 }), "{bad_agents} of 3");
    }
}

#[test]
fn deliveries_weigh_equally_and_what_nobody_watched_is_neither_good_nor_bad() {
    let mut decider = decider(&["s", "t"], &["a"]);
    for second in 0..20 {
        let bad = slice("one/s", second, &[FaultKind::NoData], &[FaultKind::NoData]);
        let mut slices = vec![bad];
        if second < 10 {
            slices.push(slice("one/t", second, &[], &[]));
        } else {
            let mut unseen = slice("one/t", second, &[], &[]);
            unseen.observed = Observed::default();
            slices.push(unseen);
        }
        say(&mut decider, "a", second + 1, slices, vec![]);
    }
    let (observed, bad, _) = sums(&decider, 20);
    assert_eq!((observed, bad), (17.0 / 2.0 + 5.0, 17.0 / 2.0));
}

#[test]
fn a_source_and_a_channel_off_the_air_count_as_nothing() {
    let mut decider = decider(&["s"], &["a"]);
    let kinds = [FaultKind::NoData];
    for second in 0..10 {
        say(
            &mut decider,
            "a",
            second + 1,
            vec![slice("one/primary", second, &kinds, &kinds)],
            vec![],
        );
    }
    assert_eq!(sums(&decider, 10).0, 0.0);
    let channel = ChannelId::new("one").unwrap();
    decider.handle(at(10), Input::OnAir { channel, on_air: OnAir::Off });
    for second in 10..20 {
        say(&mut decider, "a", second + 1, vec![slice("one/s", second, &kinds, &kinds)], vec![]);
    }
    let view = decider.signals(at(20), decider.lineup().channels()).next().unwrap();
    assert_eq!((view.observed_any, view.up), (0.0, None));
    assert_eq!(decider.incidents().count(), 0, "nothing is a fault off the air");
}

#[test]
fn late_slices_count_once_in_their_own_second_and_sums_only_grow() {
    let mut decider = decider(&["s"], &["a", "b"]);
    let mut before = (0.0, 0.0);
    for second in 0..200 {
        say(&mut decider, "a", second + 1, vec![slice("one/s", second, &[], &[])], vec![]);
        // The other agent's queue comes in bursts, minutes late.
        if second % 150 == 149 {
            let late = (second - 149..=second).map(|it| slice("one/s", it, &[], &[])).collect();
            say(&mut decider, "b", second + 1, late, vec![]);
        }
        let (observed, bad, _) = sums(&decider, second + 1);
        assert!(observed >= before.0 && bad >= before.1);
        before = (observed, bad);
    }
    assert_eq!(before, (197.0, 0.0));
}

#[test]
fn agents_whose_slices_come_unevenly_see_no_more_than_there_was() {
    let mut decider = decider(&["s"], &["a", "b"]);
    for second in 0..60 {
        for (node, jitter) in [("a", 0), ("b", if second % 2 == 0 { 510 } else { 490 })] {
            let mut uneven = slice("one/s", second, &[], &[]);
            uneven.end = uneven.end - Duration::from_millis(jitter);
            say(&mut decider, node, second + 1, vec![uneven], vec![]);
        }
    }
    let (observed, ..) = sums(&decider, 60);
    assert!((57.0..57.6).contains(&observed), "{observed} of 57 that are judged");
}

#[test]
fn who_speaks_first_does_not_outvote_those_who_speak_later() {
    let mut decider = decider(&["s"], &["a", "b", "c"]);
    let kinds = [FaultKind::NoData];
    // Segments come six at a time; one agent alone sees nothing, and is always the first to say so.
    for second in (0..60).step_by(6) {
        let segment = |kinds: &[FaultKind]| -> Vec<_> {
            (second..second + 6).map(|it| slice("one/s", it, kinds, kinds)).collect()
        };
        say(&mut decider, "a", second + 6, segment(&kinds), vec![]);
        say(&mut decider, "b", second + 10, segment(&[]), vec![]);
        say(&mut decider, "c", second + 10, segment(&[]), vec![]);
    }
    let (observed, bad, _) = sums(&decider, 70);
    assert_eq!(observed, 60.0);
    assert!(bad <= 6.0, "{bad} bad seconds: at most the one segment that was taken back");
}

#[test]
fn what_an_agent_saw_while_its_host_dropped_packets_is_no_evidence_later_either() {
    let mut decider = decider(&["s"], &["a", "b"]);
    let kinds = [FaultKind::Continuity];
    for second in 0..40 {
        let mut lossy = slice("one/s", second, &kinds, &kinds);
        lossy.counters.receive_dropped = u64::from(second < 5);
        if (10..).contains(&second) {
            lossy = slice("one/s", second, &[], &[]);
        }
        say(&mut decider, "a", second + 1, vec![lossy], vec![]);
    }
    let (observed, bad, _) = sums(&decider, 40);
    assert_eq!((observed, bad), (27.0, 0.0), "ten seconds were seen by nobody who counts");
}

#[test]
fn an_agents_new_run_neither_doubles_nor_inherits_what_the_old_one_saw() {
    let mut decider = decider(&["s"], &["a"]);
    let black = [FaultKind::Black];
    let told = |epoch, slices, faults| {
        let node = NodeId::new("a").unwrap();
        Batch { node, epoch: Epoch(epoch), slices, faults, reports: Vec::new() }
    };
    let fault = begin("one/s", FaultKind::Black, 2, 7);
    decider.handle(at(8), Input::Batch(told(1, vec![], vec![fault])));
    for second in 0..8 {
        let dark = if second >= 2 { &black[..] } else { &[] };
        let slices = vec![slice("one/s", second, dark, &[])];
        decider.handle(at(second + 8), Input::Batch(told(1, slices, vec![])));
    }
    // The new run sees the last two seconds once more, and a dark second that is no fault.
    for second in 6..20 {
        let dark = if second == 12 { &black[..] } else { &[] };
        let slices = vec![slice("one/s", second, dark, &[])];
        decider.handle(at(second + 14), Input::Batch(told(2, slices, vec![])));
    }
    decider.handle(at(60), Input::Batch(told(2, vec![], vec![])));
    let (observed, bad, _) = sums(&decider, 60);
    assert_eq!((observed, bad), (20.0, 6.0));
}

#[test]
fn a_channels_own_objective_comes_before_its_profiles() {
    let mut objectives = Objectives::default();
    let objective = |objectives: &Objectives, profile| {
        let mut parts = support::parts(&["s"], &["a"]);
        parts.channels[0].profile = profile;
        let policy = Policy { objectives: objectives.clone(), ..Policy::default() };
        let decider = Decider::new(Lineup::new(parts).unwrap(), policy, Epoch(1));
        let view = decider.signals(at(0), decider.lineup().channels()).next().unwrap();
        view.slo.objective.get()
    };
    assert_eq!(objective(&objectives, ProfileName::Sensitive), 0.999);
    objectives.profiles.insert(ProfileName::Sensitive, Ratio::new(0.99));
    assert_eq!(objective(&objectives, ProfileName::Sensitive), 0.99);
    assert_eq!(objective(&objectives, ProfileName::Default), 0.999);
    objectives.channels.insert(ChannelId::new("one").unwrap(), Ratio::new(0.9));
    assert_eq!(objective(&objectives, ProfileName::Sensitive), 0.9);
}

/// Error budgets that the journal is to get.
fn budgets(decider: &mut Decider) -> Vec<Record> {
    let outputs = std::iter::from_fn(|| decider.poll());
    let record = |it| if let Output::Journal(record) = it { Some(record) } else { None };
    outputs.filter_map(record).filter(|it| it.key.starts_with("budget/")).collect()
}

#[test]
fn the_error_budget_survives_a_crash_and_counts_nothing_twice() {
    let mut decider = decider(&["s"], &["a"]);
    let mut kept: BTreeMap<String, (Record, u64)> = BTreeMap::new();
    let kinds = [FaultKind::NoData];
    let node = NodeId::new("a").unwrap();
    let told = |second: u64| {
        let kinds = if second.is_multiple_of(10) { &kinds[..] } else { &[] };
        let slices = vec![slice("one/s", second, kinds, kinds)];
        let (faults, reports) = (Vec::new(), Vec::new());
        Input::Batch(Batch { node: node.clone(), epoch: Epoch(1), slices, faults, reports })
    };
    for second in 0..2000 {
        decider.handle(at(second + 1), told(second));
        kept.extend(budgets(&mut decider).into_iter().map(|it| (it.key.clone(), (it, second + 1))));
    }
    assert_eq!(kept.len(), 1, "one record for a channel and region");
    let (_, written) = kept.values().next().unwrap();
    assert!((1200..2000).contains(written), "at most ten minutes ago, and not all the time");
    // The clock of the next run began at another moment, and it hears again of what it knew.
    let later = |second: u64| at(second + 5_000_000);
    let restored = kept.values().map(|(record, written)| Remembered {
        record: record.clone(),
        age: Duration::from_secs(2100 - written),
    });
    let lineup = Lineup::new(support::parts(&["s"], &["a"])).unwrap();
    let (mut next, unread) =
        Decider::restore(lineup, Policy::default(), Epoch(2), later(2100), restored);
    assert!(unread.is_empty(), "{unread:?}");
    let slo = |decider: &Decider, now| {
        decider.signals(now, decider.lineup().channels()).next().unwrap().slo
    };
    let counted = slo(&next, later(2100));
    let judged = (*written - 3) as f64;
    assert_eq!((counted.observed, counted.bad), (judged, (judged / 10.0).ceil()));
    for second in written - 200..*written {
        let Input::Batch(mut batch) = told(second) else { panic!("a batch") };
        batch.slices[0].end = later(second + 1);
        next.handle(later(2100), Input::Batch(batch));
    }
    next.handle(later(2110), Input::Tick);
    let Input::Batch(mut last) = told(2105) else { panic!("a batch") };
    last.slices[0].end = later(2106);
    next.handle(later(2110), Input::Batch(last));
    assert_eq!(slo(&next, later(2110)).observed, judged, "nothing a second time");
    next.save(later(2111));
    assert_eq!(budgets(&mut next), [], "nothing is new");
}

#[test]
fn seconds_in_maintenance_count_apart_and_cost_nothing_of_the_budget() {
    let mut decider = decider(&["s", "t"], &["a"]);
    let plan = Plan {
        id: WindowId::new("disks").unwrap(),
        area: Area::Server(ServerId::new("s").unwrap()),
        begin: at(10),
        end: at(20),
        by: None,
        why: String::new(),
    };
    decider.handle(at(0), Input::Maintain(plan));
    let kinds = [FaultKind::NoData];
    for second in 0..30 {
        // What is said late counts for the time that it is of.
        let bad = if (8..18).contains(&second) { &kinds[..] } else { &[] };
        let slices = ["one/s", "one/t"].map(|stream| slice(stream, second, bad, bad));
        say(&mut decider, "a", second + 21, slices.to_vec(), vec![]);
    }
    say(&mut decider, "a", 60, vec![], vec![]);
    let view = decider.signals(at(60), decider.lineup().channels()).next().unwrap();
    assert_eq!((view.maintenance_observed, view.maintenance_bad), (5.0, 4.0));
    assert_eq!((view.observed_any, view.bad), (25.0, 6.0));
    assert_eq!((view.slo.observed, view.slo.bad), (25.0, 6.0));
}

#[test]
fn a_channel_is_up_down_or_unwatched() {
    let mut decider = decider(&["s"], &["a"]);
    let up = |decider: &Decider, now| {
        decider.signals(at(now), decider.lineup().channels()).next().unwrap().up
    };
    assert_eq!(up(&decider, 0), None);
    say(&mut decider, "a", 1, vec![slice("one/s", 0, &[], &[])], vec![]);
    assert_eq!(up(&decider, 1), Some(Up::Good));
    let kinds = [FaultKind::NoData];
    say(&mut decider, "a", 2, vec![slice("one/s", 1, &kinds, &kinds)], vec![]);
    assert_eq!(up(&decider, 2), Some(Up::Bad));
    assert_eq!(up(&decider, 20), None, "a silent agent watches nothing");
}

#[test]
fn startup_times_have_quantiles_from_twenty_samples_on() {
    let mut decider = decider(&["s"], &["a"]);
    for second in 0..20 {
        let mut zap = slice("one/s", second, &[], &[]);
        zap.latencies.push(LatencySample::Startup(Duration::from_millis(100 * (second + 1))));
        let view = decider.signals(at(second), decider.lineup().channels()).next().unwrap();
        assert_eq!(view.startup.quantiles, None, "{second} samples");
        say(&mut decider, "a", second + 1, vec![zap], vec![]);
    }
    let startup = decider.signals(at(20), decider.lineup().channels()).next().unwrap().startup;
    assert_eq!(startup.count, 20);
    assert!((startup.sum - 21.0).abs() < 1e-9);
    let [(half, median), ..] = startup.quantiles.unwrap();
    assert_eq!(half, 0.5);
    assert!((median - 1.0).abs() < 0.05, "{median}");
}

#[test]
fn series_end_with_what_they_are_of() {
    let mut decider = decider(&["s"], &["a"]);
    for second in 0..10 {
        say(&mut decider, "a", second + 1, vec![slice("one/s", second, &[], &[])], vec![]);
    }
    assert!(sums(&decider, 10).0 > 0.0);
    let lineup = Lineup::new(support::parts(&[], &["a"])).unwrap();
    decider.handle(at(10), Input::Lineup(Box::new(lineup)));
    assert_eq!(decider.signals(at(10), decider.lineup().channels()).count(), 0);
    let lineup = Lineup::new(support::parts(&["s"], &["a"])).unwrap();
    decider.handle(at(11), Input::Lineup(Box::new(lineup)));
    assert_eq!(sums(&decider, 11).0, 0.0, "it starts afresh");
}
