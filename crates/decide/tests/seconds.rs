//! Whatever order slices and fault records come in, the sums are those of a slow model that sees everything at once.
#![expect(clippy::unwrap_used, reason = "ids and lineups of these tests are literals")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use proptest::{collection::vec, prelude::*, sample::Index};
use tallylight_decide::{
    Decider, Input, PanelServer, PanelState, Policy, ServerState, lineup::Lineup,
};
use tallylight_model::{
    Batch, Counters, Epoch, FaultClass, FaultKind, FaultPhase, FaultRecord, Layer, MonoTime,
    NodeId, Observed, ServerId, Severity, Slice, StreamId, WallTime,
};

const START_MS: u64 = 100_000_000;
/// Seconds that agents watch.
const SPAN_S: u64 = 16;
const NODES: [&str; 3] = ["a", "b", "c"];
const SERVERS: [&str; 2] = ["s", "t"];
const KINDS: [FaultKind; 4] =
    [FaultKind::NoData, FaultKind::Continuity, FaultKind::Black, FaultKind::Silence];

/// One agent's run, which watches one delivery. All times in milliseconds.
#[derive(Clone, Debug)]
struct Run {
    node: usize,
    server: usize,
    epoch: u64,
    from: u64,
    to: u64,
    /// Slices are ten seconds long instead of one.
    merged: bool,
    /// Neither picture nor sound is decoded.
    blind: bool,
    /// The agent's host drops packets in its first second.
    drops: bool,
    /// Kind, begin, hold and length of each condition.
    troubles: Vec<(usize, u64, u64, u64)>,
}

impl Run {
    fn stream(&self) -> StreamId {
        StreamId::parse(&format!("one/{}", SERVERS[self.server])).unwrap()
    }

    fn length(&self) -> u64 {
        if self.merged { 10_000 } else { 1000 }
    }

    /// Conditions that the agent can see, as kind, begin, declaration and end; only declared ones have a declaration.
    fn conditions(&self) -> Vec<(FaultKind, u64, Option<u64>, u64)> {
        let seen = self.troubles.iter().map(|&(kind, begin, hold, length)| {
            let (begin, end) = (self.from + begin, self.from + begin + length);
            (KINDS[kind], begin, (hold < length).then_some(begin + hold), end)
        });
        let seen = seen.filter(|it| !self.blind || it.0.rule().layer == Layer::Transport);
        let mut free: BTreeMap<FaultKind, u64> = BTreeMap::new();
        // One at a time of each kind, and apart.
        let mut apart = Vec::new();
        let mut sorted: Vec<_> = seen.collect();
        sorted.sort_by_key(|it| it.1);
        for it in sorted {
            let free = free.entry(it.0).or_default();
            if it.1 >= *free && it.3 <= self.to {
                *free = it.3 + 2000;
                apart.push(it);
            }
        }
        apart
    }

    fn slices(&self) -> Vec<Slice> {
        let length = self.length();
        let mut slices = Vec::new();
        let mut from = self.from;
        while from + length <= self.to {
            let to = from + length;
            let mut conditions = BTreeMap::new();
            let mut standing = BTreeMap::new();
            for (kind, begin, declared, end) in self.conditions() {
                let held = end.min(to).saturating_sub(begin.max(from));
                if held > 0 {
                    *conditions.entry(kind).or_default() += Duration::from_millis(held);
                }
                if declared.is_some_and(|it| it < to && to <= end) {
                    standing.insert(kind, Severity::Warning);
                }
            }
            let (seen, decoded) = (length, if self.blind { 0 } else { length });
            let dropped = self.drops && from == self.from;
            slices.push(Slice {
                stream: self.stream(),
                start: WallTime::from_unix_millis(from as i64),
                end: moment(to),
                length: Duration::from_millis(length),
                observed: Observed {
                    transport: Duration::from_millis(seen),
                    picture: Duration::from_millis(decoded),
                    sound: Duration::from_millis(decoded),
                    delivery: Duration::from_millis(seen),
                },
                conditions,
                standing,
                counters: Counters { receive_dropped: u64::from(dropped), ..Counters::default() },
                latencies: Vec::new(),
                fingerprint: Default::default(),
            });
            from = to;
        }
        slices
    }

