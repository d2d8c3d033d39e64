//! The whole way: agents speak, the collector judges, the panel is asked, and nothing is forgotten or repeated.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use serde_json::{Map, Value, json};
use tallylight_collector::io::{Collector, load};
use tallylight_model::FaultKind;

use crate::{
    support::{Site, agree, check_golden, get, golden, health, scrape, text, token},
    world::{Agents, Manner, Panel, Traces},
};

/// Guards in seconds rather than minutes, so that a test ends.
const QUICK: &str = "[guards]\nready_clean = '2s'\nverify_switch_good = 2\nclose_after = '2s'\n\
    action_expiry = '2s'\nverify_switch_within = '3s'\n";

pub(crate) fn site(panel: &str, mode: &str) -> Site {
    Site::new(&format!(
        "[mode]\nglobal = '{mode}'\n[panel]\nurl = '{panel}'\nsecret_file = 'panel.secret'\n{QUICK}"
    ))
}

/// The newest action at the API.
pub(crate) async fn action(api: SocketAddr) -> Value {
    let mut actions = get(api, "/api/v1/actions").await;
    actions["actions"].as_array_mut().and_then(Vec::pop).unwrap_or_default()
}

/// Types instead of values; of an array what all its items have together.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => {
            Value::Array(items.iter().map(shape).reduce(merge).into_iter().collect())
        }
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), shape(value))).collect()
        }
    }
}

/// What two shapes have together; what may be absent keeps the type that it has when it is there.
fn merge(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Object(mut a), Value::Object(b)) => {
            for (key, value) in b {
                let known = a.remove(&key).unwrap_or_else(|| value.clone());
                a.insert(key, merge(known, value));
            }
            Value::Object(a)
        }
        (Value::Array(a), Value::Array(b)) => {
            Value::Array(a.into_iter().chain(b).reduce(merge).into_iter().collect())
        }
        (a, b) if b == "null" => a,
        (_, b) => b,
    }
}

/// What this moment cannot show, a list without items or a value that is absent, is taken from what is known.
fn fill(shown: Value, known: &Value) -> Value {
    match shown {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| {
                let value = fill(value, &known[&key]);
                (key, value)
            })
            .collect(),
        Value::Array(mut items) => match (items.pop(), known.as_array()) {
            (None, Some(known)) => Value::Array(known.clone()),
            (None, None) => json!([]),
            (Some(item), _) => json!([fill(item, &known[0])]),
        },
        shown if shown == "null" && !known.is_null() => known.clone(),
        shown => shown,
    }
}

/// The API has exactly the keys and types of `api_shape.json`, as far as this moment shows any.
async fn check_shapes(api: SocketAddr) {
    let mut shapes = Map::new();
    for path in [
        "channels",
        "signals",
        "faults",
        "incidents",
        "actions",
        "sources",
        "nodes",
        "mode",
        "shadow",
    ] {
        let shown = get(api, &format!("/api/v1/{path}")).await;
        shapes.insert(path.to_owned(), shape(&shown));
    }
    let known: Value = serde_json::from_str(&golden("api_shape.json")).unwrap_or_default();
    let filled = fill(Value::Object(shapes), &known);
    check_golden("api_shape.json", &format!("{filled:#}\n"));
}

pub(crate) const EVERYWHERE: [&str; 3] = ["one/primary", "one/n1", "one/n2"];

/// A collector with a panel and agents, in which every source could be switched to.
struct Stage {
    panel: Arc<Panel>,
    site: Site,
    collector: Collector,
    api: SocketAddr,
    agents: Agents,
}

impl Stage {
    async fn new(manner: Manner, mode: &str) -> Self {
        Self::with(manner, mode, "").await
    }

