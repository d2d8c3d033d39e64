//! What the API shows and who may order what.

use serde_json::{Value, json};

use crate::support::{LINEUP, Site, agree, get, token};

#[tokio::test]
async fn every_agent_gets_the_streams_of_its_region_and_only_once() {
    let site = Site::new("");
    // An own profile goes to the agents by its name.
    let lineup =
        LINEUP.replacen("[[channel]]\n", "[[channel]]\nprofile = 'sport'\npriority = 'high'\n", 1);
    let lineup = format!("{lineup}\n[profiles]\nsport = 'broadcast'\n");
    std::fs::write(site.path("lineup.toml"), lineup).unwrap();
    let (collector, at) = site.start().await;
    let client = reqwest::Client::new();
    let ask = |node: &str, tag: Option<String>| {
        let mut request = client
            .get(format!("http://{}/api/v1/assignment", at.api))
            .header("authorization", format!("Bearer {}", token(node)));
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        async { request.send().await.unwrap() }
    };
    assert_eq!(ask("nobody", None).await.status().as_u16(), 401);
    assert_eq!(ask("ops", None).await.status().as_u16(), 401);
    let response = ask("head-1", None).await;
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let backup = json!({
        "stream": "one/backup", "channel": "one", "kind": "source",
        "url": "udp://239.1.1.2:5000", "interface": null, "service_id": null,
        "picture": {
            "codec": null, "width": null, "height": null, "frame_rate_milli": null, "scan": null, "profile": null, "aspect": null,
        },
        "priority": "high", "profile": "sport", "channel_kind": "tv", "encryption": "none",
        "audio": [{ "language": "eng", "role": "main" }],
        "silence": null, "sound_layout": null, "on_air": true,
        "zap_interval_ms": 60_000,
    });
    assert_eq!(body["streams"][0], backup);
    let primary = &body["streams"][1];
    assert_eq!((&primary["interface"], &primary["service_id"]), (&json!("lo"), &json!(1)));
    let picture = json!({
        "codec": "h264", "profile": "high", "width": 1920, "height": null, "frame_rate_milli": 29_970, "scan": "interlaced", "aspect": "16:9",
    });
    assert_eq!(primary["picture"], picture);
    assert_eq!(body["streams"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&body["node"], &body["region"], &body["version"]),
        (&json!("head-1"), &json!("headend"), &json!(1))
    );
    assert_eq!(ask("head-1", Some(tag.clone())).await.status().as_u16(), 304);
    assert_eq!(body["uplink_bps"], Value::Null);
    let north = ask("north-a", Some(tag)).await;
    assert_eq!(north.status().as_u16(), 200);
    let body: Value = serde_json::from_str(&north.text().await.unwrap()).unwrap();
    assert_eq!(body["uplink_bps"], 10_000_000_000_u64);
    assert_eq!(body["streams"][0]["kind"], "delivery");
    collector.stop().await;
}

#[tokio::test]
async fn the_kill_switch_shows_in_api_and_metrics() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let shown = async || get(at.api, "/api/v1/mode").await["kill_switch"].clone();
    agree(async || shown().await == "released").await;
    std::fs::write(site.path("kill"), "").unwrap();
    agree(async || shown().await == "pulled").await;
    let text = crate::support::scrape(at.api).await;
    assert!(text.contains("\ntallylight_kill_switch 1\n"), "{text}");
    std::fs::remove_file(site.path("kill")).unwrap();
    agree(async || shown().await == "released").await;
    collector.stop().await;
}

#[tokio::test]
async fn the_exposition_passes_promtool_and_holds_registered_names_alone() {
    let site = Site::new("[mode]\nglobal = 'auto'\n");
    let (collector, at) = site.start().await;
    let text = crate::support::scrape(at.api).await;
    let known: std::collections::BTreeSet<_> =
        tallylight_model::Metric::ALL.iter().map(|metric| metric.name()).collect();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|base| known.contains(base));
        assert!(known.contains(base.unwrap_or(name)), "{name}");
    }
    for word in ["# HELP", "# TYPE"] {
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| line.starts_with(word)) {
            assert!(seen.insert(line.split(' ').nth(2)), "{line} stands twice");
        }
    }
    assert!(text.contains("tallylight_mode{scope=\"global\",mode=\"auto\"} 1"), "{text}");
    let health = get(at.api, "/healthz").await;
    assert_eq!(health, json!({ "status": "ok" }));
    crate::support::promtool(&text);
    collector.stop().await;
}
