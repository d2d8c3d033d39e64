//! Which components of a service matter, by what the lineup expects of it.

use std::collections::BTreeSet;

use tallylight_model::{Pid, Severity};
use tallylight_ts::{AudioRole, Component, MediaKind, Service};

use crate::{
    assignment::{ChannelKind, Encryption, Expectation, Track},
    picture::PictureRules,
    sound::{SoundPart, SoundRules},
};

/// Sounds that are listened to in one service.
const MAX_SOUNDS: usize = 8;

/// The components of one service as its expectation sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The program's number.
    pub(super) program: u16,
    /// The picture.
    pub(super) picture: Option<Pid>,
    /// The main sound.
    pub(super) sound: Option<Pid>,
    /// All sounds that are listened to.
    pub(super) sounds: BTreeSet<Pid>,
    /// Where a loss counts: tables, clock, picture, main sound.
    vital: BTreeSet<Pid>,
    /// The sounds that are expected and not listed, in words.
    pub(super) missing: Option<String>,
    /// Every other component.
    minor: BTreeSet<Pid>,
    /// The tables were read.
    complete: bool,
}

impl Selection {
    /// Chooses from what a service's tables list.
    pub(super) fn of(service: &Service, expectation: &Expectation) -> Self {
        let of_kind = |kind| move |c: &&Component| c.coding.kind() == kind;
        let components = || service.components.iter();
        let radio = expectation.kind == Some(ChannelKind::Radio);
        let picture = components().find(of_kind(MediaKind::Video)).filter(|_| !radio);
        let language = expectation.main_language.as_deref();
        let sound = components()
            .filter(of_kind(MediaKind::Audio))
            .find(|c| {
                let same =
                    c.language.as_deref().zip(language).is_some_and(|(a, b)| same_language(a, b));
                c.role == AudioRole::Main && same
            })
            .or_else(|| service.main_audio());
        let (picture, sound) = (picture.map(|c| c.pid), sound.map(|c| c.pid));
        let tables = [Some(Pid::PAT), service.pmt_pid, service.pcr_pid];
        let vital: BTreeSet<Pid> = tables
            .into_iter()
            .chain([picture, sound])
            .flatten()
            .filter(|p| *p != Pid::NULL)
            .collect();
        let missing = missing(components().filter(of_kind(MediaKind::Audio)), &expectation.tracks);
        let minor = components().map(|c| c.pid).filter(|pid| !vital.contains(pid)).collect();
        let complete = !service.components.is_empty();
        let others = components().filter(of_kind(MediaKind::Audio)).map(|c| c.pid);
        let others = others.filter(|pid| Some(*pid) != sound).take(MAX_SOUNDS - 1);
        let sounds = sound.into_iter().chain(others).collect();
        Self { program: service.program, picture, sound, sounds, vital, missing, minor, complete }
    }

    /// The worst that trouble on a PID can be for this service; `None` if it is none of its PIDs.
    pub(super) fn ceiling(&self, pid: Pid) -> Option<Severity> {
        if self.vital.contains(&pid) {
            Some(Severity::Critical)
        } else if self.minor.contains(&pid) {
            Some(Severity::Info)
        } else {
            None
        }
    }

    /// Whether a picture is expected although the tables list none.
    pub(super) fn lacks_picture(&self, expectation: &Expectation) -> bool {
        let wanted = matches!(
            expectation.kind,
            Some(ChannelKind::Tv | ChannelKind::Still | ChannelKind::Loop)
        );
        self.complete && wanted && self.picture.is_none()
    }

    /// Whether sound is expected although the tables list none.
    pub(super) fn lacks_sound(&self, expectation: &Expectation) -> bool {
        let wanted =
            expectation.kind == Some(ChannelKind::Radio) || expectation.main_language.is_some();
        self.complete && wanted && self.sound.is_none()
    }
}

