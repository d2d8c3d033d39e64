//! The program itself: what it prints, how it ends, and what signals do.

use std::process::{Command, Output};

use tallylight_collector::auth::TokenHash;

use crate::support::{Running, Site, agree, get};

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tallylight-collector")).args(arguments).output().unwrap()
}

#[test]
fn check_exits_0_on_what_run_would_take_and_lists_all_that_is_wrong_otherwise() {
    let site = Site::new("");
    let config = site.path("collector.toml");
    let good = program(&["check", "--config", config.to_str().unwrap()]);
    let said = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success(), "{said}");
    assert!(said.ends_with("in order (1 channels, 4 streams, 4 agents, 2 regions)\n"), "{said}");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("colour = 'red'\nshape = 1\n{text}")).unwrap();
    for command in ["check", "run"] {
        let bad = program(&[command, "--config", config.to_str().unwrap()]);
        assert_eq!(bad.status.code(), Some(1));
        let said = String::from_utf8(bad.stderr).unwrap();
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.contains("collector.toml:1:1: colour: unknown key"), "{said}");
        assert!(said.contains("collector.toml:2:1: shape: unknown key"), "{said}");
    }
}

#[test]
fn a_token_is_random_and_its_entry_holds_the_hash_alone() {
    let said = |node| String::from_utf8(program(&["token", node]).stdout).unwrap();
    let (one, two) = (said("north-a"), said("north-a"));
    assert_ne!(one, two);
    let token = one.lines().find(|line| line.starts_with("tl_")).unwrap();
    let entry =
        format!("[[agent]]\nnode = \"north-a\"\ntoken_sha256 = \"{}\"", TokenHash::of(token));
    assert!(one.contains(&entry), "{one}");
    assert_eq!(one.matches(token).count(), 1);
    assert_eq!(program(&["token", "not a node"]).status.code(), Some(2));
}

#[tokio::test]
async fn hangup_reloads_or_keeps_the_old_and_term_stops_cleanly() {
    let site = Site::new("");
    let mut running = Running::start(&site);
    let api = running.at.api;
    let channels = async || {
        let shown = get(api, "/api/v1/channels").await;
        shown["channels"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(channels().await, 1);
    let lineup = site.path("lineup.toml");
    let text = std::fs::read_to_string(&lineup).unwrap();
    std::fs::write(&lineup, format!("{text}broken = true\n")).unwrap();
    running.signal("-HUP");
    let line = running.line_with("the old one stays");
    assert!(line.contains("broken: unknown key"), "{line}");
    assert_eq!(channels().await, 1);
    let more = "[[channel]]\nid = 'two'\n[[channel.source]]\nid = 'only'\nrole = 'primary'\n\
                region = 'headend'\nurl = 'udp://239.1.1.3:5000'\n";
    std::fs::write(&lineup, text + more).unwrap();
    running.signal("-HUP");
    agree(async || channels().await == 2).await;
    running.signal("-TERM");
    running.line_with("collector stopped");
    assert!(running.end().success());
}
