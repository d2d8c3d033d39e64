//! Rules that the compiler does not know: walls between the parts, sizes, names in documents.
//!
//! Each exception stands here by name. `UPDATE=1 cargo test --test tidy` rewrites the generated tables in `docs/`.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail the test by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use tallylight_decide::{action::Reason, view::NotReady};
use tallylight_model::{Acts, FaultKind, Metric, MetricKind, Profile, ProfileName};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files below `folder` with this ending, as (path from the root, text), in order.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}")) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, text));
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<(String, String)> {
    ["agent", "collector", "crates", "tests"]
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
        .collect()
}

fn members() -> Vec<String> {
    let manifest: toml_span::Value<'_> = toml_span::parse(MANIFEST).unwrap();
    let members =
        manifest.pointer("/workspace/members").and_then(toml_span::Value::as_array).unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

const MANIFEST: &str = include_str!("../../Cargo.toml");

/// A file up to its test module, and from there on. A module in a file of its own hides nothing.
fn split_tests(text: &str) -> (&str, &str) {
    let begin = "\n#[cfg(test)]\nmod ";
    let inline = |(at, _): &(usize, &str)| {
        text[at + begin.len()..].lines().next().is_some_and(|line| line.ends_with('{'))
    };
    text.match_indices(begin).find(inline).map_or((text, ""), |(at, _)| text.split_at(at))
}

/// A file's code: without its test module, comments and the contents of strings.
fn code(text: &str) -> String {
    let text = split_tests(text).0;
    let mut plain = String::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or(line);
        for (index, part) in line.split('"').enumerate() {
            plain.push_str(if index % 2 == 0 { part } else { "\"\"" });
        }
        plain.push('\n');
    }
    plain
}

