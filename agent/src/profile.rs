//! Profiles: the thresholds of conditions, which `tallylight-model` keeps, and what is made of each check of TR 101 290.
//!
//! Own profiles (`[profiles.NAME]` in the agent's file) are based on one of those that come with the program. They say which checks
//! are looked at and by which limits; how long a condition must last and how bad it then is stays as in the base, because that
//! is what collector and alerts are set for.

use std::{collections::BTreeMap, fmt, time::Duration};

use tallylight_config::{Document, Problems, Table, value};
use tallylight_model::ProfileName;
use tallylight_ts::{CheckProfile, Indicator, Limits, Setting};
use toml_span::value::ValueInner;

use crate::sound::{Norm, Recommendation, Span};

/// Own profiles in one file.
const MAX_PROFILES: usize = 100;
/// The longest limit; a stream that lacks something for so long lacks it.
const LONGEST: Duration = Duration::from_secs(3600);
const MAX_NAME: usize = 40;

/// What is made of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    name: String,
    base: ProfileName,
    checks: Box<CheckProfile>,
    norm: Option<Norm>,
}

impl From<ProfileName> for Thresholds {
    fn from(base: ProfileName) -> Self {
        let checks = match base {
            ProfileName::Default | ProfileName::Sensitive => CheckProfile::DEFAULT,
            ProfileName::Broadcast => CheckProfile::BROADCAST,
            ProfileName::Ott => CheckProfile::OTT,
        };
        // What is sent over the internet is mixed to other norms, or to none.
        let norm = (base == ProfileName::Broadcast)
            .then_some(Norm { by: Recommendation::R128, span: Span::Hour });
        Self { name: base.name().to_owned(), base, checks: Box::new(checks), norm }
    }
}

impl Thresholds {
    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the profile whose thresholds of conditions hold.
    #[must_use]
    pub const fn base(&self) -> ProfileName {
        self.base
    }

    /// Returns what is made of each check.
    #[must_use]
    pub fn checks(&self) -> CheckProfile {
        *self.checks
    }

    /// Returns how loud the main sound should be, if it is judged.
    #[must_use]
    pub const fn norm(&self) -> Option<Norm> {
        self.norm
    }
}

/// The profiles that can be named: those of the program, and own ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles(BTreeMap<String, Thresholds>);

/// Says that there is no profile of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoProfile {
    name: String,
    allowed: Vec<String>,
}

impl fmt::Display for NoProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile {:?} is not known; allowed are {}", self.name, self.allowed.join(", "))
    }
}

impl Profiles {
    /// Reads the own profiles of a configuration file, and nothing else of it.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let document = Document::parse(file, text)?;
        let profiles = document.root().table("profiles").map(|table| Self::read(&document, table));
        document.finish(Some(profiles.unwrap_or_default()))
    }

    /// Reads a table of profiles.
    pub(crate) fn read(document: &Document<'_>, table: Table<'_>) -> Self {
        let mut own = BTreeMap::new();
        for (name, table) in table.named_tables() {
            if own.len() == MAX_PROFILES {
                let what = format!("is one profile too many; allowed are {MAX_PROFILES}");
                document.problem(&name.place, what);
                break;
            }
            let fits = (1..=MAX_NAME).contains(&name.value.len())
                && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            if !fits {
                let what = format!("a name is 1 to {MAX_NAME} of A-Z a-z 0-9 . _ -");
                document.problem(&name.place, what);
            } else if ProfileName::from_name(&name.value).is_some() {
                document.problem(&name.place, "is a profile of the program; take another name");
            }
            own.insert(name.value.clone(), profile(name.value, table));
        }
        Self(own)
    }

    /// Finds a profile.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn find(&self, name: &str) -> Result<Thresholds, NoProfile> {
        let of_program = ProfileName::from_name(name).map(Thresholds::from);
        of_program.or_else(|| self.0.get(name).cloned()).ok_or_else(|| NoProfile {
            name: name.to_owned(),
            allowed: ProfileName::ALL
                .map(|profile| profile.name().to_owned())
                .into_iter()
                .chain(self.0.keys().cloned())
                .collect(),
        })
    }
}

fn profile(name: String, mut table: Table<'_>) -> Thresholds {
    let base = table.optional("based_on", value::parsed(base)).unwrap_or_default();
    let mut profile = Thresholds { name, ..base.into() };
    let by = table.optional("loudness", |found| recommendation(&value::text(found)?));
    let span = table.optional("loudness_window", |found| span(&value::text(found)?));
    let norm = profile.norm.unwrap_or(Norm { by: Recommendation::R128, span: Span::Hour });
    let span = span.unwrap_or(norm.span);
    profile.norm = match by {
        None => profile.norm.map(|norm| Norm { span, ..norm }),
        Some(by) => by.map(|by| Norm { by, span }),
    };
    if let Some(checks) = table.table("checks") {
        for entry in checks.entries(|number, found| Ok((check(number)?, setting(found)?))) {
            let (_, (checks, setting)) = entry.value;
            checks.into_iter().for_each(|it| profile.checks.set(it, setting));
        }
    }
    if let Some(limits) = table.table("limits") {
        for entry in limits.entries(|name, found| Ok((limit(name)?, time(found)?))) {
            let (_, (limit, time)) = entry.value;
            limit(&mut profile.checks.limits, time);
        }
    }
    table.finish();
    profile
}

