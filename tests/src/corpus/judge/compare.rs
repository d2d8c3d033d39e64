//! One tool on one clip.

use std::collections::BTreeMap;

use tallylight_model::{FaultKind, Layer, ProfileName, Severity};

use super::{Told, ffmpeg};
use crate::corpus::truth::{Event, Truth};

/// A fault this long before its event is still about it.
const EARLY_SECONDS: f64 = 1.0;

/// What a tool told of one clip, against what is true.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) clip: String,
    pub(super) tool: &'static str,
    pub(super) found: Vec<Found>,
    pub(super) missed: Vec<Event>,
    pub(super) false_alarms: Vec<Told>,
}

/// An event that was told.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kind: String,
    /// Told less true, in pictures.
    pub(super) onset_pictures: f64,
    /// The same of its end, where it has one.
    pub(super) end_pictures: f64,
    /// What is wrong with it.
    pub(super) wrong: Vec<String>,
}

impl Compared {
    /// Compares with what a profile is to tell.
    pub(super) fn by_profile(truth: &Truth, profile: ProfileName, told: Vec<Told>) -> Self {
        let expected = |event: &&Event| event.severity(profile).is_some();
        let events = truth.events.iter().filter(expected).cloned().collect();
        let mut compared = Self::new(truth, profile.name(), events, told, |event, told| {
            let severity = event.severity(profile);
            (told.severity != severity).then(|| {
                let name = |it: Option<Severity>| it.map_or("none", Severity::name);
                format!("{} instead of {}", name(told.severity), name(severity))
            })
        });
        compared.false_alarms.retain(|told| is_alarm(told, &truth.allowed));
        compared
    }

    /// Compares with what is long enough for ffmpeg's defaults, which is what the sensitive profile tells.
    pub(super) fn by_ffmpeg(truth: &Truth, told: Vec<Told>) -> Self {
        let expected = |event: &&Event| {
            ffmpeg::KINDS.contains(&event.kind.as_str())
                && event.severity(ProfileName::Sensitive).is_some()
        };
        let events = truth.events.iter().filter(expected).cloned().collect();
        let mut compared = Self::new(truth, ffmpeg::TOOL, events, told, |_, _| None);
        // What is black stands still as well; they are right to say so.
        let true_of = |told: &Told| truth.events.iter().any(|event| overlaps(told, event));
        compared.false_alarms.retain(|told| !true_of(told));
        compared
    }

    fn new(
        truth: &Truth,
        tool: &'static str,
        events: Vec<Event>,
        mut told: Vec<Told>,
        severity: impl Fn(&Event, &Told) -> Option<String>,
    ) -> Self {
        let mut compared = Self {
            clip: truth.clip.clone(),
            tool,
            found: Vec::new(),
            missed: Vec::new(),
            false_alarms: Vec::new(),
        };
        for event in events {
            let Some(at) = told.iter().position(|told| meets(told, &event)) else {
                compared.missed.push(event);
                continue;
            };
            let told = told.remove(at);
            let mut found = Found::new(&event, &told, truth.picture_seconds);
            found.wrong.extend(severity(&event, &told));
            compared.found.push(found);
        }
        compared.false_alarms = told;
        compared
    }

    /// What is wrong, in words.
    pub(super) fn flaws(&self) -> Vec<String> {
        let Self { clip, tool, .. } = self;
        let say = |what: String| format!("{clip}, {tool}: {what}");
        let missed = self.missed.iter().map(|event| say(format!("{} missed", event.kind)));
        let alarms = self.false_alarms.iter().map(|told| {
            let end = told.end_seconds.map_or("the end".to_owned(), |end| format!("{end:.2} s"));
            say(format!("{} from {:.2} s to {end} is false", told.kind, told.onset_seconds))
        });
        let wrong = self
            .found
            .iter()
            .flat_map(|found| found.wrong.iter().map(|what| say(format!("{} {what}", found.kind))));
        missed.chain(alarms).chain(wrong).collect()
    }
}

impl Found {
    fn new(event: &Event, told: &Told, picture_seconds: f64) -> Self {
        let off = |told: f64, is: f64| (told - is) / picture_seconds;
        let onset_pictures = off(told.onset_seconds, event.onset_seconds);
        // Told times are to a millisecond, and stamps to 11 us.
        let tolerance = event.tolerance_seconds / picture_seconds + 0.05;
        let mut wrong = Vec::new();
        if onset_pictures.abs() > tolerance {
            wrong.push(format!("onset off by {onset_pictures:.1} pictures"));
        }
        let end_pictures = match (told.end_seconds, event.end_seconds) {
            (Some(told), Some(is)) => off(told, is),
            (None, None) => 0.0,
            (Some(told), None) => {
                wrong.push(format!("ends at {told:.2} s but goes on"));
                0.0
            }
            (None, Some(is)) => {
                wrong.push(format!("has no end but is over at {is:.2} s"));
                0.0
            }
        };
        if end_pictures.abs() > tolerance {
            wrong.push(format!("end off by {end_pictures:.1} pictures"));
        }
        Self { kind: event.kind.clone(), onset_pictures, end_pictures, wrong }
    }
}