fn fail_if_any(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn every_crate_but_av_forbids_unsafe_code() {
    let mut broken = Vec::new();
    for member in members() {
        for file in ["src/lib.rs", "src/main.rs"] {
            let path = root().join(&member).join(file);
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let wanted = if member == "crates/av" {
                "#![expect(unsafe_code,reason="
            } else {
                "#![forbid(unsafe_code)]"
            };
            let text: String = text.split_whitespace().collect();
            if !text.contains(wanted) {
                broken.push(format!("{member}/{file} lacks {wanted}"));
            }
        }
    }
    fail_if_any("unsafe code stays in crates/av", &broken);
}

#[test]
fn the_pure_crates_are_no_std_and_need_the_model_alone() {
    for name in ["model", "ts", "decide"] {
        let text = fs::read_to_string(root().join(format!("crates/{name}/src/lib.rs"))).unwrap();
        assert!(text.contains("#![no_std]"), "{name}");
        let text = fs::read_to_string(root().join(format!("crates/{name}/Cargo.toml"))).unwrap();
        let manifest = toml_span::parse(&text).unwrap();
        let needs = manifest.pointer("/dependencies").and_then(toml_span::Value::as_table);
        let needs: Vec<&str> =
            needs.into_iter().flat_map(|t| t.keys()).map(|k| k.name.as_ref()).collect();
        let allowed: &[&str] = if name == "model" { &[] } else { &["tallylight-model"] };
        assert_eq!(needs, allowed, "{name}");
    }
}

#[test]
fn each_part_sees_those_that_architecture_lets_it_see() {
    for (member, sees) in [
        ("agent", &["av", "config", "model", "mux", "ts", "wire"][..]),
        ("collector", &["config", "decide", "model", "wire"]),
        ("tests", &["decide", "model", "ts", "wire"]),
        ("crates/av", &["model"]),
        ("crates/config", &["model"]),
        ("crates/wire", &["model"]),
    ] {
        let text = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let parts = text.lines().filter_map(|line| {
            let (part, _) = line.strip_prefix("tallylight-")?.split_once(['.', ' ', '='])?;
            Some(part)
        });
        let parts: BTreeSet<_> = parts.collect();
        assert_eq!(parts, sees.iter().copied().collect(), "{member}");
    }
}

/// What code outside `io/` and `main.rs` of the two programs may name: nothing that reads a clock, a file or a socket.
const PURE_ROOTS: &[&str] = &[
    "alloc",
    "anyhow",
    "base64",
    "bytes",
    "clap",
    "core",
    "ebur128",
    "hmac",
    "jiff",
    "jpeg_encoder",
    "serde",
    "serde_json",
    "sha2",
    "subtle",
    "tallylight_agent",
    "tallylight_av",
    "tallylight_collector",
    "tallylight_config",
    "tallylight_decide",
    "tallylight_model",
    "tallylight_ts",
    "tallylight_wire",
    "thiserror",
    "toml_span",
    "url",
];
const PURE_STD: &[&str] = &[
    "array",
    "borrow",
    "boxed",
    "cell",
    "char",
    "cmp",
    "collections",
    "convert",
    "default",
    "error",
    "f32",
    "f64",
    "fmt",
    "iter",
    "mem",
    "net",
    "num",
    "ops",
    "option",
    "path",
    "rc",
    "result",
    "slice",
    "str",
    "string",
    "sync",
    "time",
    "u16",
    "u32",
    "u64",
    "u8",
    "vec",
];
const IMPURE_NAMES: &[&str] =
    &["Instant", "SystemTime", "TcpStream", "TcpListener", "UdpSocket", "HashMap", "HashSet"];

#[test]
fn only_io_and_main_touch_the_outside() {
    let external: BTreeSet<String> = {
        let manifest = toml_span::parse(MANIFEST).unwrap();
        let table = manifest.pointer("/workspace/dependencies").unwrap();
        table.as_table().unwrap().keys().map(|key| key.name.replace('-', "_")).collect()
    };
    let mut broken = Vec::new();
    for (name, text) in ["agent/src", "collector/src"].iter().flat_map(|f| files(f, ".rs")) {
        let free = ["/main.rs", "/io.rs", "/tests.rs"];
        if name.contains("/io/") || free.iter().any(|file| name.ends_with(file)) {
            continue;
        }
        // A test module in a file of its own, as `code` leaves out those within a file.
        if name.ends_with("/tests.rs") {
            continue;
        }
        let code = code(&text);
        for (root, next) in path_roots(&code) {
            let fine = match root {
                "std" => PURE_STD.contains(&next) || next == "{",
                _ => !external.contains(root) || PURE_ROOTS.contains(&root),
            };
            if !fine {
                broken.push(format!("{name}: {root}::{next}"));
            }
        }
        let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let impure: BTreeSet<&str> = words.filter(|w| IMPURE_NAMES.contains(w)).collect();
        broken.extend(impure.iter().map(|word| format!("{name}: {word}")));
        for group in code.split("use std::{").skip(1) {
            let group = group.split(';').next().unwrap_or("");
            for item in top_level_items(group) {
                let first = item.split("::").next().unwrap_or(item).trim();
                if !first.is_empty() && !PURE_STD.contains(&first) {
                    broken.push(format!("{name}: std::{first}"));
                }
            }
        }
    }
    broken.dedup();
    fail_if_any("code outside io/ reaches out", &broken);
}

/// Each `a::b` that begins a path, as (a, b).
fn path_roots(code: &str) -> Vec<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut roots = Vec::new();
    for (at, _) in code.match_indices("::") {
        let before = &code[..at];
        let start = before.rfind(|c: char| !is_word(c)).map_or(0, |i| i + 1);
        let (lead, root) = (&before[..start], &before[start..]);
        if root.is_empty() || lead.ends_with("::") || lead.ends_with('.') {
            continue;
        }
        let after = &code[at + 2..];
        let end = after.find(|c: char| !is_word(c)).unwrap_or(after.len());
        roots.push((root, if end == 0 { after.get(..1).unwrap_or("") } else { &after[..end] }));
    }
    roots
}

/// The items of a `use` group at its own level.
fn top_level_items(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0_i32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if depth < 0 {
            items.push(&group[start..at]);
            return items;
        }
    }
    items.push(&group[start..]);
    items
}

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 70;
/// Longer than the limit, with the reason.
const LONG: &[(&str, &str)] = &[];

#[test]
fn tests_stand_last_so_that_no_code_hides_behind_them() {
    let mut broken = Vec::new();
    for (name, text) in rust_files() {
        let (_, tests) = split_tests(&text);
        if tests.split_once("\n}\n").is_some_and(|(_, behind)| !behind.trim().is_empty()) {
            broken.push(name);
        }
    }
    fail_if_any("code behind a test module", &broken);
}

#[test]
fn files_and_functions_stay_readable() {
    let mut broken = Vec::new();
    for (name, text) in rust_files() {
        let code = split_tests(&text).0;
        let lines: Vec<&str> = code.lines().collect();
        if lines.len() > MAX_FILE_LINES && !name.contains("tests") {
            broken.push(format!("{name}: {} lines", lines.len()));
        }
        for (at, line) in lines.iter().enumerate() {
            let start = line.trim_start();
            let is_function = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "async fn ",
                "pub async fn ",
                "pub(crate) async fn ",
                "pub(super) async fn ",
                "const fn ",
                "pub const fn ",
            ]
            .iter()
            .any(|lead| start.starts_with(lead));
            if !is_function || line.trim_end().ends_with(';') {
                continue;
            }
            let indent = &line[..line.len() - start.len()];
            let close = format!("{indent}}}");
            let length = lines[at..].iter().position(|l| *l == close).unwrap_or(0) + 1;
            let label = start.split('(').next().unwrap_or(start);
            if length > MAX_FUNCTION_LINES {
                broken.push(format!("{name}:{}: {label} has {length} lines", at + 1));
            }
        }
    }
    broken.retain(|line| !LONG.iter().any(|(part, _)| line.contains(part)));
    fail_if_any("too long", &broken);
}

