//! End to end: the real programs, Prometheus and Alertmanager on the demo world, in small. One world serves all rows.
//!
//! `TALLYLIGHT_BIN` names the folder of the programs: cargo gives a test only the binaries of its own package.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tallylight_tests::{
    demo::{
        rows::{ROWS, Row},
        run::Run,
        stage::{Project, Stage},
    },
    world::process::unix_ms,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Rows that need no ready backup come first: backups get ready meanwhile.
const PLAYED: [&str; 5] = ["hang", "server", "black", "programme", "no-backup"];
/// Two worlds at once would be too much for two cores.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());
/// A page resolves after the rule's and the group's intervals.
const RESOLVED: Duration = Duration::from_secs(90);

fn bin() -> PathBuf {
    let folder = std::env::var_os("TALLYLIGHT_BIN")
        .expect("TALLYLIGHT_BIN must name the folder of the built programs; script/test sets it");
    let folder = PathBuf::from(folder);
    for name in ["tallylight-agent", "tallylight-collector", "tallylight-world"] {
        let program = folder.join(name);
        assert!(program.is_file(), "{} is missing; build it first", program.display());
    }
    folder
}

fn alerts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../alerts")
}

fn row(id: &str) -> Row {
    ROWS.into_iter().find(|row| row.id == id).unwrap()
}

#[tokio::test]
async fn faults_are_seen_located_and_remedied_and_traps_are_left_alone() {
    let world = ONE_WORLD.lock().await;
    let folder = TempDir::new().unwrap();
    let project = Project { bin: bin(), alerts: alerts() };
    let mut stage = Stage::launch(&project, folder.path()).await.unwrap();
    let begun_ms = unix_ms();
    let mut wrong = configurations_are_in_order(&project, folder.path());
    let mut run = Run::new(&mut stage);
    for id in PLAYED {
        match run.play(row(id)).await {
            Ok(outcome) => {
                wrong.extend(outcome.problems.into_iter().map(|problem| format!("{id}: {problem}")))
            }
            Err(error) => {
                wrong.push(format!("{id}: {error:#}"));
                break;
            }
        }
    }
    wrong.extend(metrics_are_well_formed(&stage).await);
    wrong.extend(rules_have_series(&stage).await);
    wrong.extend(panels_have_series(&stage).await);
    wrong.extend(pages_resolve(&stage, begun_ms).await);
    stage.processes.stop().await;
    drop(world);
    if !wrong.is_empty() {
        let kept = folder.keep();
        panic!("logs are in {}\n{}", kept.display(), wrong.join("\n"));
    }
}

/// `check` reads what `run` reads.
fn configurations_are_in_order(project: &Project, folder: &Path) -> Vec<String> {
    let check = |program: &str, config: &str| {
        let output = Command::new(project.bin.join(program))
            .args(["check", "--config"])
            .arg(folder.join(config))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success()).then(|| format!("{program} check {config}: {said}"))
    };
    let checked = [
        check("tallylight-collector", "collector.toml"),
        check("tallylight-agent", "north-a.toml"),
    ];
    checked.into_iter().flatten().collect()
}

async fn text(url: &str) -> Result<String, String> {
    let answer = reqwest::get(url).await.map_err(|error| format!("{url}: {error}"))?;
    let answer = answer.error_for_status().map_err(|error| format!("{url}: {error}"))?;
    answer.text().await.map_err(|error| format!("{url}: {error}"))
}

async fn metrics_are_well_formed(stage: &Stage) -> Vec<String> {
    let mut wrong = Vec::new();
    let collector = stage.places.collector[2].unwrap();
    let agent = stage.places.agents["south-a"];
    for (name, address) in [("collector", collector), ("agent", agent)] {
        match text(&format!("http://{address}/metrics")).await {
            Ok(metrics) => {
                assert!(metrics.contains("tallylight_build_info"), "{name}: {metrics}");
                wrong.extend(promtool(&metrics).map(|said| format!("{name}: {said}")));
            }
            Err(problem) => wrong.push(problem),
        }
    }
    wrong
}

fn promtool(metrics: &str) -> Option<String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing; script/setup installs it");
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