    fn records(&self) -> Vec<FaultRecord> {
        let mut moments = Vec::new();
        for (kind, begin, declared, end) in self.conditions() {
            let Some(declared) = declared else { continue };
            moments.push((declared, kind, begin, declared, FaultPhase::Begin));
            moments.push((end, kind, begin, declared, FaultPhase::End(moment(end))));
        }
        moments.sort_by_key(|it| it.0);
        let record = |(seq, (_, kind, begin, declared, phase))| FaultRecord {
            seq: seq as u64,
            stream: self.stream(),
            kind,
            phase,
            severity: Severity::Warning,
            pid: None,
            onset: moment(begin),
            declared: moment(declared),
            evidence: String::new(),
        };
        moments.into_iter().enumerate().map(record).collect()
    }
}

fn moment(ms: u64) -> MonoTime {
    MonoTime::from_nanos((START_MS + ms) * 1_000_000)
}

fn run() -> impl Strategy<Value = Run> {
    // Tenths of a second and ten-second slices keep every share of a span a whole millisecond.
    let tenths = |range: std::ops::Range<u64>| range.prop_map(|it| it * 100);
    let trouble = (0..KINDS.len(), tenths(0..120), tenths(0..60), tenths(1..80));
    let flags = (prop::bool::weighted(0.3), prop::bool::weighted(0.3), prop::bool::weighted(0.1));
    (
        (0..NODES.len(), 0..SERVERS.len(), 0..3_u64),
        (tenths(0..40), 0..SPAN_S),
        flags,
        vec(trouble, 0..4),
    )
        .prop_map(|((node, server, epoch), (from, seconds), flags, troubles)| {
            let (merged, blind, drops) = flags;
            let troubles = troubles.into_iter().map(|(kind, begin, hold, length)| {
                let whole = |it: u64| if merged { it / 1000 * 1000 } else { it };
                (kind, whole(begin), hold, whole(length).max(if merged { 1000 } else { 100 }))
            });
            let troubles = troubles.collect();
            let to = from + seconds * 1000;
            Run { node, server, epoch, from, to, merged, blind, drops, troubles }
        })
}

/// Sums in seconds: observed, bad, and by class.
type Sums = (f64, f64, Vec<f64>);

/// What more than half of them say at least, looked for millisecond by millisecond.
fn majority(spans: &[u64]) -> u64 {
    let enough = |least: u64| 2 * spans.iter().filter(|&&it| it >= least).count() > spans.len();
    (1..=1000).rev().find(|&least| enough(least)).unwrap_or(0)
}

/// What each agent saw in one second of one delivery: of each layer, and of each kind that was declared.
#[derive(Clone, Debug, Default)]
struct Seen {
    any: u64,
    layers: BTreeMap<Layer, u64>,
    kinds: BTreeMap<FaultKind, u64>,
}

fn seen(runs: &[Run], node: usize, server: usize, second: u64) -> Seen {
    let mut seen = Seen::default();
    let (from, to) = (second * 1000, second * 1000 + 1000);
    for run in runs.iter().filter(|it| it.node == node && it.server == server) {
        for slice in run.slices() {
            let end = slice.end.since(moment(0)).as_millis() as u64;
            let begin = end - run.length();
            let share = end.min(to).saturating_sub(begin.max(from));
            let part = |span: Duration| span.as_millis() as u64 * share / run.length();
            if share == 0 {
                continue;
            }
            seen.any += part(slice.observed.any());
            for layer in Layer::ALL {
                *seen.layers.entry(layer).or_default() += part(slice.observed.layer(layer));
            }
            for (&kind, &span) in &slice.conditions {
                let told = run.conditions().into_iter().any(|(it, begin, declared, end)| {
                    it == kind && declared.is_some() && begin < to && end > from
                });
                if told || slice.standing.contains_key(&kind) {
                    *seen.kinds.entry(kind).or_default() += part(span);
                }
            }
        }
    }
    seen.any = seen.any.min(1000);
    seen.layers.values_mut().for_each(|it| *it = (*it).min(1000));
    seen.kinds.values_mut().for_each(|it| *it = (*it).min(seen.any));
    seen
}