#[test]
fn nothing_is_switched_off_or_left_for_later() {
    let banned = [
        "#[allow(",
        "#![allow(",
        "#[ignore",
        "#[should_panic",
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "FIXME",
        "TODO",
    ];
    let mut broken = Vec::new();
    for (name, text) in rust_files().into_iter().filter(|(name, _)| !name.ends_with("tidy.rs")) {
        for (at, line) in text.lines().enumerate() {
            broken.extend(
                banned
                    .iter()
                    .filter(|b| line.contains(*b))
                    .map(|b| format!("{name}:{}: {b}", at + 1)),
            );
        }
    }
    fail_if_any("switched off or left for later", &broken);
}

/// Words of a text that look like metric names of ours.
fn metric_names(text: &str) -> BTreeSet<&str> {
    let crates: BTreeSet<String> = members()
        .iter()
        .map(|m| format!("tallylight_{}", m.rsplit('/').next().unwrap_or(m)))
        .collect();
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("iptv_") || word.starts_with("tallylight_"))
        .filter(|word| !crates.contains(*word) && !word.ends_with('_'))
        .collect()
}

/// The metric's names as scraped.
fn scraped_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for metric in Metric::ALL {
        names.insert(metric.name().to_owned());
        let parts: &[&str] = match metric.kind() {
            MetricKind::Summary => &["_sum", "_count"],
            MetricKind::Histogram => &["_sum", "_count", "_bucket"],
            MetricKind::Counter | MetricKind::Gauge => &[],
        };
        names.extend(parts.iter().map(|part| format!("{}{part}", metric.name())));
    }
    names
}

#[test]
fn rules_dashboards_and_documents_use_only_metrics_that_exist() {
    let mut known = scraped_names();
    let mut broken = Vec::new();
    let rules = files("alerts", ".yml");
    for (_, text) in &rules {
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("- record: ")) {
            known.extend(
                line.split(':').filter(|part| part.starts_with("iptv_")).map(str::to_owned),
            );
        }
    }
    let texts = rules
        .into_iter()
        .chain(files("alerts", ".md"))
        .chain(files("dashboards", ".json"))
        .chain(files("docs", ".md"));
    for (name, text) in texts {
        broken.extend(
            metric_names(&text)
                .iter()
                .filter(|w| !known.contains(**w))
                .map(|w| format!("{name}: {w}")),
        );
    }
    fail_if_any("unknown metric", &broken);
}

#[test]
fn every_alert_has_a_runbook_and_a_unit_test() {
    let tests: String = files("alerts/tests", ".yml").into_iter().map(|(_, text)| text).collect();
    let mut broken = Vec::new();
    let mut alerts = BTreeSet::new();
    for (_, text) in files("alerts/rules", ".yml") {
        alerts.extend(
            text.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).map(str::to_owned),
        );
    }
    assert!(alerts.len() > 5, "the rules were not read");
    for alert in &alerts {
        if !root().join(format!("alerts/runbooks/{alert}.md")).exists() {
            broken.push(format!("{alert} has no runbook"));
        }
        if !tests.contains(&format!("alertname: {alert}\n")) {
            broken.push(format!("{alert} has no unit test"));
        }
    }
    for (name, _) in files("alerts/runbooks", ".md") {
        let stem = Path::new(&name).file_stem().unwrap().to_string_lossy().into_owned();
        if !alerts.contains(&stem) {
            broken.push(format!("{name} is of no alert"));
        }
    }
    fail_if_any("alerts, runbooks and tests do not match", &broken);
}