/// Every rule evaluates; every recording rule has series, and so has every metric that an alert names.
async fn rules_have_series(stage: &Stage) -> Vec<String> {
    let mut wrong = Vec::new();
    let rules = match text(&format!("{}api/v1/rules", stage.prometheus)).await {
        Ok(rules) => serde_json::from_str::<Value>(&rules).unwrap(),
        Err(problem) => return vec![problem],
    };
    let groups = rules["data"]["groups"].as_array().unwrap();
    assert!(!groups.is_empty(), "Prometheus has no rules");
    let mut expressions = BTreeSet::new();
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let expression = rule["query"].as_str().unwrap();
        if rule["health"] != "ok" {
            wrong.push(format!("{}: {} {}", rule["name"], rule["health"], rule["lastError"]));
        }
        if rule["type"] == "recording" {
            expressions.insert(expression.to_owned());
        }
        // An alert that does not fire has no series; what it looks at has.
        expressions.extend(metric_names(expression));
    }
    for expression in expressions {
        wrong.extend(without_series(stage, &expression).await);
    }
    wrong
}

/// Every expression of every panel of every dashboard has series.
async fn panels_have_series(stage: &Stage) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = 0;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let dashboard: Value = serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = target["expr"].as_str().unwrap();
                seen += 1;
                let all = expression.replace("$channel", ".*").replace("$region", ".*");
                wrong.extend(without_series(stage, &all).await);
            }
        }
    }
    assert!(seen > 0, "no dashboard has a panel");
    wrong
}

/// Says so if an expression had no series at any time while the rows were played: an incident's are gone when it closes.
async fn without_series(stage: &Stage, expression: &str) -> Option<String> {
    let mut url = stage.prometheus.join("api/v1/query").unwrap();
    let query = format!("count(last_over_time(({expression})[10m:5s]))");
    url.query_pairs_mut().append_pair("query", &query);
    match text(url.as_str()).await {
        Ok(found) => {
            let found: Value = serde_json::from_str(&found).unwrap();
            let series = found["data"]["result"].as_array();
            series.is_none_or(Vec::is_empty).then(|| format!("no series: {expression}"))
        }
        Err(problem) => Some(problem),
    }
}

fn metric_names(expression: &str) -> Vec<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| {
            ["iptv_", "tallylight_", "channel_region:"].iter().any(|p| word.starts_with(p))
        })
        .map(str::to_owned)
        .collect()
}

/// What was paged as down is resolved when all is well again. A spent budget takes longer to be forgotten.
async fn pages_resolve(stage: &Stage, begun_ms: u64) -> Vec<String> {
    let deadline = Instant::now() + RESOLVED;
    loop {
        let mut firing = BTreeSet::new();
        let pages = stage.pager.since(begun_ms).into_iter();
        for page in pages.filter(|page| page.label("alertname") == "ChannelDown") {
            let key = ["channel", "region"].map(|name| page.label(name).to_owned());
            if page.status == "firing" {
                firing.insert(key);
            } else {
                firing.remove(&key);
            }
        }
        if firing.is_empty() {
            return Vec::new();
        }
        if Instant::now() > deadline {
            return vec![format!("pages are not resolved: {firing:?}")];
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Processes that carry a mark in their environment, zombies apart.
fn marked(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&command).replace('\0', " "));
        }
    }
    found
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_demo_leaves_nothing_running_however_it_ends() {
    let _world = ONE_WORLD.blocking_lock();
    for signal in ["-INT", "-TERM", "-KILL"] {
        let mark = format!("TALLYLIGHT_E2E_MARK={}{signal}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let folder = TempDir::new().unwrap();
        let mut demo = Command::new(bin().join("tallylight-world"))
            .args(["demo", "--rows", "black", "--alerts"])
            .arg(alerts())
            .arg("--folder")
            .arg(folder.path())
            .env(name, value)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the world is there", || {
            marked(&mark).iter().any(|command| command.contains("prometheus.yml"))
        });
        assert!(marked(&mark).len() > 20, "{:?}", marked(&mark));
        let sent = Command::new("kill").args([signal, &demo.id().to_string()]).status().unwrap();
        assert!(sent.success());
        demo.wait().unwrap();
        wait_until("everything has ended", || marked(&mark).is_empty());
    }
}
