//! An incident in words, for a person who was woken by it and has ten seconds.
//!
//! The first line says what is wrong, since when and for whom. Then come, in the order in which they are asked: why this cause
//! and not another, who saw it, what was done or why nothing was, what happens next without anybody, and what to look at.
//!
//! It is written from the incident alone each time that it is read, and kept nowhere: a text that is kept would go on saying what
//! was true when it was written. All times are spans up to `now`, since nothing here knows the time of day. The length is bounded,
//! and what agents and panels wrote is left out where it looks like an address.

mod why;
mod words;

use alloc::{
    borrow::ToOwned,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, time::Duration};

use tallylight_model::{MonoTime, ServerId, StreamId};

use crate::{
    action::{Action, ActionKind, ActionState, Feed, Held, Reason, Target},
    incident::{Cause, Evidence, Incident, IncidentState, Remedy, Side, Subject, Vote},
    lineup::{Lineup, SourceRole, StreamRef},
    policy::{Guards, Mode, Return},
    remedy::Rule,
    shadow::{How, Seconds, Worth},
    view::NotReady,
};
use words::{capital, clean, cut, list, noun, of_reason, span};

/// The most characters of a whole text.
pub const MAX_LENGTH: usize = 4000;

/// The most characters of one sentence.
const MAX_SENTENCE: usize = 320;

/// Beaten candidates, pieces of evidence, actions and refusals told of one incident each.
const MAX_TOLD: usize = 4;

/// What a text is written from.
#[derive(Clone, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) incident: &'a Incident,
    /// Its actions with what they are worth, oldest first.
    pub(crate) actions: Vec<(&'a Action, Option<&'a Worth>)>,
    /// What keeps the next one back.
    pub(crate) held: Option<Held>,
    /// Since when none of its streams has been bad.
    pub(crate) clean_since: Option<MonoTime>,
    /// The channel's other sources with what each lacks, where no one is ready.
    pub(crate) sources: Vec<(StreamId, Vec<NotReady>)>,
    /// Its switches and drains that keep a channel or a server from where it belongs.
    pub(crate) stands: Vec<&'a Action>,
    pub(crate) lineup: &'a Lineup,
    pub(crate) guards: &'a Guards,
    pub(crate) now: MonoTime,
}

/// An incident in words; [`Display`](fmt::Display) writes it whole, at most [`MAX_LENGTH`] characters long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What is wrong, since when and for whom.
    pub headline: String,
    /// Titles with their sentences; none is empty.
    pub sections: Vec<(&'static str, Vec<String>)>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.headline.clone();
        text.push('\n');
        for (title, sentences) in &self.sections {
            text.push('\n');
            text.push_str(title);
            text.push('\n');
            for sentence in sentences {
                text.push_str("- ");
                text.push_str(sentence);
                text.push('\n');
            }
        }
        f.write_str(cut(&text, MAX_LENGTH))
    }
}

/// Puts an incident into words.
pub(crate) fn explain(told: &Told<'_>) -> Explanation {
    let sections = [
        ("Why this cause", why::why(told)),
        ("Who saw it", why::who(told)),
        ("What was done", done(told)),
        ("What was not done", not_done(told)),
        ("What happens next", next(told)),
        ("What to check", check(told)),
    ];
    let short = |sentence: &String| cut(&capital(sentence), MAX_SENTENCE).to_owned();
    let sections = sections
        .into_iter()
        .filter(|(_, sentences)| !sentences.is_empty())
        .map(|(title, sentences)| (title, sentences.iter().map(short).collect()));
    Explanation {
        headline: cut(&headline(told), MAX_SENTENCE).to_owned(),
        sections: sections.collect(),
    }
}