    /// `more` stands before everything else in `collector.toml`.
    async fn with(manner: Manner, mode: &str, more: &str) -> Self {
        let (panel, url) = Panel::start(manner).await;
        let site = site(&url, mode);
        let config = site.path("collector.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{more}{text}")).unwrap();
        let (collector, at) = site.start().await;
        let agents = Agents::connect(at.grpc).await;
        let mut stage = Self { panel, site, collector, api: at.api, agents };
        stage.until(ready).await;
        stage
    }

    /// The primary source stops, and with it all that it feeds.
    async fn broken(manner: Manner, mode: &str) -> Self {
        let mut stage = Self::new(manner, mode).await;
        stage.agents.begin(FaultKind::NoData, &EVERYWHERE).await;
        stage
    }

    /// Agents go on reporting until it holds.
    async fn until(&mut self, holds: impl AsyncFnMut(SocketAddr) -> bool) {
        until(&mut self.agents, self.api, holds).await;
    }

    async fn until_commanded(&mut self) {
        let panel = Arc::clone(&self.panel);
        self.until(async |_| panel.count() > 0).await;
    }

    async fn until_action(&mut self, key: &str, value: &str) {
        self.until(async |api| action(api).await[key] == value).await;
    }
}

/// Agents go on reporting until it holds.
pub(crate) async fn until(
    agents: &mut Agents,
    api: SocketAddr,
    mut holds: impl AsyncFnMut(SocketAddr) -> bool,
) {
    agree(async || {
        agents.catch_up().await;
        holds(api).await
    })
    .await;
}

/// Whether every source could be switched to.
pub(crate) async fn ready(api: SocketAddr) -> bool {
    let sources = get(api, "/api/v1/sources").await;
    sources["sources"].as_array().is_some_and(|it| it.iter().all(|it| it["ready"] == true))
}

#[tokio::test]
async fn a_source_that_stops_is_switched_once_and_the_switch_verified() {
    let mut stage = Stage::broken(Manner::Answers, "auto").await;
    stage.until_commanded().await;
    let command = stage.panel.commands.lock().unwrap()[0].clone();
    assert_eq!(command["action"], "switch_source");
    assert_eq!(command["target"], json!({ "channel": "one" }));
    assert_eq!((&command["from"], &command["to"]), (&json!("primary"), &json!("backup")));
    assert_eq!(command["reason"]["cause"], "source");
    stage.agents.end(&["one/n1", "one/n2"]).await;
    stage.until_action("state", "verified").await;
    assert_eq!(stage.panel.count(), 1);
    let api = stage.api;
    let incidents = get(api, "/api/v1/incidents").await;
    let incident = &incidents["incidents"][0];
    assert_eq!(
        (&incident["cause"], &incident["subject"]),
        (&json!("source"), &json!("one/primary"))
    );
    assert_eq!(incident["remedy"], "done");
    let steps: Vec<_> =
        incident["timeline"].as_array().unwrap().iter().map(|it| it["step"].as_str()).collect();
    for step in ["onset", "first_fault", "located", "decided", "commanded", "done", "verified"] {
        assert!(steps.contains(&Some(step)), "{step} in {steps:?}");
    }
    let id = incident["id"].as_str().unwrap();
    assert_eq!(get(api, &format!("/api/v1/incidents/{id}")).await["id"], id);
    let words = text(api, &format!("/api/v1/incidents/{id}/explain")).await;
    let headline = incident["headline"].as_str().unwrap();
    assert!(words.starts_with(&format!("Incident {id} at 20")), "{words}");
    assert!(headline.contains("no data on its primary source"), "{headline}");
    assert!(headline.contains("Mended by: switch channel one"), "{headline}");
    let report = text(api, "/api/v1/shadow/report").await;
    assert!(report.contains("done     switch_source"), "{report}");
    let faults = get(api, "/api/v1/faults").await;
    let of = |list: &str| -> Vec<&str> {
        faults[list].as_array().unwrap().iter().map(|it| it["stream"].as_str().unwrap()).collect()
    };
    assert_eq!(of("faults"), ["one/primary", "one/primary"]);
    assert_eq!(of("ended").len(), 4, "two agents on each of two deliveries: {faults}");
    check_shapes(api).await;
    let text = scrape(api).await;
    assert!(text.contains("tallylight_decision_seconds_count 1\n"), "{text}");
    crate::support::promtool(&text);
    stage.collector.stop().await;
}