/// Names the expected sounds that none of those listed can be. A sound without a language may be any.
fn missing<'a>(listed: impl Iterator<Item = &'a Component>, expected: &[Track]) -> Option<String> {
    let mut free: Vec<&Component> = listed.collect();
    if free.is_empty() {
        // That there is no sound at all is another fault.
        return None;
    }
    let mut open: Vec<&Track> = expected.iter().collect();
    for stated in [true, false] {
        open.retain(|track| {
            let found = free.iter().position(|c| {
                let same = match &c.language {
                    Some(language) => stated && same_language(language, &track.language),
                    None => !stated,
                };
                same && track.role.is_none_or(|role| role == c.role)
            });
            found.map(|at| free.remove(at)).is_none()
        });
    }
    let names: Vec<String> = open
        .iter()
        .map(|track| match track.role {
            Some(role) => format!("{} {}", track.language, role.name()),
            None => track.language.clone(),
        })
        .collect();
    (!names.is_empty()).then(|| format!("not listed: {}", names.join(", ")))
}

/// Languages that have two codes (ISO 639-2/B and /T).
const TWO_CODES: [(&str, &str); 20] = [
    ("alb", "sqi"),
    ("arm", "hye"),
    ("baq", "eus"),
    ("bur", "mya"),
    ("chi", "zho"),
    ("cze", "ces"),
    ("dut", "nld"),
    ("fre", "fra"),
    ("geo", "kat"),
    ("ger", "deu"),
    ("gre", "ell"),
    ("ice", "isl"),
    ("mac", "mkd"),
    ("mao", "mri"),
    ("may", "msa"),
    ("per", "fas"),
    ("rum", "ron"),
    ("slo", "slk"),
    ("tib", "bod"),
    ("wel", "cym"),
];

fn same_language(a: &str, b: &str) -> bool {
    a == b || TWO_CODES.contains(&(a, b)) || TWO_CODES.contains(&(b, a))
}

/// What may be judged of the picture.
pub(super) fn rules(expectation: &Expectation) -> PictureRules {
    match expectation.kind {
        None | Some(ChannelKind::Tv) => PictureRules::All,
        Some(ChannelKind::Still | ChannelKind::Loop) => PictureRules::NoFreeze,
        Some(ChannelKind::Radio) => PictureRules::None,
    }
}

/// What is asked of a sound.
pub(super) fn sound_rules(expectation: &Expectation, part: SoundPart) -> SoundRules {
    match part {
        SoundPart::Main => SoundRules {
            part,
            silence: expectation.silence,
            layout: expectation.layout,
            norm: expectation.profile.norm(),
        },
        SoundPart::Secondary => SoundRules { part, ..SoundRules::default() },
    }
}

/// Whether scrambling is against what is expected. Where nobody said, it is merely what the stream is.
pub(super) fn must_be_clear(expectation: &Expectation) -> bool {
    expectation.encryption == Some(Encryption::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallylight_model::Codec;
    use tallylight_ts::Coding;

    fn listed(language: &str, role: AudioRole) -> Component {
        Component {
            pid: Pid::from_bits(0x101),
            stream_type: 0x0f,
            coding: Coding::Cut(Codec::AacAdts),
            language: (!language.is_empty()).then(|| language.to_owned()),
            role,
            still: false,
            texts: Vec::new(),
        }
    }

    #[test]
    fn expected_sounds_are_missed_by_language_and_role() {
        let (main, description) = (AudioRole::Main, AudioRole::Description);
        let track = |language: &str, role| Track { language: language.to_owned(), role };
        let expected =
            [track("deu", Some(main)), track("deu", Some(description)), track("eng", None)];
        type Case<'a> = (&'a [(&'a str, AudioRole)], Option<&'a str>);
        let cases: [Case<'_>; 6] = [
            (&[("ger", main), ("deu", description), ("eng", main)], None),
            (&[("ger", main), ("deu", description)], Some("not listed: eng")),
            (&[("deu", main), ("eng", main)], Some("not listed: deu description")),
            (&[("deu", main), ("deu", main), ("", main)], Some("not listed: deu description")),
            (&[("fra", main)], Some("not listed: deu main, deu description, eng")),
            (&[], None),
        ];
        for (tracks, wanted) in cases {
            let all: Vec<_> =
                tracks.iter().map(|(language, role)| listed(language, *role)).collect();
            assert_eq!(missing(all.iter(), &expected).as_deref(), wanted, "{tracks:?}");
        }
    }
}
