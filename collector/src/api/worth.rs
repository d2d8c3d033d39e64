//! What actions were worth, or would have been.

use serde_json::{Map, Value, json};
use tallylight_decide::shadow::{Seconds, Verdict, Worth};

use super::{Moments, object};
use crate::{exposition::scope_name, view::View};

pub(super) fn one(worth: &Worth, moments: Moments) -> Value {
    let regions = worth.regions.iter().map(|(region, it)| {
        let mut out = seconds(*it);
        out.insert("region".to_owned(), json!(region.as_str()));
        Value::Object(out)
    });
    let mut out = seconds(worth.total());
    out.insert("how".to_owned(), json!(worth.how.name()));
    out.insert("verdict".to_owned(), json!(worth.verdict.name()));
    out.insert("verified".to_owned(), json!(worth.verified));
    out.insert("regions".to_owned(), regions.collect());
    moments.put(&mut out, "effect", worth.effect);
    Value::Object(out)
}

fn seconds(it: Seconds) -> Map<String, Value> {
    object(json!({
        "gained_seconds": it.gained.as_secs_f64(),
        "spoiled_seconds": it.spoiled.as_secs_f64(),
        "left_seconds": it.left.as_secs_f64(),
    }))
}

/// `GET /api/v1/shadow`: what actions were worth, or would have been.
#[must_use]
pub fn shadow(view: &View<'_>) -> Value {
    let report = view.decider.shadow();
    let rows = report.rows.iter().map(|row| {
        let mut out = seconds(row.seconds);
        let verdicts: Map<_, _> = Verdict::ALL
            .iter()
            .map(|it| (it.name().to_owned(), json!(row.verdicts.get(it).copied().unwrap_or(0))))
            .collect();
        out.insert("how".to_owned(), json!(row.how.name()));
        out.insert("action".to_owned(), json!(row.kind.name()));
        out.insert("cause".to_owned(), json!(row.cause.name()));
        out.insert("scope".to_owned(), json!(scope_name(&row.scope)));
        out.insert("verdicts".to_owned(), Value::Object(verdicts));
        Value::Object(out)
    });
    json!({
        "since": report.since.map(|at| view.calendar.rfc3339(at)),
        "rows": rows.collect::<Vec<_>>(),
        "wrong": report.wrong.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// `GET /api/v1/shadow/report`: the same as a table for a person.
#[must_use]
pub fn shadow_report(view: &View<'_>) -> String {
    let report = view.decider.shadow();
    let now = view.calendar.rfc3339(view.calendar.now);
    let since = report.since.map(|at| view.calendar.rfc3339(at));
    match since {
        Some(since) => format!("Actions from {since} to {now}\n\n{report}"),
        None => format!("No action was made or proposed up to {now}.\n"),
    }
}