fn base(name: &str) -> Result<ProfileName, String> {
    let allowed = || ProfileName::ALL.map(ProfileName::name).join(", ");
    ProfileName::from_name(name).ok_or_else(|| format!("is not known; allowed are {}", allowed()))
}

/// A recommendation on loudness; `None` for `off`.
fn recommendation(name: &str) -> Result<Option<Recommendation>, String> {
    let found = Recommendation::ALL.into_iter().find(|it| it.name() == name);
    if found.is_none() && name != "off" {
        return Err(format!("{name:?} is not known; allowed are \"off\", \"r128\", \"a85\""));
    }
    Ok(found)
}

fn span(name: &str) -> Result<Span, String> {
    Span::ALL
        .into_iter()
        .find(|span| span.name() == name)
        .ok_or_else(|| format!("{name:?} is not a window; allowed are \"1min\", \"1h\", \"24h\""))
}

/// The checks of a number.
fn check(number: &str) -> Result<Vec<Indicator>, String> {
    let all = || Indicator::ALL.iter().copied();
    let found: Vec<_> = all().filter(|it| it.number() == number).collect();
    if found.is_empty() {
        let numbers: Vec<&str> = all().map(Indicator::number).collect();
        return Err(format!("is not a check; allowed are {}", numbers.join(", ")));
    }
    Ok(found)
}

fn setting(found: &ValueInner<'_>) -> Result<Setting, String> {
    let text = value::text(found)?;
    Setting::ALL
        .into_iter()
        .find(|setting| setting.name() == text)
        .ok_or_else(|| format!("{text:?} is not known; allowed are \"off\", \"inform\", \"fault\""))
}

fn limit(name: &str) -> Result<Limit, String> {
    LIMITS.iter().find(|(known, _)| *known == name).map(|(_, limit)| *limit).ok_or_else(|| {
        let names: Vec<&str> = LIMITS.iter().map(|(name, _)| *name).collect();
        format!("is not a limit; allowed are {}", names.join(", "))
    })
}

fn time(found: &ValueInner<'_>) -> Result<Duration, String> {
    let time = value::short_duration(found)?;
    let fits = !time.is_zero() && time <= LONGEST;
    fits.then_some(time).ok_or_else(|| "is out of bounds; allowed are 1ns to 1h".to_owned())
}

type Limit = fn(&mut Limits, Duration);

