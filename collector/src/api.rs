//! The JSON of the API. Ids are strings; moments are RFC 3339 strings and, beside them, milliseconds since the incident's
//! onset, by the monotonic clock.

mod worth;

use std::time::Duration;

use serde_json::{Map, Value, json};
use tallylight_decide::{
    BUDGET_WINDOW, ChangedBy, KillSwitch, OnAir,
    action::{Action, ActionState, Feed, Purpose, Refusal, Target},
    incident::{Candidate, Incident, Step},
    lineup::{Lineup, StreamRef},
    maintenance::Window,
    view::{FaultView, ProgrammeView, SignalView, SloView, Summary, Up},
};
use tallylight_model::{
    ActionId, ChannelId, Codec, CodingProfile, FaultRecord, IncidentId, MonoTime, NodeId, Scan,
    ServerId, StreamId, WindowId,
};

use crate::{
    calendar::Calendar,
    config::{LineupFile, StreamExtra},
    exposition::scope_name,
    view::{Ended, View},
};

pub use worth::{shadow, shadow_report};

/// Incidents, actions or faults read at once; of channels see [`View::piece`].
const PIECE: usize = 16;

/// `GET /api/v1/channels`: adds those after this one; answers after which to go on.
pub fn channels(
    out: &mut Vec<Value>,
    view: &View<'_>,
    after: Option<ChannelId>,
) -> Option<ChannelId> {
    let piece = view.piece(after.as_ref());
    out.extend(view.decider.channels(view.calendar.now, piece.channels()).map(|channel| {
        let regions = channel.up.iter().map(
            |(region, up)| json!({ "region": region.as_str(), "up": up.map(|up| up == Up::Good) }),
        );
        json!({
            "channel": channel.channel.as_str(),
            "name": channel.name,
            "on_air": channel.on_air == OnAir::On,
            "active": channel.active.map(StreamId::name),
            "changed_by": channel.changed_by.map(|by| match by {
                ChangedBy::Action(id) => id.to_string(),
                ChangedBy::Operator => "operator".to_owned(),
                ChangedBy::Panel => "panel".to_owned(),
            }),
            "hands_off": channel.hands_off.map(|it| json!({
                "by": it.by.name(),
                "until": view.calendar.rfc3339(it.until),
            })),
            "regions": regions.collect::<Vec<_>>(),
        })
    }));
    piece.last()
}

/// `GET /api/v1/signals`: adds those of the channels after this one; answers after which to go on.
pub fn signals(
    out: &mut Vec<Value>,
    view: &View<'_>,
    after: Option<ChannelId>,
) -> Option<ChannelId> {
    let piece = view.piece(after.as_ref());
    let signals = view.decider.signals(view.calendar.now, piece.channels());
    out.extend(signals.map(|signal| signal_json(view, &signal)));
    piece.last()
}

fn signal_json(view: &View<'_>, signal: &SignalView<'_>) -> Value {
    let mut observed: Map<_, _> =
        signal.observed.iter().map(|(layer, s)| (layer.name().to_owned(), json!(s))).collect();
    observed.insert("any".to_owned(), json!(signal.observed_any));
    let faults: Map<_, _> =
        signal.faults.iter().map(|(class, s)| (class.name().to_owned(), json!(s))).collect();
    json!({
        "channel": signal.channel.as_str(),
        "region": signal.region.as_str(),
        "up": signal.up.map(|up| up == Up::Good),
        "observed_seconds": observed,
        "bad_seconds": signal.bad,
        "fault_seconds": faults,
        "maintenance_seconds": {
            "observed": signal.maintenance_observed, "bad": signal.maintenance_bad,
        },
        "slo": slo(view, &signal.slo),
        "startup_seconds": summary(&signal.startup),
        "first_byte_seconds": summary(&signal.first_byte),
        "segment_fetch_ratio": summary(&signal.segment_fetch),
        "live_delay_seconds": summary(&signal.live_delay),
        "sessions": signal.sessions,
        "egress_bytes": signal.egress_bytes,
        "saturation": signal.saturation.map(|ratio| ratio.get()),
    })
}