#[tokio::test]
async fn under_the_kill_switch_nothing_is_sent_and_the_refusal_shows() {
    let (panel, url) = Panel::start(Manner::Answers).await;
    let site = site(&url, "auto");
    std::fs::write(site.path("kill"), "").unwrap();
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    agree(async || {
        agents.catch_up().await;
        let actions = get(at.api, "/api/v1/actions").await;
        let refusals = actions["refusals"].as_array().cloned().unwrap_or_default();
        refusals.iter().any(|refusal| refusal["reason"] == "kill_switch")
    })
    .await;
    let refused = r#"tallylight_refusals_total{action="switch_source",reason="kill_switch"} 1"#;
    agree(async || scrape(at.api).await.contains(refused)).await;
    check_shapes(at.api).await;
    assert_eq!(panel.count(), 0);
    collector.stop().await;
}

#[tokio::test]
async fn while_the_journal_cannot_be_written_nothing_is_sent_and_after_it_nothing_is_lost() {
    let mut stage = Stage::new(Manner::Answers, "auto").await;
    let blocker = rusqlite::Connection::open(stage.site.path("journal.sqlite")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    stage.agents.stands(FaultKind::NoData, &EVERYWHERE);
    stage.until_action("detail", "journal_fails").await;
    assert_eq!(stage.panel.count(), 0);
    assert!(!scrape(stage.api).await.contains("\ntallylight_journal_errors_total 0\n"));
    let health = async || health(stage.api).await;
    assert_eq!(health().await, 503);
    let id = action(stage.api).await["id"].clone();
    blocker.execute_batch("ROLLBACK").unwrap();
    agree(async || {
        let query = "SELECT count(*) FROM record WHERE key = 'action/' || ?1";
        let count = blocker.query_row(query, [id.as_str()], |row| row.get::<_, i64>(0));
        count.unwrap() == 1
    })
    .await;
    agree(async || health().await == 200).await;
    stage.collector.stop().await;
}

#[tokio::test]
async fn what_the_journal_refused_is_kept_when_it_comes_again_and_counts_once() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    let taken = async |result: &str| {
        let text = scrape(at.api).await;
        let name = format!("tallylight_collector_slices_total{{result=\"{result}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok());
        value.unwrap_or(0)
    };
    let blocker = rusqlite::Connection::open(site.path("journal.sqlite")).unwrap();
    let kept = || {
        let query = "SELECT count(*) FROM fault WHERE seq = 900";
        blocker.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = taken("accepted").await;
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(!agents.try_begin(900).await, "the agent must keep it");
    assert_eq!(kept(), 0);
    blocker.execute_batch("ROLLBACK").unwrap();
    assert!(agents.try_begin(900).await);
    assert_eq!(kept(), 1);
    assert_eq!(taken("accepted").await, before + 1, "the judgement had it once");
    assert_eq!(taken("duplicate").await, 1);
    collector.stop().await;
}

#[tokio::test]
async fn an_action_that_waits_goes_out_when_an_operator_approves_it() {
    let mut stage = Stage::broken(Manner::Answers, "approve").await;
    stage.until_action("state", "waiting").await;
    assert_eq!(stage.panel.count(), 0);
    let id = action(stage.api).await["id"].as_str().unwrap().to_owned();
    let response = reqwest::Client::new()
        .post(format!("http://{}/api/v1/actions/{id}/approve", stage.api))
        .header("authorization", format!("Bearer {}", token("ops")))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 200);
    stage.until_commanded().await;
    assert_eq!(action(stage.api).await["approved_by"], "ops");
    stage.collector.stop().await;
}

#[tokio::test]
async fn a_yes_to_what_a_guard_holds_back_is_answered_so_and_can_be_said_again() {
    let mut stage = Stage::broken(Manner::Answers, "approve").await;
    stage.until_action("state", "waiting").await;
    let id = action(stage.api).await["id"].as_str().unwrap().to_owned();
    let approve = async || {
        let response = reqwest::Client::new()
            .post(format!("http://{}/api/v1/actions/{id}/approve", stage.api))
            .header("authorization", format!("Bearer {}", token("ops")))
            .send();
        response.await.unwrap().status().as_u16()
    };
    let kill = stage.site.path("kill");
    std::fs::write(&kill, "").unwrap();
    agree(async || get(stage.api, "/api/v1/mode").await["kill_switch"] == "pulled").await;
    assert_eq!(approve().await, 409);
    assert_eq!(stage.panel.count(), 0);
    std::fs::remove_file(&kill).unwrap();
    agree(async || get(stage.api, "/api/v1/mode").await["kill_switch"] == "released").await;
    stage.agents.catch_up().await;
    assert_eq!(approve().await, 200);
    stage.until_commanded().await;
    stage.collector.stop().await;
}

#[tokio::test]
async fn an_action_that_an_operator_rejects_is_not_done() {
    let mut stage = Stage::broken(Manner::Answers, "approve").await;
    stage.until_action("state", "waiting").await;
    let id = action(stage.api).await["id"].as_str().unwrap().to_owned();
    let order = async |what: &str| {
        let response = reqwest::Client::new()
            .post(format!("http://{}/api/v1/actions/{id}/{what}", stage.api))
            .header("authorization", format!("Bearer {}", token("ops")))
            .send();
        response.await.unwrap().status().as_u16()
    };
    assert_eq!(order("reject").await, 200);
    assert_eq!(order("reject").await, 409);
    assert_eq!(order("approve").await, 200);
    stage.until_action("state", "rejected").await;
    assert_eq!(action(stage.api).await["detail"], "ops said no");
    assert_eq!(stage.panel.count(), 0);
    stage.collector.stop().await;
}

/// How far the panel's clock is off, as the collector says.
async fn clock_offset(api: SocketAddr) -> f64 {
    let text = scrape(api).await;
    let line = text.lines().find(|it| it.starts_with("tallylight_panel_clock_offset_seconds "));
    line.unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn from_the_moment_that_a_panels_clock_is_off_it_gets_nothing_that_nobody_approved() {
    let mut stage = Stage::new(Manner::Answers, "auto").await;
    stage.panel.late.store(true, Ordering::Relaxed);
    stage.until(async |api| (-11.0..-9.0).contains(&clock_offset(api).await)).await;
    stage.agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    stage.until_action("state", "waiting").await;
    let actions = get(stage.api, "/api/v1/actions").await;
    assert_eq!(actions["actions"].as_array().unwrap().len(), 1, "none was decided in auto before");
    assert_eq!(stage.panel.count(), 0);
    stage.collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_is_over_is_one_trace_of_five_phases() {
    let (spans, traces) = Traces::start().await;
    let traces = format!("traces = '{traces}'\n");
    let mut stage = Stage::with(Manner::Answers, "auto", &traces).await;
    stage.agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    stage.until_action("state", "verifying").await;
    stage.agents.end(&["one/n1", "one/n2"]).await;
    stage.until_action("state", "verified").await;
    stage.agents.end(&["one/primary"]).await;
    let closed =
        async |api| get(api, "/api/v1/incidents").await["incidents"][0]["state"] == "closed";
    stage.until(closed).await;
    stage.collector.stop().await;
    agree(async || spans.lock().unwrap().len() >= 6).await;
    let spans = spans.lock().unwrap();
    let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["act", "decide", "detect", "incident", "locate", "verify"]);
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
    let root = spans.iter().find(|span| span.name == "incident").unwrap();
    assert!(root.parent_span_id.is_empty());
    for span in spans.iter().filter(|span| span.name != "incident") {
        assert_eq!(span.parent_span_id, root.span_id);
        assert!(span.start_time_unix_nano >= root.start_time_unix_nano, "{}", span.name);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{}", span.name);
    }
}

#[tokio::test]
async fn only_an_operator_may_order_and_a_mode_survives_a_restart() {
    let site = Site::new("[mode]\nglobal = 'auto'\n");
    let (collector, at) = site.start().await;
    let client = reqwest::Client::new();
    let order = |path: &str, who: &str, body: &str| {
        let request = client
            .post(format!("http://{}/api/v1/{path}", at.api))
            .header("authorization", format!("Bearer {}", token(who)))
            .body(body.to_owned());
        async { request.send().await.unwrap().status().as_u16() }
    };
    let off = r#"{"scope": "global", "mode": "off"}"#;
    for (path, who, body, expected) in [
        ("mode", "north-a", off, 401),
        ("mode", "nobody", off, 401),
        ("mode", "ops", "", 400),
        ("mode", "ops", r#"{"scope": "region/south", "mode": "off"}"#, 400),
        ("mode", "ops", r#"{"scope": "action/reboot", "mode": "off"}"#, 400),
        ("mode", "ops", r#"{"scope": "global", "mode": "on"}"#, 400),
        ("mode", "ops", r#"{"scope": "region/north", "mode": "approve"}"#, 200),
        ("mode", "ops", off, 200),
        ("actions/1/approve", "north-a", "", 401),
        ("actions/1/approve", "ops", "", 404),
        ("actions/x/approve", "ops", "", 404),
        ("incidents/1/close", "ops", "", 404),
        ("channels/one/fail-back", "north-a", "", 401),
        ("channels/one/fail-back", "ops", "", 409),
        ("channels/nine/fail-back", "ops", "", 404),
        ("servers/n1/return", "north-a", "", 401),
        ("servers/n1/return", "ops", "", 409),
        ("servers/n9/return", "ops", "", 404),
    ] {
        assert_eq!(order(path, who, body).await, expected, "{path} by {who}: {body}");
    }
    let expected = json!([
        { "scope": "global", "mode": "off" },
        { "scope": "region/north", "mode": "approve" },
    ]);
    assert_eq!(get(at.api, "/api/v1/mode").await["modes"], expected);
    collector.stop().await;
    let (collector, at) = site.start().await;
    assert_eq!(get(at.api, "/api/v1/mode").await["modes"], expected);
    collector.stop().await;
}

#[tokio::test]
async fn a_reload_changes_lineup_and_tokens_at_once() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let text = std::fs::read_to_string(site.path("lineup.toml")).unwrap();
    let more = "[[channel]]\nid = 'two'\n[[channel.source]]\nid = 'only'\nrole = 'primary'\n\
                region = 'headend'\nurl = 'udp://239.1.1.3:5000'\n";
    std::fs::write(site.path("lineup.toml"), text + more).unwrap();
    collector.reload(load(&site.path("collector.toml")).unwrap());
    agree(async || {
        let channels = get(at.api, "/api/v1/channels").await;
        channels["channels"].as_array().is_some_and(|it| it.len() == 2)
    })
    .await;
    collector.stop().await;
}

/// A panel may do what it likes; the collector asks it once and never takes its word for it.
#[tokio::test]
async fn a_panel_that_hangs_fails_or_lies_is_found_out() {
    for (manner, state, detail, asked) in [
        (Manner::Fails, "failed", "the panel answered 500", 3),
        (Manner::Lies, "not_verified", "", 1),
        (Manner::Garbage, "failed", "the panel's state says that it was not carried out", 1),
    ] {
        let mut stage = Stage::broken(manner, "auto").await;
        let first = async |api| get(api, "/api/v1/actions").await["actions"][0].clone();
        stage.until(async |api| first(api).await["state"] == state).await;
        let action = first(stage.api).await;
        if !detail.is_empty() {
            assert_eq!(action["detail"], detail);
        }
        let commands = stage.panel.commands.lock().unwrap().clone();
        let of_it = commands.iter().filter(|it| it["action_id"] == action["id"]).count();
        assert_eq!(of_it, asked, "{state}: {commands:?}");
        stage.collector.stop().await;
    }
}

#[tokio::test]
async fn a_panel_that_switched_by_itself_is_asked_for_nothing() {
    let mut stage = Stage::new(Manner::Answers, "auto").await;
    stage.panel.put_on("backup", "panel");
    stage.agents.begin(FaultKind::NoData, &["one/primary"]).await;
    let open = async |api| {
        let incidents = get(api, "/api/v1/incidents").await;
        let subject = &incidents["incidents"][0]["subject"];
        *subject == "one/primary"
    };
    stage.until(open).await;
    let channels = get(stage.api, "/api/v1/channels").await;
    let shown = &channels["channels"][0];
    assert_eq!((&shown["active"], &shown["changed_by"]), (&json!("backup"), &json!("panel")));
    assert_eq!((stage.panel.count(), action(stage.api).await), (0, Value::Null));
    stage.collector.stop().await;
}