impl Told<'_> {
    fn is_open(&self) -> bool {
        self.incident.state == IncidentState::Open
    }

    fn ago(&self, at: MonoTime) -> String {
        format!("{} ago", span(self.now.since(at)))
    }

    fn within(&self, at: MonoTime) -> String {
        span(at.since(self.now))
    }

    /// The worst fault that speaks for the cause, on streams of which this holds.
    fn fault(&self, of: impl Fn(&StreamId) -> bool) -> Option<&Evidence> {
        let evidence = self.incident.evidence.iter();
        evidence.filter(|it| it.side == Side::For && it.kind.is_some()).find(|it| of(&it.stream))
    }

    fn channel_name(&self, id: &tallylight_model::ChannelId) -> String {
        let name = self.lineup.channel(id).map_or(id.as_str(), |it| it.name.as_str());
        if name == id.as_str() {
            format!("Channel {id}")
        } else {
            format!("{} ({id})", cut(name, 60))
        }
    }

    fn in_flight(&self) -> Option<&Action> {
        self.actions.iter().map(|it| it.0).find(|it| it.state.is_in_flight())
    }

    fn waiting(&self) -> Option<&Action> {
        self.actions.iter().map(|it| it.0).find(|it| it.state == ActionState::Waiting)
    }
}

/// What is wrong, since when and for whom.
pub(crate) fn headline(told: &Told<'_>) -> String {
    let incident = told.incident;
    let lasted = span(incident.closed.unwrap_or(told.now).since(incident.onset));
    let time = match incident.closed {
        None => format!("for {lasted}"),
        Some(at) => format!("closed {} after {lasted}", told.ago(at)),
    };
    format!("{}, {time}. {}{}", wrong(told), audience(told), status(told))
}

/// Whether anything is being done about it.
fn status(told: &Told<'_>) -> String {
    if !told.is_open() || told.incident.cause() == Cause::Probe {
        return String::new();
    }
    if let Some(it) = told.in_flight() {
        format!(" Under way: {}.", order(it))
    } else if told.incident.remedy == Remedy::Done {
        let last = told.actions.iter().rev().find(|it| it.0.state == ActionState::Verified);
        last.map_or_else(String::new, |it| format!(" Mended by: {}.", order(it.0)))
    } else if let Some(it) = told.waiting() {
        format!(" It waits for a person: {}.", order(it))
    } else {
        let why = told.held.map(|it| of_reason(it.reason).0);
        why.map_or_else(String::new, |why| format!(" Nothing is done: {why}."))
    }
}

fn wrong(told: &Told<'_>) -> String {
    let any = |_: &StreamId| true;
    let what = |fault: Option<&Evidence>| {
        fault.and_then(|it| it.kind).map_or_else(|| String::from("faults"), noun)
    };
    match &told.incident.subject {
        Subject::Source(id) => {
            let what = what(told.fault(|it| it == id).or_else(|| told.fault(any)));
            let role = match told.lineup.stream(id) {
                Some(StreamRef::Source(_, source)) => match source.role {
                    SourceRole::Primary => "primary ",
                    SourceRole::Backup => "backup ",
                    SourceRole::LastResort => "last-resort ",
                },
                _ => "",
            };
            let channel = told.lineup.stream(id).map(|it| told.channel_name(&it.channel().id));
            match channel {
                Some(channel) if id.name() == role.trim_end() => {
                    format!("{channel}: {what} on its {role}source")
                }
                Some(channel) => format!("{channel}: {what} on its {role}source {}", id.name()),
                None => format!("{what} on the source {id}"),
            }
        }
        Subject::Provider(id) => {
            let streams = told.incident.streams.iter().filter_map(|it| told.lineup.stream(it));
            let channels: BTreeSet<_> = streams.map(|it| &it.channel().id).collect();
            let is_source =
                |it: &StreamId| matches!(told.lineup.stream(it), Some(StreamRef::Source(..)));
            let what = what(told.fault(is_source).or_else(|| told.fault(any)));
            format!("Provider {id}: {what} on its sources of {}", list(channels, "channel"))
        }
        Subject::Processing(id) => format!(
            "{}: {} on its deliveries although its source is not bad (processing)",
            told.channel_name(id),
            what(told.fault(any)),
        ),
        Subject::Encoder(id) => format!(
            "Encoder {id}: {} on deliveries of its channels although their sources are not bad",
            what(told.fault(any)),
        ),
        Subject::Server(id) => match told.lineup.server(id) {
            Some(server) => {
                format!(
                    "Server {id} in {}: {} on what it serves",
                    server.region,
                    what(told.fault(any))
                )
            }
            None => format!("Server {id}: {} on what it serves", what(told.fault(any))),
        },
        Subject::Region(id) => format!("Region {id}: {} on its servers", what(told.fault(any))),
        Subject::Programme(id) => format!(
            "{}: {} in the programme itself, on every source alike",
            told.channel_name(id),
            what(told.fault(any)),
        ),
        Subject::Probe(id) => format!("Agent {id} is at fault, not what it watches"),
    }
}

