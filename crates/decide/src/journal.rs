//! What must survive a restart, as records that the collector stores without understanding them.
//!
//! A record replaces the one of the same key. Times inside a record are ages at the moment of writing, because a monotonic
//! clock does not survive the process that read it: the collector keeps the wall time of writing beside the record and hands
//! its age back. Words are stored by name and not by number, so that a later version reads what this one wrote.

mod code;

use alloc::{boxed::Box, collections::BTreeSet, format, string::String, vec::Vec};
use core::time::Duration;

use tallylight_model::{
    ActionId, ChannelId, EncoderId, FaultKind, IncidentId, MonoTime, NodeId, ProviderId, Ratio,
    RegionId, ServerId, Severity, StreamId, WindowId,
};

use crate::{
    action::{
        Action, ActionKind, ActionState, Choice, Feed, Purpose, Reason, Refusal, Target, Why,
    },
    incident::{
        Candidate, Evidence, Incident, IncidentState, Moment, Remedy, Sees, Side, Step, Subject,
        Vantage, Vote,
    },
    ledger::{Case, action_key, incident_key, others_key, window_key, worth_key},
    maintenance::{Area, Plan, Window},
    others::{Other, Others},
    policy::{Mode, Scope},
    shadow::{How, Seconds, Verdict, Worth},
    signal::Budget,
};
use code::{Reader, Writer};

/// One thing to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about: `incident/12`, `action/17`, `maintenance/n1-disks`, `others/one`, `mode/global`, `budget/one/north`.
    /// A later record of the same key replaces it.
    pub key: String,
    /// The content, for [`Decider::restore`](crate::Decider::restore) alone. Empty: what was kept under the key can go.
    pub body: Vec<u8>,
}

/// A record as it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The record.
    pub record: Record,
    /// How long ago it was written.
    pub age: Duration,
}

/// What a record turned out to be.
#[derive(Debug)]
pub(crate) enum Memory {
    Case(Box<Case>),
    Action(Action),
    Worth(ActionId, Worth),
    Window(Window),
    Others(ChannelId, Others),
    Forgotten,
    Mode(Scope, Mode),
    Ids { incident: u64, action: u64 },
    Budget { key: (ChannelId, RegionId), budget: Budget, written: MonoTime },
}

/// The first byte of every body.
const VERSION: u8 = 1;

pub(crate) fn ids_record(incident: u64, action: u64) -> Record {
    let mut out = Writer::new(VERSION, MonoTime::ZERO);
    out.u64(incident);
    out.u64(action);
    Record { key: String::from("ids"), body: out.finish() }
}

pub(crate) fn mode_record(scope: &Scope, mode: Mode) -> Record {
    let mut out = Writer::new(VERSION, MonoTime::ZERO);
    let name = match scope {
        Scope::Global => String::from("global"),
        Scope::Region(region) => format!("region/{region}"),
        Scope::Action(kind) => format!("action/{}", kind.name()),
    };
    out.text(&name);
    out.text(mode.name());
    Record { key: format!("mode/{name}"), body: out.finish() }
}

/// The error budget of a channel in a region, with the moment up to which it counts.
pub(crate) fn budget_record(
    now: MonoTime,
    (channel, region): &(ChannelId, RegionId),
    budget: &Budget,
) -> Record {
    let mut out = Writer::new(VERSION, now);
    out.text(channel.as_str());
    out.text(region.as_str());
    out.time(now);
    let buckets: Vec<_> = budget.buckets().collect();
    out.list(&buckets, |out, (tier, begin, bucket)| {
        out.u64(*tier as u64);
        out.time(*begin);
        out.u64(u64::from(bucket.observed) << 32 | u64::from(bucket.bad));
    });
    Record { key: format!("budget/{channel}/{region}"), body: out.finish() }
}

/// What the judgement has let go of.
pub(crate) const fn forgotten(key: String) -> Record {
    Record { key, body: Vec::new() }
}

pub(crate) fn window_record(now: MonoTime, window: &Window) -> Record {
    let mut out = Writer::new(VERSION, now);
    let plan = &window.plan;
    out.text(plan.id.as_str());
    out.text(plan.area.kind());
    out.text(plan.area.id());
    out.time(plan.begin);
    out.time(plan.end);
    out.text(plan.by.as_deref().unwrap_or(""));
    out.text(&plan.why);
    out.optional_time(window.ended);
    out.list(&window.refusals, write_refusal);
    Record { key: window_key(&plan.id), body: out.finish() }
}