fn slo(view: &View<'_>, slo: &SloView) -> Value {
    let burn: Map<_, _> =
        slo.burn.iter().map(|(window, rate)| (window.name().to_owned(), json!(rate))).collect();
    json!({
        "objective": slo.objective.get(),
        "window_seconds": BUDGET_WINDOW.as_secs(),
        "since": slo.since.map(|at| view.calendar.rfc3339(at)),
        "observed_seconds": slo.observed,
        "bad_seconds": slo.bad,
        "budget_left": slo.budget_left,
        "burn_rate": burn,
    })
}

fn summary(summary: &Summary) -> Value {
    let quantiles: Option<Map<_, _>> = summary.quantiles.map(|quantiles| {
        quantiles.iter().map(|(q, value)| (q.to_string(), json!(value))).collect()
    });
    json!({ "count": summary.count, "sum": summary.sum, "quantiles": quantiles })
}

/// `GET /api/v1/faults`: adds those that stand declared on the streams after this one; answers after which to go on.
pub fn faults(out: &mut Vec<Value>, view: &View<'_>, after: Option<StreamId>) -> Option<StreamId> {
    let mut last: Option<&StreamId> = None;
    let begin = out.len();
    for fault in view.decider.faults(after.as_ref()) {
        if out.len() - begin >= PIECE && last != Some(fault.stream) {
            return last.cloned();
        }
        last = Some(fault.stream);
        out.push(fault_json(view, &fault));
    }
    None
}

/// `GET /api/v1/faults`: the last ones that ended, the last one first.
#[must_use]
pub fn ended(view: &View<'_>) -> Vec<Value> {
    let ended = view.ended.iter().rev().map(|Ended { node, fault, at }| {
        let FaultRecord { stream, kind, severity, onset, declared, evidence, .. } = fault;
        let (kind, severity, onset, declared) = (*kind, *severity, *onset, *declared);
        let fault = FaultView { node, stream, kind, severity, onset, declared, evidence };
        let mut ended = fault_json(view, &fault);
        ended["ended"] = view.calendar.rfc3339(*at).into();
        ended
    });
    ended.collect()
}

fn fault_json(view: &View<'_>, fault: &FaultView<'_>) -> Value {
    json!({
        "node": fault.node.as_str(),
        "channel": fault.stream.channel(),
        "stream": fault.stream.as_str(),
        "kind": fault.kind.name(),
        "severity": fault.severity.name(),
        "onset": view.calendar.rfc3339(fault.onset),
        "declared": view.calendar.rfc3339(fault.declared),
        "evidence": fault.evidence,
    })
}

/// `GET /api/v1/incidents`: adds open ones and the last closed ones after this one; answers after which to go on.
pub fn incidents(
    out: &mut Vec<Value>,
    view: &View<'_>,
    after: Option<IncidentId>,
) -> Option<IncidentId> {
    let next = next_incidents(view, after);
    out.extend(next.iter().map(|incident| incident_json(view, incident)));
    next.last().map(|incident| incident.id)
}

fn next_incidents<'a>(view: &View<'a>, after: Option<IncidentId>) -> Vec<&'a Incident> {
    let next = view.decider.incidents().filter(|it| after.is_none_or(|after| it.id > after));
    next.take(PIECE).collect()
}

/// `GET /api/v1/incidents/{id}`
#[must_use]
pub fn incident(view: &View<'_>, id: IncidentId) -> Option<Value> {
    view.decider.incident(id).map(|incident| incident_json(view, incident))
}

/// Writes moments of one incident: absolute and since its onset.
#[derive(Clone, Copy)]
struct Moments {
    calendar: Calendar,
    onset: MonoTime,
}