fn audience(told: &Told<'_>) -> String {
    let affected = &told.incident.affected;
    if affected.is_empty() {
        return match told.incident.cause() {
            Cause::Source => "No viewer is affected: the channel is not on it.".to_owned(),
            _ => "No viewer is affected.".to_owned(),
        };
    }
    let channels: BTreeSet<_> = affected.iter().map(|(channel, _)| channel).collect();
    let regions: BTreeSet<_> = affected.iter().map(|(_, region)| region).collect();
    let of = if channels.len() == 1 && told.incident.cause() != Cause::Server {
        String::new()
    } else {
        format!(" of {}", list(channels, "channel"))
    };
    let is_over = !told.is_open() || told.incident.remedy == Remedy::Done;
    let are = if is_over { "were" } else { "are" };
    format!("Viewers{of} in {} {are} affected.", list(regions, "region"))
}

/// What an action does, as an order.
fn order(action: &Action) -> String {
    let way = match (&action.from, &action.to) {
        // The region that is left is the target.
        (Some(Feed::Region(_)), Some(to)) => format!(" to {}", to.name()),
        (Some(from), Some(to)) => format!(" from {} to {}", from.name(), to.name()),
        (None, Some(to)) => format!(" to {}", Feed::name(to)),
        _ => String::new(),
    };
    let back = action.undoes.map_or_else(String::new, |it| format!(", which undoes action {it}"));
    let verb = match action.share {
        Some(share) => format!("send {share} % of its viewers again to"),
        None => words::verb(action.kind).to_owned(),
    };
    format!("{verb} {}{way} (action {}){back}", action.target, action.id)
}

fn done(told: &Told<'_>) -> Vec<String> {
    let skipped = told.actions.len().saturating_sub(MAX_TOLD);
    let mut out: Vec<String> =
        told.actions.iter().skip(skipped).map(|it| one(told, it.0, it.1)).collect();
    if skipped > 0 {
        out.push(format!("{skipped} older actions stand in the incident."));
    }
    if out.is_empty() {
        out.push("Nothing.".to_owned());
    }
    out
}

fn one(told: &Told<'_>, action: &Action, worth: Option<&Worth>) -> String {
    let by = action.approved_by.as_deref();
    let by = by.map_or_else(String::new, |it| format!(", approved by {}", cut(it, 40)));
    let detail = Reason::from_name(&action.detail)
        .map_or_else(|| clean(&action.detail), |reason| of_reason(reason).0.to_owned());
    let decided = told.ago(action.decided);
    let done = told.ago(action.done.or(action.sent).unwrap_or(action.decided));
    let state = match action.state {
        ActionState::Proposed => format!("would have been sent {decided}; nothing was sent"),
        ActionState::Waiting => {
            format!("waits for a person since {}", span(told.now.since(action.decided)))
        }
        ActionState::Sent => format!("sent {done}{by}, not answered yet"),
        ActionState::Unknown => format!("sent {done}{by}, and no answer came"),
        ActionState::Verifying => format!("done {done}{by}; whether it helped is being watched"),
        ActionState::Verified => format!("done {done}{by}, and it helped"),
        ActionState::NotVerified => format!("done {done}{by}, and it did not help: {detail}"),
        ActionState::Failed => format!("failed, decided {decided}{by}: {detail}"),
        ActionState::Expired => format!("void, decided {decided}: {detail}"),
        ActionState::Rejected => format!("refused by a person, decided {decided}: {detail}"),
        ActionState::Withdrawn => format!("withdrawn, decided {decided}: {detail}"),
    };
    format!("{}: {state}.{}", order(action), worth.map_or_else(String::new, gained))
}

