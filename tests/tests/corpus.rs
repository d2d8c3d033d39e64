//! A small part of the corpus, made anew where its recipe changed, and what the agent tells of it.
//!
//! `TALLYLIGHT_BIN` names the folder of the programs: cargo gives a test only the binaries of its own package.
#![expect(clippy::expect_used, reason = "a helper of a test fails the test")]

use std::path::{Path, PathBuf};

use tallylight_tests::corpus::{Beside, judge, make};

/// What the agent can tell of; a rule that comes brings its clips.
const CLIPS: [&str; 11] = [
    "black-h264",
    "black-logo",
    "black-mpeg2",
    "black-short",
    "black-then-freeze",
    "freeze-h264",
    "freeze-mpeg2",
    "freeze-noise-h264",
    "silence",
    "trap-fades",
    "trap-quiet",
];

fn agent() -> PathBuf {
    let folder = std::env::var_os("TALLYLIGHT_BIN")
        .expect("TALLYLIGHT_BIN must name the folder of the built programs; script/test sets it");
    let agent = PathBuf::from(folder).join("tallylight-agent");
    assert!(agent.is_file(), "{} is missing; build it first", agent.display());
    agent
}

#[test]
fn planted_faults_are_told_in_time_and_traps_are_left_alone() {
    let agent = agent();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus");
    let only = CLIPS.map(str::to_owned);
    make(&folder, 1, None, &only, |_, _, _| ()).unwrap();
    let judgement = judge(&folder, &only, &agent, Beside::Nothing).unwrap();
    assert_eq!(judgement.flaws(), Vec::<String>::new());
    // Ten events under the sensitive profile, of which the default one leaves out the short black.
    assert_eq!(judgement.expected(), 19);
}
