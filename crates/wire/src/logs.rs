//! Fault records as log records.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use tallylight_model::{
    Batch, Epoch, FaultKind, FaultPhase, FaultRecord, MonoTime, NodeId, Pid, Severity,
};

use crate::{
    Decoded, MAX_EVIDENCE, MAX_ITEMS, WireError,
    attribute::{self, Attributes, Budget, EPOCH, NODE, STREAM},
};

const SCOPE: &str = "tallylight.fault";
const BEGIN: &str = "tallylight.fault.begin";
const RAISE: &str = "tallylight.fault.raise";
const END: &str = "tallylight.fault.end";

const SEQ: &str = "tallylight.seq";
const KIND: &str = "iptv.fault.kind";
const PID: &str = "iptv.pid";
const ONSET_AGE: &str = "tallylight.onset.age";
const DECLARED_AGE: &str = "tallylight.declared.age";
const END_AGE: &str = "tallylight.end.age";

/// Writes the batch's fault records as log records; ages are taken from `now`, the sender's clock.
#[must_use]
pub fn encode_logs(batch: &Batch, now: MonoTime) -> ExportLogsServiceRequest {
    if batch.faults.is_empty() {
        return ExportLogsServiceRequest::default();
    }
    let scope = InstrumentationScope { name: SCOPE.to_owned(), ..Default::default() };
    let log_records = batch.faults.iter().map(|fault| record(fault, now)).collect();
    let attributes =
        vec![attribute::text(NODE, batch.node.as_str()), attribute::number(EPOCH, batch.epoch.0)];
    let resource = Resource { attributes, ..Default::default() };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, ..Default::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource),
            scope_logs,
            ..Default::default()
        }],
    }
}

fn record(fault: &FaultRecord, now: MonoTime) -> LogRecord {
    let mut attributes = vec![
        attribute::number(SEQ, fault.seq),
        attribute::text(STREAM, fault.stream.as_str()),
        attribute::text(KIND, fault.kind.name()),
        attribute::age(ONSET_AGE, fault.onset, now),
        attribute::age(DECLARED_AGE, fault.declared, now),
    ];
    if let Some(pid) = fault.pid {
        attributes.push(attribute::number(PID, u64::from(pid.get())));
    }
    let event = match fault.phase {
        FaultPhase::Begin => BEGIN,
        FaultPhase::Raise => RAISE,
        FaultPhase::End(end) => {
            attributes.push(attribute::age(END_AGE, end, now));
            END
        }
    };
    let evidence = Value::StringValue(cut(&fault.evidence).to_owned());
    LogRecord {
        event_name: event.to_owned(),
        severity_number: severity_number(fault.severity) as i32,
        severity_text: fault.severity.name().to_owned(),
        body: Some(AnyValue { value: Some(evidence) }),
        attributes,
        ..Default::default()
    }
}

/// Reads fault records; moments are put on `now`, the receiver's clock. Records of a kind that this version does not know
/// and records without one of our event names are skipped.
///
/// # Errors
/// Says what is malformed in a record that claims to be ours.
pub fn decode_logs(request: ExportLogsServiceRequest, now: MonoTime) -> Result<Decoded, WireError> {
    let mut budget = Budget::new("log records", MAX_ITEMS);
    let mut faults = BTreeMap::<(NodeId, Epoch), Vec<FaultRecord>>::new();
    let mut skipped = 0;
    for resource in request.resource_logs {
        let attributes = resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
        let attributes = Attributes(attributes);
        let records = resource.scope_logs.iter().flat_map(|scope| &scope.log_records);
        budget.take(1 + resource.scope_logs.len())?;
        if !attributes.has(NODE) {
            skipped += u64::try_from(records.count()).unwrap_or(u64::MAX);
            continue;
        }
        let batch = faults.entry((attributes.node()?, attributes.epoch()?)).or_default();
        for record in records {
            budget.take(1)?;
            match fault(record, now)? {
                Some(fault) => batch.push(fault),
                None => skipped += 1,
            }
        }
    }
    let batches = faults
        .into_iter()
        .map(|((node, epoch), faults)| Batch {
            node,
            epoch,
            slices: Vec::new(),
            faults,
            reports: Vec::new(),
        })
        .collect();
    Ok(Decoded { batches, skipped })
}

/// `None` for what is not one of our events.
fn fault(record: &LogRecord, now: MonoTime) -> Result<Option<FaultRecord>, WireError> {
    let attributes = Attributes(&record.attributes);
    let phase = match record.event_name.as_str() {
        BEGIN => FaultPhase::Begin,
        RAISE => FaultPhase::Raise,
        END => FaultPhase::End(attributes.moment(END_AGE, now)?),
        _ => return Ok(None),
    };
    let Some(kind) = FaultKind::from_name(attributes.text(KIND)?) else { return Ok(None) };
    let severity = Severity::ALL
        .into_iter()
        .find(|severity| severity_number(*severity) as i32 == record.severity_number)
        .ok_or(WireError::Wrong { field: "severity_number", expected: "9, 13 or 17" })?;
    let pid = if attributes.has(PID) {
        let bits = u16::try_from(attributes.number(PID)?).ok().filter(|bits| *bits < 0x2000);
        Some(bits.ok_or(WireError::Wrong { field: PID, expected: "a number below 8192" })?)
    } else {
        None
    };
    let evidence = match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => cut(text).to_owned(),
        None => String::new(),
        Some(_) => return Err(WireError::Wrong { field: "body", expected: "a string" }),
    };
    Ok(Some(FaultRecord {
        seq: attributes.number(SEQ)?,
        stream: attributes.stream()?,
        kind,
        phase,
        severity,
        pid: pid.map(Pid::from_bits),
        onset: attributes.moment(ONSET_AGE, now)?,
        declared: attributes.moment(DECLARED_AGE, now)?,
        evidence,
    }))
}

const fn severity_number(severity: Severity) -> SeverityNumber {
    match severity {
        Severity::Info => SeverityNumber::Info,
        Severity::Warning => SeverityNumber::Warn,
        Severity::Critical => SeverityNumber::Error,
    }
}

fn cut(evidence: &str) -> &str {
    &evidence[..evidence.floor_char_boundary(MAX_EVIDENCE)]
}
