//! Judges the sound of one elementary stream: silence, a dead channel, mono, phase, clipping, a line-up tone, loudness.
//!
//! Whether it is silent is asked of a tenth of a second at a time, so that a click does not end it; where in such a run the sound
//! ended or came back is known to some milliseconds. The same holds for one channel of two. The other conditions are asked of
//! whole runs, and an interruption that is shorter than their patience does not end them.

mod loudness;
mod spell;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tallylight_model::{FaultKind, Severity};

pub use loudness::{Loudness, Span};

use crate::{
    decode::{ChannelPlace, ChannelStats, SoundStats},
    picture::Condition,
};
use loudness::Gatherer;
use spell::{Answer, Spell, Told};

/// Silent: no channel's RMS reaches this. Operators set -40 to -90 dBFS, most of them this.
const SILENCE_DBFS: f32 = -60.0;
/// Under this there is too little of a sound to compare channels by.
const FAINT_DBFS: f32 = -50.0;
/// Runs further apart than this do not continue one another: sound is missing, which is another fault.
const GAP: Duration = Duration::from_millis(500);
/// Left and right are the same if their difference is this far under their sum, in dB. Most codecs add less to equal channels;
/// MP2 by ffmpeg adds -40 to those under 3 kHz, and -27 to white noise, which is then missed.
const MONO_WIDTH: f32 = -35.0;
/// They cancel each other from this correlation on ...
const OPPOSED: f32 = -0.5;
/// ... and do not from this on.
const NOT_OPPOSED: f32 = -0.2;
/// So much of the energy is the tone, if it is one.
const TONE_SHARE: f32 = 0.9;
/// What interrupts mono, phase, clipping or high peaks for less than this does not end them.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same for a tone, which line-up signals interrupt for 250 ms.
const TONE_PATIENCE: Duration = Duration::from_millis(500);
/// Conditions not yet polled.
const MAX_PENDING: usize = 64;

/// What is asked of a sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoundRules {
    /// What it is to the service.
    pub part: SoundPart,
    /// Whether it may be silent.
    pub silence: Silence,
    /// How many channels are expected to differ.
    pub layout: Option<Layout>,
    /// How loud it should be.
    pub norm: Option<Norm>,
}

/// What a sound is to its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SoundPart {
    /// The one that viewers hear unless they choose another.
    #[default]
    Main,
    /// One that some viewers choose: another language, a description.
    Secondary,
}

/// Whether a sound may be silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    /// It may not, for longer than a hold.
    #[default]
    Fault,
    /// It may for as long as it likes.
    Expected,
}

/// How many channels are expected to differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Left and right are the same, or one of them is not used.
    Mono,
    /// Left and right differ.
    Stereo,
}

impl Layout {
    /// Reads what the lineup says.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "mono" => Some(Self::Mono),
            "stereo" => Some(Self::Stereo),
            _ => None,
        }
    }
}

/// How loud a sound should be over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// By which recommendation.
    pub by: Recommendation,
    /// Over how long.
    pub span: Span,
}

/// A recommendation on loudness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recommendation {
    /// EBU R128: -23 LUFS, give or take 1; no true peak over -1 dBTP.
    R128,
    /// ATSC A/85: -24 LKFS, give or take 2; no true peak over -2 dBTP.
    A85,
}

impl Recommendation {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::R128, Self::A85];

    /// Returns the name in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::R128 => "r128",
            Self::A85 => "a85",
        }
    }

    const fn target(self) -> f32 {
        match self {
            Self::R128 => -23.0,
            Self::A85 => -24.0,
        }
    }

    const fn tolerance(self) -> f32 {
        match self {
            Self::R128 => 1.0,
            Self::A85 => 2.0,
        }
    }

    const fn peak(self) -> f32 {
        match self {
            Self::R128 => -1.0,
            Self::A85 => -2.0,
        }
    }
}

