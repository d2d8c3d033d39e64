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

use serde_json::{Value, json};
use tallylight_tests::{
    demo::{
        rows::{ROWS, Row},
        run::Run,
        screen::Screen,
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
    let mut stage = Stage::launch(&project, folder.path(), Screen::default()).await.unwrap();
    let begun_ms = unix_ms();
    let mut wrong = configurations_are_in_order(&project, folder.path());
    let mut run = Run::new(&mut stage, PLAYED.len());
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
    wrong.extend(a_move_waits_for_a_person_and_then_helps(&mut stage).await.err());
    wrong.extend(what_is_worked_on_is_left_alone(&mut stage).await.err());
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

/// A region whose path loses packets is moved when an operator says so: not before, and not when anybody else says so.
async fn a_move_waits_for_a_person_and_then_helps(stage: &mut Stage) -> Result<(), String> {
    let told = |error: anyhow::Error| format!("region move: {error:#}");
    let before = stage.commands().await.map_err(told)?.len();
    stage.lose("south", 0.05).await.map_err(told)?;
    let waiting = action_in(stage, "region_move", "waiting").await?;
    let stranger = stage.collector.approve(&waiting, "tl_nobody").await.map_err(told)?;
    if stranger != 401 {
        return Err(format!("a stranger's approval was answered {stranger}"));
    }
    if stage.commands().await.map_err(told)?.len() > before {
        return Err("the panel was told before anybody approved".to_owned());
    }
    let operator = fs::read_to_string(stage.folder.join("operator.token")).unwrap();
    let approved = stage.collector.approve(&waiting, &operator).await.map_err(told)?;
    if approved != 200 {
        return Err(format!("the operator's approval was answered {approved}"));
    }
    let verified = action_in(stage, "region_move", "verified").await?;
    let commands = stage.commands().await.map_err(told)?.split_off(before);
    let moved = |it: &Value| {
        let (target, from, to) = (&it["target"]["region"], &it["from"], &it["to"]);
        it["action"] == "region_move" && target == "south" && from == "south" && to == "north"
    };
    if verified != waiting || commands.len() != 1 || !moved(&commands[0].command) {
        return Err(format!("action {verified} after {waiting}; the panel got {commands:?}"));
    }
    stage.lose("south", 0.0).await.map_err(told)?;
    let home = json!({ "region": "south", "served_by": "south" });
    stage.steer("region", &home).await.map_err(told)
}

/// A channel that somebody works on may break: that is told, and nothing is done about it.
async fn what_is_worked_on_is_left_alone(stage: &mut Stage) -> Result<(), String> {
    let told = |error: anyhow::Error| format!("maintenance: {error:#}");
    let operator = fs::read_to_string(stage.folder.join("operator.token")).unwrap();
    let before = stage.commands().await.map_err(told)?.len();
    let planned = stage.collector.maintain("work", "three", &operator).await.map_err(told)?;
    stage.steer("hang", &json!({ "channel": "three" })).await.map_err(told)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let incidents = stage.collector.incidents().await.map_err(told)?;
        let mut open = incidents.iter().filter(|it| it.state == "open" && it.subject == "three");
        if open.any(|it| it.remedy == "held") {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("planned with {planned}; nothing is held: {incidents:?}"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    series_of(stage, "tallylight_incident_open{remedy=\"held\"}").await?;
    if stage.commands().await.map_err(told)?.len() > before {
        return Err("the panel was told about a channel in maintenance".to_owned());
    }
    let ended = stage.collector.end_maintenance("work", &operator).await.map_err(told)?;
    // Nobody works on it any more, so what hangs is restarted.
    let until = Instant::now() + Duration::from_secs(60);
    while stage.commands().await.map_err(told)?.len() == before {
        if Instant::now() > until {
            return Err(format!("ended with {ended}; what hangs is not restarted"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    series_of(stage, "rate(iptv_channel_observed_seconds_total{maintenance=\"yes\"}[5m])").await
}

/// Waits until Prometheus has had series of an expression.
async fn series_of(stage: &Stage, expression: &str) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Some(problem) = without_series(stage, expression).await {
        if Instant::now() > deadline {
            return Err(problem);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Waits for the newest action of a kind to be in a state; answers its id.
async fn action_in(stage: &Stage, kind: &str, state: &str) -> Result<String, String> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let actions = stage.collector.actions().await.map_err(|error| format!("{error:#}"))?;
        let found = actions.iter().rev().find(|it| it.action == kind && it.state == state);
        if let Some(found) = found {
            return Ok(found.id.clone());
        }
        if Instant::now() > deadline {
            return Err(format!("no {kind} is {state}: {actions:?}"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
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

/// Every rule evaluates; every recording rule has series, and so has everything that an alert selects.
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
        expressions.extend(selectors(expression));
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

/// The series that an expression selects: each name of a metric, with the labels that are asked for behind it.
fn selectors(expression: &str) -> BTreeSet<String> {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(start) = rest.find(of_a_name) {
        let name = &rest[start..];
        let end = name.find(|c| !of_a_name(c)).unwrap_or(name.len());
        rest = &name[end..];
        let labels = rest.starts_with('{').then(|| rest.find('}')).flatten();
        let labels = labels.map_or("", |end| &rest[..=end]);
        rest = &rest[labels.len()..];
        let ours =
            ["iptv_", "tallylight_", "channel_region:"].iter().any(|it| name.starts_with(it));
        if ours || (&name[..end] == "up" && !labels.is_empty()) {
            found.insert(format!("{}{labels}", &name[..end]));
        }
    }
    found
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

/// Starts a demo, ends it by a signal when a process is there, and waits until nothing is left of it. Without clips, it begins
/// by encoding them.
fn ends_without_a_trace(signal: &str, at: &str, clips: Option<&Path>) {
    let mark = format!("TALLYLIGHT_E2E_MARK={}{signal}{at}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let folder = TempDir::new().unwrap();
    let mut demo = Command::new(bin().join("tallylight-world"));
    demo.args(["demo", "--rows", "black", "--alerts"]).arg(alerts());
    demo.arg("--folder").arg(folder.path()).env(name, value);
    demo.stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(clips) = clips {
        demo.env("XDG_CACHE_HOME", clips);
    }
    let mut demo = demo.spawn().unwrap();
    wait_until(&format!("{at} is there"), || {
        marked(&mark).iter().any(|command| command.contains(at))
    });
    let sent = Command::new("kill").args([signal, &demo.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert!(!demo.wait().unwrap().success(), "{signal} at {at}: no row was played");
    wait_until("everything has ended", || marked(&mark).is_empty());
}

#[test]
fn a_demo_leaves_nothing_running_however_it_ends() {
    let _world = ONE_WORLD.blocking_lock();
    for signal in ["-INT", "-TERM", "-KILL"] {
        ends_without_a_trace(signal, "ffmpeg", Some(TempDir::new().unwrap().path()));
        ends_without_a_trace(signal, "prometheus.yml", None);
    }
}
