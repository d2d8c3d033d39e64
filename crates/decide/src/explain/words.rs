//! Names and numbers in words.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use tallylight_model::FaultKind;

use crate::{
    action::{ActionKind, Reason},
    incident::Subject,
};

/// Names told of a longer list.
const MAX_NAMES: usize = 6;

/// A span as a person says it.
pub(super) fn span(span: Duration) -> String {
    let secs = span.as_secs();
    let (min, hours, days) = (secs / 60, secs / 3600, secs / 86_400);
    match secs {
        0..10 => format!("{}.{} s", secs, span.subsec_millis() / 100),
        10..60 => format!("{secs} s"),
        60..3600 => format!("{min} min {} s", secs % 60),
        3600..86_400 => format!("{hours} h {} min", min % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Names one after the other, or how many there are of what.
pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>, what: &str) -> String {
    let names: Vec<String> = items.into_iter().map(|it| it.to_string()).collect();
    match names.as_slice() {
        [] => format!("no {what}"),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= MAX_NAMES => {
            format!("{} and {last}", first.join(", "))
        }
        many => {
            let told = &many[..MAX_NAMES - 1];
            format!("{} and {} more {what}s", told.join(", "), names.len() - told.len())
        }
    }
}

pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// At most so many bytes of a text.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What somebody else wrote, in one line, unless an address is in it.
pub(super) fn clean(text: &str) -> String {
    if text.contains("://") {
        return String::new();
    }
    let line: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    cut(&line, 160).to_owned()
}

/// A fault as what is seen.
pub(super) fn noun(kind: FaultKind) -> String {
    let known = match kind {
        FaultKind::Unreachable => "no connection",
        FaultKind::HttpError => "errors instead of the stream",
        FaultKind::NoData => "no data",
        FaultKind::SyncLoss => "no transport stream",
        FaultKind::PidMissing => "a missing part",
        FaultKind::NoVideo => "no picture",
        FaultKind::NoAudio => "no sound",
        FaultKind::Continuity => "packet loss",
        FaultKind::RtpLoss => "RTP packets lost on the way",
        FaultKind::DecodeErrors => "damaged picture or sound",
        FaultKind::Black => "black picture",
        FaultKind::Blank => "a picture of one colour",
        FaultKind::Bars => "colour bars",
        FaultKind::Freeze => "frozen picture",
        FaultKind::Slate => "a slate that means failure",
        FaultKind::Loop => "the same seconds over and over",
        FaultKind::Silence => "silence",
        FaultKind::PlaylistStale => "a playlist that stands still",
        FaultKind::SegmentMissing => "missing segments",
        FaultKind::PlaylistInvalid => "an unreadable playlist",
        FaultKind::Stall => "players that run dry",
        other => return other.name().replace('_', " "),
    };
    known.to_owned()
}

/// An action as an order.
pub(super) const fn verb(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::SwitchSource => "switch",
        ActionKind::RestartStream => "restart the stream of",
        ActionKind::RestartService => "restart",
        ActionKind::DrainServer => "drain",
        ActionKind::UndrainServer => "send viewers again to",
        ActionKind::ReturnServer => "send some viewers again to",
        ActionKind::RegionMove => "move the viewers of",
    }
}

/// An action by its name.
pub(super) const fn step(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::SwitchSource => "switch of the source",
        ActionKind::RestartStream => "restart of the stream",
        ActionKind::RestartService => "restart of the service",
        ActionKind::DrainServer => "drain of the server",
        ActionKind::UndrainServer => "return of the server",
        ActionKind::ReturnServer => "return of the server in steps",
        ActionKind::RegionMove => "move of the region",
    }
}

/// A possible cause by its name.
pub(super) fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Source(id) => format!("the source {id}"),
        Subject::Provider(id) => format!("provider {id}"),
        Subject::Processing(id) => format!("the processing of {id}"),
        Subject::Encoder(id) => format!("encoder {id}"),
        Subject::Server(id) => format!("server {id}"),
        Subject::Region(id) => format!("region {id}"),
        Subject::Programme(id) => format!("the programme of {id}"),
        Subject::Probe(id) => format!("agent {id}"),
    }
}

/// What a cause would break.
pub(super) fn things(subject: &Subject) -> String {
    match subject {
        Subject::Source(id) => format!("streams of the source {id} and what is made of it"),
        Subject::Provider(id) => format!("streams of {id}'s sources and what is made of them"),
        Subject::Processing(id) => format!("deliveries of {id}"),
        Subject::Encoder(id) => format!("deliveries of channels on {id}"),
        Subject::Server(id) => format!("deliveries on {id}"),
        Subject::Region(id) => format!("deliveries in {id}"),
        Subject::Programme(id) => format!("sources and deliveries of {id}"),
        Subject::Probe(id) => format!("claims of {id}"),
    }
}