pub(crate) fn others_record(now: MonoTime, channel: &ChannelId, others: &Others) -> Record {
    let mut out = Writer::new(VERSION, now);
    out.text(channel.as_str());
    out.list(&others.changes, |out, (at, by)| {
        out.time(*at);
        out.text(by.name());
    });
    out.time(others.released);
    out.text(others.on.as_ref().map_or("", StreamId::as_str));
    Record { key: others_key(channel), body: out.finish() }
}

pub(crate) fn action_record(now: MonoTime, action: &Action) -> Record {
    let mut out = Writer::new(VERSION, now);
    out.u64(action.id.0);
    out.u64(action.purpose.incident().map_or(0, |it| it.0));
    out.text(action.purpose.window().map_or("", WindowId::as_str));
    out.text(action.kind.name());
    write_target(&mut out, &action.target);
    for feed in [&action.from, &action.to] {
        out.text(match feed {
            Some(Feed::Source(stream)) => stream.as_str(),
            Some(Feed::Region(region)) => region.as_str(),
            None => "",
        });
    }
    out.u64(action.share.map_or(0, u64::from));
    out.text(action.mode.name());
    out.text(action.state.name());
    out.time(action.decided);
    out.time(action.expires);
    for time in [action.sent, action.answered, action.done, action.ended, action.lifted] {
        out.optional_time(time);
    }
    out.u64(action.undoes.map_or(0, |it| it.0));
    out.u64(action.group.map_or(0, |it| u64::from(it) + 1));
    out.list(&action.choices, |out, choice| {
        out.text(choice.stream.as_str());
        out.list(&choice.reasons, |out, why| out.text(why.name()));
    });
    out.text(action.approved_by.as_deref().unwrap_or(""));
    out.text(&action.detail);
    Record { key: action_key(action.id), body: out.finish() }
}

pub(crate) fn case_record(now: MonoTime, case: &Case) -> Record {
    let mut out = Writer::new(VERSION, now);
    let it = &case.incident;
    out.u64(it.id.0);
    out.text(it.state.name());
    out.text(it.remedy.name());
    out.text(it.page.map_or("", Reason::name));
    out.u64(u64::from(it.storm));
    out.text(it.maintenance.as_ref().map_or("", WindowId::as_str));
    out.text(it.severity.name());
    out.time(it.onset);
    out.time(it.opened);
    out.optional_time(it.closed);
    write_candidate(&mut out, &it.fit);
    out.list(&it.beaten, write_candidate);
    out.list(&it.evidence, write_evidence);
    out.list(&it.streams, |out, stream| out.text(stream.as_str()));
    out.list(&it.affected, |out, (channel, region)| {
        out.text(channel.as_str());
        out.text(region.as_str());
    });
    out.list(&it.without_backup, |out, channel| out.text(channel.as_str()));
    out.list(&it.vantage, |out, vantage| {
        out.text(vantage.node.as_str());
        out.text(&vantage.path);
        out.text(vantage.sees.name());
        out.text(vantage.vote.name());
    });
    out.list(&it.timeline, |out, moment| {
        out.time(moment.at);
        out.text(moment.step.name());
        out.u64(moment.step.action().map_or(0, |it| it.0));
        let reason = if let Step::Refused(reason) = moment.step { reason.name() } else { "" };
        out.text(reason);
    });
    out.list(&it.actions, |out, action| out.u64(action.0));
    out.list(&it.refusals, write_refusal);
    out.list(&case.scope, |out, stream| out.text(stream.as_str()));
    out.time(case.first_arrival);
    out.optional_time(case.struck_again);
    Record { key: incident_key(it.id), body: out.finish() }
}

pub(crate) fn worth_record(now: MonoTime, id: ActionId, worth: &Worth) -> Record {
    let mut out = Writer::new(VERSION, now);
    out.u64(id.0);
    out.text(worth.how.name());
    write_subject(&mut out, &worth.blamed);
    out.optional_time(worth.effect);
    out.u64(worth.verified.map_or(0, |it| 1 + u64::from(it)));
    out.text(worth.verdict.name());
    let regions: Vec<_> = worth.regions.iter().collect();
    out.list(&regions, |out, (region, seconds)| {
        out.text(region.as_str());
        for span in [seconds.gained, seconds.spoiled, seconds.left] {
            out.span(span);
        }
    });
    out.time(worth.counted);
    out.span(worth.good_for);
    Record { key: worth_key(id), body: out.finish() }
}