/// What was measured of a sound so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Levels {
    /// Its channels and the mean level of each in dBFS, since it has them.
    pub channels: Vec<(ChannelPlace, f32)>,
    /// The largest true peak, in dBTP.
    pub true_peak: Option<f32>,
    /// How loud it is.
    pub loudness: Loudness,
}

/// How a sound is at the moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Loudness of the last 400 ms, in LUFS.
    pub momentary: Option<f32>,
    /// Loudness of the last 3 s, in LUFS.
    pub short_term: Option<f32>,
    /// The channels and the level of each in the last run, in dBFS.
    pub channels: Vec<(ChannelPlace, f32)>,
}

/// Judges one elementary stream. Feed it every [`SoundStats`] in order; poll it after each.
pub struct SoundDetector {
    rules: SoundRules,
    /// Where the last run ends.
    end: Option<Duration>,
    /// Onset and end so far of the silence that lasts.
    silence: Option<(Duration, Duration)>,
    /// Where sound was last heard before it fell silent.
    heard: Option<Duration>,
    /// Where left and right were last heard, each if that was in the last run.
    ends: [Option<Duration>; 2],
    spells: BTreeMap<FaultKind, Spell>,
    gatherer: Gatherer,
    /// The channels, with the sum of their mean squares times seconds.
    energy: Vec<(ChannelPlace, f64)>,
    seconds: f64,
    true_peak: Option<f32>,
    /// The channels in the last run.
    last: Vec<(ChannelPlace, f32)>,
    pending: VecDeque<Condition>,
}

impl SoundDetector {
    /// Starts with nothing heard.
    #[must_use]
    pub fn new(rules: SoundRules) -> Self {
        Self {
            rules,
            end: None,
            silence: None,
            heard: None,
            ends: [None; 2],
            spells: BTreeMap::new(),
            gatherer: Gatherer::new(rules.norm.map(|norm| norm.span)),
            energy: Vec::new(),
            seconds: 0.0,
            true_peak: None,
            last: Vec::new(),
            pending: VecDeque::new(),
        }
    }

    /// What is asked of the sound.
    #[must_use]
    pub const fn rules(&self) -> SoundRules {
        self.rules
    }

    /// Takes the next run of sound.
    pub fn stats(&mut self, stats: &SoundStats) {
        let (start, end) = (stats.media_time, stats.media_time + stats.length);
        if self.end.is_some_and(|end| start.abs_diff(end) > GAP) {
            self.reset();
        }
        self.measure(stats);
        if self.rules.silence == Silence::Fault {
            self.judge_silence(stats, start, end);
        }
        if self.rules.part == SoundPart::Main {
            self.judge_pair(stats, start, end);
            self.judge_tone(stats, start, end);
            self.judge_clipping(stats, start, end);
        }
        self.judge_loudness(stats, start, end);
        self.end = Some(end);
    }

    /// Forgets the past, as at a discontinuity: what lasted ends where it was last known to hold.
    pub fn reset(&mut self) {
        let no_more = "no more sound to judge";
        if let Some((since, until)) = self.silence.take() {
            self.tell(self.silence_kind(), Told { since, until, lasts: false }, no_more.into());
        }
        for (kind, mut spell) in std::mem::take(&mut self.spells) {
            if let Some(told) = spell.end() {
                self.tell(kind, told, no_more.into());
            }
        }
        self.gatherer.interrupt();
        self.last.clear();
        (self.end, self.heard, self.ends) = (None, None, [None; 2]);
    }

    /// Takes the next condition that began, went on or ended.
    pub fn poll(&mut self) -> Option<Condition> {
        self.pending.pop_front()
    }

    /// The worst that a condition of this kind can be. What may be meant is worth knowing and no more, unless the lineup says
    /// what is meant.
    #[must_use]
    pub fn ceiling(&self, kind: FaultKind) -> Severity {
        let may_be_meant = match kind {
            FaultKind::Mono => self.rules.layout != Some(Layout::Stereo),
            FaultKind::DeadChannel => self.energy.len() > 2,
            FaultKind::Clipping | FaultKind::SecondarySilence => true,
            _ => false,
        };
        if may_be_meant { Severity::Info } else { Severity::Critical }
    }

