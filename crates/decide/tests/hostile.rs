//! Whatever comes in, in whatever order, nothing panics, nothing waits in the past, and nothing grows without bound.
#![expect(clippy::unwrap_used, reason = "ids and lineups of these tests are literals")]

use std::{collections::BTreeMap, time::Duration};

use tallylight_decide::{
    ChangedBy, Decider, Input, KillSwitch, Mode, OnAir, Outcome, Output, PanelChannel,
    PanelEncoder, PanelRefusal, PanelRegion, PanelServer, PanelState, Policy, Scope, ServerState,
    action::Reason,
    journal::{Record, Remembered},
    lineup::{
        Agent, Channel, Delivery, Encoder, Lineup, Parts, Region, Server, Source, SourceRole,
    },
    maintenance::{Area, MAX_WINDOWS, Plan, WindowState},
};
use tallylight_model::{
    ActionId, Batch, ChannelId, Counters, EncoderId, Epoch, FaultKind, FaultPhase, FaultRecord,
    IncidentId, LatencySample, MonoTime, NodeId, NodeReport, Observed, Ratio, RegionId, ServerId,
    Severity, Slice, StreamId, WallTime, WindowId,
};

/// xorshift64*: the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len() as u64) as usize]
    }

    fn wild_time(&mut self, now: MonoTime) -> MonoTime {
        match self.below(8) {
            0 => MonoTime::ZERO,
            1 => MonoTime::from_nanos(u64::MAX),
            2 => now + Duration::from_secs(self.below(100_000)),
            _ => now - Duration::from_millis(self.below(30_000)),
        }
    }

    fn wild_span(&mut self) -> Duration {
        match self.below(10) {
            0 => Duration::ZERO,
            1 => Duration::MAX,
            2 => Duration::from_secs(self.below(100_000)),
            _ => Duration::from_millis(self.below(1100)),
        }
    }
}

const STREAMS: [&str; 6] =
    ["one/primary", "one/backup", "one/s", "one/t", "one/foreign", "two/primary"];
const NODES: [&str; 4] = ["head", "a", "b", "foreign"];

fn lineup() -> Lineup {
    let regions = ["headend", "home"].map(|it| RegionId::new(it).unwrap());
    let source = |id: &str, role| Source {
        stream: StreamId::parse(id).unwrap(),
        role,
        priority: 1,
        provider: None,
        region: regions[0].clone(),
        offset: Some(Duration::from_secs(1)),
        format: None,
    };
    let delivery = |id: &str| Delivery {
        stream: StreamId::parse(&format!("one/{id}")).unwrap(),
        server: ServerId::new(id).unwrap(),
        delay: Duration::from_secs(2),
    };
    let agent = |node: &str, region: &RegionId| Agent {
        node: NodeId::new(node).unwrap(),
        region: region.clone(),
        path: node.to_owned(),
    };
    Lineup::new(Parts {
        regions: regions.clone().map(|id| Region { id }).into(),
        servers: ["s", "t"]
            .map(|id| Server {
                id: ServerId::new(id).unwrap(),
                region: regions[1].clone(),
                node: None,
            })
            .into(),
        providers: Vec::new(),
        encoders: vec![Encoder { id: EncoderId::new("rack").unwrap() }],
        agents: vec![agent("head", &regions[0]), agent("a", &regions[1]), agent("b", &regions[1])],
        channels: vec![Channel {
            id: ChannelId::new("one").unwrap(),
            name: String::new(),
            kind: Default::default(),
            profile: Default::default(),
            encryption: Default::default(),
            audio: Vec::new(),
            single_witness: Default::default(),
            programme_match: Default::default(),
            fail_back: None,
            encoder: EncoderId::new("rack").ok(),
            sources: vec![
                source("one/primary", SourceRole::Primary),
                source("one/backup", SourceRole::Backup),
            ],
            deliveries: vec![delivery("s"), delivery("t")],
        }],
    })
    .unwrap()
}