fn write_refusal(out: &mut Writer, refusal: &Refusal) {
    out.text(refusal.kind.map_or("", ActionKind::name));
    out.text(refusal.reason.name());
    out.time(refusal.at);
}

fn write_target(out: &mut Writer, target: &Target) {
    match target {
        Target::Channel(id) => {
            out.text("channel");
            out.text(id.as_str());
        }
        Target::Encoder { encoder, channels } => {
            out.text("encoder");
            out.text(encoder.as_str());
            out.list(channels, |out, id| out.text(id.as_str()));
        }
        Target::Servers(ids) => {
            out.text("servers");
            out.list(ids, |out, id| out.text(id.as_str()));
        }
        Target::Region(id) => {
            out.text("region");
            out.text(id.as_str());
        }
    }
}

fn write_subject(out: &mut Writer, subject: &Subject) {
    out.text(subject.kind());
    out.text(&format!("{subject}"));
}

fn write_candidate(out: &mut Writer, candidate: &Candidate) {
    write_subject(out, &candidate.subject);
    out.f64(candidate.coverage.get());
    out.f64(candidate.explains.get());
    for count in [candidate.broken, candidate.spared, candidate.pending] {
        out.u64(count as u64);
    }
}

fn write_evidence(out: &mut Writer, evidence: &Evidence) {
    out.text(evidence.side.name());
    out.text(evidence.node.as_str());
    out.text(evidence.stream.as_str());
    out.text(evidence.kind.map_or("", FaultKind::name));
    out.text(evidence.severity.name());
    out.time(evidence.onset);
    out.time(evidence.declared);
    out.text(&evidence.text);
}

/// Reads a record back; `None` if it is not one that this version understands.
pub(crate) fn recall(now: MonoTime, remembered: &Remembered) -> Option<Memory> {
    let Record { key, body } = &remembered.record;
    let about = key.split_once('/').map_or(key.as_str(), |(first, _)| first);
    if body.is_empty() {
        return Some(Memory::Forgotten);
    }
    let mut input = Reader::new(VERSION, now - remembered.age, body)?;
    match about {
        "ids" => Some(Memory::Ids { incident: input.u64()?, action: input.u64()? }),
        "mode" => {
            let scope = read_scope(&input.text()?)?;
            Some(Memory::Mode(scope, Mode::from_name(&input.text()?)?))
        }
        "maintenance" => read_window(&mut input).map(Memory::Window),
        "others" => read_others(&mut input),
        "action" => read_action(&mut input).map(Memory::Action),
        "worth" => read_worth(&mut input).map(|(id, worth)| Memory::Worth(id, worth)),
        "incident" => read_case(&mut input).map(|case| Memory::Case(Box::new(case))),
        "budget" => read_budget(&mut input),
        _ => None,
    }
}

fn read_budget(input: &mut Reader<'_>) -> Option<Memory> {
    let channel = ChannelId::new(&input.text()?).ok()?;
    let key = (channel, RegionId::new(&input.text()?).ok()?);
    let written = input.time()?;
    let mut budget = Budget::default();
    let buckets: Vec<_> = input.list(|input| Some((input.u64()?, input.time()?, input.u64()?)))?;
    let sums = |both: u64| ((both >> 32) as u32, both as u32);
    let known = buckets.into_iter().all(|(tier, begin, both)| {
        let (observed, bad) = sums(both);
        budget.restore(tier, begin, observed, bad)
    });
    known.then_some(Memory::Budget { key, budget, written })
}

fn read_window(input: &mut Reader<'_>) -> Option<Window> {
    let id = WindowId::new(&input.text()?).ok()?;
    let (kind, what) = (input.text()?, input.text()?);
    let area = match kind.as_str() {
        "server" => ServerId::new(&what).ok().map(Area::Server),
        "region" => RegionId::new(&what).ok().map(Area::Region),
        "channel" => ChannelId::new(&what).ok().map(Area::Channel),
        _ => None,
    };
    let purpose = Purpose::Maintenance(id.clone());
    let plan = Plan {
        id,
        area: area?,
        begin: input.time()?,
        end: input.time()?,
        by: Some(input.text()?).filter(|it| !it.is_empty()),
        why: input.text()?,
    };
    let ended = input.optional_time()?;
    let refusals = input.list(|input| read_refusal(input, &purpose))?;
    Some(Window { plan, ended, refusals })
}

