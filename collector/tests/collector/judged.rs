//! The whole way: agents speak, the collector judges, the panel is asked, and nothing is forgotten or repeated.

use serde_json::{Map, Value, json};
use tallylight_collector::io::load;
use tallylight_model::FaultKind;

use crate::{
    support::{Site, agree, check_golden, get, golden, scrape, token},
    world::{Agents, Manner, Panel, Traces},
};

/// Guards in seconds rather than minutes, so that a test ends.
const QUICK: &str = "[guards]\nready_clean = '2s'\nverify_switch_good = 2\nclose_after = '2s'\n";

fn site(panel: &str, mode: &str) -> Site {
    Site::new(&format!(
        "[mode]\nglobal = '{mode}'\n[panel]\nurl = '{panel}'\nsecret_file = 'panel.secret'\n{QUICK}"
    ))
}

/// The newest action at the API.
async fn action(api: std::net::SocketAddr) -> Value {
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
async fn check_shapes(api: std::net::SocketAddr) {
    let mut shapes = Map::new();
    for path in
        ["channels", "signals", "faults", "incidents", "actions", "sources", "nodes", "mode"]
    {
        let shown = get(api, &format!("/api/v1/{path}")).await;
        shapes.insert(path.to_owned(), shape(&shown));
    }
    let known: Value = serde_json::from_str(&golden("api_shape.json")).unwrap_or_default();
    let filled = fill(Value::Object(shapes), &known);
    check_golden("api_shape.json", &format!("{filled:#}\n"));
}

/// Waits until every source could be switched to.
async fn ready(api: std::net::SocketAddr, agents: &mut Agents) {
    agree(async || {
        agents.catch_up().await;
        let sources = get(api, "/api/v1/sources").await;
        sources["sources"].as_array().is_some_and(|it| it.iter().all(|it| it["ready"] == true))
    })
    .await;
}

const EVERYWHERE: [&str; 3] = ["one/primary", "one/n1", "one/n2"];

#[tokio::test]
async fn a_source_that_stops_is_switched_once_and_the_switch_verified() {
    let (panel, url) = Panel::start(Manner::Answers).await;
    let site = site(&url, "auto");
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    ready(at.api, &mut agents).await;
    agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    agree(async || {
        agents.catch_up().await;
        panel.count() > 0
    })
    .await;
    let command = panel.commands.lock().unwrap()[0].clone();
    assert_eq!(command["action"], "switch_source");
    assert_eq!(command["target"], json!({ "channel": "one" }));
    assert_eq!((&command["from"], &command["to"]), (&json!("primary"), &json!("backup")));
    assert_eq!(command["reason"]["cause"], "source");
    agents.end(&["one/n1", "one/n2"]).await;
    agree(async || {
        agents.catch_up().await;
        action(at.api).await["state"] == "verified"
    })
    .await;
    assert_eq!(panel.count(), 1);
    let incidents = get(at.api, "/api/v1/incidents").await;
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
    assert_eq!(get(at.api, &format!("/api/v1/incidents/{id}")).await["id"], id);
    check_shapes(at.api).await;
    let text = scrape(at.api).await;
    assert!(text.contains("tallylight_decision_seconds_count 1\n"), "{text}");
    crate::support::promtool(&text);
    collector.stop().await;
}

#[tokio::test]
async fn a_collector_that_dies_between_intent_and_outcome_neither_forgets_nor_repeats() {
    let (panel, url) = Panel::start(Manner::Hangs).await;
    let site = site(&url, "auto");
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    ready(at.api, &mut agents).await;
    agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    agree(async || {
        agents.catch_up().await;
        panel.count() > 0
    })
    .await;
    // It dies with the command out and no answer.
    drop(collector);
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    agree(async || {
        agents.catch_up().await;
        matches!(action(at.api).await["state"].as_str(), Some("verifying" | "verified"))
    })
    .await;
    agree(async || {
        agents.catch_up().await;
        action(at.api).await["state"] == "verified"
    })
    .await;
    assert_eq!(panel.count(), 1, "{:?}", panel.commands.lock().unwrap());
    collector.stop().await;
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
    let (panel, url) = Panel::start(Manner::Answers).await;
    let site = site(&url, "auto");
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    ready(at.api, &mut agents).await;
    let blocker = rusqlite::Connection::open(site.path("journal.sqlite")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    agents.stands(FaultKind::NoData, &EVERYWHERE);
    agree(async || {
        agents.catch_up().await;
        action(at.api).await["detail"] == "the journal cannot be written"
    })
    .await;
    assert_eq!(panel.count(), 0);
    assert!(!scrape(at.api).await.contains("\ntallylight_journal_errors_total 0\n"));
    let id = action(at.api).await["id"].clone();
    blocker.execute_batch("ROLLBACK").unwrap();
    agree(async || {
        let query = "SELECT count(*) FROM record WHERE key = 'action/' || ?1";
        let count = blocker.query_row(query, [id.as_str()], |row| row.get::<_, i64>(0));
        count.unwrap() == 1
    })
    .await;
    collector.stop().await;
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
    let (panel, url) = Panel::start(Manner::Answers).await;
    let site = site(&url, "approve");
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    ready(at.api, &mut agents).await;
    agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    agree(async || {
        agents.catch_up().await;
        action(at.api).await["state"] == "waiting"
    })
    .await;
    assert_eq!(panel.count(), 0);
    let id = action(at.api).await["id"].as_str().unwrap().to_owned();
    let response = reqwest::Client::new()
        .post(format!("http://{}/api/v1/actions/{id}/approve", at.api))
        .header("authorization", format!("Bearer {}", token("ops")))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 200);
    agree(async || {
        agents.catch_up().await;
        panel.count() == 1
    })
    .await;
    assert_eq!(action(at.api).await["approved_by"], "ops");
    collector.stop().await;
}

#[tokio::test]
async fn a_panel_whose_clock_is_off_gets_nothing_that_nobody_approved() {
    let (panel, url) = Panel::start(Manner::ClockOff).await;
    let site = site(&url, "auto");
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    ready(at.api, &mut agents).await;
    agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    agree(async || {
        agents.catch_up().await;
        action(at.api).await["state"] == "waiting"
    })
    .await;
    assert_eq!(panel.count(), 0);
    let text = scrape(at.api).await;
    let line = text.lines().find(|it| it.starts_with("tallylight_panel_clock_offset_seconds "));
    let offset: f64 = line.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert!((-11.0..-9.0).contains(&offset), "{offset}");
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_is_over_is_one_trace_of_five_phases() {
    let (spans, traces) = Traces::start().await;
    let (_panel, url) = Panel::start(Manner::Answers).await;
    let site = site(&url, "auto");
    let config = site.path("collector.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("traces = '{traces}'\n{text}")).unwrap();
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    ready(at.api, &mut agents).await;
    agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    agree(async || {
        agents.catch_up().await;
        action(at.api).await["state"] == "verifying"
    })
    .await;
    agents.end(&["one/n1", "one/n2"]).await;
    agree(async || {
        agents.catch_up().await;
        action(at.api).await["state"] == "verified"
    })
    .await;
    agents.end(&["one/primary"]).await;
    agree(async || {
        agents.catch_up().await;
        let incidents = get(at.api, "/api/v1/incidents").await;
        incidents["incidents"][0]["state"] == "closed"
    })
    .await;
    collector.stop().await;
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
