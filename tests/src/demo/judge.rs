//! Whether a row came out right. Pure: what was observed in, what is wrong with it out.

use std::collections::BTreeSet;

use super::{
    collector::{Action, Incident},
    pager::Page,
    plan::SERVERS,
    rows::{Broken, Expected},
    stage::Command,
};
use crate::world::viewers::Receiver;

/// Who gets the programme again gets it for so long before it counts: a server that hangs still gives its last second to
/// those who join.
const STEADY_MS: u64 = 2_000;
/// Longer than any HLS segment lasts and takes.
const STALE_MS: u64 = 15_000;

/// What happened since a row's fault was made.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Incidents that opened.
    pub incidents: Vec<Incident>,
    /// Actions that the collector decided on.
    pub actions: Vec<Action>,
    /// Commands that the panel got.
    pub commands: Vec<Command>,
    /// Pages that arrived at the pager.
    pub pages: Vec<Page>,
}

/// What was seen while a row's fault lasted, and is gone when it is mended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Followed {
    /// The action that is for people to approve waited for them.
    pub saw_waiting: bool,
    /// When the last receiver got the programme again, in milliseconds since 1970.
    pub good_unix_ms: Option<u64>,
}

/// When the last of the receivers that a fault concerns got the programme again, in milliseconds since 1970. `None` while any
/// does not get it steadily, and where the fault was not seen by those who must have seen it: such witnesses prove nothing.
#[must_use]
pub fn good_again(
    broken: Broken,
    broken_ms: u64,
    now_ms: u64,
    receivers: &[Receiver],
) -> Option<u64> {
    let concerned = |it: &&Receiver| match broken {
        Broken::Primary(channel, _) | Broken::Output(channel) => it.channel == channel,
        // Those whom the panel sends elsewhere, and who are elsewhere already. The dead server's monitors stay with it.
        Broken::Server(dead) => {
            let is_there = |server: &&super::plan::Server| server.id == dead;
            SERVERS.iter().find(is_there).is_some_and(|server| server.region == it.region)
                && it.server.as_deref() != Some(dead)
        }
        _ => false,
    };
    let since = |it: &Receiver| {
        let (since, last) = (it.good_since_unix_ms?, it.media_unix_ms?);
        (last >= since + STEADY_MS && now_ms <= last + STALE_MS).then_some(since)
    };
    let good: Vec<u64> = receivers.iter().filter(concerned).map(since).collect::<Option<_>>()?;
    let all_see_it = !matches!(broken, Broken::Server(_));
    let blind = all_see_it && good.iter().any(|since| *since <= broken_ms);
    good.into_iter().max().filter(|since| *since > broken_ms && !blind)
}

impl Observed {
    /// Returns the incident of a cause.
    #[must_use]
    pub fn incident(&self, cause: &str, subject: &str) -> Option<&Incident> {
        self.incidents
            .iter()
            .find(|incident| incident.cause == cause && incident.subject == subject)
    }

    /// Returns the incident that the row is about, if it is there.
    #[must_use]
    pub fn main_incident(&self, expected: Expected) -> Option<&Incident> {
        let (cause, subject) = named(expected)?;
        self.incident(cause, subject)
    }

    fn is_paged(&self) -> bool {
        self.pages.iter().any(is_page)
    }
}

/// A budget that burns is paged minutes after the fault, when the next row is played: only what is down counts.
fn is_page(page: &Page) -> bool {
    page.receiver == "pager"
        && page.status == "firing"
        && page.label("alertname") == "ChannelDown"
        && !page.label("channel").is_empty()
        && !page.label("region").is_empty()
}

const fn named(expected: Expected) -> Option<(&'static str, &'static str)> {
    match expected {
        Expected::Action { cause, subject, .. }
        | Expected::Page { cause, subject, .. }
        | Expected::Named { cause, subject } => Some((cause, subject)),
        Expected::Nothing => None,
    }
}

/// Whether everything that the row waits for has come. Rows in which nothing is to happen are never done by this.
#[must_use]
pub fn is_done(expected: Expected, observed: &Observed, followed: Followed) -> bool {
    let Some(incident) = observed.main_incident(expected) else { return false };
    match expected {
        Expected::Action { .. } => {
            incident.step_ms("verified").is_some() && followed.good_unix_ms.is_some()
        }
        Expected::Page { waiting, .. } => {
            let waits = waiting.is_none_or(|action| is_waiting(observed, action));
            waits && observed.is_paged()
        }
        Expected::Named { .. } | Expected::Nothing => false,
    }
}

fn is_waiting(observed: &Observed, action: &str) -> bool {
    observed.actions.iter().any(|it| it.action == action && it.state == "waiting")
}

