//! What streams are heard to carry decides what may be compared, what may be switched to, and what a switch has proven.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "ids and lineups of these tests are literals; a test fails by panicking"
)]

#[expect(dead_code, reason = "what only other tests need")]
#[path = "support/stage.rs"]
mod stage;

use stage::{Stage, at, channel, platform};
use tallylight_decide::{
    Mode,
    action::{ActionKind, ActionState},
    view::NotReady,
};
use tallylight_model::FaultKind;

use ActionKind::SwitchSource;

/// What may be meant.
const MEANT: FaultKind = FaultKind::Black;
const HARD: FaultKind = FaultKind::NoData;
/// Half a minute to lay over another, found twice.
const LEARNT: u64 = 55;

/// A channel whose lineup states no offsets; its sources sound like these programmes, so many tenths of a second late.
fn heard(primary: (u64, u64), backup: (u64, u64)) -> Stage {
    let mut parts = platform(1, 2);
    parts.channels[0].sources.iter_mut().for_each(|it| it.offset = None);
    let mut stage = Stage::new(parts, Mode::Auto);
    stage.sounds = [("c0/primary", primary), ("c0/backup", backup)].into();
    stage
}

fn reasons(stage: &Stage, source: usize) -> Vec<NotReady> {
    let channel = stage.lineup.channel(&channel("c0"));
    let mut sources = stage.decider.sources(at(stage.second), channel);
    sources.nth(source).unwrap().reasons
}

#[test]
fn a_backup_that_is_heard_to_carry_the_same_programme_needs_no_stated_offset() {
    let mut stage = heard((1, 0), (1, 30));
    assert_eq!(reasons(&stage, 1), [NotReady::OffsetUnknown]);
    stage.run(LEARNT);
    assert_eq!(reasons(&stage, 1), []);
    stage.breaks("c0/primary", MEANT, 60);
    stage.run(30);
    assert_eq!(stage.kinds(), [SwitchSource]);
}

#[test]
fn a_pause_in_speech_is_no_reason_not_to_listen() {
    let mut stage = heard((1, 0), (1, 30));
    stage.pauses = true;
    stage.run(LEARNT);
    assert!(!reasons(&stage, 1).contains(&NotReady::OffsetUnknown));
}

#[test]
fn black_that_comes_on_the_backup_as_much_later_as_its_sound_is_the_programmes() {
    for late in [30, 80] {
        let mut stage = heard((1, 0), (1, late));
        stage.run(LEARNT);
        stage.breaks("c0/primary", MEANT, 60);
        stage.run(late / 10);
        stage.breaks("c0/backup", MEANT, 60);
        stage.run(50);
        assert_eq!(stage.kinds(), [], "{late} tenths late");
    }
}

#[test]
fn a_backup_with_another_programme_is_not_switched_to_until_it_carries_the_same() {
    let mut stage = heard((1, 0), (2, 0));
    stage.run(140);
    assert_eq!(reasons(&stage, 1), [NotReady::OtherProgramme]);
    stage.breaks("c0/primary", HARD, 30);
    stage.run(40);
    assert_eq!(stage.kinds(), []);
    stage.sounds = [("c0/primary", (3, 0)), ("c0/backup", (3, 10))].into();
    stage.run(70);
    assert_eq!(reasons(&stage, 1), []);
}

#[test]
fn what_is_heard_while_a_source_is_broken_says_nothing_of_its_programme() {
    let mut stage = heard((1, 0), (1, 30));
    stage.run(LEARNT);
    // What a broken encoder plays instead.
    stage.sounds.insert("c0/primary", (9, 0));
    stage.breaks("c0/primary", MEANT, 100);
    stage.run(90);
    assert_eq!(stage.kinds(), [SwitchSource]);
    assert!(!reasons(&stage, 0).contains(&NotReady::OtherProgramme));
}

#[test]
fn a_switch_is_not_proven_by_a_delivery_that_goes_on_with_the_source_it_left() {
    let last_state = |stuck| {
        let mut stage = heard((1, 0), (1, 30));
        stage.run(LEARNT);
        stage.stuck = stuck;
        stage.breaks("c0/primary", HARD, 4);
        stage.run(60);
        let (_, command) = stage.sent.first().unwrap();
        stage.decider.action(command.action).unwrap().state
    };
    assert!(matches!(last_state(None), ActionState::Verified), "{:?}", last_state(None));
    let stuck = last_state(Some(("c0/s1", "c0/primary")));
    assert!(!matches!(stuck, ActionState::Verified), "{stuck:?}");
}