impl Moments {
    fn put(self, object: &mut Map<String, Value>, key: &str, at: Option<MonoTime>) {
        object.insert(key.to_owned(), json!(at.map(|at| self.calendar.rfc3339(at))));
        object.insert(format!("{key}_ms"), json!(at.map(|at| self.since_onset_ms(at))));
    }

    /// Writes the moment itself as `at` and `ms`.
    fn put_at(self, object: &mut Map<String, Value>, at: MonoTime) {
        object.insert("at".to_owned(), json!(self.calendar.rfc3339(at)));
        object.insert("ms".to_owned(), json!(self.since_onset_ms(at)));
    }

    /// Negative for what was before the onset.
    fn since_onset_ms(self, at: MonoTime) -> i64 {
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        ms(at.since(self.onset)) - ms(self.onset.since(at))
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// `GET /api/v1/incidents/{id}/explain`: in words, with the time of day above them.
#[must_use]
pub fn explain(view: &View<'_>, id: IncidentId) -> Option<String> {
    let incident = view.decider.incident(id)?;
    let words = view.decider.explain(id, view.calendar.now)?;
    let began = view.calendar.rfc3339(incident.onset);
    let now = view.calendar.rfc3339(view.calendar.now);
    Some(format!("Incident {id} at {now}, began {began}\n\n{words}"))
}

fn incident_json(view: &View<'_>, incident: &Incident) -> Value {
    let moments = Moments { calendar: view.calendar, onset: incident.onset };
    let mut out = object(json!({
        "id": incident.id.to_string(),
        "cause": incident.cause().name(),
        "subject": incident.subject.to_string(),
        "subject_kind": incident.subject.kind(),
        "state": incident.state.name(),
        "remedy": incident.remedy.name(),
        "page": incident.page.map(|reason| reason.name()),
        "storm": incident.storm,
        "maintenance": incident.maintenance.as_ref().map(WindowId::as_str),
        "severity": incident.severity.name(),
        "onset_unix_ms": view.calendar.unix_ms(incident.onset),
        "fit": candidate(&incident.fit),
        "beaten": incident.beaten.iter().map(candidate).collect::<Vec<_>>(),
        "affected": incident.affected.iter().map(|(channel, region)| {
            json!({ "channel": channel.as_str(), "region": region.as_str() })
        }).collect::<Vec<_>>(),
        "without_backup": incident.without_backup.iter().map(ChannelId::as_str).collect::<Vec<_>>(),
        "vantage": incident.vantage.iter().map(|vantage| json!({
            "node": vantage.node.as_str(),
            "path": vantage.path,
            "sees": vantage.sees.name(),
            "vote": vantage.vote.name(),
        })).collect::<Vec<_>>(),
        "refusals": incident.refusals.iter()
            .map(|refusal| refusal_json(refusal, moments)).collect::<Vec<_>>(),
        "actions": incident.actions.iter().filter_map(|id| view.decider.action(*id))
            .map(|action| action_json(view, action, moments)).collect::<Vec<_>>(),
    }));
    let words = view.decider.explain(incident.id, view.calendar.now);
    out.insert("headline".to_owned(), json!(words.as_ref().map(|it| &it.headline)));
    out.insert("explain".to_owned(), json!(words.map(|it| it.to_string())));
    let held = view.decider.held(incident.id).map(|held| {
        let mut out = object(json!({
            "action": held.kind.map(|kind| kind.name()),
            "reason": held.reason.name(),
        }));
        moments.put(&mut out, "until", held.until);
        Value::Object(out)
    });
    out.insert("held".to_owned(), json!(held));
    out.insert("streams".to_owned(), incident.streams.iter().map(|it| it.as_str()).collect());
    moments.put(&mut out, "onset", Some(incident.onset));
    moments.put(&mut out, "opened", Some(incident.opened));
    moments.put(&mut out, "closed", incident.closed);
    let evidence = incident.evidence.iter().map(|evidence| {
        let mut out = object(json!({
            "side": evidence.side.name(),
            "node": evidence.node.as_str(),
            "stream": evidence.stream.as_str(),
            "kind": evidence.kind.map(|kind| kind.name()),
            "severity": evidence.severity.name(),
            "text": evidence.text,
        }));
        moments.put(&mut out, "onset", Some(evidence.onset));
        moments.put(&mut out, "declared", Some(evidence.declared));
        Value::Object(out)
    });
    out.insert("evidence".to_owned(), evidence.collect());
    out.insert("timeline".to_owned(), timeline_json(incident, moments));
    Value::Object(out)
}

fn timeline_json(incident: &Incident, moments: Moments) -> Value {
    let timeline = incident.timeline.iter().map(|moment| {
        let mut out = object(json!({
            "step": moment.step.name(),
            "action": moment.step.action().map(|id| id.to_string()),
            "reason": match moment.step { Step::Refused(reason) => Some(reason.name()), _ => None },
        }));
        moments.put_at(&mut out, moment.at);
        Value::Object(out)
    });
    timeline.collect()
}

fn candidate(candidate: &Candidate) -> Value {
    json!({
        "cause": candidate.subject.cause().name(),
        "subject": candidate.subject.to_string(),
        "subject_kind": candidate.subject.kind(),
        "coverage": candidate.coverage.get(),
        "explains": candidate.explains.get(),
        "broken": candidate.broken,
        "spared": candidate.spared,
        "pending": candidate.pending,
    })
}

fn refusal_json(refusal: &Refusal, moments: Moments) -> Value {
    let mut out = object(json!({
        "incident": refusal.purpose.incident().map(|id| id.to_string()),
        "maintenance": refusal.purpose.window().map(WindowId::as_str),
        "action": refusal.kind.map(|kind| kind.name()),
        "reason": refusal.reason.name(),
    }));
    moments.put_at(&mut out, refusal.at);
    Value::Object(out)
}

fn action_json(view: &View<'_>, action: &Action, moments: Moments) -> Value {
    let mut out = object(json!({
        "id": action.id.to_string(),
        "incident": action.purpose.incident().map(|id| id.to_string()),
        "maintenance": action.purpose.window().map(WindowId::as_str),
        "action": action.kind.name(),
        "target": target(&action.target),
        "from": action.from.as_ref().map(Feed::name),
        "to": action.to.as_ref().map(Feed::name),
        "mode": action.mode.name(),
        "state": action.state.name(),
        "undoes": action.undoes.map(|id| id.to_string()),
        "share": action.share,
        "group": action.group,
        "choices": action.choices.iter().map(|choice| json!({
            "source": choice.stream.name(),
            "reasons": choice.reasons.iter().map(|why| why.name()).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "approved_by": action.approved_by,
        "detail": action.detail,
    }));
    for (key, at) in [
        ("decided", Some(action.decided)),
        ("expires", Some(action.expires)),
        ("sent", action.sent),
        ("done", action.done),
        ("ended", action.ended),
    ] {
        moments.put(&mut out, key, at);
    }
    let worth = view.decider.worth(action.id).map(|worth| worth::one(worth, moments));
    out.insert("worth".to_owned(), json!(worth));
    Value::Object(out)
}

fn target(target: &Target) -> Value {
    match target {
        Target::Channel(channel) => json!({ "channel": channel.as_str() }),
        Target::Encoder { encoder, channels } => json!({
            "encoder": encoder.as_str(),
            "channels": channels.iter().map(ChannelId::as_str).collect::<Vec<_>>(),
        }),
        Target::Servers(servers) => {
            json!({ "servers": servers.iter().map(ServerId::as_str).collect::<Vec<_>>() })
        }
        Target::Region(region) => json!({ "region": region.as_str() }),
    }
}

/// Moments since the onset of an incident; since another one if there is none, or it is forgotten.
fn since_onset(view: &View<'_>, purpose: &Purpose, or: MonoTime) -> Moments {
    let incident = purpose.incident().and_then(|id| view.decider.incident(id));
    let onset = incident.map_or(or, |incident| incident.onset);
    Moments { calendar: view.calendar, onset }
}

/// `GET /api/v1/actions`: adds actions after this one; answers after which to go on.
pub fn actions(out: &mut Vec<Value>, view: &View<'_>, after: Option<ActionId>) -> Option<ActionId> {
    let next = view.decider.actions().filter(|it| after.is_none_or(|after| it.id > after));
    let next: Vec<_> = next.take(PIECE).collect();
    out.extend(next.iter().map(|action| {
        let moments = since_onset(view, &action.purpose, action.decided);
        action_json(view, action, moments)
    }));
    next.last().map(|action| action.id)
}

/// `GET /api/v1/actions`: adds refusals of the incidents after this one; answers after which to go on.
pub fn refusals(
    out: &mut Vec<Value>,
    view: &View<'_>,
    after: Option<IncidentId>,
) -> Option<IncidentId> {
    let next = next_incidents(view, after);
    let refusals = next.iter().flat_map(|incident| &incident.refusals);
    out.extend(
        refusals
            .map(|refusal| refusal_json(refusal, since_onset(view, &refusal.purpose, refusal.at))),
    );
    next.last().map(|incident| incident.id)
}

/// Where an action stands, if there is one.
#[must_use]
pub fn action_state(view: &View<'_>, id: ActionId) -> Option<ActionState> {
    view.decider.action(id).map(|it| it.state)
}

/// `GET /api/v1/maintenance`
#[must_use]
pub fn maintenance(view: &View<'_>) -> Value {
    let windows = view.decider.windows().map(|window| window_json(view, window));
    json!({ "maintenance": windows.collect::<Vec<_>>() })
}

fn window_json(view: &View<'_>, window: &Window) -> Value {
    let (plan, calendar) = (&window.plan, view.calendar);
    let purpose = Purpose::Maintenance(plan.id.clone());
    let moments = Moments { calendar, onset: plan.begin };
    let actions = view.decider.actions().filter(|it| it.purpose == purpose);
    let mut out = object(json!({
        "id": plan.id.as_str(),
        "state": window.state(calendar.now).name(),
        "begin": calendar.rfc3339(plan.begin),
        "end": calendar.rfc3339(window.end()),
        "by": plan.by.as_deref().unwrap_or("lineup"),
        "why": plan.why,
        "actions": actions.map(|it| it.id.to_string()).collect::<Vec<_>>(),
        "refusals": window.refusals.iter()
            .map(|refusal| refusal_json(refusal, moments)).collect::<Vec<_>>(),
    }));
    out.insert(plan.area.kind().to_owned(), plan.area.id().into());
    Value::Object(out)
}

/// `GET /api/v1/sources`: adds those of the channels after this one; answers after which to go on.
pub fn sources(
    out: &mut Vec<Value>,
    view: &View<'_>,
    after: Option<ChannelId>,
) -> Option<ChannelId> {
    let piece = view.piece(after.as_ref());
    out.extend(view.decider.sources(view.calendar.now, piece.channels()).map(|source| {
        json!({
            "channel": source.channel.as_str(),
            "source": source.stream.name(),
            "stream": source.stream.as_str(),
            "role": source.role.name(),
            "active": source.active,
            "ready": source.reasons.is_empty(),
            "reasons": source.reasons.iter().map(|reason| reason.name()).collect::<Vec<_>>(),
            "programme": source.programme.map(ProgrammeView::name),
            "offset_seconds": source.programme.and_then(ProgrammeView::offset),
            "shown_by": source.shown_by.iter().map(|stream| stream.as_str()).collect::<Vec<_>>(),
        })
    }));
    piece.last()
}

/// `GET /api/v1/nodes`
#[must_use]
pub fn nodes(view: &View<'_>) -> Value {
    let nodes = view.decider.nodes(view.calendar.now).map(|node| {
        let saturation: Map<_, _> = node
            .saturation
            .iter()
            .map(|(resource, ratio)| (resource.name().to_owned(), json!(ratio.get())))
            .collect();
        json!({
            "node": node.node.as_str(),
            "region": node.region.as_str(),
            "path": node.path,
            "last_seen_seconds": node.last_seen.map(|span| span.as_secs_f64()),
            "vote": node.vote.name(),
            "saturation": saturation,
        })
    });
    json!({ "nodes": nodes.collect::<Vec<_>>() })
}

/// `GET /api/v1/mode`
#[must_use]
pub fn modes(view: &View<'_>) -> Value {
    let modes = view
        .decider
        .modes()
        .map(|(scope, mode)| json!({ "scope": scope_name(&scope), "mode": mode.name() }));
    json!({
        "kill_switch": match view.kill_switch {
            KillSwitch::Released => "released",
            KillSwitch::Pulled => "pulled",
        },
        "modes": modes.collect::<Vec<_>>(),
        "panel": view.panel.map(|panel| json!({
            "up": panel.is_up(),
            "clock_offset_seconds": panel.clock_offset_s(),
        })),
    })
}

/// `GET /api/v1/assignment`: what the agent of that node watches; `None` if the lineup has no such agent.
#[must_use]
pub fn assignment(file: &LineupFile, node: &NodeId, at: jiff::Timestamp) -> Option<Value> {
    let agent = file.lineup.agent(node)?;
    let streams =
        file.lineup.streams().filter(|(_, stream)| *stream.region() == agent.region).filter_map(
            |(id, stream)| Some(stream_json(file, id, stream, file.streams.get(id)?, at)),
        );
    Some(json!({
        "version": 1,
        "node": node.as_str(),
        "region": agent.region.as_str(),
        "uplink_bps": file.uplink.get(node).map(|uplink| uplink.bps()),
        "streams": streams.collect::<Vec<_>>(),
    }))
}

fn stream_json(
    file: &LineupFile,
    id: &StreamId,
    stream: StreamRef<'_>,
    extra: &StreamExtra,
    at: jiff::Timestamp,
) -> Value {
    let channel = stream.channel();
    let zap = file.zap_interval.get(&channel.id).copied().unwrap_or_default();
    let sound = file.sound.get(&channel.id).copied().unwrap_or_default();
    json!({
        "stream": id.as_str(),
        "channel": channel.id.as_str(),
        "kind": match stream { StreamRef::Source(..) => "source", StreamRef::Delivery(..) => "delivery" },
        "url": extra.url,
        "interface": extra.interface,
        "service_id": extra.service_id,
        "picture": {
            "codec": extra.picture.codec.map(Codec::name),
            "width": extra.picture.width,
            "height": extra.picture.height,
            "frame_rate_milli": extra.picture.frame_rate_milli,
            "scan": extra.picture.scan.map(Scan::name),
            "profile": extra.picture.profile.map(CodingProfile::name),
            "aspect": extra.picture.aspect.map(|aspect| aspect.to_string()),
        },
        "priority": file.priority.get(&channel.id),
        "profile": file.profile.get(&channel.id).map_or(channel.profile.name(), String::as_str),
        "channel_kind": channel.kind.name(),
        "encryption": channel.encryption.name(),
        "audio": channel.audio.iter().map(|track| json!({
            "language": track.language, "role": track.role.name(),
        })).collect::<Vec<_>>(),
        "silence": sound.silence,
        "sound_layout": sound.layout,
        "on_air": file.on_air(&channel.id, at) == OnAir::On,
        "zap_interval_ms": u64::try_from(zap.as_millis()).unwrap_or(u64::MAX),
    })
}

/// What is affected by nobody: used where a lineup is shown without a judgement.
#[must_use]
pub fn lineup_summary(lineup: &Lineup) -> String {
    let (channels, streams) = (lineup.channels().count(), lineup.streams().count());
    let (agents, regions) = (lineup.agents().count(), lineup.regions().count());
    format!("{channels} channels, {streams} streams, {agents} agents, {regions} regions")
}
