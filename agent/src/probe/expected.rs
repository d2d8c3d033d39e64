//! Which components of a service matter, by what the lineup expects of it.

use std::collections::BTreeSet;

use tallylight_model::{Pid, Severity};
use tallylight_ts::{AudioRole, Component, MediaKind, Service};

use crate::{
    assignment::{ChannelKind, Encryption, Expectation},
    picture::PictureRules,
};

/// The components of one service as its expectation sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The program's number.
    pub(super) program: u16,
    /// The picture.
    pub(super) picture: Option<Pid>,
    /// The main sound.
    pub(super) sound: Option<Pid>,
    /// Where a loss counts: tables, clock, picture, main sound.
    vital: BTreeSet<Pid>,
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
                c.role == AudioRole::Main && language.is_some() && c.language.as_deref() == language
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
        let minor = components().map(|c| c.pid).filter(|pid| !vital.contains(pid)).collect();
        let complete = !service.components.is_empty();
        Self { program: service.program, picture, sound, vital, minor, complete }
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

/// What may be judged of the picture.
pub(super) fn rules(expectation: &Expectation) -> PictureRules {
    match expectation.kind {
        None | Some(ChannelKind::Tv) => PictureRules::All,
        Some(ChannelKind::Still | ChannelKind::Loop) => PictureRules::NoFreeze,
        Some(ChannelKind::Radio) => PictureRules::None,
    }
}

/// Whether scrambling is against what is expected. Where nobody said, it is merely what the stream is.
pub(super) fn must_be_clear(expectation: &Expectation) -> bool {
    expectation.encryption == Some(Encryption::None)
}