/// Whether a fault is about an event.
fn meets(told: &Told, event: &Event) -> bool {
    let early = event.onset_seconds - told.onset_seconds;
    let in_time = early <= EARLY_SECONDS + event.tolerance_seconds;
    told.kind == event.kind && overlaps(told, event) && in_time
}

fn overlaps(told: &Told, event: &Event) -> bool {
    let begins = event.end_seconds.is_none_or(|end| told.onset_seconds < end);
    begins && told.end_seconds.is_none_or(|end| end > event.onset_seconds)
}

/// Whether a fault that meets no event is wrong to tell.
fn is_alarm(told: &Told, allowed: &BTreeMap<String, String>) -> bool {
    let worst = allowed.get(&told.kind).and_then(|name| Severity::from_name(name));
    if worst.is_some_and(|worst| told.severity <= Some(worst)) {
        return false;
    }
    let layer = FaultKind::from_name(&told.kind).map(|kind| kind.rule().layer);
    let looked_at = matches!(layer, Some(Layer::Picture | Layer::Sound));
    looked_at || told.severity != Some(Severity::Info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, onset: f64, end: f64) -> Event {
        let severity = [("default", "warning"), ("sensitive", "critical")];
        Event {
            kind: kind.to_owned(),
            onset_seconds: onset,
            end_seconds: Some(end),
            onset_picture: None,
            end_picture: None,
            severity: severity.map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            acts: "differential".to_owned(),
            tolerance_seconds: 0.04,
        }
    }

    fn truth(events: Vec<Event>) -> Truth {
        Truth {
            clip: "clip".to_owned(),
            about: String::new(),
            coding: String::new(),
            seed: 1,
            recipe: String::new(),
            trap: false,
            pictures: 500,
            picture_seconds: 0.04,
            first_picture_seconds: 1.0,
            events,
            allowed: BTreeMap::from([("freeze".to_owned(), "info".to_owned())]),
            expected: None,
        }
    }

    fn told(kind: &str, severity: Severity, onset_seconds: f64, end: f64) -> Told {
        let (kind, severity) = (kind.to_owned(), Some(severity));
        Told { kind, severity, onset_seconds, end_seconds: Some(end) }
    }

    #[test]
    fn everything_that_is_wrong_is_said_and_nothing_else() {
        let black = |onset, end| told("black", Severity::Warning, onset, end);
        for (name, told, flaws) in [
            ("right", vec![black(10.03, 20.0)], vec![]),
            ("missed", vec![], vec!["black missed"]),
            (
                "another time",
                vec![black(2.0, 8.0)],
                vec!["black missed", "black from 2.00 s to 8.00 s is false"],
            ),
            (
                "another kind",
                vec![told("silence", Severity::Warning, 10.0, 20.0)],
                vec!["black missed", "silence from 10.00 s to 20.00 s is false"],
            ),
            (
                "in two",
                vec![black(10.0, 14.0), black(15.0, 20.0)],
                vec!["black from 15.00 s to 20.00 s is false", "black end off by -150.0 pictures"],
            ),
            ("late", vec![black(10.2, 20.0)], vec!["black onset off by 5.0 pictures"]),
            (
                "too bad",
                vec![told("black", Severity::Critical, 10.0, 20.0)],
                vec!["black critical instead of warning"],
            ),
            (
                "informed",
                vec![
                    black(10.0, 20.0),
                    told("buffer", Severity::Info, 1.0, 2.0),
                    told("freeze", Severity::Info, 10.0, 12.0),
                ],
                vec![],
            ),
            (
                "informed wrongly",
                vec![black(10.0, 20.0), told("silence", Severity::Info, 1.0, 2.0)],
                vec!["silence from 1.00 s to 2.00 s is false"],
            ),
            (
                "allowed as information alone",
                vec![black(10.0, 20.0), told("freeze", Severity::Warning, 10.0, 12.0)],
                vec!["freeze from 10.00 s to 12.00 s is false"],
            ),
        ] {
            let truth = truth(vec![event("black", 10.0, 20.0)]);
            let compared = Compared::by_profile(&truth, ProfileName::Default, told);
            let flaws: Vec<_> = flaws.iter().map(|flaw| format!("clip, default: {flaw}")).collect();
            assert_eq!(compared.flaws(), flaws, "{name}");
        }
    }

    #[test]
    fn what_a_profile_does_not_tell_is_false_when_told() {
        let mut short = event("black", 10.0, 13.0);
        short.severity = BTreeMap::from([("sensitive".to_owned(), "warning".to_owned())]);
        let truth = truth(vec![short]);
        let black = || vec![told("black", Severity::Warning, 10.0, 13.0)];
        let flaws = |profile, told| Compared::by_profile(&truth, profile, told).flaws().len();
        assert_eq!(flaws(ProfileName::Default, black()), 1);
        assert_eq!(flaws(ProfileName::Default, vec![]), 0);
        assert_eq!(flaws(ProfileName::Sensitive, black()), 0);
        assert_eq!(flaws(ProfileName::Sensitive, vec![]), 1);
    }
}
