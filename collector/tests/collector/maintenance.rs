//! Maintenance by the lineup and by the API.

use std::{net::SocketAddr, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

use crate::support::{Site, agree, get, token};

/// The status that an order is answered with.
async fn order(at: SocketAddr, method: &str, path: &str, who: &str, body: &str) -> u16 {
    let method: reqwest::Method = method.parse().unwrap();
    let request = reqwest::Client::new()
        .request(method, format!("http://{at}/api/v1/{path}"))
        .header("authorization", format!("Bearer {}", token(who)))
        .body(body.to_owned());
    request.send().await.unwrap().status().as_u16()
}

fn plan(id: &str, area: &str, end: impl std::fmt::Display) -> String {
    format!(r#"{{"id": "{id}", {area}, "end": "{end}", "why": "disks"}}"#)
}

fn hours(hours: u64) -> Timestamp {
    Timestamp::now() + Duration::from_secs(3600 * hours)
}

/// Each one's id, state, who planned it, and what it is of.
async fn shown(at: SocketAddr) -> Vec<[String; 4]> {
    let all = get(at, "/api/v1/maintenance").await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = |it: &Value| {
        let area = ["server", "region", "channel"].map(|key| text(&it[key]));
        [text(&it["id"]), text(&it["state"]), text(&it["by"]), area.concat()]
    };
    all["maintenance"].as_array().unwrap().iter().map(shown).collect()
}

const N1: &str = r#""server": "n1""#;

#[tokio::test]
async fn only_an_operator_plans_what_can_be() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let good = plan("disks", N1, hours(1));
    for (method, path, who, body, expected) in [
        ("POST", "maintenance", "north-a", good.clone(), 401),
        ("POST", "maintenance", "ops", "{}".to_owned(), 400),
        ("POST", "maintenance", "ops", plan("a", N1, "tomorrow"), 400),
        ("POST", "maintenance", "ops", plan("a", N1, "2020-01-01T00:00:00Z"), 400),
        ("POST", "maintenance", "ops", plan("a", N1, hours(24 * 32)), 400),
        ("POST", "maintenance", "ops", plan("a", r#""server": "n9""#, hours(1)), 400),
        ("POST", "maintenance", "ops", plan("a b", N1, hours(1)), 400),
        ("POST", "maintenance", "ops", good.clone(), 201),
        ("POST", "maintenance", "ops", good.clone(), 409),
        ("DELETE", "maintenance/disks", "north-a", String::new(), 401),
        ("DELETE", "maintenance/other", "ops", String::new(), 404),
        ("DELETE", "maintenance/disks", "ops", String::new(), 200),
        ("DELETE", "maintenance/disks", "ops", String::new(), 404),
        ("POST", "maintenance", "ops", good, 201),
        ("DELETE", "channels/one/hands-off", "ops", String::new(), 404),
        ("POST", "actions/1/reject", "ops", String::new(), 404),
    ] {
        let status = order(at.api, method, path, who, &body).await;
        assert_eq!(status, expected, "{method} {path} by {who}: {body}");
    }
    for number in 1..100 {
        let body = plan(&format!("w{number}"), N1, hours(1));
        assert_eq!(order(at.api, "POST", "maintenance", "ops", &body).await, 201);
    }
    let body = plan("one-too-many", N1, hours(1));
    assert_eq!(order(at.api, "POST", "maintenance", "ops", &body).await, 409);
    collector.stop().await;
}

#[tokio::test]
async fn maintenance_is_remembered_and_the_lineups_ends_with_the_lineup() {
    let site = Site::new("");
    let lineup = std::fs::read_to_string(site.path("lineup.toml")).unwrap();
    let weekly = "[[maintenance]]\nid = 'always'\nchannel = 'one'\nwhy = 'tests'\n\
                  weekly = { days = 'mon-sun', from = '00:00', to = '24:00', zone = 'UTC' }\n";
    std::fs::write(site.path("lineup.toml"), format!("{lineup}{weekly}")).unwrap();
    let (collector, at) = site.start().await;
    let later = format!(r#""region": "north", "begin": "{}""#, hours(1));
    for body in [plan("disks", N1, hours(1)), plan("later", &later, hours(2))] {
        assert_eq!(order(at.api, "POST", "maintenance", "ops", &body).await, 201);
    }
    let expected = [
        ["always", "open", "lineup", "one"],
        ["disks", "open", "ops", "n1"],
        ["later", "planned", "ops", "north"],
    ]
    .map(|it| it.map(str::to_owned));
    assert_eq!(shown(at.api).await, expected);
    collector.stop().await;
    std::fs::write(site.path("lineup.toml"), lineup).unwrap();
    let (collector, at) = site.start().await;
    agree(async || shown(at.api).await[0][1] == "over").await;
    assert_eq!(shown(at.api).await[1..], expected[1..]);
    collector.stop().await;
}
