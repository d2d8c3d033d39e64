//! Each rule is broken by what breaks it.

use std::collections::VecDeque;

use tallylight_decide::{
    ChangedBy, PanelChannel, PanelState,
    action::Purpose,
    incident::Cause,
    maintenance::{Area, Plan},
};
use tallylight_model::{
    Counters, Epoch, FaultKind, FaultPhase, FaultRecord, IncidentId, NodeId, NodeReport, Observed,
    Ratio, Resource, Severity, Slice, WallTime, WindowId,
};

use super::{
    word::{Claim, Seen},
    *,
};
use crate::sim::{
    START,
    demo::id,
    platform::{Conditions, channel, demo_lineup, demo_parts, demo_site, node, server, stream},
};

/// A rule, what happened before, and what is wrong with the command.
type Case = (&'static str, fn(&mut Rules), fn(&mut Command));

fn command(action: u64) -> Command {
    let source = |it| Some(Feed::Source(stream(it)));
    Command {
        action: ActionId(action),
        epoch: Epoch(1),
        kind: ActionKind::SwitchSource,
        target: Target::Channel(channel("one")),
        from: source("one/primary"),
        share: None,
        to: source("one/backup"),
        decided: START,
        expires: START + Duration::from_secs(10),
        evidence_arrived: START,
        purpose: Purpose::Incident(IncidentId(1)),
        cause: Some(Cause::Source),
        evidence: Vec::new(),
    }
}

fn rules() -> Rules {
    let platform = Platform::new(demo_site(demo_lineup(), 2), Vec::new());
    let mut policy = Policy::default();
    policy.modes.insert(Scope::Global, Mode::Auto);
    let mut rules = Rules::new(&platform, &policy);
    claim(&mut rules, "one/primary");
    let second = Duration::from_secs(1);
    let held = Conditions::NONE;
    let seen = Seen { start: START - second, end: START, held, picture: true, any: true };
    let word = headend(&mut rules).words.entry(stream("one/backup")).or_default();
    word.recent = VecDeque::from([seen]);
    rules
}

fn headend(rules: &mut Rules) -> &mut Witness {
    rules.witnesses.iter_mut().find(|it| it.region.as_str() == "headend").unwrap()
}

/// A batch in which nothing is said.
fn nothing(node: &NodeId) -> Batch {
    let (slices, faults, reports) = (Vec::new(), Vec::new(), Vec::new());
    Batch { node: node.clone(), epoch: Epoch(1), slices, faults, reports }
}

fn claim(rules: &mut Rules, of: &str) {
    let claim = Claim { severity: Severity::Critical, onset: START, declared: START, said: START };
    let word = headend(rules).words.entry(stream(of)).or_default();
    word.standing.insert(FaultKind::NoData, claim);
}

fn plan(area: Area) -> Plan {
    let window = id(WindowId::new("w"));
    let end = START + Duration::from_secs(60);
    Plan { id: window, area, begin: START, end, by: None, why: "new disks".to_owned() }
}

/// The panel says that this channel is on that source, and who put it there.
fn panel_says(rules: &mut Rules, on: &str, by: ChangedBy) {
    let said = PanelChannel {
        channel: channel("one"),
        active: Some(stream(on)),
        changed_by: by,
        sessions: BTreeMap::new(),
        egress_bytes: BTreeMap::new(),
    };
    let state = PanelState { channels: Vec::from([said]), ..PanelState::default() };
    rules.input(START, &Input::Panel(state));
}

fn end(rules: &mut Rules, of: u64, state: ActionState) {
    let (action, kind) = (ActionId(of), ActionKind::SwitchSource);
    rules.output(START, &Output::Action { action, kind, state, detail: String::new() }, None);
}

/// What may be done at all, and on what evidence.
const OF_EVIDENCE: &[Case] = &[
    ("not past its expiry", |_| {}, |it| it.expires = START),
    ("no action past the kill switch", |it| it.pulled = true, |_| {}),
    ("no action past its mode", |it| it.modes.clear(), |_| {}),
    ("the target is explicit and listed", |_| {}, |it| it.to = it.from.clone()),
    (
        "the target is explicit and listed",
        |_| {},
        |it| {
            it.kind = ActionKind::DrainServer;
            it.target = Target::Servers(Vec::new());
        },
    ),
    ("nothing acts on a programme or a probe", |_| {}, |it| it.cause = Some(Cause::Programme)),
    ("nothing acts on a programme or a probe", |it| it.beyond_remedy = true, |_| {}),
    (
        "no action on stale evidence",
        |it| it.witnesses.iter_mut().for_each(|it| it.words.clear()),
        |_| {},
    ),
    ("no action on a single witness", |_| {}, |it| it.cause = Some(Cause::Processing)),
    (
        "no action on stale evidence",
        |_| {},
        |it| {
            it.kind = ActionKind::DrainServer;
            it.target = Target::Servers(vec![server("n1")]);
        },
    ),
];

/// What others do, and what is worked on.
const OF_OTHERS: &[Case] = &[
    ("never onto a source that is seen to be bad", |it| claim(it, "one/backup"), |_| {}),
    (
        "back only where it was asked for",
        |it| {
            it.output(START, &Output::Act(command(7)), None);
            end(it, 7, ActionState::Verified);
        },
        |it| core::mem::swap(&mut it.from, &mut it.to),
    ),
    (
        "no viewers back to what is seen to be broken",
        |it| {
            ["one/s1", "two/s1", "three/s1", "four/s1"].iter().for_each(|of| claim(it, of));
        },
        |it| {
            it.kind = ActionKind::ReturnServer;
            it.target = Target::Servers(Vec::from([server("s1")]));
        },
    ),
    (
        "viewers leave a server only for one with room",
        |it| {
            let mut parts = demo_parts();
            parts.servers.iter_mut().for_each(|it| it.node = Some(node("north-a")));
            it.relist(id(Lineup::new(parts)));
            let saturation = BTreeMap::from([(Resource::Cpu, Ratio::new(0.9))]);
            let report = NodeReport { at: START, saturation, ..NodeReport::default() };
            let who = it.witnesses.iter_mut().find(|it| it.node == node("north-a")).unwrap();
            who.heard(START, &Batch { reports: Vec::from([report]), ..nothing(&who.node) });
        },
        |it| {
            it.kind = ActionKind::DrainServer;
            it.target = Target::Servers(Vec::from([server("n1")]));
        },
    ),
    (
        "what is left to others is not touched",
        |it| {
            panel_says(it, "one/backup", ChangedBy::Panel);
            panel_says(it, "one/primary", ChangedBy::Operator);
        },
        |_| {},
    ),
    (
        "what a person said no to is not done",
        |it| {
            let by = "ops".to_owned();
            it.input(START, &Input::Reject { action: ActionId(1), by });
        },
        |_| {},
    ),
    (
        "no approval after its time",
        |it| {
            it.approval_expiry = Duration::ZERO;
            it.people.waits(START - Duration::from_secs(1), ActionId(1));
        },
        |_| {},
    ),
    (
        "no action on what is being worked on",
        |it| it.input(START, &Input::Maintain(plan(Area::Channel(channel("one"))))),
        |_| {},
    ),
    (
        "maintenance moves what it names while it may",
        |it| it.input(START, &Input::Maintain(plan(Area::Server(server("n1"))))),
        |it| {
            it.kind = ActionKind::DrainServer;
            it.target = Target::Servers(Vec::from([server("s1")]));
            it.purpose = Purpose::Maintenance(id(WindowId::new("w")));
        },
    ),
    (
        "of a group one goes first, then batches of a fifth",
        |it| {
            it.output(
                START,
                &Output::Act(Command { cause: Some(Cause::Provider), ..command(7) }),
                None,
            )
        },
        |it| it.cause = Some(Cause::Provider),
    ),
    (
        "of a group one goes first, then batches of a fifth",
        |it| {
            let mate = Command { cause: Some(Cause::Provider), ..command(7) };
            let target = Target::Channel(channel("two"));
            let before = START - Duration::from_secs(100);
            it.output(before, &Output::Act(Command { target, ..mate }), None);
            end(it, 7, ActionState::NotVerified);
        },
        |it| it.cause = Some(Cause::Provider),
    ),
    (
        "no action in a storm",
        |it| {
            it.storm = Some(Storm::of(&["north"]));
        },
        |_| {},
    ),
];

#[test]
fn each_rule_is_broken_by_what_breaks_it() {
    let act = |it: &mut Rules, command: Command| it.output(START, &Output::Act(command), None);
    for (rule, before, change) in OF_EVIDENCE.iter().chain(OF_OTHERS) {
        let mut rules = rules();
        before(&mut rules);
        let mut command = command(1);
        change(&mut command);
        act(&mut rules, command);
        let broken: Vec<_> = rules.broken.iter().map(|it| it.rule).collect();
        assert!(broken.contains(rule), "{rule}: {broken:?}");
    }
    let mut rules = rules();
    act(&mut rules, command(1));
    assert!(rules.broken.is_empty(), "{:?}", rules.broken);
    act(&mut rules, command(1));
    let broken: Vec<_> = rules.broken.iter().map(|it| it.rule).collect();
    for rule in [
        "one action in flight on a target",
        "an action's id is used once",
        "one action a minute on a target",
    ] {
        assert!(broken.contains(&rule), "{rule}: {broken:?}");
    }
}

#[test]
fn what_was_said_before_the_end_of_a_fault_and_comes_after_it_is_no_claim() {
    let mut rules = rules();
    let second = Duration::from_secs(1);
    let empty = nothing(&headend(&mut rules).node);
    let over = FaultRecord {
        seq: 2,
        stream: stream("one/primary"),
        kind: FaultKind::NoData,
        phase: FaultPhase::End(START),
        severity: Severity::Critical,
        pid: None,
        onset: START,
        declared: START,
        evidence: String::new(),
    };
    let says = |end: MonoTime| Slice {
        stream: over.stream.clone(),
        start: WallTime::from_unix_millis(0),
        end,
        length: second,
        observed: Observed::default(),
        conditions: BTreeMap::new(),
        standing: BTreeMap::from([(FaultKind::NoData, Severity::Critical)]),
        counters: Counters::default(),
        latencies: Vec::new(),
        fingerprint: Default::default(),
    };
    let of = BTreeSet::from([over.stream.clone()]);
    let heard = |rules: &mut Rules, cut: MonoTime, batch: &Batch| {
        headend(rules).heard(cut, batch);
        rules.claims(START + second, &of).len()
    };
    let ends = Batch { faults: Vec::from([over.clone()]), ..empty.clone() };
    assert_eq!(heard(&mut rules, START, &ends), 0);
    let before = START - second;
    let late = Batch { slices: Vec::from([says(before)]), ..empty.clone() };
    assert_eq!(heard(&mut rules, before, &late), 0);
    let again = Batch { slices: Vec::from([says(START + second)]), ..empty };
    assert_eq!(heard(&mut rules, START + second, &again), 1);
}

#[test]
fn a_record_that_a_later_one_has_overtaken_takes_nothing_back() {
    let mut rules = rules();
    let node = headend(&mut rules).node.clone();
    let told = |seq: u64, phase: FaultPhase, severity: Severity| Batch {
        faults: Vec::from([FaultRecord {
            seq,
            stream: stream("one/primary"),
            kind: FaultKind::Continuity,
            phase,
            severity,
            pid: None,
            onset: START,
            declared: START,
            evidence: String::new(),
        }]),
        ..nothing(&node)
    };
    let second = Duration::from_secs(1);
    let raise = told(2, FaultPhase::Raise, Severity::Critical);
    headend(&mut rules).heard(START + second, &raise);
    headend(&mut rules).heard(START, &told(1, FaultPhase::Begin, Severity::Warning));
    let of = BTreeSet::from([stream("one/primary")]);
    let claims = rules.claims(START + second, &of);
    assert!(claims.iter().any(|it| it.kind == FaultKind::Continuity));
}

#[test]
fn a_second_outcome_and_an_intent_without_one_are_told() {
    let mut rules = rules();
    rules.output(START, &Output::Act(command(1)), None);
    let ends = |state| Output::Action {
        action: ActionId(1),
        kind: ActionKind::SwitchSource,
        state,
        detail: String::new(),
    };
    rules.output(START, &ends(ActionState::Failed), None);
    assert!(rules.broken.is_empty(), "{:?}", rules.broken);
    rules.output(START, &ends(ActionState::Expired), None);
    rules.over(START + ENDS_WITHIN * 2, &[]);
    let broken: Vec<_> = rules.broken.iter().map(|it| it.rule).collect();
    assert_eq!(broken, ["one outcome for each intent", "every intent ends"]);
}