/// Fewer seconds gained or spoiled are not worth a word.
const LEAST: Duration = Duration::from_secs(1);

/// What it gained up to now, or would have.
fn gained(worth: &Worth) -> String {
    let Seconds { gained, spoiled, .. } = worth.total();
    let has = if worth.how == How::WouldBe { "It would have" } else { "It has" };
    let bad =
        if spoiled < LEAST { String::new() } else { format!(" and spoiled {}", span(spoiled)) };
    if gained < LEAST && bad.is_empty() {
        return String::new();
    }
    format!(" {has} gained {}{bad}, as seconds of a channel in a region.", span(gained))
}

fn refused(kind: Option<ActionKind>, reason: Reason) -> String {
    let (says, advice) = of_reason(reason);
    let what = kind.map_or_else(String::new, |it| format!("{}: ", words::step(it)));
    let end = if advice.ends_with('?') { "" } else { "." };
    format!("{what}{says} ({}). {}{end}", reason.name(), capital(advice))
}

fn not_done(told: &Told<'_>) -> Vec<String> {
    let incident = told.incident;
    let acts = told.in_flight().is_some() || incident.remedy == Remedy::Done;
    let held = told.held.filter(|_| told.is_open() && !acts);
    let mut out: Vec<String> = held.iter().map(|it| refused(it.kind, it.reason)).collect();
    out.extend(told.sources.iter().map(|(source, lacks)| {
        let lacks: Vec<&str> = lacks.iter().map(|it| it.name()).collect();
        format!("The source {source} is not ready: {}.", lacks.join(", "))
    }));
    // What an action of that kind got past has no weight any more.
    let is_past = |kind: Option<ActionKind>, at: MonoTime| {
        let sent = told.actions.iter().filter(|it| it.0.sent.is_some_and(|sent| sent >= at));
        sent.into_iter().any(|it| kind.is_none_or(|kind| it.0.kind == kind))
    };
    let is_held = |kind, reason| held.is_some_and(|it| (it.kind, it.reason) == (kind, reason));
    let earlier: Vec<_> = incident
        .refusals
        .iter()
        .filter(|it| !is_past(it.kind, it.at) && !is_held(it.kind, it.reason))
        .collect();
    let before = if held.is_some() { "Before that, " } else { "" };
    out.extend(earlier.iter().rev().take(MAX_TOLD).map(|it| {
        let sentence = refused(it.kind, it.reason);
        format!("{before}{}: {sentence}", told.ago(it.at))
    }));
    out
}

fn next(told: &Told<'_>) -> Vec<String> {
    let stands = told.stands.iter().take(MAX_TOLD).map(|it| goes_back(told, it));
    if !told.is_open() {
        return stands.collect();
    }
    let mut out = Vec::new();
    if let Some(action) = told.in_flight() {
        out.push(in_flight(told, action));
    } else if let Some(action) = told.waiting() {
        let left = told.within(action.expires);
        out.push(if action.mode == Mode::Approve {
            let path = format!("/api/v1/actions/{}/approve", action.id);
            format!("Action {} is void in {left} unless a person says yes: POST {path}", action.id)
        } else {
            format!("Action {} is void in {left}.", action.id)
        });
    } else if let Some(held) = told.held.filter(|_| told.incident.remedy != Remedy::Done) {
        let again = held.until.filter(|at| *at > told.now);
        out.extend(match (again, told.incident.remedy) {
            (Some(at), _) => Some(format!("It is asked again in {}.", told.within(at))),
            (None, Remedy::Waiting) => {
                Some("It is asked again with everything new that is seen.".to_owned())
            }
            (None, Remedy::Held) => Some("It is looked at again when that is over.".to_owned()),
            (None, _) => Some("Nothing is done without a person.".to_owned()),
        });
    }
    out.push(closes(told));
    out.extend(stands);
    out
}