    /// How it sounds at the moment.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let (momentary, short_term) = self.gatherer.now();
        Reading { momentary, short_term, channels: self.last.clone() }
    }

    /// What was measured so far.
    #[must_use]
    pub fn levels(&self) -> Levels {
        let mean = |energy: f64| (10.0 * (energy / self.seconds).log10()).max(-200.0) as f32;
        let channels = self.energy.iter().map(|(place, energy)| (*place, mean(*energy)));
        let (channels, loudness) = (channels.collect(), self.gatherer.loudness());
        Levels { channels, true_peak: self.true_peak, loudness }
    }

    fn measure(&mut self, stats: &SoundStats) {
        let places = stats.channels.iter().map(|channel| channel.place);
        if !self.energy.iter().map(|(place, _)| *place).eq(places.clone()) {
            self.energy = places.map(|place| (place, 0.0)).collect();
            self.seconds = 0.0;
        }
        self.last = stats.channels.iter().map(|channel| (channel.place, channel.rms)).collect();
        let seconds = stats.length.as_secs_f64();
        self.seconds += seconds;
        for ((_, sum), channel) in self.energy.iter_mut().zip(&stats.channels) {
            *sum += 10f64.powf(f64::from(channel.rms) / 10.0) * seconds;
        }
        if !stats.channels.is_empty() {
            let peak = stats.true_peak;
            self.true_peak = Some(self.true_peak.map_or(peak, |most| most.max(peak)));
        }
    }

    const fn silence_kind(&self) -> FaultKind {
        match self.rules.part {
            SoundPart::Main => FaultKind::Silence,
            SoundPart::Secondary => FaultKind::SecondarySilence,
        }
    }

    fn judge_silence(&mut self, stats: &SoundStats, start: Duration, end: Duration) {
        let loudest = stats.loudest();
        let silent = !stats.channels.is_empty() && is_silent(loudest);
        let heard = self.heard.take();
        let evidence =
            || format!("RMS {loudest:.1} dBFS in the loudest channel (limit {SILENCE_DBFS})");
        match (self.silence, silent) {
            (open, true) => {
                let since = open.map_or(heard.unwrap_or(start), |(since, _)| since);
                self.silence = Some((since, end));
                let told = Told { since, until: end, lasts: true };
                self.tell(self.silence_kind(), told, evidence());
            }
            (Some((since, _)), false) => {
                self.silence = None;
                let until = start + stats.loud().map_or(Duration::ZERO, |(from, _)| from);
                self.tell(self.silence_kind(), Told { since, until, lasts: false }, evidence());
            }
            (None, false) => {}
        }
        if !silent {
            self.heard = Some(start + stats.loud().map_or(stats.length, |(_, to)| to));
        }
    }

    fn judge_pair(&mut self, stats: &SoundStats, start: Duration, end: Duration) {
        let of = |place| stats.channels.iter().find(|channel| channel.place == place);
        let expected = self.rules.layout;
        let Some((left, right)) = of(ChannelPlace::Left).zip(of(ChannelPlace::Right)) else {
            if let ([one], Some(Layout::Stereo)) = (stats.channels.as_slice(), expected) {
                let faint = one.rms < FAINT_DBFS;
                let answer = if faint { Answer::Unknown } else { Answer::Yes(start) };
                self.ask(FaultKind::Mono, answer, end, || "it has one channel".to_owned());
            }
            return;
        };
        let ends = self.ends;
        let heard = |it: &ChannelStats| it.loud.filter(|_| !is_silent(it.rms));
        self.ends = [left, right].map(|it| heard(it).map(|(_, to)| start + to));
        if expected == Some(Layout::Mono) {
            return;
        }
        let (name, quiet, other, last) = if left.rms < right.rms {
            ("left", left, right, ends[0])
        } else {
            ("right", right, left, ends[1])
        };
        let dead = if !is_silent(quiet.rms) {
            Answer::No(start + quiet.loud.map_or(Duration::ZERO, |(from, _)| from))
        } else if other.rms >= FAINT_DBFS {
            Answer::Yes(last.unwrap_or(start))
        } else {
            Answer::Unknown
        };
        self.ask(FaultKind::DeadChannel, dead, end, || {
            format!(
                "RMS {:.1} dBFS {name} (limit {SILENCE_DBFS}) and {:.1} in the other channel",
                quiet.rms, other.rms
            )
        });
        let Some(pair) = stats.pair.filter(|_| stats.channels.len() == 2) else { return };
        let mono = match pair.width {
            _ if other.rms < FAINT_DBFS => Answer::Unknown,
            width if width <= MONO_WIDTH => Answer::Yes(start),
            _ => Answer::No(start),
        };
        self.ask(FaultKind::Mono, mono, end, || {
            let width = pair.width;
            format!(
                "difference of left and right {width:.0} dB under their sum (limit {MONO_WIDTH})"
            )
        });
        let opposed = match pair.correlation {
            _ if quiet.rms < FAINT_DBFS => Answer::Unknown,
            it if it <= OPPOSED => Answer::Yes(start),
            it if it >= NOT_OPPOSED => Answer::No(start),
            _ => Answer::Unknown,
        };
        self.ask(FaultKind::OutOfPhase, opposed, end, || {
            let correlation = pair.correlation;
            format!("correlation of left and right {correlation:.2} (limit {OPPOSED})")
        });
    }

    fn judge_tone(&mut self, stats: &SoundStats, start: Duration, end: Duration) {
        let power = |it: &ChannelStats| 10f32.powf(it.rms / 10.0);
        let all: f32 = stats.channels.iter().map(power).sum();
        let tone: f32 = stats.channels.iter().map(|it| power(it) * it.tone).sum();
        let (loudest, share) = (stats.loudest(), tone / all);
        let answer = if loudest < FAINT_DBFS {
            Answer::Unknown
        } else if share >= TONE_SHARE {
            Answer::Yes(start)
        } else {
            Answer::No(start)
        };
        self.ask(FaultKind::Tone, answer, end, || {
            format!("1 kHz is {:.0} % of the sound, at {loudest:.1} dBFS", share * 100.0)
        });
    }

    fn judge_clipping(&mut self, stats: &SoundStats, start: Duration, end: Duration) {
        let clips: u32 = stats.channels.iter().map(|it| it.clips).sum();
        let answer = if clips > 0 { Answer::Yes(start) } else { Answer::No(start) };
        self.ask(FaultKind::Clipping, answer, end, || {
            format!("{clips} peaks cut off at full scale in {} ms", stats.length.as_millis())
        });
    }

    /// Gathers the loudness of any sound, and judges it where a norm is set.
    fn judge_loudness(&mut self, stats: &SoundStats, start: Duration, end: Duration) {
        let over_window = stats.tenths.iter().filter_map(|it| self.gatherer.tenth(*it)).last();
        let Some(Norm { by, span }) = self.rules.norm else { return };
        let (peak, limit) = (stats.true_peak, by.peak());
        let answer = if peak > limit { Answer::Yes(start) } else { Answer::No(start) };
        let evidence = || format!("true peak {peak:.1} dBTP (limit {limit})");
        self.ask(FaultKind::TruePeak, answer, end, evidence);
        let Some(found) = over_window else { return };
        let (target, tolerance) = (by.target(), by.tolerance());
        let off = (found - target).abs() > tolerance;
        let answer = if off { Answer::Yes(end) } else { Answer::No(end) };
        self.ask(FaultKind::Loudness, answer, end, || {
            format!("sliding loudness of {} {found:.1} LUFS ({target} +-{tolerance})", span.name())
        });
    }

    fn ask(
        &mut self,
        kind: FaultKind,
        answer: Answer,
        end: Duration,
        evidence: impl FnOnce() -> String,
    ) {
        let spell = self.spells.entry(kind).or_insert_with(|| Spell::new(patience(kind)));
        if let Some(told) = spell.take(answer, end) {
            self.tell(kind, told, evidence());
        }
    }

    fn tell(&mut self, kind: FaultKind, told: Told, evidence: String) {
        if self.pending.len() >= MAX_PENDING {
            self.pending.pop_front();
        }
        let Told { since, until, lasts } = told;
        self.pending.push_back(Condition { kind, since, until, lasts, evidence });
    }
}