fn read_others(input: &mut Reader<'_>) -> Option<Memory> {
    let channel = ChannelId::new(&input.text()?).ok()?;
    let changes = input.list(|input| Some((input.time()?, Other::from_name(&input.text()?)?)))?;
    let released = input.time()?;
    let on = StreamId::parse(&input.text()?).ok();
    Some(Memory::Others(channel, Others { changes, released, on }))
}

fn read_refusal(input: &mut Reader<'_>, purpose: &Purpose) -> Option<Refusal> {
    Some(Refusal {
        purpose: purpose.clone(),
        kind: ActionKind::from_name(&input.text()?),
        reason: Reason::from_name(&input.text()?)?,
        at: input.time()?,
    })
}

fn read_scope(name: &str) -> Option<Scope> {
    match name.split_once('/') {
        None if name == "global" => Some(Scope::Global),
        Some(("region", id)) => RegionId::new(id).ok().map(Scope::Region),
        Some(("action", kind)) => ActionKind::from_name(kind).map(Scope::Action),
        _ => None,
    }
}

fn read_action(input: &mut Reader<'_>) -> Option<Action> {
    let (id, incident, window) = (ActionId(input.u64()?), input.u64()?, input.text()?);
    let purpose = match WindowId::new(&window) {
        Ok(window) => Purpose::Maintenance(window),
        Err(_) => Purpose::Incident(IncidentId(incident)),
    };
    let kind = ActionKind::from_name(&input.text()?)?;
    Some(Action {
        id,
        purpose,
        kind,
        target: read_target(input)?,
        from: read_feed(kind, &input.text()?),
        to: read_feed(kind, &input.text()?),
        share: u8::try_from(input.u64()?).ok().filter(|&it| it > 0),
        mode: Mode::from_name(&input.text()?)?,
        state: ActionState::from_name(&input.text()?)?,
        decided: input.time()?,
        expires: input.time()?,
        sent: input.optional_time()?,
        answered: input.optional_time()?,
        done: input.optional_time()?,
        ended: input.optional_time()?,
        lifted: input.optional_time()?,
        undoes: Some(input.u64()?).filter(|&it| it > 0).map(ActionId),
        group: input.u64()?.checked_sub(1).and_then(|it| u32::try_from(it).ok()),
        choices: input.list(|input| {
            let stream = read_stream(input)?;
            Some(Choice { stream, reasons: input.list(|input| Why::from_name(&input.text()?))? })
        })?,
        approved_by: Some(input.text()?).filter(|it| !it.is_empty()),
        detail: input.text()?,
    })
}

fn read_worth(input: &mut Reader<'_>) -> Option<(ActionId, Worth)> {
    let id = ActionId(input.u64()?);
    let how = How::from_name(&input.text()?)?;
    let blamed = read_subject(input)?;
    let effect = input.optional_time()?;
    let verified = match input.u64()? {
        0 => None,
        it => Some(it == 2),
    };
    let verdict = Verdict::from_name(&input.text()?)?;
    let regions = input.list(|input| {
        let region = RegionId::new(&input.text()?).ok()?;
        let (gained, spoiled, left) = (input.span()?, input.span()?, input.span()?);
        Some((region, Seconds { gained, spoiled, left }))
    })?;
    let (counted, good_for) = (input.time()?, input.span()?);
    let saved = counted;
    Some((id, Worth { how, blamed, effect, verified, verdict, regions, counted, good_for, saved }))
}

fn read_feed(kind: ActionKind, text: &str) -> Option<Feed> {
    match kind {
        ActionKind::RegionMove => RegionId::new(text).ok().map(Feed::Region),
        _ => StreamId::parse(text).ok().map(Feed::Source),
    }
}

fn read_case(input: &mut Reader<'_>) -> Option<Case> {
    let id = IncidentId(input.u64()?);
    let state = IncidentState::from_name(&input.text()?)?;
    let remedy = Remedy::from_name(&input.text()?)?;
    let page = Reason::from_name(&input.text()?);
    let (storm, maintenance) = (input.u64()? == 1, WindowId::new(&input.text()?).ok());
    let purpose = Purpose::Incident(id);
    let severity = Severity::from_name(&input.text()?)?;
    let (onset, opened, closed) = (input.time()?, input.time()?, input.optional_time()?);
    let fit = read_candidate(input)?;
    let incident = Incident {
        id,
        subject: fit.subject.clone(),
        state,
        remedy,
        page,
        storm,
        maintenance,
        severity,
        onset,
        opened,
        closed,
        fit,
        beaten: input.list(read_candidate)?,
        evidence: input.list(read_evidence)?,
        streams: input.list(read_stream)?,
        affected: input.list(|input| {
            let channel = ChannelId::new(&input.text()?).ok()?;
            Some((channel, RegionId::new(&input.text()?).ok()?))
        })?,
        without_backup: input.list(|input| ChannelId::new(&input.text()?).ok())?,
        vantage: input.list(read_vantage)?,
        timeline: input.list(read_moment)?,
        actions: input.list(|input| input.u64().map(ActionId))?,
        refusals: input.list(|input| read_refusal(input, &purpose))?,
    };
    let scope: BTreeSet<StreamId> = input.list(read_stream)?;
    let first_arrival = input.time()?;
    let struck_again = input.optional_time()?;
    Some(Case { struck_again, ..Case::new(incident, scope, first_arrival, None) })
}