fn slice(dice: &mut Dice, now: MonoTime) -> Slice {
    let kinds = dice.below(3);
    let span = |dice: &mut Dice| dice.wild_span();
    Slice {
        stream: StreamId::parse(dice.word(&STREAMS)).unwrap(),
        start: WallTime::from_unix_millis(dice.below(1 << 40) as i64),
        end: dice.wild_time(now),
        length: span(dice),
        observed: Observed {
            transport: span(dice),
            picture: span(dice),
            sound: span(dice),
            delivery: span(dice),
        },
        conditions: (0..kinds).map(|_| (*dice.pick(FaultKind::ALL), dice.wild_span())).collect(),
        standing: (0..kinds)
            .map(|_| (*dice.pick(FaultKind::ALL), *dice.pick(&Severity::ALL)))
            .collect(),
        counters: Counters {
            receive_dropped: dice.below(2) * dice.below(2),
            ..Counters::default()
        },
        latencies: vec![LatencySample::Startup(dice.wild_span())],
        fingerprint: Default::default(),
    }
}

fn batch(dice: &mut Dice, now: MonoTime) -> Batch {
    let fault = |dice: &mut Dice| FaultRecord {
        seq: dice.below(1000),
        stream: StreamId::parse(dice.word(&STREAMS)).unwrap(),
        kind: *dice.pick(FaultKind::ALL),
        phase: match dice.below(3) {
            0 => FaultPhase::Begin,
            1 => FaultPhase::Raise,
            _ => FaultPhase::End(dice.wild_time(now)),
        },
        severity: *dice.pick(&Severity::ALL),
        pid: None,
        onset: dice.wild_time(now),
        declared: dice.wild_time(now),
        evidence: "\u{e9}".repeat(dice.below(300) as usize),
    };
    Batch {
        node: NodeId::new(dice.word(&NODES)).unwrap(),
        epoch: Epoch(1 + dice.below(40) / 39),
        slices: (0..dice.below(6)).map(|_| slice(dice, now)).collect(),
        faults: (0..dice.below(4)).map(|_| fault(dice)).collect(),
        reports: (0..dice.below(2))
            .map(|_| NodeReport {
                at: dice.wild_time(now),
                saturation: BTreeMap::from([(tallylight_model::Resource::Cpu, Ratio::ONE)]),
                receive_dropped: dice.below(20) / 19,
                lost_slices: u64::MAX,
            })
            .collect(),
    }
}

fn panel(dice: &mut Dice) -> PanelState {
    PanelState {
        version: dice.below(10),
        channels: ["one", "foreign"]
            .map(|id| PanelChannel {
                channel: ChannelId::new(id).unwrap(),
                active: (dice.below(4) > 0).then(|| StreamId::parse(dice.word(&STREAMS)).unwrap()),
                changed_by: ChangedBy::Action(ActionId(dice.below(10))),
                sessions: BTreeMap::from([(RegionId::new("home").unwrap(), u64::MAX)]),
                egress_bytes: BTreeMap::new(),
            })
            .into(),
        servers: ["s", "t", "foreign"]
            .map(|id| PanelServer {
                server: ServerId::new(id).unwrap(),
                state: *dice.pick(ServerState::ALL),
                sessions: u64::MAX,
                share: Some(dice.below(200) as u8),
                can_restart: dice.below(2) == 0,
            })
            .into(),
        regions: ["home", "foreign"]
            .map(|id| PanelRegion {
                region: RegionId::new(id).unwrap(),
                served_by: RegionId::new(dice.word(&["home", "foreign"])).unwrap(),
            })
            .into(),
        encoders: ["rack", "foreign"]
            .map(|id| PanelEncoder { encoder: EncoderId::new(id).unwrap(), can_restart: true })
            .into(),
    }
}

fn window(dice: &mut Dice, now: MonoTime) -> Plan {
    let area = match dice.below(3) {
        0 => Area::Server(ServerId::new(dice.word(&["s", "t", "foreign"])).unwrap()),
        1 => Area::Region(RegionId::new(dice.word(&["home", "foreign"])).unwrap()),
        _ => Area::Channel(ChannelId::new(dice.word(&["one", "foreign"])).unwrap()),
    };
    let id = WindowId::new(&format!("w{}", dice.below(300))).unwrap();
    let (begin, end) = (dice.wild_time(now), dice.wild_time(now));
    Plan { id, area, begin, end, by: None, why: String::new() }
}