/// Says everything that is wrong while the fault lasts and afterwards; empty where the row came out right.
#[must_use]
pub fn problems(expected: Expected, observed: &Observed, followed: Followed) -> Vec<String> {
    let mut problems = Vec::new();
    match named(expected) {
        Some((cause, subject)) if observed.incident(cause, subject).is_none() => {
            problems.push(format!("no incident names {cause} {subject}"));
        }
        _ => {}
    }
    for incident in &observed.incidents {
        if named(expected) != Some((&incident.cause, &incident.subject)) {
            problems.push(format!("an incident names {} {}", incident.cause, incident.subject));
        }
    }
    match expected {
        Expected::Action { action, subject, .. } => {
            acted(action, subject, observed, &mut problems);
            if followed.good_unix_ms.is_none() {
                problems.push("the receivers did not get the programme again".to_owned());
            }
        }
        Expected::Page { waiting, .. } => {
            if !observed.is_paged() {
                problems.push("no page with channel and region arrived".to_owned());
            }
            if let Some(action) = waiting.filter(|_| !followed.saw_waiting) {
                problems.push(format!("no {action} waits for approval"));
            }
            not_acted(waiting, observed, &mut problems);
        }
        Expected::Named { .. } => not_acted(None, observed, &mut problems),
        Expected::Nothing => {
            not_acted(None, observed, &mut problems);
            if observed.is_paged() {
                problems.push("somebody was paged".to_owned());
            }
        }
    }
    problems.extend(repeated_pages(&observed.pages));
    problems
}

fn acted(action: &str, subject: &str, observed: &Observed, problems: &mut Vec<String>) {
    let target = subject.split('/').next().unwrap_or(subject);
    // The same command may be sent again when its answer was lost; its id tells.
    let ids: BTreeSet<_> =
        observed.commands.iter().map(|it| it.command["action_id"].to_string()).collect();
    if ids.len() != 1 {
        problems.push(format!("the panel got {} commands instead of 1", ids.len()));
    }
    for command in &observed.commands {
        let body = &command.command;
        let at = &body["target"];
        if body["action"] != action || (at["channel"] != target && at["servers"][0] != target) {
            problems.push(format!("the panel was told {} on {at}", body["action"]));
        } else if !matches!(command.status, 200 | 202) {
            problems.push(format!("the panel answered {}", command.status));
        }
    }
    for decided in &observed.actions {
        if decided.action != action {
            problems.push(format!("{} was decided on", decided.action));
        } else if decided.state != "verified" {
            problems.push(format!("{action} ended as {}", decided.state));
        }
    }
}

fn not_acted(waiting: Option<&str>, observed: &Observed, problems: &mut Vec<String>) {
    for command in &observed.commands {
        problems.push(format!("the panel was told {}", command.command["action"]));
    }
    for decided in observed.actions.iter().filter(|it| Some(it.action.as_str()) != waiting) {
        problems.push(format!("{} was decided on ({})", decided.action, decided.state));
    }
}