/// How long what was done stays as it is.
fn goes_back(told: &Told<'_>, action: &Action) -> String {
    // What did not hold once is left to people.
    let by_itself = action.undoes.is_none();
    match &action.target {
        Target::Channel(id) => {
            let home = action.from.as_ref().map_or("its source", Feed::name);
            let on = action.to.as_ref().map_or("another source", Feed::name);
            match told.lineup.channel(id).and_then(|it| it.fail_back).filter(|_| by_itself) {
                Some(hold) => {
                    let hold = span(hold);
                    format!("Channel {id} goes back to {home} when that has been good for {hold}.")
                }
                None => format!(
                    "Channel {id} stays on {on} until a person says: POST /api/v1/channels/{id}/fail-back"
                ),
            }
        }
        target => {
            let id = match target {
                Target::Servers(ids) if ids.len() == 1 => ids.first().map(ServerId::as_str),
                _ => None,
            };
            if told.guards.server_return == Return::Auto && by_itself {
                let after = span(told.guards.return_after);
                format!(
                    "{} gets its viewers back in steps when it has been good for {after}.",
                    capital(&target.to_string())
                )
            } else {
                format!(
                    "{} gets no viewers until a person says: POST /api/v1/servers/{}/return",
                    capital(&target.to_string()),
                    id.unwrap_or("ID")
                )
            }
        }
    }
}

fn in_flight(told: &Told<'_>, action: &Action) -> String {
    let guards = told.guards;
    let Some(done) = action.done else {
        return format!("The panel has {} to carry it out.", told.within(action.expires));
    };
    let Rule { good, of, within } = Rule::of(action.kind, guards);
    let delays = told.incident.streams.iter().filter_map(|it| told.lineup.stream(it));
    let delay = delays.map(StreamRef::delay).max().unwrap_or_default();
    let until = done + within + delay + guards.verify_grace;
    let needs = match action.kind {
        ActionKind::DrainServer | ActionKind::RegionMove => {
            "viewers who are served well elsewhere prove it".to_owned()
        }
        _ if good == of => format!("{good} good seconds in a row prove it"),
        _ => format!("{good} good seconds of {of} prove it"),
    };
    format!("Whether it helped is known within {} at the latest: {needs}.", told.within(until))
}

fn closes(told: &Told<'_>) -> String {
    let after = span(told.guards.close_after);
    match (told.clean_since, told.incident.cause()) {
        (Some(since), _) => {
            let good = span(told.now.since(since));
            format!(
                "Everything has been good for {good}; the incident closes after {after} of that, and a delivery's delay."
            )
        }
        (None, Cause::Probe) => {
            format!("The incident closes by itself {after} after nobody denies the agent any more.")
        }
        (None, _) => {
            format!("The incident closes by itself once everything has been good for {after}.")
        }
    }
}

fn check(told: &Told<'_>) -> Vec<String> {
    if !told.is_open() {
        return Vec::new();
    }
    let provider = |id: &StreamId| match told.lineup.stream(id) {
        Some(StreamRef::Source(_, source)) => source.provider.as_ref(),
        _ => None,
    };
    let said = match &told.incident.subject {
        Subject::Source(id) => {
            let whose =
                provider(id).map_or_else(String::new, |it| format!(", and ask provider {it}"));
            format!("Look at how {id} arrives at the head-end{whose}.")
        }
        Subject::Provider(id) => format!("Call provider {id}, or look at the line to it."),
        Subject::Processing(id) => {
            format!(
                "Look at what makes the deliveries of {id} out of its source: transcoder, packager, relay."
            )
        }
        Subject::Encoder(id) => {
            format!("Is encoder {id} up? Look at its processes, its host and the way to it.")
        }
        Subject::Server(id) => {
            format!("Is {id} up, and reachable from its region? Disk, memory, uplink?")
        }
        Subject::Region(id) => {
            format!("Look at the network into {id}; its servers are not to blame alone.")
        }
        Subject::Programme(id) => {
            format!(
                "Call the broadcaster of {id}; if black or silence is meant, there is nothing to do."
            )
        }
        Subject::Probe(id) => {
            format!("Look after the host of {id} and its network; viewers need nothing.")
        }
    };
    let agents = told.incident.vantage.iter().any(|it| it.vote == Vote::Silent);
    let agents = agents.then(|| {
        "Bring back the agents that are not heard of: they are missing as witnesses.".to_owned()
    });
    core::iter::once(said).chain(agents).collect()
}