const fn patience(kind: FaultKind) -> Duration {
    match kind {
        FaultKind::DeadChannel | FaultKind::Loudness => Duration::ZERO,
        FaultKind::Tone => TONE_PATIENCE,
        _ => PATIENCE,
    }
}

/// Whether a level in dBFS is silence.
pub(crate) fn is_silent(level: f32) -> bool {
    level < SILENCE_DBFS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::PairStats;
    use tallylight_model::Pid;

    /// 100 ms of sound whose channels have these levels.
    fn run(media_time: Duration, rms: &[f32], loud: Option<(Duration, Duration)>) -> SoundStats {
        let place = ChannelPlace::Other;
        let channel = |&rms| ChannelStats { place, rms, peak: rms, tone: 0.0, clips: 0, loud };
        let (pid, length) = (Pid::from_bits(1), Duration::from_millis(100));
        let channels = rms.iter().map(channel).collect();
        let (tenths, true_peak) = (Vec::new(), -200.0);
        SoundStats { pid, media_time, length, channels, pair: None, tenths, true_peak }
    }

    /// Hears runs of 100 ms from a start in tenths of a second; says when silence began, and ended or lasted to.
    fn hear(runs: &[(u32, &[f32])]) -> Vec<(u32, u32, bool)> {
        let mut detector = SoundDetector::new(SoundRules::default());
        let mut conditions = Vec::new();
        for (tenths, rms) in runs {
            let length = Duration::from_millis(100);
            let media_time = length * *tenths;
            detector.stats(&run(media_time, rms, None));
            while let Some(c) = detector.poll() {
                let tenths = |time: Duration| (time.as_millis() / 100) as u32;
                conditions.push((tenths(c.since), tenths(c.until), c.lasts));
            }
        }
        conditions
    }

    #[test]
    fn silence_begins_and_ends_within_a_run() {
        let mut detector = SoundDetector::new(SoundRules::default());
        let ms = Duration::from_millis;
        for (at, level, loud) in [
            (0, -20.0, Some((ms(0), ms(40)))),
            (100, -90.0, None),
            (200, -61.0, Some((ms(10), ms(15)))),
            (300, -20.0, Some((ms(70), ms(100)))),
        ] {
            detector.stats(&run(ms(at), &[level], loud));
        }
        let last = std::iter::from_fn(|| detector.poll()).last().unwrap();
        assert_eq!((last.since, last.until, last.lasts), (ms(40), ms(370), false));
    }

    #[test]
    fn silence_is_all_channels_under_the_limit() {
        let quiet: &[f32] = &[-59.9, -90.0];
        let silent: &[f32] = &[-60.1, -90.0];
        assert_eq!(hear(&[(0, quiet), (1, quiet)]), []);
        assert_eq!(
            hear(&[(0, quiet), (1, silent), (2, silent), (3, quiet)]),
            [(1, 2, true), (1, 3, true), (1, 3, false)]
        );
        assert_eq!(hear(&[(0, &[])]), [], "no channel is no silence");
    }

    #[test]
    fn silence_is_not_said_of_sound_that_is_missing() {
        let silent: &[f32] = &[-200.0];
        assert_eq!(hear(&[(0, silent), (9, silent)]), [(0, 1, true), (0, 1, false), (9, 10, true)]);
    }

    /// What a run's left and right are like.
    #[derive(Clone, Copy)]
    struct Pair {
        left: f32,
        right: f32,
        width: f32,
        correlation: f32,
    }

    const STEREO: Pair = Pair { left: -20.0, right: -22.0, width: -3.0, correlation: 0.4 };

    fn pair_run(tenth: u32, pair: Pair) -> SoundStats {
        let Pair { left, right, width, correlation } = pair;
        let whole = Some((Duration::ZERO, Duration::from_millis(100)));
        let mut stats = run(Duration::from_millis(100) * tenth, &[left, right], whole);
        stats.channels[0].place = ChannelPlace::Left;
        stats.channels[1].place = ChannelPlace::Right;
        stats.pair = Some(PairStats { correlation, width });
        stats
    }

    /// Hears stereo for 1 s, something for 2 s and stereo for 2 s; says what ended, with begin and end in tenths of a second.
    fn ended(rules: SoundRules, change: impl Fn(&mut SoundStats)) -> Vec<(FaultKind, u32, u32)> {
        let mut detector = SoundDetector::new(rules);
        let mut ended = Vec::new();
        for tenth in 0..50 {
            let mut stats = pair_run(tenth, STEREO);
            if (10..30).contains(&tenth) {
                change(&mut stats);
            }
            detector.stats(&stats);
            let told = std::iter::from_fn(|| detector.poll()).filter(|it| !it.lasts);
            let tenths = |time: Duration| (time.as_millis() / 100) as u32;
            ended.extend(told.map(|it| (it.kind, tenths(it.since), tenths(it.until))));
        }
        ended
    }

    #[test]
    fn each_condition_is_told_alone_with_its_begin_and_end() {
        type Change = fn(&mut SoundStats);
        let cases: [(FaultKind, Change); 5] = [
            (FaultKind::DeadChannel, |it| it.channels[1].rms = -80.0),
            (FaultKind::Mono, |it| it.pair = Some(PairStats { correlation: 1.0, width: -60.0 })),
            (FaultKind::OutOfPhase, |it| {
                it.pair = Some(PairStats { correlation: -0.9, width: 13.0 });
            }),
            (FaultKind::Clipping, |it| it.channels[0].clips = 3),
            (FaultKind::Tone, |it| it.channels.iter_mut().for_each(|it| it.tone = 0.97)),
        ];
        for (kind, change) in cases {
            assert_eq!(ended(SoundRules::default(), change), [(kind, 10, 30)]);
            let secondary = SoundRules { part: SoundPart::Secondary, ..SoundRules::default() };
            assert_eq!(ended(secondary, change), []);
        }
    }

    #[test]
    fn what_is_ordinary_is_no_condition() {
        type Change = fn(&mut SoundStats);
        let ordinary: [(&str, Change); 6] = [
            ("both channels faint", |it| {
                it.channels.iter_mut().for_each(|it| it.rms = -55.0);
                it.pair = Some(PairStats { correlation: -0.9, width: 13.0 });
            }),
            ("one channel faint", |it| it.channels[1].rms = -59.0),
            ("surrounds and low frequencies silent", |it| {
                for place in [ChannelPlace::Lfe, ChannelPlace::SurroundLeft] {
                    it.channels.push(ChannelStats { place, rms: -90.0, ..it.channels[0] });
                }
            }),
            ("wide", |it| it.pair = Some(PairStats { correlation: -0.4, width: 3.0 })),
            ("a voice in the middle", |it| {
                it.pair = Some(PairStats { correlation: 0.99, width: -25.0 });
            }),
            ("a note near the tone", |it| it.channels.iter_mut().for_each(|it| it.tone = 0.8)),
        ];
        for (what, change) in ordinary {
            assert_eq!(ended(SoundRules::default(), change), [], "{what}");
        }
    }

    #[test]
    fn the_lineup_says_what_is_meant() {
        let mono =
            |it: &mut SoundStats| it.pair = Some(PairStats { correlation: 1.0, width: -60.0 });
        let dead = |it: &mut SoundStats| it.channels[0].rms = -90.0;
        let meant = SoundRules { layout: Some(Layout::Mono), ..SoundRules::default() };
        assert_eq!(ended(meant, mono), []);
        assert_eq!(ended(meant, dead), []);
        let quiet = SoundRules { silence: Silence::Expected, ..SoundRules::default() };
        let silent = |it: &mut SoundStats| it.channels.iter_mut().for_each(|it| it.rms = -90.0);
        assert_eq!(ended(quiet, silent), []);
        assert_eq!(ended(SoundRules::default(), silent), [(FaultKind::Silence, 10, 30)]);
        let stereo = SoundRules { layout: Some(Layout::Stereo), ..SoundRules::default() };
        let ceiling = |rules| SoundDetector::new(rules).ceiling(FaultKind::Mono);
        assert_eq!(ceiling(SoundRules::default()), Severity::Info);
        assert_eq!(ceiling(stereo), Severity::Critical);
        let one = |it: &mut SoundStats| {
            it.channels.truncate(1);
            it.channels[0].place = ChannelPlace::Centre;
        };
        assert_eq!(ended(stereo, one), [(FaultKind::Mono, 10, 30)]);
    }

    #[test]
    fn a_channel_of_surround_sound_that_is_dead_is_worth_knowing_only() {
        let mut detector = SoundDetector::new(SoundRules::default());
        detector.stats(&pair_run(0, STEREO));
        assert_eq!(detector.ceiling(FaultKind::DeadChannel), Severity::Critical);
        let mut surround = pair_run(1, STEREO);
        surround.channels.push(surround.channels[0]);
        detector.stats(&surround);
        assert_eq!(detector.ceiling(FaultKind::DeadChannel), Severity::Info);
    }

    #[test]
    fn loudness_is_judged_by_its_norm_over_its_window() {
        let judge = |by, loudness: f32, true_peak: f32| {
            let norm = Some(Norm { by, span: Span::Minute });
            let mut detector = SoundDetector::new(SoundRules { norm, ..SoundRules::default() });
            let mut kinds = std::collections::BTreeSet::new();
            for tenth in 0..700 {
                let stats = pair_run(tenth, STEREO);
                detector.stats(&SoundStats { tenths: vec![loudness], true_peak, ..stats });
                kinds.extend(std::iter::from_fn(|| detector.poll()).map(|it| it.kind));
            }
            kinds.into_iter().collect::<Vec<_>>()
        };
        let (r128, a85) = (Recommendation::R128, Recommendation::A85);
        assert_eq!(judge(r128, -23.8, -1.1), []);
        assert_eq!(judge(r128, -21.8, -1.1), [FaultKind::Loudness]);
        assert_eq!(judge(r128, -24.2, -0.9), [FaultKind::Loudness, FaultKind::TruePeak]);
        assert_eq!(judge(a85, -22.2, -2.1), []);
        assert_eq!(judge(a85, -21.8, -1.9), [FaultKind::Loudness, FaultKind::TruePeak]);
    }

    #[test]
    fn levels_are_means_over_what_was_heard() {
        let mut detector = SoundDetector::new(SoundRules::default());
        for tenth in 0..20 {
            let left = if tenth < 10 { -20.0 } else { -40.0 };
            let mut stats = pair_run(tenth, Pair { left, ..STEREO });
            stats.true_peak = if tenth == 3 { -4.0 } else { -12.0 };
            detector.stats(&stats);
        }
        let levels = detector.levels();
        assert_eq!(levels.true_peak, Some(-4.0));
        assert!((levels.channels[0].1 + 22.97).abs() < 0.02, "{levels:?}");
        assert!((levels.channels[1].1 + 22.0).abs() < 0.02, "{levels:?}");
        let last = [(ChannelPlace::Left, -40.0), (ChannelPlace::Right, -22.0)];
        assert_eq!(detector.reading(), Reading { channels: last.to_vec(), ..Reading::default() });
        detector.reset();
        assert_eq!(detector.reading(), Reading::default());
    }
}