fn read_stream(input: &mut Reader<'_>) -> Option<StreamId> {
    StreamId::parse(&input.text()?).ok()
}

fn read_target(input: &mut Reader<'_>) -> Option<Target> {
    match input.text()?.as_str() {
        "channel" => ChannelId::new(&input.text()?).ok().map(Target::Channel),
        "encoder" => {
            let encoder = EncoderId::new(&input.text()?).ok()?;
            let channels: Vec<ChannelId> =
                input.list(|input| ChannelId::new(&input.text()?).ok())?;
            (!channels.is_empty()).then_some(Target::Encoder { encoder, channels })
        }
        "servers" => {
            let ids: Vec<ServerId> = input.list(|input| ServerId::new(&input.text()?).ok())?;
            (!ids.is_empty()).then_some(Target::Servers(ids))
        }
        "region" => RegionId::new(&input.text()?).ok().map(Target::Region),
        _ => None,
    }
}

fn read_subject(input: &mut Reader<'_>) -> Option<Subject> {
    let (kind, id) = (input.text()?, input.text()?);
    match kind.as_str() {
        "source" => StreamId::parse(&id).ok().map(Subject::Source),
        "provider" => ProviderId::new(&id).ok().map(Subject::Provider),
        "processing" => ChannelId::new(&id).ok().map(Subject::Processing),
        "encoder" => EncoderId::new(&id).ok().map(Subject::Encoder),
        "server" => ServerId::new(&id).ok().map(Subject::Server),
        "region" => RegionId::new(&id).ok().map(Subject::Region),
        "programme" => ChannelId::new(&id).ok().map(Subject::Programme),
        "probe" => NodeId::new(&id).ok().map(Subject::Probe),
        _ => None,
    }
}

fn read_candidate(input: &mut Reader<'_>) -> Option<Candidate> {
    Some(Candidate {
        subject: read_subject(input)?,
        coverage: Ratio::new(input.f64()?),
        explains: Ratio::new(input.f64()?),
        broken: input.count()?,
        spared: input.count()?,
        pending: input.count()?,
    })
}

fn read_evidence(input: &mut Reader<'_>) -> Option<Evidence> {
    Some(Evidence {
        side: Side::from_name(&input.text()?)?,
        node: NodeId::new(&input.text()?).ok()?,
        stream: read_stream(input)?,
        kind: FaultKind::from_name(&input.text()?),
        severity: Severity::from_name(&input.text()?)?,
        onset: input.time()?,
        declared: input.time()?,
        text: input.text()?,
    })
}

fn read_vantage(input: &mut Reader<'_>) -> Option<Vantage> {
    Some(Vantage {
        node: NodeId::new(&input.text()?).ok()?,
        path: input.text()?,
        sees: Sees::from_name(&input.text()?)?,
        vote: Vote::from_name(&input.text()?)?,
    })
}

fn read_moment(input: &mut Reader<'_>) -> Option<Moment> {
    let at = input.time()?;
    let (name, action) = (input.text()?, ActionId(input.u64()?));
    let reason = Reason::from_name(&input.text()?);
    let step = match name.as_str() {
        "onset" => Step::Onset,
        "first_fault" => Step::FirstFault,
        "located" => Step::Located,
        "decided" => Step::Decided(action),
        "awaits_approval" => Step::AwaitsApproval(action),
        "commanded" => Step::Commanded(action),
        "done" => Step::Done(action),
        "failed" => Step::Failed(action),
        "verified" => Step::Verified(action),
        "not_verified" => Step::NotVerified(action),
        "refused" => Step::Refused(reason?),
        "paged" => Step::Paged,
        "good" => Step::Good,
        "closed" => Step::Closed,
        _ => return None,
    };
    Some(Moment { at, step })
}