#[test]
fn every_refusal_is_explained_and_nothing_else_is() {
    let text = fs::read_to_string(root().join("docs/refusals.md")).unwrap();
    let (refusals, sources) = text.split_once("\n## Sources").unwrap();
    let explained = |text: &str| -> Vec<String> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        rows.map(|(reason, _)| reason.to_owned()).collect()
    };
    let reasons: Vec<_> = Reason::ALL.iter().map(|it| it.name()).collect();
    assert_eq!(explained(refusals), reasons);
    let reasons: Vec<_> = NotReady::ALL.iter().map(|it| it.name()).collect();
    assert_eq!(explained(sources), reasons);
    for (name, text) in files("alerts/runbooks", ".md") {
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split([')', '#']).next().unwrap();
            assert!(root().join("alerts/runbooks").join(link).exists(), "{name}: no {link}");
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_and_in_which_unit() {
    let mut broken = Vec::new();
    let dashboards = files("dashboards", ".json");
    assert!(!dashboards.is_empty());
    for (name, text) in dashboards {
        let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut seen = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap_or("?");
            if !seen.insert(panel["id"].as_u64()) {
                broken.push(format!("{name}: {title}: id stands twice"));
            }
            if panel["type"] == "row" {
                continue;
            }
            if panel["description"].as_str().is_none_or(str::is_empty) {
                broken.push(format!("{name}: {title}: no description"));
            }
            if panel["fieldConfig"]["defaults"]["unit"].as_str().is_none_or(str::is_empty) {
                broken.push(format!("{name}: {title}: no unit"));
            }
            let targets = panel["targets"].as_array().cloned().unwrap_or_default();
            if targets.is_empty() {
                broken.push(format!("{name}: {title}: no query"));
            }
            // Over a range, a series that has ended still has a last value.
            if panel["type"] == "stat" && targets.iter().any(|it| it["instant"] != true) {
                broken.push(format!("{name}: {title}: shows what is over as if it lasted"));
            }
        }
    }
    fail_if_any("dashboards", &broken);
}

fn faults_table() -> String {
    let mut table = String::from(
        "| kind | class | acts | default: warning / critical / clears | sensitive | broadcast | what it says |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for &kind in FaultKind::ALL {
        let rule = kind.rule();
        let class = rule.class.map_or("-", |class| class.name());
        let acts = match rule.acts {
            Acts::Alone(from) => format!("alone, from {}", from.name()),
            Acts::Differential(from) => format!("differential, from {}", from.name()),
            Acts::Never => "never".to_owned(),
        };
        let hold = |name| {
            let hold = Profile::new(name).hold(kind);
            let show = |d: Option<std::time::Duration>| {
                d.map_or("-".to_owned(), |d| format!("{} s", d.as_secs_f32()))
            };
            format!("{} / {} / {}", show(hold.warning), show(hold.critical), show(Some(hold.clear)))
        };
        let default = hold(ProfileName::Default);
        let other = |name| Some(hold(name)).filter(|h| *h != default).unwrap_or("same".to_owned());
        let (sensitive, broadcast) = (other(ProfileName::Sensitive), other(ProfileName::Broadcast));
        writeln!(
            table,
            "| `{kind}` | {class} | {acts} | {default} | {sensitive} | {broadcast} | {} |",
            rule.means
        )
        .unwrap();
    }
    table
}

fn metrics_table() -> String {
    let mut by_side: BTreeMap<&str, String> = BTreeMap::new();
    for metric in Metric::ALL {
        let side = match metric.exposed() {
            tallylight_model::Exposed::Agent => "agent",
            tallylight_model::Exposed::Collector => "collector",
            tallylight_model::Exposed::Both => "both",
        };
        let labels: Vec<String> =
            metric.labels().iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{:?}", metric.kind()).to_lowercase();
        let row = by_side.entry(side).or_default();
        writeln!(
            row,
            "| `{}` | {kind} | {} | {} | {} |",
            metric.name(),
            metric.unit(),
            labels.join(" "),
            metric.help()
        )
        .unwrap();
    }
    let mut text = String::new();
    for (side, rows) in by_side {
        writeln!(text, "### {side}\n\n| name | type | unit | labels | what it says |\n| --- | --- | --- | --- | --- |\n{rows}")
            .unwrap();
    }
    text.trim_end().to_owned() + "\n"
}

#[test]
fn the_tables_in_the_documents_are_those_of_the_code() {
    for (file, table) in [("docs/faults.md", faults_table()), ("docs/metrics.md", metrics_table())]
    {
        let path = root().join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        let (begin, end) = ("<!-- generated: begin -->\n", "<!-- generated: end -->");
        let (head, rest) =
            text.split_once(begin).unwrap_or_else(|| panic!("{file} has no {begin}"));
        let (old, tail) = rest.split_once(end).unwrap_or_else(|| panic!("{file} has no {end}"));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, format!("{head}{begin}{table}{end}{tail}")).unwrap();
        } else {
            assert_eq!(old, table, "{file} is out of date; run UPDATE=1 cargo test --test tidy");
        }
    }
}