/// A page that arrives twice while it fires wakes somebody twice.
fn repeated_pages(pages: &[Page]) -> Vec<String> {
    let mut firing = BTreeSet::new();
    let mut problems = Vec::new();
    for page in pages.iter().filter(|page| page.receiver == "pager") {
        let key = (page.label("alertname"), page.label("channel"), page.label("region"));
        if page.status != "firing" {
            firing.remove(&key);
        } else if !firing.insert(key) {
            problems.push(format!("{} of {} in {} was paged twice", key.0, key.1, key.2));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::demo::rows::Fault;

    const SWITCH: Expected =
        Expected::Action { cause: "source", subject: "one/primary", action: "switch_source" };
    const PAGE: Expected =
        Expected::Page { cause: "region", subject: "south", waiting: Some("region_move") };
    const TRAP: Expected = Expected::Named { cause: "programme", subject: "four" };

    fn incident(cause: &str, subject: &str) -> Incident {
        let incident = json!({
            "id": "1", "cause": cause, "subject": subject, "state": "open", "onset": "2026-01-01T00:00:00.000Z",
            "evidence": [], "remedy": "done", "timeline": [{ "step": "verified", "ms": 9 }], "refusals": [],
        });
        serde_json::from_value(incident).unwrap()
    }

    fn action(action: &str, state: &str) -> Action {
        let action = json!({ "id": "7", "incident": "1", "action": action, "state": state });
        serde_json::from_value(action).unwrap()
    }

    fn command(id: &str, action: &str, channel: &str, status: u16) -> Command {
        let body = json!({ "action_id": id, "action": action, "target": { "channel": channel } });
        Command { received_unix_ms: 0, answered_unix_ms: 1, status, command: body }
    }

    fn page(status: &str) -> Page {
        let labels = [("alertname", "ChannelDown"), ("channel", "one"), ("region", "south")];
        Page {
            receiver: "pager".into(),
            at_unix_ms: 0,
            status: status.into(),
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        }
    }

    const HELPED: Followed = Followed { saw_waiting: false, good_unix_ms: Some(9) };
    const WAITED: Followed = Followed { saw_waiting: true, good_unix_ms: None };
    const NOTHING: Followed = Followed { saw_waiting: false, good_unix_ms: None };

    fn right() -> Observed {
        Observed {
            incidents: vec![incident("source", "one/primary")],
            actions: vec![action("switch_source", "verified")],
            commands: vec![command("7", "switch_source", "one", 200)],
            pages: Vec::new(),
        }
    }

    #[test]
    fn a_row_is_right_only_if_nothing_but_the_expected_was_done() {
        assert!(is_done(SWITCH, &right(), HELPED));
        assert_eq!(problems(SWITCH, &right(), HELPED), Vec::<String>::new());
        assert!(!is_done(SWITCH, &right(), NOTHING), "the collector's word alone is not enough");
        assert_eq!(problems(SWITCH, &right(), NOTHING).len(), 1);
        type Change = fn(&mut Observed);
        let wrong: [(&str, Change); 8] = [
            ("no incident", |it| it.incidents.clear()),
            ("second incident", |it| it.incidents.push(incident("processing", "one"))),
            ("no command", |it| it.commands.clear()),
            ("second command", |it| it.commands.push(command("8", "switch_source", "one", 200))),
            ("other action", |it| it.commands[0].command["action"] = "restart_stream".into()),
            ("other target", |it| it.commands[0] = command("7", "switch_source", "two", 200)),
            ("refused", |it| it.commands[0].status = 412),
            ("not verified", |it| it.actions[0].state = "not_verified".into()),
        ];
        for (name, change) in wrong {
            let mut observed = right();
            change(&mut observed);
            assert!(!problems(SWITCH, &observed, HELPED).is_empty(), "{name}");
        }
        let mut retried = right();
        retried.commands.push(command("7", "switch_source", "one", 200));
        assert!(problems(SWITCH, &retried, HELPED).is_empty(), "a retry is the same action");
    }

    #[test]
    fn a_page_must_arrive_once_and_what_waits_must_not_be_done() {
        let mut observed = Observed {
            incidents: vec![incident("region", "south")],
            actions: vec![action("region_move", "waiting")],
            pages: vec![page("firing")],
            ..Observed::default()
        };
        assert!(is_done(PAGE, &observed, WAITED));
        assert!(problems(PAGE, &observed, WAITED).is_empty());
        assert!(!problems(PAGE, &observed, NOTHING).is_empty());
        observed.pages.push(page("resolved"));
        observed.pages.push(page("firing"));
        assert!(problems(PAGE, &observed, WAITED).is_empty(), "it fires anew");
        observed.pages.push(page("firing"));
        assert_eq!(problems(PAGE, &observed, WAITED).len(), 1);
        observed.pages.truncate(1);
        observed.commands.push(command("7", "switch_source", "one", 200));
        assert_eq!(problems(PAGE, &observed, WAITED).len(), 1);
        observed.pages.clear();
        assert!(!is_done(PAGE, &observed, WAITED));
    }

    #[test]
    fn the_picture_is_good_when_the_last_receiver_has_it_steadily_and_saw_it_break() {
        let broken = Broken::Primary("one", Fault::Black);
        let receiver =
            |channel: &str, region: &str, server: Option<&str>, since: Option<u64>| Receiver {
                channel: channel.into(),
                region: region.into(),
                server: server.map(str::to_owned),
                good_since_unix_ms: since,
                media_unix_ms: Some(20_000),
            };
        let of_one = |a, b| {
            [
                receiver("one", "north", None, a),
                receiver("one", "south", Some("s2"), b),
                receiver("two", "south", Some("s2"), None),
            ]
        };
        for (a, b, now, expected) in [
            (Some(12_000), Some(13_000), 20_000, Some(13_000)),
            (Some(12_000), None, 20_000, None),
            (Some(12_000), Some(19_000), 20_000, None),
            (Some(12_000), Some(13_000), 40_000, None),
            (Some(12_000), Some(4_000), 20_000, None),
        ] {
            assert_eq!(good_again(broken, 5_000, now, &of_one(a, b)), expected, "{a:?} {b:?}");
        }
        let server = |elsewhere, dead| {
            [
                receiver("one", "north", None, elsewhere),
                receiver("one", "north", Some("n2"), Some(1_000)),
                receiver("one", "north", Some("n1"), dead),
                receiver("one", "south", None, None),
            ]
        };
        let again =
            |receivers: &[Receiver]| good_again(Broken::Server("n1"), 5_000, 20_000, receivers);
        assert_eq!(again(&server(Some(9_000), None)), Some(9_000));
        assert_eq!(again(&server(Some(1_000), None)), None, "nobody watched the server that died");
        assert_eq!(good_again(Broken::Region("south"), 5_000, 20_000, &of_one(None, None)), None);
    }

    #[test]
    fn a_trap_is_sprung_by_any_action_and_a_harmless_row_by_any_incident() {
        let mut observed =
            Observed { incidents: vec![incident("programme", "four")], ..Observed::default() };
        assert!(problems(TRAP, &observed, NOTHING).is_empty());
        assert_eq!(problems(Expected::Nothing, &observed, NOTHING).len(), 1);
        observed.actions.push(action("switch_source", "sent"));
        assert_eq!(problems(TRAP, &observed, NOTHING).len(), 1);
        assert!(problems(Expected::Nothing, &Observed::default(), NOTHING).is_empty());
        assert!(!problems(TRAP, &Observed::default(), NOTHING).is_empty());
    }
}