/// The limits that can be set, by the names of their fields.
const LIMITS: &[(&str, Limit)] = &[
    ("pat", |limits, time| limits.pat = time),
    ("pmt", |limits, time| limits.pmt = time),
    ("pid_video", |limits, time| limits.pid_video = time),
    ("pid_audio", |limits, time| limits.pid_audio = time),
    ("pid_text", |limits, time| limits.pid_text = Some(time)),
    ("pid_data", |limits, time| limits.pid_data = Some(time)),
    ("video", |limits, time| limits.video = time),
    ("audio", |limits, time| limits.audio = time),
    ("pcr", |limits, time| limits.pcr = time),
    ("pcr_accuracy", |limits, time| limits.pcr_accuracy = time),
    ("pts", |limits, time| limits.pts = time),
    ("cat", |limits, time| limits.cat = time),
    ("nit", |limits, time| limits.nit = time),
    ("sdt", |limits, time| limits.sdt = time),
    ("eit", |limits, time| limits.eit = time),
    ("si_other", |limits, time| limits.si_other = time),
    ("eit_other", |limits, time| limits.eit_other = time),
    ("tdt", |limits, time| limits.tdt = time),
    ("si_gap", |limits, time| limits.si_gap = time),
    ("unreferenced", |limits, time| limits.unreferenced = time),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_profile_is_its_base_but_for_what_it_says() {
        let text = "node = 'n'\n[profiles.sport]\nbased_on = 'broadcast'\nchecks = { '2.4' = 'inform', '3.1.a' = 'off' }\n\
                    limits = { pcr = '100ms', pcr_accuracy = '750ns', pid_text = '5min' }\n[profiles.plain]\n";
        let profiles = Profiles::parse("agent.toml", text).unwrap();
        let sport = profiles.find("sport").unwrap();
        let mut expected = CheckProfile::BROADCAST;
        expected.set(Indicator::PcrAccuracy, Setting::Inform);
        expected.set(Indicator::NitActual, Setting::Off);
        expected.limits.pcr = Duration::from_millis(100);
        expected.limits.pcr_accuracy = Duration::from_nanos(750);
        expected.limits.pid_text = Some(Duration::from_secs(300));
        assert_eq!((sport.name(), sport.base()), ("sport", ProfileName::Broadcast));
        assert_eq!(sport.checks(), expected);
        assert_eq!(profiles.find("plain").unwrap().checks(), CheckProfile::DEFAULT);
        assert_eq!(profiles.find("ott").unwrap(), ProfileName::Ott.into());
        assert_eq!(
            profiles.find("spotr").unwrap_err().to_string(),
            "profile \"spotr\" is not known; allowed are default, sensitive, broadcast, ott, plain, sport"
        );
    }

    #[test]
    fn loudness_is_judged_where_a_profile_says_so() {
        let norm = |of: &str| {
            let text = format!("[profiles.own]\n{of}");
            Profiles::parse("f", &text).unwrap().find("own").unwrap().norm()
        };
        let (r128, a85) = (Recommendation::R128, Recommendation::A85);
        for (of, expected) in [
            ("", None),
            ("based_on = 'broadcast'", Some((r128, Span::Hour))),
            ("based_on = 'broadcast'\nloudness = 'off'", None),
            ("based_on = 'broadcast'\nloudness_window = '24h'", Some((r128, Span::Day))),
            ("loudness = 'a85'\nloudness_window = '1min'", Some((a85, Span::Minute))),
        ] {
            assert_eq!(norm(of), expected.map(|(by, span)| Norm { by, span }), "{of}");
        }
    }

    #[test]
    fn every_limit_has_a_name() {
        let text = format!("{:?}", Limits::default());
        let fields = text.matches(": ").count();
        assert_eq!(fields, LIMITS.len(), "{text}");
        for (name, limit) in LIMITS {
            let mut limits = Limits::default();
            limit(&mut limits, Duration::from_nanos(123_457));
            let (before, after) = (format!("{:?}", Limits::default()), format!("{limits:?}"));
            assert_ne!(before, after, "{name}");
            assert!(
                after.contains(&format!(" {name}: 123.457"))
                    || after.contains(&format!(" {name}: Some(123.457")),
                "{after}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        let cases = [
            (
                "[profiles.ott]\n",
                "1:11: profiles.ott: is a profile of the program; take another name",
            ),
            ("[profiles.'a b']\n", "1:12: profiles.a b: a name is 1 to 40 of A-Z a-z 0-9 . _ -"),
            (
                "[profiles.a]\nbased_on = 'strict'\n",
                "2:13: profiles.a.based_on: \"strict\": is not known; allowed are default, sensitive, broadcast, ott",
            ),
            (
                "[profiles.a]\nchecks = { '9.1' = 'off' }\n",
                "2:21: profiles.a.checks.9.1: is not a check; allowed are 1.1, 1.2, 1.3",
            ),
            (
                "[profiles.a]\nchecks = { '1.1' = 'on' }\n",
                "2:21: profiles.a.checks.1.1: \"on\" is not known; allowed are \"off\", \"inform\", \"fault\"",
            ),
            (
                "[profiles.a]\nlimits = { pcrs = '1s' }\n",
                "2:20: profiles.a.limits.pcrs: is not a limit; allowed are pat, pmt, ",
            ),
            (
                "[profiles.a]\nlimits = { pcr = '2h' }\n",
                "2:19: profiles.a.limits.pcr: is out of bounds; allowed are 1ns to 1h",
            ),
            (
                "[profiles.a]\nlimits = { pcr = 40 }\n",
                "2:18: profiles.a.limits.pcr: is an integer; write a string",
            ),
            (
                "[profiles.a]\nlimit = {}\n",
                "2:1: profiles.a.limit: unknown key; allowed are based_on, loudness, loudness_window, checks, limits",
            ),
            (
                "[profiles.a]\nloudness = 'r127'\n",
                "2:13: profiles.a.loudness: \"r127\" is not known; allowed are \"off\", \"r128\", \"a85\"",
            ),
            (
                "[profiles.a]\nloudness_window = '1m'\n",
                "2:20: profiles.a.loudness_window: \"1m\" is not a window; allowed are \"1min\", \"1h\", \"24h\"",
            ),
        ];
        let many: Vec<String> = (0..=MAX_PROFILES).map(|n| format!("[profiles.p{n:03}]")).collect();
        let (many, last) = (many.join("\n"), format!("{}:11: profiles.p100: is one", many.len()));
        let last = (many.as_str(), last + " profile too many; allowed are 100");
        let cases = cases.map(|(text, expected)| (text, expected.to_owned()));
        for (text, expected) in cases.into_iter().chain([last]) {
            let problems = Profiles::parse("f", text).unwrap_err().to_string();
            assert!(problems.starts_with(&format!("f:{expected}")), "{problems}");
        }
    }
}
