//! What a kill, a full disk or a damaged record in the middle of things costs: no action, and none twice.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use serde_json::json;
use tallylight_model::FaultKind;

use crate::{
    judged::{EVERYWHERE, action, ready, site, until},
    support::{Running, Site, get, health, scrape},
    world::{Agents, Manner, Panel},
};

/// The program with a panel and agents, in which every source could be switched to.
struct Stage {
    panel: Arc<Panel>,
    site: Site,
    running: Running,
    agents: Agents,
}

impl Stage {
    async fn new(manner: Manner, start: fn(&Site) -> Running) -> Self {
        let (panel, url) = Panel::start(manner).await;
        let site = site(&url, "auto");
        let running = start(&site);
        let agents = Agents::connect(running.at.grpc).await;
        let mut stage = Self { panel, site, running, agents };
        stage.until(ready).await;
        stage
    }

    async fn until(&mut self, holds: impl AsyncFnMut(std::net::SocketAddr) -> bool) {
        until(&mut self.agents, self.running.at.api, holds).await;
    }

    /// Ends it as a power cut would, and starts it again over what it left.
    async fn kill_and_restart(&mut self) {
        self.running.signal("-KILL");
        assert!(!self.running.end().success());
        self.running = Running::start(&self.site);
        self.agents = Agents::connect(self.running.at.grpc).await;
    }
}

/// How many actions the journal has.
fn intents(journal: &Path) -> i64 {
    let journal = rusqlite::Connection::open(journal).unwrap();
    let query = "SELECT count(*) FROM record WHERE key GLOB 'action/*'";
    journal.query_row(query, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn killed_with_a_command_out_it_neither_forgets_nor_repeats() {
    let mut stage = Stage::new(Manner::Hangs, Running::start).await;
    stage.agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    let panel = Arc::clone(&stage.panel);
    stage.until(async |_| panel.count() > 0).await;
    let id = panel.commands.lock().unwrap()[0]["action_id"].clone();
    stage.kill_and_restart().await;
    stage.until(async |api| action(api).await["state"] == "verified").await;
    let known = get(stage.running.at.api, "/api/v1/actions").await;
    assert_eq!(known["actions"].as_array().map(Vec::len), Some(1), "{known}");
    assert_eq!(known["actions"][0]["id"], id);
    assert_eq!(panel.count(), 1, "{:?}", panel.commands.lock().unwrap());
}

#[tokio::test]
async fn killed_between_intent_and_command_it_finds_out_that_nothing_was_done() {
    let mut stage = Stage::new(Manner::Answers, Running::start).await;
    stage.panel.deaf.store(true, Ordering::Relaxed);
    stage.agents.begin(FaultKind::NoData, &EVERYWHERE).await;
    let journal = stage.site.path("journal.sqlite");
    stage.until(async |_| intents(&journal) == 1).await;
    assert_eq!(action(stage.running.at.api).await["state"], "sent");
    stage.panel.deaf.store(false, Ordering::Relaxed);
    stage.kill_and_restart().await;
    stage.until(async |api| action(api).await["state"] == "failed").await;
    let action = action(stage.running.at.api).await;
    assert_eq!(action["detail"], "the panel's state says that it was not carried out");
    assert_eq!((intents(&journal), stage.panel.count()), (1, 0));
}

#[tokio::test]
async fn with_the_disk_full_nothing_is_sent_and_it_says_so() {
    let little_room = |site: &Site| Running::start_with_little_room(site, 256);
    let mut stage = Stage::new(Manner::Answers, little_room).await;
    assert_eq!(health(stage.running.at.api).await, 200);
    let mut seq = 1000;
    while stage.agents.try_begin(seq).await {
        seq += 1;
        assert!(seq < 2000, "the disk is never full");
    }
    stage.running.line_with("journal not written, nothing is acted on");
    stage.until(ready).await;
    stage.agents.stands(FaultKind::NoData, &EVERYWHERE);
    stage.until(async |api| action(api).await["detail"] == "journal_fails").await;
    assert_eq!(stage.panel.count(), 0);
    let api = stage.running.at.api;
    assert_eq!(health(api).await, 503);
    let text = scrape(api).await;
    assert!(!text.contains("\ntallylight_journal_errors_total 0\n"), "{text}");
    // With room again it goes on from what was kept, and all that it said was kept is there.
    stage.kill_and_restart().await;
    assert_eq!(health(stage.running.at.api).await, 200);
    let journal = rusqlite::Connection::open(stage.site.path("journal.sqlite")).unwrap();
    let kept = "SELECT count(*) FROM fault WHERE seq >= 1000";
    let kept: i64 = journal.query_row(kept, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, seq as i64 - 1000);
}

#[tokio::test]
async fn a_mode_that_cannot_be_read_means_off() {
    let site = Site::new("[mode]\nglobal = 'auto'\n");
    let running = Running::start(&site);
    let modes = async |at: std::net::SocketAddr| get(at, "/api/v1/mode").await["modes"].clone();
    assert_eq!(modes(running.at.api).await, json!([{ "scope": "global", "mode": "auto" }]));
    drop(running);
    let journal = rusqlite::Connection::open(site.path("journal.sqlite")).unwrap();
    let record = "INSERT INTO record VALUES ('mode/region/north', x'ff', 0)";
    journal.execute(record, []).unwrap();
    drop(journal);
    let running = Running::start(&site);
    assert_eq!(modes(running.at.api).await, json!([{ "scope": "global", "mode": "off" }]));
}
