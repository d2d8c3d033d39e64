//! What is wrong with a configuration is said all at once, with its place; the examples are right.

use std::path::Path;

use crate::support::Site;
use tallylight_collector::{
    config::{parse_lineup, parse_settings},
    io::load,
};

#[test]
fn the_examples_are_right() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let text = std::fs::read_to_string(examples.join("lineup.toml")).unwrap();
    let lineup = parse_lineup("lineup.toml", &text).unwrap();
    assert_eq!(lineup.lineup.channels().count(), 2);
    let text = std::fs::read_to_string(examples.join("collector.toml")).unwrap();
    let settings = parse_settings("collector.toml", &text, Some(&lineup.lineup)).unwrap();
    assert_eq!(settings.agents.len(), 2);
}

/// Settings with one line replaced or added.
fn settings(change: &str) -> String {
    let base = "lineup = 'l.toml'\njournal = 'j'\nkill_switch = 'k'\n";
    match parse_settings("collector.toml", &format!("{base}{change}"), None) {
        Ok(_) => "ok".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn every_problem_of_the_settings_has_its_place_and_says_what_is_allowed() {
    let hash = "a".repeat(64);
    let twin = format!(
        "[[agent]]\nnode = 'a'\ntoken_sha256 = '{hash}'\n[[agent]]\nnode = 'b'\ntoken_sha256 = '{hash}'"
    );
    for (text, expected) in [
        ("", "ok"),
        (
            "jurnal = 'x'",
            "collector.toml:4:1: jurnal: unknown key; allowed are lineup, journal, kill_switch, \
             traces, listen, tls, agent, operators, mode, guards, slo, panel",
        ),
        (
            "[listen]\ngrpc = 'localhost:4317'",
            "collector.toml:5:9: listen.grpc: \"localhost:4317\" is not an address; write an IP \
             address and a port, as in \"127.0.0.1:9464\"",
        ),
        (
            "[[agent]]\nnode = 'north a'\ntoken_sha256 = 'hunter2'",
            "collector.toml:5:9: agent[0].node: \"north a\": id has ' ' at byte 5; allowed are \
             A-Z a-z 0-9 . _ - and a letter or digit first\n\
             collector.toml:6:17: agent[0].token_sha256: is not a SHA-256; write the 64 \
             hexadecimal digits that `token NODE` prints",
        ),
        (
            twin.as_str(),
            "collector.toml:8:9: agent[1].node: has the token of another; make one for each with \
             `token NODE`",
        ),
        (
            "[mode]\nglobal = 'on'",
            "collector.toml:5:11: mode.global: \"on\" is not known; allowed are \"off\", \
             \"dry_run\", \"approve\", \"auto\"",
        ),
        (
            "[mode.action]\nreboot = 'auto'",
            "collector.toml:5:11: mode.action.reboot: is not an action; allowed are \
             switch_source, restart_stream, restart_service, drain_server, undrain_server, \
             return_server, region_move",
        ),
        (
            "[panel]\nurl = 'ftp://user:hunter2@panel/'\nsecret_file = ''",
            "collector.toml:5:8: panel.url: has the scheme \"ftp\"; allowed are http://..., \
             https://...\n\
             collector.toml:6:15: panel.secret_file: is empty; write a path",
        ),
        (
            "[guards]\nquorum = 0\nsettle = '25h'\nsurvivor_saturation = 75",
            "collector.toml:5:10: guards.quorum: 0 is out of bounds; allowed are 1 to 1000\n\
             collector.toml:6:11: guards.settle: is out of bounds; at most 24h\n\
             collector.toml:7:23: guards.survivor_saturation: is not a share; write a number from \
             0.0 to 1.0",
        ),
        (
            "[guards]\nready_seen = '5s'\nverify_restart_good = 21\nverify_switch_within = '9s'",
            "collector.toml:4:1: guards: verify_switch_good does not fit into \
             verify_switch_within; no switch could be verified\n\
             collector.toml:4:1: guards: verify_restart_good is more than verify_restart_of; no \
             restart could be verified",
        ),
    ] {
        assert_eq!(settings(text), expected, "for {text}");
    }
}

#[test]
fn an_objective_leaves_a_budget_and_is_of_something_known() {
    let expected = "\
        collector.toml:5:13: slo.objective: is no objective; write a share from 0.5 to 0.99999, as \
        in 0.999\n\
        collector.toml:7:8: slo.profile.loud: is not a profile; allowed are default, sensitive, broadcast, ott\n\
        collector.toml:9:7: slo.channel.one: is no objective; write a share from 0.5 to 0.99999, \
        as in 0.999";
    let text = "[slo]\nobjective = 1.0\n[slo.profile]\nloud = 0.9\n[slo.channel]\none = 0.2";
    assert_eq!(settings(text), expected);
}

#[test]
fn nodes_and_regions_of_the_settings_are_those_of_the_lineup() {
    let lineup = parse_lineup("lineup.toml", crate::support::LINEUP).unwrap().lineup;
    let text = format!(
        "lineup = 'l'\njournal = 'j'\nkill_switch = 'k'\n[[agent]]\nnode = 'nowhere'\n\
         token_sha256 = '{}'\n[mode.region]\nsouth = 'auto'\n",
        "a".repeat(64)
    );
    let problems = parse_settings("collector.toml", &text, Some(&lineup)).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "collector.toml:5:9: agent[0].node: nowhere is not an agent of the lineup\n\
         collector.toml:8:10: mode.region.south: south is not a region of the lineup"
    );
}

fn lineup(text: &str) -> String {
    match parse_lineup("lineup.toml", text) {
        Ok(_) => "ok".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

const CHANNEL: &str = "[[region]]\nid = 'r'\n[[channel]]\nid = 'one'\n";
const SOURCE: &str = "[[channel.source]]\nid = 'a'\nrole = 'primary'\nregion = 'r'\n\
                      url = 'udp://239.0.0.1:5000'\n";

#[test]
fn what_channels_share_how_they_sound_and_when_they_fail_back_is_checked() {
    for (text, expected) in [
        (
            format!("{CHANNEL}silence = 'yes'\nsound_layout = '5.1'\npriority = 'top'\n{SOURCE}"),
            "lineup.toml:5:12: channel[0].silence: \"yes\" is not known; allowed are \"fault\", \
             \"expected\"\n\
             lineup.toml:6:17: channel[0].sound_layout: \"5.1\" is not known; allowed are \
             \"mono\", \"stereo\"\n\
             lineup.toml:7:13: channel[0].priority: \"top\" is not known; allowed are \"low\", \
             \"normal\", \"high\"",
        ),
        (
            format!("{CHANNEL}encoder = 'rack'\n{SOURCE}[[encoder]]\nid = 'rock'\n"),
            "lineup.toml:5:12: channel[0].encoder: rack is not a listed encoder",
        ),
        (
            format!("{CHANNEL}{SOURCE}[[encoder]]\nid = 'rack'\n[[encoder]]\nid = 'rack'\n"),
            "lineup.toml:13:7: encoder[1].id: rack stands twice; ids are unique",
        ),
        (format!("{CHANNEL}fail_back = '15min'\n{SOURCE}"), "ok"),
        (
            format!("{CHANNEL}fail_back = '5s'\n{SOURCE}"),
            "lineup.toml:5:14: channel[0].fail_back: is out of bounds; allowed are \"manual\" and \
             1m to 24h",
        ),
    ] {
        assert_eq!(lineup(&text), expected, "for {text}");
    }
}

#[test]
fn a_channel_names_a_profile_of_the_program_or_one_that_the_lineup_lists() {
    for (text, expected) in [
        (format!("{CHANNEL}profile = 'sport'\n{SOURCE}[profiles]\nsport = 'broadcast'\n"), "ok"),
        (
            format!("{CHANNEL}profile = 'spotr'\n{SOURCE}[profiles]\nsport = 'broadcast'\n"),
            "lineup.toml:5:12: channel[0].profile: \"spotr\" is not known; allowed are \"default\", \
             \"sensitive\", \"broadcast\", \"ott\", \"sport\"",
        ),
        (
            format!("{CHANNEL}{SOURCE}[profiles]\nott = 'ott'\nsport = 'strict'\n"),
            "lineup.toml:11:8: profiles.ott: is a profile of the program; take another name\n\
             lineup.toml:12:10: profiles.sport: \"strict\" is not known; allowed are \"default\", \
             \"sensitive\", \"broadcast\", \"ott\"",
        ),
    ] {
        assert_eq!(lineup(&text), expected, "for {text}");
    }
}

#[test]
fn every_problem_of_the_lineup_has_its_place_and_says_what_is_allowed() {
    for (text, expected) in [
        (format!("{CHANNEL}{SOURCE}"), "ok"),
        (
            CHANNEL.to_owned(),
            "lineup.toml:3:1: channel[0]: the channel has no source; at least one is needed",
        ),
        (
            format!("{CHANNEL}{SOURCE}").replace("region = 'r'", "region = 's'"),
            "lineup.toml:8:11: channel[0].source[0].region: s is not a listed region",
        ),
        (
            format!("{CHANNEL}kind = 'tape'\nprofile = 'strict'\n{SOURCE}"),
            "lineup.toml:5:9: channel[0].kind: \"tape\" is not known; allowed are \"tv\", \
             \"radio\", \"still\", \"loop\"\n\
             lineup.toml:6:12: channel[0].profile: \"strict\" is not known; allowed are \
             \"default\", \"sensitive\", \"broadcast\", \"ott\"",
        ),
        (
            format!("{CHANNEL}{SOURCE}").replace("udp://", "srt://"),
            "lineup.toml:9:8: channel[0].source[0].url: has the scheme \"srt\"; allowed are \
             udp://..., rtp://..., http://..., https://...",
        ),
        (
            format!("{CHANNEL}{SOURCE}service_id = 0\noffset = '2h'\n"),
            "lineup.toml:10:14: channel[0].source[0].service_id: 0 is out of bounds; allowed are \
             1 to 65535\n\
             lineup.toml:11:11: channel[0].source[0].offset: 7200 s is too long; at most 300 s",
        ),
        (
            format!("{CHANNEL}{SOURCE}offset = '2h'\n"),
            "lineup.toml:10:11: channel[0].source[0].offset: 7200 s is too long; at most 300 s",
        ),
        (
            format!(
                "{CHANNEL}on_air = [{{ days = 'daily', from = '6', to = '24:00', zone = 'Mars' \
                 }}]\naudio = [{{ language = 'English' }}]\n{SOURCE}"
            ),
            "lineup.toml:5:21: channel[0].on_air[0].days: \"daily\": is not a list of days; \
             write mon tue wed thu fri sat sun, as in \"mon-fri\" or \"sat,sun\"\n\
             lineup.toml:5:37: channel[0].on_air[0].from: \"6\": is not a time of day; write \
             hours and minutes, \"00:00\" to \"24:00\"\n\
             lineup.toml:5:63: channel[0].on_air[0].zone: \"Mars\": is not a known time zone; \
             write an IANA name, as in \"Europe/Berlin\" or \"UTC\"\n\
             lineup.toml:6:24: channel[0].audio[0].language: \"English\": is not a language; \
             write an ISO 639-2 code, as in \"eng\"",
        ),
        (
            format!("{CHANNEL}{SOURCE}{SOURCE}"),
            "lineup.toml:3:1: channel[0]: the channel has two primary sources; one is allowed\n\
             lineup.toml:11:7: channel[0].source[1].id: one/a stands twice; ids are unique",
        ),
        (
            format!("{CHANNEL}zap_interval = '10ms'\n{SOURCE}"),
            "lineup.toml:5:17: channel[0].zap_interval: is out of bounds; allowed are 5s to 1h",
        ),
        (
            format!(
                "{CHANNEL}{SOURCE}[[server]]\nid = 'n'\nregion = 'q'\n[[agent]]\nnode = 'x'\nuplink = '0bps'\n"
            ),
            "lineup.toml:13:1: agent[0].region: is missing\n\
             lineup.toml:13:1: agent[0].path: is missing\n\
             lineup.toml:15:11: agent[0].uplink: is zero; write the speed of the line, as in \
             \"10Gbps\"",
        ),
    ] {
        assert_eq!(lineup(&text), expected, "for {text}");
    }
}

#[test]
fn what_a_picture_is_made_of_is_stated_in_known_words() {
    let wrong = "picture = { frame_rate = 'fast', aspect = '16x9' }\n";
    assert_eq!(
        lineup(&format!("{CHANNEL}{SOURCE}{wrong}")),
        "lineup.toml:10:27: channel[0].source[0].picture.frame_rate: \"fast\": is not a frame rate; \
         write frames a second, as in \"29.97\"\n\
         lineup.toml:10:44: channel[0].source[0].picture.aspect: \"16x9\": is not a shape; write \
         width and height, as in \"16:9\"",
    );
    let right = "picture = { codec = 'hevc', width = 3840, scan = 'progressive' }\n";
    assert_eq!(lineup(&format!("{CHANNEL}{SOURCE}{right}")), "ok");
}

#[test]
fn maintenance_is_of_one_listed_thing_at_one_time() {
    for (text, expected) in [
        (
            format!(
                "{CHANNEL}{SOURCE}[[maintenance]]\nid = 'm'\nserver = 'n'\nwhy = 'disks'\n\
                 begin = '2026-11-22T04:00:00Z'\nend = '2026-11-22T06:00:00Z'\n"
            ),
            "lineup.toml:10:1: maintenance[0]: server n is not listed",
        ),
        (
            format!(
                "{CHANNEL}{SOURCE}[[maintenance]]\nid = 'm'\nregion = 'r'\nchannel = 'one'\n\
                 why = 'x'\nbegin = '4 am'\nend = '2026-11-22T06:00:00Z'\n\
                 [[maintenance]]\nid = 'n'\nregion = 'r'\nwhy = 'x'\n\
                 begin = '2026-11-22T06:00:00Z'\nend = '2026-11-22T04:00:00Z'\n"
            ),
            "lineup.toml:10:1: maintenance[0]: write one of server, region or channel\n\
             lineup.toml:10:1: maintenance[0]: write begin and end, or [maintenance.weekly]\n\
             lineup.toml:15:10: maintenance[0].begin: \"4 am\": is not a moment; write it as RFC \
             3339 has it, as in \"2026-11-22T04:00:00Z\"\n\
             lineup.toml:17:1: maintenance[1]: ends before it begins, or is over 31 days long",
        ),
    ] {
        assert_eq!(lineup(&text), expected, "for {text}");
    }
}

#[test]
fn the_problems_of_all_files_come_at_once() {
    let site = Site::new("[panel]\nurl = 'http://127.0.0.1:1'\nsecret_file = 'panel.secret'\n");
    assert!(load(&site.path("collector.toml")).is_ok());
    std::fs::write(site.path("panel.secret"), "hunter2").unwrap();
    let text = std::fs::read_to_string(site.path("lineup.toml")).unwrap();
    std::fs::write(site.path("lineup.toml"), text + "colour = 'red'\n").unwrap();
    let error = load(&site.path("collector.toml")).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].contains("colour: unknown key"), "{error}");
    assert!(lines[1].contains("panel.secret") && !error.contains("hunter2"), "{error}");
    let error = load(&site.path("nowhere.toml")).unwrap_err().to_string();
    assert!(error.contains("nowhere.toml: "), "{error}");
}

#[test]
fn a_file_that_cannot_be_used_is_a_problem_of_the_line_that_names_it() {
    let site = Site::new(
        "[panel]\nurl = 'http://127.0.0.1:1'\nsecret_file = 'gone.secret'\n\
         [tls]\ncertificate_file = 'lineup.toml'\nkey_file = 'gone.key'\n",
    );
    std::fs::remove_file(site.path("lineup.toml")).unwrap();
    let missing = "No such file or directory (os error 2)";
    let config = site.path("collector.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let expected = |key: &str, name: &str, why: &str| {
        let key_of_line = key.split('.').next_back().unwrap();
        let begin = format!("{key_of_line} = '");
        let line = 1 + text.lines().position(|line| line.starts_with(&begin)).unwrap();
        let (at, file) = (begin.len() + 1, site.path(name));
        format!("{}:{line}:{at}: {key}: {}: {why}", config.display(), file.display())
    };
    let lines = [
        expected("lineup", "lineup.toml", missing),
        expected("panel.secret_file", "gone.secret", missing),
        expected("tls.certificate_file", "lineup.toml", missing),
        expected("tls.key_file", "gone.key", missing),
    ];
    assert_eq!(load(&config).unwrap_err().to_string(), lines.join("\n"));
    std::fs::write(site.path("lineup.toml"), crate::support::LINEUP).unwrap();
    std::fs::write(site.path("gone.key"), "hunter2").unwrap();
    let lines = [
        expected("panel.secret_file", "gone.secret", missing),
        expected("tls.certificate_file", "lineup.toml", "holds no certificate in PEM"),
        expected("tls.key_file", "gone.key", "holds no private key in PEM"),
    ];
    assert_eq!(load(&config).unwrap_err().to_string(), lines.join("\n"));
}
