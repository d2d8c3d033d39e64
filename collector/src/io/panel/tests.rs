use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tallylight_decide::incident::Cause;
use tallylight_decide::{
    PanelRegion,
    action::{ActionKind, Purpose},
};
use tallylight_model::{ActionId, ChannelId, IncidentId, MonoTime, StreamId};
use tokio::{net::TcpListener, sync::mpsc};

use super::*;
use crate::{
    config::{LineupFile, parse_settings},
    panel::Secrets,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How the panel of a test answers commands.
#[derive(Clone, Copy)]
enum Behaviour {
    Answer(u16, &'static str),
    Redirect,
    Hang,
    Accept(&'static str),
}

struct Panel {
    behaviour: Behaviour,
    active: &'static str,
    commands: Mutex<Vec<(String, Value)>>,
    unsigned: AtomicUsize,
    elsewhere: AtomicUsize,
}

impl Panel {
    fn check(&self, headers: &HeaderMap, body: &[u8]) -> String {
        let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
        let expected = Secrets::parse(SECRET).unwrap().sign(&id, at.parse().unwrap(), body);
        if expected != header("webhook-signature") {
            self.unsigned.fetch_add(1, Ordering::Relaxed);
        }
        id
    }
}

async fn take(State(panel): State<Arc<Panel>>, headers: HeaderMap, body: Bytes) -> Response {
    let id = panel.check(&headers, &body);
    panel.commands.lock().unwrap().push((id, serde_json::from_slice(&body).unwrap()));
    match panel.behaviour {
        Behaviour::Answer(status, body) => {
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        Behaviour::Redirect => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/elsewhere")]).into_response()
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Accept(location) => {
            (StatusCode::ACCEPTED, [(header::LOCATION, location)]).into_response()
        }
    }
}

async fn state(State(panel): State<Arc<Panel>>, headers: HeaderMap, body: Bytes) -> String {
    panel.check(&headers, &body);
    json!({ "version": 1, "channels": [{ "channel": "one", "active": panel.active }] }).to_string()
}

async fn progress(State(panel): State<Arc<Panel>>, headers: HeaderMap, body: Bytes) -> String {
    panel.check(&headers, &body);
    let asked = panel.elsewhere.fetch_add(1, Ordering::Relaxed);
    let status = if asked == 0 { "running" } else { "done" };
    json!({ "status": status, "state": { "channel": "one", "active": "backup" } }).to_string()
}

async fn elsewhere(State(panel): State<Arc<Panel>>) -> &'static str {
    panel.elsewhere.fetch_add(1, Ordering::Relaxed);
    r#"{"state":{}}"#
}

/// The outcome that the judge is told, and the panel that was asked.
async fn outcome_of(
    behaviour: Behaviour,
    active: &'static str,
    allowed: Result<(), Reason>,
    good_for: Duration,
) -> (Outcome, Arc<Panel>) {
    outcome_in_turn(behaviour, active, vec![allowed], good_for).await
}

/// The same where the judge's answers follow one another.
async fn outcome_in_turn(
    behaviour: Behaviour,
    active: &'static str,
    allowed: Vec<Result<(), Reason>>,
    good_for: Duration,
) -> (Outcome, Arc<Panel>) {
    let panel = Arc::new(Panel {
        behaviour,
        active,
        commands: Mutex::default(),
        unsigned: AtomicUsize::new(0),
        elsewhere: AtomicUsize::new(0),
    });
    let router = Router::new()
        .route("/api/commands", post(take))
        .route("/api/state", get(state))
        .route("/api/progress", get(progress))
        .route("/elsewhere", get(elsewhere).post(elsewhere))
        .with_state(Arc::clone(&panel));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (ask(&url, allowed, good_for).await, panel)
}

fn command(now: MonoTime, good_for: Duration) -> Command {
    Command {
        action: ActionId(17),
        epoch: Epoch(3),
        kind: ActionKind::SwitchSource,
        target: Target::Channel(ChannelId::new("one").unwrap()),
        from: StreamId::parse("one/primary").ok().map(Feed::Source),
        to: StreamId::parse("one/backup").ok().map(Feed::Source),
        share: None,
        decided: now,
        expires: now + good_for,
        evidence_arrived: now,
        purpose: Purpose::Incident(IncidentId(12)),
        cause: Some(Cause::Source),
        evidence: Vec::new(),
    }
}

async fn ask(url: &str, allowed: Vec<Result<(), Reason>>, good_for: Duration) -> Outcome {
    let text = format!(
        "lineup = 'l'\njournal = 'j'\nkill_switch = 'k'\n\
         [panel]\nurl = '{url}'\nsecret_file = 's'\n"
    );
    let loaded = Loaded {
        settings: parse_settings("collector.toml", &text, None).unwrap(),
        lineup: LineupFile::default(),
        secrets: Some(Secrets::parse(SECRET).unwrap()),
        tls: None,
    };
    let clock = Clock::start();
    let (judge, inbox) = JudgeHandle::channel();
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(inbox.stand_in(allowed, tell));
    let config = watch::channel(Arc::new(loaded)).1;
    super::super::run::install_crypto();
    let meters = Arc::new(Meters::default());
    let (driver, orders) = PanelDriver::new(config, clock, Epoch(3), judge, meters).unwrap();
    tokio::spawn(Arc::clone(&driver).run(orders));
    driver.act(command(clock.now(), good_for)).unwrap();
    let deadline = Duration::from_secs(20);
    timeout(deadline, async {
        loop {
            if let Some(Input::Outcome { action, outcome }) = told.recv().await {
                assert_eq!(action, ActionId(17));
                return outcome;
            }
        }
    })
    .await
    .expect("an outcome is always told")
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_signed_command_is_sent_once_and_its_answer_told() {
    let done = r#"{"state":{"channel":"one","active":"backup"}}"#;
    let (outcome, panel) = outcome_of(Behaviour::Answer(200, done), "primary", Ok(()), LONG).await;
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(panel.unsigned.load(Ordering::Relaxed), 0);
    let commands = panel.commands.lock().unwrap();
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0].1["action_id"], "17");
    let expires_in_ms = commands[0].1["expires_in_ms"].as_u64().unwrap();
    assert!((9_000..=10_000).contains(&expires_in_ms), "{expires_in_ms}");
}

#[tokio::test]
async fn refusals_of_the_panel_are_told_by_name_and_never_tried_again() {
    for (status, refusal) in [
        (409, PanelRefusal::StaleEpoch),
        (410, PanelRefusal::Expired),
        (412, PanelRefusal::FromDoesNotHold),
    ] {
        let behaviour = Behaviour::Answer(status, "{}");
        let (outcome, panel) = outcome_of(behaviour, "primary", Ok(()), LONG).await;
        assert_eq!(outcome, Outcome::Refused(refusal));
        assert_eq!(panel.commands.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_panel_that_answers_500_is_tried_three_times_with_one_action_id() {
    let (outcome, panel) =
        outcome_of(Behaviour::Answer(500, "oops"), "primary", Ok(()), LONG).await;
    assert_eq!(outcome, Outcome::Failed("the panel answered 500".to_owned()));
    let commands = panel.commands.lock().unwrap();
    assert_eq!(commands.len(), 3);
    assert!(commands.iter().all(|(_, command)| command["action_id"] == "17"));
    assert!(commands[0].0 != commands[1].0 && commands[1].0 != commands[2].0);
}

#[tokio::test]
async fn what_was_forbidden_meanwhile_is_not_tried_again() {
    let allowed = vec![Ok(()), Err(Reason::KillSwitch)];
    let behaviour = Behaviour::Answer(500, "oops");
    let (outcome, panel) = outcome_in_turn(behaviour, "primary", allowed, LONG).await;
    assert_eq!(outcome, Outcome::Failed("the panel answered 500".to_owned()));
    assert_eq!(panel.commands.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_panel_that_hangs_leaves_the_outcome_unknown_and_nothing_is_sent_past_expiry() {
    let good_for = Duration::from_millis(300);
    let (outcome, panel) = outcome_of(Behaviour::Hang, "primary", Ok(()), good_for).await;
    assert_eq!(outcome, Outcome::Unknown);
    assert_eq!(panel.commands.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_panel_that_contradicts_itself_has_failed() {
    let lie = r#"{"state":{"channel":"one","active":"primary"}}"#;
    let (outcome, _) = outcome_of(Behaviour::Answer(200, lie), "primary", Ok(()), LONG).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    let (outcome, _) = outcome_of(Behaviour::Answer(200, "<html>"), "primary", Ok(()), LONG).await;
    assert_eq!(outcome, Outcome::Unknown);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (outcome, panel) = outcome_of(Behaviour::Redirect, "primary", Ok(()), LONG).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    assert_eq!(panel.elsewhere.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_accepted_command_is_followed_on_the_panel_and_nowhere_else() {
    let behaviour = Behaviour::Accept("/api/progress");
    let (outcome, panel) = outcome_of(behaviour, "primary", Ok(()), LONG).await;
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(panel.unsigned.load(Ordering::Relaxed), 0);
    let behaviour = Behaviour::Accept("http://127.0.0.2:1/progress");
    let (outcome, _) = outcome_of(behaviour, "primary", Ok(()), LONG).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
}

#[tokio::test]
async fn nothing_is_sent_where_the_source_moved_the_judge_forbids_or_time_is_up() {
    let done = Behaviour::Answer(200, "{}");
    let (outcome, panel) = outcome_of(done, "backup", Ok(()), LONG).await;
    assert_eq!(outcome, Outcome::Refused(PanelRefusal::FromDoesNotHold));
    assert!(panel.commands.lock().unwrap().is_empty());
    let (outcome, panel) = outcome_of(done, "primary", Err(Reason::KillSwitch), LONG).await;
    assert_eq!(outcome, Outcome::NotSent(Reason::KillSwitch));
    assert!(panel.commands.lock().unwrap().is_empty());
    let (outcome, panel) = outcome_of(done, "primary", Ok(()), Duration::ZERO).await;
    assert_eq!(outcome, Outcome::NotSent(Reason::Expired));
    assert!(panel.commands.lock().unwrap().is_empty());
}

#[test]
fn a_move_goes_out_only_from_the_region_that_serves_and_a_panel_that_does_not_say_decides() {
    let region = |id| tallylight_model::RegionId::new(id).unwrap();
    let mut command = command(MonoTime::ZERO, LONG);
    command.kind = ActionKind::RegionMove;
    command.target = Target::Region(region("north"));
    command.from = Some(Feed::Region(region("north")));
    command.to = Some(Feed::Region(region("south")));
    let state = |served_by| PanelState {
        regions: vec![PanelRegion { region: region("north"), served_by: region(served_by) }],
        ..PanelState::default()
    };
    assert!(from_holds(&command, &state("north")));
    assert!(!from_holds(&command, &state("south")));
    assert!(from_holds(&command, &PanelState::default()));
}

#[tokio::test]
async fn an_unreachable_panel_is_told_without_its_address() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = ask(&format!("http://user:hunter2@{free}"), vec![Ok(())], LONG).await;
    assert_eq!(outcome, Outcome::NotSent(Reason::PanelDown));
}
