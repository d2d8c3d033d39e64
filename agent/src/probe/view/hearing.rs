//! A view's sounds: the main one is judged, the others are heard for what is worth knowing.

use std::{collections::BTreeMap, time::Duration};

use tallylight_model::{FaultKind, MonoTime, Pid, Severity};

use super::{SOUND_LASTS, View, expected};
use crate::{
    decode::SoundStats,
    input::SoundPlace,
    picture,
    sound::{Levels, Reading, SoundDetector, SoundPart},
    tracker::Evidence,
};

/// Since when in media time the picture stands and the sound is silent, while they do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both {
    frozen: Option<Duration>,
    silent: Option<Duration>,
}

impl View {
    /// Listens to the sounds of the present selection.
    pub(super) fn choose_sounds(&mut self) {
        let Some(selection) = &self.selection else { return };
        let mut known = std::mem::take(&mut self.hearing);
        for pid in &selection.sounds {
            let main = selection.sound == Some(*pid);
            let part = if main { SoundPart::Main } else { SoundPart::Secondary };
            let same = known.remove(pid).filter(|it| it.rules().part == part);
            let rules = expected::sound_rules(&self.config.expectation, part);
            let detector = same.unwrap_or_else(|| SoundDetector::new(rules));
            self.hearing.insert(*pid, detector);
        }
        for (pid, mut gone) in known {
            gone.reset();
            self.judge_sound(pid, &mut gone);
        }
    }

    /// Misses the sounds that are expected and not listed, unless there are others elsewhere.
    pub(super) fn judge_tracks(&mut self, at: MonoTime) {
        let missing = self.selection.as_ref().and_then(|selection| selection.missing.clone());
        let kind = FaultKind::TrackMissing;
        match missing.filter(|_| self.sound_place == SoundPlace::Inside) {
            Some(evidence) => self.tracker.hold(kind, at, evidence),
            None => self.tracker.release(kind, at),
        }
    }

    /// Takes a decoded run of sound. Returns when the main sound was produced, if it is of that.
    pub(super) fn hear(&mut self, stats: &SoundStats) -> Option<MonoTime> {
        let mut detector = self.hearing.remove(&stats.pid)?;
        detector.stats(stats);
        self.judge_sound(stats.pid, &mut detector);
        let main = detector.rules().part == SoundPart::Main;
        self.hearing.insert(stats.pid, detector);
        let at = self.timeline.produced(stats.media_time).filter(|_| main)?;
        self.sounds.add(at, at + stats.length + SOUND_LASTS);
        self.prints.sound(at, stats);
        self.tracker.advance(Evidence::Sound, at + stats.length);
        Some(at)
    }

    /// Forgets what was heard.
    pub(super) fn reset_hearing(&mut self) {
        for (pid, mut detector) in std::mem::take(&mut self.hearing) {
            detector.reset();
            self.judge_sound(pid, &mut detector);
            self.hearing.insert(pid, detector);
        }
    }

    /// What was measured of each sound.
    pub(in crate::probe) fn levels(&self) -> BTreeMap<Pid, Levels> {
        self.hearing.iter().map(|(pid, detector)| (*pid, detector.levels())).collect()
    }

    /// How the main sound is at the moment.
    pub(in crate::probe) fn reading(&self) -> Option<Reading> {
        let main = self.selection.as_ref()?.sound?;
        Some(self.hearing.get(&main)?.reading())
    }

    fn judge_sound(&mut self, pid: Pid, detector: &mut SoundDetector) {
        while let Some(condition) = detector.poll() {
            let kind = condition.kind;
            if kind != FaultKind::SecondarySilence {
                self.judge(condition, Some(pid), detector.ceiling(kind));
                continue;
            }
            // Several may be silent, of which a stream of the lineup has one fault.
            let produced = |media| self.timeline.produced(media);
            let span = produced(condition.since).zip(produced(condition.until));
            let Some((since, until)) = span else { continue };
            if condition.lasts {
                let evidence = condition.evidence;
                self.hold(kind, Some(pid), since, detector.ceiling(kind), &evidence);
            } else {
                self.release(kind, Some(pid), until);
            }
        }
    }

    /// Puts freeze and silence together: each may be meant, both hardly.
    pub(super) fn judge_both(&mut self, condition: &picture::Condition, until: MonoTime) {
        let part = match condition.kind {
            FaultKind::Freeze => &mut self.both.frozen,
            FaultKind::Silence => &mut self.both.silent,
            _ => return,
        };
        *part = condition.lasts.then_some(condition.since);
        let kind = FaultKind::FreezeAndSilence;
        match (self.both.frozen, self.both.silent) {
            (Some(frozen), Some(silent)) => {
                let since = frozen.max(silent);
                let Some(produced) = self.timeline.produced(since) else { return };
                let both = picture::Condition {
                    kind,
                    since,
                    until: condition.until.max(since),
                    lasts: true,
                    evidence: "the picture stands still and the sound is silent".to_owned(),
                };
                self.hold_unless_meant(kind.into(), &both, produced, Severity::Critical);
            }
            _ if !condition.lasts => self.tracker.release(kind, until),
            _ => {}
        }
    }
}
