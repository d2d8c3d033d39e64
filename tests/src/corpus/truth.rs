//! What is true of a clip, as `NAME.json` beside `NAME.ts` says it. It follows from how the clip was made, never from looking at it.
//!
//! Times are media time, as `tallylight-agent probe` counts it: zero is the file's first program clock reference, and the first
//! picture is shown at its place in the stream.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tallylight_model::{Acts, FaultKind, Hold, Profile, ProfileName, Severity};

use super::slates;

/// The profiles that are judged by.
pub(super) const PROFILES: [ProfileName; 2] = [ProfileName::Default, ProfileName::Sensitive];

/// What is true of one clip.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Truth {
    /// The clip's name: that of its file without `.ts`.
    pub clip: String,
    /// What it shows.
    pub about: String,
    /// How picture and sound are coded.
    pub coding: String,
    /// The seed that it was drawn from.
    pub seed: u64,
    /// What it was made by: another recipe makes another clip.
    pub recipe: String,
    /// Whether it is made to mislead: whatever is not in `events` may not be told.
    pub trap: bool,
    /// How many pictures it has.
    pub pictures: u32,
    /// How long one is shown.
    pub picture_seconds: f64,
    /// When the first one is shown; its sound begins with it.
    pub first_picture_seconds: f64,
    /// What has to be told, earliest first.
    pub events: Vec<Event>,
    /// What may be told without being wrong, at any time: kinds, and the worst that they may be told as.
    pub allowed: BTreeMap<String, String>,
    /// What the lineup would say about the channel, where a judgement needs it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expected: Option<Expected>,
}

/// What the lineup and a configuration would say of the channel.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Expected {
    /// What `probe --expect` is given.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub lineup: String,
    /// Keys of a profile of its own, besides the one that it is judged by.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub profile: String,
    /// Known slates: a folder beside the clips; a file's name up to the first `-` is its meaning.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub slates: Option<String>,
}

impl Expected {
    /// The lineup says this.
    pub(super) fn lineup(toml: &str) -> Self {
        Self { lineup: toml.to_owned(), ..Self::default() }
    }

    /// The corpus' slates are known.
    pub(super) fn slates() -> Self {
        Self { slates: Some(slates::FOLDER.to_owned()), ..Self::default() }
    }
}

/// Something that is true for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The kind of fault.
    pub kind: String,
    /// When it begins.
    pub onset_seconds: f64,
    /// When it is over; null where it lasts to the end.
    pub end_seconds: Option<f64>,
    /// The first picture that shows it; absent of sound.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub onset_picture: Option<u32>,
    /// The first picture that does so no longer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end_picture: Option<u32>,
    /// The worst that it becomes, by profile; a profile that is missing does not tell it.
    pub severity: BTreeMap<String, String>,
    /// Whether an action may rest on it: `alone`, `differential`, `never`.
    pub acts: String,
    /// By how much onset and end may be off.
    pub tolerance_seconds: f64,
}

impl Event {
    /// The severity that a profile is to tell.
    #[must_use]
    pub fn severity(&self, profile: ProfileName) -> Option<Severity> {
        self.severity.get(profile.name()).and_then(|name| Severity::from_name(name))
    }
}

/// A kind of fault as the corpus expects it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The worst that it may be told as.
    worst: Severity,
}

impl Kind {
    /// The kind of this name.
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, worst: Severity::Critical }
    }

    /// The kind of this name where it may be meant.
    pub(super) const fn informational(name: &'static str) -> Self {
        Self { name, worst: Severity::Info }
    }

    /// What each profile calls a condition of this length.
    pub(super) fn severities(self, length_ms: u64) -> BTreeMap<String, String> {
        let told = |profile: ProfileName| {
            let severity = self.severity(profile, length_ms)?;
            Some((profile.name().to_owned(), severity.name().to_owned()))
        };
        PROFILES.into_iter().filter_map(told).collect()
    }

    fn severity(self, profile: ProfileName, length_ms: u64) -> Option<Severity> {
        let reached = |hold: Option<std::time::Duration>| {
            hold.is_some_and(|hold| u128::from(length_ms) >= hold.as_millis())
        };
        let kind = FaultKind::from_name(self.name)?;
        let Hold { info, warning, critical, .. } = Profile::new(profile).hold(kind);
        let severity = match (reached(critical), reached(warning), reached(info)) {
            (true, ..) => Severity::Critical,
            (_, true, _) => Severity::Warning,
            (.., true) => Severity::Info,
            _ => return None,
        };
        Some(severity.min(self.worst))
    }

    /// Whether an action may rest on it.
    pub(super) fn acts(self) -> &'static str {
        match FaultKind::from_name(self.name).map(|kind| kind.rule().acts) {
            Some(Acts::Alone(_)) => "alone",
            Some(Acts::Differential(_)) => "differential",
            Some(Acts::Never) | None => "never",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_follows_the_holds_of_each_profile() {
        let told = |kind: Kind, ms| {
            let severities = kind.severities(ms);
            PROFILES.map(|p| severities.get(p.name()).cloned().unwrap_or_default())
        };
        for (kind, ms, expected) in [
            (Kind::new("black"), 1_900, ["", ""]),
            (Kind::new("black"), 3_000, ["", "warning"]),
            (Kind::new("black"), 6_000, ["warning", "critical"]),
            (Kind::new("freeze"), 6_000, ["", "warning"]),
            (Kind::new("freeze_and_silence"), 6_000, ["critical", "critical"]),
            (Kind::informational("mono"), 40_000, ["info", "info"]),
            (Kind::informational("mono"), 20_000, ["", "info"]),
            (Kind::new("continuity"), 0, ["warning", "warning"]),
            (Kind::new("mono"), 40_000, ["warning", "warning"]),
            (Kind::new("partial_freeze"), 40_000, ["info", "info"]),
        ] {
            assert_eq!(told(kind, ms), expected, "{} {ms}", kind.name);
        }
    }
}
