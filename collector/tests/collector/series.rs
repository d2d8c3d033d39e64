//! What `/metrics` shows of a channel, for how long, and what of it a restart keeps.

use serde_json::Value;
use tallylight_collector::io::load;
use tallylight_model::FaultKind;

use crate::{
    judged::EVERYWHERE,
    support::{LINEUP, Site, agree, get, scrape},
    world::Agents,
};

/// The lineup without the tables that these ids stand in.
fn lineup_without(gone: &[&str]) -> String {
    let mut kept = String::new();
    for table in LINEUP.split("\n[[").filter(|it| !it.trim().is_empty()) {
        let has = |id: &str| table.contains(&format!("= \"{id}\"\n"));
        if !gone.iter().any(|id| has(id)) {
            kept += &format!("[[{table}\n");
        }
    }
    kept
}

type Labels = &'static [(&'static str, &'static str)];

/// Lines with this label.
fn with<'a>(text: &'a str, name: &str, value: &str) -> Vec<&'a str> {
    let label = format!("{name}=\"{value}\"");
    text.lines().filter(|line| line.contains(&label)).collect()
}

#[tokio::test]
async fn the_series_of_what_is_no_longer_listed_end_with_the_next_scrape() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    agree(async || {
        agents.catch_up().await;
        let text = scrape(at.api).await;
        let watched = with(&text, "channel", "one");
        watched.iter().any(|it| it.starts_with("iptv_channel_error_budget_ratio{"))
    })
    .await;
    let full = scrape(at.api).await;
    // What goes from the lineup, and the labels whose series end with it and those whose do not.
    let cases: [(&[&str], Labels, Labels); 4] = [
        (&["n2"], &[("server", "n2")], &[("region", "north"), ("server", "n1")]),
        (&["north-b"], &[("node", "north-b")], &[("node", "north-a"), ("region", "north")]),
        (&["n1", "n2"], &[("region", "north")], &[("channel", "one"), ("node", "north-a")]),
        (&["one", "n1", "n2", "primary", "backup"], &[("channel", "one")], &[("node", "head-1")]),
    ];
    for (gone, ended, kept) in cases {
        for (name, value) in ended.iter().chain(kept) {
            assert!(!with(&full, name, value).is_empty(), "{name}={value} was never there");
        }
        let text = lineup_without(gone);
        std::fs::write(site.path("lineup.toml"), text).unwrap();
        let mut settings = std::fs::read_to_string(site.path("collector.toml")).unwrap();
        if gone.contains(&"north-b") {
            let at = settings.find("[[agent]]\nnode = 'north-b'").unwrap();
            let end = at + settings[at..].find("[operators]").unwrap();
            settings.replace_range(at..end, "");
        }
        std::fs::write(site.path("less.toml"), settings).unwrap();
        collector.reload(load(&site.path("less.toml")).unwrap());
        agree(async || {
            let text = scrape(at.api).await;
            ended.iter().all(|(name, value)| with(&text, name, value).is_empty())
        })
        .await;
        let text = scrape(at.api).await;
        for (name, value) in kept {
            assert!(!with(&text, name, value).is_empty(), "{name}={value} ended with {gone:?}");
        }
    }
    collector.stop().await;
}

#[tokio::test]
async fn what_an_agent_says_of_the_present_ends_when_it_falls_silent() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    let present = |text: &str| {
        let up = text.contains("\niptv_channel_up{");
        let used = text.contains("\niptv_node_saturation_ratio{");
        (up, used)
    };
    agree(async || {
        agents.catch_up().await;
        present(&scrape(at.api).await) == (true, true)
    })
    .await;
    agree(async || present(&scrape(at.api).await) == (false, false)).await;
    let text = scrape(at.api).await;
    let counted = r#"iptv_channel_observed_seconds_total{channel="one",region="north",layer="any""#;
    assert!(text.contains(counted), "what was counted stays: {text}");
    collector.stop().await;
}

#[tokio::test]
async fn the_error_budget_goes_on_after_a_restart() {
    let site = Site::new("");
    let (collector, at) = site.start().await;
    let mut agents = Agents::connect(at.grpc).await;
    agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    let slo =
        async |api| -> Value { get(api, "/api/v1/signals").await["signals"][0]["slo"].clone() };
    let spent = |slo: &Value| slo["budget_left"].as_f64().is_some_and(|left| left < 0.0);
    agree(async || {
        agents.catch_up().await;
        spent(&slo(at.api).await)
    })
    .await;
    let text = scrape(at.api).await;
    for window in ["5m", "30m", "1h", "6h"] {
        let series = format!(
            "\niptv_channel_burn_rate{{channel=\"one\",region=\"north\",window=\"{window}\"}} "
        );
        assert!(text.contains(&series), "{series} in {text}");
    }
    let before = slo(at.api).await;
    collector.stop().await;
    let (collector, at) = site.start().await;
    let after = slo(at.api).await;
    for key in
        ["/observed_seconds", "/bad_seconds", "/budget_left", "/burn_rate/5m", "/burn_rate/6h"]
    {
        let number = |slo: &Value| slo.pointer(key).and_then(Value::as_f64).unwrap();
        assert!((number(&after) - number(&before)).abs() < 1e-3, "{key}: {before} {after}");
    }
    assert_eq!(after["objective"], 0.999);
    collector.stop().await;
}