/// Whether the node's host dropped packets at that time or shortly before.
fn is_silenced(runs: &[Run], node: usize, second: u64) -> bool {
    let dropping = |run: &Run| {
        let (first, last) = (run.from / 1000, (run.from + run.length() - 1) / 1000);
        let drops = run.node == node && run.drops && run.from + run.length() <= run.to;
        drops && (first..=last + 5).contains(&second)
    };
    runs.iter().any(dropping)
}

fn model(runs: &[Run], weights: [f64; 2]) -> Sums {
    let mut sums = (0.0, 0.0, vec![0.0; FaultClass::ALL.len()]);
    for (server, weight) in weights.into_iter().enumerate() {
        for second in 0..40 {
            let nodes = (0..NODES.len()).filter(|&it| !is_silenced(runs, it, second));
            let seen: Vec<Seen> = nodes.map(|it| seen(runs, it, server, second)).collect();
            let most = seen.iter().map(|it| it.any).max().unwrap_or(0);
            let voters: Vec<&Seen> =
                seen.iter().filter(|it| it.any > 0 && 2 * it.any >= most).collect();
            let class_of = |kind: FaultKind| kind.rule().class.unwrap();
            let longest = |it: &Seen, class: Option<FaultClass>| {
                let kinds = it.kinds.iter().filter(|it| class.is_none_or(|c| class_of(*it.0) == c));
                kinds.map(|it| *it.1).max().unwrap_or(0)
            };
            let by_class = |class: Option<FaultClass>| {
                let all: Vec<u64> = voters.iter().map(|it| longest(it, class)).collect();
                let kinds = KINDS.into_iter().filter(|it| class.is_none_or(|c| class_of(*it) == c));
                let by_kind = kinds.map(|kind| {
                    let layer = kind.rule().layer;
                    let can = voters.iter().filter(|it| it.layers[&layer] > 0);
                    let said = can.map(|it| it.kinds.get(&kind).copied().unwrap_or(0));
                    majority(&said.collect::<Vec<_>>())
                });
                by_kind.chain([majority(&all)]).max().unwrap()
            };
            let scale = weight / 1000.0;
            sums.0 += most as f64 * scale;
            sums.1 += by_class(None) as f64 * scale;
            for (sum, class) in sums.2.iter_mut().zip(FaultClass::ALL) {
                *sum += by_class(Some(class)) as f64 * scale;
            }
        }
    }
    sums
}

#[derive(Clone, Debug)]
enum Item {
    Slice(Box<Slice>),
    Fault(FaultRecord),
}

/// Everything that the runs have to say, each piece with its agent.
fn items(runs: &[Run]) -> Vec<(usize, u64, Item)> {
    let of = |run: &Run| {
        let slices = run.slices().into_iter().map(|slice| Item::Slice(Box::new(slice)));
        let items = slices.chain(run.records().into_iter().map(Item::Fault));
        items.map(|item| (run.node, run.epoch, item)).collect::<Vec<_>>()
    };
    runs.iter().flat_map(of).collect()
}

fn batch(node: usize, epoch: u64, item: Option<Item>) -> Input {
    let (slices, faults) = match item {
        Some(Item::Slice(slice)) => (vec![*slice], vec![]),
        Some(Item::Fault(fault)) => (vec![], vec![fault]),
        None => (vec![], vec![]),
    };
    let node = NodeId::new(NODES[node]).unwrap();
    Input::Batch(Batch { node, epoch: Epoch(epoch), slices, faults, reports: vec![] })
}

fn platform(sessions: Option<[u64; 2]>) -> Decider {
    let lineup = Lineup::new(support::parts(&SERVERS, &NODES)).unwrap();
    let mut decider = Decider::new(lineup, Policy::default(), Epoch(1));
    if let Some(sessions) = sessions {
        let server = |(id, sessions): (&str, u64)| PanelServer {
            server: ServerId::new(id).unwrap(),
            state: ServerState::Active,
            sessions,
            share: None,
            can_restart: false,
        };
        let servers = SERVERS.into_iter().zip(sessions).map(server).collect();
        decider.handle(moment(0), Input::Panel(PanelState { servers, ..PanelState::default() }));
    }
    decider
}

