//! Why it is this cause and no other, and who saw it.

use alloc::{borrow::ToOwned, collections::BTreeSet, format, string::String, vec, vec::Vec};

use super::{
    MAX_TOLD, Told,
    words::{self, clean, cut, list, noun, things},
};
use crate::incident::{Candidate, Cause, Evidence, Sees, Side, Subject, Vantage, Vote};

pub(super) fn why(told: &Told<'_>) -> Vec<String> {
    let incident = told.incident;
    let fit = &incident.fit;
    let mut out = vec![match incident.cause() {
        Cause::Probe => probe(told, fit),
        _ => format!("{} bad{}.", counted(fit, fit.broken), unseen(fit)),
    }];
    let told_of = incident.beaten.iter().take(MAX_TOLD);
    out.extend(told_of.map(|it| beaten(told, it)));
    let on_side = |side| incident.evidence.iter().filter(move |it| it.side == side);
    let first: Vec<&Evidence> = on_side(Side::For).take(MAX_TOLD).collect();
    out.extend(first.iter().map(|it| said(it)));
    let more = on_side(Side::For).count() - first.len();
    if more > 0 {
        out.push(format!("{more} more like these stand in the incident's evidence."));
    }
    let denied: BTreeSet<_> = on_side(Side::Against).map(|it| it.stream.as_str()).collect();
    if !denied.is_empty() {
        out.push(format!("Against it: {} seen well all the time.", are(denied)));
    }
    out
}

fn are(items: BTreeSet<&str>) -> String {
    let verb = if items.len() == 1 { "was" } else { "were" };
    format!("{} {verb}", list(items, "stream"))
}

fn probe(told: &Told<'_>, fit: &Candidate) -> String {
    let Subject::Probe(node) = &told.incident.subject else { return String::new() };
    let own = told.incident.vantage.iter().find(|it| it.node == *node);
    let all = fit.broken + fit.spared;
    if all == 0 || own.is_some_and(|it| it.vote == Vote::OwnDrops) {
        return "Its own host drops packets, so what it says of streams proves nothing.".to_owned();
    }
    format!("Of {all} streams that it calls bad, others see {} well.", fit.broken)
}

/// "all 4 deliveries on n1 are", "of the 4 deliveries on n1, 3 are".
fn counted(candidate: &Candidate, count: usize) -> String {
    let things = things(&candidate.subject);
    let known = candidate.broken + candidate.spared;
    let are = if count == 1 { "is" } else { "are" };
    match (count, known) {
        (1, 1) => format!("what is seen of the {things} is"),
        (count, known) if count == known => format!("all {known} {things} are"),
        (count, known) => format!("of the {known} {things}, {count} {are}"),
    }
}

fn unseen(candidate: &Candidate) -> String {
    match candidate.pending {
        0 => String::new(),
        count => format!("; nothing is known of {count} more"),
    }
}

/// What speaks against a candidate that was not named.
fn beaten(told: &Told<'_>, other: &Candidate) -> String {
    let name = words::subject(&other.subject);
    let evidence = told.incident.evidence.iter().filter(|it| it.side == Side::For);
    let hard = evidence.filter_map(|it| it.kind).find(|it| !it.is_differential());
    if other.spared > 0 {
        return format!("Not {name}: {} good.", counted(other, other.spared));
    }
    match hard.filter(|_| other.subject.cause() == Cause::Programme) {
        Some(kind) => {
            format!("Not {name}: it is no matter of picture or sound, but {}.", noun(kind))
        }
        None if other.explains < told.incident.fit.explains => {
            let part = (other.explains.get() * 100.0) as u64;
            format!("Not {name}: that would explain {part} % of what is bad.")
        }
        None if other.pending > 0 => {
            let more = other.pending;
            format!(
                "Not ruled out: {name}; nothing is known of {more} of the {}.",
                things(&other.subject)
            )
        }
        None => format!("Less likely: {name}; it would explain no more."),
    }
}

fn said(evidence: &Evidence) -> String {
    let Evidence { node, stream, severity, .. } = evidence;
    match evidence.kind {
        Some(kind) => {
            let text = clean(&evidence.text);
            let colon = if text.is_empty() { "" } else { ": " };
            let severity = severity.name();
            format!("Seen by {node}: {} on {stream}, {severity}{colon}{text}", noun(kind))
        }
        None => format!("Seen by {node}: {stream} is good."),
    }
}

pub(super) fn who(told: &Told<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let points = |is: &dyn Fn(&&Vantage) -> bool| -> BTreeSet<String> {
        let some = told.incident.vantage.iter().filter(|it| is(it));
        some.map(|it| format!("{} (by {})", it.node, cut(&it.path, 40))).collect()
    };
    let counts = |it: &Vantage, sees| it.vote == Vote::Counts && it.sees == sees;
    let is_probe = told.incident.cause() == Cause::Probe;
    let [see, see_well] = if is_probe {
        ["Calls some of it bad", "See all of it well"]
    } else {
        ["See it", "See nothing wrong"]
    };
    for (words, points) in [
        (see, points(&|it| counts(it, Sees::Bad))),
        (see_well, points(&|it| counts(it, Sees::Good))),
        ("Said nothing of it since it began", points(&|it| counts(it, Sees::Nothing))),
    ] {
        if !points.is_empty() {
            out.push(format!("{words}: {}.", list(points, "agent")));
        }
    }
    for (vote, why) in [
        (Vote::OwnDrops, "its own host drops packets"),
        (Vote::Contradicted, "others elsewhere see well what it calls bad"),
        (Vote::Silent, "it is not heard of; look after the agent"),
    ] {
        let points = points(&|it| it.vote == vote);
        if !points.is_empty() {
            out.push(format!("Does not count: {}, because {why}.", list(points, "agent")));
        }
    }
    out
}