/// What a refusal says, and what a person can do.
pub(super) const fn of_reason(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::KillSwitch => {
            ("the kill switch is pulled", "remove its file when actions may go on")
        }
        Reason::ModeOff => ("the mode here is off", "act by hand"),
        Reason::ModeDryRun => {
            ("the mode here is dry_run, so it is only recorded", "act by hand if you agree with it")
        }
        Reason::AwaitingApproval => ("it waits for a person", "approve it, or leave it"),
        Reason::ApprovalExpired => ("nobody approved it in time", "act by hand"),
        Reason::NoQuorum => (
            "too few agents on paths of their own agree",
            "are the agents of the region up? If you see it yourself, act by hand",
        ),
        Reason::StaleEvidence => {
            ("nothing recent is known of it", "is the way from the agents to the collector broken?")
        }
        Reason::OldMedia => (
            "all that was seen is from before the last change, or an echo of what the source had",
            "wait: segments and delays take their time",
        ),
        Reason::TargetLocked => ("another action on the same thing is under way", "wait"),
        Reason::TargetRate => ("the same thing had an action a moment ago", "wait"),
        Reason::CircuitOpen => (
            "actions on it failed, or had to be repeated, too often",
            "find out why they do not help, and act by hand meanwhile",
        ),
        Reason::GlobalRate => ("too many actions at once", "wait; is there one cause of it all?"),
        Reason::RegionMoveRate => {
            ("a region was moved a moment ago", "act by hand if it cannot wait")
        }
        Reason::Damped => (
            "the channel was switched to and fro too often lately",
            "find out what flaps, and switch by hand if you know better",
        ),
        Reason::HandsOff => (
            "somebody else changed the channel's source a short while ago",
            "end the hands-off if the channel may be acted on again",
        ),
        Reason::Maintenance => {
            ("it is being worked on", "end the maintenance when the work is done")
        }
        Reason::Storm => (
            "much of the region turned bad at once, for no one cause",
            "look for what the causes share, and act by hand",
        ),
        Reason::IsolationBudget => (
            "too many servers of the region would be out of service",
            "bring back servers that are well, or add capacity",
        ),
        Reason::Rejected => ("a person said no to it", "act by hand if it gets worse"),
        Reason::NoReadyBackup => (
            "no other source is ready",
            "see /api/v1/sources for what each lacks, and switch by hand if you know better",
        ),
        Reason::BackupUnproven => {
            ("the other source looks good, but not for long enough yet", "wait")
        }
        Reason::DifferentialUnknown => (
            "nobody has seen whether the same moment is good elsewhere",
            "wait; does the agent at the head-end decode it?",
        ),
        Reason::OffsetUnknown => (
            "nobody stated how far the other source's programme is shifted",
            "look at both, approve if the other is good, and state `offset` in the lineup",
        ),
        Reason::Programme => (
            "every source shows the same, so a switch would change nothing",
            "call the broadcaster",
        ),
        Reason::Probe => ("the agent is at fault, not what it watches", "look after its host"),
        Reason::NeverActs => ("nothing may act on such a fault", "act by hand if it hurts viewers"),
        Reason::PanelDown => ("the panel does not answer", "mend the panel, or act at its back"),
        Reason::ActiveSourceUnknown => (
            "the panel does not say that the channel is on this source",
            "if somebody else switched there is nothing to do; otherwise make the panel say it",
        ),
        Reason::LadderExhausted => ("everything known to help was tried", "act by hand"),
        Reason::NoRemedy => ("nothing is known to help against it", "act by hand"),
        Reason::GroupStopped => (
            "it did not help another channel of the same cause",
            "find out why it did not help there, and act by hand",
        ),
        Reason::PanelFails => (
            "the panel did not carry it out, more than once",
            "find out why it cannot; what comes next on the ladder is tried meanwhile",
        ),
        Reason::CostsHealthy => {
            ("it would interrupt what is seen well", "act by hand if that is worth it")
        }
        Reason::ServerNotWell => {
            ("the server is not seen well yet", "mend it, or bring it back by hand")
        }
        Reason::OtherReturning => ("another server is getting its viewers back", "wait"),
        Reason::CannotRestart => {
            ("the panel does not say that it can restart this", "restart it by hand")
        }
        Reason::NoSurvivor => (
            "no other server of the region could take the viewers",
            "add capacity there; approve a move of the region if one waits",
        ),
        Reason::NoDestination => {
            ("no other region could take the viewers", "mend the way into the region")
        }
        Reason::WeakCause => (
            "much of what the cause would break is good",
            "look at the evidence, and act by hand if you are sure",
        ),
        Reason::Ambiguous => (
            "another cause would explain as much and is not ruled out",
            "wait for late deliveries, and look at the evidence",
        ),
        Reason::AlreadyDone => ("the panel is already where it would bring it", "nothing"),
        Reason::Expired => {
            ("the command got too old to be sent", "is the collector's machine overloaded?")
        }
        Reason::NotInFlight => ("what it belongs to is over", "nothing"),
        Reason::PanelCircuitOpen => (
            "the panel failed several times in a row and is left alone for a while",
            "mend the panel, and act by hand meanwhile",
        ),
        Reason::PanelClockOff => (
            "the panel's clock is too far off",
            "set its clock; what waits can be approved meanwhile",
        ),
        Reason::JournalFails => {
            ("the intent could not be written down", "does the collector have disk space?")
        }
        Reason::TooManyCommands => ("too many commands are under way", "is the panel slow?"),
        Reason::CollectorStops => ("the collector was stopping", "nothing"),
    }
}