fn sums(decider: &Decider) -> Sums {
    let view = decider.signals(moment(200_000), decider.lineup().channels()).next().unwrap();
    (view.observed_any, view.bad, view.faults.map(|it| it.1).to_vec())
}

/// What the error budget counts of it, which may be corrected.
fn budget(decider: &Decider) -> (f64, f64) {
    let view = decider.signals(moment(200_000), decider.lineup().channels()).next().unwrap();
    (view.slo.observed, view.slo.bad)
}

fn assert_same(found: &Sums, expected: &Sums) -> Result<(), TestCaseError> {
    let close = |a: f64, b: f64| (a - b).abs() < 1e-3;
    let classes = found.2.iter().zip(&expected.2).all(|(&a, &b)| close(a, b));
    let same = close(found.0, expected.0) && close(found.1, expected.1) && classes;
    prop_assert!(same, "found {found:?}\nexpected {expected:?}");
    Ok(())
}

/// Runs of one agent and stream that overlap are of different epochs: what has the same key came before and was dropped.
fn distinct(runs: Vec<Run>) -> Vec<Run> {
    let mut known = std::collections::BTreeSet::new();
    runs.into_iter().filter(|it| known.insert((it.node, it.server, it.epoch))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn sums_are_those_of_a_model_that_sees_everything_at_once(
        runs in vec(run(), 0..6).prop_map(distinct),
        order in vec(any::<Index>(), 0..200),
        sessions in prop::option::of([0..50_u64, 0..50_u64]),
    ) {
        let weights = match sessions {
            Some([s, t]) if s + t > 0 => [s, t].map(|it| it as f64 / (s + t) as f64),
            _ => [0.5, 0.5],
        };
        let expected = model(&runs, weights);
        let mut items = items(&runs);
        for (at, other) in order.iter().enumerate().filter(|_| !items.is_empty()).collect::<Vec<_>>() {
            let (a, b) = (at % items.len(), other.index(items.len()));
            items.swap(a, b);
        }
        let mut decider = platform(sessions);
        let now = moment((SPAN_S + 6) * 1000);
        for (node, epoch, item) in items {
            decider.handle(now, batch(node, epoch, Some(item)));
        }
        decider.handle(now + Duration::from_secs(5), batch(0, 9, None));
        assert_same(&sums(&decider), &expected)?;
        let (observed, bad) = budget(&decider);
        prop_assert!((observed - expected.0).abs() < 0.01 && (bad - expected.1).abs() < 0.01);
    }

    #[test]
    fn what_comes_late_corrects_what_was_counted_and_counters_never_fall(
        runs in vec(run(), 0..6).prop_map(distinct),
        delays in vec(0..40_u64, 200),
    ) {
        let expected = model(&runs, [0.5, 0.5]);
        // Each piece comes when its delay is over: some are judged without the others.
        let mut items = items(&runs);
        let mut delays = delays.into_iter().cycle();
        let mut timed: Vec<_> = items.drain(..).map(|it| (delays.next().unwrap_or(0), it)).collect();
        timed.sort_by_key(|it| it.0);
        let mut decider = platform(None);
        let begin = (SPAN_S + 6) * 1000;
        let mut before = (0.0, 0.0, vec![0.0; FaultClass::ALL.len()]);
        for (delay, (node, epoch, item)) in timed {
            decider.handle(moment(begin + delay * 1000), batch(node, epoch, Some(item)));
            let shown = sums(&decider);
            let pairs = before.2.iter().zip(&shown.2);
            prop_assert!(shown.0 >= before.0 && shown.1 >= before.1);
            prop_assert!(pairs.into_iter().all(|(before, after)| after >= before));
            prop_assert!(shown.1 <= shown.0 + 1e-6, "bad for no longer than observed");
            before = shown;
        }
        decider.handle(moment(begin + 45_000), batch(0, 9, None));
        let (observed, bad) = budget(&decider);
        prop_assert!((observed - expected.0).abs() < 0.01, "{} for {}", observed, expected.0);
        prop_assert!((bad - expected.1).abs() < 0.01, "{} for {}", bad, expected.1);
        let shown = sums(&decider);
        prop_assert!(shown.0 + 1e-6 >= expected.0 && shown.1 + 1e-6 >= expected.1);
    }
}