fn input(dice: &mut Dice, now: MonoTime) -> Input {
    let action = ActionId(dice.below(20));
    match dice.below(40) {
        0 => Input::PanelDown,
        1..=5 => Input::Panel(panel(dice)),
        6..=8 => Input::Outcome {
            action,
            outcome: dice
                .pick(&[
                    Outcome::Done,
                    Outcome::Failed(String::new()),
                    Outcome::Refused(PanelRefusal::StaleEpoch),
                    Outcome::Unknown,
                    Outcome::NotSent(Reason::Expired),
                ])
                .clone(),
        },
        9 => Input::Approve { action, by: String::new() },
        10 => Input::Close { incident: IncidentId(dice.below(20)), by: String::new() },
        11 => {
            Input::SetMode { scope: Scope::Global, mode: *dice.pick(Mode::ALL), by: String::new() }
        }
        12 => Input::KillSwitch(*dice.pick(&[KillSwitch::Pulled, KillSwitch::Released])),
        13 => Input::OnAir {
            channel: ChannelId::new("one").unwrap(),
            on_air: *dice.pick(&[OnAir::On, OnAir::On, OnAir::Off]),
        },
        14 => Input::Lineup(Box::new(lineup())),
        15 => Input::Tick,
        16 => Input::Reject { action, by: String::new() },
        17 => Input::Maintain(window(dice, now)),
        18 => Input::EndMaintenance { window: window(dice, now).id },
        19 => Input::EndHandsOff { channel: ChannelId::new("one").unwrap() },
        _ => Input::Batch(batch(dice, now)),
    }
}

#[test]
fn nothing_from_outside_breaks_the_judgement() {
    for seed in 1..=60 {
        let mut dice = Dice(seed * 0x9E37_79B9);
        let mut now = MonoTime::from_nanos(3_600_000_000_000);
        let mut policy = Policy::default();
        policy.modes.insert(Scope::Global, Mode::Auto);
        let mut decider = Decider::new(lineup(), policy.clone(), Epoch(1));
        let mut journal: BTreeMap<String, (MonoTime, Record)> = BTreeMap::new();
        let mut bad = 0.0;
        for _ in 0..1500 {
            now = now + Duration::from_millis(dice.below(400));
            decider.handle(now, input(&mut dice, now));
            assert!(decider.deadline().is_none_or(|at| at > now), "seed {seed}");
            while let Some(output) = decider.poll() {
                match output {
                    Output::Journal(record) => {
                        journal.insert(record.key.clone(), (now, record));
                    }
                    Output::Act(command) => {
                        assert_eq!(decider.still_allowed(command.action, now), Ok(()));
                    }
                    _ => {}
                }
            }
            for incident in decider.incidents() {
                let (lines, sides) = (incident.timeline.len(), incident.evidence.len());
                assert!(lines <= 64 && sides <= 32 && incident.refusals.len() <= 32);
            }
            let standing = decider.windows().filter(|it| it.state(now) != WindowState::Over);
            assert!(standing.count() <= MAX_WINDOWS);
        }
        let listed = decider.lineup().channels();
        for view in decider.signals(now, listed) {
            assert!(view.bad >= bad && view.bad <= view.observed_any, "seed {seed}");
            bad = view.bad;
        }
        let listed = || decider.lineup().channels();
        let channels = decider.channels(now, listed()).count();
        let views = (channels, decider.sources(now, listed()).count());
        assert_eq!(views, (1, 2));
        let (nodes, faults) = (decider.nodes(now).count(), decider.faults(None).count());
        assert!(nodes == 3 && faults < 200);
        let limits = decider.limits();
        assert!(limits.foreign_nodes > 0 && limits.foreign_streams > 0);

        let remembered = journal
            .into_values()
            .map(|(written, record)| Remembered { age: now.since(written), record });
        let (restored, unread) = Decider::restore(lineup(), policy, Epoch(2), now, remembered);
        assert!(unread.is_empty(), "seed {seed}: {unread:?}");
        assert_eq!(restored.incidents().count(), decider.incidents().count());
        assert_eq!(restored.actions().count(), decider.actions().count());
    }
}

#[test]
fn a_damaged_journal_is_told_and_the_rest_is_taken() {
    let record = |key: &str, body: &[u8]| Remembered {
        record: Record { key: key.to_owned(), body: body.to_vec() },
        age: Duration::from_secs(u64::MAX),
    };
    let journal = vec![
        record("incident/1", &[0]),
        record("incident/2", &[1, 2, 3]),
        record("action/1", &[255; 400]),
        record("mode/global", &[1, 255, 255, 255, 255, 255, 255, 255, 255]),
        record("what", &[1]),
    ];
    let now = MonoTime::from_nanos(1);
    let (decider, unread) = Decider::restore(lineup(), Policy::default(), Epoch(1), now, journal);
    assert_eq!(unread.len(), 5);
    assert_eq!(decider.incidents().count(), 0);
}
